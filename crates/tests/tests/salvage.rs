//! Source document 000 from its beginning to its end: a host with three machines, an installer that wipes the table, and the machines
//! back. Real LVM, `sgdisk` and QEMU judge.

use tests::nested::Nested;
use tests::wreck::Wreck;

/// The control: what the document's author typed works on this wreck, so the wreck is his.
#[test]
fn the_documents_own_commands_bring_its_disk_back() {
    let mut wreck = Wreck::of_the_document();
    wreck.install();
    wreck.downgrade();
    let typed = "set -ex
        /usr/sbin/sgdisk --new=3:16777250:209715166  /dev/sda
        /usr/sbin/sgdisk --typecode 3:0x8E00 /dev/sda";
    let done = Nested::new().disk(&wreck.image(), "host").run(typed).good();
    assert!(
        done.stdout.contains("Moved requested sector from 16777250 to 16779264"),
        "{}",
        done.stdout
    );
    wreck.proves_whole();
}
