//! Commands: Virtual machines, templates, snapshots and what belongs to a VM.
//!
//! In byte order of their names.

use crate::schema::XeCommand;

pub(super) static COMMANDS: &[XeCommand] = &[
    XeCommand {
        name: "appliance-assert-can-be-recovered",
        required: &["uuid"],
        optional: &["database:"],
        doc: "Fails with the reason unless the appliance could be recovered here.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "appliance-create",
        required: &["name-label"],
        optional: &["name-description"],
        doc: "Makes an appliance: VMs that start and stop together.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "appliance-destroy",
        required: &["uuid"],
        doc: "Removes an appliance; its VMs stay.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "appliance-recover",
        required: &["uuid"],
        optional: &["database:", "force"],
        flags: &["--force"],
        doc: "Recovers an appliance from the metadata on a replicated SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "appliance-shutdown",
        required: &["uuid"],
        optional: &["force"],
        flags: &["--force"],
        doc: "Shuts down the VMs of an appliance, in reverse order.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "appliance-start",
        required: &["uuid"],
        optional: &["paused"],
        flags: &["--paused"],
        doc: "Starts the VMs of an appliance, in order.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "cd-list",
        optional: &["params"],
        common: true,
        doc: "Lists the CDs and ISO images that VMs can use.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "console",
        flags: &["--multiple"],
        selectors: Some("vm"),
        client_io: true,
        doc: "Attaches to the text console of a VM or of the host itself.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "snapshot-clone",
        required: &["new-name-label"],
        optional: &["uuid", "new-name-description"],
        common: true,
        doc: "Makes a template from a snapshot, fast, sharing its disks.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "snapshot-copy",
        required: &["new-name-label"],
        optional: &["uuid", "new-name-description", "sr-uuid"],
        common: true,
        doc: "Makes a template from a snapshot with full copies of its disks.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "snapshot-destroy",
        optional: &["uuid", "snapshot-uuid"],
        doc: "Removes a snapshot's record; its disks stay.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "snapshot-disk-list",
        optional: &["uuid", "snapshot-uuid", "vbd-params", "vdi-params"],
        selectors: Some("vm"),
        common: true,
        doc: "Lists the disks of a snapshot.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "snapshot-export-to-template",
        required: &["filename", "snapshot-uuid"],
        optional: &["preserve-power-state", "compress", "metadata", "excluded-device-types"],
        flags: &["--metadata", "--preserve-power-state"],
        files: &["filename"],
        common: true,
        client_io: true,
        doc: "Writes a snapshot as a template to a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "snapshot-reset-powerstate",
        optional: &["uuid", "snapshot-uuid", "force"],
        flags: &["--force"],
        selectors: Some("vm"),
        common: true,
        doc: "Calls a snapshot halted; only when it surely isn't running.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "snapshot-revert",
        optional: &["uuid", "snapshot-uuid"],
        common: true,
        doc: "Takes a VM back to a snapshot.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "snapshot-uninstall",
        optional: &["uuid", "snapshot-uuid", "force"],
        flags: &["--force"],
        common: true,
        client_io: true,
        doc: "Removes a snapshot with its disks.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "template-export",
        required: &["filename", "template-uuid"],
        optional: &["compress", "metadata", "excluded-device-types"],
        flags: &["--metadata"],
        files: &["filename"],
        common: true,
        client_io: true,
        doc: "Writes a template to a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "template-uninstall",
        required: &["template-uuid"],
        optional: &["force"],
        flags: &["--force"],
        common: true,
        client_io: true,
        doc: "Removes a template with its disks.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vgpu-create",
        required: &["vm-uuid", "gpu-group-uuid"],
        optional: &["vgpu-type-uuid", "device"],
        doc: "Gives a VM a virtual GPU.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vgpu-destroy",
        required: &["uuid"],
        doc: "Takes a virtual GPU away from a VM.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-assert-can-be-recovered",
        required: &["uuid"],
        optional: &["database:"],
        doc: "Fails with the reason unless the VM could be recovered here.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-call-host-plugin",
        required: &["vm-uuid", "plugin", "fn"],
        optional: &["args:"],
        client_io: true,
        doc: "Calls a function of a plugin on the host where a VM runs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-call-plugin",
        required: &["vm-uuid", "plugin", "fn"],
        optional: &["args:"],
        client_io: true,
        doc: "Calls a function of a plugin for a VM.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-cd-add",
        required: &["cd-name", "device"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Gives VMs a CD drive with this CD.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-cd-eject",
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Takes the CD out of VMs' only drive.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-cd-insert",
        required: &["cd-name"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Puts a CD into VMs' only empty drive.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-cd-list",
        optional: &["vbd-params", "vdi-params"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Lists the CDs of VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-cd-remove",
        required: &["cd-name"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Takes the drive with this CD away from VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-checkpoint",
        required: &["new-name-label"],
        optional: &["new-name-description"],
        selectors: Some("vm"),
        common: true,
        doc: "Takes a snapshot of a VM with its memory.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-clone",
        required: &["new-name-label"],
        optional: &["new-name-description"],
        selectors: Some("vm"),
        common: true,
        doc: "Makes a VM from another, fast, sharing its disks.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-compute-maximum-memory",
        required: &["total"],
        optional: &["approximate"],
        flags: &["--approximate", "--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Prints the most memory VMs could have within a total.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-compute-memory-overhead",
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Prints how much memory VMs cost beyond what they see.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-copy",
        required: &["new-name-label"],
        optional: &["new-name-description", "sr-uuid"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Makes a VM from another with full copies of its disks.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-copy-bios-strings",
        required: &["host-uuid"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Gives VMs the BIOS strings of a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-crashdump-list",
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Lists the dumps of VMs' crashes.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-create",
        required: &["name-label"],
        optional: &["name-description"],
        hidden: true,
        doc: "Makes a VM with nothing but defaults.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-data-source-forget",
        required: &["data-source"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Stops recording a data source of VMs and forgets its values.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-data-source-list",
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Lists the data sources of VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-data-source-query",
        required: &["data-source"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Prints the last value of a data source of VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-data-source-record",
        required: &["data-source"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Starts recording a data source of VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-destroy",
        required: &["uuid"],
        doc: "Removes a VM's record; its disks stay.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-disk-add",
        required: &["disk-size", "device"],
        optional: &["sr-uuid"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Makes a disk and gives it to VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-disk-list",
        optional: &["vbd-params", "vdi-params"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Lists the disks of VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-disk-remove",
        required: &["device"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Takes a disk away from VMs and destroys it.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-export",
        required: &["filename"],
        optional: &[
            "preserve-power-state",
            "compress",
            "metadata",
            "excluded-device-types",
            "include-snapshots",
        ],
        flags: &["--include-snapshots", "--metadata", "--preserve-power-state", "--multiple"],
        selectors: Some("vm"),
        files: &["filename"],
        common: true,
        client_io: true,
        doc: "Writes a VM to a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-get-secureboot-readiness",
        required: &["uuid"],
        doc: "Answers whether a VM can use secure boot.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-group-create",
        required: &["name-label", "placement"],
        optional: &["name-description"],
        doc: "Makes a group of VMs with a rule where they run.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-group-destroy",
        required: &["uuid"],
        doc: "Removes a group of VMs; the VMs stay.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-import",
        optional: &[
            "filename",
            "preserve",
            "sr-uuid",
            "force",
            "host-username",
            "host-password",
            "type",
            "remote-config",
            "dry-run",
            "metadata",
            "url",
            "vdi:",
        ],
        flags: &["--dry-run", "--force", "--metadata", "--preserve"],
        files: &["filename"],
        common: true,
        client_io: true,
        doc: "Makes a VM from a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-install",
        required: &["new-name-label"],
        optional: &["sr-name-label", "sr-uuid", "template", "copy-bios-strings-from"],
        common: true,
        doc: "Makes a VM from a template.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-is-bios-customized",
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Answers whether VMs have BIOS strings of their own.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-memory-balloon",
        required: &["target"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        hidden: true,
        deprecated: true,
        doc: "Sets the memory that running VMs should shrink or grow to.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-memory-dynamic-range-set",
        required: &["min", "max"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Sets between which sizes running VMs' memory may move.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-memory-limits-set",
        required: &["static-min", "static-max", "dynamic-min", "dynamic-max"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Sets all four memory limits of VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-memory-set",
        required: &["memory"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Sets the memory of VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-memory-shadow-multiplier-set",
        required: &["multiplier"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Sets how much shadow memory VMs get.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-memory-static-range-set",
        required: &["min", "max"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Sets the outer memory limits of halted VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-memory-target-set",
        required: &["target"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Sets the memory that running VMs should shrink or grow to.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-memory-target-wait",
        flags: &["--multiple"],
        selectors: Some("vm"),
        hidden: true,
        doc: "Waits until VMs have reached their memory target.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-migrate",
        optional: &[
            "live",
            "host",
            "host-uuid",
            "remote-master",
            "remote-username",
            "remote-password",
            "remote-network",
            "force",
            "copy",
            "compress",
            "vif:",
            "vdi:",
            "image-format:",
        ],
        param_aliases: &[("remote-coordinator", "remote-master")],
        flags: &["--copy", "--force", "--live", "--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Moves running VMs to another host, or to another pool.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-pause",
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Pauses running VMs; they stay in memory.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-query-services",
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        hidden: true,
        doc: "Lists the services that VMs offer.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-reboot",
        optional: &["force"],
        flags: &["--force", "--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Reboots VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-recover",
        required: &["uuid"],
        optional: &["database:", "force"],
        flags: &["--force"],
        doc: "Recovers a VM from the metadata on a replicated SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-reset-powerstate",
        optional: &["force"],
        flags: &["--force", "--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Calls VMs halted; only when they surely aren't running.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-restart-device-models",
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Restarts the device emulation of running VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-resume",
        optional: &["force", "on"],
        flags: &["--force", "--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Resumes suspended VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-retrieve-wlb-recommendations",
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Prints which hosts the balancer recommends for VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-set-uefi-mode",
        required: &["uuid", "mode"],
        doc: "Puts a UEFI VM into setup or user mode.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-shutdown",
        optional: &["force"],
        flags: &["--force", "--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Shuts VMs down.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-snapshot",
        required: &["new-name-label"],
        optional: &["new-name-description", "ignore-vdi-uuids"],
        selectors: Some("vm"),
        common: true,
        doc: "Takes a snapshot of a VM's disks.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-snapshot-with-quiesce",
        required: &["new-name-label"],
        optional: &["new-name-description"],
        selectors: Some("vm"),
        common: true,
        doc: "Takes a snapshot with the guest's disks at rest.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-start",
        optional: &["force", "on", "paused"],
        flags: &["--force", "--paused", "--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Starts VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-suspend",
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Suspends VMs to disk.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-sysprep",
        required: &["filename"],
        optional: &["timeout"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        files: &["filename"],
        client_io: true,
        doc: "Runs sysprep in Windows VMs with an answer file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-uninstall",
        optional: &["force"],
        flags: &["--force", "--multiple"],
        selectors: Some("vm"),
        common: true,
        client_io: true,
        doc: "Removes VMs with their disks.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-unpause",
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Lets paused VMs run on.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-update-secureboot-certificates-on-boot",
        required: &["mark"],
        flags: &["--mark", "--multiple"],
        selectors: Some("vm"),
        doc: "Says whether VMs take new secure boot certificates at their next start.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-vcpu-hotplug",
        required: &["new-vcpus"],
        flags: &["--multiple"],
        selectors: Some("vm"),
        doc: "Gives running VMs more or fewer CPUs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vm-vif-list",
        flags: &["--multiple"],
        selectors: Some("vm"),
        common: true,
        doc: "Lists the network interfaces of VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vmss-create",
        required: &["name-label", "type", "frequency"],
        optional: &["name-description", "enabled", "schedule:", "retained-snapshots"],
        flags: &["--enabled"],
        doc: "Makes a schedule of snapshots.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vmss-destroy",
        required: &["uuid"],
        doc: "Removes a schedule of snapshots.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vtpm-create",
        required: &["vm-uuid"],
        optional: &["is-unique"],
        flags: &["--is-unique"],
        doc: "Gives a VM a virtual TPM.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vtpm-destroy",
        required: &["uuid"],
        optional: &["force"],
        flags: &["--force"],
        doc: "Takes a virtual TPM and its contents away from a VM.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vusb-create",
        required: &["usb-group-uuid", "vm-uuid"],
        doc: "Gives a VM a USB device.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vusb-destroy",
        required: &["uuid"],
        doc: "Takes a USB device away from a VM.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "vusb-unplug",
        required: &["uuid"],
        doc: "Detaches a USB device from a running VM.",
        ..XeCommand::BASE
    },
];
