//! Would the pool survive it now, and what is missing? One row for each kind of failure (S1-38).
//!
//! The kinds are those of the vendor's page on machine failures: a member, the coordinator, the whole pool, a host's
//! configuration, a machine, the storage of VMs. A row is red when a failure of that kind would lose something or stop
//! management, yellow when it would be survived with a person's work or partly, green otherwise. Every reason names the
//! object and the command that mends it; a row without reasons is green.
//!
//! What is not known counts as missing: nobody should rely on a backup that nobody has seen.

use std::fmt;
use std::time::Duration;

use crate::diagnosis::{Name, ago};

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// A host that is not the coordinator is lost.
    Member,
    /// The coordinator is lost.
    Coordinator,
    /// All hosts are lost.
    Pool,
    /// A host's software or configuration is damaged.
    Configuration,
    /// A machine is replaced by another one.
    Machine,
    /// The storage of VMs is damaged.
    VmStorage,
}

impl Failure {
    /// All kinds, in the order of the page.
    pub const ALL: [Self; 6] = [
        Self::Member,
        Self::Coordinator,
        Self::Pool,
        Self::Configuration,
        Self::Machine,
        Self::VmStorage,
    ];

    /// The word for scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Coordinator => "coordinator",
            Self::Pool => "pool",
            Self::Configuration => "configuration",
            Self::Machine => "machine",
            Self::VmStorage => "vm-storage",
        }
    }
}

/// A row's colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colour {
    /// It would be survived.
    Green,
    /// It would be survived with a person's work, or partly.
    Yellow,
    /// Something would be lost, or management would stop.
    Red,
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        })
    }
}

/// One thing that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// How bad that is.
    pub colour: Colour,
    /// What, with the object's name.
    pub what: String,
    /// The command that mends it.
    pub next: String,
}

/// The answer for one kind of failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which kind.
    pub failure: Failure,
    /// What is missing, worst first.
    pub missing: Vec<Missing>,
}

impl Row {
    /// The row's colour: that of the worst thing missing.
    pub fn colour(&self) -> Colour {
        self.missing.iter().map(|m| m.colour).max().unwrap_or(Colour::Green)
    }
}

/// A host, as far as readiness goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Which.
    pub host: Name,
    /// It is alive and enabled.
    pub usable: bool,
    /// Memory that is promised to nobody, bytes.
    pub free_bytes: i64,
    /// Its power can be switched and read from outside.
    pub has_power_control: bool,
    /// Age of the last backup of its configuration.
    pub backup_ago: Option<Duration>,
}

/// A VM that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFacts {
    /// Which.
    pub vm: Name,
    /// Where.
    pub on: Name,
    /// What it needs to start elsewhere, bytes.
    pub memory_bytes: i64,
    /// All its disks are on repositories that other hosts have attached too.
    pub is_agile: bool,
}

/// Dumps of the pool database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DumpFacts {
    /// Targets outside the pool's own hosts.
    pub targets: usize,
    /// Age of the newest dump that was read back well.
    pub newest_ago: Option<Duration>,
    /// Older than this is too old; `None`: no timetable is set.
    pub allowed_age: Option<Duration>,
    /// Targets where the last try failed, each with the reason.
    pub failing: Vec<(String, String)>,
    /// The key that opens the secrets in a dump is kept outside the pool.
    pub key_is_kept: bool,
}

/// Everything readiness depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The pool.
    pub pool: Name,
    /// All hosts.
    pub hosts: Vec<HostFacts>,
    /// Votes of the database: all, and those that answer now.
    pub voters: usize,
    /// See `voters`.
    pub voters_answering: usize,
    /// VMs that run.
    pub guests: Vec<GuestFacts>,
    /// Dumps.
    pub dumps: DumpFacts,
    /// VMs that have a disk and no backup of it that Holdfast knows of.
    pub without_backup: Vec<Name>,
    /// VM definitions stand beside the disks on every repository.
    pub definitions_on_storage: bool,
}

/// A dump without a timetable is too old after this.
const DUMP_AGE: Duration = Duration::from_secs(24 * 3600);
/// A host's backup is too old after this.
const HOST_BACKUP_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// All rows, in the order of [`Failure::ALL`].
pub fn readiness(facts: &Facts) -> Vec<Row> {
    Failure::ALL
        .into_iter()
        .map(|failure| {
            let mut missing = match failure {
                Failure::Member => member(facts),
                Failure::Coordinator => coordinator(facts),
                Failure::Pool => pool(facts),
                Failure::Configuration => configuration(facts),
                Failure::Machine => machine(facts),
                Failure::VmStorage => vm_storage(facts),
            };
            missing.sort_by_key(|m| std::cmp::Reverse(m.colour));
            Row { failure, missing }
        })
        .collect()
}

fn missing(colour: Colour, what: String, next: impl Into<String>) -> Missing {
    Missing { colour, what, next: next.into() }
}

/// Names in a sentence: the first few, and how many more.
fn some(names: &[&Name]) -> String {
    const SHOWN: usize = 3;
    let mut text = names.iter().take(SHOWN).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// The database goes on after any one voter is lost now.
fn quorum_survives(facts: &Facts) -> bool {
    facts.voters_answering > facts.voters / 2 + 1
}

fn member(facts: &Facts) -> Vec<Missing> {
    let mut found = Vec::new();
    if facts.hosts.len() < 2 {
        found.push(missing(
            Colour::Red,
            format!("pool {} has one host: nothing could run its VMs", facts.pool),
            "on another host: xe pool-join master-address=... master-username=root master-password=...",
        ));
        return found;
    }
    if !quorum_survives(facts) {
        found.push(quorum(facts));
    }
    let bound: Vec<&Name> = facts.guests.iter().filter(|g| !g.is_agile).map(|g| &g.vm).collect();
    if !bound.is_empty() {
        found.push(missing(
            Colour::Yellow,
            format!("VMs with disks that only their own host reaches would stay down with it: {}", some(&bound)),
            "xe vdi-copy, or migrate them to a shared repository: xe vm-migrate ... (see xe sr-list shared=true)",
        ));
    }
    for lost in &facts.hosts {
        if let Some(what) = does_not_fit(facts, lost) {
            found.push(missing(
                Colour::Yellow,
                what,
                "add memory or a host, or: xe vm-shutdown of what is not needed",
            ));
            break;
        }
    }
    let without: Vec<&Name> =
        facts.hosts.iter().filter(|h| !h.has_power_control).map(|h| &h.host).collect();
    if !without.is_empty() {
        found.push(missing(
            Colour::Yellow,
            format!("a person would have to confirm that the machine is off, since its power can't be read: host {}", some(&without)),
            "xe host-set-power-on-mode host=... power-on-mode=... power-on-config:...",
        ));
    }
    found
}

/// Whether the VMs of one host would not find memory on the others: largest first into the emptiest.
fn does_not_fit(facts: &Facts, lost: &HostFacts) -> Option<String> {
    let mut free: Vec<i64> = facts
        .hosts
        .iter()
        .filter(|h| h.usable && h.host != lost.host)
        .map(|h| h.free_bytes)
        .collect();
    let mut guests: Vec<&GuestFacts> =
        facts.guests.iter().filter(|g| g.on == lost.host && g.is_agile).collect();
    guests.sort_by_key(|g| std::cmp::Reverse(g.memory_bytes));
    for guest in guests {
        free.sort_unstable();
        let fits = free.last().is_some_and(|most| *most >= guest.memory_bytes);
        if !fits {
            return Some(format!(
                "after the loss of host {} there would be no memory for VM {}",
                lost.host, guest.vm
            ));
        }
        if let Some(most) = free.last_mut() {
            *most -= guest.memory_bytes;
        }
    }
    None
}

fn quorum(facts: &Facts) -> Missing {
    let what = format!(
        "{} of {} voters of the pool database answer: the loss of one more would leave no majority, and management \
         would stop until a person decides",
        facts.voters_answering, facts.voters
    );
    let next = if facts.hosts.len() < 3 {
        "add a third host: xe pool-join ..., run on it"
    } else {
        "xe pool-status (which voter is silent, and why)"
    };
    missing(Colour::Red, what, next)
}

fn coordinator(facts: &Facts) -> Vec<Missing> {
    if facts.hosts.len() < 2 {
        return vec![missing(
            Colour::Red,
            format!("pool {} has one host: nobody could take the role", facts.pool),
            "on another host: xe pool-join master-address=... master-username=root master-password=...",
        )];
    }
    if quorum_survives(facts) { Vec::new() } else { vec![quorum(facts)] }
}

/// What a restore of the pool's database from outside needs.
fn dumps(facts: &Facts) -> Vec<Missing> {
    let mut found = Vec::new();
    let dumps = &facts.dumps;
    if dumps.targets == 0 {
        found.push(missing(
            Colour::Red,
            "no target outside the pool is set for dumps of the pool database".to_owned(),
            "mount a directory of another machine on every host, then: xe pool-param-set uuid=... \
             other-config:holdfast:dump_targets=/mnt/...; by hand: xe pool-dump-database file-name=...",
        ));
    }
    match dumps.newest_ago {
        None => found.push(missing(
            Colour::Red,
            "no dump of the pool database is known to have been written and read back".to_owned(),
            "xe pool-dump-database file-name=...",
        )),
        Some(age) if age > dumps.allowed_age.unwrap_or(DUMP_AGE) => found.push(missing(
            Colour::Red,
            format!("the newest dump of the pool database is {} old", ago(age)),
            "xe pool-dump-database file-name=...",
        )),
        Some(_) => {}
    }
    found.extend(dumps.failing.iter().map(|(target, why)| {
        missing(
            Colour::Yellow,
            format!("dumps of the pool database to {target} fail: {why}"),
            "mend the target, or xe pool-param-set uuid=... other-config:holdfast:dump_targets=...",
        )
    }));
    found
}

fn pool(facts: &Facts) -> Vec<Missing> {
    let mut found = dumps(facts);
    if !facts.dumps.key_is_kept {
        found.push(missing(
            Colour::Yellow,
            "the pool key is not known to be kept outside the pool: storage and BMC passwords would have to be given again"
                .to_owned(),
            "keep a copy of /var/lib/holdfast/pool.key where only administrators reach it, then: xe pool-param-set uuid=... \
             other-config:holdfast:pool_key_kept=$(date +%s)",
        ));
    }
    found
}

fn configuration(facts: &Facts) -> Vec<Missing> {
    let without: Vec<&Name> = facts
        .hosts
        .iter()
        .filter(|h| h.backup_ago.is_none_or(|age| age > HOST_BACKUP_AGE))
        .map(|h| &h.host)
        .collect();
    if without.is_empty() {
        return Vec::new();
    }
    // A host of several can be installed afresh and join again; the only one can't.
    let colour = if facts.hosts.len() < 2 { Colour::Red } else { Colour::Yellow };
    vec![missing(
        colour,
        format!(
            "no backup of the configuration younger than 30 days is known of host {}",
            some(&without)
        ),
        "xe host-backup file-name=... host=...",
    )]
}

fn machine(facts: &Facts) -> Vec<Missing> {
    // Another host still has everything; the only one's replacement needs a dump.
    if facts.hosts.len() < 2 { pool(facts) } else { coordinator(facts) }
}

fn vm_storage(facts: &Facts) -> Vec<Missing> {
    let mut found = Vec::new();
    let without: Vec<&Name> = facts.without_backup.iter().collect();
    if !without.is_empty() {
        found.push(missing(
            Colour::Red,
            format!("no backup outside their repository is known of VM {}", some(&without)),
            "xe vm-export vm=... filename=...",
        ));
    }
    if !facts.definitions_on_storage && dumps(facts).iter().any(|m| m.colour == Colour::Red) {
        found.push(missing(
            Colour::Red,
            "VM definitions stand neither beside the disks nor in a dump".to_owned(),
            "xe pool-dump-database file-name=...",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn name(number: u128, label: &str) -> Name {
        Name::new(Uuid::from_u128(number), label)
    }

    /// Three hosts, everything kept outside, one agile VM each.
    fn ready() -> Facts {
        let host = |n: u128| HostFacts {
            host: name(n, &format!("h{n}")),
            usable: true,
            free_bytes: 4 << 30,
            has_power_control: true,
            backup_ago: Some(Duration::from_secs(3600)),
        };
        let guest = |n: u128| GuestFacts {
            vm: name(10 + n, &format!("vm{n}")),
            on: name(n, &format!("h{n}")),
            memory_bytes: 1 << 30,
            is_agile: true,
        };
        Facts {
            pool: name(9, "pool"),
            hosts: vec![host(1), host(2), host(3)],
            voters: 3,
            voters_answering: 3,
            guests: vec![guest(1), guest(2), guest(3)],
            dumps: DumpFacts {
                targets: 1,
                newest_ago: Some(Duration::from_secs(600)),
                allowed_age: None,
                failing: Vec::new(),
                key_is_kept: true,
            },
            without_backup: Vec::new(),
            definitions_on_storage: true,
        }
    }

    fn colours(facts: &Facts) -> [Colour; 6] {
        readiness(facts)
            .iter()
            .map(Row::colour)
            .collect::<Vec<_>>()
            .try_into()
            .expect("one row for each kind")
    }

    #[test]
    fn each_thing_that_is_missing_colours_the_rows_that_need_it_and_no_others() {
        use Colour::{Green as G, Red as R, Yellow as Y};
        type Change = fn(&mut Facts);
        // member, coordinator, pool, configuration, machine, vm-storage
        let table: &[(&str, Change, [Colour; 6])] = &[
            ("all is well", |_| {}, [G, G, G, G, G, G]),
            ("no dump target", |f| f.dumps.targets = 0, [G, G, R, G, G, G]),
            ("no dump", |f| f.dumps.newest_ago = None, [G, G, R, G, G, G]),
            (
                "dump too old",
                |f| f.dumps.newest_ago = Some(Duration::from_secs(25 * 3600)),
                [G, G, R, G, G, G],
            ),
            (
                "dump older than its timetable",
                |f| f.dumps.allowed_age = Some(Duration::from_secs(60)),
                [G, G, R, G, G, G],
            ),
            (
                "a target fails",
                |f| f.dumps.failing.push(("/mnt/a".to_owned(), "it is full".to_owned())),
                [G, G, Y, G, G, G],
            ),
            ("key kept nowhere", |f| f.dumps.key_is_kept = false, [G, G, Y, G, G, G]),
            ("a voter is silent", |f| f.voters_answering = 2, [R, R, G, G, R, G]),
            ("a local disk", |f| f.guests[0].is_agile = false, [Y, G, G, G, G, G]),
            ("no memory", |f| f.guests[1].memory_bytes = 5 << 30, [Y, G, G, G, G, G]),
            ("no power control", |f| f.hosts[2].has_power_control = false, [Y, G, G, G, G, G]),
            ("no host backup", |f| f.hosts[0].backup_ago = None, [G, G, G, Y, G, G]),
            ("no VM backup", |f| f.without_backup.push(name(11, "vm1")), [G, G, G, G, G, R]),
            (
                "one host",
                |f| {
                    f.hosts.truncate(1);
                    f.guests.truncate(1);
                    (f.voters, f.voters_answering) = (1, 1);
                },
                [R, R, G, G, G, G],
            ),
            (
                "one host without a dump",
                |f| {
                    f.hosts.truncate(1);
                    f.guests.truncate(1);
                    (f.voters, f.voters_answering) = (1, 1);
                    f.dumps.newest_ago = None;
                },
                [R, R, R, G, R, G],
            ),
            (
                "two hosts",
                |f| {
                    f.hosts.truncate(2);
                    f.guests.truncate(2);
                    (f.voters, f.voters_answering) = (1, 1);
                },
                [R, R, G, G, R, G],
            ),
        ];
        for (what, change, expected) in table {
            let mut facts = ready();
            change(&mut facts);
            assert_eq!(colours(&facts), *expected, "{what}: {:#?}", readiness(&facts));
        }
    }

    #[test]
    fn what_is_missing_names_the_object_and_the_command() {
        let mut facts = ready();
        facts.guests[0].memory_bytes = 9 << 30;
        let rows = readiness(&facts);
        let member = &rows[0].missing[0];
        assert!(
            member.what.contains("VM vm1 (") && member.what.contains("host h1 ("),
            "{member:?}"
        );
        for row in readiness(&Facts { dumps: DumpFacts::default(), ..facts }) {
            assert!(row.missing.iter().all(|m| m.next.contains("xe ") || m.next.contains("keep")));
        }
    }
}
