//! What a host is when it is started for the first time: a pool of one.
//!
//! Everything is one commit into the empty embedded database, so `kill -9` leaves either nothing or a whole pool. The
//! records of the host itself ([`host_records`]) are also what a joining host sends to its new pool.

use std::collections::BTreeMap;

use pooldb::{Key, Table};
use uuid::Uuid;
use xenapi::{OpaqueRef, Record, Timestamp, Value};

use crate::config::Config;
use crate::edits::Change;
use crate::pki::{PoolCa, PoolKey, Secret};
use crate::random_uuid;
use crate::records::{Account, PoolMeta, encode};

/// Schema version that this software writes (design.md section 3).
pub const SCHEMA: u32 = 1;
/// Version of the software, as clients see it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Starts a record of a class with the given fields.
///
/// # Panics
/// If a field does not exist: a mistake of ours that the first start finds.
pub fn new_record<const N: usize>(class: &str, uuid: Uuid, fields: [(&str, Value); N]) -> Record {
    let class = datamodel::class(class).expect("a class of the datamodel");
    let mut record = Record::new(class, uuid);
    for (name, value) in fields {
        assert!(record.set_by_name(name, value), "{} has no field {name}", class.name);
    }
    record
}

fn text_map(pairs: &[(&str, &str)]) -> Value {
    Value::str_map(pairs.iter().map(|(k, v)| (*k, *v)))
}

/// A reference as a value.
pub fn reference(uuid: Uuid) -> Value {
    Value::Ref(OpaqueRef::new(uuid))
}

/// What is known of the machine when its records are made.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Host name, address.
    pub config: Config,
    /// Processors.
    pub processors: host::facts::Processors,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Bridges with the interfaces in them.
    pub bridges: Vec<(String, Vec<host::network::Interface>)>,
    /// Now.
    pub now: Timestamp,
    /// Name and version of the hypervisor, where it answered.
    pub hypervisor: String,
}

impl Machine {
    /// Reads the machine. Nothing here may fail: a missing fact is an empty one.
    pub fn read(config: &Config, now: i64) -> Self {
        let interfaces = host::network::interfaces().unwrap_or_default();
        let bridges = host::network::bridges()
            .unwrap_or_default()
            .into_iter()
            .map(|bridge| {
                let ports = interfaces
                    .iter()
                    .filter(|i| i.master.as_deref() == Some(&bridge.name))
                    .filter(|i| !is_guest_tap(&i.name))
                    .cloned()
                    .collect();
                (bridge.name, ports)
            })
            .collect();
        Self {
            config: config.clone(),
            processors: host::facts::processors().unwrap_or_default(),
            memory_bytes: host::facts::memory()
                .map(|m| i64::try_from(m.total_bytes).unwrap_or(i64::MAX))
                .unwrap_or_default(),
            bridges,
            now: Timestamp(now),
            hypervisor: String::new(),
        }
    }
}

fn is_guest_tap(name: &str) -> bool {
    name.starts_with("vnet") || name.starts_with("tap") || name.starts_with("macvtap")
}

/// The records of this host: host, metrics, processors, control domain, networks and interfaces. `network_of` gives the
/// network that exists already for a bridge's name (in the pool that a host joins).
pub fn host_records(
    machine: &Machine,
    host: Uuid,
    network_of: &BTreeMap<String, Uuid>,
) -> Vec<Record> {
    let config = &machine.config;
    let p = &machine.processors;
    let metrics = random_uuid();
    let control = random_uuid();
    let control_metrics = random_uuid();
    let count = p.count.to_string();
    let sockets = p.sockets.to_string();
    let flags = p.flags.join(" ");
    let mhz = format!("{:.3}", p.mhz);
    let mut records = vec![
        new_record(
            "host",
            host,
            [
                ("name_label", config.host.name.as_str().into()),
                ("hostname", config.host.name.as_str().into()),
                ("address", config.host.address.as_str().into()),
                ("enabled", true.into()),
                ("metrics", reference(metrics)),
                ("control_domain", reference(control)),
                ("API_version_major", datamodel::API_VERSION.0.into()),
                ("API_version_minor", datamodel::API_VERSION.1.into()),
                ("API_version_vendor", "Holdfast".into()),
                ("edition", "free".into()),
                ("https_only", true.into()),
                ("tls_verification_enabled", true.into()),
                (
                    "software_version",
                    text_map(&[
                        ("product_brand", "Holdfast"),
                        ("product_version", VERSION),
                        ("platform_name", "Holdfast"),
                        ("platform_version", VERSION),
                        ("xapi", "2.23"),
                        ("hypervisor", &machine.hypervisor),
                        ("linux", &host::facts::kernel_release()),
                    ]),
                ),
                (
                    "cpu_info",
                    text_map(&[
                        ("cpu_count", &count),
                        ("socket_count", &sockets),
                        ("vendor", &p.vendor),
                        ("speed", &mhz),
                        ("modelname", &p.model),
                        ("family", &p.family),
                        ("model", &p.model_number),
                        ("stepping", &p.stepping),
                        ("flags", &flags),
                    ]),
                ),
                ("capabilities", Value::str_set(["hvm-3.0-x86_64", "hvm-3.0-x86_32"])),
                ("sched_policy", "cfs".into()),
            ],
        ),
        new_record(
            "host_metrics",
            metrics,
            [
                ("live", true.into()),
                ("memory_total", machine.memory_bytes.into()),
                ("last_updated", machine.now.into()),
            ],
        ),
        new_record(
            "VM_metrics",
            control_metrics,
            [
                ("memory_actual", reserved(config).into()),
                ("VCPUs_number", i64::from(p.count).into()),
                ("start_time", machine.now.into()),
                ("last_updated", machine.now.into()),
            ],
        ),
        new_record(
            "VM",
            control,
            [
                ("name_label", format!("Control domain on host: {}", config.host.name).into()),
                (
                    "name_description",
                    "The domain which manages physical devices and manages other domains".into(),
                ),
                ("is_control_domain", true.into()),
                ("power_state", "Running".into()),
                ("resident_on", reference(host)),
                ("affinity", reference(host)),
                ("metrics", reference(control_metrics)),
                ("memory_static_max", reserved(config).into()),
                ("memory_dynamic_max", reserved(config).into()),
                ("memory_dynamic_min", reserved(config).into()),
                ("memory_static_min", reserved(config).into()),
                ("memory_target", reserved(config).into()),
                ("VCPUs_max", i64::from(p.count).into()),
                ("VCPUs_at_startup", i64::from(p.count).into()),
                ("domid", 0.into()),
            ],
        ),
    ];
    for number in 0..i64::from(p.count) {
        records.push(new_record(
            "host_cpu",
            random_uuid(),
            [
                ("host", reference(host)),
                ("number", number.into()),
                ("vendor", p.vendor.as_str().into()),
                ("modelname", p.model.as_str().into()),
                ("flags", flags.as_str().into()),
                ("speed", Value::Int(whole(p.mhz))),
                ("stepping", p.stepping.as_str().into()),
                ("family", p.family.parse().unwrap_or(0).into()),
                ("model", p.model_number.parse().unwrap_or(0).into()),
            ],
        ));
    }
    for (bridge, ports) in &machine.bridges {
        let network = match network_of.get(bridge) {
            Some(known) => *known,
            None => {
                let uuid = random_uuid();
                records.push(new_record(
                    "network",
                    uuid,
                    [
                        (
                            "name_label",
                            format!("Pool-wide network associated with {bridge}").into(),
                        ),
                        ("bridge", bridge.as_str().into()),
                        ("MTU", 1500.into()),
                        ("managed", true.into()),
                    ],
                ));
                uuid
            }
        };
        for port in ports {
            let address = host::network::addresses(bridge).unwrap_or_default();
            let ours = address.iter().find(|a| a.ip.to_string() == config.host.address);
            records.push(new_record(
                "PIF",
                random_uuid(),
                [
                    ("host", reference(host)),
                    ("network", reference(network)),
                    ("device", port.name.as_str().into()),
                    ("MAC", port.mac.as_str().into()),
                    ("MTU", i64::from(port.mtu).into()),
                    ("VLAN", (-1).into()),
                    ("physical", true.into()),
                    ("managed", true.into()),
                    ("currently_attached", true.into()),
                    ("management", ours.is_some().into()),
                    (
                        "ip_configuration_mode",
                        if ours.is_some() { "Static" } else { "None" }.into(),
                    ),
                    ("other_config", place(port)),
                    ("IP", ours.map(|a| a.ip.to_string()).unwrap_or_default().into()),
                    ("netmask", ours.map(|a| netmask(a.prefix)).unwrap_or_default().into()),
                ],
            ));
        }
    }
    records
}

/// Where a card is, for a restore on another machine.
fn place(port: &host::network::Interface) -> Value {
    let place = port.bus.as_deref().map(|bus| (datamodel::keys::PIF_PLACE.name, bus));
    Value::str_map(place)
}

fn reserved(config: &Config) -> i64 {
    i64::try_from(config.host.reserved_memory_bytes).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "a processor's MHz")]
fn whole(mhz: f64) -> i64 {
    mhz as i64
}

fn netmask(prefix: u8) -> String {
    let bits = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    std::net::Ipv4Addr::from(bits).to_string()
}

/// Everything that the first start commits.
#[derive(Debug)]
pub struct FirstStart {
    /// The commit.
    pub change: Change,
    /// The pool's CA, for this host's own certificate.
    pub ca: PoolCa,
}

/// Name of the sealed CA key in the secrets table.
pub const CA_KEY: &str = "ca-key";

/// Works out the first commit of a new one-host pool.
///
/// # Errors
/// If the CA can't be made.
pub fn first_start(
    machine: &Machine,
    host: Uuid,
    pool: Uuid,
    key: &PoolKey,
    drivers: &storage::DriverSet,
    root_password: Option<&Secret>,
) -> Result<FirstStart, crate::pki::PkiError> {
    let now = time::OffsetDateTime::from_unix_timestamp(machine.now.0)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let ca = PoolCa::generate(pool, now)?;
    let mut change = Change::new();
    for record in host_records(machine, host, &BTreeMap::new()) {
        change.create(record);
    }
    change.create(new_record(
        "pool",
        pool,
        [
            ("master", reference(host)),
            ("tls_verification_enabled", true.into()),
            ("migration_compression", false.into()),
        ],
    ));
    for (kind, driver) in drivers.iter() {
        let features = driver.features();
        change.create(new_record(
            "SM",
            random_uuid(),
            [
                ("name_label", kind.to_uppercase().into()),
                ("name_description", format!("Storage repositories of type {kind}").into()),
                ("type", kind.into()),
                ("vendor", "Holdfast".into()),
                ("version", VERSION.into()),
                ("required_api_version", "2.23".into()),
                ("capabilities", Value::str_set(features.iter().copied())),
                (
                    "features",
                    Value::Map(features.iter().map(|f| (Value::word(f), Value::Int(1))).collect()),
                ),
            ],
        ));
    }
    change.create(other_install_media());
    let meta = PoolMeta {
        pool,
        epoch: 1,
        schema_active: SCHEMA,
        ca_pem: ca.cert_pem.clone(),
        unknown: serde_json::Map::new(),
    };
    change.put(meta_key(), encode(&meta));
    change.guard(pooldb::Guard::Absent(meta_key()));
    change.put(Key::pool_epoch(), b"1".as_slice().into());
    change.put(Key::schema_active(), SCHEMA.to_string().into_bytes().into());
    change.put(Key::new(Table::Secret, CA_KEY), key.seal(CA_KEY, ca.key_pem.expose()).into());
    if let Some(password) = root_password {
        let account = Account {
            hash: crate::api::auth::hash(password),
            role: "pool-admin".to_owned(),
            unknown: serde_json::Map::new(),
        };
        change.put(Key::new(Table::Account, "root"), encode(&account));
    }
    Ok(FirstStart { change, ca })
}

/// Where [`PoolMeta`] stands.
pub fn meta_key() -> Key {
    Key::new(Table::Meta, "pool")
}

/// The `platform` of a guest of which nothing is known.
pub fn any_platform() -> Value {
    text_map(&[
        ("acpi", "1"),
        ("apic", "true"),
        ("pae", "true"),
        ("viridian", "false"),
        ("nx", "true"),
        ("device-model", "qemu-upstream-compat"),
    ])
}

/// XenServer's template for any guest, from which `xe vm-install` makes VMs.
fn other_install_media() -> Record {
    const GIB: i64 = 1 << 30;
    new_record(
        "VM",
        random_uuid(),
        [
            ("name_label", "Other install media".into()),
            ("name_description", "Template which allows VM installation from install media".into()),
            ("is_a_template", true.into()),
            ("is_default_template", true.into()),
            ("memory_static_min", (GIB / 8).into()),
            ("memory_dynamic_min", (GIB / 4).into()),
            ("memory_dynamic_max", (GIB / 4).into()),
            ("memory_static_max", (GIB / 4).into()),
            ("memory_target", (GIB / 4).into()),
            ("VCPUs_max", 1.into()),
            ("VCPUs_at_startup", 1.into()),
            ("HVM_boot_policy", "BIOS order".into()),
            ("HVM_boot_params", text_map(&[("order", "cdn"), ("firmware", "bios")])),
            ("platform", any_platform()),
            ("domain_type", "hvm".into()),
            ("actions_after_crash", "restart".into()),
            ("actions_after_reboot", "restart".into()),
            ("actions_after_shutdown", "destroy".into()),
            (
                "other_config",
                text_map(&[("install-methods", "cdrom"), ("default_template", "true")]),
            ),
            ("domid", (-1).into()),
        ],
    )
}
