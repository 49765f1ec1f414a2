//! Records of what was done, so that it is not done again.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Error, ErrorKind, Result, check};

use super::{change, from_json, millis, millis_after, number, number_of, text, text_of, to_json};
use crate::DynamoDbBackend;
use crate::codec::MAX_ITEM_BYTES;
use crate::error::at;
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

/// How a [`DynamoDbIdempotency`] keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdempotencyConfig {
    /// How long one who began is believed to be at work; default a minute. Take more than the work needs.
    pub lease: Duration,
    /// How long answers are kept; default a day.
    pub keep: Duration,
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self { lease: Duration::from_mins(1), keep: Duration::from_hours(24) }
    }
}

impl IdempotencyConfig {
    /// Sets how long one who began is believed to be at work.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how long answers are kept.
    #[must_use]
    pub fn with_keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }
}

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
/// # use store_dynamodb::{DynamoDbBackend, DynamoDbBegun, DynamoDbConfig, DynamoDbIdempotency, IdempotencyConfig};
/// # async fn charge() -> store_core::Result<String> { Ok(String::new()) }
/// # async fn example(request_id: &str) -> store_core::Result<Option<String>> {
/// let store = DynamoDbBackend::connect(DynamoDbConfig::new("app")).await?;
/// let charges: DynamoDbIdempotency<String> =
///     DynamoDbIdempotency::new(&store, "charges", IdempotencyConfig::default())?;
/// match charges.begin(request_id).await? {
///     DynamoDbBegun::New(claim) => {
///         let receipt = charge().await?;
///         claim.complete(&receipt).await?;
///         Ok(Some(receipt))
///     }
///     DynamoDbBegun::Done(receipt) => Ok(Some(receipt)),
///     DynamoDbBegun::Running(_) => Ok(None),
/// }
/// # }
/// ```
pub struct DynamoDbIdempotency<T> {
    records: Arc<Records>,
    answer: PhantomData<fn() -> T>,
}

#[derive(Debug)]
struct Records {
    space: Arc<Space>,
    base: String,
    config: IdempotencyConfig,
}

impl<T> Clone for DynamoDbIdempotency<T> {
    fn clone(&self) -> Self {
        Self { records: Arc::clone(&self.records), answer: PhantomData }
    }
}

impl<T> fmt::Debug for DynamoDbIdempotency<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbIdempotency").field("partitions", &self.records.base).finish_non_exhaustive()
    }
}

/// What [`DynamoDbIdempotency::begin`] found.
#[derive(Debug)]
#[must_use = "work that was begun is to be completed"]
pub enum DynamoDbBegun<T> {
    /// The caller is the first, or the one before did not come to an end: do the work.
    New(DynamoDbIdempotencyClaim<T>),
    /// It was done, with this answer.
    Done(T),
    /// Another is at work, and is believed to be for so long.
    Running(Duration),
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
        let records = Records { space: Arc::clone(&backend.space), base, config };
        Ok(Self { records: Arc::new(records), answer: PhantomData })
    }

    /// Begins what the key stands for, or answers what became of it: a conditional write.
    ///
    /// # Errors
    /// `InvalidInput` for an empty key or one over 1,024 bytes (hash longer ones), `Corrupt` for an answer of another
    /// type, and what the service says: nothing is known then, call it again.
    pub async fn begin(&self, key: &str) -> Result<DynamoDbBegun<T>> {
        let begin = async {
            let claim = DynamoDbIdempotencyClaim {
                records: Arc::clone(&self.records),
                key: key.to_owned(),
                partition: super::keyed("idempotency key", &self.records.base, key)?,
                token: format!("{:032x}", fastrand::u128(..)),
                answer: PhantomData,
            };
            claim.begin().await
        };
        begin.await.map_err(|error| at("idempotency.begin")(error).with_key(key))
    }
}

/// The right to leave the answer of what was begun. Dropped, the work counts as begun until the lease ends.
#[must_use = "work that was begun is to be completed"]
pub struct DynamoDbIdempotencyClaim<T> {
    records: Arc<Records>,
    key: String,
    partition: String,
    token: String,
    answer: PhantomData<fn(&T)>,
}

impl<T> fmt::Debug for DynamoDbIdempotencyClaim<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbIdempotencyClaim").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned> DynamoDbIdempotencyClaim<T> {
    async fn begin(self) -> Result<DynamoDbBegun<T>> {
        let Records { space, config, .. } = &*self.records;
        let now = millis();
        // Until the lease ends if it is at work, until the answer is forgotten if it is done.
        let condition = Condition::default()
            .with("attribute_not_exists(#u) OR #u <= :now")
            .named("#h", HOLDER)
            .named("#u", UNTIL)
            .named("#a", ANSWER)
            .named("#x", EXPIRES)
            .valued(":h", text(self.token.as_str()))
            .valued(":now", number(now))
            .valued(":u", number(millis_after(config.lease)))
            .valued(":x", seconds(expiry(config.lease)));
        let set = "SET #h = :h, #u = :u, #x = :x REMOVE #a";
        let met = match change(space, &self.partition, SORT, set, condition).await? {
            Ok(_) => return Ok(DynamoDbBegun::New(self)),
            Err(met) => met.unwrap_or_default(),
        };
        if let Some(answer) = text_of(&met, ANSWER) {
            return from_json(answer).map(DynamoDbBegun::Done);
        }
        // A request whose answer was lost began it.
        if text_of(&met, HOLDER) == Some(self.token.as_str()) {
            return Ok(DynamoDbBegun::New(self));
        }
        let until = number_of::<u64>(&met, UNTIL).unwrap_or_default();
        Ok(DynamoDbBegun::Running(Duration::from_millis(until.saturating_sub(millis()))))
    }

    /// Leaves the answer, for all who come with the key while it is kept.
    ///
    /// # Errors
    /// `Conflict` when the lease had ended and another began: that one's answer counts. `LimitExceeded` for an answer of
    /// more than 399 KB.
    pub async fn complete(&self, answer: &T) -> Result<()> {
        self.leave(answer)
            .await
            .map_err(|error| at("idempotency.complete")(error).with_key(self.key.as_str()))
    }

    async fn leave(&self, answer: &T) -> Result<()> {
        let Records { space, config, .. } = &*self.records;
        let answer = to_json(answer)?;
        let size = answer.len() + self.partition.len() + OVERHEAD;
        check::within("answer", &self.key, size, MAX_ITEM_BYTES)?;
        let condition = Condition::default()
            .with("#h = :h")
            .named("#h", HOLDER)
            .named("#u", UNTIL)
            .named("#a", ANSWER)
            .named("#x", EXPIRES)
            .valued(":h", text(self.token.as_str()))
            .valued(":a", text(answer))
            .valued(":u", number(millis_after(config.keep)))
            .valued(":x", seconds(expiry(config.keep)));
        let set = "SET #a = :a, #u = :u, #x = :x";
        if change(space, &self.partition, SORT, set, condition).await?.is_ok() {
            return Ok(());
        }
        let message =
            "the lease ended and another began the same, so that its answer counts; take a longer lease";
        Err(Error::new(ErrorKind::Conflict, message).with_retryable(false))
    }

    /// Lets others begin at once, since the work failed and left nothing; `false` when another began already.
    pub async fn give_up(self) -> Result<bool> {
        let condition = Condition::default()
            .with("#h = :h AND attribute_not_exists(#a)")
            .named("#h", HOLDER)
            .named("#u", UNTIL)
            .named("#a", ANSWER)
            .valued(":h", text(self.token.as_str()));
        let given = change(&self.records.space, &self.partition, SORT, "REMOVE #h, #u", condition).await;
        let given = given.map_err(|error| at("idempotency.give_up")(error).with_key(self.key.as_str()))?;
        // Where nobody is at work, a request whose answer was lost gave it up.
        Ok(given.map_or_else(|met| met.is_none_or(|met| !met.contains_key(HOLDER)), |_| true))
    }
}
