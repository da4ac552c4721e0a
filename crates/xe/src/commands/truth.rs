//! What is true: `pool-status`, `pool-ha-status`, `host-diagnose`, `pool-readiness`, `pool-restore-report`.
//!
//! The server judges and words; here it is laid out. Where this host's daemon does not answer, what it left on disk is
//! told instead (`dead`). Exit codes, for monitoring: 0 all well (warnings included), 6 something fails, 4 no coordinator
//! or quorum or the daemon is dead, 5 time-out, 1 other errors.

use planner::diagnosis::Finding;
use serde_json::json;

use super::Run;
use crate::api::{NULL_REF, Value, s, text_of};
use crate::command_line::OutputForm;
use crate::context::Context;
use crate::dead;
use crate::failure::{CallError, Failure};

pub(super) const COMMANDS: &[(&str, Run)] = &[
    ("pool-status", pool_status),
    ("host-diagnose", host_diagnose),
    ("pool-ha-status", pool_ha_status),
    ("pool-readiness", pool_readiness),
    ("pool-restore-report", pool_restore_report),
];

/// Rules that mean "nobody can take this call now".
const NO_QUORUM: &[&str] = &["no-quorum", "no-coordinator", "cut-off", "daemon-dead"];

/// Asks the server; `None`: it is this host's own daemon and it is dead, which was told already.
fn ask(ctx: &mut Context<'_, '_>, method: &str, params: Vec<Value>) -> Result<Value, Failure> {
    let answer = match ctx.api.call(method, params) {
        Ok(answer) => answer,
        Err(error) if is_silence(&error) && ctx.api.is_this_host() && dead::is_host() => {
            return Err(tell_dead(ctx, &error));
        }
        Err(error) => return Err(error.into()),
    };
    serde_json::from_str(&text_of(&answer))
        .map_err(|e| CallError::Broken(format!("{method}: {e}")).into())
}

fn is_silence(error: &CallError) -> bool {
    matches!(error, CallError::Unreachable(_) | CallError::Timeout { .. } | CallError::Broken(_))
}

fn said(error: &CallError) -> String {
    match error {
        CallError::Timeout { waited, .. } => format!("nothing within {} s", waited.as_secs()),
        CallError::Unreachable(text) | CallError::Broken(text) => {
            text.lines().last().unwrap_or_default().trim().to_owned()
        }
        CallError::Api { code, .. } => code.clone(),
        CallError::Untrusted(text) => text.clone(),
    }
}

/// The daemon of this host is dead: why, what it saw last, what to do.
fn tell_dead(ctx: &mut Context<'_, '_>, error: &CallError) -> Failure {
    let found = dead::look(&said(error));
    let findings: Vec<Value> = found.findings.iter().map(finding_json).collect();
    match ctx.out.form() {
        OutputForm::Json => {
            let last = found
                .last
                .as_ref()
                .map(|(last, age)| json!({"age_s": age.as_secs(), "status": last}));
            let host = json!({"uuid": found.host.uuid.to_string(), "name_label": found.host.label});
            let value = json!({"status": "failed", "daemon": "dead", "host": host,
                "findings": findings, "last_seen": last});
            ctx.out.value("failed".to_owned(), value);
        }
        OutputForm::Minimal => ctx.out.list(vec!["failed".to_owned()]),
        OutputForm::Text => {
            for finding in &findings {
                print_finding(ctx, finding);
            }
            if let Some((last, age)) = &found.last {
                let ago = age.as_secs();
                ctx.out
                    .raw(&format!("What the daemon saw last, {ago} s ago (not what is true now):"));
                print_status(ctx, last);
            }
        }
    }
    ctx.out.finish();
    Failure::Exit(4)
}

/// As the server words it (`holdfastd::truth::words`).
fn finding_json(finding: &Finding) -> Value {
    json!({
        "rule": finding.rule.word(), "weight": finding.weight.word(), "subject": finding.subject,
        "what": finding.what, "said_by": finding.said_by, "evidence": finding.evidence,
        "safe": finding.safe, "next": finding.next, "line": finding.line(),
    })
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The exit code that a status stands for.
fn exit_of(status: &Value) -> Result<(), Failure> {
    let fails = items(status, "findings").iter().filter(|f| text(f, "weight") == "failure");
    let rules: Vec<&str> = fails.map(|f| text(f, "rule")).collect();
    if rules.iter().any(|r| NO_QUORUM.contains(r)) || status.get("quorum") == Some(&json!(false)) {
        return Err(Failure::Exit(4));
    }
    if text(status, "status") == "failed" { Err(Failure::Exit(6)) } else { Ok(()) }
}

/// Ends a command whose output is complete, with the exit code of what it said.
fn end(ctx: &mut Context<'_, '_>, outcome: Result<(), Failure>) -> Result<(), Failure> {
    if outcome.is_err() {
        ctx.out.finish();
    }
    outcome
}

fn print_finding(ctx: &mut Context<'_, '_>, finding: &Value) {
    ctx.out.raw(text(finding, "line"));
    ctx.out.raw(&format!("  said by : {}", text(finding, "said_by")));
    for line in items(finding, "evidence") {
        ctx.out.raw(&format!("  evidence: {}", text_of(line)));
    }
    ctx.out.raw(&format!("  safe now: {}", text(finding, "safe")));
    ctx.out.raw(&format!("  next    : {}", text(finding, "next")));
}

fn name(value: &Value) -> String {
    match (text(value, "name_label"), text(value, "uuid")) {
        ("", "") => "(unknown)".to_owned(),
        ("", uuid) => uuid.to_owned(),
        (label, uuid) => format!("{label} ({uuid})"),
    }
}

fn age(ms: Option<&Value>) -> String {
    match ms.and_then(Value::as_u64) {
        None => "never confirmed in this run".to_owned(),
        Some(ms) if ms < 1000 => format!("{ms} ms old"),
        Some(ms) => format!("{} s old", ms / 1000),
    }
}

fn answer(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "not asked".to_owned(),
        Some(answer) => text(answer, "text").to_owned(),
    }
}

/// The facts of a status: who leads and who says so, the database, each host.
fn print_status(ctx: &mut Context<'_, '_>, status: &Value) {
    ctx.out.raw(&format!(
        "pool {} as host {} sees it: {}",
        name(&status["pool"]),
        name(&status["seen_by"]),
        text(status, "status")
    ));
    let copy = &status["coordinator"]["copy"];
    let majority = &status["coordinator"]["majority"];
    let term = |leader: &Value| leader.get("term").map(text_of).unwrap_or_default();
    let leader = if status["database"] == "embedded" {
        "this host; a pool of one host needs nobody else".to_owned()
    } else if majority.get("uuid").is_some() {
        format!("{}, term {}; a majority of the database says so", name(majority), term(majority))
    } else if majority.get("nobody").is_some() {
        "nobody; a majority of the database says so".to_owned()
    } else if copy.get("uuid").is_some() {
        format!(
            "{}, term {}, says this host's copy only; the majority is silent: {}",
            name(copy),
            term(copy),
            text(majority, "silent")
        )
    } else {
        "unknown".to_owned()
    };
    ctx.out.raw(&format!("  coordinator: {leader}"));
    let quorum =
        if status["quorum"] == true { "a majority answers" } else { "no majority answers" };
    let copy = age(status.get("replica_age_ms"));
    ctx.out.raw(&format!("  database   : {quorum}; this host's copy is {copy}"));
    for voter in items(status, "voters") {
        let leads = if voter["leads"] == true { ", leads the database" } else { "" };
        let line =
            format!("  voter      : {}: answers {}{leads}", name(voter), answer(voter, "answer"));
        ctx.out.raw(&line);
    }
    for host in items(status, "hosts") {
        let live = if host["live"] == true { "live" } else { "not live" };
        let lease = if host["lease"] == true { "lease held" } else { "no lease" };
        let heard = match host["heard_ms"].as_u64() {
            Some(ms) => format!("heard {ms} ms ago"),
            None => "not heard".to_owned(),
        };
        ctx.out.raw(&format!("  host       : {}: {live}, {lease}, {heard}", name(host)));
        ctx.out.raw(&format!(
            "               {}: ping {}, TCP {}, API {}",
            text(host, "address"),
            answer(host, "ping"),
            answer(host, "tcp"),
            answer(host, "api")
        ));
    }
    for guest in items(status, "guests_unknown") {
        let since = guest["unknown_for_s"].as_u64();
        let since = since.map_or_else(String::new, |s| format!(" since {s} s ago"));
        ctx.out.raw(&format!(
            "  VM         : {}: state unknown{since}, last on {}",
            name(guest),
            name(&guest["last_on"])
        ));
    }
}

fn pool_status(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let status = ask(ctx, "pool.holdfast_status", vec![])?;
    match ctx.out.form() {
        OutputForm::Text => {
            print_status(ctx, &status);
            for finding in items(&status, "findings") {
                print_finding(ctx, finding);
            }
        }
        OutputForm::Minimal | OutputForm::Json => {
            ctx.out.value(text(&status, "status").to_owned(), status.clone());
        }
    }
    end(ctx, exit_of(&status))
}

fn host_diagnose(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    // Naming the host asks the server; a dead daemon is told of instead of failing on the name.
    let named = match ctx.text("host-uuid") {
        Some(text) if !text.is_empty() && !crate::context::is_localhost(&text) => {
            ctx.resolve("host", &text)?
        }
        _ => NULL_REF.to_owned(),
    };
    let diagnosis = ask(ctx, "host.holdfast_diagnose", vec![s(named)])?;
    match ctx.out.form() {
        OutputForm::Text => {
            let findings = items(&diagnosis, "findings");
            for finding in findings {
                print_finding(ctx, finding);
            }
            let host = name(&diagnosis["host"]);
            let by = if diagnosis["by_itself"] == true {
                "itself".to_owned()
            } else {
                format!("host {}, since it does not answer", name(&diagnosis["said_by"]))
            };
            let word = text(&diagnosis, "status");
            ctx.out.raw(&format!("host {host}: {word}, says {by}"));
        }
        OutputForm::Minimal | OutputForm::Json => {
            ctx.out.value(text(&diagnosis, "status").to_owned(), diagnosis.clone());
        }
    }
    end(ctx, exit_of(&diagnosis))
}

fn pool_readiness(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let readiness = ask(ctx, "pool.holdfast_readiness", vec![])?;
    match ctx.out.form() {
        OutputForm::Text => {
            for row in items(&readiness, "rows") {
                let (failure, colour) = (text(row, "failure"), text(row, "colour"));
                ctx.out.raw(&format!("{failure:<13}: {colour}"));
                for missing in items(row, "missing") {
                    let (what, next) = (text(missing, "what"), text(missing, "next"));
                    ctx.out.raw(&format!("  {}: {what}", text(missing, "colour")));
                    ctx.out.raw(&format!("  next: {next}"));
                }
            }
        }
        OutputForm::Minimal | OutputForm::Json => {
            ctx.out.value(text(&readiness, "colour").to_owned(), readiness.clone());
        }
    }
    let red = text(&readiness, "colour") == "red";
    let outcome = if red { Err(Failure::Exit(6)) } else { Ok(()) };
    end(ctx, outcome)
}

fn pool_ha_status(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let status = ask(ctx, "pool.holdfast_ha_status", vec![])?;
    let yes = |value: &Value, key: &str| value.get(key) == Some(&json!(true));
    let word = match (yes(&status, "enabled"), yes(&status, "overcommitted")) {
        (false, _) => "off",
        (true, false) => "on",
        (true, true) => "overcommitted",
    };
    match ctx.out.form() {
        OutputForm::Text => {
            let (failures, most) = (text_of(&status["failures"]), text_of(&status["most"]));
            ctx.out.raw(&format!(
                "HA: {word}; host failures to survive: {failures}; survived now: {most}"
            ));
            if !text(&status, "why_not_more").is_empty() {
                ctx.out.raw(&format!("  why not more: {}", text(&status, "why_not_more")));
            }
            if yes(&status, "turning_off") {
                ctx.out.raw("  it is turned off once nothing is under way");
            }
            if status["refused"].is_object() {
                let refused = &status["refused"];
                let (at, what) = (text(refused, "at"), text(refused, "what"));
                ctx.out.raw(&format!("  refused at {at}: {what}: {}", text(refused, "why")));
            }
            for host in items(&status, "hosts") {
                let live = if yes(host, "live") { "live" } else { "lost" };
                ctx.out.raw(&format!("host {}: {live}", name(host)));
                match (text(host, "fenced"), text(host, "missing")) {
                    ("", "") => {
                        ctx.out.raw(&format!("  its end is proved by {}", text(host, "proved_by")));
                    }
                    ("", missing) => ctx.out.raw(&format!("  not proved: {missing}")),
                    (proof, _) => ctx.out.raw(&format!("  fenced: {proof}")),
                }
                if !text(host, "beats").is_empty() {
                    ctx.out.raw(&format!("  beats: {}", text(host, "beats")));
                }
            }
            for incident in items(&status, "incidents") {
                let state = if yes(incident, "open") { "open" } else { "over" };
                let (since, evidence) = (text(incident, "since"), text(incident, "evidence"));
                ctx.out.raw(&format!(
                    "incident: host {} failed at {since}: {evidence} ({state})",
                    name(incident)
                ));
                for vm in items(incident, "vms") {
                    ctx.out.raw(&format!("  VM {} {}", name(vm), text(vm, "said")));
                }
            }
            for vm in items(&status, "vms") {
                ctx.out.raw(&format!(
                    "VM {}: {}: {}",
                    name(vm),
                    text(vm, "state"),
                    text(vm, "why")
                ));
            }
        }
        OutputForm::Minimal | OutputForm::Json => ctx.out.value(word.to_owned(), status.clone()),
    }
    end(ctx, Ok(()))
}

fn pool_restore_report(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let report = ask(ctx, "pool.holdfast_restore_report", vec![])?;
    let usable = report.get("usable") == Some(&json!(true));
    match ctx.out.form() {
        OutputForm::Text => {
            if let Some(restored) = report.get("restored").filter(|r| r.is_object()) {
                let (at, by) = (text(restored, "at"), text(restored, "by"));
                ctx.out.raw(&format!("Restored at {at} by {by}: {}", text(restored, "dump")));
            }
            for row in items(&report, "rows") {
                ctx.out.raw(text(row, "line"));
            }
        }
        OutputForm::Minimal | OutputForm::Json => {
            ctx.out.value(usable.to_string(), report.clone());
        }
    }
    let outcome = if usable { Ok(()) } else { Err(Failure::Exit(6)) };
    end(ctx, outcome)
}
