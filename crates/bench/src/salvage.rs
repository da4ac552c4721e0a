//! Salvage: the scan against reading the disk's data once, the plan, the export against `qemu-img convert`, the deep search against
//! `testdisk`, and the memory of all of it.
//!
//! The disks are made by an example of `holdfast-rescue` (`wreck`): sparse, with a repository in pieces whose partition tables are gone.
//! Like is compared with like: the scan and the plain read both begin with a cold cache; the export as it is by default, with its CRC,
//! against `qemu-img convert`, which takes none, and the export with SHA-256 against `qemu-img convert` and `sha256sum` in turn.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use host::exec::{Command, Stream};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::unistd::{Whence, lseek64};
use serde_json::Value as Json;

use crate::report::{Metric, Report, median};

const SCAN: &str = "salvage-scan-s";
const PLAN: &str = "salvage-plan-after-scan-s";
const EXPORT: &str = "salvage-export-s";
const EXPORT_HASHED: &str = "salvage-export-with-sha256-s";
const DEEP: &str = "salvage-deep-search-s";
const MEMORY: &str = "salvage-peak-memory-mib";

/// What is reported.
pub(crate) const METRICS: [&str; 6] = [SCAN, PLAN, EXPORT, EXPORT_HASHED, DEEP, MEMORY];

const ROUNDS: usize = 7;
/// Data of the disk that is scanned, and the disk's size.
const DATA_MIB: u64 = 1024;
const DISK_GIB: u64 = 200;
/// Data of the disk that is searched by `testdisk`, which reads holes too.
const DEEP_DATA_MIB: u64 = 512;
const DEEP_DISK_GIB: u64 = 1;
const LONG: Duration = Duration::from_secs(900);

/// A directory that goes when this goes.
struct Room(PathBuf);

impl Room {
    fn new() -> anyhow::Result<Self> {
        // Not /tmp, which may be memory.
        let path = PathBuf::from(format!("/var/tmp/holdfast-bench-salvage-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().context("a program lies in a directory")?.join(name))
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path of text")
}

/// Seconds that a command takes, and what it prints. Exit codes other than these are an error.
fn timed(command: &Command, good: &[i32]) -> anyhow::Result<(f64, String)> {
    let start = Instant::now();
    let output = command.run()?;
    let seconds = start.elapsed().as_secs_f64();
    let code = output.status.code().unwrap_or(-1);
    ensure!(good.contains(&code), "exit code {code}: {}", output.error_text());
    Ok((seconds, output.text()))
}

fn rescue(arguments: &[&str]) -> anyhow::Result<Command> {
    Ok(Command::new(program("holdfast-rescue")?).args(arguments).limit(LONG).output_limit(64 << 20))
}

fn wreck(path: &Path, data_mib: u64, disk_gib: u64) -> anyhow::Result<()> {
    let numbers = [data_mib.to_string(), disk_gib.to_string()];
    Command::new(program("examples/wreck")?)
        .args([text(path)?, &numbers[0], &numbers[1]])
        .limit(LONG)
        .check()?;
    Ok(())
}

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let room = Room::new()?;
    let disk = room.at("disk.img");
    wreck(&disk, DATA_MIB, DISK_GIB)?;
    let mut peak = 0.0_f64;
    for (metrics, part) in [
        (&[SCAN, PLAN][..], scan as fn(&mut Report, &Room, &Path, &mut f64) -> anyhow::Result<()>),
        (&[EXPORT, EXPORT_HASHED], export),
        (&[DEEP], deep),
    ] {
        if let Err(error) = part(report, &room, &disk, &mut peak) {
            report.failed("salvage", metrics, &error);
        }
    }
    ensure!(peak > 0.0, "no memory was seen");
    report.absolute("salvage", MEMORY, peak, 64.0, 3);
    Ok(())
}

/// Forgets what the kernel has cached of a file.
fn cool(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path)?;
    posix_fadvise(file.as_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

/// Reads all data of a sparse file once, in order.
fn read_once(path: &Path) -> anyhow::Result<(f64, u64)> {
    let start = Instant::now();
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut buffer = vec![0; 1 << 20];
    let (mut at, mut total) = (0_u64, 0_u64);
    while at < size {
        let Ok(data) = lseek64(file.as_fd(), i64::try_from(at)?, Whence::SeekData) else { break };
        let end = u64::try_from(lseek64(file.as_fd(), data, Whence::SeekHole)?)?;
        at = u64::try_from(data)?;
        while at < end {
            let len = usize::try_from((end - at).min(buffer.len() as u64))?;
            file.read_exact_at(&mut buffer[..len], at)?;
            at += len as u64;
            total += len as u64;
        }
    }
    Ok((start.elapsed().as_secs_f64(), total))
}

fn scan(report: &mut Report, room: &Room, disk: &Path, peak: &mut f64) -> anyhow::Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    let command = rescue(&["scan", text(disk)?, "--output", "json"])?;
    for _ in 0..ROUNDS {
        cool(disk)?;
        let (seconds, total) = read_once(disk)?;
        theirs.push(seconds);
        bytes = total;
        cool(disk)?;
        let (seconds, printed) = timed(&command, &[0])?;
        ours.push(seconds);
        let found: Json = serde_json::from_str(&printed)?;
        let volumes = found["volume_groups"][0]["logical_volumes"].as_array().map_or(0, Vec::len);
        ensure!(volumes as u64 == DATA_MIB / 128, "the scan found {volumes} volumes");
    }
    let warm = warm(&command, &[0])?;
    report.ratio(&Metric {
        name: "salvage",
        metric: SCAN,
        ours: median(&mut ours),
        peer: "read-once",
        peers: median(&mut theirs),
        limit: 1.2,
        n: ROUNDS,
    });
    report.note(&format!("{} MiB of data on a disk of {DISK_GIB} GiB, cold cache", bytes >> 20));
    // The plan contains a scan: what is beyond one is the plan.
    let command = rescue(&["repair", text(disk)?, "--output", "json"])?;
    let plan = (self::warm(&command, &[0])? - warm).max(0.0);
    report.absolute("salvage", PLAN, plan, 1.0, ROUNDS);
    // Memory must not grow with the disk: the same on one of 8 TiB.
    let large = room.at("large.img");
    wreck(&large, 128, 8 << 10)?;
    for path in [disk, &large] {
        *peak = peak.max(peak_mib(&rescue(&["scan", text(path)?, "--output", "json"])?)?);
    }
    std::fs::remove_file(&large)?;
    Ok(())
}

/// The median of seconds with a warm cache.
fn warm(command: &Command, good: &[i32]) -> anyhow::Result<f64> {
    timed(command, good)?;
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        seconds.push(timed(command, good)?.0);
    }
    Ok(median(&mut seconds))
}

/// The most memory that a command had resident.
fn peak_mib(command: &Command) -> anyhow::Result<f64> {
    let mut running = command.spawn(Stream::Null, Stream::Null)?;
    let status = format!("/proc/{}/status", running.pid());
    let mut peak = 0.0_f64;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
        if let Some(status) = running.wait(Duration::from_millis(1))? {
            ensure!(status.success(), "{status}");
            return Ok(peak);
        }
    }
}

fn export(report: &mut Report, room: &Room, disk: &Path, peak: &mut f64) -> anyhow::Result<()> {
    // A VHD with its data in pieces, as QEMU writes it: both sides read the same file.
    let vdi = "00000000-789e-4585-b3ea-8f4d23499b40";
    let (raw, vhd, out) = (room.at("raw"), room.at("disk.vhd"), room.at("out"));
    // Twelve pieces of data and holes between.
    rescue(&["export", text(disk)?, "--vdi", vdi, "--to", text(&raw)?])?.check()?;
    let content = std::fs::read(&raw)?;
    let file = File::create(&raw)?;
    file.set_len(4 << 30)?;
    for n in 0..6_u64 {
        file.write_all_at(&content[..128 << 20], n * (600 << 20))?;
    }
    drop(content);
    let convert = |from: &str, to: &str, from_path: &Path, to_path: &Path, more: &[&str]| {
        let mut arguments = vec!["convert", "-f", from, "-O", to];
        arguments.extend(more);
        anyhow::Ok(
            Command::new("qemu-img")
                .args(&arguments)
                .args([text(from_path)?, text(to_path)?])
                .limit(LONG),
        )
    };
    convert("raw", "vpc", &raw, &vhd, &["-o", "subformat=dynamic,force_size=on"])?.check()?;
    std::fs::remove_file(&raw)?;
    let qemu = convert("vpc", "raw", &vhd, &out, &[])?;
    let ours = |hash: &str| {
        rescue(&["export", text(&vhd)?, "--to", text(&out)?, "--format", "raw", "--hash", hash])
    };
    let sum = Command::new("sha256sum").arg(text(&out)?).limit(LONG);
    let mut seconds: [Vec<f64>; 4] = Default::default();
    for round in 0..=ROUNDS {
        let mut keep = |n: usize, value: f64| {
            // The first round warms both sides up.
            if round > 0 {
                seconds[n].push(value);
            }
        };
        let fresh = || match std::fs::remove_file(&out) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        fresh()?;
        let theirs = timed(&qemu, &[0])?.0;
        let (summing, theirs_sum) = timed(&sum, &[0])?;
        keep(1, theirs);
        keep(3, theirs + summing);
        fresh()?;
        keep(0, timed(&ours("crc32")?, &[0])?.0);
        fresh()?;
        let (hashing, printed) = timed(&ours("sha256")?, &[0])?;
        keep(2, hashing);
        let theirs_sum = theirs_sum.split(' ').next().unwrap_or_default();
        ensure!(printed.contains(theirs_sum), "other content than qemu-img's");
    }
    let used = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&out)?) * 512;
    ensure!(used < 800 << 20, "{used} bytes on disk: holes are not kept");
    for (metric, n, peer) in
        [(EXPORT, 0, "qemu-img-convert"), (EXPORT_HASHED, 2, "qemu-img-convert+sha256sum")]
    {
        report.ratio(&Metric {
            name: "salvage",
            metric,
            ours: median(&mut seconds[n]),
            peer,
            peers: median(&mut seconds[n + 1]),
            limit: 1.0,
            n: ROUNDS,
        });
    }
    std::fs::remove_file(&out)?;
    *peak = peak.max(peak_mib(&ours("sha256")?)?);
    Ok(())
}

fn deep(report: &mut Report, room: &Room, _: &Path, _: &mut f64) -> anyhow::Result<()> {
    let disk = room.at("deep.img");
    wreck(&disk, DEEP_DATA_MIB, DEEP_DISK_GIB)?;
    let ours = warm(&rescue(&["scan", text(&disk)?, "--output", "json"])?, &[0])?;
    // Twice: the first search quick, the second deep, over the kind of table that the disk had. It wants a terminal's type.
    let testdisk = Command::new("testdisk")
        .args(["/cmd", text(&disk)?, "partition_gpt,analyze,search"])
        .env("TERM", "xterm")
        .directory(&room.0)
        .output_limit(64 << 20)
        .limit(LONG);
    let theirs = timed(&testdisk, &[0])?.0;
    report.ratio(&Metric {
        name: "salvage",
        metric: DEEP,
        ours,
        peer: "testdisk",
        peers: theirs,
        limit: 0.2,
        n: 1,
    });
    Ok(())
}
