//! What to make of a guest that is found, or missed, on this host: records, hypervisor, registry and processes compared.
//!
//! The daemon gathers [`Facts`] for every VM that any of the four knows here and performs the [`Verdict`]. It holds back
//! while a saga works on the VM, re-reads the placement from a majority before it stops anything, and guards each commit
//! by what was read, so a verdict on stale facts does nothing.
//!
//! The rules are design.md section 5: the placement alone says what may run here; a missing process is proof only when
//! it was looked for in every way; a changed boot id proves that a former run ended, never that nothing runs elsewhere.

/// Where the placement says that the VM is, as seen from this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// Nowhere, or on another host.
    NotHere,
    /// Here, in this boot.
    Here {
        /// Generation of the run.
        generation: u64,
    },
    /// Here, in a boot of this host that has ended.
    HereBefore {
        /// Generation of the run.
        generation: u64,
    },
    /// A migration to or from this host is recorded.
    Moving,
}

/// How the hypervisor sees the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// The hypervisor's daemon does not answer.
    Unknown,
    /// It answers, and has no such domain.
    Absent,
    /// It has one.
    Present {
        /// From the domain's metadata, if they can be read.
        generation: Option<u64>,
        /// It waits for a migration's data.
        incoming: bool,
    },
}

/// The registry's entry of the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Generation it was registered with.
    pub generation: u64,
    /// Its process lives.
    pub alive: bool,
}

/// Everything this host can find out about one VM.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// The placement.
    pub placed: Placed,
    /// The hypervisor.
    pub domain: Domain,
    /// The registry; `None` also if it does not answer.
    pub registered: Option<Registered>,
    /// A process of this guest was found on this host.
    pub process: bool,
    /// A saga works on the VM.
    pub busy: bool,
    /// The pool has a record of the VM, or had.
    pub known: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing; the word says why.
    Leave(&'static str),
    /// It runs here as it should: register its process and correct its records.
    Adopt,
    /// It ran here and is gone for sure: publish that and release what it held.
    Ended {
        /// The end came with a boot of this host, not by the guest's own doing.
        by_boot: bool,
    },
    /// It runs here and must not: stop it.
    Stop(&'static str),
    /// Only the registry still has it: take it out.
    Forget,
    /// A person should look; nothing is touched.
    Alarm(&'static str),
}

/// Judges one VM.
pub fn judge(facts: &Facts) -> Verdict {
    if facts.busy {
        return Verdict::Leave("an operation works on it");
    }
    let lives = facts.process || facts.registered.is_some_and(|r| r.alive);
    match facts.placed {
        Placed::Here { generation } => here(facts, generation, lives),
        Placed::HereBefore { generation } => before(facts, generation, lives),
        Placed::Moving => Verdict::Leave("a migration is recorded"),
        Placed::NotHere => not_here(facts, lives),
    }
}

fn here(facts: &Facts, placed: u64, lives: bool) -> Verdict {
    match facts.domain {
        Domain::Present { incoming: true, .. } => {
            Verdict::Alarm("it waits for a migration that is not recorded")
        }
        Domain::Present { generation: Some(found), .. } if found == placed => Verdict::Adopt,
        Domain::Present { generation: Some(found), .. } if found < placed => {
            Verdict::Stop("it is left from an earlier run")
        }
        Domain::Present { generation: Some(_), .. } => Verdict::Alarm(
            "it is newer than the placement, as after the restore of an old database",
        ),
        Domain::Present { generation: None, .. } => match facts.registered {
            Some(entry) if entry.generation == placed => Verdict::Adopt,
            _ => Verdict::Alarm("its generation can't be read"),
        },
        Domain::Absent if lives => {
            Verdict::Alarm("the hypervisor has lost it while its process runs on")
        }
        Domain::Absent => Verdict::Ended { by_boot: false },
        Domain::Unknown => match facts.registered {
            Some(entry) if entry.generation == placed && !entry.alive && !facts.process => {
                Verdict::Ended { by_boot: false }
            }
            _ => Verdict::Leave("the hypervisor does not answer"),
        },
    }
}

fn before(facts: &Facts, placed: u64, lives: bool) -> Verdict {
    match facts.domain {
        Domain::Present { generation: Some(found), .. } if found >= placed => {
            Verdict::Alarm("it runs although it was placed in a former boot")
        }
        Domain::Present { .. } => Verdict::Stop("it is not the run that is recorded"),
        Domain::Absent | Domain::Unknown if lives => {
            Verdict::Stop("it is not the run that is recorded")
        }
        // This host's own boot id is the proof; nobody needs to answer.
        Domain::Absent | Domain::Unknown => Verdict::Ended { by_boot: true },
    }
}

fn not_here(facts: &Facts, lives: bool) -> Verdict {
    match facts.domain {
        Domain::Present { .. } => Verdict::Stop("no record says that it runs here"),
        Domain::Absent | Domain::Unknown if lives => {
            if facts.known || facts.registered.is_some() {
                Verdict::Stop("no record says that it runs here")
            } else {
                Verdict::Alarm(
                    "it is a guest of another pool on the same machine, or its records are lost",
                )
            }
        }
        Domain::Absent | Domain::Unknown => {
            if facts.registered.is_some() {
                Verdict::Forget
            } else {
                Verdict::Leave("it is not here")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GONE: Facts = Facts {
        placed: Placed::NotHere,
        domain: Domain::Absent,
        registered: None,
        process: false,
        busy: false,
        known: true,
    };

    fn present(generation: u64) -> Domain {
        Domain::Present { generation: Some(generation), incoming: false }
    }

    fn alive(generation: u64) -> Option<Registered> {
        Some(Registered { generation, alive: true })
    }

    #[test]
    fn a_running_guest_of_the_recorded_generation_is_adopted() {
        let facts = Facts {
            placed: Placed::Here { generation: 3 },
            domain: present(3),
            process: true,
            ..GONE
        };
        assert_eq!(judge(&facts), Verdict::Adopt);
    }

    #[test]
    fn nothing_is_done_while_a_saga_works_on_the_vm() {
        for placed in [Placed::NotHere, Placed::Here { generation: 1 }, Placed::Moving] {
            for domain in [Domain::Absent, present(1), Domain::Unknown] {
                let facts = Facts { placed, domain, busy: true, process: true, ..GONE };
                assert!(matches!(judge(&facts), Verdict::Leave(_)));
            }
        }
    }

    #[test]
    fn a_guest_that_is_recorded_elsewhere_or_nowhere_is_stopped_also_when_only_its_process_is_found()
     {
        let cases = [
            Facts { domain: present(2), process: true, ..GONE },
            Facts { domain: Domain::Unknown, process: true, ..GONE },
            Facts { registered: alive(2), ..GONE },
        ];
        for facts in cases {
            assert!(matches!(judge(&facts), Verdict::Stop(_)), "{facts:?}");
        }
    }

    #[test]
    fn a_guest_of_a_lower_generation_is_stopped_and_of_a_higher_one_reported() {
        let placed = Placed::Here { generation: 5 };
        let facts = Facts { placed, domain: present(4), process: true, ..GONE };
        assert!(matches!(judge(&facts), Verdict::Stop(_)));
        let facts = Facts { placed, domain: present(6), process: true, ..GONE };
        assert!(matches!(judge(&facts), Verdict::Alarm(_)));
    }

    #[test]
    fn a_guest_is_called_ended_only_when_hypervisor_and_processes_agree() {
        let placed = Placed::Here { generation: 1 };
        assert_eq!(judge(&Facts { placed, ..GONE }), Verdict::Ended { by_boot: false });
        let facts = Facts { placed, process: true, ..GONE };
        assert!(matches!(judge(&facts), Verdict::Alarm(_)));
        let facts = Facts { placed, domain: Domain::Unknown, process: true, ..GONE };
        assert!(matches!(judge(&facts), Verdict::Leave(_)));
        let facts = Facts { placed, domain: Domain::Unknown, ..GONE };
        assert!(matches!(judge(&facts), Verdict::Leave(_)));
        let dead = Some(Registered { generation: 1, alive: false });
        let facts = Facts { placed, domain: Domain::Unknown, registered: dead, ..GONE };
        assert_eq!(judge(&facts), Verdict::Ended { by_boot: false });
    }

    #[test]
    fn a_new_boot_proves_that_the_guests_of_the_old_one_ended() {
        let placed = Placed::HereBefore { generation: 1 };
        for domain in [Domain::Absent, Domain::Unknown] {
            assert_eq!(judge(&Facts { placed, domain, ..GONE }), Verdict::Ended { by_boot: true });
        }
    }

    #[test]
    fn another_pools_guest_on_the_same_machine_is_never_touched() {
        let facts = Facts { process: true, known: false, ..GONE };
        assert!(matches!(judge(&facts), Verdict::Alarm(_)));
    }

    #[test]
    fn a_dead_entry_of_the_registry_is_forgotten() {
        let registered = Some(Registered { generation: 1, alive: false });
        assert_eq!(judge(&Facts { registered, ..GONE }), Verdict::Forget);
    }
}
