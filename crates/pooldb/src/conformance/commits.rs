//! Guards, atomicity, isolation, limits.

use std::sync::Arc;

use crate::conformance::{DEADLINE, Subject, Verdict, commit, conflict, ensure, key, value};
use crate::db::PoolDb;
use crate::txn::{CommitError, MAX_OPS, MAX_VALUE_BYTES, Revision, Txn};

pub(super) async fn absent_guard_lets_one_creation_through(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let k = key("absent", 1);
    let create = |v: &'static [u8]| Txn::new().absent(k.clone()).put(k.clone(), v);
    commit(&*db, create(b"first")).await?;
    conflict(&*db, create(b"second"), &k).await?;
    ensure!(
        value(&*db, &k).await?.as_deref() == Some(b"first"),
        "the second creation came through"
    );
    commit(&*db, Txn::new().delete(k.clone())).await?;
    commit(&*db, create(b"third")).await?;
    Ok(())
}

pub(super) async fn revision_guard_sees_every_change(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let k = key("at_revision", 1);
    let first = commit(&*db, Txn::new().put(k.clone(), b"1".as_slice())).await?;
    let entry = db.get(&k).await.map_err(|e| e.to_string())?.ok_or("the key is missing")?;
    ensure!(
        entry.modified == first && entry.created == first,
        "revisions of {entry:?}, not {first}"
    );
    let change = |at| Txn::new().at_revision(k.clone(), at).put(k.clone(), b"2".as_slice());
    let second = commit(&*db, change(first)).await?;
    ensure!(second > first, "revision {second} does not follow {first}");
    conflict(&*db, change(first), &k).await?;
    let entry = db.get(&k).await.map_err(|e| e.to_string())?.ok_or("the key is missing")?;
    ensure!(entry.created == first && entry.modified == second, "revisions of {entry:?}");
    // Written with the same value: still a change.
    commit(&*db, Txn::new().put(k.clone(), b"2".as_slice())).await?;
    conflict(&*db, change(second), &k).await?;
    // A key that does not exist is at no revision, not even 0.
    let missing = key("at_revision", "missing");
    let at_zero =
        Txn::new().at_revision(missing.clone(), Revision::ZERO).put(k.clone(), b"x".as_slice());
    conflict(&*db, at_zero, &missing).await?;
    // Deleted and created again is a change too.
    let third = commit(&*db, Txn::new().put(k.clone(), b"3".as_slice())).await?;
    commit(&*db, Txn::new().delete(k.clone())).await?;
    commit(&*db, Txn::new().put(k.clone(), b"3".as_slice())).await?;
    conflict(&*db, change(third), &k).await
}

pub(super) async fn exists_guard_asks_for_existence(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let (k, other) = (key("exists", 1), key("exists", 2));
    let needs = || Txn::new().exists(k.clone()).put(other.clone(), b"x".as_slice());
    conflict(&*db, needs(), &k).await?;
    ensure!(value(&*db, &other).await?.is_none(), "written although the guard failed");
    commit(&*db, Txn::new().put(k.clone(), b"1".as_slice())).await?;
    commit(&*db, needs()).await?;
    commit(&*db, Txn::new().delete(k.clone())).await?;
    conflict(&*db, needs(), &k).await
}

pub(super) async fn conflict_names_the_key_and_changes_nothing(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let (a, b, c) = (key("conflict", "a"), key("conflict", "b"), key("conflict", "c"));
    commit(&*db, Txn::new().put(a.clone(), b"a".as_slice()).put(b.clone(), b"b".as_slice()))
        .await?;
    let before = db.current_revision().await.map_err(|e| e.to_string())?;
    let txn = Txn::new()
        .exists(a.clone())
        .absent(b.clone())
        .put(a.clone(), b"changed".as_slice())
        .put(c.clone(), b"new".as_slice())
        .delete(b.clone());
    conflict(&*db, txn, &b).await?;
    ensure!(value(&*db, &a).await?.as_deref() == Some(b"a"), "a was written");
    ensure!(value(&*db, &b).await?.as_deref() == Some(b"b"), "b was deleted");
    ensure!(value(&*db, &c).await?.is_none(), "c was created");
    let after = db.current_revision().await.map_err(|e| e.to_string())?;
    ensure!(before == after, "a refused transaction moved the revision from {before} to {after}");
    Ok(())
}

pub(super) async fn writes_share_one_revision(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let keys: Vec<_> = (0..MAX_OPS).map(|i| key("together", i)).collect();
    let txn = keys
        .iter()
        .fold(Txn::new(), |txn, k| txn.absent(k.clone()).put(k.clone(), k.id.as_bytes()));
    let revision = commit(&*db, txn).await?;
    for k in &keys {
        let entry = db.get(k).await.map_err(|e| e.to_string())?.ok_or(format!("{k} is missing"))?;
        ensure!(entry.modified == revision, "{entry:?} is not of revision {revision}");
        ensure!(&*entry.value == k.id.as_bytes(), "{k} has another value");
    }
    Ok(())
}

pub(super) async fn deleted_key_is_gone_and_comes_back_new(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let k = key("delete", 1);
    commit(&*db, Txn::new().delete(k.clone())).await?;
    let first = commit(&*db, Txn::new().put(k.clone(), b"1".as_slice())).await?;
    commit(&*db, Txn::new().delete(k.clone())).await?;
    ensure!(value(&*db, &k).await?.is_none(), "still readable");
    let snapshot = db.snapshot().await.map_err(|e| e.to_string())?;
    ensure!(!snapshot.entries.iter().any(|e| e.key == k), "still in the snapshot");
    let again = commit(&*db, Txn::new().put(k.clone(), Vec::new())).await?;
    let entry = db.get(&k).await.map_err(|e| e.to_string())?.ok_or("missing after its return")?;
    ensure!(entry.created == again && again > first, "created at {}", entry.created);
    ensure!(entry.value.is_empty(), "an empty value came back as {} bytes", entry.value.len());
    Ok(())
}

pub(super) async fn guards_alone_are_checked(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let (k, missing) = (key("check", 1), key("check", "missing"));
    let at = commit(&*db, Txn::new().put(k.clone(), b"1".as_slice())).await?;
    let holds = Txn::new().exists(k.clone()).at_revision(k.clone(), at).absent(missing.clone());
    let seen = commit(&*db, holds).await?;
    ensure!(seen >= at, "guards held at {seen}, before {at}");
    conflict(&*db, Txn::new().exists(k.clone()).exists(missing.clone()), &missing).await?;
    commit(&*db, Txn::new()).await?;
    Ok(())
}

pub(super) async fn limits_are_kept(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let largest = Txn::new().put(key("limits", "large"), vec![7_u8; MAX_VALUE_BYTES]);
    commit(&*db, largest).await?;
    let read = value(&*db, &key("limits", "large")).await?;
    ensure!(read.is_some_and(|v| v.len() == MAX_VALUE_BYTES), "the largest value did not survive");
    let larger = Txn::new().put(key("limits", "larger"), vec![7_u8; MAX_VALUE_BYTES + 1]);
    let refused = db.commit(larger, DEADLINE).await;
    ensure!(matches!(refused, Err(CommitError::TooLarge { .. })), "too large a value: {refused:?}");
    let twice = Txn::new().put(key("limits", 1), b"1".as_slice()).delete(key("limits", 1));
    let refused = db.commit(twice, DEADLINE).await;
    ensure!(matches!(refused, Err(CommitError::Invalid(_))), "one key twice: {refused:?}");
    commit(&*db, Txn::new().delete(key("limits", "large"))).await?;
    Ok(())
}

pub(super) async fn another_handle_reads_what_was_acknowledged(subject: &dyn Subject) -> Verdict {
    let (one, other) = (subject.open().await, subject.open().await);
    for i in 0..30_u32 {
        let k = key("linear", i % 3);
        let text = i.to_string().into_bytes();
        let at = commit(&*one, Txn::new().put(k.clone(), text.clone())).await?;
        let seen = other.get(&k).await.map_err(|e| e.to_string())?.ok_or("missing")?;
        ensure!(*seen.value == *text && seen.modified == at, "read {seen:?} after {at}");
        let current = other.current_revision().await.map_err(|e| e.to_string())?;
        ensure!(current >= at, "current revision {current} after {at}");
        let snapshot = other.snapshot().await.map_err(|e| e.to_string())?;
        ensure!(snapshot.revision >= at, "snapshot of {} after {at}", snapshot.revision);
    }
    Ok(())
}

pub(super) async fn snapshot_is_one_moment(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    let (a, b) = (key("moment", "a"), key("moment", "b"));
    let both = |n: u32| {
        let text = n.to_string().into_bytes();
        Txn::new().put(a.clone(), text.clone()).put(b.clone(), text)
    };
    commit(&*db, both(0)).await?;
    let writer = {
        let (db, both) = (subject.open().await, (1..200).map(both).collect::<Vec<_>>());
        tokio::spawn(async move {
            for txn in both {
                commit(&*db, txn).await?;
            }
            Ok::<_, String>(())
        })
    };
    while !writer.is_finished() {
        // A back end in memory never waits; the writer needs its turn.
        tokio::task::yield_now().await;
        let snapshot = db.snapshot().await.map_err(|e| e.to_string())?;
        let find = |k| snapshot.entries.iter().find(|e| e.key == k);
        let (Some(x), Some(y)) = (find(a.clone()), find(b.clone())) else {
            return Err("a key is missing from the snapshot".to_owned());
        };
        ensure!(x.value == y.value && x.modified == y.modified, "{x:?} and {y:?} in one snapshot");
        ensure!(x.modified <= snapshot.revision, "{x:?} is newer than its snapshot");
    }
    writer.await.map_err(|e| e.to_string())?
}

pub(super) async fn snapshot_holds_thousands_of_keys(subject: &dyn Subject) -> Verdict {
    let db = subject.open().await;
    const MANY: usize = 2_500;
    for chunk in 0..MANY.div_ceil(100) {
        let txn = (chunk * 100..(chunk * 100 + 100).min(MANY)).fold(Txn::new(), |txn, i| {
            txn.put(key("many", format!("{i:05}")), i.to_string().into_bytes())
        });
        commit(&*db, txn).await?;
    }
    let snapshot = db.snapshot().await.map_err(|e| e.to_string())?;
    let mut found: Vec<_> =
        snapshot.entries.iter().filter(|e| e.key.id.starts_with("many/")).collect();
    found.sort_by(|a, b| a.key.cmp(&b.key));
    ensure!(found.len() == MANY, "{} of {MANY} keys", found.len());
    for (i, entry) in found.iter().enumerate() {
        ensure!(*entry.value == *i.to_string().as_bytes(), "{entry:?} has another value");
    }
    for chunk in 0..MANY.div_ceil(100) {
        let txn = (chunk * 100..(chunk * 100 + 100).min(MANY))
            .fold(Txn::new(), |txn, i| txn.delete(key("many", format!("{i:05}"))));
        commit(&*db, txn).await?;
    }
    Ok(())
}

pub(super) async fn eight_racers_for_the_last_slot_have_one_winner(
    subject: &dyn Subject,
) -> Verdict {
    for round in 0..10 {
        let db = subject.open().await;
        let slot = key("race", format!("{round}/slot"));
        let at = commit(&*db, Txn::new().put(slot.clone(), b"1 left".as_slice())).await?;
        let mut racers = tokio::task::JoinSet::new();
        for racer in 0..8 {
            let (db, slot) = (subject.open().await, slot.clone());
            racers.spawn(async move {
                let mine = key("race", format!("{round}/placement-{racer}"));
                let txn = Txn::new()
                    .at_revision(slot.clone(), at)
                    .absent(mine.clone())
                    .put(slot, b"0 left".as_slice())
                    .put(mine, b"here".as_slice());
                (racer, db.commit(txn, DEADLINE).await)
            });
        }
        let mut winners = Vec::new();
        while let Some(ended) = racers.join_next().await {
            match ended.map_err(|e| e.to_string())? {
                (racer, Ok(_)) => winners.push(racer),
                (_, Err(CommitError::Conflict { key })) if key == slot => {}
                (racer, other) => return Err(format!("racer {racer}: {other:?}")),
            }
        }
        ensure!(winners.len() == 1, "round {round}: the winners are {winners:?}");
        for racer in 0..8 {
            let placed = value(&*db, &key("race", format!("{round}/placement-{racer}"))).await?;
            ensure!(placed.is_some() == (winners == [racer]), "racer {racer}'s placement");
        }
    }
    Ok(())
}

pub(super) async fn counter_loses_no_increment(subject: &dyn Subject) -> Verdict {
    const WRITERS: u32 = 6;
    const EACH: u32 = 15;
    let db = subject.open().await;
    let k = key("counter", 1);
    commit(&*db, Txn::new().put(k.clone(), b"0".as_slice())).await?;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (db, k) = (subject.open().await, k.clone());
        writers.spawn(async move {
            for _ in 0..EACH {
                let mut attempts = 0;
                while !increment(&db, &k).await? {
                    attempts += 1;
                    ensure!(attempts < WRITERS * EACH * 10, "an increment met only conflicts");
                    tokio::task::yield_now().await;
                }
            }
            Ok::<_, String>(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.map_err(|e| e.to_string())??;
    }
    let end = value(&*db, &k).await?;
    let wanted = (WRITERS * EACH).to_string().into_bytes();
    ensure!(end == Some(wanted), "the counter ended at {end:?}");
    Ok(())
}

async fn increment(db: &Arc<dyn PoolDb>, k: &crate::Key) -> Result<bool, String> {
    let entry = db.get(k).await.map_err(|e| e.to_string())?.ok_or("the counter is missing")?;
    let text = std::str::from_utf8(&entry.value).map_err(|e| e.to_string())?;
    let next: u32 = text.parse::<u32>().map_err(|e| e.to_string())? + 1;
    let txn = Txn::new()
        .at_revision(k.clone(), entry.modified)
        .put(k.clone(), next.to_string().into_bytes());
    match db.commit(txn, DEADLINE).await {
        Ok(_) => Ok(true),
        Err(CommitError::Conflict { .. }) => Ok(false),
        Err(other) => Err(other.to_string()),
    }
}
