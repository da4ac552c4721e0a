//! Writing values as XML-RPC, the way XenServer does: integers and text as bare `<value>`, no result as the empty text.

use std::io::Write;

use crate::write_json::integer;
use crate::{MapRef, Value};

/// What each byte needs in XML text: 0 nothing, 1 an entity, 2 it can't be said and is left out as XenServer does, 3 a character
/// reference (a bare carriage return would be read back as a line feed), 4 perhaps the start of U+FFFE or U+FFFF, which XML
/// forbids.
static ESCAPES: [u8; 256] = escapes();

const fn escapes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = 2;
        byte += 1;
    }
    table[b'\t' as usize] = 0;
    table[b'\n' as usize] = 0;
    table[b'\r' as usize] = 3;
    table[b'<' as usize] = 1;
    table[b'>' as usize] = 1;
    table[b'&' as usize] = 1;
    table[b'"' as usize] = 1;
    table[0xef] = 4;
    table
}

/// Appends text with what XML needs escaped.
pub(crate) fn text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let class = ESCAPES[usize::from(*byte)];
        if class == 0 {
            continue;
        }
        let skip = match class {
            4 if matches!(bytes.get(at + 1..at + 3), Some([0xbf, 0xbe | 0xbf])) => 3,
            4 => continue,
            _ => 1,
        };
        out.extend_from_slice(&bytes[from..at]);
        from = at + skip;
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\r' => out.extend_from_slice(b"&#13;"),
            _ => {}
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

fn float(number: f64, out: &mut Vec<u8>) {
    let magnitude = number.abs();
    let plain = magnitude == 0.0 || (1e-5..1e16).contains(&magnitude) || !number.is_finite();
    // Writing to memory doesn't fail.
    let _ = if number.is_nan() {
        out.write_all(b"nan")
    } else if plain {
        write!(out, "{number}")
    } else {
        write!(out, "{number:e}")
    };
}

/// Appends a `<value>`.
pub(crate) fn value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Void => out.extend_from_slice(b"<value></value>"),
        Value::Str(text) => {
            out.extend_from_slice(b"<value>");
            self::text(text, out);
            out.extend_from_slice(b"</value>");
        }
        Value::Int(number) => {
            out.extend_from_slice(b"<value>");
            integer(*number, out);
            out.extend_from_slice(b"</value>");
        }
        Value::Float(number) => {
            out.extend_from_slice(b"<value><double>");
            float(*number, out);
            out.extend_from_slice(b"</double></value>");
        }
        Value::Bool(truth) => out.extend_from_slice(if *truth {
            b"<value><boolean>1</boolean></value>"
        } else {
            b"<value><boolean>0</boolean></value>"
        }),
        Value::DateTime(time) => {
            out.extend_from_slice(b"<value><dateTime.iso8601>");
            out.extend_from_slice(&time.to_bytes());
            out.extend_from_slice(b"</dateTime.iso8601></value>");
        }
        Value::Ref(opaque) => {
            out.extend_from_slice(b"<value>");
            opaque.write(out);
            out.extend_from_slice(b"</value>");
        }
        Value::Set(items) => {
            out.extend_from_slice(b"<value><array><data>");
            for item in items {
                self::value(item, out);
            }
            out.extend_from_slice(b"</data></array></value>");
        }
        Value::Map(pairs) => map(MapRef::new(pairs), out),
        Value::Struct(members) => {
            out.extend_from_slice(b"<value><struct>");
            for (name, member) in members {
                out.extend_from_slice(b"<member><name>");
                text(name, out);
                out.extend_from_slice(b"</name>");
                self::value(member, out);
                out.extend_from_slice(b"</member>");
            }
            out.extend_from_slice(b"</struct></value>");
        }
        Value::Record(record) => record.write_xml(out),
        Value::Projected(projection) => projection.write_xml(out),
    }
}

fn map(pairs: MapRef<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<value><struct>");
    for (key, member) in pairs.pairs() {
        out.extend_from_slice(b"<member><name>");
        match key {
            Value::Str(name) => text(name, out),
            other => crate::wire::plain_key(other, out),
        }
        out.extend_from_slice(b"</name>");
        value(member, out);
        out.extend_from_slice(b"</member>");
    }
    out.extend_from_slice(b"</struct></value>");
}
