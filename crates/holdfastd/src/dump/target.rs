//! A directory outside the pool to which dumps are brought (S1-25), and its bounds (S4-41). Blocking; no database here.
//!
//! ```text
//! NAME.part written, flushed ─> read back from there ─> loaded ─> renamed to NAME ─> surplus removed
//! ```
//! Only what was loaded from there gets its name, so every name is a good dump; `.part` is what an interrupted try left.

use std::path::Path;

use planner::dump_schedule::{self, Kept, Quota, Space};

use crate::pki::PoolKey;

/// File by which a person declares a directory to be a target although it is no mount of its own. With a mount that is
/// missing, its declaration is missing, too.
pub const DECLARATION: &str = ".holdfast-dump-target";
const PART: &str = ".part";
/// What lies on a mount with one of these lies on the host's own disk.
const SYSTEMS_OWN: &[&str] =
    &["/", "/boot", "/etc", "/home", "/run", "/tmp", "/usr", "/var", "/var/lib", "/var/log"];

/// Why a target can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No such directory.
    #[error("{0} is no directory here; targets are never made, so that a missing mount is noticed")]
    Missing(String),
    /// It lies on the system's own mount and nobody declared it.
    #[error(
        "{0} is no mount of its own; if nothing is mounted there, mount it; if it shall be used as it is: touch {0}/{DECLARATION}"
    )]
    NotMounted(String),
    /// The file system's or the quota's bounds.
    #[error("{0}")]
    NoRoom(dump_schedule::NoRoom),
    /// What was written there can't be loaded from there.
    #[error("what was written is not what is read back: {0}")]
    NotGood(#[from] super::Unusable),
    /// The file system failed.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The file system failed.
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
}

/// Whether dumps may be brought there; `state` is the host's own state directory.
///
/// # Errors
/// [`TargetError::Missing`] or [`TargetError::NotMounted`].
pub fn check(directory: &Path, state: &Path) -> Result<(), TargetError> {
    let shown = || directory.display().to_string();
    if !directory.is_absolute() || !directory.is_dir() {
        return Err(TargetError::Missing(shown()));
    }
    let mount = host::fs::mount_of(directory)?;
    let is_own = SYSTEMS_OWN
        .iter()
        .map(Path::new)
        .chain([state])
        .all(|own| host::fs::mount_of(own).map_or(true, |theirs| theirs != mount));
    if is_own || directory.join(DECLARATION).exists() {
        return Ok(());
    }
    Err(TargetError::NotMounted(shown()))
}

/// The good dumps there whose names begin so.
///
/// # Errors
/// The directory can't be read.
pub fn list(directory: &Path, prefix: &str) -> Result<Vec<Kept>, TargetError> {
    entries(directory, prefix)
        .map(|all| all.into_iter().filter(|kept| !kept.name.ends_with(PART)).collect())
}

fn entries(directory: &Path, prefix: &str) -> Result<Vec<Kept>, TargetError> {
    let io = |source| TargetError::Io { path: directory.display().to_string(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(io)? {
        let entry = entry.map_err(io)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(prefix) {
            let bytes = entry.metadata().map(|m| m.len()).unwrap_or(0);
            found.push(Kept { name, bytes });
        }
    }
    found.sort();
    Ok(found)
}

fn space(directory: &Path, state: &Path) -> Result<Space, TargetError> {
    use std::os::unix::fs::MetadataExt as _;
    let of = host::fs::space(directory)?;
    let device = |path: &Path| std::fs::metadata(path).ok().map(|m| m.dev());
    let own = device(directory);
    Ok(Space {
        total_bytes: of.total_bytes,
        available_bytes: of.available_bytes,
        is_systems_own: own.is_some() && [Path::new("/"), state].iter().any(|p| device(p) == own),
    })
}

/// Brings a dump to a target: makes room, writes, reads back, loads, names it, removes what is too many.
///
/// # Errors
/// The target has what it had; nothing of the new dump is left unless the daemon ends here.
pub fn bring(
    directory: &Path,
    state: &Path,
    prefix: &str,
    name: &str,
    bytes: &[u8],
    key: &PoolKey,
    quota: &Quota,
) -> Result<(), TargetError> {
    check(directory, state)?;
    for left in entries(directory, prefix)?.iter().filter(|e| e.name.ends_with(PART)) {
        host::fs::remove_durable(&directory.join(&left.name))?;
    }
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let held = list(directory, prefix)?;
    let room = dump_schedule::room(held, size, quota, &space(directory, state)?)
        .map_err(TargetError::NoRoom)?;
    let remove = |names: &[String]| -> Result<(), TargetError> {
        for old in names {
            host::fs::remove_durable(&directory.join(old))?;
        }
        Ok(())
    };
    remove(&room.before)?;
    let part = directory.join(format!("{name}{PART}"));
    let good = host::fs::write_and_read_back(&part, bytes, 0o600)
        .map_err(TargetError::from)
        .and_then(|back| Ok(super::trial::load(&back, key).map(drop)?));
    if let Err(error) = good {
        let _ = host::fs::remove_durable(&part);
        return Err(error);
    }
    std::fs::rename(&part, directory.join(name))
        .map_err(|source| TargetError::Io { path: part.display().to_string(), source })?;
    host::fs::sync_directory(directory)?;
    remove(&room.after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::{tests, write};

    const QUOTA: Quota = Quota { keep: 2, max_bytes: 1 << 20 };

    fn names(directory: &Path) -> Vec<String> {
        entries(directory, "pool-x-").expect("lists").into_iter().map(|k| k.name).collect()
    }

    #[test]
    fn a_dump_gets_its_name_once_it_loads_from_where_it_is_and_the_oldest_goes() {
        let (dir, state) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let key = PoolKey::generate();
        let bytes = write(&tests::view(), &key, &tests::maker());
        let bring = |name: &str, bytes: &[u8]| {
            super::bring(dir.path(), state.path(), "pool-x-", name, bytes, &key, &QUOTA)
        };
        std::fs::write(dir.path().join(DECLARATION), "").expect("declared");
        std::fs::write(dir.path().join("pool-x-0.part"), "cut off").expect("an interrupted try");
        std::fs::write(dir.path().join("pool-y-0"), "another pool's").expect("a neighbour");
        for name in ["pool-x-1", "pool-x-2", "pool-x-3"] {
            bring(name, &bytes).expect("is good");
        }
        assert_eq!(names(dir.path()), ["pool-x-2", "pool-x-3"]);
        // What does not load is no dump, and the last good ones stay.
        let refused = bring("pool-x-4", &bytes[..bytes.len() - 9]);
        assert!(matches!(refused, Err(TargetError::NotGood(_))), "{refused:?}");
        let strange = super::bring(
            dir.path(),
            state.path(),
            "pool-x-",
            "pool-x-5",
            &bytes,
            &PoolKey::generate(),
            &QUOTA,
        );
        assert!(matches!(strange, Err(TargetError::NotGood(_))), "{strange:?}");
        assert_eq!(names(dir.path()), ["pool-x-2", "pool-x-3"]);
        assert!(dir.path().join("pool-y-0").exists());
    }

    #[test]
    fn a_directory_that_is_no_mount_of_its_own_is_refused_unless_declared() {
        let state = tempfile::tempdir().expect("dir");
        let inside = state.path().join("inside");
        let missing = check(&inside, state.path());
        assert!(matches!(missing, Err(TargetError::Missing(_))), "{missing:?}");
        std::fs::create_dir(&inside).expect("makes");
        let refused = check(&inside, state.path()).expect_err("it is the state's own mount");
        assert!(refused.to_string().contains("touch /"), "{refused}");
        std::fs::write(inside.join(DECLARATION), "").expect("declared");
        check(&inside, state.path()).expect("declared");
    }
}
