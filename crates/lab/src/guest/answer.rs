//! What the test guest answers on its port: one line `BOOT SEQ FOREIGN MAXGAP`.

use std::fmt;
use std::str::FromStr;

/// The guest's own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Random identity of this boot.
    pub boot: u128,
    /// Writes acknowledged by the disk since the boot.
    pub seq: u64,
    /// How often somebody else's record (or an older one of ours) was found on the disk.
    pub foreign: u64,
    /// Longest time between two acknowledged writes, in milliseconds of the guest's clock. A stopped guest's clock
    /// stands still, so a long stop shows outside only.
    pub max_gap_ms: u64,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x} {} {} {}", self.boot, self.seq, self.foreign, self.max_gap_ms)
    }
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let mut next = || words.next().ok_or_else(|| format!("too few words in {line:?}"));
        let boot = u128::from_str_radix(next()?, 16).map_err(|e| format!("boot: {e}"))?;
        let mut number = |name: &str| next()?.parse::<u64>().map_err(|e| format!("{name}: {e}"));
        Ok(Self {
            boot,
            seq: number("seq")?,
            foreign: number("foreign")?,
            max_gap_ms: number("maxgap")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let answer = Answer { boot: 0xabc, seq: 12, foreign: 0, max_gap_ms: 130 };
        assert_eq!(answer.to_string().parse(), Ok(answer));
        assert!("12 x".parse::<Answer>().is_err());
        assert!("".parse::<Answer>().is_err());
    }
}
