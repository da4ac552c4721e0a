//! `cargo xtask bench`: measurements, each as a ratio against a named peer or a stated limit in the same run.
//!
//! Never a unit test: numbers depend on the machine, ratios much less. Each measurement takes both sides in turn and
//! compares medians. What needs a host's namespaces runs there as a *worker* (`holdfast-lab exec H -- holdfast-bench
//! worker NAME`), which prints one JSON object.

mod clock;
mod emergency;
mod failover;
mod ha;
mod idle;
mod lab;
mod listing;
mod lost_host;
mod records;
mod report;
mod salvage;
mod scale;
mod soak;
mod start;
mod write;

use clap::{Parser, Subcommand};

use report::Report;

/// Measures Holdfast against its peers.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs all measurements, or those whose name contains NAME.
    Run {
        /// Part of a measurement's name.
        name: Option<String>,
        /// `json` prints one JSON document instead of lines.
        #[arg(long)]
        output: Option<String>,
        /// Rounds of what is repeated: power cuts, recoveries, takeovers. Each measurement has its own number otherwise.
        #[arg(short)]
        n: Option<usize>,
    },
    /// Kills processes, or breaks and heals hosts, at random under load, and judges what is left.
    Soak(soak::Arguments),
    /// One measurement's part inside a host.
    Worker {
        /// Which.
        name: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

/// A measurement: it reports its metrics, or fails.
struct Measurement {
    name: &'static str,
    /// All that it reports: none is left out silently when it fails.
    metrics: &'static [&'static str],
    run: fn(&mut Report) -> anyhow::Result<()>,
}

const ALL: [Measurement; 11] = [
    Measurement { name: "records", metrics: &records::METRICS, run: records::run },
    Measurement { name: "listing", metrics: &[listing::METRIC], run: listing::run },
    Measurement { name: "idle", metrics: &[idle::METRIC], run: idle::run },
    Measurement { name: "write", metrics: &[write::METRIC], run: write::run },
    Measurement { name: "start", metrics: &[start::METRIC], run: start::run },
    Measurement { name: "failover", metrics: &failover::METRICS, run: failover::run },
    Measurement { name: "failover-emergency", metrics: &[emergency::METRIC], run: emergency::run },
    Measurement { name: "ha", metrics: &ha::METRICS, run: ha::run },
    Measurement { name: "lost-host", metrics: &lost_host::METRICS, run: lost_host::run },
    Measurement { name: "scale", metrics: &scale::METRICS, run: scale::run },
    Measurement { name: "salvage", metrics: &salvage::METRICS, run: salvage::run },
];

fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::Run { name, output, n } => {
            anyhow::ensure!(n != Some(0), "at least one round");
            let mut report = Report::new(output.as_deref() == Some("json"), n);
            let wanted =
                |m: &&Measurement| name.as_deref().is_none_or(|part| m.name.contains(part));
            anyhow::ensure!(ALL.iter().any(|m| wanted(&m)), "no measurement of that name");
            for measurement in ALL.iter().filter(wanted) {
                if let Err(error) = (measurement.run)(&mut report) {
                    report.failed(measurement.name, measurement.metrics, &error);
                }
            }
            report.finish()
        }
        Verb::Soak(arguments) => soak::run(&arguments),
        Verb::Worker { name, arguments } => {
            let answer = match name.as_str() {
                "records" => records::worker(&arguments)?,
                "listing" => listing::worker(&arguments)?,
                "write" => write::worker()?,
                "start" => start::worker()?,
                "emergency" => emergency::worker(&arguments)?,
                "failover" => failover::worker(&arguments)?,
                "idle" => idle::worker()?,
                "scale" => scale::worker(&arguments)?,
                "soak" => soak::worker(&arguments)?,
                _ => anyhow::bail!("no worker {name}"),
            };
            report::print(&answer.to_string());
            Ok(())
        }
    }
}
