//! `pool.*` of high availability: on and off, how many failures are survived, where VMs would go, what is under way.

use std::sync::Arc;
use std::time::Duration;

use host::had::LinkStatus;
use planner::ha::{self, Effort, Ended, Limits, Pool, Priority, Run, Standing, Vm};
use serde_json::json;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Timestamp, Value};

use super::super::{find, int_param, number, object, ref_param, text, truth};
use super::record;
use crate::api::{Authorized, errors};
use crate::edits::{self, Change};
use crate::ha::{Progress, draw, gate, incidents, progress_key, settings};
use crate::reconcilers::beats;
use crate::records::encode;
use crate::{Daemon, View, fencing, power};

/// Longest wait of `pool.disable_ha` for restarts that are under way.
const DISARM_LIMIT: Duration = Duration::from_secs(25);
/// Longest time for which restarts can be held, seconds.
const PREVENT_MAX_S: i64 = 24 * 3600;

/// Answers the messages of this room; `None` for others.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    Some(match message {
        "enable_ha" => enable(daemon, call).await,
        "disable_ha" => disable(daemon).await,
        "set_ha_host_failures_to_tolerate" => set_failures(daemon, call).await,
        "ha_prevent_restarts_for" => prevent(daemon, call).await,
        "ha_compute_max_host_failures_to_tolerate" => {
            let pool = drawn(daemon).await;
            Ok(wire(ha::largest(&pool, Effort::QUESTION).0))
        }
        "ha_compute_hypothetical_max_host_failures_to_tolerate" => hypothetical(daemon, call).await,
        "ha_failover_plan_exists" => plan_exists(daemon, call).await,
        "ha_compute_vm_failover_plan" => failover_plan(daemon, call).await,
        "holdfast_ha_status" => status(daemon).await,
        _ => return None,
    })
}

fn wire(count: usize) -> Value {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}

async fn drawn(daemon: &Arc<Daemon>) -> Pool {
    let view = daemon.view().await;
    draw::pool(daemon, &view, &missed(daemon))
}

fn missed(daemon: &Daemon) -> draw::Missed {
    daemon.ha_seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

fn plain(code: &'static str) -> Error {
    Error::new(code, Vec::<String>::new())
}

/// The pool fields that say how the promise stands.
pub(crate) fn say_plan(view: &View, change: &mut Change, failures: usize, exists_for: usize) {
    let Some(pool) = view.records("pool").next() else { return };
    let shown = exists_for.min(failures);
    if number(pool, "ha_plan_exists_for") != i64::try_from(shown).unwrap_or(0) {
        change.set(object(pool), "ha_plan_exists_for", wire(shown));
    }
    if truth(pool, "ha_overcommitted") != (exists_for < failures) {
        change.set(object(pool), "ha_overcommitted", exists_for < failures);
    }
}

async fn enable(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    if settings(&view).enabled {
        let leaving = Progress::of(&view).disarm;
        return Err(plain(if leaving { "HA_DISABLE_IN_PROGRESS" } else { "HA_IS_ENABLED" }));
    }
    let srs = call.params().first().and_then(Value::as_set);
    for opaque in srs.into_iter().flat_map(|s| s.opaques()) {
        let sr = find(&view, "SR", opaque)?;
        if !truth(sr, "shared") {
            let own = sr.opaque().to_string();
            return Err(Error::new("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", [own]));
        }
    }
    if view.records("host").count() < 2 {
        return Err(plain("HA_TOO_FEW_HOSTS"));
    }
    // Whoever can't be heard now would be lost at once.
    for host in view.records("host") {
        if host.uuid() != daemon.host() && !draw::lives(daemon, &view, host.uuid()) {
            return Err(Error::new("HOST_OFFLINE", [host.opaque().to_string()]));
        }
    }
    let pool = record(&view)?;
    let failures = settings(&view).failures;
    let (most, _) = ha::largest(&draw::pool(daemon, &view, &missed(daemon)), Effort::QUESTION);
    let mut change = Change::new();
    let configuration = call.params().get(1).cloned().unwrap_or_else(|| Value::Map(Vec::new()));
    change.set(object(pool), "ha_enabled", true);
    change.set(object(pool), "ha_configuration", configuration);
    change.set(object(pool), "ha_cluster_stack", crate::ha::STACK);
    say_plan(&view, &mut change, failures, most);
    change.put(progress_key(), encode(&Progress::default()));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    tracing::info!(failures, most, "high availability is on");
    Ok(Value::Void)
}

/// The commit that turns HA off.
pub(crate) fn off(view: &View, change: &mut Change) {
    let Some(pool) = view.records("pool").next() else { return };
    change.set(object(pool), "ha_enabled", false);
    change.set(object(pool), "ha_configuration", Value::Map(Vec::new()));
    change.set(object(pool), "ha_cluster_stack", "");
    say_plan(view, change, 0, 0);
    change.put(progress_key(), encode(&Progress::default()));
}

/// Turns HA off; not in the middle of what it has begun (S25).
async fn disable(daemon: &Arc<Daemon>) -> Result<Value, Error> {
    let deadline = tokio::time::Instant::now() + DISARM_LIMIT;
    let mut changed = daemon.store().replica().changed();
    let mut asked = false;
    loop {
        let view = daemon.view().await;
        if !settings(&view).enabled {
            return if asked { Ok(Value::Void) } else { Err(plain("HA_NOT_ENABLED")) };
        }
        let mut change = Change::new();
        if !is_under_way(&drawn(daemon).await) {
            off(&view, &mut change);
        } else if !asked {
            let progress = Progress { disarm: true, ..Progress::of(&view) };
            change.put(progress_key(), encode(&progress));
        }
        if !change.is_empty() {
            edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
        }
        asked = true;
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(deadline) => return Err(plain("HA_DISABLE_IN_PROGRESS")),
        }
    }
}

/// Whether VMs of lost hosts are about to be started.
pub(crate) fn is_under_way(pool: &Pool) -> bool {
    let plan = ha::restarts(pool, &Limits::default(), None);
    let proved = |vm: Uuid| {
        pool.vms.iter().any(|v| {
            v.vm == vm
                && match &v.run {
                    Run::Down(_) => true,
                    Run::Lost(on) => Ended::fenced(on).is_ok(),
                    Run::Off | Run::On { .. } => false,
                }
        })
    };
    let starting = |v: &Vm| v.tries.starting && v.tries.started.is_none();
    !plan.starts.is_empty()
        || plan.waits.iter().any(|wait| proved(wait.vm))
        || pool.vms.iter().any(|v| starting(v) && v.priority != Priority::None)
}

async fn set_failures(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let pool = find(&view, "pool", ref_param(call, 0))?;
    let value = int_param(call, 1);
    let Ok(failures) = usize::try_from(value) else {
        return Err(Error::invalid_value("ha_host_failures_to_tolerate", &value.to_string()));
    };
    let now = settings(&view);
    let mut change = Change::new();
    change.set(object(pool), "ha_host_failures_to_tolerate", value);
    if now.enabled {
        let drawn = draw::pool(daemon, &view, &missed(daemon));
        if failures > now.failures && !now.overcommit {
            let verdict = ha::tolerates(&drawn, failures, Effort::QUESTION);
            if !verdict.holds() {
                let what = format!("{failures} host failures are to be survived");
                return Err(gate::refuse(daemon, what, verdict.text()));
            }
        }
        say_plan(&view, &mut change, failures, ha::largest(&drawn, Effort::QUESTION).0);
    }
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

async fn prevent(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    if !settings(&view).enabled {
        return Err(plain("HA_NOT_ENABLED"));
    }
    let seconds = int_param(call, 0);
    if !(0..=PREVENT_MAX_S).contains(&seconds) {
        return Err(Error::invalid_value("seconds", &seconds.to_string()));
    }
    let mut change = Change::new();
    let progress = Progress { not_before: daemon.now() + seconds, ..Progress::of(&view) };
    change.put(progress_key(), encode(&progress));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

async fn plan_exists(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let Ok(failures) = usize::try_from(int_param(call, 0)) else {
        return Err(Error::invalid_value("n", &int_param(call, 0).to_string()));
    };
    let pool = drawn(daemon).await;
    Ok(ha::tolerates(&pool, failures, Effort::QUESTION).holds().into())
}

/// The largest number of failures if exactly these VMs were protected.
async fn hypothetical(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let mut pool = draw::pool(daemon, &view, &missed(daemon));
    for vm in pool.vms.iter_mut().filter(|vm| vm.priority == Priority::Restart) {
        vm.priority = Priority::None;
    }
    let pairs = call.params().first().and_then(Value::as_map);
    for (vm, word) in pairs.into_iter().flat_map(|m| m.pairs()) {
        let (vm, word) = (vm.as_opaque().unwrap_or(OpaqueRef::NULL), word.as_str().unwrap_or(""));
        let vm = find(&view, "VM", vm)?;
        if !["", "restart", "best-effort"].contains(&word) {
            return Err(Error::invalid_value("ha_restart_priority", word));
        }
        let priority = Priority::from_word(word);
        let run = pool.vms.iter().find(|v| v.vm == vm.uuid()).map(|v| v.run.clone());
        // One that does not run asks for a place too: it is to be protected when it does.
        let run = run.unwrap_or_else(|| Run::Down(Ended::seen("it does not run")));
        let asked = as_protected(&view, vm, run, priority);
        pool.vms.retain(|v| v.vm != vm.uuid());
        pool.vms.push(asked);
    }
    Ok(wire(ha::largest(&pool, Effort::QUESTION).0))
}

fn as_protected(view: &View, vm: &Record, run: Run, priority: Priority) -> Vm {
    Vm { priority, run, ..draw::described(view, vm, Run::Off) }
}

/// Where the VMs would go if these hosts failed.
async fn failover_plan(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let mut pool = draw::pool(daemon, &view, &missed(daemon));
    let refs = |at: usize, class: &'static str| {
        let set = call.params().get(at).and_then(Value::as_set);
        let all = set.into_iter().flat_map(|s| s.opaques());
        all.map(|opaque| find(&view, class, opaque)).collect::<Result<Vec<_>, _>>()
    };
    let (hosts, vms) = (refs(0, "host")?, refs(1, "VM")?);
    for host in &hosts {
        for known in pool.hosts.iter_mut().filter(|h| h.host == host.uuid()) {
            known.standing = Standing::Gone;
        }
    }
    for vm in &vms {
        let priority = match crate::ha::priority(vm) {
            Priority::None => Priority::BestEffort,
            known => known,
        };
        pool.vms.retain(|v| v.vm != vm.uuid());
        let run = Run::Down(Ended::seen("its host is taken as failed"));
        pool.vms.push(as_protected(&view, vm, run, priority));
    }
    let plan = ha::restarts(&pool, &Limits::default(), None);
    let place = |vm: Uuid| {
        let now = plan.starts.iter().find(|s| s.vm == vm).map(|s| s.host);
        now.or_else(|| plan.waits.iter().find(|w| w.vm == vm).and_then(|w| w.host))
    };
    let pairs = vms.iter().map(|vm| {
        let (key, value) = match place(vm.uuid()) {
            Some(host) => ("host", OpaqueRef::new(host).to_string()),
            None => {
                let short = plan.left.iter().find(|l| l.vm == vm.uuid()).and_then(|l| l.missing);
                let code = if short.is_some() {
                    "HOST_NOT_ENOUGH_FREE_MEMORY"
                } else {
                    "NO_HOSTS_AVAILABLE"
                };
                ("error_code", code.to_owned())
            }
        };
        (Value::Ref(vm.opaque()), Value::str_map([(key, value.as_str())]))
    });
    Ok(Value::Map(pairs.collect()))
}

/// `pool.holdfast_ha_status`: what is promised, how each host's end would be proved, what is under way and why.
async fn status(daemon: &Arc<Daemon>) -> Result<Value, Error> {
    let view = daemon.view().await;
    let settings = settings(&view);
    let pool = draw::pool(daemon, &view, &missed(daemon));
    let progress = Progress::of(&view);
    let (most, why) = ha::largest(&pool, Effort::QUESTION);
    let now = daemon.now();
    let plan = ha::restarts(&pool, &Limits::default(), progress.tier(now));
    let name = |vm: Uuid| {
        let known = pool.vms.iter().find(|v| v.vm == vm);
        known.map(|v| v.label.clone()).unwrap_or_default()
    };
    let label = |host: Uuid| fencing::label(&view, host);
    let mut vms = Vec::new();
    for start in &plan.starts {
        vms.push(json!({"uuid": start.vm, "name_label": name(start.vm), "state": "starts", "host": label(start.host),
            "why": start.why, "proof": start.because.text()}));
    }
    for wait in &plan.waits {
        vms.push(
            json!({"uuid": wait.vm, "name_label": name(wait.vm), "state": "waits", "why": wait.why,
            "host": wait.host.map(label), "until_s": wait.until.map(|u| u.as_secs())}),
        );
    }
    for left in &plan.left {
        vms.push(
            json!({"uuid": left.vm, "name_label": name(left.vm), "state": "left", "why": left.why,
            "missing_mib": left.missing.map(|m| m >> 20)}),
        );
    }
    let refusal =
        daemon.ha_refusal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let incidents: Vec<serde_json::Value> = incidents(&view)
        .iter()
        .take(16)
        .map(|i| {
            json!({
                "uuid": i.host,
                "name_label": i.label,
                "since": Timestamp(i.since).to_string(),
                "evidence": i.proof,
                "open": i.closed.is_none(),
                "safe": "what this boot of the host held is void: its VMs may run elsewhere",
                "vms": i.vms.iter().map(|v| victim(&view, v)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let links = beats::links(daemon).await;
    let hosts: Vec<serde_json::Value> =
        view.records("host").map(|host| host_status(daemon, &view, host, &links)).collect();
    let text = json!({
        "enabled": settings.enabled,
        "failures": settings.failures,
        "most": most,
        "why_not_more": why.map(|v| v.text()),
        "overcommitted": most < settings.failures,
        "overcommit_allowed": settings.overcommit,
        "turning_off": progress.disarm,
        "held_for_s": (progress.not_before - now).max(0),
        "hosts": hosts,
        "incidents": incidents,
        "vms": vms,
        "refused": refusal.map(|(at, what, why)| json!({"at": Timestamp(at).to_string(), "what": what, "why": why})),
    });
    Ok(text.to_string().into())
}

fn victim(view: &View, victim: &crate::ha::Victim) -> serde_json::Value {
    let course = crate::ha::course(view, victim.vm).unwrap_or_default();
    let record = view.record("VM", victim.vm);
    let host = record.and_then(|r| super::super::target(r, "resident_on"));
    let power = record.map_or("destroyed", |r| text(r, "power_state"));
    let said = match (host, power, victim.priority.as_str()) {
        (Some(host), _, _) => format!("runs on {}", fencing::label(view, host)),
        (None, "Halted", "") => "is off: its restart priority is empty".to_owned(),
        (None, "Halted", _) if victim.done.is_some() => "is off: its owner wants it so".to_owned(),
        (None, "Halted", _) if course.failed > 0 => {
            format!("is off: {} starts failed, the last: {}", course.failed, course.why)
        }
        (None, power, _) => format!("is {}", power.to_lowercase()),
    };
    json!({
        "said": said,
        "uuid": victim.vm,
        "name_label": victim.label,
        "priority": victim.priority,
        "power_state": record.map(|r| text(r, "power_state")),
        "host": host.map(|h| fencing::label(view, h)),
        "started": victim.done.map(|at| Timestamp(at).to_string()),
        "failed": course.failed,
        "why": course.why,
    })
}

/// How a host's end would be proved without a person.
fn host_status(
    daemon: &Daemon,
    view: &View,
    host: &Record,
    links: &[LinkStatus],
) -> serde_json::Value {
    let device = power::device(daemon, view, host.uuid()).map(|d| d.agent);
    let boot = fencing::registered_boot(view, host.uuid()).unwrap_or_default();
    let watchdog = fencing::watchdog(view, host.uuid());
    let accepted = fencing::settings(view).software_watchdog_accepted;
    let by = match (&device, watchdog) {
        (Some(agent), _) => format!("its power device ({agent})"),
        (None, planner::fence::Watchdog::Hardware) => {
            "its lease and its hardware watchdog".to_owned()
        }
        (None, planner::fence::Watchdog::Software) if accepted => {
            "its lease and its software watchdog (reduced assurance)".to_owned()
        }
        _ => format!(
            "nothing but a person's word: without a power device and a watchdog its VMs wait; xe host-set-power-on-mode \
             uuid={} gives it a power device",
            host.uuid()
        ),
    };
    let missing =
        missed(daemon).get(&host.uuid()).map(|m: &planner::ha::Unproven| m.missing.clone());
    json!({
        "uuid": host.uuid(),
        "name_label": text(host, "name_label"),
        "live": draw::lives(daemon, view, host.uuid()),
        "fenced": fencing::fence(view, host.uuid(), &boot).map(|f| f.proof.text()),
        "proved_by": by,
        "watchdog": watchdog,
        "not_armed": fencing::not_armed(view, host.uuid()),
        "missing": missing,
        "beats": beats::said(links, host.uuid()),
    })
}
