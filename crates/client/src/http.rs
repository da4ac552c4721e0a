//! Bodies of requests and answers, whole and as streams.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{HeaderValue, LOCATION};
use hyper::{Method, Request, Response, StatusCode};

use crate::{CallError, Session, Target};

/// Largest answer to a call that is read into memory, in bytes: `get_all_records` of 5,000 VMs has 17 MB.
pub const MAX_ANSWER_BYTES: usize = 512 << 20;

/// Most of a refusal's text that an error repeats, in bytes.
const MAX_DETAIL_BYTES: usize = 1 << 10;

/// How often a stream follows a redirect to another host.
const MAX_REDIRECTS: usize = 3;

/// A request's body.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// No body.
pub fn empty_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is sent as it comes.
pub fn stream_body<B>(body: B) -> Body
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    body.map_err(std::io::Error::other).boxed_unsync()
}

pub(crate) fn whole_body(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync()
}

/// Reads an answer's body up to `limit` bytes; beyond that it is an error.
pub(crate) async fn collect(mut body: Incoming, limit: usize) -> Result<Vec<u8>, std::io::Error> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let mut whole = Vec::with_capacity(expected.min(limit));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(std::io::Error::other)?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(std::io::Error::other(format!("the answer has more than {limit} bytes")));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

impl Session {
    /// Opens a stream from the server: `GET path`, with the session, the query given, and perhaps a task to report to. The
    /// answer is a success; its body is read by the caller. Redirects to other hosts are followed.
    pub async fn get_stream(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Response<Incoming>, CallError> {
        let mut target = self.client().current_target();
        let uri = self.uri(path, query);
        for _ in 0..=MAX_REDIRECTS {
            let request = stream_request(Method::GET, &uri, None, empty_body())?;
            let answer = self.client().exchange_with(&target, request, path).await?;
            match redirect(&target, &answer) {
                Some(next) => target = next,
                None => return success(&target, answer).await,
            }
        }
        Err(too_many_redirects(&target))
    }

    /// Sends a stream to the server: `PUT path`, with the session and the query given. A body is sent once: where the server
    /// redirects, the caller learns the other host by [`Session::put_target`] first.
    pub async fn put_stream(
        &self,
        target: &Target,
        path: &str,
        query: &[(&str, &str)],
        length: Option<u64>,
        body: Body,
    ) -> Result<Response<Incoming>, CallError> {
        let request = stream_request(Method::PUT, &self.uri(path, query), length, body)?;
        let answer = self.client().exchange_with(target, request, path).await?;
        success(target, answer).await
    }

    /// Which host takes a `PUT` of that path: an empty one is tried, and its redirects followed. Any other answer means "here".
    pub async fn put_target(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Target, CallError> {
        let mut target = self.client().current_target();
        let uri = self.uri(path, query);
        for _ in 0..=MAX_REDIRECTS {
            let request = stream_request(Method::PUT, &uri, Some(0), empty_body())?;
            let answer = self.client().exchange_with(&target, request, path).await?;
            match redirect(&target, &answer) {
                Some(next) => target = next,
                None => return Ok(target),
            }
        }
        Err(too_many_redirects(&target))
    }

    fn uri(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut uri = format!("{path}?session_id={}", percent(self.token()));
        for (name, value) in query {
            uri.push('&');
            uri.push_str(&percent(name));
            uri.push('=');
            uri.push_str(&percent(value));
        }
        uri
    }
}

fn stream_request(
    method: Method,
    uri: &str,
    length: Option<u64>,
    body: Body,
) -> Result<Request<Body>, CallError> {
    let mut request = Request::builder().method(method).uri(uri);
    if let Some(length) = length {
        request = request.header(hyper::header::CONTENT_LENGTH, length);
    }
    request
        .body(body)
        .map_err(|e| CallError::Protocol { host: String::new(), reason: e.to_string() })
}

/// Everything but letters, digits and a few marks as `%XX`.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn redirect(from: &Target, answer: &Response<Incoming>) -> Option<Target> {
    let moved = [StatusCode::MOVED_PERMANENTLY, StatusCode::FOUND, StatusCode::TEMPORARY_REDIRECT];
    if !moved.contains(&answer.status()) {
        return None;
    }
    let location = answer.headers().get(LOCATION).map(HeaderValue::to_str)?.ok()?;
    let authority = location.strip_prefix("https://")?.split(['/', '?']).next()?;
    let target = Target::parse(authority)?;
    // A server that names no port means the one it was asked on.
    let named_port = authority.rsplit(']').next()?.contains(':');
    if named_port { Some(target) } else { from.sibling(authority) }
}

fn too_many_redirects(target: &Target) -> CallError {
    CallError::Protocol { host: target.to_string(), reason: "too many redirects".to_owned() }
}

async fn success(
    target: &Target,
    answer: Response<Incoming>,
) -> Result<Response<Incoming>, CallError> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    Err(refusal(target, answer).await)
}

/// The error that a refused request stands for.
pub(crate) async fn refusal(target: &Target, answer: Response<Incoming>) -> CallError {
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut text = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                text.extend_from_slice(&data);
            }
            if text.len() >= MAX_DETAIL_BYTES {
                break;
            }
        }
    };
    // A refusal whose text doesn't come is a refusal all the same.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), read).await;
    text.truncate(MAX_DETAIL_BYTES);
    let text = String::from_utf8_lossy(&text);
    let detail = text.lines().next().unwrap_or_default().trim().to_owned();
    CallError::Http { host: target.to_string(), status, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_escaped() {
        assert_eq!(percent("OpaqueRef:a b&c=é"), "OpaqueRef:a%20b%26c%3D%C3%A9");
    }
}
