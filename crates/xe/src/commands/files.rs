//! Commands that move a file: exports, imports, backups, uploads.
//!
//! The bytes go over a plain HTTP request beside the API; a task made for the purpose tells how it ended. A file that
//! exists is never overwritten, and one that was not received whole is removed.

use std::fs::File;
use std::io::{BufRead as _, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt as _;
use std::time::{Duration, Instant};

use super::Run;
use super::select::{self, HOSTS, VMS};
use super::vm_disks::default_sr;
use crate::api::{NULL_REF, Once, s, text_of};
use crate::context::{Context, texts};
use crate::failure::{CallError, Failure};
use crate::record::view::Object;

pub(super) const COMMANDS: &[(&str, Run)] = &[
    ("vm-export", vm_export),
    ("template-export", |ctx| one_export(ctx, "template-uuid")),
    ("snapshot-export-to-template", |ctx| one_export(ctx, "snapshot-uuid")),
    ("vm-import", vm_import),
    ("vdi-export", vdi_export),
    ("vdi-import", vdi_import),
    ("pool-dump-database", pool_dump),
    ("pool-restore-database", pool_restore),
    ("host-backup", host_backup),
    ("host-restore", host_restore),
    ("host-logs-download", host_logs),
    ("host-get-system-status", system_status),
    ("patch-upload", patch_upload),
    ("update-upload", update_upload),
    ("audit-log-get", audit_log),
];

/// How long the task may stay open after the last byte was moved.
const AFTER_TRANSFER: Duration = Duration::from_secs(600);

/// Runs a transfer with a task beside it; returns the task's result. A pool that can't write makes no task, and the
/// transfer does without.
fn with_task(
    ctx: &mut Context<'_, '_>,
    label: &str,
    target: String,
    act: impl FnOnce(&mut Context<'_, '_>, &str) -> Result<(), Failure>,
) -> Result<String, Failure> {
    let task = match ctx.call_text("task.create", vec![s(label), s("")]) {
        Ok(task) => task,
        Err(Failure::Call(e)) if e.code() == Some("HOST_IN_EMERGENCY_MODE") => {
            return act(ctx, &target).map(|()| String::new());
        }
        Err(error) => return Err(error),
    };
    let joint = if target.contains('?') { '&' } else { '?' };
    let moved = act(ctx, &format!("{target}{joint}task_id={task}"));
    let ended = moved.and_then(|()| end_of(ctx, &task));
    let _ = ctx.api.call("task.destroy", vec![s(task)]);
    ended
}

fn end_of(ctx: &mut Context<'_, '_>, task: &str) -> Result<String, Failure> {
    let start = Instant::now();
    loop {
        let record = ctx.record("task", task)?;
        let text = |name: &str| record.get(name).map(text_of).unwrap_or_default();
        match text("status").to_ascii_lowercase().as_str() {
            "pending" if start.elapsed() < AFTER_TRANSFER => {
                std::thread::sleep(Duration::from_millis(200));
            }
            // A server that leaves the task alone has said all there is with its HTTP answer.
            "pending" | "success" | "" => return Ok(text("result")),
            _ => {
                let mut info = record.get("error_info").map(texts).unwrap_or_default().into_iter();
                let code = info.next().unwrap_or_else(|| "INTERNAL_ERROR".to_owned());
                return Err(CallError::Api { code, params: info.collect() }.into());
            }
        }
    }
}

fn progress_line(watched: bool, what: &str, moved: u64) -> Option<String> {
    watched.then(|| format!("\r\x1b[K{what}: {} MiB", moved >> 20))
}

/// Receives into a new file; an empty name is standard output.
fn download(
    ctx: &mut Context<'_, '_>,
    label: &str,
    path: &str,
    target: String,
) -> Result<(), Failure> {
    let cannot = |e: std::io::Error| Failure::refused(format!("Cannot write {path}: {e}"));
    let mut file: Box<dyn Write> = if path.is_empty() {
        Box::new(std::io::stdout())
    } else {
        let mut options = File::options();
        Box::new(options.write(true).create_new(true).mode(0o600).open(path).map_err(cannot)?)
    };
    let ended = with_task(ctx, label, target, |ctx, target| {
        let watched = ctx.out.terminal().is_watched();
        let out = &mut *ctx.out;
        let mut shown = 0;
        let mut progress = |moved: u64| {
            if moved >> 20 != shown
                && let Some(line) = progress_line(watched, label, moved)
            {
                shown = moved >> 20;
                out.stderr(&line);
            }
        };
        let done = ctx.api.download(target, &mut *file, &mut progress);
        if shown > 0 {
            out.stderr("\r\x1b[K");
        }
        Ok(done?)
    });
    if ended.is_err() && !path.is_empty() {
        // Half a file must not pass for a whole one.
        let _ = std::fs::remove_file(path);
    }
    ended.map(drop)
}

/// Sends a file; an empty name is standard input.
fn upload(
    ctx: &mut Context<'_, '_>,
    label: &str,
    path: &str,
    target: String,
) -> Result<String, Failure> {
    upload_for(ctx, label, path, target, &mut std::io::sink())
}

/// Sends a file and keeps what the server answers.
fn upload_for(
    ctx: &mut Context<'_, '_>,
    label: &str,
    path: &str,
    target: String,
    into: &mut dyn Write,
) -> Result<String, Failure> {
    let mut file = File::open(path).map_err(|e| Failure::refused(format!("file '{path}': {e}")))?;
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
    with_task(ctx, label, target, |ctx, target| {
        let watched = ctx.out.terminal().is_watched();
        let out = &mut *ctx.out;
        let mut shown = 0;
        let mut progress = |moved: u64| {
            if moved >> 20 != shown
                && let Some(line) = progress_line(watched, label, moved)
            {
                shown = moved >> 20;
                out.stderr(&line);
            }
        };
        let done = ctx.api.upload(target, &mut file, length, into, &mut progress);
        if shown > 0 {
            out.stderr("\r\x1b[K");
        }
        Ok(done?)
    })
}

/// The value as part of a query.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn export_target(ctx: &Context<'_, '_>, vm: &str) -> Result<String, Failure> {
    let path = if ctx.flag("metadata")? { "/export_metadata" } else { "/export" };
    let compression = match ctx.text_or("compress", "false").as_str() {
        "true" => "gzip".to_owned(),
        "false" => "none".to_owned(),
        other => other.to_owned(),
    };
    Ok(format!(
        "{path}?ref={vm}&use_compression={}&preserve_power_state={}&export_snapshots={}&excluded_device_types={}",
        quoted(&compression),
        ctx.flag("preserve-power-state")?,
        ctx.flag("include-snapshots")?,
        quoted(&ctx.text_or("excluded-device-types", "")),
    ))
}

fn vm_export(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("filename")?;
    let choice = VMS.ignoring(&[
        "filename",
        "metadata",
        "compress",
        "preserve-power-state",
        "include-snapshots",
        "excluded-device-types",
    ]);
    let vms = select::choose(ctx, choice)?;
    let mut number = 0;
    select::each(ctx, choice, vms, |ctx, vm: &Object| {
        number += 1;
        // The second VM goes to FILE2, the third to FILE3.
        let path = if number > 1 { format!("{path}{number}") } else { path.clone() };
        let target = export_target(ctx, &vm.reference)?;
        download(ctx, "Export of VM", &path, target)
    })?;
    ctx.out.message("Export succeeded");
    Ok(())
}

fn one_export(ctx: &mut Context<'_, '_>, param: &str) -> Result<(), Failure> {
    let path = ctx.required("filename")?;
    let vm = ctx.object("VM", param)?;
    let target = export_target(ctx, &vm)?;
    download(ctx, "Export of VM", &path, target)?;
    ctx.out.message("Export succeeded");
    Ok(())
}

fn vm_import(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let metadata = ctx.flag("metadata")?;
    let dry_run = ctx.flag("dry-run")?;
    if dry_run && !metadata {
        return Err(Failure::refused("Only metadata import function support dry-run"));
    }
    if ctx.params.has("url") == ctx.params.has("filename") {
        return Err(Failure::refused("Need one of: filename, url"));
    }
    let full = ctx.flag("preserve")?;
    let force = ctx.flag("force")?;
    let sr = match ctx.object_if_given("SR", "sr-uuid")? {
        Some(sr) => sr,
        // Definitions come without disks, so no repository is needed.
        None if metadata => NULL_REF.to_owned(),
        None => default_sr(ctx)?
            .ok_or_else(|| Failure::refused("No SR specified and Pool default SR is null"))?,
    };
    let vms = if let Some(url) = ctx.text("url") {
        let args = vec![s(url), s(sr), full.into(), force.into()];
        references(&ctx.run("VM.import", args)?)
    } else {
        let path = if metadata { "/import_metadata" } else { "/import" };
        let mut target =
            format!("{path}?restore={full}&force={force}&dry_run={dry_run}&sr_id={sr}");
        for (vdi, sr) in ctx.params.map("vdi") {
            target.push_str(&format!("&vdi:{}={}", quoted(&vdi), quoted(&sr)));
        }
        let file = ctx.required("filename")?;
        let mut said = Vec::new();
        let made = upload_for(ctx, "VM import", &file, target, &mut said)?;
        // What was skipped or changed on the way, and why (S1-35).
        ctx.out.stderr(&String::from_utf8_lossy(&said));
        references(&made)
    };
    let mut uuids = Vec::new();
    for vm in vms {
        uuids.push(ctx.uuid_of("VM", &vm)?);
    }
    ctx.out.raw(&uuids.join(","));
    Ok(())
}

/// The references in a task's result, whatever is wrapped around them.
fn references(result: &str) -> Vec<String> {
    result
        .split("OpaqueRef:")
        .skip(1)
        .filter_map(|rest| rest.get(..36))
        .map(crate::api::ref_of_uuid)
        .collect()
}

fn vdi_target(ctx: &mut Context<'_, '_>, path: &str) -> Result<String, Failure> {
    let vdi = ctx.object("VDI", "uuid")?;
    let mut target = format!("{path}?vdi={vdi}");
    if let Some(format) = ctx.text("format") {
        target.push_str(&format!("&format={}", quoted(&format)));
    }
    if let Some(base) = ctx.object_if_given("VDI", "base")? {
        target.push_str(&format!("&base={base}"));
    }
    Ok(target)
}

fn vdi_export(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("filename")?;
    let vdi = ctx.required("uuid")?;
    let format = ctx.text_or("format", "raw");
    // On the host itself its own program reads the disk: the daemon may be dead (S0-5) or in safe mode (S0-4).
    let alone = !path.is_empty() && !ctx.params.has("base") && vdi.parse::<uuid::Uuid>().is_ok();
    if alone && ctx.api.is_this_host() {
        let verb = ["export-disk", "--format", &format, &vdi];
        return without_daemon(&verb, &path, "a disk is exported by the host's own program");
    }
    let target = vdi_target(ctx, "/export_raw_vdi")?;
    download(ctx, "VDI export", &path, target)
}

fn vdi_import(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("filename")?;
    let target = vdi_target(ctx, "/import_raw_vdi")?;
    upload(ctx, "VDI import", &path, target).map(drop)
}

fn pool_dump(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("file-name")?;
    match download(ctx, "dump database", &path, "/pool/xmldbdump".to_owned()) {
        Err(Failure::Call(CallError::Unreachable(why))) if ctx.api.is_this_host() => {
            return without_daemon(&["dump-database"], &path, &why);
        }
        other => other?,
    }
    if let Some(old) = age_of_dump(&path) {
        ctx.out.stderr(&old);
    }
    Ok(())
}

/// The host's own program, which reads what its daemon keeps on disk, takes over (S0-5).
fn without_daemon(verb: &[&str], path: &str, why: &str) -> Result<(), Failure> {
    const PROGRAM: &str = "holdfastd";
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(PROGRAM)));
    let program = beside
        .into_iter()
        .chain(["/usr/sbin", "/usr/bin"].map(|dir| std::path::Path::new(dir).join(PROGRAM)))
        .find(|program| program.is_file())
        .ok_or_else(|| CallError::Unreachable(format!("{why}\n  {PROGRAM} is not installed")))?;
    #[expect(clippy::disallowed_methods, reason = "the one program that may take this one's place")]
    let mut command = std::process::Command::new(&program);
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let failed = command.args(verb).arg(path).exec();
    Err(Failure::refused(format!("{}: {failed}", program.display())))
}

/// Older than this, a dump's age is worth a word.
const WORTH_SAYING: Duration = Duration::from_secs(5);

/// What to say of a dump whose host had no majority behind it.
fn age_of_dump(path: &str) -> Option<String> {
    let mut line = String::new();
    std::io::BufReader::new(File::open(path).ok()?).read_line(&mut line).ok()?;
    let header: serde_json::Value = serde_json::from_str(&line).ok()?;
    let host = header.get("host_name").map(text_of).unwrap_or_default();
    let revision = header.get("revision").map(text_of).unwrap_or_default();
    let age = match header.get("age_ms")?.as_u64() {
        Some(ms) if Duration::from_millis(ms) < WORTH_SAYING => return None,
        Some(ms) => format!("was confirmed by a majority {} s ago", ms / 1000),
        None => "was not confirmed by a majority since the daemon's start".to_owned(),
    };
    Some(format!(
        "Note: the dump is what host {host} knows (revision {revision}), which {age}; newer changes may be missing.\n"
    ))
}

fn pool_restore(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("file-name")?;
    let dry_run = ctx.flag("dry-run")?;
    if !dry_run && !ctx.flag("force")? {
        return Err(Failure::refused(
            "This operation will restore the database backup to this host, making it the master. All slave hosts are \
             assumed dead and they will be forgotten. This operation must be forced (use --force).",
        ));
    }
    let map = |name: &str| -> serde_json::Map<String, serde_json::Value> {
        ctx.params.map(name).into_iter().map(|(k, v)| (k, v.into())).collect()
    };
    let pool_key = match ctx.text("pool-key-file") {
        Some(key) => Some(
            std::fs::read_to_string(&key)
                .map_err(|e| Failure::refused(format!("file '{key}': {e}")))?
                .trim()
                .to_owned(),
        ),
        None => None,
    };
    // The key must stand in no address, so what is asked for goes before the dump.
    let order = serde_json::json!({
        "format": "holdfast-restore-order",
        "dry_run": dry_run,
        "confirm": ctx.text_or("confirm", ""),
        "nics": map("nic-map"),
        "srs": map("sr-map"),
        "pool_key": pool_key,
    });
    let order = format!("{order}\n");
    let file = File::open(&path).map_err(|e| Failure::refused(format!("file '{path}': {e}")))?;
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
    let length = length.map(|l| l + order.len() as u64);
    // No task: the host starts again with another database, where nobody could look at it.
    let mut said = Vec::new();
    let mut body = Once(std::io::Read::chain(order.as_bytes(), file));
    ctx.api.upload("/pool/xmldbdump", &mut body, length, &mut said, &mut |_| ())?;
    ctx.out.raw(String::from_utf8_lossy(&said).trim_end());
    Ok(())
}

/// A file of one host: the pool sends the request on to it.
fn of_host(
    ctx: &mut Context<'_, '_>,
    ignore: &'static [&'static str],
    act: impl FnOnce(&mut Context<'_, '_>, &str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let hosts = select::choose(ctx, HOSTS.only_one().ignoring(ignore))?;
    match hosts.first() {
        Some(host) => act(ctx, &host.reference),
        None => Ok(()),
    }
}

fn host_backup(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("file-name")?;
    of_host(ctx, &["file-name"], |ctx, host| {
        download(ctx, "host backup download", &path, format!("/host_backup?host_id={host}"))
    })
}

fn host_restore(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("file-name")?;
    let dry_run = ctx.flag("dry-run")?;
    of_host(ctx, &["file-name", "dry-run"], |ctx, host| {
        let target = format!("/host_restore?host_id={host}&dry_run={dry_run}");
        let mut said = Vec::new();
        upload_for(ctx, "host backup upload", &path, target, &mut said)?;
        ctx.out.raw(String::from_utf8_lossy(&said).trim_end());
        Ok(())
    })
}

fn host_logs(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.text_or("file-name", "logs.tar.gz");
    of_host(ctx, &["file-name"], |ctx, host| {
        download(ctx, "host logs download", &path, format!("/host_logs_download?host_id={host}"))
    })
}

fn system_status(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("filename")?;
    let entries = quoted(&ctx.text_or("entries", ""));
    let output = quoted(&ctx.text_or("output", "tar"));
    of_host(ctx, &["filename", "entries", "output"], |ctx, host| {
        let target = format!("/system-status?host_id={host}&entries={entries}&output={output}");
        download(ctx, "system-status download", &path, target)
    })
}

fn patch_upload(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("file-name")?;
    let result = upload(ctx, "Patch upload", &path, "/pool_patch_upload".to_owned())?;
    print_first(ctx, "pool_patch", &result)
}

fn update_upload(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("file-name")?;
    let mut target = "/pool_patch_upload".to_owned();
    if let Some(sr) = ctx.object_if_given("SR", "sr-uuid")? {
        target.push_str(&format!("?sr_id={sr}"));
    }
    let result = upload(ctx, "Update upload", &path, target)?;
    print_first(ctx, "pool_update", &result)
}

fn print_first(ctx: &mut Context<'_, '_>, class: &str, result: &str) -> Result<(), Failure> {
    let uuid = match references(result).first() {
        Some(reference) => ctx.uuid_of(class, reference)?,
        None => result.to_owned(),
    };
    ctx.out.raw(&uuid);
    Ok(())
}

fn audit_log(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let path = ctx.required("filename")?;
    let mut target = "/audit_log".to_owned();
    if let Some(since) = ctx.text("since") {
        target.push_str(&format!("?since={}", quoted(&since)));
    }
    download(ctx, "audit-log-get", &path, target)
}
