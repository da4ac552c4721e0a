//! The language of the scenario folders, and one run of a scenario.
//!
//! ```text
//! hosts 3                               the pool: hosts, witness, voters N, memory GiB, profile NAME
//! vms 4 on h3 order 1 memory 8          VMs; also: priority best-effort, delay SECONDS, only h1,h2, fails N
//! at 20s..30s cut: power h3             a moment (chance picks within the span), a name, what is done to whom
//! after cut 60s: heal all               counted from a named one
//! run 120s                              how long in all
//! ```
//! and in `expected.txt`:
//! ```text
//! within 17s of cut: fenced victim      suspected, fenced, stopped, down, restarted, starts, coordinator, role-ends
//! never: fenced any                     nothing of that kind, to that host (any, others, victim)
//! not before 16s of cut: starts
//! may stop: victim                      everybody else stopping or going down breaks U4
//! at end: running all                   also: running none, running N; else U6 wants all
//! ```
//! Victims are resolved when a fault strikes: `h2`, `h1,h2`, `coordinator`, `leader`, `member` (neither), `voters`, `all`,
//! `victim` (whom the last fault was done to).

use std::path::Path;

use liveness::profile::{Profile, STANDARD};
use planner::ha::Priority;

use crate::facts::{Fact, What};
use crate::faults::{Direction, Fault, Target, Verb};
use crate::kernel::{At, MS, SEC};
use crate::mutants::Mutant;
use crate::world::{Event, Process, Setup, VmSetup, World};

/// When a line strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Within this span.
    At(At, At),
    /// So long after a named line.
    After(String, At, At),
}

/// A folder, read.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Name of the folder.
    pub name: String,
    /// First line of its description.
    pub title: String,
    /// The pool.
    pub setup: Setup,
    /// What is done.
    pub script: Vec<(When, Fault)>,
    /// How long.
    pub run: At,
    /// What must come of it.
    pub expected: Vec<Expected>,
}

/// A line of `expected.txt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// As written.
    pub text: String,
    /// What it means.
    pub rule: Rule,
}

/// What is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The last of these comes within that time of a named fault.
    Within(At, String, Kind, Who),
    /// None of these comes sooner than that after a named fault.
    NotBefore(At, String, Kind, Who),
    /// None comes.
    Never(Kind, Who),
    /// These may stop or go down.
    MayStop(Who),
    /// So many VMs run at the end; `None`: all.
    Running(Option<usize>),
}

/// What kind of fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A host is seen silent.
    Suspected,
    /// A boot is fenced.
    Fenced,
    /// The last guest of a host ended.
    Stopped,
    /// A host goes down.
    Down,
    /// All VMs that were on the host run again.
    Restarted,
    /// A VM's processors begin to run.
    Starts,
    /// Somebody coordinates.
    Coordinator,
    /// A host coordinates no longer.
    RoleEnds,
}

/// To whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Anybody.
    Any,
    /// To whom the named fault was done; without a name, any fault.
    Victim,
    /// All but victims.
    Others,
    /// These.
    Hosts(Vec<usize>),
}

/// What came of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What is wrong, if something is.
    pub wrong: Vec<String>,
    /// How long each expectation with a limit took, by its line.
    pub took: Vec<Option<At>>,
    /// What happened.
    pub facts: Vec<Fact>,
    /// Events.
    pub events: u64,
}

fn time(word: &str) -> Result<At, String> {
    let (digits, unit) = word.split_at(word.trim_end_matches(char::is_alphabetic).len());
    let value: f64 = digits.parse().map_err(|_| format!("'{word}' is no time"))?;
    let unit = match unit {
        "s" => SEC,
        "ms" => MS,
        "m" | "min" => 60 * SEC,
        "us" => 1,
        _ => return Err(format!("'{word}' has no unit that is known")),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time in a script is small and positive"
    )]
    #[expect(clippy::cast_precision_loss, reason = "units are small")]
    let micros = (value * unit as f64) as At;
    Ok(micros)
}

fn span(word: &str) -> Result<(At, At), String> {
    match word.split_once("..") {
        Some((from, to)) => Ok((time(from)?, time(to)?)),
        None => time(word).map(|at| (at, at)),
    }
}

fn hosts(word: &str) -> Result<Vec<usize>, String> {
    word.split(',')
        .map(|one| {
            let number = one.strip_prefix('h').and_then(|n| n.parse::<usize>().ok());
            number.filter(|n| *n > 0).map(|n| n - 1).ok_or_else(|| format!("'{one}' is no host"))
        })
        .collect()
}

fn target(word: &str) -> Result<Target, String> {
    Ok(match word {
        "coordinator" => Target::Coordinator,
        "leader" => Target::Leader,
        "member" => Target::Member,
        "voters" => Target::Voters,
        "all" => Target::All,
        "victim" => Target::Victim,
        _ => Target::Hosts(hosts(word)?),
    })
}

fn fault(name: &str, text: &str) -> Result<Fault, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let word = |at: usize| words.get(at).copied().ok_or_else(|| format!("'{text}' is too short"));
    let process = |word: &str| match word {
        "etcd" => Ok(Process::Etcd),
        "had" => Ok(Process::Had),
        "daemon" => Ok(Process::Daemon),
        _ => Err(format!("'{word}' is no process")),
    };
    let number = |word: &str| word.parse::<u32>().map_err(|_| format!("'{word}' is no number"));
    let (verb, to) = match word(0)? {
        "power" => (Verb::Power, target(word(1)?)?),
        "boot" => (Verb::Boot, target(word(1)?)?),
        "cut" => match words.get(2).copied() {
            None => (Verb::Cut(Direction::Both), target(word(1)?)?),
            Some("in") => (Verb::Cut(Direction::In), target(word(1)?)?),
            Some("out") => (Verb::Cut(Direction::Out), target(word(1)?)?),
            Some("from") => (Verb::CutFrom(hosts(word(3)?)?), target(word(1)?)?),
            Some(other) => return Err(format!("'{other}' is no direction")),
        },
        "lossy" => (Verb::Lossy(number(word(2)?)?), target(word(1)?)?),
        "slow" => (Verb::Slow(time(word(2)?)?), target(word(1)?)?),
        "split" => {
            let groups = text.trim_start_matches("split").split('|').map(|g| hosts(g.trim()));
            (Verb::Split(groups.collect::<Result<_, _>>()?), Target::All)
        }
        "heal" => (Verb::Heal, target(word(1)?)?),
        "freeze" if words.len() == 3 => (Verb::Freeze(time(word(2)?)?), target(word(1)?)?),
        "freeze" => (Verb::FreezeProcess(process(word(1)?)?, time(word(3)?)?), target(word(2)?)?),
        "freeze-deciding" => (Verb::FreezeDeciding(time(word(1)?)?), Target::Coordinator),
        "kill" => (Verb::Kill(process(word(1)?)?), target(word(2)?)?),
        "start" => (Verb::Start(process(word(1)?)?), target(word(2)?)?),
        "stall-disk" => (Verb::StallDisk(time(word(2)?)?), target(word(1)?)?),
        "hang-guests" => (Verb::HangGuests(time(word(2)?)?), target(word(1)?)?),
        other => return Err(format!("'{other}' is no fault")),
    };
    Ok(Fault { name: name.to_owned(), text: text.to_owned(), verb, target: to })
}

fn vms(words: &[&str], into: &mut Vec<VmSetup>) -> Result<(), String> {
    let mut words = words.iter().copied();
    let count: usize = words.next().and_then(|w| w.parse().ok()).ok_or("vms N on hN …")?;
    let mut vm = VmSetup::default();
    let mut homes = vec![0];
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("'{word}' needs a value"))?;
        let bad = |_| format!("'{value}' is no number");
        match word {
            "on" => homes = hosts(value)?,
            "order" => vm.order = value.parse().map_err(bad)?,
            "memory" => vm.memory = value.parse().map_err(bad)?,
            "priority" => vm.priority = Priority::from_word(value),
            "delay" => vm.delay = value.parse().map_err(bad)?,
            "only" => vm.only = hosts(value)?,
            "fails" => vm.fails = value.parse().map_err(bad)?,
            _ => return Err(format!("'{word}' is nothing that a VM has")),
        }
    }
    for n in 0..count {
        into.push(VmSetup { home: homes[n % homes.len()], ..vm.clone() });
    }
    Ok(())
}

fn who(word: &str) -> Result<Who, String> {
    Ok(match word {
        "any" | "" => Who::Any,
        "victim" => Who::Victim,
        "others" => Who::Others,
        _ => Who::Hosts(hosts(word)?),
    })
}

fn kind(text: &str) -> Result<(Kind, Who), String> {
    let mut words = text.split_whitespace();
    let kind = match words.next().unwrap_or_default() {
        "suspected" => Kind::Suspected,
        "fenced" => Kind::Fenced,
        "stopped" => Kind::Stopped,
        "down" => Kind::Down,
        "restarted" => Kind::Restarted,
        "starts" => Kind::Starts,
        "coordinator" => Kind::Coordinator,
        "role-ends" => Kind::RoleEnds,
        other => return Err(format!("'{other}' is nothing that happens")),
    };
    Ok((kind, who(words.next().unwrap_or_default())?))
}

fn rule(line: &str) -> Result<Rule, String> {
    let (left, right) = line.split_once(':').ok_or_else(|| format!("'{line}' has no colon"))?;
    let words: Vec<&str> = left.split_whitespace().collect();
    let right = right.trim();
    Ok(match words.as_slice() {
        ["within", limit, "of", name] => {
            let (kind, who) = kind(right)?;
            Rule::Within(time(limit)?, (*name).to_owned(), kind, who)
        }
        ["not", "before", limit, "of", name] => {
            let (kind, who) = kind(right)?;
            Rule::NotBefore(time(limit)?, (*name).to_owned(), kind, who)
        }
        ["never"] => {
            let (kind, who) = kind(right)?;
            Rule::Never(kind, who)
        }
        ["may", "stop"] => Rule::MayStop(who(right)?),
        ["at", "end"] => match right.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["running", "all"] => Rule::Running(None),
            ["running", "none"] => Rule::Running(Some(0)),
            ["running", n] => Rule::Running(Some(n.parse().map_err(|_| format!("'{n}'"))?)),
            _ => return Err(format!("'{right}' is no end")),
        },
        _ => return Err(format!("'{line}' is no expectation")),
    })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).filter(|l| !l.is_empty())
}

impl Scenario {
    /// Reads a folder's two texts.
    ///
    /// # Errors
    /// The line that is not understood.
    pub fn parse(name: &str, scenario: &str, expected: &str) -> Result<Self, String> {
        let title = scenario.lines().next().unwrap_or_default().trim_start_matches('#').trim();
        let mut read = Self {
            name: name.to_owned(),
            title: title.to_owned(),
            setup: Setup::default(),
            script: Vec::new(),
            run: 120 * SEC,
            expected: Vec::new(),
        };
        for line in lines(scenario) {
            read.line(line).map_err(|e| format!("{name}: {line}: {e}"))?;
        }
        for line in lines(expected) {
            let rule = rule(line).map_err(|e| format!("{name}: {line}: {e}"))?;
            read.expected.push(Expected { text: line.to_owned(), rule });
        }
        Ok(read)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let count = || words.get(1).and_then(|w| w.parse::<usize>().ok()).ok_or("needs a number");
        match words[0] {
            "hosts" => self.setup.hosts = count()?,
            "voters" => self.setup.voters = count()?,
            "witness" => self.setup.witness = true,
            "memory" => self.setup.memory = i64::try_from(count()?).map_err(|e| e.to_string())?,
            "profile" => {
                let name = words.get(1).copied().unwrap_or_default();
                self.setup.profile = Profile::named(name).ok_or("no such profile")?;
            }
            "vms" => vms(&words[1..], &mut self.setup.vms)?,
            "run" => self.run = time(words.get(1).copied().unwrap_or_default())?,
            "at" | "after" => {
                let (head, text) = line.split_once(": ").ok_or("needs a colon")?;
                let head: Vec<&str> = head.split_whitespace().collect();
                let (when, name) = match head.as_slice() {
                    ["at", at] => (span(at).map(|(a, b)| When::At(a, b))?, ""),
                    ["at", at, name] => (span(at).map(|(a, b)| When::At(a, b))?, *name),
                    ["after", of, at] => {
                        (span(at).map(|(a, b)| When::After((*of).to_owned(), a, b))?, "")
                    }
                    ["after", of, at, name] => {
                        (span(at).map(|(a, b)| When::After((*of).to_owned(), a, b))?, *name)
                    }
                    _ => return Err("at WHEN [NAME]: …, or after NAME WHEN [NAME]: …".to_owned()),
                };
                self.script.push((when, fault(name, text)?));
            }
            other => return Err(format!("'{other}' is not known")),
        }
        Ok(())
    }

    /// Reads a folder.
    ///
    /// # Errors
    /// It can't be read, or a line is not understood.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let text = |file: &str| {
            let path = folder.join(file);
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
        };
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::parse(&name, &text("scenario.txt")?, &text("expected.txt")?)
    }

    /// Runs it with a seed.
    pub fn play(&self, seed: u64, mutant: Option<Mutant>) -> Verdict {
        let setup = Setup { mutant, ..self.setup.clone() };
        let mut world = World::new(setup, seed);
        let mut times: Vec<(String, At)> = Vec::new();
        for (when, fault) in &self.script {
            let base = match when {
                When::At(from, to) => world.chance.between(*from, *to),
                When::After(of, from, to) => {
                    let named = times.iter().find(|(n, _)| n == of).map_or(0, |(_, at)| *at);
                    named + world.chance.between(*from, *to)
                }
            };
            if !fault.name.is_empty() {
                times.push((fault.name.clone(), base));
            }
            world.queue.put(base, Event::Fault(Box::new(fault.clone())));
        }
        world.run_until(self.run);
        self.judge(&world)
    }

    fn judge(&self, world: &World) -> Verdict {
        let facts = &world.facts;
        let mut wrong: Vec<String> = facts
            .iter()
            .filter_map(|f| match &f.what {
                What::Broken { law, text } => Some(format!("{law}: {text}")),
                _ => None,
            })
            .collect();
        let mut took = Vec::new();
        let mut may_stop: Vec<usize> = Vec::new();
        let mut running = None;
        let mut ends = false;
        for expected in &self.expected {
            let mut time = None;
            let outcome = match &expected.rule {
                Rule::Within(limit, name, kind, who) => match latest(facts, name, *kind, who) {
                    Some(at) => {
                        time = Some(at);
                        (at > *limit).then(|| format!("came after {:.3} s", secs(at)))
                    }
                    None => Some("never came".to_owned()),
                },
                Rule::NotBefore(limit, name, kind, who) => earliest(facts, name, *kind, who)
                    .filter(|at| at < limit)
                    .map(|at| format!("came after {:.3} s", secs(at))),
                Rule::Never(kind, who) => facts
                    .iter()
                    .find(|f| f.at > 8 * SEC && matches(facts, f, *kind, who, ""))
                    .map(|f| format!("came: {f}")),
                Rule::MayStop(who) => {
                    may_stop.extend(meant(facts, who, "", world.hosts.len()));
                    None
                }
                Rule::Running(n) => {
                    ends = true;
                    running = *n;
                    None
                }
            };
            took.push(time);
            wrong.extend(outcome.map(|text| format!("expected '{}', {text}", expected.text)));
        }
        wrong.extend(stopped_unduly(facts, &may_stop));
        let runs = world.running.iter().filter(|on| on.len() == 1).count();
        let wanted = running.unwrap_or(world.running.len());
        if runs != wanted {
            let law = if ends { "the end" } else { "U6" };
            wrong.push(format!("{law}: {runs} VMs run, not {wanted}"));
        }
        Verdict { wrong, took, facts: facts.clone(), events: world.events }
    }
}

#[expect(clippy::cast_precision_loss, reason = "times of a run are small")]
fn secs(at: At) -> f64 {
    at as f64 / SEC as f64
}

/// U4: who stopped guests or went down without leave.
fn stopped_unduly(facts: &[Fact], may: &[usize]) -> Vec<String> {
    let mut out = Vec::new();
    for fact in facts {
        let host = match &fact.what {
            What::SelfStop { host } => *host,
            What::Down { host, why } if *why != "no power" => *host,
            _ => continue,
        };
        if !may.contains(&host) {
            out.push(format!("U4: {fact}"));
        }
    }
    out
}

fn struck<'f>(facts: &'f [Fact], name: &str) -> Option<(At, &'f [usize])> {
    facts.iter().find_map(|f| match &f.what {
        What::Fault { name: of, hosts, .. } if of == name => Some((f.at, hosts.as_slice())),
        _ => None,
    })
}

/// Who is meant.
fn meant(facts: &[Fact], who: &Who, name: &str, hosts: usize) -> Vec<usize> {
    let mut victims = Vec::new();
    for fact in facts {
        if let What::Fault { name: of, hosts, text } = &fact.what
            && (name.is_empty() || of == name)
            && !text.starts_with("heal")
        {
            victims.extend(hosts);
        }
    }
    match who {
        Who::Any => (0..hosts).collect(),
        Who::Victim => victims,
        Who::Others => (0..hosts).filter(|h| !victims.contains(h)).collect(),
        Who::Hosts(hosts) => hosts.clone(),
    }
}

fn matches(facts: &[Fact], fact: &Fact, kind: Kind, who: &Who, name: &str) -> bool {
    let host = match (&fact.what, kind) {
        (What::Suspected { host, .. }, Kind::Suspected)
        | (What::Fenced { host, .. }, Kind::Fenced)
        | (What::Ended { host, .. }, Kind::Stopped)
        | (What::Down { host, .. }, Kind::Down)
        | (What::Runs { host, .. }, Kind::Starts | Kind::Restarted)
        | (What::Coordinates { host, .. }, Kind::Coordinator)
        | (What::RoleEnds { host }, Kind::RoleEnds) => *host,
        _ => return false,
    };
    meant(facts, who, name, 64).contains(&host)
}

/// First fact of a kind after a named fault, counted from it.
fn earliest(facts: &[Fact], name: &str, kind: Kind, who: &Who) -> Option<At> {
    let (at, _) = struck(facts, name)?;
    let fact = facts.iter().find(|f| f.at >= at && matches(facts, f, kind, who, name))?;
    Some(fact.at - at)
}

/// When what is expected was complete, counted from the named fault.
fn latest(facts: &[Fact], name: &str, kind: Kind, who: &Who) -> Option<At> {
    let (at, victims) = struck(facts, name)?;
    match kind {
        Kind::Restarted => {
            // Each VM that ended because of the fault runs again.
            let ended = |f: &&Fact| matches!(f.what, What::Ended { .. }) && f.at >= at;
            let mut last = 0;
            for fact in facts.iter().filter(ended) {
                let What::Ended { vm, host, .. } = fact.what else { continue };
                if !victims.contains(&host) {
                    continue;
                }
                let again = facts.iter().find(|f| {
                    f.at > fact.at && matches!(f.what, What::Runs { vm: v, .. } if v == vm)
                })?;
                last = last.max(again.at - at);
            }
            (last > 0).then_some(last)
        }
        Kind::Stopped => facts
            .iter()
            .filter(|f| f.at >= at && matches(facts, f, kind, who, name))
            .map(|f| f.at - at)
            .max(),
        _ => earliest(facts, name, kind, who),
    }
}

/// The profile that scenarios have if they name none.
pub const PROFILE: &Profile = &STANDARD;
