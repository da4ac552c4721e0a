//! Writes `calls/`: a parameter struct per explicit message, decoded from and encoded to values.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use datamodel::{CLASSES, Class, Message};

use super::names::{doc_line, owned, parameter, snake, type_name};

/// Files by path below the generated directory.
pub(crate) fn files() -> BTreeMap<String, String> {
    let with_messages = || CLASSES.iter().filter(|c| !c.messages.is_empty());
    let mut files: BTreeMap<_, _> =
        with_messages().map(|c| (format!("calls/{}.rs", snake(c.name)), file(c))).collect();

    let mut module = super::header("Parameters of every explicit message, by class.");
    for class in with_messages() {
        writeln!(module, "pub mod {};", snake(class.name)).expect("writing to a string");
    }
    module.push_str(
        "
use crate::{Error, IntoValue, Value};

/// The parameters of one message, without the session.
pub trait Params: Sized + Send + 'static {
    /// Full name, such as `VM.start`.
    const METHOD: &'static str;
    /// Rust type of the result.
    type Output: IntoValue;

    /// The message.
    fn message() -> &'static datamodel::Message;

    /// Gives the values of a call their declared types; absent optional ones take their default.
    fn decode(given: &[Value]) -> Result<Self, Error>;

    /// All parameters as values, in order.
    fn encode(self) -> Vec<Value>;
}

/// A value of a declared type as its Rust type.
fn take<T: crate::FromValue>(given: &mut std::vec::IntoIter<Value>, name: &str) -> Result<T, Error> {
    given.next().and_then(|value| T::from_value(&value)).ok_or_else(|| Error::field_type_error(name))
}

/// The message of that name, which exists because this code was generated from it.
fn declared(class: &'static datamodel::Class, name: &str) -> &'static datamodel::Message {
    class.message(name).expect(\"generated from this message\")
}
",
    );
    files.insert("calls/mod.rs".to_owned(), module);
    files
}

fn file(class: &Class) -> String {
    let mut out = super::header(&format!("Parameters of the messages of `{}`.", class.name));
    out.push_str("use super::{Params, declared, take};\n\n");
    for message in class.messages {
        out.push_str(&call(class, message));
    }
    if !out.contains("take(") {
        out = out.replace("declared, take}", "declared}");
    }
    out
}

fn call(class: &Class, message: &Message) -> String {
    let name = type_name(message.name);
    let params: Vec<_> =
        message.params.iter().map(|p| (parameter(p.name, class.name), p)).collect();
    let fields: String = params
        .iter()
        .map(|(field, p)| {
            let default = if p.default.is_some() { ", may be left out" } else { "" };
            let ty = p.ty.to_string().replace('<', "\\<");
            format!("    /// {ty}{default}.\n    pub {field}: {},\n", owned(&p.ty))
        })
        .collect();
    let taken: String = params
        .iter()
        .map(|(field, p)| format!("{field}: take(&mut given, {:?})?,\n", p.name))
        .collect();
    let given: String = params
        .iter()
        .map(|(field, _)| format!("crate::IntoValue::into_value(self.{field}),\n"))
        .collect();
    let debug = if message.secret { "" } else { "Debug, " };
    let body = if fields.is_empty() { ";\n".to_owned() } else { format!(" {{\n{fields}}}\n") };
    let (bind, build) = if params.is_empty() {
        ("", "Self".to_owned())
    } else {
        ("let mut given = ", format!("Self {{ {taken} }}"))
    };
    let iterate = if params.is_empty() { "" } else { ".into_iter()" };
    let class_path = format!("&datamodel::classes::{}::CLASS", snake(class.name));
    let mut out = format!(
        "/// `{class}.{method}`: {doc}\n#[derive({debug}Clone, PartialEq)]\npub struct {name}{body}
impl Params for {name} {{
    const METHOD: &'static str = \"{class}.{method}\";
    type Output = {output};

    fn message() -> &'static datamodel::Message {{
        declared({class_path}, {method:?})
    }}

    fn decode(given: &[crate::Value]) -> Result<Self, crate::Error> {{
        {bind}crate::coerce::params(Self::METHOD, Self::message().params, given.to_vec())?{iterate};
        Ok({build})
    }}

    fn encode(self) -> Vec<crate::Value> {{
        vec![{given}]
    }}
}}

",
        class = class.name,
        method = message.name,
        doc = doc_line(message.doc),
        output = owned(&message.result),
    );
    if message.secret {
        write!(
            out,
            "// Holds secrets: shown by name only.\nimpl std::fmt::Debug for {name} {{\n    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{\n        f.write_str(\"{name} {{ .. }}\")\n    }}\n}}\n\n"
        )
        .expect("writing to a string");
    }
    out
}
