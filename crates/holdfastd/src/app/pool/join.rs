//! `pool.join` and `pool.join_force`, on the host that joins.

use std::sync::Arc;
use std::time::Duration;

use client::{CallError, Client, Options, Target, Trust};
use pooldb::migrate::Movable as _;
use xenapi::{Error, Value};

use super::super::{text, text_param, truth};
use crate::api::{Authorized, errors};
use crate::backend::Backend;
use crate::first_start::VERSION;
use crate::joining::{self, Answer, MachineTold, Outcome, Request};
use crate::pki::{self, HostKey};
use crate::records::VdiLock;
use crate::{Daemon, View, random_uuid, reached};

/// How long completing the join is tried before it is left to this host's next start.
const COMPLETE_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(300);
/// Time for the reply to leave before this process ends.
const REPLY_TIME: Duration = Duration::from_millis(300);

/// Answers the messages.
pub(super) async fn join(
    daemon: &Arc<Daemon>,
    call: &Authorized,
    force: bool,
) -> Result<Value, Error> {
    let Backend::Embedded(own) = daemon.backend() else {
        return Err(Error::new(
            "JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS",
            Vec::<String>::new(),
        ));
    };
    let Ok(_one_at_a_time) = daemon.membership.try_lock() else {
        return Err(errors::not_allowed("this host is being joined or joins a pool already"));
    };
    let view = daemon.view().await;
    check(&view)?;
    let config = daemon.config();
    let identity = daemon.identity();
    let key = HostKey::generate(identity.host).map_err(|e| errors::internal(e.to_string()))?;
    let mut addresses = vec![config.host.address.clone()];
    addresses.extend(config.api.extra_addresses.iter().cloned());
    let request = Request {
        host: identity.host,
        attempt: random_uuid(),
        name: config.host.name.clone(),
        addresses,
        csr: key.csr_pem.clone(),
        software: VERSION.to_owned(),
        force,
        machine: machine(daemon, &view),
    };
    crate::api::second_look::acts();
    let answer = ask(call, &request).await?;
    reached("join: answered");
    // From here on this host's own records must not change: they are being carried over.
    let internal = |e: anyhow::Error| errors::internal(format!("{e:#}"));
    own.freeze(true).await.map_err(|e| errors::from_db(&e))?;
    let view = daemon.store().view();
    let begun = check(&view)
        .and_then(|()| joining::begin(config, &identity, &answer, &key.key_pem).map_err(internal));
    if let Err(error) = begun {
        let _ = own.freeze(false).await;
        joining::clean_up(config);
        return Err(error);
    }
    let deadline = tokio::time::Instant::now() + COMPLETE_LIMIT;
    let result = loop {
        match joining::complete(config, &identity, &view).await {
            Ok(Outcome::Member) => {
                tracing::info!(pool = %answer.pool, "this host is a member; starting again as one");
                break Ok(Value::Void);
            }
            Ok(Outcome::Withdrawn) => {
                let _ = own.freeze(false).await;
                return Err(Error::new("JOINING_HOST_SERVICE_FAILED", Vec::<String>::new()));
            }
            Err(error) if tokio::time::Instant::now() >= deadline => break Err(internal(error)),
            Err(error) => tracing::info!(error = %format!("{error:#}"), "joining: not yet"),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    };
    // The next start of this daemon is a member's, or goes on joining.
    let stopping = daemon.clone();
    tokio::spawn(async move {
        tokio::time::sleep(REPLY_TIME).await;
        stopping.stop();
    });
    result
}

/// What this host is made of; a test of a debug build may say otherwise.
fn machine(daemon: &Daemon, view: &View) -> MachineTold {
    let told = crate::test_doors::read(daemon.config()).machine;
    told.or_else(|| view.record("host", daemon.host()).map(|host| MachineTold::of(host)))
        .unwrap_or_default()
}

fn check(view: &View) -> Result<(), Error> {
    let plain = |code: &str| Err(Error::new(code, Vec::<String>::new()));
    if view.records("host").count() > 1 {
        return plain("JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS");
    }
    for vm in view.records("VM").filter(|vm| !truth(vm, "is_control_domain")) {
        if matches!(text(vm, "power_state"), "Running" | "Paused") {
            return plain("JOINING_HOST_CANNOT_HAVE_RUNNING_VMS");
        }
        if text(vm, "power_state") == "Suspended" {
            return plain("JOINING_HOST_CANNOT_HAVE_RUNNING_OR_SUSPENDED_VMS");
        }
        let busy = vm.get_by_name("current_operations").and_then(Value::as_map);
        if busy.is_some_and(|m| !m.pairs().is_empty()) {
            return plain("JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS");
        }
    }
    if view.records("SR").any(|sr| truth(sr, "shared")) {
        return plain("JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS");
    }
    let open = view
        .table(pooldb::Table::VdiLock)
        .filter_map(|item| crate::records::decode::<VdiLock>(item.raw()?).ok())
        .any(|lock| !lock.holders.is_empty());
    if open {
        return Err(errors::not_allowed("a disk of this host is in use by a copy or an export"));
    }
    Ok(())
}

/// Asks a member of the pool for leave.
async fn ask(call: &Authorized, request: &Request) -> Result<Answer, Error> {
    let address = text_param(call, 0);
    let unreachable = |why: &dyn std::fmt::Display| {
        tracing::warn!(address, %why, "the pool to join can't be reached");
        Error::new("JOINING_HOST_CONNECTION_FAILED", Vec::<String>::new())
    };
    let target = Target::parse(address).ok_or_else(|| unreachable(&"not an address"))?;
    // The pool's CA is not known before the answer: the fingerprint is recorded for a person to compare.
    let client = Client::connect(target, Options::new(Trust::Insecure))
        .await
        .map_err(|e| unreachable(&e))?;
    let shown = client.server_certificates();
    let fingerprint = shown.first().map(|c| client::fingerprint(c)).unwrap_or_default();
    tracing::info!(address, fingerprint, "joining: the member's certificate, accepted as new");
    let refused = |error: CallError| match error {
        CallError::Api(error) => error,
        other => unreachable(&other),
    };
    let session = client
        .login(text_param(call, 1), text_param(call, 2), "holdfast pool.join")
        .await
        .map_err(refused)?;
    let text = serde_json::to_string(request).map_err(|e| errors::internal(e.to_string()))?;
    let answer = session.call("pool.holdfast_join", &[text.into()]).await;
    let _ = session.clone().logout().await;
    let answer = answer.map_err(refused)?;
    let answer: Answer = serde_json::from_str(answer.as_str().unwrap_or_default())
        .map_err(|e| errors::internal(format!("the pool's answer: {e}")))?;
    if answer.attempt != request.attempt {
        return Err(errors::internal("the pool answered another request"));
    }
    tracing::info!(
        pool = %answer.pool,
        ca = pki::fingerprint(&answer.ca).unwrap_or_default(),
        "joining: the pool's certificate authority"
    );
    Ok(answer)
}
