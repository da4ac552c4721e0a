//! The lab's baseboard controllers: a socket per host that says whether the host has power and switches it, also while
//! the host is off or hangs.
//!
//! Hosts reach all of them in one directory, which stands for a management network of its own. The program `fence_lab`
//! ([`agent`]) speaks to them as a cluster's fence agent does.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::fault::{self, Fault, Kind};
use crate::layout::Layout;
use crate::state::{Boot, Lab, load};

/// Where a host sees the controllers.
pub const SEEN_AT: &str = "/run/lab-bmc";
/// Longest wait for a controller's answer: switching takes as long as the lab's own command.
const ANSWER: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize, Serialize)]
struct Request {
    action: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Reply {
    on: Option<bool>,
    error: Option<String>,
}

/// Serves the controllers of all hosts, each in a thread.
pub fn serve(layout: &Layout, lab: &Lab) -> Result<()> {
    let dir = layout.bmc();
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    for host in &lab.hosts {
        let path = dir.join(&host.name);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)
            .with_context(|| format!("listening on {}", path.display()))?;
        let (layout, name) = (layout.clone(), host.name.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(&layout, &name, stream);
            }
        });
    }
    Ok(())
}

fn answer(layout: &Layout, host: &str, mut stream: UnixStream) -> Result<()> {
    let mut line = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    BufReader::new(&stream).read_line(&mut line)?;
    let request: Request = serde_json::from_str(&line)?;
    let reply = match obey(layout, host, &request.action) {
        Ok(on) => Reply { on: Some(on), error: None },
        Err(error) => Reply { on: None, error: Some(format!("{error:#}")) },
    };
    stream.write_all(&serde_json::to_vec(&reply)?)?;
    Ok(())
}

fn has_power(layout: &Layout, host: &str) -> bool {
    load::<Boot>(&layout.host_boot(host)).is_ok_and(|boot| boot.alive())
}

fn obey(layout: &Layout, host: &str, action: &str) -> Result<bool> {
    match action {
        "status" => {}
        "on" if !has_power(layout, host) => fault::heal(layout, host, Some(Kind::Power))?,
        "off" if has_power(layout, host) => {
            fault::fail(layout, &Fault::parse(host, "power", None)?)?;
        }
        "on" | "off" => {}
        other => bail!("a controller can't {other:?}"),
    }
    Ok(has_power(layout, host))
}

/// The program `fence_lab`: options on standard input, `status` ends with 0 for on and 2 for off.
pub fn agent() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "fence_lab: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn run() -> Result<u8> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    let option = |name: &str| {
        input.lines().filter_map(|l| l.split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v)
    };
    let plug = option("plug").context("the option plug names the host")?;
    let action = option("action").unwrap_or("status");
    anyhow::ensure!(
        plug.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
        "no host is called {plug:?}"
    );
    let path = Path::new(SEEN_AT).join(plug);
    let mut stream = UnixStream::connect(&path)
        .with_context(|| format!("no controller answers at {}", path.display()))?;
    stream.set_read_timeout(Some(ANSWER))?;
    let request = Request { action: action.to_owned() };
    stream.write_all(&serde_json::to_vec(&request)?)?;
    stream.write_all(b"\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let reply: Reply = serde_json::from_str(&text).context("understanding the controller")?;
    match (reply.on, reply.error) {
        (_, Some(error)) => bail!("{error}"),
        (Some(false), None) if action == "status" => Ok(2),
        (Some(_), None) => Ok(0),
        (None, None) => bail!("the controller does not say"),
    }
}
