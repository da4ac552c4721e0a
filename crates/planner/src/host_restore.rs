//! Whether a host may be given back what a backup of it holds: who it is, what it runs, which lineage it follows.
//!
//! The same refusals are printed by a dry run and stop the real one. A backup puts a host's own files back; whatever the
//! pool decided since (another pool, a later lineage) must not be undone by an old file.

use uuid::Uuid;

/// Whose and of when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// The host.
    pub host: Uuid,
    /// Its pool.
    pub pool: Uuid,
    /// Lineage of the pool's database.
    pub epoch: u64,
}

/// What this host is now, as far as its own files still say so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// The host, if its identity can be read.
    pub host: Option<Uuid>,
    /// Its pool, from its identity or its copy of the database.
    pub pool: Option<Uuid>,
    /// The latest lineage that it knows.
    pub epoch: Option<u64>,
    /// Guests that run on it, in words.
    pub guests: Vec<String>,
    /// Nobody could look whether guests run.
    pub guests_unknown: Option<String>,
    /// The pool key that opens what is sealed in the backup.
    pub key: Key,
}

/// Whether what is sealed can be opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Key {
    /// With the key that is here.
    #[default]
    Opens,
    /// The key that is here is another one.
    Other,
    /// No key is here.
    Missing,
}

/// Why the restore must not be done; empty: it may.
pub fn refusals(backup: &Whose, name: &str, present: &Present) -> Vec<String> {
    let mut why = Vec::new();
    if let Some(host) = present.host.filter(|host| *host != backup.host) {
        why.push(format!(
            "the backup is of host '{name}' ({}), this is host {host}: two hosts with one identity would share its leases",
            backup.host
        ));
    }
    if let Some(pool) = present.pool.filter(|pool| *pool != backup.pool) {
        why.push(format!(
            "the backup was made in pool {}, this host is in pool {pool} now: make a new backup (xe host-backup)",
            backup.pool
        ));
    }
    if let Some(epoch) = present.epoch.filter(|epoch| *epoch > backup.epoch) {
        why.push(format!(
            "the backup is of lineage {}, the pool's database is in lineage {epoch} since a recovery: make a new \
             backup (xe host-backup)",
            backup.epoch
        ));
    }
    if !present.guests.is_empty() {
        why.push(format!(
            "guests run on this host ({}): move them away or shut them down first (xe host-evacuate uuid={})",
            present.guests.join(", "),
            backup.host
        ));
    }
    if let Some(unknown) = &present.guests_unknown {
        why.push(format!("whether guests run on this host is not known: {unknown}"));
    }
    match present.key {
        Key::Opens => {}
        Key::Other => why.push(
            "the pool key of this host does not open what is sealed in the backup: give the right one with pool-key=FILE"
                .to_owned(),
        ),
        Key::Missing => why.push(
            "this host has no pool key to open what is sealed in the backup: copy pool.key from another host of the pool, \
             or take it out of its escrow"
                .to_owned(),
        ),
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Uuid = Uuid::from_u128(1);
    const POOL: Uuid = Uuid::from_u128(2);

    fn backup() -> Whose {
        Whose { host: HOST, pool: POOL, epoch: 3 }
    }

    fn present() -> Present {
        Present { host: Some(HOST), pool: Some(POOL), epoch: Some(3), ..Present::default() }
    }

    #[test]
    fn a_host_gets_its_own_backup_back_also_when_nothing_of_it_is_left() {
        assert_eq!(refusals(&backup(), "h1", &present()), Vec::<String>::new());
        assert_eq!(refusals(&backup(), "h1", &Present::default()), Vec::<String>::new());
        let younger = Whose { epoch: 4, ..backup() };
        assert_eq!(refusals(&younger, "h1", &present()), Vec::<String>::new());
    }

    #[test]
    fn each_danger_is_refused_by_its_own_sentence() {
        let cases: [(Present, &str); 7] = [
            (Present { host: Some(POOL), ..present() }, "one identity"),
            (Present { pool: Some(HOST), ..present() }, "is in pool"),
            (Present { epoch: Some(4), ..present() }, "lineage 4"),
            (Present { guests: vec!["VM 'web'".to_owned()], ..present() }, "VM 'web'"),
            (Present { guests_unknown: Some("no /proc".to_owned()), ..present() }, "no /proc"),
            (Present { key: Key::Other, ..present() }, "does not open"),
            (Present { key: Key::Missing, ..present() }, "no pool key"),
        ];
        for (present, part) in cases {
            let why = refusals(&backup(), "h1", &present);
            assert_eq!(why.len(), 1, "{why:?}");
            assert!(why[0].contains(part), "{why:?}");
        }
    }
}
