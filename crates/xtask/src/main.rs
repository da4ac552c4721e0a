//! The project's verbs, called as `cargo xtask VERB`.
//!
//! This file only names them; each verb is a module with one entry function. No verb is longer than what it drives: building
//! blocks live in the crates, and nothing here is needed by a running pool.

mod ci;
mod codegen;
mod demo;
mod guest;
mod packages;
mod programs;
mod requirements;
mod test;
mod tidy;
mod tools;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// The project's verbs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measures against peers and limits; exit 1 if anything is short.
    Bench(programs::BenchArguments),
    /// Runs every check of the gate beside the tests: format, tidy, generated files, lints.
    Ci,
    /// Writes what follows from the datamodel: typed records, calls, errors and the API reference.
    Codegen(codegen::Arguments),
    /// Shows a pool of three hosts, guests on it, and its coordinator's power cut.
    Demo(demo::Arguments),
    /// Builds `holdfast-rescue` as one static program.
    Dist,
    /// Builds the test guest's disk image.
    Guest(guest::Arguments),
    /// Builds the programs and runs `holdfast-lab` with these arguments.
    Lab(programs::LabArguments),
    /// Installs the Debian packages that building, testing and the lab need.
    Packages(packages::Arguments),
    /// Wears a pool out under load and judges what is left: `--kills 200`, `--faults 200` or `--returns 100`, `--seed 1`.
    Soak(programs::SoakArguments),
    /// Writes the table of requirements and what proves them, from the tests' tags.
    Requirements(requirements::Arguments),
    /// Installs what is missing, runs the checks of the gate and every test.
    Test(test::Arguments),
    /// Checks arrows between crates, licences, file headers, names and tags.
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match CommandLine::parse().verb {
        Verb::Bench(arguments) => programs::bench(&arguments, &root()),
        Verb::Ci => ci::run(&root()),
        Verb::Codegen(arguments) => codegen::run(&arguments, &root()),
        Verb::Demo(arguments) => demo::run(&arguments, &root()),
        Verb::Dist => programs::dist(&root()),
        Verb::Guest(arguments) => guest::run(&arguments, &root()),
        Verb::Lab(arguments) => programs::lab(&arguments, &root()),
        Verb::Packages(arguments) => packages::run(&arguments),
        Verb::Soak(arguments) => programs::soak(&arguments, &root()),
        Verb::Requirements(arguments) => requirements::run(&arguments, &root()),
        Verb::Test(arguments) => test::run(&arguments, &root()),
        Verb::Tidy => tidy::run(&root()),
    }
}

/// The workspace's root: two directories above this crate.
fn root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.ancestors().nth(2).expect("the crate lies in ROOT/crates/xtask").to_path_buf()
}
