//! How far this host gets with another: echo, a connection to its API's port, an answer of its API (S2-19).
//!
//! Each question has its own limit, all hosts are asked side by side, so a look at the whole pool takes no longer than
//! one at a dead host. The API is asked its health, over TLS with this host's certificate, and may be asked a call. Looks that
//! nobody waits for try a few hosts at a time, in turn.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use planner::diagnosis::{Answer, Silence};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Daemon;

/// Longest wait for an echo and for a connection.
pub(crate) const NEAR: Duration = Duration::from_millis(1500);
/// Longest wait for the API's answer, after the connection.
const API: Duration = Duration::from_millis(2500);
/// Largest answer, bytes.
const MOST_BYTES: usize = 4 << 20;

/// Another host to be tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) host: Uuid,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

/// How far one got.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reached {
    pub(crate) ping: Answer,
    pub(crate) tcp: Answer,
    pub(crate) api: Answer,
    /// Rules that fail there, as it says itself.
    pub(crate) says: Option<Vec<String>>,
}

/// Hosts that one look tries, if nobody waits for its result: in a pool of 64 hosts without a majority everybody looks dead to everybody.
const IN_TURN: usize = 8;

/// What was found out of hosts that look dead, a few of them in each look.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    looks: u64,
    /// By host: the look in which it was tried last, and how far that got.
    known: HashMap<Uuid, (u64, Reached)>,
}

impl Turns {
    /// Those whose turn it is: who was not tried for longest. What is known of hosts that are no targets any more is forgotten.
    fn next(&mut self, mut targets: Vec<Target>) -> Vec<Target> {
        self.looks += 1;
        self.known.retain(|host, _| targets.iter().any(|target| target.host == *host));
        targets.sort_by_key(|t| (self.known.get(&t.host).map_or(0, |(look, _)| *look), t.host));
        targets.truncate(IN_TURN);
        targets
    }

    fn note(&mut self, reached: HashMap<Uuid, Reached>) {
        self.known.extend(reached.into_iter().map(|(host, how)| (host, (self.looks, how))));
    }

    fn known(&self) -> HashMap<Uuid, Reached> {
        self.known.iter().map(|(host, (_, how))| (*host, how.clone())).collect()
    }
}

/// Tries some of them side by side, and says what this look and earlier ones found out.
pub(crate) async fn try_in_turn(
    daemon: &Arc<Daemon>,
    turns: &Mutex<Turns>,
    targets: Vec<Target>,
) -> HashMap<Uuid, Reached> {
    let turn = turns.lock().unwrap_or_else(PoisonError::into_inner).next(targets);
    let reached = try_all(daemon, turn).await;
    let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
    turns.note(reached);
    turns.known()
}

/// Tries all of them side by side.
pub(crate) async fn try_all(daemon: &Arc<Daemon>, targets: Vec<Target>) -> HashMap<Uuid, Reached> {
    if targets.is_empty() {
        return HashMap::new();
    }
    let pinged = targets.clone();
    let pings = tokio::task::spawn_blocking(move || ping_all(&pinged));
    let tried = futures_util::future::join_all(targets.iter().map(|t| api(daemon, *t)));
    let (pings, tried) = tokio::join!(pings, tried);
    let mut pings = pings.unwrap_or_default();
    targets
        .iter()
        .zip(tried)
        .map(|(target, mut reached)| {
            reached.ping = pings.remove(&target.host).unwrap_or_default();
            (target.host, reached)
        })
        .collect()
}

fn ping_all(targets: &[Target]) -> HashMap<Uuid, Answer> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = targets
            .iter()
            .map(|t| (t.host, scope.spawn(|| host::ping::echo(t.address, NEAR))))
            .collect();
        asked
            .into_iter()
            .map(|(host, answer)| {
                let answer = match answer.join() {
                    Ok(Ok(Some(time))) => Answer::Yes(time),
                    Ok(Ok(None)) => Answer::No(Silence::Nothing { waited: NEAR }),
                    Ok(Err(error)) => Answer::No(Silence::Other(error.to_string())),
                    Err(_) => Answer::NotAsked,
                };
                (host, answer)
            })
            .collect()
    })
}

async fn api(daemon: &Arc<Daemon>, target: Target) -> Reached {
    let mut reached = Reached::default();
    let start = Instant::now();
    let connecting = TcpStream::connect((target.address, target.port));
    let tcp = match tokio::time::timeout(NEAR, connecting).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) => {
            let text = error.to_string();
            reached.tcp = Answer::No(match error.kind() {
                std::io::ErrorKind::ConnectionRefused => Silence::Refused(text),
                _ => Silence::Other(text),
            });
            return reached;
        }
        Err(_) => {
            reached.tcp = Answer::No(Silence::Nothing { waited: NEAR });
            return reached;
        }
    };
    reached.tcp = Answer::Yes(start.elapsed());
    let start = Instant::now();
    let asked = exchange(daemon, tcp, target, Method::GET, "/health", Bytes::new());
    match tokio::time::timeout(API, asked).await {
        Ok(Ok((_, body))) => {
            reached.api = Answer::Yes(start.elapsed());
            reached.says = said(&body);
        }
        Ok(Err(why)) => reached.api = Answer::No(Silence::Other(why)),
        Err(_) => reached.api = Answer::No(Silence::Nothing { waited: API }),
    }
    reached
}

/// The rules that another host's health names as failed.
fn said(body: &[u8]) -> Option<Vec<String>> {
    let health: serde_json::Value = serde_json::from_slice(body).ok()?;
    let reasons = health.get("reasons")?.as_array()?;
    let failed = reasons.iter().filter(|r| r["weight"] == "failure");
    Some(failed.filter_map(|r| r["rule"].as_str().map(str::to_owned)).collect())
}

/// Asks another host a call, as this host.
///
/// # Errors
/// Why there is no answer, for people.
pub(crate) async fn call(
    daemon: &Arc<Daemon>,
    target: Target,
    method: &str,
    params: serde_json::Value,
    limit: Duration,
) -> Result<serde_json::Value, String> {
    let request =
        serde_json::json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1});
    let asking = async {
        let tcp =
            TcpStream::connect((target.address, target.port)).await.map_err(|e| e.to_string())?;
        exchange(daemon, tcp, target, Method::POST, "/jsonrpc", request.to_string().into()).await
    };
    let (_, body) = tokio::time::timeout(limit, asking)
        .await
        .map_err(|_| format!("no answer within {} s", limit.as_secs()))??;
    let answer: serde_json::Value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
    match answer.get("result") {
        Some(result) if !result.is_null() => Ok(result.clone()),
        _ => Err(answer["error"].to_string()),
    }
}

async fn exchange(
    daemon: &Arc<Daemon>,
    tcp: TcpStream,
    target: Target,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), String> {
    let _ = tcp.set_nodelay(true);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, target.address.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|e| e.to_string())?;
    let tls = tokio_rustls::TlsConnector::from(daemon.tls().client.clone());
    let tls =
        tls.connect(ServerName::from(target.address), tcp).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls))
        .await
        .map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MOST_BYTES);
    let body = body.collect().await.map_err(|e| e.to_string())?;
    Ok((status, body.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(hosts: std::ops::Range<u128>) -> Vec<Target> {
        let target =
            |n| Target { host: Uuid::from_u128(n), address: [192, 0, 2, 1].into(), port: 443 };
        hosts.map(target).collect()
    }

    #[test]
    fn every_host_that_looks_dead_has_its_turn_and_what_was_seen_is_kept_until_it_lives() {
        let mut turns = Turns::default();
        let mut tried = HashMap::<Uuid, u32>::new();
        for _ in 0..8 {
            let turn = turns.next(targets(0..32));
            assert_eq!(turn.len(), IN_TURN);
            for target in &turn {
                *tried.entry(target.host).or_default() += 1;
            }
            turns.note(turn.iter().map(|t| (t.host, Reached::default())).collect());
        }
        assert_eq!((tried.len(), tried.values().max()), (32, Some(&2)));
        assert_eq!(turns.known().len(), 32);
        // The others are heard again.
        assert_eq!(turns.next(targets(3..5)).len(), 2);
        assert_eq!(turns.known().len(), 2);
    }
}
