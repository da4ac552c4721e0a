//! What a script does to a pool, and to whom.

use crate::facts::What;
use crate::kernel::{At, SEC};
use crate::net::Link;
use crate::world::{Event, Process, World};

/// To whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// These hosts.
    Hosts(Vec<usize>),
    /// Who coordinates.
    Coordinator,
    /// Whose voter leads the database.
    Leader,
    /// Who does neither.
    Member,
    /// Everybody that votes.
    Voters,
    /// Everybody.
    All,
    /// Whom the last fault was done to.
    Victim,
}

/// What.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// The power fails.
    Power,
    /// It boots.
    Boot,
    /// No message in or out; `In` and `Out`: in one direction.
    Cut(Direction),
    /// It is cut off from these only.
    CutFrom(Vec<usize>),
    /// So many messages in a thousand are lost.
    Lossy(u32),
    /// Messages take so much longer.
    Slow(At),
    /// Groups that don't hear each other.
    Split(Vec<Vec<usize>>),
    /// All links are whole again.
    Heal,
    /// The whole host stands still; its watchdog does not.
    Freeze(At),
    /// One process does.
    FreezeProcess(Process, At),
    /// The next coordinator that decides on a start stands still, with the commit in its hand.
    FreezeDeciding(At),
    /// It ends.
    Kill(Process),
    /// It starts.
    Start(Process),
    /// The voter's disk syncs nothing.
    StallDisk(At),
    /// Guests take that long to be killed.
    HangGuests(At),
}

/// In which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To it.
    In,
    /// From it.
    Out,
    /// Both.
    Both,
}

/// A line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its name, for expectations.
    pub name: String,
    /// As written.
    pub text: String,
    /// What.
    pub verb: Verb,
    /// To whom.
    pub target: Target,
}

impl World {
    /// Who that is, now.
    pub fn resolve(&self, target: &Target) -> Vec<usize> {
        let coordinator =
            (0..self.hosts.len()).find(|h| self.hosts[*h].on && self.role(*h).is_some());
        let leader = self.etcd.leader();
        match target {
            Target::Hosts(hosts) => hosts.clone(),
            Target::Coordinator => coordinator.into_iter().collect(),
            Target::Leader => leader.into_iter().collect(),
            Target::Member => (0..self.hosts.len())
                .find(|h| Some(*h) != coordinator && Some(*h) != leader && !self.hosts[*h].witness)
                .into_iter()
                .collect(),
            Target::Voters => self.etcd.voters.keys().copied().collect(),
            Target::All => (0..self.hosts.len()).collect(),
            Target::Victim => self.victims.clone(),
        }
    }

    /// The script strikes.
    pub fn strike(&mut self, fault: &Fault) {
        let hosts = self.resolve(&fault.target);
        self.note(What::Fault {
            name: fault.name.clone(),
            text: fault.text.clone(),
            hosts: hosts.clone(),
        });
        if !matches!(fault.verb, Verb::Heal | Verb::Boot | Verb::Start(_)) {
            self.victims.clone_from(&hosts);
        }
        if let Verb::Split(groups) = &fault.verb {
            self.split(groups);
            return;
        }
        if fault.verb == Verb::Heal && fault.target == Target::All {
            self.net.heal();
            return;
        }
        for host in hosts {
            self.strike_host(host, &fault.verb);
        }
    }

    fn strike_host(&mut self, host: usize, verb: &Verb) {
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        match verb {
            Verb::Power => self.down(host, "no power"),
            Verb::Boot => {
                if !self.hosts[host].on {
                    let boot = self.hosts[host].boot;
                    let takes = self.chance.between(5 * SEC, 15 * SEC);
                    self.queue.put(self.now + takes, Event::Boot(host, boot));
                }
            }
            Verb::Cut(direction) => {
                let cut = |l: &mut Link| l.cut = true;
                for other in all {
                    if *direction != Direction::Out {
                        self.net.change(other, host, cut);
                    }
                    if *direction != Direction::In {
                        self.net.change(host, other, cut);
                    }
                }
            }
            Verb::CutFrom(others) => {
                for other in others {
                    self.net.change(*other, host, |l| l.cut = true);
                    self.net.change(host, *other, |l| l.cut = true);
                }
            }
            Verb::Lossy(permille) => {
                for other in all {
                    self.net.change(other, host, |l| l.loss = *permille);
                    self.net.change(host, other, |l| l.loss = *permille);
                }
            }
            Verb::Slow(by) => {
                for other in all {
                    self.net.change(other, host, |l| l.spread = *by);
                    self.net.change(host, other, |l| l.spread = *by);
                }
            }
            Verb::Heal => self.net.heal_host(host),
            Verb::Freeze(time) => self.hosts[host].frozen_until = self.now + time,
            Verb::FreezeProcess(process, time) => {
                let until = self.now + time;
                self.hosts[host].processes[*process as usize].frozen_until = until;
            }
            Verb::Kill(process) => self.end_process(host, *process, false),
            Verb::Start(process) => {
                if self.hosts[host].on {
                    self.start_process(host, *process);
                }
            }
            Verb::StallDisk(time) => {
                let until = self.now + time;
                if let Some(voter) = self.etcd.voters.get_mut(&host) {
                    voter.stalled_until = until;
                }
            }
            Verb::HangGuests(time) => self.hosts[host].kill_takes = *time,
            Verb::FreezeDeciding(time) => self.trap = Some(*time),
            Verb::Split(_) => {}
        }
    }

    fn split(&mut self, groups: &[Vec<usize>]) {
        let group = |host: usize| groups.iter().position(|g| g.contains(&host));
        for one in 0..self.hosts.len() {
            for other in 0..self.hosts.len() {
                if group(one) != group(other) {
                    self.net.change(one, other, |l| l.cut = true);
                }
            }
        }
    }
}
