//! The grammar of LVM's metadata texts and of its backup files: sections, `key = value`, lists, comments.
//!
//! Tolerant: what was read before an error is returned with the error's place, so a text whose end was overwritten still tells what stood
//! at its start. Whether it is complete is said too.

use crate::Defect;

/// Sections in sections beyond this depth are damage.
const MAX_DEPTH: usize = 16;

/// Defects beyond this many say nothing new.
const MAX_DEFECTS: usize = 20;

/// What stands behind a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// Text without its quotes.
    Text(String),
    /// `[a, b]`.
    List(Vec<Value>),
    /// `{ … }`.
    Section(Section),
}

/// Keys with their values, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    /// Key, value, and the key's byte in the text.
    pub entries: Vec<(String, Value, usize)>,
}

impl Section {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(k, ..)| k == key).map(|(_, value, _)| value)
    }

    /// A whole number that is not negative.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of a list; a single text counts as one.
    #[must_use]
    pub fn texts(&self, key: &str) -> Vec<String> {
        match self.get(key) {
            Some(Value::List(list)) => list
                .iter()
                .filter_map(|v| match v {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            Some(Value::Text(text)) => vec![text.clone()],
            _ => Vec::new(),
        }
    }

    /// A section inside.
    #[must_use]
    pub fn section(&self, key: &str) -> Option<&Section> {
        match self.get(key)? {
            Value::Section(section) => Some(section),
            _ => None,
        }
    }

    /// The sections inside, with their names.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.entries.iter().filter_map(|(key, value, _)| match value {
            Value::Section(section) => Some((key.as_str(), section)),
            _ => None,
        })
    }
}

/// A parsed text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// What stands outside of all sections: the group, and keys about the text.
    pub root: Section,
    /// Nothing was wrong and all sections were closed.
    pub complete: bool,
    /// What is wrong, at bytes of the text.
    pub defects: Vec<Defect>,
}

/// Parses a text up to its first NUL.
#[must_use]
pub fn parse(bytes: &[u8]) -> Text {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    let mut parser = Parser { bytes: &bytes[..end], at: 0, defects: Vec::new(), stopped: false };
    let mut root = Section::default();
    parser.section(&mut root, 0);
    Text { root, complete: parser.defects.is_empty(), defects: parser.defects }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    defects: Vec<Defect>,
    /// Reading on would guess.
    stopped: bool,
}

impl Parser<'_> {
    fn defect(&mut self, what: impl Into<String>) {
        if self.defects.len() < MAX_DEFECTS {
            self.defects.push(Defect::new(self.at as u64, what));
        }
    }

    fn stop(&mut self, what: impl Into<String>) {
        if !self.stopped {
            self.defect(what);
        }
        self.stopped = true;
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Blanks, line ends and comments.
    fn skip(&mut self) {
        while let Some(byte) = self.peek() {
            if byte == b'#' {
                let rest = &self.bytes[self.at..];
                self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            } else if byte.is_ascii_whitespace() {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    /// Fills `into` up to the closing brace, or the end at depth 0.
    fn section(&mut self, into: &mut Section, depth: usize) {
        loop {
            self.skip();
            if self.stopped {
                return;
            }
            match self.peek() {
                None if depth == 0 => return,
                None => return self.stop("the text ends inside a section"),
                Some(b'}') if depth > 0 => {
                    self.at += 1;
                    return;
                }
                Some(_) => {}
            }
            let place = self.at;
            let Some(key) = self.key() else {
                return self.stop("no key where one is due");
            };
            self.skip();
            let value = match self.peek() {
                Some(b'{') if depth < MAX_DEPTH => {
                    self.at += 1;
                    let mut section = Section::default();
                    self.section(&mut section, depth + 1);
                    Some(Value::Section(section))
                }
                Some(b'=') => {
                    self.at += 1;
                    self.value(true)
                }
                _ => {
                    self.stop(format!("neither a value nor a section behind {key}"));
                    None
                }
            };
            // A section whose end is missing is kept: it may hold most of what there was.
            if let Some(value) = value {
                into.entries.push((key, value, place));
            }
        }
    }

    fn key(&mut self) -> Option<String> {
        let rest = &self.bytes[self.at..];
        if rest.first() == Some(&b'"') {
            return match self.quoted()? {
                Value::Text(text) => Some(text),
                _ => None,
            };
        }
        let fine = |b: &u8| b.is_ascii_alphanumeric() || b"_-.+/@".contains(b);
        let len = rest.iter().position(|b| !fine(b)).unwrap_or(rest.len());
        self.at += len;
        (len > 0).then(|| String::from_utf8_lossy(&rest[..len]).into_owned())
    }

    fn value(&mut self, lists: bool) -> Option<Value> {
        self.skip();
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'[') if lists => self.list(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                self.stop("no value where one is due");
                None
            }
        }
    }

    fn quoted(&mut self) -> Option<Value> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            match self.peek() {
                None | Some(b'\n') => {
                    self.stop("a text in quotes has no end");
                    return None;
                }
                Some(b'"') => {
                    self.at += 1;
                    return Some(Value::Text(String::from_utf8_lossy(&text).into_owned()));
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.extend(self.peek());
                    self.at += 1;
                }
                Some(byte) => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn list(&mut self) -> Option<Value> {
        self.at += 1;
        let mut list = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                Some(b']') => {
                    self.at += 1;
                    return Some(Value::List(list));
                }
                Some(b',') => self.at += 1,
                None => {
                    self.stop("a list has no end");
                    return None;
                }
                Some(_) => list.push(self.value(false)?),
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let rest = &self.bytes[self.at..];
        let fine = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'.');
        let len = rest.iter().position(|b| !fine(b)).unwrap_or(rest.len());
        let text = String::from_utf8_lossy(&rest[..len]);
        // Fractions appear in no field that is needed: their whole part is enough.
        let number = text.split('.').next().unwrap_or_default().parse().ok();
        if number.is_none() {
            self.stop(format!("{text} is no number"));
        }
        self.at += len;
        number.map(Value::Integer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"vg {\nid = \"a-b\"\nseqno = 3\nstatus = [\"READ\", \"WRITE\"]\nflags = []\n\
        pvs {\n\npv0 {\ndevice = \"/dev/\\\"x\\\\\"\t# Hint only\nnumber = -5\n}\n}\n}\n# Generated\ncontents = \"Text\"\n\0garbage {";

    #[test]
    fn sections_lists_escapes_and_comments_are_read() {
        let text = parse(TEXT);
        assert!(text.complete, "{:?}", text.defects);
        let vg = text.root.section("vg").expect("the group");
        assert_eq!(vg.number("seqno"), Some(3));
        assert_eq!(vg.texts("status"), ["READ", "WRITE"]);
        assert!(vg.texts("flags").is_empty());
        let pv = vg.section("pvs").and_then(|s| s.section("pv0")).expect("a volume");
        assert_eq!(pv.text("device"), Some("/dev/\"x\\"));
        assert_eq!(pv.get("number"), Some(&Value::Integer(-5)));
        assert_eq!(text.root.text("contents"), Some("Text"));
    }

    #[test]
    fn a_cut_text_gives_what_stood_before_the_cut() {
        let text = parse(&TEXT[..60]);
        assert!(!text.complete);
        assert_eq!(text.root.section("vg").and_then(|vg| vg.number("seqno")), Some(3));
    }

    #[test]
    fn deep_nesting_and_every_cut_end_without_panic() {
        let deep = "a {".repeat(100_000);
        assert!(!parse(deep.as_bytes()).complete);
        for end in 0..TEXT.len() {
            let _ = parse(&TEXT[..end]);
        }
    }
}
