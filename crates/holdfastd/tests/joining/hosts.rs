//! A host of the test: a daemon and an etcd unit as processes, on a loopback address of their own.

#![expect(clippy::disallowed_methods, reason = "the daemons under test are started by their test")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use client::{Client, Options, Session, Target, Trust};
use tokio::time::Instant;
use xenapi::{Record, Value};

const PASSWORD: &str = "root's password of the test";
const PATIENCE: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(50);
const API_PORT: u16 = 7443;

static NEXT: AtomicU16 = AtomicU16::new(1);

/// A daemon with its unit.
pub(crate) struct Host {
    address: String,
    dir: PathBuf,
    daemon: Option<Child>,
    unit: Option<Child>,
    /// This boot, where a test has boots.
    boot: uuid::Uuid,
}

impl Drop for Host {
    fn drop(&mut self) {
        for child in [&mut self.daemon, &mut self.unit].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Host {
    /// An address where nobody listens.
    pub(crate) fn nowhere() -> Self {
        Self {
            address: address(250),
            dir: PathBuf::new(),
            daemon: None,
            unit: None,
            boot: uuid::Uuid::nil(),
        }
    }

    fn new(dir: PathBuf, name: &str) -> Self {
        let address = address(NEXT.fetch_add(1, Ordering::Relaxed));
        for sub in ["etc", "state", "run"] {
            std::fs::create_dir_all(dir.join(sub)).expect("a directory of the test");
        }
        std::fs::write(dir.join("etc/initial-password"), PASSWORD).expect("the password");
        let config = format!(
            "[host]\nname = '{name}'\naddress = '{address}'\n\
             [api]\nlisten = '{address}:{API_PORT}'\nsocket = '{0}/run/api.sock'\n\
             [paths]\nstate = '{0}/state'\nrun = '{0}/run'\netc = '{0}/etc'\n\
             [libvirt]\nuri = 'test:///default'\n",
            dir.display()
        );
        std::fs::write(dir.join("holdfast.toml"), config).expect("the configuration");
        let boot = uuid::Uuid::new_v4();
        let mut host = Self { address, dir, daemon: None, unit: None, boot };
        host.unit = Some(host.spawn(&["etcd-unit"], None));
        host
    }

    fn spawn(&self, arguments: &[&str], die_at: Option<&str>) -> Child {
        let log = |name: &str| {
            let path = self.dir.join(format!("{name}.log"));
            std::fs::OpenOptions::new().create(true).append(true).open(path).expect("a log")
        };
        let name = arguments.first().copied().unwrap_or("daemon");
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfastd"));
        command.arg("--config").arg(self.dir.join("holdfast.toml")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log(name));
        command.env("HOLDFAST_TEST_BOOT_ID", self.boot.to_string());
        if let Some(step) = die_at {
            command.env("HOLDFAST_TEST_DIE_AT", step);
        }
        command.spawn().expect("holdfastd starts")
    }

    /// Ends every process of the host at once.
    pub(crate) fn power_cut(&mut self) {
        for child in [self.daemon.take(), self.unit.take()].into_iter().flatten() {
            let mut child = child;
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Boots the host.
    pub(crate) fn power_on(&mut self) {
        self.boot = uuid::Uuid::new_v4();
        self.unit = Some(self.spawn(&["etcd-unit"], None));
        self.daemon = Some(self.spawn(&[], None));
    }

    /// The same, with a daemon that ends at that step.
    pub(crate) fn power_on_dying_at(&mut self, step: Option<&str>) {
        self.boot = uuid::Uuid::new_v4();
        self.unit = Some(self.spawn(&["etcd-unit"], None));
        self.daemon = Some(self.spawn(&[], step));
    }

    /// Starts the daemon again if it has ended, as its unit would.
    pub(crate) fn keep_alive(&mut self) {
        if self.daemon.as_mut().is_some_and(|d| d.try_wait().expect("our child").is_some()) {
            self.daemon = Some(self.spawn(&[], None));
        }
    }

    /// One message, called as root of the host.
    pub(crate) async fn call(&self, method: &str, params: &[Value]) -> Result<Value, String> {
        let session = self.try_session().await?;
        session.call(method, params).await.map_err(|e| e.to_string())
    }

    /// What the host says of itself.
    pub(crate) async fn described(&self) -> Result<serde_json::Value, String> {
        let answer = self.call("host.holdfast_emergency", &[]).await?;
        serde_json::from_str(answer.as_str().unwrap_or_default()).map_err(|e| e.to_string())
    }

    /// One attempt to write.
    pub(crate) async fn try_write(&self, text: &str) -> Result<(), String> {
        let pools = self.try_session().await?.records("pool").await.map_err(|e| e.to_string())?;
        let pool = pools.first().ok_or("no pool")?.opaque();
        self.call("pool.set_name_description", &[Value::Ref(pool), text.into()]).await.map(drop)
    }

    /// The pool's description, as this host reads it.
    pub(crate) async fn read(&self) -> Result<String, String> {
        let pools = self.try_session().await?.records("pool").await.map_err(|e| e.to_string())?;
        let text = pools.first().and_then(|p| p.get_by_name("name_description").cloned());
        Ok(text.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Of its daemon, as long as that runs.
    pub(crate) fn daemon_pid(&mut self) -> Option<u32> {
        let daemon = self.daemon.as_mut()?;
        daemon.try_wait().expect("our child").is_none().then(|| daemon.id())
    }

    /// Its name.
    pub(crate) fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    /// Its address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Ends the daemon and starts it with the order to end at that step.
    pub(crate) async fn restart_dying_at(&mut self, step: Option<&str>) {
        if step.is_some() {
            if let Some(mut daemon) = self.daemon.take() {
                let _ = daemon.kill();
                let _ = daemon.wait();
            }
            self.daemon = Some(self.spawn(&[], step));
            self.client().await;
        }
    }

    /// Starts the daemon if it has ended, as its unit would, until it answers and stays.
    pub(crate) async fn revive(&mut self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let ended = match &mut self.daemon {
                Some(daemon) => daemon.try_wait().expect("our child").is_some(),
                None => true,
            };
            if ended {
                self.daemon = Some(self.spawn(&[], None));
            }
            // A daemon that joined ends by itself a moment after its answer.
            tokio::time::sleep(Duration::from_millis(600)).await;
            let runs = self.daemon.as_mut().is_some_and(|d| matches!(d.try_wait(), Ok(None)));
            if runs && self.try_session().await.is_ok() {
                return;
            }
            assert!(Instant::now() < end, "{} does not answer: see {:?}", self.address, self.dir);
        }
    }

    pub(crate) async fn try_session(&self) -> Result<Session, String> {
        let target = Target::Unix(self.dir.join("run/api.sock"));
        let mut options = Options::new(Trust::Insecure).with_deadline(Duration::from_secs(60));
        options.connect_deadline = Duration::from_secs(2);
        let client = Client::connect(target, options).await.map_err(|e| e.to_string())?;
        client.login("root", "", "test").await.map_err(|e| e.to_string())
    }

    async fn client(&self) -> Session {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.try_session().await {
                Ok(session) => return session,
                Err(error) => assert!(Instant::now() < end, "{:?}: {error}", self.dir),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The hosts that this daemon knows.
    pub(crate) async fn hosts(&self) -> Vec<Record> {
        self.client().await.records("host").await.expect("host.get_all_records")
    }

    async fn pool(&self) -> Record {
        let pools = self.client().await.records("pool").await.expect("pool.get_all_records");
        assert_eq!(pools.len(), 1);
        pools.into_iter().next().expect("one")
    }

    /// Whether it is in the other's pool.
    pub(crate) async fn is_in_pool_of(&self, other: &Self) -> bool {
        self.pool().await.uuid() == other.pool().await.uuid()
    }

    /// Writes and reads back.
    pub(crate) async fn writes(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        let pool = self.pool().await;
        loop {
            let session = self.client().await;
            let params = [Value::Ref(pool.opaque()), text.into()];
            match session.call("pool.set_name_description", &params).await {
                Ok(_) => break,
                Err(error) => assert!(Instant::now() < end, "{:?}: {error}", self.dir),
            }
            tokio::time::sleep(PAUSE).await;
        }
        let read = self.pool().await;
        assert_eq!(read.get_by_name("name_description").and_then(Value::as_str), Some(text));
    }

    /// `pool.join` here.
    pub(crate) async fn call_join(&self, other: &Self, password: &str) -> Result<(), String> {
        let address = format!("{}:{API_PORT}", other.address);
        let params = [address.as_str().into(), "root".into(), password.into()];
        let session = self.client().await;
        session.call("pool.join", &params).await.map(drop).map_err(|e| e.to_string())
    }

    /// A transfer over the host's socket: status and body.
    pub(crate) async fn transfer(
        &self,
        verb: &str,
        path: &str,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>), String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let text = |e: std::io::Error| e.to_string();
        let socket = self.dir.join("run/api.sock");
        let mut stream = tokio::net::UnixStream::connect(socket).await.map_err(text)?;
        let length = body.len();
        let head = format!(
            "{verb} {path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.map_err(text)?;
        stream.write_all(body).await.map_err(text)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map_err(text)?;
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or("no answer")?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("no status")?;
        Ok((status, answer.split_off(end + 4)))
    }

    /// Ends the daemon.
    pub(crate) fn kill_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    /// Starts the daemon, which is to end at that step of its start, and waits for that.
    pub(crate) fn start_and_die_at(&mut self, step: &str) {
        self.kill_daemon();
        let mut dying = self.spawn(&[], Some(step));
        let status = dying.wait().expect("our child");
        assert!(!status.success(), "{step} was not reached");
    }

    /// The host's uuid, from its file.
    pub(crate) fn uuid(&self) -> uuid::Uuid {
        let text = std::fs::read(self.dir.join("state/host.json")).expect("host.json");
        let file: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        file["host"].as_str().and_then(|t| t.parse().ok()).expect("a uuid")
    }

    /// `pool.eject` of another host, called here.
    pub(crate) async fn eject(&self, host: uuid::Uuid) -> Result<(), String> {
        let session = self.client().await;
        let params = [Value::Ref(xenapi::OpaqueRef::new(host))];
        session.call("pool.eject", &params).await.map(drop).map_err(|e| e.to_string())
    }

    /// Starts the daemon whenever it has ended, until its database is its own.
    pub(crate) async fn revived_until_alone(&mut self) {
        let end = Instant::now() + PATIENCE;
        loop {
            self.revive().await;
            if self.home() == "embedded" && self.hosts().await.len() == 1 {
                return;
            }
            assert!(Instant::now() < end, "{:?} does not become a pool of one", self.dir);
        }
    }

    fn embedded_store(&self) -> PathBuf {
        self.dir.join("state/db/pool.redb")
    }

    fn home(&self) -> serde_json::Value {
        let text = std::fs::read(self.dir.join("state/host.json")).expect("host.json");
        serde_json::from_slice::<serde_json::Value>(&text).expect("JSON")["home"].clone()
    }
}

/// A pool of hosts `a`, `b`, ... with all its voters.
pub(crate) struct Trio {
    pub(crate) hosts: Vec<Host>,
    _dir: tempfile::TempDir,
}

impl Trio {
    pub(crate) async fn new(count: usize) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut hosts: Vec<Host> = ["a", "b", "c", "d", "e"]
            .iter()
            .take(count)
            .map(|name| Host::new(dir.path().join(name), name))
            .collect();
        for host in &mut hosts {
            host.daemon = Some(host.spawn(&[], None));
            host.client().await;
        }
        let (first, others) = hosts.split_first_mut().expect("at least one");
        for other in others {
            other.call_join(first, PASSWORD).await.expect("joins");
            other.revive().await;
        }
        let mut trio = Self { hosts, _dir: dir };
        trio.until("all voters", async |trio: &Self| {
            for host in &trio.hosts {
                let voters = host.home()["etcd"]["endpoints"].as_array().map_or(0, Vec::len);
                if voters != count {
                    return Err(format!("{} has {voters} voters", host.dir.display()));
                }
            }
            Ok(())
        })
        .await;
        trio
    }

    /// Waits until `look` is content, keeping daemons alive meanwhile.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        look: impl AsyncFn(&Self) -> Result<T, String>,
    ) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            for host in &mut self.hosts {
                host.keep_alive();
            }
            match look(self).await {
                Ok(found) => return found,
                Err(seen) => assert!(Instant::now() < end, "{what}: {seen}\n{}", self.logs()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The ends of the daemons' logs.
    fn logs(&self) -> String {
        let mut text = String::new();
        for host in &self.hosts {
            let log = std::fs::read_to_string(host.dir.join("daemon.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(12);
            text.push_str(&format!("--- {}\n{}\n", host.dir.display(), lines[from..].join("\n")));
        }
        text
    }
}

/// Two hosts, each its own pool at first.
pub(crate) struct Pair {
    /// Accepts.
    pub(crate) a: Host,
    /// Joins.
    pub(crate) b: Host,
    _dir: tempfile::TempDir,
}

impl Pair {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut a = Host::new(dir.path().join("a"), "a");
        let mut b = Host::new(dir.path().join("b"), "b");
        a.daemon = Some(a.spawn(&[], None));
        b.daemon = Some(b.spawn(&[], None));
        a.client().await;
        b.client().await;
        Self { a, b, _dir: dir }
    }

    pub(crate) async fn join(&self) -> Result<(), String> {
        self.b.call_join(&self.a, PASSWORD).await
    }

    /// One pool, one store, two voters.
    pub(crate) async fn formed(&self, step: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let both = [self.a.hosts().await.len(), self.b.hosts().await.len()];
            let voters = [self.a.home(), self.b.home()]
                .map(|home| home["etcd"]["endpoints"].as_array().map_or(0, Vec::len));
            let stores = [self.a.embedded_store().exists(), self.b.embedded_store().exists()];
            if both == [2, 2] && voters == [2, 2] && stores == [false, false] {
                break;
            }
            assert!(
                Instant::now() < end,
                "{step}: hosts {both:?}, voters {voters:?}, embedded stores {stores:?}"
            );
            tokio::time::sleep(PAUSE).await;
        }
        assert!(self.b.is_in_pool_of(&self.a).await, "{step}");
        self.a.writes("by a").await;
        self.b.writes("by b").await;
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = self.a.pool().await;
            if seen.get_by_name("name_description").and_then(Value::as_str) == Some("by b") {
                return;
            }
            assert!(Instant::now() < end, "{step}: a does not see what b wrote");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// An address of this process's own in 127/8, so that tests can run side by side on the usual ports.
fn address(number: u16) -> String {
    let pid = std::process::id();
    format!("127.{}.{}.{}", 64 + (pid >> 8) % 128, pid % 256, number % 251 + 1)
}
