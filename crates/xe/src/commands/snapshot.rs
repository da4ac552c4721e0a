//! Snapshots, by their uuid: revert, clone, copy, destroy, uninstall.

use super::Run;
use crate::api::s;
use crate::context::Context;
use crate::failure::Failure;
use crate::record::view::Object;

pub(super) const COMMANDS: &[(&str, Run)] = &[
    ("snapshot-revert", revert),
    ("snapshot-clone", |ctx| copy_op(ctx, false)),
    ("snapshot-copy", |ctx| copy_op(ctx, true)),
    ("snapshot-destroy", destroy),
    ("snapshot-uninstall", |ctx| {
        let snapshot = object(ctx)?;
        super::vm::uninstall_all(ctx, &[snapshot.reference])
    }),
    ("snapshot-reset-powerstate", reset_powerstate),
];

/// The snapshot that `snapshot-uuid` or `uuid` names.
pub(super) fn object(ctx: &mut Context<'_, '_>) -> Result<Object, Failure> {
    let param = if ctx.params.has("snapshot-uuid") { "snapshot-uuid" } else { "uuid" };
    let Some(uuid) = ctx.text(param) else {
        return Err(Failure::missing("snapshot-uuid or uuid."));
    };
    let reference = ctx.resolve("VM", &uuid)?;
    let fields = ctx.record("VM", &reference)?;
    let object = Object { reference, fields };
    if object.text("is_a_snapshot") != "true" {
        return Err(Failure::refused(format!(
            "This operation can only be performed on a VM snapshot. {uuid} is not a VM snapshot."
        )));
    }
    Ok(object)
}

fn revert(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let snapshot = object(ctx)?;
    ctx.run("VM.revert", vec![s(snapshot.reference)])?;
    Ok(())
}

fn copy_op(ctx: &mut Context<'_, '_>, full: bool) -> Result<(), Failure> {
    let name = ctx.required("new-name-label")?;
    let snapshot = object(ctx)?;
    let new = if full {
        let sr = ctx.object_or_null("SR", "sr-uuid")?;
        ctx.run("VM.copy", vec![s(snapshot.reference), s(name), s(sr)])?
    } else {
        ctx.run("VM.clone", vec![s(snapshot.reference), s(name)])?
    };
    if let Some(text) = ctx.text("new-name-description") {
        ctx.call("VM.set_name_description", vec![s(new.as_str()), s(text)])?;
    }
    let uuid = ctx.uuid_of("VM", &new)?;
    ctx.out.list(vec![uuid]);
    Ok(())
}

fn destroy(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    let snapshot = object(ctx)?;
    if snapshot.text("power_state") != "Halted" {
        ctx.run("VM.hard_shutdown", vec![s(snapshot.reference.as_str())])?;
    }
    ctx.call("VM.destroy", vec![s(snapshot.reference)])?;
    Ok(())
}

fn reset_powerstate(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    ctx.fail_without_force()?;
    let snapshot = object(ctx)?;
    ctx.call("VM.power_state_reset", vec![s(snapshot.reference)])?;
    Ok(())
}
