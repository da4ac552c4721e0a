//! The commands of `holdfast-lab`. The doc comments are the help.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};

use crate::fault::{self, Fault, Kind};
use crate::layout::Layout;
use crate::report::{data, note};
use crate::state::Lab;
use crate::up::Options;
use crate::{
    down, enter, events, guest, init, keeper, launch, practice, slow_cable, status, strict, up,
};

/// A practice pool on one machine: hosts in namespaces, faults on demand, nothing left behind.
#[derive(Debug, Parser)]
#[command(name = "holdfast-lab", version)]
pub struct Cli {
    /// Which lab: several may be up side by side [default: $HOLDFAST_LAB, else lab].
    #[arg(long, global = true)]
    name: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the hosts and make one pool of them.
    Up {
        /// How many hosts.
        #[arg(long, default_value_t = 3)]
        hosts: u8,
        /// Leave every host a pool of its own.
        #[arg(long)]
        no_pool: bool,
        /// Run libvirt only, without Holdfast.
        #[arg(long, hide = true)]
        bare: bool,
        /// In a power cut, keep what a host's programs wrote but did not sync: a kinder disk than any real one.
        #[arg(long)]
        lenient_power: bool,
        /// Memory that each host claims to have, in MiB; the machine's own if left out.
        #[arg(long, value_name = "MIB")]
        memory_mib: Option<u64>,
    },
    /// Show hosts, their state, role and addresses.
    Status {
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Run a command inside a host; `xe` is in its PATH.
    Exec {
        /// h1, h2, …
        host: String,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
    /// Run a command on the lab network, in no host; `HOLDFAST_HOSTS`, `XE_PASSWORD` and `XE_CA` are set.
    Client {
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
    /// Break something until it is healed.
    ///
    /// Kinds: power, cable [in|out|both], daemon [once], daemon-freeze, had [once], libvirt [once], etcd [once],
    /// freeze [silent], lossy [PERCENT], slow-net [MS], storage [gone|slow|full], slow-disk [MS], disk-full, and switch
    /// (host `-`). With `once` a unit is killed and restarted at once; without, it stays down.
    Fail {
        /// h1, h2, …, or - for the switch.
        host: String,
        /// What breaks.
        kind: String,
        /// Direction, percentage, `once` or `silent`.
        arg: Option<String>,
    },
    /// Mend one kind of fault of a host, or all of them; mending `power` boots the host.
    Heal {
        /// h1, h2, …, or - for the switch.
        host: String,
        /// What is mended; everything, if left out.
        kind: Option<String>,
    },
    /// Practise a failure: break something, see what must be seen, mend it. Without a name: list the exercises.
    ///
    /// Ends with 0 if every expectation held. Write your own: one step a line, as the lab's guide shows.
    Practice {
        /// One of ours, or a file.
        exercise: Option<String>,
    },
    /// Show what was done to the lab and what its units did.
    Events {
        /// Go on until the lab is gone.
        #[arg(long)]
        follow: bool,
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Ask test guests for their counters, by MAC address: one JSON line each.
    Guest {
        /// Ask again every 100 ms until interrupted.
        #[arg(long)]
        follow: bool,
        /// MAC addresses of the guests' network interfaces.
        #[arg(required = true)]
        macs: Vec<String>,
    },
    /// Take the lab down; nothing is left.
    Down,
    /// Inside a host: shut it down in order.
    #[command(hide = true)]
    Halt {
        /// Power it on again.
        #[arg(long)]
        reboot: bool,
    },
    #[command(hide = true)]
    Keeper,
    #[command(hide = true)]
    Launch { host: String },
    #[command(hide = true)]
    Init { host: String, boot_id: String },
    #[command(hide = true)]
    SlowCable { number: u8, delay_ms: u32 },
    #[command(hide = true)]
    Strict,
    #[command(hide = true)]
    Enter {
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
}

/// The lab that is meant where no name is given.
const DEFAULT_NAME: &str = "lab";

/// The lab that is meant: as named, else as `HOLDFAST_LAB` says.
fn name_of(cli: &Cli) -> String {
    let named = || std::env::var("HOLDFAST_LAB").ok().filter(|name| !name.is_empty());
    cli.name.clone().or_else(named).unwrap_or_else(|| DEFAULT_NAME.to_owned())
}

/// Runs one command and returns the exit status.
pub fn run(cli: &Cli) -> Result<u8> {
    let layout = Layout::new(&name_of(cli))?;
    match &cli.command {
        Command::Up { hosts, no_pool, bare, lenient_power, memory_mib } => {
            let options = Options {
                hosts: *hosts,
                no_pool: *no_pool,
                bare: *bare,
                strict_power: !*lenient_power && strict::is_possible(),
                memory_mib: *memory_mib,
            };
            let made = up::up(&layout, &options).with_context(|| {
                format!(
                    "the lab did not come up (it stays as it is for you to look at; take it down with: holdfast-lab \
                     --name {} down)",
                    layout.name()
                )
            });
            if made.is_ok() {
                note(&format!(
                    "next: holdfast-lab --name {n} exec h1 -- xe host-list\n      holdfast-lab --name {n} status\n      \
                     holdfast-lab --name {n} down",
                    n = layout.name()
                ));
            }
            made?;
        }
        Command::Status { output } => {
            let status = status::gather(&layout)?;
            match output {
                Output::Json => data(&serde_json::to_string_pretty(&status)?)?,
                Output::Text => data(status::text(&status).trim_end())?,
            }
        }
        Command::Exec { host, argv } => return enter::exec(&layout, host, argv),
        Command::Client { argv } => return enter::client(&layout, argv),
        Command::Fail { host, kind, arg } => {
            fault::fail(&layout, &Fault::parse(host, kind, arg.as_deref())?)?;
        }
        Command::Heal { host, kind } => {
            let kind = kind.as_deref().map(Kind::from_str).transpose()?;
            fault::heal(&layout, host, kind)?;
        }
        Command::Practice { exercise: None } => practice::list()?,
        Command::Practice { exercise: Some(name) } => {
            return Ok(u8::from(!practice::run(&layout, &practice::find(name)?)?));
        }
        Command::Events { follow, output } => {
            events::read(&layout.events_file(), *follow, |event| {
                match output {
                    Output::Json => data(&serde_json::to_string(event)?)?,
                    Output::Text => {
                        data(&format!("{:>10} {:<4} {}", event.ms, event.host, event.what))?;
                    }
                }
                Ok(())
            })?;
        }
        Command::Guest { follow, macs } => {
            Lab::load(&layout)?;
            return Ok(u8::from(!guest::watch::run(&layout, macs, *follow)?));
        }
        Command::Halt { reboot } => init::halt(*reboot)?,
        Command::Down => down::down(&layout)?,
        Command::Keeper => keeper::run(layout.name())?,
        Command::Launch { host } => return launch::run(layout.name(), host),
        Command::Init { host, boot_id } => init::run(layout.name(), host, boot_id)?,
        Command::SlowCable { number, delay_ms } => {
            slow_cable::run(layout.name(), *number, *delay_ms)?;
        }
        Command::Strict => strict::serve::run(Path::new(strict::KEPT), Path::new(strict::MOUNT))?,
        Command::Enter { argv } => enter::become_command(argv)?,
    }
    Ok(0)
}
