//! Restarting management leaves everything else alone.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use tests::PoolLab;
use tests::guests::{count, counter_start};

/// The interface of the guest under watch.
const MAC: &str = "02:48:46:9e:03:01";
/// Longest pause of the guest's counter, which counts every 100 ms on a shared machine: ms.
const PAUSE_MAX: u64 = 1000;

/// Processes of a host by unit.
fn pids(lab: &PoolLab) -> serde_json::Map<String, serde_json::Value> {
    lab.status()["hosts"][0]["pids"].as_object().expect("the host runs").clone()
}

/// The guest keeps its uptime and its flow of packets; the daemon is another process, everything else the same one.
///
/// proves: S0-6 (lab)
#[test]
fn xe_toolstack_restart_restarts_management_only() {
    let lab = PoolLab::up(1);
    let vm = counter_start(&lab, "h1", "counter", MAC);
    let before = pids(&lab);
    let qemu = || lab.run(&["exec", "h1", "--", "pgrep", "qemu-system"]);
    let guest = qemu();
    let (boot, counted, _) = count(&lab, MAC).expect("the guest answers");

    // Asks the guest over the network every 100 ms, all the time.
    let mut flow = lab.command(&["guest", "--follow", MAC]);
    let mut flow = flow.stdout(Stdio::piped()).spawn().expect("the lab's program starts");
    let lines = BufReader::new(flow.stdout.take().expect("its output is piped"));
    let watch = std::thread::spawn(move || lines.lines().map_while(Result::ok).collect::<Vec<_>>());
    for _ in 0..3 {
        let said = lab.run(&["exec", "h1", "--", "xe-toolstack-restart"]);
        assert_eq!(said, "Executing xe-toolstack-restart\ndone.\n");
        // It is back when the command ends.
        assert_eq!(
            lab.said("h1", &["vm-param-get", &format!("uuid={vm}"), "param-name=power-state"]),
            "running"
        );
    }
    flow.kill().expect("it is ours");
    flow.wait().expect("it was killed");
    let answers = watch.join().expect("reading does not panic");
    assert!(answers.len() > 10, "{answers:?}");
    let lost: Vec<&String> = answers.iter().filter(|line| line.contains("\"error\"")).collect();
    assert!(lost.is_empty(), "{lost:?}");

    let (boot_after, counted_after, pause) = count(&lab, MAC).expect("the guest answers");
    assert_eq!(boot_after, boot, "the guest booted anew");
    assert!(counted_after > counted && pause < PAUSE_MAX, "{counted} {counted_after} {pause}");
    assert_eq!(qemu(), guest);
    let after = pids(&lab);
    assert_ne!(after["holdfastd"], before["holdfastd"]);
    for (unit, pid) in &before {
        assert!(unit == "holdfastd" || after.get(unit) == Some(pid), "{unit} was restarted");
    }
}

/// A daemon that hangs does not keep its restart from working.
#[test]
fn a_daemon_that_hangs_is_restarted() {
    let lab = PoolLab::up(1);
    let before = pids(&lab);
    lab.run(&["exec", "h1", "--", "pkill", "-STOP", "-x", "holdfastd"]);
    lab.run(&["exec", "h1", "--", "xe-toolstack-restart"]);
    assert_ne!(pids(&lab)["holdfastd"], before["holdfastd"]);
    assert!(!lab.said("h1", &["host-list", "--minimal"]).is_empty());
}
