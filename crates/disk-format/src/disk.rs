//! A virtual disk as its guest would read it: layers on top of each other, leaf first.
//!
//! It answers in pieces, so that a copy reads each byte once, in large reads, and keeps holes as holes. A layer that is smaller than the
//! one on top of it reads as zero behind its end.

use std::io;

use crate::layer::{Layer, Packed, Run};

/// A disk.
#[derive(Debug)]
pub struct Disk {
    layers: Vec<Box<dyn Layer>>,
    size: u64,
    /// Why the last layer's parent is not here, if it asks for one.
    missing: Option<String>,
}

/// Where a piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is zero.
    Zero,
    /// In a layer's source, as it is.
    Stored {
        /// Index of the layer, 0 is the leaf.
        layer: usize,
        /// Byte of its source.
        at: u64,
    },
    /// In a layer's source, compressed.
    Packed {
        /// Index of the layer.
        layer: usize,
        /// The cluster.
        packed: Packed,
    },
    /// It can't be read; the clause says why.
    Unreadable(String),
}

/// A run of the disk's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First byte.
    pub offset: u64,
    /// Length in bytes, never zero.
    pub length: u64,
    /// Where it is.
    pub place: Place,
    /// Why it may be wrong although it can be read.
    pub doubt: Option<String>,
}

/// Bytes that can't be vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// First byte of the disk.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// Why, as a clause.
    pub why: String,
}

impl Disk {
    /// Puts layers on each other, leaf first. `missing` says why the last one's parent is not here, if it asks for one.
    ///
    /// # Panics
    /// Without any layer.
    #[must_use]
    pub fn new(layers: Vec<Box<dyn Layer>>, missing: Option<String>) -> Self {
        let size = layers.first().expect("a disk has at least its leaf").size();
        Self { layers, size, missing }
    }

    /// Virtual size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The layers, leaf first.
    #[must_use]
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        &self.layers
    }

    /// The piece that begins at `offset`, which is below the size; at most `limit` bytes.
    #[must_use]
    pub fn piece(&self, offset: u64, limit: u64) -> Piece {
        let mut limit = limit.min(self.size.saturating_sub(offset)).max(1);
        let mut doubt: Option<String> = None;
        for (layer, image) in self.layers.iter().enumerate() {
            let extent = image.extent(offset, limit);
            limit = extent.length.clamp(1, limit);
            doubt = doubt.or(extent.doubt);
            let place = match extent.run {
                Run::Zero => Place::Zero,
                Run::Stored { at } => Place::Stored { layer, at },
                Run::Packed(packed) => Place::Packed { layer, packed },
                Run::Unreadable(why) => Place::Unreadable(why),
                Run::Parent => match self.layers.get(layer + 1) {
                    Some(parent) if offset < parent.size() => {
                        limit = limit.min(parent.size() - offset);
                        continue;
                    }
                    Some(_) => Place::Zero,
                    None => self.missing.clone().map_or(Place::Zero, Place::Unreadable),
                },
            };
            return Piece { offset, length: limit, place, doubt };
        }
        // The loop always ends in a place: the last layer has none below it.
        Piece { offset, length: limit, place: Place::Zero, doubt }
    }

    /// Reads a part of a piece, from `inside` bytes behind its begin on.
    ///
    /// # Errors
    /// If the source can't be read there.
    pub fn read_piece(&self, piece: &Piece, inside: u64, buf: &mut [u8]) -> io::Result<()> {
        match &piece.place {
            Place::Zero => {
                buf.fill(0);
                Ok(())
            }
            Place::Stored { layer, at } => self.layers[*layer].source().read_at(at + inside, buf),
            Place::Packed { layer, packed } => self.layers[*layer].unpack(packed, inside, buf),
            Place::Unreadable(why) => Err(io::Error::other(why.clone())),
        }
    }

    /// Fills `buf` with the bytes from `offset` on, zero where they can't be read, and says which those are and which are doubtful.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> Vec<Bad> {
        let mut bad = Vec::new();
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            if at >= self.size {
                buf[done..].fill(0);
                break;
            }
            let piece = self.piece(at, (buf.len() - done) as u64);
            let len = usize::try_from(piece.length).unwrap_or(usize::MAX).min(buf.len() - done);
            let part = &mut buf[done..done + len];
            let length = len as u64;
            if let Err(error) = self.read_piece(&piece, 0, part) {
                part.fill(0);
                bad.push(Bad { offset: at, length, why: error.to_string() });
            } else if let Some(why) = piece.doubt {
                bad.push(Bad { offset: at, length, why });
            }
            done += len;
        }
        bad
    }
}
