//! Fences in the pool database: where they stand, what they make void, how one is written.
//!
//! The rules are [`planner::fence`]; this file gathers their facts and commits. A fence is about one *boot* of a host:
//!
//! ```text
//! proof ─> judge (pure) ─> one commit: no lease, the boot still the one it told of, fence absent ─> fence
//!                                                                                                    │
//!        placements, disk locks, sagas of that boot are void ◄── every reader judges by the record ──┘
//!        a commit of that boot itself is refused: each carries the guard that it is not fenced
//! ```
//! Cleaning up what is void is [`crate::reconcilers::fences`]. A host that was forgotten finds its tombstone
//! ([`standing`]) and keeps still until a person decides ([`crate::returning`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use liveness::profile::STANDARD;
use planner::fence::{self, Facts, Lease, Missing, Proof, Settings, Watchdog};
use pooldb::{CommitError, Guard, Key, Table};
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::{Error, Record, Timestamp};

use crate::api::{Caller, errors};
use crate::app::{map_text, text};
use crate::edits::{self, Change};
use crate::first_start::new_record;
use crate::reconcilers::arming::{NOT_ARMED, WATCHDOG};
use crate::records::{
    Fence, FenceProof, Forgotten, HostLease, LockHolder, Member, Placement, decode, encode,
};
use crate::{Daemon, View, ha, power, random_uuid};

/// Key of the pool's `other_config` by which its owner accepts software watchdogs as proof (`true`).
pub const ACCEPT_SOFTWARE_WATCHDOG: &str = "holdfast:accept_software_watchdog";
/// Name of the alert that keeps a person's word.
pub const DECLARED_OFF: &str = "HOLDFAST_HOST_DECLARED_OFF";

/// Where the fence of a boot stands.
pub fn key(host: Uuid, boot: &str) -> Key {
    Key::new(Table::Fence, format!("{host}/{boot}"))
}

/// Where the tombstone of a forgotten host stands.
pub fn forgotten_key(host: Uuid) -> Key {
    Key::new(Table::Tombstone, format!("forgotten/{host}"))
}

/// The fence of that boot.
pub fn fence(view: &View, host: Uuid, boot: &str) -> Option<Fence> {
    decode(view.get(&key(host, boot))?.raw()?).ok()
}

/// Whether that boot is proved to have ended.
pub fn is_fenced(view: &View, host: Uuid, boot: &str) -> bool {
    !boot.is_empty() && view.get(&key(host, boot)).is_some()
}

/// The tombstone of a forgotten host.
pub fn forgotten(view: &View, host: Uuid) -> Option<Forgotten> {
    decode(view.get(&forgotten_key(host))?.raw()?).ok()
}

/// Whether nothing of a placed run can be left: every boot that may have it is fenced.
pub fn is_void(view: &View, placement: &Placement) -> bool {
    let Some(host) = placement.host else { return false };
    is_fenced(view, host, &placement.boot_id)
        && placement
            .migrating_to
            .is_none_or(|other| is_fenced(view, other, &placement.incoming_boot))
}

/// Whether a holder of a disk is gone for sure.
pub fn is_void_holder(view: &View, holder: &LockHolder) -> bool {
    if !is_fenced(view, holder.host, &holder.boot_id) {
        return false;
    }
    // A VM that was moving may have the disk open on the other host.
    let placement = holder.vm.and_then(|vm| crate::app::vm::claim::placement(view, vm));
    placement.is_none_or(|p| p.generation != holder.generation || is_void(view, &p))
}

/// The boot that a host told the pool of last.
pub fn registered_boot(view: &View, host: Uuid) -> Option<String> {
    let item = view.find(Table::HostAgent, &host.to_string())?;
    decode::<Member>(item.raw()?).ok().map(|m| m.boot_id).filter(|b| !b.is_empty())
}

/// A host's lease, while it holds one.
pub fn lease(view: &View, host: Uuid) -> Option<HostLease> {
    decode(view.find(Table::HostLease, &host.to_string())?.raw()?).ok()
}

fn lease_key(host: Uuid) -> Key {
    Key::new(Table::HostLease, host.to_string())
}

/// How this host stands in its pool.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// As it should be.
    Member,
    /// This very boot was fenced, while it runs after all: its guests are stopped, and it starts anew.
    Fenced(Box<Fence>),
    /// It was forgotten: it keeps still until a person lets it rejoin or leave.
    Forgotten(Box<Forgotten>),
}

/// How this host stands, as its replica says.
pub fn standing(daemon: &Daemon, view: &View) -> Standing {
    if let Some(forgotten) = forgotten(view, daemon.host()) {
        return Standing::Forgotten(Box::new(forgotten));
    }
    match fence(view, daemon.host(), daemon.boot_id()) {
        Some(fence) => Standing::Fenced(Box::new(fence)),
        None => Standing::Member,
    }
}

/// What each commit of this host is guarded by: a fenced boot and a forgotten host commit nothing.
pub fn own_guards(daemon: &Daemon) -> [Guard; 2] {
    let host = daemon.host();
    [Guard::Absent(key(host, daemon.boot_id())), Guard::Absent(forgotten_key(host))]
}

/// What a commit of a fenced boot or a forgotten host ends with: nobody decides anew on it, unlike on a lost race.
const KEEPS_STILL: &str = "this host was declared off, or forgotten by its pool";

/// A conflict on [`own_guards`] told from one that another try may avoid.
pub fn own_conflict(daemon: &Daemon, error: CommitError) -> CommitError {
    match &error {
        CommitError::Conflict { key } if own_guards(daemon).iter().any(|g| g.key() == key) => {
            CommitError::Invalid(KEEPS_STILL.to_owned())
        }
        _ => error,
    }
}

/// Whether a commit failed because this host was fenced or forgotten.
pub fn keeps_still(error: &CommitError) -> bool {
    matches!(error, CommitError::Invalid(text) if text == KEEPS_STILL)
}

/// Since when leases are seen gone. Every daemon keeps it for itself: a countdown that a person reads and the pace of
/// proofs, never a proof.
#[derive(Debug, Default)]
pub struct LeaseWatch {
    /// By host: the boot that had registered by then, and since when.
    gone: Mutex<HashMap<Uuid, (Option<String>, Instant)>>,
    /// For how long a lease that is held had not been renewed, and when that was asked.
    unrenewed: Mutex<HashMap<Uuid, (Duration, Instant)>>,
    /// Since when a majority answers without a gap, and when it was asked what it answered last.
    steady: Mutex<Option<(Instant, Instant)>>,
}

/// What was asked about a lease counts for so long.
const ASKED_FOR: Duration = Duration::from_secs(1);

impl LeaseWatch {
    /// Looks at all leases now. A host that has started anew and has no lease yet is waited for from then on: the absence
    /// was its former boot's.
    pub fn look(&self, view: &View) {
        let held: Vec<Uuid> = view.table(Table::HostLease).filter_map(|i| i.key.uuid()).collect();
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|host, _| !held.contains(host));
        for host in view.records("host").map(|h| h.uuid()).filter(|h| !held.contains(h)) {
            let boot = registered_boot(view, host);
            match gone.get(&host) {
                Some((of, _)) if *of == boot => {}
                Some(_) | None => {
                    gone.insert(host, (boot, Instant::now()));
                }
            }
        }
    }

    /// Since when a host's lease is gone, at least.
    pub fn gone_since(&self, host: Uuid) -> Option<Instant> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).get(&host).map(|(_, since)| *since)
    }

    /// The database stood still, or this host was away: what was waited for so far counts no more.
    pub fn start_again(&self) {
        let now = Instant::now();
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.values_mut().for_each(|(_, since)| *since = now);
    }

    /// Asks for how long a lease that is held has not been renewed.
    pub async fn ask(&self, daemon: &Daemon, host: Uuid) {
        let answer = daemon.store().db().lease_unrenewed(&lease_key(host)).await;
        let mut known = self.unrenewed.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(Some((_, age))) => known.insert(host, (age, Instant::now())),
            Ok(None) | Err(_) => known.remove(&host),
        };
    }

    /// For how long a lease that is held has certainly not been renewed, if that was asked just now.
    pub fn unrenewed(&self, host: Uuid) -> Option<Duration> {
        let known = self.unrenewed.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&host).filter(|(_, asked)| asked.elapsed() < ASKED_FOR).map(|(age, _)| *age)
    }

    /// A majority was asked at `began` and has answered at `now`, or not.
    ///
    /// When in between it answered is not known, so everything is taken at its longest: the time without a gap begins with
    /// an answer's arrival, and a gap lasts from one question to the arrival of the next answer.
    pub fn pulse(&self, answered: bool, began: Instant, now: Instant) {
        let mut steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        *steady = match *steady {
            _ if !answered => None,
            Some((since, asked)) if now.duration_since(asked) <= STANDARD.commit_gap => {
                Some((since, began))
            }
            Some(_) | None => Some((now, began)),
        };
    }

    /// For how long a lease's end has counted as evidence that its host stopped (rule 3b of the timing budget): since it
    /// ended, but not before the database has gone on for a whole time to live without a gap. `None`: it does not count.
    pub fn counted(&self, host: Uuid) -> Option<Duration> {
        self.counted_at(host, Instant::now())
    }

    fn counted_at(&self, host: Uuid, now: Instant) -> Option<Duration> {
        let (since, asked) = (*self.steady.lock().unwrap_or_else(PoisonError::into_inner))?;
        if now.duration_since(asked) > STANDARD.commit_gap {
            return None;
        }
        let from = self.gone_since(host)?.max(since + STANDARD.lease_ttl);
        Some(now.saturating_duration_since(from))
    }

    /// For tests: the lease was seen to end at that moment.
    pub fn note_gone(&self, view: &View, host: Uuid, since: Instant) {
        let boot = registered_boot(view, host);
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).insert(host, (boot, since));
    }
}

/// What the pool's owner has settled.
pub fn settings(view: &View) -> Settings {
    let pool = view.records("pool").next();
    let accepted = pool.and_then(|p| map_text(p, "other_config", ACCEPT_SOFTWARE_WATCHDOG));
    let bound = STANDARD.inequality(STANDARD.watchdog).stopped_by();
    Settings {
        software_watchdog_accepted: accepted == Some("true"),
        // The lease's own time has passed already when it is seen gone.
        watchdog_bound: bound.saturating_sub(STANDARD.lease_ttl).max(STANDARD.grace),
        grace: STANDARD.grace,
    }
}

/// The watchdog that was armed on a host, as the host told the pool.
pub fn watchdog(view: &View, host: Uuid) -> Watchdog {
    let member = view
        .find(Table::HostAgent, &host.to_string())
        .and_then(|item| decode::<Member>(item.raw()?).ok());
    member
        .and_then(|m| serde_json::from_value(m.unknown.get(WATCHDOG)?.clone()).ok())
        .unwrap_or(Watchdog::None)
}

/// Why a host that should be armed is not, as it told the pool.
pub fn not_armed(view: &View, host: Uuid) -> Option<String> {
    let member: Member = decode(view.find(Table::HostAgent, &host.to_string())?.raw()?).ok()?;
    Some(member.unknown.get(NOT_ARMED)?.as_str()?.to_owned())
}

/// Judges a proof about that boot with what this host knows now.
///
/// # Errors
/// What is missing.
pub fn judge(
    daemon: &Daemon,
    view: &View,
    host: Uuid,
    boot: &str,
    proof: &Proof,
) -> Result<(), Missing> {
    daemon.leases.look(view);
    let registered = registered_boot(view, host);
    let held = lease(view, host);
    let mut gone = daemon.leases.gone_since(host).map(|since| since.elapsed()).unwrap_or_default();
    let counted = daemon.leases.counted(host);
    if matches!(proof, Proof::LeaseAndWatchdog { .. }) {
        gone = counted.unwrap_or_default();
    }
    let peer = daemon.peers.all().get(&host).copied();
    let unrenewed = daemon.leases.unrenewed(host);
    let facts = Facts {
        quorum: !daemon.is_without_quorum(),
        boot,
        registered_boot: registered.as_deref(),
        lease: held
            .as_ref()
            .map_or(Lease::Gone { since: gone }, |l| Lease::Held { boot: &l.boot_id, unrenewed }),
        silent: peer.map(|p| p.heard.elapsed()),
        silent_from: STANDARD.suspect,
        commits_continuous: counted.is_some(),
    };
    let label = label(view, host);
    fence::judge(proof, &facts, &label, &host.to_string(), &settings(view))
}

/// A host's label; its uuid if it has no record any more.
pub fn label(view: &View, host: Uuid) -> String {
    view.record("host", host)
        .map(|h| text(h, "name_label").to_owned())
        .or_else(|| forgotten(view, host).map(|f| f.name))
        .unwrap_or_else(|| host.to_string())
}

/// The refusal for a person: what is missing, and the next command.
pub fn refusal(view: &View, host: Uuid, missing: &Missing, next: &str) -> Error {
    let label = label(view, host);
    let text = missing.text(&label, &host.to_string());
    match missing {
        Missing::Quorum => errors::no_quorum(),
        Missing::HoldsLease | Missing::Answers(_) => errors::not_allowed(format!(
            "{text}. Shut it down first, or move its VMs away: xe host-evacuate uuid={host}"
        )),
        Missing::Wait(_)
        | Missing::PowerReads(_)
        | Missing::NoWatchdog
        | Missing::SoftwareWatchdog
        | Missing::CommitsStalled
        | Missing::SameBoot
        | Missing::BootUnknown => errors::not_allowed(text),
        Missing::Phrase { expected } => errors::not_allowed(format!(
            "{text}. Make sure by its console or its power supply, then: {next} force=true \
             confirm=\"{expected}\""
        )),
    }
}

/// Fences a boot: judges, and commits the record guarded by what the judgement rests on. A boot that is fenced already
/// is no error.
///
/// # Errors
/// [`refusal`] with `next` as the command; or the commit's failure.
pub async fn write(
    daemon: &Arc<Daemon>,
    host: Uuid,
    boot: &str,
    proof: Proof,
    by: &str,
    next: &str,
) -> Result<(), Error> {
    // The facts must be the pool's, not an old replica's.
    daemon.store().read_linearizable(CURRENT).await.map_err(|e| errors::from_db(&e))?;
    for _ in 0..TRIES {
        let view = daemon.view().await;
        if is_fenced(&view, host, boot) {
            return Ok(());
        }
        let held = lease(&view, host).is_some();
        if held && matches!(proof, Proof::PowerOff { .. }) {
            daemon.leases.ask(daemon, host).await;
        }
        judge(daemon, &view, host, boot, &proof)
            .map_err(|missing| refusal(&view, host, &missing, next))?;
        if held && matches!(proof, Proof::PowerOff { .. }) {
            end_lease(daemon, host).await?;
            continue;
        }
        let change = record(daemon, &view, host, boot, &proof, by);
        match edits::commit(daemon, &change).await {
            Ok(_) => {
                tracing::warn!(
                    %host, label = label(&view, host), boot, by, proof = proof.text(),
                    "this boot of the host is fenced"
                );
                return Ok(());
            }
            Err(CommitError::Conflict { key }) => {
                tracing::info!(%key, "a fence was judged on facts that changed: judging again");
                daemon.catch_up().await;
            }
            Err(error) => return Err(errors::from_commit(error)),
        }
    }
    Err(errors::internal(format!("the facts about host {host} kept changing")))
}

/// Ends the lease of a host whose power is off, which would run out by itself: whoever looks at leases then sees the truth.
async fn end_lease(daemon: &Arc<Daemon>, host: Uuid) -> Result<(), Error> {
    let db = daemon.store().db();
    let held = db.lease_unrenewed(&lease_key(host)).await.map_err(|e| errors::from_db(&e))?;
    if let Some((lease, _)) = held {
        db.lease_revoke(lease).await.map_err(|e| errors::from_db(&e))?;
    }
    daemon.catch_up().await;
    Ok(())
}

/// Longest wait for the pool's newest state before a judgement.
const CURRENT: Duration = Duration::from_secs(5);
/// Times that a judgement is made anew.
const TRIES: u32 = 5;

fn record(daemon: &Daemon, view: &View, host: Uuid, boot: &str, proof: &Proof, by: &str) -> Change {
    let record = Fence {
        host,
        boot_id: boot.to_owned(),
        pool_epoch: view.pool_epoch().unwrap_or(1),
        proof: FenceProof::Known(proof.clone()),
        since: daemon.now(),
        by: by.to_owned(),
        settled: None,
        unknown: serde_json::Map::new(),
    };
    let mut change = Change::new();
    change.guard(Guard::Absent(key(host, boot)));
    let agent = Key::new(Table::HostAgent, host.to_string());
    change.guard(crate::app::vm::claim::unchanged(view, agent));
    // A host whose new boot is the proof holds a lease, under that boot.
    if !matches!(proof, Proof::NewerBoot { .. }) {
        change.guard(Guard::Absent(lease_key(host)));
    }
    change.put(key(host, boot), encode(&record));
    if ha::settings(view).enabled {
        ha_incident(daemon, view, &mut change, &record, proof);
    }
    if let Proof::Person { who, origin, phrase } = proof {
        let label = label(view, host);
        let body = format!(
            "{who} declared from {origin} that host '{label}' ({host}) is off: \"{phrase}\". What it held is released."
        );
        change.create(alert(daemon, DECLARED_OFF, 3, "Host", host, &body));
    }
    change
}

/// With HA on, a fence is an incident: what the boot had is known from this commit on, whoever coordinates then.
fn ha_incident(daemon: &Daemon, view: &View, change: &mut Change, fence: &Fence, proof: &Proof) {
    let Fence { host, boot_id, since, .. } = fence;
    let incident = ha::incident(view, *host, boot_id, &proof.text(), *since);
    let back = matches!(proof, Proof::NewerBoot { .. });
    if back && incident.vms.is_empty() {
        return;
    }
    let names: Vec<String> =
        incident.vms.iter().map(|v| format!("VM '{}' ({})", v.label, v.vm)).collect();
    let had = if names.is_empty() { "It had no VM.".to_owned() } else { names.join(", ") };
    let body = format!(
        "Host '{}' ({host}) has failed: {}. {had} See xe pool-ha-status",
        incident.label, incident.proof
    );
    let name = if back { "HA_HOST_WAS_FENCED" } else { "HA_HOST_FAILED" };
    let priority = datamodel::alert(name).map_or(3, |a| i64::from(a.priority));
    change.create(alert(daemon, name, priority, "Host", *host, &body));
    change.put(ha::incident_key(*host, boot_id), encode(&incident));
}

/// An alert's record.
pub fn alert(
    daemon: &Daemon,
    name: &str,
    priority: i64,
    class: &str,
    object: Uuid,
    body: &str,
) -> Record {
    new_record(
        "message",
        random_uuid(),
        [
            ("name", name.into()),
            ("priority", priority.into()),
            ("cls", class.into()),
            ("obj_uuid", object.to_string().into()),
            ("timestamp", Timestamp(daemon.now()).into()),
            ("body", body.into()),
        ],
    )
}

/// A person's word about a host, as proof.
pub fn word_of(caller: &Caller, phrase: &str) -> Proof {
    Proof::Person {
        who: caller.user.clone(),
        origin: caller.origin.clone(),
        phrase: phrase.to_owned(),
    }
}

/// The boot of a host that matters to the pool: the one it told of last.
///
/// # Errors
/// If it never told of any.
pub fn boot_to_fence(view: &View, host: Uuid) -> Result<String, Error> {
    registered_boot(view, host).ok_or_else(|| refusal(view, host, &Missing::BootUnknown, ""))
}

fn still_on(view: &View, host: Uuid, device: &power::Device) -> Error {
    errors::not_allowed(format!(
        "host '{}' ({host}) is switched on, says its power device {}, and does not go off when told to. Cut its power by \
         hand; if the device is wrong: xe host-set-power-on-mode uuid={host} power-on-mode=",
        label(view, host),
        device.agent
    ))
}

/// Makes sure that a host's last boot is fenced: by the fence that is there, by what its power device says, or by a
/// person's words.
///
/// # Errors
/// What is missing, with the next command.
pub async fn ensure(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    host: Uuid,
    words: &str,
    next: &str,
) -> Result<Fence, Error> {
    let view = daemon.view().await;
    let boot = boot_to_fence(&view, host)?;
    if !is_fenced(&view, host, &boot) {
        let said = word_of(caller, words);
        let proof = match power::device(daemon, &view, host) {
            None => said,
            Some(device) => match device.proof(daemon).await {
                Some(proof) => proof,
                // The person says that it is off. Where its device says otherwise, it is made true first; where the
                // device does not say, the person's words are what there is.
                None if judge(daemon, &view, host, &boot, &said).is_ok() => {
                    match device.status(daemon).await {
                        Ok(host::power::Power::On) => device
                            .force_off(daemon)
                            .await
                            .ok_or_else(|| still_on(&view, host, &device))?,
                        Ok(host::power::Power::Off) | Err(_) => said,
                    }
                }
                None => said,
            },
        };
        write(daemon, host, &boot, proof, &caller.user, next).await?;
    }
    daemon.catch_up().await;
    let view = daemon.view().await;
    fence(&view, host, &boot)
        .ok_or_else(|| errors::internal(format!("the fence of host {host} can't be read yet")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A majority is asked every 0.3 s and takes that long to answer, from `start` on.
    fn pulses(watch: &LeaseWatch, start: Instant, took: Duration, until: Duration) -> Instant {
        let mut began = start;
        loop {
            let answer = began + took;
            if answer.duration_since(start) > until {
                return began;
            }
            watch.pulse(true, began, answer);
            began = answer + Duration::from_millis(300);
        }
    }

    fn silent() -> (LeaseWatch, Uuid, Instant) {
        let (watch, host, start) = (LeaseWatch::default(), Uuid::from_u128(1), Instant::now());
        let before = start.checked_sub(Duration::from_secs(60)).unwrap_or(start);
        watch.gone.lock().expect("not poisoned").insert(host, (None, before));
        (watch, host, start)
    }

    #[test]
    fn the_time_without_a_gap_begins_with_the_arrival_of_an_answer() {
        let (watch, host, start) = silent();
        let took = Duration::from_millis(200);
        let last = pulses(&watch, start, took, Duration::from_secs(120));
        let counted = watch.counted_at(host, last).expect("no gap");
        let expected = last.duration_since(start + took) - STANDARD.lease_ttl;
        assert_eq!(counted, expected);
    }

    #[test]
    fn answers_that_may_lie_a_gap_apart_count_from_the_later_one() {
        let (watch, host, start) = silent();
        let at = |ms: u64| start + Duration::from_millis(ms);
        watch.pulse(true, at(0), at(100));
        // Given at 0 ms and at 1,001 ms at the worst, though the answers came 901 ms apart.
        watch.pulse(true, at(400), at(1_001));
        let later = at(1_001) + STANDARD.lease_ttl;
        pulses(&watch, at(1_200), Duration::ZERO, STANDARD.lease_ttl * 2);
        let now = at(1_200) + STANDARD.lease_ttl * 2;
        assert_eq!(watch.counted_at(host, now), Some(now.duration_since(later)));
        assert_eq!(watch.counted_at(host, now + STANDARD.commit_gap * 2), None, "a gap");
    }
}
