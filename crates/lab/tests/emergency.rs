//! The coordinator's role and a lost majority, on hosts with cables, power and an operating system that shuts down: what
//! the documents' admins did, command by command, with what should have happened then.
//!
//! Needs root, libvirt, etcd and the programs beside `holdfast-lab` (`cargo build --workspace`); where one is missing the
//! test says so and proves nothing. Limits are generous: eight hosts share the machine's two processors.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

/// Longest wait for anything that should take seconds.
const PATIENCE: Duration = Duration::from_secs(90);

struct Lab(String);

/// What a command printed, and its status.
#[derive(Debug)]
struct Said {
    out: String,
    err: String,
    code: i32,
    took: Duration,
}

impl Lab {
    fn up(purpose: &str, hosts: &str) -> Option<Self> {
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
        let lab = Self(format!("t{}-{purpose}", std::process::id()));
        lab.ok(&["up", "--hosts", hosts]);
        Some(lab)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        lab::process::command(env!("CARGO_BIN_EXE_holdfast-lab"))
            .args(["--name", &self.0])
            .args(arguments)
            .output()
            .expect("holdfast-lab was built with this test")
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    /// One command line of `xe`, as printed in the documents.
    fn xe(&self, host: &str, line: &str) -> Said {
        self.words(host, &line.split(' ').collect::<Vec<_>>())
    }

    /// The same, by its words.
    fn words(&self, host: &str, words: &[&str]) -> Said {
        let start = Instant::now();
        let mut all = vec!["exec", host, "--", "xe"];
        all.extend(words);
        let done = self.run(&all);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Said {
            out: text(&done.stdout),
            err: text(&done.stderr),
            code: done.status.code().unwrap_or(-1),
            took: start.elapsed(),
        }
    }

    fn fine(&self, host: &str, line: &str) -> String {
        let said = self.xe(host, line);
        assert_eq!(said.code, 0, "{host}: xe {line}: {said:?}");
        said.out
    }

    fn uuid(&self, at: &str, host: &str) -> String {
        self.fine(at, &format!("host-list name-label={host} --minimal"))
    }

    fn write(&self, host: &str, value: &str) -> Result<(), String> {
        let pool = self.xe(host, "pool-list --minimal").out;
        let said = self.xe(host, &format!("pool-param-set uuid={pool} other-config:told={value}"));
        if said.code == 0 { Ok(()) } else { Err(format!("{host}: {said:?}")) }
    }

    fn read(&self, host: &str) -> Result<String, String> {
        let pool = self.xe(host, "pool-list --minimal").out;
        let line = format!("pool-param-get uuid={pool} param-name=other-config param-key=told");
        let said = self.xe(host, &line);
        if said.code == 0 { Ok(said.out) } else { Err(format!("{host}: {said:?}")) }
    }

    /// The label of the host that coordinates, as another sees it.
    fn coordinator(&self, at: &str) -> String {
        let uuid = self.xe(at, "pool-list params=master --minimal").out;
        self.xe(at, &format!("host-list uuid={uuid} params=name-label --minimal")).out
    }

    fn emergency(&self, host: &str) -> Said {
        self.xe(host, "host-is-in-emergency-mode")
    }

    fn is_off(&self, host: &str) -> Result<(), String> {
        let status: serde_json::Value =
            serde_json::from_str(&self.ok(&["status", "--output", "json"])).expect("JSON");
        let hosts = status["hosts"].as_array().expect("hosts");
        let found = hosts.iter().find(|h| h["name"] == host).expect("a host of the lab");
        if found["state"] == "off" { Ok(()) } else { Err(found.to_string()) }
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

fn within<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(start.elapsed() < limit, "{what}: {why}"),
        }
    }
}

fn is(expected: &str, seen: String) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err(format!("{seen:?} instead of {expected:?}")) }
}

/// Three hosts: two are cut off by their cables, the third is recovered, and both come back as the majority they were.
///
/// proves: S1-19 (lab), S2-3 (lab), S2-8 (lab), S2-24 (lab), S2-28 (lab), S2-29 (lab)
#[test]
fn a_survivor_of_three_is_recovered_and_the_old_majority_follows_when_it_returns() {
    let Some(lab) = Lab::up("three", "3") else { return };
    assert_eq!(lab.emergency("h1").out, "false");
    assert_eq!(lab.coordinator("h3"), "h1");
    let refused = lab.xe("h1", "pool-emergency-transition-to-master");
    assert!(refused.out.contains("already master"), "{refused:?}");
    let nothing = lab.xe("h1", "pool-emergency-transition-to-master --force");
    assert_eq!(nothing.code, 0, "{nothing:?}");
    assert!(nothing.err.contains("nothing to recover"), "{nothing:?}");
    let refused = lab.xe("h3", "pool-emergency-transition-to-master");
    assert!(refused.code != 0 && refused.err.contains("'h1'"), "{refused:?}");
    lab.write("h1", "before").expect("a healthy pool takes writes");

    // By crash, so that both are off as the person will say.
    for host in ["h1", "h2"] {
        lab.ok(&["fail", host, "power"]);
    }
    let told = within("the emergency is told", Duration::from_secs(30), || {
        let said = lab.emergency("h3");
        if said.out == "true" { Ok(said) } else { Err(format!("{said:?}")) }
    });
    assert!(told.err.contains("since: ") && told.err.contains("'h1'"), "{told:?}");
    let list = lab.xe("h3", "host-list --minimal");
    assert_eq!((list.code, list.out.split(',').count()), (0, 3), "{list:?}");
    assert!(list.err.contains("old"), "the age of the answer: {list:?}");
    assert!(list.took < Duration::from_secs(10), "{list:?}");
    let h2 = lab.uuid("h3", "h2");
    let refused = lab.xe("h3", &format!("host-disable uuid={h2}"));
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(
        refused.err.contains("since: ") && refused.took < Duration::from_secs(10),
        "{refused:?}"
    );

    let refused = lab.xe("h3", "pool-emergency-transition-to-master");
    assert!(refused.code == 1 && refused.err.contains("confirm=\"h1,h2 are off\""), "{refused:?}");
    let dry = lab.xe("h3", "pool-emergency-transition-to-master confirm=h1,h2 --dry-run");
    assert!(dry.code == 0 && dry.err.contains("may be missing"), "{dry:?}");
    let done = lab.xe("h3", "pool-emergency-transition-to-master confirm=h1,h2");
    assert_eq!(
        (done.code, done.out.as_str()),
        (0, "Host agent will transition to master."),
        "{done:?}"
    );
    let followed = lab.xe("h3", "pool-recover-slaves");
    assert_eq!((followed.code, followed.out.as_str()), (0, ""), "{followed:?}");
    assert!(followed.err.contains("(h1)") && followed.err.contains("(h2)"), "{followed:?}");
    lab.write("h3", "after").expect("the survivor takes writes");

    // The survivor goes, the old majority comes: it must not go on.
    lab.ok(&["fail", "h3", "power"]);
    for host in ["h1", "h2"] {
        lab.ok(&["heal", host, "power"]);
    }
    // They share a repository on which the new epoch stands, so they even know why.
    for host in ["h1", "h2"] {
        within("the stale hosts know", PATIENCE, || {
            let said = lab.emergency(host);
            if said.out == "true" && said.err.contains("stale") {
                Ok(())
            } else {
                Err(format!("{said:?}"))
            }
        });
        assert!(lab.write(host, "stale").is_err());
        let refused = lab.xe(host, &format!("host-disable uuid={h2}"));
        assert!(refused.code == 4 && refused.err.contains("stale"), "{refused:?}");
        let join =
            "pool-join force=true master-address=10.90.0.3 master-username=root master-password=x";
        let refused = lab.xe(host, join);
        assert!(refused.code != 0 && refused.took < Duration::from_secs(30), "{refused:?}");
        let refused = lab.xe(host, "pool-recover-slaves");
        assert!(refused.code != 0 && refused.err.contains("'h3'"), "{refused:?}");
        let refused = lab.xe(host, "pool-emergency-transition-to-master confirm=h3");
        assert!(refused.code != 0 && refused.err.contains("'h3'"), "{refused:?}");
        let refused = lab.xe(host, "pool-emergency-reset-master master-address=10.90.0.3");
        assert!(refused.code != 0 && refused.took < Duration::from_secs(30), "{refused:?}");
    }
    lab.ok(&["heal", "h3", "power"]);
    for host in ["h1", "h2", "h3"] {
        within("one pool again", PATIENCE, || {
            is("after", lab.read(host)?)?;
            lab.write(host, "after")
        });
        within("no emergency", PATIENCE, || is("false", lab.emergency(host).out));
    }
    let enabled = lab.fine("h1", &format!("host-param-get uuid={h2} param-name=enabled"));
    assert_eq!(enabled, "true", "the stale side changed nothing");
    let reset = lab.xe("h1", "pool-emergency-reset-master master-address=10.90.0.3");
    assert_eq!(reset.code, 0, "it follows already: {reset:?}");
    assert!(lab.fine("h2", "pool-lineage").contains("recovered-at"));
}

/// The sequence of the second document with its eight hosts, command by command as printed there.
///
/// proves: S1-20 (lab), S2-1 (lab), S2-2 (lab), S2-7 (lab), S2-17 (lab), S2-22 (lab), S2-27 (lab), S2-34 (lab)
///
/// proves: S2-36 (lab), S2-37 (lab), S2-39 (lab)
#[test]
fn the_eight_hosts_of_the_second_document() {
    let Some(lab) = Lab::up("eight", "8") else { return };
    assert_eq!(lab.coordinator("h2"), "h1", "plot1 is the pool master");
    lab.write("h1", "at-the-start").expect("a healthy pool takes writes");

    // "I just ran shut down on the master host": the role is handed over before.
    lab.ok(&["exec", "h1", "--", "holdfast-lab", "halt"]);
    within("writes go on elsewhere", Duration::from_secs(30), || lab.write("h2", "h1-went"));
    within("h1 is off", PATIENCE, || lab.is_off("h1"));
    assert_eq!(lab.emergency("h2").out, "false", "the pool is in no trouble");
    let list = lab.xe("h2", "pool-list");
    assert!(list.code == 0 && list.took < Duration::from_secs(10), "{list:?}");
    let not_needed = lab.xe("h2", "pool-emergency-transition-to-master");
    let leads = lab.coordinator("h2");
    assert_ne!(leads, "h1");
    assert!(
        not_needed.err.contains(&format!("'{leads}'")) || not_needed.out.contains("already master"),
        "it names who leads: {not_needed:?}"
    );
    let followed = lab.xe("h2", "pool-recover-slaves");
    assert_eq!((followed.code, followed.out.lines().count()), (0, 6), "{followed:?}");
    assert!(followed.err.contains("(h1)"), "{followed:?}");

    // "I right click on it and Power On, and hold my breath": no conflict.
    lab.ok(&["heal", "h1", "power"]);
    within("h1 is a member again", PATIENCE, || is("h1-went", lab.read("h1")?));
    within("h1 takes writes", PATIENCE, || lab.write("h1", "h1-is-back"));
    assert_ne!(lab.coordinator("h1"), "h1");

    // "On plot2 (current pool master) I disconnected the ethernet cables."
    let h2 = lab.uuid("h2", "h2");
    lab.fine("h5", &format!("pool-designate-new-master host-uuid={h2}"));
    assert_eq!(lab.coordinator("h3"), "h2");
    lab.ok(&["fail", "h2", "cable"]);
    within("another leads and takes writes", Duration::from_secs(40), || {
        lab.write("h3", "h2-is-cut-off")?;
        if lab.coordinator("h3") == "h2" { Err("still h2".to_owned()) } else { Ok(()) }
    });
    for line in ["pool-list", "host-list"] {
        let said = lab.xe("h3", line);
        assert!(said.code == 0 && said.took < Duration::from_secs(10), "{said:?}");
    }
    let told = within("h2 tells the truth", Duration::from_secs(30), || {
        let said = lab.emergency("h2");
        if said.out == "true" { Ok(said) } else { Err(format!("{said:?}")) }
    });
    assert!(told.err.contains("cable"), "{told:?}");
    assert_eq!(lab.emergency("h3").out, "false");

    // "xe host-disable uuid=xxxxxxxx" and destroying plot7 on the cut-off master: refused, with the reason.
    let h7 = lab.uuid("h3", "h7");
    for line in [format!("host-disable uuid={h7}"), format!("host-forget uuid={h7} --force")] {
        let refused = lab.xe("h2", &line);
        assert!(refused.code != 0 && refused.took < Duration::from_secs(30), "{line}: {refused:?}");
    }
    assert_eq!(lab.fine("h3", &format!("host-param-get uuid={h7} param-name=enabled")), "true");
    // Recruiting from the wrong side: refused.
    assert_eq!(lab.xe("h2", "pool-recover-slaves").code, 4);

    // The cable is put back: h2 is a member, without a command, and nothing of its side has been taken over.
    lab.ok(&["heal", "h2", "cable"]);
    within("h2 follows", PATIENCE, || is("h2-is-cut-off", lab.read("h2")?));
    within("h2's flag clears", PATIENCE, || is("false", lab.emergency("h2").out));
    within("h3 has heard all seven again", PATIENCE, || {
        let recovered = lab.xe("h3", "pool-recover-slaves");
        match (recovered.code, recovered.out.lines().count()) {
            (0, 7) => Ok(()),
            _ => Err(format!("{recovered:?}")),
        }
    });
    assert_eq!(lab.fine("h2", "host-list --minimal").split(',').count(), 8, "h7 is still there");

    // "Promoting": with a host down, from the host itself, five times at once.
    lab.ok(&["fail", "h5", "power"]);
    let before = lab.fine("h4", "host-list --minimal").split(',').count();
    let askers: Vec<Said> = std::thread::scope(|scope| {
        let ask = || lab.xe("h4", "pool-designate-new-master host=localhost");
        let all: Vec<_> = (0..5).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|asker| asker.join().expect("no panic")).collect()
    });
    assert!(askers.iter().all(|said| said.code == 0), "{askers:?}");
    // Another host's copy may be some milliseconds behind.
    within("h4 leads, as h6 sees it", PATIENCE, || is("h4", lab.coordinator("h6")));
    assert_eq!(lab.fine("h4", "host-list --minimal").split(',').count(), before);
    for host in ["h1", "h2", "h3", "h6", "h7", "h8"] {
        let target = lab.uuid(host, host);
        lab.fine(host, &format!("pool-designate-new-master host-uuid={target}"));
        assert_eq!(lab.coordinator("h4"), host);
    }

    // Stopping the coordinator by the API: the role goes first.
    let warned = lab.xe("h8", "host-shutdown host=localhost");
    assert!(warned.code != 0 && warned.err.contains("coordinates the pool"), "{warned:?}");
    lab.fine("h8", "host-disable host=localhost");
    lab.fine("h8", "host-shutdown host=localhost --force");
    within("writes go on", Duration::from_secs(10), || lab.write("h4", "h8-went"));
    within("h8 is off", PATIENCE, || lab.is_off("h8"));
}

/// Maintenance of the coordinator's host as one command, and back.
///
/// proves: S2-15 (lab), S1-23 (lab)
#[test]
fn the_coordinators_host_is_taken_out_of_service_and_back_with_one_command_each() {
    let Some(lab) = Lab::up("maintenance", "3") else { return };
    assert_eq!(lab.coordinator("h2"), "h1");
    lab.fine("h1", "host-maintenance-enter host=localhost");
    assert_ne!(lab.coordinator("h2"), "h1");
    let h1 = lab.uuid("h2", "h1");
    assert_eq!(lab.fine("h2", &format!("host-param-get uuid={h1} param-name=enabled")), "false");
    lab.fine("h2", &format!("host-reboot uuid={h1}"));
    within("h1 is back", PATIENCE, || {
        let log = lab.ok(&["events"]);
        if log.contains("reboot") {
            lab.read("h1").map(drop).or_else(|_| lab.write("h1", "x"))
        } else {
            Err(log)
        }
    });
    lab.fine("h2", "host-maintenance-leave host=h1");
    assert_eq!(lab.fine("h2", &format!("host-param-get uuid={h1} param-name=enabled")), "true");

    // The default repository of a pool that loses the host it is on.
    let local = lab.words("h3", &["sr-list", "name-label=local h1", "--minimal"]).out;
    let pool = lab.fine("h3", "pool-list --minimal");
    lab.fine("h3", &format!("pool-param-set uuid={pool} default-SR={local}"));
    lab.ok(&["fail", "h1", "power"]);
    within("the alert with its proposal", PATIENCE, || {
        let said = lab.xe("h3", "message-list name=HOLDFAST_DEFAULT_SR_UNUSABLE params=body");
        if said.out.contains("Proposal: 'shared'") { Ok(()) } else { Err(format!("{said:?}")) }
    });
}
