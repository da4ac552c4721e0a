//! Memory of the hosts of an idle pool of three: `holdfastd` and `holdfast-had` together on the host where they take most,
//! etcd, its supervisor and libvirt beside.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::lab::{Lab, PLAIN, daemon_pid, memory_mib, number, pids_of};
use crate::report::Report;

/// What is reported.
pub(crate) const METRIC: &str = "holdfastd-and-had-rss-mib";
const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
/// Time for what forming the pool left behind to go: an idle host is meant.
const REST: Duration = Duration::from_secs(5);

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let lab = Lab::up("idle", HOSTS.len(), &PLAIN)?;
    std::thread::sleep(REST);
    let mut most = (0.0_f64, String::new());
    for host in HOSTS {
        let a = lab.worker(host, "idle", &[])?;
        let ours = number(&a, "daemon_mib")? + number(&a, "had_mib")?;
        let beside = format!(
            "{host}: holdfastd {:.1}, had {:.1}; beside: etcd {:.1}, its supervisor {:.1}, libvirtd {:.1} MiB",
            number(&a, "daemon_mib")?,
            number(&a, "had_mib")?,
            number(&a, "etcd_mib")?,
            number(&a, "unit_mib")?,
            number(&a, "libvirt_mib")?
        );
        if ours > most.0 {
            most = (ours, beside);
        }
    }
    report.absolute("idle", METRIC, most.0, 48.0, HOSTS.len());
    report.note(&most.1);
    Ok(())
}

pub(crate) fn worker() -> anyhow::Result<Json> {
    let of = |name: &str| -> anyhow::Result<f64> {
        pids_of(name)?.into_iter().map(|pid| memory_mib(pid, "VmRSS")).sum()
    };
    let daemon = memory_mib(daemon_pid()?, "VmRSS")?;
    Ok(json!({
        "daemon_mib": daemon, "had_mib": of("holdfast-had")?, "unit_mib": of("holdfastd")? - daemon,
        "etcd_mib": of("etcd")?, "libvirt_mib": of("libvirtd")?,
    }))
}
