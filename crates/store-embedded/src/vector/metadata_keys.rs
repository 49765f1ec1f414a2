//! The keys of the metadata index: what a node's metadata says, as rows whose order is the order of values.
//!
//! A row is a composite key (see `codec`) of `path` and `tag value row-number`, and has no value. `path` is the
//! member names joined by dots; an empty path holds the ref doc. `tag` is the type, `value` sorts as values of
//! that type do, `row-number` is 4 bytes.
//! Null writes nothing, for missing equals null. A member whose own name holds a dot, or is empty, can not be
//! asked for, so it is left out.

use std::collections::BTreeSet;

use serde_json::{Number, Value};
use store_core::{Error, JsonObject, Result, Timestamp};

use crate::codec::{Span, join, split};

/// Longest text that stands in a key whole. A longer one stands there cut, and is looked up in its node.
pub(super) const WHOLE_TEXT: usize = 256;

/// Types, in the order of `distinct`: bools, numbers, texts.
pub(super) const BOOL: u8 = 0x10;
pub(super) const NUMBER: u8 = 0x20;
pub(super) const TEXT: u8 = 0x30;
/// The first bytes of a text longer than [`WHOLE_TEXT`].
pub(super) const LONG_TEXT: u8 = 0x31;
/// The instant that a text tells, if it is ISO 8601; beside its `TEXT` row.
pub(super) const INSTANT: u8 = 0x40;
/// A list: 0 when empty, else 1.
pub(super) const LIST: u8 = 0x50;
/// An object.
pub(super) const OBJECT: u8 = 0x60;
/// Added to the tag of a scalar that is an element of a list.
pub(super) const ELEMENT: u8 = 0x80;
/// A null in a list.
pub(super) const NULL_ELEMENT: u8 = 0x80;

/// The rows of one node.
pub(super) fn keys(row: u32, metadata: &JsonObject, ref_doc: Option<&str>) -> BTreeSet<Vec<u8>> {
    let mut said = Said { row, keys: BTreeSet::new(), path: String::new() };
    if let Some(ref_doc) = ref_doc {
        said.add(TEXT, &text_key(ref_doc));
    }
    said.object(metadata);
    said.keys
}

struct Said {
    row: u32,
    keys: BTreeSet<Vec<u8>>,
    path: String,
}

impl Said {
    fn add(&mut self, tag: u8, value: &[u8]) {
        let mut key = prefix(&self.path, tag);
        key.extend_from_slice(value);
        key.extend_from_slice(&self.row.to_be_bytes());
        self.keys.insert(key);
    }

    fn object(&mut self, object: &JsonObject) {
        for (name, value) in object {
            if name.is_empty() || name.contains('.') {
                continue;
            }
            let end = self.path.len();
            if end > 0 {
                self.path.push('.');
            }
            self.path.push_str(name);
            self.value(value);
            self.path.truncate(end);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(object) => {
                self.add(OBJECT, &[]);
                self.object(object);
            }
            Value::Array(list) => {
                self.add(LIST, &[u8::from(!list.is_empty())]);
                for element in list {
                    if element.is_null() {
                        self.add(NULL_ELEMENT, &[]);
                    } else {
                        self.scalar(element, ELEMENT);
                    }
                }
            }
            scalar => self.scalar(scalar, 0),
        }
    }

    fn scalar(&mut self, value: &Value, element: u8) {
        match value {
            Value::Bool(value) => self.add(element | BOOL, &[u8::from(*value)]),
            Value::Number(number) => self.add(element | NUMBER, &number_key(number)),
            Value::String(text) => {
                if text.len() > WHOLE_TEXT {
                    self.add(element | LONG_TEXT, cut(text));
                } else {
                    self.add(element | TEXT, &text_key(text));
                }
                if let Some(instant) = Timestamp::from_iso(text) {
                    self.add(element | INSTANT, &instant_key(instant));
                }
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }
}

/// What all rows of that path and type begin with.
pub(super) fn prefix(path: &str, tag: u8) -> Vec<u8> {
    join(path, &[tag])
}

/// What the rows of one value begin with.
pub(super) fn value_prefix(path: &str, tag: u8, value: &[u8]) -> Vec<u8> {
    let mut key = prefix(path, tag);
    key.extend_from_slice(value);
    key
}

/// All rows of a path.
pub(super) fn path_span(path: &str) -> Span {
    Span::prefix(&join(path, &[]))
}

/// What a long text stands under: its first bytes.
pub(super) fn cut(text: &str) -> &[u8] {
    text.as_bytes().get(..WHOLE_TEXT).unwrap_or(text.as_bytes())
}

/// A text that ends where it ends, in the text's order.
pub(super) fn text_key(text: &str) -> Vec<u8> {
    join(text, &[])
}

/// A number as its nearest float, in an order-preserving form, then how far the number itself lies from that
/// float, then 0 for an integer and 1 for a float. The first 16 bytes are equal exactly when the values are.
pub(super) fn number_key(number: &Number) -> [u8; 17] {
    let (value, kind) = match integer(number) {
        Some(integer) => (exact_key(integer), 0),
        None => (float_key(number.as_f64().unwrap_or_default()), 1),
    };
    let mut key = [kind; 17];
    for (place, byte) in key.iter_mut().zip(value) {
        *place = byte;
    }
    key
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// The first 16 bytes of [`number_key`] for an integer. It may lie outside of JSON's range: nothing equals it
/// then, but order still holds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the nearest float of an i128 lies within i128, or saturates"
)]
pub(super) fn exact_key(integer: i128) -> [u8; 16] {
    let nearest = integer as f64;
    let distance = integer.saturating_sub(nearest as i128);
    two_parts(nearest, i64::try_from(distance).unwrap_or(if distance < 0 { i64::MIN } else { i64::MAX }))
}

/// The first 16 bytes of [`number_key`] for a float.
pub(super) fn float_key(float: f64) -> [u8; 16] {
    two_parts(float, 0)
}

fn two_parts(float: f64, distance: i64) -> [u8; 16] {
    // Minus zero equals zero.
    let bits = if float == 0.0 { 0 } else { float.to_bits() };
    let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    let distance = distance.cast_unsigned() ^ 1 << 63;
    (u128::from(ordered) << 64 | u128::from(distance)).to_be_bytes()
}

/// An instant, in order.
pub(super) fn instant_key(instant: Timestamp) -> [u8; 16] {
    (instant.as_nanoseconds().cast_unsigned() ^ 1 << 127).to_be_bytes()
}

/// A row taken apart again.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) tag: u8,
    pub(super) value: &'a [u8],
    pub(super) row: u32,
}

/// Takes apart a row of a path.
pub(super) fn parts<'a>(key: &'a [u8], path: &str) -> Result<Parts<'a>> {
    let cut_short = || Error::corrupt("a row of the metadata index is cut short");
    // Each zero byte of the path takes two, and two more end it.
    let start = path.len() + path.bytes().filter(|byte| *byte == 0).count() + 2;
    let rest = key.get(start..).ok_or_else(cut_short)?;
    let (tag, rest) = rest.split_first().ok_or_else(cut_short)?;
    let (value, row) = rest.split_last_chunk().ok_or_else(cut_short)?;
    Ok(Parts { tag: *tag, value, row: u32::from_be_bytes(*row) })
}

impl Parts<'_> {
    /// The scalar of a `BOOL`, `NUMBER` or `TEXT` row.
    pub(super) fn scalar(&self) -> Result<Value> {
        let damaged = || Error::corrupt("a value of the metadata index is damaged");
        match self.tag & !ELEMENT {
            BOOL => Ok(Value::Bool(self.value == [1])),
            NUMBER => read_number(self.value).ok_or_else(damaged),
            TEXT => Ok(Value::String(split(self.value)?.0.into_owned())),
            _ => Err(damaged()),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an integer's nearest float lies within i128")]
fn read_number(value: &[u8]) -> Option<Value> {
    let (parts, kind) = value.split_first_chunk::<16>()?;
    let both = u128::from_be_bytes(*parts);
    let ordered = u64::try_from(both >> 64).ok()?;
    let bits = if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered };
    let float = f64::from_bits(bits);
    if kind == [1] {
        return Number::from_f64(float).map(Value::Number);
    }
    let distance = (u64::try_from(both & u128::from(u64::MAX)).ok()? ^ 1 << 63).cast_signed();
    let integer = (float as i128).checked_add(i128::from(distance))?;
    match i64::try_from(integer) {
        Ok(integer) => Some(integer.into()),
        Err(_) => u64::try_from(integer).ok().map(Value::from),
    }
}

/// Reads a row of the path `a`, whoever wrote it: for the fuzz target.
#[cfg(any(test, nodestore_fuzz))]
pub(crate) fn read_key(key: &[u8]) -> Result<Value> {
    parts(key, "a")?.scalar()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_sort_by_exact_value_and_come_back() {
        let ordered = [
            "-1e300",
            "-9223372036854775808",
            "-1.5",
            "-1",
            "-1e-300",
            "0",
            "5e-324",
            "0.5",
            "1",
            "1.5",
            "9007199254740992",
            "9007199254740993",
            "9007199254740994",
            "18446744073709551614",
            "18446744073709551615",
            "18446744073709551616.0",
            "1e300",
        ];
        let keys: Vec<_> = ordered.iter().map(|text| number_key(&number(text))).collect();
        assert!(keys.is_sorted());
        for (text, key) in ordered.iter().zip(&keys) {
            assert_eq!(read_number(key).unwrap(), Value::Number(number(text)), "{text}");
        }
        assert_eq!(number_key(&number("1"))[..16], number_key(&number("1.0"))[..16]);
        assert_ne!(number_key(&number("1")), number_key(&number("1.0")));
        assert_eq!(number_key(&number("-0.0"))[..16], number_key(&number("0"))[..16]);
        assert_ne!(
            number_key(&number("9007199254740993"))[..16],
            number_key(&number("9007199254740992.0"))[..16]
        );
    }

    #[test]
    fn texts_sort_by_code_point_and_come_back() {
        let ordered = ["", "\0", "\0\0", "\0a", "a", "a\0", "a\0b", "ab", "b", "é", "🚀"];
        let keys: Vec<_> = ordered.iter().map(|text| text_key(text)).collect();
        assert!(keys.is_sorted());
        for (text, key) in ordered.iter().zip(&keys) {
            assert_eq!(split(key).unwrap(), (std::borrow::Cow::Borrowed(*text), [].as_slice()));
        }
        let no_prefix = |a: &Vec<u8>, b: &Vec<u8>| a == b || !b.starts_with(a);
        assert!(keys.iter().all(|a| keys.iter().all(|b| no_prefix(a, b))));
    }

    #[test]
    fn a_node_has_a_row_for_each_thing_its_metadata_says() {
        let metadata = json!({"a": 1, "b": {"c": "x"}, "d": [1, null, "y"], "e": null, "f.g": 2, "z\0": {"q": 1}, "t": "2024-05-01"});
        let rows = keys(7, metadata.as_object().unwrap(), Some("doc"));
        let count = |path: &str| rows.iter().filter(|key| key.starts_with(&join(path, &[]))).count();
        assert_eq!(
            (count("a"), count("b"), count("b.c"), count("d"), count("e"), count("t"), count("")),
            (1, 1, 1, 4, 0, 2, 1)
        );
        assert_eq!(rows.len(), 12);
        let key = rows.iter().find(|key| key.starts_with(&join("b.c", &[]))).unwrap();
        let parts = parts(key, "b.c").unwrap();
        assert_eq!((parts.row, parts.scalar().unwrap()), (7, json!("x")));
        let key = rows.iter().find(|key| key.starts_with(&join("z\0.q", &[]))).unwrap();
        assert_eq!(super::parts(key, "z\0.q").unwrap().scalar().unwrap(), json!(1));
    }
}
