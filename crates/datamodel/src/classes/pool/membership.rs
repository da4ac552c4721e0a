//! Messages of `pool`: members, the coordinator and the pool-wide network.

use crate::schema::{DefaultValue, Lifecycle, Message, Param, Role, Type};

pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "create_VLAN",
        params: &[
            Param::new("device", Type::String),
            Param::new("network", Type::Ref("network")),
            Param::new("VLAN", Type::Int),
        ],
        result: Type::Set(&Type::Ref("PIF")),
        errors: &["VLAN_TAG_INVALID"],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Makes a VLAN on a device of every host; old form.",
        ..Message::BASE
    },
    Message {
        name: "create_VLAN_from_PIF",
        params: &[
            Param::new("pif", Type::Ref("PIF")),
            Param::new("network", Type::Ref("network")),
            Param::new("VLAN", Type::Int),
        ],
        result: Type::Set(&Type::Ref("PIF")),
        errors: &["VLAN_TAG_INVALID"],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Makes a VLAN on the same PIF of every host.",
        ..Message::BASE
    },
    Message {
        name: "create_new_blob",
        params: &[
            Param::new("pool", Type::Ref("pool")),
            Param::new("name", Type::String),
            Param::new("mime_type", Type::String),
            Param::optional("public", Type::Bool, DefaultValue::Zero),
        ],
        result: Type::Ref("blob"),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Makes a binary attachment of the pool.",
        ..Message::BASE
    },
    Message {
        name: "designate_new_master",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Hands the coordinator's role to a host.",
        ..Message::BASE
    },
    Message {
        name: "eject",
        params: &[Param::new("host", Type::Ref("host"))],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Takes a host out of the pool; its local disks are wiped.",
        ..Message::BASE
    },
    Message {
        name: "emergency_reset_master",
        params: &[Param::new("master_address", Type::String)],
        role: Role::PoolOperator,
        doc: "Tells this member where the coordinator is now.",
        ..Message::BASE
    },
    Message {
        name: "emergency_transition_to_master",
        role: Role::PoolOperator,
        doc: "Makes this member the coordinator.",
        ..Message::BASE
    },
    Message {
        name: "has_extension",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("name", Type::String)],
        result: Type::Bool,
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Answers whether all hosts have an extension.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_emergency_transition",
        params: &[
            Param::new("confirm", Type::String),
            Param::new("force", Type::Bool),
            Param::new("dry_run", Type::Bool),
        ],
        result: Type::String,
        role: Role::PoolAdmin,
        state: Lifecycle::Internal,
        doc: "Makes this member found a new database with what it has; the statement names the hosts that are off. A report as JSON.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_join",
        params: &[Param::new("request", Type::String)],
        result: Type::String,
        role: Role::PoolAdmin,
        state: Lifecycle::Internal,
        secret: true,
        doc: "Takes a joining host's signing request; answers with what it needs to become a member.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_lineage",
        result: Type::String,
        role: Role::ReadOnly,
        state: Lifecycle::Internal,
        doc: "Says which lineage of the pool's database this is, what recoveries it had and what only stale hosts had (JSON).",
        ..Message::BASE
    },
    Message {
        name: "holdfast_readiness",
        result: Type::String,
        role: Role::ReadOnly,
        state: Lifecycle::Internal,
        doc: "Says for each kind of failure whether the pool would survive it now (JSON).",
        ..Message::BASE
    },
    Message {
        name: "holdfast_restore_report",
        result: Type::String,
        role: Role::ReadOnly,
        state: Lifecycle::Internal,
        doc: "Says of each repository and VM whether it can be used now, and why not (JSON).",
        ..Message::BASE
    },
    Message {
        name: "holdfast_status",
        result: Type::String,
        role: Role::ReadOnly,
        state: Lifecycle::Internal,
        doc: "Says what is true of the pool as the host that is asked sees it (JSON).",
        ..Message::BASE
    },
    Message {
        name: "join",
        params: &[
            Param::new("master_address", Type::String),
            Param::new("master_username", Type::String),
            Param::new("master_password", Type::String),
        ],
        errors: &["JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS"],
        role: Role::PoolOperator,
        is_async: true,
        secret: true,
        doc: "Joins this pool of one host to another.",
        ..Message::BASE
    },
    Message {
        name: "join_force",
        params: &[
            Param::new("master_address", Type::String),
            Param::new("master_username", Type::String),
            Param::new("master_password", Type::String),
        ],
        role: Role::PoolOperator,
        is_async: true,
        secret: true,
        doc: "Joins even if CPUs or other things differ.",
        ..Message::BASE
    },
    Message {
        name: "management_reconfigure",
        params: &[Param::new("network", Type::Ref("network"))],
        errors: &[
            "CANNOT_PLUG_BOND_SLAVE",
            "HA_IS_ENABLED",
            "PIF_HAS_NO_NETWORK_CONFIGURATION",
            "PIF_HAS_NO_V6_NETWORK_CONFIGURATION",
            "PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE",
            "PIF_NOT_PRESENT",
        ],
        role: Role::PoolOperator,
        is_async: true,
        doc: "Moves the management of all hosts to another network.",
        ..Message::BASE
    },
    Message {
        name: "recover_slaves",
        result: Type::Set(&Type::Ref("host")),
        role: Role::PoolOperator,
        is_async: true,
        doc: "Tells members that lost the coordinator that this host is it.",
        ..Message::BASE
    },
    Message {
        name: "rotate_secret",
        errors: &[
            "CANNOT_CONTACT_HOST",
            "HA_IS_ENABLED",
            "HOST_IS_SLAVE",
            "INTERNAL_ERROR",
            "NOT_SUPPORTED_DURING_UPGRADE",
        ],
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Replaces the pool's secret.",
        ..Message::BASE
    },
    Message {
        name: "send_test_post",
        params: &[
            Param::new("host", Type::String),
            Param::new("port", Type::Int),
            Param::new("body", Type::String),
        ],
        result: Type::String,
        role: Role::PoolAdmin,
        is_async: true,
        doc: "Sends text to a host and returns the answer.",
        ..Message::BASE
    },
    Message {
        name: "sync_database",
        role: Role::PoolOperator,
        is_async: true,
        doc: "Waits until all hosts have the latest database.",
        ..Message::BASE
    },
    Message {
        name: "test_archive_target",
        params: &[Param::new("self", Type::Ref("pool")), Param::new("config", Type::STRING_MAP)],
        result: Type::String,
        role: Role::PoolOperator,
        secret: true,
        doc: "Tries whether an archive target can be used.",
        ..Message::BASE
    },
];
