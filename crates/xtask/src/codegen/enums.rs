//! Writes `enums.rs`: one Rust enum per XenAPI enum.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::names::{camel, type_name, upper};

pub(crate) fn file() -> String {
    let mut out = super::header("The enums of the XenAPI.");
    out.push_str("use std::fmt;\n\nuse crate::{ApiEnum, FromValue, IntoValue, Value};\n\n");
    for def in datamodel::ENUMS {
        let name = type_name(def.name);
        let variants: Vec<String> = def.values.iter().map(|word| camel(word)).collect();
        let distinct: BTreeSet<_> = variants.iter().collect();
        assert_eq!(distinct.len(), variants.len(), "words of {} clash in Rust", def.name);
        let first = variants.first().expect("an enum has words");

        writeln!(
            out,
            "/// `{}`.\n#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]\npub enum {name} {{",
            def.name
        )
        .expect("writing to a string");
        for (variant, word) in variants.iter().zip(def.values) {
            let default = if variant == first { "#[default]\n" } else { "" };
            writeln!(out, "/// `{word}`.\n{default}{variant},").expect("writing to a string");
        }
        let arms = |arrow: &dyn Fn(&str, &str) -> String| -> String {
            variants.iter().zip(def.values).map(|(v, w)| arrow(v, w)).collect()
        };
        let to_word = arms(&|v, w| format!("Self::{v} => {w:?},\n"));
        let from_word = arms(&|v, w| format!("{w:?} => Self::{v},\n"));
        let all = variants.iter().map(|v| format!("Self::{v}, ")).collect::<String>();
        write!(
            out,
            "}}

impl {name} {{
    /// Every word, in the order of the reference.
    pub const ALL: [Self; {count}] = [{all}];

    /// Its word on the wire.
    pub const fn as_str(self) -> &'static str {{
        match self {{ {to_word} }}
    }}

    /// The variant of that exact word.
    pub fn parse(word: &str) -> Option<Self> {{
        Some(match word {{ {from_word} _ => return None }})
    }}
}}

impl ApiEnum for {name} {{
    const DEF: &'static datamodel::EnumDef = &datamodel::enums::{constant};

    fn as_str(self) -> &'static str {{
        self.as_str()
    }}

    fn parse(word: &str) -> Option<Self> {{
        Self::parse(word)
    }}
}}

impl fmt::Display for {name} {{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {{
        f.pad(self.as_str())
    }}
}}

impl FromValue for {name} {{
    fn from_value(value: &Value) -> Option<Self> {{
        value.as_str().and_then(Self::parse)
    }}
}}

impl IntoValue for {name} {{
    fn into_value(self) -> Value {{
        Value::word(self.as_str())
    }}
}}

impl From<{name}> for Value {{
    fn from(word: {name}) -> Self {{
        word.into_value()
    }}
}}

",
            count = variants.len(),
            constant = upper(def.name),
        )
        .expect("writing to a string");
    }
    out
}
