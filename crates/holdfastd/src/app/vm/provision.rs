//! `VM.provision`: makes the disks that a template asks for and turns the clone of a template into a VM.
//!
//! The wish is XenServer's text in `other_config:disks`:
//! `<provision><disk device="0" size="8589934592" sr="UUID" bootable="true" type="system"/></provision>`; an empty `sr` is
//! the pool's default.

use std::sync::Arc;

use driver_api::Kind;
use driver_api::hypervisor::DiskFormat;
use driver_api::storage::VolumeSpec;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use super::super::{find, map_text, object, ref_param, target, text, truth};
use super::duplicate::{put, worker_for};
use super::launch::{STORAGE_QUICK, storage_failed};
use super::spec;
use crate::api::{Authorized, errors};
use crate::app::sr::{self, vdi_record};
use crate::edits::{self, Change, Edit, Object, field_of};
use crate::first_start::{new_record, reference};
use crate::projection::vm_state;
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, UndoResult, action};
use crate::{Daemon, random_uuid};

/// Most disks that one template may ask for: as many as there are device numbers.
const MOST_DISKS: usize = 16;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Wish {
    device: String,
    bootable: bool,
    kind: String,
    sr: Uuid,
    vbd: Uuid,
    volume: VolumeSpec,
}

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vm: Uuid,
    disks: Vec<Wish>,
}

/// Answers the message.
pub(super) async fn call(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vm = find(&view, "VM", ref_param(call, 0))?;
    if truth(vm, "is_default_template") {
        return Err(errors::not_allowed("a default template is cloned first, then provisioned"));
    }
    planner::vm_ops::check(&vm_state(vm), "provision").map_err(errors::from_refusal)?;
    let default = view.records("pool").find_map(|pool| target(pool, "default_SR"));
    let wish = map_text(vm, "other_config", "disks").unwrap_or_default();
    let disks =
        wishes(wish, text(vm, "name_label"), default, |sr| view.record("SR", sr).is_some())?;
    let mut change = Change::new();
    if disks.is_empty() {
        become_vm(&mut change, vm.uuid());
        edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
        return Ok(Value::Void);
    }
    let srs: Vec<Uuid> = disks.iter().map(|d| d.sr).collect();
    let plan = Plan {
        kind: "vm_provision",
        owner: worker_for(daemon, &view, &srs)?,
        label: "VM.provision",
        busy: vec![(object(vm), "provision")],
        args: serde_json::json!(Args { vm: vm.uuid(), disks }),
        change,
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

fn become_vm(change: &mut Change, vm: Uuid) {
    let object = Object::new("VM", vm);
    change.set(object, "is_a_template", false);
    change.edit(object, Edit::Remove(field_of("VM", "other_config"), Value::word("disks")));
}

/// Reads the template's wish.
fn wishes(
    xml: &str,
    label: &str,
    default: Option<Uuid>,
    exists: impl Fn(Uuid) -> bool,
) -> Result<Vec<Wish>, Error> {
    // The catalogue has no code for a template's mistake.
    let broken = |why: String| errors::not_allowed(why);
    let mut disks = Vec::new();
    for element in xml.split('<').filter_map(|e| e.strip_prefix("disk")) {
        let get = |name: &str| attribute(element, name);
        let device = get("device").unwrap_or_else(|| disks.len().to_string());
        let size: u64 = get("size")
            .and_then(|s| s.parse().ok())
            .filter(|s| *s > 0)
            .ok_or_else(|| broken(format!("disk {device} has no size")))?;
        let named = get("sr").filter(|sr| !sr.is_empty());
        let sr = match named {
            Some(text) => Uuid::try_parse(&text).ok().filter(|sr| exists(*sr)),
            None => default,
        };
        let sr = sr.ok_or_else(|| {
            broken(format!(
                "disk {device} has no repository: set the pool's default-SR or name one in other-config:disks"
            ))
        })?;
        if disks.len() >= MOST_DISKS {
            return Err(broken(format!("more than {MOST_DISKS} disks")));
        }
        let volume = VolumeSpec {
            volume: random_uuid(),
            label: format!("{label} {device}"),
            description: "Created by template provisioner".to_owned(),
            virtual_size_bytes: size,
            format: DiskFormat::Qcow2,
        };
        disks.push(Wish {
            bootable: get("bootable").as_deref() == Some("true"),
            kind: get("type").unwrap_or_else(|| "system".to_owned()),
            device,
            sr,
            vbd: random_uuid(),
            volume,
        });
    }
    Ok(disks)
}

/// The value of an attribute in the text of an element.
fn attribute(element: &str, name: &str) -> Option<String> {
    let mut rest = element;
    while let Some(at) = rest.find(name) {
        let before = rest[..at].chars().next_back();
        let after = rest[at + name.len()..].trim_start();
        rest = &rest[at + name.len()..];
        if !before.is_some_and(char::is_whitespace) {
            continue;
        }
        let Some(value) = after.strip_prefix('=').map(str::trim_start) else { continue };
        let quote = value.chars().next().filter(|c| *c == '"' || *c == '\'')?;
        let value = &value[1..];
        return value.find(quote).map(|end| value[..end].to_owned());
    }
    None
}

pub(super) fn saga() -> Def {
    Def::new("vm_provision")
        .step("create_disks", action!(create_disks), action!(destroy_disks))
        .last("publish", action!(publish))
}

async fn create_disks(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    for disk in &args.disks {
        let spec = spec::sr_spec(&view, disk.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
        driver
            .volume_create(&spec, &disk.volume, STORAGE_QUICK)
            .await
            .map_err(|e| storage_failed(&e))?;
    }
    Ok(Flow::Next)
}

async fn destroy_disks(daemon: &Arc<Daemon>, state: &mut State) -> UndoResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    for disk in &args.disks {
        let spec = spec::sr_spec(&view, disk.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
        match driver.volume_destroy(&spec, disk.volume.volume, STORAGE_QUICK).await {
            Ok(()) => {}
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(storage_failed(&error)),
        }
    }
    Ok(())
}

async fn publish(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    find(&view, "VM", OpaqueRef::new(args.vm)).map_err(|e| sagas::failed(&e))?;
    let mut change = Change::new();
    become_vm(&mut change, args.vm);
    for disk in &args.disks {
        let spec = spec::sr_spec(&view, disk.sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let driver = daemon.driver(&spec.kind).map_err(|e| sagas::failed(&e))?;
        let seen = driver
            .observe(&spec, disk.volume.volume, STORAGE_QUICK)
            .await
            .map_err(|e| storage_failed(&e))?;
        let mut record = vdi_record(disk.sr, &seen, Some(&disk.volume.label));
        record.set_by_name("type", disk.kind.as_str().into());
        put(&view, &mut change, record);
        change.create(new_record(
            "VBD",
            disk.vbd,
            [
                ("VM", reference(args.vm)),
                ("VDI", reference(disk.volume.volume)),
                ("userdevice", disk.device.as_str().into()),
                ("bootable", disk.bootable.into()),
                ("mode", "RW".into()),
                ("type", "Disk".into()),
                ("unpluggable", true.into()),
            ],
        ));
        sr::sizes(daemon, &view, &mut change, disk.sr).await;
    }
    state.stage(change);
    Ok(Flow::Next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_says_which_disks_it_wants() {
        let sr = Uuid::from_u128(7);
        let xml = format!(
            r#"<provision><disk device="0" size="1024" sr="" bootable="true" type="system"/><disk size='2048' device='1' sr='{sr}' bootable='false'/></provision>"#
        );
        let got = wishes(&xml, "web", Some(Uuid::from_u128(1)), |s| s == sr).expect("reads");
        assert_eq!(got.len(), 2);
        assert_eq!((got[0].sr, got[0].volume.virtual_size_bytes), (Uuid::from_u128(1), 1024));
        assert_eq!((got[1].sr, got[1].device.as_str(), got[1].bootable), (sr, "1", false));
        assert_eq!(wishes("", "web", None, |_| true).expect("reads"), []);
    }

    #[test]
    fn a_wish_without_a_repository_names_the_way_out() {
        let error = wishes(r#"<disk size="1" sr=""/>"#, "web", None, |_| true).expect_err("none");
        assert!(error.param(0).contains("default-SR"), "{error}");
    }
}
