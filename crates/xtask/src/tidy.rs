//! `cargo xtask tidy`: what no compiler checks. Arrows between crates, licences, file headers, forbidden names, tags, files that
//! documents name.
//!
//! The table of arrows is read from `docs/architecture.md`, so the document can't drift from the rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::{requirements, tools};

/// Licences that third-party code may have (docs/adr: licences). LGPL-2.1 is libvirt's binding, linked dynamically.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "LGPL-2.1",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Names that say nothing (house style: no drawer for strangers).
const FORBIDDEN_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "misc", "prelude", "traits", "types", "util", "utils",
];

/// A file longer than this holds more than one idea.
const MAX_LINES: usize = 1000;

/// Checks everything and prints every finding.
///
/// # Errors
/// If there is one.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let mut findings = Vec::new();
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(root).exec()?;
    arrows(root, &metadata, &mut findings)?;
    licences(&metadata, &mut findings);
    files(root, &mut findings)?;
    documents(root, &mut findings)?;
    requirements::check_tags(root, &mut findings)?;
    for finding in &findings {
        eprintln_line(finding);
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "findings are this verb's message to people")]
fn eprintln_line(text: &str) {
    eprintln!("tidy: {text}");
}

/// Arrows between our crates, against the table of `docs/architecture.md`.
fn arrows(
    root: &Path,
    metadata: &cargo_metadata::Metadata,
    findings: &mut Vec<String>,
) -> anyhow::Result<()> {
    let path = root.join("docs/architecture.md");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let allowed = allowed_arrows(&text);
    let short = |name: &str| name.strip_prefix("holdfast-").map(str::to_owned);
    for package in metadata.workspace_packages() {
        let Some(from) = short(package.name.as_str()) else { continue };
        let Some(may) = allowed.get(&from) else {
            findings.push(format!("crate {from} has no row in the table of arrows"));
            continue;
        };
        for dependency in &package.dependencies {
            // Tests may use more: a suite of another crate, a fake.
            if dependency.kind != cargo_metadata::DependencyKind::Normal {
                continue;
            }
            let Some(to) = short(&dependency.name) else { continue };
            if !may.contains(&to) {
                findings.push(format!("crate {from} uses {to}, which its row does not list"));
            }
        }
    }
    Ok(())
}

/// Rows of the form `| a, b | c, d |` under the heading "Arrows".
fn allowed_arrows(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let section = text.split("## Arrows").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let words = |cell: &str| -> Vec<String> {
        cell.split(',')
            .map(|w| w.split('(').next().unwrap_or_default().trim().trim_matches('`').to_owned())
            .filter(|w| !w.is_empty() && w != "–")
            .collect()
    };
    let mut table = BTreeMap::new();
    for line in section.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').collect();
        let [crates, may] = cells.as_slice() else { continue };
        for name in words(crates) {
            table.insert(name, words(may).into_iter().collect());
        }
    }
    table
}

fn licences(metadata: &cargo_metadata::Metadata, findings: &mut Vec<String>) {
    for package in &metadata.packages {
        let Some(expression) = &package.license else {
            if package.license_file.is_none() {
                findings.push(format!("{} has no licence", package.name));
            }
            continue;
        };
        // Every alternative of an OR is looked at; one whose ANDed parts are all allowed is enough.
        let fine = expression.replace('/', " OR ").split(" OR ").any(|alternative| {
            alternative
                .split(" AND ")
                .all(|l| LICENCES.contains(&l.trim().trim_matches(['(', ')'])))
        });
        if !fine {
            findings.push(format!("{} has licence {expression}", package.name));
        }
    }
}

fn files(root: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    for path in tracked(root)? {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        if path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        if FORBIDDEN_NAMES.contains(&stem) {
            findings.push(format!("{shown}: a module named {stem} collects strangers"));
        }
        let text = std::fs::read_to_string(&path).with_context(|| shown.clone())?;
        if !text.starts_with("//!") && !text.starts_with("#![") {
            findings.push(format!("{shown}: no header that explains the file"));
        }
        if text.lines().count() > MAX_LINES && !shown.contains("/generated/") && !is_data(&shown) {
            findings.push(format!("{shown}: more than {MAX_LINES} lines"));
        }
    }
    Ok(())
}

/// Files that a document names in backticks or as the target of a link, against what is there.
fn documents(root: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    for path in tracked(root)? {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        // What is generated names what it was generated from; a change's story may name what is gone.
        if !shown.ends_with(".md")
            || shown.starts_with("docs/reference/")
            || shown == "CHANGELOG.md"
        {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| shown.clone())?;
        let beside = path.parent().unwrap_or(root);
        let links = linked(&text).map(|target| beside.join(target));
        for file in named(&text).map(|name| root.join(name)).chain(links) {
            if !file.exists() {
                findings.push(format!("{shown}: names {}, which is not there", file.display()));
            }
        }
    }
    Ok(())
}

/// Paths of the source tree in backticks.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|name| {
        (name.starts_with("crates/") || name.starts_with("docs/"))
            && !name.contains(|c: char| c.is_whitespace() || "*…<{".contains(c))
    })
}

/// Targets of links to other files, without the place inside them.
fn linked(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("](").filter_map(|(at, _)| {
        let rest = &text[at + 2..];
        let target = rest.split([')', '#', ' ']).next()?;
        (!target.is_empty() && !target.contains(':')).then_some(target)
    })
}

/// The datamodel's tables are data: long is what they are.
fn is_data(path: &str) -> bool {
    path.starts_with("crates/datamodel/src/")
}

/// Files that git knows.
///
/// # Errors
/// If git can't be asked.
pub(crate) fn tracked(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed =
        tools::output(root, "git", ["ls-files", "--cached", "--others", "--exclude-standard"])?;
    Ok(listed.lines().map(|l| root.join(l)).filter(|p| p.exists()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_in_backticks_and_by_links() {
        let text = "see `crates/a/src/b.rs`, `cargo xtask ci`, `crates/*/x` and [c](../c.md#d), [e](#f), [g](https://h)";
        assert_eq!(named(text).collect::<Vec<_>>(), ["crates/a/src/b.rs"]);
        assert_eq!(linked(text).collect::<Vec<_>>(), ["../c.md"]);
    }

    #[test]
    fn arrows_are_read_from_the_table_of_the_document() {
        let text = "# x\n## Arrows\n| crate | may use |\n|---|---|\n| `a`, b | – |\n| c | a, b (specs) |\n## Next\n| d | a |\n";
        let table = allowed_arrows(text);
        assert!(table["a"].is_empty() && table["b"].is_empty());
        assert_eq!(table["c"], ["a".to_owned(), "b".to_owned()].into());
        assert!(!table.contains_key("d"));
    }
}
