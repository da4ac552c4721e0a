//! Records on the wire: all fields in API order, mostly by copying.
//!
//! For each class one [`Template`] per format holds a whole record of nothing but defaults. Writing a record copies the template
//! up to the value of each field that differs, writes that value, and goes on behind the default: with 20 of 92 fields set that is
//! 21 copies. Results of any size are written in pieces: see [`RecordMap`] and [`Envelope`].

use datamodel::{Class, Type};

use crate::{
    Error, FieldIdx, OpaqueRef, Projection, Record, Value, jsonrpc, write_json, write_xml, xmlrpc,
};

/// A record of nothing but defaults as bytes, with the place of each value.
#[derive(Debug)]
pub struct Template {
    bytes: Box<[u8]>,
    /// Per field, where its default value begins and ends in `bytes`.
    places: Box<[(u32, u32)]>,
    /// For fields that are left out when they are void (XenAPI `option`): what to write before and after a value.
    optional: Box<[(FieldIdx, Box<[u8]>)]>,
    optional_suffix: &'static [u8],
    /// Written over the first byte: JSON fields each begin with a comma, the first of which becomes the brace.
    first_byte: Option<u8>,
}

impl Template {
    pub(crate) fn json(class: &Class, defaults: &[Value]) -> Self {
        let name = |name: &str, out: &mut Vec<u8>| {
            out.push(b',');
            write_json::string(name, out);
            out.push(b':');
        };
        let mut template = Self::build(class, defaults, name, write_json::value, b"", b"}");
        template.first_byte = Some(b'{');
        template
    }

    pub(crate) fn xml(class: &Class, defaults: &[Value]) -> Self {
        let name = |name: &str, out: &mut Vec<u8>| {
            out.extend_from_slice(b"<member><name>");
            write_xml::text(name, out);
            out.extend_from_slice(b"</name>");
        };
        let (open, close) = (b"<value><struct>", b"</struct></value>");
        let mut template =
            Self::build(class, defaults, name, write_xml::value, b"</member>", close);
        template.prepend(open);
        template
    }

    fn build(
        class: &Class,
        defaults: &[Value],
        name: impl Fn(&str, &mut Vec<u8>),
        value: impl Fn(&Value, &mut Vec<u8>),
        suffix: &'static [u8],
        close: &[u8],
    ) -> Self {
        let mut bytes = Vec::new();
        let mut places = Vec::new();
        let mut optional = Vec::new();
        let offset =
            |bytes: &Vec<u8>| u32::try_from(bytes.len()).expect("a record of defaults is small");
        for (index, (field, default)) in (0..).zip(class.fields.iter().zip(defaults)) {
            if matches!(field.ty, Type::Optional(_)) && default.is_void() {
                let mut prefix = Vec::new();
                name(field.name, &mut prefix);
                optional.push((FieldIdx(index), prefix.into_boxed_slice()));
                places.push((offset(&bytes), offset(&bytes)));
                continue;
            }
            name(field.name, &mut bytes);
            let from = offset(&bytes);
            value(default, &mut bytes);
            places.push((from, offset(&bytes)));
            bytes.extend_from_slice(suffix);
        }
        bytes.extend_from_slice(close);
        Self {
            bytes: bytes.into_boxed_slice(),
            places: places.into_boxed_slice(),
            optional: optional.into_boxed_slice(),
            optional_suffix: suffix,
            first_byte: None,
        }
    }

    fn prepend(&mut self, open: &[u8]) {
        let shift = u32::try_from(open.len()).expect("an opening tag is short");
        self.bytes = [open, &self.bytes].concat().into_boxed_slice();
        for (from, to) in &mut self.places {
            *from += shift;
            *to += shift;
        }
    }

    /// Writes a record whose non-default values are `changed`, in field order.
    fn write<'a>(
        &self,
        changed: impl Iterator<Item = (FieldIdx, &'a Value)>,
        value: impl Fn(&Value, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let mut copied = 0;
        for (field, changed) in changed {
            let (from, to) = self.places[field.at()];
            let (from, to) = (from as usize, to as usize);
            out.extend_from_slice(&self.bytes[copied..from]);
            copied = to;
            if from < to {
                value(changed, out);
            } else if !changed.is_void()
                && let Ok(at) = self.optional.binary_search_by_key(&field, |(known, _)| *known)
            {
                out.extend_from_slice(&self.optional[at].1);
                value(changed, out);
                out.extend_from_slice(self.optional_suffix);
            }
        }
        out.extend_from_slice(&self.bytes[copied..]);
        if let Some(first) = self.first_byte {
            if out[start] == b',' {
                out[start] = first;
            } else {
                out.insert(start, first);
            }
        }
    }
}

/// Appends a map key that isn't text, without quotes: no character of it needs escaping in either format.
pub(crate) fn plain_key(key: &Value, out: &mut Vec<u8>) {
    match key {
        Value::Ref(opaque) => opaque.write(out),
        Value::Int(number) => write_json::integer(*number, out),
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::DateTime(time) => out.extend_from_slice(&time.to_bytes()),
        Value::Float(number) => out.extend_from_slice(number.to_string().as_bytes()),
        // No map of the XenAPI has such keys.
        Value::Void
        | Value::Str(_)
        | Value::Set(_)
        | Value::Map(_)
        | Value::Struct(_)
        | Value::Record(_)
        | Value::Projected(_) => {}
    }
}

impl Record {
    /// Appends the record as JSON: all fields, API order.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.info().json.write(self.iter_set(), write_json::value, out);
    }

    /// Appends the record as an XML-RPC `<value>`: all fields, API order.
    pub fn write_xml(&self, out: &mut Vec<u8>) {
        self.info().xml.write(self.iter_set(), write_xml::value, out);
    }
}

impl Projection {
    /// Appends the record as clients see it as JSON: all fields, API order.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.base().info().json.write(self.merged(), write_json::value, out);
    }

    /// Appends the record as clients see it as an XML-RPC `<value>`: all fields, API order.
    pub fn write_xml(&self, out: &mut Vec<u8>) {
        self.base().info().xml.write(self.merged(), write_xml::value, out);
    }

    /// Values that differ from the class's defaults or were put over, in field order.
    fn merged(&self) -> impl Iterator<Item = (FieldIdx, &Value)> {
        let mut base = self.base().iter_set().peekable();
        let mut over = self.overrides().iter().map(|(field, value)| (*field, value)).peekable();
        std::iter::from_fn(move || match (base.peek(), over.peek()) {
            (Some((below, _)), Some((above, _))) if below < above => base.next(),
            (Some((below, _)), Some((above, _))) => {
                if below == above {
                    base.next();
                }
                over.next()
            }
            (Some(_), None) => base.next(),
            (None, _) => over.next(),
        })
    }
}

/// How an answer is framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// XML-RPC.
    XmlRpc,
    /// JSON-RPC of that version, with the caller's id.
    JsonRpc(jsonrpc::Version, jsonrpc::Id),
}

/// Writes one answer, whole or in pieces: `begin`, values by any of the writers, `end`. The pieces may be sent as they are
/// made; nothing here keeps what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    protocol: Protocol,
}

impl Envelope {
    /// An envelope for that protocol.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol }
    }

    /// The protocol.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// Content type of the answer.
    pub fn content_type(&self) -> &'static str {
        match self.protocol {
            Protocol::XmlRpc => "text/xml",
            Protocol::JsonRpc(..) => "application/json",
        }
    }

    /// Appends what comes before the result.
    pub fn begin(&self, out: &mut Vec<u8>) {
        match &self.protocol {
            Protocol::XmlRpc => xmlrpc::begin_success(out),
            Protocol::JsonRpc(version, _) => jsonrpc::begin_success(*version, out),
        }
    }

    /// Appends what comes after the result.
    pub fn end(&self, out: &mut Vec<u8>) {
        match &self.protocol {
            Protocol::XmlRpc => xmlrpc::end_success(out),
            Protocol::JsonRpc(version, id) => jsonrpc::end_success(*version, id, out),
        }
    }

    /// Appends a value in this protocol's format.
    pub fn value(&self, value: &Value, out: &mut Vec<u8>) {
        match self.protocol {
            Protocol::XmlRpc => write_xml::value(value, out),
            Protocol::JsonRpc(..) => write_json::value(value, out),
        }
    }

    /// Appends a whole answer with that result.
    pub fn success(&self, result: &Value, out: &mut Vec<u8>) {
        self.begin(out);
        self.value(result, out);
        self.end(out);
    }

    /// Appends a whole answer with that error.
    pub fn failure(&self, error: &Error, out: &mut Vec<u8>) {
        match &self.protocol {
            Protocol::XmlRpc => xmlrpc::write_failure(error, out),
            Protocol::JsonRpc(version, id) => jsonrpc::write_failure(*version, id, error, out),
        }
    }

    /// Begins a map from references to records, as `get_all_records` returns it.
    pub fn record_map(&self) -> RecordMap {
        RecordMap { xml: self.protocol == Protocol::XmlRpc, count: 0 }
    }
}

/// Writes a map from references to records in pieces: `begin`, any number of entries, `end`.
#[derive(Debug)]
pub struct RecordMap {
    xml: bool,
    count: usize,
}

impl RecordMap {
    /// Appends the opening.
    pub fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.xml { b"<value><struct>" } else { b"{" });
    }

    /// Appends one record as clients see it.
    pub fn projection(&mut self, opaque: OpaqueRef, projection: &Projection, out: &mut Vec<u8>) {
        self.key(opaque, out);
        if self.xml {
            projection.write_xml(out);
        } else {
            projection.write_json(out);
        }
        self.close_entry(out);
    }

    /// Appends one record as it is.
    pub fn record(&mut self, opaque: OpaqueRef, record: &Record, out: &mut Vec<u8>) {
        self.key(opaque, out);
        if self.xml {
            record.write_xml(out);
        } else {
            record.write_json(out);
        }
        self.close_entry(out);
    }

    /// Appends the closing.
    pub fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.xml { b"</struct></value>" } else { b"}" });
    }

    fn key(&mut self, opaque: OpaqueRef, out: &mut Vec<u8>) {
        if self.xml {
            out.extend_from_slice(b"<member><name>");
            opaque.write(out);
            out.extend_from_slice(b"</name>");
        } else {
            if self.count > 0 {
                out.push(b',');
            }
            out.push(b'"');
            opaque.write(out);
            out.extend_from_slice(b"\":");
        }
        self.count += 1;
    }

    fn close_entry(&self, out: &mut Vec<u8>) {
        if self.xml {
            out.extend_from_slice(b"</member>");
        }
    }
}
