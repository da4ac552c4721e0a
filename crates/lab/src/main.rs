//! `holdfast-lab`: reads the command line and hands over to [`lab::cli`].

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match lab::cli::run(&lab::cli::Cli::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            lab::report::note(&format!("holdfast-lab: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
