//! `host.json`: who this host is and where its pool's database lives; all that must be known before the database is.
//!
//! Written atomically and flushed at each change, so `kill -9` at any moment leaves the old or the new one whole. The
//! states of [`Home`] are the only places where "which database is mine" is recorded:
//!
//! ```text
//! Embedded ──pool.join on another host arrives──> (marker in the embedded store) ──> Etcd
//! Embedded ──pool.join called here, certificate and peers received──> Joining ──records committed there──> Etcd
//! Joining  ──withdrawn by the pool──> Embedded
//! ```

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where this host's pool database lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// In the embedded store of this host alone.
    Embedded,
    /// In the embedded store still, but another pool has been asked and its answer is on this host's disk: from here
    /// on joining is completed, however often it is interrupted (see [`crate::joining`]).
    Joining,
    /// In etcd, reached through these URLs (kept up to date from the member records).
    Etcd {
        /// Client URLs, this host's own first.
        endpoints: Vec<String>,
        /// The cluster; answers of another one are refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cluster_id: Option<u64>,
    },
}

/// The contents of `host.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// This host's uuid.
    pub host: Uuid,
    /// The pool's uuid.
    pub pool: Uuid,
    /// Lineage of the database that this host last followed (design.md section 3).
    pub epoch: u64,
    /// A later lineage that is known to exist, until this host follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded: Option<u64>,
    /// Where the database is.
    pub home: Home,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

impl Identity {
    /// Reads the file; `None` if this host has never been started.
    ///
    /// # Errors
    /// The file exists and can't be read; the text names it.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", path.display()))
        })
    }

    /// Writes the file atomically and flushes it.
    ///
    /// # Errors
    /// The text names the file.
    pub fn write(&self, path: &Path) -> Result<(), host::Error> {
        let bytes = serde_json::to_vec_pretty(self).expect("an identity has only text keys");
        host::fs::write_durable(path, &bytes, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_being_written_and_read() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("host.json");
        assert_eq!(Identity::read(&path).expect("absent is fine"), None);
        let identity = Identity {
            host: Uuid::from_u128(1),
            pool: Uuid::from_u128(2),
            epoch: 1,
            superseded: Some(2),
            home: Home::Etcd {
                endpoints: vec!["https://10.0.0.1:2379".to_owned()],
                cluster_id: Some(u64::MAX),
            },
            unknown: serde_json::Map::new(),
        };
        identity.write(&path).expect("writes");
        assert_eq!(Identity::read(&path).expect("reads"), Some(identity));
    }
}
