//! `/etc/holdfast/holdfast.toml`: what a host must know before it can reach the pool database, and nothing more.
//!
//! Pool-wide settings live in the database (design.md section 2). Every key has a default except the host's address.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The bootstrap configuration of one host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who this host is.
    pub host: HostSection,
    /// Where the API listens.
    #[serde(default)]
    pub api: ApiSection,
    /// Where state is kept.
    #[serde(default)]
    pub paths: PathsSection,
    /// How libvirt is reached.
    #[serde(default)]
    pub libvirt: LibvirtSection,
    /// How the database process is run.
    #[serde(default)]
    pub etcd: EtcdSection,
    /// How often a start may fail.
    #[serde(default)]
    pub start: StartSection,
}

/// Who this host is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSection {
    /// Name label given to the host at its first start.
    pub name: String,
    /// Address that peers and clients use; never a name (S2-33).
    pub address: String,
    /// Memory kept for the host itself, bytes.
    #[serde(default = "default_reserved_memory")]
    pub reserved_memory_bytes: u64,
    /// Command that shuts this host down.
    #[serde(default = "default_power_off")]
    pub power_off: Vec<String>,
    /// Command that reboots it.
    #[serde(default = "default_reboot")]
    pub reboot: Vec<String>,
    /// The watchdog device that `holdfast-had` pets while high availability is on; empty for none. Where it does not exist
    /// a software watchdog serves.
    #[serde(default = "default_watchdog")]
    pub watchdog: PathBuf,
}

fn default_watchdog() -> PathBuf {
    "/dev/watchdog".into()
}

fn default_power_off() -> Vec<String> {
    ["systemctl", "poweroff"].map(str::to_owned).to_vec()
}

fn default_reboot() -> Vec<String> {
    ["systemctl", "reboot"].map(str::to_owned).to_vec()
}

fn default_reserved_memory() -> u64 {
    512 << 20
}

/// Where the API listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSection {
    /// TLS socket.
    pub listen: SocketAddr,
    /// Unix socket for root on this host.
    pub socket: PathBuf,
    /// Further addresses that the host's certificate is valid for.
    pub extra_addresses: Vec<String>,
}

impl Default for ApiSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 443)),
            socket: PathBuf::from("/run/holdfast/api.sock"),
            extra_addresses: vec!["127.0.0.1".to_owned()],
        }
    }
}

/// Where state is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathsSection {
    /// Durable state.
    pub state: PathBuf,
    /// Sockets and other things that end with the boot.
    pub run: PathBuf,
    /// Configuration that only the first start reads.
    pub etc: PathBuf,
}

impl Default for PathsSection {
    fn default() -> Self {
        Self {
            state: PathBuf::from("/var/lib/holdfast"),
            run: PathBuf::from("/run/holdfast"),
            etc: PathBuf::from("/etc/holdfast"),
        }
    }
}

/// How libvirt is reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LibvirtSection {
    /// Connection URI.
    pub uri: String,
    /// Address that migrations arrive at; the host's address if absent.
    pub migration_address: Option<String>,
}

impl Default for LibvirtSection {
    fn default() -> Self {
        Self { uri: "qemu:///system".to_owned(), migration_address: None }
    }
}

/// How the database process is run.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EtcdSection {
    /// Program.
    pub binary: PathBuf,
    /// Port for clients.
    pub client_port: u16,
    /// Port between members.
    pub peer_port: u16,
}

impl Default for EtcdSection {
    fn default() -> Self {
        Self { binary: PathBuf::from("/usr/bin/etcd"), client_port: 2379, peer_port: 2380 }
    }
}

/// How often a start may fail.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StartSection {
    /// After so many failed starts in a row the daemon comes up in safe mode (S0-4); 0: never.
    pub safe_mode_after: u32,
}

impl Default for StartSection {
    fn default() -> Self {
        Self { safe_mode_after: 3 }
    }
}

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    /// The file is not what is expected; the source names line and key.
    #[error("{path} is not a valid configuration")]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
}

impl Config {
    /// Reads the configuration file.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Address that migrations arrive at.
    pub fn migration_address(&self) -> &str {
        self.libvirt.migration_address.as_deref().unwrap_or(&self.host.address)
    }

    /// File with this host's identity and the place of its pool database.
    pub fn host_file(&self) -> PathBuf {
        self.paths.state.join("host.json")
    }

    /// Directory with the pool CA's certificate and this host's certificate and key.
    pub fn tls_dir(&self) -> PathBuf {
        self.paths.state.join("tls")
    }

    /// Directory of the embedded database and the persisted replica.
    pub fn db_dir(&self) -> PathBuf {
        self.paths.state.join("db")
    }

    /// Directory that the etcd unit works in.
    pub fn etcd_dir(&self) -> PathBuf {
        self.paths.state.join("etcd")
    }

    /// Socket of `holdfast-had`.
    pub fn had_socket(&self) -> PathBuf {
        self.paths.run.join("had.sock")
    }

    /// URL of this host's etcd for clients.
    pub fn etcd_client_url(&self) -> String {
        format!("https://{}:{}", self.host.address, self.etcd.client_port)
    }

    /// URL of this host's etcd for its peers.
    pub fn etcd_peer_url(&self) -> String {
        format!("https://{}:{}", self.host.address, self.etcd.peer_port)
    }
}
