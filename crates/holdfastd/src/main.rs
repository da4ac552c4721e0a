//! `holdfastd`: the host daemon; `holdfastd etcd-unit`, the supervisor of the host's database process; and what is done
//! while the daemon is dead: the pool database, disks and the host's own configuration saved, the last given back.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use holdfastd::config::{Config, PathsSection};
use holdfastd::host_backup::restore;
use holdfastd::offline_disks;
use tracing_subscriber::EnvFilter;

/// The Holdfast host daemon.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Configuration file.
    #[arg(long, default_value = "/etc/holdfast/holdfast.toml")]
    config: PathBuf,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Supervise this host's database process (a unit of its own).
    EtcdUnit,
    /// Write what support needs to a file, without secrets; also works while the daemon is dead.
    Bundle {
        /// The file: `.tar`, or `.tar.gz` to have it compressed. One that exists is not overwritten.
        #[arg(long)]
        output: PathBuf,
    },
    /// Look at one device or list them, apart from the daemon and bounded; prints JSON.
    #[command(hide = true)]
    Probe(holdfastd::probes::Arguments),
    /// Save this host's own configuration and state, without the daemon.
    BackupHost {
        /// File to write; it must not exist.
        file: PathBuf,
    },
    /// Give this host, or one whose system is mounted elsewhere, its configuration and state back, without the daemon.
    RestoreHost {
        /// What `xe host-backup` or `holdfastd backup-host` wrote.
        file: PathBuf,
        /// Root of the host's system, where that is mounted in a rescue system.
        #[arg(long, default_value = "/")]
        root: PathBuf,
        /// File with the pool key, if the host has lost its own.
        #[arg(long)]
        pool_key: Option<PathBuf>,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// List the disks that this host knows of; also works while the daemon is dead or in safe mode.
    ListDisks,
    /// Copy the content of a disk to a new file; refused while a guest has it open. Also works while the daemon is dead
    /// or in safe mode.
    ExportDisk {
        /// The disk.
        vdi: uuid::Uuid,
        /// File to write; it must not exist.
        file: PathBuf,
        /// `raw` or `qcow2`.
        #[arg(long, default_value = "raw")]
        format: String,
    },
    /// Save the pool database as this host knows it, without the daemon, the coordinator or a quorum.
    DumpDatabase {
        /// File to write; it must not exist.
        file: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    host::proc::bound_allocator();
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("HOLDFAST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).json().with_writer(std::io::stderr).init();
    if let Some(Verb::Probe(what)) = &arguments.verb {
        return holdfastd::probes::in_child(what);
    }
    if let Some(Verb::RestoreHost { file, root, pool_key, dry_run }) = arguments.verb {
        // The configuration may be what is broken: the backup knows where everything belongs.
        let target = restore::Target { root, pool_key };
        for line in restore::without_daemon(&file, &target, dry_run)? {
            writeln!(std::io::stdout(), "{line}")?;
        }
        return Ok(());
    }
    let mut config = match Config::read(&arguments.config) {
        Ok(config) => config,
        // What is broken may be in the middle of being restored.
        Err(error) => match restore::settle(&PathsSection::default().state) {
            Ok(true) => Config::read(&arguments.config)?,
            Ok(false) | Err(_) => return Err(error.into()),
        },
    };
    match arguments.verb {
        Some(Verb::BackupHost { file }) => {
            let manifest = holdfastd::host_backup::save(&config, &file)?;
            writeln!(std::io::stderr(), "{}", manifest.summary())?;
            return Ok(());
        }
        Some(Verb::ListDisks) => {
            for disk in offline_disks::known(&config)?.disks {
                writeln!(std::io::stdout(), "{}", disk.line())?;
            }
            return Ok(());
        }
        Some(Verb::ExportDisk { vdi, file, format }) => {
            let known = offline_disks::known(&config)?;
            writeln!(std::io::stderr(), "{}", offline_disks::export(&known, vdi, &file, &format)?)?;
            return Ok(());
        }
        Some(Verb::EtcdUnit) => return holdfastd::etcd_unit::run(&config.etcd_dir()),
        Some(Verb::DumpDatabase { file }) => {
            let header = holdfastd::dump::offline::save(&config, &file)?;
            writeln!(std::io::stderr(), "{}", header.summary())?;
            return Ok(());
        }
        Some(Verb::Bundle { output }) => return holdfastd::bundle::write(&config, &output),
        Some(Verb::Probe(_) | Verb::RestoreHost { .. }) | None => {}
    }
    if restore::settle(&config.paths.state)? {
        config = Config::read(&arguments.config)?;
    }
    let safe = holdfastd::starts::begin(&config);
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("TLS was set up twice"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .context("the runtime")?;
    let result = runtime.block_on(async {
        let daemon = match holdfastd::start::open(config).await {
            Ok(daemon) => daemon,
            Err(error) => {
                holdfastd::starts::failed(&format!("{error:#}"));
                return Err(error);
            }
        };
        if let Some(mode) = safe {
            daemon.set_safe_mode(mode);
        }
        let stopping = daemon.clone();
        tokio::spawn(async move {
            let mut term =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            let mut interrupt =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            // An operating system that shuts down announces nothing else to us (S2-2, S2-7).
            holdfastd::reconcilers::coordinator::leave_role(&stopping, true).await.ok();
            holdfastd::reconcilers::peers::say_goodbye(&stopping).await;
            stopping.stop();
            std::io::Result::Ok(())
        });
        let ran = holdfastd::start::run(daemon).await;
        if let Err(error) = &ran {
            holdfastd::starts::failed(&format!("{error:#}"));
        }
        ran
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}

/// Threads that answer calls. Two are enough: nothing blocks them.
const WORKERS: usize = 2;
/// Most threads for blocking calls (password hashes, files).
const BLOCKING: usize = 16;
