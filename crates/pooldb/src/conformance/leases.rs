//! Leases. They may end late (etcd renews all of them when its leader changes), never early.

use std::time::Duration;

use tokio::time::Instant;

use crate::conformance::{DEADLINE, PATIENCE, Subject, Verdict, commit, ensure, key, value};
use crate::db::{DbError, PoolDb, WatchItem};
use crate::key::Key;
use crate::txn::{CommitError, Txn};

const TTL: Duration = Duration::from_secs(2);

/// Waits until the key is gone and its deletion has been delivered to a watch.
async fn gone(db: &dyn PoolDb, k: &Key) -> Verdict {
    let snapshot = db.snapshot().await.map_err(|e| e.to_string())?;
    let mut watching = db.watch(snapshot.revision.next()).await.map_err(|e| e.to_string())?;
    if !snapshot.entries.iter().any(|e| e.key == *k) {
        return Ok(());
    }
    let waited = Instant::now();
    while waited.elapsed() < PATIENCE {
        match tokio::time::timeout(PATIENCE, watching.recv()).await {
            Ok(Some(WatchItem::Changes(changes))) => {
                if changes.changes.iter().any(|c| c.key == *k && c.value.is_none()) {
                    ensure!(value(db, k).await?.is_none(), "deleted for the watch only");
                    return Ok(());
                }
            }
            Ok(Some(WatchItem::Alive(_))) => {}
            other => return Err(format!("the watch ended: {other:?}")),
        }
    }
    Err(format!("{k} outlived its lease by {PATIENCE:?}"))
}

pub(super) async fn unrenewed_lease_takes_its_keys_late_never_early(
    subject: &dyn Subject,
) -> Verdict {
    let db = subject.open().await;
    let (k, other) = (key("lease_end", 1), key("lease_end", 2));
    let asked = Instant::now();
    let lease = db.lease_grant(TTL).await.map_err(|e| e.to_string())?;
    let txn = Txn::new()
        .put_leased(k.clone(), b"1".as_slice(), lease)
        .put(other.clone(), b"2".as_slice());
    commit(&*db, txn).await?;
    gone(&*db, &k).await?;
    let lived = asked.elapsed();
    ensure!(lived >= TTL, "a lease of {TTL:?} ended after {lived:?}");
    ensure!(value(&*db, &other).await?.is_some(), "a key without a lease went too");
    let renewed = db.lease_keepalive(lease).await;
    ensure!(renewed == Err(DbError::LeaseGone), "an ended lease was renewed: {renewed:?}");
    Ok(())
}

pub(super) async fn renewed_lease_lives_on(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let k = key("lease_renew", 1);
    let lease = db.lease_grant(TTL).await.map_err(|e| e.to_string())?;
    commit(&*db, Txn::new().put_leased(k.clone(), b"1".as_slice(), lease)).await?;
    let began = Instant::now();
    let mut pace = tokio::time::interval(TTL / 4);
    while began.elapsed() < TTL * 2 {
        pace.tick().await;
        db.lease_keepalive(lease).await.map_err(|e| format!("renewal failed: {e}"))?;
        ensure!(value(&*db, &k).await?.is_some(), "gone after {:?}", began.elapsed());
    }
    let renewed = Instant::now();
    db.lease_keepalive(lease).await.map_err(|e| format!("renewal failed: {e}"))?;
    gone(&*db, &k).await?;
    let lived = renewed.elapsed();
    ensure!(lived >= TTL, "ended {lived:?} after its last renewal");
    Ok(())
}

pub(super) async fn revoked_lease_takes_its_keys_at_once(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let (a, b) = (key("lease_revoke", 1), key("lease_revoke", 2));
    let lease = db.lease_grant(Duration::from_secs(60)).await.map_err(|e| e.to_string())?;
    let txn = Txn::new().put_leased(a.clone(), b"1".as_slice(), lease).put_leased(
        b.clone(),
        b"2".as_slice(),
        lease,
    );
    commit(&*db, txn).await?;
    db.lease_revoke(lease).await.map_err(|e| e.to_string())?;
    ensure!(value(&*db, &a).await?.is_none() && value(&*db, &b).await?.is_none(), "still there");
    db.lease_revoke(lease).await.map_err(|e| format!("revoking twice: {e}"))
}

pub(super) async fn plain_put_frees_a_key_from_its_lease(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let k = key("lease_free", 1);
    let lease = db.lease_grant(Duration::from_secs(60)).await.map_err(|e| e.to_string())?;
    commit(&*db, Txn::new().put_leased(k.clone(), b"1".as_slice(), lease)).await?;
    commit(&*db, Txn::new().put(k.clone(), b"2".as_slice())).await?;
    db.lease_revoke(lease).await.map_err(|e| e.to_string())?;
    ensure!(value(&*db, &k).await?.as_deref() == Some(b"2"), "went with a lease it no longer had");
    Ok(())
}

pub(super) async fn put_under_an_ended_lease_is_refused(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let (k, other) = (key("lease_gone", 1), key("lease_gone", 2));
    let lease = db.lease_grant(Duration::from_secs(60)).await.map_err(|e| e.to_string())?;
    db.lease_revoke(lease).await.map_err(|e| e.to_string())?;
    let txn = Txn::new().put(other.clone(), b"x".as_slice()).put_leased(
        k.clone(),
        b"1".as_slice(),
        lease,
    );
    let refused = db.commit(txn, DEADLINE).await;
    ensure!(refused == Err(CommitError::LeaseGone), "got {refused:?}");
    ensure!(value(&*db, &k).await?.is_none(), "written under an ended lease");
    ensure!(value(&*db, &other).await?.is_none(), "half of the transaction was done");
    Ok(())
}
