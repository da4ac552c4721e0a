//! What the tests of the back ends share: a disk that forgets, throwaway etcds, a proxy that falls silent.

#![expect(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod disk;
pub(crate) mod etcd;
pub(crate) mod proxy;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pooldb::conformance::Subject;
use pooldb::embedded::NewStore;
use pooldb::{EmbeddedDb, PoolDb};

use disk::Disk;

/// The embedded store on a disk whose power can be cut.
pub(crate) struct EmbeddedSubject {
    disk: Disk,
    open: Mutex<Option<EmbeddedDb>>,
}

impl EmbeddedSubject {
    pub(crate) fn new(disk: Disk) -> Self {
        Self { disk, open: Mutex::new(None) }
    }
}

#[async_trait]
impl Subject for EmbeddedSubject {
    async fn open(&self) -> Arc<dyn PoolDb> {
        let mut open = self.open.lock().expect("not poisoned");
        let db = open.get_or_insert_with(|| {
            EmbeddedDb::open_backend(self.disk.plug_in(), NewStore::first()).expect("opens")
        });
        Arc::new(db.clone())
    }

    async fn power_cut(&self) {
        self.disk.cut_power();
        *self.open.lock().expect("not poisoned") = None;
    }
}
