//! Reply bodies: whole, or made piece by piece while the client reads.
//!
//! A large answer (`get_all_records` of thousands of VMs) is never held in memory: pieces of about
//! [`PIECE_BYTES`] are produced only when the connection asks for more, so five such calls cost five pieces.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Target size of one piece of a streamed answer, bytes.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// Produces the next piece of a streamed answer, or `None` at its end.
pub(super) type Pieces = Box<dyn FnMut() -> Option<Vec<u8>> + Send>;

/// The body of a reply.
pub enum ReplyBody {
    /// All of it.
    Whole(Option<Bytes>),
    /// Piece by piece.
    Pieces(Pieces),
    /// Fed by a task (transfers).
    Channel(tokio::sync::mpsc::Receiver<Bytes>),
}

impl std::fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Pieces(_) => "Pieces",
            Self::Channel(_) => "Channel",
        })
    }
}

/// A whole body.
pub fn bytes_body(bytes: impl Into<Bytes>) -> ReplyBody {
    ReplyBody::Whole(Some(bytes.into()))
}

/// No body.
pub fn empty_body() -> ReplyBody {
    ReplyBody::Whole(None)
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Pieces(next) => Poll::Ready(next().map(|b| Ok(Frame::data(Bytes::from(b))))),
            Self::Channel(receiver) => {
                receiver.poll_recv(cx).map(|item| item.map(|b| Ok(Frame::data(b))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Self::Whole(None) => SizeHint::with_exact(0),
            Self::Pieces(_) | Self::Channel(_) => SizeHint::default(),
        }
    }
}
