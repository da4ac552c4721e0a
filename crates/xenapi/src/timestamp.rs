//! Points in time as the XenAPI writes them: whole seconds, UTC.
//!
//! Reads every form that clients send (`20260101T00:00:00Z`, `2026-01-01T00:00:00Z`, RFC 3339 with fraction and offset), writes
//! one. Holds no clock.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// First second of the year 0000: what can be written in four digits.
const MIN_SECONDS: i64 = -62_167_219_200;
/// Last second of the year 9999.
const MAX_SECONDS: i64 = 253_402_300_799;

impl Timestamp {
    /// 1970-01-01T00:00:00Z, which the XenAPI uses for "never".
    pub const EPOCH: Self = Self(0);

    /// Seconds since the epoch.
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// Parses any accepted form; a missing zone means UTC, fractions of a second are dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let mut at = Cursor { rest: text.trim().as_bytes() };
        let year = at.digits(4)?;
        let dashed = at.eat(b'-');
        let month = at.digits(2)?;
        if dashed && !at.eat(b'-') {
            return None;
        }
        let day = at.digits(2)?;
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        let days = days_from_civil(year, month, day);
        if at.rest.is_empty() {
            return Some(Self(days * 86_400));
        }
        if !(at.eat(b'T') || at.eat(b't') || at.eat(b' ')) {
            return None;
        }
        let hour = at.digits(2)?;
        let coloned = at.eat(b':');
        let minute = at.digits(2)?;
        if coloned && !at.eat(b':') {
            return None;
        }
        let second = at.digits(2)?;
        // 60 is a leap second: counted as the first second of the next minute, as POSIX does.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        if at.eat(b'.') || at.eat(b',') {
            at.digits(1)?;
            while at.digits(1).is_some() {}
        }
        let offset = at.zone()?;
        if !at.rest.is_empty() {
            return None;
        }
        Some(Self(days * 86_400 + hour * 3_600 + minute * 60 + second - offset))
    }

    /// The 18 bytes `20260101T00:00:00Z`; times outside the years 0000 to 9999 are written as the nearest that fits.
    pub fn to_bytes(self) -> [u8; 18] {
        let seconds = self.0.clamp(MIN_SECONDS, MAX_SECONDS);
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let mut out = *b"00000000T00:00:00Z";
        put(&mut out[0..4], year);
        put(&mut out[4..6], month);
        put(&mut out[6..8], day);
        put(&mut out[9..11], rest / 3_600);
        put(&mut out[12..14], rest / 60 % 60);
        put(&mut out[15..17], rest % 60);
        out
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.to_bytes();
        f.write_str(std::str::from_utf8(&bytes).expect("digits and letters are ASCII"))
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let head = self.rest.get(..count)?;
        let mut number = 0;
        for byte in head {
            if !byte.is_ascii_digit() {
                return None;
            }
            number = number * 10 + i64::from(byte - b'0');
        }
        self.rest = &self.rest[count..];
        Some(number)
    }

    /// Seconds east of UTC: nothing, `Z`, `+HH:MM`, `+HHMM`, `+HH`.
    fn zone(&mut self) -> Option<i64> {
        if self.rest.is_empty() || self.eat(b'Z') || self.eat(b'z') {
            return Some(0);
        }
        let sign = if self.eat(b'+') {
            1
        } else if self.eat(b'-') {
            -1
        } else {
            return None;
        };
        let hours = self.digits(2)?;
        let minutes = if self.rest.is_empty() {
            0
        } else {
            self.eat(b':');
            self.digits(2)?
        };
        (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
    }
}

fn put(out: &mut [u8], mut number: i64) {
    for slot in out.iter_mut().rev() {
        *slot = b'0' + u8::try_from(number % 10).expect("a decimal digit is below ten");
        number /= 10;
    }
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the epoch of a date in the proleptic Gregorian calendar. The year is taken to begin in March, so that the leap day
/// is its last; 719,468 is the number of days from 0000-03-01 to 1970-01-01.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_form_names_the_same_second() {
        for text in [
            "20260101T12:30:05Z",
            "2026-01-01T12:30:05Z",
            "20260101T12:30:05",
            "2026-01-01 12:30:05",
            "2026-01-01T12:30:05.999Z",
            "2026-01-01T14:30:05+02:00",
            "20260101T123005Z",
            "20260101T07:00:05-0530",
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp(1_767_270_605)), "{text}");
        }
        assert_eq!(Timestamp::parse("2026-01-01"), Some(Timestamp(1_767_225_600)));
        assert_eq!(Timestamp(1_767_270_605).to_string(), "20260101T12:30:05Z");
        assert_eq!(Timestamp::EPOCH.to_string(), "19700101T00:00:00Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "Z",
            "2026",
            "20261301T00:00:00Z",
            "20260230T00:00:00Z",
            "20250229T00:00:00Z",
            "20260101T24:00:00Z",
            "20260101T00:60:00Z",
            "2026-0101T00:00:00Z",
            "20260101T00:00:00ZZ",
            "20260101T00:00:00.Z",
            "20260101T0:00:00Z",
            "20260101T00:00:00+99:00",
            "２０２６0101T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_survives_a_round_trip() {
        for day in -146_097..146_097 {
            let time = Timestamp(day * 86_400 + 86_399);
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }
        assert_eq!(Timestamp(i64::MAX).to_string(), "99991231T23:59:59Z");
        assert_eq!(Timestamp(i64::MIN).to_string(), "00000101T00:00:00Z");
    }
}
