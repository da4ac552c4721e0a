//! Throwaway etcd members on loopback, in temporary directories, killed by pid.

#![expect(clippy::disallowed_methods, reason = "the database under test is started by its test")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use etcd_client::Client;

/// One member. Dropping it kills the process and removes its data.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) client_url: String,
    pub(crate) peer_url: String,
    dir: PathBuf,
    args: Vec<String>,
    child: Mutex<Option<Child>>,
}

/// A cluster on loopback.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
    _dir: tempfile::TempDir,
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("has an address").port()
}

impl Cluster {
    /// Starts `size` members; use from the test's own thread (the processes end with it).
    pub(crate) async fn start(size: usize) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut members: Vec<Member> =
            (0..size).map(|n| Member::prepare(&dir, &format!("m{n}"))).collect();
        let initial: Vec<String> =
            members.iter().map(|m| format!("{}={}", m.name, m.peer_url)).collect();
        let token = dir.path().file_name().expect("has a name").to_string_lossy().into_owned();
        for member in &mut members {
            member.args.extend([
                format!("--initial-cluster={}", initial.join(",")),
                format!("--initial-cluster-token={token}"),
                "--initial-cluster-state=new".to_owned(),
            ]);
            member.run();
        }
        let cluster = Self { members, _dir: dir };
        for member in &cluster.members {
            member.ready().await;
        }
        cluster
    }

    /// A further member that joins a running cluster; not started.
    pub(crate) fn prepare_member(&mut self, name: &str) -> usize {
        let mut member = Member::prepare(&self._dir, name);
        let mut initial: Vec<String> =
            self.members.iter().map(|m| format!("{}={}", m.name, m.peer_url)).collect();
        initial.push(format!("{}={}", member.name, member.peer_url));
        member.args.extend([
            format!("--initial-cluster={}", initial.join(",")),
            "--initial-cluster-state=existing".to_owned(),
        ]);
        self.members.push(member);
        self.members.len() - 1
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.members.iter().map(|m| m.client_url.clone()).collect()
    }

    /// The member that leads now.
    pub(crate) async fn leader(&self) -> usize {
        loop {
            for (at, member) in self.members.iter().enumerate() {
                let status = async {
                    let mut client = Client::connect([&member.client_url], None).await?;
                    client.status().await
                };
                if let Ok(Ok(status)) = tokio::time::timeout(Duration::from_secs(1), status).await
                    && status.leader() != 0
                    && status.header().is_some_and(|h| h.member_id() == status.leader())
                {
                    return at;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Member {
    fn prepare(dir: &tempfile::TempDir, name: &str) -> Self {
        let client_url = format!("http://127.0.0.1:{}", free_port());
        let peer_url = format!("http://127.0.0.1:{}", free_port());
        let data = dir.path().join(name);
        let args = vec![
            format!("--name={name}"),
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls={client_url}"),
            format!("--advertise-client-urls={client_url}"),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
            "--pre-vote".to_owned(),
            "--heartbeat-interval=50".to_owned(),
            "--election-timeout=500".to_owned(),
            "--logger=zap".to_owned(),
            "--log-level=error".to_owned(),
        ];
        Self {
            name: name.to_owned(),
            client_url,
            peer_url,
            dir: data,
            args,
            child: Mutex::new(None),
        }
    }

    /// Starts the process (again).
    pub(crate) fn run(&self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.with_extension("log"))
            .expect("a log file");
        // The parent-death signal takes the process along if the test is killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "/usr/bin/etcd"])
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("etcd starts");
        *self.child.lock().expect("not poisoned") = Some(child);
    }

    /// Waits until it answers a linearizable read.
    pub(crate) async fn ready(&self) {
        let began = std::time::Instant::now();
        loop {
            let read = async {
                let mut client = Client::connect([&self.client_url], None).await?;
                client.get("x", None).await
            };
            if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(1), read).await {
                return;
            }
            let log = self.dir.with_extension("log");
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "etcd did not start: {}",
                std::fs::read_to_string(log).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// kill -9, and gone when this returns.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().expect("not poisoned").take() {
            child.kill().expect("is ours");
            child.wait().expect("ends");
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let child = self.child.lock().expect("not poisoned");
        let pid = child.as_ref().expect("runs").id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    pub(crate) fn data_dir(&self) -> &std::path::Path {
        &self.dir
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
