//! Writes `classes/`: a typed reader and a typed writer per class.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use datamodel::{CLASSES, Class, Field, Lifecycle, Store, Type};

use super::names::{doc_line, owned, referable, snake, type_name, upper};

/// Files by path below the generated directory.
pub(crate) fn files() -> BTreeMap<String, String> {
    let mut files: BTreeMap<_, _> =
        CLASSES.iter().map(|c| (format!("classes/{}.rs", snake(c.name)), file(c))).collect();
    let mut module = super::header("Typed readers and writers of records, one file per class.");
    for class in CLASSES {
        writeln!(module, "pub mod {};", snake(class.name)).expect("writing to a string");
    }
    module.push('\n');
    for class in CLASSES {
        let (path, name) = (snake(class.name), type_name(class.name));
        writeln!(module, "pub use {path}::{{{name}, {name}Mut}};").expect("writing to a string");
    }
    files.insert("classes/mod.rs".to_owned(), module);
    files
}

fn file(class: &Class) -> String {
    let name = type_name(class.name);
    let path = snake(class.name);
    let has_ref = referable().contains(class.name);
    let getters: String = class.fields.iter().map(|f| getter(class, f)).collect();
    let setters: String = class.fields.iter().map(|f| setter(class, f)).collect();
    let mut body = format!(
        "/// Reads a `{class}`: {doc}
#[derive(Debug, Clone, Copy)]
pub struct {name}<'a>(&'a Record);

impl<'a> {name}<'a> {{
    /// Reads this record, which must be a `{class}`.
    pub fn of(record: &'a Record) -> Self {{
        debug_assert_eq!(record.class().name, {class:?});
        Self(record)
    }}

    /// A new record of nothing but defaults.
    pub fn new_record(uuid: Uuid) -> Record {{
        Record::new(&datamodel::classes::{path}::CLASS, uuid)
    }}

    /// The record.
    pub fn record(self) -> &'a Record {{
        self.0
    }}
",
        class = class.name,
        doc = doc_line(class.doc),
    );
    if has_ref {
        write!(
            body,
            "
    /// The reference to this object.
    pub fn reference(self) -> Ref<tag::{name}> {{
        Ref::new(self.0.uuid())
    }}
"
        )
        .expect("writing to a string");
    }
    write!(
        body,
        "
{getters}
}}

/// Writes a `{class}`. Fields that are worked out when read have no setter.
#[derive(Debug)]
pub struct {name}Mut<'a>(&'a mut Record);

impl<'a> {name}Mut<'a> {{
    /// Writes this record, which must be a `{class}`.
    pub fn of(record: &'a mut Record) -> Self {{
        debug_assert_eq!(record.class().name, {class:?});
        Self(record)
    }}

    /// Reads what is written so far.
    pub fn read(&self) -> {name}<'_> {{
        {name}(self.0)
    }}

{setters}
}}
",
        class = class.name,
    )
    .expect("writing to a string");

    let mut imports: Vec<&str> = vec!["Record"];
    for (word, import) in [
        ("ApiEnum", "ApiEnum"),
        ("FromValue::", "FromValue"),
        ("MapRef<", "MapRef"),
        (" Ref<", "Ref"),
        ("SetRef<", "SetRef"),
        ("Text>", "Text"),
        ("Timestamp", "Timestamp"),
        ("Value", "Value"),
        ("fields::", "fields"),
        ("tag::", "tag"),
    ] {
        let bare = body.replace("FromValue", "From").replace("IntoValue", "Into");
        let place = if import == "Value" { &bare } else { &body };
        if place.contains(word) && !imports.contains(&import) {
            imports.push(import);
        }
    }
    let mut out = super::header(&format!("`{}`, typed.", class.name));
    writeln!(out, "use uuid::Uuid;\n\nuse crate::{{{}}};\n", imports.join(", "))
        .expect("writing to a string");
    out.push_str(&body);
    out
}

fn state(field: &Field) -> &'static str {
    match field.state {
        Lifecycle::Published => "",
        Lifecycle::Prototyped => " Not settled.",
        Lifecycle::Deprecated => " Deprecated.",
        Lifecycle::Removed => " No longer used.",
        Lifecycle::Internal => " Internal.",
    }
}

fn getter(class: &Class, field: &Field) -> String {
    let method = snake(field.name);
    let index = format!("fields::{}::{}", snake(class.name), upper(field.name));
    let value = format!("self.0.get({index})");
    let (ty, body) = match field.ty {
        Type::String if field.name == "uuid" => ("Uuid".to_owned(), "self.0.uuid()".to_owned()),
        Type::String => ("&'a str".into(), format!("{value}.as_str().unwrap_or_default()")),
        Type::Int => ("i64".into(), format!("{value}.as_int().unwrap_or_default()")),
        Type::Float => ("f64".into(), format!("{value}.as_float().unwrap_or_default()")),
        Type::Bool => ("bool".into(), format!("{value}.as_bool().unwrap_or_default()")),
        Type::DateTime => ("Timestamp".into(), format!("{value}.as_time().unwrap_or_default()")),
        Type::Ref(target) => (
            format!("Ref<tag::{}>", type_name(target)),
            format!("{value}.as_opaque().unwrap_or_default().into()"),
        ),
        Type::Enum(def) => {
            let name = type_name(def.name);
            (
                format!("crate::{name}"),
                format!("FromValue::from_value({value}).unwrap_or_default()"),
            )
        }
        Type::Set(_) => ("SetRef<'a>".into(), format!("self.0.set_of({index})")),
        Type::Map(..) => ("MapRef<'a>".into(), format!("self.0.map_of({index})")),
        Type::Optional(Type::String) => ("Option<&'a str>".into(), format!("{value}.as_str()")),
        Type::Void | Type::Optional(_) | Type::Record(_) | Type::AnyRecord | Type::EventBatch => {
            ("&'a Value".into(), value)
        }
    };
    let doc = doc_line(field.doc);
    let state = state(field);
    format!(
        "    /// {doc}{state}\n    pub fn {method}(self) -> {ty} {{\n        {body}\n    }}\n\n"
    )
}

fn setter(class: &Class, field: &Field) -> String {
    if field.store != Store::Stored || field.name == "uuid" {
        return String::new();
    }
    let method = snake(field.name);
    let bare = method.trim_end_matches('_');
    let index = format!("fields::{}::{}", snake(class.name), upper(field.name));
    let doc = doc_line(field.doc);
    let into = |ty: &Type| match ty {
        Type::String => "impl Into<Text>".to_owned(),
        ty => owned(ty),
    };
    let text = |ty: &Type, name: &str| match ty {
        Type::String => format!("Value::Str({name}.into())"),
        _ => format!("crate::IntoValue::into_value({name})"),
    };
    let mut out = String::new();
    match field.ty {
        Type::Set(member) => {
            let item = into(member);
            let value = text(member, "item");
            let each = match member {
                Type::String => "|item| Value::Str(item.into())",
                _ => "crate::IntoValue::into_value",
            };
            write!(
                out,
                "    /// Sets: {doc}
    pub fn set_{bare}(&mut self, items: impl IntoIterator<Item = {item}>) -> &mut Self {{
        self.0.set({index}, Value::Set(items.into_iter().map({each}).collect()));
        self
    }}

    /// Adds an element; false if it was there.
    pub fn add_{bare}(&mut self, item: {item}) -> bool {{
        self.0.set_insert({index}, {value})
    }}

    /// Removes an element; false if it wasn't there.
    pub fn remove_{bare}(&mut self, item: {item}) -> bool {{
        self.0.set_remove({index}, &{value})
    }}

"
            )
        }
        Type::Map(key, value) => {
            let (key_ty, value_ty) = (into(key), into(value));
            let (key_value, value_value) = (text(key, "key"), text(value, "value"));
            write!(
                out,
                "    /// Sets: {doc}
    pub fn set_{bare}(&mut self, pairs: impl IntoIterator<Item = ({key_ty}, {value_ty})>) -> &mut Self {{
        let pairs = pairs.into_iter().map(|(key, value)| ({key_value}, {value_value}));
        self.0.set({index}, Value::Map(pairs.collect()));
        self
    }}

    /// Puts a pair in and gives back the value it replaces.
    pub fn insert_{bare}(&mut self, key: {key_ty}, value: {value_ty}) -> Option<Value> {{
        self.0.map_insert({index}, {key_value}, {value_value})
    }}

    /// Takes a pair out and gives back its value.
    pub fn remove_{bare}(&mut self, key: {key_ty}) -> Option<Value> {{
        self.0.map_remove({index}, &{key_value})
    }}

"
            )
        }
        Type::Void | Type::Optional(_) | Type::Record(_) | Type::AnyRecord | Type::EventBatch => write!(
            out,
            "    /// Sets: {doc}
    pub fn set_{bare}(&mut self, value: Value) -> &mut Self {{
        self.0.set({index}, value);
        self
    }}

"
        ),
        ty => {
            let (ty_name, value) = (into(&ty), text(&ty, "value"));
            write!(
                out,
                "    /// Sets: {doc}
    pub fn set_{bare}(&mut self, value: {ty_name}) -> &mut Self {{
        self.0.set({index}, {value});
        self
    }}

"
            )
        }
    }
    .expect("writing to a string");
    out
}
