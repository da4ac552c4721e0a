//! Holdfast's own records in the pool database: placement, reservations, disk locks, sessions, accounts, members.
//!
//! XenAPI objects are `xenapi::Record`s; these are what the XenAPI has no class for. Each is versioned JSON, unknown
//! fields survive a rewrite (N and N-1 in one pool), and each change is a guarded commit. Nothing here does I/O.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Unknown fields of a newer version, kept and written back.
pub type Unknown = serde_json::Map<String, serde_json::Value>;

/// Which host may run a VM: the record that every start, stop and migration guards (design.md section 5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Raised by every start and migration; orders of a lower generation are refused.
    pub generation: u64,
    /// Where it runs or is being started; `None` when it provably runs nowhere.
    pub host: Option<Uuid>,
    /// The other host of a migration in progress: recovery then needs both proved stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrating_to: Option<Uuid>,
    /// Generation of the run on the other host, while it arrives there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incoming: Option<u64>,
    /// Boot of `migrating_to` that the run is to arrive in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub incoming_boot: String,
    /// Highest generation ever given out for this VM: a migration that failed has used one up.
    #[serde(default)]
    pub issued: u64,
    /// Boot of `host` that the run belongs to.
    #[serde(default)]
    pub boot_id: String,
    /// Lineage of the database at that time.
    pub epoch: u64,
    /// Since when, seconds since the epoch.
    pub since: i64,
    /// How the latest migrations ended, by the generation that was to arrive: true if it did. For the host that was away
    /// when it was decided; generations alone don't tell, since the next run has a higher one either way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<(u64, bool)>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Placement {
    /// How many ends of migrations are kept.
    const MOVES: usize = 16;

    /// Whether that boot of a host has the VM, or is to receive it.
    pub fn is_in(&self, host: Uuid, boot: &str) -> bool {
        (self.host == Some(host) && self.boot_id == boot)
            || (self.migrating_to == Some(host) && self.incoming_boot == boot)
    }

    /// Notes how the migration ended that was to bring generation `incoming`.
    pub fn note_move(&mut self, incoming: u64, arrived: bool) {
        self.moves.retain(|(generation, _)| *generation != incoming);
        if self.moves.len() >= Self::MOVES {
            self.moves.remove(0);
        }
        self.moves.push((incoming, arrived));
    }

    /// How it ended, if that is known.
    pub fn move_ended(&self, incoming: u64) -> Option<bool> {
        self.moves
            .iter()
            .find(|(generation, _)| *generation == incoming)
            .map(|(_, arrived)| *arrived)
    }

    /// The next generation nobody has had.
    pub fn next_generation(&self) -> u64 {
        self.generation.max(self.issued) + 1
    }
}

/// Memory that is spoken for on one host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reservation {
    /// Bytes by VM.
    pub vms: std::collections::BTreeMap<Uuid, i64>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Reservation {
    /// All of it, bytes.
    pub fn total(&self) -> i64 {
        self.vms.values().sum()
    }
}

/// Who has a VDI open.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VdiLock {
    /// The holders by VM (or by saga, for a copy or export): one writer, or readers.
    pub holders: std::collections::BTreeMap<Uuid, LockHolder>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// One holder of a VDI.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LockHolder {
    /// The VM, or `None` for a copy or export.
    pub vm: Option<Uuid>,
    /// The saga that holds it, if not a VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saga: Option<Uuid>,
    /// Where it is open.
    pub host: Uuid,
    /// In which boot of that host: with the boot's fence it is void.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot_id: String,
    /// For writing.
    pub write: bool,
    /// The VM's placement generation.
    pub generation: u64,
    /// Since when, seconds since the epoch.
    pub since: i64,
}

/// A session; its key in the database is the SHA-256 of its token (design.md section 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Uuid of the session object, which is not its token.
    pub uuid: Uuid,
    /// Who logged in.
    pub user: String,
    /// Role: XenAPI's name.
    pub role: String,
    /// Name that the client gave itself.
    pub originator: String,
    /// Address of the client.
    pub origin: String,
    /// Host that answered the login.
    pub host: Uuid,
    /// When, seconds since the epoch.
    pub created: i64,
    /// Last use, written at most every five minutes.
    pub last_active: i64,
    /// A session that only this pool's hosts use.
    #[serde(default)]
    pub pool_internal: bool,
    #[serde(default)]
    pub other_config: std::collections::BTreeMap<String, String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A local account of the pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// argon2 hash in PHC form.
    pub hash: String,
    /// Role: XenAPI's name.
    pub role: String,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// What a member tells the others of itself; written by the member, read by voter planning and forwarding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Address of API, database and migration.
    pub address: String,
    /// API port.
    pub api_port: u16,
    /// URL for etcd's clients.
    pub etcd_client_url: String,
    /// URL for etcd's peers.
    pub etcd_peer_url: String,
    /// Boot it runs.
    pub boot_id: String,
    /// Highest schema version its software writes.
    pub schema: u32,
    /// Version of its software.
    pub software: String,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Who coordinates, under a lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coordinator {
    /// The host.
    pub host: Uuid,
    /// Raised by every election.
    pub term: u64,
    /// When elected, seconds since the epoch.
    pub since: i64,
    /// The lease under which the role is held, so that a restarted daemon goes on with it.
    #[serde(default)]
    pub lease: i64,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Leave to join, given to one host; gone when the host is a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// The joining host.
    pub host: Uuid,
    /// Chosen by the joining host: tells one attempt from the next.
    pub attempt: Uuid,
    /// When, seconds since the epoch.
    pub since: i64,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Facts of the database's lineage, at one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolMeta {
    /// Uuid of the pool.
    pub pool: Uuid,
    /// Lineage; only forced recovery and restore raise it.
    pub epoch: u64,
    /// Lowest schema version of the pool's hosts.
    pub schema_active: u32,
    /// The pool CA's certificate, PEM.
    pub ca_pem: String,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A host lease's value, written by `holdfast-had`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostLease {
    /// Boot of the host.
    pub boot_id: String,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A fence: one boot of a host has ended (design.md section 5.5). What that boot held is void from this record's commit
/// on; readers judge by its presence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fence {
    /// The host.
    pub host: Uuid,
    /// The boot that ended.
    pub boot_id: String,
    /// Lineage at that time.
    pub pool_epoch: u64,
    /// What proves it.
    pub proof: FenceProof,
    /// When, seconds since the epoch.
    pub since: i64,
    /// Who wrote it: an account, or the pool itself.
    pub by: String,
    /// When nothing was left of that boot in the records, seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<i64>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A proof as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FenceProof {
    /// One that this version knows.
    Known(planner::fence::Proof),
    /// A newer version's: as good, since it was judged there, and kept as it is.
    Newer(Unknown),
}

impl FenceProof {
    /// In words.
    pub fn text(&self) -> String {
        match self {
            Self::Known(proof) => proof.text(),
            Self::Newer(proof) => {
                let kind = proof.get("kind").and_then(|k| k.as_str()).unwrap_or("unknown");
                format!("a newer version of the software has the proof '{kind}'")
            }
        }
    }
}

/// A host that was taken out of the pool without its doing. It finds this when it comes back, and keeps still.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forgotten {
    /// The host.
    pub host: Uuid,
    /// Its label.
    pub name: String,
    /// When, seconds since the epoch.
    pub since: i64,
    /// Who did it.
    pub by: String,
    /// What proved that it had stopped, in words.
    pub proof: String,
    /// All its records are put away.
    #[serde(default)]
    pub done: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// What every member is known as in the voter plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VoterPlan {
    /// Hosts that shall run a database process, and what they start with.
    pub members: std::collections::BTreeMap<Uuid, VoterSlot>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// One host's place in the voter plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VoterSlot {
    /// etcd's id of the member, decimal; another id than before: the old data directory is set aside.
    pub member: String,
    /// Name and peer URL of every member at its first start.
    pub initial: Vec<(String, String)>,
    /// Does not vote yet, so it is no endpoint either.
    #[serde(default)]
    pub learner: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Encodes a record for the database.
pub fn encode<T: Serialize>(value: &T) -> std::sync::Arc<[u8]> {
    serde_json::to_vec(value).expect("these records have no keys that JSON can't hold").into()
}

/// Reads a record from the database; a record that can't be read is reported by its key by the caller.
///
/// # Errors
/// The parser's message.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_newer_version_survive_a_rewrite() {
        let newer = br#"{"vms":{},"colour":"blue"}"#;
        let record: Reservation = decode(newer).expect("reads");
        let again = encode(&record);
        assert!(std::str::from_utf8(&again).expect("text").contains("\"colour\":\"blue\""));
    }

    #[test]
    fn a_newer_versions_proof_is_a_proof_and_is_kept() {
        let newer = br#"{"host":"00000000-0000-0000-0000-000000000001","boot_id":"b","pool_epoch":1,"since":5,
            "proof":{"kind":"seen_in_pieces","by":"the fire brigade"},"by":"pool","colour":"blue"}"#;
        let fence: Fence = decode(newer).expect("reads");
        assert!(fence.proof.text().contains("seen_in_pieces"));
        let again = encode(&fence);
        let text = std::str::from_utf8(&again).expect("text");
        assert!(text.contains("fire brigade") && text.contains("blue"), "{text}");
        let own = FenceProof::Known(planner::fence::Proof::NewerBoot { boot_id: "c".to_owned() });
        let text = serde_json::to_string(&own).expect("plain JSON");
        assert_eq!(serde_json::from_str::<FenceProof>(&text).expect("reads"), own);
    }
}
