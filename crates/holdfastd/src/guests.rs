//! The registry of guest processes as the daemon sees it: a door to `holdfast-had`.

use std::fmt;

use async_trait::async_trait;
use host::had::{AsyncClient, Guest, GuestProcess, HadError, LeaseConfig, Status, Stopped};
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
}
