//! A lab of hosts that run libvirt only: namespaces, faults and what is left afterwards, on the real machine.
//!
//! These need root, libvirt and etcd-free minutes of nobody's network; where root is missing they say so and prove
//! nothing. What a *pool* does in a lab is tested with the pool, not here.

#![expect(clippy::disallowed_methods, reason = "the program under test is started by its test")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A lab that is taken down even if the test fails.
struct Lab(String);

impl Lab {
    fn new(purpose: &str) -> Option<Self> {
        let usable = nix::unistd::geteuid().is_root() && Path::new("/usr/sbin/libvirtd").exists();
        if !usable {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                b"not proved here: needs root and libvirt\n",
            );
            return None;
        }
        let lab = Self(format!("t{}-{purpose}", std::process::id()));
        assert!(!lab.traces().is_empty() || lab.ok(&["down"]).is_empty());
        Some(lab)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-lab"));
        command.args(["--name", &self.0]).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("holdfast-lab was built with this test")
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["status", "--output", "json"])).expect("status is JSON")
    }

    fn state(&self, host: usize) -> String {
        self.status()["hosts"][host]["state"].as_str().expect("every host has a state").to_owned()
    }

    fn reaches(&self, from: &str, address: &str) -> bool {
        self.run(&["exec", from, "--", "busybox", "ping", "-c", "1", "-W", "1", address])
            .status
            .success()
    }

    /// Whatever of this lab can be seen on the machine: processes, mounts, directories, control groups.
    fn traces(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
        let of_lab = format!("holdfast-lab/{}/", self.0);
        found.extend(mounts.lines().filter(|l| l.contains(&of_lab)).map(str::to_owned));
        for root in ["/run", "/var/tmp", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let dir = Path::new(root).join("holdfast-lab").join(&self.0);
            if dir.exists() {
                found.push(dir.display().to_string());
            }
        }
        for entry in std::fs::read_dir("/proc").expect("/proc is mounted").flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let mut words = line.split(|b| *b == 0);
            if words.any(|w| w == self.0.as_bytes()) {
                found.push(String::from_utf8_lossy(&line).replace('\0', " "));
            }
        }
        found
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::yield_now();
    }
}

/// proves: S4-43 (lab), S4-118 (lab)
#[test]
fn a_lab_comes_up_breaks_heals_and_leaves_nothing() {
    let Some(lab) = Lab::new("all") else { return };
    lab.ok(&["up", "--bare", "--hosts", "2", "--lenient-power"]);
    assert_eq!((lab.state(0).as_str(), lab.state(1).as_str()), ("up", "up"));
    assert!(lab.reaches("h1", "10.90.0.2"));
    assert_eq!(lab.ok(&["exec", "h2", "--", "hostname"]), "h2\n");
    assert_eq!(lab.run(&["exec", "h1", "--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    let hosts = lab.ok(&["client", "--", "sh", "-c", "echo $HOLDFAST_HOSTS"]);
    assert_eq!(hosts, "10.90.0.1,10.90.0.2\n");

    for direction in ["in", "out", "both"] {
        lab.ok(&["fail", "h2", "cable", direction]);
        assert!(!lab.reaches("h1", "10.90.0.2"), "{direction}");
        lab.ok(&["heal", "h2", "cable"]);
        eventually("the healed cable carries frames", || lab.reaches("h1", "10.90.0.2"));
    }
    lab.ok(&["fail", "-", "switch"]);
    assert!(!lab.reaches("h1", "10.90.0.2"));
    lab.ok(&["heal", "-"]);
    eventually("the healed switch carries frames", || lab.reaches("h1", "10.90.0.2"));

    let boot_id = ["exec", "h1", "--", "cat", "/proc/sys/kernel/random/boot_id"];
    let first_boot = lab.ok(&boot_id);
    lab.ok(&[
        "exec",
        "h1",
        "--",
        "sh",
        "-c",
        "echo kept > /var/lib/holdfast/x; echo lost > /run/x",
    ]);
    lab.ok(&["fail", "h1", "power"]);
    assert_eq!(lab.state(0), "off");
    assert!(!lab.run(&["exec", "h1", "--", "true"]).status.success());
    lab.ok(&["heal", "h1", "power"]);
    assert_eq!(lab.state(0), "up");
    assert_ne!(lab.ok(&boot_id), first_boot);
    assert_eq!(lab.ok(&["exec", "h1", "--", "cat", "/var/lib/holdfast/x"]), "kept\n");
    assert!(!lab.run(&["exec", "h1", "--", "cat", "/run/x"]).status.success());

    lab.ok(&["fail", "h2", "freeze"]);
    assert_eq!(lab.state(1), "frozen");
    lab.ok(&["heal", "h2"]);
    assert_eq!(lab.state(1), "up");

    let pid = |lab: &Lab| lab.status()["hosts"][1]["pids"]["libvirtd"].as_i64();
    let before = pid(&lab).expect("libvirtd runs");
    lab.ok(&["fail", "h2", "libvirt", "once"]);
    eventually("libvirtd is restarted", || pid(&lab).is_some_and(|now| now != before));
    lab.ok(&["fail", "h2", "libvirt"]);
    eventually("libvirtd is held down", || pid(&lab).is_none());
    lab.ok(&["heal", "h2", "libvirt"]);
    eventually("libvirtd is back", || pid(&lab).is_some());

    // A lab may be taken down in any state.
    lab.ok(&["fail", "h1", "freeze"]);
    lab.ok(&["fail", "h2", "power"]);
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
    lab.ok(&["down"]);
}

/// Found by a hundred returns of a coordinator: the button, pressed in the moment in which the machine has gone off, did nothing.
#[test]
fn a_host_that_was_shut_down_from_inside_is_powered_on_in_the_moment_it_is_off() {
    let Some(lab) = Lab::new("halt") else { return };
    lab.ok(&["up", "--bare", "--hosts", "1", "--lenient-power"]);
    for reboot in [false, false, false, true] {
        let told = if reboot { &["halt", "--reboot"][..] } else { &["halt"] };
        // It may end while it is told.
        let _ = lab.run(&[&["exec", "h1", "--", "holdfast-lab"][..], told].concat());
        eventually("the host is off", || reboot || lab.state(0) == "off");
        lab.ok(&["heal", "h1", "power"]);
        eventually("the host is on", || lab.state(0) == "up");
        assert_eq!(lab.status()["faults"], serde_json::json!([]));
        assert_eq!(lab.status()["hosts"][0]["faults"], serde_json::json!([]));
    }
}

#[test]
fn a_strict_power_cut_loses_what_was_not_synced_and_nothing_else() {
    let Some(lab) = Lab::new("strict") else { return };
    lab.ok(&["up", "--bare", "--hosts", "1"]);
    let sh = |script: &str| {
        lab.ok(&["exec", "h1", "--", "sh", "-ec", &format!("cd /var/lib/holdfast; {script}")])
    };
    sh(
        "dd if=/dev/urandom of=synced bs=64k count=9 conv=fsync 2>/dev/null; sha256sum synced > sum; sync -d sum",
    );
    sh(
        "echo lost > unsynced; mkdir -p a/b; echo x > a/b/moved; mv a/b/moved a/c; rm synced; cat unsynced a/c",
    );
    lab.ok(&["fail", "h1", "power"]);
    lab.ok(&["heal", "h1", "power"]);
    assert_eq!(sh("sha256sum -c sum; ls"), "synced: OK\nsum\nsynced\n");
    assert_eq!(sh("echo kept > new; sync new; mv new newer; sync .; ls"), "newer\nsum\nsynced\n");
    lab.ok(&["fail", "h1", "power"]);
    lab.ok(&["heal", "h1", "power"]);
    assert_eq!(sh("ls; cat newer"), "newer\nsum\nsynced\nkept\n");

    let full = |lab: &Lab| {
        !lab.run(&["exec", "h1", "--", "sh", "-c", "echo more >> /var/lib/holdfast/newer"])
            .status
            .success()
    };
    lab.ok(&["fail", "h1", "disk-full"]);
    eventually("the disk is full", || full(&lab));
    lab.ok(&["heal", "h1", "disk-full"]);
    eventually("the disk has room", || !full(&lab));
    lab.ok(&["fail", "h1", "slow-disk", "300"]);
    eventually("a sync is slow", || {
        let start = Instant::now();
        sh("sync newer");
        start.elapsed() >= Duration::from_millis(300)
    });
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}

#[test]
fn a_lab_whose_start_was_killed_half_way_is_removed_completely() {
    let Some(lab) = Lab::new("half") else { return };
    let mut up = lab
        .command(&["up", "--bare", "--hosts", "3"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("holdfast-lab was built with this test");
    let boot = format!("/run/holdfast-lab/{}/hosts/h2/boot.json", lab.0);
    eventually("the second host is on", || Path::new(&boot).exists());
    up.kill().expect("it is ours");
    up.wait().expect("it was killed");
    assert!(!lab.traces().is_empty());
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}

#[test]
fn two_labs_do_not_see_each_other() {
    let (Some(a), Some(b)) = (Lab::new("a"), Lab::new("b")) else { return };
    a.ok(&["up", "--bare", "--hosts", "1"]);
    b.ok(&["up", "--bare", "--hosts", "2"]);
    assert!(!a.reaches("h1", "10.90.0.2"), "h2 belongs to the other lab");
    a.ok(&["down"]);
    assert_eq!((b.state(0).as_str(), b.state(1).as_str()), ("up", "up"));
    assert!(b.reaches("h1", "10.90.0.2"));
}

/// Writes one block to the shared repository, past the page cache.
fn write_shared(lab: &Lab, host: &str, file: &str) -> Command {
    let to = format!("of=/srv/shared/{file}");
    let mut dd =
        lab.command(&["exec", host, "--", "dd", "if=/dev/zero", &to, "bs=4096", "count=1"]);
    dd.arg("oflag=direct").stdout(Stdio::null()).stderr(Stdio::null());
    dd
}

#[test]
fn a_shared_repository_is_lost_to_one_host_alone_and_full_for_all() {
    let Some(lab) = Lab::new("shared") else { return };
    lab.ok(&["up", "--bare", "--hosts", "2"]);
    lab.ok(&["fail", "h2", "storage"]);
    let mut waits = write_shared(&lab, "h2", "two").spawn().expect("holdfast-lab is built");
    for n in 0..5 {
        let done = write_shared(&lab, "h1", &format!("one{n}")).status().expect("it runs");
        assert!(done.success(), "the other host goes on");
    }
    assert_eq!(waits.try_wait().expect("it is ours"), None, "h2 waits for its repository");
    lab.ok(&["heal", "h2", "storage"]);
    assert!(waits.wait().expect("it is ours").success(), "what waited is done");

    lab.ok(&["fail", "h1", "storage", "full"]);
    for host in ["h1", "h2"] {
        assert!(!write_shared(&lab, host, "more").status().expect("it runs").success(), "{host}");
    }
    lab.ok(&["heal", "h1"]);
    assert!(write_shared(&lab, "h2", "more").status().expect("it runs").success());

    // A host that waits for its repository can lose power all the same, and the lab can be taken down.
    lab.ok(&["fail", "h2", "storage"]);
    let mut waits = write_shared(&lab, "h2", "last").spawn().expect("holdfast-lab is built");
    lab.ok(&["fail", "h2", "power"]);
    assert_eq!(lab.state(1), "off");
    assert!(!waits.wait().expect("it is ours").success(), "it ended with its host");
    lab.ok(&["heal", "h2", "power"]);
    let mut waits = write_shared(&lab, "h2", "late").spawn().expect("holdfast-lab is built");
    lab.ok(&["down"]);
    let _ = waits.wait();
    assert_eq!(lab.traces(), Vec::<String>::new());
}

#[test]
fn a_slow_cable_delays_every_frame_and_loses_none() {
    let Some(lab) = Lab::new("slow") else { return };
    lab.ok(&["up", "--bare", "--hosts", "2"]);
    lab.ok(&["fail", "h2", "slow-net", "150"]);
    let ping = ["exec", "h1", "--", "busybox", "ping", "-c", "1", "-W", "5", "10.90.0.2"];
    let shown = lab.ok(&ping);
    let ms: f64 = shown
        .split("time=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no time in {shown}"));
    assert!(ms >= 300.0, "{ms} ms for both ways");
    // Large segments and checksums that a network card was to make arrive whole.
    // The open FIFO keeps the taker from ending before the giver.
    let take = "mkfifo /run/open; busybox nc -l -p 7000 <> /run/open | sha256sum";
    let taking = lab
        .command(&["exec", "h1", "--", "sh", "-c", take])
        .stdout(Stdio::piped())
        .spawn()
        .expect("holdfast-lab is built");
    let give = "until busybox nc 10.90.0.1 7000 < /run/lab-bin/holdfast-lab; do :; done";
    lab.ok(&["exec", "h2", "--", "sh", "-c", give]);
    let taken = taking.wait_with_output().expect("it is ours");
    let sent = lab.ok(&["exec", "h2", "--", "sha256sum", "/run/lab-bin/holdfast-lab"]);
    let first = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    assert_eq!(first(&String::from_utf8_lossy(&taken.stdout)), first(&sent));
    // It outlives a power cut of the host, and ends when it is healed.
    lab.ok(&["fail", "h2", "power"]);
    lab.ok(&["heal", "h2", "power"]);
    eventually("the host answers again", || lab.run(&ping).status.success());
    assert!(lab.status().to_string().contains("slow-net"));
    lab.ok(&["heal", "h2", "slow-net"]);
    eventually("the cable is fast", || lab.reaches("h1", "10.90.0.2"));
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}
