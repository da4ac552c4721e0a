//! The pool as numbers: which VM may be where, how much room each host has, what a failure frees and asks for.
//!
//! VMs that must stay together are one [`Unit`]. A [`Hand`] is a board on which units are being placed; a failed host is
//! one that takes nothing. What an unprotected VM holds on a host that lives stays held: nothing that runs is stopped.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::{Pool, RuleKind, Run, Standing};
use crate::placement::VCPUS_PER_CPU;

/// The pool as numbers. Indices are those of [`Pool::hosts`], [`Pool::vms`] and [`Pool::rules`].
#[derive(Debug)]
pub(super) struct Board {
    /// Room of each host, bytes; with shrinking, with every VM on it at its least. Negative: overcommitted.
    pub(super) room: Vec<i64>,
    /// Takes VMs.
    pub(super) takes: Vec<bool>,
    /// Lives.
    pub(super) live: Vec<bool>,
    /// Per kind of VM (repositories, networks, processors): the hosts that have all of it.
    pub(super) kinds: Vec<Vec<bool>>,
    /// The VMs.
    pub(super) pieces: Vec<Piece>,
    /// The rules' members, by index.
    pub(super) members: Vec<Vec<usize>>,
    /// Strict rules that keep apart; the others are no business of feasibility.
    pub(super) apart: Vec<bool>,
    /// Strict rules that keep together.
    pub(super) together: Vec<bool>,
}

/// A VM as numbers.
#[derive(Debug)]
pub(super) struct Piece {
    /// Memory that it needs at least where it would be started, bytes.
    pub(super) need: i64,
    /// Index into [`Board::kinds`].
    pub(super) kind: usize,
    /// Where it runs, on a host that lives.
    pub(super) on: Option<usize>,
    /// Its strict rules.
    pub(super) rules: Vec<usize>,
}

/// VMs that are placed as one.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// Indices of the VMs.
    pub(super) vms: Vec<usize>,
    /// Memory that they need at least, bytes.
    pub(super) need: i64,
    /// The kinds of its VMs.
    kinds: Vec<usize>,
    /// Its strict rules that keep apart.
    apart: Vec<usize>,
    /// The hosts where VMs run that it must be with.
    with: Option<BTreeSet<usize>>,
    /// Its own VMs must keep apart and together: it fits nowhere.
    impossible: bool,
}

impl Board {
    pub(super) fn new(pool: &Pool) -> Self {
        let host_at: HashMap<Uuid, usize> =
            pool.hosts.iter().enumerate().map(|(i, h)| (h.host, i)).collect();
        let live: Vec<bool> = pool.hosts.iter().map(|h| h.standing != Standing::Gone).collect();
        let takes = pool.hosts.iter().map(|h| h.standing == Standing::Serving).collect();
        let mut room: Vec<i64> = pool.hosts.iter().map(|h| h.memory).collect();
        let mut kinds: Vec<Vec<bool>> = Vec::new();
        let mut kind_at: BTreeMap<(&[Uuid], &[Uuid], i64), usize> = BTreeMap::new();
        let mut pieces = Vec::with_capacity(pool.vms.len());
        for vm in &pool.vms {
            let key = (vm.srs.as_slice(), vm.networks.as_slice(), vm.vcpus);
            let kind = *kind_at.entry(key).or_insert_with(|| {
                kinds.push(pool.hosts.iter().map(|host| has_all(host, vm)).collect());
                kinds.len() - 1
            });
            let least = if pool.shrink { vm.memory_min.min(vm.memory) } else { vm.memory };
            let mut on = None;
            if let Run::On { host, memory } = &vm.run
                && let Some(at) = host_at.get(host)
                && live[*at]
            {
                on = Some(*at);
                room[*at] -= if pool.shrink { vm.memory_min.min(*memory) } else { *memory };
            }
            pieces.push(Piece { need: least.max(1), kind, on, rules: Vec::new() });
        }
        let vm_at: HashMap<Uuid, usize> =
            pool.vms.iter().enumerate().map(|(i, v)| (v.vm, i)).collect();
        let mut members = Vec::new();
        for (at, rule) in pool.rules.iter().enumerate() {
            let list: Vec<usize> = rule.vms.iter().filter_map(|v| vm_at.get(v).copied()).collect();
            if rule.strict {
                list.iter().for_each(|vm| pieces[*vm].rules.push(at));
            }
            members.push(list);
        }
        let strict = |kind| pool.rules.iter().map(|r| r.strict && r.kind == kind).collect();
        Self {
            room,
            takes,
            live,
            kinds,
            pieces,
            members,
            apart: strict(RuleKind::Apart),
            together: strict(RuleKind::Together),
        }
    }

    /// No strict rule keeps VMs together: each is a unit of its own, whatever fails.
    pub(super) fn is_loose(&self) -> bool {
        !self.together.iter().any(|strict| *strict)
    }

    /// A VM as a unit of its own.
    pub(super) fn single(&self, vm: usize) -> Unit {
        let piece = &self.pieces[vm];
        let apart: Vec<usize> = piece.rules.iter().copied().filter(|r| self.apart[*r]).collect();
        Unit {
            vms: vec![vm],
            need: piece.need,
            kinds: vec![piece.kind],
            apart,
            with: None,
            impossible: false,
        }
    }

    /// Groups VMs into what is placed as one, when the hosts of `failed` are gone too.
    pub(super) fn units(&self, vms: &[usize], failed: &[bool]) -> Vec<Unit> {
        if self.is_loose() {
            return vms.iter().map(|vm| self.single(*vm)).collect();
        }
        let mut units: Vec<Unit> = Vec::new();
        let mut unit_of: HashMap<usize, usize> = HashMap::new();
        let wanted: BTreeSet<usize> = vms.iter().copied().collect();
        for vm in vms {
            if unit_of.contains_key(vm) {
                continue;
            }
            // All that must be with it, directly or through others.
            let mut found = vec![*vm];
            let mut known: BTreeSet<usize> = found.iter().copied().collect();
            let mut with: BTreeSet<usize> = BTreeSet::new();
            let mut at = 0;
            while let Some(next) = found.get(at).copied() {
                at += 1;
                for rule in self.pieces[next].rules.iter().filter(|r| self.together[**r]) {
                    for other in &self.members[*rule] {
                        if !known.insert(*other) {
                            continue;
                        }
                        match self.pieces[*other].on.filter(|h| !failed[*h]) {
                            Some(host) => {
                                with.insert(host);
                            }
                            None if wanted.contains(other) => found.push(*other),
                            None => {}
                        }
                    }
                }
            }
            found.sort_unstable();
            let need = found.iter().map(|v| self.pieces[*v].need).sum();
            let mut kinds: Vec<usize> = found.iter().map(|v| self.pieces[*v].kind).collect();
            kinds.sort_unstable();
            kinds.dedup();
            let mut apart: Vec<usize> = found
                .iter()
                .flat_map(|v| self.pieces[*v].rules.iter().copied())
                .filter(|r| self.apart[*r])
                .collect();
            apart.sort_unstable();
            let impossible = apart.windows(2).any(|pair| pair[0] == pair[1]);
            apart.dedup();
            found.iter().for_each(|v| {
                unit_of.insert(*v, units.len());
            });
            let with = (!with.is_empty()).then_some(with);
            units.push(Unit { vms: found, need, kinds, apart, with, impossible });
        }
        units
    }
}

fn has_all(host: &super::Host, vm: &super::Vm) -> bool {
    vm.srs.iter().all(|sr| host.srs.contains(sr))
        && vm.networks.iter().all(|n| host.networks.contains(n))
        && vm.vcpus <= host.cpus.saturating_mul(VCPUS_PER_CPU)
}

/// A board on which units are placed.
#[derive(Debug, Clone)]
pub(super) struct Hand<'b> {
    pub(super) board: &'b Board,
    pub(super) room: Vec<i64>,
    pub(super) takes: Vec<bool>,
    /// Per rule and host: how many of its members are there. Empty for rules that are not strictly apart.
    there: Vec<Vec<u32>>,
}

impl<'b> Hand<'b> {
    /// The board when the hosts of `failed` are gone too.
    pub(super) fn new(board: &'b Board, failed: &[bool]) -> Self {
        let mut there = vec![Vec::new(); board.apart.len()];
        for (rule, strict) in board.apart.iter().enumerate() {
            if *strict {
                let mut at = vec![0; board.room.len()];
                for host in board.members[rule].iter().filter_map(|vm| board.pieces[*vm].on) {
                    at[host] += 1;
                }
                there[rule] = at;
            }
        }
        let takes =
            board.takes.iter().zip(failed).map(|(takes, failed)| *takes && !failed).collect();
        Self { board, room: board.room.clone(), takes, there }
    }

    /// Whether the unit may be there, whatever the room.
    pub(super) fn may(&self, unit: &Unit, host: usize) -> bool {
        self.takes[host]
            && !unit.impossible
            && unit.kinds.iter().all(|kind| self.board.kinds[*kind][host])
            && unit.apart.iter().all(|rule| self.there[*rule][host] == 0)
            && unit.with.as_ref().is_none_or(|with| with.contains(&host))
    }

    /// Whether it may be there and has room at its least.
    pub(super) fn fits(&self, unit: &Unit, host: usize) -> bool {
        self.room[host] >= unit.need && self.may(unit, host)
    }

    /// Places it.
    pub(super) fn put(&mut self, unit: &Unit, host: usize) {
        self.room[host] -= unit.need;
        for rule in &unit.apart {
            self.there[*rule][host] += 1;
        }
    }

    /// Takes it away again.
    pub(super) fn take(&mut self, unit: &Unit, host: usize) {
        self.room[host] += unit.need;
        for rule in &unit.apart {
            self.there[*rule][host] -= 1;
        }
    }

    /// Whether two hosts are the same to every VM: equal room, equal kinds. Only without rules.
    pub(super) fn alike(&self, a: usize, b: usize) -> bool {
        self.room[a] == self.room[b] && self.board.kinds.iter().all(|k| k[a] == k[b])
    }
}

impl Unit {
    /// No rule binds it to others.
    pub(super) fn is_free(&self) -> bool {
        self.apart.is_empty() && self.with.is_none()
    }
}
