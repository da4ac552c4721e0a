//! Typographic characters from pasted text: recognised, pointed at, and the corrected command shown (S2-44).
//!
//! Web pages turn `"` into curly quotes, `-` into dashes and blanks into no-break spaces. Inside a value they may be
//! meant (a VM may be named `Jack’s VM`), so only places are judged where they cannot be: the command word, the name
//! of a parameter, the start of a flag, quotes around a value, a no-break space between two arguments. `--literal`
//! switches the check off.

/// What is wrong with a command line, and how it would read corrected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pasted {
    /// The argument, as typed.
    pub argument: String,
    /// Column of the first bad character in `argument`, counted in characters.
    pub column: usize,
    /// The bad character.
    pub found: char,
    /// What should stand there.
    pub instead: &'static str,
    /// The whole command, corrected; secrets are masked.
    pub corrected: String,
}

/// The plain character for a typographic one.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{2010}'..='\u{2013}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}' => "-",
        '\u{2014}' | '\u{2015}' => "--",
        '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{00ab}' | '\u{00bb}' | '\u{ff02}' => "\"",
        '\u{2018}'..='\u{201b}' | '\u{2032}' | '\u{2039}' | '\u{203a}' | '\u{ff07}' => "'",
        '\u{00a0}' | '\u{2007}' | '\u{202f}' | '\u{2009}' | '\u{3000}' => " ",
        '\u{200b}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}' => "",
        '\u{ff1d}' => "=",
        _ => return None,
    })
}

fn is_dash(c: char) -> bool {
    matches!(plain(c), Some("-" | "--"))
}

fn is_quote(c: char) -> bool {
    matches!(plain(c), Some("\"" | "'"))
}

/// Column of the first character in `argument` that cannot be meant, if there is one.
fn first_bad(argument: &str, is_command: bool) -> Option<usize> {
    let chars: Vec<char> = argument.chars().collect();
    let typographic = |c: char| plain(c).is_some();
    if is_command {
        return chars.iter().position(|c| typographic(*c));
    }
    if chars.first().is_some_and(|c| is_dash(*c)) {
        return Some(0);
    }
    let equals = chars.iter().position(|c| *c == '=').unwrap_or(chars.len());
    // A bare word may be the rest of a value that curly quotes failed to hold together; only its end is telling.
    if equals == chars.len() && !argument.starts_with('-') {
        return chars.iter().rposition(|c| is_quote(*c)).filter(|i| *i + 1 == chars.len());
    }
    if let Some(column) = chars[..equals].iter().position(|c| typographic(*c)) {
        return Some(column);
    }
    let value = &chars[(equals + 1).min(chars.len())..];
    if value.first().is_some_and(|c| is_quote(*c)) {
        return Some(equals + 1);
    }
    // `params=all<nbsp>--minimal` arrives as one argument.
    let blank = value.iter().position(|c| plain(*c) == Some(" "))?;
    let rest: String = value[blank + 1..].iter().collect();
    let looks_like_argument = rest.starts_with("--")
        || rest.split(char::is_whitespace).next().is_some_and(|word| {
            word.split_once('=').is_some_and(|(key, _)| {
                !key.is_empty()
                    && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_:".contains(c))
            })
        });
    looks_like_argument.then_some(equals + 1 + blank)
}

/// Looks the command line over; `arguments` are those after `xe`.
pub(crate) fn check(arguments: &[String]) -> Option<Pasted> {
    let command = arguments.iter().position(|a| !a.starts_with('-'));
    let (argument, column) = arguments
        .iter()
        .enumerate()
        .find_map(|(i, a)| first_bad(a, Some(i) == command).map(|column| (a, column)))?;
    let found = argument.chars().nth(column)?;
    Some(Pasted {
        argument: argument.clone(),
        column,
        found,
        instead: plain(found).unwrap_or(""),
        corrected: correct(arguments),
    })
}

/// The command line with plain characters. Arguments that curly quotes failed to hold together become one again.
fn correct(arguments: &[String]) -> String {
    let mut out = String::from("xe");
    let mut open_quote = false;
    for argument in arguments {
        out.push(' ');
        let secret = argument.split_once('=').is_some_and(|(k, _)| k.contains("password"));
        if secret {
            out.push_str(argument.split('=').next().unwrap_or_default());
            out.push_str("=***");
            continue;
        }
        let opens = argument.chars().any(is_quote);
        if open_quote || opens || argument.chars().any(|c| plain(c).is_some()) {
            let text = argument.strip_prefix('\u{2013}').map_or_else(
                || argument.clone(),
                // One dash before a word of several letters was two before the page's software joined them.
                |rest| if rest.len() > 2 { format!("--{rest}") } else { format!("-{rest}") },
            );
            for c in text.chars() {
                match plain(c) {
                    Some(p) => {
                        if is_quote(c) {
                            open_quote = !open_quote;
                        }
                        out.push_str(p);
                    }
                    None => out.push(c),
                }
            }
        } else {
            out.push_str(&shell_quoted(argument));
        }
    }
    out
}

/// The argument as a POSIX shell takes it.
pub(crate) fn shell_quoted(argument: &str) -> String {
    let safe = |c: char| c.is_alphanumeric() || "-_=:,./@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(safe) {
        return argument.to_owned();
    }
    match argument.split_once('=') {
        Some((key, value)) if key.chars().all(safe) => {
            format!("{key}='{}'", value.replace('\'', "'\\''"))
        }
        _ => format!("'{}'", argument.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    /// proves: S2-44 (table)
    #[test]
    fn curly_quotes_around_a_value_with_spaces_are_corrected() {
        let found =
            check(&words("sr-create content-type=user name-label=“Local storage 2” shared=false"))
                .expect("curly quotes are found");
        assert_eq!(found.found, '“');
        assert_eq!(found.column, 11);
        assert_eq!(
            found.corrected,
            "xe sr-create content-type=user name-label=\"Local storage 2\" shared=false"
        );
    }

    /// proves: S2-44 (table)
    #[test]
    fn an_en_dash_in_a_flag_or_in_the_command_is_corrected() {
        let found = check(&words("vm-reset-powerstate vm=web1 –force")).expect("found");
        assert_eq!(found.corrected, "xe vm-reset-powerstate vm=web1 --force");
        let found = check(&words("vm–list")).expect("found");
        assert_eq!(found.corrected, "xe vm-list");
        let found = check(&words("vm-start vm=a —force")).expect("found");
        assert_eq!(found.corrected, "xe vm-start vm=a --force");
        let found = check(&words("host-list name–label=h1")).expect("found");
        assert_eq!(found.corrected, "xe host-list name-label=h1");
    }

    /// proves: S2-44 (table)
    #[test]
    fn a_no_break_space_between_arguments_is_corrected() {
        let found = check(&["vm-list\u{a0}params=all".into()]).expect("found");
        assert_eq!(found.corrected, "xe vm-list params=all");
        let found = check(&words("vm-list params=all\u{a0}--minimal")).expect("found");
        assert_eq!(found.corrected, "xe vm-list params=all --minimal");
    }

    /// proves: S0-33 (table)
    #[test]
    fn typographic_characters_inside_names_are_left_alone() {
        for name in [
            "name-label=Jack’s VM",
            "name-label=a – b",
            "name-label=été\u{a0}2026",
            "name-label=💾",
        ] {
            assert_eq!(check(&["vm-list".into(), name.into()]), None, "{name}");
        }
    }

    #[test]
    fn secrets_do_not_appear_in_the_corrected_command() {
        let found = check(&words("pool-join master-password=hush –force")).expect("found");
        assert!(!found.corrected.contains("hush"));
    }
}
