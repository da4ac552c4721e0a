//! Which boot of this machine we are in, and the clock that goes on while it sleeps.
//!
//! Invariant: two readings of [`since_boot`] with equal [`boot_id`] may be subtracted; with different ones never.

use std::path::Path;
use std::time::Duration;

use crate::{Error, Result};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's random id of this boot, 36 characters. A changed id proves that every process of the former boot ended.
pub fn boot_id() -> Result<String> {
    let text = std::fs::read_to_string(BOOT_ID).map_err(Error::io("read", Path::new(BOOT_ID)))?;
    Ok(text.trim().to_owned())
}

/// Time since boot on the clock that counts suspend (`CLOCK_BOOTTIME`, design.md section 5.8). Never goes back.
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).expect("time since boot is not negative"),
        u32::try_from(now.tv_nsec).expect("nanoseconds are below 10^9"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_id_is_stable_and_looks_like_a_uuid() {
        let id = boot_id().expect("readable");
        assert_eq!(id.len(), 36);
        assert_eq!(id, boot_id().expect("readable"));
    }

    #[test]
    fn the_boot_clock_never_goes_back() {
        let first = since_boot();
        assert!(since_boot() >= first);
        assert!(first > Duration::ZERO);
    }
}
