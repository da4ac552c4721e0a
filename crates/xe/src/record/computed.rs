//! Fields that are not in an object's record: XenServer's `xe` asks for them separately, or works them out.
//!
//! The one place where `xe` knows single classes by name outside of `commands`.

use super::view::{NOT_IN_DATABASE, Object, Shown, name_of, uuid_text};
use crate::api::{Value, s, text_of};
use crate::context::{Context, texts};
use crate::failure::{CallError, Failure};

/// Fields that cost a call each, beside those the datamodel marks so.
pub(super) fn is_expensive(class: &str, field: &str) -> bool {
    matches!(
        (class, field),
        ("VM", "memory-target" | "allowed-VBD-devices" | "allowed-VIF-devices" | "possible-hosts")
            | ("VM", "VCPUs-utilisation" | "cooperative" | "last-boot-record")
            | ("VBD" | "VIF" | "PIF", "io_read_kbs" | "io_write_kbs")
            | ("VBD", "attachable")
            | ("host", "memory-free-computed")
            | ("host_cpu", "utilisation")
            | ("pool", "supported-sr-types")
    )
}

/// Shows a field that has a way of its own; `None` for all others.
pub(super) fn show(
    ctx: &mut Context<'_, '_>,
    class: &str,
    field: &str,
    object: &Object,
) -> Result<Option<Shown>, Failure> {
    let me = object.reference.as_str();
    let unknown = || Shown::text("<unknown>");
    let shown = match (class, field) {
        ("VM", "memory-target") => match source(ctx, "VM", me, "memory_target")? {
            Ok(bytes) => Shown::text(format!("{bytes:.0}")),
            Err(code) if code == "VM_BAD_POWER_STATE" => Shown::text("0"),
            Err(_) => unknown(),
        },
        ("VM", "allowed-VBD-devices") => devices(ctx, "VM.get_allowed_VBD_devices", me)?,
        ("VM", "allowed-VIF-devices") => devices(ctx, "VM.get_allowed_VIF_devices", me)?,
        ("VM", "possible-hosts") => {
            let hosts = soft(ctx.call("VM.get_possible_hosts", vec![s(me)]))?;
            let hosts = hosts.map(|v| texts(&v)).unwrap_or_default();
            Shown::set(hosts.iter().map(|r| uuid_text(r)).collect(), "; ")
        }
        ("VM", "VCPUs-utilisation") => utilisation(ctx, object)?,
        ("VM", "cooperative") => {
            let value = soft(ctx.call("VM.get_cooperative", vec![s(me)]))?;
            Shown::text(value.map_or_else(|| "true".to_owned(), |v| text_of(&v)))
        }
        ("VM", "last-boot-record") => {
            Shown::text(format!("'{}'", object.text("last_booted_record")))
        }
        ("VBD", "vdi-name-label") if object.text("empty") == "true" => Shown::text("<EMPTY>"),
        ("VBD", "vdi-name-label") => Shown::text(name_of(ctx, "VDI", &object.text("VDI"))?),
        ("VBD", "attachable") => match ctx.api.call("VBD.assert_attachable", vec![s(me)]) {
            Ok(_) => Shown::text("true"),
            Err(CallError::Api { code, params }) => {
                Shown::text(format!("false (error: {code}: [ {} ])", params.join("; ")))
            }
            Err(other) => return Err(other.into()),
        },
        ("VBD", "io_read_kbs") => vm_rate(ctx, object, "vbd", "read")?,
        ("VBD", "io_write_kbs") => vm_rate(ctx, object, "vbd", "write")?,
        ("VIF", "io_read_kbs") => vm_rate(ctx, object, "vif", "rx")?,
        ("VIF", "io_write_kbs") => vm_rate(ctx, object, "vif", "tx")?,
        ("PIF", "io_read_kbs" | "io_write_kbs") => {
            let way = if field == "io_read_kbs" { "rx" } else { "tx" };
            let name = format!("pif_{}_{way}", object.text("device"));
            rate(source(ctx, "host", &object.text("host"), &name)?)
        }
        ("SR", "host") => {
            let pbds = object.fields.get("PBDs").map(texts).unwrap_or_default();
            match pbds.as_slice() {
                [] => Shown::text(NOT_IN_DATABASE),
                [pbd] => {
                    let host = if ctx.is_bulk() {
                        let all = ctx.class("PBD", Some(&["host"]))?;
                        all.get(pbd).and_then(|f| f.get("host")).map(text_of).unwrap_or_default()
                    } else {
                        soft(ctx.get("PBD", pbd, "host"))?.unwrap_or_default()
                    };
                    Shown::text(name_of(ctx, "host", &host)?)
                }
                _ => Shown::text("<shared>"),
            }
        }
        ("host", "memory-free-computed") => {
            let free = soft(ctx.call_text("host.compute_free_memory", vec![s(me)]))?;
            free.map_or_else(unknown, Shown::text)
        }
        ("host", "patches" | "updates") => {
            let refs = object.fields.get(field).map(texts).unwrap_or_default();
            Shown::set(refs.iter().map(|r| uuid_text(r)).collect(), ", ")
        }
        ("host_cpu", "utilisation") => {
            let name = format!("cpu{}", object.text("number"));
            match source(ctx, "host", &object.text("host"), &name)? {
                Ok(value) => Shown::text(format!("{value:.3}")),
                Err(_) => unknown(),
            }
        }
        ("pool", "supported-sr-types") => {
            let types = soft(ctx.call("SR.get_supported_types", vec![]))?;
            Shown::set(types.map(|v| texts(&v)).unwrap_or_default(), "; ")
        }
        ("pool", "license-state") => {
            let state = soft(ctx.call("pool.get_license_state", vec![s(me)]))?;
            let pairs = match state {
                Some(Value::Object(map)) => {
                    map.iter().map(|(k, v)| (k.clone(), text_of(v))).collect()
                }
                _ => vec![],
            };
            Shown::map(pairs)
        }
        ("pool", "https-only") => {
            let all = ctx.class("host", None)?;
            let every = all.values().all(|h| h.get("https_only") == Some(&Value::Bool(true)));
            Shown::text(every.to_string())
        }
        ("pool", "ssh-enabled" | "ssh-enabled-timeout" | "ssh-expiry")
        | ("pool", "console-idle-timeout" | "ssh-auto-mode") => same_on_all_hosts(ctx, field)?,
        ("pool_patch" | "pool_update", "hosts") => {
            let applied: Vec<String> = ctx
                .class("host", None)?
                .iter()
                .filter(|(_, host)| {
                    host.get("updates").map(texts).unwrap_or_default().contains(&object.reference)
                })
                .map(|(reference, _)| uuid_text(reference))
                .collect();
            Shown::set(applied, ", ")
        }
        ("pool_patch" | "pool_update", "after-apply-guidance") => Shown::set(
            object.fields.get("after_apply_guidance").map(texts).unwrap_or_default(),
            ", ",
        ),
        ("GPU_group", "enabled-VGPU-types" | "supported-VGPU-types") | ("VMSS", "VMs") => {
            let refs = object.fields.get(&*field.replace('-', "_")).map(texts).unwrap_or_default();
            Shown::set(refs.iter().map(|r| uuid_text(r)).collect(), "; ")
        }
        ("PGPU", "dependencies") => {
            let own = object.text("PCI");
            let refs = soft(ctx.call("PCI.get_dependencies", vec![s(&own)]))?;
            let mut addresses = Vec::new();
            for pci in refs.map(|v| texts(&v)).unwrap_or_default() {
                addresses.extend(soft(ctx.get("PCI", &pci, "pci_id"))?);
            }
            Shown::set(addresses, "; ")
        }
        ("subject", "roles") => {
            let refs = object.fields.get("roles").map(texts).unwrap_or_default();
            let mut names = Vec::new();
            for reference in refs {
                names.push(name_of(ctx, "role", &reference)?);
            }
            Shown::set(names, "; ")
        }
        _ => return Ok(None),
    };
    Ok(Some(shown))
}

/// `None` where the server refuses: XenServer's `xe` shows a stand-in then.
fn soft<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Failure::Call(CallError::Api { .. })) => Ok(None),
        Err(other) => Err(other),
    }
}

/// One measured value, or the error code.
fn source(
    ctx: &mut Context<'_, '_>,
    class: &str,
    reference: &str,
    name: &str,
) -> Result<Result<f64, String>, Failure> {
    match ctx.api.call(&format!("{class}.query_data_source"), vec![s(reference), s(name)]) {
        Ok(value) => Ok(value.as_f64().ok_or_else(|| "not a number".to_owned())),
        Err(CallError::Api { code, .. }) => Ok(Err(code)),
        Err(other) => Err(other.into()),
    }
}

fn rate(bytes_per_second: Result<f64, String>) -> Shown {
    match bytes_per_second {
        Ok(bytes) => Shown::text(format!("{:.3}", bytes / 1024.0)),
        Err(_) => Shown::text("<unknown>"),
    }
}

fn vm_rate(
    ctx: &mut Context<'_, '_>,
    object: &Object,
    kind: &str,
    way: &str,
) -> Result<Shown, Failure> {
    let name = format!("{kind}_{}_{way}", object.text("device"));
    Ok(rate(source(ctx, "VM", &object.text("VM"), &name)?))
}

fn devices(ctx: &mut Context<'_, '_>, method: &str, vm: &str) -> Result<Shown, Failure> {
    let devices = soft(ctx.call(method, vec![s(vm)]))?;
    Ok(Shown::set(devices.map(|v| texts(&v)).unwrap_or_default(), "; "))
}

fn utilisation(ctx: &mut Context<'_, '_>, object: &Object) -> Result<Shown, Failure> {
    let metrics = object.text("metrics");
    let count = soft(ctx.get("VM_metrics", &metrics, "VCPUs_number"))?;
    let count: u32 = count.and_then(|c| c.parse().ok()).unwrap_or(0);
    let mut pairs = Vec::new();
    for cpu in 0..count {
        match source(ctx, "VM", &object.reference, &format!("cpu{cpu}"))? {
            Ok(value) => pairs.push((cpu.to_string(), format!("{value:.3}"))),
            Err(_) => return Ok(Shown::map(vec![])),
        }
    }
    Ok(Shown::map(pairs))
}

fn same_on_all_hosts(ctx: &mut Context<'_, '_>, field: &str) -> Result<Shown, Failure> {
    let api = field.replace('-', "_");
    let mut values: Vec<String> = ctx
        .class("host", None)?
        .values()
        .map(|host| host.get(&api).map(text_of).unwrap_or_default())
        .collect();
    values.dedup();
    Ok(match values.as_slice() {
        [value] => Shown::text(value.clone()),
        _ => Shown::text("<inconsistent>"),
    })
}
