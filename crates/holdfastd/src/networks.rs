//! The door to this host's bridges.

use std::fmt;

use async_trait::async_trait;
use sha2::Digest as _;
use uuid::Uuid;

/// What the daemon asks of the host's network.
#[async_trait]
pub trait Networks: Send + Sync + fmt::Debug {
    /// Makes the bridge if it is missing; one that is there stays as it is.
    async fn ensure(&self, bridge: &str, mac: &str, mtu: u32) -> Result<(), host::Error>;
}

/// Linux bridges through `ip`.
#[derive(Debug, Clone, Copy)]
pub struct LinuxBridges;

#[async_trait]
impl Networks for LinuxBridges {
    async fn ensure(&self, bridge: &str, mac: &str, mtu: u32) -> Result<(), host::Error> {
        let (bridge, mac) = (bridge.to_owned(), mac.to_owned());
        let made = tokio::task::spawn_blocking(move || {
            if host::network::interface(&bridge)?.is_some() {
                return Ok(());
            }
            host::network::bridge_create(&bridge, &mac, mtu)
        });
        made.await.unwrap_or_else(|e| Err(host::Error::Invalid(format!("making a bridge: {e}"))))
    }
}

/// The pinned MAC address of a network's bridge on one host: an unpinned bridge takes a guest's (design.md section 6).
pub fn bridge_mac(network: Uuid, host: Uuid) -> String {
    let mut hash = sha2::Sha256::new();
    hash.update(network.as_bytes());
    hash.update(host.as_bytes());
    let digest = hash.finalize();
    let rest: Vec<String> = digest[1..6].iter().map(|b| format!("{b:02x}")).collect();
    format!("{:02x}:{}", (digest[0] & 0xfc) | 0x02, rest.join(":"))
}
