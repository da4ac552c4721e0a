//! Whether KVM really works, proved by running a guest (design.md section 6): `/dev/kvm` existing proves nothing.
//!
//! The guest is QEMU's own BIOS, which greets on a debug port: if the greeting comes, guest code ran. The device may
//! hang whoever opens it, beyond reach of SIGKILL, so a child opens it, and `host::exec` leaves a child that can't be
//! killed behind; this process neither opens the device nor waits longer than its limit. The answer is kept per boot in a file, so that a
//! broken device costs one stuck child per boot and not one per daemon start; deleting the file asks anew.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use driver_api::hypervisor::Acceleration;
use host::exec::Command;
use serde::{Deserialize, Serialize};

/// What the BIOS says first.
const GREETING: &str = "SeaBIOS";
/// Most bytes read while waiting for the greeting.
const OUTPUT_MAX: usize = 64 * 1024;

/// How KVM is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// QEMU's binary, or a stand-in.
    pub qemu: PathBuf,
    /// The device whose absence means that there is no KVM; never opened here.
    pub device: PathBuf,
    /// QEMU's name of the accelerator.
    pub accelerator: String,
    /// File that keeps the answer of this boot.
    pub cache: PathBuf,
}

/// The kept answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    boot_id: String,
    works: bool,
    why: String,
}

impl Probe {
    /// KVM with the machine's QEMU, the answer kept in `state_dir`.
    pub fn kvm(qemu: PathBuf, state_dir: &Path) -> Self {
        Self {
            qemu,
            device: PathBuf::from("/dev/kvm"),
            accelerator: "kvm".to_owned(),
            cache: state_dir.join("acceleration.json"),
        }
    }

    /// The answer: kept, or tried now for `limit` at most. Blocks for as long.
    pub fn run(&self, limit: Duration) -> Acceleration {
        if !self.device.exists() {
            return Acceleration::Tcg;
        }
        let boot_id = boot_id();
        let kept = match self.kept(&boot_id) {
            Some(kept) => kept,
            None => {
                let tried = self.try_once(limit);
                let works = tried.is_ok();
                let why = tried.err().unwrap_or_else(|| "a guest ran".to_owned());
                let kept = Kept { boot_id, works, why };
                if let Err(error) = self.keep(&kept) {
                    tracing::warn!(path = %self.cache.display(), %error, "can't keep the probe's answer");
                }
                kept
            }
        };
        if kept.works {
            Acceleration::Kvm
        } else {
            tracing::warn!(why = kept.why, "KVM is there but does not work; guests run translated");
            Acceleration::Tcg
        }
    }

    fn kept(&self, boot_id: &str) -> Option<Kept> {
        let kept: Kept = serde_json::from_slice(&fs::read(&self.cache).ok()?).ok()?;
        (kept.boot_id == boot_id && !boot_id.is_empty()).then_some(kept)
    }

    fn keep(&self, kept: &Kept) -> io::Result<()> {
        if let Some(dir) = self.cache.parent() {
            fs::create_dir_all(dir)?;
        }
        let new = self.cache.with_extension("new");
        let mut file = fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        file.sync_all()?;
        fs::rename(new, &self.cache)
    }

    /// Runs the tiny guest; `Err` says why it does not count.
    fn try_once(&self, limit: Duration) -> Result<(), String> {
        let mut greeted = false;
        let tried = Command::new(&self.qemu)
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-m", "16"])
            .args(["-machine", &format!("pc,accel={}", self.accelerator)])
            .args(["-chardev", "stdio,id=bios"])
            .args(["-device", "isa-debugcon,iobase=0x402,chardev=bios"])
            .limit(limit)
            .output_limit(OUTPUT_MAX)
            .check_lines(&mut |line| {
                greeted |= line.contains(GREETING);
                !greeted
            });
        match tried {
            _ if greeted => Ok(()),
            Ok(_) => Err("QEMU ended before its guest said anything".to_owned()),
            Err(host::Error::TimedOut { .. }) => Err(format!("no guest code ran within {limit:?}")),
            Err(error) => Err(format!("QEMU did not run: {error}")),
        }
    }
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// A probe whose QEMU is a shell script; each run leaves a line in `runs`.
    fn stand_in(dir: &Path, script: &str) -> Probe {
        let qemu = dir.join("qemu");
        let runs = dir.join("runs");
        fs::write(&qemu, format!("#!/bin/sh\necho run >> {}\n{script}\n", runs.display()))
            .expect("a script");
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).expect("executable");
        let device = dir.join("device");
        fs::write(&device, "").expect("a device");
        Probe { qemu, device, accelerator: "kvm".to_owned(), cache: dir.join("state/kept.json") }
    }

    fn runs(dir: &Path) -> usize {
        fs::read_to_string(dir.join("runs")).map_or(0, |runs| runs.lines().count())
    }

    #[test]
    fn without_the_device_nothing_is_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut probe = stand_in(dir.path(), "echo SeaBIOS");
        probe.device = dir.path().join("absent");
        assert_eq!(probe.run(LONG), Acceleration::Tcg);
        assert_eq!(runs(dir.path()), 0);
    }

    #[test]
    fn a_guest_that_speaks_proves_kvm_once_per_boot() {
        let dir = tempfile::tempdir().expect("a directory");
        let probe = stand_in(dir.path(), "echo 'SeaBIOS (version 1.16)'; exec sleep 1000");
        for _ in 0..2 {
            assert_eq!(probe.run(LONG), Acceleration::Kvm);
        }
        assert_eq!(runs(dir.path()), 1);
        fs::write(&probe.cache, r#"{"boot_id":"another","works":true,"why":""}"#).expect("a file");
        assert_eq!(probe.run(LONG), Acceleration::Kvm);
        assert_eq!(runs(dir.path()), 2);
    }

    #[test]
    fn a_qemu_that_fails_or_is_missing_means_no_kvm() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(stand_in(dir.path(), "echo no; exit 1").run(LONG), Acceleration::Tcg);
        let dir = tempfile::tempdir().expect("a directory");
        let mut probe = stand_in(dir.path(), "");
        probe.qemu = dir.path().join("absent");
        assert_eq!(probe.run(LONG), Acceleration::Tcg);
    }

    #[test]
    fn a_hung_device_costs_the_limit_and_is_remembered() {
        let dir = tempfile::tempdir().expect("a directory");
        // The child's own child holds the output open: killing one process would not do.
        let probe = stand_in(dir.path(), "sleep 1000 & wait");
        let before = Instant::now();
        assert_eq!(probe.run(Duration::from_millis(300)), Acceleration::Tcg);
        assert!(before.elapsed() < LONG / 2);
        assert_eq!(probe.run(LONG), Acceleration::Tcg);
        assert_eq!(runs(dir.path()), 1);
    }
}
