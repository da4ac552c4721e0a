//! `event.*`.

use std::sync::Arc;

use xenapi::{Error, Value};

use crate::api::{Authorized, errors};
use crate::{Daemon, event_registers, events};

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    match message {
        "from" => {
            let classes: Vec<&str> = call
                .params()
                .first()
                .and_then(Value::as_set)
                .map(|s| s.strs().collect())
                .unwrap_or_default();
            let token = super::text_param(call, 1);
            let timeout = call.params().get(2).and_then(Value::as_float).unwrap_or_default();
            events::from(daemon, classes.into_iter(), token, timeout).await
        }
        "register" | "unregister" => {
            let classes = call.params().first().and_then(Value::as_set);
            let classes = classes.into_iter().flat_map(|s| s.strs());
            if message == "register" {
                event_registers::register(daemon, call.caller(), classes).await
            } else {
                event_registers::unregister(daemon, call.caller(), classes)
            }
        }
        "next" => event_registers::next(daemon, call.caller()).await,
        "get_current_id" => {
            Ok(Value::Int(i64::try_from(daemon.store().view().revision().0).unwrap_or(i64::MAX)))
        }
        // An injected event is a rewrite of the object as it is: every client sees it modified.
        "inject" => {
            events::inject(daemon, super::text_param(call, 0), super::text_param(call, 1)).await
        }
        _ => Err(errors::not_implemented(call.method())),
    }
}
