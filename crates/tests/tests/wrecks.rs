//! Wrecked disks of many kinds, made by the real tools, brought back by ours, and judged by the real tools again: groups that are exported,
//! spread over disks, or there twice; RAIDs of every version; and a disk whose other partitions are in use.

use std::path::PathBuf;
use std::time::Duration;

use lab::process::{Finished, command, must, run};
use serde_json::Value;
use tests::nested::Nested;
use tests::program;

/// Longest command of ours on a busy machine.
const COMMAND: Duration = Duration::from_secs(180);

/// Disks of a guest, as sparse files.
struct Disks {
    dir: tempfile::TempDir,
    names: Vec<String>,
}

impl Disks {
    fn new(sizes_mib: &[(&str, u64)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (name, mib) in sizes_mib {
            let file = std::fs::File::create(dir.path().join(name)).expect("an image");
            file.set_len(mib << 20).expect("a sparse file");
        }
        Self { dir, names: sizes_mib.iter().map(|(name, _)| (*name).to_owned()).collect() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A guest that has them as `/dev/sda`, `/dev/sdb` and so on.
    fn guest(&self) -> Nested {
        self.names.iter().fold(Nested::new(), |guest, name| guest.disk(&self.at(name), name))
    }

    fn rescue(&self, words: &[&str], disk: &str, exit: i32) -> Finished {
        let mut ours = command(program("holdfast-rescue"));
        ours.current_dir(self.dir.path()).arg(words[0]).arg(self.at(disk)).args(&words[1..]);
        let done = run(ours, None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"));
        let said = format!("{disk} {words:?}: {}\n{}", done.stdout, done.stderr);
        assert_eq!(done.status.code(), Some(exit), "{said}");
        done
    }

    fn json(&self, words: &[&str], disk: &str) -> Value {
        let mut words = words.to_vec();
        words.extend(["--output", "json"]);
        let done = self.rescue(&words, disk, 0);
        serde_json::from_str(&done.stdout).unwrap_or_else(|e| panic!("{e}: {}", done.stdout))
    }

    fn hash(&self, disk: &str) -> String {
        let mut sum = command("sha256sum");
        sum.arg(self.at(disk));
        let printed = must(sum, None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"));
        printed.split(' ').next().unwrap_or_default().to_owned()
    }
}

/// Waits for a device's node, and makes a volume with known bytes.
const TOOLS: &str = "set -ex
    part() { i=0; while [ $i -lt 100 ] && ! [ -e $1 ]; do usleep 50000; i=$((i+1)); done; }
    noise() { i=0; while [ $i -lt $1 ]; do echo \"$2 line $i of a file that was here before\"; i=$((i+1)); done; }
";

fn starts(found: &Value) -> Vec<u64> {
    let former = found["former_partitions"].as_array().expect("a list");
    former.iter().filter_map(|f| f["start_sector"].as_u64()).collect()
}

/// proves: S0-30 (nested)
#[test]
fn groups_in_every_state_come_up_and_a_second_time_changes_nothing() {
    let disks =
        Disks::new(&[("plain", 96), ("exported", 96), ("one", 96), ("two", 96), ("twice", 160)]);
    let groups = [
        ("a", "VG_XenStorage-aaaaaaaa-0000-4000-8000-000000000001"),
        ("b", "VG_XenStorage-bbbbbbbb-0000-4000-8000-000000000002"),
        ("c", "VG_XenStorage-cccccccc-0000-4000-8000-000000000003"),
        ("e", "VG_XenStorage-eeeeeeee-0000-4000-8000-000000000005"),
    ];
    let [a, b, c, e] = groups.map(|(_, name)| name);
    let made = disks
        .guest()
        .run(&format!(
            "{TOOLS}
            for d in a b c d; do sgdisk --set-alignment=1 --new=1:2048:8191 --new=3:9000:190000 --typecode=3:8E00 /dev/sd$d; done
            sgdisk --set-alignment=1 --new=3:9000:150000 --typecode=3:8E00 --new=4:160000:301000 --typecode=4:8E00 /dev/sde
            for p in a3 b3 c3 d3 e3 e4; do part /dev/sd$p; done
            vgcreate -q {a} /dev/sda3; vgcreate -q {b} /dev/sdb3; vgcreate -q {c} /dev/sdc3 /dev/sdd3; vgcreate -q {e} /dev/sde3
            for g in {a} {b} {e}; do lvcreate -q -y -n LV-11111111-0000-4000-8000-000000000009 -L 16M $g; done
            lvcreate -q -y -n LV-22222222-0000-4000-8000-000000000009 -L 120M {c}
            for v in {a}/LV-1 {b}/LV-1 {e}/LV-1 {c}/LV-2; do noise 2000 $v > /tmp/noise; dd if=/tmp/noise of=$(ls /dev/$v*) conv=notrunc; done
            noise 500 tail > /tmp/noise; dd if=/tmp/noise of=/dev/{c}/LV-22222222-0000-4000-8000-000000000009 bs=1M seek=110 conv=notrunc
            for v in {a} {b} {c} {e}; do md5sum < $(ls /dev/$v/LV*) > /out/$v; done
            vgchange -q -an; vgexport -q {b}
            dd if=/dev/sde3 of=/dev/sde4 bs=1M; sync
            for d in a b c d e; do sgdisk --zap-all /dev/sd$d; done"
        ))
        .good();
    for (disk, group, more) in [
        ("plain", a, &[][..]),
        ("exported", b, &["--clear-exported"]),
        ("one", c, &[]),
        ("two", c, &[]),
        ("twice", e, &[]),
    ] {
        let before = disks.hash(disk);
        let plan = disks.json(&["repair"], disk);
        assert_eq!(plan["trial"]["passed"], true, "{disk}: {}", plan["trial"]);
        assert_eq!(plan["partitions"][0]["start_sector"], 9000, "{disk}: {}", plan["reasons"]);
        assert_eq!(
            plan["partitions"].as_array().map(Vec::len),
            Some(1),
            "{disk}: {}",
            plan["reasons"]
        );
        assert_eq!(disks.hash(disk), before, "{disk}: proposing writes nothing");
        let undo = format!("{disk}.undo");
        let mut words = vec!["repair", "--apply", "--confirm", group, "--undo-file", &undo];
        words.extend(more);
        disks.rescue(&words, disk, 0);
        // Once more: there is nothing to do, and nothing is done.
        let after = disks.hash(disk);
        let mut words = vec!["repair", "--apply", "--confirm", group];
        words.extend(more);
        let again = disks.rescue(&words, disk, 0);
        assert!(again.stdout.contains("nothing to repair"), "{disk}: {}", again.stdout);
        assert_eq!(disks.hash(disk), after, "{disk}: twice over changes nothing");
    }
    let found = disks.json(&["scan"], "one");
    let said = found["findings"].to_string();
    assert!(said.contains("is not on this disk"), "the other volume is told: {said}");
    let found = disks.json(&["scan"], "twice");
    assert!(found["findings"].to_string().contains("here twice"), "{}", found["findings"]);

    let checked = disks
        .guest()
        .run(&format!(
            "set -ex
            for d in a b c d e; do sgdisk --verify /dev/sd$d; done
            vgs -o vg_name,vg_attr --noheadings > /out/vgs
            for g in {a} {b} {c} {e}; do vgchange -ay $g; vgchange -ay $g; md5sum < $(ls /dev/$g/LV*) > /out/$g; done
            vgck"
        ))
        .good();
    for group in [a, b, c, e] {
        assert_eq!(checked.text(group), made.text(group), "{group}");
    }
    // The third letter of a group's attributes tells whether it is exported.
    for line in checked.text("vgs").lines() {
        let attributes = line.split_whitespace().nth(1).unwrap_or_default();
        assert_eq!(attributes.get(2..3), Some("-"), "{line}");
    }
}

/// proves: S0-28 (nested)
#[test]
fn the_kernel_learns_of_the_partition_beside_one_that_is_in_use_and_what_is_in_use_stays() {
    let disks = Disks::new(&[("host", 128)]);
    let group = "VG_XenStorage-dddddddd-0000-4000-8000-000000000004";
    let _made = disks
        .guest()
        .run(&format!(
            "{TOOLS}
            sgdisk --new=1:2048:40959 --new=3:49152:250000 --typecode=3:8E00 /dev/sda
            part /dev/sda3; mkfs.ext4 -q /dev/sda1
            vgcreate -q {group} /dev/sda3; lvcreate -q -y -n MGT -L 8M {group}
            noise 1000 here > /tmp/noise; dd if=/tmp/noise of=/dev/{group}/MGT conv=notrunc
            vgchange -q -an {group}; sgdisk --delete=3 /dev/sda"
        ))
        .good();
    // The first partition is in use, so the table as a whole can't be read again.
    let done = disks
        .guest()
        .program("holdfast-rescue")
        .run(&format!(
            "{TOOLS}
            mount /dev/sda1 /mnt; [ ! -e /dev/sda3 ]
            holdfast-rescue repair /dev/sda --apply --confirm {group} --undo-file /tmp/undo > /out/first
            part /dev/sda2; vgchange -ay {group}
            noise 1000 here > /tmp/noise; cmp -n $(wc -c < /tmp/noise) /tmp/noise /dev/{group}/MGT
            : What is active is not touched.
            s=0; holdfast-rescue undo /tmp/undo 2> /out/busy || s=$?; echo $s > /out/status
            vgchange -an {group}; umount /mnt; holdfast-rescue undo /tmp/undo; sgdisk --print /dev/sda > /out/table"
        ))
        .good();
    let first = done.text("first");
    assert!(first.contains("The kernel was told: partition 2 is there."), "{first}");
    let busy = done.text("busy");
    assert!(done.text("status").starts_with("4\n"), "{busy}");
    assert!(busy.contains("is used by"), "{busy}");
    assert!(!done.text("table").contains("8E00"), "{}", done.text("table"));
}

#[test]
fn members_of_raids_are_told_and_a_mirror_gives_its_volumes() {
    let disks = Disks::new(&[("first", 256), ("second", 256)]);
    let mirror = "VG_XenStorage-11111111-0000-4000-8000-00000000000a";
    let striped = "VG_XenStorage-22222222-0000-4000-8000-00000000000b";
    let volume = "33333333-0000-4000-8000-00000000000c";
    let made = disks
        .guest()
        .run(&format!(
            "{TOOLS}
            for d in a b; do sgdisk --set-alignment=1 --new=1:2048:129023 --new=2:129024:200000 --new=3:200001:270000 --new=4:270336:400000 --typecode=1:FD00 --typecode=2:FD00 --typecode=3:FD00 --typecode=4:FD00 /dev/sd$d; done
            for p in a1 a2 a3 a4 b1 b2 b3 b4; do part /dev/sd$p; done
            make() {{ mdadm --create $1 --metadata=$2 --level=$3 --raid-devices=2 --homehost=xs --name=data$4 --assume-clean --run /dev/sda$4 /dev/sdb$4 < /dev/null; }}
            make /dev/md1 1.2 1 1; make /dev/md2 1.0 1 2
            mdadm --create /dev/md3 --metadata=0.90 --level=1 --raid-devices=2 --assume-clean --run /dev/sda3 /dev/sdb3
            make /dev/md4 1.1 0 4
            vgcreate -q {mirror} /dev/md1; lvcreate -q -y -n LV-{volume} -L 16M {mirror}
            vgcreate -q {striped} /dev/md4; lvcreate -q -y -n LV-{volume} -L 16M {striped}
            mkfs.ext4 -q -L two /dev/md2; mkfs.ext4 -q -L three /dev/md3
            noise 3000 x > /tmp/noise; for g in {mirror} {striped}; do dd if=/tmp/noise of=/dev/$g/LV-{volume} conv=notrunc; done
            cat /dev/{mirror}/LV-{volume} > /out/content
            vgchange -q -an; for n in 1 2 3 4; do mdadm --stop /dev/md$n; done
            for p in 1 2 3 4; do mdadm --examine /dev/sda$p; done
            sgdisk --zap-all /dev/sda"
        ))
        .good();
    let found = disks.json(&["scan"], "first");
    let members: Vec<(String, u64, i64)> = found["raid_members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|m| {
            assert_eq!(m["checked"], true, "{m}");
            let version = m["version"].as_str().expect("text").to_owned();
            (
                version,
                m["start_sector"].as_u64().expect("a number"),
                m["level"].as_i64().expect("one"),
            )
        })
        .collect();
    let expected =
        [("1.2", 2048, 1), ("1.0", 129_024, 1), ("0.90", 200_001, 1), ("1.1", 270_336, 0)];
    let expected = expected.map(|(v, s, l): (&str, u64, i64)| (v.to_owned(), s, l));
    assert_eq!(members, expected, "{}", made.stdout);
    assert_eq!(starts(&found), [2048, 129_024, 200_001, 270_336], "{}", found["former_partitions"]);
    for former in found["former_partitions"].as_array().expect("a list") {
        assert_eq!(former["type_code"], "FD00", "{former}");
    }

    // A mirror's member has all of the group; of a striped one each disk has a part, and that is no good copy.
    let out = disks.at("out");
    let to = out.display().to_string();
    let group = |name| ["export", "--vdi", volume, "--group", name, "--to", &to, "--overwrite"];
    disks.rescue(&group(mirror), "first", 0);
    let content = std::fs::read(&out).expect("exported");
    assert!(content == made.file("content"), "the mirror's volume has its bytes");
    let partial = disks.rescue(&group(striped), "first", 3);
    assert!(partial.stderr.contains("RAID 0"), "{}", partial.stderr);

    let undo = disks.at("undo").display().to_string();
    let agreed =
        ["repair", "--apply", "--confirm", mirror, "--confirm", striped, "--undo-file", &undo];
    disks.rescue(&agreed, "first", 0);
    let _checked = disks
        .guest()
        .run(&format!(
            "{TOOLS} sgdisk --verify /dev/sda; part /dev/sda4
            for n in 1 2 3 4; do mdadm --assemble /dev/md$n /dev/sda$n /dev/sdb$n; done
            vgchange -ay {mirror}; vgchange -ay {striped}
            e2fsck -f -n /dev/md2; e2fsck -f -n /dev/md3
            noise 3000 x > /tmp/noise; cmp -n $(wc -c < /tmp/noise) /tmp/noise /dev/{striped}/LV-{volume}"
        ))
        .good();
}
