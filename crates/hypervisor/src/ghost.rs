//! Domains that libvirt's daemon believes in although they never had a process.
//!
//! A daemon that is killed between making a domain known and starting its QEMU leaves a status file that names no
//! process. The next daemon reads it, takes the domain for active and the former daemon's job for still running, and
//! then can neither start, nor stop, nor forget it: every order waits for a job that nobody ends ("cannot acquire state
//! change lock", seen with 9.0.0). Such a domain goes only with its status file and a daemon that has not read it.
//!
//! Nothing is guessed: the file says that there was no process, it is older than the daemon that believes it (which has
//! therefore not written it), and `/proc` knows no such guest. QEMU is only started after the file names its process.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use driver_api::hypervisor::Result;
use driver_api::{DriverError, Kind};
use uuid::Uuid;

use crate::domain_xml::domain_name;
use crate::process;

/// Where libvirt's QEMU driver keeps the status of what runs.
const RUN_DIR: &str = "/run/libvirt/qemu";
/// Names the daemon's process; written when it starts.
const DRIVER_PID: &str = "driver.pid";
/// The programs that hold the QEMU driver.
const DAEMONS: [&str; 2] = ["libvirtd", "virtqemud"];
/// Longest wait for a killed daemon to be gone.
const END_LIMIT: Duration = Duration::from_secs(5);
/// As much of a status file as its first element needs.
const HEAD_BYTES: usize = 4096;

/// A domain without a process, as found on disk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ghost {
    vm: Uuid,
    run_dir: PathBuf,
}

impl Ghost {
    /// The domain of `vm`, if it is one.
    pub(crate) fn find(vm: Uuid) -> Option<Self> {
        let found = Self::find_in(Path::new(RUN_DIR), vm)?;
        process::find(vm).is_none().then_some(found)
    }

    fn find_in(run_dir: &Path, vm: Uuid) -> Option<Self> {
        let status = run_dir.join(format!("{}.xml", domain_name(vm)));
        let written = fs::metadata(&status).ok()?.modified().ok()?;
        let daemon_came = fs::metadata(run_dir.join(DRIVER_PID)).ok()?.modified().ok()?;
        let text = fs::read(&status).ok()?;
        let head = String::from_utf8_lossy(&text[..text.len().min(HEAD_BYTES)]);
        (written < daemon_came && names_no_process(&head))
            .then(|| Self { vm, run_dir: run_dir.to_owned() })
    }

    /// Removes its files and ends the daemon that believes in it; whoever supervises the daemon starts it again. Guests
    /// do not notice, but operations of the daemon that are under way fail.
    pub(crate) fn lay(&self) -> Result<()> {
        tracing::warn!(
            vm = %self.vm,
            "libvirt's daemon holds on to a domain whose process never was: it is started anew without it"
        );
        let path = self.run_dir.join(DRIVER_PID);
        let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<i32>().ok());
        let Some(pid) = pid.filter(|pid| is_daemon(*pid)) else {
            return Err(self.failed(&path, "it names no running daemon of libvirt"));
        };
        // Before the files go: without them nothing tells a ghost from a domain that is being started.
        let Some(ticks) = host::proc::start_ticks(pid).ok().flatten() else { return Ok(()) };
        for suffix in ["xml", "pid"] {
            let file = self.run_dir.join(format!("{}.{suffix}", domain_name(self.vm)));
            match fs::remove_file(&file) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(self.failed(&file, &error.to_string())),
            }
        }
        match host::proc::kill(pid, ticks, END_LIMIT) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.failed(&path, "the daemon does not end")),
            Err(error) => Err(self.failed(&path, &error.to_string())),
        }
    }

    fn failed(&self, path: &Path, why: &str) -> DriverError {
        let text = format!(
            "libvirt holds on to a domain whose process never was; remove {} and restart libvirt's daemon ({}: {why})",
            self.run_dir.join(format!("{}.xml", domain_name(self.vm))).display(),
            path.display()
        );
        DriverError::new(Kind::Failed, self.vm.to_string(), text)
    }
}

/// Whether the status says that no process had been started.
fn names_no_process(head: &str) -> bool {
    let Some((_, rest)) = head.split_once("<domstatus ") else { return false };
    let Some((attributes, _)) = rest.split_once('>') else { return false };
    attributes.split_whitespace().any(|a| matches!(a, "pid='0'" | "pid=\"0\""))
}

fn is_daemon(pid: i32) -> bool {
    host::proc::argv(pid)
        .first()
        .and_then(|program| Path::new(program).file_name()?.to_str())
        .is_some_and(|name| DAEMONS.contains(&name))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn status(pid: &str) -> String {
        format!(
            "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE. pid='0'\n-->\n\n\
             <domstatus state='paused' reason='starting up' pid='{pid}'>\n  <taint flag='high-privileges'/>\n"
        )
    }

    fn put(path: &Path, text: &str, seconds_ago: u64) {
        fs::write(path, text).expect("a file");
        // Any moment will do: only the order of the files' times counts.
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - seconds_ago);
        let file = fs::File::options().write(true).open(path).expect("the file");
        file.set_modified(at).expect("its time");
    }

    #[test]
    fn only_a_domain_without_a_process_that_is_older_than_the_daemon_is_a_ghost() {
        let dir = tempfile::tempdir().expect("a directory");
        let run = dir.path();
        let vm = Uuid::from_u128(7);
        let file = run.join(format!("hf-{vm}.xml"));
        let daemon = run.join(DRIVER_PID);
        put(&daemon, "12", 50);
        assert_eq!(Ghost::find_in(run, vm), None, "there is no such domain");
        put(&file, &status("0"), 100);
        assert!(Ghost::find_in(run, vm).is_some());
        put(&file, &status("0"), 10);
        assert_eq!(Ghost::find_in(run, vm), None, "the daemon that runs is starting it");
        put(&file, &status("4711"), 100);
        assert_eq!(Ghost::find_in(run, vm), None, "it had a process: libvirt looks after it");
        put(&file, "nonsense", 100);
        assert_eq!(Ghost::find_in(run, vm), None);
        put(&file, &status("0"), 100);
        fs::remove_file(&daemon).expect("removed");
        assert_eq!(Ghost::find_in(run, vm), None, "nobody believes in it");
    }

    #[test]
    fn no_other_process_than_libvirts_daemon_is_ended() {
        let dir = tempfile::tempdir().expect("a directory");
        let run = dir.path().to_owned();
        let vm = Uuid::from_u128(7);
        let file = run.join(format!("hf-{vm}.xml"));
        put(&file, &status("0"), 100);
        // This very process: the test would not live to tell.
        put(&run.join(DRIVER_PID), &std::process::id().to_string(), 50);
        let ghost = Ghost::find_in(&run, vm).expect("a ghost");
        let error = ghost.lay().expect_err("no daemon of libvirt");
        assert!(error.detail.contains("restart libvirt's daemon"), "{error}");
        assert!(file.exists(), "a person can still tell");
    }
}
