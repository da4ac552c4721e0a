//! Disks of real pools: one writer at a time whoever races, refusals that say everything, repositories that keep what they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::guests::{disk_give, disk_make, vm_make};
use tests::{PoolLab, until};

/// Longest wait for a pool to be as it should.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two VMs on different hosts that share one disk; returns both and the disk.
fn rivals(lab: &PoolLab) -> ([String; 2], String) {
    let vdi = disk_make(lab, "h1", "wanted by two");
    let vms = ["one", "two"].map(|name| {
        let vm = vm_make(lab, "h1", name);
        disk_give(lab, "h1", &vm, &vdi, 0);
        vm
    });
    (vms, vdi)
}

/// Two VMs that share a disk, started at once on two hosts through two hosts: one runs. The other is told who has it, where,
/// since when, whether that host is fenced, and the command that frees it; and that command works.
///
/// proves: S1-11 (lab), S1-12 (lab)
#[test]
fn a_disk_has_one_writer_and_the_other_is_told_everything() {
    let lab = PoolLab::up(3);
    let (vms, vdi) = rivals(&lab);
    let hosts = ["h1", "h2"];
    for round in 0..5 {
        let started = std::thread::scope(|scope| {
            let start = |at: usize| {
                let (lab, vm) = (&lab, format!("uuid={}", vms[at]));
                scope.spawn(move || {
                    lab.xe(hosts[at], &["vm-start", &vm, &format!("on={}", hosts[at])])
                })
            };
            let running = [start(0), start(1)];
            running.map(|one| one.join().expect("starting does not panic"))
        });
        let winners: Vec<usize> = (0..2).filter(|at| started[*at].status.success()).collect();
        let [winner] = winners[..] else { panic!("round {round}: {started:?}") };
        let loser = 1 - winner;
        let guests = hosts
            .map(|host| lab.run(&["exec", host, "--", "sh", "-c", "pgrep -c qemu-system || true"]));
        assert_eq!(
            guests.map(|n| n.trim().parse::<u32>().expect("a number")).iter().sum::<u32>(),
            1
        );

        // Alone, too: everything that a person needs stands in the refusal.
        let refused = lab.xe(hosts[loser], &["vm-start", &format!("uuid={}", vms[loser])]);
        assert_eq!(refused.status.code(), Some(1));
        let said = &refused.stderr;
        let host =
            lab.said("h1", &["host-list", &format!("name-label={}", hosts[winner]), "--minimal"]);
        let name = ["one", "two"][winner];
        let way_out = format!("xe vm-shutdown uuid={}", vms[winner]);
        for part in [
            &format!("VDI {vdi} already attached RW"),
            &format!("VM '{name}' ({})", vms[winner]),
            &format!("host '{}' ({host})", hosts[winner]),
            " since 20",
            "not fenced",
            &way_out,
        ] {
            assert!(said.contains(part), "round {round}: {part:?} is not in: {said}");
        }
        // The way out that was shown, as it was shown; these guests have no system that could shut down by itself.
        let way_out = format!("{way_out} --force");
        lab.run(&["exec", hosts[loser], "--", "sh", "-c", &way_out]);
        lab.said(hosts[loser], &["vm-start", &format!("uuid={}", vms[loser])]);
        lab.said(hosts[loser], &["vm-shutdown", &format!("uuid={}", vms[loser]), "force=true"]);
    }

    // Under a partition: the host that is cut off keeps what it has and gets nothing more; the others don't take it away.
    lab.said("h2", &["vm-start", &format!("uuid={}", vms[1]), "on=h2"]);
    lab.run(&["fail", "h2", "cable"]);
    let taken = lab.xe("h1", &["vm-start", &format!("uuid={}", vms[0])]);
    assert!(!taken.status.success(), "the disk of a running guest was given away");
    assert!(taken.stderr.contains("already attached RW"), "{}", taken.stderr);
    lab.run(&["exec", "h2", "--", "pgrep", "qemu-system"]);
    let alone = lab.xe("h2", &["vm-start", &format!("uuid={}", vms[0])]);
    assert!(!alone.status.success(), "a host without quorum started a guest");
    lab.run(&["heal", "h2", "cable"]);
    until("h2 to take part again", PATIENCE, || {
        let done = lab.xe("h2", &["vm-shutdown", &format!("uuid={}", vms[1]), "force=true"]);
        done.status.success().then_some(()).ok_or(done.stderr)
    });
    lab.said("h1", &["vm-start", &format!("uuid={}", vms[0])]);
}

/// Every file below a directory with its content's hash.
fn contents(dir: &Path) -> BTreeMap<PathBuf, u64> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory of the lab").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let mut hasher = DefaultHasher::new();
                std::fs::read(&path).expect("a file of the lab").hash(&mut hasher);
                found.insert(path, hasher.finish());
            }
        }
    }
    found
}

/// A repository is forgotten and introduced again by the commands of the seed: its uuid stays, and not a byte changes.
///
/// proves: S0-32 (lab)
#[test]
fn an_introduced_repository_keeps_its_uuid_and_its_content() {
    let lab = PoolLab::up(1);
    let vdi = disk_make(&lab, "h1", "kept");
    let sr = lab.said("h1", &["sr-list", "name-label=shared", "--minimal"]);
    let (uuid, of_sr) = (format!("uuid={sr}"), format!("sr-uuid={sr}"));
    let host = format!("host-uuid={}", lab.said("h1", &["host-list", "--minimal"]));
    let pbd = format!("uuid={}", lab.said("h1", &["pbd-list", &of_sr, "--minimal"]));
    lab.said("h1", &["pbd-unplug", &pbd]);
    lab.said("h1", &["sr-forget", &uuid]);
    assert_eq!(lab.said("h1", &["sr-list", &uuid, "--minimal"]), "");
    assert_eq!(lab.said("h1", &["vdi-list", &format!("uuid={vdi}"), "--minimal"]), "");
    let before = contents(&lab.shared_directory());
    assert!(before.len() > 1, "{before:?}");

    let introduce =
        ["sr-introduce", &uuid, "type=file", "name-label=Local Storage", "content-type=user"];
    assert_eq!(lab.said("h1", &introduce), sr);
    let location = "device-config:location=/srv/shared";
    let pbd = lab.said("h1", &["pbd-create", &of_sr, location, &host]);
    lab.said("h1", &["pbd-plug", &format!("uuid={pbd}")]);
    lab.said("h1", &["sr-scan", &uuid]);
    assert_eq!(lab.said("h1", &["sr-param-get", &uuid, "param-name=name-label"]), "Local Storage");
    assert_eq!(lab.said("h1", &["vdi-list", &of_sr, "--minimal"]), vdi);
    assert_eq!(contents(&lab.shared_directory()), before);
}

/// What a VM is made of, as `xe` prints it: fields of the VM, its disks in order, its interfaces.
fn description(lab: &PoolLab, vm: &str) -> Vec<String> {
    const FIELDS: &[&str] = &[
        "uuid",
        "name-label",
        "name-description",
        "VCPUs-max",
        "VCPUs-at-startup",
        "memory-static-min",
        "memory-dynamic-min",
        "memory-dynamic-max",
        "memory-static-max",
        "HVM-boot-policy",
        "HVM-boot-params",
        "platform",
        "order",
        "start-delay",
        "shutdown-delay",
        "actions-after-crash",
        "tags",
        "power-state",
    ];
    let of_vm = format!("vm-uuid={vm}");
    let mut all: Vec<String> = FIELDS
        .iter()
        .map(|field| {
            let get = ["vm-param-get", &format!("uuid={vm}"), &format!("param-name={field}")];
            format!("{field}: {}", lab.said("h1", &get))
        })
        .collect();
    for device in ["0", "1"] {
        let one = format!("userdevice={device}");
        let params = "params=uuid,userdevice,vdi-uuid,vdi-name-label,mode,type,bootable";
        all.push(lab.said("h1", &["vbd-list", &of_vm, &one, params]));
    }
    for device in ["0", "1"] {
        let one = format!("device={device}");
        let params = "params=uuid,device,MAC,MTU,network-name-label";
        all.push(lab.said("h1", &["vif-list", &of_vm, &one, params]));
    }
    let note = ["param-name=other-config", "param-key=note"];
    all.push(lab.said("h1", &["vm-param-get", &format!("uuid={vm}"), note[0], note[1]]));
    all
}

/// The pool's database is wiped; attaching the repository to what starts afresh brings the VM back as it was.
///
/// proves: S0-41 (lab)
#[test]
fn a_vm_comes_back_whole_from_its_repository_when_the_database_is_gone() {
    let lab = PoolLab::up(1);
    let sr = lab.said("h1", &["sr-list", "name-label=shared", "--minimal"]);
    let pool = lab.said("h1", &["pool-list", "--minimal"]);
    let vm = vm_make(&lab, "h1", "the shop – été");
    let own = format!("uuid={vm}");
    for change in [
        &["VCPUs-max=3"][..],
        &["VCPUs-at-startup=2"],
        &[
            "HVM-boot-policy=BIOS order",
            "HVM-boot-params:order=dcn",
            "HVM-boot-params:firmware=uefi",
        ],
        &["order=7", "start-delay=30", "shutdown-delay=20"],
        &["name-description=two disks", "other-config:note=call the baker"],
        &["platform:secureboot=false"],
    ] {
        lab.said("h1", &[&["vm-param-set", &own][..], change].concat());
    }
    lab.said("h1", &["vm-param-add", &own, "param-name=tags", "param-key=bakery"]);
    for (device, name) in [(1, "data"), (0, "system")] {
        let vdi = disk_make(&lab, "h1", name);
        disk_give(&lab, "h1", &vm, &vdi, device);
    }
    let network =
        format!("network-uuid={}", lab.said("h1", &["network-list", "bridge=xenbr0", "--minimal"]));
    let (of_vm, mac) = (format!("vm-uuid={vm}"), "mac=02:48:46:9e:02:01");
    lab.said("h1", &["vif-create", &of_vm, &network, "device=0", mac]);
    let dmz = format!("network-uuid={}", lab.said("h1", &["network-create", "name-label=dmz"]));
    lab.said("h1", &["vif-create", &of_vm, &dmz, "device=1", "mac=02:48:46:9e:02:02"]);
    let before = description(&lab, &vm);
    let hidden = lab.shared_directory();
    until("the definition to be written beside the disks", PATIENCE, || {
        let mut grep = lab::process::command("grep");
        grep.args(["-rqs", "02:48:46:9e:02:02"]).arg(&hidden);
        let found = lab::process::run(grep, None, PATIENCE).map_err(|e| e.to_string())?;
        found
            .status
            .success()
            .then_some(())
            .ok_or_else(|| "no file names the last interface".to_owned())
    });

    lab.run(&["fail", "h1", "power"]);
    let state = lab::layout::Layout::new(lab.name()).expect("a lab's name").host_disk("h1");
    // Where it stands by itself, and where the layer keeps it that forgets what was not synced.
    for entry in ["var/lib/holdfast", "strict"]
        .iter()
        .flat_map(|kept| std::fs::read_dir(state.join(kept)).expect("the host's state").flatten())
    {
        let path = entry.path();
        let gone = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        gone.expect("the host is off");
    }
    lab.run(&["heal", "h1", "power"]);
    let host = until("the host to start afresh", PATIENCE, || {
        let pools = lab.xe("h1", &["pool-list", "--minimal"]);
        let hosts = lab.xe("h1", &["host-list", "--minimal"]);
        let new = pools.status.success()
            && !pools.stdout.trim().is_empty()
            && pools.stdout.trim() != pool;
        (new && hosts.status.success()).then(|| hosts.stdout.trim().to_owned()).ok_or(pools.stderr)
    });
    assert_eq!(lab.said("h1", &["vm-list", &own, "--minimal"]), "", "the database was not wiped");

    let (uuid, of_sr) = (format!("uuid={sr}"), format!("sr-uuid={sr}"));
    lab.said(
        "h1",
        &[
            "sr-introduce",
            &uuid,
            "type=file",
            "name-label=shared",
            "content-type=user",
            "shared=true",
        ],
    );
    let (location, on) = ("device-config:location=/srv/shared", format!("host-uuid={host}"));
    let pbd = lab.said("h1", &["pbd-create", &of_sr, location, &on]);
    lab.said("h1", &["pbd-plug", &format!("uuid={pbd}")]);
    until("the VM to be there", PATIENCE, || {
        let found = lab.said("h1", &["vm-list", &own, "--minimal"]);
        (found == vm).then_some(()).ok_or(found)
    });
    assert_eq!(description(&lab, &vm), before);
    lab.said("h1", &["vm-param-set", &own, "HVM-boot-params:firmware=bios"]);
    lab.said("h1", &["vm-start", &own]);
}

/// A host lost its attachment, and another one lacks the path to the storage: one command repairs the first and says what
/// the second needs; when the path is back, the same command repairs that, too.
///
/// proves: S1-32 (lab)
#[test]
fn a_repository_is_repaired_on_every_host_that_has_a_path_to_it() {
    let lab = PoolLab::up(3);
    let sr = lab.said("h1", &["sr-list", "name-label=shared", "--minimal"]);
    let (uuid, of_sr) = (format!("uuid={sr}"), format!("sr-uuid={sr}"));
    let host =
        |name: &str| lab.said("h1", &["host-list", &format!("name-label={name}"), "--minimal"]);
    let hosts = ["h2", "h3"].map(|name| (name, host(name)));
    for (name, host) in &hosts {
        let pbd = lab.said("h1", &["pbd-list", &of_sr, &format!("host-uuid={host}"), "--minimal"]);
        let pbd = format!("uuid={pbd}");
        lab.said(name, &["pbd-unplug", &pbd]);
        lab.said("h1", &["pbd-destroy", &pbd]);
    }
    // Another directory lies over the storage of the third host.
    let hide = "mkdir -p /var/tmp/empty && mount --bind /var/tmp/empty /srv/shared";
    lab.run(&["exec", "h3", "--", "sh", "-c", hide]);

    let plan = lab.said("h2", &["sr-repair", &uuid, "dry-run=true"]);
    assert!(plan.contains("plugged  host 'h1'"), "{plan}");
    assert!(plan.contains("repair   host 'h2'") && plan.contains("repair   host 'h3'"), "{plan}");
    assert!(plan.contains("location=/srv/shared"), "{plan}");
    assert_eq!(lab.said("h1", &["pbd-list", &of_sr, "--minimal"]).split(',').count(), 1);

    let done = lab.xe("h2", &["sr-repair", &uuid]);
    assert_eq!(done.status.code(), Some(6), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("repaired host 'h2'"), "{}", done.stdout);
    let failed = done.stdout.lines().find(|l| l.starts_with("failed")).expect("h3 failed");
    assert!(failed.contains("host 'h3'") && failed.contains("/srv/shared"), "{failed}");
    let attached = |host: &str| {
        let of_host = format!("host-uuid={host}");
        lab.said("h1", &["pbd-list", &of_sr, &of_host, "params=currently-attached", "--minimal"])
    };
    assert_eq!(attached(&hosts[0].1), "true");
    assert_eq!(attached(&hosts[1].1), "false");

    lab.run(&["exec", "h3", "--", "umount", "/srv/shared"]);
    let done = lab.said("h1", &["sr-repair", &uuid]);
    // The host may have plugged it by itself since it can reach the place again.
    let is_well = done.contains("repaired host 'h3'") || done.contains("plugged  host 'h3'");
    assert!(is_well, "{done}");
    assert_eq!(attached(&hosts[1].1), "true");
}
