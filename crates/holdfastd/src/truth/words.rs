//! What a diagnosis, a status and readiness look like as JSON: one shape for `xe`, monitoring and scripts.
//!
//! Keys are stable: they may be added to, not changed. Texts are for people.

use planner::diagnosis::facts::{Answer, Facts, Majority, Name};
use planner::diagnosis::{Finding, Health, Scope, reach};
use planner::readiness;
use serde_json::{Value, json};

fn name(name: &Name) -> Value {
    json!({"uuid": name.uuid, "name_label": name.label})
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One finding.
pub fn finding(finding: &Finding) -> Value {
    json!({
        "rule": finding.rule.word(),
        "weight": finding.weight.word(),
        "scope": match finding.scope { Scope::ThisHost => "host", Scope::Pool => "pool" },
        "subject": finding.subject,
        "what": finding.what,
        "said_by": finding.said_by,
        "evidence": finding.evidence,
        "safe": finding.safe,
        "next": finding.next,
        "line": finding.line(),
    })
}

fn answer(answer: &Answer) -> Value {
    match answer {
        Answer::NotAsked => Value::Null,
        Answer::Yes(_) => json!({"answers": true, "text": answer.to_string()}),
        Answer::No(_) => json!({"answers": false, "text": answer.to_string()}),
    }
}

/// The pool as one host sees it.
pub fn status(facts: &Facts, findings: &[Finding]) -> Value {
    let majority = match &facts.leader.majority {
        Majority::NotAsked => Value::Null,
        Majority::Nobody => json!({"nobody": true}),
        Majority::Silent(why) => json!({"silent": why}),
        Majority::Leader(host, term) => {
            let mut leader = name(host);
            leader["term"] = json!(term);
            leader
        }
    };
    let copy = facts.leader.copy.as_ref().map(|(host, term)| {
        let mut leader = name(host);
        leader["term"] = json!(term);
        leader
    });
    let hosts: Vec<Value> = facts
        .hosts
        .iter()
        .map(|host| {
            json!({
                "uuid": host.host.uuid,
                "name_label": host.host.label,
                "address": host.address,
                "ping": answer(&host.ping),
                "tcp": answer(&host.tcp),
                "api": answer(&host.api),
                "reach": reach(&host.ping, &host.tcp, &host.api).meaning(),
                "heard_ms": host.heard_ago.map(ms),
                "lost_percent": host.lost_percent,
                "lease": host.leased,
                "live": host.live,
                "recorded_s": host.recorded_ago.map(|t| t.as_secs()),
                "fenced": host.fenced,
                "failures": host.says,
            })
        })
        .collect();
    let voters: Vec<Value> = facts
        .database
        .voters
        .iter()
        .map(|voter| {
            json!({
                "uuid": voter.host.uuid,
                "name_label": voter.host.label,
                "answer": answer(&voter.answer),
                "leads": voter.leads,
                "errors": voter.errors,
            })
        })
        .collect();
    let unknown: Vec<Value> = facts
        .guests
        .iter()
        .map(|guest| {
            json!({
                "uuid": guest.vm.uuid,
                "name_label": guest.vm.label,
                "state": "unknown",
                "unknown_for_s": guest.unknown_for.map(|t| t.as_secs()),
                "last_on": name(&guest.last_on),
            })
        })
        .collect();
    json!({
        "status": Health::of_pool(findings).word(),
        "host_status": Health::of_host(findings).word(),
        "pool": facts.pool.as_ref().map(name),
        "seen_by": name(&facts.host),
        "quorum": !facts.database.without_quorum,
        "replica_age_ms": facts.database.confirmed_ago.map(ms),
        "database": if facts.database.embedded { "embedded" } else { "etcd" },
        "coordinator": {"copy": copy, "majority": majority},
        "hosts": hosts,
        "voters": voters,
        "guests_unknown": unknown,
        "safe_mode": facts.safe_mode.as_ref().map(|m| json!({
            "failed_starts": m.failed_starts, "part": m.part, "why": m.why, "off": m.off,
        })),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// One host's diagnosis: by itself, or (`seen` names it) as another host sees it.
pub fn diagnosis(facts: &Facts, findings: &[Finding], seen: Option<&Name>) -> Value {
    let health = match seen {
        None => Health::of_host(findings),
        Some(_) => Health::of_pool(findings),
    };
    json!({
        "status": health.word(),
        "host": name(seen.unwrap_or(&facts.host)),
        "said_by": name(&facts.host),
        "by_itself": seen.is_none(),
        "quorum": !facts.database.without_quorum,
        "libvirt": answer(&facts.hypervisor),
        "had": answer(&facts.had.answer),
        "safe_mode": facts.safe_mode.as_ref().map(|m| json!({"part": m.part, "why": m.why, "off": m.off})),
        "storage": facts.storage.iter().map(|r| json!({
            "sr": name(&r.sr), "pbd": r.pbd, "attached": r.attached, "fault": r.fault,
        })).collect::<Vec<_>>(),
        "space": facts.areas.iter().map(|a| json!({
            "what": a.what, "path": a.path, "total_bytes": a.total_bytes, "available_bytes": a.available_bytes,
        })).collect::<Vec<_>>(),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// Readiness, one row for each kind of failure.
pub fn readiness(facts: &readiness::Facts, rows: &[readiness::Row]) -> Value {
    let shown: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "failure": row.failure.word(),
                "colour": row.colour().to_string(),
                "missing": row.missing.iter().map(|m| json!({
                    "colour": m.colour.to_string(), "what": m.what, "next": m.next,
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let worst = rows.iter().map(readiness::Row::colour).max();
    json!({
        "pool": name(&facts.pool),
        "colour": worst.unwrap_or(readiness::Colour::Green).to_string(),
        "rows": shown,
    })
}
