//! The table of key-values.
//!
//! A collection is spread over a fixed number of partitions, its buckets, by the hash of the key. Rows are written by
//! `UPDATE` alone, so that a row is there as long as its value is, and its marks are for a while longer.

use std::collections::BTreeMap;

use std::time::Duration;

use serde::Serialize;
use store_core::kit::epoch;
use store_core::kit::stored_json::stored_json;
use store_core::{Error, JsonObject, Result};

use crate::codec::{int, text};
use crate::schema::Table;
use crate::session::{Row, Value};

/// `value` is a JSON object as text; `mark` has the marks of the last lightweight transactions, see
/// [`Marks`](crate::transaction::Marks).
pub(crate) static KEY_VALUES: Table = Table {
    name: "key_values",
    definition: "(collection text, bucket int, key text, value text, mark blob, \
                 PRIMARY KEY ((collection, bucket), key)) \
                 WITH comment = 'key-values of nodestore, buckets: {buckets}'",
    then: &[],
};

/// The longest key, and the longest collection's name, in bytes of UTF-8.
pub(crate) const MAX_KEY_BYTES: usize = 65_535;
/// The longest name of a collection: in the partition's key stands the bucket, too.
pub(crate) const MAX_COLLECTION_BYTES: usize = 65_535 - 4 - 2 * 3;
/// The longest time that Cassandra counts, 20 years; what lives longer lives forever.
const LONGEST: u64 = 20 * 365 * 24 * 60 * 60;

/// The 64-bit FNV-1a hash (Fowler, Noll, Vo).
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The bucket of a key, of so many: its hash's remainder.
pub(crate) fn bucket(key: &str, buckets: u16) -> i32 {
    i32::try_from(hash(key.as_bytes()) % u64::from(buckets.max(1))).unwrap_or_default()
}

/// The number of buckets that a table's comment tells.
pub(crate) fn buckets(comment: &str) -> Result<u16> {
    let number = comment.rsplit_once("buckets: ").and_then(|(_, number)| number.trim().parse().ok());
    number.filter(|number| *number > 0).ok_or_else(|| {
        Error::corrupt(format!(
            "the comment of the table {} does not end in the number of its buckets, \"buckets: N\"; restore it \
             by ALTER TABLE … WITH comment",
            KEY_VALUES.name
        ))
    })
}

/// Things by the bucket of their keys.
pub(crate) fn by_bucket<T>(things: Vec<T>, buckets: u16, key: impl Fn(&T) -> &str) -> BTreeMap<i32, Vec<T>> {
    let mut groups: BTreeMap<i32, Vec<T>> = BTreeMap::new();
    for thing in things {
        groups.entry(bucket(key(&thing), buckets)).or_default().push(thing);
    }
    groups
}

/// The values of a partition's key.
pub(crate) fn partition(collection: &str, bucket: i32) -> Vec<Value> {
    vec![text(collection), int(bucket)]
}

/// The value of a row; `None` where it has none.
pub(crate) fn value(row: &Row<'_>, key: &str) -> Result<Option<JsonObject>> {
    row.text("value")?.map(|stored| decode(key, stored)).transpose()
}

pub(crate) fn decode(key: &str, stored: &str) -> Result<JsonObject> {
    stored_json("the stored value", stored.as_bytes()).map_err(|error| error.with_key(key))
}

pub(crate) fn encode(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::invalid_input("the value can not be written as JSON").with_source(error))
}

/// The seconds of `USING TTL` for a time to live that begins now, 0 for none. The node counts from the beginning of its
/// second: with clocks in step nothing ends sooner than asked for, and at most a second later.
pub(crate) fn seconds(ttl: Option<Duration>) -> i32 {
    seconds_from(ttl, epoch::now())
}

fn seconds_from(ttl: Option<Duration>, now: Duration) -> i32 {
    let Some(ttl) = ttl.filter(|ttl| ttl.as_secs() < LONGEST) else { return 0 };
    let end = now.saturating_add(ttl);
    let end = end.as_secs() + u64::from(end.subsec_nanos() > 0);
    i32::try_from(end.saturating_sub(now.as_secs()).clamp(1, LONGEST)).unwrap_or_default()
}

/// The first text, in the order of bytes, after all that begin with `prefix`; `None` when there is none.
pub(crate) fn after_prefix(prefix: &str) -> Option<String> {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        let next = (last..=char::MAX).nth(1);
        if let Some(next) = next {
            end.push(next);
            return Some(end.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_as_published() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn keys_are_spread() {
        let mut counts = [0_u32; 32];
        for n in 0..32_000 {
            counts[usize::try_from(bucket(&format!("key {n}"), 32)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_comment_tells_the_buckets() {
        let definition = KEY_VALUES.definition.replace("{buckets}", "64");
        let comment = definition.rsplit_once("comment = ").unwrap().1.trim_matches('\'');
        assert_eq!(buckets(comment).unwrap(), 64);
        for damaged in ["", "mine", "buckets: ", "buckets: 0", "buckets: 70000", "buckets: -1"] {
            assert!(buckets(damaged).is_err(), "{damaged}");
        }
    }

    #[test]
    fn times_to_live_round_up() {
        let at =
            |ttl: u64, now: u64| seconds_from(Some(Duration::from_millis(ttl)), Duration::from_millis(now));
        assert_eq!(at(1_000, 5_000), 1);
        assert_eq!(at(1_000, 5_100), 2);
        assert_eq!(at(300, 5_700), 1);
        assert_eq!(at(300, 5_701), 2);
        assert_eq!(at(1, 5_000), 1);
        assert_eq!(seconds_from(Some(Duration::from_nanos(1)), Duration::from_secs(5)), 1);
        assert_eq!(at(LONGEST * 1_000, 5_000), 0);
        assert_eq!(at(LONGEST * 1_000 - 1, 5_999), i32::try_from(LONGEST).unwrap());
        assert_eq!(seconds(None), 0);
    }

    #[test]
    fn a_prefix_has_an_end() {
        assert_eq!(after_prefix("ab").as_deref(), Some("ac"));
        assert_eq!(after_prefix("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_prefix("\u{10ffff}"), None);
        assert_eq!(after_prefix(""), None);
    }
}
