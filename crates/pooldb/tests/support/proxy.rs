//! A TCP proxy that can fall silent: to the client, or in both directions, without closing anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the proxy does with bytes from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    /// Passes everything.
    Through = 0,
    /// Passes requests, swallows answers: the outcome of a commit becomes unknown.
    NoAnswers = 1,
    /// Swallows everything: a black hole.
    Silent = 2,
    /// Keeps everything back and passes it when the mood changes: a congested or frozen path.
    Held = 3,
    /// Passes everything, each piece 350 ms late: a slow disk or path.
    Slow = 4,
}

/// A running proxy to one address.
pub(crate) struct Proxy {
    pub(crate) url: String,
    mood: Arc<AtomicU8>,
    answered: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of that client URL.
    pub(crate) async fn before(url: &str) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("has an address"));
        let mood = Arc::new(AtomicU8::new(Mood::Through as u8));
        let shared = Arc::clone(&mood);
        let answered = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&answered);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, mood) = (target.clone(), Arc::clone(&shared));
                let (asked, answered) = (AtomicU64::new(0), Arc::clone(&counted));
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(&target).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let requests = pass(from_client, to_server, &mood, Mood::Silent, &asked);
                    let answers = pass(from_server, to_client, &mood, Mood::NoAnswers, &answered);
                    tokio::join!(requests, answers);
                });
            }
        });
        Self { url, mood, answered, task }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// Bytes that have come back through it.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes bytes until the mood reaches `silent_from`; then swallows them. Never closes by itself.
async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mood: &AtomicU8,
    silent_from: Mood,
    passed: &AtomicU64,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        while mood.load(Ordering::SeqCst) == Mood::Held as u8 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let slow = mood.load(Ordering::SeqCst) == Mood::Slow as u8;
        if slow {
            tokio::time::sleep(std::time::Duration::from_millis(350)).await;
        }
        passed.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::SeqCst);
        if (slow || mood.load(Ordering::SeqCst) < silent_from as u8)
            && to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}
