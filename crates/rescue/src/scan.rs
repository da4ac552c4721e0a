//! `scan`: reads a disk, partition or image once and says what is on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk_format::source::{FileSource, Source};

use crate::output::{self, Output};
use crate::progress::Progress;
use crate::survey::Survey;
use crate::{Error, Exit, evidence, report};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The disk, partition or image. It is opened for reading only.
    path: PathBuf,
    /// Prints a sheet to keep with the disk: everything that is known of it.
    #[arg(long)]
    sheet: bool,
    /// An installer's log, or other text that tells how the disk was laid out.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// If the disk can't be read.
pub fn run(arguments: &Arguments, form: Output) -> Result<Exit, Error> {
    let (_, mut survey) = survey(&arguments.path)?;
    if let Some(file) = &arguments.evidence {
        evidence::apply(&evidence::read(file)?, &mut survey.former);
    }
    match form {
        Output::Json => output::print_json(&report::json(&arguments.path, &survey))?,
        Output::Text => output::print(&report::text(&arguments.path, &survey, arguments.sheet))?,
    }
    Ok(if survey.anything() { Exit::Done } else { Exit::NothingFound })
}

/// Surveys the disk at `path`, with progress for people.
///
/// # Errors
/// If it can't be opened.
pub fn survey(path: &Path) -> Result<(Source, Survey), Error> {
    let file = FileSource::open(path).map_err(Error::io("opening", path))?;
    // Only a hint; a kernel that refuses it reads as well, a little slower.
    let _ = rustix::fs::fadvise(file.file(), 0, None, rustix::fs::Advice::Sequential);
    let source: Source = Arc::new(file);
    let survey = of_source(&source);
    Ok((source, survey))
}

/// Surveys a source, with progress for people.
#[must_use]
pub fn of_source(source: &Source) -> Survey {
    let mut progress = Progress::new("reading", source.size());
    let survey = Survey::of(source, &mut |at| progress.at(at));
    progress.end();
    survey
}
