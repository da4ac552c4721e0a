//! The datamodel agrees with itself: order, references, enums, reverse fields, errors, the face of `xe`.
//!
//! What needs the reference is in `tests/reference/`; this runs everywhere.

use std::collections::BTreeSet;

use datamodel::{
    ALERTS, CLASSES, Class, DefaultValue, ENUMS, ERRORS, Lifecycle, Method, OUR_ALERTS, Qualifier,
    Role, Store, Type, XeSource, xe,
};

fn sorted<'a>(what: &str, names: impl Iterator<Item = &'a str>) {
    let names: Vec<_> = names.collect();
    for pair in names.windows(2) {
        assert!(pair[0] < pair[1], "{what}: {} must not come before {}", pair[0], pair[1]);
    }
}

/// Every type that is part of this one, itself included.
fn parts(ty: Type) -> Vec<Type> {
    let mut found = vec![ty];
    match ty {
        Type::Set(inner) | Type::Optional(inner) => found.extend(parts(*inner)),
        Type::Map(key, value) => {
            found.extend(parts(*key));
            found.extend(parts(*value));
        }
        _ => {}
    }
    found
}

fn all_types() -> Vec<(String, Type)> {
    let mut found = Vec::new();
    for class in CLASSES {
        for field in class.fields {
            found.push((format!("{}.{}", class.name, field.name), field.ty));
        }
        for method in class.methods() {
            found.push((method.full_name(), method.result()));
            found.extend(method.params().iter().map(|p| (method.full_name(), p.ty)));
        }
    }
    found
        .into_iter()
        .flat_map(|(name, ty)| parts(ty).into_iter().map(move |t| (name.clone(), t)))
        .collect()
}

#[test]
fn every_table_is_in_byte_order_so_that_lookups_find() {
    sorted("classes", CLASSES.iter().map(|c| c.name));
    sorted("enums", ENUMS.iter().map(|e| e.name));
    sorted("errors", ERRORS.iter().map(|e| e.code));
    sorted("alerts", ALERTS.iter().map(|a| a.name));
    sorted("our alerts", OUR_ALERTS.iter().map(|a| a.name));
    sorted("records of xe", xe::RECORDS.iter().map(|r| r.cli_name));
    for class in CLASSES {
        sorted(class.name, class.fields.iter().map(|f| f.name));
        sorted(class.name, class.messages.iter().map(|m| m.name));
    }
}

#[test]
fn every_method_is_found_by_the_name_it_gives() {
    let mut names = BTreeSet::new();
    for method in datamodel::all_methods() {
        let name = method.full_name();
        let (found, is_async) = datamodel::method(&name).expect("a listed method is found");
        assert_eq!((found.full_name(), is_async), (name.clone(), false));
        let matches = match (method, found) {
            (Method::Explicit(_, a), Method::Explicit(_, b)) => std::ptr::eq(a, b),
            (Method::Implicit(_, a), Method::Implicit(_, b)) => a == b,
            _ => false,
        };
        assert!(matches, "{name} is found as another method");
        let asynchronous = datamodel::method(&format!("Async.{name}"));
        assert_eq!(asynchronous.is_some(), method.is_async(), "Async.{name}");
        assert!(names.insert(name), "a method is listed twice");
    }
}

#[test]
fn a_name_that_is_no_method_is_not_found() {
    for name in [
        "",
        "VM",
        "VM.",
        ".start",
        "vm.start",
        "VM.nothing",
        "Async.VM.get_record",
        "VM.set_uuid",
        "VM.add_to_name_label",
        "event.get_record",
        "session.get_all",
        "VM.remove_other_config",
    ] {
        assert!(datamodel::method(name).is_none(), "{name}");
    }
}

#[test]
fn every_class_that_is_referred_to_by_a_record_is_known() {
    for (name, ty) in all_types() {
        if let Type::Record(class) = ty {
            assert!(datamodel::class(class).is_some(), "{name} uses an unknown record {class}");
        }
    }
}

#[test]
fn every_enum_is_listed_and_used_and_has_distinct_words() {
    let mut used = BTreeSet::new();
    for (name, ty) in all_types() {
        if let Type::Enum(def) = ty {
            let listed = datamodel::enum_def(def.name).expect("a used enum is listed");
            assert!(std::ptr::eq(listed, def), "{name} uses another enum of the name {}", def.name);
            used.insert(def.name);
        }
    }
    for def in ENUMS {
        assert!(used.contains(def.name), "enum {} is used nowhere", def.name);
        assert_eq!(
            def.values.iter().collect::<BTreeSet<_>>().len(),
            def.values.len(),
            "{}",
            def.name
        );
    }
}

#[test]
fn every_reverse_field_is_a_set_and_its_other_end_refers_back() {
    for class in CLASSES {
        for field in class.fields {
            let Store::Reverse { class: other, field: other_field } = field.store else { continue };
            let name = format!("{}.{}", class.name, field.name);
            assert_eq!(field.ty.set_member(), Some(&Type::Ref(other)), "{name}");
            let Some(other) = datamodel::class(other) else { continue };
            let (_, end) =
                other.field(other_field).unwrap_or_else(|| panic!("{name}: no other end"));
            assert!(
                parts(end.ty).contains(&Type::Ref(class.name)),
                "{name}: the other end refers elsewhere"
            );
            assert_eq!(end.store, Store::Stored, "{name}: the other end must be stored");
        }
    }
}

#[test]
fn every_default_fits_the_type_of_its_field() {
    for class in CLASSES {
        for field in class.fields {
            let fits = match (field.default, field.ty) {
                (DefaultValue::Zero, _)
                | (DefaultValue::Str(_), Type::String)
                | (DefaultValue::Int(_), Type::Int)
                | (DefaultValue::Float(_), Type::Float)
                | (DefaultValue::Bool(_), Type::Bool)
                | (DefaultValue::StrMap(_), Type::STRING_MAP)
                | (DefaultValue::StrSet(_), Type::STRING_SET) => true,
                (DefaultValue::Str(word), Type::Enum(def)) => def.values.contains(&word),
                // References to what every pool has, such as a role.
                (DefaultValue::StrSet(_), Type::Set(Type::Ref(_))) => true,
                (DefaultValue::IntSet(_), ty) => ty.set_member() == Some(&Type::Int),
                _ => false,
            };
            assert!(fits, "{}.{}", class.name, field.name);
        }
    }
}

#[test]
fn every_declared_error_is_in_the_catalogue() {
    for method in datamodel::all_methods() {
        for code in method.errors() {
            assert!(datamodel::error(code).is_some(), "{} raises {code}", method.full_name());
        }
    }
}

/// Design: a new message without roles does not build; a writable field without a role does not pass.
#[test]
fn every_writable_field_names_a_role_and_every_element_a_doc_line() {
    for class in CLASSES {
        assert!(!class.doc.is_empty(), "{}", class.name);
        for field in class.fields {
            let name = format!("{}.{}", class.name, field.name);
            assert!(!field.doc.is_empty(), "{name}");
            if field.qualifier == Qualifier::RW {
                assert_ne!(field.set_role, Role::Internal, "{name}");
            }
        }
        for message in class.messages {
            assert!(
                !message.doc.is_empty() && !message.name.is_empty(),
                "{}.{}",
                class.name,
                message.name
            );
        }
    }
}

#[test]
fn a_message_that_takes_a_password_is_secret() {
    for method in datamodel::all_methods().filter(|m| !m.secret()) {
        for param in method.params().iter() {
            let told = ["password", "pwd", "private_key", "unattend"]
                .iter()
                .any(|w| param.name.contains(w));
            assert!(!told, "{} takes {}", method.full_name(), param.name);
        }
    }
}

#[test]
fn optional_parameters_come_last() {
    for method in datamodel::all_methods() {
        let defaults: Vec<_> = method.params().iter().map(|p| p.default.is_some()).collect();
        assert!(defaults.is_sorted(), "{}", method.full_name());
    }
}

#[test]
fn a_key_with_a_role_of_its_own_takes_that_role() {
    let vm = datamodel::class("VM").expect("VM is a class");
    let (_, field) = vm.field("other_config").expect("VM has other_config");
    assert_eq!(field.role_for_key("folder"), Role::VmOperator);
    assert_eq!(field.role_for_key("XenCenter.CustomFields.owner"), Role::VmOperator);
    assert_eq!(field.role_for_key("pci"), Role::PoolAdmin);
    assert_eq!(field.role_for_key("folders"), field.set_role);
}

#[test]
fn every_field_of_xe_comes_from_a_field_of_the_class() {
    let exists = |class: &str, field: &str, name: &str| {
        // Physical interfaces show values of a class that the pool does not have (yet).
        let Some(class) = datamodel::class(class) else { return };
        assert!(
            class.field(field).is_some(),
            "{name} shows {}.{field}, which is no field",
            class.name
        );
    };
    for record in xe::RECORDS {
        assert!(datamodel::class(record.class).is_some(), "{}", record.cli_name);
        for field in record.fields {
            let name = format!("{} {}", record.cli_name, field.name);
            match field.source {
                XeSource::Field(api) => exists(record.class, api, &name),
                XeSource::Related { via, class, field } => {
                    exists(record.class, via, &name);
                    exists(class, field, &name);
                }
                XeSource::Computed => {}
            }
        }
        for (name, _) in record.filter {
            assert!(record.field(name).is_some(), "{} is filtered by {name}", record.cli_name);
        }
    }
}

/// proves: S1-40 (table)
#[test]
fn every_command_that_says_master_or_slave_has_a_name_that_does_not() {
    let mut names = BTreeSet::new();
    for command in xe::COMMANDS {
        for name in std::iter::once(&command.name).chain(command.aliases) {
            assert!(names.insert(*name), "{name} is taken twice");
            assert_eq!(xe::command(name).map(|c| c.name), Some(command.name));
        }
        let old = |word: &str| word.contains("master") || word.contains("slave");
        assert_eq!(old(command.name), !command.aliases.is_empty(), "{}", command.name);
        for parameter in command.required.iter().chain(command.optional) {
            let alias = command.param_aliases.iter().find(|(_, real)| real == parameter);
            assert_eq!(old(parameter), alias.is_some(), "{} {parameter}", command.name);
        }
        assert!(!command.doc.is_empty(), "{}", command.name);
    }
}

/// proves: S1-36 (table)
#[test]
fn every_command_with_a_file_says_which_parameter_names_it() {
    for command in xe::COMMANDS {
        for parameter in command.required.iter().chain(command.optional) {
            if matches!(*parameter, "filename" | "file-name") {
                assert!(command.files.contains(parameter), "{}", command.name);
            }
        }
    }
}

#[test]
fn nothing_internal_is_seen_by_clients_of_the_reference() {
    let internal = |class: &&&Class| class.state == Lifecycle::Internal;
    for class in CLASSES.iter().filter(internal) {
        assert!(!class.events, "{} is internal", class.name);
    }
    // A host that joins is no member yet: it comes with the password of an administrator of the pool.
    // A recovery is an administrator's decision, also from afar.
    // XenServer has the message about default templates too, without telling.
    let by_administrators =
        ["VM.set_is_default_template", "pool.holdfast_emergency_transition", "pool.holdfast_join"];
    // What an operator may do in several steps, in one.
    let by_operators = [
        "SR.holdfast_adopt",
        "SR.holdfast_repair",
        "host.holdfast_enter_maintenance",
        "host.holdfast_leave_maintenance",
    ];
    // Whoever may read the records may know what is true of them.
    let by_readers = [
        "VM.holdfast_get_state",
        "host.holdfast_diagnose",
        "host.holdfast_emergency",
        "host.holdfast_get_layouts",
        "host.holdfast_get_liveness",
        "host.holdfast_get_standing",
        "pool.holdfast_ha_status",
        "pool.holdfast_lineage",
        "pool.holdfast_readiness",
        "pool.holdfast_restore_report",
        "pool.holdfast_status",
    ];
    // What an operator may do with a host, a VM or its disk, with proof, in order, or by what the disk holds.
    let with_proof = [
        "VM.holdfast_create_from_disk",
        "VM.holdfast_start_in_order",
        "host.holdfast_declare_dead",
        "host.holdfast_forget",
        "host.holdfast_leave",
        "host.holdfast_recover",
        "host.holdfast_rejoin",
        "host.holdfast_release_disks",
    ];
    for method in datamodel::all_methods().filter(|m| m.state() == Lifecycle::Internal) {
        let name = method.full_name();
        let internal = method.role() == Role::Internal
            || (by_administrators.contains(&name.as_str()) && method.role() >= Role::PoolAdmin)
            || (by_operators.contains(&name.as_str()) && method.role() >= Role::PoolOperator)
            || (with_proof.contains(&name.as_str()) && method.role() >= Role::VmOperator)
            || by_readers.contains(&name.as_str());
        assert!(method.is_getter() || internal, "{name}");
    }
}
