//! Ping, TCP and API of a host: what their combination means (S2-19).
//!
//! | ping | TCP | API | reading |
//! |---|---|---|---|
//! | any | yes | yes | reachable |
//! | yes | refused | – | the machine runs, its daemon does not |
//! | yes | nothing | – | the machine runs, the port is filtered or the machine is wedged |
//! | any | yes | no | its daemon takes connections and does not answer: frozen or overloaded |
//! | no | no | – | off, cut off, or frozen: from here these can't be told apart |

use super::facts::{Answer, Silence};

/// How far one gets with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Its API answers.
    Answers,
    /// Its daemon takes connections and says nothing.
    Mute,
    /// The machine answers; nobody listens on the API's port.
    NoDaemon,
    /// The machine answers to ping; the API's port swallows packets.
    Filtered,
    /// Nothing answers.
    Nothing,
    /// It was not tried.
    Unknown,
}

impl Reach {
    /// What that means, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Answers => "its API answers",
            Self::Mute => {
                "its API's port takes connections but the API does not answer: the daemon or the whole host is frozen or \
                 overloaded"
            }
            Self::NoDaemon => {
                "the machine answers but nobody listens on the API's port: its daemon is not running"
            }
            Self::Filtered => {
                "the machine answers to ping but the API's port does not: a filter on the way, or a wedged machine"
            }
            Self::Nothing => {
                "it answers neither to ping nor on the API's port: off, cut off or hung, which can't be told apart from here"
            }
            Self::Unknown => "it was not asked",
        }
    }
}

/// Reads the three answers.
pub fn reach(ping: &Answer, tcp: &Answer, api: &Answer) -> Reach {
    match (ping, tcp, api) {
        (Answer::NotAsked, Answer::NotAsked, Answer::NotAsked) => Reach::Unknown,
        (_, _, Answer::Yes(_)) => Reach::Answers,
        (_, Answer::Yes(_), _) => Reach::Mute,
        // A refusal is an answer of the machine, whatever ping says.
        (_, Answer::No(Silence::Refused(_)), _) => Reach::NoDaemon,
        (Answer::Yes(_), _, _) => Reach::Filtered,
        (Answer::No(_) | Answer::NotAsked, _, _) => Reach::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WAITED: Duration = Duration::from_millis(1500);

    fn yes() -> Answer {
        Answer::Yes(Duration::from_millis(1))
    }

    fn nothing() -> Answer {
        Answer::No(Silence::Nothing { waited: WAITED })
    }

    fn refused() -> Answer {
        Answer::No(Silence::Refused("connection refused".to_owned()))
    }

    /// proves: S2-19 (table)
    #[test]
    fn three_partial_failures_are_three_readings() {
        let table = [
            (yes(), yes(), yes(), Reach::Answers),
            // Ping filtered by policy is no failure.
            (nothing(), yes(), yes(), Reach::Answers),
            (yes(), yes(), nothing(), Reach::Mute),
            (nothing(), yes(), nothing(), Reach::Mute),
            (yes(), refused(), nothing(), Reach::NoDaemon),
            (yes(), nothing(), nothing(), Reach::Filtered),
            (nothing(), nothing(), nothing(), Reach::Nothing),
            (Answer::NotAsked, nothing(), Answer::NotAsked, Reach::Nothing),
            (Answer::NotAsked, Answer::NotAsked, Answer::NotAsked, Reach::Unknown),
        ];
        for (ping, tcp, api, expected) in table {
            assert_eq!(reach(&ping, &tcp, &api), expected, "{ping} {tcp} {api}");
        }
        let partial = [Reach::Mute, Reach::NoDaemon, Reach::Nothing].map(Reach::meaning);
        assert!(partial[0] != partial[1] && partial[1] != partial[2] && partial[0] != partial[2]);
    }
}
