//! Exercises: a failure, what must be seen then, and the way back, step by step with the time each observation took.
//!
//! An exercise is a text that a person can read and change. One step a line; `#` begins a comment, the first of which
//! says what is practised:
//!
//! ```text
//! hosts N                                              how many hosts the lab has to have
//! say TEXT                                             shown as it is
//! fail HOST KIND [ARG]      heal HOST [KIND]           as the commands of that name
//! run HOST: COMMAND                                    must end with 0
//! expect within 30s HOST [exit N] [prints TEXT]: COMMAND    tried again until it holds
//! ```
//! `coordinator` and `survivor` stand for hosts: the coordinator when the exercise began, and the first host that is not it.
//! Commands are lines for the shell inside the host. [`parse`] is pure; [`run`] acts through the lab's own commands.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::fault::{self, Fault, Kind};
use crate::layout::Layout;
use crate::process;
use crate::report::{data, note};
use crate::state::Lab;
use crate::status;

/// Exercises that come with the lab: name and text.
pub const EXERCISES: [(&str, &str); 3] = [
    ("cable-pulled", include_str!("../exercises/cable-pulled.txt")),
    ("coordinator-lost", include_str!("../exercises/coordinator-lost.txt")),
    ("majority-lost", include_str!("../exercises/majority-lost.txt")),
];

/// Longest time one command of an exercise may take.
const COMMAND: Duration = Duration::from_secs(60);
/// Pause between two tries of an expectation.
const AGAIN: Duration = Duration::from_millis(200);

/// A parsed exercise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exercise {
    /// What is practised.
    pub about: String,
    /// Fewest hosts.
    pub hosts: usize,
    /// In order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Text for the person.
    Say(String),
    /// Break something: host, kind, argument.
    Fail(String, String, Option<String>),
    /// Mend it: host, kind.
    Heal(String, Option<String>),
    /// A command that must end with 0.
    Run(String, String),
    /// An observation.
    Expect(Expectation),
}

/// What must be seen, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Where.
    pub host: String,
    /// Until when.
    pub within: Duration,
    /// With which status the command has to end, if that matters.
    pub exit: Option<i32>,
    /// What its standard output has to be, but for blanks at its ends.
    pub prints: Option<String>,
    /// The command.
    pub command: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Say(text) => f.write_str(text),
            Self::Fail(host, kind, arg) => {
                write!(f, "fail {host} {kind}")?;
                arg.iter().try_for_each(|arg| write!(f, " {arg}"))
            }
            Self::Heal(host, kind) => {
                write!(f, "heal {host}")?;
                kind.iter().try_for_each(|kind| write!(f, " {kind}"))
            }
            Self::Run(host, command) => write!(f, "{host}# {command}"),
            Self::Expect(e) => {
                write!(f, "{}# {}", e.host, e.command)?;
                e.prints.iter().try_for_each(|text| write!(f, "   must print {text:?}"))?;
                e.exit.iter().try_for_each(|code| write!(f, "   must end with {code}"))
            }
        }
    }
}

/// Reads an exercise.
///
/// # Errors
/// The text names the line.
pub fn parse(text: &str) -> Result<Exercise> {
    let mut exercise = Exercise { about: String::new(), hosts: 1, steps: Vec::new() };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if exercise.about.is_empty() {
                exercise.about = comment.trim().to_owned();
            }
            continue;
        }
        if !line.is_empty() {
            line_parse(line, &mut exercise)
                .with_context(|| format!("line {}: {line}", number + 1))?;
        }
    }
    ensure!(!exercise.steps.is_empty(), "an exercise without a step");
    Ok(exercise)
}

fn line_parse(line: &str, exercise: &mut Exercise) -> Result<()> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut words = rest.split_whitespace().map(str::to_owned);
    let mut word = |what: &str| words.next().with_context(|| format!("{what} is missing"));
    let step = match verb {
        "hosts" => {
            exercise.hosts = rest.trim().parse().context("a number of hosts")?;
            return Ok(());
        }
        "say" => Step::Say(rest.trim().to_owned()),
        "fail" => {
            let (host, kind) = (word("the host")?, word("what breaks")?);
            let arg = words.next();
            // A stand-in is a host's name as far as the grammar goes.
            Fault::parse(&host, &kind, arg.as_deref())?;
            Step::Fail(host, kind, arg)
        }
        "heal" => {
            let host = word("the host")?;
            let kind = words.next();
            kind.as_deref().map(str::parse::<Kind>).transpose()?;
            Step::Heal(host, kind)
        }
        "run" => {
            let (host, command) = rest.split_once(':').context("`:` before the command")?;
            Step::Run(host.trim().to_owned(), command.trim().to_owned())
        }
        "expect" => Step::Expect(expectation_parse(rest)?),
        _ => bail!("a step begins with hosts, say, fail, heal, run or expect"),
    };
    exercise.steps.push(step);
    Ok(())
}

fn expectation_parse(text: &str) -> Result<Expectation> {
    let (head, command) = text.split_once(':').context("`:` before the command")?;
    let mut words = head.split_whitespace();
    ensure!(words.next() == Some("within"), "`expect within SECONDSs HOST …`");
    let seconds = words.next().and_then(|w| w.strip_suffix('s')).context("seconds, such as 30s")?;
    let within = Duration::from_secs(seconds.parse().context("seconds, such as 30s")?);
    let host = words.next().context("the host is missing")?.to_owned();
    let (mut exit, mut prints) = (None, None);
    while let Some(word) = words.next() {
        match word {
            "exit" => {
                let code = words.next().context("the status is missing")?;
                exit = Some(code.parse().context("a status is a number")?);
            }
            "prints" => {
                // The rest, blanks and all: a name may have several words.
                prints = Some(words.by_ref().collect::<Vec<_>>().join(" "));
            }
            other => bail!("neither exit nor prints: {other}"),
        }
    }
    ensure!(exit.is_some() || prints.is_some(), "nothing is expected: exit N or prints TEXT");
    Ok(Expectation { host, within, exit, prints, command: command.trim().to_owned() })
}

/// Finds an exercise: one of ours by name, else a file.
///
/// # Errors
/// There is neither; the text lists ours.
pub fn find(name: &str) -> Result<Exercise> {
    if let Some((_, text)) = EXERCISES.iter().find(|(n, _)| *n == name) {
        return parse(text);
    }
    let ours: Vec<&str> = EXERCISES.iter().map(|(n, _)| *n).collect();
    let text = std::fs::read_to_string(name)
        .with_context(|| format!("no exercise and no file {name:?} (ours: {})", ours.join(", ")))?;
    parse(&text)
}

/// Lists our exercises.
///
/// # Errors
/// Standard output is closed.
pub fn list() -> Result<()> {
    for (name, text) in EXERCISES {
        data(&format!("{name:<18} {}", parse(text)?.about))?;
    }
    Ok(())
}

/// Runs an exercise in a lab that is up, and heals what it broke at its end, however it ends. `true`: every
/// expectation held.
///
/// # Errors
/// A step can't be done at all.
pub fn run(layout: &Layout, exercise: &Exercise) -> Result<bool> {
    let lab = Lab::load(layout)?;
    ensure!(
        lab.hosts.len() >= exercise.hosts,
        "this exercise takes {} hosts; the lab has {}",
        exercise.hosts,
        lab.hosts.len()
    );
    let seen = status::gather(layout)?;
    let coordinator = seen.hosts.iter().find(|h| h.role == "coordinator");
    let coordinator = coordinator.map(|h| h.name.clone()).unwrap_or_else(|| "h1".to_owned());
    let stands_for = |host: &str| match host {
        "coordinator" => coordinator.clone(),
        "survivor" => {
            let other = lab.hosts.iter().find(|h| h.name != coordinator);
            other.map_or_else(|| coordinator.clone(), |h| h.name.clone())
        }
        named => named.to_owned(),
    };
    data(&exercise.about)?;
    let mut broken: Vec<String> = Vec::new();
    let mut failures = 0;
    let outcome = exercise.steps.iter().try_for_each(|step| -> Result<()> {
        if !step_run(layout, step, &stands_for, &mut broken)? {
            failures += 1;
        }
        Ok(())
    });
    for host in broken {
        if let Err(error) = fault::heal(layout, &host, None) {
            note(&format!("{host} could not be healed: {error:#}"));
        }
    }
    outcome?;
    let verdict = if failures == 0 {
        "PASS: everything was seen in time".to_owned()
    } else {
        format!("FAIL: {failures} of the expectations did not hold")
    };
    data(&verdict)?;
    Ok(failures == 0)
}

fn step_run(
    layout: &Layout,
    step: &Step,
    stands_for: &impl Fn(&str) -> String,
    broken: &mut Vec<String>,
) -> Result<bool> {
    let start = Instant::now();
    let (holds, said) = match step {
        Step::Say(text) => {
            data(&format!("\n{text}"))?;
            return Ok(true);
        }
        Step::Fail(host, kind, arg) => {
            let host = stands_for(host);
            fault::fail(layout, &Fault::parse(&host, kind, arg.as_deref())?)?;
            broken.push(host);
            (true, String::new())
        }
        Step::Heal(host, kind) => {
            let host = stands_for(host);
            fault::heal(layout, &host, kind.as_deref().map(str::parse).transpose()?)?;
            (true, String::new())
        }
        Step::Run(host, command) => {
            let done = shell(layout, &stands_for(host), command)?;
            (done.status.success(), done.stderr.trim().to_owned())
        }
        Step::Expect(expected) => {
            let host = stands_for(&expected.host);
            loop {
                let done = shell(layout, &host, &expected.command)?;
                let printed = done.stdout.trim();
                let holds = expected.exit.is_none_or(|code| done.status.code() == Some(code))
                    && expected.prints.as_deref().is_none_or(|text| printed == text);
                if holds || start.elapsed() >= expected.within {
                    let said = if holds {
                        String::new()
                    } else {
                        format!("{}: {printed} {}", done.status, done.stderr.trim())
                    };
                    break (holds, said);
                }
                std::thread::sleep(AGAIN);
            }
        }
    };
    let mark = if holds { "ok  " } else { "FAIL" };
    data(&format!("{mark} {:6.1} s  {step}", start.elapsed().as_secs_f64()))?;
    if !holds {
        data(&format!("               {said}"))?;
    }
    Ok(holds)
}

fn shell(layout: &Layout, host: &str, command: &str) -> Result<process::Finished> {
    let mut exec = process::command("/proc/self/exe");
    exec.args(["--name", layout.name(), "exec", host, "--", "sh", "-c", command]);
    process::run(exec, None, COMMAND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_exercises_say_what_they_are_about_and_end_with_everything_healed() {
        for (name, text) in EXERCISES {
            let exercise = parse(text).unwrap_or_else(|e| panic!("{name}: {e:#}"));
            assert!(exercise.about.ends_with('.'), "{name}");
            let hosts = |steps: &[Step], fails: bool| -> Vec<String> {
                let mut hosts: Vec<String> = steps
                    .iter()
                    .filter_map(|s| match s {
                        Step::Fail(host, ..) if fails => Some(host.clone()),
                        Step::Heal(host, _) if !fails => Some(host.clone()),
                        _ => None,
                    })
                    .collect();
                hosts.sort();
                hosts
            };
            assert_eq!(hosts(&exercise.steps, true), hosts(&exercise.steps, false), "{name}");
        }
    }

    #[test]
    fn a_step_that_makes_no_sense_names_its_line() {
        for (text, says) in [
            ("say a\nfail h1 thunder", "line 2: fail h1 thunder: unknown fault"),
            ("expect within 3s h1: true", "nothing is expected"),
            ("expect h1 exit 0: true", "within"),
            ("dance", "a step begins with"),
            ("# nothing", "without a step"),
        ] {
            let error = format!("{:#}", parse(text).expect_err(text));
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn an_expectation_keeps_names_with_blanks() {
        let step = parse("expect within 5s h2 exit 0 prints a b: xe x: y").expect("is well formed");
        assert_eq!(
            step.steps,
            [Step::Expect(Expectation {
                host: "h2".into(),
                within: Duration::from_secs(5),
                exit: Some(0),
                prints: Some("a b".into()),
                command: "xe x: y".into(),
            })]
        );
    }
}
