//! A model of etcd: Raft with pre-vote and quorum check, a log on a disk that may be slow, and leases as etcd's lessor has
//! them.
//!
//! ```text
//!   request ─► leader appends ─► followers append, each syncs ─► majority durable: commit ─► apply ─► answer
//!                                                                                              └─► watchers
//! ```
//! What matters for high availability, and what real etcd does (3.4 and 3.5; checked in `tests/real_etcd.rs`):
//! * A lease lives at least its time to live. Only the leader counts; it looks every half second and *proposes* the end.
//! * A new leader restores every lease to its whole time to live plus one election time-out.
//! * A renewal is answered by whoever believes to lead, without asking a majority: a deposed leader goes on confirming until
//!   its quorum check, an election time-out later.
//! * A leader that stood still and goes on in the same term ends what ran out meanwhile at once.
//! * While a disk does not sync, nothing that has to wait for it leaves the voter; its timers go on.
//! * After a power cut only what was synced is left.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::kernel::{At, Chance, MS};
use crate::kv::{Kv, Op, Outcome};

/// Pause between a leader's signs of life, and of every voter's clock.
pub const TICK: At = 100 * MS;
/// How often the lessor looks for leases that ran out.
pub const LEASE_POLL: At = 500 * MS;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Term of the leader that took it.
    pub term: u64,
    /// What.
    pub op: Rc<Op>,
}

/// A client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asked: host, and its own number for it.
    pub from: (usize, u64),
    /// Through which voter.
    pub through: usize,
    /// What.
    pub what: Ask,
    /// Passed on to the leader once already.
    pub forwarded: bool,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// To commit this.
    Commit(Rc<Op>),
    /// To renew a lease.
    KeepAlive(i64),
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Of a commit.
    Outcome(Outcome),
    /// The lease was renewed.
    Renewed,
    /// There is no such lease.
    Gone,
    /// This voter knows no leader.
    NoLeader,
}

/// Between voters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Asks for a vote, or whether one would be given.
    Vote { term: u64, last: (u64, usize), pre: bool },
    /// Answers that.
    Voted { term: u64, granted: bool, pre: bool },
    /// Entries, or none as a sign of life.
    Append { term: u64, previous: (u64, usize), entries: Vec<Entry>, commit: usize },
    /// Says how far the log agrees and is durable.
    Appended { term: u64, agreed: bool, durable: usize },
}

/// What a voter wants done.
#[derive(Debug)]
pub enum Out {
    /// Send, not before then.
    Send(usize, Message, At),
    /// Pass a request on to the leader.
    Forward(usize, Request),
    /// Answer a client.
    Reply(Request, Answer),
    /// This entry was applied here, as number so and so.
    Applied(usize, Entry),
    /// Call [`Etcd::synced`] then.
    Sync(At, usize, u64),
    /// Leads now.
    Leads(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Follower,
    PreCandidate,
    Candidate,
    Leader,
}

/// One voter.
#[derive(Debug)]
pub struct Voter {
    term: u64,
    voted: Option<usize>,
    /// Entry n stands at n - 1.
    log: Vec<Entry>,
    durable: usize,
    commit: usize,
    /// What it has applied.
    pub kv: Kv,
    applied: usize,
    role: Role,
    leader: Option<usize>,
    votes: BTreeSet<usize>,
    next: BTreeMap<usize, usize>,
    matched: BTreeMap<usize, usize>,
    active: BTreeSet<usize>,
    checked_at: At,
    heard_leader: At,
    elect_at: At,
    expiry: BTreeMap<i64, At>,
    polled_at: At,
    ending: BTreeSet<i64>,
    pending: BTreeMap<usize, (u64, Request)>,
    /// The disk is at work until then.
    disk_until: At,
    /// Counts starts of the process: syncs of a former one say nothing.
    generation: u64,
    /// No sync ends before then.
    pub stalled_until: At,
}

/// All voters, and the timing of their elections.
#[derive(Debug)]
pub struct Etcd {
    /// By host.
    pub voters: BTreeMap<usize, Voter>,
    election: At,
}

impl Etcd {
    /// Voters on these hosts, with this election time-out.
    pub fn new(hosts: &[usize], election: At, chance: &mut Chance) -> Self {
        let mut voters = BTreeMap::new();
        for host in hosts {
            voters.insert(*host, Voter::new(election, chance));
        }
        Self { voters, election }
    }

    fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// Founds the database with this in it.
    pub fn found(&mut self, op: &Rc<Op>) {
        for v in self.voters.values_mut() {
            v.log.push(Entry { term: 0, op: Rc::clone(op) });
            (v.durable, v.commit) = (1, 1);
            v.apply(&mut Vec::new());
        }
    }

    /// Whether this voter knows a leader.
    pub fn has_leader(&self, host: usize) -> bool {
        self.voters.get(&host).is_some_and(|v| v.leader.is_some())
    }

    /// Whom this voter follows: itself, if it leads.
    pub fn follows(&self, host: usize) -> Option<usize> {
        self.voters.get(&host)?.leader
    }

    /// The election that this voter is in.
    pub fn term(&self, host: usize) -> u64 {
        self.voters.get(&host).map_or(0, |v| v.term)
    }

    /// Who leads in the highest term.
    pub fn leader(&self) -> Option<usize> {
        let leads = self.voters.iter().filter(|(_, v)| v.role == Role::Leader);
        leads.max_by_key(|(_, v)| v.term).map(|(host, _)| *host)
    }

    /// The process ended. With the power what was not synced goes.
    pub fn stop(&mut self, host: usize, power: bool) {
        let Some(v) = self.voters.get_mut(&host) else { return };
        v.role = Role::Follower;
        v.leader = None;
        v.pending.clear();
        v.generation += 1;
        if power {
            v.log.truncate(v.durable.max(v.applied));
        } else {
            v.durable = v.log.len();
        }
        v.commit = v.commit.min(v.log.len());
    }

    /// The process starts.
    pub fn start(&mut self, host: usize, now: At, chance: &mut Chance) {
        let election = self.election;
        let Some(v) = self.voters.get_mut(&host) else { return };
        v.disk_until = now;
        v.heard_leader = 0;
        v.elect_at = now + election + chance.between(0, election);
    }

    /// A voter's clock ticks.
    pub fn tick(&mut self, host: usize, now: At, chance: &mut Chance) -> Vec<Out> {
        let (majority, election) = (self.majority(), self.election);
        let others: Vec<usize> = self.voters.keys().copied().filter(|h| *h != host).collect();
        let Some(v) = self.voters.get_mut(&host) else { return vec![] };
        let mut out = Vec::new();
        if v.role == Role::Leader {
            if now >= v.checked_at + election {
                v.checked_at = now;
                if v.active.len() + 1 < majority {
                    v.follow(None, now, election, chance);
                    return out;
                }
                v.active.clear();
            }
            if now >= v.polled_at + LEASE_POLL {
                v.polled_at = now;
                v.end_leases(now, chance, &mut out);
            }
            v.replicate(&others, now, &mut out);
            v.advance(majority, &mut out);
        } else if now >= v.elect_at {
            v.leader = None;
            v.role = Role::PreCandidate;
            v.votes = BTreeSet::from([host]);
            v.elect_at = now + election + chance.between(0, election);
            if majority == 1 {
                v.lead(host, &others, now, election, chance, &mut out);
                v.advance(majority, &mut out);
                return out;
            }
            let ask = Message::Vote { term: v.term + 1, last: v.last(), pre: true };
            // What was asked before the disk stood still is asked once.
            if v.disk_until < now + election {
                out.extend(others.iter().map(|to| Out::Send(*to, ask.clone(), now)));
            }
        }
        out
    }

    /// A sync ended: so many entries are durable.
    pub fn synced(&mut self, host: usize, length: usize, generation: u64) -> Vec<Out> {
        let majority = self.majority();
        let Some(v) = self.voters.get_mut(&host) else { return vec![] };
        let mut out = Vec::new();
        if v.generation == generation {
            v.durable = v.durable.max(length.min(v.log.len()));
            v.advance(majority, &mut out);
        }
        out
    }

    /// A client's request has arrived.
    pub fn request(
        &mut self,
        host: usize,
        mut request: Request,
        now: At,
        chance: &mut Chance,
    ) -> Vec<Out> {
        let others: Vec<usize> = self.voters.keys().copied().filter(|h| *h != host).collect();
        let Some(v) = self.voters.get_mut(&host) else { return vec![] };
        if v.role != Role::Leader {
            return match v.leader {
                Some(leader) if !request.forwarded => {
                    request.forwarded = true;
                    vec![Out::Forward(leader, request)]
                }
                _ => vec![Out::Reply(request, Answer::NoLeader)],
            };
        }
        let mut out = Vec::new();
        match request.what.clone() {
            Ask::KeepAlive(lease) => {
                let lives = v.expiry.get(&lease).is_some_and(|until| *until > now);
                match v.kv.leases.get(&lease).filter(|_| lives) {
                    Some(ttl) => {
                        v.expiry.insert(lease, now + ttl * 1000 * MS);
                        out.push(Out::Reply(request, Answer::Renewed));
                    }
                    None => out.push(Out::Reply(request, Answer::Gone)),
                }
            }
            Ask::Commit(op) => {
                let number = v.append(op, now, chance, &mut out);
                v.pending.insert(number, (v.term, request));
                v.replicate(&others, now, &mut out);
            }
        }
        out
    }

    /// A message of another voter has arrived.
    pub fn message(
        &mut self,
        host: usize,
        from: usize,
        message: Message,
        now: At,
        chance: &mut Chance,
    ) -> Vec<Out> {
        let (majority, election) = (self.majority(), self.election);
        let others: Vec<usize> = self.voters.keys().copied().filter(|h| *h != host).collect();
        let Some(v) = self.voters.get_mut(&host) else { return vec![] };
        let mut out = Vec::new();
        match message {
            Message::Vote { term, last, pre } => {
                // Who hears a leader elects none.
                let hears = v.leader.is_some() && now < v.heard_leader + election;
                if hears || v.role == Role::Leader {
                    return out;
                }
                if !pre && term > v.term {
                    v.term = term;
                    v.voted = None;
                    v.follow(None, now, election, chance);
                }
                let current = last >= v.last();
                let free = pre || v.voted.is_none_or(|voted| voted == from);
                let granted = current
                    && free
                    && if pre { term > v.term || v.leader.is_none() } else { term == v.term };
                if granted && !pre {
                    v.voted = Some(from);
                    v.elect_at = now + election + chance.between(0, election);
                }
                let voted = Message::Voted { term, granted, pre };
                let after = if pre { v.disk_until } else { v.sync(now, chance) };
                out.push(Out::Send(from, voted, after.max(now)));
            }
            Message::Voted { term, granted, pre } => {
                let counts = match v.role {
                    Role::PreCandidate => pre && term == v.term + 1,
                    Role::Candidate => !pre && term == v.term,
                    Role::Follower | Role::Leader => false,
                };
                if !counts || !granted {
                    return out;
                }
                v.votes.insert(from);
                if v.votes.len() < majority {
                    return out;
                }
                if pre {
                    v.role = Role::Candidate;
                    v.term += 1;
                    v.voted = Some(host);
                    v.votes = BTreeSet::from([host]);
                    let after = v.sync(now, chance);
                    let ask = Message::Vote { term: v.term, last: v.last(), pre: false };
                    out.extend(others.iter().map(|to| Out::Send(*to, ask.clone(), after)));
                } else {
                    v.lead(host, &others, now, election, chance, &mut out);
                }
            }
            Message::Append { term, previous, entries, commit } => {
                if term < v.term {
                    let no = Message::Appended { term: v.term, agreed: false, durable: 0 };
                    out.push(Out::Send(from, no, now.max(v.disk_until)));
                    return out;
                }
                if term > v.term || v.role != Role::Follower || v.leader != Some(from) {
                    if term > v.term {
                        v.voted = None;
                    }
                    v.term = term;
                    v.follow(Some(from), now, election, chance);
                }
                v.heard_leader = now;
                v.elect_at = now + election + chance.between(0, election);
                let (previous_term, at) = previous;
                let agreed = at == 0 || v.log.get(at - 1).is_some_and(|e| e.term == previous_term);
                if !agreed {
                    let hint = v.commit.min(at.saturating_sub(1));
                    let no = Message::Appended { term, agreed: false, durable: hint };
                    out.push(Out::Send(from, no, now.max(v.disk_until)));
                    return out;
                }
                let mut wrote = false;
                let upto = at + entries.len();
                for (n, entry) in entries.into_iter().enumerate() {
                    let place = at + n;
                    if v.log.get(place).is_some_and(|known| known.term == entry.term) {
                        continue;
                    }
                    v.log.truncate(place);
                    v.durable = v.durable.min(place);
                    v.log.push(entry);
                    wrote = true;
                }
                v.commit = v.commit.max(commit.min(upto));
                let after = if wrote {
                    let after = v.sync(now, chance);
                    out.push(Out::Sync(after, v.log.len(), v.generation));
                    after
                } else {
                    v.disk_until.max(now)
                };
                // Signs of life that wait for the disk are one.
                if wrote || v.disk_until < now + TICK * 2 {
                    let yes = Message::Appended { term, agreed: true, durable: upto };
                    out.push(Out::Send(from, yes, after));
                }
                v.apply(&mut out);
            }
            Message::Appended { term, agreed, durable } => {
                if term > v.term {
                    v.term = term;
                    v.voted = None;
                    v.follow(None, now, election, chance);
                }
                if v.role != Role::Leader || term != v.term {
                    return out;
                }
                v.active.insert(from);
                if agreed {
                    let matched = v.matched.entry(from).or_default();
                    *matched = durable.max(*matched);
                    let matched = *matched;
                    let next = v.next.entry(from).or_default();
                    *next = (*next).max(matched);
                    v.advance(majority, &mut out);
                } else {
                    v.next.insert(from, durable);
                    v.replicate(&[from], now, &mut out);
                }
            }
        }
        out
    }
}

impl Voter {
    fn new(election: At, chance: &mut Chance) -> Self {
        Self {
            term: 0,
            voted: None,
            log: Vec::new(),
            durable: 0,
            commit: 0,
            kv: Kv::default(),
            applied: 0,
            role: Role::Follower,
            leader: None,
            votes: BTreeSet::new(),
            next: BTreeMap::new(),
            matched: BTreeMap::new(),
            active: BTreeSet::new(),
            checked_at: 0,
            heard_leader: 0,
            elect_at: election + chance.between(0, election),
            expiry: BTreeMap::new(),
            polled_at: 0,
            ending: BTreeSet::new(),
            pending: BTreeMap::new(),
            disk_until: 0,
            generation: 0,
            stalled_until: 0,
        }
    }

    fn last(&self) -> (u64, usize) {
        (self.log.last().map_or(0, |e| e.term), self.log.len())
    }

    fn follow(&mut self, leader: Option<usize>, now: At, election: At, chance: &mut Chance) {
        self.role = Role::Follower;
        self.leader = leader;
        self.pending.clear();
        self.elect_at = now + election + chance.between(0, election);
    }

    fn lead(
        &mut self,
        host: usize,
        others: &[usize],
        now: At,
        election: At,
        chance: &mut Chance,
        out: &mut Vec<Out>,
    ) {
        if self.role == Role::PreCandidate {
            self.term += 1;
            self.voted = Some(host);
        }
        self.role = Role::Leader;
        self.leader = Some(host);
        self.checked_at = now;
        self.polled_at = now;
        self.active = others.iter().copied().collect();
        self.pending.clear();
        self.ending.clear();
        self.next = others.iter().map(|o| (*o, self.log.len())).collect();
        self.matched = others.iter().map(|o| (*o, 0)).collect();
        // Promotion: every lease has its whole time again, and one election time-out more.
        let full = |ttl: &u64| now + ttl * 1000 * MS + election;
        self.expiry = self.kv.leases.iter().map(|(lease, ttl)| (*lease, full(ttl))).collect();
        out.push(Out::Leads(self.term));
        self.append(Rc::new(Op::Nothing), now, chance, out);
        self.replicate(others, now, out);
    }

    /// When a sync that begins now ends.
    fn sync(&mut self, now: At, chance: &mut Chance) -> At {
        let slow = if chance.permille(2) { chance.between(0, 400 * MS) } else { 0 };
        let takes = chance.between(MS / 2, 4 * MS) + slow;
        self.disk_until = self.disk_until.max(now).max(self.stalled_until) + takes;
        self.disk_until
    }

    fn append(&mut self, op: Rc<Op>, now: At, chance: &mut Chance, out: &mut Vec<Out>) -> usize {
        self.log.push(Entry { term: self.term, op });
        let at = self.sync(now, chance);
        out.push(Out::Sync(at, self.log.len(), self.generation));
        self.log.len()
    }

    fn end_leases(&mut self, now: At, chance: &mut Chance, out: &mut Vec<Out>) {
        let over: Vec<i64> = self
            .expiry
            .iter()
            .filter(|(lease, until)| **until <= now && !self.ending.contains(*lease))
            .map(|(lease, _)| *lease)
            .collect();
        for lease in over {
            self.ending.insert(lease);
            self.append(Rc::new(Op::Revoke(lease)), now, chance, out);
        }
    }

    fn replicate(&mut self, others: &[usize], now: At, out: &mut Vec<Out>) {
        // The leader sends beside its own sync, but what comes later waits for it.
        let behind = self.disk_until > now + TICK * 2;
        for to in others {
            let from = self.next.get(to).copied().unwrap_or(0).min(self.log.len());
            let entries: Vec<Entry> = self.log[from..].to_vec();
            if behind && entries.is_empty() {
                continue;
            }
            let term = if from == 0 { 0 } else { self.log[from - 1].term };
            let append = Message::Append {
                term: self.term,
                previous: (term, from),
                commit: self.commit,
                entries,
            };
            let at = if behind { self.disk_until } else { now };
            out.push(Out::Send(*to, append, at));
        }
    }

    /// Commits what a majority has on disk, and applies.
    fn advance(&mut self, majority: usize, out: &mut Vec<Out>) {
        if self.role == Role::Leader {
            let mut durable: Vec<usize> = self.matched.values().copied().collect();
            durable.push(self.durable);
            durable.sort_unstable_by(|a, b| b.cmp(a));
            let agreed = durable[majority - 1].min(self.log.len());
            if agreed > self.commit && self.log[agreed - 1].term == self.term {
                self.commit = agreed;
            }
        }
        self.apply(out);
    }

    fn apply(&mut self, out: &mut Vec<Out>) {
        let upto = self.commit.min(self.durable).min(self.log.len());
        while self.applied < upto {
            let entry = self.log[self.applied].clone();
            self.applied += 1;
            let outcome = self.kv.apply(&entry.op);
            if let Op::Revoke(lease) = &*entry.op {
                self.expiry.remove(lease);
                self.ending.remove(lease);
            }
            let number = self.applied;
            out.push(Out::Applied(number, entry));
            if let Some((term, request)) = self.pending.remove(&number)
                && term == self.log[number - 1].term
            {
                out.push(Out::Reply(request, Answer::Outcome(outcome)));
            }
        }
    }

    /// After [`Out::Applied`] of a grant on the leader: its time begins.
    pub fn granted(&mut self, lease: i64, ttl: u64, now: At) {
        if self.role == Role::Leader {
            self.expiry.insert(lease, now + ttl * 1000 * MS);
        }
    }
}
