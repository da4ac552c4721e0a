//! The command line of `xe`: global flags, `~/.xe`, `XE_EXTRA_ARGS`, and `KEY=VALUE` parameters.
//!
//! The rules are those of XenServer's `xe`, where a later source loses to an earlier one: command line, `XE_*`
//! variables, `XE_EXTRA_ARGS`, `~/.xe`. Not here: which parameters a command has (`tables`), and what they mean.

use std::time::Duration;

use crate::failure::Failure;

/// Parameters that belong to `xe` itself; record filters and selectors pass over them.
pub(crate) const STANDARD_PARAMS: &[&str] = &[
    "server",
    "password",
    "port",
    "username",
    "minimal",
    "force",
    "multiple",
    "all",
    "message-priority",
    "trace",
    "progress",
    "literal",
];

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputForm {
    /// As XenServer prints them.
    #[default]
    Text,
    /// `--minimal`: values joined by commas.
    Minimal,
    /// `--output json`.
    Json,
}

/// What the global flags say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globals {
    /// Servers to try, in order; empty means this host.
    pub servers: Vec<String>,
    /// TCP port where an address has none of its own.
    pub port: Option<u16>,
    /// User name for the login.
    pub username: Option<String>,
    /// Password for the login.
    pub password: Option<String>,
    /// File with user name on the first line and password on the second.
    pub password_file: Option<String>,
    /// `--nossl`: refused politely, Holdfast has no plain port.
    pub nossl: bool,
    /// `--debug`.
    pub debug: bool,
    /// `--debug-on-fail`.
    pub debug_on_fail: bool,
    /// `--trace`: prints where an error came from.
    pub trace: bool,
    /// Passed on as the HTTP header `traceparent`.
    pub traceparent: Option<String>,
    /// `--timeout SECONDS`: the whole command.
    pub timeout: Option<Duration>,
    /// How results are printed.
    pub output: OutputForm,
    /// `--ca FILE`: the pool's CA in PEM, instead of trust on first use.
    pub ca: Option<String>,
    /// `--accept-new-certificate`: replace a pinned CA that has changed.
    pub accept_new: bool,
}

/// One parsed command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocation {
    /// Global flags.
    pub globals: Globals,
    /// Command word; empty when none was given.
    pub command: String,
    /// Parameters in the order given; flags are `NAME=true`.
    pub params: Params,
    /// `-help` or `--help` stood somewhere.
    pub help: bool,
    /// `-version` or `--version` stood somewhere.
    pub version: bool,
}

/// Parameters as (name, value), in order; the first of a name counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(pub Vec<(String, String)>);

impl Params {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// True if `name` was given.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Pairs of a map parameter: `NAME:KEY=VALUE`, or the older `NAME-KEY=VALUE`.
    pub fn map(&self, name: &str) -> Vec<(String, String)> {
        self.0
            .iter()
            .filter_map(|(k, v)| {
                let rest = k.strip_prefix(name)?;
                let key = rest.strip_prefix(':').or_else(|| rest.strip_prefix('-'))?;
                (!key.is_empty()).then(|| (key.to_owned(), v.clone()))
            })
            .collect()
    }

    /// Iterates in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// Where the defaults come from; a value so that tests need no environment.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Text of `~/.xe`.
    pub rc_file: Option<String>,
    /// `XE_EXTRA_ARGS`.
    pub extra_args: Option<String>,
    /// `XE_SERVER`, `XE_PORT`, `XE_USERNAME`, `XE_PASSWORD`, ... as (keyword, value), and `HOLDFAST_HOSTS` as `server`.
    pub variables: Vec<(&'static str, String)>,
}

impl Surroundings {
    /// Reads the process's environment.
    pub fn of_process() -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let rc_file =
            var("HOME").and_then(|home| std::fs::read_to_string(format!("{home}/.xe")).ok());
        let names = [
            ("server", "HOLDFAST_HOSTS"),
            ("server", "XE_SERVER"),
            ("port", "XE_PORT"),
            ("username", "XE_USERNAME"),
            ("password", "XE_PASSWORD"),
            ("passwordfile", "XE_PASSWORD_FILE"),
            ("ca", "XE_CA"),
            ("traceparent", "TRACEPARENT"),
        ];
        let variables = names.iter().filter_map(|(k, n)| var(n).map(|v| (*k, v))).collect();
        Self { rc_file, extra_args: var("XE_EXTRA_ARGS"), variables }
    }
}

/// Parses `arguments` (without the program's name).
pub(crate) fn parse(arguments: &[String], around: &Surroundings) -> Result<Invocation, Failure> {
    let mut globals = Globals::default();
    let rc_rest = read_rc(around.rc_file.as_deref().unwrap_or(""), &mut globals)?;
    let extras = split_extra_args(around.extra_args.as_deref().unwrap_or(""));
    let extra_rest = take_globals(&extras, &mut globals)?;
    for (keyword, value) in &around.variables {
        set_keyword(&mut globals, keyword, value)?;
    }
    let mut help = false;
    let mut version = false;
    let own: Vec<String> = arguments
        .iter()
        .filter(|a| {
            let is_help = matches!(a.as_str(), "-help" | "--help");
            let is_version = matches!(a.as_str(), "-version" | "--version");
            help |= is_help;
            version |= is_version;
            !is_help && !is_version
        })
        .cloned()
        .collect();
    let mut rest = take_globals(&own, &mut globals)?;
    // Flags may stand before the command: `xe --minimal vm-list`.
    let at = rest.iter().position(|a| !a.starts_with('-'));
    let command = match at {
        Some(i) => rest.remove(i),
        None if rest.is_empty() => String::new(),
        None => return Err(Failure::syntax("command name is missing")),
    };
    if command.contains('=') {
        return Err(Failure::syntax("command name is missing"));
    }
    let mut params = parse_params(&rest)?;
    params.extend(parse_params(&extra_rest)?);
    params.extend(parse_params(&rc_rest)?);
    let params = Params(params);
    if globals.output == OutputForm::Text && is_true(params.get("minimal")) {
        globals.output = OutputForm::Minimal;
    }
    globals.trace |= is_true(params.get("trace"));
    Ok(Invocation { globals, command, params, help, version })
}

/// `KEY=VALUE` lines; a line without `=` spoils the whole file, as it does in XenServer's `xe`.
fn read_rc(text: &str, globals: &mut Globals) -> Result<Vec<String>, Failure> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    if lines.iter().any(|l| !l.contains('=') && !l.starts_with('#')) {
        return Err(Failure::Usage {
            label: "",
            text: "Error parsing rc file ~/.xe: every line is KEY=VALUE.".into(),
            hint: None,
        });
    }
    let mut rest = Vec::new();
    for line in lines.iter().filter(|l| !l.starts_with('#')) {
        let (key, value) = line.split_once('=').expect("lines without = were refused above");
        if !set_keyword(globals, key.trim(), value)? {
            rest.push((*line).to_owned());
        }
    }
    Ok(rest)
}

/// Comma-separated; `\,` is a comma.
fn split_extra_args(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ',' => parts.push(String::new()),
            '\\' => parts.last_mut().expect("never empty").extend(chars.next()),
            c => parts.last_mut().expect("never empty").push(c),
        }
    }
    parts.retain(|p| !p.is_empty());
    parts
}

/// Takes the global flags and keywords out of `arguments` and returns the rest.
fn take_globals(arguments: &[String], globals: &mut Globals) -> Result<Vec<String>, Failure> {
    let mut rest = Vec::new();
    let mut i = 0;
    while i < arguments.len() {
        let argument = arguments[i].as_str();
        let with_value = match argument {
            "-s" | "-h" => Some("server"),
            "-p" => Some("port"),
            "-u" => Some("username"),
            "-pw" => Some("password"),
            "-pwf" => Some("passwordfile"),
            "--traceparent" => Some("traceparent"),
            "--timeout" => Some("--timeout"),
            "--output" => Some("--output"),
            "--ca" => Some("ca"),
            _ => None,
        };
        if let Some(keyword) = with_value {
            let Some(value) = arguments.get(i + 1) else {
                return Err(Failure::syntax(format!("Switch {argument} requires a parameter")));
            };
            set_keyword(globals, keyword, value)?;
            i += 2;
            continue;
        }
        i += 1;
        match argument {
            "--nossl" => globals.nossl = true,
            "--debug" => globals.debug = true,
            "--debug-on-fail" => globals.debug_on_fail = true,
            "--accept-new-certificate" => globals.accept_new = true,
            _ => {
                let known = match argument.split_once('=') {
                    Some((key, value)) => set_keyword(globals, key, value)?,
                    None => false,
                };
                if !known {
                    rest.push(argument.to_owned());
                }
            }
        }
    }
    Ok(rest)
}

/// Sets a global by keyword; false if it is not one.
fn set_keyword(globals: &mut Globals, key: &str, value: &str) -> Result<bool, Failure> {
    match key {
        "server" => {
            globals.servers =
                value.split([',', ' ']).filter(|v| !v.is_empty()).map(str::to_owned).collect();
        }
        "port" => {
            globals.port = Some(
                value
                    .parse()
                    .map_err(|_| Failure::syntax("Port number must be an integer (0-65535)"))?,
            );
        }
        "username" => globals.username = Some(value.to_owned()),
        "password" => globals.password = Some(value.to_owned()),
        "passwordfile" => globals.password_file = Some(value.to_owned()),
        "nossl" => globals.nossl = is_true(Some(value)),
        "debug" => globals.debug = is_true(Some(value)),
        "debugonfail" => globals.debug_on_fail = is_true(Some(value)),
        "traceparent" => globals.traceparent = Some(value.to_owned()),
        "ca" => globals.ca = Some(value.to_owned()),
        "--timeout" => {
            let seconds: f64 = value
                .parse()
                .ok()
                .filter(|s: &f64| s.is_finite() && *s > 0.0 && *s <= 1e7)
                .ok_or_else(|| {
                    Failure::syntax(format!("--timeout takes a number of seconds, got {value}"))
                })?;
            globals.timeout = Some(Duration::from_secs_f64(seconds));
        }
        "--output" => {
            globals.output = match value {
                "json" => OutputForm::Json,
                "text" => OutputForm::Text,
                "minimal" => OutputForm::Minimal,
                other => {
                    return Err(Failure::syntax(format!(
                        "--output takes text, minimal or json, got {other}"
                    )));
                }
            };
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// `--NAME` is `NAME=true`, `--NAME=VALUE` and `NAME=VALUE` are themselves, a bare word has an empty value.
fn parse_params(arguments: &[String]) -> Result<Vec<(String, String)>, Failure> {
    arguments
        .iter()
        .map(|argument| {
            if let Some(flag) = argument.strip_prefix("--") {
                let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
                Ok((name.to_owned(), value.to_owned()))
            } else if argument.starts_with('-') && argument.len() > 1 {
                Err(Failure::syntax(format!("Unknown switch: {argument}")))
            } else {
                let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
                Ok((name.to_owned(), value.to_owned()))
            }
        })
        .collect()
}

/// The spellings of a truth value that XenServer takes; `None` for anything else.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

fn is_true(value: Option<&str>) -> bool {
    value.and_then(parse_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn parsed(line: &str) -> Invocation {
        parse(&words(line), &Surroundings::default()).expect("parses")
    }

    #[test]
    fn global_flags_are_taken_wherever_they_stand() {
        let got = parsed("-s h1 vm-list -u root -pw hush params=all --minimal --timeout 5");
        assert_eq!(got.command, "vm-list");
        assert_eq!(got.globals.servers, ["h1"]);
        assert_eq!(got.globals.username.as_deref(), Some("root"));
        assert_eq!(got.globals.password.as_deref(), Some("hush"));
        assert_eq!(got.globals.output, OutputForm::Minimal);
        assert_eq!(got.globals.timeout, Some(Duration::from_secs(5)));
        assert_eq!(got.params.get("params"), Some("all"));
    }

    #[test]
    fn a_flag_is_a_parameter_that_is_true() {
        let got = parsed("vm-reset-powerstate vm=web1 --force");
        assert_eq!(got.params.get("force"), Some("true"));
        assert_eq!(parsed("vm-start force=true").params.get("force"), Some("true"));
    }

    #[test]
    fn a_value_keeps_its_equal_signs_and_spaces() {
        let line = ["vm-list".into(), "name-label=a = b \"c\" 💾".into()];
        let got = parse(&line, &Surroundings::default()).expect("parses");
        assert_eq!(got.params.get("name-label"), Some("a = b \"c\" 💾"));
    }

    #[test]
    fn maps_are_taken_in_both_spellings() {
        let got = parsed("pbd-create device-config:device=/dev/sdb device-config-mode=rw");
        let want = [("device".into(), "/dev/sdb".into()), ("mode".into(), "rw".into())];
        assert_eq!(got.params.map("device-config"), want);
    }

    #[test]
    fn the_command_line_beats_variables_and_these_beat_extra_args_and_the_rc_file() {
        let around = Surroundings {
            rc_file: Some("server=rc\nusername=rcuser\nport=1\npassword=p0\n".into()),
            extra_args: Some("server=extra,port=2,password=a\\,b".into()),
            variables: vec![("port", "3".into())],
        };
        let got = parse(&words("vm-list server=own,other"), &around).expect("parses");
        assert_eq!(got.globals.servers, ["own", "other"]);
        assert_eq!(got.globals.port, Some(3));
        assert_eq!(got.globals.username.as_deref(), Some("rcuser"));
        assert_eq!(got.globals.password.as_deref(), Some("a,b"));
    }

    #[test]
    fn a_missing_command_and_unknown_switches_are_syntax_errors() {
        for line in ["uuid=x", "--minimal", "vm-list -z", "vm-list --output yaml", "vm-list -s"] {
            let failure = parse(&words(line), &Surroundings::default()).expect_err(line);
            assert_eq!(failure.exit_code(), 2, "{line}");
        }
    }
}
