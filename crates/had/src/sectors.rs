//! Sectors in a file on a shared repository, read and written past every cache: what leases on storage stand on.
//!
//! ```text
//!  file: slot 0 │ slot 1 │ …    4,096 bytes each, one writer each
//!  slot: magic, version │ host │ pool epoch │ boot │ count │ SHA-256 of all before │ zeros
//!             8         │  16  │     8      │  16  │   8   │          32
//! ```
//! A file system that refuses direct I/O is refused: what another host wrote might not be seen there. Invariants: numbers
//! are little endian; a write returns when the storage has it; what is neither zeros nor whole is an error, never "empty".

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use liveness::storage_beat::Sign;
use rustix::fs::OFlags;
use uuid::Uuid;

/// Bytes of a slot: the largest sector of disks, so that a write is never part of one.
pub const SECTOR: usize = 4096;
const MAGIC: [u8; 8] = *b"HFSIGN\0\x01";
const BODY: usize = 56;

/// A slot's bytes, where direct I/O wants them in memory.
#[repr(align(4096))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sector(pub [u8; SECTOR]);

impl Sector {
    /// As it was never written.
    pub const EMPTY: Self = Self([0; SECTOR]);

    /// What a host writes.
    pub fn of(host: Uuid, sign: &Sign) -> Self {
        let mut sector = Self::EMPTY;
        let bytes = &mut sector.0;
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(host.as_bytes());
        bytes[24..32].copy_from_slice(&sign.pool_epoch.to_le_bytes());
        bytes[32..48].copy_from_slice(&sign.boot.to_le_bytes());
        bytes[48..BODY].copy_from_slice(&sign.count.to_le_bytes());
        let sum = digest::digest(&digest::SHA256, &bytes[..BODY]);
        bytes[BODY..BODY + 32].copy_from_slice(sum.as_ref());
        sector
    }

    /// Who wrote it, and what; `None` if nobody did.
    ///
    /// # Errors
    /// `InvalidData` if it is damaged or something else.
    pub fn sign(&self) -> io::Result<Option<(Uuid, Sign)>> {
        if *self == Self::EMPTY {
            return Ok(None);
        }
        let bytes = &self.0;
        let sum = digest::digest(&digest::SHA256, &bytes[..BODY]);
        if bytes[..8] != MAGIC || bytes[BODY..BODY + 32] != *sum.as_ref() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the sector is no host's sign"));
        }
        let number = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let sign = Sign {
            pool_epoch: number(24),
            boot: bytes[32..48].try_into().map_or(0, u128::from_le_bytes),
            count: number(48),
        };
        Ok(Some((Uuid::from_slice(&bytes[8..24]).unwrap_or_default(), sign)))
    }
}

/// Slots that several hosts share.
pub trait Sectors: Send + Sync {
    /// Reads a slot from the storage itself.
    ///
    /// # Errors
    /// The storage's.
    fn read(&self, slot: u8) -> io::Result<Sector>;

    /// Writes a slot; it is on the storage when this returns.
    ///
    /// # Errors
    /// The storage's: it may be written all the same, also later.
    fn write(&self, slot: u8, sector: &Sector) -> io::Result<()>;
}

/// Slots in a file.
#[derive(Debug)]
pub struct OnFile(File);

impl OnFile {
    /// Opens the file, made with so many slots if it is not there.
    ///
    /// # Errors
    /// The file system's; `InvalidInput` where it refuses direct I/O.
    pub fn open(path: &Path, slots: u8) -> io::Result<Self> {
        let past_caches = i32::try_from((OFlags::DIRECT | OFlags::DSYNC).bits());
        let past_caches = past_caches.map_err(|_| io::Error::other("no flags of this system"))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(past_caches).open(path)?;
        let length = offset(slots);
        if file.metadata()?.len() < length {
            // Two hosts at once make it equally long.
            file.set_len(length)?;
            file.sync_all()?;
        }
        Ok(Self(file))
    }
}

fn offset(slot: u8) -> u64 {
    u64::from(slot) * SECTOR as u64
}

impl Sectors for OnFile {
    fn read(&self, slot: u8) -> io::Result<Sector> {
        let mut sector = Sector::EMPTY;
        self.0.read_exact_at(&mut sector.0, offset(slot))?;
        Ok(sector)
    }

    fn write(&self, slot: u8, sector: &Sector) -> io::Result<()> {
        self.0.write_all_at(&sector.0, offset(slot))
    }
}

/// Slots in memory: no host shares them.
#[derive(Debug)]
pub struct InMemory(Mutex<Vec<Sector>>);

impl InMemory {
    /// So many empty ones.
    pub fn new(slots: u8) -> Self {
        Self(Mutex::new(vec![Sector::EMPTY; slots.into()]))
    }
}

impl Sectors for InMemory {
    fn read(&self, slot: u8) -> io::Result<Sector> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(usize::from(slot)).cloned().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn write(&self, slot: u8, sector: &Sector) -> io::Result<()> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = slots.get_mut(usize::from(slot)).ok_or(io::ErrorKind::UnexpectedEof)?;
        place.clone_from(sector);
        Ok(())
    }
}
