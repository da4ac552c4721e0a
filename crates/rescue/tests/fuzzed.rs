//! The entries of `fuzz/` on their committed seeds, whole and changed: what the fuzzer calls for hours is called here for a moment.

#[path = "../../../fuzz/entries.rs"]
mod entries;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;

/// Longest answer to a seed, on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

fn seeds(entry: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(entry);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("read")).collect()
}

fn call(name: &str, entry: fn(&[u8]), bytes: &[u8]) {
    let begun = Instant::now();
    entry(bytes);
    assert!(begun.elapsed() < LIMIT, "{name} took {:?}", begun.elapsed());
}

#[test]
fn each_entry_has_seeds_that_it_takes() {
    for (name, entry) in entries::ENTRIES {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "fuzz/seeds/{name} is empty");
        for seed in &seeds {
            call(name, entry, seed);
            call(name, entry, &seed[..seed.len() / 2]);
        }
        let target = format!("../../fuzz/targets/{name}.rs");
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(),
            "{name} has no target"
        );
    }
}

proptest! {
    // `PROPTEST_CASES` asks for more.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1024)))]

    #[test]
    fn changed_seeds_end_without_panic(
        which in 0..entries::ENTRIES.len(),
        seed: prop::sample::Index,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        cut: Option<prop::sample::Index>,
    ) {
        let (name, entry) = entries::ENTRIES[which];
        let seeds = seeds(name);
        let mut bytes = seeds[seed.index(seeds.len())].clone();
        // Seeds are mostly zeroes: changes go to where something stands.
        let places: Vec<usize> =
            bytes.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
        for (at, byte) in flips {
            if !places.is_empty() {
                bytes[places[at.index(places.len())]] = byte;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len().max(1)));
        }
        call(name, entry, &bytes);
    }
}
