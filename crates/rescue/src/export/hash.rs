//! The checksum of the disk's content, taken by another thread while the copy goes on.
//!
//! CRC-32 keeps up with the copy: holes cost it nothing, because the checksum of zeroes is computed, not taken. SHA-256 has to see every
//! byte of a hole, 1 to 2 GB each second, so a large and nearly empty disk waits for it.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest as _, Sha256};

/// Messages that may wait: with windows of half a MiB not more than a few MiB.
const QUEUE: usize = 8;
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// A checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Hash {
    /// CRC-32, as zip, gzip and Python's zlib count it: tells a damaged copy, and costs no time.
    Crc32,
    /// SHA-256: a second core does it, at 1 to 2 GB/s, holes included.
    Sha256,
    /// None.
    None,
}

/// Digests of what was handed over, in hexadecimal; those that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) crc32: Option<String>,
    pub(crate) sha256: Option<String>,
}

enum Message {
    Bytes(Vec<u8>, usize),
    Zero(u64),
    Mark(Sender<Sums>),
}

/// What is counted so far.
#[derive(Clone)]
enum Counter {
    Crc32(crc32fast::Hasher),
    Sha256(Sha256),
}

impl Counter {
    fn bytes(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(sum) => sum.update(bytes),
            Self::Sha256(sum) => sum.update(bytes),
        }
    }

    fn zero(&mut self, mut length: u64) {
        match self {
            Self::Crc32(sum) => {
                let mut part = crc32fast::Hasher::new();
                part.update(&[0]);
                // A run of 2^n zeroes is two of 2^(n-1).
                while length > 0 {
                    if length & 1 == 1 {
                        sum.combine(&part);
                    }
                    length >>= 1;
                    let same = part.clone();
                    part.combine(&same);
                }
            }
            Self::Sha256(sum) => {
                while length > 0 {
                    let part = length.min(ZEROES.len() as u64);
                    // Not more than the array has.
                    sum.update(&ZEROES[..usize::try_from(part).unwrap_or(0)]);
                    length -= part;
                }
            }
        }
    }

    fn sums(self) -> Sums {
        match self {
            Self::Crc32(sum) => {
                Sums { crc32: Some(format!("{:08x}", sum.finalize())), sha256: None }
            }
            Self::Sha256(sum) => Sums { crc32: None, sha256: Some(hex(&sum.finalize())) },
        }
    }
}

/// The other thread.
#[derive(Debug)]
pub(crate) struct Hasher {
    send: SyncSender<Message>,
    /// Buffers that were hashed, to be used again.
    spare: Receiver<Vec<u8>>,
    thread: JoinHandle<Sums>,
}

impl Hasher {
    /// Starts it; `None` if nothing is to be counted.
    pub(crate) fn start(hash: Hash) -> Option<Self> {
        let mut counter = match hash {
            Hash::Crc32 => Counter::Crc32(crc32fast::Hasher::new()),
            Hash::Sha256 => Counter::Sha256(Sha256::new()),
            Hash::None => return None,
        };
        let (send, receive) = sync_channel::<Message>(QUEUE);
        let (give_back, spare) = channel();
        let thread = std::thread::spawn(move || {
            for message in receive {
                match message {
                    Message::Bytes(bytes, len) => {
                        counter.bytes(&bytes[..len]);
                        // Nobody needs it any more at the end.
                        let _ = give_back.send(bytes);
                    }
                    Message::Zero(length) => counter.zero(length),
                    Message::Mark(reply) => {
                        let _ = reply.send(counter.clone().sums());
                    }
                }
            }
            counter.sums()
        });
        Some(Self { send, spare, thread })
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

    /// The digests of all so far.
    pub(crate) fn so_far(&self) -> Option<Sums> {
        let (reply, answer) = channel();
        self.tell(Message::Mark(reply));
        answer.recv().ok()
    }

    /// The digests of all.
    pub(crate) fn finish(self) -> Option<Sums> {
        drop(self.send);
        self.thread.join().ok()
    }

    fn tell(&self, message: Message) {
        // The thread ends only when this end is dropped.
        let _ = self.send.send(message);
    }
}

/// As text.
pub(crate) fn hex(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_count_as_the_zeroes_that_they_are() {
        for hash in [Hash::Crc32, Hash::Sha256] {
            let (whole, holes) =
                (Hasher::start(hash).expect("asked for"), Hasher::start(hash).expect("asked for"));
            for length in [1, 7, 4096, 65_537, 3_000_001] {
                let data = vec![0x5a; 100];
                whole.bytes(vec![0; length], length);
                holes.zero(length as u64);
                whole.bytes(data.clone(), 100);
                holes.bytes(data, 100);
            }
            assert_eq!(whole.so_far(), holes.so_far());
            assert_eq!(whole.finish(), holes.finish());
        }
        assert!(Hasher::start(Hash::None).is_none());
        // As zlib counts it.
        let sum = Hasher::start(Hash::Crc32).expect("asked for");
        sum.bytes(b"123456789".to_vec(), 9);
        assert_eq!(sum.finish().and_then(|sums| sums.crc32).as_deref(), Some("cbf43926"));
    }
}
