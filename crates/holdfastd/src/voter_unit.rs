//! This host's own etcd process as the voter plan wants it: writes `spec.json`, which the unit `holdfastd etcd-unit`
//! follows.
//!
//! One file says both what runs and for which place in which pool's plan it runs (in its environment), so that there is
//! no moment at which the two disagree: a member's data is set aside exactly when the host is given another place.

use std::path::PathBuf;

use anyhow::Context as _;
use pooldb::etcd::members::{Founding, UnitSpec};
use uuid::Uuid;

use crate::backend::member_setup;
use crate::config::Config;
use crate::lineage::gate;
use crate::records::VoterSlot;

/// Variable of the unit's environment that names the place: the pool and etcd's id of the member.
const PLACE: &str = "HOLDFAST_MEMBER";
/// Stands for the id of a founding member, which is not known before it has started.
const FOUNDER: &str = "founder";

fn spec_path(config: &Config) -> PathBuf {
    config.etcd_dir().join("spec.json")
}

fn read(config: &Config) -> anyhow::Result<Option<UnitSpec>> {
    UnitSpec::read(&spec_path(config)).with_context(|| spec_path(config).display().to_string())
}

fn write(config: &Config, spec: &UnitSpec) -> anyhow::Result<()> {
    spec.write(&spec_path(config)).with_context(|| spec_path(config).display().to_string())
}

/// Starts a new cluster of this host alone; data of an earlier one is set aside.
///
/// # Errors
/// Those of the file system; a host address that is no IP address.
pub fn found(config: &Config, host: Uuid, pool: Uuid) -> anyhow::Result<()> {
    let generation = read(config)?.map_or(1, |s| s.generation + 1);
    // Two clusters of equal tokens would take each other's members.
    let token = format!("{pool}-{}", crate::random_uuid());
    let setup = member_setup(config, host, Founding::New { token })?;
    let mut spec = setup.spec(generation, true);
    spec.env.insert(PLACE.to_owned(), format!("{pool}/{FOUNDER}"));
    write(config, &spec)?;
    // Nobody else can know of this cluster yet.
    gate::give(config, 0, "founded by this host")
}

/// Stops this host's member, if there is one.
///
/// # Errors
/// Those of the file system.
pub fn stop(config: &Config) -> anyhow::Result<()> {
    end(config, false)
}

/// As [`stop`], without waiting for what its clients still want: for a member whose majority is lost for good.
///
/// # Errors
/// Those of the file system.
pub fn kill(config: &Config) -> anyhow::Result<()> {
    end(config, true)
}

fn end(config: &Config, at_once: bool) -> anyhow::Result<()> {
    match read(config)? {
        Some(spec) if spec.run => {
            let generation = spec.generation + 1;
            write(config, &UnitSpec { generation, run: false, at_once, ..spec })
        }
        _ => Ok(()),
    }
}

/// Makes the unit fit this host's place in the plan. `true` if something had to be changed.
///
/// # Errors
/// Those of the file system; a host address that is no IP address.
pub fn follow(
    config: &Config,
    host: Uuid,
    pool: Uuid,
    slot: Option<&VoterSlot>,
) -> anyhow::Result<bool> {
    let present = read(config)?;
    let Some(slot) = slot else {
        let runs = present.is_some_and(|s| s.run);
        if runs {
            stop(config)?;
        }
        return Ok(runs);
    };
    if present.as_ref().is_some_and(|spec| spec.run && is_place(spec, pool, slot)) {
        return Ok(false);
    }
    let generation = present.map_or(1, |s| s.generation + 1);
    let founding = Founding::Existing { members: slot.initial.clone() };
    let mut spec = member_setup(config, host, founding)?.spec(generation, true);
    spec.env.insert(PLACE.to_owned(), format!("{pool}/{}", slot.member));
    write(config, &spec)?;
    // The plan was read with quorum.
    gate::give(config, 0, "a place given by the pool")?;
    Ok(true)
}

fn is_place(spec: &UnitSpec, pool: Uuid, slot: &VoterSlot) -> bool {
    let Some(place) = spec.env.get(PLACE) else { return false };
    let founded = *place == format!("{pool}/{FOUNDER}") && slot.initial.len() <= 1;
    founded || *place == format!("{pool}/{}", slot.member)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &std::path::Path) -> Config {
        let text = format!(
            "[host]\nname = 'h'\naddress = '127.0.0.1'\n[paths]\nstate = '{}'\n",
            dir.display()
        );
        let config: Config = toml::from_str(&text).expect("a configuration");
        std::fs::create_dir_all(config.etcd_dir()).expect("directory");
        config
    }

    fn slot(member: &str, names: usize) -> VoterSlot {
        VoterSlot {
            member: member.to_owned(),
            initial: (0..names).map(|n| (n.to_string(), format!("https://{n}:2380"))).collect(),
            learner: false,
            unknown: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_place_is_started_once_and_its_data_set_aside_only_for_another_place() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let config = config(dir.path());
        let (host, pool) = (Uuid::from_u128(1), Uuid::from_u128(2));
        found(&config, host, pool).expect("founds");
        let founded = read(&config).expect("reads").expect("is there");
        assert!(founded.fresh && founded.run);
        // The plan names the founder by its id: the same place.
        assert!(!follow(&config, host, pool, Some(&slot("77", 1))).expect("follows"));
        assert!(follow(&config, host, pool, None).expect("follows"));
        assert!(!read(&config).expect("reads").expect("is there").run);
        assert!(follow(&config, host, pool, Some(&slot("78", 2))).expect("follows"));
        assert!(!follow(&config, host, pool, Some(&slot("78", 2))).expect("follows"));
        let second = read(&config).expect("reads").expect("is there");
        assert!(second.generation > founded.generation);
        assert!(follow(&config, host, Uuid::from_u128(3), Some(&slot("78", 2))).expect("follows"));
    }
}
