//! The timing budget of high availability as data, and the inequality that must hold before it is armed.
//!
//! Source: ha-anchors section 6. A host kills its guests and stops petting its watchdog at age S of its lease; others
//! may start them G after the lease's TTL L has passed. The [`Inequality`] says that the first is over before the
//! second begins, whatever the clocks do.

use std::time::Duration;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// One set of timing constants. Durations on the boot-time clock; ages count from when the last confirmed renewal was
/// *sent*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Name in configuration.
    pub name: &'static str,
    /// K: renewal interval of a host's lease.
    pub renewal: Duration,
    /// L: time to live of a host's lease.
    pub lease_ttl: Duration,
    /// S: age at which the host kills its guests and stops petting.
    pub self_stop_age: Duration,
    /// W: watchdog time-out. The inequality is checked with the probed one.
    pub watchdog: Duration,
    /// G: wait after expiry before others may start the guests.
    pub grace: Duration,
    /// E: election time-out of the database.
    pub election: Duration,
    /// C: time to live of the coordinator's lease.
    pub coordinator_ttl: Duration,
    /// Age from which a host is shown as suspect.
    pub suspect: Duration,
    /// How often the watchdog is petted.
    pub pet_period: Duration,
    /// How old the voters' word "I have no leader" may be that lets a host stay up without a lease (rule 3).
    pub attestation_age: Duration,
    /// From the watchdog's bite to stopped processors.
    pub reset_latency: Duration,
    /// How often expiry is looked at.
    pub expiry_poll: Duration,
    /// Longest gap between commits that still counts as continuous (rule 3b).
    pub commit_gap: Duration,
    /// Difference of two hosts' clocks, in parts per million of the time measured.
    pub drift_ppm: u32,
    /// Promised: a dead member is proven stopped within this.
    pub fenced_member: Duration,
    /// Promised: the same for a host that carried the database's leader.
    pub fenced_leader: Duration,
    /// Promised: a new coordinator answers writes, typically.
    pub coordinator_typical: Duration,
    /// The same, at worst.
    pub coordinator_worst: Duration,
    /// Promised: the first protected VM's process runs, typically.
    pub start_typical: Duration,
    /// The same, at worst.
    pub start_worst: Duration,
}

/// For local disks and a switched network.
pub const STANDARD: Profile = Profile {
    name: "standard",
    renewal: ms(2_000),
    lease_ttl: ms(12_000),
    self_stop_age: ms(7_000),
    watchdog: ms(5_000),
    grace: ms(4_000),
    election: ms(1_500),
    coordinator_ttl: ms(5_000),
    suspect: ms(4_000),
    pet_period: ms(1_000),
    attestation_age: ms(1_000),
    reset_latency: ms(1_000),
    expiry_poll: ms(500),
    commit_gap: ms(1_000),
    drift_ppm: 1_000,
    fenced_member: ms(17_000),
    fenced_leader: ms(22_000),
    coordinator_typical: ms(8_000),
    coordinator_worst: ms(14_000),
    start_typical: ms(20_000),
    start_worst: ms(26_000),
};

/// For slow disks or routed links.
pub const WIDE: Profile = Profile {
    name: "wide",
    renewal: ms(5_000),
    lease_ttl: ms(30_000),
    self_stop_age: ms(20_000),
    watchdog: ms(8_000),
    grace: ms(4_000),
    election: ms(3_000),
    coordinator_ttl: ms(10_000),
    suspect: ms(10_000),
    pet_period: ms(1_000),
    attestation_age: ms(1_000),
    reset_latency: ms(1_000),
    expiry_poll: ms(500),
    commit_gap: ms(1_000),
    drift_ppm: 1_000,
    fenced_member: ms(35_000),
    fenced_leader: ms(45_000),
    coordinator_typical: ms(16_000),
    coordinator_worst: ms(25_000),
    start_typical: ms(40_000),
    start_worst: ms(55_000),
};

/// For watchdogs of two seconds, quick disks and one switch, and a database with an election time-out of 0.5 s. Offered
/// only where [`crate::arming::offered`] has computed that it holds.
pub const FAST: Profile = Profile {
    name: "fast",
    renewal: ms(1_000),
    lease_ttl: ms(6_000),
    self_stop_age: ms(4_000),
    watchdog: ms(2_000),
    grace: ms(2_000),
    election: ms(500),
    coordinator_ttl: ms(3_000),
    suspect: ms(2_000),
    pet_period: ms(500),
    attestation_age: ms(500),
    reset_latency: ms(500),
    expiry_poll: ms(500),
    commit_gap: ms(1_000),
    drift_ppm: 1_000,
    fenced_member: ms(9_000),
    fenced_leader: ms(10_000),
    coordinator_typical: ms(5_000),
    coordinator_worst: ms(8_000),
    start_typical: ms(12_000),
    start_worst: ms(14_000),
};

/// All profiles.
pub const PROFILES: [&Profile; 3] = [&STANDARD, &WIDE, &FAST];

impl Profile {
    /// Finds a profile by its name in configuration.
    pub fn named(name: &str) -> Option<&'static Profile> {
        PROFILES.into_iter().find(|p| p.name == name)
    }

    /// States the inequality with the watchdog time-out that was really probed.
    pub const fn inequality(&self, probed_watchdog: Duration) -> Inequality {
        Inequality {
            self_stop_age: self.self_stop_age,
            attestation_age: self.attestation_age,
            pet_period: self.pet_period,
            watchdog: probed_watchdog,
            reset_latency: self.reset_latency,
            lease_ttl: self.lease_ttl,
            grace: self.grace,
            drift_ppm: self.drift_ppm,
        }
    }

    /// Longest time until a dead member is counted as expired and its grace is over.
    pub fn fenced_member_bound(&self) -> Duration {
        self.lease_ttl + self.expiry_poll + self.grace
    }

    /// The same when it took the database's leader with it: an election, whose new leader renews every lease.
    pub fn fenced_leader_bound(&self) -> Duration {
        self.fenced_member_bound() + 3 * self.election
    }
}

/// `S + attestation age + pet period + W + reset latency < (L + G) x (1 - drift)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inequality {
    /// S.
    pub self_stop_age: Duration,
    /// See [`Profile::attestation_age`].
    pub attestation_age: Duration,
    /// See [`Profile::pet_period`].
    pub pet_period: Duration,
    /// W, as probed.
    pub watchdog: Duration,
    /// See [`Profile::reset_latency`].
    pub reset_latency: Duration,
    /// L.
    pub lease_ttl: Duration,
    /// G.
    pub grace: Duration,
    /// See [`Profile::drift_ppm`].
    pub drift_ppm: u32,
}

impl Inequality {
    /// Left side: when a host that lost its lease has certainly stopped.
    pub fn stopped_by(&self) -> Duration {
        [self.attestation_age, self.pet_period, self.watchdog, self.reset_latency]
            .into_iter()
            .fold(self.self_stop_age, Duration::saturating_add)
    }

    /// Right side: when others may start its guests, by a clock that runs fast.
    pub fn others_start_at(&self) -> Duration {
        let wait = self.lease_ttl.saturating_add(self.grace);
        let lost = wait.as_nanos() * u128::from(self.drift_ppm.min(1_000_000)) / 1_000_000;
        wait.saturating_sub(Duration::from_nanos(u64::try_from(lost).unwrap_or(u64::MAX)))
    }

    /// Tells whether high availability may be armed with these numbers.
    pub fn holds(&self) -> bool {
        self.stopped_by() < self.others_start_at()
    }

    /// What is left between the two sides; `None` if the inequality does not hold.
    pub fn margin(&self) -> Option<Duration> {
        self.others_start_at().checked_sub(self.stopped_by()).filter(|m| !m.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// proves: S4-59 (table)
    #[test]
    fn both_profiles_hold_with_their_own_watchdog() {
        let standard = STANDARD.inequality(STANDARD.watchdog);
        assert_eq!(standard.stopped_by(), ms(15_000));
        assert_eq!(standard.others_start_at(), ms(15_984));
        assert!(standard.holds());
        let wide = WIDE.inequality(WIDE.watchdog);
        assert_eq!(wide.stopped_by(), ms(31_000));
        assert_eq!(wide.others_start_at(), ms(33_966));
        assert_eq!(wide.margin(), Some(ms(2_966)));
    }

    #[test]
    fn a_coarser_watchdog_than_planned_forbids_arming() {
        assert!(!STANDARD.inequality(ms(6_000)).holds());
        assert!(WIDE.inequality(ms(10_000)).holds());
        assert!(!WIDE.inequality(ms(60_000)).holds());
        assert_eq!(WIDE.inequality(ms(60_000)).margin(), None);
    }

    #[test]
    fn equality_does_not_hold() {
        let tight = Inequality { drift_ppm: 0, watchdog: ms(6_000), ..STANDARD.inequality(ms(0)) };
        assert_eq!(tight.stopped_by(), tight.others_start_at());
        assert!(!tight.holds());
    }

    #[test]
    fn the_promised_bounds_follow_from_the_constants() {
        for profile in PROFILES {
            assert!(profile.fenced_member_bound() <= profile.fenced_member, "{}", profile.name);
            assert!(profile.fenced_leader_bound() <= profile.fenced_leader, "{}", profile.name);
            assert!(profile.suspect < profile.self_stop_age);
            assert!(profile.self_stop_age < profile.lease_ttl);
            assert!(profile.renewal * 2 <= profile.suspect);
            assert_eq!(Profile::named(profile.name), Some(profile));
        }
        assert_eq!(Profile::named("brave"), None);
    }
}
