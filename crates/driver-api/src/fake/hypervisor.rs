//! An in-memory hypervisor for the simulator and for tests of the daemon.
//!
//! Held to the same conformance suite as the libvirt driver. It is not a model of a guest: no time passes inside, and
//! nothing is written to real files. Several hosts share one [`World`], which judges the laws (a VM runs once, a disk
//! has one writer) and holds the switches by which tests make things fail. All waiting goes through tokio's clock, so
//! paused time works.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::hypervisor::{
    Acceleration, DiskKind, DiskSpec, DomainEvent, DomainEventKind, DomainObservation, DomainSpec,
    DomainState, HostFacts, Hypervisor, MigratedDisk, MigrationSpec, NicSpec, OnExit, Result,
    SnapshotDisk, StopReason,
};
use crate::{DriverError, Kind};

pub mod world;

use world::{Domain, Job, State};
pub use world::{Effect, Fault, Operation, Violation, World};

/// Screenshot of every fake guest: a PNG of one black pixel.
const BLACK_PIXEL_PNG: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b,
    0x55, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x60, 0x00, 0x00, 0x00,
    0x02, 0x00, 0x01, 0x48, 0xaf, 0xa4, 0x71, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae,
    0x42, 0x60, 0x82,
];

/// CPU time that a fake guest is said to have used at each look, ns.
const CPU_TIME_STEP_NS: u64 = 1_000_000;

/// The hypervisor of one host of a [`World`]; made by [`World::host`].
#[derive(Debug)]
pub struct FakeHypervisor {
    world: Arc<World>,
    host: String,
}

impl FakeHypervisor {
    /// The world that this host is part of.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Runs `act` as one operation: faults first, then the effect, then the reply.
    async fn call<T>(
        &self,
        operation: Operation,
        vm: Option<Uuid>,
        limit: Duration,
        act: impl FnOnce(&mut State, &str) -> Result<T> + Send,
    ) -> Result<T> {
        match self.meet_faults(operation, vm, limit).await? {
            Some(Effect::LoseReply) => {
                // The result is what the caller never learns.
                let _lost = act(&mut self.world.lock(), &self.host);
                tokio::time::sleep(limit).await;
                Err(self.timeout(operation, vm))
            }
            Some(Effect::Delay(delay)) if delay >= limit => {
                tokio::time::sleep(limit).await;
                Err(self.timeout(operation, vm))
            }
            Some(Effect::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                act(&mut self.world.lock(), &self.host)
            }
            Some(Effect::Hang | Effect::Refuse(..)) | None => {
                act(&mut self.world.lock(), &self.host)
            }
        }
    }

    /// Fails if the host is off, hung or the operation is to be refused; hands back the effects that go further.
    async fn meet_faults(
        &self,
        operation: Operation,
        vm: Option<Uuid>,
        limit: Duration,
    ) -> Result<Option<Effect>> {
        let effect = {
            let mut state = self.world.lock();
            let host = state.host(&self.host);
            if !host.up {
                return Err(DriverError::new(Kind::Unavailable, &self.host, "the host is off"));
            }
            if host.hung { Some(Effect::Hang) } else { state.take_fault(&self.host, operation, vm) }
        };
        match effect {
            Some(Effect::Refuse(kind, text)) => {
                Err(DriverError::new(kind, subject(&self.host, vm), text))
            }
            Some(Effect::Hang) => {
                tokio::time::sleep(limit).await;
                Err(self.timeout(operation, vm))
            }
            other => Ok(other),
        }
    }

    fn timeout(&self, operation: Operation, vm: Option<Uuid>) -> DriverError {
        let text = format!("{operation:?} did not end within its limit");
        DriverError::new(Kind::Timeout, subject(&self.host, vm), text)
    }

    /// Puts the other side of a migration in place; gives the target's host name.
    fn migration_begin(&self, spec: &MigrationSpec, lasts: Duration) -> Result<String> {
        let mut state = self.world.lock();
        let failed = |kind, text: &str| DriverError::new(kind, spec.vm.to_string(), text);
        let target = state
            .hosts
            .iter()
            .find(|(_, host)| host.address == spec.target_address)
            .map(|(name, _)| name.clone())
            .ok_or_else(|| failed(Kind::Failed, "unable to connect to the target"))?;
        let source = state.domain(&self.host, spec.vm)?;
        if source.state != DomainState::Running {
            return Err(failed(Kind::BadState, "the domain is not running"));
        }
        if source.job.is_some() {
            return Err(failed(Kind::BadState, "another job is under way"));
        }
        let mut target_spec = source.spec.clone();
        let reachable = state.linked(&self.host, &target) && state.host(&target).up;
        if !reachable || state.host(&target).hung {
            return Err(failed(Kind::Failed, "unable to connect to the target"));
        }
        if state.host(&target).domains.contains_key(&spec.vm) {
            return Err(failed(Kind::AlreadyExists, "the target has a domain of this VM"));
        }
        target_spec.generation = spec.generation;
        for moved in spec.copy_disks.iter().chain(&spec.shared_disks) {
            let MigratedDisk { position, target_path, format } = moved;
            let disk = disk_at(&mut target_spec, *position, spec.vm)?;
            disk.path = Some(target_path.clone());
            disk.format = *format;
        }
        let pid = state.next_pid();
        let incoming = Domain {
            memory_bytes: target_spec.memory_bytes,
            spec: target_spec,
            state: DomainState::Incoming,
            pid,
            cpu_time_ns: 0,
            job: None,
        };
        state.host(&target).domains.insert(spec.vm, incoming);
        state.domain(&self.host, spec.vm)?.job =
            Some(Job { started: tokio::time::Instant::now(), lasts, cancelled: false });
        Ok(target)
    }

    /// Ends a migration: the guest moves if both sides are still there and nobody cancelled, else it stays.
    fn migration_finish(&self, vm: Uuid, target: &str, in_time: bool) -> Result<()> {
        let mut state = self.world.lock();
        let linked = state.linked(&self.host, target);
        let cancelled = match state.host(&self.host).domains.get_mut(&vm) {
            Some(source) => source.job.take().is_some_and(|job| job.cancelled),
            None => {
                state.host(target).domains.remove(&vm);
                return Err(DriverError::new(Kind::Failed, vm.to_string(), "the source ended"));
            }
        };
        let there = state.host(target).domains.contains_key(&vm);
        if cancelled || !in_time || !linked || !there {
            state.host(target).domains.remove(&vm);
            let (kind, text) = if cancelled || !in_time {
                (Kind::Cancelled, "the migration was cancelled; the guest runs on here")
            } else {
                (Kind::Failed, "the target was lost; the guest runs on here")
            };
            return Err(DriverError::new(kind, vm.to_string(), text));
        }
        state.host(&self.host).domains.remove(&vm);
        state.publish(&self.host, vm, DomainEventKind::Stopped(StopReason::Migrated));
        state.publish(target, vm, DomainEventKind::Started);
        set_running(&mut state, target, vm)
    }
}

fn subject(host: &str, vm: Option<Uuid>) -> String {
    vm.map_or_else(|| host.to_owned(), |vm| vm.to_string())
}

fn invalid(vm: Uuid, text: impl Into<String>) -> DriverError {
    DriverError::new(Kind::Invalid, vm.to_string(), text)
}

fn disk_at(spec: &mut DomainSpec, position: u32, vm: Uuid) -> Result<&mut DiskSpec> {
    spec.disks
        .iter_mut()
        .find(|disk| disk.position == position)
        .ok_or_else(|| invalid(vm, format!("the domain has no disk {position}")))
}

fn set_running(state: &mut State, host: &str, vm: Uuid) -> Result<()> {
    state.domain(host, vm)?.state = DomainState::Running;
    state.publish(host, vm, DomainEventKind::Resumed);
    state.judge(host, vm);
    Ok(())
}

fn end(state: &mut State, host: &str, vm: Uuid, why: StopReason) {
    if state.host(host).domains.remove(&vm).is_some() {
        state.publish(host, vm, DomainEventKind::Stopped(why));
    }
}

/// Makes a paused domain of `spec`, or finds that it is there already.
fn create(state: &mut State, host: &str, spec: &DomainSpec) -> Result<DomainObservation> {
    if let Some(present) = state.host(host).domains.get(&spec.vm) {
        if present.spec.generation == spec.generation {
            return Ok(present.observe());
        }
        let text = format!(
            "a domain of generation {} exists, {} was asked for",
            present.spec.generation, spec.generation
        );
        return Err(DriverError::new(Kind::AlreadyExists, spec.vm.to_string(), text));
    }
    state.check_image_locks(host, spec.vm, &spec.disks)?;
    let domain = Domain {
        spec: spec.clone(),
        state: DomainState::Paused,
        pid: state.next_pid(),
        memory_bytes: spec.memory_bytes,
        cpu_time_ns: 0,
        job: None,
    };
    let observation = domain.observe();
    state.host(host).domains.insert(spec.vm, domain);
    state.publish(host, spec.vm, DomainEventKind::Started);
    Ok(observation)
}

fn switch_disks(spec: &mut DomainSpec, disks: &[SnapshotDisk]) -> Result<()> {
    let vm = spec.vm;
    // All or none: look before the first is switched.
    for switched in disks {
        let disk = disk_at(spec, switched.position, vm)?;
        if disk.path.is_none() || disk.kind == DiskKind::Cd {
            return Err(invalid(vm, format!("device {} holds no disk", switched.position)));
        }
        if disk.path.as_ref() == Some(&switched.overlay) {
            return Err(invalid(vm, "the overlay's path is what the guest has open already"));
        }
    }
    for switched in disks {
        let disk = disk_at(spec, switched.position, vm)?;
        disk.path = Some(switched.overlay.clone());
        disk.format = switched.format;
    }
    Ok(())
}

#[async_trait]
impl Hypervisor for FakeHypervisor {
    async fn facts(&self, limit: Duration) -> Result<HostFacts> {
        self.call(Operation::Facts, None, limit, |state, host| Ok(state.host(host).facts.clone()))
            .await
    }

    async fn probe_acceleration(&self, _limit: Duration) -> Acceleration {
        self.world.lock().host(&self.host).acceleration
    }

    async fn list(&self, limit: Duration) -> Result<Vec<DomainObservation>> {
        self.call(Operation::List, None, limit, |state, host| {
            Ok(state.host(host).domains.values().map(Domain::observe).collect())
        })
        .await
    }

    async fn observe(&self, vm: Uuid, limit: Duration) -> Result<DomainObservation> {
        self.call(Operation::Observe, Some(vm), limit, |state, host| {
            let domain = state.domain(host, vm)?;
            if domain.state == DomainState::Running {
                domain.cpu_time_ns += CPU_TIME_STEP_NS;
            }
            Ok(domain.observe())
        })
        .await
    }

    async fn create_paused(&self, spec: &DomainSpec, limit: Duration) -> Result<DomainObservation> {
        self.call(Operation::CreatePaused, Some(spec.vm), limit, |state, host| {
            create(state, host, spec)
        })
        .await
    }

    async fn unpause(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.call(Operation::Unpause, Some(vm), limit, |state, host| {
            match state.domain(host, vm)?.state {
                DomainState::Running => Ok(()),
                DomainState::Paused | DomainState::PausedIoError => set_running(state, host, vm),
                other => Err(bad_state(vm, other)),
            }
        })
        .await
    }

    async fn pause(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.call(Operation::Pause, Some(vm), limit, |state, host| {
            let domain = state.domain(host, vm)?;
            match domain.state {
                DomainState::Paused | DomainState::PausedIoError => Ok(()),
                DomainState::Running => {
                    domain.state = DomainState::Paused;
                    state.publish(host, vm, DomainEventKind::Suspended);
                    Ok(())
                }
                other => Err(bad_state(vm, other)),
            }
        })
        .await
    }

    async fn request_shutdown(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.call(Operation::RequestShutdown, Some(vm), limit, |state, host| {
            must_run(state, host, vm)?;
            if state.obeys(vm) {
                end(state, host, vm, StopReason::Shutdown);
            }
            Ok(())
        })
        .await
    }

    async fn request_reboot(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.call(Operation::RequestReboot, Some(vm), limit, |state, host| {
            must_run(state, host, vm)?;
            if state.obeys(vm) {
                reboot(state, host, vm)?;
            }
            Ok(())
        })
        .await
    }

    async fn reset(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.call(Operation::Reset, Some(vm), limit, |state, host| reboot(state, host, vm)).await
    }

    async fn destroy(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.call(Operation::Destroy, Some(vm), limit, |state, host| {
            end(state, host, vm, StopReason::Destroyed);
            Ok(())
        })
        .await
    }

    async fn save(&self, vm: Uuid, path: &Path, limit: Duration) -> Result<()> {
        self.call(Operation::Save, Some(vm), limit, |state, host| {
            let spec = state.domain(host, vm)?.spec.clone();
            let key = state.file_key(host, path);
            state.saved.insert(key, spec);
            end(state, host, vm, StopReason::Saved);
            Ok(())
        })
        .await
    }

    async fn restore_paused(
        &self,
        spec: &DomainSpec,
        path: &Path,
        limit: Duration,
    ) -> Result<DomainObservation> {
        self.call(Operation::RestorePaused, Some(spec.vm), limit, |state, host| {
            if state.host(host).domains.contains_key(&spec.vm) {
                return create(state, host, spec);
            }
            let key = state.file_key(host, path);
            let saved = state.saved.get(&key).ok_or_else(|| {
                DriverError::new(Kind::NotFound, path.display().to_string(), "no such file")
            })?;
            let disks = |spec: &DomainSpec| {
                let mut disks: Vec<_> =
                    spec.disks.iter().map(|disk| (disk.position, disk.kind)).collect();
                disks.sort_by_key(|(position, _)| *position);
                disks
            };
            let macs = |spec: &DomainSpec| {
                let mut macs: Vec<_> = spec.nics.iter().map(|nic| nic.mac.clone()).collect();
                macs.sort();
                macs
            };
            if saved.vm != spec.vm || disks(saved) != disks(spec) || macs(saved) != macs(spec) {
                return Err(invalid(spec.vm, "the saved machine has other disks or NICs"));
            }
            create(state, host, spec)
        })
        .await
    }

    async fn checkpoint(
        &self,
        vm: Uuid,
        path: &Path,
        disks: &[SnapshotDisk],
        limit: Duration,
    ) -> Result<()> {
        self.call(Operation::Checkpoint, Some(vm), limit, |state, host| {
            let domain = state.domain(host, vm)?;
            let before = domain.spec.clone();
            switch_disks(&mut domain.spec, disks)?;
            let key = state.file_key(host, path);
            state.saved.insert(key, before);
            state.judge(host, vm);
            Ok(())
        })
        .await
    }

    async fn snapshot_disks(
        &self,
        vm: Uuid,
        disks: &[SnapshotDisk],
        limit: Duration,
    ) -> Result<()> {
        self.call(Operation::SnapshotDisks, Some(vm), limit, |state, host| {
            switch_disks(&mut state.domain(host, vm)?.spec, disks)?;
            state.judge(host, vm);
            Ok(())
        })
        .await
    }

    async fn settled(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.call(Operation::Settled, Some(vm), limit, |state, host| {
            state.domain(host, vm).map(drop)
        })
        .await
    }

    async fn plug_disk(&self, vm: Uuid, disk: &DiskSpec, limit: Duration) -> Result<()> {
        self.call(Operation::PlugDisk, Some(vm), limit, |state, host| {
            let domain = state.domain(host, vm)?;
            if disk.kind == DiskKind::Cd {
                let text = "CD drives can't be plugged while the domain runs";
                return Err(DriverError::new(Kind::Unsupported, vm.to_string(), text));
            }
            let clash =
                |other: &&DiskSpec| other.vbd == disk.vbd || other.position == disk.position;
            match domain.spec.disks.iter().find(clash) {
                Some(present) if present == disk => return Ok(()),
                Some(_) => {
                    let text = format!("device {} is taken", disk.position);
                    return Err(DriverError::new(Kind::AlreadyExists, vm.to_string(), text));
                }
                None => {}
            }
            state.check_image_locks(host, vm, std::slice::from_ref(disk))?;
            state.domain(host, vm)?.spec.disks.push(disk.clone());
            state.judge(host, vm);
            Ok(())
        })
        .await
    }

    async fn unplug_disk(&self, vm: Uuid, disk: &DiskSpec, limit: Duration) -> Result<()> {
        self.call(Operation::UnplugDisk, Some(vm), limit, |state, host| {
            state.domain(host, vm)?.spec.disks.retain(|other| other.vbd != disk.vbd);
            Ok(())
        })
        .await
    }

    async fn change_medium(&self, vm: Uuid, disk: &DiskSpec, limit: Duration) -> Result<()> {
        self.call(Operation::ChangeMedium, Some(vm), limit, |state, host| {
            let drive = disk_at(&mut state.domain(host, vm)?.spec, disk.position, vm)?;
            if drive.kind != DiskKind::Cd {
                return Err(invalid(vm, format!("device {} is no CD drive", disk.position)));
            }
            drive.path.clone_from(&disk.path);
            drive.format = disk.format;
            Ok(())
        })
        .await
    }

    async fn plug_nic(&self, vm: Uuid, nic: &NicSpec, limit: Duration) -> Result<()> {
        self.call(Operation::PlugNic, Some(vm), limit, |state, host| {
            let nics = &mut state.domain(host, vm)?.spec.nics;
            match nics.iter().find(|other| other.vif == nic.vif || other.mac == nic.mac) {
                Some(present) if present == nic => Ok(()),
                Some(_) => {
                    let text = format!("interface {} is taken", nic.mac);
                    Err(DriverError::new(Kind::AlreadyExists, vm.to_string(), text))
                }
                None => {
                    nics.push(nic.clone());
                    Ok(())
                }
            }
        })
        .await
    }

    async fn unplug_nic(&self, vm: Uuid, nic: &NicSpec, limit: Duration) -> Result<()> {
        self.call(Operation::UnplugNic, Some(vm), limit, |state, host| {
            state.domain(host, vm)?.spec.nics.retain(|other| other.vif != nic.vif);
            Ok(())
        })
        .await
    }

    async fn resize_disk(
        &self,
        vm: Uuid,
        disk: &DiskSpec,
        size_bytes: u64,
        limit: Duration,
    ) -> Result<()> {
        self.call(Operation::ResizeDisk, Some(vm), limit, |state, host| {
            let path = disk_at(&mut state.domain(host, vm)?.spec, disk.position, vm)?.path.clone();
            let path = path.ok_or_else(|| invalid(vm, "the device holds no disk"))?;
            let key = state.file_key(host, &path);
            state.sizes.insert(key, size_bytes);
            Ok(())
        })
        .await
    }

    async fn set_memory(&self, vm: Uuid, memory_bytes: u64, limit: Duration) -> Result<()> {
        self.call(Operation::SetMemory, Some(vm), limit, |state, host| {
            let domain = state.domain(host, vm)?;
            if memory_bytes > domain.spec.memory_max_bytes {
                return Err(invalid(vm, "more memory than the domain's maximum"));
            }
            domain.memory_bytes = memory_bytes;
            Ok(())
        })
        .await
    }

    async fn migrate(&self, spec: &MigrationSpec, limit: Duration) -> Result<()> {
        let effect = self.meet_faults(Operation::Migrate, Some(spec.vm), limit).await?;
        let lasts = match effect {
            Some(Effect::Delay(delay)) => delay,
            _ => Duration::ZERO,
        };
        let target = self.migration_begin(spec, lasts)?;
        // Like libvirt's, a migration goes on when the daemon that asked for it dies.
        let (moving, vm) =
            (Self { world: Arc::clone(&self.world), host: self.host.clone() }, spec.vm);
        let finish = async move {
            if !lasts.is_zero() {
                tokio::time::sleep(lasts.min(limit)).await;
            }
            moving.migration_finish(vm, &target, lasts <= limit)
        };
        let outcome = match self.world.runtime() {
            Some(runtime) => match runtime.spawn(finish).await {
                Ok(outcome) => outcome,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => Err(self.timeout(Operation::Migrate, Some(vm))),
            },
            None => finish.await,
        };
        if effect == Some(Effect::LoseReply) {
            tokio::time::sleep(limit).await;
            return Err(self.timeout(Operation::Migrate, Some(spec.vm)));
        }
        outcome
    }

    async fn cancel_job(&self, vm: Uuid, limit: Duration) -> Result<()> {
        self.call(Operation::CancelJob, Some(vm), limit, |state, host| {
            if let Some(job) = &mut state.domain(host, vm)?.job {
                job.cancelled = true;
            }
            Ok(())
        })
        .await
    }

    async fn job_progress(&self, vm: Uuid, limit: Duration) -> Result<Option<f64>> {
        self.call(Operation::JobProgress, Some(vm), limit, |state, host| {
            Ok(state.domain(host, vm)?.job.as_ref().map(|job| {
                let done = job.started.elapsed().as_secs_f64();
                (done / job.lasts.as_secs_f64().max(f64::EPSILON)).min(1.0)
            }))
        })
        .await
    }

    async fn screenshot(&self, vm: Uuid, limit: Duration) -> Result<Vec<u8>> {
        self.call(Operation::Screenshot, Some(vm), limit, |state, host| {
            state.domain(host, vm)?;
            Ok(BLACK_PIXEL_PNG.to_vec())
        })
        .await
    }

    async fn events(&self) -> Result<mpsc::Receiver<DomainEvent>> {
        Ok(self.world.lock().host(&self.host).events.subscribe())
    }
}

fn bad_state(vm: Uuid, state: DomainState) -> DriverError {
    DriverError::new(Kind::BadState, vm.to_string(), format!("the domain is {state:?}"))
}

fn must_run(state: &mut State, host: &str, vm: Uuid) -> Result<()> {
    match state.domain(host, vm)?.state {
        DomainState::Running => Ok(()),
        other => Err(bad_state(vm, other)),
    }
}

fn reboot(state: &mut State, host: &str, vm: Uuid) -> Result<()> {
    let domain = state.domain(host, vm)?;
    if domain.spec.on_reboot == OnExit::Destroy {
        end(state, host, vm, StopReason::Shutdown);
    } else {
        state.publish(host, vm, DomainEventKind::Rebooted);
    }
    Ok(())
}
