//! The registry through the real program: killed, frozen, restarted, with guests that live and die.

mod rig;

use host::had::{Client, Code, GuestProcess, HadError};
use rustix::process::Signal;
use uuid::Uuid;

use crate::rig::{Guest, Had, LIMIT, eventually};

fn vm(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn names(had: &Had) -> Vec<(Uuid, bool)> {
    let guests = had.client().list().expect("had answers");
    guests.into_iter().map(|guest| (guest.process.vm, guest.alive)).collect()
}

#[test]
fn the_registry_survives_the_death_of_had() {
    let mut had = Had::start();
    let guests = [Guest::start(), Guest::start()];
    for (number, guest) in guests.iter().enumerate() {
        had.client().register(&guest.as_vm(vm(number as u128), 3)).expect("registered");
    }
    let before = had.client().list().expect("had answers");
    had.kill_and_restart();
    assert_eq!(had.client().list().expect("had answers"), before);
    assert_eq!(names(&had), [(vm(0), true), (vm(1), true)]);
    assert_eq!(had.warnings(), Vec::<String>::new());
}

#[test]
fn guests_that_died_meanwhile_are_dropped_at_adoption() {
    let mut had = Had::start();
    let (mut dead, alive) = (Guest::start(), Guest::start());
    had.client().register(&dead.as_vm(vm(1), 3)).expect("registered");
    had.client().register(&alive.as_vm(vm(2), 3)).expect("registered");
    had.process.kill();
    dead.0.kill();
    had.start_again();
    assert_eq!(names(&had), [(vm(2), true)]);
    let warnings = had.warnings().join("\n");
    assert!(warnings.contains(&format!("guest {} was dropped", vm(1))), "{warnings}");
    let stale = Guest::start().as_vm(vm(1), 2);
    let refused = had.client().register(&stale).expect_err("the generation is remembered");
    assert_eq!(refused.code(), Some(Code::StaleGeneration));
}

#[test]
fn another_boot_voids_the_registry() {
    let mut had = Had::start();
    let guest = Guest::start();
    had.client().register(&guest.as_vm(vm(1), 3)).expect("registered");
    std::fs::write(had.directory.path().join("boot_id"), "another boot").expect("writable");
    had.kill_and_restart();
    assert_eq!(names(&had), []);
    assert_eq!(had.status().boot_id, "another boot");
    assert!(had.warnings().join("\n").contains("another boot"));
}

#[test]
fn an_unreadable_registry_is_set_aside() {
    let mut had = Had::start();
    had.process.kill();
    std::fs::write(had.state().join("registry.json"), b"{\"version\":1,").expect("writable");
    had.start_again();
    assert!(had.warnings().join("\n").contains("set aside"));
    assert!(had.state().join("registry.unreadable").exists());
}

#[test]
fn registering_the_same_process_again_changes_nothing() {
    let had = Had::start();
    let guest = Guest::start();
    let process = guest.as_vm(vm(1), 3);
    had.client().register(&process).expect("registered");
    had.client().register(&process).expect("registered again");
    assert_eq!(names(&had), [(vm(1), true)]);
}

#[test]
fn an_incoming_guest_becomes_a_running_one_of_a_higher_generation() {
    let had = Had::start();
    let guest = Guest::start();
    let incoming = GuestProcess { incoming: true, ..guest.as_vm(vm(1), 3) };
    had.client().register(&incoming).expect("registered");
    assert!(had.client().list().expect("had answers")[0].process.incoming);
    had.client().register(&guest.as_vm(vm(1), 4)).expect("registered");
    let known = had.client().list().expect("had answers");
    assert_eq!(known[0].process, guest.as_vm(vm(1), 4));
}

#[test]
fn a_lower_generation_is_refused() {
    let had = Had::start();
    let guest = Guest::start();
    had.client().register(&guest.as_vm(vm(1), 5)).expect("registered");
    for refused in [
        had.client().register(&guest.as_vm(vm(1), 4)),
        had.client().stop_guest(vm(1), 4).map(drop),
        had.client().unregister(vm(1), 4),
    ] {
        assert_eq!(refused.expect_err("stale").code(), Some(Code::StaleGeneration));
    }
    assert_eq!(names(&had), [(vm(1), true)]);
}

#[test]
fn a_second_live_process_of_a_vm_is_refused() {
    let had = Had::start();
    let (mut first, second) = (Guest::start(), Guest::start());
    had.client().register(&first.as_vm(vm(1), 5)).expect("registered");
    let refused = had.client().register(&second.as_vm(vm(1), 6)).expect_err("the first one runs");
    assert_eq!(refused.code(), Some(Code::OtherProcessAlive));
    first.0.kill();
    had.client().register(&second.as_vm(vm(1), 6)).expect("the first one is gone");
    assert_eq!(had.client().list().expect("had answers")[0].process, second.as_vm(vm(1), 6));
}

#[test]
fn a_process_that_does_not_run_is_refused() {
    let had = Had::start();
    let guest = Guest::start();
    let mut process = guest.as_vm(vm(1), 1);
    process.start_ticks += 1;
    let refused = had.client().register(&process).expect_err("another process");
    assert_eq!(refused.code(), Some(Code::NoSuchProcess));
    assert_eq!(names(&had), []);
}

#[test]
fn stopping_a_guest_waits_until_it_is_gone() {
    let had = Had::start();
    let mut guest = Guest::start();
    had.client().register(&guest.as_vm(vm(1), 5)).expect("registered");
    let stopped = had.client().stop_guest(vm(1), 5).expect("stopped");
    assert!(stopped.was_running);
    assert!(guest.0.has_ended());
    assert!(!had.client().stop_guest(vm(1), 5).expect("stopped already").was_running);
    assert_eq!(names(&had), [(vm(1), false)]);
    had.client().unregister(vm(1), 5).expect("forgotten");
    had.client().unregister(vm(1), 5).expect("forgotten already");
    assert_eq!(names(&had), []);
    let unknown = had.client().stop_guest(vm(1), 5).expect_err("not registered");
    assert_eq!(unknown.code(), Some(Code::NotRegistered));
}

#[test]
fn a_frozen_guest_is_stopped_too() {
    let had = Had::start();
    let mut guest = Guest::start();
    guest.0.signal(Signal::STOP);
    had.client().register(&guest.as_vm(vm(1), 5)).expect("registered");
    assert!(had.client().stop_guest(vm(1), 5).expect("stopped").was_running);
    assert!(guest.0.has_ended());
}

#[test]
fn a_running_guest_is_not_forgotten() {
    let had = Had::start();
    let guest = Guest::start();
    had.client().register(&guest.as_vm(vm(1), 5)).expect("registered");
    let refused = had.client().unregister(vm(1), 5).expect_err("it runs");
    assert_eq!(refused.code(), Some(Code::StillRunning));
    assert_eq!(names(&had), [(vm(1), true)]);
}

#[test]
fn a_guest_that_can_not_be_made_durable_is_not_registered() {
    let had = Had::start();
    let guest = Guest::start();
    let aside = had.directory.path().join("aside");
    std::fs::rename(had.state(), &aside).expect("movable");
    let refused = had.client().register(&guest.as_vm(vm(1), 5)).expect_err("nowhere to write");
    assert_eq!(refused.code(), Some(Code::NotDurable));
    assert_eq!(names(&had), []);
    assert!(!had.warnings().is_empty(), "the status says so");
    std::fs::rename(&aside, had.state()).expect("movable");
    had.client().register(&guest.as_vm(vm(1), 5)).expect("registered");
    eventually("the complaint is over", || had.warnings().is_empty().then_some(()));
}

#[test]
fn a_frozen_had_costs_its_callers_a_deadline_and_its_guests_nothing() {
    let had = Had::start();
    let mut guest = Guest::start();
    had.client().register(&guest.as_vm(vm(1), 5)).expect("registered");
    had.process.signal(Signal::STOP);
    let hasty = Client::new(had.directory.path().join("had.sock"))
        .with_deadline(std::time::Duration::from_millis(100));
    assert!(matches!(hasty.list(), Err(HadError::Timeout(_))));
    assert!(!guest.0.has_ended());
    had.process.signal(Signal::CONT);
    assert_eq!(names(&had), [(vm(1), true)]);
}

#[test]
fn a_second_had_on_the_same_state_gives_up() {
    let had = Had::start();
    let output = host::exec::Command::new(env!("CARGO_BIN_EXE_holdfast-had"))
        .arg("--state")
        .arg(had.state())
        .arg("--socket")
        .arg(had.directory.path().join("other.sock"))
        .limit(LIMIT)
        .run()
        .expect("it ends by itself");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("another holdfast-had"), "{text}");
    assert_eq!(names(&had), []);
}

#[test]
fn nonsense_is_answered_and_does_not_disturb_others() {
    use std::io::{Read as _, Write as _};
    let had = Had::start();
    let path = had.directory.path().join("had.sock");
    for nonsense in [&b"{\"op\":\"dance\"}\n"[..], b"\xff\xfe\n", b"no end of line"] {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("listening");
        stream.write_all(nonsense).expect("writable");
        stream.shutdown(std::net::Shutdown::Write).expect("half closed");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        assert!(reply.starts_with("{\"ok\":false,\"code\":\"invalid\""), "{reply}");
    }
    assert_eq!(names(&had), []);
}

#[test]
fn resident_memory_stays_small() {
    let had = Had::start();
    let guests: Vec<_> = (0..20).map(|_| Guest::start()).collect();
    for (number, guest) in guests.iter().enumerate() {
        had.client().register(&guest.as_vm(vm(number as u128), 1)).expect("registered");
    }
    let resident = memory_kib(had.process.pid(), "VmRSS");
    // An unoptimised build has about 8 MiB, nearly all of it program text that is locked in.
    assert!(resident < 12 << 10, "{resident} KiB");
}

/// Reads one figure in KiB from /proc/PID/status.
fn memory_kib(pid: i32, figure: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
    let line = text.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let number = line.and_then(|l| l.split_ascii_whitespace().next()).expect("a figure");
    number.parse().expect("a number")
}
