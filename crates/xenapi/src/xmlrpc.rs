//! XML-RPC as XenServer speaks it: every answer is a struct with `Status` and `Value` or `ErrorDescription`.
//!
//! Reading takes all of XML-RPC's types and `nil`, a `<value>` without a type as text, and integers of any width. Text that an
//! `<int>`, `<double>`, `<boolean>` or time can't hold is kept as text, so that [`Value::coerce`] refuses it under the name of
//! its parameter. Document types are refused: the XML-RPC has none, and they are how XML grows without bound.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use quick_xml::events::Event;
use quick_xml::{Reader, escape};

use crate::limits::MAX_METHOD_BYTES;
use crate::{Error, Limits, Text, Timestamp, Value, write_json, write_xml};

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Method, such as `VM.start`.
    pub method: Text,
    /// Parameters, session first.
    pub params: Vec<Value>,
}

/// A document that is no XML-RPC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed XML-RPC at byte {offset}: {reason}")]
pub struct Malformed {
    /// Where, in bytes from the start.
    pub offset: usize,
    /// What is wrong, for a person.
    pub reason: String,
}

// ---------------------------------------------------------------------------------------------------------------- writing

const OPEN: &[u8] = b"<?xml version=\"1.0\"?><methodResponse><params><param>";
const CLOSE: &[u8] = b"</param></params></methodResponse>";

pub(crate) fn begin_success(out: &mut Vec<u8>) {
    out.extend_from_slice(OPEN);
    out.extend_from_slice(
        b"<value><struct><member><name>Status</name><value>Success</value></member>",
    );
    out.extend_from_slice(b"<member><name>Value</name>");
}

pub(crate) fn end_success(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</member></struct></value>");
    out.extend_from_slice(CLOSE);
}

/// Appends the answer of a call that succeeded.
pub fn write_success(result: &Value, out: &mut Vec<u8>) {
    begin_success(out);
    write_xml::value(result, out);
    end_success(out);
}

/// Appends the answer of a call that failed.
pub fn write_failure(error: &Error, out: &mut Vec<u8>) {
    out.extend_from_slice(OPEN);
    out.extend_from_slice(
        b"<value><struct><member><name>Status</name><value>Failure</value></member>",
    );
    out.extend_from_slice(b"<member><name>ErrorDescription</name><value><array><data>");
    for text in std::iter::once(&*error.code).chain(error.params.iter().map(String::as_str)) {
        out.extend_from_slice(b"<value>");
        write_xml::text(text, out);
        out.extend_from_slice(b"</value>");
    }
    out.extend_from_slice(b"</data></array></value></member></struct></value>");
    out.extend_from_slice(CLOSE);
}

/// Appends an answer without the struct around it, which is how XenServer answers `system.listMethods`.
pub fn write_bare(result: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(OPEN);
    write_xml::value(result, out);
    out.extend_from_slice(CLOSE);
}

/// Appends an XML-RPC fault: the answer to what isn't a call.
pub fn write_fault(code: i64, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<?xml version=\"1.0\"?><methodResponse><fault><value><struct>");
    out.extend_from_slice(b"<member><name>faultCode</name><value><int>");
    write_json::integer(code, out);
    out.extend_from_slice(b"</int></value></member><member><name>faultString</name><value>");
    write_xml::text(text, out);
    out.extend_from_slice(b"</value></member></struct></value></fault></methodResponse>");
}

/// Appends a call.
pub fn encode_call(method: &str, params: &[Value], out: &mut Vec<u8>) {
    out.extend_from_slice(b"<?xml version=\"1.0\"?><methodCall><methodName>");
    write_xml::text(method, out);
    out.extend_from_slice(b"</methodName><params>");
    for param in params {
        out.extend_from_slice(b"<param>");
        write_xml::value(param, out);
        out.extend_from_slice(b"</param>");
    }
    out.extend_from_slice(b"</params></methodCall>");
}

/// Appends a value as its `<value>` element, the form of `task.result`.
pub fn encode_value(value: &Value, out: &mut Vec<u8>) {
    write_xml::value(value, out);
}

// ---------------------------------------------------------------------------------------------------------------- reading

/// Reads a call.
pub fn decode_call(body: &[u8]) -> Result<Call, Malformed> {
    let mut pull = Pull::new(body, Limits::CALL)?;
    pull.open("methodCall")?;
    pull.open("methodName")?;
    let method = pull.text("methodName")?;
    let method = method.trim();
    if method.is_empty() || method.len() > MAX_METHOD_BYTES {
        return Err(pull.fault("the method name is empty or too long"));
    }
    let mut params = Vec::new();
    // A call without parameters may leave the list out.
    if pull.open_or_close("methodCall", "params")? {
        while pull.open_or_close("params", "param")? {
            pull.open("value")?;
            params.push(pull.value(0)?);
            pull.close("param")?;
        }
        pull.close("methodCall")?;
    }
    pull.finish()?;
    Ok(Call { method: Text::new(method), params })
}

/// Reads an answer: the outer error means that it can't be read, the inner one is the server's.
pub fn decode_response(body: &[u8]) -> Result<Result<Value, Error>, Malformed> {
    let mut pull = Pull::new(body, Limits::RESPONSE)?;
    pull.open("methodResponse")?;
    let answer = match pull.element()? {
        Some(name) if name == "params" => {
            pull.open("param")?;
            pull.open("value")?;
            let value = pull.value(0)?;
            pull.close("param")?;
            pull.close("params")?;
            unwrap_status(value)
                .ok_or_else(|| pull.fault("a failure without an error description"))?
        }
        Some(name) if name == "fault" => {
            pull.open("value")?;
            let value = pull.value(0)?;
            pull.close("fault")?;
            let part = |name| match value.member(name) {
                Some(Value::Str(text)) => text.to_string(),
                Some(Value::Int(number)) => number.to_string(),
                _ => String::new(),
            };
            Err(Error::new("Fault", [part("faultCode"), part("faultString")]))
        }
        _ => return Err(pull.fault("neither <params> nor <fault>")),
    };
    pull.close("methodResponse")?;
    pull.finish()?;
    Ok(answer)
}

/// Reads one `<value>` element, the form of `task.result`.
pub fn decode_value(text: &[u8], limits: Limits) -> Result<Value, Malformed> {
    let mut pull = Pull::new(text, limits)?;
    pull.open("value")?;
    let value = pull.value(0)?;
    pull.finish()?;
    Ok(value)
}

fn unwrap_status(value: Value) -> Option<Result<Value, Error>> {
    let Value::Struct(members) = value else { return Some(Ok(value)) };
    let status =
        members.iter().find(|(name, _)| name == "Status").and_then(|(_, status)| status.as_str());
    let wanted = match status {
        Some("Success") => "Value",
        Some("Failure") => "ErrorDescription",
        _ => return Some(Ok(Value::Struct(members))),
    };
    let success = wanted == "Value";
    let content = members.into_iter().find(|(name, _)| name == wanted).map(|(_, content)| content);
    if success {
        return Some(Ok(content.unwrap_or_default()));
    }
    let Some(Value::Set(list)) = content else { return None };
    let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    Error::from_list(&texts?).map(Err)
}

/// What the document says next.
enum Token<'a> {
    Open(Text),
    Close,
    Text(std::borrow::Cow<'a, str>),
    End,
}

/// Lenient about padding, as clients differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Pulls XML-RPC's elements from a document, within limits.
struct Pull<'a> {
    reader: Reader<&'a [u8]>,
    limits: Limits,
    left: usize,
}

impl<'a> Pull<'a> {
    fn new(body: &'a [u8], limits: Limits) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(body)
            .map_err(|e| Malformed { offset: e.valid_up_to(), reason: "not UTF-8".to_owned() })?;
        let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        reader.config_mut().expand_empty_elements = true;
        Ok(Self { reader, limits, left: limits.values })
    }

    fn fault(&self, reason: impl Into<String>) -> Malformed {
        let offset = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        Malformed { offset, reason: reason.into() }
    }

    fn next(&mut self) -> Result<Token<'a>, Malformed> {
        loop {
            let event = self.reader.read_event().map_err(|e| self.fault(e.to_string()))?;
            return Ok(match event {
                Event::Start(tag) | Event::Empty(tag) => {
                    let name = tag.local_name();
                    let name =
                        std::str::from_utf8(name.as_ref()).map_err(|_| self.fault("not UTF-8"))?;
                    Token::Open(Text::new(name))
                }
                Event::End(_) => Token::Close,
                Event::Text(text) => {
                    Token::Text(text.xml10_content().map_err(|e| self.fault(e.to_string()))?)
                }
                Event::CData(text) => {
                    Token::Text(text.xml10_content().map_err(|e| self.fault(e.to_string()))?)
                }
                Event::GeneralRef(entity) => {
                    if let Some(char) =
                        entity.resolve_char_ref().map_err(|e| self.fault(e.to_string()))?
                    {
                        Token::Text(char.to_string().into())
                    } else {
                        let name = entity.decode().map_err(|e| self.fault(e.to_string()))?;
                        let known = escape::resolve_xml_entity(&name);
                        Token::Text(known.ok_or_else(|| self.fault("unknown entity"))?.into())
                    }
                }
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => continue,
                Event::DocType(_) => return Err(self.fault("document types are refused")),
                Event::Eof => Token::End,
            });
        }
    }

    /// The next element's name, or `None` where the enclosing element is closed. Only space may come before.
    fn element(&mut self) -> Result<Option<Text>, Malformed> {
        loop {
            match self.next()? {
                Token::Open(name) => return Ok(Some(name)),
                Token::Close => return Ok(None),
                Token::Text(text) if is_blank(&text) => {}
                Token::Text(_) => return Err(self.fault("text where an element is due")),
                Token::End => return Err(self.fault("the document ends too early")),
            }
        }
    }

    fn open(&mut self, wanted: &str) -> Result<(), Malformed> {
        match self.element()? {
            Some(name) if name == wanted => Ok(()),
            Some(name) => Err(self.fault(format!("<{name}> where <{wanted}> is due"))),
            None => Err(self.fault(format!("<{wanted}> is missing"))),
        }
    }

    /// True if the element `wanted` opens, false if `parent` closes.
    fn open_or_close(&mut self, parent: &str, wanted: &str) -> Result<bool, Malformed> {
        match self.element()? {
            Some(name) if name == wanted => Ok(true),
            Some(name) => {
                Err(self.fault(format!("<{name}> where <{wanted}> or </{parent}> is due")))
            }
            None => Ok(false),
        }
    }

    fn close(&mut self, parent: &str) -> Result<(), Malformed> {
        match self.element()? {
            None => Ok(()),
            Some(name) => Err(self.fault(format!("<{name}> where </{parent}> is due"))),
        }
    }

    /// The text of an element that holds nothing else.
    fn text(&mut self, parent: &str) -> Result<Text, Malformed> {
        let mut whole = String::new();
        loop {
            match self.next()? {
                Token::Text(text) if whole.is_empty() => whole = text.into_owned(),
                Token::Text(text) => whole.push_str(&text),
                Token::Close => return Ok(Text::new(whole)),
                Token::Open(name) => return Err(self.fault(format!("<{name}> inside <{parent}>"))),
                Token::End => return Err(self.fault("the document ends too early")),
            }
        }
    }

    /// Nothing but space may follow.
    fn finish(&mut self) -> Result<(), Malformed> {
        loop {
            match self.next()? {
                Token::End => return Ok(()),
                Token::Text(text) if is_blank(&text) => {}
                _ => return Err(self.fault("something follows the document")),
            }
        }
    }

    fn take(&mut self) -> Result<(), Malformed> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| self.fault(format!("more than {} values", self.limits.values)))?;
        Ok(())
    }

    /// The content of a `<value>` that was just opened, up to and with its end.
    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        self.take()?;
        let mut text = String::new();
        loop {
            match self.next()? {
                Token::Text(piece) if text.is_empty() => text = piece.into_owned(),
                Token::Text(piece) => text.push_str(&piece),
                Token::Close => return Ok(Value::Str(Text::new(text))),
                Token::Open(kind) if is_blank(&text) => {
                    let value = self.typed(&kind, depth)?;
                    self.close("value")?;
                    return Ok(value);
                }
                Token::Open(kind) => return Err(self.fault(format!("text before <{kind}>"))),
                Token::End => return Err(self.fault("the document ends too early")),
            }
        }
    }

    fn typed(&mut self, kind: &str, depth: usize) -> Result<Value, Malformed> {
        if depth >= self.limits.depth {
            return Err(self.fault(format!("nested deeper than {}", self.limits.depth)));
        }
        Ok(match kind {
            "array" => {
                let mut items = Vec::new();
                if self.open_or_close("array", "data")? {
                    while self.open_or_close("data", "value")? {
                        items.push(self.value(depth + 1)?);
                    }
                    self.close("array")?;
                }
                Value::Set(items)
            }
            "struct" => {
                let mut members = Vec::new();
                while self.open_or_close("struct", "member")? {
                    self.open("name")?;
                    let name = self.text("name")?;
                    self.open("value")?;
                    members.push((name, self.value(depth + 1)?));
                    self.close("member")?;
                }
                Value::Struct(members)
            }
            "nil" => {
                self.close("nil")?;
                Value::Void
            }
            "string" => Value::Str(self.text(kind)?),
            "int" | "i4" | "i8" | "i2" | "i1" => {
                let text = self.text(kind)?;
                text.trim().parse().map_or(Value::Str(text), Value::Int)
            }
            "double" | "float" => {
                let text = self.text(kind)?;
                text.trim().parse().map_or(Value::Str(text), Value::Float)
            }
            "boolean" => {
                let text = self.text(kind)?;
                match text.trim() {
                    "1" | "true" => Value::Bool(true),
                    "0" | "false" => Value::Bool(false),
                    _ => Value::Str(text),
                }
            }
            "dateTime.iso8601" => {
                let text = self.text(kind)?;
                Timestamp::parse(&text).map_or(Value::Str(text), Value::DateTime)
            }
            "base64" => {
                let text = self.text(kind)?;
                let packed: Vec<u8> =
                    text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
                let bytes = BASE64.decode(packed).map_err(|e| self.fault(e.to_string()))?;
                // No type of the XenAPI is binary.
                let text = String::from_utf8(bytes)
                    .map_err(|_| self.fault("base64 of what is no text"))?;
                Value::Str(text.into())
            }
            other => return Err(self.fault(format!("<{other}> is no type of XML-RPC"))),
        })
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_whitespace())
}
