//! Names of groups and volumes: the repository's uuid, each disk's, and what an interrupted operation left.

use crate::lvm::volumes::LogicalVolume;

/// What the name of a group on local or shared block storage begins with; the repository's uuid follows.
pub const GROUP_PREFIX: &str = "VG_XenStorage-";

/// The uuid of the repository that a group holds.
#[must_use]
pub fn sr_uuid(group: &str) -> Option<&str> {
    group.strip_prefix(GROUP_PREFIX).filter(|uuid| is_uuid(uuid))
}

/// Whether a text has the form of a uuid.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().zip(0..).all(|(byte, at)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// An operation that was begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// `clone`, `inflate`, `leaf`, `coalesce`, `relink`, `zero`, …
    pub operation: String,
    /// The disk that it works on.
    pub vdi: String,
    /// What else it needs to know; `None` if that stands in the volume, because the name would have been too long.
    pub value: Option<String>,
}

/// What a volume is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A disk in VHD form.
    Vhd(String),
    /// A disk as it is.
    Raw(String),
    /// The names of the disks.
    Mgt,
    /// An interrupted operation; never a disk.
    Journal(Journal),
    /// The log of changed blocks of a disk.
    Cbtlog(String),
    /// None of ours.
    Other,
}

impl Role {
    /// The word for it in reports.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Vhd(_) => "vhd",
            Self::Raw(_) => "raw",
            Self::Mgt => "mgt",
            Self::Journal(_) => "journal",
            Self::Cbtlog(_) => "cbtlog",
            Self::Other => "other",
        }
    }

    /// The disk that it holds.
    #[must_use]
    pub fn vdi(&self) -> Option<&str> {
        match self {
            Self::Vhd(uuid) | Self::Raw(uuid) => Some(uuid),
            _ => None,
        }
    }
}

/// Operations that journals are known for; with the tag absent these alone are believed.
const OPERATIONS: [&str; 8] =
    ["clone", "inflate", "leaf", "coalesce", "relink", "zero", "refcount", "jrn"];

/// What a volume of this name and these tags is for.
#[must_use]
pub fn role(name: &str, tags: &[String]) -> Role {
    if let Some(journal) = journal(name, tags) {
        return Role::Journal(journal);
    }
    let uuid = |text: &str| is_uuid(text).then(|| text.to_ascii_lowercase());
    if name == "MGT" {
        return Role::Mgt;
    }
    if let Some(uuid) = name.strip_prefix("VHD-").and_then(uuid) {
        return Role::Vhd(uuid);
    }
    if let Some(uuid) = name.strip_prefix("LV-").and_then(uuid) {
        return Role::Raw(uuid);
    }
    if let Some(uuid) = name.strip_suffix(".cbtlog").and_then(uuid) {
        return Role::Cbtlog(uuid);
    }
    Role::Other
}

fn journal(name: &str, tags: &[String]) -> Option<Journal> {
    let tagged = tags.iter().any(|tag| tag == "journaler");
    let mut parts = name.splitn(3, '_');
    let (operation, vdi) = (parts.next()?, parts.next()?);
    let known = OPERATIONS.contains(&operation) && is_uuid(vdi);
    if !(tagged || known) {
        return None;
    }
    Some(Journal {
        operation: operation.to_owned(),
        vdi: vdi.to_owned(),
        value: parts.next().map(str::to_owned),
    })
}

/// Whether a raw volume is the hidden base of others (in a VHD the footer says so).
#[must_use]
pub fn tagged_hidden(volume: &LogicalVolume) -> bool {
    volume.tags.iter().any(|tag| tag == "hidden")
}

/// The disk that a parent's name in a VHD means: `VG_XenStorage--…-VHD--<uuid>`, `VHD-<uuid>`, `LV-<uuid>`, with or without path and
/// `.vhd`.
#[must_use]
pub fn vdi_of_parent_name(name: &str) -> Option<String> {
    let name = name.replace("--", "-");
    let name = name.strip_suffix(".vhd").unwrap_or(&name);
    let tail = name.get(name.len().checked_sub(36)?..)?;
    is_uuid(tail).then(|| tail.to_ascii_lowercase())
}

/// Size of the volume of a dynamic VHD that is made in full, before it is rounded up to extents: its blocks, and metadata for the largest
/// disk of 2 TiB, so that it can grow.
#[must_use]
pub fn inflated_bytes(virtual_size: u64) -> u64 {
    const BLOCK: u64 = 2 << 20;
    const BLOCKS: u64 = (2 << 40) / BLOCK;
    let table = (3072 + 4 * BLOCKS).next_multiple_of(512);
    let metadata = (table + BLOCKS / 8).next_multiple_of(4096);
    let bitmaps = virtual_size.div_ceil(BLOCK).saturating_mul(4096);
    metadata.saturating_add(bitmaps).saturating_add(virtual_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "b6e421e0-6696-45b1-bad0-6a56f255dc0f";

    #[test]
    fn volumes_are_told_by_their_names() {
        let role = |name: &str| role(name, &[]);
        assert_eq!(role("MGT"), Role::Mgt);
        assert_eq!(role(&format!("VHD-{A}")), Role::Vhd(A.into()));
        assert_eq!(role(&format!("LV-{A}")), Role::Raw(A.into()));
        assert_eq!(role(&format!("{A}.cbtlog")), Role::Cbtlog(A.into()));
        assert_eq!(role("VHD-7"), Role::Other);
        assert_eq!(role("home_of_all"), Role::Other);
        let journal =
            Journal { operation: "inflate".into(), vdi: A.into(), value: Some("8_9".into()) };
        assert_eq!(role(&format!("inflate_{A}_8_9")), Role::Journal(journal));
        assert_eq!(role(&format!("clone_{A}")).word(), "journal");
    }

    #[test]
    fn the_tag_makes_a_journal_of_any_operation() {
        let tags = ["journaler".to_owned()];
        assert_eq!(super::role("new_x_1", &tags).word(), "journal");
    }

    #[test]
    fn the_repository_is_named_by_its_group() {
        assert_eq!(sr_uuid(&format!("VG_XenStorage-{A}")), Some(A));
        assert_eq!(sr_uuid("VG_XenStorage-x"), None);
        assert_eq!(sr_uuid("ubuntu-vg"), None);
    }

    #[test]
    fn a_parent_is_named_with_doubled_dashes_too() {
        let doubled = A.replace('-', "--");
        let name = format!("VG_XenStorage--{doubled}-VHD--{doubled}");
        assert_eq!(vdi_of_parent_name(&name).as_deref(), Some(A));
        assert_eq!(vdi_of_parent_name(&format!("/dev/x/LV-{A}")).as_deref(), Some(A));
        assert_eq!(vdi_of_parent_name(&format!("{A}.vhd")).as_deref(), Some(A));
        assert_eq!(vdi_of_parent_name("disk.vhd"), None);
    }
}
