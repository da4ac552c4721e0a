//! Makes one pool of the lab's hosts with the product's own commands, run inside the hosts.
//!
//! h1's pool of one is joined by the others in turn (the database takes one new voter at a time); then the storage of
//! a practice pool is created: one shared SR, a local SR per host, one ISO SR.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::layout::Layout;
use crate::process::{command, must, run};
use crate::report::Report;
use crate::state::{Lab, LabHost};
use crate::wait::{Look, until};

/// Longest time for one command of the product that only reads or writes records.
pub const COMMAND: Duration = Duration::from_secs(30);
/// Longest time for a host to join: certificates, a learner's copy of the database, its promotion.
const JOIN: Duration = Duration::from_secs(120);
/// Longest time until every voter votes: etcd takes one at a time and wants some calm in between.
const VOTERS: Duration = Duration::from_secs(120);
/// Where a host keeps its certificates.
const TLS: &str = "/var/lib/holdfast/tls";
/// Longest time for a daemon to answer after its start.
const ANSWER: Duration = Duration::from_secs(60);

/// Runs `xe` inside a host as its local root; returns its standard output without the last newline.
pub fn xe(layout: &Layout, host: &str, arguments: &[&str], deadline: Duration) -> Result<String> {
    let mut exec = command("/proc/self/exe");
    exec.args(["--name", layout.name(), "exec", host, "--", "xe"]).args(arguments);
    Ok(must(exec, None, deadline)?.trim_end().to_owned())
}

/// Waits until the host's own daemon answers a read.
pub fn daemon_wait(layout: &Layout, host: &LabHost) -> Result<()> {
    let name = &host.name;
    until(&format!("holdfastd of {name} to answer"), ANSWER, || {
        match xe(layout, name, &["host-list", "--minimal"], COMMAND) {
            Ok(uuids) if !uuids.is_empty() => Ok(Look::Done(())),
            Ok(_) => Ok(Look::NotYet("it lists no host".into())),
            Err(e) => Ok(Look::NotYet(format!("{e:#}"))),
        }
    })
    .with_context(|| format!("see {}", layout.unit_log(name, "holdfastd").display()))
}

/// Reads the uuid of each host from its own daemon.
pub fn uuids_read(layout: &Layout, lab: &mut Lab) -> Result<()> {
    for host in &mut lab.hosts {
        let filter = format!("name-label={}", host.name);
        let uuid = xe(layout, &host.name, &["host-list", &filter, "--minimal"], COMMAND)?;
        if uuid.is_empty() || uuid.contains(',') {
            bail!(
                "{} does not know itself by its name (`xe host-list {filter}`: {uuid:?})",
                host.name
            );
        }
        host.uuid = Some(uuid);
    }
    Ok(())
}

/// Gathers the certificate authorities that the hosts' APIs show, so that clients of the lab need not learn them at the
/// first meeting: labs come and go on the same addresses.
pub fn authorities_keep(layout: &Layout, lab: &Lab) -> Result<()> {
    let mut all: Vec<String> = Vec::new();
    for host in &lab.hosts {
        let mut cat = command("/proc/self/exe");
        cat.args(["--name", layout.name(), "exec", &host.name, "--", "cat"]);
        cat.arg(format!("{TLS}/ca.pem"));
        let done = run(cat, None, COMMAND)?;
        if done.status.success() && !all.contains(&done.stdout) {
            all.push(done.stdout);
        }
    }
    let path = layout.ca();
    std::fs::write(&path, all.concat()).with_context(|| format!("writing {}", path.display()))
}

/// Joins all hosts to h1's pool.
pub fn form(layout: &Layout, lab: &Lab, report: &Report) -> Result<()> {
    let Some((first, others)) = lab.hosts.split_first() else { return Ok(()) };
    let address = format!("master-address={}", first.address);
    let password = format!("master-password={}", lab.password);
    for host in others {
        xe(layout, &host.name, &["pool-join", &address, "master-username=root", &password], JOIN)
            .with_context(|| format!("joining {} to the pool of {}", host.name, first.name))?;
        report.step(&format!("{} joined the pool of {}", host.name, first.name));
    }
    for host in &lab.hosts {
        let name = &host.name;
        until(&format!("{name} to know every host as enabled"), ANSWER, || {
            match xe(layout, name, &["host-list", "enabled=true", "--minimal"], COMMAND) {
                Ok(uuids) if uuids.split(',').count() == lab.hosts.len() => Ok(Look::Done(())),
                Ok(uuids) => Ok(Look::NotYet(format!("it lists {uuids:?}"))),
                Err(e) => Ok(Look::NotYet(format!("{e:#}"))),
            }
        })?;
    }
    Ok(())
}

/// How many voters a pool of so many hosts ends up with (design.md section 3, without a witness).
fn voters_wanted(hosts: usize) -> usize {
    match hosts {
        0..=2 => 1,
        3..=4 => 3,
        5..=10 => 5,
        _ => 7,
    }
}

/// Waits until the pool's database has all its voters: before that, it may not survive the loss of a host. Read from etcd
/// itself, with the host's own certificate.
pub fn voters_wait(layout: &Layout, lab: &Lab, report: &Report) -> Result<()> {
    let wanted = voters_wanted(lab.hosts.len());
    let first = lab.hosts.first().context("a lab has at least one host")?;
    if wanted == 1 {
        return Ok(());
    }
    let endpoint = format!("https://{}:2379", first.address);
    until(&format!("the pool's {wanted} voters"), VOTERS, || {
        let mut etcdctl = command("/proc/self/exe");
        etcdctl.args(["--name", layout.name(), "exec", &first.name, "--"]);
        etcdctl.args(["env", "ETCDCTL_API=3", "etcdctl", "--endpoints", &endpoint]);
        for (option, file) in
            [("--cacert", "ca.pem"), ("--cert", "host.pem"), ("--key", "host.key")]
        {
            etcdctl.arg(option).arg(format!("{TLS}/{file}"));
        }
        etcdctl.args(["member", "list"]);
        let done = run(etcdctl, None, COMMAND)?;
        let voters = voters_in(&done.stdout);
        Ok(if voters >= wanted {
            Look::Done(())
        } else {
            Look::NotYet(format!("{voters} so far {}", done.stderr.trim()))
        })
    })?;
    report.step(&format!("the pool's database has its {wanted} voters"));
    Ok(())
}

/// Members that are started and no learners, in what `etcdctl member list` prints:
/// `ID, started, NAME, PEER URLS, CLIENT URLS, IS LEARNER`.
fn voters_in(list: &str) -> usize {
    list.lines()
        .filter(|line| {
            let words: Vec<_> = line.split(", ").collect();
            words.get(1) == Some(&"started") && words.last() == Some(&"false")
        })
        .count()
}

/// Creates the pool's storage and makes the shared SR its default.
pub fn storage_make(layout: &Layout, lab: &Lab, report: &Report) -> Result<()> {
    let first = &lab.hosts.first().context("a lab has at least one host")?.name;
    let make = |arguments: &[&str]| xe(layout, first, arguments, COMMAND);
    let shared = make(&[
        "sr-create",
        "name-label=shared",
        "type=file",
        "content-type=user",
        "shared=true",
        "device-config:location=/srv/shared",
    ])?;
    make(&[
        "sr-create",
        "name-label=iso",
        "type=iso",
        "content-type=iso",
        "shared=true",
        "device-config:location=/srv/iso",
    ])?;
    for host in &lab.hosts {
        let owner = format!(
            "host-uuid={}",
            host.uuid.as_deref().context("the host's uuid is known by now")?
        );
        let label = format!("name-label=local {}", host.name);
        make(&[
            "sr-create",
            &owner,
            &label,
            "type=file",
            "content-type=user",
            "device-config:location=/srv/local",
        ])?;
    }
    let pool = format!("uuid={}", make(&["pool-list", "--minimal"])?);
    make(&["pool-param-set", &pool, &format!("default-SR={shared}")])?;
    report.step("storage: shared SR (default), local SRs, ISO SR");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learners_and_members_that_never_started_are_no_voters() {
        let list = "1a, started, a, https://10.90.0.1:2380, https://10.90.0.1:2379, false\n\
                    2b, started, b, https://10.90.0.2:2380, https://10.90.0.2:2379, true\n\
                    3c, unstarted, , https://10.90.0.3:2380, , false\n";
        assert_eq!(voters_in(list), 1);
        assert_eq!(voters_in(""), 0);
    }
}
