//! Writes a qcow2 image of version 3: header, first table, then data and second tables as they come, reference counts at the end.
//!
//! Each second table covers 512 MiB and is written when the disk has passed it, so memory does not grow with the disk. The header says
//! "dirty" until the counts are there: a reader can use an unfinished file, and nobody takes it for a finished one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::target::Target;

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of a second table, each for a cluster.
const ENTRIES: u64 = CLUSTER / 8;
/// Reference counts of 16 bits in a cluster.
const COUNTS: u64 = CLUSTER / 2;
/// The count is one: writable in place.
const COPIED: u64 = 1 << 63;
const HEADER_BYTES: u32 = 104;

/// The file.
#[derive(Debug)]
pub(crate) struct Qcow2Target {
    file: File,
    size_bytes: u64,
    l1: Vec<u64>,
    /// The second table that is being filled: which, and its entries.
    open: Option<(usize, Vec<u64>)>,
    /// Where the next cluster goes.
    end: u64,
}

impl Qcow2Target {
    /// Begins a file, or goes on with one of which `used` bytes are written.
    pub(crate) fn new(file: File, size_bytes: u64, used: u64) -> io::Result<Self> {
        let entries = size_bytes.div_ceil(ENTRIES * CLUSTER).max(1);
        let l1_clusters = (entries * 8).div_ceil(CLUSTER);
        let l1 = vec![0; usize::try_from(entries).map_err(io::Error::other)?];
        let mut target =
            Self { file, size_bytes, l1, open: None, end: CLUSTER * (1 + l1_clusters) };
        if used > 0 {
            target.l1 = target.read_numbers(CLUSTER, target.l1.len())?;
            target.forget_behind(used)?;
            target.end = used;
            target.file.set_len(used)?;
        } else {
            target.file.set_len(0)?;
            target.file.set_len(target.end)?;
            target.write_header(0, 0, true)?;
        }
        Ok(target)
    }

    /// Takes out of the tables what lies behind `used`: a checkpoint whose state was not kept any more wrote it. Disks are written from
    /// their begin on, so of the second tables only the last one can name such clusters.
    fn forget_behind(&mut self, used: u64) -> io::Result<()> {
        let behind = |entry: &u64| *entry & !COPIED >= used;
        self.l1.iter_mut().filter(|entry| behind(entry)).for_each(|entry| *entry = 0);
        let Some(last) = self.l1.iter().rposition(|entry| *entry != 0) else { return Ok(()) };
        let at = self.l1[last] & !COPIED;
        let mut table =
            self.read_numbers(at, usize::try_from(ENTRIES).map_err(io::Error::other)?)?;
        table.iter_mut().filter(|entry| behind(entry)).for_each(|entry| *entry = 0);
        self.write_numbers(at, &table)
    }

    fn read_numbers(&self, at: u64, count: usize) -> io::Result<Vec<u64>> {
        let mut bytes = vec![0; count * 8];
        self.file.read_exact_at(&mut bytes, at)?;
        let number = |b: &[u8]| b.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        Ok(bytes.chunks_exact(8).map(number).collect())
    }

    fn write_numbers(&self, at: u64, numbers: &[u64]) -> io::Result<()> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
        self.file.write_all_at(&bytes, at)
    }

    fn write_header(&self, refcount_at: u64, clusters: u32, dirty: bool) -> io::Result<()> {
        let mut head = [0; HEADER_BYTES as usize];
        let mut put = |at: usize, what: &[u8]| head[at..at + what.len()].copy_from_slice(what);
        put(0, &disk_format::qcow2::MAGIC);
        put(4, &3_u32.to_be_bytes());
        put(20, &CLUSTER_BITS.to_be_bytes());
        put(24, &self.size_bytes.to_be_bytes());
        put(36, &u32::try_from(self.l1.len()).map_err(io::Error::other)?.to_be_bytes());
        put(40, &CLUSTER.to_be_bytes());
        put(48, &refcount_at.to_be_bytes());
        put(56, &clusters.to_be_bytes());
        put(72, &u64::from(dirty).to_be_bytes());
        // Counts of 16 bits.
        put(96, &4_u32.to_be_bytes());
        put(100, &HEADER_BYTES.to_be_bytes());
        self.file.write_all_at(&head, 0)
    }

    fn allocate(&mut self) -> u64 {
        let at = self.end;
        self.end += CLUSTER;
        at
    }

    /// Makes the second table number `n` the open one.
    fn open_table(&mut self, n: usize) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(open, _)| *open == n) {
            return Ok(());
        }
        self.close_table()?;
        let entries = usize::try_from(ENTRIES).map_err(io::Error::other)?;
        let table = match self.l1[n] & !COPIED {
            0 => {
                self.l1[n] = self.allocate() | COPIED;
                vec![0; entries]
            }
            at => self.read_numbers(at, entries)?,
        };
        self.open = Some((n, table));
        Ok(())
    }

    fn close_table(&mut self) -> io::Result<()> {
        if let Some((n, table)) = self.open.take() {
            self.write_numbers(self.l1[n] & !COPIED, &table)?;
        }
        Ok(())
    }

    /// Where a cluster's data is; makes the cluster if it is not there.
    fn data_at(&mut self, cluster: u64) -> io::Result<u64> {
        let n = usize::try_from(cluster / ENTRIES).map_err(io::Error::other)?;
        let index = usize::try_from(cluster % ENTRIES).map_err(io::Error::other)?;
        self.open_table(n)?;
        let new = self.end;
        let (_, table) = self.open.as_mut().expect("just opened");
        if table[index] == 0 {
            table[index] = new | COPIED;
            self.end += CLUSTER;
            return Ok(new);
        }
        Ok(table[index] & !COPIED)
    }
}

impl Target for Qcow2Target {
    fn write(&mut self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let start = self.data_at(offset / CLUSTER)? + offset % CLUSTER;
            // New clusters lie behind each other: one write for all of them.
            let mut len = CLUSTER - offset % CLUSTER;
            while len < bytes.len() as u64 {
                // One that was made and lies elsewhere (a second table came between) is found again by the next write.
                if self.data_at((offset + len) / CLUSTER)? != start + len {
                    break;
                }
                len += CLUSTER;
            }
            let len = usize::try_from(len).unwrap_or(bytes.len()).min(bytes.len());
            self.file.write_all_at(&bytes[..len], start)?;
            offset += len as u64;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.close_table()?;
        self.write_numbers(CLUSTER, &self.l1)?;
        self.file.sync_data()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.close_table()?;
        self.write_numbers(CLUSTER, &self.l1)?;
        // The counts count themselves: their table and blocks grow with what they hold.
        let used = self.end / CLUSTER;
        let (mut blocks, mut tables) = (0, 0);
        loop {
            let need_blocks = (used + blocks + tables).div_ceil(COUNTS);
            let need_tables = (need_blocks * 8).div_ceil(CLUSTER).max(1);
            if (need_blocks, need_tables) == (blocks, tables) {
                break;
            }
            (blocks, tables) = (need_blocks, need_tables);
        }
        let all = used + blocks + tables;
        let table_at = self.end;
        let blocks_at = table_at + tables * CLUSTER;
        let list: Vec<u64> = (0..blocks).map(|n| blocks_at + n * CLUSTER).collect();
        self.write_numbers(table_at, &list)?;
        for n in 0..blocks {
            let ones = (all - n * COUNTS).min(COUNTS);
            let bytes: Vec<u8> = (0..ones).flat_map(|_| [0, 1]).collect();
            self.file.write_all_at(&bytes, blocks_at + n * CLUSTER)?;
        }
        self.end = all * CLUSTER;
        self.file.set_len(self.end)?;
        let clusters = u32::try_from(tables).map_err(io::Error::other)?;
        self.write_header(table_at, clusters, false)
    }

    fn used_bytes(&self) -> u64 {
        self.end
    }
}
