//! The registry of guest processes as the daemon sees it: a door to `holdfast-had`.

use std::fmt;

use async_trait::async_trait;
use host::had::{
    ArmConfig, AsyncClient, BeatsConfig, Guest, GuestProcess, HadError, LeaseConfig, Status,
    Stopped,
};
use uuid::Uuid;

/// What the daemon asks of the process that knows every guest.
#[async_trait]
pub trait Registry: Send + Sync + fmt::Debug {
    /// Registers a guest's process before its CPUs run.
    async fn register(&self, guest: &GuestProcess) -> Result<(), HadError>;
    /// Takes a guest out after its process is gone.
    async fn unregister(&self, vm: Uuid, generation: u64) -> Result<(), HadError>;
    /// All guests.
    async fn list(&self) -> Result<Vec<Guest>, HadError>;
    /// Lease and guests.
    async fn status(&self) -> Result<Status, HadError>;
    /// Kills a guest's process and returns when it is gone.
    async fn stop_guest(&self, vm: Uuid, generation: u64) -> Result<Stopped, HadError>;
    /// Says which lease to hold.
    async fn lease_configure(&self, config: &LeaseConfig) -> Result<(), HadError>;
    /// Gives the lease back, at an announced shutdown.
    async fn lease_release(&self) -> Result<(), HadError>;
    /// Has guests stopped by themselves in time from now on. Fakes, which count down nothing, take no notice.
    async fn arm(&self, _config: &ArmConfig) -> Result<(), HadError> {
        Ok(())
    }
    /// Exchanges beats with other hosts from now on. Fakes hear nobody.
    async fn beats(&self, _config: &BeatsConfig) -> Result<(), HadError> {
        Ok(())
    }
    /// Guests run on whatever happens.
    async fn disarm(&self) -> Result<(), HadError> {
        Ok(())
    }
    /// When a process of this host started, in clock ticks since boot; `None` if there is none. Asked of `/proc`; fakes,
    /// whose processes are not in it, answer for themselves.
    fn start_ticks(&self, pid: i32) -> Option<u64> {
        host::proc::start_ticks(pid).ok().flatten()
    }
    /// Guest processes of this host with their VMs, registered or not. Fakes have none but their hypervisor's.
    fn processes(&self) -> Vec<(i32, Uuid)> {
        Vec::new()
    }
    /// Kills a guest's process that neither hypervisor nor registry can stop; returns whether it is gone.
    async fn kill(&self, _pid: i32, _vm: Uuid) -> bool {
        false
    }
}

#[async_trait]
impl Registry for AsyncClient {
    async fn register(&self, guest: &GuestProcess) -> Result<(), HadError> {
        Self::register(self, guest).await
    }
    async fn unregister(&self, vm: Uuid, generation: u64) -> Result<(), HadError> {
        Self::unregister(self, vm, generation).await
    }
    async fn list(&self) -> Result<Vec<Guest>, HadError> {
        Self::list(self).await
    }
    async fn status(&self) -> Result<Status, HadError> {
        Self::status(self).await
    }
    async fn stop_guest(&self, vm: Uuid, generation: u64) -> Result<Stopped, HadError> {
        Self::stop_guest(self, vm, generation).await
    }
    async fn lease_configure(&self, config: &LeaseConfig) -> Result<(), HadError> {
        Self::lease_configure(self, config).await
    }
    async fn lease_release(&self) -> Result<(), HadError> {
        Self::lease_release(self).await
    }
    async fn arm(&self, config: &ArmConfig) -> Result<(), HadError> {
        Self::arm(self, config).await
    }
    async fn beats(&self, config: &BeatsConfig) -> Result<(), HadError> {
        Self::beats(self, config).await
    }
    async fn disarm(&self) -> Result<(), HadError> {
        Self::disarm(self).await
    }
    fn processes(&self) -> Vec<(i32, Uuid)> {
        // A process namespace inside ours (a practice pool on this machine) has guests of its own.
        let own = process_namespace("self");
        hypervisor::process::all()
            .into_iter()
            .filter(|(pid, _)| own.is_some() && process_namespace(&pid.to_string()) == own)
            .collect()
    }
    async fn kill(&self, pid: i32, vm: Uuid) -> bool {
        let killed = tokio::task::spawn_blocking(move || {
            let Some(ticks) = host::proc::start_ticks(pid).ok().flatten() else { return true };
            // The number may have changed hands since it was read: look at the name again, then hold it by start time.
            hypervisor::process::is_guest(pid, vm)
                && host::proc::kill(pid, ticks, KILL_LIMIT).unwrap_or(false)
        });
        killed.await.unwrap_or(false)
    }
}

/// Longest wait for a killed process to be gone.
const KILL_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

fn process_namespace(pid: &str) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
