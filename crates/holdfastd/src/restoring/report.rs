//! What of a restored pool can be used, and why not (S1-28): judged by [`planner::restore::usable`], for the plan from the
//! dump and afterwards from what is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use planner::diagnosis::Name;
use planner::placement::{self, HostView};
use planner::restore::usable::{self, DiskFacts, SrFacts, Verdict, VmFacts};
use uuid::Uuid;
use xenapi::{Error, Record, Value};

use super::places::Places;
use super::plan::Planned;
use crate::app::vm::spec;
use crate::app::{target, text, truth};
use crate::{Daemon, View, fencing, returning};

/// Longest look at one repository.
const LIMIT: Duration = Duration::from_secs(10);

/// What is known of repositories beside the records.
#[derive(Debug, Default)]
struct Seen {
    /// The disks that are there, of repositories that were looked at; or why they can't be read.
    volumes: BTreeMap<Uuid, Result<BTreeSet<Uuid>, String>>,
    /// Why a connection is not attached, where that is known.
    detached: BTreeMap<Uuid, String>,
    /// Connections count as attached although their records say otherwise.
    will_attach: BTreeSet<Uuid>,
}

fn name(view: &View, class: &'static str, uuid: Uuid) -> Name {
    Name::new(uuid, view.record(class, uuid).map(|r| text(r, "name_label")).unwrap_or_default())
}

fn sr_facts(view: &View, sr: &Record, seen: &Seen) -> SrFacts {
    let id = sr.uuid();
    let (mut attached, mut detached) = (Vec::new(), Vec::new());
    let pbds: Vec<&Arc<Record>> =
        view.referrers("PBD", "SR", id).filter_map(|pbd| view.record("PBD", pbd)).collect();
    for pbd in pbds {
        let Some(host) = target(pbd, "host") else { continue };
        let host = name(view, "host", host);
        if truth(pbd, "currently_attached") || seen.will_attach.contains(&id) {
            attached.push(host);
        } else {
            let why = seen.detached.get(&id).cloned();
            let why =
                why.unwrap_or_else(|| format!("its connection {} is not plugged", pbd.uuid()));
            detached.push((host, why));
        }
    }
    let was_local_to = if attached.is_empty() && detached.is_empty() {
        former_hosts(view, id)
    } else {
        Vec::new()
    };
    let fault = seen.volumes.get(&id).and_then(|v| v.as_ref().err()).cloned();
    SrFacts { sr: name(view, "SR", id), attached, detached, was_local_to, fault }
}

/// Forgotten hosts that had a connection to a repository.
fn former_hosts(view: &View, sr: Uuid) -> Vec<String> {
    let hosts = view.table(pooldb::Table::Tombstone).filter_map(|item| {
        let rest = item.key.id.strip_prefix("forgotten/")?;
        Uuid::try_parse(rest).ok()
    });
    hosts
        .filter(|host| {
            returning::parts(view, *host).iter().any(|(object, bytes)| {
                object.class == "PBD"
                    && datamodel::class("PBD")
                        .and_then(|class| Record::from_stored(class, bytes).ok())
                        .is_some_and(|pbd| target(&pbd, "SR") == Some(sr))
            })
        })
        .map(|host| fencing::label(view, host))
        .collect()
}

fn vm_facts(view: &View, vm: &Record, seen: &Seen, hosts: &[HostView]) -> VmFacts {
    let disks = view
        .referrers("VBD", "VM", vm.uuid())
        .filter_map(|vbd| view.record("VBD", vbd))
        .filter(|vbd| text(vbd, "type") != "CD" && !truth(vbd, "empty"))
        .map(|vbd| {
            let vdi = target(vbd, "VDI").and_then(|vdi| view.record("VDI", vdi));
            let sr = vdi.and_then(|vdi| target(vdi, "SR"));
            let missing = vdi.is_some_and(|vdi| {
                let looked = sr.and_then(|sr| seen.volumes.get(&sr)).and_then(|v| v.as_ref().ok());
                looked.map_or(truth(vdi, "missing"), |there| !there.contains(&vdi.uuid()))
            });
            DiskFacts {
                vdi: vdi.map(|vdi| name(view, "VDI", vdi.uuid())),
                sr: sr.filter(|sr| view.record("SR", *sr).is_some()).map(|sr| name(view, "SR", sr)),
                missing,
            }
        })
        .collect();
    let needs = spec::needs(view, vm);
    let without_uplink = needs
        .networks
        .iter()
        .filter(|network| had_uplink(view, **network))
        .filter(|network| view.referrers("PIF", "network", **network).next().is_none())
        .map(|network| name(view, "network", *network))
        .collect();
    let mut unfit = Vec::new();
    for host in hosts {
        if let Err(why) = placement::fits(host, &needs) {
            unfit.push((Name::new(host.host, host.label.clone()), why.text()));
        }
    }
    VmFacts {
        vm: name(view, "VM", vm.uuid()),
        runs: matches!(text(vm, "power_state"), "Running" | "Paused"),
        disks,
        without_uplink,
        fit: hosts.len() - unfit.len(),
        unfit,
    }
}

/// A forgotten host had a card in this network.
fn had_uplink(view: &View, network: Uuid) -> bool {
    let forgotten = view.table(pooldb::Table::Tombstone).filter_map(|item| {
        let mut parts = item.key.id.strip_prefix("forgotten/")?.split('/');
        (parts.nth(1)? == "PIF").then(|| item.raw().map(<[u8]>::to_vec))?
    });
    let class = datamodel::class("PIF");
    forgotten
        .filter_map(|bytes| Record::from_stored(class?, &bytes).ok())
        .any(|pif| target(&pif, "network") == Some(network))
}

fn verdicts(view: &View, seen: &Seen, hosts: &[HostView]) -> Vec<Verdict> {
    let by_label = |class: &'static str| {
        let mut records: Vec<&Arc<Record>> = view.records(class).collect();
        records.sort_by_key(|r| (text(r, "name_label").to_owned(), r.uuid()));
        records
    };
    let srs: Vec<SrFacts> = by_label("SR").into_iter().map(|sr| sr_facts(view, sr, seen)).collect();
    let vms: Vec<VmFacts> = by_label("VM")
        .into_iter()
        .filter(|vm| {
            !truth(vm, "is_a_template")
                && !truth(vm, "is_a_snapshot")
                && !truth(vm, "is_control_domain")
        })
        .map(|vm| vm_facts(view, vm, seen, hosts))
        .collect();
    usable::verdicts(&srs, &vms)
}

fn line(verdict: &Verdict) -> String {
    let what = if verdict.class == "sr" { "repository" } else { "VM" };
    let (label, uuid) = (&verdict.object.label, verdict.object.uuid);
    let why = verdict.why.join("; ");
    match (verdict.usable, why.is_empty()) {
        (true, true) => format!("{what} '{label}' ({uuid}): usable"),
        (true, false) => format!("{what} '{label}' ({uuid}): usable, but {why}"),
        (false, _) => {
            format!("{what} '{label}' ({uuid}): NOT usable: {why}. Next: {}", verdict.next)
        }
    }
}

/// What of a planned database does not fit on this host, in lines.
pub(super) fn of_plan(daemon: &Daemon, planned: &Planned, places: &Places) -> Vec<String> {
    let view = &planned.view;
    let mut seen = Seen::default();
    for (sr, found) in &places.found {
        match &found.volumes {
            Ok(volumes) => {
                seen.volumes.insert(*sr, Ok(volumes.clone()));
                seen.will_attach.insert(*sr);
            }
            Err(why) => {
                seen.detached.insert(*sr, why.clone());
            }
        }
    }
    // This host's own are attached now, and will be again.
    let own = daemon.store().view();
    for pbd in own.records("PBD").filter(|pbd| truth(pbd, "currently_attached")) {
        seen.will_attach.extend(target(pbd, "SR"));
    }
    let mut hosts = spec::hosts(view, daemon.reserved_memory());
    for host in &mut hosts {
        host.live = true;
        host.srs = seen.will_attach.iter().copied().collect();
    }
    let verdicts = verdicts(view, &seen, &hosts);
    let bad: Vec<String> =
        verdicts.iter().filter(|v| !v.usable || !v.why.is_empty()).map(line).collect();
    let usable = verdicts.iter().filter(|v| v.class == "vm" && v.usable).count();
    let all = verdicts.iter().filter(|v| v.class == "vm").count();
    let mut lines = vec![format!("{usable} of {all} VMs could start on this host.")];
    if !bad.is_empty() {
        lines.push("What does not fit:".to_owned());
        lines.extend(bad);
    }
    lines
}

/// `pool.holdfast_restore_report`: what can be used now, as JSON.
///
/// # Errors
/// None so far.
pub async fn report(daemon: &Arc<Daemon>) -> Result<Value, Error> {
    let view = daemon.view().await;
    let mut seen = Seen::default();
    let here: Vec<&Arc<Record>> = view
        .referrers("PBD", "host", daemon.host())
        .filter_map(|pbd| view.record("PBD", pbd))
        .collect();
    let looks = here.into_iter().map(|pbd| {
        let view = &view;
        async move {
            let sr = view.record("SR", target(pbd, "SR")?)?;
            let spec = spec::spec_of(sr, pbd);
            let attached = truth(pbd, "currently_attached");
            let looked = async {
                let driver = daemon.driver(&spec.kind).map_err(|e| e.to_string())?;
                if !attached {
                    return driver
                        .attach(&spec, LIMIT)
                        .await
                        .map_err(|e| e.to_string())
                        .map(|()| None);
                }
                let found = driver.scan(&spec, LIMIT).await.map_err(|e| e.to_string())?;
                Ok(Some(found.into_iter().map(|v| v.volume).collect::<BTreeSet<Uuid>>()))
            };
            let looked = tokio::time::timeout(LIMIT * 2, looked)
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {} s", (LIMIT * 2).as_secs())));
            Some((sr.uuid(), attached, looked))
        }
    });
    for (sr, attached, looked) in futures_util::future::join_all(looks).await.into_iter().flatten()
    {
        match (attached, looked) {
            (true, Ok(Some(volumes))) => {
                seen.volumes.insert(sr, Ok(volumes));
            }
            (true, Err(why)) => {
                seen.volumes.insert(sr, Err(why));
            }
            (false, Err(why)) => {
                seen.detached.insert(sr, why);
            }
            (_, Ok(_)) => {}
        }
    }
    let hosts = spec::hosts(&view, daemon.reserved_memory());
    let verdicts = verdicts(&view, &seen, &hosts);
    let rows: Vec<serde_json::Value> = verdicts
        .iter()
        .map(|v| {
            serde_json::json!({
                "class": v.class, "uuid": v.object.uuid, "name_label": v.object.label,
                "usable": v.usable, "why": v.why, "next": v.next, "line": line(v),
            })
        })
        .collect();
    let restored = super::restored(&view);
    let from = restored.as_ref().map(|r| {
        serde_json::json!({
            "at": xenapi::Timestamp(r.at).to_string(), "by": r.by, "dump": r.dump, "plan": r.plan,
        })
    });
    let usable = verdicts.iter().all(|v| v.usable);
    Ok(serde_json::json!({"usable": usable, "restored": from, "rows": rows}).to_string().into())
}
