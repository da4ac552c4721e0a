//! Written by `cargo xtask codegen` from the datamodel; nothing here yet.
