//! Power cuts in a pool of three, timed from the lab's own note of the cut on the one monotonic clock of the machine.
//!
//! * The host with etcd's leader goes: the first write that a survivor's API accepts, against the same write on bare etcd
//!   through the survivors' members. Both are tried all the time during the same cut, so both see the same election.
//! * The coordinator's host goes, half of the times with etcd's leader on it, which is the worst case: a survivor names
//!   another coordinator *and* that one has accepted a write (B_coord of ha-anchors section 6).
//!
//! Hosts lose what they did not sync, as labs have it. The worker runs on a survivor; files in that host's `/tmp` tell the
//! runner that it writes, and the worker when the cut was.

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value as Json, json};
use xenapi::Value;

use crate::clock::monotonic_s;
use crate::lab::{Lab, number, root_session, runtime};
use crate::report::{Metric, Report, median};
use crate::write::bare_etcd;

/// What is reported, in order.
pub(crate) const METRICS: [&str; 3] = [
    "first-write-after-leader-power-cut-s",
    "coordinator-again-typical-s",
    "coordinator-again-worst-s",
];
pub(crate) const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
/// Cuts of the host with etcd's leader, unless another number is asked for.
const LEADER_CUTS: usize = 20;
/// Cuts of the coordinator's host, as many again with etcd's leader on it.
const ROLE_CUTS: usize = 3;
/// B_coord, typical and worst: the coordinator's role is regained within this time.
const ROLE_LIMIT_S: f64 = 8.0;
const ROLE_WORST_S: f64 = 14.0;

/// The worker writes.
const READY: &str = "/tmp/holdfast-bench-writing";
/// When the cut was, seconds of the monotonic clock.
const CUT: &str = "/tmp/holdfast-bench-cut";
/// Longest watch of a cut.
const WATCH: Duration = Duration::from_secs(40);
/// A write that began so long after the cut belongs to the time after the failover, unless there was none.
const AFTER_S: f64 = 1.0;
/// Bytes of the peer's write: about those of the pool's record.
const BODY: usize = 2048;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let cuts = report.rounds.unwrap_or(LEADER_CUTS);
    let lab = Lab::up("failover", HOSTS.len(), &[])?;
    settle(&lab)?;
    let (mut api, mut etcd) = (Vec::new(), Vec::new());
    for tries in 0.. {
        if api.len() == cuts {
            break;
        }
        anyhow::ensure!(tries < 2 * cuts, "the leader kept moving away before the cut");
        let leader = leader(&lab)?;
        let answer = cut(&lab, &leader)?;
        // The pool moves the leader off the coordinator's host: such a cut may come too late.
        if answer["elected"] == true {
            api.push(number(&answer, "api_s")?);
            etcd.push(number(&answer, "etcd_s")?);
        }
    }
    report.ratio(&Metric {
        name: "failover",
        metric: METRICS[0],
        ours: median(&mut api),
        peer: "etcd-put",
        peers: median(&mut etcd),
        limit: 1.5,
        n: cuts,
    });
    let (mut role, mut with_leader) = (Vec::new(), Vec::new());
    for n in 0..2 * ROLE_CUTS {
        let master = master(&lab)?;
        if n % 2 == 1 {
            lab.worker("h1", "failover", &["lead", &master])?;
        }
        let answer = cut(&lab, &master)?;
        let seconds = number(&answer, "coordinator_s")?;
        if answer["elected"] == true { with_leader.push(seconds) } else { role.push(seconds) }
    }
    let mut all = [&role[..], &with_leader].concat();
    let (n, worst) = (all.len(), all.iter().copied().fold(0.0, f64::max));
    report.absolute("failover", METRICS[1], median(&mut all), ROLE_LIMIT_S, n);
    report.absolute("failover", METRICS[2], worst, ROLE_WORST_S, n);
    report.note(&format!(
        "first writes {api:.2?}, on etcd {etcd:.2?}; coordinator again {role:.2?}, with etcd's leader {with_leader:.2?} s"
    ));
    Ok(())
}

/// Cuts the power of a host under a survivor's eyes, and makes the pool whole again.
fn cut(lab: &Lab, victim: &str) -> anyhow::Result<Json> {
    let survivor = HOSTS.into_iter().find(|h| *h != victim).context("a survivor")?;
    lab.exec(survivor, &["rm", "-f", READY, CUT])?;
    let answer = std::thread::scope(|scope| {
        let worker = scope.spawn(|| lab.worker(survivor, "failover", &["cut", victim]));
        let deadline = Instant::now() + WATCH;
        while lab.exec(survivor, &["test", "-e", READY]).is_err() {
            anyhow::ensure!(Instant::now() < deadline, "the writers did not begin");
            std::thread::sleep(Duration::from_millis(100));
        }
        lab.fail(victim, "power")?;
        let at = lab.noted(victim, "fail power")?;
        lab.worker(survivor, "failover", &["mark", &at.to_string()])?;
        worker.join().map_err(|_| anyhow::anyhow!("the worker's thread panicked"))?
    })?;
    lab.heal(victim)?;
    settle(lab)?;
    Ok(answer)
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
    whole(lab, Duration::from_secs(60))
}

/// The same with another limit.
pub(crate) fn whole(lab: &Lab, limit: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let up = lab.status()?["hosts"]
            .as_array()
            .is_some_and(|hosts| hosts.iter().all(|h| h["state"] == "up"));
        if up && HOSTS.iter().all(|h| lab.worker(h, "failover", &["healthy"]).is_ok()) {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the pool was not whole again within {} s",
            limit.as_secs()
        );
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
    let argument = |n: usize| arguments.get(n).map(String::as_str);
    runtime()?.block_on(async {
        match argument(0) {
            Some("leader") => {
                let mut etcd = bare_etcd(&endpoints()?).await?;
                let leader = etcd.status().await?.leader();
                Ok(json!({"leader": host_of(&mut etcd, leader).await?}))
            }
            Some("lead") => lead(argument(1).context("which host")?).await,
            Some("healthy") => {
                let urls = endpoints()?;
                anyhow::ensure!(urls.len() == HOSTS.len(), "{} members", urls.len());
                for url in urls {
                    bare_etcd(&[url]).await?.status().await?;
                }
                root_session().await?;
                Ok(json!({}))
            }
            Some("mark") => {
                // Whole or not there.
                let beside = format!("{CUT}.new");
                std::fs::write(&beside, argument(1).context("when")?)?;
                std::fs::rename(beside, CUT)?;
                Ok(json!({}))
            }
            Some("cut") => cut_seen(argument(1).context("which host")?).await,
            other => anyhow::bail!("no part {other:?}"),
        }
    })
}

/// Name of the host whose member has that id: members are named by their host's uuid.
async fn host_of(etcd: &mut etcd_client::Client, member: u64) -> anyhow::Result<String> {
    let members = etcd.member_list().await?;
    let found = members.members().iter().find(|m| m.id() == member).context("a member")?;
    let session = root_session().await?;
    let host = session.call("host.get_by_uuid", &[found.name().into()]).await?;
    let label = session.call("host.get_name_label", &[host]).await?;
    label.as_str().map(str::to_owned).context("a host has a label")
}

/// Hands etcd's leadership to the member of that host.
async fn lead(host: &str) -> anyhow::Result<Json> {
    for url in endpoints()? {
        let mut etcd = bare_etcd(&[url]).await?;
        let status = etcd.status().await?;
        let own = status.header().context("an answer has a header")?.member_id();
        if status.leader() != own {
            continue;
        }
        let members = etcd.member_list().await?;
        for member in members.members() {
            if host_of(&mut etcd, member.id()).await? == host && member.id() != own {
                etcd.move_leader(member.id()).await?;
            }
        }
        return Ok(json!({}));
    }
    anyhow::bail!("etcd has no leader")
}

/// One writer's accepted writes.
#[derive(Debug, Default)]
struct Accepted {
    last: Option<f64>,
    /// Between two accepted writes, the longest such time that ended after the cut or is the newest.
    gaps: Vec<(f64, f64)>,
}

impl Accepted {
    /// Times shorter than this are the writer's own pace.
    const WORTH_S: f64 = 0.1;

    fn note(&mut self) {
        let now = monotonic_s();
        if let Some(last) = self.last.replace(now)
            && now - last >= Self::WORTH_S
        {
            self.gaps.push((last, now));
        }
    }

    /// Seconds from the cut to the first write accepted after it: the end of the longest gap since.
    fn first_after(&self, cut: f64) -> f64 {
        self.gaps
            .iter()
            .filter(|(_, end)| *end > cut)
            .max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)))
            .map_or(0.0, |(_, end)| end - cut)
    }

    fn has_written_after(&self, at: f64) -> bool {
        self.last.is_some_and(|last| last > at)
    }
}

/// Writes through the API and through bare etcd all the time, and says how long after the cut each wrote again.
async fn cut_seen(victim: &str) -> anyhow::Result<Json> {
    let session = root_session().await?;
    let pool = session
        .call("pool.get_all", &[])
        .await?
        .as_set()
        .and_then(|s| s.opaques().next())
        .context("there is a pool")?;
    let hosts = session.records("host").await?;
    let text = |host: &xenapi::Record, field: &str| {
        host.get_by_name(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let victim = hosts.iter().find(|h| text(h, "name_label") == victim).context("a host")?;
    let address = text(victim, "address");
    let was_master = session.call("pool.get_master", &[Value::Ref(pool)]).await?.as_opaque()
        == Some(victim.opaque());
    // Survivors only, as a careful client of bare etcd would be set up.
    let survivors: Vec<String> =
        endpoints()?.into_iter().filter(|url| !url.contains(&format!("//{address}:"))).collect();
    let mut bare = bare_etcd(&survivors).await?;
    let mut asked = bare.clone();
    let term = asked.status().await?.raft_term();
    let (by_api, by_etcd) = (RefCell::new(Accepted::default()), RefCell::new(Accepted::default()));
    let api = async {
        for n in 0_u64.. {
            let params = [Value::Ref(pool), n.to_string().into()];
            let limit = Duration::from_secs(10);
            if session.call_within("pool.set_name_description", &params, limit).await.is_ok() {
                by_api.borrow_mut().note();
            }
            tokio::time::sleep(PACE).await;
        }
    };
    let etcd = async {
        loop {
            if bare.put("/bench/cut", vec![b'x'; BODY], None).await.is_ok() {
                by_etcd.borrow_mut().note();
            }
            tokio::time::sleep(PACE).await;
        }
    };
    let watch = async {
        while by_api.borrow().last.is_none() || by_etcd.borrow().last.is_none() {
            tokio::time::sleep(PACE).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        std::fs::write(READY, "")?;
        let other = if was_master {
            Some(coordinator_again(&session, pool, victim.opaque()).await?)
        } else {
            None
        };
        let cut = loop {
            match std::fs::read_to_string(Path::new(CUT)) {
                Ok(text) => break text.trim().parse::<f64>()?,
                Err(_) => tokio::time::sleep(PACE).await,
            }
        };
        let both = |at: f64| {
            by_api.borrow().has_written_after(at) && by_etcd.borrow().has_written_after(at)
        };
        while !both(cut + AFTER_S) {
            tokio::time::sleep(PACE).await;
        }
        let (api, etcd) = (by_api.borrow().first_after(cut), by_etcd.borrow().first_after(cut));
        let elected = asked.status().await?.raft_term() > term;
        let mut answer = json!({"api_s": api, "etcd_s": etcd, "elected": elected});
        if let Some(at) = other {
            answer["coordinator_s"] = json!(at - cut);
        }
        Ok(answer)
    };
    tokio::select! {
        answer = watch => answer,
        () = api => anyhow::bail!("the API's writer ended"),
        () = etcd => anyhow::bail!("etcd's writer ended"),
        () = tokio::time::sleep(WATCH) => {
            anyhow::bail!("not every writer wrote again within {} s", WATCH.as_secs())
        }
    }
}

/// Pause between two tries of a writer.
const PACE: Duration = Duration::from_millis(2);

/// When this host names a coordinator that is not `former` and that one has accepted a write: monotonic seconds.
async fn coordinator_again(
    session: &client::Session,
    pool: xenapi::OpaqueRef,
    former: xenapi::OpaqueRef,
) -> anyhow::Result<f64> {
    loop {
        let master = session.call("pool.get_master", &[Value::Ref(pool)]).await;
        if let Some(other) = master.ok().and_then(|m| m.as_opaque()).filter(|m| *m != former) {
            let address = session.call("host.get_address", &[Value::Ref(other)]).await?;
            let target = address.as_str().and_then(client::Target::parse).context("an address")?;
            let options = client::Options::new(client::Trust::Insecure);
            let there = client::Client::new(target, options)?.session(session.token());
            let params = [Value::Ref(other), "coordinates".into()];
            if there.call("host.set_name_description", &params).await.is_ok() {
                return Ok(monotonic_s());
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
