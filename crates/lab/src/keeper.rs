//! The one process that stays in the machine's own namespaces while a lab is up.
//!
//! It is the parent of the launchers (so that nothing is left as a zombie) and relays `127.0.0.1:PORT` to each host's
//! API. A relayed connection is made *inside* the host's network namespace to its loopback address, so it reaches a
//! host whose cable is cut, as its own console would. The keeper decides nothing and holds no state that commands
//! need: if it dies, hosts run on and only the relays are gone.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::cgroup::Tree;
use crate::init::protocol::{HALTED, REBOOTING};
use crate::layout::Layout;
use crate::network::{self, inside};
use crate::process::command;
use crate::state::Lab;
use crate::{fault, wait};

/// The keeper's control group.
pub const GROUP: &str = "keeper";
/// The API's port inside a host.
const API_PORT: u16 = 443;
/// Longest time for the inner half of a relayed connection.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum Request {
    /// Which loopback port leads to which host.
    Ports,
    /// Power a host on.
    Boot { host: String },
    /// Make a host's cable slow, or as fast as it was.
    SlowCable { number: u8, delay_ms: Option<u32> },
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Reply {
    error: Option<String>,
    /// Host and port.
    ports: Vec<(String, u16)>,
}

/// Starts the keeper in a session of its own and waits until it answers with the relay ports.
pub fn start(layout: &Layout) -> Result<Vec<(String, u16)>> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(layout.keeper_log())
        .context("opening the keeper's log")?;
    let mut child = command("/proc/self/exe")
        .args(["--name", layout.name(), "keeper"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting the keeper")?;
    wait::until("the lab's keeper", Duration::from_secs(10), || {
        if let Some(status) = child.try_wait()? {
            bail!("the keeper ended ({status}): see {}", layout.keeper_log().display());
        }
        match ask(layout, &Request::Ports) {
            Ok(reply) => Ok(wait::Look::Done(reply.ports)),
            Err(e) => Ok(wait::Look::NotYet(format!("{e:#}"))),
        }
    })
}

/// Powers a host on.
pub fn boot(layout: &Layout, host: &str) -> Result<()> {
    ask(layout, &Request::Boot { host: host.to_owned() }).map(drop)
}

/// Makes every frame of a host take so many milliseconds longer each way; `None`: no longer.
pub fn slow_cable(layout: &Layout, number: u8, delay_ms: Option<u32>) -> Result<()> {
    ask(layout, &Request::SlowCable { number, delay_ms }).map(drop)
}

fn ask(layout: &Layout, request: &Request) -> Result<Reply> {
    let path = layout.keeper_socket();
    let mut stream = UnixStream::connect(&path)
        .with_context(|| format!("connecting to the lab's keeper at {}", path.display()))?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).context("asking the keeper")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).context("hearing the keeper")?;
    let reply: Reply = serde_json::from_str(&answer).context("understanding the keeper")?;
    match reply.error {
        Some(error) => bail!("keeper: {error}"),
        None => Ok(reply),
    }
}

/// Runs as the keeper, for ever.
pub fn run(lab: &str) -> Result<()> {
    let layout = Layout::new(lab)?;
    // A terminal's hang-up or interrupt is not for the keeper; being the leader of a session already is fine too.
    let _ = nix::unistd::setsid();
    let tree = Tree::find(lab)?;
    tree.make(GROUP)?;
    tree.join(GROUP, std::process::id())?;
    let lab = Lab::load(&layout)?;
    crate::bmc::serve(&layout, &lab)?;
    let mut ports = Vec::new();
    for host in &lab.hosts {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, host.api_port))
            .with_context(|| format!("listening for {}", host.name))?;
        ports.push((host.name.clone(), listener.local_addr()?.port()));
        let (layout, name) = (layout.clone(), host.name.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (layout, name) = (layout.clone(), name.clone());
                // A host that is off or does not listen answers by closing.
                thread::spawn(move || drop(relay(&layout, &name, &stream)));
            }
        });
    }
    let socket = layout.keeper_socket();
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)
        .with_context(|| format!("listening on {}", socket.display()))?;
    let mut cables = HashMap::new();
    for stream in listener.incoming().flatten() {
        let mut line = String::new();
        if BufReader::new(&stream).read_line(&mut line).is_err() {
            continue;
        }
        let outcome = serde_json::from_str(&line)
            .context("understanding the request")
            .and_then(|request| obey(&layout, &request, &mut cables));
        let reply = Reply { error: outcome.err().map(|e| format!("{e:#}")), ports: ports.clone() };
        let mut text = serde_json::to_vec(&reply)?;
        text.push(b'\n');
        let _ = (&stream).write_all(&text);
    }
    Ok(())
}

/// A host that was shut down from inside is off until it is powered on; one that reboots is powered on at once.
fn ended(layout: &Layout, host: &str, launcher: std::io::Result<ExitStatus>) -> Result<()> {
    match launcher.context("waiting for the launcher")?.code() {
        Some(HALTED) => fault::note_off(layout, host),
        Some(REBOOTING) => fault::reboot(layout, host),
        _ => Ok(()),
    }
}

fn obey(layout: &Layout, request: &Request, cables: &mut HashMap<u8, Child>) -> Result<()> {
    match request {
        Request::Ports => Ok(()),
        Request::Boot { host } => {
            let mut launcher = command("/proc/self/exe")
                .args(["--name", layout.name(), "launch", host])
                .stdin(Stdio::null())
                .spawn()
                .with_context(|| format!("starting the launcher of {host}"))?;
            let (layout, host) = (layout.clone(), host.clone());
            thread::spawn(move || {
                let status = launcher.wait();
                if let Err(error) = ended(&layout, &host, status) {
                    crate::report::note(&format!("{host} after its end: {error:#}"));
                }
            });
            Ok(())
        }
        Request::SlowCable { number, delay_ms } => {
            if let Some(mut cable) = cables.remove(number) {
                let _ = cable.kill();
                let _ = cable.wait();
                network::port_plug(layout, *number)?;
            }
            let Some(delay) = delay_ms else { return Ok(()) };
            let mut cable = command("/proc/self/exe")
                .args(["--name", layout.name(), "slow-cable"])
                .args([number.to_string(), delay.to_string()])
                .stdin(Stdio::null())
                .spawn()
                .context("starting the slow cable")?;
            wait::until("the slow cable", ANSWER / 2, || {
                if let Some(status) = cable.try_wait()? {
                    bail!("it ended ({status}): see {}", layout.keeper_log().display());
                }
                network::port_is_replaced(layout, *number).map(|there| {
                    if there {
                        wait::Look::Done(())
                    } else {
                        wait::Look::NotYet("not in the switch".into())
                    }
                })
            })?;
            cables.insert(*number, cable);
            Ok(())
        }
    }
}

fn relay(layout: &Layout, host: &str, outer: &TcpStream) -> Result<()> {
    let inner = inside(&layout.pin(host), || {
        let api = SocketAddr::from((Ipv4Addr::LOCALHOST, API_PORT));
        TcpStream::connect_timeout(&api, CONNECT).context("connecting to the host's API")
    })?;
    outer.set_nodelay(true)?;
    inner.set_nodelay(true)?;
    thread::scope(|scope| {
        scope.spawn(|| pass(outer, &inner));
        pass(&inner, outer);
    });
    Ok(())
}

/// Copies one direction; its end is passed on as an end, an error ends both directions.
fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    match std::io::copy(&mut from, &mut to) {
        Ok(_) => drop(to.shutdown(Shutdown::Write)),
        Err(_) => {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        }
    }
}
