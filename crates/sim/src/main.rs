//! `holdfast-sim`: scenarios and campaigns of the simulator from the command line. `cargo xtask soak --ha` calls it.
//!
//! ```text
//! holdfast-sim scenarios [PART] --seeds N [--seed FIRST] [--folder DIR] [--document FILE]
//! holdfast-sim campaign --seeds N [--seed FIRST] [--mutant NAME]
//! holdfast-sim replay SCENARIO|campaign SEED [--mutant NAME]     prints the trace
//! ```

#![expect(clippy::print_stdout, reason = "this program's output is for people")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sim::campaign;
use sim::facts::Fact;
use sim::mutants::Mutant;
use sim::report::{Summary, markdown};
use sim::scenario::Scenario;

struct Options {
    words: Vec<String>,
    seeds: u64,
    seed: u64,
    mutant: Option<Mutant>,
    folder: PathBuf,
    document: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        words: Vec::new(),
        seeds: 1000,
        seed: 1,
        mutant: None,
        folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios"),
        document: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(word) = arguments.next() {
        if !word.starts_with("--") {
            options.words.push(word);
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word}: '{value}' is no number"));
        match word.as_str() {
            "--seeds" => options.seeds = number()?,
            "--seed" => options.seed = number()?,
            "--mutant" => {
                options.mutant = Some(Mutant::named(&value).ok_or("there is no such mutant")?);
            }
            "--folder" => options.folder = value.into(),
            "--document" => options.document = Some(value.into()),
            _ => return Err(format!("{word} is not known")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let outcome = options().and_then(|options| match options.words.first().map(String::as_str) {
        Some("scenarios") => scenarios(&options),
        Some("campaign") => run_campaign(&options),
        Some("replay") => replay(&options),
        _ => Err("scenarios, campaign or replay".to_owned()),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(text) => {
            println!("{text}");
            ExitCode::from(2)
        }
    }
}

fn folders(options: &Options) -> Result<Vec<Scenario>, String> {
    let entries = std::fs::read_dir(&options.folder)
        .map_err(|e| format!("{}: {e}", options.folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    let part = options.words.get(1).cloned().unwrap_or_default();
    let wanted = |p: &&PathBuf| p.is_dir() && p.to_string_lossy().contains(&part);
    paths.iter().filter(wanted).map(|p| Scenario::read(p)).collect()
}

fn scenarios(options: &Options) -> Result<bool, String> {
    println!("seeds {}..{}", options.seed, options.seed + options.seeds - 1);
    let mut summaries = Vec::new();
    for scenario in folders(options)? {
        let mut summary = Summary::new(scenario.clone());
        for seed in options.seed..options.seed + options.seeds {
            summary.add(seed, &scenario.play(seed, options.mutant));
        }
        let first = summary.failed.first().map(|(seed, why)| format!("; seed {seed}: {why}"));
        println!(
            "{:<44} {} of {} failed{}",
            scenario.name,
            summary.failed.len(),
            summary.seeds,
            first.unwrap_or_default()
        );
        summaries.push(summary);
    }
    if let Some(path) = &options.document {
        std::fs::write(path, markdown(&summaries)).map_err(|e| e.to_string())?;
    }
    let failed: usize = summaries.iter().map(|s| s.failed.len()).sum();
    println!(
        "{{\"scenarios\":{},\"seeds\":{},\"failed\":{failed}}}",
        summaries.len(),
        options.seeds
    );
    Ok(failed == 0)
}

fn run_campaign(options: &Options) -> Result<bool, String> {
    println!("seeds {}..{}", options.seed, options.seed + options.seeds - 1);
    let (mut broken, mut starts, mut fences, mut events) = (Vec::new(), 0, 0, 0);
    for seed in options.seed..options.seed + options.seeds {
        let ran = campaign::run(seed, options.mutant);
        starts += ran.starts;
        fences += ran.fences;
        events += ran.events;
        if let Some((law, text)) = ran.broken {
            println!("seed {seed}: {law}: {text}");
            broken.push(law);
        }
    }
    let of = |law: &str| broken.iter().filter(|l| **l == law).count();
    println!(
        "{{\"seeds\":{},\"u1\":{},\"u2\":{},\"u3\":{},\"u6\":{},\"starts\":{starts},\"fences\":{fences},\"events\":{events}}}",
        options.seeds,
        of("U1"),
        of("U2"),
        of("U3"),
        of("U6")
    );
    Ok(broken.is_empty())
}

fn replay(options: &Options) -> Result<bool, String> {
    let seed = options.words.get(2).and_then(|w| w.parse().ok()).ok_or("replay WHAT SEED")?;
    let print = |facts: &[Fact]| facts.iter().for_each(|fact| println!("{fact}"));
    if options.words.get(1).is_some_and(|w| w == "campaign") {
        let ran = campaign::run(seed, options.mutant);
        print(&ran.facts);
        return Ok(ran.broken.is_none());
    }
    let scenario = folders(options)?.into_iter().next().ok_or("there is no such scenario")?;
    let verdict = scenario.play(seed, options.mutant);
    print(&verdict.facts);
    verdict.wrong.iter().for_each(|wrong| println!("WRONG: {wrong}"));
    Ok(verdict.wrong.is_empty())
}
