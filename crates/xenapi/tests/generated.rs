//! The generated readers, writers, enums, calls and errors, tried on a few members of each kind.
//!
//! That they are fresh is `cargo xtask codegen --check`'s business; here they are used as the daemon uses them.

use uuid::Uuid;
use xenapi::calls::{self, Params};
use xenapi::{Error, Ref, Value, Vm, VmMut, VmOperations, VmPowerState, errors, fields, tag};

#[test]
fn a_writer_writes_what_the_reader_reads() {
    let uuid = Uuid::from_u128(7);
    let host: Ref<tag::Host> = Uuid::from_u128(8).into();
    let mut record = Vm::new_record(uuid);
    let mut vm = VmMut::of(&mut record);
    vm.set_name_label("web1").set_power_state(VmPowerState::Running).set_resident_on(host);
    vm.set_memory_static_max(1 << 30);
    vm.insert_current_operations("OpaqueRef:NULL", VmOperations::CleanShutdown);
    assert!(vm.add_tags("blue"));
    assert!(!vm.add_tags("blue"));

    let vm = Vm::of(&record);
    assert_eq!(vm.name_label(), "web1");
    assert_eq!(vm.uuid(), uuid);
    assert_eq!(vm.reference().uuid(), Some(uuid));
    assert_eq!(vm.power_state(), VmPowerState::Running);
    assert_eq!(vm.resident_on(), host);
    assert_eq!(vm.memory_static_max(), 1 << 30);
    assert_eq!(vm.tags().strs().collect::<Vec<_>>(), ["blue"]);
    let operations: Vec<(xenapi::Text, VmOperations)> = vm.current_operations().iter().collect();
    assert_eq!(operations[0].1, VmOperations::CleanShutdown);
    assert_eq!(record.get(fields::vm::NAME_LABEL), &Value::str("web1"));
}

#[test]
fn a_reader_of_an_empty_record_gives_the_defaults_of_the_reference() {
    let record = Vm::new_record(Uuid::nil());
    let vm = Vm::of(&record);
    assert_eq!(vm.power_state(), VmPowerState::Halted);
    assert_eq!(vm.domain_type().as_str(), "unspecified");
    assert!((vm.hvm_shadow_multiplier() - 1.0).abs() < f64::EPSILON);
    assert!(vm.affinity().is_null());
}

#[test]
fn a_call_decodes_its_parameters_and_fills_in_what_may_be_left_out() {
    let vm = Ref::<tag::Vm>::new(Uuid::from_u128(1));
    let given = [Value::from(vm), Value::Bool(false), Value::Bool(true)];
    let start = calls::vm::Start::decode(&given).expect("the types are right");
    assert_eq!(start, calls::vm::Start { vm, start_paused: false, force: true });
    assert_eq!(start.encode(), given);

    let login = [Value::str("root"), Value::str("secret")];
    let login = calls::session::LoginWithPassword::decode(&login).expect("two are enough");
    assert_eq!((&*login.version, &*login.originator), ("1.1", ""));
    assert_eq!(format!("{login:?}"), "LoginWithPassword { .. }");
}

#[test]
fn a_call_with_wrong_parameters_is_refused_with_the_code_of_the_catalogue() {
    let wrong =
        |given: &[Value]| calls::vm::Start::decode(given).expect_err("must be refused").code;
    assert_eq!(&*wrong(&[]), errors::MESSAGE_PARAMETER_COUNT_MISMATCH);
    let vm = Value::str("OpaqueRef:NULL");
    assert_eq!(&*wrong(&[vm, Value::Int(3), Value::Bool(true)]), errors::FIELD_TYPE_ERROR);
}

#[test]
fn an_error_constructor_takes_what_the_catalogue_declares() {
    let vm = Ref::<tag::Vm>::NULL;
    let error = errors::vm_bad_power_state(vm, VmPowerState::Halted, VmPowerState::Running);
    assert_eq!(error, Error::new("VM_BAD_POWER_STATE", ["OpaqueRef:NULL", "Halted", "Running"]));
}
