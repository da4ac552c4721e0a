//! The command line of Holdfast: parse, call the XenAPI, print.
//!
//! Names, parameters, output and errors are XenServer's `xe`, to the character, so that scripts, recipes and fingers keep
//! working. The facts (records, fields, commands) are the datamodel's; this crate knows how they are parsed, called and
//! printed. Not here: any decision about the pool, any state except `~/.xe` and `~/.xe.d/`.
//!
//! Way of a command: `pasted` (typographic characters) → `command_line` → `tables` (which command) → `dispatch`
//! (spellings, required parameters) → `record` or `commands` → `output`; a failure goes through `explain`.
//! Behind [`Api`] stands `transport`, or a fake in tests.

mod api;
mod command_line;
mod commands;
mod complete;
mod context;
mod dead;
mod dispatch;
mod explain;
mod failure;
mod help;
mod http;
mod interrupt;
mod kept_fields;
mod lineages;
mod local;
mod output;
mod pasted;
mod quantity;
mod record;
mod tables;
mod task;
mod transfer;
mod transport;
mod trust;

#[cfg(test)]
mod testing;
#[cfg(test)]
use commands::tests::pool as commands_pool;

pub use api::{Api, Fields, Value};
pub use command_line::{Globals, Invocation, OutputForm, Params, Surroundings};
pub use dispatch::{run, run_with};
pub use failure::{CallError, Failure};
pub use output::{Captured, Terminal};

/// The command line as `xe` takes it, when the program was called by another name: `resetvdis.py HOST SR [master]` of
/// XenServer's recovery guide is `host-release-disks`. Its third word is not needed: which host holds which disk is known
/// (S1-10).
pub fn as_called(program: &str, words: Vec<String>) -> Vec<String> {
    let name = std::path::Path::new(program).file_name().and_then(|n| n.to_str());
    if !matches!(name, Some("resetvdis.py" | "resetvdis")) {
        return words;
    }
    let command = "host-release-disks".to_owned();
    match words.as_slice() {
        [host, sr] => vec![command, format!("host-uuid={host}"), format!("sr-uuid={sr}")],
        [host, sr, master] if master == "master" => {
            vec![command, format!("host-uuid={host}"), format!("sr-uuid={sr}")]
        }
        _ => vec![command],
    }
}

#[cfg(test)]
mod called_by_another_name {
    use super::as_called;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_lock_release_script_is_the_same_with_and_without_its_third_word() {
        let with = as_called("/opt/xensource/sm/resetvdis.py", words("HOST SR master"));
        assert_eq!(with, words("host-release-disks host-uuid=HOST sr-uuid=SR"));
        assert_eq!(with, as_called("resetvdis.py", words("HOST SR")));
        assert_eq!(as_called("resetvdis.py", words("HOST")), words("host-release-disks"));
        assert_eq!(as_called("/usr/bin/xe", words("vm-list")), words("vm-list"));
    }
}
