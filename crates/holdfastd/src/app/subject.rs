//! `subject.*`: users and groups of an external directory, and the roles they have here.
//!
//! A subject is a record with roles. Who logs in as one is the directory's to say: until one is connected nobody does.

use std::sync::Arc;

use datamodel::Role;
use xenapi::{Error, OpaqueRef, Record, Value};

use super::{find, object, ref_param, role, text};
use crate::api::{Authorized, auth, errors};
use crate::edits::{self, Change, Edit, field_of};
use crate::{Daemon, View};

fn plain(code: &'static str) -> Error {
    Error::new(code, Vec::<String>::new())
}

fn roles(subject: &Record) -> Vec<OpaqueRef> {
    subject.set_of(field_of("subject", "roles")).opaques().collect()
}

/// The rights of a subject: those of its highest role.
fn highest(view: &View, subject: &Record) -> Role {
    roles(subject)
        .into_iter()
        .filter_map(|r| view.record("role", r.uuid()?))
        .map(|r| auth::role_named(text(r, "name_label")))
        .max()
        .unwrap_or(Role::AnySession)
}

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let subject = find(&view, "subject", ref_param(call, 0))?;
    if message == "get_permissions_name_label" {
        let held = role::permissions(highest(&view, subject));
        return Ok(Value::Set(held.map(Value::from).collect()));
    }
    let given = ref_param(call, 1);
    let has = roles(subject).contains(&given);
    let field = field_of("subject", "roles");
    let edit = match message {
        "add_to_roles" if find(&view, "role", given).is_err() => {
            return Err(plain("ROLE_NOT_FOUND"));
        }
        "add_to_roles" if has => return Err(plain("ROLE_ALREADY_EXISTS")),
        "add_to_roles" => Edit::Add(field, Value::Ref(given)),
        "remove_from_roles" if !has => return Err(plain("ROLE_NOT_FOUND")),
        "remove_from_roles" => Edit::Drop(field, Value::Ref(given)),
        _ => return Err(errors::not_implemented(call.method())),
    };
    let mut change = Change::new();
    change.edit(object(subject), edit);
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

/// `subject.create(record)`: with the role of a pool administrator unless others are given, as in XenServer.
pub(super) async fn create(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let record = super::given_record(call)?;
    let identifier = text(&record, "subject_identifier");
    let view = daemon.view().await;
    if view.records("subject").any(|s| text(s, "subject_identifier") == identifier) {
        return Err(plain("SUBJECT_ALREADY_EXISTS"));
    }
    if roles(&record).into_iter().any(|r| find(&view, "role", r).is_err()) {
        return Err(plain("ROLE_NOT_FOUND"));
    }
    super::create_record(daemon, record).await
}
