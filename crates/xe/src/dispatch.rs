//! From the command line to the command's function: spellings evened out, required parameters checked, nothing done yet.
//!
//! Also the last word on failures: what is printed, and the exit code.

use crate::api::Api;
use crate::command_line::{self, Globals, Invocation, Params, Surroundings};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Out, Terminal};
use crate::tables::{self, Command, Kind, to_old_words};
use crate::transport::Transport;
use crate::{commands, complete, explain, help, pasted, record, trust};

/// Runs one command line of the process and returns the exit code.
pub fn run(arguments: &[String], terminal: &mut dyn Terminal) -> u8 {
    run_with(arguments, &Surroundings::of_process(), terminal, &mut |globals| {
        let notice = Box::new(|text: &str| {
            use std::io::Write;
            // The wait is over before this could matter.
            let _ = std::io::stderr().write_all(text.as_bytes());
        });
        Box::new(Transport::new(globals.clone(), notice))
    })
}

/// Runs one command line with an API made by `connect`, for tests and embedding.
pub fn run_with(
    arguments: &[String],
    around: &Surroundings,
    terminal: &mut dyn Terminal,
    connect: &mut dyn FnMut(&Globals) -> Box<dyn Api>,
) -> u8 {
    if let Some(word) =
        arguments.first().filter(|w| w.starts_with("__complete") || *w == "completion")
    {
        return complete::run(word, &arguments[1..], around, terminal, connect);
    }
    if !arguments.iter().any(|a| a == "--literal")
        && let Some(found) = pasted::check(arguments)
    {
        terminal.stderr(&pasted_text(&found));
        return 2;
    }
    let parsed = command_line::parse(arguments, around);
    let outcome = match parsed {
        Ok(invocation) => execute(invocation, terminal, connect),
        Err(failure) => {
            report(&failure, terminal, None);
            Err(failure)
        }
    };
    match outcome {
        Ok(()) => 0,
        Err(failure) => failure.exit_code(),
    }
}

fn pasted_text(found: &pasted::Pasted) -> String {
    let code = u32::from(found.found);
    let instead = match found.instead {
        " " => "a blank".to_owned(),
        "" => "nothing".to_owned(),
        plain => plain.to_owned(),
    };
    format!(
        "Syntax error: this command holds a typographic character, as pasted from a page or document:\n  {}\n  {}^ \
         U+{code:04X} {} where {instead} is meant\nDid you mean:\n  {}\nTo pass such characters as they are, add \
         --literal.\n",
        found.argument,
        " ".repeat(found.column),
        if found.instead == " " || found.instead.is_empty() {
            "(invisible)".to_owned()
        } else {
            found.found.to_string()
        },
        found.corrected
    )
}

fn report(failure: &Failure, terminal: &mut dyn Terminal, api: Option<&mut dyn Api>) {
    for line in explain::lines(failure, api) {
        terminal.stderr(&format!("{line}\n"));
    }
}

fn execute(
    mut invocation: Invocation,
    terminal: &mut dyn Terminal,
    connect: &mut dyn FnMut(&Globals) -> Box<dyn Api>,
) -> Result<(), Failure> {
    let form = invocation.globals.output;
    let prepared = (|| {
        if invocation.version {
            let version = env!("CARGO_PKG_VERSION");
            Out::new(form, terminal).raw(&format!("xe {version} (Holdfast)"));
            return Ok(None);
        }
        if invocation.help || invocation.command.is_empty() || invocation.command == "help" {
            if invocation.help && invocation.command != "help" && !invocation.command.is_empty() {
                invocation.params = Params(vec![(invocation.command.clone(), String::new())]);
            }
            let mut out = Out::new(form, terminal);
            help::run(&mut out, &invocation);
            out.finish();
            return Ok(None);
        }
        let command = find_command(&invocation.command)?;
        normalise(&command, &mut invocation.params)?;
        for note in notes(&command, &invocation.params) {
            terminal.stderr(&format!("Note: {note}\n"));
        }
        credentials(&mut invocation.globals, terminal)?;
        Ok(Some(command))
    })();
    let command = match prepared {
        Ok(Some(command)) => command,
        Ok(None) => return Ok(()),
        Err(failure) => {
            report(&failure, terminal, None);
            return Err(failure);
        }
    };
    let mut api = connect(&invocation.globals);
    let outcome = {
        let mut out = Out::new(form, terminal);
        let mut ctx = Context::new(&mut *api, &mut out, invocation.params);
        let outcome = perform(&mut ctx, &command);
        if outcome.is_ok() {
            learn_hosts(&mut ctx, &invocation.globals);
            out.finish();
        }
        outcome
    };
    if let Err(failure) = &outcome {
        report(failure, terminal, Some(&mut *api));
        if invocation.globals.trace || invocation.globals.debug_on_fail {
            terminal.stderr(&format!("Raised {failure:?}\n"));
        }
    }
    api.close();
    outcome
}

fn perform(ctx: &mut Context<'_, '_>, command: &Command) -> Result<(), Failure> {
    match command.kind {
        Kind::Verb(record, verb) => record::run(ctx, record, verb),
        Kind::Special(special) => commands::run(ctx, special),
    }
}

/// The command, or the usage error with what may have been meant.
fn find_command(word: &str) -> Result<Command, Failure> {
    tables::command(word).ok_or_else(|| {
        let near = tables::suggestions(word);
        let hint = (!near.is_empty())
            .then(|| format!("Did you mean: {}\nFor usage run: 'xe help'", near.join(", ")));
        Failure::Usage { label: "Unknown command", text: word.to_owned(), hint }
    })
}

/// Evens out the spellings a command takes and checks that its required parameters are there (S2-54).
pub(crate) fn normalise(command: &Command, params: &mut Params) -> Result<(), Failure> {
    let knows = |name: &str| {
        command
            .required
            .iter()
            .chain(&command.optional)
            .any(|p| p == name || p.trim_end_matches([':', '-']) == name)
    };
    for (name, _) in &mut params.0 {
        if knows(name) {
            continue;
        }
        if let Some((_, real)) = command.param_aliases.iter().find(|(alias, _)| alias == name) {
            (*real).clone_into(name);
        } else if name == "filename" && knows("file-name") {
            "file-name".clone_into(name);
        } else if name == "file-name" && knows("filename") {
            "filename".clone_into(name);
        } else if matches!(command.kind, Kind::Special(_))
            && command.selectors != Some(name)
            && knows(&format!("{name}-uuid"))
        {
            // `vm=web1` where a `vm-uuid` is asked for (S2-35).
            name.push_str("-uuid");
        } else {
            let old = to_old_words(name);
            if old != *name && knows(&old) {
                *name = old;
            }
        }
    }
    for required in &command.required {
        if params.has(required) {
            continue;
        }
        // `host=` stands for `host-uuid=`, and for `uuid=` of a command on hosts (S2-35).
        let stand_in = match required.strip_suffix("-uuid") {
            Some(stem) => Some(stem.to_owned()),
            None if required == "uuid" => command.name.split('-').next().map(str::to_owned),
            None => None,
        };
        let renamed =
            stand_in.and_then(|stem| params.0.iter_mut().find(|(k, _)| *k == stem && !knows(k)));
        match renamed {
            Some((name, _)) => *name = required.to_string(),
            None => return Err(Failure::missing(required)),
        }
    }
    Ok(())
}

/// Parameters that some commands heed although XenServer's table does not list them.
const UNLISTED: &[&str] = &[
    "template-uuid",
    "template-name",
    "template-name-label",
    "name-description",
    "new-name-label",
    "new-name-description",
    "sm-config",
    "device-config",
    "task-uuid",
    "params",
    "counts",
    "confirm",
    "dry-run",
    "force",
];

/// What a command passes over in silence in XenServer, said aloud: parameters it does not have, other databases.
fn notes(command: &Command, params: &Params) -> Vec<String> {
    let mut notes = Vec::new();
    if params.iter().any(|(k, _)| k.starts_with("database:")) {
        notes.push("database: is passed over; the pool as it is now is shown.".to_owned());
    }
    let has_selectors = command.selectors.is_some();
    if has_selectors || matches!(command.kind, Kind::Verb(..)) {
        return notes;
    }
    for (name, _) in params.iter() {
        let known = command.required.iter().chain(&command.optional).any(|p| {
            let stem = p.trim_end_matches([':', '-']);
            name == stem || p.len() > stem.len() && name.starts_with(stem)
        });
        let flag = command.flags.contains(&name);
        let stem = name.split(':').next().unwrap_or(name);
        let heeded = UNLISTED.contains(&stem) || command_line::STANDARD_PARAMS.contains(&name);
        if !known && !flag && !heeded {
            notes.push(format!("{} has no parameter '{name}'; it is passed over.", command.name));
        }
    }
    notes
}

/// Reads the password file; asks for a password where a user was named without one.
fn credentials(globals: &mut Globals, terminal: &mut dyn Terminal) -> Result<(), Failure> {
    if let Some(path) = &globals.password_file {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::refused(format!("Error opening password file '{path}': {e}")))?;
        let mut lines = text.lines();
        let (Some(user), Some(password)) = (lines.next(), lines.next()) else {
            return Err(Failure::refused(
                "password file format: expecting username on the first line, password on the second line",
            ));
        };
        globals.username = Some(user.to_owned());
        globals.password = Some(password.to_owned());
    }
    if globals.nossl {
        terminal.stderr("Note: --nossl has no effect: the API is served over TLS only.\n");
    }
    let needs_login = globals.username.is_some()
        || globals.servers.iter().any(|s| !s.starts_with('/') && !crate::context::is_localhost(s));
    if needs_login && globals.password.is_none() {
        let user = globals.username.clone().unwrap_or_else(|| "root".to_owned());
        globals.password = terminal.read_secret(&format!("Password for {user}: "));
        globals.username = Some(user);
    }
    Ok(())
}

/// After a command on another pool went well, its hosts' addresses are remembered, once a day, so that the next command
/// finds a survivor (S2-18).
fn learn_hosts(ctx: &mut Context<'_, '_>, globals: &Globals) {
    let Some(server) = globals.servers.first().filter(|s| !s.starts_with('/')) else { return };
    if crate::context::is_localhost(server) || trust::hosts_are_fresh(server) {
        return;
    }
    if let Ok(hosts) = ctx.api.records("host", Some(&["address"])) {
        let addresses: Vec<String> = hosts
            .iter()
            .filter_map(|(_, h)| h.get("address").and_then(|a| a.as_str()).map(str::to_owned))
            .filter(|a| !a.is_empty() && a != server)
            .collect();
        trust::remember_hosts(server, &addresses);
    }
}
