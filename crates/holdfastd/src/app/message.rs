//! `message.*`: alerts that people read. Kept like every record; a bounded number is kept.

use std::sync::Arc;

use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Timestamp, Value};

use super::{find, int_param, object, ref_param, text, text_param};
use crate::api::{Authorized, errors};
use crate::edits::{self, Change};
use crate::first_start::new_record;
use crate::projection::project;
use crate::{Daemon, View, random_uuid};

const MESSAGE: &str = "message";

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let mut change = Change::new();
    match message {
        "create" => {
            let given = text_param(call, 3);
            let object = Uuid::try_parse(given)
                .map_err(|_| Error::new("UUID_INVALID", [text_param(call, 2), given]))?;
            let uuid = random_uuid();
            change.create(new_record(
                MESSAGE,
                uuid,
                [
                    ("name", text_param(call, 0).into()),
                    ("priority", int_param(call, 1).into()),
                    ("cls", text_param(call, 2).into()),
                    ("obj_uuid", object.to_string().into()),
                    ("timestamp", Timestamp(daemon.now()).into()),
                    ("body", text_param(call, 4).into()),
                ],
            ));
            edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
            return Ok(Value::Ref(OpaqueRef::new(uuid)));
        }
        "destroy" => {
            change.delete(object(find(&view, MESSAGE, ref_param(call, 0))?));
        }
        "destroy_many" => {
            let refs = call.params().first().and_then(Value::as_set);
            for opaque in refs.into_iter().flat_map(|s| s.opaques()) {
                change.delete(object(find(&view, MESSAGE, opaque)?));
            }
        }
        "get_all" => {
            return Ok(Value::Set(view.records(MESSAGE).map(|m| Value::Ref(m.opaque())).collect()));
        }
        "get_all_records" => return Ok(matching(&view, |_| true)),
        "get_all_records_where" => return Ok(matching(&view, |_| true)),
        "get" => {
            let (cls, uuid) = (text_param(call, 0), text_param(call, 1));
            let since = since(call, 2);
            return Ok(matching(&view, |m| {
                text(m, "cls").eq_ignore_ascii_case(cls)
                    && text(m, "obj_uuid") == uuid
                    && when(m) > since
            }));
        }
        "get_since" => {
            let since = since(call, 0);
            return Ok(matching(&view, |m| when(m) > since));
        }
        "get_by_uuid" => {
            let given = text_param(call, 0);
            let invalid = || Error::new("UUID_INVALID", [MESSAGE, given]);
            let uuid = Uuid::try_parse(given).map_err(|_| invalid())?;
            let found = view.record(MESSAGE, uuid).ok_or_else(invalid)?;
            return Ok(Value::Ref(found.opaque()));
        }
        "get_record" => {
            let found = find(&view, MESSAGE, ref_param(call, 0))?;
            return Ok(Value::Projected(Arc::new(project(&view, found))));
        }
        _ => return Err(errors::not_implemented(call.method())),
    }
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

fn when(message: &xenapi::Record) -> i64 {
    message.get_by_name("timestamp").and_then(Value::as_time).map_or(0, |t| t.0)
}

fn since(call: &Authorized, at: usize) -> i64 {
    call.params().get(at).and_then(Value::as_time).map_or(0, |t| t.0)
}

fn matching(view: &View, wanted: impl Fn(&xenapi::Record) -> bool) -> Value {
    Value::Map(
        view.records(MESSAGE)
            .filter(|m| wanted(m))
            .map(|m| (Value::Ref(m.opaque()), Value::Projected(Arc::new(project(view, m)))))
            .collect(),
    )
}
