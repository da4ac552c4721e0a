//! A majority is lost for good: from the survivor's command to its first accepted write, against what an administrator of
//! bare etcd does on the same host in the same moment.
//!
//! Two of three hosts lose their power. On the third, whose database process still runs without a quorum, bare etcd goes
//! first: `etcdctl snapshot save` from that process, `snapshot restore`, a one-member cluster with the same settings and
//! certificates, its first accepted put. Then `xe pool-emergency-transition-to-master` and the first write that the API
//! accepts. So both carry the same data on the same disk. The survivor goes round, and the pool is whole again before the
//! next time.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use host::exec::{Command, Stream};
use serde_json::{Value as Json, json};
use xenapi::Value;

use crate::failover::{HOSTS, whole};
use crate::lab::{Lab, number, root_session, runtime};
use crate::report::{Metric, Report, median};
use crate::write::{bare_etcd, own_etcd};

/// What is reported.
pub(crate) const METRIC: &str = "emergency-transition-first-write-s";
/// Transitions, unless another number is asked for.
const ROUNDS: usize = 20;
/// Longest wait for the loss to be known, for a first write, and for the pool to be whole again.
const LIMIT: Duration = Duration::from_secs(60);
const WHOLE_LIMIT: Duration = Duration::from_secs(180);
const PACE: Duration = Duration::from_millis(5);
/// Where bare etcd works: on the host's own disk, as the pool's database does.
const BARE: &str = "/var/lib/holdfast/bench-etcd";
const TLS: &str = "/var/lib/holdfast/tls";
/// Settings and place of the host's database process.
const SPEC: &str = "/var/lib/holdfast/etcd/spec.json";

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let n = report.rounds.unwrap_or(ROUNDS);
    let lab = Lab::up("emergency", HOSTS.len(), &[])?;
    whole(&lab, WHOLE_LIMIT)?;
    let (mut ours, mut bare, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..n {
        let survivor = HOSTS[round % HOSTS.len()];
        let off: Vec<&str> = HOSTS.into_iter().filter(|h| *h != survivor).collect();
        for host in &off {
            lab.fail(host, "power")?;
        }
        let answer = lab.worker(survivor, "emergency", &[&off.join(",")])?;
        ours.push(number(&answer, "ours_s")?);
        bare.push(number(&answer, "etcd_s")?);
        parts.push(number(&answer, "restored_s")?);
        for host in &off {
            lab.heal(host)?;
        }
        whole(&lab, WHOLE_LIMIT)?;
    }
    let note = format!(
        "transitions {ours:.2?}, on etcd {bare:.2?}, of which snapshot and restore {:.2} s",
        median(&mut parts)
    );
    report.ratio(&Metric {
        name: "failover-emergency",
        metric: METRIC,
        ours: median(&mut ours),
        peer: "etcd-restore",
        peers: median(&mut bare),
        limit: 2.0,
        n,
    });
    report.note(&note);
    Ok(())
}

/// The survivor's part; the hosts that are off, with commas.
pub(crate) fn worker(arguments: &[String]) -> anyhow::Result<Json> {
    let off = arguments.first().context("which hosts are off")?;
    runtime()?.block_on(async {
        lost().await?;
        let (restored, etcd) = restored_etcd().await?;
        let ours = transition(off).await?;
        Ok(json!({"ours_s": ours, "etcd_s": etcd, "restored_s": restored}))
    })
}

/// Waits until this host knows that it has lost its pool and hears nobody.
async fn lost() -> anyhow::Result<()> {
    let end = Instant::now() + LIMIT;
    loop {
        let said = async {
            let said = root_session().await?.call("host.holdfast_emergency", &[]).await?;
            anyhow::Ok(serde_json::from_str::<Json>(said.as_str().unwrap_or_default())?)
        };
        if let Ok(said) = said.await {
            let heard = said["hosts"].as_array().into_iter().flatten().any(|h| h["heard"] == true);
            if said["in_emergency"] == true && !heard {
                return Ok(());
            }
        }
        anyhow::ensure!(Instant::now() < end, "the loss of the majority was not noticed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Seconds until the snapshot is restored, and until the restored cluster has accepted a write.
async fn restored_etcd() -> anyhow::Result<(f64, f64)> {
    let dir = Path::new(BARE);
    let _ = std::fs::remove_dir_all(dir);
    std::fs::create_dir_all(dir)?;
    let (snapshot, data) = (dir.join("snapshot"), dir.join("data"));
    let spec: Json = serde_json::from_slice(&std::fs::read(SPEC)?)?;
    let own = own_etcd()?;
    let (client, peer) = (other_port(&own), other_port(&own.replace(":2379", ":2380")));
    let etcdctl =
        |words: &[&str]| Command::new("etcdctl").env("ETCDCTL_API", "3").args(words).limit(LIMIT);
    let start = Instant::now();
    etcdctl(&["--endpoints", &own, "--cacert", &format!("{TLS}/ca.pem")])
        .args(["--cert", &format!("{TLS}/host.pem"), "--key", &format!("{TLS}/host.key")])
        .args(["snapshot", "save"])
        .arg(&snapshot)
        .check()?;
    etcdctl(&["snapshot", "restore"])
        .arg(&snapshot)
        .args(["--name", "bench", "--initial-cluster", &format!("bench={peer}")])
        .args(["--initial-advertise-peer-urls", &peer, "--data-dir"])
        .arg(&data)
        .check()?;
    let restored = start.elapsed().as_secs_f64();
    let argv: Vec<&str> =
        spec["argv"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let (program, settings) = argv.split_first().context("etcd's arguments")?;
    let placed = ["--name", "--data-dir", "--initial-", "--listen-", "--advertise-"];
    let settings = settings.iter().filter(|s| !placed.iter().any(|p| s.starts_with(p)));
    let log = std::fs::File::create(dir.join("log"))?;
    let mut etcd = Command::new(program)
        .args(settings)
        .args(["--name=bench", &format!("--data-dir={}", data.display())])
        .args([format!("--listen-client-urls={client}"), format!("--listen-peer-urls={peer}")])
        .args([
            format!("--advertise-client-urls={client}"),
            format!("--initial-advertise-peer-urls={peer}"),
        ])
        .spawn(Stream::Null, Stream::File(log))?;
    let mut writer = bare_etcd(&[client]).await?;
    while writer.put("/bench/first", "x", None).await.is_err() {
        anyhow::ensure!(start.elapsed() < LIMIT, "the restored etcd accepts no write");
        tokio::time::sleep(PACE).await;
    }
    let took = start.elapsed().as_secs_f64();
    drop(writer);
    etcd.kill()?;
    std::fs::remove_dir_all(dir)?;
    Ok((restored, took))
}

/// A port beside the pool's own member.
fn other_port(url: &str) -> String {
    url.replace(":2379", ":12379").replace(":2380", ":12380")
}

/// Seconds from the command to the first write that this host's API accepts.
async fn transition(off: &str) -> anyhow::Result<f64> {
    let start = Instant::now();
    let command = Command::new("xe")
        .arg("pool-emergency-transition-to-master")
        .arg(format!("confirm={off} are off"))
        .limit(LIMIT)
        .check_async();
    let written = async {
        while let Err(error) = write().await {
            if start.elapsed() >= LIMIT {
                return Err(error.context("no write was accepted"));
            }
            tokio::time::sleep(PACE).await;
        }
        Ok(start.elapsed().as_secs_f64())
    };
    let (commanded, written) = tokio::join!(command, written);
    commanded?;
    written
}

async fn write() -> anyhow::Result<()> {
    let session = root_session().await?;
    let pools = session.call("pool.get_all", &[]).await?;
    let pool = pools.as_set().and_then(|s| s.opaques().next()).context("there is a pool")?;
    let params = [Value::Ref(pool), "after the transition".into()];
    session.call("pool.set_name_description", &params).await?;
    Ok(())
}
