//! Commands: Everything else: updates, users, tasks, messages, sessions.
//!
//! In byte order of their names.

use crate::schema::XeCommand;

pub(super) static COMMANDS: &[XeCommand] = &[
    XeCommand {
        name: "audit-log-get",
        required: &["filename"],
        optional: &["since"],
        files: &["filename"],
        client_io: true,
        doc: "Writes the audit log to a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "caller-create",
        optional: &["name-label", "name-description", "user-agent", "client-ip"],
        doc: "Describes a kind of API caller, to count and limit its calls.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "caller-destroy",
        required: &["uuid"],
        doc: "Forgets a kind of API caller.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "caller-list-usage",
        doc: "Lists how much each kind of caller uses the API.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "caller-query-usage",
        optional: &["uuid", "group"],
        doc: "Prints how much one kind of caller uses the API.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "event-wait",
        required: &["class"],
        doc: "Waits for an event of a class that satisfies the given conditions.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "message-create",
        required: &["name", "priority", "body"],
        optional: &["vm-uuid", "host-uuid", "sr-uuid", "pool-uuid"],
        doc: "Makes a message that people will read.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "message-destroy",
        optional: &["uuid", "uuids"],
        doc: "Dismisses messages.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "message-destroy-all",
        optional: &["before", "after", "priority"],
        doc: "Dismisses all messages, or those before, after or of a priority.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "observer-create",
        required: &["name-label"],
        optional: &[
            "host-uuids",
            "name-description",
            "enabled",
            "attributes",
            "endpoints",
            "components",
        ],
        flags: &["--enabled"],
        doc: "Makes an observer that traces components.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "observer-destroy",
        required: &["uuid"],
        doc: "Removes an observer.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "patch-apply",
        required: &["uuid", "host-uuid"],
        doc: "Applies an uploaded patch to a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "patch-clean",
        required: &["uuid"],
        doc: "Removes a patch's file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "patch-destroy",
        required: &["uuid"],
        doc: "Removes a patch that is applied nowhere.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "patch-pool-apply",
        required: &["uuid"],
        doc: "Applies an uploaded patch to all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "patch-pool-clean",
        required: &["uuid"],
        doc: "Removes a patch's files from all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "patch-precheck",
        required: &["uuid", "host-uuid"],
        doc: "Tries whether a patch could be applied to a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "patch-upload",
        required: &["file-name"],
        files: &["file-name"],
        client_io: true,
        doc: "Uploads a patch from a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "rate-limit-add-caller",
        required: &["uuid", "caller-uuid"],
        doc: "Puts a kind of caller under a rate limit.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "rate-limit-create",
        required: &["burst-size", "fill-rate"],
        optional: &["name-label", "name-description", "caller-uuids"],
        doc: "Makes a rate limit for API callers.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "rate-limit-destroy",
        required: &["uuid"],
        doc: "Removes a rate limit.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "rate-limit-remove-caller",
        required: &["uuid", "caller-uuid"],
        doc: "Takes a kind of caller out of a rate limit.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "repository-forget",
        required: &["uuid"],
        doc: "Forgets an update repository.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "repository-introduce",
        required: &["name-label", "binary-url", "source-url", "update"],
        optional: &["name-description", "gpgkey-path"],
        flags: &["--update"],
        doc: "Describes an update repository.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "repository-introduce-bundle",
        required: &["name-label"],
        optional: &["name-description"],
        doc: "Describes an update repository that is filled from bundle files.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "repository-introduce-remote-pool",
        required: &["name-label", "binary-url", "certificate-file"],
        optional: &["name-description"],
        files: &["certificate-file"],
        client_io: true,
        doc: "Describes an update repository on another pool.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "repository-set-gpgkey-path",
        required: &["uuid", "gpgkey-path"],
        doc: "Says with which key a repository is signed.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "secret-create",
        required: &["value"],
        flags: &["--value"],
        doc: "Keeps a secret in the pool.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "secret-destroy",
        required: &["uuid"],
        doc: "Forgets a secret.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "session-subject-identifier-list",
        doc: "Lists the external users who are logged in.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "session-subject-identifier-logout",
        required: &["subject-identifier"],
        doc: "Logs an external user out everywhere.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "session-subject-identifier-logout-all",
        doc: "Logs all external users out everywhere.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "subject-add",
        required: &["subject-name"],
        doc: "Lets an external user or group in.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "subject-remove",
        required: &["subject-uuid"],
        doc: "Lets an external user or group in no longer.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "subject-role-add",
        required: &["uuid"],
        optional: &["role-name", "role-uuid"],
        doc: "Gives an external user or group a role.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "subject-role-remove",
        required: &["uuid"],
        optional: &["role-name", "role-uuid"],
        doc: "Takes a role away from an external user or group.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "task-cancel",
        required: &["uuid"],
        doc: "Asks a task to stop; it undoes what it did.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "update-apply",
        required: &["uuid"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Applies an update to a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "update-destroy",
        required: &["uuid"],
        doc: "Forgets an update that is applied nowhere.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "update-introduce",
        required: &["vdi-uuid"],
        doc: "Adds a record for an update on a VDI.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "update-pool-apply",
        required: &["uuid"],
        doc: "Applies an update to all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "update-pool-clean",
        required: &["uuid"],
        doc: "Removes an update's files from all hosts.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "update-precheck",
        required: &["uuid"],
        flags: &["--multiple"],
        selectors: Some("host"),
        doc: "Tries whether an update could be applied to a host.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "update-resync-host",
        required: &["host-uuid"],
        hidden: true,
        doc: "Reads again which updates a host has.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "update-upload",
        required: &["file-name"],
        optional: &["sr-uuid"],
        files: &["file-name"],
        client_io: true,
        doc: "Uploads an update from a file.",
        ..XeCommand::BASE
    },
    XeCommand {
        name: "user-password-change",
        required: &["new"],
        optional: &["old"],
        doc: "Changes your own password.",
        ..XeCommand::BASE
    },
];
