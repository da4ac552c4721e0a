//! `vm-install`: a VM from a template.
//!
//! The steps are XenServer's: clone (or copy to another repository), note where disks go, provision. What fails after the
//! clone takes the clone back.

use super::Run;
use super::vm_disks::default_sr;
use crate::api::{NULL_REF, Value, s, text_of};
use crate::context::{Context, texts};
use crate::failure::{CallError, Failure};

pub(super) const COMMANDS: &[(&str, Run)] = &[("vm-install", install)];

fn install(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let name = ctx.required("new-name-label")?;
    let template = find_template(ctx)?;
    let record = ctx.record("VM", &template)?;
    if record.get("is_a_template") != Some(&Value::Bool(true)) {
        return Err(Failure::refused("Can only install from templates"));
    }
    let from_snapshot = record.get("is_a_snapshot") == Some(&Value::Bool(true));
    let sr = chosen_sr(ctx, from_snapshot)?;
    let bios_from = ctx.object_if_given("host", "copy-bios-strings-from")?;
    let disks = record
        .get("other_config")
        .and_then(|c| c.get("disks"))
        .map(text_of)
        .filter(|d| !d.is_empty());
    // Where new disks go: the repository asked for, else the pool's default.
    let disk_sr = match &sr {
        Some(sr) => Some(sr.clone()),
        None => default_sr(ctx)?,
    };
    if disks.is_some() && disk_sr.is_none() {
        return Err(Failure::refused(
            "Failed to find a valid default SR for the Pool. Please provide an sr-name-label or sr-uuid parameter.",
        ));
    }
    let suspend_sr = match &sr {
        Some(sr) => sr.clone(),
        None => record.get("suspend_SR").map(text_of).unwrap_or_else(|| NULL_REF.to_owned()),
    };
    let disk_sr_uuid = match &disk_sr {
        Some(sr) => ctx.uuid_of("SR", sr)?,
        None => String::new(),
    };

    let vm = match &sr {
        Some(sr) => ctx.run("VM.copy", vec![s(template), s(name), s(sr.as_str())])?,
        None => ctx.run("VM.clone", vec![s(template), s(name)])?,
    };
    let finished = provision(ctx, &vm, &suspend_sr, &disk_sr_uuid, disks, bios_from);
    if finished.is_err() {
        // The half-made VM is of no use to anybody.
        let _ = ctx.api.call("VM.destroy", vec![s(vm.as_str())]);
    }
    finished?;
    let uuid = ctx.uuid_of("VM", &vm)?;
    ctx.out.list(vec![uuid]);
    Ok(())
}

fn provision(
    ctx: &mut Context<'_, '_>,
    vm: &str,
    suspend_sr: &str,
    disk_sr_uuid: &str,
    disks: Option<String>,
    bios_from: Option<String>,
) -> Result<(), Failure> {
    ctx.call("VM.set_name_description", vec![s(vm), s("Installed via xe CLI")])?;
    ctx.call("VM.set_suspend_SR", vec![s(vm), s(suspend_sr)])?;
    if let Some(disks) = disks {
        let rewritten = with_sr(&disks, disk_sr_uuid);
        ctx.call("VM.remove_from_other_config", vec![s(vm), s("disks")])?;
        ctx.call("VM.add_to_other_config", vec![s(vm), s("disks"), s(rewritten)])?;
    }
    ctx.run("VM.provision", vec![s(vm)])?;
    if let Some(host) = bios_from {
        ctx.call("VM.copy_bios_strings", vec![s(vm), s(host)])?;
    }
    Ok(())
}

/// `<provision><disk ... sr=""/></provision>` with every `sr` set.
fn with_sr(xml: &str, uuid: &str) -> String {
    let mut out = String::new();
    let mut rest = xml;
    while let Some(at) = rest.find(" sr=\"") {
        let value = at + " sr=\"".len();
        let Some(end) = rest[value..].find('"') else { break };
        out.push_str(&rest[..value]);
        out.push_str(uuid);
        rest = &rest[value + end..];
    }
    out.push_str(rest);
    out
}

fn find_template(ctx: &mut Context<'_, '_>) -> Result<String, Failure> {
    if let Some(uuid) = ctx.text("template-uuid") {
        return match ctx.call_text("VM.get_by_uuid", vec![s(uuid)]) {
            Ok(vm) => Ok(vm),
            Err(Failure::Call(CallError::Api { .. })) => {
                Err(Failure::refused("Cannot find template"))
            }
            Err(other) => Err(other),
        };
    }
    if let Some(name) = ctx.text("template-name-label").or_else(|| ctx.text("template-name")) {
        return by_name(ctx, &name);
    }
    let Some(text) = ctx.text("template") else {
        return Err(Failure::refused(
            "Template must be specified by parameter 'template-uuid', 'template-name', 'template-name-label' or \
             'template'",
        ));
    };
    match ctx.call_text("VM.get_by_uuid", vec![s(text.as_str())]) {
        Ok(vm) => Ok(vm),
        Err(Failure::Call(CallError::Api { .. })) => by_name(ctx, &text),
        Err(other) => Err(other),
    }
}

fn by_name(ctx: &mut Context<'_, '_>, name: &str) -> Result<String, Failure> {
    let mut found = Vec::new();
    for vm in texts(&ctx.call("VM.get_by_name_label", vec![s(name)])?) {
        let is = |ctx: &mut Context<'_, '_>, field: &str| ctx.get("VM", &vm, field);
        if is(ctx, "is_a_template")? == "true" && is(ctx, "is_control_domain")? == "false" {
            found.push(vm.clone());
        }
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::refused("No templates matched")),
        _ => Err(Failure::refused("More than one matching template found")),
    }
}

/// The repository `sr-uuid` and `sr-name-label` name together.
fn chosen_sr(ctx: &mut Context<'_, '_>, from_snapshot: bool) -> Result<Option<String>, Failure> {
    if from_snapshot && (ctx.params.has("sr-uuid") || ctx.params.has("sr-name-label")) {
        return Err(Failure::refused(
            "Do not use the sr-name-label or sr-uuid argument when installing from a snapshot. By default, it will \
             install each new disk on the same SR as the corresponding snapshot disks.",
        ));
    }
    let by_uuid = ctx.object_if_given("SR", "sr-uuid")?;
    let Some(name) = ctx.text("sr-name-label") else { return Ok(by_uuid) };
    let named = texts(&ctx.call("SR.get_by_name_label", vec![s(name)])?);
    match (by_uuid, named.as_slice()) {
        (_, []) => Err(Failure::refused("No SR with that name-label found")),
        (Some(sr), all) if all.contains(&sr) => Ok(Some(sr)),
        (Some(_), _) => Err(Failure::refused(
            "SR specified via sr-uuid doesn't have the name specified via sr-name-label",
        )),
        (None, [one]) => Ok(Some(one.clone())),
        (None, _) => Err(Failure::refused("Multiple SRs with that name-label found")),
    }
}

#[cfg(test)]
mod tests {
    use super::with_sr;

    #[test]
    fn every_disk_of_the_provision_text_gets_the_repository() {
        let xml = r#"<provision><disk device="0" size="1" sr="" bootable="true"/><disk device="1" sr="x"/></provision>"#;
        let want = r#"<provision><disk device="0" size="1" sr="u" bootable="true"/><disk device="1" sr="u"/></provision>"#;
        assert_eq!(with_sr(xml, "u"), want);
    }
}
