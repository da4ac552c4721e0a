//! A slow cable: every frame of a host takes longer, both ways.
//!
//! ```text
//!   sw0 ── d2 (tap) ══ this process: each frame waits its time ══ p2 ── eth0 of h2
//! ```
//! The host's port leaves the switch and a tap takes its place; one process passes the frames on, in order, each after
//! the same delay. It runs in the switch's namespace as a child of the keeper; when it ends, the tap goes with it and the
//! port is plugged in again ([`crate::network::port_plug`]).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use crate::layout::Layout;
use crate::network::{self, SWITCH};

/// Most frames on their way in one direction; more are lost, as in any full queue.
const QUEUE_MAX: usize = 4096;

/// The tap that stands in for a host's port.
pub fn tap_name(number: u8) -> String {
    format!("d{number}")
}

/// Passes frames on until it is killed.
///
/// # Errors
/// The port or the tap can't be used.
pub fn run(lab: &str, number: u8, delay_ms: u32) -> Result<()> {
    let layout = Layout::new(lab)?;
    let pin = layout.pin(SWITCH);
    let namespace = File::open(&pin).with_context(|| format!("opening {}", pin.display()))?;
    setns(&namespace, CloneFlags::CLONE_NEWNET).context("entering the switch's namespace")?;
    let tap = host::frames::tap(&tap_name(number))?;
    let port = host::frames::arriving(&network::port_name(number))?;
    network::port_replace(&layout, number)?;
    let delay = Duration::from_millis(delay_ms.into());
    let there = pass(tap.try_clone()?, port.try_clone()?, delay);
    let back = pass(port, tap, delay);
    for thread in there.into_iter().chain(back) {
        let _ = thread.join();
    }
    Ok(())
}

/// Frames on their way.
#[derive(Default)]
struct Line {
    frames: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    more: Condvar,
}

fn pass(mut from: File, mut to: File, delay: Duration) -> [std::thread::JoinHandle<()>; 2] {
    let line = Arc::new(Line::default());
    let filled = line.clone();
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; host::frames::FRAME_BYTES_MAX];
        loop {
            match from.read(&mut buffer) {
                Ok(length) if length > 0 => {
                    let due = Instant::now() + delay;
                    let mut frames = filled.frames.lock().unwrap_or_else(PoisonError::into_inner);
                    if frames.len() < QUEUE_MAX {
                        frames.push_back((due, buffer[..length].to_vec()));
                        filled.more.notify_one();
                    }
                }
                Err(error) if is_final(&error) => return,
                // The link is down: it may come back.
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    });
    let writer = std::thread::spawn(move || {
        loop {
            let mut frames = line.frames.lock().unwrap_or_else(PoisonError::into_inner);
            let (due, frame) = loop {
                match frames.pop_front() {
                    Some(frame) => break frame,
                    None => {
                        frames = line.more.wait(frames).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(frames);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // A frame that can't leave is lost, as on any cable.
            if to.write(&frame).is_err_and(|error| is_final(&error)) {
                return;
            }
        }
    });
    [reader, writer]
}

/// The interface is gone for good.
fn is_final(error: &std::io::Error) -> bool {
    let raw = error.raw_os_error();
    let gone = [nix::libc::ENXIO, nix::libc::EBADFD, nix::libc::ENODEV];
    error.kind() == ErrorKind::UnexpectedEof || gone.iter().any(|code| raw == Some(*code))
}
