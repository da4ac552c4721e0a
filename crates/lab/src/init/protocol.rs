//! What is said between the lab's commands and process 1 of a host: one JSON line each way per connection.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::layout::Layout;

/// Longest time to wait for process 1; a frozen host never answers.
const ANSWER: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Request {
    /// List the units.
    Status,
    /// Do something to one unit.
    Unit {
        /// The unit's name.
        unit: String,
        /// What to do.
        action: Action,
    },
    /// Shut the operating system down in order; with `reboot` the host is powered on again.
    Halt {
        /// Whether it comes back by itself.
        reboot: bool,
    },
}

/// Exit status of a process 1 that was told to shut down.
pub const HALTED: i32 = 63;
/// The same, to be powered on again.
pub const REBOOTING: i32 = 64;

/// What can be done to a unit.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Kill it; it is restarted after the back-off.
    Kill,
    /// Kill it and keep it down.
    Hold,
    /// Let it start again.
    Release,
    /// Stop it where it stands.
    Freeze,
    /// Let it run on.
    Thaw,
    /// Ask it to end in order (SIGTERM); it is restarted.
    Restart,
}

/// One unit as process 1 sees it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct UnitStatus {
    /// Its name.
    pub name: String,
    /// Its process, as the host numbers it; absent while it is down.
    pub pid: Option<u32>,
    /// How often it was started since the host's boot.
    pub starts: u32,
    /// Kept down until released.
    pub held: bool,
    /// Stopped where it stands.
    pub frozen: bool,
    /// How it last ended.
    pub last_end: Option<String>,
}

/// What is answered.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Reply {
    /// Why the request was refused.
    pub error: Option<String>,
    /// The units, after the request.
    pub units: Vec<UnitStatus>,
}

/// Asks process 1 of a host.
pub fn ask(layout: &Layout, host: &str, request: &Request) -> Result<Vec<UnitStatus>> {
    ask_at(&layout.host_socket(host), request)
        .with_context(|| format!("asking process 1 of {host}"))
}

/// The same, where its socket is.
pub fn ask_at(path: &Path, request: &Request) -> Result<Vec<UnitStatus>> {
    let mut stream = UnixStream::connect(path)
        .with_context(|| format!("connecting to process 1 at {}", path.display()))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).context("asking")?;
    let mut answer = String::new();
    BufReader::new(stream)
        .read_line(&mut answer)
        .with_context(|| format!("no answer within {ANSWER:?}"))?;
    let reply: Reply = serde_json::from_str(&answer).context("understanding the answer")?;
    if let Some(error) = reply.error {
        bail!("{error}");
    }
    Ok(reply.units)
}
