//! Messages of `pool`: who may come in: certificates, directories, SSH.

use crate::enums;
use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, Type};

pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "certificate_install",
        params: &[Param::new("name", Type::String), Param::new("cert", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Installs a certificate of an authority; old form.",
        ..Message::BASE
    },
    Message {
        name: "certificate_list",
        result: Type::STRING_SET,
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Lists the certificates of authorities; old form.",
        ..Message::BASE
    },
    Message {
        name: "certificate_sync",
        role: Role::PoolOperator,
        is_async: true,
        doc: "Copies certificates and revocation lists to all hosts.",
        ..Message::BASE
    },
    Message {
        name: "certificate_uninstall",
        params: &[Param::new("name", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Removes a certificate of an authority; old form.",
        ..Message::BASE
    },
    Message {
        name: "crl_install",
        params: &[Param::new("name", Type::String), Param::new("cert", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Installs a revocation list.",
        ..Message::BASE
    },
    Message {
        name: "crl_list",
        result: Type::STRING_SET,
        role: Role::PoolOperator,
        is_async: true,
        doc: "Lists the revocation lists.",
        ..Message::BASE
    },
    Message {
        name: "crl_uninstall",
        params: &[Param::new("name", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Removes a revocation list.",
        ..Message::BASE
    },
    Message {
        name: "detect_nonhomogeneous_external_auth",
        params: &[Param::new("pool", Type::Ref("pool"))],
        role: Role::PoolOperator,
        doc: "Fails if hosts ask different directories.",
        ..Message::BASE
    },
    Message {
        name: "disable_client_certificate_auth",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Lets nobody in by client certificate any more.",
        ..Message::BASE
    },
    Message {
        name: "disable_external_auth",
        params: &[
            Param::new("pool", Type::Ref("pool")),
            Param::optional("config", Type::STRING_MAP, DefaultValue::Zero),
        ],
        role: Role::PoolAdmin,
        secret: true,
        doc: "Stops all hosts from asking an external directory.",
        ..Message::BASE
    },
    Message {
        name: "disable_ssh",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Turns SSH off on all hosts.",
        ..Message::BASE
    },
    Message {
        name: "disable_ssl_legacy",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Turns old versions of TLS off on all hosts.",
        ..Message::BASE
    },
    Message {
        name: "enable_client_certificate_auth",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("name", Type::String)],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Lets holders of certificates of a name in.",
        ..Message::BASE
    },
    Message {
        name: "enable_external_auth",
        params: &[
            Param::new("pool", Type::Ref("pool")),
            Param::new("config", Type::STRING_MAP),
            Param::new("service_name", Type::String),
            Param::new("auth_type", Type::String),
        ],
        role: Role::PoolAdmin,
        secret: true,
        doc: "Has all hosts ask an external directory.",
        ..Message::BASE
    },
    Message {
        name: "enable_ssh",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Turns SSH on on all hosts.",
        ..Message::BASE
    },
    Message {
        name: "enable_ssl_legacy",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Removed,
        doc: "Turns old versions of TLS on; always refused.",
        ..Message::BASE
    },
    Message {
        name: "enable_tls_verification",
        role: Role::PoolAdmin,
        doc: "Has members check each other's certificates.",
        ..Message::BASE
    },
    Message {
        name: "external_auth_set_ldaps",
        params: &[
            Param::new("pool", Type::Ref("pool")),
            Param::new("ldaps", Type::Bool),
            Param::optional("force", Type::Bool, DefaultValue::Zero),
        ],
        role: Role::PoolAdmin,
        doc: "Says whether the directory is asked over LDAPS.",
        ..Message::BASE
    },
    Message {
        name: "install_ca_certificate",
        params: &[Param::new("name", Type::String), Param::new("cert", Type::String)],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Installs a certificate of an authority.",
        ..Message::BASE
    },
    Message {
        name: "install_trusted_certificate",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("ca", Type::Bool),
            Param::new("cert", Type::String),
            Param::new("purpose", Type::Set(&Type::Enum(&enums::CERTIFICATE_PURPOSE))),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Installs a trusted certificate.",
        ..Message::BASE
    },
    Message {
        name: "set_console_idle_timeout",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets when idle consoles of all hosts are logged out.",
        ..Message::BASE
    },
    Message {
        name: "set_custom_uefi_certificates",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets UEFI certificates of one's own.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_cache_enabled",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets whether the directory's answers are remembered.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_cache_expiry",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets for how many seconds answers are remembered.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_cache_size",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets how many answers are remembered.",
        ..Message::BASE
    },
    Message {
        name: "set_ext_auth_max_threads",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        state: Lifecycle::Prototyped,
        doc: "Sets how many questions are asked at once.",
        ..Message::BASE
    },
    Message {
        name: "set_https_only",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets whether all hosts refuse unencrypted HTTP.",
        ..Message::BASE
    },
    Message {
        name: "set_local_auth_max_threads",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolOperator,
        state: Lifecycle::Prototyped,
        doc: "Sets how many local logins are checked at once.",
        ..Message::BASE
    },
    Message {
        name: "set_ssh_auto_mode",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets on all hosts whether SSH is on exactly while the API is away.",
        ..Message::BASE
    },
    Message {
        name: "set_ssh_enabled_timeout",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Int)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets on all hosts when SSH turns off by itself.",
        ..Message::BASE
    },
    Message {
        name: "set_uefi_certificates",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Sets the UEFI certificates; old form.",
        ..Message::BASE
    },
    Message {
        name: "sync_trusted_certificates_from",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("remote_pool", Type::String),
            Param::new("remote_session", Type::Ref("session")),
            Param::new("remote_certificate", Type::String),
            Param::new("ca", Type::Bool),
        ],
        result: Type::Set(&Type::Ref("Certificate")),
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Prototyped,
        secret: true,
        doc: "Takes over the trusted certificates of another pool.",
        ..Message::BASE
    },
    Message {
        name: "uninstall_ca_certificate",
        params: &[
            Param::new("name", Type::String),
            Param::optional("force", Type::Bool, DefaultValue::Zero),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Removes a certificate of an authority.",
        ..Message::BASE
    },
    Message {
        name: "uninstall_trusted_certificate",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("certificate", Type::Ref("Certificate")),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Removes a trusted certificate.",
        ..Message::BASE
    },
];
