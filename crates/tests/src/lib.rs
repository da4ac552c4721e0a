//! What the end-to-end tests share: running daemons and labs, a raw connection, and other people's clients.
//!
//! Nothing here knows how Holdfast works inside: programs are started as a user would, and spoken to over the network.
//! The tests are in `tests/`, each binary a subject; scripts for foreign clients are in `clients/`.
//!
//! Invariants: whatever a test starts ends with it ([`OneHost`] and [`PoolLab`] end in `Drop`, also when the test
//! panics; what a killed test left is taken down by the next one); every wait has a deadline and says what it waited for;
//! random input comes from a seed that is printed.

mod clients;
pub mod documents;
pub mod guests;
mod hostile;
pub mod nested;
mod one_host;
mod pool_lab;
mod programs;
mod wire;
pub mod wreck;

pub use clients::{node, page, python};
pub use hostile::{Attack, Expected, Generator, Wire as HostileWire};
pub use one_host::{Memory, OneHost};
pub use pool_lab::{HostPort, PoolLab};
pub use programs::{program, root_or_say, test_guest_image, workspace};
pub use wire::{Answer, Rpc, Wire};

use std::time::{Duration, Instant};

/// Waits until `look` gives a value.
///
/// # Panics
/// If it gives none within the limit; the text says what was waited for and what was seen last.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if start.elapsed() > limit => {
                panic!("waited {limit:?} for {what}; last seen: {seen}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
