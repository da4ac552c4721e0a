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
        name: "pool-status",
        local_host: true,
        local_login: true,
        doc: "Says what is true of the pool as this host sees it, who says so, and the next command; for monitoring too.",
        ..XeCommand::BASE
    },
];
