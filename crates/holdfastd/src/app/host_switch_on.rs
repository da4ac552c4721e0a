//! Switching hosts on: `host.set_power_on_mode`, `host.power_on` with progress from the power to the pool (S2-12, S2-23).
//!
//! ```text
//! switch_on ─> await_power (read back) ─> await_daemon (its API's port answers) ─> await_joined (it holds its lease)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use host::power::Power;
use saga::StepError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::{find, object, ref_param, text, text_param};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Edit, Object};
use crate::power::{self, Device};
use crate::reconcilers::this_host::member;
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, action};
use crate::{Daemon, View, fencing, tasks};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Looks at each stage: a machine's firmware may take ten minutes.
const LOOKS: u32 = 1200;

/// Answers the messages of this room; `None` for others.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    match message {
        "set_power_on_mode" => Some(set_mode(daemon, call).await),
        "power_on" => Some(power_on(daemon, call).await),
        _ => None,
    }
}

/// `host.set_power_on_mode(self, power_on_mode, power_on_config)`.
async fn set_mode(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?;
    let mode = text_param(call, 1);
    if !mode.is_empty() && !host::power::is_agent_name(mode) {
        let text = "a mode is the name of a fence agent, such as fence_ipmilan, or empty for none";
        return Err(Error::new("VALUE_NOT_SUPPORTED", ["power_on_mode", mode, text]));
    }
    let given: BTreeMap<String, String> = call
        .params()
        .get(2)
        .and_then(Value::as_map)
        .map(|m| {
            m.pairs()
                .iter()
                .filter_map(|(k, v)| Some((k.as_str()?.to_owned(), v.as_str()?.to_owned())))
                .collect()
        })
        .unwrap_or_default();
    let (secret, shown): (BTreeMap<_, _>, BTreeMap<_, _>) =
        given.into_iter().partition(|(name, _)| power::is_secret(name));
    let mut change = Change::new();
    change.set(object(host), "power_on_mode", mode);
    change.set(object(host), "power_on_config", Value::str_map(shown));
    let key = power::secret_key(host.uuid());
    if secret.is_empty() {
        change.remove(key);
    } else {
        let plain = serde_json::json!(secret).to_string();
        let sealed = daemon.pool_key().seal(&power::secret_name(host.uuid()), &plain);
        change.put(key, sealed.into());
    }
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    host: Uuid,
    /// It has this boot when it is switched on; the next one is another.
    boot: String,
}

fn device(daemon: &Daemon, view: &View, host: &Record) -> Result<Device, Error> {
    power::device(daemon, view, host.uuid())
        .ok_or_else(|| Error::new("HOST_POWER_ON_MODE_DISABLED", Vec::<String>::new()))
}

async fn power_on(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    daemon.catch_up().await;
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?;
    let id = host.uuid();
    if let Some(runs) = runs(daemon, &view, host).await {
        return Err(errors::not_allowed(runs));
    }
    let device = device(daemon, &view, host)?;
    if let Ok(Power::On) = device.status(daemon).await {
        return Err(errors::not_allowed(format!(
            "host '{}' ({id}) is switched on already, says its power device {}; it answers neither ping nor its API's \
             port, so it is starting or it hangs: look at its console",
            text(host, "name_label"),
            device.agent
        )));
    }
    let boot = fencing::registered_boot(&view, id).unwrap_or_default();
    let plan = Plan {
        kind: "host_power_on",
        owner: daemon.host(),
        label: "host.power_on",
        busy: vec![(object(host), "power_on")],
        args: serde_json::json!(Args { host: id, boot }),
        change: Change::new(),
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

/// What says that a host runs, and why it is not in the pool if it is not (S2-23).
async fn runs(daemon: &Arc<Daemon>, view: &View, host: &Record) -> Option<String> {
    let id = host.uuid();
    let signs = super::host_liveness::signs(daemon, view, id).await;
    let by: Vec<&str> = signs.answering();
    let joined = id == daemon.host() || fencing::lease(view, id).is_some();
    if by.is_empty() && !joined {
        return None;
    }
    let reachable = if by.is_empty() {
        "not reachable from here".to_owned()
    } else {
        format!("reachable by {}", by.join(", "))
    };
    let why = if joined {
        "and it is in the pool: it holds its lease".to_owned()
    } else if by.contains(&"API") {
        "not joined because it does not renew its lease: see xe host-standing on it".to_owned()
    } else {
        "not joined because its daemon does not answer: see the log of holdfastd on it".to_owned()
    };
    Some(format!("host '{}' ({id}) is running, {reachable}, {why}", text(host, "name_label")))
}

pub(super) fn sagas() -> Vec<Def> {
    vec![
        Def::new("host_power_on")
            .check("switch_on", action!(switch_on))
            .check("await_power", action!(await_power))
            .repeats(LOOKS)
            .check("await_daemon", action!(await_daemon))
            .repeats(LOOKS)
            .last("await_joined", action!(await_joined))
            .repeats(LOOKS),
    ]
}

/// Key of a task's `other_config`: how far a host has come that was switched on, for people.
const STAGE: &str = "holdfast:stage";

/// Tells how far it has come, in the commit that records the step.
fn tell(state: &mut State, stage: &str) -> Result<(), StepError> {
    let task = Object::new(tasks::TASK, sagas::face(state)?.task);
    let field = edits::field_of(tasks::TASK, "other_config");
    let mut change = Change::new();
    change.edit(task, Edit::Insert(field, Value::word(STAGE), stage.into()));
    state.stage(change);
    Ok(())
}

fn its_device(daemon: &Daemon, view: &View, host: Uuid) -> Result<Device, StepError> {
    let record = find(view, "host", OpaqueRef::new(host)).map_err(|e| sagas::failed(&e))?;
    device(daemon, view, record).map_err(|e| sagas::failed(&e))
}

async fn switch_on(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let device = its_device(daemon, &daemon.view().await, args.host)?;
    device.switch(daemon, Power::On).await.map_err(|error| {
        sagas::failed(&errors::internal(format!("power device {}: {error}", device.agent)))
    })?;
    tell(state, "power: ordered")?;
    Ok(Flow::Next)
}

async fn await_power(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let device = its_device(daemon, &daemon.view().await, args.host)?;
    match device.status(daemon).await {
        Ok(Power::On) => {
            tell(state, "power: on; boot: under way")?;
            Ok(Flow::Next)
        }
        Ok(Power::Off) | Err(_) => Ok(Flow::Again(LOOK)),
    }
}

async fn await_daemon(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    const ANSWERS: &str = "power: on; boot: done; daemon: answers; pool: not joined yet";
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    if has_joined(daemon, &view, &args) {
        tell(state, ANSWERS)?;
        return Ok(Flow::Next);
    }
    let Some(member) = member(&view, args.host) else { return Ok(Flow::Again(LOOK)) };
    let address = (member.address.as_str(), member.api_port);
    match tokio::time::timeout(LOOK, tokio::net::TcpStream::connect(address)).await {
        Ok(Ok(_)) => {
            tell(state, ANSWERS)?;
            Ok(Flow::Next)
        }
        Ok(Err(_)) | Err(_) => Ok(Flow::Again(LOOK)),
    }
}

async fn await_joined(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    if !has_joined(daemon, &view, &args) {
        return Ok(Flow::Again(LOOK));
    }
    tell(state, "power: on; boot: done; daemon: answers; pool: joined")?;
    Ok(Flow::Next)
}

/// It has told of another boot, holds its lease, and is known to live.
fn has_joined(_: &Daemon, view: &View, args: &Args) -> bool {
    let lease = fencing::lease(view, args.host);
    let new = lease.is_some_and(|l| l.boot_id != args.boot);
    new && super::host::is_live(view, args.host)
}
