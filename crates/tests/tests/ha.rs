//! High availability between real hosts with real guests: a host is lost, its end is proved by its power device, and its
//! protected guests run again elsewhere with no command.

use std::time::{Duration, Instant};

use tests::guests::{count, counter_start, disk_give, disk_make, vm_make};
use tests::{PoolLab, until};

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
const MAC: &str = "02:00:00:00:0a:01";
/// Longest restart: the lease's end, the proof, and a machine that other tests use too.
const RESTART: Duration = Duration::from_secs(120);
/// Longest return of a host.
const RETURN: Duration = Duration::from_secs(120);
/// Longest boot of the test guest on a busy machine, translated.
const BOOT: Duration = Duration::from_secs(180);

fn uuid_of(lab: &PoolLab, host: &str) -> String {
    let label = format!("name-label={host}");
    lab.said("h1", &["host-list", &label, "--minimal"])
}

fn field(lab: &PoolLab, from: &str, class: &str, uuid: &str, name: &str) -> String {
    let (own, name) = (format!("uuid={uuid}"), format!("param-name={name}"));
    lab.said(from, &[&format!("{class}-param-get"), &own, &name])
}

/// Label of the host that the VM's record names.
fn place(lab: &PoolLab, from: &str, vm: &str) -> String {
    let host = field(lab, from, "vm", vm, "resident-on");
    if host.is_empty() || host.starts_with('<') {
        return String::new();
    }
    field(lab, from, "host", &host, "name-label")
}

/// Hosts of the lab in which a process of that VM lives: asked of the machine, not of the pool.
fn processes(lab: &PoolLab, vm: &str) -> Vec<&'static str> {
    let script = format!(
        "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q '[q]emu-system.*{vm}' && echo $p; done; true"
    );
    HOSTS
        .into_iter()
        .filter(|host| {
            let found = lab.try_run(&["exec", host, "--", "sh", "-c", &script]);
            found.is_ok_and(|found| !found.trim().is_empty())
        })
        .collect()
}

fn protect(lab: &PoolLab, vm: &str, priority: &str, order: u32) {
    let own = format!("uuid={vm}");
    let (priority, order) = (format!("ha-restart-priority={priority}"), format!("order={order}"));
    lab.said("h1", &["vm-param-set", &own, &priority, &order]);
}

fn small(lab: &PoolLab, name: &str, priority: &str, order: u32, on: &str) -> String {
    let vm = vm_make(lab, "h1", name);
    let vdi = disk_make(lab, "h1", name);
    disk_give(lab, "h1", &vm, &vdi, 0);
    protect(lab, &vm, priority, order);
    lab.said("h1", &["vm-start", &format!("uuid={vm}"), &format!("on={on}")]);
    vm
}

fn coordinator(lab: &PoolLab, from: &str) -> String {
    let master = lab.said(from, &["pool-list", "params=master", "--minimal"]);
    field(lab, from, "host", &master, "name-label")
}

fn live(lab: &PoolLab, from: &str, host: &str) -> bool {
    let done = lab.xe(
        from,
        &["host-list", &format!("name-label={host}"), "params=host-metrics-live", "--minimal"],
    );
    done.stdout.trim() == "true"
}

/// The whole story in one pool: a member's power is cut; the member that is back loses its cables, and is switched off before
/// its guests run elsewhere; the coordinator's power is cut; a lost host is forgotten while HA is on.
///
/// proves: S1-7 (lab), S1-16 (lab), S4-44 (lab), S4-48 (lab), S4-49 (lab), S4-60 (lab)
#[test]
fn guests_of_a_lost_host_run_again_elsewhere_by_themselves_and_only_after_its_end_is_proved() {
    let lab = PoolLab::up(3);
    let pool = lab.said("h1", &["pool-list", "--minimal"]);
    for host in HOSTS {
        let own = format!("uuid={}", uuid_of(&lab, host));
        let plug = format!("power-on-config:plug={host}");
        lab.said("h1", &["host-set-power-on-mode", &own, "power-on-mode=fence_lab", &plug]);
    }
    let counter = counter_start(&lab, "h3", "counter", MAC);
    protect(&lab, &counter, "restart", 0);
    let later = small(&lab, "later", "restart", 5, "h3");
    let maybe = small(&lab, "maybe", "best-effort", 0, "h3");
    let never = small(&lab, "never", "", 0, "h3");
    lab.said("h1", &["pool-ha-enable"]);
    let failures = "ha-host-failures-to-tolerate=1";
    lab.said("h1", &["pool-param-set", &format!("uuid={pool}"), failures]);
    assert_eq!(field(&lab, "h1", "pool", &pool, "ha-enabled"), "true");
    assert_eq!(field(&lab, "h1", "pool", &pool, "ha-plan-exists-for"), "1");
    assert_eq!(field(&lab, "h2", "vm", &counter, "ha-always-run"), "true");
    let most = lab.said("h1", &["pool-ha-compute-max-host-failures-to-tolerate"]);
    assert_eq!(most, "2");

    // A member's power is cut.
    let (first, counted, _) = count(&lab, MAC).expect("the guest answers");
    assert!(counted > 0);
    lab.run(&["fail", "h3", "power"]);
    for vm in [&counter, &later, &maybe] {
        until("the restart", RESTART, || {
            match (place(&lab, "h1", vm).as_str(), processes(&lab, vm)) {
                (at, on) if at != "h3" && !at.is_empty() && on == [at] => Ok(()),
                (at, on) => Err(format!("recorded on {at:?}, processes on {on:?}")),
            }
        });
    }
    assert_eq!(field(&lab, "h1", "vm", &never, "power-state"), "halted", "it stays off");
    assert!(processes(&lab, &never).is_empty());
    until("the guest to count again", BOOT, || match count(&lab, MAC) {
        Ok((boot, ..)) if boot != first => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let status = lab.said("h2", &["pool-ha-status"]);
    for part in
        ["incident: host h3", "read back off 2 times", "is off: its restart priority is empty"]
    {
        assert!(status.contains(part), "{part} is not in {status}");
    }
    let alerts = lab.said("h1", &["message-list", "params=name", "--minimal"]);
    assert_eq!(alerts.matches("HA_HOST_FAILED").count(), 1, "{alerts}");
    assert_eq!(alerts.matches("HA_PROTECTED_VM_RESTART_FAILED").count(), 0, "{alerts}");

    // It is back, and loses its cables with a protected guest on it: its power goes before the guest runs elsewhere.
    lab.run(&["heal", "h3", "power"]);
    until("h3 to be back", RETURN, || {
        if live(&lab, "h1", "h3") { Ok(()) } else { Err("no".to_owned()) }
    });
    until("the guest to move there", RETURN, || {
        let own = format!("uuid={later}");
        let done = lab.xe("h1", &["vm-migrate", &own, "host=h3", "live=true"]);
        if done.status.success() { Ok(()) } else { Err(done.stderr) }
    });
    lab.run(&["fail", "h3", "cable"]);
    until("the restart", RESTART, || {
        match (place(&lab, "h1", &later).as_str(), processes(&lab, &later)) {
            (at, on) if at != "h3" && !at.is_empty() && on == [at] => Ok(()),
            (_, on) if on.len() > 1 => panic!("it runs twice: {on:?}"),
            (at, on) => Err(format!("recorded on {at:?}, processes on {on:?}")),
        }
    });
    assert!(processes(&lab, &later).iter().all(|host| *host != "h3"), "its old host is off");
    lab.run(&["heal", "h3", "cable"]);
    lab.run(&["heal", "h3", "power"]);
    until("h3 to be back", RETURN, || {
        if live(&lab, "h1", "h3") { Ok(()) } else { Err("no".to_owned()) }
    });

    // The coordinator goes: another one leads, and goes on with its guests.
    let leads = coordinator(&lab, "h1");
    let heir = HOSTS.into_iter().find(|host| *host != leads).expect("three hosts");
    if place(&lab, "h1", &later) != leads {
        let own = format!("uuid={later}");
        lab.said("h1", &["vm-migrate", &own, &format!("host={leads}"), "live=true"]);
    }
    lab.run(&["fail", &leads, "power"]);
    until("another coordinator", Duration::from_secs(30), || {
        match lab.xe(heir, &["pool-list", "params=master", "--minimal"]) {
            done if done.status.success() => match coordinator(&lab, heir) {
                now if now != leads => Ok(()),
                now => Err(now),
            },
            done => Err(done.stderr),
        }
    });
    until("the restart", RESTART, || match (place(&lab, heir, &later), processes(&lab, &later)) {
        (at, on) if at != leads && !at.is_empty() && on == [at.as_str()] => Ok(()),
        (at, on) => Err(format!("recorded on {at:?}, processes on {on:?}")),
    });

    // Forgotten while HA is on: HA stays on, and the plan is that of the hosts that are left.
    let gone = lab.said(heir, &["host-list", &format!("name-label={leads}"), "--minimal"]);
    lab.said(heir, &["host-forget", &format!("uuid={gone}"), "--force"]);
    assert_eq!(lab.said(heir, &["host-list", "--minimal"]).split(',').count(), 2);
    assert_eq!(field(&lab, heir, "pool", &pool, "ha-enabled"), "true");
    assert_eq!(lab.said(heir, &["pool-ha-compute-max-host-failures-to-tolerate"]), "1");
    until("the plan's record", RESTART, || {
        match field(&lab, heir, "pool", &pool, "ha-plan-exists-for").as_str() {
            "1" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
}

/// A host without any power device loses its cables: its `had` stops the guest by itself, and only then, on the lease's end
/// and the watchdog's bound, does it run elsewhere. Its disk never saw two writers. Scenario S02.
#[test]
fn a_host_that_is_cut_off_stops_its_guest_before_another_starts_it() {
    let lab = PoolLab::up(3);
    let pool = lab.said("h1", &["pool-list", "--minimal"]);
    let own = format!("uuid={pool}");
    let accepted = "other-config:holdfast:accept_software_watchdog=true";
    lab.said("h1", &["pool-param-set", &own, accepted]);
    let counter = counter_start(&lab, "h3", "counter", MAC);
    protect(&lab, &counter, "restart", 0);
    lab.said("h1", &["pool-ha-enable"]);
    lab.said("h1", &["pool-param-set", &own, "ha-host-failures-to-tolerate=1"]);
    until("all hosts to be armed", RETURN, || {
        let status = lab.said("h1", &["pool-ha-status"]);
        match status.matches("its software watchdog (reduced assurance)").count() {
            3 => Ok(()),
            _ => Err(status),
        }
    });
    let (first, ..) = count(&lab, MAC).expect("the guest answers");
    lab.run(&["fail", "h3", "cable"]);
    until("the restart", RESTART, || {
        let on = processes(&lab, &counter);
        assert!(on.len() < 2, "it runs twice: {on:?}");
        match place(&lab, "h1", &counter).as_str() {
            at if at != "h3" && !at.is_empty() && on == [at] => Ok(()),
            at => Err(format!("recorded on {at:?}, processes on {on:?}")),
        }
    });
    until("the guest to count again", BOOT, || match count(&lab, MAC) {
        Ok((boot, ..)) if boot != first => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let answer: serde_json::Value =
        serde_json::from_str(lab.run(&["guest", MAC]).trim()).expect("JSON");
    assert_eq!(answer["foreign"], 0, "its disk had another writer: {answer}");
    let status = lab.said("h1", &["pool-ha-status"]);
    assert!(status.contains("its watchdog has bitten since"), "{status}");
    lab.run(&["heal", "h3", "cable"]);
    until("h3 to be back", RETURN, || {
        if live(&lab, "h1", "h3") { Ok(()) } else { Err("no".to_owned()) }
    });
    assert!(!processes(&lab, &counter).contains(&"h3"));
}

/// How long nothing may happen while a false alarm lasts: longer than a host's lease.
const CALM: Duration = Duration::from_secs(14);

/// Looks again and again for so long: it must hold every time.
fn stays(what: &str, long: Duration, mut holds: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while start.elapsed() < long {
        if let Err(why) = holds() {
            panic!("{what}: {why}");
        }
    }
}

/// h2 stands still for so long.
fn frozen(lab: &PoolLab, long: Duration) {
    stays("h2 stands still", long, || match &lab.status()["hosts"][1]["state"] {
        state if state == "frozen" => Ok(()),
        state => Err(state.to_string()),
    });
}

/// What looks like the loss of a host and is none disturbs no guest: its programs are killed or held down, its log disk is full,
/// it stands still for three seconds; two of three databases are killed. Standing still past its lease ends in one stop of the
/// guest by the host itself, and one restart elsewhere.
#[test]
fn false_alarms_disturb_no_guest_and_a_long_stand_still_ends_in_one_self_stop() {
    let lab = PoolLab::up(3);
    let pool = lab.said("h1", &["pool-list", "--minimal"]);
    let own = format!("uuid={pool}");
    let accepted = "other-config:holdfast:accept_software_watchdog=true";
    lab.said("h1", &["pool-param-set", &own, accepted]);
    let counter = counter_start(&lab, "h2", "counter", MAC);
    protect(&lab, &counter, "restart", 0);
    lab.said("h1", &["pool-ha-enable"]);
    lab.said("h1", &["pool-param-set", &own, "ha-host-failures-to-tolerate=1"]);
    let armed = |after: &str| {
        until(&format!("all hosts to be armed {after}"), RETURN, || {
            let status = lab.said("h1", &["pool-ha-status"]);
            match status.matches("its software watchdog (reduced assurance)").count() {
                3 => Ok(()),
                _ => Err(status),
            }
        });
    };
    armed("at the beginning");
    let (first, mut counted, _) = count(&lab, MAC).expect("the guest answers");
    let mut undisturbed = |what: &str, long: Duration| {
        stays(what, long, || match processes(&lab, &counter)[..] {
            ["h2"] => Ok(()),
            ref on => Err(format!("the guest runs on {on:?}")),
        });
        counted = until(&format!("the guest to count on ({what})"), CALM, || {
            let (boot, now, _) = count(&lab, MAC)?;
            assert_eq!(boot, first, "{what}: the guest began anew");
            if now > counted { Ok(now) } else { Err(format!("it is at {now}")) }
        });
    };
    for (fault, long) in [
        (&["daemon", "once"][..], Duration::ZERO),
        (&["had", "once"], Duration::ZERO),
        (&["libvirt", "once"], Duration::ZERO),
        (&["etcd", "once"], Duration::ZERO),
        (&["disk-full"], Duration::from_secs(5)),
        (&["daemon"], CALM),
        (&["etcd"], CALM),
        (&["freeze"], Duration::from_secs(3)),
    ] {
        let name = fault.join(" ");
        lab.run(&[&["fail", "h2"][..], fault].concat());
        if fault == ["freeze"] {
            frozen(&lab, long);
        } else {
            undisturbed(&name, long);
        }
        lab.run(&["heal", "h2"]);
        undisturbed(&format!("{name}, healed"), Duration::from_secs(2));
        armed(&format!("after {name}"));
    }
    // Two of three databases are killed for longer than a lease. Nobody has a majority then, and the hosts tell each other.
    until("the hosts to hear each other", RETURN, || {
        let status = lab.said("h1", &["pool-ha-status"]);
        match status.matches("beats: heard, and hears this host").count() {
            2 => Ok(()),
            _ => Err(status),
        }
    });
    for host in ["h1", "h3"] {
        lab.run(&["fail", host, "etcd"]);
    }
    undisturbed("the databases of h1 and h3", CALM);
    for host in ["h1", "h3"] {
        lab.run(&["heal", host]);
    }
    undisturbed("the databases of h1 and h3, healed", Duration::from_secs(2));
    armed("after two databases");
    let status = lab.said("h1", &["pool-ha-status"]);
    assert!(!status.contains("incident"), "{status}");

    lab.run(&["fail", "h2", "freeze"]);
    frozen(&lab, Duration::from_secs(8));
    lab.run(&["heal", "h2"]);
    let again = until("the guest to run somewhere, again", RESTART, || {
        let on = processes(&lab, &counter);
        assert!(on.len() < 2, "it runs twice: {on:?}");
        match count(&lab, MAC) {
            Ok((boot, ..)) if boot != first => Ok(boot),
            other => Err(format!("{other:?}, on {on:?}")),
        }
    });
    stays("it was stopped once", Duration::from_secs(5), || match count(&lab, MAC) {
        Ok((boot, ..)) if boot == again => Ok(()),
        other => Err(format!("{other:?} after {again}")),
    });
    let answer: serde_json::Value =
        serde_json::from_str(lab.run(&["guest", MAC]).trim()).expect("JSON");
    assert_eq!(answer["foreign"], 0, "its disk had another writer: {answer}");
    let status = lab.said("h1", &["pool-ha-status"]);
    assert!(!status.contains("incident"), "{status}");
}
