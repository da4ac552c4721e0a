//! The door to the XenAPI as the commands see it: one call, or all records of a class with a few fields.
//!
//! Not here: sockets, TLS, sessions (`transport`). The session is the transport's business: commands never pass one.
//! Tests put a fake behind this trait.

use std::io::{Read, Seek, Write};

use crate::command_line::Globals;
use crate::failure::CallError;

/// A value as JSON-RPC carries it: references and dates are strings, sets are arrays, maps are objects.
pub type Value = serde_json::Value;
/// The fields of one record, by API name.
pub type Fields = serde_json::Map<String, Value>;

/// The null reference.
pub(crate) const NULL_REF: &str = "OpaqueRef:NULL";

/// A file that is sent; another server may have to get it from its beginning.
pub trait Source: Read {
    /// Goes back to the beginning.
    fn again(&mut self) -> std::io::Result<()>;
}

impl<R: Read + Seek> Source for R {
    fn again(&mut self) -> std::io::Result<()> {
        self.rewind()
    }
}

/// What can be sent once only, as no other server takes it over.
#[derive(Debug)]
pub(crate) struct Once<R>(pub(crate) R);

impl<R: Read> Read for Once<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Source for Once<R> {
    fn again(&mut self) -> std::io::Result<()> {
        Err(std::io::Error::other("it can be sent once only"))
    }
}

/// Calls a pool.
pub trait Api {
    /// Calls `method` with the parameters that follow the session.
    fn call(&mut self, method: &str, params: Vec<Value>) -> Result<Value, CallError>;

    /// All records of a class as (reference, fields); with `wanted`, only those fields are kept (uuid always is).
    fn records(
        &mut self,
        class: &str,
        wanted: Option<&[&str]>,
    ) -> Result<Vec<(String, Fields)>, CallError> {
        let all = self.call(&format!("{class}.get_all_records"), vec![])?;
        let Value::Object(all) = all else {
            return Err(CallError::Broken(format!("{class}.get_all_records did not return a map")));
        };
        let keep = |name: &str| wanted.is_none_or(|w| name == "uuid" || w.contains(&name));
        Ok(all
            .into_iter()
            .filter_map(|(reference, record)| match record {
                Value::Object(mut fields) => {
                    fields.retain(|name, _| keep(name));
                    Some((reference, fields))
                }
                _ => None,
            })
            .collect())
    }

    /// The first server asked is this machine's own daemon.
    fn is_this_host(&self) -> bool {
        false
    }

    /// The reference of the session itself, for `session.get_this_host` and the like.
    fn session(&mut self) -> Result<String, CallError>;

    /// Streams what `target` (a path with its query, without the session) gives.
    fn download(
        &mut self,
        target: &str,
        into: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), CallError>;

    /// Streams `from` to `target`; `length` where it is known. What the server answers goes to `into`.
    fn upload(
        &mut self,
        target: &str,
        from: &mut dyn Source,
        length: Option<u64>,
        into: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), CallError>;

    /// A second pool, for a migration that leaves this one.
    fn another(&mut self, globals: Globals) -> Box<dyn Api>;

    /// Leaves: logs out where a login happened. Errors do not matter any more.
    fn close(&mut self) {}
}

/// The uuid inside a reference. In Holdfast a reference names its record's uuid, whatever the class.
pub(crate) fn uuid_of_ref(reference: &str) -> Option<&str> {
    let uuid = reference.strip_prefix("OpaqueRef:")?;
    (uuid != "NULL" && !uuid.is_empty()).then_some(uuid)
}

/// The reference of a record whose uuid is known.
pub(crate) fn ref_of_uuid(uuid: &str) -> String {
    format!("OpaqueRef:{uuid}")
}

/// True for the 8-4-4-4-12 form.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// Text of a value that should be a string; numbers and truth values are spelled out.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => String::new(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        other => other.to_string(),
    }
}

/// A string value, as parameters mostly are.
pub(crate) fn s(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

/// A text map as a value.
pub(crate) fn text_map(pairs: &[(String, String)]) -> Value {
    Value::Object(pairs.iter().map(|(k, v)| (k.clone(), s(v.clone()))).collect())
}
