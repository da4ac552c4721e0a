//! When the pool database is dumped by itself, which old dumps make room, and when a person must be told (S1-25, S4-41).
//!
//! Each target has its own history. Only a dump that was read back from there and loaded counts as good. Times are seconds
//! since the epoch and come from the clock of whichever host coordinates: one that lies in the future is no reason to wait.

use std::fmt;

/// What the pool's settings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timetable {
    /// Seconds from one good dump to the next, at least 1.
    pub interval_s: i64,
    /// Seconds without a good dump after which a person is told, at least 1.
    pub alert_after_s: i64,
}

/// What happened so far with one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// Since when it is a target.
    pub since: i64,
    /// Its last good dump, as long as that is there.
    pub last_good: Option<i64>,
    /// The last try, good or not.
    pub last_try: Option<i64>,
    /// A person was told since the last good one.
    pub told: bool,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Make a dump.
    pub dump: bool,
    /// Tell a person: seconds without a good one.
    pub tell: Option<i64>,
}

/// After a failure, the next try comes no sooner than this, seconds (nor later than the interval).
pub const RETRY_S: i64 = 60;

/// Decides for one target.
pub fn due(table: &Timetable, history: &History, now: i64) -> Due {
    let waited = |since: i64, limit: i64| since > now || now - since >= limit;
    let interval = table.interval_s.max(1);
    let wanted = history.last_good.is_none_or(|good| waited(good, interval));
    let allowed = history.last_try.is_none_or(|tried| waited(tried, interval.min(RETRY_S)));
    let without = now - history.last_good.unwrap_or(history.since).min(now);
    let overdue = without >= table.alert_after_s.max(1) && !history.told;
    Due { dump: wanted && allowed, tell: overdue.then_some(without) }
}

/// What a target may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Good dumps kept, at least 1.
    pub keep: usize,
    /// All dumps of the pool together, bytes.
    pub max_bytes: u64,
}

/// The file system that a target lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Its size, bytes.
    pub total_bytes: u64,
    /// Left, bytes.
    pub available_bytes: u64,
    /// It holds the host's own system or state, too.
    pub is_systems_own: bool,
}

impl Space {
    /// What dumps leave free, bytes: a tenth, at most 1 GiB; on the system's own at least 512 MiB.
    pub fn reserve_bytes(&self) -> u64 {
        let tenth = (self.total_bytes / 10).min(1 << 30);
        if self.is_systems_own { tenth.max(512 << 20) } else { tenth }
    }
}

/// A good dump that a target holds. Names sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// Which dumps go for a new one; in both lists the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    /// Before it is written, so that there is room.
    pub before: Vec<String>,
    /// After it proved good.
    pub after: Vec<String>,
}

/// Why a dump can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// It and the last good one are more than the quota, bytes.
    Quota { needed: u64, max: u64 },
    /// The file system would have less than its reserve left, bytes.
    Space { needed: u64, available: u64, reserve: u64 },
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota { needed, max } => write!(
                f,
                "this dump and the last good one take {needed} bytes, more than the quota of {max}"
            ),
            Self::Space { needed, available, reserve } => write!(
                f,
                "{needed} bytes are needed and {available} are available, of which {reserve} stay free"
            ),
        }
    }
}

/// Makes room for a dump of that size. The newest good one never goes before the new one proved good.
///
/// # Errors
/// [`NoRoom`]; then nothing is to be removed.
pub fn room(mut kept: Vec<Kept>, bytes: u64, quota: &Quota, space: &Space) -> Result<Room, NoRoom> {
    kept.sort_unstable();
    let mut room = Room::default();
    let mut held: u64 = kept.iter().map(|k| k.bytes).sum();
    let mut available = space.available_bytes;
    let reserve = space.reserve_bytes();
    let mut old = kept.into_iter().peekable();
    let lacks = |held: u64, available: u64| {
        held.saturating_add(bytes) > quota.max_bytes || available < bytes.saturating_add(reserve)
    };
    while lacks(held, available) {
        let Some(oldest) = old.next().filter(|_| old.peek().is_some()) else {
            return Err(if held.saturating_add(bytes) > quota.max_bytes {
                NoRoom::Quota { needed: held.saturating_add(bytes), max: quota.max_bytes }
            } else {
                NoRoom::Space { needed: bytes, available, reserve }
            });
        };
        held -= oldest.bytes;
        available = available.saturating_add(oldest.bytes);
        room.before.push(oldest.name);
    }
    let left: Vec<String> = old.map(|k| k.name).collect();
    let surplus = (left.len() + 1).saturating_sub(quota.keep.max(1));
    room.after = left.into_iter().take(surplus).collect();
    Ok(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Timetable = Timetable { interval_s: 3600, alert_after_s: 7200 };

    fn history(last_good: Option<i64>, last_try: Option<i64>, told: bool) -> History {
        History { since: 10_000, last_good, last_try, told }
    }

    #[test]
    fn a_dump_is_due_after_the_interval_and_tried_again_after_a_minute() {
        for (good, tried, now, dump) in [
            (None, None, 10_000, true),
            (Some(10_000), Some(10_000), 13_599, false),
            (Some(10_000), Some(10_000), 13_600, true),
            (None, Some(10_000), 10_059, false),
            (None, Some(10_000), 10_060, true),
            // The clock went back, or the coordinator's role went to a host whose clock is behind.
            (Some(20_000), Some(20_000), 10_001, true),
        ] {
            let got = due(&TABLE, &history(good, tried, false), now);
            assert_eq!(got.dump, dump, "{good:?} {tried:?} {now}");
        }
    }

    #[test]
    fn a_person_is_told_once_when_none_was_good_for_the_set_time() {
        for (good, told, now, tell) in [
            (None, false, 17_199, None),
            (None, false, 17_200, Some(7200)),
            (None, true, 17_200, None),
            (Some(16_000), false, 17_200, None),
            (Some(16_000), false, 23_200, Some(7200)),
        ] {
            let got = due(&TABLE, &history(good, Some(now), told), now);
            assert_eq!(got.tell, tell, "{good:?} {told} {now}");
        }
    }

    const WIDE: Space = Space { total_bytes: 1000, available_bytes: 1000, is_systems_own: false };

    fn kept(sizes: &[u64]) -> Vec<Kept> {
        let name = |n: usize| format!("{n}");
        sizes.iter().enumerate().map(|(n, b)| Kept { name: name(n), bytes: *b }).collect()
    }

    /// Before and after, as the digits of the dumps' names.
    fn shown(room: &Room) -> (String, String) {
        (room.before.concat(), room.after.concat())
    }

    #[test]
    fn the_oldest_go_and_the_last_good_one_stays_until_the_new_one_is_good() {
        for (sizes, keep, max, available, before, after) in [
            (&[10, 10, 10, 10][..], 3, 1000, 1000, "", "01"),
            (&[10, 10], 3, 1000, 1000, "", ""),
            (&[10], 1, 1000, 1000, "", "0"),
            (&[10], 0, 1000, 1000, "", "0"),
            (&[], 1, 1000, 1000, "", ""),
            // The quota takes more than the count does, and before.
            (&[10, 10, 10], 9, 30, 1000, "0", ""),
            (&[10, 10, 10], 2, 30, 1000, "0", "1"),
            (&[10, 10, 10], 9, 20, 1000, "01", ""),
            // So does the space: 100 stay free.
            (&[10, 10, 10], 9, 1000, 105, "0", ""),
        ] {
            let space = Space { available_bytes: available, ..WIDE };
            let quota = Quota { keep, max_bytes: max };
            let got = room(kept(sizes), 10, &quota, &space).expect("there is room");
            let expected = (before.to_owned(), after.to_owned());
            assert_eq!(shown(&got), expected, "{sizes:?} {keep} {max} {available}");
        }
    }

    #[test]
    fn without_room_nothing_is_removed_and_the_reason_is_said() {
        let quota = Quota { keep: 2, max_bytes: 15 };
        let got = room(kept(&[10, 10]), 10, &quota, &WIDE);
        assert_eq!(got, Err(NoRoom::Quota { needed: 20, max: 15 }));
        let quota = Quota { keep: 2, max_bytes: 1000 };
        let full = Space { available_bytes: 50, ..WIDE };
        let got = room(kept(&[10]), 10, &quota, &full);
        assert_eq!(got, Err(NoRoom::Space { needed: 10, available: 50, reserve: 100 }));
    }

    #[test]
    fn the_systems_own_space_has_a_reserve_of_its_own() {
        let small = Space { total_bytes: 2 << 30, available_bytes: 0, is_systems_own: false };
        assert_eq!(small.reserve_bytes(), (2 << 30) / 10);
        assert_eq!(Space { is_systems_own: true, ..small }.reserve_bytes(), 512 << 20);
        assert_eq!(Space { total_bytes: 1 << 50, ..small }.reserve_bytes(), 1 << 30);
    }
}
