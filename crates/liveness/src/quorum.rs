//! Whether anybody can have a majority of the voters, from what hosts find when they look at the voter beside them.
//!
//! A host whose lease can't be renewed may keep its guests while *nobody* can commit: then nobody restarts them (rule 3 of
//! ha-anchors section 6). A voter is *without* while its process does not exist, executes nothing, or answers that it has no
//! leader; also while it names a leader that is without itself or that follows another. No leader gets an answer from a
//! voter that is without, so when those that are without leave no majority, no commit and no confirmed read can happen.
//!
//! ```text
//!  had ── look ──► the voter beside it      Beside: looks become a span    Report, in every beat
//!                                                                             │ to the receiver's clock ([`Report::heard`])
//!  no_majority: one moment that the spans of a blocking set share ◄───────────┘
//! ```
//!
//! Not told of is never taken for without: a voter that does not answer in time, a host that is not heard, an answer that
//! is an error. The span must be longer than the gap after which an expiry no longer counts (rule 3b): whoever judges
//! leases then begins its whole wait anew *after* that span, and this host has stopped long before it ends.
//!
//! Invariants: a span begins no sooner and ends no later than what was seen, and holds in all moments between its looks; ages are turned into moments of the receiver's clock on the safe side.

use std::time::Duration;

use crate::Moment;
use crate::profile::Profile;

/// The database's number of a voter.
pub type Member = u64;

/// From one look at the voter beside to the next, while a renewal is overdue.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);
/// No database of ours has a shorter election time-out: so long its voters hear nothing before they lose a leader.
pub const ELECTION: Duration = Duration::from_millis(500);
/// What clocks and rounding may take of a span.
const SLACK: Duration = Duration::from_millis(20);
/// Longest age that is told and believed: more adds nothing.
pub const OLDEST: Duration = Duration::from_secs(10);

/// How a voter was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// Its process does not exist, nor was another one started since that ended.
    Gone,
    /// Its process executed nothing during the whole look.
    Still,
    /// It answered that it has no leader.
    Leaderless,
    /// It answered that this one leads; itself perhaps.
    Names(Member),
}

/// One look at a voter, by the looker's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Look {
    /// How it was found.
    pub word: Word,
    /// Its number, if it is known.
    pub member: Option<Member>,
    /// The election that it is in; zero where that is not known.
    pub term: u64,
    /// Which process was seen or is gone, zero where that can't be known: another run of a voter has another number.
    pub process: u64,
    /// When the look began.
    pub began: Moment,
    /// When it ended.
    pub ended: Moment,
}

/// What is known of a voter: it was so from `since` until `until`. Nothing, when `since` is not before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Report {
    /// How it was.
    pub word: Word,
    /// Its number, if it is known.
    pub member: Option<Member>,
    /// From then on.
    pub since: Moment,
    /// Up to then.
    pub until: Moment,
    /// Before it named this leader it had none, from then until then; after that it had none or this one.
    pub lost: Option<(Moment, Moment)>,
}

/// What is told of a voter, without moments: other hosts have other clocks. Ages are those when it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Told {
    /// See [`Report::word`].
    pub word: Word,
    /// See [`Report::member`].
    pub member: Option<Member>,
    /// Age of [`Report::since`].
    pub since: Duration,
    /// Age of [`Report::until`].
    pub until: Duration,
    /// Ages of [`Report::lost`].
    pub lost: Option<(Duration, Duration)>,
}

impl Report {
    /// As it is told at `now`.
    pub fn told(&self, now: Moment) -> Told {
        let age = |at: Moment| now.since(at);
        Told {
            word: self.word,
            member: self.member,
            since: age(self.since),
            until: age(self.until),
            lost: self.lost.map(|(from, to)| (age(from), age(to))),
        }
    }

    /// What another host told, by our clock: it sent after it had got what we sent at `echoed`, and before `now`.
    pub fn heard(told: &Told, echoed: Moment, now: Moment) -> Self {
        let (begins, ends) =
            (|age: Duration| now.before(age.min(OLDEST)), |age| echoed.before(age));
        Self {
            word: told.word,
            member: told.member,
            since: begins(told.since),
            until: ends(told.until),
            lost: told.lost.map(|(from, to)| (begins(from), ends(to))),
        }
    }
}

/// The voter beside a host, over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Beside {
    last: Option<Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Seen {
    look: Look,
    since: Moment,
    lost: Option<(Moment, Moment)>,
}

impl Seen {
    const fn until(&self) -> Moment {
        if matches!(self.look.word, Word::Still) { self.look.ended } else { self.look.began }
    }
}

impl Beside {
    /// Nothing seen yet.
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// Takes in a look; `None`: it taught nothing.
    pub fn look(&mut self, found: Option<Look>) {
        let Some(found) = found else {
            self.last = None;
            return;
        };
        let since = self.continued(&found).unwrap_or(match found.word {
            // It was so during the whole look; the others at some moment of it.
            Word::Still => found.began,
            Word::Gone | Word::Leaderless | Word::Names(_) => found.ended,
        });
        let known = self.last.and_then(|seen| seen.look.member);
        let look = Look { member: found.member.or(known), ..found };
        self.last = Some(Seen { look, since, lost: self.lost_before(&found) });
    }

    /// Since when it is so, if it was so at the look before already and could not be otherwise between the two.
    fn continued(&self, found: &Look) -> Option<Moment> {
        let seen = self.last?;
        let before = seen.look;
        // To lose a leader takes an election time-out, so one that was won between two looks would be seen.
        let in_time = found.ended.since(before.began) < ELECTION;
        let same_process = before.process == found.process;
        let known_process = same_process && found.process != 0;
        let same_term = before.term == found.term;
        match (before.word, found.word) {
            (Word::Names(one), Word::Names(other)) => {
                (one == other && same_term && same_process && in_time).then_some(seen.since)
            }
            (Word::Leaderless, Word::Leaderless) => (same_process && in_time).then_some(seen.since),
            // By a whole election time-out without a sign of life, or without an answer of a majority.
            (Word::Names(_), Word::Leaderless) => {
                (same_term && known_process && in_time).then_some(found.ended.before(ELECTION))
            }
            // It started between; who has just started has lost nobody yet.
            (Word::Gone, Word::Leaderless) => in_time.then_some(seen.since),
            (Word::Gone, Word::Gone) => known_process.then_some(seen.since),
            // Moments between the two would be moments in which it may have answered.
            (Word::Still, Word::Still) => {
                (known_process && found.began <= seen.until()).then_some(seen.since)
            }
            (Word::Still, _) | (_, Word::Gone | Word::Still) | (_, Word::Names(_)) => None,
        }
    }

    /// When it had no leader before the one that it names now. In one term there is one leader, so it had no other between.
    fn lost_before(&self, found: &Look) -> Option<(Moment, Moment)> {
        let before = self.last?;
        let same = before.look.term == found.term && found.term != 0;
        match (before.look.word, found.word) {
            (Word::Leaderless, Word::Names(_)) if same => Some((before.since, before.until())),
            (Word::Names(one), Word::Names(other)) if same && one == other => before.lost,
            _ => None,
        }
    }

    /// What can be told of it.
    pub fn report(&self) -> Option<Report> {
        let seen = self.last?;
        let Look { word, member, .. } = seen.look;
        Some(Report { word, member, since: seen.since, until: seen.until(), lost: seen.lost })
    }
}

/// From this age of the own lease on a host looks at the voter beside it: one renewal is overdue.
pub fn look_from(profile: &Profile) -> Duration {
    profile.renewal * 5 / 4
}

/// How long nobody must have had a majority for it to count.
pub fn least(profile: &Profile) -> Duration {
    profile.commit_gap + SLACK
}

/// A time in which nobody had a majority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// From then on.
    pub since: Moment,
    /// Up to then.
    pub until: Moment,
}

/// The last time of at least `least` in which nobody had a majority; `None` if none is shown.
///
/// One entry a voter, all of them: what is known of it, by the same clock, perhaps from two sources.
pub fn no_majority(voters: &[[Option<Report>; 2]], least: Duration) -> Option<Span> {
    let needed = voters.len() - voters.len() / 2;
    // When each of them was without, for long enough.
    let spans = || {
        voters.iter().filter_map(|known| {
            let spans = known.iter().flatten().filter_map(|report| without(report, voters));
            spans.filter(|s| s.until >= s.since + least).max_by_key(|s| s.until)
        })
    };
    // Who was without at `at`, counted from `from` on.
    let share = |from: Moment, at: Moment| {
        spans().filter(|s| s.since <= from && at <= s.until).count() >= needed
    };
    let whole = |until: Moment| {
        let began = spans().map(|s| s.since).filter(|from| share(*from, until)).min()?;
        (began + least <= until).then_some(Span { since: began, until })
    };
    if voters.is_empty() {
        return None;
    }
    spans().filter_map(|s| whole(s.until)).max_by_key(|s| s.until)
}

/// When the voter of this report got no leader's orders, as far as it shows.
fn without(report: &Report, voters: &[[Option<Report>; 2]]) -> Option<Span> {
    let Word::Names(leader) = report.word else {
        return Some(Span { since: report.since, until: report.until });
    };
    let its = voters.iter().flatten().flatten().filter(|other| other.member == Some(leader));
    let idle = its.filter(|other| match other.word {
        Word::Names(named) => named != leader,
        Word::Gone | Word::Still | Word::Leaderless => true,
    });
    idle.map(|other| {
        let until = report.until.min(other.until);
        let since = match report.lost {
            Some((from, to)) if other.since <= to => from,
            _ => report.since.max(other.since),
        };
        Span { since, until }
    })
    .max_by_key(|span| span.until)
}
