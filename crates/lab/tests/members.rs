//! The life of a dead member between real hosts: its power is cut, the pool recovers from it, it is switched on again, it is
//! forgotten, it comes back and rejoins, it is forgotten again and leaves. Its local data is there all the time.
//!
//! Needs root, libvirt, etcd and the programs beside `holdfast-lab` (`cargo build --workspace`); where one is missing the
//! test says so and proves nothing.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);
const OFF: &str = "confirm=h3 is powered off";

struct Lab(String);

impl Lab {
    fn new() -> Option<Self> {
        let beside = Path::new(env!("CARGO_BIN_EXE_holdfast-lab")).with_file_name("");
        let missing: Vec<_> = ["holdfastd", "holdfast-had", "xe", "fence_lab"]
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
        Some(Self(format!("t{}-dead", std::process::id())))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        lab::process::command(env!("CARGO_BIN_EXE_holdfast-lab"))
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
            let out = String::from_utf8_lossy(&done.stdout);
            Err(format!("{arguments:?}: {out}{}", String::from_utf8_lossy(&done.stderr)))
        }
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.try_ok(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_xe(&self, host: &str, arguments: &[&str]) -> Result<String, String> {
        let mut all = vec!["exec", host, "--", "xe"];
        all.extend(arguments);
        self.try_ok(&all)
    }

    fn xe(&self, arguments: &[&str]) -> String {
        self.try_xe("h1", arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(&self, arguments: &[&str]) -> String {
        match self.try_xe("h1", arguments) {
            Ok(done) => panic!("{arguments:?} should have been refused, gave {done}"),
            Err(error) => error,
        }
    }

    /// Runs a line of the shell inside a host; what it wrote to both streams.
    fn shell(&self, host: &str, line: &str) -> String {
        let done = self.run(&["exec", host, "--", "sh", "-c", line]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&done.stdout) + &text(&done.stderr)
    }

    fn power_state(&self, vm: &str) -> String {
        self.xe(&["vm-param-get", &format!("uuid={vm}"), "param-name=power-state"])
    }

    /// A field of a record that `xe host-liveness` prints.
    fn liveness(&self, host: &str, field: &str) -> String {
        let text = self.xe(&["host-liveness", &format!("uuid={host}"), "--output", "json"]);
        let known: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        known[0][field].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("HOLDFAST_KEEP_LAB").is_some() {
            return;
        }
        let _ = self.run(&["down"]);
    }
}

fn within<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(start.elapsed() < LIMIT, "{what}: {why}"),
        }
    }
}

fn is(wanted: &str, seen: String) -> Result<(), String> {
    if seen == wanted { Ok(()) } else { Err(format!("{seen:?} instead of {wanted:?}")) }
}

/// Seconds of silence after which a host counts as dead here.
const DEAD_AFTER: i64 = 20;

/// A VM of 64 MiB with a disk on the shared repository, running on h3.
fn vm_on_h3(lab: &Lab, name: &str, order: &str) -> String {
    let sr = lab.xe(&["sr-list", "name-label=shared", "--minimal"]);
    let label = format!("new-name-label={name}");
    let sr_uuid = format!("sr-uuid={sr}");
    let vm = lab.xe(&["vm-install", "template=Other install media", &label, &sr_uuid]);
    let (by_uuid, of_vm) = (format!("uuid={vm}"), format!("vm-uuid={vm}"));
    let memory = (64 << 20).to_string();
    let limits = ["static-min", "dynamic-min", "dynamic-max", "static-max"];
    let limits = limits.map(|limit| format!("{limit}={memory}"));
    let mut set = vec!["vm-memory-limits-set", &by_uuid];
    set.extend(limits.iter().map(String::as_str));
    lab.xe(&set);
    let disk = ["vdi-create", "name-label=disk", "virtual-size=64MiB", "type=user", &sr_uuid];
    let vdi = format!("vdi-uuid={}", lab.xe(&disk));
    let vbd = ["vbd-create", "device=0", "bootable=true", "mode=RW", "type=Disk", &of_vm, &vdi];
    lab.xe(&vbd);
    lab.xe(&["vm-param-set", &by_uuid, &format!("order={order}")]);
    lab.xe(&["vm-start", &by_uuid, "on=h3"]);
    vm
}

fn where_is(lab: &Lab, vm: &str) -> String {
    let by_uuid = format!("uuid={vm}");
    let host = lab.xe(&["vm-param-get", &by_uuid, "param-name=resident-on"]);
    lab.xe(&["host-list", &format!("uuid={host}"), "params=name-label", "--minimal"])
}

/// proves: S1-1 (lab), S1-2 (lab), S1-3 (lab), S1-4 (lab), S1-6 (lab), S1-9 (lab), S1-13 (lab), S1-14 (lab)
///
/// proves: S2-12 (lab), S2-23 (lab), S2-30 (lab), S2-31 (lab)
#[test]
fn a_dead_member_is_recovered_from_forgotten_rejoins_and_leaves() {
    let Some(lab) = Lab::new() else { return };
    lab.ok(&["up", "--hosts", "3"]);
    let h3 = lab.xe(&["host-list", "name-label=h3", "--minimal"]);
    let by_uuid = format!("uuid={h3}");
    let (web, db) = (vm_on_h3(&lab, "web", "2"), vm_on_h3(&lab, "db", "1"));
    let local = lab.xe(&["sr-list", "name-label=local h3", "--minimal"]);
    let kept = ["vdi-create", "name-label=kept", "virtual-size=16MiB", "type=user"];
    let kept = lab.xe(&[&kept[..], &[&format!("sr-uuid={local}")]].concat());
    let file = format!("/srv/local/{kept}.qcow2");
    let written = lab.shell("h3", &format!("qemu-io -c 'write -P 0x5a 1M 8M' {file}"));
    assert!(written.contains("wrote 8388608/8388608"), "{written}");
    let is_intact = || {
        let read = lab.shell("h3", &format!("qemu-io -r -c 'read -P 0x5a 1M 8M' {file}"));
        let same = read.contains("read 8388608/8388608") && !read.contains("failed");
        if same { Ok(()) } else { Err(read) }
    };

    // It runs: nobody's word counts, and switching it on says so at once.
    let live = lab.refused(&["host-forget", &by_uuid, OFF]);
    assert!(live.contains("alive"), "{live}");
    let live = lab.refused(&["host-recover", &by_uuid, OFF]);
    assert!(live.contains("renews its lease"), "{live}");
    let reset = format!("vm={web}");
    for words in [&["--force"][..], &["--force", OFF][..]] {
        lab.refused(&[&["vm-reset-powerstate", &reset][..], words].concat());
        assert_eq!(lab.power_state(&web), "running", "its host is alive");
    }
    let asked = lab.shell("h1", &format!("xe vm-reset-powerstate {reset}"));
    assert!(asked.contains("Host 'h3'") && asked.contains("is live"), "{asked}");
    // Nor does it help that its daemon is dead: it renews its lease.
    lab.ok(&["fail", "h3", "daemon"]);
    lab.refused(&["host-forget", &by_uuid, OFF]);
    lab.refused(&["host-forget", &by_uuid, "--force"]);
    lab.ok(&["heal", "h3", "daemon"]);
    within("its daemon is back", || lab.try_xe("h3", &["vm-list", "--minimal"]));
    let mode = ["power-on-mode=fence_lab", "power-on-config:plug=h3"];
    lab.xe(&[&["host-set-power-on-mode", &by_uuid][..], &mode].concat());
    let runs = lab.refused(&["host-power-on", &by_uuid]);
    assert!(runs.contains("is running, reachable by"), "{runs}");
    let pool = format!("uuid={}", lab.xe(&["pool-list", "--minimal"]));
    lab.xe(&["pool-param-set", &pool, "other-config:holdfast:host_dead_after=20"]);

    // Its cable is out: late. Put back, it is live again with no command, and its VMs never stopped.
    lab.ok(&["fail", "h3", "cable"]);
    within("the host is late", || is("late", lab.liveness(&h3, "state")));
    lab.ok(&["heal", "h3", "cable"]);
    within("the host is live again", || is("live", lab.liveness(&h3, "state")));
    for vm in [&web, &db] {
        assert_eq!((lab.power_state(vm).as_str(), where_is(&lab, vm).as_str()), ("running", "h3"));
    }

    // Power cut: late, then dead; its VMs are unknown in our view and running in XenAPI's.
    lab.ok(&["fail", "h3", "power"]);
    within("the host is late", || is("late", lab.liveness(&h3, "state")));
    assert!(lab.liveness(&h3, "VMs").contains("state unknown since"), "VMs of a silent host");
    assert_eq!(lab.power_state(&web), "running");
    let seconds = |field: &str| lab.liveness(&h3, field).parse::<i64>();
    let left = seconds("counts as dead in (s)").expect("the count-down is shown");
    assert!((0..=DEAD_AFTER).contains(&left), "{left} s left");
    within("the warning", || {
        let warned = lab.xe(&["message-list", "name=HOLDFAST_HOST_LATE", "params=body"]);
        if warned.contains("h3") { Ok(()) } else { Err(warned) }
    });
    within("the host counts as dead", || is("dead", lab.liveness(&h3, "state")));
    let silent = seconds("silent for (s)").expect("since when it is silent");
    assert!((DEAD_AFTER..DEAD_AFTER + 15).contains(&silent), "dead after {silent} s of silence");

    // The dry run changes nothing and names everything; the power device is the proof.
    let plan = lab.xe(&["host-recover", &by_uuid, "--dry-run"]);
    for part in ["read back off", "'web'", "'db'", "order 1", "order 2"] {
        assert!(plan.contains(part), "{part} missing in {plan}");
    }
    assert_eq!(lab.power_state(&web), "running", "a dry run changes nothing");
    let report = lab.xe(&["host-recover", &by_uuid, "--force"]);
    assert!(report.contains("2 started, 0 failed"), "{report}");
    for vm in [&web, &db] {
        assert_ne!(where_is(&lab, vm), "h3");
    }

    // Switched on, it is back with no further command.
    let said = lab.shell("h1", &format!("xe host-power-on {by_uuid}"));
    assert!(said.contains("power: on; boot: under way"), "{said}");
    assert!(said.contains("boot: done; daemon: answers; pool: joined"), "{said}");
    assert_eq!(lab.liveness(&h3, "state"), "live");
    within("it takes VMs again", || {
        is("true", lab.xe(&["host-param-get", &by_uuid, "param-name=enabled"]))
    });

    // A word about a VM, and about what is on the host, where somebody is about to harm it.
    let app = vm_on_h3(&lab, "app", "3");
    // Without a power device it takes a person's word to forget it.
    lab.xe(&["host-set-power-on-mode", &by_uuid, "power-on-mode="]);
    lab.ok(&["fail", "h3", "power"]);
    within("the host is late", || match lab.liveness(&h3, "state") {
        state if state != "live" => Ok(()),
        state => Err(state),
    });
    for command in ["host-forget", "host-declare-dead"] {
        let asked = lab.shell("h1", &format!("echo no | xe {command} {by_uuid}"));
        for part in ["WARNING", "Host 'h3'", "is late since", "VM 'app'", "state unknown since"] {
            assert!(asked.contains(part), "{part} missing in {asked}");
        }
    }
    let refused = lab.refused(&["host-forget", &by_uuid, "--force"]);
    assert!(
        refused.contains("nothing proves") && refused.contains("h3 is powered off"),
        "{refused}"
    );
    assert_eq!(lab.power_state(&app), "running");
    within("its grace is over", || lab.try_xe("h1", &["host-forget", &by_uuid, OFF]));
    assert_eq!(lab.xe(&["host-list", "--minimal"]).split(',').count(), 2);
    assert_eq!(lab.power_state(&app), "halted");
    lab.xe(&["vm-start", &format!("uuid={app}")]);
    assert_ne!(where_is(&lab, &app), "h3");

    // Back: it finds out by itself, keeps still, and rejoins with its data.
    lab.ok(&["heal", "h3", "power"]);
    let standing = || {
        let text = lab.try_xe("h3", &["host-standing", "--output", "json"])?;
        let known: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        Ok::<_, String>(known["standing"].as_str().unwrap_or_default().to_owned())
    };
    within("it knows that it was forgotten", || is("forgotten", standing()?));
    let still = lab.try_xe("h3", &["vm-start", &format!("uuid={web}")]).expect_err("keeps still");
    assert!(!still.is_empty());
    within("it rejoins", || lab.try_xe("h3", &["host-rejoin"]));
    within("it is a member", || is("live", lab.liveness(&h3, "state")));
    let disk = lab.xe(&["vdi-list", &format!("uuid={kept}"), "params=name-label", "--minimal"]);
    assert_eq!(disk, "kept");
    within("its local repository is connected", || {
        let sr = format!("sr-uuid={local}");
        is("true", lab.xe(&["pbd-list", &sr, "params=currently-attached", "--minimal"]))
    });

    within("its disk is what it was", is_intact);

    // Forgotten once more, it leaves: nobody over there is asked, its cable is out.
    lab.ok(&["fail", "h3", "power"]);
    within("forgotten again", || lab.try_xe("h1", &["host-forget", &by_uuid, OFF]));
    lab.ok(&["heal", "h3", "power"]);
    within("it knows that it was forgotten", || is("forgotten", standing()?));
    lab.ok(&["fail", "h3", "cable"]);
    within("it leaves", || lab.try_xe("h3", &["host-leave"]));
    within("a pool of one", || {
        is(&h3, lab.try_xe("h3", &["host-list", "enabled=true", "--minimal"])?)?;
        is("kept", lab.try_xe("h3", &["vdi-list", "params=name-label", "--minimal"])?)
    });
    within("its disk is what it was", is_intact);
    lab.ok(&["heal", "h3", "cable"]);
    assert_eq!(lab.xe(&["host-list", "--minimal"]).split(',').count(), 2);
    lab.ok(&["down"]);
}
