//! The verbs every class of records has: `list`, `param-list`, `param-get`, `param-set`, `param-add`, `param-remove`,
//! `param-clear`.
//!
//! `view` turns a field into text, `computed` asks for what is not in the record, `filter` chooses records by fields,
//! `change` writes fields, `verbs` puts them together. No class is named here except in `computed`; the rest is the
//! datamodel's.

mod change;
mod computed;
pub(crate) mod filter;
mod verbs;
pub(crate) mod view;

pub(crate) use verbs::{row, run};
