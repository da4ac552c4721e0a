//! File work on blocking threads, bounded in time and number.
//!
//! A file server that is gone leaves threads hanging in the kernel; nothing can end them. So each repository has its own
//! small number of threads, one lane for short work and one for long copies: a hung repository uses up its own lanes
//! and then answers at once, and neither other repositories nor the caller's runtime notice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use driver_api::storage::Result;
use driver_api::{DriverError, Kind};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Threads that short operations of one repository may occupy.
const SHORT: usize = 16;
/// Threads that copies of one repository may occupy.
const LONG: usize = 4;
/// How much later than the work's own deadline the caller gives up waiting for it.
const SLACK: Duration = Duration::from_millis(200);

/// Which threads the work runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Milliseconds.
    Short,
    /// Copies.
    Long,
}

/// The lanes of all repositories.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<HashMap<(Uuid, Lane), Arc<Semaphore>>>);

impl Lanes {
    fn lane(&self, sr: Uuid, lane: Lane) -> Arc<Semaphore> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let size = if lane == Lane::Short { SHORT } else { LONG };
        Arc::clone(lanes.entry((sr, lane)).or_insert_with(|| Arc::new(Semaphore::new(size))))
    }

    /// Runs `work` with its deadline on a thread of the lane; the caller waits no longer than about `limit`.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        sr: Uuid,
        lane: Lane,
        limit: Duration,
        work: impl FnOnce(Instant) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        let subject = || format!("SR {sr}");
        let timed_out = |detail: &str| DriverError::new(Kind::Timeout, subject(), detail);
        let waited = tokio::time::timeout(limit, self.lane(sr, lane).acquire_owned()).await;
        let permit = match waited {
            Ok(permit) => permit.expect("lanes are never closed"),
            Err(_) => {
                return Err(timed_out(
                    "earlier operations on this repository have not come back; does its storage answer?",
                ));
            }
        };
        let thread = tokio::task::spawn_blocking(move || {
            let result = work(deadline);
            drop(permit);
            result
        });
        let remaining = deadline.saturating_duration_since(Instant::now()) + SLACK;
        match tokio::time::timeout(remaining, thread).await {
            Ok(Ok(result)) => result,
            Ok(Err(failed)) => {
                let detail = format!("the operation ended abnormally: {failed}");
                Err(DriverError::new(Kind::Failed, subject(), detail))
            }
            Err(_) => Err(timed_out("the storage did not answer in time")),
        }
    }
}

/// What is left until `deadline`.
pub(crate) fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hung_work_uses_up_its_own_repository_only() {
        let lanes = Arc::new(Lanes::default());
        let (hung, fine) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let limit = Duration::from_millis(10);
        let mut runs = tokio::task::JoinSet::new();
        for _ in 0..SHORT {
            let (lanes, held) = (Arc::clone(&lanes), Arc::clone(&held));
            let work = move |_| {
                let _ = held.lock().unwrap_or_else(PoisonError::into_inner).recv();
                Ok(())
            };
            runs.spawn(async move { lanes.run(hung, Lane::Short, limit, work).await });
        }
        for result in runs.join_all().await {
            assert_eq!(result.expect_err("hangs").kind, Kind::Timeout);
        }
        let error = lanes.run(hung, Lane::Short, limit, |_| Ok(())).await.expect_err("full");
        assert!(error.detail.contains("have not come back"), "{error}");
        lanes.run(fine, Lane::Short, limit, |_| Ok(())).await.expect("another repository works");
        lanes.run(hung, Lane::Long, limit, |_| Ok(())).await.expect("the other lane works");
        drop(release);
    }
}
