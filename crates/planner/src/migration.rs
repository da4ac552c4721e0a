//! Where a guest is after a migration whose outcome nobody was told: what both hosts see of it, compared.
//!
//! The hypervisors' own promise is the base: the source's machine is removed only after the target has the whole guest,
//! and processors run on one side at a time. Whatever that promise and the two looks don't decide is waited for; a
//! verdict on a guess could end the only copy of a guest.

/// What the source's host has said of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nothing yet: the order to move may be under way.
    Unknown,
    /// No order is under way, and the guest runs there.
    Runs,
    /// No order is under way, and its machine stands still there.
    Stopped,
    /// No order is under way, and nothing of it is there.
    Gone,
}

/// What the target's host sees of it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Its hypervisor does not answer, or has not been asked often enough.
    Unknown,
    /// Neither domain nor process.
    Absent {
        /// There was one before.
        was_here: bool,
    },
    /// A machine that waits for data.
    Incoming,
    /// A machine that stands still and may never have run.
    Paused,
    /// A machine that has run here and was stopped by something else (an I/O error, a crash, its power-off).
    HasRun,
    /// Its processors run.
    Running,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Neither is proved.
    Wait,
    /// The guest is the target's.
    Arrived,
    /// It is the source's, if it still is at all; what is on the target must go.
    Stays,
}

/// Judges one migration.
pub fn judge(source: Source, target: Target) -> Verdict {
    match (target, source) {
        (Target::Running | Target::HasRun, _) => Verdict::Arrived,
        (Target::Unknown, _) => Verdict::Wait,
        // A domain that came and went without running failed, whatever the source's hypervisor still thinks.
        (Target::Absent { was_here: true }, _) => Verdict::Stays,
        (_, Source::Unknown) => Verdict::Wait,
        // Complete, or the source's machine would still be there.
        (Target::Paused, Source::Gone) => Verdict::Arrived,
        (Target::Absent { .. } | Target::Incoming | Target::Paused, _) => Verdict::Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: [Source; 4] = [Source::Unknown, Source::Runs, Source::Stopped, Source::Gone];

    #[test]
    fn a_guest_that_has_run_on_the_target_is_there_whatever_the_source_says() {
        for source in SOURCES {
            assert_eq!(judge(source, Target::Running), Verdict::Arrived);
            assert_eq!(judge(source, Target::HasRun), Verdict::Arrived);
        }
    }

    #[test]
    fn while_an_order_may_be_under_way_only_what_came_and_went_is_proof_that_it_stays() {
        for target in [Target::Absent { was_here: false }, Target::Incoming, Target::Paused] {
            assert_eq!(judge(Source::Unknown, target), Verdict::Wait, "{target:?}");
        }
        assert_eq!(judge(Source::Unknown, Target::Absent { was_here: true }), Verdict::Stays);
    }

    #[test]
    fn a_target_that_does_not_answer_is_waited_for() {
        for source in SOURCES {
            assert_eq!(judge(source, Target::Unknown), Verdict::Wait);
        }
    }

    #[test]
    fn once_no_order_is_under_way_every_pair_of_looks_is_decided() {
        for source in [Source::Runs, Source::Stopped, Source::Gone] {
            for target in [Target::Absent { was_here: false }, Target::Incoming, Target::Paused] {
                let expected = if (source, target) == (Source::Gone, Target::Paused) {
                    Verdict::Arrived
                } else {
                    Verdict::Stays
                };
                assert_eq!(judge(source, target), expected, "{source:?} {target:?}");
            }
        }
    }
}
