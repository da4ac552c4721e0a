//! Which lineage of the pool's database may go on: when a voter may start its database process, and when a survivor
//! may found a new lineage.
//!
//! ```text
//!   epoch 1: h1 h2 h3 ──(h1, h2 off; a person says so)──> h3 founds epoch 2
//!            h1 h2 boot without h3: all the voters they can ask have been away, so none of them can know of epoch 2
//! ```
//! A new lineage is founded only when a person states that every voter that can't be reached is off. From that statement
//! follows what a starting voter may conclude (design.md section 3):
//!
//! * somebody of a higher epoch answers: this lineage has ended;
//! * somebody of this lineage has quorum now: whoever has, passed this gate itself;
//! * every member answers, none of a higher epoch: no one is left who could have founded one (a member without a vote
//!   could, too);
//! * a voter that has *not* been away since this host last saw it answers, and those that have been away are no majority:
//!   it was not off, so nobody truthfully said that it was;
//! * a repository shared by all is read and holds no higher epoch: whoever founds a lineage writes it there first;
//! * a person says so.
//!
//! Otherwise the voter waits. Not here: asking the others, reading repositories, the clock. The rules are searched
//! exhaustively for three hosts in `tests/lineage.rs`.

/// What another host says, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Heard {
    /// The highest lineage it knows of.
    pub epoch: u64,
    /// It has quorum in that lineage now.
    pub quorum: bool,
    /// It has not been away since this host last saw it (same boot).
    pub continuous: bool,
}

/// A last-known voter other than this host, or another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Voter {
    /// What it says; `None`: it does not answer.
    pub heard: Option<Heard>,
}

/// What is known of the epochs on shared repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shared {
    /// None was read.
    Unread,
    /// Read; the highest epoch found there.
    Read(u64),
}

/// Why a voter may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leave {
    /// It is the only host.
    Alone,
    /// Somebody of this lineage has quorum.
    Quorum,
    /// Every member was heard.
    AllHeard,
    /// One that was not away was heard, and those that were are no majority.
    Continuous,
    /// A shared repository says that this epoch is current.
    SharedRepository,
    /// A person said so.
    Person,
}

/// Whether a voter may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MayStart {
    /// Yes.
    Yes(Leave),
    /// Never in this lineage: a later one exists.
    Superseded(u64),
    /// Not yet; so many members have not been heard.
    Wait {
        /// How many members don't answer.
        silent: usize,
    },
}

/// What a starting voter knows.
#[derive(Debug, Clone)]
pub struct StartFacts<'f> {
    /// Lineage of its own data.
    pub epoch: u64,
    /// The other last-known voters.
    pub voters: &'f [Voter],
    /// The members that do not vote: they can found a lineage, too.
    pub others: &'f [Voter],
    /// Epochs on shared repositories.
    pub shared: Shared,
    /// A person has stated that this lineage goes on.
    pub person: bool,
}

/// Whether this host's voter may start its database process.
pub fn may_start(facts: &StartFacts<'_>) -> MayStart {
    let members = || facts.voters.iter().chain(facts.others);
    let heard = || members().filter_map(|v| v.heard);
    let shared = match facts.shared {
        Shared::Unread => 0,
        Shared::Read(epoch) => epoch,
    };
    let highest = heard().map(|h| h.epoch).max().unwrap_or(0).max(shared);
    if highest > facts.epoch {
        return MayStart::Superseded(highest);
    }
    if facts.person {
        return MayStart::Yes(Leave::Person);
    }
    if members().next().is_none() {
        return MayStart::Yes(Leave::Alone);
    }
    if heard().any(|h| h.quorum && h.epoch == facts.epoch) {
        return MayStart::Yes(Leave::Quorum);
    }
    let silent = members().filter(|v| v.heard.is_none()).count();
    if silent == 0 {
        return MayStart::Yes(Leave::AllHeard);
    }
    let of_ours = |h: &Heard| h.epoch == facts.epoch;
    let voters = || facts.voters.iter().filter_map(|v| v.heard).filter(of_ours);
    let away = 1 + voters().filter(|h| !h.continuous).count();
    if voters().any(|h| h.continuous) && away < majority(facts.voters.len() + 1) {
        return MayStart::Yes(Leave::Continuous);
    }
    if facts.shared == Shared::Read(facts.epoch) {
        return MayStart::Yes(Leave::SharedRepository);
    }
    MayStart::Wait { silent }
}

/// The least number of `voters` that decides for all.
pub const fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// What a survivor knows that shall found a new lineage. `H` names a host.
#[derive(Debug, Clone)]
pub struct RecoveryFacts<H> {
    /// Lineage of its own data.
    pub epoch: u64,
    /// Newest revision it has.
    pub revision: u64,
    /// It has quorum.
    pub quorum: bool,
    /// It is a voter itself.
    pub votes: bool,
    /// The other last-known voters, with what they say and the newest revision they have.
    pub voters: Vec<(H, Option<(Heard, u64)>)>,
    /// The same of hosts that answer and do not vote.
    pub others: Vec<(H, Heard, u64)>,
    /// Hosts that the person stated to be off.
    pub stated_off: Vec<H>,
    /// The person takes the loss of what is newer elsewhere.
    pub forced: bool,
}

/// Why no new lineage is founded. `H` names a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveryRefusal<H> {
    /// The pool has quorum: nothing is lost.
    HasQuorum,
    /// Enough voters answer that they can form a majority with this host; these.
    MajorityAnswers(Vec<H>),
    /// A later lineage exists; that host knows it.
    Superseded { by: H, epoch: u64 },
    /// That host answers and has newer data.
    NewerElsewhere { host: H, revision: u64 },
    /// Voters that don't answer and were not stated to be off.
    NotStated(Vec<H>),
    /// Hosts that were stated to be off and answer.
    Answers(Vec<H>),
}

/// Whether a survivor may found a new lineage; the first reason against it.
///
/// # Errors
/// The reason.
pub fn may_recover<H: Clone + PartialEq>(
    facts: &RecoveryFacts<H>,
) -> Result<(), RecoveryRefusal<H>> {
    let answering = || {
        facts
            .voters
            .iter()
            .filter_map(|(host, said)| said.map(|(heard, revision)| (host, heard, revision)))
            .chain(facts.others.iter().map(|(host, heard, revision)| (host, *heard, *revision)))
    };
    if let Some((by, heard, _)) = answering().max_by_key(|(_, heard, _)| heard.epoch)
        && heard.epoch > facts.epoch
    {
        return Err(RecoveryRefusal::Superseded { by: by.clone(), epoch: heard.epoch });
    }
    if facts.quorum || answering().any(|(_, h, _)| h.quorum && h.epoch == facts.epoch) {
        return Err(RecoveryRefusal::HasQuorum);
    }
    let lied: Vec<H> = answering()
        .filter(|(host, ..)| facts.stated_off.contains(host))
        .map(|(host, ..)| host.clone())
        .collect();
    if !lied.is_empty() {
        return Err(RecoveryRefusal::Answers(lied));
    }
    let heard: Vec<H> = facts
        .voters
        .iter()
        .filter(|(_, said)| said.is_some())
        .map(|(host, _)| host.clone())
        .collect();
    let own = usize::from(facts.votes);
    if heard.len() + own >= majority(facts.voters.len() + own) && !facts.forced {
        return Err(RecoveryRefusal::MajorityAnswers(heard));
    }
    if let Some((host, _, revision)) = answering().max_by_key(|(.., revision)| *revision)
        && revision > facts.revision
        && !facts.forced
    {
        return Err(RecoveryRefusal::NewerElsewhere { host: host.clone(), revision });
    }
    let unstated: Vec<H> = facts
        .voters
        .iter()
        .filter(|(host, said)| said.is_none() && !facts.stated_off.contains(host))
        .map(|(host, _)| host.clone())
        .collect();
    if unstated.is_empty() { Ok(()) } else { Err(RecoveryRefusal::NotStated(unstated)) }
}
