//! Cells of every type as JSON, and JSON as cells (native protocol v4, section 6; vectors as Cassandra 5 has them).
//!
//! What JSON has no type for is a text as CQL writes it: `blob` is `0x…`, `decimal` and `varint` are their digits,
//! `timestamp` is ISO 8601 in UTC, `date`, `time`, `uuid`, `inet` and `duration` (`1y2mo3d4h`) are as in `cqlsh`. A float
//! that is no number is `NaN`, `Infinity` or `-Infinity`. A date or time outside the years 0000 to 9999 is the number of
//! its days or milliseconds since 1970. Maps are objects, keys that are no texts by their JSON; user-defined types are
//! objects, sets, tuples and vectors are arrays. A type of a server's own is `0x…`.

mod encode;
mod number;
mod types;

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::Value as Json;
use store_core::{Error, JsonObject, Result, Timestamp};

use crate::session::Row;
pub(crate) use encode::{encode, hex};
pub(crate) use types::CellType;

/// A day and a second, in nanoseconds.
const DAY: i128 = 86_400 * SECOND;
const SECOND: i128 = 1_000_000_000;

/// A column of an answer, or a value that a statement asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: CellType,
}

impl Column {
    /// A cell of this column; null is null.
    pub(crate) fn json(&self, cell: Option<&[u8]>) -> Result<Json> {
        to_json(&self.kind, cell).ok_or_else(|| {
            let size = cell.map_or(0, <[u8]>::len);
            Error::corrupt(format!("the column {:?} has {size} bytes that are no {}", self.name, self.kind))
        })
    }
}

/// A row as an object, with the [`columns`](crate::session::Rows::columns) of its answer.
pub(crate) fn object(columns: &[Column], row: Row<'_>) -> Result<JsonObject> {
    columns
        .iter()
        .zip(row.cells())
        .map(|(column, cell)| Ok((column.name.clone(), column.json(cell)?)))
        .collect()
}

/// `None` for bytes that are no value of the type.
fn to_json(kind: &CellType, cell: Option<&[u8]>) -> Option<Json> {
    let Some(cell) = cell else { return Some(Json::Null) };
    // Values of no bytes, which only texts and bytes really have, are left from the time before nulls.
    if cell.is_empty() && !kind.may_be_empty() {
        return Some(Json::Null);
    }
    Some(match kind {
        CellType::Ascii | CellType::Text => Json::from(std::str::from_utf8(cell).ok()?),
        CellType::Bigint | CellType::Counter => Json::from(i64::from_be_bytes(cell.try_into().ok()?)),
        CellType::Int => Json::from(i32::from_be_bytes(cell.try_into().ok()?)),
        CellType::Smallint => Json::from(i16::from_be_bytes(cell.try_into().ok()?)),
        CellType::Tinyint => Json::from(i8::from_be_bytes(cell.try_into().ok()?)),
        CellType::Boolean => Json::from(<[u8; 1]>::try_from(cell).ok()? != [0]),
        CellType::Double => double(f64::from_be_bytes(cell.try_into().ok()?)),
        CellType::Float => float(f32::from_be_bytes(cell.try_into().ok()?)),
        CellType::Blob | CellType::Other(_) => Json::from(hex(cell)),
        CellType::Decimal => Json::from(number::decimal(cell)?),
        CellType::Varint => Json::from(number::varint(cell)),
        CellType::Timestamp => timestamp(i64::from_be_bytes(cell.try_into().ok()?)),
        CellType::Date => date(u32::from_be_bytes(cell.try_into().ok()?)),
        CellType::Time => Json::from(time(i64::from_be_bytes(cell.try_into().ok()?))?),
        CellType::Uuid | CellType::Timeuuid => Json::from(uuid(cell.try_into().ok()?)),
        CellType::Inet => Json::from(inet(cell)?),
        CellType::Duration => Json::from(duration(cell)?),
        CellType::List(of) | CellType::Set(of) => items(of, cell)?,
        CellType::Map(keys, values) => map(keys, values, cell)?,
        CellType::Tuple(of) => {
            let mut rest = cell;
            let fields = of.iter().map(|of| field(of, &mut rest));
            Json::from(fields.collect::<Option<Vec<_>>>()?)
        }
        CellType::Udt(_, fields) => {
            let mut rest = cell;
            let fields = fields.iter().map(|(name, of)| Some((name.clone(), field(of, &mut rest)?)));
            Json::Object(fields.collect::<Option<JsonObject>>()?)
        }
        CellType::Vector(of, count) => vector(of, *count, cell)?,
    })
}

fn double(number: f64) -> Json {
    match number {
        number if number.is_finite() => Json::from(number),
        number if number.is_nan() => Json::from("NaN"),
        number => Json::from(if number > 0.0 { "Infinity" } else { "-Infinity" }),
    }
}

/// With the digits of the short number: 0.1, not 0.10000000149011612.
fn float(number: f32) -> Json {
    double(number.to_string().parse().unwrap_or_else(|_| f64::from(number)))
}

fn timestamp(milliseconds: i64) -> Json {
    let instant = Timestamp::from_nanoseconds(i128::from(milliseconds) * 1_000_000);
    instant.map_or_else(|_| Json::from(milliseconds), |instant| Json::from(instant.to_string()))
}

/// Days since 1970, with half of the range before.
fn date(raw: u32) -> Json {
    let days = i64::from(raw) - (1 << 31);
    let text = Timestamp::from_nanoseconds(i128::from(days) * DAY).map(|instant| instant.to_string());
    match text.as_ref().map(|text| text.get(..10)) {
        Ok(Some(date)) => Json::from(date),
        _ => Json::from(days),
    }
}

/// Nanoseconds since midnight.
fn time(nanoseconds: i64) -> Option<String> {
    if !(0..DAY).contains(&i128::from(nanoseconds)) {
        return None;
    }
    let seconds = nanoseconds / 1_000_000_000;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    Some(format!("{hours:02}:{minutes:02}:{:02}.{:09}", seconds % 60, nanoseconds % 1_000_000_000))
}

fn uuid(bytes: [u8; 16]) -> String {
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

fn inet(cell: &[u8]) -> Option<String> {
    let address = <[u8; 4]>::try_from(cell).map(IpAddr::from);
    Some(address.or_else(|_| <[u8; 16]>::try_from(cell).map(IpAddr::from)).ok()?.to_string())
}

/// Months, days and nanoseconds, which all have the same sign, in the units of CQL.
fn duration(cell: &[u8]) -> Option<String> {
    let mut rest = cell;
    let [months, days, nanoseconds] = [(); 3].map(|()| number::signed_vint(&mut rest));
    let (months, days, nanoseconds) = (months?, days?, nanoseconds?);
    let mut text = String::new();
    if months < 0 || days < 0 || nanoseconds < 0 {
        text.push('-');
    }
    let units: [(u64, &[(&str, u64)]); 3] = [
        (months.unsigned_abs(), &[("y", 12), ("mo", 1)]),
        (days.unsigned_abs(), &[("d", 1)]),
        (nanoseconds.unsigned_abs(), &encode::TIME_UNITS),
    ];
    for (mut left, units) in units {
        for (unit, size) in units {
            if left >= *size {
                // Writing to a String can not fail.
                let _ = write!(text, "{}{unit}", left / size);
                left %= size;
            }
        }
    }
    if text.is_empty() {
        text.push_str("0ns");
    }
    rest.is_empty().then_some(text)
}

/// The items of a list or a set.
fn items(of: &CellType, cell: &[u8]) -> Option<Json> {
    let mut rest = cell;
    let count = usize::try_from(length(&mut rest)?).ok()?;
    let mut items = Vec::with_capacity(count.min(rest.len() / 4));
    for _ in 0..count {
        items.push(sized(of, &mut rest)?);
    }
    rest.is_empty().then(|| Json::from(items))
}

fn map(keys: &CellType, values: &CellType, cell: &[u8]) -> Option<Json> {
    let mut rest = cell;
    let count = length(&mut rest)?;
    let mut entries = JsonObject::new();
    for _ in 0..count {
        let key = match sized(keys, &mut rest)? {
            Json::String(text) => text,
            other => other.to_string(),
        };
        entries.insert(key, sized(values, &mut rest)?);
    }
    (count >= 0 && rest.is_empty()).then(|| Json::Object(entries))
}

/// The items one after the other; those of types without a length of their own with their lengths before them.
fn vector(of: &CellType, count: usize, cell: &[u8]) -> Option<Json> {
    // Which types a server counts among the first is not the same in all of its versions, but the length tells.
    let fixed = of.width().filter(|width| width.checked_mul(count) == Some(cell.len()));
    let mut rest = cell;
    let mut items = Vec::with_capacity(count.min(cell.len()));
    for _ in 0..count {
        let width = match fixed {
            Some(width) => width,
            None => usize::try_from(number::unsigned_vint(&mut rest)?).ok()?,
        };
        items.push(to_json(of, Some(taken(&mut rest, width)?))?);
    }
    rest.is_empty().then(|| Json::from(items))
}

/// A field of a tuple or a user-defined type; those that were added to the type since are not there.
fn field(of: &CellType, rest: &mut &[u8]) -> Option<Json> {
    if rest.is_empty() { Some(Json::Null) } else { sized(of, rest) }
}

/// A value with its length before it, which is negative for null.
fn sized(of: &CellType, rest: &mut &[u8]) -> Option<Json> {
    match usize::try_from(length(rest)?) {
        Ok(length) => to_json(of, Some(taken(rest, length)?)),
        Err(_) => Some(Json::Null),
    }
}

fn length(rest: &mut &[u8]) -> Option<i32> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*length))
}

fn taken<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests;
