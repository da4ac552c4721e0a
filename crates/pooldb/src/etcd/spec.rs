//! What this host's etcd process should be: `spec.json`, written by the daemon, followed by the unit `holdfastd etcd-unit`.
//!
//! The file is replaced atomically and synced, so the unit sees the old or the new spec, never a part. It is not in the
//! pool database: it says how that database runs here.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The wanted state of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSpec {
    /// Grows with every change; the process is started anew when it does.
    pub generation: u64,
    /// Whether it should run.
    pub run: bool,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Further environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where the member keeps its data.
    pub data_dir: PathBuf,
    /// This generation is a member of a new identity: data of an earlier one is set aside before its first start.
    /// etcd refuses to run a removed member's data under a new id (lab-notes 2.3).
    #[serde(default)]
    pub fresh: bool,
    /// To be stopped by a kill instead of a request: a member that has lost its majority for good takes a second over its
    /// farewell to clients whose calls can't be answered any more, and its data are as good either way.
    #[serde(default)]
    pub at_once: bool,
}

/// Beside the spec: the newest generation whose directory was prepared.
const PREPARED: &str = "prepared";
/// Suffix of the one directory set aside.
const ASIDE: &str = "previous";

impl UnitSpec {
    /// The spec in that file; `None` when there is none yet.
    ///
    /// # Errors
    /// When the file can't be read or is no spec.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file; durable when this returns.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_durably(path, &serde_json::to_vec_pretty(self)?)
    }

    /// Makes the data directory; for the first start of a fresh generation sets older data aside (only the newest such
    /// directory is kept). May be repeated. `dir` is the spec's directory.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn prepare(&self, dir: &Path) -> io::Result<()> {
        let marker = dir.join(PREPARED);
        let prepared: u64 = match fs::read_to_string(&marker) {
            Ok(text) => text.trim().parse().unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        if self.fresh && prepared < self.generation && self.data_dir.exists() {
            let aside = self.data_dir.with_extension(ASIDE);
            match fs::remove_dir_all(&aside) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            fs::rename(&self.data_dir, &aside)?;
        }
        // etcd insists on 0700.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.data_dir)?;
        if let Some(parent) = self.data_dir.parent() {
            File::open(parent)?.sync_all()?;
        }
        if prepared < self.generation {
            write_durably(&marker, self.generation.to_string().as_bytes())?;
        }
        Ok(())
    }
}

/// Writes beside, syncs, renames, syncs the directory.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(dir: &Path, generation: u64, fresh: bool) -> UnitSpec {
        UnitSpec {
            generation,
            run: true,
            argv: vec!["/usr/bin/etcd".to_owned()],
            env: BTreeMap::from([("GOGC".to_owned(), "40".to_owned())]),
            data_dir: dir.join("data"),
            fresh,
            at_once: false,
        }
    }

    #[test]
    fn spec_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("spec.json");
        assert_eq!(UnitSpec::read(&path).expect("no file is no error"), None);
        let spec = spec(dir.path(), 3, true);
        spec.write(&path).expect("writes");
        assert_eq!(UnitSpec::read(&path).expect("reads"), Some(spec));
        fs::write(&path, b"{\"generation\":").expect("writes");
        assert!(UnitSpec::read(&path).is_err());
    }

    #[test]
    fn fresh_generation_sets_old_data_aside_exactly_once() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("data").join("member");
        spec(dir.path(), 1, true).prepare(dir.path()).expect("prepares");
        fs::write(&file, b"of generation 1").expect("writes");
        spec(dir.path(), 1, true).prepare(dir.path()).expect("prepares again");
        assert!(file.exists(), "a restart must not lose the member's data");
        spec(dir.path(), 2, false).prepare(dir.path()).expect("prepares");
        assert!(file.exists(), "other arguments must not lose the member's data");
        spec(dir.path(), 3, true).prepare(dir.path()).expect("prepares");
        assert!(!file.exists());
        assert!(dir.path().join("data.previous").join("member").exists());
    }
}
