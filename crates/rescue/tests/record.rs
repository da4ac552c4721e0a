//! A run is recorded, printed, and done again on another machine's disk.

mod wreck;

use std::path::Path;
use std::time::Duration;

use host::exec::Command;
use wreck::disk::{Disk, Holds, SR, small};

/// Writes a disk whose table is gone.
fn write(disk: &Disk, path: &Path) {
    let mut bytes = vec![0; usize::try_from(disk.size()).expect("small")];
    disk.write(&mut |at, part| {
        let at = usize::try_from(at).expect("small");
        bytes[at..at + part.len()].copy_from_slice(part);
    });
    let end = bytes.len() - 33 * 512;
    bytes[..34 * 512].fill(0);
    bytes[end..].fill(0);
    std::fs::write(path, bytes).expect("written");
}

/// proves: S0-39 (table)
#[test]
fn what_was_done_for_one_machine_is_done_for_another_with_its_own_names() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let ours = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_holdfast-rescue"))
            .args(words)
            .limit(Duration::from_secs(120))
            .run()
            .expect("it runs");
        (output.status.code(), output.text(), output.error_text())
    };
    let (first, contents) = small();
    write(&first, Path::new(&path("first")));
    // The other machine's disks have other uuids.
    let mut second = first.clone();
    for volume in &mut second.volumes {
        volume.name = volume.name.replace("-789e-", "-999e-");
        if let Holds::Vhd(vhd) = &mut volume.holds
            && let Some((_, name)) = &mut vhd.parent
        {
            *name = name.replace("--789e--", "--999e--");
        }
    }
    write(&second, Path::new(&path("second")));

    let (vdi, content) = &contents[0];
    let (record, disk) = (path("record"), path("first"));
    let (out, undo) = (path("out"), path("undo"));
    let steps: [&[&str]; 4] = [
        &["scan", &disk],
        &["export", &disk, "--vdi", vdi, "--to", &out],
        &["repair", &disk, "--apply", "--confirm", "nobody"],
        &["repair", &disk, "--apply", "--confirm", SR, "--undo-file", &undo],
    ];
    for (step, exit) in steps.iter().zip([0, 0, 4, 0]) {
        let done = ours(&[step, &["--record", &record][..]].concat());
        assert_eq!(done.0, Some(exit), "{step:?}: {}", done.2);
    }
    assert!(std::fs::read(&out).expect("exported") == *content);

    let (exit, printed, _) = ours(&["replay", &record, "--print"]);
    assert_eq!(exit, Some(0));
    let commands = printed.lines().filter(|l| l.starts_with("holdfast-rescue ")).count();
    assert_eq!(commands, 4, "{printed}");
    for told in ["VG_XenStorage-", "Written and read back", "does not name", "ended with 4"] {
        assert!(printed.contains(told), "{told} is not in {printed}");
    }

    let other = vdi.replace("-789e-", "-999e-");
    let with = [
        format!("{disk}={}", path("second")),
        format!("{vdi}={other}"),
        format!("{out}={}", path("out-2")),
        format!("{undo}={}", path("undo-2")),
    ];
    let mut words = vec!["replay", record.as_str()];
    words.extend(with.iter().flat_map(|pair| ["--with", pair.as_str()]));
    let (exit, _, said) = ours(&words);
    assert_eq!(exit, Some(0), "{said}");
    assert!(std::fs::read(path("out-2")).expect("exported") == *content);
    let table =
        disk_format::gpt::read_at_lba(&std::fs::read(path("second")).expect("read"), 1, 512);
    assert!(table.expect("memory").is_some_and(|t| t.sound()));

    // A second time the disk is no more as it was: the first command that ends otherwise ends the replay.
    let (exit, _, said) = ours(&words);
    assert_ne!(exit, Some(0));
    assert!(said.contains("the rest is not done"), "{said}");
    assert_eq!(ours(&["replay", &record, "--with", "never=x"]).0, Some(2));
}
