//! What the real tools' superblocks say, first ones and copies, wherever on a disk they lie.

use disk_format::magic::{self, Mark};
use disk_format::signature::{self, Signature};

/// Images of the committed samples, by kind, with their size.
fn samples() -> Vec<(String, Vec<u8>, u64)> {
    let mut images: Vec<(String, Vec<u8>, u64)> = Vec::new();
    for line in include_str!("signatures.txt").lines().filter(|line| !line.starts_with('#')) {
        let (head, tail) = line.split_once(' ').expect("two words");
        match head.parse::<usize>() {
            Err(_) => {
                let size: u64 = tail.parse().expect("a size");
                images.push((
                    head.to_owned(),
                    vec![0; usize::try_from(size).expect("small")],
                    size,
                ));
            }
            Ok(at) => {
                let (_, image, _) = images.last_mut().expect("a kind comes first");
                for (n, byte) in tail.as_bytes().chunks(2).enumerate() {
                    let digits = std::str::from_utf8(byte).expect("text");
                    image[at + n] = u8::from_str_radix(digits, 16).expect("a byte");
                }
            }
        }
    }
    images
}

/// All that a sweep finds, by start. Zeroes, most of an image, are skipped in large steps.
fn found(disk: &Vec<u8>) -> Vec<(u64, Signature)> {
    let mut marks: Vec<(u64, Mark)> = Vec::new();
    let zeroes = vec![0; 1 << 20];
    for (part, base) in disk.chunks(1 << 20).zip((0..).step_by(1 << 20)) {
        if part != &zeroes[..part.len()] {
            magic::search(part, base, |at, mark| marks.push((at, mark)));
        }
    }
    marks.iter().filter_map(|(at, mark)| signature::from_mark(disk, *mark, *at)).collect()
}

#[test]
fn each_kind_tells_its_label_uuid_size_and_start() {
    // Kind, label, uuid as blkid shows it, bytes less than the image has, checksum, copies beside the first one.
    let expected = [
        ("ext4", "ext4", "rescued root", "11111111-2222-3333-4444-555555555555", Some(0), true, 0),
        ("ext3", "ext3", "old", "a93a4e66-c9a8-47e4-9bb7-2bf8516c3a4d", Some(0), false, 1),
        ("xfs", "xfs", "xlabel", "fd742963-3f75-4a3e-832e-e105e8dfcbae", Some(0), true, 1),
        ("btrfs", "btrfs", "blabel", "9d6deaff-d8ad-4ed7-b22f-598ab6321b29", Some(0), true, 1),
        ("fat32", "fat", "FATLABEL", "79C0-B352", Some(0), false, 0),
        ("fat16", "fat", "SIXTEEN", "79C0-D371", Some(0), false, 0),
        ("ntfs", "ntfs", "NT fs", "3D54B3ED0A8F5744", Some(0), false, 1),
        ("exfat", "exfat", "", "7FEA-D79C", Some(0), false, 0),
        ("swap", "swap", "swp", "fe7877ee-6e6e-476c-93e8-e9390d74ca4f", Some(0), false, 0),
        ("luks1", "luks1", "", "3615a1ad-696a-4b07-b10a-bb3a463d720d", None, false, 0),
        ("luks2", "luks2", "lk2", "97507f97-f6a8-4c84-81ab-1a503a02d81e", None, false, 1),
    ];
    let samples = samples();
    assert_eq!(samples.len(), expected.len());
    for ((name, image, size), (kind_of, kind, label, uuid, less, checked, copies)) in
        samples.iter().zip(expected)
    {
        assert_eq!(name, kind_of);
        for shift in [0_usize, 63 * 512] {
            let mut disk = vec![0; shift];
            disk.extend(image);
            let first = signature::at(&disk, shift as u64);
            let first = first.unwrap_or_else(|| panic!("{name} is not seen at {shift}"));
            assert_eq!((first.kind, first.label.as_str()), (kind, label), "{name}");
            assert_eq!(first.uuid, uuid, "{name}");
            assert_eq!(first.size_bytes, less.map(|less: u64| size - less), "{name}");
            assert_eq!((first.checked, first.copy), (checked, false), "{name}");

            let all = found(&disk);
            assert!(all.iter().all(|(start, _)| *start == shift as u64), "{name}: {all:?}");
            assert_eq!(all.iter().filter(|(_, s)| s.copy).count(), copies, "{name}: {all:?}");
            for (_, copy) in &all {
                assert_eq!((&copy.uuid, copy.size_bytes), (&first.uuid, first.size_bytes));
            }
            if copies > 0 {
                // With the first one gone, the copy still tells the start.
                let at = usize::try_from(if kind == "btrfs" { 65_536 } else { 0 }).expect("small");
                disk[shift + at..shift + at + 2048].fill(0);
                let all = found(&disk);
                assert!(!all.is_empty(), "{name} has no copy");
                for (start, left) in all {
                    assert_eq!((start, left.copy), (shift as u64, true), "{name}");
                    assert_eq!((&left.uuid, left.size_bytes), (&first.uuid, first.size_bytes));
                }
            }
        }
    }
}

#[test]
fn a_damaged_superblock_is_not_believed_where_its_checksum_tells() {
    for (name, image, _) in
        samples().iter().filter(|(name, ..)| ["ext4", "xfs", "btrfs"].contains(&&**name))
    {
        let place = match name.as_str() {
            "ext4" => 1024 + 4,
            "xfs" => 9,
            _ => 65_536 + 112,
        };
        let mut disk = image.clone();
        disk[place] ^= 4;
        assert!(signature::at(&disk, 0).is_none(), "{name}");
    }
}

/// The damage is random, but the same each time.
#[test]
fn no_bytes_stop_a_parser_and_no_size_overflows() {
    for (name, image, _) in &samples() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let places: Vec<usize> =
            image.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
        let mut disk = image.clone();
        for _ in 0..400 {
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            let mut changed = Vec::new();
            for _ in 0..1 + next() % 6 {
                let n = usize::try_from(next()).unwrap_or(0) % places.len();
                let at =
                    (places[n] + usize::try_from(next() % 8).expect("small")).min(disk.len() - 1);
                changed.push((at, disk[at]));
                disk[at] = [0, 1, 0x7f, 0x80, 0xff][usize::try_from(next() % 5).expect("small")];
            }
            for at in [0, 1024, 3584, 16_384, 65_536] {
                for mark in signature::MARKS {
                    if let Some((start, found)) = signature::from_mark(&disk, mark, at) {
                        assert!(start <= at, "{name}");
                        assert!(found.size_bytes.is_none_or(|size| size > 0), "{name}");
                    }
                }
            }
            for (at, byte) in changed.into_iter().rev() {
                disk[at] = byte;
            }
        }
    }
}
