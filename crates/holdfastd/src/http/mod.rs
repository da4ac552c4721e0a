//! The wire: TLS and unix sockets, HTTP/1.1, framing of XML-RPC and JSON-RPC, streams.
//!
//! Nothing here knows what a call means. A request body becomes a `Call`, `api` answers with an `Outcome`, and this
//! room writes it in the caller's protocol. Every wait is bounded: handshake, request head, request body, and the call
//! itself. Limits are the named constants below.

mod body;
mod listen;
pub(crate) mod routes;
mod rpc;

use std::time::Duration;

pub use body::{ReplyBody, bytes_body, empty_body};
pub use listen::{Listeners, Peer, bind, serve};

/// Largest accepted body of a call, bytes. `VM.create` with every map filled stays under 1 MiB.
pub const MAX_CALL_BYTES: usize = 16 << 20;
/// Largest accepted request head, bytes.
pub const MAX_HEAD_BYTES: usize = 64 << 10;
/// Most connections served at once on each listener; more wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 1024;
/// Longest TLS handshake.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for a request's head on a kept-alive connection.
pub const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// Longest time to receive the body of a call.
pub const BODY_LIMIT: Duration = Duration::from_secs(60);
