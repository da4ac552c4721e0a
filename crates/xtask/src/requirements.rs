//! `cargo xtask requirements`: the table of what is proved, from the tests themselves.
//!
//! A test says what it proves in its doc comment: `proves: S1-12 (lab), S0-34 (table)`. This verb collects these tags,
//! compares their level with the level that the requirement needs (`docs/reference/requirements.tsv`), and writes
//! `docs/reference/requirements.md`: proved, partly (only at a lower level), or open. Nothing is proved by hand. The tests
//! it names run in `cargo xtask test`, which writes the table only when they passed.
//!
//! What stands in the way of one that is not proved is written in `docs/reference/blockers.tsv`; a row there of one that is
//! proved by now is an error.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::tidy::tracked;

/// Levels of tests, cheap to dear.
const LEVELS: &[&str] = &["table", "sim", "lab", "nested", "client"];

/// Options of the verb.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only say whether the committed table is what the tests give.
    #[arg(long)]
    check: bool,
}

#[derive(Debug)]
struct Requirement {
    id: String,
    needs: usize,
    text: String,
}

#[derive(Debug)]
struct Tag {
    id: String,
    level: usize,
    test: String,
}

/// Writes the table, or checks it.
///
/// # Errors
/// If a tag names no requirement, or the committed table is stale.
pub(crate) fn run(arguments: &Arguments, root: &Path) -> anyhow::Result<()> {
    let path = root.join("docs/reference/requirements.md");
    let text = table(root)?;
    if arguments.check {
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        if committed != text {
            bail!("docs/reference/requirements.md is stale: run cargo xtask requirements");
        }
        return Ok(());
    }
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

/// Whether the committed table is what the tests give.
///
/// # Errors
/// If not.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    run(&Arguments { check: true }, root)
}

/// Reports tags that name unknown ids or levels.
///
/// # Errors
/// If a file can't be read.
pub(crate) fn check_tags(root: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let known = requirements(root)?;
    for tag in tags(root, findings)? {
        if known.iter().all(|r| r.id != tag.id) {
            findings.push(format!("{}: no requirement {}", tag.test, tag.id));
        }
    }
    Ok(())
}

fn requirements(root: &Path) -> anyhow::Result<Vec<Requirement>> {
    let path = root.join("docs/reference/requirements.tsv");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.lines()
        .filter(|l| !l.starts_with('#') && !l.starts_with("id\t"))
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [id, _, needs, text, _] = cells.as_slice() else {
                bail!("{}: a row has five cells: {line}", path.display());
            };
            let needs = LEVELS
                .iter()
                .position(|l| l == needs)
                .with_context(|| format!("{id}: no level {needs}"))?;
            Ok(Requirement { id: (*id).to_owned(), needs, text: (*text).to_owned() })
        })
        .collect()
}

/// What stands in the way, by id.
fn blockers(root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let path = root.join("docs/reference/blockers.tsv");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (id, why) = line
                .split_once('\t')
                .with_context(|| format!("{}: a row has two cells: {line}", path.display()))?;
            Ok((id.to_owned(), why.to_owned()))
        })
        .collect()
}

/// Tags in Rust doc comments and in comments of the client tests.
fn tags(root: &Path, findings: &mut Vec<String>) -> anyhow::Result<Vec<Tag>> {
    let mut tags = Vec::new();
    for path in tracked(root)? {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !matches!(extension, "rs" | "py" | "mjs" | "js") {
            continue;
        }
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = std::fs::read_to_string(&path).with_context(|| shown.clone())?;
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let comment = line.trim_start();
            let Some(list) = ["/// proves: ", "# proves: ", "// proves: "]
                .iter()
                .find_map(|mark| comment.strip_prefix(mark))
            else {
                continue;
            };
            if !list.starts_with('S') {
                continue;
            }
            let name = lines[number..]
                .iter()
                .find_map(|l| test_name(l))
                .unwrap_or_else(|| format!("line {}", number + 1));
            for part in list.trim_end_matches('.').split(',') {
                match parse_tag(part.trim()) {
                    Some((id, level)) => {
                        tags.push(Tag { id, level, test: format!("{shown}: {name}") });
                    }
                    None => findings.push(format!("{shown}:{}: not a tag: {part}", number + 1)),
                }
            }
        }
    }
    Ok(tags)
}

/// The function that a line begins.
fn test_name(line: &str) -> Option<String> {
    let line = line.trim_start();
    let rest = ["async fn ", "pub async fn ", "fn ", "pub fn ", "def ", "async function ", "test("]
        .iter()
        .find_map(|mark| line.strip_prefix(mark))?;
    let end = if line.starts_with("test(") { ',' } else { '(' };
    Some(rest.split(end).next()?.trim_matches(['\'', '"', ' ']).to_owned())
}

/// `S1-12 (lab)`.
fn parse_tag(part: &str) -> Option<(String, usize)> {
    let (id, level) = part.split_once(" (")?;
    let level = LEVELS.iter().position(|l| *l == level.trim_end_matches(')'))?;
    id.starts_with('S').then(|| (id.to_owned(), level))
}

fn table(root: &Path) -> anyhow::Result<String> {
    let mut findings = Vec::new();
    let mut by_id: BTreeMap<String, Vec<Tag>> = BTreeMap::new();
    for tag in tags(root, &mut findings)? {
        by_id.entry(tag.id.clone()).or_default().push(tag);
    }
    if let Some(finding) = findings.first() {
        bail!("{finding}");
    }
    let requirements = requirements(root)?;
    let mut blockers = blockers(root)?;
    let mut rows = String::new();
    let (mut proved, mut partly) = (0, 0);
    for requirement in &requirements {
        let mut tests = by_id.remove(&requirement.id).unwrap_or_default();
        tests.sort_by(|a, b| b.level.cmp(&a.level).then_with(|| a.test.cmp(&b.test)));
        let state = match tests.first().map(|t| t.level) {
            None => "open",
            Some(level) if level >= requirement.needs => {
                proved += 1;
                "proved"
            }
            Some(_) => {
                partly += 1;
                "partly"
            }
        };
        let mut named: Vec<String> =
            tests.iter().map(|t| format!("`{}` ({})", t.test, LEVELS[t.level])).collect();
        named.dedup();
        if let Some(why) = blockers.remove(&requirement.id) {
            if state == "proved" {
                bail!("docs/reference/blockers.tsv names {}, which is proved", requirement.id);
            }
            named.push(format!("**blocked:** {}", why.replace('|', "\\|")));
        }
        let text = requirement.text.replace('|', "\\|");
        let short = text.split(". ").next().unwrap_or_default();
        writeln!(
            rows,
            "| {} | {} | {} | {short} | {} |",
            requirement.id,
            state,
            LEVELS[requirement.needs],
            named.join("<br>")
        )?;
    }
    if let Some(unknown) = by_id.keys().next() {
        bail!("a test claims to prove {unknown}, which is no requirement");
    }
    if let Some(unknown) = blockers.keys().next() {
        bail!("docs/reference/blockers.tsv names {unknown}, which is no requirement");
    }
    let open = requirements.len() - proved - partly;
    Ok(format!(
        "# Requirements\n\nWritten by `cargo xtask requirements` from the tests' own tags; not edited by hand. \
         `partly` means that only tests of a lower level than needed touch it.\n\n\
         {} requirements: {proved} proved, {partly} partly, {open} open.\n\n\
         | id | state | needs | requirement | tests |\n|---|---|---|---|---|\n{rows}",
        requirements.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_an_id_and_a_level() {
        assert_eq!(parse_tag("S1-12 (lab)"), Some(("S1-12".to_owned(), 2)));
        assert_eq!(parse_tag("S1-12"), None);
        assert_eq!(parse_tag("S1-12 (heaven)"), None);
    }

    #[test]
    fn a_test_is_named_by_its_function() {
        assert_eq!(test_name("    async fn it_works() {"), Some("it_works".to_owned()));
        assert_eq!(test_name("def logs_in(host):"), Some("logs_in".to_owned()));
        assert_eq!(test_name("let x = 1;"), None);
    }
}
