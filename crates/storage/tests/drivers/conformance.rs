//! The `file` driver keeps the promises of every driver, with real QEMU processes as guests.

use std::sync::Arc;

use async_trait::async_trait;
use driver_api::conformance::storage::{self as conformance, Guest, Harness};
use driver_api::storage::{Attached, SrDriver, SrSpec};
use storage::FileDriver;
use uuid::Uuid;

use crate::bench::{self, sr_spec};
use crate::guest::QemuGuest;

struct FileHarness {
    directory: tempfile::TempDir,
    driver: Arc<FileDriver>,
    other: Arc<FileDriver>,
}

#[async_trait]
impl Harness for FileHarness {
    fn driver(&self) -> Arc<dyn SrDriver> {
        Arc::clone(&self.driver) as _
    }

    fn other_host(&self) -> Arc<dyn SrDriver> {
        Arc::clone(&self.other) as _
    }

    async fn empty_place(&self) -> SrSpec {
        let name = Uuid::new_v4().to_string();
        sr_spec("file", &self.directory.path().join(name))
    }

    async fn fill(&self, sr: &SrSpec, volume: Uuid, mark: u8) {
        bench::fill(&self.driver, sr, volume, mark).await;
    }

    async fn content(&self, sr: &SrSpec, volume: Uuid) -> u8 {
        bench::content(&self.driver, sr, volume).await
    }

    async fn guest(&self, attached: &Attached) -> Box<dyn Guest> {
        Box::new(Open(QemuGuest::start(attached)))
    }
}

struct Open(QemuGuest);

#[async_trait]
impl Guest for Open {
    async fn write(&mut self, mark: u8) {
        self.0.write(mark);
    }

    async fn read(&mut self) -> u8 {
        self.0.read()
    }

    async fn switch(&mut self, overlay: &Attached) {
        self.0.switch(overlay);
    }

    async fn stop(self: Box<Self>) {
        self.0.stop();
    }
}

/// proves: S0-33 (sim), S1-12 (sim)
#[tokio::test(flavor = "multi_thread")]
async fn the_file_driver_passes_the_conformance_suite_with_qemu_as_guest() {
    let (driver, other) = (Arc::new(FileDriver::new()), Arc::new(FileDriver::new()));
    let directory = tempfile::tempdir().expect("temporary directory");
    conformance::run(&FileHarness { directory, driver, other }).await;
}
