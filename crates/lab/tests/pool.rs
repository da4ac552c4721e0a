//! A pool of three hosts in the lab, made of the real programs: it forms, loses its coordinator's power, and goes on.
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
        Self::named("pool")
    }

    fn named(purpose: &str) -> Option<Self> {
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
        Some(Self(format!("t{}-{purpose}", std::process::id())))
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

    /// The hosts by role, as the status says.
    fn hosts(&self, role: &str) -> Vec<String> {
        let status: serde_json::Value =
            serde_json::from_str(&self.ok(&["status", "--output", "json"]))
                .expect("status is JSON");
        let hosts = status["hosts"].as_array().expect("a lab has hosts");
        hosts
            .iter()
            .filter(|h| h["role"] == role)
            .map(|h| h["name"].as_str().expect("hosts have names").to_owned())
            .collect()
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

/// proves: S4-43 (lab), S4-118 (lab)
#[test]
fn a_pool_goes_on_when_its_coordinators_power_is_cut_and_takes_it_back_afterwards() {
    let Some(lab) = Lab::new() else { return };
    lab.ok(&["up", "--hosts", "3"]);
    for host in ["h1", "h2", "h3"] {
        let hosts = lab.xe(host, &["host-list", "--minimal"]).expect("a read");
        assert_eq!(hosts.split(',').count(), 3, "as {host} sees it");
    }
    let coordinator = lab.hosts("coordinator");
    let survivors = lab.hosts("member");
    assert_eq!((coordinator.len(), survivors.len()), (1, 2));
    let pool = format!("uuid={}", lab.xe("h1", &["pool-list", "--minimal"]).expect("a read"));
    let write = |host: &str, value: &str| {
        lab.xe(host, &["pool-param-set", &pool, &format!("other-config:lab-test={value}")])
    };
    let read = |host: &str| {
        let get = ["pool-param-get", &pool, "param-name=other-config", "param-key=lab-test"];
        lab.xe(host, &get)
    };

    write(&coordinator[0], "before").expect("a healthy pool takes writes");
    lab.ok(&["fail", &coordinator[0], "power"]);
    for host in &survivors {
        assert_eq!(read(host).as_deref(), Ok("before"), "an acknowledged write, as {host} sees it");
    }
    within("a survivor takes a write", Duration::from_secs(30), || write(&survivors[0], "after"));
    within("a survivor is coordinator", Duration::from_secs(30), || {
        match lab.hosts("coordinator").as_slice() {
            [one] if survivors.contains(one) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });

    lab.ok(&["heal", &coordinator[0], "power"]);
    within("the host is back and knows what it missed", Duration::from_secs(60), || {
        match read(&coordinator[0])? {
            value if value == "after" => Ok(()),
            value => Err(format!("it reads {value:?}")),
        }
    });
    within("the host takes writes again", Duration::from_secs(60), || {
        write(&coordinator[0], "back")
    });
    lab.ok(&["down"]);
}

/// proves: S2-16 (lab)
#[test]
fn the_exercises_that_come_with_the_lab_pass_and_leave_the_pool_as_it_was() {
    let Some(lab) = Lab::named("practice") else { return };
    lab.ok(&["up", "--hosts", "3"]);
    for line in lab.ok(&["practice"]).lines() {
        let name = line.split(' ').next().expect("a name");
        let done = lab.run(&["practice", name]);
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("PASS"), "{name}:\n{said}");
        within("the pool is as it was", Duration::from_secs(60), || {
            match lab.hosts("coordinator").len() + lab.hosts("member").len() {
                3 => lab.xe("h3", &["host-list", "--minimal"]),
                other => Err(format!("{other} hosts have a role")),
            }
        });
    }
    // A false expectation is a failure, and what was broken is mended all the same.
    let wrong = std::env::temp_dir().join(format!("{}.exercise", lab.0));
    let text = "# Nothing.\nfail h2 cable\nexpect within 0s h2 prints never: echo now\n";
    std::fs::write(&wrong, text).expect("the directory can be written");
    let done = lab.run(&["practice", wrong.to_str().expect("a plain path")]);
    std::fs::remove_file(&wrong).expect("it is ours");
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stdout).contains("FAIL"));
    assert!(lab.ok(&["status", "--output", "json"]).contains("\"faults\": []"));
    lab.ok(&["down"]);
}
