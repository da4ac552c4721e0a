//! `vm-migrate`: to another host of the pool, or with its disks to a host of any pool.
//!
//! With one of the parameters of a storage migration the destination is asked first (its own login, its own
//! certificate): where the VM may arrive, on which network, and which repository takes the disks that are not placed
//! by hand. Then the source sends.

use std::collections::BTreeMap;

use super::Run;
use super::select::{self, Choice, VMS};
use crate::api::{Api, Fields, Value, s, text_map, text_of};
use crate::command_line::{Globals, parse_bool};
use crate::context::{Context, texts};
use crate::failure::{CallError, Failure};
use crate::record::view::Object;

pub(super) const COMMANDS: &[(&str, Run)] = &[("vm-migrate", migrate)];

/// Parameters that ask for a storage migration; maps among them by their stem.
const STORAGE_PARAMS: &[&str] = &[
    "remote-master",
    "remote-username",
    "remote-password",
    "remote-network",
    "vif",
    "vdi",
    "vgpu",
    "image-format",
];
const OWN_PARAMS: &[&str] = &[
    "host",
    "live",
    "force",
    "copy",
    "compress",
    "encrypt",
    "remote-master",
    "remote-username",
    "remote-password",
    "remote-network",
    "vif",
    "vdi",
    "vgpu",
    "image-format",
];

fn migrate(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    for (name, _) in &mut ctx.params.0 {
        if name == "host-uuid" || name == "host-name" {
            "host".clone_into(name);
        }
    }
    let mut options = Vec::new();
    for name in ["force", "live", "copy"] {
        let value = ctx.flag(name)?;
        options.push((name.to_owned(), value.to_string()));
    }
    // Without the parameter the pool's own setting decides.
    if let Some(text) = ctx.text("compress") {
        let value = parse_bool(&text).map_or(text, |b| b.to_string());
        options.push(("compress".to_owned(), value));
    }
    let stem = |name: &str| name.split(':').next().unwrap_or(name).to_owned();
    if ctx.params.iter().any(|(k, _)| STORAGE_PARAMS.contains(&stem(k).as_str())) {
        return with_storage(ctx, &options);
    }
    let Some(host) = ctx.text("host") else {
        return Err(Failure::refused("No destination host specified"));
    };
    let host = select::host_by_name(ctx, &host)?;
    let choice = VMS.ignoring(OWN_PARAMS);
    let vms = select::choose(ctx, choice)?;
    select::each(ctx, choice, vms, |ctx, vm| {
        let args = vec![s(vm.reference.as_str()), s(host.as_str()), text_map(&options)];
        ctx.run("VM.pool_migrate", args)
    })?;
    Ok(())
}

fn with_storage(ctx: &mut Context<'_, '_>, options: &[(String, String)]) -> Result<(), Failure> {
    ctx.out.message(
        "Performing a storage live migration. Your VM's VDIs will be migrated with the VM.",
    );
    let (Some(server), Some(username), Some(password)) =
        (ctx.text("remote-master"), ctx.text("remote-username"), ctx.text("remote-password"))
    else {
        return Err(Failure::refused(
            "Storage live migration requires remote-master, remote-username, and remote-password to be specified. \
             Please see 'xe help vm-migrate' for help.",
        ));
    };
    let choice: Choice = VMS.with_templates().only_one().ignoring(OWN_PARAMS);
    let vms = select::choose(ctx, choice)?;
    let globals = Globals {
        servers: vec![server],
        username: Some(username),
        password: Some(password),
        ..Globals::default()
    };
    let mut remote = ctx.api.another(globals);
    let ended = send(ctx, &mut *remote, options, choice, vms);
    remote.close();
    ended
}

fn send(
    ctx: &mut Context<'_, '_>,
    remote: &mut dyn Api,
    options: &[(String, String)],
    choice: Choice,
    vms: Vec<Object>,
) -> Result<(), Failure> {
    let (host, host_name) = destination(remote, ctx.text("host").as_deref())?;
    let (network, network_name) = network(remote, &host, ctx.text("remote-network").as_deref())?;
    let mut vifs = Vec::new();
    for (vif, net) in ctx.params.map("vif") {
        vifs.push((ctx.resolve("VIF", &vif)?, by_uuid(remote, "network", &net)?));
    }
    let mut disks = BTreeMap::new();
    for (vdi, sr) in ctx.params.map("vdi") {
        disks.insert(ctx.resolve("VDI", &vdi)?, by_uuid(remote, "SR", &sr)?);
    }
    let mut formats = Vec::new();
    for (vdi, format) in ctx.params.map("image-format") {
        formats.push((ctx.resolve("VDI", &vdi)?, format));
    }
    let fallback = preferred_sr(remote, &host)?;
    for vm in &vms {
        for vbd in vm.fields.get("VBDs").map(texts).unwrap_or_default() {
            let record = ctx.record("VBD", &vbd)?;
            let vdi = record.get("VDI").map(text_of).unwrap_or_default();
            let is_disk = record.get("type") == Some(&s("Disk"));
            let empty = record.get("empty") == Some(&Value::Bool(true));
            if let Some(sr) = fallback.as_ref().filter(|_| is_disk && !empty) {
                disks.entry(vdi).or_insert_with(|| sr.clone());
            }
        }
    }
    ctx.out.message(&format!(
        "Will migrate to remote host: {host_name}, using remote network: {network_name}. Here is the VDI mapping:"
    ));
    for (vdi, sr) in &disks {
        let vdi = ctx.uuid_of("VDI", vdi)?;
        let sr = text_of(&remote.call("SR.get_uuid", vec![s(sr.as_str())])?);
        ctx.out.message(&format!("VDI {vdi} -> SR {sr}"));
    }
    let ticket =
        remote.call("host.migrate_receive", vec![s(host), s(network), text_map(options)])?;
    let disks: Vec<(String, String)> = disks.into_iter().collect();
    let new = select::each(ctx, choice, vms, |ctx, vm| {
        let args = vec![
            s(vm.reference.as_str()),
            ticket.clone(),
            Value::Bool(true),
            text_map(&disks),
            text_map(&vifs),
            text_map(options),
            text_map(&[]),
            text_map(&formats),
        ];
        ctx.run("VM.migrate_send", args)
    })?;
    if ctx.flag("copy")?
        && let Some(vm) = new.first()
    {
        let uuid = text_of(&remote.call("VM.get_uuid", vec![s(vm.as_str())])?);
        ctx.out.list(vec![uuid]);
    }
    Ok(())
}

fn by_uuid(remote: &mut dyn Api, class: &str, uuid: &str) -> Result<String, Failure> {
    Ok(text_of(&remote.call(&format!("{class}.get_by_uuid"), vec![s(uuid)])?))
}

fn text(fields: &Fields, name: &str) -> String {
    fields.get(name).map(text_of).unwrap_or_default()
}

/// The host the VM goes to: the one named, else the first.
fn destination(remote: &mut dyn Api, named: Option<&str>) -> Result<(String, String), Failure> {
    let hosts = remote.records("host", Some(&["name_label", "hostname"]))?;
    let found = hosts.into_iter().find(|(_, f)| {
        named.is_none_or(|n| {
            ["uuid", "name_label", "hostname"].iter().any(|field| text(f, field) == n)
        })
    });
    match (found, named) {
        (Some((host, fields)), _) => Ok((host, text(&fields, "name_label"))),
        (None, Some(name)) => Err(Failure::refused(format!("Failed to find host: {name}"))),
        (None, None) => Err(Failure::refused("Failed to find a suitable host")),
    }
}

/// The network the data travels on: the one named, else that of the host's management interface.
fn network(
    remote: &mut dyn Api,
    host: &str,
    named: Option<&str>,
) -> Result<(String, String), Failure> {
    let networks = remote.records("network", Some(&["name_label", "bridge"]))?;
    if let Some(name) = named {
        let found = networks.into_iter().find(|(_, f)| {
            ["uuid", "name_label", "bridge"].iter().any(|field| text(f, field) == name)
        });
        return match found {
            Some((network, fields)) => Ok((network, text(&fields, "name_label"))),
            None => Err(Failure::refused(format!("Failed to find network: {name}"))),
        };
    }
    let pifs = remote.records("PIF", Some(&["host", "management", "network"]))?;
    let management = pifs.iter().find(|(_, pif)| {
        text(pif, "host") == host && pif.get("management") == Some(&Value::Bool(true))
    });
    let Some((_, pif)) = management else {
        let uuid = text_of(&remote.call("host.get_uuid", vec![s(host)])?);
        return Err(Failure::refused(format!("Could not find management PIF on host {uuid}")));
    };
    let network = text(pif, "network");
    let name = networks.iter().find(|(r, _)| *r == network).map(|(_, f)| text(f, "name_label"));
    Ok((network, name.unwrap_or_default()))
}

/// The repository for disks that are not placed by hand: plugged on the host, shared before local, most free space.
fn preferred_sr(remote: &mut dyn Api, host: &str) -> Result<Option<String>, CallError> {
    let wanted = ["host", "SR", "currently_attached"];
    let pbds = remote.records("PBD", Some(&wanted))?;
    let wanted = ["content_type", "shared", "physical_size", "physical_utilisation"];
    let srs = remote.records("SR", Some(&wanted))?;
    let best = srs
        .iter()
        .filter(|(_, sr)| text(sr, "content_type") != "iso")
        .filter(|(reference, _)| {
            pbds.iter().any(|(_, pbd)| {
                text(pbd, "host") == host
                    && text(pbd, "SR") == *reference
                    && pbd.get("currently_attached") == Some(&Value::Bool(true))
            })
        })
        .max_by_key(|(_, sr)| {
            let number = |name: &str| sr.get(name).and_then(Value::as_i64).unwrap_or(0);
            let free = number("physical_size") - number("physical_utilisation");
            (sr.get("shared") == Some(&Value::Bool(true)), free)
        });
    Ok(best.map(|(reference, _)| reference.clone()))
}
