//! Asks test guests for their counters, from the client's place on the lab network.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{address, answer::Answer};
use crate::events::now_ms;
use crate::layout::Layout;
use crate::network::{CLIENT, inside};
use crate::report::data;

/// Longest time for one answer.
const ANSWER: Duration = Duration::from_millis(800);
/// Time between two questions to the same guest.
const PERIOD: Duration = Duration::from_millis(100);

/// One question and what came of it, as printed.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// Milliseconds of the monotonic clock when the answer had come (or had not).
    ms: u64,
    mac: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    foreign: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_gap_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Asks each guest once, or for ever; prints one JSON line per question. Returns whether every guest answered.
pub fn run(layout: &Layout, macs: &[String], follow: bool) -> Result<bool> {
    let guests: Vec<(&String, SocketAddr)> = macs
        .iter()
        .map(|mac| {
            let ip = address::of_mac(mac).with_context(|| format!("{mac:?} is no MAC address"))?;
            Ok((mac, SocketAddr::from((ip, address::PORT))))
        })
        .collect::<Result<_>>()?;
    inside(&layout.pin(CLIENT), || {
        std::thread::scope(|scope| {
            let all: Vec<_> = guests
                .iter()
                .map(|(mac, at)| scope.spawn(move || ask_again(mac, *at, follow)))
                .collect();
            let mut answered = true;
            for one in all {
                answered &= one.join().expect("asking does not panic")?;
            }
            Ok(answered)
        })
    })
}

fn ask_again(mac: &str, at: SocketAddr, follow: bool) -> Result<bool> {
    loop {
        let asked = std::time::Instant::now();
        let answer = ask(at);
        let mut line = Line {
            ms: now_ms(),
            mac,
            boot: None,
            seq: None,
            foreign: None,
            max_gap_ms: None,
            error: None,
        };
        let answered = answer.is_ok();
        match answer {
            Ok(a) => {
                line.boot = Some(format!("{:032x}", a.boot));
                line.seq = Some(a.seq);
                line.foreign = Some(a.foreign);
                line.max_gap_ms = Some(a.max_gap_ms);
            }
            Err(e) => line.error = Some(format!("{e:#}")),
        }
        data(&serde_json::to_string(&line)?)?;
        if !follow {
            return Ok(answered);
        }
        std::thread::sleep(PERIOD.saturating_sub(asked.elapsed()));
    }
}

fn ask(at: SocketAddr) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&at, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    text.parse().map_err(anyhow::Error::msg)
}
