//! JSON-RPC 1.0 and 2.0 as XenServer speaks them on `/jsonrpc`.
//!
//! | | success | failure |
//! |---|---|---|
//! | 1.0 | `{"result":…,"error":null,"id":…}` | `{"result":null,"error":[code,params…],"id":…}` |
//! | 2.0 | `{"jsonrpc":"2.0","result":…,"id":…}` | `{"jsonrpc":"2.0","error":{"code":1,"message":CODE,"data":[params…]},"id":…}` |
//!
//! The version of the answer is that of the call. Params are a list with the session first; 2.0 also takes one object, which
//! becomes the only parameter, as in XenServer. The id may be any JSON value and is given back byte for byte; a call without an
//! id is answered with `"id":null`. Batches are refused. What can't be read is answered with -32700 or -32600.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::limits::MAX_METHOD_BYTES;
use crate::{Error, Limits, Text, Value, write_json};

/// Version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Without a `jsonrpc` member.
    V1,
    /// `"jsonrpc":"2.0"`.
    V2,
}

/// The caller's id, as its raw JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(Box<str>);

impl Id {
    /// The id `null`.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// A number.
    pub fn number(number: u64) -> Self {
        Self(number.to_string().into())
    }

    /// Its JSON.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Version it came in.
    pub version: Version,
    /// Id to give back.
    pub id: Id,
    /// Method, such as `VM.start`.
    pub method: Text,
    /// Parameters, session first.
    pub params: Vec<Value>,
}

/// What is wrong with a request, by JSON-RPC's own codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No JSON: -32700.
    Parse,
    /// JSON, but no call: -32600.
    InvalidRequest,
}

impl Fault {
    /// JSON-RPC's number for it.
    pub const fn code(self) -> i64 {
        match self {
            Self::Parse => -32_700,
            Self::InvalidRequest => -32_600,
        }
    }
}

/// A request or answer that can't be read. [`write_malformed`] answers it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    /// Kind of fault.
    pub fault: Fault,
    /// What exactly, for a person.
    pub reason: String,
    /// Version, as far as it could be read.
    pub version: Version,
    /// Id, as far as it could be read.
    pub id: Id,
}

// ---------------------------------------------------------------------------------------------------------------- writing

pub(crate) fn begin_success(version: Version, out: &mut Vec<u8>) {
    out.extend_from_slice(match version {
        Version::V1 => b"{\"result\":".as_slice(),
        Version::V2 => b"{\"jsonrpc\":\"2.0\",\"result\":",
    });
}

pub(crate) fn end_success(version: Version, id: &Id, out: &mut Vec<u8>) {
    out.extend_from_slice(match version {
        Version::V1 => b",\"error\":null,\"id\":".as_slice(),
        Version::V2 => b",\"id\":",
    });
    out.extend_from_slice(id.0.as_bytes());
    out.push(b'}');
}

/// Appends the answer of a call that succeeded.
pub fn write_success(version: Version, id: &Id, result: &Value, out: &mut Vec<u8>) {
    begin_success(version, out);
    write_json::value(result, out);
    end_success(version, id, out);
}

/// Appends the answer of a call that failed.
pub fn write_failure(version: Version, id: &Id, error: &Error, out: &mut Vec<u8>) {
    let strings = |first: Option<&str>, out: &mut Vec<u8>| {
        out.push(b'[');
        for (index, text) in
            first.into_iter().chain(error.params.iter().map(String::as_str)).enumerate()
        {
            if index > 0 {
                out.push(b',');
            }
            write_json::string(text, out);
        }
        out.push(b']');
    };
    match version {
        Version::V1 => {
            out.extend_from_slice(b"{\"result\":null,\"error\":");
            strings(Some(&error.code), out);
        }
        Version::V2 => {
            // The number means nothing in the XenAPI, but some libraries take zero for success.
            out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":");
            write_json::string(&error.code, out);
            out.extend_from_slice(b",\"data\":");
            strings(None, out);
            out.push(b'}');
        }
    }
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id.0.as_bytes());
    out.push(b'}');
}

/// Appends the answer to a request that can't be read.
pub fn write_malformed(malformed: &Malformed, out: &mut Vec<u8>) {
    out.extend_from_slice(match malformed.version {
        Version::V1 => b"{\"result\":null,\"error\":{\"code\":".as_slice(),
        Version::V2 => b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":",
    });
    write_json::integer(malformed.fault.code(), out);
    out.extend_from_slice(b",\"message\":");
    write_json::string(&malformed.reason, out);
    out.extend_from_slice(b"},\"id\":");
    out.extend_from_slice(malformed.id.0.as_bytes());
    out.push(b'}');
}

/// Appends a call.
pub fn encode_call(version: Version, id: &Id, method: &str, params: &[Value], out: &mut Vec<u8>) {
    out.push(b'{');
    if version == Version::V2 {
        out.extend_from_slice(b"\"jsonrpc\":\"2.0\",");
    }
    out.extend_from_slice(b"\"method\":");
    write_json::string(method, out);
    out.extend_from_slice(b",\"params\":[");
    for (index, param) in params.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json::value(param, out);
    }
    out.extend_from_slice(b"],\"id\":");
    out.extend_from_slice(id.0.as_bytes());
    out.push(b'}');
}

// ---------------------------------------------------------------------------------------------------------------- reading

/// Reads a call.
pub fn decode_call(body: &[u8]) -> Result<Call, Malformed> {
    let parts = Parts::read(body, Limits::CALL)?;
    let version = parts.version.unwrap_or(Version::V1);
    let id = parts.id.clone().unwrap_or_else(Id::null);
    let refuse = |reason: &str| {
        Err(Malformed {
            fault: Fault::InvalidRequest,
            reason: reason.to_owned(),
            version,
            id: id.clone(),
        })
    };
    if let Some(reason) = parts.refusal {
        return refuse(&reason);
    }
    let method = match parts.method {
        None => return refuse("the member method is missing"),
        Some(Value::Str(method)) if method.len() <= MAX_METHOD_BYTES => method,
        Some(Value::Str(_)) => return refuse("the method name is too long"),
        Some(_) => return refuse("the member method is not a string"),
    };
    let params = match (parts.params, version) {
        (Some(Value::Set(params)), _) => params,
        (None | Some(Value::Void), Version::V2) => Vec::new(),
        (Some(named @ Value::Struct(_)), Version::V2) => vec![named],
        (None, Version::V1) => return refuse("the member params is missing"),
        (Some(_), _) => return refuse("the member params is not an array"),
    };
    Ok(Call { version, id, method, params })
}

/// Reads an answer, of either version: the outer error means that it can't be read, the inner one is the server's.
pub fn decode_response(body: &[u8]) -> Result<Result<Value, Error>, Malformed> {
    let parts = Parts::read(body, Limits::RESPONSE)?;
    let version = parts.version.unwrap_or(Version::V1);
    let id = parts.id.clone().unwrap_or_else(Id::null);
    let refuse = |reason: String| {
        Err(Malformed { fault: Fault::InvalidRequest, reason, version, id: id.clone() })
    };
    if let Some(reason) = parts.refusal {
        return refuse(reason);
    }
    match (parts.result, parts.error) {
        (Some(result), None | Some(Value::Void)) => Ok(Ok(result)),
        (None | Some(Value::Void), Some(error)) => match error_of(&error) {
            Some(error) => Ok(Err(error)),
            None => refuse(
                "the member error is neither a list of strings nor an error object".to_owned(),
            ),
        },
        (None, None) => refuse("neither result nor error".to_owned()),
        (Some(_), Some(_)) => refuse("both result and error".to_owned()),
    }
}

fn error_of(value: &Value) -> Option<Error> {
    let texts = |items: &[Value]| -> Vec<String> {
        let text = |item: &Value| match item {
            Value::Str(text) => text.to_string(),
            other => {
                let mut json = Vec::new();
                write_json::value(other, &mut json);
                String::from_utf8_lossy(&json).into_owned()
            }
        };
        items.iter().map(text).collect()
    };
    match value {
        Value::Set(list) => Error::from_list(&texts(list)),
        Value::Struct(_) => {
            let code = value.member("message")?.as_str()?;
            let params = match value.member("data") {
                Some(Value::Set(items)) => texts(items),
                None | Some(Value::Void) => Vec::new(),
                Some(other) => texts(std::slice::from_ref(other)),
            };
            Some(Error::new(code, params))
        }
        _ => None,
    }
}

/// The members of a request or an answer, each optional.
#[derive(Default)]
struct Parts {
    version: Option<Version>,
    id: Option<Id>,
    method: Option<Value>,
    params: Option<Value>,
    result: Option<Value>,
    error: Option<Value>,
    /// It is JSON, but this is wrong with it.
    refusal: Option<String>,
}

impl Parts {
    fn read(body: &[u8], limits: Limits) -> Result<Self, Malformed> {
        let fault =
            |fault, reason| Malformed { fault, reason, version: Version::V2, id: Id::null() };
        match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => return Err(fault(Fault::Parse, "the body is empty".to_owned())),
            Some(b'[') => {
                return Err(fault(Fault::InvalidRequest, "batches are not supported".to_owned()));
            }
            Some(_) => {}
        }
        let budget = Budget::new(limits);
        let mut parts = Self::default();
        let mut reader = serde_json::Deserializer::from_slice(body);
        let read = reader.deserialize_any(PartsVisitor { parts: &mut parts, budget: &budget });
        if let Err(error) = read.and_then(|()| reader.end()) {
            // Over our own limits it is still JSON, and the caller may be told under its id if that came first.
            let over = budget.exceeded.get() || error.is_data();
            let kind = if over { Fault::InvalidRequest } else { Fault::Parse };
            let mut malformed = fault(kind, error.to_string());
            malformed.version = parts.version.unwrap_or(Version::V2);
            malformed.id = parts.id.unwrap_or_else(Id::null);
            return Err(malformed);
        }
        Ok(parts)
    }
}

struct PartsVisitor<'p> {
    parts: &'p mut Parts,
    budget: &'p Budget,
}

impl<'de> Visitor<'de> for PartsVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { parts, budget } = self;
        let seed = || ValueSeed { budget, depth: 0 };
        while let Some(name) = map.next_key_seed(NameSeed)? {
            let slot = match &*name {
                "jsonrpc" => {
                    match map.next_value_seed(seed())? {
                        Value::Str(version) if version == "2.0" => {
                            parts.version = Some(Version::V2);
                        }
                        // Some libraries name the older versions.
                        Value::Str(version) if version == "1.0" => {
                            parts.version = Some(Version::V1);
                        }
                        _ => parts.refusal = Some("the member jsonrpc is not \"2.0\"".to_owned()),
                    }
                    continue;
                }
                "id" => {
                    let raw: Box<RawValue> = map.next_value()?;
                    parts.id = Some(Id(raw.get().into()));
                    continue;
                }
                "method" => &mut parts.method,
                "params" => &mut parts.params,
                "result" => &mut parts.result,
                "error" => &mut parts.error,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if slot.is_some() {
                return Err(A::Error::custom(format_args!("the member {name} is given twice")));
            }
            *slot = Some(map.next_value_seed(seed())?);
        }
        Ok(())
    }
}

/// Reads one JSON document into a value, for stored or embedded JSON that isn't an RPC.
pub fn decode_value(text: &[u8], limits: Limits) -> Result<Value, Malformed> {
    let budget = Budget::new(limits);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = ValueSeed { budget: &budget, depth: 0 }.deserialize(&mut reader);
    let fault = |error: serde_json::Error| Malformed {
        fault: Fault::Parse,
        reason: error.to_string(),
        version: Version::V2,
        id: Id::null(),
    };
    let value = read.map_err(fault)?;
    reader.end().map_err(fault)?;
    Ok(value)
}

/// Appends a value as JSON.
pub fn encode_value(value: &Value, out: &mut Vec<u8>) {
    write_json::value(value, out);
}

/// What is left of the limits while a document is read.
struct Budget {
    limits: Limits,
    left: Cell<usize>,
    exceeded: Cell<bool>,
}

impl Budget {
    fn new(limits: Limits) -> Self {
        Self { limits, left: Cell::new(limits.values), exceeded: Cell::new(false) }
    }

    fn take<E: serde::de::Error>(&self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.exceeded.set(true);
                Err(E::custom(format_args!("more than {} values", self.limits.values)))
            }
        }
    }
}

/// Reads a value straight from the text, within limits.
#[derive(Clone, Copy)]
struct ValueSeed<'b> {
    budget: &'b Budget,
    depth: usize,
}

impl ValueSeed<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= self.budget.limits.depth {
            self.budget.exceeded.set(true);
            return Err(E::custom(format_args!("nested deeper than {}", self.budget.limits.depth)));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.budget.take()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Void)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "beyond the XenAPI's integers; as a float it is refused where one is due"
    )]
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Str(Text::new(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Value::Set(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut members = Vec::new();
        while let Some(name) = map.next_key_seed(NameSeed)? {
            members.push((name, map.next_value_seed(seed)?));
        }
        Ok(Value::Struct(members))
    }
}

/// Reads a member's name.
pub(crate) struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Text;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Text, E> {
        Ok(Text::new(name))
    }
}
