//! What stands around a daemon of the harness, in memory: power devices, bridges, and the registry of guests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use driver_api::fake::hypervisor::World;
use holdfastd::guests::Registry;
use host::had::{
    ArmConfig, Code, Guest, GuestProcess, HadError, LeaseConfig, LinkStatus, Refusal, Status,
    Stopped,
};
use uuid::Uuid;

/// Power devices in memory, by plug.
#[derive(Debug)]
pub struct FakePower {
    world: Arc<World>,
    on: Mutex<BTreeMap<String, bool>>,
    /// These take orders and do nothing.
    pub deaf: Mutex<std::collections::BTreeSet<String>>,
}

impl FakePower {
    pub fn of(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), on: Mutex::default(), deaf: Mutex::default() })
    }

    /// The plug has power, or not.
    pub fn set(&self, plug: &str, on: bool) {
        self.on.lock().expect("not poisoned").insert(plug.to_owned(), on);
    }

    fn plug(options: &[(String, String)]) -> String {
        options.iter().find(|(n, _)| n == "plug").map(|(_, v)| v.clone()).unwrap_or_default()
    }
}

#[async_trait]
impl holdfastd::power::PowerDevices for FakePower {
    async fn status(
        &self,
        _: &str,
        options: &[(String, String)],
    ) -> Result<host::power::Power, String> {
        let on = self.on.lock().expect("not poisoned").get(&Self::plug(options)).copied();
        match on {
            Some(true) => Ok(host::power::Power::On),
            Some(false) => Ok(host::power::Power::Off),
            None => Err("no such plug".to_owned()),
        }
    }

    async fn switch(
        &self,
        _: &str,
        options: &[(String, String)],
        to: host::power::Power,
    ) -> Result<(), String> {
        let plug = Self::plug(options);
        if !self.deaf.lock().expect("not poisoned").contains(&plug) {
            if to == host::power::Power::Off {
                self.world.power_off(&plug);
            }
            self.set(&plug, to == host::power::Power::On);
        }
        Ok(())
    }
}

/// A host's network that has every bridge already.
#[derive(Debug)]
pub struct NoBridges;

#[async_trait]
impl holdfastd::networks::Networks for NoBridges {
    async fn ensure(&self, _: &str, _: &str, _: u32) -> Result<(), host::Error> {
        Ok(())
    }
}

/// A registry of guests in memory, with the rules of the real one that matter to callers.
#[derive(Debug)]
pub struct FakeHad {
    world: Arc<World>,
    host: String,
    guests: Mutex<BTreeMap<Uuid, GuestProcess>>,
    refuse: AtomicU64,
    armed: AtomicBool,
    /// What it hears of other hosts. `None`: it tells no status at all.
    links: Mutex<Option<Vec<LinkStatus>>>,
}

impl FakeHad {
    pub fn on(world: &Arc<World>, host: &str) -> Self {
        let (guests, refuse) = (Mutex::default(), AtomicU64::new(0));
        let (armed, links) = (AtomicBool::default(), Mutex::default());
        Self { world: world.clone(), host: host.to_owned(), guests, refuse, armed, links }
    }

    /// Everything registered.
    pub fn guests(&self) -> Vec<GuestProcess> {
        self.guests.lock().expect("not poisoned").values().cloned().collect()
    }

    /// From now on it tells its status, with these links.
    pub fn hears(&self, links: Vec<LinkStatus>) {
        *self.links.lock().expect("not poisoned") = Some(links);
    }

    /// Whether it would stop guests by itself.
    pub fn is_armed(&self) -> bool {
        self.armed.load(Ordering::SeqCst)
    }

    /// The registry's file was lost.
    pub fn forget_all(&self) {
        self.guests.lock().expect("not poisoned").clear();
    }

    /// The next `times` registrations fail.
    pub fn refuse(&self, times: u64) {
        self.refuse.store(times, Ordering::SeqCst);
    }
}

#[async_trait]
impl Registry for FakeHad {
    async fn register(&self, guest: &GuestProcess) -> Result<(), HadError> {
        if self.refuse.load(Ordering::SeqCst) > 0 {
            self.refuse.fetch_sub(1, Ordering::SeqCst);
            return Err(HadError::Refused(Refusal::new(Code::NotDurable, "on request")));
        }
        let mut guests = self.guests.lock().expect("not poisoned");
        if guests.get(&guest.vm).is_some_and(|g| g.generation > guest.generation) {
            return Err(HadError::Refused(Refusal::new(Code::StaleGeneration, "older")));
        }
        guests.insert(guest.vm, guest.clone());
        Ok(())
    }
    async fn unregister(&self, vm: Uuid, generation: u64) -> Result<(), HadError> {
        let mut guests = self.guests.lock().expect("not poisoned");
        match guests.get(&vm) {
            None => Err(HadError::Refused(Refusal::new(Code::NotRegistered, "not there"))),
            Some(guest) if guest.generation > generation => {
                Err(HadError::Refused(Refusal::new(Code::StaleGeneration, "newer")))
            }
            Some(_) => {
                guests.remove(&vm);
                Ok(())
            }
        }
    }
    async fn list(&self) -> Result<Vec<Guest>, HadError> {
        let alive = |g: &GuestProcess| self.world.process_of(&self.host, g.vm) == Some(g.pid);
        Ok(self.guests().into_iter().map(|g| Guest { alive: alive(&g), process: g }).collect())
    }
    async fn status(&self) -> Result<Status, HadError> {
        let links = self.links.lock().expect("not poisoned").clone();
        let links =
            links.ok_or_else(|| HadError::Malformed("the fake tells nothing".to_owned()))?;
        let state = if self.is_armed() { "guarding" } else { "disarmed" };
        let status = serde_json::json!({
            "version": "fake", "pid": 1, "uptime_ms": 1, "boot_id": "fake", "memory_locked": true,
            "lease": { "state": "held" }, "guests": [], "links": links,
            "guard": { "state": state, "watchdog": self.is_armed().then_some("hardware") },
        });
        serde_json::from_value(status).map_err(|e| HadError::Malformed(e.to_string()))
    }
    async fn arm(&self, _: &ArmConfig) -> Result<(), HadError> {
        self.armed.store(true, Ordering::SeqCst);
        Ok(())
    }
    async fn disarm(&self) -> Result<(), HadError> {
        self.armed.store(false, Ordering::SeqCst);
        Ok(())
    }
    async fn stop_guest(&self, vm: Uuid, _: u64) -> Result<Stopped, HadError> {
        let was_running = self.guests.lock().expect("not poisoned").remove(&vm).is_some();
        Ok(Stopped { was_running })
    }
    async fn lease_configure(&self, _: &LeaseConfig) -> Result<(), HadError> {
        Ok(())
    }
    async fn lease_release(&self) -> Result<(), HadError> {
        Ok(())
    }
    fn start_ticks(&self, pid: i32) -> Option<u64> {
        u64::try_from(pid).ok()
    }
}
