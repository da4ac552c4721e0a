//! Something on the disk that is not as its format says, and where.

use std::fmt;

/// A deviation from the format. The parser went on where it could.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Defect {
    /// Byte in what the parser was given.
    pub offset: u64,
    /// What is wrong there, as a clause: "checksum is 0x12, computed 0x34".
    pub what: String,
}

impl Defect {
    /// Notes `what` is wrong at byte `offset`.
    pub fn new(offset: u64, what: impl Into<String>) -> Self {
        Self { offset, what: what.into() }
    }

    /// The same defect, told in the place of what contains the parsed bytes at `base`.
    #[must_use]
    pub fn shifted(mut self, base: u64) -> Self {
        self.offset = self.offset.saturating_add(base);
        self
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.what)
    }
}
