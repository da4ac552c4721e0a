//! A dump without the daemon (`holdfastd dump-database`): of the embedded database of a pool of one, else of the file
//! in which this host keeps its replica (S0-5).
//!
//! Both files admit one process at a time, so this refuses while the daemon runs: it then makes the dump itself.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use pooldb::embedded::{EmbeddedDb, NewStore};
use pooldb::gate::Gate;
use pooldb::replica::persist;
use pooldb::{PoolDb as _, Replica};

use super::{Header, Maker, Origin};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::identity::{Home, Identity};
use crate::pki::PoolKey;
use crate::{View, founding};

/// File of a host's replica, in the directory of its databases.
pub const REPLICA_FILE: &str = "replica.redb";

/// Makes a dump in a new file.
///
/// # Errors
/// The text names the file that can't be used. Nothing is left at `path` then.
pub fn save(config: &Config, path: &Path) -> anyhow::Result<Header> {
    if path.exists() {
        bail!("{} exists already; an older dump is never overwritten", path.display());
    }
    let bytes = make(config)?;
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    // What can't be read again is worth nothing.
    super::read(&bytes).context("the dump that was just made")?;
    host::fs::write_durable(path, &bytes, 0o600)?;
    Ok(super::header(&bytes[..end])?)
}

/// This host's own copy of the pool database: whose it is, what it holds, and how old that may be.
///
/// # Errors
/// The text names the file that can't be used, or that the daemon runs.
pub fn open(config: &Config) -> anyhow::Result<(Identity, View, Origin, Duration)> {
    let identity = Identity::read(&config.host_file())?.with_context(|| {
        format!("{} is missing: holdfastd was never started here", config.host_file().display())
    })?;
    let (view, origin, age) = match embedded(config, &identity)? {
        Some(view) => (view, Origin::EmbeddedStore, Duration::ZERO),
        None => replica_file(config)?,
    };
    if view.records("pool").next().is_none() {
        bail!("this host's database holds no pool");
    }
    Ok((identity, view, origin, age))
}

fn make(config: &Config) -> anyhow::Result<Vec<u8>> {
    let key_file = config.paths.state.join(crate::start::POOL_KEY_FILE);
    let key = std::fs::read_to_string(&key_file)
        .ok()
        .and_then(|text| PoolKey::from_hex(&text))
        .with_context(|| format!("the pool key {}", key_file.display()))?;
    let (identity, view, origin, age) = open(config)?;
    let age_ms = Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let maker = Maker { host: identity.host, now: SystemClock.unix_seconds(), origin, age_ms };
    Ok(super::write(&view, &key, &maker))
}

/// What the embedded database holds, if it is the pool's.
fn embedded(config: &Config, identity: &Identity) -> anyhow::Result<Option<View>> {
    let path = founding::store_path(config);
    if !matches!(identity.home, Home::Embedded | Home::Joining) || !path.exists() {
        return Ok(None);
    }
    let db = EmbeddedDb::open(&path, NewStore::first()).with_context(|| in_use(&path))?;
    if matches!(db.gate(), Gate::MovedTo { .. }) {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let snapshot = runtime.block_on(db.snapshot())?;
    let replica = Replica::new();
    replica.load(snapshot);
    Ok(Some(replica.view()))
}

fn replica_file(config: &Config) -> anyhow::Result<(View, Origin, Duration)> {
    let path = config.db_dir().join(REPLICA_FILE);
    let written = std::fs::metadata(&path)
        .and_then(|m| m.modified())
        .with_context(|| path.display().to_string())?;
    let view = persist::read_file(&path).with_context(|| in_use(&path))?;
    let now = u64::try_from(SystemClock.unix_seconds()).unwrap_or(0);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
    let age = now.duration_since(written).unwrap_or_default();
    Ok((view, Origin::ReplicaFile, age))
}

fn in_use(path: &Path) -> String {
    format!(
        "{} can't be read; while holdfastd runs, use `xe pool-dump-database file-name=FILE`",
        path.display()
    )
}
