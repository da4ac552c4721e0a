//! An initramfs as a file: cpio "newc" is a hundred bytes of hexadecimal per file, so that device nodes and ownership
//! need neither root nor a second tool.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// A cpio archive in the "newc" form.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    files: u32,
}

impl Archive {
    pub(super) fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, mode, (0, 0), content);
    }

    pub(super) fn add_link(&mut self, name: &str, to: &str) {
        self.entry(name, 0o120_777, (0, 0), to.as_bytes());
    }

    pub(super) fn add_device(&mut self, name: &str, major: u32, minor: u32) {
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

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    /// Writes the archive, compressed.
    pub(super) fn write(self, to: &Path) -> anyhow::Result<()> {
        let plain = to.with_extension("cpio");
        fs::write(&plain, self.finish()).with_context(|| format!("writing {}", plain.display()))?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
