//! When a boot of a host counts as ended: which proof suffices for whom (design.md section 5.5).
//!
//! A fence is a record that says "this boot of this host has ended", with its [`Proof`]. From its commit on everything
//! that boot held is void, so a wrong fence lets a VM run twice: the rules here only ever err towards waiting.
//!
//! * Unknown is never fenced: no quorum, no fence.
//! * Whoever renews its lease or has been heard of late is not off, whatever anybody says (S1-4).
//! * A lease's end alone proves nothing; a watchdog must have been armed, and its bound must have passed. A watchdog in
//!   software counts only after the pool's owner has acknowledged it (ha-anchors section 6, rule 6).
//! * Power is off when it was read back off twice after the host fell silent; that an order was given proves nothing. That
//!   counts before the lease has run out too, once a renewal is overdue: a device that is another machine's would show a
//!   host as off that goes on renewing.
//! * A person may say so, in words that name the host; never before the lease and its grace are over (S09).
//! * Another boot of the same host proves that the former one has ended. It says nothing of placements elsewhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A lease that was not renewed for so long has missed a renewal (K of ha-anchors section 6 is 2 s).
pub const OVERDUE: Duration = Duration::from_secs(3);
/// Silence that is enough beside power that was read back off.
pub const SILENT_WITHOUT_POWER: Duration = Duration::from_secs(2);
/// Times that a power device must have said "off".
pub const POWER_READS: u32 = 2;

/// What proves that a boot has ended. Kept in the fence's record for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Proof {
    /// A power device said "off" each time it was read.
    PowerOff {
        /// Which device: its kind.
        device: String,
        /// How often in a row it said so.
        reads: u32,
    },
    /// The host's lease on shared storage expired and the watchdog's bound has passed since.
    DiskLease {
        /// Repository with the lease.
        sr: String,
        /// The watchdog that was armed.
        watchdog: Watchdog,
        /// Since the lease's end, milliseconds.
        waited_ms: u64,
    },
    /// The host's lease in the pool database expired while commits were continuous, and the watchdog's bound has passed.
    LeaseAndWatchdog {
        /// The watchdog that was armed.
        watchdog: Watchdog,
        /// Since the lease's end, milliseconds.
        waited_ms: u64,
    },
    /// A person said so.
    Person {
        /// The account.
        who: String,
        /// Where from.
        origin: String,
        /// The words, as typed.
        phrase: String,
    },
    /// The host runs another boot by now.
    NewerBoot {
        /// Which.
        boot_id: String,
    },
}

/// What stops a host that can't stop itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watchdog {
    /// None is armed.
    None,
    /// The kernel's: a kernel that stops servicing timers is not stopped by it.
    Software,
    /// A device of its own.
    Hardware,
}

/// What the pool's owner has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A software watchdog counts as proof.
    pub software_watchdog_accepted: bool,
    /// How long after a lease's end the watchdog has certainly bitten.
    pub watchdog_bound: Duration,
    /// How long after a lease's end a person's word counts: its grace.
    pub grace: Duration,
}

/// What this host knows of the other one, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// This host has a quorum, so that the facts below are the pool's.
    pub quorum: bool,
    /// The boot that is to be fenced.
    pub boot: &'a str,
    /// The boot that the host has told the pool of last.
    pub registered_boot: Option<&'a str>,
    /// Its lease.
    pub lease: Lease<'a>,
    /// Since it was heard last; `None` if it never was.
    pub silent: Option<Duration>,
    /// From which silence on a host counts as silent.
    pub silent_from: Duration,
    /// Commits were continuous during the whole wait (rule 3b).
    pub commits_continuous: bool,
}

/// A host's lease in the pool database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease<'a> {
    /// Held by that boot.
    Held {
        /// Which.
        boot: &'a str,
        /// For how long it has certainly not been renewed; `None`: unknown.
        unrenewed: Option<Duration>,
    },
    /// Gone, and for how long this host has seen that.
    Gone {
        /// Since.
        since: Duration,
    },
}

/// Why a boot is not fenced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// This side has no majority.
    Quorum,
    /// It holds its lease.
    HoldsLease,
    /// It was heard this long ago.
    Answers(Duration),
    /// The proof counts from then on.
    Wait(Duration),
    /// The power device has not said "off" often enough.
    PowerReads(u32),
    /// No watchdog was armed that could have stopped it.
    NoWatchdog,
    /// Only a software watchdog, which the pool's owner has not accepted as proof.
    SoftwareWatchdog,
    /// The database stood still: the lease's end says nothing.
    CommitsStalled,
    /// The words do not name the host as off.
    Phrase {
        /// The words that would.
        expected: String,
    },
    /// The host has told of no other boot.
    SameBoot,
    /// A fence is about a boot, and none is known.
    BootUnknown,
}

/// The words by which a person says that a host is off.
pub fn phrase(label: &str) -> String {
    format!("{label} is powered off")
}

/// Whether typed words name the host as off: its name or uuid, whatever the capitals and the spaces.
pub fn is_phrase(typed: &str, label: &str, uuid: &str) -> bool {
    let plain = |text: &str| {
        text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_lowercase()
    };
    let typed = plain(typed);
    typed == plain(&phrase(label)) || typed == plain(&phrase(uuid))
}

/// Judges a proof against the facts.
///
/// # Errors
/// What is missing; the boot must then count as running.
pub fn judge(
    proof: &Proof,
    facts: &Facts<'_>,
    label: &str,
    uuid: &str,
    settings: &Settings,
) -> Result<(), Missing> {
    if !facts.quorum {
        return Err(Missing::Quorum);
    }
    if facts.boot.is_empty() {
        return Err(Missing::BootUnknown);
    }
    if let Proof::NewerBoot { boot_id } = proof {
        let other = boot_id != facts.boot && facts.registered_boot == Some(boot_id.as_str());
        let held = matches!(facts.lease, Lease::Held { boot, .. } if boot == facts.boot);
        return if held {
            Err(Missing::HoldsLease)
        } else if other {
            Ok(())
        } else {
            Err(Missing::SameBoot)
        };
    }
    let is_off = matches!(proof, Proof::PowerOff { reads, .. } if *reads >= POWER_READS);
    let silent_from =
        if is_off { facts.silent_from.min(SILENT_WITHOUT_POWER) } else { facts.silent_from };
    let answers = || match facts.silent {
        Some(silent) if silent < silent_from => Err(Missing::Answers(silent)),
        _ => Ok(()),
    };
    let since = match facts.lease {
        Lease::Gone { since } => since,
        Lease::Held { boot, unrenewed } => {
            let overdue = boot == facts.boot && unrenewed.is_some_and(|age| age >= OVERDUE);
            return if is_off && overdue { answers() } else { Err(Missing::HoldsLease) };
        }
    };
    answers()?;
    let after = |bound: Duration| match bound.checked_sub(since) {
        Some(left) if !left.is_zero() => Err(Missing::Wait(left)),
        _ => Ok(()),
    };
    let bitten = |watchdog: Watchdog| match watchdog {
        Watchdog::None => Err(Missing::NoWatchdog),
        Watchdog::Software if !settings.software_watchdog_accepted => {
            Err(Missing::SoftwareWatchdog)
        }
        Watchdog::Software | Watchdog::Hardware => after(settings.watchdog_bound),
    };
    match proof {
        Proof::PowerOff { reads, .. } if *reads < POWER_READS => Err(Missing::PowerReads(*reads)),
        Proof::PowerOff { .. } | Proof::NewerBoot { .. } => Ok(()),
        Proof::DiskLease { watchdog, .. } => bitten(*watchdog),
        Proof::LeaseAndWatchdog { .. } if !facts.commits_continuous => Err(Missing::CommitsStalled),
        Proof::LeaseAndWatchdog { watchdog, .. } => bitten(*watchdog),
        Proof::Person { phrase: typed, .. } => {
            if is_phrase(typed, label, uuid) {
                after(settings.grace)
            } else {
                Err(Missing::Phrase { expected: phrase(label) })
            }
        }
    }
}

impl Proof {
    /// In words, for people.
    pub fn text(&self) -> String {
        match self {
            Self::PowerOff { device, reads } => {
                format!("its power was read back off {reads} times through {device}")
            }
            Self::DiskLease { sr, waited_ms, .. } => format!(
                "its lease on repository {sr} ended {} s before, and its watchdog has bitten since",
                waited_ms / 1000
            ),
            Self::LeaseAndWatchdog { waited_ms, .. } => format!(
                "its lease ended {} s before, and its watchdog has bitten since",
                waited_ms / 1000
            ),
            Self::Person { who, origin, phrase } => {
                format!("{who} said from {origin}: \"{phrase}\"")
            }
            Self::NewerBoot { boot_id } => format!("it has started again (boot {boot_id})"),
        }
    }
}

impl Missing {
    /// In words: what is known, and what would be proof. `label` and `uuid` are the host's.
    pub fn text(&self, label: &str, uuid: &str) -> String {
        let host = format!("host '{label}' ({uuid})");
        match self {
            Self::Quorum => {
                format!("this side of the pool has no majority, so nothing is known of {host}")
            }
            Self::HoldsLease => format!("{host} renews its lease: it runs"),
            Self::Answers(ago) => {
                format!("{host} was heard {:.1} s ago: it runs", ago.as_secs_f64())
            }
            Self::Wait(left) => format!(
                "{host} has not been silent for long enough; the proof counts in {:.0} s",
                left.as_secs_f64().ceil()
            ),
            Self::PowerReads(reads) => format!(
                "the power of {host} must be read back off {POWER_READS} times, and was {reads} times"
            ),
            Self::NoWatchdog => format!(
                "nothing proves that {host} has stopped: silence is no proof, and no watchdog was armed on it"
            ),
            Self::SoftwareWatchdog => format!(
                "{host} had only a software watchdog, which this pool has not accepted as proof"
            ),
            Self::CommitsStalled => {
                format!(
                    "the pool database stood still, so the end of {host}'s lease proves nothing"
                )
            }
            Self::Phrase { expected } => {
                format!("nothing proves that {host} has stopped; if you know it, say: {expected}")
            }
            Self::SameBoot => format!("{host} has not started again"),
            Self::BootUnknown => format!("{host} has never told which boot it runs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        software_watchdog_accepted: false,
        watchdog_bound: Duration::from_secs(8),
        grace: Duration::from_secs(4),
    };
    const DEAD: Facts<'static> = Facts {
        quorum: true,
        boot: "a",
        registered_boot: Some("a"),
        lease: Lease::Gone { since: Duration::from_secs(60) },
        silent: Some(Duration::from_secs(72)),
        silent_from: Duration::from_secs(4),
        commits_continuous: true,
    };

    fn judged(proof: &Proof, facts: &Facts<'_>) -> Result<(), Missing> {
        judge(proof, facts, "h3", "u3", &SETTINGS)
    }

    fn off(reads: u32) -> Proof {
        Proof::PowerOff { device: "fence_ipmilan".to_owned(), reads }
    }

    fn person(words: &str) -> Proof {
        let (who, origin) = ("root".to_owned(), "10.0.0.9".to_owned());
        Proof::Person { who, origin, phrase: words.to_owned() }
    }

    fn leased(watchdog: Watchdog) -> Proof {
        Proof::LeaseAndWatchdog { watchdog, waited_ms: 60_000 }
    }

    /// proves: S1-4 (table)
    #[test]
    fn whoever_renews_its_lease_or_was_heard_is_not_off_whatever_the_proof() {
        let held = Facts { lease: Lease::Held { boot: "a", unrenewed: None }, ..DEAD };
        let heard = Facts { silent: Some(Duration::from_secs(1)), ..DEAD };
        for proof in [off(9), person("h3 is powered off"), leased(Watchdog::Hardware)] {
            assert_eq!(judged(&proof, &DEAD), Ok(()), "{proof:?}");
            assert_eq!(judged(&proof, &held), Err(Missing::HoldsLease));
            assert_eq!(judged(&proof, &heard), Err(Missing::Answers(Duration::from_secs(1))));
        }
    }

    /// proves: S1-5 (table)
    #[test]
    fn a_side_without_quorum_fences_nobody() {
        let cut_off = Facts { quorum: false, ..DEAD };
        let newer = Proof::NewerBoot { boot_id: "b".to_owned() };
        for proof in [off(2), person("h3 is powered off"), leased(Watchdog::Hardware), newer] {
            assert_eq!(judged(&proof, &cut_off), Err(Missing::Quorum));
        }
    }

    #[test]
    fn power_that_is_off_counts_before_the_leases_end_once_a_renewal_is_overdue() {
        let held = |seconds, silent| Facts {
            lease: Lease::Held { boot: "a", unrenewed: Some(Duration::from_secs(seconds)) },
            silent: Some(Duration::from_secs(silent)),
            ..DEAD
        };
        assert_eq!(judged(&off(2), &held(3, 2)), Ok(()));
        assert_eq!(judged(&off(2), &held(2, 60)), Err(Missing::HoldsLease));
        assert_eq!(judged(&off(1), &held(9, 60)), Err(Missing::HoldsLease));
        assert_eq!(judged(&off(2), &held(9, 1)), Err(Missing::Answers(Duration::from_secs(1))));
        for proof in [person("h3 is powered off"), leased(Watchdog::Hardware)] {
            assert_eq!(judged(&proof, &held(9, 60)), Err(Missing::HoldsLease), "{proof:?}");
        }
        let other = Facts { boot: "z", ..held(9, 60) };
        assert_eq!(judged(&off(2), &other), Err(Missing::HoldsLease));
        let cut_off = Facts { quorum: false, ..held(9, 60) };
        assert_eq!(judged(&off(2), &cut_off), Err(Missing::Quorum));
    }

    #[test]
    fn power_counts_as_off_when_it_was_read_back_twice() {
        assert_eq!(judged(&off(1), &DEAD), Err(Missing::PowerReads(1)));
        assert_eq!(judged(&off(2), &DEAD), Ok(()));
    }

    #[test]
    fn a_software_watchdog_is_no_proof_until_it_was_accepted() {
        assert_eq!(judged(&leased(Watchdog::None), &DEAD), Err(Missing::NoWatchdog));
        assert_eq!(judged(&leased(Watchdog::Software), &DEAD), Err(Missing::SoftwareWatchdog));
        let accepted = Settings { software_watchdog_accepted: true, ..SETTINGS };
        assert_eq!(judge(&leased(Watchdog::Software), &DEAD, "h3", "u3", &accepted), Ok(()));
        assert_eq!(judged(&leased(Watchdog::Hardware), &DEAD), Ok(()));
        let stalled = Facts { commits_continuous: false, ..DEAD };
        assert_eq!(judged(&leased(Watchdog::Hardware), &stalled), Err(Missing::CommitsStalled));
    }

    #[test]
    fn the_watchdogs_bound_and_the_grace_are_waited_for() {
        let fresh = |seconds| Facts {
            lease: Lease::Gone { since: Duration::from_secs(seconds) },
            silent: None,
            ..DEAD
        };
        let wait = |seconds| Err(Missing::Wait(Duration::from_secs(seconds)));
        assert_eq!(judged(&leased(Watchdog::Hardware), &fresh(5)), wait(3));
        assert_eq!(judged(&leased(Watchdog::Hardware), &fresh(8)), Ok(()));
        assert_eq!(judged(&person("h3 is powered off"), &fresh(1)), wait(3));
        assert_eq!(judged(&person("h3 is powered off"), &fresh(4)), Ok(()));
    }

    #[test]
    fn a_persons_words_must_name_the_host() {
        for words in ["H3 is  powered off.", "u3 is powered off", " h3 is powered off\n"] {
            assert_eq!(judged(&person(words), &DEAD), Ok(()), "{words}");
        }
        let expected = "h3 is powered off".to_owned();
        for words in ["yes", "h2 is powered off", "", "h3 is not powered off", "powered off"] {
            let wrong = Missing::Phrase { expected: expected.clone() };
            assert_eq!(judged(&person(words), &DEAD), Err(wrong), "{words}");
        }
    }

    #[test]
    fn another_boot_proves_that_the_former_one_ended_and_only_that() {
        let newer = Proof::NewerBoot { boot_id: "b".to_owned() };
        let back = Facts {
            registered_boot: Some("b"),
            lease: Lease::Held { boot: "b", unrenewed: None },
            silent: Some(Duration::ZERO),
            ..DEAD
        };
        assert_eq!(judged(&newer, &back), Ok(()));
        assert_eq!(judged(&newer, &DEAD), Err(Missing::SameBoot));
        let same = Facts { boot: "b", ..back };
        assert_eq!(judged(&newer, &same), Err(Missing::HoldsLease));
        let unknown = Facts { boot: "", ..back };
        assert_eq!(judged(&newer, &unknown), Err(Missing::BootUnknown));
    }

    #[test]
    fn what_is_missing_is_said_with_the_hosts_name() {
        let all = [
            Missing::Quorum,
            Missing::HoldsLease,
            Missing::Answers(Duration::from_millis(400)),
            Missing::Wait(Duration::from_secs(3)),
            Missing::NoWatchdog,
            Missing::SoftwareWatchdog,
            Missing::CommitsStalled,
            Missing::SameBoot,
            Missing::BootUnknown,
            Missing::PowerReads(1),
            Missing::Phrase { expected: phrase("h3") },
        ];
        for missing in all {
            let text = missing.text("h3", "u3");
            assert!(text.contains("'h3' (u3)"), "{text}");
        }
    }
}
