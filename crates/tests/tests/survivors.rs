//! Whatever minority of a pool is gone, the rest has everything and leads itself.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::guests::{disk_give, disk_make, vm_make};
use tests::{PoolLab, until};

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
/// Classes whose objects are compared.
const CLASSES: &[&str] =
    &["pool", "host", "vm", "vdi", "vbd", "vif", "sr", "pbd", "network", "pif", "sm"];
/// Longest wait for a new coordinator and for writes.
const TAKEOVER: Duration = Duration::from_secs(30);
/// Longest return of a host.
const RETURN: Duration = Duration::from_secs(90);

/// Every object as a host knows it: class and uuids, and what was written last.
fn everything(lab: &PoolLab, host: &str) -> BTreeMap<String, Vec<String>> {
    let sorted = |text: String| {
        let mut all: Vec<String> = text.split(',').map(str::to_owned).collect();
        all.sort();
        all
    };
    let mut known: BTreeMap<String, Vec<String>> = CLASSES
        .iter()
        .map(|class| {
            let list = format!("{class}-list");
            ((*class).to_owned(), sorted(lab.said(host, &[&list, "--minimal"])))
        })
        .collect();
    let labels = lab.said(host, &["network-list", "params=name-label", "--minimal"]);
    known.insert("labels of networks".to_owned(), sorted(labels));
    known
}

/// Each host in turn loses its power for good as far as the others can tell, unsynced bytes and all. The others know every object and
/// every acknowledged write, one of them leads, and writes go on; then it comes back and another one goes.
///
/// proves: S1-15 (lab)
#[test]
fn any_minority_may_be_destroyed_and_nothing_is_lost() {
    let lab = PoolLab::up(3);
    let vm = vm_make(&lab, "h1", "kept");
    let vdi = disk_make(&lab, "h2", "kept");
    disk_give(&lab, "h3", &vm, &vdi, 0);
    for victim in HOSTS {
        let survivors: Vec<&str> = HOSTS.into_iter().filter(|host| *host != victim).collect();
        // The last writes before the end go through the one that ends.
        for number in 0..5 {
            lab.said(victim, &["network-create", &format!("name-label={victim} wrote {number}")]);
        }
        let before = everything(&lab, victim);
        lab.run(&["fail", victim, "power"]);
        for host in &survivors {
            // At once it answers; the last write may take until there is a leader that says it was acknowledged.
            until(&format!("{host} to know all that {victim} had"), TAKEOVER, || {
                let known = everything(&lab, host);
                (known == before).then_some(()).ok_or_else(|| format!("{known:?}, not {before:?}"))
            });
        }
        let lost =
            lab.said(survivors[0], &["host-list", &format!("name-label={victim}"), "--minimal"]);
        for host in &survivors {
            until("a survivor to lead", TAKEOVER, || {
                let leader = lab.said(host, &["pool-list", "params=master", "--minimal"]);
                (leader != lost).then_some(()).ok_or(leader)
            });
            until("a write through a survivor", TAKEOVER, || {
                let label = format!("name-label={host} wrote without {victim}");
                let done = lab.xe(host, &["network-create", &label]);
                done.status.success().then_some(()).ok_or(done.stderr)
            });
        }
        let after = everything(&lab, survivors[0]);
        lab.run(&["heal", victim, "power"]);
        until("the host to be back with what it missed", RETURN, || {
            let there = lab.xe(victim, &["network-list", "--minimal"]);
            if !there.status.success() {
                return Err(there.stderr);
            }
            let seen = everything(&lab, victim);
            (seen == after).then_some(()).ok_or_else(|| format!("{seen:?}"))
        });
        // Its voter votes again before the next one goes.
        until("a write through the host that is back", RETURN, || {
            let done = lab.xe(
                victim,
                &["vm-param-set", &format!("uuid={vm}"), &format!("name-description={victim}")],
            );
            done.status.success().then_some(()).ok_or(done.stderr)
        });
    }
}
