//! What a key is, and how it is spelled in a back end.
//!
//! A key is a table and an id. Its path (`/hf/1/placement/<id>`) is this crate's secret: other crates compare and hash
//! keys but never spell them; the one exception is [`Key::path`] for `holdfast-had`, which renews the host's lease key
//! through etcd's HTTP gateway and is handed the bytes.
//!
//! Invariant: every path this crate or a *newer* version writes can be read back as a key, so that an older version
//! copies tables it does not know without losing them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A stored value: immutable, cheap to share.
pub type Bytes = Arc<[u8]>;

/// Root of everything this crate stores; the number is the layout of the *paths*, not the schema of the values.
pub(crate) const ROOT: &str = "/hf/1/";
/// Below the root: the slots by which a timed-out commit is resolved (see `etcd`). Never visible as keys.
pub(crate) const OP_SLOTS: &str = "/hf/1/.op/";
/// Whether an etcd store takes writes: absent = yes, else a [`crate::Gate`]. Never visible as a key.
pub(crate) const GATE: &str = "/hf/1/.gate";

/// Longest id, bytes. Ids are UUIDs and short names; a longer one is a bug of the caller.
pub const MAX_ID_BYTES: usize = 512;
/// Most distinct table names one process will learn from a database (a corrupt one must not exhaust memory).
const MAX_LEARNED_NAMES: usize = 1024;

/// The tables of the pool database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Records of the named XenAPI class; id = UUID. Parsed by the replica.
    Record(&'static str),
    /// Where a VM runs: one per VM; id = VM's UUID.
    Placement,
    /// What is promised on a host: one per host; id = host's UUID.
    Reservation,
    /// Who may write a VDI; id = VDI's UUID.
    VdiLock,
    /// Durable multi-step operations; id = saga's UUID.
    Saga,
    /// Sessions; id = SHA-256 of the token.
    Session,
    /// A host's sign of life, bound to an etcd lease; id = host's UUID.
    HostLease,
    /// Who coordinates, bound to a lease; one key.
    Coordinator,
    /// Election counter of the coordinator.
    Term,
    /// Proofs that a boot of a host ended; id = host's UUID and boot id.
    Fence,
    /// Facts about the database itself: `pool_epoch`, `schema_active`, ... See [`Key::pool_epoch`].
    Meta,
    /// Sealed secrets.
    Secret,
    /// Pool accounts.
    Account,
    /// How to reach each host's daemon.
    HostAgent,
    /// Which hosts vote.
    VoterPlan,
    /// Objects that must not come back (forgotten hosts, destroyed VMs awaiting clean-up).
    Tombstone,
    /// Plans of high availability (`pool/ha_plan`).
    HaPlan,
    /// Schedules and their last runs.
    Schedule,
    /// How hosts' disks were laid out; id = host's UUID and place in the ring of generations.
    Layout,
    /// Alerts already sent, so that an alert is not sent twice.
    Alert,
    /// A table this version does not know (written by a newer one): kept, copied, never interpreted.
    Other(&'static str),
}

/// Path names of the plain tables.
const PLAIN: &[(Table, &str)] = &[
    (Table::Placement, "placement"),
    (Table::Reservation, "reservation"),
    (Table::VdiLock, "vdi_lock"),
    (Table::Saga, "saga"),
    (Table::Session, "session"),
    (Table::HostLease, "host_lease"),
    (Table::Coordinator, "coordinator"),
    (Table::Term, "term"),
    (Table::Fence, "fence"),
    (Table::Meta, "meta"),
    (Table::Secret, "secret"),
    (Table::Account, "account"),
    (Table::HostAgent, "host_agent"),
    (Table::VoterPlan, "voter_plan"),
    (Table::Tombstone, "tombstone"),
    (Table::HaPlan, "ha_plan"),
    (Table::Schedule, "schedule"),
    (Table::Layout, "layout"),
    (Table::Alert, "alert"),
];
/// Path prefix of record tables: `r/VM/<uuid>`.
const RECORD: &str = "r";

impl Table {
    /// The record table of a class named at run time.
    ///
    /// Returns `None` when the name is not one that can be a class, or too many distinct names were seen.
    pub fn record(class: &str) -> Option<Self> {
        intern(class).map(Self::Record)
    }

    /// The class, for a record table.
    pub fn class(&self) -> Option<&'static str> {
        match self {
            Self::Record(class) => Some(class),
            _ => None,
        }
    }

    /// The table without a class that [`fmt::Display`] shows by that name; one that this version does not know is kept
    /// by its name. `None`: no table can be called so, or too many distinct names were seen.
    pub fn plain(name: &str) -> Option<Self> {
        match PLAIN.iter().find(|(_, known)| *known == name) {
            Some((table, _)) => Some(*table),
            None if name == RECORD => None,
            None => intern(name).map(Self::Other),
        }
    }

    fn plain_name(self) -> Option<&'static str> {
        PLAIN.iter().find(|(t, _)| *t == self).map(|(_, n)| *n)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(class) => f.write_str(class),
            Self::Other(name) => f.write_str(name),
            plain => f.write_str(plain.plain_name().expect("every plain table is in PLAIN")),
        }
    }
}

/// The name as a `'static` string: each distinct name is kept once for the life of the process.
fn intern(name: &str) -> Option<&'static str> {
    static NAMES: OnceLock<Mutex<BTreeSet<&'static str>>> = OnceLock::new();
    let plausible = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'.');
    if !plausible {
        return None;
    }
    let mut names =
        NAMES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return Some(known);
    }
    if names.len() >= MAX_LEARNED_NAMES {
        return None;
    }
    let leaked: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(leaked);
    Some(leaked)
}

/// The name of one stored value.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Which table.
    pub table: Table,
    /// Which entry of it.
    pub id: Arc<str>,
}

impl Key {
    /// The key of that entry.
    pub fn new(table: Table, id: impl Into<Arc<str>>) -> Self {
        Self { table, id: id.into() }
    }

    /// The key of a record.
    pub fn record(class: &'static str, uuid: uuid::Uuid) -> Self {
        let mut text = uuid::Uuid::encode_buffer();
        let id: &str = uuid.hyphenated().encode_lower(&mut text);
        Self::new(Table::Record(class), id)
    }

    /// Where the pool's epoch stands (decimal text): the lineage of the database, changed only by forced recovery or
    /// restore (design.md section 3).
    pub fn pool_epoch() -> Self {
        Self::new(Table::Meta, "pool_epoch")
    }

    /// Where the active schema stands (decimal text): the lowest schema version of the pool's hosts.
    pub fn schema_active() -> Self {
        Self::new(Table::Meta, "schema_active")
    }

    /// Where the number of embedded databases this pool has had stands (see [`crate::EmbeddedDb`]).
    pub(crate) fn embedded_generation() -> Self {
        Self::new(Table::Meta, "embedded_generation")
    }

    /// The id as a UUID, when it is one.
    pub fn uuid(&self) -> Option<uuid::Uuid> {
        uuid::Uuid::try_parse(&self.id).ok()
    }

    /// The bytes under which etcd keeps this key. Only for handing to `holdfast-had`.
    pub fn path(&self) -> Vec<u8> {
        let mut path = String::with_capacity(ROOT.len() + 16 + self.id.len());
        path.push_str(ROOT);
        match self.table {
            Table::Record(class) => {
                path.push_str(RECORD);
                path.push('/');
                path.push_str(class);
            }
            Table::Other(name) => path.push_str(name),
            plain => path.push_str(plain.plain_name().expect("every plain table is in PLAIN")),
        }
        path.push('/');
        path.push_str(&self.id);
        path.into_bytes()
    }

    /// The key of a path; `None` for a path that is no key (op slots, foreign keys).
    pub(crate) fn from_path(path: &[u8]) -> Option<Self> {
        let rest = std::str::from_utf8(path).ok()?.strip_prefix(ROOT)?;
        let (first, rest) = rest.split_once('/')?;
        if first.starts_with('.') {
            return None;
        }
        if first == RECORD {
            let (class, id) = rest.split_once('/')?;
            return Some(Self::new(Table::Record(intern(class)?), id));
        }
        Some(Self::new(Table::plain(first)?, rest))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.table, self.id)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.table, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_survives_its_path() {
        let ids = ["a", "00000000-0000-0000-0000-000000000000", "with/slash", "ünïcode"];
        let mut tables: Vec<Table> = PLAIN.iter().map(|(t, _)| *t).collect();
        tables.push(Table::Record("VM"));
        tables.push(Table::Record("VM_guest_metrics"));
        tables.push(Table::Other("from_the_future"));
        for table in tables {
            for id in ids {
                let key = Key::new(table, id);
                assert_eq!(Key::from_path(&key.path()), Some(key));
            }
        }
    }

    #[test]
    fn op_slots_and_foreign_paths_are_no_keys() {
        assert_eq!(Key::from_path(format!("{OP_SLOTS}abc/1").as_bytes()), None);
        assert_eq!(Key::from_path(b"/registry/pods/x"), None);
        assert_eq!(Key::from_path(b"/hf/1/placement"), None);
        assert_eq!(Key::from_path(&[0xff, 0xfe]), None);
    }

    #[test]
    fn tables_never_share_a_path_prefix() {
        let a = Key::new(Table::Record("VM"), "x").path();
        let b = Key::new(Table::Record("VM_metrics"), "x").path();
        assert!(!b.starts_with(&a[..a.len() - 1]));
    }
}
