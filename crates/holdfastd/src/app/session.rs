//! `session.*`: login, logout, passwords, and the fields of a session's own record.

use std::sync::Arc;

use datamodel::Implicit;
use pooldb::{Key, Table, Txn};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Timestamp, Value};

use super::{ref_param, text_param};
use crate::Daemon;
use crate::api::auth::{self, SessionKey};
use crate::api::{Authorized, errors};
use crate::pki::Secret;
use crate::records::{Account, SessionRecord, decode, encode};

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    match message {
        "login_with_password" => {
            login(daemon, call, text_param(call, 0), text_param(call, 1), text_param(call, 3)).await
        }
        // A login at one host that must work without the rest of the pool.
        "slave_local_login_with_password" => {
            login(daemon, call, text_param(call, 0), text_param(call, 1), "").await
        }
        "logout" | "local_logout" => {
            if let Some(key) = &call.caller().session {
                daemon.drop_local_session(key);
                daemon.event_registers.forget(key);
                daemon.commit(Txn::new().delete(key.key())).await.map_err(errors::from_commit)?;
                // Sessions are looked up without waiting: this one is to be gone when the answer is given.
                daemon.view().await;
            }
            Ok(Value::Void)
        }
        "change_password" => {
            let user = call.caller().user.clone();
            let old = Secret::new(text_param(call, 0));
            let new = Secret::new(text_param(call, 1));
            let root = call.caller().session.is_none() && call.caller().member.is_none();
            auth::check_password(daemon, root, &user, &old).await?;
            let key = Key::new(Table::Account, user.as_str());
            let view = daemon.view().await;
            let mut account: Account = match view.get(&key).and_then(|i| i.raw()) {
                Some(bytes) => decode(bytes).map_err(|e| errors::internal(e.to_string()))?,
                None => Account {
                    hash: String::new(),
                    role: "pool-admin".to_owned(),
                    unknown: serde_json::Map::new(),
                },
            };
            account.hash = tokio::task::spawn_blocking(move || auth::hash(&new))
                .await
                .map_err(|e| errors::internal(e.to_string()))?;
            daemon
                .commit(Txn::new().put(key, encode(&account)))
                .await
                .map_err(errors::from_commit)?;
            Ok(Value::Void)
        }
        "get_all_subject_identifiers" => Ok(Value::Set(Vec::new())),
        _ => Err(errors::not_implemented(call.method())),
    }
}

async fn login(
    daemon: &Arc<Daemon>,
    call: &Authorized,
    user: &str,
    password: &str,
    originator: &str,
) -> Result<Value, Error> {
    let caller = call.caller();
    let local_root = caller.role == datamodel::Role::Internal && caller.member.is_none();
    let role = auth::check_password(daemon, local_root, user, &Secret::new(password)).await?;
    let user = if user.is_empty() { "root" } else { user };
    let token = auth::login(daemon, user, role, &caller.origin, originator).await?;
    Ok(Value::Ref(OpaqueRef::new(token)))
}

/// Answers an implicit message of the class: sessions are not XenAPI records in the database.
pub(crate) async fn implicit(
    daemon: &Arc<Daemon>,
    what: Implicit,
    call: &Authorized,
) -> Result<Value, Error> {
    let opaque = ref_param(call, 0);
    let invalid = || Error::new("SESSION_INVALID", [opaque.to_string()]);
    let view = daemon.view().await;
    if what == Implicit::GetByUuid {
        let text = text_param(call, 0);
        return Err(Error::new("UUID_INVALID", ["session", text]));
    }
    let token = opaque.uuid().ok_or_else(invalid)?;
    let key = SessionKey::of(token);
    let stored: SessionRecord = match view.get(&key.key()).and_then(|i| i.raw()) {
        Some(bytes) => decode(bytes).map_err(|_| invalid())?,
        None => daemon.local_session(&key).ok_or_else(invalid)?,
    };
    let record = as_record(daemon, token, &stored);
    match what {
        Implicit::GetRecord => Ok(Value::Record(Arc::new(record))),
        Implicit::Get(i) => Ok(record.get(xenapi::FieldIdx(i)).clone()),
        Implicit::AddTo(_) | Implicit::RemoveFrom(_) | Implicit::Set(_) => {
            let mut changed = stored;
            match what {
                Implicit::AddTo(_) => {
                    changed
                        .other_config
                        .insert(text_param(call, 1).to_owned(), text_param(call, 2).to_owned());
                }
                Implicit::RemoveFrom(_) => {
                    changed.other_config.remove(text_param(call, 1));
                }
                _ => {
                    changed.other_config = call
                        .params()
                        .get(1)
                        .and_then(Value::as_map)
                        .map(|m| {
                            m.pairs()
                                .iter()
                                .filter_map(|(k, v)| {
                                    Some((k.as_str()?.to_owned(), v.as_str()?.to_owned()))
                                })
                                .collect()
                        })
                        .unwrap_or_default();
                }
            }
            let txn = Txn::new().exists(key.key()).put(key.key(), encode(&changed));
            daemon.commit(txn).await.map_err(errors::from_commit)?;
            Ok(Value::Void)
        }
        _ => Err(errors::not_implemented(call.method())),
    }
}

fn as_record(daemon: &Daemon, token: Uuid, session: &SessionRecord) -> Record {
    let class = datamodel::class("session").expect("the class exists");
    let mut record = Record::new(class, session.uuid);
    let _ = token;
    record.set_by_name("this_host", Value::Ref(daemon.host().into()));
    record.set_by_name("auth_user_name", session.user.as_str().into());
    record.set_by_name("originator", session.originator.as_str().into());
    record.set_by_name("last_active", Timestamp(session.last_active).into());
    record.set_by_name("validation_time", Timestamp(session.created).into());
    record.set_by_name("is_local_superuser", (session.user == "root").into());
    record.set_by_name("pool", session.pool_internal.into());
    record.set_by_name("other_config", Value::str_map(session.other_config.clone()));
    record
}
