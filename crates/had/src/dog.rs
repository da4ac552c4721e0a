//! What ends guests that the countdown did not: a watchdog device, or for want of one a thread of our own.
//!
//! A device resets the host, whatever hangs. The [`Software`] one kills the guests when it was not petted: it helps
//! against a countdown that hangs, not against a kernel or a `had` that does, and is reported as reduced assurance.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use host::had::WatchdogKind;
use liveness::Moment;

use crate::registry::Guests;
use crate::{memory, now};

/// Something that is petted, or else bites.
pub trait Dog: Send + std::fmt::Debug {
    /// Hardware or software.
    fn kind(&self) -> WatchdogKind;
    /// For people.
    fn name(&self) -> String;
    /// The time-out that it really has.
    fn timeout(&self) -> Duration;
    /// Puts the bite off by one time-out. Allocates nothing.
    ///
    /// # Errors
    /// The device's: it may bite.
    fn pet(&mut self) -> std::io::Result<()>;
    /// Stops it; the host is not to be reset.
    ///
    /// # Errors
    /// It can't be stopped.
    fn stop(self: Box<Self>) -> std::io::Result<()>;
}

impl Dog for host::watchdog::Device {
    fn kind(&self) -> WatchdogKind {
        if self.is_software() { WatchdogKind::Software } else { WatchdogKind::Hardware }
    }

    fn name(&self) -> String {
        self.identity().to_owned()
    }

    fn timeout(&self) -> Duration {
        host::watchdog::Device::timeout(self)
    }

    fn pet(&mut self) -> std::io::Result<()> {
        host::watchdog::Device::pet(self)
    }

    fn stop(self: Box<Self>) -> std::io::Result<()> {
        self.disarm()
    }
}

/// A thread that kills all guests when it was not petted in time.
#[derive(Debug)]
pub struct Software {
    state: Arc<State>,
    timeout: Duration,
}

#[derive(Debug)]
struct State {
    /// When it was petted last, nanoseconds after boot.
    petted: AtomicU64,
    stopped: AtomicBool,
}

impl Software {
    /// Starts it.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub fn start(guests: Arc<Guests>, timeout: Duration) -> std::io::Result<Self> {
        let state = Arc::new(State {
            petted: AtomicU64::new(nanos(now())),
            stopped: AtomicBool::new(false),
        });
        let watched = Arc::clone(&state);
        let watch = move || {
            // Otherwise it runs like every other thread.
            let _ = host::watchdog::go_first();
            while !watched.stopped.load(Ordering::SeqCst) {
                let bites = moment(watched.petted.load(Ordering::SeqCst)) + timeout;
                let left = bites.since(now());
                if left.is_zero() {
                    guests.kill_all();
                }
                std::thread::sleep(left.clamp(Duration::from_millis(50), Duration::from_secs(1)));
            }
        };
        memory::small_thread("had-dog", watch)?;
        Ok(Self { state, timeout })
    }
}

impl Dog for Software {
    fn kind(&self) -> WatchdogKind {
        WatchdogKind::Software
    }

    fn name(&self) -> String {
        "a thread of holdfast-had".to_owned()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn pet(&mut self) -> std::io::Result<()> {
        self.state.petted.store(nanos(now()), Ordering::SeqCst);
        Ok(())
    }

    fn stop(self: Box<Self>) -> std::io::Result<()> {
        self.state.stopped.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// Opens the device if there is one, else starts the software one with the time-out that the device should have had.
///
/// # Errors
/// A device that exists and can't be used is an error, never a reason for a weaker one: another program may pet it.
pub fn get(
    device: Option<&Path>,
    wanted: Duration,
    guests: &Arc<Guests>,
) -> std::io::Result<Box<dyn Dog>> {
    if let Some(path) = device {
        match host::watchdog::Device::open(path, wanted) {
            Ok(device) => return Ok(Box::new(device)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Box::new(Software::start(Arc::clone(guests), wanted)?))
}

/// As nanoseconds after boot: some centuries.
pub(crate) fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.after_boot().as_nanos()).unwrap_or(u64::MAX)
}

/// Back from nanoseconds.
pub(crate) fn moment(nanos: u64) -> Moment {
    Moment::since_boot(Duration::from_nanos(nanos))
}
