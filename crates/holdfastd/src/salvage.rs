//! The salvage engine, as the program `holdfast-rescue` that is installed beside this one.
//!
//! A process of its own: what it reads are wrecked disks, and a parser that fails there must not take the host's daemon with
//! it. It opens its source for reading only. What it prints is its contract, as JSON; its exit codes are its own:
//! 0 done, 3 some of it, 4 refused, 6 nothing found.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::exec::Command;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Longest search of a disk, and longest copy of one virtual disk.
pub const LIMIT: Duration = Duration::from_secs(24 * 3600);
/// Longest look at the layout of a host's disks: few reads of each, and a disk that hangs must not hold up the others for long.
const LAYOUT_LIMIT: Duration = Duration::from_secs(120);
/// Largest report.
const REPORT_BYTES: usize = 64 << 20;
/// Some of it was done.
const PARTIAL: i32 = 3;
/// Nothing of what is looked for was found.
const NOTHING_FOUND: i32 = 6;

/// What a copy of a virtual disk came to.
#[derive(Debug, Clone, Deserialize)]
pub struct Copied {
    /// Hash of the content, in hexadecimal.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The file was read from its disk afterwards and has this hash.
    #[serde(default)]
    pub read_back: bool,
    /// What could not be read, each with place and reason.
    #[serde(default)]
    pub damaged: Vec<serde_json::Value>,
}

/// What a disk tells of the machine that it was of.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Machine {
    /// `bios`, `uefi`, or nothing to boot from.
    #[serde(default)]
    pub firmware: Option<String>,
    /// Operating system.
    #[serde(default)]
    pub system: Option<String>,
    /// Architecture of the system.
    #[serde(default)]
    pub architecture: Option<String>,
    /// Name of the host.
    #[serde(default)]
    pub host_name: Option<String>,
    /// Asks for a passphrase.
    #[serde(default)]
    pub encrypted: bool,
    /// For people.
    #[serde(default)]
    pub remarks: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Proposals {
    proposals: Vec<Machine>,
}

fn program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| format!("this program's place: {e}"))?;
    Ok(own.with_file_name("holdfast-rescue"))
}

async fn run<T: DeserializeOwned>(arguments: &[&str], good: &[i32]) -> Result<T, String> {
    run_within(LIMIT, arguments, good).await
}

async fn run_within<T: DeserializeOwned>(
    limit: Duration,
    arguments: &[&str],
    good: &[i32],
) -> Result<T, String> {
    let program = program()?;
    if !program.exists() {
        return Err(format!("the salvage program is not installed at {}", program.display()));
    }
    let output = Command::new(program)
        .args(["--output", "json"])
        .args(arguments)
        .limit(limit)
        .output_limit(REPORT_BYTES)
        .run_async()
        .await
        .map_err(|error| error.chain().to_string())?;
    if !output.status.code().is_some_and(|code| good.contains(&code)) {
        return Err(output.error_text().trim().to_owned());
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("holdfast-rescue said something that is no report: {e}"))
}

/// Searches a disk, partition or image.
///
/// # Errors
/// What the engine says.
pub async fn scan(device: &str) -> Result<planner::sr_adoption::Scan, String> {
    run(&["scan", device], &[0, PARTIAL, NOTHING_FOUND]).await
}

/// How disks are laid out.
#[derive(Debug, Deserialize)]
pub struct Layouts {
    /// Each as the engine says it.
    pub disks: Vec<serde_json::Value>,
    /// Those that could not be read: path and reason.
    #[serde(default)]
    pub unreadable: Vec<serde_json::Value>,
}

/// Looks in a few reads how this machine's disks are laid out, and further ones.
///
/// # Errors
/// What the engine says; disks that can't be read are no error.
pub async fn layouts(further: impl IntoIterator<Item = String>) -> Result<Layouts, String> {
    let further: Vec<String> = further.into_iter().collect();
    let mut arguments = vec!["layout", "--all", "--"];
    arguments.extend(further.iter().map(String::as_str));
    run_within(LAYOUT_LIMIT, &arguments, &[0, PARTIAL]).await
}

/// Copies a virtual disk's content into a qcow2 file and reads it back: a copy that is not what was read is an error. An interrupted copy goes on where it was.
///
/// # Errors
/// What the engine says; damage is no error.
pub async fn copy(
    device: &str,
    plan: &planner::sr_adoption::Plan,
    vdi: uuid::Uuid,
    to: &Path,
) -> Result<Copied, String> {
    let (vdi, to) = (vdi.to_string(), to.display().to_string());
    let start = plan.start_byte.map(|byte| byte.to_string());
    let mut arguments = vec!["export", device, "--vdi", &vdi, "--group", &plan.group, "--to", &to];
    arguments.extend(["--format", "qcow2", "--hash", "sha256", "--read-back", "--overwrite"]);
    if let Some(start) = &start {
        arguments.extend(["--start", start]);
    }
    let copied: Copied = run(&arguments, &[0, PARTIAL]).await?;
    // Good only once it was read back.
    match copied.read_back {
        true => Ok(copied),
        false => {
            Err("holdfast-rescue did not read its copy back; is it of another version?".into())
        }
    }
}

/// Looks what machine a disk image was of; nothing if it says nothing.
///
/// # Errors
/// What the engine says.
pub async fn machine(image: &Path) -> Result<Option<Machine>, String> {
    let image = image.display().to_string();
    let found: Proposals = run(&["propose", &image], &[0, PARTIAL, NOTHING_FOUND]).await?;
    Ok(found.proposals.into_iter().next())
}
