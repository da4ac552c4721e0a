//! Repairing a repository's attachments, over a pool of fakes.

mod pool;

use driver_api::fake::storage::{Effect, Fault, Operation, Storage};
use driver_api::storage::SrDriver as _;
use driver_api::Kind;
use holdfastd::first_start::reference;
use pool::{PATIENCE, Pool};
use uuid::Uuid;
use xenapi::Value;

fn json(value: &Value) -> serde_json::Value {
    serde_json::from_str(value.as_str().unwrap_or_default()).expect("JSON")
}

async fn repair(pool: &Pool, sr: Uuid, location: Option<&str>, dry_run: bool) -> serde_json::Value {
    let config = Value::str_map(location.map(|l| ("location", l)));
    let params = vec![reference(sr), Value::Set(vec![]), config, dry_run.into()];
    json(&pool.h1().ok("SR.holdfast_repair", params).await)
}

fn outcomes(report: &serde_json::Value) -> Vec<(String, String)> {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let hosts = report["hosts"].as_array().expect("hosts");
    hosts.iter().map(|h| (text(&h["name"]), text(&h["outcome"]))).collect()
}

async fn pbd_of(pool: &Pool, sr: Uuid, host: Uuid) -> Option<Uuid> {
    let view = pool.view().await;
    view.referrers("PBD", "SR", sr).find(|pbd| {
        let host_of = view.record("PBD", *pbd).and_then(|p| p.get_by_name("host").cloned());
        host_of == Some(reference(host))
    })
}

/// The second host lost its attachment, the third can't reach the storage: each is told by itself.
#[tokio::test(flavor = "multi_thread")]
async fn each_host_is_repaired_or_told_why_not() {
    let storage = Storage::new();
    let pool = Pool::on_storage(3, storage.clone()).await;
    let sr = pool.shared_sr().await;
    for host in &pool.hosts[1..] {
        let pbd = pbd_of(&pool, sr, host.uuid).await.expect("it is plugged everywhere");
        pool.h1().ok("PBD.unplug", vec![reference(pbd)]).await;
        pool.h1().ok("PBD.destroy", vec![reference(pbd)]).await;
    }
    let planned = repair(&pool, sr, None, true).await;
    let said = [("h1", "plugged"), ("h2", "repair"), ("h3", "repair")];
    assert_eq!(outcomes(&planned), said.map(|(h, o)| (h.to_owned(), o.to_owned())));
    assert_eq!(pbd_of(&pool, sr, pool.hosts[1].uuid).await, None, "a dry run changes nothing");

    let broken = Effect::Refuse(Kind::NotFound, "no path to the storage".to_owned());
    let fault = Fault { operation: Operation::Attach, volume: None, effect: broken, times: 1 };
    storage.inject("h3", fault);
    let report = repair(&pool, sr, None, false).await;
    let said = [("h1", "plugged"), ("h2", "repaired"), ("h3", "failed")];
    assert_eq!(outcomes(&report), said.map(|(h, o)| (h.to_owned(), o.to_owned())), "{report}");
    let why = report["hosts"][2]["why"].as_str().unwrap_or_default();
    assert!(why.contains("no path to the storage"), "{why}");

    let report = repair(&pool, sr, None, false).await;
    let said = [("h1", "plugged"), ("h2", "plugged"), ("h3", "repaired")];
    assert_eq!(outcomes(&report), said.map(|(h, o)| (h.to_owned(), o.to_owned())), "{report}");
    let driver = storage.driver("h3", "file");
    driver.scan(&pool.sr_spec(sr), PATIENCE).await.expect("it is attached there");
    pool.is_clean().await;
}
