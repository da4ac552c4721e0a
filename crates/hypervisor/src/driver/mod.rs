//! [`LibvirtHypervisor`]: each operation of the trait, on a thread of `calls`, over the connection of `connection`.
//!
//! What an operation does is in the rooms beside this file, as blocking functions over a connection: [`lifecycle`],
//! [`devices`], [`disks`] (snapshots, checkpoints), [`migrate`]. Here is what all have in common: the limit, one repeat when
//! the connection broke (all operations may be repeated, except those that say otherwise), and giving up of long ones.

mod devices;
mod disks;
mod lifecycle;
mod migrate;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use driver_api::hypervisor::{
    Acceleration, DiskSpec, DomainEvent, DomainObservation, DomainSpec, HostFacts, Hypervisor,
    MigrationSpec, NicSpec, Result, SnapshotDisk,
};
use driver_api::{DriverError, Kind};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use uuid::Uuid;
use virt::connect::Connect;

use crate::acceleration::Probe;
use crate::calls::{Calls, Lane, deadline};
use crate::connection::Connection;
use crate::domain_xml::device_alias;
use lifecycle::Known;

/// Most of a long operation's limit that is kept for giving it up in an orderly way.
const GIVE_UP_MAX: Duration = Duration::from_secs(3);
/// Pause between looks at whether a guest has let go of a device.
const UNPLUG_POLL: Duration = Duration::from_millis(50);
/// A guest is asked again this often: one that was booting has not heard us.
const UNPLUG_AGAIN: Duration = Duration::from_secs(2);

/// How to reach libvirt on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibvirtOptions {
    /// libvirt's connection URI, such as `qemu:///system`.
    pub uri: String,
    /// Where the driver keeps what it found out about this boot.
    pub state_dir: PathBuf,
    /// QEMU for the acceleration probe.
    pub qemu: PathBuf,
}

impl LibvirtOptions {
    /// The usual binary, with `uri` and `state_dir`.
    pub fn new(uri: impl Into<String>, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            uri: uri.into(),
            state_dir: state_dir.into(),
            qemu: PathBuf::from("/usr/bin/qemu-system-x86_64"),
        }
    }
}

/// The hypervisor of this host, through libvirt. Cheap to make: the connection comes up in the background.
#[derive(Debug)]
pub struct LibvirtHypervisor {
    options: LibvirtOptions,
    connection: Connection,
    calls: Calls,
    known: Arc<Known>,
}

impl LibvirtHypervisor {
    /// Begins to connect; never fails, since libvirt may come later.
    pub fn new(options: LibvirtOptions) -> Self {
        Self {
            connection: Connection::keep(options.uri.clone()),
            calls: Calls::default(),
            known: Arc::default(),
            options,
        }
    }

    /// Runs a short operation; once more if the connection broke under it.
    async fn short<T: Send + 'static>(
        &self,
        subject: impl ToString + Send,
        limit: Duration,
        operation: impl Fn(&Connect) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let (subject, deadline) = (subject.to_string(), deadline(limit));
        let operation = Arc::new(operation);
        let link = self.connection.get(deadline, None).await?;
        let first = Arc::clone(&operation);
        match self.once(&subject, deadline, link.connection, move |link| first(link)).await? {
            Outcome::Done(result) => return result,
            Outcome::Broken(error) => {
                tracing::debug!(subject, %error, "repeated on a new connection");
            }
        }
        let link = self.connection.get(deadline, Some(link.number)).await?;
        match self.once(&subject, deadline, link.connection, move |link| operation(link)).await? {
            Outcome::Done(result) => result,
            Outcome::Broken(error) => Err(broken(&subject, &error)),
        }
    }

    /// Runs an operation that must not be repeated: a broken connection leaves its outcome unknown.
    async fn unrepeated<T: Send + 'static>(
        &self,
        vm: Uuid,
        limit: Duration,
        operation: impl FnOnce(&Connect) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (subject, deadline) = (vm.to_string(), deadline(limit));
        let link = self.connection.get(deadline, None).await?;
        match self.once(&subject, deadline, link.connection, operation).await? {
            Outcome::Done(result) => result,
            Outcome::Broken(error) => Err(broken(&subject, &error)),
        }
    }

    async fn once<T: Send + 'static>(
        &self,
        subject: &str,
        deadline: Instant,
        connection: Connect,
        operation: impl FnOnce(&Connect) -> Result<T> + Send + 'static,
    ) -> Result<Outcome<T>> {
        let call = move || attempt(&connection, operation);
        self.calls.run(Lane::Short, subject, deadline, call).await
    }

    /// Runs a long operation; shortly before the limit it is given up, so that its outcome is known.
    async fn long<T: Send + 'static>(
        &self,
        vm: Uuid,
        limit: Duration,
        operation: impl FnOnce(&Connect) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (subject, end) = (vm.to_string(), deadline(limit));
        let give_up = end - GIVE_UP_MAX.min(limit / 4);
        let connection = self.connection.get(give_up, None).await?.connection;
        let call = move || attempt(&connection, operation);
        let mut pending = self.calls.start(Lane::Long, &subject, give_up, call).await?;
        let outcome = match pending.wait(give_up).await {
            Err(error) if error.kind == Kind::Timeout => {
                tracing::warn!(subject, ?limit, "not done in time, giving it up");
                let left = end.saturating_duration_since(Instant::now());
                let asked = self.short(vm, left, move |link| lifecycle::cancel_job(link, vm)).await;
                if let Err(error) = asked {
                    tracing::warn!(subject, %error, "it can't be given up either");
                }
                match pending.wait(end).await? {
                    Outcome::Done(Err(error)) => {
                        let text = format!("given up after {limit:?}: {}", error.detail);
                        return Err(DriverError::new(Kind::Cancelled, subject, text));
                    }
                    other => other,
                }
            }
            other => other?,
        };
        match outcome {
            Outcome::Done(result) => result,
            Outcome::Broken(error) => Err(broken(&subject, &error)),
        }
    }

    /// Asks the guest to let go of the device `alias` and waits until it has; the guest decides how long that takes.
    async fn unplug(&self, vm: Uuid, alias: String, limit: Duration) -> Result<()> {
        let deadline = deadline(limit);
        let mut ask_at = Instant::now();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wanted = alias.clone();
            let there = if Instant::now() >= ask_at {
                ask_at = Instant::now() + UNPLUG_AGAIN;
                self.short(vm, left, move |link| devices::unplug(link, vm, &wanted)).await
            } else {
                self.short(vm, left, move |link| devices::is_plugged(link, vm, &wanted)).await
            };
            match there {
                Ok(false) => return Ok(()),
                Err(error) => return Err(error),
                Ok(true) if left <= UNPLUG_POLL => {
                    let text = format!("the guest has not let go of {alias} within its limit");
                    return Err(DriverError::new(Kind::Timeout, vm.to_string(), text));
                }
                Ok(true) => sleep(UNPLUG_POLL).await,
            }
        }
    }
}

/// How a call on a connection ended.
#[derive(Debug)]
enum Outcome<T> {
    Done(Result<T>),
    /// The connection went away meanwhile; whether it was done is unknown.
    Broken(DriverError),
}

fn attempt<T>(connection: &Connect, operation: impl FnOnce(&Connect) -> Result<T>) -> Outcome<T> {
    match operation(connection) {
        Err(error) if !matches!(connection.is_alive(), Ok(true)) => Outcome::Broken(error),
        result => Outcome::Done(result),
    }
}

fn broken(subject: &str, error: &DriverError) -> DriverError {
    let text = format!("libvirt's daemon was lost, the outcome is unknown: {}", error.detail);
    DriverError::new(Kind::Timeout, subject, text)
}

#[async_trait]
impl Hypervisor for LibvirtHypervisor {
    async fn facts(&self, limit: Duration) -> Result<HostFacts> {
        self.short("host", limit, lifecycle::facts).await
    }

    async fn probe_acceleration(&self, limit: Duration) -> Acceleration {
        if self.options.uri.starts_with("xen") {
            return Acceleration::Xen;
        }
        let probe = Probe::kvm(self.options.qemu.clone(), &self.options.state_dir);
        let end = deadline(limit);
        // The probe keeps to the limit by itself; the margin lets it say so.
        let inner = limit - limit / 10;
        let answer = self.calls.run(Lane::Short, "kvm", end, move || probe.run(inner)).await;
        answer.unwrap_or(Acceleration::Tcg)
    }

    async fn list(&self, limit: Duration) -> Result<Vec<DomainObservation>> {
        let known = Arc::clone(&self.known);
        self.short("host", limit, move |link| lifecycle::list(link, &known)).await
    }

    async fn observe(&self, vm: Uuid, limit: Duration) -> Result<DomainObservation> {
        let known = Arc::clone(&self.known);
        self.short(vm, limit, move |link| lifecycle::observe(link, &known, vm)).await
    }

    async fn create_paused(&self, spec: &DomainSpec, limit: Duration) -> Result<DomainObservation> {
        let (known, vm, spec) = (Arc::clone(&self.known), spec.vm, spec.clone());
        self.short(vm, limit, move |link| lifecycle::create_paused(link, &known, &spec)).await
    }

    async fn unpause(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.short(vm, limit, move |link| lifecycle::unpause(link, vm)).await
    }

    async fn pause(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.short(vm, limit, move |link| lifecycle::pause(link, vm)).await
    }

    async fn request_shutdown(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.short(vm, limit, move |link| lifecycle::request_shutdown(link, vm)).await
    }

    async fn request_reboot(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.unrepeated(vm, limit, move |link| lifecycle::request_reboot(link, vm)).await
    }

    async fn reset(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.unrepeated(vm, limit, move |link| lifecycle::reset(link, vm)).await
    }

    async fn destroy(&self, vm: Uuid, limit: Duration) -> Result<()> {
        let until = std::time::Instant::now() + limit;
        self.short(vm, limit, move |link| lifecycle::destroy(link, vm, until)).await
    }

    async fn save(&self, vm: Uuid, path: &Path, limit: Duration) -> Result<()> {
        let path = path.to_owned();
        self.long(vm, limit, move |link| lifecycle::save(link, vm, &path)).await
    }

    async fn restore_paused(
        &self,
        spec: &DomainSpec,
        path: &Path,
        limit: Duration,
    ) -> Result<DomainObservation> {
        let (known, vm) = (Arc::clone(&self.known), spec.vm);
        let (spec, path) = (spec.clone(), path.to_owned());
        let restore = move |link: &Connect| lifecycle::restore_paused(link, &known, &spec, &path);
        self.long(vm, limit, restore).await
    }

    async fn checkpoint(
        &self,
        vm: Uuid,
        path: &Path,
        disks: &[SnapshotDisk],
        limit: Duration,
    ) -> Result<()> {
        let (path, disks) = (path.to_owned(), disks.to_vec());
        self.long(vm, limit, move |link| disks::switch(link, vm, &disks, Some(&path))).await
    }

    async fn snapshot_disks(
        &self,
        vm: Uuid,
        disks: &[SnapshotDisk],
        limit: Duration,
    ) -> Result<()> {
        let disks = disks.to_vec();
        self.long(vm, limit, move |link| disks::switch(link, vm, &disks, None)).await
    }

    async fn settled(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.short(vm, limit, move |link| disks::settled(link, vm)).await
    }

    async fn plug_disk(&self, vm: Uuid, disk: &DiskSpec, limit: Duration) -> Result<()> {
        let disk = disk.clone();
        self.short(vm, limit, move |link| devices::plug_disk(link, vm, &disk)).await
    }

    async fn unplug_disk(&self, vm: Uuid, disk: &DiskSpec, limit: Duration) -> Result<()> {
        self.unplug(vm, device_alias(disk.vbd), limit).await
    }

    async fn change_medium(&self, vm: Uuid, disk: &DiskSpec, limit: Duration) -> Result<()> {
        let disk = disk.clone();
        self.short(vm, limit, move |link| devices::change_medium(link, vm, &disk)).await
    }

    async fn plug_nic(&self, vm: Uuid, nic: &NicSpec, limit: Duration) -> Result<()> {
        let nic = nic.clone();
        self.short(vm, limit, move |link| devices::plug_nic(link, vm, &nic)).await
    }

    async fn unplug_nic(&self, vm: Uuid, nic: &NicSpec, limit: Duration) -> Result<()> {
        self.unplug(vm, device_alias(nic.vif), limit).await
    }

    async fn resize_disk(
        &self,
        vm: Uuid,
        disk: &DiskSpec,
        size_bytes: u64,
        limit: Duration,
    ) -> Result<()> {
        let disk = disk.clone();
        self.short(vm, limit, move |link| devices::resize_disk(link, vm, &disk, size_bytes)).await
    }

    async fn set_memory(&self, vm: Uuid, memory_bytes: u64, limit: Duration) -> Result<()> {
        self.short(vm, limit, move |link| devices::set_memory(link, vm, memory_bytes)).await
    }

    async fn migrate(&self, spec: &MigrationSpec, limit: Duration) -> Result<()> {
        let (vm, spec) = (spec.vm, spec.clone());
        self.long(vm, limit, move |link| migrate::migrate(link, &spec)).await
    }

    async fn cancel_job(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.short(vm, limit, move |link| lifecycle::cancel_job(link, vm)).await
    }

    async fn job_progress(&self, vm: Uuid, limit: Duration) -> Result<Option<f64>> {
        self.short(vm, limit, move |link| lifecycle::job_progress(link, vm)).await
    }

    async fn screenshot(&self, vm: Uuid, limit: Duration) -> Result<Vec<u8>> {
        self.short(vm, limit, move |link| lifecycle::screenshot(link, vm)).await
    }

    async fn events(&self) -> Result<mpsc::Receiver<DomainEvent>> {
        Ok(self.connection.events().subscribe())
    }
}
