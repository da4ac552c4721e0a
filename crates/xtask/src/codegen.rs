//! `cargo xtask codegen`: writes what follows from the datamodel, or with `--check` fails if it is not what is committed.
//!
//! It reads the crate `datamodel` only, never the generated code, so that a broken build can always regenerate. Output is
//! deterministic: the order is that of the datamodel, and rustfmt has the last word.
//!
//! | written | from |
//! |---|---|
//! | `crates/xenapi/src/generated/enums.rs` | enums: variants, words, conversions |
//! | `.../tag.rs`, `.../fields.rs`, `.../refs.rs` | class tags, field indices, which fields refer to what |
//! | `.../classes/CLASS.rs` | a typed reader and writer per class |
//! | `.../calls/CLASS.rs` | a parameter struct per explicit message |
//! | `.../errors.rs` | a constructor per error code, with the declared parameters |
//! | `docs/reference/datamodel.md` | classes, fields and messages for people |
//! | `docs/reference/xenapi-coverage.md` | what is done, refused by design and open, and how much of it clients use |

mod calls;
mod classes;
mod coverage;
mod enums;
mod errors;
mod names;
mod reference;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

/// Where the typed view of the XenAPI goes.
const GENERATED: &str = "crates/xenapi/src/generated";

/// Where the reference for people goes.
const REFERENCE: &str = "docs/reference/datamodel.md";

/// Where the conformance report goes.
const COVERAGE: &str = "docs/reference/xenapi-coverage.md";

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Writes nothing; fails and names the files that differ.
    #[arg(long)]
    check: bool,
}

/// Files by path below the root.
type Files = BTreeMap<PathBuf, String>;

/// Whether what is committed is what the datamodel gives.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    run(&Arguments { check: true }, root)
}

/// Entry of the verb.
pub(crate) fn run(arguments: &Arguments, root: &Path) -> anyhow::Result<()> {
    let files = generate(root)?;
    let stale = stale(&files, root)?;
    if arguments.check {
        ensure!(
            stale.is_empty(),
            "generated files are not fresh; run `cargo xtask codegen`:\n  {}",
            stale.join("\n  ")
        );
        return Ok(());
    }
    let directory = root.join(GENERATED);
    for path in listed(&directory)? {
        if !files.contains_key(path.strip_prefix(root).expect("listed below the root")) {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    for (path, text) in &files {
        let path = root.join(path);
        let parent = path.parent().expect("every generated file lies in a directory");
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

fn generate(root: &Path) -> anyhow::Result<Files> {
    let mut rust = BTreeMap::new();
    rust.insert("mod.rs".to_owned(), tables::module());
    rust.insert("enums.rs".to_owned(), enums::file());
    rust.insert("tag.rs".to_owned(), tables::tags());
    rust.insert("fields.rs".to_owned(), tables::fields());
    rust.insert("refs.rs".to_owned(), tables::refs());
    rust.insert("errors.rs".to_owned(), errors::file());
    rust.extend(classes::files());
    rust.extend(calls::files());

    let mut files = Files::new();
    for (name, text) in rust {
        let text = rustfmt(root, &text).with_context(|| format!("formatting {name}"))?;
        files.insert(Path::new(GENERATED).join(name), text);
    }
    files.insert(REFERENCE.into(), reference::file());
    files.insert(COVERAGE.into(), coverage::file());
    Ok(files)
}

/// Paths that are missing, differ, or should not be there.
fn stale(files: &Files, root: &Path) -> anyhow::Result<Vec<String>> {
    let mut stale = Vec::new();
    for (path, text) in files {
        if fs::read_to_string(root.join(path)).ok().as_ref() != Some(text) {
            stale.push(path.display().to_string());
        }
    }
    for path in listed(&root.join(GENERATED))? {
        let path = path.strip_prefix(root).expect("listed below the root");
        if !files.contains_key(path) {
            stale.push(format!("{} (no longer generated)", path.display()));
        }
    }
    Ok(stale)
}

/// All files below a directory; none if it doesn't exist.
fn listed(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else { return Ok(found) };
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", directory.display()))?.path();
        if path.is_dir() { found.extend(listed(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}

fn rustfmt(root: &Path, text: &str) -> anyhow::Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting rustfmt; is the component installed?")?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let owned = text.to_owned();
    // Written from a second thread: rustfmt may start to answer before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(owned.as_bytes()));
    let output = child.wait_with_output().context("waiting for rustfmt")?;
    writer.join().expect("the writer doesn't panic").context("writing to rustfmt")?;
    if !output.status.success() {
        bail!("rustfmt refused:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("rustfmt writes UTF-8")
}

/// First lines of every generated Rust file.
fn header(what: &str) -> String {
    format!(
        "//! {what}\n//!\n//! Generated by `cargo xtask codegen` from the datamodel; changes belong there.\n\n"
    )
}
