//! Saying that a host has stopped, and what it held: `host.declare_dead`, `host.holdfast_declare_dead`,
//! `host.holdfast_release_disks`.
//!
//! XenAPI's `declare_dead` has no room for the words that are a person's proof, so it works where there is other proof;
//! ours takes them.

use std::sync::Arc;
use std::time::Duration;

use pooldb::Table;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use super::{find, ref_param, target, text, text_param};
use crate::api::{Authorized, errors};
use crate::records::{Fence, VdiLock, decode};
use crate::{Daemon, View, fencing};

/// Longest wait for the clean-up after a fence; it goes on by itself.
pub(super) const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// Answers the messages of this room; `None` for others.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    match message {
        "declare_dead" => Some(declare_dead(daemon, call, "").await),
        "holdfast_declare_dead" => Some(declare_dead(daemon, call, text_param(call, 1)).await),
        "holdfast_release_disks" => Some(release_disks(daemon, call).await),
        _ => None,
    }
}

/// The host that a call names, and that is not the one that is asked.
pub(super) fn other(
    daemon: &Daemon,
    view: &View,
    opaque: OpaqueRef,
) -> Result<(Uuid, String), Error> {
    let host = find(view, "host", opaque)?;
    if host.uuid() == daemon.host() {
        return Err(errors::not_allowed(format!(
            "this is host '{}' ({}) itself, and it runs",
            text(host, "name_label"),
            host.uuid()
        )));
    }
    Ok((host.uuid(), text(host, "name_label").to_owned()))
}

async fn declare_dead(
    daemon: &Arc<Daemon>,
    call: &Authorized,
    words: &str,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let (host, _) = other(daemon, &view, ref_param(call, 0))?;
    let next = format!("xe host-declare-dead uuid={host}");
    let fence = fencing::ensure(daemon, call.caller(), host, words, &next).await?;
    settled(daemon, &fence, SETTLE_LIMIT).await;
    Ok(Value::Void)
}

/// Waits until nothing is left of a fenced boot; false if that takes longer.
pub(crate) async fn settled(daemon: &Arc<Daemon>, fence: &Fence, limit: Duration) -> bool {
    let deadline = tokio::time::Instant::now() + limit;
    let mut changed = daemon.store().replica().changed();
    loop {
        let now = fencing::fence(&daemon.store().view(), fence.host, &fence.boot_id);
        if now.is_none_or(|f| f.settled.is_some()) {
            return true;
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(deadline) => return false,
        }
    }
}

/// What `resetvdis.py` did, with the proof that it did not ask for (S1-10).
async fn release_disks(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let (host, label) = other(daemon, &view, ref_param(call, 0))?;
    let sr = find(&view, "SR", ref_param(call, 1))?;
    let name = format!("repository '{}' ({})", text(sr, "name_label"), sr.uuid());
    let before = held(&view, host, sr.uuid());
    let next = format!("xe host-declare-dead uuid={host}");
    let fence = fencing::ensure(daemon, call.caller(), host, "", &next).await?;
    settled(daemon, &fence, SETTLE_LIMIT).await;
    daemon.catch_up().await;
    let after = held(&daemon.view().await, host, sr.uuid());
    let proof = fence.proof.text();
    let said = if after > 0 {
        format!(
            "{after} disks of {name} are still being released for host '{label}' ({host}), which is fenced: {proof}"
        )
    } else if before > 0 {
        format!("{before} disks of {name} are released; host '{label}' ({host}) is fenced: {proof}")
    } else {
        format!("host '{label}' ({host}) holds no disk of {name}; it is fenced: {proof}")
    };
    Ok(said.into())
}

/// Disks of a repository that a host holds.
fn held(view: &View, host: Uuid, sr: Uuid) -> usize {
    view.table(Table::VdiLock)
        .filter(|item| {
            let in_sr = item
                .key
                .uuid()
                .and_then(|vdi| view.record("VDI", vdi))
                .is_some_and(|vdi| target(vdi, "SR") == Some(sr));
            let lock = item.raw().and_then(|b| decode::<VdiLock>(b).ok());
            in_sr && lock.is_some_and(|l| l.holders.values().any(|h| h.host == host))
        })
        .count()
}
