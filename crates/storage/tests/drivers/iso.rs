//! The `iso` driver: lists, attaches read-only, changes nothing.

use driver_api::Kind;
use driver_api::hypervisor::DiskFormat;
use driver_api::storage::{SrDriver, SrSpec};
use storage::IsoDriver;
use uuid::Uuid;

use crate::bench::{LIMIT, names, sr_spec, volume_spec};

#[tokio::test]
async fn images_are_listed_under_stable_uuids_and_nothing_is_written() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path();
    for name in ["debian 12 🚀.iso", "WIN.ISO", "empty.iso", "readme.txt", ".hidden.iso"] {
        let size = if name.starts_with("empty") { 0 } else { 40_960 };
        std::fs::write(root.join(name), vec![0u8; size]).expect("writable");
    }
    std::fs::create_dir(root.join("folder.iso")).expect("directory");
    std::os::unix::fs::symlink("nowhere", root.join("broken.iso")).expect("link");
    let before = names(root);
    let (driver, sr) = (IsoDriver::new(), sr_spec("iso", root));
    driver.create(&sr, LIMIT).await.expect("create");
    driver.attach(&sr, LIMIT).await.expect("attach");
    let found = driver.scan(&sr, LIMIT).await.expect("scan");
    let listed: Vec<_> = found.iter().map(|volume| volume.location.as_str()).collect();
    assert_eq!(listed, ["WIN.ISO", "debian 12 🚀.iso", "empty.iso"]);
    assert!(found.iter().all(|volume| volume.read_only && volume.format == DiskFormat::Raw));
    assert_eq!(found[1].label.as_deref(), Some("debian 12 🚀.iso"));
    assert!(found[2].defects[0].contains("empty"));
    assert_eq!(IsoDriver::new().scan(&sr, LIMIT).await.expect("scan"), found);
    let other = SrSpec { sr: Uuid::new_v4(), ..sr.clone() };
    assert_ne!(driver.scan(&other, LIMIT).await.expect("scan")[0].volume, found[0].volume);
    let one = found[1].volume;
    let attached = driver.volume_attach(&sr, one, false, LIMIT).await.expect("attach");
    assert_eq!(attached.path, root.join("debian 12 🚀.iso"));
    assert_eq!(driver.observe(&sr, one, LIMIT).await.expect("observe"), found[1]);
    driver.space(&sr, LIMIT).await.expect("space");
    driver.detach(&sr, LIMIT).await.expect("detach");
    assert_eq!(names(root), before);
}

#[tokio::test]
async fn changes_are_refused_as_unsupported() {
    let directory = tempfile::tempdir().expect("temporary directory");
    std::fs::write(directory.path().join("a.iso"), [0u8; 2048]).expect("writable");
    let (driver, sr) = (IsoDriver::new(), sr_spec("iso", directory.path()));
    let one = driver.scan(&sr, LIMIT).await.expect("scan")[0].volume;
    let spec = volume_spec(Uuid::new_v4(), 1 << 20);
    let kinds = [
        driver.volume_create(&sr, &spec, LIMIT).await.expect_err("refused").kind,
        driver.volume_attach(&sr, one, true, LIMIT).await.expect_err("refused").kind,
        driver.volume_destroy(&sr, one, LIMIT).await.expect_err("refused").kind,
        driver.volume_resize(&sr, one, 4096, LIMIT).await.expect_err("refused").kind,
        driver.document_write(&sr, "vm-1", b"x", LIMIT).await.expect_err("refused").kind,
        driver.destroy(&sr, LIMIT).await.expect_err("refused").kind,
    ];
    assert_eq!(kinds, [Kind::Unsupported; 6]);
    let gone = Uuid::new_v4();
    driver.volume_destroy(&sr, gone, LIMIT).await.expect("gone already is success");
    let error = driver.observe(&sr, gone, LIMIT).await.expect_err("unknown");
    assert_eq!(error.kind, Kind::NotFound);
    let missing = sr_spec("iso", &directory.path().join("none"));
    assert_eq!(driver.attach(&missing, LIMIT).await.expect_err("missing").kind, Kind::NotFound);
    let mut remote = sr;
    remote.device_config.insert("location".to_owned(), "server:/export".to_owned());
    let error = driver.attach(&remote, LIMIT).await.expect_err("remote");
    assert_eq!(error.kind, Kind::Unsupported);
}
