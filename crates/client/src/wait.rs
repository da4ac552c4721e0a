//! Waiting with a deadline, and saying so: whoever waits longer than two seconds hears for what and how long (S2-6).

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

/// How long a wait goes unmentioned.
pub(crate) const NOTICE_AFTER: Duration = Duration::from_secs(2);

/// How often it is mentioned again.
pub(crate) const NOTICE_EVERY: Duration = Duration::from_secs(5);

/// A wait under way.
#[derive(Debug)]
pub struct Wait<'a> {
    /// Whom we wait for.
    pub host: &'a str,
    /// For what, such as `the answer to VM.start`.
    pub what: &'a str,
    /// Since when.
    pub waited: Duration,
}

/// Hears of waits that last.
#[derive(Clone)]
pub struct OnWait(Arc<dyn Fn(&Wait<'_>) + Send + Sync>);

impl OnWait {
    /// Calls `hear` after two seconds of waiting, and every five from then on.
    pub fn new(hear: impl Fn(&Wait<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }
}

impl fmt::Debug for OnWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnWait")
    }
}

/// The deadline passed.
#[derive(Debug)]
pub(crate) struct Late;

/// Waits for `work` until `deadline`; the notice counts from `since`.
pub(crate) async fn until<T>(
    work: impl Future<Output = T>,
    deadline: Instant,
    since: Instant,
    notice: Option<(&OnWait, &str, &str)>,
) -> Result<T, Late> {
    let Some((on_wait, host, what)) = notice else {
        return timeout_at(deadline, work).await.map_err(|_| Late);
    };
    tokio::pin!(work);
    let mut next = since + NOTICE_AFTER;
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = sleep_until(next.min(deadline)) => {
                if Instant::now() >= deadline {
                    return Err(Late);
                }
                on_wait.0(&Wait { host, what, waited: since.elapsed() });
                next = Instant::now() + NOTICE_EVERY;
            }
        }
    }
}
