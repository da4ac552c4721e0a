//! PCI devices of this machine, read from /sys, with their names from the machine's `pci.ids`.
//!
//! Only what a pool cares about: storage, network and display controllers and accelerators. The root of /sys is a
//! parameter, so that a test can draw a machine as a directory.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Where the kernel shows its devices.
pub const SYS: &str = "/sys";
/// Where distributions keep the names.
const NAMES: [&str; 2] = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];
/// Base classes that are listed: storage, network, display, processing accelerators.
const LISTED: [u8; 4] = [0x01, 0x02, 0x03, 0x12];

/// One device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pci {
    /// Address on the bus, such as `0000:00:1f.6`.
    pub address: String,
    /// Class and subclass, four hexadecimal digits.
    pub class: String,
    /// Maker and device, four hexadecimal digits each.
    pub vendor: String,
    /// See `vendor`.
    pub device: String,
    /// Maker and model of the card; empty where it has none.
    pub subsystem_vendor: String,
    /// See `subsystem_vendor`.
    pub subsystem_device: String,
    /// Kernel driver that has it; empty where none has.
    pub driver: String,
    /// The firmware shows the machine's screen on it.
    pub boot_vga: bool,
    /// Address of the physical function, for a virtual one.
    pub physical_function: Option<String>,
}

impl Pci {
    /// Whether it shows pictures or computes them.
    pub fn is_display(&self) -> bool {
        self.class.starts_with("03")
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default()
}

fn id(path: &Path) -> String {
    text(path).trim_start_matches("0x").to_owned()
}

fn link(path: &Path) -> Option<String> {
    Some(std::fs::read_link(path).ok()?.file_name()?.to_string_lossy().into_owned())
}

/// Whether a name is an address on the bus.
fn is_address(name: &str) -> bool {
    name.len() >= 12 && name.as_bytes()[4] == b':' && name.contains('.')
}

fn observe(path: &Path) -> Option<Pci> {
    let class = id(&path.join("class"));
    let base = u8::from_str_radix(class.get(..2)?, 16).ok()?;
    LISTED.contains(&base).then(|| Pci {
        address: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        class: class.get(..4).unwrap_or_default().to_owned(),
        vendor: id(&path.join("vendor")),
        device: id(&path.join("device")),
        subsystem_vendor: id(&path.join("subsystem_vendor")),
        subsystem_device: id(&path.join("subsystem_device")),
        driver: link(&path.join("driver")).unwrap_or_default(),
        boot_vga: text(&path.join("boot_vga")) == "1",
        physical_function: link(&path.join("physfn")),
    })
}

/// The listed devices below a root of /sys, by address. A machine without a PCI bus has none.
pub fn pci(sys: &Path) -> Vec<Pci> {
    let Ok(entries) = std::fs::read_dir(sys.join("bus/pci/devices")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| observe(path)).collect()
}

/// The PCI device behind a network interface, whatever lies between (virtio): address, maker, device.
pub fn pci_of_interface(sys: &Path, interface: &str) -> Option<(String, String, String)> {
    let device = sys.join("class/net").join(interface).join("device").canonicalize().ok()?;
    let found = device.ancestors().find(|p| {
        p.file_name().is_some_and(|n| is_address(&n.to_string_lossy()))
            && p.join("vendor").is_file()
    })?;
    let address = found.file_name()?.to_string_lossy().into_owned();
    Some((address, id(&found.join("vendor")), id(&found.join("device"))))
}

/// Names of makers, devices and classes, as far as they were asked for.
#[derive(Debug, Default)]
pub struct Names {
    vendors: BTreeMap<String, String>,
    devices: BTreeMap<(String, String), String>,
    classes: BTreeMap<String, String>,
}

impl Names {
    /// Reads the names of these makers and devices from the machine's list; without one there are no names.
    pub fn of(wanted: &[(&str, &str)]) -> Self {
        let file = NAMES.iter().find_map(|path| std::fs::File::open(path).ok());
        file.map(|file| Self::read(BufReader::new(file), wanted)).unwrap_or_default()
    }

    /// Reads one line at a time: the list is large and few of its names are kept.
    fn read(list: impl std::io::BufRead, wanted: &[(&str, &str)]) -> Self {
        let mut names = Self::default();
        let (mut vendor, mut class) = (String::new(), String::new());
        for line in list.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if line.starts_with('#') || line.starts_with("\t\t") {
                continue;
            }
            let Some((id, name)) = line.trim_start_matches("C ").trim().split_once("  ") else {
                continue;
            };
            if line.starts_with("C ") {
                class = id.to_owned();
                vendor.clear();
                names.classes.insert(class.clone(), name.to_owned());
            } else if !line.starts_with('\t') {
                vendor.clear();
                class.clear();
                if wanted.iter().any(|(v, _)| *v == id) {
                    vendor = id.to_owned();
                    names.vendors.insert(vendor.clone(), name.to_owned());
                }
            } else if !class.is_empty() {
                names.classes.insert(format!("{class}{id}"), name.to_owned());
            } else if wanted.contains(&(vendor.as_str(), id)) {
                names.devices.insert((vendor.clone(), id.to_owned()), name.to_owned());
            }
        }
        names
    }

    /// Name of a maker; empty if unknown.
    pub fn vendor(&self, vendor: &str) -> &str {
        self.vendors.get(vendor).map_or("", String::as_str)
    }

    /// Name of a device; empty if unknown.
    pub fn device(&self, vendor: &str, device: &str) -> &str {
        let key = (vendor.to_owned(), device.to_owned());
        self.devices.get(&key).map_or("", String::as_str)
    }

    /// Name of a class and subclass, else of the class.
    pub fn class(&self, class: &str) -> &str {
        let known = self.classes.get(class).or_else(|| self.classes.get(class.get(..2)?));
        known.map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# a comment\n8086  Intel Corporation\n\t1572  Ethernet Controller X710\n\t\t8086 0001  A card\n\
                        10de  NVIDIA Corporation\n\t1db4  GV100\nC 02  Network controller\n\t00  Ethernet controller\n\
                        C 03  Display controller\n";

    #[test]
    fn names_are_found_and_others_are_not_kept() {
        let names = Names::read(LIST.as_bytes(), &[("8086", "1572")]);
        assert_eq!(names.vendor("8086"), "Intel Corporation");
        assert_eq!(names.device("8086", "1572"), "Ethernet Controller X710");
        assert_eq!((names.vendor("10de"), names.device("10de", "1db4")), ("", ""));
        assert_eq!(names.class("0200"), "Ethernet controller");
        assert_eq!(names.class("0302"), "Display controller");
    }

    #[test]
    fn a_machine_drawn_as_a_directory_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let bus = dir.path().join("bus/pci/devices");
        let write = |address: &str, facts: &[(&str, &str)]| {
            std::fs::create_dir_all(bus.join(address)).expect("made");
            for (name, value) in facts {
                std::fs::write(bus.join(address).join(name), format!("{value}\n"))
                    .expect("written");
            }
        };
        write(
            "0000:01:00.0",
            &[("class", "0x030000"), ("vendor", "0x10de"), ("device", "0x1db4"), ("boot_vga", "1")],
        );
        write("0000:00:1f.0", &[("class", "0x060100"), ("vendor", "0x8086"), ("device", "0xa305")]);
        write("0000:00:02.0", &[("class", "0x020000"), ("vendor", "0x8086"), ("device", "0x1572")]);
        let found = pci(dir.path());
        let addresses: Vec<&str> = found.iter().map(|p| p.address.as_str()).collect();
        assert_eq!(addresses, ["0000:00:02.0", "0000:01:00.0"], "a bridge is not listed");
        assert!(found[1].is_display() && found[1].boot_vga && !found[0].is_display());
        assert_eq!((found[0].class.as_str(), found[0].device.as_str()), ("0200", "1572"));
        assert!(pci(&dir.path().join("none")).is_empty());
    }
}
