//! Power cut of the host with the etcd leader: time to the first write accepted through a survivor's API, against the same
//! write on bare etcd through the survivors' members; and time until the pool has a coordinator again.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value as Json, json};
use xenapi::Value;

use crate::lab::{Lab, number, root_session, runtime};
use crate::report::{Metric, Report, median};
use crate::write::bare_etcd;

const CUTS: usize = 5;
/// B_coord, typical: the coordinator's role is regained within this time.
const COORDINATOR_LIMIT_S: f64 = 8.0;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let lab = Lab::up("failover", 3, &[])?;
    let (mut api, mut etcd, mut role) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CUTS {
        let leader = leader(&lab)?;
        let survivor =
            ["h1", "h2", "h3"].into_iter().find(|h| *h != leader).context("a survivor")?;
        // The worker on the survivor first proves that it writes, then is told by a file when the cut happens.
        let marker =
            std::env::temp_dir().join(format!("holdfast-bench-cut-{}", std::process::id()));
        let _ = std::fs::remove_file(&marker);
        let answer = std::thread::scope(|scope| {
            let worker = scope.spawn(|| lab.worker(survivor, "failover", &["cut", &leader]));
            std::thread::sleep(Duration::from_secs(2));
            lab.fail(&leader, "power")?;
            worker.join().map_err(|_| anyhow::anyhow!("the worker's thread panicked"))?
        })?;
        api.push(number(&answer, "api_s")?);
        etcd.push(number(&answer, "etcd_s")?);
        if let Ok(seconds) = number(&answer, "coordinator_s") {
            role.push(seconds);
        }
        lab.heal(&leader)?;
        settle(&lab)?;
    }
    report.ratio(&Metric {
        name: "failover",
        metric: "first-write-after-leader-power-cut-s",
        ours: median(&mut api),
        peer: "etcd-put",
        peers: median(&mut etcd),
        limit: 1.5,
        n: CUTS,
    });
    if role.is_empty() {
        // The leader's host was never the coordinator's: cut that one once.
        let master = master(&lab)?;
        let survivor =
            ["h1", "h2", "h3"].into_iter().find(|h| *h != master).context("a survivor")?;
        let answer = std::thread::scope(|scope| {
            let worker = scope.spawn(|| lab.worker(survivor, "failover", &["cut", &master]));
            std::thread::sleep(Duration::from_secs(2));
            lab.fail(&master, "power")?;
            worker.join().map_err(|_| anyhow::anyhow!("the worker's thread panicked"))?
        })?;
        role.push(number(&answer, "coordinator_s")?);
    }
    let n = role.len();
    report.absolute("failover", "coordinator-again-s", median(&mut role), COORDINATOR_LIMIT_S, n);
    Ok(())
}

fn leader(lab: &Lab) -> anyhow::Result<String> {
    let answer = lab.worker("h1", "failover", &["leader"])?;
    answer["leader"].as_str().map(str::to_owned).context("etcd has a leader")
}

fn master(lab: &Lab) -> anyhow::Result<String> {
    let uuid = lab.exec("h1", &["xe", "pool-list", "params=master", "--minimal"])?;
    let uuid = format!("uuid={}", uuid.trim());
    Ok(lab
        .exec("h1", &["xe", "host-list", &uuid, "params=name-label", "--minimal"])?
        .trim()
        .to_owned())
}

/// Waits until all three members vote again.
fn settle(lab: &Lab) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let up = lab.status()?["hosts"]
            .as_array()
            .is_some_and(|hosts| hosts.iter().all(|h| h["state"] == "up"));
        if up && lab.worker("h1", "failover", &["healthy"]).is_ok() {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "the pool was not whole again within 60 s");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// URLs of the pool's database, from the daemon's own file.
fn endpoints() -> anyhow::Result<Vec<String>> {
    let text = std::fs::read("/var/lib/holdfast/host.json")?;
    let identity: Json = serde_json::from_slice(&text)?;
    identity["home"]["etcd"]["endpoints"]
        .as_array()
        .map(|urls| urls.iter().filter_map(|u| u.as_str().map(str::to_owned)).collect())
        .context("this host's database is in etcd")
}

pub(crate) fn worker(arguments: &[String]) -> anyhow::Result<Json> {
    runtime()?.block_on(async {
        match arguments.first().map(String::as_str) {
            Some("leader") => {
                let mut etcd = bare_etcd(&endpoints()?).await?;
                let leader = etcd.status().await?.leader();
                let members = etcd.member_list().await?;
                let name = members
                    .members()
                    .iter()
                    .find(|m| m.id() == leader)
                    .map(|m| m.name().to_owned())
                    .context("the leader is a member")?;
                // Members are named by their host's uuid.
                let session = root_session().await?;
                let host = session.call("host.get_by_uuid", &[name.as_str().into()]).await?;
                let label = session.call("host.get_name_label", &[host]).await?;
                Ok(json!({"leader": label.as_str()}))
            }
            Some("healthy") => {
                for url in endpoints()? {
                    bare_etcd(&[url]).await?.status().await?;
                }
                Ok(json!({}))
            }
            Some("cut") => cut(arguments.get(1).context("which host")?).await,
            other => anyhow::bail!("no part {other:?}"),
        }
    })
}

/// Writes through the API and through bare etcd all the time, and says how long each had no accepted write.
async fn cut(victim: &str) -> anyhow::Result<Json> {
    let session = root_session().await?;
    let pool = session
        .call("pool.get_all", &[])
        .await?
        .as_set()
        .and_then(|s| s.opaques().next())
        .context("there is a pool")?;
    let hosts = session.records("host").await?;
    let victim = hosts
        .iter()
        .find(|h| h.get_by_name("name_label").and_then(Value::as_str) == Some(victim))
        .context("the victim is a host")?;
    let victim_ref = victim.opaque();
    let address =
        victim.get_by_name("address").and_then(Value::as_str).unwrap_or_default().to_owned();
    let was_master =
        session.call("pool.get_master", &[Value::Ref(pool)]).await?.as_opaque() == Some(victim_ref);
    // Survivors only, as a careful client of bare etcd would be set up.
    let survivors: Vec<String> =
        endpoints()?.into_iter().filter(|url| !url.contains(&format!("//{address}:"))).collect();
    let api = async {
        let mut n = 0_u64;
        longest_gap(async || {
            n += 1;
            let text = n.to_string();
            session
                .call_within(
                    "pool.set_name_description",
                    &[Value::Ref(pool), text.into()],
                    Duration::from_secs(10),
                )
                .await
                .is_ok()
        })
        .await
    };
    let etcd = async {
        let Ok(mut etcd) = bare_etcd(&survivors).await else { return Duration::MAX };
        longest_gap(async || etcd.put("/bench/cut", "x", None).await.is_ok()).await
    };
    let role = async {
        let session = root_session().await?;
        let mut since = None;
        let started = Instant::now();
        while started.elapsed() < WATCH {
            let master = session.call("pool.get_master", &[Value::Ref(pool)]).await?;
            if master.as_opaque() == Some(victim_ref) {
                since = Some(Instant::now());
            } else if let Some(last) = since {
                return Ok::<_, anyhow::Error>(Some((last, Instant::now())));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(None)
    };
    let (api, etcd, role) = tokio::join!(api, etcd, role);
    let role = role?;
    let mut answer = json!({"api_s": api.as_secs_f64(), "etcd_s": etcd.as_secs_f64()});
    if was_master && let Some((_, seen)) = role {
        let _ = std::io::stderr().flush();
        // The cut comes two seconds after the worker was started (see `run`); the role is counted from there.
        let begun = CUT_AFTER;
        let elapsed = seen.duration_since(PROCESS_START.with(|s| *s)).saturating_sub(begun);
        answer["coordinator_s"] = json!(elapsed.as_secs_f64());
    }
    Ok(answer)
}

thread_local! {
    static PROCESS_START: Instant = Instant::now();
}
/// When `run` cuts the power, after it started the worker.
const CUT_AFTER: Duration = Duration::from_secs(2);
/// How long the worker watches.
const WATCH: Duration = Duration::from_secs(14);

/// The longest time without a success, while trying all the time for [`WATCH`].
async fn longest_gap(mut attempt: impl AsyncFnMut() -> bool) -> Duration {
    let started = Instant::now();
    let mut last = Instant::now();
    let mut longest = Duration::ZERO;
    while started.elapsed() < WATCH {
        if attempt().await {
            let now = Instant::now();
            longest = longest.max(now.duration_since(last));
            last = now;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    longest.max(last.elapsed())
}
