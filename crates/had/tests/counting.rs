//! The countdown in process with a fake watchdog: it allocates nothing from the first pet to the last guest's end, and
//! does not arm with a watchdog that is too slow.
#![expect(unsafe_code, reason = "an allocator that counts can't be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use had::dog::Dog;
use had::guard::Guard;
use had::now;
use had::registry::Guests;
use had::store::Store;
use had::voters::Voters;
use host::exec::{Command, Stream};
use host::had::{ArmConfig, Code, GuardState, GuestProcess, WatchdogKind};
use liveness::profile::{FAST, STANDARD};
use uuid::Uuid;

struct Counting;

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn note() {
    if COUNTS.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[derive(Debug)]
struct Fake {
    timeout: Duration,
    pets: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
}

impl Dog for Fake {
    fn kind(&self) -> WatchdogKind {
        WatchdogKind::Hardware
    }

    fn name(&self) -> String {
        "fake".into()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn pet(&mut self) -> std::io::Result<()> {
        // Whoever pets is watched from then on.
        COUNTS.with(|counts| counts.set(true));
        self.pets.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn stop(self: Box<Self>) -> std::io::Result<()> {
        self.stopped.store(true, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn counting_down_allocates_nothing_and_a_slow_watchdog_is_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path();
    let store = Arc::new(Store::start(path).expect("a thread"));
    let mut warnings = Vec::new();
    let guests = Arc::new(Guests::adopt(store, path, "boot", &mut warnings));
    let guard =
        Guard::start(Arc::clone(&guests), Voters::default(), path, path, "boot", &mut warnings);
    let guard = guard.expect("a thread");
    let config = ArmConfig { profile: "fast".into(), rely_on_storage: false, watchdog: None };
    let (pets, stopped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let fake = |timeout| {
        Box::new(Fake { timeout, pets: Arc::clone(&pets), stopped: Arc::clone(&stopped) })
    };

    let slow = fake(Duration::from_secs(60));
    let refusal = guard.arm_with(&config, &STANDARD, now(), slow).expect_err("too slow");
    assert_eq!(refusal.code, Code::CannotArm);
    assert!(refusal.text.contains("its watchdog takes 60.000 s"), "{}", refusal.text);
    assert!(stopped.load(Ordering::SeqCst), "a watchdog that is not used is stopped");
    assert_eq!(guard.status().state, GuardState::Disarmed);

    let mut process = Command::new("sleep")
        .arg("1000")
        .die_with_parent(true)
        .spawn(Stream::Null, Stream::Null)
        .expect("it starts");
    let pid = process.pid();
    let start_ticks = host::proc::start_ticks(pid).expect("readable").expect("alive");
    let vm = Uuid::from_u128(1);
    let guest = GuestProcess { vm, pid, start_ticks, generation: 1, incoming: false };
    guests.register(&guest).expect("registered");

    let began = now();
    guard.arm_with(&config, &FAST, began, fake(FAST.watchdog)).expect("armed");
    process.wait(Duration::from_secs(20)).expect("it is stopped");
    let took = now().since(began);
    assert!(took >= FAST.self_stop_age, "after {took:?}");
    while guard.status().state != GuardState::Stopped {
        assert!(now().since(began) < Duration::from_secs(20), "{:?}", guard.status());
        std::thread::yield_now();
    }
    assert!(pets.load(Ordering::SeqCst) >= 2);
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst), 0, "allocations while counting down");
}
