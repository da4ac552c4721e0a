//! Keeping one's own lease in the pool database: the state machine behind `holdfast-had`.
//!
//! ```text
//!                 Configured            key bound              age ≥ late          age ≥ TTL, or told so
//!  Unconfigured ─────────────► Granting ──────────► Held ◄────────────────► Late ─────────────► Lost
//!        ▲                                           ▲     renewal confirmed                      │
//!        └────────── Released (from anywhere)        └──── renewed after all, or granted anew ────┘
//! ```
//!
//! [`LeaseMachine::step`] takes what happened and returns what to do; it has at most one request outstanding and owns
//! no timer ([`LeaseMachine::wake_at`] says when to send a [`Event::Tick`]). What it is not: it stops no guest and pets
//! no watchdog; the rules for that read [`LeaseMachine::age`].
//!
//! Invariants:
//! * The age counts from when the last confirmed request was *sent*. The database counts a lease's TTL from when it
//!   handled that request, which is later, so as long as the age is below the TTL the key exists.
//! * `Held` and `Late` are said only after the key itself was written under the lease, not after the grant alone.
//! * A lease that may have expired is asked for before it is replaced: the database's answer decides, not our clock.

use std::time::Duration;

use crate::Moment;

/// A lease's number in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// How the lease is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// L: time to live.
    pub ttl: Duration,
    /// K: from sending one renewal to sending the next.
    pub renewal: Duration,
    /// Age from which the lease is [`Phase::Late`].
    pub late: Duration,
    /// Pause after a failed request.
    pub retry: Duration,
}

impl Settings {
    /// Pause after a failed request: short against K, long against a refused connection.
    pub const RETRY: Duration = Duration::from_millis(250);

    /// Settings of a lease with this TTL and renewal; late from two missed renewals on.
    pub fn new(ttl: Duration, renewal: Duration) -> Self {
        Self { ttl, renewal, late: (renewal * 2).min(ttl), retry: Self::RETRY }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A lease is wanted. `adopt` is one that we know to have held under the same key, if any.
    Configured {
        /// How to keep it.
        settings: Settings,
        /// Lease of a former run or configuration, to be renewed rather than replaced.
        adopt: Option<LeaseId>,
    },
    /// No lease is wanted any more.
    Released,
    /// Time has passed.
    Tick,
    /// The database granted a lease, asked for at `sent_at`.
    Granted {
        /// The new lease.
        lease: LeaseId,
        /// When the request was sent.
        sent_at: Moment,
    },
    /// The key was written under the lease.
    Bound,
    /// The lease was renewed, asked for at `sent_at`.
    Renewed {
        /// When the request was sent.
        sent_at: Moment,
    },
    /// The lease was revoked.
    Revoked,
    /// The database says that there is no such lease.
    Gone,
    /// The request failed or was not answered in time; whether it took effect is unknown.
    Failed,
}

/// What to do. Exactly one of [`Event::Granted`], [`Event::Bound`], [`Event::Renewed`], [`Event::Revoked`],
/// [`Event::Gone`] and [`Event::Failed`] is expected for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Ask for a lease with the TTL of the settings.
    Grant,
    /// Write the key under this lease.
    Bind(LeaseId),
    /// Renew this lease.
    Renew(LeaseId),
    /// Revoke this lease.
    Revoke(LeaseId),
}

/// How the lease is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No lease is wanted.
    Unconfigured,
    /// One is wanted, none was confirmed under this configuration.
    Granting,
    /// Confirmed lately.
    Held,
    /// Renewals are missing.
    Late,
    /// The TTL has passed since the last confirmation was sent, or the database said that the lease is gone.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Nothing,
    /// Get a lease.
    Grant,
    /// See whether an adopted lease still lives.
    Adopt(LeaseId),
    /// Write the key under a lease confirmed at this moment.
    Bind(LeaseId, Moment),
    /// Renew.
    Keep(LeaseId),
    /// Give it back, until this moment at most: then it has expired by itself.
    Revoke(LeaseId, Moment),
}

/// The machine; see the module header.
#[derive(Debug, Clone)]
pub struct LeaseMachine {
    settings: Option<Settings>,
    aim: Aim,
    confirmed_at: Option<Moment>,
    told_gone: bool,
    outstanding: bool,
    due: Moment,
}

impl Default for LeaseMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl LeaseMachine {
    /// A machine that wants no lease.
    pub const fn new() -> Self {
        Self {
            settings: None,
            aim: Aim::Nothing,
            confirmed_at: None,
            told_gone: false,
            outstanding: false,
            due: Moment::since_boot(Duration::ZERO),
        }
    }

    /// Takes in what happened and returns what to do now.
    pub fn step(&mut self, event: Event, now: Moment) -> Vec<Command> {
        match event {
            Event::Configured { settings, adopt } => self.configure(settings, adopt, now),
            Event::Released => self.release(now),
            Event::Tick => {}
            Event::Granted { lease, sent_at } => {
                self.answered(now);
                if self.aim == Aim::Grant {
                    self.aim = Aim::Bind(lease, sent_at);
                } else {
                    // Granted after all, but no longer wanted: don't leave it to its TTL.
                    self.aim = self.give_back(lease, now);
                }
            }
            Event::Bound => {
                self.answered(now);
                if let Aim::Bind(lease, sent_at) = self.aim {
                    self.confirm(lease, sent_at);
                }
            }
            Event::Renewed { sent_at } => {
                self.answered(now);
                match self.aim {
                    Aim::Adopt(lease) => self.aim = Aim::Bind(lease, sent_at),
                    Aim::Keep(lease) => self.confirm(lease, sent_at),
                    Aim::Nothing | Aim::Grant | Aim::Bind(..) | Aim::Revoke(..) => {}
                }
            }
            Event::Revoked => {
                self.answered(now);
                if matches!(self.aim, Aim::Revoke(..)) {
                    self.revoked();
                }
            }
            Event::Gone => {
                self.answered(now);
                match self.aim {
                    Aim::Adopt(_) | Aim::Bind(..) | Aim::Keep(_) => {
                        self.told_gone = true;
                        self.aim = Aim::Grant;
                    }
                    Aim::Revoke(..) => self.revoked(),
                    Aim::Nothing | Aim::Grant => {}
                }
            }
            Event::Failed => {
                self.answered(now);
                let retry = self.settings.map_or(Settings::RETRY, |s| s.retry);
                self.due = now + retry;
            }
        }
        self.next(now).into_iter().collect()
    }

    /// Returns how the lease is.
    pub fn phase(&self, now: Moment) -> Phase {
        let Some(settings) = self.settings else { return Phase::Unconfigured };
        let Some(age) = self.age(now) else { return Phase::Granting };
        if self.told_gone || age >= settings.ttl {
            Phase::Lost
        } else if age >= settings.late {
            Phase::Late
        } else {
            Phase::Held
        }
    }

    /// Time since the last confirmed request was sent; `None` if there was none under this configuration.
    pub fn age(&self, now: Moment) -> Option<Duration> {
        self.confirmed_at.map(|at| now.since(at))
    }

    /// When the last confirmed request was sent, under this configuration.
    pub fn confirmed_at(&self) -> Option<Moment> {
        self.confirmed_at
    }

    /// Returns the lease that we have or try to have.
    pub fn lease(&self) -> Option<LeaseId> {
        match self.aim {
            Aim::Nothing | Aim::Grant => None,
            Aim::Adopt(lease) | Aim::Bind(lease, _) | Aim::Keep(lease) | Aim::Revoke(lease, _) => {
                Some(lease)
            }
        }
    }

    /// Returns when the machine wants its next [`Event::Tick`]; `None` if it waits for an answer or for nothing.
    pub fn wake_at(&self) -> Option<Moment> {
        (!self.outstanding && self.aim != Aim::Nothing).then_some(self.due)
    }

    fn configure(&mut self, settings: Settings, adopt: Option<LeaseId>, now: Moment) {
        let current = match self.aim {
            Aim::Keep(lease) => Some(lease),
            Aim::Nothing | Aim::Grant | Aim::Adopt(_) | Aim::Bind(..) | Aim::Revoke(..) => None,
        };
        if adopt.is_none() || adopt != current {
            self.confirmed_at = None;
            self.told_gone = false;
        }
        self.settings = Some(settings);
        self.aim = adopt.map_or(Aim::Grant, Aim::Adopt);
        self.due = now;
    }

    fn release(&mut self, now: Moment) {
        self.aim = self.lease().map_or(Aim::Nothing, |lease| self.give_back(lease, now));
        self.settings = None;
        self.confirmed_at = None;
        self.told_gone = false;
        self.due = now;
    }

    /// A granted lease has expired by itself at the latest one TTL from now.
    fn give_back(&self, lease: LeaseId, now: Moment) -> Aim {
        let ttl = self.settings.map_or(Duration::from_secs(60), |s| s.ttl);
        Aim::Revoke(lease, now + ttl)
    }

    fn revoked(&mut self) {
        self.aim = if self.settings.is_some() { Aim::Grant } else { Aim::Nothing };
    }

    fn answered(&mut self, now: Moment) {
        self.outstanding = false;
        self.due = now;
    }

    fn confirm(&mut self, lease: LeaseId, sent_at: Moment) {
        // Answers can't go back in time, whatever the order in which they are reported.
        self.confirmed_at = Some(self.confirmed_at.map_or(sent_at, |at| at.max(sent_at)));
        self.told_gone = false;
        self.aim = Aim::Keep(lease);
        if let Some(settings) = self.settings {
            self.due = sent_at + settings.renewal;
        }
    }

    fn next(&mut self, now: Moment) -> Option<Command> {
        if let Aim::Revoke(_, until) = self.aim
            && now >= until
        {
            self.revoked();
        }
        if self.outstanding || now < self.due {
            return None;
        }
        let command = match self.aim {
            Aim::Nothing => return None,
            Aim::Grant => Command::Grant,
            Aim::Bind(lease, _) => Command::Bind(lease),
            Aim::Adopt(lease) | Aim::Keep(lease) => Command::Renew(lease),
            Aim::Revoke(lease, _) => Command::Revoke(lease),
        };
        self.outstanding = true;
        Some(command)
    }
}
