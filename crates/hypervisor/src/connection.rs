//! One connection to libvirt's daemon, kept up by a thread of its own.
//!
//! ```text
//!   opening ──ok──> up ──closed (EOF, keepalive)──> opening ...        every turn to "up" publishes Reconnected
//!      └──error──> wait a little ──> opening
//! ```
//! Only this thread opens connections: opening may hang on a stopped daemon, and then it is this thread that hangs while
//! callers get [`Kind::Unavailable`] after [`PATIENCE`]. Invariant: events of a connection are registered before the
//! connection is handed out, and Reconnected is published after, so that nothing falls between.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use driver_api::hypervisor::{DomainEvent, DomainEventKind, StopReason};
use driver_api::{DriverError, EventFan, Kind};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use virt::connect::Connect;
use virt_sys as sys;

use crate::ffi::{self, RawEvent};

/// How long a caller waits for a connection to come (back); a restart of the daemon takes well under a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Pauses between attempts to open, growing from the first to the last.
const BACK_OFF: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
];
/// A daemon that answers no keepalive for INTERVAL * (COUNT + 1) seconds is given up: 15 s, to survive a busy machine.
const KEEPALIVE_INTERVAL_S: i32 = 3;
const KEEPALIVE_COUNT: u32 = 4;

#[derive(Debug)]
enum Wake {
    Closed(&'static str),
    Stop,
}

/// A connection that is up, as far as we know.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// libvirt's handle.
    pub(crate) connection: Connect,
    /// Counts the connections of this driver.
    pub(crate) number: u64,
}

/// The connection of one driver; dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct Connection {
    present: watch::Receiver<Option<Link>>,
    wake: Sender<Wake>,
    events: Arc<EventFan>,
}

impl Connection {
    /// Begins to keep a connection to `uri` up; returns at once.
    pub(crate) fn keep(uri: String) -> Self {
        ffi::start_event_loop();
        let (publish, present) = watch::channel(None);
        let (wake, woken) = channel();
        let events = Arc::new(EventFan::default());
        let keeper =
            Keeper { uri, publish, woken, wake: wake.clone(), events: Arc::clone(&events) };
        std::thread::Builder::new()
            .name("libvirt-connect".to_owned())
            .spawn(move || keeper.run())
            .expect("a thread can be made when the driver starts");
        Self { present, wake, events }
    }

    /// Events of all domains.
    pub(crate) fn events(&self) -> &EventFan {
        &self.events
    }

    /// The connection, waited for until `deadline` or [`PATIENCE`] has passed; a newer one than number `broken`, which is
    /// handed out until libvirt has told us of its end.
    pub(crate) async fn get(
        &self,
        deadline: Instant,
        broken: Option<u64>,
    ) -> Result<Link, DriverError> {
        let unavailable = || {
            DriverError::new(Kind::Unavailable, "libvirt", "there is no connection to its daemon")
        };
        let mut present = self.present.clone();
        let until = deadline.min(Instant::now() + PATIENCE);
        let usable = |link: &Option<Link>| {
            link.as_ref().is_some_and(|link| broken.is_none_or(|broken| link.number > broken))
        };
        let found = timeout_at(until, present.wait_for(usable)).await;
        let found = found.map_err(|_| unavailable())?.map_err(|_| unavailable())?;
        (*found).clone().ok_or_else(unavailable)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The thread may be gone already.
        drop(self.wake.send(Wake::Stop));
    }
}

struct Keeper {
    uri: String,
    publish: watch::Sender<Option<Link>>,
    woken: Receiver<Wake>,
    wake: Sender<Wake>,
    events: Arc<EventFan>,
}

impl Keeper {
    fn run(self) {
        let (mut failures, mut number) = (0, 0);
        loop {
            let pause = match self.open() {
                Ok((connection, close, subscription)) => {
                    failures = 0;
                    tracing::info!(uri = %self.uri, "connected to libvirt");
                    number += 1;
                    self.publish.send_replace(Some(Link { connection, number }));
                    self.events.publish_reconnected();
                    let woken = self.woken.recv();
                    self.publish.send_replace(None);
                    drop((subscription, close));
                    match woken {
                        Ok(Wake::Closed(reason)) => {
                            tracing::warn!(uri = %self.uri, reason, "lost libvirt");
                        }
                        Ok(Wake::Stop) | Err(_) => return,
                    }
                    BACK_OFF[0]
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(uri = %self.uri, %error, "no connection to libvirt");
                    }
                    failures += 1;
                    BACK_OFF[failures.min(BACK_OFF.len()) - 1]
                }
            };
            // Late news of the connection that is gone are no news.
            let until = std::time::Instant::now() + pause;
            loop {
                let left = until.saturating_duration_since(std::time::Instant::now());
                match self.woken.recv_timeout(left) {
                    Ok(Wake::Closed(_)) => {}
                    Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
        }
    }

    fn open(&self) -> Result<(Connect, ffi::CloseWatch, ffi::Subscription), virt::error::Error> {
        let connection = Connect::open(Some(&self.uri))?;
        let wake = self.wake.clone();
        let close = ffi::watch_close(&connection, move |reason| {
            // The keeper outlives its callbacks unless it was stopped.
            drop(wake.send(Wake::Closed(reason)));
        })?;
        // Drivers inside this process (test, embed) know no keepalive.
        if let Err(error) = connection.set_keep_alive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT) {
            tracing::debug!(%error, "no keepalive on this connection");
        }
        let events = Arc::clone(&self.events);
        let subscription = ffi::subscribe(&connection, move |event| {
            if let Some(event) = translate(event) {
                events.publish(event);
            }
        })?;
        Ok((connection, close, subscription))
    }
}

/// Our words for libvirt's event; `None` where it has no meaning for us.
fn translate(event: RawEvent) -> Option<DomainEvent> {
    let (vm, what) = match event {
        RawEvent::Lifecycle { vm, event, detail } => (vm, lifecycle(event, detail)?),
        RawEvent::Reboot { vm } => (vm, DomainEventKind::Rebooted),
        RawEvent::IoError { vm, path, alias, reason } => {
            // The lifecycle event tells the domain's state; this one tells people why.
            tracing::warn!(%vm, path, alias, reason, "I/O error of a guest's disk");
            return None;
        }
    };
    Some(DomainEvent { vm, what })
}

fn lifecycle(event: u32, detail: i32) -> Option<DomainEventKind> {
    let detail = u32::try_from(detail).ok()?;
    match event {
        sys::VIR_DOMAIN_EVENT_STARTED => Some(DomainEventKind::Started),
        sys::VIR_DOMAIN_EVENT_SUSPENDED if detail == sys::VIR_DOMAIN_EVENT_SUSPENDED_IOERROR => {
            Some(DomainEventKind::IoError)
        }
        // A crashed domain that is preserved has stopped CPUs; its state says the rest.
        sys::VIR_DOMAIN_EVENT_SUSPENDED
        | sys::VIR_DOMAIN_EVENT_PMSUSPENDED
        | sys::VIR_DOMAIN_EVENT_CRASHED => Some(DomainEventKind::Suspended),
        sys::VIR_DOMAIN_EVENT_RESUMED => Some(DomainEventKind::Resumed),
        sys::VIR_DOMAIN_EVENT_STOPPED => Some(DomainEventKind::Stopped(match detail {
            sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN => StopReason::Shutdown,
            sys::VIR_DOMAIN_EVENT_STOPPED_DESTROYED => StopReason::Destroyed,
            sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED => StopReason::Crashed,
            sys::VIR_DOMAIN_EVENT_STOPPED_MIGRATED => StopReason::Migrated,
            sys::VIR_DOMAIN_EVENT_STOPPED_SAVED => StopReason::Saved,
            _ => StopReason::Other,
        })),
        _ => None,
    }
}
