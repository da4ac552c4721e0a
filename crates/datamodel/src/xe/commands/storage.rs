//! Commands: Storage.
//!
//! In byte order of their names.

use crate::schema::XeCommand;

pub(super) static COMMANDS: &[XeCommand] = &[
    XeCommand {
        name: "blob-create",
        required: &["name"],
        optional: &[
            "mime-type",
            "vm-uuid",
            "host-uuid",
            "sr-uuid",
            "network-uuid",
            "pool-uuid",
            "public",
        ],
        flags: &["--public"],
        hidden: true,
        doc: "Makes a binary attachment of an object.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "blob-get",
        required: &["uuid", "filename"],
        files: &["filename"],
        hidden: true,
        client_io: true,
        doc: "Writes a binary attachment to a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "blob-put",
        required: &["uuid", "filename"],
        files: &["filename"],
        hidden: true,
        client_io: true,
        doc: "Fills a binary attachment from a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cluster-create",
        required: &["pif-uuid"],
        optional: &[
            "cluster-stack",
            "pool-auto-join",
            "token-timeout",
            "token-timeout-coefficient",
        ],
        flags: &["--pool-auto-join"],
        hidden: true,
        doc: "Makes a storage cluster on one network of the pool.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cluster-destroy",
        required: &["uuid"],
        doc: "Removes a storage cluster.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cluster-host-create",
        required: &["cluster-uuid", "host-uuid", "pif-uuid"],
        hidden: true,
        doc: "Adds a host to a storage cluster.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cluster-host-destroy",
        required: &["uuid"],
        doc: "Takes a host out of a storage cluster.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cluster-host-disable",
        required: &["uuid"],
        doc: "Disables the cluster membership of an enabled host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cluster-host-enable",
        required: &["uuid"],
        doc: "Enables the cluster membership of a disabled host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cluster-host-force-destroy",
        required: &["uuid"],
        doc: "Takes a host out of a storage cluster without asking it.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cluster-pool-create",
        required: &["network-uuid"],
        optional: &["cluster-stack", "token-timeout", "token-timeout-coefficient"],
        doc: "Makes a storage cluster of all hosts of the pool.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cluster-pool-destroy",
        required: &["cluster-uuid"],
        doc: "Removes a storage cluster from all hosts of the pool.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cluster-pool-force-destroy",
        required: &["cluster-uuid"],
        doc: "Removes a storage cluster from all hosts, even those that don't answer.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cluster-pool-resync",
        required: &["cluster-uuid"],
        doc: "Brings the storage cluster of all hosts back into line.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "drtask-create",
        required: &["type"],
        optional: &["device-config:", "sr-whitelist"],
        doc: "Starts disaster recovery: looks for SRs that hold metadata.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "drtask-destroy",
        required: &["uuid"],
        doc: "Ends disaster recovery and lets go of the SRs that nothing uses.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "lvhd-enable-thin-provisioning",
        required: &["sr-uuid", "initial-allocation", "allocation-quantum"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Turns an LVM SR to thin provisioning.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pbd-create",
        required: &["host-uuid", "sr-uuid"],
        optional: &["device-config:"],
        doc: "Describes how a host reaches an SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pbd-destroy",
        required: &["uuid"],
        doc: "Removes an unplugged PBD.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pbd-plug",
        required: &["uuid"],
        doc: "Attaches an SR to a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pbd-unplug",
        required: &["uuid"],
        doc: "Detaches an SR from a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-create",
        required: &["name-label", "type"],
        optional: &[
            "name-description",
            "host-uuid",
            "device-config:",
            "shared",
            "physical-size",
            "content-type",
            "sm-config:",
        ],
        flags: &["--shared"],
        client_io: true,
        doc: "Makes an SR on storage and attaches it to the hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-data-source-forget",
        required: &["data-source"],
        flags: &["--multiple"],
        selectors: Some("sr"),
        doc: "Stops recording a data source of an SR and forgets its values.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-data-source-list",
        flags: &["--multiple"],
        selectors: Some("sr"),
        doc: "Lists the data sources of an SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-data-source-query",
        required: &["data-source"],
        flags: &["--multiple"],
        selectors: Some("sr"),
        doc: "Prints the last value of a data source of an SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-data-source-record",
        required: &["data-source"],
        flags: &["--multiple"],
        selectors: Some("sr"),
        doc: "Starts recording a data source of an SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-destroy",
        required: &["uuid"],
        doc: "Destroys an SR and everything on it.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-disable-database-replication",
        required: &["uuid"],
        doc: "Stops copying the pool database to an SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-enable-database-replication",
        required: &["uuid"],
        doc: "Copies the pool database to an SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-forget",
        required: &["uuid"],
        doc: "Removes an SR's record; the data stay.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-introduce",
        required: &["name-label", "type", "uuid"],
        optional: &["name-description", "shared", "content-type"],
        flags: &["--shared"],
        doc: "Adds a record for an SR that exists on storage.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-probe",
        required: &["type"],
        optional: &["host-uuid", "device-config:", "sm-config:"],
        doc: "Looks what storage is at a place.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-probe-ext",
        required: &["type"],
        optional: &["host-uuid", "device-config:", "sm-config:"],
        doc: "Looks what storage is at a place, in fields.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-scan",
        required: &["uuid"],
        doc: "Looks for new, changed and lost VDIs on an SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "sr-update",
        required: &["uuid"],
        doc: "Reads an SR's size and use again.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vbd-create",
        required: &["vm-uuid", "device"],
        optional: &["vdi-uuid", "bootable", "type", "mode", "unpluggable"],
        flags: &["--bootable"],
        doc: "Describes that a VM uses a VDI, or has an empty drive.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vbd-destroy",
        required: &["uuid"],
        doc: "Removes a VBD; the VDI stays.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vbd-eject",
        required: &["uuid"],
        doc: "Takes the CD out of a drive.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vbd-insert",
        required: &["uuid", "vdi-uuid"],
        doc: "Puts a CD into an empty drive.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vbd-pause",
        required: &["uuid"],
        hidden: true,
        doc: "Stops a running VM's traffic to a disk for a moment.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vbd-plug",
        required: &["uuid"],
        doc: "Attaches a disk to a running VM.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vbd-unpause",
        required: &["uuid", "token"],
        hidden: true,
        doc: "Lets a running VM's traffic to a disk go on.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vbd-unplug",
        required: &["uuid"],
        optional: &["timeout", "force"],
        flags: &["--force"],
        doc: "Detaches a disk from a running VM.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-clone",
        required: &["uuid"],
        optional: &["driver-params-", "new-name-label", "new-name-description"],
        doc: "Makes a writable VDI from another, fast, sharing its data.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-copy",
        required: &["uuid"],
        optional: &["sr-uuid", "base-vdi-uuid", "into-vdi-uuid"],
        doc: "Makes a full copy of a VDI, on the same or another SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-create",
        required: &["sr-uuid", "name-label", "virtual-size"],
        optional: &["sm-config:", "sharable", "tags:", "type"],
        flags: &["--sharable"],
        doc: "Makes a VDI on an SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-data-destroy",
        required: &["uuid"],
        doc: "Removes the data of a snapshot and keeps its list of changed blocks.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-destroy",
        required: &["uuid"],
        doc: "Removes a VDI and its data.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-disable-cbt",
        required: &["uuid"],
        doc: "Stops tracking changed blocks of a VDI.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-enable-cbt",
        required: &["uuid"],
        doc: "Tracks changed blocks of a VDI.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-export",
        required: &["uuid", "filename"],
        optional: &["format", "base", "progress"],
        flags: &["--progress"],
        files: &["filename"],
        client_io: true,
        doc: "Writes the contents of a VDI to a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-forget",
        required: &["uuid"],
        doc: "Removes a VDI's record; the data stay.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-generate-config",
        required: &["host-uuid", "uuid"],
        hidden: true,
        doc: "Prints what a host needs to reach a VDI without a database.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-import",
        required: &["uuid", "filename"],
        optional: &["format", "progress"],
        flags: &["--progress"],
        files: &["filename"],
        client_io: true,
        doc: "Fills a VDI from a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-introduce",
        required: &["uuid", "sr-uuid", "type", "location"],
        optional: &[
            "name-description",
            "sharable",
            "read-only",
            "managed",
            "other-config:",
            "xenstore-data:",
            "sm-config:",
            "name-label",
        ],
        flags: &["--managed", "--read-only", "--sharable"],
        doc: "Adds a record for a VDI that exists on an SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-list-changed-blocks",
        required: &["vdi-from-uuid", "vdi-to-uuid"],
        client_io: true,
        doc: "Prints which blocks differ between two snapshots.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-pool-migrate",
        required: &["uuid", "sr-uuid"],
        optional: &["dest-img-format"],
        doc: "Moves a VDI that a running VM uses to another SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-resize",
        required: &["uuid", "disk-size"],
        optional: &["online"],
        doc: "Makes a VDI larger.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-snapshot",
        required: &["uuid"],
        optional: &["driver-params-"],
        doc: "Makes a read-only snapshot of a VDI.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-unlock",
        required: &["uuid"],
        optional: &["force"],
        flags: &["--force"],
        doc: "Breaks the lock of a VDI; only when nothing surely uses it.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vdi-update",
        required: &["uuid"],
        doc: "Reads a VDI's size and name from the SR again.",
        ..XeCommand::BASE
    },
];
