//! What the datamodel says of every message is what a pool answers: done, refused with that error, or not implemented.
//! And every class gives all its records, each value of its declared type.

mod pool;

use std::collections::BTreeMap;
use std::time::Duration;

use datamodel::coverage::{PARTLY, Standing, standing};
use datamodel::{DefaultValue, Lifecycle, Method, Type};
use holdfastd::reconcilers::hardware;
use pool::Pool;
use xenapi::{OpaqueRef, Record, Value};

/// A call that has not ended by then is not one that answers `NOT_IMPLEMENTED`.
const WORKS: Duration = Duration::from_secs(2);

/// Messages whose answer can't be had without what they do: ending the host, the pool or this process.
const NOT_CALLED: [&str; 14] = [
    "event.from",
    "event.next",
    "host.destroy",
    "host.power_on",
    "host.reboot",
    "host.restart_agent",
    "host.shutdown",
    "pool.designate_new_master",
    "pool.eject",
    "pool.emergency_reset_master",
    "pool.emergency_transition_to_master",
    "pool.join",
    "pool.join_force",
    "session.change_password",
];

/// A value of a type: a reference to something that exists, else nothing of it.
fn value(objects: &BTreeMap<&str, OpaqueRef>, ty: &Type) -> Value {
    match ty {
        Type::Ref(class) => Value::Ref(objects.get(class).copied().unwrap_or(OpaqueRef::NULL)),
        other => Value::of_default(&DefaultValue::Zero, other),
    }
}

/// One of as many classes as can be had.
async fn objects(pool: &Pool) -> BTreeMap<&'static str, OpaqueRef> {
    let view = pool.view().await;
    let first = |class: &&'static datamodel::Class| {
        // The VM that is no control domain.
        let record = view.records(class.name).find(|r| class.name != "VM" || r.uuid() == pool::VM);
        Some((class.name, record?.opaque()))
    };
    datamodel::CLASSES.iter().filter_map(first).collect()
}

/// A machine with a card and a GPU, drawn as a directory.
fn machine() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |address: &str, class: &str, vendor: &str| {
        let path = dir.path().join("bus/pci/devices").join(address);
        std::fs::create_dir_all(&path).expect("made");
        for (name, text) in [("class", class), ("vendor", vendor), ("device", "0x1db4")] {
            std::fs::write(path.join(name), text).expect("written");
        }
    };
    write("0000:00:02.0", "0x020000", "0x8086");
    write("0000:01:00.0", "0x030000", "0x10de");
    dir
}

/// A host with a VM, a repository, hardware, and one of everything that can be made.
async fn full_pool() -> Pool {
    let pool = Pool::new(1).await;
    pool.fixed().await;
    let (h1, sys) = (pool.h1(), machine());
    hardware::follow(&h1.daemon, &pool.view().await, sys.path()).await;
    h1.make("VM_appliance", vec![("name_label", "shop".into()), ("name_description", "".into())])
        .await;
    h1.make("secret", vec![("value", PASSWORD.into()), ("other_config", Value::Map(vec![]))]).await;
    h1.make(
        "subject",
        vec![("subject_identifier", "S-1".into()), ("other_config", Value::Map(vec![]))],
    )
    .await;
    h1.ok("task.create", vec!["work".into(), "".into()]).await;
    pool
}

const PASSWORD: &str = "correct horse battery staple";

#[tokio::test(flavor = "multi_thread")]
async fn every_message_answers_as_the_coverage_says() {
    let mut wrong = Vec::new();
    let mut counts = [0; 3];
    for class in datamodel::CLASSES {
        let mut methods: Vec<Method> = class
            .methods()
            .filter(|m| m.session() && m.state() != Lifecycle::Internal)
            .filter(|m| !m.is_getter() && !NOT_CALLED.contains(&&*m.full_name()))
            .collect();
        if methods.is_empty() {
            continue;
        }
        // What takes the object away comes last.
        methods.sort_by_key(|m| ["destroy", "forget"].iter().any(|w| m.name().contains(w)));
        let pool = full_pool().await;
        for method in methods {
            let name = method.full_name();
            let objects = objects(&pool).await;
            let params = method.params().iter().map(|p| value(&objects, &p.ty)).collect();
            let call = pool.h1().call(&name, params);
            // What works on something for longer is done.
            let code = match tokio::time::timeout(WORKS, call).await {
                Ok(Ok(_)) => String::new(),
                Ok(Err(error)) => error.code.to_string(),
                Err(_) => "at work".to_owned(),
            };
            let at = match standing(&method) {
                Standing::Done if code != "NOT_IMPLEMENTED" && code != "MESSAGE_REMOVED" => 0,
                Standing::Refused(refusal) if code == refusal.code => 1,
                // Parameters are looked at first: a record of nothing but defaults lacks some.
                Standing::Refused(_) if method.name() == "create" && code == "FIELD_TYPE_ERROR" => {
                    1
                }
                Standing::Done if PARTLY.iter().any(|(partly, _)| *partly == name) => 0,
                Standing::Open
                    if matches!(
                        &*code,
                        "NOT_IMPLEMENTED" | "HANDLE_INVALID" | "FIELD_TYPE_ERROR"
                    ) =>
                {
                    2
                }
                other => {
                    wrong.push(format!("{name}: {other:?}, but the answer is '{code}'"));
                    continue;
                }
            };
            counts[at] += 1;
        }
    }
    assert!(wrong.is_empty(), "{} messages:\n{}", wrong.len(), wrong.join("\n"));
    assert!(counts.iter().all(|n| *n > 50), "{counts:?}");
}

/// What is in a set.
fn members(value: &Value) -> Vec<Value> {
    match value {
        Value::Set(members) => members.clone(),
        other => panic!("{other:?} is no set"),
    }
}

/// Why a value is not of its type; `None` if it is.
fn misfit(value: &Value, ty: &Type) -> Option<String> {
    let good = match (value, ty) {
        (Value::Str(word), Type::Enum(def)) => def.values.contains(&word.as_str()),
        (Value::Str(_), Type::String)
        | (Value::Int(_), Type::Int)
        | (Value::Float(_), Type::Float)
        | (Value::Bool(_), Type::Bool)
        | (Value::DateTime(_), Type::DateTime)
        | (Value::Ref(_), Type::Ref(_))
        | (Value::Record(_) | Value::Projected(_), Type::Record(_))
        | (Value::Void, Type::Optional(_)) => true,
        (Value::Set(items), Type::Set(member)) => {
            return items.iter().find_map(|item| misfit(item, member));
        }
        (Value::Map(pairs), Type::Map(key, member)) => {
            return pairs.iter().find_map(|(k, v)| misfit(k, key).or_else(|| misfit(v, member)));
        }
        (value, Type::Optional(inner)) => return misfit(value, inner),
        _ => false,
    };
    (!good).then(|| format!("{value:?} is no {ty}"))
}

fn records(answer: Value) -> Vec<std::sync::Arc<Record>> {
    let values = match answer {
        Value::Set(records) => records,
        Value::Map(pairs) => pairs.into_iter().map(|(_, record)| record).collect(),
        other => panic!("{other:?} are no records"),
    };
    values.iter().map(|v| v.as_record().expect("a record").clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_class_gives_all_its_records_well_typed() {
    let pool = full_pool().await;
    let mut with_records = Vec::new();
    for class in datamodel::CLASSES.iter().filter(|c| c.implicit.all) {
        let name = format!("{}.get_all_records", class.name);
        if class.state == Lifecycle::Removed {
            assert_eq!(pool.h1().refused(&name, vec![]).await, ["MESSAGE_REMOVED"]);
            continue;
        }
        let all = records(pool.h1().ok(&name, vec![]).await);
        let refs = pool.h1().ok(&format!("{}.get_all", class.name), vec![]).await;
        assert_eq!(members(&refs).len(), all.len(), "{name}");
        for record in &all {
            assert_eq!(record.class().name, class.name);
            for (field, value) in record.iter() {
                let misfit = misfit(value, &field.ty);
                assert_eq!(misfit, None, "{}.{}", class.name, field.name);
            }
        }
        if !all.is_empty() {
            with_records.push(class.name);
        }
    }
    for class in ["GPU_group", "PCI", "PGPU", "VM_appliance", "role", "secret", "subject"] {
        assert!(with_records.contains(&class), "no {class} in {with_records:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hardware_is_described_once_and_goes_with_the_device() {
    let pool = Pool::new(2).await;
    let (h1, sys) = (pool.h1(), machine());
    for host in &pool.hosts {
        host.daemon.catch_up().await;
        hardware::follow(&host.daemon, &host.daemon.view().await, sys.path()).await;
    }
    let view = pool.view().await;
    let count = |view: &holdfastd::View, class| view.records(class).count();
    assert_eq!((count(&view, "PCI"), count(&view, "PGPU")), (4, 2));
    assert_eq!((count(&view, "GPU_group"), count(&view, "role")), (1, 6));
    let before = view.revision();
    hardware::follow(&h1.daemon, &view, sys.path()).await;
    assert_eq!(pool.view().await.revision(), before, "nothing new, nothing written");

    std::fs::remove_dir_all(sys.path().join("bus/pci/devices/0000:01:00.0")).expect("pulled out");
    hardware::follow(&h1.daemon, &pool.view().await, sys.path()).await;
    let view = pool.view().await;
    assert_eq!((count(&view, "PCI"), count(&view, "PGPU")), (3, 1));
    assert_eq!(view.referrers("PGPU", "host", h1.uuid).count(), 0, "the other host keeps its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_sealed_and_shown_only_to_those_who_may_see_it() {
    let pool = full_pool().await;
    let h1 = pool.h1();
    let view = pool.view().await;
    let secret = view.records("secret").next().expect("made").uuid();
    let item = view.record_item("secret", secret).expect("stored");
    let stored = String::from_utf8_lossy(&item.value()).into_owned();
    assert!(!stored.contains(PASSWORD), "{stored}");
    assert_eq!(h1.text("secret", secret, "value").await, PASSWORD);
    let all = records(h1.ok("secret.get_all_records", vec![]).await);
    assert_eq!(all[0].get_by_name("value").and_then(Value::as_str), Some(PASSWORD));

    let own = Value::Ref(OpaqueRef::new(secret));
    let batch =
        h1.ok("event.from", vec![Value::str_set(["secret"]), "".into(), Value::Float(1.0)]).await;
    let batch = format!("{batch:?}");
    assert!(batch.contains(&secret.to_string()) && !batch.contains(PASSWORD));

    h1.ok("secret.set_value", vec![own.clone(), "another".into()]).await;
    assert_eq!(h1.text("secret", secret, "value").await, "another");
    h1.ok("secret.destroy", vec![own.clone()]).await;
    assert_eq!(h1.refused("secret.get_value", vec![own]).await[0], "HANDLE_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn subjects_have_roles_and_the_permissions_of_the_highest() {
    let pool = full_pool().await;
    let h1 = pool.h1();
    let view = pool.view().await;
    let subject = Value::Ref(view.records("subject").next().expect("made").opaque());
    let role = |name: &str| {
        let found = view
            .records("role")
            .find(|r| r.get_by_name("name_label").and_then(Value::as_str) == Some(name));
        Value::Ref(found.expect("one of six").opaque())
    };
    let permissions = |subject: Value| async move {
        let names = h1.ok("subject.get_permissions_name_label", vec![subject]).await;
        members(&names).iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    // XenServer's default: a subject is an administrator.
    assert!(permissions(subject.clone()).await.contains(&"pool.eject".to_owned()));
    let both = |name: &str| vec![subject.clone(), role(name)];
    assert_eq!(
        h1.refused("subject.add_to_roles", both("pool-admin")).await[0],
        "ROLE_ALREADY_EXISTS"
    );
    h1.ok("subject.add_to_roles", both("vm-operator")).await;
    h1.ok("subject.remove_from_roles", both("pool-admin")).await;
    let now = permissions(subject.clone()).await;
    assert!(now.contains(&"vm.start".to_owned()) && !now.contains(&"pool.eject".to_owned()));
    assert_eq!(
        h1.refused("subject.remove_from_roles", both("pool-admin")).await[0],
        "ROLE_NOT_FOUND"
    );

    let holders = h1.ok("role.get_by_permission_name_label", vec!["VM.start".into()]).await;
    assert_eq!(members(&holders).len(), 5);
    let held = h1.ok("role.get_permissions", vec![role("read-only")]).await;
    let first = members(&held)[0].clone();
    let name = h1.ok("role.get_name_label", vec![first.clone()]).await;
    let by_ref = h1.ok("role.get_by_permission", vec![first]).await;
    let by_name = h1.ok("role.get_by_permission_name_label", vec![name]).await;
    assert_eq!(by_ref, by_name);
    assert_eq!(members(&by_ref).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_starts_and_stops_its_vms_in_order() {
    let pool = Pool::new(2).await;
    let sr = pool.shared_sr().await;
    let h1 = pool.h1();
    let shop = h1
        .make("VM_appliance", vec![("name_label", "shop".into()), ("name_description", "".into())])
        .await;
    let own = Value::Ref(OpaqueRef::new(shop));
    let mut vms = Vec::new();
    for (label, order) in [("web", 2), ("db", 1), ("alone", 0)] {
        let (vm, ..) = pool.vm_with_disk(label, sr).await;
        let of = |value: Value| vec![Value::Ref(OpaqueRef::new(vm)), value];
        h1.ok("VM.set_order", of(Value::Int(order))).await;
        if label != "alone" {
            h1.ok("VM.set_appliance", of(own.clone())).await;
        }
        vms.push(vm);
    }
    assert_eq!(members(&h1.get("VM_appliance", shop, "VMs").await).len(), 2);
    h1.ok("VM_appliance.start", vec![own.clone(), Value::Bool(false)]).await;
    for vm in &vms[..2] {
        assert_eq!(h1.text("VM", *vm, "power_state").await, "Running");
    }
    assert_eq!(h1.text("VM", vms[2], "power_state").await, "Halted");
    let started = |view: &holdfastd::View, vm| view.record_item("VM", vm).expect("a VM").modified;
    let view = pool.view().await;
    assert!(started(&view, vms[1]) < started(&view, vms[0]), "the database first");

    h1.ok("VM_appliance.hard_shutdown", vec![own.clone()]).await;
    let view = pool.view().await;
    assert!(started(&view, vms[0]) < started(&view, vms[1]), "the database last");
    for vm in &vms {
        assert_eq!(h1.text("VM", *vm, "power_state").await, "Halted");
    }
    h1.ok("VM_appliance.destroy", vec![own]).await;
    assert_eq!(h1.named("VM", vms[0], "appliance").await, None);
    pool.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_events_come_to_whoever_has_registered() {
    let pool = full_pool().await;
    let h1 = pool.h1();
    assert_eq!(h1.refused("event.next", vec![]).await[0], "SESSION_NOT_REGISTERED");
    h1.ok("event.register", vec![Value::str_set(["VM", "task"])]).await;
    let vm = Value::Ref(OpaqueRef::new(pool::VM));
    let (heard, _) = tokio::join!(h1.ok("event.next", vec![]), async {
        h1.ok("VM.set_name_label", vec![vm.clone(), "renamed".into()]).await
    });
    let text = format!("{heard:?}");
    assert!(text.contains("renamed") && text.contains("mod"), "{text}");
    h1.ok("task.create", vec!["work".into(), "".into()]).await;
    // Between two calls nothing is lost, and what was heard does not come again.
    let text = format!("{:?}", h1.ok("event.next", vec![]).await);
    assert!(text.contains("\"task\"") && !text.contains("renamed"), "{text}");
    h1.ok("event.unregister", vec![Value::str_set(["vm", "task"])]).await;
    assert_eq!(h1.refused("event.next", vec![]).await[0], "SESSION_NOT_REGISTERED");
}
