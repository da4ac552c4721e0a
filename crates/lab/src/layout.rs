//! Where a lab keeps things: two directories, named after the lab.
//!
//! `/run/holdfast-lab/NAME` holds what describes the running lab (state, sockets, namespace pins, the event log);
//! `/var/tmp/holdfast-lab/NAME` holds what is big or outlives a power cut (each host's `/etc`, `/var` and disks).
//! Paths only: nothing here touches the file system.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// Parent of every lab's small state.
pub const RUN_ROOT: &str = "/run/holdfast-lab";
/// Parent of every lab's large and lasting state.
pub const BIG_ROOT: &str = "/var/tmp/holdfast-lab";
/// Longest lab name: socket paths must stay below the kernel's 107 bytes.
const NAME_BYTES_MAX: usize = 24;

/// The paths of one lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    name: String,
}

impl Layout {
    /// Checks the lab's name: it becomes part of paths and control group names.
    pub fn new(name: &str) -> Result<Self> {
        let fits = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-');
        ensure!(
            fits,
            "lab name {name:?}: use 1 to {NAME_BYTES_MAX} of a-z, 0-9 and '-', not starting with '-'"
        );
        Ok(Self { name: name.to_owned() })
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Small state of this lab.
    pub fn run(&self) -> PathBuf {
        Path::new(RUN_ROOT).join(&self.name)
    }

    /// Large and lasting state of this lab.
    pub fn big(&self) -> PathBuf {
        Path::new(BIG_ROOT).join(&self.name)
    }

    /// What the lab consists of ([`crate::state::Lab`]).
    pub fn state_file(&self) -> PathBuf {
        self.run().join("lab.json")
    }

    /// Faults in force ([`crate::fault::Faults`]).
    pub fn faults_file(&self) -> PathBuf {
        self.run().join("faults.json")
    }

    /// The certificate authority of the lab's pool (of each host, if they form none): what clients should trust.
    pub fn ca(&self) -> PathBuf {
        self.run().join("ca.pem")
    }

    /// The event log, one JSON object per line.
    pub fn events_file(&self) -> PathBuf {
        self.run().join("events.jsonl")
    }

    /// The keeper's control socket.
    pub fn keeper_socket(&self) -> PathBuf {
        self.run().join("keeper.sock")
    }

    /// What the keeper and the launchers wrote on their standard streams.
    pub fn keeper_log(&self) -> PathBuf {
        self.run().join("keeper.log")
    }

    /// The sockets of the hosts' power devices; hosts see it as [`crate::bmc::SEEN_AT`].
    pub fn bmc(&self) -> PathBuf {
        self.run().join("bmc")
    }

    /// A small tmpfs with one pinned network namespace per host, for the switch and for the client.
    pub fn pins(&self) -> PathBuf {
        self.run().join("ns")
    }

    /// The pin of one network namespace (`h1`, `switch`, `client`).
    pub fn pin(&self, of: &str) -> PathBuf {
        self.pins().join(of)
    }

    /// Small state of one host; the host sees it as `/run/lab`.
    pub fn host_run(&self, host: &str) -> PathBuf {
        self.run().join("hosts").join(host)
    }

    /// What process 1 of the host is told at boot ([`crate::state::HostSpec`]).
    pub fn host_spec(&self, host: &str) -> PathBuf {
        self.host_run(host).join("spec.json")
    }

    /// Which process is the host's process 1, written at each boot ([`crate::state::Boot`]).
    pub fn host_boot(&self, host: &str) -> PathBuf {
        self.host_run(host).join("boot.json")
    }

    /// The control socket of the host's process 1.
    pub fn host_socket(&self, host: &str) -> PathBuf {
        self.host_run(host).join("init.sock")
    }

    /// What process 1 wrote on its standard streams.
    pub fn host_init_log(&self, host: &str) -> PathBuf {
        self.host_run(host).join("init.log")
    }

    /// The directories that survive the host's power cuts: `etc`, `var`, `srv`.
    pub fn host_disk(&self, host: &str) -> PathBuf {
        self.big().join("hosts").join(host)
    }

    /// The log of one unit of a host, seen from the machine.
    pub fn unit_log(&self, host: &str, unit: &str) -> PathBuf {
        self.host_disk(host).join("var/log/lab").join(format!("{unit}.log"))
    }

    /// The directory that every host sees as `/srv/shared`.
    pub fn shared(&self) -> PathBuf {
        self.big().join("shared")
    }

    /// The directory that every host sees as `/srv/iso`.
    pub fn iso(&self) -> PathBuf {
        self.big().join("iso")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_escape_a_path_are_refused() {
        for bad in ["", "..", "a/b", "A", "a b", "-x", "abcdefghijklmnopqrstuvwxyz"] {
            assert!(Layout::new(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(Layout::new("ci-7").is_ok());
    }

    #[test]
    fn socket_paths_fit_the_kernels_limit() {
        let longest = Layout::new("abcdefghijklmnopqrstuvwx").expect("24 letters are allowed");
        assert!(longest.host_socket("h64").as_os_str().len() < 107);
    }
}
