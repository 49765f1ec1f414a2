//! Instants, read from ISO 8601 texts and printed as RFC 3339.
//!
//! The calendar is the proleptic Gregorian one, computed here: the years 0000 to 9999 are all valid (users write
//! `9999-12-31` for "never"), which is a little more than calendar crates give an instant.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

const SECONDS_PER_DAY: i64 = 86_400;
const NANOSECONDS_PER_SECOND: i64 = 1_000_000_000;
/// Days from 0000-01-01 to 1970-01-01.
const EPOCH_DAY: i64 = 719_528;
/// Days before each month of a common year.
const MONTH_STARTS: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// An instant between the years 0000 and 9999 (UTC), to the nanosecond.
///
/// ```
/// use store_core::Timestamp;
/// let noon: Timestamp = "2024-05-01T14:00:00+02:00".parse()?;
/// assert_eq!(noon.to_string(), "2024-05-01T12:00:00Z");
/// assert_eq!(noon.as_nanoseconds(), 1_714_564_800_000_000_000);
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i128);

impl Timestamp {
    /// The first instant: `0000-01-01T00:00:00Z`.
    pub const MIN: Self = Self::from_parts(-EPOCH_DAY * SECONDS_PER_DAY, 0);
    /// The last instant: `9999-12-31T23:59:59.999999999Z`.
    pub const MAX: Self = Self::from_parts((days_before_year(10_000) - EPOCH_DAY) * SECONDS_PER_DAY, -1);

    /// An instant from nanoseconds since 1970-01-01T00:00:00Z; `InvalidInput` outside the years 0000 to 9999.
    pub fn from_nanoseconds(nanoseconds: i128) -> Result<Self> {
        Self::in_range(nanoseconds).ok_or_else(|| {
            Error::invalid_input(format!(
                "a timestamp lies between the years 0000 and 9999; {nanoseconds} ns since 1970 does not"
            ))
        })
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn as_nanoseconds(self) -> i128 {
        self.0
    }

    /// Reads an ISO 8601 text: `YYYY-MM-DD`, or with `T` or a space `hh:mm[:ss[.fraction]]` and optionally `Z` or
    /// `±hh:mm`. Without an offset it is UTC; digits beyond nanoseconds are dropped. `None` for anything else.
    ///
    /// This is what decides whether a metadata text counts as a timestamp. [`FromStr`] is the same with an error.
    #[must_use]
    pub fn from_iso(text: &str) -> Option<Self> {
        let mut rest = Reader(text.as_bytes());
        let year = rest.number(4)?;
        rest.byte(b"-")?;
        let month = rest.number(2)?;
        rest.byte(b"-")?;
        let day = rest.number(2)?;
        let days = days_before_date(year, month, day)? - EPOCH_DAY;
        if rest.0.is_empty() {
            return Self::in_range(Self::from_parts(days * SECONDS_PER_DAY, 0).0);
        }
        rest.byte(b"T ")?;
        let minutes = rest.hours_and_minutes()?;
        let (mut seconds, mut nanoseconds) = (0, 0);
        if rest.byte(b":").is_some() {
            seconds = rest.number(2).filter(|seconds| *seconds < 60)?;
            if rest.byte(b".").is_some() {
                nanoseconds = rest.fraction()?;
            }
        }
        let offset = rest.offset()?;
        if !rest.0.is_empty() {
            return None;
        }
        let seconds = days * SECONDS_PER_DAY + (minutes - offset) * 60 + seconds;
        Self::in_range(Self::from_parts(seconds, nanoseconds).0)
    }

    const fn from_parts(seconds: i64, nanoseconds: i64) -> Self {
        // Widened first; `i128::from` is not const.
        Self(seconds as i128 * NANOSECONDS_PER_SECOND as i128 + nanoseconds as i128)
    }

    fn in_range(nanoseconds: i128) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&nanoseconds).then_some(Self(nanoseconds))
    }
}

/// The bytes not read yet.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        allowed.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let mut number = 0;
        for _ in 0..digits {
            number = number * 10 + i64::from(self.byte(b"0123456789")? - b'0');
        }
        Some(number)
    }

    fn hours_and_minutes(&mut self) -> Option<i64> {
        let hours = self.number(2).filter(|hours| *hours < 24)?;
        self.byte(b":")?;
        let minutes = self.number(2).filter(|minutes| *minutes < 60)?;
        Some(hours * 60 + minutes)
    }

    /// At least one digit, as nanoseconds.
    fn fraction(&mut self) -> Option<i64> {
        let mut nanoseconds = 0;
        let mut unit = NANOSECONDS_PER_SECOND;
        while let Some(digit) = self.byte(b"0123456789") {
            unit /= 10;
            nanoseconds += unit * i64::from(digit - b'0');
        }
        (unit < NANOSECONDS_PER_SECOND).then_some(nanoseconds)
    }

    /// Minutes ahead of UTC; 0 at the end of the text.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() {
            return Some(0);
        }
        match self.byte(b"Z+-")? {
            b'Z' => Some(0),
            b'+' => self.hours_and_minutes(),
            _ => self.hours_and_minutes().map(|minutes| -minutes),
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 0000-01-01 to the first day of a year ≥ 0; year 0 is a leap year.
const fn days_before_year(year: i64) -> i64 {
    year * 365 + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400
}

/// Days from the first of January to the first of a month (1 to 12); the thirteenth month is the next January.
fn days_before_month(year: i64, month: i64) -> Option<i64> {
    let leap_day = i64::from(month > 2 && is_leap(year));
    if month == 13 {
        return Some(365 + leap_day);
    }
    MONTH_STARTS.get(usize::try_from(month - 1).ok()?).map(|start| start + leap_day)
}

/// Days from 0000-01-01, `None` for a day that does not exist.
fn days_before_date(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) {
        return None;
    }
    let start = days_before_month(year, month)?;
    let length = days_before_month(year, month + 1)? - start;
    (1..=length).contains(&day).then(|| days_before_year(year) + start + day - 1)
}

/// Year, month and day of a day counted from 0000-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    // 146,097 days are 400 years; the guess is at most a year off.
    let mut year = days * 400 / 146_097;
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    while days_before_year(year) > days {
        year -= 1;
    }
    let day_of_year = days - days_before_year(year);
    let (mut month, mut start) = (1, 0);
    while let Some(next) = days_before_month(year, month + 1).filter(|next| *next <= day_of_year) {
        month += 1;
        start = next;
    }
    (year, month, day_of_year - start + 1)
}

/// RFC 3339 in UTC, with as many decimals as needed: `2024-05-01T12:00:00.5Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = i128::from(NANOSECONDS_PER_SECOND);
        let nanoseconds = self.0.rem_euclid(per_second);
        // The range of the type keeps seconds far inside 64 bits.
        let seconds = i64::try_from(self.0.div_euclid(per_second)).unwrap_or_default();
        let (year, month, day) = date_of(seconds.div_euclid(SECONDS_PER_DAY) + EPOCH_DAY);
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if nanoseconds > 0 {
            write!(f, ".{}", format!("{nanoseconds:09}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_iso(text).ok_or_else(|| {
            Error::invalid_input(format!(
                "{text:?} is not a timestamp; write 2024-05-01 or 2024-05-01T12:00:00Z (or an offset like +02:00)"
            ))
        })
    }
}

/// `InvalidInput` outside the years 0000 to 9999.
impl TryFrom<SystemTime> for Timestamp {
    type Error = Error;

    fn try_from(time: SystemTime) -> Result<Self> {
        // Nanoseconds of a `Duration` fit 94 bits, so the conversion always succeeds.
        let nanoseconds = |span: std::time::Duration| i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::from_nanoseconds(nanoseconds(after)),
            Err(before) => Self::from_nanoseconds(-nanoseconds(before.duration())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_form_and_prints_utc() {
        for (text, printed) in [
            ("1970-01-01", "1970-01-01T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("2000-02-29", "2000-02-29T00:00:00Z"),
            ("0000-02-29", "0000-02-29T00:00:00Z"),
            ("0000-01-01T00:00", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
            ("2024-05-01T12:30", "2024-05-01T12:30:00Z"),
            ("2024-05-01 12:30", "2024-05-01T12:30:00Z"),
            ("2024-05-01T12:30Z", "2024-05-01T12:30:00Z"),
            ("2024-05-01T12:30:15.250", "2024-05-01T12:30:15.25Z"),
            ("2024-05-01T12:30:15.000Z", "2024-05-01T12:30:15Z"),
            ("2024-05-01T12:30:15.1234567899Z", "2024-05-01T12:30:15.123456789Z"),
            ("2024-05-01T00:30:00+01:00", "2024-04-30T23:30:00Z"),
            ("2024-12-31T23:30-23:59", "2025-01-01T23:29:00Z"),
            ("2024-05-01T12:00:00-00:00", "2024-05-01T12:00:00Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"),
        ] {
            assert_eq!(Timestamp::from_iso(text).map(|t| t.to_string()).as_deref(), Some(printed), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "2024",
            "2024-05",
            "2024-5-1",
            "20240501",
            "2024-13-01",
            "2024-00-01",
            "2024-05-00",
            "2024-04-31",
            "2023-02-29",
            "1900-02-29",
            "2024-05-01T",
            "2024-05-01T12",
            "2024-05-01T1:00",
            "2024-05-01T24:00",
            "2024-05-01T12:60",
            "2024-05-01T12:00:60",
            "2024-05-01T12:00:00.",
            "2024-05-01T12:00.5",
            "2024-05-01T12:00:00,5",
            "2024-05-01t12:00",
            "2024-05-01T12:00z",
            "2024-05-01T12:00+2",
            "2024-05-01T12:00+0200",
            "2024-05-01T12:00+24:00",
            "2024-05-01T12:00+02:60",
            "2024-05-01T12:00 +02:00",
            "2024-05-01T12:00ZZ",
            "2024-05-01Z",
            "2024-05-01+02:00",
            " 2024-05-01",
            "2024-05-01 ",
            "2024-05-01  12:00",
            "+2024-05-01",
            "-2024-05-01",
            "12024-05-01",
            "٢٠٢٤-05-01",
            "2024-W18-3",
            "2024-122",
            "0000-01-01T00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(Timestamp::from_iso(text), None, "{text}");
            assert!(text.parse::<Timestamp>().is_err());
        }
    }

    #[test]
    fn agrees_with_a_calendar_library() {
        let first = Timestamp::MIN.as_nanoseconds();
        let day = i128::from(SECONDS_PER_DAY * NANOSECONDS_PER_SECOND);
        let start = jiff::civil::date(0, 1, 1);
        // Every day of the years around now, and every 29th of all ten thousand.
        let (past, future) = (days_before_year(1890), days_before_year(2110));
        let all = (0..days_before_year(10_000))
            .step_by(29)
            .chain(past..future)
            .chain([days_before_year(10_000) - 1]);
        for days in all {
            let date = start + jiff::Span::new().days(days);
            let timestamp = Timestamp::from_nanoseconds(first + i128::from(days) * day).unwrap();
            let printed = timestamp.to_string();
            assert_eq!(printed, format!("{date}T00:00:00Z"));
            assert_eq!(Timestamp::from_iso(&printed), Some(timestamp));
        }
    }

    #[test]
    fn system_times_convert() {
        let time = UNIX_EPOCH + std::time::Duration::from_millis(1_500);
        assert_eq!(Timestamp::try_from(time).unwrap().to_string(), "1970-01-01T00:00:01.5Z");
        let before = UNIX_EPOCH - std::time::Duration::from_millis(500);
        assert_eq!(Timestamp::try_from(before).unwrap().to_string(), "1969-12-31T23:59:59.5Z");
    }

    #[test]
    fn the_range_is_checked() {
        assert!(Timestamp::from_nanoseconds(Timestamp::MIN.as_nanoseconds() - 1).is_err());
        assert!(Timestamp::from_nanoseconds(Timestamp::MAX.as_nanoseconds() + 1).is_err());
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(nanoseconds in Timestamp::MIN.0..=Timestamp::MAX.0) {
            let timestamp = Timestamp::from_nanoseconds(nanoseconds).unwrap();
            prop_assert_eq!(Timestamp::from_iso(&timestamp.to_string()), Some(timestamp));
        }

        #[test]
        fn never_panics(text in "[-0-9T Z:.+]{0,40}|\\PC{0,30}") {
            let _ = Timestamp::from_iso(&text);
        }
    }
}
