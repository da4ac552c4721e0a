//! Who is calling, may they, and which room answers.
//!
//! ```text
//! http ── Call ──> find the message ──> authenticate ──> authorize ──> coerce ──> implicit accessors | app::<class>
//!                                                                          └─ a refusal is looked at twice ─┘
//! ```
//! Only this room builds an [`Authorized`]; `app` functions accept nothing else, so forgetting to authorize does not
//! compile. No call takes longer than [`CALL_LIMIT`] except those that say so themselves: `event.from` and calls whose
//! task shows progress (design.md section 8).

pub mod auth;
pub mod errors;
mod implicit;
pub(crate) mod second_look;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use datamodel::{Class, Method, Param, Role};
use futures_util::FutureExt as _;
use uuid::Uuid;
use xenapi::{Error, Projection, Text, Value};

use crate::app;
use crate::http::Peer;
use crate::{Daemon, tasks};

/// Longest time for a call that is not a long operation.
pub const CALL_LIMIT: Duration = Duration::from_secs(28);

/// What a call gives back.
pub enum Outcome {
    /// One value.
    Value(Value),
    /// A map from reference to record, produced while it is written.
    Records(Box<dyn Iterator<Item = Projection> + Send>),
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Records(_) => f.write_str("Records"),
        }
    }
}

impl From<Value> for Outcome {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// Who calls, as far as it was proved.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Name of the account.
    pub user: String,
    /// Its role.
    pub role: Role,
    /// Where from.
    pub origin: String,
    /// The session, unless root on this host or a member called without one.
    pub session: Option<auth::SessionKey>,
    /// The member whose certificate was shown.
    pub member: Option<Uuid>,
}

impl Caller {
    /// The daemon itself, for what nobody asked for (a restart after a crash).
    pub(crate) fn of_this_host(daemon: &Daemon) -> Self {
        Self {
            user: format!("host {}", daemon.host()),
            role: Role::Internal,
            origin: "this host".to_owned(),
            session: None,
            member: None,
        }
    }
}

/// A call whose caller may make it, with parameters of the declared types.
#[derive(Debug)]
pub struct Authorized {
    caller: Caller,
    params: Vec<Value>,
    task: Option<Uuid>,
    method: &'static str,
}

impl Authorized {
    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The task that the caller watches (`Async.*`), if there is one.
    pub fn task(&self) -> Option<Uuid> {
        self.task
    }

    /// The message's full name, such as `VM.start`.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// The parameters, of the declared types.
    pub fn params(&self) -> &[Value] {
        &self.params
    }

    /// The parameters as the message's own struct.
    ///
    /// # Errors
    /// The XenAPI error of the first parameter that does not fit.
    pub fn decode<T>(&self, decode: impl FnOnce(&[Value]) -> Result<T, Error>) -> Result<T, Error> {
        decode(&self.params)
    }

    /// The same authority for a part of what was asked: it has no task that the caller watches.
    #[must_use]
    pub(crate) fn for_part(&self, params: Vec<Value>) -> Self {
        Self { task: None, ..self.with_params(params) }
    }

    /// The same authority used for another message of ours (`VM.start_on` is `VM.start` with a host).
    #[must_use]
    pub fn with_params(&self, params: Vec<Value>) -> Self {
        Self { caller: self.caller.clone(), params, task: self.task, method: self.method }
    }
}

/// A message as it is found by name.
#[derive(Debug, Clone, Copy)]
struct Found {
    class: &'static Class,
    method: Method,
    name: &'static str,
    params: &'static [Param],
    is_async: bool,
}

/// Built once, in byte order of the names: a method's name and parameters are looked up by every call.
static METHODS: LazyLock<Box<[Found]>> = LazyLock::new(|| {
    let mut table = Vec::new();
    for class in datamodel::CLASSES {
        for method in class.methods() {
            let name: &'static str = Box::leak(method.full_name().into_boxed_str());
            let params: &'static [Param] = match method.params() {
                Cow::Borrowed(params) => params,
                Cow::Owned(params) => params.leak(),
            };
            table.push(Found { class, method, name, params, is_async: false });
        }
    }
    table.sort_unstable_by_key(|found| found.name);
    table.into_boxed_slice()
});

/// The method of that full name, with or without `Async.` before it.
fn found(full_name: &str) -> Option<Found> {
    let (name, is_async) = match full_name.strip_prefix("Async.") {
        Some(name) => (name, true),
        None => (full_name, false),
    };
    let at = METHODS.binary_search_by_key(&name, |found| found.name).ok()?;
    let found = METHODS[at];
    (!is_async || found.method.is_async()).then_some(Found { is_async, ..found })
}

/// Names of all messages that clients may call, sorted: `system.listMethods` and `host.list_methods`.
pub fn method_names() -> Vec<Text> {
    let public = METHODS.iter().filter(|f| f.method.state() != datamodel::Lifecycle::Internal);
    let mut names: Vec<Text> = public
        .flat_map(|f| {
            let own = Text::new_static(f.name);
            let with_task = f.method.is_async().then(|| Text::new(format!("Async.{}", f.name)));
            std::iter::once(own).chain(with_task)
        })
        .collect();
    names.sort_unstable();
    names
}

/// Answers one call.
///
/// # Errors
/// The XenAPI error for the caller.
pub async fn call(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    method: &Text,
    mut params: Vec<Value>,
) -> Result<Outcome, Error> {
    if method == "system.listMethods" {
        return Ok(Value::Set(method_names().into_iter().map(Value::Str).collect()).into());
    }
    let Some(found) = found(method.as_str()) else {
        return Err(Error::new("MESSAGE_METHOD_UNKNOWN", [method.as_str()]));
    };
    let caller = if found.method.session() {
        if params.is_empty() {
            return Err(Error::parameter_count_mismatch(found.name, found.params.len() + 1, 0));
        }
        let session = params.remove(0);
        auth::caller(daemon, peer, &session).await?
    } else {
        auth::nobody(peer)
    };
    // Messages without a session are how one gets a session; they check the caller themselves.
    if found.method.session() {
        auth::authorize(&caller, found.name, &found.method, &params)?;
    }
    let params = xenapi::coerce::params(found.name, found.params, params)?;
    if let Some(refusal) = datamodel::coverage::refusal(&found.method) {
        return Err(errors::by_design(refusal, found.name));
    }
    let mut authorized = Authorized { caller, params, task: None, method: found.name };
    if !found.is_async {
        return run(daemon, found, &authorized).await;
    }
    let hold =
        tasks::create(daemon, &format!("Async.{}", found.name), "", &authorized.caller).await?;
    let task = hold.task();
    authorized.task = Some(task);
    let daemon = daemon.clone();
    tokio::spawn(async move {
        let result = match run(&daemon, found, &authorized).await {
            Ok(Outcome::Value(value)) => Ok(value),
            Ok(Outcome::Records(_)) => Ok(Value::Void),
            Err(error) => Err(error),
        };
        tasks::finish(&daemon, task, result).await;
        drop(hold);
    });
    Ok(Value::Ref(task.into()).into())
}

async fn run(daemon: &Arc<Daemon>, found: Found, call: &Authorized) -> Result<Outcome, Error> {
    match found.method {
        Method::Implicit(_, implicit) => {
            let decide = || implicit::call(daemon, found.class, implicit, call);
            bounded(found.name, second_look::twice(daemon, found.name, decide)).await
        }
        Method::Explicit(_, message) => {
            // Boxed: the largest of the app's futures is not to be part of every call's, twice.
            let decide = || app::call(daemon, found.class.name, message.name, call).boxed();
            let answer = second_look::twice(daemon, found.name, decide);
            if app::sets_its_own_limit(found.class.name, message) {
                answer.await
            } else {
                bounded(found.name, answer).await
            }
        }
    }
}

async fn bounded(
    name: &str,
    answer: impl Future<Output = Result<Outcome, Error>>,
) -> Result<Outcome, Error> {
    match tokio::time::timeout(CALL_LIMIT, answer).await {
        Ok(result) => result,
        Err(_) => Err(errors::internal(format!(
            "{name} did not end within {} s; its outcome is unknown: look before trying again",
            CALL_LIMIT.as_secs()
        ))),
    }
}
