//! A guest that moves between real hosts with real libvirt while daemons on both sides are killed.
//!
//! Needs root, libvirt, etcd and the programs beside `holdfast-lab` (`cargo build --workspace`); where one is missing the
//! test says so and proves nothing.

#![expect(clippy::disallowed_methods, reason = "the program under test is started by its test")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

struct Lab(String);

impl Lab {
    fn new() -> Option<Self> {
        let beside = Path::new(env!("CARGO_BIN_EXE_holdfast-lab")).with_file_name("");
        let missing: Vec<_> = ["holdfastd", "holdfast-had", "xe"]
            .map(|program| beside.join(program))
            .into_iter()
            .chain(["/usr/bin/etcd", "/usr/sbin/libvirtd"].map(Into::into))
            .filter(|path| !path.exists())
            .map(|path| path.display().to_string())
            .collect();
        if !missing.is_empty() || !nix::unistd::geteuid().is_root() {
            let text = format!("not proved here: needs root and {}\n", missing.join(", "));
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
            return None;
        }
        Some(Self(format!("t{}-move", std::process::id())))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_holdfast-lab"))
            .args(["--name", &self.0])
            .args(arguments)
            .output()
            .expect("holdfast-lab was built with this test")
    }

    fn try_ok(&self, arguments: &[&str]) -> Result<String, String> {
        let done = self.run(arguments);
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
        } else {
            Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&done.stderr)))
        }
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.try_ok(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    fn xe(&self, host: &str, arguments: &[&str]) -> Result<String, String> {
        let mut all = vec!["exec", host, "--", "xe"];
        all.extend(arguments);
        self.try_ok(&all)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
    }
}

fn within<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(start.elapsed() < limit, "{what}: {why}"),
        }
    }
}

/// Whatever is killed in the middle of a migration, the guest then runs on one host, and no task or lock is left.
#[test]
fn a_guest_runs_on_one_host_whatever_is_killed_while_it_moves() {
    let Some(lab) = Lab::new() else { return };
    lab.ok(&["up", "--hosts", "2"]);
    let xe = |arguments: &[&str]| lab.xe("h1", arguments).unwrap_or_else(|e| panic!("{e}"));
    let sr = xe(&["sr-list", "name-label=shared", "--minimal"]);
    let template = "template=Other install media";
    let vm = xe(&["vm-install", template, "new-name-label=mover", &format!("sr-uuid={sr}")]);
    let (by_uuid, of_vm) = (format!("uuid={vm}"), format!("vm-uuid={vm}"));
    let memory = (64 << 20).to_string();
    let limits = ["static-min", "dynamic-min", "dynamic-max", "static-max"];
    let limits = limits.map(|limit| format!("{limit}={memory}"));
    let mut set = vec!["vm-memory-limits-set", &by_uuid];
    set.extend(limits.iter().map(String::as_str));
    xe(&set);
    let create = ["vdi-create", "name-label=disk", "virtual-size=64MiB", "type=user"];
    let vdi = xe(&[&create[..], &[&format!("sr-uuid={sr}")]].concat());
    let vbd = ["vbd-create", "device=0", "bootable=true", "mode=RW", "type=Disk"];
    xe(&[&vbd[..], &[&of_vm, &format!("vdi-uuid={vdi}")]].concat());
    xe(&["vm-start", &by_uuid, "on=h1"]);
    for (round, kind) in ["daemon", "libvirt", "had", "daemon", "libvirt"].iter().enumerate() {
        let resident = xe(&["vm-param-get", &by_uuid, "param-name=resident-on"]);
        let from =
            xe(&["host-list", &format!("uuid={resident}"), "params=name-label", "--minimal"]);
        let to = if from == "h1" { "h2" } else { "h1" };
        let victim = if round % 2 == 0 { from.as_str() } else { to };
        // Asked on the host that stays whole; refused or done, both are fine.
        let asked = if victim == "h1" { "h2" } else { "h1" };
        std::thread::scope(|scope| {
            scope.spawn(|| lab.xe(asked, &["vm-migrate", &by_uuid, &format!("host={to}")]));
            lab.ok(&["fail", victim, kind, "once"]);
        });
        within("the guest runs on one host and nothing is left", Duration::from_secs(60), || {
            let running = ["h1", "h2"]
                .iter()
                .filter(|host| lab.try_ok(&["exec", host, "--", "pgrep", "qemu-system"]).is_ok())
                .count();
            let busy =
                lab.xe("h1", &["vm-param-get", &by_uuid, "param-name=current-operations"])?;
            let tasks = lab.xe("h1", &["task-list", "--minimal"])?;
            let power = lab.xe("h1", &["vm-param-get", &by_uuid, "param-name=power-state"])?;
            if running == 1 && busy.is_empty() && tasks.is_empty() && power == "running" {
                return Ok(());
            }
            Err(format!(
                "{kind} on {victim}: {running} run, {power}, busy {busy:?}, tasks {tasks:?}"
            ))
        });
    }
    xe(&["vm-shutdown", &by_uuid, "force=true"]);
}
