//! `cargo xtask soak`: wears a pool out under load and judges what is left.
//!
//! | campaign | what happens | judged |
//! |---|---|---|
//! | `--kills N` ([`kills`]) | daemons are killed at random moments under load on every host | at the end |
//! | `--faults N` ([`faults`]) | the lab's faults, one or two at a time, under clients of the whole pool; each is healed | after each round |
//! | `--returns N` ([`faults`]) | the coordinator goes, in every way, and returns | after each round |
//!
//! The seed is printed first; the same seed draws the same sequence (not the machine's timing), and `--plan` prints it
//! without running it. A run is written down as it goes, so that `--resume` goes on with one that was interrupted, in its
//! lab. The last line is a JSON summary. The load is in [`load`] and [`clients`]; the judgement in [`judge`], [`normal`],
//! [`files`] and [`processes`].

mod breaking;
mod clients;
mod faults;
mod files;
mod judge;
mod kills;
mod load;
mod normal;
mod plan;
mod processes;
mod record;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::lab::runtime;

/// Options of the verb.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many processes to kill.
    #[arg(long, default_value_t = 200)]
    kills: u64,
    /// Break and heal so many things instead: every kind of fault of the lab.
    #[arg(long, conflicts_with_all = ["kills", "returns"])]
    faults: Option<u64>,
    /// Let the coordinator go and return so many times instead.
    #[arg(long, conflicts_with = "kills")]
    returns: Option<u64>,
    /// Print what the seed draws for `--faults` or `--returns`, and break nothing.
    #[arg(long)]
    plan: bool,
    /// Seed of all choices; a random one if absent.
    #[arg(long)]
    seed: Option<u64>,
    /// Hosts of the lab.
    #[arg(long, default_value_t = 3)]
    hosts: usize,
    /// Name of the lab and of the run; two runs at a time need two names.
    #[arg(long, default_value = "soak")]
    name: String,
    /// Leave the lab up if something was found, to look into it; with `--faults` and `--returns`, stop there.
    #[arg(long)]
    keep: bool,
    /// Go on with the run of that name that was interrupted; its lab is still up.
    #[arg(long)]
    resume: bool,
}

/// Where runs are written down.
const RUNS: &str = "/var/tmp/holdfast-soak";

/// A small, repeatable source of choices.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or_default()
    }

    /// From `from` up to, not including, `to`.
    fn between(&mut self, (from, to): (u64, u64)) -> u64 {
        from + self.next() % (to - from)
    }
}

fn random_seed() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_secs() ^ u64::from(d.subsec_nanos()))
}

/// Runs it; the last line is a JSON summary.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match (arguments.faults, arguments.returns) {
        (Some(count), _) => faults::run(arguments, plan::Campaign::Faults, count),
        (None, Some(count)) => faults::run(arguments, plan::Campaign::Returns, count),
        (None, None) => {
            anyhow::ensure!(!arguments.plan, "--plan is for --faults and --returns");
            kills::run(arguments)
        }
    }
}

/// A host's or a client's part.
pub(crate) fn worker(arguments: &[String]) -> anyhow::Result<Json> {
    let at = |n: usize| arguments.get(n).map(String::as_str).unwrap_or_default();
    match at(0) {
        "prepare" => load::prepare(at(1).parse()?),
        "counter" => load::prepare_counter(at(1), at(2), at(3)),
        "load" => runtime()?.block_on(load::load(at(1), at(2).parse()?, at(3).parse()?)),
        "login" => runtime()?.block_on(clients::login(at(1))),
        "client" => runtime()?.block_on(clients::client(&serde_json::from_str(at(1))?)),
        "audit" => Ok(serde_json::from_slice(&crate::records::get("/audit")?)?),
        "normal" => runtime()?.block_on(normal::look()),
        "guests" => judge::guests(),
        "tidy" => runtime()?.block_on(judge::tidy()),
        "disks" => runtime()?.block_on(files::disks()),
        "writes" => runtime()?.block_on(judge::read_writes(serde_json::from_str(at(1))?)),
        "keys" => runtime()?.block_on(clients::keys(at(1) == "strip")),
        other => anyhow::bail!("no part {other}"),
    }
}
