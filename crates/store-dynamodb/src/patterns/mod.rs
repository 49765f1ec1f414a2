//! Patterns of production: small types over a store, each with partitions of its own in the main table.

mod cache;
mod counter;
mod idempotency;
mod lock;
mod time_series;

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use store_core::Result;
use store_core::kit::{check, epoch};

pub use cache::{CacheConfig, DynamoDbCache};
pub use counter::{CounterConfig, DynamoDbCounter};
pub use idempotency::DynamoDbIdempotency;
pub use lock::DynamoDbLock;
pub use store_core::cache::CacheStats;
pub use store_core::kit::idempotency::{Begun, IdempotencyClaim, IdempotencyConfig};
pub use store_core::kit::lease::{LockConfig, LockGuard};
pub use time_series::{DynamoDbTimeSeries, TimePoint, TimeSeriesConfig};

use crate::codec::Item;
use crate::error::from_driver;
use crate::kv_layout::key;
use crate::schema::OWN;
use crate::space::Space;
use crate::tables;
use crate::transaction::Condition;

/// The longest name of something, in bytes.
const MAX_NAME: usize = 512;
/// The longest key of something with a name, in bytes.
const MAX_KEY: usize = 1_024;
/// The longest partition key, in bytes: the service's limit.
const MAX_PARTITION: usize = 2_048;
/// The longest time that something may be kept: a hundred years.
const MAX_TIME: Duration = Duration::from_hours(100 * 366 * 24);

/// The partition of something with a name.
fn partition(kind: &str, name: &str) -> Result<String> {
    check::name(kind, name, MAX_NAME)?;
    Ok(format!("{OWN}{kind}/{}", escaped(name)))
}

/// A name that does not look like another name with something behind it.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

/// The partition of a key of something with a name; `what` says of what kind the key is.
fn keyed(what: &str, base: &str, key: &str) -> Result<String> {
    check::name(what, key, MAX_KEY)?;
    let partition = format!("{base}/{key}");
    check::within("name with the key", key, partition.len(), MAX_PARTITION)?;
    Ok(partition)
}

/// Refuses a time that can not be; `what` names it.
fn time(what: &str, time: Duration) -> Result<()> {
    check::time(what, time, MAX_TIME)
}

/// The millisecond so long from now.
fn millis_after(time: Duration) -> u64 {
    epoch::millis().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn number(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number of an item.
fn number_of<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// A text of an item.
fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// An item of the main table, as it is now.
async fn get(space: &Space, partition: &str, sort: &str, consistent: bool) -> Result<Option<Item>> {
    let keys = tables::main(space).await?;
    let get = space.client()?.get_item().table_name(&space.main);
    let get = get.set_key(Some(key(&keys, partition, sort))).consistent_read(consistent);
    Ok(space.call(get.send()).await?.item)
}

/// What became of a conditional change: the item as it is after it, or what did not fulfil the condition.
type Changed = std::result::Result<Item, Option<Item>>;

/// Changes an item of the main table if the condition holds, whose names and values are the change's too.
///
/// The driver repeats a request whose answer was lost: a change that no longer fulfils its own condition may be refused
/// though it was made, so what was met must be looked at.
async fn change(
    space: &Space,
    partition: &str,
    sort: &str,
    change: &str,
    condition: Condition,
) -> Result<Changed> {
    let keys = tables::main(space).await?;
    let Condition { expression, names, values, .. } = condition;
    let update = space
        .client()?
        .update_item()
        .table_name(&space.main)
        .set_key(Some(key(&keys, partition, sort)))
        .update_expression(change)
        .set_condition_expression(Some(expression).filter(|expression| !expression.is_empty()))
        .set_expression_attribute_names(Some(names))
        .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    match space.try_call(update.send()).await? {
        Ok(answer) => Ok(Ok(answer.attributes.unwrap_or_default())),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refused)) => Ok(Err(refused.item.clone())),
            _ => Err(from_driver(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_are_one() {
        assert_eq!(partition("lock", "a/b%2F").unwrap(), "nodestore:lock/a%2Fb%252F");
        assert_ne!(escaped("a/b"), escaped("a%2Fb"));
        assert!(partition("lock", "").is_err() && partition("lock", &"x".repeat(513)).is_err());
    }

    #[test]
    fn times_are_bounded() {
        assert!(time("lease", Duration::from_secs(2)).is_ok());
        assert!(time("lease", Duration::from_micros(999)).is_err());
        assert!(time("lease", Duration::MAX).is_err());
    }
}
