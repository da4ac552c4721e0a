//! What the documents tell their readers to type, typed: every block, in order, exactly as printed.

use std::collections::BTreeSet;
use std::time::Duration;

use lab::process::{command, must, run};
use tests::documents::Document;
use tests::documents::run::Reader;
use tests::{PoolLab, workspace};

/// Documents that a test below follows.
const FOLLOWED: &[&str] =
    &["README.md", "docs/guides/lab.md", "docs/guides/recovery.md", "docs/guides/salvage.md"];

/// Longest parse of a block, on a busy machine.
const PARSE: Duration = Duration::from_secs(10);

/// Every Markdown file of the source tree with its text.
fn documents() -> Vec<(String, String)> {
    let mut git = command("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "*.md"]);
    git.current_dir(workspace());
    let listed = must(git, None, PARSE);
    let listed = listed.unwrap_or_else(|e| panic!("{e:#}"));
    let text =
        |path: &str| std::fs::read_to_string(workspace().join(path)).expect("a file git lists");
    listed.lines().map(|path| (path.to_owned(), text(path))).collect()
}

fn document(path: &str) -> Document {
    let text = std::fs::read_to_string(workspace().join(path)).expect("a committed document");
    Document::parse(path, &text).unwrap_or_else(|findings| panic!("{}", findings.join("\n")))
}

/// proves: S1-39 (table)
#[test]
fn every_block_of_every_document_copies_clean_and_parses() {
    let mut blocks = 0;
    let mut findings = Vec::new();
    for (path, text) in documents() {
        let document = match Document::parse(&path, &text) {
            Ok(document) => document,
            Err(found) => {
                findings.extend(found);
                continue;
            }
        };
        for block in document.blocks() {
            blocks += 1;
            for (line, text) in &block.commands {
                let mut shell = command("sh");
                shell.args(["-n", "-c", text]);
                let parsed = run(shell, None, PARSE).expect("a shell");
                if !parsed.status.success() {
                    findings.push(format!("{path}:{line}: {}", parsed.stderr.trim()));
                }
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert!(blocks > 10, "only {blocks} blocks were found");
}

#[test]
fn every_document_with_commands_is_followed_by_a_test() {
    let with_commands: BTreeSet<String> = documents()
        .into_iter()
        .filter(|(path, text)| Document::parse(path, text).is_ok_and(|d| d.blocks().count() > 0))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(with_commands, FOLLOWED.iter().map(|path| (*path).to_owned()).collect());
}

/// proves: S0-18 (lab)
#[test]
fn the_recovery_guide_works_as_printed() {
    Reader::new(&PoolLab::to_be()).follow(&document("docs/guides/recovery.md"));
}

/// proves: S0-18 (lab)
#[test]
fn the_guide_to_the_lab_works_as_printed() {
    let lab = PoolLab::to_be();
    Reader::new(&lab).follow(&document("docs/guides/lab.md"));
    let layout = lab::layout::Layout::new(lab.name()).expect("a lab's name");
    assert!(
        !layout.run().exists() && !layout.big().exists(),
        "the guide's last command leaves nothing"
    );
}

/// The README has two commands. The demo runs here as printed, shows what the README shows, and its last words are typed as
/// printed, too. The other command runs everything, this test among it: here it is only compared with what the gate runs.
#[test]
fn the_readmes_commands_are_the_demo_and_the_whole_check() {
    let readme = document("README.md");
    let typed: Vec<&str> =
        readme.blocks().flat_map(|b| &b.commands).map(|(_, text)| text.as_str()).collect();
    assert_eq!(typed, ["cargo xtask demo", "cargo xtask test"]);
    let gate = std::fs::read_to_string(workspace().join(".ci/run")).expect("the gate's script");
    assert!(gate.ends_with(&format!("\nexec {} --yes\n", typed[1])), "{gate}");

    let lab = PoolLab::to_be();
    let reader = Reader::new(&lab);
    let demo = reader.type_in(None, typed[0]);
    assert!(demo.status.success(), "{}\n{}", demo.stdout, demo.stderr);
    let shown = shapes(&format!("{}\n{}", demo.stderr, demo.stdout));
    let text = std::fs::read_to_string(workspace().join("README.md")).expect("it was read before");
    let (_, after) = text.split_once("```text\n").expect("the README shows the demo's output");
    let (sample, _) = after.split_once("```").expect("the block ends");
    for line in shapes(sample) {
        assert!(shown.contains(&line), "the README shows {line:?}, the demo printed {shown:#?}");
    }

    let (_, words) = demo.stderr.split_once("The pool is yours:\n").expect("the demo's last words");
    let next: Vec<&str> = words.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert!(next.len() >= 5, "{words}");
    for line in next {
        let done = reader.type_in(None, line);
        assert!(done.status.success(), "{line}: {}{}", done.stdout, done.stderr);
    }
    assert!(lab.try_run(&["status"]).is_err(), "the demo's last word takes the pool down");
}

/// Lines without what differs from run to run: numbers, and which host it was.
fn shapes(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(|line| {
            let line = line.replace(|c: char| c.is_ascii_digit(), "0");
            let words: Vec<&str> = line.split_whitespace().collect();
            let mut shape = words.join(" ");
            while shape.contains("00") {
                shape = shape.replace("00", "0");
            }
            shape
        })
        .filter(|shape| !shape.is_empty())
        .collect()
}
