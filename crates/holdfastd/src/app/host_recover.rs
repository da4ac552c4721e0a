//! `host.holdfast_recover` and `VM.holdfast_start_in_order`: from a dead member to its VMs running elsewhere in one command,
//! with the plan printed first if that is wished (S1-13, S1-14, S1-37).
//!
//! ```text
//! facts ─> planner::recovery::plan ─┬─ dry run: the plan
//!                                   └─ fence ─> saga host_recover: settle (nothing left of the boot) ─> start (in order)
//! ```
//! The saga belongs to the host that was asked and to another one if that dies too; every start is claimed in the
//! database, so repeating the step starts nothing twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use liveness::profile::STANDARD;
use planner::fence::{self, Missing, Proof};
use planner::recovery::{self, Facts, Group, Plan as Recovery, Standing, VmFacts};
use pooldb::Table;
use saga::SagaRecord;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::host_fence::other;
use super::vm::launch::STILL_BOOTING;
use super::vm::{claim, spec, start};
use super::{bool_param, find, number, object, ref_param, target, text, text_param, truth};
use crate::api::{Authorized, Caller, errors};
use crate::edits::Change;
use crate::records::{Placement, VdiLock, decode};
use crate::sagas::{self, Def, Flow, Output, Plan, RESULT, State, StepResult, action, bereaved};
use crate::{Daemon, View, fencing};

/// Longest wait for one VM to start.
const START_LIMIT: Duration = Duration::from_secs(180);
/// VMs of one order that start at the same time.
const AT_ONCE: usize = 8;
/// Longest wait for the lease of a host whose power is off: its own time, that of a change of etcd's leader, which renews
/// leases, and some more.
const LEASE_ENDS: Duration = STANDARD.lease_ttl.saturating_mul(2).saturating_add(STANDARD.grace);
/// Pause between looks at the clean-up, or at that lease.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait for a host that has booted to tell the pool so.
const TELLS: Duration = Duration::from_secs(20);
/// Longest `start_delay` that is waited for.
const DELAY_MAX: i64 = 3600;

/// Answers the messages of this room; `None` for others.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    match message {
        "holdfast_recover" => Some(recover(daemon, call).await),
        _ => None,
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    /// The dead host with its label; `None` where VMs are only started.
    host: Option<(Uuid, String)>,
    /// Its boot that was fenced.
    boot: String,
    /// The proof in words.
    proof: String,
    halted: Vec<Uuid>,
    groups: Vec<StartGroup>,
    left: Vec<(Uuid, String)>,
    /// Somebody asked for the VMs themselves: HA's promise to others stands above that.
    #[serde(default)]
    by_client: bool,
    /// Their processors stay stopped.
    #[serde(default)]
    paused: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct StartGroup {
    order: i64,
    vms: Vec<Uuid>,
    delay_s: u64,
}

impl StartGroup {
    fn of(group: &Group) -> Self {
        Self { order: group.order, vms: group.vms.clone(), delay_s: group.delay.as_secs() }
    }
}

async fn recover(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    daemon.catch_up().await;
    let mut view = daemon.view().await;
    let (host, label) = other(daemon, &view, ref_param(call, 0))?;
    let (dry_run, start_vms, words) =
        (bool_param(call, 1), bool_param(call, 2), text_param(call, 3));
    let next = format!("xe host-recover uuid={host}");
    let since = Instant::now();
    let mut standing = self::standing(daemon, &view, call.caller(), host, words, &next).await;
    // One command is enough also right after the power went.
    while !dry_run && matches!(standing, Standing::Ending(_)) && since.elapsed() < LEASE_ENDS {
        tokio::time::sleep(LOOK).await;
        daemon.catch_up().await;
        view = daemon.view().await;
        standing = self::standing(daemon, &view, call.caller(), host, words, &next).await;
    }
    let plan = recovery::plan(&facts(&view, host, &label, standing, start_vms));
    if dry_run {
        return Ok(shown(&view, host, &label, &plan).to_string().into());
    }
    if let Some(why) = plan.blocked {
        return Err(errors::not_allowed(why));
    }
    let fence = fencing::ensure(daemon, call.caller(), host, words, &next).await?;
    let args = Args {
        host: Some((host, label)),
        boot: fence.boot_id.clone(),
        proof: fence.proof.text(),
        halted: plan.halt.clone(),
        groups: plan.start.iter().map(StartGroup::of).collect(),
        left: plan.left.clone(),
        by_client: false,
        paused: false,
    };
    perform(daemon, call, "host_recover", args).await
}

/// `VM.holdfast_start_in_order(vms)`.
pub(super) async fn start_in_order(
    daemon: &Arc<Daemon>,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let wanted = call.params().first().and_then(Value::as_set);
    let mut vms = Vec::new();
    for opaque in wanted.into_iter().flat_map(|s| s.opaques()) {
        vms.push(vm_facts(&view, find(&view, "VM", opaque)?, None));
    }
    let args = Args {
        host: None,
        boot: String::new(),
        proof: String::new(),
        halted: vec![],
        groups: recovery::start_groups(&vms).iter().map(StartGroup::of).collect(),
        left: vec![],
        by_client: false,
        paused: false,
    };
    perform(daemon, call, "vms_start", args).await
}

/// Starts VMs in their order, for who asked for all of them. Whether some did not start.
pub(super) async fn start_together(
    daemon: &Arc<Daemon>,
    call: &Authorized,
    vms: &[Uuid],
    paused: bool,
) -> Result<bool, Error> {
    let view = daemon.view().await;
    let facts: Vec<VmFacts> =
        vms.iter().filter_map(|vm| Some(vm_facts(&view, view.record("VM", *vm)?, None))).collect();
    let args = Args {
        host: None,
        boot: String::new(),
        proof: String::new(),
        halted: vec![],
        groups: recovery::start_groups(&facts).iter().map(StartGroup::of).collect(),
        left: vec![],
        by_client: true,
        paused,
    };
    let report = perform(daemon, &call.for_part(vec![]), "vms_start", args).await?;
    let report: serde_json::Value =
        serde_json::from_str(report.as_str().unwrap_or_default()).unwrap_or_default();
    Ok(report["failed"].as_array().is_none_or(|failed| !failed.is_empty()))
}

async fn perform(
    daemon: &Arc<Daemon>,
    call: &Authorized,
    kind: &'static str,
    args: Args,
) -> Result<Value, Error> {
    let plan = Plan {
        kind,
        owner: daemon.host(),
        label: call.method(),
        busy: vec![],
        args: serde_json::json!(args),
        change: Change::new(),
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

/// Whether the host is proved stopped, or could be with what is at hand.
async fn standing(
    daemon: &Arc<Daemon>,
    view: &View,
    caller: &Caller,
    host: Uuid,
    words: &str,
    next: &str,
) -> Standing {
    let label = fencing::label(view, host);
    let Some(boot) = fencing::registered_boot(view, host) else {
        return Standing::Unproven(Missing::BootUnknown.text(&label, &host.to_string()));
    };
    if let Some(fence) = fencing::fence(view, host, &boot) {
        return Standing::Fenced(fence.proof.text());
    }
    let mut proof = fencing::word_of(caller, words);
    if let Some(device) = crate::power::device(daemon, view, host)
        && let Some(off) = device.proof(daemon).await
    {
        proof = off;
    }
    let off = matches!(proof, Proof::PowerOff { .. });
    match fencing::judge(daemon, view, host, &boot, &proof) {
        Ok(()) => Standing::Provable(proof.text()),
        Err(Missing::HoldsLease | Missing::Answers(_)) if off => Standing::Ending(format!(
            "{}, but its lease has not ended, as it does within {} s of a loss of power. If it stands after that, the              power device is not this host's: xe host-set-power-on-mode host={host} power-on-mode=",
            proof.text(),
            LEASE_ENDS.as_secs()
        )),
        Err(missing @ (Missing::HoldsLease | Missing::Answers(_))) => {
            Standing::Runs(missing.text(&label, &host.to_string()))
        }
        Err(missing @ Missing::Phrase { .. }) => {
            let words = fence::phrase(&label);
            Standing::Unproven(format!(
                "{}. Make sure by its console or its power supply, then: {next} force=true confirm=\"{words}\"",
                missing.text(&label, &host.to_string())
            ))
        }
        Err(missing) => Standing::Unproven(missing.text(&label, &host.to_string())),
    }
}

/// What the plan is made from.
fn facts(view: &View, host: Uuid, label: &str, standing: Standing, start: bool) -> Facts {
    let boot = fencing::registered_boot(view, host).unwrap_or_default();
    let mut vms = Vec::new();
    for (vm, p) in claim::placements(view) {
        if p.host != Some(host) && p.migrating_to != Some(host) {
            continue;
        }
        let Some(record) = view.record("VM", vm) else { continue };
        vms.push(vm_facts(view, record, Some((host, &p))));
    }
    let disks = view
        .table(Table::VdiLock)
        .filter_map(|item| decode::<VdiLock>(item.raw()?).ok())
        .filter(|lock| lock.holders.values().any(|h| h.host == host))
        .count();
    let fence = crate::records::Fence {
        host,
        boot_id: boot,
        pool_epoch: 0,
        proof: crate::records::FenceProof::Newer(serde_json::Map::new()),
        since: 0,
        by: String::new(),
        settled: None,
        unknown: serde_json::Map::new(),
    };
    let operations = view
        .table(Table::Saga)
        .filter_map(|item| decode::<SagaRecord>(item.raw()?).ok())
        .filter(|record| bereaved::is_of(record, &fence))
        .count();
    Facts { host, label: label.to_owned(), standing, vms, disks, operations, start }
}

fn vm_facts(view: &View, vm: &Record, dead: Option<(Uuid, &Placement)>) -> VmFacts {
    let power = text(vm, "power_state");
    let out_of_reach = match dead {
        None => vec![],
        Some((host, _)) => out_of_reach(view, vm.uuid(), host),
    };
    let moving_with = dead.and_then(|(host, p)| {
        let (other, boot) = if p.host == Some(host) {
            (p.migrating_to?, &p.incoming_boot)
        } else {
            (p.host?, &p.boot_id)
        };
        (!fencing::is_fenced(view, other, boot)).then(|| fencing::label(view, other))
    });
    VmFacts {
        vm: vm.uuid(),
        label: text(vm, "name_label").to_owned(),
        runs: matches!(power, "Running" | "Paused"),
        paused: power == "Paused",
        order: number(vm, "order"),
        start_delay: Duration::from_secs(
            u64::try_from(number(vm, "start_delay").clamp(0, DELAY_MAX)).unwrap_or_default(),
        ),
        out_of_reach,
        moving_with,
    }
}

/// Labels of repositories with the VM's disks that no other host has plugged.
fn out_of_reach(view: &View, vm: Uuid, dead: Uuid) -> Vec<String> {
    let mut labels: Vec<String> = spec::disks(view, vm)
        .iter()
        .filter_map(|disk| disk.vdi.map(|(_, sr)| sr))
        .filter(|sr| {
            !view
                .referrers("PBD", "SR", *sr)
                .filter_map(|pbd| view.record("PBD", pbd))
                .any(|pbd| target(pbd, "host") != Some(dead) && truth(pbd, "currently_attached"))
        })
        .filter_map(|sr| view.record("SR", sr).map(|r| text(r, "name_label").to_owned()))
        .collect();
    labels.sort();
    labels.dedup();
    labels
}

/// The plan as JSON, for a dry run.
fn shown(view: &View, host: Uuid, label: &str, plan: &Recovery) -> serde_json::Value {
    serde_json::json!({
        "host": host,
        "name": label,
        "dry_run": true,
        "blocked": plan.blocked,
        "steps": plan.steps.iter().map(|s| serde_json::json!({ "what": s.what, "text": s.text })).collect::<Vec<_>>(),
        "halt": named(view, plan.halt.iter().copied()),
        "start": plan.start.iter().map(|g| serde_json::json!({
            "order": g.order,
            "delay_s": g.delay.as_secs(),
            "vms": named(view, g.vms.iter().copied()),
        })).collect::<Vec<_>>(),
        "left": plan.left.iter().map(|(vm, why)| {
            serde_json::json!({ "vm": vm, "name": vm_label(view, *vm), "why": why })
        }).collect::<Vec<_>>(),
    })
}

fn vm_label(view: &View, vm: Uuid) -> String {
    view.record("VM", vm).map(|r| text(r, "name_label").to_owned()).unwrap_or_default()
}

fn named(view: &View, vms: impl Iterator<Item = Uuid>) -> Vec<serde_json::Value> {
    vms.map(|vm| serde_json::json!({ "vm": vm, "name": vm_label(view, vm) })).collect()
}

pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("host_recover")
            .check("settle", action!(settle))
            .no_return()
            .repeats(u32::MAX)
            .last("start", action!(start_all)),
        Def::new("vms_start").last("start", action!(start_all)).no_return(),
    ]
}

/// Waits until nothing is left of the fenced boot: the coordinator cleans up.
async fn settle(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let Some((host, _)) = args.host else { return Ok(Flow::Next) };
    let view = daemon.view().await;
    match fencing::fence(&view, host, &args.boot) {
        Some(fence) if fence.settled.is_none() => Ok(Flow::Again(LOOK)),
        Some(_) | None => Ok(Flow::Next),
    }
}

/// How one VM fared.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Started {
    vm: Uuid,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

async fn start_all(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let (mut started, mut failed) = (Vec::new(), Vec::new());
    for group in &args.groups {
        for batch in group.vms.chunks(AT_ONCE) {
            let starts = batch.iter().map(|vm| start_one(daemon, *vm, &args));
            for one in futures_util::future::join_all(starts).await {
                if one.why.is_some() { failed.push(one) } else { started.push(one) }
            }
        }
        if group.delay_s > 0 {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(group.delay_s)) => {}
                () = daemon.stopping() => return Err(saga::StepError::suspend("the daemon stops")),
            }
        }
    }
    let view = daemon.view().await;
    let left: Vec<serde_json::Value> = args
        .left
        .iter()
        .map(|(vm, why)| serde_json::json!({ "vm": vm, "name": vm_label(&view, *vm), "why": why }))
        .collect();
    let report = serde_json::json!({
        "host": args.host.as_ref().map(|(host, _)| host),
        "name": args.host.as_ref().map(|(_, label)| label),
        "proof": args.proof,
        "halted": named(&view, args.halted.iter().copied()),
        "started": started,
        "failed": failed,
        "left": left,
    });
    tracing::info!(started = started.len(), failed = failed.len(), "VMs were started in order");
    state.put(RESULT, Output::Text(report.to_string()))?;
    Ok(Flow::Next)
}

async fn start_one(daemon: &Arc<Daemon>, vm: Uuid, args: &Args) -> Started {
    let once = async || {
        let view = daemon.view().await;
        let record = find(&view, "VM", OpaqueRef::new(vm))?;
        // A former try of this step, or somebody else, has started it.
        let power = text(record, "power_state");
        if power == "Running" || (args.paused && power == "Paused") {
            return Ok(());
        }
        let order = start::Order {
            vm: OpaqueRef::new(vm),
            only: None,
            paused: args.paused,
            by_ha: !args.by_client,
        };
        let saga = start::begin(daemon, &Caller::of_this_host(daemon), None, order).await?;
        sagas::wait(daemon, saga, START_LIMIT).await.map(drop)
    };
    let since = Instant::now();
    let outcome: Result<(), Error> = loop {
        match once().await {
            // After a power cut hosts come back one by one: one that has just booted has not told everybody yet.
            Err(error) if error.is(STILL_BOOTING) && since.elapsed() < TELLS => {
                tokio::time::sleep(LOOK).await;
                daemon.catch_up().await;
            }
            outcome => break outcome,
        }
    };
    daemon.catch_up().await;
    let view = daemon.view().await;
    let record = view.record("VM", vm);
    let name = record.map(|r| text(r, "name_label").to_owned()).unwrap_or_default();
    let host = record.and_then(|r| target(r, "resident_on")).map(|h| fencing::label(&view, h));
    match outcome {
        Ok(()) => Started { vm, name, host, why: None },
        Err(error) => {
            let why = match record {
                Some(record) if error.is("NO_HOSTS_AVAILABLE") => no_host(daemon, &view, record),
                _ => error.to_list().join(": "),
            };
            Started { vm, name, host: None, why: Some(why) }
        }
    }
}

/// Why no host can take a VM, host by host.
fn no_host(daemon: &Daemon, view: &View, vm: &Record) -> String {
    let hosts = spec::hosts(view, daemon.reserved_memory());
    let needs = spec::needs(view, vm);
    let reasons: BTreeMap<String, String> = hosts
        .iter()
        .filter_map(|h| Some((h.label.clone(), planner::placement::fits(h, &needs).err()?.text())))
        .collect();
    let text: Vec<String> =
        reasons.into_iter().map(|(host, why)| format!("{host}: {why}")).collect();
    format!("no host can take it ({})", text.join("; "))
}

/// For other rooms that show what a host has.
pub(crate) fn residents(view: &View, host: Uuid) -> Vec<Uuid> {
    claim::placements(view)
        .filter(|(_, p)| p.host == Some(host))
        .map(|(vm, _)| vm)
        .filter(|vm| view.record("VM", *vm).is_some_and(|r| !object(r).uuid.is_nil()))
        .collect()
}
