//! The rules of lineages, searched exhaustively: three hosts, every order of power cuts, boots, cut cables, writes, forced
//! recoveries and returns up to a bounded depth, with a person who never lies about a host being off.
//!
//! What must hold in every state: at most one lineage takes writes; none takes a write once a later one was founded; an
//! acknowledged write is in the newest lineage, or still on a stale host, or was listed when that host followed. The
//! functions judged are the ones that ship ([`may_start`], [`may_recover`]); the rest here is the world around them.

use std::collections::{HashSet, VecDeque};

use liveness::lineage::{
    Heard, MayStart, RecoveryFacts, Shared, StartFacts, Voter, majority, may_recover, may_start,
};

const HOSTS: usize = 3;
/// Most writes of one run.
const WRITES: u8 = 2;
/// Most lineages of one run.
const EPOCHS: u8 = 3;
/// Most boots of one host.
const BOOTS: u8 = 2;
/// Steps from the beginning.
const DEPTH: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Host {
    up: bool,
    /// Its database process runs.
    running: bool,
    epoch: u8,
    /// The latest lineage it has heard of, on its disk.
    known: u8,
    /// Writes it has, a bit each.
    log: u8,
    boot: u8,
    /// The boots of the others that it last saw.
    seen: [u8; HOSTS],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    hosts: [Host; HOSTS],
    /// This host's cable is out.
    cut: Option<usize>,
    /// Voters of each lineage, a bit each; index is the epoch less one.
    voters: [u8; EPOCHS as usize],
    /// Writes with which each lineage began.
    base: [u8; EPOCHS as usize],
    founded: u8,
    acknowledged: u8,
    writes: u8,
    listed: u8,
    /// Whether a repository that all share exists, and the epoch on it.
    shared: Option<u8>,
}

impl World {
    fn new(shared: bool, voters: u8) -> Self {
        let host =
            Host { up: true, running: true, epoch: 1, known: 1, log: 0, boot: 1, seen: [1; HOSTS] };
        let mut hosts = [host; HOSTS];
        for (number, host) in hosts.iter_mut().enumerate() {
            host.running = voters & 1 << number != 0;
        }
        Self {
            hosts,
            cut: None,
            voters: [voters, 0, 0],
            base: [0; EPOCHS as usize],
            founded: 1,
            acknowledged: 0,
            writes: 0,
            listed: 0,
            shared: shared.then_some(1),
        }
    }

    fn votes(&self, host: usize) -> bool {
        self.voters[usize::from(self.hosts[host].epoch) - 1] & 1 << host != 0
    }

    fn reaches(&self, a: usize, b: usize) -> bool {
        a == b
            || (self.hosts[a].up && self.hosts[b].up && self.cut != Some(a) && self.cut != Some(b))
    }

    /// Running voters of the host's lineage that it reaches, itself included.
    fn group(&self, host: usize) -> Vec<usize> {
        (0..HOSTS)
            .filter(|other| {
                let it = self.hosts[*other];
                it.running
                    && it.epoch == self.hosts[host].epoch
                    && self.votes(*other)
                    && self.reaches(host, *other)
            })
            .collect()
    }

    fn quorum(&self, host: usize) -> bool {
        let it = self.hosts[host];
        let voters = self.voters[usize::from(it.epoch) - 1].count_ones() as usize;
        it.up && self.group(host).len() >= majority(voters)
    }

    fn heard(&self, by: usize, of: usize) -> Option<Heard> {
        (by != of && self.reaches(by, of)).then(|| Heard {
            epoch: u64::from(self.hosts[of].known),
            quorum: self.quorum(of),
            continuous: self.hosts[by].seen[of] == self.hosts[of].boot,
        })
    }

    /// Whoever is in a quorum sees the boots of the group, and has its writes.
    fn settle(mut self) -> Self {
        for host in 0..HOSTS {
            if !self.quorum(host) {
                continue;
            }
            let group = self.group(host);
            let log = group.iter().fold(0, |log, member| log | self.hosts[*member].log);
            for member in 0..HOSTS {
                let same = self.hosts[member].epoch == self.hosts[host].epoch;
                if same && self.reaches(host, member) {
                    for other in 0..HOSTS {
                        if self.reaches(host, other) {
                            self.hosts[member].seen[other] = self.hosts[other].boot;
                        }
                    }
                    self.hosts[member].log |= log;
                }
            }
        }
        self
    }

    fn start(&self, host: usize) -> Option<Self> {
        let it = self.hosts[host];
        if !it.up || it.running || it.known > it.epoch || !self.votes(host) {
            return None;
        }
        let voters = self.voters[usize::from(it.epoch) - 1];
        let of = |votes: bool| -> Vec<Voter> {
            (0..HOSTS)
                .filter(|other| *other != host && (voters & 1 << other != 0) == votes)
                .map(|other| Voter { heard: self.heard(host, other) })
                .collect()
        };
        let facts = StartFacts {
            epoch: u64::from(it.epoch),
            voters: &of(true),
            others: &of(false),
            shared: self.shared.map_or(Shared::Unread, |epoch| Shared::Read(u64::from(epoch))),
            person: false,
        };
        let MayStart::Yes(_) = may_start(&facts) else { return None };
        let mut next = self.clone();
        next.hosts[host].running = true;
        Some(next)
    }

    fn recover(&self, host: usize) -> Option<Self> {
        let it = self.hosts[host];
        if !it.up || it.known > it.epoch || self.founded == EPOCHS {
            return None;
        }
        // A stale survivor with a shared repository reads that a later lineage was founded.
        if self.shared.is_some_and(|epoch| epoch > it.epoch) {
            return None;
        }
        let voters = self.voters[usize::from(it.epoch) - 1];
        let revision = |of: usize| u64::from(self.hosts[of].log.count_ones());
        let facts = RecoveryFacts {
            epoch: u64::from(it.epoch),
            revision: revision(host),
            quorum: self.quorum(host),
            votes: self.votes(host),
            voters: (0..HOSTS)
                .filter(|other| *other != host && voters & 1 << other != 0)
                .map(|other| (other, self.heard(host, other).map(|heard| (heard, revision(other)))))
                .collect(),
            others: (0..HOSTS)
                .filter(|other| *other != host && voters & 1 << other == 0)
                .filter_map(|other| Some((other, self.heard(host, other)?, revision(other))))
                .collect(),
            // The person states what is true.
            stated_off: (0..HOSTS).filter(|other| !self.hosts[*other].up).collect(),
            forced: false,
        };
        may_recover(&facts).ok()?;
        let mut next = self.clone();
        let epoch = it.epoch + 1;
        next.founded = next.founded.max(epoch);
        next.voters[usize::from(epoch) - 1] = 1 << host;
        next.base[usize::from(epoch) - 1] = it.log;
        next.hosts[host].epoch = epoch;
        next.hosts[host].known = epoch;
        next.hosts[host].running = true;
        // Whoever answers has promised, before the new database takes its first write.
        for other in 0..HOSTS {
            if other != host && self.reaches(host, other) {
                next.hosts[other].known = epoch;
                next.hosts[other].running = false;
            }
        }
        next.shared = next.shared.map(|_| epoch);
        Some(next)
    }

    /// A sign of life tells of a later lineage.
    fn learn(&self, host: usize) -> Option<Self> {
        let heard = (0..HOSTS).filter_map(|other| self.heard(host, other));
        let latest = heard.map(|heard| heard.epoch).max()?;
        let latest = u8::try_from(latest).expect("few lineages");
        if latest <= self.hosts[host].known {
            return None;
        }
        let mut next = self.clone();
        next.hosts[host].known = latest;
        next.hosts[host].running = false;
        Some(next)
    }

    /// A stale host follows; what it had beyond the beginning of what replaced its lineage is listed.
    fn follow(&self, host: usize) -> Option<Self> {
        let it = self.hosts[host];
        let to = (0..HOSTS)
            .filter(|other| self.reaches(host, *other) && self.quorum(*other))
            .max_by_key(|other| self.hosts[*other].epoch)?;
        let there = self.hosts[to];
        if !it.up || there.epoch <= it.epoch {
            return None;
        }
        let mut next = self.clone();
        next.listed |= it.log & !self.base[usize::from(it.epoch)];
        next.hosts[host] =
            Host { epoch: there.epoch, known: there.epoch, log: there.log, running: false, ..it };
        Some(next)
    }

    fn write(&self, host: usize) -> Option<Self> {
        if self.writes == WRITES || !self.hosts[host].running || !self.quorum(host) {
            return None;
        }
        assert_eq!(
            self.hosts[host].epoch, self.founded,
            "a stale lineage takes a write: {self:#?}"
        );
        let mut next = self.clone();
        let bit = 1 << self.writes;
        next.writes += 1;
        next.acknowledged |= bit;
        for member in self.group(host) {
            next.hosts[member].log |= bit;
        }
        Some(next)
    }

    fn next(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for host in 0..HOSTS {
            let it = self.hosts[host];
            if it.up {
                let mut next = self.clone();
                next.hosts[host].up = false;
                next.hosts[host].running = false;
                all.push(next);
                let mut next = self.clone();
                next.cut = if self.cut.is_some() { None } else { Some(host) };
                all.push(next);
            } else if it.boot < BOOTS {
                let mut next = self.clone();
                next.hosts[host].up = true;
                next.hosts[host].boot += 1;
                all.push(next);
            }
            all.extend(self.start(host));
            all.extend(self.recover(host));
            all.extend(self.learn(host));
            all.extend(self.follow(host));
            all.extend(self.write(host));
        }
        all.into_iter().map(Self::settle).collect()
    }

    fn check(&self) {
        let writable: HashSet<u8> = (0..HOSTS)
            .filter(|host| self.hosts[*host].running && self.quorum(*host))
            .map(|host| self.hosts[host].epoch)
            .collect();
        assert!(writable.len() <= 1, "two lineages take writes: {self:#?}");
        let kept = self.hosts.iter().fold(0, |kept, host| kept | host.log);
        let newest =
            self.hosts.iter().filter(|h| h.epoch == self.founded).fold(0, |l, h| l | h.log);
        let stale = self.hosts.iter().filter(|h| h.epoch < self.founded).fold(0, |l, h| l | h.log);
        assert_eq!(kept, newest | stale);
        let lost = self.acknowledged & !newest & !stale & !self.listed;
        assert_eq!(lost, 0, "a write was lost without being listed: {self:#?}");
    }
}

fn search(shared: bool, voters: u8) -> usize {
    let begin = World::new(shared, voters).settle();
    let mut seen = HashSet::from([begin.clone()]);
    let mut queue = VecDeque::from([(begin, 0)]);
    while let Some((world, depth)) = queue.pop_front() {
        world.check();
        if depth == DEPTH {
            continue;
        }
        for next in world.next() {
            if seen.insert(next.clone()) {
                queue.push_back((next, depth + 1));
            }
        }
    }
    seen.len()
}

#[test]
fn three_voters_never_have_two_lineages_and_lose_nothing_in_silence() {
    assert!(search(false, 0b111) > 10_000);
}

#[test]
fn a_shared_repository_lets_more_start_and_nothing_wrong_happen() {
    assert!(search(true, 0b111) > 10_000);
}

/// Two voters and a member without a vote, which can found a lineage as well.
#[test]
fn a_member_without_a_vote_may_found_a_lineage_and_nothing_wrong_happens() {
    assert!(search(false, 0b011) > 10_000);
}

/// The search finds what it looks for: with the rule of `--force-new-cluster` alone (start whenever a majority of voters is
/// there) it meets the split of lab-notes 2.4.
#[test]
fn without_the_rule_the_search_finds_the_stale_write() {
    let mut world = World::new(false, 0b111).settle();
    for host in [0, 1] {
        world.hosts[host].up = false;
        world.hosts[host].running = false;
    }
    let mut world = world.recover(2).expect("a truthful person may").settle();
    world.hosts[2].up = false;
    world.hosts[2].running = false;
    for host in [0, 1] {
        world.hosts[host].up = true;
        world.hosts[host].boot += 1;
    }
    assert!(world.start(0).is_none() && world.start(1).is_none(), "the rule holds them back");
    for host in [0, 1] {
        world.hosts[host].running = true;
    }
    assert!(
        std::panic::catch_unwind(|| world.write(0)).is_err(),
        "what the search asserts is violated"
    );
}
