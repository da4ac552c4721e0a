//! Measures writing `VM.get_all_records` of many VMs against `serde_json::to_vec` of the equal document, and the memory that the
//! records take. Prints one line per measure; sets no exit code, so that it is no timed test.
//!
//! `cargo run --release -p holdfast-xenapi --example write_ratio -- 5000`

#![expect(clippy::print_stdout, reason = "it is a program that prints measurements")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;
use xenapi::jsonrpc::{Id, Version};
use xenapi::{Envelope, OpaqueRef, Projection, Protocol, Record, Timestamp, Value};

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(5_000);
    let records: Vec<Arc<Record>> = (0..count).map(|n| Arc::new(vm(n))).collect();
    let stored: Vec<Vec<u8>> = records.iter().map(|record| Record::to_stored(record)).collect();
    println!("stored bytes_per_vm={}", stored.iter().map(Vec::len).sum::<usize>() / count);

    let before = resident();
    let class = datamodel::class("VM").expect("VM is a class");
    let read: Vec<Record> = stored
        .iter()
        .map(|bytes| Record::from_stored(class, bytes).expect("just written"))
        .collect();
    println!("memory bytes_per_vm={}", (resident() - before) / count);
    assert!(read.iter().zip(&records).all(|(a, b)| a == &**b), "stored records come back equal");

    let views: Vec<Projection> = records.iter().map(project).collect();
    let json = Envelope::new(Protocol::JsonRpc(Version::V2, Id::number(0)));
    let xml = Envelope::new(Protocol::XmlRpc);
    let ours = answer(&json, &views);
    let document: serde_json::Value = serde_json::from_slice(&ours).expect("our JSON is JSON");
    let theirs = serde_json::to_vec(&document).expect("a document can be written");
    println!(
        "json bytes={} serde_json bytes={} xml bytes={}",
        ours.len(),
        theirs.len(),
        answer(&xml, &views).len()
    );

    let mut samples = [Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..15 {
        samples[0].push(time(|| serde_json::to_vec(&document).expect("a document can be written")));
        samples[1].push(time(|| answer(&json, &views)));
        samples[2].push(time(|| answer(&xml, &views)));
        samples[3].push(time(|| {
            stored.iter().map(|b| Record::from_stored(class, b)).collect::<Vec<_>>()
        }));
        samples[4].push(time(|| xenapi::jsonrpc::decode_response(&ours)));
        samples[5].push(time(|| {
            serde_json::from_slice::<serde_json::Value>(&ours).expect("our JSON is JSON")
        }));
    }
    let [peer, json, xml, from_stored, decode, peer_decode] = samples.map(median);
    println!("serde_json::to_vec ms={:.2}", ms(peer));
    println!("write_json ms={:.2} ratio={:.2}", ms(json), json.as_secs_f64() / peer.as_secs_f64());
    println!("write_xml  ms={:.2} ratio={:.2}", ms(xml), xml.as_secs_f64() / peer.as_secs_f64());
    println!("from_stored ms={:.2}", ms(from_stored));
    println!(
        "decode_response ms={:.2} serde_json::from_slice ms={:.2} ratio={:.2}",
        ms(decode),
        ms(peer_decode),
        decode.as_secs_f64() / peer_decode.as_secs_f64()
    );
}

fn answer(envelope: &Envelope, views: &[Projection]) -> Vec<u8> {
    let mut out = Vec::new();
    envelope.begin(&mut out);
    let mut map = envelope.record_map();
    map.begin(&mut out);
    for view in views {
        map.projection(view.base().opaque(), view, &mut out);
    }
    map.end(&mut out);
    envelope.end(&mut out);
    out
}

/// What a VM made from a template has in it.
fn vm(number: usize) -> Record {
    let class = datamodel::class("VM").expect("VM is a class");
    let id = |salt: usize| Uuid::from_u64_pair((salt * 0x9e37_79b9) as u64, number as u64);
    let opaque = |salt| Value::Ref(OpaqueRef::new(id(salt)));
    let mut vm = Record::new(class, id(1));
    let mut set = |name: &str, value: Value| assert!(vm.set_by_name(name, value), "{name}");
    set("name_label", Value::from(format!("web server {number}")));
    set(
        "name_description",
        Value::from(format!("front end number {number} of the \"shop\" & its <clients>")),
    );
    set("power_state", Value::word("Running"));
    set("user_version", Value::Int(1));
    for name in ["memory_static_max", "memory_dynamic_max", "memory_dynamic_min", "memory_target"] {
        set(name, Value::Int(4 << 30));
    }
    set("memory_static_min", Value::Int(1 << 30));
    for name in ["VCPUs_max", "VCPUs_at_startup"] {
        set(name, Value::Int(2));
    }
    for (salt, name) in
        ["affinity", "resident_on", "metrics", "guest_metrics", "parent"].iter().enumerate()
    {
        set(name, opaque(salt + 2));
    }
    set("domid", Value::Int(7));
    set("actions_after_shutdown", Value::word("destroy"));
    set("actions_after_reboot", Value::word("restart"));
    set("actions_after_crash", Value::word("restart"));
    set("HVM_boot_policy", Value::word("BIOS order"));
    set("HVM_boot_params", Value::str_map([("order", "cdn"), ("firmware", "bios")]));
    set("domain_type", Value::word("hvm"));
    set("generation_id", Value::from(format!("{number}:{}", number * 7)));
    set("snapshot_time", Value::DateTime(Timestamp::EPOCH));
    set("hardware_platform_version", Value::Int(2));
    set("is_vmss_snapshot", Value::Bool(false));
    let platform = [
        ("acpi", "1"),
        ("apic", "true"),
        ("pae", "true"),
        ("viridian", "false"),
        ("nx", "true"),
        ("hpet", "true"),
        ("device-model", "qemu-upstream-compat"),
        ("cores-per-socket", "2"),
        ("vga", "std"),
        ("videoram", "8"),
    ];
    set("platform", Value::str_map(platform));
    let mac_seed = id(9).to_string();
    let other = [
        ("mac_seed", mac_seed.as_str()),
        ("base_template_name", "Debian Bookworm 12"),
        ("install-methods", "cdrom,nfs,http,ftp"),
        ("import_task", "OpaqueRef:NULL"),
        ("auto_poweron", "true"),
        ("XenCenter.CustomFields.owner", "shop team"),
    ];
    set("other_config", Value::str_map(other));
    let bios = [
        ("bios-vendor", "Xen"),
        ("bios-version", ""),
        ("system-manufacturer", "Xen"),
        ("system-product-name", "HVM domU"),
        ("system-version", ""),
        ("system-serial-number", ""),
        ("hp-rombios", ""),
    ];
    set("bios_strings", Value::str_map(bios));
    set("tags", Value::str_set(["shop", "production"]));
    vm
}

/// What is worked out when a VM is read.
fn project(record: &Arc<Record>) -> Projection {
    let info = record.info();
    let mut view = Projection::new(record.clone());
    let mut put =
        |name: &str, value: Value| view.put(info.field(name).expect("a field of VM"), value);
    let refs = |salt: u64, count: u64| {
        let one = |n| Value::Ref(OpaqueRef::new(Uuid::from_u64_pair(salt, n)));
        Value::Set((0..count).map(one).collect())
    };
    put("VBDs", refs(1, 2));
    put("VIFs", refs(2, 1));
    put("consoles", refs(3, 1));
    put("snapshots", refs(4, 1));
    let operations = [
        "changing_dynamic_range",
        "migrate_send",
        "pool_migrate",
        "changing_VCPUs_live",
        "suspend",
        "hard_reboot",
        "hard_shutdown",
        "clean_reboot",
        "clean_shutdown",
        "pause",
        "checkpoint",
        "snapshot",
    ];
    put("allowed_operations", Value::str_set(operations));
    view
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has /proc");
    let pages: usize =
        statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("statm has seven numbers");
    pages * 4096
}
