//! What to start now after hosts were lost, where, with how much memory, and what waits for what.
//!
//! ```text
//! places:  protected VMs, all of them, also those that wait for a proof (their room is kept) ─> best-effort ones
//! turns:   protected before best-effort; in each, lower orders first
//!          a turn is over when each of its VMs is started, healthy and its delay is over, or can't be started,
//!          or the turn has lasted for Limits::turn
//! now:     Down VMs of the present turn and of former ones, within the limits of each host and of the pool
//! ```
//! The caller asks again whenever something has changed or a [`Wait`] is over, and keeps which turn it was in, since when
//! ([`Restarts::tier`]). Nothing that runs is stopped to make room; memory is taken only within the VMs' own ranges.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use uuid::Uuid;

use super::admission::{EXACT_HOSTS, EXACT_VMS, SEARCH_STEPS, no_place};
use super::board::{Board, Hand, Unit};
use super::packing::{self, Found};
use super::{Check, Ended, Pool, Priority, RuleKind, Run, Vm, mib};

/// Failed starts after which a VM holds nobody back any more.
const TRIES_THAT_COUNT: u32 = 3;
/// Failed starts on a host after which another one is taken, if there is one.
const TRIES_PER_HOST: usize = 2;
/// Pauses before the next try, by the number of failures; the last one goes on.
const PAUSES_S: [u64; 7] = [0, 1, 2, 5, 10, 20, 30];

/// How much is started at a time, and how long others wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Starts under way on one host.
    pub per_host: usize,
    /// Starts under way in the pool.
    pub per_pool: usize,
    /// Longest time that a turn holds up the next.
    pub turn: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_host: 8, per_pool: 64, turn: Duration::from_secs(120) }
    }
}

/// A turn: VMs of one priority and order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tier {
    /// Protected ones before the others.
    pub priority: Priority,
    /// Lower ones first.
    pub order: i64,
}

/// Start this VM there, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The VM.
    pub vm: Uuid,
    /// Where.
    pub host: Uuid,
    /// With so much memory, bytes, overhead included.
    pub memory: i64,
    /// What proves that it runs nowhere.
    pub because: Ended,
    /// Why there, in words.
    pub why: String,
}

/// Take this much memory from a VM that runs, before something is started there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrink {
    /// The VM.
    pub vm: Uuid,
    /// Where it runs.
    pub host: Uuid,
    /// What it keeps, bytes, overhead included.
    pub memory: i64,
    /// In words.
    pub why: String,
}

/// This VM waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The VM.
    pub vm: Uuid,
    /// For what, in words.
    pub why: String,
    /// How long at most, if that is known.
    pub until: Option<Duration>,
    /// Where it is to run, if it has a place.
    pub host: Option<Uuid>,
}

/// This VM is not started: nothing that is under way changes that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The VM.
    pub vm: Uuid,
    /// Why, in words.
    pub why: String,
    /// Memory that is missing on the host that has most, bytes; `None` if memory is not what it lacks.
    pub missing: Option<i64>,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restarts {
    /// Before the starts on the same host.
    pub shrinks: Vec<Shrink>,
    /// Now.
    pub starts: Vec<Start>,
    /// Later.
    pub waits: Vec<Wait>,
    /// Not at all, as things are.
    pub left: Vec<Left>,
    /// Whose turn it is; `None`: nothing is to be started.
    pub tier: Option<Tier>,
    /// When to look again although nothing changed.
    pub again: Option<Duration>,
}

/// Plans the restarts. `turn`: whose turn it was when this was asked last, and for how long it has been.
pub fn restarts(pool: &Pool, limits: &Limits, turn: Option<(Tier, Duration)>) -> Restarts {
    let board = Board::new(pool);
    let mut places = Places::new(pool, &board);
    places.find(Priority::Restart);
    places.find(Priority::BestEffort);
    let memory = places.memory();
    let mut out = Restarts::default();
    for (vm, why, missing) in &places.without {
        out.left.push(Left { vm: pool.vms[*vm].vm, why: why.clone(), missing: *missing });
    }
    unwanted(pool, &mut out);
    let turn = Turn::now(pool, &places, limits, turn);
    out.tier = turn.tier;
    out.again = turn.over_in;
    let mut under_way: Vec<usize> = vec![0; pool.hosts.len()];
    let mut all = 0;
    for (at, vm) in pool.vms.iter().enumerate() {
        if vm.tries.starting
            && let Some(host) = board.pieces[at].on.or_else(|| places.at.get(&at).copied())
        {
            under_way[host] += 1;
            all += 1;
        }
    }
    for at in places.in_turn() {
        let vm = &pool.vms[at];
        let host = places.at[&at];
        let wait =
            |why: String, until| Wait { vm: vm.vm, why, until, host: Some(pool.hosts[host].host) };
        let ended = match &vm.run {
            Run::Down(ended) => ended.clone(),
            Run::Lost(on) => match Ended::fenced(on) {
                Ok(ended) => ended,
                Err(unproven) => {
                    out.waits.push(wait(unproven.missing, unproven.until));
                    continue;
                }
            },
            Run::Off | Run::On { .. } => continue,
        };
        if vm.tries.starting {
            continue;
        }
        if turn.tier.is_some_and(|tier| tier < tier_of(vm)) {
            out.waits.push(wait(turn.why.clone(), turn.over_in));
            continue;
        }
        if let Some(left) = pause(vm) {
            let failed = vm.tries.failed;
            out.waits.push(wait(format!("{failed} starts failed; tried again soon"), Some(left)));
            continue;
        }
        if under_way[host] >= limits.per_host || all >= limits.per_pool {
            let why = format!(
                "{} is starting {} VMs, and {all} are being started in the pool",
                pool.hosts[host].name(),
                under_way[host]
            );
            out.waits.push(wait(why, None));
            continue;
        }
        under_way[host] += 1;
        all += 1;
        out.starts.push(Start {
            vm: vm.vm,
            host: pool.hosts[host].host,
            memory: memory.start[&at],
            because: ended,
            why: places.why[&at].clone(),
        });
    }
    let busy: BTreeSet<Uuid> = out.starts.iter().map(|s| s.host).collect();
    out.shrinks = memory.shrinks.into_iter().filter(|s| busy.contains(&s.host)).collect();
    let soonest = out.waits.iter().filter_map(|w| w.until).min();
    out.again = [out.again, soonest].into_iter().flatten().min();
    out
}

/// VMs that stay off because nobody asked for more (S4-49).
fn unwanted(pool: &Pool, out: &mut Restarts) {
    for vm in pool.vms.iter().filter(|v| v.priority == Priority::None) {
        let why = match &vm.run {
            Run::Down(_) => "its restart priority is empty: it is not started again".to_owned(),
            Run::Lost(on) => match Ended::fenced(on) {
                Ok(_) => "its restart priority is empty: it is not started again".to_owned(),
                Err(unproven) => format!(
                    "its restart priority is empty: it is not started again; whether it runs still is not known: {}",
                    unproven.missing
                ),
            },
            Run::Off | Run::On { .. } => continue,
        };
        out.left.push(Left { vm: vm.vm, why, missing: None });
    }
}

fn tier_of(vm: &Vm) -> Tier {
    Tier { priority: vm.priority, order: vm.order }
}

/// It provably runs nowhere, and no start of it is under way.
fn may_start(vm: &Vm) -> bool {
    let ended = match &vm.run {
        Run::Down(_) => true,
        Run::Lost(on) => Ended::fenced(on).is_ok(),
        Run::Off | Run::On { .. } => false,
    };
    ended && !vm.tries.starting
}

/// How long until the next try; `None`: now.
fn pause(vm: &Vm) -> Option<Duration> {
    let failed = usize::try_from(vm.tries.failed).unwrap_or(usize::MAX);
    let pause = Duration::from_secs(PAUSES_S[failed.min(PAUSES_S.len() - 1)]);
    pause.checked_sub(vm.tries.last_failed?).filter(|left| !left.is_zero())
}

/// Whose turn it is.
struct Turn {
    tier: Option<Tier>,
    /// What the later ones wait for.
    why: String,
    over_in: Option<Duration>,
}

impl Turn {
    fn now(
        pool: &Pool,
        places: &Places<'_>,
        limits: &Limits,
        last: Option<(Tier, Duration)>,
    ) -> Self {
        // Each tier, with the first of its VMs that others still wait for, and when that is over by itself.
        let mut open: BTreeMap<Tier, Option<(String, Option<Duration>)>> = BTreeMap::new();
        let mut untried: BTreeSet<Tier> = BTreeSet::new();
        for (at, vm) in pool.vms.iter().enumerate() {
            let has_place = places.at.contains_key(&at);
            let is_part = has_place || vm.tries.starting || vm.tries.started.is_some();
            if vm.priority == Priority::None || !is_part {
                continue;
            }
            let entry = open.entry(tier_of(vm)).or_default();
            if has_place && vm.tries.failed == 0 && may_start(vm) {
                untried.insert(tier_of(vm));
            }
            let holds = holds_up(vm);
            let longer = |(_, known): &(String, Option<Duration>)| match (&holds, known) {
                (Some((_, Some(new))), Some(old)) => new > old,
                (Some((_, None)), Some(_)) => true,
                _ => false,
            };
            if holds.is_some() && entry.as_ref().is_none_or(longer) {
                *entry = holds;
            }
        }
        let mut from = last;
        // VMs that went down later may belong to an earlier turn, which then has not been.
        if let Some((tier, _)) = last
            && untried.first().is_some_and(|first| *first < tier)
        {
            from = None;
        }
        for (tier, holds) in &open {
            let lasted = match from {
                Some((last, _)) if *tier < last => continue,
                Some((last, lasted)) if *tier == last => lasted,
                _ => Duration::ZERO,
            };
            let Some((why, until)) = holds else { continue };
            let Some(left) = limits.turn.checked_sub(lasted).filter(|l| !l.is_zero()) else {
                continue;
            };
            let over_in = until.map_or(left, |until| until.min(left));
            return Self { tier: Some(*tier), why: why.clone(), over_in: Some(over_in) };
        }
        let tier = open.keys().next_back().copied();
        Self { tier, why: String::new(), over_in: None }
    }
}

/// Whether others wait for this VM: for what, and until when.
fn holds_up(vm: &Vm) -> Option<(String, Option<Duration>)> {
    let Some(started) = vm.tries.started else {
        if vm.tries.failed >= TRIES_THAT_COUNT {
            return None;
        }
        return Some((format!("{} has a lower order and is not started yet", vm.name()), None));
    };
    let since = match vm.tries.check {
        Check::None => started,
        Check::Passed(ago) => ago.min(started),
        Check::Pending => {
            return Some((
                format!("{} is started and has not passed its check yet", vm.name()),
                None,
            ));
        }
    };
    let left = vm.start_delay.checked_sub(since).filter(|l| !l.is_zero())?;
    let why = format!("{} is started, and its start delay is not over", vm.name());
    Some((why, Some(left)))
}

/// Where each VM that is to be started will run.
struct Places<'p> {
    pool: &'p Pool,
    board: &'p Board,
    hand: Hand<'p>,
    at: HashMap<usize, usize>,
    why: HashMap<usize, String>,
    /// VMs without a place: why, and the memory that is missing.
    without: Vec<(usize, String, Option<i64>)>,
    /// How many VMs were placed on each host, for spreading.
    count: Vec<usize>,
}

impl<'p> Places<'p> {
    fn new(pool: &'p Pool, board: &'p Board) -> Self {
        let none = vec![false; pool.hosts.len()];
        Self {
            pool,
            board,
            hand: Hand::new(board, &none),
            at: HashMap::new(),
            why: HashMap::new(),
            without: Vec::new(),
            count: vec![0; pool.hosts.len()],
        }
    }

    /// VMs with a place, those whose turn comes first first.
    fn in_turn(&self) -> Vec<usize> {
        let mut vms: Vec<usize> = self.at.keys().copied().collect();
        vms.sort_by_key(|at| {
            let vm = &self.pool.vms[*at];
            (tier_of(vm), &vm.label, vm.vm)
        });
        vms
    }

    /// Finds places for all VMs of that priority.
    fn find(&mut self, priority: Priority) {
        let wanted: Vec<usize> = (0..self.pool.vms.len())
            .filter(|at| {
                let vm = &self.pool.vms[*at];
                let asks = matches!(vm.run, Run::Down(_) | Run::Lost(_));
                asks && vm.priority == priority && !self.at.contains_key(at)
            })
            .collect();
        if wanted.is_empty() {
            return;
        }
        let none = vec![false; self.pool.hosts.len()];
        let mut units = self.board.units(&wanted, &none);
        // The first of a unit's VMs counts; where there is not room for all, the first in turn are served.
        units.sort_by_key(|unit| {
            let first = unit.vms.iter().map(|at| {
                let vm = &self.pool.vms[*at];
                (vm.order, vm.label.as_str(), vm.vm)
            });
            first.min()
        });
        let start = self.hand.clone();
        let counts = self.count.clone();
        let spread = self.spread(&units);
        if spread.iter().all(Option::is_some) {
            self.keep(&units, &spread);
            return;
        }
        // Spreading leaves one out. What was promised was counted on this way, or searched.
        let mut largest = units.clone();
        packing::largest_first(&mut largest);
        let mut tight = start.clone();
        let mut work = 0;
        let placed = packing::tightest(&mut tight, &largest, &mut work);
        if placed.iter().all(Option::is_some) {
            self.hand = tight;
            self.keep(&largest, &placed);
            return;
        }
        let is_small = self.pool.hosts.len() <= EXACT_HOSTS && wanted.len() <= EXACT_VMS;
        if is_small
            && let Found::Way(way) =
                packing::search(&start, &largest.iter().collect::<Vec<_>>(), SEARCH_STEPS)
        {
            let mut hand = start;
            for (unit, host) in largest.iter().zip(&way) {
                hand.put(unit, *host);
            }
            self.hand = hand;
            let placed: Vec<Option<usize>> = way.into_iter().map(Some).collect();
            self.keep(&largest, &placed);
            return;
        }
        self.count = counts;
        self.keep(&units, &spread);
    }

    /// Places the units in this order, each where it is best.
    fn spread(&mut self, units: &[Unit]) -> Vec<Option<usize>> {
        let mut placed: HashMap<usize, usize> = HashMap::new();
        units
            .iter()
            .map(|unit| {
                let best = if self.has_wishes(unit) {
                    (0..self.hand.room.len())
                        .filter(|host| self.hand.fits(unit, *host))
                        .min_by_key(|host| self.rank(unit, *host, &placed))
                } else {
                    self.roomiest(unit)
                }?;
                self.hand.put(unit, best);
                self.count[best] += unit.vms.len();
                placed.extend(unit.vms.iter().map(|vm| (*vm, best)));
                Some(best)
            })
            .collect()
    }

    /// Whether anything but room makes one host better than another.
    fn has_wishes(&self, unit: &Unit) -> bool {
        unit.vms.iter().any(|at| {
            let vm = &self.pool.vms[*at];
            vm.affinity.is_some() || !vm.tries.failed_on.is_empty()
        }) || self.board.members.iter().any(|m| unit.vms.iter().any(|vm| m.contains(vm)))
    }

    /// The host that is best by [`Self::rank`] for a unit without wishes.
    fn roomiest(&self, unit: &Unit) -> Option<usize> {
        let key = |h: usize| {
            (std::cmp::Reverse(self.count[h]), std::cmp::Reverse(self.pool.hosts[h].host))
        };
        let mut best: Option<usize> = None;
        for host in 0..self.hand.room.len() {
            let room = self.hand.room[host];
            let better = best.is_none_or(|b| {
                room > self.hand.room[b] || (room == self.hand.room[b] && key(host) > key(b))
            });
            if room >= unit.need && better && self.hand.may(unit, host) {
                best = Some(host);
            }
        }
        best
    }

    /// The smaller, the better: where it did not fail; what rules prefer; its affinity; most room left; the smaller uuid.
    fn rank(
        &self,
        unit: &Unit,
        host: usize,
        placed: &HashMap<usize, usize>,
    ) -> (bool, usize, bool, std::cmp::Reverse<i64>, usize, Uuid) {
        let id = self.pool.hosts[host].host;
        let tried = |vm: &usize| {
            let failed = &self.pool.vms[*vm].tries.failed_on;
            failed.iter().filter(|h| **h == id).count() >= TRIES_PER_HOST
        };
        let away = !unit.vms.iter().any(|vm| self.pool.vms[*vm].affinity == Some(id));
        (
            unit.vms.iter().any(tried),
            self.against(unit, host, placed),
            away,
            std::cmp::Reverse(self.hand.room[host]),
            self.count[host],
            id,
        )
    }

    /// How many preferences of rules speak against that host.
    fn against(&self, unit: &Unit, host: usize, placed: &HashMap<usize, usize>) -> usize {
        let mut against = 0;
        for (at, rule) in self.pool.rules.iter().enumerate().filter(|(_, rule)| !rule.strict) {
            let members = &self.board.members[at];
            if !unit.vms.iter().any(|vm| members.contains(vm)) {
                continue;
            }
            let whereabouts = members.iter().filter(|m| !unit.vms.contains(m)).filter_map(|m| {
                let here = self.at.get(m).or_else(|| placed.get(m)).copied();
                here.or(self.board.pieces[*m].on)
            });
            against += match rule.kind {
                RuleKind::Apart => whereabouts.filter(|at| *at == host).count(),
                RuleKind::Together => whereabouts.filter(|at| *at != host).count(),
            };
        }
        against
    }

    fn keep(&mut self, units: &[Unit], placed: &[Option<usize>]) {
        for (unit, host) in units.iter().zip(placed) {
            match host {
                Some(host) => {
                    for vm in &unit.vms {
                        self.at.insert(*vm, *host);
                        let name = self.pool.hosts[*host].name();
                        let left = self.hand.room[*host].max(0) >> 20;
                        let why =
                            if self.pool.vms[*vm].affinity == Some(self.pool.hosts[*host].host) {
                                format!("{name} is its affinity; {left} MiB stay free there")
                            } else {
                                format!("{name} has room for it; {left} MiB stay free there")
                            };
                        self.why.insert(*vm, why);
                    }
                }
                None => {
                    let most = (0..self.hand.room.len())
                        .filter(|host| self.hand.may(unit, *host))
                        .map(|host| self.hand.room[host].max(0))
                        .max();
                    let why = no_place(self.pool, &self.hand, unit);
                    for vm in &unit.vms {
                        self.without.push((*vm, why.clone(), most.map(|most| unit.need - most)));
                    }
                }
            }
        }
    }

    /// How much memory each VM starts with, and what is taken from those that run.
    fn memory(&self) -> Memory {
        let mut start: HashMap<usize, i64> = HashMap::new();
        let mut shrinks = Vec::new();
        let mut arriving: Vec<Vec<usize>> = vec![Vec::new(); self.pool.hosts.len()];
        for at in self.in_turn() {
            arriving[self.at[&at]].push(at);
        }
        let mut running: Vec<Vec<usize>> = vec![Vec::new(); self.pool.hosts.len()];
        for (at, piece) in self.board.pieces.iter().enumerate() {
            if let Some(host) = piece.on {
                running[host].push(at);
            }
        }
        for (host, new) in arriving.iter().enumerate() {
            let held = |at: &usize| match self.pool.vms[*at].run {
                Run::On { memory, .. } => memory,
                Run::Off | Run::Lost(_) | Run::Down(_) => 0,
            };
            let used: i64 = running[host].iter().map(held).sum();
            let asked: i64 = new.iter().map(|at| self.pool.vms[*at].memory).sum();
            let mut short = used + asked - self.pool.hosts[host].memory;
            // Those that start get less first: that takes nothing from anybody. The last in turn first.
            for at in new.iter().rev() {
                let vm = &self.pool.vms[*at];
                let less = short.clamp(0, (vm.memory - self.board.pieces[*at].need).max(0));
                short -= less;
                start.insert(*at, vm.memory - less);
            }
            if short <= 0 || new.is_empty() || !self.pool.shrink {
                continue;
            }
            let mut givers: Vec<(usize, i64)> = running[host]
                .iter()
                .map(|at| (*at, held(at) - self.pool.vms[*at].memory_min))
                .filter(|(_, spare)| *spare > 0)
                .collect();
            // The least protected and the largest first.
            givers.sort_by_key(|(at, spare)| {
                let vm = &self.pool.vms[*at];
                (std::cmp::Reverse((vm.priority, *spare)), vm.vm)
            });
            for (at, spare) in givers {
                if short <= 0 {
                    break;
                }
                let less = spare.min(short);
                short -= less;
                let vm = &self.pool.vms[at];
                let why = format!(
                    "{} gives {} MiB so that VMs of a lost host fit on {}",
                    vm.name(),
                    mib(less),
                    self.pool.hosts[host].name()
                );
                let memory = held(&at) - less;
                shrinks.push(Shrink { vm: vm.vm, host: self.pool.hosts[host].host, memory, why });
            }
        }
        Memory { start, shrinks }
    }
}

struct Memory {
    start: HashMap<usize, i64>,
    shrinks: Vec<Shrink>,
}

/// VMs that stop together, and how long the next group waits: the reverse of their start, with their shutdown delays.
pub fn stop_groups(vms: &[&Vm]) -> Vec<(Vec<Uuid>, Duration)> {
    let mut sorted: Vec<&&Vm> = vms.iter().collect();
    sorted.sort_by(|a, b| (b.order, &a.label, a.vm).cmp(&(a.order, &b.label, b.vm)));
    let mut groups: Vec<(i64, Vec<Uuid>, Duration)> = Vec::new();
    for vm in sorted {
        match groups.last_mut().filter(|(order, ..)| *order == vm.order) {
            Some((_, members, delay)) => {
                members.push(vm.vm);
                *delay = (*delay).max(vm.shutdown_delay);
            }
            None => groups.push((vm.order, vec![vm.vm], vm.shutdown_delay)),
        }
    }
    if let Some((.., delay)) = groups.last_mut() {
        *delay = Duration::ZERO;
    }
    groups.into_iter().map(|(_, members, delay)| (members, delay)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::drawn::{self, GIB, down, fenced, host, lost, on, pool, rule, vm};
    use super::super::{Effort, Standing, Tries, tolerates};
    use super::*;

    fn now(pool: &Pool) -> Restarts {
        restarts(pool, &Limits::default(), None)
    }

    fn started(plan: &Restarts) -> Vec<(u128, u128)> {
        plan.starts.iter().map(|s| (s.vm.as_u128(), s.host.as_u128())).collect()
    }

    fn started_vms(plan: &Restarts) -> Vec<u128> {
        plan.starts.iter().map(|s| s.vm.as_u128()).collect()
    }

    fn left_vms(plan: &Restarts) -> Vec<u128> {
        plan.left.iter().map(|l| l.vm.as_u128()).collect()
    }

    #[test]
    fn nothing_starts_without_proof_and_the_wait_says_for_what() {
        let until = Some(Duration::from_secs(3));
        let unproven =
            lost(3, Err(super::super::Unproven { missing: "host 'h3' is silent".into(), until }));
        let pool = pool([host(1, 16), host(2, 16)], [Vm { run: unproven, ..vm(1, 4) }]);
        let plan = now(&pool);
        assert!(plan.starts.is_empty(), "{plan:?}");
        assert_eq!(plan.waits[0].why, "host 'h3' is silent");
        assert_eq!((plan.waits[0].until, plan.again), (until, until));
        assert!(plan.waits[0].host.is_some(), "its place is kept");
        let proved = Vm { run: lost(3, Ok(fenced())), ..vm(1, 4) };
        let plan = now(&super::super::Pool { vms: vec![proved], ..pool });
        assert_eq!(started(&plan), [(1, 1)]);
        assert!(plan.starts[0].because.text().contains("read back off 2 times"));
        assert_eq!(plan.starts[0].because.boots(), [(Uuid::from_u128(3), "boot".to_owned())]);
    }

    #[test]
    fn a_vm_that_was_moving_needs_the_proof_of_both_hosts() {
        let (Run::Lost(mut both), Run::Lost(other)) = (
            lost(3, Ok(fenced())),
            lost(4, Err(super::super::Unproven { missing: "h4".into(), until: None })),
        ) else {
            unreachable!("both are lost")
        };
        both.extend(other);
        assert!(Ended::fenced(&both).is_err());
        assert!(Ended::fenced(&[]).is_err());
        let plan = now(&pool([host(1, 16)], [Vm { run: Run::Lost(both), ..vm(1, 4) }]));
        assert!(plan.starts.is_empty() && plan.waits[0].why == "h4", "{plan:?}");
    }

    /// proves: S4-44 (table), S4-48 (table), S4-49 (table)
    #[test]
    fn protected_ones_are_all_placed_before_best_effort_ones_and_the_rest_is_listed() {
        let best = |n| Vm { priority: Priority::BestEffort, order: -1, ..down(vm(n, 4)) };
        let none = Vm { priority: Priority::None, ..down(vm(9, 4)) };
        let vms = [best(1), best(2), down(vm(3, 4)), down(vm(4, 4)), none];
        let hosts = [host(1, 12)];
        let plan = now(&pool(hosts.clone(), vms.clone()));
        assert_eq!(started_vms(&plan), [3, 4], "best-effort ones wait for their turn");
        assert_eq!(plan.waits.iter().map(|w| w.vm.as_u128()).collect::<Vec<_>>(), [1]);
        assert_eq!(left_vms(&plan), [2, 9]);
        assert_eq!(plan.left[0].missing, Some(4 * GIB));
        assert!(plan.left[1].why.contains("restart priority is empty"), "{:?}", plan.left);
        // When the protected ones run, the one for which there is room starts.
        let up = |n| Vm {
            tries: Tries { started: Some(Duration::from_secs(1)), ..Tries::default() },
            ..on(vm(n, 4), 1)
        };
        let [_, _, _, _, none] = vms;
        let plan = now(&pool(hosts, [best(1), best(2), up(3), up(4), none]));
        assert_eq!(started_vms(&plan), [1]);
        assert_eq!(left_vms(&plan), [2, 9]);
    }

    /// proves: S4-45 (table)
    #[test]
    fn a_later_order_starts_when_the_earlier_one_runs_is_healthy_and_its_delay_is_over() {
        let delay = Duration::from_secs(10);
        let first = Vm { order: 1, start_delay: delay, ..down(vm(1, 4)) };
        let second = Vm { order: 2, ..down(vm(2, 4)) };
        let hosts = [host(1, 64)];
        let plan = now(&pool(hosts.clone(), [first.clone(), second.clone()]));
        assert_eq!(started_vms(&plan), [1]);
        assert!(plan.waits[0].why.contains("VM 'v1'"), "{:?}", plan.waits);
        let state = |started: u64, check| Vm {
            run: Run::On { host: Uuid::from_u128(1), memory: 4 * GIB },
            tries: Tries { started: Some(Duration::from_secs(started)), check, ..Tries::default() },
            ..first.clone()
        };
        let then = |first: Vm, lasted: u64| {
            let turn = Some((tier_of(&first), Duration::from_secs(lasted)));
            restarts(&pool(hosts.clone(), [first, second.clone()]), &Limits::default(), turn)
        };
        let plan = then(state(4, Check::None), 5);
        assert!(plan.starts.is_empty());
        assert_eq!(plan.again, Some(Duration::from_secs(6)));
        assert_eq!(started_vms(&then(state(10, Check::None), 11)), [2]);
        assert!(then(state(60, Check::Pending), 61).starts.is_empty());
        assert!(then(state(60, Check::Passed(Duration::from_secs(9))), 61).starts.is_empty());
        assert_eq!(started_vms(&then(state(60, Check::Passed(delay)), 61)), [2]);
        assert_eq!(
            started_vms(&then(state(119, Check::Pending), 120)),
            [2],
            "no turn lasts for ever"
        );
    }

    #[test]
    fn who_has_failed_often_holds_nobody_back_and_is_tried_elsewhere_for_ever() {
        let failing = |failed: u32, ago: u64| {
            let tries = Tries {
                failed,
                last_failed: Some(Duration::from_secs(ago)),
                failed_on: vec![Uuid::from_u128(2); usize::try_from(failed).unwrap_or(0)],
                ..Tries::default()
            };
            Vm { order: 1, tries, ..down(vm(1, 4)) }
        };
        let after = |first: Vm| {
            now(&pool([host(1, 16), host(2, 64)], [first, Vm { order: 2, ..down(vm(2, 4)) }]))
        };
        assert_eq!(started(&after(failing(1, 1))), [(1, 2)], "one quick retry on the same host");
        assert_eq!(started(&after(failing(2, 2))), [(1, 1)], "then another host");
        assert_eq!(started_vms(&after(failing(3, 1))), [2]);
        assert_eq!(started_vms(&after(failing(3, 5))), [1, 2]);
        assert_eq!(started_vms(&after(failing(1000, 29))), [2]);
        assert_eq!(started_vms(&after(failing(1000, 30))), [1, 2]);
    }

    /// proves: S4-46 (table)
    #[test]
    fn vms_spread_over_the_hosts_by_what_is_free() {
        let vms = || (1..=6).map(|n| down(vm(n, 4)));
        let plan = now(&pool([host(1, 32), host(2, 32), host(3, 32)], vms()));
        for n in 1..=3 {
            let here = plan.starts.iter().filter(|s| s.host == Uuid::from_u128(n)).count();
            assert_eq!(here, 2, "{:?}", started(&plan));
        }
        assert_eq!(plan, now(&pool([host(1, 32), host(2, 32), host(3, 32)], vms())));
        // By what is free, not by how many: a small host gets less.
        let plan = now(&pool([host(1, 64), host(2, 16)], vms()));
        assert_eq!(plan.starts.iter().filter(|s| s.host == Uuid::from_u128(2)).count(), 0);
    }

    /// proves: S4-47 (table)
    #[test]
    fn memory_shrinks_within_its_ranges_when_it_fits_only_so() {
        let flexible = |v: Vm| Vm { memory_min: v.memory / 2, ..v };
        let vms = [on(flexible(vm(1, 8)), 1), flexible(down(vm(2, 8)))];
        let mut tight = pool([host(1, 12)], vms);
        let plan = now(&tight);
        assert!(plan.starts.is_empty() && left_vms(&plan) == [2], "{plan:?}");
        tight.shrink = true;
        let plan = now(&tight);
        assert_eq!(plan.starts[0].memory, 4 * GIB, "it starts with less first");
        assert!(plan.shrinks.is_empty());
        tight.hosts[0].memory = 10 * GIB;
        let plan = now(&tight);
        assert_eq!(plan.starts[0].memory, 4 * GIB);
        assert_eq!(plan.shrinks[0].memory, 6 * GIB);
        tight.hosts[0].memory = 16 * GIB;
        let plan = now(&tight);
        assert_eq!((plan.starts[0].memory, plan.shrinks.len()), (8 * GIB, 0));
    }

    #[test]
    fn strict_rules_are_never_broken_and_preferences_give_way() {
        let apart = |strict| rule("web", RuleKind::Apart, strict, &[1, 2]);
        let vms = [on(vm(1, 4), 1), down(vm(2, 4))];
        let mut two = pool([host(1, 64), host(2, 16)], vms);
        two.rules = vec![apart(false)];
        assert_eq!(started(&now(&two)), [(2, 2)]);
        two.hosts[1].standing = Standing::Disabled;
        assert_eq!(started(&now(&two)), [(2, 1)], "a preference gives way");
        two.rules = vec![apart(true)];
        let plan = now(&two);
        assert!(plan.starts.is_empty() && plan.left[0].why.contains("rules"), "{plan:?}");
        // A strict group moves as one, to where the rest of it runs.
        let trio = [down(vm(1, 4)), down(vm(2, 4)), down(vm(3, 4))];
        let mut three = pool([host(1, 8), host(2, 8), host(3, 12)], trio);
        three.rules = vec![rule("app", RuleKind::Together, true, &[1, 2, 3])];
        assert_eq!(started(&now(&three)), [(1, 3), (2, 3), (3, 3)]);
        three.vms[2] = on(vm(3, 4), 1);
        let plan = now(&three);
        assert!(plan.starts.is_empty() && left_vms(&plan) == [1, 2], "8 GiB are not on host 1");
    }

    #[test]
    fn starts_keep_to_their_limits() {
        let vms = (1..=40).map(|n| down(vm(n, 1)));
        let limits = Limits { per_host: 4, per_pool: 7, ..Limits::default() };
        let plan = restarts(&pool([host(1, 64), host(2, 64)], vms), &limits, None);
        assert_eq!(plan.starts.len(), 7);
        assert_eq!(plan.waits.len(), 33);
        for n in 1..=2 {
            assert!(plan.starts.iter().filter(|s| s.host == Uuid::from_u128(n)).count() <= 4);
        }
    }

    #[test]
    fn they_stop_in_reverse_order_with_their_shutdown_delays() {
        let timed = |n, order, delay| Vm {
            order,
            shutdown_delay: Duration::from_secs(delay),
            ..on(vm(n, 1), 1)
        };
        let (a, b, c) = (timed(1, 1, 5), timed(2, 2, 7), timed(3, 2, 3));
        let groups = stop_groups(&[&a, &b, &c]);
        let ids: Vec<Vec<u128>> =
            groups.iter().map(|(g, _)| g.iter().map(|v| v.as_u128()).collect()).collect();
        assert_eq!(ids, [vec![2, 3], vec![1]]);
        assert_eq!(groups.iter().map(|g| g.1.as_secs()).collect::<Vec<_>>(), [7, 0]);
    }

    proptest! {
        /// What was promised is kept: whichever hosts fail, every protected VM gets a place.
        #[test]
        fn a_promise_is_kept_whichever_hosts_fail(drawn in drawn::pools(12, 30), failures in 1usize..4, pick in any::<u64>()) {
            prop_assume!(tolerates(&drawn, failures, Effort::QUESTION).holds());
            let failed = drawn::some_hosts(&drawn, failures, pick);
            let after = drawn::fail(&drawn, &failed);
            let plan = now(&after);
            let protected = |id: Uuid| after.vms.iter().any(|v| v.vm == id && v.priority == Priority::Restart);
            let left: Vec<&Left> = plan.left.iter().filter(|l| protected(l.vm)).collect();
            prop_assert!(left.is_empty(), "{left:?}");
        }

        /// No host is overcommitted by a plan, no VM is started twice or on a host that is gone.
        #[test]
        fn a_plan_fits(drawn in drawn::pools(6, 20), shrink in any::<bool>(), pick in any::<u64>()) {
            let pool = Pool { shrink, ..drawn::fail(&drawn, &drawn::some_hosts(&drawn, 2, pick)) };
            let plan = now(&pool);
            let mut seen = BTreeSet::new();
            for host in &pool.hosts {
                let held: i64 = pool.vms.iter().filter_map(|v| match v.run {
                    Run::On { host: at, memory } if at == host.host => Some((v.vm, memory)),
                    Run::On { .. } | Run::Off | Run::Lost(_) | Run::Down(_) => None,
                }).map(|(vm, memory)| plan.shrinks.iter().find(|s| s.vm == vm).map_or(memory, |s| s.memory)).sum();
                let new: Vec<&Start> = plan.starts.iter().filter(|s| s.host == host.host).collect();
                let asked: i64 = new.iter().map(|s| s.memory).sum();
                prop_assert!(new.is_empty() || held + asked <= host.memory);
                prop_assert!(new.is_empty() || host.standing == Standing::Serving);
                prop_assert!(new.iter().all(|s| seen.insert(s.vm)));
            }
            for shrink in &plan.shrinks {
                let vm = pool.vms.iter().find(|v| v.vm == shrink.vm).expect("known");
                prop_assert!(shrink.memory >= vm.memory_min);
            }
        }
    }
}
