//! The signal by which a thread is made to show its stack: `sigaction(2)`, `tgkill(2)`, the program counter in the saved
//! context. Only what must be unsafe; the rules are in `crate::stack`.

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use nix::libc;

/// Deepest stack that is kept.
const MOST: usize = 96;

const IDLE: i32 = 0;
const ASKED: i32 = 1;
const ANSWERED: i32 = 2;

static STATE: AtomicI32 = AtomicI32::new(IDLE);
static THREAD: AtomicI32 = AtomicI32::new(0);
static PARK: AtomicBool = AtomicBool::new(false);
static PARKED: AtomicBool = AtomicBool::new(false);
static DEPTH: AtomicUsize = AtomicUsize::new(0);
static FRAMES: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
/// Where this program's own code lies.
static CODE: (AtomicUsize, AtomicUsize) = (AtomicUsize::new(0), AtomicUsize::new(0));

fn signal() -> c_int {
    libc::SIGRTMIN() + 7
}

fn walk(keep: &mut dyn FnMut(usize) -> bool) {
    // SAFETY: only one thread walks at a time (STATE); the walk reads memory of the calling thread's own stack and the
    // unwind tables, which were loaded by the walk in `prepare`.
    unsafe {
        backtrace::trace_unsynchronized(|frame| keep(frame.ip() as usize));
    }
}

/// Installs the handler, learns where our code lies, and walks once so that everything needed later is loaded.
pub(crate) fn prepare() -> io::Result<()> {
    let (from, to) = own_code()?;
    CODE.0.store(from, Ordering::SeqCst);
    CODE.1.store(to, Ordering::SeqCst);
    walk(&mut |_| true);
    // SAFETY: an all-zero sigaction is a valid one; the fields that matter are set below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the handler has the three-argument form that SA_SIGINFO asks for and lives as long as the program.
    let done = unsafe { libc::sigaction(signal(), &raw const action, ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Executable mapping of the program's own file.
fn own_code() -> io::Result<(usize, usize)> {
    let path = std::fs::read_link("/proc/self/exe")?;
    let path = path.to_string_lossy();
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    maps.lines()
        .filter(|line| line.ends_with(&*path) && line.contains(" r-xp "))
        .find_map(|line| {
            let (from, to) = line.split_whitespace().next()?.split_once('-')?;
            Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
        })
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the program's own code"))
}

/// Asks a thread for its stack.
pub(crate) fn ask(thread: i32, park: bool) -> io::Result<()> {
    THREAD.store(thread, Ordering::SeqCst);
    PARK.store(park, Ordering::SeqCst);
    PARKED.store(false, Ordering::SeqCst);
    STATE.store(ASKED, Ordering::SeqCst);
    let process = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: sends a signal that this module handles to a thread of this process; a thread that is gone is an error.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            libc::c_long::from(process),
            libc::c_long::from(thread),
            libc::c_long::from(signal()),
        )
    };
    if sent == 0 {
        return Ok(());
    }
    STATE.store(IDLE, Ordering::SeqCst);
    Err(io::Error::last_os_error())
}

/// The answer, once it is there: addresses, and whether the thread is parked.
pub(crate) fn answer() -> Option<(Vec<usize>, bool)> {
    if STATE.load(Ordering::SeqCst) != ANSWERED {
        return None;
    }
    let depth = DEPTH.load(Ordering::SeqCst).min(MOST);
    let addresses = FRAMES[..depth].iter().map(|f| f.load(Ordering::SeqCst)).collect();
    let parked = PARKED.load(Ordering::SeqCst);
    STATE.store(IDLE, Ordering::SeqCst);
    Some((addresses, parked))
}

/// A late answer counts for nothing.
pub(crate) fn give_up() {
    THREAD.store(0, Ordering::SeqCst);
    STATE.store(IDLE, Ordering::SeqCst);
}

/// Where the thread was interrupted; 0 where this architecture's context is not known.
fn program_counter(context: *const c_void) -> usize {
    let context = context.cast::<libc::ucontext_t>();
    if context.is_null() {
        return 0;
    }
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the kernel passes a valid context to a handler installed with SA_SIGINFO.
        let registers = unsafe { &(*context).uc_mcontext.gregs };
        let at = usize::try_from(libc::REG_RIP).unwrap_or(0);
        usize::try_from(registers[at]).unwrap_or(0)
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: as above.
        usize::try_from(unsafe { (*context).uc_mcontext.pc }).unwrap_or(0)
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    0
}

extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: gettid has no arguments and always succeeds.
    let own = unsafe { libc::syscall(libc::SYS_gettid) };
    if STATE.load(Ordering::SeqCst) != ASKED
        || own != libc::c_long::from(THREAD.load(Ordering::SeqCst))
    {
        return;
    }
    let at = program_counter(context);
    let in_own_code = (CODE.0.load(Ordering::SeqCst)..CODE.1.load(Ordering::SeqCst)).contains(&at);
    let mut depth = 0;
    walk(&mut |address| {
        if depth == MOST {
            return false;
        }
        FRAMES[depth].store(address, Ordering::SeqCst);
        depth += 1;
        true
    });
    DEPTH.store(depth, Ordering::SeqCst);
    let park = PARK.load(Ordering::SeqCst) && in_own_code;
    PARKED.store(park, Ordering::SeqCst);
    STATE.store(ANSWERED, Ordering::SeqCst);
    if park {
        loop {
            // SAFETY: waits for a signal and touches nothing.
            unsafe {
                libc::pause();
            }
        }
    }
}
