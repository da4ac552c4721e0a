//! `cargo xtask ci`: exactly what the gate checks beside the tests. Each step is named, run in order, and all are run
//! even when one fails, so that one call shows everything.

use std::path::Path;

use anyhow::bail;

use crate::{codegen, requirements, tidy, tools};

type Step<'a> = (&'a str, Box<dyn Fn() -> anyhow::Result<()> + 'a>);

/// Runs every check.
///
/// # Errors
/// Names the checks that failed.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let steps: Vec<Step<'_>> = vec![
        ("format", Box::new(|| tools::run(root, "cargo", ["fmt", "--all", "--check"]))),
        ("tidy", Box::new(|| tidy::run(root))),
        ("generated code is fresh", Box::new(|| codegen::check(root))),
        ("requirements table is fresh", Box::new(|| requirements::check(root))),
        (
            "lints",
            Box::new(|| {
                let args =
                    ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
                tools::run(root, "cargo", args)
            }),
        ),
    ];
    let mut failed = Vec::new();
    for (name, step) in steps {
        say(&format!("ci: {name}"));
        if let Err(error) = step() {
            say(&format!("ci: {name} FAILED: {error:#}"));
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    say("ci: all checks passed");
    Ok(())
}

#[expect(clippy::print_stderr, reason = "progress for people")]
fn say(text: &str) {
    eprintln!("{text}");
}
