//! The test guest's initramfs: busybox, drivers in an order that loads, the guest's program, and the script between.
//!
//! The archive is written here (cpio "newc" is a hundred bytes of hexadecimal per file), so that device nodes and
//! ownership need neither root nor a second tool.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Drivers to have if this kernel builds them as modules; what they depend on is added.
const DRIVERS: [&str; 10] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "virtio_balloon",
    "virtio_scsi",
    "sd_mod",
    "ata_piix",
    "evdev",
    "button",
];

/// Runs as process 1: makes the system usable, then becomes the guest's program.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for m in $($b cat /modules/order); do $b insmod /modules/$m 2>/dev/null; done
# The disks appear a moment after their drivers.
i=0; while [ $i -lt 50 ] && ! [ -e /dev/vda ] && ! [ -e /dev/sda ]; do $b usleep 100000; i=$((i+1)); done
$b ip link set lo up
for n in /sys/class/net/eth*; do
  [ -e "$n" ] || continue
  n=${n##*/}
  $b ip link set $n up
  a=$(/bin/guest address $($b cat /sys/class/net/$n/address)) && $b ip addr add $a/16 dev $n && echo "HFGUEST $n $a"
done
exec /bin/guest
"#;

/// Writes the compressed archive.
pub(super) fn write(
    to: &Path,
    busybox: &Path,
    program: &Path,
    modules: &Path,
) -> anyhow::Result<()> {
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "modules", "proc", "sys"] {
        archive.add(dir, 0o040_755, &[]);
    }
    // Before devtmpfs is mounted, the kernel opens this one for process 1.
    archive.add_device("dev/console", 5, 1);
    archive.add("init", 0o100_755, INIT.as_bytes());
    archive.add("bin/busybox", 0o100_755, &fs::read(busybox)?);
    archive.add("bin/guest", 0o100_755, &fs::read(program)?);
    let available = Modules::find(modules)?;
    let mut order = Vec::new();
    for driver in DRIVERS {
        available.load_order(driver, &mut order)?;
    }
    ensure!(
        ["virtio_blk", "virtio_net"].iter().all(|needed| order.iter().any(|m| m == needed)),
        "the kernel in {} has no virtio drivers as modules",
        modules.display()
    );
    for module in &order {
        archive.add(&format!("modules/{module}.ko"), 0o100_644, &available.read(module)?);
    }
    let list: String = order.iter().map(|m| format!("{m}.ko\n")).collect();
    archive.add("modules/order", 0o100_644, list.as_bytes());

    let plain = to.with_extension("cpio");
    fs::write(&plain, archive.finish()).with_context(|| format!("writing {}", plain.display()))?;
    let packed = fs::File::create(to).with_context(|| format!("making {}", to.display()))?;
    let status = Command::new("gzip")
        .args(["-9", "-n", "-c"])
        .arg(&plain)
        .stdout(Stdio::from(packed))
        .status()
        .context("starting gzip")?;
    ensure!(status.success(), "gzip failed ({status})");
    fs::remove_file(&plain).context("removing the uncompressed archive")
}

/// The modules of one kernel, by name (with `_` for `-`).
#[derive(Debug)]
struct Modules(BTreeMap<String, PathBuf>);

impl Modules {
    fn find(dir: &Path) -> anyhow::Result<Self> {
        let mut found = BTreeMap::new();
        let mut left = vec![dir.to_path_buf()];
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if entry.file_type()?.is_dir() {
                    left.push(entry.path());
                } else if let Some((stem, "" | ".xz")) = name.split_once(".ko") {
                    found.insert(stem.replace('-', "_"), entry.path());
                }
            }
        }
        Ok(Self(found))
    }

    /// Adds a module after everything that it depends on; a driver that is built in or absent is passed over.
    fn load_order(&self, module: &str, order: &mut Vec<String>) -> anyhow::Result<()> {
        if order.iter().any(|m| m == module) || !self.0.contains_key(module) {
            return Ok(());
        }
        for needed in dependencies(&self.read(module)?) {
            self.load_order(&needed, order)?;
        }
        order.push(module.to_owned());
        Ok(())
    }

    fn read(&self, module: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.0.get(module).with_context(|| format!("no module {module}"))?;
        if path.extension().is_some_and(|e| e == "xz") {
            let output = Command::new("xz").arg("-dc").arg(path).output().context("starting xz")?;
            ensure!(output.status.success(), "xz could not unpack {}", path.display());
            return Ok(output.stdout);
        }
        fs::read(path).with_context(|| format!("reading {}", path.display()))
    }
}

/// What a module says it depends on: the kernel keeps `depends=a,b` as a string in the module itself.
fn dependencies(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(start) = module.windows(key.len()).position(|w| w == key) else { return Vec::new() };
    let text = &module[start + key.len()..];
    let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
    String::from_utf8_lossy(&text[..end])
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

/// A cpio archive in the "newc" form.
#[derive(Debug, Default)]
struct Archive {
    bytes: Vec<u8>,
    files: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, mode, (0, 0), content);
    }

    fn add_device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, 0o020_600, (major, minor), &[]);
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.files += 1;
        let length =
            |n: usize| u32::try_from(n).expect("files of an initramfs are far below 4 GiB");
        let fields = [
            self.files,
            mode,
            0,
            0,
            1,
            0,
            length(content.len()),
            0,
            0,
            device.0,
            device.1,
            length(name.len() + 1),
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_the_module_itself() {
        let module = b"\x7fELF junk\0license=GPL\0depends=virtio,virtio-ring\0name=x\0";
        assert_eq!(dependencies(module), ["virtio", "virtio_ring"]);
        assert_eq!(dependencies(b"\0depends=\0name=x\0"), Vec::<String>::new());
        assert_eq!(dependencies(b"nothing"), Vec::<String>::new());
    }

    #[test]
    fn an_archive_is_aligned_and_ends_with_its_trailer() {
        let mut archive = Archive::default();
        archive.add("a", 0o100_644, b"xyz");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..116], b"xyz\0");
        assert!(bytes.windows(10).any(|w| w == b"TRAILER!!!"));
    }
}
