//! How keys and values become bytes, and back.
//!
//! A composite key is its parts joined by the byte `FF`, which UTF-8 text never holds: `a` never sees `ab`, and
//! rows of one first part lie together in the byte order (for text: code point order) of the second.

use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Error, JsonObject, Result};

const SEPARATOR: u8 = 0xFF;

/// `first FF rest`.
pub(crate) fn join(first: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(first.len() + 1 + rest.len());
    key.extend_from_slice(first.as_bytes());
    key.push(SEPARATOR);
    key.extend_from_slice(rest);
    key
}

/// The parts of a key made by [`join`].
pub(crate) fn split(key: &[u8]) -> Result<(&str, &[u8])> {
    let place = key.iter().position(|byte| *byte == SEPARATOR);
    let parts = place.and_then(|place| Some((key.get(..place)?, key.get(place + 1..)?)));
    let (first, rest) = parts.ok_or_else(|| Error::corrupt("a stored key has no separator"))?;
    Ok((text(first)?, rest))
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
        std::ops::RangeBounds::contains(&span.bounds(), &key)
    }

    #[test]
    fn parts_never_run_into_each_other() {
        assert_eq!(split(&join("a", b"b")).unwrap(), ("a", b"b".as_slice()));
        let a = Span::prefix(&join("a", b""));
        assert!(holds(&a, &join("a", "\u{10FFFF}".as_bytes())));
        assert!(holds(&a, &join("a", &[0xFF, 0xFF])));
        assert!(!holds(&a, &join("ab", b"")));
        assert!(!holds(&a, &join("a\u{0}", b"")));
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
