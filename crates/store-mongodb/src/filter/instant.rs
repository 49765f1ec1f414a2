//! Texts that are ISO 8601 instants, compared by the server to the nanosecond.

use bson::{Bson, DateTime, Document, doc};
use store_core::Timestamp;

use super::decimal;

const NANOSECONDS_PER_DAY: i128 = 86_400_000_000_000;
const NANOSECONDS_PER_MILLISECOND: i128 = 1_000_000;
/// Four hundred years, after which the calendar repeats, in milliseconds.
const ERA: i64 = 146_097 * 86_400_000;

/// What [`Timestamp::from_iso`] reads, with the parts as groups: year, month, day, hour, minute, second, fraction,
/// sign, hours and minutes of the offset. That the month has such a day is tested apart.
const FORM: &str = "\\A([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
                    (?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\\.([0-9]+))?)?\
                    (?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))?)?\\z";

/// Instants from one to another, both included, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    low: i128,
    high: i128,
}

impl Span {
    pub(super) fn new(low: i128, high: i128) -> Self {
        let (first, last) = (Timestamp::MIN.as_nanoseconds(), Timestamp::MAX.as_nanoseconds());
        Self { low: low.max(first), high: high.min(last) }
    }

    /// What compares with the instant as one of `$gt`, `$gte`, `$lt` and `$lte` says.
    pub(super) fn of(operator: &str, at: Timestamp) -> Self {
        let at = at.as_nanoseconds();
        match operator {
            "$gt" => Self::new(at + 1, i128::MAX),
            "$gte" => Self::new(at, i128::MAX),
            "$lt" => Self::new(i128::MIN, at - 1),
            _ => Self::new(i128::MIN, at),
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.low > self.high
    }

    /// Operators on a text that hold for every text of an instant in the span, and for others: an index serves
    /// them. A text begins with its date, which an offset moves by a day at most.
    pub(super) fn texts(self) -> Document {
        let day = |nanoseconds: i128| {
            let text = Timestamp::from_nanoseconds(nanoseconds).ok()?.to_string();
            text.get(..10).map(str::to_owned)
        };
        let low = day(self.low - NANOSECONDS_PER_DAY).unwrap_or_else(|| "0".to_owned());
        // The first text after all that begin with a digit.
        let high = day(self.high + 2 * NANOSECONDS_PER_DAY).unwrap_or_else(|| ":".to_owned());
        doc! {"$gte": low, "$lt": high}
    }

    /// Operators on the server's own dates, which count milliseconds.
    pub(super) fn dates(self) -> Document {
        let milliseconds = |at: i128| i64::try_from(at.div_euclid(NANOSECONDS_PER_MILLISECOND)).unwrap_or(0);
        let low = milliseconds(self.low + NANOSECONDS_PER_MILLISECOND - 1);
        doc! {
            "$gte": DateTime::from_millis(low),
            "$lte": DateTime::from_millis(milliseconds(self.high)),
        }
    }

    /// An expression that is true when `input` is a text of an instant in the span.
    pub(super) fn expression(self, input: &Bson) -> Document {
        let part = |group: i32| doc! {"$arrayElemAt": ["$$found.captures", group]};
        let number = |group: i32| doc! {"$toInt": {"$ifNull": [part(group), "0"]}};
        let found = doc! {"$cond": [
            {"$eq": [{"$type": input.clone()}, "string"]},
            {"$regexFind": {"input": input.clone(), "regex": FORM}},
            null,
        ]};
        // The server's calendar begins with the year 1.
        let shifted = doc! {"$eq": [part(0), "0000"]};
        let date = doc! {"$dateFromParts": {
            "year": {"$cond": [shifted.clone(), 400, number(0)]},
            "month": number(1),
            "day": number(2),
            "hour": number(3),
            "minute": number(4),
            "second": number(5),
        }};
        let minutes = doc! {"$add": [{"$multiply": [number(8), 60]}, number(9)]};
        let offset = doc! {"$multiply": [minutes, {"$cond": [{"$eq": [part(7), "-"]}, -60_000, 60_000]}]};
        let era = doc! {"$cond": [shifted, ERA, 0_i64]};
        let milliseconds = doc! {"$subtract": [{"$toLong": "$$date"}, {"$add": [offset, era]}]};
        let fraction = doc! {"$concat": [{"$ifNull": [part(6), ""]}, "000000000"]};
        let nanoseconds = doc! {"$add": [
            {"$multiply": [{"$toDecimal": milliseconds}, 1_000_000]},
            {"$toInt": {"$substrBytes": [fraction, 0, 9]}},
        ]};
        // A day that the month has not would be one of the next month.
        let inside = doc! {"$and": [
            {"$eq": [{"$dayOfMonth": "$$date"}, number(2)]},
            {"$gte": ["$$at", decimal(self.low)]},
            {"$lte": ["$$at", decimal(self.high)]},
        ]};
        let compared = doc! {"$let": {
            "vars": {"date": date},
            "in": {"$let": {"vars": {"at": nanoseconds}, "in": inside}},
        }};
        doc! {"$let": {
            "vars": {"found": found},
            "in": {"$cond": [{"$eq": ["$$found", null]}, false, compared]},
        }}
    }
}
