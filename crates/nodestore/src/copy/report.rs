//! What a copy tells: checksums of both sides, and what differs.

use std::fmt;

use sha2::{Digest, Sha256};

/// Keys of a part that are named when they differ.
const NAMED: usize = 5;

/// What a copy did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// The parts that held something, in the order copied.
    pub parts: Vec<CopiedPart>,
    /// What a person should know: what is left out, and why.
    pub notes: Vec<String>,
}

impl CopyReport {
    /// Whether everything that was copied was read back the same, and, where the store was empty before, nothing else
    /// is there.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.parts.iter().all(CopiedPart::is_equal)
    }

    /// Records of all parts.
    #[must_use]
    pub fn records(&self) -> usize {
        self.parts.iter().map(|part| part.records).sum()
    }
}

/// One part of a copy, as both stores show it at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopiedPart {
    /// Its name: `nodes`.
    pub name: String,
    /// Records in the store that was copied.
    pub records: usize,
    /// A checksum over them in which their order does not matter: 32 hexadecimal digits.
    pub checksum: String,
    /// Records of the same keys in the other store.
    pub found: usize,
    /// The checksum over those.
    pub found_checksum: String,
    /// Records that are missing or not the same.
    pub different: usize,
    /// The keys of the first few of them.
    pub examples: Vec<String>,
    /// Records which the other store, empty before, has beyond them.
    pub surplus: usize,
    /// Entries that mean nothing any more and were not copied: nodes that Python left in a source document.
    pub left_out: usize,
}

impl CopiedPart {
    /// Whether both stores hold the same.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.different == 0 && self.surplus == 0 && self.checksum == self.found_checksum
    }
}

/// What there is to copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyPlan {
    /// The parts that hold something.
    pub parts: Vec<PlannedPart>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// One part of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedPart {
    /// Its name: `nodes`.
    pub name: String,
    /// Records to copy.
    pub records: usize,
    /// Whether the other store holds nothing of it; `None` when there is none to look at.
    pub target_is_empty: Option<bool>,
}

/// The digest of one record: half a SHA-256 of its key and content.
pub(super) fn digest(key: &str, content: &[u8]) -> u128 {
    let mut hasher = Sha256::new();
    hasher.update((key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(content);
    hasher.finalize().iter().take(16).fold(0, |digest, byte| (digest << 8) | u128::from(*byte))
}

/// Records and the sum of their digests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checksum {
    pub(super) records: usize,
    sum: u128,
}

impl Checksum {
    pub(super) fn add(&mut self, digest: u128) {
        self.records += 1;
        self.sum = self.sum.wrapping_add(digest);
    }

    fn join(&mut self, other: Self) {
        self.records += other.records;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}

/// What was compared so far.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) from: Checksum,
    pub(super) to: Checksum,
    different: usize,
    examples: Vec<String>,
    pub(super) left_out: usize,
}

impl Compared {
    /// A record of which the two stores hold these digests.
    pub(super) fn add(&mut self, key: &str, from: u128, to: Option<u128>) {
        self.from.add(from);
        if let Some(to) = to {
            self.to.add(to);
        }
        if to != Some(from) {
            self.different += 1;
            if self.examples.len() < NAMED {
                self.examples.push(key.to_owned());
            }
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.from.join(other.from);
        self.to.join(other.to);
        self.different += other.different;
        let room = NAMED - self.examples.len();
        self.examples.extend(other.examples.into_iter().take(room));
        self.left_out += other.left_out;
    }

    /// The report of a part; `all` is how many records the other store has of it, where that matters.
    pub(super) fn into_part(self, name: &str, all: Option<usize>) -> CopiedPart {
        CopiedPart {
            name: name.to_owned(),
            records: self.from.records,
            checksum: self.from.to_string(),
            found: self.to.records,
            found_checksum: self.to.to_string(),
            different: self.different,
            examples: self.examples,
            surplus: all.map_or(0, |all| all.saturating_sub(self.to.records)),
            left_out: self.left_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(records: &[(&str, &str, Option<&str>)], all: Option<usize>) -> CopiedPart {
        let mut compared = Compared::default();
        for (key, from, to) in records {
            let to = to.map(|to| digest(key, to.as_bytes()));
            compared.add(key, digest(key, from.as_bytes()), to);
        }
        compared.into_part("nodes", all)
    }

    #[test]
    fn a_checksum_is_the_same_in_any_order_and_another_for_other_content() {
        let one = part(&[("a", "1", Some("1")), ("b", "2", Some("2"))], Some(2));
        let two = part(&[("b", "2", Some("2")), ("a", "1", Some("1"))], Some(2));
        assert!(one.is_equal() && one == two);
        for other in [
            &[("a", "2", Some("2")), ("b", "1", Some("1"))][..],
            &[("a1", "", Some("")), ("b", "2", Some("2"))],
        ] {
            assert_ne!(part(other, Some(2)).checksum, one.checksum);
        }
    }

    #[test]
    fn what_differs_is_named() {
        let changed = part(&[("a", "1", Some("1")), ("b", "2", Some("3")), ("c", "4", None)], Some(2));
        assert!(!changed.is_equal());
        assert_eq!((changed.different, changed.found), (2, 2));
        assert_eq!(changed.examples, ["b", "c"]);
        let surplus = part(&[("a", "1", Some("1"))], Some(2));
        assert_eq!((surplus.is_equal(), surplus.surplus), (false, 1));
        assert!(part(&[("a", "1", Some("1"))], None).is_equal());
    }
}
