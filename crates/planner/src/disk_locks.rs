//! Who may have a VDI open: at most one VM for writing, or any number for reading (S1-12).
//!
//! A lock is a plain record, never bound to a lease: only the holder's proven stop or a fence removes it (design.md
//! section 5). This module only decides; the commit that takes the lock guards the record it decided on.

use uuid::Uuid;

/// How a VDI is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For reading.
    ReadOnly,
    /// For writing.
    ReadWrite,
}

/// Who has a VDI open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The VDI.
    pub vdi: Uuid,
    /// The VM, if a VM holds it (a copy or an export holds it without one).
    pub vm: Option<Uuid>,
    /// The VM's label.
    pub vm_label: String,
    /// The host on which it is open.
    pub host: Uuid,
    /// The host's label.
    pub host_label: String,
    /// How.
    pub mode: Mode,
    /// Since when, seconds since the epoch.
    pub since: i64,
    /// That boot of the host is fenced.
    pub fenced: bool,
    /// The host is known to be alive.
    pub live: bool,
}

impl Holder {
    /// The text of `VDI <uuid> already attached RW`, with the VM, the host, since when, whether fenced, and the command
    /// that resolves it (S1-11).
    pub fn text(&self, since: &str) -> String {
        let mode = match self.mode {
            Mode::ReadOnly => "RO",
            Mode::ReadWrite => "RW",
        };
        let by = match self.vm {
            Some(vm) => format!("VM '{}' ({vm})", self.vm_label),
            None => "a copy or export in progress".to_owned(),
        };
        let (state, way_out) = match (self.fenced, self.vm) {
            (true, _) => (
                "that boot of the host is fenced, so it is void and being cleaned up",
                "try again in a moment".to_owned(),
            ),
            (false, _) if self.host.is_nil() => (
                "the host is not fenced, since there is none",
                format!(
                    "xe vm-resume uuid={0}, or xe vm-shutdown uuid={0} force=true",
                    self.vm.unwrap_or_default()
                ),
            ),
            (false, _) if !self.live => (
                "the host does not answer and is not fenced",
                format!("xe host-recover uuid={}", self.host),
            ),
            (false, Some(vm)) => ("the host is not fenced", format!("xe vm-shutdown uuid={vm}")),
            (false, None) => ("the host is not fenced", "xe task-list".to_owned()),
        };
        format!(
            "VDI {} already attached {mode} by {by} on host '{}' ({}) since {since}; {state}. \
             To free it: {way_out}",
            self.vdi, self.host_label, self.host
        )
    }
}

/// Whether `wanted` can be granted beside `holders`; the first holder in the way otherwise. A VM never stands in its own
/// way: the caller leaves out its own earlier lock when it repeats a step.
pub fn conflict(holders: &[Holder], wanted: Mode, sharable: bool) -> Option<&Holder> {
    if sharable {
        return None;
    }
    holders.iter().find(|h| wanted == Mode::ReadWrite || h.mode == Mode::ReadWrite)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(mode: Mode) -> Holder {
        Holder {
            vdi: Uuid::from_u128(1),
            vm: Some(Uuid::from_u128(2)),
            vm_label: "web1".to_owned(),
            host: Uuid::from_u128(3),
            host_label: "h1".to_owned(),
            mode,
            since: 0,
            fenced: false,
            live: true,
        }
    }

    #[test]
    fn one_writer_or_many_readers() {
        assert!(conflict(&[], Mode::ReadWrite, false).is_none());
        assert!(conflict(&[holder(Mode::ReadOnly)], Mode::ReadOnly, false).is_none());
        assert!(conflict(&[holder(Mode::ReadOnly)], Mode::ReadWrite, false).is_some());
        assert!(conflict(&[holder(Mode::ReadWrite)], Mode::ReadOnly, false).is_some());
        assert!(conflict(&[holder(Mode::ReadWrite)], Mode::ReadWrite, true).is_none());
    }

    /// proves: S1-11 (table)
    #[test]
    fn the_refusal_names_vm_host_time_fence_and_the_way_out() {
        let text = holder(Mode::ReadWrite).text("20260101T00:00:00Z");
        for part in [
            "already attached RW",
            "web1",
            "h1",
            "20260101T00:00:00Z",
            "not fenced",
            "xe vm-shutdown uuid=",
        ] {
            assert!(text.contains(part), "{part} missing in {text}");
        }
        let silent = Holder { live: false, ..holder(Mode::ReadWrite) }.text("then");
        assert!(silent.contains("xe host-recover uuid="), "{silent}");
    }
}
