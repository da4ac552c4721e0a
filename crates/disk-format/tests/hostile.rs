//! Hostile bytes: whatever lies on a disk, parsers end without panic, and what they write they read back.

use disk_format::lvm::area::{self, Header, Slot};
use disk_format::lvm::label::{self, Label, Place};
use disk_format::lvm::{text, volumes};
use disk_format::xenserver::mgt;
use disk_format::{gpt, magic, mbr};
use proptest::prelude::*;

fn sample_text() -> Vec<u8> {
    let mut text = b"vg {\nid = \"a-b\"\nseqno = 7\nstatus = [\"READ\"]\nextent_size = 8192\nphysical_volumes {\npv0 {\nid = \"p\"\ndev_size = 999\npe_start = 2048\npe_count = 3\n}\n}\nlogical_volumes {\nMGT {\nid = \"l\"\nsegment1 {\nstart_extent = 0\nextent_count = 1\ntype = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv0\", 0\n]\n}\n}\n}\n}\ncontents = \"Text Format Volume Group\"\n".to_vec();
    text.push(0);
    text
}

/// Flips of bytes at places of a sample.
fn mutated(sample: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = sample.len();
    proptest::collection::vec((0..len, any::<u8>()), 0..24).prop_map(move |flips| {
        let mut bytes = sample.clone();
        for (at, byte) in flips {
            bytes[at] = byte;
        }
        bytes
    })
}

fn sample_disk() -> Vec<u8> {
    let mut disk = vec![0; 256 * 512];
    let entry = |number, first_lba| gpt::Entry {
        number,
        type_guid: gpt::LINUX_LVM,
        unique_guid: gpt::Guid([3; 16]),
        first_lba,
        last_lba: first_lba + 9,
        attributes: 0,
        name: "x".into(),
    };
    let header = gpt::fresh_header(gpt::Guid([1; 16]), 256, 512);
    for (at, bytes) in gpt::encode(&header, &[entry(1, 40), entry(2, 60)], 512) {
        let at = usize::try_from(at).expect("small");
        disk[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    disk
}

proptest! {
    #[test]
    fn mutated_texts_end_and_their_groups_open(bytes in mutated(sample_text())) {
        if let Some((group, _)) = volumes::group(&text::parse(&bytes)) {
            let source: disk_format::source::Source = std::sync::Arc::new(vec![0; 1 << 16]);
            let present = group.physical.iter().map(|p| (p.name.clone(), source.clone())).collect();
            for volume in &group.logical {
                let opened = volumes::open(&group, volume, &present);
                let _ = disk_format::source::read_vec(&opened, 0, 512);
                let _ = volumes::extents(&group, volume);
            }
        }
    }

    #[test]
    fn mutated_tables_end_and_a_sound_one_is_the_written_one(bytes in mutated(sample_disk())) {
        let written = gpt::read_at_lba(&sample_disk(), 1, 512).expect("read").expect("a table");
        for lba in [1, 255] {
            if let Some(table) = gpt::read_at_lba(&bytes, lba, 512).expect("memory") && table.sound() {
                prop_assert_eq!(&table.entries, &written.entries);
            }
        }
        let _ = mbr::read(&bytes);
    }

    #[test]
    fn noise_is_nothing_and_never_stops_a_parser(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = label::parse(&bytes);
        let _ = area::parse(&bytes);
        let _ = text::parse(&bytes);
        let _ = mbr::parse(&bytes, 0);
        let _ = mgt::read(&bytes);
        magic::search(&bytes, 0, |_, _| {});
    }

    #[test]
    fn labels_and_areas_are_read_back(sector in 0_u64..4, size: u64, offset in 1_u64.., len in 1_u64.., crc: u32) {
        let made = Label {
            sector,
            pv_uuid: "a".repeat(32),
            device_size: size,
            data_areas: vec![Place { offset, size: 0 }],
            metadata_areas: vec![Place { offset, size: len }],
            in_use: Some(true),
            checked: true,
            defects: vec![],
        };
        prop_assert_eq!(label::parse(&label::encode(&made)), Some(made));
        let slot = Slot { offset, size: len, crc, flags: 0 };
        let header = Header { start: 4096, size, committed: Some(slot), precommitted: None, checked: true, defects: vec![] };
        prop_assert_eq!(area::parse(&area::encode(&header)), Some(header));
        // Numbers that fit nothing are refused, not followed.
        let _ = area::read_slot(&vec![0; 4096], 0, size, &slot);
        let _ = area::read_slot(&vec![0; 4096], offset, 4096, &slot);
    }

    #[test]
    fn mutated_management_volumes_end(bytes in mutated(b"XSSM:4096      :1:2".iter().copied().chain(b"<vdi><name_label>a &amp; b</name_label><uuid>x</uuid></vdi>".repeat(60)).collect())) {
        let _ = mgt::read(&bytes);
    }
}
