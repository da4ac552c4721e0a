//! `GET /export_metadata` and `PUT /import_metadata`: definitions of VMs without their disks, as `xe vm-export
//! metadata=true` and `xe vm-import metadata=true` use them ([`crate::ova`]).
//!
//! An import answers with a line for each thing that it skipped or changed, and why; the task's result are the VMs. All is
//! decided before anything is made, each VM is one commit, and a dry run ends before the first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamodel::Role;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use super::metadata::{end_task_with, refusal};
use crate::Daemon;
use crate::api::{auth, errors};
use crate::http::routes::plain;
use crate::http::{Peer, ReplyBody, bytes_body};
use crate::ova::{self, import, write};

/// Where XenServer's clients look for it.
pub(super) const EXPORT: &str = "/export_metadata";
/// The other way.
pub(super) const IMPORT: &str = "/import_metadata";
/// Longest time for a whole body to arrive.
const ARRIVE: Duration = Duration::from_secs(600);

async fn permitted(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    request: &Request<Incoming>,
) -> Result<(), Error> {
    let caller = auth::of_request(daemon, peer, request).await?;
    if caller.role < Role::VmAdmin {
        let text = format!("the account {} is no vm-admin", caller.user);
        return Err(Error::new("RBAC_PERMISSION_DENIED", [request.uri().path().to_owned(), text]));
    }
    Ok(())
}

fn is_true(request: &Request<impl Sized>, name: &str) -> bool {
    auth::query(request, name).is_some_and(|t| t == "true" || t == "1")
}

/// Answers `GET`.
pub(super) async fn export(
    daemon: Arc<Daemon>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    if let Err(error) = permitted(&daemon, &peer, &request).await {
        return refusal(&error);
    }
    let made = exported(&daemon, &request).await;
    end_task_with(&daemon, &request, made.as_ref().map(|_| Value::Void).map_err(Error::clone))
        .await;
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

async fn exported(daemon: &Arc<Daemon>, request: &Request<Incoming>) -> Result<Vec<u8>, Error> {
    let view = daemon.view().await;
    let named = auth::query(request, "ref").or_else(|| auth::query(request, "uuid"));
    let vms = match named {
        Some(named) => {
            let bare = named.strip_prefix("OpaqueRef:").unwrap_or(&named);
            let vm = Uuid::try_parse(bare).ok().filter(|vm| view.record("VM", *vm).is_some());
            vec![vm.ok_or_else(|| Error::handle_invalid("VM", &named))?]
        }
        None if is_true(request, "all") => write::all(&view),
        None => return Err(errors::not_allowed("name a VM by ref or uuid, or give all=true")),
    };
    let without = auth::query(request, "excluded_device_types").unwrap_or_default();
    let options = write::Options {
        preserve_power_state: is_true(request, "preserve_power_state"),
        snapshots: is_true(request, "export_snapshots"),
        without: without.split(',').map(|c| c.trim().to_ascii_lowercase()).collect(),
    };
    let packed = auth::query(request, "use_compression");
    let packed = packed.is_some_and(|c| c == "true" || c == "gzip");
    let (host, now) = (daemon.host(), daemon.now());
    let made = tokio::task::spawn_blocking(move || {
        let bytes = ova::to_bytes(&write::of(&view, &vms, &options, host, now), now);
        // What can't be read again is worth nothing.
        ova::read(&bytes)?;
        if packed {
            crate::bundle::gzip(&bytes).map_err(|e| errors::internal(e.to_string()))
        } else {
            Ok(bytes)
        }
    });
    made.await.map_err(|e| errors::internal(e.to_string()))?
}

/// Answers `PUT`.
pub(super) async fn import(
    daemon: Arc<Daemon>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    if let Err(error) = permitted(&daemon, &peer, &request).await {
        return refusal(&error);
    }
    let chunked = request.headers().get(header::TRANSFER_ENCODING).is_some();
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts, ());
    let done = if chunked {
        Err(Error::new("IMPORT_ERROR_CANNOT_HANDLE_CHUNKED", Vec::<String>::new()).into())
    } else {
        let received = tokio::time::timeout(ARRIVE, Limited::new(body, ova::MAX_BYTES).collect());
        match received.await {
            Ok(Ok(body)) => imported(&daemon, &request, body.to_bytes().to_vec()).await,
            _ => Err(Error::new("IMPORT_ERROR_PREMATURE_EOF", Vec::<String>::new()).into()),
        }
    };
    let result = match &done {
        Ok((vms, _)) => {
            Ok(Value::Set(vms.iter().map(|vm| Value::Ref(OpaqueRef::new(*vm))).collect()))
        }
        Err(refused) => Err(refused.error.clone()),
    };
    end_task_with(&daemon, &request, result).await;
    let text = |lines: &[String]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
    match done {
        Ok((_, lines)) => plain(StatusCode::OK, &text(&lines)),
        Err(refused) if refused.lines.is_empty() => refusal(&refused.error),
        Err(refused) => {
            plain(StatusCode::CONFLICT, &format!("{}\n{}", refused.error, text(&refused.lines)))
        }
    }
}

/// Why nothing, or not all, was imported.
struct Refused {
    error: Error,
    lines: Vec<String>,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, lines: Vec::new() }
    }
}

/// The VMs that were made, and what a person is told.
async fn imported(
    daemon: &Arc<Daemon>,
    request: &Request<()>,
    bytes: Vec<u8>,
) -> Result<(Vec<Uuid>, Vec<String>), Refused> {
    daemon.catch_up().await;
    let options = import::Options { restore: is_true(request, "restore"), vdis: map(request)? };
    let (force, dry_run) = (is_true(request, "force"), is_true(request, "dry_run"));
    let view = daemon.view().await;
    let planned = tokio::task::spawn_blocking(move || {
        let ova = ova::read(&bytes)?;
        import::plan(&view, &ova, &options)
    });
    let plan = planned.await.map_err(|e| errors::internal(e.to_string()))??;
    let mut lines = plan.lines();
    if !plan.lost.is_empty() && !force {
        lines.push(
            "Nothing was imported. Bring the disks in first, or import without them: force=true"
                .to_owned(),
        );
        let error = Error::new("IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND", Vec::<String>::new());
        return Err(Refused { error, lines });
    }
    if dry_run {
        lines.push(format!("{} VMs would be imported.", plan.vms.len()));
        return Ok((vec![], lines));
    }
    let mut made = Vec::new();
    for (vm, change) in &plan.vms {
        if let Err(error) = crate::edits::commit(daemon, change).await {
            let done: Vec<String> = made.iter().map(Uuid::to_string).collect();
            lines.push(format!(
                "VM {vm} was not imported: {error}; imported were: {}",
                done.join(", ")
            ));
            return Err(Refused { error: errors::from_commit(error), lines });
        }
        made.push(*vm);
    }
    // Snapshots are told only where nothing else is there.
    let whole: Vec<Uuid> = made.iter().copied().filter(|vm| !plan.snapshots.contains(vm)).collect();
    Ok((if whole.is_empty() { made } else { whole }, lines))
}

/// `vdi:OLD=NEW`, each a uuid or a reference.
fn map(request: &Request<()>) -> Result<BTreeMap<Uuid, Uuid>, Error> {
    let mut map = BTreeMap::new();
    for pair in request.uri().query().unwrap_or_default().split('&') {
        let Some((name, new)) = pair.split_once('=') else { continue };
        let name = name.replace("%3A", ":");
        let Some(old) = name.strip_prefix("vdi:") else { continue };
        let uuid = |text: &str| {
            let text = text.replace("%3A", ":");
            let bare = text.strip_prefix("OpaqueRef:").unwrap_or(&text).to_owned();
            Uuid::try_parse(&bare).map_err(|_| Error::new("UUID_INVALID", ["VDI".to_owned(), text]))
        };
        map.insert(uuid(old)?, uuid(new)?);
    }
    Ok(map)
}
