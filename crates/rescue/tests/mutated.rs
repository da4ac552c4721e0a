//! Every parser on real bytes that were changed at random: no panic, no endless answer, whatever stands there.

mod wreck;

use std::sync::Arc;
use std::time::{Duration, Instant};

use disk_format::layer::Layer;
use disk_format::lvm::{area, label, text, volumes};
use disk_format::source::{Source, read_vec};
use disk_format::xenserver::mgt;
use disk_format::{gpt, mbr, qcow2, vhd};
use host::exec::Command;
use wreck::Vhd;
use wreck::disk::small;

const ROUNDS: u64 = 300;

/// A small, repeatable source of choices.
struct Choices(u64);

impl Choices {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % limit.max(1) as u64).expect("below a usize")
    }

    /// Changes a few bytes of the first `head`, often to those that are special; sometimes cuts the end off.
    fn change(&mut self, bytes: &mut Vec<u8>, head: usize) {
        for _ in 0..=self.below(8) {
            let at = self.below(head.min(bytes.len()));
            let value = [0, 0xFF, 0x7F, 0x80, 1, u8::try_from(self.below(256)).expect("a byte")];
            let run = 1 + self.below(8);
            let end = bytes.len().min(at + run);
            bytes[at..end].fill(value[self.below(value.len())]);
        }
        if self.below(10) == 0 {
            let len = self.below(bytes.len() + 1);
            bytes.truncate(len);
        }
    }
}

/// Asks a layer for all it has, in bounded steps and from odd places.
fn walk(layer: &dyn Layer, choices: &mut Choices) {
    let size = layer.size();
    let mut at = 0;
    for _ in 0..2000 {
        if at >= size {
            break;
        }
        let extent = layer.extent(at, size - at);
        assert!(extent.length > 0 && extent.length <= size - at, "{extent:?} at {at} of {size}");
        at += extent.length;
    }
    for _ in 0..20 {
        let at = choices.below(usize::try_from(size.clamp(1, 1 << 50)).expect("64 bits")) as u64;
        if at < size {
            let limit = 1 + choices.below(10_000) as u64;
            let extent = layer.extent(at, limit);
            assert!((1..=limit).contains(&extent.length));
            if let disk_format::layer::Run::Packed(packed) = &extent.run {
                let _ = layer.unpack(packed, 0, &mut [0; 16]);
            }
        }
    }
}

fn in_time(what: &str, seed: u64, test: impl FnOnce()) {
    let started = Instant::now();
    test();
    assert!(started.elapsed() < Duration::from_secs(30), "{what}, seed {seed}: too slow");
}

#[test]
fn a_vhd_of_any_bytes_is_read_without_harm() {
    const MIB: u64 = 1 << 20;
    let base = Vhd::new(8 * MIB, 1, &[(0, 5), (8190, 10)]);
    let leaf = Vhd::new(8 * MIB, 2, &[(3, 4)]).on(&base, "VG_XenStorage--1-VHD--base");
    let head = usize::try_from(leaf.head_bytes()).expect("small");
    let whole = leaf.bytes(None);
    for seed in 0..ROUNDS {
        let mut choices = Choices(seed);
        let mut bytes = whole.clone();
        choices.change(&mut bytes, head);
        if seed % 2 == 0 && bytes.len() == whole.len() {
            // The sums made right again: what is behind them is wanted.
            let bytes = &mut bytes[..];
            for (start, len, sum) in [(0, 512, 64), (512, 1024, 36)] {
                let part = &mut bytes[start..start + len];
                part[sum..sum + 4].fill(0);
                let total = part.iter().fold(0_u32, |total, b| total.wrapping_add(u32::from(*b)));
                part[sum..sum + 4].copy_from_slice(&(!total).to_be_bytes());
            }
            let end = bytes.len() - 512;
            bytes.copy_within(0..512, end);
        }
        let source: Source = Arc::new(bytes);
        in_time("vhd", seed, || {
            let _ = vhd::identify(&source);
            if let Some(image) = vhd::Image::open(&source).image {
                walk(&image, &mut choices);
            }
        });
    }
}

#[test]
fn a_qcow2_of_any_bytes_is_read_without_harm() {
    let place = tempfile::tempdir().expect("a directory");
    let raw = place.path().join("raw");
    let bytes: Vec<u8> = (0..4096).flat_map(|n| wreck::sector(5, n / 3)).collect();
    std::fs::write(&raw, bytes).expect("written");
    for options in [&["-c"][..], &[], &["-o", "extended_l2=on"], &["-o", "compat=0.10"]] {
        let path = place.path().join("image");
        let mut arguments = vec!["convert", "-f", "raw", "-O", "qcow2"];
        arguments.extend(options);
        arguments.extend([raw.to_str().expect("text"), path.to_str().expect("text")]);
        Command::new("qemu-img").args(arguments).check().expect("qemu-img");
        let whole = std::fs::read(&path).expect("read");
        for seed in 0..ROUNDS {
            let mut choices = Choices(seed);
            let mut bytes = whole.clone();
            // The header, and the tables of the first clusters.
            choices.change(&mut bytes, if seed % 2 == 0 { 256 } else { 5 << 16 });
            let source: Source = Arc::new(bytes);
            in_time("qcow2", seed, || {
                if let Ok(image) = qcow2::Image::open(&source).image {
                    walk(&image, &mut choices);
                }
            });
        }
    }
}

#[test]
fn a_disk_of_any_bytes_is_read_without_harm() {
    let (disk, _) = small();
    let mut whole = vec![0; usize::try_from(disk.size()).expect("small")];
    let parts = disk.write(&mut |at, bytes| {
        let at = usize::try_from(at).expect("small");
        whole[at..at + bytes.len()].copy_from_slice(bytes);
    });
    for seed in 0..ROUNDS {
        let mut choices = Choices(seed);
        for part in &parts {
            let start = usize::try_from(part.range.start).expect("small");
            let end = usize::try_from(part.range.end).expect("small");
            let mut bytes = whole[start..end].to_vec();
            let len = bytes.len();
            choices.change(&mut bytes, len);
            in_time(&part.name, seed, || {
                let _ = label::parse(&bytes);
                let _ = area::parse(&bytes);
                let _ = mbr::parse(&bytes, 0);
                for at in (0..bytes.len()).step_by(512) {
                    if let Some((group, _)) = volumes::group(&text::parse(&bytes[at..])) {
                        for lv in &group.logical {
                            let source = volumes::open(&group, lv, &volumes::Present::new());
                            let _ = read_vec(&source, 0, 16);
                            let _ = volumes::extents(&group, lv);
                        }
                    }
                    if at > 4096 {
                        break;
                    }
                }
                let source: Source = Arc::new(bytes);
                let _ = gpt::read_at_lba(&source, 0, 512);
                let _ = gpt::read_at_lba(&source, (source.size() / 512).saturating_sub(1), 512);
                let _ = mgt::read(&source);
            });
        }
    }
}
