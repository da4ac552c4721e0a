//! Events: `event.from` in a loop, on whichever host answers.
//!
//! A token says where in the history of the pool's database the reader is, so it is good on every host. When the history was cut
//! (`EVENTS_LOST`), the next batch begins anew with everything there is, and says so.

use std::time::Duration;

use xenapi::{OpaqueRef, Text, Value};

use crate::{CallError, Session};

/// Added to an `event.from`'s own time-out before the call is given up.
const MARGIN: Duration = Duration::from_secs(12);

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Class, in lower case as servers write it (`vm`).
    pub class: Text,
    /// `add`, `mod` or `del`.
    pub operation: Text,
    /// The object.
    pub opaque: OpaqueRef,
    /// The object's record after the event; nothing after `del`.
    pub snapshot: Option<Value>,
}

/// What one `event.from` gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// In order.
    pub events: Vec<Event>,
    /// The history was cut: forget what you know; these events tell everything that exists now.
    pub anew: bool,
}

/// A reader of events.
#[derive(Debug)]
pub struct Events {
    session: Session,
    classes: Vec<Value>,
    token: Text,
    anew: bool,
}

impl Session {
    /// Reads the events of these classes (`VM`, `task/OpaqueRef:…`, `*`), beginning with everything that exists.
    pub fn events(&self, classes: &[&str]) -> Events {
        let classes = classes.iter().map(|class| Value::from(*class)).collect();
        Events { session: self.clone(), classes, token: Text::new_static(""), anew: true }
    }
}

impl Events {
    /// Goes on behind that token, from an earlier reader.
    #[must_use]
    pub fn after(mut self, token: &str) -> Self {
        self.token = token.into();
        self.anew = token.is_empty();
        self
    }

    /// Where this reader is.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Waits at most that long for something to happen; the batch is empty if nothing did.
    pub async fn next(&mut self, limit: Duration) -> Result<Batch, CallError> {
        loop {
            let params = [
                Value::Set(self.classes.clone()),
                Value::Str(self.token.clone()),
                Value::Float(limit.as_secs_f64()),
            ];
            let answer = match self.session.call_within("event.from", &params, limit + MARGIN).await
            {
                Err(error) if error.is("EVENTS_LOST") && !self.token.is_empty() => {
                    self.token = Text::new_static("");
                    self.anew = true;
                    continue;
                }
                answer => answer?,
            };
            let strange =
                || self.session.strange("the answer of event.from has no events or token");
            let token = answer.member("token").and_then(Value::as_str).ok_or_else(strange)?;
            let Some(Value::Set(list)) = answer.member("events") else { return Err(strange()) };
            let events: Option<Vec<Event>> = list.iter().map(read).collect();
            let batch = Batch { events: events.ok_or_else(strange)?, anew: self.anew };
            self.token = token.into();
            self.anew = false;
            return Ok(batch);
        }
    }
}

fn read(event: &Value) -> Option<Event> {
    let text = |name: &str| event.member(name).and_then(Value::as_str);
    Some(Event {
        class: text("class")?.into(),
        operation: text("operation")?.into(),
        opaque: OpaqueRef::parse(text("ref")?)?,
        snapshot: event.member("snapshot").filter(|snapshot| !snapshot.is_void()).cloned(),
    })
}
