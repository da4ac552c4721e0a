//! What a power cut leaves: everything acknowledged, nothing by halves.

use std::sync::Arc;
use std::time::Duration;

use crate::conformance::{DEADLINE, Subject, Verdict, commit, ensure, key, value};
use crate::txn::{Revision, Txn};

pub(super) async fn acknowledged_commits_survive_a_power_cut(subject: &dyn Subject) -> Verdict {
    for round in 0..3_u32 {
        let db = subject.open().await;
        let mut acknowledged = Vec::new();
        for i in 0..20_u32 {
            let (a, b) = pair(round, i);
            let text = i.to_string().into_bytes();
            let txn = Txn::new().put(a, text.clone()).put(b, text);
            acknowledged.push((i, commit(&*db, txn).await?));
        }
        // More of them are under way when the power goes.
        let flying: Vec<_> = (20..40_u32)
            .map(|i| {
                let db = Arc::clone(&db);
                tokio::spawn(async move {
                    let (a, b) = pair(round, i);
                    let text = i.to_string().into_bytes();
                    let txn = Txn::new().put(a, text.clone()).put(b, text);
                    db.commit(txn, DEADLINE / 4).await.map(|at| (i, at))
                })
            })
            .collect();
        // Some of them get as far as the disk.
        tokio::task::yield_now().await;
        drop(db);
        subject.power_cut().await;
        for task in flying {
            if let Ok(Ok(done)) = task.await {
                acknowledged.push(done);
            }
        }
        let db = subject.open().await;
        for (i, at) in &acknowledged {
            let (a, b) = pair(round, *i);
            for k in [a, b] {
                let entry = db.get(&k).await.map_err(|e| e.to_string())?;
                let entry = entry.ok_or(format!("{k}, acknowledged at {at}, is lost"))?;
                ensure!(entry.modified == *at, "{entry:?} was acknowledged at {at}");
            }
        }
        for i in 0..40 {
            let (a, b) = pair(round, i);
            let (a, b) = (value(&*db, &a).await?, value(&*db, &b).await?);
            ensure!(a == b, "commit {i} of round {round} is there by halves");
        }
    }
    Ok(())
}

fn pair(round: u32, i: u32) -> (crate::Key, crate::Key) {
    (key("durable", format!("{round}/{i}a")), key("durable", format!("{round}/{i}b")))
}

pub(super) async fn identity_and_order_survive_a_power_cut(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let identity = db.identity().await.map_err(|e| e.to_string())?;
    let before = commit(&*db, Txn::new().put(key("order", 1), b"1".as_slice())).await?;
    drop(db);
    subject.power_cut().await;
    let db = subject.open().await;
    let again = db.identity().await.map_err(|e| e.to_string())?;
    ensure!(identity == again, "identity {identity:?} became {again:?}");
    let now = db.current_revision().await.map_err(|e| e.to_string())?;
    ensure!(now >= before, "the revision went back from {before} to {now}");
    let after = commit(&*db, Txn::new().put(key("order", 1), b"2".as_slice())).await?;
    ensure!(after > before, "revision {after} does not follow {before}");
    let mut watching = db.watch(Revision(before.0)).await.map_err(|e| e.to_string())?;
    let first = tokio::time::timeout(DEADLINE, watching.recv()).await;
    let found = matches!(
        &first,
        Ok(Some(crate::WatchItem::Changes(changes))) if changes.revision == before
    );
    ensure!(found, "history from before the cut: {first:?}");
    Ok(())
}

pub(super) async fn leases_survive_a_power_cut_and_still_end(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let (short, long) = (key("lease_cut", 1), key("lease_cut", 2));
    let minute = db.lease_grant(Duration::from_secs(60)).await.map_err(|e| e.to_string())?;
    let brief = db.lease_grant(Duration::from_secs(2)).await.map_err(|e| e.to_string())?;
    let txn = Txn::new().put_leased(short.clone(), b"1".as_slice(), brief).put_leased(
        long.clone(),
        b"2".as_slice(),
        minute,
    );
    commit(&*db, txn).await?;
    drop(db);
    subject.power_cut().await;
    let db = subject.open().await;
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let began = tokio::time::Instant::now();
    while value(&*db, &short).await?.is_some() {
        ensure!(began.elapsed() < super::PATIENCE, "a lease from before the cut never ended");
        pace.tick().await;
    }
    db.lease_keepalive(minute).await.map_err(|e| format!("the long lease was lost: {e}"))?;
    ensure!(value(&*db, &long).await?.is_some(), "the key of a running lease was lost");
    db.lease_revoke(minute).await.map_err(|e| e.to_string())
}
