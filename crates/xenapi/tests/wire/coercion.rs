//! Values take their declared types as leniently as XenServer takes them, and wrong ones are refused with its errors.

use datamodel::Type;
use proptest::prelude::*;
use xenapi::{Error, OpaqueRef, Text, Timestamp, Value, coerce};

use crate::made_up::{CLASS, COLOUR, POKE, typed};

fn ok(value: impl Into<Value>, ty: &Type) -> Value {
    value.into().coerce_as("f", ty).expect("fits")
}

fn refused(value: impl Into<Value>, ty: &Type) -> String {
    value.into().coerce_as("f", ty).expect_err("doesn't fit").to_string()
}

fn object(members: &[(&str, Value)]) -> Value {
    Value::Struct(members.iter().map(|(name, value)| (Text::from(*name), value.clone())).collect())
}

proptest! {
    #[test]
    fn a_value_that_has_its_type_stays_as_it_is(
        (index, value) in (0..CLASS.fields.len()).prop_flat_map(|i| (Just(i), typed(&CLASS.fields[i].ty)))
    ) {
        prop_assert_eq!(value.clone().coerce(&CLASS.fields[index].ty), Ok(value));
    }
}

#[test]
fn numbers_are_taken_as_numbers_and_as_text() {
    assert_eq!(ok(5_i64, &Type::Int), Value::Int(5));
    assert_eq!(ok("-9223372036854775808", &Type::Int), Value::Int(i64::MIN));
    assert_eq!(ok(4294967296.0, &Type::Int), Value::Int(1 << 32));
    assert_eq!(ok("1.5", &Type::Float), Value::Float(1.5));
    assert_eq!(ok(2_i64, &Type::Float), Value::Float(2.0));
    for wrong in ["", "x", "1.5", "9223372036854775808", "0x10", "１"] {
        assert_eq!(refused(wrong, &Type::Int), "FIELD_TYPE_ERROR: f");
    }
    assert_eq!(refused(1.5, &Type::Int), "INVALID_VALUE: f, 1.5");
    assert_eq!(refused(1e300, &Type::Int).split(',').next(), Some("INVALID_VALUE: f"));
    assert_eq!(refused(f64::NAN, &Type::Int), "FIELD_TYPE_ERROR: f");
    assert_eq!(refused(true, &Type::Int), "FIELD_TYPE_ERROR: f");
}

#[test]
fn truth_times_words_and_references_are_taken_as_text() {
    assert_eq!(ok("true", &Type::Bool), Value::Bool(true));
    assert_eq!(refused("yes", &Type::Bool), "FIELD_TYPE_ERROR: f");
    assert_eq!(refused(1_i64, &Type::Bool), "FIELD_TYPE_ERROR: f");
    assert_eq!(
        ok("2026-01-01T00:00:00Z", &Type::DateTime),
        Value::DateTime(Timestamp(1_767_225_600))
    );
    assert_eq!(refused("soon", &Type::DateTime), "INVALID_VALUE: f, soon");
    assert_eq!(ok("DARK-Blue", &Type::Enum(&COLOUR)), Value::word("dark-blue"));
    assert_eq!(refused("pink", &Type::Enum(&COLOUR)), "INVALID_VALUE: f, pink");
    assert_eq!(ok("OpaqueRef:NULL", &Type::Ref("VM")), Value::Ref(OpaqueRef::NULL));
    assert_eq!(ok("", &Type::Ref("VM")), Value::Ref(OpaqueRef::NULL));
    for wrong in [
        "x",
        "OpaqueRef:",
        "OpaqueRef:x",
        "01234567-89ab-cdef-0123-456789abcdef",
        "OpaqueRef:{01234567-89ab-cdef-0123-456789abcdef}",
    ] {
        assert_eq!(refused(wrong, &Type::Ref("VM")), format!("HANDLE_INVALID: VM, {wrong}"));
    }
    assert_eq!(refused("x", &Type::Ref("session")), "SESSION_INVALID: x");
    assert_eq!(refused(5_i64, &Type::Ref("VM")), "FIELD_TYPE_ERROR: f");
    assert_eq!(refused(5_i64, &Type::String), "FIELD_TYPE_ERROR: f");
    assert_eq!(refused(Value::Void, &Type::String), "FIELD_TYPE_ERROR: f");
    assert_eq!(refused("x".repeat(1_000), &Type::DateTime).len(), "INVALID_VALUE: f, ".len() + 200);
}

#[test]
fn maps_give_their_keys_a_type_and_keep_the_last_of_equal_keys() {
    let given = object(&[("1", Value::word("2")), ("3", Value::Int(4)), ("1", Value::Float(5.0))]);
    let counts = Type::Map(&Type::Int, &Type::Float);
    assert_eq!(
        ok(given, &counts),
        Value::Map(vec![(Value::Int(1), Value::Float(5.0)), (Value::Int(3), Value::Float(4.0))])
    );
    assert_eq!(refused(object(&[("x", Value::Int(1))]), &counts), "FIELD_TYPE_ERROR: f");
    assert_eq!(refused(Value::Set(vec![]), &counts), "FIELD_TYPE_ERROR: f");
    let many: Vec<_> = (0..1_000)
        .map(|n| (Text::from((n % 500).to_string()), Value::from(n.to_string())))
        .collect();
    let map = ok(Value::Struct(many), &Type::STRING_MAP);
    let map = map.as_map().expect("a map");
    assert_eq!((map.len(), map.str("7")), (500, Some("507")));
}

#[test]
fn an_option_is_nothing_or_a_list_of_at_most_one_or_the_value() {
    let option = Type::Optional(&Type::Int);
    assert_eq!(ok(Value::Void, &option), Value::Void);
    assert_eq!(ok(Value::Set(vec![]), &option), Value::Void);
    assert_eq!(ok(Value::Set(vec!["7".into()]), &option), Value::Int(7));
    assert_eq!(ok("7", &option), Value::Int(7));
    assert_eq!(refused(Value::Set(vec!["7".into(), "8".into()]), &option), "FIELD_TYPE_ERROR: f");
}

#[test]
fn a_record_to_create_takes_its_defaults_and_ignores_what_it_does_not_know() {
    let given = vec![
        ("name_label".into(), Value::word("x")),
        ("home".into(), Value::word("OpaqueRef:NULL")),
        ("size".into(), Value::word("12")),
        ("uuid".into(), Value::word("mine")),
        ("parts".into(), Value::Int(1)),
        ("no_such_field".into(), Value::Set(vec![])),
    ];
    let record = xenapi::Record::from_create(&CLASS, given.clone()).expect("complete");
    assert_eq!(record.get_by_name("size"), Some(&Value::Int(12)));
    assert_eq!(record.get_by_name("colour"), Some(&Value::word("green")));
    assert!(record.uuid().is_nil());
    let without = |name: &str| {
        let rest =
            given.iter().filter(|(known, _): &&(Text, Value)| known != name).cloned().collect();
        xenapi::Record::from_create(&CLASS, rest).map(|_| ())
    };
    assert_eq!(without("name_label"), Err(Error::field_type_error("name_label")));
    assert_eq!(without("size"), Ok(()));
    let mut wrong = given.clone();
    wrong[2].1 = Value::word("big");
    assert_eq!(
        xenapi::Record::from_create(&CLASS, wrong).map(|_| ()),
        Err(Error::field_type_error("size"))
    );
}

#[test]
fn parameters_are_counted_typed_and_filled_up() {
    let call = |given: Vec<Value>| coerce::params("Gadget.poke", POKE.params, given);
    let null = || Value::word("OpaqueRef:NULL");
    assert_eq!(
        call(vec![null(), "3".into()]),
        Ok(vec![Value::Ref(OpaqueRef::NULL), Value::Int(3), Value::Bool(true), Value::Map(vec![])])
    );
    assert_eq!(
        call(vec![null()]).map_err(|e| e.to_string()),
        Err("MESSAGE_PARAMETER_COUNT_MISMATCH: Gadget.poke, 2, 1".to_owned())
    );
    assert_eq!(
        call(vec![Value::Void; 5]).map_err(|e| e.to_string()),
        Err("MESSAGE_PARAMETER_COUNT_MISMATCH: Gadget.poke, 2, 5".to_owned())
    );
    assert_eq!(call(vec![null(), null()]), Err(Error::field_type_error("times")));
}
