//! Documents whose commands the tests run: what a Markdown file tells its reader to type, read from its text alone.
//!
//! A block of the kind `sh` holds commands, one a line (a `\` at the end goes on). Words after the kind say where and how:
//!
//! ```text
//!   sh                on the machine, in the source tree        sh on=h2     as root inside host h2 of the lab
//!   sh exit=4         every line ends with status 4             sh within=30s  repeated until it holds, so long at most
//! ```
//! A block of the kind `text` right after one of commands is what they print; `…` in it stands for anything on its line.
//! A comment `<!-- lab: fail h1 power -->` is what has happened to the reader's pool by then: the lab is told so.
//!
//! Not here: running anything ([`run`](crate::documents::run)). A document that can't be read as above is refused with
//! every finding: a block nobody can copy is a mistake of the document, not of its reader (S1-39).

pub mod run;

use std::time::Duration;

/// Kinds of blocks that a document may have, and whether their lines are commands.
const KINDS: &[(&str, bool)] =
    &[("sh", true), ("text", false), ("toml", false), ("json", false), ("rust", false)];
/// What is left over when a page is copied through something that understands it differently.
const REMAINS: &[(&str, &str)] = &[
    ("`", "a backtick (for a command's output write $(…))"),
    ("**", "bold markup"),
    ("](", "a link"),
    ("&lt;", "an escaped <"),
    ("&gt;", "an escaped >"),
    ("&amp;", "an escaped &"),
    ("&quot;", "an escaped quote"),
    ("&nbsp;", "an escaped space"),
    ("\u{a0}", "a no-break space"),
    ("\u{200b}", "a space of no width"),
    ("\u{201c}", "a typographic quote"),
    ("\u{201d}", "a typographic quote"),
    ("\u{2018}", "a typographic quote"),
    ("\u{2019}", "a typographic quote"),
    ("\u{2013}", "a typographic dash"),
    ("\u{2014}", "a typographic dash"),
    ("\t", "a tab"),
];
/// Prompts, which are no part of a command.
const PROMPTS: &[&str] = &["$ ", "> ", "% "];

/// A document.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    /// Where it is, from the root of the source tree.
    pub path: String,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One thing that happens while the document is followed.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The lab is told this.
    Lab {
        /// Line of the comment.
        line: usize,
        /// Words after `holdfast-lab`.
        words: Vec<String>,
    },
    /// The reader types this.
    Block(Block),
}

/// A block of commands.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The host they are typed on; on the machine if absent.
    pub on: Option<String>,
    /// How each of them ends.
    pub exit: i32,
    /// How long they may take to come true; tried once if absent.
    pub within: Option<Duration>,
    /// The commands with their lines.
    pub commands: Vec<(usize, String)>,
    /// What they print on standard output, if the document says.
    pub prints: Option<String>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// Every finding, as `PATH:LINE: what is wrong`.
    pub fn parse(path: &str, text: &str) -> Result<Self, Vec<String>> {
        let mut reader = Reader { path, steps: Vec::new(), findings: Vec::new(), after: false };
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        while let Some((number, line)) = lines.next() {
            if let Some(info) = line.trim_start().strip_prefix("```") {
                let body: Vec<_> =
                    lines.by_ref().take_while(|(_, l)| l.trim_start() != "```").collect();
                let closed = text.lines().nth(number + body.len()).is_some();
                reader.block(number, info, &body, closed);
            } else if let Some(comment) = line.strip_prefix("<!-- lab: ") {
                reader.lab(number, comment);
            } else if !line.trim().is_empty() {
                reader.after = false;
            }
        }
        if reader.findings.is_empty() {
            Ok(Self { path: path.to_owned(), steps: reader.steps })
        } else {
            Err(reader.findings)
        }
    }

    /// The blocks of commands.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.steps.iter().filter_map(|step| match step {
            Step::Block(block) => Some(block),
            Step::Lab { .. } => None,
        })
    }
}

struct Reader<'a> {
    path: &'a str,
    steps: Vec<Step>,
    findings: Vec<String>,
    /// The last thing read is a block of commands.
    after: bool,
}

impl Reader<'_> {
    fn finding(&mut self, line: usize, what: &str) {
        self.findings.push(format!("{}:{line}: {what}", self.path));
    }

    fn lab(&mut self, line: usize, comment: &str) {
        self.after = false;
        match comment.strip_suffix(" -->") {
            Some(words) if !words.contains("-->") => {
                let words = words.split_whitespace().map(str::to_owned).collect();
                self.steps.push(Step::Lab { line, words });
            }
            _ => self.finding(line, "a comment to the lab is one line and ends with ` -->`"),
        }
    }

    fn block(&mut self, line: usize, info: &str, body: &[(usize, &str)], closed: bool) {
        let after = std::mem::take(&mut self.after);
        if !closed {
            self.finding(line, "the block has no end");
        }
        let mut words = info.split_whitespace();
        let kind = words.next().unwrap_or_default();
        match KINDS.iter().find(|(known, _)| *known == kind) {
            None => self.finding(line, &format!("no kind of block that is known here: {kind:?}")),
            Some((_, true)) => self.commands(line, words, body),
            Some((_, false)) if words.next().is_some() => {
                self.finding(line, "only blocks of commands have words after their kind");
            }
            Some((_, false)) if kind == "text" && after => {
                let text: String = body.iter().map(|(_, l)| format!("{l}\n")).collect();
                if let Some(Step::Block(block)) = self.steps.last_mut() {
                    block.prints = Some(text);
                }
            }
            Some((_, false)) => {}
        }
    }

    fn commands<'a>(
        &mut self,
        line: usize,
        words: impl Iterator<Item = &'a str>,
        body: &[(usize, &str)],
    ) {
        let mut block =
            Block { on: None, exit: 0, within: None, commands: Vec::new(), prints: None };
        for word in words {
            let seconds = |v: &str| v.strip_suffix('s').and_then(|n| n.parse().ok());
            match word.split_once('=') {
                Some(("on", host)) => block.on = Some(host.to_owned()),
                Some(("exit", code)) if code.parse::<u8>().is_ok() => {
                    block.exit = code.parse().unwrap_or_default();
                }
                Some(("within", limit)) if seconds(limit).is_some() => {
                    block.within = seconds(limit).map(Duration::from_secs);
                }
                _ => self.finding(line, &format!("a word that means nothing here: {word:?}")),
            }
        }
        let mut begun: Option<(usize, String)> = None;
        for (number, text) in body {
            for remains in remains(text) {
                self.finding(*number, &remains);
            }
            let (from, before) = begun.take().unwrap_or((*number, String::new()));
            match text.strip_suffix('\\') {
                Some(part) => begun = Some((from, before + part)),
                None if (before.clone() + text).trim().is_empty() => {}
                None => block.commands.push((from, before + text)),
            }
        }
        if begun.is_some() {
            self.finding(line, "the last command goes on after the block's end");
        }
        if block.commands.is_empty() {
            self.finding(line, "a block of commands without any");
        }
        self.steps.push(Step::Block(block));
        self.after = true;
    }
}

/// What a line of commands must not hold.
fn remains(line: &str) -> Vec<String> {
    let mut found: Vec<String> = REMAINS
        .iter()
        .filter(|(mark, _)| line.contains(mark))
        .map(|(_, what)| format!("{what} remains in a command: {line}"))
        .collect();
    if PROMPTS.iter().any(|prompt| line.trim_start().starts_with(prompt)) {
        found.push(format!("a prompt remains before a command: {line}"));
    }
    if let Some(tag) = tag(line) {
        found.push(format!("{tag} remains in a command: {line}"));
    }
    found
}

/// Markup or a placeholder in angle brackets.
fn tag(line: &str) -> Option<&str> {
    line.match_indices('<').find_map(|(at, _)| {
        let rest = &line[at..];
        let inner = &rest[1..rest.find('>')?];
        let first = inner.trim_start_matches('/').chars().next()?;
        (first.is_ascii_alphabetic() || inner.starts_with('!')).then(|| &rest[..inner.len() + 2])
    })
}

/// Whether `printed` is what `expected` says, `…` standing for anything on its line.
pub(crate) fn fits(expected: &str, printed: &str) -> bool {
    let lines = |text: &str| text.trim_end().lines().map(|l| l.trim_end().to_owned()).collect();
    let (expected, printed): (Vec<String>, Vec<String>) = (lines(expected), lines(printed));
    expected.len() == printed.len()
        && expected.iter().zip(&printed).all(|(pattern, line)| line_fits(pattern, line))
}

fn line_fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_in_order_with_places_statuses_and_output() {
        let text = "# x\n<!-- lab: fail h1 power -->\n```sh on=h2 exit=4 within=30s\nxe vm-start \\\n  uuid=1\n\nxe b # c\n```\n\n\
                    ```text\nuuid: …\n```\nprose\n```text\nnot output\n```\n```sh\nls\n```\n";
        let document = Document::parse("a.md", text).expect("a good document");
        let first = Block {
            on: Some("h2".into()),
            exit: 4,
            within: Some(Duration::from_secs(30)),
            commands: vec![(4, "xe vm-start   uuid=1".into()), (7, "xe b # c".into())],
            prints: Some("uuid: …\n".into()),
        };
        let second = Block {
            on: None,
            exit: 0,
            within: None,
            commands: vec![(18, "ls".into())],
            prints: None,
        };
        let fail = ["fail", "h1", "power"].map(str::to_owned).to_vec();
        let steps =
            vec![Step::Lab { line: 2, words: fail }, Step::Block(first), Step::Block(second)];
        assert_eq!(document.steps, steps);
    }

    #[test]
    fn every_way_in_which_a_block_does_not_copy_clean_is_found() {
        for (line, finding) in [
            ("xe vm-start uuid=<uuid>", "<uuid>"),
            ("<span class=\"x\">xe</span> vm-list", "<span class=\"x\">"),
            ("xe vm-list <!-- here -->", "<!-- here -->"),
            ("xe vm-list &amp;&amp; ls", "an escaped &"),
            ("xe vm-list name-label=\u{201c}a\u{201d}", "a typographic quote"),
            ("xe vm-start \u{2013}force", "a typographic dash"),
            ("xe vm-start\u{a0}uuid=1", "a no-break space"),
            ("**xe vm-list**", "bold markup"),
            ("$ xe vm-list", "a prompt"),
            ("xe vm-list `hostname`", "a backtick"),
            ("see [this](x)", "a link"),
        ] {
            let found = Document::parse("a.md", &format!("```sh\n{line}\n```\n"));
            let found = found.expect_err(line);
            assert!(
                found.iter().any(|f| f.starts_with("a.md:2: ") && f.contains(finding)),
                "{found:?}"
            );
        }
        let good = "```sh\nxe event-wait class=vm < /dev/null > out 2>&1; test 1 -lt 2\n```\n";
        assert!(Document::parse("a.md", good).is_ok());
    }

    #[test]
    fn a_block_nobody_can_follow_is_refused() {
        for (text, finding) in [
            ("```sh\nls\n", "a.md:1: the block has no end"),
            ("```\nls\n```\n", "a.md:1: no kind of block that is known here: \"\""),
            ("```sh\n```\n", "a.md:1: a block of commands without any"),
            ("```sh exit=x\nls\n```\n", "a.md:1: a word that means nothing here: \"exit=x\""),
            ("```sh\nls \\\n```\n", "a.md:1: the last command goes on after the block's end"),
            (
                "<!-- lab: up\n-->\n",
                "a.md:1: a comment to the lab is one line and ends with ` -->`",
            ),
        ] {
            let found = Document::parse("a.md", text).expect_err(text);
            assert!(found.iter().any(|f| f == finding), "{found:?}");
        }
    }

    #[test]
    fn an_ellipsis_stands_for_anything_on_its_line() {
        assert!(fits("uuid ( RO)    : …\n  name: h1\n", "uuid ( RO)    : 12-34\n  name: h1"));
        assert!(fits("a … c … e", "a b c d e"));
        assert!(fits("", "\n"));
        assert!(!fits("a … c", "a b"));
        assert!(!fits("a", "a b"));
        assert!(!fits("a …", "a b\nc"));
    }
}
