//! The keys of a large object: 16 bytes each, however long they are.

use std::hash::{BuildHasher, RandomState};

use super::scan::{Place, Scanner};
use crate::Result;

/// Where the keys of one object stand in the file, by their hash.
///
/// Two keys may have the same hash, so what is found is compared with the file.
#[derive(Debug, Default)]
pub(super) struct Keys {
    hasher: RandomState,
    places: Vec<(u64, u64)>,
}

impl Keys {
    pub(super) fn add(&mut self, key: &str, place: Place) {
        self.places.push((self.hasher.hash_one(key), place.offset));
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Puts the keys in order, and refuses one that is there twice. `name` is the object's.
    pub(super) fn settle(&mut self, name: &str, scanner: &mut Scanner) -> Result<()> {
        self.places.sort_unstable();
        let mut run: Vec<(u64, String)> = Vec::new();
        let same = |pair: &[(u64, u64)]| matches!(pair, [(a, _), (b, _)] if a == b);
        for pair in self.places.windows(2).filter(|pair| same(pair)) {
            run.clear();
            for (_, offset) in pair {
                scanner.go_to_offset(*offset)?;
                run.push((*offset, scanner.key_here()?.1));
            }
            if let [(_, first), (second, again)] = run.as_slice()
                && first == again
            {
                let place = scanner.place_of(*second)?;
                return Err(scanner.broken(
                    place,
                    format!(
                        "the key {first:?} stands twice in {name:?}; which one is meant can not be known"
                    ),
                ));
            }
        }
        self.places.shrink_to_fit();
        Ok(())
    }

    /// Whether the key is there; wrong about one key in 10¹².
    pub(super) fn likely_has(&self, key: &str) -> bool {
        !self.offsets(key).is_empty()
    }

    /// Goes to the value of a key. `false` when the key is not there.
    pub(super) fn find(&self, key: &str, scanner: &mut Scanner) -> Result<bool> {
        for (_, offset) in self.offsets(key) {
            scanner.go_to_offset(*offset)?;
            if scanner.key_here()?.1 == key {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn offsets(&self, key: &str) -> &[(u64, u64)] {
        let hash = self.hasher.hash_one(key);
        let first = self.places.partition_point(|(other, _)| *other < hash);
        let rest = self.places.get(first..).unwrap_or_default();
        let length = rest.iter().take_while(|(other, _)| *other == hash).count();
        rest.get(..length).unwrap_or_default()
    }
}
