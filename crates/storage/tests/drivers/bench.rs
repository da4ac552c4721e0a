//! A `file` repository in a temporary directory, and guests' data written and read with QEMU's own tool.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use driver_api::hypervisor::DiskFormat;
use driver_api::storage::{SrDriver, SrSpec, VolumeSpec};
use host::exec::Command;
use storage::FileDriver;
use uuid::Uuid;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// Bytes that [`Bench::fill`] writes and [`Bench::content`] compares.
const DATA_BYTES: u32 = 256 << 10;

pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) driver: FileDriver,
    pub(crate) sr: SrSpec,
}

pub(crate) fn sr_spec(kind: &str, location: &Path) -> SrSpec {
    let location = location.to_str().expect("temporary directories have plain names").to_owned();
    SrSpec {
        sr: Uuid::new_v4(),
        kind: kind.to_owned(),
        device_config: BTreeMap::from([("location".to_owned(), location)]),
        shared: true,
    }
}

pub(crate) fn volume_spec(volume: Uuid, virtual_size_bytes: u64) -> VolumeSpec {
    VolumeSpec {
        volume,
        label: "a disk".to_owned(),
        description: String::new(),
        virtual_size_bytes,
        format: DiskFormat::Qcow2,
    }
}

pub(crate) fn format_name(format: DiskFormat) -> &'static str {
    match format {
        DiskFormat::Qcow2 => "qcow2",
        DiskFormat::Raw => "raw",
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let sr = sr_spec("file", &directory.path().join("sr"));
        let driver = FileDriver::new();
        driver.create(&sr, LIMIT).await.expect("repository");
        driver.attach(&sr, LIMIT).await.expect("attached");
        Self { directory, driver, sr }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("sr")
    }

    pub(crate) async fn path(&self, volume: Uuid) -> (PathBuf, &'static str) {
        path(&self.driver, &self.sr, volume).await
    }

    /// Writes `mark` to the volume's first bytes, as its guest would.
    pub(crate) async fn fill(&self, volume: Uuid, mark: u8) {
        fill(&self.driver, &self.sr, volume, mark).await;
    }

    /// The byte that fills the volume's first bytes.
    pub(crate) async fn content(&self, volume: Uuid) -> u8 {
        content(&self.driver, &self.sr, volume).await
    }

    pub(crate) async fn check_image(&self, volume: Uuid) {
        let (path, format) = self.path(volume).await;
        if format == "qcow2" {
            let check = Command::new("qemu-img").args(["check", "-q", "-f", format]).arg(&path);
            check.check().unwrap_or_else(|error| panic!("{error}"));
        }
    }

    pub(crate) fn temporaries(&self) -> Vec<String> {
        names(&self.root().join(".holdfast/tmp"))
    }

    pub(crate) async fn volumes(&self) -> BTreeSet<Uuid> {
        let found = self.driver.scan(&self.sr, LIMIT).await.expect("scan");
        for volume in &found {
            assert_eq!(volume.defects, Vec::<String>::new(), "{}", volume.location);
        }
        assert_eq!(names(&self.root()).len(), found.len() + 1, "{:?}", names(&self.root()));
        found.into_iter().map(|volume| volume.volume).collect()
    }

    /// Notes are kept of these volumes and of no others.
    pub(crate) fn facts_belong_to(&self, volumes: &BTreeSet<Uuid>) {
        let kept: BTreeSet<String> =
            names(&self.root().join(".holdfast/volumes")).into_iter().collect();
        let expected: BTreeSet<String> = volumes.iter().map(|v| format!("{v}.json")).collect();
        assert_eq!(kept, expected);
    }
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("listable");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("listable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

async fn path(driver: &FileDriver, sr: &SrSpec, volume: Uuid) -> (PathBuf, &'static str) {
    let observation = driver.observe(sr, volume, LIMIT).await.expect("there");
    let root = Path::new(&sr.device_config["location"]);
    (root.join(observation.location), format_name(observation.format))
}

fn qemu_io(options: &[&str], path: &Path, format: &str, command: &str) -> String {
    let run = Command::new("qemu-io").args(options).args(["-f", format, "-c", command]).arg(path);
    run.limit(LIMIT).check().unwrap_or_else(|error| panic!("{error}")).text()
}

pub(crate) async fn fill(driver: &FileDriver, sr: &SrSpec, volume: Uuid, mark: u8) {
    let (path, format) = path(driver, sr, volume).await;
    qemu_io(&[], &path, format, &format!("write -P {mark} 0 {DATA_BYTES}"));
}

pub(crate) async fn content(driver: &FileDriver, sr: &SrSpec, volume: Uuid) -> u8 {
    let (path, format) = path(driver, sr, volume).await;
    mark_of(&path, format)
}

/// The byte that fills the start of an image.
pub(crate) fn mark_of(path: &Path, format: &str) -> u8 {
    let text = qemu_io(&["-r"], path, format, "read -v 0 16");
    let byte = text.split_whitespace().nth(1).expect("a dump");
    let mark = u8::from_str_radix(byte, 16).expect("a byte");
    let text = qemu_io(&["-r"], path, format, &format!("read -P {mark} 0 {DATA_BYTES}"));
    assert!(!text.contains("Pattern verification failed"), "mixed content: {text}");
    mark
}
