//! Whether a host is enough like those of a pool to join it: version, update level and processor (S1-22).
//!
//! Each difference is a sentence of its own that names both values, so that a person knows what to change. What `force` may
//! pass over is told apart from what no force makes work.

use std::collections::BTreeSet;

/// What a host is made of, as far as guests and other hosts depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Version of Holdfast.
    pub version: String,
    /// Schema of the database: what an update of the software raises.
    pub update: String,
    /// Vendor of the processors.
    pub vendor: String,
    /// Their model, for people.
    pub model: String,
    /// What they can do.
    pub flags: BTreeSet<String>,
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The software's version.
    Version,
    /// The schema's.
    Update,
    /// The processors' vendor.
    Vendor,
    /// The processors' features.
    Features,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Of what.
    pub subject: Subject,
    /// In words.
    pub text: String,
}

impl Difference {
    /// Whether a person may decide to join all the same.
    pub fn can_be_forced(&self) -> bool {
        !matches!(self.subject, Subject::Vendor | Subject::Update)
    }
}

/// Everything in which the joining host differs from a member. What one of the two does not tell is no difference.
pub fn differences(joining: &Machine, member: &str, there: &Machine) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut differ = |subject, what: &str, here: &str, there: &str| {
        if !here.is_empty() && !there.is_empty() && here != there {
            let text = format!("{what}: {here} here, {there} on host '{member}' of the pool");
            found.push(Difference { subject, text });
        }
    };
    differ(Subject::Version, "version of Holdfast", &joining.version, &there.version);
    differ(Subject::Update, "update level (schema)", &joining.update, &there.update);
    differ(Subject::Vendor, "processors' vendor", &joining.vendor, &there.vendor);
    if joining.flags.is_empty() || there.flags.is_empty() || joining.vendor != there.vendor {
        return found;
    }
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
        a.difference(b).cloned().collect()
    };
    let (missing, more) = (only(&there.flags, &joining.flags), only(&joining.flags, &there.flags));
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("this host lacks {}", missing.join(" ")));
    }
    if !more.is_empty() {
        parts.push(format!("this host alone has {}", more.join(" ")));
    }
    if !parts.is_empty() {
        let text = format!(
            "processors' features: {} ({} here, {} on host '{member}' of the pool)",
            parts.join("; "),
            joining.model,
            there.model
        );
        found.push(Difference { subject: Subject::Features, text });
    }
    found
}

/// Why the host may not join; `None`: it may.
pub fn refusal(differences: &[Difference], force: bool) -> Option<String> {
    let left: Vec<&str> = differences
        .iter()
        .filter(|d| !(force && d.can_be_forced()))
        .map(|d| d.text.as_str())
        .collect();
    if left.is_empty() {
        return None;
    }
    let way = if differences.iter().all(Difference::can_be_forced) {
        "; bring both to one level, or join all the same: xe pool-join ... force=true"
    } else {
        "; no force makes that work: bring both to one level"
    };
    Some(format!("{}{way}", left.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            version: "0.3.0".to_owned(),
            update: "7".to_owned(),
            vendor: "GenuineIntel".to_owned(),
            model: "Xeon E5".to_owned(),
            flags: ["sse2", "avx", "aes"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn like_hosts_and_hosts_that_do_not_tell_may_join() {
        assert_eq!(differences(&machine(), "h1", &machine()), []);
        let silent = Machine { version: "0.3.0".to_owned(), ..Machine::default() };
        assert_eq!(differences(&silent, "h1", &machine()), []);
        assert_eq!(refusal(&[], false), None);
    }

    #[test]
    fn each_difference_has_a_sentence_that_names_both_sides() {
        let flags = |all: &[&str]| all.iter().map(|f| (*f).to_owned()).collect::<BTreeSet<_>>();
        let cases = [
            (
                Machine { version: "0.4.0".to_owned(), ..machine() },
                "version of Holdfast: 0.4.0 here, 0.3.0 on host 'h1' of the pool",
                true,
            ),
            (
                Machine { update: "8".to_owned(), ..machine() },
                "update level (schema): 8 here, 7 on host 'h1' of the pool",
                false,
            ),
            (
                Machine { vendor: "AuthenticAMD".to_owned(), ..machine() },
                "processors' vendor: AuthenticAMD here, GenuineIntel on host 'h1' of the pool",
                false,
            ),
            (
                Machine { flags: flags(&["sse2", "aes", "avx512f"]), ..machine() },
                "processors' features: this host lacks avx; this host alone has avx512f (Xeon E5 here, Xeon E5 on host \
                 'h1' of the pool)",
                true,
            ),
        ];
        for (joining, text, forced) in cases {
            let found = differences(&joining, "h1", &machine());
            assert_eq!(found.iter().map(|d| d.text.as_str()).collect::<Vec<_>>(), [text]);
            assert!(refusal(&found, false).is_some_and(|why| why.starts_with(text)));
            assert_eq!(refusal(&found, true).is_none(), forced);
        }
    }

    #[test]
    fn all_differences_are_told_at_once() {
        let other = Machine {
            version: "1".to_owned(),
            flags: BTreeSet::from(["mmx".to_owned()]),
            ..machine()
        };
        let why = refusal(&differences(&other, "h1", &machine()), false).expect("they differ");
        assert!(why.contains("version of Holdfast") && why.contains("features"), "{why}");
        assert!(why.ends_with("force=true"), "{why}");
    }
}
