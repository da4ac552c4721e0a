//! LVM2 on disk: labels, metadata areas with all their generations, the text grammar, and volumes as sources.
//!
//! ```text
//! physical volume:  0        512       4096                     pe_start ...                    end
//!                   |        label     area header, ring        extents                         (second area)
//! ring of an area:  512 ..: text of seqno 1 | text of seqno 2 | ... wraps | each from a 512-byte boundary, ended by NUL
//! ```
//! Read in this order: [`label`] finds the physical volume, [`area`] the texts, [`text`] parses one, [`volumes`] gives it meaning.

pub mod area;
pub mod label;
pub mod text;
pub mod volumes;

/// An id of 32 characters with the dashes that LVM shows: 6-4-4-4-4-4-6. Other text is returned as it is.
#[must_use]
pub fn dashed(id: &str) -> String {
    if id.len() != 32 || !id.is_ascii() {
        return id.to_owned();
    }
    let cuts = [0, 6, 10, 14, 18, 22, 26, 32];
    cuts.windows(2).map(|w| &id[w[0]..w[1]]).collect::<Vec<_>>().join("-")
}

/// An id without its dashes.
#[must_use]
pub fn plain(id: &str) -> String {
    id.replace('-', "")
}

/// A group's or volume's name in device-mapper's: each dash doubled.
#[must_use]
pub fn device_mapper_name(group: &str, volume: &str) -> String {
    format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--"))
}

/// Group and volume of a device-mapper name: the one dash that is not doubled separates them.
#[must_use]
pub fn from_device_mapper_name(name: &str) -> Option<(String, String)> {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'-' {
            if bytes.get(at + 1) == Some(&b'-') {
                at += 2;
                continue;
            }
            let whole = |part: &str| part.replace("--", "-");
            return Some((whole(&name[..at]), whole(&name[at + 1..])));
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shown_as_lvm_shows_them() {
        let id = "EjG6oYe5tWn1KOPdSdqDXHyFGQ81i110";
        assert_eq!(dashed(id), "EjG6oY-e5tW-n1KO-PdSd-qDXH-yFGQ-81i110");
        assert_eq!(plain(&dashed(id)), id);
        assert_eq!(dashed("short"), "short");
    }

    #[test]
    fn names_for_device_mapper_go_back_and_forth() {
        let (group, volume) = ("VG_XenStorage-b2-c", "VHD-1-2");
        let name = device_mapper_name(group, volume);
        assert_eq!(name, "VG_XenStorage--b2--c-VHD--1--2");
        assert_eq!(from_device_mapper_name(&name), Some((group.into(), volume.into())));
        assert_eq!(from_device_mapper_name("plain"), None);
    }
}
