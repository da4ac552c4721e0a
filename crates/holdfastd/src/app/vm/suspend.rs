//! `VM.suspend`: the guest's memory goes to an image, its machine goes away, its disks stay its own.
//!
//! ```text
//! make_image ─> save (the guest is gone from here on) ─> let_go (registry, volumes) ─> publish, placement and memory free
//! ```
//! The disks stay locked for the VM, by no host: whoever changed one would break the guest that comes back.

use std::sync::Arc;
use std::time::Duration;

use driver_api::Kind;
use saga::StepError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, Value};

use super::image::{self, Image};
use super::launch::{self, hypervisor_failed};
use super::resident::{self, Run, Work};
use super::stop::{end_run, is_current};
use super::{claim, duplicate};
use crate::Daemon;
use crate::api::Authorized;
use crate::app::sr;
use crate::edits::{Change, Object};
use crate::first_start::reference;
use crate::sagas::{self, Def, Flow, State, StepResult, UndoResult, action};

/// Longest writing of a memory image.
pub(super) const SAVE_LIMIT: Duration = Duration::from_secs(3600);

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vm: Uuid,
    host: Uuid,
    generation: u64,
    image: Image,
}

/// Answers the message.
pub(super) async fn call(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let work = Work { operation: "suspend", kind: "vm_suspend", label: "VM.suspend" };
    resident::perform(daemon, call, work, |view, vm, run, _| {
        let Run { host, generation } = run;
        let image = image::plan(view, vm, host)?;
        Ok(serde_json::json!(Args { vm: vm.uuid(), host, generation, image }))
    })
    .await
}

pub(super) fn saga() -> Def {
    Def::new("vm_suspend")
        .step("make_image", action!(make_image), action!(destroy_image))
        .step("save", action!(save), action!(saved_or_not))
        .no_return()
        .check("let_go", action!(let_go))
        .last("publish", action!(publish))
}

async fn make_image(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    image::create(daemon, &args.image).await?;
    Ok(Flow::Next)
}

async fn destroy_image(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    image::destroy(daemon, args.image.sr, args.image.volume.volume).await
}

async fn save(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    if args.host != daemon.host() || state.boot != daemon.boot_id() {
        // The guest ended with its host; half an image must not look like a whole one.
        let text = format!("VM {} ended with its host while its memory was written", args.vm);
        return Err(StepError::failed(text));
    }
    let volume = args.image.volume.volume;
    let path = image::attach(daemon, args.image.sr, volume, true).await?;
    match daemon.hypervisor().save(args.vm, &path, SAVE_LIMIT).await {
        Ok(()) => Ok(Flow::Next),
        // A former try of this step, of a daemon that did not live to record it, has done it: or the guest powered off.
        Err(error) if error.kind == Kind::NotFound && holds_something(&path).await => {
            // Unless a hard shutdown has overtaken it: then half an image of a dead guest is there.
            daemon.catch_up().await;
            if is_current(&daemon.view().await, args.vm, args.host, args.generation) {
                return Ok(Flow::Next);
            }
            image::detach(daemon, args.image.sr, volume).await;
            Err(StepError::failed(format!("VM {} was stopped while it was suspended", args.vm)))
        }
        Err(error) => {
            image::detach(daemon, args.image.sr, volume).await;
            Err(hypervisor_failed(&error))
        }
    }
}

/// Whether a memory image was begun: a new one is all zeros.
async fn holds_something(path: &std::path::Path) -> bool {
    use tokio::io::AsyncReadExt as _;
    let mut head = [0; 64];
    match tokio::fs::File::open(path).await {
        Ok(mut file) => file.read_exact(&mut head).await.is_ok() && head != [0; 64],
        // Not a file that this process can see: a fake's.
        Err(_) => !path.exists(),
    }
}

/// A save that took effect but could not be recorded: the guest is gone and its memory is of no more use, as after a
/// power cut. Its run ends, and the reconciler of guests says so in the records.
async fn saved_or_not(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    image::detach(daemon, args.image.sr, args.image.volume.volume).await;
    Ok(())
}

async fn let_go(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    end_run(daemon, args.vm, args.generation).await?;
    let view = daemon.view().await;
    if is_current(&view, args.vm, args.host, args.generation) {
        launch::detach_disks(daemon, &view, args.vm).await;
    }
    image::detach(daemon, args.image.sr, args.image.volume.volume).await;
    Ok(Flow::Next)
}

async fn publish(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    if !is_current(&view, args.vm, args.host, args.generation) {
        // A hard shutdown came after the suspension and threw the memory away, as it does with a suspended VM's.
        tracing::info!(vm = %args.vm, "stopped while it was suspended; its memory image goes");
        image::destroy(daemon, args.image.sr, args.image.volume.volume).await?;
        return Ok(Flow::Next);
    }
    let mut change = Change::new();
    change.guard(claim::unchanged(&view, claim::placement_key(args.vm)));
    launch::publish_stopped(&view, &mut change, args.vm, "Suspended");
    claim::park(&view, &mut change, args.vm, args.host);
    duplicate::put(&view, &mut change, image::record(&args.image));
    let vdi = reference(args.image.volume.volume);
    change.set(Object::new("VM", args.vm), "suspend_VDI", vdi);
    sr::sizes(daemon, &view, &mut change, args.image.sr).await;
    state.stage(change);
    Ok(Flow::Next)
}
