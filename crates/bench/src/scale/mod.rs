//! A pool of many hosts simulated on this machine against one of three: what following the database costs, how many
//! commits it sustains, what a daemon needs, and how long the coordinator's role is vacant.
//!
//! Every host is the shipped daemon with its `had` and its database's supervisor ([`pool`]); only guests are libvirt's
//! test driver's. All of it shares the machine's processors, so what is quadratic in the number of hosts shows: as
//! traffic, processor time or a slow takeover. A host's processes are killed at once, and nothing tells the others.
//!
//! Each pool lives in network, process and mount namespaces of its own, which end with the worker.

mod pool;
mod traffic;

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use client::Session;
use etcd_client::WatchOptions;
use host::exec::Command;
use serde_json::{Value as Json, json};
use xenapi::{OpaqueRef, Value};

use self::pool::{Program, SimPool, pool_record};
use self::traffic::{Counters, Rates, memory_mib};
use crate::lab::{number, runtime};
use crate::report::{Metric, Report, median};

/// What is reported, in order.
pub(crate) const METRICS: [&str; 8] = [
    "idle-commits-per-s",
    "idle-watch-kib-per-s",
    "idle-cpu-percent",
    "load-watch-bytes",
    "commit-of-8-writers-ms",
    "watchers-of-one-voter",
    "daemon-anonymous-mib",
    "takeover-s",
];
/// Hosts of the large pool, and of the one that it is compared with.
const HOSTS: usize = 64;
const FEW: usize = 3;
/// Takeovers in each pool, unless more are asked for.
const TAKEOVERS: usize = 5;
/// How long an idle pool is watched, and each part of the load; in a brief run.
const IDLE: (Duration, Duration) = (Duration::from_secs(12), Duration::from_secs(4));
const LOAD: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(1));
const LOAD_ROUNDS: usize = 3;
const WRITERS: usize = 8;
/// After forming and after each takeover the pool settles for this long before anything is measured.
const SETTLE: Duration = Duration::from_secs(4);
/// Longest wait for another coordinator.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(60);
/// Longest life of a pool.
const WORKER_LIMIT: Duration = Duration::from_secs(1500);
const PACE: Duration = Duration::from_millis(2);

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let n = report.rounds.unwrap_or(TAKEOVERS);
    let few = in_namespaces(FEW, n)?;
    let many = in_namespaces(HOSTS, n)?;
    report_on(report, &few, &many, n)
}

fn report_on(report: &mut Report, few: &Json, many: &Json, n: usize) -> anyhow::Result<()> {
    let of = |name: &str| number(many, name);
    report.absolute("scale", METRICS[0], of("idle_commits")?, 1.0, 1);
    report.absolute("scale", METRICS[1], of("idle_watch")? / 1024.0, 4.0, 1);
    report.absolute("scale", METRICS[2], of("idle_cpu")? * 100.0, 1.0, 1);
    report.ratio(&Metric {
        name: "scale",
        metric: METRICS[3],
        ours: of("load_watch")?,
        peer: "bare-watch",
        peers: of("load_tap")?,
        limit: 1.5,
        n: LOAD_ROUNDS,
    });
    report.ratio(&Metric {
        name: "scale",
        metric: METRICS[4],
        ours: 1e3 / of("commits")?,
        peer: "etcd-put",
        peers: 1e3 / of("puts")?,
        limit: 2.0,
        n: LOAD_ROUNDS,
    });
    report.absolute("scale", METRICS[5], of("crowd")?, 2.0 * of("crowd_mean")?, 1);
    report.absolute("scale", METRICS[6], of("anon_worst")?, 32.0, HOSTS);
    report.ratio(&Metric {
        name: "scale",
        metric: METRICS[7],
        ours: of("takeover")?,
        peer: "three-hosts",
        peers: number(few, "takeover")?,
        limit: 2.0,
        n,
    });
    for answer in [few, many] {
        report.note(answer["note"].as_str().unwrap_or_default());
    }
    Ok(())
}

/// A pool of that size, measured by a worker in namespaces of its own.
fn in_namespaces(hosts: usize, takeovers: usize) -> anyhow::Result<Json> {
    let dir = Scratch::new(hosts)?;
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe()?)
        .args(["worker", "scale", "--"])
        .args([hosts.to_string(), takeovers.to_string()])
        .arg(&dir.0)
        .limit(WORKER_LIMIT)
        .check()?;
    let text = output.text();
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("the worker said: {text}"))
}

/// A directory for all hosts; kept for reading if `HOLDFAST_KEEP` is set.
struct Scratch(PathBuf);

impl Scratch {
    fn new(hosts: usize) -> anyhow::Result<Self> {
        let name = format!("holdfast-scale-{hosts}-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::env::var_os("HOLDFAST_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

pub(crate) fn worker(arguments: &[String]) -> anyhow::Result<Json> {
    let (hosts, takeovers, dir, rest) = match arguments {
        [hosts, takeovers, dir, rest @ ..] => (hosts, takeovers, dir, rest),
        _ => anyhow::bail!("hosts, takeovers, directory, perhaps brief"),
    };
    let (hosts, takeovers): (usize, usize) = (hosts.parse()?, takeovers.parse()?);
    let times = if rest.is_empty() { (IDLE.0, LOAD.0) } else { (IDLE.1, LOAD.1) };
    // A namespace of its own has a loopback device of its own, which is down.
    Command::new("ip").args(["link", "set", "lo", "up"]).check()?;
    runtime()?.block_on(async {
        let pool = SimPool::form(dir.as_ref(), hosts).await?;
        tokio::time::sleep(SETTLE).await;
        measured(&pool, takeovers, times).await
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of some thousands")]
async fn measured(
    pool: &SimPool,
    takeovers: usize,
    (rest, work): (Duration, Duration),
) -> anyhow::Result<Json> {
    let hosts = pool.hosts.len() as f64;
    let first = &pool.hosts[0];
    let tap = Tap::default();
    let mut watched = first.etcd(&[first.url()]).await?;
    let options = WatchOptions::new().with_all_keys();
    let mut stream = watched.watch(Vec::new(), Some(options)).await?;
    let counting = async {
        while let Ok(Some(message)) = stream.message().await {
            tap.take(&message);
        }
        anyhow::bail!("the bare watch ended")
    };
    let measuring = async {
        let idle = idle(pool, &tap, rest).await?;
        anyhow::Ok((idle, load(pool, &tap, work).await?))
    };
    let (idle, load) = tokio::select! {
        measured = measuring => measured?,
        ended = counting => return ended,
    };
    let (anon, pss) = memories(pool)?;
    let (crowd, crowd_mean) = Counters::read(pool)?.crowd();
    let mut times = Vec::new();
    for _ in 0..takeovers {
        times.push(takeover(pool).await?);
    }
    let mut joins = pool.joins.clone();
    let note = format!(
        "{hosts} hosts: joined in {:.2} s each (worst {:.2}, {} tried again); idle, by host: {:.1} KiB/s on the wire, {:.0} datagrams/s, \
         processors: daemon {:.2} %, had {:.2} %, all etcds {:.1} %; {:.2} events/s; \
         under load {:.0} events/s in {:.0} commits/s, daemons {:.0} %, etcds {:.0} % of a processor; \
         daemon's memory: anonymous {:.1}, share {:.1} MiB; takeovers {times:.2?} s",
        median(&mut joins),
        joins.iter().copied().fold(0.0, f64::max),
        pool.repeated,
        idle.rates.loopback_bytes / hosts / 1024.0,
        idle.rates.datagrams / hosts,
        idle.rates.daemons_cpu / hosts * 100.0,
        idle.rates.had_cpu / hosts * 100.0,
        idle.rates.etcd_cpu * 100.0,
        idle.events,
        load.rates.events,
        load.commits,
        load.rates.rates.daemons_cpu * 100.0,
        load.rates.rates.etcd_cpu * 100.0,
        median(&mut anon.clone()),
        median(&mut pss.clone()),
    );
    Ok(json!({
        "idle_commits": idle.revisions,
        "idle_watch": idle.watch(pool),
        "idle_cpu": idle.rates.daemons_cpu / hosts,
        "load_watch": load.rates.watch(pool),
        "load_tap": load.rates.bare(),
        "commits": load.commits,
        "puts": load.puts,
        "crowd": crowd,
        "crowd_mean": crowd_mean,
        "anon_worst": anon.iter().copied().fold(0.0, f64::max),
        "takeover": median(&mut times),
        "note": note,
    }))
}

/// What a bare watch of everything has delivered.
#[derive(Debug, Default)]
struct Tap {
    revision: Cell<i64>,
    events: Cell<u64>,
    bytes: Cell<u64>,
}

impl Tap {
    fn take(&self, message: &etcd_client::WatchResponse) {
        for kv in message.events().iter().filter_map(etcd_client::Event::kv) {
            self.revision.set(self.revision.get().max(kv.mod_revision()));
            self.events.set(self.events.get() + 1);
            let bytes = kv.key().len() + kv.value().len();
            self.bytes.set(self.bytes.get() + bytes as u64);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "differences of some thousands matter")]
    fn now(&self) -> [f64; 3] {
        [self.revision.get() as f64, self.events.get() as f64, self.bytes.get() as f64]
    }
}

/// A part of the measurement, by second.
#[derive(Debug)]
struct Part {
    rates: Rates,
    revisions: f64,
    events: f64,
    /// Bytes of keys and values.
    bytes: f64,
}

impl Part {
    /// Bytes that a daemon receives from the database: the middle one of all.
    fn watch(&self, pool: &SimPool) -> f64 {
        let pids = pool.hosts.iter().filter_map(|h| h.pid(Program::Daemon));
        let mut all: Vec<f64> =
            pids.filter_map(|pid| self.rates.received.get(&pid).copied()).collect();
        median(&mut all)
    }

    /// The same of the bare watch, which is this process.
    fn bare(&self) -> f64 {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        self.rates.received.get(&own).copied().unwrap_or(0.0)
    }
}

async fn part(
    pool: &SimPool,
    tap: &Tap,
    during: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Part> {
    let (before, was) = (Counters::read(pool)?, tap.now());
    during.await?;
    let rates = Counters::read(pool)?.since(&before);
    let is = tap.now();
    let by_second = |at: usize| (is[at] - was[at]) / rates.seconds;
    Ok(Part { revisions: by_second(0), events: by_second(1), bytes: by_second(2), rates })
}

async fn idle(pool: &SimPool, tap: &Tap, rest: Duration) -> anyhow::Result<Part> {
    part(pool, tap, async {
        tokio::time::sleep(rest).await;
        Ok(())
    })
    .await
}

struct Load {
    rates: Part,
    commits: f64,
    puts: f64,
}

/// Writers on different hosts, by the API and by bare etcd in turn.
async fn load(pool: &SimPool, tap: &Tap, work: Duration) -> anyhow::Result<Load> {
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let host = &pool.hosts[n * pool.hosts.len() / WRITERS];
        let session = host.session().await?;
        let uuid = host.identity()?["host"].as_str().unwrap_or_default().to_owned();
        let own = session.call("host.get_by_uuid", &[uuid.as_str().into()]).await?;
        let voters = host.endpoints()?;
        let voter = voters[n % voters.len()].clone();
        writers.push((session, own, host.etcd(&[voter]).await?));
    }
    let (mut commits, mut puts, mut last) = (Vec::new(), Vec::new(), None);
    for _ in 0..LOAD_ROUNDS {
        let done = Cell::new(0_u32);
        let ours = part(pool, tap, async {
            let each = writers.iter().map(|(session, own, _)| async {
                let end = Instant::now() + work;
                for n in 0_u32.. {
                    if Instant::now() >= end {
                        break;
                    }
                    let params = [own.clone(), format!("written {n}").into()];
                    session.call("host.set_name_description", &params).await?;
                    done.set(done.get() + 1);
                }
                anyhow::Ok(())
            });
            futures_util::future::try_join_all(each).await.map(drop)
        })
        .await?;
        commits.push(f64::from(done.get()) / work.as_secs_f64());
        // As much as a commit of ours is.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some KiB")]
        let body = vec![b'x'; (ours.bytes / ours.revisions.max(1.0)) as usize];
        let done = Cell::new(0_u32);
        let each = writers.iter().enumerate().map(|(n, (_, _, etcd))| {
            let (mut etcd, body, done) = (etcd.clone(), body.clone(), &done);
            async move {
                let end = Instant::now() + work;
                while Instant::now() < end {
                    // One that is not answered in time counts for nothing.
                    if etcd.put(format!("/bench/{n}"), body.clone(), None).await.is_ok() {
                        done.set(done.get() + 1);
                    }
                }
            }
        });
        futures_util::future::join_all(each).await;
        puts.push(f64::from(done.get()) / work.as_secs_f64());
        last = Some(ours);
    }
    let rates = last.context("at least one round")?;
    Ok(Load { rates, commits: median(&mut commits), puts: median(&mut puts) })
}

fn memories(pool: &SimPool) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let daemons = pool.hosts.iter().filter_map(|h| h.pid(Program::Daemon));
    let all: Vec<(f64, f64)> = daemons.map(memory_mib).collect::<anyhow::Result<_>>()?;
    Ok(all.into_iter().unzip())
}

/// Kills all of the coordinator's host, and waits until another one coordinates and has accepted a write; seconds.
async fn takeover(pool: &SimPool) -> anyhow::Result<f64> {
    let last = pool.hosts.last().context("hosts")?;
    let asked = last.session().await?;
    // A coordinator that also votes: the worse case, and the only one in a pool of three.
    let voters = last.endpoints()?;
    if !voters.contains(&pool.coordinator(&asked).await?.url()) {
        let voter = pool.hosts.iter().find(|h| voters.contains(&h.url())).context("a voter")?;
        let uuid = voter.identity()?["host"].as_str().unwrap_or_default().to_owned();
        let host = asked.call("host.get_by_uuid", &[uuid.as_str().into()]).await?;
        asked.call("pool.designate_new_master", &[host]).await?;
    }
    tokio::time::sleep(SETTLE).await;
    let victim = pool.coordinator(&asked).await?;
    let seen_by = pool.hosts.iter().rev().find(|h| h.address != victim.address);
    let seen_by = seen_by.context("a survivor")?.session().await?;
    let (record, former) = pool_record(&seen_by).await?;
    let start = Instant::now();
    victim.power_cut();
    let taken = tokio::time::timeout(TAKEOVER_LIMIT, again(pool, &seen_by, record, former)).await;
    taken.context("no other coordinator")??;
    let took = start.elapsed().as_secs_f64();
    victim.power_on();
    pool.whole().await?;
    Ok(took)
}

async fn again(
    pool: &SimPool,
    seen_by: &Session,
    record: OpaqueRef,
    former: OpaqueRef,
) -> anyhow::Result<()> {
    let pool_ref = || Value::Ref(record);
    loop {
        let master = seen_by.call("pool.get_master", &[pool_ref()]).await;
        if let Some(other) = master.ok().and_then(|m| m.as_opaque()).filter(|m| *m != former) {
            let uuid = seen_by.call("host.get_uuid", &[Value::Ref(other)]).await?;
            let host = pool.by_uuid(uuid.as_str().unwrap_or_default())?;
            let session = host.session().await;
            let params = [pool_ref(), "taken over".into()];
            if let Ok(session) = session
                && session.call("pool.set_name_description", &params).await.is_ok()
            {
                return Ok(());
            }
        }
        tokio::time::sleep(PACE).await;
    }
}
