//! What the lab and its test guest share: where a guest listens, what it writes on its disk, what it answers.
//!
//! `address`, `answer` and `record` are compiled twice: here, and (by path) into the static program of the guest, so
//! they use nothing but the standard library.

pub mod address;
pub mod answer;
pub mod record;
pub mod watch;
