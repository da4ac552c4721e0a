//! Rules about what is beyond this host: other hosts, the database, the coordinator, guests of hosts that may be gone.

use super::facts::{Answer, Facts, HostFacts, Majority};
use super::reach::{Reach, reach};
use super::{Finding, Rule, Scope, Weight, ago};

/// Signs of life lost beyond this are an alert, percent.
pub(super) const LOST_PERCENT: u8 = 10;

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if facts.daemon_dead.is_some() {
        return found;
    }
    if is_cut_off(facts) {
        found.push(cut_off(facts));
    }
    for host in &facts.hosts {
        one_host(facts, host, &mut found);
    }
    database(facts, &mut found);
    leader(facts, &mut found);
    guests(facts, &mut found);
    found
}

/// None of several others answers: then it is more likely this host's own cable than all of them.
fn is_cut_off(facts: &Facts) -> bool {
    facts.hosts.len() >= 2
        && facts.hosts.iter().all(|h| reach(&h.ping, &h.tcp, &h.api) == Reach::Nothing)
}

fn cut_off(facts: &Facts) -> Finding {
    Finding {
        scope: Scope::ThisHost,
        evidence: vec![format!("none of {} other hosts answers", facts.hosts.len())],
        safe: "Guests that run go on. Believe the other hosts about the pool, not this one."
            .to_owned(),
        next: "repair this host's network: ip link; ethtool; the switch port".to_owned(),
        ..of_pool(
            facts,
            Rule::CutOff,
            Weight::Failure,
            said_here(facts),
            "it reaches no other host of the pool: its cable, its switch, or all of them at once"
                .to_owned(),
        )
    }
}

fn said_here(facts: &Facts) -> String {
    format!("host {}", facts.host)
}

fn of_pool(facts: &Facts, rule: Rule, weight: Weight, subject: String, what: String) -> Finding {
    Finding {
        rule,
        weight,
        scope: Scope::Pool,
        subject,
        what,
        said_by: said_here(facts),
        evidence: Vec::new(),
        safe: String::new(),
        next: String::new(),
    }
}

fn pool_name(facts: &Facts) -> String {
    facts.pool.as_ref().map_or_else(|| "the pool".to_owned(), |pool| format!("pool {pool}"))
}

/// What can be said of another host's life, from its lease and signs of life.
fn evidence(host: &HostFacts) -> Vec<String> {
    let mut lines = vec![format!(
        "address {}: ping {}, TCP {}, API {}",
        host.address, host.ping, host.tcp, host.api
    )];
    lines.push(match host.heard_ago {
        Some(time) => format!("last sign of life {} ago", ago(time)),
        None => "no sign of life since this daemon started".to_owned(),
    });
    lines.push(
        if host.leased {
            "its lease stands in the database"
        } else {
            "it holds no lease in the database (evidence, not proof that it is off)"
        }
        .to_owned(),
    );
    if let Some(proof) = &host.fenced {
        lines.push(format!("fenced: {proof}"));
    }
    lines
}

fn one_host(facts: &Facts, host: &HostFacts, found: &mut Vec<Finding>) {
    let subject = format!("host {}", host.host);
    let seen = reach(&host.ping, &host.tcp, &host.api);
    let leads = facts.leader.copy.as_ref().is_some_and(|(name, _)| *name == host.host);
    if !matches!(seen, Reach::Answers | Reach::Unknown) {
        let meaning = seen.meaning();
        let what = if leads {
            format!("the coordinator, as far as this host knows: {meaning}")
        } else {
            meaning.to_owned()
        };
        // A held lease was renewed by a host that lives: only its daemon, or the way to it, is broken.
        let lives = host.leased && !facts.database.without_quorum;
        let safe = match (&host.fenced, lives) {
            (Some(_), _) => {
                "It is fenced: its VMs may be started elsewhere and its disks released.".to_owned()
            }
            (None, true) => {
                "Its VMs run there. Don't start them elsewhere and don't release its disks."
                    .to_owned()
            }
            (None, false) => {
                "Its VMs may still run there. Start none of them elsewhere before it is proved off."
                    .to_owned()
            }
        };
        let next = match seen {
            Reach::NoDaemon | Reach::Mute if lives => {
                format!("on host {}: xe-toolstack-restart", host.host.label)
            }
            Reach::Filtered => format!("xe host-diagnose, on host {} itself", host.host.label),
            _ => format!(
                "look at its console or power; then: xe host-power-on uuid={}, or repair its network",
                host.host.uuid
            ),
        };
        found.push(Finding {
            evidence: evidence(host),
            safe,
            next,
            ..of_pool(facts, Rule::HostUnreachable, Weight::Failure, subject.clone(), what)
        });
    }
    if seen == Reach::Answers && !facts.database.without_quorum && !(host.leased && host.live) {
        found.push(Finding {
            evidence: evidence(host),
            safe: "Its VMs run. Don't start them elsewhere.".to_owned(),
            next: format!("xe host-diagnose host={}", host.host.uuid),
            ..of_pool(
                facts,
                Rule::HostNotLive,
                Weight::Failure,
                subject.clone(),
                "it answers, but holds no lease or is not recorded as alive yet".to_owned(),
            )
        });
    }
    if host.lost_percent >= LOST_PERCENT && matches!(seen, Reach::Answers | Reach::Unknown) {
        found.push(Finding {
            evidence: vec![format!(
                "{} % of its latest signs of life did not arrive here",
                host.lost_percent
            )],
            safe: "Everything works, with delays; large migrations may fail and are then undone."
                .to_owned(),
            next: "look at the cable, the switch port and ethtool -S of both hosts".to_owned(),
            ..of_pool(
                facts,
                Rule::PacketsLost,
                Weight::Failure,
                subject.clone(),
                "packets are lost on the way from it".to_owned(),
            )
        });
    }
    if let Some(rules) = host.says.as_ref().filter(|rules| !rules.is_empty()) {
        found.push(Finding {
            said_by: format!("host {} itself", host.host),
            evidence: vec![format!("its health names: {}", rules.join(", "))],
            safe: "Its running guests go on.".to_owned(),
            next: format!("xe host-diagnose host={}", host.host.uuid),
            ..of_pool(
                facts,
                Rule::HostUnwell,
                Weight::Failure,
                subject,
                format!("it says that it is not well: {}", rules.join(", ")),
            )
        });
    }
}

fn database(facts: &Facts, found: &mut Vec<Finding>) {
    let database = &facts.database;
    for voter in &database.voters {
        let Answer::No(silence) = &voter.answer else { continue };
        let scope = if voter.is_this { Scope::ThisHost } else { Scope::Pool };
        let next = if voter.is_this {
            "systemctl restart holdfast-etcd".to_owned()
        } else {
            format!("xe host-diagnose host={}", voter.host.uuid)
        };
        found.push(Finding {
            scope,
            evidence: vec![format!("voter on host {}: {silence}", voter.host)],
            safe: "The database goes on as long as a majority of its voters does.".to_owned(),
            next,
            ..of_pool(
                facts,
                Rule::VoterSilent,
                Weight::Failure,
                format!("host {}", voter.host),
                "its voter of the pool database does not answer".to_owned(),
            )
        });
    }
    if database.without_quorum {
        let answering = database.voters.iter().filter(|v| v.answer.is_yes()).count();
        let silent: Vec<String> = database
            .voters
            .iter()
            .filter(|v| v.answer.is_no())
            .map(|v| v.host.label.clone())
            .collect();
        let mut evidence = vec![match database.confirmed_ago {
            Some(time) => format!("a majority last confirmed this host's copy {} ago", ago(time)),
            None => {
                "no majority has confirmed this host's copy since its daemon started".to_owned()
            }
        }];
        if !database.voters.is_empty() {
            evidence.push(format!("{answering} of {} voters answer", database.voters.len()));
        }
        if !silent.is_empty() {
            evidence.push(format!("silent: {}", silent.join(", ")));
        }
        let next = if is_cut_off(facts) {
            "repair this host's network (ip link; ethtool): the others may well have a majority"
        } else {
            "bring a majority of the voters back; only if they are proved off: xe \
             pool-emergency-transition-to-master --dry-run"
        };
        found.push(Finding {
            scope: Scope::ThisHost,
            evidence,
            safe: "Reads are answered from this host's copy. Guests that run go on; nothing is started, changed or attached."
                .to_owned(),
            next: next.to_owned(),
            ..of_pool(
                facts,
                Rule::NoQuorum,
                Weight::Failure,
                pool_name(facts),
                "no majority of the pool database answers here".to_owned(),
            )
        });
    }
}

fn leader(facts: &Facts, found: &mut Vec<Finding>) {
    if facts.database.embedded {
        return;
    }
    match (&facts.leader.copy, &facts.leader.majority) {
        (_, Majority::Nobody) => found.push(Finding {
            said_by: "a majority of the pool database".to_owned(),
            safe: "Hosts and guests go on; any host takes writes. A new coordinator is chosen within seconds.".to_owned(),
            next: "wait 15 s, then: xe pool-status".to_owned(),
            ..of_pool(
                facts,
                Rule::NoCoordinator,
                Weight::Failure,
                pool_name(facts),
                "nobody coordinates the pool now".to_owned(),
            )
        }),
        (Some((copy, old)), Majority::Leader(leader, term)) if copy != leader || old != term => {
            found.push(Finding {
                said_by: "a majority of the pool database".to_owned(),
                evidence: vec![
                    format!("majority: {leader}, term {term}"),
                    format!("this host's copy: {copy}, term {old}"),
                ],
                safe: "The majority is right; this host's copy follows.".to_owned(),
                next: "xe pool-sync-database; xe pool-status".to_owned(),
                ..of_pool(
                    facts,
                    Rule::CoordinatorDiffers,
                    Weight::Warning,
                    pool_name(facts),
                    "this host's copy names another coordinator than the majority".to_owned(),
                )
            });
        }
        _ => {}
    }
}

/// S1-8: running as the API says, unknown in truth.
fn guests(facts: &Facts, found: &mut Vec<Finding>) {
    for guest in &facts.guests {
        let since = guest
            .unknown_for
            .map_or_else(|| "before this daemon started".to_owned(), |t| format!("{} ago", ago(t)));
        found.push(Finding {
            evidence: vec![format!("last known on host {}", guest.last_on)],
            safe: "Don't start it elsewhere before that host is proved off.".to_owned(),
            next: format!("xe host-diagnose host={}", guest.last_on.uuid),
            ..of_pool(
                facts,
                Rule::GuestUnknown,
                Weight::Warning,
                format!("VM {}", guest.vm),
                format!("its state is unknown since {since}, last on {}", guest.last_on.label),
            )
        });
    }
}
