//! A pool of many hosts on one machine: each host is the shipped daemon, its `had` and its database's supervisor, as
//! processes of their own, on a loopback address of its own, with libvirt's test driver for guests.
//!
//! Lives in namespaces made for it, so that all traffic of the loopback device is the pool's and every process ends with
//! the first. A keeper thread starts again what has ended, as the units of a real host would: a daemon that has joined
//! ends by itself.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use client::{Client, Options, Session, Target, Trust};
use host::exec::{Command, Running, Stream};
use serde_json::Value as Json;
use xenapi::Value;

use crate::write::bare_etcd_of;

/// Port of every host's API.
const API_PORT: u16 = 7443;
const PASSWORD: &str = "root's password of the measurement";
/// Hosts that start at the same time.
const BATCH: usize = 4;
/// Longest wait for one host to answer or to join, and for the pool to be whole.
const PATIENCE: Duration = Duration::from_secs(300);
/// A busy machine loses majorities while hosts join: a join is tried this often.
const JOIN_TRIES: usize = 60;
const JOIN_AGAIN: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);

/// What a host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Program {
    Daemon,
    Had,
    Unit,
}

impl Program {
    const ALL: [Self; 3] = [Self::Unit, Self::Had, Self::Daemon];
}

/// One host.
#[derive(Debug)]
pub(super) struct SimHost {
    pub(super) address: String,
    dir: PathBuf,
    running: Mutex<Vec<(Program, Running)>>,
    /// Its power: the keeper starts nothing of a host that is off.
    on: AtomicBool,
}

impl SimHost {
    fn new(dir: PathBuf, number: usize) -> anyhow::Result<Self> {
        let address = format!("127.1.{}.{}", number / 250, number % 250 + 1);
        for sub in ["etc", "state", "run"] {
            std::fs::create_dir_all(dir.join(sub))?;
        }
        std::fs::write(dir.join("etc/initial-password"), PASSWORD)?;
        let config = format!(
            "[host]\nname = 'h{}'\naddress = '{address}'\npower_off = ['false']\nreboot = ['false']\n\
             [api]\nlisten = '{address}:{API_PORT}'\nsocket = '{1}/run/api.sock'\n\
             [paths]\nstate = '{1}/state'\nrun = '{1}/run'\netc = '{1}/etc'\n\
             [libvirt]\nuri = 'test:///default'\n",
            number + 1,
            dir.display()
        );
        std::fs::write(dir.join("holdfast.toml"), config)?;
        Ok(Self { address, dir, running: Mutex::default(), on: AtomicBool::new(false) })
    }

    fn running(&self) -> MutexGuard<'_, Vec<(Program, Running)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn power_on(&self) {
        self.on.store(true, Ordering::SeqCst);
    }

    /// Ends every process of the host at once.
    pub(super) fn power_cut(&self) {
        self.on.store(false, Ordering::SeqCst);
        for (_, mut running) in self.running().drain(..) {
            let _ = running.kill();
        }
    }

    /// Starts what should run and does not.
    fn keep(&self, programs: &Path) -> anyhow::Result<()> {
        if !self.on.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut running = self.running();
        running.retain_mut(|(_, process)| matches!(process.wait(Duration::ZERO), Ok(None)));
        for program in Program::ALL {
            if !running.iter().any(|(p, _)| *p == program) {
                running.push((program, self.spawn(programs, program)?));
            }
        }
        Ok(())
    }

    fn spawn(&self, programs: &Path, program: Program) -> anyhow::Result<Running> {
        let config = self.dir.join("holdfast.toml");
        let (command, log) = match program {
            Program::Daemon => {
                (Command::new(programs.join("holdfastd")).arg("--config").arg(config), "daemon.log")
            }
            Program::Unit => (
                Command::new(programs.join("holdfastd"))
                    .arg("--config")
                    .arg(config)
                    .arg("etcd-unit"),
                "unit.log",
            ),
            Program::Had => (
                Command::new(programs.join("holdfast-had"))
                    .arg("--state")
                    .arg(self.dir.join("state/had"))
                    .arg("--socket")
                    .arg(self.dir.join("run/had.sock")),
                "had.log",
            ),
        };
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join(log))?;
        Ok(command.spawn(Stream::Null, Stream::File(log))?)
    }

    /// Process ids of that program.
    pub(super) fn pid(&self, program: Program) -> Option<i32> {
        self.running().iter().find(|(p, _)| *p == program).map(|(_, running)| running.pid())
    }

    pub(super) async fn session(&self) -> anyhow::Result<Session> {
        let mut options = Options::new(Trust::Insecure).with_deadline(Duration::from_secs(60));
        options.connect_deadline = Duration::from_secs(2);
        let client = Client::connect(Target::Unix(self.dir.join("run/api.sock")), options).await?;
        Ok(client.login("root", "", "bench").await?)
    }

    async fn answering(&self) -> anyhow::Result<Session> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.session().await {
                Ok(session) => return Ok(session),
                Err(error) if Instant::now() >= end => {
                    return Err(error).with_context(|| self.dir.display().to_string());
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Joins the pool at that address, unless an earlier try has done so.
    async fn join(&self, address: &str) -> anyhow::Result<()> {
        let session = self.answering().await?;
        if self.endpoints().is_ok() {
            return Ok(());
        }
        session.call("pool.join", &[address.into(), "root".into(), PASSWORD.into()]).await?;
        Ok(())
    }

    /// `host.json`.
    pub(super) fn identity(&self) -> anyhow::Result<Json> {
        let text = std::fs::read(self.dir.join("state/host.json"))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// URLs of the pool's database.
    pub(super) fn endpoints(&self) -> anyhow::Result<Vec<String>> {
        let identity = self.identity()?;
        let urls = identity["home"]["etcd"]["endpoints"].as_array().context("in etcd")?;
        Ok(urls.iter().filter_map(|u| u.as_str().map(str::to_owned)).collect())
    }

    /// URL of its own member.
    pub(super) fn url(&self) -> String {
        format!("https://{}:2379", self.address)
    }

    /// A bare client of the database with this host's certificate.
    pub(super) async fn etcd(&self, urls: &[String]) -> anyhow::Result<etcd_client::Client> {
        bare_etcd_of(&self.dir.join("state/tls"), urls).await
    }

    /// Whether it has the pool's voters and quorum, and hears all the others.
    async fn is_whole(&self, voters: usize, others: usize) -> anyhow::Result<()> {
        let known = self.endpoints()?.len();
        anyhow::ensure!(known == voters, "{known} voters");
        let said = self.session().await?.call("host.holdfast_emergency", &[]).await?;
        let said: Json = serde_json::from_str(said.as_str().unwrap_or_default())?;
        anyhow::ensure!(said["in_emergency"] == false, "{}", said["reason"]);
        let heard = said["hosts"].as_array().into_iter().flatten().filter(|h| h["heard"] == true);
        let heard = heard.count();
        anyhow::ensure!(heard == others, "hears {heard} of {others}");
        Ok(())
    }
}

/// All hosts, kept running.
pub(super) struct SimPool {
    pub(super) hosts: Arc<Vec<SimHost>>,
    ended: Arc<AtomicBool>,
    /// Seconds that each host took to join.
    pub(super) joins: Vec<f64>,
    /// Joins that had to be tried again.
    pub(super) repeated: usize,
}

impl Drop for SimPool {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        for host in self.hosts.iter() {
            host.power_cut();
        }
    }
}

impl SimPool {
    /// Starts that many hosts and joins them to one pool.
    pub(super) async fn form(dir: &Path, count: usize) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let programs = own.parent().context("a program lies in a directory")?.to_owned();
        let hosts: anyhow::Result<Vec<SimHost>> =
            (0..count).map(|n| SimHost::new(dir.join(format!("h{}", n + 1)), n)).collect();
        let hosts = Arc::new(hosts?);
        let ended = Arc::new(AtomicBool::new(false));
        // A process dies with the thread that started it: one thread for as long as the pool is there.
        let keeper = (hosts.clone(), ended.clone());
        std::thread::spawn(move || {
            let (hosts, ended) = keeper;
            while !ended.load(Ordering::SeqCst) {
                for host in hosts.iter() {
                    let _ = host.keep(&programs);
                }
                std::thread::sleep(LOOK);
            }
        });
        let mut pool = Self { hosts, ended, joins: Vec::new(), repeated: 0 };
        for batch in pool.hosts.chunks(BATCH) {
            batch.iter().for_each(SimHost::power_on);
            for host in batch {
                host.answering().await?;
            }
        }
        let first = &pool.hosts[0];
        let address = format!("{}:{API_PORT}", first.address);
        for host in &pool.hosts[1..] {
            let start = Instant::now();
            for tries in 1.. {
                match host.join(&address).await {
                    Ok(()) => break,
                    Err(_) if tries < JOIN_TRIES => {
                        pool.repeated += 1;
                        tokio::time::sleep(JOIN_AGAIN).await;
                    }
                    Err(error) => {
                        return Err(error.context(format!("joining {}", host.dir.display())));
                    }
                }
            }
            pool.joins.push(start.elapsed().as_secs_f64());
        }
        pool.whole().await?;
        Ok(pool)
    }

    /// Voters that a pool of this size has (design.md section 3).
    pub(super) fn voters(&self) -> usize {
        match self.hosts.len() {
            0..=2 => self.hosts.len(),
            3..=4 => 3,
            5..=10 => 5,
            _ => 7,
        }
    }

    /// Waits until every host has all voters and quorum and hears the others, and every voter answers.
    pub(super) async fn whole(&self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        for host in self.hosts.iter() {
            while let Err(error) = host.is_whole(self.voters(), self.hosts.len() - 1).await {
                anyhow::ensure!(Instant::now() < end, "{}: {error:#}", host.dir.display());
                tokio::time::sleep(LOOK).await;
            }
        }
        for url in self.hosts[0].endpoints()? {
            loop {
                let mut etcd = self.hosts[0].etcd(std::slice::from_ref(&url)).await?;
                match etcd.get("/", None).await {
                    Ok(_) => break,
                    Err(error) => anyhow::ensure!(Instant::now() < end, "{url}: {error}"),
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// The host of that uuid.
    pub(super) fn by_uuid(&self, uuid: &str) -> anyhow::Result<&SimHost> {
        let is = |host: &&SimHost| host.identity().is_ok_and(|i| i["host"] == uuid);
        self.hosts.iter().find(is).context("a host of the pool")
    }

    /// The coordinator, as that host names it.
    pub(super) async fn coordinator(&self, at: &Session) -> anyhow::Result<&SimHost> {
        let (pool, _) = pool_record(at).await?;
        let master = at.call("pool.get_master", &[Value::Ref(pool)]).await?;
        let uuid = at.call("host.get_uuid", &[master]).await?;
        self.by_uuid(uuid.as_str().unwrap_or_default())
    }
}

/// The pool's reference and its coordinator's.
pub(super) async fn pool_record(
    session: &Session,
) -> anyhow::Result<(xenapi::OpaqueRef, xenapi::OpaqueRef)> {
    let pools = session.call("pool.get_all", &[]).await?;
    let pool = pools.as_set().and_then(|s| s.opaques().next()).context("there is a pool")?;
    let master = session.call("pool.get_master", &[Value::Ref(pool)]).await?;
    Ok((pool, master.as_opaque().context("the pool has a coordinator")?))
}
