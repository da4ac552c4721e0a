//! Messages that ask about a VM and change nothing.

use std::sync::Arc;

use xenapi::{Error, OpaqueRef, Record, Value};

use super::super::{find, ref_param, target, text, text_param, truth};
use super::spec;
use crate::api::{Authorized, errors};
use crate::projection::{project, vm_state};
use crate::{Daemon, View};

/// Highest device number of a disk or CD (XenServer's: 0 to 15 can be asked for).
pub(crate) const MAX_VBD: u32 = 15;
/// Highest device number of an interface.
pub(crate) const MAX_VIF: u32 = 6;

/// Answers the message; `None` if it is none of these.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    let view = daemon.view().await;
    let vm = find(&view, "VM", ref_param(call, 0));
    let answer = match message {
        "get_allowed_VBD_devices" => vm.map(|vm| free_devices(&view, vm, "VBD", MAX_VBD)),
        "get_allowed_VIF_devices" => vm.map(|vm| free_devices(&view, vm, "VIF", MAX_VIF)),
        "get_possible_hosts" => vm.map(|vm| possible_hosts(daemon, &view, vm)),
        "assert_can_boot_here" => vm.and_then(|vm| can_boot_here(daemon, &view, vm, call)),
        "assert_operation_valid" => vm.and_then(|vm| {
            planner::vm_ops::check(&vm_state(vm), text_param(call, 1))
                .map(|()| Value::Void)
                .map_err(errors::from_refusal)
        }),
        // Worked out whenever it is read.
        "update_allowed_operations" => vm.map(|_| Value::Void),
        "get_boot_record" => vm.map(|vm| Value::Projected(Arc::new(project(&view, vm)))),
        "get_cooperative" => vm.map(|_| true.into()),
        "assert_agile" => vm.and_then(|vm| is_agile(&view, vm)),
        "get_SRs_required_for_recovery" => vm.map(|vm| {
            let needs = spec::needs(&view, vm);
            Value::Set(needs.srs.into_iter().map(|sr| Value::Ref(OpaqueRef::new(sr))).collect())
        }),
        "get_data_sources" => vm.map(|_| Value::Set(Vec::new())),
        "retrieve_wlb_recommendations" => vm.map(|_| Value::Map(Vec::new())),
        "query_services" => vm.map(|_| Value::Map(Vec::new())),
        _ => return None,
    };
    Some(answer)
}

fn free_devices(view: &View, vm: &Record, class: &'static str, highest: u32) -> Value {
    let taken = taken_devices(view, vm.uuid(), class);
    Value::Set((0..=highest).filter(|d| !taken.contains(d)).map(|d| d.to_string().into()).collect())
}

/// Device numbers in use.
pub(crate) fn taken_devices(view: &View, vm: uuid::Uuid, class: &'static str) -> Vec<u32> {
    let field = if class == "VBD" { "userdevice" } else { "device" };
    view.referrers(class, "VM", vm)
        .filter_map(|device| spec::position(text(view.record(class, device)?, field)))
        .collect()
}

fn possible_hosts(daemon: &Daemon, view: &View, vm: &Record) -> Value {
    let needs = spec::needs(view, vm);
    let hosts = spec::hosts(view, daemon.reserved_memory());
    let fits = |host| planner::placement::choose(&hosts, &needs, Some(host)).is_ok();
    Value::Set(
        hosts
            .iter()
            .map(|h| h.host)
            .filter(|host| fits(*host))
            .map(|host| Value::Ref(OpaqueRef::new(host)))
            .collect(),
    )
}

fn can_boot_here(
    daemon: &Daemon,
    view: &View,
    vm: &Record,
    call: &Authorized,
) -> Result<Value, Error> {
    let host = find(view, "host", ref_param(call, 1))?;
    let needs = spec::needs(view, vm);
    let hosts = spec::hosts(view, daemon.reserved_memory());
    planner::placement::choose(&hosts, &needs, Some(host.uuid()))
        .map(|_| Value::Void)
        .map_err(errors::from_refusal)
}

/// A VM is agile when all it needs is on every host.
fn is_agile(view: &View, vm: &Record) -> Result<Value, Error> {
    for sr in spec::needs(view, vm).srs {
        if !view.record("SR", sr).is_some_and(|sr| truth(sr, "shared")) {
            return Err(Error::new(
                "HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED",
                [OpaqueRef::new(sr).to_string()],
            ));
        }
    }
    for vif in view.referrers("VIF", "VM", vm.uuid()) {
        let network = view.record("VIF", vif).and_then(|v| target(v, "network"));
        let Some(network) = network else { continue };
        let pifs: Vec<_> = view.referrers("PIF", "network", network).collect();
        if !pifs.is_empty() && pifs.len() < view.records("host").count() {
            return Err(Error::new(
                "HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED",
                [OpaqueRef::new(network).to_string()],
            ));
        }
    }
    Ok(Value::Void)
}
