//! What a pool says of itself while the lab breaks it: health over HTTP, exit codes, diagnosis, safe mode, bundle.
//!
//! Each test brings its own lab up. Faults are the lab's own, nothing is faked but a device's sysfs entry.

use std::path::Path;
use std::time::{Duration, Instant};

use lab::process::Finished;
use serde_json::Value as Json;
use tests::guests::{disk_make, vm_make};
use tests::{HostPort, PoolLab, until};

/// Health and exit codes follow a failure within this (S2-20).
const FOLLOW: Duration = Duration::from_secs(30);
/// Longest return to normal after a failure is healed, on a busy machine.
const RETURN: Duration = Duration::from_secs(180);
/// Longest reaction that has no limit of its own.
const PATIENCE: Duration = Duration::from_secs(120);

fn host<'p>(ports: &'p [HostPort], name: &str) -> &'p HostPort {
    ports.iter().find(|p| p.name == name).expect("the lab has that host")
}

/// `Ok` with the rules that fail, if the page answers with that status.
fn health(lab: &PoolLab, at: &HostPort, path: &str, status: u16) -> Result<Vec<String>, String> {
    let (found, body) = lab.get(at, path)?;
    let parsed: Json = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
    let reasons = parsed["reasons"].as_array().cloned().unwrap_or_default();
    let rules: Vec<String> = reasons
        .iter()
        .filter(|r| r["weight"] == "failure")
        .filter_map(|r| r["rule"].as_str().map(str::to_owned))
        .collect();
    if found == status { Ok(rules) } else { Err(format!("{} {path}: {found} {body}", at.name)) }
}

fn code(done: &Finished) -> Option<i32> {
    done.status.code()
}

/// One fault: kind and argument, what the broken host says of itself (if it can be asked), what the others find.
struct Fault {
    words: &'static [&'static str],
    own: &'static [&'static str],
    others: &'static [&'static str],
    /// What a diagnosis of the broken host by another one says.
    said: &'static str,
}

const FAULTS: &[Fault] = &[
    Fault {
        words: &["libvirt"],
        own: &["hypervisor-silent"],
        others: &["host-unwell"],
        said: "libvirt does not answer",
    },
    Fault {
        words: &["had"],
        own: &["had-silent"],
        others: &["host-unwell", "host-not-live"],
        said: "holdfast-had",
    },
    Fault { words: &["etcd"], own: &["voter-silent"], others: &["host-unwell"], said: "voter" },
    Fault {
        words: &["slow-disk", "600"],
        own: &["disk-slow"],
        others: &["host-unwell"],
        said: "takes too long",
    },
    Fault {
        words: &["disk-full"],
        own: &["state-unwritable", "space-low"],
        others: &["host-unwell", "host-unreachable", "host-not-live"],
        said: "host",
    },
    Fault {
        words: &["daemon"],
        own: &[],
        others: &["host-unreachable"],
        said: "nobody listens on the API's port",
    },
    Fault {
        words: &["daemon-freeze"],
        own: &[],
        others: &["host-unreachable"],
        said: "takes connections but the API does not answer",
    },
    Fault {
        words: &["freeze"],
        own: &[],
        others: &["host-unreachable"],
        said: "takes connections but the API does not answer",
    },
    Fault {
        words: &["cable"],
        own: &["no-quorum", "cut-off"],
        others: &["host-unreachable"],
        said: "neither to ping nor on the API's port",
    },
    Fault {
        words: &["lossy", "50"],
        own: &["packets-lost", "no-quorum", "host-unreachable", "cut-off", "lease-late"],
        others: &["packets-lost", "host-unreachable", "host-not-live", "host-unwell", "no-quorum"],
        said: "",
    },
    Fault {
        words: &["power"],
        own: &[],
        others: &["host-unreachable"],
        said: "neither to ping nor on the API's port",
    },
];

/// proves: S2-20 (lab), S2-19 (lab)
#[test]
fn health_exit_codes_and_diagnosis_follow_every_fault_on_every_surviving_host() {
    let lab = PoolLab::up(3);
    let ports = lab.ports();
    let all_well = |why: &str| {
        for port in &ports {
            for path in ["/health", "/health/pool"] {
                until(&format!("{path} of {} {why}", port.name), RETURN, || {
                    health(&lab, port, path, 200)
                });
            }
        }
    };
    all_well("at the beginning");
    until("exit code 0", RETURN, || {
        let done = lab.xe("h1", &["pool-status"]);
        if code(&done) == Some(0) { Ok(()) } else { Err(format!("{done:?}")) }
    });
    let broken = host(&ports, "h3");
    for fault in FAULTS {
        let name = fault.words.join(" ");
        let mut words = vec!["fail", "h3"];
        words.extend(fault.words);
        lab.run(&words);
        let start = Instant::now();
        if !fault.own.is_empty() {
            until(&format!("h3's own health after {name}"), FOLLOW, || {
                let rules = health(&lab, broken, "/health/pool", 503)?;
                let named = rules.iter().any(|r| fault.own.contains(&r.as_str()));
                if named { Ok(()) } else { Err(format!("{rules:?}")) }
            });
        } else {
            assert!(lab.get(broken, "/health").is_err(), "{name}: h3 can't answer");
        }
        for survivor in ["h1", "h2"] {
            let port = host(&ports, survivor);
            until(&format!("health of {survivor} after {name}"), FOLLOW, || {
                let rules = health(&lab, port, "/health/pool", 503)?;
                let named = rules.iter().any(|r| fault.others.contains(&r.as_str()));
                if named { Ok(()) } else { Err(format!("{rules:?}")) }
            });
            until(&format!("the exit code on {survivor} after {name}"), FOLLOW, || {
                let done = lab.xe(survivor, &["pool-status"]);
                match code(&done) {
                    Some(4 | 6) => Ok(()),
                    _ => Err(format!("{done:?}")),
                }
            });
        }
        let followed = start.elapsed();
        until(&format!("h1's diagnosis of h3 after {name}"), FOLLOW, || {
            let done = lab.xe("h1", &["host-diagnose", "host=h3"]);
            if done.stdout.contains(fault.said) { Ok(()) } else { Err(format!("{done:?}")) }
        });
        note(&format!("{name}: followed within {:.1} s", followed.as_secs_f64()));
        lab.run(&["heal", "h3"]);
        all_well(&format!("after {name} was healed"));
    }
    the_switch_is_off(&lab, &ports);
    all_well("after the switch was healed");
}

/// Nobody has a majority: every host answers, says so, and exits with the code of its own.
fn the_switch_is_off(lab: &PoolLab, ports: &[HostPort]) {
    lab.run(&["fail", "-", "switch"]);
    for port in ports {
        until(&format!("health of {} without a switch", port.name), FOLLOW, || {
            let rules = health(lab, port, "/health", 503)?;
            let named = rules.iter().any(|r| r == "no-quorum" || r == "cut-off");
            if named { Ok(()) } else { Err(format!("{rules:?}")) }
        });
        until(&format!("status on {} without a switch", port.name), FOLLOW, || {
            let done = lab.xe(&port.name, &["pool-status"]);
            let said =
                done.stdout.contains("no majority answers") && done.stdout.contains("copy only");
            if code(&done) == Some(4) && said { Ok(()) } else { Err(format!("{done:?}")) }
        });
        // Reads go on (S2-3), bounded (S2-5).
        let start = Instant::now();
        let done = lab.xe(&port.name, &["host-list", "--minimal"]);
        assert_eq!(done.stdout.trim().split(',').count(), 3, "{done:?}");
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    }
    lab.run(&["heal", "-"]);
}

fn note(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes());
}

/// proves: S1-8 (lab)
#[test]
fn guests_of_a_dead_host_are_running_to_old_clients_and_unknown_in_truth() {
    let lab = PoolLab::up(3);
    let guest = a_guest_runs(&lab, "h3");
    lab.run(&["fail", "h3", "power"]);
    until("the state to be called unknown", PATIENCE, || {
        let done = lab.xe("h1", &["pool-status"]);
        let said = done.stdout.lines().any(|l| {
            l.contains("VM ")
                && l.contains(&guest.uuid)
                && l.contains("state unknown since")
                && l.contains("h3")
        });
        if said { Ok(()) } else { Err(format!("{done:?}")) }
    });
    let uuid = format!("uuid={}", guest.uuid);
    let state = lab.xe("h1", &["vm-param-get", &uuid, "param-name=power-state"]);
    assert_eq!(state.stdout.trim(), "running");
}

struct Guest {
    uuid: String,
    mac: &'static str,
}

/// Puts the test guest on a host, and waits until it answers on the network.
fn a_guest_runs(lab: &PoolLab, on: &str) -> Guest {
    const MAC: &str = "02:48:46:7a:01:01";
    let image = tests::test_guest_image();
    let xe = |arguments: &[&str]| {
        let done = lab.xe("h1", arguments);
        assert!(done.status.success(), "{arguments:?}: {done:?}");
        done.stdout.trim().to_owned()
    };
    let sr = xe(&["sr-list", "name-label=shared", "--minimal"]);
    let golden = uuid::Uuid::new_v4().to_string();
    std::fs::copy(image, lab.shared_directory().join(format!("{golden}.qcow2"))).expect("a copy");
    xe(&["sr-scan", &format!("uuid={sr}")]);
    let install = ["vm-install", "template=Other install media", "new-name-label=counter"];
    let vm = xe(&[&install[..], &[&format!("sr-uuid={sr}")]].concat());
    let (uuid, of_vm) = (format!("uuid={vm}"), format!("vm-uuid={vm}"));
    let memory = (128 << 20).to_string();
    xe(&[
        "vm-memory-limits-set",
        &uuid,
        &format!("static-min={memory}"),
        &format!("dynamic-min={memory}"),
        &format!("dynamic-max={memory}"),
        &format!("static-max={memory}"),
    ]);
    xe(&["vm-param-set", &uuid, "HVM-boot-policy=BIOS order", "HVM-boot-params:order=c"]);
    let vdi = xe(&["vdi-clone", &format!("uuid={golden}")]);
    let disk = format!("vdi-uuid={vdi}");
    xe(&["vbd-create", &of_vm, &disk, "device=0", "bootable=true", "mode=RW", "type=Disk"]);
    let network = xe(&["network-list", "bridge=xenbr0", "--minimal"]);
    let network = format!("network-uuid={network}");
    xe(&["vif-create", &of_vm, &network, "device=0", &format!("mac={MAC}")]);
    xe(&["vm-start", &uuid, &format!("on={on}")]);
    let guest = Guest { uuid: vm, mac: MAC };
    until("the guest to answer", PATIENCE, || answers(lab, &guest));
    guest
}

/// Whether the guest says something of itself, over the network.
fn answers(lab: &PoolLab, guest: &Guest) -> Result<(), String> {
    let mut command = lab.command(&["guest", guest.mac]);
    let output = command.output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("\"boot\"") { Ok(()) } else { Err(text) }
}

fn doors(lab: &PoolLab, text: &str) {
    let path = lab.disk_of("h1").join("etc/holdfast/test-doors.json");
    std::fs::write(path, text).expect("a file of the host's");
}

fn first_line_of_diagnosis(lab: &PoolLab) -> String {
    lab.xe("h1", &["host-diagnose"]).stdout.lines().next().unwrap_or_default().to_owned()
}

fn alert(lab: &PoolLab, name: &str) -> Result<String, String> {
    let named = format!("name={name}");
    let done = lab.xe("h1", &["message-list", &named, "params=body"]);
    if done.stdout.contains("next:") { Ok(done.stdout) } else { Err(format!("{done:?}")) }
}

/// A device whose probe loops, a worker that spins, a part that panics at start: the API answers, the alert and the first
/// line of the diagnosis name the cause.
///
/// proves: S0-2 (lab), S0-3 (lab), S0-4 (lab), S0-7 (lab)
#[test]
fn a_broken_device_a_spinning_worker_and_a_failing_start_are_survived_and_named() {
    let lab = PoolLab::up(1);
    a_probe_that_loops_for_ever(&lab);
    a_worker_that_spins(&lab);
    a_part_that_panics_at_start(&lab);
}

fn bounded(lab: &PoolLab) {
    let start = Instant::now();
    let done = lab.xe("h1", &["--timeout", "10", "vm-list", "--minimal"]);
    assert!(done.status.success() && start.elapsed() < Duration::from_secs(10), "{done:?}");
}

fn a_probe_that_loops_for_ever(lab: &PoolLab) {
    let device = lab.disk_of("h1").join("etc/holdfast/test-sysfs/bus/pci/devices/0000:00:02.0");
    std::fs::create_dir_all(&device).expect("a directory of the host's");
    for (name, text) in [("vendor", "0x1234\n"), ("device", "0x1111\n"), ("class", "0x030000\n")] {
        std::fs::write(device.join(name), text).expect("a file of the host's");
    }
    doors(lab, r#"{"probe_loops": "0000:00:02.0", "sysfs": "/etc/holdfast/test-sysfs"}"#);
    assert!(lab.exec("h1", &["xe-toolstack-restart"]).status.success());
    let body = until("the alert of the device", PATIENCE, || {
        bounded(lab);
        alert(lab, "HOLDFAST_DEVICE_PROBE_FAILED")
    });
    assert!(body.contains("0000:00:02.0") && body.contains("1234:1111"), "{body}");
    let first = first_line_of_diagnosis(lab);
    assert!(first.contains("0000:00:02.0") && first.contains("1234:1111"), "{first}");
    doors(lab, "{}");
}

fn a_worker_that_spins(lab: &PoolLab) {
    doors(lab, r#"{"busy_worker": "members"}"#);
    let body = until("the alert of the worker", PATIENCE, || {
        bounded(lab);
        alert(lab, "HOLDFAST_WORKER_STALLED")
    });
    assert!(body.contains("worker members span"), "{body}");
    let first = first_line_of_diagnosis(lab);
    assert!(first.contains("worker members"), "{first}");
    // The stack names the function; the worker is back and the processor is free.
    let stacks = lab.exec("h1", &["sh", "-c", "cat /var/lib/holdfast/evidence/stall-*"]).stdout;
    assert!(stacks.contains("test_doors"), "{stacks}");
    until("the worker to run again", PATIENCE, || {
        let done = lab.xe("h1", &["host-diagnose"]);
        if done.stdout.contains("started again and runs") {
            Ok(())
        } else {
            Err(format!("{done:?}"))
        }
    });
    let pid = lab.status()["hosts"][0]["pids"]["holdfastd"].as_i64().expect("it runs");
    let used = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let fields: Vec<&str> =
            stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")
    };
    let (before, start) = (used(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let share =
        (used() - before) * 1000 / u64::try_from(start.elapsed().as_millis()).expect("short");
    assert!(share < 70, "{share} % of a processor with nothing to do");
}

fn a_part_that_panics_at_start(lab: &PoolLab) {
    let vm = vm_make(lab, "h1", "runs on");
    lab.said("h1", &["vm-start", &format!("uuid={vm}")]);
    vm_make(lab, "h1", "stays halted");
    let vdi = disk_make(lab, "h1", "the books");
    let image = format!("/srv/shared/{vdi}.qcow2");
    lab.run(&["exec", "h1", "--", "qemu-io", "-c", "write -P 0x5a 1M 4M", &image]);
    doors(lab, r#"{"panic_at_start": "guests"}"#);
    let enabled =
        |lab: &PoolLab| lab.xe("h1", &["host-list", "params=enabled", "--minimal"]).stdout;
    assert_eq!(enabled(lab).trim(), "true");
    lab.run(&["fail", "h1", "daemon", "once"]);
    let first = until("safe mode", PATIENCE, || {
        let first = first_line_of_diagnosis(lab);
        if first.contains("safe mode") { Ok(first) } else { Err(first) }
    });
    assert!(
        first.contains("part guests") && first.contains("a test asked part guests to panic"),
        "{first}"
    );
    let status: Json =
        serde_json::from_str(&lab.xe("h1", &["pool-status", "--output", "json"]).stdout)
            .expect("JSON was asked for");
    assert_eq!(status["safe_mode"]["failed_starts"], 3, "the configured count");
    assert!(status["safe_mode"]["off"].as_array().is_some_and(|off| off.len() > 3), "{status}");
    // Inventory and reads work; nothing is placed here.
    bounded(lab);
    assert!(lab.xe("h1", &["sr-list", "--minimal"]).status.success());
    until("the host to be out of service", PATIENCE, || {
        if enabled(lab).trim() == "false" { Ok(()) } else { Err(enabled(lab)) }
    });
    until("the alert of safe mode", PATIENCE, || alert(lab, "HOLDFAST_SAFE_MODE"));
    what_safe_mode_is_for(lab, &vm, &vdi);
    doors(lab, "{}");
    let done = lab.exec("h1", &["xe-toolstack-restart"]);
    assert!(done.status.success(), "{done:?}");
    until("the host to be back in service", PATIENCE, || {
        let well = !first_line_of_diagnosis(lab).contains("safe mode");
        if well && enabled(lab).trim() == "true" { Ok(()) } else { Err(enabled(lab)) }
    });
}

/// Inventory, a dump of the metadata, a disk's content and a guest's console can be had; nothing is started, and the refusal
/// and the diagnosis say so.
fn what_safe_mode_is_for(lab: &PoolLab, vm: &str, vdi: &str) {
    // What is off is listed, and is off.
    let diagnosis = lab.xe("h1", &["host-diagnose"]).stdout;
    for part in ["sagas", "hardware probes", "coordinating"] {
        assert!(diagnosis.contains(part), "{part} is not listed as off: {diagnosis}");
    }
    let start = Instant::now();
    let halted = vm_uuid_of(lab, "stays halted");
    let refused = lab.xe("h1", &["vm-start", &format!("uuid={halted}")]);
    assert!(!refused.status.success() && start.elapsed() < Duration::from_secs(30), "{refused:?}");

    lab.said("h1", &["pool-dump-database", "file-name=/srv/shared/safe.dump"]);
    let dump = std::fs::read_to_string(lab.shared_directory().join("safe.dump")).expect("a dump");
    assert!(dump.contains(vm) && dump.contains(vdi), "the dump is not whole");

    let listed = lab.run(&["exec", "h1", "--", "holdfastd", "list-disks"]);
    let line = listed.lines().find(|l| l.starts_with(vdi)).expect("the disk is listed");
    assert!(line.contains("'the books'"), "{line}");
    let ways: [&[&str]; 2] = [
        &["holdfastd", "export-disk", vdi, "/srv/shared/by-hand.raw"],
        &["xe", "vdi-export", &format!("uuid={vdi}"), "filename=/srv/shared/by-xe.raw"],
    ];
    for way in ways {
        let done = lab.exec("h1", way);
        assert!(done.status.success(), "{way:?}: {done:?}");
    }
    for file in ["by-hand.raw", "by-xe.raw"] {
        let (image, copy) = (format!("/srv/shared/{vdi}.qcow2"), format!("/srv/shared/{file}"));
        lab.run(&["exec", "h1", "--", "qemu-img", "compare", &image, &copy]);
    }

    let console = lab.said("h1", &["console-list", &format!("vm-uuid={vm}"), "--minimal"]);
    let query = format!("uuid={console}&session_id=OpaqueRef:{}", token_of_a_session(lab));
    let greeting = lab.console(&lab.ports()[0], &query, 4).expect("a console");
    assert_eq!(greeting, b"RFB ", "a guest's screen speaks VNC");
}

/// A VM of that name that was made before.
fn vm_uuid_of(lab: &PoolLab, name: &str) -> String {
    lab.said("h1", &["vm-list", &format!("name-label={name}"), "--minimal"])
}

/// The text console of a host shows what the API says of its network, from the same records; where the kernel says
/// otherwise, both still agree, and there is an alert.
///
/// proves: S4-34 (lab)
#[test]
fn the_text_console_and_the_api_show_one_network_and_a_kernel_that_differs_is_an_alert() {
    let lab = PoolLab::up(1);
    let screen = || lab.exec("h1", &["cat", "/run/issue.d/holdfast.issue"]).stdout;
    let get = |class: &str, params: &str| -> Vec<String> {
        let device = "device=eth0";
        let filter = if class == "pif-list" { device } else { "bridge=xenbr0" };
        params
            .split(',')
            .map(|p| lab.said("h1", &[class, filter, &format!("params={p}"), "--minimal"]))
            .collect()
    };
    let shown_as_told = || -> Result<(), String> {
        let text = screen();
        let line = text.lines().find(|l| l.trim_start().starts_with("eth0 "));
        let line = line.ok_or_else(|| text.clone())?.to_owned();
        let mut told = get("pif-list", "MAC,IP,netmask,network-name-label");
        told.extend(get("network-list", "bridge"));
        for value in told {
            if value.is_empty() || !line.contains(&value) {
                return Err(format!("{value:?} is not in {line:?}"));
            }
        }
        Ok(())
    };
    until("the console to show what the API says", PATIENCE, shown_as_told);
    // Changed through the API, seen on the screen.
    let network = lab.said("h1", &["network-list", "bridge=xenbr0", "--minimal"]);
    lab.said("h1", &["network-param-set", &format!("uuid={network}"), "name-label=yard"]);
    until("the console to follow", PATIENCE, || {
        if screen().contains("'yard'") { shown_as_told() } else { Err(screen()) }
    });
    assert!(!screen().contains("kernel"), "{}", screen());

    // The kernel is changed behind our back.
    let before = get("pif-list", "MAC");
    lab.run(&["exec", "h1", "--", "ip", "link", "set", "eth0", "address", "02:00:00:00:0e:0e"]);
    let body = until("the alert of the mismatch", PATIENCE, || {
        alert(&lab, "HOLDFAST_CONFIGURATION_DIFFERS")
    });
    assert!(body.contains("eth0") && body.contains("02:00:00:00:0e:0e"), "{body}");
    assert_eq!(get("pif-list", "MAC"), before);
    until("the console to tell of it", PATIENCE, || {
        if screen().contains("in the kernel") { shown_as_told() } else { Err(screen()) }
    });
}

/// proves: S0-8 (lab), S4-36 (lab)
#[test]
fn a_support_bundle_is_made_with_the_daemon_dead_and_holds_no_secret() {
    let lab = PoolLab::up(1);
    let disk = lab.disk_of("h1");
    // What the daemon saw last belongs to the bundle, so it has to have looked.
    until("a first look", PATIENCE, || health(&lab, &lab.ports()[0], "/health", 200));
    let mut secrets = vec![
        ("the initial password", lab.status()["password"].as_str().expect("text").to_owned()),
        ("a CHAP password", "planted-chap-4711".to_owned()),
        ("a password in a log", "planted-log-password".to_owned()),
    ];
    let read = |path: &str| {
        let done = lab.exec("h1", &["cat", path]);
        assert!(done.status.success(), "{done:?}");
        done.stdout
    };
    let key = read("/var/lib/holdfast/pool.key");
    secrets.push(("the pool key", key.trim().to_owned()));
    let tls = read("/var/lib/holdfast/tls/host.key");
    let line = tls.lines().nth(1).expect("a key of several lines").to_owned();
    secrets.push(("the host's private key", line));
    // A session's token, as a client that logs too much would leave it.
    let token = token_of_a_session(&lab);
    secrets.push(("a session's token", token.clone()));
    let sr = lab.xe("h1", &["sr-list", "name-label=shared", "--minimal"]).stdout;
    let sr = format!("uuid={}", sr.trim());
    let planted =
        lab.xe("h1", &["sr-param-set", &sr, "other-config:chappassword=planted-chap-4711"]);
    assert!(planted.status.success(), "{planted:?}");
    let log = disk.join("var/log/lab/planted.log");
    let text = format!(
        "login as root password=planted-log-password\nsession_id was {token}\nsaw {token} again\nkept: {}\n{tls}",
        "this line"
    );
    std::fs::write(log, text).expect("a log of the host's");

    // Alive, over the API.
    let done =
        lab.xe("h1", &["host-get-system-status", "filename=/var/tmp/alive.tar", "output=tar"]);
    assert!(done.status.success(), "{done:?}");
    judge(&disk.join("var/tmp/alive.tar"), &secrets);
    // Dead, beside it.
    lab.run(&["fail", "h1", "daemon"]);
    let done = lab.xe("h1", &["pool-status"]);
    assert_eq!(code(&done), Some(4), "{done:?}");
    assert!(done.stdout.contains("the daemon is dead"), "{done:?}");
    assert!(done.stdout.contains("next    : xe-toolstack-restart"), "{done:?}");
    let done = lab.exec("h1", &["holdfastd", "bundle", "--output", "/var/tmp/dead.tar.gz"]);
    assert!(done.status.success(), "{done:?}");
    judge(&disk.join("var/tmp/dead.tar.gz"), &secrets);
    lab.run(&["heal", "h1"]);
}

fn token_of_a_session(lab: &PoolLab) -> String {
    let facts = lab.status();
    let password = facts["password"].as_str().expect("text");
    let body = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "session.login_with_password",
        "params": ["root", password, "2.0", "test"]});
    let answer = lab.post(&lab.ports()[0], "/jsonrpc", &body.to_string()).expect("a login");
    let answer: Json = serde_json::from_str(&answer).expect("JSON");
    answer["result"].as_str().expect("a token").trim_start_matches("OpaqueRef:").to_owned()
}

/// Unpacks a bundle and looks through all of it.
fn judge(archive: &Path, secrets: &[(&str, String)]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut tar = lab::process::command("tar");
    tar.arg("-xf").arg(archive).arg("-C").arg(dir.path());
    lab::process::must(tar, None, PATIENCE).expect("it unpacks");
    let root = dir.path().join("holdfast-bundle");
    let index: Json =
        serde_json::from_slice(&std::fs::read(root.join("INDEX.json")).expect("an index"))
            .expect("JSON");
    let left_out = index["left_out"].to_string();
    for word in ["pool.key", "host.key", "initial-password", "Session", "Secret"] {
        let said = left_out.to_lowercase().contains(&word.to_lowercase());
        assert!(said, "{word} is not said to be left out: {left_out}");
    }
    let mut files = Vec::new();
    walk(&root, &mut files);
    assert!(files.len() > 20, "{files:?}");
    for file in &files {
        let text = String::from_utf8_lossy(&std::fs::read(file).expect("a file")).into_owned();
        for (what, secret) in secrets {
            assert!(!text.contains(secret.as_str()), "{what} is in {}", file.display());
        }
    }
    let planted = files.iter().find(|f| f.ends_with("planted.log")).expect("the log is in");
    let planted = std::fs::read_to_string(planted).expect("text");
    assert!(planted.contains("kept: this line") && planted.contains("[left out]"), "{planted}");
    assert!(root.join("status.json").exists(), "what the daemon saw is in");
}

fn walk(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

/// proves: S1-38 (lab)
#[test]
fn readiness_turns_red_where_something_is_missing() {
    let lab = PoolLab::up(1);
    let rows = |lab: &PoolLab| -> Json {
        let done = lab.xe("h1", &["pool-readiness", "--output", "json"]);
        serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{e}: {done:?}"))
    };
    let colour = |rows: &Json, failure: &str| -> String {
        let all = rows["rows"].as_array().expect("rows").iter();
        let row = all.clone().find(|r| r["failure"] == failure).expect("a row");
        row["colour"].as_str().expect("text").to_owned()
    };
    let before = rows(&lab);
    assert_eq!(before["rows"].as_array().map(Vec::len), Some(6));
    for failure in ["member", "coordinator", "pool"] {
        assert_eq!(colour(&before, failure), "red", "a pool of one without a dump: {before}");
    }
    let pool = format!("uuid={}", lab.xe("h1", &["pool-list", "--minimal"]).stdout.trim());
    let set = |key: &str, value: &str| {
        let pair = format!("other-config:{key}={value}");
        let done = lab.xe("h1", &["pool-param-set", &pool, &pair]);
        assert!(done.status.success(), "{done:?}");
    };
    let shell = |script: &str| {
        let done = lab.exec("h1", &["sh", "-c", script]);
        assert!(done.status.success(), "{script}: {done:?}");
    };
    let turns = |wanted: &str| {
        until(&format!("the row of the pool to turn {wanted}"), PATIENCE, || {
            let now = rows(&lab);
            (colour(&now, "pool") == wanted).then_some(()).ok_or_else(|| now.to_string())
        });
    };
    shell("mkdir /srv/elsewhere && touch /srv/elsewhere/.holdfast-dump-target");
    set("holdfast:pool_key_kept", "1");
    set("holdfast:dump_targets", "/srv/elsewhere");
    turns("green");
    // The metadata backup is removed: the row turns red, and green again with the next dump.
    shell("rm -r /srv/elsewhere");
    turns("red");
    let after = rows(&lab);
    assert!(after.to_string().contains("xe pool-dump-database"), "{after}");
    let done = lab.xe("h1", &["pool-readiness"]);
    assert_eq!(code(&done), Some(6), "{done:?}");
    shell("mkdir /srv/elsewhere && touch /srv/elsewhere/.holdfast-dump-target");
    turns("green");
}

/// The coordinator's packets are dropped, not refused. Every member answers reads all through the gap, each within its
/// limit; whoever asks the black hole itself gets an exit code of its own.
///
/// proves: S2-3 (lab), S2-5 (lab)
#[test]
fn members_answer_reads_all_through_the_gap_and_a_black_hole_costs_no_more_than_the_limit() {
    let lab = PoolLab::up(3);
    let status = lab.status();
    let hosts = status["hosts"].as_array().expect("a lab has hosts");
    let named = |h: &Json| h["name"].as_str().expect("hosts have names").to_owned();
    let coordinator = hosts.iter().find(|h| h["role"] == "coordinator").map(named);
    let coordinator = coordinator.expect("a pool has a coordinator");
    let members: Vec<String> = hosts.iter().map(named).filter(|n| *n != coordinator).collect();
    lab.run(&["fail", &coordinator, "cable"]);
    let cut = Instant::now();
    let pool = format!("uuid={}", lab.xe(&members[0], &["pool-list", "--minimal"]).stdout.trim());
    let mut written = false;
    while !written {
        assert!(cut.elapsed() < PATIENCE, "no member takes a write");
        for member in &members {
            for reads in
                [&["pool-list"][..], &["host-list"], &["vm-list"], &["sr-list"], &["pif-list"]]
            {
                let start = Instant::now();
                let done = lab.xe(member, &[reads, &["--minimal"]].concat());
                assert!(done.status.success(), "{member} {reads:?}: {done:?}");
                assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
            }
        }
        // Writes follow the new coordinator, or are refused at once with the code of their own.
        let start = Instant::now();
        let done = lab.xe(&members[0], &["pool-param-set", &pool, "other-config:gap=1"]);
        written = done.status.success();
        assert!(written || matches!(code(&done), Some(4 | 1)), "{done:?}");
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    }
    // The cut-off coordinator answers too, says how old its answer is, and takes no write.
    until("the cut-off coordinator to know", FOLLOW, || {
        let done = lab.xe(&coordinator, &["pool-status"]);
        if done.stdout.contains("this host's copy is") && code(&done) == Some(4) {
            Ok(())
        } else {
            Err(format!("{done:?}"))
        }
    });
    assert!(lab.xe(&coordinator, &["host-list", "--minimal"]).status.success());
    let done = lab.xe(&coordinator, &["pool-param-set", &pool, "other-config:gap=2"]);
    assert_eq!(code(&done), Some(4), "{done:?}");
    // Asked by its address, it is a black hole.
    let address =
        hosts.iter().find(|h| named(h) == coordinator).expect("it is there")["address"].clone();
    let address = address.as_str().expect("text");
    let password = status["password"].as_str().expect("text");
    let start = Instant::now();
    let asked =
        ["-s", address, "-u", "root", "-pw", password, "--timeout", "4", "pool-list", "--minimal"];
    let done = lab.xe(&members[0], &asked);
    assert!(matches!(code(&done), Some(4 | 5)), "{done:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
