//! The command table: every command with its parameters, found by name, alias or the other vocabulary.
//!
//! All facts come from the datamodel; this module only puts record verbs and special commands into one list. Not here:
//! what a command does (`record`, `commands`).

use std::borrow::Cow;

use datamodel::{XeAccess, XeCommand, XeField, XeRecord};

/// A verb that every class of records has (those in [`XeRecord::verbs`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `vm-list`.
    List,
    /// `vm-param-list`.
    ParamList,
    /// `vm-param-get`.
    ParamGet,
    /// `vm-param-set`.
    ParamSet,
    /// `vm-param-add`.
    ParamAdd,
    /// `vm-param-remove`.
    ParamRemove,
    /// `vm-param-clear`.
    ParamClear,
}

impl Verb {
    const ALL: [(Verb, &'static str); 7] = [
        (Verb::List, "list"),
        (Verb::ParamList, "param-list"),
        (Verb::ParamGet, "param-get"),
        (Verb::ParamSet, "param-set"),
        (Verb::ParamAdd, "param-add"),
        (Verb::ParamRemove, "param-remove"),
        (Verb::ParamClear, "param-clear"),
    ];

    /// The word after the record's name.
    pub(crate) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(v, _)| *v == self).map(|(_, w)| *w).expect("every verb is listed")
    }
}

/// What stands behind a command word.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A verb on a class of records.
    Verb(&'static XeRecord, Verb),
    /// A command with its own function.
    Special(&'static XeCommand),
}

/// A command with its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    /// Its name, as XenServer spells it.
    pub name: Cow<'static, str>,
    /// What it is.
    pub kind: Kind,
    /// Parameters that must be given.
    pub required: Vec<Cow<'static, str>>,
    /// Parameters that may be given; a trailing `:` or `-` takes a map.
    pub optional: Vec<Cow<'static, str>>,
    /// Flags without their dashes.
    pub flags: Vec<&'static str>,
    /// `vm`, `host` or `sr`.
    pub selectors: Option<&'static str>,
    /// Shown by plain `xe help`.
    pub common: bool,
    /// Left out of `xe help --all`.
    pub hidden: bool,
    /// Spellings of parameters beside the real ones.
    pub param_aliases: &'static [(&'static str, &'static str)],
    /// Parameters that name a local file.
    pub files: &'static [&'static str],
    /// One line or a few.
    pub doc: Cow<'static, str>,
}

/// All classes of records.
pub(crate) fn records() -> &'static [&'static XeRecord] {
    datamodel::xe::RECORDS
}

/// All special commands.
pub(crate) fn specials() -> &'static [XeCommand] {
    datamodel::xe::COMMANDS
}

/// The record shown under `cli_name` (`vm`, `host-cpu`).
pub(crate) fn record(cli_name: &str) -> Option<&'static XeRecord> {
    datamodel::xe::record(cli_name)
}

/// The field of that `xe` name.
pub(crate) fn field(record: &'static XeRecord, name: &str) -> Option<&'static XeField> {
    record.field(name)
}

/// How the named table spells an enum's word; the word itself where the table has nothing else to say.
pub(crate) fn enum_string<'w>(table: &str, word: &'w str) -> Cow<'w, str> {
    let spelled = datamodel::xe::ENUM_STRINGS
        .iter()
        .find(|(name, _)| *name == table)
        .and_then(|(_, words)| words.iter().find(|(api, _)| *api == word));
    match spelled {
        Some((_, text)) => Cow::Borrowed(*text),
        None if table.contains("lowercase") => Cow::Owned(word.to_ascii_lowercase()),
        None => Cow::Borrowed(word),
    }
}

/// The API's word for one that the named table spells otherwise.
pub(crate) fn enum_word(table: &str, text: &str, words: &[&'static str]) -> Option<&'static str> {
    words
        .iter()
        .copied()
        .find(|w| *w == text || enum_string(table, w) == text)
        .or_else(|| words.iter().copied().find(|w| w.eq_ignore_ascii_case(text)))
        .or_else(|| {
            words.iter().copied().find(|w| {
                enum_string(table, w).eq_ignore_ascii_case(text)
                    || w.replace('_', "-").eq_ignore_ascii_case(text)
            })
        })
}

/// `name-label ( RW)`.
pub(crate) fn label(field: &XeField) -> String {
    let access = match field.access {
        XeAccess::RO => " ( RO)",
        XeAccess::RW => " ( RW)",
        XeAccess::SRO => " (SRO)",
        XeAccess::SRW => " (SRW)",
        XeAccess::MRO => " (MRO)",
        XeAccess::MRW => " (MRW)",
    };
    let deprecated = if field.deprecated { " [DEPRECATED]" } else { "" };
    format!("{}{access}{deprecated}", field.name)
}

/// Finds a command by its name, an alias, or with coordinator/member where XenServer says master/slave (S1-40).
pub(crate) fn command(word: &str) -> Option<Command> {
    if let Some(special) = datamodel::xe::command(word) {
        return Some(of_special(special));
    }
    for record in records() {
        let Some(rest) = word.strip_prefix(record.cli_name).and_then(|r| r.strip_prefix('-'))
        else {
            continue;
        };
        if let Some((verb, w)) = Verb::ALL.iter().find(|(_, w)| *w == rest)
            && record.verbs.contains(w)
        {
            return Some(of_verb(record, *verb));
        }
    }
    let old = to_old_words(word);
    (old != word).then(|| command(&old)).flatten()
}

/// coordinator → master, member(s) → slave(s).
pub(crate) fn to_old_words(word: &str) -> String {
    word.replace("coordinator", "master").replace("members", "slaves").replace("member", "slave")
}

/// Every command, sorted by name.
pub(crate) fn all() -> Vec<Command> {
    let verbs = records().iter().flat_map(|record| {
        Verb::ALL
            .iter()
            .filter(|(_, word)| record.verbs.contains(word))
            .map(|(verb, _)| of_verb(record, *verb))
    });
    let mut all: Vec<Command> = verbs.chain(specials().iter().map(of_special)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.dedup_by(|a, b| a.name == b.name);
    all
}

/// Every command's name, sorted.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = specials().iter().map(|c| c.name.to_owned()).collect();
    for record in records() {
        names.extend(record.verbs.iter().map(|v| format!("{}-{v}", record.cli_name)));
    }
    names.sort();
    names.dedup();
    names
}

/// The names nearest to a word nobody knows, best first.
pub(crate) fn suggestions(word: &str) -> Vec<String> {
    let word = word.to_ascii_lowercase();
    let mut scored: Vec<(usize, String)> = names()
        .into_iter()
        .filter_map(|name| {
            let distance = edit_distance(&word, &name);
            let near = distance <= 1 + word.len() / 4;
            let inside = word.len() >= 4 && name.contains(&word);
            let words =
                word.contains('-') && word.split('-').all(|w| name.split('-').any(|n| n == w));
            (near || inside || words).then_some((distance, name))
        })
        .collect();
    scored.sort();
    scored.into_iter().map(|(_, name)| name).take(5).collect()
}

/// Levenshtein's distance in bytes, with a swap of neighbours as one step.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

fn of_special(c: &'static XeCommand) -> Command {
    Command {
        name: Cow::Borrowed(c.name),
        kind: Kind::Special(c),
        required: c.required.iter().map(|p| Cow::Borrowed(*p)).collect(),
        optional: c
            .optional
            .iter()
            .chain(datamodel::xe::our_parameters(c.name))
            .map(|p| Cow::Borrowed(*p))
            .collect(),
        flags: c.flags.iter().map(|f| f.trim_start_matches('-')).collect(),
        selectors: c.selectors,
        common: c.common,
        hidden: c.hidden,
        param_aliases: c.param_aliases,
        files: c.files,
        doc: Cow::Borrowed(c.doc),
    }
}

fn of_verb(record: &'static XeRecord, verb: Verb) -> Command {
    let visible = || record.fields.iter().filter(|f| !f.hidden);
    let names = |keep: fn(&XeField) -> bool| {
        visible().filter(|f| keep(f)).map(|f| Cow::Borrowed(f.name)).collect::<Vec<_>>()
    };
    let is_map = |f: &XeField| f.access == XeAccess::MRW;
    let plural = if record.cli_name == "patch" {
        "patches".to_owned()
    } else {
        format!("{}s", record.cli_name)
    };
    let uuid = Cow::Borrowed("uuid");
    let param_name = Cow::Borrowed("param-name");
    let param_key = Cow::Borrowed("param-key");
    let database = Cow::Borrowed("database:");
    let (required, optional, doc) = match verb {
        Verb::List => {
            let mut optional = vec![Cow::Borrowed("params"), database];
            optional.extend(names(|_| true));
            optional.extend(
                visible()
                    .filter(|f| matches!(f.access, XeAccess::SRO | XeAccess::SRW))
                    .map(|f| Cow::Owned(format!("{}:contains", f.name))),
            );
            let doc = format!(
                "Lists all the {plural}, or those whose fields have the given values. A key of a map is written \
                 map-param:key=value."
            );
            (vec![], optional, Cow::Owned(doc))
        }
        Verb::ParamList => {
            (vec![uuid], vec![database], Cow::Borrowed("Lists all parameters of one object."))
        }
        Verb::ParamGet => (
            vec![uuid, param_name],
            vec![param_key, database],
            Cow::Borrowed(
                "Prints one parameter of one object; of a map, with param-key, one value.",
            ),
        ),
        Verb::ParamSet => {
            let mut optional = names(|f| f.access == XeAccess::RW);
            optional.extend(
                visible().filter(|f| is_map(f)).map(|f| Cow::Owned(format!("{}:", f.name))),
            );
            let doc = "Sets parameters; a key of a map is written map-param:key=value.";
            (vec![uuid], optional, Cow::Borrowed(doc))
        }
        Verb::ParamAdd => (
            vec![uuid, param_name],
            vec![param_key],
            Cow::Borrowed("Adds param-key to a set, or key=value pairs to a map."),
        ),
        Verb::ParamRemove => (
            vec![uuid, param_name, param_key],
            vec![],
            Cow::Borrowed("Removes a member of a set, or a key of a map."),
        ),
        Verb::ParamClear => {
            let clearable = names(|f| f.access != XeAccess::RO).join(",");
            let doc = format!("Empties a parameter (param-name can be {clearable}).");
            (vec![uuid, param_name], vec![], Cow::Owned(doc))
        }
    };
    Command {
        name: Cow::Owned(format!("{}-{}", record.cli_name, verb.word())),
        kind: Kind::Verb(record, verb),
        required,
        optional,
        flags: Vec::new(),
        selectors: None,
        common: verb == Verb::List && matches!(record.cli_name, "vm" | "network" | "sr"),
        hidden: false,
        param_aliases: &[],
        files: &[],
        doc,
    }
}
