//! Messages of `pool`: updates, licences, telemetry and other settings.

use crate::enums;
use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, Type};

pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "add_repository",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("value", Type::Ref("Repository")),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Adds an update repository to those in use.",
        ..Message::BASE
    },
    Message {
        name: "add_to_guest_agent_config",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("key", Type::String),
            Param::new("value", Type::String),
        ],
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Adds a setting for guest agents.",
        ..Message::BASE
    },
    Message {
        name: "apply_edition",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("edition", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Gives all hosts an edition.",
        ..Message::BASE
    },
    Message {
        name: "check_update_readiness",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("requires_reboot", Type::Bool)],
        result: Type::Set(&Type::STRING_SET),
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Lists what stands in the way of updating.",
        ..Message::BASE
    },
    Message {
        name: "configure_repository_proxy",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("url", Type::String),
            Param::new("username", Type::String),
            Param::new("password", Type::String),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        secret: true,
        doc: "Sets the proxy to the repositories.",
        ..Message::BASE
    },
    Message {
        name: "configure_update_sync",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("update_sync_frequency", Type::Enum(&enums::UPDATE_SYNC_FREQUENCY)),
            Param::new("update_sync_day", Type::Int),
        ],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets how often updates are fetched.",
        ..Message::BASE
    },
    Message {
        name: "disable_local_storage_caching",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Stops all hosts from caching disk images.",
        ..Message::BASE
    },
    Message {
        name: "disable_repository_proxy",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Reaches the repositories without a proxy.",
        ..Message::BASE
    },
    Message {
        name: "enable_local_storage_caching",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Has all hosts cache disk images.",
        ..Message::BASE
    },
    Message {
        name: "get_guest_secureboot_readiness",
        params: &[Param::new("self", Type::Ref("pool"))],
        result: Type::Enum(&enums::POOL_GUEST_SECUREBOOT_READINESS),
        role: Role::PoolOperator,
        state: Lifecycle::Prototyped,
        doc: "Answers whether guests can use secure boot.",
        ..Message::BASE
    },
    Message {
        name: "get_license_state",
        params: &[Param::new("self", Type::Ref("pool"))],
        result: Type::STRING_MAP,
        role: Role::ReadOnly,
        is_async: true,
        doc: "Returns the state of the licence of all hosts together.",
        ..Message::BASE
    },
    Message {
        name: "remove_from_guest_agent_config",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("key", Type::String)],
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Removes a setting for guest agents.",
        ..Message::BASE
    },
    Message {
        name: "remove_repository",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("value", Type::Ref("Repository")),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Removes an update repository from those in use.",
        ..Message::BASE
    },
    Message {
        name: "reset_telemetry_uuid",
        params: &[Param::new("self", Type::Ref("pool"))],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Gives telemetry a new identity.",
        ..Message::BASE
    },
    Message {
        name: "set_igmp_snooping_enabled",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Sets whether multicast goes only where it is wanted.",
        ..Message::BASE
    },
    Message {
        name: "set_repositories",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("value", Type::Set(&Type::Ref("Repository"))),
        ],
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        doc: "Sets the update repositories in use.",
        ..Message::BASE
    },
    Message {
        name: "set_telemetry_next_collection",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::DateTime)],
        role: Role::PoolAdmin,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets when telemetry is collected next.",
        ..Message::BASE
    },
    Message {
        name: "set_update_sync_enabled",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("value", Type::Bool)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Prototyped,
        doc: "Sets whether updates are fetched regularly.",
        ..Message::BASE
    },
    Message {
        name: "set_vswitch_controller",
        params: &[Param::new("address", Type::String)],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Deprecated,
        doc: "Sets the controller of the virtual switches.",
        ..Message::BASE
    },
    Message {
        name: "sync_updates",
        params: &[
            Param::new("self", Type::Ref("pool")),
            Param::new("force", Type::Bool),
            Param::optional("token", Type::String, DefaultValue::Zero),
            Param::optional("token_id", Type::String, DefaultValue::Zero),
            Param::optional("username", Type::String, DefaultValue::Zero),
            Param::optional("password", Type::String, DefaultValue::Zero),
        ],
        result: Type::String,
        role: Role::PoolOperator,
        client_cert: true,
        is_async: true,
        secret: true,
        doc: "Fetches updates from the repositories.",
        ..Message::BASE
    },
];
