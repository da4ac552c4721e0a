//! The support bundle: what is needed to see what went wrong, without secrets, also with the daemon dead (S0-8).
//!
//! ```text
//! files, logs, records, stacks, facts of the machine ──> redactor ──> tar, with INDEX.json: what is in, what was left out
//!                                                                      and why, how many secrets were blanked
//! ```
//! The same collection serves `GET /system-status` of a running daemon and `holdfastd bundle` beside a dead one; the
//! latter reads the host's own copy of the database from disk. Nothing is changed, everything is bounded in size and time.
//!
//! Secrets never come in by name (keys, password files, sealed values, sessions, accounts are not read into the bundle),
//! and whatever does come in passes [`redact`], which blanks what looks like one and what is known to be one.

mod redact;

use std::path::{Path, PathBuf};
use std::time::Duration;

use pooldb::Table;
use serde_json::{Value, json};
use xenapi::Record;

use crate::View;
use crate::archive::Archive;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use redact::Redactor;

/// Of each log, the latest so many bytes.
const LOG_BYTES: u64 = 4 << 20;
/// All logs together.
const LOGS_BYTES: u64 = 96 << 20;
/// Longest run of one program that is asked.
const PROGRAM: Duration = Duration::from_secs(10);
/// Tables that are never read: tokens, sealed secrets, password hashes.
const SECRET_TABLES: &[Table] = &[Table::Session, Table::Secret, Table::Account];

/// A bundle in the making.
#[derive(Debug)]
pub struct Bundle {
    redactor: Redactor,
    files: Vec<(String, Vec<u8>)>,
    index: Vec<Value>,
    left_out: Vec<Value>,
    log_bytes: u64,
}

/// Collects everything. `live` is the replica of the running daemon with its latest look; without it both are read from
/// the disk.
pub fn collect(config: &Config, live: Option<(View, Value)>) -> Bundle {
    let behind = live.is_none();
    let (view, look) = match live {
        Some((view, look)) => (Ok(view), Some(look)),
        None => (offline_view(config), offline_look(config)),
    };
    let mut bundle = Bundle {
        redactor: Redactor::new(&known_secrets(config), view.as_ref().ok(), behind),
        files: Vec::new(),
        index: Vec::new(),
        left_out: Vec::new(),
        log_bytes: 0,
    };
    bundle.secrets_by_name(config);
    match look {
        Some(look) => bundle.add_json("status.json", &look),
        None => bundle.leave_out("status.json", "the daemon has left no look of this boot"),
    }
    match &view {
        Ok(view) => bundle.records(view),
        Err(why) => bundle.leave_out("database/", why),
    }
    bundle.state(config);
    bundle.machine();
    bundle.logs(config);
    bundle
}

/// The host's copy of the pool database, from the disk of a dead daemon.
fn offline_view(config: &Config) -> Result<View, String> {
    let path = config.db_dir().join("replica.redb");
    pooldb::replica::persist::read_file::<Record>(&path)
        .map_err(|e| format!("{}: {e} (a running daemon holds it; ask that one)", path.display()))
}

fn offline_look(config: &Config) -> Option<Value> {
    let path = config.paths.run.join(crate::truth::FILE);
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Values that must not be in the bundle wherever they come from.
fn known_secrets(config: &Config) -> Vec<String> {
    let state = &config.paths.state;
    let mut known = Vec::new();
    for path in [state.join(crate::start::POOL_KEY_FILE), config.paths.etc.join("initial-password")]
    {
        if let Ok(text) = std::fs::read_to_string(path) {
            known.push(text.trim().to_owned());
        }
    }
    if let Ok(key) = std::fs::read_to_string(config.tls_dir().join(crate::pki::KEY_FILE)) {
        known.extend(key.lines().filter(|l| !l.starts_with("-----")).map(str::to_owned));
    }
    known
}

impl Bundle {
    fn add(&mut self, name: &str, bytes: &[u8], note: Option<&str>) {
        let text = String::from_utf8_lossy(bytes);
        let (clean, blanked) = self.redactor.text(&text);
        let mut entry = json!({"name": name, "bytes": clean.len(), "secrets_blanked": blanked});
        if let Some(note) = note {
            entry["note"] = json!(note);
        }
        self.index.push(entry);
        self.files.push((name.to_owned(), clean.into_bytes()));
    }

    fn add_json(&mut self, name: &str, value: &Value) {
        self.add(name, format!("{value:#}\n").as_bytes(), None);
    }

    fn leave_out(&mut self, name: &str, why: &str) {
        self.left_out.push(json!({"name": name, "why": why}));
    }

    fn secrets_by_name(&mut self, config: &Config) {
        let state = config.paths.state.display();
        for (name, why) in [
            (
                format!("{state}/{}", crate::start::POOL_KEY_FILE),
                "the key that opens the pool's secrets",
            ),
            (format!("{state}/tls/{}", crate::pki::KEY_FILE), "this host's private key"),
            (format!("{}/initial-password", config.paths.etc.display()), "a password"),
            (format!("{state}/etcd/data"), "holds sealed secrets, sessions and password hashes"),
            (
                format!("{state}/db"),
                "holds sealed secrets, sessions and password hashes; its records are in database/",
            ),
            ("guests' memory and disks".to_owned(), "belong to the VMs' owners"),
        ] {
            self.leave_out(&name, why);
        }
    }

    /// The pool's records, one file a class or table.
    fn records(&mut self, view: &View) {
        let mut tables: Vec<Table> = view.tables().collect();
        tables.sort();
        for table in tables {
            if SECRET_TABLES.contains(&table) {
                self.leave_out(
                    &format!("database/{table}"),
                    "tokens, sealed secrets or password hashes",
                );
                continue;
            }
            let rows: Vec<Value> = view
                .table(table)
                .map(|item| {
                    let mut value = item.record().map_or_else(
                        || {
                            item.raw()
                                .and_then(|raw| serde_json::from_slice(raw).ok())
                                .unwrap_or_else(|| json!("not JSON"))
                        },
                        |record| record_value(record),
                    );
                    redact::blank_keys(&mut value);
                    json!({"id": &*item.key.id, "modified": item.modified.to_string(), "value": value})
                })
                .collect();
            let name = table.to_string().replace('/', "-");
            self.add_json(&format!("database/{name}.json"), &Value::Array(rows));
        }
    }

    fn state(&mut self, config: &Config) {
        let state = &config.paths.state;
        for (name, path) in [
            ("state/host.json", config.host_file()),
            ("state/starts.json", state.join(crate::starts::FILE)),
            ("state/etcd-spec.json", config.etcd_dir().join("spec.json")),
            ("state/acceleration.json", state.join("acceleration.json")),
            ("state/holdfast.toml", config.paths.etc.join("holdfast.toml")),
        ] {
            match std::fs::read(&path) {
                Ok(bytes) => self.add(name, &bytes, None),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => self.leave_out(name, &error.to_string()),
            }
        }
        for path in entries(&state.join("evidence")) {
            let name = format!("evidence/{}", file_name(&path));
            if let Ok(bytes) = std::fs::read(&path) {
                self.add(&name, &bytes, None);
            }
        }
        let had = host::had::Client::new(config.had_socket())
            .with_deadline(Duration::from_secs(2))
            .status()
            .map(|status| serde_json::to_value(status).unwrap_or_default());
        match had {
            Ok(status) => self.add_json("had.json", &status),
            Err(error) => self.leave_out("had.json", &format!("holdfast-had: {error}")),
        }
    }

    fn machine(&mut self) {
        for (name, path) in [
            ("machine/meminfo", "/proc/meminfo"),
            ("machine/loadavg", "/proc/loadavg"),
            ("machine/mounts", "/proc/self/mounts"),
            ("machine/version", "/proc/version"),
            ("machine/uptime", "/proc/uptime"),
            ("machine/cpuinfo", "/proc/cpuinfo"),
            ("machine/net-dev", "/proc/net/dev"),
            ("machine/net-route", "/proc/net/route"),
            ("machine/os-release", "/etc/os-release"),
        ] {
            match std::fs::read(path) {
                Ok(bytes) => self.add(name, &bytes, None),
                Err(error) => self.leave_out(name, &error.to_string()),
            }
        }
        self.add("machine/processes", processes().as_bytes(), Some("names only, no arguments"));
        for (name, program) in [
            ("machine/ip-address", &["ip", "address"][..]),
            ("machine/disk-space", &["df", "-h"]),
            ("machine/kernel-log", &["dmesg"]),
            ("machine/units", &["systemctl", "--no-pager", "status", "holdfastd", "holdfast-had"]),
        ] {
            let output = host::exec::Command::new(program[0])
                .args(&program[1..])
                .limit(PROGRAM)
                .output_limit(8 << 20)
                .run();
            match output {
                Ok(output) if !output.stdout.is_empty() => self.add(name, &output.stdout, None),
                Ok(output) => self.leave_out(name, output.error_text().trim()),
                Err(error) => self.leave_out(name, &error.chain()),
            }
        }
    }

    fn logs(&mut self, config: &Config) {
        let journal = host::exec::Command::new("journalctl")
            .args(["--no-pager", "-b", "-n", "20000", "-u", "holdfast*", "-u", "libvirtd"])
            .limit(PROGRAM)
            .output_limit(32 << 20)
            .run();
        match journal {
            Ok(output) if output.status.success() && !output.stdout.is_empty() => {
                self.add("logs/journal", &output.stdout, None);
            }
            _ => self.leave_out("logs/journal", "this host has no journal"),
        }
        let _ = config;
        for dir in
            ["/var/log/holdfast", "/var/log/lab", "/var/log/libvirt", "/var/log/libvirt/qemu"]
        {
            for path in entries(Path::new(dir)) {
                self.log(&path);
            }
        }
    }

    fn log(&mut self, path: &Path) {
        let name = format!("logs{}", path.display());
        if self.log_bytes >= LOGS_BYTES {
            return self.leave_out(&name, "enough logs are in already");
        }
        match tail(path) {
            Ok((bytes, whole)) => {
                self.log_bytes += bytes.len() as u64;
                let note = (!whole).then_some("the latest 4 MiB");
                self.add(&name, &bytes, note);
            }
            Err(error) => self.leave_out(&name, &error.to_string()),
        }
    }

    /// The archive: `INDEX.json` first.
    pub fn into_tar(self, at: i64) -> Vec<u8> {
        let index = json!({
            "made_at": at,
            "version": crate::first_start::VERSION,
            "files": self.index,
            "left_out": self.left_out,
            "blanked": "passwords, keys, tokens and what looks like one are replaced by [left out]",
        });
        let root = "holdfast-bundle";
        let mut archive = Archive::new(at);
        archive.add(&format!("{root}/INDEX.json"), format!("{index:#}\n").as_bytes());
        for (name, bytes) in &self.files {
            archive.add(&format!("{root}/{name}"), bytes);
        }
        archive.finish()
    }
}

/// A record with the fields that the datamodel calls secret blanked.
fn record_value(record: &Record) -> Value {
    let mut value: Value = serde_json::from_slice(&record.to_stored()).unwrap_or_default();
    let secret: Vec<&str> =
        record.class().fields.iter().filter(|f| f.secret).map(|f| f.name).collect();
    redact::blank_named(&mut value, &secret);
    value
}

fn entries(dir: &Path) -> Vec<PathBuf> {
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

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The end of a file, and whether that is all of it.
fn tail(path: &Path) -> std::io::Result<(Vec<u8>, bool)> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    Ok((bytes, length <= LOG_BYTES))
}

/// Processes of the machine: number and name. Arguments may hold secrets of others.
fn processes() -> String {
    let mut text = String::new();
    for pid in host::proc::pids().unwrap_or_default() {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = state.rsplit_once(") ").and_then(|(_, s)| s.chars().next()).unwrap_or('?');
        text.push_str(&format!("{pid} {state} {}\n", name.trim()));
    }
    text
}

/// `holdfastd bundle`: writes the archive to a new file that only root may read.
///
/// # Errors
/// If the file can't be written; one that exists is not overwritten.
pub fn write(config: &Config, output: &Path) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    use anyhow::Context as _;
    let at = SystemClock.unix_seconds();
    let tar = collect(config, None).into_tar(at);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(output)
        .with_context(|| format!("making {}", output.display()))?;
    let bytes = if is_gzip(output) { gzip(&tar)? } else { tar };
    file.write_all(&bytes).with_context(|| format!("writing {}", output.display()))?;
    file.sync_all().with_context(|| format!("flushing {}", output.display()))
}

fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "gz" || e == "tgz")
}

/// The archive, compressed.
///
/// # Errors
/// None in memory; the type is the compressor's.
pub fn gzip(tar: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar)?;
    encoder.finish()
}
