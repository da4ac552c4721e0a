//! Whether high availability may be armed on a host, computed from what was measured there.
//!
//! Source: ha-anchors section 6. Three things must hold, each with its numbers in the refusal:
//!
//! 1. stopped in time: `S + attestation + pet + W + reset + writes in flight < (L + G) x (1 - drift)`;
//! 2. no false stop: an election (2 E), a client's change of endpoint, a renewal pause and one slow write stay below S;
//! 3. a watchdog that can be petted in time: two pet periods are within W.
//!
//! W is what the device said when it was asked, never what was asked for. What it is not: permission by the pool's owner;
//! [`Assurance::Reduced`] needs that on top (rule 6).

use std::fmt;
use std::time::Duration;

use crate::profile::{FAST, Profile, STANDARD, WIDE};

/// What stops a host that can't stop itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Watchdog {
    /// A device of its own.
    Hardware,
    /// In the kernel or in a process: it needs a kernel that still services timers.
    Software,
}

/// How much the bound can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Assurance {
    /// A device bites whatever the kernel does.
    Full,
    /// A kernel that hangs may keep guests running.
    Reduced,
}

/// What was measured on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Probed {
    /// The watchdog's kind and the time-out that it said it has.
    pub watchdog: Option<(Watchdog, Duration)>,
    /// Slowest durable write seen on the disks of the database and of guests.
    pub disk_latency: Duration,
    /// Slowest round trip seen to another host.
    pub round_trip: Duration,
}

/// A host that may be armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Armable {
    /// What is left in rule 1.
    pub margin: Duration,
    /// How much it is worth.
    pub assurance: Assurance,
    /// After this long without renewal the host has certainly stopped.
    pub stopped_by: Duration,
}

/// Why a host may not be armed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CannotArm {
    /// There is no watchdog at all.
    NoWatchdog,
    /// Rule 1.
    StopsTooLate {
        /// Name of the profile.
        profile: &'static str,
        /// S + attestation + pet + W + reset.
        stopped_by: Duration,
        /// W, as probed.
        watchdog: Duration,
        /// Writes that may still land: disk and network.
        in_flight: Duration,
        /// (L + G) x (1 - drift).
        others_start_at: Duration,
    },
    /// Rule 2.
    WouldStopFalsely {
        /// Name of the profile.
        profile: &'static str,
        /// What a healthy pool may take for a renewal.
        renewal_worst: Duration,
        /// S.
        self_stop_age: Duration,
    },
    /// Rule 3.
    WatchdogTooShort {
        /// W, as probed.
        watchdog: Duration,
        /// Two pet periods.
        needed: Duration,
    },
}

/// How long a client takes to give up one endpoint for the next.
pub const CLIENT_SWITCH: Duration = Duration::from_secs(1);

/// Computes whether a host may be armed.
///
/// # Errors
/// Which rule does not hold, with its numbers.
pub fn arm(profile: &Profile, probed: &Probed) -> Result<Armable, CannotArm> {
    let Some((kind, watchdog)) = probed.watchdog else { return Err(CannotArm::NoWatchdog) };
    let needed = profile.pet_period * 2;
    if watchdog < needed {
        return Err(CannotArm::WatchdogTooShort { watchdog, needed });
    }
    let inequality = profile.inequality(watchdog);
    let in_flight = probed.disk_latency.saturating_add(probed.round_trip);
    let (stopped_by, others_start_at) = (inequality.stopped_by(), inequality.others_start_at());
    let margin = others_start_at
        .checked_sub(stopped_by.saturating_add(in_flight))
        .filter(|left| !left.is_zero())
        .ok_or(CannotArm::StopsTooLate {
            profile: profile.name,
            stopped_by,
            watchdog,
            in_flight,
            others_start_at,
        })?;
    let renewal_worst =
        (profile.election * 2 + CLIENT_SWITCH + profile.renewal).saturating_add(in_flight);
    if renewal_worst >= profile.self_stop_age {
        return Err(CannotArm::WouldStopFalsely {
            profile: profile.name,
            renewal_worst,
            self_stop_age: profile.self_stop_age,
        });
    }
    let assurance = match kind {
        Watchdog::Hardware => Assurance::Full,
        Watchdog::Software => Assurance::Reduced,
    };
    Ok(Armable { margin, assurance, stopped_by })
}

/// The profiles that hold here, quickest first.
pub fn offered(probed: &Probed) -> impl Iterator<Item = &'static Profile> {
    [&FAST, &STANDARD, &WIDE].into_iter().filter(|profile| arm(profile, probed).is_ok())
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.0.as_secs_f64())
    }
}

impl fmt::Display for CannotArm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWatchdog => write!(f, "this host has no watchdog"),
            Self::StopsTooLate { profile, stopped_by, watchdog, in_flight, others_start_at } => {
                write!(
                    f,
                    "profile {profile}: a host that lost its lease has stopped after {} (its watchdog takes {}) and its \
                     writes have landed {} later, but others may start its VMs after {}",
                    Seconds(*stopped_by),
                    Seconds(*watchdog),
                    Seconds(*in_flight),
                    Seconds(*others_start_at)
                )
            }
            Self::WouldStopFalsely { profile, renewal_worst, self_stop_age } => write!(
                f,
                "profile {profile}: a renewal may take {} here while all is well, and guests are stopped after {}",
                Seconds(*renewal_worst),
                Seconds(*self_stop_age)
            ),
            Self::WatchdogTooShort { watchdog, needed } => write!(
                f,
                "the watchdog's time-out of {} is too short to be petted reliably: {} are needed",
                Seconds(*watchdog),
                Seconds(*needed)
            ),
        }
    }
}

impl std::error::Error for CannotArm {}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn probed(watchdog_ms: u64, disk_ms: u64, round_trip_ms: u64) -> Probed {
        Probed {
            watchdog: Some((Watchdog::Hardware, ms(watchdog_ms))),
            disk_latency: ms(disk_ms),
            round_trip: ms(round_trip_ms),
        }
    }

    #[test]
    fn the_probed_time_out_decides_to_the_millisecond() {
        assert_eq!(arm(&STANDARD, &probed(5_000, 0, 0)).map(|a| a.margin), Ok(ms(984)));
        assert_eq!(arm(&STANDARD, &probed(5_983, 0, 0)).map(|a| a.margin), Ok(ms(1)));
        let refusal = arm(&STANDARD, &probed(5_984, 0, 0)).expect_err("equality does not hold");
        assert_eq!(
            refusal.to_string(),
            "profile standard: a host that lost its lease has stopped after 15.984 s (its watchdog takes 5.984 s) and \
             its writes have landed 0.000 s later, but others may start its VMs after 15.984 s"
        );
    }

    #[test]
    fn slow_disks_and_links_count_as_writes_in_flight_and_as_slow_renewals() {
        assert!(arm(&STANDARD, &probed(5_000, 500, 483)).is_ok());
        let late = arm(&STANDARD, &probed(5_000, 500, 484));
        assert!(matches!(late, Err(CannotArm::StopsTooLate { .. })), "{late:?}");
        let falsely = arm(&STANDARD, &probed(2_000, 900, 100));
        assert_eq!(
            falsely.expect_err("renewals take too long").to_string(),
            "profile standard: a renewal may take 7.000 s here while all is well, and guests are stopped after 7.000 s"
        );
    }

    #[test]
    fn no_watchdog_and_a_hasty_one_are_refused_and_software_is_worth_less() {
        let none = Probed { watchdog: None, ..probed(0, 0, 0) };
        assert_eq!(arm(&STANDARD, &none), Err(CannotArm::NoWatchdog));
        assert!(matches!(
            arm(&STANDARD, &probed(1_999, 0, 0)),
            Err(CannotArm::WatchdogTooShort { .. })
        ));
        let soft = Probed { watchdog: Some((Watchdog::Software, ms(5_000))), ..none };
        assert_eq!(arm(&STANDARD, &soft).map(|a| a.assurance), Ok(Assurance::Reduced));
    }

    #[test]
    fn the_fast_profile_is_offered_only_where_it_holds() {
        let names = |p: &Probed| offered(p).map(|p| p.name).collect::<Vec<_>>();
        assert_eq!(names(&probed(2_000, 20, 1)), ["fast", "standard", "wide"]);
        assert_eq!(names(&probed(5_000, 20, 1)), ["standard", "wide"]);
        assert_eq!(names(&probed(8_000, 20, 1)), ["wide"]);
        assert_eq!(names(&probed(60_000, 20, 1)), Vec::<&str>::new());
    }
}
