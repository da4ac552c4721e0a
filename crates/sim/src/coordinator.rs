//! What the coordinator does: proves that lost hosts have ended, and places their VMs, with the rules that ship.
//!
//! [`liveness::peer`] says whether a host is dead, [`planner::fence`] whether that is proof, [`planner::ha`] what starts
//! where. What is simulated is only that its commits carry its term: as a guard, and as a claim for the judge of U2.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use liveness::Moment;
use liveness::peer::{LeaseKey, PeerFacts, PeerView, dead_at, peer_view};
use planner::fence::{Facts, Lease, Proof, Settings, Watchdog, judge};
use planner::ha::{self, Check, Ended, Limits, LostOn, Priority, Run, Standing, Tries, Unproven};
use uuid::Uuid;

use crate::etcd::Ask;
use crate::facts::What;
use crate::kernel::{At, MS, SEC};
use crate::kv::{Guard, Key, Op, Placement, Value, Write};
use crate::mutants::Mutant;
use crate::world::{Event, Process, Purpose, World};

/// Longest wait for a commit.
const LIMIT: At = 2 * SEC;
/// Pause between looks at the restarts.
const LOOK: Duration = Duration::from_millis(200);
const GIB: i64 = 1 << 30;

/// Number of a host or VM as an id, and back.
fn id(kind: u128, number: usize) -> Uuid {
    Uuid::from_u128(kind << 64 | number as u128)
}

fn number(id: Uuid) -> usize {
    usize::try_from(id.as_u128() & u128::from(u64::MAX)).unwrap_or(usize::MAX)
}

impl World {
    /// One look at everything.
    pub fn coordinate(&mut self, host: usize, now: Moment) {
        self.suspect(host, now);
        self.prove(host, now);
        let daemon = &mut self.hosts[host].daemon;
        if daemon.looked.is_some_and(|at| now.since(at) < LOOK) {
            return;
        }
        daemon.looked = Some(now);
        self.restart(host, now);
    }

    fn facts_of(&self, by: usize, host: usize) -> PeerFacts {
        let daemon = &self.hosts[by].daemon;
        let lease = daemon.gone.get(&host).map_or(LeaseKey::Present, |at| LeaseKey::GoneSince(*at));
        let last_heard = self.hosts[by].had.heard.get(&host).copied();
        PeerFacts { lease, last_heard, commits_since: self.commits_since(by) }
    }

    fn suspect(&mut self, by: usize, now: Moment) {
        for host in 0..self.hosts.len() {
            let facts = self.facts_of(by, host);
            let silent = facts
                .last_heard
                .is_some_and(|heard| now.since(heard) >= self.setup.profile.suspect);
            let known = self.hosts[by].daemon.suspected.contains(&host);
            if silent && !known && host != by {
                self.hosts[by].daemon.suspected.insert(host);
                self.note(What::Suspected { host, by });
            } else if !silent && known {
                self.hosts[by].daemon.suspected.remove(&host);
            }
        }
    }

    /// Fences every boot whose end is proved: by its lease and its watchdog, or by a newer boot.
    fn prove(&mut self, by: usize, now: Moment) {
        let profile = self.setup.profile;
        for host in 0..self.hosts.len() {
            let daemon = &self.hosts[by].daemon;
            if daemon.fencing.contains(&host) || self.hosts[host].witness {
                continue;
            }
            let Some(registered) = daemon.replica.number(Key::Agent(host)) else { continue };
            let old = self.old_boot(by, host, registered);
            // Of itself a coordinator knows that its former boots have ended, and nothing else.
            if host == by && old.is_none() {
                continue;
            }
            let boot = old.unwrap_or(registered);
            if daemon.replica.keys.contains_key(&Key::Fence(host, boot)) {
                continue;
            }
            let facts = self.facts_of(by, host);
            let proof = if old.is_some() {
                Proof::NewerBoot { boot_id: registered.to_string() }
            } else {
                let waited = daemon.gone.get(&host).map(|at| now.since(*at)).unwrap_or_default();
                let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                Proof::LeaseAndWatchdog { watchdog: Watchdog::Hardware, waited_ms }
            };
            let dead = old.is_some() || peer_view(&facts, profile, now) == PeerView::Dead;
            let mistake = self.setup.mutant == Some(Mutant::UnreachableIsFenced)
                && facts.last_heard.is_some_and(|heard| now.since(heard) >= profile.suspect);
            if mistake || dead && self.is_proof(by, host, boot, registered, &proof, &facts, now) {
                self.fence(by, host, boot, old.is_some() || mistake);
            }
        }
    }

    /// A former boot of a host with which a VM is still recorded.
    fn old_boot(&self, by: usize, host: usize, registered: u64) -> Option<u64> {
        let replica = &self.hosts[by].daemon.replica;
        (0..self.setup.vms.len())
            .filter_map(|vm| replica.placement(vm))
            .filter(|p| p.host == Some(host) && p.boot < registered)
            .map(|p| p.boot)
            .find(|boot| !replica.keys.contains_key(&Key::Fence(host, *boot)))
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one judgement")]
    fn is_proof(
        &self,
        by: usize,
        host: usize,
        boot: u64,
        registered: u64,
        proof: &Proof,
        facts: &PeerFacts,
        now: Moment,
    ) -> bool {
        let profile = self.setup.profile;
        let since = self.hosts[by].daemon.gone.get(&host).map(|at| now.since(*at));
        let (boot, registered) = (boot.to_string(), registered.to_string());
        let continuous = dead_at(facts, profile).is_some_and(|at| now >= at);
        let facts = Facts {
            quorum: facts.commits_since.is_some(),
            boot: &boot,
            registered_boot: Some(&registered),
            lease: Lease::Gone { since: since.unwrap_or_default() },
            silent: self.silent(by, host),
            silent_from: profile.suspect,
            commits_continuous: continuous,
        };
        let bound = profile.inequality(profile.watchdog).stopped_by();
        let settings = Settings {
            software_watchdog_accepted: false,
            watchdog_bound: bound.saturating_sub(profile.lease_ttl).max(profile.grace),
            grace: profile.grace,
        };
        judge(proof, &facts, &format!("h{}", host + 1), "", &settings).is_ok()
    }

    fn guarded(&self, by: usize, mut guards: Vec<Guard>, writes: Vec<Write>) -> Option<Op> {
        let role = self.role(by)?;
        let daemon = &self.hosts[by].daemon;
        if daemon.replica.number(Key::Term) != Some(role.term) {
            return None;
        }
        guards.push(Guard::At(Key::Term, daemon.replica.modified(Key::Term)));
        guards.push(Guard::Absent(Key::Fence(by, self.hosts[by].boot)));
        Some(Op::Txn { guards, writes, claims_term: Some(role.term) })
    }

    fn fence(&mut self, by: usize, host: usize, boot: u64, lease_may_be: bool) {
        let replica = &self.hosts[by].daemon.replica;
        let mut guards = vec![
            Guard::Absent(Key::Fence(host, boot)),
            Guard::At(Key::Agent(host), replica.modified(Key::Agent(host))),
        ];
        if !lease_may_be {
            guards.push(Guard::Absent(Key::HostLease(host)));
        }
        let write = Write::Put(Key::Fence(host, boot), Value::Number(boot), None);
        if let Some(op) = self.guarded(by, guards, vec![write]) {
            self.hosts[by].daemon.fencing.insert(host);
            self.decided(by, Purpose::Fence(host), op);
        }
    }

    /// Draws the pool as its records have it and places what is to be started.
    fn restart(&mut self, by: usize, now: Moment) {
        let pool = self.draw(by, now);
        let turn = self.hosts[by].daemon.turn.map(|(tier, since)| (tier, now.since(since)));
        let plan = ha::restarts(&pool, &Limits::default(), turn);
        let daemon = &mut self.hosts[by].daemon;
        if daemon.turn.map(|(tier, _)| tier) != plan.tier {
            daemon.turn = plan.tier.map(|tier| (tier, now));
        }
        for start in plan.starts {
            self.place(by, number(start.vm), number(start.host));
        }
    }

    fn place(&mut self, by: usize, vm: usize, host: usize) {
        let daemon = &self.hosts[by].daemon;
        if daemon.placing.contains(&vm) {
            return;
        }
        let Some(term) = self.role(by).map(|r| r.term) else { return };
        let Some(before) = daemon.replica.placement(vm) else { return };
        let Some(boot) = daemon.replica.number(Key::Agent(host)) else { return };
        let after = Placement {
            host: Some(host),
            boot,
            generation: before.generation + 1,
            running: false,
            failed: before.failed,
            term,
        };
        let guards = vec![
            Guard::At(Key::Placement(vm), daemon.replica.modified(Key::Placement(vm))),
            Guard::At(Key::Agent(host), daemon.replica.modified(Key::Agent(host))),
            Guard::Exists(Key::HostLease(host)),
            Guard::Absent(Key::Fence(host, boot)),
        ];
        let writes = vec![Write::Put(Key::Placement(vm), Value::Placement(after), None)];
        let op = if self.setup.mutant == Some(Mutant::StartIgnoresEpoch) {
            Some(Op::Txn { guards: vec![], writes, claims_term: Some(term) })
        } else {
            self.guarded(by, guards, writes)
        };
        if let Some(op) = op {
            self.hosts[by].daemon.placing.insert(vm);
            self.decided(by, Purpose::Place(vm), op);
        }
    }

    /// Between a decision and its commit a process may stand still for any time: guards have to bear that.
    fn decided(&mut self, by: usize, purpose: Purpose, op: Op) {
        let run = self.hosts[by].processes[Process::Daemon as usize].run;
        let at = self.now + self.chance.between(0, 20 * MS);
        self.queue.put(at, Event::Decided { host: by, run, purpose, op: op.into() });
        if matches!(purpose, Purpose::Place(_))
            && let Some(time) = self.trap.take()
        {
            self.note(What::Fault {
                name: "trap".to_owned(),
                text: format!("its daemon stands still with a start decided, for {} ms", time / MS),
                hosts: vec![by],
            });
            self.hosts[by].processes[Process::Daemon as usize].frozen_until = self.now + time;
        }
    }

    /// The commit goes out.
    pub fn send_decided(&mut self, host: usize, purpose: Purpose, op: Rc<Op>) {
        self.ask(host, Process::Daemon, purpose, Ask::Commit(op), LIMIT);
    }

    fn draw(&mut self, by: usize, now: Moment) -> ha::Pool {
        let mut pool = ha::Pool::default();
        let mut serving = BTreeSet::new();
        for host in (0..self.hosts.len()).filter(|h| !self.hosts[*h].witness) {
            let replica = &self.hosts[by].daemon.replica;
            let boot = replica.number(Key::Agent(host)).unwrap_or(0);
            let fenced = replica.keys.contains_key(&Key::Fence(host, boot));
            let leased = replica.number(Key::HostLease(host)) == Some(boot);
            let heard =
                host == by || self.silent(by, host).is_some_and(|s| s < self.setup.profile.suspect);
            let standing = match (leased && !fenced, heard && self.beats(by, host)) {
                (false, _) => Standing::Gone,
                (true, false) => Standing::Disabled,
                (true, true) => Standing::Serving,
            };
            if standing != Standing::Gone {
                serving.insert((host, boot));
            }
            pool.hosts.push(ha::Host {
                host: id(1, host),
                label: format!("h{}", host + 1),
                standing,
                memory: self.setup.memory * GIB,
                cpus: 64,
                srs: self.repositories(host),
                networks: vec![],
            });
        }
        for vm in 0..self.setup.vms.len() {
            let drawn = self.draw_vm(by, vm, &serving, now);
            pool.vms.push(drawn);
        }
        pool
    }

    /// A repository of its own for each VM that only some hosts reach.
    fn repositories(&self, host: usize) -> Vec<Uuid> {
        let reaches = |only: &[usize]| only.is_empty() || only.contains(&host);
        let vms = self.setup.vms.iter().enumerate();
        vms.filter(|(_, v)| reaches(&v.only)).map(|(n, _)| id(3, n)).collect()
    }

    fn draw_vm(
        &mut self,
        by: usize,
        vm: usize,
        serving: &BTreeSet<(usize, u64)>,
        now: Moment,
    ) -> ha::Vm {
        let setup = self.setup.vms[vm].clone();
        let daemon = &mut self.hosts[by].daemon;
        let placed = daemon.replica.placement(vm);
        let memory = setup.memory * GIB;
        let mut tries = Tries::default();
        let run = match placed {
            None => Run::Off,
            Some(Placement { host: None, failed, .. }) => {
                daemon.started.remove(&vm);
                tries.failed = failed;
                let (at, on) = daemon.failed.entry(vm).or_insert((now, Vec::new()));
                if on.len() < failed as usize {
                    *at = now;
                    on.resize(failed as usize, usize::MAX);
                }
                tries.last_failed = (failed > 0).then(|| now.since(*at));
                Run::Down(Ended::seen("its host saw it end"))
            }
            Some(p) => {
                let host = p.host.unwrap_or(0);
                tries.failed = p.failed;
                if serving.contains(&(host, p.boot)) {
                    tries.starting = !p.running;
                    if p.running && p.generation > 1 {
                        let since = daemon.started.entry(vm).or_insert(now);
                        tries.started = Some(now.since(*since));
                    }
                    Run::On { host: id(1, host), memory }
                } else {
                    daemon.started.remove(&vm);
                    let fenced = daemon.replica.keys.contains_key(&Key::Fence(host, p.boot));
                    let evidence = if fenced {
                        Ok(Proof::LeaseAndWatchdog { watchdog: Watchdog::Hardware, waited_ms: 0 })
                    } else {
                        Err(Unproven { missing: "not proved".to_owned(), until: None })
                    };
                    Run::Lost(vec![LostOn {
                        host: id(1, host),
                        label: format!("h{}", host + 1),
                        boot: p.boot.to_string(),
                        evidence,
                    }])
                }
            }
        };
        tries.check = Check::None;
        ha::Vm {
            vm: id(2, vm),
            label: format!("v{}", vm + 1),
            priority: if placed.is_some() { setup.priority } else { Priority::None },
            order: setup.order,
            start_delay: Duration::from_secs(setup.delay),
            shutdown_delay: Duration::ZERO,
            memory,
            memory_min: memory,
            vcpus: 1,
            srs: vec![id(3, vm)],
            networks: vec![],
            affinity: Some(id(1, setup.home)),
            run,
            tries,
        }
    }
}
