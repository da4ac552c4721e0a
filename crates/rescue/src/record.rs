//! `--record FILE` and `replay`: each run with what was typed and what came of it, to be read, printed, and done again for another machine.
//!
//! A record is a file of lines, one JSON object for each command: when, with which arguments, what it said on both outputs (a repair's reasons
//! and bytes are among it), and how it ended. A replay types the same commands with other names in place of the old ones, and stops where one
//! does not end as it did: then the other machine is not like the first one, and a person has to look (S0-39).

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::output::{self, Output};
use crate::{Error, Exit};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What `--record` has written.
    file: PathBuf,
    /// Puts NEW in place of OLD in every command: a path, a uuid, a name. Once for each.
    #[arg(long = "with", value_name = "OLD=NEW")]
    with: Vec<String>,
    /// Prints the commands, what they said and how they ended, and runs nothing.
    #[arg(long)]
    print: bool,
}

/// One command.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Seconds since 1970.
    at: u64,
    /// As they were typed, without the program's name and without `--record`.
    arguments: Vec<String>,
    /// Standard output.
    printed: String,
    /// Standard error.
    said: String,
    exit: u8,
    seconds: f64,
}

/// A command that is being recorded.
#[derive(Debug)]
pub(crate) struct Recording {
    file: PathBuf,
    arguments: Vec<String>,
    begun: Instant,
}

impl Recording {
    /// Begins to note what is printed.
    pub(crate) fn start(file: &Path, arguments: &[OsString]) -> Self {
        output::keep();
        Self { file: file.to_owned(), arguments: without_record(arguments), begun: Instant::now() }
    }

    /// Adds the command to the file.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn end(self, exit: Exit) -> Result<(), Error> {
        let (printed, said) = output::kept();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let seconds = self.begun.elapsed().as_secs_f64();
        let entry =
            Entry { at, arguments: self.arguments, printed, said, exit: exit as u8, seconds };
        let mut line = serde_json::to_string(&entry).unwrap_or_default();
        line.push('\n');
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.file)
            .and_then(|mut file| {
                file.write_all(line.as_bytes())?;
                file.sync_all()
            })
            .map_err(Error::io("recording in", &self.file))
    }
}

fn without_record(arguments: &[OsString]) -> Vec<String> {
    let mut words = arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned());
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if word == "--record" {
            words.next();
        } else if !word.starts_with("--record=") {
            kept.push(word);
        }
    }
    kept
}

/// Runs the command.
///
/// # Errors
/// If the record can't be read, or a replacement fits nothing.
pub fn run(arguments: &Arguments, form: Output) -> Result<Exit, Error> {
    let text =
        std::fs::read_to_string(&arguments.file).map_err(Error::io("reading", &arguments.file))?;
    let mut entries = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let entry: Entry = serde_json::from_str(line).map_err(|error| {
            Error::Usage(format!("{}, line {number}: {error}", arguments.file.display()))
        })?;
        entries.push(entry);
    }
    let pairs = pairs(&arguments.with, &entries)?;
    for entry in &mut entries {
        for word in &mut entry.arguments {
            *word = replaced(word, &pairs);
        }
    }
    if arguments.print {
        match form {
            Output::Json => output::print_json(&entries)?,
            Output::Text => output::print(&shown(&entries))?,
        }
        return Ok(Exit::Done);
    }
    for (entry, number) in entries.iter().zip(1..) {
        output::note(&format!("# {number} of {}: {}", entries.len(), typed(entry)));
        let words =
            ["holdfast-rescue"].into_iter().chain(entry.arguments.iter().map(String::as_str));
        let exit = crate::main(words.map(OsString::from));
        if exit as u8 != entry.exit {
            output::note(&format!(
                "# it ended with {} where it had ended with {}: the rest is not done",
                exit as u8, entry.exit
            ));
            return Ok(if exit == Exit::Done { Exit::Partial } else { exit });
        }
    }
    Ok(Exit::Done)
}

/// Old and new names, the longest old one first: one may be a part of another.
fn pairs(with: &[String], entries: &[Entry]) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::new();
    for pair in with {
        let Some((old, new)) = pair.split_once('=').filter(|(old, _)| !old.is_empty()) else {
            return Err(Error::Usage(format!("--with {pair}: say OLD=NEW")));
        };
        if !entries.iter().flat_map(|e| &e.arguments).any(|word| word.contains(old)) {
            return Err(Error::Usage(format!("{old} is in none of the recorded commands")));
        }
        pairs.push((old.to_owned(), new.to_owned()));
    }
    pairs.sort_by_key(|(old, _)| std::cmp::Reverse(old.len()));
    Ok(pairs)
}

/// A word with all replacements made at once: what was put in is not replaced again.
fn replaced(word: &str, pairs: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        match pairs.iter().find(|(old, _)| rest.starts_with(old.as_str())) {
            Some((old, new)) => {
                out.push_str(new);
                rest = &rest[old.len()..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

fn typed(entry: &Entry) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:@=,".contains(&b);
    let quoted = |word: &String| {
        if !word.is_empty() && word.bytes().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    let words: Vec<String> = entry.arguments.iter().map(quoted).collect();
    format!("holdfast-rescue {}", words.join(" "))
}

/// The record as a script that says what came of each command.
fn shown(entries: &[Entry]) -> String {
    let mut out = String::new();
    for entry in entries {
        out.push_str(&typed(entry));
        out.push('\n');
        for line in entry.said.lines().chain(entry.printed.lines()) {
            out.push_str(&format!("#   {line}\n"));
        }
        out.push_str(&format!("#   ended with {} after {:.1} s\n\n", entry.exit, entry.seconds));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_at_once_and_the_record_s_own_option_is_left_out() {
        let pairs = vec![("ab".to_owned(), "b".to_owned()), ("b".to_owned(), "x".to_owned())];
        assert_eq!(replaced("ab/b-é", &pairs), "b/x-é");
        let words = ["holdfast-rescue", "--record", "r", "scan", "--record=r", "/dev/sda"];
        assert_eq!(without_record(&words.map(OsString::from)), ["scan", "/dev/sda"]);
    }
}
