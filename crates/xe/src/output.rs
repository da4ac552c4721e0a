//! Where results go: text as XenServer's printer lays it out, `--minimal` comma lists, or JSON.
//!
//! Data goes to standard output, everything else to standard error. Not here: what is printed (`record`, `commands`).
//!
//! A record in text: the first label padded on the right, the others on the left, to the longest label plus four; then
//! `: ` and the value; two empty lines after each record. In minimal form only the first field of each record counts,
//! a comma in a value is `\,`, and what was printed last comes first, because that is how XenServer's buffer works.

use std::io::{self, Write};

use crate::api::Value;
use crate::command_line::OutputForm;

/// One field of a printed record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    /// `name-label ( RW)`.
    pub label: String,
    /// `name-label`; the key in JSON.
    pub name: String,
    /// The value as text.
    pub text: String,
    /// The value as JSON.
    pub json: Value,
}

impl Cell {
    /// A cell without access mark, whose JSON value is its text.
    pub(crate) fn plain(name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        Self { label: name.clone(), json: Value::String(text.clone()), name, text }
    }
}

/// The two streams, and the terminal's answers.
pub trait Terminal {
    /// Writes data.
    fn stdout(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Writes what is not data.
    fn stderr(&mut self, text: &str);
    /// Reads one line a person typed; empty at the end of input.
    fn read_line(&mut self) -> String;
    /// Reads one line without showing it; `None` without a terminal.
    fn read_secret(&mut self, prompt: &str) -> Option<String>;
    /// True if a person watches standard error: only then is there a progress line.
    fn is_watched(&self) -> bool;
}

/// Prints results in the chosen form.
pub(crate) struct Out<'a> {
    form: OutputForm,
    terminal: &'a mut dyn Terminal,
    minimal: Vec<String>,
    json: Vec<Value>,
    /// A broken pipe ends output silently, as it does in any filter.
    closed: bool,
}

impl std::fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out").field("form", &self.form).finish_non_exhaustive()
    }
}

impl<'a> Out<'a> {
    /// Prints in `form` to `terminal`.
    pub(crate) fn new(form: OutputForm, terminal: &'a mut dyn Terminal) -> Self {
        Self { form, terminal, minimal: Vec::new(), json: Vec::new(), closed: false }
    }

    /// The chosen form.
    pub(crate) fn form(&self) -> OutputForm {
        self.form
    }

    /// The terminal, for questions and progress.
    pub(crate) fn terminal(&mut self) -> &mut dyn Terminal {
        self.terminal
    }

    fn write(&mut self, text: &str) {
        if !self.closed && self.terminal.stdout(text.as_bytes()).is_err() {
            self.closed = true;
        }
    }

    /// A line that is printed in every form (XenServer's raw print).
    pub(crate) fn raw(&mut self, line: &str) {
        match self.form {
            OutputForm::Json => self.json.push(Value::String(line.to_owned())),
            OutputForm::Text | OutputForm::Minimal => self.write(&format!("{line}\n")),
        }
    }

    /// A line for people: absent from minimal and JSON output.
    pub(crate) fn message(&mut self, line: &str) {
        if self.form == OutputForm::Text {
            self.write(&format!("{line}\n"));
        }
    }

    /// Values, one a line.
    pub(crate) fn list(&mut self, values: Vec<String>) {
        match self.form {
            OutputForm::Text => {
                for value in values {
                    self.write(&format!("{value}\n"));
                }
            }
            OutputForm::Minimal => self.minimal.push(join_minimal(values.iter())),
            OutputForm::Json => {
                self.json.push(Value::Array(values.into_iter().map(Value::String).collect()));
            }
        }
    }

    /// One value with its JSON form.
    pub(crate) fn value(&mut self, text: String, json: Value) {
        match self.form {
            OutputForm::Json => self.json.push(json),
            OutputForm::Text | OutputForm::Minimal => self.list(vec![text]),
        }
    }

    /// Records: a list in JSON.
    pub(crate) fn table(&mut self, rows: Vec<Vec<Cell>>) {
        match self.form {
            OutputForm::Text => {
                let mut text = String::new();
                for row in &rows {
                    lay_out(row, &mut text);
                }
                self.write(&text);
            }
            OutputForm::Minimal => {
                if rows.first().is_some_and(|r| !r.is_empty()) {
                    let firsts = rows.iter().filter_map(|r| r.first()).map(|c| &c.text);
                    self.minimal.push(join_minimal(firsts));
                }
            }
            OutputForm::Json => {
                self.json.push(Value::Array(rows.into_iter().map(object).collect()));
            }
        }
    }

    /// One record: an object in JSON.
    pub(crate) fn record(&mut self, row: Vec<Cell>) {
        if self.form == OutputForm::Json {
            self.json.push(object(row));
        } else {
            self.table(vec![row]);
        }
    }

    /// Text for people on standard error, with its own line ends.
    pub(crate) fn stderr(&mut self, text: &str) {
        self.terminal.stderr(text);
    }

    /// Asks for `yes`; anything else is an abort and is said.
    pub(crate) fn user_says_yes(&mut self) -> bool {
        self.write("Type 'yes' to continue\n");
        let answer = self.terminal.read_line();
        let answer = answer.trim_end_matches(['\n', '\r']);
        let yes = answer.trim().eq_ignore_ascii_case("yes");
        if !yes {
            self.write(&format!("Aborted (you typed: '{answer}')\n"));
        }
        yes
    }

    /// Asks a person who watches whether to go on, yes if nothing is typed. Nobody watches: yes.
    pub(crate) fn user_agrees(&mut self, question: &str) -> bool {
        if !self.terminal.is_watched() {
            return true;
        }
        self.stderr(&format!("{question} [Y/n] "));
        let answer = self.terminal.read_line();
        let answer = answer.trim().to_ascii_lowercase();
        let agrees = matches!(answer.as_str(), "" | "y" | "yes");
        if !agrees {
            self.stderr("Nothing was done.\n");
        }
        agrees
    }

    /// Ends a successful command: minimal and JSON output are printed now.
    pub(crate) fn finish(&mut self) {
        match self.form {
            OutputForm::Text => {}
            OutputForm::Minimal => {
                self.minimal.reverse();
                let line = self.minimal.join(",");
                self.write(&format!("{line}\n"));
            }
            OutputForm::Json => {
                let mut values = std::mem::take(&mut self.json);
                let value = match values.len() {
                    0 => return,
                    1 => values.remove(0),
                    _ => Value::Array(values),
                };
                let text = serde_json::to_string_pretty(&value)
                    .expect("a JSON value with text keys always serialises");
                self.write(&format!("{text}\n"));
            }
        }
    }
}

fn object(row: Vec<Cell>) -> Value {
    Value::Object(row.into_iter().map(|c| (c.name, c.json)).collect())
}

fn join_minimal<'v>(values: impl Iterator<Item = &'v String>) -> String {
    let escaped: Vec<String> =
        values.map(|v| v.replace('\\', "\\\\").replace(',', "\\,")).collect();
    escaped.join(",")
}

/// Appends one record as text.
fn lay_out(row: &[Cell], text: &mut String) {
    let width = 4 + row.iter().map(|c| c.label.len()).max().unwrap_or(0);
    for (i, cell) in row.iter().enumerate() {
        let pad = " ".repeat(width - cell.label.len());
        if i == 0 {
            text.push_str(&cell.label);
            text.push_str(&pad);
        } else {
            text.push_str(&pad);
            text.push_str(&cell.label);
        }
        text.push_str(": ");
        text.push_str(&cell.text);
        text.push('\n');
    }
    // XenServer prints an empty record as its line ends only.
    text.push_str(if row.is_empty() { "\n\n\n" } else { "\n\n" });
}

/// A terminal that remembers, for tests and for completion.
#[derive(Debug, Default)]
pub struct Captured {
    /// What went to standard output.
    pub out: Vec<u8>,
    /// What went to standard error.
    pub err: String,
    /// Lines that will be read, last first.
    pub input: Vec<String>,
}

impl Terminal for Captured {
    fn stdout(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }
    fn stderr(&mut self, text: &str) {
        self.err.push_str(text);
    }
    fn read_line(&mut self) -> String {
        self.input.pop().unwrap_or_default()
    }
    fn read_secret(&mut self, _prompt: &str) -> Option<String> {
        self.input.pop()
    }
    fn is_watched(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(pairs: &[(&str, &str)]) -> Vec<Cell> {
        pairs.iter().map(|(k, v)| Cell::plain(*k, *v)).collect()
    }

    fn printed(form: OutputForm, act: impl FnOnce(&mut Out<'_>)) -> String {
        let mut terminal = Captured::default();
        let mut out = Out::new(form, &mut terminal);
        act(&mut out);
        out.finish();
        String::from_utf8(terminal.out).expect("output is UTF-8")
    }

    /// proves: S0-34 (table)
    #[test]
    fn a_record_is_laid_out_as_xenserver_does() {
        let got = printed(OutputForm::Text, |out| {
            out.table(vec![cells(&[
                ("uuid ( RO)", "d8d61c2e-219e-4a2e-b53b-288be5b9ec6c"),
                ("name-label ( RW)", "xenserver-piqyctev"),
                ("name-description ( RW)", "Default install of XenServer"),
            ])]);
        });
        assert_eq!(
            got,
            "uuid ( RO)                : d8d61c2e-219e-4a2e-b53b-288be5b9ec6c\n          \
             name-label ( RW): xenserver-piqyctev\n    \
             name-description ( RW): Default install of XenServer\n\n\n"
        );
    }

    #[test]
    fn minimal_prints_the_first_field_of_each_record_with_commas_escaped() {
        let got = printed(OutputForm::Minimal, |out| {
            out.table(vec![
                cells(&[("a", "x,y"), ("b", "1")]),
                cells(&[("a", "p\\q"), ("b", "2")]),
            ]);
        });
        assert_eq!(got, "x\\,y,p\\\\q\n");
    }

    #[test]
    fn minimal_prints_an_empty_line_when_there_is_nothing() {
        assert_eq!(printed(OutputForm::Minimal, |out| out.table(vec![])), "\n");
    }

    #[test]
    fn a_person_who_does_not_say_yes_is_told_what_was_typed() {
        let mut terminal = Captured { input: vec!["nope\n".into()], ..Captured::default() };
        let mut out = Out::new(OutputForm::Text, &mut terminal);
        assert!(!out.user_says_yes());
        let text = String::from_utf8(terminal.out).expect("UTF-8");
        assert_eq!(text, "Type 'yes' to continue\nAborted (you typed: 'nope')\n");
    }
}
