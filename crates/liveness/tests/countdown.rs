//! The countdown by example and against a model of a host with its watchdog and of the survivors' wait.

use std::time::Duration;

use liveness::Moment;
use liveness::countdown::{Actions, Countdown, Event, Phase, Rely, Settings};
use liveness::profile::{FAST, Profile, STANDARD, WIDE};
use liveness::quorum::Span;
use proptest::prelude::*;

fn at(ms: u64) -> Moment {
    Moment::since_boot(Duration::from_millis(ms))
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("short")
}

fn armed(rely: Rely) -> Countdown {
    let mut countdown = Countdown::new();
    let settings = Settings::of(&STANDARD, rely);
    countdown.step(Event::Armed { settings, confirmed: Some(at(1_000)) }, at(1_000));
    countdown
}

const PET: Actions = Actions { pet: true, stop_guests: false };
const KILL: Actions = Actions { pet: false, stop_guests: true };

fn tick(countdown: &mut Countdown, guests: usize, now: u64) -> Actions {
    countdown.step(Event::Tick { guests }, at(now))
}

#[test]
fn guests_are_stopped_at_s_and_nothing_is_petted_until_they_are_gone() {
    let mut c = armed(Rely::Database);
    assert_eq!(tick(&mut c, 3, 1_000), PET);
    assert_eq!(tick(&mut c, 3, 1_500), Actions::default());
    assert_eq!(tick(&mut c, 3, 7_999), PET);
    assert_eq!(c.wake_at(), Some(at(8_000)));
    assert_eq!(tick(&mut c, 3, 8_000), KILL);
    assert!(!c.may_run_guests());
    // A late answer changes nothing: the stop is carried through.
    c.step(Event::DatabaseConfirmed { sent_at: at(7_900) }, at(8_010));
    assert_eq!(tick(&mut c, 1, 8_020), Actions::default());
    assert_eq!(tick(&mut c, 1, 8_050), KILL);
    // Nothing runs any more, so it is petted again when that is due.
    assert_eq!(tick(&mut c, 0, 8_100), Actions::default());
    assert_eq!(tick(&mut c, 0, 8_999), PET);
    assert_eq!(c.phase(), Phase::Stopped);
    // Only a renewal sent after the stop began entitles anew.
    assert_eq!(
        c.step(Event::DatabaseConfirmed { sent_at: at(8_000) }, at(8_200)),
        Actions::default()
    );
    tick(&mut c, 0, 8_210);
    assert_eq!(c.phase(), Phase::Stopped);
    c.step(Event::DatabaseConfirmed { sent_at: at(8_220) }, at(8_300));
    tick(&mut c, 0, 8_310);
    assert_eq!(c.phase(), Phase::Guarding);
}

#[test]
fn no_majority_anywhere_keeps_guests_for_as_long_as_the_word_is_fresh() {
    let mut c = armed(Rely::Database);
    // Longer than the gap by nothing: a second. Longer by a second: two. Very long: as a renewal.
    for (since, until, holds) in [(6_800, 7_800, 1_000), (5_800, 7_800, 2_000), (0, 9_000, 7_000)] {
        let mut c = c;
        c.step(Event::NoMajorityAnywhere(Span { since: at(since), until: at(until) }), at(7_900));
        assert_eq!(tick(&mut c, 1, until + holds - 1), PET);
        assert_eq!(tick(&mut c, 1, until + holds), KILL);
    }
    let old = Span { since: at(0), until: at(3_000) };
    c.step(Event::NoMajorityAnywhere(Span { since: at(6_800), until: at(7_800) }), at(7_900));
    c.step(Event::NoMajorityAnywhere(old), at(7_950));
    assert_eq!(tick(&mut c, 1, 8_799), PET, "what is older changes nothing");
    assert_eq!(tick(&mut c, 1, 8_800), KILL);
}

#[test]
fn storage_counts_only_where_survivors_know_that_it_does() {
    for (rely, expected) in [(Rely::Database, KILL), (Rely::DatabaseOrStorage, PET)] {
        let mut c = armed(rely);
        c.step(Event::StorageConfirmed { sent_at: at(6_000) }, at(6_010));
        assert_eq!(tick(&mut c, 1, 9_000), expected, "{rely:?}");
    }
}

#[test]
fn disarming_waits_for_a_stop_that_goes_on() {
    let mut c = armed(Rely::Database);
    assert_eq!(tick(&mut c, 1, 9_000), KILL);
    c.step(Event::Disarmed, at(9_010));
    assert_eq!(c.phase(), Phase::Stopping);
    tick(&mut c, 0, 9_100);
    assert_eq!(c.phase(), Phase::Disarmed);
}

#[test]
fn a_pause_of_three_seconds_disturbs_nobody_and_one_of_eight_stops_once() {
    let mut c = armed(Rely::Database);
    c.step(Event::DatabaseConfirmed { sent_at: at(3_000) }, at(3_010));
    assert_eq!(tick(&mut c, 1, 6_010), PET);
    let mut c = armed(Rely::Database);
    c.step(Event::DatabaseConfirmed { sent_at: at(3_000) }, at(3_010));
    assert_eq!(tick(&mut c, 1, 11_010), KILL);
}

proptest! {
    /// proves: S4-59 (table)
    ///
    /// Whatever is confirmed when, and however late the program gets to run: no guest lives when survivors may start it.
    #[test]
    fn no_guest_lives_when_others_may_start_it(
        which in 0_usize..3,
        steps in prop::collection::vec((1_u64..2_500, any::<bool>(), 0_u64..900), 1..60),
        kill_works in any::<bool>(),
    ) {
        let profile: &Profile = [&STANDARD, &WIDE, &FAST][which];
        let mut c = Countdown::new();
        let settings = Settings::of(profile, Rely::Database);
        let mut now = 1_000;
        c.step(Event::Armed { settings, confirmed: Some(at(now)) }, at(now));
        // The database counts from when it handled the renewal: at `sent` at the earliest.
        let mut confirmed = now;
        let mut bites_at = now + ms(profile.watchdog);
        let mut alive = true;
        let expires = |sent: u64| sent + ms(profile.inequality(profile.watchdog).others_start_at());
        for (pause, renews, took) in steps {
            now += pause;
            if now >= bites_at {
                // The device bit at `bites_at`, and the processors stood still soon after.
                let stopped = bites_at + ms(profile.reset_latency);
                prop_assert!(!alive || stopped < expires(confirmed), "bitten too late");
                return Ok(());
            }
            prop_assert!(!alive || now < expires(confirmed), "a guest lives while others may start it");
            if renews && took < pause {
                let sent = now - took;
                // Whom the database has given up gets no renewal.
                if sent < confirmed + ms(profile.lease_ttl) {
                    c.step(Event::DatabaseConfirmed { sent_at: at(sent) }, at(now));
                    confirmed = confirmed.max(sent);
                }
            }
            let actions = c.step(Event::Tick { guests: usize::from(alive) }, at(now));
            if actions.pet {
                bites_at = now + ms(profile.watchdog);
            }
            if actions.stop_guests && kill_works {
                alive = false;
            }
        }
    }
}
