//! The only unsafe code of this crate: what the safe wrappers lack. Nothing here decides anything.

#![expect(
    unsafe_code,
    reason = "the fence of house style 4.1: FFI and fork hooks without a safe wrapper"
)]

#[cfg(feature = "pam")]
pub(crate) mod pam;

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the kernel kill the child when the *thread* that started it ends (`PR_SET_PDEATHSIG`).
pub(crate) fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let hook = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have died before the call above took effect; then nobody would ever tell us.
        if rustix::process::getppid() != Some(parent) {
            return Err(std::io::Error::from(rustix::io::Errno::SRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec the hook makes two system calls and compares two integers; it allocates nothing,
    // takes no lock and touches no memory of other threads.
    unsafe {
        command.pre_exec(hook);
    }
}
