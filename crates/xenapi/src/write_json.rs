//! Writing values as JSON, the way XenServer answers on `/jsonrpc`: times and references as text, maps as objects, no result as
//! the empty text.

use crate::{MapRef, Value};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// What each byte needs in a JSON string: 0 nothing, `u` a `\u00XX`, else the letter after the backslash.
static ESCAPES: [u8; 256] = escapes();

const fn escapes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
}

/// Appends a JSON string.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[usize::from(*byte)];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'0', b'0', HEX[high], HEX[low]]);
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Appends a decimal integer.
pub(crate) fn integer(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a decimal digit is below ten");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a double; JSON has no word for what is no number, so that becomes `null`.
fn float(number: f64, out: &mut Vec<u8>) {
    if serde_json::to_writer(&mut *out, &number).is_err() {
        out.extend_from_slice(b"null");
    }
}

/// Appends a value.
pub(crate) fn value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Void => out.extend_from_slice(b"\"\""),
        Value::Str(text) => string(text, out),
        Value::Int(number) => integer(*number, out),
        Value::Float(number) => float(*number, out),
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::DateTime(time) => {
            out.push(b'"');
            out.extend_from_slice(&time.to_bytes());
            out.push(b'"');
        }
        Value::Ref(opaque) => {
            out.push(b'"');
            opaque.write(out);
            out.push(b'"');
        }
        Value::Set(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                self::value(item, out);
            }
            out.push(b']');
        }
        Value::Map(pairs) => map(MapRef::new(pairs), out),
        Value::Struct(members) => {
            out.push(b'{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                string(name, out);
                out.push(b':');
                self::value(member, out);
            }
            out.push(b'}');
        }
        Value::Record(record) => record.write_json(out),
        Value::Projected(projection) => projection.write_json(out),
    }
}

fn map(pairs: MapRef<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (key, member)) in pairs.pairs().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match key {
            Value::Str(text) => string(text, out),
            other => {
                out.push(b'"');
                crate::wire::plain_key(other, out);
                out.push(b'"');
            }
        }
        out.push(b':');
        value(member, out);
    }
    out.push(b'}');
}
