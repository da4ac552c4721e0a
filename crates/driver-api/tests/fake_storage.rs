//! The fake storage keeps the promises of every driver, and fails on request.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use driver_api::Kind;
use driver_api::conformance::storage::{self as conformance, Guest, Harness, LIMIT};
use driver_api::fake::storage::{Effect, Fault, Operation, Storage};
use driver_api::hypervisor::DiskFormat;
use driver_api::storage::{Attached, SrDriver, SrSpec, VolumeSpec};
use uuid::Uuid;

struct FakeHarness {
    storage: Arc<Storage>,
    places: AtomicU32,
}

impl FakeHarness {
    fn new() -> Self {
        Self { storage: Storage::new(), places: AtomicU32::new(1) }
    }
}

struct FakeGuest {
    storage: Arc<Storage>,
    path: PathBuf,
}

#[async_trait]
impl Harness for FakeHarness {
    fn driver(&self) -> Arc<dyn SrDriver> {
        self.storage.driver("h1", "file")
    }

    fn other_host(&self) -> Arc<dyn SrDriver> {
        self.storage.driver("h2", "file")
    }

    async fn empty_place(&self) -> SrSpec {
        let number = self.places.fetch_add(1, Ordering::Relaxed);
        SrSpec {
            sr: Uuid::from_u128(u128::from(number)),
            kind: "file".to_owned(),
            device_config: BTreeMap::from([("location".to_owned(), format!("/srv/{number}"))]),
            shared: true,
        }
    }

    async fn fill(&self, sr: &SrSpec, volume: Uuid, mark: u8) {
        let attached = self.driver().volume_attach(sr, volume, true, LIMIT).await.expect("attach");
        assert!(self.storage.write(&attached.path, mark));
    }

    async fn content(&self, sr: &SrSpec, volume: Uuid) -> u8 {
        self.storage.content("h1", sr, volume).expect("there")
    }

    async fn guest(&self, attached: &Attached) -> Box<dyn Guest> {
        self.storage.open("h1", &attached.path);
        Box::new(FakeGuest { storage: Arc::clone(&self.storage), path: attached.path.clone() })
    }
}

#[async_trait]
impl Guest for FakeGuest {
    async fn write(&mut self, mark: u8) {
        assert!(self.storage.write(&self.path, mark));
    }

    async fn read(&mut self) -> u8 {
        self.storage.read(&self.path).expect("there")
    }

    async fn switch(&mut self, overlay: &Attached) {
        self.storage.open("h1", &overlay.path);
        self.storage.close(&self.path);
        self.path.clone_from(&overlay.path);
    }

    async fn stop(self: Box<Self>) {
        self.storage.close(&self.path);
    }
}

/// proves: S0-33 (sim), S1-12 (sim)
#[tokio::test]
async fn the_fake_passes_the_conformance_suite() {
    conformance::run(&FakeHarness::new()).await;
}

#[tokio::test(start_paused = true)]
async fn faults_hit_their_operation_their_host_and_their_times() {
    let harness = FakeHarness::new();
    let (sr, driver) = (harness.empty_place().await, harness.driver());
    driver.create(&sr, LIMIT).await.expect("create");
    let volume = Uuid::from_u128(77);
    let spec = VolumeSpec {
        volume,
        label: String::new(),
        description: String::new(),
        virtual_size_bytes: 1 << 20,
        format: DiskFormat::Qcow2,
    };
    let fault = |operation, effect| Fault { operation, volume: None, effect, times: 1 };
    let full = Effect::Refuse(Kind::NoSpace, "no space left on device".to_owned());
    harness.storage.inject("h1", fault(Operation::VolumeCreate, full));
    let error = driver.volume_create(&sr, &spec, LIMIT).await.expect_err("injected");
    assert_eq!(error.kind, Kind::NoSpace);
    // The reply is lost, the volume is there; the repeated call finds it.
    harness.storage.inject("h1", fault(Operation::VolumeCreate, Effect::LoseReply));
    let error = driver.volume_create(&sr, &spec, LIMIT).await.expect_err("injected");
    assert_eq!(error.kind, Kind::Timeout);
    harness.other_host().observe(&sr, volume, LIMIT).await.expect("made all the same");
    driver.volume_create(&sr, &spec, LIMIT).await.expect("repeated");
    harness.storage.set_hung("h1", true);
    let start = tokio::time::Instant::now();
    let error = driver.observe(&sr, volume, Duration::from_secs(3)).await.expect_err("hung");
    assert_eq!((error.kind, start.elapsed().as_secs()), (Kind::Timeout, 3));
    harness.other_host().observe(&sr, volume, LIMIT).await.expect("the other host works");
}

#[tokio::test]
async fn isos_are_listed_and_read_only() {
    let harness = FakeHarness::new();
    let mut sr = harness.empty_place().await;
    sr.kind = "iso".to_owned();
    let driver = harness.storage.driver("h1", "iso");
    harness.storage.add_iso("h1", &sr, "debian 12.iso", 5 << 20);
    let found = driver.scan(&sr, LIMIT).await.expect("scan");
    assert_eq!(found[0].label.as_deref(), Some("debian 12.iso"));
    let attached = driver.volume_attach(&sr, found[0].volume, false, LIMIT).await.expect("attach");
    assert!(attached.path.ends_with("debian 12.iso"));
    let error = driver.volume_attach(&sr, found[0].volume, true, LIMIT).await.expect_err("refused");
    assert_eq!(error.kind, Kind::Unsupported);
}
