//! Whether anybody can have a majority: what this host sees of the voters while its renewal is overdue.
//!
//! ```text
//!  had-voter  ── looks at the voter beside this host ──► span ──► told with every beat
//!  had-voters ── asks the voters of hosts that tell nothing ──┐
//!  beats      ── what other hosts told of theirs ─────────────┴► liveness::quorum ──► the guard
//! ```
//! Beside means: its process can be seen. A process that is gone, or that executed nothing, is known to be without a leader
//! although it answers nobody; one that is only slow is not. What other hosts tell counts if they know the same voters.
//!
//! Invariants: no lock is held across I/O; each wait has a limit; nothing is asked while the lease is renewed in time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host::had::{LeaseConfig, VoterBeside};
use host::proc::{self, Activity, ProcessId};
use liveness::Moment;
use liveness::profile::{Profile, STANDARD};
use liveness::quorum::{self, Beside, Look, Report, Span, Told, Word};

use crate::etcd::{self, Gateway, Voter};
use crate::now;

/// A voter that did not answer is asked again in every so many rounds only.
const MUTE_ROUNDS: u32 = 5;
/// What a host told counts for so long instead of a question of our own.
const TOLD_LATELY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct State {
    profile: &'static Profile,
    /// All voters, best first.
    endpoints: Vec<String>,
    /// How they are asked; changed as a whole, each thread has its own.
    config: Option<LeaseConfig>,
    /// Changes with `config`.
    turn: u64,
    own: Option<VoterBeside>,
    beside: Beside,
    /// By endpoint.
    told: BTreeMap<String, Report>,
    asked: BTreeMap<String, Beside>,
}

/// What is known of the voters.
#[derive(Debug, Clone)]
pub struct Voters {
    state: Arc<Mutex<State>>,
}

impl Default for Voters {
    fn default() -> Self {
        let state = State {
            profile: &STANDARD,
            endpoints: Vec::new(),
            config: None,
            turn: 0,
            own: None,
            beside: Beside::new(),
            told: BTreeMap::new(),
            asked: BTreeMap::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

impl Voters {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The voters are these, asked like that.
    pub fn are(&self, config: &LeaseConfig) {
        let mut state = self.lock();
        if state.endpoints != config.endpoints {
            state.endpoints.clone_from(&config.endpoints);
            state.told.clear();
            state.asked.clear();
        }
        state.config = Some(config.clone());
        state.turn += 1;
    }

    /// No lease is wanted any more.
    pub fn forget(&self) {
        let mut state = self.lock();
        state.endpoints.clear();
        state.told.clear();
        state.asked.clear();
        state.config = None;
    }

    /// Whether other hosts are told of the voter beside.
    pub fn are_told_of(&self) -> bool {
        self.lock().own.is_some()
    }

    /// The timing that holds from now on.
    pub fn go_by(&self, profile: &'static Profile) {
        self.lock().profile = profile;
    }

    /// The voter on this host.
    pub fn beside(&self, own: Option<VoterBeside>) {
        let mut state = self.lock();
        if state.own != own {
            state.own = own;
            state.beside = Beside::new();
        }
    }

    /// From this age of the lease on voters are looked at.
    pub fn look_from(&self) -> Duration {
        quorum::look_from(self.lock().profile)
    }

    /// What this host tells the others of the voter beside it.
    pub fn tells(&self, now: Moment) -> Option<Told> {
        self.lock().beside.report().map(|report| report.told(now))
    }

    /// Tells hosts with other voters apart: what they say of theirs is about another majority.
    pub fn fingerprint(&self) -> u64 {
        let mut endpoints = self.lock().endpoints.clone();
        endpoints.sort_unstable();
        // FNV-1a: the same on every host and in every version.
        let bytes = endpoints.iter().flat_map(|text| text.bytes().chain([0]));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// Another host told of the voter beside it, at this endpoint.
    pub fn told(&self, endpoint: &str, report: Report) {
        let mut state = self.lock();
        if state.endpoints.iter().any(|e| e == endpoint) {
            state.told.insert(endpoint.to_owned(), report);
        }
    }

    /// The renewal came: what was seen says nothing any more.
    fn rest(&self) {
        let mut state = self.lock();
        state.beside = Beside::new();
        state.asked.clear();
    }

    /// The last time in which nobody can have had a majority, as far as is shown.
    pub fn no_majority(&self) -> Option<Span> {
        let state = self.lock();
        let own = state.own.as_ref().map(|own| own.endpoint.as_str());
        let known = |endpoint: &String| {
            let told = state.told.get(endpoint).copied();
            let beside = (own == Some(endpoint)).then(|| state.beside.report()).flatten();
            [beside.or(told), state.asked.get(endpoint).and_then(Beside::report)]
        };
        let voters: Vec<_> = state.endpoints.iter().map(known).collect();
        quorum::no_majority(&voters, quorum::least(state.profile))
    }

    /// Looks at the voter beside for ever, while `overdue` says so; `shown` is called with what follows from it.
    pub fn look_forever(&self, overdue: impl Fn() -> bool, shown: impl Fn(Span)) {
        // What is seen late is worth nothing. Without the privilege it runs like the others.
        let _ = host::watchdog::go_first();
        let mut eye = Eye::default();
        let mut rested = true;
        loop {
            std::thread::sleep(quorum::LOOK_EVERY);
            if !overdue() {
                if !rested {
                    self.rest();
                }
                rested = true;
                continue;
            }
            rested = false;
            let own = self.lock().own.clone();
            if let Some(own) = own {
                let found = eye.look(self, &own);
                let mut state = self.lock();
                if state.own.as_ref() == Some(&own) {
                    state.beside.look(found);
                }
            }
            if let Some(span) = self.no_majority() {
                shown(span);
            }
        }
    }

    /// Asks voters that nobody tells of for ever, one after the other, while `overdue` says so.
    pub fn ask_forever(&self, overdue: impl Fn() -> bool) {
        let _ = host::watchdog::go_first();
        let mut line = Line::default();
        // Who did not answer is asked seldom: waiting for it makes old what the others said.
        let mut mute = BTreeSet::new();
        for round in 0_u32.. {
            std::thread::sleep(quorum::LOOK_EVERY);
            if !overdue() {
                mute.clear();
                continue;
            }
            let silent = {
                let (state, now) = (self.lock(), now());
                let own = state.own.as_ref().map(|own| own.endpoint.clone());
                let is_told = |e: &String| {
                    state.told.get(e).is_some_and(|r| now.since(r.until) < TOLD_LATELY)
                };
                let rest = state.endpoints.iter();
                let rest = rest.filter(|e| own.as_ref() != Some(*e) && !is_told(e));
                rest.cloned().collect::<Vec<_>>()
            };
            let turn = usize::try_from(round / MUTE_ROUNDS).unwrap_or(0);
            let (mutes, others): (Vec<_>, Vec<_>) =
                silent.into_iter().partition(|endpoint| mute.contains(endpoint));
            let one = mutes.get(turn % mutes.len().max(1)).filter(|_| round % MUTE_ROUNDS == 0);
            for endpoint in others.iter().chain(one) {
                let began = now();
                let found = line.ask(self, endpoint).ok().map(|voter| seen(voter, 0, began));
                if found.is_some() {
                    mute.remove(endpoint);
                } else {
                    mute.insert(endpoint.clone());
                }
                let mut state = self.lock();
                state.asked.entry(endpoint.clone()).or_default().look(found);
            }
        }
    }
}

/// A voter answered so to what was asked at `began`.
fn seen(voter: Voter, process: u64, began: Moment) -> Look {
    let Voter { leader, member, term } = voter;
    let word = leader.map_or(Word::Leaderless, Word::Names);
    Look { word, member, term, process, began, ended: now() }
}

/// A way to ask voters, made anew when they or the certificates change.
#[derive(Debug, Default)]
struct Line {
    gateway: Option<(u64, Gateway)>,
}

impl Line {
    fn ask(&mut self, voters: &Voters, endpoint: &str) -> Result<Voter, String> {
        let (turn, config) = {
            let state = voters.lock();
            let fresh = self.gateway.as_ref().is_none_or(|(turn, _)| *turn != state.turn);
            (state.turn, state.config.clone().filter(|_| fresh))
        };
        if let Some(config) = config {
            let made = Gateway::new(&config).map_err(|e: etcd::ConfigError| crate::chain(&e))?;
            self.gateway = Some((turn, made));
        }
        let (_, gateway) = self.gateway.as_mut().ok_or("no voters are known")?;
        gateway.voter(endpoint)
    }
}

/// Looks at the voter on this host.
#[derive(Debug, Default)]
struct Eye {
    line: Line,
    process: Option<ProcessId>,
    /// What it had executed when it was found still, and when that was looked at.
    still: Option<(ProcessId, Activity, Moment)>,
}

impl Eye {
    /// `None`: it taught nothing.
    fn look(&mut self, voters: &Voters, own: &VoterBeside) -> Option<Look> {
        let began = now();
        let (id, lives) = self.find(&own.process)?;
        let process = id.start_ticks.rotate_left(24) ^ u64::from(id.pid.unsigned_abs());
        if !lives {
            let word = Word::Gone;
            return Some(Look { word, member: own.member, term: 0, process, began, ended: now() });
        }
        let still = |began, ended| Look {
            word: Word::Still,
            member: own.member,
            term: 0,
            process,
            began,
            ended,
        };
        let before = proc::activity(id.pid).ok().flatten();
        let sampled = now();
        if let (Some((known, activity, since)), Some(before)) = (self.still.take(), &before)
            && known == id
            && activity == *before
        {
            // There is no need to wait for an answer.
            self.still = Some((id, activity, since));
            return Some(still(since, began));
        }
        if let Ok(voter) = self.line.ask(voters, &own.endpoint) {
            let member = voter.member.or(own.member);
            return Some(Look { member, ..seen(voter, process, began) });
        }
        // Without an answer only one that executed nothing meanwhile is known to have given none to its leader either.
        let ended = now();
        let after = proc::activity(id.pid).ok().flatten()?;
        if before? != after {
            return None;
        }
        self.still = Some((id, after, sampled));
        Some(still(sampled, ended))
    }

    /// The voter's process and whether it lives; `None` if that can't be known.
    fn find(&mut self, file: &Path) -> Option<(ProcessId, bool)> {
        let lives = |id: ProcessId| proc::alive(id.pid, id.start_ticks).ok();
        if let Some(id) = self.process
            && lives(id)?
        {
            return Some((id, true));
        }
        // Its supervisor takes the file away before it starts another one.
        let id = proc::read_id(file)?;
        self.process = Some(id);
        Some((id, lives(id)?))
    }
}
