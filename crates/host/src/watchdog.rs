//! The kernel's watchdog device: who does not pet it in time is reset.
//!
//! Opening it starts it. Its time-out is what it says after it was asked for one, not what was asked for. Closing it
//! without [`Device::disarm`] leaves it running, which is the point: a program that dies is followed by its host.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::sys::watchdog as sys;

/// `WDIOF_MAGICCLOSE`: it can be stopped by writing a "V".
const MAGIC_CLOSE: u32 = 0x0100;

/// How the kernel's own software watchdog calls itself.
const SOFTWARE: &str = "Software Watchdog";

/// An open, running watchdog.
#[derive(Debug)]
pub struct Device {
    file: File,
    identity: String,
    timeout: Duration,
    can_stop: bool,
}

impl Device {
    /// Opens and so starts the device, asks for a time-out and reads what it became.
    ///
    /// # Errors
    /// The system's: no such device, busy (another program pets it), no privilege. A device without a time-out to ask
    /// for keeps its own; one that can't tell it is refused, and is left stopped if it can be stopped.
    pub fn open(path: &Path, wanted: Duration) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(path)?;
        let mut device =
            Self { file, identity: String::new(), timeout: Duration::ZERO, can_stop: true };
        match device.probe(wanted) {
            Ok(()) => Ok(device),
            Err(error) => {
                // The first failure is the one to tell.
                let _ = device.disarm();
                Err(error)
            }
        }
    }

    fn probe(&mut self, wanted: Duration) -> io::Result<()> {
        let info = sys::info(&self.file)?;
        let name: Vec<u8> = info.identity.into_iter().take_while(|byte| *byte != 0).collect();
        self.identity = String::from_utf8_lossy(&name).into_owned();
        self.can_stop = info.options & MAGIC_CLOSE != 0;
        let seconds = i32::try_from(wanted.as_secs()).unwrap_or(i32::MAX);
        // Not every device can be set; then the one that it has is checked.
        let _ = sys::set_timeout(&self.file, seconds);
        let timeout = u64::try_from(sys::timeout(&self.file)?).unwrap_or(0);
        if timeout == 0 {
            return Err(io::Error::other(format!("{} tells no time-out", self.identity)));
        }
        self.timeout = Duration::from_secs(timeout);
        self.pet()
    }

    /// The time-out that it said it has.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How it calls itself.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether it is the kernel's own, which needs a kernel that services timers.
    pub fn is_software(&self) -> bool {
        self.identity == SOFTWARE
    }

    /// Puts the reset off by one time-out. Allocates nothing.
    ///
    /// # Errors
    /// The system's.
    pub fn pet(&self) -> io::Result<()> {
        sys::keep_alive(&self.file)
    }

    /// Stops it.
    ///
    /// # Errors
    /// It can't be stopped, or the system's error: the host will be reset.
    pub fn disarm(mut self) -> io::Result<()> {
        if !self.can_stop {
            return Err(io::Error::other(format!(
                "{} can't be stopped once it runs",
                self.identity
            )));
        }
        self.file.write_all(b"V")
    }
}

/// Lets the calling thread run before all ordinary ones, so that a busy host still pets and counts.
///
/// # Errors
/// Without the privilege; then it runs like the others.
pub fn go_first() -> io::Result<()> {
    sys::go_first(10)
}
