//! The pool: joining, leaving, and who leads.

use super::Run;
use crate::api::{Value, s, text_of};
use crate::context::{Context, texts};
use crate::failure::{CallError, Failure};
use crate::output::Cell;
use crate::quantity;

pub(super) const COMMANDS: &[(&str, Run)] = &[
    ("pool-join", join),
    ("pool-eject", eject),
    ("pool-ha-compute-hypothetical-max-host-failures-to-tolerate", hypothetical),
    ("pool-ha-compute-vm-failover-plan", failover_plan),
    ("pool-get-cpu-features", cpu_features),
    ("pool-sync-updates", sync_updates),
];

fn join(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let method = if ctx.flag("force")? { "pool.join_force" } else { "pool.join" };
    let args = vec![
        s(ctx.required("master-address")?),
        s(ctx.required("master-username")?),
        s(ctx.required("master-password")?),
    ];
    match ctx.call(method, args) {
        Ok(_) => {
            ctx.out.list(vec!["Host has joined the pool.".to_owned()]);
            Ok(())
        }
        Err(failure) => {
            if let Failure::Call(CallError::Api { code, .. }) = &failure
                && code == "JOINING_HOST_CONNECTION_FAILED"
            {
                ctx.out.list(vec![
                    "Host cannot contact destination host: connection refused.".to_owned(),
                    "Check destination host has services running and accessible from this host."
                        .to_owned(),
                ]);
            }
            Err(failure)
        }
    }
}

fn eject(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let host = ctx.object("host", "host-uuid")?;
    if !ctx.flag("force")? {
        let doomed = local_disks(ctx, &host)?;
        ctx.out
            .raw("WARNING: Ejecting a host from the pool will reinitialise that host's local SRs.");
        ctx.out.raw("WARNING: Any data contained with the local SRs will be lost.");
        if !doomed.is_empty() {
            ctx.out.raw("The following VDI objects will be destroyed:");
            for line in doomed {
                ctx.out.raw(&line);
            }
        }
        if !ctx.out.user_says_yes() {
            return Ok(());
        }
    }
    ctx.run("pool.eject", vec![s(host)])?;
    ctx.out.list(vec!["Specified host will restart as the master of a new pool.".to_owned()]);
    Ok(())
}

/// Disks on repositories that only this host is connected to.
fn local_disks(ctx: &mut Context<'_, '_>, host: &str) -> Result<Vec<String>, Failure> {
    let pbds = ctx.api.records("PBD", Some(&["host", "SR"]))?;
    let text =
        |fields: &crate::api::Fields, name: &str| fields.get(name).map(text_of).unwrap_or_default();
    let srs: Vec<String> = pbds
        .iter()
        .filter(|(_, pbd)| text(pbd, "host") == host)
        .map(|(_, pbd)| text(pbd, "SR"))
        .filter(|sr| pbds.iter().all(|(_, p)| text(p, "SR") != *sr || text(p, "host") == host))
        .collect();
    let vdis = ctx.api.records("VDI", Some(&["SR", "name_label"]))?;
    Ok(vdis
        .iter()
        .filter(|(_, vdi)| srs.contains(&text(vdi, "SR")))
        .map(|(_, vdi)| format!("VDI: {} ({})", text(vdi, "uuid"), text(vdi, "name_label")))
        .collect())
}

fn hypothetical(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let uuids = ctx.text_or("vm-uuid", "");
    let priorities = ctx.text_or("restart-priority", "");
    let mut pairs = Vec::new();
    let vms = uuids.split(',').filter(|u| !u.is_empty());
    for (uuid, priority) in vms.zip(priorities.split(',')) {
        pairs.push((ctx.resolve("VM", uuid)?, priority.to_owned()));
    }
    let method = "pool.ha_compute_hypothetical_max_host_failures_to_tolerate";
    let count = ctx.call(method, vec![crate::api::text_map(&pairs)])?;
    ctx.out.value(text_of(&count), count);
    Ok(())
}

fn failover_plan(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let hosts = super::direct::objects(ctx, "host", "host-uuids")?;
    let mut vms = Vec::new();
    for host in &hosts {
        for vm in ctx.get_set("host", host, "resident_VMs")? {
            if ctx.get("VM", &vm, "is_control_domain")? != "true" {
                vms.push(vm);
            }
        }
    }
    let args = vec![super::select::set(hosts), super::select::set(vms)];
    let plan = ctx.call("pool.ha_compute_vm_failover_plan", args)?;
    let mut cells = vec![Cell::plain("VM", "Destination Host or Error")];
    for (vm, result) in plan.as_object().into_iter().flatten() {
        let name = ctx.get("VM", vm, "name_label")?;
        let uuid = ctx.uuid_of("VM", vm)?;
        let text = |key: &str| result.get(key).map(text_of);
        let destination = match (text("host"), text("error_code")) {
            (Some(host), _) => {
                let name = ctx.get("host", &host, "name_label")?;
                format!("{} ({name})", ctx.uuid_of("host", &host)?)
            }
            (None, Some(code)) => code,
            (None, None) => "UNKNOWN".to_owned(),
        };
        cells.push(Cell::plain(format!("{uuid} ({name})"), destination));
    }
    ctx.out.table(vec![cells]);
    Ok(())
}

fn cpu_features(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let pool = ctx.pool()?;
    let info = ctx.call("pool.get_cpu_info", vec![s(pool)])?;
    let cells = info
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(k, _)| k.starts_with("features_"))
        .map(|(k, v)| Cell::plain(k.as_str(), text_of(v)))
        .collect();
    ctx.out.record(cells);
    Ok(())
}

fn sync_updates(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let force = match ctx.text("force") {
        Some(text) => quantity::boolean("force", &text)?,
        None => false,
    };
    let pool = ctx.pool()?;
    let mut args = vec![s(pool), Value::Bool(force)];
    args.extend(["token", "token-id", "username", "password"].map(|n| s(ctx.text_or(n, ""))));
    let hash = ctx.run("pool.sync_updates", args)?;
    ctx.out.list(texts(&Value::Array(vec![s(hash)])));
    Ok(())
}
