//! The label of a physical volume, and the header behind it.
//!
//! A label states its own sector, so the volume's start follows from where it was found. It lies in one of the first four sectors.

use crate::Defect;
use crate::bytes::{le32, le64, put};
use crate::checksum;

/// First bytes of a label.
pub const MAGIC: &[u8; 8] = b"LABELONE";

/// Bytes 24..32: what is labelled.
const TYPE: &[u8; 8] = b"LVM2 001";

/// Places of a list beyond this many are damage.
const MAX_PLACES: usize = 16;

/// A range of a physical volume, from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub offset: u64,
    /// Bytes; 0 for a data area means "to the end".
    pub size: u64,
}

/// A label with its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Sector of the volume in which it says to lie.
    pub sector: u64,
    /// The volume's id, 32 characters without dashes.
    pub pv_uuid: String,
    /// Size of the device when it was made or last resized, in bytes.
    pub device_size: u64,
    /// Where extents lie.
    pub data_areas: Vec<Place>,
    /// Where metadata lies.
    pub metadata_areas: Vec<Place>,
    /// The volume says that a group uses it (since version 2 of the header's extension).
    pub in_use: Option<bool>,
    /// The checksum holds.
    pub checked: bool,
    /// What is wrong, at bytes of the sector.
    pub defects: Vec<Defect>,
}

/// Parses the label in a sector; `None` if it is none.
#[must_use]
pub fn parse(sector: &[u8]) -> Option<Label> {
    if sector.len() < 512 || !sector.starts_with(MAGIC) {
        return None;
    }
    let sector = &sector[..512];
    let mut defects = Vec::new();
    let checked = checksum::lvm(&sector[20..]) == le32(sector, 16);
    if !checked {
        defects.push(Defect::new(16, "the label fails its checksum"));
    }
    if &sector[24..32] != TYPE {
        defects.push(Defect::new(24, "the label is of another type"));
    }
    let number = le64(sector, 8);
    if number > 3 {
        defects.push(Defect::new(8, format!("the label says that it lies in sector {number}")));
    }
    // The place of the header; damaged ones are taken for the usual one.
    let header = match le32(sector, 20) as usize {
        at @ 32..=424 => at,
        at => {
            defects.push(Defect::new(20, format!("the header is said to be at byte {at}")));
            32
        }
    };
    let id = &sector[header..header + 32];
    let pv_uuid = if id.iter().all(u8::is_ascii_alphanumeric) {
        String::from_utf8_lossy(id).into_owned()
    } else {
        defects.push(Defect::new(header as u64, "the volume's id is not of letters and digits"));
        String::new()
    };
    let mut at = header + 40;
    let data_areas = places(sector, &mut at, &mut defects);
    let metadata_areas = places(sector, &mut at, &mut defects);
    let version = le32(sector, at);
    let in_use = (version >= 1).then(|| le32(sector, at + 4) & 1 == 1);
    Some(Label {
        sector: number,
        pv_uuid,
        device_size: le64(sector, header + 32),
        data_areas,
        metadata_areas,
        in_use,
        checked,
        defects,
    })
}

fn places(sector: &[u8], at: &mut usize, defects: &mut Vec<Defect>) -> Vec<Place> {
    let mut found = Vec::new();
    while *at + 16 <= sector.len() && found.len() < MAX_PLACES {
        let place = Place { offset: le64(sector, *at), size: le64(sector, *at + 8) };
        *at += 16;
        if place.offset == 0 && place.size == 0 {
            return found;
        }
        found.push(place);
    }
    defects.push(Defect::new(*at as u64, "a list of areas has no end"));
    found
}

/// The sector of a label.
#[must_use]
pub fn encode(label: &Label) -> [u8; 512] {
    let mut sector = [0; 512];
    put(&mut sector, 0, MAGIC);
    put(&mut sector, 8, &label.sector.to_le_bytes());
    put(&mut sector, 20, &32_u32.to_le_bytes());
    put(&mut sector, 24, TYPE);
    for (byte, place) in label.pv_uuid.bytes().zip(32..64) {
        sector[place] = byte;
    }
    put(&mut sector, 64, &label.device_size.to_le_bytes());
    let mut at = 72;
    for list in [&label.data_areas, &label.metadata_areas] {
        for place in list.iter().take(MAX_PLACES / 2) {
            put(&mut sector, at, &place.offset.to_le_bytes());
            put(&mut sector, at + 8, &place.size.to_le_bytes());
            at += 16;
        }
        at += 16;
    }
    if let Some(used) = label.in_use {
        put(&mut sector, at, &2_u32.to_le_bytes());
        put(&mut sector, at + 4, &u32::from(used).to_le_bytes());
    }
    let crc = checksum::lvm(&sector[20..]);
    put(&mut sector, 16, &crc.to_le_bytes());
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        Label {
            sector: 1,
            pv_uuid: "EjG6oYe5tWn1KOPdSdqDXHyFGQ81i110".into(),
            device_size: 4_293_901_824,
            data_areas: vec![Place { offset: 11_534_336, size: 0 }],
            metadata_areas: vec![
                Place { offset: 4096, size: 11_530_240 },
                Place { offset: 4_283_367_424, size: 10_534_400 },
            ],
            in_use: Some(true),
            checked: true,
            defects: vec![],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(parse(&encode(&label())), Some(label()));
        assert_eq!(parse(&[0; 512]), None);
    }

    #[test]
    fn any_flipped_byte_after_the_checksum_is_seen() {
        for at in 16..512 {
            let mut sector = encode(&label());
            sector[at] ^= 0x10;
            let parsed = parse(&sector).expect("still a label");
            assert!(!parsed.checked, "byte {at}");
        }
    }
}
