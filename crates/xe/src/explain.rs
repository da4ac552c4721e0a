//! How failures are worded: XenServer's layout, our own short sentences, and hints with the next command.
//!
//! Layout of a known code: one sentence, then `PARAMETER: VALUE` lines with the names of the error catalogue; of an
//! unknown one: `Error code:` and `Error parameters:`. References are shown as uuid and name. Hints live only here.

use crate::api::{Api, is_uuid, s, text_of, uuid_of_ref};
use crate::failure::{CallError, Failure};

/// Sentences for the codes people meet; all others are worded from the code itself.
const SENTENCES: &[(&str, &str)] = &[
    (
        "CANNOT_CONTACT_HOST",
        "Cannot forward messages because the host cannot be contacted; it may be down or cut off.",
    ),
    ("DEVICE_ALREADY_ATTACHED", "The device is attached already."),
    ("DEVICE_ALREADY_DETACHED", "The device is not attached."),
    ("DEVICE_ALREADY_EXISTS", "The VM has a device with that number already."),
    ("DEVICE_DETACH_REJECTED", "The guest refused to let go of the device."),
    ("DEVICE_DETACH_TIMEOUT", "The guest did not let go of the device in time."),
    ("DUPLICATE_VM", "There is a VM with that uuid already."),
    ("DUPLICATE_MAC_SEED", "Another VM has the same MAC seed."),
    ("FIELD_TYPE_ERROR", "The value has the wrong type for the field."),
    ("HANDLE_INVALID", "The object you named does not exist, or not any more."),
    ("HA_HOST_IS_ARMED", "High availability is armed on the host; disarm it first."),
    ("HA_IS_ENABLED", "High availability is switched on, so this cannot be done."),
    ("HA_NOT_ENABLED", "High availability is not switched on."),
    (
        "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN",
        "Afterwards the pool could not survive the host failures it promises.",
    ),
    ("HOST_DISABLED", "The host is disabled."),
    ("HOST_HAS_RESIDENT_VMS", "VMs run on the host."),
    ("HOST_IN_EMERGENCY_MODE", "The host has lost its pool and is in emergency mode."),
    ("HOST_IN_USE", "The host is in use by the object named."),
    ("HOST_IS_LIVE", "The host is alive, so this cannot be done."),
    ("HOST_IS_SLAVE", "The host is a member, not the coordinator."),
    ("HOST_NOT_DISABLED", "The host must be disabled first."),
    ("HOST_NOT_ENOUGH_FREE_MEMORY", "The host has not enough free memory for the VM."),
    ("HOST_NOT_ENOUGH_PCPUS", "The host has fewer processors than the VM wants."),
    ("HOST_NOT_LIVE", "The host is not alive."),
    (
        "HOST_OFFLINE",
        "You attempted an operation which involves a host which could not be contacted.",
    ),
    ("HOST_STILL_BOOTING", "The host is still starting."),
    ("INTERNAL_ERROR", "The server failed in a way it did not expect."),
    ("INVALID_DEVICE", "There is no such device, or it cannot be used here."),
    ("INVALID_VALUE", "The value is not valid for the field."),
    ("IS_TUNNEL_ACCESS_PIF", "The interface is the inner end of a tunnel."),
    ("MAC_INVALID", "The MAC address is not valid."),
    ("MAC_STILL_EXISTS", "The MAC address is in use."),
    ("MAP_DUPLICATE_KEY", "The map has that key already."),
    (
        "MEMORY_CONSTRAINT_VIOLATION",
        "The memory limits must be: static min <= dynamic min <= dynamic max <= static max.",
    ),
    ("MESSAGE_DEPRECATED", "The call is not supported any more."),
    ("MESSAGE_METHOD_UNKNOWN", "The server does not know this call."),
    ("MESSAGE_PARAMETER_COUNT_MISMATCH", "The call was given the wrong number of parameters."),
    ("MESSAGE_REMOVED", "The call was removed from the interface."),
    ("NETWORK_CONTAINS_PIF", "The network has physical interfaces."),
    ("NETWORK_CONTAINS_VIF", "VMs are attached to the network."),
    ("NO_HOSTS_AVAILABLE", "No host can run the VM now."),
    ("NOT_ALLOWED_ON_OEM_EDITION", "This is not available in this edition."),
    ("NOT_IMPLEMENTED", "The server does not offer this yet."),
    ("NOT_SUPPORTED_DURING_UPGRADE", "This cannot be done while the pool is being upgraded."),
    ("OBJECT_NOLONGER_EXISTS", "The object does not exist any more."),
    ("OPERATION_BLOCKED", "The operation is blocked by the owner of the object."),
    ("OPERATION_NOT_ALLOWED", "The operation is not allowed."),
    ("OTHER_OPERATION_IN_PROGRESS", "Another operation on the object is in progress."),
    ("PERMISSION_DENIED", "You may not do this."),
    ("PIF_IS_MANAGEMENT_INTERFACE", "The interface carries the management traffic."),
    (
        "POOL_JOINING_EXTERNAL_AUTH_MISMATCH",
        "The pool and the host use different external authentication.",
    ),
    ("JOINING_HOST_CONNECTION_FAILED", "The pool's coordinator cannot be reached."),
    (
        "POOL_JOINING_HOST_MUST_HAVE_SAME_PRODUCT_VERSION",
        "The joining host runs another version than the pool.",
    ),
    ("RBAC_PERMISSION_DENIED", "Your role does not allow this."),
    ("REQUIRED_PIF_IS_UNPLUGGED", "An interface that is needed for this is unplugged."),
    ("SESSION_INVALID", "The session does not exist or has expired."),
    ("SR_ATTACH_FAILED", "The storage repository could not be attached."),
    ("SR_BACKEND_FAILURE", "The storage repository reported an error."),
    ("SR_DOES_NOT_SUPPORT_MIGRATION", "The storage repository cannot take part in a migration."),
    ("SR_FULL", "The storage repository is full."),
    ("SR_HAS_NO_PBDS", "No host is connected to the storage repository."),
    ("SR_HAS_PBD", "Hosts are still connected to the storage repository."),
    ("SR_NOT_EMPTY", "The storage repository still holds disks."),
    (
        "SR_NOT_SHARABLE",
        "The storage repository is not shared, so it cannot be connected to several hosts.",
    ),
    ("SR_OPERATION_NOT_SUPPORTED", "Storage repositories of this type cannot do that."),
    ("SR_UNKNOWN_DRIVER", "There is no storage driver of that type."),
    ("SR_UUID_EXISTS", "There is a storage repository with that uuid already."),
    ("SR_VDI_LOCKING_FAILED", "The disk's lock could not be taken."),
    ("TASK_CANCELLED", "The task was cancelled."),
    ("TOO_MANY_PENDING_TASKS", "The server has too many tasks waiting; try again later."),
    ("UUID_INVALID", "The uuid you supplied was invalid."),
    ("VALUE_NOT_SUPPORTED", "The value is not supported for the field."),
    ("VBD_IS_EMPTY", "There is no disc in the drive."),
    ("VBD_NOT_EMPTY", "There is a disc in the drive already."),
    ("VBD_NOT_REMOVABLE_MEDIA", "The drive has no removable medium."),
    ("VBD_NOT_UNPLUGGABLE", "The disk cannot be unplugged while the VM runs."),
    ("VDI_HAS_RRDS", "The disk still holds records of measurements."),
    ("VDI_IN_USE", "The disk is in use."),
    ("VDI_IS_A_PHYSICAL_DEVICE", "The disk is a physical device."),
    ("VDI_IS_NOT_ISO", "The disk is not an ISO image."),
    ("VDI_LOCATION_MISSING", "The disk's data was not found on the storage repository."),
    ("VDI_MISSING", "The disk was not found on its storage repository."),
    ("VDI_NOT_AVAILABLE", "The disk is not available now; another host may hold it."),
    ("VDI_NOT_MANAGED", "The disk is not one that is managed here."),
    ("VDI_READONLY", "The disk is read-only."),
    ("VDI_TOO_SMALL", "The disk is too small."),
    ("VIF_IN_USE", "The network interface is in use."),
    ("VM_BAD_POWER_STATE", "The VM is not in a power state in which this can be done."),
    ("VM_CANNOT_DELETE_DEFAULT_TEMPLATE", "A default template cannot be deleted."),
    ("VM_CRASHED", "The VM crashed."),
    ("VM_DUPLICATE_VBD_DEVICE", "The VM has two disks with the same device number."),
    ("VM_HALTED", "The VM shut down unexpectedly."),
    ("VM_HAS_CHECKPOINT", "The VM has a checkpoint and cannot be moved."),
    ("VM_HVM_REQUIRED", "The VM needs hardware virtualisation."),
    ("VM_IS_PROTECTED", "High availability protects the VM, so this cannot be done."),
    ("VM_IS_TEMPLATE", "This cannot be done with a template."),
    ("VM_IS_SNAPSHOT", "This cannot be done with a snapshot."),
    ("VM_LACKS_FEATURE", "The guest does not offer what is needed for this."),
    ("JOINING_HOST_CANNOT_HAVE_RUNNING_VMS", "The joining host runs VMs."),
    ("VM_MISSING_PV_DRIVERS", "The guest runs no guest agent or drivers."),
    ("VM_NOT_RESIDENT_HERE", "The VM does not run on that host."),
    ("VM_NO_EMPTY_CD_VBD", "The VM has no empty CD drive."),
    ("VM_NO_VCPUS", "The VM has no virtual processors."),
    ("VM_REBOOTED", "The VM rebooted unexpectedly."),
    ("VM_REQUIRES_NETWORK", "The VM needs a network that the host is not connected to."),
    ("VM_REQUIRES_SR", "The VM needs a storage repository that the host is not connected to."),
    ("VM_SHUTDOWN_TIMEOUT", "The guest did not shut down in time."),
    ("VM_SNAPSHOT_WITH_QUIESCE_FAILED", "The guest could not be quiesced for the snapshot."),
    ("VM_SUSPEND_TIMEOUT", "The guest could not be suspended in time."),
    ("VM_TOO_MANY_VCPUS", "The VM has more processors than the host can give."),
    ("VM_UNSAFE_BOOT", "The VM may still be running on a host that is cut off."),
];

/// Commands that help further, by code. `{0}`, `{1}` ... are the error's parameters as uuids.
const HINTS: &[(&str, &str)] = &[
    (
        "DEVICE_DETACH_REJECTED",
        "wait for the guest and try again, or: xe vbd-unplug uuid={1} --force",
    ),
    ("HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN", "xe pool-ha-status"),
    ("HOST_DISABLED", "xe host-enable uuid={0}"),
    ("HOST_HAS_RESIDENT_VMS", "xe host-evacuate uuid={0}"),
    (
        "HOST_IN_EMERGENCY_MODE",
        "xe host-is-in-emergency-mode; xe pool-emergency-transition-to-master",
    ),
    ("HOST_IS_SLAVE", "xe pool-list params=master"),
    ("HOST_NOT_DISABLED", "xe host-disable host=localhost"),
    ("NO_HOSTS_AVAILABLE", "xe host-list params=name-label,enabled,memory-free"),
    ("OTHER_OPERATION_IN_PROGRESS", "xe task-list"),
    (
        "JOINING_HOST_CONNECTION_FAILED",
        "check that the address answers and that the host's service runs",
    ),
    ("SR_HAS_NO_PBDS", "xe pbd-create host-uuid=... sr-uuid={0} device-config:..."),
    ("SR_HAS_PBD", "xe pbd-list sr-uuid={0}; xe pbd-unplug uuid=...; xe pbd-destroy uuid=..."),
    ("SR_NOT_EMPTY", "xe vdi-list sr-uuid={0}"),
    ("VDI_IN_USE", "xe vbd-list vdi-uuid={0}"),
    ("VDI_NOT_AVAILABLE", "xe vbd-list vdi-uuid={0} params=vm-name-label,currently-attached"),
    ("VM_IS_PROTECTED", "xe vm-param-clear uuid={0} param-name=ha-restart-priority"),
    ("VM_LACKS_FEATURE", "xe vm-shutdown uuid={0} --force"),
    ("VM_MISSING_PV_DRIVERS", "xe vm-shutdown uuid={0} --force"),
    (
        "VM_NO_EMPTY_CD_VBD",
        "xe vm-cd-eject uuid={0}, or: xe vbd-create vm-uuid={0} device=3 type=CD mode=RO",
    ),
    ("VM_REQUIRES_SR", "xe pbd-list sr-uuid={1}; xe pbd-plug uuid=..."),
    ("VM_SHUTDOWN_TIMEOUT", "xe vm-shutdown uuid={0} --force"),
    (
        "VM_UNSAFE_BOOT",
        "make sure the old host is off, then: xe vm-reset-powerstate uuid={0} --force",
    ),
];

/// The lines a failure prints on standard error. `api` is asked for names, best effort.
pub(crate) fn lines(failure: &Failure, api: Option<&mut dyn Api>) -> Vec<String> {
    match failure {
        Failure::Usage { label, text, hint } => {
            let mut lines =
                vec![if label.is_empty() { text.clone() } else { format!("{label}: {text}") }];
            lines.push(hint.clone().unwrap_or_else(|| "For usage run: 'xe help'".to_owned()));
            lines
        }
        Failure::Refused(text) => vec![format!("Error: {text}")],
        Failure::Call(CallError::Api { code, params }) => api_error(code, params, api),
        Failure::Call(CallError::Unreachable(text)) => {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if text.contains("Permission denied") {
                lines.push(
                    "Hint: the socket is for root; others log in: xe -s localhost:443 -u USER ..."
                        .into(),
                );
            }
            lines
        }
        Failure::Call(CallError::Timeout { method, waited }) => vec![format!(
            "No answer to {method} after {} s. The call may still take effect; see: xe task-list",
            waited.as_secs()
        )],
        Failure::Call(CallError::Broken(text)) => {
            vec![format!("Lost connection to the server: {text}")]
        }
        Failure::Call(CallError::Untrusted(text)) => text.lines().map(str::to_owned).collect(),
        Failure::Partial { failed, .. } => failed
            .iter()
            .map(|(uuid, text)| format!("operation failed on {uuid}: {text}"))
            .collect(),
        Failure::Interrupted => vec!["Interrupted".to_owned()],
        Failure::Exit(_) => vec![],
    }
}

/// The lines of a XenAPI error.
pub(crate) fn api_error(
    code: &str,
    params: &[String],
    mut api: Option<&mut dyn Api>,
) -> Vec<String> {
    if code == "SESSION_AUTHENTICATION_FAILED" {
        let nobody = params.first().is_some_and(String::is_empty);
        let text =
            if nobody { "Username/password must be specified" } else { "Authentication failed" };
        return vec![text.to_owned(), "For usage run: 'xe help'".to_owned()];
    }
    let names = datamodel::error(code).and_then(|e| e.params);
    let shown: Vec<String> = params
        .iter()
        .enumerate()
        .map(|(i, p)| {
            let name = names.and_then(|n| n.get(i)).copied().unwrap_or("");
            readable(p, name, &mut api)
        })
        .collect();
    let Some(error) = datamodel::error(code) else {
        return vec![
            format!("Error code: {code}"),
            format!("Error parameters: {}", shown.join(", ")),
        ];
    };
    let names = error.params.unwrap_or(&[]);
    let mut lines = vec![sentence(code)];
    for i in 0..names.len().max(shown.len()) {
        let name = names.get(i).copied().unwrap_or("<extra>");
        let value = shown.get(i).map_or("<unknown>", String::as_str);
        lines.push(format!("{name}: {value}"));
    }
    // The code has no parameters in the XenAPI, so the reason is asked for.
    if code == "HOST_IN_EMERGENCY_MODE"
        && let Some(api) = api.as_mut()
        && let Ok(answer) = api.call("host.holdfast_emergency", vec![])
        && let Ok(json) = serde_json::from_str(answer.as_str().unwrap_or_default())
    {
        lines.extend(crate::commands::emergency::reasons(&json));
    }
    if let Some(hint) = hint(code, params) {
        lines.push(hint);
    }
    lines
}

fn sentence(code: &str) -> String {
    if let Some((_, text)) = SENTENCES.iter().find(|(c, _)| *c == code) {
        return (*text).to_owned();
    }
    if code.starts_with("SR_BACKEND_FAILURE") {
        return "The storage repository reported an error.".to_owned();
    }
    let mut text: String =
        code.split('_')
            .map(|word| match word {
                "VM" | "VMS" | "VDI" | "VBD" | "VIF" | "PIF" | "PBD" | "SR" | "HA" | "MAC"
                | "IP" | "VLAN" | "CD" | "UUID" | "TLS" | "CPU" | "MTU" | "RBAC" | "XAPI"
                | "DNS" | "URL" | "USB" | "GPU" | "PCI" | "IOMMU" | "BIOS" | "SSL" | "CA"
                | "CRL" | "ISO" | "ID" => word.to_owned(),
                _ => word.to_ascii_lowercase(),
            })
            .collect::<Vec<_>>()
            .join(" ");
    if let Some(first) = text.get(0..1) {
        let upper = first.to_ascii_uppercase();
        text.replace_range(0..1, &upper);
    }
    text.push('.');
    text
}

fn hint(code: &str, params: &[String]) -> Option<String> {
    let (_, template) = HINTS.iter().find(|(c, _)| *c == code)?;
    let mut text = (*template).to_owned();
    for (i, param) in params.iter().enumerate() {
        let uuid = uuid_of_ref(param).unwrap_or(param);
        text = text.replace(&format!("{{{i}}}"), uuid);
    }
    Some(format!("Hint: {text}"))
}

/// A reference as `UUID (NAME)`; other text as it is.
fn readable(param: &str, name: &str, api: &mut Option<&mut dyn Api>) -> String {
    let Some(uuid) = uuid_of_ref(param).filter(|u| is_uuid(u)) else { return param.to_owned() };
    let class = match name.to_ascii_lowercase().as_str() {
        "vm" => "VM",
        "sr" => "SR",
        "vdi" => "VDI",
        "host" | "master" | "slave" => "host",
        "network" | "net" => "network",
        "pool" => "pool",
        _ => return uuid.to_owned(),
    };
    let label = api.as_mut().and_then(|api| {
        api.call(&format!("{class}.get_name_label"), vec![s(param)]).ok().map(|v| text_of(&v))
    });
    match label {
        Some(label) => format!("{uuid} ({label})"),
        None => uuid.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_uuid_reads_as_in_xenserver() {
        let params = ["VM".to_owned(), "nonsense".to_owned()];
        let got = api_error("UUID_INVALID", &params, None);
        assert_eq!(got, ["The uuid you supplied was invalid.", "type: VM", "uuid: nonsense"]);
    }

    #[test]
    fn an_unknown_code_is_printed_with_its_parameters() {
        let got = api_error("SOMETHING_NEW", &["a".into(), "b".into()], None);
        assert_eq!(got, ["Error code: SOMETHING_NEW", "Error parameters: a, b"]);
    }

    #[test]
    fn a_code_without_a_sentence_of_its_own_is_worded_from_the_code() {
        assert_eq!(sentence("VM_OLD_PV_DRIVERS"), "VM old pv drivers.");
    }

    #[test]
    fn hints_name_the_objects_by_uuid() {
        let uuid = "d8d61c2e-219e-4a2e-b53b-288be5b9ec6c";
        let got = hint("HOST_DISABLED", &[format!("OpaqueRef:{uuid}")]);
        assert_eq!(got, Some(format!("Hint: xe host-enable uuid={uuid}")));
    }

    #[test]
    fn every_code_with_a_sentence_or_hint_is_in_the_catalogue() {
        for (code, _) in SENTENCES.iter().chain(HINTS) {
            assert!(datamodel::error(code).is_some(), "{code} is not an error of the XenAPI");
        }
    }
}
