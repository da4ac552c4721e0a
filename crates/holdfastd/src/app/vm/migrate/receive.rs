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
    loop {
        match args.verdict_in(&daemon.view().await) {
            Verdict::Stays => return Err(taken_back()),
            Verdict::Arrived => return Ok(Flow::Next),
            Verdict::Moving => {}
        }
        // A hypervisor that does not answer is waited for: the guest may be on its way.
        if let Ok(Some(seen)) = look(daemon, &args).await {
            let registered = enter(daemon, &args, &seen, true).await;
            if registered || seen.state == DomainState::Running {
                return Ok(Flow::Next);
            }
        }
        pause(daemon).await?;
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
    let mut gone = 0;
    loop {
        let view = daemon.view().await;
        match args.verdict_in(&view) {
            Verdict::Stays => return Err(taken_back()),
            Verdict::Arrived => return Ok(Flow::Next),
            Verdict::Moving => {}
        }
        let verdict = match look(daemon, &args).await {
            // Its CPUs run here: the hypervisor starts them only after the source's have stopped.
            Ok(Some(seen)) if seen.state == DomainState::Running => {
                Some(args.arrival(daemon, &view, seen.pid))
            }
            Ok(Some(_)) | Err(_) => {
                gone = 0;
                None
            }
            // Nothing of it is left here, and it never ran here: it stays where it was.
            Ok(None) => {
                gone += 1;
                (gone >= GONE_LOOKS && no_process(daemon, args.vm)).then(|| args.stay(&view))
            }
        };
        if let Some(change) = verdict
            && let Err(error) = edits::commit(daemon, &change).await
        {
            tracing::debug!(vm = %args.vm, %error, "the verdict on a migration is not recorded yet");
            daemon.catch_up().await;
        }
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

async fn confirm(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Move = sagas::args(state)?;
    if let Ok(Some(seen)) = look(daemon, &args).await {
        enter(daemon, &args, &seen, false).await;
        let mut change = Change::new();
        if let Some(pid) = seen.pid {
            change.set(Object::new("VM", args.vm), "domid", i64::from(pid));
        }
        state.stage(change);
    }
    Ok(Flow::Next)
}
