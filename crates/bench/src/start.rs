//! `VM.start` through the pool against `virsh create` of the same domain on the same host.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use host::exec::Command;
use serde_json::{Value as Json, json};
use xenapi::Value;

use crate::lab::{Lab, PLAIN, number, root_session, runtime};
use crate::report::{Metric, Report, median};

/// What is reported.
pub(crate) const METRIC: &str = "VM.start-ms";
const ROUNDS: usize = 12;
/// Time for what the side before left behind (a dying QEMU, the daemon's files): neither side pays for the other.
const REST: Duration = Duration::from_millis(400);

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let lab = Lab::up("start", 3, &PLAIN)?;
    let a = lab.worker("h1", "start", &[])?;
    report.ratio(&Metric {
        name: "start",
        metric: METRIC,
        ours: number(&a, "ours_ms")?,
        peer: "virsh-create",
        peers: number(&a, "virsh_ms")?,
        limit: 1.3,
        n: ROUNDS,
    });
    Ok(())
}

fn xe(arguments: &[&str]) -> anyhow::Result<String> {
    Ok(Command::new("xe")
        .args(arguments)
        .limit(Duration::from_secs(120))
        .check()?
        .text()
        .trim()
        .to_owned())
}

pub(crate) fn worker() -> anyhow::Result<Json> {
    let vm = xe(&["vm-install", "template=Other install media", "new-name-label=bench"])?;
    let sr = xe(&["sr-list", "name-label=shared", "--minimal"])?;
    let vdi =
        xe(&["vdi-create", &format!("sr-uuid={sr}"), "name-label=bench", "virtual-size=64MiB"])?;
    xe(&[
        "vbd-create",
        &format!("vm-uuid={vm}"),
        &format!("vdi-uuid={vdi}"),
        "device=0",
        "bootable=true",
    ])?;
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| host::facts::hostname());
    let host = xe(&["host-list", &format!("name-label={host}"), "--minimal"])?;
    runtime()?.block_on(async {
        let session = root_session().await?;
        let vm_ref = session.call("VM.get_by_uuid", &[vm.as_str().into()]).await?;
        let host_ref = session.call("host.get_by_uuid", &[host.as_str().into()]).await?;
        let start_on = [vm_ref.clone(), host_ref, false.into(), false.into()];
        // The same domain, as libvirt tells it, is the peer's input.
        session.call_within("VM.start_on", &start_on, Duration::from_secs(60)).await?;
        let domain = format!("hf-{vm}");
        let xml = Command::new("virsh").args(["dumpxml", "--migratable", &domain]).check()?.text();
        stop(&session, &vm_ref).await?;
        let path = std::env::temp_dir().join("bench-domain.xml");
        std::fs::write(&path, xml)?;
        let path_text = path.to_str().context("the path is text")?.to_owned();
        let (mut ours, mut virsh) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            tokio::time::sleep(REST).await;
            let start = Instant::now();
            session.call_within("VM.start_on", &start_on, Duration::from_secs(60)).await?;
            ours.push(start.elapsed().as_secs_f64() * 1e3);
            stop(&session, &vm_ref).await?;
            // The daemon must not adopt or stop the peer's domain: it gets another name and uuid.
            let peer = std::fs::read_to_string(&path)?
                .replace(&domain, "bench-peer")
                .replace(&vm, "11111111-2222-4333-8444-555555555555");
            std::fs::write(format!("{path_text}.peer"), peer)?;
            tokio::time::sleep(REST).await;
            let start = Instant::now();
            Command::new("virsh").args(["create", &format!("{path_text}.peer")]).check()?;
            virsh.push(start.elapsed().as_secs_f64() * 1e3);
            Command::new("virsh").args(["destroy", "bench-peer"]).check()?;
        }
        Ok(json!({"ours_ms": median(&mut ours), "virsh_ms": median(&mut virsh)}))
    })
}

async fn stop(session: &client::Session, vm: &Value) -> anyhow::Result<()> {
    session
        .call_within("VM.hard_shutdown", std::slice::from_ref(vm), Duration::from_secs(60))
        .await?;
    Ok(())
}
