//! A host's power is cut: how long until its protected guest's process runs elsewhere, with power devices that answer at
//! once. Timed from the lab's own note of the cut to the start of the process, as the kernel knows it, on one clock.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::failover::{HOSTS, whole};
use crate::lab::Lab;
use crate::report::{Report, median};

/// What is reported, in order.
pub(crate) const METRICS: [&str; 4] = [
    "member-lost-guest-elsewhere-typical-s",
    "member-lost-guest-elsewhere-worst-s",
    "coordinator-lost-guest-elsewhere-typical-s",
    "coordinator-lost-guest-elsewhere-worst-s",
];
const CUTS: usize = 5;
/// B_start of ha-anchors section 6, typical and worst.
const TYPICAL_S: f64 = 20.0;
const WORST_S: f64 = 26.0;
/// Longest wait for a guest.
const WATCH: Duration = Duration::from_secs(120);
/// Ticks of a process's start time in a second.
const TICKS: f64 = 100.0;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let cuts = report.rounds.unwrap_or(CUTS);
    let lab = Lab::up("lost-host", HOSTS.len(), &[])?;
    whole(&lab, Duration::from_secs(90))?;
    for host in HOSTS {
        let (own, plug) =
            (format!("uuid={}", uuid(&lab, "h1", host)?), format!("power-on-config:plug={host}"));
        xe(&lab, "h1", &["host-set-power-on-mode", &own, "power-on-mode=fence_lab", &plug])?;
    }
    let vm = guest(&lab)?;
    xe(&lab, "h1", &["pool-ha-enable"])?;
    for (at, coordinator) in [(0, false), (2, true)] {
        let mut samples = Vec::new();
        for _ in 0..cuts {
            samples.push(cut(&lab, &vm, coordinator)?);
        }
        let worst = samples.iter().copied().fold(0.0, f64::max);
        let note = format!("{samples:.2?} s");
        report.absolute("lost-host", METRICS[at], median(&mut samples), TYPICAL_S, cuts);
        report.absolute("lost-host", METRICS[at + 1], worst, WORST_S, cuts);
        report.note(&note);
    }
    Ok(())
}

fn xe(lab: &Lab, host: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let text = lab.exec(host, &[&["xe"], arguments].concat())?;
    Ok(text.trim().to_owned())
}

fn uuid(lab: &Lab, from: &str, host: &str) -> anyhow::Result<String> {
    xe(lab, from, &["host-list", &format!("name-label={host}"), "--minimal"])
}

/// A small protected VM with a disk on the shared repository, halted.
fn guest(lab: &Lab) -> anyhow::Result<String> {
    let sr = format!("sr-uuid={}", xe(lab, "h1", &["sr-list", "name-label=shared", "--minimal"])?);
    let template = "template=Other install media";
    let vm = xe(lab, "h1", &["vm-install", template, "new-name-label=guarded", &sr])?;
    let own = format!("uuid={vm}");
    let limits =
        ["static-min", "dynamic-min", "dynamic-max", "static-max"].map(|l| format!("{l}=64MiB"));
    let mut set = vec!["vm-memory-limits-set", &own];
    set.extend(limits.iter().map(String::as_str));
    xe(lab, "h1", &set)?;
    let disk =
        xe(lab, "h1", &["vdi-create", &sr, "name-label=disk", "virtual-size=64MiB", "type=user"])?;
    let (of, vdi) = (format!("vm-uuid={vm}"), format!("vdi-uuid={disk}"));
    xe(lab, "h1", &["vbd-create", &of, &vdi, "device=0", "bootable=true", "mode=RW", "type=Disk"])?;
    xe(lab, "h1", &["vm-param-set", &own, "ha-restart-priority=restart"])?;
    Ok(vm)
}

/// When the VM's process on that host began, seconds since the machine's boot; `None` if there is none.
fn process(lab: &Lab, host: &str, vm: &str) -> Option<f64> {
    let script = format!(
        "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q '[q]emu-system.*{vm}' && cut -d' ' -f22 $p/stat; done; true"
    );
    let text = lab.exec(host, &["sh", "-c", &script]).ok()?;
    text.lines().last()?.trim().parse::<f64>().ok().map(|ticks| ticks / TICKS)
}

/// Puts the guest on a member, or on the coordinator, cuts that host's power, and says how long the guest was away.
fn cut(lab: &Lab, vm: &str, coordinator: bool) -> anyhow::Result<f64> {
    let master = xe(lab, "h1", &["pool-list", "params=master", "--minimal"])?;
    let label = |host: &&str| uuid(lab, "h1", host).is_ok_and(|u| (u == master) == coordinator);
    let victim = HOSTS.into_iter().find(label).context("a victim")?;
    let survivors: Vec<&str> = HOSTS.into_iter().filter(|h| *h != victim).collect();
    let own = format!("uuid={vm}");
    let _ = xe(lab, "h1", &["vm-shutdown", &own, "--force"]);
    retry("the guest to start", || xe(lab, "h1", &["vm-start", &own, &format!("on={victim}")]))?;
    lab.fail(victim, "power")?;
    let at = lab.noted(victim, "fail power")?;
    let begun = retry("the guest elsewhere", || {
        let found = survivors.iter().find_map(|host| process(lab, host, vm));
        found.context("no process yet")
    })?;
    lab.heal(victim)?;
    whole(lab, Duration::from_secs(90))?;
    retry("the host to be live", || {
        let label = format!("name-label={victim}");
        let live = xe(lab, "h1", &["host-list", &label, "params=host-metrics-live", "--minimal"])?;
        let enabled = xe(lab, "h1", &["host-list", &label, "params=enabled", "--minimal"])?;
        anyhow::ensure!(live == "true" && enabled == "true", "live {live}, enabled {enabled}");
        Ok(())
    })?;
    Ok(begun - at)
}

fn retry<T>(what: &str, mut look: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + WATCH;
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("waiting for {what}")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}
