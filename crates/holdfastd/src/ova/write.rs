//! Records of VMs, with what they refer to, as objects of a file.
//!
//! Changed on the way, as XenServer does: `power_state` becomes `Halted` and the suspended memory is left out unless it is
//! to be preserved; what an operation under way or a run has left in a record is cleared.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;
use xenapi::{OpaqueRef, Record, Text, Timestamp, Value};

use super::{Object, Ova, Version};
use crate::View;
use crate::app::{target, text, truth};
use crate::projection::project;

/// Classes in the order in which XenServer writes them.
const CLASSES: &[&str] =
    &["host", "VM", "VM_metrics", "VM_guest_metrics", "VBD", "VIF", "network", "VDI", "SR"];

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Keep `power_state` and the suspended memory's VDI.
    pub preserve_power_state: bool,
    /// With the snapshots of each VM.
    pub snapshots: bool,
    /// Classes of devices that are left out, in lower case: `vif`, `vbd`.
    pub without: Vec<String>,
}

/// The file for these VMs.
pub fn of(view: &View, vms: &[Uuid], options: &Options, host: Uuid, now: i64) -> Ova {
    let mut chosen = Chosen { view, seen: HashMap::new(), found: HashMap::new() };
    for vm in vms {
        chosen.vm(*vm, options);
        if options.snapshots {
            for snapshot in view.referrers("VM", "snapshot_of", *vm) {
                chosen.vm(snapshot, options);
            }
        }
    }
    let mut ordered = Vec::new();
    for class in CLASSES {
        ordered.extend(chosen.found.remove(class).unwrap_or_default());
    }
    let ids: HashMap<Uuid, String> =
        ordered.iter().enumerate().map(|(n, r)| (r.uuid(), format!("Ref:{n}"))).collect();
    let objects = ordered
        .iter()
        .map(|record| Object {
            class: record.class().name.to_owned(),
            id: ids[&record.uuid()].clone(),
            snapshot: snapshot(view, record, &ids, options),
        })
        .collect();
    let label = view.record("host", host).map(|h| text(h, "name_label").to_owned());
    let software = crate::first_start::VERSION.to_owned();
    let version = Version {
        hostname: label.unwrap_or_default(),
        date: Timestamp(now).to_string(),
        product_brand: "Holdfast".to_owned(),
        product_version: software.clone(),
        build_number: software,
        api: datamodel::API_VERSION,
    };
    Ova { version, objects }
}

struct Chosen<'v> {
    view: &'v View,
    seen: HashMap<Uuid, ()>,
    found: HashMap<&'static str, Vec<Arc<Record>>>,
}

impl Chosen<'_> {
    /// Takes a record in; `None` if there is none or it is in already.
    fn add(&mut self, class: &'static str, uuid: Option<Uuid>) -> Option<Arc<Record>> {
        let record = self.view.record(class, uuid?)?.clone();
        if self.seen.insert(record.uuid(), ()).is_some() {
            return None;
        }
        self.found.entry(class).or_default().push(record.clone());
        Some(record)
    }

    fn vm(&mut self, vm: Uuid, options: &Options) {
        let Some(record) = self.add("VM", Some(vm)) else { return };
        self.add("VM_metrics", target(&record, "metrics"));
        self.add("VM_guest_metrics", target(&record, "guest_metrics"));
        for host in ["affinity", "resident_on"] {
            self.add("host", target(&record, host));
        }
        if !options.without.iter().any(|c| c == "vbd") {
            let mut vbds: Vec<Uuid> = self.view.referrers("VBD", "VM", vm).collect();
            vbds.sort_unstable();
            for vbd in vbds {
                if let Some(vbd) = self.add("VBD", Some(vbd)) {
                    self.vdi(target(&vbd, "VDI"));
                }
            }
        }
        if !options.without.iter().any(|c| c == "vif") {
            let mut vifs: Vec<Uuid> = self.view.referrers("VIF", "VM", vm).collect();
            vifs.sort_unstable();
            for vif in vifs {
                if let Some(vif) = self.add("VIF", Some(vif)) {
                    self.add("network", target(&vif, "network"));
                }
            }
        }
        if options.preserve_power_state {
            self.vdi(target(&record, "suspend_VDI"));
        }
        self.add("SR", target(&record, "suspend_SR"));
    }

    fn vdi(&mut self, vdi: Option<Uuid>) {
        if let Some(vdi) = self.add("VDI", vdi) {
            self.add("SR", target(&vdi, "SR"));
        }
    }
}

/// Every VM that a pool's own export takes: control domains left out, snapshots with the VM they are of.
pub fn all(view: &View) -> Vec<Uuid> {
    let mut vms: Vec<Uuid> = view
        .records("VM")
        .filter(|vm| !truth(vm, "is_control_domain") && !truth(vm, "is_a_snapshot"))
        .map(|vm| vm.uuid())
        .collect();
    vms.sort_unstable();
    vms
}

/// The record as a client sees it, with the references of the file.
fn snapshot(
    view: &View,
    record: &Arc<Record>,
    ids: &HashMap<Uuid, String>,
    options: &Options,
) -> Vec<(Text, Value)> {
    let shown = project(view, record).to_record();
    let class = record.class().name;
    shown
        .iter()
        .map(|(field, value)| {
            let value = match cleared(class, field.name, options) {
                Some(value) => value,
                None => with_ids(value, ids),
            };
            (Text::new_static(field.name), value)
        })
        .collect()
}

/// What stands in a file in place of a field's value.
fn cleared(class: &str, field: &str, options: &Options) -> Option<Value> {
    let empty_set = || Some(Value::Set(Vec::new()));
    match (class, field) {
        ("VM", "power_state") if !options.preserve_power_state => Some(Value::word("Halted")),
        ("VM", "suspend_VDI") if !options.preserve_power_state => Some(null()),
        ("VM", "is_a_snapshot") if !options.snapshots => Some(false.into()),
        ("VM", "snapshot_of" | "parent") if !options.snapshots => Some(null()),
        ("VM", "snapshots" | "children") if !options.snapshots => empty_set(),
        ("VM", "transportable_snapshot_id") if !options.snapshots => Some("".into()),
        ("VM", "consoles" | "crash_dumps") | ("SR", "PBDs") => empty_set(),
        (_, "allowed_operations") => empty_set(),
        (_, "current_operations" | "blobs") => Some(Value::Map(Vec::new())),
        // How storage is reached, and passwords, are nobody's business who reads a VM's definition.
        ("SR", "sm_config") => Some(Value::Map(Vec::new())),
        _ => None,
    }
}

fn null() -> Value {
    Value::Ref(OpaqueRef::NULL)
}

fn with_ids(value: &Value, ids: &HashMap<Uuid, String>) -> Value {
    match value {
        Value::Ref(reference) => match reference.uuid().and_then(|uuid| ids.get(&uuid)) {
            Some(id) => Value::str(id.as_str()),
            None => null(),
        },
        // A reference that leads out of the file says nothing there.
        Value::Set(items) => Value::Set(
            items
                .iter()
                .filter(|v| !matches!(v, Value::Ref(r) if r.uuid().is_none_or(|u| !ids.contains_key(&u))))
                .map(|v| with_ids(v, ids))
                .collect(),
        ),
        Value::Map(pairs) => Value::Map(
            pairs.iter().map(|(k, v)| (with_ids(k, ids), with_ids(v, ids))).collect(),
        ),
        other => other.clone(),
    }
}
