//! Commands: The pool.
//!
//! In byte order of their names.

use crate::schema::XeCommand;

pub(super) static COMMANDS: &[XeCommand] = &[
    XeCommand {
        name: "pool-apply-edition",
        required: &["edition"],
        optional: &["uuid", "license-server-address", "license-server-port"],
        doc: "Gives all hosts an edition.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-certificate-install",
        required: &["filename"],
        files: &["filename"],
        client_io: true,
        deprecated: true,
        doc: "Installs a certificate of an authority on all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-certificate-list",
        deprecated: true,
        doc: "Lists the certificates of authorities.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-certificate-sync",
        doc: "Copies certificates and revocation lists to all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-certificate-uninstall",
        required: &["name"],
        deprecated: true,
        doc: "Removes a certificate of an authority from all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-configure-repository-proxy",
        required: &["proxy-url"],
        optional: &["proxy-username", "proxy-password"],
        doc: "Says through which proxy update repositories are reached.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-configure-update-sync",
        required: &["update-sync-frequency", "update-sync-day"],
        doc: "Says how often updates are looked for.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-crl-install",
        required: &["filename"],
        files: &["filename"],
        client_io: true,
        doc: "Installs a revocation list on all hosts.",
        ..XeCommand::BASE
    },
    XeCommand { name: "pool-crl-list", doc: "Lists the revocation lists.", ..XeCommand::BASE },
    XeCommand {
        name: "pool-crl-uninstall",
        required: &["name"],
        doc: "Removes a revocation list from all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-deconfigure-wlb",
        doc: "Forgets the workload balancer.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-designate-new-master",
        aliases: &["pool-designate-new-coordinator"],
        required: &["host-uuid"],
        doc: "Hands the coordinator's role to another host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-disable-binary-storage",
        hidden: true,
        doc: "Stops keeping binary attachments, and removes them.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-disable-client-certificate-auth",
        doc: "Lets nobody in by client certificate any more.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-disable-external-auth",
        optional: &["uuid", "config:"],
        doc: "Stops all hosts from asking an external directory about users.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-disable-local-storage-caching",
        required: &["uuid"],
        doc: "Stops all hosts from caching disk images.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-disable-redo-log",
        doc: "Stops writing database changes to an SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-disable-repository-proxy",
        doc: "Reaches update repositories without a proxy.",
        ..XeCommand::BASE
    },
    XeCommand { name: "pool-disable-ssh", doc: "Turns SSH off on all hosts.", ..XeCommand::BASE },
    XeCommand {
        name: "pool-disable-ssl-legacy",
        optional: &["uuid"],
        deprecated: true,
        doc: "Turns old versions of TLS off on all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-dump-database",
        required: &["file-name"],
        files: &["file-name"],
        client_io: true,
        doc: "Saves the pool database to a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-eject",
        required: &["host-uuid"],
        client_io: true,
        doc: "Takes a host out of the pool; its local disks are wiped.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-emergency-reset-master",
        aliases: &["pool-emergency-reset-coordinator"],
        required: &["master-address"],
        param_aliases: &[("coordinator-address", "master-address")],
        local_host: true,
        local_login: true,
        doc: "Tells this member where its coordinator is now.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-emergency-transition-to-master",
        aliases: &["pool-emergency-transition-to-coordinator"],
        optional: &["force"],
        flags: &["--force"],
        local_host: true,
        local_login: true,
        doc: "Makes this member the coordinator when the old one is lost for good.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-enable-binary-storage",
        hidden: true,
        doc: "Keeps binary attachments.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-enable-client-certificate-auth",
        required: &["name"],
        doc: "Lets holders of certificates of a name in.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-enable-external-auth",
        required: &["auth-type", "service-name"],
        optional: &["uuid", "config:"],
        doc: "Has all hosts ask an external directory about users.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-enable-local-storage-caching",
        required: &["uuid"],
        doc: "Has all hosts cache disk images on their local SR.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-enable-redo-log",
        required: &["sr-uuid"],
        doc: "Writes database changes to an SR too.",
        ..XeCommand::BASE
    },
    XeCommand { name: "pool-enable-ssh", doc: "Turns SSH on on all hosts.", ..XeCommand::BASE },
    XeCommand {
        name: "pool-enable-tls-verification",
        doc: "Has members check each other's certificates; there is no way back.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-external-auth-set-ldaps",
        required: &["ldaps"],
        optional: &["uuid", "force"],
        flags: &["--force", "--ldaps"],
        doc: "Says whether all hosts speak LDAPS with the directory.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-get-cpu-features",
        doc: "Prints the CPU features that all hosts have.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-get-guest-secureboot-readiness",
        doc: "Answers whether guests can use secure boot.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-ha-compute-hypothetical-max-host-failures-to-tolerate",
        optional: &["vm-uuid", "restart-priority"],
        doc: "Prints how many host failures HA could absorb with these VMs protected.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-ha-compute-max-host-failures-to-tolerate",
        doc: "Prints how many host failures HA can absorb now.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-ha-compute-vm-failover-plan",
        required: &["host-uuids"],
        hidden: true,
        doc: "Prints where VMs would be restarted if these hosts failed.",
        ..XeCommand::BASE
    },
    XeCommand { name: "pool-ha-disable", doc: "Turns HA off.", ..XeCommand::BASE },
    XeCommand {
        name: "pool-ha-enable",
        optional: &["heartbeat-sr-uuids", "ha-config:"],
        doc: "Turns HA on, with heartbeats on these SRs.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-ha-prevent-restarts-for",
        required: &["seconds"],
        hidden: true,
        doc: "Keeps HA from restarting VMs for some seconds.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-initialize-wlb",
        required: &[
            "wlb_url",
            "wlb_username",
            "wlb_password",
            "xenserver_username",
            "xenserver_password",
        ],
        doc: "Connects the pool with a workload balancer.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-install-ca-certificate",
        required: &["filename"],
        files: &["filename"],
        client_io: true,
        doc: "Installs a certificate of an authority on all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-install-trusted-certificate",
        required: &["filename", "ca"],
        optional: &["uuid", "purpose"],
        files: &["filename"],
        client_io: true,
        doc: "Installs a trusted certificate on all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-join",
        required: &["master-address", "master-username", "master-password"],
        optional: &["force"],
        param_aliases: &[
            ("coordinator-address", "master-address"),
            ("coordinator-username", "master-username"),
            ("coordinator-password", "master-password"),
        ],
        flags: &["--force"],
        doc: "Joins this pool of one host to another pool.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-management-reconfigure",
        required: &["network-uuid"],
        doc: "Moves the management of all hosts to another network.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-recover-slaves",
        aliases: &["pool-recover-members"],
        doc: "Tells members that lost the coordinator that this host is it; prints who answered.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-reset-telemetry-uuid",
        doc: "Gives telemetry a new identity.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-restore-database",
        required: &["file-name"],
        optional: &["dry-run"],
        flags: &["--dry-run"],
        files: &["file-name"],
        client_io: true,
        doc: "Restores the pool database from a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-retrieve-wlb-configuration",
        doc: "Prints the settings of the workload balancer.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-retrieve-wlb-diagnostics",
        optional: &["filename"],
        files: &["filename"],
        client_io: true,
        local_host: true,
        doc: "Prints the log of the workload balancer.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-retrieve-wlb-recommendations",
        doc: "Prints which moves the workload balancer recommends.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-retrieve-wlb-report",
        required: &["report"],
        optional: &["filename"],
        files: &["filename"],
        client_io: true,
        local_host: true,
        doc: "Prints a report of the workload balancer.",
        ..XeCommand::BASE
    },
    XeCommand { name: "pool-secret-rotate", doc: "Replaces the pool's secret.", ..XeCommand::BASE },
    XeCommand {
        name: "pool-send-test-post",
        required: &["dest-host", "dest-port", "body"],
        doc: "Sends text to a host and prints the answer: a test of connections.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-send-wlb-configuration",
        optional: &["config:"],
        doc: "Changes settings of the workload balancer.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-set-update-sync-enabled",
        required: &["value"],
        flags: &["--value"],
        doc: "Turns the regular search for updates on or off.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-set-vswitch-controller",
        required: &["address"],
        hidden: true,
        doc: "Says which controller the virtual switches obey.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-sync-bundle",
        required: &["filename"],
        files: &["filename"],
        client_io: true,
        doc: "Takes updates from a bundle file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-sync-database",
        doc: "Copies the pool database to all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-sync-updates",
        optional: &["force", "token", "token-id", "username", "password"],
        flags: &["--force"],
        doc: "Fetches updates from the enabled repositories.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-uninstall-ca-certificate",
        required: &["name"],
        optional: &["force"],
        flags: &["--force"],
        doc: "Removes a certificate of an authority from all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-uninstall-trusted-certificate",
        required: &["certificate-uuid"],
        optional: &["uuid"],
        doc: "Removes a trusted certificate from all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "pool-vlan-create",
        required: &["pif-uuid", "vlan", "network-uuid"],
        doc: "Makes a VLAN on the same PIF of every host.",
        ..XeCommand::BASE
    },
];
