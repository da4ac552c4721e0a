//! `sr-adopt`: a repository that is already at a place comes into the pool: after a reinstallation that kept the data disks
//! (S2-32), or from another pool.
//!
//! ```text
//! probe ─> introduce (unless known) ─> attachment of the host (unless there) ─> plug (unless plugged) ─> scan ─> disks, VMs
//! ```
//! Every step looks first whether it is done, so a command that was interrupted is run again and goes on. Nothing is ever
//! formatted: a place without a repository's own mark is refused. A disk with a XenServer repository is another matter
//! ([`super::salvage`]).

use super::Run;
use super::storage::{device_config, host_or_coordinator};
use crate::api::{Value, s, text_map, text_of};
use crate::context::{Context, texts};
use crate::failure::Failure;

pub(super) const COMMANDS: &[(&str, Run)] = &[("sr-adopt", adopt)];

/// What is known of the repository before anything is done.
struct Place {
    uuid: String,
    ty: String,
    config: Value,
    host: String,
    host_name: String,
    dry_run: bool,
}

fn adopt(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    if ctx.text("device").is_some() {
        return super::salvage::adopt(ctx);
    }
    let config = device_config(ctx)?;
    let ty = ctx.text_or("type", "file");
    let host = host_or_coordinator(ctx, false)?;
    let host_name = ctx.get("host", &host, "name_label")?;
    let dry_run = ctx.flag("dry-run")?;
    let args = vec![s(host.as_str()), config.clone(), s(ty.as_str()), text_map(&[])];
    let found = uuids(&ctx.run("SR.probe", args)?);
    let uuid = chosen(ctx, found, &host_name)?;
    let place = Place { uuid, ty, config, host, host_name, dry_run };
    ctx.out.raw(&format!("found    repository {} on host '{}'", place.uuid, place.host_name));
    let sr = introduced(ctx, &place)?;
    let plugged = attached(ctx, &place, sr.as_deref())?;
    let Some(sr) = sr.filter(|_| !dry_run || plugged) else { return Ok(()) };
    if !dry_run {
        ctx.run("SR.scan", vec![s(sr.as_str())])?;
        ctx.out.raw("scanned  its disks");
    }
    list(ctx, &sr)
}

/// The uuids in what `SR.probe` answers.
fn uuids(xml: &str) -> Vec<String> {
    let parts = xml.split("<UUID>").skip(1).filter_map(|part| part.split("</UUID>").next());
    parts.map(|uuid| uuid.trim().to_owned()).collect()
}

fn chosen(ctx: &Context<'_, '_>, found: Vec<String>, host: &str) -> Result<String, Failure> {
    let wanted = ctx.text("uuid");
    let mut fit: Vec<String> =
        found.into_iter().filter(|uuid| wanted.as_ref().is_none_or(|w| w == uuid)).collect();
    match (fit.len(), wanted) {
        (1, _) => Ok(fit.remove(0)),
        (0, Some(wanted)) => Err(Failure::refused(format!(
            "repository {wanted} is not at that place of host '{host}'; see: xe sr-probe"
        ))),
        (0, None) => Err(Failure::refused(format!(
            "there is no repository at that place of host '{host}'; is its file system mounted? Disks without a \
             repository's mark are found by: holdfast-rescue scan"
        ))),
        _ => Err(Failure::refused(format!(
            "several repositories are at that place: {}. Name one: uuid=...",
            fit.join(", ")
        ))),
    }
}

/// The repository's record, made if the pool has none; `None` in a dry run.
fn introduced(ctx: &mut Context<'_, '_>, place: &Place) -> Result<Option<String>, Failure> {
    let known = ctx.api.records("SR", Some(&["uuid", "name_label"]))?;
    let own = known
        .into_iter()
        .find(|(_, record)| record.get("uuid").is_some_and(|u| text_of(u) == place.uuid));
    if let Some((sr, record)) = own {
        let label = record.get("name_label").map(text_of).unwrap_or_default();
        ctx.out.raw(&format!("known    the pool has its record, '{label}'"));
        return Ok(Some(sr));
    }
    let label = ctx.text_or("name-label", &format!("Local storage on {}", place.host_name));
    let shared = ctx.flag("shared")?;
    let made = if place.dry_run {
        None
    } else {
        let record = vec![
            s(place.uuid.as_str()),
            s(label.as_str()),
            s(""),
            s(place.ty.as_str()),
            s("user"),
            Value::Bool(shared),
            text_map(&[]),
        ];
        Some(ctx.call_text("SR.introduce", record)?)
    };
    ctx.out.raw(&format!("make     a record '{label}' in the pool"));
    Ok(made)
}

/// Whether the host has it plugged: afterwards, or in a dry run already.
fn attached(ctx: &mut Context<'_, '_>, place: &Place, sr: Option<&str>) -> Result<bool, Failure> {
    let mut own = None;
    if let Some(sr) = sr {
        for pbd in texts(&ctx.call("SR.get_PBDs", vec![s(sr)])?) {
            if ctx.get("PBD", &pbd, "host")? == place.host {
                own = Some(pbd);
            }
        }
    }
    let host = &place.host_name;
    if let Some(pbd) = &own
        && ctx.get("PBD", pbd, "currently_attached")? == "true"
    {
        ctx.out.raw(&format!("plugged  it is attached to host '{host}'"));
        return Ok(true);
    }
    let word = if own.is_some() { "plug" } else { "attach" };
    ctx.out.raw(&format!("{word:8} it to host '{host}'"));
    let (false, Some(sr)) = (place.dry_run, sr) else { return Ok(false) };
    let pbd = match own {
        Some(pbd) => {
            ctx.call("PBD.set_device_config", vec![s(pbd.as_str()), place.config.clone()])?;
            pbd
        }
        None => {
            let record = serde_json::json!({
                "host": place.host, "SR": sr, "device_config": place.config, "other_config": {},
            });
            ctx.call_text("PBD.create", vec![record])?
        }
    };
    ctx.run("PBD.plug", vec![s(pbd)])?;
    Ok(true)
}

/// Its disks, and the VMs that have them.
fn list(ctx: &mut Context<'_, '_>, sr: &str) -> Result<(), Failure> {
    let mut vms = std::collections::BTreeSet::new();
    for vdi in texts(&ctx.call("SR.get_VDIs", vec![s(sr)])?) {
        let (label, uuid) = (ctx.get("VDI", &vdi, "name_label")?, ctx.uuid_of("VDI", &vdi)?);
        ctx.out.raw(&format!("disk     '{label}' ({uuid})"));
        for vbd in texts(&ctx.call("VDI.get_VBDs", vec![s(vdi)])?) {
            vms.insert(ctx.get("VBD", &vbd, "VM")?);
        }
    }
    for vm in vms {
        let (label, uuid) = (ctx.get("VM", &vm, "name_label")?, ctx.uuid_of("VM", &vm)?);
        let state = ctx.get("VM", &vm, "power_state")?;
        ctx.out.raw(&format!("VM       '{label}' ({uuid}), {}", state.to_lowercase()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_found_in_xenserver_s_answer() {
        let xml = "<?xml version=\"1.0\" ?>\n<SRlist>\n\t<SR>\n\t\t<UUID>\n\t\t\ta-b\n\t\t</UUID>\n\t</SR>\n</SRlist>\n";
        assert_eq!(uuids(xml), ["a-b"]);
        assert!(uuids("<SRlist/>").is_empty());
    }
}
