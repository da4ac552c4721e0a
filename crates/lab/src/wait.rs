//! Waiting for conditions, never for time: every wait has a deadline and a name.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// How long to pause between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What one look at a condition found.
#[derive(Debug)]
pub enum Look<T> {
    /// The condition holds.
    Done(T),
    /// Not yet, and why; the last reason becomes part of the error.
    NotYet(String),
}

/// Looks until the condition holds, fails for good, or `deadline` has passed.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<Look<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match look()? {
            Look::Done(found) => return Ok(found),
            Look::NotYet(why) if start.elapsed() >= deadline => {
                return Err(anyhow!("gave up after {deadline:?} waiting for {what}: {why}"));
            }
            Look::NotYet(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_fails_says_what_it_waited_for_and_what_it_saw_last() {
        let error = until::<()>("the moon", Duration::ZERO, || Ok(Look::NotYet("clouds".into())))
            .expect_err("the condition never holds");
        assert_eq!(error.to_string(), "gave up after 0ns waiting for the moon: clouds");
    }
}
