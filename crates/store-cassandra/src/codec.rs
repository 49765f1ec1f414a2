//! Values as Cassandra has them on the wire (native protocol v4, section 6), and as we keep them.

use store_core::{Error, Result};

use crate::session::{Value, bytes};

/// `text`.
pub(crate) fn text(text: impl Into<String>) -> Value {
    bytes(text.into().into_bytes())
}

/// `bigint`, `timestamp`.
pub(crate) fn bigint(number: i64) -> Value {
    bytes(number.to_be_bytes().to_vec())
}

/// `int`.
pub(crate) fn int(number: i32) -> Value {
    bytes(number.to_be_bytes().to_vec())
}

/// `varint`: two's complement, big end first, without the bytes that say nothing.
pub(crate) fn varint(number: i128) -> Value {
    let all = number.to_be_bytes();
    let idle = |pair: &[u8]| {
        matches!(pair, [0, next] if *next < 0x80) || matches!(pair, [0xff, next] if *next >= 0x80)
    };
    let skip = all.windows(2).take_while(|pair| idle(pair)).count();
    bytes(all.iter().skip(skip).copied().collect())
}

/// `list<text>` and `set<text>`: the count, then each with its length.
pub(crate) fn texts<'a>(texts: impl ExactSizeIterator<Item = &'a str>) -> Value {
    let mut encoded = length(texts.len()).to_vec();
    for text in texts {
        encoded.extend_from_slice(&length(text.len()));
        encoded.extend_from_slice(text.as_bytes());
    }
    bytes(encoded)
}

fn length(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes()
}

/// `vector<float, n>`: its numbers one after the other, big end first, without their count.
pub(crate) fn vector(numbers: &[f32]) -> Value {
    bytes(numbers.iter().flat_map(|number| number.to_be_bytes()).collect())
}

/// `map<text, text>`: the count, then key and value each with its length.
pub(crate) fn map<'a>(entries: impl ExactSizeIterator<Item = (&'a str, &'a str)>) -> Value {
    let mut encoded = length(entries.len()).to_vec();
    for (key, value) in entries {
        for text in [key, value] {
            encoded.extend_from_slice(&length(text.len()));
            encoded.extend_from_slice(text.as_bytes());
        }
    }
    bytes(encoded)
}

pub(crate) fn read_text<'a>(column: &str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes)
        .map_err(|error| Error::corrupt(format!("the column {column:?} is no text: {error}")))
}

/// An integer of one, two, four or eight bytes.
pub(crate) fn read_integer(column: &str, bytes: &[u8]) -> Result<i64> {
    let number = match bytes.len() {
        1 => bytes.try_into().map(i8::from_be_bytes).map(i64::from),
        2 => bytes.try_into().map(i16::from_be_bytes).map(i64::from),
        4 => bytes.try_into().map(i32::from_be_bytes).map(i64::from),
        _ => bytes.try_into().map(i64::from_be_bytes),
    };
    number.map_err(|_| {
        Error::corrupt(format!("the column {column:?} has {} bytes and is no integer", bytes.len()))
    })
}

/// The numbers of a `vector<float, n>`.
pub(crate) fn read_vector(column: &str, bytes: &[u8]) -> Result<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Error::corrupt(format!(
            "the column {column:?} has {} bytes and is no vector",
            bytes.len()
        )));
    }
    Ok(numbers.iter().map(|number| f32::from_be_bytes(*number)).collect())
}

/// The entries of a `map<text, text>`.
pub(crate) fn read_map<'a>(column: &str, bytes: &'a [u8]) -> Result<Vec<(&'a str, &'a str)>> {
    let short = || Error::corrupt(format!("the column {column:?} ends too early for a map"));
    let mut rest = bytes;
    let length = |rest: &mut &'a [u8]| -> Result<usize> {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        *rest = after;
        usize::try_from(i32::from_be_bytes(*length)).map_err(|_| short())
    };
    let count = length(&mut rest)?;
    let mut entries = Vec::with_capacity(count.min(bytes.len() / 8));
    for _ in 0..count {
        let mut pair = [""; 2];
        for text in &mut pair {
            let size = length(&mut rest)?;
            let (found, after) = rest.split_at_checked(size).ok_or_else(short)?;
            *text = read_text(column, found)?;
            rest = after;
        }
        let [key, value] = pair;
        entries.push((key, value));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(value: Value) -> Vec<u8> {
        match value {
            Value::Some(bytes) => bytes,
            Value::Null | Value::NotSet => panic!("no bytes"),
        }
    }

    #[test]
    fn values_come_back() {
        assert_eq!(read_text("t", &raw(text("Zażółć"))).unwrap(), "Zażółć");
        assert_eq!(read_integer("i", &raw(bigint(i64::MIN))).unwrap(), i64::MIN);
        assert_eq!(read_integer("i", &raw(int(-7))).unwrap(), -7);
        assert_eq!(read_vector("v", &raw(vector(&[0.5, -1.25]))).unwrap(), [0.5, -1.25]);
        let entries = [("a", "1"), ("", "ü")];
        assert_eq!(read_map("m", &raw(map(entries.into_iter()))).unwrap(), entries);
    }

    #[test]
    fn great_integers_have_as_few_bytes_as_they_need() {
        for (number, written) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0, 0x80]),
            (-1, vec![0xff]),
            (-128, vec![0x80]),
            (-129, vec![0xff, 0x7f]),
            (1 << 64, vec![1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(raw(varint(number)), written, "{number}");
        }
        assert_eq!(raw(varint(i128::MIN)).len(), 16);
    }

    #[test]
    fn damaged_values_are_refused() {
        assert!(read_text("t", &[0xff]).is_err());
        assert!(read_integer("i", &[1, 2, 3]).is_err());
        assert!(read_vector("v", &[0; 5]).is_err());
        let whole = raw(map([("key", "value")].into_iter()));
        for end in 0..whole.len() {
            assert!(read_map("m", &whole[..end]).is_err(), "{end}");
        }
        assert!(read_map("m", &[0x7f, 0xff, 0xff, 0xff]).is_err());
        assert!(read_map("m", &[0xff; 12]).is_err());
    }
}
