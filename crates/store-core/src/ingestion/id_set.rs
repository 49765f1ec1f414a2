//! A set of ids that keeps only their digests.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::NodeId;

/// A set of ids, by the first 128 bits of their SHA-256: about 30 bytes each, however long the ids are. Two ids
/// that share them (one chance in 10²⁰ among ten thousand million) would count as one.
#[derive(Debug, Default)]
pub(super) struct IdSet(HashSet<u128>);

impl IdSet {
    /// Adds an id; answers whether it is new.
    pub(super) fn insert(&mut self, id: &NodeId) -> bool {
        self.0.insert(digest(id))
    }

    pub(super) fn contains(&self, id: &NodeId) -> bool {
        self.0.contains(&digest(id))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn digest(id: &NodeId) -> u128 {
    let digest = Sha256::digest(id.as_str());
    digest.iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte))
}
