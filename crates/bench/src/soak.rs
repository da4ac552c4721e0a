//! `cargo xtask soak`: kill the daemon, `had`, etcd and libvirt's daemon at random moments, under a load of starts, stops,
//! snapshots, migrations and small writes, and judge what is left.
//!
//! The seed is printed first; the same seed repeats the choices (not the machine's timing). Judged at the end, after the
//! pool has come to rest: the audit of every host finds nothing, the guests that run are those that the records name, no
//! disk is without its record, no task is pending, and every acknowledged write is there.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use host::exec::Command;
use serde_json::{Value as Json, json};
use xenapi::{OpaqueRef, Value};

use crate::lab::{Lab, root_session, runtime};
use crate::report::print;

/// Options of the verb.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many processes to kill.
    #[arg(long, default_value_t = 200)]
    kills: u64,
    /// Seed of all choices; a random one if absent.
    #[arg(long)]
    seed: Option<u64>,
    /// Hosts of the lab.
    #[arg(long, default_value_t = 3)]
    hosts: usize,
}

/// VMs that the load plays with.
const VMS: usize = 4;
/// Shortest and longest pause between two kills.
const PAUSE_MS: (u64, u64) = (150, 1500);
/// Longest time for the pool to come to rest at the end.
const REST: Duration = Duration::from_secs(180);
/// What is killed: the unit's name in the lab and how often it is chosen.
const VICTIMS: [&str; 4] = ["holdfastd", "holdfast-had", "etcd", "libvirtd"];

/// A small, repeatable source of choices.
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or_default()
    }
}

/// Runs it; the last line is a JSON summary.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| {
        std::time::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_secs() ^ u64::from(d.subsec_nanos()))
    });
    let budget = Duration::from_millis(arguments.kills * (PAUSE_MS.0 + PAUSE_MS.1) / 2) + REST;
    print(&format!("seed {seed}, {} kills, time budget {} s", arguments.kills, budget.as_secs()));
    let mut choices = Choices(seed);
    let lab = Lab::up("soak", arguments.hosts, &[])?;
    lab.worker("h1", "soak", &["prepare", &VMS.to_string()])?;
    let done = AtomicBool::new(false);
    let killed = Mutex::new(BTreeMap::<&str, u64>::new());
    let load_seed = choices.next();
    let hosts: Vec<String> = (1..=arguments.hosts).map(|n| format!("h{n}")).collect();
    let loads: Vec<Json> = std::thread::scope(|scope| {
        let (lab, done) = (&lab, &done);
        let loads: Vec<_> = hosts
            .iter()
            .enumerate()
            .map(|(n, host)| {
                let seed = (load_seed ^ n as u64).to_string();
                scope.spawn(move || load_on(lab, host, &seed, done))
            })
            .collect();
        for _ in 0..arguments.kills {
            let pause = PAUSE_MS.0 + choices.next() % (PAUSE_MS.1 - PAUSE_MS.0);
            std::thread::sleep(Duration::from_millis(pause));
            let host = &hosts[choices.below(hosts.len())];
            let victim = VICTIMS[choices.below(VICTIMS.len())];
            if kill(lab, host, victim).unwrap_or(false) {
                *killed
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .entry(victim)
                    .or_default() += 1;
            }
        }
        done.store(true, Ordering::SeqCst);
        loads.into_iter().map(|l| l.join().unwrap_or_default()).collect()
    });
    let verdict = judge(&lab, &hosts, &loads)?;
    let sum = |name: &str| -> u64 { loads.iter().filter_map(|l| l[name].as_u64()).sum() };
    let ok = verdict.is_empty();
    let summary = json!({
        "seed": seed, "kills": *killed.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        "operations": sum("operations"), "refused": sum("refused"), "acknowledged_writes": sum("writes"),
        "findings": verdict, "ok": ok,
    });
    print(&summary.to_string());
    anyhow::ensure!(ok, "the pool did not come through");
    Ok(())
}

/// Keeps a worker on one host under load until told to stop. The worker works in slices, so that it notices.
fn load_on(lab: &Lab, host: &str, seed: &str, done: &AtomicBool) -> Json {
    let mut total = json!({"operations": 0, "refused": 0, "writes": 0, "acked": {}});
    let slice = AtomicU64::new(0);
    while !done.load(Ordering::SeqCst) {
        let n = slice.fetch_add(1, Ordering::SeqCst).to_string();
        let Ok(part) = lab.worker(host, "soak", &["load", host, seed, &n]) else { continue };
        for name in ["operations", "refused", "writes"] {
            total[name] =
                json!(total[name].as_u64().unwrap_or(0) + part[name].as_u64().unwrap_or(0));
        }
        if let Some(acked) = part["acked"].as_object() {
            for (key, value) in acked {
                total["acked"][key] = value.clone();
            }
        }
    }
    total
}

fn kill(lab: &Lab, host: &str, victim: &str) -> anyhow::Result<bool> {
    let status = lab.status()?;
    let pid = status["hosts"]
        .as_array()
        .and_then(|hosts| hosts.iter().find(|h| h["name"] == *host))
        .and_then(|h| h["pids"][victim].as_i64());
    let Some(pid) = pid else { return Ok(false) };
    Command::new("/bin/kill").args(["-9", &pid.to_string()]).check()?;
    Ok(true)
}

/// Everything that is wrong once the pool is at rest.
fn judge(lab: &Lab, hosts: &[String], loads: &[Json]) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    let deadline = Instant::now() + REST;
    let rest = loop {
        let answer = lab
            .worker("h1", "soak", &["audit"])
            .unwrap_or_else(|e| json!({"findings": [e.to_string()]}));
        let quiet = answer["findings"].as_array().is_some_and(Vec::is_empty)
            && answer["sagas"] == 0
            && answer["tasks"] == 0;
        if quiet || Instant::now() > deadline {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    for finding in rest["findings"].as_array().into_iter().flatten() {
        findings.push(format!("audit: {finding}"));
    }
    for saga in rest["at_work"].as_array().into_iter().flatten() {
        findings.push(format!("at work still: {saga}"));
    }
    for (name, what) in [("sagas", "sagas at work"), ("tasks", "tasks pending")] {
        if rest[name] != 0 {
            findings.push(format!("{} {what}", rest[name]));
        }
    }
    for host in hosts {
        let seen = lab.worker(host, "soak", &["guests"])?;
        let uuid = seen["host"].as_str().unwrap_or_default();
        let mut recorded: Vec<&str> = rest["running"][uuid]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let mut real: Vec<&str> =
            seen["guests"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        recorded.sort_unstable();
        real.sort_unstable();
        if recorded != real {
            findings.push(format!("{host} runs {real:?}, the records say {recorded:?}"));
        }
    }
    match lab.worker("h1", "soak", &["disks"]) {
        Ok(orphans) => {
            for orphan in orphans["orphans"].as_array().into_iter().flatten() {
                findings.push(format!("disk without a record: {orphan}"));
            }
        }
        Err(error) => findings.push(format!("the disks could not be looked at: {error:#}")),
    }
    let mut acked = serde_json::Map::new();
    for load in loads {
        if let Some(map) = load["acked"].as_object() {
            acked.extend(map.clone());
        }
    }
    let lost = lab.worker("h1", "soak", &["writes", &Json::Object(acked).to_string()])?;
    for key in lost["lost"].as_array().into_iter().flatten() {
        findings.push(format!("an acknowledged write is lost: {key}"));
    }
    Ok(findings)
}

/// A host's part.
pub(crate) fn worker(arguments: &[String]) -> anyhow::Result<Json> {
    let at = |n: usize| arguments.get(n).map(String::as_str).unwrap_or_default();
    match at(0) {
        "prepare" => prepare(at(1).parse()?),
        "load" => runtime()?.block_on(load(at(1), at(2).parse()?, at(3).parse()?)),
        "audit" => Ok(serde_json::from_slice(&crate::records::get("/audit")?)?),
        "guests" => guests(),
        "disks" => runtime()?.block_on(disks()),
        "writes" => runtime()?.block_on(writes(serde_json::from_str(at(1))?)),
        other => anyhow::bail!("no part {other}"),
    }
}

fn xe(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("xe").args(arguments).limit(Duration::from_secs(120)).check()?;
    Ok(output.text().trim().to_owned())
}

fn prepare(vms: usize) -> anyhow::Result<Json> {
    let sr = xe(&["sr-list", "name-label=shared", "--minimal"])?;
    for n in 0..vms {
        let vm = xe(&[
            "vm-install",
            "template=Other install media",
            &format!("new-name-label=soak{n}"),
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
        let size = "virtual-size=16777216";
        let vdi =
            xe(&["vdi-create", &format!("sr-uuid={sr}"), &format!("name-label=soak{n}"), size])?;
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

/// Longest slice of load before the worker reports.
const SLICE: Duration = Duration::from_secs(5);

async fn load(host: &str, seed: u64, slice: u64) -> anyhow::Result<Json> {
    let mut choices = Choices(seed.wrapping_add(slice.wrapping_mul(0x51_7C_C1)));
    let (mut operations, mut refused, mut writes) = (0_u64, 0_u64, 0_u64);
    let mut acked = serde_json::Map::new();
    let started = Instant::now();
    while started.elapsed() < SLICE {
        let Ok(session) = root_session().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(vms) = session.records("VM").await else { continue };
        let mine: Vec<_> = vms
            .iter()
            .filter(|vm| label(vm).starts_with("soak") && !flag(vm, "is_a_snapshot"))
            .collect();
        let Some(vm) = mine.get(choices.below(mine.len().max(1))) else { continue };
        let this = Value::Ref(vm.opaque());
        let power = vm.get_by_name("power_state").and_then(Value::as_str).unwrap_or_default();
        let limit = Duration::from_secs(60);
        let result = match (choices.below(6), power) {
            (0, _) => {
                // Acknowledged writes: a counter under a key of this host alone.
                let key = format!("soak-{host}-{}", choices.below(8));
                let value = format!("{slice}-{operations}");
                let set = async {
                    session
                        .call("VM.remove_from_other_config", &[this.clone(), key.as_str().into()])
                        .await?;
                    session
                        .call(
                            "VM.add_to_other_config",
                            &[this.clone(), key.as_str().into(), value.as_str().into()],
                        )
                        .await
                };
                let name = format!("{}/{key}", vm.uuid());
                // From the first byte sent until the answer the old value may be gone.
                acked.remove(&name);
                acked.insert(name.clone(), Json::Null);
                let result = set.await;
                if result.is_ok() {
                    writes += 1;
                    acked.insert(name, json!(value));
                }
                result
            }
            (1, _) => {
                let label = format!("snap of {}", label(vm));
                match session.call_within("VM.snapshot", &[this, label.into()], limit).await {
                    Ok(snapshot) => drop_snapshot(&session, &snapshot).await,
                    Err(error) => Err(error),
                }
            }
            (2, "Running") => {
                let hosts = session.records("host").await.unwrap_or_default();
                let Some(to) = hosts.get(choices.below(hosts.len().max(1))) else { continue };
                let params = [this, Value::Ref(to.opaque()), Value::str_map([("live", "true")])];
                session.call_within("VM.pool_migrate", &params, limit).await
            }
            (_, "Running") => session.call_within("VM.hard_shutdown", &[this], limit).await,
            (_, "Halted") => {
                session.call_within("VM.start", &[this, false.into(), false.into()], limit).await
            }
            (_, "Paused") => session.call_within("VM.unpause", &[this], limit).await,
            _ => session.call_within("VM.hard_shutdown", &[this], limit).await,
        };
        match result {
            Ok(_) => operations += 1,
            Err(_) => refused += 1,
        }
    }
    Ok(json!({"operations": operations, "refused": refused, "writes": writes, "acked": acked}))
}

async fn drop_snapshot(
    session: &client::Session,
    snapshot: &Value,
) -> Result<Value, client::CallError> {
    let opaque = snapshot.as_opaque().unwrap_or(OpaqueRef::NULL);
    let record = session.record("VM", opaque).await?;
    let vbds: Vec<OpaqueRef> = record
        .get_by_name("VBDs")
        .and_then(Value::as_set)
        .map(|s| s.opaques().collect())
        .unwrap_or_default();
    let mut vdis = Vec::new();
    for vbd in vbds {
        vdis.push(session.call("VBD.get_VDI", &[Value::Ref(vbd)]).await?);
    }
    session.call_within("VM.destroy", &[Value::Ref(opaque)], Duration::from_secs(30)).await?;
    for vdi in vdis {
        session.call_within("VDI.destroy", &[vdi], Duration::from_secs(30)).await?;
    }
    Ok(Value::Void)
}

fn label(record: &xenapi::Record) -> &str {
    record.get_by_name("name_label").and_then(Value::as_str).unwrap_or_default()
}

fn flag(record: &xenapi::Record, field: &str) -> bool {
    record.get_by_name(field).and_then(Value::as_bool).unwrap_or_default()
}

/// Guests of Holdfast that really run here, by their process.
fn guests() -> anyhow::Result<Json> {
    let mut found = Vec::new();
    for pid in host::proc::pids()? {
        let argv = host::proc::argv(pid);
        if !argv.first().is_some_and(|a| a.contains("qemu-system")) {
            continue;
        }
        if let Some(uuid) = argv.iter().find_map(|a| {
            let rest = a.strip_prefix("guest=hf-").or_else(|| a.split("guest=hf-").nth(1))?;
            Some(rest.split(',').next().unwrap_or(rest).to_owned())
        }) {
            found.push(uuid);
        }
    }
    let identity: Json = serde_json::from_slice(&std::fs::read("/var/lib/holdfast/host.json")?)?;
    Ok(json!({"host": identity["host"], "guests": found}))
}

/// Volumes that a scan finds without a record.
async fn disks() -> anyhow::Result<Json> {
    let session = root_session().await?;
    let ids = |records: Vec<xenapi::Record>| -> Vec<String> {
        records.iter().map(|r| r.uuid().to_string()).collect()
    };
    let before = ids(session.records("VDI").await?);
    for sr in session.records("SR").await? {
        let kind = sr.get_by_name("type").and_then(Value::as_str).unwrap_or_default();
        if kind == "file" {
            session
                .call_within("SR.scan", &[Value::Ref(sr.opaque())], Duration::from_secs(60))
                .await?;
        }
    }
    let after = ids(session.records("VDI").await?);
    let orphans: Vec<String> = after.into_iter().filter(|v| !before.contains(v)).collect();
    Ok(json!({"orphans": orphans}))
}

async fn writes(acked: serde_json::Map<String, Json>) -> anyhow::Result<Json> {
    let session = root_session().await?;
    let mut lost = Vec::new();
    for (name, value) in acked {
        // Null: the last write of that key was not acknowledged, so either state is right.
        let Some(value) = value.as_str() else { continue };
        let (vm, key) = name.split_once('/').context("a VM and a key")?;
        let vm = session.call("VM.get_by_uuid", &[vm.into()]).await?;
        let config = session.call("VM.get_other_config", &[vm]).await?;
        let there = config.member(key).and_then(Value::as_str);
        if there != Some(value) {
            lost.push(format!("{name}: {there:?} instead of {value}"));
        }
    }
    Ok(json!({"lost": lost}))
}
