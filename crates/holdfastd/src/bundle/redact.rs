//! Blanks secrets in text: values that are known, what stands behind a telling name, keys and password hashes by their
//! shape, and tokens that are those of a session of the pool.
//!
//! Rather too much than too little: what is blanked wrongly can be asked for again.

use std::collections::HashSet;

use pooldb::Table;
use serde_json::Value;
use uuid::Uuid;

use crate::View;
use crate::api::auth::SessionKey;

/// What stands instead.
pub(super) const BLANK: &str = "[left out]";
/// A shorter known secret would blank half of every log.
const LEAST: usize = 6;
/// Parts of names whose values are secret.
const TELLING: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "chap",
    "token",
    "credential",
    "privatekey",
    "private_key",
    "private-key",
    "pool_key",
    "pool-key",
    "poolkey",
    "authorization",
    "cookie",
    "session_id",
    "api_key",
    "apikey",
    "auth_key",
];

/// Knows what must not be seen.
#[derive(Debug)]
pub(super) struct Redactor {
    exact: Vec<String>,
    sessions: HashSet<String>,
    /// Uuids that are known to be none of a session; `None`: all sessions are known.
    harmless: Option<HashSet<String>>,
}

impl Redactor {
    /// With the values that are known to be secret, and the pool whose sessions are. A copy that may be `behind` (that of
    /// a dead daemon) lacks the latest sessions: then every uuid that it does not know otherwise is taken for a token.
    pub(super) fn new(known: &[String], view: Option<&View>, behind: bool) -> Self {
        let mut exact: Vec<String> = known.iter().filter(|k| k.len() >= LEAST).cloned().collect();
        exact.sort_by_key(|k| std::cmp::Reverse(k.len()));
        let sessions = view.map_or_else(HashSet::new, |view| {
            view.table(Table::Session).map(|item| item.key.id.to_string()).collect()
        });
        let harmless = behind.then(|| view.map(harmless).unwrap_or_default());
        Self { exact, sessions, harmless }
    }

    /// The text without secrets, and how many were blanked.
    pub(super) fn text(&self, text: &str) -> (String, usize) {
        let mut count = 0;
        let mut text = text.to_owned();
        for known in &self.exact {
            let found = text.matches(known.as_str()).count();
            if found > 0 {
                count += found;
                text = text.replace(known.as_str(), BLANK);
            }
        }
        text = blocks(&text, &mut count);
        let lines: Vec<String> = text.split('\n').map(|line| self.line(line, &mut count)).collect();
        (lines.join("\n"), count)
    }

    fn line(&self, line: &str, count: &mut usize) -> String {
        let line = hashes(line, count);
        let line = named(&line, count);
        self.tokens(&line, count)
    }

    /// References that are tokens of sessions.
    fn tokens(&self, line: &str, count: &mut usize) -> String {
        const LENGTH: usize = 36;
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(at) = find_uuid(rest) {
            let (before, from) = rest.split_at(at);
            let (uuid, after) = from.split_at(LENGTH);
            out.push_str(before);
            let is_unknown =
                self.harmless.as_ref().is_some_and(|h| !h.contains(&uuid.to_ascii_lowercase()));
            let is_session = Uuid::try_parse(uuid)
                .is_ok_and(|token| self.sessions.contains(&*SessionKey::of(token).key().id));
            if is_unknown || is_session {
                *count += 1;
                out.push_str(BLANK);
            } else {
                out.push_str(uuid);
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// Every uuid in the pool's records and their names.
fn harmless(view: &View) -> HashSet<String> {
    let mut found = HashSet::new();
    for item in view.iter().filter(|item| !super::SECRET_TABLES.contains(&item.key.table)) {
        let value = item.value();
        for text in [&*item.key.id, &*String::from_utf8_lossy(&value)] {
            let mut rest = text;
            while let Some(at) = find_uuid(rest) {
                found.insert(rest[at..at + 36].to_ascii_lowercase());
                rest = &rest[at + 36..];
            }
        }
    }
    found
}

/// Where the next text of the shape of a uuid begins.
fn find_uuid(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_uuid = |window: &[u8]| {
        window.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
    };
    bytes.windows(36).position(is_uuid)
}

/// Private keys in PEM, and their text in JSON strings.
fn blocks(text: &str, count: &mut usize) -> String {
    const END: &str = "PRIVATE KEY-----";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("-----BEGIN ") {
        let head_end = rest[at + 11..].find("-----").map(|n| at + 11 + n + 5);
        let Some(head_end) = head_end else { break };
        if !rest[at..head_end].ends_with(END) {
            out.push_str(&rest[..head_end]);
            rest = &rest[head_end..];
            continue;
        }
        *count += 1;
        out.push_str(&rest[..at]);
        out.push_str(BLANK);
        rest = match rest[head_end..].find(END) {
            Some(end) => &rest[head_end + end + END.len()..],
            None => "",
        };
    }
    out.push_str(rest);
    out
}

/// Password hashes in PHC or crypt form.
fn hashes(line: &str, count: &mut usize) -> String {
    let mut out = line.to_owned();
    for mark in ["$argon2", "$6$", "$5$", "$y$", "$2b$"] {
        while let Some(at) = out.find(mark) {
            let end = out[at..]
                .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ':' | '\\'))
                .map_or(out.len(), |n| at + n);
            out.replace_range(at..end, BLANK);
            *count += 1;
        }
    }
    out
}

/// Whether a name says that its value is a secret.
fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|t| name.contains(t))
}

/// `name=value`, `name: value`, `"name": "value"` with a telling name.
fn named(line: &str, count: &mut usize) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(is_name) {
        let end = rest[start..].find(|c| !is_name(c)).map_or(rest.len(), |n| start + n);
        let name = &rest[start..end];
        out.push_str(&rest[..end]);
        rest = &rest[end..];
        if !is_telling(name) {
            continue;
        }
        // A quote that closes the name (escaped, in JSON inside JSON), blanks, then the sign.
        let joint =
            rest.find(|c: char| !matches!(c, '"' | '\'' | '\\' | ' ')).unwrap_or(rest.len());
        if !rest[joint..].starts_with(['=', ':']) {
            continue;
        }
        let after = &rest[joint + 1..];
        let opening =
            after.find(|c: char| !matches!(c, '"' | '\'' | '\\' | ' ')).unwrap_or(after.len());
        let quoted = after[..opening].contains(['"', '\'']);
        let value = &after[opening..];
        let stop = |c: char| match c {
            '"' | '\'' => true,
            '\\' | ',' | '}' | ']' | ' ' | '&' | ';' | ')' => !quoted || c == '\\',
            _ => false,
        };
        // A header's value has blanks in it.
        let header = ["authorization", "cookie"].iter().any(|h| name.eq_ignore_ascii_case(h));
        let length =
            if header && !quoted { value.len() } else { value.find(stop).unwrap_or(value.len()) };
        out.push_str(&rest[..joint + 1]);
        out.push_str(&after[..opening]);
        let held = &value[..length];
        // Nothing, a truth value or a type's name is no secret.
        let harmless = matches!(held, "" | "true" | "false" | "null" | "None" | "[" | "{")
            || held.starts_with(['[', '{']);
        if harmless {
            out.push_str(held);
        } else {
            out.push_str(BLANK);
            *count += 1;
        }
        rest = &value[length..];
    }
    out.push_str(rest);
    out
}

/// Blanks values under telling names, at any depth.
pub(super) fn blank_keys(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map.iter_mut() {
                if is_telling(name) && (inner.is_string() || inner.is_number()) {
                    *inner = Value::String(BLANK.to_owned());
                } else {
                    blank_keys(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(blank_keys),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Blanks fields by their exact names, at any depth.
pub(super) fn blank_named(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map.iter_mut() {
                if names.contains(&name.as_str()) {
                    *inner = Value::String(BLANK.to_owned());
                } else {
                    blank_named(inner, names);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| blank_named(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_all_shapes_are_blanked_and_the_rest_stays() {
        let redactor = Redactor::new(&["0123456789abcdef".to_owned()], None, false);
        let table = [
            ("login with password=hunter22 from 10.0.0.1", "hunter22", "10.0.0.1"),
            (
                r#"{"chapuser":"u","chappassword":"s3cr3t word","target":"iqn"}"#,
                "s3cr3t word",
                "iqn",
            ),
            (r#"{\"chappassword\":\"s3cr3t\",\"target\":\"iqn\"}"#, "s3cr3t", "iqn"),
            ("incoming_chappassword: 'other one' next", "other one", "next"),
            ("key 0123456789abcdef used", "0123456789abcdef", "used"),
            ("Authorization: Basic cm9vdDp4", "cm9vdDp4", "Authorization"),
            ("root:$6$salt$hash:19000:0", "$6$salt$hash", "19000"),
            (r#""hash":"$argon2id$v=19$m=7168$abc","role":"pool-admin""#, "m=7168", "pool-admin"),
            ("session_id=OpaqueRef:11111111-2222-3333-4444-555555555555&x=1", "11111111", "x=1"),
        ];
        for (text, secret, stays) in table {
            let (clean, count) = redactor.text(text);
            assert!(!clean.contains(secret), "{text} -> {clean}");
            assert!(clean.contains(stays) && count > 0, "{text} -> {clean}");
        }
        let plain = "VM web1 (d8d61c2e-219e-4a2e-b53b-288be5b9ec6c) started; tokens: none";
        assert!(redactor.text(plain).0.contains("d8d61c2e-219e-4a2e-b53b-288be5b9ec6c"));
    }

    #[test]
    fn beside_a_dead_daemon_a_uuid_that_nobody_knows_may_be_a_token() {
        let text = "saw OpaqueRef:11111111-2222-3333-4444-555555555555 again";
        assert_eq!(Redactor::new(&[], None, false).text(text).0, text);
        let (clean, count) = Redactor::new(&[], None, true).text(text);
        assert_eq!((clean.as_str(), count), ("saw OpaqueRef:[left out] again", 1));
    }

    #[test]
    fn a_private_key_is_blanked_wherever_it_stands_and_a_certificate_is_not() {
        let redactor = Redactor::new(&[], None, false);
        let key = "a\n-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\nb";
        let (clean, _) = redactor.text(key);
        assert!(!clean.contains("MIIabc") && clean.starts_with("a\n") && clean.ends_with("\nb"));
        let cert = "-----BEGIN CERTIFICATE-----\nMIIabc\n-----END CERTIFICATE-----";
        assert_eq!(redactor.text(cert).0, cert);
    }

    #[test]
    fn values_under_telling_names_are_blanked_in_records() {
        let mut value =
            serde_json::json!({"device_config": {"chappassword": "x", "target": "iqn"}});
        blank_keys(&mut value);
        assert_eq!(value["device_config"]["chappassword"], BLANK);
        assert_eq!(value["device_config"]["target"], "iqn");
    }
}
