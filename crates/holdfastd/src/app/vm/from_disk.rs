//! `VM.holdfast_create_from_disk`: a VM straight from an existing disk (S0-43), its boot settings by what the disk holds (S0-44).
//!
//! The host that has the repository plugged looks at the disk, for reading only. What no disk tells (memory, processors, network)
//! is as XenServer's template for any guest has it, and can be changed before the first start. The VM is halted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use super::super::{bool_param, find, ref_param, sr, target, text, text_param};
use super::launch::{STORAGE_QUICK, storage_failed};
use super::spec;
use crate::api::{Authorized, errors};
use crate::edits::Change;
use crate::first_start::{any_platform, new_record, reference};
use crate::sagas::{self, Def, Flow, Output, Plan, RESULT, State, StepResult, action};
use crate::salvage::{self, Machine};
use crate::{Daemon, random_uuid};

/// Memory of a VM of which nothing is known.
const MEMORY_BYTES: i64 = 512 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vdi: Uuid,
    name_label: String,
    dry_run: bool,
    vm: Uuid,
    vbd: Uuid,
}

/// Answers the message.
pub(super) async fn create(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vdi = find(&view, "VDI", ref_param(call, 0))?;
    let args = Args {
        vdi: vdi.uuid(),
        name_label: text_param(call, 1).to_owned(),
        dry_run: bool_param(call, 2),
        vm: random_uuid(),
        vbd: random_uuid(),
    };
    for vbd in view.referrers("VBD", "VDI", vdi.uuid()) {
        let vm = view.record("VBD", vbd).and_then(|vbd| target(vbd, "VM"));
        let Some(vm) = vm.and_then(|vm| view.record("VM", vm)) else { continue };
        return Err(errors::not_allowed(format!(
            "disk '{}' ({}) belongs to VM '{}' ({}) already",
            text(vdi, "name_label"),
            vdi.uuid(),
            text(vm, "name_label"),
            vm.uuid()
        )));
    }
    let plan = Plan {
        kind: "vm_from_disk",
        owner: sr::worker(daemon, &view, target(vdi, "SR").unwrap_or_default())?,
        label: call.method(),
        busy: vec![],
        args: json!(args),
        change: Change::new(),
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

pub(super) fn saga() -> Def {
    Def::new("vm_from_disk").last("create", action!(look_and_create)).within(salvage::LIMIT)
}

async fn look_and_create(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let vdi = find(&view, "VDI", OpaqueRef::new(args.vdi)).map_err(|e| sagas::failed(&e))?.clone();
    let sr = target(&vdi, "SR").unwrap_or_default();
    let spec = spec::sr_spec(&view, sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
    let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
    let attached = driver
        .volume_attach(&spec, args.vdi, false, STORAGE_QUICK)
        .await
        .map_err(|e| storage_failed(&e))?;
    let looked = salvage::machine(&attached.path).await;
    let _ = driver.volume_detach(&spec, args.vdi, STORAGE_QUICK).await;
    let machine = looked
        .map_err(|why| {
            sagas::failed(&errors::not_allowed(format!(
                "disk '{}' ({}) can't be looked at: {why}",
                text(&vdi, "name_label"),
                args.vdi
            )))
        })?
        .unwrap_or_else(|| Machine {
            remarks: vec!["the disk tells nothing of a machine".to_owned()],
            ..Machine::default()
        });
    let known = [machine.host_name.as_deref(), Some(text(&vdi, "name_label"))];
    let name = [Some(args.name_label.as_str())].into_iter().chain(known).flatten();
    let name = name.into_iter().find(|name| !name.is_empty()).unwrap_or("salvaged").to_owned();
    let firmware = machine.firmware.as_deref().unwrap_or("bios").to_owned();
    let report = json!({
        "vm": (!args.dry_run).then_some(args.vm),
        "vdi": args.vdi,
        "name_label": name,
        "firmware": firmware,
        "boots": machine.firmware.is_some(),
        "system": machine.system,
        "architecture": machine.architecture,
        "host_name": machine.host_name,
        "encrypted": machine.encrypted,
        "remarks": machine.remarks,
    });
    if !args.dry_run {
        state.stage(records(&args, &name, &firmware));
    }
    state.put(RESULT, Output::Text(report.to_string()))?;
    Ok(Flow::Next)
}

/// The VM and its only disk. Booting is from the disk alone: an installer is never started (S0-44).
fn records(args: &Args, name: &str, firmware: &str) -> Change {
    let mut change = Change::new();
    let mut vm = new_record(
        "VM",
        args.vm,
        [
            ("name_label", name.into()),
            ("memory_static_min", (MEMORY_BYTES / 4).into()),
            ("memory_dynamic_min", MEMORY_BYTES.into()),
            ("memory_dynamic_max", MEMORY_BYTES.into()),
            ("memory_static_max", MEMORY_BYTES.into()),
            ("memory_target", MEMORY_BYTES.into()),
            ("VCPUs_max", 1.into()),
            ("VCPUs_at_startup", 1.into()),
            ("HVM_boot_policy", "BIOS order".into()),
            ("HVM_boot_params", Value::str_map([("order", "c"), ("firmware", firmware)])),
            ("platform", any_platform()),
            ("domain_type", Value::word("hvm")),
            ("actions_after_crash", Value::word("restart")),
            ("actions_after_reboot", Value::word("restart")),
            ("actions_after_shutdown", Value::word("destroy")),
        ],
    );
    super::create::complete(&mut vm, &mut change);
    change.create(vm);
    change.create(new_record(
        "VBD",
        args.vbd,
        [
            ("VM", reference(args.vm)),
            ("VDI", reference(args.vdi)),
            ("userdevice", "0".into()),
            ("bootable", true.into()),
            ("mode", Value::word("RW")),
            ("type", Value::word("Disk")),
            ("empty", false.into()),
            ("unpluggable", true.into()),
        ],
    ));
    change
}
