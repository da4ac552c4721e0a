//! When the pool is lost, and taking hosts out of service: what is asked before, and what is said about it.
//!
//! `true` and `false`, uuids and XenServer's own lines go to standard output; causes, statements and hosts that did not
//! follow go to standard error, so that old scripts read what they always read.

use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::{Run, select};
use crate::api::{Value, s, text_of};
use crate::context::{Context, texts};
use crate::explain;
use crate::failure::{CallError, Failure, is_no_coordinator};
use crate::output::Cell;

pub(super) const COMMANDS: &[(&str, Run)] = &[
    ("host-is-in-emergency-mode", is_in_emergency_mode),
    ("host-maintenance-enter", |ctx| maintenance(ctx, "host.holdfast_enter_maintenance")),
    ("host-maintenance-leave", |ctx| maintenance(ctx, "host.holdfast_leave_maintenance")),
    ("host-reboot", |ctx| power(ctx, "host.reboot")),
    ("host-shutdown", |ctx| power(ctx, "host.shutdown")),
    ("pool-emergency-reset-master", reset),
    ("pool-emergency-transition-to-master", transition),
    ("pool-lineage", lineage),
    ("pool-recover-slaves", recover),
];

/// How long the daemon is waited for after a transition: it starts again on the new database.
const BACK_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// What the host that answers knows about itself; `None` where the server is none of ours.
fn described(ctx: &mut Context<'_, '_>) -> Option<Json> {
    let answer = ctx.api.call("host.holdfast_emergency", vec![]).ok()?;
    serde_json::from_str(answer.as_str()?).ok()
}

fn text<'j>(json: &'j Json, name: &str) -> &'j str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}

/// Prints whether this host has lost its pool; why and since when goes to standard error.
fn is_in_emergency_mode(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let answer = match ctx.api.call("host.is_in_emergency_mode", vec![]) {
        Ok(answer) => answer == Value::Bool(true),
        Err(CallError::Api { code, params }) if is_no_coordinator(&code) => {
            for line in explain::api_error(&code, &params, None) {
                ctx.out.stderr(&format!("{line}\n"));
            }
            true
        }
        Err(other) => return Err(other.into()),
    };
    if answer && let Some(json) = described(ctx) {
        for line in reasons(&json) {
            ctx.out.stderr(&format!("{line}\n"));
        }
    }
    ctx.out.value(answer.to_string(), Value::Bool(answer));
    Ok(())
}

/// Since when and why, from what a host says of itself.
pub(crate) fn reasons(json: &Json) -> Vec<String> {
    let mut lines = Vec::new();
    for (label, name) in
        [("since", "since"), ("cause", "cause"), ("reason", "reason"), ("next", "next")]
    {
        let value = text(json, name);
        if !value.is_empty() {
            lines.push(format!("{label}: {value}"));
        }
    }
    lines
}

fn transition(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let (force, dry_run) = (ctx.flag("force")?, ctx.flag("dry-run")?);
    let mut confirm = ctx.text_or("confirm", "");
    if !force && !dry_run {
        // Best effort: a host without its pool cannot say who leads, and that is when this is needed.
        let leads = ctx.coordinator().and_then(|c| ctx.this_host().map(|h| h == c));
        let lost = described(ctx).is_some_and(|json| json["in_emergency"] == Json::Bool(true));
        if leads.unwrap_or(false) && !lost {
            ctx.out.list(vec![
                "Host agent is already master. Use '--force' to execute the operation anyway."
                    .to_owned(),
            ]);
            return Ok(());
        }
    }
    let mut asked = false;
    let report = loop {
        let args = vec![s(confirm.as_str()), Value::Bool(force), Value::Bool(dry_run)];
        match ctx.api.call("pool.holdfast_emergency_transition", args) {
            Ok(report) => break text_of(&report),
            Err(CallError::Api { params, .. })
                if !asked
                    && ctx.out.terminal().is_watched()
                    && params.iter().any(|p| p.contains("confirm=")) =>
            {
                for param in params {
                    ctx.out.stderr(&format!("{param}\n"));
                }
                ctx.out.stderr(
                    "Type which hosts are off (for example: h1,h2 are off), or nothing to stop: ",
                );
                confirm = ctx.out.terminal().read_line().trim().to_owned();
                if confirm.is_empty() {
                    return Err(Failure::refused("Nothing was changed."));
                }
                asked = true;
            }
            Err(other) => return Err(other.into()),
        }
    };
    let report: Json = serde_json::from_str(&report).unwrap_or_default();
    for line in report["found"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        ctx.out.stderr(&format!("found: {line}\n"));
    }
    ctx.out.stderr(&format!("{}\n", text(&report, "text")));
    match text(&report, "outcome") {
        "founded" | "goes_on" => {
            await_pool(ctx);
            ctx.out.list(vec!["Host agent will transition to master.".to_owned()]);
        }
        // A dry run, or nothing to do: the report says it.
        _ => {}
    }
    Ok(())
}

/// Waits, bounded, until this host answers with its pool again, so that the next command finds it.
fn await_pool(ctx: &mut Context<'_, '_>) {
    let start = Instant::now();
    let mut gone = false;
    while start.elapsed() < BACK_LIMIT {
        match described(ctx) {
            Some(json) if json["in_emergency"] == Json::Bool(false) => return,
            Some(_) => {}
            None => gone = true,
        }
        // A session that ended with the daemon can't look any further.
        if gone && start.elapsed() > BACK_LIMIT / 2 {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

fn reset(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let address = ctx.required("master-address")?;
    ctx.call("pool.emergency_reset_master", vec![s(address.as_str())])?;
    ctx.out.list(vec![format!("Host agent will become slave of {address}.")]);
    Ok(())
}

/// Prints the members that follow; names those that don't on standard error.
fn recover(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let followed = texts(&ctx.call("pool.recover_slaves", vec![])?);
    let mut uuids = Vec::new();
    for reference in &followed {
        uuids.push(ctx.uuid_of("host", reference)?);
    }
    if let Some(json) = described(ctx) {
        for host in json["hosts"].as_array().into_iter().flatten() {
            let uuid = text(host, "uuid");
            if uuids.iter().any(|followed| followed == uuid) {
                continue;
            }
            let heard = host["heard"] == Json::Bool(true);
            let since = text(host, "last_heard");
            let why = match (heard, since) {
                (true, _) => "answers, but does not follow yet".to_owned(),
                (false, "") => "does not answer".to_owned(),
                (false, since) => format!("does not answer since {since}"),
            };
            ctx.out.stderr(&format!("not following: {uuid} ({}): {why}\n", text(host, "name")));
        }
    }
    ctx.out.list(uuids);
    Ok(())
}

fn lineage(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let answer = ctx.call_text("pool.holdfast_lineage", vec![])?;
    let json: Json = serde_json::from_str(&answer)
        .map_err(|e| CallError::Broken(format!("pool.holdfast_lineage: {e}")))?;
    if ctx.out.form() == crate::command_line::OutputForm::Json {
        ctx.out.value(answer, json);
        return Ok(());
    }
    let plain = |name: &str| match &json[name] {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    };
    ctx.out.record(
        ["pool_epoch", "term", "cluster", "coordinator"]
            .map(|name| Cell::plain(name.replace('_', "-"), plain(name)))
            .to_vec(),
    );
    for recovery in json["recoveries"].as_array().into_iter().flatten() {
        let mut cells = vec![
            Cell::plain("recovered-at", text(recovery, "at")),
            Cell::plain("pool-epoch", recovery["pool_epoch"].to_string()),
            Cell::plain(
                "host",
                format!("{} ({})", text(recovery, "host"), text(recovery, "host_name")),
            ),
            Cell::plain("base-revision", recovery["base_revision"].to_string()),
        ];
        for line in recovery["found"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            cells.push(Cell::plain("found", line));
        }
        ctx.out.table(vec![cells]);
    }
    for divergence in json["divergences"].as_array().into_iter().flatten() {
        let mut cells = vec![
            Cell::plain(
                "stale-host",
                format!("{} ({})", text(divergence, "host"), text(divergence, "name")),
            ),
            Cell::plain("pool-epoch", divergence["from_epoch"].to_string()),
            Cell::plain("only-there", divergence["count"].to_string()),
            Cell::plain("file", text(divergence, "file")),
        ];
        for edit in divergence["edits"].as_array().into_iter().flatten() {
            cells.push(Cell::plain(
                text(edit, "what"),
                format!("{} {} ({})", text(edit, "table"), text(edit, "id"), text(edit, "name")),
            ));
        }
        ctx.out.table(vec![cells]);
    }
    Ok(())
}

fn maintenance(ctx: &mut Context<'_, '_>, method: &str) -> Result<(), Failure> {
    let hosts = select::choose(ctx, select::HOSTS)?;
    select::each(ctx, select::HOSTS, hosts, |ctx, host| {
        ctx.run(method, vec![s(host.reference.as_str())])
    })?;
    Ok(())
}

/// Says, before the coordinator is stopped, that its role is handed over first; on a terminal asks (S2-14).
fn power(ctx: &mut Context<'_, '_>, method: &str) -> Result<(), Failure> {
    let choice = select::HOSTS.ignoring(&["force"]);
    let hosts = select::choose(ctx, choice)?;
    if !ctx.flag("force")? {
        // Who leads is asked for a warning only.
        let leads = ctx.coordinator().ok();
        if let Some(host) = hosts.iter().find(|h| Some(&h.reference) == leads.as_ref()) {
            let label = host.fields.get("name_label").map(text_of).unwrap_or_default();
            let (what, alone) = if ctx.api.records("host", Some(&["uuid"]))?.len() > 1 {
                ("Its role is handed to another host first; --force does not ask.", false)
            } else {
                ("There is no other host: the pool is gone until it is back.", true)
            };
            ctx.out.stderr(&format!("WARNING: host '{label}' coordinates the pool. {what}\n"));
            let verb = if method == "host.reboot" { "reboot" } else { "shut down" };
            let question = if alone {
                format!("Go on, {verb} '{label}'?")
            } else {
                format!("Hand the role over, then {verb} '{label}'?")
            };
            if !ctx.out.user_agrees(&question) {
                return Ok(());
            }
        }
    }
    select::each(ctx, choice, hosts, |ctx, host| {
        ctx.run(method, vec![s(host.reference.as_str())])
    })?;
    Ok(())
}
