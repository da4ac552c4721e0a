//! How many failures are survived, and whether something may be done without breaking that promise.
//!
//! A plan for N failures exists when, whichever N hosts that live fail together, every protected VM finds a place on the
//! rest, beside all that runs there. In small pools ([`EXACT_HOSTS`], [`EXACT_VMS`]) that is searched, so the answer is
//! exact. In larger ones it is shown in one of two ways, or not at all; "not shown" counts as no plan:
//!
//! * *counted*: a VM of size s finds no place only if every host that may have it has less than s left, so it does find
//!   one where the rooms, each less s, are larger than all that must be placed before it. The worst N hosts are those
//!   with the largest sum of what they ask for and what they offer, so no set is enumerated.
//! * *tried*: every set of N hosts, as far as the [`Effort`] allows, by the way that the restart takes.
//!
//! Where a rule keeps VMs together fewer failures may be worse than more, so that each number up to N is shown.

use uuid::Uuid;

use super::board::{Board, Hand, Unit};
use super::packing::{self, Found};
use super::{Pool, Run, Vm, mib};

/// Up to so many hosts the answer is exact.
pub const EXACT_HOSTS: usize = 8;
/// Up to so many protected VMs the answer is exact.
pub const EXACT_VMS: usize = 24;
/// Steps of one search: far more than small pools need.
pub(super) const SEARCH_STEPS: u64 = 2_000_000;
/// Sizes that are told apart when it is counted.
const SIZES: usize = 32;

/// How much may be tried before "not shown" is the answer: hosts that are looked at for a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort(pub u64);

impl Effort {
    /// For a call that waits: a few milliseconds.
    pub const ADMISSION: Self = Self(400_000);
    /// For a question whose answer may take a moment.
    pub const QUESTION: Self = Self(50_000_000);
}

/// Whether a plan exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does; how that was shown.
    Holds(Shown),
    /// It does not: an example.
    Refuted(Example),
    /// None was found for this example; whether there is one was not searched.
    NotShown(Example),
}

/// How a promise was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// There is nothing to protect, or no failure to survive.
    Trivially,
    /// By the rooms of the hosts.
    Counted,
    /// Each set of hosts was tried: so many.
    Tried(u64),
}

/// Hosts that fail, and a protected VM that then finds no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The hosts.
    pub failed: Vec<Uuid>,
    /// The VM; nil if it is a matter of how many hosts there are.
    pub vm: Uuid,
    /// In words.
    pub why: String,
}

impl Verdict {
    /// Whether the promise may be given.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Holds(_))
    }

    /// In words.
    pub fn text(&self) -> String {
        match self {
            Self::Holds(Shown::Trivially) => "there is nothing to restart".to_owned(),
            Self::Holds(Shown::Counted) => {
                "the room on the other hosts suffices whichever fail".to_owned()
            }
            Self::Holds(Shown::Tried(sets)) => {
                format!("a place was found for each of {sets} ways to fail")
            }
            Self::Refuted(example) => example.why.clone(),
            Self::NotShown(example) => {
                format!("{} (no way was found; the pool is too large to try all)", example.why)
            }
        }
    }
}

/// An action was refused because the promise would be broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The number of failures that is promised.
    pub failures: usize,
    /// An example.
    pub example: Example,
}

impl Refused {
    /// In words.
    pub fn text(&self) -> String {
        format!(
            "the pool promises to survive {} host failure{}: {}",
            self.failures,
            if self.failures == 1 { "" } else { "s" },
            self.example.why
        )
    }
}

/// Whether a plan exists for `failures` hosts that fail.
pub fn tolerates(pool: &Pool, failures: usize, effort: Effort) -> Verdict {
    Judge::new(pool).tolerates(failures, effort)
}

/// The largest number of failures for which a plan exists, and why not for one more (`None` if no host would be left).
pub fn largest(pool: &Pool, effort: Effort) -> (usize, Option<Verdict>) {
    let judge = Judge::new(pool);
    let live = judge.live.len();
    let mut best = 0;
    while best + 1 < live {
        let verdict = judge.tolerates(best + 1, effort);
        if !verdict.holds() {
            return (best, Some(verdict));
        }
        best += 1;
    }
    (best, None)
}

/// Whether what turns the pool `before` into `after` may be done when `failures` are promised. It may if the promise still
/// holds, and also if it did not hold before. What is not shown by a quick look is looked at longer: a refusal may take a
/// moment, and so may what is allowed in a pool that is nearly full.
///
/// # Errors
/// What would happen.
pub fn admit(before: &Pool, after: &Pool, failures: usize) -> Result<(), Refused> {
    if failures == 0 || tolerates(after, failures, Effort::ADMISSION).holds() {
        return Ok(());
    }
    match tolerates(after, failures, Effort::QUESTION) {
        Verdict::Holds(_) => Ok(()),
        Verdict::Refuted(_) | Verdict::NotShown(_)
            if !tolerates(before, failures, Effort::QUESTION).holds() =>
        {
            Ok(())
        }
        Verdict::Refuted(example) | Verdict::NotShown(example) => {
            Err(Refused { failures, example })
        }
    }
}

struct Judge<'p> {
    pool: &'p Pool,
    board: Board,
    /// Hosts that may fail.
    live: Vec<usize>,
    /// Protected VMs that run nowhere, or on a host that is gone: they ask for room whatever fails.
    wanted: Vec<usize>,
    /// Protected VMs by the host they run on.
    on: Vec<Vec<usize>>,
    protected: usize,
    /// Where no rule keeps VMs together: each protected VM as a unit, by its index.
    singles: Vec<Option<Unit>>,
}

impl<'p> Judge<'p> {
    fn new(pool: &'p Pool) -> Self {
        let board = Board::new(pool);
        let live = (0..pool.hosts.len()).filter(|h| board.live[*h]).collect();
        let mut on = vec![Vec::new(); pool.hosts.len()];
        let mut wanted = Vec::new();
        for (at, _) in pool.vms.iter().enumerate().filter(|(_, vm)| vm.is_protected()) {
            match board.pieces[at].on {
                Some(host) => on[host].push(at),
                None => wanted.push(at),
            }
        }
        let protected = wanted.len() + on.iter().map(Vec::len).sum::<usize>();
        let mut singles = vec![None; pool.vms.len()];
        if board.is_loose() {
            for vm in on.iter().flatten().chain(&wanted) {
                singles[*vm] = Some(board.single(*vm));
            }
        }
        Self { pool, board, live, wanted, on, protected, singles }
    }

    fn tolerates(&self, failures: usize, effort: Effort) -> Verdict {
        if self.protected == 0 {
            return Verdict::Holds(Shown::Trivially);
        }
        if failures >= self.live.len() {
            let why = format!(
                "{} of {} hosts are alive, so no host would be left after {failures} failures",
                self.live.len(),
                self.pool.hosts.len()
            );
            return Verdict::Refuted(Example { failed: Vec::new(), vm: Uuid::nil(), why });
        }
        let is_small = self.pool.hosts.len() <= EXACT_HOSTS && self.protected <= EXACT_VMS;
        let together = !self.board.is_loose();
        if !is_small && !together && self.counted(failures) {
            return Verdict::Holds(Shown::Counted);
        }
        let mut trial = Trial { judge: self, exact: is_small, left: effort.0, sets: 0 };
        // With fewer failures less is to be placed on more hosts, unless VMs must join others that still run.
        let first = if together { 0 } else { failures };
        for size in first..=failures {
            let order = self.worst_first();
            let mut failed = vec![false; self.pool.hosts.len()];
            if let Err(verdict) = trial.sets_of(size, &order, &mut failed) {
                return verdict;
            }
        }
        Verdict::Holds(Shown::Tried(trial.sets))
    }

    /// Hosts whose failure asks for most comes first, so that a refutation is found early.
    fn worst_first(&self) -> Vec<usize> {
        let mut order = self.live.clone();
        let asks =
            |host: usize| self.on[host].iter().map(|v| self.board.pieces[*v].need).sum::<i64>();
        order.sort_by_key(|host| {
            std::cmp::Reverse(asks(*host).saturating_add(self.board.room[*host]))
        });
        order
    }

    /// Whether counting shows it. No strict rule keeps VMs together.
    fn counted(&self, failures: usize) -> bool {
        let hosts = self.pool.hosts.len();
        let mut sizes: Vec<i64> = self
            .on
            .iter()
            .flatten()
            .chain(&self.wanted)
            .map(|v| self.board.pieces[*v].need)
            .collect();
        sizes.sort_unstable();
        let step = sizes.len().div_ceil(SIZES);
        // Each class of sizes (its smallest, its largest), for each kind of VM that has one of them.
        for class in sizes.chunks(step) {
            let (low, high) = (class[0], class[class.len() - 1]);
            let mut asks = vec![0_i64; hosts];
            let mut kinds = vec![None; self.board.kinds.len()];
            let mut note = |vm: usize| {
                let piece = &self.board.pieces[vm];
                if piece.need < low {
                    return 0;
                }
                if piece.need <= high {
                    let blocked: usize = piece
                        .rules
                        .iter()
                        .map(|rule| self.board.members[*rule].len().saturating_sub(1))
                        .sum();
                    let kind: &mut Option<usize> = &mut kinds[piece.kind];
                    *kind = Some(kind.unwrap_or(0).max(blocked));
                }
                piece.need
            };
            let always: i64 = self.wanted.iter().map(|vm| note(*vm)).sum();
            for host in &self.live {
                asks[*host] = self.on[*host].iter().map(|vm| note(*vm)).sum();
            }
            for (kind, blocked) in kinds.iter().enumerate() {
                let Some(blocked) = blocked else { continue };
                if !self.suffices(failures, *blocked, high, kind, &asks, always) {
                    return false;
                }
            }
        }
        true
    }

    /// Whether a VM of that kind and at most that size finds a place whichever hosts fail, where `blocked` more hosts
    /// may be closed to it by rules, after all of `asks` and `always` was placed before it.
    fn suffices(
        &self,
        failures: usize,
        blocked: usize,
        size: i64,
        kind: usize,
        asks: &[i64],
        always: i64,
    ) -> bool {
        let offers: Vec<i64> = (0..self.pool.hosts.len())
            .map(|host| {
                let open = self.board.takes[host] && self.board.kinds[kind][host];
                if open { (self.board.room[host] - size + 1).max(0) } else { 0 }
            })
            .collect();
        let total: i64 = offers.iter().sum();
        let mut lost: Vec<i64> = self.live.iter().map(|h| offers[*h] + asks[*h]).collect();
        lost.sort_unstable_by_key(|l| std::cmp::Reverse(*l));
        let mut closed = offers.clone();
        closed.sort_unstable_by_key(|o| std::cmp::Reverse(*o));
        let lost: i64 = lost.iter().take(failures).sum();
        let closed: i64 = closed.iter().take(blocked).sum();
        total - lost - closed >= always
    }

    /// VMs that are to be placed when those hosts fail.
    fn to_place(&self, failed: &[bool]) -> Vec<usize> {
        let mut vms: Vec<usize> = self.wanted.clone();
        for (host, on) in self.on.iter().enumerate() {
            if failed[host] {
                vms.extend(on);
            }
        }
        vms.sort_unstable_by_key(|vm| (std::cmp::Reverse(self.board.pieces[*vm].need), *vm));
        vms
    }

    fn example(&self, failed: &[bool], hand: &Hand<'_>, unit: &Unit) -> Example {
        let down: Vec<&super::Host> =
            self.pool.hosts.iter().zip(failed).filter(|(_, f)| **f).map(|(h, _)| h).collect();
        let names: Vec<String> = down.iter().map(|h| h.name()).collect();
        let when = match names.as_slice() {
            [] => "as the pool is now".to_owned(),
            [one] => format!("if {one} fails"),
            more => format!("if {} fail together", more.join(" and ")),
        };
        let vm = &self.pool.vms[unit.vms[0]];
        let why = format!("{when}, {}", no_place(self.pool, hand, unit));
        Example { failed: down.iter().map(|h| h.host).collect(), vm: vm.vm, why }
    }
}

/// Why a unit finds no place, in words: the VM, what it needs, what is the most that a host has.
pub(super) fn no_place(pool: &Pool, hand: &Hand<'_>, unit: &Unit) -> String {
    let vm = &pool.vms[unit.vms[0]];
    let more = match unit.vms.len() {
        1 => String::new(),
        n => format!(" with {} others that must be with it", n - 1),
    };
    let best = (0..pool.hosts.len())
        .filter(|host| hand.may(unit, *host))
        .max_by_key(|host| (hand.room[*host], std::cmp::Reverse(*host)));
    match best {
        Some(host) => format!(
            "{}{more} finds no host: it needs {} MiB, and the most that is left is {} MiB on {}",
            vm.name(),
            mib(unit.need),
            hand.room[host].max(0) >> 20,
            pool.hosts[host].name()
        ),
        None => format!("{}{more} finds no host: {}", vm.name(), nowhere(pool, hand, unit, vm)),
    }
}

/// Why no host may have it, whatever the room.
fn nowhere(pool: &Pool, hand: &Hand<'_>, unit: &Unit, vm: &Vm) -> String {
    let open: Vec<&super::Host> =
        pool.hosts.iter().zip(&hand.takes).filter(|(_, takes)| **takes).map(|(h, _)| h).collect();
    if open.is_empty() {
        return "no host takes VMs".to_owned();
    }
    let lacking = |has: &dyn Fn(&super::Host) -> bool| !open.iter().any(|h| has(h));
    if let Some(sr) = vm.srs.iter().find(|sr| lacking(&|h| h.srs.contains(sr))) {
        return format!("storage repository {sr} is on none of the hosts that are left");
    }
    if let Some(network) = vm.networks.iter().find(|n| lacking(&|h| h.networks.contains(n))) {
        return format!("network {network} is on none of the hosts that are left");
    }
    if unit.is_free() {
        "none of the hosts that are left has all its repositories, networks and processors"
            .to_owned()
    } else {
        "its rules (apart, together) leave none".to_owned()
    }
}

struct Trial<'j, 'p> {
    judge: &'j Judge<'p>,
    exact: bool,
    left: u64,
    sets: u64,
}

impl Trial<'_, '_> {
    /// Tries each set of `size` hosts of `order` beside those that are in `failed`.
    fn sets_of(
        &mut self,
        size: usize,
        order: &[usize],
        failed: &mut [bool],
    ) -> Result<(), Verdict> {
        if size == 0 {
            return self.one(failed);
        }
        for at in 0..order.len().saturating_sub(size - 1) {
            failed[order[at]] = true;
            let result = self.sets_of(size - 1, &order[at + 1..], failed);
            failed[order[at]] = false;
            result?;
        }
        Ok(())
    }

    fn one(&mut self, failed: &[bool]) -> Result<(), Verdict> {
        self.sets += 1;
        let judge = self.judge;
        let vms = judge.to_place(failed);
        let grouped: Vec<Unit>;
        let units: Vec<&Unit> = if judge.board.is_loose() {
            vms.iter().filter_map(|vm| judge.singles[*vm].as_ref()).collect()
        } else {
            let mut units = judge.board.units(&vms, failed);
            packing::largest_first(&mut units);
            grouped = units;
            grouped.iter().collect()
        };
        let start = Hand::new(&judge.board, failed);
        let mut hand = start.clone();
        let mut work = 1;
        let placed = packing::tightest(&mut hand, units.iter().copied(), &mut work);
        let Some(missing) = placed.iter().position(Option::is_none) else {
            if self.exact {
                return Ok(());
            }
            self.left = self.left.saturating_sub(work);
            // What is left of the effort is gone: nothing is shown of the sets that remain.
            return if self.left > 0 {
                Ok(())
            } else {
                let why = "there are too many ways to fail to try all of them".to_owned();
                Err(Verdict::NotShown(Example { failed: Vec::new(), vm: Uuid::nil(), why }))
            };
        };
        let example = || judge.example(failed, &hand, units[missing]);
        let budget = if self.exact { SEARCH_STEPS } else { 0 };
        match packing::search(&start, &units, budget) {
            Found::Way(_) => Ok(()),
            Found::None => Err(Verdict::Refuted(example())),
            Found::GaveUp => Err(Verdict::NotShown(example())),
        }
    }
}

impl Pool {
    /// The pool in which that VM is protected and runs there, or asks for a place if `on` is `None`. For questions about
    /// starting, resuming, moving, enlarging and protecting it.
    #[must_use]
    pub fn with(&self, vm: Vm, on: Option<Uuid>) -> Self {
        let mut after = self.clone();
        let run = match on {
            Some(host) => Run::On { host, memory: vm.memory },
            None => Run::Down(super::Ended::seen("it is about to start")),
        };
        let vm = Vm { run, ..vm };
        match after.vms.iter_mut().find(|known| known.vm == vm.vm) {
            Some(known) => *known = vm,
            None => after.vms.push(vm),
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::drawn::{self, GIB, host, on, pool, rule, vm};
    use super::super::{Priority, RuleKind, Standing};
    use super::*;

    fn most(pool: &Pool) -> usize {
        largest(pool, Effort::QUESTION).0
    }

    /// Whether there is a way, by all subsets of VMs, host after host: nothing of it is shared with what is tested.
    fn brute(pool: &Pool, failed: &[Uuid]) -> Option<bool> {
        let items: Vec<&Vm> = pool
            .vms
            .iter()
            .filter(|v| v.priority == Priority::Restart)
            .filter(|v| match v.run {
                Run::On { host, .. } => failed.contains(&host),
                Run::Down(_) | Run::Lost(_) => true,
                Run::Off => false,
            })
            .collect();
        if items.len() > 14 {
            return None;
        }
        let bins: Vec<(&super::super::Host, i64)> = pool
            .hosts
            .iter()
            .filter(|h| h.standing == Standing::Serving && !failed.contains(&h.host))
            .map(|h| {
                let held = |v: &Vm| match v.run {
                    Run::On { host, memory } if host == h.host => memory,
                    Run::On { .. } | Run::Off | Run::Down(_) | Run::Lost(_) => 0,
                };
                (h, h.memory - pool.vms.iter().map(held).sum::<i64>())
            })
            .collect();
        let all = (1usize << items.len()) - 1;
        let mut reached = vec![false; all + 1];
        reached[0] = true;
        for (host, free) in bins {
            let good = |set: usize| {
                let chosen =
                    || items.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1).map(|(_, v)| v);
                chosen().map(|v| v.memory).sum::<i64>() <= free
                    && chosen().all(|v| v.srs.iter().all(|sr| host.srs.contains(sr)))
            };
            let sets: Vec<usize> = (1..=all).filter(|set| good(*set)).collect();
            let mut next = reached.clone();
            for from in (0..=all).filter(|from| reached[*from]) {
                for set in sets.iter().filter(|set| *set & from == 0) {
                    next[from | set] = true;
                }
            }
            reached = next;
        }
        Some(reached[all])
    }

    /// All sets of so many hosts that live.
    fn sets(pool: &Pool, size: usize) -> Vec<Vec<Uuid>> {
        let live: Vec<Uuid> =
            pool.hosts.iter().filter(|h| h.standing != Standing::Gone).map(|h| h.host).collect();
        (0..1usize << live.len())
            .filter(|set| set.count_ones() as usize == size)
            .map(|set| {
                live.iter()
                    .enumerate()
                    .filter(|(i, _)| set >> i & 1 == 1)
                    .map(|(_, h)| *h)
                    .collect()
            })
            .collect()
    }

    #[test]
    fn two_hosts_of_256_gib_with_vms_of_120() {
        let case = |vms: &[(u128, u128)]| {
            pool([host(1, 256), host(2, 256)], vms.iter().map(|(n, h)| on(vm(*n, 120), *h)))
        };
        assert_eq!(most(&case(&[])), 1);
        assert_eq!(most(&case(&[(10, 1)])), 1);
        assert_eq!(most(&case(&[(10, 1), (11, 2)])), 1);
        assert_eq!(most(&case(&[(10, 1), (11, 1), (12, 2), (13, 2)])), 0);
    }

    #[test]
    fn three_hosts_unequal_hosts_and_one_large_vm_with_many_small() {
        let three = pool((1..=3).map(|n| host(n, 256)), (1..=3).map(|n| on(vm(10 + n, 120), n)));
        assert_eq!(most(&three), 1);
        let fewer = pool((1..=3).map(|n| host(n, 256)), (1..=2).map(|n| on(vm(10 + n, 120), n)));
        assert_eq!(most(&fewer), 2);
        let unequal = pool([host(1, 256), host(2, 64)], [on(vm(10, 120), 1)]);
        let (n, why) = largest(&unequal, Effort::QUESTION);
        let why = why.expect("why not one").text();
        assert_eq!(n, 0);
        assert_eq!(
            why,
            format!(
                "if host 'h1' ({}) fails, VM 'v10' ({}) finds no host: it needs 122880 MiB, and the most that is left is 65536 MiB on host 'h2' ({})",
                Uuid::from_u128(1),
                Uuid::from_u128(10),
                Uuid::from_u128(2)
            )
        );
        // One very large VM: the room for it is in one piece only on two hosts.
        let mut vms: Vec<Vm> = (0..20).map(|n| on(vm(20 + n, 4), 1 + n % 4)).collect();
        vms.push(on(vm(10, 200), 1));
        assert_eq!(most(&pool((1..=4).map(|n| host(n, 256)), vms.clone())), 2);
        let mut uneven: Vec<super::super::Host> = (1..=4).map(|n| host(n, 256)).collect();
        uneven[2].memory = 128 * GIB;
        uneven[3].memory = 128 * GIB;
        assert_eq!(most(&pool(uneven, vms)), 1);
    }

    #[test]
    fn a_protected_vm_on_local_storage_survives_no_failure_and_the_reason_names_the_repository() {
        let local = Uuid::from_u128(200);
        let mut hosts = [host(1, 64), host(2, 64)];
        hosts[0].srs.push(local);
        let mut stuck = on(vm(10, 4), 1);
        stuck.srs.push(local);
        let (n, why) = largest(&pool(hosts, [stuck]), Effort::QUESTION);
        assert_eq!(n, 0);
        assert!(why.expect("why").text().contains(&local.to_string()));
    }

    /// proves: S4-50 (table)
    #[test]
    fn what_would_break_the_promise_is_refused_and_what_was_broken_already_is_not() {
        let before = pool([host(1, 16), host(2, 16)], [on(vm(10, 8), 1), on(vm(11, 4), 2)]);
        let start = |gib| before.with(vm(12, gib), Some(Uuid::from_u128(2)));
        assert_eq!(admit(&before, &start(4), 1), Ok(()));
        let refused = admit(&before, &start(5), 1).expect_err("too many");
        assert!(
            refused.text().contains("survive 1 host failure: if host 'h1'"),
            "{}",
            refused.text()
        );
        assert_eq!(admit(&before, &start(5), 0), Ok(()));
        let over = start(8);
        let more = over.with(vm(13, 1), Some(Uuid::from_u128(1)));
        assert_eq!(admit(&over, &more, 1), Ok(()));
        // An unprotected VM takes room too.
        let plain = Vm { priority: Priority::None, ..vm(12, 5) };
        assert!(admit(&before, &before.with(plain, Some(Uuid::from_u128(2))), 1).is_err());
        // A host that is taken out of service is no place to go.
        let mut without = before.clone();
        without.hosts[1].standing = Standing::Disabled;
        assert!(admit(&before, &without, 1).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Up to 8 hosts and 24 VMs the answer is that of brute force, over all sets of hosts.
        #[test]
        fn small_pools_are_judged_exactly(drawn in drawn::pools(EXACT_HOSTS, EXACT_VMS), failures in 1usize..4) {
            let live = drawn.hosts.len();
            prop_assume!(failures < live);
            let mut expected = true;
            for failed in sets(&drawn, failures) {
                match brute(&drawn, &failed) {
                    Some(found) => expected &= found,
                    None => return Err(TestCaseError::reject("too many for brute force")),
                }
            }
            let verdict = tolerates(&drawn, failures, Effort::ADMISSION);
            let protected = drawn.vms.iter().any(|v| v.priority == Priority::Restart);
            prop_assert_eq!(verdict.holds(), expected || !protected, "{:?}", verdict);
            prop_assert!(!matches!(verdict, Verdict::NotShown(_)));
        }

        /// In larger pools nothing is claimed that a sample refutes.
        #[test]
        fn large_pools_are_never_judged_too_well(
            drawn in drawn::pools(14, 40),
            failures in 1usize..4,
            picks in proptest::collection::vec(any::<u64>(), 12),
            effort in prop_oneof![Just(Effort(0)), Just(Effort::ADMISSION)],
        ) {
            // No search here: the pool is larger than what is searched.
            let mut drawn = drawn;
            for n in 0..EXACT_HOSTS {
                drawn.hosts.push(super::super::Host { memory: 0, ..host(900 + n as u128, 1) });
            }
            let verdict = tolerates(&drawn, failures, effort);
            prop_assume!(verdict.holds());
            for pick in picks {
                let failed = drawn::some_hosts(&drawn, failures, pick);
                prop_assert_ne!(brute(&drawn, &failed), Some(false), "{:?} {:?}", verdict, failed);
            }
        }

        /// Strict rules, against every assignment of every VM.
        #[test]
        fn rules_are_judged_exactly(
            homes in proptest::collection::vec((0usize..4, 1i64..6), 1..6),
            sizes in proptest::collection::vec(4i64..16, 2..5),
            apart in proptest::collection::vec(0usize..6, 0..4),
            together in proptest::collection::vec(0usize..6, 0..3),
        ) {
            let mut hosts: Vec<super::super::Host> =
                sizes.iter().enumerate().map(|(n, gib)| host(n as u128, *gib)).collect();
            let vms: Vec<Vm> = homes
                .iter()
                .enumerate()
                .map(|(n, (home, gib))| on(vm(100 + n as u128, *gib), (*home % hosts.len()) as u128))
                .collect();
            for host in &mut hosts {
                let held: i64 = vms.iter().filter(|v| v.run == Run::On { host: host.host, memory: v.memory }).map(|v| v.memory).sum();
                host.memory = host.memory.max(held);
            }
            let ids = |at: &[usize]| at.iter().map(|n| 100 + *n as u128).collect::<std::collections::BTreeSet<u128>>().into_iter().collect::<Vec<_>>();
            let mut drawn = pool(hosts, vms);
            drawn.rules = vec![
                rule("a", RuleKind::Apart, true, &ids(&apart)),
                rule("t", RuleKind::Together, true, &ids(&together)),
            ];
            let failures = 1;
            prop_assume!(drawn.hosts.len() > 1);
            let expected = (0..=failures).all(|n| sets(&drawn, n).iter().all(|failed| by_hand(&drawn, failed)));
            prop_assert_eq!(tolerates(&drawn, failures, Effort::ADMISSION).holds(), expected);
        }
    }

    /// Every assignment of the VMs of failed hosts. A rule counts for VMs that are being placed, against all others.
    fn by_hand(pool: &Pool, failed: &[Uuid]) -> bool {
        fn place(
            pool: &Pool,
            failed: &[Uuid],
            at: &mut Vec<Option<Uuid>>,
            next: usize,
            moved: &[bool],
        ) -> bool {
            let Some(vm) = pool.vms.get(next) else {
                let fits = pool.hosts.iter().all(|h| {
                    let held: i64 = pool
                        .vms
                        .iter()
                        .zip(&*at)
                        .filter(|(_, a)| **a == Some(h.host))
                        .map(|(v, _)| v.memory)
                        .sum();
                    held <= h.memory
                });
                let kept = pool.rules.iter().all(|r| {
                    let members: Vec<usize> =
                        (0..pool.vms.len()).filter(|n| r.vms.contains(&pool.vms[*n].vm)).collect();
                    members.iter().filter(|n| moved[**n]).all(|n| {
                        let others = || members.iter().filter(|m| *m != n);
                        match r.kind {
                            RuleKind::Apart => others().all(|m| at[*m] != at[*n]),
                            RuleKind::Together => {
                                // With one of those that run; and with all that move.
                                let runs: Vec<_> = others().filter(|m| !moved[**m]).collect();
                                (runs.is_empty() || runs.iter().any(|m| at[**m] == at[*n]))
                                    && others().filter(|m| moved[**m]).all(|m| at[*m] == at[*n])
                            }
                        }
                    })
                });
                return fits && kept;
            };
            let Run::On { host, .. } = vm.run else { unreachable!("all run") };
            if !failed.contains(&host) {
                at[next] = Some(host);
                return place(pool, failed, at, next + 1, moved);
            }
            pool.hosts.iter().filter(|h| !failed.contains(&h.host)).any(|h| {
                at[next] = Some(h.host);
                place(pool, failed, at, next + 1, moved)
            })
        }
        let moved: Vec<bool> = pool
            .vms
            .iter()
            .map(|v| matches!(v.run, Run::On { host, .. } if failed.contains(&host)))
            .collect();
        place(pool, failed, &mut vec![None; pool.vms.len()], 0, &moved)
    }
}
