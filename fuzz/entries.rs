//! What hostile bytes are given to: one function for each parser, called by the targets of this folder and by a test of the normal suite.
//!
//! A function may find nothing; it must end, must not panic, and must not ask for more memory than a disk could need.

use std::sync::Arc;

use disk_format::layer::Layer;
use disk_format::lvm::{area, label, text, volumes};
use disk_format::source::{Source, SubRange, read_vec};
use disk_format::xenserver::mgt;
use disk_format::{gpt, guest, magic, mbr, mdraid, qcow2, signature, vhd};

/// A parser by the name of its target and of its folder of seeds.
pub(crate) type Entry = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const ENTRIES: [Entry; 13] = [
    ("gpt", tables),
    ("mbr", boot_record),
    ("lvm_label", lvm_label),
    ("lvm_area", lvm_area),
    ("lvm_text", lvm_text),
    ("mgt", management_volume),
    ("vhd", vhd_image),
    ("qcow2", qcow2_image),
    ("mdraid", raid),
    ("signature", signatures),
    ("guest", guests),
    ("survey", survey),
    ("evidence", evidence),
];

fn source(bytes: &[u8]) -> Source {
    Arc::new(bytes.to_vec())
}

/// The bytes at the start of a disk that is larger, as a damaged number may point anywhere.
fn sparse(bytes: &[u8], size: u64) -> Source {
    use disk_format::source::{Origin, Piece, Pieces};
    let len = bytes.len() as u64;
    let rest = size.saturating_sub(len);
    Arc::new(Pieces::new([
        Piece { len, origin: Origin::Source(source(bytes), 0) },
        Piece { len: rest, origin: Origin::Zero },
    ]))
}

fn tables(bytes: &[u8]) {
    let disk = bytes.to_vec();
    for size in [512, 4096] {
        for lba in [1, (bytes.len() as u64 / u64::from(size)).saturating_sub(1)] {
            if let Ok(Some(table)) = gpt::read_at_lba(&disk, lba, size) {
                let _ = (table.sound(), table.per_sector());
            }
        }
    }
}

fn boot_record(bytes: &[u8]) {
    if let Ok(Some(table)) = mbr::read(&bytes.to_vec()) {
        let _ = (table.plausible(1 << 40), table.hybrid(), table.protective());
    }
}

fn lvm_label(bytes: &[u8]) {
    let _ = label::parse(bytes);
}

fn lvm_area(bytes: &[u8]) {
    let Some(header) = area::parse(bytes) else { return };
    let disk = bytes.to_vec();
    for slot in header.committed.iter().chain(&header.precommitted) {
        let _ = area::read_slot(&disk, 0, header.size, slot);
        let _ = area::read_to_nul(&disk, 0, header.size, slot.offset);
    }
}

fn lvm_text(bytes: &[u8]) {
    let Some((group, _)) = volumes::group(&text::parse(bytes)) else { return };
    let disk: Source = Arc::new(vec![0; 1 << 16]);
    let present = group.physical.iter().map(|p| (p.name.clone(), disk.clone())).collect();
    for volume in group.logical.iter().take(64) {
        let opened = volumes::open(&group, volume, &present);
        let _ = read_vec(&opened, 0, 512);
        let _ = volumes::extents(&group, volume);
    }
    for physical in group.physical.iter().take(64) {
        let _ = volumes::used(&group, &physical.name);
    }
}

fn management_volume(bytes: &[u8]) {
    let _ = mgt::read(&bytes.to_vec());
}

/// Asks a layer for all that it has, in bounded steps.
fn walk(layer: &dyn Layer) {
    let size = layer.size();
    let mut at = 0;
    for _ in 0..256 {
        if at >= size {
            break;
        }
        let extent = layer.extent(at, size - at);
        assert!(extent.length > 0 && extent.length <= size - at, "{extent:?} at {at} of {size}");
        at += extent.length;
    }
}

fn vhd_image(bytes: &[u8]) {
    let disk = source(bytes);
    let _ = vhd::identify(&disk);
    if let Some(image) = vhd::Image::open(&disk).image {
        let _ = (image.data_end(), image.blocks_present());
        walk(&image);
    }
}

fn qcow2_image(bytes: &[u8]) {
    if let Ok(image) = qcow2::Image::open(&source(bytes)).image {
        walk(&image);
    }
}

fn raid(bytes: &[u8]) {
    let disk = bytes.to_vec();
    for at in [0, 4096] {
        if let Some(member) = mdraid::read(&disk, at) {
            let _ = (member.data(), member.whole(), member.level_name());
        }
    }
}

fn signatures(bytes: &[u8]) {
    let disk = sparse(bytes, 1 << 40);
    for mark in signature::MARKS {
        for at in [0, 1024, 3584, 16 << 10, 64 << 10] {
            if let Some((start, _)) = signature::from_mark(&*disk, mark, at) {
                assert!(start <= at);
            }
        }
    }
    let _ = signature::at(&*disk, 0);
}

fn guests(bytes: &[u8]) {
    let _ = guest::look(&source(bytes));
}

fn survey(bytes: &[u8]) {
    magic::search(bytes, 0, |_, _| {});
    let disk: Source = Arc::new(SubRange::new(source(bytes), 0..8 << 20));
    let survey = rescue::survey::Survey::of(&disk, Vec::new(), &mut |_| {});
    let images = survey.images(None);
    for leaf in 0..images.len().min(8) {
        let _ = rescue::images::open(&images, leaf);
    }
    let _ = rescue::report::json(std::path::Path::new("disk"), &survey);
    let _ = rescue::report::text(std::path::Path::new("disk"), &survey, true);
}

fn evidence(bytes: &[u8]) {
    let known = rescue::evidence::of_bytes(bytes.to_vec());
    let _ = known.texts();
}
