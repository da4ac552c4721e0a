//! A pool of daemons over fakes, in one process: the test harness of this crate.
//!
//! Every host is the real [`Daemon`] with its own replica and its own saga follower; they share one database in memory,
//! one make-believe world of hypervisors (which panics when a VM runs twice or a disk is written twice) and one of
//! storage. What is not here: the wire, TLS between hosts, libvirt, etcd; those are the lab's.

#![expect(clippy::disallowed_methods, reason = "certificates of tests begin now")]
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of the harness")]

pub mod fakes;
pub mod lagging;
pub mod laws;
pub mod saga_law;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use driver_api::fake::hypervisor::World;
use driver_api::fake::storage::Storage;
use driver_api::hypervisor::DiskFormat;
use driver_api::storage::{SrDriver, SrSpec, VolumeSpec};
use fakes::{FakeHad, FakePower, NoBridges};
use holdfastd::config::Config;
use holdfastd::edits::{self, Change, Object};
use holdfastd::first_start::{self, Machine, new_record, reference};
use holdfastd::http::Peer;
use holdfastd::identity::{Home, Identity};
use holdfastd::pki::{self, HostKey, PoolCa, PoolKey, Tls};
use holdfastd::records::{Member, encode};
use holdfastd::{Daemon, Doors, Store, View, api};
use lagging::Lag;
use pooldb::memory::MemoryDb;
use pooldb::{Key, Replica, Table};
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Record, Text, Timestamp, Value};

/// Longest wait for a condition; far above what any of them takes.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How late the replicas of all hosts but the first are, if a test does not say otherwise.
pub const LAG: Duration = Duration::from_millis(4);
/// Where the shared repository of [`Pool::shared_sr`] is.
pub const SHARED: &str = "/srv/shared";
/// Memory of every host.
pub const HOST_MEMORY: i64 = 8 << 30;

/// Repository of [`Pool::fixed`].
pub const SR: Uuid = Uuid::from_u128(0x51);
/// VM of [`Pool::fixed`].
pub const VM: Uuid = Uuid::from_u128(0x1);
/// Its VBD.
pub const VBD: Uuid = Uuid::from_u128(0x2);
/// Its VDI.
pub const VDI: Uuid = Uuid::from_u128(0x3);

/// A pool of hosts h1, h2, ...
pub struct Pool {
    pub hosts: Vec<Host>,
    pub world: Arc<World>,
    pub storage: Arc<Storage>,
    pub db: MemoryDb,
    pub power: Arc<FakePower>,
    dir: tempfile::TempDir,
}

/// What all hosts of a pool are made over.
struct Shared<'p> {
    world: &'p Arc<World>,
    storage: &'p Arc<Storage>,
    db: &'p MemoryDb,
    power: &'p Arc<FakePower>,
}

/// Ends its house-keeping when it goes.
pub struct House(tokio::task::JoinHandle<()>);

impl Drop for House {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One host: its daemon and its registry of guests.
pub struct Host {
    pub name: String,
    pub uuid: Uuid,
    pub daemon: Arc<Daemon>,
    pub had: Arc<FakeHad>,
    /// This host's own way to the database, to be cut off.
    pub db: MemoryDb,
    /// How late its replica is.
    pub lag: Lag,
    loops: Vec<tokio::task::JoinHandle<()>>,
    /// Its own threads, if its daemon is to be killed.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.daemon.stop();
        for task in &self.loops {
            task.abort();
        }
    }
}

impl Pool {
    /// A pool of `count` hosts whose sagas run. No repository yet.
    pub async fn new(count: usize) -> Self {
        let pool = Self::idle(count).await;
        Self { hosts: pool.hosts.into_iter().map(Host::following).collect(), ..pool }
    }

    /// A pool in which nobody runs sagas that other hosts began: for tests that run them by hand.
    pub async fn idle(count: usize) -> Self {
        Self::made(count, Storage::new()).await
    }

    /// Another pool whose hosts reach the same storage.
    pub async fn on_storage(count: usize, storage: Arc<Storage>) -> Self {
        let pool = Self::made(count, storage).await;
        Self { hosts: pool.hosts.into_iter().map(Host::following).collect(), ..pool }
    }

    async fn made(count: usize, storage: Arc<Storage>) -> Self {
        let world = World::new();
        let asked = world.clone();
        storage.ask_for_holders(move |path| asked.writer_of(path));
        let db = MemoryDb::new();
        let power = FakePower::of(&world);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let pool_uuid = Uuid::from_u128(0x9001);
        let mut hosts: Vec<Host> = Vec::new();
        for number in 1..=count {
            let name = format!("h{number}");
            let uuid = Uuid::from_u128(0xA000 + number as u128);
            let shared = Shared { world: &world, storage: &storage, db: &db, power: &power };
            let host = Host::new(&name, uuid, pool_uuid, &shared, dir.path()).await;
            host.appear(pool_uuid, hosts.first()).await;
            // No replica is as fast as a test that goes from host to host.
            if number > 1 {
                host.lag.set(LAG);
            }
            hosts.push(host);
        }
        // Each knows all of them, as after a join.
        for host in &hosts {
            host.daemon.catch_up().await;
        }
        Self { hosts, world, storage, db, power, dir }
    }

    /// A pool whose daemons do everything the real ones do with guests, each on threads of its own, so that
    /// [`Pool::kill`] ends one as `kill -9` does: wherever it stands, with no more said.
    pub async fn mortal(count: usize) -> Self {
        let mut pool = Self::idle(count).await;
        for number in 0..count {
            pool.revive(number).await;
        }
        pool
    }

    /// Ends a host's daemon on the spot. Its guests, its registry and the database know nothing of it.
    pub fn kill(&mut self, number: usize) {
        if let Some(runtime) = self.hosts[number].runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts a new daemon on a host, in the order of the real program.
    pub async fn revive(&mut self, number: usize) {
        self.revive_in(number, None).await;
    }

    /// A power cut and the next boot: guests and registry are gone, the daemon starts under a new boot id.
    pub async fn power_cycle(&mut self, number: usize, boot_id: &str) {
        self.kill(number);
        let name = self.hosts[number].name.clone();
        self.world.power_off(&name);
        self.hosts[number].had.forget_all();
        self.world.power_on(&name);
        self.revive_in(number, Some(boot_id)).await;
    }

    /// A power cut as the others see it: everything of the host is gone at once, and they have seen its lease end.
    pub async fn dies(&mut self, number: usize) {
        self.kill(number);
        let dead = self.hosts[number].uuid;
        self.world.power_off(&self.hosts[number].name);
        self.hosts[number].had.forget_all();
        self.falls_silent(dead).await;
    }

    /// As the others see a host whose lease has ended, dead or not.
    pub async fn falls_silent(&self, silent: Uuid) {
        let other = self.hosts.iter().find(|h| h.uuid != silent).expect("another host");
        let view = self.view().await;
        let metrics = view.record("host", silent).and_then(|h| {
            h.get_by_name("metrics").and_then(Value::as_opaque).and_then(OpaqueRef::uuid)
        });
        let mut change = Change::new();
        change.set(Object::new("host_metrics", metrics.expect("metrics")), "live", false);
        edits::commit(&other.daemon, &change).await.expect("commits");
        let long_ago = tokio::time::Instant::now()
            .checked_sub(Duration::from_secs(60))
            .expect("this machine has run for a minute");
        for host in self.hosts.iter().filter(|h| h.uuid != silent) {
            host.daemon.leases.note_gone(&view, silent, long_ago);
        }
    }

    /// A host cleans up after fences for as long as the answer lives, as the coordinator does.
    pub fn keeps_house(&self, number: usize) -> House {
        let daemon = self.hosts[number].daemon.clone();
        House(tokio::spawn(async move {
            loop {
                holdfastd::reconcilers::fences::round(&daemon).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }))
    }

    async fn revive_in(&mut self, number: usize, boot_id: Option<&str>) {
        self.kill(number);
        let old = &self.hosts[number];
        let (config, identity, tls) =
            (old.daemon.config().clone(), old.daemon.identity(), old.daemon.tls());
        let boot = boot_id.unwrap_or(old.daemon.boot_id()).to_owned();
        let doors = Doors {
            hypervisor: self.world.host(&old.name, &config.host.address),
            drivers: old.daemon.drivers().clone(),
            had: old.had.clone(),
            networks: Arc::new(NoBridges),
            power: self.power.clone(),
            clock: Arc::new(holdfastd::clock::SystemClock),
        };
        let own = self.db.for_host();
        let (db, key) = (old.lag.on(own.clone()), PoolKey::generate());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let booted = runtime.spawn(async move {
            let store = Store::new(db, Replica::new());
            store.read_linearizable(PATIENCE).await.expect("the database in memory answers");
            let daemon = Daemon::new(config, identity, boot, key, tls, store, doors);
            holdfastd::reconcilers::guests::first_pass(&daemon).await;
            holdfastd::tasks::fail_orphans(&daemon).await.expect("orphans are failed");
            tokio::spawn(holdfastd::sagas::follow(daemon.clone()));
            tokio::spawn(holdfastd::reconcilers::guests::run(daemon.clone()));
            daemon
        });
        let host = &mut self.hosts[number];
        host.daemon = booted.await.expect("the daemon starts");
        host.db = own;
        host.runtime = Some(runtime);
        host.tell().await;
    }

    /// Waits until nothing is left behind.
    ///
    /// # Panics
    /// With what is, when patience ends.
    pub async fn comes_to_rest(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            if self.left_behind().await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.is_clean().await;
    }

    /// The first host.
    pub fn h1(&self) -> &Host {
        &self.hosts[0]
    }

    /// A shared file repository, plugged on every host and the pool's default.
    pub async fn shared_sr(&self) -> Uuid {
        let h1 = self.h1();
        let sr = h1.shared_sr_at(SHARED).await;
        let view = h1.daemon.view().await;
        let mut change = Change::new();
        for pool in view.records("pool") {
            let pool = Object::new("pool", pool.uuid());
            change.set(pool, "default_SR", reference(sr));
            change.set(pool, "suspend_image_SR", reference(sr));
        }
        edits::commit(&h1.daemon, &change).await.expect("commits");
        sr
    }

    /// The same pool each time, for [`saga_law`]: repository [`SR`] plugged on every host, halted VM [`VM`] with [`VBD`]
    /// and [`VDI`].
    pub async fn fixed(&self) {
        let spec = self.sr_spec(SR);
        let driver = self.storage.driver("h1", "file");
        driver.create(&spec, PATIENCE).await.expect("a repository");
        let mut change = Change::new();
        change.create(new_record(
            "SR",
            SR,
            [("name_label", "shared".into()), ("type", "file".into()), ("shared", true.into())],
        ));
        for (number, host) in (0x100..).zip(&self.hosts) {
            let driver = self.storage.driver(&host.name, "file");
            driver.attach(&spec, PATIENCE).await.expect("plugs");
            change.create(new_record(
                "PBD",
                Uuid::from_u128(number),
                [
                    ("SR", reference(SR)),
                    ("host", reference(host.uuid)),
                    ("device_config", Value::str_map(spec.device_config.clone())),
                    ("currently_attached", true.into()),
                ],
            ));
        }
        let volume = VolumeSpec {
            volume: VDI,
            label: "disk of web".to_owned(),
            description: String::new(),
            virtual_size_bytes: 64 << 20,
            format: DiskFormat::Qcow2,
        };
        driver.volume_create(&spec, &volume, PATIENCE).await.expect("a volume");
        change.create(new_record(
            "VDI",
            VDI,
            [
                ("name_label", "disk of web".into()),
                ("SR", reference(SR)),
                ("virtual_size", (64 << 20).into()),
                ("type", "user".into()),
            ],
        ));
        let metrics = Uuid::from_u128(0x4);
        change.create(new_record("VM_metrics", metrics, []));
        let mut vm = new_record(
            "VM",
            VM,
            [
                ("power_state", "Halted".into()),
                ("metrics", reference(metrics)),
                ("domid", (-1).into()),
                ("other_config", Value::str_map([("mac_seed", "seed")])),
            ],
        );
        for (field, value) in vm_fields("web") {
            if field != "other_config" {
                vm.set_by_name(field, value);
            }
        }
        change.create(vm);
        let mut vbd = new_record("VBD", VBD, []);
        for (field, value) in vbd_fields(VM, Some(VDI), "0") {
            vbd.set_by_name(field, value);
        }
        change.create(vbd);
        edits::commit(&self.h1().daemon, &change).await.expect("commits");
    }

    /// Volumes that hold data of their own, base images left out.
    pub async fn volumes(&self, sr: Uuid) -> Vec<Uuid> {
        let driver = self.storage.driver("h1", "file");
        let seen = driver.scan(&self.sr_spec(sr), PATIENCE).await.expect("scans");
        seen.into_iter().filter(|v| !v.is_base).map(|v| v.volume).collect()
    }

    /// How the hosts attach the repository of [`Pool::shared_sr`].
    pub fn sr_spec(&self, sr: Uuid) -> SrSpec {
        SrSpec {
            sr,
            kind: "file".to_owned(),
            device_config: BTreeMap::from([("location".to_owned(), SHARED.to_owned())]),
            shared: true,
        }
    }

    /// A halted VM with one disk on `sr` and 256 MiB, made through the API; gives VM, VBD and VDI.
    pub async fn vm_with_disk(&self, label: &str, sr: Uuid) -> (Uuid, Uuid, Uuid) {
        let h1 = self.h1();
        let vm = h1.make("VM", vm_fields(label)).await;
        let vdi = h1
            .make(
                "VDI",
                vec![
                    ("name_label", format!("disk of {label}").into()),
                    ("name_description", "".into()),
                    ("SR", reference(sr)),
                    ("virtual_size", (64 << 20).into()),
                    ("type", "user".into()),
                    ("sharable", false.into()),
                    ("read_only", false.into()),
                    ("other_config", Value::Map(vec![])),
                ],
            )
            .await;
        let vbd = h1.make("VBD", vbd_fields(vm, Some(vdi), "0")).await;
        (vm, vbd, vdi)
    }

    /// A new view of the first host with everything committed so far by anybody.
    pub async fn view(&self) -> View {
        self.h1().daemon.catch_up().await;
        self.h1().daemon.view().await
    }

    /// What is wrong after everything has come to rest: placements, reservations, disk locks, domains, registered
    /// processes, tasks, sagas and busy objects that belong to no running VM. Empty when all is well.
    pub async fn left_behind(&self) -> Vec<String> {
        let view = self.view().await;
        let mut wrong = Vec::new();
        let text = |record: &Record, field: &str| {
            record.get_by_name(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let alive = |vm: Uuid| {
            view.record("VM", vm)
                .is_some_and(|r| ["Running", "Paused"].contains(&text(r, "power_state").as_str()))
        };
        for item in view.table(Table::Placement) {
            let Some(vm) = item.key.uuid() else { continue };
            let placed: serde_json::Value =
                serde_json::from_slice(item.raw().unwrap_or_default()).unwrap_or_default();
            if placed["host"].is_null() == alive(vm) {
                wrong.push(format!("placement of {vm}: {placed}, alive {}", alive(vm)));
            }
            if !placed["migrating_to"].is_null() {
                wrong.push(format!("placement of {vm} is still migrating: {placed}"));
            }
        }
        for item in view.table(Table::Reservation) {
            let kept: serde_json::Value =
                serde_json::from_slice(item.raw().unwrap_or_default()).unwrap_or_default();
            for (vm, _) in kept["vms"].as_object().into_iter().flatten() {
                if !alive(Uuid::try_parse(vm).unwrap_or_default()) {
                    wrong.push(format!("memory reserved for {vm}"));
                }
            }
        }
        for item in view.table(Table::VdiLock) {
            let lock: serde_json::Value =
                serde_json::from_slice(item.raw().unwrap_or_default()).unwrap_or_default();
            for (holder, how) in lock["holders"].as_object().into_iter().flatten() {
                let vm = Uuid::try_parse(holder).unwrap_or_default();
                let suspended =
                    view.record("VM", vm).is_some_and(|r| text(r, "power_state") == "Suspended");
                let parked = how["host"] == Uuid::nil().to_string();
                if !(alive(vm) && !parked || suspended && parked) {
                    wrong.push(format!("disk {} locked by {holder}", item.key.id));
                }
            }
        }
        for host in &self.hosts {
            let domains = match host.daemon.hypervisor().list(PATIENCE).await {
                Ok(domains) => domains,
                // A host that is off has none.
                Err(error) if error.kind == driver_api::Kind::Unavailable => continue,
                Err(error) => panic!("the fake lists its domains: {error:?}"),
            };
            for domain in domains {
                if !alive(domain.vm) {
                    wrong.push(format!("domain of {} on {}", domain.vm, host.name));
                }
            }
            for guest in host.had.guests() {
                if !alive(guest.vm) {
                    wrong.push(format!("process of {} registered on {}", guest.vm, host.name));
                }
            }
        }
        for task in view.records("task") {
            if ["pending", "cancelling"].contains(&text(task, "status").as_str()) {
                wrong.push(format!("task {} is still pending", text(task, "name_label")));
            }
        }
        for class in ["VM", "VDI", "VBD", "VIF", "SR"] {
            for record in view.records(class) {
                let busy = record
                    .get_by_name("current_operations")
                    .and_then(Value::as_map)
                    .is_some_and(|m| !m.is_empty());
                if busy {
                    wrong.push(format!("{class} {} is still busy", record.uuid()));
                }
            }
        }
        wrong
    }

    /// Panics with what is left behind.
    pub async fn is_clean(&self) {
        let wrong = self.left_behind().await;
        assert!(wrong.is_empty(), "left behind: {wrong:#?}");
    }
}

/// The fields that `VM.create` insists on.
pub fn vm_fields(label: &str) -> Vec<(&'static str, Value)> {
    let memory: Value = (256 << 20).into();
    vec![
        ("name_label", label.into()),
        ("name_description", "".into()),
        ("user_version", 1.into()),
        ("is_a_template", false.into()),
        ("affinity", Value::Ref(OpaqueRef::NULL)),
        ("memory_static_max", memory.clone()),
        ("memory_dynamic_max", memory.clone()),
        ("memory_dynamic_min", memory.clone()),
        ("memory_static_min", memory),
        ("VCPUs_params", Value::Map(vec![])),
        ("VCPUs_max", 1.into()),
        ("VCPUs_at_startup", 1.into()),
        ("actions_after_shutdown", "destroy".into()),
        ("actions_after_reboot", "restart".into()),
        ("actions_after_crash", "restart".into()),
        ("PV_bootloader", "".into()),
        ("PV_kernel", "".into()),
        ("PV_ramdisk", "".into()),
        ("PV_args", "".into()),
        ("PV_bootloader_args", "".into()),
        ("PV_legacy_args", "".into()),
        ("HVM_boot_policy", "BIOS order".into()),
        ("HVM_boot_params", Value::str_map([("order", "c")])),
        ("platform", Value::Map(vec![])),
        ("PCI_bus", "".into()),
        ("other_config", Value::Map(vec![])),
        ("recommendations", "".into()),
    ]
}

/// The fields that `VBD.create` insists on; without a VDI it is an empty CD drive.
pub fn vbd_fields(vm: Uuid, vdi: Option<Uuid>, device: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("VM", reference(vm)),
        ("VDI", vdi.map_or(Value::Ref(OpaqueRef::NULL), reference)),
        ("userdevice", device.into()),
        ("bootable", true.into()),
        ("mode", if vdi.is_some() { "RW" } else { "RO" }.into()),
        ("type", if vdi.is_some() { "Disk" } else { "CD" }.into()),
        ("unpluggable", true.into()),
        ("empty", vdi.is_none().into()),
        ("other_config", Value::Map(vec![])),
        ("qos_algorithm_type", "".into()),
        ("qos_algorithm_params", Value::Map(vec![])),
    ]
}

/// The fields that `VIF.create` insists on; an empty MAC is made up.
pub fn vif_fields(vm: Uuid, network: Uuid, device: &str, mac: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("VM", reference(vm)),
        ("network", reference(network)),
        ("device", device.into()),
        ("MAC", mac.into()),
        ("MTU", 1500.into()),
        ("other_config", Value::Map(vec![])),
        ("qos_algorithm_type", "".into()),
        ("qos_algorithm_params", Value::Map(vec![])),
    ]
}

/// The pool's CA and a key for it, made once per test program: making keys is what would take time.
fn authority() -> &'static PoolCa {
    static CA: OnceLock<PoolCa> = OnceLock::new();
    CA.get_or_init(|| {
        PoolCa::generate(Uuid::from_u128(0x9001), time::OffsetDateTime::now_utc())
            .expect("keys can be made")
    })
}

impl Host {
    async fn new(
        name: &str,
        uuid: Uuid,
        pool: Uuid,
        shared: &Shared<'_>,
        dir: &std::path::Path,
    ) -> Self {
        let Shared { world, storage, db, power } = *shared;
        let number = uuid.as_u128() & 0xFF;
        let home = dir.join(name);
        let config: Config = toml::from_str(&format!(
            "[host]\nname = '{name}'\naddress = '127.77.0.{number}'\n[paths]\nstate = '{0}/state'\nrun = \
             '{0}/run'\netc = '{0}/etc'\n",
            home.display()
        ))
        .expect("a valid configuration");
        std::fs::create_dir_all(config.tls_dir()).expect("a directory");
        let ca = authority();
        let key = HostKey::generate(uuid).expect("a key");
        let now = time::OffsetDateTime::now_utc();
        let addresses = [config.host.address.clone()];
        let cert = ca.sign(&key.csr_pem, uuid, &addresses, now).expect("a certificate");
        holdfastd::start::write_certificate(&config, &ca.cert_pem, &cert, &key.key_pem)
            .expect("writes");
        let tls = Tls::load(&config.tls_dir()).expect("loads");
        let identity = Identity {
            host: uuid,
            pool,
            epoch: 1,
            superseded: None,
            home: Home::Embedded,
            unknown: serde_json::Map::new(),
        };
        let own = db.for_host();
        let lag = Lag::default();
        let had = Arc::new(FakeHad::on(world, name));
        let drivers = storage::DriverSet::of([
            storage.driver(name, "file") as Arc<dyn SrDriver>,
            storage.driver(name, "iso"),
        ]);
        let doors = Doors {
            hypervisor: world.host(name, &config.host.address),
            drivers,
            had: had.clone(),
            networks: Arc::new(NoBridges),
            power: power.clone(),
            clock: Arc::new(holdfastd::clock::SystemClock),
        };
        let store = Store::new(lag.on(own.clone()), Replica::new());
        store.read_linearizable(PATIENCE).await.expect("the database in memory answers");
        let daemon = Daemon::new(
            config,
            identity,
            format!("boot-of-{name}"),
            PoolKey::generate(),
            tls,
            store,
            doors,
        );
        let (loops, runtime) = (Vec::new(), None);
        Self { name: name.to_owned(), uuid, daemon, had, db: own, lag, loops, runtime }
    }

    fn following(mut self) -> Self {
        self.loops.push(tokio::spawn(holdfastd::sagas::follow(self.daemon.clone())));
        self
    }

    /// Puts the host's records into the pool; the first host makes the pool.
    async fn appear(&self, pool: Uuid, first: Option<&Self>) {
        let machine = Machine {
            config: self.daemon.config().clone(),
            processors: host::facts::Processors { count: 8, sockets: 1, ..Default::default() },
            memory_bytes: HOST_MEMORY,
            bridges: vec![],
            now: Timestamp(self.daemon.now()),
            hypervisor: "Fake".to_owned(),
        };
        let mut change = match first {
            None => {
                let key = self.daemon.pool_key();
                let drivers = self.daemon.drivers();
                first_start::first_start(&machine, self.uuid, pool, key, drivers, None)
                    .expect("a first commit")
                    .change
            }
            Some(_) => {
                let mut change = Change::new();
                for record in first_start::host_records(&machine, self.uuid, &BTreeMap::new()) {
                    change.create(record);
                }
                change
            }
        };
        if first.is_none() {
            change.create(new_record(
                "network",
                Uuid::from_u128(0xE001),
                [("name_label", "internal".into()), ("bridge", "xapi0".into())],
            ));
        }
        edits::commit(&self.daemon, &change).await.expect("the host's records are committed");
        self.tell().await;
    }

    /// Tells the pool of its boot, as every start does.
    async fn tell(&self) {
        let member = Member {
            address: self.daemon.config().host.address.clone(),
            api_port: 443,
            etcd_client_url: String::new(),
            etcd_peer_url: String::new(),
            boot_id: self.daemon.boot_id().to_owned(),
            schema: first_start::SCHEMA,
            software: first_start::VERSION.to_owned(),
            unknown: serde_json::Map::new(),
        };
        let mut change = Change::new();
        change.put(Key::new(Table::HostAgent, self.uuid.to_string()), encode(&member));
        // A host that was fenced or forgotten tells nobody anything.
        let _ = edits::commit(&self.daemon, &change).await;
    }

    /// A shared file repository at that place, plugged on every host.
    pub async fn shared_sr_at(&self, location: &str) -> Uuid {
        let config = Value::str_map([("location", location)]);
        let sr = self
            .call(
                "SR.create",
                vec![
                    reference(self.uuid),
                    config,
                    0.into(),
                    "shared".into(),
                    "".into(),
                    "file".into(),
                    "user".into(),
                    true.into(),
                    Value::Map(vec![]),
                ],
            )
            .await
            .expect("a repository is made");
        let sr = uuid_of(&sr);
        let view = self.daemon.view().await;
        for pbd in view.referrers("PBD", "SR", sr) {
            self.call("PBD.plug", vec![reference(pbd)]).await.expect("plugs");
        }
        sr
    }

    /// Calls a message as root on this host.
    pub async fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, Error> {
        self.call_in("", method, params).await
    }

    /// Calls a message in a session.
    pub async fn call_in(
        &self,
        session: &str,
        method: &str,
        params: Vec<Value>,
    ) -> Result<Value, Error> {
        let mut all = vec![Value::from(session)];
        all.extend(params);
        self.call_bare(method, all).await
    }

    /// Calls a message with exactly these parameters.
    pub async fn call_bare(&self, method: &str, all: Vec<Value>) -> Result<Value, Error> {
        let (daemon, method) = (self.daemon.clone(), Text::from(method));
        let answer =
            Box::pin(
                async move { api::call(&daemon, &Peer::Local { uid: 0 }, &method, all).await },
            );
        let answer = match &self.runtime {
            None => answer.await,
            Some(runtime) => match runtime.spawn(answer).await {
                Ok(answer) => answer,
                Err(_) => Err(Error::new("INTERNAL_ERROR", ["the daemon was killed"])),
            },
        };
        match answer? {
            api::Outcome::Value(value) => Ok(value),
            api::Outcome::Records(records) => Ok(Value::Set(
                records.map(|record| Value::Record(Arc::new(record.to_record()))).collect(),
            )),
        }
    }

    /// Calls a message that must succeed.
    pub async fn ok(&self, method: &str, params: Vec<Value>) -> Value {
        match self.call(method, params).await {
            Ok(value) => value,
            Err(error) => panic!("{method} on {}: {error}", self.name),
        }
    }

    /// Calls a message that must fail; gives the code with its parameters.
    pub async fn refused(&self, method: &str, params: Vec<Value>) -> Vec<String> {
        match self.call(method, params).await {
            Ok(value) => {
                panic!("{method} on {} should have been refused, gave {value:?}", self.name)
            }
            Err(error) => error.to_list(),
        }
    }

    /// `create` of a class with these fields; gives the uuid.
    pub async fn make(&self, class: &str, fields: Vec<(&'static str, Value)>) -> Uuid {
        let fields = fields.into_iter().map(|(n, v)| (Text::from(n), v)).collect();
        let made = self.ok(&format!("{class}.create"), vec![Value::Struct(fields)]).await;
        made.as_opaque().and_then(OpaqueRef::uuid).expect("a reference")
    }

    /// A field as this host answers it once its replica has everything.
    pub async fn get(&self, class: &str, object: Uuid, field: &str) -> Value {
        self.daemon.catch_up().await;
        self.ok(&format!("{class}.get_{field}"), vec![reference(object)]).await
    }

    /// A text field.
    pub async fn text(&self, class: &str, object: Uuid, field: &str) -> String {
        self.get(class, object, field).await.as_str().unwrap_or_default().to_owned()
    }

    /// Whether a reference field names something, and what.
    pub async fn named(&self, class: &str, object: Uuid, field: &str) -> Option<Uuid> {
        self.get(class, object, field).await.as_opaque().and_then(OpaqueRef::uuid)
    }

    /// Waits until a field is as wanted.
    pub async fn until(&self, class: &'static str, object: Uuid, field: &str, want: &str) {
        let mut changed = self.daemon.store().replica().changed();
        let wait = async {
            loop {
                let view = self.daemon.view().await;
                let now = view.record(class, object).and_then(|r| r.get_by_name(field).cloned());
                if now.as_ref().and_then(Value::as_str) == Some(want) {
                    return;
                }
                let _ = tokio::time::timeout(Duration::from_millis(50), changed.changed()).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{class} {object}: {field} did not become {want}");
        }
    }
}

/// Uuid of a value that must be a reference.
pub fn uuid_of(value: &Value) -> Uuid {
    value.as_opaque().and_then(OpaqueRef::uuid).expect("a reference")
}

/// Reads the pool's certificate authority; kept here so that a test can see what hosts trust.
pub fn ca_pem() -> &'static str {
    let _ = pki::CA_FILE;
    &authority().cert_pem
}
