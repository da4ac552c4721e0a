//! Chance: a pool and a script of faults from one seed, and what the judges say.
//!
//! Faults come where they hurt: at random, and at the timing budget's edges, a millisecond before, at and after S, L, L + G,
//! W and the role's C of a former fault. At the end everything is mended and the pool must be whole again (U6).

use liveness::profile::{STANDARD, WIDE};

use crate::facts::{Fact, What};
use crate::faults::{Direction, Fault, Target, Verb};
use crate::kernel::{At, Chance, MS, SEC};
use crate::mutants::Mutant;
use crate::world::{Event, Process, Setup, VmSetup, World, micros};

/// What came of one seed.
#[derive(Debug)]
pub struct Ran {
    /// The law that was broken first, in words.
    pub broken: Option<(&'static str, String)>,
    /// What happened.
    pub facts: Vec<Fact>,
    /// Events.
    pub events: u64,
    /// Starts of VMs.
    pub starts: usize,
    /// Fences.
    pub fences: usize,
}

/// Runs one seed.
pub fn run(seed: u64, mutant: Option<Mutant>) -> Ran {
    let mut chance = Chance::new(seed ^ 0x00c0_ffee);
    let setup = setup(&mut chance, mutant);
    let (script, end) = script(&setup, &mut chance);
    let mut world = World::new(setup, seed);
    for (at, fault) in script {
        world.queue.put(at, Event::Fault(Box::new(fault)));
    }
    world.run_until(end);
    mend(&mut world);
    world.run_until(end + 120 * SEC);
    for vm in 0..world.running.len() {
        if world.running[vm].len() != 1 {
            let text = format!("v{} does not run 120 s after the last repair", vm + 1);
            world.broken("U6", text);
            break;
        }
    }
    let count = |f: fn(&What) -> bool| world.facts.iter().filter(|x| f(&x.what)).count();
    Ran {
        broken: world.verdict().map(|(law, text)| (law, text.to_owned())),
        events: world.events,
        starts: count(|w| matches!(w, What::Runs { .. })),
        fences: count(|w| matches!(w, What::Fenced { .. })),
        facts: world.facts,
    }
}

fn setup(chance: &mut Chance, mutant: Option<Mutant>) -> Setup {
    let witness = chance.permille(150);
    let hosts = if witness { 3 } else { chance.pick(&[3, 3, 3, 4, 5, 5]) };
    let count = hosts - usize::from(witness);
    let voters = if hosts >= 5 { chance.pick(&[3, 5]) } else { 3 };
    let vms = (0..chance.between(2, 6))
        .map(|n| VmSetup { home: usize::try_from(n).unwrap_or(0) % count, ..VmSetup::default() })
        .collect();
    let profile = if chance.permille(150) { &WIDE } else { &STANDARD };
    Setup { hosts, witness, voters, memory: 64, vms, profile, mutant }
}

/// Faults until some moment, then the end.
fn script(setup: &Setup, chance: &mut Chance) -> (Vec<(At, Fault)>, At) {
    let p = setup.profile;
    let (stop, ttl, grace) = (micros(p.self_stop_age), micros(p.lease_ttl), micros(p.grace));
    let edges = [
        stop,
        stop + micros(p.watchdog),
        ttl,
        ttl + grace,
        ttl + grace + micros(p.expiry_poll),
        micros(p.watchdog),
        micros(p.coordinator_ttl),
        micros(p.election),
        micros(p.renewal),
    ];
    let mut at = chance.between(8 * SEC, 12 * SEC);
    let mut out = Vec::new();
    for _ in 0..chance.between(2, 7) {
        let fault = draw(setup, chance, &edges);
        let lasts = span(chance, &edges);
        let (target, undo) = (fault.target.clone(), undo(&fault));
        out.push((at, fault));
        if let Some(verb) = undo {
            let target = if matches!(verb, Verb::Heal) { Target::All } else { target };
            out.push((at + lasts, named(verb, target)));
        }
        at += span(chance, &edges);
    }
    (out, at + 5 * SEC)
}

/// At an edge, or anywhere.
fn span(chance: &mut Chance, edges: &[At]) -> At {
    if chance.permille(600) {
        let off = chance.pick(&[0, MS, 50 * MS, 400 * MS]);
        let edge = chance.pick(edges);
        if chance.permille(500) { edge + off } else { edge.saturating_sub(off) }
    } else {
        chance.between(100 * MS, 30 * SEC)
    }
}

fn named(verb: Verb, target: Target) -> Fault {
    let text = format!("{verb:?} {target:?}");
    Fault { name: "chance".to_owned(), text, verb, target }
}

fn draw(setup: &Setup, chance: &mut Chance, edges: &[At]) -> Fault {
    let any = usize::try_from(chance.between(0, setup.hosts as u64 - 1)).unwrap_or(0);
    let other = (any + 1) % setup.hosts;
    let target = match chance.between(0, 9) {
        0..=2 => Target::Coordinator,
        3 | 4 => Target::Leader,
        5 => Target::Member,
        6 => Target::All,
        _ => Target::Hosts(vec![any]),
    };
    let one = if target == Target::All { Target::Hosts(vec![any]) } else { target.clone() };
    match chance.between(0, 18) {
        0 | 1 => named(Verb::Power, one),
        2..=4 => named(Verb::Cut(Direction::Both), one),
        5 => named(Verb::Cut(Direction::In), one),
        6 => named(Verb::Cut(Direction::Out), one),
        7 => named(Verb::CutFrom(vec![other]), Target::Hosts(vec![any])),
        8 => {
            let rest = (0..setup.hosts).filter(|h| *h != any && *h != other).collect();
            named(Verb::Split(vec![vec![any, other], rest]), Target::All)
        }
        9 => named(Verb::Lossy(u32::try_from(chance.between(50, 400)).unwrap_or(50)), target),
        10 => named(Verb::Slow(chance.between(20 * MS, 900 * MS)), target),
        11 => named(Verb::Freeze(span(chance, edges)), one),
        12 | 13 => named(Verb::FreezeProcess(Process::Daemon, span(chance, edges)), one),
        14 => {
            let process = chance.pick(&[Process::Had, Process::Etcd]);
            named(Verb::FreezeProcess(process, span(chance, edges)), target)
        }
        15 => named(Verb::Kill(chance.pick(&[Process::Had, Process::Etcd, Process::Daemon])), one),
        16 | 17 => named(Verb::FreezeDeciding(chance.between(6 * SEC, 40 * SEC)), one),
        _ => named(Verb::StallDisk(span(chance, edges)), target),
    }
}

fn undo(fault: &Fault) -> Option<Verb> {
    match &fault.verb {
        Verb::Power => Some(Verb::Boot),
        Verb::Cut(_) | Verb::CutFrom(_) | Verb::Split(_) | Verb::Lossy(_) | Verb::Slow(_) => {
            Some(Verb::Heal)
        }
        Verb::Kill(process) => Some(Verb::Start(*process)),
        _ => None,
    }
}

/// Everything works again.
fn mend(world: &mut World) {
    world.net.heal();
    for host in 0..world.hosts.len() {
        if !world.hosts[host].on {
            let boot = world.hosts[host].boot;
            world.queue.put(world.now + SEC, Event::Boot(host, boot));
        }
        for process in [Process::Etcd, Process::Had, Process::Daemon] {
            if world.hosts[host].on {
                world.start_process(host, process);
            }
        }
    }
}
