//! A lab of a test's own: up when it is made, down when it is dropped.

use std::path::PathBuf;
use std::time::Duration;

use lab::process::{Finished, command, must, run};
use serde_json::Value as Json;

use crate::one_host::trust;
use crate::{program, root_or_say};

/// Longest `up` of a pool of three on a busy machine.
const UP: Duration = Duration::from_secs(180);
/// Longest other command.
const COMMAND: Duration = Duration::from_secs(120);
/// What our labs' names begin with; the number of the test's process follows.
const PREFIX: &str = "test-";

/// A running lab.
#[derive(Debug)]
pub struct PoolLab {
    name: String,
}

impl PoolLab {
    /// Brings a pool of that many hosts up, after taking down what killed tests have left.
    ///
    /// # Panics
    /// If it doesn't come up; the lab's words say why.
    pub fn up(hosts: u8) -> Self {
        Self::up_with(hosts, &[], UP)
    }

    /// The same with further options of `up`, within that limit.
    ///
    /// # Panics
    /// If it doesn't come up; the lab's words say why.
    pub fn up_with(hosts: u8, options: &[&str], limit: Duration) -> Self {
        let lab = Self::to_be();
        let hosts = hosts.to_string();
        let mut up = vec!["up", "--hosts", &hosts];
        up.extend(options);
        must(lab.command(&up), None, limit).unwrap_or_else(|e| panic!("{e:#}\n{}", lab.logs()));
        lab
    }

    /// A lab that the test itself will bring up; what killed tests have left is taken down.
    ///
    /// # Panics
    /// Without root.
    pub fn to_be() -> Self {
        root_or_say();
        take_down_orphans();
        Self { name: format!("{PREFIX}{}", std::process::id()) }
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the lab's program is called for this lab.
    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = command(program("holdfast-lab"));
        command.args(["--name", &self.name]).args(arguments);
        command
    }

    /// Runs a command of the lab that must succeed.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        must(self.command(arguments), None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// Runs a command of the lab that may fail.
    ///
    /// # Errors
    /// What it said.
    pub fn try_run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        must(self.command(arguments), None, COMMAND)
    }

    /// What `xe` prints inside a host, without the last line's end.
    ///
    /// # Panics
    /// If it fails.
    pub fn said(&self, host: &str, arguments: &[&str]) -> String {
        let done = self.xe(host, arguments);
        assert!(done.status.success(), "xe {} on {host}: {}", arguments.join(" "), done.stderr);
        done.stdout.trim_end_matches('\n').to_owned()
    }

    /// Runs `xe` inside a host.
    ///
    /// # Panics
    /// If it can't be run.
    pub fn xe(&self, host: &str, arguments: &[&str]) -> Finished {
        let mut all = vec!["exec", host, "--", "xe"];
        all.extend(arguments);
        run(self.command(&all), None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// Runs a program inside a host.
    ///
    /// # Panics
    /// If it can't be run.
    pub fn exec(&self, host: &str, arguments: &[&str]) -> Finished {
        let mut all = vec!["exec", host, "--"];
        all.extend(arguments);
        run(self.command(&all), None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// Where the machine sees a host's own `/etc`, `/var` and `/srv`.
    pub fn disk_of(&self, host: &str) -> PathBuf {
        let layout = lab::layout::Layout::new(&self.name).expect("our names are good names");
        layout.host_disk(host)
    }

    /// Asks a host's API on the machine's loopback for a page: its status and body. No login.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn get(&self, host: &HostPort, path: &str) -> Result<(u16, String), String> {
        let error = |e: std::io::Error| e.to_string();
        let mut wire = crate::Wire::connect(host.api, &host.tls).map_err(error)?;
        wire.set_patience(Duration::from_secs(5)).map_err(error)?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: pool\r\nconnection: close\r\n\r\n");
        wire.send(request.as_bytes()).map_err(error)?;
        let answer = wire.read().map_err(error)?;
        Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
    }

    /// Opens a console through a host and reads the first bytes that the guest's screen sends. `query` names it, with a
    /// session.
    ///
    /// # Errors
    /// Why there is none.
    pub fn console(&self, host: &HostPort, query: &str, length: usize) -> Result<Vec<u8>, String> {
        let error = |e: std::io::Error| e.to_string();
        let mut wire = crate::Wire::connect(host.api, &host.tls).map_err(error)?;
        let request = format!("CONNECT /console?{query} HTTP/1.1\r\nhost: pool\r\n\r\n");
        wire.send(request.as_bytes()).map_err(error)?;
        let answer = wire.read().map_err(error)?;
        if answer.status != 200 {
            return Err(format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)));
        }
        wire.bytes(length).map_err(error)
    }

    /// Posts a call to a host's API on the machine's loopback.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn post(&self, host: &HostPort, path: &str, body: &str) -> Result<String, String> {
        let error = |e: std::io::Error| e.to_string();
        let mut wire = crate::Wire::connect(host.api, &host.tls).map_err(error)?;
        let answer = wire.post(path, body.as_bytes()).map_err(error)?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Where the hosts' APIs are, in the order of their names.
    ///
    /// # Panics
    /// If the lab doesn't say.
    pub fn ports(&self) -> Vec<HostPort> {
        let status = self.status();
        let ca = PathBuf::from(status["ca"].as_str().expect("a lab has a certificate authority"));
        let tls = crate::one_host::trust(&ca);
        let hosts = status["hosts"].as_array().expect("a lab has hosts");
        hosts
            .iter()
            .map(|host| HostPort {
                name: host["name"].as_str().expect("hosts have names").to_owned(),
                api: host["api"].as_str().and_then(|a| a.parse().ok()).expect("an address"),
                tls: tls.clone(),
            })
            .collect()
    }

    /// `holdfast-lab status --output json`.
    ///
    /// # Panics
    /// If the lab doesn't say.
    pub fn status(&self) -> Json {
        serde_json::from_str(&self.run(&["status", "--output", "json"]))
            .expect("JSON was asked for")
    }

    /// Trusts the pool's certificate authority.
    ///
    /// # Panics
    /// If the lab has none.
    pub fn tls(&self) -> std::sync::Arc<rustls::ClientConfig> {
        let layout = lab::layout::Layout::new(&self.name).expect("our names are good names");
        trust(&layout.ca())
    }

    /// Where the machine sees the directory of the shared SR.
    pub fn shared_directory(&self) -> PathBuf {
        let layout = lab::layout::Layout::new(&self.name).expect("our names are good names");
        layout.shared()
    }

    /// What a client's script needs to know, as JSON.
    ///
    /// # Panics
    /// If the lab doesn't say.
    pub fn facts_for_clients(&self, image: &std::path::Path) -> String {
        let status = self.status();
        let lab: Vec<String> = vec![
            program("holdfast-lab").display().to_string(),
            "--name".to_owned(),
            self.name.clone(),
        ];
        serde_json::json!({
            "user": "root",
            "password": status["password"],
            "hosts": status["hosts"],
            "lab": lab,
            "image": image,
            "shared": self.shared_directory(),
        })
        .to_string()
    }

    /// The ends of the daemons' logs.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        let hosts = PathBuf::from("/var/tmp/holdfast-lab").join(&self.name).join("hosts");
        for host in std::fs::read_dir(hosts).into_iter().flatten().flatten() {
            let path = host.path().join("var/log/lab/holdfastd.log");
            let bytes = std::fs::read(&path).unwrap_or_default();
            let log = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(25);
            text.push_str(&format!("--- {}\n{}\n", path.display(), lines[from..].join("\n")));
        }
        text
    }
}

/// How a host's API is reached from the machine.
#[derive(Debug, Clone)]
pub struct HostPort {
    /// The host's name.
    pub name: String,
    api: std::net::SocketAddr,
    tls: std::sync::Arc<rustls::ClientConfig>,
}

impl Drop for PoolLab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), self.logs().as_bytes());
            if std::env::var_os("HOLDFAST_KEEP_LAB").is_some() {
                return;
            }
        }
        let _ = run(self.command(&["down"]), None, COMMAND);
    }
}

/// Takes down labs of tests whose process is gone.
fn take_down_orphans() {
    for root in [lab::layout::RUN_ROOT, "/var/tmp/holdfast-lab"] {
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(pid) = name.strip_prefix(PREFIX).and_then(|n| n.parse::<i32>().ok()) else {
                continue;
            };
            if lab::process::start_ticks(pid).is_none()
                && std::env::var_os("HOLDFAST_KEEP_LAB").is_none()
            {
                let mut down = command(program("holdfast-lab"));
                down.args(["--name", &name, "down"]);
                let _ = run(down, None, COMMAND);
            }
        }
    }
}
