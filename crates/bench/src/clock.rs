//! Two clocks of the kernel's: the monotonic one that all hosts of a lab share, and the processor time of a process.

use std::time::Duration;

use anyhow::Context as _;
use nix::time::ClockId;
use nix::unistd::Pid;

/// Seconds of the monotonic clock.
pub(crate) fn monotonic_s() -> f64 {
    ClockId::CLOCK_MONOTONIC.now().map_or(0.0, |now| Duration::from(now).as_secs_f64())
}

/// Processor time that a process has used, with all its threads, those that ended as well; seconds.
pub(crate) fn cpu_s(pid: i32) -> anyhow::Result<f64> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid));
    let now = clock.and_then(ClockId::now).with_context(|| format!("the clock of {pid}"))?;
    Ok(Duration::from(now).as_secs_f64())
}
