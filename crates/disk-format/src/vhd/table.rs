//! Judges a block table, which has no checksum, by what a table must be.
//!
//! An entry is the sector where a block's bitmap begins, with its data behind it. So it lies behind the header and the table and inside
//! the file, and no two blocks overlap. A writer puts blocks behind each other with the same step, so nearly all lie on one grid; one
//! that does not, and does not follow the block before it closely either, has a wrong number.

use std::collections::BTreeMap;

use super::ABSENT;

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It points behind the end.
    Outside,
    /// It points into the header or the table.
    Metadata,
    /// Its block shares bytes with this other one.
    Overlap(u32),
    /// Its block lies where the writer would not have put one.
    OffGrid,
}

/// Where blocks may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// First sector behind header and table.
    pub(super) first: u64,
    /// Sectors of the source.
    pub(super) end: u64,
    /// Sectors of a bitmap.
    pub(super) bitmap: u64,
    /// Sectors of a bitmap and its data.
    pub(super) block: u64,
}

/// What a table is worth.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// The entries that can't be believed.
    pub(super) faults: BTreeMap<u32, Fault>,
    /// Blocks that are there.
    pub(super) present: u64,
    /// The step between blocks, in sectors, if most are on one grid.
    pub(super) step: Option<u64>,
    /// The sector behind the last block.
    pub(super) end: u64,
}

/// Blocks that say something about a grid.
const FEW: usize = 3;

/// Judges the entries of all blocks of a disk, in order.
pub(super) fn judge(entries: impl Iterator<Item = u32>, bounds: Bounds) -> Judgement {
    let mut judgement = Judgement::default();
    // (sector, block), packed to be sorted quickly.
    let mut inside: Vec<u64> = Vec::new();
    for (block, sector) in (0_u32..).zip(entries) {
        if sector == ABSENT {
            continue;
        }
        judgement.present += 1;
        let at = u64::from(sector);
        if at < bounds.first {
            judgement.faults.insert(block, Fault::Metadata);
        } else if at + bounds.bitmap >= bounds.end {
            judgement.faults.insert(block, Fault::Outside);
        } else {
            inside.push(at << 32 | u64::from(block));
        }
    }
    inside.sort_unstable();
    let sector = |packed: u64| packed >> 32;
    let block = |packed: u64| u32::try_from(packed & 0xFFFF_FFFF).unwrap_or(ABSENT);
    let grid = grid(&inside, bounds);
    judgement.step = grid.map(|(step, _)| step);
    // A table that is damaged elsewhere, and too small to show a grid, is believed only where blocks follow each other.
    let damaged = !judgement.faults.is_empty();
    let on_grid = |at: u64| grid.map_or(!damaged, |(step, phase)| at % step == phase);
    let mut end = bounds.first;
    for (n, packed) in inside.iter().enumerate() {
        let at = sector(*packed);
        let gap = at.saturating_sub(end);
        let close = gap == 0 || (gap < 8 && (at + bounds.bitmap).is_multiple_of(8));
        if !on_grid(at) && !close {
            judgement.faults.insert(block(*packed), Fault::OffGrid);
        }
        if let Some(next) = inside.get(n + 1).filter(|next| sector(**next) < at + bounds.block) {
            // The one on the grid is the writer's.
            let (this, other) = (*packed, *next);
            match (on_grid(at), on_grid(sector(other))) {
                (true, false) => {
                    judgement.faults.insert(block(other), Fault::Overlap(block(this)));
                }
                (false, true) => {
                    judgement.faults.insert(block(this), Fault::Overlap(block(other)));
                }
                _ => {
                    judgement.faults.insert(block(this), Fault::Overlap(block(other)));
                    judgement.faults.insert(block(other), Fault::Overlap(block(this)));
                }
            }
        }
        end = end.max(at + bounds.block);
    }
    judgement.end = end;
    judgement
}

/// The step and phase on which at least three quarters of the blocks lie.
fn grid(sorted: &[u64], bounds: Bounds) -> Option<(u64, u64)> {
    if sorted.len() < FEW {
        return None;
    }
    let steps = sorted.windows(2).map(|w| (w[1] >> 32) - (w[0] >> 32));
    let step = most_common(steps.filter(|step| (bounds.block..bounds.block + 8).contains(step)))?.0;
    let (phase, count) = most_common(sorted.iter().map(|packed| (packed >> 32) % step))?;
    (count * 4 >= sorted.len() * 3).then_some((step, phase))
}

fn most_common(values: impl Iterator<Item = u64>) -> Option<(u64, usize)> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(value, count)| (*count, std::cmp::Reverse(*value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { first: 16, end: 100_000, bitmap: 1, block: 4097 };

    fn xenserver(count: u32) -> Vec<u32> {
        (0..count).map(|n| 23 + 4104 * n).collect()
    }

    #[test]
    fn tables_as_writers_make_them_are_right() {
        let gapless: Vec<u32> = (0..20).map(|n| 16 + 4097 * n).collect();
        let mut mixed = xenserver(10);
        mixed.extend((0..3).map(|n| 23 + 4104 * 9 + 4097 * (n + 1)));
        let mut holes = xenserver(12);
        holes.insert(3, ABSENT);
        holes.swap(0, 7);
        holes.remove(5);
        for table in [gapless, mixed, holes, vec![ABSENT; 9], vec![50, 9000]] {
            let judged = judge(table.iter().copied(), BOUNDS);
            assert!(judged.faults.is_empty(), "{table:?}: {:?}", judged.faults);
        }
    }

    #[test]
    fn each_wrong_entry_is_told() {
        let with = |block: usize, sector: u32| {
            let mut table = xenserver(20);
            table[block] = sector;
            judge(table.into_iter(), BOUNDS).faults
        };
        assert_eq!(with(3, 0)[&3], Fault::Metadata);
        assert_eq!(with(3, 0xFFFF_FFFE)[&3], Fault::Outside);
        assert_eq!(with(3, 23 + 4104 * 5)[&3], Fault::Overlap(5));
        assert_eq!(with(3, 23 + 4104 * 5)[&5], Fault::Overlap(3));
        let only_the_wrong = with(3, 24 + 4104 * 5);
        assert_eq!(only_the_wrong.keys().copied().collect::<Vec<_>>(), [3]);
        assert_eq!(with(19, 90_000)[&19], Fault::OffGrid);
    }

    #[test]
    fn few_blocks_of_a_damaged_table_are_believed_only_behind_each_other() {
        // Block 2 was zeroed, and the last byte of block 1.
        let judged = judge([8215, 4096, 0].into_iter(), BOUNDS);
        assert_eq!(judged.faults.len(), 3);
        let judged = judge([23, 23 + 4104, 0].into_iter(), BOUNDS);
        assert_eq!(judged.faults.keys().copied().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn no_single_changed_bit_of_an_entry_goes_unnoticed() {
        for step in [4097, 4104] {
            let table: Vec<u32> = (0..20).map(|n| 23 + step * n).collect();
            for (block, bit) in (0..20).flat_map(|block| (0..32).map(move |bit| (block, bit))) {
                let mut changed = table.clone();
                changed[block] ^= 1 << bit;
                let judged = judge(changed.into_iter(), BOUNDS);
                let block = u32::try_from(block).expect("small");
                assert!(judged.faults.contains_key(&block), "step {step} block {block} bit {bit}");
            }
        }
    }
}
