//! `GET /host_backup?host_id=` and `PUT /host_restore?host_id=&dry_run=`: this host's own configuration and state as a file
//! ([`crate::host_backup`]), by XenServer's paths. Asked of another host, the request is redirected there.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use uuid::Uuid;
use xenapi::Error;

use super::metadata::{administrator, end_task, refusal};
use super::system_status::elsewhere;
use crate::api::{auth, errors};
use crate::app::text;
use crate::host_backup::{self, restore};
use crate::http::routes::plain;
use crate::http::{Peer, ReplyBody, bytes_body};
use crate::{Daemon, fencing};

/// Where XenServer's clients look for it.
pub(super) const BACKUP: &str = "/host_backup";
/// The other way.
pub(super) const RESTORE: &str = "/host_restore";
/// Longest time for a whole body to arrive.
const ARRIVE: Duration = Duration::from_secs(600);
/// Time for the client to have its reply and to look at its task before this process ends.
const REPLY_TIME: Duration = Duration::from_secs(5);

/// The host that a request names; this one if it names none.
fn named(daemon: &Arc<Daemon>, request: &Request<Incoming>) -> Result<Uuid, Error> {
    let named = auth::query(request, "host_id").unwrap_or_default();
    let bare = named.strip_prefix("OpaqueRef:").unwrap_or(&named);
    if bare.is_empty() {
        return Ok(daemon.host());
    }
    Uuid::try_parse(bare).map_err(|_| Error::handle_invalid("host", &named))
}

/// Answers `GET`.
pub(super) async fn backup(
    daemon: Arc<Daemon>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let made = match administrator(&daemon, &peer, &request).await {
        Ok(caller) => match named(&daemon, &request) {
            Ok(host) if host != daemon.host() => {
                return elsewhere(&daemon, &caller, &request, host).await;
            }
            Ok(_) => make(&daemon).await,
            Err(error) => Err(error),
        },
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

async fn make(daemon: &Arc<Daemon>) -> Result<Vec<u8>, Error> {
    let of = daemon.clone();
    let view = daemon.store().view();
    let made = tokio::task::spawn_blocking(move || {
        host_backup::make(of.config(), &of.identity(), of.pool_key(), Some(&view), of.now())
    });
    let made = made.await.map_err(|e| errors::internal(e.to_string()))?;
    made.map_err(|e| errors::internal(format!("{e:#}")))
}

/// Answers `PUT`. The answer's body says what was, or would be, done with each file; after it this daemon ends, and its
/// next start reads them.
pub(super) async fn put_back(
    daemon: Arc<Daemon>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let caller = match administrator(&daemon, &peer, &request).await {
        Ok(caller) => caller,
        Err(error) => return refusal(&error),
    };
    match named(&daemon, &request) {
        Ok(host) if host != daemon.host() => {
            return elsewhere(&daemon, &caller, &request, host).await;
        }
        Ok(_) => {}
        Err(error) => return refusal(&error),
    }
    let dry_run = auth::query(&request, "dry_run").is_some_and(|t| t == "true");
    let (parts, body) = request.into_parts();
    let received =
        tokio::time::timeout(ARRIVE, Limited::new(body, host_backup::MAX_BYTES).collect());
    let done = match received.await {
        Ok(Ok(body)) => restore_from(&daemon, body.to_bytes().to_vec(), dry_run).await,
        Ok(Err(error)) => {
            Err(errors::not_allowed(format!("the backup did not arrive whole: {error}")))
        }
        Err(_) => Err(errors::not_allowed("the backup did not arrive within 600 s")),
    };
    let query = Request::from_parts(parts, ());
    end_task(&daemon, &query, done.as_ref().map(drop).map_err(Error::clone)).await;
    match done {
        Ok(lines) => {
            if !dry_run {
                let stopping = daemon.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(REPLY_TIME).await;
                    stopping.stop();
                });
            }
            plain(StatusCode::OK, &format!("{}\n", lines.join("\n")))
        }
        Err(error) => refusal(&error),
    }
}

async fn restore_from(
    daemon: &Arc<Daemon>,
    bytes: Vec<u8>,
    dry_run: bool,
) -> Result<Vec<String>, Error> {
    let view = daemon.store().view();
    let host = daemon.host();
    let guests: Vec<String> = crate::app::residents(&view, host)
        .into_iter()
        .filter_map(|vm| view.record("VM", vm))
        .map(|vm| format!("VM '{}' ({})", text(vm, "name_label"), vm.uuid()))
        .collect();
    tracing::info!(
        host = fencing::label(&view, host),
        dry_run,
        "a backup of this host is to be restored"
    );
    let done = tokio::task::spawn_blocking(move || -> anyhow::Result<Vec<String>> {
        let target = restore::Target::here();
        let backup = host_backup::read(&bytes)?;
        let plan = restore::plan(&backup, &target, guests)?;
        let mut lines = vec![backup.manifest.summary()];
        lines.extend(plan.lines());
        if dry_run {
            return Ok(lines);
        }
        if !plan.refusals.is_empty() {
            anyhow::bail!("the restore is refused: {}", plan.refusals.join("; "));
        }
        restore::stage(&backup, &plan, &target)?;
        // All of these files are read at a start only; should this process die here, the next start finishes.
        restore::settle(&backup.manifest.state)?;
        lines.push("The host's daemon starts again with these files.".to_owned());
        Ok(lines)
    });
    let done = done.await.map_err(|e| errors::internal(e.to_string()))?;
    done.map_err(|e| errors::not_allowed(format!("{e:#}")))
}
