//! Steps that every way of bringing a guest to life shares (start, resume, revert): attach its disks, create it paused,
//! register its process, re-read the placement, let it run, publish.
//!
//! The order is design.md section 5.2 and is the law: nothing runs before the registry knows its process and the
//! placement was read again from a majority.

use std::sync::Arc;
use std::time::Duration;

use driver_api::hypervisor::{DomainObservation, DomainSpec};
use driver_api::storage::Attached;
use driver_api::{DriverError, Kind};
use host::had::GuestProcess;
use saga::StepError;
use uuid::Uuid;
use xenapi::{Timestamp, Value};

use super::super::{target, text};
use super::{claim, spec};
use crate::api::errors;
use crate::edits::{Change, Object};
use crate::first_start::{new_record, reference};
use crate::mutants::Mutant;
use crate::records::{Placement, decode};
use crate::{Daemon, View, ha, random_uuid, sagas};

/// Longest single operation of the hypervisor that should be quick.
pub(crate) const QUICK: Duration = Duration::from_secs(25);
/// Longest storage operation that should be quick.
pub(crate) const STORAGE_QUICK: Duration = Duration::from_secs(20);

/// A hypervisor's failure as a step's.
pub(crate) fn hypervisor_failed(error: &DriverError) -> StepError {
    sagas::failed(&errors::from_driver(error))
}

/// A storage driver's failure as a step's.
pub(crate) fn storage_failed(error: &DriverError) -> StepError {
    sagas::failed(&errors::from_storage(error))
}

/// Attaches the VM's disks on this host.
pub(crate) async fn attach_disks(
    daemon: &Arc<Daemon>,
    view: &View,
    vm: Uuid,
) -> Result<Vec<(Uuid, Attached)>, StepError> {
    let mut attached = Vec::new();
    for disk in spec::disks(view, vm) {
        let Some((vdi, sr)) = disk.vdi else { continue };
        let sr = spec::sr_spec(view, sr, daemon.host()).map_err(|e| sagas::failed(&e))?;
        let driver = daemon.driver(&sr.kind).map_err(|e| sagas::failed(&e))?;
        let write = !(disk.read_only || disk.cd);
        let found = driver
            .volume_attach(&sr, vdi, write, STORAGE_QUICK)
            .await
            .map_err(|e| storage_failed(&e))?;
        attached.push((disk.vbd, found));
    }
    Ok(attached)
}

/// Detaches the VM's disks; what is gone already is no failure.
pub(crate) async fn detach_disks(daemon: &Arc<Daemon>, view: &View, vm: Uuid) {
    for disk in spec::disks(view, vm) {
        let Some((vdi, sr)) = disk.vdi else { continue };
        let Ok(sr) = spec::sr_spec(view, sr, daemon.host()) else { continue };
        let Ok(driver) = daemon.driver(&sr.kind) else { continue };
        if let Err(error) = driver.volume_detach(&sr, vdi, STORAGE_QUICK).await {
            tracing::warn!(%vdi, %error, "a volume was not detached");
        }
    }
}

/// Makes the bridges that the VM's interfaces are on, where this host lacks them.
pub(crate) async fn prepare_networks(
    daemon: &Arc<Daemon>,
    view: &View,
    vm: Uuid,
) -> Result<(), StepError> {
    for vif in view.referrers("VIF", "VM", vm).filter_map(|vif| view.record("VIF", vif)) {
        prepare_network(daemon, view, vif).await?;
    }
    Ok(())
}

/// Makes the bridge that an interface is on, if this host lacks it.
pub(crate) async fn prepare_network(
    daemon: &Arc<Daemon>,
    view: &View,
    vif: &xenapi::Record,
) -> Result<(), StepError> {
    let Some(network) = target(vif, "network").and_then(|n| view.record("network", n)) else {
        return Ok(());
    };
    let bridge = text(network, "bridge");
    let mac = crate::networks::bridge_mac(network.uuid(), daemon.host());
    let mtu = u32::try_from(super::super::number(network, "MTU")).unwrap_or_default();
    daemon.networks().ensure(bridge, &mac, mtu).await.map_err(|e| {
        StepError::failed(format!(
            "network '{}' ({}): bridge {bridge} can't be made on this host: {e}",
            text(network, "name_label"),
            network.uuid()
        ))
    })
}

/// What the domain is made from, on this host.
pub(crate) async fn domain_spec(
    daemon: &Arc<Daemon>,
    view: &View,
    vm: Uuid,
    generation: u64,
    attached: &[(Uuid, Attached)],
) -> Result<DomainSpec, StepError> {
    let record = view
        .record("VM", vm)
        .ok_or_else(|| StepError::failed(format!("VM {vm} was removed meanwhile")))?;
    let acceleration = daemon.acceleration().await;
    Ok(spec::domain(
        view,
        record,
        generation,
        acceleration,
        attached,
        &daemon.config().host.address,
    ))
}

/// Registers the guest's process before its CPUs run.
pub(crate) async fn register(
    daemon: &Arc<Daemon>,
    seen: &DomainObservation,
    generation: u64,
    incoming: bool,
) -> Result<(), StepError> {
    let pid = seen.pid.ok_or_else(|| {
        StepError::failed(format!(
            "the process of VM {} can't be told from the hypervisor",
            seen.vm
        ))
    })?;
    let start_ticks = daemon
        .had()
        .start_ticks(pid)
        .ok_or_else(|| StepError::failed(format!("the process {pid} of VM {} is gone", seen.vm)))?;
    let guest = GuestProcess { vm: seen.vm, pid, start_ticks, generation, incoming };
    daemon
        .had()
        .register(&guest)
        .await
        .map_err(|e| StepError::failed(format!("holdfast-had did not take VM {}: {e}", seen.vm)))
}

/// Code of a start that was decided for a former boot of the host: trying again helps.
pub(crate) const STILL_BOOTING: &str = "HOST_STILL_BOOTING";

/// Reads the placement again, from a majority: only if it still names this host and this generation may CPUs run.
pub(crate) async fn placement_still_ours(
    daemon: &Arc<Daemon>,
    vm: Uuid,
    generation: u64,
) -> Result<(), StepError> {
    if daemon.is_mutant(Mutant::StartWithoutRereading) {
        return Ok(());
    }
    let entry = daemon.store().db().get(&claim::placement_key(vm)).await.map_err(|e| {
        StepError::transient(format!("the placement of VM {vm} can't be read again: {e}"))
    })?;
    let placement: Option<Placement> = entry.and_then(|e| decode(&e.value).ok());
    // The boot counts too: a run of a former boot ended with it, and what that boot held may be another host's by now.
    let boot = daemon.boot_id();
    let ours = placement.as_ref().is_some_and(|p| {
        (p.generation == generation && p.host == Some(daemon.host()) && p.boot_id == boot)
            || (p.incoming == Some(generation)
                && p.migrating_to == Some(daemon.host())
                && p.incoming_boot == boot)
    });
    if ours {
        // A placement that is void must not look like ours either.
        let key = crate::fencing::key(daemon.host(), boot);
        match daemon.store().db().get(&key).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(StepError::failed(format!(
                "this boot of the host is fenced; VM {vm} is not started here"
            ))),
            Err(e) => Err(StepError::transient(format!("this host's fence can't be read: {e}"))),
        }
    } else if placement
        .as_ref()
        .is_some_and(|p| p.generation == generation && p.host == Some(daemon.host()))
    {
        // Whoever placed it here did not know yet that this host has booted since.
        Err(crate::sagas::failed(&xenapi::Error::new(STILL_BOOTING, Vec::<String>::new())))
    } else {
        Err(StepError::failed(format!(
            "VM {vm} was placed elsewhere meanwhile ({placement:?}); it is not started here"
        )))
    }
}

/// Ends the domain and takes it out of the registry; both may be gone already.
pub(crate) async fn destroy_domain(
    daemon: &Arc<Daemon>,
    vm: Uuid,
    generation: u64,
) -> Result<(), StepError> {
    match daemon.hypervisor().destroy(vm, QUICK).await {
        Ok(()) => {}
        Err(error) if error.kind == Kind::NotFound => {}
        Err(error) => {
            // The hypervisor's daemon may be down while the guest runs: the registry knows its process.
            tracing::warn!(%vm, %error, "stopping the guest through the registry");
            daemon
                .had()
                .stop_guest(vm, generation)
                .await
                .map_err(|e| StepError::transient(format!("VM {vm} can't be stopped: {e}")))?;
        }
    }
    if let Err(error) = daemon.had().unregister(vm, generation).await {
        // A generation that was never registered is fine; a live process is not.
        if error.code() == Some(host::had::Code::StillRunning) {
            return Err(StepError::transient(format!(
                "the process of VM {vm} still lives: {error}"
            )));
        }
    }
    Ok(())
}

/// The records of a VM that now runs here.
pub(crate) fn publish_running(
    daemon: &Daemon,
    view: &View,
    change: &mut Change,
    vm: Uuid,
    seen: &DomainObservation,
    power: &str,
) {
    publish_resident(daemon, view, change, vm, seen, power);
    let Some(record) = view.record("VM", vm) else { return };
    if ha::priority(record) == planner::ha::Priority::Restart {
        change.set(Object::new("VM", vm), "ha_always_run", true);
    }
    if let Some(metrics) = target(record, "metrics") {
        let metrics = Object::new("VM_metrics", metrics);
        let now = Timestamp(daemon.now());
        change.set(metrics, "memory_actual", i64::try_from(seen.memory_bytes).unwrap_or_default());
        change.set(metrics, "VCPUs_number", i64::from(seen.vcpus));
        change.set(metrics, "start_time", now);
        change.set(metrics, "hvm", true);
        change.set(metrics, "current_domain_type", "hvm");
    }
    attached(view, change, vm, true);
}

/// The power state of a VM that has its machine, also in the words of its metrics.
pub(crate) fn say_power(daemon: &Daemon, view: &View, change: &mut Change, vm: Uuid, power: &str) {
    change.set(Object::new("VM", vm), "power_state", power);
    if let Some(metrics) = view.record("VM", vm).and_then(|r| target(r, "metrics")) {
        let metrics = Object::new("VM_metrics", metrics);
        change.set(metrics, "state", Value::str_set([power.to_lowercase()]));
        change.set(metrics, "last_updated", Timestamp(daemon.now()));
    }
}

/// Where the VM is and how to see its screen; all that a daemon's restart can have made stale.
pub(crate) fn publish_resident(
    daemon: &Daemon,
    view: &View,
    change: &mut Change,
    vm: Uuid,
    seen: &DomainObservation,
    power: &str,
) {
    let object = Object::new("VM", vm);
    say_power(daemon, view, change, vm, power);
    change.set(object, "resident_on", reference(daemon.host()));
    change.set(object, "domid", i64::from(seen.pid.unwrap_or(1)));
    publish_console(view, change, vm, &daemon.config().host.address);
}

/// The console's record, with the address of the host that shows it.
pub(crate) fn publish_console(view: &View, change: &mut Change, vm: Uuid, address: &str) {
    let exists = view.referrers("console", "VM", vm).next();
    let console = exists.unwrap_or_else(random_uuid);
    let location = format!("https://{address}/console?uuid={console}");
    if exists.is_some() {
        change.set(Object::new("console", console), "location", location);
    } else {
        change.create(new_record(
            "console",
            console,
            [("VM", reference(vm)), ("protocol", "rfb".into()), ("location", location.into())],
        ));
    }
}

/// The records of a VM that runs no more.
pub(crate) fn publish_stopped(view: &View, change: &mut Change, vm: Uuid, power: &str) {
    let object = Object::new("VM", vm);
    change.set(object, "power_state", power);
    change.set(object, "resident_on", Value::Ref(xenapi::OpaqueRef::NULL));
    change.set(object, "domid", -1);
    if let Some(metrics) = view.record("VM", vm).and_then(|r| target(r, "metrics")) {
        let metrics = Object::new("VM_metrics", metrics);
        change.set(metrics, "memory_actual", 0);
        change.set(metrics, "VCPUs_number", 0);
        change.set(metrics, "state", Value::Set(Vec::new()));
    }
    attached(view, change, vm, false);
    for console in view.referrers("console", "VM", vm) {
        change.delete(Object::new("console", console));
    }
}

/// Says of all devices whether the guest has them.
fn attached(view: &View, change: &mut Change, vm: Uuid, now: bool) {
    for vbd in view.referrers("VBD", "VM", vm) {
        let has_medium = view.record("VBD", vbd).is_some_and(|v| !super::super::truth(v, "empty"));
        let is_cd = view.record("VBD", vbd).is_some_and(|v| text(v, "type") == "CD");
        change.set(Object::new("VBD", vbd), "currently_attached", now && (has_medium || is_cd));
    }
    for vif in view.referrers("VIF", "VM", vm) {
        change.set(Object::new("VIF", vif), "currently_attached", now);
    }
}
