//! Suspecting a host by what the hosts' `had`s hear of each other, in less than a second and without the database.
//!
//! Each host sends each other one a beat every [`INTERVAL`]: its run, a number that rises, and the newest number that it
//! heard of the receiver. So a link is known in both directions:
//!
//! ```text
//!            a beat that echoes ours          no beat for SILENCE
//!  Unknown ───────────────────────► Both ───────────────────────► Silent
//!                                    │ ▲
//!      beats come, ours are not heard│ │ours are heard again
//!                                    ▼ │
//!                                  OneWay
//! ```
//!
//! What it is not: proof. A suspicion *starts* a fence ([`suspected`]); nothing here can be turned into one, and who is
//! suspected and still holds its lease is alive to everybody else.
//!
//! Invariants: a beat of another run of the peer counts only once it echoes a beat of ours that is fresh, so that a
//! recorded beat brings nobody to life; a pause of our own, in which we could not listen, makes nobody silent.

use std::time::Duration;

use crate::Moment;

/// From one beat to the next.
pub const INTERVAL: Duration = Duration::from_millis(200);
/// Without a beat for so long a peer is silent: three beats may be lost.
pub const SILENCE: Duration = Duration::from_millis(800);
/// A tick that comes so late means that we ourselves were not there to listen.
pub const OWN_PAUSE: Duration = Duration::from_millis(500);
/// Numbers of beats whose sending is remembered: enough for [`SILENCE`] and a slow link.
const SENT: usize = 16;

/// What a beat says. `run` is chosen anew at each start of `had`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Beat {
    /// The sender's run.
    pub run: u64,
    /// Rises by one with each beat of that run.
    pub number: u64,
    /// The receiver's run and the newest number heard of it.
    pub echo: Option<(u64, u64)>,
}

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// Never heard in this run: no ground for suspicion.
    Unknown,
    /// Heard lately, and our beats are heard there.
    Both,
    /// Heard lately, but our beats don't arrive.
    OneWay,
    /// Nothing was heard since then.
    Silent {
        /// Last beat.
        since: Moment,
    },
}

/// What one host knows of another one by beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    run: u64,
    newest: Option<(u64, u64)>,
    /// The newest run has echoed a fresh beat of ours.
    proved: bool,
    sent: [Option<(u64, Moment)>; SENT],
    next: u64,
    heard: Option<Moment>,
    /// When the newest beat of ours that was echoed was sent.
    echoed: Option<Moment>,
    ticked: Option<Moment>,
    send_at: Option<Moment>,
}

impl Peer {
    /// Nothing known yet. `run` is our own run.
    pub const fn new(run: u64) -> Self {
        Self {
            run,
            newest: None,
            proved: false,
            sent: [None; SENT],
            next: 1,
            heard: None,
            echoed: None,
            ticked: None,
            send_at: None,
        }
    }

    /// Time has passed: the beat to send now, if one is due.
    pub fn tick(&mut self, now: Moment) -> Option<Beat> {
        self.tick_every(INTERVAL, now)
    }

    /// The same with another pause between beats, at most [`INTERVAL`]: for one who has something to tell that ages.
    pub fn tick_every(&mut self, interval: Duration, now: Moment) -> Option<Beat> {
        let paused = self.ticked.is_some_and(|at| now.since(at) > OWN_PAUSE);
        self.ticked = Some(now);
        if paused {
            // What came meanwhile may have been dropped: everybody gets the whole silence again.
            self.heard = self.heard.map(|_| now);
            self.echoed = self.echoed.map(|_| now);
        }
        if self.send_at.is_some_and(|at| now < at) {
            return None;
        }
        self.send_at = Some(now + interval);
        let number = self.next;
        self.next += 1;
        let slot = usize::try_from(number % SENT as u64).unwrap_or(0);
        self.sent[slot] = Some((number, now));
        Some(Beat { run: self.run, number, echo: self.newest })
    }

    /// When we sent what this beat echoes, if that is not too long ago: the peer sent it after that.
    pub fn echoed(&self, beat: &Beat) -> Option<Moment> {
        let (_, number) = beat.echo.filter(|(run, _)| *run == self.run)?;
        self.sent.iter().flatten().find(|(n, _)| *n == number).map(|(_, at)| *at)
    }

    /// A beat of the peer arrived, authenticated. Returns whether it counted.
    pub fn hear(&mut self, beat: &Beat, now: Moment) -> bool {
        let echoed = self.echoed(beat);
        let is_fresh = echoed.is_some_and(|sent| now.since(sent) < SILENCE);
        let known = self.newest.filter(|(run, _)| *run == beat.run);
        if known.is_some_and(|(_, number)| beat.number <= number) {
            return false;
        }
        // A run that has not proved itself is echoed, so that it can, and nothing more.
        self.proved = is_fresh || (known.is_some() && self.proved);
        self.newest = Some((beat.run, beat.number));
        if self.proved {
            self.heard = Some(now);
            self.echoed = self.echoed.max(echoed);
        }
        self.proved
    }

    /// How the link is.
    pub fn link(&self, now: Moment) -> Link {
        let Some(heard) = self.heard else { return Link::Unknown };
        if now.since(heard) >= SILENCE {
            Link::Silent { since: heard }
        } else if self.echoed.is_some_and(|sent| now.since(sent) < SILENCE) {
            Link::Both
        } else {
            Link::OneWay
        }
    }
}

/// Since when a host is to be suspected, from what all hosts that speak to the judge say of it: at least one has lost
/// it, and nobody has a link with it in both directions. `None`: no suspicion.
///
/// A judge who has lost everybody suspects nobody: it is more likely the one that is cut off ([`is_alone`]).
pub fn suspected(reports: impl IntoIterator<Item = Link>) -> Option<Moment> {
    let mut since = None;
    for link in reports {
        match link {
            Link::Both => return None,
            Link::Silent { since: at } => since = since.max(Some(at)),
            Link::Unknown | Link::OneWay => {}
        }
    }
    since
}

/// Whether a host with these links is cut off itself: it has had links and hears nobody. Two hosts can't tell, so a
/// single silent link is not enough.
pub fn is_alone(links: impl IntoIterator<Item = Link>) -> bool {
    let mut silent = 0;
    for link in links {
        match link {
            Link::Both | Link::OneWay => return false,
            Link::Silent { .. } => silent += 1,
            Link::Unknown => {}
        }
    }
    silent > 1
}
