//! A session: calls with its token in front, asynchronous calls, records, streams.

use std::fmt;
use std::time::Duration;

use xenapi::{OpaqueRef, Record, Value};

use crate::{CallError, Client, Progress, Target};

/// A session. Its token is a secret: it isn't printed.
#[derive(Clone)]
pub struct Session {
    client: Client,
    token: Box<str>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(client: Client, token: &str) -> Self {
        Self { client, token: token.into() }
    }

    /// Its client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The secret by which the server knows it.
    pub fn token(&self) -> &str {
        &self.token
    }

    fn params(&self, params: &[Value]) -> Vec<Value> {
        let mut all = Vec::with_capacity(params.len() + 1);
        all.push(Value::from(&*self.token));
        all.extend_from_slice(params);
        all
    }

    /// Calls a method; `params` are those after the session.
    pub async fn call(&self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        self.client.call(method, &self.params(params)).await
    }

    /// Calls a method that may take that long.
    pub async fn call_within(
        &self,
        method: &str,
        params: &[Value],
        limit: Duration,
    ) -> Result<Value, CallError> {
        self.client.call_within(method, &self.params(params), limit).await
    }

    /// Starts `Async.METHOD` and gives its task.
    pub async fn start(&self, method: &str, params: &[Value]) -> Result<OpaqueRef, CallError> {
        let answer = self.call(&format!("Async.{method}"), params).await?;
        answer.as_opaque().ok_or_else(|| self.strange("the task is no reference"))
    }

    /// Starts `Async.METHOD`, waits for its task at most that long, and gives its result. The task is destroyed afterwards, unless
    /// the time was over.
    pub async fn call_async(
        &self,
        method: &str,
        params: &[Value],
        limit: Duration,
        progress: impl FnMut(&Progress),
    ) -> Result<Value, CallError> {
        let task = self.start(method, params).await?;
        let result = self.wait_task(task, limit, progress).await;
        if matches!(result, Ok(_) | Err(CallError::Api(_))) {
            // Finished tasks are also swept by the server.
            let _ = self.call("task.destroy", &[Value::Ref(task)]).await;
        }
        result
    }

    /// `CLASS.get_record`, read with the class's types.
    pub async fn record(
        &self,
        class: &'static str,
        opaque: OpaqueRef,
    ) -> Result<Record, CallError> {
        let answer = self.call(&format!("{class}.get_record"), &[Value::Ref(opaque)]).await?;
        let known = Record::class_named(class).ok_or_else(|| self.strange("no such class"))?;
        Ok(Record::from_wire(known, opaque, answer)?)
    }

    /// `CLASS.get_all_records`, read with the class's types.
    pub async fn records(&self, class: &'static str) -> Result<Vec<Record>, CallError> {
        let answer = self.call(&format!("{class}.get_all_records"), &[]).await?;
        Ok(Client::records(class, answer)?)
    }

    /// Asks for the addresses of all hosts of the pool and remembers them for fail-over (S2-18).
    pub async fn learn_hosts(&self) -> Result<Vec<Target>, CallError> {
        let here = self.client.current_target();
        let hosts = self.records("host").await?;
        let address = |host: &Record| here.sibling(host.get_by_name("address")?.as_str()?);
        let targets: Vec<Target> = hosts.iter().filter_map(address).collect();
        self.client.learn_hosts(targets.iter().cloned());
        Ok(targets)
    }

    /// Ends the session.
    pub async fn logout(self) -> Result<(), CallError> {
        self.call("session.logout", &[]).await.map(|_| ())
    }

    pub(crate) fn strange(&self, reason: &str) -> CallError {
        CallError::Protocol {
            host: self.client.current_target().to_string(),
            reason: reason.to_owned(),
        }
    }
}
