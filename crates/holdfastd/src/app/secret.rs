//! `secret.*`: passwords that other objects refer to.
//!
//! The value is sealed with the pool key before it enters the database, under the secret's own uuid, so that two sealed
//! values can't be swapped. It is opened only for the getters of this class, which take the role that the datamodel says;
//! events and every other projection show an empty value.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use datamodel::Implicit;
use uuid::Uuid;
use xenapi::{Error, FieldIdx, Record, Value};

use super::{find, object, ref_param, text};
use crate::Daemon;
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, field_of};
use crate::pki::Secret;

fn sealing_name(uuid: Uuid) -> String {
    format!("secret {uuid}")
}

fn seal(daemon: &Daemon, uuid: Uuid, plain: &str) -> Value {
    BASE64_STANDARD.encode(daemon.pool_key().seal(&sealing_name(uuid), plain)).into()
}

fn open(daemon: &Daemon, record: &Record) -> Result<Secret, Error> {
    let sealed = BASE64_STANDARD.decode(text(record, "value")).unwrap_or_default();
    daemon.pool_key().unseal(&sealing_name(record.uuid()), &sealed).map_err(|_| {
        errors::internal(format!(
            "the secret {} can't be opened with this pool's key: it was sealed by another pool",
            record.uuid()
        ))
    })
}

/// The record with its value, for a caller who may read it.
fn opened(daemon: &Daemon, record: &Record) -> Result<Value, Error> {
    let plain = open(daemon, record)?;
    let mut record = record.clone();
    record.set_by_name("value", plain.expose().into());
    Ok(Value::Record(Arc::new(record)))
}

/// Answers the derived messages that have to do with the value; `None` for the others.
pub(crate) async fn implicit(
    daemon: &Arc<Daemon>,
    what: Implicit,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    let value = field_of("secret", "value");
    match what {
        Implicit::GetAllRecords => {
            let view = daemon.view().await;
            // One that can't be opened must not hide the others.
            let all = view.records("secret").map(|record| {
                let shown = opened(daemon, record)
                    .unwrap_or_else(|_| Value::Record(Arc::new(blank(record))));
                (Value::Ref(record.opaque()), shown)
            });
            Some(Ok(Value::Map(all.collect())))
        }
        Implicit::GetRecord => {
            let view = daemon.view().await;
            Some(find(&view, "secret", ref_param(call, 0)).and_then(|r| opened(daemon, r)))
        }
        Implicit::Get(i) if FieldIdx(i) == value => {
            let view = daemon.view().await;
            let record = find(&view, "secret", ref_param(call, 0));
            Some(record.and_then(|r| open(daemon, r)).map(|plain| plain.expose().into()))
        }
        Implicit::Set(i) if FieldIdx(i) == value => Some(set(daemon, call).await),
        _ => None,
    }
}

async fn set(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let record = find(&view, "secret", ref_param(call, 0))?;
    let mut change = Change::new();
    change.set(object(record), "value", seal(daemon, record.uuid(), super::text_param(call, 1)));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

/// What everybody else sees of it.
pub(crate) fn blank(record: &Record) -> Record {
    let mut record = record.clone();
    record.set_by_name("value", "".into());
    record
}

/// `secret.create(record)`.
pub(super) async fn create(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let mut record = super::given_record(call)?;
    let sealed = seal(daemon, record.uuid(), text(&record, "value"));
    record.set_by_name("value", sealed);
    super::create_record(daemon, record).await
}
