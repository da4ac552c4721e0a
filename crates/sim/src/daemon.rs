//! `holdfastd` on a simulated host, as far as high availability goes: its replica, the coordinator's role, starting and
//! publishing the VMs that are placed on it. What the coordinator does is in [`crate::coordinator`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use liveness::Moment;
use planner::ha::Tier;

use crate::etcd::{Answer, Ask};
use crate::facts::What;
use crate::kernel::{At, MS, SEC};
use crate::kv::{Guard, Key, Kv, Op, Outcome, Placement, Value, Write};
use crate::world::{Asked, Event, Process, Purpose, World, micros};

/// Its clock.
pub const TICK: At = 50 * MS;
/// Pause between small commits that show whether commits go on.
const PROBE: Duration = Duration::from_millis(300);
/// Longest wait for one of them: short, so that a voter that died with its host breaks no continuity (a gap over
/// [`liveness::profile::Profile::commit_gap`] costs a whole new wait).
const PROBE_LIMIT: At = 500 * MS;
/// Longest wait for the database.
const LIMIT: At = 2 * SEC;
/// Pause between renewals of the role.
const RENEW: Duration = Duration::from_millis(1500);

/// The role as this host holds it.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// Its lease.
    pub lease: i64,
    /// Its term.
    pub term: u64,
    /// Until then, by this host's clock.
    pub until: Moment,
    renewed: Moment,
}

/// What is in hand.
#[derive(Debug, Default)]
pub struct Daemon {
    /// Copy of the database.
    pub replica: Kv,
    probe: Option<(Moment, bool)>,
    /// When the last small commit that was made was sent.
    acknowledged: Option<Moment>,
    /// Since when they went on without a gap.
    commits_since: Option<Moment>,
    /// The role.
    pub role: Option<Role>,
    electing: bool,
    renewing: bool,
    /// Since when leases are seen gone.
    pub gone: BTreeMap<usize, Moment>,
    boots: BTreeMap<usize, u64>,
    /// Silent hosts that were told of.
    pub suspected: BTreeSet<usize>,
    /// Fences and placements that are being committed.
    pub fencing: BTreeSet<usize>,
    /// The same for VMs.
    pub placing: BTreeSet<usize>,
    /// When VMs were seen running after a restart.
    pub started: BTreeMap<usize, Moment>,
    /// When starts failed, and where.
    pub failed: BTreeMap<usize, (Moment, Vec<usize>)>,
    /// Whose turn it is, since when.
    pub turn: Option<(Tier, Moment)>,
    /// Last look at restarts.
    pub looked: Option<Moment>,
    /// VMs that are being started here.
    starting: BTreeSet<usize>,
    publishing: BTreeSet<usize>,
    registering: bool,
    boots_at: Option<Moment>,
}

impl World {
    /// Brings a replica up to that entry.
    pub fn catch_up(&mut self, host: usize, upto: usize) {
        let replica = &mut self.hosts[host].daemon.replica;
        loop {
            let next = usize::try_from(replica.revision).unwrap_or(usize::MAX);
            if next >= upto {
                return;
            }
            let Some((_, op)) = self.history.get(next) else { return };
            replica.apply(op);
        }
    }

    /// Since when commits have gone on, as this host can vouch for it; `None` while they don't.
    pub fn commits_since(&self, host: usize) -> Option<Moment> {
        let daemon = &self.hosts[host].daemon;
        let fresh = self.local(host).since(daemon.acknowledged?) <= self.setup.profile.commit_gap;
        daemon.commits_since.filter(|_| fresh)
    }

    /// The role, while it lasts.
    pub fn role(&self, host: usize) -> Option<Role> {
        let now = self.local(host);
        self.hosts[host].daemon.role.filter(|role| role.until > now)
    }

    fn commit(&mut self, host: usize, purpose: Purpose, guards: Vec<Guard>, writes: Vec<Write>) {
        let op = Op::Txn { guards, writes, claims_term: None };
        self.ask(host, Process::Daemon, purpose, Ask::Commit(op.into()), LIMIT);
    }

    /// Its clock ticks.
    pub fn daemon_tick(&mut self, host: usize) {
        let now = self.local(host);
        self.probe(host, now);
        self.register_boot(host);
        self.keep_role(host, now);
        self.look_at_leases(host, now);
        if self.role(host).is_some() {
            self.coordinate(host, now);
        }
        self.own_vms(host, now);
    }

    fn probe(&mut self, host: usize, now: Moment) {
        let daemon = &mut self.hosts[host].daemon;
        let waits = |(sent, open): (Moment, bool)| open || now.since(sent) < PROBE;
        if daemon.probe.is_some_and(waits) {
            return;
        }
        daemon.probe = Some((now, true));
        let write = Write::Put(Key::Beat(host), Value::Number(0), None);
        let op = Op::Txn { guards: vec![], writes: vec![write], claims_term: None };
        self.ask(host, Process::Daemon, Purpose::Probe, Ask::Commit(op.into()), PROBE_LIMIT);
    }

    fn register_boot(&mut self, host: usize) {
        let boot = self.hosts[host].boot;
        let daemon = &mut self.hosts[host].daemon;
        let known = daemon.replica.number(Key::Agent(host));
        if known == Some(boot) || daemon.registering || daemon.commits_since.is_none() {
            return;
        }
        daemon.registering = true;
        let write = Write::Put(Key::Agent(host), Value::Number(boot), None);
        self.commit(
            host,
            Purpose::Register,
            vec![Guard::Absent(Key::Fence(host, boot))],
            vec![write],
        );
    }

    fn keep_role(&mut self, host: usize, now: Moment) {
        let daemon = &mut self.hosts[host].daemon;
        if let Some(role) = daemon.role {
            if role.until <= now {
                daemon.role = None;
                daemon.turn = None;
                self.note(What::RoleEnds { host });
            } else if now.since(role.renewed) >= RENEW && !daemon.renewing {
                daemon.renewing = true;
                let renew = Ask::KeepAlive(role.lease);
                self.ask(host, Process::Daemon, Purpose::RoleRenew, renew, LIMIT);
            }
            return;
        }
        let boot = self.hosts[host].boot;
        let replica = &self.hosts[host].daemon.replica;
        let vacant = !replica.keys.contains_key(&Key::Coordinator);
        let void = replica.keys.contains_key(&Key::Fence(host, boot));
        if vacant
            && !void
            && !self.hosts[host].daemon.electing
            && self.commits_since(host).is_some()
        {
            let lease = self.fresh();
            let ttl = self.setup.profile.coordinator_ttl.as_secs();
            self.hosts[host].daemon.electing = true;
            let grant = Ask::Commit(Op::Grant(lease, ttl).into());
            self.ask(host, Process::Daemon, Purpose::RoleLease(lease), grant, LIMIT);
        }
    }

    fn look_at_leases(&mut self, host: usize, now: Moment) {
        for other in 0..self.hosts.len() {
            let daemon = &mut self.hosts[host].daemon;
            // What a former boot's lease left is no evidence against a boot that has yet to take its own.
            let boot = daemon.replica.number(Key::Agent(other)).unwrap_or(0);
            if daemon.boots.insert(other, boot).is_some_and(|before| before != boot) {
                daemon.gone.remove(&other);
            }
            if daemon.replica.keys.contains_key(&Key::HostLease(other)) {
                daemon.gone.remove(&other);
            } else {
                daemon.gone.entry(other).or_insert(now);
            }
        }
    }

    /// Starts what is placed here, and tells of what ended.
    fn own_vms(&mut self, host: usize, now: Moment) {
        let boot = self.hosts[host].boot;
        if self.hosts[host].daemon.replica.keys.contains_key(&Key::Fence(host, boot)) {
            // A fenced boot starts nothing; once its guests are gone, the host boots anew to be admitted again.
            let guests: Vec<usize> = self.hosts[host].guests.keys().copied().collect();
            for vm in &guests {
                self.kill(host, *vm);
            }
            if guests.is_empty() {
                let at = *self.hosts[host].daemon.boots_at.get_or_insert(now);
                if now.since(at) >= Duration::from_secs(1) {
                    self.down(host, "boots anew: its boot was fenced");
                    let boots = self.now + self.chance.between(20 * SEC, 40 * SEC);
                    self.queue.put(boots, Event::Boot(host, boot));
                }
            }
            return;
        }
        for vm in 0..self.setup.vms.len() {
            let Some(p) = self.hosts[host].daemon.replica.placement(vm) else { continue };
            let here = p.host == Some(host) && p.boot == boot;
            let guest = self.hosts[host].guests.get(&vm).copied();
            let daemon = &self.hosts[host].daemon;
            if daemon.starting.contains(&vm) || daemon.publishing.contains(&vm) {
                continue;
            }
            match (here, guest) {
                (true, None) if !p.running => self.begin(host, vm, p),
                (true, None) => self.publish(host, vm, Placement { host: None, ..p }),
                (true, Some(g)) if !p.running && g.runs && g.generation == p.generation => {
                    self.publish(host, vm, Placement { running: true, failed: 0, ..p });
                }
                (false, Some(g)) if p.generation > g.generation => self.kill(host, vm),
                _ => {}
            }
        }
    }

    fn begin(&mut self, host: usize, vm: usize, p: Placement) {
        let wanted = self.setup.vms[vm].only.clone();
        let reaches = wanted.is_empty() || wanted.contains(&host);
        if self.fails[vm] > 0 || !reaches {
            self.fails[vm] = self.fails[vm].saturating_sub(1);
            self.publish(host, vm, Placement { host: None, failed: p.failed + 1, ..p });
            return;
        }
        self.hosts[host].daemon.starting.insert(vm);
        let run = self.hosts[host].processes[2].run;
        let made = self.now + self.chance.between(100 * MS, 700 * MS);
        self.queue.put(made, Event::Created { host, run, vm, generation: p.generation });
    }

    /// QEMU is there, paused: register, read the placement again from a majority.
    pub fn created(&mut self, host: usize, vm: usize, generation: u64) {
        if !self.register(host) {
            self.hosts[host].daemon.starting.remove(&vm);
            return;
        }
        let guest = crate::world::Guest { generation, runs: false, ending: false };
        self.hosts[host].guests.insert(vm, guest);
        let boot = self.hosts[host].boot;
        let at = self.hosts[host].daemon.replica.modified(Key::Placement(vm));
        let guards = vec![Guard::At(Key::Placement(vm), at), Guard::Absent(Key::Fence(host, boot))];
        self.commit(host, Purpose::Reread { vm, generation }, guards, vec![]);
    }

    fn publish(&mut self, host: usize, vm: usize, as_now: Placement) {
        let boot = self.hosts[host].boot;
        let daemon = &mut self.hosts[host].daemon;
        daemon.publishing.insert(vm);
        let guards = vec![
            Guard::At(Key::Placement(vm), daemon.replica.modified(Key::Placement(vm))),
            Guard::Absent(Key::Fence(host, boot)),
        ];
        let write = Write::Put(Key::Placement(vm), Value::Placement(as_now), None);
        self.commit(host, Purpose::Publish(vm), guards, vec![write]);
    }

    /// The database answered, or did not in time.
    pub fn daemon_answered(&mut self, asked: &Asked, answer: Option<Answer>) {
        let host = asked.host;
        let now = self.local(host);
        let done = match answer {
            Some(Answer::Outcome(Outcome::Done(revision))) => {
                self.catch_up(host, usize::try_from(revision).unwrap_or(0));
                true
            }
            _ => false,
        };
        let boot = self.hosts[host].boot;
        let gap = self.setup.profile.commit_gap;
        let role_ttl = self.setup.profile.coordinator_ttl;
        let daemon = &mut self.hosts[host].daemon;
        match asked.purpose {
            Purpose::Probe => {
                // One that failed is repeated at once, through another voter.
                daemon.probe = done.then_some((asked.sent, false));
                if done {
                    // Both commits lie between the sending of the first and the answer to the second.
                    let whole = daemon.acknowledged.is_some_and(|sent| now.since(sent) <= gap);
                    if !whole {
                        daemon.commits_since = Some(now);
                    }
                    daemon.acknowledged = Some(asked.sent);
                }
            }
            Purpose::Register => daemon.registering = false,
            Purpose::RoleLease(lease) => {
                daemon.electing = done;
                if done {
                    let term = daemon.replica.number(Key::Term).unwrap_or(0) + 1;
                    let guards = vec![
                        Guard::Absent(Key::Coordinator),
                        Guard::At(Key::Term, daemon.replica.modified(Key::Term)),
                        Guard::Absent(Key::Fence(host, boot)),
                    ];
                    let who = Value::Coordinator(host, term);
                    let writes = vec![
                        Write::Put(Key::Coordinator, who, Some(lease)),
                        Write::Put(Key::Term, Value::Number(term), None),
                    ];
                    let purpose = Purpose::Role { lease, term, lease_sent: asked.sent };
                    self.commit(host, purpose, guards, writes);
                }
            }
            Purpose::Role { lease, term, lease_sent } => {
                daemon.electing = false;
                let until = lease_sent + role_ttl;
                if done && until > now {
                    let role = Role { lease, term, until, renewed: lease_sent };
                    daemon.role = Some(role);
                    daemon.turn = None;
                    self.note(What::Coordinates { host, term });
                }
            }
            Purpose::RoleRenew => {
                daemon.renewing = false;
                match (answer, &mut daemon.role) {
                    (Some(Answer::Renewed), Some(role)) => {
                        role.renewed = asked.sent;
                        role.until = asked.sent + role_ttl;
                    }
                    (Some(Answer::Gone), Some(_)) => {
                        daemon.role = None;
                        self.note(What::RoleEnds { host });
                    }
                    _ => {}
                }
            }
            Purpose::Fence(other) => {
                daemon.fencing.remove(&other);
            }
            Purpose::Place(vm) => {
                daemon.placing.remove(&vm);
            }
            Purpose::Publish(vm) => {
                daemon.publishing.remove(&vm);
            }
            Purpose::Reread { vm, generation } => {
                daemon.starting.remove(&vm);
                let h = &self.hosts[host];
                let there =
                    h.guests.get(&vm).is_some_and(|g| !g.ending && g.generation == generation);
                if done && there {
                    self.runs(host, vm);
                } else {
                    self.kill(host, vm);
                }
            }
            Purpose::Grant(_) | Purpose::Bind | Purpose::Renew | Purpose::Revoke => {}
        }
    }

    /// Whether this host's daemon is seen at work: it told so in the database of late.
    pub fn beats(&self, by: usize, host: usize) -> bool {
        let replica = &self.hosts[by].daemon.replica;
        let behind = replica.revision.saturating_sub(replica.modified(Key::Beat(host)));
        // Every daemon commits about three times a second.
        behind < 20 * self.setup.hosts as u64
    }

    /// Time since another host answered last, by this host's clock.
    pub fn silent(&self, by: usize, host: usize) -> Option<Duration> {
        let now = self.local(by);
        self.hosts[by].had.heard.get(&host).map(|heard| now.since(*heard))
    }

    /// The wait that a role's holder trusts, for judges.
    pub fn role_time(&self) -> At {
        micros(self.setup.profile.coordinator_ttl)
    }
}
