//! The target's half of a migration: disks, registration, the proof of arrival. See the parent's header.
//!
//! It never stops a guest that may be the only one: a domain that runs here is stopped only after the placement says that
//! the guest stays on the source. And it never gives up for a reason of its own once the guest may be on its way.

use std::sync::Arc;
use std::time::Duration;

use driver_api::Kind;
use driver_api::hypervisor::{DiskFormat, DomainObservation, DomainState};
use driver_api::storage::{Attached, VolumeSpec};
use host::had::GuestProcess;
use planner::migration::{self, Target};
use saga::StepError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::super::{number, text};
use super::super::launch::{self, STORAGE_QUICK, storage_failed};
use super::super::{claim, spec};
use super::{Move, Verdict};
use crate::edits::{self, Change, Object};
use crate::records::{Placement, decode};
use crate::sagas::{self, Def, Flow, State, StepResult, UndoResult, action};
use crate::{Daemon, View};

/// Key under which the source reads what is prepared.
pub(super) const READY: &str = "ready";
/// Pause between looks for the guest.
const LOOK: Duration = Duration::from_millis(10);
/// Longest single look.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// Looks for a domain that was here and is gone, before the guest is said to stay on the source.
const GONE_LOOKS: u32 = 20;

/// A disk as this host opens it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) position: u32,
    pub(super) at: Attached,
    pub(super) copied: bool,
}

pub(super) fn saga() -> Def {
    Def::new("vm_receive")
        .step("prepare", action!(prepare), action!(discard))
        .step("register", action!(register), action!(stop_incoming))
        .last("arrive", action!(arrive))
        .no_return()
        .last("confirm", action!(confirm))
}

async fn prepare(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Move = sagas::args(state)?;
    let view = daemon.view().await;
    if args.verdict_in(&view) == Verdict::Stays {
        return Err(taken_back());
    }
    let mut ready = Vec::new();
    for disk in &args.disks {
        let at = match &disk.copy {
            None => attach(daemon, &view, disk.sr, disk.vdi).await?,
            Some(copy) => {
                create(daemon, &view, disk.vdi, copy).await?;
                attach(daemon, &view, copy.sr, copy.vdi).await?
            }
        };
        ready.push(Ready { position: disk.position, at, copied: disk.copy.is_some() });
    }
    state.put(READY, ready)?;
    Ok(Flow::Next)
}

fn taken_back() -> StepError {
    StepError::failed("the migration was taken back")
}

async fn attach(
    daemon: &Arc<Daemon>,
    view: &View,
    sr: Uuid,
    vdi: Uuid,
) -> Result<Attached, StepError> {
    let sr = spec::sr_spec(view, sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&sr.kind).map_err(|e| sagas::failed(&e))?;
    driver.volume_attach_incoming(&sr, vdi, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))
}

/// The empty volume that the guest's data come into: as large as the old one.
async fn create(
    daemon: &Arc<Daemon>,
    view: &View,
    old: Uuid,
    copy: &super::Copy,
) -> Result<(), StepError> {
    let sr = spec::sr_spec(view, copy.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&sr.kind).map_err(|e| sagas::failed(&e))?;
    let record = view
        .record("VDI", old)
        .ok_or_else(|| StepError::failed(format!("disk {old} was removed meanwhile")))?;
    let volume = VolumeSpec {
        volume: copy.vdi,
        label: text(record, "name_label").to_owned(),
        description: text(record, "name_description").to_owned(),
        virtual_size_bytes: u64::try_from(number(record, "virtual_size")).unwrap_or_default(),
        format: DiskFormat::Qcow2,
    };
    driver.volume_create(&sr, &volume, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
    Ok(())
}

async fn discard(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Move = sagas::args(state)?;
    let view = daemon.view().await;
    let mut change = Change::new();
    for disk in &args.disks {
        let (vdi, sr) = disk.copy.as_ref().map_or((disk.vdi, disk.sr), |c| (c.vdi, c.sr));
        let Ok(sr) = spec::sr_spec(&view, sr, daemon.host()) else { continue };
        let Ok(driver) = daemon.driver(&sr.kind) else { continue };
        if let Err(error) = driver.volume_detach(&sr, vdi, STORAGE_QUICK).await {
            tracing::warn!(%vdi, %error, "a volume was not detached");
        }
        if let Some(copy) = &disk.copy {
            driver
                .volume_destroy(&sr, copy.vdi, STORAGE_QUICK)
                .await
                .map_err(|e| StepError::transient(e.to_string()))?;
            claim::unlock(&mut change, copy.vdi, args.vm);
            change.delete(Object::new("VDI", copy.vdi));
        }
    }
    state.stage(change);
    Ok(())
}

/// The domain of this migration on this host, if it is there.
async fn look(daemon: &Arc<Daemon>, args: &Move) -> Result<Option<DomainObservation>, StepError> {
    match daemon.hypervisor().observe(args.vm, LOOK_LIMIT).await {
        Ok(seen) if seen.generation.is_none_or(|g| g == args.incoming) => Ok(Some(seen)),
        Ok(_) => Ok(None),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(StepError::transient(error.to_string())),
    }
}

/// Has the guest's process registered as soon as it is there.
async fn register(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Move = sagas::args(state)?;
    let mut watch = Watch { was_here: false, gone: 0 };
    loop {
        let view = daemon.view().await;
        match args.verdict_in(&view) {
            Verdict::Stays => return Err(taken_back()),
            Verdict::Arrived => return Ok(Flow::Next),
            Verdict::Moving => {}
        }
        // A hypervisor that does not answer is waited for: the guest may be on its way.
        let seen = look(daemon, &args).await;
        if let Ok(Some(seen)) = &seen {
            let registered = enter(daemon, &args, seen, true).await;
            if registered || seen.state == DomainState::Running {
                return Ok(Flow::Next);
            }
        }
        watch.judge(daemon, &args, &view, state.id, &seen).await;
        pause(daemon).await?;
    }
}

/// Looks at the guest on this host, one after the other.
struct Watch {
    /// Its domain was here.
    was_here: bool,
    /// Looks in a row that found nothing.
    gone: u32,
}

impl Watch {
    /// Commits the verdict if this look, with what the source has said until `view`, is proof.
    async fn judge(
        &mut self,
        daemon: &Arc<Daemon>,
        args: &Move,
        view: &View,
        own: Uuid,
        seen: &Result<Option<DomainObservation>, StepError>,
    ) {
        self.gone = if matches!(seen, Ok(None)) { self.gone + 1 } else { 0 };
        let target = match seen {
            Err(_) => Target::Unknown,
            Ok(Some(seen)) => match seen.state {
                DomainState::Running => Target::Running,
                DomainState::Incoming => Target::Incoming,
                DomainState::Paused => Target::Paused,
                DomainState::PausedIoError | DomainState::Crashed | DomainState::ShuttingDown => {
                    Target::HasRun
                }
            },
            Ok(None) if self.gone >= GONE_LOOKS && no_process(daemon, args.vm) => {
                Target::Absent { was_here: self.was_here }
            }
            Ok(None) => Target::Unknown,
        };
        // A source that is proved stopped sends no more, and its machine went with it, complete here or not.
        let source = if args.is_fenced(view, args.from) {
            migration::Source::Stopped
        } else {
            super::testimony(view, own)
        };
        let change = match migration::judge(source, target) {
            migration::Verdict::Wait => return,
            migration::Verdict::Arrived => {
                let pid = seen.as_ref().ok().and_then(|seen| seen.as_ref()?.pid);
                args.arrival(daemon, view, pid)
            }
            migration::Verdict::Stays => args.stay(view),
        };
        if let Err(error) = edits::commit(daemon, &change).await {
            tracing::debug!(vm = %args.vm, %error, "the verdict on a migration is not recorded yet");
            daemon.catch_up().await;
        }
    }
}

/// Tells the registry of the process; false if it did not take it.
async fn enter(
    daemon: &Arc<Daemon>,
    args: &Move,
    seen: &DomainObservation,
    incoming: bool,
) -> bool {
    let Some(pid) = seen.pid else { return false };
    let Some(start_ticks) = daemon.had().start_ticks(pid) else { return false };
    let guest = GuestProcess { vm: args.vm, pid, start_ticks, generation: args.incoming, incoming };
    match daemon.had().register(&guest).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(vm = %args.vm, pid, %error, "an arriving guest is not registered yet");
            false
        }
    }
}

async fn pause(daemon: &Arc<Daemon>) -> Result<(), StepError> {
    tokio::select! {
        () = tokio::time::sleep(LOOK) => Ok(()),
        () = daemon.stopping() => Err(StepError::suspend("the daemon stops")),
    }
}

/// Waits for the verdict, and gives it where this host has the proof.
async fn arrive(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Move = sagas::args(state)?;
    let mut watch = Watch { was_here: true, gone: 0 };
    loop {
        let view = daemon.view().await;
        match args.verdict_in(&view) {
            Verdict::Stays => return Err(taken_back()),
            Verdict::Arrived => return Ok(Flow::Next),
            Verdict::Moving => {}
        }
        let seen = look(daemon, &args).await;
        watch.judge(daemon, &args, &view, state.id, &seen).await;
        pause(daemon).await?;
    }
}

fn no_process(daemon: &Arc<Daemon>, vm: Uuid) -> bool {
    daemon.had().processes().iter().all(|(_, other)| *other != vm)
}

/// Only after a majority says that the guest stays on the source.
async fn stop_incoming(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Move = sagas::args(state)?;
    let entry = daemon
        .store()
        .db()
        .get(&claim::placement_key(args.vm))
        .await
        .map_err(|e| StepError::suspend(format!("the placement can't be read again: {e}")))?;
    let placement: Option<Placement> = entry.and_then(|e| decode(&e.value).ok());
    if args.verdict(placement.as_ref()) != Verdict::Stays {
        return Err(StepError::suspend("the guest may be here"));
    }
    match look(daemon, &args).await? {
        Some(_) => launch::destroy_domain(daemon, args.vm, args.incoming).await,
        None => {
            if let Err(error) = daemon.had().unregister(args.vm, args.incoming).await {
                tracing::debug!(vm = %args.vm, %error, "the registry keeps a guest that never ran");
            }
            Ok(())
        }
    }
}

/// A guest that is complete here although neither hypervisor lived to start its processors runs on.
async fn wake(daemon: &Arc<Daemon>, args: &Move, seen: &DomainObservation) {
    let view = daemon.view().await;
    let runs = view.record("VM", args.vm).is_some_and(|vm| text(vm, "power_state") == "Running");
    if seen.state != DomainState::Paused
        || !runs
        || launch::placement_still_ours(daemon, args.vm, args.incoming).await.is_err()
    {
        return;
    }
    if let Err(error) = daemon.hypervisor().unpause(args.vm, launch::QUICK).await {
        tracing::warn!(vm = %args.vm, %error, "a guest stands still after its migration");
    }
}

async fn confirm(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Move = sagas::args(state)?;
    if let Ok(Some(seen)) = look(daemon, &args).await {
        enter(daemon, &args, &seen, false).await;
        wake(daemon, &args, &seen).await;
        let mut change = Change::new();
        if let Some(pid) = seen.pid {
            change.set(Object::new("VM", args.vm), "domid", i64::from(pid));
        }
        state.stage(change);
    }
    Ok(Flow::Next)
}
