//! Power devices of hosts: the door to them, where their settings are kept, and what they prove.
//!
//! `host.power_on_mode` names a fence agent ([`host::power`]), `power_on_config` holds its options. What is secret of them
//! is sealed before it is committed, and shown to nobody. Any host of the pool may ask any host's device.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use host::power::Power;
use planner::fence::{POWER_READS, Proof};
use pooldb::{Key, Table};
use uuid::Uuid;

use crate::app::{map_text, text};
use crate::{Daemon, View};

/// Pause between two readings: a machine that is being switched on or off must not look the same twice by chance.
const BETWEEN: Duration = Duration::from_millis(700);
/// Longest wait for a device that was told to switch off to say so.
const OFF_LIMIT: Duration = Duration::from_secs(30);

/// What the daemon asks of power devices.
#[async_trait]
pub trait PowerDevices: Send + Sync + fmt::Debug {
    /// What the device says. An error is "unknown", for people.
    async fn status(&self, agent: &str, options: &[(String, String)]) -> Result<Power, String>;
    /// Gives the order. Success says nothing about the machine.
    async fn switch(
        &self,
        agent: &str,
        options: &[(String, String)],
        to: Power,
    ) -> Result<(), String>;
}

/// The fence agents of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct FenceAgents;

#[async_trait]
impl PowerDevices for FenceAgents {
    async fn status(&self, agent: &str, options: &[(String, String)]) -> Result<Power, String> {
        let (agent, options) = (agent.to_owned(), options.to_vec());
        run(move || host::power::status(&agent, &options)).await
    }

    async fn switch(
        &self,
        agent: &str,
        options: &[(String, String)],
        to: Power,
    ) -> Result<(), String> {
        let (agent, options) = (agent.to_owned(), options.to_vec());
        run(move || host::power::switch(&agent, &options, to)).await
    }
}

async fn run<T: Send + 'static>(
    ask: impl FnOnce() -> host::Result<T> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(ask).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Where the sealed options of a host's device stand.
pub fn secret_key(host: Uuid) -> Key {
    Key::new(Table::Secret, secret_name(host))
}

/// The name under which they are sealed.
pub fn secret_name(host: Uuid) -> String {
    format!("power/{host}")
}

/// Whether an option is one that nobody may see.
pub fn is_secret(option: &str) -> bool {
    ["pass", "secret", "key", "community"].iter().any(|word| option.to_lowercase().contains(word))
}

/// A host's device.
#[derive(Debug, Clone)]
pub struct Device {
    /// The agent.
    pub agent: String,
    options: Vec<(String, String)>,
}

/// The device of a host, if it has one.
pub fn device(daemon: &Daemon, view: &View, host: Uuid) -> Option<Device> {
    let record = view.record("host", host)?;
    let agent = text(record, "power_on_mode");
    if !host::power::is_agent_name(agent) {
        return None;
    }
    let mut options: Vec<(String, String)> = record
        .get_by_name("power_on_config")
        .and_then(xenapi::Value::as_map)
        .map(|m| {
            m.pairs()
                .iter()
                .filter_map(|(k, v)| Some((k.as_str()?.to_owned(), v.as_str()?.to_owned())))
                .filter(|(k, _)| !is_secret(k))
                .collect()
        })
        .unwrap_or_default();
    if let Some(sealed) = view.get(&secret_key(host)).and_then(|i| i.raw()) {
        match daemon.pool_key().unseal(&secret_name(host), sealed) {
            Ok(plain) => {
                let secrets: std::collections::BTreeMap<String, String> =
                    serde_json::from_str(plain.expose()).unwrap_or_default();
                options.extend(secrets);
            }
            Err(error) => {
                tracing::warn!(%host, %error, "the secrets of a power device can't be read");
            }
        }
    }
    if map_text(record, "power_on_config", "plug").is_none() {
        options.push(("plug".to_owned(), text(record, "name_label").to_owned()));
    }
    Some(Device { agent: agent.to_owned(), options })
}

impl Device {
    /// What it says now.
    ///
    /// # Errors
    /// In words: nothing is known.
    pub async fn status(&self, daemon: &Daemon) -> Result<Power, String> {
        daemon.power().status(&self.agent, &self.options).await
    }

    /// Gives the order.
    ///
    /// # Errors
    /// In words.
    pub async fn switch(&self, daemon: &Daemon, to: Power) -> Result<(), String> {
        daemon.power().switch(&self.agent, &self.options, to).await
    }

    /// Proof that the power is off: read back so often in a row. `None` if it is on or nobody knows.
    pub async fn proof(&self, daemon: &Daemon) -> Option<Proof> {
        for read in 0..POWER_READS {
            if read > 0 {
                tokio::time::sleep(BETWEEN).await;
            }
            match self.status(daemon).await {
                Ok(Power::Off) => {}
                Ok(Power::On) => return None,
                Err(error) => {
                    tracing::info!(agent = self.agent, error, "a power device does not say");
                    return None;
                }
            }
        }
        Some(Proof::PowerOff { device: self.agent.clone(), reads: POWER_READS })
    }

    /// Switches off and waits until that is read back. `None` if it is not within the limit.
    pub async fn force_off(&self, daemon: &Arc<Daemon>) -> Option<Proof> {
        if let Err(error) = self.switch(daemon, Power::Off).await {
            tracing::warn!(agent = self.agent, error, "a power device did not take the order");
            return None;
        }
        let deadline = tokio::time::Instant::now() + OFF_LIMIT;
        while tokio::time::Instant::now() < deadline {
            if let Some(proof) = self.proof(daemon).await {
                return Some(proof);
            }
            tokio::time::sleep(BETWEEN).await;
        }
        None
    }
}
