//! The storage drivers against real directories and QEMU's own tools (Debian's `qemu-utils`). No root, no network.

#![expect(clippy::disallowed_methods, reason = "tests start programs and make ids as they like")]

mod bench;
mod conformance;
mod crash_points;
mod directory;
mod guest;
mod iso;
