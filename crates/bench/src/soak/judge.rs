//! Everything that is wrong once the pool is at rest.
//!
//! The audit of the records comes first; then what really is on each host (processes, libvirt's list, `had`'s registry)
//! and in each repository is compared with them. Snapshots whose maker was killed away are nobody's fault: they are
//! destroyed like any other, which must work, and must leave nothing. What is made right a moment later by a loop that
//! looks from time to time has that time; what stays is a finding.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use host::exec::Command;
use serde_json::{Value as Json, json};
use xenapi::Value;

use super::load::{self, LABEL, flag, text};
use crate::lab::{Lab, root_session};

/// Longest time for the pool to come to rest at the end.
pub(super) const REST: Duration = Duration::from_secs(180);
/// Longest time for what is looked at from time to time to be made right.
pub(super) const SETTLE: Duration = Duration::from_secs(90);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Beginning of libvirt's names of our guests.
const DOMAIN: &str = "hf-";

/// What was found.
pub(super) struct Verdict {
    pub(super) findings: Vec<String>,
    /// What was looked at, so that an empty list of findings means something.
    pub(super) looked_at: Json,
    /// How long the pool took to come to rest.
    pub(super) rest: Duration,
}

/// Judges the pool.
pub(super) fn judge(
    lab: &Lab,
    hosts: &[String],
    acked: &serde_json::Map<String, Json>,
) -> anyhow::Result<Verdict> {
    let started = Instant::now();
    let mut findings = at_rest(lab);
    let rest = started.elapsed();
    findings.extend(writes(lab, acked, Newer::Lost)?);
    let tidied = lab.worker("h1", "soak", &["tidy"])?;
    findings.extend(texts(&tidied["wrong"]));
    findings.extend(at_rest(lab));
    let audit = lab.worker("h1", "soak", &["audit"])?;
    let (mut guests, mut files, mut disks) = (0, 0, 0);
    for host in hosts {
        let (wrong, seen) = settled(|| {
            let seen = lab.worker(host, "soak", &["guests"])?;
            let audit = lab.worker("h1", "soak", &["audit"])?;
            Ok((differences(host, &seen, &audit), seen))
        })?;
        guests += seen["processes"].as_array().map_or(0, Vec::len);
        findings.extend(wrong);
        let (wrong, seen) = settled(|| {
            let seen = lab.worker(host, "soak", &["disks"])?;
            Ok((texts(&seen["wrong"]), seen))
        })?;
        files += seen["files"].as_u64().unwrap_or(0);
        disks = seen["records"].as_u64().unwrap_or(0);
        findings.extend(wrong.into_iter().map(|w| format!("{host}: {w}")));
    }
    findings.sort_unstable();
    findings.dedup();
    let looked_at = json!({
        "guests": guests, "files": files, "disks": disks, "locks": audit["locks"], "writes": acked.len(),
        "left_snapshots": tidied["destroyed"],
    });
    Ok(Verdict { findings, looked_at, rest })
}

pub(super) fn texts(list: &Json) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

/// Looks until nothing is wrong or the time is over; gives the last look.
fn settled(
    look: impl Fn() -> anyhow::Result<(Vec<String>, Json)>,
) -> anyhow::Result<(Vec<String>, Json)> {
    let deadline = Instant::now() + SETTLE;
    loop {
        match look() {
            Ok((wrong, seen)) if wrong.is_empty() || Instant::now() > deadline => {
                return Ok((wrong, seen));
            }
            Err(error) if Instant::now() > deadline => {
                return Ok((vec![format!("could not be looked at: {error:#}")], Json::Null));
            }
            _ => std::thread::sleep(PAUSE),
        }
    }
}

/// Waits until nothing is at work and the records fit together; what does not, after [`REST`].
fn at_rest(lab: &Lab) -> Vec<String> {
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
        std::thread::sleep(PAUSE);
    };
    let mut findings: Vec<String> =
        texts(&rest["findings"]).into_iter().map(|f| format!("audit: {f}")).collect();
    findings
        .extend(texts(&rest["at_work"]).into_iter().map(|saga| format!("at work still: {saga}")));
    for (name, what) in [("sagas", "sagas at work"), ("tasks", "tasks pending")] {
        if rest[name] != 0 {
            findings.push(format!("{} {what}", rest[name]));
        }
    }
    findings
}

/// Where the guests of one host, seen in three ways, are not those that the records name.
pub(super) fn differences(host: &str, seen: &Json, audit: &Json) -> Vec<String> {
    let sorted = |list: &Json| {
        let mut all = texts(list);
        all.sort_unstable();
        all
    };
    let recorded = sorted(&audit["running"][seen["host"].as_str().unwrap_or_default()]);
    [("processes", "runs"), ("domains", "has in libvirt"), ("registered", "has in had's registry")]
        .into_iter()
        .filter_map(|(name, what)| {
            let real = sorted(&seen[name]);
            (real != recorded)
                .then(|| format!("{host} {what} {real:?}, the records say {recorded:?}"))
        })
        .collect()
}

/// Whether a value newer than the acknowledged one may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newer {
    /// Its answer may have been lost with the run that asked for it.
    Allowed,
    /// Nobody has written it.
    Lost,
}

/// Acknowledged writes that are not there.
pub(super) fn writes(
    lab: &Lab,
    acked: &serde_json::Map<String, Json>,
    newer: Newer,
) -> anyhow::Result<Vec<String>> {
    let there = lab.worker("h1", "soak", &["writes", &Json::Object(acked.clone()).to_string()])?;
    Ok(acked
        .iter()
        // Null: the last write of that key was not acknowledged, so either state is right.
        .filter_map(|(name, value)| Some((name, value.as_str()?)))
        .filter(|(name, value)| !stands(value, there[name.as_str()].as_str(), newer))
        .map(|(name, value)| {
            format!("an acknowledged write is lost: {name}: {} instead of {value}", there[name])
        })
        .collect())
}

fn stands(acked: &str, there: Option<&str>, newer: Newer) -> bool {
    let order = |value: &str| -> Option<(u64, u64)> {
        let (slice, number) = value.split_once('.')?;
        Some((slice.parse().ok()?, number.parse().ok()?))
    };
    match (there, newer) {
        (Some(there), Newer::Lost) => there == acked,
        (Some(there), Newer::Allowed) => order(there) >= order(acked),
        // A write is a removal and an addition; one may have happened without the other.
        (None, Newer::Allowed) => true,
        (None, Newer::Lost) => false,
    }
}

/// What stands under the keys of `acked`.
pub(super) async fn read_writes(acked: serde_json::Map<String, Json>) -> anyhow::Result<Json> {
    let session = root_session().await?;
    let mut configs: BTreeMap<String, Value> = BTreeMap::new();
    let mut there = serde_json::Map::new();
    for name in acked.keys() {
        let (vm, key) = name.split_once('/').context("a VM and a key")?;
        if !configs.contains_key(vm) {
            let this = session.call("VM.get_by_uuid", &[vm.into()]).await?;
            let config = session.call("VM.get_other_config", &[this]).await?;
            configs.insert(vm.to_owned(), config);
        }
        let value = configs.get(vm).and_then(|config| config.member(key)?.as_str());
        there.insert(name.clone(), json!(value));
    }
    Ok(Json::Object(there))
}

/// Destroys the snapshots whose makers were killed, and lets the repository tidy itself as at any destruction.
pub(super) async fn tidy() -> anyhow::Result<Json> {
    let operator = load::Operator::new(root_session().await?, load::Way::Waits);
    let session = &operator.session;
    let (mut destroyed, mut wrong) = (0, Vec::new());
    for vm in session.records("VM").await? {
        if !flag(&vm, "is_a_snapshot") || !text(&vm, "name_label").contains(LABEL) {
            continue;
        }
        match operator.drop_snapshot(vm.opaque()).await {
            Ok(()) => destroyed += 1,
            Err(error) => wrong.push(format!(
                "the snapshot '{}' ({}) can't be destroyed: {error}",
                text(&vm, "name_label"),
                vm.uuid()
            )),
        }
    }
    // Disks of snapshots that were destroyed without their disks, and of halves of both.
    let vbds = session.records("VBD").await?;
    let used = |vdi: &xenapi::Record| {
        vbds.iter()
            .any(|vbd| vbd.get_by_name("VDI").and_then(Value::as_opaque) == Some(vdi.opaque()))
    };
    for vdi in session.records("VDI").await? {
        let snapshot = flag(&vdi, "is_a_snapshot") && text(&vdi, "name_label").starts_with(LABEL);
        let memory = text(&vdi, "type") == "suspend" && !is_memory_of_one(session, &vdi).await?;
        if (snapshot && !used(&vdi)) || memory {
            let this = Value::Ref(vdi.opaque());
            match session.call_within("VDI.destroy", &[this], Duration::from_secs(60)).await {
                Ok(_) => destroyed += 1,
                Err(error) => {
                    wrong.push(format!("disk {} can't be destroyed: {error}", vdi.uuid()));
                }
            }
        }
    }
    for sr in session.records("SR").await? {
        if text(&sr, "name_label") != "shared" {
            continue;
        }
        let output = Command::new("xe")
            .args(["vdi-create", &format!("sr-uuid={}", sr.uuid()), "name-label=broom"])
            .args(["virtual-size=1048576"])
            .limit(Duration::from_secs(60))
            .check()?;
        let uuid = output.text().trim().to_owned();
        let vdi = session.call("VDI.get_by_uuid", &[uuid.as_str().into()]).await?;
        session.call_within("VDI.destroy", &[vdi], Duration::from_secs(60)).await?;
    }
    Ok(json!({"destroyed": destroyed, "wrong": wrong}))
}

async fn is_memory_of_one(session: &client::Session, vdi: &xenapi::Record) -> anyhow::Result<bool> {
    let vms = session.records("VM").await?;
    Ok(vms
        .iter()
        .any(|vm| vm.get_by_name("suspend_VDI").and_then(Value::as_opaque) == Some(vdi.opaque())))
}

/// Guests of Holdfast on this host: their processes, libvirt's domains, `had`'s living guests.
pub(super) fn guests() -> anyhow::Result<Json> {
    let mut processes = Vec::new();
    for pid in host::proc::pids()? {
        let argv = host::proc::argv(pid);
        if !argv.first().is_some_and(|a| a.contains("qemu-system")) {
            continue;
        }
        processes.extend(argv.iter().find_map(|a| {
            let rest = a.split("guest=hf-").nth(1)?;
            Some(rest.split(',').next().unwrap_or(rest).to_owned())
        }));
    }
    let listed = Command::new("virsh")
        .args(["--connect", "qemu:///system", "list", "--all", "--name"])
        .limit(Duration::from_secs(30))
        .check()?;
    let domains: Vec<String> = listed
        .text()
        .lines()
        .filter_map(|n| n.trim().strip_prefix(DOMAIN))
        .map(str::to_owned)
        .collect();
    let had = host::had::Client::new(host::had::SOCKET).list()?;
    let registered: Vec<String> = had.iter().map(|g| g.process.vm.to_string()).collect();
    let identity: Json = serde_json::from_slice(&std::fs::read("/var/lib/holdfast/host.json")?)?;
    Ok(json!({
        "host": identity["host"], "processes": processes, "domains": domains, "registered": registered,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_is_missing_or_too_many_in_any_list_is_found() {
        let audit = json!({"running": {"H": ["a", "b"]}});
        let seen = |processes: Json, domains: Json, registered: Json| json!({"host": "H", "processes": processes, "domains": domains, "registered": registered});
        let both = json!(["b", "a"]);
        let fine = seen(both.clone(), both.clone(), both.clone());
        assert_eq!(differences("h1", &fine, &audit), Vec::<String>::new());
        for (at, name) in ["processes", "domains", "registered"].into_iter().enumerate() {
            for wrong in [json!(["a"]), json!(["a", "b", "c"]), json!([])] {
                let mut seen = fine.clone();
                seen[name] = wrong;
                assert_eq!(differences("h1", &seen, &audit).len(), 1, "list {at}");
            }
        }
        let none = json!({"running": {}});
        assert_eq!(differences("h1", &fine, &none).len(), 3);
    }

    #[test]
    fn a_lost_or_older_write_is_found_and_a_newer_one_only_where_nobody_could_know_of_it() {
        for newer in [Newer::Lost, Newer::Allowed] {
            assert!(stands("3.9", Some("3.9"), newer));
            assert!(!stands("3.9", Some("3.8"), newer));
            assert!(!stands("3.9", Some("2.10"), newer));
        }
        assert!(stands("3.9", Some("3.10"), Newer::Allowed));
        assert!(!stands("3.9", Some("3.10"), Newer::Lost));
        assert!(!stands("3.9", None, Newer::Lost));
    }
}
