//! Facts for readiness, from the pool's records; judged by [`planner::readiness`] (S1-38).
//!
//! Backups are known by what their makers leave in records: `other_config` of the pool ([`datamodel::keys`]), of hosts and
//! VMs (keys below). A key that is not there means that nobody made one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamodel::keys;
use planner::diagnosis::Facts as Seen;
use planner::readiness::{DumpFacts, Facts, GuestFacts, HostFacts};
use uuid::Uuid;
use xenapi::{Error, Record, Value};

use super::{gather, label, words};
use crate::api::errors;
use crate::app::vm::spec;
use crate::app::{map_text, target, text, truth};
use crate::reconcilers::dumps;
use crate::{Daemon, View};

/// Host: when its configuration was saved, seconds since the epoch.
const HOST_BACKUP: &str = "holdfast:backup_newest";
/// VM: when its disks were saved outside their repository, seconds since the epoch.
const VM_BACKUP: &str = "holdfast:backup_newest";

/// `pool.holdfast_readiness`.
///
/// # Errors
/// If the pool has no record here.
pub async fn readiness(daemon: &Arc<Daemon>) -> Result<Value, Error> {
    let seen = gather::gather(daemon, gather::Depth::Full).await;
    let view = daemon.store().view();
    let pool = view.records("pool").next();
    let pool = pool.ok_or_else(|| errors::internal("the pool has no record"))?;
    let facts = facts(daemon, &view, pool, &seen);
    Ok(words::readiness(&facts, &planner::readiness::readiness(&facts)).to_string().into())
}

fn facts(daemon: &Arc<Daemon>, view: &View, pool: &Record, seen: &Seen) -> Facts {
    let now = daemon.now();
    let hosts = spec::hosts(view, daemon.reserved_memory());
    let on_storage: BTreeMap<Uuid, usize> =
        hosts.iter().filter(|h| h.live).fold(BTreeMap::new(), |mut counts, host| {
            for sr in &host.srs {
                *counts.entry(*sr).or_default() += 1;
            }
            counts
        });
    let vms = || {
        view.records("VM").filter(|vm| {
            !truth(vm, "is_a_template")
                && !truth(vm, "is_a_snapshot")
                && !truth(vm, "is_control_domain")
        })
    };
    let guests = vms()
        .filter(|vm| matches!(text(vm, "power_state"), "Running" | "Paused"))
        .filter_map(|vm| {
            let on = target(vm, "resident_on")?;
            let needs = spec::needs(view, vm);
            Some(GuestFacts {
                vm: label(view, "VM", vm.uuid()),
                on: label(view, "host", on),
                memory_bytes: needs.memory,
                is_agile: needs.srs.iter().all(|sr| on_storage.get(sr).is_some_and(|n| *n > 1)),
            })
        })
        .collect();
    let without_backup = vms()
        .filter(|vm| !spec::needs(view, vm).srs.is_empty() && age(vm, VM_BACKUP, now).is_none())
        .map(|vm| label(view, "VM", vm.uuid()))
        .collect();
    // One voter of a pool of one, in its own file.
    let embedded = seen.database.embedded;
    let voters = if embedded { 1 } else { seen.database.voters.len() };
    let answering = if embedded {
        1
    } else {
        seen.database.voters.iter().filter(|v| v.answer.is_yes()).count()
    };
    Facts {
        pool: label(view, "pool", pool.uuid()),
        hosts: hosts
            .iter()
            .map(|host| HostFacts {
                host: label(view, "host", host.host),
                usable: host.live && host.enabled,
                free_bytes: host.memory_free,
                has_power_control: view
                    .record("host", host.host)
                    .is_some_and(|h| !text(h, "power_on_mode").is_empty()),
                backup_ago: view.record("host", host.host).and_then(|h| age(h, HOST_BACKUP, now)),
            })
            .collect(),
        voters,
        voters_answering: answering,
        guests,
        dumps: dump_facts(view, pool, now),
        without_backup,
        // `reconcilers::vm_documents` keeps them there on every repository that is plugged.
        definitions_on_storage: true,
    }
}

fn dump_facts(view: &View, pool: &Record, now: i64) -> DumpFacts {
    let interval = dumps::interval_s(pool).and_then(|s| u64::try_from(s).ok());
    DumpFacts {
        targets: dumps::targets(pool).len(),
        newest_ago: age(pool, keys::DUMP_NEWEST.name, now),
        // One that is being made is not late yet.
        allowed_age: interval.map(|s| Duration::from_secs(s.saturating_mul(2))),
        failing: dumps::failing(view),
        key_is_kept: map_text(pool, "other_config", keys::POOL_KEY_KEPT.name).is_some(),
    }
}

/// How long ago a key of `other_config` says something was.
fn age(record: &Record, key: &str, now: i64) -> Option<Duration> {
    let at: i64 = map_text(record, "other_config", key)?.trim().parse().ok()?;
    Some(Duration::from_secs(u64::try_from(now - at).unwrap_or(0)))
}
