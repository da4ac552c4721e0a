//! The laws of a pool hold, and each is broken by a daemon that is wrong on purpose: `docs/reference/mutants.md`.

mod pool;

use std::path::Path;
use std::time::Duration;

use holdfastd::api;
use holdfastd::first_start::reference;
use holdfastd::http::Peer;
use holdfastd::mutants::Mutant;
use pool::{Pool, laws, vm_fields};
use xenapi::{Text, Value};

/// One test that the law holds, and one for each mutant that it must catch.
macro_rules! law {
    ($(#[$doc:meta])* $law:ident { $($caught:ident: $mutant:ident => $why:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[tokio::test(flavor = "multi_thread")]
        async fn $law() {
            laws::$law(None).await.expect("the law holds");
        }

        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $caught() {
                let found = laws::$law(Some(Mutant::$mutant)).await;
                let broken = found.expect_err("a daemon that is wrong on purpose was not noticed");
                assert!(broken.contains($why), "caught for another reason: {broken}");
            }
        )+
    };
}

law!(the_last_slot_has_one_winner {
    a_dropped_guard_of_the_reservation_is_caught: DroppedReservationGuard => "VMs run in one slot",
});
law!(a_vm_started_everywhere_runs_once {
    a_dropped_guard_of_the_placement_is_caught: DroppedPlacementGuard => "begun twice",
});
law!(a_disk_is_held_until_its_guest_has_ended {
    a_lock_that_is_released_early_is_caught: LockReleasedEarly => "SharedWriter",
});
law!(a_start_that_lost_its_placement_does_not_run {
    a_start_without_rereading_the_placement_is_caught: StartWithoutRereading => "its placement names h2",
});
law!(a_late_replica_refuses_nothing_that_is_true_elsewhere {
    a_refusal_on_a_late_replica_is_caught: FirstRefusalStands => "through h2 right after",
});
law!(what_has_had_an_effect_is_done_once {
    an_effect_that_is_repeated_is_caught: EffectsRepeated => "was made twice",
});

fn stranger() -> Peer {
    Peer::Stranger(std::net::SocketAddr::from(([192, 0, 2, 7], 40000)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_and_a_password_of_one_host_are_good_at_once_on_another() {
    let pool = Pool::new(2).await;
    let (h1, h2) = (pool.h1(), &pool.hosts[1]);
    h2.daemon.catch_up().await;
    h2.lag.set(Duration::from_millis(100));
    let login = |password: &str| {
        ["root", password, "1.0", "test"].into_iter().map(Value::from).collect::<Vec<_>>()
    };
    let session = h1.call_bare("session.login_with_password", login("")).await.expect("logs in");
    let token = session.as_opaque().expect("a reference").to_string();
    h2.call_in(&token, "host.get_all", vec![]).await.expect("the session is known at once");
    let own = h2.call_in(&token, "session.get_auth_user_name", vec![session]).await;
    assert_eq!(own.expect("its record too"), Value::from("root"));
    for password in ["first", "second"] {
        let params = vec!["".into(), password.into()];
        h1.ok("session.change_password", params).await;
        let method = Text::from("session.login_with_password");
        api::call(&h2.daemon, &stranger(), &method, login(password))
            .await
            .unwrap_or_else(|error| panic!("the {password} password: {error}"));
    }
}

/// Found by eight hosts that raced for the last slot: a host that had not heard yet that it was disabled took a VM.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_disabled_takes_no_vm_through_a_host_that_has_not_heard_of_it() {
    let pool = Pool::new(2).await;
    let (h1, h2) = (pool.h1(), &pool.hosts[1]);
    let vm = h1.make("VM", vm_fields("web")).await;
    h2.daemon.catch_up().await;
    h2.lag.set(Duration::from_secs(1));
    h1.ok("host.disable", vec![reference(h2.uuid)]).await;
    let there = vec![reference(vm), reference(h2.uuid), false.into(), false.into()];
    let refusal = h2.refused("VM.start_on", there).await;
    assert_eq!(refusal[0], "HOST_DISABLED", "{refusal:?}");
    assert!(pool.world.running_on(vm).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_succeeds_asks_nobody_whether_it_may() {
    let pool = Pool::new(1).await;
    let h1 = pool.h1();
    let vm = h1.make("VM", vm_fields("web")).await;
    h1.daemon.catch_up().await;
    let before = h1.lag.asked();
    h1.ok("VM.get_record", vec![reference(vm)]).await;
    h1.ok("VM.set_name_label", vec![reference(vm), "mail".into()]).await;
    h1.ok("VM.get_by_name_label", vec!["mail".into()]).await;
    assert_eq!(h1.lag.asked(), before);
    h1.ok("VM.start", vec![reference(vm), false.into(), false.into()]).await;
    let read_again = "the placement and this boot's fence were read again, nothing else";
    assert_eq!(h1.lag.asked(), before + 2, "{read_again}");
    h1.refused("VM.start", vec![reference(vm), false.into(), false.into()]).await;
    assert_eq!(h1.lag.asked(), before + 3, "a refusal costs one question");
}

#[tokio::test(start_paused = true)]
async fn without_quorum_a_refusal_waits_for_nobody() {
    let pool = Pool::new(1).await;
    let h1 = pool.h1();
    let vm = h1.make("VM", vm_fields("web")).await;
    h1.db.set_cut_off(true);
    while !h1.daemon.is_without_quorum() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = tokio::time::Instant::now();
    let refused = h1.refused("VM.pause", vec![reference(vm)]).await;
    assert_eq!(refused[0], "VM_BAD_POWER_STATE");
    assert_eq!(before.elapsed(), Duration::ZERO);
}

/// The list names a test for each mutant, and every test that it names exists.
#[test]
fn the_list_of_mutants_is_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let list = std::fs::read_to_string(root.join("docs/reference/mutants.md")).expect("the list");
    let mut listed = 0;
    for row in list.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, _, _, file, test, _] = cells.as_slice() else { panic!("not a row: {row}") };
        let (file, test) = (file.trim_matches('`'), test.trim_matches('`'));
        let source = std::fs::read_to_string(root.join(file)).expect("the file it names");
        assert!(source.contains(test), "{file} has no {test}");
        listed += 1;
    }
    for mutant in Mutant::ALL {
        assert!(list.contains(&format!("`{mutant:?}`")), "{mutant:?} is not listed");
    }
    assert!(listed >= 18, "{listed} rows");
}
