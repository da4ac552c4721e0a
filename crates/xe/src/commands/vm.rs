//! VMs: power, copies, removal, creation, console.

use std::collections::BTreeSet;

use super::Run;
use super::members;
use super::select::{self, Choice, VMS};
use crate::api::{NULL_REF, Value, s, text_map, text_of};
use crate::context::{Context, texts};
use crate::explain;
use crate::failure::{CallError, Failure};
use crate::output::Cell;
use crate::record;
use crate::record::view::Object;
use crate::tables;

pub(super) const COMMANDS: &[(&str, Run)] = &[
    ("vm-start", start),
    ("vm-shutdown", shutdown),
    ("vm-reboot", reboot),
    ("vm-resume", resume),
    ("vm-clone", |ctx| copy_op(ctx, "VM.clone", VMS.with_templates(), false)),
    ("vm-snapshot", |ctx| copy_op(ctx, "VM.snapshot", VMS, true)),
    ("vm-snapshot-with-quiesce", |ctx| copy_op(ctx, "VM.snapshot_with_quiesce", VMS, false)),
    ("vm-checkpoint", |ctx| copy_op(ctx, "VM.checkpoint", VMS, false)),
    ("vm-copy", copy),
    ("vm-uninstall", uninstall),
    ("template-uninstall", template_uninstall),
    ("vm-destroy", destroy),
    ("vm-create", create),
    ("vm-reset-powerstate", reset_powerstate),
    ("vm-vif-list", vif_list),
    ("vm-data-source-list", |ctx| data_source_list(ctx, VMS.with_control_domains(), "VM")),
    ("host-data-source-list", |ctx| data_source_list(ctx, select::HOSTS, "host")),
    ("sr-data-source-list", |ctx| data_source_list(ctx, select::SRS, "SR")),
    ("vm-crashdump-list", crashdump_list),
    ("vm-is-bios-customized", is_bios_customized),
    ("console", console),
    ("diagnostic-vm-status", diagnostic_status),
];

/// Does a long call to each chosen VM.
fn each_vm(
    ctx: &mut Context<'_, '_>,
    choice: Choice,
    act: impl FnMut(&mut Context<'_, '_>, &Object) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let objects = select::choose(ctx, choice)?;
    select::each(ctx, choice, objects, act)?;
    Ok(())
}

fn start(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let force = Value::Bool(ctx.flag("force")?);
    let paused = Value::Bool(ctx.flag("paused")?);
    let on = match ctx.text("on") {
        Some(host) => Some(select::host_by_name(ctx, &host)?),
        None => None,
    };
    let choice = VMS.with_control_domains().ignoring(&["on", "paused", "progress"]);
    each_vm(ctx, choice, |ctx, vm| {
        let me = s(vm.reference.as_str());
        let outcome = match &on {
            Some(host) => {
                let args = vec![me, s(host.as_str()), paused.clone(), force.clone()];
                ctx.run("VM.start_on", args)
            }
            None => ctx.run("VM.start", vec![me, paused.clone(), force.clone()]),
        };
        with_host_report(ctx, &vm.reference, outcome)
    })
}

fn resume(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let force = Value::Bool(ctx.flag("force")?);
    let paused = Value::Bool(false);
    let on = match ctx.text("on") {
        Some(host) => Some(select::host_by_name(ctx, &host)?),
        None => None,
    };
    each_vm(ctx, VMS.ignoring(&["on", "progress"]), |ctx, vm| {
        let me = s(vm.reference.as_str());
        let outcome = match &on {
            Some(host) => {
                let args = vec![me, s(host.as_str()), paused.clone(), force.clone()];
                ctx.run("VM.resume_on", args)
            }
            None => ctx.run("VM.resume", vec![me, paused.clone(), force.clone()]),
        };
        with_host_report(ctx, &vm.reference, outcome)
    })
}

/// Where no host can run the VM, says of each host why.
fn with_host_report(
    ctx: &mut Context<'_, '_>,
    vm: &str,
    outcome: Result<String, Failure>,
) -> Result<(), Failure> {
    let failure = match outcome {
        Ok(_) => return Ok(()),
        Err(failure) => failure,
    };
    if let Failure::Call(CallError::Api { code, .. }) = &failure
        && code == "NO_HOSTS_AVAILABLE"
    {
        ctx.out.list(vec![
            "There are no suitable hosts to start this VM on.".to_owned(),
            "The following table provides per-host reasons for why the VM could not be started:"
                .to_owned(),
            String::new(),
        ]);
        host_report(ctx, vm)?;
    }
    Err(failure)
}

fn host_report(ctx: &mut Context<'_, '_>, vm: &str) -> Result<(), Failure> {
    let hosts = ctx.api.records("host", Some(&["name_label"]))?;
    let mut cells = Vec::new();
    for (host, fields) in hosts {
        let verdict = match ctx.api.call("VM.assert_can_boot_here", vec![s(vm), s(host.as_str())]) {
            Ok(_) => "OK".to_owned(),
            Err(CallError::Api { code, params }) => {
                format!("Cannot start here [{}]", reason(&code, &params))
            }
            Err(other) => return Err(other.into()),
        };
        let name = fields.get("name_label").map(text_of).unwrap_or_default();
        cells.push(Cell::plain(name, verdict));
    }
    ctx.out.table(vec![cells]);
    Ok(())
}

/// Why a VM cannot start on a host, in a few words.
fn reason(code: &str, params: &[String]) -> String {
    let second = || {
        let text = params.get(1).map_or("<server did not provide reference>", String::as_str);
        crate::api::uuid_of_ref(text).unwrap_or(text).to_owned()
    };
    match code {
        "VM_REQUIRES_SR" => format!("VM requires access to SR: {}", second()),
        "VM_REQUIRES_NETWORK" => format!("VM requires access to network: {}", second()),
        "HOST_CANNOT_ATTACH_NETWORK" => format!("Host cannot attach to network: {}", second()),
        "HOST_DISABLED" => "Host disabled (use 'xe host-enable' to re-enable)".to_owned(),
        "HOST_DISABLED_INDEFINITELY" => {
            "Host disabled indefinitely (use 'xe host-enable' to re-enable)".to_owned()
        }
        "HOST_NOT_LIVE" => "Host down".to_owned(),
        "HOST_NOT_ENOUGH_FREE_MEMORY" => "Not enough free memory".to_owned(),
        "HOST_NOT_ENOUGH_PCPUS" if params.len() == 2 => {
            format!("Not enough CPUs (VM needs {}, but host has {})", params[0], params[1])
        }
        "VM_HVM_REQUIRED" => "HVM not supported".to_owned(),
        "INVALID_VALUE" if params.len() == 2 => {
            format!("Field has invalid value: {} = {}", params[0], params[1])
        }
        _ => format!("{code}: [ {} ]", params.join("; ")),
    }
}

fn shutdown(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let method = if ctx.flag("force")? { "VM.hard_shutdown" } else { "VM.clean_shutdown" };
    each_vm(ctx, VMS.ignoring(&["progress"]), |ctx, vm| {
        ctx.run(method, vec![s(vm.reference.as_str())]).map(drop)
    })
}

fn reboot(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let method = if ctx.flag("force")? { "VM.hard_reboot" } else { "VM.clean_reboot" };
    each_vm(ctx, VMS, |ctx, vm| ctx.run(method, vec![s(vm.reference.as_str())]).map(drop))
}

/// Clone, snapshot and checkpoint: a new VM with a new name, whose uuid is printed.
fn copy_op(
    ctx: &mut Context<'_, '_>,
    method: &str,
    choice: Choice,
    ignores_vdis: bool,
) -> Result<(), Failure> {
    let name = ctx.required("new-name-label")?;
    let ignored = super::direct::objects(ctx, "VDI", "ignore-vdi-uuids")?;
    let choice = choice.ignoring(&["new-name-label", "new-name-description", "ignore-vdi-uuids"]);
    let objects = select::choose(ctx, choice)?;
    let new = select::each(ctx, choice, objects, |ctx, vm| {
        let mut args = vec![s(vm.reference.as_str()), s(name.as_str())];
        if ignores_vdis {
            args.push(select::set(ignored.clone()));
        }
        ctx.run(method, args)
    })?;
    describe_and_print(ctx, &new)
}

fn copy(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let name = ctx.required("new-name-label")?;
    let sr = ctx.object_or_null("SR", "sr-uuid")?;
    let choice = VMS.with_templates().only_one().ignoring(&[
        "new-name-label",
        "new-name-description",
        "sr-uuid",
    ]);
    let objects = select::choose(ctx, choice)?;
    let new = select::each(ctx, choice, objects, |ctx, vm| {
        ctx.run("VM.copy", vec![s(vm.reference.as_str()), s(name.as_str()), s(sr.as_str())])
    })?;
    describe_and_print(ctx, &new)
}

/// Sets the description of the first new VM, where one was given, and prints the uuids.
fn describe_and_print(ctx: &mut Context<'_, '_>, new: &[String]) -> Result<(), Failure> {
    if let (Some(text), Some(first)) = (ctx.text("new-name-description"), new.first()) {
        ctx.call("VM.set_name_description", vec![s(first.as_str()), s(text)])?;
    }
    let mut uuids = Vec::new();
    for vm in new {
        uuids.push(ctx.uuid_of("VM", vm)?);
    }
    ctx.out.list(uuids);
    Ok(())
}

fn uninstall(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let mut vms: Vec<String> = select::choose(ctx, VMS)?.into_iter().map(|o| o.reference).collect();
    for vm in vms.clone() {
        vms.extend(ctx.get_set("VM", &vm, "snapshots")?);
    }
    uninstall_all(ctx, &vms)
}

fn template_uninstall(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let uuid = ctx.required("template-uuid")?;
    let template = ctx.resolve("VM", &uuid)?;
    if ctx.get("VM", &template, "is_a_template")? != "true" {
        return Err(Failure::refused(format!(
            "This operation can only be performed on a VM template. {uuid} is not a VM template."
        )));
    }
    uninstall_all(ctx, &[template])
}

/// One VM and the disks that go with it.
struct Removal {
    vm: String,
    running: bool,
    disks: Vec<String>,
    suspend_image: Option<String>,
}

/// Destroys VMs with the disks they own, after showing them and asking.
pub(super) fn uninstall_all(ctx: &mut Context<'_, '_>, vms: &[String]) -> Result<(), Failure> {
    let mut removals = Vec::new();
    let mut lines = Vec::new();
    for vm in vms {
        let record = ctx.record("VM", vm)?;
        let text = |field: &str| record.get(field).map(text_of).unwrap_or_default();
        lines.push(format!("VM : {} ({})", text("uuid"), text("name_label")));
        let mut disks = Vec::new();
        for vbd in record.get("VBDs").map(texts).unwrap_or_default() {
            // Only disks the VM owns go with it: a disk attached for a while, or a disc in a drive, stays.
            let Ok(vbd) = ctx.record("VBD", &vbd) else { continue };
            let owned = vbd.get("other_config").is_some_and(|c| c.get("owner").is_some());
            let vdi = vbd.get("VDI").map(text_of).unwrap_or_default();
            if !owned || vdi == NULL_REF {
                continue;
            }
            let Ok(line) = disk_line(ctx, &vdi) else { continue };
            lines.push(line);
            disks.push(vdi);
        }
        let image = text("suspend_VDI");
        let suspend_image = match disk_line(ctx, &image) {
            Ok(line) if image != NULL_REF && !image.is_empty() => {
                lines.push(line);
                Some(image)
            }
            _ => None,
        };
        removals.push(Removal {
            vm: vm.clone(),
            running: text("power_state") != "Halted",
            disks,
            suspend_image,
        });
    }
    ctx.out.raw("The following items are about to be destroyed");
    for line in lines {
        ctx.out.raw(&line);
    }
    if !ctx.flag("force")? && !ctx.out.user_says_yes() {
        return Ok(());
    }
    for removal in removals {
        if removal.running {
            ctx.run("VM.hard_shutdown", vec![s(removal.vm.as_str())])?;
        }
        ctx.call("VM.destroy", vec![s(removal.vm)])?;
        for disk in removal.disks {
            ctx.run("VDI.destroy", vec![s(disk)])?;
        }
        if let Some(image) = removal.suspend_image {
            // The server may have removed it with the VM.
            let _ = ctx.api.call("VDI.destroy", vec![s(image)]);
        }
    }
    ctx.out.raw("All objects destroyed");
    Ok(())
}

fn disk_line(ctx: &mut Context<'_, '_>, vdi: &str) -> Result<String, Failure> {
    if vdi == NULL_REF || vdi.is_empty() {
        return Ok(String::new());
    }
    let record = ctx.record("VDI", vdi)?;
    let text = |field: &str| record.get(field).map(text_of).unwrap_or_default();
    let shared = match record.get("VBDs").map(texts).unwrap_or_default().len() {
        0 | 1 => "",
        _ => " ** WARNING: disk is shared by other VMs",
    };
    Ok(format!("VDI: {} ({}) {shared}", text("uuid"), text("name_label")))
}

fn destroy(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let vm = ctx.object("VM", "uuid")?;
    if ctx.get("VM", &vm, "is_control_domain")? == "true" {
        return Err(CallError::Api {
            code: "OPERATION_NOT_ALLOWED".to_owned(),
            params: vec!["You cannot destroy a control domain via the CLI".to_owned()],
        }
        .into());
    }
    ctx.call("VM.destroy", vec![s(vm)])?;
    Ok(())
}

/// An empty VM with 256 MiB, as XenServer's `xe vm-create` makes it.
fn create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    const MIB: i64 = 1 << 20;
    let mut record = crate::api::Fields::new();
    let mut set = |name: &str, value: Value| {
        record.insert(name.to_owned(), value);
    };
    set("name_label", s(ctx.required("name-label")?));
    set("name_description", s(ctx.text_or("name-description", "")));
    for name in ["memory_target", "memory_static_max", "memory_dynamic_max"] {
        set(name, Value::from(256 * MIB));
    }
    for name in ["memory_dynamic_min", "memory_static_min"] {
        set(name, Value::from(128 * MIB));
    }
    for name in ["VCPUs_max", "VCPUs_at_startup"] {
        set(name, Value::from(1));
    }
    for name in [
        "user_version",
        "start_delay",
        "shutdown_delay",
        "order",
        "version",
        "hardware_platform_version",
    ] {
        set(name, Value::from(0));
    }
    set("HVM_shadow_multiplier", Value::from(1.0));
    for name in ["is_a_template", "ha_always_run", "has_vendor_device"] {
        set(name, Value::Bool(false));
    }
    for name in ["affinity", "suspend_SR", "appliance"] {
        set(name, s(NULL_REF));
    }
    for (name, word) in [
        ("actions_after_softreboot", "soft_reboot"),
        ("actions_after_shutdown", "destroy"),
        ("actions_after_reboot", "restart"),
        ("actions_after_crash", "destroy"),
        ("domain_type", "unspecified"),
    ] {
        set(name, s(word));
    }
    for name in [
        "PV_bootloader",
        "PV_kernel",
        "PV_ramdisk",
        "PV_args",
        "PV_bootloader_args",
        "PV_legacy_args",
        "HVM_boot_policy",
        "PCI_bus",
        "recommendations",
        "ha_restart_priority",
        "generation_id",
        "reference_label",
    ] {
        set(name, s(""));
    }
    for name in [
        "blocked_operations",
        "VCPUs_params",
        "HVM_boot_params",
        "platform",
        "other_config",
        "xenstore_data",
        "NVRAM",
    ] {
        set(name, text_map(&[]));
    }
    set("tags", Value::Array(vec![]));
    let record = Value::Object(record);
    let vm = ctx.call_text("VM.create", vec![record])?;
    let uuid = ctx.uuid_of("VM", &vm)?;
    ctx.out.list(vec![uuid]);
    Ok(())
}

/// Where nothing proves that the VM's host has stopped, a person's word about that host is what resets all its VMs.
fn reset_powerstate(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let choice = VMS.ignoring(&["confirm"]);
    if !ctx.flag("force")?
        && let Ok(vms) = select::choose(ctx, choice)
    {
        let hosts: BTreeSet<String> =
            vms.iter().filter_map(|vm| vm.fields.get("resident_on").map(text_of)).collect();
        for host in hosts.iter().filter(|host| *host != NULL_REF) {
            members::tell_facts(ctx, host);
        }
    }
    ctx.fail_without_force()?;
    each_vm(ctx, choice, |ctx, vm| {
        let reset = |ctx: &mut Context<'_, '_>| {
            ctx.call("VM.power_state_reset", vec![s(vm.reference.as_str())]).map(drop)
        };
        members::with_words(ctx, reset, |ctx, words| {
            let host = ctx.get("VM", &vm.reference, "resident_on")?;
            if host != NULL_REF && ctx.get("VM", &vm.reference, "power_state")? != "Halted" {
                ctx.run("host.holdfast_declare_dead", vec![s(host), s(words)])?;
            }
            reset(ctx)
        })
    })
}

fn vif_list(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    // Several VMs are always fine here.
    ctx.params.0.push(("multiple".to_owned(), "true".to_owned()));
    let record = tables::record("vif")
        .ok_or_else(|| Failure::refused("there are no VIF records in the datamodel"))?;
    let fields = ["uuid", "device", "MAC", "network-uuid", "network-name-label", "vm-name-label"];
    each_vm(ctx, VMS.ignoring(&["params"]), |ctx, vm| {
        let mut rows = Vec::new();
        for vif in vm.fields.get("VIFs").map(texts).unwrap_or_default() {
            let object = Object { fields: ctx.record("VIF", &vif)?, reference: vif };
            let params = ctx.text("params");
            rows.push(record::row(ctx, record, &object, params.as_deref(), &fields)?);
        }
        ctx.out.table(rows);
        Ok(())
    })
}

fn data_source_list(ctx: &mut Context<'_, '_>, choice: Choice, class: &str) -> Result<(), Failure> {
    let objects = select::choose(ctx, choice)?;
    select::each(ctx, choice, objects, |ctx, object| {
        let method = format!("{class}.get_data_sources");
        let sources = ctx.call(&method, vec![s(object.reference.as_str())])?;
        let fields =
            ["name_label", "name_description", "enabled", "standard", "min", "max", "units"];
        let rows = sources
            .as_array()
            .into_iter()
            .flatten()
            .map(|source| {
                fields
                    .iter()
                    .map(|f| {
                        let value = source.get(f).unwrap_or(&Value::Null);
                        let text = match (value, *f) {
                            (Value::Number(n), _) => {
                                format!("{:.3}", n.as_f64().unwrap_or_default())
                            }
                            _ => text_of(value),
                        };
                        Cell::plain(*f, text)
                    })
                    .collect()
            })
            .collect();
        ctx.out.table(rows);
        Ok(())
    })?;
    Ok(())
}

fn crashdump_list(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    each_vm(ctx, VMS, |ctx, vm| {
        let dumps = vm.fields.get("crash_dumps").map(texts).unwrap_or_default();
        let rows = dumps
            .iter()
            .map(|d| vec![Cell::plain("uuid", crate::record::view::uuid_text(d))])
            .collect();
        ctx.out.table(rows);
        Ok(())
    })
}

fn is_bios_customized(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    each_vm(ctx, VMS, |ctx, vm| {
        let strings = vm.fields.get("bios_strings").and_then(Value::as_object);
        let generic = strings.is_none_or(|m| {
            m.get("bios-vendor").is_none_or(|v| v == "Xen")
                && m.get("system-manufacturer").is_none_or(|v| v == "Xen")
        });
        let empty = strings.is_none_or(serde_json::Map::is_empty);
        ctx.out.message(match (empty, generic) {
            (true, _) => "The BIOS strings of this VM have not yet been set.",
            (false, true) => "This VM is BIOS-generic.",
            (false, false) => "This VM is BIOS-customized.",
        });
        Ok(())
    })
}

/// Prints where the VM's consoles are: a viewer connects there with the session.
fn console(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let vms = select::matching(ctx, VMS.with_control_domains())?;
    let [vm] = vms.as_slice() else {
        let text = if vms.is_empty() {
            "No VM found\n"
        } else {
            "Multiple VMs found: please narrow your request to one VM.\n"
        };
        ctx.out.stderr(text);
        return Err(Failure::Exit(1));
    };
    let mut lines = Vec::new();
    for console in vm.fields.get("consoles").map(texts).unwrap_or_default() {
        let protocol = ctx.get("console", &console, "protocol")?;
        let location = ctx.get("console", &console, "location")?;
        lines.push(format!("{protocol}: {location}"));
    }
    if lines.is_empty() {
        ctx.out.stderr("The VM has no console now; it has one while it runs.\n");
        return Err(Failure::Exit(1));
    }
    ctx.out.list(lines);
    Ok(())
}

fn diagnostic_status(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let vm = ctx.object("VM", "uuid")?;
    let (Some(vms), Some(vbds)) = (tables::record("vm"), tables::record("vbd")) else {
        return Err(Failure::refused("there are no VM records in the datamodel"));
    };
    let object = Object { fields: ctx.record("VM", &vm)?, reference: vm.clone() };
    let shown = ["uuid", "name-label", "power-state", "possible-hosts"];
    let row = record::row(ctx, vms, &object, None, &shown)?;
    ctx.out.table(vec![row]);
    ctx.out.list(vec!["Checking to see whether disks are attachable".to_owned()]);
    let shown = [
        "uuid",
        "userdevice",
        "device",
        "vdi-uuid",
        "empty",
        "mode",
        "type",
        "storage-lock",
        "attachable",
    ];
    for vbd in object.fields.get("VBDs").map(texts).unwrap_or_default() {
        let vbd = Object { fields: ctx.record("VBD", &vbd)?, reference: vbd };
        let row = record::row(ctx, vbds, &vbd, None, &shown)?;
        ctx.out.table(vec![row]);
    }
    ctx.out.list(vec!["Checking to see whether VM can boot on each host".to_owned()]);
    host_report(ctx, &vm)?;
    let verdict = match ctx.api.call("VM.assert_agile", vec![s(vm)]) {
        Ok(_) => "VM is agile.".to_owned(),
        Err(CallError::Api { code, params }) => {
            let why = explain::api_error(&code, &params, None).join(" ");
            format!("VM is not agile because: {why}")
        }
        Err(other) => return Err(other.into()),
    };
    ctx.out.list(vec![verdict]);
    Ok(())
}
