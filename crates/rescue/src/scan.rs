//! `scan`: reads a disk, partition or image once and says what is on it.

use std::path::PathBuf;
use std::sync::Arc;

use disk_format::source::{FileSource, Source};
use serde::Serialize;

use crate::output::{self, Output};
use crate::{Error, Exit};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The disk, partition or image. It is opened for reading only.
    path: PathBuf,
}

/// What is on a disk.
#[derive(Debug, Serialize)]
pub struct Survey {
    disk: Disk,
}

/// The disk itself.
#[derive(Debug, Serialize)]
pub struct Disk {
    size_bytes: u64,
}

/// Runs the command.
///
/// # Errors
/// If the disk can't be read.
pub fn run(arguments: &Arguments, form: Output) -> Result<Exit, Error> {
    let source =
        FileSource::open(&arguments.path).map_err(Error::io("opening", &arguments.path))?;
    let survey = survey(&(Arc::new(source) as Source));
    match form {
        Output::Json => output::print_json(&survey)?,
        Output::Text => output::print(&format!("{} bytes\n", survey.disk.size_bytes))?,
    }
    Ok(Exit::Done)
}

/// Surveys a source.
#[must_use]
pub fn survey(source: &Source) -> Survey {
    Survey { disk: Disk { size_bytes: source.size() } }
}
