//! Writes the small tables: `mod.rs`, `tag.rs`, `fields.rs` and `refs.rs`.

use std::fmt::Write as _;

use datamodel::{CLASSES, Store, Type};

use super::names::{referable, snake, type_name, upper};

pub(crate) fn module() -> String {
    let mut out = super::header("The XenAPI in Rust types.");
    out.push_str(
        "pub mod calls;\npub mod classes;\npub mod enums;\npub mod errors;\npub mod fields;\npub mod refs;\npub mod tag;\n\n\
         pub use classes::*;\npub use enums::*;\n\n",
    );
    for class in referable() {
        let name = type_name(class);
        writeln!(
            out,
            "/// A reference to a `{class}`.\npub type {name}Ref = crate::Ref<tag::{name}>;\n"
        )
        .expect("writing to a string");
    }
    out
}

pub(crate) fn tags() -> String {
    let mut out = super::header(
        "One type per class, to tell references apart; there are no values of these types.",
    );
    out.push_str("use crate::ClassTag;\n\n");
    for class in referable() {
        let name = type_name(class);
        write!(
            out,
            "/// `{class}`.\n#[derive(Debug)]\npub enum {name} {{}}\n\nimpl ClassTag for {name} {{\n    const CLASS: &'static str = {class:?};\n}}\n\n",
        )
        .expect("writing to a string");
    }
    out
}

pub(crate) fn fields() -> String {
    let mut out = super::header("Position of every field in its class.");
    for class in CLASSES.iter().filter(|c| !c.fields.is_empty()) {
        writeln!(
            out,
            "/// Fields of `{}`.\npub mod {} {{\nuse crate::FieldIdx;\n",
            class.name,
            snake(class.name)
        )
        .expect("writing to a string");
        for (i, field) in class.fields.iter().enumerate() {
            writeln!(
                out,
                "/// `{}`: {}.\npub const {}: FieldIdx = FieldIdx({i});",
                field.name,
                field.ty.to_string().replace('<', "\\<"),
                upper(field.name)
            )
            .expect("writing to a string");
        }
        out.push_str("}\n\n");
    }
    out
}

pub(crate) fn refs() -> String {
    let mut out = super::header(
        "Which stored fields refer to other objects: what to look at when an object goes.",
    );
    out.push_str(
        "use crate::FieldIdx;

/// A stored field that holds references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefOf {
    /// Class that has the field.
    pub class: &'static str,
    /// The field.
    pub field: FieldIdx,
    /// Class that it refers to.
    pub target: &'static str,
    /// It is a set or a map of references, not a single one.
    pub many: bool,
}

/// All of them, by class.
pub static REFS: &[RefOf] = &[\n",
    );
    for class in CLASSES.iter().filter(|c| c.implicit.getters || c.events) {
        for field in class.fields.iter().filter(|f| f.store == Store::Stored) {
            let (target, many) = match field.ty {
                Type::Ref(target) => (target, false),
                Type::Set(Type::Ref(target))
                | Type::Map(_, Type::Ref(target))
                | Type::Map(Type::Ref(target), _) => (*target, true),
                _ => continue,
            };
            writeln!(
                out,
                "RefOf {{ class: {:?}, field: crate::fields::{}::{}, target: {target:?}, many: {many} }},",
                class.name,
                snake(class.name),
                upper(field.name)
            )
            .expect("writing to a string");
        }
    }
    out.push_str("];\n");
    out
}
