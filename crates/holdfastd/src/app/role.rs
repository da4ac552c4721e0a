//! `role.*`: the six roles and what they permit.
//!
//! The roles are records, made by the coordinator ([`records`]); XenServer's references are the MD5 of a role's name, so
//! they are the same in every pool. A permission is the right to send one message and is named after it, in lower case.
//! Permissions are thousands and never change: they are no records but are worked out from the datamodel when asked for.

use std::sync::Arc;

use datamodel::{Implicit, Method, Role};
use sha2::Digest as _;
use uuid::{Uuid, uuid};
use xenapi::{Error, FieldIdx, OpaqueRef, Record, Value};

use super::{find, ref_param, text, text_param};
use crate::Daemon;
use crate::api::{Authorized, auth, errors};
use crate::first_start::new_record;

/// The roles with their references and descriptions, most rights first.
pub(crate) const ROLES: [(Role, Uuid, &str); 6] = [
    (
        Role::PoolAdmin,
        uuid!("0165f154-ba3e-034e-6b27-5d271af109ba"),
        "The Pool Administrator role can do anything",
    ),
    (
        Role::PoolOperator,
        uuid!("b9ce9791-0604-50cd-0649-09b3284c7dfd"),
        "The Pool Operator role manages host- and pool-wide resources",
    ),
    (
        Role::VmPowerAdmin,
        uuid!("7955168d-7bec-10ed-105f-c6a7e6e63249"),
        "The VM Power Administrator role has full access to VMs and templates",
    ),
    (
        Role::VmAdmin,
        uuid!("aaa00ab5-7340-bfbc-0d1b-7cf342639a6e"),
        "The VM Administrator role can manage VMs and templates",
    ),
    (
        Role::VmOperator,
        uuid!("fb8d4ff9-310c-a959-0613-54101535d3d5"),
        "The VM Operator role can use VMs and interact with VM consoles",
    ),
    (
        Role::ReadOnly,
        uuid!("7233b8e3-eacb-d7da-2c95-f2e581cdbf4e"),
        "The Read-Only role can log in with basic read-only access",
    ),
];

/// The records of the six roles.
pub(crate) fn records() -> impl Iterator<Item = Record> {
    ROLES.iter().map(|(role, uuid, description)| {
        new_record(
            "role",
            *uuid,
            [
                ("name_label", role.name().unwrap_or_default().into()),
                ("name_description", (*description).into()),
            ],
        )
    })
}

/// The permissions that a role holds, by name.
pub(crate) fn permissions(role: Role) -> impl Iterator<Item = String> {
    datamodel::all_methods()
        .filter(|m| m.session() && m.state() != datamodel::Lifecycle::Internal)
        .flat_map(|method| {
            let name = method.full_name().to_lowercase();
            let keys = match method {
                Method::Implicit(_, Implicit::AddTo(_) | Implicit::RemoveFrom(_)) => {
                    method.field().map_or(&[][..], |(_, f)| f.key_roles)
                }
                _ => &[],
            };
            let keyed: Vec<(String, Role)> =
                keys.iter().map(|(key, role)| (format!("{name}/key:{key}"), *role)).collect();
            std::iter::once((name, method.role())).chain(keyed)
        })
        .filter(move |(_, needed)| *needed <= role)
        .map(|(name, _)| name)
}

/// The reference of a permission.
fn permission_uuid(name: &str) -> Uuid {
    let digest = sha2::Sha256::digest(format!("permission {name}"));
    uuid::Builder::from_random_bytes(digest[..16].try_into().expect("16 bytes")).into_uuid()
}

/// The name of the permission of that reference.
fn permission_named(wanted: Uuid) -> Option<String> {
    permissions(Role::PoolAdmin).find(|name| permission_uuid(name) == wanted)
}

/// The roles that hold a permission.
fn holders(permission: &str) -> Value {
    let holding = ROLES.iter().filter(|(role, ..)| permissions(*role).any(|p| p == permission));
    Value::Set(holding.map(|(_, uuid, _)| Value::Ref(OpaqueRef::new(*uuid))).collect())
}

/// Answers a message of the class.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    let opaque = ref_param(call, 0);
    let invalid = || Error::handle_invalid("role", &opaque.to_string());
    match message {
        "get_by_permission" => {
            let name = opaque.uuid().and_then(permission_named).ok_or_else(invalid)?;
            Ok(holders(&name))
        }
        "get_by_permission_name_label" => Ok(holders(&text_param(call, 0).to_lowercase())),
        "get_permissions" | "get_permissions_name_label" => {
            let view = daemon.view().await;
            let record = find(&view, "role", opaque)?;
            let held = permissions(auth::role_named(text(record, "name_label")));
            Ok(Value::Set(if message == "get_permissions" {
                held.map(|name| Value::Ref(OpaqueRef::new(permission_uuid(&name)))).collect()
            } else {
                held.map(Value::from).collect()
            }))
        }
        _ => Err(errors::not_implemented(call.method())),
    }
}

/// Answers a getter about a permission; `None` if it is about none.
pub(crate) fn implicit(what: Implicit, call: &Authorized) -> Option<Value> {
    let uuid = match what {
        Implicit::GetRecord | Implicit::Get(_) => ref_param(call, 0).uuid()?,
        Implicit::GetByUuid => text_param(call, 0).parse().ok()?,
        _ => return None,
    };
    if ROLES.iter().any(|(_, role, _)| *role == uuid) {
        return None;
    }
    let record = new_record("role", uuid, [("name_label", permission_named(uuid)?.into())]);
    Some(match what {
        Implicit::Get(i) => record.get(FieldIdx(i)).clone(),
        Implicit::GetByUuid => Value::Ref(record.opaque()),
        _ => Value::Record(Arc::new(record)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_role_holds_all_that_a_lower_one_holds() {
        for pair in ROLES.windows(2) {
            let lower: Vec<String> = permissions(pair[1].0).collect();
            let higher: std::collections::BTreeSet<String> = permissions(pair[0].0).collect();
            assert!(lower.iter().all(|p| higher.contains(p)) && lower.len() < higher.len());
        }
        let of = |role, name: &str| permissions(role).any(|p| p == name);
        assert!(of(Role::VmOperator, "vm.start") && !of(Role::ReadOnly, "vm.start"));
        assert!(of(Role::ReadOnly, "vm.get_all_records"));
        assert!(!of(Role::ReadOnly, "secret.get_value"));
    }

    #[test]
    fn a_permission_is_found_by_its_reference() {
        assert_eq!(permission_named(permission_uuid("vm.start")).as_deref(), Some("vm.start"));
        assert_eq!(permission_named(Uuid::nil()), None);
    }
}
