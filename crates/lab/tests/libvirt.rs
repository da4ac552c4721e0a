//! What a libvirt daemon leaves that is killed at the worst moment, on a real host.
//!
//! Needs root, libvirt and the programs beside `holdfast-lab` (`cargo build --workspace`); where one is missing the test
//! says so and proves nothing.

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
        Some(Self(format!("t{}-ghost", std::process::id())))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_holdfast-lab"))
            .args(["--name", &self.0])
            .args(arguments)
            .output()
            .expect("holdfast-lab was built with this test")
    }

    fn try_in_h1(&self, command: &[&str]) -> Result<String, String> {
        let done = self.run(&[&["exec", "h1", "--"], command].concat());
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
        } else {
            Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)))
        }
    }

    fn in_h1(&self, command: &[&str]) -> String {
        self.try_in_h1(command).unwrap_or_else(|error| panic!("{error}"))
    }

    fn vm(&self, label: &str) -> String {
        let label = format!("new-name-label={label}");
        let vm = self.in_h1(&["xe", "vm-install", "template=Other install media", &label]);
        let memory = ["static-min", "dynamic-min", "dynamic-max", "static-max"];
        let limits = memory.map(|limit| format!("{limit}=33554432"));
        let of = format!("uuid={vm}");
        let mut set = vec!["xe", "vm-memory-limits-set", &of];
        set.extend(limits.iter().map(String::as_str));
        self.in_h1(&set);
        vm
    }

    fn domains(&self) -> Result<String, String> {
        self.try_in_h1(&["virsh", "--connect", "qemu:///system", "list", "--all", "--name"])
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
    }
}

fn within(what: &str, look: impl Fn() -> Result<bool, String>) {
    let start = Instant::now();
    loop {
        let seen = look();
        if seen == Ok(true) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(90), "{what}: {seen:?}");
    }
}

/// The status file of a guest that was being started when the daemon was killed: no process yet, a job that nobody ends.
/// Found by a soak: libvirt 9 then can neither stop nor start nor forget the domain, and neither could its VM's start be
/// taken back.
#[test]
fn a_domain_whose_process_never_was_goes_and_its_vm_starts_again() {
    const GHOST: &str = "
        cd /run/libvirt/qemu && sed -e \"s/$1/$2/g\" -e \"s/pid='[0-9]*'/pid='0'/\" -e \"s/domain id='[0-9]*'/domain id='77'/\" \
            -e \"s/<domstatus state='[a-z]*' reason='[a-z ]*'/<domstatus state='paused' reason='starting up'/\" \
            -e '/<job /d' -e \"s/^  <domain /  <job type='none' async='start' flags='0x1'\\/>\\n  <domain /\" \
            hf-$1.xml > hf-$2.xml.new && mv hf-$2.xml.new hf-$2.xml && kill -9 $(cat driver.pid)";
    let Some(lab) = Lab::new() else { return };
    let up = lab.run(&["up", "--hosts", "1"]);
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    let (runs, halted) = (lab.vm("runs"), lab.vm("halted"));
    lab.in_h1(&["xe", "vm-start", &format!("uuid={runs}")]);
    let process = lab.in_h1(&["pgrep", "-f", &format!("guest=hf-{runs}")]);
    // With the daemon away the ghost stays as long as we want to look at it.
    let failed = lab.run(&["fail", "h1", "daemon"]);
    assert!(failed.status.success(), "{}", String::from_utf8_lossy(&failed.stderr));
    lab.in_h1(&["sh", "-c", GHOST, "ghost", &runs, &halted]);
    within("libvirt believes in it", || Ok(lab.domains()?.contains(&halted)));
    let healed = lab.run(&["heal", "h1", "daemon"]);
    assert!(healed.status.success(), "{}", String::from_utf8_lossy(&healed.stderr));
    within("it goes", || lab.domains().map(|domains| !domains.contains(&halted)));
    within("its VM starts", || {
        lab.try_in_h1(&["xe", "vm-start", &format!("uuid={halted}")]).map(|_| true)
    });
    assert_eq!(lab.in_h1(&["pgrep", "-f", &format!("guest=hf-{runs}")]), process);
}
