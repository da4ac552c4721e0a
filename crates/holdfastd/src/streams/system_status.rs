//! `GET /system-status?host_id=&output=`: the support bundle of this host, as `xe host-get-system-status` asks for it.
//!
//! As on XenServer it takes the role of a pool operator and is answered by the host that it is about; asked of another
//! one, the request is redirected there. `output` is `tar` or `tar.gz`; what the bundle is made of is [`crate::bundle`].

use std::sync::Arc;
use std::time::Duration;

use datamodel::Role;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use uuid::Uuid;
use xenapi::{OpaqueRef, Value};

use crate::api::{Caller, auth, errors};
use crate::http::routes::plain;
use crate::http::{Peer, ReplyBody, bytes_body};
use crate::reconcilers::this_host::member;
use crate::truth::words;
use crate::{Daemon, bundle, tasks};

/// Longest collection; each part has a limit of its own.
const LIMIT: Duration = Duration::from_secs(120);

/// Answers the request.
pub(super) async fn answer(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    request: &Request<Incoming>,
) -> Response<ReplyBody> {
    let caller = match auth::of_request(daemon, peer, request).await {
        Ok(caller) => caller,
        Err(error) => return plain(StatusCode::UNAUTHORIZED, &format!("{error}\n")),
    };
    if caller.role < Role::PoolOperator {
        return plain(StatusCode::FORBIDDEN, "the support bundle takes the role pool-operator\n");
    }
    let named = auth::query(request, "host_id").unwrap_or_default();
    let named = named.strip_prefix("OpaqueRef:").unwrap_or(&named);
    let host = if named.is_empty() { Ok(daemon.host()) } else { Uuid::try_parse(named) };
    let Ok(host) = host else {
        return plain(StatusCode::NOT_FOUND, "host_id is no host\n");
    };
    if host != daemon.host() {
        return elsewhere(daemon, &caller, request, host).await;
    }
    let output = auth::query(request, "output").unwrap_or_default();
    let compressed = match output.as_str() {
        "" | "tar" => false,
        "tar.gz" | "tgz" => true,
        other => {
            let text = format!("output={other} is not offered; it is tar or tar.gz\n");
            return plain(StatusCode::BAD_REQUEST, &text);
        }
    };
    tracing::info!(by = caller.user, from = caller.origin, "a support bundle is made");
    let look = daemon
        .truth
        .seen()
        .map_or(serde_json::Value::Null, |seen| words::status(&seen.facts, &seen.findings));
    let (config, view, at) = (daemon.config().clone(), daemon.store().view(), daemon.now());
    let collecting = tokio::task::spawn_blocking(move || {
        let tar = bundle::collect(&config, Some((view, look))).into_tar(at);
        if compressed { bundle::gzip(&tar) } else { Ok(tar) }
    });
    let collected = tokio::time::timeout(LIMIT, collecting).await;
    // `xe` makes a task for the transfer and waits for its end.
    let task = auth::query(request, "task_id");
    let task = task.and_then(|t| Uuid::try_parse(t.strip_prefix("OpaqueRef:").unwrap_or(&t)).ok());
    if let Some(task) = task {
        let result = match &collected {
            Ok(Ok(Ok(_))) => Ok(Value::Void),
            _ => Err(errors::internal("the support bundle could not be made")),
        };
        tasks::finish(daemon, task, result).await;
    }
    match collected {
        Ok(Ok(Ok(bytes))) => {
            let mut response = Response::new(bytes_body(bytes));
            let kind = if compressed { "application/gzip" } else { "application/x-tar" };
            let kind = header::HeaderValue::from_static(kind);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Ok(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the bundle could not be made\n"),
        Err(_) => plain(
            StatusCode::GATEWAY_TIMEOUT,
            "the bundle was not complete within 120 s; on the host: holdfastd bundle --output FILE.tar.gz\n",
        ),
    }
}

/// Sends the request on to the host that it is about. Root on this host has no session, and there it is nobody: it gets one.
pub(super) async fn elsewhere(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    request: &Request<Incoming>,
    host: Uuid,
) -> Response<ReplyBody> {
    let Some(member) = member(&daemon.store().view(), host) else {
        return plain(StatusCode::NOT_FOUND, "no such host, or it never told its address\n");
    };
    let mut path = request.uri().path_and_query().map_or("", |p| p.as_str()).to_owned();
    if caller.session.is_none() && caller.member.is_none() {
        let user = caller.user.as_str();
        let login = auth::login(daemon, user, Role::PoolAdmin, &caller.origin, "redirect").await;
        let Ok(token) = login else {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, "no session for the other host\n");
        };
        path = with_session(&path, &OpaqueRef::new(token).to_string());
    }
    let to = format!("https://{}:{}{path}", member.address, member.api_port);
    let mut response = plain(StatusCode::FOUND, "");
    match header::HeaderValue::from_str(&to) {
        Ok(to) => {
            response.headers_mut().insert(header::LOCATION, to);
            response
        }
        Err(_) => plain(StatusCode::BAD_REQUEST, "the request's path can't be passed on\n"),
    }
}

/// The path with that session in place of any other.
fn with_session(path: &str, session: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut pairs: Vec<&str> =
        query.split('&').filter(|p| !p.is_empty() && !p.starts_with("session_id=")).collect();
    let session = format!("session_id={session}");
    pairs.push(&session);
    format!("{path}?{}", pairs.join("&"))
}
