//! HTTP requests that are not calls: the page, health, consoles, transfers.

mod console;
mod health;
mod host_backup;
mod metadata;
pub(crate) mod page;
mod system_status;
mod vm_metadata;

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::Daemon;
use crate::http::routes::plain;
use crate::http::{Peer, ReplyBody};

/// Paths that take a POST themselves instead of a call.
pub fn takes_post(_path: &str) -> bool {
    false
}

/// Answers a request that is not a call.
pub async fn answer(
    daemon: Arc<Daemon>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => health::health(&daemon, false),
        (&Method::GET, "/health/pool") => health::health(&daemon, true),
        (&Method::GET, "/metrics") => health::metrics(&daemon),
        (&Method::GET, "/system-status") => system_status::answer(&daemon, &peer, &request).await,
        // For support and long tests on the host itself: what contradicts itself in the database, as JSON.
        (&Method::GET, "/audit") if peer.is_local_root() => {
            let found = crate::audit::audit(&daemon.view().await);
            plain(StatusCode::OK, &serde_json::to_string(&found).unwrap_or_default())
        }
        // For `holdfastd list-disks` and `export-disk`, which can't open what this daemon has open.
        (&Method::GET, crate::offline_disks::PATH) if peer.is_local_root() => {
            let age = daemon.store().replica().age().unwrap_or_default();
            let known = crate::offline_disks::Known::of(&daemon.store().view(), daemon.host(), age);
            plain(StatusCode::OK, &serde_json::to_string(&known).unwrap_or_default())
        }
        (&Method::CONNECT, "/console") => console::connect(daemon, peer, request).await,
        (&Method::GET, "/console") => {
            plain(StatusCode::BAD_REQUEST, "a console is opened with CONNECT, not GET\n")
        }
        (&Method::GET, "/vncsnapshot") => console::picture(daemon, peer, request).await,
        (&Method::GET, metadata::PATH) => metadata::dump(daemon, peer, request).await,
        (&Method::PUT, metadata::PATH) => metadata::restore(daemon, peer, request).await,
        (&Method::GET, host_backup::BACKUP) => host_backup::backup(daemon, peer, request).await,
        (&Method::PUT, host_backup::RESTORE) => host_backup::put_back(daemon, peer, request).await,
        (&Method::GET, vm_metadata::EXPORT) => vm_metadata::export(daemon, peer, request).await,
        (&Method::PUT, vm_metadata::IMPORT) => vm_metadata::import(daemon, peer, request).await,
        (&Method::GET, path) => page::answer(&daemon, path)
            .unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "no such page\n")),
        (&Method::PUT, _) => plain(StatusCode::NOT_FOUND, "no such page\n"),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, "only calls may be posted\n"),
    }
}
