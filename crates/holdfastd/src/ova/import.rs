//! A file's objects as records of this pool: which are made, and what was skipped or changed on the way, and why (S1-35).
//!
//! Definitions only: a disk must be here already, under its uuid or by the map that was given. What is missing besides
//! disks (a network, a host, a repository) never stops an import; it is replaced or left out, and listed. A missing disk
//! stops it, unless forced: then the VM comes without it, and that is listed. Everything is decided before anything is
//! committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use datamodel::{Store, Type};
use serde::Serialize;
use uuid::Uuid;
use xenapi::{Error, FieldIdx, OpaqueRef, Record, Value};

use super::{Object, Ova};
use crate::app::vif::mac_of;
use crate::app::vm::create::{MAC_SEED, complete};
use crate::app::{map_text, text, truth};
use crate::edits::{Change, field_of};
use crate::first_start::{new_record, reference};
use crate::{View, random_uuid};

/// Most devices of a VM that one commit takes.
const MAX_DEVICES: usize = 45;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Keep uuids and MAC addresses (`restore`, on the command line `preserve`).
    pub restore: bool,
    /// Disks that stand for those of the file: uuid in the file to uuid here.
    pub vdis: BTreeMap<Uuid, Uuid>,
}

/// Something that is not as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Label of the VM.
    pub vm: String,
    /// `skipped` or `changed`.
    pub outcome: &'static str,
    /// What, with label and uuid.
    pub what: String,
    /// Why, and what stands in its place.
    pub why: String,
}

impl Note {
    /// For a person: one line.
    pub fn line(&self) -> String {
        format!("{} {} of VM '{}': {}", self.outcome, self.what, self.vm, self.why)
    }
}

/// What an import makes.
#[derive(Debug, Default)]
pub struct Plan {
    /// A VM and its commit, in the file's order.
    pub vms: Vec<(Uuid, Change)>,
    /// Uuids of those that are snapshots.
    pub snapshots: BTreeSet<Uuid>,
    /// What is not as in the file.
    pub notes: Vec<Note>,
    /// Disks that are not here: without force nothing may be imported.
    pub lost: Vec<Note>,
}

impl Plan {
    /// Everything that a person is told, a line each.
    pub fn lines(&self) -> Vec<String> {
        self.notes.iter().chain(&self.lost).map(Note::line).collect()
    }
}

/// Works the import out.
///
/// # Errors
/// XenServer's code; nothing has been done.
pub fn plan(view: &View, ova: &Ova, options: &Options) -> Result<Plan, Error> {
    let mut index = HashMap::new();
    for object in &ova.objects {
        if index.insert(object.id.as_str(), object).is_some() {
            return Err(broken(format!("{} stands in the file twice", object.id)));
        }
    }
    let vms: Vec<&Object> =
        ova.objects.iter().filter(|o| o.class == "VM" && !o.truth("is_control_domain")).collect();
    if vms.is_empty() {
        return Err(broken("the file holds no VM"));
    }
    let mut uuids = HashMap::new();
    for vm in &vms {
        uuids.insert(vm.id.as_str(), new_uuid(view, vm, options)?);
    }
    let mut import =
        Import { view, options, index, uuids, networks: HashMap::new(), plan: Plan::default() };
    for vm in vms {
        import.vm(ova, vm)?;
    }
    Ok(import.plan)
}

fn broken(why: impl Into<String>) -> Error {
    Error::new("IMPORT_ERROR", [why.into()])
}

/// The uuid a VM gets.
fn new_uuid(view: &View, vm: &Object, options: &Options) -> Result<Uuid, Error> {
    if !options.restore {
        return Ok(random_uuid());
    }
    let given = vm.text("uuid");
    let uuid = Uuid::try_parse(given).map_err(|_| {
        broken(format!("VM '{}' has no uuid that could be kept: '{given}'", vm.text("name_label")))
    })?;
    match view.record("VM", uuid) {
        None => Ok(uuid),
        Some(present) => Err(Error::new(
            "VM_TO_IMPORT_IS_NOT_NEWER_VERSION",
            [
                OpaqueRef::new(uuid).to_string(),
                crate::app::number(present, "version").to_string(),
                vm.member("version").and_then(Value::as_str).unwrap_or("0").to_owned(),
            ],
        )),
    }
}

struct Import<'o> {
    view: &'o View,
    options: &'o Options,
    index: HashMap<&'o str, &'o Object>,
    /// VMs of the file and what they become.
    uuids: HashMap<&'o str, Uuid>,
    /// Networks that were made for it, by the file's id.
    networks: HashMap<&'o str, Uuid>,
    plan: Plan,
}

impl<'o> Import<'o> {
    fn vm(&mut self, ova: &'o Ova, vm: &'o Object) -> Result<(), Error> {
        let label = vm.text("name_label").to_owned();
        let uuid = self.uuids[vm.id.as_str()];
        let mut record = self.record("VM", vm)?.with_uuid(uuid);
        let mut change = Change::new();
        if !self.options.restore {
            // Another VM than the file's: its interfaces get addresses of their own.
            record.map_remove(field_of("VM", "other_config"), &Value::word(MAC_SEED));
        }
        for (field, class) in [("affinity", "host"), ("suspend_SR", "SR")] {
            self.neighbour(vm, &mut record, field, class);
        }
        for field in ["snapshot_of", "parent"] {
            let of = self
                .uuids
                .get(vm.text(field))
                .map_or(Value::Ref(OpaqueRef::NULL), |u| reference(*u));
            record.set_by_name(field, of);
        }
        if truth(&record, "is_a_snapshot") {
            self.plan.snapshots.insert(uuid);
        }
        complete(&mut record, &mut change);
        let seed = map_text(&record, "other_config", MAC_SEED).unwrap_or_default().to_owned();
        crate::app::vm::check_memory(&record)
            .map_err(|e| broken(format!("VM '{label}' can't be: {}", e.to_list().join(": "))))?;
        let mine = |o: &&'o Object, class: &str| o.class == class && o.text("VM") == vm.id;
        let vbds: Vec<&Object> = ova.objects.iter().filter(|o| mine(o, "VBD")).collect();
        let vifs: Vec<&Object> = ova.objects.iter().filter(|o| mine(o, "VIF")).collect();
        if vbds.len() + vifs.len() > MAX_DEVICES {
            return Err(broken(format!("VM '{label}' has more than {MAX_DEVICES} devices")));
        }
        let mut taken = BTreeSet::new();
        for vbd in vbds {
            self.vbd(&label, uuid, vbd, &mut taken, &mut change)?;
        }
        let mut taken = BTreeSet::new();
        for vif in vifs {
            self.vif(&label, uuid, &seed, vif, &mut taken, &mut change)?;
        }
        for class in ["VGPU", "PVS_proxy", "VTPM", "VUSB"] {
            for object in ova.objects.iter().filter(|o| o.class == class && refers_to(o, &vm.id)) {
                self.skipped(
                    &label,
                    format!("{class} {}", object.id),
                    "Holdfast has no such device",
                );
            }
        }
        change.create(record);
        self.plan.vms.push((uuid, change));
        Ok(())
    }

    fn note(&mut self, vm: &str, outcome: &'static str, what: String, why: impl Into<String>) {
        self.plan.notes.push(Note { vm: vm.to_owned(), outcome, what, why: why.into() });
    }

    fn skipped(&mut self, vm: &str, what: String, why: impl Into<String>) {
        self.note(vm, "skipped", what, why);
    }

    /// The record of an object, without what refers to others and what only the system says. Values that the datamodel
    /// does not know are left at their defaults.
    fn record(&mut self, class: &'static str, object: &Object) -> Result<Record, Error> {
        let declared =
            datamodel::class(class).ok_or_else(|| broken(format!("{class} is no class")))?;
        let members = object
            .snapshot
            .iter()
            .filter(|(name, _)| {
                declared.field(name).is_some_and(|(_, field)| {
                    field.store == Store::Stored
                        && !has_reference(&field.ty)
                        && field.name != "uuid"
                })
            })
            .cloned()
            .collect();
        let mut record = Record::from_wire(declared, OpaqueRef::NULL, Value::Struct(members))?;
        for (number, field) in declared.fields.iter().enumerate() {
            let index = FieldIdx(u16::try_from(number).unwrap_or(u16::MAX));
            if let (Type::Enum(words), Some(word)) = (&field.ty, record.get(index).as_str())
                && !words.values.contains(&word)
            {
                record.unset(index);
            }
        }
        Ok(record)
    }

    /// A reference of the VM to a host or repository: kept where that is here.
    fn neighbour(
        &mut self,
        vm: &Object,
        record: &mut Record,
        field: &'static str,
        class: &'static str,
    ) {
        let Some(object) = self.index.get(vm.text(field)).copied() else { return };
        let here = Uuid::try_parse(object.text("uuid"))
            .ok()
            .filter(|u| self.view.record(class, *u).is_some());
        match here {
            Some(uuid) => {
                record.set_by_name(field, reference(uuid));
            }
            None => self.note(
                vm.text("name_label"),
                "changed",
                format!("{field} '{}' ({})", object.text("name_label"), object.text("uuid")),
                format!("the pool has no such {class}; none is set"),
            ),
        }
    }

    fn vbd(
        &mut self,
        label: &str,
        vm: Uuid,
        object: &'o Object,
        taken: &mut BTreeSet<String>,
        change: &mut Change,
    ) -> Result<(), Error> {
        let mut record = self.record("VBD", object)?.with_uuid(self.device_uuid("VBD", object));
        let device = text(&record, "userdevice").to_owned();
        let is_cd = text(&record, "type") == "CD";
        if !taken.insert(device.clone()) {
            self.skipped(
                label,
                format!("VBD {}", object.id),
                format!("device {device} stands in the file twice"),
            );
            return Ok(());
        }
        record.set_by_name("VM", reference(vm));
        record.set_by_name("currently_attached", false.into());
        record.set_by_name("current_operations", Value::Map(Vec::new()));
        let named = self.index.get(object.text("VDI")).copied();
        let found = named.and_then(|vdi| self.vdi(vdi));
        match (named, found) {
            (_, Some(vdi)) => {
                record.set_by_name("VDI", reference(vdi));
            }
            (None, None) if is_cd || object.truth("empty") => empty(&mut record),
            (Some(vdi), None) if is_cd => {
                empty(&mut record);
                self.note(
                    label,
                    "changed",
                    format!("CD '{}' in device {device}", vdi.text("name_label")),
                    "it is not here; the drive is empty",
                );
            }
            (named, None) => {
                let what = match named {
                    Some(vdi) => format!(
                        "disk '{}' ({}) at device {device}",
                        vdi.text("name_label"),
                        vdi.text("uuid")
                    ),
                    None => format!("disk at device {device}"),
                };
                let sr = named.and_then(|vdi| self.index.get(vdi.text("SR")));
                let why = match sr {
                    Some(sr) => {
                        let uuid = Uuid::try_parse(sr.text("uuid")).unwrap_or_default();
                        let name = format!("'{}' ({})", sr.text("name_label"), sr.text("uuid"));
                        if self.view.record("SR", uuid).is_some() {
                            format!(
                                "repository {name} has no such disk; xe sr-scan uuid={uuid} looks again"
                            )
                        } else {
                            format!(
                                "the pool has no repository {name}: xe sr-introduce brings it in"
                            )
                        }
                    }
                    None => "the file does not say which disk it is".to_owned(),
                };
                self.plan.lost.push(Note { vm: label.to_owned(), outcome: "skipped", what, why });
                return Ok(());
            }
        }
        change.create(record);
        Ok(())
    }

    /// The disk here that stands for one of the file: by the map, by its uuid, or by its place in its repository.
    fn vdi(&self, object: &Object) -> Option<Uuid> {
        let uuid = Uuid::try_parse(object.text("uuid")).ok()?;
        if let Some(to) = self.options.vdis.get(&uuid) {
            return self.view.record("VDI", *to).map(|v| v.uuid());
        }
        if self.view.record("VDI", uuid).is_some() {
            return Some(uuid);
        }
        let sr = Uuid::try_parse(self.index.get(object.text("SR"))?.text("uuid")).ok()?;
        let place = Some(object.text("location")).filter(|l| !l.is_empty())?;
        self.view
            .referrers("VDI", "SR", sr)
            .find(|vdi| self.view.record("VDI", *vdi).is_some_and(|v| text(v, "location") == place))
    }

    fn vif(
        &mut self,
        label: &str,
        vm: Uuid,
        seed: &str,
        object: &'o Object,
        taken: &mut BTreeSet<String>,
        change: &mut Change,
    ) -> Result<(), Error> {
        let mut record = self.record("VIF", object)?.with_uuid(self.device_uuid("VIF", object));
        let device = text(&record, "device").to_owned();
        if device.parse::<u32>().is_err() || !taken.insert(device.clone()) {
            let why = format!("its device number '{device}' is none, or stands in the file twice");
            self.skipped(label, format!("VIF {}", object.id), why);
            return Ok(());
        }
        let Some(network) = self.network(label, &device, object, change) else { return Ok(()) };
        record.set_by_name("network", reference(network));
        record.set_by_name("VM", reference(vm));
        record.set_by_name("currently_attached", false.into());
        record.set_by_name("current_operations", Value::Map(Vec::new()));
        let mac = text(&record, "MAC").to_ascii_lowercase();
        let in_use = self.view.records("VIF").find(|v| text(v, "MAC").eq_ignore_ascii_case(&mac));
        let free = in_use.is_none() && crate::app::vif::is_mac(&mac);
        if !(self.options.restore && free) {
            let new = mac_of(seed, &device);
            if self.options.restore {
                self.note(
                    label,
                    "changed",
                    format!("MAC address {mac} of device {device}"),
                    format!("it is in use, or none; it becomes {new}"),
                );
            }
            record.set_by_name("MAC", new.into());
            record.set_by_name("MAC_autogenerated", true.into());
        }
        change.create(record);
        Ok(())
    }

    /// The network here that stands for an interface's: the same, else of the same bridge, else of the same label, else a
    /// new one without an uplink. An interface is not given up for its network: its address is what licences hang on.
    fn network(
        &mut self,
        label: &str,
        device: &str,
        vif: &Object,
        change: &mut Change,
    ) -> Option<Uuid> {
        let Some((id, object)) =
            self.index.get_key_value(vif.text("network")).map(|(k, v)| (*k, *v))
        else {
            self.skipped(label, format!("interface {device}"), "the file does not say its network");
            return None;
        };
        let uuid = Uuid::try_parse(object.text("uuid")).ok();
        if let Some(known) = uuid.filter(|u| self.view.record("network", *u).is_some()) {
            return Some(known);
        }
        if let Some(made) = self.networks.get(id) {
            return Some(*made);
        }
        let name = format!(
            "network '{}' ({}) of interface {device}",
            object.text("name_label"),
            object.text("uuid")
        );
        for field in ["bridge", "name_label"] {
            let value = object.text(field);
            let alike =
                self.view.records("network").find(|n| !value.is_empty() && text(n, field) == value);
            if let Some(alike) = alike {
                let why = format!(
                    "the pool has it not; network '{}' ({}) has the same {field} and stands for it",
                    text(alike, "name_label"),
                    alike.uuid()
                );
                self.note(label, "changed", name, why);
                return Some(alike.uuid());
            }
        }
        let made = uuid.filter(|_| self.options.restore).unwrap_or_else(random_uuid);
        change.create(new_record(
            "network",
            made,
            [
                ("name_label", object.text("name_label").into()),
                ("name_description", object.text("name_description").into()),
                ("bridge", crate::app::network::new_bridge().into()),
                ("MTU", 1500.into()),
                ("managed", true.into()),
            ],
        ));
        self.networks.insert(id, made);
        self.note(
            label,
            "changed",
            name,
            format!("the pool has it not; it is made without an uplink ({made})"),
        );
        Some(made)
    }

    fn device_uuid(&self, class: &'static str, object: &Object) -> Uuid {
        let kept = Uuid::try_parse(object.text("uuid")).ok();
        kept.filter(|u| {
            self.options.restore && !u.is_nil() && self.view.record(class, *u).is_none()
        })
        .unwrap_or_else(random_uuid)
    }
}

fn empty(record: &mut Record) {
    record.set_by_name("VDI", Value::Ref(OpaqueRef::NULL));
    record.set_by_name("empty", true.into());
}

fn has_reference(ty: &Type) -> bool {
    match ty {
        Type::Ref(_) | Type::Record(_) => true,
        Type::Set(of) | Type::Optional(of) => has_reference(of),
        Type::Map(key, value) => has_reference(key) || has_reference(value),
        _ => false,
    }
}

/// Whether a device of another class is of that VM; a VTPM's members carry its class's name.
fn refers_to(object: &Object, vm: &str) -> bool {
    object.snapshot.iter().any(|(name, value)| name.ends_with("VM") && value.as_str() == Some(vm))
}
