//! `event.from`: differences of projected records since a token, and the older registration interface on top of it.
//!
//! Every commit is the event; nobody announces a change separately. A token is (pool epoch, cluster id, revision) of the
//! database, so any host's replica can continue it and a client moves to a survivor without loss. `EVENTS_LOST` is said
//! only when it is true: another database, or deletions that far back are no longer known.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pooldb::{Revision, Table};
use xenapi::{Error, OpaqueRef, Record, Text, Timestamp, Value};

use crate::edits::Object;
use crate::projection::{neighbours, project};
use crate::{Daemon, View};

/// Longest time that `event.from` waits, whatever the client asks for.
pub const MAX_WAIT: Duration = Duration::from_secs(3600);
/// After the first change, further ones are gathered for this long, so that a burst is one answer.
const GATHER: Duration = Duration::from_millis(5);

/// Where a client stands in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    epoch: u64,
    cluster: u64,
    revision: u64,
}

impl Token {
    /// Everything that a view shows was heard.
    pub fn of(view: &View) -> Self {
        Self {
            epoch: view.pool_epoch().unwrap_or_default(),
            cluster: view.identity().map(|i| i.cluster_id).unwrap_or_default(),
            revision: view.revision().0,
        }
    }

    /// XenServer's tokens are numbers joined by a comma; clients treat them as opaque.
    fn text(self) -> String {
        format!("{:020},{:020},{:020}", self.epoch, self.cluster, self.revision)
    }

    /// `Ok(None)` for the empty token: everything.
    fn parse(text: &str) -> Result<Option<Self>, Error> {
        if text.is_empty() {
            return Ok(None);
        }
        let bad = || Error::new("EVENT_FROM_TOKEN_PARSE_FAILURE", [text]);
        let mut parts = text.split(',').map(str::parse::<u64>);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(epoch)), Some(Ok(cluster)), Some(Ok(revision)), None) => {
                Ok(Some(Self { epoch, cluster, revision }))
            }
            _ => Err(bad()),
        }
    }
}

/// What a client wants to hear of: whole classes, single objects, or everything.
#[derive(Debug, Clone, Default)]
pub struct Interest {
    all: bool,
    classes: HashSet<String>,
    objects: HashSet<(String, OpaqueRef)>,
}

impl Interest {
    /// Also what the other one wants.
    pub fn add(&mut self, other: Self) {
        self.all |= other.all;
        self.classes.extend(other.classes);
        self.objects.extend(other.objects);
    }

    /// No longer what the other one wants; whether anything is left.
    pub fn remove(&mut self, other: &Self) -> bool {
        self.all &= !other.all;
        self.classes.retain(|class| !other.classes.contains(class));
        self.objects.retain(|object| !other.objects.contains(object));
        self.all || !self.classes.is_empty() || !self.objects.is_empty()
    }

    /// Reads subscriptions: `*`, classes, `CLASS/REFERENCE`.
    ///
    /// # Errors
    /// `EVENT_SUBSCRIPTION_PARSE_FAILURE`.
    pub fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, Error> {
        let mut interest = Self::default();
        for word in words {
            let bad = || Error::new("EVENT_SUBSCRIPTION_PARSE_FAILURE", [word]);
            if word == "*" {
                interest.all = true;
            } else if let Some((class, reference)) = word.split_once('/') {
                let reference = OpaqueRef::parse(reference).ok_or_else(bad)?;
                interest.objects.insert((class.to_lowercase(), reference));
            } else {
                interest.classes.insert(word.to_lowercase());
            }
        }
        Ok(interest)
    }

    fn wants(&self, class: &str, reference: OpaqueRef) -> bool {
        let class = class.to_lowercase();
        self.all
            || self.classes.contains(&class)
            || (!self.objects.is_empty() && self.objects.contains(&(class, reference)))
    }

    fn wants_class(&self, class: &str) -> bool {
        let class = class.to_lowercase();
        self.all || self.classes.contains(&class) || self.objects.iter().any(|(c, _)| *c == class)
    }
}

/// Answers `event.from`.
///
/// # Errors
/// `EVENTS_LOST`, or a token or subscription that can't be read.
pub async fn from<'a>(
    daemon: &Arc<Daemon>,
    classes: impl Iterator<Item = &'a str>,
    token: &str,
    timeout: f64,
) -> Result<Value, Error> {
    let interest = Interest::parse(classes)?;
    let token = Token::parse(token)?;
    let wait = if timeout.is_finite() && timeout > 0.0 {
        Duration::try_from_secs_f64(timeout).unwrap_or(MAX_WAIT).min(MAX_WAIT)
    } else {
        Duration::ZERO
    };
    let (view, events) = wait_for(daemon, &interest, token, wait).await?;
    Ok(batch(&view, &interest, events))
}

/// Waits for what happens after `heard`: the events, none if `limit` passes first, and how far that was.
///
/// # Errors
/// `EVENTS_LOST`.
pub async fn after(
    daemon: &Arc<Daemon>,
    interest: &Interest,
    heard: Token,
    limit: Duration,
) -> Result<(Value, Token), Error> {
    let (view, events) = wait_for(daemon, interest, Some(heard), limit).await?;
    Ok((shown(events), Token::of(&view)))
}

/// The events behind a token, as soon as there are any or `limit` has passed, and the view that shows them.
async fn wait_for(
    daemon: &Arc<Daemon>,
    interest: &Interest,
    token: Option<Token>,
    limit: Duration,
) -> Result<(View, Vec<Event>), Error> {
    let deadline = tokio::time::Instant::now() + limit;
    let mut changed = daemon.store().replica().changed();
    let mut view = daemon.store().read().await;
    // A token from a host that is ahead of this one: catch up first.
    if let Some(token) = token {
        let here = Token::of(&view);
        if token.epoch == here.epoch
            && token.cluster == here.cluster
            && token.revision > here.revision
        {
            let _ = daemon.store().read_at(Revision(token.revision), crate::CATCH_UP_LIMIT).await;
            view = daemon.store().view();
        }
    }
    loop {
        let events = since(&view, interest, token)?;
        if !events.is_empty() || tokio::time::Instant::now() >= deadline {
            return Ok((view, events));
        }
        tokio::select! {
            _ = changed.changed() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep_until(deadline) => {}
            () = daemon.stopping() => return Err(Error::new("HOST_STILL_BOOTING", Vec::<String>::new())),
        }
        view = daemon.store().view();
    }
}

/// Answers `event.inject`: the object is written again as it is, so that every client sees it modified. Returns a token
/// from just before, as XenServer does.
///
/// # Errors
/// If there is no such object.
pub async fn inject(daemon: &Arc<Daemon>, class: &str, reference: &str) -> Result<Value, Error> {
    let invalid = || Error::handle_invalid(class, reference);
    let found = datamodel::CLASSES
        .iter()
        .find(|c| c.name.eq_ignore_ascii_case(class))
        .ok_or_else(invalid)?;
    let uuid = OpaqueRef::parse(reference).and_then(OpaqueRef::uuid).ok_or_else(invalid)?;
    let view = daemon.view().await;
    let item = view.record_item(found.name, uuid).ok_or_else(invalid)?;
    let token = Token::of(&view);
    let txn = pooldb::Txn::new()
        .at_revision(item.key.clone(), item.modified)
        .put(item.key.clone(), item.value());
    match daemon.commit(txn).await {
        // Somebody else modified it: that is an event too.
        Ok(_) | Err(pooldb::CommitError::Conflict { .. }) => Ok(token.text().into()),
        Err(error) => Err(crate::api::errors::from_commit(error)),
    }
}

struct Event {
    revision: u64,
    class: &'static str,
    operation: &'static str,
    reference: OpaqueRef,
    snapshot: Option<Arc<xenapi::Projection>>,
}

/// What happened after the token, each object once, in the order of the revisions.
fn since(view: &View, interest: &Interest, token: Option<Token>) -> Result<Vec<Event>, Error> {
    let lost = || Error::new("EVENTS_LOST", Vec::<String>::new());
    let here = Token::of(view);
    let from = match token {
        None => Revision(0),
        Some(t)
            if t.epoch != here.epoch || t.cluster != here.cluster || t.revision > here.revision =>
        {
            return Err(lost());
        }
        Some(t) => Revision(t.revision),
    };
    if token.is_some_and(|t| t.revision == here.revision) {
        return Ok(Vec::new());
    }
    let mut seen: BTreeMap<Object, (u64, bool)> = BTreeMap::new();
    for item in view.modified_after(from) {
        let Table::Record(class) = item.key.table else { continue };
        let Some(record) = item.record() else { continue };
        if interest.wants(class, record.opaque()) {
            let entry = seen.entry(Object::new(class, record.uuid())).or_insert((0, false));
            entry.0 = entry.0.max(item.modified.0);
            entry.1 |= item.created > from;
        }
        if token.is_some() {
            note_neighbours(view, interest, record, item.modified.0, &mut seen);
        }
    }
    let mut events = Vec::with_capacity(seen.len());
    if token.is_some() {
        for (revision, key) in view.deleted_after(from).map_err(|_| lost())? {
            let (Table::Record(class), Some(uuid)) = (key.table, key.uuid()) else { continue };
            let reference = OpaqueRef::new(uuid);
            if view.record(class, uuid).is_none() && interest.wants(class, reference) {
                events.push(Event {
                    revision: revision.0,
                    class,
                    operation: "del",
                    reference,
                    snapshot: None,
                });
            }
        }
    }
    for (object, (revision, added)) in seen {
        let Some(record) = view.record(object.class, object.uuid) else { continue };
        events.push(Event {
            revision,
            class: object.class,
            operation: if added { "add" } else { "mod" },
            reference: record.opaque(),
            snapshot: Some(Arc::new(project(view, record))),
        });
    }
    events.sort_by_key(|e| e.revision);
    Ok(events)
}

/// Objects that show the changed one: its VM for a VBD, the VBDs of a VM (their allowed operations follow its power).
fn note_neighbours(
    view: &View,
    interest: &Interest,
    record: &Record,
    revision: u64,
    seen: &mut BTreeMap<Object, (u64, bool)>,
) {
    let mut note = |object: Object| {
        if interest.wants_class(object.class)
            && view.record(object.class, object.uuid).is_some()
            && interest.wants(object.class, OpaqueRef::new(object.uuid))
        {
            let entry = seen.entry(object).or_insert((0, false));
            entry.0 = entry.0.max(revision);
        }
    };
    for object in neighbours(record) {
        note(object);
    }
    const FOLLOWERS: &[(&str, &str, &str)] =
        &[("VM", "VBD", "VM"), ("VM", "VIF", "VM"), ("VBD", "VDI", ""), ("PBD", "SR", "")];
    for (class, follower, field) in FOLLOWERS {
        if record.class().name == *class && !field.is_empty() {
            for uuid in view.referrers(follower, field, record.uuid()) {
                note(Object::new(follower, uuid));
            }
        }
    }
}

/// Events as clients see them.
fn shown(events: Vec<Event>) -> Value {
    let timestamp = Timestamp(0);
    let events = events
        .into_iter()
        .map(|e| {
            let mut members: Vec<(Text, Value)> = vec![
                (Text::new_static("id"), Value::Int(i64::try_from(e.revision).unwrap_or(i64::MAX))),
                (Text::new_static("timestamp"), timestamp.into()),
                (Text::new_static("class"), Value::str(e.class.to_lowercase())),
                (Text::new_static("operation"), Value::word(e.operation)),
                (Text::new_static("ref"), Value::Ref(e.reference)),
            ];
            if let Some(snapshot) = e.snapshot {
                members.push((Text::new_static("snapshot"), Value::Projected(snapshot)));
            }
            Value::Struct(members)
        })
        .collect();
    Value::Set(events)
}

fn batch(view: &View, interest: &Interest, events: Vec<Event>) -> Value {
    let counts = datamodel::CLASSES
        .iter()
        .filter(|c| c.events && interest.wants_class(c.name))
        .map(|c| {
            let count = i64::try_from(view.table_len(Table::Record(c.name))).unwrap_or(i64::MAX);
            (Text::new(c.name.to_lowercase()), Value::Int(count))
        })
        .collect();
    Value::Struct(vec![
        (Text::new_static("events"), shown(events)),
        (Text::new_static("valid_ref_counts"), Value::Struct(counts)),
        (Text::new_static("token"), Token::of(view).text().into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text() {
        let token = Token { epoch: 1, cluster: u64::MAX, revision: 77 };
        assert_eq!(Token::parse(&token.text()).expect("parses"), Some(token));
        assert_eq!(Token::parse("").expect("parses"), None);
        assert!(Token::parse("x").is_err());
    }

    #[test]
    fn classes_are_matched_without_regard_to_case() {
        let interest = Interest::parse(["vm", "task/OpaqueRef:NULL"].into_iter()).expect("parses");
        assert!(interest.wants("VM", OpaqueRef::NULL));
        assert!(interest.wants("task", OpaqueRef::NULL));
        assert!(!interest.wants("VDI", OpaqueRef::NULL));
        assert!(Interest::parse(["vm/what"].into_iter()).is_err());
    }
}
