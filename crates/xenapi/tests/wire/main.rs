//! Tests of what this crate promises at its boundary: codecs, records, types, and that no input makes it panic.

mod codecs;
mod coercion;
mod hostile;
mod made_up;
mod records;
