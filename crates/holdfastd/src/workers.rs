//! The daemon's own loops, each on a thread of its own and watched: one that spins, stands still or panics is stopped and
//! started again with back-off, and everything else goes on (S0-3).
//!
//! ```text
//! thread hf-NAME: block_on(loop) ── every poll notes its beginning and end ──┐
//! thread hf-watchdog: each half second                                        ▼
//!   in one poll for long, using the processor ──> stack recorded, thread parked for ever ──┐
//!   polls without end at a full processor, or no poll for too long ──> loop dropped ────────┼─> started again after a pause
//!   panicked or ended ───────────────────────────────────────────────────────────────────────┘
//!   the runtime answers nobody, or too many threads are parked ──> the process ends; the service manager starts it again
//! ```
//! A loop runs in `block_on` on the daemon's runtime: what it spawns and its timers live there, but its own code takes no
//! thread from those that answer calls. A parked thread keeps what it held; should that be a lock that others need, they
//! stand still too and the whole process is the part that is started again. Guests, `had` and the database process are
//! not this process and notice nothing.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use host::stack::{self, Then};
use planner::diagnosis::facts::StalledWorker;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::reconcilers::Loop;
use crate::{Daemon, starts, test_doors};

/// Pause between two looks.
const TICK: Duration = Duration::from_millis(500);
/// A poll that takes longer is looked at.
const LONG_POLL: Duration = Duration::from_secs(5);
/// Processor time within one poll that makes it a spin rather than a wait on a busy machine.
const SPIN: Duration = Duration::from_secs(2);
/// Window for polls without end, and the share of it that the thread must have been on a processor, percent.
const BUSY_WINDOW: Duration = Duration::from_secs(20);
const BUSY_PERCENT: u32 = 95;
/// First and longest pause before a new start.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// A worker that was well for this long starts from the first pause again.
const FORGIVEN: Duration = Duration::from_secs(600);
/// A repaired stall is told for this long.
const TOLD: Duration = Duration::from_secs(600);
/// More lost threads than this are too many.
const MOST_PARKED: u32 = 4;
/// Tries to meet a spinning thread in our own code.
const PARK_TRIES: u32 = 200;
/// Longest wait for a thread to show its stack.
const SHOW: Duration = Duration::from_secs(1);
/// The runtime must take up a task within this.
const RUNTIME_STALL: Duration = Duration::from_secs(20);
/// Exit status that says so (EX_SOFTWARE).
const EXIT: i32 = 70;
/// Most files of evidence that are kept.
const MOST_FILES: usize = 20;
/// Longest wait for the workers at the end.
const FAREWELL: Duration = Duration::from_secs(3);
/// And then for those that were told to drop everything.
const FAREWELL_CANCELLED: Duration = Duration::from_secs(1);

/// A loop by its name, and how it is made anew.
#[derive(Debug, Clone, Copy)]
pub struct Worker {
    /// Name in alerts and thread lists; at most 12 bytes are seen there.
    pub name: &'static str,
    /// Makes the loop.
    pub make: fn(Arc<Daemon>) -> Loop,
    /// Runs in safe mode too.
    pub in_safe_mode: bool,
    /// It does something at least this often; if not, it stands still. `None`: it may wait for ever.
    pub at_least_every: Option<Duration>,
}

/// Notes of one run of a worker, written by its thread and read by the watchdog.
#[derive(Debug, Default)]
struct Watch {
    thread: AtomicI32,
    /// Polls begun and ended.
    begun: AtomicU64,
    ended: AtomicU64,
    /// A test wants it to spin.
    spin: AtomicBool,
    cancel: CancellationToken,
    /// How it ended.
    end: Mutex<Option<String>>,
}

struct Watched {
    inner: Loop,
    watch: Arc<Watch>,
}

impl Future for Watched {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.watch.begun.fetch_add(1, Ordering::SeqCst);
        if self.watch.spin.load(Ordering::Relaxed) {
            test_doors::spin();
        }
        let polled = self.inner.as_mut().poll(cx);
        self.watch.ended.fetch_add(1, Ordering::SeqCst);
        polled
    }
}

/// What is known of the workers that stalled.
#[derive(Debug, Default)]
pub struct Workers(Mutex<BTreeMap<&'static str, Fault>>);

#[derive(Debug, Clone)]
struct Fault {
    why: String,
    stack_file: Option<String>,
    at: Instant,
    times: u32,
    starts_at: Option<Instant>,
}

impl Workers {
    /// Workers that stall, or did lately.
    pub fn stalled(&self) -> Vec<StalledWorker> {
        let now = Instant::now();
        self.lock()
            .iter()
            .filter(|(_, f)| f.starts_at.is_some() || now.duration_since(f.at) < TOLD)
            .map(|(name, f)| StalledWorker {
                worker: (*name).to_owned(),
                why: f.why.clone(),
                stack_file: f.stack_file.clone(),
                ago: now.duration_since(f.at),
                times: f.times,
                starts_in: f.starts_at.map(|at| at.saturating_duration_since(now)),
            })
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker as the watchdog knows it.
struct Entry {
    worker: Worker,
    /// The present run; `None` while it waits for its next start.
    run: Option<Run>,
    starts_at: Instant,
    back_off: Duration,
}

struct Run {
    watch: Arc<Watch>,
    since: Instant,
    /// The poll that is being looked at: its number, since when, processor time then.
    poll: (u64, Instant, Duration),
    /// The window for polls without end.
    window: (Instant, Duration),
    /// Last change of the number of polls.
    moved: Instant,
    /// A wait inside one poll was told already.
    told: bool,
}

/// Starts the workers and their watchdog; the answer ends when all have ended after the daemon was stopped.
pub fn start(daemon: &Arc<Daemon>, workers: Vec<Worker>) -> std::thread::JoinHandle<()> {
    let handle = tokio::runtime::Handle::current();
    let daemon = daemon.clone();
    if let Err(error) = stack::prepare() {
        tracing::warn!(%error, "stacks of stalled workers can't be recorded");
    }
    std::thread::Builder::new()
        .name("hf-watchdog".to_owned())
        .spawn(move || Watchdog::new(daemon, handle, workers).run())
        .expect("the system has a thread left at start")
}

struct Watchdog {
    daemon: Arc<Daemon>,
    runtime: tokio::runtime::Handle,
    entries: Vec<Entry>,
    parked: u32,
    /// The runtime's last answer, and whether a question is open since.
    answered: Arc<AtomicU64>,
    asked: u64,
    asked_at: Instant,
}

impl Watchdog {
    fn new(daemon: Arc<Daemon>, runtime: tokio::runtime::Handle, workers: Vec<Worker>) -> Self {
        let now = Instant::now();
        let entries = workers
            .into_iter()
            .map(|worker| Entry { worker, run: None, starts_at: now, back_off: BACK_OFF.0 })
            .collect();
        Self {
            daemon,
            runtime,
            entries,
            parked: 0,
            answered: Arc::default(),
            asked: 0,
            asked_at: now,
        }
    }

    fn run(mut self) {
        let mut last = Instant::now();
        loop {
            let now = Instant::now();
            if self.daemon.is_stopping() {
                return self.farewell();
            }
            // We were the ones who were stopped (a frozen host): nobody else is to blame.
            if now.duration_since(last) > TICK * 4 {
                self.forget_times(now);
            }
            last = now;
            self.open_test_doors();
            for at in 0..self.entries.len() {
                self.look(at, now);
            }
            self.ask_runtime(now);
            std::thread::sleep(TICK);
        }
    }

    fn forget_times(&mut self, now: Instant) {
        self.asked_at = now;
        for run in self.entries.iter_mut().filter_map(|e| e.run.as_mut()) {
            run.forget(now);
        }
    }

    fn open_test_doors(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let Some(name) = test_doors::take_busy_worker(self.daemon.config()) else { return };
        let named = self.entries.iter().filter(|e| e.worker.name == name);
        for run in named.filter_map(|e| e.run.as_ref()) {
            run.watch.spin.store(true, Ordering::Relaxed);
        }
    }

    /// Starts what waits, and judges what runs.
    fn look(&mut self, at: usize, now: Instant) {
        let entry = &mut self.entries[at];
        let Some(run) = &mut entry.run else {
            if now >= entry.starts_at {
                entry.run = begin(&self.daemon, &self.runtime, entry.worker, now);
                self.mark_started(entry_name(&self.entries[at]));
            }
            return;
        };
        if now.duration_since(run.since) > FORGIVEN {
            entry.back_off = BACK_OFF.0;
        }
        let ended = run.watch.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(how) = ended {
            self.stalled(at, how, None);
            return;
        }
        let judgement = run.judge(entry.worker, now);
        let watch = run.watch.clone();
        let thread = watch.thread.load(Ordering::SeqCst);
        let name = entry.worker.name;
        match judgement {
            Judgement::Well => {}
            Judgement::Waits(time) => {
                if !std::mem::replace(&mut run.told, true) {
                    let why = format!("has been waiting inside one step for {} s", time.as_secs());
                    let stacks = self.stacks(thread);
                    let file = self.record(name, &why, &stacks);
                    self.note(name, why, file, None);
                }
            }
            Judgement::Endless(why) => {
                watch.cancel.cancel();
                let stacks = self.stacks(thread);
                self.stalled(at, why, Some(&stacks));
            }
            Judgement::Spins(time) => self.stop_spinning(at, &watch, time),
        }
    }

    /// A worker never comes back from a poll: its thread is parked and the worker started anew, or the process ends.
    fn stop_spinning(&mut self, at: usize, watch: &Watch, time: Duration) {
        let thread = watch.thread.load(Ordering::SeqCst);
        let why = format!("span for {} s without progress", time.as_secs());
        let stacks = self.stacks(thread);
        if park(thread) {
            self.parked += 1;
            self.stalled(at, why, Some(&stacks));
            if self.parked > MOST_PARKED {
                self.give_up("too many of its threads had to be stopped");
            }
        } else if watch.begun.load(Ordering::SeqCst) == watch.ended.load(Ordering::SeqCst) {
            // It came back by itself at the last moment.
            if let Some(run) = &mut self.entries[at].run {
                run.forget(Instant::now());
            }
        } else {
            self.record(entry_name(&self.entries[at]), &why, &stacks);
            self.give_up("a worker spins and its thread can't be stopped");
        }
    }

    /// A worker stalled: it is told, and starts again after a pause.
    fn stalled(&mut self, at: usize, why: String, stacks: Option<&[String]>) {
        let entry = &mut self.entries[at];
        let (name, pause) = (entry.worker.name, entry.back_off);
        entry.run = None;
        entry.starts_at = Instant::now() + pause;
        entry.back_off = (pause * 2).min(BACK_OFF.1);
        let starts_at = entry.starts_at;
        let file = stacks.and_then(|stacks| self.record(name, &why, stacks));
        tracing::error!(
            worker = name,
            why,
            pause_s = pause.as_secs(),
            "a worker stalled; it is started again"
        );
        self.note(name, why, file, Some(starts_at));
    }

    fn note(
        &self,
        name: &'static str,
        why: String,
        stack_file: Option<String>,
        starts_at: Option<Instant>,
    ) {
        let mut faults = self.daemon.workers.lock();
        let times = faults.get(name).map_or(0, |f| f.times) + 1;
        faults.insert(name, Fault { why, stack_file, at: Instant::now(), times, starts_at });
    }

    fn mark_started(&self, name: &'static str) {
        if let Some(fault) = self.daemon.workers.lock().get_mut(name) {
            fault.starts_at = None;
        }
    }

    fn stacks(&self, thread: i32) -> Vec<String> {
        match stack::sample(thread, Then::GoOn, SHOW) {
            Ok(sample) => stack::resolve(&sample.addresses),
            Err(error) => vec![format!("no stack: {}", error.chain())],
        }
    }

    /// Writes what was seen into the evidence directory; bounded in number.
    fn record(&self, name: &str, why: &str, stacks: &[String]) -> Option<String> {
        let dir = evidence_dir(&self.daemon);
        let at = self.daemon.now();
        let path = dir.join(format!("stall-{name}-{at}.txt"));
        let text = format!(
            "worker {name} {why}\nat {at} (seconds since the epoch)\n\n{}\n",
            stacks.join("\n")
        );
        let written = std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&path, text));
        if let Err(error) = written {
            tracing::warn!(%error, "the stack of a stalled worker could not be kept");
            return None;
        }
        forget_oldest(&dir);
        Some(path.display().to_string())
    }

    fn ask_runtime(&mut self, now: Instant) {
        if self.answered.load(Ordering::SeqCst) == self.asked {
            self.asked += 1;
            self.asked_at = now;
            let (answered, number) = (self.answered.clone(), self.asked);
            self.runtime.spawn(async move { answered.store(number, Ordering::SeqCst) });
        } else if now.duration_since(self.asked_at) > RUNTIME_STALL {
            let mut lines = Vec::new();
            for (thread, name) in stack::threads().unwrap_or_default() {
                if thread != stack::this_thread() {
                    lines.push(format!("--- thread {thread} {name}"));
                    lines.extend(self.stacks(thread));
                }
            }
            let why = format!("answered nobody for {} s", RUNTIME_STALL.as_secs());
            self.record("runtime", &why, &lines);
            self.give_up("its runtime answers nobody");
        }
    }

    /// The whole process is the faulty part.
    fn give_up(&self, why: &str) -> ! {
        tracing::error!(why, "the daemon ends itself, to be started again; guests are not touched");
        std::process::exit(EXIT)
    }

    fn farewell(self) {
        let start = Instant::now();
        let runs = || self.entries.iter().filter_map(|e| e.run.as_ref());
        let all_ended =
            || runs().all(|r| r.watch.end.lock().unwrap_or_else(PoisonError::into_inner).is_some());
        let wait = |limit: Duration| {
            while !all_ended() && start.elapsed() < limit {
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        wait(FAREWELL);
        // Whoever still waits for an answer must not find the runtime gone under it: it would panic there.
        runs().for_each(|run| run.watch.cancel.cancel());
        wait(FAREWELL + FAREWELL_CANCELLED);
    }
}

fn entry_name(entry: &Entry) -> &'static str {
    entry.worker.name
}

/// Where stacks and other evidence are kept.
pub(crate) fn evidence_dir(daemon: &Daemon) -> PathBuf {
    daemon.config().paths.state.join("evidence")
}

fn forget_oldest(dir: &std::path::Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut files: Vec<_> = entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("stall-"))
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
        .collect();
    files.sort();
    for (_, path) in files.iter().rev().skip(MOST_FILES) {
        let _ = std::fs::remove_file(path);
    }
}

fn park(thread: i32) -> bool {
    (0..PARK_TRIES).any(|_| {
        let parked = stack::sample(thread, Then::Park, SHOW).is_ok_and(|sample| sample.parked);
        if !parked {
            std::thread::sleep(Duration::from_millis(5));
        }
        parked
    })
}

/// Starts one run on a thread of its own.
fn begin(
    daemon: &Arc<Daemon>,
    runtime: &tokio::runtime::Handle,
    worker: Worker,
    now: Instant,
) -> Option<Run> {
    let watch = Arc::new(Watch::default());
    let (daemon, runtime, noted) = (daemon.clone(), runtime.clone(), watch.clone());
    let body = move || {
        noted.thread.store(stack::this_thread(), Ordering::SeqCst);
        let inner = (worker.make)(daemon.clone());
        let watched = Watched { inner, watch: noted.clone() };
        let cancelled = noted.cancel.clone();
        let run = AssertUnwindSafe(|| {
            runtime.block_on(async {
                tokio::select! {
                    () = watched => {}
                    () = cancelled.cancelled() => {}
                }
            });
        });
        let how = match std::panic::catch_unwind(run) {
            Ok(()) => "ended".to_owned(),
            Err(payload) => format!("panicked: {}", starts::payload_text(&*payload)),
        };
        *noted.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
    };
    let started = std::thread::Builder::new().name(format!("hf-{}", worker.name)).spawn(body);
    if let Err(error) = started {
        tracing::warn!(%error, worker = worker.name, "a worker's thread can't be started yet");
        return None;
    }
    Some(Run {
        watch,
        since: now,
        poll: (0, now, Duration::ZERO),
        window: (now, Duration::ZERO),
        moved: now,
        told: false,
    })
}

/// What the notes of a run mean.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Well,
    /// Inside one poll for that long, hardly using the processor.
    Waits(Duration),
    /// Inside one poll for that long, using it.
    Spins(Duration),
    /// Polls go on without end at a full processor, or none comes.
    Endless(String),
}

impl Run {
    fn forget(&mut self, now: Instant) {
        let used = stack::processor_time(self.watch.thread.load(Ordering::SeqCst));
        self.poll = (self.watch.begun.load(Ordering::SeqCst), now, used.unwrap_or_default());
        self.window = (now, used.unwrap_or_default());
        self.moved = now;
    }

    fn judge(&mut self, worker: Worker, now: Instant) -> Judgement {
        let ended = self.watch.ended.load(Ordering::SeqCst);
        let begun = self.watch.begun.load(Ordering::SeqCst);
        let thread = self.watch.thread.load(Ordering::SeqCst);
        if begun == 0 || thread == 0 {
            return Judgement::Well;
        }
        let Some(used) = stack::processor_time(thread) else { return Judgement::Well };
        if begun != self.poll.0 {
            self.poll = (begun, now, used);
            self.moved = now;
            self.told = false;
        }
        let (_, since, used_then) = self.poll;
        let time = now.duration_since(since);
        if begun != ended {
            self.window = (now, used);
            return match time {
                _ if time < LONG_POLL => Judgement::Well,
                _ if used.saturating_sub(used_then) >= SPIN => Judgement::Spins(time),
                _ if time >= LONG_POLL * 6 => Judgement::Waits(time),
                _ => Judgement::Well,
            };
        }
        let in_window = now.duration_since(self.window.0);
        if in_window >= BUSY_WINDOW {
            let busy = used.saturating_sub(self.window.1);
            self.window = (now, used);
            if busy * 100 >= in_window * BUSY_PERCENT {
                return Judgement::Endless(format!(
                    "took a whole processor for {} s without an end",
                    in_window.as_secs()
                ));
            }
        }
        let quiet = now.duration_since(self.moved);
        if worker.at_least_every.is_some_and(|limit| quiet > limit) {
            return Judgement::Endless(format!("did nothing for {} s", quiet.as_secs()));
        }
        Judgement::Well
    }
}
