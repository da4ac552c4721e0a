//! The only unsafe room of this crate: what libvirt can do and the `virt` crate can't (or not soundly).
//!
//! Events of domains, the closing of a connection, saving, state and job of a domain. Functions are safe to call from
//! any thread; callbacks run on the one event thread ([`start_event_loop`]) and must not block it. Everything borrowed
//! from libvirt is copied before a callback is called. Strings and results are plain Rust values; errors are those of
//! the `virt` crate, read on the calling thread.

#![expect(unsafe_code, reason = "this is the fenced room for libvirt's C interface")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt_sys as sys;

/// Pause after a failed turn of the event loop, so that a lasting failure does not burn a processor.
const EVENT_LOOP_BACK_OFF: Duration = Duration::from_millis(200);

/// Makes libvirt's event loop and the one thread that runs it; must come before the first connection. Repeatable.
pub(crate) fn start_event_loop() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // libvirt prints every error to stderr by default; we report them.
        virt::error::clear_error_callback();
        virt::event::event_register_default_impl()
            .expect("the first registration of the event loop can't conflict with another");
        std::thread::Builder::new()
            .name("libvirt-events".to_owned())
            .spawn(|| {
                loop {
                    if let Err(error) = virt::event::event_run_default_impl() {
                        tracing::error!(%error, "libvirt's event loop failed");
                        std::thread::sleep(EVENT_LOOP_BACK_OFF);
                    }
                }
            })
            .expect("a thread can be made when the process starts");
    });
}

/// Something that libvirt told us of a domain, in its own numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RawEvent {
    /// `VIR_DOMAIN_EVENT_ID_LIFECYCLE`.
    Lifecycle { vm: Uuid, event: u32, detail: i32 },
    /// `VIR_DOMAIN_EVENT_ID_REBOOT`.
    Reboot { vm: Uuid },
    /// `VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON`.
    IoError { vm: Uuid, path: String, alias: String, reason: String },
}

/// What is called for each event.
type Sink = Arc<dyn Fn(RawEvent) + Send + Sync>;

/// Callbacks registered with a connection; dropping it takes them back.
pub(crate) struct Subscription {
    connection: Connect,
    callbacks: Vec<c_int>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("callbacks", &self.callbacks).finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for callback in &self.callbacks {
            // SAFETY: the connection is held by `self`, and the number came from it. It may fail on a dead connection,
            // after which libvirt frees the callback together with the connection.
            unsafe { sys::virConnectDomainEventDeregisterAny(self.connection.as_ptr(), *callback) };
        }
    }
}

/// Hands events of all domains of `connection` to `sink` from now on.
pub(crate) fn subscribe(
    connection: &Connect,
    sink: impl Fn(RawEvent) + Send + Sync + 'static,
) -> Result<Subscription, Error> {
    let sink: Sink = Arc::new(sink);
    let mut subscription = Subscription { connection: connection.clone(), callbacks: Vec::new() };
    // SAFETY: each function has exactly the signature that libvirt documents for its event id; libvirt itself asks for
    // this cast (VIR_DOMAIN_EVENT_CALLBACK).
    let callbacks = unsafe {
        use std::mem::transmute;
        type Lifecycle = unsafe extern "C" fn(
            sys::virConnectPtr,
            sys::virDomainPtr,
            c_int,
            c_int,
            *mut c_void,
        ) -> c_int;
        type IoError = unsafe extern "C" fn(
            sys::virConnectPtr,
            sys::virDomainPtr,
            *const c_char,
            *const c_char,
            c_int,
            *const c_char,
            *mut c_void,
        );
        type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
        [
            (
                sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                transmute::<Lifecycle, Generic>(on_lifecycle as Lifecycle),
            ),
            (sys::VIR_DOMAIN_EVENT_ID_REBOOT, on_reboot as Generic),
            (
                sys::VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON,
                transmute::<IoError, Generic>(on_io_error as IoError),
            ),
        ]
    };
    for (id, callback) in callbacks {
        let opaque = Box::into_raw(Box::new(Arc::clone(&sink))).cast::<c_void>();
        let id = c_int::try_from(id).expect("event ids are small");
        // SAFETY: the connection is alive; `opaque` is a leaked box that `free_sink` takes back, which libvirt calls
        // once when the callback is gone; a null domain means all of them.
        let number = unsafe {
            sys::virConnectDomainEventRegisterAny(
                connection.as_ptr(),
                std::ptr::null_mut(),
                id,
                Some(callback),
                opaque,
                Some(free_sink),
            )
        };
        if number < 0 {
            let error = Error::last_error();
            // SAFETY: on failure libvirt has not kept `opaque`, which is the box of above.
            unsafe { free_sink(opaque) };
            return Err(error);
        }
        subscription.callbacks.push(number);
    }
    Ok(subscription)
}

unsafe extern "C" fn free_sink(opaque: *mut c_void) {
    // SAFETY: `opaque` is the box made in `subscribe`, and libvirt frees it once.
    drop(unsafe { Box::from_raw(opaque.cast::<Sink>()) });
}

/// Calls the sink; a panic in it must not unwind into C.
unsafe fn deliver(
    opaque: *mut c_void,
    domain: sys::virDomainPtr,
    event: impl FnOnce(Uuid) -> RawEvent,
) {
    let mut uuid = [0_u8; 16];
    // SAFETY: libvirt lends a valid domain for the time of the callback; the buffer has VIR_UUID_BUFLEN (16) bytes.
    if unsafe { sys::virDomainGetUUID(domain, uuid.as_mut_ptr()) } < 0 {
        return;
    }
    // SAFETY: `opaque` is the box made in `subscribe`; libvirt frees it only when no callback runs any more.
    let sink = unsafe { &*opaque.cast::<Sink>() };
    let event = event(Uuid::from_bytes(uuid));
    if catch_unwind(AssertUnwindSafe(|| sink(event))).is_err() {
        tracing::error!("a reader of libvirt's events panicked");
    }
}

unsafe extern "C" fn on_lifecycle(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    let event = u32::try_from(event).unwrap_or(u32::MAX);
    // SAFETY: called by libvirt with what `subscribe` registered.
    unsafe { deliver(opaque, domain, |vm| RawEvent::Lifecycle { vm, event, detail }) };
    0
}

unsafe extern "C" fn on_reboot(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    opaque: *mut c_void,
) {
    // SAFETY: called by libvirt with what `subscribe` registered.
    unsafe { deliver(opaque, domain, |vm| RawEvent::Reboot { vm }) };
}

unsafe extern "C" fn on_io_error(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    path: *const c_char,
    alias: *const c_char,
    _action: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt lends three strings (or null) for the time of the callback.
    let (path, alias, reason) = unsafe { (borrowed(path), borrowed(alias), borrowed(reason)) };
    // SAFETY: called by libvirt with what `subscribe` registered.
    unsafe { deliver(opaque, domain, |vm| RawEvent::IoError { vm, path, alias, reason }) };
}

/// Copies a string of libvirt's; null is empty.
unsafe fn borrowed(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller says it is a string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

type CloseSink = Box<dyn Fn(&'static str) + Send + Sync>;

/// The callback for a connection's end; dropping it takes it back.
pub(crate) struct CloseWatch {
    connection: Connect,
}

impl std::fmt::Debug for CloseWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloseWatch").finish_non_exhaustive()
    }
}

impl Drop for CloseWatch {
    fn drop(&mut self) {
        // SAFETY: the connection is held by `self`; failing (no such callback) is harmless.
        unsafe { sys::virConnectUnregisterCloseCallback(self.connection.as_ptr(), Some(on_close)) };
    }
}

/// Calls `sink` with the reason when `connection` ends without our asking.
pub(crate) fn watch_close(
    connection: &Connect,
    sink: impl Fn(&'static str) + Send + Sync + 'static,
) -> Result<CloseWatch, Error> {
    let sink: CloseSink = Box::new(sink);
    let opaque = Box::into_raw(Box::new(sink)).cast::<c_void>();
    // SAFETY: the connection is alive; `opaque` is a leaked box that `free_close` takes back, called once by libvirt.
    let result = unsafe {
        sys::virConnectRegisterCloseCallback(
            connection.as_ptr(),
            Some(on_close),
            opaque,
            Some(free_close),
        )
    };
    if result < 0 {
        let error = Error::last_error();
        // SAFETY: on failure libvirt has not kept `opaque`.
        unsafe { free_close(opaque) };
        return Err(error);
    }
    Ok(CloseWatch { connection: connection.clone() })
}

unsafe extern "C" fn free_close(opaque: *mut c_void) {
    // SAFETY: `opaque` is the box made in `watch_close`, and libvirt frees it once.
    drop(unsafe { Box::from_raw(opaque.cast::<CloseSink>()) });
}

unsafe extern "C" fn on_close(_connection: sys::virConnectPtr, reason: c_int, opaque: *mut c_void) {
    // SAFETY: `opaque` is the box made in `watch_close`; libvirt keeps it while the callback runs.
    let sink = unsafe { &*opaque.cast::<CloseSink>() };
    let reason = match c_uint::try_from(reason) {
        Ok(sys::VIR_CONNECT_CLOSE_REASON_EOF) => "libvirt's daemon closed the connection",
        Ok(sys::VIR_CONNECT_CLOSE_REASON_KEEPALIVE) => "libvirt's daemon did not answer keepalives",
        Ok(sys::VIR_CONNECT_CLOSE_REASON_CLIENT) => "the connection was closed by us",
        _ => "the connection failed",
    };
    if catch_unwind(AssertUnwindSafe(|| sink(reason))).is_err() {
        tracing::error!("the watcher of libvirt's connection panicked");
    }
}

/// State and reason of a domain in libvirt's numbers. (The `virt` crate's own call ignores its error.)
pub(crate) fn state(domain: &Domain) -> Result<(u32, i32), Error> {
    let (mut state, mut reason) = (0, 0);
    // SAFETY: the domain is alive and both places are writable.
    let result = unsafe { sys::virDomainGetState(domain.as_ptr(), &mut state, &mut reason, 0) };
    if result < 0 {
        return Err(Error::last_error());
    }
    Ok((u32::try_from(state).unwrap_or(u32::MAX), reason))
}

/// Saves a domain to `path`. Without `VIR_DOMAIN_SAVE_PAUSED`: given that, libvirt 9.0 leaves the guest's CPUs stopped
/// when saving fails; whoever restores says how anyway.
pub(crate) fn save(domain: &Domain, path: &str) -> Result<(), Error> {
    let path = CString::new(path)?;
    // SAFETY: the domain is alive, the path is a string, a null XML keeps the domain's own.
    let result =
        unsafe { sys::virDomainSaveFlags(domain.as_ptr(), path.as_ptr(), std::ptr::null(), 0) };
    if result < 0 { Err(Error::last_error()) } else { Ok(()) }
}

/// How far a domain's job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    /// Bytes to move in all, as far as known.
    pub(crate) total: u64,
    /// Bytes still to move.
    pub(crate) remaining: u64,
}

/// The job that a domain has, if any. (The `virt` crate's own calls build a vector from a null pointer, or keep a
/// reference to a value that is gone.)
pub(crate) fn job(domain: &Domain) -> Result<Option<Job>, Error> {
    let mut info = std::mem::MaybeUninit::<sys::virDomainJobInfo>::zeroed();
    // SAFETY: the domain is alive; libvirt fills the structure, which is plain numbers and valid when zero.
    let info = unsafe {
        if sys::virDomainGetJobInfo(domain.as_ptr(), info.as_mut_ptr()) < 0 {
            return Err(Error::last_error());
        }
        info.assume_init()
    };
    let active = [sys::VIR_DOMAIN_JOB_BOUNDED, sys::VIR_DOMAIN_JOB_UNBOUNDED]
        .iter()
        .any(|kind| c_int::try_from(*kind) == Ok(info.type_));
    Ok(active.then_some(Job { total: info.dataTotal, remaining: info.dataRemaining }))
}

/// Asks the domain's job to end; it is over when the call that began it returns.
pub(crate) fn abort_job(domain: &Domain) -> Result<(), Error> {
    // SAFETY: the domain is alive.
    let result = unsafe { sys::virDomainAbortJob(domain.as_ptr()) };
    if result < 0 { Err(Error::last_error()) } else { Ok(()) }
}
