//! Completion for bash, zsh and fish: small scripts that ask `xe __complete` for candidates (S2-50).
//!
//! Candidates come from the command table, and for values from the pool: uuids with names. A pool that does not answer
//! within a quarter of a second gives no values, and never an error: completion must not get in the way. Reads need no
//! coordinator.

use std::time::Duration;

use crate::api::{Api, text_of};
use crate::command_line::{self, Globals, Surroundings};
use crate::output::Terminal;
use crate::tables::{self, Command, Kind, Verb};

/// Values must be there within 300 ms, start included.
const VALUE_TIMEOUT: Duration = Duration::from_millis(200);

/// A candidate and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// What is inserted.
    pub text: String,
    /// Shown beside it; may be empty.
    pub about: String,
}

fn plain(text: impl Into<String>) -> Candidate {
    Candidate { text: text.into(), about: String::new() }
}

/// `xe completion SHELL` and `xe __complete [--bare] -- WORDS... CURRENT`.
pub(crate) fn run(
    word: &str,
    arguments: &[String],
    around: &Surroundings,
    terminal: &mut dyn Terminal,
    connect: &mut dyn FnMut(&Globals) -> Box<dyn Api>,
) -> u8 {
    if word == "completion" {
        let script = match arguments.first().map(String::as_str) {
            Some("bash") => BASH,
            Some("zsh") => ZSH,
            Some("fish") => FISH,
            _ => {
                terminal.stderr("Usage: xe completion bash|zsh|fish\n");
                return 2;
            }
        };
        return u8::from(terminal.stdout(script.as_bytes()).is_err());
    }
    let words = match arguments.iter().position(|a| a == "--") {
        Some(at) => &arguments[at + 1..],
        None => arguments,
    };
    let (current, before) = match words.split_last() {
        Some((current, before)) => (current.as_str(), before),
        None => ("", &[][..]),
    };
    let mut text = String::new();
    for candidate in candidates(before, current, around, connect) {
        text.push_str(&candidate.text);
        if !candidate.about.is_empty() {
            text.push('\t');
            text.push_str(&candidate.about.replace(['\n', '\t'], " "));
        }
        text.push('\n');
    }
    u8::from(terminal.stdout(text.as_bytes()).is_err())
}

/// What may stand where `current` begins, after the words `before`.
pub(crate) fn candidates(
    before: &[String],
    current: &str,
    around: &Surroundings,
    connect: &mut dyn FnMut(&Globals) -> Box<dyn Api>,
) -> Vec<Candidate> {
    let parsed = command_line::parse(before, around).unwrap_or_default();
    let word = parsed.command.as_str();
    if word.is_empty() {
        return starting(tables::names().into_iter().chain(["help".into()]).map(plain), current);
    }
    if word == "help" {
        return starting(tables::names().into_iter().map(plain), current);
    }
    let Some(command) = tables::command(word) else { return vec![] };
    let Some((name, value)) = current.split_once('=') else {
        return names_of(&command, &parsed.params.0, current);
    };
    let mut globals = parsed.globals.clone();
    globals.timeout = Some(VALUE_TIMEOUT);
    let mut api = || connect(&globals);
    let values = values_of(&command, &parsed.params.0, name, &mut api);
    // Lists: only the part after the last comma is being typed.
    let (done, part) = if name == "params" || name.ends_with("uuids") {
        value.rsplit_once(',').map_or(("", value), |(d, p)| (&value[..=d.len()], p))
    } else {
        ("", value)
    };
    starting(values, part)
        .into_iter()
        .map(|c| Candidate { text: format!("{name}={done}{}", c.text), about: c.about })
        .collect()
}

fn starting(all: impl IntoIterator<Item = Candidate>, start: &str) -> Vec<Candidate> {
    all.into_iter().filter(|c| c.text.starts_with(start)).collect()
}

/// Names of parameters that are not there yet: required ones first.
fn names_of(command: &Command, given: &[(String, String)], current: &str) -> Vec<Candidate> {
    let is_given = |name: &str| given.iter().any(|(k, _)| k == name);
    let mut all = Vec::new();
    for name in command.required.iter().chain(&command.optional) {
        if is_given(name) {
            continue;
        }
        let text = match name.strip_suffix([':', '-']) {
            Some(stem) => format!("{stem}:"),
            None => format!("{name}="),
        };
        all.push(plain(text));
    }
    if let Some(kind) = command.selectors {
        all.push(plain(format!("{kind}=")));
        if let Some(record) = tables::record(kind) {
            all.extend(
                record.fields.iter().filter(|f| !f.hidden).map(|f| plain(format!("{}=", f.name))),
            );
        }
    }
    all.extend(command.flags.iter().filter(|f| !is_given(f)).map(|f| plain(format!("--{f}"))));
    all.extend(["--minimal", "--output"].into_iter().map(plain));
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|c| seen.insert(c.text.clone()));
    starting(all, current)
}

/// The class a parameter names objects of.
fn class_of(command: &Command, name: &str) -> Option<&'static str> {
    let stem = match name {
        "uuid" => match command.kind {
            Kind::Verb(record, _) => return Some(record.class),
            Kind::Special(_) => command.name.split('-').next().unwrap_or_default(),
        },
        "on" | "copy-bios-strings-from" => "host",
        "template" => "template",
        other => {
            let stem = other.trim_end_matches('s').strip_suffix("-uuid").unwrap_or(other);
            stem.rsplit('-').next().unwrap_or(stem)
        }
    };
    tables::record(stem).map(|r| r.class)
}

/// Fixed words, or objects of the pool.
fn values_of(
    command: &Command,
    given: &[(String, String)],
    name: &str,
    connect: &mut dyn FnMut() -> Box<dyn Api>,
) -> Vec<Candidate> {
    if let Kind::Verb(record, verb) = command.kind {
        match name {
            "params" => {
                let fields = record.fields.iter().filter(|f| !f.hidden).map(|f| plain(f.name));
                return std::iter::once(plain("all")).chain(fields).collect();
            }
            "param-name" => {
                use datamodel::XeAccess::{MRW, RW, SRW};
                let fits = |access| match verb {
                    Verb::ParamAdd | Verb::ParamRemove => matches!(access, SRW | MRW),
                    Verb::ParamClear => matches!(access, RW | SRW | MRW),
                    _ => true,
                };
                let fields = record.fields.iter().filter(|f| fits(f.access));
                return fields.map(|f| plain(f.name)).collect();
            }
            _ => {}
        }
    }
    if matches!(name, "shared" | "force" | "bootable" | "sharable" | "live" | "multiple" | "online")
    {
        return vec![plain("true"), plain("false")];
    }
    if command.files.contains(&name) {
        return vec![];
    }
    if name == "class" && command.name == "event-wait" {
        return tables::records().iter().map(|r| plain(r.cli_name)).collect();
    }
    let by_name = matches!(name, "vm" | "host" | "sr" | "template");
    if let Some(class) = class_of(command, name) {
        let kind = match command.kind {
            Kind::Verb(record, _) => record.cli_name,
            Kind::Special(_) => "",
        };
        return objects(connect, class, kind, by_name, name);
    }
    // A field as filter or selector: the values it has now.
    let record = match command.kind {
        Kind::Verb(record, Verb::List) => Some(record),
        Kind::Verb(record, Verb::ParamSet) => {
            return current_value(connect, record, given, name);
        }
        Kind::Verb(..) => None,
        Kind::Special(_) => command.selectors.and_then(tables::record),
    };
    match record {
        Some(record) => field_values(connect, record, name),
        None => vec![],
    }
}

/// Objects of a class: uuids with names, or names with uuids.
fn objects(
    connect: &mut dyn FnMut() -> Box<dyn Api>,
    class: &'static str,
    kind: &str,
    by_name: bool,
    param: &str,
) -> Vec<Candidate> {
    let wanted = ["name_label", "name", "device", "is_a_template", "is_a_snapshot"];
    let Ok(all) = connect().records(class, Some(&wanted)) else { return vec![] };
    let mut found: Vec<Candidate> = all
        .iter()
        .filter(|(_, f)| {
            if class != "VM" {
                return true;
            }
            let is = |name: &str| f.get(name) == Some(&serde_json::Value::Bool(true));
            let word = if param.contains("template") || kind == "template" {
                "template"
            } else if param.contains("snapshot") || kind == "snapshot" {
                "snapshot"
            } else {
                "vm"
            };
            match word {
                "template" => is("is_a_template") && !is("is_a_snapshot"),
                "snapshot" => is("is_a_snapshot"),
                _ => !is("is_a_template"),
            }
        })
        .map(|(_, f)| {
            let text = |name: &str| f.get(name).map(text_of).unwrap_or_default();
            let label = [text("name_label"), text("name"), text("device")]
                .into_iter()
                .find(|t| !t.is_empty())
                .unwrap_or_default();
            if by_name && !label.is_empty() {
                Candidate { text: label, about: text("uuid") }
            } else {
                Candidate { text: text("uuid"), about: label }
            }
        })
        .collect();
    if class == "host" && by_name {
        found.push(Candidate { text: "localhost".into(), about: "this host".into() });
    }
    found.sort_by(|a, b| a.about.cmp(&b.about).then_with(|| a.text.cmp(&b.text)));
    found
}

/// The different values a field has in the pool.
fn field_values(
    connect: &mut dyn FnMut() -> Box<dyn Api>,
    record: &'static datamodel::XeRecord,
    name: &str,
) -> Vec<Candidate> {
    let Some(field) = tables::field(record, name) else { return vec![] };
    let datamodel::XeSource::Field(api_field) = field.source else { return vec![] };
    let Ok(all) = connect().records(record.class, Some(&[api_field])) else { return vec![] };
    let mut values: Vec<String> = all
        .iter()
        .filter_map(|(_, f)| f.get(api_field))
        .filter(|v| !v.is_array() && !v.is_object())
        .map(|v| {
            let text = text_of(v);
            match field.format {
                datamodel::XeFormat::EnumVia(table) => {
                    tables::enum_string(table, &text).into_owned()
                }
                _ => crate::api::uuid_of_ref(&text).unwrap_or(&text).to_owned(),
            }
        })
        .filter(|v| !v.is_empty())
        .collect();
    values.sort();
    values.dedup();
    values.into_iter().map(plain).collect()
}

/// What the field of the object named by `uuid=` is now, to be edited.
fn current_value(
    connect: &mut dyn FnMut() -> Box<dyn Api>,
    record: &'static datamodel::XeRecord,
    given: &[(String, String)],
    name: &str,
) -> Vec<Candidate> {
    let Some(field) = tables::field(record, name) else { return vec![] };
    let datamodel::XeSource::Field(api_field) = field.source else { return vec![] };
    let Some((_, uuid)) = given.iter().find(|(k, _)| k == "uuid") else { return vec![] };
    let reference = crate::api::ref_of_uuid(uuid);
    let method = format!("{}.get_{api_field}", record.class);
    match connect().call(&method, vec![crate::api::s(reference)]) {
        Ok(value) if !value.is_array() && !value.is_object() => vec![plain(text_of(&value))],
        _ => vec![],
    }
}

const BASH: &str = r#"# bash completion for xe: eval "$(xe completion bash)", or put this in /usr/share/bash-completion/completions/xe
_xe() {
    local line="${COMP_LINE:0:COMP_POINT}" current words candidate
    # Bash splits at = and :, xe does not: take the words from the line itself, up to the cursor.
    current="${line##*[[:space:]]}"
    read -r -a words <<< "${line% *}"
    local IFS=$'\n' out=() text about
    local -a found
    mapfile -t found < <(xe __complete -- "${words[@]:1}" "$current" 2>/dev/null)
    if (( ${#found[@]} == 0 )) && [[ "$current" == *=* ]]; then
        COMPREPLY=( $(compgen -f -- "${current#*=}") )
        compopt -o filenames
        return
    fi
    # What bash treats as the word begins after the last = or :.
    local head="${current%"${current##*[=:]}"}"
    for candidate in "${found[@]}"; do
        text="${candidate%%$'\t'*}"
        about=""
        [[ "$candidate" == *$'\t'* ]] && about="${candidate#*$'\t'}"
        text="${text#"$head"}"
        if (( ${#found[@]} > 1 )) && [[ -n "$about" ]]; then
            out+=( "$text  ($about)" )
        else
            [[ "$text" == *[!A-Za-z0-9_.,/@%+=:-]* ]] && text="$(printf '%q' "$text")"
            out+=( "$text" )
        fi
    done
    COMPREPLY=( "${out[@]}" )
    if (( ${#found[@]} == 1 )) && [[ "${found[0]%%$'\t'*}" == *[=:] ]]; then compopt -o nospace; fi
    if (( ${#found[@]} > 1 )); then
        compopt -o nosort 2>/dev/null
        # With several candidates only their common start is inserted; names in brackets are for the eye.
        local prefix="${out[0]%%  (*}"
        for candidate in "${out[@]}"; do
            text="${candidate%%  (*}"
            while [[ "${text:0:${#prefix}}" != "$prefix" ]]; do prefix="${prefix%?}"; done
        done
        if [[ -n "$prefix" && "$head$prefix" != "$current" ]]; then
            COMPREPLY=( "$prefix" )
        fi
        compopt -o nospace
    fi
}
complete -F _xe xe
"#;

const ZSH: &str = r#"#compdef xe
# zsh completion for xe: put this in a directory of $fpath as _xe, or: source <(xe completion zsh)
_xe() {
    local -a found texts shown
    local candidate text about
    found=("${(@f)$(xe __complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)words[CURRENT]}" 2>/dev/null)}")
    for candidate in $found; do
        [[ -z $candidate ]] && continue
        text="${candidate%%$'\t'*}"
        about=""
        [[ $candidate == *$'\t'* ]] && about="${candidate#*$'\t'}"
        texts+=("$text")
        if [[ -n $about ]]; then shown+=("$text  -- $about"); else shown+=("$text"); fi
    done
    if (( ${#texts} == 0 )); then
        compset -P '*=' && _files
        return
    fi
    local -a finished open
    local i
    if [[ ${texts[1]} == *[=:] ]]; then
        compadd -S '' -d shown -a texts
    else
        compadd -d shown -a texts
    fi
}
if [[ $funcstack[1] == _xe ]]; then _xe "$@"; else compdef _xe xe; fi
"#;

const FISH: &str = r#"# fish completion for xe: xe completion fish > ~/.config/fish/completions/xe.fish
function __xe_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    xe __complete -- $words[2..-1] "$current" 2>/dev/null
end
complete -c xe -f -a '(__xe_complete)'
complete -c xe -F -n 'string match -qr "(file-?name|certificate|private-key)=" -- (commandline -ct)'
"#;

#[cfg(test)]
mod tests;
