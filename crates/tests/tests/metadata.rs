//! The pool database as a file: saved by any host, whatever is dead, and read again.

use std::time::Duration;

use tests::{PoolLab, until};

const LONG: Duration = Duration::from_secs(90);

/// A dump made on that host, as text, and what `xe` said beside it.
fn dumped(lab: &PoolLab, host: &str, parameter: &str) -> (String, String) {
    let file = format!("/var/tmp/{parameter}-{host}");
    let _ = lab.try_run(&["exec", host, "--", "rm", "-f", &file]);
    let ended = lab.xe(host, &["pool-dump-database", &format!("{parameter}={file}")]);
    assert!(ended.status.success(), "on {host}: {}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout, "", "XenServer's command says nothing on {host}");
    (lab.run(&["exec", host, "--", "cat", &file]), ended.stderr)
}

/// proves: S1-24 (lab)
#[test]
fn every_host_dumps_the_pool_database_also_alone_and_with_its_daemon_dead() {
    let lab = PoolLab::up(3);
    let made = lab.xe("h1", &["network-create", "name-label=remembered"]);
    assert!(made.status.success(), "{}", made.stderr);
    for (host, parameter) in [("h1", "file-name"), ("h2", "filename"), ("h3", "file-name")] {
        let (dump, said) = dumped(&lab, host, parameter);
        assert!(dump.starts_with("{\"format\":\"holdfast-pool-dump\",\"version\":1,"), "{dump}");
        assert!(dump.contains("\"remembered\""), "on {host}: {dump}");
        assert_eq!(said, "", "a dump that a majority confirms needs no word");
    }
    // A second dump does not take the first one's place.
    let again = lab.xe("h1", &["pool-dump-database", "file-name=/var/tmp/file-name-h1"]);
    assert!(
        !again.status.success() && again.stderr.contains("/var/tmp/file-name-h1"),
        "{}",
        again.stderr
    );

    // No coordinator, no majority.
    lab.run(&["fail", "h1", "power"]);
    lab.run(&["fail", "h3", "power"]);
    until("the survivor to know that it is alone", LONG, || {
        let said = lab.xe("h2", &["host-is-in-emergency-mode"]).stdout;
        if said.trim() == "true" { Ok(()) } else { Err(said) }
    });
    let (dump, said) = dumped(&lab, "h2", "file-name");
    assert!(dump.contains("\"remembered\""), "{dump}");
    assert!(said.contains("confirmed by a majority"), "how old it is is not said: {said}");

    // Nor the daemon.
    lab.run(&["fail", "h2", "daemon"]);
    let (offline, said) = dumped(&lab, "h2", "filename");
    assert!(said.contains("whose daemon did not run"), "{said}");
    let body = |dump: &str| dump.split_once('\n').map(|(_, body)| body.to_owned());
    let unsealed = |dump: &str| {
        let lines = body(dump).unwrap_or_default();
        let plain = lines.lines().filter(|l| !l.contains("\"sealed\":"));
        plain.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(unsealed(&offline), unsealed(&dump), "the file holds what the daemon knew");
}
