//! `ova.xml`: definitions of VMs without their disks, in XenServer's own form, so that each reads the other's.
//!
//! The file is a tar archive (as such, or compressed with gzip) whose first entry, `ova.xml`, is one XML-RPC value: a
//! struct of `version` and `objects`. Each object has a `class`, an `id` (`Ref:N`, counted within the file) and a
//! `snapshot`: the record as `get_record` gives it, every reference replaced by an `id` of the file or by
//! `OpaqueRef:NULL`. Reading takes what can be understood: unknown classes and members are passed over.
//!
//! Where next: [`write`] makes one from records, [`import`] turns one into records.

pub mod import;
pub mod write;

use xenapi::{Error, Limits, Text, Value, xmlrpc};

use crate::archive::{self, Archive};

/// Largest file that is read, and largest that it may unpack to, bytes.
pub const MAX_BYTES: usize = 256 << 20;
/// Most objects in one file.
const MAX_OBJECTS: usize = 200_000;
/// The one entry.
const NAME: &str = "ova.xml";
/// Version of the form that is written.
const EXPORT_VSN: i64 = 2;
/// Values in a file: a record has about a hundred.
const LIMITS: Limits = Limits { depth: 64, values: 8_000_000 };

/// Who wrote a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// The host.
    pub hostname: String,
    /// When, in words.
    pub date: String,
    /// `XenServer`, `XCP-ng` or `Holdfast`.
    pub product_brand: String,
    /// Its version.
    pub product_version: String,
    /// Its build.
    pub build_number: String,
    /// Version of the API whose records these are.
    pub api: (i64, i64),
}

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// XenAPI class.
    pub class: String,
    /// Its name within the file.
    pub id: String,
    /// Its members.
    pub snapshot: Vec<(Text, Value)>,
}

impl Object {
    /// A text member; empty if it has none.
    pub fn text(&self, name: &str) -> &str {
        self.member(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A truth member, typed or not.
    pub fn truth(&self, name: &str) -> bool {
        match self.member(name) {
            Some(Value::Bool(truth)) => *truth,
            Some(Value::Str(text)) => text == "true" || text == "1",
            _ => false,
        }
    }

    fn member(&self, name: &str) -> Option<&Value> {
        self.snapshot.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

/// A file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ova {
    /// Who wrote it.
    pub version: Version,
    /// In the order in which they stand.
    pub objects: Vec<Object>,
}

fn broken(why: impl Into<String>) -> Error {
    Error::new("IMPORT_ERROR", [why.into()])
}

/// Reads a file.
///
/// # Errors
/// XenServer's code, with the place in the file where that code has room for it.
pub fn read(bytes: &[u8]) -> Result<Ova, Error> {
    let unpacked;
    let tar = match bytes {
        [0x1f, 0x8b, ..] => {
            unpacked = gunzip(bytes)?;
            &unpacked
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            return Err(broken("the file is compressed with zstd; unpack it first: zstd -d FILE"));
        }
        other => other,
    };
    if tar.trim_ascii_start().starts_with(b"<") {
        // The bare XML, as somebody took it out of the archive.
        return parse(tar);
    }
    let files = archive::read(tar).map_err(|why| {
        if tar.len() < 512 {
            Error::new("IMPORT_ERROR_PREMATURE_EOF", Vec::<String>::new())
        } else {
            broken(format!("the file is no archive: {why}"))
        }
    })?;
    let first = files.first().ok_or_else(|| broken("the archive is empty"))?;
    if first.name != NAME {
        return Err(Error::new(
            "IMPORT_ERROR_UNEXPECTED_FILE",
            [NAME.to_owned(), first.name.clone()],
        ));
    }
    parse(first.content)
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let mut out = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let read = flate2::read::MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut out);
    read.map_err(|e| broken(format!("the file can't be unpacked: {e}")))?;
    if out.len() > MAX_BYTES {
        return Err(broken(format!("the file unpacks to more than {MAX_BYTES} bytes")));
    }
    Ok(out)
}

fn parse(xml: &[u8]) -> Result<Ova, Error> {
    let value = xmlrpc::decode_value(xml, LIMITS).map_err(|e| broken(format!("{NAME}: {e}")))?;
    let version =
        value.member("version").ok_or_else(|| broken(format!("{NAME} has no version")))?;
    let text =
        |name: &str| version.member(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |name: &str| match version.member(name) {
        Some(Value::Int(number)) => *number,
        Some(Value::Str(text)) => text.trim().parse().unwrap_or_default(),
        _ => 0,
    };
    let version = Version {
        hostname: text("hostname"),
        date: text("date"),
        product_brand: text("product_brand"),
        product_version: text("product_version"),
        build_number: text("build_number"),
        api: (number("xapi_major"), number("xapi_minor")),
    };
    if version.api > datamodel::API_VERSION {
        return Err(Error::new("IMPORT_INCOMPATIBLE_VERSION", Vec::<String>::new()));
    }
    let Some(Value::Set(items)) = value.member("objects") else {
        return Err(broken(format!("{NAME} has no objects")));
    };
    if items.len() > MAX_OBJECTS {
        return Err(broken(format!("{NAME} has more than {MAX_OBJECTS} objects")));
    }
    let mut objects = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let text = |name: &str| item.member(name).and_then(Value::as_str).filter(|t| !t.is_empty());
        let snapshot = item.member("snapshot").and_then(Value::as_struct);
        let (Some(class), Some(id), Some(snapshot)) = (text("class"), text("id"), snapshot) else {
            return Err(broken(format!("{NAME}: object {number} has no class, id or snapshot")));
        };
        objects.push(Object {
            class: class.to_owned(),
            id: id.to_owned(),
            snapshot: snapshot.to_vec(),
        });
    }
    Ok(Ova { version, objects })
}

/// The file. `at`: when, seconds since the epoch.
pub fn to_bytes(ova: &Ova, at: i64) -> Vec<u8> {
    let text = |t: &str| Value::str(t);
    let v = &ova.version;
    let member = |name: &'static str, value: Value| (Text::new_static(name), value);
    let version = Value::Struct(vec![
        member("hostname", text(&v.hostname)),
        member("date", text(&v.date)),
        member("product_version", text(&v.product_version)),
        member("product_brand", text(&v.product_brand)),
        member("build_number", text(&v.build_number)),
        member("xapi_major", Value::Int(v.api.0)),
        member("xapi_minor", Value::Int(v.api.1)),
        member("export_vsn", Value::Int(EXPORT_VSN)),
    ]);
    let objects = ova.objects.iter().map(|object| {
        Value::Struct(vec![
            member("class", text(&object.class)),
            member("id", text(&object.id)),
            member("snapshot", Value::Struct(object.snapshot.clone())),
        ])
    });
    let whole = Value::Struct(vec![
        member("version", version),
        member("objects", Value::Set(objects.collect())),
    ]);
    let mut xml = Vec::new();
    xmlrpc::encode_value(&whole, &mut xml);
    let mut archive = Archive::new(at);
    archive.add(NAME, &xml);
    archive.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn small() -> Ova {
        let snapshot = vec![
            (Text::from("name_label"), Value::from("web & <shop>")),
            (Text::from("VCPUs_max"), Value::Int(2)),
            (Text::from("is_a_template"), Value::Bool(false)),
        ];
        Ova {
            version: Version { hostname: "h1".to_owned(), api: (2, 21), ..Version::default() },
            objects: vec![Object { class: "VM".to_owned(), id: "Ref:0".to_owned(), snapshot }],
        }
    }

    #[test]
    fn what_was_written_is_read_plain_and_compressed() {
        let bytes = to_bytes(&small(), 1);
        let read_back = read(&bytes).expect("reads");
        assert_eq!(read_back.objects[0].text("name_label"), "web & <shop>");
        assert_eq!(read_back.version.api, (2, 21));
        let packed = crate::bundle::gzip(&bytes).expect("packs");
        assert_eq!(read(&packed).expect("reads"), read_back);
    }

    /// As XenServer writes it: integers without a type tag, empty values, unknown classes.
    #[test]
    fn xenservers_file_is_read() {
        let xml = br#"<value><struct><member><name>version</name><value><struct>
            <member><name>hostname</name><value>localhost</value></member>
            <member><name>xapi_major</name><value>2</value></member>
            <member><name>xapi_minor</name><value>20</value></member>
            <member><name>export_vsn</name><value>2</value></member>
            </struct></value></member><member><name>objects</name><value><array><data>
            <value><struct><member><name>class</name><value>PVS_site</value></member>
              <member><name>id</name><value>Ref:1</value></member>
              <member><name>snapshot</name><value><struct/></value></member></struct></value>
            <value><struct><member><name>class</name><value>VM</value></member>
              <member><name>id</name><value>Ref:0</value></member>
              <member><name>snapshot</name><value><struct>
                <member><name>name_description</name><value/></member>
                <member><name>memory_static_max</name><value>1073741824</value></member>
                <member><name>is_a_template</name><value><boolean>0</boolean></value></member>
              </struct></value></member></struct></value>
            </data></array></value></member></struct></value>"#;
        let mut archive = Archive::new(1);
        archive.add(NAME, xml);
        let ova = read(&archive.finish()).expect("reads");
        assert_eq!(ova.objects.len(), 2);
        assert!(!ova.objects[1].truth("is_a_template"));
    }

    #[test]
    fn what_is_no_such_file_is_refused_by_xenservers_codes() {
        let code = |bytes: &[u8]| read(bytes).expect_err("refused").code.to_string();
        assert_eq!(code(b""), "IMPORT_ERROR_PREMATURE_EOF");
        assert_eq!(code(&[b'x'; 600]), "IMPORT_ERROR");
        assert_eq!(code(&[0x28, 0xb5, 0x2f, 0xfd, 0]), "IMPORT_ERROR");
        let mut other = Archive::new(1);
        other.add("Ref:1/00000000", b"");
        assert_eq!(code(&other.finish()), "IMPORT_ERROR_UNEXPECTED_FILE");
        let mut newer = small();
        newer.version.api = (99, 0);
        assert_eq!(code(&to_bytes(&newer, 1)), "IMPORT_INCOMPATIBLE_VERSION");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_changed_file_is_read_or_refused(at in 0_usize..2000, with in any::<u8>(), cut in 0_usize..4000) {
            let mut bytes = to_bytes(&small(), 1);
            let end = bytes.len() - 1;
            bytes[at.min(end)] = with;
            bytes.truncate(cut.max(1));
            let _ = read(&bytes);
        }
    }
}
