//! Hosts that have stopped, or are said to have: what is known of them, recovering from one, and coming back.
//!
//! A person's word that a host is off is proof only as a sentence that names it. It comes as `confirm="..."`, or is typed
//! when `--force` is given and a person watches. What else the pool asks for, it says itself.

use super::Run;
use super::select::{self, VMS};
use crate::api::{Value, s, text_of};
use crate::command_line::OutputForm;
use crate::context::Context;
use crate::failure::{CallError, Failure};
use crate::output::Cell;

pub(super) const COMMANDS: &[(&str, Run)] = &[
    ("host-leave", leave),
    ("host-liveness", liveness),
    ("host-recover", recover),
    ("host-rejoin", rejoin),
    ("host-release-disks", release_disks),
    ("host-standing", standing),
    ("vm-start-in-order", start_in_order),
];

/// The sentence that a refusal asks for.
fn asked(failure: &Failure) -> Option<String> {
    let Failure::Call(CallError::Api { params, .. }) = failure else { return None };
    let text = params.first()?;
    let (_, rest) = text.split_once("confirm=\"")?;
    Some(rest.split('"').next()?.to_owned())
}

/// Does something that may need a person's word about a host: `plain` without it, `worded` with it.
pub(super) fn with_words<T>(
    ctx: &mut Context<'_, '_>,
    plain: impl FnOnce(&mut Context<'_, '_>) -> Result<T, Failure>,
    worded: impl FnOnce(&mut Context<'_, '_>, String) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if let Some(words) = ctx.text("confirm") {
        return worded(ctx, words);
    }
    let failure = match plain(ctx) {
        Ok(done) => return Ok(done),
        Err(failure) => failure,
    };
    match asked(&failure) {
        Some(sentence) if ctx.flag("force")? => {
            ctx.out.stderr(&format!(
                "Nothing proves that the host has stopped. If you know it, type: {sentence}\n"
            ));
            let typed = ctx.out.terminal().read_line();
            let typed = typed.trim_end_matches(['\n', '\r']).to_owned();
            if typed.is_empty() { Err(failure) } else { worded(ctx, typed) }
        }
        _ => Err(failure),
    }
}

pub(super) fn json(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text)
        .map_err(|e| CallError::Broken(format!("the server's report can't be read: {e}")).into())
}

pub(super) fn field(value: &Value, name: &str) -> String {
    value.get(name).filter(|v| !v.is_null()).map(text_of).unwrap_or_default()
}

pub(super) fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn recover(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let host = ctx.object("host", "uuid")?;
    let start = Value::Bool(ctx.flag_or("start-vms", true)?);
    let call = |ctx: &mut Context<'_, '_>, dry: bool, words: &str| {
        let args = vec![s(host.as_str()), Value::Bool(dry), start.clone(), s(words)];
        let text = ctx.run("host.holdfast_recover", args)?;
        json(&text)
    };
    let words = ctx.text_or("confirm", "");
    let dry_run = ctx.flag("dry-run")?;
    if dry_run || !ctx.flag("force")? && words.is_empty() {
        let plan = call(ctx, true, &words)?;
        print_plan(ctx, &plan);
        let blocked = field(&plan, "blocked");
        if !blocked.is_empty() {
            return Err(Failure::refused(blocked));
        }
        if dry_run || !ctx.out.user_says_yes() {
            return Ok(());
        }
    }
    let report =
        with_words(ctx, |ctx| call(ctx, false, ""), |ctx, words| call(ctx, false, &words))?;
    print_report(ctx, &report)
}

fn print_plan(ctx: &mut Context<'_, '_>, plan: &Value) {
    if ctx.out.form() == OutputForm::Json {
        ctx.out.value(String::new(), plan.clone());
        return;
    }
    for step in items(plan, "steps") {
        ctx.out.raw(&format!("{:8} {}", field(step, "what"), field(step, "text")));
    }
}

/// What was done; VMs that do not run although they should make it exit code 6.
fn print_report(ctx: &mut Context<'_, '_>, report: &Value) -> Result<(), Failure> {
    let name = |vm: &Value| format!("'{}' ({})", field(vm, "name"), field(vm, "vm"));
    if ctx.out.form() == OutputForm::Json {
        ctx.out.value(String::new(), report.clone());
    } else {
        if !field(report, "host").is_empty() {
            ctx.out.raw(&format!(
                "host '{}' ({}) is fenced: {}",
                field(report, "name"),
                field(report, "host"),
                field(report, "proof")
            ));
            let halted = items(report, "halted").len();
            ctx.out.raw(&format!("released what it held; {halted} VMs reset to halted"));
        }
        for vm in items(report, "started") {
            ctx.out.raw(&format!("started  VM {} on {}", name(vm), field(vm, "host")));
        }
        for vm in items(report, "left") {
            ctx.out.raw(&format!("left     VM {}: {}", name(vm), field(vm, "why")));
        }
        for vm in items(report, "failed") {
            ctx.out.raw(&format!("failed   VM {}: {}", name(vm), field(vm, "why")));
        }
        ctx.out.raw(&format!(
            "{} started, {} failed, {} left",
            items(report, "started").len(),
            items(report, "failed").len(),
            items(report, "left").len()
        ));
    }
    let failed: Vec<(String, String)> =
        items(report, "failed").iter().map(|vm| (field(vm, "vm"), field(vm, "why"))).collect();
    if failed.is_empty() {
        return Ok(());
    }
    // That the host was recovered from is a part that is done, whatever became of its VMs.
    let done = items(report, "started").len() + usize::from(!field(report, "host").is_empty());
    Err(Failure::Partial { failed, done })
}

fn start_in_order(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let chosen = select::choose(ctx, VMS)?;
    let vms = select::set(chosen.into_iter().map(|vm| vm.reference).collect());
    let text = ctx.run("VM.holdfast_start_in_order", vec![vms])?;
    let report = json(&text)?;
    print_report(ctx, &report)
}

fn liveness(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let hosts = match ctx.object_if_given("host", "uuid")? {
        Some(host) => vec![host],
        None => {
            let mut all: Vec<String> = ctx
                .api
                .records("host", Some(&["name_label"]))?
                .into_iter()
                .map(|(reference, _)| reference)
                .collect();
            all.sort();
            all
        }
    };
    let mut rows = Vec::new();
    for host in hosts {
        let known = json(&ctx.call_text("host.holdfast_get_liveness", vec![s(host)])?)?;
        rows.push(liveness_row(&known));
    }
    ctx.out.table(rows);
    Ok(())
}

fn liveness_row(known: &Value) -> Vec<Cell> {
    let mut row = vec![
        Cell::plain("uuid", field(known, "host")),
        Cell::plain("name-label", field(known, "name")),
        Cell::plain("state", field(known, "state")),
    ];
    let more = [
        ("since", "since"),
        ("silent for (s)", "silent_s"),
        ("counts as dead in (s)", "dead_in_s"),
        ("lease", "lease"),
        ("heard (s ago)", "heard_s"),
        ("beats", "beats"),
        ("ping", "ping"),
        ("TCP", "tcp"),
        ("API", "api"),
        ("fenced", "fence"),
    ];
    for (label, name) in more {
        let text = field(known, name);
        if !text.is_empty() {
            row.push(Cell::plain(label, text));
        }
    }
    let vms: Vec<String> = items(known, "vms")
        .iter()
        .map(|vm| format!("{} ({}): {}", field(vm, "name"), field(vm, "vm"), field(vm, "state")))
        .collect();
    row.push(Cell::plain("VMs", vms.join("; ")));
    row
}

/// What a command is about to touch, said before it asks (S1-14). Best effort: the command decides nothing by it.
pub(super) fn tell_facts(ctx: &mut Context<'_, '_>, host: &str) {
    let known = ctx.call_text("host.holdfast_get_liveness", vec![s(host)]).and_then(|t| json(&t));
    let Ok(known) = known else { return };
    let mut text = format!(
        "Host '{}' ({}) is {}",
        field(&known, "name"),
        field(&known, "host"),
        field(&known, "state")
    );
    if !field(&known, "since").is_empty() {
        text.push_str(&format!(" since {}", field(&known, "since")));
    }
    text.push_str(&format!(
        "; lease {}, ping {}, TCP {}, API {}.\n",
        field(&known, "lease"),
        field(&known, "ping"),
        field(&known, "tcp"),
        field(&known, "api")
    ));
    for vm in items(&known, "vms") {
        let (name, uuid) = (field(vm, "name"), field(vm, "vm"));
        text.push_str(&format!("  VM '{name}' ({uuid}): {}\n", field(vm, "state")));
    }
    ctx.out.stderr(&text);
}

fn standing(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let known = json(&ctx.call_text("host.holdfast_get_standing", vec![])?)?;
    let mut row = Vec::new();
    for (label, name) in [
        ("uuid", "host"),
        ("name-label", "name"),
        ("standing", "standing"),
        ("since", "since"),
        ("by", "by"),
        ("proof", "proof"),
        ("guests", "guests"),
    ] {
        let text = field(&known, name);
        if !text.is_empty() || name == "standing" {
            row.push(Cell::plain(label, text));
        }
    }
    let next: Vec<String> = items(&known, "next").iter().map(text_of).collect();
    if !next.is_empty() {
        row.push(Cell::plain("next", next.join(", or ")));
    }
    ctx.out.record(row);
    Ok(())
}

fn rejoin(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    ctx.call("host.holdfast_rejoin", vec![])?;
    ctx.out.list(vec!["Host is a member of its pool again.".to_owned()]);
    Ok(())
}

fn leave(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    ctx.call("host.holdfast_leave", vec![])?;
    ctx.out.list(vec!["Host will restart as the master of a new pool.".to_owned()]);
    Ok(())
}

fn release_disks(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let host = ctx.object("host", "host-uuid")?;
    let sr = ctx.object("SR", "sr-uuid")?;
    let said = ctx.call("host.holdfast_release_disks", vec![s(host), s(sr)])?;
    ctx.out.value(text_of(&said), said);
    Ok(())
}
