//! The local countdown of an armed host: it pets the watchdog while the host may run guests, and stops them in time.
//!
//! ```text
//!            Armed              age ≥ S, not attested          all guests have ended
//!  Disarmed ───────► Guarding ─────────────────────► Stopping ───────────────────────► Stopped
//!      ▲                ▲                             │ no pet                            │ petted again: nothing runs
//!      │ Disarmed       └──────────── a renewal that was sent after the stop began ───────┘
//!      └─ from Guarding and Stopped at once, from Stopping never
//! ```
//!
//! Source: ha-anchors section 6. Once begun, a stop is carried through: what a late answer says can't be weighed against
//! survivors that may be counting already. What it is not: a fence. It makes a fence's bound true.
//!
//! Invariants: between `Stopping` and the end of the last guest nothing is petted, so that the watchdog ends what the
//! kill did not; [`Countdown::step`] allocates nothing and is total: every event is allowed in every state, late or twice.

use std::time::Duration;

use crate::Moment;
use crate::profile::Profile;
use crate::quorum::Span;

/// Which leases keep the guests running. What survivors accept as proof follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rely {
    /// The pool database's alone: its lapse and the watchdog's bound are the proof.
    Database,
    /// Either that or the one on shared storage: only the lapse of both is the proof (two hosts without a witness).
    DatabaseOrStorage,
}

/// What an armed host goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// S: age at which guests are stopped.
    pub self_stop_age: Duration,
    /// From one pet to the next.
    pub pet_period: Duration,
    /// For how long it counts that nobody had a majority (rule 3), at least.
    pub attestation_age: Duration,
    /// See [`Profile::commit_gap`].
    pub commit_gap: Duration,
    /// Which leases count.
    pub rely: Rely,
}

impl Settings {
    /// As the profile says.
    pub const fn of(profile: &Profile, rely: Rely) -> Self {
        Self {
            self_stop_age: profile.self_stop_age,
            pet_period: profile.pet_period,
            attestation_age: profile.attestation_age,
            commit_gap: profile.commit_gap,
            rely,
        }
    }

    /// For how long it counts that nobody had a majority in this time.
    ///
    /// Judges of leases begin their whole wait after a gap, so any gap would be worth as much as a renewal. What was seen
    /// for a moment only is not trusted with more than the budget has for it; the longer it lasted, the more: at its end
    /// voters elect, and clients find the leader.
    fn holds(&self, span: Span) -> Duration {
        let lasted = span.until.since(span.since).saturating_sub(self.commit_gap);
        (self.attestation_age + lasted).min(self.self_stop_age.max(self.attestation_age))
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Guard from now on. `confirmed` is when the last confirmed renewal was sent, known from the lease or from the run
    /// of `had` before this one; without any the host counts as confirmed now, since it may have no guest yet.
    Armed {
        /// What to go by.
        settings: Settings,
        /// Send time of the last confirmed renewal.
        confirmed: Option<Moment>,
    },
    /// Guard no more (HA is off, or the host is emptied).
    Disarmed,
    /// The lease in the pool database was renewed.
    DatabaseConfirmed {
        /// When that renewal was sent.
        sent_at: Moment,
    },
    /// The lease on shared storage was written and read back.
    StorageConfirmed {
        /// When that write was sent.
        sent_at: Moment,
    },
    /// So many voters were without a leader that the others can't be a majority (rule 3).
    NoMajorityAnywhere(Span),
    /// Time has passed. `guests` is how many registered guests still run.
    Tick {
        /// Guests whose processes have not ended.
        guests: usize,
    },
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Actions {
    /// Pet the watchdog.
    pub pet: bool,
    /// Kill every guest (again).
    pub stop_guests: bool,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not armed: guests run on whatever happens.
    Disarmed,
    /// Armed and entitled to run guests.
    Guarding,
    /// Its time is over, guests are being stopped, the watchdog is not petted.
    Stopping,
    /// All guests have ended. None may start until a new renewal.
    Stopped,
}

/// The machine; see the module header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Countdown {
    settings: Option<Settings>,
    phase: Phase,
    database: Option<Moment>,
    storage: Option<Moment>,
    attested: Option<Span>,
    stop_began: Option<Moment>,
    pet_at: Option<Moment>,
    kill_at: Option<Moment>,
    disarm_after_stop: bool,
}

impl Default for Countdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Countdown {
    /// Disarmed.
    pub const fn new() -> Self {
        Self {
            settings: None,
            phase: Phase::Disarmed,
            database: None,
            storage: None,
            attested: None,
            stop_began: None,
            pet_at: None,
            kill_at: None,
            disarm_after_stop: false,
        }
    }

    /// Takes in what happened and returns what to do now.
    pub fn step(&mut self, event: Event, now: Moment) -> Actions {
        match event {
            Event::Armed { settings, confirmed } => self.arm(settings, confirmed, now),
            Event::Disarmed => self.disarm(),
            Event::DatabaseConfirmed { sent_at } => newer(&mut self.database, sent_at),
            Event::StorageConfirmed { sent_at } => newer(&mut self.storage, sent_at),
            Event::NoMajorityAnywhere(span) => {
                if self.attested.is_none_or(|known| known.until < span.until) {
                    self.attested = Some(span);
                }
            }
            Event::Tick { guests } => return self.tick(guests, now),
        }
        Actions::default()
    }

    /// How it stands.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether a guest may be registered: its start is refused while a stop goes on, and after it until a renewal.
    pub const fn may_run_guests(&self) -> bool {
        matches!(self.phase, Phase::Disarmed | Phase::Guarding)
    }

    /// When guests will be stopped, if nothing is confirmed until then; `None` unless guarding.
    pub fn stops_at(&self) -> Option<Moment> {
        let settings = self.settings?;
        if self.phase != Phase::Guarding {
            return None;
        }
        let by_lease = self.confirmed(settings.rely)? + settings.self_stop_age;
        let by_word = self.attested.map(|span| span.until + settings.holds(span));
        Some(by_word.map_or(by_lease, |word| word.max(by_lease)))
    }

    /// When the next [`Event::Tick`] is due; `None` while disarmed.
    pub fn wake_at(&self) -> Option<Moment> {
        let settings = self.settings?;
        let pet = self.pet_at.map(|at| at + settings.pet_period);
        match self.phase {
            Phase::Disarmed => None,
            Phase::Guarding => [pet, self.stops_at()].into_iter().flatten().min(),
            Phase::Stopping => self.kill_at.map(|at| at + KILL_AGAIN),
            Phase::Stopped => pet,
        }
    }

    /// The newest confirmation that counts.
    fn confirmed(&self, rely: Rely) -> Option<Moment> {
        match rely {
            Rely::Database => self.database,
            Rely::DatabaseOrStorage => self.database.max(self.storage),
        }
    }

    fn arm(&mut self, settings: Settings, confirmed: Option<Moment>, now: Moment) {
        if self.phase == Phase::Disarmed {
            self.phase = Phase::Guarding;
            newer(&mut self.database, confirmed.unwrap_or(now));
            self.pet_at = None;
        }
        self.disarm_after_stop = false;
        self.settings = Some(settings);
    }

    fn disarm(&mut self) {
        if self.phase == Phase::Stopping {
            self.disarm_after_stop = true;
        } else {
            *self = Self::new();
        }
    }

    fn tick(&mut self, guests: usize, now: Moment) -> Actions {
        let Some(settings) = self.settings else { return Actions::default() };
        if self.phase == Phase::Guarding && self.stops_at().is_none_or(|at| now >= at) {
            self.phase = Phase::Stopping;
            self.stop_began = Some(now);
            self.kill_at = None;
        }
        if self.phase == Phase::Stopping && guests == 0 {
            self.phase = Phase::Stopped;
            if self.disarm_after_stop {
                *self = Self::new();
                return Actions { pet: true, stop_guests: false };
            }
        }
        let entitled_anew =
            self.confirmed(settings.rely).is_some_and(|sent| Some(sent) > self.stop_began)
                && self.phase == Phase::Stopped;
        if entitled_anew {
            self.phase = Phase::Guarding;
            self.stop_began = None;
            // A renewal that is old by now stops the host again, before anything was started.
            if self.stops_at().is_none_or(|at| now >= at) {
                self.phase = Phase::Stopped;
                self.stop_began = Some(now);
            }
        }
        match self.phase {
            Phase::Disarmed => Actions::default(),
            Phase::Guarding | Phase::Stopped => {
                let due = self.pet_at.is_none_or(|at| now >= at + settings.pet_period);
                if due {
                    self.pet_at = Some(now);
                }
                // In `Stopped` a guest that appears after all is one that nobody may run.
                Actions { pet: due, stop_guests: self.phase == Phase::Stopped && guests > 0 }
            }
            Phase::Stopping => {
                let due = self.kill_at.is_none_or(|at| now >= at + KILL_AGAIN);
                if due {
                    self.kill_at = Some(now);
                }
                Actions { pet: false, stop_guests: due }
            }
        }
    }
}

/// From one kill to the next, and from one look at what still runs to the next, while stopping.
pub const KILL_AGAIN: Duration = Duration::from_millis(50);

fn newer(slot: &mut Option<Moment>, moment: Moment) {
    *slot = (*slot).max(Some(moment));
}
