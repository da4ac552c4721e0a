//! A short soak on a lab of its own: what `cargo xtask soak` does for minutes, for a moment.
//!
//! Needs root, libvirt, etcd and the programs beside `holdfast-bench` (`cargo build --workspace`); where one is missing
//! the test says so and proves nothing.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

fn missing() -> Option<String> {
    let beside = Path::new(env!("CARGO_BIN_EXE_holdfast-bench")).with_file_name("");
    let missing: Vec<String> = ["holdfastd", "holdfast-had", "xe", "holdfast-lab"]
        .map(|program| beside.join(program))
        .into_iter()
        .chain(["/usr/bin/etcd", "/usr/sbin/libvirtd"].map(Into::into))
        .filter(|path| !path.exists())
        .map(|path| path.display().to_string())
        .collect();
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    (!missing.is_empty() || !root).then(|| format!("needs root and {}", missing.join(", ")))
}

/// Twelve kills at moments of one seed, under load: nothing is left and no acknowledged write is lost.
#[test]
fn a_pool_comes_through_a_dozen_kills() {
    if let Some(missing) = missing() {
        let text = format!("not proved here: {missing}\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        return;
    }
    let name = format!("t{}-soak", std::process::id());
    let done = Command::new(env!("CARGO_BIN_EXE_holdfast-bench"))
        .args(["soak", "--kills", "12", "--seed", "7", "--hosts", "2", "--name", &name])
        .output()
        .expect("holdfast-bench was built with this test");
    let text = String::from_utf8_lossy(&done.stdout);
    let last = text.lines().last().unwrap_or_default();
    let summary: Json = serde_json::from_str(last)
        .unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&done.stderr)));
    assert_eq!(summary["findings"], serde_json::json!([]), "{summary}");
    assert!(done.status.success() && summary["ok"] == true, "{summary}");
    // Something was killed, and it looked at something.
    let kills: u64 =
        summary["kills"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    assert!(kills > 0 && summary["rounds"] == 12, "{summary}");
    for what in ["disks", "files"] {
        assert!(summary["looked_at"][what].as_u64() >= Some(4), "{summary}");
    }
}

/// Twelve daemons in one pool of seven voters, all on this machine: an idle pool commits nothing, hosts without a vote
/// spread over the voters, following costs no more than the changes do, and a killed coordinator is replaced.
#[test]
fn a_pool_of_twelve_is_quiet_spread_out_and_finds_another_coordinator() {
    if let Some(missing) = missing() {
        let text = format!("not proved here: {missing}\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        return;
    }
    let dir = std::env::temp_dir().join(format!("holdfast-t{}-scale", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory of the test");
    let done = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(env!("CARGO_BIN_EXE_holdfast-bench"))
        .args(["worker", "scale", "--", "12", "1"])
        .arg(&dir)
        .arg("brief")
        .output()
        .expect("unshare is part of util-linux");
    let text = String::from_utf8_lossy(&done.stdout);
    let seen: Json = serde_json::from_str(text.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&done.stderr)));
    let number = |name: &str| seen[name].as_f64().unwrap_or_else(|| panic!("{name}: {seen}"));
    assert!(number("idle_commits") <= 1.0, "{seen}");
    // The voters are chosen by a hash; twelve hosts' draws may well fall unevenly, but not all on one voter.
    assert!(number("crowd") <= 4.0 * number("crowd_mean"), "{seen}");
    assert!(number("load_watch") <= 2.0 * number("load_tap"), "{seen}");
    assert!(number("commits") > 0.0 && number("takeover") > 0.0, "{seen}");
    std::fs::remove_dir_all(&dir).expect("the directory goes");
}
