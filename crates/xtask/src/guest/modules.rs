//! The drivers of one kernel, found where its package was unpacked: which file, in which order they load, unpacked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The modules of one kernel, by name (with `_` for `-`).
#[derive(Debug)]
pub(super) struct Modules(BTreeMap<String, PathBuf>);

impl Modules {
    pub(super) fn find(dir: &Path) -> anyhow::Result<Self> {
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
    pub(super) fn load_order(&self, module: &str, order: &mut Vec<String>) -> anyhow::Result<()> {
        if order.iter().any(|m| m == module) || !self.0.contains_key(module) {
            return Ok(());
        }
        for needed in dependencies(&self.read(module)?) {
            self.load_order(&needed, order)?;
        }
        order.push(module.to_owned());
        Ok(())
    }

    pub(super) fn read(&self, module: &str) -> anyhow::Result<Vec<u8>> {
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
}
