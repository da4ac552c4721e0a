//! A VM's disks and CD drives, by the VM: `vm-disk-*`, `vm-cd-*`, `snapshot-disk-list`, `cd-list`.

use super::Run;
use super::select::{self, VMS};
use crate::api::{NULL_REF, Value, s, text_of};
use crate::context::{Context, texts};
use crate::failure::{CallError, Failure};
use crate::record;
use crate::record::view::Object;
use crate::tables;

pub(super) const COMMANDS: &[(&str, Run)] = &[
    ("vm-disk-list", |ctx| list(ctx, false)),
    ("vm-cd-list", |ctx| list(ctx, true)),
    ("snapshot-disk-list", snapshot_list),
    ("vm-disk-add", add),
    ("vm-disk-remove", remove),
    ("vm-cd-add", cd_add),
    ("vm-cd-remove", cd_remove),
    ("vm-cd-eject", cd_eject),
    ("vm-cd-insert", cd_insert),
    ("cd-list", cd_list),
];

fn list(ctx: &mut Context<'_, '_>, cds: bool) -> Result<(), Failure> {
    let choice = VMS.ignoring(&["vbd-params", "vdi-params"]);
    let vms = select::choose(ctx, choice)?;
    select::each(ctx, choice, vms, |ctx, vm| list_of(ctx, vm, cds))?;
    Ok(())
}

fn snapshot_list(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let snapshot = super::snapshot::object(ctx)?;
    list_of(ctx, &snapshot, false)
}

/// The VM's block devices of a type, with their records.
fn devices(ctx: &mut Context<'_, '_>, vm: &Object, ty: &str) -> Result<Vec<Object>, Failure> {
    let mut found = Vec::new();
    for vbd in vm.fields.get("VBDs").map(texts).unwrap_or_default() {
        let object = Object { fields: ctx.record("VBD", &vbd)?, reference: vbd };
        if object.text("type") == ty {
            found.push(object);
        }
    }
    Ok(found)
}

fn list_of(ctx: &mut Context<'_, '_>, vm: &Object, cds: bool) -> Result<(), Failure> {
    let (Some(vbds), Some(vdis)) = (tables::record("vbd"), tables::record("vdi")) else {
        return Err(Failure::refused("there are no VBD and VDI records in the datamodel"));
    };
    let (word, ty) = if cds { ("CD", "CD") } else { ("Disk", "Disk") };
    let vbd_fields: &[&str] = if cds {
        &["uuid", "vm-name-label", "userdevice", "empty"]
    } else {
        &["uuid", "vm-name-label", "userdevice"]
    };
    let vbd_params = ctx.text("vbd-params");
    let vdi_params = ctx.text("vdi-params");
    for (n, vbd) in devices(ctx, vm, ty)?.into_iter().enumerate() {
        ctx.out.message(&format!("{word} {n} VBD:"));
        let row = record::row(ctx, vbds, &vbd, vbd_params.as_deref(), vbd_fields)?;
        ctx.out.table(vec![row]);
        let vdi = vbd.text("VDI");
        if vbd.text("empty") == "true" || vdi == NULL_REF {
            continue;
        }
        let vdi = Object { fields: ctx.record("VDI", &vdi)?, reference: vdi };
        ctx.out.message(&format!("{word} {n} VDI:"));
        let fields = ["uuid", "name-label", "virtual-size", "sr-name-label"];
        let row = record::row(ctx, vdis, &vdi, vdi_params.as_deref(), &fields)?;
        ctx.out.table(vec![row]);
    }
    Ok(())
}

/// The pool's default SR, if it has one that exists.
pub(super) fn default_sr(ctx: &mut Context<'_, '_>) -> Result<Option<String>, Failure> {
    let pool = ctx.pool()?;
    let sr = ctx.get("pool", &pool, "default_SR")?;
    if sr == NULL_REF || sr.is_empty() {
        return Ok(None);
    }
    match ctx.uuid_of("SR", &sr) {
        Ok(_) => Ok(Some(sr)),
        Err(Failure::Call(CallError::Api { .. })) => Ok(None),
        Err(other) => Err(other),
    }
}

/// A block device of a VM, plugged if the VM runs.
struct NewDevice<'d> {
    vm: &'d str,
    vdi: &'d str,
    device: &'d str,
    mode: &'d str,
    ty: &'d str,
    other_config: Value,
}

fn create_and_plug(ctx: &mut Context<'_, '_>, new: &NewDevice<'_>) -> Result<(), Failure> {
    let record = serde_json::json!({
        "VM": new.vm, "VDI": new.vdi, "userdevice": new.device, "bootable": false, "mode": new.mode,
        "type": new.ty, "unpluggable": true, "empty": false, "qos_algorithm_type": "",
        "qos_algorithm_params": {}, "other_config": new.other_config, "device": "",
        "currently_attached": false,
    });
    let vbd = ctx.call_text("VBD.create", vec![record])?;
    // A halted VM refuses, and finds the device when it starts.
    match ctx.api.call("VBD.plug", vec![s(vbd)]) {
        Ok(_) | Err(CallError::Api { .. }) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

fn add(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let size = ctx.bytes("disk-size")?;
    let device = ctx.required("device")?;
    let sr = match ctx.object_if_given("SR", "sr-uuid")? {
        Some(sr) => sr,
        None => default_sr(ctx)?.ok_or_else(|| {
            Failure::refused("No default Pool SR set; you must specify an SR on the commandline")
        })?,
    };
    let choice = VMS.ignoring(&["sr-uuid", "device", "disk-size"]);
    let vms = select::choose(ctx, choice)?;
    select::each(ctx, choice, vms, |ctx, vm| {
        let record = serde_json::json!({
            "name_label": "Created by xe", "name_description": "Created by xe", "SR": sr,
            "virtual_size": size, "type": "user", "sharable": false, "read_only": false,
            "other_config": {}, "xenstore_data": {}, "sm_config": {"vmhint": vm.uuid()}, "tags": [],
        });
        let vdi = ctx.run("VDI.create", vec![record])?;
        let attached = create_and_plug(
            ctx,
            &NewDevice {
                vm: &vm.reference,
                vdi: &vdi,
                device: &device,
                mode: "RW",
                ty: "Disk",
                other_config: serde_json::json!({"owner": ""}),
            },
        );
        if let Err(failure) = attached {
            // The disk was made for this device only.
            let _ = ctx.api.call("VDI.destroy", vec![s(vdi)]);
            return Err(failure);
        }
        Ok(())
    })?;
    Ok(())
}

fn remove(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let device = ctx.required("device")?;
    let choice = VMS.ignoring(&["device"]);
    let vms = select::choose(ctx, choice)?;
    select::each(ctx, choice, vms, |ctx, vm| {
        let mut found = None;
        for vbd in vm.fields.get("VBDs").map(texts).unwrap_or_default() {
            let record = ctx.record("VBD", &vbd)?;
            if record.get("userdevice").map(text_of).as_deref() == Some(device.as_str()) {
                found = Some((vbd, record.get("VDI").map(text_of).unwrap_or_default()));
                break;
            }
        }
        let (vbd, vdi) = found.ok_or_else(|| Failure::refused("Disk not found"))?;
        ctx.call("VBD.destroy", vec![s(vbd)])?;
        ctx.run("VDI.destroy", vec![s(vdi)])?;
        Ok(())
    })?;
    Ok(())
}

/// Discs of that name on ISO repositories.
fn discs(ctx: &mut Context<'_, '_>, name: &str) -> Result<Vec<String>, Failure> {
    let all = texts(&ctx.call("VDI.get_by_name_label", vec![s(name)])?);
    let mut found = Vec::new();
    for vdi in all {
        let sr = ctx.get("VDI", &vdi, "SR")?;
        if ctx.get("SR", &sr, "content_type")? == "iso" {
            found.push(vdi);
        }
    }
    Ok(found)
}

fn cd_add(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let name = ctx.required("cd-name")?;
    let device = ctx.required("device")?;
    let Some(vdi) = discs(ctx, &name)?.into_iter().next() else {
        return Err(Failure::refused(format!("CD {name} not found!")));
    };
    let choice = VMS.ignoring(&["cd-name", "device", "cd-location"]);
    let vms = select::choose(ctx, choice)?;
    select::each(ctx, choice, vms, |ctx, vm| {
        create_and_plug(
            ctx,
            &NewDevice {
                vm: &vm.reference,
                vdi: &vdi,
                device: &device,
                mode: "RO",
                ty: "CD",
                other_config: serde_json::json!({}),
            },
        )
    })?;
    Ok(())
}

fn cd_remove(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let name = ctx.required("cd-name")?;
    let choice = VMS.ignoring(&["cd-name"]);
    let vms = select::choose(ctx, choice)?;
    select::each(ctx, choice, vms, |ctx, vm| {
        let mut found = None;
        for vbd in devices(ctx, vm, "CD")? {
            let vdi = vbd.text("VDI");
            let holds = if vbd.text("empty") == "true" || vdi == NULL_REF {
                name == "<EMPTY>"
            } else {
                ctx.get("VDI", &vdi, "name_label")? == name
            };
            if holds {
                found = Some(vbd.reference);
                break;
            }
        }
        let vbd = found.ok_or_else(|| Failure::refused("Disk not found"))?;
        ctx.call("VBD.destroy", vec![s(vbd)])?;
        Ok(())
    })?;
    Ok(())
}

fn cd_eject(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let vms = select::choose(ctx, VMS)?;
    select::each(ctx, VMS, vms, |ctx, vm| match devices(ctx, vm, "CD")?.as_slice() {
        [] => Err(Failure::refused("No CDs found")),
        [cd] => ctx.call("VBD.eject", vec![s(cd.reference.as_str())]).map(drop),
        _ => Err(Failure::refused("Two or more CDs found. Please use vbd-eject")),
    })?;
    Ok(())
}

fn cd_insert(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let name = ctx.required("cd-name")?;
    let found = discs(ctx, &name)?;
    let [vdi] = found.as_slice() else {
        return Err(Failure::refused(if found.is_empty() {
            format!("CD {name} not found")
        } else {
            format!("Multiple CDs named {name} found. Please use vbd-insert and specify uuids")
        }));
    };
    let choice = VMS.ignoring(&["cd-name"]);
    let vms = select::choose(ctx, choice)?;
    select::each(ctx, choice, vms, |ctx, vm| {
        let mut drives = devices(ctx, vm, "CD")?;
        drives.retain(|d| d.text("empty") == "true");
        match drives.as_slice() {
            [] => Err(CallError::Api {
                code: "VM_NO_EMPTY_CD_VBD".to_owned(),
                params: vec![vm.reference.clone()],
            }
            .into()),
            [cd] => {
                let args = vec![s(cd.reference.as_str()), s(vdi.as_str())];
                ctx.call("VBD.insert", args).map(drop)
            }
            _ => Err(Failure::refused("Two or more empty CD devices found. Please use vbd-insert")),
        }
    })?;
    Ok(())
}

fn cd_list(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let Some(vdis) = tables::record("vdi") else {
        return Err(Failure::refused("there are no VDI records in the datamodel"));
    };
    let repositories = ctx.api.records("SR", Some(&["content_type", "VDIs"]))?;
    ctx.set_bulk(true);
    let mut rows = Vec::new();
    for (_, sr) in repositories {
        if sr.get("content_type").map(text_of).as_deref() != Some("iso") {
            continue;
        }
        for vdi in sr.get("VDIs").map(texts).unwrap_or_default() {
            let Some(fields) = ctx.class("VDI", None)?.get(&vdi).cloned() else { continue };
            let object = Object { reference: vdi, fields };
            let params = ctx.text("params");
            rows.push(record::row(ctx, vdis, &object, params.as_deref(), &["name-label", "uuid"])?);
        }
    }
    ctx.out.table(rows);
    Ok(())
}
