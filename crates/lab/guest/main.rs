//! The program of the test guest: process 1 of a tiny Linux that counts on its disk and tells how it fares.
//!
//! Every 100 ms it reads its last record back (direct, so from the disk itself), complains if that is not what it
//! wrote, writes the next one and waits for the disk's acknowledgement; only then is the count published on the serial
//! line, on the screen and on TCP 7777. A second run of the same guest is thereby caught within 100 ms, and a lost
//! acknowledged write at the next start. It powers off on the ACPI button.
//!
//! It is built static, from the standard library alone (`cargo xtask guest`), and started by a shell script that has
//! loaded drivers and configured the network. Not a benchmark, not an agent.

#![expect(clippy::disallowed_methods, reason = "a guest of its own, without our crates")]

#[path = "../src/guest/address.rs"]
pub mod address;
#[path = "../src/guest/answer.rs"]
pub mod answer;
#[path = "../src/guest/record.rs"]
pub mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use answer::Answer;
use record::{Block, Record};

/// `O_DIRECT | O_DSYNC` on x86-64: past the page cache, acknowledged by the disk.
const DIRECT_AND_SYNCED: i32 = 0o40000 | 0o10000;
const PERIOD: Duration = Duration::from_millis(100);
/// The button must not wait for a disk that hangs.
const LAST_WRITE: Duration = Duration::from_secs(2);

type Published = Arc<Mutex<Answer>>;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("address") {
        // Asked by the start script before the network is up.
        let mac = arguments.next().unwrap_or_default();
        match address::of_mac(&mac) {
            Some(address) => say(&address.to_string()),
            None => std::process::exit(1),
        }
        return;
    }
    let boot = boot_identity();
    let published = Arc::new(Mutex::new(Answer { boot, seq: 0, foreign: 0, max_gap_ms: 0 }));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::new(AtomicBool::new(false));
    {
        let published = Arc::clone(&published);
        thread::spawn(move || answer_for_ever(&published));
    }
    watch_buttons(&stop, &stopped);
    loop {
        if let Err(error) = count(boot, &published, &stop) {
            // A disk error is the lab's doing often enough: say so and go on.
            say(&format!("HFGUEST disk error: {error}"));
            thread::sleep(PERIOD);
        }
        if stop.load(Ordering::SeqCst) {
            stopped.store(true, Ordering::SeqCst);
            loop {
                thread::park();
            }
        }
    }
}

fn boot_identity() -> u128 {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or(1)
}

/// The counter's place: a second disk if there is one, else the second partition of the first.
fn disk() -> &'static str {
    ["/dev/vdb", "/dev/sdb", "/dev/vda2", "/dev/sda2"]
        .into_iter()
        .find(|path| fs::metadata(path).is_ok())
        .unwrap_or("/dev/vda2")
}

fn count(boot: u128, published: &Published, stop: &AtomicBool) -> io::Result<()> {
    let path = disk();
    let disk =
        OpenOptions::new().read(true).write(true).custom_flags(DIRECT_AND_SYNCED).open(path)?;
    let mut block = Block::default();
    disk.read_exact_at(&mut block.0, 0)?;
    let mut last = Record::from_block(&block.0).filter(|r| r.boot == boot);
    match Record::from_block(&block.0) {
        Some(r) if r.boot != boot => {
            say(&format!("HFGUEST {path}: the boot before was {:032x}, at {}", r.boot, r.seq));
        }
        _ => say(&format!("HFGUEST {path}: no boot before")),
    }
    let mut acknowledged = Instant::now();
    let mut due = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        if let Some(mine) = last {
            disk.read_exact_at(&mut block.0, 0)?;
            let found = Record::from_block(&block.0);
            if found != Some(mine) {
                lock(published).foreign += 1;
                say(&format!("HFGUEST FOREIGN WRITER: wrote {mine:?}, found {found:?}"));
            }
        }
        let next = Record { boot, seq: lock(published).seq + 1, wall_ms: wall_ms() };
        next.to_block(&mut block);
        disk.write_all_at(&block.0, next.ring_offset_bytes())?;
        disk.write_all_at(&block.0, 0)?;
        let gap = acknowledged.elapsed();
        acknowledged = Instant::now();
        last = Some(next);
        let now = {
            let mut shown = lock(published);
            shown.seq = next.seq;
            shown.max_gap_ms =
                shown.max_gap_ms.max(u64::try_from(gap.as_millis()).unwrap_or(u64::MAX));
            *shown
        };
        if now.seq % 10 == 1 {
            say(&format!("HFGUEST {now}"));
        }
        due += PERIOD;
        match due.checked_duration_since(Instant::now()) {
            Some(pause) => thread::sleep(pause),
            None => due = Instant::now(),
        }
    }
    Ok(())
}

fn lock(published: &Published) -> std::sync::MutexGuard<'_, Answer> {
    published.lock().expect("no thread panics while it holds the answer")
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn answer_for_ever(published: &Published) {
    let listener = match TcpListener::bind(("0.0.0.0", address::PORT)) {
        Ok(listener) => listener,
        Err(error) => return say(&format!("HFGUEST cannot listen: {error}")),
    };
    for mut stream in listener.incoming().flatten() {
        let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
        let answer = *lock(published);
        let _ = stream.write_all(format!("{answer}\n").as_bytes());
    }
}

/// Powers off when any input device reports the power key.
fn watch_buttons(stop: &Arc<AtomicBool>, stopped: &Arc<AtomicBool>) {
    let Ok(devices) = fs::read_dir("/dev/input") else { return };
    for device in devices.flatten().filter(|d| d.file_name().to_string_lossy().starts_with("event"))
    {
        let (stop, stopped) = (Arc::clone(stop), Arc::clone(stopped));
        thread::spawn(move || {
            if let Ok(file) = File::open(device.path()) {
                await_power_key(file);
                stop.store(true, Ordering::SeqCst);
                power_off(&stopped);
            }
        });
    }
}

/// Returns when the power key is pressed: type 1 (key), code 116 (power), value 1 (down).
fn await_power_key(mut device: File) {
    // struct input_event of 64-bit Linux: two 8-byte times, type, code, value.
    let mut event = [0_u8; 24];
    while device.read_exact(&mut event).is_ok() {
        if event[16..18] == [1, 0] && event[18..20] == [116, 0] && event[20] == 1 {
            return;
        }
    }
    loop {
        thread::park();
    }
}

fn power_off(stopped: &AtomicBool) {
    say("HFGUEST power button");
    let start = Instant::now();
    while !stopped.load(Ordering::SeqCst) && start.elapsed() < LAST_WRITE {
        thread::sleep(Duration::from_millis(5));
    }
    say("HFGUEST powering off");
    let _ = Command::new("/bin/busybox").args(["poweroff", "-f"]).status();
}

/// To the serial line (our standard output), and to the screen for screenshots.
fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
    if let Ok(mut screen) = OpenOptions::new().write(true).open("/dev/tty0") {
        let _ = writeln!(screen, "{text}\r");
    }
}
