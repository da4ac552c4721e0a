//! Watches: order, completeness, history.

use std::collections::BTreeMap;

use crate::conformance::{PATIENCE, Subject, Verdict, commit, ensure, key};
use crate::db::{Changes, PoolDb, WatchItem, Watching};
use crate::key::Key;
use crate::txn::{Revision, Txn};

/// The next changes; signs of life are checked and passed over.
async fn next(watching: &mut Watching, last: Revision) -> Result<Changes, String> {
    loop {
        match tokio::time::timeout(PATIENCE, watching.recv()).await {
            Ok(Some(WatchItem::Changes(changes))) => {
                let at = changes.revision;
                ensure!(at > last, "revision {at} came after {last}");
                return Ok(changes);
            }
            Ok(Some(WatchItem::Alive(at))) => {
                ensure!(at <= last, "a sign of life at {at}, but only {last} was delivered");
            }
            Ok(other) => return Err(format!("the watch ended after {last}: {other:?}")),
            Err(_) => return Err(format!("nothing came after {last}")),
        }
    }
}

/// Everything up to and including `to`.
async fn until(
    watching: &mut Watching,
    mut last: Revision,
    to: Revision,
) -> Result<Vec<Changes>, String> {
    let mut all = Vec::new();
    while last < to {
        let changes = next(watching, last).await?;
        // One item per revision: nothing is left out between two of them.
        ensure!(changes.revision == last.next(), "{} follows {last}", changes.revision);
        last = changes.revision;
        all.push(changes);
    }
    Ok(all)
}

async fn now(db: &dyn PoolDb) -> Result<Revision, String> {
    db.current_revision().await.map_err(|e| e.to_string())
}

pub(super) async fn watch_delivers_each_revision_once_in_order(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let start = now(&*db).await?;
    let mut watching = db.watch(start.next()).await.map_err(|e| e.to_string())?;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let db = subject.open().await;
        writers.spawn(async move {
            let mut mine = Vec::new();
            for i in 0..40 {
                let (a, b) =
                    (key("order", format!("{writer}a")), key("order", format!("{writer}b")));
                let text = i.to_string().into_bytes();
                let txn = Txn::new().put(a, text.clone()).put(b, text);
                mine.push((commit(&*db, txn).await?, writer, i));
            }
            Ok::<_, String>(mine)
        });
    }
    let mut committed = BTreeMap::new();
    while let Some(ended) = writers.join_next().await {
        for (revision, writer, i) in ended.map_err(|e| e.to_string())?? {
            let twice = committed.insert(revision, (writer, i));
            ensure!(twice.is_none(), "revision {revision} was given to two commits");
        }
    }
    let last = *committed.keys().next_back().ok_or("nothing was committed")?;
    let seen: BTreeMap<Revision, Changes> =
        until(&mut watching, start, last).await?.into_iter().map(|c| (c.revision, c)).collect();
    for (revision, (writer, i)) in committed {
        let changes =
            seen.get(&revision).ok_or(format!("revision {revision} was not delivered"))?;
        let wanted = [key("order", format!("{writer}a")), key("order", format!("{writer}b"))];
        let mut keys: Vec<&Key> = changes.changes.iter().map(|c| &c.key).collect();
        keys.sort();
        ensure!(keys == wanted.iter().collect::<Vec<_>>(), "revision {revision} changed {keys:?}");
        let text = i.to_string().into_bytes();
        let same = changes.changes.iter().all(|c| c.value.as_deref() == Some(&text));
        ensure!(same, "revision {revision} has other values");
    }
    Ok(())
}

pub(super) async fn watch_starts_in_the_past(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let start = now(&*db).await?;
    let k = key("past", 1);
    let mut last = start;
    for i in 0..100 {
        last = commit(&*db, Txn::new().put(k.clone(), i.to_string().into_bytes())).await?;
    }
    let mut watching = db.watch(start.next()).await.map_err(|e| e.to_string())?;
    let mut values = Vec::new();
    for changes in until(&mut watching, start, last).await? {
        for change in changes.changes.into_iter().filter(|c| c.key == k) {
            values.push(change.value.map(|v| v.to_vec()));
        }
    }
    let wanted: Vec<_> = (0..100).map(|i| Some(i.to_string().into_bytes())).collect();
    ensure!(values == wanted, "the past came as {} values", values.len());
    // From the middle, and again: history is not used up by reading it.
    let middle = Revision(last.0 - 3);
    let mut watching = db.watch(middle.next()).await.map_err(|e| e.to_string())?;
    ensure!(until(&mut watching, middle, last).await?.len() == 3, "not the last three");
    Ok(())
}

pub(super) async fn watch_and_snapshot_join_without_a_gap(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let writer = {
        let db = subject.open().await;
        tokio::spawn(async move {
            let mut last = Revision::ZERO;
            for i in 0..150 {
                let k = key("join", i % 7);
                let txn = if i % 5 == 4 {
                    Txn::new().delete(k)
                } else {
                    Txn::new().put(k, i.to_string().into_bytes())
                };
                last = commit(&*db, txn).await?;
            }
            Ok::<_, String>(last)
        })
    };
    let snapshot = db.snapshot().await.map_err(|e| e.to_string())?;
    let ours = |k: &Key| k.id.starts_with("join/");
    let mut copy: BTreeMap<Key, Vec<u8>> = snapshot
        .entries
        .into_iter()
        .filter(|e| ours(&e.key))
        .map(|e| (e.key, e.value.to_vec()))
        .collect();
    let mut watching = db.watch(snapshot.revision.next()).await.map_err(|e| e.to_string())?;
    let last = writer.await.map_err(|e| e.to_string())??;
    for changes in until(&mut watching, snapshot.revision, last).await? {
        for change in changes.changes.into_iter().filter(|c| ours(&c.key)) {
            match change.value {
                Some(value) => copy.insert(change.key, value.to_vec()),
                None => copy.remove(&change.key),
            };
        }
    }
    let snapshot = db.snapshot().await.map_err(|e| e.to_string())?;
    let end: BTreeMap<Key, Vec<u8>> = snapshot
        .entries
        .into_iter()
        .filter(|e| ours(&e.key))
        .map(|e| (e.key, e.value.to_vec()))
        .collect();
    ensure!(copy == end, "snapshot plus watch differs from a later snapshot");
    Ok(())
}

pub(super) async fn watch_shows_signs_of_life(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let start = now(&*db).await?;
    let mut watching = db.watch(start.next()).await.map_err(|e| e.to_string())?;
    let mut last = start;
    for i in 0..2 {
        let wanted = if i == 0 {
            start
        } else {
            commit(&*db, Txn::new().put(key("alive", i), b"x".as_slice())).await?
        };
        loop {
            match tokio::time::timeout(PATIENCE, watching.recv()).await {
                Ok(Some(WatchItem::Alive(at))) => {
                    ensure!(at <= last, "a sign of life at {at}, but {last} was delivered");
                    if at >= wanted {
                        break;
                    }
                }
                Ok(Some(WatchItem::Changes(changes))) => last = changes.revision,
                other => return Err(format!("no sign of life: {other:?}")),
            }
        }
    }
    Ok(())
}

pub(super) async fn deletions_are_delivered(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let (k, never) = (key("gone", 1), key("gone", "never"));
    let first = commit(&*db, Txn::new().put(k.clone(), b"1".as_slice())).await?;
    let txn = Txn::new().delete(k.clone()).delete(never).put(key("gone", 2), b"2".as_slice());
    let second = commit(&*db, txn).await?;
    let mut watching = db.watch(first.next()).await.map_err(|e| e.to_string())?;
    let changes = until(&mut watching, first, second).await?.pop().ok_or("nothing came")?;
    let deleted: Vec<_> = changes.changes.iter().filter(|c| c.value.is_none()).collect();
    ensure!(deleted.len() == 1 && deleted[0].key == k, "deletions delivered: {deleted:?}");
    Ok(())
}

pub(super) async fn compacted_history_is_said_so(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let k = key("compact", 1);
    let first = commit(&*db, Txn::new().put(k.clone(), b"1".as_slice())).await?;
    let mut last = first;
    for i in 0..20 {
        last = commit(&*db, Txn::new().put(k.clone(), i.to_string().into_bytes())).await?;
    }
    let upto = Revision(last.0 - 5);
    db.compact(upto).await.map_err(|e| e.to_string())?;
    db.compact(first).await.map_err(|e| format!("compacting what is gone already: {e}"))?;
    let mut watching = db.watch(first.next()).await.map_err(|e| e.to_string())?;
    let item = tokio::time::timeout(PATIENCE, watching.recv()).await.map_err(|e| e.to_string())?;
    ensure!(item == Some(WatchItem::Compacted), "a watch of forgotten revisions got {item:?}");
    let mut watching = db.watch(upto.next()).await.map_err(|e| e.to_string())?;
    let kept = until(&mut watching, upto, last).await?;
    ensure!(kept.len() == 5, "{} revisions after the compaction", kept.len());
    let entry = db.get(&k).await.map_err(|e| e.to_string())?;
    ensure!(entry.is_some_and(|e| e.modified == last), "compaction touched a current value");
    Ok(())
}
