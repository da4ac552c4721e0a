//! What a look leaves behind in the pool: alerts, each told once until its cause is gone; this host's own health for the
//! other hosts; in safe mode, the host taken out of service.
//!
//! Without quorum nothing is written; the next look with one does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use planner::diagnosis::{Finding, Rule, Scope, Weight};
use pooldb::{Key, Table, Txn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Timestamp, Value};

use super::{Seen, gather::health_key};
use crate::app::{map_text, object, truth};
use crate::edits::{self, Change, Edit};
use crate::first_start::new_record;
use crate::records::{decode, encode};
use crate::{Daemon, View, random_uuid};

/// Key of a host's `other_config` while it is out of service because its daemon runs in safe mode; the value says why.
pub(crate) const SAFE_MODE: &str = "holdfast:safe_mode";
/// Looks in a row in which a cause must be seen, or be gone, before that counts.
const STEADY: u32 = 2;
/// Most alerts of one host that stand at a time.
const MOST: usize = 32;

/// A host's own word about its health, as the others read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OwnHealth {
    /// Rules that fail.
    failures: Vec<String>,
    /// Since when, seconds since the epoch.
    since: i64,
}

/// What has been told by this run of the daemon.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Alerts by their key: looks in a row with and without their cause.
    standing: BTreeMap<String, (u32, u32)>,
    health: Option<(Vec<String>, u32)>,
}

/// What a host said of its own health last; `None` if it never did.
pub(super) fn own_health(view: &View, host: Uuid) -> Option<Vec<String>> {
    let health: OwnHealth = decode(view.get(&health_key(host))?.raw()?).ok()?;
    Some(health.failures)
}

/// The alert that a finding is told by, if any.
fn alert(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::SafeMode => "HOLDFAST_SAFE_MODE",
        Rule::WorkerStalled => "HOLDFAST_WORKER_STALLED",
        Rule::ProbeFailed => "HOLDFAST_DEVICE_PROBE_FAILED",
        Rule::SpaceLow | Rule::StateUnwritable => "HOLDFAST_LOW_SPACE",
        Rule::NetworkDiffers => "HOLDFAST_CONFIGURATION_DIFFERS",
        _ => return None,
    })
}

/// Writes what a look found, as far as it is new.
pub(super) async fn tell(daemon: &Arc<Daemon>, seen: &Seen, told: &mut Told) {
    if daemon.is_without_quorum() {
        return;
    }
    let view = daemon.store().view();
    if view.record("host", daemon.host()).is_none() {
        return;
    }
    alerts(daemon, &view, seen, told).await;
    health(daemon, &view, seen, told).await;
    service(daemon, &view).await;
}

fn alert_key(daemon: &Daemon, id: &str) -> Key {
    Key::new(Table::Alert, format!("{}/{id}", daemon.host()))
}

/// What an alert is about, short enough for a key.
fn id(finding: &Finding) -> String {
    let text: String = finding.what.chars().filter(|c| !c.is_ascii_digit()).take(120).collect();
    format!("{}/{text}", finding.rule.word())
}

async fn alerts(daemon: &Arc<Daemon>, view: &View, seen: &Seen, told: &mut Told) {
    let own = |f: &&Finding| f.scope == Scope::ThisHost && alert(f.rule).is_some();
    let present: BTreeMap<String, &Finding> =
        seen.findings.iter().filter(own).take(MOST).map(|f| (id(f), f)).collect();
    let prefix = format!("{}/", daemon.host());
    // Also those of a former run.
    for item in view.table(Table::Alert) {
        if let Some(id) = item.key.id.strip_prefix(&prefix) {
            told.standing.entry(id.to_owned()).or_default();
        }
    }
    for id in present.keys() {
        told.standing.entry(id.clone()).or_default();
    }
    let mut gone = Vec::new();
    for (id, (with, without)) in &mut told.standing {
        let key = alert_key(daemon, id);
        let stands = view.get(&key).is_some();
        if let Some(finding) = present.get(id) {
            (*with, *without) = (*with + 1, 0);
            // What is certain at once is told at once.
            let certain =
                matches!(finding.rule, Rule::SafeMode | Rule::WorkerStalled | Rule::ProbeFailed);
            if !stands && (certain || *with >= STEADY) {
                raise(daemon, key, finding).await;
            }
            continue;
        }
        (*with, *without) = (0, *without + 1);
        if *without >= STEADY {
            if stands {
                let _ = daemon.commit(Txn::new().delete(key)).await;
            }
            gone.push(id.clone());
        }
    }
    for id in gone {
        told.standing.remove(&id);
    }
}

async fn raise(daemon: &Arc<Daemon>, key: Key, finding: &Finding) {
    let name = alert(finding.rule).expect("only findings with an alert come here");
    let priority = datamodel::alert(name).map_or(3, |a| i64::from(a.priority));
    let body = format!(
        "{}\nsaid by: {}\nevidence: {}\nsafe now: {}\nnext: {}",
        finding.line(),
        finding.said_by,
        finding.evidence.join("; "),
        finding.safe,
        finding.next
    );
    let mut change = Change::new();
    change.create(new_record(
        "message",
        random_uuid(),
        [
            ("name", name.into()),
            ("priority", priority.into()),
            ("cls", Value::word("Host")),
            ("obj_uuid", daemon.host().to_string().into()),
            ("timestamp", Timestamp(daemon.now()).into()),
            ("body", body.into()),
        ],
    ));
    change.guard(pooldb::Guard::Absent(key.clone()));
    change.put(key, encode(&daemon.now()));
    match edits::commit(daemon, &change).await {
        Ok(_) => tracing::warn!(alert = name, what = finding.line(), "alert"),
        Err(error) => tracing::debug!(%error, alert = name, "an alert could not be raised yet"),
    }
}

/// This host's failures, for the others; written when they have changed and stayed so.
async fn health(daemon: &Arc<Daemon>, view: &View, seen: &Seen, told: &mut Told) {
    let failures: Vec<String> = failures(&seen.findings);
    let looks = match &mut told.health {
        Some((known, looks)) if *known == failures => {
            *looks += 1;
            *looks
        }
        other => {
            *other = Some((failures.clone(), 1));
            1
        }
    };
    let known = own_health(view, daemon.host());
    if known.as_ref() == Some(&failures) || looks < STEADY {
        return;
    }
    let health = OwnHealth { failures, since: daemon.now() };
    let exists = Key::record("host", daemon.host());
    let txn = Txn::new().exists(exists).put(health_key(daemon.host()), encode(&health));
    if let Err(error) = daemon.commit(txn).await {
        tracing::debug!(%error, "this host's health could not be told yet");
    }
}

/// Words of the rules that fail on this host.
fn failures(findings: &[Finding]) -> Vec<String> {
    let mut words: Vec<String> = findings
        .iter()
        .filter(|f| f.scope == Scope::ThisHost && f.weight == Weight::Failure)
        .map(|f| f.rule.word().to_owned())
        .collect();
    words.sort();
    words.dedup();
    words
}

/// A host in safe mode runs no operations: it is taken out of service so that nobody places anything on it, and put back
/// by the first start that succeeds.
async fn service(daemon: &Arc<Daemon>, view: &View) {
    let Some(host) = view.record("host", daemon.host()) else { return };
    let marked = map_text(host, "other_config", SAFE_MODE).is_some();
    let field = edits::field_of("host", "other_config");
    let mut change = Change::new();
    match daemon.safe_mode() {
        Some(mode) if truth(host, "enabled") && !marked => {
            change.set(object(host), "enabled", false);
            let why = format!("{}: {}", mode.part, mode.why);
            change.edit(object(host), Edit::Insert(field, Value::word(SAFE_MODE), why.into()));
        }
        None if marked => {
            change.set(object(host), "enabled", true);
            change.edit(object(host), Edit::Remove(field, Value::word(SAFE_MODE)));
        }
        _ => return,
    }
    if let Err(error) = edits::commit(daemon, &change).await {
        tracing::debug!(%error, "the host's service could not be changed yet");
    }
}
