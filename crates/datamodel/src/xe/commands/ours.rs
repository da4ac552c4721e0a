//! Commands that XenServer does not have, named after its habits.
//!
//! In byte order of their names. The comparison with the reference leaves them out.

use crate::schema::XeCommand;

pub(super) static COMMANDS: &[XeCommand] = &[
    XeCommand {
        name: "host-diagnose",
        optional: &["host-uuid"],
        local_host: true,
        local_login: true,
        doc: "Says what is wrong with a host (this one unless another is named), what proves it and what to do.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-layout-export",
        required: &["file-name"],
        optional: &["uuid"],
        files: &["file-name"],
        client_io: true,
        doc: "Saves the kept layouts of a host's disks (of all hosts unless one is named) to a file: evidence for \
              holdfast-rescue scan and repair.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-layout-list",
        optional: &["uuid"],
        doc: "Lists how each host's disks were laid out and what lay on them, also of hosts that are gone.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-leave",
        local_host: true,
        local_login: true,
        doc: "Makes this host, which its pool has forgotten, a pool of one; its local repositories stay.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-liveness",
        optional: &["uuid"],
        doc: "Says of each host whether it is live, late or dead, on what evidence, and what runs there.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-maintenance-enter",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Takes a host out of service: disables it, hands the coordinator's role over, moves its VMs away.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-maintenance-leave",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Takes a host into service again and brings back the VMs that had left.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-recover",
        required: &["uuid"],
        optional: &["confirm", "dry-run", "force", "start-vms"],
        flags: &["--dry-run", "--force"],
        client_io: true,
        doc: "Recovers from a dead host: proves it stopped, releases what it held, starts its VMs elsewhere in order.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-rejoin",
        local_host: true,
        local_login: true,
        doc: "Takes this host, which its pool has forgotten, back into it; its local repositories stay.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-release-disks",
        required: &["host-uuid", "sr-uuid"],
        doc: "Releases the disks of a repository that a dead host held; resetvdis.py does the same.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-standing",
        local_host: true,
        local_login: true,
        doc: "Says how this host stands in its pool: member, fenced or forgotten, and what to do.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-ha-status",
        local_login: true,
        doc: "Says what high availability promises, how each host's end would be proved, which hosts failed, and which VMs \
              start, wait or stay off, and why.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-lineage",
        local_host: true,
        local_login: true,
        doc: "Shows which lineage of its database the pool is in, the recoveries it had, and what only stale hosts had.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-readiness",
        local_login: true,
        doc: "Says for each kind of failure whether the pool would survive it now, and what is missing.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-restore-report",
        doc: "Says of each repository and VM whether it can be used now, and why not; after a restore.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-status",
        local_host: true,
        local_login: true,
        doc: "Says what is true of the pool as this host sees it, who says so, and the next command; for monitoring too.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-adopt",
        optional: &[
            "confirm",
            "device",
            "device-config:",
            "dry-run",
            "host-uuid",
            "location",
            "name-label",
            "shared",
            "type",
            "uuid",
        ],
        flags: &["--dry-run"],
        doc: "Takes a repository that is at a place into the pool, with its disks and VMs; nothing at the place is changed. \
              Run again it goes on where it stopped. With device (a disk, partition or image with a XenServer repository, only \
              read) its disks are copied into a new repository at location.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-repair",
        required: &["uuid"],
        optional: &["device-config:", "dry-run", "host-uuid"],
        flags: &["--dry-run"],
        doc: "Makes the missing attachments of a repository on each host, plugs them, and says which failed and why.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-create-from-disk",
        required: &["vdi-uuid"],
        optional: &["dry-run", "new-name-label"],
        flags: &["--dry-run"],
        doc: "Makes a halted VM that boots from an existing disk; no other disk and no installer take part.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-start-in-order",
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Starts VMs by their order and start-delay, and says which run and which don't.",
        ..XeCommand::BASE
    },
];

/// Parameters of XenServer's commands that only Holdfast has: command, parameters.
pub(super) static PARAMETERS: &[(&str, &[&str])] = &[
    ("host-declare-dead", &["confirm", "force"]),
    ("host-forget", &["confirm", "force"]),
    ("host-restore", &["dry-run"]),
    ("pool-restore-database", &["confirm", "nic-map:", "pool-key-file", "sr-map:"]),
    ("vm-reset-powerstate", &["confirm"]),
];
