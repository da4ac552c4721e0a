//! Puts a saga of the daemon through [`saga::testing::Harness`]: each step failing in turn, every crash point, cancels.
//!
//! The worlds are whole pools over fakes ([`super::Pool`]); what a step stages is committed to the pool's database, as the
//! real log does, and after each run the judge looks for what was left behind.

use std::sync::Arc;

use holdfastd::edits::{self, Change};
use holdfastd::sagas;
use saga::SagaState;
use saga::testing::Harness;
use uuid::Uuid;

use super::Pool;

/// Runs a future from synchronous code inside the runtime.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

/// Puts the saga `kind` with `args` through every fault. `prepare` makes what the saga works on, with the same ids each
/// time, and commits what would have been committed with the saga; `judge` says what is wrong after it ended. Gives the
/// number of runs. The test needs a runtime with several threads.
///
/// # Panics
/// With one line for each run that ended wrongly.
pub async fn holds<P, J>(kind: &str, args: serde_json::Value, prepare: P, judge: J) -> usize
where
    P: AsyncFn(Arc<Pool>),
    J: AsyncFn(Arc<Pool>, SagaState) -> Result<(), String>,
{
    let def = sagas::definitions().get(kind).expect("the saga exists");
    let face = sagas::Face { task: Uuid::from_u128(0x7A5C), sync: true, busy: vec![], since: 0 };
    let params = serde_json::json!({ "face": face, "args": args });
    let pools: std::sync::Mutex<Vec<Arc<Pool>>> = std::sync::Mutex::new(Vec::new());
    let pool_of = |daemon: &Arc<holdfastd::Daemon>| {
        let pools = pools.lock().expect("not poisoned");
        pools
            .iter()
            .find(|pool| Arc::ptr_eq(&pool.h1().daemon, daemon))
            .cloned()
            .expect("the daemon is of one of these pools")
    };
    let harness = Harness::new(
        def,
        params,
        || {
            let pool = Arc::new(wait(Pool::new(1)));
            wait(prepare(pool.clone()));
            let daemon = pool.h1().daemon.clone();
            pools.lock().expect("not poisoned").push(pool);
            daemon
        },
        |daemon, state| {
            let pool = pool_of(daemon);
            let verdict = wait(judge(pool, state));
            pools
                .lock()
                .expect("not poisoned")
                .retain(|pool| !Arc::ptr_eq(&pool.h1().daemon, daemon));
            verdict
        },
    )
    .in_boot("boot-of-h1")
    .applying(|daemon, staged: &[Change]| {
        let mut change = Change::new();
        for part in staged {
            change.merge(part.clone());
        }
        wait(edits::commit(daemon, &change)).map(|_| ()).map_err(|e| e.to_string())
    });
    match harness.run_all().await {
        Ok(runs) => runs,
        Err(wrong) => panic!("{kind}:\n{wrong}"),
    }
}

/// The usual judgement: nothing is left behind.
///
/// # Errors
/// What is.
pub async fn nothing_left(pool: &Pool) -> Result<(), String> {
    let wrong = pool.left_behind().await;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}
