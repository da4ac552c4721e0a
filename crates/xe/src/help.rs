//! `xe help`, `xe help COMMAND`, `xe help --all`, and the reference page made from the same table.

use crate::command_line::{Invocation, OutputForm};
use crate::output::{Cell, Out};
use crate::tables::{self, Command};

/// Words that are no command names in `xe help ...`.
const NOT_COMMANDS: &[&str] =
    &["server", "username", "password", "port", "minimal", "all", "markdown", "literal"];

/// Prints help.
pub(crate) fn run(out: &mut Out<'_>, invocation: &Invocation) {
    if invocation.params.has("markdown") {
        out.raw(markdown().trim_end());
        return;
    }
    let words: Vec<&str> =
        invocation.params.iter().map(|(k, _)| k).filter(|k| !NOT_COMMANDS.contains(k)).collect();
    if !words.is_empty() {
        for word in words {
            match tables::command(word) {
                Some(command) => out.table(vec![about(&command)]),
                None => out.list(vec![format!("Unknown command '{word}'")]),
            }
        }
        return;
    }
    let all = tables::all();
    let whole = invocation.params.has("all");
    let names: Vec<String> = all
        .iter()
        .filter(|c| if whole { !c.hidden } else { c.common })
        .map(|c| c.name.to_string())
        .collect();
    if out.form() != OutputForm::Text {
        out.list(names);
        return;
    }
    out.list(vec![usage(whole)]);
    if !whole {
        out.list(in_lines(&names));
        return;
    }
    let (hosts, rest): (Vec<_>, Vec<_>) = names.into_iter().partition(|n| n.starts_with("host-"));
    let (vms, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|n| n.starts_with("vm-"));
    out.list(in_lines(&hosts));
    out.list(vec!["    ".to_owned()]);
    out.list(in_lines(&vms));
    out.list(vec!["    ".to_owned()]);
    out.list(in_lines(&rest));
}

fn usage(whole: bool) -> String {
    let mut text = "Usage:\n  xe <command>\n    \
         [ -s <server>[,<server>...] ] Hosts of the pool, tried in order; this host if none\n    \
         [ -p <port> ]                 Port number\n    \
         [ -u <username> -pw <password> | -pwf <password file> ]\n                                  \
         User authentication (password or file)\n    \
         [ --ca <file> ]               Certificate authority of the pool\n    \
         [ --accept-new-certificate ]  Trust the server's certificate from now on\n    \
         [ --minimal ]                 Values only, separated by commas\n    \
         [ --output json ]             Results as JSON\n    \
         [ --timeout <seconds> ]       Give up after that long (exit code 5)\n    \
         [ --debug-on-fail ] [ --trace ] Where an error came from\n    \
         [ --traceparent <value> ]     Distributed tracing context\n    \
         [ <other arguments> ... ]     Command-specific options\n\n\
         To get help on a specific command:\n  xe help <command>\n\n\
         Exit codes: 0 done, 1 error, 2 usage, 4 no coordinator or quorum, 5 time-out, 6 partly done\n\n"
        .to_owned();
    if whole {
        text.push_str("Full command list\n-----------------\n");
    } else {
        text.push_str(
            "To get a full listing of commands:\n  xe help --all\n\nCommon command list\n-------------------\n",
        );
    }
    text
}

/// Names separated by commas, in lines of about 74 characters.
fn in_lines(names: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for name in names {
        if current.is_empty() {
            current = format!("    {name}");
        } else if current.len() + name.len() > 74 {
            lines.push(std::mem::replace(&mut current, format!("    {name}")));
        } else {
            current.push_str(", ");
            current.push_str(name);
        }
    }
    if !current.is_empty() {
        lines.push(current);
    }
    lines
}

fn selectors_text(selectors: Option<&str>) -> &'static str {
    match selectors {
        Some("vm") => {
            " Any field of a VM can choose it: uuid=<uuid>, power-state=halted. The word 'vm' matches a name label or a \
             uuid. Several VMs need '--multiple'; with no choice at all, all VMs are meant. Fields: xe vm-list \
             params=all."
        }
        Some("host") => {
            " Any field of a host can choose it: uuid=<uuid>, enabled=true. The word 'host' matches a host name, a name \
             label or a uuid, the unique start of one, or 'localhost'. Several hosts need '--multiple' where the \
             command takes them. Fields: xe host-list params=all."
        }
        Some("sr") => {
            " Any field of a storage repository can choose it. The word 'sr' matches a name label or a uuid. Several \
             need '--multiple'. Fields: xe sr-list params=all."
        }
        _ => "",
    }
}

fn optional(command: &Command) -> Vec<String> {
    let mut all: Vec<String> = command.optional.iter().map(|p| p.to_string()).collect();
    for flag in &command.flags {
        if !all.iter().any(|p| p == flag) {
            all.push((*flag).to_owned());
        }
    }
    if let Some(selectors) = command.selectors {
        all.push(format!("<{selectors}-selectors>"));
    }
    all
}

fn about(command: &Command) -> Vec<Cell> {
    let doc = format!("{}{}", command.doc, selectors_text(command.selectors));
    vec![
        Cell::plain("command name        ", command.name.to_string()),
        Cell::plain("reqd params     ", command.required.join(", ")),
        Cell::plain("optional params ", optional(command).join(", ")),
        Cell::plain("description     ", doc),
    ]
}

/// The reference page of all commands.
pub(crate) fn markdown() -> String {
    let mut page = String::from(
        "# xe\n\nGenerated from the command table by `xe help --markdown`; do not edit.\n\n\
         Every command takes `KEY=VALUE` parameters and the flags of `xe help`. A parameter ending in `:` is a map and is \
         written `NAME:KEY=VALUE`. `--NAME` is `NAME=true`. `coordinator` and `member` may be written for `master` and \
         `slave`, `filename` for `file-name`. Where a uuid is asked for, the unique name of the object will do; of a \
         host also `localhost` and the unique start of its name or uuid.\n\n\
         Exit codes: 0 done, 1 error, 2 usage, 4 no coordinator or quorum, 5 time-out, 6 partly done.\n\n\
         ## Connecting\n\n\
         On a host of the pool root needs nothing: `xe` uses the socket `/run/holdfast/api.sock`. From elsewhere `-s` names \
         one host or several, tried in order, and `-u`, `-pw` or `-pwf` the account. Defaults stand in `~/.xe` as \
         `KEY=VALUE` lines (`server`, `port`, `username`, `password`, `passwordfile`, `ca`), in `XE_EXTRA_ARGS` \
         (comma-separated, `\\,` for a comma) and in `XE_SERVER`, `XE_PORT`, `XE_USERNAME`, `XE_PASSWORD`, \
         `XE_PASSWORD_FILE`, `XE_CA`; the command line beats the variables, these beat `XE_EXTRA_ARGS`, and that beats \
         `~/.xe`.\n\n\
         Certificates are checked. `--ca FILE` names the pool's authority. Without it the first connection to a server \
         remembers, under `~/.xe.d/`, the authority it shows (or the host's own certificate); afterwards anything else is \
         refused until `--accept-new-certificate` says that the change is meant. The addresses of the pool's hosts are \
         remembered there too, so that a command finds a survivor when the named host is gone.\n\n\
         A read is given up after 35 s, anything else after 150 s, the whole command after `--timeout` seconds. After two \
         seconds one line on standard error says what is waited for. Long operations are tasks of the pool: Ctrl-C cancels \
         the task, a second one leaves it running.\n\n\
         Pasted curly quotes, dashes and no-break spaces are refused with the corrected command; `--literal` passes them.\n\n\
         Completion: `eval \"$(xe completion bash)\"`, `source <(xe completion zsh)`, or `xe completion fish | source`.\n",
    );
    let list =
        |names: Vec<String>| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    page.push_str(
        "\n## Records\n\nVerbs on records; fields in the order in which they are printed.\n",
    );
    for record in tables::records() {
        let verbs = record.verbs.iter().map(|v| format!("{}-{v}", record.cli_name)).collect();
        let shown = |f: &datamodel::XeField| {
            tables::label(f).replace(" ( ", " (") + if f.hidden { ", hidden" } else { "" }
        };
        let fields = record.fields.iter().map(shown).collect();
        page.push_str(&format!(
            "\n### {}\n\nClass `{}`. Commands: {}.\n\nFields: {}.\n",
            record.cli_name,
            record.class,
            list(verbs),
            list(fields)
        ));
    }
    page.push_str("\n## Commands\n");
    let mut specials: Vec<Command> =
        tables::all().into_iter().filter(|c| matches!(c.kind, tables::Kind::Special(_))).collect();
    specials.retain(|c| crate::commands::is_offered(&c.name));
    for command in &specials {
        page.push_str(&format!("\n### {}\n\n{}\n", command.name, command.doc));
        if !command.required.is_empty() {
            let names = command.required.iter().map(|p| p.to_string()).collect();
            page.push_str(&format!("\nRequired: {}.\n", list(names)));
        }
        let optional = optional(command);
        if !optional.is_empty() {
            page.push_str(&format!("\nOptional: {}.\n", list(optional)));
        }
    }
    page
}
