//! Memory of an idle host of a pool of three: `holdfastd` and `holdfast-had` together, etcd and libvirt beside.

use serde_json::{Value as Json, json};

use crate::lab::{Lab, daemon_pid, memory_mib, number, pids_of};
use crate::report::Report;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let lab = Lab::up("idle", 3, &[])?;
    let a = lab.worker("h2", "idle", &[])?;
    report.absolute("idle", "holdfastd-and-had-rss-mib", number(&a, "ours_mib")?, 48.0, 1);
    report.note(&format!(
        "beside: holdfastd {:.1}, had {:.1}, etcd {:.1}, its unit {:.1}, libvirtd {:.1} MiB",
        number(&a, "daemon_mib")?,
        number(&a, "had_mib")?,
        number(&a, "etcd_mib")?,
        number(&a, "unit_mib")?,
        number(&a, "libvirt_mib")?
    ));
    Ok(())
}

pub(crate) fn worker() -> anyhow::Result<Json> {
    let of = |name: &str| -> anyhow::Result<f64> {
        pids_of(name)?.into_iter().map(|pid| memory_mib(pid, "VmRSS")).sum()
    };
    let daemon_pid = daemon_pid()?;
    let daemon = memory_mib(daemon_pid, "VmRSS")?;
    let all = of("holdfastd")?;
    let had = of("holdfast-had")?;
    Ok(json!({
        "ours_mib": daemon + had, "daemon_mib": daemon, "had_mib": had,
        "unit_mib": all - daemon, "etcd_mib": of("etcd")?, "libvirt_mib": of("libvirtd")?,
    }))
}
