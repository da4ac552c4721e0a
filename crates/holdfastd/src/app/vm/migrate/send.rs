//! The source's half of a migration. See the parent's header.
//!
//! The hypervisor is ordered to move the guest at most once: a daemon that comes back in the middle only looks, since
//! libvirt goes on by itself and a second order could meet what the first has left on the target.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use driver_api::Kind;
use driver_api::hypervisor::{DomainState, MigratedDisk, MigrationSpec};
use saga::{SagaState, StepError};
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::Error;

use super::super::super::text;
use super::super::launch::{self, QUICK, STORAGE_QUICK};
use super::super::{claim, spec};
use super::receive::{READY, Ready};
use super::{Move, Verdict};
use crate::edits::{self, Change, Object};
use crate::records::{Member, Placement, decode};
use crate::sagas::{self, Def, Flow, State, StepResult, UndoResult, action};
use crate::{Daemon, View, tasks};

/// Longest wait for the target to prepare: its daemon may be restarting.
const PREPARE_LIMIT: Duration = Duration::from_secs(60);
/// Longest migration, disks included.
const MIGRATION_LIMIT: Duration = Duration::from_secs(12 * 3600);
/// Pause between looks at a migration.
const LOOK: Duration = Duration::from_millis(200);
/// How long the target may take to record the arrival before the source does it.
const TARGETS_TURN: Duration = Duration::from_secs(3);
/// How long the target's word on a migration is waited for before this side turns around and gives testimony.
const WORD: Duration = Duration::from_secs(10);
/// How long the target's saga may take to end before its record is left to house-keeping.
const TARGETS_END: Duration = Duration::from_secs(5);

pub(super) fn saga() -> Def {
    Def::new("vm_migrate")
        .step("claimed", action!(claimed), action!(stay))
        .check("await_target", action!(await_target))
        .check("depart", action!(depart))
        .step(super::ORDER, action!(migrate), action!(halt))
        .check("settle", action!(settle))
        .no_return()
        .last("leave", action!(leave))
}

/// Sagas of this process that have not given the order yet.
fn orders() -> &'static Mutex<HashSet<Uuid>> {
    static ORDERS: OnceLock<Mutex<HashSet<Uuid>>> = OnceLock::new();
    ORDERS.get_or_init(Mutex::default)
}

async fn claimed(_: &Arc<Daemon>, _: &mut State) -> StepResult {
    Ok(Flow::Next)
}

/// The placement as a majority has it.
async fn verdict(daemon: &Arc<Daemon>, args: &Move) -> Result<Verdict, StepError> {
    let entry = daemon.store().db().get(&claim::placement_key(args.vm)).await.map_err(|e| {
        StepError::suspend(format!("the placement of VM {} can't be read: {e}", args.vm))
    })?;
    let placement: Option<Placement> = entry.and_then(|e| decode(&e.value).ok());
    Ok(args.verdict(placement.as_ref()))
}

/// How the guest is on this host.
enum Here {
    Runs,
    /// Not running, for a reason that this host can't tell.
    Stopped,
    /// A migration is under way.
    Moving,
    Gone,
}

async fn here(daemon: &Arc<Daemon>, vm: Uuid) -> Result<Here, StepError> {
    let waits = |e: driver_api::DriverError| StepError::suspend(e.to_string());
    match daemon.hypervisor().observe(vm, QUICK).await {
        Err(error) if error.kind == Kind::NotFound => Ok(Here::Gone),
        Err(error) => Err(waits(error)),
        Ok(seen) => match daemon.hypervisor().job_progress(vm, QUICK).await {
            Ok(Some(_)) => Ok(Here::Moving),
            Err(error) if error.kind == Kind::NotFound => Ok(Here::Gone),
            Err(error) => Err(waits(error)),
            Ok(None) if seen.state == DomainState::Running => Ok(Here::Runs),
            Ok(None) => Ok(Here::Stopped),
        },
    }
}

async fn await_target(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Move = sagas::args(state)?;
    let deadline = Instant::now() + PREPARE_LIMIT;
    let mut changed = daemon.store().replica().changed();
    loop {
        let view = daemon.view().await;
        let Some(record) = sagas::read(&view, args.receive) else {
            return Err(StepError::failed("the target's part of the migration is gone"));
        };
        if let Some(ready) = record.outputs.get(READY) {
            state.put(READY, ready)?;
            return Ok(Flow::Next);
        }
        if matches!(record.state, SagaState::Undone | SagaState::Stuck) || record.error.is_some() {
            return Err(sagas::failed(&sagas::error_of(&record)));
        }
        if state.is_cancelled() {
            return Err(StepError::failed("cancelled"));
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = tokio::time::sleep_until(deadline) => {
                return Err(StepError::failed(format!(
                    "host {} did not prepare for the VM within {} s; it runs on where it was",
                    args.to,
                    PREPARE_LIMIT.as_secs()
                )));
            }
        }
    }
}

/// From here on the order may have been given.
async fn depart(_: &Arc<Daemon>, state: &mut State) -> StepResult {
    orders().lock().unwrap_or_else(PoisonError::into_inner).insert(state.id);
    Ok(Flow::Next)
}

async fn migrate(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Move = sagas::args(state)?;
    let first = orders().lock().unwrap_or_else(PoisonError::into_inner).remove(&state.id);
    let mut why = StepError::failed(
        "the daemon of the VM's host was restarted while it moved; it did not arrive",
    );
    if first && verdict(daemon, &args).await? == Verdict::Moving {
        let ready: Vec<Ready> = state.output(READY)?;
        let spec = order(&daemon.view().await, &args, &ready);
        match give(daemon, state, &spec).await {
            // It left, says the hypervisor; the target says the rest.
            Ok(()) => return Ok(Flow::Next),
            Err(error) => {
                tracing::warn!(vm = %args.vm, %error, "a migration failed or its outcome is unknown");
                why = launch::hypervisor_failed(&error);
            }
        }
    }
    let mut silent_since = None;
    loop {
        match verdict(daemon, &args).await? {
            Verdict::Arrived => return Ok(Flow::Next),
            Verdict::Stays => return Err(why),
            Verdict::Moving => {}
        }
        match here(daemon, args.vm).await? {
            Here::Runs => return Err(why),
            Here::Moving if state.is_cancelled() => {
                if let Err(error) = daemon.hypervisor().cancel_job(args.vm, QUICK).await {
                    tracing::warn!(vm = %args.vm, %error, "a migration can't be cancelled");
                }
            }
            Here::Moving => {}
            // It may have run on the target and written to its disks, so what stands here must not run on.
            Here::Stopped | Here::Gone if args.is_fenced(&daemon.view().await, args.to) => {
                lost(daemon, &args).await?;
            }
            Here::Stopped | Here::Gone => {
                let since = *silent_since.get_or_insert_with(|| {
                    tracing::warn!(vm = %args.vm, target = %args.to, "waiting for the target's word on a migration");
                    Instant::now()
                });
                if since.elapsed() > WORD {
                    return Err(why);
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The order is over, or is given up; what is left of the guest here is said to the target. Undone steps never run again,
/// so from the commit of this one on nothing more is sent.
async fn halt(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Move = sagas::args(state)?;
    loop {
        if verdict(daemon, &args).await? != Verdict::Moving {
            return Ok(());
        }
        let seen = match here(daemon, args.vm).await? {
            Here::Runs => super::RUNS,
            Here::Stopped => super::STOPPED,
            Here::Gone => super::GONE,
            Here::Moving => {
                if let Err(error) = daemon.hypervisor().cancel_job(args.vm, QUICK).await {
                    tracing::warn!(vm = %args.vm, %error, "a migration can't be cancelled");
                }
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        return state.put(super::TESTIMONY, seen);
    }
}

fn order(view: &View, args: &Move, ready: &[Ready]) -> MigrationSpec {
    let disk = |r: &Ready| MigratedDisk {
        position: r.position,
        target_path: r.at.path.clone(),
        format: r.at.format,
    };
    let address = address(view, args.to);
    let uri = if address.contains(':') {
        format!("qemu+tcp://[{address}]/system")
    } else {
        format!("qemu+tcp://{address}/system")
    };
    MigrationSpec {
        vm: args.vm,
        target_uri: uri,
        target_address: address,
        copy_disks: ready.iter().filter(|r| r.copied).map(disk).collect(),
        shared_disks: ready.iter().filter(|r| !r.copied).map(disk).collect(),
        storage_is_shared: args.disks.iter().any(|d| d.copy.is_none()),
        generation: args.incoming,
    }
}

/// Recorded addresses only; no name is resolved (S2-33).
fn address(view: &View, host: Uuid) -> String {
    view.find(pooldb::Table::HostAgent, &host.to_string())
        .and_then(|item| decode::<Member>(item.raw()?).ok())
        .map(|member| member.address)
        .or_else(|| Some(text(view.record("host", host)?, "address").to_owned()))
        .unwrap_or_default()
}

/// Gives the order and waits, showing progress and passing on a wish to cancel.
async fn give(
    daemon: &Arc<Daemon>,
    state: &State,
    spec: &MigrationSpec,
) -> driver_api::hypervisor::Result<()> {
    let progress = sagas::face(state).ok().map(|f| tasks::Progress::of(daemon, f.task));
    let hypervisor = daemon.hypervisor();
    let mut move_it = hypervisor.migrate(spec, MIGRATION_LIMIT);
    let mut cancelled = false;
    loop {
        tokio::select! {
            result = &mut move_it => return result,
            () = tokio::time::sleep(LOOK) => {}
        }
        if state.is_cancelled() && !cancelled {
            cancelled = hypervisor.cancel_job(spec.vm, QUICK).await.is_ok();
        }
        if let Ok(Some(done)) = hypervisor.job_progress(spec.vm, QUICK).await
            && let Some(progress) = &progress
        {
            // The steps before and after take no time to speak of.
            progress.report(done * 0.9);
        }
    }
}

/// Takes it back: the guest runs here, and the placement says so alone. Where it does not run, the target decides on what
/// [`halt`] said; where the target never got as far as to expect it, it stays.
async fn stay(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Move = sagas::args(state)?;
    orders().lock().unwrap_or_else(PoisonError::into_inner).remove(&state.id);
    let mut told = false;
    loop {
        match verdict(daemon, &args).await? {
            Verdict::Stays => break,
            Verdict::Arrived => {
                // Too late to take back: it is there, and nothing may be left here.
                clean(daemon, &args).await?;
                return Ok(());
            }
            Verdict::Moving => {}
        }
        daemon.catch_up().await;
        let view = daemon.view().await;
        // It may have run there; that its saga has ended proves nothing of that.
        if args.is_fenced(&view, args.to)
            && matches!(here(daemon, args.vm).await?, Here::Stopped | Here::Gone)
        {
            lost(daemon, &args).await?;
            continue;
        }
        // An ended saga of the target's with no verdict failed before it had anything of the guest.
        let expected = sagas::read(&view, args.receive).is_some_and(|r| !r.has_ended());
        let stays = match here(daemon, args.vm).await? {
            Here::Runs => true,
            Here::Stopped | Here::Gone => !expected,
            Here::Moving => {
                if let Err(error) = daemon.hypervisor().cancel_job(args.vm, QUICK).await {
                    tracing::warn!(vm = %args.vm, %error, "a migration can't be cancelled");
                }
                false
            }
        };
        if stays
            && args.verdict_in(&view) == Verdict::Moving
            && let Err(error) = edits::commit(daemon, &args.stay(&view)).await
        {
            tracing::debug!(vm = %args.vm, %error, "deciding again");
        }
        if !stays && !told {
            told = true;
            tracing::warn!(vm = %args.vm, target = %args.to, "waiting for the target's word on a migration");
        }
        if stays {
            continue;
        }
        tokio::time::sleep(LOOK).await;
    }
    wake(daemon, &args).await;
    end_receive(daemon, &args).await;
    Ok(())
}

/// The target is proved stopped, and the guest may have run there: it ended with it, and what stands here goes.
async fn lost(daemon: &Arc<Daemon>, args: &Move) -> Result<(), StepError> {
    launch::destroy_domain(daemon, args.vm, args.generation).await?;
    let view = daemon.view().await;
    if args.verdict_in(&view) == Verdict::Moving
        && let Err(error) = edits::commit(daemon, &args.lost(&view)).await
    {
        tracing::debug!(vm = %args.vm, %error, "deciding again");
        daemon.catch_up().await;
    }
    Ok(())
}

/// A guest whose CPUs the hypervisor stopped for a migration that failed runs on.
async fn wake(daemon: &Arc<Daemon>, args: &Move) {
    if !matches!(here(daemon, args.vm).await, Ok(Here::Stopped)) {
        return;
    }
    if launch::placement_still_ours(daemon, args.vm, args.generation).await.is_err() {
        return;
    }
    if let Err(error) = daemon.hypervisor().unpause(args.vm, QUICK).await {
        tracing::warn!(vm = %args.vm, %error, "a guest stands still after a failed migration");
    }
}

/// Waits for the target to record the arrival; if it does not, does it itself: the hypervisor said that the guest left.
async fn settle(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Move = sagas::args(state)?;
    let deadline = Instant::now() + TARGETS_TURN;
    let mut changed = daemon.store().replica().changed();
    loop {
        let view = daemon.view().await;
        match args.verdict_in(&view) {
            Verdict::Arrived => return Ok(Flow::Next),
            // The target says that nothing of it is left there, this side's hypervisor that it left: it died.
            Verdict::Stays => {
                let text = format!("VM {} ended while it moved", args.vm);
                return Err(sagas::failed(&Error::new("INTERNAL_ERROR", [text])));
            }
            // It left for a host that is proved stopped: it ended there.
            Verdict::Moving if args.is_fenced(&view, args.to) => {
                lost(daemon, &args).await?;
                continue;
            }
            Verdict::Moving => {}
        }
        if Instant::now() >= deadline {
            if let Err(error) = edits::commit(daemon, &args.arrival(daemon, &view, None)).await {
                tracing::debug!(vm = %args.vm, %error, "deciding again");
                daemon.catch_up().await;
            }
            continue;
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn leave(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Move = sagas::args(state)?;
    clean(daemon, &args).await?;
    let view = daemon.view().await;
    let mut change = Change::new();
    for disk in &args.disks {
        if disk.copy.is_none() {
            continue;
        }
        if let (Ok(sr), true) =
            (spec::sr_spec(&view, disk.sr, daemon.host()), view.record("VDI", disk.vdi).is_some())
            && let Ok(driver) = daemon.driver(&sr.kind)
        {
            driver
                .volume_destroy(&sr, disk.vdi, STORAGE_QUICK)
                .await
                .map_err(|e| StepError::transient(e.to_string()))?;
        }
        claim::unlock(&mut change, disk.vdi, args.vm);
        change.delete(Object::new("VDI", disk.vdi));
    }
    state.stage(change);
    end_receive(daemon, &args).await;
    Ok(Flow::Next)
}

/// Nothing of the guest is left on this host.
async fn clean(daemon: &Arc<Daemon>, args: &Move) -> Result<(), StepError> {
    match daemon.hypervisor().observe(args.vm, QUICK).await {
        Ok(seen) if seen.generation.is_some_and(|g| g > args.generation) => return Ok(()),
        _ => launch::destroy_domain(daemon, args.vm, args.generation).await?,
    }
    let view = daemon.view().await;
    for disk in &args.disks {
        let Ok(sr) = spec::sr_spec(&view, disk.sr, daemon.host()) else { continue };
        let Ok(driver) = daemon.driver(&sr.kind) else { continue };
        if let Err(error) = driver.volume_detach(&sr, disk.vdi, STORAGE_QUICK).await {
            tracing::warn!(vdi = %disk.vdi, %error, "a volume was not detached");
        }
    }
    Ok(())
}

/// Removes the record of the target's saga once it has ended; house-keeping does it if that takes long.
async fn end_receive(daemon: &Arc<Daemon>, args: &Move) {
    let deadline = Instant::now() + TARGETS_END;
    let mut changed = daemon.store().replica().changed();
    while Instant::now() < deadline {
        match sagas::read(&daemon.view().await, args.receive) {
            None => return,
            Some(record) if record.has_ended() => {
                let mut change = Change::new();
                sagas::remove(&mut change, args.receive);
                let _ = edits::commit(daemon, &change).await;
                return;
            }
            Some(_) => {}
        }
        let _ = tokio::time::timeout(LOOK, changed.changed()).await;
    }
}
