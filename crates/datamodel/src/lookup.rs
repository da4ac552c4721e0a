//! Finding things: a class, a field, a method by the name a caller used.
//!
//! Every table of the datamodel is in byte order of its names (the internal-consistency test asserts it), so lookups
//! halve; nothing is built at start. Implicit messages exist only here: a name is taken apart and matched with a field.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::schema::{
    AlertDef, Class, EnumDef, ErrorDef, Field, Implicit, Lifecycle, Message, Param, Qualifier,
    Role, RunsOn, Type,
};
use crate::{ALERTS, CLASSES, ENUMS, ERRORS, OUR_ALERTS};

/// The class of that API name.
pub fn class(name: &str) -> Option<&'static Class> {
    CLASSES.binary_search_by_key(&name, |c| c.name).ok().map(|i| CLASSES[i])
}

/// The enum of that API name.
pub fn enum_def(name: &str) -> Option<&'static EnumDef> {
    ENUMS.binary_search_by_key(&name, |e| e.name).ok().map(|i| ENUMS[i])
}

/// The catalogue's entry for an error code.
pub fn error(code: &str) -> Option<&'static ErrorDef> {
    ERRORS.binary_search_by_key(&code, |e| e.code).ok().map(|i| &ERRORS[i])
}

/// The catalogue's entry for an alert, XenServer's or ours.
pub fn alert(name: &str) -> Option<&'static AlertDef> {
    [ALERTS, OUR_ALERTS]
        .into_iter()
        .find_map(|table| table.binary_search_by_key(&name, |a| a.name).ok().map(|i| &table[i]))
}

/// The method of that full name, with or without the leading `Async.`; the flag says whether it was there and is true
/// only for methods that have the asynchronous form.
pub fn method(full_name: &str) -> Option<(Method, bool)> {
    let (name, wants_async) = match full_name.strip_prefix("Async.") {
        Some(rest) => (rest, true),
        None => (full_name, false),
    };
    let (class_name, method_name) = name.split_once('.')?;
    let found = class(class_name)?.method(method_name)?;
    (!wants_async || found.is_async()).then_some((found, wants_async))
}

/// Every method of every class, internal ones included, explicit before implicit within a class.
pub fn all_methods() -> impl Iterator<Item = Method> {
    CLASSES.iter().flat_map(|class| class.methods())
}

/// A callable of a class: written out, or derived from the fields.
#[derive(Debug, Clone, Copy)]
pub enum Method {
    /// Written out in the class file.
    Explicit(&'static Class, &'static Message),
    /// Derived.
    Implicit(&'static Class, Implicit),
}

impl Class {
    /// The field of that name and its index.
    pub fn field(&self, name: &str) -> Option<(u16, &'static Field)> {
        let i = self.fields.binary_search_by_key(&name, |f| f.name).ok()?;
        Some((u16::try_from(i).expect("a class has fewer than 65,536 fields"), &self.fields[i]))
    }

    /// The explicit message of that name.
    pub fn message(&self, name: &str) -> Option<&'static Message> {
        let i = self.messages.binary_search_by_key(&name, |m| m.name).ok()?;
        Some(&self.messages[i])
    }

    /// The method of that name. An explicit message hides an implicit one of the same name.
    pub fn method(&'static self, name: &str) -> Option<Method> {
        match self.message(name) {
            Some(message) => Some(Method::Explicit(self, message)),
            None => self.implicit_method(name).map(|what| Method::Implicit(self, what)),
        }
    }

    fn implicit_method(&self, name: &str) -> Option<Implicit> {
        let set = &self.implicit;
        let yes = |exists: bool, what: Implicit| exists.then_some(what);
        match name {
            "get_record" => return yes(set.getters, Implicit::GetRecord),
            "get_by_uuid" => return yes(set.getters, Implicit::GetByUuid),
            "get_all" => return yes(set.all, Implicit::GetAll),
            "get_all_records" => return yes(set.all, Implicit::GetAllRecords),
            "get_by_name_label" => return yes(set.by_name_label, Implicit::GetByNameLabel),
            "create" => return yes(set.create.is_some(), Implicit::Create),
            "destroy" => return yes(set.destroy.is_some(), Implicit::Destroy),
            _ => {}
        }
        if !set.getters {
            return None;
        }
        let field = |prefix: &str| name.strip_prefix(prefix).and_then(|rest| self.field(rest));
        if let Some((i, _)) = field("get_") {
            return Some(Implicit::Get(i));
        }
        let writable = |prefix: &str| field(prefix).filter(|(_, f)| f.qualifier == Qualifier::RW);
        if let Some((i, _)) = writable("set_") {
            return Some(Implicit::Set(i));
        }
        let map = |prefix: &str| writable(prefix).filter(|(_, f)| matches!(f.ty, Type::Map(..)));
        if let Some((i, _)) = map("add_to_") {
            return Some(Implicit::AddTo(i));
        }
        if let Some((i, _)) = map("remove_from_") {
            return Some(Implicit::RemoveFrom(i));
        }
        let set = |prefix: &str| writable(prefix).filter(|(_, f)| matches!(f.ty, Type::Set(_)));
        if let Some((i, _)) = set("add_") {
            return Some(Implicit::Add(i));
        }
        set("remove_").map(|(i, _)| Implicit::Remove(i))
    }

    /// Every method of the class, explicit first.
    pub fn methods(&'static self) -> impl Iterator<Item = Method> {
        let explicit = self.messages.iter().map(move |m| Method::Explicit(self, m));
        explicit.chain(self.implicit_methods().map(move |what| Method::Implicit(self, what)))
    }

    /// Every implicit method of the class that no explicit message hides.
    pub fn implicit_methods(&'static self) -> impl Iterator<Item = Implicit> {
        let set = self.implicit;
        let whole = [
            (set.getters, Implicit::GetRecord),
            (set.getters, Implicit::GetByUuid),
            (set.all, Implicit::GetAll),
            (set.all, Implicit::GetAllRecords),
            (set.by_name_label, Implicit::GetByNameLabel),
            (set.create.is_some(), Implicit::Create),
            (set.destroy.is_some(), Implicit::Destroy),
        ];
        let fields = if set.getters { self.fields } else { &[] };
        let accessors = fields.iter().zip(0u16..).flat_map(|(field, i)| {
            let rw = field.qualifier == Qualifier::RW;
            let map = rw && matches!(field.ty, Type::Map(..));
            let members = rw && matches!(field.ty, Type::Set(_));
            [
                (true, Implicit::Get(i)),
                (rw, Implicit::Set(i)),
                (map, Implicit::AddTo(i)),
                (map, Implicit::RemoveFrom(i)),
                (members, Implicit::Add(i)),
                (members, Implicit::Remove(i)),
            ]
        });
        whole
            .into_iter()
            .chain(accessors)
            .filter_map(|(exists, what)| exists.then_some(what))
            .filter(move |what| self.message(&what.name(self)).is_none())
    }
}

impl Implicit {
    /// The index of the field it gives access to.
    pub fn field_index(self) -> Option<u16> {
        match self {
            Self::Get(i)
            | Self::Set(i)
            | Self::AddTo(i)
            | Self::RemoveFrom(i)
            | Self::Add(i)
            | Self::Remove(i) => Some(i),
            Self::GetRecord
            | Self::GetByUuid
            | Self::GetByNameLabel
            | Self::GetAll
            | Self::GetAllRecords
            | Self::Create
            | Self::Destroy => None,
        }
    }

    /// API name without the class.
    pub fn name(self, class: &'static Class) -> Cow<'static, str> {
        let with = |prefix: &str, i: u16| format!("{prefix}{}", class.fields[usize::from(i)].name);
        Cow::Borrowed(match self {
            Self::GetRecord => "get_record",
            Self::GetByUuid => "get_by_uuid",
            Self::GetByNameLabel => "get_by_name_label",
            Self::GetAll => "get_all",
            Self::GetAllRecords => "get_all_records",
            Self::Create => "create",
            Self::Destroy => "destroy",
            Self::Get(i) => return with("get_", i).into(),
            Self::Set(i) => return with("set_", i).into(),
            Self::AddTo(i) => return with("add_to_", i).into(),
            Self::RemoveFrom(i) => return with("remove_from_", i).into(),
            Self::Add(i) => return with("add_", i).into(),
            Self::Remove(i) => return with("remove_", i).into(),
        })
    }
}

impl Method {
    /// The class it belongs to.
    pub fn class(&self) -> &'static Class {
        match *self {
            Self::Explicit(class, _) | Self::Implicit(class, _) => class,
        }
    }

    /// API name without the class.
    pub fn name(&self) -> Cow<'static, str> {
        match *self {
            Self::Explicit(_, message) => Cow::Borrowed(message.name),
            Self::Implicit(class, what) => what.name(class),
        }
    }

    /// API name with the class, such as `VM.start`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.class().name, self.name())
    }

    /// The field an implicit accessor is about.
    pub fn field(&self) -> Option<(u16, &'static Field)> {
        match *self {
            Self::Explicit(..) => None,
            Self::Implicit(class, what) => {
                what.field_index().map(|i| (i, &class.fields[usize::from(i)]))
            }
        }
    }

    /// Least privileged role. Keys of some maps have a role of their own: [`Field::role_for_key`].
    pub fn role(&self) -> Role {
        match *self {
            Self::Explicit(_, message) => message.role,
            Self::Implicit(class, Implicit::Create) => {
                class.implicit.create.expect("an implicit create exists with its role")
            }
            Self::Implicit(class, Implicit::Destroy) => {
                class.implicit.destroy.expect("an implicit destroy exists with its role")
            }
            Self::Implicit(class, what) => match what {
                Implicit::Set(i)
                | Implicit::AddTo(i)
                | Implicit::RemoveFrom(i)
                | Implicit::Add(i)
                | Implicit::Remove(i) => class.fields[usize::from(i)].set_role,
                Implicit::Get(i) => class.fields[usize::from(i)].get_role,
                _ => class.fields.iter().map(|f| f.get_role).fold(Role::ReadOnly, Ord::max),
            },
        }
    }

    /// Whether other pools' members may call it by client certificate.
    pub fn client_cert(&self) -> bool {
        match *self {
            Self::Explicit(_, message) => message.client_cert,
            Self::Implicit(class, what) => what.field_index().is_some_and(|i| {
                !matches!(what, Implicit::Get(_)) && class.fields[usize::from(i)].client_cert
            }),
        }
    }

    /// Parameters after the session.
    pub fn params(&self) -> Cow<'static, [Param]> {
        let (class, what) = match *self {
            Self::Explicit(_, message) => return Cow::Borrowed(message.params),
            Self::Implicit(class, what) => (class, what),
        };
        let this = Param::new("self", Type::Ref(class.name));
        let ty = |i: u16| class.fields[usize::from(i)].ty;
        Cow::Owned(match what {
            Implicit::GetAll | Implicit::GetAllRecords => vec![],
            Implicit::GetByUuid => vec![Param::new("uuid", Type::String)],
            Implicit::GetByNameLabel => vec![Param::new("label", Type::String)],
            Implicit::Create => vec![Param::new("args", Type::Record(class.name))],
            Implicit::GetRecord | Implicit::Destroy | Implicit::Get(_) => vec![this],
            Implicit::Set(i) => vec![this, Param::new("value", ty(i))],
            Implicit::AddTo(i) => {
                let (key, value) = ty(i).map_parts().expect("add_to_ exists for maps only");
                vec![this, Param::new("key", *key), Param::new("value", *value)]
            }
            Implicit::RemoveFrom(i) => {
                let (key, _) = ty(i).map_parts().expect("remove_from_ exists for maps only");
                vec![this, Param::new("key", *key)]
            }
            Implicit::Add(i) | Implicit::Remove(i) => {
                let member = ty(i).set_member().expect("add_ and remove_ exist for sets only");
                vec![this, Param::new("value", *member)]
            }
        })
    }

    /// Type of the result.
    pub fn result(&self) -> Type {
        let (class, what) = match *self {
            Self::Explicit(_, message) => return message.result,
            Self::Implicit(class, what) => (class, what),
        };
        match what {
            Implicit::GetRecord => Type::Record(class.name),
            Implicit::GetByUuid | Implicit::Create => Type::Ref(class.name),
            Implicit::GetByNameLabel | Implicit::GetAll => Type::Set(&own_types(class).reference),
            Implicit::GetAllRecords => {
                Type::Map(&own_types(class).reference, &own_types(class).record)
            }
            Implicit::Get(i) => class.fields[usize::from(i)].ty,
            Implicit::Destroy
            | Implicit::Set(_)
            | Implicit::AddTo(_)
            | Implicit::RemoveFrom(_)
            | Implicit::Add(_)
            | Implicit::Remove(_) => Type::Void,
        }
    }

    /// Error codes it is declared to raise.
    pub fn errors(&self) -> &'static [&'static str] {
        match *self {
            Self::Explicit(_, message) => message.errors,
            Self::Implicit(..) => &[],
        }
    }

    /// Whether `Async.` exists.
    pub fn is_async(&self) -> bool {
        match *self {
            Self::Explicit(_, message) => message.is_async,
            Self::Implicit(_, what) => matches!(what, Implicit::Create | Implicit::Destroy),
        }
    }

    /// Whether the first argument is a session.
    pub fn session(&self) -> bool {
        match *self {
            Self::Explicit(_, message) => message.session,
            Self::Implicit(..) => true,
        }
    }

    /// Stage of life: a field's accessors share its fate, the rest that of the class.
    pub fn state(&self) -> Lifecycle {
        match *self {
            Self::Explicit(_, message) => message.state,
            Self::Implicit(class, _) => self.field().map_or(class.state, |(_, field)| field.state),
        }
    }

    /// Where it runs. Creating and destroying a VDI needs its SR; everything else implicit touches records only.
    pub fn runs_on(&self) -> RunsOn {
        match *self {
            Self::Explicit(_, message) => message.runs_on,
            Self::Implicit(class, Implicit::Create | Implicit::Destroy) if class.name == "VDI" => {
                RunsOn::HostWithSr
            }
            Self::Implicit(..) => RunsOn::AnyHost,
        }
    }

    /// Whether parameters or result must never be logged.
    pub fn secret(&self) -> bool {
        match *self {
            Self::Explicit(_, message) => message.secret,
            Self::Implicit(class, what) => match what.field_index() {
                Some(i) => class.fields[usize::from(i)].secret,
                None => class.name == "session" || class.fields.iter().any(|f| f.secret),
            },
        }
    }

    /// Whether it is an implicit getter: it reads records and does nothing else.
    pub fn is_getter(&self) -> bool {
        match *self {
            Self::Explicit(..) => false,
            Self::Implicit(_, what) => matches!(
                what,
                Implicit::GetRecord
                    | Implicit::GetByUuid
                    | Implicit::GetByNameLabel
                    | Implicit::GetAll
                    | Implicit::GetAllRecords
                    | Implicit::Get(_)
            ),
        }
    }
}

impl Type {
    /// Key and value of a map.
    pub fn map_parts(self) -> Option<(&'static Self, &'static Self)> {
        match self {
            Self::Map(key, value) => Some((key, value)),
            _ => None,
        }
    }

    /// What a set holds.
    pub fn set_member(self) -> Option<&'static Self> {
        match self {
            Self::Set(member) => Some(member),
            _ => None,
        }
    }
}

/// `C ref` and `C record` with a life long enough to stand inside [`Type::Set`] and [`Type::Map`].
struct OwnTypes {
    reference: Type,
    record: Type,
}

fn own_types(class: &Class) -> &'static OwnTypes {
    static TABLE: LazyLock<Vec<OwnTypes>> = LazyLock::new(|| {
        let own =
            |c: &&Class| OwnTypes { reference: Type::Ref(c.name), record: Type::Record(c.name) };
        CLASSES.iter().map(own).collect()
    });
    let i = CLASSES.binary_search_by_key(&class.name, |c| c.name);
    &TABLE[i.expect("every class that has methods is listed")]
}
