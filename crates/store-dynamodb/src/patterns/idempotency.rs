//! Records of what was done, so that it is not done again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::Result;
use store_core::kit::check;
use store_core::kit::epoch::millis;
use store_core::kit::idempotency::{
    Begun, Idempotency, IdempotencyBegun, IdempotencyConfig, IdempotencyPlace,
};

use super::{change, millis_after, number, number_of, text, text_of};
use crate::DynamoDbBackend;
use crate::codec::MAX_ITEM_BYTES;
use crate::error::{NAME, at};
use crate::kv_layout::{expiry, seconds};
use crate::schema::EXPIRES;
use crate::space::Space;
use crate::transaction::Condition;

const HOLDER: &str = "_holder";
const UNTIL: &str = "_until";
const ANSWER: &str = "_answer";
/// The sort key of a record.
const SORT: &str = "record";
/// What an item takes beside its answer and its key.
const OVERHEAD: usize = 1_024;

/// Records of requests by their idempotency keys: who comes first does the work and leaves the answer, who comes later
/// is given that answer.
///
/// **What it guarantees.** While the lease of one who began runs, nobody else begins; once an answer was left, everybody
/// is given it, for as long as it is kept. Only who began last can leave an answer: one whose lease ended, so that
/// another began, is refused.
///
/// **What it does not.** Work that was done by one who died before the answer was left is done again, after the lease,
/// and work that takes longer than the lease may be done twice at the same time: give the lease time, or make the work
/// itself refuse what is old. The lease runs by the clocks of those who ask.
///
/// Each record is an item of a partition of its own, `nodestore:idempotency/NAME/KEY`, with a time to live.
///
/// ```no_run
/// # use store_dynamodb::{Begun, DynamoDbBackend, DynamoDbConfig, DynamoDbIdempotency, IdempotencyConfig};
/// # async fn charge() -> store_core::Result<String> { Ok(String::new()) }
/// # async fn example(request_id: &str) -> store_core::Result<Option<String>> {
/// let store = DynamoDbBackend::connect(DynamoDbConfig::new("app")).await?;
/// let charges: DynamoDbIdempotency<String> =
///     DynamoDbIdempotency::new(&store, "charges", IdempotencyConfig::default())?;
/// match charges.begin(request_id).await? {
///     Begun::New(claim) => {
///         let receipt = charge().await?;
///         claim.complete(&receipt).await?;
///         Ok(Some(receipt))
///     }
///     Begun::Done(receipt) => Ok(Some(receipt)),
///     Begun::Running(_) => Ok(None),
/// }
/// # }
/// ```
pub struct DynamoDbIdempotency<T>(Idempotency<T>);

impl<T> Clone for DynamoDbIdempotency<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for DynamoDbIdempotency<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynamoDbIdempotency").field(&self.0).finish()
    }
}

impl<T: Serialize + DeserializeOwned> DynamoDbIdempotency<T> {
    /// The records of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (512 bytes), and for times that can not be.
    pub fn new(backend: &DynamoDbBackend, name: &str, config: IdempotencyConfig) -> Result<Self> {
        let base = super::time("lease", config.lease)
            .and_then(|()| super::time("time that answers are kept", config.keep))
            .and_then(|()| super::partition("idempotency", name))
            .map_err(at("idempotency"))?;
        let place = Place { space: Arc::clone(&backend.space), base, config };
        Ok(Self(Idempotency::new(place, NAME)))
    }

    /// Begins what the key stands for, or answers what became of it: a conditional write. An answer may be of 399 KB.
    ///
    /// # Errors
    /// `InvalidInput` for an empty key or one over 1,024 bytes (hash longer ones), `Corrupt` for an answer of another
    /// type, and what the service says: nothing is known then, call it again.
    pub async fn begin(&self, key: &str) -> Result<Begun<T>> {
        self.0.begin(key).await
    }
}

/// The items of some records.
#[derive(Debug)]
struct Place {
    space: Arc<Space>,
    /// What their partitions begin with.
    base: String,
    config: IdempotencyConfig,
}

impl Place {
    fn partition(&self, key: &str) -> Result<String> {
        super::keyed("idempotency key", &self.base, key)
    }

    /// The names of the attributes, and the values that hold them for so long.
    fn condition(expression: &str, token: &str, time: Duration) -> Condition {
        Condition::default()
            .with(expression)
            .named("#h", HOLDER)
            .named("#u", UNTIL)
            .named("#a", ANSWER)
            .named("#x", EXPIRES)
            .valued(":h", text(token))
            .valued(":u", number(millis_after(time)))
            .valued(":x", seconds(expiry(time)))
    }
}

#[async_trait]
impl IdempotencyPlace for Place {
    async fn begin(&self, key: &str, token: &str) -> Result<IdempotencyBegun> {
        let partition = self.partition(key)?;
        // Until the lease ends if it is at work, until the answer is forgotten if it is done.
        let condition = Self::condition("attribute_not_exists(#u) OR #u <= :now", token, self.config.lease)
            .valued(":now", number(millis()));
        let set = "SET #h = :h, #u = :u, #x = :x REMOVE #a";
        let met = match change(&self.space, &partition, SORT, set, condition).await? {
            Ok(_) => return Ok(IdempotencyBegun::New),
            Err(met) => met.unwrap_or_default(),
        };
        if let Some(answer) = text_of(&met, ANSWER) {
            return Ok(IdempotencyBegun::Done(answer.to_owned()));
        }
        // A request whose answer was lost began it.
        if text_of(&met, HOLDER) == Some(token) {
            return Ok(IdempotencyBegun::New);
        }
        let until = number_of::<u64>(&met, UNTIL).unwrap_or_default();
        Ok(IdempotencyBegun::Running(Duration::from_millis(until.saturating_sub(millis()))))
    }

    async fn complete(&self, key: &str, token: &str, answer: &str) -> Result<bool> {
        let partition = self.partition(key)?;
        let size = answer.len() + partition.len() + OVERHEAD;
        check::within("answer", key, size, MAX_ITEM_BYTES)?;
        let condition = Self::condition("#h = :h", token, self.config.keep).valued(":a", text(answer));
        let set = "SET #a = :a, #u = :u, #x = :x";
        Ok(change(&self.space, &partition, SORT, set, condition).await?.is_ok())
    }

    async fn give_up(&self, key: &str, token: &str) -> Result<bool> {
        let condition = Condition::default()
            .with("#h = :h AND attribute_not_exists(#a)")
            .named("#h", HOLDER)
            .named("#u", UNTIL)
            .named("#a", ANSWER)
            .valued(":h", text(token));
        let given = change(&self.space, &self.partition(key)?, SORT, "REMOVE #h, #u", condition).await?;
        // Where nobody is at work, a request whose answer was lost gave it up.
        Ok(given.map_or_else(|met| met.is_none_or(|met| !met.contains_key(HOLDER)), |_| true))
    }
}
