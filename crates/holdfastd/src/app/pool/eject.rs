//! `pool.eject`: a host leaves and is a pool of one again, with its local repositories.

use std::sync::Arc;

use xenapi::{Error, Value};

use crate::Daemon;
use crate::api::{Authorized, errors};

/// Answers the message.
pub(super) async fn eject(_daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    Err(errors::not_implemented(call.method()))
}
