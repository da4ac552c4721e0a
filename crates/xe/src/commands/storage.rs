//! Storage and networks: what is created from several parameters.

use super::Run;
use crate::api::{NULL_REF, Value, s, text_map, text_of};
use crate::context::{Context, texts};
use crate::failure::{CallError, Failure};
use crate::output::Cell;
use crate::quantity;
use crate::record;
use crate::record::view::Object;
use crate::tables;

pub(super) const COMMANDS: &[(&str, Run)] = &[
    ("sr-create", sr_create),
    ("sr-introduce", sr_introduce),
    ("sr-probe", sr_probe),
    ("sr-probe-ext", sr_probe_ext),
    ("pbd-create", pbd_create),
    ("vdi-create", vdi_create),
    ("vdi-introduce", vdi_introduce),
    ("vdi-resize", vdi_resize),
    ("vdi-copy", vdi_copy),
    ("vdi-clone", vdi_clone),
    ("vdi-pool-migrate", vdi_pool_migrate),
    ("vbd-create", vbd_create),
    ("vbd-unplug", vbd_unplug),
    ("vif-create", vif_create),
    ("vif-unplug", vif_unplug),
    ("network-create", network_create),
    ("vlan-create", vlan_create),
    ("tunnel-create", tunnel_create),
    ("pif-reconfigure-ip", pif_reconfigure_ip),
    ("pif-reconfigure-ipv6", pif_reconfigure_ipv6),
    ("diagnostic-vdi-status", vdi_status),
];

fn print_uuid(ctx: &mut Context<'_, '_>, class: &str, reference: &str) -> Result<(), Failure> {
    let uuid = ctx.uuid_of(class, reference)?;
    ctx.out.list(vec![uuid]);
    Ok(())
}

/// The host `host-uuid` names; else, for what is shared or in a pool of one, the coordinator.
pub(super) fn host_or_coordinator(
    ctx: &mut Context<'_, '_>,
    shared: bool,
) -> Result<String, Failure> {
    if let Some(host) = ctx.object_if_given("host", "host-uuid")? {
        return Ok(host);
    }
    let hosts = texts(&ctx.call("host.get_all", vec![])?);
    match hosts.as_slice() {
        [only] => Ok(only.clone()),
        _ if shared => ctx.coordinator(),
        _ => Err(Failure::missing("host-uuid")),
    }
}

/// `device-config:KEY=VALUE`; `device-config:KEY-filename=PATH` takes the value from a file.
pub(super) fn device_config(ctx: &Context<'_, '_>) -> Result<Value, Failure> {
    let mut pairs = Vec::new();
    for (key, value) in ctx.params.map("device-config") {
        match key.strip_suffix("-filename") {
            Some(key) => {
                let text = std::fs::read_to_string(&value)
                    .map_err(|e| Failure::refused(format!("File not found: {value} ({e})")))?;
                pairs.push((key.to_owned(), text));
            }
            None => pairs.push((key, value)),
        }
    }
    Ok(text_map(&pairs))
}

fn map(ctx: &Context<'_, '_>, name: &str) -> Value {
    text_map(&ctx.params.map(name))
}

fn sr_create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let name = ctx.required("name-label")?;
    let ty = ctx.required("type")?;
    let shared = ctx.flag("shared")?;
    let size = match ctx.text("physical-size") {
        Some(text) => quantity::bytes("physical-size", &text)?,
        None => 0,
    };
    let config = device_config(ctx)?;
    let host = host_or_coordinator(ctx, shared)?;
    let args = vec![
        s(host),
        config,
        Value::from(size),
        s(name),
        s(ctx.text_or("name-description", "")),
        s(ty),
        s(ctx.text_or("content-type", "")),
        Value::Bool(shared),
        map(ctx, "sm-config"),
    ];
    let sr = ctx.run("SR.create", args)?;
    let uuid = ctx.uuid_of("SR", &sr)?;
    ctx.out.raw(&uuid);
    Ok(())
}

fn sr_introduce(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let uuid = ctx.required("uuid")?;
    let args = vec![
        s(uuid.as_str()),
        s(ctx.required("name-label")?),
        s(ctx.text_or("name-description", "")),
        s(ctx.required("type")?),
        s(ctx.text_or("content-type", "")),
        Value::Bool(ctx.flag("shared")?),
        map(ctx, "sm-config"),
    ];
    ctx.call("SR.introduce", args)?;
    ctx.out.list(vec![uuid]);
    Ok(())
}

fn sr_probe(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let ty = ctx.required("type")?;
    let config = device_config(ctx)?;
    let host = host_or_coordinator(ctx, true)?;
    let args = vec![s(host), config, s(ty), map(ctx, "sm-config")];
    let found = ctx.run("SR.probe", args)?;
    ctx.out.list(vec![found]);
    Ok(())
}

fn sr_probe_ext(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let ty = ctx.required("type")?;
    let config = device_config(ctx)?;
    let host = host_or_coordinator(ctx, true)?;
    let args = vec![s(host), config, s(ty), map(ctx, "sm-config")];
    let found = ctx.call("SR.probe_ext", args)?;
    let results: Vec<&Value> = found.as_array().into_iter().flatten().collect();
    let cells = |value: Option<&Value>| -> Vec<Cell> {
        let map = value.and_then(Value::as_object);
        let pairs = map.into_iter().flatten();
        pairs.map(|(k, v)| Cell::plain(k.replace('_', "-"), text_of(v))).collect()
    };
    let has_sr = |r: &&&Value| r.get("sr").is_some_and(Value::is_object);
    let complete = |r: &&Value| r.get("complete") == Some(&Value::Bool(true));
    let srs: Vec<&&Value> = results.iter().filter(has_sr).collect();
    if !srs.is_empty() {
        ctx.out.message("The following SRs were found:");
        for (i, result) in srs.iter().enumerate() {
            ctx.out.message(&format!("SR {i}:"));
            ctx.out.table(vec![cells(result.get("sr"))]);
            ctx.out.message(&format!("SR {i} configuration:"));
            ctx.out.table(vec![cells(result.get("configuration"))]);
            ctx.out.message(&format!("SR {i} extra information:"));
            ctx.out.table(vec![cells(result.get("extra_info"))]);
        }
    }
    for (wanted, heading) in [
        (true, "Found the following complete configurations that can be used to create SRs:"),
        (false, "Found the following incomplete configurations that may contain SRs:"),
    ] {
        let part: Vec<&&Value> =
            results.iter().filter(|r| !has_sr(r) && complete(r) == wanted).collect();
        if part.is_empty() {
            continue;
        }
        ctx.out.message(heading);
        for (i, result) in part.iter().enumerate() {
            ctx.out.message(&format!("Configuration {i}:"));
            ctx.out.table(vec![cells(result.get("configuration"))]);
            ctx.out.message(&format!("Configuration {i} extra information:"));
            ctx.out.table(vec![cells(result.get("extra_info"))]);
        }
    }
    Ok(())
}

fn pbd_create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let config = device_config(ctx)?;
    let host = ctx.object("host", "host-uuid")?;
    let sr = ctx.object("SR", "sr-uuid")?;
    let record = serde_json::json!({
        "host": host, "SR": sr, "device_config": config, "other_config": {},
    });
    let pbd = ctx.call_text("PBD.create", vec![record])?;
    print_uuid(ctx, "PBD", &pbd)
}

/// The word of a VDI's type that may be given.
fn vdi_type(ctx: &Context<'_, '_>) -> Result<String, Failure> {
    let ty = ctx.text_or("type", "user");
    match ty.as_str() {
        "system" | "user" | "suspend" | "crashdump" => Ok(ty),
        other => Err(Failure::refused(format!("Unknown vdi type: {other}"))),
    }
}

fn vdi_create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let name = ctx.required("name-label")?;
    let size = ctx.bytes("virtual-size")?;
    let ty = vdi_type(ctx)?;
    let sharable = ctx.flag("sharable")?;
    let tags: Vec<String> = ctx.params.map("tags").into_iter().map(|(tag, _)| tag).collect();
    let sr = ctx.object("SR", "sr-uuid")?;
    let record = serde_json::json!({
        "name_label": name, "name_description": ctx.text_or("name-description", ""), "SR": sr,
        "virtual_size": size, "type": ty, "sharable": sharable, "read_only": false,
        "xenstore_data": {}, "other_config": {}, "sm_config": map(ctx, "sm-config"), "tags": tags,
    });
    let vdi = ctx.run("VDI.create", vec![record])?;
    print_uuid(ctx, "VDI", &vdi)
}

fn vdi_introduce(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let ty = vdi_type(ctx)?;
    let sharable = ctx.flag("sharable")?;
    let read_only = ctx.flag("read-only")?;
    let managed = ctx.flag("managed")?;
    let location = ctx.required("location")?;
    let sr = ctx.object("SR", "sr-uuid")?;
    let args = vec![
        s(ctx.required("uuid")?),
        s(ctx.text_or("name-label", "")),
        s(ctx.text_or("name-description", "")),
        s(sr),
        s(ty),
        Value::Bool(sharable),
        Value::Bool(read_only),
        map(ctx, "other-config"),
        s(location),
        map(ctx, "xenstore-data"),
        map(ctx, "sm-config"),
        Value::Bool(managed),
        Value::from(0),
        Value::from(0),
        s(NULL_REF),
        Value::Bool(false),
        s("19700101T00:00:00Z"),
        s(NULL_REF),
    ];
    let vdi = ctx.call_text("VDI.introduce", args)?;
    print_uuid(ctx, "VDI", &vdi)
}

fn vdi_resize(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let size = ctx.bytes("disk-size")?;
    let method = if ctx.flag("online")? { "VDI.resize_online" } else { "VDI.resize" };
    let vdi = ctx.object("VDI", "uuid")?;
    ctx.run(method, vec![s(vdi), Value::from(size)])?;
    Ok(())
}

fn vdi_copy(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    if ctx.params.has("sr-uuid") == ctx.params.has("into-vdi-uuid") {
        return Err(Failure::refused(
            "Please specify one but not both of: a destination sr-uuid (I will create a fresh VDI); or a destination \
             into-vdi-uuid (I will copy the blocks into this VDI)",
        ));
    }
    let vdi = ctx.object("VDI", "uuid")?;
    let base = ctx.object_or_null("VDI", "base-vdi-uuid")?;
    let sr = ctx.object_or_null("SR", "sr-uuid")?;
    let into = ctx.object_or_null("VDI", "into-vdi-uuid")?;
    let new = ctx.run("VDI.copy", vec![s(vdi), s(sr), s(base), s(into)])?;
    print_uuid(ctx, "VDI", &new)
}

fn vdi_clone(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let vdi = ctx.object("VDI", "uuid")?;
    let new = ctx.run("VDI.clone", vec![s(vdi), map(ctx, "driver-params")])?;
    for (param, field) in
        [("new-name-label", "name_label"), ("new-name-description", "name_description")]
    {
        if let Some(text) = ctx.text(param) {
            ctx.call(&format!("VDI.set_{field}"), vec![s(new.as_str()), s(text)])?;
        }
    }
    print_uuid(ctx, "VDI", &new)
}

fn vdi_pool_migrate(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let vdi = ctx.object("VDI", "uuid")?;
    let sr = ctx.object("SR", "sr-uuid")?;
    let options = match ctx.text("dest-img-format") {
        Some(format) => text_map(&[("dest-img-format".to_owned(), format)]),
        None => text_map(&[]),
    };
    let new = ctx.run("VDI.pool_migrate", vec![s(vdi), s(sr), options])?;
    print_uuid(ctx, "VDI", &new)
}

fn vbd_create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let device = ctx.required("device")?;
    let bootable = ctx.flag("bootable")?;
    let unpluggable = ctx.flag_or("unpluggable", true)?;
    let mode = match ctx.text_or("mode", "rw").to_ascii_lowercase().as_str() {
        "ro" => "RO",
        "rw" => "RW",
        other => {
            return Err(Failure::refused(format!(
                "Unknown mode: {other} (should be \"ro\" or \"rw\")"
            )));
        }
    };
    let ty = match ctx.text_or("type", "disk").to_ascii_lowercase().as_str() {
        "cd" => "CD",
        "disk" => "Disk",
        "floppy" => "Floppy",
        other => {
            return Err(Failure::refused(format!(
                "Unknown type: {other} (should be \"cd\", \"disk\" or \"floppy\")"
            )));
        }
    };
    let empty = !ctx.params.has("vdi-uuid");
    if ty == "Disk" && empty {
        return Err(Failure::refused("Empty VBDs can only be made for type=CD"));
    }
    let vm = ctx.object("VM", "vm-uuid")?;
    let vdi = ctx.object_or_null("VDI", "vdi-uuid")?;
    let record = serde_json::json!({
        "VM": vm, "VDI": vdi, "userdevice": device, "bootable": bootable, "mode": mode, "type": ty,
        "unpluggable": unpluggable, "empty": empty, "qos_algorithm_type": "", "qos_algorithm_params": {},
        "other_config": {}, "device": "", "currently_attached": false,
    });
    let vbd = ctx.call_text("VBD.create", vec![record])?;
    print_uuid(ctx, "VBD", &vbd)
}

fn vbd_unplug(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let method = if ctx.flag("force")? { "VBD.unplug_force" } else { "VBD.unplug" };
    let timeout = match ctx.text("timeout") {
        Some(text) => quantity::float("timeout", &text)?,
        None => 0.0,
    };
    let vbd = ctx.object("VBD", "uuid")?;
    let end = std::time::Instant::now()
        + std::time::Duration::from_secs_f64(timeout.clamp(0.0, 86_400.0));
    loop {
        let refused = match ctx.call(method, vec![s(vbd.as_str())]) {
            Ok(_) => return Ok(()),
            Err(failure) => failure,
        };
        // A guest may need a while to let go: keep looking until the time is up.
        let waits = matches!(
            &refused,
            Failure::Call(CallError::Api { code, .. }) if code == "DEVICE_DETACH_REJECTED"
        );
        if !waits || std::time::Instant::now() >= end {
            return Err(refused);
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
        if ctx.get("VBD", &vbd, "currently_attached")? == "false" {
            return Ok(());
        }
    }
}

fn vif_create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let device = ctx.required("device")?;
    // An empty MAC lets the server make one; that is what `random` asks for too.
    let mac = match ctx.text_or("mac", "") {
        mac if mac == "random" => String::new(),
        mac => mac,
    };
    let vm = ctx.object("VM", "vm-uuid")?;
    let network = ctx.object("network", "network-uuid")?;
    let mtu = ctx.call("network.get_MTU", vec![s(network.as_str())])?;
    let record = serde_json::json!({
        "device": device, "network": network, "VM": vm, "MAC": mac, "MTU": mtu, "other_config": {},
        "currently_attached": false, "qos_algorithm_type": "", "qos_algorithm_params": {},
        "locking_mode": "network_default", "ipv4_allowed": [], "ipv6_allowed": [],
    });
    let vif = ctx.call_text("VIF.create", vec![record])?;
    print_uuid(ctx, "VIF", &vif)
}

fn vif_unplug(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let method = if ctx.flag("force")? { "VIF.unplug_force" } else { "VIF.unplug" };
    let vif = ctx.object("VIF", "uuid")?;
    ctx.call(method, vec![s(vif)])?;
    Ok(())
}

fn network_create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let mtu = match ctx.text("MTU") {
        Some(text) => quantity::int("MTU", &text)?,
        None => 1500,
    };
    let record = serde_json::json!({
        "name_label": ctx.required("name-label")?,
        "name_description": ctx.text_or("name-description", ""),
        "MTU": mtu, "other_config": {}, "bridge": ctx.text_or("bridge", ""),
        "managed": ctx.flag_or("managed", true)?, "tags": [],
    });
    let network = ctx.call_text("network.create", vec![record])?;
    print_uuid(ctx, "network", &network)
}

fn vlan_create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let tag = quantity::int("vlan", &ctx.required("vlan")?)?;
    let pif = ctx.object("PIF", "pif-uuid")?;
    let network = ctx.object("network", "network-uuid")?;
    let vlan = ctx.call_text("VLAN.create", vec![s(pif), Value::from(tag), s(network)])?;
    let untagged = ctx.get("VLAN", &vlan, "untagged_PIF")?;
    print_uuid(ctx, "PIF", &untagged)
}

fn tunnel_create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let protocol = ctx.text_or("protocol", "gre");
    let pif = ctx.object("PIF", "pif-uuid")?;
    let network = ctx.object("network", "network-uuid")?;
    let tunnel = ctx.call_text("tunnel.create", vec![s(pif), s(network), s(protocol)])?;
    let access = ctx.get("tunnel", &tunnel, "access_PIF")?;
    print_uuid(ctx, "PIF", &access)
}

/// A parameter whose name is taken in any case, as XenServer takes `IP` and `DNS`.
fn any_case(ctx: &Context<'_, '_>, name: &str) -> String {
    let found = ctx.params.iter().find(|(k, _)| k.eq_ignore_ascii_case(name));
    found.map(|(_, v)| v.to_owned()).unwrap_or_default()
}

/// The API's word for a mode given in any case.
fn mode_word(ctx: &Context<'_, '_>, words: &[&'static str]) -> Result<&'static str, Failure> {
    let mode = ctx.required("mode")?;
    tables::enum_word("", &mode, words).ok_or_else(|| {
        Failure::refused(format!(
            "Failed to parse parameter 'mode': expected one of {}, got '{mode}'",
            words.join(", ")
        ))
    })
}

fn pif_reconfigure_ip(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let mode = mode_word(ctx, &["None", "DHCP", "Static"])?;
    let pif = ctx.object("PIF", "uuid")?;
    let args = vec![
        s(pif),
        s(mode),
        s(any_case(ctx, "IP")),
        s(ctx.text_or("netmask", "")),
        s(ctx.text_or("gateway", "")),
        s(any_case(ctx, "DNS")),
    ];
    ctx.call("PIF.reconfigure_ip", args)?;
    Ok(())
}

fn pif_reconfigure_ipv6(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let mode = mode_word(ctx, &["None", "DHCP", "Static", "Autoconf"])?;
    let pif = ctx.object("PIF", "uuid")?;
    let args = vec![
        s(pif),
        s(mode),
        s(any_case(ctx, "IPv6")),
        s(ctx.text_or("gateway", "")),
        s(any_case(ctx, "DNS")),
    ];
    ctx.call("PIF.reconfigure_ipv6", args)?;
    Ok(())
}

fn vdi_status(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let (Some(vdis), Some(vbds)) = (tables::record("vdi"), tables::record("vbd")) else {
        return Err(Failure::refused("there are no VDI records in the datamodel"));
    };
    let vdi = ctx.object("VDI", "uuid")?;
    let object = Object { fields: ctx.record("VDI", &vdi)?, reference: vdi };
    let shown = ["uuid", "name-label", "sr-uuid", "mode", "read-only", "sharable", "storage-lock"];
    let row = record::row(ctx, vdis, &object, None, &shown)?;
    ctx.out.table(vec![row]);
    let mut active = Vec::new();
    let mut inactive = Vec::new();
    for vbd in object.fields.get("VBDs").map(texts).unwrap_or_default() {
        let vbd = Object { fields: ctx.record("VBD", &vbd)?, reference: vbd };
        let shown = ["uuid", "userdevice", "device", "empty", "mode", "type", "storage-lock"];
        let row = record::row(ctx, vbds, &vbd, None, &shown)?;
        if vbd.text("currently_attached") == "true" {
            active.push(row);
        } else {
            inactive.push(row);
        }
    }
    if active.is_empty() {
        ctx.out.list(vec!["no active VBDs.".to_owned()]);
    } else {
        ctx.out.list(vec!["active VBDs:".to_owned()]);
        ctx.out.table(active);
    }
    if !inactive.is_empty() {
        ctx.out.list(vec!["inactive VBDs:".to_owned()]);
        ctx.out.table(inactive);
    }
    Ok(())
}
