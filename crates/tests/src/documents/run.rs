//! Follows a document as its reader would: every command exactly as printed, in order, against a lab of its own.
//!
//! Commands on the machine run in the root of the source tree with the programs in `PATH`; what they export is there for
//! the commands that follow. `HOLDFAST_LAB` names the test's own lab, so a document need not. A test may add a place of its
//! own, such as a nested guest. Nothing is passed over: what can't be run fails.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use lab::process::{Finished, command, run};

use super::{Block, Document, Step, fits};
use crate::{PoolLab, program, workspace};

/// Longest command: one that builds, or brings a lab up, on a busy machine.
const COMMAND: Duration = Duration::from_secs(240);
/// Pause between two tries of a block that has time to come true.
const AGAIN: Duration = Duration::from_millis(200);

/// Types a line at a place that only the test knows.
type Typist<'a> = Box<dyn Fn(&str) -> Finished + 'a>;

/// A reader at work.
pub struct Reader<'a> {
    lab: &'a PoolLab,
    /// Places beside the machine and the lab's hosts, by the name after `on=`.
    places: Vec<(&'static str, Typist<'a>)>,
    /// Keeps what the machine's shell exports from one command to the next.
    exported: tempfile::TempDir,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("lab", self.lab).finish_non_exhaustive()
    }
}

impl<'a> Reader<'a> {
    /// One who practises in `lab`.
    ///
    /// # Panics
    /// If there is no room for a temporary file.
    pub fn new(lab: &'a PoolLab) -> Self {
        let exported = tempfile::tempdir().expect("a temporary directory");
        Self { lab, places: Vec::new(), exported }
    }

    /// Knows one more place: what is typed on `name` goes to `typist`.
    #[must_use]
    pub fn with_place(
        mut self,
        name: &'static str,
        typist: impl Fn(&str) -> Finished + 'a,
    ) -> Self {
        self.places.push((name, Box::new(typist)));
        self
    }

    /// Follows a document from its beginning to its end.
    ///
    /// # Panics
    /// If anything does not go as printed; the text names the line and shows what came instead.
    pub fn follow(&self, document: &Document) {
        for step in &document.steps {
            let done = match step {
                Step::Lab { line, words } => {
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    let done = ended(run(self.lab.command(&words), None, COMMAND));
                    judged(&document.path, *line, &words.join(" "), 0, &done)
                }
                Step::Block(block) => self.block(&document.path, block),
            };
            done.unwrap_or_else(|why| panic!("{why}"));
        }
    }

    /// Runs a block, again and again if it has time to come true.
    fn block(&self, path: &str, block: &Block) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            match self.once(path, block) {
                Ok(()) => return Ok(()),
                Err(why) if begun.elapsed() >= block.within.unwrap_or_default() => return Err(why),
                Err(_) => std::thread::sleep(AGAIN),
            }
        }
    }

    fn once(&self, path: &str, block: &Block) -> Result<(), String> {
        let mut printed = String::new();
        for (line, text) in &block.commands {
            let done = self.type_in(block.on.as_deref(), text);
            judged(path, *line, text, block.exit, &done)?;
            printed.push_str(&done.stdout);
        }
        match &block.prints {
            Some(expected) if !fits(expected, &printed) => {
                let line = block.commands.first().map_or(0, |(line, _)| *line);
                Err(format!("{path}:{line}: printed\n{printed}\nand the document says\n{expected}"))
            }
            _ => Ok(()),
        }
    }

    /// Types one line, and tells the test's output so.
    #[expect(clippy::print_stdout, reason = "what was typed belongs to the test's output")]
    pub fn type_in(&self, on: Option<&str>, line: &str) -> Finished {
        let begun = Instant::now();
        let own = self.places.iter().find(|(name, _)| on == Some(*name));
        let done = match (own, on) {
            (Some((_, typist)), _) => typist(line),
            (None, Some(host)) => {
                let typed = self.lab.command(&["exec", host, "--", "sh", "-c", line]);
                ended(run(typed, None, COMMAND))
            }
            (None, None) => ended(run(self.on_the_machine(line), None, COMMAND)),
        };
        let (place, took) = (on.unwrap_or("machine"), begun.elapsed());
        println!("{place}# {line}\n{}{}[{took:.1?}, {}]", done.stdout, done.stderr, done.status);
        done
    }

    fn on_the_machine(&self, line: &str) -> std::process::Command {
        let exported = self.exported.path().join("exported");
        let before = if exported.exists() { ". \"$HOLDFAST_EXPORTED\"\n" } else { "" };
        let script = format!(
            "{before}{line}\nstatus=$?\nexport -p > \"$HOLDFAST_EXPORTED\"\nexit $status\n"
        );
        let mut shell = command("sh");
        shell.args(["-c", &script]).current_dir(workspace());
        shell.env("HOLDFAST_EXPORTED", exported).env("HOLDFAST_LAB", self.lab.name());
        let bin = program("holdfast-lab");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = bin.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
        shell.env("PATH", std::env::join_paths(dirs).expect("directories of a PATH"));
        shell
    }
}

fn ended(done: anyhow::Result<Finished>) -> Finished {
    done.unwrap_or_else(|why| panic!("{why:#}"))
}

fn judged(path: &str, line: usize, typed: &str, exit: i32, done: &Finished) -> Result<(), String> {
    if done.status.code() == Some(exit) {
        return Ok(());
    }
    let mut why = format!("{path}:{line}: `{typed}` ended with {}", done.status);
    if exit != 0 {
        let _ = write!(why, " and not with {exit}");
    }
    Err(format!("{why}\n{}{}", done.stdout, done.stderr))
}
