//! Giving a host its backup back: `xe host-restore` on a running host, `holdfastd restore-host` beside a dead daemon or from
//! a rescue system (S1-33, S1-34). No installation medium is needed.
//!
//! ```text
//! read, check every hash ─> planner::host_restore: refusals ─> plan, file by file (a dry run ends here)
//!    ─> STATE/host-restore/N, flushed ─> marker STATE/host-restore.json ─> [daemon ends; the next start goes on]
//!    ─> each file: old one aside, new one in place ─> marker removed
//! ```
//! The marker is the moment of decision: before it nothing has happened, after it every start finishes the restore before
//! it reads any of these files, however often it is interrupted. What was there stays in `STATE/before-host-restore/`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use planner::host_restore::{self as rules, Key, Present, Whose};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Backup, Part, Place, sealing_name};
use crate::dump::offline::REPLICA_FILE;
use crate::identity::Identity;
use crate::pki::PoolKey;

/// The marker.
const MARKER: &str = "host-restore.json";
/// The new files until they are in place.
const STAGE: &str = "host-restore";
/// What was there before.
const BEFORE: &str = "before-host-restore";

/// What becomes of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Made or replaced.
    Write,
    /// It is the same already.
    Same,
    /// What is there counts.
    Keep,
    /// For a person only.
    Reference,
}

/// One file of a plan.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which.
    pub part: Part,
    /// Where it is put.
    pub to: PathBuf,
    /// What becomes of it.
    pub fate: Fate,
    /// In words.
    pub text: String,
    content: Content,
}

/// Content of a file that may be a key: never printed.
#[derive(Clone)]
struct Content(Vec<u8>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What a restore will do, or why it must not.
#[derive(Debug, Clone)]
pub struct Plan {
    /// File by file.
    pub steps: Vec<Step>,
    /// Why not.
    pub refusals: Vec<String>,
}

impl Plan {
    /// For a person, a line each.
    pub fn lines(&self) -> Vec<String> {
        let word = |fate| match fate {
            Fate::Write => "restore",
            Fate::Same => "same",
            Fate::Keep => "keep",
            Fate::Reference => "compare",
        };
        let mut lines: Vec<String> =
            self.steps.iter().map(|s| format!("{:8} {}", word(s.fate), s.text)).collect();
        lines.extend(self.refusals.iter().map(|why| format!("refused  {why}")));
        lines
    }
}

/// Where the restored host's files are: below `/`, or below the root of a system that is mounted elsewhere.
#[derive(Debug, Clone)]
pub struct Target {
    /// That root.
    pub root: PathBuf,
    /// File with the pool key, if not the host's own.
    pub pool_key: Option<PathBuf>,
}

impl Target {
    /// This running system.
    pub fn here() -> Self {
        Self { root: PathBuf::from("/"), pool_key: None }
    }

    fn of(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn is_here(&self) -> bool {
        self.root == Path::new("/")
    }
}

/// Works out what would happen. `guests` are those that the caller knows of besides the processes of this machine.
///
/// # Errors
/// A file that is there can't be read.
pub fn plan(backup: &Backup, target: &Target, guests: Vec<String>) -> anyhow::Result<Plan> {
    let manifest = &backup.manifest;
    let state = target.of(&manifest.state);
    let key_file =
        target.pool_key.clone().unwrap_or_else(|| state.join(crate::start::POOL_KEY_FILE));
    let key = std::fs::read_to_string(&key_file).ok().and_then(|text| PoolKey::from_hex(&text));
    let identity = Identity::read(&state.join("host.json")).ok().flatten();
    let mut present = known(&state, identity.as_ref());
    present.guests = guests;
    if target.is_here() {
        match running_guests() {
            Ok(found) if present.guests.is_empty() => present.guests = found,
            Ok(_) => {}
            Err(error) => present.guests_unknown = Some(error.chain()),
        }
    }
    let mut steps = Vec::new();
    for (part, content) in &backup.parts {
        let content = match (&key, part.sealed) {
            (_, false) => content.clone(),
            (None, true) => {
                present.key = Key::Missing;
                continue;
            }
            (Some(key), true) => match key.unseal(&sealing_name(&part.name), content) {
                Ok(plain) => plain.expose().as_bytes().to_vec(),
                Err(_) => {
                    present.key = Key::Other;
                    continue;
                }
            },
        };
        steps.push(step(part, content, target, manifest, identity.is_some())?);
    }
    let whose = Whose { host: manifest.host, pool: manifest.pool, epoch: manifest.pool_epoch };
    let refusals = rules::refusals(&whose, &manifest.host_name, &present);
    Ok(Plan { steps, refusals })
}

fn step(
    part: &Part,
    content: Vec<u8>,
    target: &Target,
    manifest: &super::Manifest,
    identified: bool,
) -> anyhow::Result<Step> {
    let to = match part.place {
        Place::Etc => target.of(&manifest.etc).join(&part.path),
        Place::State => target.of(&manifest.state).join(&part.path),
        Place::Reference => PathBuf::from("/").join(part.path.trim_start_matches("system")),
    };
    let present = match std::fs::read(&to) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| to.display().to_string()),
    };
    let same = present.as_ref() == Some(&content);
    let shown = to.display();
    let (fate, text) = match (part.place, &present) {
        (Place::Reference, _) if part.path == "machine.json" => (
            Fate::Reference,
            format!("{} in the backup: the host's record and interfaces then", part.name),
        ),
        (Place::Reference, _) if same => (Fate::Same, shown.to_string()),
        (Place::Reference, _) => (
            Fate::Reference,
            format!("{shown} differs from {} in the backup; it is never written", part.name),
        ),
        _ if same => (Fate::Same, shown.to_string()),
        (_, Some(_)) if part.path == "host.json" && identified => {
            (Fate::Keep, format!("{shown}: the present identity can be read and is the newer one"))
        }
        (_, Some(_)) if part.path.starts_with("evidence/") => {
            (Fate::Keep, format!("{shown}: evidence that is there is not replaced"))
        }
        (_, Some(_)) => {
            (Fate::Write, format!("{shown}, which differs; the present one is kept aside"))
        }
        (_, None) => (Fate::Write, format!("{shown}, which is missing")),
    };
    Ok(Step { part: part.clone(), to, fate, text, content: Content(content) })
}

/// What the host's own files still say of it.
fn known(state: &Path, identity: Option<&Identity>) -> Present {
    let replica = state.join("db").join(REPLICA_FILE);
    // A running daemon holds the file, and then its identity says all of this.
    let view = pooldb::replica::persist::read_file::<xenapi::Record>(&replica).ok();
    let pool = view.as_ref().and_then(|v| v.records("pool").next().map(|p| p.uuid()));
    let epoch = view.as_ref().and_then(|v| v.pool_epoch());
    Present {
        host: identity.map(|i| i.host),
        pool: identity.map(|i| i.pool).or(pool),
        epoch: identity.map(|i| i.superseded.unwrap_or(i.epoch).max(i.epoch)).max(epoch),
        ..Present::default()
    }
}

/// Guests whose process runs on this machine.
fn running_guests() -> Result<Vec<String>, host::Error> {
    let is_guest = |argv: &[String]| {
        argv.first().is_some_and(|program| program.contains("qemu-system"))
            && argv.iter().any(|a| a.starts_with("guest="))
    };
    let found = host::proc::find(is_guest)?;
    Ok(found
        .iter()
        .map(|process| {
            let argv = host::proc::argv(process.id.pid);
            let name = argv.iter().find_map(|a| a.strip_prefix("guest=")?.split(',').next());
            format!("{}, process {}", name.unwrap_or("a guest"), process.id.pid)
        })
        .collect())
}

#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    host: Uuid,
    made_at: i64,
    files: Vec<Move>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Move {
    /// Number in the stage.
    number: usize,
    to: PathBuf,
    mode: u32,
}

/// Makes the restore certain: from here on [`settle`] finishes it. Returns how many files will change.
///
/// # Errors
/// What a refusal says, or a file that can't be written; nothing is decided then.
pub fn stage(backup: &Backup, plan: &Plan, target: &Target) -> anyhow::Result<usize> {
    if let Some(why) = plan.refusals.first() {
        bail!("{why}");
    }
    let state = target.of(&backup.manifest.state);
    let stage = state.join(STAGE);
    std::fs::create_dir_all(&stage).with_context(|| stage.display().to_string())?;
    let mut files = Vec::new();
    for (number, step) in plan.steps.iter().filter(|s| s.fate == Fate::Write).enumerate() {
        host::fs::write_durable(&stage.join(number.to_string()), &step.content.0, 0o600)?;
        files.push(Move { number, to: step.to.clone(), mode: step.part.mode });
    }
    if let Some(given) = &target.pool_key {
        let own = state.join(crate::start::POOL_KEY_FILE);
        if !own.exists() {
            let number = files.len();
            host::fs::write_durable(
                &stage.join(number.to_string()),
                &std::fs::read(given)?,
                0o600,
            )?;
            files.push(Move { number, to: own, mode: 0o600 });
        }
    }
    let count = files.len();
    let marker = Marker { host: backup.manifest.host, made_at: backup.manifest.made_at, files };
    host::fs::write_durable(&state.join(MARKER), &serde_json::to_vec_pretty(&marker)?, 0o600)?;
    crate::reached("host restore: decided");
    Ok(count)
}

/// Finishes a restore that was decided; false if there is none. Harmless at any start, and repeatable.
///
/// # Errors
/// The text names the file. The marker stays, so the next start tries again.
pub fn settle(state: &Path) -> anyhow::Result<bool> {
    let path = state.join(MARKER);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let marker: Marker =
        serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
    for file in &marker.files {
        let new = std::fs::read(state.join(STAGE).join(file.number.to_string()))
            .with_context(|| format!("the restored {}", file.to.display()))?;
        put(state, file, &new).with_context(|| format!("restoring {}", file.to.display()))?;
        crate::reached("host restore: a file in place");
    }
    host::fs::remove_durable(&path)?;
    let _ = std::fs::remove_dir_all(state.join(STAGE));
    tracing::warn!(host = %marker.host, files = marker.files.len(), "this host's backup was restored");
    Ok(true)
}

/// Puts one file in place; what was there goes aside, once.
fn put(state: &Path, file: &Move, new: &[u8]) -> anyhow::Result<()> {
    match std::fs::read(&file.to) {
        Ok(present) if present == new => return Ok(()),
        Ok(present) => {
            let flat = file.to.display().to_string().trim_start_matches('/').replace('/', "%");
            let aside = state.join(BEFORE).join(flat);
            std::fs::create_dir_all(state.join(BEFORE))?;
            host::fs::write_durable(&aside, &present, 0o600)?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(dir) = file.to.parent() {
        std::fs::create_dir_all(dir)?;
    }
    host::fs::write_durable(&file.to, new, file.mode)?;
    Ok(())
}

/// `holdfastd restore-host`: all of it at once, without the daemon. Returns what was done, a line each.
///
/// # Errors
/// What is wrong with the file, every refusal, or what can't be written.
pub fn without_daemon(file: &Path, target: &Target, dry_run: bool) -> anyhow::Result<Vec<String>> {
    let length = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
    if length > super::MAX_BYTES as u64 {
        bail!("{} has {length} bytes; a backup has at most {}", file.display(), super::MAX_BYTES);
    }
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let backup = super::read(&bytes).with_context(|| file.display().to_string())?;
    let mut lines = vec![backup.manifest.summary()];
    let state = target.of(&backup.manifest.state);
    let plan = plan(&backup, target, vec![])?;
    lines.extend(plan.lines());
    if dry_run {
        return Ok(lines);
    }
    if let Some(why) = runs(target, &state) {
        bail!("{why}");
    }
    if !plan.refusals.is_empty() {
        bail!("the restore is refused:\n  {}", plan.refusals.join("\n  "));
    }
    stage(&backup, &plan, target)?;
    settle(&state)?;
    lines.push(format!("Restored; what was there is in {}.", state.join(BEFORE).display()));
    Ok(lines)
}

/// The daemon of that state runs: it restores itself.
fn runs(target: &Target, state: &Path) -> Option<String> {
    let held = |name: &str| {
        let path = state.join("db").join(name);
        path.exists() && target.is_here() && is_open(&path)
    };
    held(REPLICA_FILE).then(|| {
        "holdfastd runs: use `xe host-restore file-name=FILE host=THIS-HOST`, or stop it first"
            .to_owned()
    })
}

fn is_open(path: &Path) -> bool {
    let Ok(id) = host::proc::FileId::of(path) else { return false };
    host::proc::openers(&std::collections::BTreeSet::from([id])).is_ok_and(|open| !open.is_empty())
}
