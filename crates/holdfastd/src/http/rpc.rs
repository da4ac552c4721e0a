//! Calls in both protocols: body to call, outcome to body.
//!
//! XenServer answers HTTP 200 to every well-formed call, whatever became of it; malformed bodies get the protocol's own
//! error. Which path was asked decides the protocol, not the content type, since clients disagree about that.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use xenapi::{Envelope, Error, Projection, Protocol, Value, jsonrpc, xmlrpc};

use super::body::{PIECE_BYTES, ReplyBody, bytes_body};
use super::listen::Peer;
use crate::Daemon;
use crate::api::{self, Outcome};

/// Fault code for a body that is no call: the one that XML-RPC's interoperability convention has for parse errors.
const FAULT_MALFORMED: i64 = -32_700;

/// Answers one XML-RPC body.
pub(super) async fn xml(daemon: &Arc<Daemon>, peer: &Peer, body: &Bytes) -> Response<ReplyBody> {
    let envelope = Envelope::new(Protocol::XmlRpc);
    match xmlrpc::decode_call(body) {
        // XenServer answers this one without the struct around it.
        Ok(call) if call.method == "system.listMethods" => {
            let names = api::method_names().into_iter().map(Value::Str).collect();
            let mut out = Vec::new();
            xmlrpc::write_bare(&Value::Set(names), &mut out);
            with_type(envelope.content_type(), bytes_body(out))
        }
        Ok(call) => {
            reply(daemon, &envelope, api::call(daemon, peer, &call.method, call.params).await)
        }
        Err(malformed) => {
            let mut out = Vec::new();
            xmlrpc::write_fault(FAULT_MALFORMED, &malformed.to_string(), &mut out);
            with_type(envelope.content_type(), bytes_body(out))
        }
    }
}

/// Answers one JSON-RPC body.
pub(super) async fn json(daemon: &Arc<Daemon>, peer: &Peer, body: &Bytes) -> Response<ReplyBody> {
    match jsonrpc::decode_call(body) {
        Ok(call) => {
            let envelope = Envelope::new(Protocol::JsonRpc(call.version, call.id));
            reply(daemon, &envelope, api::call(daemon, peer, &call.method, call.params).await)
        }
        Err(malformed) => {
            let mut out = Vec::new();
            jsonrpc::write_malformed(&malformed, &mut out);
            with_type("application/json", bytes_body(out))
        }
    }
}

fn with_type(content_type: &'static str, body: ReplyBody) -> Response<ReplyBody> {
    Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, content_type)
        .body(body)
        .expect("constant headers are valid")
}

/// Header that says how old the copy is that an answer is from, seconds; only without contact to a majority (S2-3).
const AGE: header::HeaderName = header::HeaderName::from_static("holdfast-replica-age");
/// Header that says which lineage of which pool an answer is from, `UUID EPOCH`: a client that has met a newer one of the
/// same pool then knows that this host is stale (S2-25).
const LINEAGE: header::HeaderName = header::HeaderName::from_static("holdfast-lineage");

fn reply(
    daemon: &Daemon,
    envelope: &Envelope,
    outcome: Result<Outcome, Error>,
) -> Response<ReplyBody> {
    let body = match outcome {
        Ok(Outcome::Value(value)) => {
            let mut out = Vec::new();
            envelope.success(&value, &mut out);
            bytes_body(out)
        }
        Ok(Outcome::Records(records)) => records_body(envelope.clone(), records),
        Err(error) => {
            let mut out = Vec::new();
            envelope.failure(&error, &mut out);
            bytes_body(out)
        }
    };
    let mut response = with_type(envelope.content_type(), body);
    if let Some(pool) = daemon.store().view().records("pool").next() {
        let lineage = format!("{} {}", pool.uuid(), daemon.identity().epoch);
        if let Ok(value) = header::HeaderValue::from_str(&lineage) {
            response.headers_mut().insert(LINEAGE, value);
        }
    }
    if daemon.is_without_quorum() {
        let age = daemon.store().replica().age();
        let age =
            age.map_or_else(|| "unknown".to_owned(), |age| format!("{:.1}", age.as_secs_f64()));
        if let Ok(value) = header::HeaderValue::from_str(&age) {
            response.headers_mut().insert(AGE, value);
        }
    }
    response
}

/// A map of records, written while the client reads: only one piece is in memory at a time. Computed fields are worked
/// out record by record, all from the one snapshot that the iterator holds.
fn records_body(
    envelope: Envelope,
    records: Box<dyn Iterator<Item = Projection> + Send>,
) -> ReplyBody {
    enum Stage {
        Head,
        Records,
        Done,
    }
    let mut records = records;
    let mut map = Some(envelope.record_map());
    let mut stage = Stage::Head;
    ReplyBody::Pieces(Box::new(move || {
        if matches!(stage, Stage::Done) {
            return None;
        }
        let mut out = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        let writer = map.as_mut()?;
        if matches!(stage, Stage::Head) {
            envelope.begin(&mut out);
            writer.begin(&mut out);
            stage = Stage::Records;
        }
        while out.len() < PIECE_BYTES {
            match records.next() {
                Some(projection) => {
                    writer.projection(projection.base().opaque(), &projection, &mut out);
                }
                None => {
                    map.take()?.end(&mut out);
                    envelope.end(&mut out);
                    stage = Stage::Done;
                    break;
                }
            }
        }
        Some(out)
    }))
}
