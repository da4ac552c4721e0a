//! Watches the survivors and their guests while the power is cut: several threads that run commands and note when they
//! ended. It draws no conclusions ([`super::timeline`] does).

use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;

use super::lab::{Guest, Host, Lab};
use super::timeline::{Answer, Count, Sample, Seen};

/// Pause between two reads of a survivor, and between the starts of two writes.
const PERIOD: Duration = Duration::from_millis(100);
/// Writes that may be under way at once: one that the cut caught hangs until the product's own deadline.
const WRITES_MAX: usize = 6;
/// A survivor's daemon says this word when it begins to doubt the coordinator.
const SUSPICION: &str = "suspect";

/// The running watch.
#[derive(Debug)]
pub(super) struct Prober {
    watch: Arc<Watch>,
    threads: Vec<JoinHandle<()>>,
    guests: Child,
}

#[derive(Debug)]
struct Watch {
    start: Instant,
    stop: AtomicBool,
    seen: Mutex<Seen>,
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no thread panics while it holds what was seen")
    }

    fn going(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn note(&self, host: &str, started: Duration, what: Answer) {
        let ended = self.start.elapsed();
        self.seen().samples.push(Sample { host: host.to_owned(), started, ended, what });
    }
}

impl Prober {
    /// Begins to watch.
    pub(super) fn start(
        lab: &Lab,
        coordinator: &Host,
        survivors: &[Host],
        guests: &[Guest],
    ) -> anyhow::Result<Self> {
        let pool = lab.xe(&coordinator.name, &["pool-list", "--minimal"])?;
        let before = coordinator.uuid.clone().context("the coordinator's uuid is known")?;
        let watch = Arc::new(Watch {
            start: Instant::now(),
            stop: AtomicBool::new(false),
            seen: Mutex::new(Seen { coordinator_before: before, ..Seen::default() }),
        });
        let mut threads = Vec::new();
        for host in survivors {
            let name = host.name.clone();
            let (w, l, n) = (Arc::clone(&watch), lab.clone(), name.clone());
            threads.push(thread::spawn(move || reads(&w, &l, &n)));
            let (w, l, n, p) = (Arc::clone(&watch), lab.clone(), name.clone(), pool.clone());
            threads.push(thread::spawn(move || writes(&w, &l, &n, &p)));
            let (w, l) = (Arc::clone(&watch), lab.clone());
            threads.push(thread::spawn(move || suspicion(&w, &l, &name)));
        }
        let mut arguments = vec!["guest", "--follow"];
        arguments.extend(guests.iter().map(|g| g.mac.as_str()));
        let mut child = lab
            .command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("watching the guests")?;
        let lines = child.stdout.take().context("the guests' counts are piped")?;
        let w = Arc::clone(&watch);
        threads.push(thread::spawn(move || counts(&w, BufReader::new(lines))));
        Ok(Self { watch, threads, guests: child })
    }

    /// Notes that the cut is being made now.
    pub(super) fn cut(&self) {
        let now = self.watch.start.elapsed();
        self.watch.seen().cut = Some(now);
    }

    /// Goes on watching until `enough`, at most for `time`.
    pub(super) fn watch(
        &self,
        time: Duration,
        enough: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < time && !enough(&self.watch.seen()) {
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Ends watching and returns what was seen.
    pub(super) fn stop(mut self) -> anyhow::Result<Seen> {
        let end = self.watch.start.elapsed();
        self.watch.stop.store(true, Ordering::SeqCst);
        self.guests.kill().context("ending the watch of the guests")?;
        self.guests.wait().context("ending the watch of the guests")?;
        for thread in self.threads {
            let _ = thread.join();
        }
        let mut seen = self.watch.seen().clone();
        seen.end = end;
        seen.samples.retain(|s| s.ended <= end);
        Ok(seen)
    }
}

/// Asks a survivor again and again who is coordinator.
fn reads(watch: &Watch, lab: &Lab, host: &str) {
    while watch.going() {
        let started = watch.start.elapsed();
        let answer = match lab.xe(host, &["pool-list", "params=master", "--minimal"]) {
            Ok(uuid) => Answer::Coordinator(uuid),
            Err(e) => Answer::Failed(format!("{e:#}")),
        };
        watch.note(host, started, answer);
        thread::sleep(PERIOD);
    }
}

/// Writes through a survivor again and again. A write that hangs must not hide that a later one would have been
/// accepted, so several may be under way.
fn writes(watch: &Arc<Watch>, lab: &Lab, host: &str, pool: &str) {
    let under_way = Arc::new(AtomicUsize::new(0));
    let mut number = 0_u64;
    while watch.going() {
        if under_way.load(Ordering::SeqCst) < WRITES_MAX {
            number += 1;
            under_way.fetch_add(1, Ordering::SeqCst);
            let (w, l, h) = (Arc::clone(watch), lab.clone(), host.to_owned());
            let (pool, under_way) = (format!("uuid={pool}"), Arc::clone(&under_way));
            thread::spawn(move || {
                let started = w.start.elapsed();
                let value = format!("other-config:holdfast-demo-{h}={number}");
                let answer = match l.xe(&h, &["pool-param-set", &pool, &value]) {
                    Ok(_) => Answer::Written,
                    Err(e) => Answer::Failed(format!("{e:#}")),
                };
                w.note(&h, started, answer);
                under_way.fetch_sub(1, Ordering::SeqCst);
            });
        }
        thread::sleep(PERIOD);
    }
}

/// Reads what a survivor's daemon logs from now on, for the first word of doubt after the cut.
fn suspicion(watch: &Watch, lab: &Lab, host: &str) {
    let path = lab.log(host, "holdfastd");
    let Ok(mut file) = std::fs::File::open(path) else { return };
    if file.seek(SeekFrom::End(0)).is_err() {
        return;
    }
    let suspect = watch.seen().coordinator_before.clone();
    let mut text = String::new();
    while watch.going() {
        let mut more = Vec::new();
        let _ = file.read_to_end(&mut more);
        let at = watch.start.elapsed();
        text.push_str(&String::from_utf8_lossy(&more));
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        // The daemons name hosts by their uuid.
        let doubts = text[..whole].lines().any(|l| l.contains(SUSPICION) && l.contains(&suspect));
        text.drain(..whole);
        if doubts {
            let mut seen = watch.seen();
            if seen.cut.is_some() && seen.suspected.is_none() {
                seen.suspected = Some((at, host.to_owned()));
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[derive(Debug, Deserialize)]
struct CountLine {
    mac: String,
    boot: Option<String>,
    seq: Option<u64>,
    foreign: Option<u64>,
}

fn counts(watch: &Watch, lines: impl std::io::BufRead) {
    for line in lines.lines().map_while(Result::ok) {
        let at = watch.start.elapsed();
        let Ok(line) = serde_json::from_str::<CountLine>(&line) else { continue };
        if let (Some(boot), Some(seq), Some(foreign)) = (line.boot, line.seq, line.foreign) {
            watch.seen().counts.push(Count { mac: line.mac, at, boot, seq, foreign });
        }
    }
}
