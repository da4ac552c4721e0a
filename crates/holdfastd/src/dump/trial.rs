//! A dump loaded as a restore would load it: into a pool database in memory, through the same doors.

use pooldb::memory::MemoryDb;
use pooldb::{Bytes, Key, PoolDb as _, Replica, Txn};
use xenapi::Record;

use super::{Dump, Unusable, read};
use crate::View;
use crate::app::target;
use crate::pki::PoolKey;

/// Entries of one commit, and their bytes: well under a transaction's limits.
const BATCH: (usize, usize) = (100, 400 * 1024);

/// A dump in a database of its own.
#[derive(Debug)]
pub struct Loaded {
    /// As it was read.
    pub dump: Dump,
    /// What its records say.
    pub view: View,
}

/// Loads a dump; what is sealed in it must open with the key.
///
/// # Errors
/// The first thing that is wrong.
pub fn load(bytes: &[u8], key: &PoolKey) -> Result<Loaded, Unusable> {
    let dump = read(bytes)?;
    let sealed = dump.opened(key);
    let sealed = sealed.ok_or_else(|| {
        Unusable::Damaged("what is sealed in it does not open with this pool's key".to_owned())
    })?;
    let view = view_of(&dump, sealed)?;
    Ok(Loaded { dump, view })
}

/// The entries of a dump as a view of a database, with what was sealed if it could be opened.
///
/// # Errors
/// The database does not take them, or they are no pool.
pub fn view_of(dump: &Dump, opened: Vec<(Key, Bytes)>) -> Result<View, Unusable> {
    let damaged = |why: String| Unusable::Damaged(why);
    let db = MemoryDb::new();
    let records =
        dump.records.iter().map(|r| (Key::record(r.class().name, r.uuid()), r.to_stored().into()));
    let entries = dump.entries.iter().cloned().chain(records).chain(opened);
    let loaded = async {
        let (mut txn, mut operations) = (Txn::new(), 0);
        for (key, value) in entries {
            if operations == BATCH.0 || txn.size_bytes() + value.len() > BATCH.1 {
                commit(&db, std::mem::take(&mut txn)).await?;
                operations = 0;
            }
            txn = txn.put(key, value);
            operations += 1;
        }
        commit(&db, txn).await?;
        db.snapshot().await.map_err(|e| e.to_string())
    };
    let snapshot = futures_util::future::FutureExt::now_or_never(loaded)
        .ok_or_else(|| damaged("a database in memory makes nobody wait".to_owned()))?
        .map_err(damaged)?;
    let replica: Replica<Record> = Replica::new();
    replica.load(snapshot);
    let view = replica.view();
    let pool = view.records("pool").next().ok_or_else(|| damaged("it holds no pool".to_owned()))?;
    let master = target(pool, "master").filter(|host| view.record("host", *host).is_some());
    if master.is_none() {
        return Err(damaged("its pool has no coordinator among its hosts".to_owned()));
    }
    let records = view.iter().filter(|item| item.key.table.class().is_some()).count();
    if records < dump.records.len() {
        return Err(damaged(format!("{records} of {} records were taken", dump.records.len())));
    }
    Ok(view)
}

async fn commit(db: &MemoryDb, txn: Txn) -> Result<(), String> {
    if txn.is_empty() {
        return Ok(());
    }
    db.commit(txn, std::time::Duration::from_secs(5)).await.map(drop).map_err(|e| e.to_string())
}
