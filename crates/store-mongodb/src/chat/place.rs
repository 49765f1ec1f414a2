//! Where a message stands in its history: by `index`, and among equal ones by `_id`.

use bson::oid::ObjectId;
use bson::raw::{RawBsonRef, RawDocument};
use store_core::{Error, ErrorKind, Result};

use crate::codec::damaged;

/// A message's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) index: i64,
    pub(super) id: ObjectId,
}

impl Place {
    /// The place of a stored document. Python writes int32; any number is read.
    pub(super) fn of(document: &RawDocument) -> Result<Self> {
        let index = match document.get("index").map_err(damaged)? {
            Some(RawBsonRef::Int32(index)) => Some(i64::from(index)),
            Some(RawBsonRef::Int64(index)) => Some(index),
            Some(RawBsonRef::Double(index)) => format!("{:.0}", index.floor()).parse().ok(),
            _ => None,
        };
        let id = document.get_object_id("_id").ok();
        match (index, id) {
            (Some(index), Some(id)) => Ok(Self { index, id }),
            _ => Err(Error::corrupt(
                "a stored message has no number as its index or no ObjectId as its _id, so that no place next to it \
                 can be found",
            )),
        }
    }

    /// The index `count` after this one.
    pub(super) fn after(self, count: i64) -> Result<i64> {
        self.index.checked_add(count).ok_or_else(|| {
            Error::new(ErrorKind::LimitExceeded, "the history's positions are used up; replace it by itself")
        })
    }
}

/// A free place between two neighbours, `None` when there is no more room; `before` is `None` at the front.
///
/// Python's positions leave no gaps, and its own insert gives a second message the index of the one it stands
/// before. So do we, with an `_id` that sorts first: one message is written, whatever the history's length, and
/// Python finds it at the index that it would have given it.
pub(super) fn between(before: Option<Place>, at: Place) -> Option<Place> {
    if let Some(before) = before
        && at.index.saturating_sub(before.index) > 1
    {
        // A removal left a gap.
        return Some(Place { index: at.index - 1, id: ObjectId::new() });
    }
    let low = before.filter(|before| before.index == at.index).map_or(0, |before| number(before.id));
    let room = number(at.id).checked_sub(low)?;
    // Anywhere in the middle half: ids of other histories may lie in the same range.
    let (quarter, half) = (room / 4, room / 2);
    if half < 2 {
        return None;
    }
    let free = low + quarter.max(1) + fastrand::u128(..half);
    (free > low && free < number(at.id)).then(|| Place { index: at.index, id: id(free) })
}

/// An id as the number that orders it: its 12 bytes, the first the highest.
fn number(id: ObjectId) -> u128 {
    id.bytes().into_iter().fold(0, |number, byte| (number << 8) | u128::from(byte))
}

fn id(number: u128) -> ObjectId {
    let [_, _, _, _, bytes @ ..] = number.to_be_bytes();
    ObjectId::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(index: i64, number: u128) -> Place {
        Place { index, id: id(number) }
    }

    #[test]
    fn a_free_place_lies_between_its_neighbours() {
        let top = u128::MAX >> 32;
        for (low, high) in [(0, top), (5, 9), (1 << 40, (1 << 40) + 4), (top - 100, top)] {
            for _ in 0..200 {
                let free = between(Some(place(3, low)), place(3, high)).unwrap();
                assert!(place(3, low) < free && free < place(3, high), "{low} {high} {free:?}");
                let free = between(Some(place(2, high)), place(3, high)).unwrap();
                assert!(place(2, high) < free && free < place(3, high));
                let free = between(None, place(3, high)).unwrap();
                assert!(free < place(3, high));
            }
        }
        let free = between(Some(place(3, 1)), place(7, 1)).unwrap();
        assert_eq!(free.index, 6);
    }

    #[test]
    fn no_room_is_told() {
        assert_eq!(between(Some(place(3, 7)), place(3, 8)), None);
        assert_eq!(between(None, place(3, 0)), None);
        assert_eq!(between(None, place(3, 1)), None);
    }

    #[test]
    fn room_halves_and_does_not_vanish_early() {
        let (mut low, high) = (place(0, 0), place(0, u128::MAX >> 32));
        let mut count = 0;
        while let Some(free) = between(Some(low), high) {
            low = free;
            count += 1;
        }
        assert!(count > 40, "{count}");
    }
}
