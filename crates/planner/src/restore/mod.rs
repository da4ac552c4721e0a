//! Restoring a pool's database on another machine: which network card takes whose place ([`cards`]), and what of it can be
//! used afterwards ([`usable`]).

pub mod cards;
pub mod usable;
