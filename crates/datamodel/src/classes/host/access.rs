//! Messages of `host`: who may come in: certificates, directories, SSH, licences.

use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, RunsOn, Type};

pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "apply_edition",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("edition", Type::String),
            Param::optional("force", Type::Bool, DefaultValue::Zero),
        ],
        role: Role::PoolOperator,
        runs_on: RunsOn::NamedHost,
        doc: "Gives the host an edition.",
        ..Message::BASE
    },
    Message {
        name: "disable_external_auth",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::optional("config", Type::STRING_MAP, DefaultValue::Zero),
            Param::optional("force", Type::Bool, DefaultValue::Zero),
        ],
        role: Role::PoolAdmin,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Stops asking an external directory.",
        ..Message::BASE
    },
    Message {
        name: "disable_ssh",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Turns SSH off.",
        ..Message::BASE
    },
    Message {
        name: "emergency_disable_tls_verification",
        role: Role::Internal,
        doc: "Stops checking other members' certificates here, for recovery.",
        ..Message::BASE
    },
    Message {
        name: "emergency_reenable_tls_verification",
        role: Role::Internal,
        doc: "Checks other members' certificates here again.",
        ..Message::BASE
    },
    Message {
        name: "emergency_reset_server_certificate",
        role: Role::Internal,
        doc: "Makes a new self-signed certificate.",
        ..Message::BASE
    },
    Message {
        name: "enable_external_auth",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("config", Type::STRING_MAP),
            Param::new("service_name", Type::String),
            Param::new("auth_type", Type::String),
        ],
        role: Role::PoolAdmin,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Asks an external directory about users.",
        ..Message::BASE
    },
    Message {
        name: "enable_ssh",
        params: &[Param::new("self", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Turns SSH on.",
        ..Message::BASE
    },
    Message {
        name: "external_auth_set_ldaps",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("ldaps", Type::Bool),
            Param::optional("force", Type::Bool, DefaultValue::Zero),
        ],
        role: Role::PoolAdmin,
        runs_on: RunsOn::NamedHost,
        doc: "Says whether the directory is asked over LDAPS.",
        ..Message::BASE
    },
    Message {
        name: "get_server_certificate",
        params: &[Param::new("host", Type::Ref("host"))],
        result: Type::String,
        role: Role::ReadOnly,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Returns the certificate shown to clients.",
        ..Message::BASE
    },
    Message {
        name: "install_server_certificate",
        params: &[
            Param::new("host", Type::Ref("host")),
            Param::new("certificate", Type::String),
            Param::new("private_key", Type::String),
            Param::optional("certificate_chain", Type::String, DefaultValue::Zero),
        ],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Installs a certificate and its key.",
        ..Message::BASE
    },
    Message {
        name: "license_add",
        params: &[Param::new("host", Type::Ref("host")), Param::new("contents", Type::String)],
        errors: &["LICENSE_PROCESSING_ERROR"],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        secret: true,
        doc: "Installs a licence.",
        ..Message::BASE
    },
    Message {
        name: "license_apply",
        params: &[Param::new("host", Type::Ref("host")), Param::new("contents", Type::String)],
        errors: &["LICENSE_PROCESSING_ERROR"],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Removed,
        runs_on: RunsOn::NamedHost,
        doc: "Applies a licence, the old way.",
        ..Message::BASE
    },
    Message {
        name: "license_remove",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Removes the licence.",
        ..Message::BASE
    },
    Message {
        name: "refresh_server_certificate",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Replaces the pool-internal certificate.",
        ..Message::BASE
    },
    Message {
        name: "reset_server_certificate",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolAdmin,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Makes a new self-signed certificate.",
        ..Message::BASE
    },
    Message {
        name: "set_console_idle_timeout",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets when an idle console is logged out.",
        ..Message::BASE
    },
    Message {
        name: "set_https_only",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets whether unencrypted HTTP is refused.",
        ..Message::BASE
    },
    Message {
        name: "set_ssh_auto_mode",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Bool)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets whether SSH is on exactly while the API is away.",
        ..Message::BASE
    },
    Message {
        name: "set_ssh_enabled_timeout",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        runs_on: RunsOn::NamedHost,
        doc: "Sets after how many seconds SSH turns off by itself.",
        ..Message::BASE
    },
    Message {
        name: "set_ssl_legacy",
        params: &[Param::new("self", Type::Ref("host")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        runs_on: RunsOn::NamedHost,
        doc: "Sets whether old versions of TLS are allowed; only false is accepted.",
        ..Message::BASE
    },
    Message {
        name: "set_uefi_certificates",
        params: &[Param::new("host", Type::Ref("host")), Param::new("value", Type::String)],
        role: Role::Internal,
        is_async: true,
        state: Lifecycle::Deprecated,
        runs_on: RunsOn::NamedHost,
        doc: "Sets the UEFI certificates.",
        ..Message::BASE
    },
];
