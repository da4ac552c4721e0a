//! Facts drawn in a few lines, and what must be the first thing said of them.

use std::time::Duration;

use uuid::Uuid;

use super::facts::{
    Database, FailedProbe, GuestFacts, HostFacts, Leader, Majority, Repository, SafeMode,
    StalledWorker, Voter,
};
use super::*;

const SHORT: Duration = Duration::from_millis(2);

fn name(number: u128, label: &str) -> Name {
    Name::new(Uuid::from_u128(number), label)
}

fn yes() -> Answer {
    Answer::Yes(SHORT)
}

fn nothing() -> Answer {
    Answer::No(Silence::Nothing { waited: Duration::from_millis(1500) })
}

fn refused() -> Answer {
    Answer::No(Silence::Refused("connection refused".to_owned()))
}

fn other(number: u128) -> HostFacts {
    HostFacts {
        host: name(number, &format!("h{number}")),
        address: format!("10.90.0.{number}"),
        ping: yes(),
        tcp: yes(),
        api: yes(),
        heard_ago: Some(Duration::from_millis(300)),
        lost_percent: 0,
        leased: true,
        live: true,
        recorded_ago: Some(Duration::from_secs(60)),
        fenced: None,
        says: Some(Vec::new()),
    }
}

/// A pool of three in which all is well, seen from h1; h2 coordinates.
fn well() -> Facts {
    let voter = |number: u128| Voter {
        host: name(number, &format!("h{number}")),
        is_this: number == 1,
        answer: yes(),
        leads: number == 3,
        errors: Vec::new(),
    };
    Facts {
        pool: Some(name(9, "pool")),
        hypervisor: yes(),
        had: facts::Had { answer: yes(), ..facts::Had::default() },
        hosts: vec![other(2), other(3)],
        database: Database {
            embedded: false,
            confirmed_ago: Some(Duration::from_millis(200)),
            without_quorum: false,
            voters: vec![voter(1), voter(2), voter(3)],
        },
        leader: Leader {
            copy: Some((name(2, "h2"), 5)),
            majority: Majority::Leader(name(2, "h2"), 5),
        },
        ..Facts::of(name(1, "h1"))
    }
}

fn gone(mut host: HostFacts) -> HostFacts {
    (host.ping, host.tcp, host.api) = (nothing(), nothing(), nothing());
    host.heard_ago = Some(Duration::from_secs(14));
    host.leased = false;
    host.says = None;
    host
}

fn rules(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|f| f.rule.word()).collect()
}

#[test]
fn nothing_is_said_of_a_pool_in_which_all_is_well() {
    assert_eq!(diagnose(&well()), []);
    assert_eq!(Health::of_pool(&[]), Health::Ok);
}

/// One part fails: the first finding is that part, and the health of the right side is spoilt.
#[test]
fn the_first_finding_is_the_cause() {
    type Break = fn(&mut Facts);
    let table: &[(&str, Break, Health)] = &[
        ("daemon-dead", |f| f.daemon_dead = Some("no process".to_owned()), Health::Failed),
        (
            "safe-mode",
            |f| {
                f.safe_mode = Some(SafeMode {
                    failed_starts: 3,
                    part: "guests".to_owned(),
                    why: "panicked".to_owned(),
                    off: vec!["sagas".to_owned()],
                });
                // What follows from it does not come first.
                f.storage.push(Repository {
                    sr: name(51, "sr"),
                    pbd: Uuid::from_u128(52),
                    attached: false,
                    fault: Some("gone".to_owned()),
                });
            },
            Health::Failed,
        ),
        (
            "worker-stalled",
            |f| {
                f.workers.push(StalledWorker {
                    worker: "voters".to_owned(),
                    why: "span for 5 s without progress".to_owned(),
                    stack_file: None,
                    ago: SHORT,
                    times: 1,
                    starts_in: Some(Duration::from_secs(4)),
                });
            },
            Health::Failed,
        ),
        (
            "probe-failed",
            |f| {
                f.probes.push(FailedProbe {
                    probe: "pci".to_owned(),
                    address: "0000:00:02.0".to_owned(),
                    id: "1234:1111".to_owned(),
                    why: "did not end within 5 s".to_owned(),
                });
            },
            Health::Degraded,
        ),
        ("hypervisor-silent", |f| f.hypervisor = nothing(), Health::Failed),
        ("had-silent", |f| f.had.answer = refused(), Health::Failed),
        ("lease-late", |f| f.had.lease_fault = Some("lost".to_owned()), Health::Failed),
        ("state-unwritable", |f| f.disk.fault = Some("no space".to_owned()), Health::Failed),
        ("disk-slow", |f| f.disk.writes = vec![Duration::from_millis(500); 3], Health::Failed),
        (
            "space-low",
            |f| {
                f.areas.push(Area {
                    what: "logs".to_owned(),
                    path: "/var/log".to_owned(),
                    total_bytes: 10 << 30,
                    available_bytes: 1 << 20,
                });
            },
            Health::Failed,
        ),
        ("host-unreachable", |f| f.hosts[1] = gone(other(3)), Health::Ok),
        (
            "host-unwell",
            |f| f.hosts[0].says = Some(vec!["hypervisor-silent".to_owned()]),
            Health::Ok,
        ),
        ("packets-lost", |f| f.hosts[0].lost_percent = 30, Health::Ok),
        (
            // Also where nobody was asked, since nothing looks dead.
            "packets-lost",
            |f| {
                let host = &mut f.hosts[0];
                (host.ping, host.tcp, host.api) = Default::default();
                host.lost_percent = 30;
            },
            Health::Ok,
        ),
        ("host-not-live", |f| f.hosts[0].leased = false, Health::Ok),
        ("voter-silent", |f| f.database.voters[0].answer = refused(), Health::Failed),
        ("voter-silent", |f| f.database.voters[1].answer = refused(), Health::Ok),
        ("no-coordinator", |f| f.leader.majority = Majority::Nobody, Health::Ok),
        (
            "coordinator-differs",
            |f| f.leader.majority = Majority::Leader(name(3, "h3"), 6),
            Health::Ok,
        ),
        ("no-quorum", |f| f.database.without_quorum = true, Health::Failed),
        (
            // Two of three are gone: that is why, and first.
            "host-unreachable",
            |f| {
                f.hosts[0] = gone(other(2));
                f.database.without_quorum = true;
            },
            Health::Failed,
        ),
        (
            "cut-off",
            |f| {
                f.hosts = vec![gone(other(2)), gone(other(3))];
                f.database.without_quorum = true;
            },
            Health::Failed,
        ),
        (
            "guest-unknown",
            |f| {
                f.guests.push(GuestFacts {
                    vm: name(11, "web1"),
                    last_on: name(3, "h3"),
                    unknown_for: Some(Duration::from_secs(40)),
                });
            },
            Health::Ok,
        ),
    ];
    for (expected, break_it, host) in table {
        let mut facts = well();
        break_it(&mut facts);
        let found = diagnose(&facts);
        assert_eq!(rules(&found).first(), Some(expected), "{found:#?}");
        assert_eq!(Health::of_host(&found), *host, "{expected}");
        assert!(Health::of_pool(&found) >= Health::Degraded, "{expected}");
        for finding in &found {
            assert!(!finding.safe.is_empty() && !finding.next.is_empty(), "{finding:?}");
            assert!(!finding.line().contains("OpaqueRef"), "{finding:?}");
        }
    }
}

#[test]
fn a_frozen_daemon_of_a_living_host_is_told_from_a_dead_host() {
    let mut facts = well();
    facts.hosts[0].api = nothing();
    facts.hosts[0].says = None;
    let mute = diagnose(&facts).remove(0);
    assert!(mute.safe.contains("Its VMs run there"), "{mute:?}");
    assert!(mute.next.contains("xe-toolstack-restart"), "{mute:?}");
    facts.hosts[0] = gone(other(2));
    let dead = diagnose(&facts).remove(0);
    assert!(dead.safe.contains("before it is proved off"), "{dead:?}");
    assert!(dead.what.contains("coordinator"), "{dead:?}");
    facts.hosts[0].fenced = Some("power read back off".to_owned());
    let fenced = diagnose(&facts).remove(0);
    assert!(fenced.safe.contains("may be started elsewhere"), "{fenced:?}");
}

#[test]
fn a_guest_of_an_unreachable_host_is_said_to_be_unknown_since_when_and_where_it_was_last() {
    let mut facts = well();
    facts.guests.push(GuestFacts {
        vm: name(11, "web1"),
        last_on: name(3, "h3"),
        unknown_for: Some(Duration::from_secs(40)),
    });
    let found = diagnose(&facts).remove(0);
    assert_eq!(found.what, "its state is unknown since 40 s ago, last on h3");
}

#[test]
fn a_dead_daemon_says_nothing_of_the_pool() {
    let mut facts = Facts::of(name(1, "h1"));
    facts.daemon_dead = Some("it was killed".to_owned());
    facts.database.without_quorum = true;
    assert_eq!(rules(&diagnose(&facts)), ["daemon-dead"]);
}
