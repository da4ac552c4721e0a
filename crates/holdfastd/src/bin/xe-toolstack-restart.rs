//! `xe-toolstack-restart`: restarts this host's management and nothing else (S0-6).
//!
//! ```text
//!   systemd runs ──> systemctl restart holdfastd.service ─┐
//!   else ──> SIGTERM, SIGKILL if it will not end ─────────┴─> whoever keeps the daemon starts it ──> wait until it answers
//! ```
//! Guests, `holdfast-had` and the database's unit are left alone: none of them needs the daemon. Asks the daemon for nothing,
//! so it works while the daemon hangs or is down. A person asks for this after removing a cause, so the count of failed starts
//! is forgotten and the next start is no safe one (S0-4). Not here: why the daemon was ill; `xe host-diagnose` says.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use holdfastd::config::Config;
use host::proc::{Process, find, kill, terminate};

/// Restarts this host's management; guests run on.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The daemon's configuration file.
    #[arg(long, default_value = CONFIG)]
    config: PathBuf,
}

const CONFIG: &str = "/etc/holdfast/holdfast.toml";
const UNIT: &str = "holdfastd.service";
/// Time the daemon gets to end by itself.
const TERMINATE: Duration = Duration::from_secs(20);
/// Time the kernel gets to end it.
const KILL: Duration = Duration::from_secs(10);
/// Time until the new daemon answers.
const ANSWER: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = Config::read(&arguments.config)?;
    say("Executing xe-toolstack-restart")?;
    let _ = std::fs::remove_file(config.paths.state.join(holdfastd::starts::FILE));
    if Path::new("/run/systemd/system").exists() {
        let systemctl = host::exec::Command::new("systemctl").args(["restart", UNIT]);
        systemctl.limit(TERMINATE + KILL + ANSWER).check().context("restarting the unit")?;
    } else {
        for daemon in daemons(&arguments.config)? {
            let id = daemon.id;
            if !terminate(id, TERMINATE)? && !kill(id.pid, id.start_ticks, KILL)? {
                bail!("process {} does not end even when killed: it hangs in the kernel", id.pid);
            }
        }
    }
    answer_wait(&config.api.socket)?;
    say("done.")
}

/// The running daemon, as a list of at most one; the database's unit is the same program and not meant.
fn daemons(config: &Path) -> anyhow::Result<Vec<Process>> {
    let found = find(|argv| {
        let [program, arguments @ ..] = argv else { return false };
        let own = Path::new(program).file_name().is_some_and(|name| name == "holdfastd");
        let of = arguments.iter().skip_while(|a| *a != "--config").nth(1);
        let other = ["etcd-unit", "probe", "bundle"];
        own && !arguments.iter().any(|a| other.contains(&a.as_str()))
            && Path::new(of.map_or(CONFIG, String::as_str)) == config
    });
    let mut found = found.context("looking for the daemon")?;
    // Daemons of hosts in namespaces of their own on this machine are other hosts.
    found.retain(|p| mounts_of(&p.id.pid.to_string()) == mounts_of("self"));
    Ok(found)
}

/// The mount namespace of a process.
fn mounts_of(process: &str) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok()
}

/// Waits until the daemon answers on its socket.
#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, without a runtime to ask for the time"
)]
fn answer_wait(socket: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        match answers(socket) {
            Ok(()) => return Ok(()),
            Err(why) if begun.elapsed() >= ANSWER => {
                return Err(why).with_context(|| {
                    format!(
                        "the daemon did not answer on {} within {} s of its restart; is anybody keeping it (systemd)?",
                        socket.display(),
                        ANSWER.as_secs()
                    )
                });
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Any answer will do: also one without quorum comes from a running daemon.
fn answers(socket: &Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut begin = [0; 5];
    stream.read_exact(&mut begin)?;
    if begin == *b"HTTP/" { Ok(()) } else { Err(std::io::Error::other("no HTTP")) }
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing")
}
