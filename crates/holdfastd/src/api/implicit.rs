//! Implicit messages: `get_record`, `get_all_records`, `get_FIELD`, `set_FIELD`, `add_to_FIELD` and their like, for every
//! class, from the datamodel alone.
//!
//! Reads answer from the replica at the newest revision this process has committed. Writes are one guarded commit.
//! Classes with meaning behind creation and destruction (VM, VBD, VIF, ...) answer those in `app`.

use std::sync::Arc;

use datamodel::{Class, Implicit};
use uuid::Uuid;
use xenapi::{Error, FieldIdx, OpaqueRef, Record, Value};

use super::{Authorized, Outcome, errors};
use crate::edits::{self, Change, Edit, Object};
use crate::projection::project;
use crate::{Daemon, View, app};

/// Answers an implicit message.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    class: &'static Class,
    what: Implicit,
    call: &Authorized,
) -> Result<Outcome, Error> {
    if class.name == "session" {
        return app::session::implicit(daemon, what, call).await.map(Outcome::Value);
    }
    if class.name == "secret"
        && let Some(answer) = app::secret::implicit(daemon, what, call).await
    {
        return answer.map(Outcome::Value);
    }
    if class.name == "role"
        && let Some(answer) = app::role::implicit(what, call)
    {
        return Ok(answer.into());
    }
    let params = call.params();
    let store = daemon.store();
    match what {
        Implicit::GetAllRecords => {
            let view = store.read().await;
            return Ok(Outcome::Records(Box::new(all_projected(view, class))));
        }
        Implicit::GetAll => {
            let view = store.read().await;
            let refs = view.records(class.name).map(|r| Value::Ref(r.opaque())).collect();
            return Ok(Value::Set(refs).into());
        }
        Implicit::GetByNameLabel => {
            let label = params.first().and_then(Value::as_str).unwrap_or_default();
            let field = edits::field_of(class.name, "name_label");
            let view = store.read().await;
            let refs = view
                .records(class.name)
                .filter(|r| r.get(field).as_str() == Some(label))
                .map(|r| Value::Ref(r.opaque()))
                .collect();
            return Ok(Value::Set(refs).into());
        }
        Implicit::GetByUuid => {
            let text = params.first().and_then(Value::as_str).unwrap_or_default();
            let invalid = || Error::new("UUID_INVALID", [class.name, text]);
            let uuid = Uuid::try_parse(text).map_err(|_| invalid())?;
            let view = store.read().await;
            let record = view.record(class.name, uuid).ok_or_else(invalid)?;
            return Ok(Value::Ref(record.opaque()).into());
        }
        Implicit::Create => return app::create(daemon, class, call).await.map(Outcome::Value),
        Implicit::Destroy => return app::destroy(daemon, class, call).await.map(Outcome::Value),
        Implicit::GetRecord
        | Implicit::Get(_)
        | Implicit::Set(_)
        | Implicit::AddTo(_)
        | Implicit::RemoveFrom(_)
        | Implicit::Add(_)
        | Implicit::Remove(_) => {}
    }
    let view = store.read().await;
    let record = of_self(&view, class, params.first())?;
    match what {
        Implicit::GetRecord => Ok(Value::Projected(Arc::new(project(&view, record))).into()),
        Implicit::Get(i) => {
            let field = FieldIdx(i);
            let value = if class.fields[field.at()].store == datamodel::Store::Stored {
                record.get(field).clone()
            } else {
                project(&view, record).get(field).clone()
            };
            Ok(value.into())
        }
        Implicit::Set(i)
        | Implicit::AddTo(i)
        | Implicit::RemoveFrom(i)
        | Implicit::Add(i)
        | Implicit::Remove(i) => {
            let field = FieldIdx(i);
            let edit = edit_of(class, record, what, field, &params[1..])?;
            app::check_field(&view, record, class.fields[field.at()].name, &edit)?;
            let mut change = Change::new();
            change.edit(Object::new(class.name, record.uuid()), edit);
            drop(view);
            edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
            Ok(Value::Void.into())
        }
        Implicit::GetAllRecords
        | Implicit::GetAll
        | Implicit::GetByNameLabel
        | Implicit::GetByUuid
        | Implicit::Create
        | Implicit::Destroy => Err(errors::internal("answered above")),
    }
}

fn edit_of(
    class: &'static Class,
    record: &Record,
    what: Implicit,
    field: FieldIdx,
    params: &[Value],
) -> Result<Edit, Error> {
    let name = class.fields[field.at()].name;
    let value = |i: usize| params.get(i).cloned().ok_or_else(|| Error::field_type_error(name));
    Ok(match what {
        Implicit::Set(_) => Edit::Set(field, value(0)?),
        Implicit::AddTo(_) => {
            let key = value(0)?;
            let taken = record.map_of(field).pairs().iter().any(|(k, _)| *k == key);
            if taken {
                return Err(Error::new(
                    "MAP_DUPLICATE_KEY",
                    [
                        class.name.to_owned(),
                        name.to_owned(),
                        record.opaque().to_string(),
                        key.as_str().unwrap_or_default().to_owned(),
                    ],
                ));
            }
            Edit::Insert(field, key, value(1)?)
        }
        Implicit::RemoveFrom(_) => Edit::Remove(field, value(0)?),
        Implicit::Add(_) => Edit::Add(field, value(0)?),
        _ => Edit::Drop(field, value(0)?),
    })
}

/// The record that the first parameter of a message refers to.
pub(crate) fn of_self<'v>(
    view: &'v View,
    class: &'static Class,
    param: Option<&Value>,
) -> Result<&'v Arc<Record>, Error> {
    let opaque = param.and_then(Value::as_opaque).unwrap_or(OpaqueRef::NULL);
    opaque
        .uuid()
        .and_then(|uuid| view.record(class.name, uuid))
        .ok_or_else(|| Error::handle_invalid(class.name, &opaque.to_string()))
}

/// Every record of a class as clients see it, worked out one at a time from one snapshot.
fn all_projected(
    view: View,
    class: &'static Class,
) -> impl Iterator<Item = xenapi::Projection> + Send + 'static {
    let uuids: Vec<Uuid> = view.records(class.name).map(|r| r.uuid()).collect();
    uuids
        .into_iter()
        .filter_map(move |uuid| view.record(class.name, uuid).map(|record| project(&view, record)))
}
