//! A watch on etcd that outlives the member it runs on.
//!
//! It watches *all* keys, so revisions come without gaps and a gap is proof of a fault. Once a second (and when a commit
//! of this process is not delivered) a linearizable read tells the newest revision; a watch that does not deliver it in
//! time sits on a member that is cut off or stuck, and goes on at another one from the last revision delivered. When the
//! preferred member (this host's own) is well again the watch comes home: there it does not end with another host's power.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{EventType, WatchOptions, WatchResponse, WatchResponseStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::db::{ALIVE_INTERVAL, Change, Changes, DbError, WATCH_BUFFER, WatchItem, Watching};
use crate::etcd::endpoints::{Endpoint, Endpoints, MAX_ANSWER_BYTES, TRY_DEADLINE};
use crate::key::Key;
use crate::txn::Revision;

/// How long a revision known to exist may stay undelivered.
const OVERDUE: Duration = Duration::from_millis(400);
/// The same where the watch has sat for a while and calls have found the member silent or failing since: whoever reads
/// its own write waits for this.
const OVERDUE_IF_SUSPECT: Duration = Duration::from_millis(50);
/// How long a watch stays elsewhere before it comes home.
const HOME_AFTER: Duration = Duration::from_secs(3);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Wait between endpoints when none takes the watch.
const RETRY: Duration = Duration::from_millis(100);

/// Why a watch on one member ended.
enum End {
    /// Try another member.
    Elsewhere(String),
    /// The preferred member is well again.
    Home,
    /// The reader is gone or was told the end.
    Over,
}

/// Starts the watch; `hints` carries the newest revision this process committed.
pub(super) fn start(
    endpoints: &Arc<Endpoints>,
    hints: watch::Receiver<u64>,
    from: Revision,
) -> Watching {
    let (tx, rx) = mpsc::channel(WATCH_BUFFER);
    let endpoints = Arc::clone(endpoints);
    tokio::spawn(async move {
        let mut run = Run { delivered: from.0.saturating_sub(1), tx: tx.clone(), hints };
        // Those that failed one after the other, without having delivered anything in between.
        let mut failed: Vec<Arc<Endpoint>> = Vec::new();
        loop {
            let mut order = endpoints.in_order().into_iter();
            let untried = order.find(|next| !failed.iter().any(|tried| Arc::ptr_eq(tried, next)));
            let Some(endpoint) = untried else {
                failed.clear();
                tokio::select! {
                    () = tx.closed() => return,
                    () = tokio::time::sleep(RETRY) => {}
                }
                continue;
            };
            let before = run.delivered;
            let end = tokio::select! {
                () = tx.closed() => return,
                end = run.on(&endpoints, &endpoint) => end,
            };
            if run.delivered > before {
                failed.clear();
            }
            match end {
                End::Over => return,
                End::Home => failed.clear(),
                End::Elsewhere(reason) => {
                    tracing::debug!(endpoint = endpoint.url(), reason, "watch goes elsewhere");
                    endpoints.suspect(&endpoint, &reason);
                    failed.push(endpoint);
                }
            }
        }
    });
    rx
}

struct Run {
    delivered: u64,
    tx: mpsc::Sender<WatchItem>,
    hints: watch::Receiver<u64>,
}

impl Run {
    /// Watches on one member until that ends.
    async fn on(&mut self, endpoints: &Arc<Endpoints>, endpoint: &Arc<Endpoint>) -> End {
        // The sender half must live: dropping it ends the stream.
        let (mut stream, _sender) = match open(endpoint, self.delivered + 1).await {
            Ok(opened) => opened,
            Err(reason) => return End::Elsewhere(reason),
        };
        let opened = Instant::now();
        // The newest revision known to exist, and since when any is waited for.
        let mut known = (self.delivered, opened);
        let expect = |known: &mut (u64, Instant), delivered: u64, revision: u64| {
            if known.0 <= delivered {
                known.1 = Instant::now();
            }
            known.0 = known.0.max(revision);
        };
        expect(&mut known, self.delivered, *self.hints.borrow());
        let mut confirmed: VecDeque<u64> = VecDeque::new();
        let mut alive = tokio::time::interval(ALIVE_INTERVAL);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (asked, mut answers) = mpsc::channel::<Result<u64, DbError>>(4);
        loop {
            let settled = opened.elapsed() > OVERDUE;
            let patience =
                if settled && endpoint.is_suspect() { OVERDUE_IF_SUSPECT } else { OVERDUE };
            let waiting = known.0 > self.delivered;
            tokio::select! {
                message = stream.message() => {
                    let message = match message {
                        Ok(Some(message)) => message,
                        Ok(None) => return End::Elsewhere("the member closed the watch".to_owned()),
                        Err(error) => return End::Elsewhere(error.to_string()),
                    };
                    if let Err(end) = self.take(endpoints, &message).await {
                        return end;
                    }
                    // A backlog may be long; what counts is that it moves.
                    known.1 = Instant::now();
                }
                _ = alive.tick() => {
                    let endpoints = Arc::clone(endpoints);
                    let asked = asked.clone();
                    tokio::spawn(async move {
                        let answer = endpoints.current(ALIVE_INTERVAL).await;
                        let _watch_gone = asked.try_send(answer);
                    });
                }
                Some(answer) = answers.recv() => {
                    if let Ok(current) = answer {
                        expect(&mut known, self.delivered, current);
                        confirmed.push_back(current);
                    }
                }
                Ok(()) = self.hints.changed() => {
                    let hinted = *self.hints.borrow_and_update();
                    expect(&mut known, self.delivered, hinted);
                }
                () = tokio::time::sleep_until(known.1 + patience), if waiting => {}
                _ = look.tick() => {
                    let home = endpoints.home().filter(|_| opened.elapsed() >= HOME_AFTER);
                    if home.is_some_and(|home| !Arc::ptr_eq(&home, endpoint)) {
                        return End::Home;
                    }
                }
            }
            while let Some(current) = confirmed.front().copied() {
                if current > self.delivered {
                    break;
                }
                confirmed.pop_front();
                if self.tx.send(WatchItem::Alive(Revision(current))).await.is_err() {
                    return End::Over;
                }
            }
            if known.0 > self.delivered && known.1.elapsed() >= patience {
                return End::Elsewhere(format!("revision {} is overdue", known.0));
            }
        }
    }

    /// Delivers one message's events, one item per revision.
    async fn take(&mut self, endpoints: &Endpoints, message: &WatchResponse) -> Result<(), End> {
        if message.compact_revision() > 0 {
            let _reader_gone = self.tx.send(WatchItem::Compacted).await;
            return Err(End::Over);
        }
        if let Err(error) = endpoints.check(message.header()) {
            return Err(End::Elsewhere(format!("{error:?}")));
        }
        if message.canceled() {
            return Err(End::Elsewhere(message.cancel_reason().to_owned()));
        }
        let mut current: Option<Changes> = None;
        for event in message.events() {
            let Some(kv) = event.kv() else { continue };
            let revision = u64::try_from(kv.mod_revision()).unwrap_or(0);
            if revision <= self.delivered {
                continue;
            }
            if current.as_ref().is_none_or(|changes| changes.revision.0 != revision) {
                if let Some(done) = current.take() {
                    self.deliver(done).await?;
                }
                if revision != self.delivered + 1 {
                    let gap = format!("revision {revision} follows {}", self.delivered);
                    tracing::error!(gap, "etcd's watch left a gap");
                    return Err(End::Elsewhere(gap));
                }
                current = Some(Changes { revision: Revision(revision), changes: Vec::new() });
            }
            let (Some(key), Some(changes)) = (Key::from_path(kv.key()), current.as_mut()) else {
                continue;
            };
            let value = match event.event_type() {
                EventType::Put => Some(kv.value().into()),
                EventType::Delete => None,
            };
            let created = Revision(u64::try_from(kv.create_revision()).unwrap_or(0));
            changes.changes.push(Change { key, value, created });
        }
        match current {
            Some(done) => self.deliver(done).await,
            None => Ok(()),
        }
    }

    async fn deliver(&mut self, changes: Changes) -> Result<(), End> {
        self.delivered = changes.revision.0;
        self.tx.send(WatchItem::Changes(changes)).await.map_err(|_| End::Over)
    }
}

async fn open(
    endpoint: &Endpoint,
    from: u64,
) -> Result<(WatchResponseStream, etcd_client::WatchRequestSender), String> {
    let from = i64::try_from(from).map_err(|_| "revision out of range".to_owned())?;
    let options = WatchOptions::new().with_all_keys().with_start_revision(from);
    let mut client = endpoint.client().watch_client().max_decoding_message_size(MAX_ANSWER_BYTES);
    let opening = client.watch(Vec::new(), Some(options));
    match tokio::time::timeout(TRY_DEADLINE, opening).await {
        Ok(Ok(stream)) => {
            let (sender, stream) = stream.split();
            Ok((stream, sender))
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}
