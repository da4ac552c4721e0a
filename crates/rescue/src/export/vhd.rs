//! Writes a dynamic VHD laid out as XenServer does: footer, header, table, batmap, then blocks whose data lies on 4096 bytes, footer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use disk_format::vhd::{
    ABSENT, BLOCK_BYTES, FOOTER_BYTES, Footer, HEADER_BYTES, Header, Id, Kind, SECTOR,
};

use super::target::Target;

/// A sector, as a footer is.
const BITMAP_BYTES: u64 = SECTOR;
const TABLE_AT: u64 = (FOOTER_BYTES + HEADER_BYTES) as u64;
/// QEMU opens no larger ones: its table of 2 MiB blocks would pass what its sector numbers can hold.
const MAX_BYTES: u64 = 2040 << 30;

/// The file.
#[derive(Debug)]
pub(crate) struct VhdTarget {
    file: File,
    footer: Footer,
    table: Vec<u32>,
    /// Where the batmap's header is.
    batmap_at: u64,
    /// Where the next block may begin.
    end: u64,
}

impl VhdTarget {
    /// Begins a file, or goes on with one of which `used` bytes are written.
    pub(crate) fn new(
        file: File,
        size_bytes: u64,
        id: Id,
        timestamp: u32,
        used: u64,
    ) -> io::Result<Self> {
        if size_bytes == 0 || size_bytes > MAX_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a VHD holds 1 byte to 2040 GiB, not {size_bytes} bytes"),
            ));
        }
        let blocks = size_bytes.div_ceil(u64::from(BLOCK_BYTES));
        let entries = u32::try_from(blocks).map_err(io::Error::other)?;
        let footer = Footer::new(Kind::Dynamic, size_bytes, id, timestamp);
        let batmap_at = (TABLE_AT + 4 * blocks).next_multiple_of(SECTOR);
        let end = batmap_at + SECTOR + Self::batmap_len(blocks);
        let mut target =
            Self { file, footer, table: vec![ABSENT; entries as usize], batmap_at, end };
        if used > 0 {
            let mut bytes = vec![0; target.table.len() * 4];
            target.file.read_exact_at(&mut bytes, TABLE_AT)?;
            for (entry, bytes) in target.table.iter_mut().zip(bytes.chunks_exact(4)) {
                let at = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                // What lies behind `used` was written by a checkpoint whose state was not kept any more.
                *entry = if u64::from(at) * SECTOR < used { at } else { ABSENT };
            }
            target.end = used;
            target.file.set_len(used)?;
            return Ok(target);
        }
        target.file.set_len(0)?;
        target.file.write_all_at(&target.footer.to_bytes(), 0)?;
        let header = Header::new(TABLE_AT, entries);
        target.file.write_all_at(&header.to_bytes(), FOOTER_BYTES as u64)?;
        target.write_tables()?;
        Ok(target)
    }

    fn batmap_len(blocks: u64) -> u64 {
        blocks.div_ceil(8).next_multiple_of(SECTOR)
    }

    fn write_tables(&self) -> io::Result<()> {
        let bytes: Vec<u8> = self.table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        self.file.write_all_at(&bytes, TABLE_AT)?;
        let blocks = self.table.len() as u64;
        let len = Self::batmap_len(blocks);
        let mut map = vec![0_u8; usize::try_from(len).map_err(io::Error::other)?];
        for (block, _) in self.table.iter().enumerate().filter(|(_, entry)| **entry != ABSENT) {
            map[block / 8] |= 0x80 >> (block % 8);
        }
        let sum = !map.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        let mut head = [0; FOOTER_BYTES];
        head[..8].copy_from_slice(b"tdbatmap");
        head[8..16].copy_from_slice(&(self.batmap_at + SECTOR).to_be_bytes());
        let sectors = u32::try_from(len / SECTOR).map_err(io::Error::other)?;
        head[16..20].copy_from_slice(&sectors.to_be_bytes());
        // Version 1.2.
        head[20..24].copy_from_slice(&0x0001_0002_u32.to_be_bytes());
        head[24..28].copy_from_slice(&sum.to_be_bytes());
        self.file.write_all_at(&head, self.batmap_at)?;
        self.file.write_all_at(&map, self.batmap_at + SECTOR)
    }

    /// Where the data of a block is; makes the block if it is not there.
    fn data_at(&mut self, block: usize) -> io::Result<u64> {
        if self.table[block] == ABSENT {
            let at = (self.end + BITMAP_BYTES).next_multiple_of(4096) - BITMAP_BYTES;
            self.table[block] = u32::try_from(at / SECTOR).map_err(io::Error::other)?;
            self.file.write_all_at(&[0xFF; FOOTER_BYTES], at)?;
            self.end = at + BITMAP_BYTES + u64::from(BLOCK_BYTES);
        }
        Ok(u64::from(self.table[block]) * SECTOR + BITMAP_BYTES)
    }
}

impl Target for VhdTarget {
    fn write(&mut self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        let size = u64::from(BLOCK_BYTES);
        while !bytes.is_empty() {
            let inside = offset % size;
            let len = usize::try_from(size - inside).unwrap_or(bytes.len()).min(bytes.len());
            let block = usize::try_from(offset / size).map_err(io::Error::other)?;
            let at = self.data_at(block)?;
            self.file.write_all_at(&bytes[..len], at + inside)?;
            offset += len as u64;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.write_tables()?;
        self.file.sync_data()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.write_tables()?;
        self.file.write_all_at(&self.footer.to_bytes(), self.end)
    }

    fn used_bytes(&self) -> u64 {
        self.end
    }
}
