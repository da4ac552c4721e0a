//! The commands against a fake pool: what they print, what they call, and that nothing is called when they refuse.

use insta::assert_snapshot;
use serde_json::json;

use super::{direct, is_offered};
use crate::tables;
use crate::testing::{Fake, reference, uuid, xe, xe_words};

/// Two hosts, three VMs, a template, a snapshot, shared and local storage.
pub(crate) fn pool() -> Fake {
    let vm = |name: &str, state: &str| {
        json!({
            "name_label": name, "name_description": "", "power_state": state, "is_a_template": false,
            "is_a_snapshot": false, "is_control_domain": false, "VBDs": [], "VIFs": [], "snapshots": [],
            "allowed_operations": ["start", "clone"], "current_operations": {}, "other_config": {"folder": "/a"},
            "tags": ["blue", "green"], "resident_on": reference(1), "metrics": "OpaqueRef:NULL",
            "guest_metrics": "OpaqueRef:NULL", "HVM_shadow_multiplier": 1.0, "memory_static_max": 1_073_741_824_i64,
            "suspend_VDI": "OpaqueRef:NULL", "snapshot_time": "19700101T00:00:00Z", "consoles": [],
        })
    };
    let mut web1 = vm("web1", "Running");
    web1["VBDs"] = json!([reference(31), reference(32)]);
    let mut template = vm("Other install media", "Halted");
    template["is_a_template"] = json!(true);
    let mut snapshot = vm("before", "Halted");
    snapshot["is_a_template"] = json!(true);
    snapshot["is_a_snapshot"] = json!(true);
    snapshot["snapshot_of"] = json!(reference(11));
    Fake::default()
        .with("pool", 9, json!({"name_label": "", "name_description": "", "master": reference(1),
            "default_SR": reference(21)}))
        .with("host", 1, json!({"name_label": "xenserver-piqyctev", "hostname": "xenserver-piqyctev",
            "address": "10.90.0.1", "name_description": "Default install of XenServer", "enabled": true,
            "other_config": {}}))
        .with("host", 2, json!({"name_label": "h2", "hostname": "h2", "address": "10.90.0.2",
            "name_description": "", "enabled": true, "other_config": {}}))
        .with("VM", 11, web1)
        .with("VM", 12, vm("web 2, \"quoted\" 💾", "Halted"))
        .with("VM", 13, vm("db1", "Halted"))
        .with("VM", 14, template)
        .with("VM", 15, snapshot)
        .with("SR", 21, json!({"name_label": "Local Storage", "name_description": "", "type": "file",
            "content_type": "user", "shared": true, "PBDs": [reference(41), reference(42)], "VDIs": [reference(51)],
            "physical_size": 1000, "other_config": {}}))
        .with("SR", 22, json!({"name_label": "ISOs", "name_description": "", "type": "iso",
            "content_type": "iso", "shared": false, "PBDs": [reference(43)], "VDIs": [reference(52)]}))
        .with("PBD", 41, json!({"host": reference(1), "SR": reference(21),
            "device_config": {"location": "/srv"}, "currently_attached": true}))
        .with("PBD", 42, json!({"host": reference(2), "SR": reference(21), "device_config": {},
            "currently_attached": true}))
        .with("PBD", 43, json!({"host": reference(2), "SR": reference(22), "device_config": {},
            "currently_attached": false}))
        .with("VBD", 31, json!({"VM": reference(11), "VDI": reference(51), "type": "Disk", "userdevice": "0",
            "device": "xvda", "empty": false, "other_config": {"owner": ""}, "currently_attached": true}))
        .with("VBD", 32, json!({"VM": reference(11), "VDI": "OpaqueRef:NULL", "type": "CD", "userdevice": "3",
            "device": "xvdd", "empty": true, "other_config": {}, "currently_attached": true}))
        .with("VDI", 51, json!({"name_label": "web1 root", "SR": reference(21), "virtual_size": 10_737_418_240_i64,
            "VBDs": [reference(31)], "type": "user"}))
        .with("VDI", 52, json!({"name_label": "debian.iso", "SR": reference(22), "virtual_size": 1, "VBDs": [],
            "type": "user"}))
        .answering("session.get_this_host", json!(reference(1)))
        .answering("VM.get_cooperative", json!(true))
}

fn changes(calls: &[String]) -> Vec<String> {
    let reads = |c: &str| [".get_", ".holdfast_get_"].iter().any(|r| c.contains(r));
    calls.iter().filter(|c| !reads(c) && !c.starts_with("event.")).cloned().collect()
}

/// proves: S0-34 (table)
#[test]
fn host_list_prints_as_xenserver_does() {
    assert_snapshot!(xe(&pool(), "host-list").out);
}

/// proves: S4-135 (table), S0-33 (table)
#[test]
fn vm_list_prints_as_xenserver_does() {
    assert_snapshot!(xe(&pool(), "vm-list").out);
}

/// proves: S4-135 (table)
#[test]
fn a_vms_parameters_print_as_xenserver_does() {
    assert_snapshot!(xe(&pool(), &format!("vm-param-list uuid={}", uuid(11))).out);
}

/// proves: S4-135 (table)
#[test]
fn param_get_prints_the_value_alone_whatever_params_says() {
    let line = format!("vm-param-get param-name=other-config uuid={} params=all", uuid(11));
    assert_eq!(xe(&pool(), &line).out, "folder: /a\n");
    let line = format!("vm-param-get param-name=other-config param-key=folder uuid={}", uuid(11));
    assert_eq!(xe(&pool(), &line).out, "/a\n");
    let line = format!("vm-param-get param-name=tags uuid={}", uuid(11));
    assert_eq!(xe(&pool(), &line).out, "blue, green\n");
}

#[test]
fn a_list_fetches_its_class_once_and_nothing_else() {
    let run = xe(&pool(), "vm-list");
    assert_eq!(run.calls, ["VM.get_all_records()"]);
}

#[test]
fn minimal_lists_are_comma_separated_values_of_the_first_field() {
    let run = xe(&pool(), "vm-list --minimal params=name-label");
    assert_eq!(run.out, "web1,web 2\\, \"quoted\" 💾,db1\n");
    assert_eq!(xe(&pool(), "host-list --minimal").out, format!("{},{}\n", uuid(1), uuid(2)));
}

#[test]
fn json_lists_hold_maps_sets_and_numbers_as_such() {
    let run = xe(
        &pool(),
        "vm-list --output json name-label=web1 params=name-label,other-config,tags,memory-static-max",
    );
    assert_snapshot!(run.out);
}

#[test]
fn templates_and_snapshots_have_lists_of_their_own() {
    assert_snapshot!(xe(&pool(), "template-list").out + &xe(&pool(), "snapshot-list").out);
}

#[test]
fn lists_filter_by_field_by_map_key_and_by_set_member() {
    let names =
        |line: &str| xe(&pool(), &format!("vm-list --minimal params=name-label {line}")).out;
    assert_eq!(names("power-state=running"), "web1\n");
    assert_eq!(names("other-config:folder=/a name-label=db1"), "db1\n");
    assert_eq!(names("other-config-folder=/b"), "\n");
    assert_eq!(names("tags:contains=blue name-label=db1"), "db1\n");
    let run = xe(&pool(), "vm-list flavour=x");
    assert_eq!((run.err.as_str(), run.code), ("Error: Unknown field 'flavour'\n", 1));
}

#[test]
fn a_repository_shows_its_only_host_or_that_it_is_shared() {
    assert_snapshot!(xe(&pool(), "sr-list").out);
}

#[test]
fn a_field_that_costs_a_call_has_a_stand_in_in_lists() {
    let run = xe(&pool(), "vm-list name-label=db1 params=name-label,memory-target");
    assert!(run.out.contains("memory-target ( RO): <expensive field>\n"), "{}", run.out);
}

/// proves: S0-33 (table)
#[test]
fn names_with_blanks_quotes_and_emoji_are_kept_whole() {
    for name in ["Local Storage", "a \"b\" 'c'", "💾 – été", &"x".repeat(255)] {
        let id = format!("uuid={}", uuid(13));
        let label = format!("name-label={name}");
        let run = xe_words(&pool(), &["vm-param-set", &id, &label], &[]);
        assert_eq!(changes(&run.calls), [format!("VM.set_name_label({}, {name})", reference(13))]);
    }
}

/// proves: S4-107 (table)
#[test]
fn a_map_entry_is_replaced_without_touching_the_others() {
    let run = xe(
        &pool(),
        &format!("vm-param-set uuid={} other-config:folder=/b other-config:note=x", uuid(11)),
    );
    let me = reference(11);
    assert_eq!(
        changes(&run.calls),
        [
            format!("VM.remove_from_other_config({me}, folder)"),
            format!("VM.add_to_other_config({me}, folder, /b)"),
            format!("VM.add_to_other_config({me}, note, x)"),
        ]
    );
}

/// proves: S2-54 (table)
#[test]
fn a_wrong_value_changes_nothing() {
    let run = xe(&pool(), &format!("vm-param-set uuid={} name-label=x VCPUs-max=many", uuid(11)));
    assert_eq!(run.code, 1);
    assert_eq!(run.err, "Error: Failed to parse parameter 'VCPUs-max': expecting an integer\n");
    assert!(changes(&run.calls).is_empty());
}

/// proves: S2-54 (table)
#[test]
fn a_missing_parameter_is_named_before_anything_is_called() {
    let run = xe(&pool(), "patch-apply uuid=0850b186-4d47-11e3-a720-001b2151a503");
    assert_eq!(run.err, "Required parameter not found: host-uuid\nFor usage run: 'xe help'\n");
    assert_eq!(run.code, 2);
    assert!(run.calls.is_empty());
}

#[test]
fn an_unknown_command_is_answered_with_what_may_have_been_meant() {
    let run = xe(&pool(), "vm-strat");
    assert_eq!(run.code, 2);
    assert!(
        run.err.starts_with("Unknown command: vm-strat\nDid you mean: vm-start"),
        "{}",
        run.err
    );
    let run = xe(&pool(), "pool-reset-master");
    assert!(run.err.contains("pool-emergency-reset-master"), "{}", run.err);
}

/// proves: S2-44 (table)
#[test]
fn a_pasted_dash_is_pointed_at_and_nothing_is_called() {
    let run = xe(&pool(), "vm-reset-powerstate vm=web1 –force");
    assert_snapshot!(run.err);
    assert_eq!(run.code, 2);
    assert!(run.calls.is_empty());
}

/// proves: S2-35 (table)
#[test]
fn this_host_may_be_called_localhost_and_any_host_by_a_unique_prefix() {
    let want = [format!("pool.designate_new_master({})", reference(1))];
    for line in ["host=localhost", "host-uuid=localhost", "host=xenserver", "host-uuid=10.90.0.1"] {
        let run = xe(&pool(), &format!("pool-designate-new-master {line}"));
        assert_eq!(changes(&run.calls), want, "{line}: {}", run.err);
    }
    let run = xe(&pool(), "host-disable host=localhost");
    assert_eq!(changes(&run.calls), [format!("host.disable({}, true)", reference(1))]);
    let run = xe(&pool(), "pool-designate-new-master host=00000000");
    assert_eq!(run.code, 1, "an ambiguous prefix is refused");
    assert!(changes(&run.calls).is_empty());
}

/// proves: S1-40 (table)
#[test]
fn old_and_new_words_do_the_same() {
    for word in ["pool-designate-new-master", "pool-designate-new-coordinator"] {
        let run = xe(&pool(), &format!("{word} host-uuid={}", uuid(2)));
        assert_eq!(changes(&run.calls), [format!("pool.designate_new_master({})", reference(2))]);
    }
    for word in ["pool-recover-slaves", "pool-recover-members"] {
        let fake = pool().answering("pool.recover_slaves", json!([reference(2)]));
        assert_eq!(xe(&fake, word).out, format!("{}\n", uuid(2)));
    }
    for part in ["master", "coordinator"] {
        let line =
            format!("pool-join {part}-address=10.0.0.1 {part}-username=root {part}-password=x");
        let run = xe(&pool(), &line);
        assert_eq!(changes(&run.calls), ["pool.join(10.0.0.1, root, x)"]);
    }
}

/// proves: S1-36 (table)
#[test]
fn every_command_with_a_file_takes_both_spellings() {
    for command in tables::all() {
        for name in ["filename", "file-name"] {
            let knows = |n: &str| command.required.iter().chain(&command.optional).any(|p| p == n);
            if !(knows("filename") || knows("file-name")) {
                continue;
            }
            let mut params: Vec<(String, String)> = command
                .required
                .iter()
                .filter(|p| *p != "filename" && *p != "file-name")
                .map(|p| (p.to_string(), "x".to_owned()))
                .collect();
            params.push((name.to_owned(), "x".to_owned()));
            let mut params = crate::command_line::Params(params);
            crate::dispatch::normalise(&command, &mut params).expect("the file is found");
            let real = if knows("filename") { "filename" } else { "file-name" };
            assert!(params.has(real), "{}", command.name);
        }
    }
}

#[test]
fn vm_start_runs_as_a_task_and_prints_nothing() {
    let run = xe(&pool(), "vm-start vm=db1");
    assert_eq!((run.out.as_str(), run.err.as_str(), run.code), ("", "", 0));
    assert!(run.calls.contains(&format!("Async.VM.start({}, false, false)", reference(13))));
    assert!(run.calls.contains(&"task.destroy(OpaqueRef:task)".to_owned()));
}

#[test]
fn several_matches_need_multiple() {
    let run = xe(&pool(), "vm-start power-state=halted");
    assert_eq!(
        run.err,
        "Error: Multiple matches VMs found. --multiple required to complete the operation\n"
    );
    let run = xe(&pool(), "vm-start power-state=halted --multiple");
    assert_eq!(run.calls.iter().filter(|c| c.starts_with("Async.VM.start")).count(), 2);
    assert_eq!(xe(&pool(), "vm-start vm=nothing").err, "Error: No matching VMs found\n");
}

#[test]
fn of_several_all_are_tried_and_the_failures_reported() {
    let fake =
        pool().failing("VM.pause", "VM_BAD_POWER_STATE", &[&reference(13), "running", "halted"]);
    let run = xe(&fake, "vm-pause power-state=halted --multiple");
    assert_eq!(run.code, 1);
    assert_snapshot!(run.err);
}

#[test]
fn an_error_is_worded_with_its_parameters_and_the_object_named() {
    let fake =
        pool().failing("VM.pause", "VM_BAD_POWER_STATE", &[&reference(13), "running", "halted"]);
    let run = xe(&fake, "vm-pause vm=db1");
    assert_snapshot!(run.err);
    assert_eq!(run.code, 1);
}

/// proves: S0-35 (table)
#[test]
fn pbd_create_and_plug_work_as_in_the_recipe() {
    let fake = pool().answering("PBD.create", json!(reference(43)));
    let line = format!(
        "pbd-create sr-uuid={} device-config:device=/dev/disk/by-path/pci-0000:00:10.0-part3 host-uuid={}",
        uuid(21),
        uuid(1)
    );
    let run = xe(&fake, &line);
    assert_eq!(run.out, format!("{}\n", uuid(43)));
    assert!(run.calls.iter().any(|c| c.starts_with("PBD.create(")
        && c.contains(r#""device_config":{"device":"/dev/disk/by-path/pci-0000:00:10.0-part3"}"#)));
    let run = xe(&fake, &format!("pbd-plug uuid={}", uuid(43)));
    assert!(run.calls.contains(&format!("Async.PBD.plug({})", reference(43))));
}

#[test]
fn sr_introduce_prints_the_uuid_it_was_given() {
    let id = "c4582230-be8f-ba20-cd32-6f04a9e5dc73";
    let run =
        xe(&pool(), &format!("sr-introduce uuid={id} type=lvm name-label=Local content-type=user"));
    assert_eq!(run.out, format!("{id}\n"));
    assert_eq!(
        changes(&run.calls),
        [format!("SR.introduce({id}, Local, , lvm, user, false, {{}})")]
    );
}

/// proves: S3-27 (table)
#[test]
fn a_vms_disks_are_listed_with_device_and_disk() {
    assert_snapshot!(
        xe(&pool(), "vm-disk-list vm=web1").out + &xe(&pool(), "vm-cd-list vm=web1").out
    );
}

#[test]
fn uninstall_shows_what_goes_and_asks() {
    let run = xe_words(&pool(), &["vm-uninstall", "vm=web1"], &["no"]);
    assert_snapshot!(run.out);
    assert!(changes(&run.calls).is_empty());
    let run = xe_words(&pool(), &["vm-uninstall", "vm=web1"], &["yes"]);
    assert!(run.out.ends_with("All objects destroyed\n"));
    assert!(run.calls.contains(&format!("VM.destroy({})", reference(11))));
    assert!(run.calls.contains(&format!("VDI.destroy({})", reference(51))));
}

#[test]
fn host_forget_asks_unless_forced() {
    let id = uuid(2);
    let run = xe_words(&pool(), &["host-forget", &format!("uuid={id}")], &["n"]);
    assert_snapshot!(run.out);
    assert!(changes(&run.calls).is_empty());
    let run = xe(&pool(), &format!("host-forget uuid={id} --force"));
    assert!(run.calls.contains(&format!("Async.host.destroy({})", reference(2))));
}

#[test]
fn dangerous_operations_must_be_forced() {
    let run = xe(&pool(), "vm-reset-powerstate vm=web1");
    assert_eq!(
        run.err,
        "Error: This operation is dangerous and may cause data loss. This operation must be forced (use --force).\n"
    );
    let run = xe(&pool(), "vm-reset-powerstate vm=web1 --force");
    assert_eq!(changes(&run.calls), [format!("VM.power_state_reset({})", reference(11))]);
}

#[test]
fn vm_install_clones_provisions_and_prints_the_uuid() {
    let fake = pool().answering("VM.clone", json!(reference(13)));
    let words = ["vm-install", "new-name-label=new one", "template=Other install media"];
    let run = xe_words(&fake, &words, &[]);
    assert_eq!(run.out, format!("{}\n", uuid(13)), "{}", run.err);
    assert!(run.calls.contains(&format!("Async.VM.clone({}, new one)", reference(14))));
    assert!(run.calls.contains(&format!("Async.VM.provision({})", reference(13))));
}

#[test]
fn an_emergency_is_printed_as_a_bare_word_and_its_reason_aside() {
    let fake = pool().answering("host.is_in_emergency_mode", json!(false));
    let calm = xe(&fake, "host-is-in-emergency-mode");
    assert_eq!((calm.out.as_str(), calm.err.as_str()), ("false\n", ""));
    let fake = pool().failing("host.is_in_emergency_mode", "HOST_IN_EMERGENCY_MODE", &[]);
    let lost = xe(&fake, "host-is-in-emergency-mode");
    assert_eq!((lost.out.as_str(), lost.code), ("true\n", 0));
    assert!(lost.err.starts_with("The host has lost its pool"), "{}", lost.err);
}

#[test]
fn a_related_object_may_be_named_where_a_uuid_is_optional() {
    let run = xe_words(
        &pool().answering("VBD.create", json!(reference(31))),
        &["vbd-create", "vm=web1", "vdi=web1 root", "device=1"],
        &[],
    );
    assert_eq!(run.out, format!("{}\n", uuid(31)), "{}", run.err);
    let vdi = format!(r#""VDI":"{}""#, reference(51));
    assert!(run.calls.iter().any(|c| c.starts_with("VBD.create(") && c.contains(&vdi)));
}

#[test]
fn every_row_has_as_many_arguments_as_its_message() {
    for row in direct::ROWS {
        let Some((method, _)) = datamodel::method(row.method) else { continue };
        assert_eq!(row.args.len(), method.params().len(), "{} calls {}", row.name, row.method);
    }
}

#[test]
fn every_row_is_a_command_of_the_datamodel() {
    for row in direct::ROWS {
        assert!(tables::command(row.name).is_some(), "{}", row.name);
        assert!(super::function(row.name).is_none(), "{} has a function too", row.name);
    }
    for (name, _) in super::FUNCTIONS.iter().flat_map(|f| f.iter()) {
        assert!(tables::command(name).is_some(), "{name}");
    }
}

#[test]
fn the_commands_that_are_not_offered_are_these() {
    let missing: Vec<_> =
        tables::specials().iter().map(|c| c.name).filter(|n| !is_offered(n)).collect();
    assert_snapshot!(missing.join("\n"));
}

#[test]
fn help_reads_as_in_xenserver() {
    assert_snapshot!(xe(&pool(), "help vm-start").out + &xe(&pool(), "help").out);
}

/// proves: S3-27 (table)
#[test]
fn disks_are_found_by_the_vm_that_has_them() {
    for line in ["vm-name-label=web1".to_owned(), format!("vm-uuid={}", uuid(11))] {
        let run = xe(&pool(), &format!("vdi-list --minimal {line}"));
        assert_eq!(run.out, format!("{}\n", uuid(51)), "{}", run.err);
        let run = xe(&pool(), &format!("vm-disk-list {line}"));
        assert!(run.out.contains("Disk 0 VDI:"), "{}", run.err);
    }
    assert_eq!(xe(&pool(), "vdi-list --minimal vm-name-label=db1").out, "\n");
}

#[test]
fn a_file_is_received_whole_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("pool.xml");
    let fake = pool().with("task", 61, json!({"status": "success"}));
    let fake = fake.answering("task.create", json!(reference(61)));
    let line = format!("pool-dump-database file-name={}", path.display());
    let run = xe(&fake, &line);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(std::fs::read_to_string(&path).expect("written"), "data");
    assert!(run.calls.contains(&format!("GET /pool/xmldbdump?task_id={}", reference(61))));
    let again = xe(&fake, &line);
    assert_eq!(again.code, 1, "an existing file is not overwritten");
    let failed = pool()
        .with("task", 61, json!({"status": "failure", "error_info": ["INTERNAL_ERROR", "x"]}))
        .answering("task.create", json!(reference(61)));
    let other = dir.path().join("half.xml");
    let run = xe(&failed, &format!("pool-dump-database file-name={}", other.display()));
    assert_eq!(run.code, 1);
    assert!(!other.exists());
}

#[test]
fn a_storage_migration_asks_the_destination_first() {
    let fake = pool()
        .with("network", 71, json!({"name_label": "Pool-wide", "bridge": "xenbr0"}))
        .answering("host.migrate_receive", json!({"xenops": "url"}))
        .answering("VM.migrate_send", json!(reference(11)));
    let run = xe_words(
        &fake,
        &[
            "vm-migrate",
            "vm=web1",
            "host=h2",
            "remote-master=10.0.0.9",
            "remote-username=root",
            "remote-password=x",
            "remote-network=xenbr0",
            "live=true",
        ],
        &[],
    );
    assert_eq!(run.code, 0, "{}", run.err);
    assert_snapshot!(run.out);
    let send = format!("Async.VM.migrate_send({}", reference(11));
    assert!(run.calls.iter().any(|c| c.starts_with(&send)), "{:?}", run.calls);
}

#[test]
fn parameters_a_command_does_not_have_are_passed_over_aloud() {
    let run = xe(&pool(), &format!("pbd-plug uuid={} hots=h1", uuid(43)));
    assert_eq!(run.err, "Note: pbd-plug has no parameter 'hots'; it is passed over.\n");
    assert_eq!(run.code, 0);
    for line in ["vm-list database:vdi-uuid=x", "vm-install template=Other new-name-label=x"] {
        let notes = xe(&pool(), line).err;
        assert_eq!(notes.contains("passed over"), line.contains("database"), "{notes}");
    }
}

/// What the server says of the pool, with these rules failing.
fn status(word: &str, quorum: bool, rules: &[&str]) -> serde_json::Value {
    let findings: Vec<_> = rules
        .iter()
        .map(|rule| {
            json!({"rule": rule, "weight": "failure", "line": format!("FAILURE: host h2: {rule}"),
                "said_by": "host h1", "evidence": ["ping no"], "safe": "Wait.", "next": "xe host-list"})
        })
        .collect();
    let h1 = json!({"uuid": uuid(1), "name_label": "h1"});
    let text = json!({
        "status": word, "quorum": quorum, "replica_age_ms": 1500, "database": "etcd",
        "pool": {"uuid": uuid(9), "name_label": ""}, "seen_by": h1,
        "coordinator": {"copy": {"uuid": uuid(2), "name_label": "h2", "term": 4},
            "majority": {"silent": "no answer within 1500 ms"}},
        "voters": [{"uuid": uuid(1), "name_label": "h1", "leads": true,
            "answer": {"answers": true, "text": "yes (1 ms)"}}],
        "hosts": [{"uuid": uuid(2), "name_label": "h2", "address": "10.90.0.2", "live": false, "lease": false,
            "heard_ms": 4000, "ping": {"answers": false, "text": "no (nothing within 1500 ms)"}}],
        "guests_unknown": [{"uuid": uuid(11), "name_label": "web1", "unknown_for_s": 40,
            "last_on": {"uuid": uuid(2), "name_label": "h2"}}],
        "findings": findings,
    });
    json!(text.to_string())
}

#[test]
fn a_pools_status_says_who_says_so_and_its_exit_code_is_for_monitoring() {
    let asked = |status: serde_json::Value, line: &str| {
        xe(&pool().answering("pool.holdfast_status", status), line)
    };
    let table: [(&str, bool, &[&str], u8); 4] = [
        ("ok", true, &[], 0),
        ("degraded", true, &[], 0),
        ("failed", true, &["host-unreachable"], 6),
        ("failed", false, &["no-quorum"], 4),
    ];
    for (word, quorum, rules, code) in table {
        let done = asked(status(word, quorum, rules), "pool-status");
        assert_eq!(done.code, code, "{word}: {}", done.err);
        let minimal = asked(status(word, quorum, rules), "pool-status --minimal");
        assert_eq!((minimal.out.as_str(), minimal.code), (&*format!("{word}\n"), code));
        let shown = asked(status(word, quorum, rules), "pool-status --output json");
        assert!(shown.out.starts_with('{') && shown.code == code, "{}", shown.out);
    }
    let done = asked(status("failed", false, &["no-quorum"]), "pool-status");
    assert_snapshot!(done.out);
}
