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
//! Invariants: a span begins no sooner and ends no later than what was seen: between looks that are further apart than
//! an election nothing is known; ages are turned into moments of the receiver's clock on the safe side.

use std::time::Duration;

use crate::Moment;
use crate::profile::Profile;

/// The database's number of a voter.
pub type Member = u64;

/// From one look at the voter beside to the next, while a renewal is overdue.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between looks further apart than this a process may have come and gone.
pub const LOOK_GAP: Duration = Duration::from_millis(500);
/// What clocks and rounding may take of a span.
const SLACK: Duration = Duration::from_millis(20);
/// Longest age that is told and believed: more adds nothing.
pub const OLDEST: Duration = Duration::from_secs(10);

/// How a voter was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// Its process does not exist.
    Gone,
    /// Its process executed nothing during the look.
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
    /// Which process was seen, zero where that can't be known: another run of a voter has another number.
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
        let (begins, ends) = (|age: Duration| now.before(age.min(OLDEST)), |age| echoed.before(age));
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Beside {
    election: Duration,
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
    /// Nothing seen yet; `election` is the database's election time-out.
    pub const fn new(election: Duration) -> Self {
        Self { election, last: None }
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
        let Seen { look: before, since, .. } = self.last?;
        let apart = found.ended.since(before.began);
        let is_process = |word| matches!(word, Word::Gone | Word::Still);
        let by_process = is_process(before.word) || is_process(found.word);
        // To win and lose a leader takes an election time-out.
        if apart >= self.election || (by_process && apart > LOOK_GAP) {
            return None;
        }
        match (before.word, found.word) {
            (Word::Names(one), Word::Names(other)) => {
                (one == other && before.term == found.term).then_some(since)
            }
            // The leader was lost within its term: by a whole election time-out without a sign of life, or without an
            // answer of a majority.
            (Word::Names(_), Word::Leaderless)
                if before.term == found.term
                    && before.process == found.process
                    && found.process != 0 =>
            {
                Some(found.ended.before(self.election))
            }
            (Word::Names(_), _) | (_, Word::Names(_)) => None,
            _ => Some(since),
        }
    }

    /// When it had no leader before the one that it names now. In one term there is one leader, so it had no other between.
    fn lost_before(&self, found: &Look) -> Option<(Moment, Moment)> {
        let before = self.last?;
        let same = before.look.term == found.term && found.term != 0;
        match (before.look.word, found.word) {
            (Word::Leaderless, Word::Names(_)) if same => Some((before.since, before.until())),
            (Word::Names(_), Word::Names(_)) if same => before.lost,
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

/// The last moment at which nobody had a majority, nor for `least` before it; `None` if that is not shown.
///
/// One entry a voter, all of them: what is known of it, by the same clock, perhaps from two sources.
pub fn no_majority(voters: &[[Option<Report>; 2]], least: Duration) -> Option<Moment> {
    let needed = voters.len() - voters.len() / 2;
    // When each of them was without, for long enough.
    let spans = || {
        (0..voters.len()).filter_map(|n| {
            let known = voters[n].iter().flatten();
            let spans = known.filter_map(|report| without(report, voters));
            spans.filter(|(since, until)| *until >= *since + least).max_by_key(|(_, until)| *until)
        })
    };
    let covers = |at: Moment| {
        let holds = |(since, until): &(Moment, Moment)| *since + least <= at && at <= *until;
        spans().filter(holds).count() >= needed
    };
    if voters.is_empty() {
        return None;
    }
    spans().map(|(_, until)| until).filter(|at| covers(*at)).max()
}

/// When the voter of this report got no leader's orders, as far as it shows.
fn without(report: &Report, voters: &[[Option<Report>; 2]]) -> Option<(Moment, Moment)> {
    let Word::Names(leader) = report.word else { return Some((report.since, report.until)) };
    let its = voters.iter().flatten().flatten().filter(|other| other.member == Some(leader));
    let idle = its.filter(|other| match other.word {
        Word::Names(named) => named != leader,
        Word::Gone | Word::Still | Word::Leaderless => true,
    });
    idle.map(|other| {
        let until = report.until.min(other.until);
        match report.lost {
            Some((from, to)) if other.since <= to => (from, until),
            _ => (report.since.max(other.since), until),
        }
    })
    .max_by_key(|(_, until)| *until)
}
