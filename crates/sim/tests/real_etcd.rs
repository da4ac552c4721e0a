//! The model of etcd against the real one: the same steps on both, and the same facts about leases.
//!
//! A cluster of one voter shows the three that high availability rests on: a lease lives at least its time to live and not
//! much longer; a voter that stood still and goes on in the same term ends what ran out meanwhile at once; a voter that is
//! elected anew restores every lease to its whole time. Needs `etcd` and `etcdctl` (the packages that tests install anyway).

#![expect(clippy::disallowed_methods, reason = "the real etcd runs in real time, as a process")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sim::etcd::{Answer, Ask, Etcd, Out, Request, TICK};
use sim::kernel::{At, Chance, SEC};
use sim::kv::{Key, Op, Value, Write};

/// Time to live, seconds.
const TTL: u64 = 5;
/// For how long the voter stands still, seconds.
const STILL: u64 = 8;

/// What was seen of a lease, seconds from its grant, or from when the voter went on.
#[derive(Debug)]
struct Seen {
    /// Left alone, it ended.
    left_alone: f64,
    /// Its voter stood still for longer than it lives, and then it ended, from when the voter went on.
    after_standing_still: f64,
    /// Its voter was killed late in its life and started again; it ended, from that start.
    after_an_election: f64,
}

impl Seen {
    fn judge(&self) {
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        let ttl = TTL as f64;
        assert!(self.left_alone >= ttl, "ended early: {self:?}");
        assert!(self.left_alone < ttl + 4.0, "ended late: {self:?}");
        assert!(self.after_standing_still < 3.5, "not ended when it went on: {self:?}");
        assert!(self.after_an_election >= ttl, "not restored by the election: {self:?}");
    }
}

// ---- the model ----

struct Model {
    etcd: Etcd,
    chance: Chance,
    now: At,
    syncs: Vec<(At, usize, u64)>,
}

impl Model {
    fn new() -> Self {
        let mut chance = Chance::new(1);
        let mut etcd = Etcd::new(&[0], SEC, &mut chance);
        etcd.found(&Rc::new(Op::Nothing));
        let mut model = Self { etcd, chance, now: 0, syncs: Vec::new() };
        model.pass(3 * SEC);
        model
    }

    fn take(&mut self, out: Vec<Out>) {
        for one in out {
            match one {
                Out::Sync(at, length, generation) => self.syncs.push((at, length, generation)),
                Out::Applied(_, entry) => {
                    if let Op::Grant(lease, ttl) = &*entry.op
                        && let Some(voter) = self.etcd.voters.get_mut(&0)
                    {
                        voter.granted(*lease, *ttl, self.now);
                    }
                }
                _ => {}
            }
        }
    }

    fn pass(&mut self, time: At) {
        let until = self.now + time;
        while self.now < until {
            self.now += TICK;
            for (at, length, generation) in std::mem::take(&mut self.syncs) {
                if at <= self.now {
                    let out = self.etcd.synced(0, length, generation);
                    self.take(out);
                } else {
                    self.syncs.push((at, length, generation));
                }
            }
            let out = self.etcd.tick(0, self.now, &mut self.chance);
            self.take(out);
        }
    }

    fn commit(&mut self, op: Op) {
        let what = Ask::Commit(Rc::new(op));
        let request = Request { from: (0, 1), through: 0, what, forwarded: false };
        let out = self.etcd.request(0, request, self.now, &mut self.chance);
        assert!(!out.iter().any(|o| matches!(o, Out::Reply(_, Answer::NoLeader))));
        self.take(out);
        self.pass(2 * TICK);
    }

    fn grant(&mut self, lease: i64) {
        self.commit(Op::Grant(lease, TTL));
        let writes = vec![Write::Put(Key::HostLease(0), Value::Number(1), Some(lease))];
        self.commit(Op::Txn { guards: vec![], writes, claims_term: None });
        assert!(self.is_there());
    }

    fn is_there(&self) -> bool {
        self.etcd.voters[&0].kv.keys.contains_key(&Key::HostLease(0))
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    fn ends_from(&mut self, from: At) -> f64 {
        while self.is_there() {
            self.pass(TICK);
            assert!(self.now < from + 60 * SEC, "never ended");
        }
        (self.now - from) as f64 / SEC as f64
    }

    fn seen() -> Seen {
        let mut model = Self::new();
        let granted = model.now;
        model.grant(1);
        let left_alone = model.ends_from(granted);
        model.grant(2);
        // It stands still: time passes, nothing happens.
        model.now += STILL * SEC;
        let after_standing_still = model.ends_from(model.now);
        model.grant(3);
        model.pass(3 * SEC);
        model.etcd.stop(0, false);
        model.etcd.start(0, model.now, &mut model.chance);
        let after_an_election = model.ends_from(model.now);
        Seen { left_alone, after_standing_still, after_an_election }
    }
}

// ---- the real one ----

struct Real {
    child: Child,
    directory: PathBuf,
    client: String,
    peer: String,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

fn start(directory: &Path, client: &str, peer: &str) -> Child {
    Command::new("etcd")
        .arg("--data-dir")
        .arg(directory)
        .args(["--listen-client-urls", client, "--advertise-client-urls", client])
        .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer])
        .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd is installed")
}

impl Real {
    fn new() -> Self {
        let name = format!("holdfast-sim-etcd-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let (client, peer) = (address(), address());
        let child = start(&directory, &client, &peer);
        let real = Self { child, directory, client, peer };
        real.wait();
        real
    }

    fn ctl(&self, words: &[&str]) -> Option<String> {
        let out = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.client, "--command-timeout", "2s"])
            .args(words)
            .output()
            .expect("etcdctl is installed");
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.ctl(&["put", "up", "1"]).is_none() {
            assert!(Instant::now() < deadline, "etcd does not answer");
        }
    }

    fn grant(&self) -> Instant {
        let granted = Instant::now();
        let said = self.ctl(&["lease", "grant", &TTL.to_string()]).expect("granted");
        let lease = said.split_whitespace().nth(1).expect("lease ID granted").to_owned();
        self.ctl(&["put", "key", "1", "--lease", &lease]).expect("written");
        granted
    }

    fn ends_from(&self, from: Instant) -> f64 {
        loop {
            // An answer that does not come says nothing.
            if self.ctl(&["get", "key"]).is_some_and(|said| said.is_empty()) {
                return from.elapsed().as_secs_f64();
            }
            assert!(from.elapsed() < Duration::from_secs(60), "never ended");
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    fn seen() -> Seen {
        let mut real = Self::new();
        let left_alone = real.ends_from(real.grant());
        real.grant();
        real.signal("-STOP");
        std::thread::sleep(Duration::from_secs(STILL));
        real.signal("-CONT");
        let after_standing_still = real.ends_from(Instant::now());
        real.grant();
        std::thread::sleep(Duration::from_secs(3));
        real.child.kill().expect("killed");
        real.child.wait().expect("ended");
        let started = Instant::now();
        real.child = start(&real.directory, &real.client, &real.peer);
        let after_an_election = real.ends_from(started);
        Seen { left_alone, after_standing_still, after_an_election }
    }
}

#[test]
fn leases_of_the_model_end_as_those_of_the_real_etcd() {
    let (model, real) = (Model::seen(), Real::seen());
    model.judge();
    real.judge();
}
