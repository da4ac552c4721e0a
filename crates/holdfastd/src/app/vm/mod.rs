//! `VM.*`.

pub(crate) mod claim;
pub(crate) mod launch;
pub(crate) mod spec;
pub(crate) mod start;

use std::sync::Arc;

use xenapi::{Error, Record, Value};

use crate::api::{Authorized, errors};
use crate::edits::Edit;
use crate::sagas::Def;
use crate::{Daemon, View};

pub(crate) use start::DECISIONS;

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    match message {
        "start" | "start_on" => start::start(daemon, message, call).await,
        _ => Err(errors::not_implemented(call.method())),
    }
}

/// Sagas of the class.
pub(super) fn sagas() -> Vec<Def> {
    vec![start::saga()]
}

/// `VM.create`.
pub(super) async fn create(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let record = super::given_record(call)?;
    super::create_record(daemon, record).await
}

/// `VM.destroy`.
pub(super) async fn destroy(_daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    Err(errors::not_implemented(call.method()))
}

/// Fields that may not change in every state.
pub(super) fn check_field(_: &View, _: &Record, _: &str, _: &Edit) -> Result<(), Error> {
    Ok(())
}
