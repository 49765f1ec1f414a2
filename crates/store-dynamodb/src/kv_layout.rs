//! Key-values as items, and what stands in them besides the value.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use store_core::kit::epoch;
pub(crate) use store_core::kit::epoch::seconds as now;
use store_core::{JsonObject, Result};

use crate::codec::{self, Item};
use crate::schema::EXPIRES;
use crate::tables::Keys;

/// The end of the year 9999: later is as good as never.
const LATEST: u64 = 253_402_300_799;

/// The key of an item.
pub(crate) fn key(keys: &Keys, partition: &str, sort: &str) -> Item {
    Item::from([
        (keys.partition.clone(), AttributeValue::S(partition.to_owned())),
        (keys.sort.clone(), AttributeValue::S(sort.to_owned())),
    ])
}

/// The item of a key and its value, of any size.
pub(crate) fn item(
    keys: &Keys,
    collection: &str,
    name: &str,
    value: JsonObject,
    expires: Option<u64>,
) -> Result<Item> {
    let mut item = codec::encode(value, keys).map_err(|error| error.with_key(name).with_failed([name]))?;
    item.extend(key(keys, collection, name));
    item.extend(expires.map(|second| (EXPIRES.to_owned(), seconds(second))));
    Ok(item)
}

/// Whether the time of an item has passed.
pub(crate) fn is_expired(item: &Item, now: u64) -> bool {
    let expires = item.get(EXPIRES).and_then(|expires| expires.as_n().ok());
    expires.and_then(|expires| expires.parse::<u64>().ok()).is_some_and(|second| second <= now)
}

/// The second at which something expires that lives so long from now: never sooner, and up to a second later.
pub(crate) fn expiry(ttl: Duration) -> u64 {
    let end = epoch::now().saturating_add(ttl);
    end.as_secs().saturating_add(u64::from(end.subsec_nanos() > 0)).min(LATEST)
}

/// A second as an attribute.
pub(crate) fn seconds(second: u64) -> AttributeValue {
    AttributeValue::N(second.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_round_up_and_end_in_the_year_9999() {
        let before = now();
        let soon = expiry(Duration::from_nanos(1));
        assert!((before..=now() + 1).contains(&soon));
        assert_eq!(expiry(Duration::MAX), LATEST);
    }

    #[test]
    fn an_item_expires_at_its_second() {
        let item = Item::from([(EXPIRES.to_owned(), seconds(10))]);
        assert!(!is_expired(&item, 9) && is_expired(&item, 10));
        let others = Item::from([(EXPIRES.to_owned(), AttributeValue::S("9".to_owned()))]);
        assert!(!is_expired(&others, 10));
    }
}
