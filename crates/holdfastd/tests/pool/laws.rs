//! Laws of the pool as functions that say what is wrong, so that a test can demand that they hold of the daemon as it
//! is and that they fail of a mutant ([`holdfastd::mutants`]).

use std::time::Duration;

use driver_api::fake::hypervisor::{Effect, Fault, Operation};
use futures_util::future::join_all;
use holdfastd::edits::{self, Change};
use holdfastd::first_start::reference;
use holdfastd::mutants::Mutant;
use pooldb::{Key, Table};
use uuid::Uuid;
use xenapi::Value;

use super::{PATIENCE, Pool, vbd_fields, vm_fields};

const NO: Value = Value::Bool(false);
/// Memory of which one host has room for one VM and not for two.
const MOST_OF_A_HOST: i64 = 5 << 30;
/// How late every replica is: all decide before any of them has heard of another.
const LATE: Duration = Duration::from_millis(60);
/// Time that a step is held up for others to act meanwhile.
const HELD_UP: Duration = Duration::from_millis(400);

/// What a law finds.
pub type Verdict = Result<(), String>;

macro_rules! demand {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

async fn pool_of(hosts: usize, mutant: Option<Mutant>) -> Pool {
    let pool = Pool::new(hosts).await;
    // The law is to say what is wrong, not the fake.
    pool.world.record_violations_only();
    if let Some(mutant) = mutant {
        for host in &pool.hosts {
            host.daemon.mutate(mutant);
        }
    }
    pool
}

async fn large_vm(pool: &Pool, label: &str) -> Uuid {
    let mut fields = vm_fields(label);
    for (name, value) in &mut fields {
        if name.starts_with("memory_") {
            *value = MOST_OF_A_HOST.into();
        }
    }
    pool.h1().make("VM", fields).await
}

/// Every host knows the same, and from now on hears everything late.
async fn all_late(pool: &Pool) {
    for host in &pool.hosts {
        host.daemon.catch_up().await;
        host.lag.set(LATE);
    }
}

fn start(vm: Uuid) -> Vec<Value> {
    vec![reference(vm), NO, NO]
}

fn start_on(vm: Uuid, host: Uuid) -> Vec<Value> {
    vec![reference(vm), reference(host), NO, NO]
}

/// The memory reserved on a host, bytes, by VM.
async fn reserved(pool: &Pool, host: Uuid) -> Vec<(String, i64)> {
    let view = pool.view().await;
    let kept = view.get(&Key::new(Table::Reservation, host.to_string()));
    let kept: serde_json::Value =
        kept.and_then(|item| serde_json::from_slice(item.raw()?).ok()).unwrap_or_default();
    let vms = kept["vms"].as_object().cloned().unwrap_or_default();
    vms.into_iter().map(|(vm, bytes)| (vm, bytes.as_i64().unwrap_or_default())).collect()
}

/// Of eight VMs started at once through eight hosts where one has room for one, one runs and its memory is reserved;
/// the others are refused for want of room and hold nothing.
pub async fn the_last_slot_has_one_winner(mutant: Option<Mutant>) -> Verdict {
    let pool = pool_of(8, mutant).await;
    let mut vms = Vec::new();
    for number in 0..pool.hosts.len() {
        vms.push(large_vm(&pool, &format!("racer {number}")).await);
    }
    for host in &pool.hosts[1..] {
        pool.h1().ok("host.disable", vec![reference(host.uuid)]).await;
    }
    all_late(&pool).await;
    let starts = pool.hosts.iter().zip(&vms).map(|(host, vm)| host.call("VM.start", start(*vm)));
    let answers = join_all(starts).await;
    let running: Vec<_> = vms.iter().filter(|vm| !pool.world.running_on(**vm).is_empty()).collect();
    demand!(running.len() == 1, "{} VMs run in one slot: {answers:?}", running.len());
    for (vm, answer) in vms.iter().zip(&answers) {
        match answer {
            Ok(_) => demand!(vm == running[0], "{vm} was answered as started and does not run"),
            Err(error) => demand!(error.is("NO_HOSTS_AVAILABLE"), "refused with {error}"),
        }
    }
    let reserved = reserved(&pool, pool.h1().uuid).await;
    // With what QEMU itself needs on top of the guest's own.
    let [(holder, bytes)] = reserved.as_slice() else {
        return Err(format!("reserved on h1: {reserved:?}"));
    };
    let right = *holder == running[0].to_string() && *bytes < 2 * MOST_OF_A_HOST;
    demand!(right && *bytes >= MOST_OF_A_HOST, "reserved on h1: {reserved:?}");
    let left = pool.left_behind().await;
    demand!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

/// A VM started through eight hosts at once, each on another host, runs once.
pub async fn a_vm_started_everywhere_runs_once(mutant: Option<Mutant>) -> Verdict {
    let pool = pool_of(8, mutant).await;
    let vm = large_vm(&pool, "wanted").await;
    all_late(&pool).await;
    let starts = pool.hosts.iter().map(|host| host.call("VM.start_on", start_on(vm, host.uuid)));
    let answers = join_all(starts).await;
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    let running = pool.world.running_on(vm);
    let broken = pool.world.violations();
    demand!(
        broken.is_empty() && running.len() == 1,
        "begun twice: it runs on {running:?}: {broken:?}"
    );
    demand!(won == 1, "{won} calls were answered as the one that started it: {answers:?}");
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        let fair = error.is("VM_BAD_POWER_STATE") || error.is("OTHER_OPERATION_IN_PROGRESS");
        // A start that was begun and came to nothing.
        demand!(fair, "begun twice: {error}");
    }
    let left = pool.left_behind().await;
    demand!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

/// While a guest that is being stopped still has its disk, nobody else gets it; QEMU's own locks are off, as block
/// devices have none.
pub async fn a_disk_is_held_until_its_guest_has_ended(mutant: Option<Mutant>) -> Verdict {
    let pool = pool_of(2, mutant).await;
    pool.world.set_image_locks(false);
    pool.storage.ask_for_holders(|_| None);
    let sr = pool.shared_sr().await;
    let (first, _, vdi) = pool.vm_with_disk("first", sr).await;
    let (h1, h2) = (pool.h1(), &pool.hosts[1]);
    let second = h1.make("VM", vm_fields("second")).await;
    h1.make("VBD", vbd_fields(second, Some(vdi), "0")).await;
    h1.ok("VM.start_on", start_on(first, h1.uuid)).await;
    let effect = Effect::Delay(HELD_UP);
    let slow = Fault { operation: Operation::Destroy, vm: Some(first), effect, times: 1 };
    pool.world.inject("h1", slow);
    let stop = h1.call("VM.hard_shutdown", vec![reference(first)]);
    let mut refused = 0;
    let take_over = async {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            match h2.call("VM.start_on", start_on(second, h2.uuid)).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is("SR_BACKEND_FAILURE_46") => refused += 1,
                Err(error) => return Err(format!("the second VM was refused with {error}")),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err("the disk was never given back".to_owned())
    };
    let (stopped, taken) = tokio::join!(stop, take_over);
    taken?;
    demand!(stopped.is_ok(), "the first VM was not stopped: {stopped:?}");
    let broken = pool.world.violations();
    demand!(broken.is_empty(), "{broken:?}");
    demand!(refused > 0, "the disk was given away at once");
    Ok(())
}

/// A start whose VM has been placed elsewhere meanwhile lets no CPU run, and leaves the newer placement alone.
pub async fn a_start_that_lost_its_placement_does_not_run(mutant: Option<Mutant>) -> Verdict {
    let pool = pool_of(2, mutant).await;
    let vm = large_vm(&pool, "wanted").await;
    let (h1, h2) = (pool.h1(), &pool.hosts[1]);
    let effect = Effect::Delay(HELD_UP);
    let slow = Fault { operation: Operation::CreatePaused, vm: Some(vm), effect, times: 1 };
    pool.world.inject("h1", slow);
    let key = Key::new(Table::Placement, vm.to_string());
    let elsewhere = async {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while pool.view().await.get(&key).is_none() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What the pool does once it has proof that h1 is dead: another run, on h2.
        let view = pool.view().await;
        let old = view.get(&key).and_then(|item| item.raw()).unwrap_or_default().to_vec();
        let mut placement: serde_json::Value = serde_json::from_slice(&old).unwrap_or_default();
        placement["host"] = h2.uuid.to_string().into();
        placement["generation"] = 2.into();
        placement["issued"] = 2.into();
        let mut change = Change::new();
        change.put(key.clone(), serde_json::to_vec(&placement).expect("plain JSON").into());
        edits::commit(&h2.daemon, &change).await.expect("commits");
    };
    let (answer, ()) = tokio::join!(h1.call("VM.start_on", start_on(vm, h1.uuid)), elsewhere);
    let running = pool.world.running_on(vm);
    demand!(running.is_empty(), "it runs on {running:?}, its placement names h2");
    demand!(answer.is_err(), "the start was answered as done");
    let view = pool.view().await;
    let now = view.get(&key).and_then(|item| item.raw()).unwrap_or_default();
    let now: serde_json::Value = serde_json::from_slice(now).unwrap_or_default();
    demand!(now["host"] == h2.uuid.to_string(), "the newer placement was taken away: {now}");
    Ok(())
}

/// What was done through one host is never held against the next call through another, however late its replica is.
pub async fn a_late_replica_refuses_nothing_that_is_true_elsewhere(
    mutant: Option<Mutant>,
) -> Verdict {
    let pool = pool_of(2, mutant).await;
    let sr = pool.shared_sr().await;
    let (vm, vbd, vdi) = pool.vm_with_disk("web", sr).await;
    let (h1, h2) = (pool.h1(), &pool.hosts[1]);
    all_late(&pool).await;
    h1.lag.set(Duration::ZERO);
    // Through the host that is up to date, then at once through the late one.
    let pairs: [(&str, Vec<Value>, &str, Vec<Value>); 4] = [
        ("VM.start_on", start_on(vm, h1.uuid), "VM.pause", vec![reference(vm)]),
        ("VM.unpause", vec![reference(vm)], "VM.suspend", vec![reference(vm)]),
        (
            "VM.resume_on",
            start_on(vm, h1.uuid),
            "VM.pool_migrate",
            vec![reference(vm), reference(h2.uuid), Value::Map(vec![])],
        ),
        ("VM.hard_shutdown", vec![reference(vm)], "VM.start", start(vm)),
    ];
    for (first, params, second, then) in pairs {
        h1.call(first, params).await.map_err(|error| format!("{first} through h1: {error}"))?;
        h2.call(second, then)
            .await
            .map_err(|error| format!("{second} through h2 right after {first}: {error}"))?;
        h1.daemon.catch_up().await;
    }
    demand!(pool.world.running_on(vm).len() == 1, "it does not run in the end");
    h1.ok("VM.hard_shutdown", vec![reference(vm)]).await;
    // A repository that was just plugged is there; one that was just unplugged is not "plugged already".
    let pbd = plugged_on(&pool, h2.uuid).await;
    h1.call("PBD.unplug", vec![reference(pbd)]).await.map_err(|e| format!("unplug: {e}"))?;
    h2.call("PBD.plug", vec![reference(pbd)]).await.map_err(|e| format!("plug: {e}"))?;
    h2.call("VM.start_on", start_on(vm, h2.uuid))
        .await
        .map_err(|error| format!("VM.start_on h2 after PBD.plug: {error}"))?;
    h1.daemon.catch_up().await;
    h1.ok("VM.hard_shutdown", vec![reference(vm)]).await;
    // What was just made is known, to reads and as a parameter.
    let late = h1.make("VM", vm_fields("late")).await;
    let read = h2.call("VM.get_record", vec![reference(late)]).await;
    demand!(read.is_ok(), "VM.get_record through h2 right after VM.create: {read:?}");
    let later = h1.make("VM", vm_fields("later")).await;
    let found = h2.call("VM.get_by_uuid", vec![later.to_string().into()]).await;
    demand!(found.is_ok(), "VM.get_by_uuid through h2 right after VM.create: {found:?}");
    let latest = h1.make("VM", vm_fields("latest")).await;
    h1.ok("VBD.destroy", vec![reference(vbd)]).await;
    let fields = vbd_fields(latest, Some(vdi), "0");
    let fields = fields.into_iter().map(|(n, v)| (n.into(), v)).collect();
    let made = h2.call("VBD.create", vec![Value::Struct(fields)]).await;
    demand!(made.is_ok(), "VBD.create through h2 right after VM.create: {made:?}");
    Ok(())
}

async fn plugged_on(pool: &Pool, host: Uuid) -> Uuid {
    let view = pool.view().await;
    let on = |pbd: &xenapi::Record| pbd.get_by_name("host").cloned() == Some(reference(host));
    let shared = view.records("PBD").find(|pbd| on(pbd) && is_plugged(pbd));
    shared.expect("the shared repository is plugged everywhere").uuid()
}

fn is_plugged(pbd: &xenapi::Record) -> bool {
    pbd.get_by_name("currently_attached").and_then(Value::as_bool).unwrap_or_default()
}

/// A call that has had an effect and then failed is answered with that failure and not done again.
pub async fn what_has_had_an_effect_is_done_once(mutant: Option<Mutant>) -> Verdict {
    let pool = pool_of(1, mutant).await;
    let vm = large_vm(&pool, "unlucky").await;
    let h1 = pool.h1();
    let effect = Effect::Refuse(driver_api::Kind::Invalid, "on request".to_owned());
    let once = Fault { operation: Operation::CreatePaused, vm: Some(vm), effect, times: 1 };
    pool.world.inject("h1", once);
    let answer = h1.call("VM.start", start(vm)).await;
    demand!(answer.is_err(), "the start was made twice: the second try went through");
    demand!(pool.world.running_on(vm).is_empty(), "it runs");
    h1.ok("VM.start", start(vm)).await;
    Ok(())
}
