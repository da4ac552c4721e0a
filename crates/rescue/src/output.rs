//! The two doors to people: standard output for results, standard error for everything else.

use std::io::{self, Write as _};
use std::sync::Mutex;

/// Form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Most of what a record keeps of one command's output.
const MAX_KEPT: usize = 16 << 20;

/// What was printed and said since [`keep`], if it is to be kept. Only this module and a record know of it.
static KEPT: Mutex<Option<(String, String)>> = Mutex::new(None);

/// Begins to keep what is printed.
pub(crate) fn keep() {
    if let Ok(mut kept) = KEPT.lock() {
        *kept = Some(Default::default());
    }
}

/// What was printed, and what was said beside it, since [`keep`].
pub(crate) fn kept() -> (String, String) {
    KEPT.lock().ok().and_then(|mut kept| kept.take()).unwrap_or_default()
}

fn remember(text: &str, aside: bool) {
    if let Ok(mut kept) = KEPT.lock()
        && let Some((printed, said)) = kept.as_mut()
    {
        let into = if aside { said } else { printed };
        if into.len() < MAX_KEPT {
            into.push_str(text);
        }
    }
}

/// Prints a result as JSON.
///
/// # Errors
/// If standard output can't be written.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), crate::Error> {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    print(&text)
}

/// Prints a result as it is.
///
/// # Errors
/// If standard output can't be written.
pub(crate) fn print(text: &str) -> Result<(), crate::Error> {
    remember(text, false);
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(crate::Error::io("writing", std::path::Path::new("standard output")))
}

/// Tells people something beside the result.
pub(crate) fn note(text: &str) {
    remember(&format!("{text}\n"), true);
    // A closed standard error is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Tells why the command stopped, with all causes.
pub(crate) fn complain(error: &dyn std::error::Error) {
    let mut text = format!("holdfast-rescue: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    note(&text);
}
