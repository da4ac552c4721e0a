//! May a dump be restored here and now (S1-30)? Only on a pool of one without guests, and only when nothing of the lost pool
//! can be alive: none of its hosts answers, and a person says that they are off.

use std::sync::Arc;
use std::time::Duration;

use client::{CallError, Client, Options, Target, Trust};
use uuid::Uuid;

use super::Order;
use crate::app::{text, truth};
use crate::backend::Backend;
use crate::lineage::statement;
use crate::reconcilers::this_host::member;
use crate::{Daemon, View, pki};

/// Longest wait for an old host's address.
const ASK_LIMIT: Duration = Duration::from_secs(3);

/// Whether this host is a pool of one that runs nothing.
///
/// # Errors
/// The reason, with names, and the next command.
pub(super) async fn host_is_free(daemon: &Arc<Daemon>, own: &View) -> Result<(), String> {
    let label =
        |record: &xenapi::Record| format!("'{}' ({})", text(record, "name_label"), record.uuid());
    let others: Vec<String> = own
        .records("host")
        .filter(|host| host.uuid() != daemon.host())
        .map(|host| label(host))
        .collect();
    if !others.is_empty() {
        return Err(format!(
            "this host is in a pool with {}: a database is restored only on a host that is a pool of its own. Take it out of \
             its pool first: xe pool-eject host-uuid={}",
            others.join(", "),
            daemon.host()
        ));
    }
    if !matches!(daemon.backend(), Backend::Embedded(_)) {
        return Err("this host's database is one of a pool that had several hosts: restore on a freshly installed host, or \
                    take this one out of its pool first"
            .to_owned());
    }
    let running: Vec<String> = own
        .records("VM")
        .filter(|vm| !truth(vm, "is_control_domain") && !truth(vm, "is_a_snapshot"))
        .filter(|vm| matches!(text(vm, "power_state"), "Running" | "Paused"))
        .map(|vm| label(vm))
        .collect();
    if !running.is_empty() {
        return Err(format!(
            "this host runs VM {}: shut down what it runs first: xe vm-shutdown uuid=...",
            running.join(", ")
        ));
    }
    // Without `had` the kernel's list of processes stands in: what it would know is a process.
    let domains = daemon.hypervisor().list(ASK_LIMIT).await;
    let domains = domains.map_err(|e| format!("the guests of this host are not known: {e}"))?.len();
    let registered = daemon.had().list().await.unwrap_or_default();
    let registered = registered.iter().filter(|guest| guest.alive).count();
    match domains.max(registered).max(daemon.had().processes().len()) {
        0 => Ok(()),
        count => Err(format!(
            "{count} guests run on this host that its records don't know; see xe host-diagnose"
        )),
    }
}

/// The hosts of the dump but this one, by label.
fn others(daemon: &Daemon, lost: &View) -> Vec<(Uuid, String)> {
    let mut others: Vec<(Uuid, String)> = lost
        .records("host")
        .filter(|host| host.uuid() != daemon.host())
        .map(|host| (host.uuid(), text(host, "name_label").to_owned()))
        .collect();
    others.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
    others
}

/// What a person has to state; `None`: the dump has no other host.
pub(super) fn statement_wanted(daemon: &Daemon, lost: &View) -> Option<String> {
    let others = others(daemon, lost);
    let phrase = statement::phrase(&others, others.iter().map(|(host, _)| *host));
    (!others.is_empty())
        .then(|| format!("{phrase} {} off", if others.len() == 1 { "is" } else { "are" }))
}

/// Whether the hosts of the dump are off: none answers, and the person says so.
///
/// # Errors
/// The reason, with names, and the next command.
pub(super) async fn old_hosts_are_off(
    daemon: &Arc<Daemon>,
    lost: &View,
    order: &Order,
) -> Result<(), String> {
    let others = others(daemon, lost);
    let asked = others.iter().map(|(host, name)| answers(daemon, lost, *host, name));
    let alive: Vec<String> =
        futures_util::future::join_all(asked).await.into_iter().flatten().collect();
    if !alive.is_empty() {
        return Err(format!(
            "the lost pool is not lost: {}. Recover there: xe pool-emergency-transition-to-master; or switch those hosts off",
            alive.join("; ")
        ));
    }
    if order.dry_run {
        return Ok(());
    }
    let stated = statement::stated(&order.confirm, &others).map_err(|e| e.params.join(" "))?;
    let missing: Vec<&(Uuid, String)> =
        others.iter().filter(|(host, _)| !stated.contains(host)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let phrase = statement_wanted(daemon, lost).unwrap_or_default();
    let named: Vec<String> =
        missing.iter().map(|(host, name)| format!("'{name}' ({host})")).collect();
    Err(format!(
        "the hosts of the dump must really be off, since VMs of theirs that still run would write to the same disks; look at \
         {} yourself. If they are off, say so: confirm=\"{phrase}\"",
        named.join(", ")
    ))
}

/// What answers at an old host's address, if it is that host or can't be told from it. Another host may well have its
/// address by now: a freshly installed one.
async fn answers(daemon: &Daemon, lost: &View, host: Uuid, name: &str) -> Option<String> {
    let agent = member(lost, host);
    let record = lost.record("host", host);
    let address = agent
        .as_ref()
        .map(|a| a.address.clone())
        .or_else(|| record.map(|r| text(r, "address").to_owned()))?;
    if address == daemon.config().host.address {
        return None;
    }
    let port = agent.map_or(443, |a| a.api_port);
    let who = format!("host '{name}' ({host}) at {address}");
    // Whose certificate it is does not matter here, only which host shows it.
    let mut options = Options::new(Trust::Insecure).with_deadline(ASK_LIMIT);
    options.connect_deadline = ASK_LIMIT;
    match Client::connect(Target::Tls { host: address, port }, options).await {
        Ok(client) => {
            let shown = client.server_certificates();
            match shown.first().and_then(|c| pki::host_of_certificate(c)) {
                Some(present) if present == host => Some(format!("{who} answers")),
                Some(_) => None,
                None => Some(format!(
                    "at the address of {who} somebody answers and does not say which host it is"
                )),
            }
        }
        Err(CallError::Unreachable { .. } | CallError::NoAnswer { sent: false, .. }) => None,
        Err(error) => Some(format!(
            "at the address of {who} somebody answers, and not as a freshly installed host does: {error}"
        )),
    }
}
