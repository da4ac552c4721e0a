//! The program in a real pool: three hosts in namespaces, their daemons, databases and networks (`holdfast-lab`).
//!
//! Needs root, libvirt and the product's programs beside `xe` (or in `HOLDFAST_BIN`); says so where they are missing and
//! proves nothing then. Each test brings its own lab up and takes it down whatever happens.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A lab that is taken down when it goes out of scope.
struct Lab {
    bin: PathBuf,
    name: String,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.command(&["down"]);
    }
}

impl Lab {
    /// Brings hosts up and makes one pool of them; `None` where that cannot be.
    fn up(word: &str, hosts: u32) -> Option<Self> {
        let own = Path::new(env!("CARGO_BIN_EXE_xe")).parent().expect("a directory").to_owned();
        let bin = std::env::var_os("HOLDFAST_BIN").map_or(own, PathBuf::from);
        let programs = ["holdfast-lab", "holdfastd", "holdfast-had", "xe"];
        let missing: Vec<_> = programs.iter().filter(|p| !bin.join(p).is_file()).copied().collect();
        let root = nix::unistd::geteuid().is_root();
        if !root || !missing.is_empty() || !Path::new("/usr/sbin/libvirtd").exists() {
            let text = format!("not proved here: needs root, libvirt and {}\n", missing.join(", "));
            let _ = std::io::stderr().write_all(text.as_bytes());
            return None;
        }
        let lab = Self { bin, name: format!("xe{}-{word}", std::process::id()) };
        let up = lab.command(&["up", "--hosts", &hosts.to_string()]);
        assert!(up.status.success(), "{}", text(&up.stderr));
        Some(lab)
    }

    #[expect(clippy::disallowed_methods, reason = "the lab is a program")]
    fn command(&self, arguments: &[&str]) -> Output {
        Command::new(self.bin.join("holdfast-lab"))
            .args(["--name", &self.name])
            .args(arguments)
            .env("HOLDFAST_BIN", &self.bin)
            .output()
            .expect("the lab's program starts")
    }

    /// Runs `xe` inside a host.
    fn xe(&self, host: &str, arguments: &[&str]) -> Output {
        let mut all = vec!["exec", host, "--", "xe"];
        all.extend(arguments);
        self.command(&all)
    }

    /// What `xe` printed inside a host; it must end well.
    fn said(&self, host: &str, arguments: &[&str]) -> String {
        let output = self.xe(host, arguments);
        assert!(output.status.success(), "xe {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).trim_end_matches('\n').to_owned()
    }

    /// Runs `xe` in a place of the lab's network with no host in it.
    fn client(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["client", "--", "xe"];
        all.extend(arguments);
        self.command(&all)
    }

    /// Repeats until it holds; the state of a pool takes a moment to be known everywhere.
    fn eventually(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds(self) {
            assert!(Instant::now() < end, "{what}: not within a minute");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// proves: S0-35 (lab), S2-35 (lab), S2-44 (lab), S2-50 (lab), S2-54 (lab)
#[test]
fn the_commands_of_the_recipes_work_in_a_pool() {
    let Some(lab) = Lab::up("recipes", 3) else { return };
    names_are_kept_whole(&lab);
    pbds_are_created_and_plugged(&lab);
    this_host_is_localhost(&lab);
    pasted_and_half_commands_do_nothing(&lab);
    completion_names_what_is_there(&lab);
    every_shell_completes(&lab, "h1");
    // Without a coordinator and without quorum, from what the host knows.
    for host in ["h2", "h3"] {
        let cut = lab.command(&["fail", host, "power"]);
        assert!(cut.status.success(), "{}", text(&cut.stderr));
    }
    lab.eventually("h1 notices that it is alone", |lab| {
        lab.xe("h1", &["host-is-in-emergency-mode"]).stdout == b"true\n"
    });
    completion_names_what_is_there(&lab);
    every_shell_completes(&lab, "h1");
}

fn names_are_kept_whole(lab: &Lab) {
    let long = "x".repeat(255);
    for name in ["Local Storage", "a \"b\" 'c' \\ d", "été – 💾", long.as_str()] {
        let uuid = lab.said("h1", &["network-create", &format!("name-label={name}")]);
        for host in ["h1", "h2", "h3"] {
            lab.eventually("the name is known", |lab| {
                lab.xe(
                    host,
                    &["network-param-get", &format!("uuid={uuid}"), "param-name=name-label"],
                )
                .stdout
                    == format!("{name}\n").as_bytes()
            });
        }
        let found = lab.said("h1", &["network-list", "--minimal", &format!("name-label={name}")]);
        assert_eq!(found, uuid);
        lab.said("h1", &["network-destroy", &format!("uuid={uuid}")]);
    }
}

fn pbds_are_created_and_plugged(lab: &Lab) {
    let host = lab.said("h2", &["host-list", "--minimal", "name-label=h2"]);
    let sr = lab.said("h2", &["sr-list", "--minimal", "name-label=local h2"]);
    let old = lab.said("h2", &["pbd-list", "--minimal", &format!("sr-uuid={sr}")]);
    lab.said("h2", &["pbd-unplug", &format!("uuid={old}")]);
    lab.said("h2", &["pbd-destroy", &format!("uuid={old}")]);
    let new = lab.said(
        "h2",
        &[
            "pbd-create",
            &format!("sr-uuid={sr}"),
            "device-config:location=/srv/local",
            &format!("host-uuid={host}"),
        ],
    );
    assert_ne!(new, old);
    lab.said("h2", &["pbd-plug", &format!("uuid={new}")]);
    let plugged =
        lab.said("h2", &["pbd-param-get", &format!("uuid={new}"), "param-name=currently-attached"]);
    assert_eq!(plugged, "true");
}

fn this_host_is_localhost(lab: &Lab) {
    let master =
        |lab: &Lab, host: &str| lab.said(host, &["pool-list", "--minimal", "params=master"]);
    let h3 = lab.said("h3", &["host-list", "--minimal", "name-label=h3"]);
    lab.said("h3", &["pool-designate-new-master", "host=localhost"]);
    lab.eventually("h3 leads", |lab| master(lab, "h1") == h3);
    let h1 = lab.said("h1", &["host-list", "--minimal", "name-label=h1"]);
    lab.said("h2", &["pool-designate-new-coordinator", "host=h1"]);
    lab.eventually("h1 leads", |lab| master(lab, "h3") == h1);
}

fn pasted_and_half_commands_do_nothing(lab: &Lab) {
    let before = lab.said("h1", &["sr-list", "--minimal"]);
    for (arguments, hint) in [
        (
            &["sr-create", "type=file", "name-label=“Local", "storage”"][..],
            "name-label=\"Local storage\"",
        ),
        (&["sr-create", "type=file", "name-label=x", "–shared"][..], "--shared"),
        (&["sr-create\u{a0}type=file", "name-label=x"][..], "xe sr-create type=file"),
    ] {
        let output = lab.xe("h1", arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(hint), "{}", text(&output.stderr));
    }
    let half = lab.xe("h1", &["patch-apply", "uuid=0850b186-4d47-11e3-a720-001b2151a503"]);
    assert_eq!(half.status.code(), Some(2));
    assert!(text(&half.stderr).starts_with("Required parameter not found: host-uuid\n"));
    assert_eq!(lab.said("h1", &["sr-list", "--minimal"]), before);
}

/// In the shells that people use, inside a host: commands, parameters, and values in the middle of a line that was pasted,
/// with the objects' names beside their uuids.
fn every_shell_completes(lab: &Lab, host: &str) {
    let h2 = lab.said(host, &["host-list", "--minimal", "name-label=h2"]);
    let typed = |shell: &str, script: &str| {
        // With a limit of its own: a shell that waits for a key would wait for ever.
        let output = lab.command(&["exec", host, "--", "timeout", "30", shell, "-c", script]);
        assert!(output.status.success(), "{shell}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let bash = |before: &str, after: &str| {
        let script = format!(
            "eval \"$(xe completion bash)\"; before='{before}'; COMP_LINE=\"$before{after}\"; \
             COMP_POINT=${{#before}}; compopt() {{ :; }}; _xe; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        typed("bash", &script)
    };
    assert_eq!(bash("xe vm-sta", ""), "vm-start\n");
    assert_eq!(bash("xe pbd-create sr-uuid=x ho", ""), "host-uuid=\n");
    let line = ("xe patch-apply host-uuid=", " uuid=0850b186-4d47-11e3-a720-001b2151a503");
    let offered = bash(line.0, line.1);
    assert!(offered.contains(&format!("{h2}  (h2)")), "{offered}");

    let fish =
        |line: &str| typed("fish", &format!("xe completion fish | source; complete -C '{line}'"));
    assert!(fish("xe vm-sta").contains("vm-start"));
    assert!(fish("xe pbd-create sr-uuid=x ho").contains("host-uuid="));
    let offered = fish(line.0);
    assert!(offered.contains(&format!("host-uuid={h2}\th2")), "{offered}");

    // zsh completes only for somebody who types, so somebody does: in a terminal of its own.
    let zsh = |line: &str, seen: &str| {
        let script = format!(
            "zmodload zsh/zpty; zpty z zsh -f -i; \
             zpty -w z 'autoload -Uz compinit; compinit -D -u; source <(xe completion zsh); echo rea\"\"dy'; \
             zpty -r -m z out '*ready*' || exit 1; zpty -w -n z $'{line}\\t'; \
             zpty -r -m z out '*{seen}*' || exit 2; print -r -- \"$out\"; zpty -d z"
        );
        typed("zsh", &script)
    };
    zsh("xe vm-sta", "vm-start");
    zsh("xe pbd-create sr-uuid=x ho", "host-uuid=");
    let offered = zsh(line.0, "-- h2");
    assert!(offered.contains(&h2), "{offered}");
}

fn completion_names_what_is_there(lab: &Lab) {
    let h2 = lab.said("h1", &["host-list", "--minimal", "name-label=h2"]);
    let offered = lab.said("h1", &["__complete", "--", "patch-apply", "host-uuid="]);
    assert!(offered.contains(&format!("host-uuid={h2}\th2")), "{offered}");
    // Three tries: the machine is shared, and one slow answer says nothing.
    let fastest = (0..3)
        .map(|_| {
            let start = Instant::now();
            lab.said("h1", &["__complete", "--", "vm-start", "uuid="]);
            start.elapsed()
        })
        .min()
        .expect("three tries");
    assert!(fastest < Duration::from_millis(300), "{fastest:?}");
}

/// proves: S2-5 (lab), S2-6 (lab)
#[test]
fn reads_are_bounded_and_clients_find_a_survivor_when_the_coordinator_is_cut_off() {
    let Some(lab) = Lab::up("faults", 3) else { return };
    let before = lab.client(&["host-list", "--minimal"]);
    assert!(before.status.success(), "{}", text(&before.stderr));
    let cut = lab.command(&["fail", "h1", "cable"]);
    assert!(cut.status.success(), "{}", text(&cut.stderr));

    // On the host that is cut off, and on the others: every read ends, and soon.
    for host in ["h1", "h2", "h3"] {
        for list in ["pool-list", "host-list", "vm-list", "sr-list"] {
            let start = Instant::now();
            let output = lab.xe(host, &[list, "--minimal", "--timeout", "20"]);
            assert!(output.status.success(), "{list} on {host}: {}", text(&output.stderr));
            assert!(start.elapsed() < Duration::from_secs(20), "{list} on {host}");
        }
    }
    // A client that asks the silent host alone is told so by an exit code of its own.
    let start = Instant::now();
    let alone = lab.command(&[
        "client",
        "--",
        "env",
        "HOLDFAST_HOSTS=",
        "HOME=/nonexistent",
        "xe",
        "-s",
        "10.90.0.1",
        "--timeout",
        "5",
        "pool-list",
    ]);
    assert!(matches!(alone.status.code(), Some(4 | 5)), "{}", text(&alone.stderr));
    assert!(start.elapsed() < Duration::from_secs(15));
    // One that knows the pool finds a survivor.
    let start = Instant::now();
    let found = lab.client(&["host-list", "--minimal"]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    assert_eq!(found.stdout, before.stdout);
    assert!(start.elapsed() < Duration::from_secs(30));
    // Completion needs no coordinator.
    let offered = lab.said("h1", &["__complete", "--", "host-disable", "uuid="]);
    assert!(offered.contains("\th2"), "{offered}");
    // A call that waits says for what, and not among the data.
    let frozen = lab.command(&["fail", "h2", "daemon-freeze"]);
    assert!(frozen.status.success(), "{}", text(&frozen.stderr));
    let waiting = lab.xe("h2", &["pool-list", "--timeout", "4"]);
    assert_eq!(waiting.status.code(), Some(5), "{}", text(&waiting.stderr));
    assert!(text(&waiting.stderr).contains("since 2 s"), "{}", text(&waiting.stderr));
    assert!(waiting.stdout.is_empty());
}
