//! Whether the pool is normal, as every host of it says: what `pool-status` finds, and the audit of the records.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use xenapi::Value;

use super::judge::texts;
use crate::lab::{Lab, root_session};

/// From the last healing until everything is normal by itself.
pub(super) const NORMAL: Duration = Duration::from_secs(120);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(700);

/// What a host says of the pool.
pub(super) async fn look() -> anyhow::Result<Json> {
    let session = root_session().await?;
    let text = session.call("pool.holdfast_status", &[]).await?;
    let status: Json = serde_json::from_str(text.as_str().unwrap_or_default())?;
    let pools = session.records("pool").await?;
    let master = pools.first().and_then(|p| p.get_by_name("master")).and_then(Value::as_opaque);
    let audit: Json = serde_json::from_slice(&crate::records::get("/audit")?)?;
    Ok(json!({"status": status, "master": master.map(|m| m.to_string()), "audit": audit}))
}

/// What all hosts say, or why one says nothing.
pub(super) fn looks(lab: &Lab, hosts: &[String]) -> Vec<(String, anyhow::Result<Json>)> {
    std::thread::scope(|scope| {
        let all: Vec<_> = hosts
            .iter()
            .map(|host| (host, scope.spawn(move || lab.worker(host, "soak", &["normal"]))))
            .collect();
        all.into_iter()
            .map(|(host, one)| {
                let said = one.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the look panicked")));
                (host.clone(), said)
            })
            .collect()
    })
}

/// What is not normal in what the hosts say.
pub(super) fn abnormal(looks: &[(String, anyhow::Result<Json>)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut masters = BTreeSet::new();
    for (host, look) in looks {
        match look {
            Err(error) => found.push(format!("{host} says nothing: {error:#}")),
            Ok(said) => {
                masters.insert(said["master"].as_str().unwrap_or_default().to_owned());
                found.extend(of_host(said).into_iter().map(|what| format!("{host}: {what}")));
            }
        }
    }
    if masters.len() > 1 {
        found.push(format!("the hosts name different coordinators: {masters:?}"));
    }
    found
}

fn of_host(said: &Json) -> Vec<String> {
    let (status, audit) = (&said["status"], &said["audit"]);
    let mut found: Vec<String> = status["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|f| f["weight"] != "note")
        .filter_map(|f| f["line"].as_str().map(str::to_owned))
        .collect();
    if status["status"] != "ok" && found.is_empty() {
        found.push(format!("the pool's status is {}", status["status"]));
    }
    if status["quorum"] != true {
        found.push("no majority answers".to_owned());
    }
    found.extend(texts(&audit["findings"]).into_iter().map(|f| format!("audit: {f}")));
    found.extend(texts(&audit["at_work"]).into_iter().map(|saga| format!("at work: {saga}")));
    for (name, what) in [("sagas", "sagas at work"), ("tasks", "tasks pending")] {
        if audit[name] != 0 {
            found.push(format!("{} {what}", audit[name]));
        }
    }
    found
}

/// Waits until every host finds everything normal at once; what is not by the deadline.
pub(super) fn wait(lab: &Lab, hosts: &[String], deadline: Instant) -> Vec<String> {
    loop {
        let found = abnormal(&looks(lab, hosts));
        if found.is_empty() || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine() -> Json {
        json!({
            "master": "a", "status": {"status": "ok", "quorum": true, "findings": [{"weight": "note", "line": "x"}]},
            "audit": {"findings": [], "at_work": [], "sagas": 0, "tasks": 0},
        })
    }

    fn with(pointer: &str, value: Json) -> Json {
        let mut said = fine();
        *said.pointer_mut(pointer).expect("it is there") = value;
        said
    }

    #[test]
    fn everything_that_is_not_normal_is_found() {
        let said = |look: Json| vec![("h1".to_owned(), Ok(fine())), ("h2".to_owned(), Ok(look))];
        assert_eq!(abnormal(&said(fine())), Vec::<String>::new());
        for (pointer, value) in [
            ("/master", json!("b")),
            ("/status/status", json!("degraded")),
            ("/status/findings", json!([{"weight": "warning", "line": "late"}])),
            ("/status/quorum", json!(false)),
            ("/audit/findings", json!(["an orphan"])),
            ("/audit/sagas", json!(1)),
            ("/audit/tasks", json!(2)),
        ] {
            assert_eq!(abnormal(&said(with(pointer, value))).len(), 1, "{pointer}");
        }
        let silent = vec![("h1".to_owned(), Err(anyhow::anyhow!("no daemon")))];
        assert_eq!(abnormal(&silent).len(), 1);
    }
}
