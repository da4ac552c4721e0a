//! qcow2, versions 2 and 3: header and its extensions, two levels of tables, compressed clusters, subclusters, snapshots' names.
//!
//! All numbers are big-endian. What can't be read right is refused by name: encryption, data in another file, features that are not known.
//! There are no checksums; offsets are judged by alignment, the file's end and the reference counts. [`Image`] is a
//! [`crate::layer::Layer`]; the backing file is only named here.

mod header;
mod image;

pub use header::{Backing, Compression, Header, MAGIC, Snapshot};
pub use image::{Image, Opened};
