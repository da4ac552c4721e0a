//! The shape of the datamodel: what a class, field, message, type, role and `xe` record is made of.
//!
//! Only definitions; the facts are in `classes/`, `enums.rs`, `errors.rs` and `xe/`.

/// Where in its life an element of the interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// Part of the interface.
    Published,
    /// May change or go.
    Prototyped,
    /// Works, but callers should move on.
    Deprecated,
    /// Answers `MESSAGE_REMOVED`.
    Removed,
    /// Pool-internal: callable by members only, absent from the public reference.
    Internal,
}

/// A XenAPI type. Written on the wire names as in the reference: `VM ref set`, `(string -> string) map`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Nothing.
    Void,
    /// UTF-8 text.
    String,
    /// 64-bit integer.
    Int,
    /// Double.
    Float,
    /// Truth value.
    Bool,
    /// Point in time, seconds, UTC.
    DateTime,
    /// Reference to an object of the named class.
    Ref(&'static str),
    /// One of an enum's words.
    Enum(&'static EnumDef),
    /// Unordered collection without duplicates.
    Set(&'static Type),
    /// Association.
    Map(&'static Type, &'static Type),
    /// The whole record of the named class.
    Record(&'static str),
    /// A value or nothing (XenAPI `option`).
    Optional(&'static Type),
    /// A batch of events as `event.from` returns it.
    EventBatch,
    /// The record of whatever class the context names (`event.snapshot`).
    AnyRecord,
}

impl Type {
    /// `(string -> string) map`.
    pub const STRING_MAP: Self = Self::Map(&Self::String, &Self::String);
    /// `string set`.
    pub const STRING_SET: Self = Self::Set(&Self::String);
}

/// An enum: closed, never extended by Holdfast.
#[derive(Debug, PartialEq, Eq)]
pub struct EnumDef {
    /// API name, such as `vm_power_state`.
    pub name: &'static str,
    /// Its words, in the order of the reference.
    pub values: &'static [&'static str],
}

/// Who may change a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    /// Clients read and write.
    RW,
    /// Set at creation, then only read.
    StaticRO,
    /// Only the system changes it.
    DynamicRO,
}

/// Where a field's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Kept in the pool database.
    Stored,
    /// The set of objects of `class` whose `field` refers to this one. A class that the datamodel does not have (yet)
    /// makes the set empty.
    Reverse {
        /// API name of the class that holds the reference.
        class: &'static str,
        /// Its field: a reference or a set of references to this class.
        field: &'static str,
    },
    /// Worked out from other records when read (`allowed_operations` and the like).
    Computed,
}

/// A field's value when nothing was set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DefaultValue {
    /// The type's own zero: empty, 0, false, the epoch, the null reference, an enum's first word.
    Zero,
    /// Text or an enum's word.
    Str(&'static str),
    /// Number.
    Int(i64),
    /// Number with a point.
    Float(f64),
    /// Truth value.
    Bool(bool),
    /// Text map.
    StrMap(&'static [(&'static str, &'static str)]),
    /// Text set.
    StrSet(&'static [&'static str]),
    /// Number set.
    IntSet(&'static [i64]),
}

/// The least privileged role that may call a message. Order is privilege, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Any session, whatever its roles (`session.logout`).
    AnySession,
    /// `read-only`.
    ReadOnly,
    /// `vm-operator`.
    VmOperator,
    /// `vm-admin`.
    VmAdmin,
    /// `vm-power-admin`.
    VmPowerAdmin,
    /// `pool-operator`.
    PoolOperator,
    /// `pool-admin`.
    PoolAdmin,
    /// The local root user or another member of the pool.
    Internal,
}

/// One field of a class.
#[derive(Debug)]
pub struct Field {
    /// API name.
    pub name: &'static str,
    /// Type.
    pub ty: Type,
    /// Who may change it.
    pub qualifier: Qualifier,
    /// Value when nothing was set.
    pub default: DefaultValue,
    /// The reference declares a default, so `create` may be called without it.
    pub has_default: bool,
    /// Stage of life.
    pub state: Lifecycle,
    /// Where the value comes from.
    pub store: Store,
    /// Role for `set_`, `add_to_`, `remove_from_`; meaningful where the qualifier is RW.
    pub set_role: Role,
    /// Role for `get_`; whole records take the highest of their fields'.
    pub get_role: Role,
    /// Changing is also open to other pools' members by client certificate.
    pub client_cert: bool,
    /// Map keys with a role of their own (`XenCenter.CustomFields.*`, `folder`); a trailing `*` matches any rest.
    pub key_roles: &'static [(&'static str, Role)],
    /// May hold passwords: never logged, left out of diagnostics.
    pub secret: bool,
    /// One line, third person.
    pub doc: &'static str,
}

impl Field {
    const fn base(name: &'static str, ty: Type, qualifier: Qualifier, doc: &'static str) -> Self {
        Self {
            name,
            ty,
            qualifier,
            default: DefaultValue::Zero,
            has_default: false,
            state: Lifecycle::Published,
            store: Store::Stored,
            set_role: Role::Internal,
            get_role: Role::ReadOnly,
            client_cert: false,
            key_roles: &[],
            secret: false,
            doc,
        }
    }

    /// The uuid that every object has.
    pub const UUID: Self = Self::dynamic_ro(
        "uuid",
        Type::String,
        "Unique identifier; also what the reference is made of.",
    );

    /// A field that clients with the role may change.
    pub const fn rw(name: &'static str, ty: Type, set_role: Role, doc: &'static str) -> Self {
        let mut field = Self::base(name, ty, Qualifier::RW, doc);
        field.set_role = set_role;
        field
    }

    /// A field given at creation.
    pub const fn static_ro(name: &'static str, ty: Type, doc: &'static str) -> Self {
        Self::base(name, ty, Qualifier::StaticRO, doc)
    }

    /// A field that only the system changes.
    pub const fn dynamic_ro(name: &'static str, ty: Type, doc: &'static str) -> Self {
        Self::base(name, ty, Qualifier::DynamicRO, doc)
    }

    /// Declares the default, so that `create` may be called without the field.
    pub const fn default(mut self, value: DefaultValue) -> Self {
        self.default = value;
        self.has_default = true;
        self
    }

    /// Marks the field as not settled.
    pub const fn prototyped(mut self) -> Self {
        self.state = Lifecycle::Prototyped;
        self
    }

    /// Marks the field as one to move away from.
    pub const fn deprecated(mut self) -> Self {
        self.state = Lifecycle::Deprecated;
        self
    }

    /// Marks the field as gone: it keeps its default for ever.
    pub const fn removed(mut self) -> Self {
        self.state = Lifecycle::Removed;
        self
    }

    /// Marks the field as ours, absent from the public reference.
    pub const fn internal(mut self) -> Self {
        self.state = Lifecycle::Internal;
        self
    }

    /// Says that the field is the other end of a reference.
    pub const fn reverse_of(mut self, class: &'static str, field: &'static str) -> Self {
        self.store = Store::Reverse { class, field };
        self
    }

    /// Says that the field is worked out when read.
    pub const fn computed(mut self) -> Self {
        self.store = Store::Computed;
        self
    }

    /// Gives single keys of a map their own role.
    pub const fn key_roles(mut self, roles: &'static [(&'static str, Role)]) -> Self {
        self.key_roles = roles;
        self
    }

    /// Opens changing to holders of a client certificate.
    pub const fn client_cert(mut self) -> Self {
        self.client_cert = true;
        self
    }

    /// Says that reading takes more than the least role.
    pub const fn readable_by(mut self, role: Role) -> Self {
        self.get_role = role;
        self
    }

    /// Says that the value may hold passwords.
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The pattern that covers `key` of this map and the role it has of its own, if it has one.
    pub fn key_role(&self, key: &str) -> Option<(&'static str, Role)> {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(stem) => key.starts_with(stem),
            None => key == pattern,
        };
        self.key_roles.iter().find(|(pattern, _)| fits(pattern)).copied()
    }

    /// The role that changing `key` of this map takes.
    pub fn role_for_key(&self, key: &str) -> Role {
        self.key_role(key).map_or(self.set_role, |(_, role)| role)
    }
}

/// A parameter of a message; the leading session is never listed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Param {
    /// API name.
    pub name: &'static str,
    /// Type.
    pub ty: Type,
    /// Value when the caller leaves it out; `None` means the caller must give it.
    pub default: Option<DefaultValue>,
}

impl Param {
    /// A parameter that must be given.
    pub const fn new(name: &'static str, ty: Type) -> Self {
        Self { name, ty, default: None }
    }

    /// A parameter that may be left out, together with everything after it.
    pub const fn optional(name: &'static str, ty: Type, default: DefaultValue) -> Self {
        Self { name, ty, default: Some(default) }
    }
}

/// Which host does the work of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunsOn {
    /// The host where the call arrived.
    AnyHost,
    /// The host on which the VM given as first parameter (or the VM of that VBD or VIF) runs, if it runs.
    ResidentHost,
    /// A host that has the SR given as first parameter (or the SR of that VDI) plugged.
    HostWithSr,
    /// The host given as first parameter (or whose PBD, PIF ... it is).
    NamedHost,
    /// The coordinator.
    Coordinator,
}

/// An explicit message of a class.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// API name without the class.
    pub name: &'static str,
    /// Parameters after the session.
    pub params: &'static [Param],
    /// Result.
    pub result: Type,
    /// XenAPI error codes it is declared to raise.
    pub errors: &'static [&'static str],
    /// Least privileged role.
    pub role: Role,
    /// Also open to other pools' members by client certificate.
    pub client_cert: bool,
    /// `Async.CLASS.NAME` exists and returns a task.
    pub is_async: bool,
    /// Needs a session as first parameter.
    pub session: bool,
    /// Stage of life.
    pub state: Lifecycle,
    /// Where it runs.
    pub runs_on: RunsOn,
    /// Parameters or result are secret: never logged.
    pub secret: bool,
    /// One line, third person.
    pub doc: &'static str,
}

impl Message {
    /// What a message is unless it says otherwise: public, `void`, synchronous, on any host, for members only.
    pub const BASE: Self = Self {
        name: "",
        params: &[],
        result: Type::Void,
        errors: &[],
        role: Role::Internal,
        client_cert: false,
        is_async: false,
        session: true,
        state: Lifecycle::Published,
        runs_on: RunsOn::AnyHost,
        secret: false,
        doc: "",
    };

    /// A public message of no result, with what every message must say.
    pub const fn new(
        name: &'static str,
        params: &'static [Param],
        role: Role,
        doc: &'static str,
    ) -> Self {
        Self { name, params, role, doc, ..Self::BASE }
    }

    /// Names its result.
    pub const fn gives(mut self, result: Type) -> Self {
        self.result = result;
        self
    }

    /// Names the errors it is declared to raise.
    pub const fn raises(mut self, errors: &'static [&'static str]) -> Self {
        self.errors = errors;
        self
    }

    /// Adds the form that returns a task.
    pub const fn asynchronous(mut self) -> Self {
        self.is_async = true;
        self
    }

    /// Opens it to holders of a client certificate.
    pub const fn client_cert(mut self) -> Self {
        self.client_cert = true;
        self
    }

    /// Marks it as not settled.
    pub const fn prototyped(mut self) -> Self {
        self.state = Lifecycle::Prototyped;
        self
    }

    /// Marks it as one to move away from.
    pub const fn deprecated(mut self) -> Self {
        self.state = Lifecycle::Deprecated;
        self
    }

    /// Marks it as gone.
    pub const fn removed(mut self) -> Self {
        self.state = Lifecycle::Removed;
        self
    }

    /// How many messages the parts of a class have together.
    pub(crate) const fn count(parts: &[&[Self]]) -> usize {
        let (mut part, mut sum) = (0, 0);
        while part < parts.len() {
            sum += parts[part].len();
            part += 1;
        }
        sum
    }

    /// The messages of all parts in byte order of their names; `N` is their [`count`](Self::count).
    pub(crate) const fn sorted<const N: usize>(parts: &[&[Self]]) -> [Self; N] {
        let mut sorted = [Self::BASE; N];
        let (mut part, mut len) = (0, 0);
        while part < parts.len() {
            let mut next = 0;
            while next < parts[part].len() {
                let mut at = len;
                while at > 0 && comes_before(parts[part][next].name, sorted[at - 1].name) {
                    sorted[at] = sorted[at - 1];
                    at -= 1;
                }
                sorted[at] = parts[part][next];
                len += 1;
                next += 1;
            }
            part += 1;
        }
        sorted
    }
}

/// `a < b` by bytes, at compile time.
const fn comes_before(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() {
        if a[i] != b[i] {
            return a[i] < b[i];
        }
        i += 1;
    }
    a.len() < b.len()
}

/// An error code of the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorDef {
    /// The code, such as `VM_BAD_POWER_STATE`.
    pub code: &'static str,
    /// Names of its parameters in order; `None` where the reference declares none, then any number is right.
    pub params: Option<&'static [&'static str]>,
}

/// An alert of the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub struct AlertDef {
    /// Name of the `message` object.
    pub name: &'static str,
    /// 1 (most urgent) to 5.
    pub priority: u8,
}

/// A class of the interface.
#[derive(Debug)]
pub struct Class {
    /// API name, such as `VM`, `host_metrics`.
    pub name: &'static str,
    /// Stage of life.
    pub state: Lifecycle,
    /// Appears in `event.from`.
    pub events: bool,
    /// Fields in byte order of their names.
    pub fields: &'static [Field],
    /// Explicit messages in byte order of their names.
    pub messages: &'static [Message],
    /// Which implicit constructors and accessors exist (`create`, `destroy`, `get_by_name_label` ...), and their roles.
    pub implicit: ImplicitSet,
    /// One line.
    pub doc: &'static str,
}

/// Implicit messages that not every class has; field accessors follow from the fields.
#[derive(Debug, Clone, Copy)]
pub struct ImplicitSet {
    /// `get_record`, `get_by_uuid` and the accessors of every field exist (getters take the role read-only).
    pub getters: bool,
    /// `get_all`, `get_all_records` exist.
    pub all: bool,
    /// `get_by_name_label` exists.
    pub by_name_label: bool,
    /// `create(args)` exists, with its role; always asynchronous too.
    pub create: Option<Role>,
    /// `destroy(self)` exists, with its role; always asynchronous too.
    pub destroy: Option<Role>,
}

impl ImplicitSet {
    /// No derived message at all.
    pub const NONE: Self =
        Self { getters: false, all: false, by_name_label: false, create: None, destroy: None };
    /// Records are read one by one.
    pub const GETTERS: Self = Self { getters: true, ..Self::NONE };
    /// Records are read one by one and all at once.
    pub const ALL: Self = Self { all: true, ..Self::GETTERS };

    /// Adds `get_by_name_label`.
    pub const fn by_name_label(mut self) -> Self {
        self.by_name_label = true;
        self
    }

    /// Adds `create`, with its role.
    pub const fn created_by(mut self, role: Role) -> Self {
        self.create = Some(role);
        self
    }

    /// Adds `destroy`, with its role.
    pub const fn destroyed_by(mut self, role: Role) -> Self {
        self.destroy = Some(role);
        self
    }
}

/// An implicit message, derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Implicit {
    /// `get_record`.
    GetRecord,
    /// `get_by_uuid`.
    GetByUuid,
    /// `get_by_name_label`.
    GetByNameLabel,
    /// `get_all`.
    GetAll,
    /// `get_all_records`.
    GetAllRecords,
    /// `create`.
    Create,
    /// `destroy`.
    Destroy,
    /// `get_FIELD`; the number is the index in [`Class::fields`].
    Get(u16),
    /// `set_FIELD`.
    Set(u16),
    /// `add_to_FIELD` of a map.
    AddTo(u16),
    /// `remove_from_FIELD` of a map.
    RemoveFrom(u16),
    /// `add_FIELD` of a set.
    Add(u16),
    /// `remove_FIELD` of a set.
    Remove(u16),
}

/// How `xe` may change a field, as it prints it: `( RO)`, `( RW)`, `(SRO)`, `(SRW)`, `(MRO)`, `(MRW)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XeAccess {
    /// Read only.
    RO,
    /// Read and write.
    RW,
    /// Set, read only.
    SRO,
    /// Set, read and write.
    SRW,
    /// Map, read only.
    MRO,
    /// Map, read and write.
    MRW,
}

/// Where `xe` takes a field's value from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XeSource {
    /// The API field of that name on the same record.
    Field(&'static str),
    /// A field of the record that `via` (a field of this record) refers to.
    Related {
        /// Field of this record that holds the reference.
        via: &'static str,
        /// Class of the other record.
        class: &'static str,
        /// Field of the other record.
        field: &'static str,
    },
    /// Worked out by `xe` under the field's own name.
    Computed,
}

/// How `xe` prints a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XeFormat {
    /// As it is.
    Text,
    /// Number.
    Int,
    /// Number with a point.
    Float,
    /// `true`/`false`.
    Bool,
    /// `20260101T00:00:00Z`.
    Date,
    /// A reference as the uuid of what it names.
    Uuid,
    /// References as uuids joined by `; `.
    UuidList,
    /// Values joined by `; `.
    List,
    /// Values joined by `, `.
    CommaList,
    /// `key: value` joined by `; `.
    Map,
    /// `key: uuid` joined by `; `, of a map to references.
    MapOfUuid,
    /// Name label of what a reference names.
    NameOfRef,
    /// Words of an enum, spelled by the named table of [`xe::ENUM_STRINGS`](crate::xe).
    EnumVia(&'static str),
}

/// One field as `xe` shows it.
#[derive(Debug)]
pub struct XeField {
    /// `xe` name, such as `power-state`.
    pub name: &'static str,
    /// Where the value comes from.
    pub source: XeSource,
    /// How it may be changed.
    pub access: XeAccess,
    /// How it is printed.
    pub format: XeFormat,
    /// Left out of `params=all` unless asked for by name.
    pub hidden: bool,
    /// Costs a call of its own: left out of lists unless asked for.
    pub expensive: bool,
    /// Printed with `[DEPRECATED]`.
    pub deprecated: bool,
}

impl XeField {
    const fn from_source(
        name: &'static str,
        source: XeSource,
        access: XeAccess,
        format: XeFormat,
    ) -> Self {
        Self { name, source, access, format, hidden: false, expensive: false, deprecated: false }
    }

    /// A field of the record itself.
    pub const fn of(
        name: &'static str,
        field: &'static str,
        access: XeAccess,
        format: XeFormat,
    ) -> Self {
        Self::from_source(name, XeSource::Field(field), access, format)
    }

    /// A field of the record that `via` refers to.
    pub const fn related(
        name: &'static str,
        via: &'static str,
        class: &'static str,
        field: &'static str,
        access: XeAccess,
        format: XeFormat,
    ) -> Self {
        Self::from_source(name, XeSource::Related { via, class, field }, access, format)
    }

    /// A value that `xe` works out.
    pub const fn computed(name: &'static str, access: XeAccess, format: XeFormat) -> Self {
        Self::from_source(name, XeSource::Computed, access, format)
    }

    /// Leaves the field out of `params=all`.
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Says that the field costs a call of its own.
    pub const fn expensive(mut self) -> Self {
        self.expensive = true;
        self
    }

    /// Marks the field as one to move away from.
    pub const fn deprecated(mut self) -> Self {
        self.deprecated = true;
        self
    }
}

/// A class as `xe` shows it: `vm-list`, `vm-param-get` ...
#[derive(Debug)]
pub struct XeRecord {
    /// Word before the dash: `vm`, `host-cpu`, `template`.
    pub cli_name: &'static str,
    /// API class.
    pub class: &'static str,
    /// Fields in printing order.
    pub fields: &'static [XeField],
    /// Fields printed by `CLI_NAME-list` when `params` is not given.
    pub default_list: &'static [&'static str],
    /// Records shown are those whose `xe` field has this value (templates, snapshots and VMs share a class).
    pub filter: &'static [(&'static str, &'static str)],
    /// Verbs that exist: `list`, `param-list`, `param-get`, `param-set`, `param-add`, `param-remove`, `param-clear`.
    pub verbs: &'static [&'static str],
}

/// A command of `xe` that is not a record verb.
#[derive(Debug, Clone, Copy)]
pub struct XeCommand {
    /// Name, such as `vm-start`.
    pub name: &'static str,
    /// Other accepted spellings (S1-40).
    pub aliases: &'static [&'static str],
    /// Parameters that must be given.
    pub required: &'static [&'static str],
    /// Parameters that may be given; a trailing `:` takes `NAME:KEY=VALUE`.
    pub optional: &'static [&'static str],
    /// Other accepted spellings of parameters, each with the spelling it stands for (S1-40).
    pub param_aliases: &'static [(&'static str, &'static str)],
    /// Flags, with their dashes.
    pub flags: &'static [&'static str],
    /// `vm`, `host` or `sr`: which records the selectors choose.
    pub selectors: Option<&'static str>,
    /// Shown by plain `xe help`.
    pub common: bool,
    /// Left out of `xe help --all`.
    pub hidden: bool,
    /// Moves files or streams between client and pool.
    pub client_io: bool,
    /// Is about the host where it runs, whoever the coordinator is.
    pub local_host: bool,
    /// Works on a host that has lost its pool.
    pub local_login: bool,
    /// Something better exists.
    pub deprecated: bool,
    /// Parameters that name a local file (`filename` and `file-name` are both taken, S1-36).
    pub files: &'static [&'static str],
    /// One line for help and completion.
    pub doc: &'static str,
}

impl XeCommand {
    /// What a command is unless it says otherwise.
    pub const BASE: Self = Self {
        name: "",
        aliases: &[],
        required: &[],
        optional: &[],
        param_aliases: &[],
        flags: &[],
        selectors: None,
        common: false,
        hidden: false,
        client_io: false,
        local_host: false,
        local_login: false,
        deprecated: false,
        files: &[],
        doc: "",
    };
}
