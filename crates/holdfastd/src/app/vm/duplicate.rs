//! A VM's records once more, under other names: what clone, copy, snapshot, checkpoint and revert share.
//!
//! Nothing is done here: given a view and which volume became which, the records are added to a [`Change`]. The volumes
//! themselves are forked or copied by [`super::copy`] and [`super::snapshot`].

use std::collections::BTreeMap;
use std::sync::Arc;

use driver_api::hypervisor::DiskFormat;
use driver_api::storage::VolumeSpec;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Timestamp, Value};

use super::super::{map_text, number, target, text, truth};
use super::create::{MAC_SEED, complete};
use super::spec;
use crate::app::sr::signed;
use crate::app::vif;
use crate::edits::{Change, Object, field_of};
use crate::first_start::reference;
use crate::{Daemon, View, random_uuid};

/// A disk and the volume that becomes its duplicate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Twin {
    /// The VBD it hangs on.
    pub(crate) vbd: Uuid,
    /// Device number of the VBD.
    pub(crate) position: u32,
    /// The disk.
    pub(crate) vdi: Uuid,
    /// Its repository.
    pub(crate) sr: Uuid,
    /// Name of the frozen data under both, for a fork.
    pub(crate) base: Uuid,
    /// The duplicate's volume.
    pub(crate) copy: VolumeSpec,
    /// The duplicate's repository.
    pub(crate) copy_sr: Uuid,
}

/// The disks of a VM that a duplicate needs volumes of its own for, with new names chosen. CDs and read-only disks are
/// shared by naming the same VDI.
pub(crate) fn twins(view: &View, vm: Uuid, to: Option<Uuid>, ignore: &[Uuid]) -> Vec<Twin> {
    spec::disks(view, vm)
        .into_iter()
        .filter(|disk| !disk.cd)
        .filter_map(|disk| {
            let (vdi, sr) = disk.vdi?;
            let record = view.record("VDI", vdi)?;
            if truth(record, "read_only") || ignore.contains(&vdi) {
                return None;
            }
            Some(Twin {
                vbd: disk.vbd,
                position: disk.position,
                vdi,
                sr,
                base: random_uuid(),
                copy: volume_like(record),
                copy_sr: to.unwrap_or(sr),
            })
        })
        .collect()
}

/// A new volume with the label and size of a disk.
pub(crate) fn volume_like(vdi: &Record) -> VolumeSpec {
    VolumeSpec {
        volume: random_uuid(),
        label: text(vdi, "name_label").to_owned(),
        description: text(vdi, "name_description").to_owned(),
        virtual_size_bytes: u64::try_from(number(vdi, "virtual_size")).unwrap_or_default(),
        format: DiskFormat::Qcow2,
    }
}

/// A live host that has all these repositories plugged; this one if it can.
///
/// # Errors
/// `SR_NOT_ATTACHED` with the first that stands in the way.
pub(crate) fn worker_for(daemon: &Daemon, view: &View, srs: &[Uuid]) -> Result<Uuid, Error> {
    let mut hosts: Vec<Uuid> = view.records("host").map(|h| h.uuid()).collect();
    hosts.sort_by_key(|host| *host != daemon.host());
    let plugged = |host: Uuid, sr: Uuid| {
        view.referrers("PBD", "SR", sr)
            .filter_map(|pbd| view.record("PBD", pbd))
            .any(|pbd| target(pbd, "host") == Some(host) && truth(pbd, "currently_attached"))
    };
    let live = |host: Uuid| host == daemon.host() || crate::app::host::is_live(view, host);
    hosts
        .iter()
        .copied()
        .find(|host| live(*host) && srs.iter().all(|sr| plugged(*host, *sr)))
        .ok_or_else(|| {
            let lacking = srs.iter().find(|sr| !hosts.iter().any(|host| plugged(*host, **sr)));
            let sr = lacking.or(srs.first()).copied().unwrap_or_default();
            Error::new("SR_NOT_ATTACHED", [OpaqueRef::new(sr).to_string()])
        })
}

/// What the duplicate is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Nature {
    /// A VM or template of its own, with MAC addresses of its own.
    Own,
    /// A snapshot: a template that remembers what it is of.
    Snapshot {
        /// When all disks were cut off, seconds since the epoch.
        at: i64,
        /// The memory image of a checkpoint.
        image: Option<Uuid>,
    },
}

/// Adds the records of the duplicate `vm` of `source`.
pub(crate) fn records(
    view: &View,
    change: &mut Change,
    source: &Arc<Record>,
    vm: Uuid,
    name: &str,
    twins: &[Twin],
    nature: &Nature,
) {
    let mut record = Record::clone(source).with_uuid(vm);
    let other_config = field_of("VM", "other_config");
    if matches!(nature, Nature::Own) {
        record.map_remove(other_config, &Value::word(MAC_SEED));
        record.map_remove(other_config, &Value::word("default_template"));
    }
    complete(&mut record, change);
    record.set_by_name("name_label", name.into());
    let null = Value::Ref(OpaqueRef::NULL);
    for (field, value) in [
        ("is_a_snapshot", Value::from(false)),
        ("snapshot_of", null.clone()),
        ("snapshot_time", Timestamp(0).into()),
        ("snapshot_info", Value::Map(Vec::new())),
        ("snapshot_metadata", "".into()),
        ("parent", null.clone()),
        ("appliance", null),
        ("ha_restart_priority", "".into()),
        ("ha_always_run", false.into()),
        ("blocked_operations", Value::Map(Vec::new())),
    ] {
        record.set_by_name(field, value);
    }
    if let Nature::Snapshot { at, image } = nature {
        record.set_by_name("is_a_snapshot", true.into());
        record.set_by_name("is_a_template", true.into());
        record.set_by_name("snapshot_of", reference(source.uuid()));
        record.set_by_name("snapshot_time", Timestamp(*at).into());
        if let Some(parent) = target(source, "parent") {
            record.set_by_name("parent", reference(parent));
        }
        let before = text(source, "power_state").to_owned();
        record.set_by_name(
            "snapshot_info",
            Value::str_map([
                ("power-state-at-snapshot".to_owned(), before),
                ("disk-snapshot-type".to_owned(), "crash_consistent".to_owned()),
            ]),
        );
        if let Some(image) = image {
            record.set_by_name("power_state", Value::word("Suspended"));
            record.set_by_name("suspend_VDI", reference(*image));
        }
    }
    let seed = map_text(&record, "other_config", MAC_SEED).unwrap_or_default().to_owned();
    change.create(record);
    volumes(view, change, twins, nature);
    let renamed: BTreeMap<Uuid, Uuid> = twins.iter().map(|t| (t.vdi, t.copy.volume)).collect();
    disks(view, change, source.uuid(), vm, &renamed);
    interfaces(view, change, source.uuid(), vm, matches!(nature, Nature::Own).then_some(&seed));
}

/// Adds the records of the duplicates' disks.
pub(crate) fn volumes(view: &View, change: &mut Change, twins: &[Twin], nature: &Nature) {
    for twin in twins {
        let Some(original) = view.record("VDI", twin.vdi) else { continue };
        let mut record = Record::clone(original).with_uuid(twin.copy.volume);
        record.set_by_name("SR", reference(twin.copy_sr));
        record.set_by_name("location", twin.copy.volume.to_string().into());
        record.set_by_name("physical_utilisation", 0.into());
        record.set_by_name("virtual_size", signed(twin.copy.virtual_size_bytes).into());
        record.set_by_name("current_operations", Value::Map(Vec::new()));
        let snapshot = matches!(nature, Nature::Snapshot { .. });
        let at = match nature {
            Nature::Snapshot { at, .. } => *at,
            Nature::Own => 0,
        };
        record.set_by_name("is_a_snapshot", snapshot.into());
        record.set_by_name(
            "snapshot_of",
            if snapshot { reference(twin.vdi) } else { Value::Ref(OpaqueRef::NULL) },
        );
        record.set_by_name("snapshot_time", Timestamp(at).into());
        put(view, change, record);
    }
}

/// Creates the record, or, if a scan that saw the new volume was faster, makes the scan's record this one.
pub(crate) fn put(view: &View, change: &mut Change, record: Record) {
    let object = Object::new(record.class().name, record.uuid());
    let Some(found) = view.record(object.class, object.uuid) else {
        change.create(record);
        return;
    };
    for field in found.differences(&record) {
        change.edit(object, crate::edits::Edit::Set(field, record.get(field).clone()));
    }
}

/// Adds the VBDs: the same devices, with each renamed disk in the place of its original.
pub(crate) fn disks(
    view: &View,
    change: &mut Change,
    from: Uuid,
    to: Uuid,
    renamed: &BTreeMap<Uuid, Uuid>,
) {
    for vbd in view.referrers("VBD", "VM", from) {
        let Some(original) = view.record("VBD", vbd) else { continue };
        let mut record = Record::clone(original).with_uuid(random_uuid());
        record.set_by_name("VM", reference(to));
        record.set_by_name("currently_attached", false.into());
        record.set_by_name("current_operations", Value::Map(Vec::new()));
        if let Some(vdi) = target(original, "VDI") {
            let writable = !view.record("VDI", vdi).is_some_and(|v| truth(v, "read_only"));
            match renamed.get(&vdi) {
                Some(twin) => {
                    record.set_by_name("VDI", reference(*twin));
                }
                // A disk left out on request has no place in the duplicate: it is the original's.
                None if text(original, "type") == "Disk" && writable => continue,
                None => {}
            }
        }
        change.create(record);
    }
}

/// Adds the VIFs. With a seed they get MAC addresses of their own from it, else they keep the original's.
pub(crate) fn interfaces(
    view: &View,
    change: &mut Change,
    from: Uuid,
    to: Uuid,
    seed: Option<&String>,
) {
    for vif in view.referrers("VIF", "VM", from) {
        let Some(original) = view.record("VIF", vif) else { continue };
        let mut record = Record::clone(original).with_uuid(random_uuid());
        record.set_by_name("VM", reference(to));
        record.set_by_name("currently_attached", false.into());
        record.set_by_name("current_operations", Value::Map(Vec::new()));
        if let Some(seed) = seed {
            let mac = vif::mac_of(seed, text(original, "device"));
            record.set_by_name("MAC", mac.into());
            record.set_by_name("MAC_autogenerated", true.into());
        }
        change.create(record);
    }
}
