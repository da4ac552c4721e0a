//! Messages that set one field of a VM: which field, and what is refused.

use std::sync::Arc;

use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::{find, int_param, object, ref_param, target, text, text_param, truth};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Edit, field_of};
use crate::projection::vm_state;
use crate::{Daemon, View, ha};

/// Messages `set_FIELD` whose only meaning is the field.
const PLAIN: &[(&str, &str)] = &[
    ("set_HVM_boot_policy", "HVM_boot_policy"),
    ("set_HVM_shadow_multiplier", "HVM_shadow_multiplier"),
    ("set_shadow_multiplier_live", "HVM_shadow_multiplier"),
    ("set_NVRAM", "NVRAM"),
    ("set_actions_after_crash", "actions_after_crash"),
    ("set_bios_strings", "bios_strings"),
    ("set_blocked_operations", "blocked_operations"),
    ("set_domain_type", "domain_type"),
    ("set_ha_always_run", "ha_always_run"),
    ("set_has_vendor_device", "has_vendor_device"),
    ("set_is_default_template", "is_default_template"),
    ("set_other_config", "other_config"),
    ("set_platform", "platform"),
];

/// Messages that change one key of a map.
const MAPS: &[&str] = &["NVRAM", "blocked_operations", "other_config", "platform"];

/// Answers the message; `None` if it is none of these.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    let view = daemon.view().await;
    let vm = match find(&view, "VM", ref_param(call, 0)) {
        Ok(vm) => vm,
        Err(error) => return is_known(message).then_some(Err(error)),
    };
    let mut change = Change::new();
    match edit(daemon, &view, vm, message, call, &mut change)? {
        Ok(()) => {}
        Err(error) => return Some(Err(error)),
    }
    Some(edits::commit(daemon, &change).await.map(|_| Value::Void).map_err(errors::from_commit))
}

fn is_known(message: &str) -> bool {
    message.starts_with("set_")
        || message.starts_with("add_to_")
        || message.starts_with("remove_from_")
}

fn edit(
    daemon: &Daemon,
    view: &View,
    vm: &Record,
    message: &str,
    call: &Authorized,
    change: &mut Change,
) -> Option<Result<(), Error>> {
    let given = call.params().get(1).cloned().unwrap_or_default();
    if let Some((_, field)) = PLAIN.iter().find(|(name, _)| *name == message) {
        change.set(object(vm), field, given);
        return Some(Ok(()));
    }
    if let Some(map) = message.strip_prefix("add_to_").filter(|m| MAPS.contains(m)) {
        let field = field_of("VM", map);
        if vm.map_of(field).get_value(&given).is_some() {
            let key = given.as_str().unwrap_or_default().to_owned();
            let own = OpaqueRef::new(vm.uuid()).to_string();
            return Some(Err(Error::new(
                "MAP_DUPLICATE_KEY",
                ["VM".to_owned(), map.to_owned(), own, key],
            )));
        }
        let value = call.params().get(2).cloned().unwrap_or_default();
        change.edit(object(vm), Edit::Insert(field, given, value));
        return Some(Ok(()));
    }
    if let Some(map) = message.strip_prefix("remove_from_").filter(|m| MAPS.contains(m)) {
        change.edit(object(vm), Edit::Remove(field_of("VM", map), given));
        return Some(Ok(()));
    }
    let field = message.strip_prefix("set_")?;
    match field {
        "order" | "start_delay" | "shutdown_delay" => {
            let value = int_param(call, 1);
            if value < 0 {
                return Some(Err(Error::invalid_value(field, &value.to_string())));
            }
            change.set(object(vm), field, value);
        }
        "ha_restart_priority" => {
            let word = text_param(call, 1);
            if !["", "restart", "best-effort"].contains(&word) {
                return Some(Err(Error::invalid_value(field, word)));
            }
            let protect = word == "restart";
            let runs = text(vm, "power_state") == "Running";
            let at = target(vm, "resident_on").filter(|_| protect && runs);
            if let Some(host) = at
                && ha::priority(vm) != planner::ha::Priority::Restart
                && let Err(error) = may_protect(daemon, view, change, vm, host)
            {
                return Some(Err(error));
            }
            change.set(object(vm), field, word);
            change.set(object(vm), "ha_always_run", protect && runs);
        }
        "suspend_VDI" => return Some(set_suspend_vdi(view, vm, call, change)),
        "appliance" if !ref_param(call, 1).is_null() => {
            let appliance = match find(view, "VM_appliance", ref_param(call, 1)) {
                Ok(appliance) => appliance,
                Err(error) => return Some(Err(error)),
            };
            // It must not be destroyed at this moment.
            change.guard(pooldb::Guard::Exists(object(appliance).key()));
            change.set(object(vm), field, Value::Ref(appliance.opaque()));
        }
        // What this version does not do: only "none" can be said.
        "appliance" | "protection_policy" | "snapshot_schedule" if ref_param(call, 1).is_null() => {
            change.set(object(vm), field, Value::Ref(OpaqueRef::NULL));
        }
        _ => return None,
    }
    Some(Ok(()))
}

/// Whether HA can promise to restart it beside all others.
fn may_protect(
    daemon: &Daemon,
    view: &View,
    change: &mut Change,
    vm: &Record,
    host: Uuid,
) -> Result<(), Error> {
    let what = || format!("VM '{}' ({}) is to be protected", text(vm, "name_label"), vm.uuid());
    ha::gate::may(daemon, view, change, what, |pool| {
        let memory = pool.vms.iter().find(|v| v.vm == vm.uuid()).and_then(|v| match v.run {
            planner::ha::Run::On { memory, .. } => Some(memory),
            _ => None,
        });
        let run = planner::ha::Run::Off;
        let protected = planner::ha::Vm {
            priority: planner::ha::Priority::Restart,
            ..ha::draw::described(view, vm, run)
        };
        *pool = pool.with(protected, Some(host));
        if let Some(memory) = memory
            && let Some(known) = pool.vms.iter_mut().find(|v| v.vm == vm.uuid())
        {
            known.run = planner::ha::Run::On { host, memory };
        }
    })
}

fn set_suspend_vdi(
    view: &View,
    vm: &Record,
    call: &Authorized,
    change: &mut Change,
) -> Result<(), Error> {
    let vdi = find(view, "VDI", ref_param(call, 1))?;
    if text(vm, "power_state") != "Suspended" {
        return Err(Error::new(
            "VM_BAD_POWER_STATE",
            [
                OpaqueRef::new(vm.uuid()).to_string(),
                "Suspended".to_owned(),
                text(vm, "power_state").to_owned(),
            ],
        ));
    }
    if target(vm, "suspend_VDI") == Some(vdi.uuid()) {
        return Ok(());
    }
    change.set(object(vm), "suspend_VDI", Value::Ref(OpaqueRef::new(vdi.uuid())));
    Ok(())
}

/// Fields of a VM that anybody may set but not in every state.
///
/// # Errors
/// XenAPI's.
pub(super) fn check_field(_: &View, vm: &Record, field: &str, edit: &Edit) -> Result<(), Error> {
    match (field, edit) {
        ("is_a_template", Edit::Set(_, value)) if value.as_bool() == Some(true) => {
            if truth(vm, "is_a_template") {
                return Ok(());
            }
            planner::vm_ops::check(&vm_state(vm), "make_into_template")
                .map_err(errors::from_refusal)
        }
        ("is_a_template", Edit::Set(..)) if truth(vm, "is_a_snapshot") => {
            Err(errors::not_allowed(format!(
                "'{}' ({}) is a snapshot; clone it to get a VM",
                text(vm, "name_label"),
                vm.uuid()
            )))
        }
        _ => Ok(()),
    }
}
