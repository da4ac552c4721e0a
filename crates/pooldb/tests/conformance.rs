//! Every back end keeps the contract.

#![expect(clippy::disallowed_methods, reason = "tests start programs and make ids as they like")]

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use pooldb::conformance::{self, Report, Subject};
use pooldb::{EtcdConfig, EtcdDb, MemoryDb, PoolDb};

use support::EmbeddedSubject;
use support::disk::Disk;
use support::etcd::Cluster;

struct MemorySubject(MemoryDb);

#[async_trait]
impl Subject for MemorySubject {
    async fn open(&self) -> Arc<dyn PoolDb> {
        Arc::new(self.0.for_host())
    }

    async fn power_cut(&self) {}

    fn survives(&self) -> bool {
        false
    }
}

/// etcd; its "power cut" is kill -9 of every member at once.
struct EtcdSubject(Cluster);

#[async_trait]
impl Subject for EtcdSubject {
    async fn open(&self) -> Arc<dyn PoolDb> {
        let owner = uuid::Uuid::new_v4().to_string();
        let config = EtcdConfig::plain(self.0.urls(), owner);
        Arc::new(EtcdDb::connect(config).await.expect("connects"))
    }

    async fn power_cut(&self) {
        for member in &self.0.members {
            member.kill();
        }
        for member in &self.0.members {
            member.run();
        }
        for member in &self.0.members {
            member.ready().await;
        }
    }
}

fn judge(report: &Report) {
    assert!(report.failed.is_empty() && report.passed.len() >= 24, "{report}");
}

/// proves: S4-52 (table)
#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract() {
    judge(&conformance::run(&MemorySubject(MemoryDb::new())).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_keeps_the_contract() {
    judge(&conformance::run(&EmbeddedSubject::new(Disk::default())).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_etcd_keeps_the_contract() {
    judge(&conformance::run(&EtcdSubject(Cluster::start(1).await)).await);
}

/// proves: S1-12 (table)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_etcds_keep_the_contract() {
    judge(&conformance::run(&EtcdSubject(Cluster::start(3).await)).await);
}
