//! What each message means, one module per class.
//!
//! A handler gets an [`Authorized`] call, reads one snapshot, asks the planner, and either commits a [`Change`] or begins
//! a saga. It decides nothing itself. A message that no module answers is `NOT_IMPLEMENTED`, by name.

mod appliance;
pub mod event;
pub mod host;
mod host_evacuate;
mod host_fence;
pub(crate) mod host_forget;
pub mod host_liveness;
mod host_power;
mod host_recover;
mod host_switch_on;
pub mod message;
pub mod network;
pub mod pbd;
mod pif;
pub mod pool;
pub(crate) mod role;
pub(crate) mod secret;
pub mod session;
pub mod sr;
mod sr_adopt;
mod sr_probe;
mod sr_repair;
mod subject;
pub mod task;
pub mod vbd;
pub mod vdi;
pub mod vif;
pub mod vm;

pub use sr_probe::Probed;

use std::sync::Arc;

use datamodel::{Class, Message};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use crate::api::{Authorized, Outcome, errors, second_look};
use crate::edits::{self, Change, Edit, Object};
use crate::sagas::Def;

use crate::{Daemon, View};
pub(crate) use host_recover::residents;

/// Answers an explicit message.
///
/// # Errors
/// The XenAPI error for the caller.
pub async fn call(
    daemon: &Arc<Daemon>,
    class: &str,
    message: &'static str,
    call: &Authorized,
) -> Result<Outcome, Error> {
    let value = match class {
        "event" => event::call(daemon, message, call).await,
        "host" => host::call(daemon, message, call).await,
        "message" => message::call(daemon, message, call).await,
        "network" => network::call(daemon, message, call).await,
        "PBD" => pbd::call(daemon, message, call).await,
        "PIF" => pif::call(daemon, message, call).await,
        "pool" => pool::call(daemon, message, call).await,
        "session" => session::call(daemon, message, call).await,
        "SR" => sr::call(daemon, message, call).await,
        "VM_appliance" => appliance::call(daemon, message, call).await,
        "role" => role::call(daemon, message, call).await,
        "subject" => subject::call(daemon, message, call).await,
        "task" => task::call(daemon, message, call).await,
        "VDI" => vdi::call(daemon, message, call).await,
        "VBD" => vbd::call(daemon, message, call).await,
        "VIF" => vif::call(daemon, message, call).await,
        "VM" => vm::call(daemon, message, call).await,
        _ => Err(errors::not_implemented(call.method())),
    };
    value.map(Outcome::Value)
}

/// Sagas of all classes.
pub fn sagas() -> Vec<Def> {
    [
        host_power::sagas(),
        pbd::sagas(),
        sr::sagas(),
        sr_adopt::sagas(),
        sr_probe::sagas(),
        sr_repair::sagas(),
        vdi::sagas(),
        vm::sagas(),
        vbd::sagas(),
        vif::sagas(),
        host_switch_on::sagas(),
        host_recover::sagas(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Messages that bound themselves: they wait for events, or for a saga whose task shows progress.
pub fn sets_its_own_limit(class: &str, message: &Message) -> bool {
    message.is_async || class == "event"
}

/// `create` of a class by its record.
///
/// # Errors
/// The XenAPI error for the caller.
pub async fn create(
    daemon: &Arc<Daemon>,
    class: &'static Class,
    call: &Authorized,
) -> Result<Value, Error> {
    match class.name {
        "VM" => vm::create(daemon, call).await,
        "VBD" => vbd::create(daemon, call).await,
        "VIF" => vif::create(daemon, call).await,
        "PBD" => pbd::create(daemon, call).await,
        "network" => network::create(daemon, call).await,
        "VDI" => vdi::create(daemon, call).await,
        "VM_appliance" => create_record(daemon, given_record(call)?).await,
        "secret" => secret::create(daemon, call).await,
        "subject" => subject::create(daemon, call).await,
        _ => Err(errors::not_implemented(call.method())),
    }
}

/// `destroy` of a class.
///
/// # Errors
/// The XenAPI error for the caller.
pub async fn destroy(
    daemon: &Arc<Daemon>,
    class: &'static Class,
    call: &Authorized,
) -> Result<Value, Error> {
    match class.name {
        "VM" => vm::destroy(daemon, call).await,
        "VBD" => vbd::destroy(daemon, call).await,
        "VIF" => vif::destroy(daemon, call).await,
        "network" => network::destroy(daemon, call).await,
        "PBD" => pbd::destroy(daemon, call).await,
        "VDI" => vdi::destroy(daemon, call).await,
        "VM_appliance" => appliance::destroy(daemon, call).await,
        // Nothing hangs on them: who refers to one finds it gone.
        "secret" | "subject" => destroy_record(daemon, class.name, call).await,
        _ => Err(errors::not_implemented(call.method())),
    }
}

/// Refuses a change of a field that the rules forbid; most fields are free.
///
/// # Errors
/// The XenAPI error for the caller.
pub fn check_field(view: &View, record: &Record, field: &str, edit: &Edit) -> Result<(), Error> {
    match record.class().name {
        "VM" => vm::check_field(view, record, field, edit),
        _ => Ok(()),
    }
}

/// The answer to a call that finds everything as it was asked for: true of this replica, so it is looked at again.
///
/// # Errors
/// None.
pub(crate) fn nothing_to_do() -> Result<Value, Error> {
    second_look::nothing_to_do();
    Ok(Value::Void)
}

/// The record given to a `create`, under a uuid of its own: what the caller wrote there does not count.
///
/// # Errors
/// If it is none.
pub fn given_record(call: &Authorized) -> Result<Record, Error> {
    call.params()
        .first()
        .and_then(Value::as_record)
        .map(|r| Record::clone(r).with_uuid(crate::random_uuid()))
        .ok_or_else(|| Error::field_type_error("args"))
}

/// Commits one new record and returns its reference.
///
/// # Errors
/// The commit's.
pub async fn create_record(daemon: &Arc<Daemon>, record: Record) -> Result<Value, Error> {
    // The uuid of a record that a caller wrote is nobody's yet.
    let record =
        if record.uuid().is_nil() { record.with_uuid(crate::random_uuid()) } else { record };
    let reference = record.opaque();
    let mut change = Change::new();
    change.create(record);
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Ref(reference))
}

/// Deletes one record that nothing else depends on.
///
/// # Errors
/// The commit's.
async fn destroy_record(
    daemon: &Arc<Daemon>,
    class: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let mut change = Change::new();
    change.delete(object(find(&view, class, ref_param(call, 0))?));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

/// The record that a parameter refers to.
///
/// # Errors
/// `HANDLE_INVALID` if there is none.
pub fn find<'v>(
    view: &'v View,
    class: &'static str,
    opaque: OpaqueRef,
) -> Result<&'v Arc<Record>, Error> {
    opaque
        .uuid()
        .and_then(|uuid| view.record(class, uuid))
        .ok_or_else(|| Error::handle_invalid(class, &opaque.to_string()))
}

/// Names the object a record is.
pub fn object(record: &Record) -> Object {
    Object::new(record.class().name, record.uuid())
}

/// Text of a field; empty if it has none.
pub fn text<'r>(record: &'r Record, field: &str) -> &'r str {
    record.get_by_name(field).and_then(Value::as_str).unwrap_or_default()
}

/// Number of a field; 0 if it has none.
pub fn number(record: &Record, field: &str) -> i64 {
    record.get_by_name(field).and_then(Value::as_int).unwrap_or_default()
}

/// Truth of a field.
pub fn truth(record: &Record, field: &str) -> bool {
    record.get_by_name(field).and_then(Value::as_bool).unwrap_or_default()
}

/// Uuid of what a reference field names.
pub fn target(record: &Record, field: &str) -> Option<Uuid> {
    record.get_by_name(field).and_then(Value::as_opaque).and_then(OpaqueRef::uuid)
}

/// Value of a key of a text map.
pub fn map_text<'r>(record: &'r Record, field: &str, key: &str) -> Option<&'r str> {
    record.get_by_name(field)?.as_map()?.get(key)?.as_str()
}

/// Reference at a position of a call's parameters.
pub fn ref_param(call: &Authorized, at: usize) -> OpaqueRef {
    call.params().get(at).and_then(Value::as_opaque).unwrap_or(OpaqueRef::NULL)
}

/// Text at a position of a call's parameters.
pub fn text_param(call: &Authorized, at: usize) -> &str {
    call.params().get(at).and_then(Value::as_str).unwrap_or_default()
}

/// Truth at a position of a call's parameters.
pub fn bool_param(call: &Authorized, at: usize) -> bool {
    call.params().get(at).and_then(Value::as_bool).unwrap_or_default()
}

/// Number at a position of a call's parameters.
pub fn int_param(call: &Authorized, at: usize) -> i64 {
    call.params().get(at).and_then(Value::as_int).unwrap_or_default()
}
