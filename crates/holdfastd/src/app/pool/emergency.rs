//! What a person does when the pool is lost: `pool.emergency_transition_to_master`, `pool.recover_slaves`,
//! `pool.emergency_reset_master`, and what hosts say about it. All bounded, all without the database.
//!
//! Decides nothing: the rule is `liveness::lineage::may_recover`, the doing `crate::lineage`. Every refusal names the hosts
//! it is about and the next command.

use std::sync::Arc;
use std::time::Duration;

use client::{Client, Options, Target, Trust};
use liveness::lineage::{RecoveryFacts, RecoveryRefusal, may_recover};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Timestamp, Value};

use super::super::{bool_param, text, text_param};
use crate::api::{Authorized, errors};
use crate::identity::Home;
use crate::lineage::recover::{self, Plan, RecoverError};
use crate::lineage::{
    Known, claims, coordinator_label, divergence, emergency, others, statement, votes,
};
use crate::reconcilers::coordinator;
use crate::{Daemon, View, pki, random_uuid};

/// How long members that talk are waited for until they follow.
const FOLLOW_LIMIT: Duration = Duration::from_secs(15);
/// Longest wait for an address that a person named.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// How long following is waited for by `pool.emergency_reset_master`.
const RESET_LIMIT: Duration = Duration::from_secs(20);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Time for the answer to leave before this process ends.
const ANSWER_TIME: Duration = Duration::from_millis(300);

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    /// The person's statement: the hosts that are off.
    pub(crate) confirm: String,
    /// Goes on although data may be lost that are known to exist.
    pub(crate) force: bool,
    /// Only says what would be done.
    pub(crate) dry_run: bool,
    /// Who asks.
    pub(crate) by: String,
}

/// What was found and done.
#[derive(Debug, Serialize)]
struct Report {
    found: Vec<String>,
    outcome: &'static str,
    text: String,
    pool_epoch: u64,
}

/// `pool.holdfast_emergency_transition(confirm, force, dry_run)`: the transition with its statement; a report as JSON.
pub(super) async fn ordered(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let order = Order {
        confirm: text_param(call, 0).to_owned(),
        force: bool_param(call, 1),
        dry_run: bool_param(call, 2),
        by: call.caller().user.clone(),
    };
    transition(daemon, &order).await.map(Value::from)
}

fn json(report: &impl Serialize) -> String {
    serde_json::to_string(report).expect("reports are plain JSON")
}

/// What this host knows, in lines for people.
fn findings(daemon: &Daemon, view: &View, known: &[Known]) -> Vec<String> {
    let config = daemon.config();
    let identity = daemon.identity();
    let replica = daemon.store().replica();
    let contact = replica.age().map_or_else(
        || "not since this daemon started".to_owned(),
        |age| {
            let at = daemon.now() - i64::try_from(age.as_secs()).unwrap_or(0);
            format!("{} ({} s ago)", Timestamp(at), age.as_secs())
        },
    );
    let mut lines = vec![format!(
        "this host: '{}' ({}), {}; pool epoch {}, revision {}; last contact with a majority: {contact}",
        config.host.name,
        identity.host,
        if votes(daemon, view) { "a voter" } else { "no voter" },
        identity.epoch,
        replica.revision(),
    )];
    for host in known {
        let role = if host.votes { "a voter" } else { "no voter" };
        let revision = host.revision.map(|r| format!(", had revision {r}")).unwrap_or_default();
        lines.push(match host.heard {
            Some(heard) => format!(
                "{}, {role}: answers; pool epoch {}, {} quorum{revision}",
                host.label(),
                heard.epoch,
                if heard.quorum { "with" } else { "without" },
            ),
            None => format!("{}, {role}{revision}", emergency::silence(host)),
        });
    }
    lines.push(missing(daemon, known, &contact));
    lines
}

/// What the new lineage may lack.
fn missing(daemon: &Daemon, known: &[Known], contact: &str) -> String {
    let own = daemon.store().replica().revision().0;
    let ahead: Vec<String> = known
        .iter()
        .filter_map(|host| Some((host, host.revision.filter(|r| *r > own)?)))
        .map(|(host, revision)| {
            format!("revisions {} to {revision} that {} had", own + 1, host.label())
        })
        .collect();
    if ahead.is_empty() {
        format!(
            "may be missing: nothing that is known; what a majority without this host committed after its last contact ({contact}) can't be known here, and is listed when such a host returns"
        )
    } else {
        format!(
            "may be missing: {}; what is really lost is listed when such a host returns",
            ahead.join("; ")
        )
    }
}

/// Makes this survivor found a new lineage, or says why not.
///
/// # Errors
/// `OPERATION_NOT_ALLOWED` with what was found, the reason and the next command.
pub(crate) async fn transition(daemon: &Arc<Daemon>, order: &Order) -> Result<String, Error> {
    let view = daemon.store().view();
    let known = others(daemon, &view);
    let found = findings(daemon, &view, &known);
    let identity = daemon.identity();
    let refuse =
        |reason: String| errors::not_allowed(format!("{reason}\nFound:\n  {}", found.join("\n  ")));
    let report = |outcome, text: String| {
        json(&Report { found: found.clone(), outcome, text, pool_epoch: identity.epoch })
    };
    if daemon.backend().etcd().is_none() {
        let text = "this host is a pool of one and its own coordinator";
        return if order.force {
            Ok(report("nothing", text.to_owned()))
        } else {
            Err(refuse(text.to_owned()))
        };
    }
    let label = |host: &Uuid| {
        known.iter().find(|k| k.host == *host).map_or_else(|| host.to_string(), Known::label)
    };
    let labels = |hosts: &[Uuid]| hosts.iter().map(label).collect::<Vec<_>>().join(", ");
    if daemon.is_coordinator() && !daemon.is_without_quorum() {
        let text = format!(
            "this host coordinates the pool (term {}) and has quorum: there is nothing to recover",
            coordinator::term(&view)
        );
        return if order.force { Ok(report("nothing", text)) } else { Err(refuse(text)) };
    }
    if let Some(superseded) = daemon.gate.superseded() {
        return Err(refuse(superseded.text(daemon, &view)));
    }
    let stated_off = statement::stated(&order.confirm, &names(&known))?;
    if let Some(plan) = recover::pending(daemon) {
        // It goes on by itself; a host that has fallen silent since can be stated to be off.
        let mut added = plan.clone();
        added.stated_off.extend(&stated_off);
        if !order.dry_run && added != plan {
            recover::begin(daemon, &added).map_err(|e| errors::internal(format!("{e:#}")))?;
        }
        return Ok(report(
            "under_way",
            format!("a recovery to pool epoch {} has begun and goes on by itself", plan.epoch),
        ));
    }
    let pair = |k: &Known| (k.host, k.heard.map(|heard| (heard, k.revision.unwrap_or(0))));
    let facts = RecoveryFacts {
        epoch: identity.epoch,
        revision: daemon.store().replica().revision().0,
        quorum: !daemon.is_without_quorum(),
        votes: votes(daemon, &view),
        voters: known.iter().filter(|k| k.votes).map(pair).collect(),
        others: known
            .iter()
            .filter(|k| !k.votes)
            .filter_map(|k| Some((k.host, k.heard?, k.revision.unwrap_or(0))))
            .collect(),
        stated_off: stated_off.clone(),
        forced: order.force,
    };
    let silent: Vec<Uuid> =
        known.iter().filter(|k| k.votes && k.heard.is_none()).map(|k| k.host).collect();
    match may_recover(&facts) {
        Ok(()) => {}
        // The voters that answer only wait for a person's word about the rest: nothing new has to be founded.
        Err(RecoveryRefusal::MajorityAnswers(_))
            if daemon.gate.waiting().is_some() && silent.iter().all(|h| stated_off.contains(h)) =>
        {
            let text = format!(
                "enough voters answer: the pool's database goes on as it is, without {}",
                labels(&silent)
            );
            if !order.dry_run {
                tracing::warn!(by = order.by, off = ?stated_off, "a person states that this lineage goes on");
                daemon.gate.release(&identity);
            }
            return Ok(report(if order.dry_run { "would_go_on" } else { "goes_on" }, text));
        }
        Err(refusal) => {
            let reason = match refusal {
                RecoveryRefusal::HasQuorum => {
                    let who = coordinator_label(daemon, &view)
                        .unwrap_or_else(|| "none yet, within seconds".to_owned());
                    format!(
                        "the pool has quorum, so nothing has to be recovered; its coordinator: {who}"
                    )
                }
                RecoveryRefusal::MajorityAnswers(hosts) if daemon.gate.waiting().is_some() => {
                    format!(
                        "enough voters answer ({}) and only wait to hear that the others are off. If they are, say so: \
                     xe pool-emergency-transition-to-master confirm=\"{} are off\"",
                        labels(&hosts),
                        phrase(&known, &silent)
                    )
                }
                RecoveryRefusal::MajorityAnswers(hosts) => format!(
                    "enough voters answer to form a majority with this host: {}. See why their database processes don't: \
                     journalctl -u holdfast-etcd. With --force a new database is founded all the same",
                    labels(&hosts)
                ),
                RecoveryRefusal::Superseded { by, epoch } => format!(
                    "the pool was recovered already: host {} has pool epoch {epoch}; this host follows it by itself",
                    label(&by)
                ),
                RecoveryRefusal::NewerElsewhere { host, revision } => format!(
                    "host {} answers and has newer data (revision {revision}): run the command there. With --force this host's data are taken",
                    label(&host)
                ),
                RecoveryRefusal::Answers(hosts) => {
                    format!("stated to be off, but answering: {}", labels(&hosts))
                }
                RecoveryRefusal::NotStated(hosts) => format!(
                    "a new database may be founded only if every voter that does not answer is really off, since those could \
                     go on with the old one; look at {} yourself. If they are off, say so: \
                     xe pool-emergency-transition-to-master confirm=\"{} are off\"",
                    labels(&hosts),
                    phrase(&known, &hosts)
                ),
            };
            return Err(refuse(reason));
        }
    }
    let claimed = claims::highest(daemon, &view).await;
    if let Some(claim) = claimed.as_ref().filter(|claim| claim.epoch > identity.epoch) {
        return Err(refuse(format!(
            "a shared repository says that host '{}' ({}, {}) recovered the pool at {} (pool epoch {}): make this host follow it: \
             xe pool-emergency-reset-master master-address={}",
            claim.name,
            claim.host,
            claim.address,
            Timestamp(claim.at),
            claim.epoch,
            claim.address
        )));
    }
    let epoch = identity.epoch + 1;
    if order.dry_run {
        let text = format!(
            "this host would found a new database with its data (pool epoch {epoch}) and coordinate the pool"
        );
        return Ok(report("would_found", text));
    }
    let plan = Plan {
        attempt: random_uuid(),
        from_epoch: identity.epoch,
        from_cluster: cluster(&identity.home).or_else(|| view.identity().map(|i| i.cluster_id)),
        epoch,
        at: daemon.now(),
        by: order.by.clone(),
        stated_off,
        answering: known.iter().filter(|k| k.heard.is_some()).map(|k| k.host).collect(),
        found: found.clone(),
        forced: order.force,
    };
    recover::begin(daemon, &plan).map_err(|e| errors::internal(format!("{e:#}")))?;
    // A task of its own: whoever asked may give up waiting, but the plan may not be left in the middle.
    let carrier = daemon.clone();
    let carried = tokio::spawn(async move {
        let done = recover::carry_out(&carrier, &plan).await;
        if matches!(done, Err(RecoverError::NotYet(_))) {
            restart_soon(&carrier);
        }
        done
    });
    match carried.await {
        Ok(Ok(())) => {}
        Ok(Err(RecoverError::GivenUp(why))) => return Err(refuse(why)),
        Ok(Err(error)) => {
            return Err(errors::internal(format!(
                "{error}; see xe host-is-in-emergency-mode on this host"
            )));
        }
        Err(error) => return Err(errors::internal(error.to_string())),
    }
    Ok(json(&Report {
        found,
        outcome: "founded",
        text: format!(
            "this host has founded a new database (pool epoch {epoch}) and coordinates the pool; members that are on follow by themselves"
        ),
        pool_epoch: epoch,
    }))
}

/// The next start of this daemon goes on with the way to the new lineage, whatever stands in this one's.
fn restart_soon(daemon: &Arc<Daemon>) {
    let daemon = daemon.clone();
    tokio::spawn(async move {
        tokio::time::sleep(ANSWER_TIME).await;
        daemon.stop();
    });
}

fn cluster(home: &Home) -> Option<u64> {
    match home {
        Home::Etcd { cluster_id, .. } => *cluster_id,
        Home::Embedded | Home::Joining => None,
    }
}

fn names(known: &[Known]) -> Vec<(Uuid, String)> {
    known.iter().map(|k| (k.host, k.name.clone())).collect()
}

fn phrase(known: &[Known], hosts: &[Uuid]) -> String {
    statement::phrase(&names(known), hosts.iter().copied())
}

/// `pool.recover_slaves`: members follow by themselves; this waits, bounded, until those that talk do, and names them.
pub(super) async fn recover_members(daemon: &Arc<Daemon>) -> Result<Value, Error> {
    let view = daemon.store().view();
    if let Some(superseded) = daemon.gate.superseded() {
        return Err(errors::not_allowed(format!(
            "{}. Run xe pool-recover-slaves there",
            superseded.text(daemon, &view)
        )));
    }
    if daemon.is_without_quorum() {
        return Err(errors::no_quorum());
    }
    let deadline = Instant::now() + FOLLOW_LIMIT;
    let epoch = daemon.identity().epoch;
    loop {
        let view = daemon.store().view();
        let known = others(daemon, &view);
        let (following, not_yet): (Vec<&Known>, Vec<&Known>) = known
            .iter()
            .filter(|k| k.heard.is_some())
            .partition(|k| k.heard.is_some_and(|h| h.epoch == epoch && h.quorum));
        if not_yet.is_empty() || Instant::now() >= deadline {
            let refs = following.iter().map(|k| Value::Ref(OpaqueRef::new(k.host))).collect();
            return Ok(Value::Set(refs));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What another host says of itself, as [`describe`] gives it.
#[derive(Debug, Deserialize)]
struct Described {
    pool: Uuid,
    name: String,
    in_emergency: bool,
    pool_epoch: u64,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    coordinator: Option<String>,
    #[serde(default)]
    endpoints: Vec<String>,
    host: Uuid,
}

/// `pool.emergency_reset_master`: this host follows the named one, or says why not.
pub(super) async fn reset(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let address = text_param(call, 0).to_owned();
    let identity = daemon.identity();
    if daemon.backend().etcd().is_none() {
        return Err(errors::not_allowed(
            "this host is a pool of one: to become a member of another pool use xe pool-join",
        ));
    }
    let there = tokio::time::timeout(ASK_LIMIT, ask(daemon, &address)).await.map_err(|_| {
        errors::not_allowed(format!(
            "host {address} does not answer within {} s",
            ASK_LIMIT.as_secs()
        ))
    })??;
    if there.host == identity.host {
        return Err(errors::not_allowed(format!("{address} is this host itself")));
    }
    if there.pool != identity.pool {
        return Err(errors::not_allowed(format!(
            "host '{}' at {address} is of another pool ({}): this host stays in its own ({})",
            there.name, there.pool, identity.pool
        )));
    }
    if there.pool_epoch < identity.epoch {
        return Err(errors::not_allowed(format!(
            "host '{}' at {address} is stale: its pool epoch is {}, this host's is {}. It follows by itself",
            there.name, there.pool_epoch, identity.epoch
        )));
    }
    if there.in_emergency {
        return Err(errors::not_allowed(format!(
            "host '{}' at {address} has lost the pool itself: {}",
            there.name, there.reason
        )));
    }
    if there.pool_epoch == identity.epoch {
        if daemon.is_without_quorum() {
            return Err(errors::not_allowed(format!(
                "this host follows that pool already (pool epoch {}) and is cut off from its database: {}",
                identity.epoch,
                daemon.emergency().map(|e| e.reason).unwrap_or_default()
            )));
        }
        // It follows whoever coordinates; there is nothing to point elsewhere.
        tracing::info!(coordinator = ?there.coordinator, "this host follows that pool already");
        return Ok(Value::Void);
    }
    daemon.gate.name(there.endpoints.clone());
    daemon.gate.supersede(daemon, there.pool_epoch, Some(there.host), "a person");
    // Following ends this process; until then the caller is told whether it can.
    let deadline = Instant::now() + RESET_LIMIT;
    loop {
        if daemon.identity().epoch >= there.pool_epoch {
            return Ok(Value::Void);
        }
        if Instant::now() >= deadline {
            let why = daemon.gate.superseded().and_then(|s| s.hindered);
            return Err(errors::not_allowed(format!(
                "this host goes on trying to follow host '{}' at {address}: {}",
                there.name,
                why.unwrap_or_else(|| "not yet".to_owned())
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn ask(daemon: &Daemon, address: &str) -> Result<Described, Error> {
    let refused =
        |why: String| errors::not_allowed(format!("host {address} can't be asked: {why}"));
    let target = Target::parse(address).ok_or_else(|| refused("that is no address".to_owned()))?;
    let dir = daemon.config().tls_dir();
    let read = |name: &str| std::fs::read(dir.join(name)).map_err(|e| refused(e.to_string()));
    let trust = Trust::ca_pem(&read(pki::CA_FILE)?, false).map_err(refused)?;
    let mut options = Options::new(trust).with_deadline(ASK_LIMIT);
    let certificate = client::Identity::from_pem(&read(pki::CERT_FILE)?, &read(pki::KEY_FILE)?);
    options.identity = Some(certificate.map_err(refused)?);
    let client = Client::connect(target, options).await.map_err(|e| {
        refused(format!(
            "{e} (a host of another pool is not believed; to join one use xe pool-join)"
        ))
    })?;
    let answer = client
        .call("host.holdfast_emergency", &["".into()])
        .await
        .map_err(|e| refused(e.to_string()))?;
    serde_json::from_str(answer.as_str().unwrap_or_default()).map_err(|e| refused(e.to_string()))
}

/// What is true of this host and its pool without asking anybody, as JSON.
pub(crate) fn describe(daemon: &Daemon) -> String {
    let view = daemon.store().view();
    let identity = daemon.identity();
    let emergency = daemon.emergency();
    let replica = daemon.store().replica();
    let hosts: Vec<serde_json::Value> = others(daemon, &view)
        .iter()
        .map(|k| {
            serde_json::json!({
                "uuid": k.host, "name": k.name, "address": k.address, "votes": k.votes,
                "heard": k.heard.is_some(),
                "pool_epoch": k.heard.map(|h| h.epoch),
                "quorum": k.heard.map(|h| h.quorum),
                "last_heard": k.heard_at.map(|at| Timestamp(at).to_string()),
                "announced_shutdown": k.announced,
                "revision": k.revision,
            })
        })
        .collect();
    let endpoints = match &identity.home {
        Home::Etcd { endpoints, .. } => endpoints.clone(),
        Home::Embedded | Home::Joining => Vec::new(),
    };
    let age = replica.age().map(|age| (age.as_secs_f64() * 1000.0).round() / 1000.0);
    let next = emergency.as_ref().map(|_| {
        "if the silent hosts are off for good: xe pool-emergency-transition-to-master --dry-run; else bring them back"
    });
    serde_json::json!({
        "host": identity.host,
        "name": daemon.config().host.name,
        "pool": identity.pool,
        "in_emergency": emergency.is_some(),
        "cause": emergency.as_ref().map(|e| e.cause),
        "reason": emergency.as_ref().map(|e| e.reason.clone()).unwrap_or_default(),
        "since": emergency.as_ref().map(|e| Timestamp(e.since).to_string()),
        "next": next,
        "pool_epoch": identity.epoch,
        "superseded_by": identity.superseded,
        "term": coordinator::term(&view),
        "cluster": view.identity().map(|i| format!("{:x}", i.cluster_id)),
        "revision": replica.revision().0,
        "replica_age_s": age,
        "coordinator": coordinator_label(daemon, &view),
        "votes": votes(daemon, &view),
        "endpoints": endpoints,
        "hosts": hosts,
    })
    .to_string()
}

/// The lineage of the pool's database: recoveries, and what only stale sides had, as JSON.
pub(crate) fn lineage(daemon: &Daemon) -> String {
    let view = daemon.store().view();
    let identity = daemon.identity();
    let name = |host: Uuid| view.record("host", host).map(|h| text(h, "name_label").to_owned());
    let recoveries: Vec<serde_json::Value> = recover::recoveries(&view)
        .iter()
        .map(|r| {
            serde_json::json!({
                "pool_epoch": r.plan.epoch,
                "at": Timestamp(r.plan.at).to_string(),
                "by": r.plan.by,
                "host": r.host,
                "host_name": name(r.host),
                "stated_off": r.plan.stated_off,
                "base_revision": r.base_revision,
                "source": r.source,
                "found": r.plan.found,
            })
        })
        .collect();
    serde_json::json!({
        "pool_epoch": identity.epoch,
        "cluster": view.identity().map(|i| format!("{:x}", i.cluster_id)),
        "term": coordinator::term(&view),
        "coordinator": coordinator_label(daemon, &view),
        "recoveries": recoveries,
        "divergences": divergence::all(&view),
    })
    .to_string()
}
