//! Counters.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::ReturnValue;
use store_core::kit::check;
use store_core::{Error, ErrorKind, Result};

use super::{number, number_of};
use crate::DynamoDbBackend;
use crate::batch::Backoff;
use crate::error::at;
use crate::kv_layout::{expiry, key, now, seconds};
use crate::schema::EXPIRES;
use crate::space::Space;
use crate::tables;
use crate::transaction::{Committed, Condition, commit, put, update};

/// The sort key of the counter itself, and what those of remembered keys begin with.
const COUNTER: &str = "counter";
const ONCE: &str = "once/";
const VALUE: &str = "_value";

/// How a [`DynamoDbCounter`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CounterConfig {
    /// How long the keys of [`add_once`](DynamoDbCounter::add_once) are remembered; default a day.
    pub remember: Duration,
}

impl Default for CounterConfig {
    fn default() -> Self {
        Self { remember: Duration::from_hours(24) }
    }
}

impl CounterConfig {
    /// Sets how long the keys of additions are remembered.
    #[must_use]
    pub fn with_remember(mut self, remember: Duration) -> Self {
        self.remember = remember;
        self
    }
}

/// A counter across processes, by its name; it begins at 0.
///
/// **What it guarantees.** Every addition that was answered is counted, once; readers that come after it see it. An
/// [`add_once`](Self::add_once) is counted once for its key, however often it is called, also after an error or a crash
/// in between.
///
/// **What it does not.** Whether an [`add`](Self::add) that ended with an error (`Timeout`, `Unavailable`) was counted
/// is not known: it is not sent again, since that could count it twice. What must be exact has a key.
///
/// One item takes some 1,000 additions in a second (500 with keys, which cost twice): count what is more frequent in
/// several counters, and add them up. It is the item `counter` of the partition `nodestore:counter/NAME` of the main
/// table; the keys lie beside it, and expire.
///
/// ```no_run
/// # use store_dynamodb::{CounterConfig, DynamoDbBackend, DynamoDbConfig, DynamoDbCounter};
/// # async fn example() -> store_core::Result<()> {
/// let store = DynamoDbBackend::connect(DynamoDbConfig::new("app")).await?;
/// let tokens = DynamoDbCounter::new(&store, "tokens/anna", CounterConfig::default())?;
/// tokens.add(1_200).await?;
/// // The same message may come again.
/// tokens.add_once("message 17", 800).await?;
/// assert!(tokens.get().await? >= 2_000);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DynamoDbCounter {
    space: Arc<Space>,
    name: String,
    partition: String,
    config: CounterConfig,
}

impl DynamoDbCounter {
    /// The counter of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (512 bytes), or a time that can not be.
    pub fn new(backend: &DynamoDbBackend, name: impl Into<String>, config: CounterConfig) -> Result<Self> {
        let name = name.into();
        let checked = super::time("time to remember keys", config.remember)
            .and_then(|()| super::partition(COUNTER, &name));
        let partition = checked.map_err(at("counter"))?;
        Ok(Self { space: Arc::clone(&backend.space), name, partition, config })
    }

    fn named(&self, operation: &'static str) -> impl Fn(Error) -> Error {
        move |error| at(operation)(error).with_key(self.name.clone())
    }

    /// Adds, and answers the sum.
    ///
    /// # Errors
    /// `Timeout` or `Unavailable` leave open whether it was counted. `LimitExceeded` when the sum is beyond 64 bits; it
    /// is counted all the same.
    pub async fn add(&self, by: i64) -> Result<i64> {
        self.try_add(by).await.map_err(self.named("counter.add"))
    }

    async fn try_add(&self, by: i64) -> Result<i64> {
        let keys = tables::main(&self.space).await?;
        let mut backoff = Backoff::new(self.space.config.operation_timeout);
        loop {
            let add = self
                .space
                .client()?
                .update_item()
                .table_name(&self.space.main)
                .set_key(Some(key(&keys, &self.partition, COUNTER)))
                .update_expression("ADD #v :by")
                .expression_attribute_names("#v", VALUE)
                .expression_attribute_values(":by", number(by))
                .return_values(ReturnValue::UpdatedNew)
                .customize()
                // A repetition might count it twice.
                .config_override(Config::builder().retry_config(RetryConfig::disabled()));
            match self.space.call(add.send()).await {
                Ok(answer) => return sum(&answer.attributes.unwrap_or_default()),
                // What was throttled, or met an addition with a key, was not done.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Conflict)
                        && backoff.pause(false).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Adds, unless an addition of that key is remembered; answers whether it was counted now.
    ///
    /// After an error it can be called again: it counts at most once.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long key (1,000 bytes).
    pub async fn add_once(&self, key: &str, by: i64) -> Result<bool> {
        self.try_add_once(key, by).await.map_err(self.named("counter.add_once"))
    }

    async fn try_add_once(&self, once: &str, by: i64) -> Result<bool> {
        check::name("addition", once, super::MAX_KEY - 24)?;
        let keys = tables::main(&self.space).await?;
        let table = &self.space.main;
        let mut mark = key(&keys, &self.partition, &format!("{ONCE}{once}"));
        mark.insert(EXPIRES.to_owned(), seconds(expiry(self.config.remember)));
        let unknown = Condition::absent(&keys.partition)
            .with("attribute_not_exists(#p) OR #x <= :now")
            .named("#x", EXPIRES)
            .valued(":now", seconds(now()));
        let add = Condition::default().named("#v", VALUE).valued(":by", number(by));
        let actions = vec![
            put(table, mark, Some(unknown))?,
            update(table, key(&keys, &self.partition, COUNTER), "ADD #v :by", add)?,
        ];
        Ok(matches!(commit(&self.space, actions).await?, Committed::Yes))
    }

    /// The sum.
    ///
    /// # Errors
    /// `LimitExceeded` when it is beyond 64 bits.
    pub async fn get(&self) -> Result<i64> {
        let get = async {
            let item = super::get(&self.space, &self.partition, COUNTER, true).await?;
            item.map_or(Ok(0), |item| sum(&item))
        };
        get.await.map_err(self.named("counter.get"))
    }
}

fn sum(item: &crate::codec::Item) -> Result<i64> {
    number_of(item, VALUE).ok_or_else(|| {
        Error::new(ErrorKind::LimitExceeded, "the counter's sum is no whole number of 64 bits")
    })
}
