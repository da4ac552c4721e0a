//! `GET /`: the page, three plain files that talk JSON-RPC like anyone else (S2-9), and which other pages may do so.
//!
//! A page that was opened on one host goes on at another when the first is silent (S2-18), so each host lets pages from the
//! other hosts' addresses call it, and no other page: the browser gets the permission only for an origin whose address is a
//! host's in this pool.

use std::net::IpAddr;

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::http::{ReplyBody, bytes_body};
use crate::{Daemon, View};

/// Path, content type and content of each file.
const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("../../../../web/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("../../../../web/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("../../../../web/page.js")),
];

/// Answers a path of the page; `None` for others.
pub(super) fn answer(daemon: &Daemon, path: &str) -> Option<Response<ReplyBody>> {
    let (_, kind, content) = FILES.iter().find(|(name, _, _)| *name == path)?;
    let mut response = Response::new(bytes_body(content.as_bytes().to_vec()));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&content_policy(&daemon.store().view())) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Some(response)
}

/// What the page may load and whom it may call: itself and the pool's hosts.
fn content_policy(view: &View) -> String {
    let hosts: String = addresses(view).map(|a| format!(" https://{}", in_url(a))).collect();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'{hosts}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn addresses(view: &View) -> impl Iterator<Item = IpAddr> {
    view.records("host").filter_map(|host| crate::app::text(host, "address").parse().ok())
}

fn in_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// The address that an origin names, if it is `https://ADDRESS` or `https://ADDRESS:PORT`.
fn address_of(origin: &str) -> Option<IpAddr> {
    let place = origin.strip_prefix("https://")?;
    if let Some(rest) = place.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
        return address.parse().ok().filter(|_| is_port);
    }
    let address = match place.split_once(':') {
        Some((address, port)) if is_number(port) => address,
        Some(_) => return None,
        None => place,
    };
    address.parse().ok()
}

fn is_number(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// Lets the page of another host of this pool read the answer to its call.
pub(crate) fn permit(daemon: &Daemon, origin: &HeaderValue, response: &mut Response<ReplyBody>) {
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    let asks = origin.to_str().ok().and_then(address_of);
    if asks.is_some_and(|asks| addresses(&daemon.store().view()).any(|host| host == asks)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let age = HeaderName::from_static("holdfast-replica-age");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from(age));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_names_an_address_or_nothing() {
        let yes = |text: &str, address: &str| {
            assert_eq!(address_of(text), address.parse().ok(), "{text}");
        };
        yes("https://192.0.2.7", "192.0.2.7");
        yes("https://192.0.2.7:8443", "192.0.2.7");
        yes("https://[2001:db8::7]", "2001:db8::7");
        yes("https://[2001:db8::7]:443", "2001:db8::7");
        for other in [
            "null",
            "",
            "http://192.0.2.7",
            "https://192.0.2.7.example",
            "https://192.0.2.7:99999",
            "https://192.0.2.7:443/x",
            "https://192.0.2.7@evil.example",
            "https://[2001:db8::7]x",
            "https://pool.example",
        ] {
            assert_eq!(address_of(other), None, "{other}");
        }
    }
}
