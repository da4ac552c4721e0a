//! How XenAPI names become Rust names, and XenAPI types Rust types.
//!
//! `VM_metrics` becomes the type `VmMetrics` and the module `vm_metrics`; `set_VCPUs_max` becomes `SetVcpusMax`;
//! `IPv6` becomes the method `ipv6`. Nothing here writes files.

use std::collections::BTreeSet;

use datamodel::{CLASSES, Type};

/// `VmMetrics` of `VM_metrics`, `RestartHvm` of `restartHVM`, `BalanceSlb` of `balance-slb`.
pub(crate) fn camel(name: &str) -> String {
    let mut out = String::new();
    let mut before = '_';
    for c in name.chars() {
        if c.is_alphanumeric() {
            let starts = !before.is_alphanumeric() || (before.is_lowercase() && c.is_uppercase());
            if starts { out.extend(c.to_uppercase()) } else { out.extend(c.to_lowercase()) }
        }
        before = c;
    }
    // `IPv6` and the plural `PBDs` are one word each in the API: the rule above already keeps them together.
    out
}

/// `VmMetrics` of a class or message name: words are split at underscores only.
pub(crate) fn type_name(name: &str) -> String {
    let word = |w: &str| {
        let mut chars = w.chars();
        let first = chars.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(chars.map(|c| c.to_ascii_lowercase())).collect::<String>()
    };
    name.split('_').map(word).collect()
}

/// A field, parameter or module name; Rust's own words get an underscore behind.
pub(crate) fn snake(name: &str) -> String {
    let mut out: String = name
        .chars()
        .map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    if matches!(&*out, "type" | "ref" | "self" | "fn" | "static" | "mod" | "final" | "use") {
        out.push('_');
    }
    out
}

/// A parameter: `self` becomes what it is.
pub(crate) fn parameter(name: &str, class: &str) -> String {
    if name == "self" { snake(class) } else { snake(name) }
}

/// A constant.
pub(crate) fn upper(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// Every class that is known or referred to, by API name.
pub(crate) fn referable() -> BTreeSet<&'static str> {
    fn refs(ty: &Type, found: &mut BTreeSet<&'static str>) {
        match ty {
            Type::Ref(class) => {
                found.insert(class);
            }
            Type::Set(inner) | Type::Optional(inner) => refs(inner, found),
            Type::Map(key, value) => {
                refs(key, found);
                refs(value, found);
            }
            _ => {}
        }
    }
    let mut found: BTreeSet<_> =
        CLASSES.iter().filter(|c| c.implicit.getters || c.events).map(|c| c.name).collect();
    for class in CLASSES {
        class.fields.iter().for_each(|f| refs(&f.ty, &mut found));
        for message in class.messages {
            refs(&message.result, &mut found);
            message.params.iter().for_each(|p| refs(&p.ty, &mut found));
        }
    }
    found
}

/// The owned Rust type of values of a XenAPI type; paths start at `crate`.
pub(crate) fn owned(ty: &Type) -> String {
    match ty {
        Type::Void => "()".into(),
        Type::String => "crate::Text".into(),
        Type::Int => "i64".into(),
        Type::Float => "f64".into(),
        Type::Bool => "bool".into(),
        Type::DateTime => "crate::Timestamp".into(),
        Type::Ref(class) => format!("crate::Ref<crate::tag::{}>", type_name(class)),
        Type::Enum(def) => format!("crate::{}", type_name(def.name)),
        Type::Set(inner) => format!("Vec<{}>", owned(inner)),
        Type::Map(key, value) => {
            format!("std::collections::BTreeMap<{}, {}>", owned(key), owned(value))
        }
        Type::Optional(inner) => format!("Option<{}>", owned(inner)),
        // A structure that is no class with references of its own is passed as it is on the wire.
        Type::Record(class) if !referable().contains(class) => "crate::Value".into(),
        Type::Record(_) => "std::sync::Arc<crate::Record>".into(),
        Type::EventBatch | Type::AnyRecord => "crate::Value".into(),
    }
}

/// A line that may stand in a doc comment.
pub(crate) fn doc_line(text: &str) -> String {
    text.replace('[', "\\[").replace(']', "\\]").replace('<', "\\<")
}
