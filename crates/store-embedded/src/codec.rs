//! How keys and values become bytes, and back.
//!
//! A composite key is a text, two zero bytes, and the rest: a zero byte in the text is followed by a one, so
//! the end is always told, `a` never sees `ab`, and rows are in the byte order (for text: code point order) of
//! the first part and then of the rest.

use std::borrow::Cow;
use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Error, JsonObject, Result};

/// Ends the first part of a composite key.
const END: [u8; 2] = [0, 0];

/// Stands for a zero byte in the first part.
const ZERO: [u8; 2] = [0, 1];

/// The composite key of `first` and `rest`.
pub(crate) fn join(first: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(first.len() + END.len() + rest.len());
    for (place, part) in first.split('\0').enumerate() {
        if place > 0 {
            key.extend(ZERO);
        }
        key.extend(part.as_bytes());
    }
    key.extend(END);
    key.extend(rest);
    key
}

/// The parts of a key made by [`join`].
pub(crate) fn split(key: &[u8]) -> Result<(Cow<'_, str>, &[u8])> {
    let bad = || Error::corrupt("a stored key has no end of its first part");
    let mut first = Cow::Borrowed("");
    let mut rest = key;
    loop {
        let zero = rest.iter().position(|byte| *byte == 0).ok_or_else(bad)?;
        let (part, tail) = rest.split_at_checked(zero).ok_or_else(bad)?;
        // Borrows as long as there is one part only, which is nearly always.
        first += text(part)?;
        let (mark, tail) = tail.split_first_chunk().ok_or_else(bad)?;
        rest = tail;
        match *mark {
            END => return Ok((first, rest)),
            ZERO => first += "\0",
            _ => return Err(bad()),
        }
    }
}

/// Stored bytes as text.
pub(crate) fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes)
        .map_err(|error| Error::corrupt("a stored text is not UTF-8").with_source(error))
}

/// The first 8 bytes as a big-endian number, and the rest.
pub(crate) fn take_u64(bytes: &[u8]) -> Result<(u64, &[u8])> {
    let (number, rest) =
        bytes.split_first_chunk().ok_or_else(|| Error::corrupt("a stored number is cut short"))?;
    Ok((u64::from_be_bytes(*number), rest))
}

/// A value as compact JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::invalid_input("the value can not be written as JSON").with_source(error))
}

/// Writes a value as compact JSON behind what `bytes` holds.
pub(crate) fn append_json(bytes: &mut Vec<u8>, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(bytes, value)
        .map_err(|error| Error::invalid_input("the value can not be written as JSON").with_source(error))
}

/// A value from its JSON.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::corrupt("a stored value is not the JSON it should be").with_source(error))
}

/// A JSON object from its bytes.
pub(crate) fn object(bytes: &[u8]) -> Result<JsonObject> {
    from_json(bytes)
}

/// A range of keys.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) low: Bound<Vec<u8>>,
    pub(crate) high: Bound<Vec<u8>>,
}

impl Span {
    /// Every key.
    pub(crate) fn all() -> Self {
        Self { low: Bound::Unbounded, high: Bound::Unbounded }
    }

    /// Every key that begins with `prefix`.
    pub(crate) fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        // The least key after all of them: the prefix with its last byte raised, FFs dropped.
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        let high = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(end)
            }
            None => Bound::Unbounded,
        };
        Self { low: Bound::Included(prefix.to_vec()), high }
    }

    /// Every composite key whose first part comes after `first`.
    pub(crate) fn past(first: &str) -> Self {
        let low = match Self::prefix(&join(first, b"")).high {
            Bound::Excluded(end) => Bound::Included(end),
            _ => Bound::Unbounded,
        };
        Self { low, high: Bound::Unbounded }
    }

    /// Only keys after `key`, which must lie in this span or before it.
    pub(crate) fn after(mut self, key: &[u8]) -> Self {
        let before = matches!(&self.low, Bound::Included(low) | Bound::Excluded(low) if low.as_slice() > key);
        if !before {
            self.low = Bound::Excluded(key.to_vec());
        }
        self
    }

    /// The bounds as redb takes them. An empty span (a low end past the high one) is made harmless.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let low = self.low.as_ref().map(Vec::as_slice);
        let high = self.high.as_ref().map(Vec::as_slice);
        if let (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to)) = (low, high)
            && from >= to
        {
            return (Bound::Included(to), Bound::Excluded(to));
        }
        (low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(span: &Span, key: &[u8]) -> bool {
        // The type is named since other crates may bring more orders of bytes.
        std::ops::RangeBounds::<[u8]>::contains(&span.bounds(), key)
    }

    #[test]
    fn composite_keys_come_back_and_keep_the_order_of_their_parts() {
        let firsts = ["", "\0", "\0\0", "\0\u{1}", "a", "a\0", "a\0b", "a\u{1}", "ab", "é", "\u{10FFFF}"];
        let rests: [&[u8]; 5] = [b"", &[0], &[0, 0, 1], b"x", &[0xFF, 0xFF]];
        let mut keys = Vec::new();
        for first in firsts {
            for rest in rests {
                let key = join(first, rest);
                let (left, right) = split(&key).unwrap();
                assert_eq!((left.as_ref(), right), (first, rest));
                for other in firsts {
                    assert_eq!(holds(&Span::prefix(&join(other, b"")), &key), first == other);
                    assert_eq!(holds(&Span::past(other), &key), first > other, "{first:?} {other:?}");
                }
                keys.push(key);
            }
        }
        assert!(keys.is_sorted());
        for broken in [b"a".as_slice(), b"a\0", b"a\0\x02x", b"\xFF\0\0"] {
            assert!(split(broken).is_err());
        }
    }

    #[test]
    fn a_prefix_of_text_ends_where_the_text_does() {
        let span = Span::prefix("é".as_bytes());
        assert!(holds(&span, "é".as_bytes()));
        assert!(holds(&span, "é\u{10FFFF}".as_bytes()));
        assert!(!holds(&span, "ê".as_bytes()));
    }

    #[test]
    fn after_moves_the_start_only_forward() {
        let span = Span::prefix(b"b");
        assert!(holds(&span.clone().after(b"a"), b"b"));
        assert!(!holds(&span.clone().after(b"b"), b"b"));
        assert!(holds(&span.clone().after(b"b"), b"ba"));
        assert!(!holds(&span.after(b"zz"), b"zzz"));
    }
}
