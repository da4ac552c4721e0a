//! Records, commands and enum spellings of `xe` against `xe-commands.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use datamodel::{XeAccess, XeCommand, XeField, XeFormat, XeRecord, XeSource, xe};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::Comparison;

/// The reference of `xe`.
#[derive(Debug, Deserialize)]
pub(crate) struct Facts {
    commands: BTreeMap<String, Command>,
    enum_strings: BTreeMap<String, BTreeMap<String, String>>,
    record_commands: BTreeMap<String, RecordCommands>,
    records: BTreeMap<String, Ordered<FieldFacts>>,
}

#[derive(Debug, Deserialize)]
struct Command {
    required: Vec<String>,
    optional: Vec<String>,
    flags: Vec<String>,
    selectors: Option<String>,
    #[serde(default)]
    common: bool,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    client_io: bool,
    #[serde(default)]
    local_host: bool,
    #[serde(default)]
    local_login: bool,
    #[serde(default)]
    deprecated: bool,
}

#[derive(Debug, Deserialize)]
struct RecordCommands {
    record: String,
    commands: Vec<String>,
    default_list: Vec<String>,
    #[serde(default)]
    filter: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct FieldFacts {
    access: String,
    #[serde(default = "plain")]
    format: String,
    /// Absent: the same name; null: computed; `CLASS.FIELD`: from a related object.
    #[serde(default, deserialize_with = "present")]
    api: Option<Option<String>>,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    expensive: bool,
    #[serde(default)]
    deprecated: bool,
}

fn plain() -> String {
    "string".to_owned()
}

fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(d).map(Some)
}

/// An object whose order counts.
#[derive(Debug)]
struct Ordered<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Vec<(String, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData)).map(Ordered)
    }
}

/// Where the reference names a neighbouring field for a value that is worked out, or the field that is looked at first:
/// what it is here.
const CORRECTED: &[(&str, &str, XeSource)] = &[
    ("Driver_variant", "active", XeSource::Computed),
    ("Driver_variant", "selected", XeSource::Computed),
    ("Host_driver", "variants", XeSource::Computed),
    ("Host_driver", "variants-dev-status", XeSource::Computed),
    ("Host_driver", "variants-hw-present", XeSource::Computed),
    ("Host_driver", "variants-uuid", XeSource::Computed),
    ("PGPU", "dependencies", XeSource::Computed),
    ("PIF", "io_read_kbs", XeSource::Computed),
    ("PIF", "io_write_kbs", XeSource::Computed),
    ("SR", "host", XeSource::Computed),
    ("VBD", "io_read_kbs", XeSource::Computed),
    ("VBD", "io_write_kbs", XeSource::Computed),
    ("VBD", "vdi-name-label", XeSource::Field("VDI")),
    ("VIF", "io_read_kbs", XeSource::Computed),
    ("VIF", "io_write_kbs", XeSource::Computed),
    ("host_cpu", "utilisation", XeSource::Field("utilisation")),
];

pub(crate) fn compare(facts: &Facts) -> Comparison {
    let mut found = Comparison::default();
    let (mut verbs, mut fields, mut classes) = (0, 0, BTreeSet::new());
    for record in xe::RECORDS {
        let Some(theirs) = facts.record_commands.get(record.cli_name) else {
            found.differences.push(format!("{} is not in the reference", record.cli_name));
            continue;
        };
        compare_record(&mut found, record, theirs);
        verbs += record.verbs.len();
        if classes.insert(record.class) {
            fields += record.fields.len();
            compare_fields(&mut found, record, &facts.records[record.class].0);
        }
    }
    let of_xenserver = || xe::COMMANDS.iter().filter(|c| !xe::is_ours(c.name));
    for command in of_xenserver() {
        match facts.commands.get(command.name) {
            Some(theirs) => compare_command(&mut found, command, theirs),
            None => found.differences.push(format!("{} is not in the reference", command.name)),
        }
    }
    let names: BTreeSet<_> = of_xenserver().map(|c| c.name).collect();
    found.same("commands", names, facts.commands.keys().map(String::as_str).collect());
    let spellings: BTreeMap<_, BTreeMap<_, _>> = xe::ENUM_STRINGS
        .iter()
        .map(|(table, words)| (*table, words.iter().copied().collect()))
        .collect();
    let theirs: BTreeMap<_, BTreeMap<_, _>> = facts
        .enum_strings
        .iter()
        .map(|(table, words)| {
            (table.as_str(), words.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect())
        })
        .collect();
    found.same("enum spellings", spellings, theirs);

    let all_fields = facts.records.values().map(|r| r.0.len()).sum();
    let all_verbs = facts.record_commands.values().map(|r| r.commands.len()).sum();
    found.count("xe records", xe::RECORDS.len(), facts.record_commands.len());
    found.count("xe record fields", fields, all_fields);
    found.count("xe record commands", verbs, all_verbs);
    found.count("xe special commands", of_xenserver().count(), facts.commands.len());
    found
}

fn compare_record(found: &mut Comparison, ours: &XeRecord, theirs: &RecordCommands) {
    let what = ours.cli_name;
    found.same(what, ours.class, &theirs.record);
    found.same(what, ours.verbs.to_vec(), theirs.commands.iter().map(String::as_str).collect());
    let list = theirs.default_list.iter().map(String::as_str).collect();
    found.same(&format!("{what} default list"), ours.default_list.to_vec(), list);
    let filter: BTreeMap<_, _> =
        ours.filter.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    found.same(&format!("{what} filter"), &filter, &theirs.filter);
}

fn compare_fields(found: &mut Comparison, ours: &XeRecord, theirs: &[(String, FieldFacts)]) {
    let names: Vec<_> = ours.fields.iter().map(|f| f.name).collect();
    let expected = theirs.iter().map(|(name, _)| name.as_str()).collect();
    found.same(&format!("{} fields, in order", ours.cli_name), names, expected);
    for (field, (name, facts)) in ours.fields.iter().zip(theirs) {
        let what = format!("{} {name}", ours.class);
        found.same(&what, access(field.access), &facts.access);
        found.same(&what, format(field.format), facts.format.clone());
        let flags = (field.hidden, field.expensive, field.deprecated);
        found.same(&what, flags, (facts.hidden, facts.expensive, facts.deprecated));
        compare_source(found, &what, ours.class, field, facts.api.as_ref());
    }
}

fn compare_source(
    found: &mut Comparison,
    what: &str,
    class: &str,
    ours: &XeField,
    api: Option<&Option<String>>,
) {
    let corrected = CORRECTED.iter().find(|(c, f, _)| *c == class && *f == ours.name);
    let is_right = match (corrected, ours.source, api) {
        (Some((.., source)), ours, _) => ours == *source,
        (None, XeSource::Computed, Some(None)) => true,
        (None, XeSource::Field(field), None) => field == ours.name.replace('-', "_"),
        (None, XeSource::Field(field), Some(Some(api))) => field == api,
        (None, XeSource::Related { class, field, .. }, Some(Some(api))) => {
            *api == format!("{class}.{field}")
        }
        _ => false,
    };
    if !is_right {
        found.differences.push(format!("{what}: ours {:?}, reference {api:?}", ours.source));
    }
}

fn access(access: XeAccess) -> &'static str {
    match access {
        XeAccess::RO => "RO",
        XeAccess::RW => "RW",
        XeAccess::SRO => "SRO",
        XeAccess::SRW => "SRW",
        XeAccess::MRO => "MRO",
        XeAccess::MRW => "MRW",
    }
}

fn format(format: XeFormat) -> String {
    match format {
        XeFormat::Text => "string",
        XeFormat::Int => "int",
        XeFormat::Float => "float",
        XeFormat::Bool => "bool",
        XeFormat::Date => "date",
        XeFormat::Uuid => "uuid",
        XeFormat::UuidList => "uuid; list",
        XeFormat::List => "; list",
        XeFormat::CommaList => ", list",
        XeFormat::Map => "map",
        XeFormat::MapOfUuid => "map of uuid",
        XeFormat::NameOfRef => "name of ref",
        XeFormat::EnumVia(table) => return format!("enum via {table}"),
    }
    .to_owned()
}

fn compare_command(found: &mut Comparison, ours: &XeCommand, theirs: &Command) {
    let what = ours.name;
    let list = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    found.same(&format!("{what} required"), list(ours.required), theirs.required.clone());
    found.same(&format!("{what} optional"), list(ours.optional), theirs.optional.clone());
    found.same(&format!("{what} flags"), list(ours.flags), theirs.flags.clone());
    found.same(&format!("{what} selectors"), ours.selectors, theirs.selectors.as_deref());
    let [ours, theirs] = [
        [
            ours.common,
            ours.hidden,
            ours.client_io,
            ours.local_host,
            ours.local_login,
            ours.deprecated,
        ],
        [
            theirs.common,
            theirs.hidden,
            theirs.client_io,
            theirs.local_host,
            theirs.local_login,
            theirs.deprecated,
        ],
    ];
    found.same(
        &format!("{what} common, hidden, client_io, local_host, local_login, deprecated"),
        ours,
        theirs,
    );
}
