//! High availability over pools of fakes: what is promised, what is refused, and what happens when a host is lost.

mod pool;

use std::time::Duration;

use holdfastd::edits::{self, Change, Object};
use holdfastd::first_start::reference;
use holdfastd::reconcilers::arming;
use holdfastd::{fencing, ha, reconcilers};
use host::had::{LinkState, LinkStatus};
use pool::{HOST_MEMORY, PATIENCE, Pool};
use uuid::Uuid;
use xenapi::{OpaqueRef, Value};

const BREAKS: &str = "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN";
const GIB: i64 = 1 << 30;

async fn set(pool: &Pool, object: Object, field: &str, value: impl Into<Value>) {
    let mut change = Change::new();
    change.set(object, field, value);
    edits::commit(&pool.h1().daemon, &change).await.expect("commits");
}

fn start(vm: Uuid) -> Vec<Value> {
    vec![reference(vm), false.into(), false.into()]
}

fn start_on(vm: Uuid, host: Uuid) -> Vec<Value> {
    vec![reference(vm), reference(host), false.into(), false.into()]
}

async fn vm(pool: &Pool, sr: Uuid, label: &str, gib: i64, priority: &str) -> Uuid {
    let (vm, _, _) = pool.vm_with_disk(label, sr).await;
    for field in
        ["memory_static_max", "memory_dynamic_max", "memory_dynamic_min", "memory_static_min"]
    {
        set(pool, Object::new("VM", vm), field, gib * GIB).await;
    }
    let priority = vec![reference(vm), priority.into()];
    pool.h1().ok("VM.set_ha_restart_priority", priority).await;
    vm
}

async fn the_pool(pool: &Pool) -> Uuid {
    pool.view().await.records("pool").next().expect("a pool").uuid()
}

async fn turn_on(pool: &Pool, failures: i64) {
    let none = Value::Set(Vec::new().into_iter().collect());
    pool.h1().ok("pool.enable_ha", vec![none, Value::Map(Vec::new())]).await;
    let own = the_pool(pool).await;
    let wanted = vec![reference(own), failures.into()];
    pool.h1().ok("pool.set_ha_host_failures_to_tolerate", wanted).await;
}

fn json(value: &Value) -> serde_json::Value {
    serde_json::from_str(value.as_str().unwrap_or_default()).expect("JSON")
}

async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !look().await {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Ends its house-keeping when it goes.
struct Keeper(tokio::task::JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The first host does what the coordinator does for HA.
fn coordinates(pool: &Pool) -> Keeper {
    let daemon = pool.h1().daemon.clone();
    let hand = std::sync::Arc::new(reconcilers::ha::Hand::default());
    Keeper(tokio::spawn(async move {
        loop {
            reconcilers::fences::round(&daemon).await;
            reconcilers::ha::round(&daemon, &hand).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }))
}

async fn power_device(pool: &Pool, number: usize) {
    let host = Object::new("host", pool.hosts[number].uuid);
    set(pool, host, "power_on_mode", "fence_lab").await;
}

/// proves: S4-50 (table)
#[tokio::test(flavor = "multi_thread")]
async fn what_would_break_the_promise_is_refused_with_xenapis_code() {
    let pool = Pool::new(2).await;
    let sr = pool.shared_sr().await;
    let h1 = pool.h1();
    let gib = HOST_MEMORY / GIB;
    let big = vm(&pool, sr, "big", gib / 2, "restart").await;
    let more = vm(&pool, sr, "more", gib / 2, "restart").await;
    let small = vm(&pool, sr, "small", 1, "").await;
    h1.ok("VM.start_on", start_on(big, pool.hosts[0].uuid)).await;
    turn_on(&pool, 1).await;
    let own = the_pool(&pool).await;
    let asked = h1.ok("pool.ha_compute_max_host_failures_to_tolerate", vec![]).await;
    assert_eq!(asked.as_int(), Some(1));
    // Each has room on a host of its own, but not both on one: refused there, and by itself.
    let refused = h1.refused("VM.start_on", start_on(more, pool.hosts[1].uuid)).await;
    assert_eq!(refused, [BREAKS]);
    assert_eq!(h1.refused("VM.start", start(more)).await, [BREAKS]);
    let status = json(&h1.ok("pool.holdfast_ha_status", vec![]).await);
    let why = status["refused"]["why"].as_str().unwrap_or_default();
    assert!(why.contains("'big'") || why.contains("'more'"), "{status}");
    assert!(why.contains("MiB"), "{why}");
    // Nor may a host go that the promise needs.
    assert_eq!(h1.refused("host.disable", vec![reference(pool.hosts[1].uuid)]).await, [BREAKS]);
    let view = pool.view().await;
    let there = view.referrers("PBD", "SR", sr).find(|pbd| {
        let host =
            view.record("PBD", *pbd).and_then(|p| p.get_by_name("host")?.as_opaque()?.uuid());
        host == Some(pool.hosts[1].uuid)
    });
    let there = vec![reference(there.expect("it is plugged there"))];
    assert_eq!(h1.refused("PBD.unplug", there).await, [BREAKS]);
    // What fits beside it may run, protected or not.
    h1.ok("VM.start", start(small)).await;
    let more_failures = vec![reference(own), 2_i64.into()];
    assert_eq!(h1.refused("pool.set_ha_host_failures_to_tolerate", more_failures).await, [BREAKS]);
    let exists = |n: i64| vec![Value::from(n)];
    assert_eq!(h1.ok("pool.ha_failover_plan_exists", exists(1)).await.as_bool(), Some(true));
    assert_eq!(h1.ok("pool.ha_failover_plan_exists", exists(2)).await.as_bool(), Some(false));
    let what_if = Value::Map(
        vec![(reference(big), "restart".into()), (reference(more), "restart".into())]
            .into_iter()
            .collect(),
    );
    let method = "pool.ha_compute_hypothetical_max_host_failures_to_tolerate";
    assert_eq!(h1.ok(method, vec![what_if]).await.as_int(), Some(0));
    // Its owner may say that it does not matter.
    h1.ok("pool.set_ha_allow_overcommit", vec![reference(own), true.into()]).await;
    h1.ok("VM.start", start(more)).await;
    assert_eq!(
        h1.refused(
            "pool.enable_ha",
            vec![Value::Set(vec![].into_iter().collect()), Value::Map(vec![])]
        )
        .await,
        ["HA_IS_ENABLED"]
    );
    h1.ok("pool.disable_ha", vec![]).await;
    assert_eq!(h1.refused("pool.disable_ha", vec![]).await, ["HA_NOT_ENABLED"]);
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_a_host_for_each_vm_of_a_host_or_an_error() {
    let pool = Pool::new(2).await;
    let sr = pool.shared_sr().await;
    let h1 = pool.h1();
    let fits = vm(&pool, sr, "fits", 1, "restart").await;
    let huge = vm(&pool, sr, "huge", HOST_MEMORY / GIB * 2, "restart").await;
    let host = pool.hosts[1].uuid;
    h1.ok("VM.start_on", start_on(fits, host)).await;
    let hosts = Value::Set([reference(host)].into_iter().collect());
    let vms = Value::Set([reference(fits), reference(huge)].into_iter().collect());
    let plan = h1.ok("pool.ha_compute_vm_failover_plan", vec![hosts, vms]).await;
    let of = |vm: Uuid, key: &str| {
        let plan = plan.as_map()?.get_value(&reference(vm))?.as_map()?.get(key)?.as_str()?;
        Some(plan.to_owned())
    };
    assert_eq!(of(fits, "host"), Some(OpaqueRef::new(pool.hosts[0].uuid).to_string()));
    assert_eq!(of(huge, "error_code").as_deref(), Some("HOST_NOT_ENOUGH_FREE_MEMORY"));
}

/// proves: S4-44 (sim), S4-49 (sim)
#[tokio::test(flavor = "multi_thread")]
async fn with_proof_protected_vms_run_elsewhere_by_themselves_and_without_it_they_wait() {
    let mut pool = Pool::mortal(3).await;
    let sr = pool.shared_sr().await;
    let h3 = pool.hosts[2].uuid;
    let always = vm(&pool, sr, "always", 1, "restart").await;
    let maybe = vm(&pool, sr, "maybe", 1, "best-effort").await;
    let never = vm(&pool, sr, "never", 1, "").await;
    for vm in [always, maybe, never] {
        pool.h1().ok("VM.start_on", start_on(vm, h3)).await;
    }
    turn_on(&pool, 1).await;
    let _keeper = coordinates(&pool);
    pool.dies(2).await;
    // No device, no watchdog: they wait, and it is said for what.
    until("the reason", async || {
        let status = json(&pool.h1().ok("pool.holdfast_ha_status", vec![]).await);
        status["hosts"].as_array().is_some_and(|all| {
            all.iter().any(|h| h["missing"].as_str().is_some_and(|m| m.contains("xe host-recover")))
        })
    })
    .await;
    let status = json(&pool.h1().ok("pool.holdfast_ha_status", vec![]).await);
    let waits: Vec<&str> = status["vms"]
        .as_array()
        .expect("VMs")
        .iter()
        .filter(|v| v["state"] == "waits")
        .filter_map(|v| v["name_label"].as_str())
        .collect();
    assert_eq!(waits, ["always", "maybe"], "{status}");
    for vm in [always, maybe, never] {
        assert_eq!(pool.h1().text("VM", vm, "power_state").await, "Running", "nothing is known");
        assert!(pool.world.running_on(vm).is_empty());
    }
    // Its device says that it is off.
    pool.power.set("h3", false);
    power_device(&pool, 2).await;
    for vm in [always, maybe] {
        until("the restart", async || pool.world.running_on(vm).len() == 1).await;
        assert_ne!(pool.world.running_on(vm), ["h3"]);
    }
    until("the incident's end", async || {
        let view = pool.view().await;
        ha::incidents(&view).iter().all(|i| i.closed.is_some())
    })
    .await;
    assert_eq!(pool.h1().text("VM", never, "power_state").await, "Halted");
    let view = pool.view().await;
    let alerts: Vec<String> = view
        .records("message")
        .filter_map(|m| Some(m.get_by_name("name")?.as_str()?.to_owned()))
        .filter(|name| name.starts_with("HA_"))
        .collect();
    assert_eq!(alerts, ["HA_HOST_FAILED"], "one alert for the host, none for its VMs");
    let incidents = ha::incidents(&view);
    let incident = incidents.first().expect("an incident");
    assert_eq!(incident.vms.len(), 3);
    assert!(incident.proof.contains("read back off"), "{}", incident.proof);
    assert!(fencing::is_fenced(&view, h3, &incident.boot));
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_host_that_has_power_is_switched_off_first_and_a_deaf_device_is_no_proof() {
    let mut pool = Pool::mortal(3).await;
    let sr = pool.shared_sr().await;
    let h3 = pool.hosts[2].uuid;
    let always = vm(&pool, sr, "always", 1, "restart").await;
    pool.h1().ok("VM.start_on", start_on(always, h3)).await;
    turn_on(&pool, 1).await;
    power_device(&pool, 2).await;
    pool.power.set("h3", true);
    pool.power.deaf.lock().expect("not poisoned").insert("h3".to_owned());
    // Cut off, and running: its guest may write.
    pool.kill(2);
    pool.falls_silent(h3).await;
    let _keeper = coordinates(&pool);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(pool.world.running_on(always), ["h3"], "nothing is started beside it");
    let view = pool.view().await;
    assert!(ha::incidents(&view).is_empty());
    // At last it goes off.
    pool.world.power_off("h3");
    pool.power.set("h3", false);
    until("the restart", async || pool.world.running_on(always).len() == 1).await;
    assert_ne!(pool.world.running_on(always), ["h3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_takes_one_host_out_until_ha_is_off() {
    let pool = Pool::new(2).await;
    let h1 = pool.h1();
    let order = vec![false.into()];
    assert_eq!(h1.refused("host.emergency_ha_disable", order.clone()).await, ["HA_NOT_ENABLED"]);
    turn_on(&pool, 0).await;
    h1.ok("host.emergency_ha_disable", order).await;
    assert!(ha::emergency::is_disarmed(&h1.daemon));
    ha::emergency::end(&h1.daemon, &pool.view().await);
    assert!(ha::emergency::is_disarmed(&h1.daemon), "HA is on in the pool");
    h1.ok("pool.disable_ha", vec![]).await;
    ha::emergency::end(&h1.daemon, &pool.view().await);
    assert!(!ha::emergency::is_disarmed(&h1.daemon));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_order_without_a_majority_disarms_and_the_pool_learns_it_when_the_host_is_back()
 {
    let pool = Pool::new(2).await;
    let h1 = pool.h1();
    h1.had.hears(Vec::new());
    turn_on(&pool, 0).await;
    let follow = async || {
        let view = pool.view().await;
        // What the pool was told before.
        let mut told = serde_json::Map::from_iter([("watchdog".to_owned(), "hardware".into())]);
        arming::follow(&h1.daemon, &view, &mut told).await;
        told
    };
    assert_eq!(follow().await.get(arming::WATCHDOG), Some(&"hardware".into()));
    assert!(h1.had.is_armed());
    h1.db.set_cut_off(true);
    until("the majority is missed", async || h1.daemon.is_without_quorum()).await;
    h1.ok("host.emergency_ha_disable", vec![false.into()]).await;
    assert!(!h1.had.is_armed(), "the order of a person at the host is carried out there and then");
    h1.db.set_cut_off(false);
    until("the majority is back", async || !h1.daemon.is_without_quorum()).await;
    let told = follow().await;
    assert_eq!(told.get(arming::WATCHDOG), None, "its lease's end proves nothing any more");
    let why = told.get(arming::NOT_ARMED).and_then(serde_json::Value::as_str).unwrap_or_default();
    assert!(why.contains("emergency order") && why.contains("xe pool-ha-disable"), "{why}");
    assert!(!h1.had.is_armed(), "HA is on in the pool, and not here");
    // Off and on again takes it in.
    h1.ok("pool.disable_ha", vec![]).await;
    ha::emergency::end(&h1.daemon, &pool.view().await);
    turn_on(&pool, 0).await;
    let told = follow().await;
    assert!(h1.had.is_armed());
    assert_eq!(told.get(arming::NOT_ARMED), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_all_beats_suspect_keeps_its_vms_while_it_holds_its_lease() {
    let pool = Pool::mortal(3).await;
    let sr = pool.shared_sr().await;
    let h3 = pool.hosts[2].uuid;
    let always = vm(&pool, sr, "always", 1, "restart").await;
    pool.h1().ok("VM.start_on", start_on(always, h3)).await;
    turn_on(&pool, 1).await;
    // Its power could be switched off at once.
    power_device(&pool, 2).await;
    pool.power.set("h3", true);
    for host in &pool.hosts[..2] {
        let silent = LinkStatus { host: h3, state: LinkState::Silent, silent_ms: Some(60_000) };
        host.had.hears(vec![silent]);
    }
    let _keeper = coordinates(&pool);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(pool.world.running_on(always), ["h3"]);
    let view = pool.view().await;
    assert!(ha::incidents(&view).is_empty(), "a suspicion is no incident");
    let boot = fencing::registered_boot(&view, h3).expect("it has told of its boot");
    assert!(!fencing::is_fenced(&view, h3, &boot));
    // People see it.
    let liveness = pool.h1().ok("host.holdfast_get_liveness", vec![reference(h3)]).await;
    let liveness = json(&liveness);
    assert_eq!(liveness["suspected"], true, "{liveness}");
    assert_eq!(liveness["beats"], "silent for 60.0 s: suspected, which proves nothing");
    assert_eq!(liveness["state"], "live");
    let status = json(&pool.h1().ok("pool.holdfast_ha_status", vec![]).await);
    let hosts = status["hosts"].as_array().expect("hosts");
    let said = hosts.iter().find(|h| h["uuid"] == h3.to_string()).map(|h| h["beats"].clone());
    assert_eq!(said, Some("silent for 60.0 s: suspected, which proves nothing".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_owner_stopped_stays_off_and_what_ended_by_itself_does_not() {
    let pool = Pool::mortal(2).await;
    let sr = pool.shared_sr().await;
    let always = vm(&pool, sr, "always", 1, "restart").await;
    pool.h1().ok("VM.start", start(always)).await;
    turn_on(&pool, 1).await;
    let view = pool.view().await;
    let marked = |view: &holdfastd::View| {
        let vm = view.record("VM", always).expect("the VM");
        vm.get_by_name("ha_always_run").and_then(Value::as_bool)
    };
    assert_eq!(marked(&view), Some(true), "running and protected");
    let _keeper = coordinates(&pool);
    pool.h1().ok("VM.hard_shutdown", vec![reference(always)]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(pool.world.running_on(always).is_empty());
    assert_eq!(marked(&pool.view().await), Some(false));
    pool.h1().ok("VM.start", start(always)).await;
    let before = ha_generation(&pool, always).await;
    let at = pool.world.running_on(always).pop().expect("it runs");
    pool.world.guest_powers_off(&at, always);
    until("the restart", async || {
        ha_generation(&pool, always).await > before && pool.world.running_on(always).len() == 1
    })
    .await;
}

async fn ha_generation(pool: &Pool, vm: Uuid) -> u64 {
    let view = pool.view().await;
    let key = pooldb::Key::new(pooldb::Table::Placement, vm.to_string());
    let item = view.get(&key).and_then(|i| i.raw()).expect("a placement").to_vec();
    holdfastd::records::decode::<holdfastd::records::Placement>(&item).expect("reads").generation
}
