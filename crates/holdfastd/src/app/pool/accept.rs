//! `pool.holdfast_join`: a member lets another host in. It signs the host's certificate and gives it leave; the host then
//! commits its own records under that leave ([`crate::joining`]).

use std::sync::Arc;

use planner::likeness;
use pooldb::Txn;
use xenapi::{Error, Value};

use super::super::{target, text, text_param};
use crate::api::{Authorized, errors};
use crate::identity::Home;
use crate::joining::{Answer, MachineTold, Request, ticket_key};
use crate::reconcilers::voters::leaving_key;
use crate::records::{Ticket, decode, encode};
use crate::{Daemon, View, fencing, founding, pki, reached, returning, start};

/// Answers the message.
pub(super) async fn accept(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let request: Request = serde_json::from_str(text_param(call, 0))
        .map_err(|e| errors::internal(format!("the joining host's request: {e}")))?;
    let view = daemon.view().await;
    refuse(&view, &request)?;
    let internal = |e: anyhow::Error| errors::internal(format!("{e:#}"));
    founding::ensure_etcd(daemon).await.map_err(internal)?;
    let identity = daemon.identity();
    let Home::Etcd { endpoints, .. } = identity.home else {
        return Err(errors::internal("the pool's database is not in etcd"));
    };
    let cluster = daemon.store().db().identity().await.map_err(|e| errors::from_db(&e))?;
    let view = daemon.view().await;
    refuse(&view, &request)?;
    let ca = start::pool_ca(&view, daemon.pool_key()).map_err(internal)?;
    let now = time::OffsetDateTime::from_unix_timestamp(daemon.now())
        .map_err(|e| errors::internal(e.to_string()))?;
    let certificate = ca
        .sign(&request.csr, request.host, &request.addresses, now)
        .map_err(|e| errors::internal(format!("the signing request: {e}")))?;
    let ticket = Ticket {
        host: request.host,
        attempt: request.attempt,
        since: daemon.now(),
        unknown: serde_json::Map::new(),
    };
    returning::let_go(daemon, &view, request.host).await.map_err(errors::from_commit)?;
    // A tombstone that stayed would make the new member keep still.
    let txn = Txn::new()
        .put(ticket_key(request.host), encode(&ticket))
        .delete(leaving_key(request.host))
        .delete(fencing::forgotten_key(request.host));
    daemon.commit(txn).await.map_err(errors::from_commit)?;
    tracing::info!(
        host = %request.host, name = request.name, by = call.caller().user,
        ca = pki::fingerprint(&ca.cert_pem).unwrap_or_default(),
        "a host has leave to join this pool"
    );
    reached("accept: leave given");
    let answer = Answer {
        pool: identity.pool,
        epoch: identity.epoch,
        cluster_id: cluster.cluster_id,
        endpoints,
        certificate,
        ca: ca.cert_pem,
        pool_key: daemon.pool_key().to_hex(),
        attempt: request.attempt,
    };
    let text = serde_json::to_string(&answer).map_err(|e| errors::internal(e.to_string()))?;
    Ok(text.into())
}

fn refuse(view: &View, request: &Request) -> Result<(), Error> {
    let ticket =
        view.get(&ticket_key(request.host)).and_then(|item| decode::<Ticket>(item.raw()?).ok());
    if view.record("host", request.host).is_some() && ticket.is_none() {
        return Err(errors::not_allowed(format!(
            "host '{}' ({}) is a member of this pool already; after a loss, `xe host-forget` it first",
            request.name, request.host
        )));
    }
    let address = request.addresses.first().map(String::as_str).unwrap_or_default();
    let twin = view
        .records("host")
        .find(|host| text(host, "address") == address && host.uuid() != request.host);
    if let Some(twin) = twin {
        return Err(errors::not_allowed(format!(
            "the pool has a host with the address {address} already: '{}' ({})",
            text(twin, "name_label"),
            twin.uuid()
        )));
    }
    let Some(member) = view
        .records("pool")
        .find_map(|pool| view.record("host", target(pool, "master")?))
        .or_else(|| view.records("host").next())
    else {
        return Ok(());
    };
    let mut joining = request.machine.clone();
    if joining.version.is_empty() {
        joining.version.clone_from(&request.software);
    }
    let mut there = MachineTold::of(member);
    there.update = view.schema_active().map_or(there.update, |schema| schema.to_string());
    let differences =
        likeness::differences(&joining.machine(), text(member, "name_label"), &there.machine());
    match likeness::refusal(&differences, request.force) {
        Some(why) => Err(Error::new("HOSTS_NOT_HOMOGENEOUS", [why])),
        None => Ok(()),
    }
}
