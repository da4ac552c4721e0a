//! The program `holdfast-rescue`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    rescue::main(std::env::args_os()).into()
}
