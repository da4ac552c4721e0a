//! One file per class.

use crate::Class;

/// All classes.
pub static ALL: &[&Class] = &[];
