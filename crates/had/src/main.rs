//! The program `holdfast-had`; everything is in the library.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match had::Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            // Standard error may be closed; then there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "holdfast-had: {text}\n{}", had::USAGE);
            return ExitCode::from(2);
        }
    };
    match had::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "holdfast-had: {error:#}");
            ExitCode::FAILURE
        }
    }
}
