//! Legal operations of VBDs, VIFs, VDIs and SRs, each from one table for the listing and the refusal.

use crate::vm_ops::Power;

/// What the rules need to know of a VBD.
#[derive(Debug, Clone, Copy)]
pub struct VbdState {
    /// Power state of its VM.
    pub vm_power: Power,
    /// The device is in the guest now.
    pub attached: bool,
    /// It is a CD drive.
    pub is_cd: bool,
    /// No medium.
    pub empty: bool,
    /// Something is being done to it.
    pub busy: bool,
}

/// XenAPI's `vbd_operations` allowed now.
pub fn vbd_allowed(vbd: VbdState) -> Vec<&'static str> {
    if vbd.busy {
        return vec![];
    }
    let live = matches!(vbd.vm_power, Power::Running | Power::Paused);
    let mut ops = vec!["attach"];
    if vbd.is_cd && vbd.vm_power != Power::Suspended {
        ops.push(if vbd.empty { "insert" } else { "eject" });
    }
    if live && vbd.vm_power == Power::Running && !vbd.is_cd {
        if vbd.attached {
            ops.extend(["unplug", "unplug_force"]);
        } else if !vbd.empty {
            ops.push("plug");
        }
    }
    ops
}

/// XenAPI's `vif_operations` allowed now.
pub fn vif_allowed(vm_power: Power, attached: bool, busy: bool) -> Vec<&'static str> {
    if busy {
        return vec![];
    }
    let mut ops = vec!["attach"];
    if vm_power == Power::Running {
        ops.push(if attached { "unplug" } else { "plug" });
    }
    ops
}

/// What the rules need to know of a VDI.
#[derive(Debug, Clone, Copy)]
pub struct VdiState {
    /// Some VBD of a running VM has it open.
    pub open: bool,
    /// Something is being done to it.
    pub busy: bool,
    /// It can't be written (an ISO).
    pub read_only: bool,
    /// It is a snapshot.
    pub is_snapshot: bool,
    /// The repository is plugged on some live host.
    pub sr_attached: bool,
    /// The repository's driver can do these (`VDI_RESIZE` and the like).
    pub can_resize: bool,
    /// See `can_resize`.
    pub can_snapshot: bool,
}

/// XenAPI's `vdi_operations` allowed now.
pub fn vdi_allowed(vdi: VdiState) -> Vec<&'static str> {
    if vdi.busy {
        return vec![];
    }
    let mut ops = vec!["update", "forget", "generate_config"];
    if !vdi.sr_attached {
        ops.retain(|op| *op == "forget");
        return ops;
    }
    if vdi.open {
        ops.retain(|op| *op != "forget");
    }
    if vdi.can_snapshot && !vdi.is_snapshot {
        ops.push("snapshot");
    }
    if !vdi.open {
        ops.push("copy");
        if vdi.can_snapshot {
            ops.push("clone");
        }
        if !vdi.read_only {
            ops.push("destroy");
            if vdi.can_resize && !vdi.is_snapshot {
                ops.push("resize");
            }
        }
    }
    ops
}

/// What the rules need to know of an SR.
#[derive(Debug, Clone, Copy)]
pub struct SrState {
    /// Some host has it plugged.
    pub attached: bool,
    /// Every host has it unplugged.
    pub unplugged_everywhere: bool,
    /// Something is being done to it.
    pub busy: bool,
}

/// XenAPI's `storage_operations` allowed now, given what the driver can do (`VDI_CREATE` ...).
pub fn sr_allowed(sr: SrState, features: &[&str]) -> Vec<&'static str> {
    if sr.busy {
        return vec![];
    }
    let mut ops = vec!["plug", "unplug", "update", "pbd_create", "pbd_destroy"];
    if sr.unplugged_everywhere {
        ops.push("forget");
    }
    if sr.attached {
        ops.extend(["scan", "destroy"]);
        const BY_FEATURE: &[(&str, &str)] = &[
            ("VDI_CREATE", "vdi_create"),
            ("VDI_INTRODUCE", "vdi_introduce"),
            ("VDI_DELETE", "vdi_destroy"),
            ("VDI_RESIZE", "vdi_resize"),
            ("VDI_CLONE", "vdi_clone"),
            ("VDI_SNAPSHOT", "vdi_snapshot"),
        ];
        ops.extend(BY_FEATURE.iter().filter(|(f, _)| features.contains(f)).map(|(_, op)| *op));
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_vdi_is_neither_destroyed_nor_resized() {
        let vdi = VdiState {
            open: true,
            busy: false,
            read_only: false,
            is_snapshot: false,
            sr_attached: true,
            can_resize: true,
            can_snapshot: true,
        };
        let ops = vdi_allowed(vdi);
        assert!(!ops.contains(&"destroy") && !ops.contains(&"resize"));
        assert!(ops.contains(&"snapshot"));
        assert!(vdi_allowed(VdiState { open: false, ..vdi }).contains(&"destroy"));
    }

    #[test]
    fn a_busy_device_allows_nothing() {
        assert!(vif_allowed(Power::Running, true, true).is_empty());
    }

    #[test]
    fn an_empty_drive_takes_a_medium_and_a_full_one_gives_it() {
        let cd = VbdState {
            vm_power: Power::Running,
            attached: true,
            is_cd: true,
            empty: true,
            busy: false,
        };
        assert!(vbd_allowed(cd).contains(&"insert"));
        assert!(vbd_allowed(VbdState { empty: false, ..cd }).contains(&"eject"));
    }
}
