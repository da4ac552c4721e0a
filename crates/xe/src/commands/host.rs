//! Hosts: what is more than one call, and what asks before it acts.

use super::Run;
use super::members;
use super::select::{self, HOSTS};
use crate::api::{Value, s, text_of};
use crate::context::{Context, texts};
use crate::failure::{CallError, Failure};
use crate::output::Cell;
use crate::record;
use crate::record::view::Object;
use crate::tables;

pub(super) const COMMANDS: &[(&str, Run)] = &[
    ("host-enable", enable),
    ("host-forget", forget),
    ("host-declare-dead", declare_dead),
    ("host-emergency-ha-disable", emergency_ha_disable),
    ("host-get-vms-which-prevent-evacuation", vms_preventing_evacuation),
    ("host-cpu-info", |ctx| cpu_info(ctx, None)),
    ("host-get-cpu-features", |ctx| cpu_info(ctx, Some(FEATURE_KEYS))),
    ("host-ha-xapi-healthcheck", healthcheck),
    ("subject-add", subject_add),
    ("subject-role-add", |ctx| subject_role(ctx, "subject.add_to_roles")),
    ("subject-role-remove", |ctx| subject_role(ctx, "subject.remove_from_roles")),
    ("secret-create", secret_create),
    ("message-create", message_create),
    ("message-destroy", message_destroy),
    ("message-destroy-all", message_destroy_all),
    ("session-subject-identifier-logout-all", logout_all),
    ("appliance-create", appliance_create),
    ("appliance-shutdown", appliance_shutdown),
];

/// Also takes away the mark a graphical client leaves on a host in maintenance, or it would disable the host again.
fn enable(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let hosts = select::choose(ctx, HOSTS)?;
    select::each(ctx, HOSTS, hosts, |ctx, host| {
        let me = s(host.reference.as_str());
        let marked =
            host.fields.get("other_config").is_some_and(|c| c.get("MAINTENANCE_MODE").is_some());
        if marked {
            ctx.call("host.remove_from_other_config", vec![me.clone(), s("MAINTENANCE_MODE")])?;
        }
        ctx.call("host.enable", vec![me])
    })?;
    Ok(())
}

/// Warns with the facts of this pool and asks, unless `--force` or the sentence that is proof was given.
fn careful(
    ctx: &mut Context<'_, '_>,
    plain: &str,
    worded: &str,
    warnings: &[&str],
) -> Result<(), Failure> {
    let host = ctx.object("host", "uuid")?;
    if !ctx.flag("force")? && ctx.text("confirm").is_none() {
        for warning in warnings {
            ctx.out.raw(warning);
        }
        members::tell_facts(ctx, &host);
        if !ctx.out.user_says_yes() {
            return Ok(());
        }
    }
    members::with_words(
        ctx,
        |ctx| ctx.run(plain, vec![s(host.as_str())]).map(drop),
        |ctx, words| ctx.run(worded, vec![s(host.as_str()), s(words)]).map(drop),
    )
}

fn forget(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    careful(
        ctx,
        "host.destroy",
        "host.holdfast_forget",
        &[
            "WARNING: A host should only be forgotten if it is physically unrecoverable;",
            "WARNING: if possible, Hosts should be 'ejected' from the Pool instead.",
            "WARNING: Once a host has been forgotten it will have to be re-installed.",
            "WARNING: This operation is irreversible.",
        ],
    )
}

fn declare_dead(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    careful(
        ctx,
        "host.declare_dead",
        "host.holdfast_declare_dead",
        &[
            "WARNING: A host should only be declared dead if it is verified offline.",
            "WARNING: Performing this operation if the host is still online and has any",
            "WARNING: running VMs may lead to possible data loss and/or corruption.",
        ],
    )
}

fn emergency_ha_disable(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let soft = ctx.flag("soft")?;
    ctx.fail_without_force()?;
    ctx.call("host.emergency_ha_disable", vec![Value::Bool(soft)])?;
    ctx.out.stderr(
        "WARNING: This host is not stopped in time any more when it is cut off. If other hosts have a majority, they may\n\
         WARNING: start the VMs that run here a second time: shut these down, or see to it that the other hosts are off.\n\
         WARNING: xe pool-ha-disable, then xe pool-ha-enable, takes this host in again.\n",
    );
    Ok(())
}

fn vms_preventing_evacuation(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let Some(record) = tables::record("vm") else {
        return Err(Failure::refused("there are no VM records in the datamodel"));
    };
    let host = ctx.object("host", "uuid")?;
    let found = ctx.call("host.get_vms_which_prevent_evacuation", vec![s(host)])?;
    for (vm, why) in found.as_object().into_iter().flatten() {
        let object = Object { fields: ctx.record("VM", vm)?, reference: vm.clone() };
        let mut row = record::row(ctx, record, &object, None, &["uuid", "name-label"])?;
        let mut reason = Cell::plain("reason", texts(why).join(","));
        reason.label = "reason ( RO)".to_owned();
        row.push(reason);
        ctx.out.table(vec![row]);
    }
    Ok(())
}

/// Keys of `host.cpu_info` that hold feature sets.
const FEATURE_KEYS: &[&str] =
    &["features_pv", "features_hvm", "features_pv_host", "features_hvm_host"];

fn cpu_info(ctx: &mut Context<'_, '_>, keys: Option<&[&str]>) -> Result<(), Failure> {
    let host = match ctx.object_if_given("host", "uuid")? {
        Some(host) => host,
        None => ctx.this_host()?,
    };
    let info = ctx.call("host.get_cpu_info", vec![s(host)])?;
    let cells = info
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(k, _)| keys.is_none_or(|keys| keys.contains(&k.as_str())))
        .map(|(k, v)| Cell::plain(k.as_str(), text_of(v)))
        .collect();
    ctx.out.record(cells);
    Ok(())
}

fn healthcheck(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    match ctx.api.call("host.ha_xapi_healthcheck", vec![]) {
        Ok(Value::Bool(true)) => {
            ctx.out.raw("xapi is healthy.");
            Ok(())
        }
        Ok(_) => {
            ctx.out.stderr("Host.ha_xapi_healthcheck reports false\n");
            Err(Failure::Exit(1))
        }
        Err(error) => Err(error.into()),
    }
}

fn subject_add(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let name = ctx.required("subject-name")?;
    let identifier = ctx.call_text("auth.get_subject_identifier", vec![s(name)])?;
    let record = serde_json::json!({"subject_identifier": identifier, "other_config": {}});
    let subject = ctx.call_text("subject.create", vec![record])?;
    let uuid = ctx.uuid_of("subject", &subject)?;
    ctx.out.list(vec![uuid]);
    Ok(())
}

fn subject_role(ctx: &mut Context<'_, '_>, method: &str) -> Result<(), Failure> {
    let subject = ctx.object("subject", "uuid")?;
    let role = match (ctx.text("role-uuid"), ctx.text("role-name")) {
        (Some(uuid), None) => ctx.resolve("role", &uuid)?,
        (None, Some(name)) => {
            let found = texts(&ctx.call("role.get_by_name_label", vec![s(name.as_str())])?);
            found.into_iter().next().ok_or_else(|| CallError::Api {
                code: "ROLE_NOT_FOUND".to_owned(),
                params: vec![],
            })?
        }
        _ => return Err(Failure::refused("Need one of: role-uuid or role-name")),
    };
    ctx.call(method, vec![s(subject), s(role)])?;
    Ok(())
}

fn secret_create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let record = serde_json::json!({"value": ctx.required("value")?, "other_config": {}});
    let secret = ctx.call_text("secret.create", vec![record])?;
    let uuid = ctx.uuid_of("secret", &secret)?;
    ctx.out.list(vec![uuid]);
    Ok(())
}

fn message_create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let priority: i64 = ctx
        .required("priority")?
        .parse()
        .map_err(|_| Failure::refused("Priority field should be an integer"))?;
    let targets =
        [("vm-uuid", "VM"), ("pool-uuid", "Pool"), ("sr-uuid", "SR"), ("host-uuid", "Host")];
    let Some((param, cls)) = targets.iter().find(|(param, _)| ctx.params.has(param)) else {
        return Err(Failure::refused("Need one of: vm-uuid, host-uuid, sr-uuid or pool-uuid"));
    };
    let args = vec![
        s(ctx.required("name")?),
        Value::from(priority),
        s(*cls),
        s(ctx.required(param)?),
        s(ctx.required("body")?),
    ];
    ctx.call("message.create", args)?;
    Ok(())
}

fn message_destroy(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let uuids = match (ctx.text("uuid"), ctx.text("uuids")) {
        (Some(uuid), None) => vec![uuid],
        (None, Some(uuids)) => uuids.split(',').map(str::to_owned).collect(),
        (Some(_), Some(_)) => {
            return Err(Failure::refused("Ambiguous arguments; need one of uuid, uuids"));
        }
        (None, None) => return Err(Failure::refused("Need one of uuid, uuids")),
    };
    let mut messages = Vec::new();
    for uuid in uuids {
        messages.push(ctx.resolve("message", &uuid)?);
    }
    ctx.call("message.destroy_many", vec![select::set(messages)])?;
    Ok(())
}

fn message_destroy_all(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let filters: Vec<(String, String)> = ["before", "after", "priority"]
        .iter()
        .filter_map(|name| ctx.text(name).map(|v| ((*name).to_owned(), v)))
        .collect();
    ctx.call("message.destroy_all", vec![crate::api::text_map(&filters)])?;
    Ok(())
}

fn logout_all(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let all = texts(&ctx.call("session.get_all_subject_identifiers", vec![])?);
    for identifier in all {
        ctx.call("session.logout_subject_identifier", vec![s(identifier)])?;
    }
    Ok(())
}

fn appliance_create(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let record = serde_json::json!({
        "name_label": ctx.required("name-label")?,
        "name_description": ctx.text_or("name-description", ""),
    });
    let appliance = ctx.call_text("VM_appliance.create", vec![record])?;
    let uuid = ctx.uuid_of("VM_appliance", &appliance)?;
    ctx.out.list(vec![uuid]);
    Ok(())
}

fn appliance_shutdown(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let force = ctx.flag("force")?;
    let method = if force { "VM_appliance.hard_shutdown" } else { "VM_appliance.clean_shutdown" };
    let appliance = ctx.object("VM_appliance", "uuid")?;
    ctx.run(method, vec![s(appliance)])?;
    Ok(())
}
