//! Whether a host is live, late or dead, since when, on what evidence, and what that makes of its VMs:
//! `host.holdfast_get_liveness`, `VM.holdfast_get_state`.
//!
//! `host_metrics.live` and `VM.power_state` keep the values that XenAPI's clients expect; here is what is really known. The
//! state follows from what the coordinator has recorded ([`Late`]); the evidence is what the asked host sees itself.

use std::sync::Arc;
use std::time::Duration;

use host::had::{LinkState, LinkStatus};
use pooldb::{Key, Table};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Timestamp, Value};

use super::host_recover::residents;
use super::{find, map_text, ref_param, target, text};
use crate::api::Authorized;
use crate::reconcilers::beats;
use crate::reconcilers::this_host::member;
use crate::records::{Unknown, decode};
use crate::{Daemon, View, fencing};

/// Key of the pool's `other_config`: seconds without a lease after which a host counts as dead.
pub const DEAD_AFTER_KEY: &str = "holdfast:host_dead_after";
/// The same when nothing is set (XenServer's documented limit).
pub const DEAD_AFTER_S: i64 = 600;
/// Longest wait for one sign of life.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// What the coordinator records of a host whose lease has ended, so that the count-down survives a change of coordinator.
/// Gone when the host is live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Late {
    /// Since when, seconds since the epoch.
    pub since: i64,
    /// The warning was given.
    #[serde(default)]
    pub warned: bool,
    /// It counts as dead.
    #[serde(default)]
    pub dead: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Where it stands.
pub fn late_key(host: Uuid) -> Key {
    Key::new(Table::Alert, format!("late/{host}"))
}

/// What is recorded of a host, if it is late.
pub fn late(view: &View, host: Uuid) -> Option<Late> {
    decode(view.get(&late_key(host))?.raw()?).ok()
}

/// After how many seconds a silent host counts as dead.
pub fn dead_after(view: &View) -> i64 {
    view.records("pool")
        .next()
        .and_then(|pool| map_text(pool, "other_config", DEAD_AFTER_KEY)?.parse().ok())
        .filter(|seconds| *seconds > 0)
        .unwrap_or(DEAD_AFTER_S)
}

/// The state in one word.
pub fn state(view: &View, host: Uuid) -> &'static str {
    match late(view, host) {
        Some(late) if late.dead => "dead",
        Some(_) => "late",
        None if super::host::is_live(view, host) => "live",
        None => "late",
    }
}

/// Answers the message of `host`; `None` for others.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    match message {
        "holdfast_get_layouts" => Some(layouts(daemon, call).await),
        "holdfast_get_liveness" => Some(liveness(daemon, call).await),
        _ => None,
    }
}

/// What is kept of hosts' disks; a host that is gone has no reference, so it is named by its uuid.
async fn layouts(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let host = match super::text_param(call, 0) {
        "" => None,
        text => {
            Some(Uuid::try_parse(text).map_err(|_| Error::new("UUID_INVALID", ["host", text]))?)
        }
    };
    let kept = crate::reconcilers::layouts::kept(&daemon.view().await, host);
    Ok(serde_json::json!({ "layouts": kept }).to_string().into())
}

async fn liveness(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?.clone();
    let signs = signs(daemon, &view, host.uuid()).await;
    let links = beats::links(daemon).await;
    Ok(describe(daemon, &view, &host, &signs, &links).to_string().into())
}

/// Signs of life that were asked for now.
pub(super) struct Signs {
    ping: &'static str,
    tcp: &'static str,
    api: &'static str,
}

impl Signs {
    /// What it answers by.
    pub(super) fn answering(&self) -> Vec<&'static str> {
        [("ping", self.ping), ("TCP", self.tcp), ("API", self.api)]
            .into_iter()
            .filter(|(_, word)| matches!(*word, "answers" | "itself"))
            .map(|(what, _)| what)
            .collect()
    }
}

/// Asks for them.
pub(super) async fn signs(daemon: &Arc<Daemon>, view: &View, host: Uuid) -> Signs {
    if host == daemon.host() {
        return Signs { ping: "itself", tcp: "itself", api: "itself" };
    }
    let Some(member) = member(view, host) else {
        return Signs { ping: "unknown", tcp: "unknown", api: "unknown" };
    };
    let word = |good: bool| if good { "answers" } else { "silent" };
    let tcp = async {
        let address = (member.address.as_str(), member.api_port);
        let connected = tokio::time::timeout(PROBE_LIMIT, tokio::net::TcpStream::connect(address));
        word(matches!(connected.await, Ok(Ok(_))))
    };
    let api = async {
        let address = format!("{}:{}", member.address, member.api_port);
        let asked = async {
            // Only whether it answers: nothing is told to it, and its word is not believed.
            let target = client::Target::parse(&address)?;
            let options = client::Options::new(client::Trust::Insecure);
            let client = client::Client::connect(target, options).await.ok()?;
            client.call_within("system.listMethods", &[], PROBE_LIMIT).await.ok()
        };
        word(matches!(tokio::time::timeout(PROBE_LIMIT, asked).await, Ok(Some(_))))
    };
    let ping = async {
        let address = member.address.clone();
        let pinged = tokio::task::spawn_blocking(move || {
            host::exec::Command::new("ping")
                .args(["-n", "-c", "1", "-W", "1", &address])
                .limit(PROBE_LIMIT)
                .run()
        });
        match pinged.await {
            Ok(Ok(output)) => word(output.status.success()),
            _ => "not tried",
        }
    };
    let (ping, tcp, api) = tokio::join!(ping, tcp, api);
    Signs { ping, tcp, api }
}

fn describe(
    daemon: &Daemon,
    view: &View,
    host: &Record,
    signs: &Signs,
    links: &[LinkStatus],
) -> serde_json::Value {
    let id = host.uuid();
    let is_silent = |link: &LinkStatus| link.host == id && link.state == LinkState::Silent;
    let late = late(view, id);
    let now = daemon.now();
    let limit = dead_after(view);
    let lease = fencing::lease(view, id);
    let peer = daemon.peers.all().get(&id).copied();
    let heard = peer.map(|p| p.heard.elapsed().as_secs());
    let boot = fencing::registered_boot(view, id);
    let fence = boot.as_deref().and_then(|boot| fencing::fence(view, id, boot));
    let vms: Vec<serde_json::Value> = residents(view, id)
        .into_iter()
        .filter_map(|vm| view.record("VM", vm))
        .map(|vm| vm_state(view, vm))
        .collect();
    json!({
        "host": id,
        "name": text(host, "name_label"),
        "asked": fencing::label(view, daemon.host()),
        "state": if daemon.is_without_quorum() { "unknown" } else { state(view, id) },
        "since": late.as_ref().map(|l| Timestamp(l.since).to_string()),
        "silent_s": late.as_ref().map(|l| now - l.since),
        "dead_after_s": limit,
        "watchdog": fencing::watchdog(view, id),
        "dead_in_s": late.as_ref().filter(|l| !l.dead).map(|l| (l.since + limit - now).max(0)),
        "lease": match (&lease, id == daemon.host()) {
            (Some(_), _) => "held",
            (None, true) => "not needed",
            (None, false) => "ended",
        },
        "heard_s": heard,
        "beats": beats::said(links, id),
        "suspected": peer.is_some_and(|p| p.suspected) || links.iter().any(is_silent),
        "ping": signs.ping,
        "tcp": signs.tcp,
        "api": signs.api,
        "boot": boot,
        "fence": fence.as_ref().map(|f| f.proof.text()),
        "vms": vms,
    })
}

/// What is known of a VM's run.
fn vm_state(view: &View, vm: &Record) -> serde_json::Value {
    let placement = super::vm::claim::placement(view, vm.uuid());
    let host = placement.as_ref().and_then(|p| p.host).or_else(|| target(vm, "resident_on"));
    let late = host.and_then(|h| late(view, h));
    let unknown = host.is_some_and(|h| state(view, h) != "live")
        && matches!(text(vm, "power_state"), "Running" | "Paused");
    let label = host.map(|h| fencing::label(view, h)).unwrap_or_default();
    let since = late.map(|l| Timestamp(l.since).to_string()).unwrap_or_default();
    let said = if unknown {
        format!("state unknown since {since}, last on {label}")
    } else {
        text(vm, "power_state").to_lowercase()
    };
    json!({
        "vm": vm.uuid(),
        "name": text(vm, "name_label"),
        "power_state": text(vm, "power_state"),
        "known": !unknown,
        "state": said,
        "since": since,
        "last_on": label,
        "host": host,
    })
}

/// `VM.holdfast_get_state(vm)`.
pub(super) async fn of_vm(daemon: &Arc<Daemon>, vm: OpaqueRef) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vm = find(&view, "VM", vm)?;
    Ok(vm_state(&view, vm).to_string().into())
}
