//! `PIF.*`: what is said of an interface. Its configuration in Linux is the distribution's.

use std::sync::Arc;

use xenapi::{Error, Value};

use super::{bool_param, find, object, ref_param};
use crate::Daemon;
use crate::api::{Authorized, errors};
use crate::edits::{self, Change};

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    if message != "set_disallow_unplug" {
        return Err(errors::not_implemented(call.method()));
    }
    let view = daemon.view().await;
    let mut change = Change::new();
    let pif = object(find(&view, "PIF", ref_param(call, 0))?);
    change.set(pif, "disallow_unplug", bool_param(call, 1));
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}
