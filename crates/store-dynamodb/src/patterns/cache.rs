//! Caches.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Error, Result};
use tokio::sync::Mutex;
use tracing::{debug, warn};

use super::{change, from_json, get, millis, millis_after, number, number_of, text, text_of, to_json};
use crate::DynamoDbBackend;
use crate::codec::MAX_ITEM_BYTES;
use crate::error::at;
use crate::kv_layout::{expiry, seconds};
use crate::schema::EXPIRES;
use crate::space::Space;
use crate::transaction::Condition;

const VALUE: &str = "_value";
const UNTIL: &str = "_until";
const VERSION: &str = "_version";
/// The sort key of a cached value.
const SORT: &str = "value";
/// How long it is remembered that a value was invalidated: longer than a load takes.
const INVALIDATED: Duration = Duration::from_hours(24);
/// What an item takes beside its value and its key.
const OVERHEAD: usize = 1_024;

/// How a [`DynamoDbCache`] keeps values.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CacheConfig {
    /// How long a value is fresh.
    pub ttl: Duration,
    /// Up to which part of the time to live is taken off by chance, so that values written together do not end
    /// together: 0 to 1, default 0.1.
    pub jitter: f64,
    /// How long it is remembered that the loader found nothing; default `None`: it is not.
    pub negative_ttl: Option<Duration>,
}

impl CacheConfig {
    /// Values that are fresh for so long.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, jitter: 0.1, negative_ttl: None }
    }

    /// Sets the part of the time to live that chance takes off at most.
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets how long it is remembered that there is nothing.
    #[must_use]
    pub fn with_negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    fn check(&self) -> Result<()> {
        super::time("time to live", self.ttl)?;
        if let Some(ttl) = self.negative_ttl {
            super::time("time to live of what is absent", ttl)?;
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(Error::invalid_input(format!("the jitter is {}; it is 0 to 1", self.jitter)));
        }
        Ok(())
    }
}

/// A cache in front of what is slow or dear: values of a type of yours, as JSON.
///
/// **What it guarantees.** A value is answered until its time ends, by the reader's clock to the millisecond, whenever
/// the service removes it. Of callers of one process that miss the same value at the same time one loads it, and the
/// others wait for that. What was loaded before an [`invalidate`](Self::invalidate) is not kept after it, within a day,
/// however slow the loader was.
///
/// **What it does not.** Several processes that miss a value each load it. Reads are as the store's
/// (`store.consistent_reads`): without it a reader may be answered for a moment what was invalidated. A value takes
/// 399 KB at most. When the loader fails, its caller gets the error, nothing is kept, and those who waited load for
/// themselves, one after the other.
///
/// Each value is an item of a partition of its own, `nodestore:cache/NAME/KEY`, with a time to live.
///
/// ```no_run
/// # use std::time::Duration;
/// # use serde::{Deserialize, Serialize};
/// # use store_dynamodb::{CacheConfig, DynamoDbBackend, DynamoDbCache, DynamoDbConfig};
/// #[derive(Serialize, Deserialize)]
/// struct Profile {
///     name: String,
/// }
/// # async fn from_the_database(id: &str) -> store_core::Result<Option<Profile>> { Ok(None) }
///
/// # async fn example() -> store_core::Result<()> {
/// let store = DynamoDbBackend::connect(DynamoDbConfig::new("app")).await?;
/// let config = CacheConfig::new(Duration::from_mins(5));
/// let profiles: DynamoDbCache<Profile> = DynamoDbCache::new(&store, "profiles", config)?;
/// let profile = profiles.get_or_load("7", || from_the_database("7")).await?;
/// // After the database was changed:
/// profiles.invalidate("7").await?;
/// # Ok(())
/// # }
/// ```
pub struct DynamoDbCache<T> {
    inner: Arc<Inner>,
    value: PhantomData<fn() -> T>,
}

struct Inner {
    space: Arc<Space>,
    base: String,
    config: CacheConfig,
    /// Who loads what in this process.
    loads: StdMutex<HashMap<String, Weak<Mutex<()>>>>,
}

impl<T> Clone for DynamoDbCache<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), value: PhantomData }
    }
}

impl<T> fmt::Debug for DynamoDbCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbCache").field("partitions", &self.inner.base).finish_non_exhaustive()
    }
}

/// What is known of a value.
enum Known {
    /// It is this one.
    Value(String),
    /// There is none.
    Absent,
    /// It is to be loaded.
    Nothing,
}

/// What is stored.
struct Look {
    known: Known,
    /// What tells it from what is written later; `None` when nothing was ever written.
    version: Option<String>,
}

impl<T: Serialize + DeserializeOwned> DynamoDbCache<T> {
    /// The cache of this name. Nothing is sent yet. Clones share what is being loaded; so keep one.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (512 bytes), and for times that can not be.
    pub fn new(backend: &DynamoDbBackend, name: &str, config: CacheConfig) -> Result<Self> {
        let base = config.check().and_then(|()| super::partition("cache", name)).map_err(at("cache"))?;
        let inner = Inner { space: Arc::clone(&backend.space), base, config, loads: StdMutex::default() };
        Ok(Self { inner: Arc::new(inner), value: PhantomData })
    }

    /// The cached value, or what the loader finds; `None` if that finds nothing.
    ///
    /// # Errors
    /// The loader's. `InvalidInput` for an empty key or one over 1,024 bytes (hash longer ones), `Corrupt` for a cached
    /// value of another type, and what the service says.
    pub async fn get_or_load<F, L>(&self, key: &str, loader: F) -> Result<Option<T>>
    where
        F: FnOnce() -> L + Send,
        L: Future<Output = Result<Option<T>>> + Send,
    {
        let find = async {
            let place = self.inner.partition(key)?;
            match self.inner.look(&place).await?.known {
                Known::Value(value) => return from_json(&value).map(Some),
                Known::Absent => return Ok(None),
                Known::Nothing => {}
            }
            let load = self.inner.load(&place);
            let _turn = load.lock().await;
            // Another may have loaded it meanwhile.
            let seen = self.inner.look(&place).await?;
            match &seen.known {
                Known::Value(value) => return from_json(value).map(Some),
                Known::Absent => return Ok(None),
                Known::Nothing => {}
            }
            let found = loader().await?;
            if found.is_some() || self.inner.config.negative_ttl.is_some() {
                let value = found.as_ref().map(to_json).transpose()?;
                // The value is good all the same.
                match self.inner.store(&place, value, Some(seen)).await {
                    Ok(true) => {}
                    Ok(false) => {
                        debug!("a loaded value is not kept, as it was changed or invalidated meanwhile");
                    }
                    Err(error) => warn!(error = %error, "a loaded value could not be cached"),
                }
            }
            Ok(found)
        };
        find.await.map_err(|error| at("cache.get_or_load")(error).with_key(key))
    }

    /// What is cached, without loading; `None` too for what is known to be absent.
    pub async fn get(&self, key: &str) -> Result<Option<T>> {
        let get = async {
            match self.inner.look(&self.inner.partition(key)?).await?.known {
                Known::Value(value) => from_json(&value).map(Some),
                Known::Absent | Known::Nothing => Ok(None),
            }
        };
        get.await.map_err(|error| at("cache.get")(error).with_key(key))
    }

    /// Keeps a value, in place of what is there and of what is being loaded.
    ///
    /// # Errors
    /// `LimitExceeded` for a value of more than 399 KB.
    pub async fn put(&self, key: &str, value: &T) -> Result<()> {
        let put = async {
            let place = self.inner.partition(key)?;
            self.inner.store(&place, Some(to_json(value)?), None).await.map(drop)
        };
        put.await.map_err(|error| at("cache.put")(error).with_key(key))
    }

    /// Forgets a value, and sees to it that what is being loaded now is not kept. Call it after the change.
    pub async fn invalidate(&self, key: &str) -> Result<()> {
        let forget = async { self.inner.forget(&self.inner.partition(key)?).await };
        forget.await.map_err(|error| at("cache.invalidate")(error).with_key(key))
    }
}

impl Inner {
    fn partition(&self, key: &str) -> Result<String> {
        super::keyed("cache key", &self.base, key)
    }

    /// Who loads it holds this.
    fn load(&self, place: &str) -> Arc<Mutex<()>> {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = loads.get(place).and_then(Weak::upgrade) {
            return load;
        }
        loads.retain(|_, load| load.strong_count() > 0);
        let load = Arc::default();
        loads.insert(place.to_owned(), Arc::downgrade(&load));
        load
    }

    async fn look(&self, place: &str) -> Result<Look> {
        let found = get(&self.space, place, SORT, self.space.config.consistent_reads).await?;
        let Some(item) = found else { return Ok(Look { known: Known::Nothing, version: None }) };
        let fresh = number_of::<u64>(&item, UNTIL).is_some_and(|until| until > millis());
        let known = match text_of(&item, VALUE) {
            _ if !fresh => Known::Nothing,
            Some(value) => Known::Value(value.to_owned()),
            None => Known::Absent,
        };
        Ok(Look { known, version: text_of(&item, VERSION).map(str::to_owned) })
    }

    fn changed() -> Condition {
        Condition::default()
            .named("#v", VALUE)
            .named("#u", UNTIL)
            .named("#n", VERSION)
            .named("#x", EXPIRES)
            .valued(":n", text(format!("{:032x}", fastrand::u128(..))))
    }

    /// Keeps a value, or that there is none; only if there is still what was seen, where that is given. Whether it was
    /// kept.
    async fn store(&self, place: &str, value: Option<String>, seen: Option<Look>) -> Result<bool> {
        let ttl = match (&value, self.config.negative_ttl) {
            (None, Some(ttl)) => ttl,
            _ => self.config.ttl,
        };
        let ttl = ttl.mul_f64(1.0 - self.config.jitter * fastrand::f64()).max(Duration::from_millis(1));
        let mut condition =
            Self::changed().valued(":u", number(millis_after(ttl))).valued(":x", seconds(expiry(ttl)));
        condition = match seen.map(|seen| seen.version) {
            Some(Some(version)) => condition.with("#n = :seen").valued(":seen", text(version)),
            Some(None) => condition.with("attribute_not_exists(#n)"),
            None => condition,
        };
        let set = match value {
            Some(value) => {
                let size = value.len() + place.len() + OVERHEAD;
                store_core::check::within("cached value", place, size, MAX_ITEM_BYTES)?;
                condition = condition.valued(":v", text(value));
                "SET #v = :v, #u = :u, #n = :n, #x = :x"
            }
            None => "SET #u = :u, #n = :n, #x = :x REMOVE #v",
        };
        Ok(change(&self.space, place, SORT, set, condition).await?.is_ok())
    }

    async fn forget(&self, place: &str) -> Result<()> {
        // What is loaded now saw another version, or none.
        let condition = Self::changed().valued(":x", seconds(expiry(INVALIDATED)));
        change(&self.space, place, SORT, "SET #n = :n, #x = :x REMOVE #v, #u", condition).await.map(drop)
    }
}
