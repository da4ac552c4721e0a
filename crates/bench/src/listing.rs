//! `xe vm-list` of 100 VMs against `virsh list --all` of 100 defined domains in a separate libvirt daemon, by the wall.

use std::time::Instant;

use anyhow::Context as _;
use host::exec::Command;
use serde_json::{Value as Json, json};

use crate::lab::{Lab, PLAIN, number};
use crate::report::{Metric, Report, median};

/// What is reported.
pub(crate) const METRIC: &str = "xe-vm-list-100-ms";
const COUNT: usize = 100;
const ROUNDS: usize = 40;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    // Two hosts, each a pool of its own, so each with a libvirt of its own: VMs on one, domains on the other.
    let lab = Lab::up("listing", 2, &[PLAIN[0], "--no-pool"])?;
    lab.worker("h1", "listing", &["make-vms"])?;
    lab.worker("h2", "listing", &["define"])?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        ours.push(number(&lab.worker("h1", "listing", &["xe"])?, "ms")?);
        theirs.push(number(&lab.worker("h2", "listing", &["virsh"])?, "ms")?);
    }
    report.ratio(&Metric {
        name: "listing",
        metric: METRIC,
        ours: median(&mut ours),
        peer: "virsh-list",
        peers: median(&mut theirs),
        limit: 1.5,
        n: 4 * ROUNDS,
    });
    Ok(())
}

pub(crate) fn worker(arguments: &[String]) -> anyhow::Result<Json> {
    match arguments.first().map(String::as_str).context("what to do")? {
        "make-vms" => {
            let template = run_text("xe", &["template-list", "--minimal"])?;
            let template = template.split(',').next().unwrap_or_default().to_owned();
            for n in 0..COUNT {
                let label = format!("new-name-label=bench {n}");
                run_text("xe", &["vm-clone", &format!("uuid={template}"), &label])?;
            }
            for uuid in
                run_text("xe", &["template-list", "is-default-template=false", "--minimal"])?
                    .split(',')
            {
                run_text(
                    "xe",
                    &["template-param-set", &format!("uuid={uuid}"), "is-a-template=false"],
                )?;
            }
            Ok(json!({}))
        }
        "define" => {
            for n in 0..COUNT {
                let xml = format!(
                    "<domain type='qemu'><name>d{n}</name><memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os></domain>"
                );
                let path = std::env::temp_dir().join(format!("bench-d{n}.xml"));
                std::fs::write(&path, xml)?;
                run_text("virsh", &["define", path.to_str().context("text")?])?;
                std::fs::remove_file(path)?;
            }
            Ok(json!({}))
        }
        "xe" => Ok(json!({"ms": timed("xe", &["vm-list"])?})),
        "virsh" => Ok(json!({"ms": timed("virsh", &["list", "--all"])?})),
        other => anyhow::bail!("no part {other}"),
    }
}

fn run_text(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    Ok(Command::new(program).args(arguments).check()?.text().trim().to_owned())
}

fn timed(program: &str, arguments: &[&str]) -> anyhow::Result<f64> {
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let output = Command::new(program).args(arguments).check()?;
        samples.push(start.elapsed().as_secs_f64() * 1e3);
        let lines = output.text().lines().count();
        anyhow::ensure!(lines >= COUNT, "{program} printed {lines} lines only");
    }
    Ok(median(&mut samples))
}
