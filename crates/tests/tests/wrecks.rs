//! Wrecked disks of many kinds, made by the real tools, brought back by ours, and judged by the real tools again: groups that are exported,
//! spread over disks, or there twice; RAIDs of every version; and a disk whose other partitions are in use.

use std::os::unix::fs::FileExt as _;
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

    /// A guest that has them; a script calls them `$sda`, `$sdb` and so on, whatever order the kernel saw them in.
    fn guest(&self) -> Nested {
        self.names.iter().fold(Nested::new(), |guest, name| guest.disk(&self.at(name), name))
    }

    /// Begins a script: what the disks are called today, and a wait for a device's node.
    fn tools(&self) -> String {
        let letters = self.names.iter().zip("abcdefgh".chars());
        let called = |(name, letter): (&String, char)| {
            format!("sd{letter}=$(readlink -f /dev/disk/by-serial/{name})\n")
        };
        format!("{}{TOOLS}", letters.map(called).collect::<String>())
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
    let tools = disks.tools();
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
            "{tools}
            for d in ${{sda}} ${{sdb}} ${{sdc}} ${{sdd}}; do sgdisk --set-alignment=1 --new=1:2048:8191 --new=3:9000:190000 --typecode=3:8E00 $d; done
            sgdisk --set-alignment=1 --new=3:9000:150000 --typecode=3:8E00 --new=4:160000:301000 --typecode=4:8E00 ${{sde}}
            for p in ${{sda}}3 ${{sdb}}3 ${{sdc}}3 ${{sdd}}3 ${{sde}}3 ${{sde}}4; do part $p; done
            vgcreate -q {a} ${{sda}}3; vgcreate -q {b} ${{sdb}}3; vgcreate -q {c} ${{sdc}}3 ${{sdd}}3; vgcreate -q {e} ${{sde}}3
            for g in {a} {b} {e}; do lvcreate -q -y -n LV-11111111-0000-4000-8000-000000000009 -L 16M $g; done
            lvcreate -q -y -n LV-22222222-0000-4000-8000-000000000009 -L 120M {c}
            for v in {a}/LV-1 {b}/LV-1 {e}/LV-1 {c}/LV-2; do noise 2000 $v > /tmp/noise; dd if=/tmp/noise of=$(ls /dev/$v*) conv=notrunc; done
            noise 500 tail > /tmp/noise; dd if=/tmp/noise of=/dev/{c}/LV-22222222-0000-4000-8000-000000000009 bs=1M seek=110 conv=notrunc
            for v in {a} {b} {c} {e}; do md5sum < $(ls /dev/$v/LV*) > /out/$v; done
            vgchange -q -an; vgexport -q {b}
            dd if=${{sde}}3 of=${{sde}}4 bs=1M; sync
            for d in ${{sda}} ${{sdb}} ${{sdc}} ${{sdd}} ${{sde}}; do sgdisk --zap-all $d; done"
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
            "{tools}
            for d in ${{sda}} ${{sdb}} ${{sdc}} ${{sdd}} ${{sde}}; do sgdisk --verify $d; done
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
    let tools = disks.tools();
    let group = "VG_XenStorage-dddddddd-0000-4000-8000-000000000004";
    let _made = disks
        .guest()
        .run(&format!(
            "{tools}
            sgdisk --new=1:2048:40959 --new=3:49152:250000 --typecode=3:8E00 ${{sda}}
            part ${{sda}}3; mkfs.ext4 -q ${{sda}}1
            vgcreate -q {group} ${{sda}}3; lvcreate -q -y -n MGT -L 8M {group}
            noise 1000 here > /tmp/noise; dd if=/tmp/noise of=/dev/{group}/MGT conv=notrunc
            vgchange -q -an {group}; sgdisk --delete=3 ${{sda}}"
        ))
        .good();
    // The first partition is in use, so the table as a whole can't be read again.
    let done = disks
        .guest()
        .program("holdfast-rescue")
        .run(&format!(
            "{tools}
            mount ${{sda}}1 /mnt; [ ! -e ${{sda}}3 ]
            holdfast-rescue repair ${{sda}} --apply --confirm {group} --undo-file /tmp/undo > /out/first
            part ${{sda}}2; vgchange -ay {group}
            noise 1000 here > /tmp/noise; cmp -n $(wc -c < /tmp/noise) /tmp/noise /dev/{group}/MGT
            : What is active is not touched.
            s=0; holdfast-rescue undo /tmp/undo 2> /out/busy || s=$?; echo $s > /out/status
            vgchange -an {group}; umount /mnt; holdfast-rescue undo /tmp/undo; sgdisk --print ${{sda}} > /out/table"
        ))
        .good();
    let first = done.text("first");
    assert!(first.contains("The kernel was told: partition 2 is there."), "{first}");
    let busy = done.text("busy");
    assert!(done.text("status").starts_with("4\n"), "{busy}");
    assert!(busy.contains("is used by"), "{busy}");
    assert!(!done.text("table").contains("8E00"), "{}", done.text("table"));
}

/// Layouts that real tools make, each wiped in its own way: the disk in each comes out as it went in, and the entry is the one that was.
#[test]
fn every_layout_gives_its_disks_back() {
    const MIB: u64 = 1 << 20;
    let names = ["bare", "logical", "copies", "both", "striped", "kinds"];
    let disks = Disks::new(&names.map(|name| (name, 192)));
    let tools = disks.tools();
    // What the machine on the disk had: noise in pieces, as a VHD and as it is.
    let content: Vec<u8> = (0..24 * MIB)
        .map(|n| if n / 65_536 % 3 == 0 { 0 } else { (n * n / 7 % 251).to_le_bytes()[0] })
        .collect();
    let (raw, vhd) = (disks.at("content.raw"), disks.at("content.vhd"));
    std::fs::write(&raw, &content).expect("room");
    let mut convert = command("qemu-img");
    convert.args(["convert", "-f", "raw", "-O", "vpc", "-o", "subformat=dynamic,force_size=on"]);
    convert.args([&raw, &vhd]);
    must(convert, None, COMMAND).unwrap_or_else(|e| panic!("{e:#}"));
    let bytes = std::fs::read(&vhd).expect("converted");
    let (body, footer) = bytes.split_at(bytes.len() - 512);
    std::fs::write(disks.at("body"), body).expect("room");
    std::fs::write(disks.at("footer"), footer).expect("room");
    let group = |n: usize| format!("VG_XenStorage-{n}0000000-0000-4000-8000-00000000000f");
    let (dynamic, plain) =
        ("d0000000-0000-4000-8000-000000000001", "d0000000-0000-4000-8000-000000000002");
    let [bare, logical, copies, both, striped, kinds] = [0, 1, 2, 3, 4, 5].map(group);
    // A boot record with a primary and an extended partition, in which a logical one lies.
    let image = std::fs::File::options().write(true).open(disks.at("logical")).expect("an image");
    let record = |entries: &[(u8, u32, u32)]| {
        let mut sector = [0; 512];
        for (slot, (kind, start, count)) in sector[446..510].chunks_mut(16).zip(entries) {
            slot[4] = *kind;
            slot[8..12].copy_from_slice(&start.to_le_bytes());
            slot[12..].copy_from_slice(&count.to_le_bytes());
        }
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    };
    image.write_all_at(&record(&[(0x83, 2048, 16_384), (0x05, 20_480, 350_000)]), 0).expect("room");
    image.write_all_at(&record(&[(0x8e, 2048, 340_000)]), 20_480 * 512).expect("room");
    let _made = disks
        .guest()
        .input("body", &disks.at("body"))
        .input("footer", &disks.at("footer"))
        .input("raw", &raw)
        .run(&format!(
            "{tools}
            fill() {{ lvcreate -q -y -n MGT -L 4M $1
              lvcreate -q -y $2 -n VHD-{dynamic} -L 32M $1; lvcreate -q -y $2 -n LV-{plain} -L 24M $1
              dd if=body of=/dev/$1/VHD-{dynamic} bs=1M conv=notrunc
              dd if=footer of=/dev/$1/VHD-{dynamic} bs=512 seek=65535 conv=notrunc
              dd if=raw of=/dev/$1/LV-{plain} bs=1M conv=notrunc; }}
            : bare: the whole disk, without a table, two areas.
            pvcreate -q --pvmetadatacopies 2 ${{sda}}; vgcreate -q {bare} ${{sda}}; fill {bare} ''
            : logical: a boot record with a partition inside an extended one.
            part ${{sdb}}5
            vgcreate -q {logical} ${{sdb}}5; fill {logical} ''
            : copies: label in the fourth sector, two areas, extents on another boundary, and the label gone with the first header.
            sgdisk --set-alignment=1 --new=3:5003:380000 --typecode=3:8E00 ${{sdc}}; part ${{sdc}}3
            pvcreate -q --labelsector 3 --pvmetadatacopies 2 --dataalignment 3m ${{sdc}}3
            vgcreate -q {copies} ${{sdc}}3; fill {copies} ''
            : both: a group over two partitions of one disk, of which the second has no area.
            sgdisk --new=1:2048:104447 --new=2:104448:390000 --typecode=1:8E00 --typecode=2:8E00 ${{sdd}}; part ${{sdd}}2
            pvcreate -q ${{sdd}}1; pvcreate -q --pvmetadatacopies 0 ${{sdd}}2
            vgcreate -q {both} ${{sdd}}1 ${{sdd}}2; fill {both} ''
            : striped over two partitions.
            sgdisk --new=1:2048:190000 --new=2:192512:390000 --typecode=1:8E00 --typecode=2:8E00 ${{sde}}; part ${{sde}}2
            vgcreate -q {striped} ${{sde}}1 ${{sde}}2; fill {striped} '-i 2 -I 64k'
            : kinds: what can not be mapped is refused by name, the rest is given.
            sgdisk --new=1:2048:190000 --new=2:192512:390000 --typecode=1:8E00 --typecode=2:8E00 ${{sdf}}; part ${{sdf}}2
            vgcreate -q {kinds} ${{sdf}}1 ${{sdf}}2; fill {kinds} ''
            lvcreate -q -y -n LV-d0000000-0000-4000-8000-000000000003 -L 8M -m 1 --type mirror --mirrorlog core {kinds}
            vgchange -q -an; vgexport -q {kinds}; vgimport -q {kinds}; sync
            dd if=/dev/zero of=${{sda}} bs=512 count=1
            dd if=/dev/zero of=${{sdb}} bs=512 count=1
            dd if=/dev/zero of=${{sdc}} bs=512 seek=5003 count=9 conv=notrunc
            for d in ${{sdc}} ${{sdd}} ${{sde}} ${{sdf}}; do sgdisk --zap-all $d; done"
        ))
        .good();
    let out = disks.at("out");
    let to = out.display().to_string();
    for (name, expected) in [
        ("bare", &[][..]),
        ("logical", &[(22_528, 362_527)]),
        ("copies", &[(5003, 380_000)]),
        ("both", &[(2048, 104_447), (104_448, 390_000)]),
        ("striped", &[(2048, 190_000), (192_512, 390_000)]),
        ("kinds", &[(2048, 190_000), (192_512, 390_000)]),
    ] {
        let found = disks.json(&["scan"], name);
        let former: Vec<(u64, u64)> = found["former_partitions"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|f| f["type_code"] == "8E00")
            .filter_map(|f| Some((f["start_sector"].as_u64()?, f["end_sector"].as_u64()?)))
            .collect();
        assert_eq!(former, expected, "{name}: {}", found["findings"]);
        for vdi in [dynamic, plain] {
            disks.rescue(&["export", "--vdi", vdi, "--to", &to, "--overwrite"], name, 0);
            assert!(std::fs::read(&out).expect("exported") == content, "{name}: {vdi}");
        }
        let undo = disks.at(&format!("{name}.undo")).display().to_string();
        let group = found["volume_groups"][0]["name"].as_str().expect("a group").to_owned();
        disks.rescue(&["repair", "--apply", "--confirm", &group, "--undo-file", &undo], name, 0);
    }
    let said = disks.json(&["scan"], "kinds")["findings"].to_string();
    assert!(said.contains("mirror"), "{said}");
    let checked = disks
        .guest()
        .input("raw", &raw)
        .run(&format!(
            "{tools}
            for d in ${{sdc}} ${{sdd}} ${{sde}} ${{sdf}}; do sgdisk --verify $d; done
            for g in {bare} {logical} {copies} {both} {striped} {kinds}; do
              vgck $g; vgchange -ay $g; cmp raw /dev/$g/LV-{plain}; done
            pvs -o pv_name,vg_name"
        ))
        .good();
    assert!(checked.stdout.contains("active"), "{}", checked.stdout);
}

#[test]
fn members_of_raids_are_told_and_a_mirror_gives_its_volumes() {
    let disks = Disks::new(&[("first", 256), ("second", 256)]);
    let tools = disks.tools();
    let mirror = "VG_XenStorage-11111111-0000-4000-8000-00000000000a";
    let striped = "VG_XenStorage-22222222-0000-4000-8000-00000000000b";
    let volume = "33333333-0000-4000-8000-00000000000c";
    let made = disks
        .guest()
        .run(&format!(
            "{tools}
            for d in ${{sda}} ${{sdb}}; do sgdisk --set-alignment=1 --new=1:2048:129023 --new=2:129024:200000 --new=3:200001:270000 --new=4:270336:400000 --typecode=1:FD00 --typecode=2:FD00 --typecode=3:FD00 --typecode=4:FD00 $d; done
            for p in ${{sda}}1 ${{sda}}2 ${{sda}}3 ${{sda}}4 ${{sdb}}1 ${{sdb}}2 ${{sdb}}3 ${{sdb}}4; do part $p; done
            make() {{ mdadm --create $1 --metadata=$2 --level=$3 --raid-devices=2 --homehost=xs --name=data$4 --assume-clean --run ${{sda}}$4 ${{sdb}}$4 < /dev/null; }}
            make /dev/md1 1.2 1 1; make /dev/md2 1.0 1 2
            mdadm --create /dev/md3 --metadata=0.90 --level=1 --raid-devices=2 --assume-clean --run ${{sda}}3 ${{sdb}}3
            make /dev/md4 1.1 0 4
            vgcreate -q {mirror} /dev/md1; lvcreate -q -y -n LV-{volume} -L 16M {mirror}
            vgcreate -q {striped} /dev/md4; lvcreate -q -y -n LV-{volume} -L 16M {striped}
            mkfs.ext4 -q -L two /dev/md2; mkfs.ext4 -q -L three /dev/md3
            noise 3000 x > /tmp/noise; for g in {mirror} {striped}; do dd if=/tmp/noise of=/dev/$g/LV-{volume} conv=notrunc; done
            cat /dev/{mirror}/LV-{volume} > /out/content
            vgchange -q -an; for n in 1 2 3 4; do mdadm --stop /dev/md$n; done
            for p in 1 2 3 4; do mdadm --examine ${{sda}}$p; done
            sgdisk --zap-all ${{sda}}"
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
            "{tools} sgdisk --verify ${{sda}}; part ${{sda}}4
            for n in 1 2 3 4; do mdadm --assemble /dev/md$n ${{sda}}$n ${{sdb}}$n; done
            vgchange -ay {mirror}; vgchange -ay {striped}
            e2fsck -f -n /dev/md2; e2fsck -f -n /dev/md3
            noise 3000 x > /tmp/noise; cmp -n $(wc -c < /tmp/noise) /tmp/noise /dev/{striped}/LV-{volume}"
        ))
        .good();
}

/// The disks of a host, made by the real tools: each with size, model, serial number, what is on it, and who uses it.
///
/// proves: S2-41 (nested)
#[test]
fn disks_are_listed_with_what_they_are_and_hold_and_who_uses_them() {
    let disks =
        Disks::new(&[("blank", 64), ("mounted", 64), ("group", 96), ("member", 96), ("table", 64)]);
    let tools = disks.tools();
    let done = disks
        .guest()
        .program("holdfast-rescue")
        .run(&format!(
            "{tools}
            mkfs.ext4 -q -L root ${{sdb}}; mount ${{sdb}} /mnt
            vgcreate -q VG_XenStorage-ffffffff-0000-4000-8000-000000000006 ${{sdc}}
            mdadm --create /dev/md1 --metadata=1.2 --level=1 --raid-devices=2 --homehost=xs --name=data --assume-clean --run ${{sdd}} missing < /dev/null
            mdadm --stop /dev/md1
            sgdisk --new=1:2048:40959 ${{sde}}
            holdfast-rescue layout --all --output json > /out/layout
            umount /mnt"
        ))
        .good();
    let found: Value = serde_json::from_str(&done.text("layout")).expect("JSON");
    let of = |serial: &str| -> &Value {
        let list = found["disks"].as_array().expect("a list");
        list.iter().find(|d| d["serial"] == serial).unwrap_or_else(|| panic!("{serial}: {found}"))
    };
    for (serial, mib, kind, used) in [
        ("blank", 64_u64, None, false),
        ("mounted", 64, Some("ext4"), true),
        ("group", 96, Some("lvm2"), false),
        ("member", 96, Some("raid"), false),
        ("table", 64, None, false),
    ] {
        let disk = of(serial);
        assert_eq!(disk["size_bytes"], mib << 20, "{disk}");
        assert_eq!(disk["model"], "QEMU HARDDISK", "{disk}");
        let held: Vec<_> = disk["holds"].as_array().expect("a list").iter().collect();
        let kinds: Vec<_> = held.iter().filter_map(|h| h["kind"].as_str()).collect();
        assert_eq!(kinds, kind.into_iter().collect::<Vec<_>>(), "{disk}");
        assert_eq!(disk["in_use"].is_string(), used, "{disk}");
    }
    assert_eq!(of("table")["table_kind"], "gpt");
    assert_eq!(of("blank")["table_kind"], "none");
}
