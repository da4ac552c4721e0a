//! What this machine's kernel lacks, tried in a nested guest: each test is one short boot (`cargo xtask test --nested`).

use std::fs;

use tests::nested::Nested;

#[test]
fn a_script_gets_its_disks_and_files_and_gives_back_what_it_made() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (first, second) = (dir.path().join("a"), dir.path().join("b"));
    for image in [&first, &second] {
        fs::File::create(image).and_then(|f| f.set_len(64 << 20)).expect("a sparse image");
    }
    let greeting = dir.path().join("greeting");
    fs::write(&greeting, "hello\n").expect("a small file");
    let done = Nested::new()
        .disk(&first, "first")
        .disk(&second, "second")
        .input("greeting", &greeting)
        .run(
            "set -e
             cat greeting; echo oops >&2; uname -r > /out/kernel; pwd > /out/where
             dd if=greeting of=/dev/disk/by-serial/second bs=512 conv=sync
             pvcreate -q /dev/disk/by-serial/first
             vgcreate -q group /dev/disk/by-serial/first
             lvcreate -q -n volume -L 8M group
             mkfs.ext4 -q /dev/group/volume
             mount /dev/group/volume /mnt
             echo kept > /mnt/file; cat /mnt/file; umount /mnt
             lvs --noheadings -o lv_name,lv_size --units m group
             vgchange -q -an group
             exit 7",
        );
    assert_eq!(done.status, 7, "{}\n{}", done.stdout, done.stderr);
    let printed: Vec<&str> = done.stdout.lines().map(str::trim).collect();
    assert_eq!(printed.first(), Some(&"hello"), "{printed:?}");
    assert!(printed.contains(&"kept"), "{printed:?}");
    assert!(printed.contains(&"volume 8.00m"), "{printed:?}");
    assert!(done.stderr.contains("oops"), "{}", done.stderr);
    assert_eq!(done.text("where"), "/in\n");
    assert!(done.text("kernel").contains("cloud"), "{}", done.text("kernel"));
    let second = fs::read(second).expect("the second disk");
    assert!(second.starts_with(b"hello\n\0"), "the bytes are on the disk that has the serial");
    let label = fs::read(first).expect("the first disk");
    assert_eq!(&label[512..520], b"LABELONE", "real LVM was there");
}
