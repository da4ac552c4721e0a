//! Writes `errors.rs`: a constant and a constructor per error code of the catalogue.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::names::{doc_line, snake};

/// Clippy's limit on the number of arguments.
const MAX_ARGUMENTS: usize = 7;

pub(crate) fn file() -> String {
    let mut out = super::header(
        "The error catalogue: a constant per code, and a constructor that takes exactly the declared parameters.",
    );
    out.push_str("use std::fmt::Display;\n\nuse crate::Error;\n\n");
    for error in datamodel::ERRORS {
        let code = error.code;
        writeln!(out, "/// `{code}`.\npub const {code}: &str = {code:?};\n")
            .expect("writing to a string");
        let function = snake(code);
        let Some(params) = error.params else {
            write!(
                out,
                "/// `{code}`, whose parameters the reference leaves open.\npub fn {function}<P: Into<String>>(params: impl IntoIterator<Item = P>) -> Error {{\n    Error::new({code}, params)\n}}\n\n",
            )
            .expect("writing to a string");
            continue;
        };
        let names = distinct(params);
        let list: String = names.iter().map(|n| format!("{n}: impl Display, ")).collect();
        let values: String = names.iter().map(|n| format!("{n}.to_string(), ")).collect();
        let values = if names.is_empty() { "[\"\"; 0]".to_owned() } else { format!("[{values}]") };
        let shown = if params.is_empty() {
            String::new()
        } else {
            format!(" ({})", doc_line(&params.join(", ")))
        };
        let expect = if names.len() > MAX_ARGUMENTS {
            "#[expect(clippy::too_many_arguments, reason = \"as many as the catalogue declares\")]\n"
        } else {
            ""
        };
        write!(
            out,
            "/// `{code}`{shown}.\n{expect}pub fn {function}({list}) -> Error {{\n    Error::new({code}, {values})\n}}\n\n",
        )
        .expect("writing to a string");
    }
    out
}

fn distinct(params: &[&str]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for param in params {
        let base = snake(param.trim());
        let mut name = base.clone();
        let mut n = 2;
        while !seen.insert(name.clone()) {
            name = format!("{base}_{n}");
            n += 1;
        }
        names.push(name);
    }
    names
}
