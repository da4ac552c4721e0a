//! The lease machine, first by example, then against a model of the database that loses requests and replies.

use std::collections::BTreeMap;
use std::time::Duration;

use liveness::Moment;
use liveness::lease::{Command, Event, LeaseId, LeaseMachine, Phase, Settings};
use proptest::prelude::*;

const TTL: u64 = 12_000;
const RENEWAL: u64 = 2_000;

fn at(ms: u64) -> Moment {
    Moment::since_boot(Duration::from_millis(ms))
}

fn settings() -> Settings {
    Settings::new(Duration::from_millis(TTL), Duration::from_millis(RENEWAL))
}

fn configured(adopt: Option<LeaseId>) -> Event {
    Event::Configured { settings: settings(), adopt }
}

/// A machine that holds lease 1, confirmed at 1000.
fn held() -> LeaseMachine {
    let mut machine = LeaseMachine::new();
    assert_eq!(machine.step(configured(None), at(1000)), [Command::Grant]);
    let granted = Event::Granted { lease: LeaseId(1), sent_at: at(1000) };
    assert_eq!(machine.step(granted, at(1010)), [Command::Bind(LeaseId(1))]);
    assert_eq!(machine.phase(at(1010)), Phase::Granting, "a grant without its key is no lease");
    assert_eq!(machine.step(Event::Bound, at(1020)), []);
    machine
}

#[test]
fn the_age_counts_from_when_the_confirmed_request_was_sent() {
    let machine = held();
    assert_eq!(machine.age(at(1020)), Some(Duration::from_millis(20)));
    assert_eq!(machine.phase(at(4999)), Phase::Held);
    assert_eq!(machine.phase(at(5000)), Phase::Late);
    assert_eq!(machine.phase(at(12_999)), Phase::Late);
    assert_eq!(machine.phase(at(13_000)), Phase::Lost);
    assert_eq!(machine.wake_at(), Some(at(3000)));
}

#[test]
fn a_renewal_is_due_one_interval_after_the_last_was_sent() {
    let mut machine = held();
    assert_eq!(machine.step(Event::Tick, at(2999)), []);
    assert_eq!(machine.step(Event::Tick, at(3000)), [Command::Renew(LeaseId(1))]);
    assert_eq!(machine.step(Event::Tick, at(3500)), [], "one request at a time");
    assert_eq!(machine.step(Event::Renewed { sent_at: at(3000) }, at(3900)), []);
    assert_eq!(machine.wake_at(), Some(at(5000)));
    assert_eq!(machine.phase(at(6999)), Phase::Held);
}

#[test]
fn a_failed_renewal_is_retried_soon_and_a_lost_lease_is_asked_for_first() {
    let mut machine = held();
    machine.step(Event::Tick, at(3000));
    assert_eq!(machine.step(Event::Failed, at(4000)), []);
    assert_eq!(machine.wake_at(), Some(at(4250)));
    assert_eq!(machine.step(Event::Tick, at(20_000)), [Command::Renew(LeaseId(1))]);
    assert_eq!(machine.phase(at(20_000)), Phase::Lost);
    assert_eq!(machine.step(Event::Renewed { sent_at: at(20_000) }, at(20_010)), []);
    assert_eq!(machine.phase(at(20_010)), Phase::Held, "the database kept it");
}

#[test]
fn a_lease_that_is_gone_is_lost_at_once_and_granted_anew() {
    let mut machine = held();
    machine.step(Event::Tick, at(3000));
    assert_eq!(machine.step(Event::Gone, at(3010)), [Command::Grant]);
    assert_eq!(machine.phase(at(3010)), Phase::Lost);
    let granted = Event::Granted { lease: LeaseId(2), sent_at: at(3010) };
    assert_eq!(machine.step(granted, at(3020)), [Command::Bind(LeaseId(2))]);
    assert_eq!(machine.phase(at(3020)), Phase::Lost);
    machine.step(Event::Bound, at(3030));
    assert_eq!(machine.phase(at(3030)), Phase::Held);
}

#[test]
fn an_adopted_lease_is_renewed_and_its_key_written_again() {
    let mut machine = LeaseMachine::new();
    assert_eq!(machine.step(configured(Some(LeaseId(7))), at(0)), [Command::Renew(LeaseId(7))]);
    let renewed = Event::Renewed { sent_at: at(0) };
    assert_eq!(machine.step(renewed, at(10)), [Command::Bind(LeaseId(7))]);
    machine.step(Event::Bound, at(20));
    assert_eq!(machine.phase(at(20)), Phase::Held);
    assert_eq!(machine.lease(), Some(LeaseId(7)));
}

#[test]
fn a_new_configuration_of_the_same_lease_keeps_its_age() {
    let mut machine = held();
    assert_eq!(machine.step(configured(Some(LeaseId(1))), at(1500)), [Command::Renew(LeaseId(1))]);
    assert_eq!(machine.phase(at(1500)), Phase::Held);
    let mut machine = held();
    assert_eq!(machine.step(configured(None), at(1500)), [Command::Grant]);
    assert_eq!(machine.phase(at(1500)), Phase::Granting);
}

#[test]
fn a_released_lease_is_revoked_until_it_must_have_expired() {
    let mut machine = held();
    assert_eq!(machine.step(Event::Released, at(2000)), [Command::Revoke(LeaseId(1))]);
    assert_eq!(machine.phase(at(2000)), Phase::Unconfigured);
    machine.step(Event::Failed, at(3000));
    assert_eq!(machine.step(Event::Tick, at(3250)), [Command::Revoke(LeaseId(1))]);
    machine.step(Event::Failed, at(4250));
    assert_eq!(machine.step(Event::Tick, at(100_000)), []);
    assert_eq!((machine.lease(), machine.wake_at()), (None, None));
}

#[test]
fn a_grant_that_arrives_after_the_release_is_given_back() {
    let mut machine = LeaseMachine::new();
    machine.step(configured(None), at(0));
    machine.step(Event::Released, at(10));
    let granted = Event::Granted { lease: LeaseId(1), sent_at: at(0) };
    assert_eq!(machine.step(granted, at(20)), [Command::Revoke(LeaseId(1))]);
    assert_eq!(machine.step(Event::Revoked, at(30)), []);
    assert_eq!(machine.wake_at(), None);
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered,
    /// It never arrives.
    Lost,
    /// It takes effect, but nobody hears of it.
    ReplyLost,
}

#[derive(Debug, Clone, Copy)]
struct Network {
    fate: Fate,
    /// To the database and back, each.
    out_ms: u64,
    back_ms: u64,
    /// What the caller does meanwhile: had is frozen for so long before it handles the answer.
    freeze_ms: u64,
}

fn network() -> impl Strategy<Value = Network> {
    let fate = prop_oneof![
        5 => Just(Fate::Answered), 2 => Just(Fate::Lost), 1 => Just(Fate::ReplyLost)
    ];
    let freeze = prop_oneof![8 => Just(0_u64), 1 => 0..30_000_u64];
    (fate, 0..500_u64, 0..500_u64, freeze).prop_map(|(fate, out_ms, back_ms, freeze_ms)| Network {
        fate,
        out_ms,
        back_ms,
        freeze_ms,
    })
}

/// The database: leases with the moment they end, and the one key with its lease. It never expires a lease early.
#[derive(Default)]
struct Database {
    leases: BTreeMap<i64, u64>,
    key: Option<i64>,
    granted: i64,
}

impl Database {
    fn expire(&mut self, now: u64) {
        self.leases.retain(|_, end| *end > now);
        if self.key.is_some_and(|lease| !self.leases.contains_key(&lease)) {
            self.key = None;
        }
    }

    fn handle(&mut self, command: Command, sent: u64, now: u64) -> Event {
        self.expire(now);
        match command {
            Command::Grant => {
                self.granted += 1;
                self.leases.insert(self.granted, now + TTL);
                Event::Granted { lease: LeaseId(self.granted), sent_at: at(sent) }
            }
            Command::Bind(LeaseId(lease)) => {
                if !self.leases.contains_key(&lease) {
                    return Event::Gone;
                }
                self.key = Some(lease);
                Event::Bound
            }
            Command::Renew(LeaseId(lease)) => match self.leases.get_mut(&lease) {
                Some(end) => {
                    *end = now + TTL;
                    Event::Renewed { sent_at: at(sent) }
                }
                None => Event::Gone,
            },
            Command::Revoke(LeaseId(lease)) => {
                if self.leases.remove(&lease).is_none() {
                    return Event::Gone;
                }
                self.expire(now);
                Event::Revoked
            }
        }
    }
}

fn believes(phase: Phase) -> bool {
    matches!(phase, Phase::Held | Phase::Late)
}

/// Runs one request; returns the time at which its answer is handled.
fn perform(
    machine: &mut LeaseMachine,
    database: &mut Database,
    command: Command,
    network: Network,
    now: u64,
) -> (u64, Vec<Command>) {
    let arrived = now + network.out_ms;
    let (event, answered) = match network.fate {
        Fate::Lost => (Event::Failed, now + 1000),
        Fate::ReplyLost => {
            database.handle(command, now, arrived);
            (Event::Failed, now + 1000)
        }
        Fate::Answered => (database.handle(command, now, arrived), arrived + network.back_ms),
    };
    let handled = answered + network.freeze_ms;
    (handled, machine.step(event, at(handled)))
}

/// One key of the database must exist whenever the machine believes so.
fn check(machine: &LeaseMachine, database: &mut Database, now: u64) -> Result<(), TestCaseError> {
    database.expire(now);
    if believes(machine.phase(at(now))) {
        prop_assert!(database.key.is_some(), "believed at {now}, but the key is gone: {machine:?}");
    }
    Ok(())
}

proptest! {
    /// proves: S4-59 (table)
    #[test]
    fn the_machine_never_believes_in_a_lease_longer_than_the_database(
        faults in prop::collection::vec(network(), 1..120),
    ) {
        let (mut machine, mut database, mut now) = (LeaseMachine::new(), Database::default(), 0);
        let mut commands = machine.step(configured(None), at(0));
        for network in faults {
            prop_assert!(commands.len() <= 1, "one request at a time");
            let Some(command) = commands.first().copied() else {
                let wake = machine.wake_at().expect("a machine with an aim has a next moment");
                for probe in [now, now + 1000] {
                    check(&machine, &mut database, probe.min(now.max(to_ms(wake))))?;
                }
                now = now.max(to_ms(wake));
                commands = machine.step(Event::Tick, at(now));
                prop_assert!(!commands.is_empty(), "woken for something");
                continue;
            };
            let (handled, next) = perform(&mut machine, &mut database, command, network, now);
            now = handled;
            check(&machine, &mut database, now)?;
            commands = next;
        }
        // When the network heals, the lease is held again within grant, bind and one retry.
        let healthy = Network { fate: Fate::Answered, out_ms: 5, back_ms: 5, freeze_ms: 0 };
        let limit = now + 1000;
        while machine.phase(at(now)) != Phase::Held || machine.wake_at().is_none() {
            prop_assert!(now <= limit, "not healed at {now}: {machine:?}");
            if let Some(command) = commands.first().copied() {
                (now, commands) = perform(&mut machine, &mut database, command, healthy, now);
            } else {
                now = now.max(to_ms(machine.wake_at().expect("it waits for a moment")));
                commands = machine.step(Event::Tick, at(now));
            }
        }
        check(&machine, &mut database, now)?;
        // And from the next renewal on it is never late: until then its last one may be old, and another one lost.
        for renewal in 0..20 {
            now = to_ms(machine.wake_at().expect("renewals are due"));
            prop_assert!(renewal == 0 || machine.phase(at(now)) == Phase::Held);
            let command = machine.step(Event::Tick, at(now))[0];
            let _ = perform(&mut machine, &mut database, command, healthy, now);
        }
    }
}

fn to_ms(moment: Moment) -> u64 {
    u64::try_from(moment.since(at(0)).as_millis()).expect("test times are small")
}
