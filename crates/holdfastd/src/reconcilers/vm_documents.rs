//! VM definitions beside the disks (S0-41): on every repository that holds a disk of a VM there is a document `vm-UUID`
//! from which the VM can be registered again, in this pool or another.
//!
//! One host writes for each repository: of the live ones that have it plugged the first by uuid. A pass compares what the
//! records say now with what is known to stand there, so a lost write is made good by the next pass. What changes with
//! every start (power state, host, metrics) is left out: a definition says what a VM is, not what it does.
//!
//! [`register_found`] is the way back: when a repository is plugged or scanned, VMs whose disks no record of this pool has
//! named before are registered, halted. A VM that was destroyed here keeps its disks' records, so it does not rise again.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pooldb::Revision;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{OpaqueRef, Record, Value};

use crate::app::vm::launch::STORAGE_QUICK;
use crate::app::vm::{create, spec};
use crate::app::{host, target, text, truth};
use crate::edits::{self, Change, field_of};
use crate::first_start::reference;
use crate::{Daemon, View};

/// Version of the documents' format.
const VERSION: u32 = 1;
/// Beginning of every document's name.
const PREFIX: &str = "vm-";
/// Changes within this time make one pass.
const GATHER: Duration = Duration::from_millis(500);
/// A pass is made at least this often, for what could not be written.
const SLOW: Duration = Duration::from_secs(60);

/// One VM as it stands beside its disks. Unknown members of a newer version are not lost: whoever reads only reads.
#[derive(Debug, Serialize, Deserialize)]
struct Definition {
    version: u32,
    /// The pool that wrote it.
    pool: Uuid,
    vm: Kept,
    vbds: Vec<Kept>,
    vifs: Vec<Kept>,
    vdis: Vec<Kept>,
    /// The networks of the interfaces; absent in documents of older daemons.
    #[serde(default)]
    networks: Vec<Kept>,
}

/// A record in its stored form.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    uuid: Uuid,
    record: serde_json::Value,
}

/// Fields that change with every run.
const VOLATILE: &[&str] = &[
    "power_state",
    "resident_on",
    "scheduled_to_be_resident_on",
    "domid",
    "metrics",
    "guest_metrics",
    "current_operations",
    "last_booted_record",
    "currently_attached",
    "device_status",
    "physical_utilisation",
    "suspend_VDI",
];

fn keep(record: &Record) -> Option<Kept> {
    let mut record = record.clone();
    for name in VOLATILE {
        if let Some((index, _)) = record.class().field(name) {
            record.unset(xenapi::FieldIdx(index));
        }
    }
    let value = serde_json::from_slice(&record.to_stored()).ok()?;
    Some(Kept { uuid: record.uuid(), record: value })
}

fn read(class: &'static str, kept: &Kept) -> Option<Record> {
    let bytes = serde_json::to_vec(&kept.record).ok()?;
    let record = Record::from_stored(datamodel::class(class)?, &bytes).ok()?;
    Some(if record.uuid() == kept.uuid { record } else { record.with_uuid(kept.uuid) })
}

/// The document of a VM.
fn document(view: &View, pool: Uuid, vm: &Record) -> Option<Vec<u8>> {
    let of = |class: &'static str| -> Vec<&Arc<Record>> {
        let mut found: Vec<_> = view
            .referrers(class, "VM", vm.uuid())
            .filter_map(|uuid| view.record(class, uuid))
            .collect();
        found.sort_by_key(|record| record.uuid());
        found
    };
    let vbds = of("VBD");
    let vdis: BTreeSet<Uuid> = vbds.iter().filter_map(|vbd| target(vbd, "VDI")).collect();
    let vifs = of("VIF");
    let networks: BTreeSet<Uuid> = vifs.iter().filter_map(|vif| target(vif, "network")).collect();
    let definition = Definition {
        version: VERSION,
        pool,
        vm: keep(vm)?,
        vbds: vbds.iter().filter_map(|r| keep(r)).collect(),
        vifs: vifs.iter().filter_map(|r| keep(r)).collect(),
        vdis: vdis.iter().filter_map(|vdi| keep(view.record("VDI", *vdi)?)).collect(),
        networks: networks.iter().filter_map(|n| keep(view.record("network", *n)?)).collect(),
    };
    serde_json::to_vec(&definition).ok()
}

/// The repositories that hold disks of a VM and can hold its document.
fn repositories(view: &View, vm: Uuid) -> BTreeSet<Uuid> {
    spec::disks(view, vm)
        .iter()
        .filter(|disk| !disk.cd)
        .filter_map(|disk| disk.vdi.map(|(_, sr)| sr))
        .filter(|sr| crate::projection::sr_features(view, *sr).contains(&"VDI_CREATE"))
        .collect()
}

/// Whether this host writes the documents of a repository.
fn is_writer(daemon: &Daemon, view: &View, sr: Uuid) -> bool {
    view.referrers("PBD", "SR", sr)
        .filter_map(|pbd| view.record("PBD", pbd))
        .filter(|pbd| truth(pbd, "currently_attached"))
        .filter_map(|pbd| target(pbd, "host"))
        .filter(|at| *at == daemon.host() || host::is_live(view, *at))
        .min()
        == Some(daemon.host())
}

/// What is known to stand on repositories that this host writes.
#[derive(Debug, Default)]
struct Known {
    /// Documents by repository and VM.
    written: HashMap<(Uuid, Uuid), Vec<u8>>,
    /// Repositories whose documents were read.
    read: BTreeSet<Uuid>,
    /// VMs of this pool that were seen: only their documents are ever removed.
    vms: BTreeSet<Uuid>,
    /// Revision of the last pass that left nothing undone.
    at: Option<Revision>,
}

/// Keeps the documents until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let mut known = Known::default();
    let mut changed = daemon.store().replica().changed();
    loop {
        pass(&daemon, &mut known).await;
        tokio::select! {
            _ = changed.changed() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(SLOW) => known.at = None,
            () = daemon.stopping() => return,
        }
    }
}

async fn pass(daemon: &Arc<Daemon>, known: &mut Known) {
    let view = daemon.store().view();
    if crate::fencing::standing(daemon, &view) != crate::fencing::Standing::Member {
        // A fenced or forgotten host writes to no repository.
        return;
    }
    let touched = known.at.is_none_or(|at| {
        view.modified_after(at).any(|item| is_ours(item.key.table.class()))
            || view
                .deleted_after(at)
                .map_or(true, |mut gone| gone.any(|(_, key)| is_ours(key.table.class())))
    });
    if !touched {
        known.at = Some(view.revision());
        return;
    }
    let pool = daemon.identity().pool;
    let mut complete = true;
    for vm in view.records("VM").filter(|vm| !truth(vm, "is_control_domain")) {
        known.vms.insert(vm.uuid());
        for sr in repositories(&view, vm.uuid()) {
            if !is_writer(daemon, &view, sr) {
                known.read.remove(&sr);
                continue;
            }
            complete &= look(daemon, &view, known, sr).await;
            let Some(body) = document(&view, pool, vm) else { continue };
            if known.written.get(&(sr, vm.uuid())) == Some(&body) {
                continue;
            }
            if write(daemon, &view, sr, vm.uuid(), &body).await {
                known.written.insert((sr, vm.uuid()), body);
            } else {
                complete = false;
            }
        }
    }
    let stale: Vec<(Uuid, Uuid)> = known
        .written
        .keys()
        // A VM that is still there may only have lost sight of its disks; its definition stays.
        .filter(|(_, vm)| view.record("VM", *vm).is_none() && known.vms.contains(vm))
        .copied()
        .collect();
    for (sr, vm) in stale {
        if is_writer(daemon, &view, sr) && !remove(daemon, &view, sr, vm).await {
            complete = false;
            continue;
        }
        known.written.remove(&(sr, vm));
    }
    if known.at.is_none() {
        remove_empty(daemon, &view, known, pool).await;
    }
    known.at = complete.then(|| view.revision());
}

/// Removes definitions of this pool's that a former writer did not live to remove. Nothing says why their VMs have no
/// records (an older database may have been restored), so only those go of whose disks none is there any more: no VM
/// could come back from them.
async fn remove_empty(daemon: &Arc<Daemon>, view: &View, known: &mut Known, pool: Uuid) {
    let strange: Vec<(Uuid, Uuid)> = known
        .written
        .keys()
        .filter(|(sr, vm)| {
            view.record("VM", *vm).is_none()
                && !known.vms.contains(vm)
                && is_writer(daemon, view, *sr)
        })
        .copied()
        .collect();
    let mut volumes_of: HashMap<Uuid, Option<BTreeSet<Uuid>>> = HashMap::new();
    for (sr, vm) in strange {
        if let Entry::Vacant(unseen) = volumes_of.entry(sr) {
            unseen.insert(volumes(daemon, view, sr).await);
        }
        let Some(Some(there)) = volumes_of.get(&sr) else { continue };
        let body = known.written.get(&(sr, vm)).map(Vec::as_slice).unwrap_or_default();
        let Ok(definition) = serde_json::from_slice::<Definition>(body) else { continue };
        let empty = definition.vdis.iter().all(|vdi| !there.contains(&vdi.uuid));
        if definition.pool == pool && empty && remove(daemon, view, sr, vm).await {
            tracing::info!(%vm, %sr, "removed the definition of a VM whose disks are gone");
            known.written.remove(&(sr, vm));
        }
    }
}

fn is_ours(class: Option<&str>) -> bool {
    matches!(class, Some("VM" | "VBD" | "VIF" | "VDI" | "PBD" | "host_metrics"))
}

/// Reads what stands on a repository, once; false if it can't be read now.
async fn look(daemon: &Arc<Daemon>, view: &View, known: &mut Known, sr: Uuid) -> bool {
    if known.read.contains(&sr) {
        return true;
    }
    let Some(found) = documents(daemon, view, sr).await else { return false };
    known.written.retain(|(at, _), _| *at != sr);
    for (vm, body) in found {
        known.written.insert((sr, vm), body);
    }
    known.read.insert(sr);
    true
}

async fn documents(daemon: &Daemon, view: &View, sr: Uuid) -> Option<Vec<(Uuid, Vec<u8>)>> {
    let spec = spec::sr_spec(view, sr, daemon.host()).ok()?;
    let driver = daemon.driver(&spec.kind).ok()?;
    match driver.document_read(&spec, PREFIX, STORAGE_QUICK).await {
        Ok(found) => Some(
            found
                .into_iter()
                .filter_map(|(name, body)| {
                    Some((Uuid::try_parse(name.strip_prefix(PREFIX)?).ok()?, body))
                })
                .collect(),
        ),
        Err(error) => {
            tracing::warn!(%sr, %error, "VM definitions can't be read");
            None
        }
    }
}

async fn write(daemon: &Daemon, view: &View, sr: Uuid, vm: Uuid, body: &[u8]) -> bool {
    let Ok(spec) = spec::sr_spec(view, sr, daemon.host()) else { return false };
    let Ok(driver) = daemon.driver(&spec.kind) else { return false };
    match driver.document_write(&spec, &format!("{PREFIX}{vm}"), body, STORAGE_QUICK).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%sr, %vm, %error, "the definition of a VM is not kept beside its disks yet");
            false
        }
    }
}

async fn remove(daemon: &Daemon, view: &View, sr: Uuid, vm: Uuid) -> bool {
    let Ok(spec) = spec::sr_spec(view, sr, daemon.host()) else { return false };
    let Ok(driver) = daemon.driver(&spec.kind) else { return false };
    driver.document_remove(&spec, &format!("{PREFIX}{vm}"), STORAGE_QUICK).await.is_ok()
}

/// Registers the VMs whose definitions and disks are on a repository that this host attached, and that this pool has
/// never known: their disks have no records. Returns how many. One commit per VM.
pub async fn register_found(daemon: &Arc<Daemon>, sr: Uuid) -> usize {
    let view = daemon.view().await;
    let is_file = view.record("SR", sr).is_some_and(|sr| text(sr, "content_type") != "iso");
    if !is_file {
        return 0;
    }
    let Some(found) = documents(daemon, &view, sr).await else { return 0 };
    if found.iter().all(|(vm, _)| view.record("VM", *vm).is_some()) {
        return 0;
    }
    let Some(volumes) = volumes(daemon, &view, sr).await else { return 0 };
    let mut registered = 0;
    for (vm, body) in found {
        if view.record("VM", vm).is_some() {
            continue;
        }
        let definition: Definition = match serde_json::from_slice(&body) {
            Ok(definition) => definition,
            Err(error) => {
                tracing::warn!(%vm, %sr, %error, "a VM definition can't be read");
                continue;
            }
        };
        // What an earlier one brought with it is there for the next.
        let view = daemon.view().await;
        let Some(change) = registration(&view, sr, &definition, &volumes) else { continue };
        match edits::commit(daemon, &change).await {
            Ok(_) => {
                tracing::info!(%vm, %sr, "registered a VM that was found beside its disks");
                registered += 1;
            }
            Err(error) => tracing::warn!(%vm, %sr, %error, "a VM that was found is not registered"),
        }
    }
    registered
}

async fn volumes(daemon: &Daemon, view: &View, sr: Uuid) -> Option<BTreeSet<Uuid>> {
    let spec = spec::sr_spec(view, sr, daemon.host()).ok()?;
    let driver = daemon.driver(&spec.kind).ok()?;
    let found = driver.scan(&spec, STORAGE_QUICK).await.ok()?;
    Some(found.into_iter().map(|volume| volume.volume).collect())
}

/// The commit that registers a VM, or `None` if it is not to be.
fn registration(
    view: &View,
    sr: Uuid,
    definition: &Definition,
    volumes: &BTreeSet<Uuid>,
) -> Option<Change> {
    let mut vm = read("VM", &definition.vm)?;
    let here = |vdi: &Record| target(vdi, "SR") == Some(sr) && volumes.contains(&vdi.uuid());
    let vdis: Vec<Record> =
        definition.vdis.iter().filter_map(|v| read("VDI", v)).filter(here).collect();
    if vdis.is_empty() || vdis.iter().any(|vdi| view.record("VDI", vdi.uuid()).is_some()) {
        return None;
    }
    let mut change = Change::new();
    create::complete(&mut vm, &mut change);
    if target(&vm, "affinity").is_some_and(|host| view.record("host", host).is_none()) {
        vm.set_by_name("affinity", Value::Ref(OpaqueRef::NULL));
    }
    for vbd in definition.vbds.iter().filter_map(|v| read("VBD", v)) {
        let disk = target(&vbd, "VDI");
        let there = disk.is_none_or(|vdi| {
            vdis.iter().any(|v| v.uuid() == vdi) || view.record("VDI", vdi).is_some()
        });
        if there {
            change.create(vbd);
        } else {
            tracing::warn!(vm = %vm.uuid(), vdi = ?disk, "a disk of the VM is on another repository");
        }
    }
    let mut made = BTreeSet::new();
    for mut vif in definition.vifs.iter().filter_map(|v| read("VIF", v)) {
        let Some(wanted) = target(&vif, "network") else { continue };
        match network_here(view, definition, wanted) {
            Some(Network::Known(network)) => {
                vif.set_by_name("network", reference(network));
            }
            Some(Network::New(network)) => {
                tracing::warn!(vm = %vm.uuid(), network = text(&network, "name_label"),
                    "a network of the VM is not known here: made without an uplink");
                if made.insert(wanted) {
                    change.create(network);
                }
            }
            None => {
                tracing::warn!(vm = %vm.uuid(), %wanted, "a network of the VM is not known here");
                continue;
            }
        }
        change.create(vif);
    }
    for vdi in vdis {
        change.create(vdi);
    }
    let label = text(&vm, "name_label").to_owned();
    let other_config = field_of("VM", "other_config");
    vm.map_insert(other_config, Value::word("holdfast:found_on"), sr.to_string().into());
    tracing::debug!(label, "a definition fits its disks");
    change.create(vm);
    Some(change)
}

/// Where an interface is connected in this pool.
enum Network {
    /// To a network that is here.
    Known(Uuid),
    /// To one that comes with the definition.
    New(Record),
}

/// The network that stands for one of a definition: the same, else the one of its bridge, else of its label; else the
/// definition's own. An interface is not given up for its network: its MAC address is what licences and leases hang on.
fn network_here(view: &View, definition: &Definition, wanted: Uuid) -> Option<Network> {
    if view.record("network", wanted).is_some() {
        return Some(Network::Known(wanted));
    }
    let kept = definition.networks.iter().find(|n| n.uuid == wanted)?;
    let kept = read("network", kept)?;
    let alike = |field: &str| {
        let value = text(&kept, field);
        let mut found = view.records("network").filter(|n| text(n, field) == value);
        found.next().filter(|_| !value.is_empty()).map(|n| n.uuid())
    };
    let known = alike("bridge").or_else(|| alike("name_label"));
    Some(known.map_or(Network::New(kept), Network::Known))
}
