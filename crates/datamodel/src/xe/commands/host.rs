//! Commands: Hosts and their devices.
//!
//! In byte order of their names.

use crate::schema::XeCommand;

pub(super) static COMMANDS: &[XeCommand] = &[
    XeCommand {
        name: "diagnostic-compact",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Gives unused memory of the daemon back to the host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "diagnostic-db-stats",
        doc: "Prints statistics of the pool database.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "diagnostic-gc-stats",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Prints memory statistics of the daemon.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "diagnostic-license-status",
        doc: "Prints the licences of all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "diagnostic-net-stats",
        optional: &["uri", "method", "params"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Prints network statistics by kind of call.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "diagnostic-timing-stats",
        doc: "Prints how long the daemon's operations take.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "diagnostic-vdi-status",
        required: &["uuid"],
        doc: "Prints who uses a VDI and how.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "diagnostic-vm-status",
        required: &["uuid"],
        common: true,
        doc: "Prints why a VM can or cannot start, host by host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "gpu-group-create",
        required: &["name-label"],
        optional: &["name-description"],
        doc: "Makes a group of GPUs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "gpu-group-destroy",
        required: &["uuid"],
        optional: &[""],
        doc: "Removes an empty group of GPUs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "gpu-group-get-remaining-capacity",
        required: &["uuid", "vgpu-type-uuid"],
        doc: "Prints how many more virtual GPUs of a type the group can take.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-all-editions",
        doc: "Lists the editions a host can be given.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-apply-edition",
        required: &["edition"],
        optional: &["host-uuid", "license-server-address", "license-server-port"],
        doc: "Gives a host an edition.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-apply-updates",
        required: &["hash"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Installs the updates of the enabled repositories on a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-backup",
        required: &["file-name"],
        flags: &["--multiple"],
        selectors: Some("host"),
        files: &["file-name"],
        client_io: true,
        doc: "Saves a host's configuration to a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-bugreport-upload",
        optional: &["url", "http_proxy"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Sends a host's diagnostics to support.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-call-plugin",
        required: &["host-uuid", "plugin", "fn"],
        optional: &["args:"],
        client_io: true,
        doc: "Calls a function of a plugin on a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-compute-free-memory",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Prints how much memory of a host is free for VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-compute-memory-overhead",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Prints how much memory running VMs costs a host beyond what they see.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-cpu-info",
        optional: &["uuid"],
        doc: "Prints a host's CPUs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-crashdump-destroy",
        required: &["uuid"],
        doc: "Removes the dump of a host's crash.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-crashdump-upload",
        required: &["uuid"],
        optional: &["url", "http_proxy"],
        doc: "Sends the dump of a host's crash to support.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-data-source-forget",
        required: &["data-source"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Stops recording a data source of a host and forgets its values.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-data-source-list",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Lists the data sources of a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-data-source-query",
        required: &["data-source"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Prints the last value of a data source of a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-data-source-record",
        required: &["data-source"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Starts recording a data source of a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-declare-dead",
        required: &["uuid"],
        client_io: true,
        doc: "Declares that a host is dead; be sure that it is off, or data will be lost.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-disable",
        optional: &["auto-enable"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Lets no more VMs start on a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-disable-display",
        required: &["uuid"],
        doc: "Turns a host's display off at its next start.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-disable-external-auth",
        required: &["host-uuid"],
        optional: &["config:"],
        hidden: true,
        doc: "Stops a host from asking an external directory about users.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-disable-local-storage-caching",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Stops a host from caching disk images on local storage.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-disable-ssh",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Turns SSH off on a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-dmesg",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Prints a host's kernel log.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-emergency-clear-mandatory-guidance",
        local_host: true,
        local_login: true,
        doc: "Forgets what an update still demands of this host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-emergency-disable-tls-verification",
        local_host: true,
        local_login: true,
        doc: "Stops checking certificates of other members on this host; for recovery only.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-emergency-ha-disable",
        optional: &["force", "soft"],
        flags: &["--force", "--soft"],
        local_host: true,
        local_login: true,
        doc: "Turns HA off on this host alone; only when the rest of the pool is lost.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-emergency-management-reconfigure",
        required: &["interface"],
        local_host: true,
        local_login: true,
        doc: "Moves this host's management to another interface without the coordinator.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-emergency-reenable-tls-verification",
        local_host: true,
        local_login: true,
        doc: "Checks certificates of other members on this host again.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-emergency-reset-server-certificate",
        local_host: true,
        local_login: true,
        doc: "Replaces this host's certificate by a new self-signed one.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-enable",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Lets VMs start on a host again.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-enable-display",
        required: &["uuid"],
        doc: "Turns a host's display on at its next start.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-enable-external-auth",
        required: &["host-uuid", "auth-type", "service-name"],
        optional: &["config:"],
        hidden: true,
        doc: "Has a host ask an external directory about users.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-enable-local-storage-caching",
        required: &["sr-uuid"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Has a host cache disk images on a local SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-enable-ssh",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Turns SSH on on a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-evacuate",
        optional: &["network-uuid", "batch-size"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Moves all running VMs away from a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-external-auth-set-ldaps",
        required: &["host-uuid", "ldaps"],
        optional: &["force"],
        flags: &["--force", "--ldaps"],
        hidden: true,
        doc: "Says whether a host speaks LDAPS with the directory.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-forget",
        required: &["uuid"],
        client_io: true,
        doc: "Takes a host that is gone out of the pool.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-get-cpu-features",
        optional: &["uuid"],
        doc: "Prints a host's CPU features.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-get-server-certificate",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Prints a host's certificate.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-get-sm-diagnostics",
        required: &["uuid"],
        doc: "Prints what the storage of a host is doing.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-get-system-status",
        required: &["filename"],
        optional: &["entries", "output"],
        flags: &["--multiple"],
        selectors: Some("host"),
        files: &["filename"],
        client_io: true,
        doc: "Writes a host's diagnostics to a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-get-system-status-capabilities",
        flags: &["--multiple"],
        selectors: Some("host"),
        local_host: true,
        local_login: true,
        doc: "Lists what a host's diagnostics can hold.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-get-thread-diagnostics",
        required: &["uuid"],
        doc: "Prints what the threads of a host's daemon are doing.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-get-vms-which-prevent-evacuation",
        required: &["uuid"],
        doc: "Lists the VMs that would not leave a host, with the reason.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-ha-xapi-healthcheck",
        hidden: true,
        client_io: true,
        local_host: true,
        local_login: true,
        doc: "Answers whether this host's daemon is well.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-is-in-emergency-mode",
        local_host: true,
        local_login: true,
        doc: "Answers whether this host has lost its pool.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-license-add",
        required: &["license-file"],
        optional: &["host-uuid"],
        files: &["license-file"],
        client_io: true,
        doc: "Gives a host a licence from a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-license-remove",
        optional: &["host-uuid"],
        doc: "Takes a host's licence away.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-license-view",
        optional: &["host-uuid"],
        doc: "Prints a host's licence.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-logs-download",
        optional: &["file-name"],
        flags: &["--multiple"],
        selectors: Some("host"),
        files: &["file-name"],
        client_io: true,
        doc: "Writes a host's logs to a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-management-disable",
        local_host: true,
        local_login: true,
        doc: "Stops listening for management on this host's network.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-management-reconfigure",
        required: &["pif-uuid"],
        doc: "Moves a host's management to another PIF.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-notify",
        required: &["type"],
        optional: &["params"],
        hidden: true,
        local_host: true,
        local_login: true,
        doc: "Tells this host that something changed.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-power-on",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Switches a host on.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-prepare-for-poweroff",
        hidden: true,
        doc: "Does what must be done before this host loses its power.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-reboot",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Reboots a disabled host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-refresh-pack-info",
        required: &["host-uuid"],
        hidden: true,
        doc: "Reads again which packs are installed on a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-refresh-server-certificate",
        required: &["host"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Replaces a host's pool-internal certificate.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-reset-server-certificate",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Replaces a host's certificate by a new self-signed one.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-restore",
        required: &["file-name"],
        flags: &["--multiple"],
        selectors: Some("host"),
        files: &["file-name"],
        client_io: true,
        doc: "Restores a host's configuration from a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-retrieve-wlb-evacuate-recommendations",
        required: &["uuid"],
        hidden: true,
        doc: "Prints where the balancer would send a host's VMs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-send-debug-keys",
        required: &["host-uuid", "keys"],
        local_login: true,
        doc: "Sends debug keys to a host's hypervisor.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-server-certificate-install",
        required: &["certificate", "private-key"],
        optional: &["certificate-chain"],
        flags: &["--multiple"],
        selectors: Some("host"),
        files: &["certificate", "private-key", "certificate-chain"],
        client_io: true,
        doc: "Installs a certificate and its key on a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-set-hostname-live",
        required: &["host-uuid", "host-name"],
        selectors: Some("host"),
        doc: "Changes a host's name.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-set-power-on-mode",
        required: &["power-on-mode"],
        optional: &["power-on-config"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Says how a host is switched on.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-shutdown",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Shuts a disabled host down.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-shutdown-agent",
        local_host: true,
        local_login: true,
        doc: "Stops the daemon of this host; VMs run on.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-signal-networking-change",
        hidden: true,
        local_host: true,
        local_login: true,
        doc: "Tells this host's daemon that the network changed.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-sm-dp-destroy",
        required: &["uuid", "dp"],
        optional: &["allow-leak"],
        flags: &["--allow-leak"],
        doc: "Takes down a left-over data path of a VDI on a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-sync-data",
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Copies the pool's files to a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-syslog-reconfigure",
        required: &["host-uuid"],
        doc: "Has a host's logging follow its record.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "host-update-firewalld-service-status",
        local_host: true,
        local_login: true,
        doc: "Opens and closes this host's ports as its record says.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "hostdriver-deselect",
        required: &["uuid"],
        optional: &["force"],
        flags: &["--force"],
        doc: "Goes back to a driver's default variant.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "hostdriver-rescan",
        selectors: Some("host"),
        doc: "Looks again for drivers and their variants.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "hostdriver-select",
        required: &["uuid", "variant-name"],
        doc: "Chooses a driver's variant by name.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "hostdriver-variant-select",
        required: &["uuid"],
        doc: "Chooses a driver's variant.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pci-disable-dom0-access",
        required: &["uuid"],
        doc: "Hides a PCI device from the host at its next start.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pci-enable-dom0-access",
        required: &["uuid"],
        doc: "Gives a PCI device back to the host at its next start.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pci-get-dom0-access-status",
        required: &["uuid"],
        doc: "Prints whether the host uses a PCI device.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pgpu-disable-dom0-access",
        required: &["uuid"],
        doc: "Hides a GPU from the host at its next start.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pgpu-enable-dom0-access",
        required: &["uuid"],
        doc: "Gives a GPU back to the host at its next start.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pusb-scan",
        required: &["host-uuid"],
        doc: "Looks for USB devices of a host.",
        ..XeCommand::BASE
    },
];
