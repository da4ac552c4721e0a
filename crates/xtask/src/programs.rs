//! Builds the product's programs, and `cargo xtask lab`, which runs the lab on them.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::Parser;

use crate::packages::{ensure_present, say};
use crate::tools;

/// Arguments of `cargo xtask lab`.
#[derive(Debug, clap::Args)]
pub(crate) struct LabArguments {
    /// What `holdfast-lab` is told: up, status, exec, fail, …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// What a lab host runs, and the lab itself.
const PROGRAMS: [&str; 6] =
    ["holdfastd", "holdfast-had", "xe", "xe-toolstack-restart", "holdfast-lab", "fence_lab"];

/// Builds the programs and returns their directory.
pub(crate) fn build(root: &Path, release: bool) -> anyhow::Result<PathBuf> {
    say("building the programs (cargo shows its progress)");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).arg("build");
    for program in PROGRAMS {
        cargo.args(["--bin", program]);
    }
    if release {
        cargo.arg("--release");
    }
    let status = cargo.status().context("starting cargo")?;
    ensure!(status.success(), "the build failed");
    Ok(directory(root, release))
}

/// Where built programs are.
fn directory(root: &Path, release: bool) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join(if release { "release" } else { "debug" })
}

/// Entry of `cargo xtask lab`.
pub(crate) fn lab(arguments: &LabArguments, root: &Path) -> anyhow::Result<()> {
    let programs = build(root, false)?;
    let program = programs.join("holdfast-lab");
    let error = Command::new(&program).args(&arguments.arguments).exec();
    Err(error).with_context(|| format!("running {}", program.display()))
}

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArguments {
    /// Part of a measurement's name; all if absent.
    name: Option<String>,
    /// `json` prints one JSON document.
    #[arg(long)]
    output: Option<String>,
    /// Rounds of what is repeated: power cuts, recoveries, takeovers.
    #[arg(short)]
    n: Option<usize>,
}

/// Entry of `cargo xtask bench`: builds everything for release and measures.
pub(crate) fn bench(arguments: &BenchArguments, root: &Path) -> anyhow::Result<()> {
    // These need no pool, and are measured without building one.
    let alone = matches!(arguments.name.as_deref(), Some("salvage" | "ha"));
    if "salvage".contains(arguments.name.as_deref().unwrap_or_default()) {
        tools::run(
            root,
            "cargo",
            ["build", "--release", "--package", "holdfast-rescue", "--bins", "--example", "wreck"],
        )?;
    }
    let mut bench = measuring(root, true, !alone)?;
    bench.arg("run").args(&arguments.name);
    if let Some(output) = &arguments.output {
        bench.args(["--output", output]);
    }
    if let Some(n) = arguments.n {
        bench.args(["-n", &n.to_string()]);
    }
    Err(bench.exec()).context("running the measurements")
}

/// Arguments of `cargo xtask soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct SoakArguments {
    /// `--ha --seeds N`, `--kills N`, `--faults N` or `--returns N`; `--seed N --hosts N --plan --keep --resume`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Entry of `cargo xtask soak`: breaks a pool under load and judges what is left.
pub(crate) fn soak(arguments: &SoakArguments, root: &Path) -> anyhow::Result<()> {
    if arguments.arguments.iter().any(|a| a == "--salvage" || a.starts_with("--salvage=")) {
        return salvage_campaign(&arguments.arguments, root);
    }
    if arguments.arguments.iter().any(|a| a == "--ha") {
        return ha_campaign(&arguments.arguments, root);
    }
    let mut soak = measuring(root, false, true)?;
    crate::guest::build(root, false)?;
    soak.arg("soak").args(&arguments.arguments);
    Err(soak.exec()).context("running the soak")
}

/// Options of `cargo xtask soak --ha`: pools simulated from seeds.
#[derive(Debug, Parser)]
struct HaArguments {
    /// Says that it is this one.
    #[arg(long)]
    ha: bool,
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The scenario folders whose names contain this, instead of chance; `all` for every one.
    #[arg(long)]
    scenarios: Option<String>,
    /// Write `docs/reference/ha-scenarios.md` from these runs.
    #[arg(long)]
    document: bool,
    /// With this deliberate mistake.
    #[arg(long)]
    mutant: Option<String>,
}

/// Simulated pools: chance, or the scenario folders, with so many seeds.
fn ha_campaign(arguments: &[String], root: &Path) -> anyhow::Result<()> {
    let arguments = std::iter::once("soak").chain(arguments.iter().map(String::as_str));
    let arguments = HaArguments::parse_from(arguments);
    ensure!(arguments.ha, "--ha");
    tools::run(root, "cargo", ["build", "--release", "--package", "holdfast-sim"])?;
    let mut sim = Command::new(directory(root, true).join("holdfast-sim"));
    match arguments.scenarios.as_deref() {
        Some("all") => sim.arg("scenarios"),
        Some(part) => sim.args(["scenarios", part]),
        None if arguments.document => sim.arg("scenarios"),
        None => sim.arg("campaign"),
    };
    sim.arg("--seeds").arg(arguments.seeds.to_string());
    sim.arg("--seed").arg(arguments.seed.to_string());
    if let Some(mutant) = &arguments.mutant {
        sim.args(["--mutant", mutant]);
    }
    if arguments.document {
        sim.arg("--document").arg(root.join("docs/reference/ha-scenarios.md"));
    }
    Err(sim.exec()).context("running the simulator")
}

/// Options of `cargo xtask soak --salvage`.
#[derive(Debug, Parser)]
struct SalvageArguments {
    /// How many disks to damage.
    #[arg(long)]
    salvage: u64,
    /// The first seed; each disk has the next one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Damages disks and judges what is brought back: the test of `holdfast-rescue` with more seeds.
fn salvage_campaign(arguments: &[String], root: &Path) -> anyhow::Result<()> {
    let arguments = std::iter::once("soak").chain(arguments.iter().map(String::as_str));
    let options = SalvageArguments::try_parse_from(arguments)?;
    let status = tools::command("cargo")
        .current_dir(root)
        .args(["test", "--release", "--package", "holdfast-rescue", "--test", "damage"])
        .args(["--", "--nocapture"])
        .env("HOLDFAST_SALVAGE_SEEDS", options.salvage.to_string())
        .env("HOLDFAST_SALVAGE_SEED", options.seed.to_string())
        .status()
        .context("starting cargo")?;
    ensure!(status.success(), "the campaign found something: its seed is printed above");
    Ok(())
}

/// The program that measures and wears, built together with the product's if it needs them.
fn measuring(root: &Path, release: bool, product: bool) -> anyhow::Result<Command> {
    ensure_present(false)?;
    let programs = if product { build(root, release)? } else { directory(root, release) };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "--bin", "holdfast-bench"]);
    if release {
        cargo.arg("--release");
    }
    ensure!(cargo.status().context("starting cargo")?.success(), "the build failed");
    Ok(Command::new(programs.join("holdfast-bench")))
}

/// Entry of `cargo xtask dist`: builds the program that is copied alone to a rescue system, without a dynamic library.
pub(crate) fn dist(root: &Path) -> anyhow::Result<()> {
    // The target is named so that build scripts and macros, which must be dynamic, don't get the flag.
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .args(["build", "--release", "--bin", "holdfast-rescue", "--target", TARGET])
        .status()
        .context("starting cargo")?;
    ensure!(status.success(), "the build failed");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    say(&format!("{}", target.join(TARGET).join("release/holdfast-rescue").display()));
    Ok(())
}
