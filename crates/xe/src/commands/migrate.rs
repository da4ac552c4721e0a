//! `vm-migrate`: to another host of the pool.

use super::Run;
use super::select::{self, VMS};
use crate::api::{s, text_map};
use crate::command_line::parse_bool;
use crate::context::Context;
use crate::failure::Failure;

pub(super) const COMMANDS: &[(&str, Run)] = &[("vm-migrate", migrate)];

/// Parameters of a migration to another pool, or with the disks.
const STORAGE_PARAMS: &[&str] = &[
    "remote-master",
    "remote-username",
    "remote-password",
    "remote-network",
    "vif",
    "vdi",
    "vgpu",
    "image-format",
];
const OWN_PARAMS: &[&str] =
    &["host", "host-uuid", "host-name", "live", "force", "copy", "compress", "encrypt"];

fn migrate(ctx: &mut Context<'_, '_>) -> Result<(), Failure> {
    for (name, _) in &mut ctx.params.0 {
        if name == "host-uuid" || name == "host-name" {
            "host".clone_into(name);
        }
    }
    let stem = |name: &str| name.split(':').next().unwrap_or(name).to_owned();
    if let Some((name, _)) =
        ctx.params.iter().find(|(k, _)| STORAGE_PARAMS.contains(&stem(k).as_str()))
    {
        return Err(Failure::refused(format!(
            "{name}: a migration to another pool or with the disks is not offered by xe yet."
        )));
    }
    let Some(host) = ctx.text("host") else {
        return Err(Failure::refused("No destination host specified"));
    };
    let mut options = Vec::new();
    for name in ["force", "live", "copy"] {
        let value = ctx.flag(name)?;
        options.push((name.to_owned(), value.to_string()));
    }
    if let Some(text) = ctx.text("compress") {
        let value = parse_bool(&text).map_or(text, |b| b.to_string());
        options.push(("compress".to_owned(), value));
    }
    let host = select::host_by_name(ctx, &host)?;
    let choice = VMS.ignoring(OWN_PARAMS);
    let vms = select::choose(ctx, choice)?;
    select::each(ctx, choice, vms, |ctx, vm| {
        let args = vec![s(vm.reference.as_str()), s(host.as_str()), text_map(&options)];
        ctx.run("VM.pool_migrate", args)
    })?;
    Ok(())
}
