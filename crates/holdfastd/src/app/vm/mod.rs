//! `VM.*`.

pub(crate) mod claim;
mod copy;
pub(crate) mod create;
pub(crate) mod duplicate;
mod from_disk;
mod image;
pub(crate) mod launch;
mod memory;
pub(crate) mod migrate;
mod power;
mod provision;
pub(crate) mod questions;
pub(crate) mod resident;
mod resume;
mod revert;
mod settings;
mod snapshot;
pub(crate) mod spec;
pub(crate) mod start;
mod stop;
mod suspend;

use std::sync::Arc;

use xenapi::{Error, Record, Value};

use crate::api::{Authorized, errors};
use crate::edits::Edit;
use crate::sagas::Def;
use crate::{Daemon, View};

pub(crate) use create::MAC_SEED;
pub(super) use create::{create, destroy};
pub(crate) use memory::check as check_memory;
pub(crate) use start::DECISIONS;

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    match message {
        "start" | "start_on" => return start::start(daemon, message, call).await,
        "holdfast_start_in_order" => {
            return super::host_recover::start_in_order(daemon, call).await;
        }
        "holdfast_get_state" => {
            return super::host_liveness::of_vm(daemon, super::ref_param(call, 0)).await;
        }
        "holdfast_create_from_disk" => return from_disk::create(daemon, call).await,
        "clone" | "copy" => return copy::call(daemon, message, call).await,
        "provision" => return provision::call(daemon, call).await,
        "pool_migrate" => return migrate::pool_migrate(daemon, call).await,
        "migrate_send" => return migrate::migrate_send(daemon, call).await,
        "clean_shutdown" | "hard_shutdown" | "shutdown" => {
            return stop::call(daemon, message, call).await;
        }
        "power_state_reset" => return stop::reset(daemon, call).await,
        "pause" | "unpause" | "clean_reboot" | "hard_reboot" => {
            return power::call(daemon, message, call).await;
        }
        "snapshot" | "checkpoint" => return snapshot::call(daemon, message, call).await,
        "snapshot_with_quiesce" => {
            let vm = super::ref_param(call, 0).to_string();
            let why = "no guest tools take part in snapshots".to_owned();
            return Err(Error::new("VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED", [vm, why]));
        }
        "revert" => return revert::call(daemon, call).await,
        "suspend" => return suspend::call(daemon, call).await,
        "resume" | "resume_on" => return resume::call(daemon, message, call).await,
        _ => {}
    }
    if let Some(answer) = memory::call(daemon, message, call).await {
        return answer;
    }
    if let Some(answer) = questions::call(daemon, message, call).await {
        return answer;
    }
    if let Some(answer) = settings::call(daemon, message, call).await {
        return answer;
    }
    Err(errors::not_implemented(call.method()))
}

/// Stops one VM, for who stops several.
///
/// # Errors
/// Those of `VM.shutdown` and its like.
pub(super) async fn stop(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    stop::call(daemon, message, call).await
}

/// Sagas of the class.
pub(super) fn sagas() -> Vec<Def> {
    let mut all = vec![
        start::saga(),
        copy::saga(),
        create::saga(),
        from_disk::saga(),
        image::saga(),
        memory::saga(),
        provision::saga(),
        resume::saga(),
        revert::saga(),
        suspend::saga(),
    ];
    all.extend(migrate::sagas());
    all.extend(stop::sagas());
    all.extend(power::sagas());
    all.extend(snapshot::sagas());
    all
}

/// Fields that may not change in every state.
pub(super) fn check_field(
    view: &View,
    record: &Record,
    field: &str,
    edit: &Edit,
) -> Result<(), Error> {
    settings::check_field(view, record, field, edit)
}
