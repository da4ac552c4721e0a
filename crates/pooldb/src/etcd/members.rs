//! The voters themselves: how this host's etcd is started, and every change of the cluster's membership.
//!
//! Starts no process (the unit `holdfastd etcd-unit` does, from [`UnitSpec`]) and decides nothing ([`voters`] does).
//! Every operation has a deadline, may be repeated, and treats "already so" as done.
//!
//! [`voters`]: super::voters

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType, MemberAddOptions};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::db::DbError;
use crate::etcd::EtcdConfig;
use crate::etcd::endpoints::{Endpoints, Failed, connect};

pub use crate::etcd::spec::UnitSpec;
pub use crate::etcd::voters::{
    Candidate, Step, Voter, leader_should_move, voter_next_step, voters_wanted,
};

/// Raft heartbeat, milliseconds. With the election time-out below: leader killed to write accepted 0.78 s (lab-notes 2).
pub const HEARTBEAT_MS: u32 = 50;
/// Raft election time-out, milliseconds.
pub const ELECTION_MS: u32 = 500;
/// Largest database, bytes; beyond it etcd takes only deletions until compacted and defragmented.
pub const QUOTA_BYTES: u64 = 1024 * 1024 * 1024;
/// Revisions kept for watches. By count, not by time: the size stays bounded whatever the load.
pub const KEPT_REVISIONS: u32 = 20_000;
/// Raft entries between snapshots: fewer cost memory, more cost catching up (lab-notes 2.6).
pub const SNAPSHOT_COUNT: u32 = 2_000;
/// Deadline of a change of membership: above an election.
const CHANGE_DEADLINE: Duration = Duration::from_secs(8);
/// One try of such a change: it is a raft round or two, but on members whose disk may be slow.
const CHANGE_TRY: Duration = Duration::from_secs(3);
/// Waits between refused changes.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(2);
/// Defragmenting and saving rewrite the whole database.
const MAINTENANCE_DEADLINE: Duration = Duration::from_secs(120);

/// Files of the certificates a member uses, towards clients and peers alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberTls {
    /// The pool's authority.
    pub ca: PathBuf,
    /// The host's certificate (server and client use, with its address).
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Whether a member founds a cluster or joins one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Founding {
    /// A new cluster of this member alone; the token makes its cluster id.
    New {
        /// Unique per founding: two clusters of equal tokens would take each other's members.
        token: String,
    },
    /// Joins; all members' (name, peer URL), itself included, as `add_learner` answered.
    Existing {
        /// The cluster.
        members: Vec<(String, String)>,
    },
}

/// Everything that decides how a member is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSetup {
    /// The program.
    pub binary: PathBuf,
    /// The host's UUID.
    pub name: String,
    /// Where its data is.
    pub data_dir: PathBuf,
    /// The address peers and clients use (no name resolution anywhere).
    pub address: std::net::IpAddr,
    /// Port for clients.
    pub client_port: u16,
    /// Port for peers.
    pub peer_port: u16,
    /// `None` only in tests.
    pub tls: Option<MemberTls>,
    /// How it begins; without effect once it has data.
    pub founding: Founding,
    /// Votes only: as little memory as possible.
    pub witness: bool,
}

impl MemberSetup {
    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    fn url(&self, port: u16) -> String {
        format!("{}://{}", self.scheme(), std::net::SocketAddr::new(self.address, port))
    }

    /// Where clients reach it.
    pub fn client_url(&self) -> String {
        self.url(self.client_port)
    }

    /// Where its peers reach it.
    pub fn peer_url(&self) -> String {
        self.url(self.peer_port)
    }

    /// Program and arguments. Every flag exists in etcd 3.4 and 3.5.
    pub fn argv(&self) -> Vec<String> {
        let (client, peer) = (self.client_url(), self.peer_url());
        let (initial, state, token) = match &self.founding {
            Founding::New { token } => {
                (format!("{}={peer}", self.name), "new", Some(token.as_str()))
            }
            Founding::Existing { members } => {
                let pairs: Vec<String> =
                    members.iter().map(|(name, url)| format!("{name}={url}")).collect();
                (pairs.join(","), "existing", None)
            }
        };
        let mut argv = vec![
            self.binary.display().to_string(),
            format!("--name={}", self.name),
            format!("--data-dir={}", self.data_dir.display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={initial}"),
            format!("--initial-cluster-state={state}"),
            // Off by default in 3.4; without it a returning member deposes a working leader (lab-notes 0).
            "--pre-vote".to_owned(),
            format!("--heartbeat-interval={HEARTBEAT_MS}"),
            format!("--election-timeout={ELECTION_MS}"),
            format!("--quota-backend-bytes={QUOTA_BYTES}"),
            "--auto-compaction-mode=revision".to_owned(),
            format!("--auto-compaction-retention={KEPT_REVISIONS}"),
            format!("--snapshot-count={SNAPSHOT_COUNT}"),
            "--max-snapshots=2".to_owned(),
            "--max-wals=2".to_owned(),
            "--logger=zap".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        if let Some(token) = token {
            argv.push(format!("--initial-cluster-token={token}"));
        }
        if let Some(tls) = &self.tls {
            let (ca, cert, key) = (tls.ca.display(), tls.cert.display(), tls.key.display());
            argv.extend([
                format!("--trusted-ca-file={ca}"),
                format!("--cert-file={cert}"),
                format!("--key-file={key}"),
                "--client-cert-auth".to_owned(),
                format!("--peer-trusted-ca-file={ca}"),
                format!("--peer-cert-file={cert}"),
                format!("--peer-key-file={key}"),
                "--peer-client-cert-auth".to_owned(),
            ]);
        }
        argv
    }

    /// Environment: a small heap (a fresh member then takes about 20 MB, a witness 7 MB and its mapped file).
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = BTreeMap::from([("GOGC".to_owned(), "40".to_owned())]);
        if self.witness {
            env.insert("GOGC".to_owned(), "20".to_owned());
            env.insert("GOMAXPROCS".to_owned(), "1".to_owned());
        }
        env
    }

    /// The unit's spec for this setup.
    pub fn spec(&self, generation: u64, fresh: bool) -> UnitSpec {
        UnitSpec {
            generation,
            run: true,
            argv: self.argv(),
            env: self.env(),
            data_dir: self.data_dir.clone(),
            fresh,
            at_once: false,
        }
    }
}

/// A member as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// etcd's id of it.
    pub id: u64,
    /// The host's UUID; empty until it has started for the first time.
    pub name: String,
    /// Where peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started.
    pub client_urls: Vec<String>,
    /// Does not vote yet.
    pub learner: bool,
}

/// What one member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// etcd's id of it.
    pub id: u64,
    /// Its cluster.
    pub cluster_id: u64,
    /// etcd's version.
    pub version: String,
    /// Size of its file, bytes.
    pub db_bytes: u64,
    /// Of that in use, bytes; much less than the size: defragment.
    pub db_used_bytes: u64,
    /// Id of the leader it follows; 0: none.
    pub leader: u64,
    /// Raft's term.
    pub term: u64,
    /// Newest raft entry it has.
    pub raft_index: u64,
    /// Newest one it has applied.
    pub applied_index: u64,
    /// Does not vote yet.
    pub learner: bool,
    /// Alarms and faults, in etcd's words.
    pub errors: Vec<String>,
}

/// A handle for changing and asking the members of one cluster.
#[derive(Clone)]
pub struct Members {
    endpoints: Arc<Endpoints>,
    config: EtcdConfig,
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").field("endpoints", &self.endpoints.urls()).finish_non_exhaustive()
    }
}

impl Members {
    /// Makes the clients; connections are made when first used.
    ///
    /// # Errors
    /// Bad URLs or certificates.
    pub async fn connect(config: EtcdConfig) -> Result<Self, DbError> {
        Ok(Self { endpoints: Endpoints::connect(&config).await?, config })
    }

    /// All members.
    ///
    /// # Errors
    /// When none answers.
    pub async fn list(&self) -> Result<Vec<Member>, DbError> {
        // 3.4 answers from the asked member's own state; the read before makes sure that it is not cut off.
        self.endpoints.current(CHANGE_DEADLINE).await?;
        self.endpoints
            .race_small(CHANGE_DEADLINE, |endpoint| async move {
                let answer = endpoint.client().member_list().await?;
                self.endpoints.check(answer.header())?;
                Ok(answer.members().iter().map(member).collect())
            })
            .await
    }

    /// What the member at that client URL says; asks only it.
    ///
    /// # Errors
    /// When it does not answer within the deadline.
    pub async fn status(&self, url: &str, deadline: Duration) -> Result<MemberStatus, DbError> {
        let asked = async {
            let mut client = connect(url, self.config.tls.as_ref()).await?;
            client.status().await.map_err(|error| DbError::Backend(error.to_string()))
        };
        let status =
            tokio::time::timeout(deadline, asked).await.map_err(|_| DbError::Timeout)??;
        let header = status.header().ok_or_else(|| DbError::Backend("no header".to_owned()))?;
        let size = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        Ok(MemberStatus {
            id: header.member_id(),
            cluster_id: header.cluster_id(),
            version: status.version().to_owned(),
            db_bytes: size(status.db_size()),
            db_used_bytes: size(status.raft_used_db_size()),
            leader: status.leader(),
            term: status.raft_term(),
            raft_index: status.raft_index(),
            applied_index: status.raft_applied_index(),
            learner: status.is_learner(),
            errors: status.errors().to_vec(),
        })
    }

    /// Adds a learner; answers its id and what its start needs (`Founding::Existing`), with `name` for itself.
    /// Repeated for the same peer URL it answers the same member. etcd refuses for some seconds after another change
    /// ("unhealthy cluster": peers must have been connected for a while); this tries again until the deadline. etcd 3.4
    /// refuses a second learner.
    ///
    /// # Errors
    /// etcd's refusal, or no quorum.
    pub async fn add_learner(
        &self,
        name: &str,
        peer_url: &str,
        deadline: Duration,
    ) -> Result<(u64, Founding), DbError> {
        let ends = Instant::now() + deadline;
        let mut pause = RETRY_FIRST;
        while !self.has_peer(peer_url).await? {
            let added = self.change(|mut client| async move {
                let learner = MemberAddOptions::new().with_is_learner();
                client.member_add([peer_url], Some(learner)).await.map(drop)
            });
            match added.await {
                Ok(()) => break,
                // An earlier copy of the request came through.
                Err(DbError::Backend(text)) if text.contains("Peer URLs already exists") => break,
                Err(DbError::Backend(text))
                    if text.contains("unhealthy") && Instant::now() + pause < ends =>
                {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LONGEST);
                }
                Err(other) => return Err(other),
            }
        }
        let all = self.list().await?;
        let mine = all
            .iter()
            .find(|m| m.peer_urls.iter().any(|url| url == peer_url))
            .ok_or_else(|| DbError::Backend("the new member is not in the list".to_owned()))?;
        let members = all
            .iter()
            .flat_map(|m| {
                let its_name = if m.id == mine.id { name } else { &*m.name };
                m.peer_urls.iter().map(move |url| (its_name.to_owned(), url.clone()))
            })
            .collect();
        Ok((mine.id, Founding::Existing { members }))
    }

    async fn has_peer(&self, peer_url: &str) -> Result<bool, DbError> {
        let all = self.list().await?;
        Ok(all.iter().any(|m| m.peer_urls.iter().any(|url| url == peer_url)))
    }

    /// Makes a learner a voter, trying again while etcd says that it is not in sync or the cluster not healthy yet.
    ///
    /// # Errors
    /// The last refusal when the deadline passes; others at once.
    pub async fn promote(&self, id: u64, deadline: Duration) -> Result<(), DbError> {
        let ends = Instant::now() + deadline;
        let mut pause = RETRY_FIRST;
        loop {
            match self.list().await?.iter().find(|m| m.id == id) {
                Some(member) if !member.learner => return Ok(()),
                Some(_) => {}
                None => return Err(DbError::Backend("no such member".to_owned())),
            }
            let promoted =
                self.change(|mut client| async move { client.member_promote(id).await.map(drop) });
            let refusal = match promoted.await {
                Ok(()) => return Ok(()),
                Err(DbError::Backend(text))
                    if text.contains("in sync") || text.contains("unhealthy") =>
                {
                    DbError::Backend(text)
                }
                Err(DbError::NoQuorum) => DbError::NoQuorum,
                Err(other) => return Err(other),
            };
            if Instant::now() + pause > ends {
                return Err(refusal);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_LONGEST);
        }
    }

    /// Takes a member out. One that is gone is no error.
    ///
    /// # Errors
    /// etcd's refusal (it would lose the majority), or no quorum.
    pub async fn remove(&self, id: u64) -> Result<(), DbError> {
        if !self.list().await?.iter().any(|m| m.id == id) {
            return Ok(());
        }
        let removed =
            self.change(|mut client| async move { client.member_remove(id).await.map(drop) });
        match removed.await {
            Err(_) if self.list().await.is_ok_and(|all| !all.iter().any(|m| m.id == id)) => Ok(()),
            other => other,
        }
    }

    /// Hands the leadership to that member.
    ///
    /// # Errors
    /// When the leader can't be asked or refuses.
    pub async fn move_leader(&self, to: u64) -> Result<(), DbError> {
        let all = self.list().await?;
        for url in all.iter().flat_map(|m| &m.client_urls) {
            let Ok(status) = self.status(url, CHANGE_TRY).await else { continue };
            if status.leader == to {
                return Ok(());
            }
            if status.leader != status.id {
                continue;
            }
            let moved = async {
                let mut client = connect(url, self.config.tls.as_ref()).await?;
                client.move_leader(to).await.map_err(|error| DbError::Backend(error.to_string()))
            };
            let moved = tokio::time::timeout(CHANGE_TRY, moved).await;
            return moved.map_err(|_| DbError::Timeout)?.map(drop);
        }
        Err(DbError::NoQuorum)
    }

    /// Gives free space of the member at that URL back to its file system. It answers nobody meanwhile: one at a time,
    /// the leader last.
    ///
    /// # Errors
    /// When it fails or takes too long.
    pub async fn defragment(&self, url: &str) -> Result<(), DbError> {
        let done = async {
            let mut client = connect(url, self.config.tls.as_ref()).await?;
            client.defragment().await.map_err(|error| DbError::Backend(error.to_string()))
        };
        let done = tokio::time::timeout(MAINTENANCE_DEADLINE, done).await;
        done.map_err(|_| DbError::Timeout)?.map(drop)
    }

    /// Saves the member's whole database to a file (durable when this returns; never half a file under that name).
    /// Restoring one drops membership and makes a new cluster id (lab-notes 2.4).
    ///
    /// # Errors
    /// Those of etcd and of the file system.
    pub async fn snapshot_save(&self, url: &str, path: &Path) -> Result<u64, DbError> {
        let saved = tokio::time::timeout(MAINTENANCE_DEADLINE, self.save(url, path)).await;
        saved.map_err(|_| DbError::Timeout)?
    }

    async fn save(&self, url: &str, path: &Path) -> Result<u64, DbError> {
        let disk = |error: std::io::Error| DbError::Backend(format!("{}: {error}", path.display()));
        let etcd = |error: etcd_client::Error| DbError::Backend(error.to_string());
        let mut client = connect(url, self.config.tls.as_ref()).await?;
        let mut stream = client.snapshot().await.map_err(etcd)?;
        let beside = path.with_extension("part");
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&beside).await.map_err(disk)?;
        let mut bytes = 0_u64;
        let mut remaining = None;
        while let Some(part) = stream.message().await.map_err(etcd)? {
            file.write_all(part.blob()).await.map_err(disk)?;
            bytes += u64::try_from(part.blob().len()).unwrap_or(0);
            remaining = Some(part.remaining_bytes());
        }
        if bytes == 0 || remaining.is_some_and(|left| left > 0) {
            return Err(DbError::Backend("etcd's snapshot ended early".to_owned()));
        }
        file.sync_all().await.map_err(disk)?;
        drop(file);
        tokio::fs::rename(&beside, path).await.map_err(disk)?;
        crate::embedded::sync_directory_of(path)?;
        Ok(bytes)
    }

    /// Clears the alarm "no space" after space was made.
    ///
    /// # Errors
    /// No quorum.
    pub async fn disarm_alarms(&self) -> Result<(), DbError> {
        self.change(|mut client| async move {
            client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, None).await.map(drop)
        })
        .await
    }

    async fn change<F>(&self, act: impl Fn(etcd_client::Client) -> F) -> Result<(), DbError>
    where
        F: Future<Output = Result<(), etcd_client::Error>>,
    {
        self.endpoints
            .race_slow(CHANGE_DEADLINE, CHANGE_TRY, |endpoint| {
                let done = act(endpoint.client());
                async move {
                    match done.await {
                        Ok(()) => Ok(()),
                        // "unhealthy cluster" comes as Unavailable, but it is an answer.
                        Err(etcd_client::Error::GRpcStatus(status))
                            if status.message().contains("unhealthy cluster") =>
                        {
                            let text = status.message().to_owned();
                            Err(Failed::Definite(DbError::Backend(text)))
                        }
                        Err(error) => Err(error.into()),
                    }
                }
            })
            .await
    }
}

fn member(m: &etcd_client::Member) -> Member {
    Member {
        id: m.id(),
        name: m.name().to_owned(),
        peer_urls: m.peer_urls().to_vec(),
        client_urls: m.client_urls().to_vec(),
        learner: m.is_learner(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv_always_has_what_safety_rests_on() {
        let tls = MemberTls { ca: "ca".into(), cert: "cert".into(), key: "key".into() };
        let setup = MemberSetup {
            binary: "/usr/bin/etcd".into(),
            name: "host".to_owned(),
            data_dir: "/var/lib/holdfast/etcd/data".into(),
            address: [10, 90, 0, 1].into(),
            client_port: 2379,
            peer_port: 2380,
            tls: Some(tls),
            founding: Founding::New { token: "t".to_owned() },
            witness: false,
        };
        let argv = setup.argv();
        for flag in [
            "--pre-vote",
            "--client-cert-auth",
            "--peer-client-cert-auth",
            "--heartbeat-interval=50",
            "--election-timeout=500",
            "--listen-client-urls=https://10.90.0.1:2379",
            "--initial-cluster=host=https://10.90.0.1:2380",
        ] {
            assert!(argv.iter().any(|arg| arg == flag), "{flag} is missing from {argv:?}");
        }
        assert!(!argv.iter().any(|arg| arg.contains("http://") || arg.contains("force-new")));
    }
}
