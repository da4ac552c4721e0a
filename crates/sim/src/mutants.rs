//! Deliberate mistakes, by name. They exist in the simulated hosts only, so that the judges are known to judge: each must be
//! caught by a campaign of 200 seeds (`tests/mutants.rs`).

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The start no longer compares the epoch: neither term nor placement is guarded.
    StartIgnoresEpoch,
    /// A host stops its guests only when others may start them already.
    SelfStopMarginNegative,
    /// A host that is not heard counts as fenced.
    UnreachableIsFenced,
}

impl Mutant {
    /// All.
    pub const ALL: [Self; 3] =
        [Self::StartIgnoresEpoch, Self::SelfStopMarginNegative, Self::UnreachableIsFenced];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::StartIgnoresEpoch => "start-ignores-epoch",
            Self::SelfStopMarginNegative => "self-stop-margin-negative",
            Self::UnreachableIsFenced => "unreachable-is-fenced",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }
}
