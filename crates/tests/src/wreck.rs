//! The disk of source document 000: a XenServer host's, with a repository of three machines' disks, wiped by an installer.
//!
//! ```text
//!   sector 2048        partition 1, system       8388641
//!          8390656     partition 2, its copy    16777249
//!          16779264    partition 3, VG_XenStorage-UUID: MGT, VHD-UUID …      to the end
//! ```
//! Real `sgdisk`, LVM and `mke2fs` work in nested guests on a sparse image; QEMU writes the virtual disks' VHD files. Volumes are as
//! XenServer's storage manager makes them: inflated for an online resize, the VHD's footer in the volume's last sector, the disks' names
//! in the volume `MGT`. Everything is independent of our own readers, which are tried on it.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::process::{command, must};
use uuid::Uuid;

use crate::nested::Nested;
use crate::test_guest_image;

/// Longest conversion of a file on a busy machine.
const CONVERT: Duration = Duration::from_secs(120);
const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
/// LVM's unit on such a disk.
const EXTENT: u64 = 4 * MIB;
/// Sectors of the three partitions: first, and last where it does not depend on the disk.
pub const SYSTEM: (u64, u64) = (2048, 8_388_641);
/// The second one, for the copy of the system.
pub const COPY: (u64, u64) = (8_390_656, 16_777_249);
/// Where the third one begins.
pub const REPOSITORY_FIRST: u64 = 16_779_264;

/// What is on a machine's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// LUKS, as the guests of the document had it.
    Encrypted,
    /// A file system with a system's usual files.
    Files,
    /// The test guest, which boots and counts on the serial line.
    Bootable,
}

/// A machine's disk.
#[derive(Debug)]
pub struct VirtualDisk {
    /// Its name in the repository.
    pub name: &'static str,
    /// Its description there.
    pub description: &'static str,
    /// What is on it.
    pub content: Content,
    /// Size that its machine sees.
    pub bytes: u64,
    /// Its uuid since the last installation.
    pub uuid: Uuid,
    /// What its machine reads, as a sparse file.
    pub raw: PathBuf,
    body: PathBuf,
    footer: PathBuf,
}

/// The host's disk.
#[derive(Debug)]
pub struct Wreck {
    dir: tempfile::TempDir,
    image: PathBuf,
    sectors: u64,
    /// The repository's uuid since the last installation.
    pub sr: Uuid,
    /// The machines' disks in it.
    pub disks: Vec<VirtualDisk>,
}

impl VirtualDisk {
    /// The name of its volume.
    pub fn volume(&self) -> String {
        format!("VHD-{}", self.uuid)
    }

    /// Bytes of its volume: room for every block, and for the tables of the largest disk there is.
    pub fn volume_bytes(&self) -> u64 {
        let (largest, block) = (2_u64 << 40, 2 * MIB);
        let bitmap = (largest / block / 8).next_multiple_of(4096);
        let tables =
            (3072 + (largest / block * 4).next_multiple_of(SECTOR) + bitmap).next_multiple_of(4096);
        (self.bytes + tables + 4096 * self.bytes.div_ceil(block)).next_multiple_of(EXTENT)
    }
}

impl Wreck {
    /// An empty disk, and machines' disks that will be on it: name, description, GiB, content.
    ///
    /// # Panics
    /// If there is no room.
    pub fn new(gib: u64, machines: &[(&'static str, &'static str, u64, Content)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let sectors = gib * 1024 * MIB / SECTOR;
        let disks = machines.iter().enumerate().map(|(at, (name, description, gib, content))| {
            let path = |kind: &str| dir.path().join(format!("{at}.{kind}"));
            let (raw, vhd) = (path("raw"), path("vhd"));
            let (bytes, content) = (gib * 1024 * MIB, *content);
            fill(&raw, content, dir.path());
            sparse(&raw, bytes);
            let mut convert = command("qemu-img");
            convert.args(["convert", "-f", "raw", "-O", "vpc"]);
            convert.args(["-o", "subformat=dynamic,force_size=on"]).args([&raw, &vhd]);
            told(convert);
            let (body, footer) = (path("body"), path("footer"));
            let whole = fs::read(&vhd).expect("the file that QEMU wrote");
            let (front, end) = whole.split_at(whole.len() - 512);
            fs::write(&body, front).and_then(|()| fs::write(&footer, end)).expect("room for it");
            let uuid = Uuid::nil();
            VirtualDisk { name, description, content, bytes, uuid, raw, body, footer }
        });
        let disks = disks.collect();
        let image = dir.path().join("host.img");
        sparse(&image, sectors * SECTOR);
        Self { dir, image, sectors, sr: Uuid::nil(), disks }
    }

    /// The three machines of the document on its disk of 100 GiB.
    pub fn of_the_document() -> Self {
        Self::new(
            100,
            &[
                ("weather-ios root", "Ubuntu 12.04, encrypted", 10, Content::Encrypted),
                ("jira / postgres data", "<Atlassian & \"tools\">", 3, Content::Files),
                ("validation root", "", 11, Content::Bootable),
            ],
        )
    }

    /// The host's disk.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Carries the disk to another machine, as its file there.
    ///
    /// # Panics
    /// If it can't be copied.
    pub fn carry_to(&mut self, file: &Path) {
        let mut copy = command("cp");
        copy.arg("--sparse=always").args([&*self.image, file]);
        told(copy);
        fs::remove_file(&self.image).expect("our own file");
        file.clone_into(&mut self.image);
    }

    /// A directory for what a test makes of it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its last sector that a partition can have.
    pub fn last(&self) -> u64 {
        self.sectors - 34
    }

    /// The repository's volume group.
    pub fn group(&self) -> String {
        format!("VG_XenStorage-{}", self.sr)
    }

    /// Installs the host: table, system, repository with its disks; whatever was there before is overwritten as by an installer.
    pub fn install(&mut self) {
        let disks: Vec<Uuid> = self.disks.iter().map(|_| Uuid::new_v4()).collect();
        self.install_as(Uuid::new_v4(), &disks);
    }

    /// The same with these uuids for the repository and the disks.
    pub fn install_as(&mut self, sr: Uuid, disks: &[Uuid]) {
        self.sr = sr;
        for (disk, uuid) in self.disks.iter_mut().zip(disks) {
            disk.uuid = *uuid;
        }
        let (group, last) = (self.group(), self.last());
        let mut script = format!(
            "set -ex
             part() {{ i=0; while [ $i -lt 100 ] && ! [ -e $1 ]; do usleep 50000; i=$((i+1)); done; }}
             sgdisk --zap-all /dev/sda
             sgdisk --mbrtogpt --clear /dev/sda
             sgdisk --new=1:{}:{} --typecode=1:0700 --attributes=1:set:2 /dev/sda
             sgdisk --new=2:{}:{} --typecode=2:0700 /dev/sda
             sgdisk --new=3:{REPOSITORY_FIRST}:{last} --typecode=3:8E00 /dev/sda
             part /dev/sda1; part /dev/sda3
             mkfs.ext3 -q -F -L root-olbzxwty /dev/sda1
             pvcreate -ff -y --metadatasize 10M /dev/sda3
             vgcreate {group} /dev/sda3
             lvcreate -y -L {EXTENT}b -n MGT {group}
             dd if=mgt of=/dev/{group}/MGT bs=1M conv=notrunc\n",
            SYSTEM.0, SYSTEM.1, COPY.0, COPY.1
        );
        let mgt = self.dir.path().join("mgt");
        fs::write(&mgt, self.names()).expect("room for 4 MiB");
        let mut nested = Nested::new().disk(self.image(), "host").input("mgt", &mgt);
        for (at, disk) in self.disks.iter().enumerate() {
            let (volume, bytes) = (disk.volume(), disk.volume_bytes());
            let _ = write!(
                script,
                "lvcreate -y -L {bytes}b -n {volume} {group}
                 dd if={at}.body of=/dev/{group}/{volume} bs=1M conv=notrunc
                 dd if={at}.footer of=/dev/{group}/{volume} bs=512 seek={} conv=notrunc\n",
                bytes / SECTOR - 1
            );
            nested = nested.input(&format!("{at}.body"), &disk.body);
            nested = nested.input(&format!("{at}.footer"), &disk.footer);
        }
        let _ = writeln!(script, "vgchange -an {group}; sgdisk --verify /dev/sda");
        let done = nested.run(&script).good();

        assert!(done.stdout.contains("No problems found"), "{}", done.stdout);
    }

    /// What the installer of the document does, command for command as its log has them, when a person lets it go back to the release
    /// before: it forgets the third partition and makes a system on the first.
    ///
    /// Not here: `sfdisk -A1`, which marks the boot record that the installer writes later.
    pub fn downgrade(&self) {
        let script = "set -ex
             sgdisk --zap-all /dev/sda
             sgdisk --mbrtogpt --clear /dev/sda
             sgdisk --new=1:34:8388641 /dev/sda
             sgdisk --typecode=1:0700 /dev/sda
             sgdisk --attributes=1:set:2 /dev/sda
             sgdisk --new=2:8388642:16777249 /dev/sda
             sgdisk --typecode=2:0700 /dev/sda
             i=0; while [ $i -lt 100 ] && ! [ -e /dev/sda1 ]; do usleep 50000; i=$((i+1)); done
             mkfs.ext3 -F -L root-skirhppo /dev/sda1
             sgdisk --print /dev/sda > /out/table
             pvs --noheadings > /out/pvs";
        let done = Nested::new().disk(self.image(), "host").run(script).good();
        assert_eq!(done.text("pvs").trim(), "", "no volume group is left to see");
        let table = done.text("table");
        assert_eq!(table.lines().filter(|l| l.contains(" 0700 ")).count(), 2, "{table}");
        // The type's column alone: the disk's GUID is drawn by lot and has held these four digits.
        assert!(!table.contains(" 8E00"), "{table}");
    }

    /// Tries the repaired disk on real LVM: the table is sound and as it was, the group comes up, each volume has its bytes, and QEMU
    /// reads from the volumes' places what the machines had.
    pub fn proves_whole(&self) {
        let group = self.group();
        let mut script = format!(
            "set -ex
             sgdisk --verify /dev/sda
             sgdisk --print /dev/sda > /out/table
             e2fsck -f -n /dev/sda1
             pvscan
             vgchange -ay {group}
             vgchange -ay {group}
             pvs --noheadings --nosuffix --units b -o pe_start /dev/sda3 > /out/pe_start
             lvs --noheadings --nosuffix --units b -o lv_name,lv_size,seg_pe_ranges {group} > /out/lvs
             cmp mgt /dev/{group}/MGT\n"
        );
        let mgt = self.dir.path().join("mgt");
        let mut nested = Nested::new().disk(self.image(), "host").input("mgt", &mgt);
        for (at, disk) in self.disks.iter().enumerate() {
            let device = format!("/dev/{group}/{}", disk.volume());
            let body = fs::metadata(&disk.body).expect("a file from before").len();
            let _ = write!(
                script,
                "test \"$(head -c {body} {device} | md5sum)\" = \"$(md5sum < {at}.body)\"
                 dd if={device} bs=512 skip={} | cmp - {at}.footer\n",
                disk.volume_bytes() / SECTOR - 1
            );
            nested = nested.input(&format!("{at}.body"), &disk.body);
            nested = nested.input(&format!("{at}.footer"), &disk.footer);
        }
        let _ = writeln!(script, "vgchange -an {group}");
        let done = nested.run(&script).good();

        assert!(done.stdout.contains("No problems found"), "{}", done.stdout);
        let active = format!("{} logical volume(s)", self.disks.len() + 1);
        assert!(done.stdout.contains(&active), "{}", done.stdout);
        assert_eq!(rows(&done.text("table")), self.table(), "{}", done.text("table"));

        let pe_start: u64 = done.text("pe_start").trim().parse().expect("a number of bytes");
        let volumes = done.text("lvs");
        for disk in &self.disks {
            let line = volumes.lines().find(|l| l.contains(&disk.volume()));
            let words: Vec<&str> = line.expect("its volume is listed").split_whitespace().collect();
            let first = words[2].split(':').nth(1).and_then(|range| range.split('-').next());
            let first: u64 = first.and_then(|n| n.parse().ok()).expect("PV:FIRST-LAST");
            let at = REPOSITORY_FIRST * SECTOR + pe_start + first * EXTENT;
            let vhd = serde_json::json!({"driver": "vpc", "file": {
                "driver": "raw", "offset": at, "size": words[1].parse::<u64>().expect("bytes"),
                "file": {"driver": "file", "filename": self.image()}}});
            let mut compare = command("qemu-img");
            compare.args(["compare", "-U", &format!("json:{vhd}")]);
            compare.arg(format!(
                "json:{}",
                serde_json::json!({"driver": "raw", "file": {
                "driver": "file", "filename": disk.raw}})
            ));
            told(compare);
        }
    }

    /// The table as it was: number, first and last sector, type as `sgdisk` prints them.
    pub fn table(&self) -> Vec<(u32, u64, u64, String)> {
        vec![
            (1, SYSTEM.0, SYSTEM.1, "0700".to_owned()),
            (2, COPY.0, COPY.1, "0700".to_owned()),
            (3, REPOSITORY_FIRST, self.last(), "8E00".to_owned()),
        ]
    }

    /// The volume `MGT`: sectors of text, two for each disk.
    fn names(&self) -> Vec<u8> {
        let mut sectors = vec![
            String::new(),
            format!(
                "<?xml version=\"1.0\" ?><uuid>{}</uuid><allocation>thick</allocation>",
                self.sr
            ),
            "<name_label>Local storage</name_label>".to_owned(),
            "<name_description></name_description>".to_owned(),
        ];
        for disk in &self.disks {
            sectors.push(format!(
                "<vdi><name_label>{}</name_label><name_description>{}</name_description>",
                escaped(disk.name),
                escaped(disk.description)
            ));
            sectors.push(format!(
                "<uuid>{}</uuid><is_a_snapshot>0</is_a_snapshot><snapshot_of></snapshot_of><snapshot_time></snapshot_time>\
                 <type>user</type><vdi_type>vhd</vdi_type><read_only>0</read_only><managed>1</managed>\
                 <metadata_of_pool></metadata_of_pool><deleted>0</deleted></vdi>",
                disk.uuid
            ));
        }
        sectors[0] = format!("XSSM:{:<10}:1:2", sectors.len() * 512);
        let mut bytes: Vec<u8> =
            sectors.iter().flat_map(|s| format!("{s:<512}").into_bytes()).collect();
        bytes.resize(4 << 20, 0);
        bytes
    }
}

/// Rows of what `sgdisk --print` says.
fn rows(printed: &str) -> Vec<(u32, u64, u64, String)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [number, first, last, _, _, code, ..] = words.as_slice() else { return None };
        Some((number.parse().ok()?, first.parse().ok()?, last.parse().ok()?, (*code).to_owned()))
    };
    printed.lines().filter_map(row).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Writes what a machine has on its disk.
fn fill(raw: &Path, content: Content, dir: &Path) {
    match content {
        Content::Encrypted => {
            // QEMU measures its own time for the key, and gives up where the kernel's clock for that is coarse.
            let script = "for try in $(seq 200); do qemu-img create -q -f luks --object secret,id=key,data=passphrase \
                -o key-secret=key,iter-time=10 \"$1\" 16M && exit; done; exit 1";
            let mut luks = command("sh");
            luks.args(["-c", script, "sh"]).arg(raw);
            told(luks);
            // Its data look like noise.
            let mut noise = vec![0; 4 << 20];
            let random = fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut noise));
            random.expect("noise");
            let file = fs::OpenOptions::new().write(true).open(raw);
            let written = file.and_then(|mut f| {
                f.seek(SeekFrom::Start(5 << 20))?;
                std::io::Write::write_all(&mut f, &noise)
            });
            written.expect("room for it");
        }
        Content::Files => {
            let root = dir.join("files");
            for (file, text) in [
                ("etc/hostname", "jira\n"),
                ("etc/fstab", "/dev/xvda1 / ext4 errors=remount-ro 0 1\n"),
                (
                    "etc/os-release",
                    "NAME=\"Ubuntu\"\nVERSION=\"12.04.4 LTS, Precise Pangolin\"\nID=ubuntu\n\
                     PRETTY_NAME=\"Ubuntu precise (12.04.4 LTS)\"\nVERSION_ID=\"12.04\"\n",
                ),
                ("home/ops/.gnupg/secring.gpg", "where are those encryption keys?\n"),
            ] {
                let to = root.join(file);
                let made = fs::create_dir_all(to.parent().expect("a file in a directory"));
                made.and_then(|()| fs::write(&to, text)).expect("room for small files");
            }
            sparse(raw, 64 * MIB);
            let mut mkfs = command("/sbin/mke2fs");
            mkfs.args(["-q", "-t", "ext4", "-L", "data", "-d"]).arg(root).arg(raw);
            told(mkfs);
        }
        Content::Bootable => {
            let from = test_guest_image().with_extension("raw");
            fs::copy(from, raw).expect("room for the test guest's disk");
        }
    }
}

fn sparse(file: &Path, bytes: u64) {
    let opened = fs::OpenOptions::new().create(true).truncate(false).write(true).open(file);
    opened.and_then(|f| f.set_len(bytes)).expect("a sparse file");
}

fn told(command: std::process::Command) -> String {
    must(command, None, CONVERT).unwrap_or_else(|e| panic!("{e:#}"))
}
