//! The demo where no lab is possible: one host as ordinary processes, on its embedded database and libvirt's session driver.
//!
//! It shows what one host can: the API, a guest on a file SR, and that the guest does not notice when the daemon is killed
//! and started again. Nothing outside one directory is touched.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::guests;
use crate::guest::{COUNTER_START_BYTES, Image};
use crate::packages::say;

/// Longest time for one thing to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the host, a guest on it, and leaves both up.
pub(super) fn run(root: &Path, programs: &Path, image: &Image) -> anyhow::Result<()> {
    let host = OneHost::new(root, programs)?;
    let had = host.start("holdfast-had", &host.had_arguments())?;
    let daemon = host.start("holdfastd", &host.daemon_arguments())?;
    let started = Instant::now();
    host.wait("the API", || host.xe(&["host-list", "--minimal"]).is_ok_and(|u| !u.is_empty()))?;
    say(&format!("the API answered after {:.2} s", started.elapsed().as_secs_f64()));
    say(&host.xe(&["host-list"])?);

    let directory = host.dir.join("sr");
    let sr = host.xe(&[
        "sr-create",
        "name-label=disks",
        "type=file",
        "content-type=user",
        &format!("device-config:location={}", directory.display()),
    ])?;
    let xe = |arguments: &[&str]| host.xe(arguments);
    let golden = guests::disk_bring(&xe, image, &sr, &directory)?;
    let wanted = guests::Wanted { name: "counter", sr: &sr, golden: &golden, nic: None, on: None };
    let vdi = guests::make(&xe, &wanted)?;
    say("the guest runs; waiting for it to count on its disk");
    let counted = || count(&directory, &vdi);
    host.wait("the guest to count", || counted().is_some_and(|n| n > 5))?;

    let before = counted().context("the guest counts")?;
    say(&format!("it has counted to {before}; killing the daemon"));
    kill(daemon)?;
    let killed = Instant::now();
    let daemon = host.start("holdfastd", &host.daemon_arguments())?;
    host.wait("the API after the kill", || host.xe(&["vm-list", "--minimal"]).is_ok())?;
    let back = killed.elapsed();
    host.wait("the guest to count on", || counted().is_some_and(|n| n > before + 5))?;
    let after = counted().context("the guest counts")?;
    say(&format!(
        "the API was back after {:.2} s; the guest went on to {after}",
        back.as_secs_f64()
    ));
    let xe = host.xe_shown();
    say(&format!(
        "\nThe host is yours:\n  {xe} vm-list\n  {xe} vm-shutdown vm=counter\n  kill {daemon} {had}; rm -r {}    # takes it \
         down, once the guest is shut down",
        host.dir.display()
    ));
    Ok(())
}

struct OneHost {
    dir: PathBuf,
    programs: PathBuf,
    port: u16,
}

impl OneHost {
    fn new(root: &Path, programs: &Path) -> anyhow::Result<Self> {
        let dir = root.join("target/holdfast-demo");
        ensure!(
            !dir.exists(),
            "{} is there from an earlier demo: take that down first (it said how), then remove the directory",
            dir.display()
        );
        for sub in ["etc", "run", "sr", "state"] {
            let sub = dir.join(sub);
            fs::create_dir_all(&sub).with_context(|| format!("making {}", sub.display()))?;
        }
        // Free now; should somebody take it before the daemon does, the daemon says so.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let shown = dir.display();
        let text = format!(
            "[host]\nname = \"here\"\naddress = \"127.0.0.1\"\n\n\
             [api]\nlisten = \"127.0.0.1:{port}\"\nsocket = \"{shown}/run/api.sock\"\n\n\
             [paths]\nstate = \"{shown}/state\"\nrun = \"{shown}/run\"\netc = \"{shown}/etc\"\n\n\
             [libvirt]\nuri = \"qemu:///session\"\n"
        );
        fs::write(dir.join("holdfast.toml"), text).context("writing the configuration")?;
        let password = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        let password = password.trim();
        for (name, text) in [
            ("etc/initial-password", password.to_owned()),
            ("login", format!("root\n{password}\n")),
        ] {
            let file = dir.join(name);
            fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        }
        Ok(Self { dir, programs: programs.to_owned(), port })
    }

    fn daemon_arguments(&self) -> Vec<String> {
        vec!["--config".into(), self.dir.join("holdfast.toml").display().to_string()]
    }

    fn had_arguments(&self) -> Vec<String> {
        let at = |name: &str| self.dir.join(name).display().to_string();
        vec!["--state".into(), at("state/had"), "--socket".into(), at("run/had.sock")]
    }

    /// Starts a program that outlives the demo; returns its number.
    fn start(&self, program: &str, arguments: &[String]) -> anyhow::Result<u32> {
        use std::os::unix::process::CommandExt as _;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join(format!("{program}.log")))
            .with_context(|| format!("opening the log of {program}"))?;
        let child = Command::new(self.programs.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        Ok(child.id())
    }

    /// Over the network, as the pool's root: the unix socket is for the machine's root only.
    fn login(&self) -> [String; 8] {
        let at = |name: &str| self.dir.join(name).display().to_string();
        // Not what this user learned of an earlier demo on the same address.
        let (ca, login) = (at("state/tls/ca.pem"), at("login"));
        ["-s", "127.0.0.1", "-p", &self.port.to_string(), "--ca", &ca, "-pwf", &login]
            .map(str::to_owned)
    }

    fn xe_shown(&self) -> String {
        format!("{} {}", self.programs.join("xe").display(), self.login().join(" "))
    }

    fn xe(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(self.programs.join("xe"))
            .args(self.login())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("starting xe")?;
        ensure!(
            output.status.success(),
            "xe {} failed ({}): {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    fn wait(&self, what: &str, holds: impl Fn() -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        while !holds() {
            ensure!(
                start.elapsed() < PATIENCE,
                "gave up after {PATIENCE:?} waiting for {what}; see {}/*.log",
                self.dir.display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// Reads how far the guest has counted from its disk, while it runs.
fn count(directory: &Path, vdi: &str) -> Option<u64> {
    const BLOCK_BYTES: u64 = 4096;
    let first = COUNTER_START_BYTES / BLOCK_BYTES;
    let out = directory.join("../block");
    let _ = fs::remove_file(&out);
    let file = fs::read_dir(directory).ok()?.flatten().map(|e| e.path()).find(|p| {
        let name = p.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(vdi) && name.contains(".qcow2")
    })?;
    let status = Command::new("qemu-img")
        .args(["dd", "-U", "-f", "qcow2", "-O", "raw", &format!("bs={BLOCK_BYTES}")])
        // Its `count` counts from the start of the input, skipped blocks included.
        .args([format!("count={}", first + 1), format!("skip={first}")])
        .arg(format!("if={}", file.display()))
        .arg(format!("of={}", out.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    if !status.success() {
        return None;
    }
    // crates/lab/src/guest/record.rs: magic, 16 bytes of identity, then the count.
    let block = fs::read(&out).ok()?;
    (block.get(..8)? == b"HFGUEST1").then_some(())?;
    Some(u64::from_le_bytes(block.get(24..32)?.try_into().ok()?))
}

fn kill(pid: u32) -> anyhow::Result<()> {
    let status =
        Command::new("kill").args(["-9", &pid.to_string()]).status().context("starting kill")?;
    ensure!(status.success(), "kill -9 {pid} failed");
    Ok(())
}
