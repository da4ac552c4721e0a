//! A backup of this host's own configuration and state: `xe host-backup`, and `holdfastd backup-host` without the daemon
//! (S1-33).
//!
//! A tar archive whose first file is `manifest.json`: of which host, pool and lineage, what is in it with sizes and
//! SHA-256, what is not in it and where that is to be had. In it:
//!
//! | file | restored to | |
//! |---|---|---|
//! | `etc/holdfast.toml` | the directory of the configuration | as it is |
//! | `state/host.json` | the state directory | only where the present one can't be read |
//! | `state/tls/ca.pem`, `host.pem` | the state directory | as they are |
//! | `state/tls/host.key` | the state directory | sealed with the pool key |
//! | `state/evidence/*` | the state directory | what is there already stays |
//! | `reference/*` | nowhere | the host's record, its interfaces, the system's own network files: for a person |
//!
//! Not in it: the pool's database (`xe pool-dump-database`; every host has a copy), the pool key (it is on every host of
//! the pool, and in its escrow), passwords, guests' disks. So the file alone opens nothing. The system's network files are
//! saved to be compared and never written back: that could cut off whoever restores.
//!
//! Where next: [`restore`].

pub mod restore;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::View;
use crate::app::text;
use crate::archive::{self, Archive};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::dump::offline;
use crate::identity::Identity;
use crate::pki::{self, PoolKey};

/// What the manifest calls the archive.
pub const FORMAT: &str = "holdfast-host-backup";
/// Version that this software writes, and the highest it reads.
pub const VERSION: u32 = 1;
/// Largest backup that is read, bytes.
pub const MAX_BYTES: usize = 256 << 20;
/// Largest single file of evidence that is taken in, bytes.
const EVIDENCE_BYTES: u64 = 32 << 20;
const MANIFEST: &str = "manifest.json";
/// Where a system keeps its network configuration.
const NETWORK_FILES: &[&str] = &[
    "/etc/network/interfaces",
    "/etc/network/interfaces.d",
    "/etc/systemd/network",
    "/etc/netplan",
];

/// Where a file belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The directory of the configuration.
    Etc,
    /// The directory of the state.
    State,
    /// Nowhere: for a person who compares.
    Reference,
}

/// One file of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Name in the archive.
    pub name: String,
    /// Where it belongs.
    pub place: Place,
    /// Name below that place.
    pub path: String,
    /// Permissions.
    pub mode: u32,
    /// Bytes in the archive.
    pub bytes: u64,
    /// SHA-256 of them, hexadecimal.
    pub sha256: String,
    /// Sealed with the pool key, under its name.
    #[serde(default)]
    pub sealed: bool,
}

/// What the archive is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// When it was made, seconds since the epoch.
    pub made_at: i64,
    /// Version of the host's software.
    pub software: String,
    /// The host.
    pub host: Uuid,
    /// Its name.
    pub host_name: String,
    /// Its pool.
    pub pool: Uuid,
    /// Lineage of the pool's database.
    pub pool_epoch: u64,
    /// Directory of the configuration.
    pub etc: PathBuf,
    /// Directory of the state.
    pub state: PathBuf,
    /// What is in it.
    pub files: Vec<Part>,
    /// What is not in it, and where it is to be had.
    pub left_out: Vec<String>,
}

impl Manifest {
    /// For a person.
    pub fn summary(&self) -> String {
        let made = xenapi::Timestamp(self.made_at);
        format!(
            "Backup of host '{}' ({}) in pool {}, lineage {}, made {made} by version {}: {} files.",
            self.host_name,
            self.host,
            self.pool,
            self.pool_epoch,
            self.software,
            self.files.len()
        )
    }
}

/// A backup that was read and checked: each part with its content as it stands in the archive.
#[derive(Debug, Clone)]
pub struct Backup {
    /// What it is.
    pub manifest: Manifest,
    /// Its files.
    pub parts: Vec<(Part, Vec<u8>)>,
}

/// Makes the backup of this host. `view` is what the host knows of its pool.
///
/// # Errors
/// The text names the file that can't be read. What was made is read back before it is returned.
pub fn make(
    config: &Config,
    identity: &Identity,
    key: &PoolKey,
    view: Option<&View>,
    now: i64,
) -> anyhow::Result<Vec<u8>> {
    let mut made = Making { key, parts: Vec::new(), left_out: Vec::new() };
    let at = |dir: &Path, name: &str| dir.join(name);
    let (etc, state) = (&config.paths.etc, &config.paths.state);
    made.file(Place::Etc, "holdfast.toml", &at(etc, "holdfast.toml"), false)?;
    made.file(Place::State, "host.json", &config.host_file(), false)?;
    for (name, sealed) in [(pki::CA_FILE, false), (pki::CERT_FILE, false), (pki::KEY_FILE, true)] {
        made.file(Place::State, &format!("tls/{name}"), &at(&config.tls_dir(), name), sealed)?;
    }
    for path in files_in(&at(state, "evidence")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match std::fs::metadata(&path) {
            Ok(found) if found.len() > EVIDENCE_BYTES => made.left_out.push(format!(
                "{}: {} bytes of evidence are more than {EVIDENCE_BYTES}; copy it yourself",
                path.display(),
                found.len()
            )),
            _ => made.file(Place::State, &format!("evidence/{name}"), &path, false)?,
        }
    }
    made.reference(config, identity, view);
    made.left_out.extend([
        "the pool's database: xe pool-dump-database file-name=FILE; every host of the pool has a copy, too".to_owned(),
        format!(
            "the pool key ({}): it is on every host of the pool, and in its escrow",
            at(state, crate::start::POOL_KEY_FILE).display()
        ),
        "guests' memory and disks, and passwords".to_owned(),
    ]);
    let host = view.and_then(|v| v.record("host", identity.host));
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        made_at: now,
        software: crate::first_start::VERSION.to_owned(),
        host: identity.host,
        host_name: host.map_or(config.host.name.clone(), |h| text(h, "name_label").to_owned()),
        pool: identity.pool,
        pool_epoch: identity.epoch,
        etc: etc.clone(),
        state: state.clone(),
        files: made.parts.iter().map(|(part, _)| part.clone()).collect(),
        left_out: made.left_out,
    };
    let mut archive = Archive::new(now);
    archive.add(MANIFEST, &serde_json::to_vec_pretty(&manifest)?);
    for (part, content) in &made.parts {
        archive.add(&part.name, content);
    }
    let bytes = archive.finish();
    // What can't be read again is worth nothing.
    read(&bytes).context("the backup that was just made")?;
    Ok(bytes)
}

/// Makes the backup without the daemon, in a new file.
///
/// # Errors
/// As [`make`]; a file that exists is not overwritten.
pub fn save(config: &Config, file: &Path) -> anyhow::Result<Manifest> {
    if file.exists() {
        bail!("{} exists already; an older backup is never overwritten", file.display());
    }
    let identity = Identity::read(&config.host_file())?.with_context(|| {
        format!("{} is missing: holdfastd was never started here", config.host_file().display())
    })?;
    let key = key_in(&config.paths.state.join(crate::start::POOL_KEY_FILE))?;
    // A running daemon holds the copy; then the backup does without the host's record.
    let view = offline::open(config).ok().map(|(_, view, _, _)| view);
    let bytes = make(config, &identity, &key, view.as_ref(), SystemClock.unix_seconds())?;
    host::fs::write_durable(file, &bytes, 0o600)?;
    Ok(read(&std::fs::read(file)?)?.manifest)
}

fn key_in(path: &Path) -> anyhow::Result<PoolKey> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the pool key {}", path.display()))?;
    PoolKey::from_hex(&text).with_context(|| format!("{} does not hold a pool key", path.display()))
}

struct Making<'k> {
    key: &'k PoolKey,
    parts: Vec<(Part, Vec<u8>)>,
    left_out: Vec<String>,
}

impl Making<'_> {
    fn add(&mut self, place: Place, path: &str, mode: u32, content: Vec<u8>, sealed: bool) {
        let dir = match place {
            Place::Etc => "etc",
            Place::State => "state",
            Place::Reference => "reference",
        };
        let name = format!("{dir}/{path}");
        let content = if sealed {
            self.key.seal(&sealing_name(&name), &String::from_utf8_lossy(&content))
        } else {
            content
        };
        let part = Part {
            name,
            place,
            path: path.to_owned(),
            mode,
            bytes: content.len() as u64,
            sha256: sha256(&content),
            sealed,
        };
        self.parts.push((part, content));
    }

    fn file(&mut self, place: Place, name: &str, path: &Path, sealed: bool) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let content = match std::fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.left_out.push(format!("{}: it does not exist", path.display()));
                return Ok(());
            }
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let mode = std::fs::metadata(path).map_or(0o600, |m| m.permissions().mode() & 0o777);
        self.add(place, name, mode, content, sealed);
        Ok(())
    }

    /// What a person wants to compare with: best effort.
    fn reference(&mut self, config: &Config, identity: &Identity, view: Option<&View>) {
        let host = view.and_then(|v| v.record("host", identity.host)).map(|host| {
            let fields = [
                "name_label",
                "name_description",
                "hostname",
                "address",
                "cpu_info",
                "software_version",
                "tags",
            ];
            let values = fields
                .map(|f| (f, host.get_by_name(f).map(|v| format!("{v:?}")).unwrap_or_default()));
            values.into_iter().collect::<std::collections::BTreeMap<_, _>>()
        });
        let mut interfaces = Vec::new();
        for found in host::network::interfaces().unwrap_or_default() {
            let addresses = host::network::addresses(&found.name).unwrap_or_default();
            let addresses: Vec<String> =
                addresses.iter().map(|a| format!("{}/{}", a.ip, a.prefix)).collect();
            interfaces.push(json!({
                "name": found.name, "kind": format!("{:?}", found.kind), "mac": found.mac, "mtu": found.mtu,
                "master": found.master, "bus": found.bus, "driver": found.driver, "addresses": addresses,
            }));
        }
        let route =
            host::network::default_route().ok().flatten().map(|(dev, via)| format!("{via} {dev}"));
        let facts = json!({
            "host": host, "address": config.host.address, "interfaces": interfaces, "default_route": route,
        });
        self.add(
            Place::Reference,
            "machine.json",
            0o600,
            format!("{facts:#}\n").into_bytes(),
            false,
        );
        for place in NETWORK_FILES.iter().map(Path::new) {
            let files = if place.is_dir() { files_in(place) } else { vec![place.to_owned()] };
            for file in files {
                if let Ok(content) = std::fs::read(&file) {
                    let name = format!("system{}", file.display());
                    self.add(Place::Reference, &name, 0o600, content, false);
                }
            }
        }
    }
}

fn sealing_name(name: &str) -> String {
    format!("host backup {name}")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_file()))
        .map(|e| e.path())
        .collect();
    found.sort();
    found
}

/// Reads a backup and checks all of it: format, names, sizes, hashes.
///
/// # Errors
/// The first thing that is wrong, in words.
pub fn read(bytes: &[u8]) -> anyhow::Result<Backup> {
    let files = archive::read(bytes)
        .map_err(|why| anyhow::anyhow!("the file is no backup of a host: {why}"))?;
    let first = files.first().filter(|f| f.name == MANIFEST);
    let Some(first) = first else {
        bail!("the file is no backup of a host: its first file is not {MANIFEST}")
    };
    #[derive(Deserialize)]
    struct Kind {
        format: String,
        version: u32,
    }
    let kind: Kind = serde_json::from_slice(first.content).context("the backup's manifest")?;
    if kind.format != FORMAT {
        bail!("the file is no backup of a host: it calls itself '{}'", kind.format);
    }
    if kind.version > VERSION {
        bail!(
            "the backup has format {}; this version reads up to {VERSION}: use the version that wrote it, or a later one",
            kind.version
        );
    }
    let manifest: Manifest =
        serde_json::from_slice(first.content).context("the backup's manifest")?;
    let mut parts = Vec::new();
    for part in &manifest.files {
        let leads_out =
            |p: &str| p.is_empty() || p.starts_with('/') || p.split('/').any(|d| d == "..");
        if leads_out(&part.path) {
            bail!(
                "the backup is damaged: {} would be restored outside of its directory",
                part.name
            );
        }
        let content = files[1..].iter().find(|f| f.name == part.name).map(|f| f.content);
        let Some(content) = content else {
            bail!("the backup is damaged: {} is missing", part.name)
        };
        if content.len() as u64 != part.bytes || sha256(content) != part.sha256 {
            bail!("the backup is damaged: {} is not what the manifest says", part.name);
        }
        parts.push((part.clone(), content.to_vec()));
    }
    Ok(Backup { manifest, parts })
}
