//! Which request goes where, and the bounds on receiving it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::body::{ReplyBody, bytes_body};
use super::listen::Peer;
use super::{BODY_LIMIT, MAX_CALL_BYTES, rpc};
use crate::{Daemon, streams};

/// Answers one request.
pub(super) async fn answer(
    daemon: Arc<Daemon>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let path = request.uri().path();
    match (request.method(), path) {
        (&Method::POST, path) if !streams::takes_post(path) => {
            let is_json = matches!(path, "/jsonrpc" | "/jsonrpc/");
            let origin = request.headers().get(header::ORIGIN).cloned();
            let body = match receive(request).await {
                Ok(body) => body,
                Err(status) => return plain(status, ""),
            };
            if is_json {
                let mut response = rpc::json(&daemon, &peer, &body).await;
                if let Some(origin) = origin {
                    streams::page::permit(&daemon, &origin, &mut response);
                }
                response
            } else {
                rpc::xml(&daemon, &peer, &body).await
            }
        }
        _ => streams::answer(daemon, peer, request).await,
    }
}

/// The whole body of a call, bounded in size and time.
async fn receive(request: Request<Incoming>) -> Result<Bytes, StatusCode> {
    let too_long = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok())
        .is_some_and(|n| n > MAX_CALL_BYTES as u64);
    if too_long {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let body = Limited::new(request.into_body(), MAX_CALL_BYTES);
    match tokio::time::timeout(BODY_LIMIT, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// A short answer in plain text.
pub(crate) fn plain(status: StatusCode, text: &str) -> Response<ReplyBody> {
    let mut response = Response::new(bytes_body(text.as_bytes().to_vec()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
