//! SHA-256 of the disk's content, taken by a second thread while the first one copies.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest as _, Sha256};

/// A digest.
pub(crate) type Sum = [u8; 32];

/// Messages that may wait: with windows of half a MiB not more than a few MiB.
const QUEUE: usize = 8;
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

enum Message {
    Bytes(Vec<u8>, usize),
    Zero(u64),
    Mark(Sender<Sum>),
}

/// The second thread.
#[derive(Debug)]
pub(crate) struct Hasher {
    send: SyncSender<Message>,
    /// Buffers that were hashed, to be used again.
    spare: Receiver<Vec<u8>>,
    thread: JoinHandle<Sum>,
}

impl Hasher {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let (send, receive) = sync_channel::<Message>(QUEUE);
        let (give_back, spare) = channel();
        let thread = std::thread::spawn(move || {
            let mut sum = Sha256::new();
            for message in receive {
                match message {
                    Message::Bytes(bytes, len) => {
                        sum.update(&bytes[..len]);
                        // Nobody needs it any more at the end.
                        let _ = give_back.send(bytes);
                    }
                    Message::Zero(mut length) => {
                        while length > 0 {
                            let part = length.min(ZEROES.len() as u64);
                            // Not more than the array has.
                            sum.update(&ZEROES[..usize::try_from(part).unwrap_or(0)]);
                            length -= part;
                        }
                    }
                    Message::Mark(reply) => {
                        let _ = reply.send(sum.clone().finalize().into());
                    }
                }
            }
            sum.finalize().into()
        });
        Self { send, spare, thread }
    }

    /// Hands the first `len` bytes of a buffer over, and gets another one of that size with any content.
    pub(crate) fn bytes(&self, bytes: Vec<u8>, len: usize) -> Vec<u8> {
        let size = bytes.len();
        self.tell(Message::Bytes(bytes, len));
        let spare = self.spare.try_recv().ok().filter(|spare| spare.len() == size);
        spare.unwrap_or_else(|| vec![0; size])
    }

    /// That many zeroes follow.
    pub(crate) fn zero(&self, length: u64) {
        self.tell(Message::Zero(length));
    }

    /// The digest of all so far.
    pub(crate) fn so_far(&self) -> Option<Sum> {
        let (reply, answer) = channel();
        self.tell(Message::Mark(reply));
        answer.recv().ok()
    }

    /// The digest of all.
    pub(crate) fn finish(self) -> Option<Sum> {
        drop(self.send);
        self.thread.join().ok()
    }

    fn tell(&self, message: Message) {
        // The thread ends only when this end is dropped.
        let _ = self.send.send(message);
    }
}

/// As text.
pub(crate) fn hex(sum: &Sum) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
