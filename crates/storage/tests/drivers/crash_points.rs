//! What a crash or a full disk at every step of every changing operation leaves behind: the volume opens under its own
//! uuid with all its data, repeating the operation finishes it, and tidying leaves nothing over.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::bench::{Bench, LIMIT, volume_spec};
use driver_api::Kind;
use driver_api::hypervisor::DiskFormat;
use driver_api::storage::{Result, SrDriver};
use storage::FileDriver;
use storage::faults::{Fault, Faults};
use uuid::Uuid;

/// A driver that meets `fault` the first time it comes by `step`.
fn interrupted(step: &'static str, fault: Fault) -> FileDriver {
    FileDriver::with_faults(Faults::new(move |name| (name == step).then_some(fault)))
}

/// The names of the steps that an operation passes.
fn recorder() -> (FileDriver, Arc<Mutex<Vec<&'static str>>>) {
    let steps: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let seen = Arc::clone(&steps);
    let faults = Faults::new(move |name| {
        seen.lock().expect("no panic under the lock").push(name);
        None
    });
    (FileDriver::with_faults(faults), steps)
}

const MARK: u8 = 0x5a;

/// One kind of change, applied to volume `v` that holds [`MARK`].
#[derive(Clone, Copy, Debug)]
enum Change {
    Fork,
    Prepare,
    PrepareAndCommit,
    Abandon,
    Copy,
    Create,
    Destroy,
    Resize,
}

const CHANGES: [Change; 8] = [
    Change::Fork,
    Change::Prepare,
    Change::PrepareAndCommit,
    Change::Abandon,
    Change::Copy,
    Change::Create,
    Change::Destroy,
    Change::Resize,
];

struct Ids {
    v: Uuid,
    base: Uuid,
    copy: Uuid,
}

async fn apply(change: Change, driver: &FileDriver, bench: &Bench, ids: &Ids) -> Result<()> {
    let sr = &bench.sr;
    let spec = volume_spec(ids.copy, 0);
    match change {
        Change::Fork => driver.volume_fork(sr, ids.v, ids.base, &spec, LIMIT).await.map(|_| ()),
        Change::Prepare => driver.overlay_prepare(sr, ids.v, ids.base, LIMIT).await.map(|_| ()),
        Change::PrepareAndCommit => {
            driver.overlay_prepare(sr, ids.v, ids.base, LIMIT).await?;
            driver.overlay_commit(sr, ids.v, ids.base, &spec, LIMIT).await.map(|_| ())
        }
        Change::Abandon => {
            driver.overlay_prepare(sr, ids.v, ids.base, LIMIT).await?;
            driver.overlay_abandon(sr, ids.v, ids.base, LIMIT).await
        }
        Change::Copy => {
            driver.volume_copy(sr, ids.v, sr, &spec, &|_| true, LIMIT).await.map(|_| ())
        }
        Change::Create => {
            driver.volume_create(sr, &volume_spec(ids.copy, 1 << 20), LIMIT).await.map(|_| ())
        }
        Change::Destroy => {
            // Of the copy, so that the volume itself can be looked at afterwards.
            driver.volume_create(sr, &volume_spec(ids.copy, 1 << 20), LIMIT).await?;
            driver.volume_destroy(sr, ids.copy, LIMIT).await
        }
        Change::Resize => driver.volume_resize(sr, ids.v, 8 << 20, LIMIT).await.map(|_| ()),
    }
}

async fn volume_with_data(format: DiskFormat) -> (Bench, Ids) {
    let bench = Bench::new().await;
    let ids = Ids { v: Uuid::new_v4(), base: Uuid::new_v4(), copy: Uuid::new_v4() };
    let mut spec = volume_spec(ids.v, 4 << 20);
    spec.format = format;
    bench.driver.volume_create(&bench.sr, &spec, LIMIT).await.expect("volume");
    bench.fill(ids.v, MARK).await;
    (bench, ids)
}

async fn every_step(format: DiskFormat, fault: Fault) {
    for change in CHANGES {
        let (bench, ids) = volume_with_data(format).await;
        let (driver, steps) = recorder();
        apply(change, &driver, &bench, &ids).await.expect("works undisturbed");
        let steps: BTreeSet<&str> =
            steps.lock().expect("no panic under the lock").iter().copied().collect();
        assert!(!steps.is_empty(), "{change:?} has no steps");
        for step in steps {
            let context = format!("{change:?} of {format:?} with {fault:?} at {step:?}");
            let (bench, ids) = volume_with_data(format).await;
            let error = apply(change, &interrupted(step, fault), &bench, &ids).await;
            let error = error.expect_err(&context);
            if fault == Fault::NoSpace {
                assert_eq!(error.kind, Kind::NoSpace, "{context}");
                assert_eq!(bench.temporaries(), Vec::<String>::new(), "{context}");
            }
            // 1. At this very moment the volume opens under its own name, with its data.
            let attached = bench.driver.volume_attach(&bench.sr, ids.v, true, LIMIT).await;
            attached.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(bench.content(ids.v).await, MARK, "{context}");
            bench.check_image(ids.v).await;
            // 2. Tidying now takes nothing that the volume needs.
            if fault == Fault::Crash {
                bench.driver.collect(&bench.sr, LIMIT).await.expect("tidy");
                assert_eq!(bench.content(ids.v).await, MARK, "{context}, tidied");
            }
            // 3. The operation can be repeated to its end.
            if matches!(change, Change::Abandon) {
                bench
                    .driver
                    .overlay_abandon(&bench.sr, ids.v, ids.base, LIMIT)
                    .await
                    .expect(&context);
            } else {
                apply(change, &bench.driver, &bench, &ids).await.expect(&context);
            }
            assert_eq!(bench.content(ids.v).await, MARK, "{context}, repeated");
            if matches!(change, Change::Fork | Change::PrepareAndCommit | Change::Copy) {
                assert_eq!(bench.content(ids.copy).await, MARK, "{context}: the copy");
                bench.check_image(ids.copy).await;
            }
            // 4. Nothing is left over.
            bench.driver.collect(&bench.sr, LIMIT).await.expect("tidy");
            assert_eq!(bench.temporaries(), Vec::<String>::new(), "{context}");
            let volumes: BTreeSet<Uuid> = bench.volumes().await;
            let expected = match change {
                Change::Fork | Change::PrepareAndCommit => {
                    BTreeSet::from([ids.v, ids.base, ids.copy])
                }
                Change::Prepare => BTreeSet::from([ids.v, ids.base]),
                Change::Copy | Change::Create => BTreeSet::from([ids.v, ids.copy]),
                Change::Abandon | Change::Destroy | Change::Resize => BTreeSet::from([ids.v]),
            };
            assert_eq!(volumes, expected, "{context}");
            bench.facts_belong_to(&expected);
        }
    }
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_qcow2_volume_loses_nothing_and_can_be_repeated() {
    every_step(DiskFormat::Qcow2, Fault::Crash).await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_raw_volume_loses_nothing_and_can_be_repeated() {
    every_step(DiskFormat::Raw, Fault::Crash).await;
}

#[tokio::test]
async fn a_full_disk_at_any_step_leaves_nothing_half_made() {
    every_step(DiskFormat::Qcow2, Fault::NoSpace).await;
}
