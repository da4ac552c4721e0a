//! The only unsafe code of this crate: what the safe wrappers lack. Nothing here decides anything.

#![expect(
    unsafe_code,
    reason = "the fence of house style 4.1: FFI and fork hooks without a safe wrapper"
)]

pub(crate) mod block;
pub(crate) mod frames;
#[cfg(feature = "pam")]
pub(crate) mod pam;
#[cfg(feature = "stacks")]
pub(crate) mod stack;
pub(crate) mod watchdog;

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

/// Fixes glibc's thresholds, which it would otherwise raise by itself; does nothing under other C libraries.
pub(crate) fn bound_allocator(arenas: i32, threshold_bytes: i32) {
    #[cfg(target_env = "gnu")]
    {
        // malloc.h of glibc; part of its ABI.
        const M_TRIM_THRESHOLD: i32 = -1;
        const M_MMAP_THRESHOLD: i32 = -3;
        const M_ARENA_MAX: i32 = -8;
        unsafe extern "C" {
            fn mallopt(param: i32, value: i32) -> i32;
        }
        for (param, value) in [
            (M_TRIM_THRESHOLD, threshold_bytes),
            (M_MMAP_THRESHOLD, threshold_bytes),
            (M_ARENA_MAX, arenas),
        ] {
            // SAFETY: mallopt takes two integers by value and is meant to be called before threads start; a value that
            // it refuses changes nothing.
            unsafe {
                mallopt(param, value);
            }
        }
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = (arenas, threshold_bytes);
}
