//! The client against servers that speak the real protocol: what it does when they answer, don't answer, or aren't trusted.

mod calls;
mod server;
mod sessions;
mod trusting;
