//! What else runs on the hosts is no business of the pool's roles.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tests::{PoolLab, until};

/// Longest change of role on a busy machine.
const ROLE: Duration = Duration::from_secs(60);
/// Longest silence of a service that counts as living on, with two cores for three hosts: s.
const SILENCE_MAX: f64 = 5.0;

/// A script that has said its first line; killed when it is dropped.
struct Script(Child, BufReader<std::process::ChildStdout>);

impl Script {
    fn start(mut command: Command, ready: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the lab's program starts");
        let mut out = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("it speaks");
        assert_eq!(line.trim(), ready);
        Self(child, out)
    }

    /// Lets it end by itself; the rest of what it says.
    fn end(mut self) -> String {
        drop(self.0.stdin.take());
        let mut rest = String::new();
        self.1.read_to_string(&mut rest).expect("it speaks");
        rest
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn coordinator(lab: &PoolLab, asked: &str) -> String {
    let uuid = lab.said(asked, &["pool-list", "params=master", "--minimal"]);
    lab.said(asked, &["host-list", &format!("uuid={uuid}"), "params=name-label", "--minimal"])
}

fn wait_for_coordinator(lab: &PoolLab, asked: &str, is_it: impl Fn(&str) -> bool) {
    until("another coordinator", ROLE, || {
        let now = coordinator(lab, asked);
        is_it(&now).then_some(()).ok_or(now)
    });
}

/// A shell session and a web server on each host are used all the time while the role is handed over on purpose, goes with a host that
/// is taken out of service, and is lost with a daemon that dies: each session is the same one at the end, no request failed.
///
/// proves: S2-11 (lab)
#[test]
fn services_of_the_hosts_live_on_while_roles_change() {
    let lab = PoolLab::up(3);
    // Given as text: a host does not see every directory of the machine.
    let script = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name);
        std::fs::read_to_string(path).expect("a client's script")
    };
    let service = script("neighbour_service.py");
    let _services = ["h1", "h2", "h3"].map(|host| {
        Script::start(lab.command(&["exec", host, "--", "python3", "-c", &service]), "ready")
    });
    let watch = script("neighbour_watch.py");
    let watch = ["client", "--", "python3", "-u", "-c", &watch];
    let watch = Script::start(lab.command(&watch), "watching");

    lab.said("h1", &["pool-designate-new-master", "host=h2"]);
    wait_for_coordinator(&lab, "h1", |now| now == "h2");
    lab.said("h1", &["host-maintenance-enter", "host=h2"]);
    wait_for_coordinator(&lab, "h1", |now| now != "h2");
    lab.said("h1", &["host-maintenance-leave", "host=h2"]);
    let leads = coordinator(&lab, "h2");
    lab.run(&["fail", &leads, "daemon"]);
    wait_for_coordinator(&lab, "h2", |now| now != leads);
    lab.run(&["heal", &leads, "daemon"]);

    let found: serde_json::Value = serde_json::from_str(&watch.end()).expect("it ends with JSON");
    let found = found.as_object().expect("by host");
    assert_eq!(found.len(), 3);
    for (host, seen) in found {
        assert_eq!(seen["shells"].as_array().map(Vec::len), Some(1), "{host}: {seen}");
        assert_eq!(seen["errors"], serde_json::json!([]), "{host}: {seen}");
        assert!(seen["used"].as_u64() > Some(20), "{host}: {seen}");
        assert!(seen["longest_s"].as_f64() < Some(SILENCE_MAX), "{host}: {seen}");
    }
}
