//! Records keep what was set, nothing else, and lose nothing that they don't know.

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;
use xenapi::{OpaqueRef, Projection, Record, Value, jsonrpc, xmlrpc};

use crate::made_up::{CLASS, field, records, records_of, refs, typed};

fn stored(record: &Record) -> String {
    String::from_utf8(record.to_stored()).expect("stored records are JSON")
}

fn read(text: &str) -> Record {
    Record::from_stored(&CLASS, text.as_bytes()).expect(text)
}

const ID: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
const ID_TEXT: &str = "01234567-89ab-cdef-0123-456789abcdef";

proptest! {
    #[test]
    fn a_stored_record_comes_back(record in records()) {
        let mut expected = record.clone();
        // These two are worked out when read.
        expected.unset(field("allowed"));
        expected.unset(field("parts"));
        let back = Record::from_stored(&CLASS, &record.to_stored()).expect("our own record");
        prop_assert_eq!(&back, &expected);
        prop_assert_eq!(back.to_stored(), expected.to_stored());
    }

    #[test]
    fn a_stored_vm_comes_back(record in records_of(datamodel::class("VM").expect("VM is a class"))) {
        let back = Record::from_stored(record.class(), &record.to_stored()).expect("our own record");
        let again = Record::from_stored(record.class(), &back.to_stored()).expect("our own record");
        prop_assert_eq!(&back, &again);
        for (field, value) in back.iter() {
            if field.store == datamodel::Store::Stored {
                prop_assert_eq!(Some(value), record.get_by_name(field.name));
            }
        }
    }

    #[test]
    fn unknown_fields_survive_a_rewrite(record in records(), unknown in "[a-z]{3,12}_of_n_plus_1", size in any::<i64>()) {
        let text = stored(&record);
        let raw = r#"{ "deep" : [1.0, null, "\u0041", 12345678901234567890123] }"#;
        let newer = text.replacen("\"@v\":1", &format!("\"@v\":9,\"{unknown}\": {raw} "), 1);
        let mut back = read(&newer);
        back.set(field("size"), Value::Int(size));
        let rewritten = stored(&back);
        prop_assert!(rewritten.contains(&format!("\"{unknown}\":{raw}")), "{}", rewritten);
        prop_assert!(rewritten.starts_with("{\"@v\":9,"), "{}", rewritten);
        prop_assert_eq!(read(&rewritten), back);
    }

    #[test]
    fn a_record_reads_back_what_was_set(changes in proptest::collection::vec((0..CLASS.fields.len(), any::<u64>()), 0..40)) {
        // The model: the last value of each field, in a plain list.
        let mut record = Record::new(&CLASS, ID);
        let mut model: Vec<Value> = record.iter().map(|(_, value)| value.clone()).collect();
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for (index, _) in changes {
            let class_field = &CLASS.fields[index];
            if class_field.name == "uuid" {
                continue;
            }
            let value = typed(&class_field.ty).new_tree(&mut runner).expect("a value").current();
            record.set(field(class_field.name), value.clone());
            model[index] = value;
        }
        let kept: Vec<Value> = record.iter().map(|(_, value)| value.clone()).collect();
        prop_assert_eq!(&kept, &model);
        let differing = CLASS.fields.iter().filter(|f| record.is_set(field(f.name))).count();
        prop_assert_eq!(record.iter_set().count(), differing);
    }

    #[test]
    fn a_projection_is_written_as_the_record_it_stands_for(
        record in records(),
        allowed in typed(&CLASS.fields[0].ty),
        hint in typed(&CLASS.fields[5].ty),
        parts in typed(&CLASS.fields[10].ty),
    ) {
        let base = Arc::new(record);
        let view = Projection::new(base.clone())
            .with(field("parts"), parts)
            .with(field("allowed"), Value::Void)
            .with(field("hint"), hint)
            .with(field("allowed"), allowed);
        let whole = view.to_record();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        view.write_json(&mut a);
        whole.write_json(&mut b);
        prop_assert_eq!(&a, &b);
        serde_json::from_slice::<serde_json::Value>(&a).expect("JSON");
        let (mut a, mut b) = (Vec::new(), Vec::new());
        view.write_xml(&mut a);
        whole.write_xml(&mut b);
        prop_assert_eq!(&a, &b);
        xmlrpc::decode_value(&a, xenapi::Limits::CALL).expect("XML-RPC");
        let changed = view.differences(&Projection::new(base.clone()));
        for (class_field, value) in whole.iter() {
            let differs = Some(value) != base.get_by_name(class_field.name);
            prop_assert_eq!(changed.contains(&field(class_field.name)), differs);
        }
    }

    #[test]
    fn a_client_reads_the_record_that_the_server_wrote(record in records(), xml in any::<bool>()) {
        let mut text = Vec::new();
        let value = if xml {
            record.write_xml(&mut text);
            xmlrpc::decode_value(&text, xenapi::Limits::CALL).expect("XML-RPC")
        } else {
            record.write_json(&mut text);
            jsonrpc::decode_value(&text, xenapi::Limits::CALL).expect("JSON")
        };
        let back = Record::from_wire(&CLASS, OpaqueRef::NULL, value).expect("a record");
        prop_assert_eq!(back.uuid(), record.uuid());
        for name in ["born", "colour", "enabled", "home", "numbers", "parts", "size"] {
            prop_assert_eq!(back.get_by_name(name), record.get_by_name(name));
        }
    }

    #[test]
    fn a_reference_comes_back(opaque in refs()) {
        prop_assert_eq!(OpaqueRef::parse(&opaque.to_string()), Some(opaque));
        if let Some(uuid) = opaque.uuid() {
            let shouted = format!("OpaqueRef:{}", uuid.to_string().to_uppercase());
            prop_assert_eq!(OpaqueRef::parse(&shouted), Some(opaque));
        }
    }
}

#[test]
fn a_new_record_is_its_defaults_and_its_uuid() {
    let record = Record::new(&CLASS, ID);
    assert_eq!(record.get(field("colour")), &Value::word("green"));
    assert_eq!(record.get(field("size")), &Value::Int(-1));
    assert_eq!(record.get(field("uuid")), &Value::word(ID_TEXT));
    assert_eq!(record.iter_set().count(), 1);
    assert_eq!(stored(&record), format!(r#"{{"@v":1,"uuid":"{ID_TEXT}"}}"#));
    let mut json = Vec::new();
    record.write_json(&mut json);
    assert_eq!(
        String::from_utf8(json).expect("UTF-8"),
        format!(
            r#"{{"allowed":[],"born":"19700101T00:00:00Z","colour":"green","counts":{{}},"enabled":true,"home":"OpaqueRef:NULL","name_label":"","numbers":[],"other_config":{{}},"parts":[],"peers":{{}},"ratio":1.0,"size":-1,"uuid":"{ID_TEXT}"}}"#
        )
    );
}

#[test]
fn the_uuid_of_a_record_cannot_be_set_away() {
    let mut record = Record::new(&CLASS, ID);
    record.set_by_name("uuid", Value::word("other"));
    record.unset(field("uuid"));
    assert_eq!(record.get(field("uuid")), &Value::word(ID_TEXT));
}

#[test]
fn a_stored_reference_is_a_plain_uuid_and_a_time_is_seconds() {
    let mut record = Record::new(&CLASS, ID);
    record.set(field("home"), Value::Ref(OpaqueRef::new(ID)));
    record.set(field("born"), Value::DateTime(xenapi::Timestamp(1_767_225_600)));
    record.map_insert(field("peers"), Value::Ref(OpaqueRef::new(ID)), Value::str_set(["x"]));
    record.map_insert(field("counts"), Value::Int(2), Value::Float(f64::INFINITY));
    assert_eq!(
        stored(&record),
        format!(
            r#"{{"@v":1,"uuid":"{ID_TEXT}","born":1767225600,"counts":{{"2":"inf"}},"home":"{ID_TEXT}","peers":{{"{ID_TEXT}":["x"]}}}}"#
        )
    );
    assert_eq!(read(&stored(&record)), record);
}

#[test]
fn a_field_that_is_computed_now_but_was_stored_once_is_kept_aside() {
    let back = read(&format!(r#"{{"@v":1,"uuid":"{ID_TEXT}","allowed":["red"],"parts":["x"]}}"#));
    assert_eq!(back.get(field("allowed")), &Value::Set(vec![]));
    assert_eq!(
        stored(&back),
        format!(r#"{{"@v":1,"uuid":"{ID_TEXT}","allowed":["red"],"parts":["x"]}}"#)
    );
}

#[test]
fn a_word_that_an_enum_does_not_have_yet_survives() {
    let text = format!(r#"{{"@v":1,"uuid":"{ID_TEXT}","colour":"infrared"}}"#);
    assert_eq!(stored(&read(&text)), text);
}

#[test]
fn what_is_no_stored_record_is_refused_by_the_name_of_its_field() {
    let refused =
        |text: &str| Record::from_stored(&CLASS, text.as_bytes()).expect_err(text).to_string();
    assert!(refused("{}").contains("uuid"));
    assert!(refused("[]").starts_with("stored Gadget record: "));
    for (field, value) in [
        ("size", "\"x\""),
        ("size", "1.5"),
        ("size", "9223372036854775808"),
        ("enabled", "1"),
        ("home", "\"x\""),
        ("numbers", "{}"),
        ("numbers", "[\"x\"]"),
        ("other_config", "[]"),
        ("other_config", "{\"a\":1}"),
        ("born", "{}"),
        ("counts", "{\"x\":1}"),
        ("name_label", "7"),
    ] {
        let text = format!(r#"{{"uuid":"{ID_TEXT}","{field}":{value}}}"#);
        assert!(refused(&text).contains(&format!("field {field}: ")), "{}", refused(&text));
    }
    assert!(!refused(&format!(r#"{{"uuid":"{ID_TEXT}"}} x"#)).is_empty());
}

#[test]
fn maps_and_sets_change_in_place() {
    let mut record = Record::new(&CLASS, ID);
    let (config, numbers) = (field("other_config"), field("numbers"));
    assert_eq!(record.map_insert(config, "a".into(), "1".into()), None);
    assert_eq!(record.map_insert(config, "a".into(), "2".into()), Some("1".into()));
    assert_eq!(record.map_of(config).str("a"), Some("2"));
    assert_eq!(record.map_remove(config, &"b".into()), None);
    assert_eq!(record.map_remove(config, &"a".into()), Some("2".into()));
    assert!(!record.is_set(config), "empty again is the default again");
    assert!(record.set_insert(numbers, Value::Int(1)));
    assert!(!record.set_insert(numbers, Value::Int(1)));
    assert!(record.set_remove(numbers, &Value::Int(1)));
    assert!(!record.set_remove(numbers, &Value::Int(1)));
    assert!(!record.is_set(numbers));
}

#[test]
fn every_class_of_the_datamodel_has_a_record() {
    for class in datamodel::CLASSES {
        let record = Record::new(class, ID);
        let (mut json, mut xml) = (Vec::new(), Vec::new());
        record.write_json(&mut json);
        record.write_xml(&mut xml);
        let json = jsonrpc::decode_value(&json, xenapi::Limits::CALL).expect(class.name);
        let xml = xmlrpc::decode_value(&xml, xenapi::Limits::CALL).expect(class.name);
        assert_eq!(
            json.as_struct().expect("an object").len(),
            xml.as_struct().expect("a struct").len()
        );
        assert_eq!(Record::from_wire(class, OpaqueRef::new(ID), json).expect(class.name), record);
        assert_eq!(Record::from_stored(class, &record.to_stored()).expect(class.name), record);
    }
}
