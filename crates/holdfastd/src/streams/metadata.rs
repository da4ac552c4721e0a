//! The pool database as a file: `GET /pool/xmldbdump` saves it, `PUT` restores it ([`crate::restoring`]).
//!
//! XenServer's path, our own format ([`crate::dump`]). Every host answers from its own replica, so a member does without a
//! coordinator and a host without quorum does too; the header of the dump says how old it is.

use std::sync::Arc;
use std::time::Duration;

use datamodel::Role;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use uuid::Uuid;
use xenapi::{Error, Value};

use crate::api::{Caller, auth, errors};
use crate::dump::{self, Maker, Origin};
use crate::http::routes::plain;
use crate::http::{Peer, ReplyBody, bytes_body};
use crate::{Daemon, restoring, tasks};

/// Where XenServer's clients look for it.
pub(super) const PATH: &str = "/pool/xmldbdump";
/// Longest wait for a dump to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(600);
/// Longest order before a dump, bytes.
const ORDER_BYTES: usize = 1 << 20;
/// Longest wait for a majority to confirm that the replica is the newest state.
const FRESH_LIMIT: Duration = Duration::from_secs(2);

/// Answers `GET`.
pub(super) async fn dump(
    daemon: Arc<Daemon>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let made = match administrator(&daemon, &peer, &request).await {
        Ok(_) => make(&daemon).await,
        Err(error) => return refusal(&error),
    };
    end_task(&daemon, &request, made.as_ref().map(drop).map_err(Error::clone)).await;
    match made {
        Ok(bytes) => {
            let mut response = Response::new(bytes_body(bytes));
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(error) => refusal(&error),
    }
}

/// Answers `PUT`: the body is a dump, or an order and a dump.
pub(super) async fn restore(
    daemon: Arc<Daemon>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let caller = match administrator(&daemon, &peer, &request).await {
        Ok(caller) => caller,
        Err(error) => return refusal(&error),
    };
    let dry_run = auth::query(&request, "dry_run").is_some_and(|word| word == "true");
    let (parts, body) = request.into_parts();
    let limited = Limited::new(body, dump::MAX_BYTES + ORDER_BYTES);
    let outcome = match tokio::time::timeout(BODY_LIMIT, limited.collect()).await {
        Ok(Ok(body)) => restoring::restore(&daemon, &caller, &body.to_bytes(), dry_run).await,
        Ok(Err(error)) => Err(format!("the dump did not arrive whole: {error}")),
        Err(_) => Err(format!("the dump did not arrive within {} s", BODY_LIMIT.as_secs())),
    };
    let empty = Request::from_parts(parts, ());
    let result = outcome.as_ref().map(drop).map_err(|why| errors::not_allowed(why.clone()));
    end_task(&daemon, &empty, result).await;
    match outcome {
        Ok(text) => plain(StatusCode::OK, &text),
        Err(why) => plain(StatusCode::CONFLICT, &format!("{why}\n")),
    }
}

pub(super) async fn administrator(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    request: &Request<Incoming>,
) -> Result<Caller, Error> {
    let caller = auth::of_request(daemon, peer, request).await?;
    if caller.role < Role::PoolAdmin {
        let text = format!("the account {} is no pool-admin", caller.user);
        return Err(Error::new("RBAC_PERMISSION_DENIED", [PATH.to_owned(), text]));
    }
    Ok(caller)
}

/// The dump of what this host knows.
async fn make(daemon: &Arc<Daemon>) -> Result<Vec<u8>, Error> {
    let store = daemon.store();
    let confirmed = if daemon.is_without_quorum() {
        None
    } else {
        store.read_linearizable(FRESH_LIMIT).await.ok()
    };
    let (view, age) = match confirmed {
        Some(view) => (view, Some(Duration::ZERO)),
        None => (store.view(), store.replica().age()),
    };
    let maker = Maker {
        host: daemon.host(),
        now: daemon.now(),
        origin: Origin::Replica,
        age_ms: age.map(|a| u64::try_from(a.as_millis()).unwrap_or(u64::MAX)),
    };
    let of = daemon.clone();
    tokio::task::spawn_blocking(move || dump::write(&view, of.pool_key(), &maker))
        .await
        .map_err(|e| errors::internal(e.to_string()))
}

/// Ends the task that the client made to watch the transfer.
pub(super) async fn end_task<B>(
    daemon: &Arc<Daemon>,
    request: &Request<B>,
    result: Result<(), Error>,
) {
    end_task_with(daemon, request, result.map(|()| Value::Void)).await;
}

/// The same for a transfer that has a result.
pub(super) async fn end_task_with<B>(
    daemon: &Arc<Daemon>,
    request: &Request<B>,
    result: Result<Value, Error>,
) {
    let Some(task) = auth::query(request, "task_id") else { return };
    if let Ok(task) = Uuid::try_parse(task.strip_prefix("OpaqueRef:").unwrap_or(&task)) {
        tasks::finish(daemon, task, result).await;
    }
}

pub(super) fn refusal(error: &Error) -> Response<ReplyBody> {
    let status = match &*error.code {
        "SESSION_INVALID" | "SESSION_AUTHENTICATION_FAILED" => StatusCode::UNAUTHORIZED,
        "RBAC_PERMISSION_DENIED" => StatusCode::FORBIDDEN,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    plain(status, &format!("{error}\n"))
}
