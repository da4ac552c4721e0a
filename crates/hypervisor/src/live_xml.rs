//! Reads the XML of existing domains, and rewrites it for their next life (restore, migration).
//!
//! A guest remembers its machine, so a saved or migrating domain keeps the XML that libvirt wrote for it, addresses
//! and all, and only what may differ is changed: see [`Retarget`]. XML of new domains: `domain_xml`.

use std::net::IpAddr;
use std::path::PathBuf;

use driver_api::hypervisor::DiskFormat;
use uuid::Uuid;

use crate::domain_xml::{self, METADATA_NAMESPACE, NAME_PREFIX};
use crate::xml::{Element, MalformedXml};

/// What we read of one disk or CD drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveDisk {
    /// Device name, such as `vda`.
    pub target: String,
    /// Our alias, `ua-<uuid>`.
    pub alias: Option<String>,
    /// It is a CD drive.
    pub cd: bool,
    /// File or device; an empty drive has none.
    pub path: Option<PathBuf>,
}

/// What we read of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveDomain {
    /// Its uuid.
    pub uuid: Option<Uuid>,
    /// Its name begins with ours.
    pub ours: bool,
    /// Placement generation from our metadata.
    pub generation: Option<u64>,
    /// `address:port` of the VNC console, once it has a port.
    pub vnc: Option<String>,
    /// Most memory it may have, bytes.
    pub memory_max_bytes: u64,
    /// Disks and CD drives.
    pub disks: Vec<LiveDisk>,
    /// MAC addresses and aliases of its NICs.
    pub nics: Vec<(String, Option<String>)>,
}

impl LiveDomain {
    /// Reads a domain XML; what is missing or odd reads as absent.
    pub fn parse(xml: &str) -> Result<Self, MalformedXml> {
        Ok(Self::read(&Element::parse(xml)?))
    }

    fn read(domain: &Element) -> Self {
        let text = |name: &str| domain.find(name).map(Element::own_text);
        let devices = || domain.find("devices").into_iter().flat_map(Element::elements);
        Self {
            uuid: text("uuid").and_then(|uuid| uuid.parse().ok()),
            ours: text("name").is_some_and(|name| name.starts_with(NAME_PREFIX)),
            generation: generation(domain),
            vnc: devices().find_map(vnc),
            memory_max_bytes: domain.find("memory").map_or(0, bytes),
            disks: devices().filter_map(live_disk).collect(),
            nics: devices().filter_map(live_nic).collect(),
        }
    }

    /// The disk or CD drive with this device name.
    pub fn disk(&self, target: &str) -> Option<&LiveDisk> {
        self.disks.iter().find(|disk| disk.target == target)
    }
}

fn generation(domain: &Element) -> Option<u64> {
    domain
        .find("metadata")?
        .elements()
        .find(|element| is_ours(element))?
        .get("generation")?
        .parse()
        .ok()
}

/// Whether a metadata element is ours: another prefix for our namespace is as good as the one we write.
fn is_ours(element: &Element) -> bool {
    let prefix = element.name().split_once(':').map(|(prefix, _)| format!("xmlns:{prefix}"));
    prefix.and_then(|key| element.get(&key)) == Some(METADATA_NAMESPACE)
}

/// Amount of memory in bytes; libvirt writes KiB.
fn bytes(memory: &Element) -> u64 {
    let unit = match memory.get("unit").unwrap_or("KiB") {
        "b" | "bytes" => 1,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 1 << 10,
    };
    memory.own_text().trim().parse::<u64>().unwrap_or(0).saturating_mul(unit)
}

fn vnc(device: &Element) -> Option<String> {
    if device.name() != "graphics" || device.get("type") != Some("vnc") {
        return None;
    }
    let port: u16 = device.get("port")?.parse().ok().filter(|port| *port > 0)?;
    let listen =
        device.find_attribute("listen", "address").or(device.get("listen")).unwrap_or("127.0.0.1");
    let colons = listen.contains(':');
    Some(if colons { format!("[{listen}]:{port}") } else { format!("{listen}:{port}") })
}

fn live_disk(device: &Element) -> Option<LiveDisk> {
    if device.name() != "disk" {
        return None;
    }
    let source = device.find("source");
    let path = source.and_then(|source| source.get("file").or(source.get("dev")));
    Some(LiveDisk {
        target: device.find_attribute("target", "dev")?.to_owned(),
        alias: device.find_attribute("alias", "name").map(str::to_owned),
        cd: device.get("device") == Some("cdrom"),
        path: path.map(PathBuf::from),
    })
}

fn live_nic(device: &Element) -> Option<(String, Option<String>)> {
    if device.name() != "interface" {
        return None;
    }
    let mac = device.find_attribute("mac", "address")?.to_ascii_lowercase();
    Some((mac, device.find_attribute("alias", "name").map(str::to_owned)))
}

/// A disk's new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetargetDisk {
    /// Device name of the disk or drive.
    pub target: String,
    /// The file from now on; `None` empties a CD drive.
    pub path: Option<PathBuf>,
    /// Its format.
    pub format: DiskFormat,
    /// The file refuses direct I/O; `None` where that can't be known (another host): as it was.
    pub buffered: Option<bool>,
}

/// What changes in a domain's next life; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retarget {
    /// Placement generation.
    pub generation: u64,
    /// The VM's label.
    pub title: Option<String>,
    /// Disks and drives.
    pub disks: Vec<RetargetDisk>,
    /// NICs: MAC, bridge, cable plugged.
    pub nics: Vec<(String, String, bool)>,
    /// Address that the console listens on.
    pub vnc_listen: Option<String>,
}

/// Rewrites a domain XML by `changes`.
pub fn retarget(xml: &str, changes: &Retarget) -> Result<String, MalformedXml> {
    let mut domain = Element::parse(xml)?;
    set_generation(&mut domain, changes.generation);
    if let Some(title) = &changes.title {
        domain.remove("title");
        if let Some(title) = domain_xml::title(title) {
            domain.push_front(title);
        }
    }
    for device in domain.find_mut("devices").into_iter().flat_map(Element::elements_mut) {
        match device.name() {
            "disk" => {
                // A backing chain of another time or host; libvirt reads the present one from the images.
                device.remove("backingStore");
                device.remove("mirror");
                let target = device.find_attribute("target", "dev");
                let change = changes.disks.iter().find(|disk| Some(disk.target.as_str()) == target);
                if let Some(change) = change {
                    set_disk(device, change);
                }
            }
            "interface" => {
                let mac = device.find_attribute("mac", "address").map(str::to_ascii_lowercase);
                let change = changes.nics.iter().find(|(of, _, _)| Some(of) == mac.as_ref());
                if let Some((_, bridge, link_up)) = change {
                    set_nic(device, bridge, *link_up);
                }
            }
            "graphics" => {
                if let Some(listen) = &changes.vnc_listen {
                    set_listen(device, listen);
                }
            }
            _ => {}
        }
    }
    Ok(domain.to_xml())
}

fn set_generation(domain: &mut Element, generation: u64) {
    if domain.find("metadata").is_none() {
        domain.push(Element::new("metadata"));
    }
    let metadata = domain.find_mut("metadata").expect("it was just made sure of");
    metadata.retain_elements(|element| !is_ours(element));
    metadata.push(domain_xml::generation(generation));
}

/// Gives a `<disk>` another file, or none.
pub(crate) fn set_disk(device: &mut Element, change: &RetargetDisk) {
    device.remove("source");
    device.remove("backingStore");
    if let Some(driver) = device.find_mut("driver") {
        driver.set("type", domain_xml::format_name(change.format));
        if let (Some(buffered), Some(_)) = (change.buffered, driver.get("cache")) {
            domain_xml::set_driver(driver, change.format, buffered);
        }
    }
    if let Some(path) = &change.path {
        let (kind, source) = domain_xml::source(path);
        device.set("type", kind);
        device.push(source);
    }
}

fn set_nic(device: &mut Element, bridge: &str, link_up: bool) {
    if let Some(source) = device.find_mut("source") {
        source.set("bridge", bridge);
    }
    device.remove("link");
    let state = if link_up { "up" } else { "down" };
    device.push(Element::new("link").with("state", state));
}

fn set_listen(device: &mut Element, address: &str) {
    device.set("listen", address);
    if let Some(listen) = device.find_mut("listen") {
        listen.set("address", address);
    }
}

/// Address that a console listens on after a move to `target_address`: an address of the source's own does not exist
/// there, while loopback and "all addresses" do.
pub fn listen_after_move(vnc: Option<&str>, target_address: &str) -> Option<String> {
    let (address, _) = vnc?.rsplit_once(':')?;
    let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
    let everywhere = address.is_loopback() || address.is_unspecified();
    (!everywhere).then(|| target_address.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const LIVE: &str = "<domain type='qemu' id='3'>
  <name>hf-00000000-0000-0000-0000-000000000007</name>
  <uuid>00000000-0000-0000-0000-000000000007</uuid>
  <title>web &amp; 1</title>
  <metadata><other xmlns='urn:other'/><x:domain xmlns:x='urn:holdfast:domain:1' generation='41'/></metadata>
  <memory unit='KiB'>65536</memory>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/srv/a.qcow2' index='2'/>
      <backingStore type='file'><format type='raw'/><source file='/srv/base'/></backingStore>
      <target dev='vda' bus='virtio'/>
      <alias name='ua-1'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sdd' bus='sata'/></disk>
    <interface type='bridge'>
      <mac address='02:00:00:00:00:0A'/><source bridge='br0'/><alias name='ua-2'/>
    </interface>
    <graphics type='vnc' port='5901' autoport='yes' listen='10.0.0.1'>
      <listen type='address' address='10.0.0.1'/>
    </graphics>
  </devices>
</domain>";

    #[test]
    fn a_live_domain_is_read() {
        let live = LiveDomain::parse(LIVE).expect("well-formed");
        assert_eq!(live.uuid, Some(Uuid::from_u128(7)));
        assert!(live.ours);
        assert_eq!(live.generation, Some(41));
        assert_eq!(live.vnc.as_deref(), Some("10.0.0.1:5901"));
        assert_eq!(live.memory_max_bytes, 64 << 20);
        let disk = live.disk("vda").expect("there");
        assert_eq!(disk.path.as_deref(), Some(Path::new("/srv/a.qcow2")));
        assert!(live.disk("sdd").expect("there").cd);
        assert_eq!(live.nics, [("02:00:00:00:00:0a".to_owned(), Some("ua-2".to_owned()))]);
    }

    #[test]
    fn a_foreign_domain_has_no_generation_and_is_not_ours() {
        let live = LiveDomain::parse("<domain><name>web</name></domain>").expect("well-formed");
        assert_eq!((live.ours, live.generation), (false, None));
    }

    #[test]
    fn a_new_life_changes_what_it_may_and_keeps_addresses() {
        let changes = Retarget {
            generation: 42,
            title: Some("new\nname".to_owned()),
            disks: vec![RetargetDisk {
                target: "vda".to_owned(),
                path: Some(PathBuf::from("/dev/vg/lv")),
                format: DiskFormat::Raw,
                buffered: Some(true),
            }],
            nics: vec![("02:00:00:00:00:0a".to_owned(), "br7".to_owned(), false)],
            vnc_listen: Some("10.0.0.2".to_owned()),
        };
        insta::assert_snapshot!(retarget(LIVE, &changes).expect("well-formed"));
    }

    #[test]
    fn a_console_moves_to_an_address_that_exists_there() {
        let after = |vnc| listen_after_move(Some(vnc), "10.0.0.2");
        assert_eq!(after("10.0.0.1:5900"), Some("10.0.0.2".to_owned()));
        assert_eq!(after("[fd00::1]:5900"), Some("10.0.0.2".to_owned()));
        assert_eq!(after("127.0.0.1:5900"), None);
        assert_eq!(after("0.0.0.0:5900"), None);
        assert_eq!(after("[::]:5900"), None);
    }
}
