//! The failure table of the first source document, row by row: what its reader is told to type, typed as printed there, and
//! the way of one command.
//!
//! | row | documented | one command | tested |
//! |---|---|---|---|
//! | member | `vm-reset-powerstate`, `resetvdis.py` for each repository, `host-forget` | `host-recover` | here; `crates/lab/tests/members.rs` |
//! | coordinator | `pool-emergency-transition-to-master`, `pool-recover-slaves` | none, with a majority left | here; `crates/lab/tests/emergency.rs` |
//! | machine | the same, `vm-reset-powerstate`, a new machine joins | `host-recover`, `pool-join` | here |
//!
//! The rows pool, configuration and VM storage are told with their commands: see `docs/reference/failures.md`.

use std::time::Duration;

use lab::process::Finished;
use tests::guests::{disk_give, disk_make, vm_make};
use tests::{PoolLab, until};

/// Longest wait for anything that should take seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// How soon a host tells that it has lost its pool (S2-4).
const TOLD: Duration = Duration::from_secs(30);
/// The lock release script, where the document has it.
const RESETVDIS: &str = "/opt/xensource/sm/resetvdis.py";

/// Types a line as root on a host.
fn typed(lab: &PoolLab, host: &str, line: &str) -> Finished {
    lab.exec(host, &["sh", "-c", line])
}

/// Types a line that has to work; what it printed.
fn works(lab: &PoolLab, host: &str, line: &str) -> String {
    let done = typed(lab, host, line);
    assert!(done.status.success(), "{host}# {line}: {done:?}");
    done.stdout.trim_end().to_owned()
}

fn try_works(lab: &PoolLab, host: &str, line: &str) -> Result<String, String> {
    let done = typed(lab, host, line);
    if done.status.success() {
        Ok(done.stdout.trim_end().to_owned())
    } else {
        Err(format!("{done:?}"))
    }
}

/// Types a line that has to be refused; what it said.
fn refused(lab: &PoolLab, host: &str, line: &str) -> String {
    let done = typed(lab, host, line);
    assert!(!done.status.success(), "{host}# {line}: {done:?}");
    done.stderr
}

fn is(wanted: &str, seen: &str) -> Result<(), String> {
    if seen == wanted { Ok(()) } else { Err(format!("{seen:?} instead of {wanted:?}")) }
}

fn is_running(lab: &PoolLab, at: &str, vm: &str, host: &str) {
    let place = works(lab, at, &format!("xe vm-param-get uuid={vm} param-name=resident-on"));
    let name = works(lab, at, &format!("xe host-list uuid={place} params=name-label --minimal"));
    assert_eq!(name, host, "where VM {vm} runs");
}

/// A member with two VMs is lost three times: by the document's commands with the script's third word, without it, and by
/// one command. Without proof that the host is off each of them is refused; its power device is the proof.
///
/// proves: S1-3 (lab), S1-9 (lab), S1-10 (lab), S1-13 (lab)
#[test]
fn a_dead_member_by_the_documents_commands_and_by_one() {
    let lab = PoolLab::up(3);
    let vms = ["one", "two"].map(|name| {
        let vm = vm_make(&lab, "h1", name);
        let disk = disk_make(&lab, "h1", name);
        disk_give(&lab, "h1", &vm, &disk, 0);
        vm
    });
    let h3 = works(&lab, "h1", "xe host-list name-label=h3 --minimal");
    let sr = works(&lab, "h1", "xe sr-list name-label=shared --minimal");
    let device = format!(
        "xe host-set-power-on-mode uuid={h3} power-on-mode=fence_lab power-on-config:plug=h3"
    );
    for round in ["with the word", "without the word", "one command"] {
        until("h3 to take VMs", PATIENCE, || {
            vms.iter().try_for_each(|vm| {
                try_works(&lab, "h1", &format!("xe vm-start uuid={vm} on=h3")).map(drop)
            })
        });
        works(&lab, "h1", &format!("xe host-set-power-on-mode uuid={h3} power-on-mode="));
        let script = match round {
            "with the word" => format!("{RESETVDIS} {h3} {sr} master"),
            _ => format!("{RESETVDIS} {h3} {sr}"),
        };
        let alive = refused(&lab, "h1", &script);
        assert!(alive.contains("'h3'"), "{round}: of a host that runs: {alive}");
        lab.run(&["fail", "h3", "power"]);
        until("h3 to be missed", PATIENCE, || {
            let line = format!("xe host-liveness uuid={h3} --output json");
            let known = try_works(&lab, "h1", &line)?;
            if known.contains("\"live\"") { Err(known) } else { Ok(()) }
        });
        // Without proof nothing is given away, and the message names the host and what is missing.
        for line in [
            script.clone(),
            format!("xe vm-reset-powerstate vm={} --force < /dev/null", vms[0]),
            format!("xe host-forget uuid={h3} --force < /dev/null"),
        ] {
            let said = refused(&lab, "h1", &line);
            let proof = said.to_lowercase().contains("nothing proves");
            assert!(said.contains("'h3'") && proof, "{round}: {said}");
        }
        let own =
            works(&lab, "h1", &format!("xe vm-param-get uuid={} param-name=power-state", vms[0]));
        assert_eq!(own, "running", "{round}");
        works(&lab, "h1", &device);
        if round == "one command" {
            let plan = works(&lab, "h1", &format!("xe host-recover uuid={h3} --dry-run"));
            assert!(plan.contains("'one'") && plan.contains("'two'"), "{plan}");
            let report = works(&lab, "h1", &format!("xe host-recover uuid={h3} --force"));
            assert!(report.contains("2 started, 0 failed"), "{report}");
        } else {
            // "VDI <UUID> already attached RW" is what the document warns of; the script first, then.
            let said = works(&lab, "h1", &script);
            assert!(
                said.contains("2 disks of repository 'shared'") && said.contains("released"),
                "{round}: {said}"
            );
            for vm in &vms {
                works(&lab, "h1", &format!("xe vm-reset-powerstate vm={vm} --force"));
                let state = format!("xe vm-param-get uuid={vm} param-name=power-state");
                assert_eq!(works(&lab, "h1", &state), "halted", "{round}");
                works(&lab, "h1", &format!("xe vm-start uuid={vm} on=h2"));
                is_running(&lab, "h1", vm, "h2");
            }
        }
        for vm in &vms {
            works(&lab, "h1", &format!("xe vm-shutdown uuid={vm} --force"));
        }
        if round == "one command" {
            break;
        }
        // "Repair the dead host ... marks the member as alive again": no command beyond its power.
        lab.run(&["heal", "h3", "power"]);
    }
    works(&lab, "h1", &format!("xe host-forget uuid={h3} --force"));
    assert_eq!(works(&lab, "h1", "xe host-list --minimal").split(',').count(), 2);
}

fn told(lab: &PoolLab, host: &str, cause: &str) -> String {
    until(&format!("{host} to tell that its pool is lost ({cause})"), TOLD, || {
        let done = lab.xe(host, &["host-is-in-emergency-mode"]);
        match (done.stdout.trim(), done.stderr) {
            ("true", said) if said.contains(cause) && said.contains("since: ") => Ok(said),
            (out, said) => Err(format!("{out} {said}")),
        }
    })
}

fn is_calm(lab: &PoolLab, host: &str) {
    until(&format!("{host} to be calm"), PATIENCE, || {
        is("false", lab.xe(host, &["host-is-in-emergency-mode"]).stdout.trim())
    });
}

/// Two hosts, the least that can lose a majority with its coordinator: by shutdown, by cable and by crash the other tells
/// the truth. The crash is for good: the survivor is recovered by the document's commands, and a new machine takes the
/// place of the old coordinator by joining.
///
/// proves: S2-4 (lab), S1-21 (lab)
#[test]
fn a_coordinator_of_two_is_lost_in_three_ways_and_replaced_by_a_new_machine() {
    let lab = PoolLab::up(2);
    let vm = vm_make(&lab, "h1", "web");
    let disk = disk_make(&lab, "h1", "web");
    disk_give(&lab, "h1", &vm, &disk, 0);
    let pool = works(&lab, "h2", "xe pool-list --minimal");
    let back = |what: &str| {
        is_calm(&lab, "h2");
        until("the pool to take writes again", PATIENCE, || {
            let set = format!("xe pool-param-set uuid={pool} other-config:back={what}");
            try_works(&lab, "h2", &set)?;
            try_works(&lab, "h1", &set)
        });
        until("h1 to lead again, as it will be lost", PATIENCE, || {
            try_works(&lab, "h1", "xe pool-designate-new-master host=h1")
                .map(drop)
                .or_else(|_| is("h1", &leader(&lab, "h2")))
        });
    };
    assert_eq!(leader(&lab, "h2"), "h1");

    works(&lab, "h1", "holdfast-lab halt");
    let said = told(&lab, "h2", "shut_down");
    assert!(said.contains("'h1'") && said.contains("announced its shutdown"), "{said}");
    until("h1 to be off", PATIENCE, || {
        let status = lab.status();
        is("off", status["hosts"][0]["state"].as_str().unwrap_or_default())
    });
    lab.run(&["heal", "h1", "power"]);
    back("shutdown");

    lab.run(&["fail", "h1", "cable"]);
    let said = told(&lab, "h2", "nobody_heard");
    assert!(said.contains("'h1'") && said.contains("is silent since"), "{said}");
    let said = told(&lab, "h1", "cable_out");
    assert!(said.contains("this host's network cable is out"), "{said}");
    lab.run(&["heal", "h1", "cable"]);
    is_calm(&lab, "h1");
    back("cable");

    until("h1 to take the VM", PATIENCE, || {
        try_works(&lab, "h1", &format!("xe vm-start uuid={vm} on=h1"))
    });
    lab.run(&["fail", "h1", "power"]);
    let said = told(&lab, "h2", "nobody_heard");
    assert!(said.contains("'h1'") && !said.contains("announced"), "{said}");

    // As printed it asks for the one thing that only a person knows.
    let asked = refused(&lab, "h2", "xe pool-emergency-transition-to-master < /dev/null");
    assert!(
        asked.contains("confirm=\"h1 is off\"") || asked.contains("confirm=\"h1 are off\""),
        "{asked}"
    );
    works(&lab, "h2", "xe pool-emergency-transition-to-master confirm=h1");
    works(&lab, "h2", "xe pool-recover-slaves");
    let params = works(&lab, "h2", &format!("xe pool-param-list uuid={pool}"));
    assert!(params.contains("default-SR"), "{params}");
    until("the VM to be reset on a person's word", PATIENCE, || {
        let reset = format!("xe vm-reset-powerstate vm={vm} --force confirm=\"h1 is powered off\"");
        try_works(&lab, "h2", &reset)
    });
    works(&lab, "h2", &format!("xe vm-start uuid={vm} on=h2"));
    is_running(&lab, "h2", &vm, "h2");

    // The new machine: nothing of the old one is on its disk.
    let old = works(&lab, "h2", "xe host-list name-label=h1 --minimal");
    until("the old machine to be forgotten", PATIENCE, || {
        let forget = format!("xe host-forget uuid={old} confirm=\"h1 is powered off\"");
        try_works(&lab, "h2", &forget)
    });
    wipe(&lab, "h1");
    lab.run(&["heal", "h1", "power"]);
    until("the new machine to be a pool of its own", PATIENCE, || {
        let new = try_works(&lab, "h1", "xe host-list --minimal")?;
        if new == old { Err(new) } else { Ok(()) }
    });
    let password = works(&lab, "h2", "cat /etc/holdfast/initial-password");
    until("the new machine to have joined", PATIENCE, || {
        let joined = try_works(
            &lab,
            "h1",
            &format!(
                "xe pool-join master-address=10.90.0.2 master-username=root master-password='{password}'"
            ),
        );
        joined.map(drop).or_else(|why| {
            let two = try_works(&lab, "h1", "xe host-list --minimal")?.split(',').count() == 2;
            if two { Ok(()) } else { Err(why) }
        })
    });
    until("the pool to be whole", PATIENCE, || {
        let hosts = try_works(&lab, "h2", "xe host-list enabled=true params=name-label --minimal")?;
        let mut hosts: Vec<&str> = hosts.split(',').collect();
        hosts.sort_unstable();
        is("h1,h2", &hosts.join(","))
    });
    // The joiner's services start again with the pool after the command has answered.
    until("the new machine to answer as a member", PATIENCE, || {
        is(&pool, &try_works(&lab, "h1", "xe pool-list --minimal")?)
    });
    // Either may lead a pool of two: nothing requires the old role.
    let leads = leader(&lab, "h1");
    assert!(["h1", "h2"].contains(&leads.as_str()), "{leads}");
    works(&lab, "h1", &format!("xe pool-param-set uuid={pool} other-config:back=joined"));
    is_running(&lab, "h1", &vm, "h2");
}

fn leader(lab: &PoolLab, at: &str) -> String {
    works(
        lab,
        at,
        "xe host-list uuid=$(xe pool-list params=master --minimal) params=name-label --minimal",
    )
}

/// A fresh disk for a host that is off; only its configuration is as the installer would write it.
fn wipe(lab: &PoolLab, host: &str) {
    let disk = lab.disk_of(host);
    for place in ["var/lib/holdfast", "strict"] {
        let place = disk.join(place);
        for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
            let path = entry.path();
            let gone = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            gone.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

/// With a majority left nothing has to be typed when the coordinator is gone; who types the document's commands all the
/// same is told so, and does no harm.
#[test]
fn a_dead_coordinator_of_three_needs_none_of_the_documents_commands() {
    let lab = PoolLab::up(3);
    let pool = works(&lab, "h2", "xe pool-list --minimal");
    lab.run(&["fail", "h1", "power"]);
    until("another host to lead and take writes", PATIENCE, || {
        try_works(&lab, "h2", &format!("xe pool-param-set uuid={pool} other-config:went=on"))?;
        let leads = leader(&lab, "h2");
        if leads == "h1" { Err(leads) } else { Ok(()) }
    });
    let leads = leader(&lab, "h2");
    for host in ["h2", "h3"] {
        let done = typed(&lab, host, "xe pool-emergency-transition-to-master < /dev/null");
        let said = format!("{}{}", done.stdout, done.stderr);
        let named = said.contains(&format!("'{leads}'")) || said.contains("already master");
        assert!(named, "{host} says who leads: {said}");
    }
    let followed = works(&lab, &leads, "xe pool-recover-slaves");
    assert_eq!(followed.lines().count(), 1, "{followed}");
    assert_eq!(leader(&lab, "h2"), leads);
    lab.run(&["heal", "h1", "power"]);
    until("h1 to be a member", PATIENCE, || {
        let get = format!("xe pool-param-get uuid={pool} param-name=other-config param-key=went");
        is("on", &try_works(&lab, "h1", &get)?)
    });
    assert_eq!(leader(&lab, "h1"), leads);
}
