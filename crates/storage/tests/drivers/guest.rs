//! A real QEMU with one disk, its processors never started: it holds the image locks, writes and switches to overlays
//! as a guest's does, with the block options that libvirt gives. Software emulation, so `/dev/kvm` is never touched.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use driver_api::storage::Attached;
use host::exec::{Command, Running, Stream};
use serde_json::{Value, json};

use crate::bench::{format_name, mark_of};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct QemuGuest {
    process: Running,
    monitor: BufReader<UnixStream>,
    overlays: u32,
    /// Overlays that were opened, switched to or not.
    opened: u32,
    directory: tempfile::TempDir,
}

impl QemuGuest {
    pub(crate) fn start(disk: &Attached) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let socket = directory.path().join("qmp");
        let (path, format) = (disk.path.display(), format_name(disk.format));
        let process = Command::new("qemu-system-x86_64")
            .args([
                "-accel",
                "tcg",
                "-machine",
                "q35",
                "-m",
                "32",
                "-nodefaults",
                "-no-user-config",
            ])
            .args(["-display", "none", "-S", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", socket.display()))
            .args([
                "-blockdev",
                &format!("driver=file,node-name=f0,auto-read-only=on,filename={path}"),
            ])
            .args(["-blockdev", &format!("driver={format},node-name=d0,file=f0")])
            .args(["-device", "virtio-blk-pci,id=disk,drive=d0"])
            .spawn(Stream::Null, Stream::Inherit)
            .expect("qemu-system-x86 is installed");
        let monitor = connect(&socket);
        let mut guest = Self { process, monitor, overlays: 0, opened: 0, directory };
        guest.line();
        guest.command("qmp_capabilities", json!({}));
        guest
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.monitor.read_line(&mut line).expect("QEMU answers");
        serde_json::from_str(&line).expect("QEMU speaks JSON")
    }

    fn command(&mut self, name: &str, arguments: Value) -> Value {
        let text = json!({ "execute": name, "arguments": arguments }).to_string();
        self.monitor.get_mut().write_all(text.as_bytes()).expect("QEMU listens");
        loop {
            let answer = self.line();
            if let Some(result) = answer.get("return") {
                return result.clone();
            }
            assert!(answer.get("error").is_none(), "{name}: {answer}");
        }
    }

    pub(crate) fn write(&mut self, mark: u8) {
        for command in [&format!("write -P {mark} 0 256k"), "flush"] {
            let line = format!("qemu-io -d /machine/peripheral/disk/virtio-backend \"{command}\"");
            let answer = self.command("human-monitor-command", json!({ "command-line": line }));
            assert!(!answer.to_string().contains("rror"), "{command}: {answer}");
        }
    }

    /// The byte that fills the start of its disk, as QEMU's own block layer reads it through the whole chain.
    pub(crate) fn read(&mut self) -> u8 {
        let socket = self.directory.path().join("nbd");
        if !socket.exists() {
            let address = json!({ "type": "unix", "data": { "path": socket } });
            self.command("nbd-server-start", json!({ "addr": address }));
        }
        let node = format!("d{}", self.overlays);
        let export = json!({ "type": "nbd", "id": "look", "node-name": node, "writable": false });
        self.command("block-export-add", export);
        let url = format!("nbd+unix:///{node}?socket={}", socket.display());
        let mark = mark_of(Path::new(&url), "raw");
        self.command("block-export-del", json!({ "id": "look", "mode": "hard" }));
        mark
    }

    pub(crate) fn switch(&mut self, overlay: &Attached) {
        let (below, top) = (self.overlays, self.open(overlay));
        let switch = json!({ "node": format!("d{below}"), "overlay": format!("d{top}") });
        self.command("blockdev-snapshot", switch);
        self.overlays = top;
    }

    /// The first half of a switch: the overlay is open, the guest still writes below.
    pub(crate) fn open(&mut self, overlay: &Attached) -> u32 {
        self.opened += 1;
        let number = self.opened;
        let (file, format) = (format!("f{number}"), format_name(overlay.format));
        let path = overlay.path.to_str().expect("plain paths");
        let node = json!({ "driver": "file", "node-name": file, "filename": path, "auto-read-only": true });
        self.command("blockdev-add", node);
        let top = format!("d{number}");
        let node = json!({ "driver": format, "node-name": top, "file": file, "backing": null });
        self.command("blockdev-add", node);
        number
    }

    pub(crate) fn stop(mut self) {
        self.process.kill().expect("killable").expect("ended");
    }
}

fn connect(socket: &Path) -> BufReader<UnixStream> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LIMIT)).expect("a socket");
                return BufReader::new(stream);
            }
            Err(error) => assert!(Instant::now() < deadline, "QEMU does not listen: {error}"),
        }
        std::thread::yield_now();
    }
}
