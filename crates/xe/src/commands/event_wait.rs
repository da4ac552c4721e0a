//! `event-wait`: until an object of a class is as asked.
//!
//! `KEY=VALUE` waits for equality, `KEY=/=VALUE` for the opposite. The state is looked at first, then at every event.

use super::Run;
use crate::api::{Value, s};
use crate::command_line::STANDARD_PARAMS;
use crate::context::Context;
use crate::failure::{CallError, Failure};
use crate::interrupt;
use crate::record::filter;
use crate::record::view::{Object, show};
use crate::tables;

pub(super) const COMMANDS: &[(&str, Run)] = &[("event-wait", wait)];

/// Longest wait for one batch of events, seconds; a Ctrl-C is noticed that late.
const STEP_SECONDS: f64 = 5.0;

fn wait(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let class_name = ctx.required("class")?;
    let Some(record) = tables::record(&class_name) else {
        return Err(Failure::refused(format!(
            "Cli listening for class '{class_name}' not currently implemented"
        )));
    };
    let conditions: Vec<(String, String, bool)> = ctx
        .params
        .iter()
        .filter(|(k, _)| *k != "class" && !STANDARD_PARAMS.contains(k))
        .map(|(k, v)| match v.strip_prefix("/=") {
            Some(other) => (k.to_owned(), other.to_owned(), false),
            None => (k.to_owned(), v.to_owned(), true),
        })
        .collect();
    for (name, ..) in &conditions {
        filter::named(record, name)
            .map_err(|_| Failure::refused(format!("key missing: {name}")))?;
    }
    let _guard = interrupt::watch();
    let mut token = String::new();
    loop {
        let classes = Value::Array(vec![s(record.class)]);
        let args = vec![classes, s(token.as_str()), Value::from(STEP_SECONDS)];
        let batch = match ctx.api.call("event.from", args) {
            Err(CallError::Api { code, .. }) if code == "EVENTS_LOST" => {
                token.clear();
                continue;
            }
            other => other?,
        };
        if let Some(new) = batch.get("token").and_then(Value::as_str) {
            new.clone_into(&mut token);
        }
        let events = batch.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        for event in events {
            let (Some(reference), Some(Value::Object(fields))) =
                (event.get("ref").and_then(Value::as_str), event.get("snapshot"))
            else {
                continue;
            };
            let object = Object { reference: reference.to_owned(), fields: fields.clone() };
            let mut all = true;
            for (name, value, equal) in &conditions {
                let field = filter::named(record, name)?.field();
                let shown = show(ctx, record, field, &object)?.text;
                all &= (shown == *value) == *equal;
            }
            if all {
                return Ok(());
            }
        }
        if interrupt::watch().interrupted() {
            return Err(Failure::Interrupted);
        }
    }
}
