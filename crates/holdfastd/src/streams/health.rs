//! `GET /health`, `/health/pool` and `/metrics`: for monitoring, without a login, with nothing in them that is secret
//! (S2-20).
//!
//! `/health` is this host's: 200 while it does its work, 503 with reasons when not. `/health/pool` is the pool's as this
//! host sees it: 503 also when another host or the database's majority fails. Both answer from the latest look, which is
//! never older than a few seconds; one that is older than [`STALE`] is itself a failure. Reasons name rules and hosts,
//! never addresses, paths or evidence: those are for whoever logs in (`xe host-diagnose`).

use std::fmt::Write as _;
use std::sync::Arc;

use http::{Response, StatusCode, header};
use planner::diagnosis::{Finding, Health, Scope, Weight};
use serde_json::{Value, json};

use crate::Daemon;
use crate::first_start::VERSION;
use crate::http::{ReplyBody, bytes_body};
use crate::truth::{STALE, Seen};

fn json_body(status: StatusCode, body: &Value) -> Response<ReplyBody> {
    let mut text = body.to_string();
    text.push('\n');
    typed(status, "application/json", text)
}

fn typed(status: StatusCode, kind: &'static str, text: String) -> Response<ReplyBody> {
    let mut response = Response::new(bytes_body(text.into_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

fn latest(daemon: &Daemon) -> Option<Arc<Seen>> {
    daemon.truth.seen().filter(|seen| seen.at.elapsed() < STALE)
}

fn reason(finding: &Finding) -> Value {
    json!({
        "rule": finding.rule.word(),
        "weight": finding.weight.word(),
        "subject": finding.subject,
    })
}

/// Answers `/health`, or `/health/pool`.
pub(super) fn health(daemon: &Arc<Daemon>, of_pool: bool) -> Response<ReplyBody> {
    let Some(seen) = latest(daemon) else {
        let body = json!({"status": "failed", "reasons": [{"rule": "no-look", "weight": "failure",
            "subject": "this host's daemon has not looked at itself lately"}]});
        return json_body(StatusCode::SERVICE_UNAVAILABLE, &body);
    };
    let counts = |f: &&Finding| of_pool || f.scope == Scope::ThisHost;
    let findings: Vec<&Finding> =
        seen.findings.iter().filter(counts).filter(|f| f.weight > Weight::Note).collect();
    // What can be known at once is not taken from the look.
    let lost_now = daemon.is_without_quorum()
        && !findings.iter().any(|f| f.rule == planner::diagnosis::Rule::NoQuorum);
    let mut health =
        if of_pool { Health::of_pool(&seen.findings) } else { Health::of_host(&seen.findings) };
    let mut reasons: Vec<Value> = findings.into_iter().map(reason).collect();
    if lost_now {
        health = Health::Failed;
        let subject = "the pool";
        reasons.push(json!({"rule": "no-quorum", "weight": "failure", "subject": subject}));
    }
    let status =
        if health == Health::Failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = json!({
        "status": health.word(),
        "of": if of_pool { "pool" } else { "host" },
        "host": {"uuid": seen.facts.host.uuid, "name_label": seen.facts.host.label},
        "quorum": !daemon.is_without_quorum(),
        "age_ms": u64::try_from(seen.at.elapsed().as_millis()).unwrap_or(u64::MAX),
        "reasons": reasons,
    });
    json_body(status, &body)
}

/// Answers `/metrics`, in the text format of Prometheus.
pub(super) fn metrics(daemon: &Arc<Daemon>) -> Response<ReplyBody> {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, rows: &[(String, f64)]| {
        let _ = writeln!(text, "# HELP holdfast_{name} {help}\n# TYPE holdfast_{name} gauge");
        for (labels, value) in rows {
            let _ = writeln!(text, "holdfast_{name}{labels} {value}");
        }
    };
    let one = |value: f64| vec![(String::new(), value)];
    let yes = |truth: bool| f64::from(u8::from(truth));
    gauge("info", "Version of the daemon.", &[(format!("{{version=\"{VERSION}\"}}"), 1.0)]);
    gauge(
        "quorum",
        "A majority confirms this host's copy.",
        &one(yes(!daemon.is_without_quorum())),
    );
    if let Some(age) = daemon.store().replica().age() {
        gauge("replica_age_seconds", "Age of this host's copy.", &one(age.as_secs_f64()));
    }
    gauge("coordinator", "This host coordinates the pool.", &one(yes(daemon.is_coordinator())));
    gauge("safe_mode", "The daemon runs in safe mode.", &one(yes(daemon.safe_mode().is_some())));
    let seen = latest(daemon);
    gauge("look_fresh", "The daemon has looked at itself lately.", &one(yes(seen.is_some())));
    if let Some(seen) = seen {
        let health = |health: Health| yes(health != Health::Failed);
        gauge(
            "host_healthy",
            "This host does its work.",
            &one(health(Health::of_host(&seen.findings))),
        );
        gauge(
            "pool_healthy",
            "The pool does its work, as this host sees it.",
            &one(health(Health::of_pool(&seen.findings))),
        );
        let live: Vec<(String, f64)> = seen
            .facts
            .hosts
            .iter()
            .map(|h| (format!("{{host=\"{}\"}}", h.host.uuid), yes(h.live)))
            .collect();
        gauge("host_live", "The pool records the host as alive.", &live);
        let lost: Vec<(String, f64)> = seen
            .facts
            .hosts
            .iter()
            .map(|h| (format!("{{host=\"{}\"}}", h.host.uuid), f64::from(h.lost_percent)))
            .collect();
        gauge("signs_of_life_lost_percent", "Signs of life that did not arrive.", &lost);
        let findings: Vec<(String, f64)> = seen
            .findings
            .iter()
            .map(|f| (f.rule.word(), f.weight.word()))
            .fold(std::collections::BTreeMap::new(), |mut counts, key| {
                *counts.entry(key).or_insert(0_u32) += 1;
                counts
            })
            .into_iter()
            .map(|((rule, weight), n)| {
                (format!("{{rule=\"{rule}\",weight=\"{weight}\"}}"), f64::from(n))
            })
            .collect();
        gauge("findings", "What is not as it should be.", &findings);
        let space: Vec<(String, f64)> = seen
            .facts
            .areas
            .iter()
            .map(|a| {
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
                let bytes = a.available_bytes as f64;
                (format!("{{area=\"{}\"}}", a.what), bytes)
            })
            .collect();
        gauge("space_available_bytes", "Space left.", &space);
        if let Some(write) = seen.facts.disk.writes.last() {
            gauge("durable_write_seconds", "The latest durable write.", &one(write.as_secs_f64()));
        }
    }
    typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
}
