//! Pages and cursors.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// One page of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` means nothing is left. A last page may be empty.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The whole listing in one page.
    #[must_use]
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// An opaque place in a listing, bound to the query that gave it. Safe to hand to a client and take back.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// Wraps a backend's own text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A cursor that says `place` and is bound to `query`, a text of everything that must stay the same from
    /// page to page.
    #[must_use]
    pub fn encode(query: &str, place: &impl Serialize) -> Self {
        // A place is plain data of ours: keys, numbers, texts. It always serializes.
        let place = serde_json::to_vec(place).unwrap_or_default();
        Self(format!("{}.{}", fingerprint(query), URL_SAFE_NO_PAD.encode(place)))
    }

    /// The place, if the cursor belongs to `query`; `InvalidInput` otherwise.
    pub fn decode<T: DeserializeOwned>(&self, query: &str) -> Result<T> {
        let refuse = |why: &str| Error::invalid_input(format!("the cursor {why}; begin again without one"));
        let (bound, place) = self.0.split_once('.').ok_or_else(|| refuse("is not one of this store's"))?;
        if bound != fingerprint(query) {
            return Err(refuse("belongs to another query"));
        }
        let place = URL_SAFE_NO_PAD.decode(place).map_err(|error| refuse("is damaged").with_source(error))?;
        serde_json::from_slice(&place).map_err(|error| refuse("is damaged").with_source(error))
    }

    /// The text, to hand to a client.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({:?})", self.0)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn fingerprint(query: &str) -> String {
    let digest = Sha256::digest(query.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.get(..9).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_bound_to_its_query() {
        let cursor = Cursor::encode("a", &("id", 7));
        assert_eq!(cursor.decode::<(String, i32)>("a").unwrap(), ("id".to_owned(), 7));
        assert!(cursor.decode::<(String, i32)>("b").is_err());
        assert!(Cursor::new("rubbish").decode::<String>("a").is_err());
        assert!(Cursor::new(format!("{}!", cursor.as_str())).decode::<(String, i32)>("a").is_err());
    }
}
