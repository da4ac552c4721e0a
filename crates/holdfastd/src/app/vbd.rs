//! `VBD.*`: a disk or CD drive of a VM. What touches a running guest is done by the host where it runs ([`plug`]).

mod plug;

use std::pin::Pin;
use std::sync::Arc;

use pooldb::CommitError;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::vm::questions::{MAX_VBD, taken_devices};
use super::vm::{DECISIONS, spec};
use super::{find, given_record, object, ref_param, target, text, text_param, truth};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change};
use crate::sagas::Def;
use crate::{Daemon, View, random_uuid};

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &'static str,
    call: &Authorized,
) -> Result<Value, Error> {
    match message {
        "plug" | "unplug" | "unplug_force" | "insert" | "eject" => {
            plug::call(daemon, message, call).await
        }
        "set_mode" => set_mode(daemon, call).await,
        "assert_attachable" => assert_attachable(daemon, call).await,
        _ => Err(errors::not_implemented(call.method())),
    }
}

/// Sagas of the class.
pub(super) fn sagas() -> Vec<Def> {
    plug::sagas()
}

pub(super) use plug::refuse_busy;

/// The VM of a device, which must not be the host itself.
pub(super) fn vm_of<'v>(view: &'v View, device: &Record) -> Result<&'v Arc<Record>, Error> {
    find(view, "VM", OpaqueRef::new(target(device, "VM").unwrap_or_default()))
}

/// Refuses to change the devices of a suspended VM: the guest that comes back remembers its machine.
pub(super) fn refuse_suspended(vm: &Record) -> Result<(), Error> {
    if text(vm, "power_state") != "Suspended" || truth(vm, "is_a_snapshot") {
        return Ok(());
    }
    let own = OpaqueRef::new(vm.uuid()).to_string();
    Err(Error::new("VM_BAD_POWER_STATE", [own, "Halted".to_owned(), "Suspended".to_owned()]))
}

/// Whether the guest of a VM has its machine now.
pub(super) fn is_live(vm: &Record) -> bool {
    matches!(text(vm, "power_state"), "Running" | "Paused")
}

/// `VBD.create(record)`. The device number is checked, or chosen for `autodetect`.
pub(super) async fn create(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    anew(daemon, call, |daemon, call| Box::pin(propose(daemon, call))).await
}

/// A decision: the reference of what is made, and the commit that makes it.
pub(super) type Proposal<'a> =
    Pin<Box<dyn Future<Output = Result<(OpaqueRef, Change), Error>> + Send + 'a>>;

/// Decides anew until the commit is made on facts that still hold.
pub(super) async fn anew(
    daemon: &Arc<Daemon>,
    call: &Authorized,
    propose: for<'a> fn(&'a Arc<Daemon>, &'a Authorized) -> Proposal<'a>,
) -> Result<Value, Error> {
    let mut last = None;
    for _ in 0..DECISIONS {
        let (reference, change) = propose(daemon, call).await?;
        match edits::commit(daemon, &change).await {
            Ok(_) => return Ok(Value::Ref(reference)),
            Err(error @ CommitError::Conflict { .. }) => {
                last = Some(error);
                daemon.catch_up().await;
            }
            Err(error) => return Err(errors::from_commit(error)),
        }
    }
    Err(last.map_or_else(|| errors::internal("no decision was made"), errors::from_commit))
}

async fn propose(daemon: &Arc<Daemon>, call: &Authorized) -> Result<(OpaqueRef, Change), Error> {
    let mut record = given_record(call)?.with_uuid(random_uuid());
    let view = daemon.view().await;
    let vm = vm_of(&view, &record)?;
    refuse_suspended(vm)?;
    let is_cd = text(&record, "type") == "CD";
    let empty = truth(&record, "empty") || target(&record, "VDI").is_none();
    if empty && !is_cd {
        let null = OpaqueRef::NULL.to_string();
        return Err(Error::new("HANDLE_INVALID", ["VDI".to_owned(), null]));
    }
    if is_cd && text(&record, "mode") != "RO" {
        return Err(Error::new("VBD_CDS_MUST_BE_READONLY", Vec::<String>::new()));
    }
    if empty {
        record.set_by_name("VDI", Value::Ref(OpaqueRef::NULL));
    } else {
        let vdi = OpaqueRef::new(target(&record, "VDI").unwrap_or_default());
        let vdi = find(&view, "VDI", vdi)?;
        if truth(vdi, "read_only") && text(&record, "mode") != "RO" {
            return Err(Error::new("VDI_READONLY", [OpaqueRef::new(vdi.uuid()).to_string()]));
        }
    }
    record.set_by_name("empty", empty.into());
    let taken = taken_devices(&view, vm.uuid(), "VBD");
    let asked = text(&record, "userdevice").to_owned();
    let position = if asked.is_empty() || asked == "autodetect" {
        (0..=MAX_VBD).find(|d| !taken.contains(d))
    } else {
        spec::position(&asked).filter(|d| *d <= MAX_VBD)
    };
    let Some(position) = position else {
        let allowed: Vec<String> =
            (0..=MAX_VBD).filter(|d| !taken.contains(d)).map(|d| d.to_string()).collect();
        return Err(Error::new("INVALID_DEVICE", [asked, allowed.join(", ")]));
    };
    if taken.contains(&position) {
        return Err(Error::new("DEVICE_ALREADY_EXISTS", [position.to_string()]));
    }
    record.set_by_name("userdevice", position.to_string().into());
    record.set_by_name("device", "".into());
    record.set_by_name("currently_attached", false.into());
    record.set_by_name("current_operations", Value::Map(Vec::new()));
    let reference = record.opaque();
    let mut change = Change::new();
    guard_vm(&view, &mut change, vm);
    change.create(record);
    Ok((reference, change))
}

/// Two devices made at once for the same number: the second commit meets the first one's mark on the VM and fails.
pub(super) fn guard_vm(view: &View, change: &mut Change, vm: &Record) {
    // The decision read the VM's devices. Every creation of a device rewrites the VM's record (unchanged), so its
    // revision stands for them all.
    if let Some(item) = view.record_item("VM", vm.uuid()) {
        change.guard(item.unchanged());
        change.write(pooldb::Write::Put(object(vm).key(), vm.to_stored().into()));
    }
}

/// `VBD.destroy`.
pub(super) async fn destroy(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vbd = find(&view, "VBD", ref_param(call, 0))?;
    if truth(vbd, "currently_attached") && vm_of(&view, vbd).is_ok_and(|vm| is_live(vm)) {
        return Err(errors::not_allowed(format!(
            "VBD {} is attached to a running VM; unplug it first",
            vbd.uuid()
        )));
    }
    if let Ok(vm) = vm_of(&view, vbd) {
        refuse_suspended(vm)?;
    }
    let mut change = Change::new();
    change.delete(object(vbd));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

async fn set_mode(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vbd = find(&view, "VBD", ref_param(call, 0))?;
    let mode = text_param(call, 1);
    let vm = vm_of(&view, vbd)?;
    if text(vm, "power_state") != "Halted" {
        let own = OpaqueRef::new(vm.uuid()).to_string();
        let now = text(vm, "power_state").to_owned();
        return Err(Error::new("VM_BAD_POWER_STATE", [own, "Halted".to_owned(), now]));
    }
    if mode != "RO" && text(vbd, "type") == "CD" {
        return Err(Error::new("VBD_CDS_MUST_BE_READONLY", Vec::<String>::new()));
    }
    let mut change = Change::new();
    change.set(object(vbd), "mode", mode);
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

/// Whether the disk could be attached now: nobody else has it.
async fn assert_attachable(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vbd = find(&view, "VBD", ref_param(call, 0))?;
    let vm = vm_of(&view, vbd)?;
    if truth(vbd, "empty") {
        return Ok(Value::Void);
    }
    let vdi = OpaqueRef::new(target(vbd, "VDI").unwrap_or_default());
    let vdi = find(&view, "VDI", vdi)?;
    if truth(vdi, "missing") {
        let sr = OpaqueRef::new(target(vdi, "SR").unwrap_or_default()).to_string();
        return Err(Error::new("VDI_MISSING", [sr, vdi.opaque().to_string()]));
    }
    let mut unused = Change::new();
    plug::lock(daemon, &view, &mut unused, vm, vbd, vdi.uuid())?;
    Ok(Value::Void)
}
