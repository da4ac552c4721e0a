//! Repairing a storage repository: its attachments on every host.

use super::Run;
use super::members::{field, items, json};
use super::storage::device_config;
use crate::api::{Value, s};
use crate::command_line::OutputForm;
use crate::context::Context;
use crate::failure::Failure;

pub(super) const COMMANDS: &[(&str, Run)] = &[("sr-repair", repair)];

fn repair(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let config = device_config(ctx)?;
    let sr = ctx.object("SR", "uuid")?;
    let hosts: Vec<Value> = ctx.object_if_given("host", "host-uuid")?.map(s).into_iter().collect();
    let dry_run = ctx.flag("dry-run")?;
    let args = vec![s(sr), Value::Array(hosts), config, Value::Bool(dry_run)];
    let report = json(&ctx.run("SR.holdfast_repair", args)?)?;
    print(ctx, &report)
}

/// A line for each host; one that is not plugged although it should be makes it exit code 6.
fn print(ctx: &mut Context<'_, '_>, report: &Value) -> Result<(), Failure> {
    let mut failed = Vec::new();
    let mut done = 0;
    for host in items(report, "hosts") {
        let outcome = field(host, "outcome");
        let why = field(host, "why");
        if outcome == "failed" {
            failed.push((field(host, "host"), why.clone()));
        } else {
            done += 1;
        }
        if ctx.out.form() != OutputForm::Json {
            let text = if why.is_empty() { field(host, "text") } else { why };
            ctx.out.raw(&format!(
                "{outcome:8} host '{}' ({}): {text}",
                field(host, "name"),
                field(host, "host")
            ));
        }
    }
    if ctx.out.form() == OutputForm::Json {
        ctx.out.value(String::new(), report.clone());
    }
    match failed.is_empty() || report.get("dry_run") == Some(&Value::Bool(true)) {
        true => Ok(()),
        false => Err(Failure::Partial { failed, done }),
    }
}
