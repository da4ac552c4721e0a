//! `SR.holdfast_repair`: the attachments of a repository on every host, made where they are missing and plugged (S1-32).
//!
//! ```text
//! one snapshot ─> planner::sr_repair ─> dry run: the plan
//!                                    └> saga sr_repair: per host one commit (PBD, and its pbd_plug saga) ─> wait ─> report
//! ```
//! Each host plugs its own. Repeating the step plans again from what is there, so it makes nothing twice.

use std::sync::Arc;
use std::time::Duration;

use planner::sr_repair::{self, Action, Config, Facts, HostFacts, Pbd, Step};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::sr::text_map;
use super::{bool_param, find, host_liveness, ref_param, target, text, truth};
use crate::api::{Authorized, Caller, errors};
use crate::edits::{Change, Object};
use crate::first_start::{new_record, reference};
use crate::sagas::{self, Def, Flow, Output, Plan, RESULT, State, StepResult, action};
use crate::{Daemon, View, random_uuid};

/// Longest wait for one host to plug.
const PLUG_LIMIT: Duration = Duration::from_secs(90);

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    sr: Uuid,
    only: Vec<Uuid>,
    given: Config,
}

/// `SR.holdfast_repair(sr, hosts, device_config, dry_run)`.
pub(super) async fn repair(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    daemon.catch_up().await;
    let view = daemon.view().await;
    let sr = find(&view, "SR", ref_param(call, 0))?.uuid();
    let mut only = Vec::new();
    let named = call.params().get(1).and_then(Value::as_set);
    for host in named.into_iter().flat_map(|s| s.opaques()) {
        only.push(find(&view, "host", host)?.uuid());
    }
    let args = Args { sr, only, given: text_map(call, 2) };
    let plan = sr_repair::plan(&facts(&view, &args)?).map_err(errors::not_allowed)?;
    if bool_param(call, 3) {
        let steps = plan.steps.iter().map(|step| told(step, planned(step))).collect();
        return Ok(report(&view, sr, true, steps).into());
    }
    let plan = Plan {
        kind: "sr_repair",
        owner: daemon.host(),
        label: call.method(),
        busy: vec![],
        args: json!(args),
        change: Change::new(),
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

pub(super) fn sagas() -> Vec<Def> {
    vec![Def::new("sr_repair").last("repair", action!(repair_all)).no_return()]
}

/// What the plan is made from.
fn facts(view: &View, args: &Args) -> Result<Facts, Error> {
    let sr = find(view, "SR", OpaqueRef::new(args.sr))?;
    let pbds: Vec<&Arc<Record>> =
        view.referrers("PBD", "SR", args.sr).filter_map(|p| view.record("PBD", p)).collect();
    let hosts = view
        .records("host")
        .map(|host| {
            let pbd = pbds.iter().find(|p| target(p, "host") == Some(host.uuid()));
            HostFacts {
                host: host.uuid(),
                label: text(host, "name_label").to_owned(),
                away: away(view, host),
                pbd: pbd.map(|p| Pbd {
                    pbd: p.uuid(),
                    attached: truth(p, "currently_attached"),
                    config: super::vm::spec::spec_of(sr, p).device_config,
                }),
            }
        })
        .collect();
    Ok(Facts {
        sr: args.sr,
        label: text(sr, "name_label").to_owned(),
        shared: truth(sr, "shared"),
        hosts,
        only: args.only.clone(),
        given: args.given.clone(),
    })
}

/// Why a host can do nothing now.
fn away(view: &View, host: &Record) -> Option<String> {
    if super::host::is_live(view, host.uuid()) {
        return None;
    }
    let state = host_liveness::state(view, host.uuid());
    Some(format!("host '{}' is {state}", text(host, "name_label")))
}

async fn repair_all(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let facts = facts(&view, &args).map_err(|e| sagas::failed(&e))?;
    let plan = sr_repair::plan(&facts).map_err(|why| sagas::failed(&errors::not_allowed(why)))?;
    let parts = plan.steps.iter().map(|step| repair_one(daemon, args.sr, step));
    let outcomes = futures_util::future::join_all(parts).await;
    let steps = plan.steps.iter().zip(outcomes).map(|(step, end)| told(step, end)).collect();
    let report = report(&view, args.sr, false, steps);
    tracing::info!(sr = %args.sr, report, "the repository's attachments were repaired");
    state.put(RESULT, Output::Text(report))?;
    Ok(Flow::Next)
}

/// How one host fared: a word, and why not.
type End = (&'static str, Option<String>);

fn planned(step: &Step) -> End {
    match &step.blocked {
        Some(why) => ("failed", Some(why.clone())),
        None if step.plugs() => ("repair", None),
        None => ("plugged", None),
    }
}

async fn repair_one(daemon: &Arc<Daemon>, sr: Uuid, step: &Step) -> End {
    let mut change = Change::new();
    let pbd = match &step.action {
        Action::Nothing => return planned(step),
        Action::Keep(pbd) => *pbd,
        Action::Change(pbd, config) => {
            change.set(Object::new("PBD", *pbd), "device_config", Value::str_map(config.clone()));
            *pbd
        }
        Action::Make(config) => {
            let pbd = random_uuid();
            change.create(new_record(
                "PBD",
                pbd,
                [
                    ("host", reference(step.host)),
                    ("SR", reference(sr)),
                    ("device_config", Value::str_map(config.clone())),
                    ("currently_attached", false.into()),
                ],
            ));
            pbd
        }
    };
    let failed = |error: Error| ("failed", Some(error.to_list().join(": ")));
    if !step.plugs() {
        // It is recorded all the same: the host plugs what it finds when it starts.
        return match crate::edits::commit(daemon, &change).await {
            Ok(_) => planned(step),
            Err(error) => failed(errors::from_commit(error)),
        };
    }
    let plan = Plan {
        kind: "pbd_plug",
        owner: step.host,
        label: "PBD.plug",
        busy: vec![],
        args: json!({ "pbd": pbd }),
        change,
    };
    let caller = Caller::of_this_host(daemon);
    match sagas::begin(daemon, &caller, None, plan).await {
        Ok(saga) => match sagas::wait(daemon, saga, PLUG_LIMIT).await {
            Ok(_) => ("repaired", None),
            Err(error) => failed(error),
        },
        Err(error) => failed(errors::from_commit(error)),
    }
}

fn told(step: &Step, (outcome, why): End) -> serde_json::Value {
    json!({ "host": step.host, "name": step.label, "text": step.text, "outcome": outcome, "why": why })
}

fn report(view: &View, sr: Uuid, dry_run: bool, hosts: Vec<serde_json::Value>) -> String {
    let name = view.record("SR", sr).map(|r| text(r, "name_label").to_owned());
    json!({ "sr": sr, "name": name, "dry_run": dry_run, "hosts": hosts }).to_string()
}
