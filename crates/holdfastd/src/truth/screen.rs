//! The host's text console: what a person in front of the machine reads above the login (S4-34).
//!
//! A file that `agetty` shows by itself (`/run/issue.d`). Its network state is made from the records that the API answers
//! from, with nothing asked of the machine: both can only say the same. Where the kernel contradicts a record, the look
//! has found that out ([`super::gather`]), and the line says so beside the record instead of in its place.

use std::fmt::Write as _;

use xenapi::Record;

use super::Seen;
use crate::app::{target, text, truth};
use crate::{Daemon, View};

/// Findings that are shown; `xe host-diagnose` has all.
const MOST: usize = 5;
/// Most interfaces that fit on a screen.
const INTERFACES: usize = 12;

/// Where it is shown from: beside the run directory, so `/run/issue.d`.
fn path(daemon: &Daemon) -> std::path::PathBuf {
    daemon.config().paths.run.with_file_name("issue.d").join("holdfast.issue")
}

/// Writes it anew if it has changed.
pub(super) fn show(daemon: &Daemon, seen: &Seen, shown: &mut String) {
    let text = of(&daemon.store().view(), daemon, seen);
    if text == *shown {
        return;
    }
    let path = path(daemon);
    let fresh = path.with_extension("new");
    let written = std::fs::create_dir_all(path.parent().unwrap_or(&path))
        .and_then(|()| std::fs::write(&fresh, &text))
        .and_then(|()| std::fs::rename(&fresh, &path));
    match written {
        Ok(()) => *shown = text,
        Err(error) => tracing::debug!(%error, "the text console could not be written"),
    }
}

fn of(view: &View, daemon: &Daemon, seen: &Seen) -> String {
    let host = daemon.host();
    let record = view.record("host", host);
    let own = |field: &str| record.map(|r| plain(text(r, field))).unwrap_or_default();
    let pool = view.records("pool").next().map(|p| plain(text(p, "name_label")));
    let mut out = format!("Holdfast host '{}' ({host})", own("name_label"));
    match pool.filter(|p| !p.is_empty()) {
        Some(pool) => drop(writeln!(out, " of pool '{pool}'")),
        None => out.push('\n'),
    }
    let _ = writeln!(out, "API: https://{}/", own("address"));
    out.push_str("Network:\n");
    let pifs: Vec<&std::sync::Arc<Record>> =
        view.referrers("PIF", "host", host).filter_map(|pif| view.record("PIF", pif)).collect();
    let mut lines: Vec<String> = pifs.iter().map(|pif| interface(view, pif, seen)).collect();
    lines.sort();
    if lines.is_empty() {
        out.push_str("  no interface is recorded\n");
    }
    let more = lines.len().saturating_sub(INTERFACES);
    for line in lines.iter().take(INTERFACES) {
        let _ = writeln!(out, "  {line}");
    }
    if more > 0 {
        let _ = writeln!(out, "  and {more} more: xe pif-list host-uuid={host}");
    }
    let mut findings = seen.findings.iter().map(|f| plain(&f.line())).peekable();
    if findings.peek().is_some() {
        out.push_str("Not well:\n");
        for line in findings.take(MOST) {
            let _ = writeln!(out, "  {line}");
        }
        out.push_str("  all of it: xe host-diagnose\n");
    }
    out
}

fn interface(view: &View, pif: &Record, seen: &Seen) -> String {
    let device = plain(text(pif, "device"));
    let network = target(pif, "network").and_then(|n| view.record("network", n));
    let mut line = format!("{device:<10} {}", plain(text(pif, "MAC")));
    if let Some(network) = network {
        let (label, bridge) = (plain(text(network, "name_label")), plain(text(network, "bridge")));
        let _ = write!(line, "  network '{label}' ({bridge})");
    }
    if text(pif, "IP").is_empty() {
        line.push_str("  no address");
    } else {
        let _ = write!(line, "  {}/{}", plain(text(pif, "IP")), plain(text(pif, "netmask")));
    }
    if truth(pif, "management") {
        line.push_str("  management");
    }
    if !truth(pif, "currently_attached") {
        line.push_str("  not attached");
    }
    for differs in seen.facts.network.iter().filter(|d| d.device == device) {
        let _ = write!(line, "  BUT in the kernel it is {}", plain(&differs.kernel));
    }
    line
}

/// A text as one line of a terminal; `agetty` takes a backslash for an order.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '\\' { ' ' } else { c }).collect()
}
