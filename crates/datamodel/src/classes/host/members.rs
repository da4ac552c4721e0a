//! Messages of `host` that XenServer does not have: proof that a host has stopped, and what follows from it.

use crate::schema::{Lifecycle, Message, Param, Role, Type};

const HOST: Param = Param::new("host", Type::Ref("host"));
const CONFIRM: Param = Param::new("confirm", Type::String);

pub(super) static MESSAGES: &[Message] = &[
    Message {
        name: "holdfast_declare_dead",
        params: &[HOST, CONFIRM],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Internal,
        doc: "Declares that the host is off, in words that name it; a lie costs data.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_forget",
        params: &[HOST, CONFIRM],
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Internal,
        doc: "Takes a host that is gone out of the pool; words that name it as off are the proof if there is no other.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_get_layouts",
        params: &[Param::new("host_uuid", Type::String)],
        result: Type::String,
        role: Role::ReadOnly,
        state: Lifecycle::Internal,
        doc: "Gives the kept layouts of a host's disks, newest first; of all hosts if none is named; also of hosts that are gone (JSON).",
        ..Message::BASE
    },
    Message {
        name: "holdfast_get_liveness",
        params: &[HOST],
        result: Type::String,
        role: Role::ReadOnly,
        state: Lifecycle::Internal,
        doc: "Says whether the host is live, late or dead, since when, on what evidence, and what runs there (JSON).",
        ..Message::BASE
    },
    Message {
        name: "holdfast_get_standing",
        result: Type::String,
        role: Role::ReadOnly,
        state: Lifecycle::Internal,
        doc: "Says how the host that is asked stands in its pool: member, fenced or forgotten (JSON).",
        ..Message::BASE
    },
    Message {
        name: "holdfast_leave",
        role: Role::PoolAdmin,
        state: Lifecycle::Internal,
        doc: "Makes this forgotten host a pool of one, with its local repositories.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_recover",
        params: &[
            HOST,
            Param::new("dry_run", Type::Bool),
            Param::new("start_vms", Type::Bool),
            CONFIRM,
        ],
        result: Type::String,
        role: Role::PoolOperator,
        is_async: true,
        state: Lifecycle::Internal,
        doc: "Recovers from a dead host: verifies, fences, releases, resets, starts its VMs elsewhere in order (JSON).",
        ..Message::BASE
    },
    Message {
        name: "holdfast_rejoin",
        role: Role::PoolAdmin,
        state: Lifecycle::Internal,
        doc: "Takes this forgotten host back into its pool, with its local repositories.",
        ..Message::BASE
    },
    Message {
        name: "holdfast_release_disks",
        params: &[HOST, Param::new("sr", Type::Ref("SR"))],
        result: Type::String,
        role: Role::PoolOperator,
        state: Lifecycle::Internal,
        doc: "Releases the disks of a repository that a fenced host held; says what it found.",
        ..Message::BASE
    },
];
