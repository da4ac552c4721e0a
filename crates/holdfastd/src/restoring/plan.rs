//! What the restored database holds: the dump's objects, with what is no longer so replaced, and this host's own.
//!
//! Pure but for new ids: from two views and an order to entries and lines for people. Nothing of a run survives: VMs are
//! halted, placements, disk locks, reservations, operations and votes are gone; generations go on, so that an old order
//! stays old. Hosts of the dump are put away under their tombstones, as `xe host-forget` does.

use std::collections::{BTreeMap, BTreeSet};

use planner::restore::cards::{self, By, Card};
use pooldb::{Bytes, Key, Table, Write};
use uuid::Uuid;
use xenapi::{OpaqueRef, Record, Value};

use super::places::Place;
use super::{Lost, Order, place_map};
use crate::app::vm::{launch, spec};
use crate::app::{map_text, object, target, text, truth};
use crate::edits::{Change, Object};
use crate::first_start::{CA_KEY, meta_key, new_record, reference};
use crate::reconcilers::coordinator::designated_key;
use crate::records::{Forgotten, Placement, PoolMeta, decode, encode};
use crate::returning::part_key;
use crate::{Daemon, View, fencing, joining, leaving, random_uuid, start};

/// The new database, but for its epoch.
pub(super) struct Draft {
    entries: BTreeMap<Key, Bytes>,
    /// What results, for people.
    pub(super) lines: Vec<String>,
    /// Repositories that this host shall connect to.
    pub(super) places: Vec<Place>,
}

/// The new database.
pub(super) struct Planned {
    pub(super) entries: BTreeMap<Key, Bytes>,
    /// The same, to be asked.
    pub(super) view: View,
}

impl Draft {
    /// With the lineage, and as a view.
    pub(super) fn with_facts_of(mut self, _daemon: &Daemon, epoch: u64) -> Planned {
        if let Some(bytes) = self.entries.get(&meta_key())
            && let Ok(meta) = decode::<PoolMeta>(bytes)
        {
            self.entries.insert(meta_key(), encode(&PoolMeta { epoch, ..meta }));
        }
        let placed: Vec<Key> =
            self.entries.keys().filter(|k| k.table == Table::Placement).cloned().collect();
        for key in placed {
            let Ok(mut placement) = decode::<Placement>(&self.entries[&key]) else { continue };
            placement.issued = placement.generation.max(placement.issued);
            placement.host = None;
            placement.migrating_to = None;
            placement.incoming = None;
            placement.incoming_boot.clear();
            placement.boot_id.clear();
            placement.epoch = epoch;
            self.entries.insert(key, encode(&placement));
        }
        self.entries.insert(Key::pool_epoch(), epoch.to_string().into_bytes().into());
        let view = view_of(&self.entries);
        Planned { entries: self.entries, view }
    }
}

/// Entries as a view of a database.
fn view_of(entries: &BTreeMap<Key, Bytes>) -> View {
    let one = pooldb::Revision(1);
    let entries = entries.iter().map(|(key, value)| pooldb::Entry {
        key: key.clone(),
        value: value.clone(),
        created: one,
        modified: one,
    });
    let replica = pooldb::Replica::new();
    replica.load(pooldb::Snapshot {
        identity: pooldb::Identity { cluster_id: 1 },
        revision: one,
        entries: entries.collect(),
    });
    replica.view()
}

/// Works it out.
///
/// # Errors
/// A map that can't be followed.
pub(super) fn draft(
    daemon: &Daemon,
    own: &View,
    lost: &Lost,
    order: &Order,
) -> Result<Draft, String> {
    let host = daemon.host();
    let view = &lost.view;
    let mut entries: BTreeMap<Key, Bytes> = view
        .iter()
        .filter(|item| stays(&item.key, host))
        .map(|item| (item.key.clone(), item.value()))
        .collect();
    let mut lines = Vec::new();
    let mut change = Change::new();
    let pool = view.records("pool").next().ok_or("the dump holds no pool")?;
    // The host whose place this one takes: itself, or the lost coordinator.
    let source = if view.record("host", host).is_some() {
        host
    } else {
        target(pool, "master").unwrap_or(host)
    };
    hosts(daemon, view, &mut change, &mut entries, &mut lines, &order.confirm);
    change.set(object(pool), "master", reference(host));
    vms(view, &mut change, &mut lines, host);
    let networks = networks(own, view, source, host, order, &mut change, &mut lines)?;
    let mut places = Vec::new();
    repositories(own, view, source, host, order, &mut change, &mut places, &mut lines)?;
    operations_end(view, &mut change);
    apply(change, view, &mut entries);
    // What this host brings: itself, its cards, its own repositories.
    let there = view_of(&entries);
    for (key, bytes) in joining::brought(own, &there, host, &networks) {
        entries.insert(key, bytes.into());
    }
    secrets(daemon, own, lost, &mut entries, &mut lines);
    Ok(Draft { entries, lines, places })
}

/// Whether an entry of the dump has a place in the new database.
fn stays(key: &Key, host: Uuid) -> bool {
    match key.table {
        Table::Reservation
        | Table::VdiLock
        | Table::Saga
        | Table::Session
        | Table::HostLease
        | Table::Coordinator
        | Table::Fence
        | Table::HostAgent
        | Table::VoterPlan
        | Table::HaPlan
        | Table::Alert => false,
        Table::Tombstone => {
            let of = |rest: &str| rest.split('/').next() == Some(host.to_string().as_str());
            !key.id.starts_with("leaving/") && !key.id.strip_prefix("forgotten/").is_some_and(of)
        }
        Table::Meta => *key != designated_key() && !key.id.starts_with("joining/"),
        _ => true,
    }
}

/// What a change makes of the dump's entries.
fn apply(change: Change, view: &View, entries: &mut BTreeMap<Key, Bytes>) {
    for write in change.into_transaction(view).writes {
        match write {
            Write::Put(key, value) | Write::PutLeased(key, value, _) => {
                entries.insert(key, value);
            }
            Write::Delete(key) => {
                entries.remove(&key);
            }
        }
    }
}

/// The hosts of the dump are forgotten; this one, if it was among them, comes as it is now.
fn hosts(
    daemon: &Daemon,
    view: &View,
    change: &mut Change,
    entries: &mut BTreeMap<Key, Bytes>,
    lines: &mut Vec<String>,
    confirm: &str,
) {
    lines.push(format!(
        "host '{}' ({}, {}): this host, alone in the pool and its coordinator",
        daemon.config().host.name,
        daemon.host(),
        daemon.config().host.address
    ));
    for record in view.records("host") {
        let (old, name) = (record.uuid(), text(record, "name_label"));
        let gone: Vec<Object> = leaving::own_objects(view, old)
            .into_iter()
            .chain(std::iter::once(Object::new("host", old)))
            .collect();
        if old == daemon.host() {
            // Its connections stay; the rest is read anew from the machine.
            for object in gone.iter().filter(|o| o.class != "PBD") {
                change.delete(*object);
            }
            continue;
        }
        lines.push(format!(
            "host '{name}' ({old}, {}): forgotten; a fresh one joins with xe pool-join",
            text(record, "address")
        ));
        let kept = gone.iter().copied().chain(leaving::local_objects(view, old));
        for object in kept {
            if let Some(item) = view.record_item(object.class, object.uuid) {
                entries.insert(part_key(old, object.class, object.uuid), item.value());
            }
        }
        let tombstone = Forgotten {
            host: old,
            name: name.to_owned(),
            since: daemon.now(),
            by: "pool-restore-database".to_owned(),
            proof: format!("a person said: \"{confirm}\""),
            done: true,
            unknown: serde_json::Map::new(),
        };
        entries.insert(fencing::forgotten_key(old), encode(&tombstone));
        for object in gone {
            change.delete(object);
        }
    }
}

/// All VMs are halted.
fn vms(view: &View, change: &mut Change, lines: &mut Vec<String>, host: Uuid) {
    let mut vms: Vec<_> = view
        .records("VM")
        .filter(|vm| {
            !truth(vm, "is_a_template")
                && !truth(vm, "is_a_snapshot")
                && !truth(vm, "is_control_domain")
        })
        .collect();
    vms.sort_by_key(|vm| (text(vm, "name_label").to_owned(), vm.uuid()));
    let null = || Value::Ref(OpaqueRef::NULL);
    for vm in vms {
        let (label, id, was) = (text(vm, "name_label"), vm.uuid(), text(vm, "power_state"));
        let at = target(vm, "resident_on").and_then(|h| view.record("host", h));
        let at = at.map(|h| format!(" on '{}'", text(h, "name_label"))).unwrap_or_default();
        let image = if was == "Suspended" {
            "; its saved memory is not used, since its disks may have changed since"
        } else {
            ""
        };
        let was = if was == "Halted" { String::new() } else { format!(", was {was}{at}{image}") };
        lines.push(format!("VM '{label}' ({id}): halted{was}"));
        launch::publish_stopped(view, change, id, "Halted");
        change.set(object(vm), "suspend_VDI", null());
        change.set(object(vm), "scheduled_to_be_resident_on", null());
    }
    for vm in view.records("VM") {
        if target(vm, "affinity").is_some_and(|at| !at.is_nil() && at != host) {
            change.set(object(vm), "affinity", null());
        }
    }
}

/// Nothing is under way.
fn operations_end(view: &View, change: &mut Change) {
    for class in ["pool", "VM", "VDI", "VBD", "VIF", "SR", "network"] {
        for record in view.records(class) {
            let busy = record.get_by_name("current_operations").and_then(Value::as_map);
            if busy.is_some_and(|map| !map.pairs().is_empty()) {
                change.set(object(record), "current_operations", Value::Map(Vec::new()));
            }
        }
    }
}

/// A card of a host, with its interface's record and network.
struct Port {
    card: Card,
    network: Uuid,
}

fn ports(view: &View, host: Uuid) -> Vec<Port> {
    let mut ports: Vec<Port> = view
        .referrers("PIF", "host", host)
        .filter_map(|pif| view.record("PIF", pif))
        .filter(|pif| truth(pif, "physical"))
        .filter_map(|pif| {
            let network = target(pif, "network")?;
            let card = Card {
                device: text(pif, "device").to_owned(),
                mac: text(pif, "MAC").to_lowercase(),
                place: map_text(pif, "other_config", datamodel::keys::PIF_PLACE.name)
                    .unwrap_or_default()
                    .to_owned(),
                bridge: view
                    .record("network", network)
                    .map(|n| text(n, "bridge").to_owned())
                    .unwrap_or_default(),
                management: truth(pif, "management"),
            };
            Some(Port { card, network })
        })
        .collect();
    ports.sort_by(|a, b| a.card.device.cmp(&b.card.device));
    ports
}

/// Which network of the dump stands for which of this host's; edits the bridges.
fn networks(
    own: &View,
    view: &View,
    source: Uuid,
    host: Uuid,
    order: &Order,
    change: &mut Change,
    lines: &mut Vec<String>,
) -> Result<BTreeMap<Uuid, Uuid>, String> {
    let (old, new) = (ports(view, source), ports(own, host));
    let cards = |ports: &[Port]| ports.iter().map(|p| p.card.clone()).collect::<Vec<_>>();
    let pairs = cards::pairs(&cards(&old), &cards(&new), &order.nics).map_err(|bad| {
        let names = |ports: &[Port]| {
            ports.iter().map(|p| p.card.to_string()).collect::<Vec<_>>().join(", ")
        };
        format!(
            "nic-map: {bad}. Cards in the dump: {}. Cards of this machine: {}",
            names(&old),
            names(&new)
        )
    })?;
    let mut stands_for: BTreeMap<Uuid, Uuid> = BTreeMap::new();
    let mut carried: BTreeMap<Uuid, (usize, usize, By)> = BTreeMap::new();
    for pair in pairs {
        let (from, to) = (old[pair.old].network, new[pair.new].network);
        // Two networks on one bridge would be one.
        if let std::collections::btree_map::Entry::Vacant(free) = stands_for.entry(to)
            && !carried.contains_key(&from)
        {
            free.insert(from);
            carried.insert(from, (pair.old, pair.new, pair.by));
        }
    }
    let bridges_here: BTreeSet<&str> =
        own.records("network").map(|n| text(n, "bridge")).filter(|b| !b.is_empty()).collect();
    let mut taken: BTreeSet<String> =
        view.records("network").map(|n| text(n, "bridge").to_owned()).collect();
    taken.extend(bridges_here.iter().map(|b| (*b).to_owned()));
    let mut records: Vec<_> = view.records("network").collect();
    records.sort_by_key(|n| (text(n, "name_label").to_owned(), n.uuid()));
    for record in records {
        let (label, id, bridge) =
            (text(record, "name_label"), record.uuid(), text(record, "bridge"));
        let what = format!("network '{label}' ({id})");
        if let Some((from, to, by)) = carried.get(&id) {
            let (from, to) = (&old[*from].card, &new[*to].card);
            lines.push(format!("{what}: card {from} -> {to}, {by}; bridge {}", to.bridge));
            if bridge != to.bridge {
                change.set(object(record), "bridge", to.bridge.as_str());
            }
            continue;
        }
        let mut shown = bridge.to_owned();
        if bridges_here.contains(bridge) {
            // It would be connected to something else here.
            shown = free_bridge(&mut taken);
            change.set(object(record), "bridge", shown.as_str());
        }
        let had_card = view.referrers("PIF", "network", id).next().is_some();
        lines.push(if had_card {
            format!(
                "{what}: NO card of this machine; interfaces in it lead nowhere until a card is in bridge {shown}, or give \
                 nic-map:OLD=NEW"
            )
        } else {
            format!("{what}: internal; bridge {shown}")
        });
    }
    for port in new.iter().filter(|p| !stands_for.contains_key(&p.network)) {
        lines.push(format!(
            "card {} of this machine (bridge {}) takes nothing's place: its network is added",
            port.card, port.card.bridge
        ));
    }
    Ok(stands_for)
}

fn free_bridge(taken: &mut BTreeSet<String>) -> String {
    let name = (0..).map(|n| format!("xapi{n}")).find(|name| !taken.contains(name));
    let name = name.expect("numbers don't end");
    taken.insert(name.clone());
    name
}

/// Connections of this host to the repositories of the dump.
#[expect(clippy::too_many_arguments, reason = "two views, an order, and what is made of them")]
fn repositories(
    own: &View,
    view: &View,
    source: Uuid,
    host: Uuid,
    order: &Order,
    change: &mut Change,
    places: &mut Vec<Place>,
    lines: &mut Vec<String>,
) -> Result<(), String> {
    let map = place_map::read(view, &order.srs)?;
    let mut srs: Vec<_> = view.records("SR").collect();
    srs.sort_by_key(|sr| (text(sr, "name_label").to_owned(), sr.uuid()));
    for sr in srs {
        let (label, id) = (text(sr, "name_label").to_owned(), sr.uuid());
        let pbds: Vec<&std::sync::Arc<Record>> =
            view.referrers("PBD", "SR", id).filter_map(|pbd| view.record("PBD", pbd)).collect();
        let at = |h: Uuid| pbds.iter().find(|pbd| target(pbd, "host") == Some(h));
        let kept = at(host);
        let like = kept.or_else(|| at(source)).or_else(|| pbds.first());
        let given = map.get(&id);
        if kept.is_none() && given.is_none() && !truth(sr, "shared") {
            let hosts: Vec<String> = pbds
                .iter()
                .filter_map(|pbd| view.record("host", target(pbd, "host")?))
                .map(|h| format!("'{}'", text(h, "name_label")))
                .collect();
            lines.push(format!(
                "repository '{label}' ({id}): NOT here: it was local to host {}; its records stay. If its disks are on this \
                 machine, give their place: sr-map:{id}=KEY=VALUE",
                hosts.join(", ")
            ));
            continue;
        }
        let mut config: BTreeMap<String, String> = like
            .and_then(|pbd| pbd.get_by_name("device_config").and_then(Value::as_map))
            .map(|map| {
                map.pairs()
                    .iter()
                    .filter_map(|(k, v)| Some((k.as_str()?.to_owned(), v.as_str()?.to_owned())))
                    .collect()
            })
            .unwrap_or_default();
        config.extend(given.into_iter().flatten().cloned());
        let device_config = Value::str_map(config.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let connection = match kept {
            Some(pbd) => {
                change.set(object(pbd), "device_config", device_config.clone());
                change.set(object(pbd), "currently_attached", false);
                let mut pbd = Record::clone(pbd);
                pbd.set_by_name("device_config", device_config);
                pbd
            }
            None => {
                let pbd = new_record(
                    "PBD",
                    random_uuid(),
                    [
                        ("host", reference(host)),
                        ("SR", reference(id)),
                        ("device_config", device_config),
                        ("currently_attached", false.into()),
                    ],
                );
                change.create(pbd.clone());
                pbd
            }
        };
        let attached = own
            .referrers("PBD", "SR", id)
            .any(|pbd| own.record("PBD", pbd).is_some_and(|pbd| truth(pbd, "currently_attached")));
        places.push(Place { spec: spec::spec_of(sr, &connection), label, attached });
    }
    for sr in own.records("SR").filter(|sr| view.record("SR", sr.uuid()).is_none()) {
        lines.push(format!(
            "repository '{}' ({}): this host's own, added",
            text(sr, "name_label"),
            sr.uuid()
        ));
    }
    Ok(())
}

/// The pool's key, certificate authority, accounts and secrets: the lost ones if they could be opened, else this host's.
fn secrets(
    daemon: &Daemon,
    own: &View,
    lost: &Lost,
    entries: &mut BTreeMap<Key, Bytes>,
    lines: &mut Vec<String>,
) {
    if lost.keys.is_some() {
        lines.push(
            "secrets: opened with the pool key; certificate authority, accounts and passwords are those of the lost pool"
                .to_owned(),
        );
        return;
    }
    let secret = Table::record("secret");
    let gone: Vec<Key> = entries
        .keys()
        .filter(|k| matches!(k.table, Table::Secret | Table::Account) || Some(k.table) == secret)
        .cloned()
        .collect();
    for key in gone {
        entries.remove(&key);
    }
    let sealed = lost.dump.sealed.iter().map(|(key, _)| key.table);
    let accounts = sealed.clone().filter(|table| *table == Table::Account).count();
    let secrets = sealed.filter(|table| Some(*table) == secret).count();
    for item in own.table(Table::Account) {
        entries.insert(item.key.clone(), item.value());
    }
    let ca_key = Key::new(Table::Secret, CA_KEY);
    if let Some(item) = own.get(&ca_key) {
        entries.insert(ca_key, item.value());
    }
    let meta = entries.get(&meta_key()).and_then(|b| decode::<PoolMeta>(b).ok());
    let ca_pem = start::pool_ca(own, daemon.pool_key()).map(|ca| ca.cert_pem).unwrap_or_default();
    if let Some(meta) = meta {
        entries.insert(meta_key(), encode(&PoolMeta { ca_pem, ..meta }));
    }
    lines.push(format!(
        "secrets: NOT opened, without the lost pool's key: {accounts} accounts and {secrets} secrets of the dump are lost, and \
         passwords of storage and power devices. This host keeps its certificate authority and its root password. With the \
         key they come back: pool-key-file=..."
    ));
}
