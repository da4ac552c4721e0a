//! `task.*`.

use std::sync::Arc;

use xenapi::{Error, Value};

use super::{find, object, ref_param, text, text_param};
use crate::Daemon;
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Edit};
use crate::{random_uuid, tasks};

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    if message == "create" {
        let record = tasks::record(
            daemon,
            random_uuid(),
            text_param(call, 0),
            text_param(call, 1),
            call.caller(),
        );
        return super::create_record(daemon, record).await;
    }
    let view = daemon.view().await;
    let task = find(&view, tasks::TASK, ref_param(call, 0))?;
    let mut change = Change::new();
    match message {
        "destroy" => {
            change.delete(object(task));
        }
        "cancel" => {
            if text(task, "status") != "pending" {
                return Err(errors::not_allowed("the task has ended already"));
            }
            // The host whose saga it is sees the status and turns around at the next step.
            change.set(object(task), "status", "cancelling");
        }
        "set_status" => {
            change.set(object(task), "status", text_param(call, 1));
            if matches!(text_param(call, 1), "success" | "failure" | "cancelled") {
                change.set(object(task), "finished", xenapi::Timestamp(daemon.now()));
            }
        }
        "set_progress" => {
            let progress = call.params().get(1).and_then(Value::as_float).unwrap_or_default();
            change.set(object(task), "progress", progress.clamp(0.0, 1.0));
        }
        "set_result" => {
            change.set(object(task), "result", text_param(call, 1));
        }
        "set_error_info" => {
            let info = call.params().get(1).cloned().unwrap_or(Value::Set(Vec::new()));
            change.set(object(task), "error_info", info);
        }
        "set_other_config" => {
            change.set(
                object(task),
                "other_config",
                call.params().get(1).cloned().unwrap_or_default(),
            );
        }
        "add_to_other_config" | "remove_from_other_config" => {
            let field = edits::field_of(tasks::TASK, "other_config");
            let key = Value::from(text_param(call, 1));
            let taken = task.map_of(field).get_value(&key).is_some();
            change.edit(
                object(task),
                if message == "remove_from_other_config" {
                    Edit::Remove(field, key)
                } else if taken {
                    let own = task.opaque().to_string();
                    return Err(Error::new(
                        "MAP_DUPLICATE_KEY",
                        [tasks::TASK, "other_config", &own, text_param(call, 1)],
                    ));
                } else {
                    Edit::Insert(field, key, text_param(call, 2).into())
                },
            );
        }
        "set_resident_on" => {
            change.set(object(task), "resident_on", Value::Ref(ref_param(call, 1)));
        }
        _ => return Err(errors::not_implemented(call.method())),
    }
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}
