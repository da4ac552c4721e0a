//! `holdfast-had` on a simulated host: steps the lease machine that ships, pets, stops guests, and talks to the others' `had`.
//!
//! Petting and stopping are the countdown that ships ([`liveness::countdown`]). It is fed with confirmed renewals, and with
//! rule 3 of ha-anchors section 6 as it ships ([`liveness::quorum`]): while a renewal is overdue each `had` looks at the voter
//! beside it and tells the others with its beats. A `had` that is started anew knows when its predecessor's lease was
//! confirmed last.

use std::collections::BTreeMap;

use liveness::Moment;
use liveness::countdown::{Actions, Countdown, Event as Count, Phase, Rely, Settings as Counting};
use liveness::lease::{Command, Event as LeaseEvent, LeaseId, LeaseMachine, Settings};
use liveness::quorum::{self, Beside, Look, Member, Report, Span, Told, Word};
use liveness::suspicion::INTERVAL;

use crate::etcd::{Answer, Ask};
use crate::facts::What;
use crate::kernel::{At, MS, SEC};
use crate::kv::{Key, Op, Outcome, Value, Write};
use crate::mutants::Mutant;
use crate::world::{Asked, Event, Process, Purpose, World};

/// Its clock.
pub const TICK: At = 50 * MS;
/// Longest wait for the database.
const LIMIT: At = SEC;

/// Its memory.
#[derive(Debug, Default)]
pub struct Had {
    /// The lease.
    pub machine: LeaseMachine,
    /// What a restart takes up again.
    stored: Option<LeaseId>,
    /// The countdown.
    pub countdown: Countdown,
    confirmed: Option<Moment>,
    /// Of the request that a key is being bound for.
    sent: Option<Moment>,
    asked_at: Option<Moment>,
    /// When each other host answered last.
    pub heard: BTreeMap<usize, Moment>,
    /// The voter beside this host, while a renewal is overdue.
    beside: Option<Beside>,
    looked_at: Option<Moment>,
    /// What other hosts told of the voters beside them.
    told: BTreeMap<usize, Report>,
}

impl World {
    /// It starts, or starts again.
    pub fn had_started(&mut self, host: usize) {
        let profile = self.setup.profile;
        let now = self.local(host);
        let fresh_boot = self.hosts[host].boot_at == self.now;
        let adopt = self.hosts[host].had.stored.filter(|_| !fresh_boot);
        let confirmed = self.hosts[host].had.confirmed.filter(|_| !fresh_boot);
        self.hosts[host].had = Had { stored: adopt, confirmed, ..Had::default() };
        if self.hosts[host].witness {
            return;
        }
        let settings = Settings::new(profile.lease_ttl, profile.renewal);
        let commands =
            self.hosts[host].had.machine.step(LeaseEvent::Configured { settings, adopt }, now);
        self.lease_commands(host, commands);
        let mut settings = Counting::of(profile, Rely::Database);
        if self.setup.mutant == Some(Mutant::SelfStopMarginNegative) {
            settings.self_stop_age = profile.lease_ttl + profile.grace + profile.watchdog;
        }
        self.hosts[host].had.countdown.step(Count::Armed { settings, confirmed }, now);
    }

    fn lease_commands(&mut self, host: usize, commands: Vec<Command>) {
        let ttl = self.setup.profile.lease_ttl.as_secs();
        for command in commands {
            let (purpose, what) = match command {
                Command::Grant => {
                    let lease = self.fresh();
                    (Purpose::Grant(lease), Ask::Commit(Op::Grant(lease, ttl).into()))
                }
                Command::Bind(lease) => {
                    let boot = Value::Number(self.hosts[host].boot);
                    let writes = vec![Write::Put(Key::HostLease(host), boot, Some(lease.0))];
                    let bind = Op::Txn { guards: vec![], writes, claims_term: None };
                    (Purpose::Bind, Ask::Commit(bind.into()))
                }
                Command::Renew(lease) => (Purpose::Renew, Ask::KeepAlive(lease.0)),
                Command::Revoke(lease) => {
                    (Purpose::Revoke, Ask::Commit(Op::Revoke(lease.0).into()))
                }
            };
            self.ask(host, Process::Had, purpose, what, LIMIT);
        }
    }

    /// The database answered, or did not in time.
    pub fn had_answered(&mut self, asked: &Asked, answer: Option<Answer>) {
        let sent_at = asked.sent;
        let event = match (asked.purpose, answer) {
            (Purpose::Grant(lease), Some(Answer::Outcome(Outcome::Done(_)))) => {
                LeaseEvent::Granted { lease: LeaseId(lease), sent_at }
            }
            (Purpose::Bind, Some(Answer::Outcome(Outcome::Done(_)))) => LeaseEvent::Bound,
            (Purpose::Renew, Some(Answer::Renewed)) => LeaseEvent::Renewed { sent_at },
            (Purpose::Revoke, Some(Answer::Outcome(_))) => LeaseEvent::Revoked,
            (_, Some(Answer::Gone | Answer::Outcome(Outcome::NoLease))) => LeaseEvent::Gone,
            _ => LeaseEvent::Failed,
        };
        let now = self.local(asked.host);
        let had = &mut self.hosts[asked.host].had;
        let commands = had.machine.step(event, now);
        had.stored = had.machine.lease();
        match event {
            LeaseEvent::Granted { .. } | LeaseEvent::Renewed { .. } => had.sent = Some(sent_at),
            _ => {}
        }
        if let Some(sent) = had.sent
            && had.machine.age(now) == Some(now.since(sent))
            && !matches!(event, LeaseEvent::Failed | LeaseEvent::Gone)
        {
            had.confirmed = Some(sent);
            had.countdown.step(Count::DatabaseConfirmed { sent_at: sent }, now);
        }
        self.lease_commands(asked.host, commands);
    }

    /// Rule 3: when nobody can have had a majority, as far as the hosts that are heard show.
    fn no_majority(&self, host: usize) -> Option<Span> {
        let had = &self.hosts[host].had;
        let own = had.beside.as_ref().and_then(Beside::report);
        let known = |voter: &usize| {
            let told = had.told.get(voter).copied();
            [if *voter == host { own } else { told }, None]
        };
        let voters: Vec<_> = self.etcd.voters.keys().map(known).collect();
        quorum::no_majority(&voters, quorum::least(self.setup.profile))
    }

    /// Looks at the voter beside this host while a renewal is overdue; a witness, which has no lease, always does.
    fn look_beside(&mut self, host: usize, now: Moment) {
        let profile = self.setup.profile;
        let h = &self.hosts[host];
        let held = h.had.confirmed.is_some_and(|at| now.since(at) < quorum::look_from(profile));
        if !self.etcd.voters.contains_key(&host) || (held && !h.witness) {
            self.hosts[host].had.beside = None;
            return;
        }
        if h.had.looked_at.is_some_and(|at| now.since(at) < quorum::LOOK_EVERY) {
            return;
        }
        let etcd = h.processes[0];
        let word = if !etcd.up {
            Word::Gone
        } else if etcd.frozen_until > self.now {
            Word::Still
        } else {
            self.etcd.follows(host).map_or(Word::Leaderless, |l| Word::Names(member(l)))
        };
        let look = Look {
            word,
            member: Some(member(host)),
            term: self.etcd.term(host),
            process: etcd.run + 1,
            began: now,
            ended: now,
        };
        let had = &mut self.hosts[host].had;
        // It stood still since the look before, if it did at that one already: nothing thaws it for a moment only.
        let was = had.beside.as_ref().and_then(Beside::report).filter(|r| r.word == Word::Still);
        let began = was.filter(|_| word == Word::Still).map_or(now, |report| report.until);
        let look = Look { began, ..look };
        had.looked_at = Some(now);
        had.beside.get_or_insert_default().look(Some(look));
    }

    /// What is told of the voter beside this host.
    fn tells(&self, host: usize) -> Option<Told> {
        let report = self.hosts[host].had.beside?.report()?;
        Some(report.told(self.local(host)))
    }

    /// Its clock ticks.
    pub fn had_tick(&mut self, host: usize) {
        let now = self.local(host);
        let commands = self.hosts[host].had.machine.step(LeaseEvent::Tick, now);
        self.lease_commands(host, commands);
        self.look_beside(host, now);
        self.ask_others(host, now);
        if self.hosts[host].witness {
            return;
        }
        let attested = self.no_majority(host);
        let h = &mut self.hosts[host];
        if let Some(span) = attested {
            h.had.countdown.step(Count::NoMajorityAnywhere(span), now);
        }
        let before = h.had.countdown.phase();
        let actions = h.had.countdown.step(Count::Tick { guests: h.guests.len() }, now);
        let after = h.had.countdown.phase();
        if before == Phase::Guarding && after != Phase::Guarding && !h.guests.is_empty() {
            self.note(What::SelfStop { host });
        }
        self.act(host, actions);
    }

    fn act(&mut self, host: usize, actions: Actions) {
        if actions.pet {
            self.pet(host);
        }
        if actions.stop_guests {
            let guests: Vec<usize> = self.hosts[host].guests.keys().copied().collect();
            for vm in guests {
                self.kill(host, vm);
            }
        }
    }

    /// A guest is made known, before its processors run. `false`: not now.
    pub fn register(&mut self, host: usize) -> bool {
        let had = self.hosts[host].processes[1];
        had.up && had.frozen_until <= self.now && self.hosts[host].had.countdown.may_run_guests()
    }

    fn ask_others(&mut self, host: usize, now: Moment) {
        let had = &mut self.hosts[host].had;
        if had.asked_at.is_some_and(|at| now.since(at) < INTERVAL) {
            return;
        }
        had.asked_at = Some(now);
        let run = self.hosts[host].processes[1].run;
        for to in (0..self.hosts.len()).filter(|to| *to != host) {
            if let Some(at) = self.net.arrives(self.now, host, to, &mut self.chance) {
                self.queue.put(at, Event::HadAsk { to, from: host, sent: now, run });
            }
        }
    }

    /// Another `had` asks or answers.
    pub fn had_message(&mut self, event: Event) {
        match event {
            Event::HadAsk { to, from, sent, run } => {
                let told = self.tells(to);
                if let Some(at) = self.net.arrives(self.now, to, from, &mut self.chance) {
                    self.queue.put(at, Event::HadTold { to: from, from: to, sent, run, told });
                }
            }
            Event::HadTold { to, from, sent, run, told } => {
                if self.hosts[to].processes[1].run != run {
                    return;
                }
                let now = self.local(to);
                let had = &mut self.hosts[to].had;
                had.heard.insert(from, now);
                if let Some(told) = told {
                    had.told.insert(from, Report::heard(&told, sent, now));
                }
            }
            _ => {}
        }
    }
}

/// The database's number of the voter on a host.
fn member(host: usize) -> Member {
    host as u64 + 1
}
