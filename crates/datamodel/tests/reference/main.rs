//! Compares the datamodel with the reference of the XenAPI and of `xe`, and prints how much of it is here.
//!
//! The reference (`xenapi.json`, `xe-commands.json`) is not part of the repository. It is looked for in the directory that
//! `HOLDFAST_REFERENCE` names, then in `../shared/reference` beside the workspace; without it the comparison says so and
//! passes, and only the internal consistency (`tests/consistency.rs`) is left. Any difference in a class that the datamodel
//! has is a failure that lists all differences. See the summary with `cargo nextest run -p holdfast-datamodel --no-capture`.

mod api;
mod face;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Differences found, and what was compared.
#[derive(Debug, Default)]
struct Comparison {
    differences: Vec<String>,
    counts: Vec<(&'static str, usize, usize)>,
}

impl Comparison {
    /// Notes a difference unless both are equal.
    fn same<A: PartialEq + std::fmt::Debug>(&mut self, what: &str, ours: A, reference: A) {
        if ours != reference {
            self.differences.push(format!("{what}: ours {ours:?}, reference {reference:?}"));
        }
    }

    /// Notes that so many of so many were compared.
    fn count(&mut self, what: &'static str, done: usize, of: usize) {
        self.counts.push((what, done, of));
    }

    #[expect(clippy::print_stdout, reason = "the summary is what the test is run for")]
    fn finish(self) {
        for (what, done, of) in &self.counts {
            println!("{what:<24} {done:>5} of {of:>5} done and equal to the reference");
        }
        assert!(
            self.differences.is_empty(),
            "{} differences from the reference:\n{}",
            self.differences.len(),
            self.differences.join("\n")
        );
    }
}

/// The reference file of that name, if the reference is at hand.
#[expect(clippy::print_stdout, reason = "says clearly that nothing was compared")]
fn reference(file: &str) -> Option<(PathBuf, String)> {
    let directory = std::env::var_os("HOLDFAST_REFERENCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference"),
        PathBuf::from,
    );
    let path = directory.join(file);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("NOT COMPARED: there is no reference at {}", path.display());
    }
    text.map(|text| (path, text))
}

fn parse(path: &Path, text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{} is no JSON: {e}", path.display()))
}

#[test]
fn the_datamodel_equals_the_reference_of_the_xenapi() {
    let Some((path, text)) = reference("xenapi.json") else { return };
    api::compare(&parse(&path, &text)).finish();
}

#[test]
fn the_face_of_xe_equals_the_reference_of_xe() {
    let Some((path, text)) = reference("xe-commands.json") else { return };
    let facts = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{} is not what was expected: {e}", path.display()));
    face::compare(&facts).finish();
}
