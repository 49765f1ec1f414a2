//! Places in a reading: how far it came in each of its parts.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use store_core::{Cursor, Error, Result};

use crate::codec::{Item, checksum};

/// How far a part was read: a partition, a segment of a table, or the answer to a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// Not at all.
    #[default]
    #[serde(rename = "b")]
    Begin,
    /// Up to the item of this key.
    #[serde(rename = "a")]
    After(BTreeMap<String, Key>),
    /// A page of a statement, of which so many items were given.
    #[serde(rename = "p")]
    Page(Page),
    /// To its end.
    #[serde(rename = "e")]
    End,
}

/// How far a page of a statement was read. A statement goes on at its pages only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    /// The service's token of the page; none for the first one.
    token: Option<String>,
    given: usize,
    /// The checksum of the last item given: where another stands in its place, the page comes again.
    last: u64,
}

/// The value of a key attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Key {
    S(String),
    N(String),
    B(String),
}

impl Key {
    fn of(attribute: &AttributeValue) -> Option<Self> {
        match attribute {
            AttributeValue::S(text) => Some(Self::S(text.clone())),
            AttributeValue::N(number) => Some(Self::N(number.clone())),
            AttributeValue::B(bytes) => Some(Self::B(STANDARD.encode(bytes))),
            _ => None,
        }
    }

    fn attribute(&self) -> Result<AttributeValue> {
        Ok(match self {
            Self::S(text) => AttributeValue::S(text.clone()),
            Self::N(number) => AttributeValue::N(number.clone()),
            Self::B(text) => AttributeValue::B(Blob::new(STANDARD.decode(text).map_err(|error| {
                Error::invalid_input("the place to go on from is damaged; begin again without one")
                    .with_source(error)
            })?)),
        })
    }
}

impl Place {
    /// After the item of this key.
    pub(super) fn after(item: &Item, names: &[String]) -> Self {
        let key = |name: &String| Some((name.clone(), Key::of(item.get(name)?)?));
        Self::After(names.iter().filter_map(key).collect())
    }

    /// Where the next page begins.
    pub(super) fn next(key: Option<Item>) -> Self {
        let key = key.filter(|key| !key.is_empty());
        key.map_or(Self::End, |key| {
            Self::After(
                key.iter().filter_map(|(name, value)| Some((name.clone(), Key::of(value)?))).collect(),
            )
        })
    }

    /// The page of a statement that this token leads to.
    pub(super) fn page(token: Option<String>) -> Self {
        token.map_or(Self::End, |token| Self::Page(Page { token: Some(token), given: 0, last: 0 }))
    }

    /// After one more item of a statement's page.
    pub(super) fn one_more(&self, item: &Item) -> Self {
        let page = match self {
            Self::Page(page) => page.clone(),
            _ => Page::default(),
        };
        Self::Page(Page { given: page.given + 1, last: checksum(item), ..page })
    }

    /// The key that the service goes on after.
    pub(super) fn key(&self) -> Result<Option<Item>> {
        let Self::After(key) = self else { return Ok(None) };
        key.iter().map(|(name, key)| Ok((name.clone(), key.attribute()?))).collect::<Result<Item>>().map(Some)
    }

    /// The token of a statement's page.
    pub(super) fn token(&self) -> Option<String> {
        match self {
            Self::Page(page) => page.token.clone(),
            _ => None,
        }
    }

    /// How many items of the page were given before: none, if it is another page by now.
    pub(super) fn given(&self, items: &[Item]) -> usize {
        let Self::Page(page) = self else { return 0 };
        let last = page.given.checked_sub(1).and_then(|last| items.get(last));
        if last.is_some_and(|last| checksum(last) == page.last) { page.given } else { 0 }
    }

    /// The page as if nothing had been given of it.
    pub(super) fn at_its_begin(self) -> Self {
        match self {
            Self::Page(page) => Self::Page(Page { given: 0, last: 0, ..page }),
            other => other,
        }
    }
}

/// The places of all parts as a cursor of this reading.
pub(super) fn encode(reading: &str, places: &[Place]) -> Cursor {
    Cursor::encode(reading, &places)
}

/// The places that a cursor says; `InvalidInput` for that of another reading.
pub(super) fn decode(reading: &str, cursor: &Cursor, parts: usize) -> Result<Vec<Place>> {
    let places: Vec<Place> = cursor.decode(reading)?;
    if places.len() == parts {
        return Ok(places);
    }
    Err(Error::invalid_input("the place to go on from is damaged; begin again without one"))
}

/// Reads a cursor, whoever made it: for the fuzz target.
#[cfg(any(test, nodestore_fuzz))]
pub(crate) fn read_cursor(cursor: &Cursor) -> Result<()> {
    decode("", cursor, 1)?.iter().try_for_each(|place| place.key().map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Item {
        Item::from([("a".to_owned(), AttributeValue::S(text.to_owned()))])
    }

    #[test]
    fn places_come_back() {
        let bytes = AttributeValue::B(Blob::new([0, 255]));
        let item = Item::from([("k".to_owned(), bytes), ("n".to_owned(), AttributeValue::N("1".to_owned()))]);
        let places = vec![Place::Begin, Place::End, Place::after(&item, &["k".to_owned(), "n".to_owned()])];
        let cursor = encode("x", &places);
        assert_eq!(decode("x", &cursor, 3).unwrap(), places);
        assert_eq!(places[2].key().unwrap(), Some(item));
        assert!(decode("y", &cursor, 3).is_err());
        assert!(decode("x", &cursor, 2).is_err());
    }

    #[test]
    fn a_page_that_changed_comes_again() {
        let place = Place::page(Some("t".to_owned())).one_more(&item("1")).one_more(&item("2"));
        assert_eq!(place.given(&[item("1"), item("2"), item("3")]), 2);
        assert_eq!(place.given(&[item("2"), item("3")]), 0);
        assert_eq!(place.given(&[item("1")]), 0);
        assert_eq!(place.token().as_deref(), Some("t"));
        assert_eq!(place.at_its_begin(), Place::page(Some("t".to_owned())));
    }
}
