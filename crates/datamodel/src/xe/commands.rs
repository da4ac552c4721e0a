//! The commands of `xe` that are not record verbs, by what they are about.
//!
//! Names, parameters and flags as XenServer has them; the second vocabulary (coordinator, member) is in the aliases.
//! What only Holdfast has is in `ours`.

mod host;
mod net;
mod other;
mod ours;
mod pool;
mod storage;
mod vm;

use crate::schema::XeCommand;

const PARTS: [&[XeCommand]; 7] = [
    vm::COMMANDS,
    host::COMMANDS,
    storage::COMMANDS,
    net::COMMANDS,
    pool::COMMANDS,
    other::COMMANDS,
    ours::COMMANDS,
];

/// Parameters of one of XenServer's commands that XenServer does not have.
pub fn our_parameters(command: &str) -> &'static [&'static str] {
    ours::PARAMETERS.iter().find(|(name, _)| *name == command).map_or(&[], |(_, params)| *params)
}

/// Whether XenServer has no such command.
pub fn is_ours(name: &str) -> bool {
    ours::COMMANDS.iter().any(|c| c.name == name)
}

/// All special commands, by topic and then by name.
pub static COMMANDS: &[XeCommand] = &JOINED;

static JOINED: [XeCommand; count()] = {
    let mut joined = [XeCommand::BASE; count()];
    let (mut part, mut next) = (0, 0);
    while part < PARTS.len() {
        let mut i = 0;
        while i < PARTS[part].len() {
            joined[next] = PARTS[part][i];
            next += 1;
            i += 1;
        }
        part += 1;
    }
    joined
};

const fn count() -> usize {
    let (mut part, mut sum) = (0, 0);
    while part < PARTS.len() {
        sum += PARTS[part].len();
        part += 1;
    }
    sum
}
