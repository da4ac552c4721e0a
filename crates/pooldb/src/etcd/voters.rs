//! Who should vote: pure rules from facts to the next single step.
//!
//! One step at a time, each safe by itself: the caller does it, looks again and asks again. Numbers from design.md section 3.

use uuid::Uuid;

/// How many voters a pool of that many hosts wants.
pub fn voters_wanted(hosts: usize, witness: bool) -> usize {
    match hosts {
        0 | 1 => 1,
        2 if witness => 3,
        2 => 2,
        3 | 4 => 3,
        5..=10 => 5,
        _ => 7,
    }
}

/// A host as far as voting is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The host; also the name of its etcd member.
    pub host: Uuid,
    /// Its daemon and, if it votes, its etcd answer. A host is called dead only after the caller's patience (minutes,
    /// not seconds: replacing a voter copies the database).
    pub live: bool,
    /// Votes but runs nothing.
    pub witness: bool,
    /// Is being ejected or stays away for long; should not vote.
    pub leaving: bool,
}

/// A member of the etcd cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voter {
    /// The host it is on.
    pub host: Uuid,
    /// Does not vote yet.
    pub learner: bool,
    /// Leads now.
    pub leader: bool,
}

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Add it as a learner and start its etcd.
    AddLearner(Uuid),
    /// Make the learner a voter (etcd refuses until it has caught up: try again).
    Promote(Uuid),
    /// Take it out of the cluster.
    Remove(Uuid),
    /// Hand the leadership over first; its holder is to be removed next.
    MoveLeader {
        /// Who leads.
        from: Uuid,
        /// Who should.
        to: Uuid,
    },
}

/// The next step towards `wanted` voters; `None`: nothing to do, or nothing that is safe now.
///
/// `hosts` is the pool (and the witness) in order of preference; a member on a host that is not among them is removed.
/// Rules: at most one learner; a removal leaves a live majority; a voter that should go is replaced before it goes, a
/// dead one after (etcd refuses additions while a voter is away); a dead voter stays when nobody can replace it.
pub fn voter_next_step(members: &[Voter], hosts: &[Candidate], wanted: usize) -> Option<Step> {
    let find = |host: Uuid| hosts.iter().find(|candidate| candidate.host == host);
    let live = |voter: &Voter| find(voter.host).is_some_and(|candidate| candidate.live);
    let real_hosts = hosts.iter().filter(|c| !c.witness && !c.leaving).count();
    let eligible = |c: &Candidate| !c.leaving && (!c.witness || real_hosts == 2);
    let voters: Vec<&Voter> = members.iter().filter(|m| !m.learner).collect();

    if let Some(learner) = members.iter().find(|m| m.learner) {
        let wanted_here = find(learner.host).is_some_and(|c| c.live && eligible(c));
        return Some(if wanted_here {
            Step::Promote(learner.host)
        } else {
            Step::Remove(learner.host)
        });
    }
    let majority = |of: usize| of / 2 + 1;
    let live_voters = voters.iter().filter(|v| live(v)).count();
    if live_voters < majority(voters.len()) {
        return None;
    }
    let removable = |voter: &Voter| {
        let left = voters.len() - 1;
        let live_left = live_voters - usize::from(live(voter));
        left >= 1 && live_left >= majority(left)
    };
    let spare =
        hosts.iter().find(|c| c.live && eligible(c) && !members.iter().any(|m| m.host == c.host));
    let misplaced = |voter: &Voter| find(voter.host).is_none_or(|candidate| !eligible(candidate));

    // The dead first: they block additions.
    let dead = voters.iter().find(|v| !live(v) && removable(v));
    if let Some(dead) = dead
        && (spare.is_some() || voters.len() > wanted || misplaced(dead))
    {
        return Some(Step::Remove(dead.host));
    }
    let well_placed = voters.iter().filter(|v| !misplaced(v)).count();
    if well_placed < wanted
        && let Some(spare) = spare
        && live_voters == voters.len()
    {
        return Some(Step::AddLearner(spare.host));
    }
    // Then whoever should not vote, then the least preferred of too many.
    let preference = |voter: &Voter| hosts.iter().position(|c| c.host == voter.host);
    let surplus = || {
        let mut order: Vec<&&Voter> = voters.iter().collect();
        order.sort_by_key(|v| (v.leader, std::cmp::Reverse(preference(v))));
        order.into_iter().find(|v| removable(v)).copied()
    };
    let goes = voters
        .iter()
        .find(|v| misplaced(v) && removable(v))
        .copied()
        .or_else(|| if voters.len() > wanted { surplus() } else { None })?;
    if goes.leader {
        let heir = voters.iter().find(|v| v.host != goes.host && live(v) && !misplaced(v));
        if let Some(heir) = heir {
            return Some(Step::MoveLeader { from: goes.host, to: heir.host });
        }
    }
    Some(Step::Remove(goes.host))
}

/// Whom the leadership should be handed to so that it is not on the coordinator's host (three hosts and more).
pub fn leader_should_move(
    members: &[Voter],
    hosts: &[Candidate],
    coordinator: Uuid,
) -> Option<Step> {
    let voters: Vec<&Voter> = members.iter().filter(|m| !m.learner).collect();
    let leader = voters.iter().find(|v| v.leader)?;
    if voters.len() < 3 || leader.host != coordinator {
        return None;
    }
    let fit = |voter: &&&Voter| {
        hosts.iter().any(|c| c.host == voter.host && c.live && !c.leaving)
            && voter.host != coordinator
    };
    let heir = voters.iter().find(fit)?;
    Some(Step::MoveLeader { from: leader.host, to: heir.host })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hosts `a`..: upper case = dead, `w` = witness, `~` before = leaving. Members: `+` before = learner, `*` = leader.
    fn step(hosts: &str, members: &str, wanted: usize) -> String {
        let id = |c: char| Uuid::from_u128(u128::from(u32::from(c.to_ascii_lowercase())));
        let name = |host: Uuid| {
            let number = u32::try_from(host.as_u128()).expect("from a char");
            char::from_u32(number).expect("from a char").to_string()
        };
        let candidates: Vec<Candidate> = hosts
            .split_whitespace()
            .map(|word| {
                let letter = word.trim_start_matches('~').chars().next().expect("a letter");
                Candidate {
                    host: id(letter),
                    live: letter.is_lowercase(),
                    witness: letter.eq_ignore_ascii_case(&'w'),
                    leaving: word.starts_with('~'),
                }
            })
            .collect();
        let voters: Vec<Voter> = members
            .split_whitespace()
            .map(|word| Voter {
                host: id(word.trim_start_matches(['+', '*']).chars().next().expect("a letter")),
                learner: word.starts_with('+'),
                leader: word.starts_with('*'),
            })
            .collect();
        match voter_next_step(&voters, &candidates, wanted) {
            None => "-".to_owned(),
            Some(Step::AddLearner(host)) => format!("add {}", name(host)),
            Some(Step::Promote(host)) => format!("promote {}", name(host)),
            Some(Step::Remove(host)) => format!("remove {}", name(host)),
            Some(Step::MoveLeader { from, to }) => format!("lead {}>{}", name(from), name(to)),
        }
    }

    #[test]
    fn number_of_voters_follows_the_number_of_hosts() {
        let table: Vec<usize> = (1..=12).map(|hosts| voters_wanted(hosts, false)).collect();
        assert_eq!(table, [1, 2, 3, 3, 5, 5, 5, 5, 5, 5, 7, 7]);
        let with_witness: Vec<usize> = (1..=4).map(|hosts| voters_wanted(hosts, true)).collect();
        assert_eq!(with_witness, [1, 3, 3, 3]);
    }

    #[test]
    fn each_situation_has_its_next_step() {
        // hosts, members, wanted, step
        let table = [
            ("a", "*a", 1, "-"),
            ("a b", "*a", 2, "add b"),
            ("a b", "*a +b", 2, "promote b"),
            ("a b", "*a b", 2, "-"),
            ("a b w", "*a b", 3, "add w"),
            ("a b c", "*a b", 3, "add c"),
            // A learner that died is taken out, also one whose host left.
            ("a b C", "*a b +c", 3, "remove c"),
            ("a b", "*a b +c", 2, "remove c"),
            // Growing from two hosts with a witness: the third host replaces the witness, not after it.
            ("a b c w", "*a b w", 3, "add c"),
            ("a b c w", "*a b w c", 3, "remove w"),
            // A dead voter is replaced when somebody can; else it keeps its seat.
            ("a b C d", "*a b c", 3, "remove c"),
            ("a b d", "*a b", 3, "add d"),
            ("a b C", "*a b c", 3, "-"),
            // Two of three dead: nothing may be touched.
            ("a B C d e", "a b c", 3, "-"),
            // Two hosts, one dead: removing needs a majority there is not.
            ("a B", "a b", 2, "-"),
            // Ejecting a live voter: replaced first when possible.
            ("a b ~c d", "*a b c", 3, "add d"),
            ("a b ~c d", "*a b c d", 3, "remove c"),
            ("a b ~c", "*a b c", 2, "remove c"),
            ("~a b", "*a b", 1, "lead a>b"),
            ("~a b", "a *b", 1, "remove a"),
            // Forgotten altogether.
            ("a b", "*a b c", 2, "remove c"),
            // Too many: the least preferred goes, not the leader.
            ("a b c d e f g", "*a b c d e f g", 5, "remove g"),
            ("a b c d", "a b c *d", 3, "remove c"),
            // The last voter is never removed.
            ("~a", "*a", 1, "-"),
            // Nobody is added while a voter is away (etcd refuses it).
            ("a b c D e f", "*a b c d", 5, "remove d"),
        ];
        for (hosts, members, wanted, expected) in table {
            assert_eq!(step(hosts, members, wanted), expected, "hosts {hosts}, members {members}");
        }
    }

    /// proves: S2-36 (table)
    #[test]
    fn random_pools_settle_without_ever_losing_their_majority() {
        let mut seed = 7_u64;
        let mut random = move |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((seed >> 33) % below).expect("small")
        };
        for _ in 0..2_000 {
            let count = 1 + random(9);
            let candidates: Vec<Candidate> = (0..count)
                .map(|n| Candidate {
                    host: Uuid::from_u128(n as u128 + 1),
                    live: random(5) > 0,
                    witness: false,
                    leaving: random(8) == 0,
                })
                .collect();
            let mut members: Vec<Voter> = Vec::new();
            for candidate in &candidates {
                if random(2) == 0 {
                    members.push(Voter { host: candidate.host, learner: false, leader: false });
                }
            }
            let live = |host: Uuid| candidates.iter().any(|c| c.host == host && c.live);
            let majority_lives = |members: &[Voter]| {
                let voters: Vec<_> = members.iter().filter(|m| !m.learner).collect();
                voters.iter().filter(|v| live(v.host)).count() * 2 > voters.len()
            };
            if !majority_lives(&members) {
                continue;
            }
            let wanted = voters_wanted(candidates.iter().filter(|c| !c.leaving).count(), false);
            let mut steps = 0;
            while let Some(step) = voter_next_step(&members, &candidates, wanted) {
                match step {
                    Step::AddLearner(host) => {
                        assert!(live(host) && !members.iter().any(|m| m.learner));
                        members.push(Voter { host, learner: true, leader: false });
                    }
                    Step::Promote(host) => {
                        let learner = members.iter_mut().find(|m| m.host == host);
                        learner.expect("is a member").learner = false;
                    }
                    Step::Remove(host) => members.retain(|m| m.host != host),
                    Step::MoveLeader { .. } => {}
                }
                assert!(majority_lives(&members), "{step:?} lost the majority of {members:?}");
                steps += 1;
                assert!(steps < 50, "does not settle: {members:?} of {candidates:?}");
            }
        }
    }

    #[test]
    fn leadership_leaves_the_coordinators_host_from_three_voters_on() {
        let host = |n: u128| Uuid::from_u128(n);
        let candidates: Vec<Candidate> = (1..=3)
            .map(|n| Candidate { host: host(n), live: n != 2, witness: false, leaving: false })
            .collect();
        let voters: Vec<Voter> =
            (1..=3).map(|n| Voter { host: host(n), learner: false, leader: n == 1 }).collect();
        let step = leader_should_move(&voters, &candidates, host(1));
        assert_eq!(step, Some(Step::MoveLeader { from: host(1), to: host(3) }));
        assert_eq!(leader_should_move(&voters, &candidates, host(2)), None);
        assert_eq!(leader_should_move(&voters[..2], &candidates, host(1)), None);
    }
}
