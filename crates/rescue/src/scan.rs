//! `scan`: reads a disk, partition or image once and says what is on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk_format::source::{FileSource, Source};

use crate::evidence::{self, Evidence, Known};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::survey::Survey;
use crate::{Error, Exit, report};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The disk, partition or image. It is opened for reading only.
    path: PathBuf,
    /// Prints a sheet to keep with the disk: everything that is known of it.
    #[arg(long)]
    sheet: bool,
    #[command(flatten)]
    known: Known,
}

/// Runs the command.
///
/// # Errors
/// If the disk can't be read.
pub fn run(arguments: &Arguments, form: Output) -> Result<Exit, Error> {
    let (_, survey) = survey(&arguments.path, &arguments.known)?;
    match form {
        Output::Json => output::print_json(&report::json(&arguments.path, &survey))?,
        Output::Text => output::print(&report::text(&arguments.path, &survey, arguments.sheet))?,
    }
    Ok(if survey.anything() { Exit::Done } else { Exit::NothingFound })
}

/// Surveys the disk at `path`, with progress for people.
///
/// # Errors
/// If it, or what is known of it, can't be read.
pub fn survey(path: &Path, known: &Known) -> Result<(Source, Survey), Error> {
    let evidence = known.read()?;
    let file = FileSource::open(path).map_err(Error::io("opening", path))?;
    // Only a hint; a kernel that refuses it reads as well, a little slower.
    let _ = rustix::fs::fadvise(file.file(), 0, None, rustix::fs::Advice::Sequential);
    let source: Source = Arc::new(file);
    let mut survey = of_source(&source, &evidence);
    evidence::apply(&evidence, source.size(), &mut survey.former);
    Ok((source, survey))
}

/// Surveys a source, with progress for people.
#[must_use]
pub fn of_source(source: &Source, evidence: &Evidence) -> Survey {
    let mut progress = Progress::new("reading", source.size());
    let survey = Survey::of(source, evidence.texts(), &mut |at| progress.at(at));
    progress.end();
    survey
}
