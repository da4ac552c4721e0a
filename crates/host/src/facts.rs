//! What this machine is: memory, processors, name, load. Measured, never configured; nothing is cached here.

use std::path::Path;
use std::time::Duration;

use crate::{Error, Result};

/// Memory of the machine, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// All of it, as the kernel counts.
    pub total_bytes: u64,
    /// Used by nothing.
    pub free_bytes: u64,
    /// What could be had without swapping.
    pub available_bytes: u64,
}

/// The machine's processors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Processors {
    /// Logical processors online.
    pub count: u32,
    /// Sockets.
    pub sockets: u32,
    /// Vendor, such as `GenuineIntel`.
    pub vendor: String,
    /// Model name.
    pub model: String,
    /// Family, model number and stepping as the kernel prints them.
    pub family: String,
    /// See `family`.
    pub model_number: String,
    /// See `family`.
    pub stepping: String,
    /// Clock of the first processor now, MHz.
    pub mhz: f64,
    /// Feature flags.
    pub flags: Vec<String>,
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(Error::io("read", Path::new(path)))
}

/// Memory now.
pub fn memory() -> Result<Memory> {
    let text = read("/proc/meminfo")?;
    parse_memory(&text).ok_or_else(|| Error::unparsable("/proc/meminfo", &text))
}

fn parse_memory(text: &str) -> Option<Memory> {
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    let total = kib("MemTotal")?;
    let free = kib("MemFree")?;
    let available = kib("MemAvailable").unwrap_or(free);
    let bytes = |kib: u64| kib.saturating_mul(1024);
    Some(Memory {
        total_bytes: bytes(total),
        free_bytes: bytes(free),
        available_bytes: bytes(available),
    })
}

/// The processors.
pub fn processors() -> Result<Processors> {
    Ok(parse_processors(&read("/proc/cpuinfo")?))
}

fn parse_processors(text: &str) -> Processors {
    let value = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next().map(str::trim) == Some(name));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    };
    let values = |name: &'static str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .filter(move |(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim())
    };
    let sockets: std::collections::BTreeSet<&str> = values("physical id").collect();
    let flags = if value("flags").is_empty() { value("Features") } else { value("flags") };
    Processors {
        count: u32::try_from(values("processor").count()).unwrap_or(u32::MAX),
        sockets: u32::try_from(sockets.len()).unwrap_or(u32::MAX).max(1),
        vendor: value("vendor_id").to_owned(),
        model: value("model name").to_owned(),
        family: value("cpu family").to_owned(),
        model_number: value("model").to_owned(),
        stepping: value("stepping").to_owned(),
        mhz: value("cpu MHz").parse().unwrap_or(0.0),
        flags: flags.split_whitespace().map(str::to_owned).collect(),
    }
}

/// Time the machine has been up.
pub fn uptime() -> Duration {
    crate::boot::since_boot()
}

/// The machine's name, as `hostname` prints it.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The kernel's release, such as `6.1.0-18-amd64`.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Load averages over 1, 5 and 15 minutes.
pub fn load() -> Result<[f64; 3]> {
    let text = read("/proc/loadavg")?;
    let mut fields = text.split_whitespace().map(str::parse::<f64>);
    match (fields.next(), fields.next(), fields.next()) {
        (Some(Ok(one)), Some(Ok(five)), Some(Ok(fifteen))) => Ok([one, five, fifteen]),
        _ => Err(Error::unparsable("/proc/loadavg", &text)),
    }
}

/// Busy and total time of each logical processor since boot, in clock ticks; two readings give the load between them.
pub fn processor_times() -> Result<Vec<(u64, u64)>> {
    let text = read("/proc/stat")?;
    let lines = text.lines().filter(|line| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    let parse = |line: &str| -> Option<(u64, u64)> {
        // user nice system idle iowait irq softirq steal; guest time is inside user time already.
        let fields: Vec<u64> =
            line.split_whitespace().skip(1).take(8).map_while(|field| field.parse().ok()).collect();
        let idle = fields.get(3)?.saturating_add(*fields.get(4)?);
        let total: u64 = fields.iter().sum();
        Some((total.saturating_sub(idle), total))
    };
    let times: Option<Vec<_>> = lines.map(parse).collect();
    times.ok_or_else(|| Error::unparsable("/proc/stat", &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_processors_and_a_name() {
        let memory = memory().expect("readable");
        assert!(memory.total_bytes >= memory.free_bytes && memory.free_bytes > 0);
        let processors = processors().expect("readable");
        assert!(processors.count >= 1);
        assert!(!hostname().is_empty());
        assert!(load().expect("readable").iter().all(|load| *load >= 0.0));
        let times = processor_times().expect("readable");
        assert_eq!(times.len(), usize::try_from(processors.count).expect("small"));
        assert!(times.iter().all(|(busy, total)| busy <= total));
    }

    #[test]
    fn two_sockets_are_told_from_two_threads() {
        let text = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: X\n\
            cpu MHz\t\t: 2000.5\nphysical id\t: 0\nflags\t\t: fpu vmx\n\nprocessor\t: 1\nphysical id\t: 1\n";
        let processors = parse_processors(text);
        assert_eq!((processors.count, processors.sockets), (2, 2));
        assert_eq!(processors.model, "X");
        assert_eq!(processors.model_number, "85");
        assert_eq!(processors.flags, ["fpu", "vmx"]);
    }
}
