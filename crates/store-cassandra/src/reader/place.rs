//! Places in a reading.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use store_core::{Error, Result};

use crate::kv_layout::hash;
use crate::session::{Row, Rows};

/// How far a reading came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// A collection, up to this key.
    #[serde(rename = "k")]
    Key(String),
    /// A table, up to this row.
    #[serde(rename = "r")]
    Row(Key),
    /// A statement, up to a row of this page.
    #[serde(rename = "p")]
    Page(Page),
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// The cells of its primary key, in base64.
    cells: Vec<Option<String>>,
    /// The last token of the range in which it was found.
    pub(super) upto: i64,
}

/// A page of a statement, of which so many rows were given. Cassandra goes on at its pages only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    /// Where Cassandra begins it, in base64; none for the first one.
    state: Option<String>,
    given: usize,
    /// The hash of the last row given: where another stands in its place, the page comes again.
    last: u64,
}

impl Key {
    pub(super) fn of<'a>(cells: impl Iterator<Item = Option<&'a [u8]>>, upto: i64) -> Self {
        Self { cells: cells.map(|cell| cell.map(encode)).collect(), upto }
    }

    pub(super) fn cells(&self) -> Result<Vec<Option<Vec<u8>>>> {
        self.cells.iter().map(|cell| cell.as_deref().map(decode).transpose()).collect()
    }
}

impl Page {
    /// After so many rows of the page that begins there, the last of which is this one.
    pub(super) fn after(state: Option<&[u8]>, given: usize, last: Row<'_>) -> Self {
        Self { state: state.map(encode), given, last: checksum(last) }
    }

    pub(super) fn state(&self) -> Result<Option<Vec<u8>>> {
        self.state.as_deref().map(decode).transpose()
    }

    /// How many rows of these were given before: none, if it is another page by now.
    pub(super) fn given(&self, rows: &Rows) -> usize {
        let last = self.given.checked_sub(1).and_then(|last| rows.get(last));
        if last.is_some_and(|last| checksum(last) == self.last) { self.given } else { 0 }
    }

    /// The rows that the page must have for that to be known.
    pub(super) fn rows(&self) -> usize {
        self.given
    }
}

fn checksum(row: Row<'_>) -> u64 {
    let mut bytes = Vec::new();
    for cell in row.cells() {
        let length = cell.map_or(-1, |cell| i64::try_from(cell.len()).unwrap_or(i64::MAX));
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(cell.unwrap_or_default());
    }
    hash(&bytes)
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| damaged().with_source(error))
}

pub(super) fn damaged() -> Error {
    Error::invalid_input("the place to go on from is damaged; begin again without one")
}

#[cfg(test)]
mod tests {
    use store_core::Cursor;

    use super::*;

    #[test]
    fn places_come_back() {
        let key = Key::of([Some([0, 255].as_slice()), Some(&[]), None].into_iter(), -7);
        let page = Page { state: Some("AA".to_owned()), given: 3, last: u64::MAX };
        for place in [Place::Key("k/ü".to_owned()), Place::Row(key.clone()), Place::Page(page.clone())] {
            assert_eq!(Cursor::encode("x", &place).decode::<Place>("x").unwrap(), place);
        }
        assert_eq!(key.cells().unwrap(), [Some(vec![0, 255]), Some(vec![]), None]);
        assert_eq!(page.state().unwrap(), Some(vec![0]));
        assert_eq!((Page::default().state().unwrap(), page.rows()), (None, 3));
        let damaged = Key { cells: vec![Some("!".to_owned())], upto: 0 };
        assert!(damaged.cells().is_err());
    }
}
