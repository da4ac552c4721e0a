//! The pool database: guarded commits, watch, leases, and the replica from which every read is answered.
//!
//! One record of one class (or one placement, reservation, saga, ...) is one key; a commit is one transaction of guards
//! and writes at one revision. Three back ends keep the same promises, proved by one suite ([`conformance`]):
//! [`MemoryDb`] for tests and the simulator, [`EmbeddedDb`] (redb) for one host, [`EtcdDb`] for two and more.
//!
//! This crate is not a query engine and knows nothing of XenAPI semantics: it keeps bytes, parses records through
//! [`replica::StoredRecord`] and hands out snapshots.
//!
//! Invariants: nothing outside this crate knows a key path; an acknowledged commit survives a power cut; a commit
//! either happened wholly or not at all; revisions of one database only grow; a lease ends late, never early; every
//! wait has a deadline.
//!
//! Where next: [`db`] is the contract, [`txn`] what is committed, [`replica`] what is read, [`store`] both together,
//! [`etcd::members`] the voters, [`migrate`] the move between embedded and etcd.

pub mod conformance;
pub mod db;
pub mod embedded;
pub mod etcd;
pub mod gate;
pub mod history;
pub mod key;
pub mod memory;
pub mod migrate;
pub mod ordered;
pub mod replica;
pub mod store;
pub mod txn;

pub use db::{
    Change, Changes, DbError, Entry, Identity, LeaseId, PoolDb, Snapshot, WatchItem, Watching,
};
pub use embedded::EmbeddedDb;
pub use etcd::{EtcdConfig, EtcdDb, EtcdTls};
pub use gate::{Destination, Gate};
pub use key::{Bytes, Key, Table};
pub use memory::MemoryDb;
pub use replica::{Batch, Item, Replica, View};
pub use store::Store;
pub use txn::{CommitError, Guard, Revision, Txn, Write};

/// Something that nobody else has: marks commits, leases and stores as ours.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn nonce() -> uuid::Uuid {
    uuid::Uuid::new_v4()
}
