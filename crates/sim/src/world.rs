//! One simulated pool: hosts with their processes, clocks, watchdogs and guests, and the loop that lets time pass.
//!
//! ```text
//!  queue ─► event ─► whose process? frozen: later; another boot or run of it: dropped
//!                      ├─ voter   (etcd.rs)      ├─ had (had.rs)      ├─ daemon (daemon.rs)
//!                      └─ machine: watchdog, boot, a guest's end, the script's next fault (faults.rs)
//! ```
//! What is modelled is the machine, the network and etcd; what is decided is decided by the crates that ship: the lease by
//! [`liveness::lease`], peers by [`liveness::peer`], fences by [`planner::fence`], restarts by [`planner::ha`]. Judges look at
//! each change of a running guest and at each commit (U1, U2, U3); the rest is judged from the facts at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use liveness::Moment;
use liveness::profile::{Profile, STANDARD};
use liveness::quorum::Told;
use planner::ha::Priority;

use crate::daemon::Daemon;
use crate::etcd::{Answer, Ask, Etcd, Message, Out, Request, TICK};
use crate::facts::{Fact, What};
use crate::faults::Fault;
use crate::had::Had;
use crate::kernel::{At, Chance, MS, Queue, SEC};
use crate::kv::{Key, Kv, Op, Placement, Value, Write};
use crate::mutants::Mutant;
use crate::net::Net;

/// A VM of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmSetup {
    /// Where it runs at first.
    pub home: usize,
    /// GiB.
    pub memory: i64,
    /// XenAPI's `ha_restart_priority`.
    pub priority: Priority,
    /// XenAPI's `order`.
    pub order: i64,
    /// XenAPI's `start_delay`, seconds.
    pub delay: u64,
    /// Hosts that reach its disks; empty: all.
    pub only: Vec<usize>,
    /// So many starts fail at first.
    pub fails: u32,
}

impl Default for VmSetup {
    /// Protected, 4 GiB, reached by every host.
    fn default() -> Self {
        Self {
            home: 0,
            memory: 4,
            priority: Priority::Restart,
            order: 0,
            delay: 0,
            only: vec![],
            fails: 0,
        }
    }
}

/// A pool.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Hosts, the witness included.
    pub hosts: usize,
    /// The last host only votes.
    pub witness: bool,
    /// How many hosts vote, from the first on; the witness always does.
    pub voters: usize,
    /// GiB for VMs on each host.
    pub memory: i64,
    /// The VMs.
    pub vms: Vec<VmSetup>,
    /// Timing.
    pub profile: &'static Profile,
    /// A mistake to make.
    pub mutant: Option<Mutant>,
}

/// One of a host's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The voter.
    Etcd = 0,
    /// `holdfast-had`.
    Had = 1,
    /// `holdfastd`.
    Daemon = 2,
}

/// How a process is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Running {
    /// It exists.
    pub up: bool,
    /// Which run of it.
    pub run: u64,
    /// It does nothing before then.
    pub frozen_until: At,
}

/// A guest on a host, known to its `had`.
#[derive(Debug, Clone, Copy)]
pub struct Guest {
    /// Of its placement.
    pub generation: u64,
    /// Its processors run.
    pub runs: bool,
    /// It was killed and ends then.
    pub ending: bool,
}

/// A machine.
#[derive(Debug)]
pub struct Host {
    /// It has power and has booted.
    pub on: bool,
    /// Boots so far.
    pub boot: u64,
    /// When this one began.
    pub boot_at: At,
    /// Its clock runs so much fast, parts per million.
    pub ppm: i64,
    /// It only votes.
    pub witness: bool,
    /// Everything on it stands still until then; its watchdog does not.
    pub frozen_until: At,
    /// Its processes.
    pub processes: [Running; 3],
    /// When the watchdog bites.
    pub bites_at: At,
    /// By VM.
    pub guests: BTreeMap<usize, Guest>,
    /// A guest that is killed takes so long to end.
    pub kill_takes: At,
    /// `had`.
    pub had: Had,
    /// The daemon.
    pub daemon: Daemon,
    /// Through which voter it asks, by process.
    pub endpoint: [usize; 3],
}

/// Who asked, and what it wants to know.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Host.
    pub host: usize,
    /// Process.
    pub process: Process,
    /// Run of it.
    pub run: u64,
    /// When, by the host's clock.
    pub sent: Moment,
    /// For what.
    pub purpose: Purpose,
}

/// Why something was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `had`'s machine wants a lease with this number.
    Grant(i64),
    /// Write the key.
    Bind,
    /// Renew.
    Renew,
    /// Give back.
    Revoke,
    /// Do commits go on?
    Probe,
    /// Tell of this boot.
    Register,
    /// A lease for the role.
    RoleLease(i64),
    /// The role itself.
    Role { lease: i64, term: u64, lease_sent: Moment },
    /// Renew the role.
    RoleRenew,
    /// Write a fence.
    Fence(usize),
    /// Place a VM.
    Place(usize),
    /// Read a placement again.
    Reread { vm: usize, generation: u64 },
    /// Publish that a VM runs, or that it ended.
    Publish(usize),
}

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// A voter's clock.
    VoterTick(usize, u64),
    /// Between voters.
    VoterMessage { to: usize, from: usize, run: u64, message: Message },
    /// A message leaves its sender.
    VoterSend { to: usize, from: usize, run: u64, message: Message },
    /// A voter's sync ended.
    Synced { voter: usize, run: u64, length: usize, generation: u64 },
    /// A request reaches a voter.
    Request(usize, Request),
    /// An answer reaches its host.
    Answer(usize, u64, Answer),
    /// It did not.
    NoAnswer(u64),
    /// A daemon's replica may go so far.
    Watch(usize, u64, usize),
    /// `had`'s clock.
    HadTick(usize, u64),
    /// Another host's `had` asks.
    HadAsk { to: usize, from: usize, sent: Moment, run: u64 },
    /// It answers, and tells of the voter beside it if it looked at it.
    HadTold { to: usize, from: usize, sent: Moment, run: u64, told: Option<Told> },
    /// The daemon's clock.
    DaemonTick(usize, u64),
    /// A coordinator's decision is committed.
    Decided { host: usize, run: u64, purpose: Purpose, op: Rc<Op> },
    /// QEMU was made, paused.
    Created { host: usize, run: u64, vm: usize, generation: u64 },
    /// A killed guest ends.
    GuestEnds { host: usize, boot: u64, vm: usize },
    /// The watchdog looks.
    Watchdog(usize, u64),
    /// The machine is down.
    Reset(usize, u64),
    /// Power and boot.
    Boot(usize, u64),
    /// The script's.
    Fault(Box<Fault>),
}

/// The pool and its time.
#[derive(Debug)]
pub struct World {
    /// What it was made from.
    pub setup: Setup,
    /// True time.
    pub now: At,
    /// Chance.
    pub chance: Chance,
    /// What comes.
    pub queue: Queue<Event>,
    /// Network.
    pub net: Net,
    /// Database.
    pub etcd: Etcd,
    /// Machines.
    pub hosts: Vec<Host>,
    /// What happened.
    pub facts: Vec<Fact>,
    /// Committed entries, and the term of each: what every voter must agree on.
    pub history: Vec<(u64, Rc<Op>)>,
    /// The state after all of them.
    pub truth: Kv,
    /// Requests under way.
    pub asked: BTreeMap<u64, Asked>,
    next_number: u64,
    /// Where each VM runs, by true time: more than one breaks U1.
    pub running: Vec<BTreeSet<usize>>,
    /// Starts that are still to fail.
    pub fails: Vec<u32>,
    /// The next coordinator that decides on a start stands still for so long before it commits that.
    pub trap: Option<At>,
    /// What the last fault was done to.
    pub victims: Vec<usize>,
    /// Events so far.
    pub events: u64,
}

impl World {
    /// A pool from a seed, its hosts booted and its VMs about to start at their homes.
    pub fn new(setup: Setup, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let n = setup.hosts;
        let mut voters: Vec<usize> = (0..setup.voters.min(n)).collect();
        if setup.witness && !voters.contains(&(n - 1)) {
            voters.push(n - 1);
        }
        let election = micros(setup.profile.election);
        let mut etcd = Etcd::new(&voters, election, &mut chance);
        let mut writes = vec![Write::Put(Key::Term, Value::Number(0), None)];
        for (vm, of) in setup.vms.iter().enumerate() {
            let placement = Placement {
                host: Some(of.home),
                boot: 1,
                generation: 1,
                running: false,
                failed: 0,
                term: 0,
            };
            writes.push(Write::Put(Key::Placement(vm), Value::Placement(placement), None));
        }
        for host in 0..n {
            writes.push(Write::Put(Key::Agent(host), Value::Number(1), None));
        }
        let founding = Rc::new(Op::Txn { guards: vec![], writes, claims_term: None });
        etcd.found(&founding);
        let mut truth = Kv::default();
        truth.apply(&founding);
        let mut hosts = Vec::new();
        for at in 0..n {
            let ppm = i64::try_from(chance.between(0, 1000)).unwrap_or(0) - 500;
            hosts.push(Host {
                on: false,
                boot: 0,
                boot_at: 0,
                ppm,
                witness: setup.witness && at == n - 1,
                frozen_until: 0,
                processes: [Running::default(); 3],
                bites_at: 0,
                guests: BTreeMap::new(),
                kill_takes: chance.between(10 * MS, 300 * MS),
                had: Had::default(),
                daemon: Daemon::default(),
                endpoint: [at; 3],
            });
        }
        let mut world = Self {
            now: 0,
            net: Net::new(n),
            queue: Queue::default(),
            etcd,
            hosts,
            facts: Vec::new(),
            history: vec![(0, founding)],
            truth,
            asked: BTreeMap::new(),
            next_number: 1,
            running: vec![BTreeSet::new(); setup.vms.len()],
            fails: setup.vms.iter().map(|v| v.fails).collect(),
            trap: None,
            victims: Vec::new(),
            events: 0,
            chance,
            setup,
        };
        for host in 0..n {
            world.boot(host);
        }
        world
    }

    /// Lets time pass until then.
    pub fn run_until(&mut self, until: At) {
        while let Some((at, event)) = self.queue.take() {
            if at > until {
                self.queue.put(at, event);
                break;
            }
            self.now = self.now.max(at);
            self.events += 1;
            self.happen(event);
        }
        self.now = until;
    }

    /// Notes a fact.
    pub fn note(&mut self, what: What) {
        self.facts.push(Fact { at: self.now, what });
    }

    /// A judge found a law broken.
    pub fn broken(&mut self, law: &'static str, text: String) {
        self.note(What::Broken { law, text });
    }

    /// What a host's boot clock says.
    pub fn local(&self, host: usize) -> Moment {
        let h = &self.hosts[host];
        let passed = i64::try_from(self.now.saturating_sub(h.boot_at)).unwrap_or(i64::MAX / 2);
        let drifted = passed + passed / 1_000_000 * h.ppm;
        // A boot that is an hour old, so that nothing rests on a clock near zero.
        let since = 3_600 * SEC + u64::try_from(drifted).unwrap_or(0);
        Moment::since_boot(Duration::from_micros(since))
    }

    /// How long a host's clock takes, in true time.
    pub fn lasts(&self, host: usize, duration: Duration) -> At {
        let length = i64::try_from(micros(duration)).unwrap_or(i64::MAX / 2);
        u64::try_from(length - length / 1_000_000 * self.hosts[host].ppm).unwrap_or(0)
    }

    /// Whether that run of a process goes on, and since when it may act.
    fn blocked(&self, host: usize, process: Process) -> Option<At> {
        let h = &self.hosts[host];
        let until = h.frozen_until.max(h.processes[process as usize].frozen_until);
        (until > self.now).then_some(until)
    }

    fn lives(&self, host: usize, process: Process, run: u64) -> bool {
        let h = &self.hosts[host];
        let p = h.processes[process as usize];
        h.on && p.up && p.run == run
    }

    /// Puts an event off while its process is frozen. `None`: it may happen now.
    fn later(&mut self, host: usize, process: Process, event: &Event) -> bool {
        match self.blocked(host, process) {
            Some(until) => {
                self.queue.put(until, event.clone());
                true
            }
            None => false,
        }
    }

    fn happen(&mut self, event: Event) {
        match event.clone() {
            Event::VoterTick(host, run) => {
                if !self.lives(host, Process::Etcd, run) || self.later(host, Process::Etcd, &event)
                {
                    return;
                }
                self.queue.put(self.now + TICK, event);
                let out = self.etcd.tick(host, self.now, &mut self.chance);
                self.voter_wants(host, out);
            }
            Event::VoterSend { to, from, run, message } => {
                if !self.lives(from, Process::Etcd, run) || self.later(from, Process::Etcd, &event)
                {
                    return;
                }
                let run = self.hosts[to].processes[0].run;
                if let Some(at) = self.net.streams(self.now, from, to, &mut self.chance) {
                    self.queue.put(at, Event::VoterMessage { to, from, run, message });
                }
            }
            Event::VoterMessage { to, from, run, message } => {
                if !self.lives(to, Process::Etcd, run) || self.later(to, Process::Etcd, &event) {
                    return;
                }
                let out = self.etcd.message(to, from, message, self.now, &mut self.chance);
                self.voter_wants(to, out);
            }
            Event::Synced { voter, run, length, generation } => {
                if !self.lives(voter, Process::Etcd, run)
                    || self.later(voter, Process::Etcd, &event)
                {
                    return;
                }
                let out = self.etcd.synced(voter, length, generation);
                self.voter_wants(voter, out);
            }
            Event::Request(voter, request) => {
                let up = self.hosts[voter].on && self.hosts[voter].processes[0].up;
                if !up || self.later(voter, Process::Etcd, &event) {
                    return;
                }
                let out = self.etcd.request(voter, request, self.now, &mut self.chance);
                self.voter_wants(voter, out);
            }
            Event::Answer(host, number, answer) => {
                let Some(asked) = self.asked.get(&number) else { return };
                let process = asked.process;
                if self.later(host, process, &event) {
                    return;
                }
                let Some(asked) = self.asked.remove(&number) else { return };
                self.answered(asked, Some(answer));
            }
            Event::NoAnswer(number) => {
                let Some(asked) = self.asked.get(&number) else { return };
                let (host, process) = (asked.host, asked.process);
                if self.later(host, process, &event) {
                    return;
                }
                let Some(asked) = self.asked.remove(&number) else { return };
                self.answered(asked, None);
            }
            Event::Watch(host, run, upto) => {
                if self.lives(host, Process::Daemon, run)
                    && !self.later(host, Process::Daemon, &event)
                {
                    self.catch_up(host, upto);
                }
            }
            Event::HadTick(host, run) => {
                if self.lives(host, Process::Had, run) && !self.later(host, Process::Had, &event) {
                    self.queue.put(self.now + crate::had::TICK, event);
                    self.had_tick(host);
                }
            }
            Event::HadAsk { to, .. } | Event::HadTold { to, .. } => {
                let h = &self.hosts[to];
                if h.on && h.processes[1].up && !self.later(to, Process::Had, &event) {
                    self.had_message(event);
                }
            }
            Event::DaemonTick(host, run) => {
                if self.lives(host, Process::Daemon, run)
                    && !self.later(host, Process::Daemon, &event)
                {
                    self.queue.put(self.now + crate::daemon::TICK, event);
                    self.daemon_tick(host);
                }
            }
            Event::Decided { host, run, purpose, op } => {
                if self.lives(host, Process::Daemon, run)
                    && !self.later(host, Process::Daemon, &event)
                {
                    self.send_decided(host, purpose, op);
                }
            }
            Event::Created { host, run, vm, generation } => {
                if self.lives(host, Process::Daemon, run)
                    && !self.later(host, Process::Daemon, &event)
                {
                    self.created(host, vm, generation);
                }
            }
            Event::GuestEnds { host, boot, vm } => {
                if self.hosts[host].boot == boot {
                    let frozen = self.hosts[host].frozen_until;
                    if frozen > self.now {
                        self.queue.put(frozen, event);
                    } else {
                        self.guest_ended(host, vm, "killed");
                    }
                }
            }
            Event::Watchdog(host, boot) => {
                let h = &self.hosts[host];
                let bites =
                    h.on && h.boot == boot && h.bites_at <= self.now && !h.guests.is_empty();
                if bites {
                    let latency = self.chance.between(0, micros(self.setup.profile.reset_latency));
                    self.hosts[host].bites_at = At::MAX;
                    self.queue.put(self.now + latency, Event::Reset(host, boot));
                }
            }
            Event::Reset(host, boot) => {
                if self.hosts[host].on && self.hosts[host].boot == boot {
                    self.down(host, "reset by its watchdog");
                    let boots = self.now + self.chance.between(20 * SEC, 40 * SEC);
                    self.queue.put(boots, Event::Boot(host, boot));
                }
            }
            Event::Boot(host, boot) => {
                if !self.hosts[host].on && self.hosts[host].boot == boot {
                    self.boot(host);
                }
            }
            Event::Fault(fault) => self.strike(&fault),
        }
    }

    fn voter_wants(&mut self, host: usize, out: Vec<Out>) {
        let run = self.hosts[host].processes[0].run;
        for one in out {
            match one {
                Out::Send(to, message, at) => {
                    let send = Event::VoterSend { to, from: host, run, message };
                    self.queue.put(at.max(self.now), send);
                }
                Out::Forward(to, request) => {
                    if let Some(at) = self.net.streams(self.now, host, to, &mut self.chance) {
                        self.queue.put(at, Event::Request(to, request));
                    }
                }
                Out::Reply(request, answer) => {
                    let through = request.through;
                    let (to, number) = request.from;
                    let hop = self.net.streams(self.now, host, through, &mut self.chance);
                    let last =
                        hop.and_then(|at| self.net.streams(at, through, to, &mut self.chance));
                    if let Some(at) = last {
                        self.queue.put(at, Event::Answer(to, number, answer));
                    }
                }
                Out::Applied(number, entry) => {
                    if let Op::Grant(lease, ttl) = &*entry.op
                        && let Some(voter) = self.etcd.voters.get_mut(&host)
                    {
                        voter.granted(*lease, *ttl, self.now);
                    }
                    self.judge_commit(number, entry.term, &entry.op);
                    self.tell_watchers(host, number);
                }
                Out::Sync(at, length, generation) => {
                    let synced = Event::Synced { voter: host, run, length, generation };
                    self.queue.put(at, synced);
                }
                Out::Leads(term) => self.note(What::Leads { host, term }),
            }
        }
    }

    fn tell_watchers(&mut self, voter: usize, number: usize) {
        for to in 0..self.hosts.len() {
            let h = &self.hosts[to];
            if h.endpoint[2] == voter && h.on && !h.witness {
                let run = h.processes[2].run;
                if let Some(at) = self.net.streams(self.now, voter, to, &mut self.chance) {
                    self.queue.put(at, Event::Watch(to, run, number));
                }
            }
        }
    }

    /// Every voter must apply the same entries in the same order (U3), and no one who coordinates no longer may write (U2).
    fn judge_commit(&mut self, number: usize, term: u64, op: &Rc<Op>) {
        if let Some((known, same)) = self.history.get(number - 1) {
            if *known != term || same != op {
                self.broken("U3", format!("entry {number} was committed twice, differently"));
            }
            return;
        }
        self.history.push((term, Rc::clone(op)));
        let before = self.truth.number(Key::Term).unwrap_or(0);
        let outcome = self.truth.apply(op);
        let Op::Txn { writes, claims_term, .. } = &**op else { return };
        if !matches!(outcome, crate::kv::Outcome::Done(_)) {
            return;
        }
        if let Some(claimed) = claims_term
            && *claimed != before
            && !writes.iter().any(|w| matches!(w, Write::Put(Key::Term, ..)))
        {
            self.broken("U2", format!("a write of term {claimed} was accepted in term {before}"));
        }
        for write in writes {
            match write {
                Write::Put(Key::Fence(host, boot), ..) => {
                    self.note(What::Fenced { host: *host, boot: *boot });
                }
                Write::Put(Key::Placement(vm), Value::Placement(p), _) => {
                    if let (Some(host), false) = (p.host, p.running) {
                        self.note(What::Placed { vm: *vm, host, term: p.term });
                    }
                }
                _ => {}
            }
        }
    }

    /// Asks a voter something, with a limit.
    pub fn ask(&mut self, host: usize, process: Process, purpose: Purpose, what: Ask, limit: At) {
        let number = self.next_number;
        self.next_number += 1;
        let h = &self.hosts[host];
        let voters: Vec<usize> = self.etcd.voters.keys().copied().collect();
        // The voter beside it, while that one knows a leader: another one may die with its host.
        let beside = h.processes[0].up && h.processes[0].frozen_until <= self.now;
        let wanted =
            if beside && self.etcd.has_leader(host) { host } else { h.endpoint[process as usize] };
        let through = if voters.contains(&wanted) { wanted } else { voters[wanted % voters.len()] };
        let run = h.processes[process as usize].run;
        let asked = Asked { host, process, run, sent: self.local(host), purpose };
        self.hosts[host].endpoint[process as usize] = through;
        self.asked.insert(number, asked);
        self.queue.put(self.now + limit, Event::NoAnswer(number));
        let request = Request { from: (host, number), through, what, forwarded: false };
        if let Some(at) = self.net.streams(self.now, host, through, &mut self.chance) {
            let up = self.hosts[through].on && self.hosts[through].processes[0].up;
            if up {
                self.queue.put(at, Event::Request(through, request));
            } else if self.hosts[through].on {
                // Its kernel refuses the connection.
                self.queue.put(at, Event::Answer(host, number, Answer::NoLeader));
            }
        }
    }

    /// A number that nobody else has.
    pub fn fresh(&mut self) -> i64 {
        self.next_number += 1;
        i64::try_from(self.next_number).unwrap_or(i64::MAX)
    }

    fn answered(&mut self, asked: Asked, answer: Option<Answer>) {
        let host = asked.host;
        if !self.lives(host, asked.process, asked.run) {
            return;
        }
        if matches!(answer, None | Some(Answer::NoLeader)) {
            let voters: Vec<usize> = self.etcd.voters.keys().copied().collect();
            let used = self.hosts[host].endpoint[asked.process as usize];
            let at = voters.iter().position(|v| *v == used).unwrap_or(0);
            self.hosts[host].endpoint[asked.process as usize] = voters[(at + 1) % voters.len()];
        }
        match asked.process {
            Process::Had => self.had_answered(&asked, answer),
            Process::Daemon => self.daemon_answered(&asked, answer),
            Process::Etcd => {}
        }
    }

    // ---- machines ----

    /// Power is on: processes start.
    pub fn boot(&mut self, host: usize) {
        let h = &mut self.hosts[host];
        h.on = true;
        h.boot += 1;
        h.boot_at = self.now;
        h.frozen_until = 0;
        h.bites_at = At::MAX;
        h.guests.clear();
        self.note(What::Boots { host });
        for process in [Process::Etcd, Process::Had, Process::Daemon] {
            self.hosts[host].processes[process as usize].up = false;
            self.start_process(host, process);
        }
    }

    /// A process starts, if it does not run.
    pub fn start_process(&mut self, host: usize, process: Process) {
        let witness = self.hosts[host].witness;
        let p = &mut self.hosts[host].processes[process as usize];
        if p.up || witness && process == Process::Daemon {
            return;
        }
        p.up = true;
        p.run += 1;
        p.frozen_until = 0;
        let run = p.run;
        let soon = self.now + self.chance.between(MS, TICK);
        match process {
            Process::Etcd => {
                self.etcd.start(host, self.now, &mut self.chance);
                self.queue.put(soon, Event::VoterTick(host, run));
            }
            Process::Had => {
                self.had_started(host);
                self.queue.put(soon, Event::HadTick(host, run));
            }
            Process::Daemon => {
                self.hosts[host].daemon = Daemon::default();
                self.queue.put(soon, Event::DaemonTick(host, run));
            }
        }
    }

    /// A process ends.
    pub fn end_process(&mut self, host: usize, process: Process, power: bool) {
        self.hosts[host].processes[process as usize].up = false;
        match process {
            Process::Etcd => self.etcd.stop(host, power),
            Process::Had => {}
            Process::Daemon => {
                if self.hosts[host].daemon.role.is_some() {
                    self.note(What::RoleEnds { host });
                }
            }
        }
    }

    /// The machine goes down at once.
    pub fn down(&mut self, host: usize, why: &'static str) {
        if !self.hosts[host].on {
            return;
        }
        self.note(What::Down { host, why });
        let guests: Vec<usize> = self.hosts[host].guests.keys().copied().collect();
        for vm in guests {
            self.guest_ended(host, vm, why);
        }
        for process in [Process::Etcd, Process::Had, Process::Daemon] {
            self.end_process(host, process, true);
        }
        self.hosts[host].on = false;
    }

    /// Pets the watchdog.
    pub fn pet(&mut self, host: usize) {
        let at = self.now + self.lasts(host, self.setup.profile.watchdog);
        let boot = self.hosts[host].boot;
        self.hosts[host].bites_at = at;
        self.queue.put(at, Event::Watchdog(host, boot));
    }

    /// Kills a guest; it takes a moment.
    pub fn kill(&mut self, host: usize, vm: usize) {
        let (boot, takes) = (self.hosts[host].boot, self.hosts[host].kill_takes);
        if let Some(guest) = self.hosts[host].guests.get_mut(&vm)
            && !guest.ending
        {
            guest.ending = true;
            self.queue.put(self.now + takes, Event::GuestEnds { host, boot, vm });
        }
    }

    fn guest_ended(&mut self, host: usize, vm: usize, why: &'static str) {
        if let Some(guest) = self.hosts[host].guests.remove(&vm)
            && guest.runs
        {
            self.running[vm].remove(&host);
            self.note(What::Ended { vm, host, why });
        }
    }

    /// A guest's processors run: what U1 is about.
    pub fn runs(&mut self, host: usize, vm: usize) {
        if let Some(guest) = self.hosts[host].guests.get_mut(&vm) {
            guest.runs = true;
            self.running[vm].insert(host);
            self.note(What::Runs { vm, host });
            if self.running[vm].len() > 1 {
                let on: Vec<String> =
                    self.running[vm].iter().map(|h| format!("h{}", h + 1)).collect();
                self.broken("U1", format!("v{} runs on {}", vm + 1, on.join(" and ")));
            }
        }
    }

    /// The first broken law, in words.
    pub fn verdict(&self) -> Option<(&'static str, &str)> {
        self.facts.iter().find_map(|f| match &f.what {
            What::Broken { law, text } => Some((*law, text.as_str())),
            _ => None,
        })
    }
}

/// As microseconds.
pub fn micros(duration: Duration) -> At {
    At::try_from(duration.as_micros()).unwrap_or(At::MAX)
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            hosts: 3,
            witness: false,
            voters: 3,
            memory: 64,
            vms: Vec::new(),
            profile: &STANDARD,
            mutant: None,
        }
    }
}
