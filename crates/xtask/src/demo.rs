//! `cargo xtask demo`: a pool of three hosts on this machine, guests on it, and its coordinator's power cut.
//!
//! ```text
//!   packages ─> build ─> test guest ─> lab of three hosts ─> a guest on each host
//!     ─> cut the coordinator's power ─> watch the survivors and the guests on them ─> timeline, verdict
//! ```
//! The pool stays up for the reader to use; the last lines say how, and how to take it down. The exit status is 0 only if
//! everything held that the timeline claims. It knows the product by its programs alone: `holdfast-lab` and, inside the
//! hosts, `xe`.

mod guests;
mod lab;
mod one_host;
mod prober;
mod timeline;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use self::lab::Lab;
use self::prober::Prober;
use crate::packages::{self, say};
use crate::{guest, programs};

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Installs missing packages without asking.
    #[arg(long)]
    yes: bool,
    /// How many hosts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=7))]
    hosts: u8,
    /// Name of the lab [default: $HOLDFAST_LAB, else demo].
    #[arg(long)]
    name: Option<String>,
    /// Builds optimised programs (slower to build, closer to what is shipped).
    #[arg(long)]
    release: bool,
    /// Takes the pool down at the end instead of leaving it for you.
    #[arg(long)]
    down: bool,
}

/// Longest time from the cut until everything that is waited for has happened.
const RECOVERY: Duration = Duration::from_secs(60);
/// How long things are watched before the cut and after the last awaited event.
const CALM: Duration = Duration::from_secs(3);

/// Entry of the verb.
pub(crate) fn run(arguments: &Arguments, root: &Path) -> anyhow::Result<()> {
    packages::ensure_present(arguments.yes)?;
    let programs = programs::build(root, arguments.release)?;
    let image = guest::build(root, false)?;
    if let Some(why) = lab::impossible() {
        say(&format!("no lab here: {why}; showing one host on its embedded database instead"));
        return one_host::run(root, &programs, &image);
    }

    let named = || std::env::var("HOLDFAST_LAB").ok().filter(|name| !name.is_empty());
    let name = arguments.name.clone().or_else(named).unwrap_or_else(|| "demo".to_owned());
    let lab = Lab::new(&programs, &name);
    lab.replace(arguments.hosts)?;
    let guests = lab.guests_make(&image)?;
    say("waiting for the guests to count");
    lab.guests_await(&guests, Duration::from_secs(120))?;

    let status = lab.status()?;
    let coordinator = status.coordinator()?.clone();
    let survivors: Vec<_> =
        status.hosts.iter().filter(|h| h.name != coordinator.name).cloned().collect();
    let watched: Vec<_> = guests.iter().filter(|g| g.host != coordinator.name).cloned().collect();
    ensure!(!watched.is_empty(), "no guest runs on a survivor");
    say(&format!(
        "{} is coordinator; {} guests count on {}",
        coordinator.name,
        watched.len(),
        survivors.iter().map(|h| h.name.as_str()).collect::<Vec<_>>().join(" and ")
    ));

    let prober = Prober::start(&lab, &coordinator, &survivors, &watched)?;
    prober.watch(CALM, |_| false)?;
    say(&format!("cutting the power of {}", coordinator.name));
    prober.cut();
    lab.run(&["fail", &coordinator.name, "power"])?;
    prober.watch(RECOVERY, |seen| seen.recovered(&survivors))?;
    prober.watch(CALM, |_| false)?;
    let seen = prober.stop()?;

    let report = timeline::judge(&seen, &coordinator.name, &survivors, &watched);
    say("");
    for row in &report.rows {
        println_row(row)?;
    }
    for survivor in &survivors {
        lab.xe(&survivor.name, &["vm-list", "--minimal"])
            .with_context(|| format!("using the pool through {} afterwards", survivor.name))?;
    }
    after(&lab, &coordinator.name, &survivors, arguments.down)?;
    if !report.failures.is_empty() {
        bail!("the demo did not hold:\n  {}", report.failures.join("\n  "));
    }
    Ok(())
}

fn println_row(row: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{row}").context("writing the timeline")
}

/// What to do with the pool, with commands that can be copied.
fn after(lab: &Lab, coordinator: &str, survivors: &[lab::Host], down: bool) -> anyhow::Result<()> {
    if down {
        say("\ntaking the pool down");
        return lab.run(&["down"]).map(drop);
    }
    let it = lab.shown();
    let survivor = survivors.first().map_or("h2", |h| h.name.as_str());
    say(&format!(
        "\nThe pool is yours:\n  {it} status\n  {it} exec {survivor} -- xe vm-list\n  {it} exec {survivor} -- xe host-list\n  \
         {it} heal {coordinator} power        # the cut host comes back\n  {it} events\n  {it} down              # nothing is left"
    ));
    Ok(())
}
