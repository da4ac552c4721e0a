//! What clients see of this machine's hardware and of the certificates it shows: PIF_metrics, PCI, PGPU, GPU_group,
//! Certificate; and, where the coordinator is, what every pool has: its CA's certificate and the six roles.
//!
//! Each look draws the records that should be and commits what differs. Their uuids follow from what they are about, so a
//! host that looks twice, or two hosts that meet the same GPU, make one record.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use host::devices::{self, Names, Pci};
use sha2::Digest as _;
use uuid::Uuid;
use xenapi::{OpaqueRef, Record, Timestamp, Value};

use crate::app::{role, target, text};
use crate::edits::{self, Change, Object};
use crate::first_start::{new_record, reference};
use crate::{Daemon, View, pki};

/// A link that goes up or down is seen within this time.
const LOOK: Duration = Duration::from_secs(30);
/// Records in one commit; each may need a guard and a write, and a commit has a limit.
const BATCH: usize = 40;
/// Fields that change by themselves or belong to people: no reason to write, never taken back.
const OWN_LIFE: [&str; 2] = ["last_updated", "other_config"];

/// The uuid of a record about something.
fn uuid_of(what: &str, of: &str) -> Uuid {
    let digest = sha2::Sha256::digest(format!("{what} {of}"));
    uuid::Builder::from_random_bytes(digest[..16].try_into().expect("16 bytes")).into_uuid()
}

/// Looks until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    loop {
        if !daemon.is_without_quorum() {
            let view = daemon.view().await;
            if view.record("host", daemon.host()).is_some() {
                follow(&daemon, &view, Path::new(devices::SYS)).await;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = daemon.stopping() => return,
        }
    }
}

/// Commits what differs from what the machine below `sys` is.
pub async fn follow(daemon: &Arc<Daemon>, view: &View, sys: &Path) {
    let wanted = wanted(daemon, view, sys);
    for change in changes(daemon, view, &wanted) {
        if let Err(error) = edits::commit(daemon, &change).await {
            // Another host made the same record, or there is no quorum: the next look shows.
            tracing::debug!(%error, "the hardware's records are not up to date yet");
            return;
        }
    }
}

fn wanted(daemon: &Daemon, view: &View, sys: &Path) -> Vec<Record> {
    let host = daemon.host();
    let mut wanted = interfaces(daemon, view, sys);
    wanted.extend(pci(host, view, sys));
    let tls = daemon.config().tls_dir();
    wanted.extend(certificate(&tls.join(pki::CERT_FILE), "host", "", Some(host)));
    if daemon.is_coordinator() || daemon.backend().etcd().is_none() {
        wanted.extend(certificate(&tls.join(pki::CA_FILE), "ca", "pool-ca", None));
        wanted.extend(role::records());
    }
    wanted
}

fn interfaces(daemon: &Daemon, view: &View, sys: &Path) -> Vec<Record> {
    let pifs: Vec<&Arc<Record>> = view
        .referrers("PIF", "host", daemon.host())
        .filter_map(|pif| view.record("PIF", pif))
        .collect();
    let cards: Vec<Option<(String, String, String)>> =
        pifs.iter().map(|pif| devices::pci_of_interface(sys, text(pif, "device"))).collect();
    let ids: Vec<(&str, &str)> =
        cards.iter().flatten().map(|(_, v, d)| (v.as_str(), d.as_str())).collect();
    let names = if is_news(view, &pifs, &cards) { Some(Names::of(&ids)) } else { None };
    let describe = |(pif, card): (&&Arc<Record>, &Option<(String, String, String)>)| {
        let seen = host::network::interface(text(pif, "device")).ok().flatten();
        let mut fields = vec![
            ("carrier", seen.as_ref().is_some_and(|i| i.carrier).into()),
            ("duplex", seen.as_ref().and_then(|i| i.full_duplex).unwrap_or_default().into()),
            (
                "speed",
                seen.and_then(|i| i64::try_from(i.speed_mbps?).ok()).unwrap_or_default().into(),
            ),
            ("last_updated", Timestamp(daemon.now()).into()),
        ];
        if let (Some((address, vendor, device)), Some(names)) = (card, &names) {
            fields.extend([
                ("pci_bus_path", address.as_str().into()),
                ("vendor_id", vendor.as_str().into()),
                ("vendor_name", names.vendor(vendor).into()),
                ("device_id", device.as_str().into()),
                ("device_name", names.device(vendor, device).into()),
            ]);
        }
        filled("PIF_metrics", metrics_of(pif.uuid()), fields)
    };
    pifs.iter().zip(&cards).map(describe).collect()
}

fn metrics_of(pif: Uuid) -> Uuid {
    uuid_of("PIF_metrics", &pif.to_string())
}

/// Whether some card is not described as what it is: the list of names is large, it is read for a reason only.
fn is_news(view: &View, pifs: &[&Arc<Record>], cards: &[Option<(String, String, String)>]) -> bool {
    pifs.iter().zip(cards).any(|(pif, card)| {
        let Some((address, vendor, device)) = card else { return false };
        view.record("PIF_metrics", metrics_of(pif.uuid())).is_none_or(|known| {
            text(known, "pci_bus_path") != address
                || text(known, "vendor_id") != vendor
                || text(known, "device_id") != device
        })
    })
}

fn filled(class: &str, uuid: Uuid, fields: Vec<(&str, Value)>) -> Record {
    let mut record = new_record(class, uuid, []);
    for (name, value) in fields {
        assert!(record.set_by_name(name, value), "{class} has no field {name}");
    }
    record
}

fn pci_uuid(host: Uuid, address: &str) -> Uuid {
    uuid_of("PCI", &format!("{host} {address}"))
}

fn pci(host: Uuid, view: &View, sys: &Path) -> Vec<Record> {
    let found = devices::pci(sys);
    let is_known = |p: &Pci| {
        view.record("PCI", pci_uuid(host, &p.address)).is_some_and(|known| {
            text(known, "vendor_id") == p.vendor
                && text(known, "device_id") == p.device
                && text(known, "driver_name") == p.driver
        })
    };
    if found.iter().all(is_known) && found.len() == view.referrers("PCI", "host", host).count() {
        // As they are: drawn from the records, without a look into the list of names.
        return ["PCI", "PGPU"]
            .into_iter()
            .flat_map(|class| view.referrers(class, "host", host).map(move |r| (class, r)))
            .filter_map(|(class, r)| view.record(class, r))
            .map(|record| Record::clone(record))
            .collect();
    }
    let ids: Vec<(&str, &str)> = found
        .iter()
        .flat_map(|p| {
            [
                (p.vendor.as_str(), p.device.as_str()),
                (p.subsystem_vendor.as_str(), p.subsystem_device.as_str()),
            ]
        })
        .collect();
    let names = Names::of(&ids);
    let mut records = Vec::new();
    for p in &found {
        let uuid = pci_uuid(host, &p.address);
        // What shares a slot (a GPU and its sound) can only be given away together.
        let slot = p.address.rsplit_once('.').map_or("", |(slot, _)| slot);
        let others = found
            .iter()
            .filter(|o| o.address != p.address && o.physical_function.is_none())
            .filter(|o| o.address.rsplit_once('.').is_some_and(|(s, _)| s == slot))
            .map(|o| reference(pci_uuid(host, &o.address)));
        records.push(new_record(
            "PCI",
            uuid,
            [
                ("host", reference(host)),
                ("pci_id", p.address.as_str().into()),
                ("class_id", p.class.as_str().into()),
                ("class_name", names.class(&p.class).into()),
                ("vendor_id", p.vendor.as_str().into()),
                ("vendor_name", names.vendor(&p.vendor).into()),
                ("device_id", p.device.as_str().into()),
                ("device_name", names.device(&p.vendor, &p.device).into()),
                ("subsystem_vendor_id", p.subsystem_vendor.as_str().into()),
                ("subsystem_vendor_name", names.vendor(&p.subsystem_vendor).into()),
                ("subsystem_device_id", p.subsystem_device.as_str().into()),
                (
                    "subsystem_device_name",
                    names.device(&p.subsystem_vendor, &p.subsystem_device).into(),
                ),
                ("driver_name", p.driver.as_str().into()),
                ("dependencies", Value::Set(others.collect())),
            ],
        ));
        if p.is_display() && p.physical_function.is_none() {
            records.extend(gpu(host, view, p, &names));
        }
    }
    records
}

/// A GPU with its group. The group's name is people's from its first day on.
fn gpu(host: Uuid, view: &View, p: &Pci, names: &Names) -> Vec<Record> {
    let kind = format!("{}/{}", p.vendor, p.device);
    let group = uuid_of("GPU_group", &kind);
    let mut records = Vec::new();
    if view.record("GPU_group", group).is_none() {
        let name = [names.vendor(&p.vendor), names.device(&p.vendor, &p.device)].join(" ");
        let name = if name.trim().is_empty() { kind.clone() } else { name };
        records.push(new_record(
            "GPU_group",
            group,
            [
                ("name_label", format!("Group of {name} GPUs").into()),
                ("GPU_types", Value::str_set([kind])),
            ],
        ));
    }
    records.push(new_record(
        "PGPU",
        uuid_of("PGPU", &format!("{host} {}", p.address)),
        [
            ("host", reference(host)),
            ("PCI", reference(pci_uuid(host, &p.address))),
            ("GPU_group", reference(group)),
            ("is_system_display_device", p.boot_vga.into()),
        ],
    ));
    records
}

/// The certificate in a file; none if it can't be read.
fn certificate(path: &Path, kind: &'static str, name: &str, host: Option<Uuid>) -> Option<Record> {
    let pem = std::fs::read_to_string(path).ok()?;
    let facts = pki::certificate_facts(&pem)?;
    Some(new_record(
        "Certificate",
        uuid_of("Certificate", &facts.sha256),
        [
            ("type", kind.into()),
            ("name", name.into()),
            ("host", host.map_or(Value::Ref(OpaqueRef::NULL), reference)),
            ("fingerprint", facts.sha256.as_str().into()),
            ("fingerprint_sha256", facts.sha256.as_str().into()),
            ("fingerprint_sha1", facts.sha1.as_str().into()),
            ("not_before", Timestamp(facts.not_before).into()),
            ("not_after", Timestamp(facts.not_after).into()),
        ],
    ))
}

/// The commits that make the records what is wanted.
fn changes(daemon: &Daemon, view: &View, wanted: &[Record]) -> Vec<Change> {
    let mut parts: Vec<Change> = vec![Change::new()];
    let mut next = 0;
    let mut part = |parts: &mut Vec<Change>| {
        next += 1;
        if next % BATCH == 0 {
            parts.push(Change::new());
        }
        parts.len() - 1
    };
    for record in wanted {
        let object = Object::new(record.class().name, record.uuid());
        match view.record(object.class, object.uuid) {
            None => {
                let at = part(&mut parts);
                parts[at].create(record.clone());
            }
            Some(known) => {
                let differs: Vec<_> = record
                    .iter_set()
                    .filter(|(field, value)| known.get(*field) != *value)
                    .collect();
                let name = |at: usize| record.class().fields[at].name;
                if differs.iter().any(|(field, _)| !OWN_LIFE.contains(&name(field.at()))) {
                    let at = part(&mut parts);
                    for (field, value) in differs {
                        parts[at].edit(object, edits::Edit::Set(field, value.clone()));
                    }
                }
            }
        }
    }
    for pif in view.referrers("PIF", "host", daemon.host()) {
        let metrics = metrics_of(pif);
        if view.record("PIF", pif).and_then(|p| target(p, "metrics")) != Some(metrics) {
            let at = part(&mut parts);
            parts[at].set(Object::new("PIF", pif), "metrics", reference(metrics));
        }
    }
    for object in gone(daemon, view, wanted) {
        let at = part(&mut parts);
        parts[at].delete(object);
    }
    parts.retain(|change| !change.is_empty());
    parts
}

/// Records of what is no longer there.
fn gone(daemon: &Daemon, view: &View, wanted: &[Record]) -> Vec<Object> {
    let stays: BTreeSet<Uuid> = wanted.iter().map(|r| r.uuid()).collect();
    let mut gone: Vec<Object> = ["PCI", "PGPU", "Certificate"]
        .into_iter()
        .flat_map(|class| {
            view.referrers(class, "host", daemon.host()).map(move |r| Object::new(class, r))
        })
        .filter(|object| !stays.contains(&object.uuid))
        .collect();
    if daemon.is_coordinator() || daemon.backend().etcd().is_none() {
        let orphans = view
            .records("PIF_metrics")
            .filter(|m| !stays.contains(&m.uuid()))
            .filter(|m| view.referrers("PIF", "metrics", m.uuid()).next().is_none());
        gone.extend(orphans.map(|m| Object::new("PIF_metrics", m.uuid())));
    }
    gone
}
