//! The coordinator's role as people meet it: handing it over, stopping its host at a terminal, recovering members, and two
//! hosts that both claim to be the pool.

use std::time::{Duration, Instant};

use lab::process::{Finished, run};
use tests::{PoolLab, until};

/// Longest wait for anything that should take seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// Longest command.
const COMMAND: Duration = Duration::from_secs(120);
const LEADER: &str =
    "xe host-list uuid=$(xe pool-list params=master --minimal) params=name-label --minimal";

fn typed(lab: &PoolLab, host: &str, line: &str) -> Finished {
    lab.exec(host, &["sh", "-c", line])
}

fn try_works(lab: &PoolLab, host: &str, line: &str) -> Result<String, String> {
    let done = typed(lab, host, line);
    if done.status.success() {
        Ok(done.stdout.trim_end().to_owned())
    } else {
        Err(format!("{done:?}"))
    }
}

fn works(lab: &PoolLab, host: &str, line: &str) -> String {
    try_works(lab, host, line).unwrap_or_else(|why| panic!("{host}# {line}: {why}"))
}

fn is(wanted: &str, seen: &str) -> Result<(), String> {
    if seen == wanted { Ok(()) } else { Err(format!("{seen:?} instead of {wanted:?}")) }
}

/// What a person at a terminal of that host sees who types the line and then `answer`.
fn at_a_terminal(lab: &PoolLab, host: &str, line: &str, answer: &str) -> String {
    let script = format!("printf '{answer}\\n' | script -qec '{line}' /dev/null");
    typed(lab, host, &script).stdout
}

fn goes_off(lab: &PoolLab, at: usize) {
    until("the host to be off", PATIENCE, || {
        is("off", lab.status()["hosts"][at]["state"].as_str().unwrap_or_default())
    });
}

/// The command that hands the role over returns when it is handed over: whatever is typed next, wherever, works.
///
/// Then its host is stopped at a terminal: the question offers the hand-over, a `n` changes nothing, the bare Enter hands
/// over and stops it; with `--force` and without a terminal nobody is asked.
///
/// proves: S4-27 (lab), S2-14 (lab)
#[test]
fn the_role_is_handed_over_before_anything_else_happens() {
    let lab = PoolLab::up(3);
    let pool = works(&lab, "h1", "xe pool-list --minimal");
    let uuid = |host: &str| works(&lab, "h2", &format!("xe host-list name-label={host} --minimal"));
    for (round, host) in ["h2", "h3", "h1", "h2"].into_iter().enumerate() {
        let (target, from) = (uuid(host), ["h1", "h2", "h3"][round % 3]);
        works(&lab, from, &format!("xe pool-designate-new-master host-uuid={target}"));
        for other in ["h1", "h2", "h3"] {
            let write = format!("xe pool-param-set uuid={pool} other-config:round={round}{other}");
            works(&lab, other, &write);
            assert_eq!(works(&lab, other, LEADER), host, "as {other} sees it, round {round}");
        }
    }

    works(&lab, "h2", "xe host-disable host=localhost");
    let line = "xe host-shutdown host=localhost";
    let seen = at_a_terminal(&lab, "h2", line, "n");
    assert!(
        seen.contains("coordinates the pool")
            && seen.contains("Hand the role over, then shut down")
            && seen.contains("[Y/n]")
            && seen.contains("Nothing was done"),
        "{seen}"
    );
    assert_eq!(works(&lab, "h3", LEADER), "h2");
    let seen = at_a_terminal(&lab, "h2", line, "");
    assert!(seen.contains("[Y/n]") && !seen.contains("Nothing was done"), "{seen}");
    goes_off(&lab, 1);
    let next = works(&lab, "h3", LEADER);
    assert_ne!(next, "h2");
    works(&lab, "h3", &format!("xe pool-param-set uuid={pool} other-config:round=over"));
    lab.run(&["heal", "h2", "power"]);
    until("h2 to be back", PATIENCE, || try_works(&lab, "h2", "xe host-enable host=localhost"));

    // Forced: not a word, and the role goes first all the same.
    let third = works(&lab, "h3", "xe pool-designate-new-master host=h3; xe pool-list --minimal");
    assert_eq!(third, pool);
    works(&lab, "h3", "xe host-disable host=localhost");
    let seen = at_a_terminal(&lab, "h3", &format!("{line} --force"), "n");
    assert!(!seen.contains("[Y/n]"), "{seen}");
    goes_off(&lab, 2);
    assert_ne!(works(&lab, "h1", LEADER), "h3");
    lab.run(&["heal", "h3", "power"]);
    until("h3 to be back", PATIENCE, || try_works(&lab, "h3", "xe host-enable host=localhost"));

    // No terminal: it is said, nobody is waited for.
    let leads = works(&lab, "h1", LEADER);
    let at = ["h1", "h2"].iter().position(|h| *h == leads).expect("h1 or h2 leads");
    works(&lab, &leads, "xe host-disable host=localhost");
    let start = Instant::now();
    let done = typed(&lab, &leads, &format!("sleep 60 | {line}"));
    // What was typed ends with its host at the latest.
    assert!(done.stderr.contains("coordinates the pool"), "{done:?}");
    goes_off(&lab, at);
    assert_ne!(works(&lab, "h3", LEADER), leads);
    assert!(start.elapsed() < Duration::from_secs(120), "it waited for somebody");
}

/// An upgrade leaves a member in emergency mode: its daemon is new, the coordinator has moved, and its way to the others was
/// gone meanwhile. `pool-recover-slaves` brings it back and says so.
///
/// proves: S4-35 (lab)
#[test]
fn a_member_that_an_upgrade_left_in_emergency_mode_is_recovered() {
    let lab = PoolLab::up(3);
    let pool = works(&lab, "h1", "xe pool-list --minimal");
    let h3 = works(&lab, "h1", "xe host-list name-label=h3 --minimal");
    lab.run(&["fail", "h3", "cable"]);
    works(&lab, "h3", "xe-toolstack-restart");
    until("h3 to be in emergency mode", PATIENCE, || {
        is("true", lab.xe("h3", &["host-is-in-emergency-mode"]).stdout.trim())
    });
    until("another to lead", PATIENCE, || {
        try_works(&lab, "h1", "xe pool-designate-new-master host=h2")
            .map(drop)
            .or_else(|_| is("h2", &try_works(&lab, "h1", LEADER)?))
    });
    works(&lab, "h1", &format!("xe pool-param-set uuid={pool} other-config:while=away"));
    // The command names whom it found following, and nobody else: not h3 while that is cut off.
    let without = works(&lab, "h2", "xe pool-recover-slaves");
    assert!(!without.contains(&h3) && without.lines().count() == 1, "{without}");
    assert_eq!(lab.xe("h3", &["host-is-in-emergency-mode"]).stdout.trim(), "true");
    lab.run(&["heal", "h3", "cable"]);
    // Once h3 talks, one call is enough, whenever it comes: it returns when h3 follows, and not before.
    let recovered = until("the command to bring h3 back", PATIENCE, || {
        let followed = try_works(&lab, "h2", "xe pool-recover-slaves")?;
        let emergency = lab.xe("h3", &["host-is-in-emergency-mode"]).stdout;
        match followed.contains(&h3) {
            true => Ok((followed, emergency)),
            false => Err(followed),
        }
    });
    let (recovered, emergency) = recovered;
    assert_eq!(emergency.trim(), "false", "it was named before it followed");
    assert_eq!(recovered.lines().count(), 2, "{recovered}");
    let read = format!("xe pool-param-get uuid={pool} param-name=other-config param-key=while");
    until("h3 to know what it missed", PATIENCE, || {
        is("false", lab.xe("h3", &["host-is-in-emergency-mode"]).stdout.trim())?;
        is("away", &try_works(&lab, "h3", &read)?)
    });
}

/// Two claimants of one pool: h3 was recovered alone, h1 and h2 are the old majority and come back without it. A client
/// that meets both says who is stale; whatever it has forgotten, the stale ones refuse every write.
///
/// proves: S2-25 (lab)
#[test]
fn a_client_that_meets_two_claimants_says_which_is_newer() {
    let lab = PoolLab::up(3);
    let pool = works(&lab, "h1", "xe pool-list --minimal");
    let home = tempfile::tempdir().expect("a temporary directory");
    let client = |words: &[&str]| {
        let home = format!("HOME={}", home.path().display());
        let line: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
        let line = format!("xe -u root -pw \"$XE_PASSWORD\" {}", line.join(" "));
        let all = ["client", "--", "env", &home, "HOLDFAST_HOSTS=", "sh", "-c", &line];
        run(lab.command(&all), None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"))
    };
    let list = |address: &str| client(&["-s", address, "pool-list", "--minimal"]);
    assert_eq!(list("10.90.0.1").stderr, "");
    for host in ["h1", "h2"] {
        lab.run(&["fail", host, "power"]);
    }
    until("h3 to be recovered", PATIENCE, || {
        try_works(&lab, "h3", "xe pool-emergency-transition-to-master confirm=h1,h2")
    });
    until("h3 to take writes", PATIENCE, || {
        try_works(&lab, "h3", &format!("xe pool-param-set uuid={pool} other-config:who=new"))
    });
    let newer = list("10.90.0.3");
    assert!(newer.status.success() && !newer.stderr.contains("stale"), "{newer:?}");
    lab.run(&["fail", "h3", "cable", "both"]);
    for host in ["h1", "h2"] {
        lab.run(&["heal", host, "power"]);
    }
    for address in ["10.90.0.1", "10.90.0.2"] {
        let met = until("the stale host to answer", PATIENCE, || {
            let met = list(address);
            if met.status.success() { Ok(met) } else { Err(format!("{met:?}")) }
        });
        let said = &met.stderr;
        // A read may go to the other of the two, which is as stale.
        assert!(
            said.contains("WARNING: 10.90.0.1") || said.contains("WARNING: 10.90.0.2"),
            "{said}"
        );
        for part in ["is stale", "10.90.0.3", "epoch 1 ", "epoch 2", &pool] {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    }
    // Removing the connection and adding it again tricks nobody.
    std::fs::remove_dir_all(home.path().join(".xe.d")).expect("what the client remembered");
    let met = list("10.90.0.1");
    assert!(met.status.success() && !met.stderr.contains("is stale:"), "{met:?}");
    let h2 = works(&lab, "h1", "xe host-list name-label=h2 --minimal");
    let vm_label = "new-name-label=lost";
    for words in [
        &["pool-param-set", &format!("uuid={pool}"), "other-config:who=old"][..],
        &["host-disable", &format!("uuid={h2}")],
        &["network-create", "name-label=lost"],
        &["vm-install", "template=Other install media", vm_label],
    ] {
        let written = client(&[&["-s", "10.90.0.1"][..], words].concat());
        assert!(!written.status.success(), "{words:?}: {written:?}");
        assert!(written.stderr.contains("stale"), "{words:?}: {written:?}");
    }
    lab.run(&["heal", "h3", "cable"]);
    for host in ["h1", "h2", "h3"] {
        until("one pool again", PATIENCE, || {
            let get =
                format!("xe pool-param-get uuid={pool} param-name=other-config param-key=who");
            is("new", &try_works(&lab, host, &get)?)
        });
    }
}
