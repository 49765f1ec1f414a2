//! Spans of time as the server can look them up in an index.

use std::time::{Duration, SystemTime};

use bson::{DateTime, Document, doc};
use store_core::{Error, Result, Timestamp};

use crate::field_path;

const NANOSECONDS_PER_MILLISECOND: i128 = 1_000_000;

/// A span of time from one instant to another, the first included and the last not, so that ranges that follow
/// each other share nothing and leave nothing out.
///
/// As a match it is two comparisons of the field itself, which an index on it serves; a field's year or month
/// computed by the server would not be.
///
/// ```
/// use store_mongodb::DateRange;
///
/// // May in Warsaw, whose clocks are two hours ahead then.
/// let may = DateRange::parse("2024-05-01T00:00:00+02:00", "2024-06-01T00:00:00+02:00")?;
/// let matches = may.on("sold_at")?;
/// assert!(matches.get_document("sold_at").is_ok_and(|range| range.contains_key("$gte")));
/// // A time that does not say its zone means something else to everyone.
/// assert!(DateRange::parse("2024-05-01", "2024-06-01").is_err());
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DateRange {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl DateRange {
    /// All time.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// From the first instant to just before the second; `InvalidInput` when the second comes before the first.
    pub fn between(from: Timestamp, to: Timestamp) -> Result<Self> {
        if to < from {
            return Err(Error::invalid_input(format!("the range ends at {to}, before it begins at {from}")));
        }
        Ok(Self { from: Some(from), to: Some(to) })
    }

    /// From the instant on.
    #[must_use]
    pub fn since(from: Timestamp) -> Self {
        Self { from: Some(from), to: None }
    }

    /// Until just before the instant.
    #[must_use]
    pub fn until(to: Timestamp) -> Self {
        Self { from: None, to: Some(to) }
    }

    /// The time just passed, up to now by this machine's clock; `InvalidInput` for more than its clock knows.
    pub fn last(duration: Duration) -> Result<Self> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let now = i128::try_from(now).unwrap_or(i128::MAX);
        let passed = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
        Self::between(Timestamp::from_nanoseconds(now - passed)?, Timestamp::from_nanoseconds(now)?)
    }

    /// [`between`](Self::between) of two ISO 8601 texts with a time and a zone: `2024-05-01T00:00:00+02:00`, or `Z`
    /// for UTC. `InvalidInput` for any other text, also for one that leaves the zone out.
    pub fn parse(from: &str, to: &str) -> Result<Self> {
        Self::between(zoned(from)?, zoned(to)?)
    }

    /// A match of documents whose field is a date in the range; `InvalidInput` for a field name of an operator's form.
    pub fn on(&self, field: &str) -> Result<Document> {
        field_path::check("field", field)?;
        let mut operators = Document::new();
        if let Some(from) = self.from {
            operators.insert("$gte", milliseconds(from));
        }
        if let Some(to) = self.to {
            operators.insert("$lt", milliseconds(to));
        }
        Ok(if operators.is_empty() {
            doc! {}
        } else {
            doc! {field: operators}
        })
    }
}

/// The first date at or after the instant: what is at least, or less than, the one is so of the other.
fn milliseconds(at: Timestamp) -> DateTime {
    let rounded =
        (at.as_nanoseconds() + NANOSECONDS_PER_MILLISECOND - 1).div_euclid(NANOSECONDS_PER_MILLISECOND);
    DateTime::from_millis(i64::try_from(rounded).unwrap_or(i64::MAX))
}

fn zoned(text: &str) -> Result<Timestamp> {
    let at: Timestamp = text.parse()?;
    let tail = text.len().checked_sub(6).and_then(|start| text.get(start..)).unwrap_or_default();
    let offset = tail.starts_with(['+', '-']) && tail.get(3..4) == Some(":");
    if offset || text.ends_with('Z') {
        return Ok(at);
    }
    Err(Error::invalid_input(format!(
        "the time {text:?} does not say its zone; end it in Z for UTC or in an offset like +02:00"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open_and_say_their_zone() {
        let day = DateRange::parse("2024-05-01T00:00:00+02:00", "2024-05-01T22:00:00Z").unwrap();
        let date = |text| DateTime::parse_rfc3339_str(text).unwrap();
        let expected = doc! {"$gte": date("2024-04-30T22:00:00Z"), "$lt": date("2024-05-01T22:00:00Z")};
        assert_eq!(day.on("a.b").unwrap(), doc! {"a.b": expected});
        for text in ["2024-05-01", "2024-05-01T10:00", "2024-05-01T10:00:00.5", "2024-05-01 10:00", "x"] {
            assert!(DateRange::parse(text, "2025-01-01T00:00:00Z").is_err(), "{text}");
        }
        assert!(DateRange::parse("2024-05-02T00:00:00Z", "2024-05-01T00:00:00Z").is_err());
        assert!(DateRange::all().on("$where").is_err());
        assert_eq!(DateRange::all().on("a").unwrap(), doc! {});
    }

    #[test]
    fn what_is_finer_than_a_date_rounds_up() {
        let at = |text: &str| milliseconds(text.parse().unwrap()).timestamp_millis();
        assert_eq!(at("1970-01-01T00:00:00.001000001Z"), 2);
        assert_eq!(at("1969-12-31T23:59:59.9985Z"), -1);
        assert_eq!(at("1970-01-01T00:00:00.001Z"), 1);
    }
}
