//! Dumps that the pool makes by itself: when, where, how many, and what is said when none is good.

use std::time::Duration;

use tests::{PoolLab, until};

const LONG: Duration = Duration::from_secs(120);

struct Seen {
    lab: PoolLab,
    pool: String,
}

impl Seen {
    fn set(&self, key: &str, value: &str) {
        let pair = format!("other-config:holdfast:{key}={value}");
        self.lab.said("h1", &["pool-param-set", &self.pool, &pair]);
    }

    fn shell(&self, script: &str) -> String {
        let done = self.lab.exec("h1", &["sh", "-c", script]);
        assert!(done.status.success(), "{script}: {done:?}");
        done.stdout
    }

    fn dumps(&self, directory: &str) -> Vec<String> {
        self.shell(&format!("ls {directory}")).lines().map(str::to_owned).collect()
    }

    fn alerts(&self) -> String {
        let list = ["message-list", "name=HOLDFAST_POOL_DUMP_OVERDUE", "params=body"];
        self.lab.said("h1", &list)
    }

    /// Waits for an alert that says so.
    fn alerted(&self, about: &str) {
        until(&format!("an alert about {about}"), LONG, || {
            let said = self.alerts();
            said.contains(about).then_some(()).ok_or(said)
        });
    }
}

/// No dump for the set time alerts, once for each target and with the reason; dumps come by the timetable, each loaded from
/// where it was written; the oldest go; a target without room keeps what it has, and its file system is not filled.
///
/// proves: S1-25 (lab)
#[test]
fn dumps_are_made_by_the_timetable_and_none_for_the_set_time_alerts() {
    let lab = PoolLab::up(2);
    let pool = format!("uuid={}", lab.said("h1", &["pool-list", "--minimal"]));
    // Both hosts have the same targets; the coordinator writes.
    let coordinator = lab.said("h1", &["pool-list", "params=master", "--minimal"]);
    let h1 = lab.said("h1", &["host-list", "name-label=h1", "--minimal"]);
    if coordinator != h1 {
        lab.said("h1", &["pool-designate-new-master", &format!("host-uuid={h1}")]);
    }
    let seen = Seen { lab, pool };
    seen.set("dump_alert_after_s", "4");
    seen.set("dump_interval_s", "2");
    seen.set("dump_keep", "3");

    // Where the system's own files are: refused until a person declares it.
    seen.shell("mkdir /var/tmp/dumps");
    seen.set("dump_targets", "/var/tmp/dumps, /srv/missing");
    seen.alerted("touch /var/tmp/dumps/.holdfast-dump-target");
    seen.alerted("targets are never made");
    assert!(seen.dumps("/var/tmp/dumps").is_empty());
    seen.shell("touch /var/tmp/dumps/.holdfast-dump-target");
    let first = until("a first dump", LONG, || {
        seen.dumps("/var/tmp/dumps").first().cloned().ok_or_else(|| seen.alerts())
    });
    // One target that fails does not stop the other; retention takes the oldest.
    until("the first dump to be the oldest and go", LONG, || {
        let there = seen.dumps("/var/tmp/dumps");
        assert!(there.len() <= 4, "at most three, and one in the making: {there:?}");
        (!there.contains(&first) && there.len() >= 3).then_some(()).ok_or(there.join(" "))
    });
    // What was written can be restored: it reads as a dump of this pool.
    let newest = seen.dumps("/var/tmp/dumps").last().cloned().expect("a dump");
    let newest = newest.trim_end_matches(".part");
    let head = seen.shell(&format!("head -c 40 /var/tmp/dumps/{newest}"));
    assert!(head.starts_with("{\"format\":\"holdfast-pool-dump\""), "{head}");
    let at =
        ["pool-param-get", &seen.pool, "param-name=other-config", "param-key=holdfast:dump_newest"];
    let at: i64 = seen.lab.said("h1", &at).trim().parse().expect("a time");
    assert!(at > 1_700_000_000, "{at}");

    // A small file system with little left: nothing is written, nothing of it is taken.
    seen.shell(
        "mkdir /srv/small && mount -t tmpfs -o size=2m none /srv/small && \
         head -c 1950k /dev/zero >/srv/small/somebodys && touch /srv/small/.holdfast-dump-target",
    );
    let free = || seen.shell("df --output=avail /srv/small | tail -1");
    let before = free();
    seen.set("dump_targets", "/srv/small");
    seen.alerted("stay free");
    assert_eq!(free(), before);
    assert_eq!(seen.dumps("/srv/small"), ["somebodys"]);
    // The good ones elsewhere are left alone.
    assert!(seen.dumps("/var/tmp/dumps").len() >= 3);
}
