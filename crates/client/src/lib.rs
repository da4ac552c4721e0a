//! The XenAPI from the caller's side, asynchronously: for members calling each other, the lab, tests and measurements.
//!
//! What it is not: `xe` (which has a transport of its own without a runtime) and a store of anything. It knows no class and no
//! message; calls are named by text, values are [`xenapi::Value`].
//!
//! ```text
//!   Client ── call ──> Hosts: which one now ──> Connection (unix socket or TLS, kept open) ──> JSON-RPC 2.0 on /jsonrpc
//!     │                   ▲ next host: reads always, writes only if nothing was sent; HOST_IS_SLAVE is followed
//!     └─ Session ── call, call_async + task, events, streams
//! ```
//!
//! Invariants: every wait has a deadline; a call that may have been carried out is never sent again; whoever waits longer than two
//! seconds is told through [`Options::on_wait`] for what (S2-6); no secret is in an error or in `Debug` output.
//!
//! Where to look: [`Client::connect`], [`Options`], [`Session`], [`CallError`].

mod call;
mod connection;
mod error;
mod events;
mod http;
mod session;
mod target;
mod task;
mod trust;
mod wait;

pub use call::{CALL_DEADLINE, CONNECT_DEADLINE, Client, Options, READ_PATIENCE, is_read};
pub use error::CallError;
pub use events::{Batch, Event, Events};
pub use http::{Body, MAX_ANSWER_BYTES, empty_body, stream_body};
pub use session::Session;
pub use target::Target;
pub use task::{Progress, TaskState};
pub use trust::{Identity, Trust, fingerprint};
pub use wait::{OnWait, Wait};
