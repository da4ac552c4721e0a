//! `SR.probe` and `SR.probe_ext`: what storage is at a place of one host. Nothing is written.
//!
//! `lvm`: a disk, partition or image with XenServer's volume groups, found by the salvage engine even where no table leads to
//! them; without a device all disks of the host, with what they hold and which could become a repository (S2-41 to S2-43). Other types
//! are looked for by their driver. The host that is named looks; the saga is only the way to it.

use std::sync::Arc;

use driver_api::storage::SrSpec;
use planner::disk_layouts;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Value};

use super::sr::{signed, text_map};
use super::vm::launch::{STORAGE_QUICK, storage_failed};
use super::{find, ref_param, text, text_param};
use crate::api::{Authorized, errors};
use crate::edits::Change;
use crate::reconcilers::layouts;
use crate::sagas::{self, Def, Flow, Output, Plan, RESULT, State, StepResult, action};
use crate::{Daemon, salvage};

/// The type whose disks the salvage engine looks at; there is no driver for it yet.
const LVM: &str = "lvm";

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    kind: String,
    config: std::collections::BTreeMap<String, String>,
    /// `SR.probe`: the answer is XML.
    as_text: bool,
}

/// One storage that a probe found: XenAPI's `probe_result`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The configuration to attach it with.
    pub config: std::collections::BTreeMap<String, String>,
    /// The repository that it holds.
    pub sr: Option<Uuid>,
    /// Its name.
    pub name_label: String,
    /// Its description.
    pub name_description: String,
    /// Bytes in all.
    pub total_bytes: u64,
    /// A repository can be made with it, or is there.
    #[serde(default = "yes")]
    pub complete: bool,
    /// Bytes free.
    pub free_bytes: u64,
    /// What else was seen.
    pub extra: std::collections::BTreeMap<String, String>,
}

/// Sagas of daemons before this field found repositories only.
fn yes() -> bool {
    true
}

impl Probed {
    /// As XenAPI's record.
    pub fn value(self) -> Value {
        let sr = self.sr.map_or(Value::Void, |sr| {
            Value::Struct(vec![
                ("uuid".into(), Value::uuid_text(sr)),
                ("name_label".into(), self.name_label.into()),
                ("name_description".into(), self.name_description.into()),
                ("free_space".into(), signed(self.free_bytes).into()),
                ("total_space".into(), signed(self.total_bytes).into()),
                ("clustered".into(), false.into()),
                ("health".into(), Value::word("healthy")),
            ])
        });
        Value::Struct(vec![
            ("configuration".into(), Value::str_map(self.config)),
            ("complete".into(), self.complete.into()),
            ("sr".into(), sr),
            ("extra_info".into(), Value::str_map(self.extra)),
        ])
    }

    /// As an entry of the list of devices that `SR.probe` answers with where none was named.
    fn block_device(&self) -> String {
        let mut text = String::from("\t<BlockDevice>\n");
        let path = self.config.get("device").map(|path| ("path", path));
        let extra = self.extra.iter().map(|(key, value)| (key.as_str(), value));
        for (key, value) in path.into_iter().chain(extra) {
            let value = value.replace('&', "&amp;").replace('<', "&lt;");
            text.push_str(&format!("\t\t<{key}>\n\t\t\t{value}\n\t\t</{key}>\n"));
        }
        text.push_str("\t</BlockDevice>\n");
        text
    }

    /// As the XML of `SR.probe`.
    fn xml(&self) -> String {
        let mut text = String::from("\t<SR>\n");
        if let Some(sr) = self.sr {
            text.push_str(&format!("\t\t<UUID>\n\t\t\t{sr}\n\t\t</UUID>\n"));
        }
        for (key, value) in &self.config {
            let value = value.replace('&', "&amp;").replace('<', "&lt;");
            text.push_str(&format!("\t\t<{key}>\n\t\t\t{value}\n\t\t</{key}>\n"));
        }
        text.push_str("\t</SR>\n");
        text
    }
}

/// `SR.probe(host, device_config, type, sm_config)` and `SR.probe_ext`.
pub(super) async fn probe(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let host = find(&view, "host", ref_param(call, 0))?.uuid();
    if host != daemon.host() && !super::host::is_live(&view, host) {
        return Err(Error::new("HOST_OFFLINE", [OpaqueRef::new(host).to_string()]));
    }
    let args = Args {
        kind: text_param(call, 2).to_ascii_lowercase(),
        config: text_map(call, 1),
        as_text: message == "probe",
    };
    if args.kind != LVM {
        daemon.driver(&args.kind)?;
    } else if args.config.get("device").is_some_and(|device| !device.starts_with('/')) {
        let why = "device-config:device= must be an absolute path of the host";
        return Err(Error::new("SR_BACKEND_FAILURE_90", ["", why, ""]));
    }
    let plan = Plan {
        kind: "sr_probe",
        owner: host,
        label: call.method(),
        busy: vec![],
        args: json!(args),
        change: Change::new(),
    };
    sagas::perform(daemon, call.caller(), call.task(), plan).await
}

pub(super) fn sagas() -> Vec<Def> {
    vec![Def::new("sr_probe").last("look", action!(look)).within(salvage::LIMIT)]
}

async fn look(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let all_disks = args.kind == LVM && !args.config.contains_key("device");
    let found = match args.kind.as_str() {
        LVM if all_disks => candidates(daemon).await?,
        LVM => groups(&args).await?,
        _ => of_driver(daemon, &args).await?,
    };
    let output = match args.as_text {
        true if all_disks => {
            let inside: String = found.iter().map(Probed::block_device).collect();
            Output::Text(format!("<?xml version=\"1.0\" ?>\n<Devlist>\n{inside}</Devlist>\n"))
        }
        true => {
            let inside: String = found.iter().map(Probed::xml).collect();
            Output::Text(format!("<?xml version=\"1.0\" ?>\n<SRlist>\n{inside}</SRlist>\n"))
        }
        false => Output::Probed(found),
    };
    state.put(RESULT, output)?;
    Ok(Flow::Next)
}

/// This host's disks, and what each could become.
async fn candidates(daemon: &Arc<Daemon>) -> Result<Vec<Probed>, saga::StepError> {
    let view = daemon.view().await;
    let further = layouts::further(&view, daemon.host());
    let seen =
        salvage::layouts(further).await.map_err(|why| unreadable("this host's disks", &why))?;
    let name = view.record("host", daemon.host()).map(|h| text(h, "name_label").to_owned());
    let labels = view.records("SR").map(|sr| text(sr, "name_label").to_owned()).collect();
    let disks = layouts::parsed(&seen.disks);
    let found = disk_layouts::candidates(&name.unwrap_or_default(), &disks, &labels);
    let probed = found.into_iter().map(|disk| {
        let complete = disk.why_not.is_none();
        let mut extra = std::collections::BTreeMap::new();
        for (key, value) in [
            ("size", disk.size_bytes.to_string()),
            ("vendor", disk.model),
            ("serial", disk.serial),
            ("holds", disk.holds),
            ("name-label", disk.name_label),
            ("why-not", disk.why_not.unwrap_or_default()),
        ] {
            if !value.is_empty() {
                extra.insert(key.to_owned(), value);
            }
        }
        Probed {
            config: [("device".to_owned(), disk.path)].into(),
            sr: None,
            name_label: String::new(),
            name_description: String::new(),
            total_bytes: disk.size_bytes,
            complete,
            free_bytes: 0,
            extra,
        }
    });
    Ok(probed.collect())
}

/// XenServer's groups on a disk.
async fn groups(args: &Args) -> Result<Vec<Probed>, saga::StepError> {
    let device = &args.config["device"];
    let scan = salvage::scan(device).await.map_err(|why| unreadable(device, &why))?;
    let plans = planner::sr_adoption::plans(&scan, &|_| false);
    let found = plans.into_iter().map(|plan| Probed {
        config: args.config.clone(),
        sr: Some(plan.sr),
        extra: [
            ("group".to_owned(), plan.group),
            ("disks".to_owned(), plan.disks.len().to_string()),
            ("disks-left".to_owned(), plan.left.len().to_string()),
        ]
        .into(),
        name_label: plan.name_label,
        name_description: plan.name_description,
        total_bytes: plan.size_bytes,
        complete: true,
        free_bytes: plan.free_bytes,
    });
    Ok(found.collect())
}

/// What the type's driver finds.
async fn of_driver(daemon: &Arc<Daemon>, args: &Args) -> Result<Vec<Probed>, saga::StepError> {
    let driver = daemon.driver(&args.kind).map_err(|e| sagas::failed(&e))?;
    let found = driver.probe(&args.config, STORAGE_QUICK).await;
    let mut all = Vec::new();
    for sr in found.map_err(|e| storage_failed(&e))? {
        let spec = SrSpec {
            sr,
            kind: args.kind.clone(),
            device_config: args.config.clone(),
            shared: false,
        };
        let space = driver.space(&spec, STORAGE_QUICK).await.map_err(|e| storage_failed(&e))?;
        all.push(Probed {
            config: args.config.clone(),
            sr: Some(sr),
            name_label: String::new(),
            name_description: String::new(),
            total_bytes: space.physical_size_bytes,
            complete: true,
            free_bytes: space.physical_size_bytes.saturating_sub(space.physical_utilisation_bytes),
            extra: std::collections::BTreeMap::new(),
        });
    }
    Ok(all)
}

/// A place that can't be read.
pub(super) fn unreadable(device: &str, why: &str) -> saga::StepError {
    sagas::failed(&errors::not_allowed(format!("{device} can't be searched: {why}")))
}
