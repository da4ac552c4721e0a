//! The damage campaign: each seed damages the metadata of a small repository and judges what is brought back.
//!
//! What is damaged: footers, headers, tables and batmaps of VHDs, both partition tables, label and metadata areas; bits flipped, ranges
//! zeroed, or the disk's end cut off, up to 5 % of the metadata's bytes. What is demanded: no panic, an answer in time, no wrong byte that
//! is not told as doubtful or unreadable, and everything whole where only one of two copies was hit. Left out: sectors' bits of blocks that
//! are not full, which nothing on the disk could contradict.
//!
//! `cargo xtask soak --salvage 2000 --seed 1` runs more seeds than the test does.

mod wreck;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use disk_format::gpt;
use disk_format::source::Source;
use rescue::images;
use rescue::volumes::{self, Reading};
use wreck::disk::{Part, small};

/// Longest time for one disk, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A small, repeatable source of choices.
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// What one seed did.
#[derive(Debug)]
struct Damage {
    what: String,
    /// Names of parts and copies that were touched.
    touched: Vec<(String, u8)>,
    /// Bytes that were changed or cut off; for telling which disks can be whole.
    disk: Vec<u8>,
}

fn damage(whole: &[u8], parts: &[Part], seed: u64) -> Damage {
    let mut choices = Choices(seed);
    let total: u64 = parts.iter().map(|part| part.range.end - part.range.start).sum();
    // From one byte to 5 %, small ones as often as large ones.
    let most = total / 20;
    let amount = (1_u64 << choices.below(u64::from(most.ilog2()) + 1)).max(1);
    let amount = (amount + choices.below(amount)).min(most);
    let mut disk = whole.to_vec();
    let mut places: Vec<u64> = Vec::new();
    let at = |mut n: u64| {
        for part in parts {
            let len = part.range.end - part.range.start;
            if n < len {
                return part.range.start + n;
            }
            n -= len;
        }
        0
    };
    let what;
    match choices.below(3) {
        0 => {
            what = format!("{amount} bytes flipped");
            for _ in 0..amount {
                let place = at(choices.below(total));
                let byte = &mut disk[usize::try_from(place).expect("small")];
                *byte ^= u8::try_from(1 + choices.below(255)).expect("a byte");
                places.push(place);
            }
        }
        1 => {
            let runs = 1 + choices.below(4);
            what = format!("{amount} bytes zeroed in {runs} runs");
            for _ in 0..runs {
                let first = choices.below(total);
                for n in 0..(amount / runs).max(1) {
                    let place = at((first + n) % total);
                    let byte = &mut disk[usize::try_from(place).expect("small")];
                    if *byte != 0 {
                        places.push(place);
                    }
                    *byte = 0;
                }
            }
        }
        _ => {
            what = format!("{amount} bytes cut off");
            let end = whole.len() as u64;
            disk.truncate(usize::try_from(end - amount).expect("small"));
            places.extend(end - amount..end);
        }
    }
    let mut touched: Vec<(String, u8)> = parts
        .iter()
        .filter(|part| places.iter().any(|place| part.range.contains(place)))
        .map(|part| (part.name.clone(), part.copy))
        .collect();
    touched.dedup();
    Damage { what, touched, disk }
}

/// Whether redundancy must make everything good: of each thing that has two copies one is untouched, and nothing else was hit.
fn must_be_whole(touched: &[(String, u8)]) -> bool {
    let redundant = |name: &str| name == "gpt" || name == "area" || name.starts_with("footer");
    touched.iter().all(|(name, copy)| {
        redundant(name) && !touched.contains(&(name.clone(), 1 - copy))
            // A label is made good by an area's header; it has no second copy, but its areas have.
            || name == "label" && !touched.iter().any(|(name, _)| name == "area")
    })
}

#[derive(Debug, Default)]
struct Rate {
    disks: usize,
    whole: usize,
    told: usize,
    redundant: usize,
}

fn judge(whole: &[u8], parts: &[Part], contents: &[(String, Vec<u8>)], seed: u64, rate: &mut Rate) {
    let damage = damage(whole, parts, seed);
    let context = format!("seed {seed}: {} ({:?})", damage.what, damage.touched);
    let demanded = must_be_whole(&damage.touched);
    rate.redundant += usize::from(demanded);
    let started = Instant::now();
    let second = damage.touched.iter().any(|(name, copy)| name == "gpt" && *copy == 1);
    let disk_sectors = damage.disk.len() as u64 / 512;
    let source: Source = Arc::new(damage.disk);
    if !second {
        let backup = gpt::read_at_lba(&source, disk_sectors - 1, 512).expect("read");
        let backup = backup.unwrap_or_else(|| panic!("{context}: the second GPT is not seen"));
        assert!(backup.sound(), "{context}: the second GPT is not sound");
        assert_eq!(backup.entries.len(), 3, "{context}");
    }
    let found =
        volumes::search(Path::new("disk"), &source, &Reading::default()).unwrap_or_default();
    for (uuid, wanted) in contents {
        rate.disks += 1;
        let matching: Vec<usize> =
            (0..found.len()).filter(|n| found[*n].vdi() == Some(uuid)).collect();
        let image = match matching[..] {
            [n] => images::open(&found, n).ok(),
            _ => None,
        };
        let Some(image) = image else {
            assert!(!demanded, "{context}: {uuid} is not found");
            rate.told += 1;
            continue;
        };
        let mut got = vec![0; wanted.len()];
        let bad = image.disk.read(0, &mut got);
        let size_is_right = image.disk.size() == wanted.len() as u64;
        let is_bad = |at: u64| bad.iter().any(|b| (b.offset..b.offset + b.length).contains(&at));
        let vouched = image.doubt.is_none();
        assert!(size_is_right || !vouched, "{context}: {uuid} has {} bytes", image.disk.size());
        for (n, (got, wanted)) in (0_u64..).zip(got.chunks(512).zip(wanted.chunks(512))) {
            assert!(
                got == wanted || !vouched || is_bad(n * 512),
                "{context}: sector {n} of {uuid} is wrong and not told; {:?} {:?}",
                image.notes,
                image.disk.piece(n * 512, 4096)
            );
        }
        let is_whole = vouched && bad.is_empty();
        assert!(is_whole || !demanded, "{context}: {uuid} is not whole: {:?} {bad:?}", image.doubt);
        rate.whole += usize::from(is_whole);
        rate.told += usize::from(!is_whole);
    }
    assert!(started.elapsed() < LIMIT, "{context}: took {:?}", started.elapsed());
}

#[test]
#[expect(clippy::print_stdout, reason = "the rate is what the campaign is run for")]
fn no_damage_gives_wrong_bytes_for_good_and_copies_make_each_other_good() {
    let (disk, contents) = small();
    let mut whole = vec![0; usize::try_from(disk.size()).expect("small")];
    let parts = disk.write(&mut |at, bytes| {
        let at = usize::try_from(at).expect("small");
        whole[at..at + bytes.len()].copy_from_slice(bytes);
    });
    let number = |name: &str, usual: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (seeds, first) = (number("HOLDFAST_SALVAGE_SEEDS", 25), number("HOLDFAST_SALVAGE_SEED", 1));
    let mut rate = Rate::default();
    assert!(must_be_whole(&[]));
    for seed in first..first + seeds {
        judge(&whole, &parts, &contents, seed, &mut rate);
    }
    println!(
        "salvage seeds={seeds} first={first} disks={} whole={} told={} rate={:.1}% seeds-with-redundancy={} all-whole-there=yes",
        rate.disks,
        rate.whole,
        rate.told,
        rate.whole as f64 * 100.0 / rate.disks.max(1) as f64,
        rate.redundant
    );
}
