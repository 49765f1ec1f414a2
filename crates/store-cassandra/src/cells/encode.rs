//! JSON as cells. What a person or a model writes is taken where its meaning is plain: numbers as texts too.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::Value as Json;
use store_core::{Error, Result, Timestamp};

use super::number::{decimal_bytes, push_signed_vint, push_unsigned_vint, varint_bytes};
use super::{CellType, DAY};
use crate::session::{Value, bytes};

/// The units of a duration's time in nanoseconds, as CQL writes them.
pub(super) const TIME_UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A value for a column or a marker of this type; `what` names it in the error.
pub(crate) fn encode(what: &str, kind: &CellType, value: &Json) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    cell(kind, value).map(bytes).ok_or_else(|| {
        let shown: String = value.to_string().chars().take(100).collect();
        Error::invalid_input(format!("{what} is of type {kind}, and {shown} is none: {}", form(kind)))
    })
}

/// What a value of the type looks like.
fn form(kind: &CellType) -> &'static str {
    match kind {
        CellType::Ascii | CellType::Text => "it is a text",
        CellType::Bigint | CellType::Counter => "it is an integer of 64 bits",
        CellType::Int => "it is an integer of 32 bits",
        CellType::Smallint => "it is an integer of 16 bits",
        CellType::Tinyint => "it is an integer of 8 bits",
        CellType::Boolean => "it is true or false",
        CellType::Double | CellType::Float => "it is a number",
        CellType::Decimal => "it is a number, or a text of its digits",
        CellType::Varint => "it is an integer, or a text of its digits",
        CellType::Blob | CellType::Other(_) => "it is a text of hexadecimal digits such as 0x00ff",
        CellType::Date => "it is a text such as 2024-05-01",
        CellType::Time => "it is a text such as 13:45:00",
        CellType::Timestamp => "it is a text such as 2024-05-01T12:00:00Z, or milliseconds since 1970",
        CellType::Uuid | CellType::Timeuuid => "it is a text such as 123e4567-e89b-12d3-a456-426614174000",
        CellType::Inet => "it is a text such as 10.0.0.1",
        CellType::Duration => "it is a text such as 1mo2d3h4m5s",
        CellType::List(_) | CellType::Set(_) => "it is an array",
        CellType::Map(..) => "it is an object",
        CellType::Tuple(_) => "it is an array with an item for each field",
        CellType::Udt(..) => "it is an object with the fields of the type",
        CellType::Vector(..) => "it is an array of as many items",
    }
}

fn cell(kind: &CellType, value: &Json) -> Option<Vec<u8>> {
    Some(match kind {
        CellType::Text => value.as_str()?.as_bytes().to_vec(),
        CellType::Ascii => value.as_str().filter(|text| text.is_ascii())?.as_bytes().to_vec(),
        CellType::Bigint | CellType::Counter => integer(value)?.to_be_bytes().to_vec(),
        CellType::Int => i32::try_from(integer(value)?).ok()?.to_be_bytes().to_vec(),
        CellType::Smallint => i16::try_from(integer(value)?).ok()?.to_be_bytes().to_vec(),
        CellType::Tinyint => i8::try_from(integer(value)?).ok()?.to_be_bytes().to_vec(),
        CellType::Boolean => match value {
            Json::Bool(flag) => vec![u8::from(*flag)],
            Json::String(text) => vec![u8::from(text.parse::<bool>().ok()?)],
            _ => return None,
        },
        CellType::Double => number(value)?.to_be_bytes().to_vec(),
        CellType::Float => float(number(value)?)?.to_be_bytes().to_vec(),
        CellType::Blob | CellType::Other(_) => unhex(value.as_str()?.strip_prefix("0x")?)?,
        CellType::Decimal => decimal_bytes(&digits(value)?)?,
        CellType::Varint => varint_bytes(&digits(value)?)?,
        CellType::Timestamp => timestamp(value)?.to_be_bytes().to_vec(),
        CellType::Date => date(value)?.to_be_bytes().to_vec(),
        CellType::Time => time(value.as_str()?)?.to_be_bytes().to_vec(),
        CellType::Uuid | CellType::Timeuuid => uuid(value.as_str()?)?.to_vec(),
        CellType::Inet => match value.as_str()?.parse().ok()? {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        },
        CellType::Duration => duration(value.as_str()?)?,
        CellType::List(of) | CellType::Set(of) => {
            let items = value.as_array()?;
            let mut out = length(items.len())?.to_vec();
            for item in items {
                push_sized(&mut out, Some(cell(of, item)?))?;
            }
            out
        }
        CellType::Map(keys, values) => {
            let entries = value.as_object()?;
            let mut out = length(entries.len())?.to_vec();
            for (name, value) in entries {
                push_sized(&mut out, Some(key(keys, name)?))?;
                push_sized(&mut out, Some(cell(values, value)?))?;
            }
            out
        }
        CellType::Tuple(of) => {
            let fields = value.as_array().filter(|fields| fields.len() <= of.len())?;
            let mut out = Vec::new();
            for (of, field) in of.iter().zip(fields) {
                push_field(&mut out, of, field)?;
            }
            out
        }
        CellType::Udt(_, of) => {
            let fields = value.as_object()?;
            if fields.keys().any(|name| !of.iter().any(|(known, _)| known == name)) {
                return None;
            }
            let mut out = Vec::new();
            for (name, of) in of {
                push_field(&mut out, of, fields.get(name).unwrap_or(&Json::Null))?;
            }
            out
        }
        CellType::Vector(of, count) => {
            let items = value.as_array().filter(|items| items.len() == *count)?;
            let mut out = Vec::new();
            for item in items {
                let item = cell(of, item)?;
                if !of.stands_alone_in_vectors() {
                    push_unsigned_vint(&mut out, u64::try_from(item.len()).ok()?);
                }
                out.extend(item);
            }
            out
        }
    })
}

/// A key of a map, which JSON has as a text.
fn key(kind: &CellType, name: &str) -> Option<Vec<u8>> {
    match kind {
        CellType::List(_)
        | CellType::Set(_)
        | CellType::Map(..)
        | CellType::Tuple(_)
        | CellType::Udt(..)
        | CellType::Vector(..) => cell(kind, &serde_json::from_str(name).ok()?),
        _ => cell(kind, &Json::from(name)),
    }
}

fn push_field(out: &mut Vec<u8>, of: &CellType, field: &Json) -> Option<()> {
    let field = if field.is_null() { None } else { Some(cell(of, field)?) };
    push_sized(out, field)
}

fn push_sized(out: &mut Vec<u8>, item: Option<Vec<u8>>) -> Option<()> {
    match item {
        Some(item) => {
            out.extend_from_slice(&length(item.len())?);
            out.extend(item);
        }
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
    }
    Some(())
}

fn length(length: usize) -> Option<[u8; 4]> {
    i32::try_from(length).ok().map(i32::to_be_bytes)
}

fn integer(value: &Json) -> Option<i64> {
    match value {
        Json::Number(number) => number.as_i64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the nearest short number is what is asked for")]
fn float(number: f64) -> Option<f32> {
    let short = number as f32;
    (short.is_finite() || !number.is_finite()).then_some(short)
}

fn digits(value: &Json) -> Option<String> {
    match value {
        Json::Number(number) => Some(number.to_string()),
        Json::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn timestamp(value: &Json) -> Option<i64> {
    match value {
        Json::String(text) => {
            let instant = Timestamp::from_iso(text)?.as_nanoseconds();
            i64::try_from(instant.div_euclid(1_000_000)).ok()
        }
        other => other.as_i64(),
    }
}

fn date(value: &Json) -> Option<u32> {
    let days = match value {
        Json::String(text) => {
            let midnight = Timestamp::from_iso(text).filter(|_| text.len() == 10)?;
            i64::try_from(midnight.as_nanoseconds().div_euclid(DAY)).ok()?
        }
        other => other.as_i64()?,
    };
    u32::try_from(days.checked_add(1 << 31)?).ok()
}

/// `hh:mm`, `hh:mm:ss` or with a fraction, by the reader of instants.
fn time(text: &str) -> Option<i64> {
    if text.contains(['Z', '+', '-']) {
        return None;
    }
    let instant = Timestamp::from_iso(&format!("1970-01-01T{text}"))?.as_nanoseconds();
    i64::try_from(instant).ok().filter(|_| (0..DAY).contains(&instant))
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let lengths = text.split('-').map(str::len);
    if !lengths.eq([8, 4, 4, 4, 12]) {
        return None;
    }
    unhex(&text.replace('-', ""))?.try_into().ok()
}

/// `1y2mo3w4d5h6m7s8ms9us10ns`, with a minus before it or not.
fn duration(text: &str) -> Option<Vec<u8>> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (mut months, mut days, mut nanoseconds) = (0_i64, 0_i64, 0_i64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (amount, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let amount: i64 = amount.parse().ok()?;
        rest = after;
        let (sum, size) = match unit {
            "y" => (&mut months, 12),
            "mo" => (&mut months, 1),
            "w" => (&mut days, 7),
            "d" => (&mut days, 1),
            unit => {
                let (_, size) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
                (&mut nanoseconds, i64::try_from(*size).ok()?)
            }
        };
        *sum = sum.checked_add(amount.checked_mul(size)?)?;
    }
    // The server keeps the first two in 32 bits.
    i32::try_from(months).ok()?;
    i32::try_from(days).ok()?;
    let mut out = Vec::new();
    for part in [months, days, nanoseconds] {
        push_signed_vint(&mut out, part * sign);
    }
    Some(out)
}

/// `0x` and two digits for each byte, as CQL writes bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("0x");
    for byte in bytes {
        // Writing to a String can not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes of hexadecimal digits.
pub(super) fn unhex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}
