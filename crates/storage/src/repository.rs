//! A `file` repository on disk: which directory, whose it is, which files are volumes, what is kept beside them.
//!
//! ```text
//! <location>/<uuid>.qcow2 | <uuid>.raw | any other *.qcow2, *.raw      volumes
//!            <uuid>.<n>.qcow2                                         the same volume after n snapshots while it ran
//! <location>/.holdfast/sr.json                                        whose repository this is
//!                      volumes/<uuid>.json                            label, description, "is a base image"
//!                      documents/<name>                               VM definitions and the like (S0-41)
//!                      tmp/<uuid>.<what>                              half-made files, removed by `collect`
//!                      lock                                           byte ranges, one per volume being changed
//! ```
//!
//! Invariants: data are found by their own names, the hidden directory may be lost without losing a disk; a directory
//! that holds another repository is refused by name; JSON is versioned and unknown fields survive a rewrite; a volume
//! named by uuid keeps that uuid, any other file's uuid is derived from the repository and its name. Of a volume's
//! several names the highest generation `n` counts, then qcow2 before raw; the others are spare names that running
//! guests may still know (`file/fork.rs`). Volumes are changed only under [`Repository::hold`], which excludes other operations on every host that shares the directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use driver_api::hypervisor::DiskFormat;
use driver_api::storage::{Result, SrSpec};
use driver_api::{DriverError, Kind};
use host::fs::{ByteRange, LockKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::failure::{host_at, io_at};

/// The hidden directory.
pub(crate) const HIDDEN: &str = ".holdfast";
const FORMAT: u32 = 1;
/// Generations that are tried by name; a listing is faster beyond.
const GENERATIONS_TRIED: u32 = 64;
/// Most names shown in a refusal.
const NAMES_SHOWN: usize = 10;

/// Contents of `sr.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    format: u32,
    pub(crate) uuid: Uuid,
    kind: String,
    created_unix_s: u64,
    #[serde(flatten)]
    extra: BTreeMap<String, Value>,
}

/// Contents of `volumes/<uuid>.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct VolumeFacts {
    #[serde(default)]
    format: u32,
    #[serde(default)]
    pub(crate) label: String,
    #[serde(default)]
    pub(crate) description: String,
    /// Frozen data for overlays only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) base: bool,
    /// No generation of its file is higher than this; written before a higher one appears.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) generation: u32,
    #[serde(flatten)]
    extra: BTreeMap<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A volume's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeFile {
    pub(crate) volume: Uuid,
    pub(crate) name: String,
    pub(crate) generation: u32,
    pub(crate) format: DiskFormat,
}

impl VolumeFile {
    /// The name of a generation; 0 is the plain one.
    pub(crate) fn named(volume: Uuid, generation: u32, format: DiskFormat) -> Self {
        let suffix = extension(format);
        let name = match generation {
            0 => format!("{volume}.{suffix}"),
            n => format!("{volume}.{n}.{suffix}"),
        };
        Self { volume, name, generation, format }
    }

    /// Of two names of one volume the one with the higher rank is the volume.
    fn rank(&self) -> (u32, bool) {
        (self.generation, self.format == DiskFormat::Qcow2)
    }
}

/// One repository's directory.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) root: PathBuf,
    pub(crate) sr: Uuid,
    kind: String,
}

/// Volumes held for a change; freed when dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: File,
}

pub(crate) fn extension(format: DiskFormat) -> &'static str {
    match format {
        DiskFormat::Qcow2 => "qcow2",
        DiskFormat::Raw => "raw",
    }
}

/// Directory from `device-config:location`.
pub(crate) fn location(sr: &SrSpec) -> Result<PathBuf> {
    let invalid = |detail: &str| DriverError::new(Kind::Invalid, format!("SR {}", sr.sr), detail);
    let location = sr
        .device_config
        .get("location")
        .ok_or_else(|| invalid("device-config:location is missing"))?;
    let path = PathBuf::from(location);
    let plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    if !path.is_absolute() || !plain || location.contains('\0') {
        return Err(invalid("device-config:location must be an absolute path without `..`"));
    }
    Ok(path)
}

/// A uuid for a file that is not named by one: the same in every scan on every host, different in other repositories.
pub(crate) fn derived_uuid(sr: Uuid, name: &str) -> Uuid {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new()
        .chain_update(b"holdfast volume by name\0")
        .chain_update(sr.as_bytes())
        .chain_update(name.as_bytes())
        .finalize();
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// "a, b and 3 more"
pub(crate) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl Repository {
    /// The directory that the spec names; nothing is read yet.
    pub(crate) fn of(sr: &SrSpec) -> Result<Self> {
        Ok(Self { root: location(sr)?, sr: sr.sr, kind: sr.kind.clone() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn hidden(&self) -> PathBuf {
        self.root.join(HIDDEN)
    }

    pub(crate) fn documents(&self) -> PathBuf {
        self.hidden().join("documents")
    }

    fn facts_path(&self, volume: Uuid) -> PathBuf {
        self.hidden().join("volumes").join(format!("{volume}.json"))
    }

    /// A name for a half-made file, on the same file system; the volume's uuid in front says whose lock protects it.
    pub(crate) fn temporary(&self, volume: Uuid, what: &str) -> PathBuf {
        self.hidden().join("tmp").join(format!("{volume}.{what}"))
    }

    pub(crate) fn error(&self, kind: Kind, detail: impl Into<String>) -> DriverError {
        DriverError::new(kind, self.root.display().to_string(), detail)
    }

    pub(crate) fn no_volume(&self, volume: Uuid) -> DriverError {
        self.error(Kind::NotFound, format!("there is no volume {volume}"))
    }

    /// Whose repository this is; `None` when nobody has marked it.
    pub(crate) fn identity(&self) -> Result<Option<Identity>> {
        let path = self.hidden().join("sr.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_at("read", &path)(error)),
        };
        let identity: Identity = serde_json::from_slice(&bytes).map_err(|error| {
            let detail = format!("{} is damaged: {error}", path.display());
            self.error(Kind::Failed, detail)
        })?;
        if identity.format > FORMAT {
            let detail = format!("made by a newer version (format {})", identity.format);
            return Err(self.error(Kind::Unsupported, detail));
        }
        Ok(Some(identity))
    }

    /// Refuses another repository's directory by name, and a directory that holds no repository (a mount point whose
    /// file system is not mounted). An unmarked directory passes only with volumes inside: other tools made it.
    pub(crate) fn check(&self) -> Result<()> {
        match self.identity()? {
            Some(identity) if identity.uuid == self.sr => Ok(()),
            Some(identity) => {
                let detail = format!("holds the repository {}, not {}", identity.uuid, self.sr);
                Err(self.error(Kind::AlreadyExists, detail))
            }
            None if !self.root.is_dir() => Err(self.error(Kind::NotFound, "no such directory")),
            None if self.files()?.is_empty() => {
                let detail = "there is no repository here; is its file system mounted?";
                Err(self.error(Kind::NotFound, detail))
            }
            None => Ok(()),
        }
    }

    /// [`Repository::check`], then makes what changes need: the hidden directory and, in a repository of other tools,
    /// its mark.
    pub(crate) fn check_for_change(&self) -> Result<()> {
        self.check()?;
        if self.identity()?.is_none() {
            self.mark()?;
        }
        Ok(())
    }

    /// Writes `sr.json` and the directories beside it.
    pub(crate) fn mark(&self) -> Result<()> {
        for directory in ["volumes", "documents", "tmp"] {
            let path = self.hidden().join(directory);
            std::fs::create_dir_all(&path).map_err(io_at("create", &path))?;
        }
        let identity = Identity {
            format: FORMAT,
            uuid: self.sr,
            kind: self.kind.clone(),
            created_unix_s: unix_now().as_secs(),
            extra: BTreeMap::new(),
        };
        self.write_json(&self.hidden().join("sr.json"), &identity)?;
        host::fs::sync_directory(&self.root).map_err(host_at(self.root.display().to_string()))
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(value)
            .map_err(|error| self.error(Kind::Failed, error.to_string()))?;
        host::fs::write_durable(path, &bytes, 0o644).map_err(host_at(path.display().to_string()))
    }

    /// Names in the directory, the hidden one and a fresh file system's `lost+found` left out.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.root).map_err(io_at("list", &self.root))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_at("list", &self.root))?;
            // A name that is no text can't be a volume's; it is shown with its damage where names are shown.
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| name != HIDDEN && name != "lost+found");
        names.sort();
        Ok(names)
    }

    /// Which volume a file name stands for; `None` for files that are no volumes.
    pub(crate) fn volume_of_name(&self, name: &str) -> Option<VolumeFile> {
        let (stem, suffix) = name.rsplit_once('.')?;
        let format = match suffix {
            "qcow2" => DiskFormat::Qcow2,
            "raw" => DiskFormat::Raw,
            _ => return None,
        };
        if stem.is_empty() {
            return None;
        }
        let (head, generation) = match stem.split_once('.').map(|(head, n)| (head, n.parse())) {
            Some((head, Ok(generation))) => (head, generation),
            _ => (stem, 0),
        };
        if let Ok(volume) = Uuid::try_parse(head) {
            let place = VolumeFile::named(volume, generation, format);
            // Only in exactly our spelling; everything else is just a file's name.
            if place.name == name {
                return Some(place);
            }
        }
        let volume = derived_uuid(self.sr, name);
        Some(VolumeFile { volume, name: name.to_owned(), generation: 0, format })
    }

    /// Every name of every volume, the one that counts last.
    pub(crate) fn all_names(&self) -> Result<BTreeMap<Uuid, Vec<VolumeFile>>> {
        let mut volumes: BTreeMap<Uuid, Vec<VolumeFile>> = BTreeMap::new();
        for name in self.names()? {
            if let Some(place) = self.volume_of_name(&name)
                && std::fs::metadata(self.path(&name)).is_ok_and(|metadata| metadata.is_file())
            {
                volumes.entry(place.volume).or_default().push(place);
            }
        }
        for places in volumes.values_mut() {
            places.sort_by_key(VolumeFile::rank);
        }
        Ok(volumes)
    }

    /// Every volume's file.
    pub(crate) fn files(&self) -> Result<Vec<VolumeFile>> {
        Ok(self.all_names()?.into_values().filter_map(|mut places| places.pop()).collect())
    }

    /// Every name of one volume, the one that counts last.
    pub(crate) fn names_of(&self, volume: Uuid) -> Result<Vec<VolumeFile>> {
        Ok(self.all_names()?.remove(&volume).unwrap_or_default())
    }

    /// The file of one volume, opened for reading. By name where it is known how many generations there can be, else by
    /// listing.
    pub(crate) fn find(&self, volume: Uuid) -> Result<Option<(VolumeFile, File)>> {
        if let (Some(facts), _) = self.facts(volume)
            && facts.generation <= GENERATIONS_TRIED
        {
            for generation in (0..=facts.generation).rev() {
                // Later generations are overlays, never raw.
                let formats = [DiskFormat::Qcow2, DiskFormat::Raw];
                for format in formats.into_iter().take(if generation == 0 { 2 } else { 1 }) {
                    let place = VolumeFile::named(volume, generation, format);
                    if let Some(file) = open_if_there(&self.path(&place.name))? {
                        return Ok(Some((place, file)));
                    }
                }
            }
        }
        let Some(place) = self.names_of(volume)?.pop() else { return Ok(None) };
        Ok(open_if_there(&self.path(&place.name))?.map(|file| (place, file)))
    }

    /// What is kept beside a volume; defaults when nothing is, or when it is damaged (then with the reason).
    pub(crate) fn facts(&self, volume: Uuid) -> (Option<VolumeFacts>, Option<String>) {
        let path = self.facts_path(volume);
        match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(facts) => (Some(facts), None),
                Err(error) => (None, Some(format!("{} is damaged: {error}", path.display()))),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => (None, None),
            Err(error) => (None, Some(format!("cannot read {}: {error}", path.display()))),
        }
    }

    /// Changes what is kept beside a volume, durably.
    pub(crate) fn facts_change(
        &self,
        volume: Uuid,
        change: impl FnOnce(&mut VolumeFacts),
    ) -> Result<()> {
        let mut facts = self.facts(volume).0.unwrap_or_default();
        change(&mut facts);
        facts.format = FORMAT;
        self.write_json(&self.facts_path(volume), &facts)
    }

    /// Forgets what is kept beside a volume.
    pub(crate) fn facts_remove(&self, volume: Uuid) -> Result<()> {
        let path = self.facts_path(volume);
        host::fs::remove_durable(&path).map(|_| ()).map_err(host_at(path.display().to_string()))
    }

    /// Volumes that something is kept of, whether or not they have data.
    pub(crate) fn volumes_with_facts(&self) -> Vec<Uuid> {
        let Ok(entries) = std::fs::read_dir(self.hidden().join("volumes")) else {
            return Vec::new();
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect()
    }

    /// Holds volumes for a change until the result is dropped, against other operations here and on other hosts.
    pub(crate) fn hold(&self, volumes: &[Uuid], deadline: Instant) -> Result<Held> {
        let path = self.hidden().join("lock");
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(io_at("open", &path))?;
        // In ascending order, so that two holders of several never wait for each other.
        let bytes: BTreeSet<(u64, Uuid)> = volumes
            .iter()
            .map(|volume| (u64::try_from(volume.as_u128() >> 66).expect("62 bits"), *volume))
            .collect();
        for (start, volume) in bytes {
            let range = ByteRange { start, len: 1 };
            let got = host::fs::lock_until(&lock, range, LockKind::Exclusive, deadline)
                .map_err(host_at(path.display().to_string()))?;
            if !got {
                let detail = format!(
                    "another operation on volume {volume} has not ended, here or on another host"
                );
                return Err(self.error(Kind::InUse, detail));
            }
        }
        Ok(Held { _lock: lock })
    }
}

pub(crate) fn open_if_there(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_at("open", path)(error)),
    }
}

/// Time of day since the epoch, as files' times have it; zero before it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the door to what is compared with files' times"
)]
pub(crate) fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
