//! The whole pool is gone: its database comes back from a dump, on the same kind of machines and on others.

use std::path::Path;
use std::time::Duration;

use lab::process::Finished;
use tests::guests::{count, counter_start, disk_give, disk_make, vm_make};
use tests::{PoolLab, until};

const LONG: Duration = Duration::from_secs(120);
/// Longest boot of a test guest on a busy machine, translated.
const BOOT: Duration = Duration::from_secs(180);
const MAC: &str = "02:48:46:9e:05:01";

fn shell(lab: &PoolLab, host: &str, script: &str) -> String {
    let done = lab.exec(host, &["sh", "-c", script]);
    assert!(done.status.success(), "{script} on {host}: {}{}", done.stdout, done.stderr);
    done.stdout.trim().to_owned()
}

/// What both ways a command speaks.
fn all(done: &Finished) -> String {
    format!("{}{}", done.stdout, done.stderr)
}

fn refused(done: &Finished, why: &str) {
    assert!(!done.status.success() && all(done).contains(why), "not refused for {why:?}: {done:?}");
}

/// A new machine in a host's place: everything that it kept is gone.
fn replace(lab: &PoolLab, hosts: &[&str]) {
    for host in hosts {
        lab.run(&["fail", host, "power"]);
    }
    for host in hosts {
        let disk = lab.disk_of(host);
        // Where state stands by itself, and where the layer keeps it that forgets what was not synced.
        for kept in ["var/lib/holdfast", "strict"] {
            for entry in std::fs::read_dir(disk.join(kept)).expect("the host's state").flatten() {
                remove(&entry.path());
            }
        }
        lab.run(&["heal", host, "power"]);
    }
}

fn remove(path: &Path) {
    let gone =
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    gone.expect("the host is off");
}

/// Waits until a host is a pool of its own that is not `old`; its uuid.
fn fresh(lab: &PoolLab, host: &str, old: &str) -> String {
    until(&format!("{host} to start afresh"), LONG, || {
        let pool = lab.xe(host, &["pool-list", "--minimal"]);
        let own = lab.xe(host, &["host-list", "--minimal"]);
        let new = pool.status.success()
            && own.status.success()
            && !pool.stdout.trim().is_empty()
            && pool.stdout.trim() != old;
        new.then(|| own.stdout.trim().to_owned()).ok_or_else(|| all(&pool))
    })
}

fn pool_is(lab: &PoolLab, host: &str, pool: &str) {
    until(&format!("{host} to be in the restored pool"), LONG, || {
        let now = lab.xe(host, &["pool-list", "--minimal"]);
        (now.stdout.trim() == pool).then_some(()).ok_or_else(|| all(&now))
    });
}

/// Both hosts of a pool are replaced; the newest scheduled dump is restored on the first, the second joins, and the VMs
/// start in order as one job. What can't be restored, and where, is refused with the reason.
///
/// proves: S1-29 (lab), S1-30 (lab)
#[test]
fn a_lost_pool_comes_back_from_its_dump_on_fresh_hosts() {
    let lab = PoolLab::up(2);
    let pool = lab.said("h1", &["pool-list", "--minimal"]);
    let guest = counter_start(&lab, "h1", "counts", MAC);
    let second = vm_make(&lab, "h1", "second");
    let vdi = disk_make(&lab, "h1", "of second");
    disk_give(&lab, "h1", &second, &vdi, 0);
    for (vm, order) in [(&guest, "order=2"), (&second, "order=1")] {
        lab.said("h1", &["vm-param-set", &format!("uuid={vm}"), order]);
    }
    // Outside the pool: where dumps go, and a copy of the pool's key.
    shell(
        &lab,
        "h1",
        "mkdir /srv/shared/outside && cp /var/lib/holdfast/pool.key /srv/shared/outside/",
    );
    let own = format!("uuid={pool}");
    for pair in ["dump_keep=2", "dump_interval_s=3", "dump_targets=/srv/shared/outside"] {
        lab.said("h1", &["pool-param-set", &own, &format!("other-config:holdfast:{pair}")]);
    }
    // One that was made after everything else.
    let made = shell(&lab, "h1", "date +%s").parse::<u64>().expect("a time");
    let at = ["pool-param-get", &own, "param-name=other-config", "param-key=holdfast:dump_newest"];
    until("a dump", LONG, || {
        let done = lab.xe("h1", &at);
        let newest = done.stdout.trim().parse::<u64>().unwrap_or(0);
        (newest > made).then_some(()).ok_or_else(|| all(&done))
    });

    let newest = "$(ls /srv/shared/outside/pool-*z | tail -1)";
    let restore = |more: &str| {
        let line = format!("xe pool-restore-database file-name={newest} {more}");
        lab.exec("h1", &["sh", "-c", &line])
    };
    let key = "pool-key-file=/srv/shared/outside/pool.key";
    // Here runs a VM, in a pool of two.
    refused(&restore("dry-run=true"), "this host is in a pool with");

    replace(&lab, &["h1", "h2"]);
    let new = fresh(&lab, "h1", &pool);
    fresh(&lab, "h2", &pool);
    let alone = lab.said("h1", &["pool-list", "--minimal"]);

    // A file that is no whole dump: the place is named, nothing is changed.
    shell(&lab, "h1", &format!("f={newest}; head -c $(($(stat -c %s $f) / 2)) $f >/var/tmp/half"));
    let half = lab.xe("h1", &["pool-restore-database", "file-name=/var/tmp/half", "dry-run=true"]);
    refused(&half, "damaged");
    refused(&half, "line");
    shell(&lab, "h1", "echo '<?xml version=\"1.0\"?>' >/var/tmp/xapi");
    let xml = lab.xe("h1", &["pool-restore-database", "file-name=/var/tmp/xapi", "dry-run=true"]);
    refused(&xml, "XenServer");
    // A dry run tells, and changes nothing.
    let dry = restore(&format!("dry-run=true {key}"));
    assert!(dry.status.success(), "{dry:?}");
    for line in [
        "nothing was changed",
        "VM 'counts'",
        "was Running on 'h1'",
        "reached from here",
        "2 of 2 VMs could",
    ] {
        assert!(dry.stdout.contains(line), "{line:?} is not in {}", dry.stdout);
    }
    // A person has to say that the old hosts are off.
    refused(&restore("--force"), "confirm=\"h");
    refused(&restore("--force confirm='h1 is off'"), "'h2'");
    refused(&restore("--force confirm='h1,h2 are off' pool-key-file=/etc/hostname"), "pool key");
    assert_eq!(lab.said("h1", &["pool-list", "--minimal"]), alone, "a refusal changed something");

    let done = restore(&format!("--force confirm='h1,h2 are off' {key}"));
    assert!(done.status.success(), "{done:?}");
    pool_is(&lab, "h1", &pool);
    // What was on the lost machines themselves is lost, and said; the rest is usable.
    let report = until("the shared repository to be usable", LONG, || {
        let report = lab.xe("h1", &["pool-restore-report"]);
        let attached =
            report.stdout.lines().any(|l| l.contains("'shared'") && l.ends_with(": usable"));
        if attached { Ok(report) } else { Err(all(&report)) }
    });
    assert_eq!(report.status.code(), Some(6), "{report:?}");
    let local: Vec<&str> = report.stdout.lines().filter(|l| l.contains("NOT usable")).collect();
    assert!(
        local.len() == 2 && local.iter().all(|l| l.contains("it was local to host h")),
        "{local:?}"
    );
    for name in ["local h1", "local h2"] {
        let lost = lab.said("h1", &["sr-list", &format!("name-label={name}"), "--minimal"]);
        lab.said("h1", &["sr-forget", &format!("uuid={lost}")]);
    }
    let report = lab.said("h1", &["pool-restore-report"]);
    assert!(report.contains("Restored at") && report.contains("VM 'counts'"), "{report}");
    assert_eq!(lab.said("h1", &["host-list", "--minimal"]), new, "one host, and not the lost one");
    let halted = ["vm-list", "power-state=halted", "is-control-domain=false", "--minimal"];
    assert_eq!(lab.said("h1", &halted).split(',').count(), 2);

    // The second machine joins, and the VMs start as one job.
    let password = lab.status()["password"].as_str().expect("a password").to_owned();
    let password = format!("master-password={password}");
    let join = ["pool-join", "master-address=10.90.0.1", "master-username=root", &password];
    lab.said("h2", &join);
    pool_is(&lab, "h2", &pool);
    until("both to have the repository", LONG, || {
        let report = lab.xe("h2", &["pool-restore-report"]);
        report.status.success().then_some(()).ok_or_else(|| all(&report))
    });
    let started = lab.xe(
        "h2",
        &["vm-start-in-order", "power-state=halted", "is-control-domain=false", "--multiple"],
    );
    assert!(started.status.success(), "{started:?}");
    until("the guest to count", BOOT, || count(&lab, MAC).map(drop));
    let running = ["vm-list", "power-state=running", "is-control-domain=false", "--minimal"];
    assert_eq!(lab.said("h1", &running).split(',').count(), 2);
    // Not here either: it runs a VM, and is in a pool.
    let line = format!("xe pool-restore-database file-name={newest} dry-run=true");
    refused(&lab.exec("h2", &["sh", "-c", &line]), "this host is in a pool with");
}

/// A dump of a machine with three cards is restored on one whose cards are renamed, fewer and more; one repository is gone.
///
/// proves: S1-26 (lab), S1-27 (lab), S1-28 (lab)
#[test]
fn a_dump_is_restored_on_other_hardware_and_what_does_not_fit_is_said() {
    let lab = PoolLab::up_with(2, &["--no-pool"], Duration::from_secs(180));
    // Two machines with cards of their own, seen by their first start.
    let card = |name: &str, bridge: &str, mac: &str| {
        format!(
            "ip link add {bridge} type bridge && ip link add {name} type veth peer name p{name} && \
             ip link set {name} address {mac} && ip link set {name} master {bridge}"
        )
    };
    let cards = [
        (
            "h1",
            [card("card1", "br1", "02:00:00:00:00:01"), card("card2", "br2", "02:00:00:00:00:02")],
        ),
        (
            "h2",
            [card("lan9", "br2", "02:00:00:00:00:01"), card("extra", "br1", "02:00:00:00:00:03")],
        ),
    ];
    for (host, cards) in &cards {
        let old = lab.said(host, &["pool-list", "--minimal"]);
        lab.run(&["fail", host, "daemon"]);
        shell(&lab, host, &cards.join(" && "));
        shell(&lab, host, "rm -rf /var/lib/holdfast/*");
        lab.run(&["heal", host, "daemon"]);
        fresh(&lab, host, &old);
    }
    let pool = lab.said("h1", &["pool-list", "--minimal"]);
    let h1 = lab.said("h1", &["host-list", "--minimal"]);
    let sr = |label: &str, at: &str| {
        shell(&lab, "h1", &format!("mkdir -p {at}"));
        let (name, host) = (format!("name-label={label}"), format!("host-uuid={h1}"));
        let location = format!("device-config:location={at}");
        lab.said("h1", &["sr-create", &name, &host, "type=file", "shared=true", &location])
    };
    let (kept, gone) = (sr("shared", "/srv/shared/kept"), sr("gone", "/srv/shared/gone"));
    let vm = |label: &str, sr: &str| {
        let (template, own) = ("template=Other install media", format!("new-name-label={label}"));
        let vm = lab.said("h1", &["vm-install", template, &own, &format!("sr-uuid={sr}")]);
        let make = [
            "vdi-create",
            &format!("sr-uuid={sr}"),
            "name-label=disk",
            "virtual-size=16MiB",
            "type=user",
        ];
        let vdi = lab.said("h1", &make);
        disk_give(&lab, "h1", &vm, &vdi, 0);
        vm
    };
    let well = vm("well", &kept);
    vm("lame", &gone);
    let network =
        |bridge: &str| lab.said("h1", &["network-list", &format!("bridge={bridge}"), "--minimal"]);
    let (first, second) = (network("br1"), network("br2"));
    for (net, device) in [(&first, "device=0"), (&second, "device=1")] {
        let of = format!("vm-uuid={well}");
        lab.said("h1", &["vif-create", &of, &format!("network-uuid={net}"), device, "mac=random"]);
    }
    lab.said("h1", &["pool-dump-database", "file-name=/srv/shared/dump"]);
    shell(&lab, "h1", "mv /srv/shared/gone /srv/shared/moved");

    let before = lab.said("h2", &["pool-list", "--minimal"]);
    let restore = |more: &[&str]| {
        let line = [&["pool-restore-database", "file-name=/srv/shared/dump"][..], more].concat();
        lab.xe("h2", &line)
    };
    refused(&restore(&["dry-run=true"]), "answers");
    lab.run(&["fail", "h1", "power"]);

    let dry = restore(&["dry-run=true"]);
    assert!(dry.status.success(), "{dry:?}");
    for line in [
        "card card1 (02:00:00:00:00:01) -> lan9 (02:00:00:00:00:01), same MAC address; bridge br2",
        "NO card of this machine",
        "card extra (02:00:00:00:00:03)",
        "takes nothing's place",
        "host 'h1'",
        "secrets: NOT opened",
        "repository 'gone'",
        "NOT reached from here",
        "1 of 2 VMs could start on this host",
        "VM 'lame'",
    ] {
        assert!(dry.stdout.contains(line), "{line:?} is not in {}", dry.stdout);
    }
    // Maps are followed, and a wrong one names what there is.
    let mapped =
        restore(&["dry-run=true", "nic-map:card2=extra", "sr-map:gone=location=/srv/shared/moved"]);
    for line in
        ["card card2 (02:00:00:00:00:02) -> extra (02:00:00:00:00:03), as given", "2 of 2 VMs"]
    {
        assert!(mapped.stdout.contains(line), "{line:?} is not in {}", all(&mapped));
    }
    refused(&restore(&["dry-run=true", "nic-map:card2=none1"]), "Cards of this machine");
    refused(&restore(&["dry-run=true", "sr-map:strange=location=/x"]), "'strange'");
    assert_eq!(lab.said("h2", &["pool-list", "--minimal"]), before, "a dry run changed something");

    let done = restore(&["--force", "confirm=h1 is off"]);
    assert!(done.status.success(), "{done:?}");
    pool_is(&lab, "h2", &pool);
    // One repository is missing: the report says so, and which VM suffers from it.
    let report = until("the report on what is attached", LONG, || {
        let done = lab.xe("h2", &["pool-restore-report"]);
        let attached = done.stdout.contains(&format!("repository 'shared' ({kept}): usable"));
        if attached { Ok(done) } else { Err(all(&done)) }
    });
    assert_eq!(report.status.code(), Some(6), "{report:?}");
    for line in [
        format!("repository 'gone' ({gone}): NOT usable: not attached on host h2"),
        "VM 'lame'".to_owned(),
        format!("is on repository gone ({gone}), which is not usable"),
        format!("VM 'well' ({well}): usable, but network"),
    ] {
        assert!(report.stdout.contains(&line), "{line:?} is not in {}", report.stdout);
    }
    let bridge = |net: &str| {
        lab.said("h2", &["network-list", &format!("uuid={net}"), "params=bridge", "--minimal"])
    };
    // br2 is another network's bridge on this machine, so the one that had it gets a bridge of its own.
    assert_eq!(bridge(&first), "br2");
    assert!(bridge(&second).starts_with("xapi"), "{}", bridge(&second));
}

/// After a restore on a fresh host two hosts of the lost pool come back after all, a majority of its voters with their old
/// state: they learn from the shared repository that their lineage has ended, take no write and can't be made to.
#[test]
fn hosts_of_a_lost_pool_that_come_back_after_its_restore_take_no_writes() {
    let lab = PoolLab::up(3);
    let pool = lab.said("h1", &["pool-list", "--minimal"]);
    lab.said("h1", &["pool-dump-database", "file-name=/srv/shared/dump"]);
    shell(&lab, "h1", "cp /var/lib/holdfast/pool.key /srv/shared/key");
    for host in ["h2", "h3"] {
        lab.run(&["fail", host, "power"]);
    }
    replace(&lab, &["h1"]);
    fresh(&lab, "h1", &pool);
    let restore = [
        "pool-restore-database",
        "file-name=/srv/shared/dump",
        "pool-key-file=/srv/shared/key",
        "--force",
        "confirm=h1,h2,h3 are off",
    ];
    let done = lab.xe("h1", &restore);
    assert!(done.status.success(), "{done:?}");
    pool_is(&lab, "h1", &pool);
    for host in ["h2", "h3"] {
        lab.run(&["heal", host, "power"]);
    }
    let own = format!("uuid={pool}");
    let write = ["pool-param-set", &own, "other-config:stale=yes"];
    let never_written = |host: &str| {
        let done = lab.xe(host, &write);
        assert!(
            !done.status.success(),
            "{host} wrote into the database of the lost pool: {done:?}"
        );
        done
    };
    for host in ["h2", "h3"] {
        until(&format!("{host} to know that its pool goes on elsewhere"), LONG, || {
            never_written(host);
            let said = lab.xe(host, &["pool-emergency-transition-to-master", "confirm=h1 is off"]);
            assert!(!said.status.success(), "{host} founded a database: {said:?}");
            let knows = all(&said).contains("epoch");
            knows.then_some(()).ok_or_else(|| all(&said))
        });
        never_written(host);
    }
    let done = lab.xe("h1", &["pool-param-set", &own, "other-config:stale=no"]);
    assert!(done.status.success(), "the restored pool takes writes: {done:?}");
}

/// VMs that are restarted after the whole pool was off.
const MANY: usize = 20;
/// Longest start of all of them on a busy machine.
const START_ALL: Duration = Duration::from_secs(300);

/// Power fails everywhere; afterwards one command starts all twenty VMs, those of a lower order first and not all at a
/// time, and its report and exit code say which two did not start, and why. Run again it tries those two alone.
///
/// proves: S1-37 (lab)
#[test]
fn one_command_restarts_twenty_vms_in_order_and_reports_the_two_that_fail() {
    let lab = PoolLab::up(2);
    let mut made = Vec::new();
    for number in 0..MANY {
        let name = format!("vm{number:02}");
        let vm = vm_make(&lab, "h1", &name);
        let order = format!("order={}", number % 3);
        lab.said("h1", &["vm-param-set", &format!("uuid={vm}"), &order]);
        made.push((name, vm));
    }
    // Two that can't start: no host has that much memory.
    let broken = [&made[3], &made[13]];
    for (_, vm) in broken {
        let uuid = format!("uuid={vm}");
        let limits =
            ["static-min=64MiB", "dynamic-min=8TiB", "dynamic-max=8TiB", "static-max=8TiB"];
        lab.said("h1", &[&["vm-memory-limits-set", &uuid][..], &limits].concat());
    }
    for host in ["h1", "h2"] {
        lab.run(&["fail", host, "power"]);
    }
    for host in ["h1", "h2"] {
        lab.run(&["heal", host, "power"]);
    }
    for host in ["h1", "h2"] {
        until(&format!("{host} to take writes again"), LONG, || {
            let done = lab.xe(host, &["network-create", "name-label=written"]);
            done.status.success().then_some(()).ok_or_else(|| all(&done))
        });
    }

    let all_halted = ["--multiple", "power-state=halted", "is-control-domain=false"];
    let start = || -> Finished {
        let line = [&["exec", "h1", "--", "xe", "vm-start-in-order"][..], &all_halted].concat();
        lab::process::run(lab.command(&line), None, START_ALL).expect("it can be run")
    };
    let done = start();
    assert_eq!(done.status.code(), Some(6), "some failed: {}", all(&done));
    let lines =
        |word: &str| -> Vec<&str> { done.stdout.lines().filter(|l| l.starts_with(word)).collect() };
    assert_eq!(lines("started").len(), MANY - broken.len(), "{}", all(&done));
    let failed = lines("failed");
    assert_eq!(failed.len(), broken.len(), "{}", all(&done));
    for (name, vm) in broken {
        let named = format!("VM '{name}' ({vm})");
        let line = failed.iter().find(|l| l.contains(&named)).expect("it is named");
        assert!(line.contains("MiB") && line.contains("h1"), "the reason is missing: {line}");
    }
    // In order: nobody of a later order had begun before the earlier ones ran.
    let state = |vm: &str| {
        lab.said("h1", &["vm-param-get", &format!("uuid={vm}"), "param-name=power-state"])
    };
    let started_at = |vm: &str| {
        lab.said("h1", &["vm-param-get", &format!("uuid={vm}"), "param-name=start-time"])
    };
    let mut times: Vec<Vec<String>> = vec![Vec::new(); 3];
    for (number, (_, vm)) in made.iter().enumerate() {
        let fails = broken.iter().any(|(_, b)| b == vm);
        assert_eq!(state(vm), if fails { "halted" } else { "running" });
        if !fails {
            times[number % 3].push(started_at(vm));
        }
    }
    for pair in times.windows(2) {
        let (last, first) =
            (pair[0].iter().max().expect("some"), pair[1].iter().min().expect("some"));
        assert!(last <= first, "{last} after {first}");
    }

    // Nothing is started twice, and the two are tried again.
    let again = start();
    assert_eq!(again.status.code(), Some(1), "nothing was done: {}", all(&again));
    assert!(again.stdout.contains("0 started, 2 failed"), "{}", all(&again));
}

/// The bytes of every file of a host's local repository but Holdfast's own notes, by name.
fn images(lab: &PoolLab, host: &str) -> String {
    shell(
        lab,
        host,
        "cd /srv/local && find . -path ./.holdfast -prune -o -type f -exec sha256sum {} + | sort",
    )
}

/// A host is installed anew and its data disk is kept: one command adopts the repository that is on it, in the host's own
/// new pool and in the old pool that it joins again; disks and VMs are there, not a byte of a disk has changed, and what
/// was done already is not done twice.
///
/// proves: S2-32 (lab)
#[test]
fn a_reinstalled_host_adopts_the_repository_on_the_disks_that_were_kept() {
    let lab = PoolLab::up(3);
    let pool = lab.said("h1", &["pool-list", "--minimal"]);
    let old = lab.said("h1", &["host-list", "name-label=h3", "--minimal"]);
    let sr = lab.said("h1", &["sr-list", "name-label=local h3", "--minimal"]);
    let (of_sr, at) = (format!("sr-uuid={sr}"), "device-config:location=/srv/local");
    let vm = vm_make(&lab, "h1", "kept");
    let own = format!("uuid={vm}");
    let make = ["vdi-create", &of_sr, "name-label=ledger", "virtual-size=64MiB", "type=user"];
    let vdi = lab.said("h1", &make);
    disk_give(&lab, "h1", &vm, &vdi, 0);
    let image = format!("/srv/local/{vdi}.qcow2");
    lab.run(&["exec", "h3", "--", "qemu-io", "-c", "write -P 0x5a 1M 4M", &image]);
    until("the definition to be written beside the disk", LONG, || {
        let done = lab.exec("h3", &["grep", "-rqs", &vm, "/srv/local/.holdfast"]);
        done.status.success().then_some(()).ok_or_else(|| all(&done))
    });
    let before = images(&lab, "h3");
    assert!(before.contains(&vdi), "{before}");

    // Installed anew: it is a pool of its own, and knows nothing.
    replace(&lab, &["h3"]);
    let new = fresh(&lab, "h3", &pool);
    assert_ne!(new, old);
    let host = format!("host-uuid={new}");
    let adopt = |more: &[&str]| lab.xe("h3", &[&["sr-adopt", at, &host][..], more].concat());
    assert_eq!(lab.said("h3", &["vm-list", &own, "--minimal"]), "");
    refused(&lab.xe("h3", &["sr-adopt", "device-config:location=/srv/iso"]), "no repository");
    let probed = lab.said("h3", &["sr-probe", "type=file", at, &host]);
    assert!(probed.contains(&sr), "{probed}");
    let plan = adopt(&["dry-run=true"]);
    assert!(plan.status.success() && plan.stdout.contains(&sr), "{}", all(&plan));
    assert_eq!(lab.said("h3", &["sr-list", &format!("uuid={sr}"), "--minimal"]), "", "a dry run");
    // One step was done by hand before: it goes on from there.
    let introduce = ["sr-introduce", &format!("uuid={sr}"), "type=file", "name-label=my own name"];
    lab.said("h3", &[&introduce[..], &["content-type=user"]].concat());
    for round in ["first", "again"] {
        let done = adopt(&[]);
        assert!(done.status.success(), "{round}: {}", all(&done));
        for line in [format!("'ledger' ({vdi})"), format!("'kept' ({vm}), halted")] {
            assert!(done.stdout.contains(&line), "{round}: {line} is not in {}", done.stdout);
        }
    }
    let pbds = lab.said("h3", &["pbd-list", &of_sr, "--minimal"]);
    assert_eq!(pbds.split(',').count(), 1, "nothing is made twice");
    assert_eq!(images(&lab, "h3"), before);
    lab.said("h3", &["vm-start", &own]);
    lab.said("h3", &["vm-shutdown", &own, "force=true"]);
    assert_eq!(images(&lab, "h3"), before);

    // Installed once more, and this time it joins its old pool, which has forgotten the old host.
    lab.run(&["fail", "h3", "power"]);
    let forget = ["host-forget", &format!("uuid={old}"), "force=true", "confirm=h3 is powered off"];
    until("the old host to be forgotten", LONG, || {
        let done = lab.xe("h1", &forget);
        done.status.success().then_some(()).ok_or_else(|| all(&done))
    });
    let alone = lab.said("h1", &["host-list", "--minimal"]);
    assert_eq!(alone.split(',').count(), 2, "{alone}");
    replace(&lab, &["h3"]);
    let new = fresh(&lab, "h3", &pool);
    let address = lab.said("h1", &["host-list", "name-label=h1", "params=address", "--minimal"]);
    let status = lab.status();
    let password = status["password"].as_str().expect("a lab has a password");
    let (master, password) =
        (format!("master-address={address}"), format!("master-password={password}"));
    lab.said("h3", &["pool-join", &master, "master-username=root", &password]);
    pool_is(&lab, "h3", &pool);
    let host = format!("host-uuid={new}");
    let done = until("the repository to be adopted into the old pool", LONG, || {
        let done = lab.xe("h1", &["sr-adopt", at, &host]);
        if done.status.success() { Ok(done) } else { Err(all(&done)) }
    });
    assert!(
        done.stdout.contains("known    the pool has its record, 'local h3'"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains(&format!("'kept' ({vm}), halted")), "{}", done.stdout);
    assert_eq!(images(&lab, "h3"), before);
    lab.said("h1", &["vm-start", &own]);
    let on = lab.said("h1", &["vm-list", &own, "params=resident-on", "--minimal"]);
    assert_eq!(on, new, "it runs where its disk is");
}
