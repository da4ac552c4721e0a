//! A pool's database is restored from a dump on a host that is a pool of one (`xe pool-restore-database`), so that
//! `kill -9` at any step leaves it what it was or the restored pool.
//!
//! ```text
//! read ─> refuse ─> plan: what results, what does not fit ─> (dry run: say it, stop)
//!   ─> restoring/ on disk: a whole store, keys, certificate, identity (last) ─> the epoch claimed on shared repositories
//!   ─> own store frozen ─> host.json: the pool, the new epoch ─> restart: files put in place
//! ```
//! `host.json` is the moment: a start that finds `restoring/` looks whether it names the same pool and epoch, and puts the
//! files in place or throws them away. The host keeps its uuid. It takes the lost pool's key, certificate authority and
//! accounts if it has the key that the dump was sealed with, else it keeps its own, and the secrets of the dump are lost.
//! The hosts of the dump are forgotten, as by `xe host-forget`: they join anew, or rejoin if they come back after all. A
//! person states that they are off; one that answers refuses it. All VMs are halted, the epoch is higher than any known.
//!
//! Next: [`plan`] (pure: what the new database holds), [`checks`] (may it be), [`places`] (the repositories from here),
//! [`report`] (afterwards: what can be used).

mod checks;
mod place_map;
mod places;
mod plan;
pub mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pooldb::embedded::{EmbeddedDb, NewStore};
use pooldb::{Bytes, Key, PoolDb as _, Table, migrate};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::Caller;
use crate::backend::Backend;
use crate::config::Config;
use crate::dump::{self, Dump, trial};
use crate::identity::{Home, Identity};
use crate::pki::{self, HostKey, PoolCa, PoolKey, Secret};
use crate::records::{Unknown, decode};
use crate::{Daemon, View, founding, reached, start};

const STORE: &str = "pool.redb";
const IDENTITY: &str = "host.json";
/// Time for the answer to leave before this process ends.
const ANSWER_TIME: Duration = Duration::from_millis(500);
/// What the line before a dump calls itself.
const ORDER: &str = "holdfast-restore-order";

/// What is asked for; stands as one line of JSON before the dump. A dump without it is restored without maps.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Order {
    format: String,
    /// Only says what would be.
    pub dry_run: bool,
    /// The person's statement: the hosts of the dump that are off.
    pub confirm: String,
    /// Network cards: those of the dump by those of this machine.
    pub nics: BTreeMap<String, String>,
    /// Connections of repositories: `key=value` pairs separated by `;`, by label or uuid.
    pub srs: BTreeMap<String, String>,
    /// The lost pool's key, hexadecimal.
    pub pool_key: Option<Secret>,
}

/// The record of a restore, in the new database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// When, seconds since the epoch.
    pub at: i64,
    /// By whom.
    pub by: String,
    /// Where.
    pub host: Uuid,
    /// The dump, in words.
    pub dump: String,
    /// When the dump was made, seconds since the epoch.
    pub made_at: i64,
    /// The lineage of the dump.
    pub from_epoch: u64,
    /// What the person stated.
    pub confirm: String,
    /// What was planned, for people.
    pub plan: Vec<String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Where the record of the restore that began a lineage stands.
pub fn restored_key(epoch: u64) -> Key {
    Key::new(Table::Meta, format!("restored/{epoch:010}"))
}

/// The restore that began the present lineage, if one did.
pub fn restored(view: &View) -> Option<Restored> {
    decode(view.get(&restored_key(view.pool_epoch()?))?.raw()?).ok()
}

fn dir(config: &Config) -> PathBuf {
    config.paths.state.join("restoring")
}

/// The order and the dump of a request.
fn split(body: &[u8]) -> Result<(Order, &[u8]), String> {
    let end = body.iter().position(|b| *b == b'\n').unwrap_or(body.len());
    match serde_json::from_slice::<Order>(&body[..end]) {
        Ok(order) if order.format == ORDER => Ok((order, body.get(end + 1..).unwrap_or_default())),
        _ if body.starts_with(format!("{{\"format\":\"{ORDER}\"").as_bytes()) => {
            Err("the order before the dump can't be read".to_owned())
        }
        _ => Ok((Order::default(), body)),
    }
}

/// Restores, or says what would be restored: the text for the person.
///
/// # Errors
/// The text for the person: why not, and the next command. Nothing was changed then.
pub async fn restore(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    body: &[u8],
    dry_run: bool,
) -> Result<String, String> {
    let (mut order, bytes) = split(body)?;
    order.dry_run |= dry_run;
    let dump = dump::read(bytes).map_err(|e| format!("{e}. Nothing was changed"))?;
    let Ok(_one_at_a_time) = daemon.membership.try_lock() else {
        return Err("this host joins or leaves a pool, or restores one, already".to_owned());
    };
    let own = daemon.view().await;
    checks::host_is_free(daemon, &own).await?;
    let lost = Lost::open(daemon, &order, dump)?;
    checks::old_hosts_are_off(daemon, &lost.view, &order).await?;
    let draft = plan::draft(daemon, &own, &lost, &order)?;
    let places = places::look(daemon, &draft.places).await;
    let epoch = 1 + [lost.dump.header.pool_epoch, daemon.identity().epoch, places.highest_epoch]
        .into_iter()
        .max()
        .unwrap_or(0);
    let mut lines = draft.lines.clone();
    lines.extend(places.lines());
    let planned = draft.with_facts_of(daemon, epoch);
    lines.extend(report::of_plan(daemon, &planned, &places));
    let head = format!(
        "{} Made at {}.",
        lost.dump.header.summary(),
        xenapi::Timestamp(lost.dump.header.made_at)
    );
    if order.dry_run {
        let do_it = checks::statement_wanted(daemon, &lost.view)
            .map(|words| format!(" confirm=\"{words}\""))
            .unwrap_or_default();
        return Ok(format!(
            "Dry run: nothing was changed.\n{head}\n{}\nTo do it: the same command with --force{do_it}\n",
            lines.join("\n")
        ));
    }
    let record = Restored {
        at: daemon.now(),
        by: caller.user.clone(),
        host: daemon.host(),
        dump: head.clone(),
        made_at: lost.dump.header.made_at,
        from_epoch: lost.dump.header.pool_epoch,
        confirm: order.confirm.clone(),
        plan: lines.clone(),
        unknown: serde_json::Map::new(),
    };
    let failed = |e: anyhow::Error| format!("{e:#}. Nothing was changed");
    let made = async {
        prepare(daemon, &lost, &planned.entries, epoch, &record).await?;
        reached("restore: prepared");
        let identity = Identity::read(&dir(daemon.config()).join(IDENTITY))?;
        identity.context("what this host becomes")
    };
    let becomes = made.await.map_err(failed)?;
    let claims = places::claim(daemon, &places, becomes.pool, epoch).await;
    reached("restore: claimed");
    decide(daemon, &becomes).await.map_err(failed)?;
    tracing::warn!(pool = %becomes.pool, epoch, by = caller.user, dump = head, "the pool was restored from a dump");
    let stopping = daemon.clone();
    tokio::spawn(async move {
        // The caller gets the answer first.
        tokio::time::sleep(ANSWER_TIME).await;
        stopping.stop();
    });
    lines.extend(claims);
    Ok(format!(
        "{head}\n{}\nRestored, pool epoch {epoch}. This host starts its services again with it; then see what can be used: \
         xe pool-restore-report\n",
        lines.join("\n")
    ))
}

/// The dump with what could be opened of it.
struct Lost {
    dump: Dump,
    /// All of it that can be used here.
    view: View,
    /// The key that it was sealed with, and the pool's CA; `None`: neither this host nor the person has the key.
    keys: Option<(PoolKey, PoolCa)>,
}

impl Lost {
    fn open(daemon: &Daemon, order: &Order, dump: Dump) -> Result<Self, String> {
        let given = match &order.pool_key {
            Some(text) => Some(
                PoolKey::from_hex(text.expose())
                    .ok_or("the pool key that was given is none: 64 hexadecimal digits")?,
            ),
            None => None,
        };
        let is_given = given.is_some();
        let key = given.unwrap_or_else(|| daemon.pool_key().clone());
        let opened = dump.opened(&key);
        let fits = opened.is_some();
        let view = trial::view_of(&dump, opened.unwrap_or_default()).map_err(|e| e.to_string())?;
        let ca = if fits { start::pool_ca(&view, &key).ok() } else { None };
        if is_given && ca.is_none() {
            return Err(
                "the pool key that was given is not the one this dump was sealed with".to_owned()
            );
        }
        Ok(Self { dump, view, keys: ca.map(|ca| (key, ca)) })
    }
}

/// Makes the whole new pool in `restoring/`; its identity is written last.
async fn prepare(
    daemon: &Daemon,
    lost: &Lost,
    entries: &BTreeMap<Key, Bytes>,
    epoch: u64,
    record: &Restored,
) -> anyhow::Result<()> {
    let config = daemon.config();
    let dir = dir(config);
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    let becomes = Identity {
        pool: lost.dump.header.pool,
        epoch,
        superseded: None,
        home: Home::Embedded,
        ..daemon.identity()
    };
    let before = daemon.store().db();
    let generation = migrate::next_embedded_generation(&*before).await?;
    let store = EmbeddedDb::open(&dir.join(STORE), NewStore::nth(generation))?;
    let from = pooldb::Identity { cluster_id: 0 };
    let mut all = entries.clone();
    all.insert(restored_key(epoch), crate::records::encode(record));
    migrate::seed(&store, from, all, epoch).await?;
    let write = migrate::embedded_generation_write(generation);
    store.commit(pooldb::Txn::new().write(write), Duration::from_secs(5)).await?;
    drop(store);
    if let Some((key, ca)) = &lost.keys {
        let now = time::OffsetDateTime::from_unix_timestamp(daemon.now())?;
        let host_key = HostKey::generate(daemon.host())?;
        let mut addresses = vec![config.host.address.clone()];
        addresses.extend(config.api.extra_addresses.iter().cloned());
        let cert = ca.sign(&host_key.csr_pem, daemon.host(), &addresses, now)?;
        let keep =
            |name: &str, bytes: &[u8], mode| host::fs::write_durable(&dir.join(name), bytes, mode);
        keep(pki::CA_FILE, ca.cert_pem.as_bytes(), 0o644)?;
        keep(pki::KEY_FILE, host_key.key_pem.expose().as_bytes(), 0o600)?;
        keep(pki::CERT_FILE, cert.as_bytes(), 0o644)?;
        keep(start::POOL_KEY_FILE, key.to_hex().expose().as_bytes(), 0o600)?;
    }
    becomes.write(&dir.join(IDENTITY))?;
    Ok(())
}

/// From here on this host is the restored pool.
async fn decide(daemon: &Daemon, becomes: &Identity) -> anyhow::Result<()> {
    use pooldb::migrate::Movable as _;
    let Backend::Embedded(own) = daemon.backend() else { anyhow::bail!("no embedded database") };
    // A write that was acknowledged now would be lost.
    own.freeze(true).await?;
    reached("restore: frozen");
    if let Err(error) = becomes.write(&daemon.config().host_file()) {
        // The rename may have happened although its flush failed.
        let unchanged = Identity::read(&daemon.config().host_file()).ok().flatten();
        if unchanged.is_none_or(|now| now.epoch != becomes.epoch) {
            own.freeze(false).await?;
            return Err(error.into());
        }
    }
    reached("restore: identity written");
    Ok(())
}

/// Completes a restore that was decided, or clears one away that was not; called before anything else at a start.
///
/// # Errors
/// Those of the file system.
pub fn settle(config: &Config, identity: &Identity) -> anyhow::Result<()> {
    let dir = dir(config);
    if !dir.exists() {
        return Ok(());
    }
    match Identity::read(&dir.join(IDENTITY))? {
        Some(becomes) if becomes.pool == identity.pool && becomes.epoch == identity.epoch => {
            install(config, &dir)?;
            tracing::info!(pool = %identity.pool, epoch = identity.epoch, "the restored database is in place");
        }
        _ => tracing::info!("a restore that was not decided is cleared away"),
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn install(config: &Config, dir: &Path) -> anyhow::Result<()> {
    let text = |name: &str| std::fs::read_to_string(dir.join(name));
    // The key is the last file that `prepare` writes of these, so all are there or none was meant to be.
    if dir.join(start::POOL_KEY_FILE).exists() {
        let key = Secret::new(text(pki::KEY_FILE)?);
        start::write_certificate(config, &text(pki::CA_FILE)?, &text(pki::CERT_FILE)?, &key)?;
        let path = config.paths.state.join(start::POOL_KEY_FILE);
        host::fs::write_durable(&path, text(start::POOL_KEY_FILE)?.as_bytes(), 0o600)?;
        reached("restore: files in place");
    }
    let store = dir.join(STORE);
    if store.exists() {
        let place = founding::store_path(config);
        // What was there before stays for a person to read.
        let kept = place.with_extension("redb.before-restore");
        let _ = std::fs::remove_file(&kept);
        if place.exists() {
            std::fs::hard_link(&place, &kept)?;
        }
        std::fs::rename(&store, &place)?;
        host::fs::sync_directory(&config.db_dir())?;
        reached("restore: store in place");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_stands_before_the_dump_or_is_missing() {
        let (order, rest) = split(b"{\"format\":\"holdfast-restore-order\",\"confirm\":\"h1 is off\",\"nics\":{\"eth0\":\"eth1\"}}\n{dump")
            .expect("an order");
        assert_eq!(order.confirm, "h1 is off");
        assert_eq!(order.nics["eth0"], "eth1");
        assert_eq!(rest, b"{dump");
        let (order, rest) = split(b"{\"format\":\"holdfast-pool-dump\"}\nx").expect("a dump alone");
        assert!(order.nics.is_empty() && rest.starts_with(b"{\"format\":\"holdfast-pool-dump\""));
        assert!(split(b"{\"format\":\"holdfast-restore-order\",").is_err());
    }
}
