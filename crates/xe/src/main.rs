//! The program `xe`: hands the command line and the terminal to the library, and its exit code to the shell.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use xe::Terminal;

struct Process {
    out: io::BufWriter<io::Stdout>,
}

impl Terminal for Process {
    fn stdout(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    fn stderr(&mut self, text: &str) {
        // Lines keep their order where both streams are one terminal.
        let _ = self.out.flush();
        let mut stderr = io::stderr();
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }

    fn read_line(&mut self) -> String {
        let _ = self.out.flush();
        let mut line = String::new();
        let _ = io::stdin().read_line(&mut line);
        line
    }

    fn read_secret(&mut self, prompt: &str) -> Option<String> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        self.stderr(prompt);
        let before = rustix::termios::tcgetattr(&stdin).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(rustix::termios::LocalModes::ECHO);
        let now = rustix::termios::OptionalActions::Now;
        rustix::termios::tcsetattr(&stdin, now, &silent).ok()?;
        let line = self.read_line();
        let _ = rustix::termios::tcsetattr(&stdin, now, &before);
        self.stderr("\n");
        Some(line.trim_end_matches(['\n', '\r']).to_owned())
    }

    fn is_watched(&self) -> bool {
        io::stderr().is_terminal()
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let called = words.next().unwrap_or_default();
    let arguments = xe::as_called(&called, words.collect());
    let mut process = Process { out: io::BufWriter::with_capacity(64 << 10, io::stdout()) };
    let code = xe::run(&arguments, &mut process);
    let _ = process.out.flush();
    ExitCode::from(code)
}
