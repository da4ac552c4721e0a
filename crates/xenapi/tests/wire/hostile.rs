//! No input makes this crate panic: random bytes, and honest documents that were cut, flipped, repeated or spliced.

use datamodel::Type;
use proptest::collection::vec;
use proptest::prelude::*;
use xenapi::jsonrpc::{self, Id, Version};
use xenapi::{Limits, Record, Timestamp, Value, coerce, xmlrpc};

use crate::made_up::{CLASS, POKE, records, values};

/// One change to a document.
#[derive(Debug, Clone)]
enum Damage {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, prop::sample::Index, u8),
    Remove(prop::sample::Index, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    use prop::sample::Index;
    let pieces: &[&[u8]] = &[
        b"<value>",
        b"</value>",
        b"<struct>",
        b"<array><data>",
        b"&#x110000;",
        b"&",
        b"<![CDATA[",
        b"]]>",
        b"<!--",
        b"\"",
        b"\\u",
        b"{",
        b"[",
        b"]",
        b"}",
        b":",
        b",",
        b"null",
        b"1e999",
        b"-",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\0",
        b"<?",
    ];
    prop_oneof![
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        (any::<Index>(), prop::sample::select(pieces))
            .prop_map(|(at, piece)| Damage::Insert(at, piece.to_vec())),
        (any::<Index>(), any::<Index>(), 1..20_u8)
            .prop_map(|(from, to, times)| Damage::Repeat(from, to, times)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Remove(from, to)),
    ]
}

fn apply(mut text: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let len = text.len() + 1;
        let range = |a: &prop::sample::Index, b: &prop::sample::Index| {
            let (a, b) = (a.index(len), b.index(len));
            a.min(b)..a.max(b)
        };
        match damage {
            Damage::Cut(at) => text.truncate(at.index(len)),
            Damage::Flip(at, byte) if !text.is_empty() => {
                let at = at.index(text.len());
                text[at] ^= byte;
            }
            Damage::Flip(..) => {}
            Damage::Insert(at, piece) => {
                let at = at.index(len);
                text.splice(at..at, piece.iter().copied());
            }
            Damage::Repeat(from, to, times) => {
                let range = range(from, to);
                let piece = text[range.clone()].repeat(usize::from(*times));
                text.splice(range.end..range.end, piece.into_iter().take(100_000));
            }
            Damage::Remove(from, to) => {
                text.drain(range(from, to));
            }
        }
    }
    text
}

/// Reads a document every way there is. Whatever comes out is also given types, and written again.
fn read_every_way(text: &[u8]) {
    let mut values = Vec::new();
    if let Ok(call) = jsonrpc::decode_call(text) {
        values.extend(call.params);
    } else if let Err(malformed) = jsonrpc::decode_call(text) {
        let mut answer = Vec::new();
        jsonrpc::write_malformed(&malformed, &mut answer);
        // Not as a value: an id of `1e999` is JSON, and goes back as it came, though no double holds it.
        let _: &serde_json::value::RawValue =
            serde_json::from_slice(&answer).expect("the answer to anything is JSON");
    }
    if let Ok(call) = xmlrpc::decode_call(text) {
        values.extend(call.params);
    }
    values.extend(jsonrpc::decode_response(text).into_iter().flatten());
    values.extend(xmlrpc::decode_response(text).into_iter().flatten());
    values.extend(jsonrpc::decode_value(text, Limits::CALL));
    values.extend(xmlrpc::decode_value(text, Limits::CALL));
    if let Ok(record) = Record::from_stored(&CLASS, text) {
        let again =
            Record::from_stored(&CLASS, &record.to_stored()).expect("what was read can be kept");
        assert_eq!(again, record);
    }
    if let Ok(text) = std::str::from_utf8(text) {
        let _ = Timestamp::parse(text);
        let _ = xenapi::OpaqueRef::parse(text);
    }
    for value in values {
        for field in CLASS.fields {
            let _ = value.clone().coerce(&field.ty);
        }
        let _ = value.clone().coerce(&Type::Record("VM"));
        let _ = coerce::params("Gadget.poke", POKE.params, vec![value.clone(); 3]);
        if let Value::Struct(members) = &value {
            let _ = Record::from_create(&CLASS, members.clone());
            let _ = Record::from_wire(&CLASS, xenapi::OpaqueRef::NULL, value.clone());
        }
        let (mut json, mut xml) = (Vec::new(), Vec::new());
        jsonrpc::encode_value(&value, &mut json);
        xmlrpc::encode_value(&value, &mut xml);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn random_bytes_are_read_without_panic(text in vec(any::<u8>(), 0..200)) {
        read_every_way(&text);
    }

    #[test]
    fn random_markup_is_read_without_panic(pieces in vec(prop::sample::select(PIECES), 0..60)) {
        read_every_way(pieces.concat().as_bytes());
    }

    #[test]
    fn damaged_json_calls_are_read_without_panic(params in vec(values(), 0..3), damages in vec(damage(), 1..5)) {
        let mut text = Vec::new();
        jsonrpc::encode_call(Version::V2, &Id::number(1), "VM.start", &params, &mut text);
        read_every_way(&apply(text, &damages));
    }

    #[test]
    fn damaged_xml_calls_are_read_without_panic(params in vec(values(), 0..3), damages in vec(damage(), 1..5)) {
        let mut text = Vec::new();
        xmlrpc::encode_call("VM.start", &params, &mut text);
        read_every_way(&apply(text, &damages));
    }

    #[test]
    fn damaged_answers_are_read_without_panic(value in values(), damages in vec(damage(), 1..5)) {
        let mut text = Vec::new();
        xmlrpc::write_success(&value, &mut text);
        read_every_way(&apply(text, &damages));
        let mut text = Vec::new();
        jsonrpc::write_success(Version::V1, &Id::null(), &value, &mut text);
        read_every_way(&apply(text, &damages));
    }

    #[test]
    fn damaged_stored_records_are_read_without_panic(record in records(), damages in vec(damage(), 1..5)) {
        read_every_way(&apply(record.to_stored(), &damages));
    }
}

const PIECES: &[&str] = &[
    "<methodCall>",
    "</methodCall>",
    "<methodName>",
    "</methodName>",
    "<params>",
    "</params>",
    "<param>",
    "</param>",
    "<value>",
    "</value>",
    "<array>",
    "</array>",
    "<data>",
    "</data>",
    "<struct>",
    "</struct>",
    "<member>",
    "</member>",
    "<name>",
    "</name>",
    "<int>",
    "</int>",
    "<nil/>",
    "<value/>",
    "7",
    "x",
    " ",
    "&amp;",
    "&#1;",
    "<!-- -->",
    "<?xml?>",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\"method\"",
    "\"params\"",
    "\"id\"",
    "\"jsonrpc\"",
    "\"2.0\"",
    "null",
    "-1.5e9",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":",
];
