//! `holdfast-rescue serve`, with QEMU's tools as clients.

mod wreck;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use host::exec::{Command, Running, Stream};
use wreck::{Vhd, content};

const MIB: u64 = 1 << 20;

/// A server and its address.
struct Server {
    running: Running,
    uri: String,
}

impl Server {
    fn start(image: &Path, more: &[&str]) -> Self {
        let said = tempfile::NamedTempFile::new().expect("a file");
        let running = Command::new(env!("CARGO_BIN_EXE_holdfast-rescue"))
            .args(["serve", image.to_str().expect("text"), "--listen", "127.0.0.1:0"])
            .args(more)
            .spawn(Stream::File(said.reopen().expect("opened")), Stream::Inherit)
            .expect("it starts");
        let started = Instant::now();
        loop {
            let mut text = String::new();
            said.reopen().expect("opened").read_to_string(&mut text).expect("read");
            if let Some((uri, _)) = text.split_once('\n') {
                return Self { running, uri: uri.to_owned() };
            }
            assert!(started.elapsed() < Duration::from_secs(30), "no address");
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.running.kill();
    }
}

#[test]
fn a_chain_is_served_with_its_holes_and_can_not_be_written() {
    let place = tempfile::tempdir().expect("a directory");
    let base = Vhd::new(64 * MIB, 1, &[(0, 5), (100, 3000), (8190, 10), (100_000, 9)]);
    let leaf = Vhd::new(64 * MIB, 2, &[(3, 4), (4096, 4096), (131_071, 1)]).on(&base, "base.vhd");
    fs::write(place.path().join("base.vhd"), base.bytes(None)).expect("written");
    let path = place.path().join("leaf.vhd");
    fs::write(&path, leaf.bytes(None)).expect("written");
    let server = Server::start(&path, &[]);
    let out = place.path().join("out");
    let convert = ["convert", "-f", "raw", "-O", "raw", &server.uri, out.to_str().expect("text")];
    Command::new("qemu-img").args(convert).check().expect("qemu-img");
    assert!(fs::read(&out).expect("read") == content(&[&leaf, &base]), "other bytes");
    assert!(fs::metadata(&out).expect("there").blocks() * 512 < 8 * MIB);
    let map = ["map", "-f", "raw", "--output", "json", &server.uri];
    let map = Command::new("qemu-img").args(map).check().expect("qemu-img").text();
    assert!(map.contains("\"zero\": true"), "{map}");
    let io = |arguments: &[&str]| Command::new("qemu-io").args(arguments).run().expect("qemu-io");
    let read = io(&["-r", "-f", "raw", "-c", "read -P 0 5M 1M", &server.uri]);
    assert!(read.status.success() && !read.text().contains("failed"), "{}", read.text());
    let write = io(&["-f", "raw", "-c", "write 0 512", &server.uri]);
    assert!(!write.status.success());
}

#[test]
fn what_can_not_be_vouched_for_is_an_error_and_no_bytes() {
    let place = tempfile::tempdir().expect("a directory");
    let disk = Vhd::new(8 * MIB, 1, &[(0, 8192)]);
    let mut bytes = disk.bytes(None);
    // The second block's entry points at the first one's block: either may be wrong. The rest is right.
    bytes.copy_within(1536..1540, 1540);
    let path = place.path().join("disk.vhd");
    fs::write(&path, bytes).expect("written");
    let server = Server::start(&path, &[]);
    let read = |uri: &str, at: &str| {
        let command = format!("read {at} 4k");
        let output = Command::new("qemu-io").args(["-r", "-f", "raw", "-c", &command, uri]);
        let output = output.run().expect("qemu-io");
        output.status.success() && !output.text().contains("failed")
    };
    assert!(!read(&server.uri, "2M"));
    assert!(read(&server.uri, "5M"));
    let lenient = Server::start(&path, &["--doubtful"]);
    assert!(read(&lenient.uri, "2M"));
}

#[test]
fn only_loopback_is_listened_on() {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast-rescue"))
        .args(["serve", "/dev/null", "--listen", "0.0.0.0:0"])
        .run()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(4));
    assert!(output.error_text().contains("loopback"), "{}", output.error_text());
}
