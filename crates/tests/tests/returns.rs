//! A coordinator that returns: from every kind of loss, before and after another one was chosen. Never a conflict, never a
//! command. `cargo xtask soak --returns 100` does the same at random and under load.

use std::time::{Duration, Instant};

use tests::{PoolLab, until};

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
/// Another coordinator, and a write through every survivor (S1-17).
const TAKEOVER: Duration = Duration::from_secs(30);
/// A reconnected host is shown as live (S2-21).
const LIVE: Duration = Duration::from_secs(30);
/// Longest boot and return on a busy machine.
const RETURN: Duration = Duration::from_secs(90);

/// A way to go, and back: words for the lab, `H` for the host.
struct Way {
    name: &'static str,
    go: &'static [&'static str],
    back: &'static [&'static str],
    /// It comes back without a boot, so it is back at once.
    reconnects: bool,
}

const WAYS: [Way; 5] = [
    Way {
        name: "shutdown",
        go: &["exec H -- holdfast-lab halt"],
        back: &["heal H power"],
        reconnects: false,
    },
    Way { name: "power", go: &["fail H power"], back: &["heal H power"], reconnects: false },
    Way {
        name: "crash",
        go: &["fail H daemon", "fail H had", "fail H etcd"],
        back: &["heal H etcd", "heal H had", "heal H daemon"],
        reconnects: true,
    },
    Way { name: "cable", go: &["fail H cable"], back: &["heal H cable"], reconnects: true },
    Way { name: "freeze", go: &["fail H freeze silent"], back: &["heal H"], reconnects: true },
];

fn told(lab: &PoolLab, lines: &[&str], host: &str) {
    for line in lines {
        let words: Vec<&str> =
            line.split(' ').map(|word| if word == "H" { host } else { word }).collect();
        if words[0] == "exec" {
            // The command may end with its host.
            let _ = lab.try_run(&words);
        } else {
            lab.run(&words);
        }
    }
}

fn said(lab: &PoolLab, host: &str, arguments: &[&str]) -> Result<String, String> {
    let done = lab.xe(host, arguments);
    let text = done.stdout.trim_end().to_owned();
    if done.status.success() { Ok(text) } else { Err(format!("{host}: {}", done.stderr)) }
}

fn is(wanted: &str, seen: String) -> Result<(), String> {
    if seen == wanted { Ok(()) } else { Err(format!("{seen:?} instead of {wanted:?}")) }
}

/// Label of the coordinator as that host names it.
fn coordinator(lab: &PoolLab, at: &str) -> Result<String, String> {
    let uuid = said(lab, at, &["pool-list", "params=master", "--minimal"])?;
    said(lab, at, &["host-list", &format!("uuid={uuid}"), "params=name-label", "--minimal"])
}

/// What stays as it is while the role moves: the epoch and the cluster, and no recovery or divergence.
fn lineage(lab: &PoolLab, host: &str) -> Vec<String> {
    let moves = |line: &&str| line.contains("term:") || line.contains("coordinator:");
    let told = lab.said(host, &["pool-lineage"]);
    told.lines().filter(|line| !moves(line)).map(str::to_owned).collect()
}

struct Mark<'a> {
    lab: &'a PoolLab,
    pool: String,
}

impl Mark<'_> {
    fn write(&self, host: &str, value: &str) -> Result<(), String> {
        let config = format!("other-config:returns={value}");
        said(self.lab, host, &["pool-param-set", &self.pool, &config]).map(drop)
    }

    fn reads(&self, host: &str, value: &str) -> Result<(), String> {
        let get = ["pool-param-get", &self.pool, "param-name=other-config", "param-key=returns"];
        is(value, said(self.lab, host, &get)?)
    }

    /// The host is a member like any other, and everybody names the same coordinator.
    fn whole(&self, value: &str) {
        for host in HOSTS {
            until(&format!("{host} to know what was written ({value})"), RETURN, || {
                self.reads(host, value)
            });
            until(&format!("{host} to take a write"), RETURN, || self.write(host, value));
            until(&format!("{host} to be in no emergency"), RETURN, || {
                is("false", said(self.lab, host, &["host-is-in-emergency-mode"])?)
            });
        }
        until("all to name one coordinator", RETURN, || {
            let first = coordinator(self.lab, HOSTS[0])?;
            HOSTS[1..].iter().try_for_each(|host| is(&first, coordinator(self.lab, host)?))
        });
    }
}

/// proves: S1-18 (lab), S2-10 (lab), S2-21 (lab)
#[test]
fn a_coordinator_returns_as_a_member_from_every_kind_of_loss_without_a_command() {
    let lab = PoolLab::up(3);
    let pool = format!("uuid={}", lab.said("h1", &["pool-list", "--minimal"]));
    let mark = Mark { lab: &lab, pool };
    let lineage = lineage(&lab, "h1");
    for way in WAYS {
        let name = way.name;
        let gone = until("a coordinator", TAKEOVER, || coordinator(&lab, "h1"));
        let uuid = lab.said("h1", &["host-list", &format!("name-label={gone}"), "--minimal"]);
        let others: Vec<&str> = HOSTS.into_iter().filter(|host| **host != gone).collect();

        // It returns after another one was chosen. The members follow that one by themselves.
        told(&lab, way.go, &gone);
        let start = Instant::now();
        let after = format!("{name}-after");
        for host in &others {
            until(&format!("{host} to name another coordinator ({name})"), TAKEOVER, || {
                let leads = coordinator(&lab, host)?;
                if leads == gone { Err(leads) } else { Ok(()) }
            });
            until(&format!("a write through {host} ({name})"), TAKEOVER, || {
                mark.write(host, &after)
            });
        }
        assert!(start.elapsed() < TAKEOVER, "{name}: {:?}", start.elapsed());
        let live = |host: &str, wanted: &str| {
            let get =
                ["host-list", &format!("uuid={uuid}"), "params=host-metrics-live", "--minimal"];
            is(wanted, said(&lab, host, &get)?)
        };
        for host in &others {
            until(&format!("{host} to show {gone} as gone ({name})"), RETURN, || {
                live(host, "false")
            });
        }
        if !way.reconnects {
            until(&format!("{gone} to be off"), RETURN, || {
                let status = lab.status();
                let hosts = status["hosts"].as_array().expect("a lab has hosts");
                let state = hosts.iter().find(|h| h["name"] == *gone).map(|h| &h["state"]);
                if state.is_some_and(|s| s == "off") { Ok(()) } else { Err(format!("{state:?}")) }
            });
        }
        told(&lab, way.back, &gone);
        let limit = if way.reconnects { LIVE } else { RETURN };
        for host in &others {
            until(&format!("{host} to show {gone} as live ({name})"), limit, || live(host, "true"));
        }
        mark.whole(&after);
        assert_ne!(coordinator(&lab, others[0]).as_deref(), Ok(&*gone), "{name}: it is a member");

        // It returns before that: whoever coordinates then, there is one, and no write is lost.
        if name != "shutdown" {
            let again = until("a coordinator", TAKEOVER, || coordinator(&lab, &gone));
            let before = format!("{name}-before");
            until("a write", TAKEOVER, || mark.write(&again, &before));
            told(&lab, way.go, &again);
            told(&lab, way.back, &again);
            mark.whole(&before);
        }
    }
    for host in HOSTS {
        assert_eq!(self::lineage(&lab, host), lineage, "no conflict, as {host} knows");
    }
    let conflict = ["message-list", "name=HOLDFAST_DIVERGENT_EDITS", "--minimal"];
    assert_eq!(lab.said("h1", &conflict), "");
}

/// Returns that are tried.
const MANY: u32 = 100;

/// The coordinator goes, by a clean shutdown and by a crash in turn, and returns as a member of whoever coordinates by
/// then: a hundred times, with no conflict, no command, and every write still there.
///
#[test]
#[ignore = "half an hour: cargo nextest run --profile returns --run-ignored only -E 'test(a_hundred_times)'"]
fn a_former_coordinator_returns_as_a_member_a_hundred_times() {
    let lab = PoolLab::up(3);
    let pool = format!("uuid={}", lab.said("h1", &["pool-list", "--minimal"]));
    let mark = Mark { lab: &lab, pool };
    let lineage = lineage(&lab, "h1");
    let way = |name: &str| WAYS.iter().find(|way| way.name == name).expect("a way");
    let ways = ["shutdown", "power", "shutdown", "crash"].map(way);
    for (round, way) in (1..=MANY).zip(ways.iter().cycle()) {
        let what = format!("{}, round {round}", way.name);
        let gone = until("a coordinator", TAKEOVER, || coordinator(&lab, "h1"));
        let others: Vec<&str> = HOSTS.into_iter().filter(|host| **host != gone).collect();
        told(&lab, way.go, &gone);
        for host in &others {
            until(&format!("{host} to name another coordinator ({what})"), TAKEOVER, || {
                let leads = coordinator(&lab, host)?;
                if leads == gone { Err(leads) } else { Ok(()) }
            });
        }
        let value = format!("round-{round}");
        until(&format!("a write ({what})"), TAKEOVER, || mark.write(others[0], &value));
        if !way.reconnects {
            until(&format!("{gone} to be off ({what})"), RETURN, || {
                let status = lab.status();
                let hosts = status["hosts"].as_array().expect("a lab has hosts");
                let state = hosts.iter().find(|h| h["name"] == *gone).map(|h| &h["state"]);
                if state.is_some_and(|s| s == "off") { Ok(()) } else { Err(format!("{state:?}")) }
            });
        }
        told(&lab, way.back, &gone);
        mark.whole(&value);
        assert_ne!(coordinator(&lab, others[0]).as_deref(), Ok(&*gone), "{what}: it is a member");
        for host in HOSTS {
            assert_eq!(self::lineage(&lab, host), lineage, "{what}: a conflict, as {host} knows");
        }
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            format!("{what}: {gone} is back\n").as_bytes(),
        );
    }
    let conflict = ["message-list", "name=HOLDFAST_DIVERGENT_EDITS", "--minimal"];
    assert_eq!(lab.said("h1", &conflict), "");
}
