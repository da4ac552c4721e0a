//! What the VMs and their operators do while processes are killed. Runs inside a lab host, through that host's daemon.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::{CallError, Session};
use host::exec::Command;
use serde_json::{Value as Json, json};
use xenapi::{OpaqueRef, Record, Value};

use super::Choices;
use crate::lab::root_session;

/// Longest slice of load before the worker reports.
const SLICE: Duration = Duration::from_secs(5);
/// Longest wait for one operation; it may go on without us.
const LIMIT: Duration = Duration::from_secs(60);

/// Beginning of the names of the VMs.
pub(super) const LABEL: &str = "soak";

/// Beginning of the keys that the load on a host writes, and nobody else.
pub(super) fn key_prefix(host: &str) -> String {
    format!("soak-{host}-")
}

fn xe(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("xe").args(arguments).limit(Duration::from_secs(120)).check()?;
    Ok(output.text().trim().to_owned())
}

/// Makes the VMs, each with a small disk on the shared repository.
pub(super) fn prepare(vms: usize) -> anyhow::Result<Json> {
    let sr = xe(&["sr-list", "name-label=shared", "--minimal"])?;
    for n in 0..vms {
        let label = format!("{LABEL}{n}");
        let vm = xe(&[
            "vm-install",
            "template=Other install media",
            &format!("new-name-label={label}"),
        ])?;
        let uuid = format!("uuid={vm}");
        xe(&[
            "vm-memory-limits-set",
            &uuid,
            "static-min=33554432",
            "dynamic-min=33554432",
            "dynamic-max=33554432",
            "static-max=33554432",
        ])?;
        let vdi = xe(&[
            "vdi-create",
            &format!("sr-uuid={sr}"),
            &format!("name-label={label}"),
            "virtual-size=16777216",
        ])?;
        xe(&[
            "vbd-create",
            &format!("vm-uuid={vm}"),
            &format!("vdi-uuid={vdi}"),
            "device=0",
            "bootable=true",
        ])?;
    }
    Ok(json!({}))
}

/// What a slice has done.
#[derive(Debug, Default)]
struct Tally {
    operations: BTreeMap<&'static str, u64>,
    refused: u64,
    writes: u64,
    acked: serde_json::Map<String, Json>,
}

/// One slice.
pub(super) async fn load(host: &str, seed: u64, slice: u64) -> anyhow::Result<Json> {
    let mut choices = Choices(seed.wrapping_add(slice.wrapping_mul(0x51_7C_C1)));
    let mut tally = Tally::default();
    let started = Instant::now();
    let mut number = 0_u64;
    while started.elapsed() < SLICE {
        let Ok(session) = root_session().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(vms) = session.records("VM").await else { continue };
        let mine: Vec<_> = vms
            .iter()
            .filter(|vm| text(vm, "name_label").starts_with(LABEL) && !flag(vm, "is_a_snapshot"))
            .collect();
        let Some(vm) = mine.get(choices.below(mine.len().max(1))) else { continue };
        number += 1;
        let value = format!("{slice}.{number}");
        let kind = choose(&mut choices, text(vm, "power_state"));
        let done = match kind {
            "write" => write(&session, vm, host, &mut choices, &value, &mut tally).await,
            "migrate" => migrate(&session, vm, &mut choices).await,
            kind => operate(&session, vm, kind).await,
        };
        match done {
            Ok(()) => *tally.operations.entry(kind).or_default() += 1,
            Err(_) => tally.refused += 1,
        }
    }
    Ok(json!({
        "operations": tally.operations, "refused": tally.refused, "writes": tally.writes, "acked": tally.acked,
    }))
}

/// What to do to a VM in that state.
fn choose(choices: &mut Choices, power: &str) -> &'static str {
    match (choices.below(16), power) {
        (0..=2, _) => "write",
        (3 | 4, _) => "snapshot",
        (5, "Running" | "Suspended") => "checkpoint",
        (6..=8, "Running") => "migrate",
        (9, "Running") => "suspend",
        (10, "Running") => "pause",
        (11, _) => "scan",
        (12, "Running") => "start stop",
        (12, "Halted") => "start start",
        (13, "Suspended") => "stop",
        (_, "Suspended") => "resume",
        (_, "Paused") => "unpause",
        (_, "Halted") => "start",
        _ => "stop",
    }
}

async fn operate(session: &Session, vm: &Record, kind: &str) -> Result<(), CallError> {
    let this = Value::Ref(vm.opaque());
    let no = || Value::from(false);
    let label = format!("{kind} of {}", text(vm, "name_label"));
    match kind {
        "snapshot" | "checkpoint" => {
            let method = if kind == "snapshot" { "VM.snapshot" } else { "VM.checkpoint" };
            let made = session.call_within(method, &[this, label.into()], LIMIT).await?;
            return drop_snapshot(session, made.as_opaque().unwrap_or(OpaqueRef::NULL)).await;
        }
        "suspend" => session.call_within("VM.suspend", &[this], LIMIT).await?,
        "resume" => session.call_within("VM.resume", &[this, no(), no()], LIMIT).await?,
        "pause" => session.call_within("VM.pause", &[this], LIMIT).await?,
        "unpause" => session.call_within("VM.unpause", &[this], LIMIT).await?,
        "start" => session.call_within("VM.start", &[this, no(), no()], LIMIT).await?,
        // Asked for and not waited for: the task is on its own.
        "start start" => Value::Ref(session.start("VM.start", &[this, no(), no()]).await?),
        "start stop" => Value::Ref(session.start("VM.hard_shutdown", &[this]).await?),
        "scan" => {
            for sr in session.records("SR").await? {
                if text(&sr, "name_label") == "shared" {
                    session.call_within("SR.scan", &[Value::Ref(sr.opaque())], LIMIT).await?;
                }
            }
            Value::Void
        }
        _ => session.call_within("VM.hard_shutdown", &[this], LIMIT).await?,
    };
    Ok(())
}

async fn migrate(session: &Session, vm: &Record, choices: &mut Choices) -> Result<(), CallError> {
    let hosts = session.records("host").await?;
    let Some(to) = hosts.get(choices.below(hosts.len().max(1))) else { return Ok(()) };
    let live = Value::str_map([("live", "true")]);
    let params = [Value::Ref(vm.opaque()), Value::Ref(to.opaque()), live];
    session.call_within("VM.pool_migrate", &params, LIMIT).await.map(drop)
}

/// A value under a key of this host alone; later values are greater.
async fn write(
    session: &Session,
    vm: &Record,
    host: &str,
    choices: &mut Choices,
    value: &str,
    tally: &mut Tally,
) -> Result<(), CallError> {
    let this = Value::Ref(vm.opaque());
    let key = format!("{}{}", key_prefix(host), choices.below(8));
    let name = format!("{}/{key}", vm.uuid());
    // From the first byte sent until the answer the old value may be gone.
    tally.acked.insert(name.clone(), Json::Null);
    let key: Value = key.as_str().into();
    session.call("VM.remove_from_other_config", &[this.clone(), key.clone()]).await?;
    session.call("VM.add_to_other_config", &[this, key, value.into()]).await?;
    tally.writes += 1;
    tally.acked.insert(name, json!(value));
    Ok(())
}

/// Destroys a snapshot or checkpoint with its disks and its memory.
pub(super) async fn drop_snapshot(session: &Session, snapshot: OpaqueRef) -> Result<(), CallError> {
    let record = session.record("VM", snapshot).await?;
    let refs = |field: &str| -> Vec<OpaqueRef> {
        let set = record.get_by_name(field).and_then(Value::as_set);
        set.map(|s| s.opaques().collect()).unwrap_or_default()
    };
    let memory = record.get_by_name("suspend_VDI").and_then(Value::as_opaque);
    let mut vdis: Vec<Value> =
        memory.filter(|m| !m.is_null()).map(Value::Ref).into_iter().collect();
    for vbd in refs("VBDs") {
        let vdi = session.call("VBD.get_VDI", &[Value::Ref(vbd)]).await?;
        if vdi.as_opaque().is_some_and(|vdi| !vdi.is_null()) {
            vdis.push(vdi);
        }
    }
    session.call_within("VM.destroy", &[Value::Ref(snapshot)], LIMIT).await?;
    for vdi in vdis {
        match session.call_within("VDI.destroy", &[vdi], LIMIT).await {
            // A checkpoint's memory goes with its VM.
            Err(error) if error.is("HANDLE_INVALID") => {}
            other => drop(other?),
        }
    }
    Ok(())
}

pub(super) fn text<'a>(record: &'a Record, field: &str) -> &'a str {
    record.get_by_name(field).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn flag(record: &Record, field: &str) -> bool {
    record.get_by_name(field).and_then(Value::as_bool).unwrap_or_default()
}
