//! The voters: a cluster that grows from one to three and shrinks again, with the product's own arguments and TLS.

#![expect(clippy::disallowed_methods, reason = "tests start programs and make ids as they like")]

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pooldb::etcd::members::{Founding, MemberSetup, MemberTls, Members};
use pooldb::{DbError, EtcdConfig, EtcdDb, EtcdTls, Key, PoolDb, Table, Txn};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use support::etcd::free_port;

const DEADLINE: Duration = Duration::from_secs(10);

/// One host's etcd, run as the unit would run it.
struct Host {
    setup: MemberSetup,
    child: Option<Child>,
}

impl Host {
    fn start(&mut self, dir: &Path, generation: u64, fresh: bool) {
        let spec = self.setup.spec(generation, fresh);
        let unit_dir = dir.join(format!("unit-{}", self.setup.name));
        std::fs::create_dir_all(&unit_dir).expect("makes");
        spec.write(&unit_dir.join("spec.json")).expect("writes");
        spec.prepare(&unit_dir).expect("prepares");
        let log = std::fs::File::create(unit_dir.join("log")).expect("a log file");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(&spec.argv)
            .envs(&spec.env)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("starts");
        self.child = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("is ours");
            child.wait().expect("ends");
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A pool authority and one certificate for all (they share an address here).
fn certificates(dir: &Path) -> (MemberTls, EtcdTls) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
    let ca = ca.expect("an authority");
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    let key = KeyPair::generate().expect("a key");
    let cert = params.signed_by(&key, &ca).expect("a certificate");
    let files =
        MemberTls { ca: dir.join("ca.pem"), cert: dir.join("cert.pem"), key: dir.join("key.pem") };
    std::fs::write(&files.ca, ca.pem()).expect("writes");
    std::fs::write(&files.cert, cert.pem()).expect("writes");
    std::fs::write(&files.key, key.serialize_pem()).expect("writes");
    let client = EtcdTls {
        ca_pem: ca.pem().into_bytes(),
        cert_pem: cert.pem().into_bytes(),
        key_pem: key.serialize_pem().into_bytes(),
    };
    (files, client)
}

fn host(dir: &Path, tls: &MemberTls, name: &str, founding: Founding) -> Host {
    let setup = MemberSetup {
        binary: "/usr/bin/etcd".into(),
        name: name.to_owned(),
        data_dir: dir.join(name),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        client_port: free_port(),
        peer_port: free_port(),
        tls: Some(tls.clone()),
        founding,
        witness: name == "w",
    };
    Host { setup, child: None }
}

fn config(tls: &EtcdTls, hosts: &[&Host]) -> EtcdConfig {
    EtcdConfig {
        tls: Some(tls.clone()),
        ..EtcdConfig::plain(hosts.iter().map(|h| h.setup.client_url()).collect(), "test")
    }
}

async fn ready(db: &EtcdDb) {
    for _ in 0..20 {
        if db.current_revision().await.is_ok() {
            return;
        }
    }
    panic!("etcd does not answer");
}

/// proves: S1-15 (table)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_grows_to_three_voters_and_loses_nothing_with_any_one_of_them() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (files, tls) = certificates(dir.path());
    let founding = Founding::New { token: "pool-1".to_owned() };
    let mut first = host(dir.path(), &files, "a", founding);
    first.start(dir.path(), 1, true);
    let db = EtcdDb::connect(config(&tls, &[&first])).await.expect("connects");
    ready(&db).await;
    let key = Key::new(Table::Saga, "x");
    db.commit(Txn::new().put(key.clone(), b"1".as_slice()), DEADLINE).await.expect("commits");

    // Without the pool's certificate nobody gets in.
    let stranger = certificates(&{
        let other = dir.path().join("other");
        std::fs::create_dir(&other).expect("makes");
        other
    })
    .1;
    let uninvited = EtcdTls { ca_pem: tls.ca_pem.clone(), ..stranger };
    let uninvited = EtcdDb::connect(config(&uninvited, &[&first])).await.expect("builds");
    assert_eq!(uninvited.get(&key).await, Err(DbError::NoQuorum));

    let members = Members::connect(config(&tls, &[&first])).await.expect("connects");
    let mut joined = Vec::new();
    for name in ["b", "c"] {
        let mut next = host(dir.path(), &files, name, Founding::New { token: String::new() });
        let peer_url = next.setup.peer_url();
        let patience = Duration::from_secs(30);
        let added = members.add_learner(name, &peer_url, patience).await;
        let (id, founding) = added.expect("adds");
        let (again, _) =
            members.add_learner(name, &peer_url, DEADLINE).await.expect("may be repeated");
        assert_eq!(id, again);
        next.setup.founding = founding;
        next.start(dir.path(), 1, true);
        members.promote(id, Duration::from_secs(30)).await.expect("promotes");
        members.promote(id, DEADLINE).await.expect("may be repeated");
        joined.push((id, next));
    }
    let list = members.list().await.expect("lists");
    assert_eq!(list.len(), 3);
    assert!(list.iter().all(|m| !m.learner && !m.name.is_empty()), "{list:?}");

    let all = [&first, &joined[0].1, &joined[1].1];
    let urls: Vec<String> = all.iter().map(|h| h.setup.client_url()).collect();
    db.set_endpoints(&urls).await.expect("takes them");
    let members = Members::connect(config(&tls, &all)).await.expect("connects");
    members.move_leader(joined[0].0).await.expect("moves the leadership");
    let status = members.status(&urls[1], DEADLINE).await.expect("answers");
    assert_eq!((status.leader, status.id), (joined[0].0, joined[0].0));
    members.defragment(&urls[2]).await.expect("defragments");
    members.disarm_alarms().await.expect("disarms");
    let file = dir.path().join("backup.db");
    let bytes = members.snapshot_save(&urls[0], &file).await.expect("saves");
    assert_eq!(std::fs::metadata(&file).expect("exists").len(), bytes);

    // Any one voter dies with its disk.
    joined[0].1.kill();
    let entry = db.get(&key).await.expect("reads").expect("is there");
    assert_eq!(&*entry.value, b"1");
    db.commit(Txn::new().put(key.clone(), b"2".as_slice()), DEADLINE).await.expect("commits");
    members.remove(joined[0].0).await.expect("removes the dead");
    members.remove(joined[0].0).await.expect("may be repeated");
    assert_eq!(members.list().await.expect("lists").len(), 2);

    // It comes back as a new member on the same data directory: the old data is set aside.
    let peer_url = joined[0].1.setup.peer_url();
    let (id, founding) =
        members.add_learner("b", &peer_url, Duration::from_secs(30)).await.expect("adds");
    joined[0].1.setup.founding = founding;
    joined[0].1.start(dir.path(), 2, true);
    members.promote(id, Duration::from_secs(30)).await.expect("promotes");
    let only = EtcdDb::connect(config(&tls, &[&joined[0].1])).await.expect("connects");
    assert_eq!(&*only.get(&key).await.expect("reads").expect("is there").value, b"2");
}
