//! A client of the pool: on the lab's network, in no host, with one host that it goes to, as a program of somebody else's.
//!
//! It writes small values, each under a key of its own, and operates VMs by their tasks, until it is told to stop. Every
//! call is timed on the machine's one monotonic clock, so that the runner can hold it against what was broken then.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use client::{CallError, Client, Options, Session, Target, Trust};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use xenapi::{OpaqueRef, Value};

use super::load::{COUNTER, LABEL, Operator, Way, choose, choose_for_counter, flag, text};
use super::{Choices, load};
use crate::clock::monotonic_s;
use crate::lab::root_session;

/// Pause between two writes, and between two tries of what can't be done now.
const PACE: Duration = Duration::from_millis(150);
/// A call that took longer is told one by one.
const WORTH_S: f64 = 10.0;
/// Most calls that are told one by one.
const MOST: usize = 200;
/// Most characters of an error's text.
const MOST_TEXT: usize = 120;
/// Beginning of all keys that clients write.
pub(super) const KEYS: &str = "soak-c";

/// What a client is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Orders {
    /// Number of the client.
    pub(super) client: u64,
    /// Name of its host, and its place among `HOLDFAST_HOSTS`.
    pub(super) host: String,
    pub(super) place: usize,
    pub(super) round: u64,
    pub(super) seed: u64,
    /// Uuids of the VMs that it writes to.
    pub(super) vms: Vec<String>,
    /// File with the session of all clients.
    pub(super) session: String,
    /// It stops when this file is there.
    pub(super) stop: String,
}

/// How long calls took.
#[derive(Debug, Default)]
pub(super) struct Calls(RefCell<Taken>);

#[derive(Debug, Default)]
struct Taken {
    calls: u64,
    worst_s: f64,
    slow: Vec<Json>,
    errors: BTreeMap<String, u64>,
}

impl Calls {
    /// Times a call.
    pub(super) async fn timed<T>(
        &self,
        method: &str,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let from = monotonic_s();
        let answer = call.await;
        let took = monotonic_s() - from;
        let mut taken = self.0.borrow_mut();
        taken.calls += 1;
        taken.worst_s = taken.worst_s.max(took);
        if took >= WORTH_S && taken.slow.len() < MOST {
            let said = answer.as_ref().err().map(ToString::to_string);
            taken.slow.push(json!({"method": method, "from": from, "took": took, "said": said}));
        }
        if let Err(error) = &answer {
            *taken.errors.entry(counted_as(error)).or_default() += 1;
        }
        answer
    }
}

/// An error's code; with its text where the code says nothing.
fn counted_as(error: &CallError) -> String {
    match error.api() {
        None => "no answer".to_owned(),
        Some(error) if error.is("INTERNAL_ERROR") => {
            format!(
                "{}: {}",
                error.code,
                error.param(0).chars().take(MOST_TEXT).collect::<String>()
            )
        }
        Some(error) => error.code.to_string(),
    }
}

/// What a client has done.
#[derive(Debug, Default)]
struct Done {
    /// VM and key of each acknowledged write.
    acked: Vec<(String, String)>,
    /// When each was acknowledged.
    accepted: Vec<f64>,
    refused: u64,
    unanswered: u64,
    operations: BTreeMap<&'static str, u64>,
    operations_failed: u64,
}

impl Done {
    fn wrote(&mut self, answer: Result<Value, CallError>, vm: String, key: String) {
        match answer {
            Ok(_) => {
                self.acked.push((vm, key));
                self.accepted.push(monotonic_s());
            }
            Err(CallError::Api(_) | CallError::Unreachable { .. }) => self.refused += 1,
            Err(_) => self.unanswered += 1,
        }
    }

    fn operated(&mut self, outcome: Result<&'static str, CallError>) {
        match outcome {
            Ok(kind) => *self.operations.entry(kind).or_default() += 1,
            Err(_) => self.operations_failed += 1,
        }
    }
}

/// How clients call: they trust the pool's authority, and the certificate must name the host.
fn options() -> anyhow::Result<Options> {
    let ca = std::fs::read(std::env::var("XE_CA").context("XE_CA")?)?;
    Ok(Options::new(Trust::ca_pem(&ca, true).map_err(anyhow::Error::msg)?))
}

fn targets() -> anyhow::Result<Vec<Target>> {
    let addresses = std::env::var("HOLDFAST_HOSTS").context("HOLDFAST_HOSTS")?;
    Ok(addresses.split(',').filter_map(Target::parse).collect())
}

/// Logs in at any host and leaves the session in a file: it is the pool's, so it must hold at every host and all the time.
pub(super) async fn login(file: &str) -> anyhow::Result<Json> {
    let targets = targets()?;
    let first = targets.first().context("a lab has hosts")?.clone();
    let password = std::env::var("XE_PASSWORD").context("XE_PASSWORD")?;
    let client = Client::connect(first, options()?.with_others(targets)).await?;
    let session = client.login("root", &password, LABEL).await?;
    host::fs::write_private(Path::new(file), session.token().as_bytes())?;
    Ok(json!({}))
}

/// Works until told to stop.
pub(super) async fn client(orders: &Orders) -> anyhow::Result<Json> {
    let targets = targets()?;
    let own = targets.get(orders.place).context("a host of that place")?.clone();
    let vms: Vec<OpaqueRef> =
        orders.vms.iter().filter_map(|vm| vm.parse().ok()).map(OpaqueRef::new).collect();
    anyhow::ensure!(!vms.is_empty(), "there are VMs to write to");
    let token = std::fs::read_to_string(&orders.session).context("the session")?;
    let alone =
        || -> anyhow::Result<Session> { Ok(Client::new(own.clone(), options()?)?.session(&token)) };
    let (writer, operator) = (Operator::new(alone()?, way()), Operator::new(alone()?, way()));
    let done = RefCell::new(Done::default());
    let stopped = || Path::new(&orders.stop).exists();
    let write = async {
        let mut choices = Choices(orders.seed ^ 1);
        for n in 0_u64.. {
            if stopped() {
                break;
            }
            let at = choices.below(vms.len());
            let key = format!("{KEYS}{}-{}-{n}", orders.client, orders.round);
            let params = [Value::Ref(vms[at]), key.as_str().into(), "written".into()];
            let answer = writer.call("VM.add_to_other_config", &params).await;
            done.borrow_mut().wrote(answer, orders.vms[at].clone(), key);
            tokio::time::sleep(PACE).await;
        }
    };
    let operate = async {
        let mut choices = Choices(orders.seed ^ 2);
        while !stopped() {
            let outcome = tokio::select! {
                outcome = one_operation(&operator, &mut choices) => outcome,
                // What was begun goes on by itself.
                () = until(&stopped) => break,
            };
            done.borrow_mut().operated(outcome);
            tokio::time::sleep(PACE).await;
        }
    };
    tokio::join!(write, operate);
    let done = done.into_inner();
    let mut calls = taken(&writer);
    let other = taken(&operator);
    calls.calls += other.calls;
    calls.worst_s = calls.worst_s.max(other.worst_s);
    calls.slow.extend(other.slow);
    for (code, count) in other.errors {
        *calls.errors.entry(code).or_default() += count;
    }
    Ok(json!({
        "acked": done.acked, "accepted": done.accepted, "refused": done.refused, "unanswered": done.unanswered,
        "operations": done.operations, "operations_failed": done.operations_failed,
        "calls": calls.calls, "worst_s": calls.worst_s, "slow": calls.slow, "errors": calls.errors,
    }))
}

fn way() -> Way {
    Way::Task(Calls::default())
}

fn taken(operator: &Operator) -> Taken {
    operator.calls().map(|calls| calls.0.take()).unwrap_or_default()
}

async fn until(stopped: &impl Fn() -> bool) {
    while !stopped() {
        tokio::time::sleep(PACE).await;
    }
}

fn is_ours(vm: &xenapi::Record) -> bool {
    text(vm, "name_label").starts_with(LABEL) && !flag(vm, "is_a_snapshot")
}

async fn one_operation(
    operator: &Operator,
    choices: &mut Choices,
) -> Result<&'static str, CallError> {
    let vms = operator.records("VM").await?;
    let mine: Vec<_> = vms.iter().filter(|vm| is_ours(vm)).collect();
    let Some(vm) = mine.get(choices.below(mine.len().max(1))) else { return Ok("rest") };
    let power = text(vm, "power_state");
    let kind = if text(vm, "name_label").contains(COUNTER) {
        choose_for_counter(choices, power)
    } else {
        choose(choices, power)
    };
    match kind {
        // The other half of this client writes.
        "rest" | "write" => return Ok("rest"),
        kind => operator.operate(vm, kind, choices).await?,
    }
    Ok(kind)
}

/// The keys of clients that stand in this host's records, by VM; `strip` takes them away afterwards.
pub(super) async fn keys(strip: bool) -> anyhow::Result<Json> {
    let session = root_session().await?;
    let mut found = serde_json::Map::new();
    for vm in session.records("VM").await?.into_iter().filter(is_ours) {
        let config = vm.get_by_name("other_config").and_then(Value::as_map);
        let pairs: Vec<(&str, &str)> = config
            .into_iter()
            .flat_map(|map| map.pairs())
            .filter_map(|(k, v)| Some((k.as_str()?, v.as_str()?)))
            .collect();
        let (clients, rest): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|(key, _)| key.starts_with(KEYS));
        if strip && !clients.is_empty() {
            let params = [Value::Ref(vm.opaque()), Value::str_map(rest)];
            session.call_within("VM.set_other_config", &params, load::LIMIT).await?;
        }
        let names: Vec<&str> = clients.into_iter().map(|(key, _)| key).collect();
        found.insert(vm.uuid().to_string(), json!(names));
    }
    Ok(Json::Object(found))
}
