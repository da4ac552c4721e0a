//! Records as clients see them: stored fields, reverse references, and what the rules work out.
//!
//! Reverse references come from the replica's index, `allowed_operations` from the planner's tables; nothing of this is
//! stored (design.md section 3). The projection of an object also depends on its neighbours, so [`neighbours`] says which
//! other objects a change can be seen in; `events` uses it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::LazyLock;

use datamodel::{Class, Store};
use planner::device_ops::{self, SrState, VbdState, VdiState};
use planner::vm_ops::{self, Power, VmState};
use uuid::Uuid;
use xenapi::{FieldIdx, OpaqueRef, Projection, Record, Value};

use crate::View;
use crate::edits::Object;

/// How a class's records are completed.
struct Shape {
    reverse: Vec<(FieldIdx, &'static str, &'static str)>,
    allowed: Option<FieldIdx>,
    /// Fields of this class that refer to another object whose projection shows this one.
    shown_in: Vec<(FieldIdx, &'static str)>,
}

static SHAPES: LazyLock<HashMap<&'static str, Shape>> = LazyLock::new(|| {
    let index = |i: usize| FieldIdx(u16::try_from(i).expect("few fields"));
    let mut shapes: HashMap<&'static str, Shape> = datamodel::CLASSES
        .iter()
        .map(|class| {
            let reverse = class
                .fields
                .iter()
                .enumerate()
                .filter_map(|(i, f)| match f.store {
                    Store::Reverse { class, field } => Some((index(i), class, field)),
                    Store::Stored | Store::Computed => None,
                })
                .collect();
            let allowed = class.field("allowed_operations").map(|(i, _)| FieldIdx(i));
            (class.name, Shape { reverse, allowed, shown_in: Vec::new() })
        })
        .collect();
    for class in datamodel::CLASSES {
        let reverse = shapes[class.name].reverse.clone();
        for (_, source_class, source_field) in reverse {
            let Some(source) = datamodel::class(source_class) else { continue };
            let Some((i, _)) = source.field(source_field) else { continue };
            let shown_in =
                &mut shapes.get_mut(source_class).expect("every class has a shape").shown_in;
            if !shown_in.iter().any(|(f, c)| f.0 == i && *c == class.name) {
                shown_in.push((FieldIdx(i), class.name));
            }
        }
    }
    shapes
});

/// The record as clients see it.
pub fn project(view: &View, record: &Arc<Record>) -> Projection {
    let mut projection = if record.class().name == "secret" {
        Projection::new(Arc::new(crate::app::secret::blank(record)))
    } else {
        Projection::new(record.clone())
    };
    let Some(shape) = SHAPES.get(record.class().name) else { return projection };
    for (field, class, source_field) in &shape.reverse {
        let sources: Vec<Value> = view
            .referrers(class, source_field, record.uuid())
            .map(|uuid| Value::Ref(OpaqueRef::new(uuid)))
            .collect();
        if !sources.is_empty() {
            projection.put(*field, Value::Set(sources));
        }
    }
    if let Some(field) = shape.allowed {
        let ops = allowed(view, record);
        if !ops.is_empty() {
            projection.put(field, Value::Set(ops.into_iter().map(Value::word).collect()));
        }
    }
    projection
}

/// Objects whose projection shows this one: they change for clients when it changes.
pub fn neighbours(record: &Record) -> impl Iterator<Item = Object> {
    let shown_in = SHAPES.get(record.class().name).map(|s| s.shown_in.as_slice()).unwrap_or(&[]);
    shown_in.iter().flat_map(|(field, class)| {
        let value = record.get(*field);
        let many = value.as_set().into_iter().flat_map(|set| set.opaques());
        let all = value.as_opaque().into_iter().chain(many);
        all.filter_map(OpaqueRef::uuid).map(|uuid| Object::new(class, uuid))
    })
}

/// The class of an object by name.
pub fn class_named(name: &str) -> Option<&'static Class> {
    datamodel::class(name)
}

/// What the rules need to know of a VM's record.
pub fn vm_state(record: &Record) -> VmState<'_> {
    let text = |name: &str| record.get_by_name(name).and_then(Value::as_str).unwrap_or_default();
    let truth = |name: &str| record.get_by_name(name).and_then(Value::as_bool).unwrap_or_default();
    let pairs = |name: &str| -> Vec<(&str, &str)> {
        record
            .get_by_name(name)
            .and_then(Value::as_map)
            .map(|m| {
                m.pairs().iter().filter_map(|(k, v)| Some((k.as_str()?, v.as_str()?))).collect()
            })
            .unwrap_or_default()
    };
    VmState {
        vm: record.uuid(),
        power: Power::from_word(text("power_state")),
        is_template: truth("is_a_template"),
        is_snapshot: truth("is_a_snapshot"),
        is_control_domain: truth("is_control_domain"),
        current: pairs("current_operations"),
        blocked: pairs("blocked_operations"),
    }
}

fn is_busy(record: &Record) -> bool {
    record.get_by_name("current_operations").and_then(Value::as_map).is_some_and(|m| !m.is_empty())
}

fn allowed(view: &View, record: &Record) -> Vec<&'static str> {
    let target =
        |name: &str| record.get_by_name(name).and_then(Value::as_opaque).and_then(OpaqueRef::uuid);
    let truth = |name: &str| record.get_by_name(name).and_then(Value::as_bool).unwrap_or_default();
    let text = |name: &str| record.get_by_name(name).and_then(Value::as_str).unwrap_or_default();
    let vm_power = || {
        target("VM")
            .and_then(|vm| view.record("VM", vm))
            .and_then(|vm| vm.get_by_name("power_state"))
            .and_then(Value::as_str)
            .map_or(Power::Halted, Power::from_word)
    };
    match record.class().name {
        "VM" => vm_ops::allowed(&vm_state(record)).collect(),
        "VBD" => device_ops::vbd_allowed(VbdState {
            vm_power: vm_power(),
            attached: truth("currently_attached"),
            is_cd: text("type") == "CD",
            empty: truth("empty"),
            busy: is_busy(record),
        }),
        "VIF" => device_ops::vif_allowed(vm_power(), truth("currently_attached"), is_busy(record)),
        "VDI" => {
            let sr = target("SR");
            let features = sr.map(|sr| sr_features(view, sr)).unwrap_or_default();
            device_ops::vdi_allowed(VdiState {
                open: view.referrers("VBD", "VDI", record.uuid()).any(|vbd| {
                    view.record("VBD", vbd)
                        .and_then(|v| v.get_by_name("currently_attached"))
                        .and_then(Value::as_bool)
                        .unwrap_or_default()
                }),
                busy: is_busy(record),
                read_only: truth("read_only"),
                is_snapshot: truth("is_a_snapshot"),
                sr_attached: sr.is_some_and(|sr| sr_is_attached(view, sr)),
                can_resize: features.contains(&"VDI_RESIZE"),
                can_snapshot: features.contains(&"VDI_SNAPSHOT"),
            })
        }
        "SR" => device_ops::sr_allowed(
            SrState {
                attached: sr_is_attached(view, record.uuid()),
                unplugged_everywhere: !sr_is_attached(view, record.uuid()),
                busy: is_busy(record),
            },
            &sr_features(view, record.uuid()),
        ),
        "host" => {
            if is_busy(record) {
                vec![]
            } else if truth("enabled") {
                vec!["provision", "evacuate", "vm_start", "vm_resume", "vm_migrate"]
            } else {
                vec!["evacuate", "shutdown", "reboot", "enable"]
            }
        }
        "task" => match text("status") {
            "pending" => vec!["cancel"],
            "cancelling" => vec![],
            _ => vec!["destroy"],
        },
        "VM_appliance" if is_busy(record) => vec![],
        "VM_appliance" => vec!["start", "clean_shutdown", "hard_shutdown", "shutdown"],
        "network" | "pool" => vec![],
        _ => vec![],
    }
}

/// Whether some host has the repository plugged.
pub fn sr_is_attached(view: &View, sr: Uuid) -> bool {
    view.referrers("PBD", "SR", sr).any(|pbd| {
        view.record("PBD", pbd)
            .and_then(|p| p.get_by_name("currently_attached"))
            .and_then(Value::as_bool)
            .unwrap_or_default()
    })
}

/// What the repository's driver can do, from its SM record.
pub fn sr_features(view: &View, sr: Uuid) -> Vec<&str> {
    let Some(kind) = view.record("SR", sr).and_then(|r| r.get_by_name("type")?.as_str()) else {
        return vec![];
    };
    view.records("SM")
        .find(|sm| sm.get_by_name("type").and_then(Value::as_str) == Some(kind))
        .and_then(|sm| sm.get_by_name("features")?.as_map())
        .map(|m| m.pairs().iter().filter_map(|(k, _)| k.as_str()).collect())
        .unwrap_or_default()
}
