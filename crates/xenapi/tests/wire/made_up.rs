//! A class with a field of every type, and strategies for values, shared by the tests of this directory.

use datamodel::{
    Class, DefaultValue, EnumDef, Field, ImplicitSet, Lifecycle, Message, Param, Role, Type,
};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;
use xenapi::{FieldIdx, OpaqueRef, Record, Text, Timestamp, Value};

pub(crate) static COLOUR: EnumDef =
    EnumDef { name: "colour", values: &["red", "green", "dark-blue"] };

pub(crate) static CLASS: Class = Class {
    name: "Gadget",
    state: Lifecycle::Published,
    events: true,
    fields: &[
        Field::dynamic_ro("allowed", Type::Set(&Type::Enum(&COLOUR)), "Computed.").computed(),
        Field::static_ro("born", Type::DateTime, "Time.").default(DefaultValue::Zero),
        Field::rw("colour", Type::Enum(&COLOUR), Role::PoolAdmin, "Enum.")
            .default(DefaultValue::Str("green")),
        Field::rw("counts", Type::Map(&Type::Int, &Type::Float), Role::PoolAdmin, "Map.")
            .default(DefaultValue::Zero),
        Field::rw("enabled", Type::Bool, Role::PoolAdmin, "Bool.")
            .default(DefaultValue::Bool(true)),
        Field::dynamic_ro("hint", Type::Optional(&Type::String), "Option."),
        Field::static_ro("home", Type::Ref("host"), "Required reference."),
        Field::rw("name_label", Type::String, Role::PoolAdmin, "Required text."),
        Field::rw("numbers", Type::Set(&Type::Int), Role::PoolAdmin, "Set.")
            .default(DefaultValue::Zero),
        Field::rw("other_config", Type::STRING_MAP, Role::PoolAdmin, "Map.")
            .default(DefaultValue::Zero),
        Field::dynamic_ro("parts", Type::Set(&Type::Ref("Part")), "Reverse.")
            .reverse_of("Part", "gadget"),
        Field::dynamic_ro(
            "peers",
            Type::Map(&Type::Ref("host"), &Type::Set(&Type::String)),
            "Deep map.",
        ),
        Field::rw("ratio", Type::Float, Role::PoolAdmin, "Float.")
            .default(DefaultValue::Float(1.0)),
        Field::rw("size", Type::Int, Role::PoolAdmin, "Int.").default(DefaultValue::Int(-1)),
        Field::dynamic_ro("uuid", Type::String, "Identity."),
    ],
    messages: &[],
    implicit: ImplicitSet {
        getters: true,
        all: true,
        by_name_label: true,
        create: None,
        destroy: None,
    },
    doc: "A thing for tests.",
};

pub(crate) static POKE: Message = Message {
    name: "poke",
    params: &[
        Param::new("self", Type::Ref("Gadget")),
        Param::new("times", Type::Int),
        Param::optional("gently", Type::Bool, DefaultValue::Bool(true)),
        Param::optional("notes", Type::STRING_MAP, DefaultValue::Zero),
    ],
    ..Message::BASE
};

/// Position of a field of the made-up class.
pub(crate) fn field(name: &str) -> FieldIdx {
    xenapi::ClassInfo::of(&CLASS).field(name).expect("a field of the made-up class")
}

pub(crate) fn uuids() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

pub(crate) fn refs() -> impl Strategy<Value = OpaqueRef> {
    prop_oneof![1 => Just(OpaqueRef::NULL), 4 => uuids().prop_map(OpaqueRef::new)]
}

/// Texts that stress escaping, inline storage and shared storage.
pub(crate) fn texts() -> impl Strategy<Value = Text> {
    prop_oneof![
        "[a-z_]{0,12}".prop_map(Text::from),
        ".{0,40}".prop_map(Text::from),
        "[\\x00-\\x1f<>&\"'\\\\\u{7f}\u{85}\u{2028}\u{fffe}\u{ffff}é€😀 ]{0,30}"
            .prop_map(Text::from),
        Just(Text::from(" \t\r\n")),
        Just(Text::from("]]>")),
    ]
}

pub(crate) fn times() -> impl Strategy<Value = Timestamp> {
    (-62_167_219_200_i64..=253_402_300_799).prop_map(Timestamp)
}

pub(crate) fn floats() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("NaN equals nothing", |f| !f.is_nan()),
        Just(0.0),
        Just(1.0),
        Just(0.1),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(9_007_199_254_740_993.0),
    ]
}

/// Any value that a decoder could be asked to give back, nested a few levels.
pub(crate) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Void),
        texts().prop_map(Value::Str),
        any::<i64>().prop_map(Value::Int),
        floats().prop_map(Value::Float),
        any::<bool>().prop_map(Value::Bool),
        times().prop_map(Value::DateTime),
        refs().prop_map(Value::Ref),
        records().prop_map(|record| Value::Record(record.into())),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Set),
            vec((texts(), inner.clone()), 0..6).prop_map(Value::Struct),
            vec((texts().prop_map(Value::Str), inner.clone()), 0..6).prop_map(Value::Map),
            vec((refs().prop_map(Value::Ref), inner), 0..6).prop_map(Value::Map),
        ]
    })
}

/// A value of a declared type.
pub(crate) fn typed(ty: &'static Type) -> BoxedStrategy<Value> {
    match ty {
        Type::String => texts().prop_map(Value::Str).boxed(),
        Type::Int => any::<i64>().prop_map(Value::Int).boxed(),
        Type::Float => floats().prop_map(Value::Float).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::DateTime => times().prop_map(Value::DateTime).boxed(),
        Type::Ref(_) => refs().prop_map(Value::Ref).boxed(),
        Type::Enum(def) => proptest::sample::select(def.values).prop_map(Value::word).boxed(),
        Type::Set(item) => vec(typed(item), 0..4).prop_map(Value::Set).boxed(),
        Type::Map(key, item) => {
            let pairs = vec((typed(key), typed(item)), 0..4);
            pairs
                .prop_map(|pairs| {
                    let mut unique: Vec<(Value, Value)> = Vec::new();
                    for pair in pairs {
                        if unique.iter().all(|(known, _)| *known != pair.0) {
                            unique.push(pair);
                        }
                    }
                    Value::Map(unique)
                })
                .boxed()
        }
        Type::Optional(inner) => prop_oneof![Just(Value::Void), typed(inner)].boxed(),
        Type::Void | Type::Record(_) | Type::EventBatch | Type::AnyRecord => {
            Just(Value::Void).boxed()
        }
    }
}

/// A record of any class with some fields set.
pub(crate) fn records_of(class: &'static Class) -> BoxedStrategy<Record> {
    let fields: Vec<_> = (0..)
        .zip(class.fields)
        .filter(|(_, field)| field.name != "uuid")
        .map(|(index, field)| {
            proptest::option::of(typed(&field.ty)).prop_map(move |v| (FieldIdx(index), v))
        })
        .collect();
    (uuids(), fields)
        .prop_map(move |(uuid, fields)| {
            let mut record = Record::new(class, uuid);
            for (field, value) in fields {
                if let Some(value) = value {
                    record.set(field, value);
                }
            }
            record
        })
        .boxed()
}

pub(crate) fn records() -> BoxedStrategy<Record> {
    records_of(&CLASS)
}
