//! What the VMs and their operators do while things break: what is made before, what is chosen, how it is asked for.
//!
//! [`load`] is the load of `--kills`: it runs inside a lab host, through that host's daemon. The clients of the other
//! campaigns ([`super::clients`]) choose and ask in the same way, from the network.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::{CallError, Session};
use host::exec::Command;
use serde_json::{Value as Json, json};
use xenapi::{OpaqueRef, Record, Value};

use super::Choices;
use super::clients::Calls;
use crate::lab::root_session;

/// Longest slice of load before the worker reports.
const SLICE: Duration = Duration::from_secs(5);
/// Longest wait for one operation; it may go on without us.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Beginning of the names of the VMs.
pub(super) const LABEL: &str = "soak";
/// In the name of a VM whose guest counts on its disk: it is not stopped for fun.
pub(super) const COUNTER: &str = "counter";

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
    let mut made = Vec::new();
    for n in 0..vms {
        let label = format!("{LABEL}{n}");
        let vm = vm_make(&label, 32 << 20)?;
        let vdi = xe(&[
            "vdi-create",
            &format!("sr-uuid={sr}"),
            &format!("name-label={label}"),
            "virtual-size=16777216",
        ])?;
        disk_give(&vm, &vdi)?;
        made.push(vm);
    }
    Ok(json!(made))
}

/// Makes a VM whose guest counts on its disk, from the file that lies in the shared repository under that uuid.
pub(super) fn prepare_counter(name: &str, vdi: &str, mac: &str) -> anyhow::Result<Json> {
    let sr = xe(&["sr-list", "name-label=shared", "--minimal"])?;
    xe(&["sr-scan", &format!("uuid={sr}")])?;
    let vm = vm_make(&format!("{LABEL}-{COUNTER}-{name}"), 128 << 20)?;
    disk_give(&vm, vdi)?;
    let uuid = format!("uuid={vm}");
    xe(&["vm-param-set", &uuid, "HVM-boot-policy=BIOS order", "HVM-boot-params:order=c"])?;
    let network = xe(&["network-list", "bridge=xenbr0", "--minimal"])?;
    xe(&[
        "vif-create",
        &format!("vm-uuid={vm}"),
        &format!("network-uuid={network}"),
        "device=0",
        &format!("mac={mac}"),
    ])?;
    xe(&["vm-start", &uuid])?;
    Ok(json!(vm))
}

fn vm_make(label: &str, memory: u64) -> anyhow::Result<String> {
    let name = format!("new-name-label={label}");
    let vm = xe(&["vm-install", "template=Other install media", &name])?;
    let limits = ["static-min", "dynamic-min", "dynamic-max", "static-max"]
        .map(|limit| format!("{limit}={memory}"));
    let uuid = format!("uuid={vm}");
    let mut set = vec!["vm-memory-limits-set", &uuid];
    set.extend(limits.iter().map(String::as_str));
    xe(&set)?;
    Ok(vm)
}

fn disk_give(vm: &str, vdi: &str) -> anyhow::Result<()> {
    let (vm, vdi) = (format!("vm-uuid={vm}"), format!("vdi-uuid={vdi}"));
    xe(&["vbd-create", &vm, &vdi, "device=0", "bootable=true"]).map(drop)
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
        let operator = Operator::new(session, Way::Waits);
        let kind = choose(&mut choices, text(vm, "power_state"));
        let done = match kind {
            "write" => write(&operator, vm, host, &mut choices, &value, &mut tally).await,
            kind => operator.operate(vm, kind, &mut choices).await,
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
pub(super) fn choose(choices: &mut Choices, power: &str) -> &'static str {
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

/// What to do to the VM of a guest that counts: it runs on, and moves.
pub(super) fn choose_for_counter(choices: &mut Choices, power: &str) -> &'static str {
    match (choices.below(8), power) {
        (0 | 1, "Running") => "migrate",
        (2, "Running") => "snapshot",
        (_, "Halted") => "start",
        (_, "Suspended") => "resume",
        (_, "Paused") => "unpause",
        _ => "rest",
    }
}

/// How a long operation is waited for.
#[derive(Debug)]
pub(super) enum Way {
    /// By a call that waits, at most [`LIMIT`].
    Waits,
    /// By its task; each call on the way is timed.
    Task(Calls),
}

/// Asks for operations.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) session: Session,
    way: Way,
}

impl Operator {
    pub(super) fn new(session: Session, way: Way) -> Self {
        Self { session, way }
    }

    /// How long its calls took, where they are timed.
    pub(super) fn calls(&self) -> Option<&Calls> {
        match &self.way {
            Way::Waits => None,
            Way::Task(calls) => Some(calls),
        }
    }

    /// A call that has to be answered within the limit of all calls.
    pub(super) async fn call(&self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        match &self.way {
            Way::Waits => self.session.call(method, params).await,
            Way::Task(calls) => calls.timed(method, self.session.call(method, params)).await,
        }
    }

    /// All records of a class.
    pub(super) async fn records(&self, class: &'static str) -> Result<Vec<Record>, CallError> {
        let asked = self.session.records(class);
        match &self.way {
            Way::Waits => asked.await,
            Way::Task(calls) => calls.timed(class, asked).await,
        }
    }

    /// An operation that may take long, at most [`LIMIT`]; it may go on without us.
    async fn long(&self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        match &self.way {
            Way::Waits => self.session.call_within(method, params, LIMIT).await,
            Way::Task(calls) => {
                let task = calls.timed(method, self.session.start(method, params)).await?;
                self.session.wait_task(task, LIMIT, |_| {}).await
            }
        }
    }

    /// Does that to a VM.
    pub(super) async fn operate(
        &self,
        vm: &Record,
        kind: &str,
        choices: &mut Choices,
    ) -> Result<(), CallError> {
        let this = Value::Ref(vm.opaque());
        let no = || Value::from(false);
        let label = format!("{kind} of {}", text(vm, "name_label"));
        match kind {
            "snapshot" | "checkpoint" => {
                let method = if kind == "snapshot" { "VM.snapshot" } else { "VM.checkpoint" };
                let made = self.long(method, &[this, label.into()]).await?;
                return self.drop_snapshot(made.as_opaque().unwrap_or(OpaqueRef::NULL)).await;
            }
            "migrate" => return self.migrate(vm, choices).await,
            "suspend" => self.long("VM.suspend", &[this]).await?,
            "resume" => self.long("VM.resume", &[this, no(), no()]).await?,
            "pause" => self.long("VM.pause", &[this]).await?,
            "unpause" => self.long("VM.unpause", &[this]).await?,
            "start" => self.long("VM.start", &[this, no(), no()]).await?,
            // Asked for and not waited for: the task is on its own.
            "start start" => self.call("Async.VM.start", &[this, no(), no()]).await?,
            "start stop" => self.call("Async.VM.hard_shutdown", &[this]).await?,
            "scan" => {
                for sr in self.records("SR").await? {
                    if text(&sr, "name_label") == "shared" {
                        self.long("SR.scan", &[Value::Ref(sr.opaque())]).await?;
                    }
                }
                Value::Void
            }
            _ => self.long("VM.hard_shutdown", &[this]).await?,
        };
        Ok(())
    }

    async fn migrate(&self, vm: &Record, choices: &mut Choices) -> Result<(), CallError> {
        let hosts = self.records("host").await?;
        let Some(to) = hosts.get(choices.below(hosts.len().max(1))) else { return Ok(()) };
        let live = Value::str_map([("live", "true")]);
        let params = [Value::Ref(vm.opaque()), Value::Ref(to.opaque()), live];
        self.long("VM.pool_migrate", &params).await.map(drop)
    }

    /// Destroys a snapshot or checkpoint with its disks and its memory.
    pub(super) async fn drop_snapshot(&self, snapshot: OpaqueRef) -> Result<(), CallError> {
        let record = self.session.record("VM", snapshot).await?;
        let refs = |field: &str| -> Vec<OpaqueRef> {
            let set = record.get_by_name(field).and_then(Value::as_set);
            set.map(|s| s.opaques().collect()).unwrap_or_default()
        };
        let memory = record.get_by_name("suspend_VDI").and_then(Value::as_opaque);
        let mut vdis: Vec<Value> =
            memory.filter(|m| !m.is_null()).map(Value::Ref).into_iter().collect();
        for vbd in refs("VBDs") {
            let vdi = self.call("VBD.get_VDI", &[Value::Ref(vbd)]).await?;
            if vdi.as_opaque().is_some_and(|vdi| !vdi.is_null()) {
                vdis.push(vdi);
            }
        }
        self.long("VM.destroy", &[Value::Ref(snapshot)]).await?;
        for vdi in vdis {
            match self.long("VDI.destroy", &[vdi]).await {
                // A checkpoint's memory goes with its VM.
                Err(error) if error.is("HANDLE_INVALID") => {}
                other => drop(other?),
            }
        }
        Ok(())
    }
}

/// A value under a key of this host alone; later values are greater.
async fn write(
    operator: &Operator,
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
    operator.call("VM.remove_from_other_config", &[this.clone(), key.clone()]).await?;
    operator.call("VM.add_to_other_config", &[this, key, value.into()]).await?;
    tally.writes += 1;
    tally.acked.insert(name, json!(value));
    Ok(())
}

pub(super) fn text<'a>(record: &'a Record, field: &str) -> &'a str {
    record.get_by_name(field).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn flag(record: &Record, field: &str) -> bool {
    record.get_by_name(field).and_then(Value::as_bool).unwrap_or_default()
}
