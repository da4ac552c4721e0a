//! Blocking calls on bounded threads, with deadlines for whoever waits.
//!
//! libvirt's calls can't be cancelled, so each runs on a thread of its own that is left behind when the caller's limit
//! passes; the number of such threads is bounded per lane, and a caller waits for a place no longer than for an answer.
//! Own threads and not tokio's blocking pool: a runtime waits for that pool when it shuts down, and a hung daemon would
//! keep it from ever doing so. Long operations (migration, save) have a lane of their own, so that they never keep the
//! short ones waiting.

use std::sync::Arc;
use std::time::Duration;

use driver_api::{DriverError, Kind};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

/// Threads for short calls.
const SHORT_THREADS_MAX: usize = 24;
/// Threads for migrations, saves and the like.
const LONG_THREADS_MAX: usize = 16;

/// Which threads a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Answers in milliseconds when all is well.
    Short,
    /// Takes as long as its data.
    Long,
}

/// The two lanes.
#[derive(Debug)]
pub(crate) struct Calls {
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            short: Arc::new(Semaphore::new(SHORT_THREADS_MAX)),
            long: Arc::new(Semaphore::new(LONG_THREADS_MAX)),
        }
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    subject: String,
    reply: oneshot::Receiver<T>,
}

impl<T> Pending<T> {
    /// Waits for the reply until `deadline`; may be called again after it passed. [`Kind::Timeout`] if it passes.
    pub(crate) async fn wait(&mut self, deadline: Instant) -> Result<T, DriverError> {
        match timeout_at(deadline, &mut self.reply).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => {
                let text = "the call's thread ended without an answer";
                Err(DriverError::new(Kind::Failed, &self.subject, text))
            }
            Err(_) => Err(timeout(&self.subject, "no answer within the limit")),
        }
    }
}

fn timeout(subject: &str, text: &str) -> DriverError {
    DriverError::new(Kind::Timeout, subject, text)
}

impl Calls {
    /// Starts `call` on a thread, as soon as there is a free one before `deadline`.
    pub(crate) async fn start<T: Send + 'static>(
        &self,
        lane: Lane,
        subject: &str,
        deadline: Instant,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, DriverError> {
        let threads = match lane {
            Lane::Short => &self.short,
            Lane::Long => &self.long,
        };
        let place = timeout_at(deadline, Arc::clone(threads).acquire_owned())
            .await
            .map_err(|_| timeout(subject, "all threads for libvirt are busy"))?
            .expect("the semaphore is never closed");
        let (sender, reply) = oneshot::channel();
        let run = move || {
            // A caller that has gone by now gets nothing done behind its back.
            if !sender.is_closed() {
                // The caller may leave while the call runs; then nobody wants the reply.
                drop(sender.send(call()));
            }
            drop(place);
        };
        std::thread::Builder::new().name("libvirt-call".to_owned()).spawn(run).map_err(
            |error| DriverError::new(Kind::Failed, subject, format!("no thread: {error}")),
        )?;
        Ok(Pending { subject: subject.to_owned(), reply })
    }

    /// Runs `call` and waits for it, `deadline` at most.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        subject: &str,
        deadline: Instant,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DriverError> {
        self.start(lane, subject, deadline, call).await?.wait(deadline).await
    }
}

/// The deadline of a call that begins now.
pub(crate) fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SHORT_WHILE: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn a_call_that_hangs_costs_its_caller_the_limit_and_no_more() {
        let calls = Calls::default();
        let (release, hung) = mpsc::channel::<()>();
        let before = Instant::now();
        let result = calls.run(Lane::Short, "x", deadline(SHORT_WHILE), move || hung.recv()).await;
        assert_eq!(result.expect_err("it hangs").kind, Kind::Timeout);
        assert!(before.elapsed() >= SHORT_WHILE);
        let other = calls.run(Lane::Short, "x", deadline(Duration::from_secs(9)), || 7).await;
        assert_eq!(other, Ok(7));
        drop(release);
    }

    #[tokio::test]
    async fn hung_calls_fill_their_own_lane_only_and_leave_it_again() {
        let calls = Calls::default();
        let (release, hung) = mpsc::channel::<()>();
        let hung = Arc::new(std::sync::Mutex::new(hung));
        let mut callers = Vec::new();
        for _ in 0..LONG_THREADS_MAX {
            let hung = Arc::clone(&hung);
            let wait = move || drop(hung.lock().map(|hung| hung.recv()));
            let started = calls.start(Lane::Long, "x", deadline(SHORT_WHILE), wait).await;
            callers.push(started.expect("there is a place"));
        }
        let full = calls.run(Lane::Long, "x", deadline(SHORT_WHILE), || ()).await;
        assert_eq!(full.expect_err("the lane is full").kind, Kind::Timeout);
        let short = calls.run(Lane::Short, "x", deadline(Duration::from_secs(9)), || 7).await;
        assert_eq!(short, Ok(7));
        drop(release);
        let free = calls.run(Lane::Long, "x", deadline(Duration::from_secs(9)), || 7).await;
        assert_eq!(free, Ok(7));
    }
}
