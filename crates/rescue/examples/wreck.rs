//! Makes the disk that `cargo xtask bench salvage` measures: `wreck FILE DATA_MIB DISK_GIB`.
//!
//! A repository with VHDs of that much data, in pieces, on a sparse disk of that size whose partition tables are gone.

#[path = "../tests/wreck/mod.rs"]
mod wreck;

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use wreck::Vhd;
use wreck::disk::{Disk, Holds, Volume};

const MIB: u64 = 1 << 20;
/// Data of one VHD.
const EACH: u64 = 128 * MIB;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, data, size] = &arguments[..] else {
        panic!("wreck FILE DATA_MIB DISK_GIB");
    };
    let data: u64 = data.parse().expect("a number of MiB");
    let size: u64 = size.parse().expect("a number of GiB");
    let file = File::create(path).expect("made");
    let extents_each = (EACH + 8 * MIB) / (4 * MIB);
    let count = (data * MIB).div_ceil(EACH);
    let mut volumes = Vec::new();
    for n in 0..count {
        let id = u8::try_from(1 + n % 250).expect("small");
        let name = format!("VHD-{n:08}-789e-4585-b3ea-8f4d23499b40");
        // Half of it in the first half of a disk of twice the size.
        let half = EACH / 1024;
        let vhd = Vhd::new(2 * EACH, id, &[(0, half), (half * 2, half)]);
        let first = n * extents_each;
        let cut = extents_each / 3;
        volumes.push(Volume::new(
            &name,
            Holds::Vhd(vhd),
            &[(first + cut, extents_each - cut), (first, cut)],
        ));
    }
    let least = count * extents_each;
    let extents = (size * 256).saturating_sub(2).max(least);
    let disk = Disk { start_sector: 16_779_264, extents, volumes };
    file.set_len(disk.size()).expect("sized");
    disk.write(&mut |at, bytes| file.write_all_at(bytes, at).expect("written"));
    // As an installer's `sgdisk --zap-all` leaves it.
    file.write_all_at(&[0; 34 * 512], 0).expect("written");
    file.write_all_at(&[0; 33 * 512], disk.size() - 33 * 512).expect("written");
    file.sync_all().expect("on the disk");
}
