//! Limits of the decoders: how deep and how large a document may be.
//!
//! They bound memory and stack for hostile input; the size of a body in bytes is limited by whoever reads it from the socket.

/// How deep values may nest in anything that is decoded: XenAPI's own types need eight levels.
pub const MAX_DEPTH: usize = 64;

/// Number of values in a call. The largest honest call (a `create` of a VM, a `set_other_config`) has a few hundred.
pub const MAX_CALL_VALUES: usize = 200_000;

/// Number of values in an answer: `VM.get_all_records` of 5,000 VMs of 92 fields with maps stays under three million.
pub const MAX_RESPONSE_VALUES: usize = 8_000_000;

/// Longest method name that is looked up at all, in bytes.
pub const MAX_METHOD_BYTES: usize = 256;

/// What a decoder may produce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nesting depth of values.
    pub depth: usize,
    /// Number of values, members and keys included.
    pub values: usize,
}

impl Limits {
    /// For calls that a server reads.
    pub const CALL: Self = Self { depth: MAX_DEPTH, values: MAX_CALL_VALUES };
    /// For answers that a client reads.
    pub const RESPONSE: Self = Self { depth: MAX_DEPTH, values: MAX_RESPONSE_VALUES };
}
