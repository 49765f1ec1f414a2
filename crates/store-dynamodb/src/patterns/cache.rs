//! Caches.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::cache::{CacheCounters, CacheStats};
use store_core::kit::epoch::millis;
use store_core::kit::own_types::{from_json, to_json};
use store_core::{Error, ErrorKind, Result};
use tokio::sync::watch;
use tracing::warn;

use super::{change, get, millis_after, number, number_of, text, text_of};
use crate::DynamoDbBackend;
use crate::codec::MAX_ITEM_BYTES;
use crate::error::{NAME, at};
use crate::kv_layout::{expiry, seconds};
use crate::schema::EXPIRES;
use crate::space::Space;
use crate::transaction::Condition;

const LOAD: &str = "cache.get_or_load";
const VALUE: &str = "_value";
const UNTIL: &str = "_until";
const STALE: &str = "_stale";
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
    /// How long after that a value is still answered while it is loaded anew in the background; default zero.
    pub stale: Duration,
    /// How long it is remembered that the loader found nothing; default `None`: it is not.
    pub negative_ttl: Option<Duration>,
    /// Whether the loader is asked directly when the service is not reached or does not answer, by each caller for
    /// itself; default `false`: the error is answered.
    pub bypass: bool,
}

impl CacheConfig {
    /// Values that are fresh for so long.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, jitter: 0.1, stale: Duration::ZERO, negative_ttl: None, bypass: false }
    }

    /// Sets the part of the time to live that chance takes off at most.
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets how long a value is answered after its time, while it is loaded anew.
    #[must_use]
    pub fn with_stale(mut self, stale: Duration) -> Self {
        self.stale = stale;
        self
    }

    /// Sets how long it is remembered that there is nothing.
    #[must_use]
    pub fn with_negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    /// Says whether the loader is asked directly when the service can not be.
    #[must_use]
    pub fn with_bypass(mut self, bypass: bool) -> Self {
        self.bypass = bypass;
        self
    }

    fn check(&self) -> Result<()> {
        super::time("time to live", self.ttl)?;
        if let Some(ttl) = self.negative_ttl {
            super::time("time to live of what is absent", ttl)?;
        }
        if !self.stale.is_zero() {
            super::time("time in which a value may be stale", self.stale)?;
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
/// however slow the loader was, and with consistent reads no call that begins after it is answered with it.
///
/// **What it does not.** Several processes that miss a value each load it. Reads are as the store's
/// (`store.consistent_reads`): without it a reader may be answered for a moment what was invalidated. A value takes
/// 399 KB at most.
///
/// **When the loader fails**, its callers get the error, all that waited for it too, and nothing is kept. While a stale
/// value is there, that is answered instead, and the failure is logged.
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
/// let config = CacheConfig::new(Duration::from_mins(5)).with_stale(Duration::from_mins(1));
/// let profiles: DynamoDbCache<Profile> = DynamoDbCache::new(&store, "profiles", config)?;
/// let profile = profiles.get_or_load("7", || async { from_the_database("7").await }).await?;
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
    flights: Mutex<Flights>,
    counters: CacheCounters,
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

/// What is known of a value, or of what is known to be absent.
enum Known {
    Fresh(Option<String>),
    /// Its time is over, and it may be answered while it is loaded anew.
    Stale(Option<String>),
    /// It is to be loaded.
    Nothing,
}

/// What is stored.
struct Look {
    known: Known,
    /// What tells it from what is written later; `None` when nothing was ever written.
    version: Option<String>,
}

/// What came of a load: a value as JSON, or that there is none; or why that is not known.
type Landed = Option<Result<Option<Arc<str>>, Arc<Error>>>;
/// A value, and what was stored of it when it was found to be missing: who saw another state waits for another load.
type Seen = (String, Option<String>);
/// The loads under way in this process.
type Flights = HashMap<Seen, watch::Receiver<Landed>>;

impl<T: Serialize + DeserializeOwned> DynamoDbCache<T> {
    /// The cache of this name. Nothing is sent yet. Clones share loads and counters; so keep one.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (512 bytes), and for times that can not be.
    pub fn new(backend: &DynamoDbBackend, name: &str, config: CacheConfig) -> Result<Self> {
        let base = config.check().and_then(|()| super::partition("cache", name)).map_err(at("cache"))?;
        let (flights, counters) = (Mutex::default(), CacheCounters::default());
        let inner = Inner { space: Arc::clone(&backend.space), base, config, flights, counters };
        Ok(Self { inner: Arc::new(inner), value: PhantomData })
    }

    /// The cached value, or what the loader finds; `None` if that finds nothing.
    ///
    /// The loader runs in a task of its own: when the caller goes away it goes on, for those who wait for it.
    ///
    /// # Errors
    /// The loader's, of its kind. `InvalidInput` for an empty key or one over 1,024 bytes (hash longer ones), `Corrupt`
    /// for a cached value of another type, and what the service says, unless [`CacheConfig::bypass`] is set.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn get_or_load<F, L>(&self, key: &str, loader: F) -> Result<Option<T>>
    where
        F: FnOnce() -> L + Send,
        L: Future<Output = Result<Option<T>>> + Send + 'static,
    {
        let found = self.find(key, loader).await;
        found.map_err(|error| error.with_backend(NAME).with_operation(LOAD).with_key(key))
    }

    async fn find<F, L>(&self, key: &str, loader: F) -> Result<Option<T>>
    where
        F: FnOnce() -> L + Send,
        L: Future<Output = Result<Option<T>>> + Send + 'static,
    {
        let place = self.inner.partition(key)?;
        let counters = &self.inner.counters;
        let look = match self.inner.look(&place).await {
            Err(error) if self.inner.config.bypass && unreachable(&error) => {
                warn!(error = %error, "a cache can not be reached; its loader is asked");
                counters.bypassed.count();
                return loader().await;
            }
            look => look?,
        };
        let seen = (place, look.version);
        match look.known {
            Known::Fresh(value) => {
                counters.hits.count();
                decode(value.as_deref())
            }
            Known::Stale(value) => {
                counters.stale.count();
                drop(self.board(seen, loader));
                decode(value.as_deref())
            }
            Known::Nothing => {
                let (mut flight, ours) = self.board(seen, loader);
                let counter = if ours { &counters.misses } else { &counters.coalesced };
                counter.count();
                let landed = flight.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone());
                match landed {
                    Some(Ok(value)) => decode(value.as_deref()),
                    Some(Err(error)) => {
                        let message = format!("the loader failed: {}", error.message());
                        Err(Error::new(error.kind(), message).with_source(error))
                    }
                    None => {
                        Err(Error::new(ErrorKind::Other, "the loader panicked, or its runtime was shut down"))
                    }
                }
            }
        }
    }

    /// The load of what was seen, which begins if nobody loads it; and whether it begins.
    fn board<F, L>(&self, seen: Seen, loader: F) -> (watch::Receiver<Landed>, bool)
    where
        F: FnOnce() -> L + Send,
        L: Future<Output = Result<Option<T>>> + Send + 'static,
    {
        let (sender, receiver) = watch::channel(None);
        {
            let mut flights = self.inner.flights();
            if let Some(flight) = flights.get(&seen) {
                return (flight.clone(), false);
            }
            flights.insert(seen.clone(), receiver.clone());
        }
        let flight = Flight { inner: Arc::clone(&self.inner), seen };
        let loading = loader();
        // Ends with the loader; whoever waits has the receiver.
        tokio::spawn(async move {
            let landed = flight.fly(loading).await;
            sender.send_replace(Some(landed));
        });
        (receiver, true)
    }

    /// What the cache did so far, in this process.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.inner.counters.stats()
    }

    /// What is cached, fresh or stale, without loading; `None` too for what is known to be absent.
    pub async fn get(&self, key: &str) -> Result<Option<T>> {
        let get = async {
            match self.inner.look(&self.inner.partition(key)?).await?.known {
                Known::Fresh(value) | Known::Stale(value) => decode(value.as_deref()),
                Known::Nothing => Ok(None),
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
            self.inner.store(&place, Some(&to_json(value)?), None).await.map(drop)
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

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(&self, place: &str) -> Result<Look> {
        let found = get(&self.space, place, SORT, self.space.config.consistent_reads).await?;
        let Some(item) = found else { return Ok(Look { known: Known::Nothing, version: None }) };
        let (now, until) = (millis(), |name| number_of::<u64>(&item, name).unwrap_or_default());
        let value = text_of(&item, VALUE).map(str::to_owned);
        let known = if until(UNTIL) > now {
            Known::Fresh(value)
        } else if until(STALE) > now {
            Known::Stale(value)
        } else {
            Known::Nothing
        };
        Ok(Look { known, version: text_of(&item, VERSION).map(str::to_owned) })
    }

    fn changed(version: &str) -> Condition {
        Condition::default()
            .named("#v", VALUE)
            .named("#u", UNTIL)
            .named("#s", STALE)
            .named("#n", VERSION)
            .named("#x", EXPIRES)
            .valued(":n", text(version))
    }

    /// Keeps a value, or that there is none; only if there is still what was seen, where that is given. Whether it was
    /// kept.
    async fn store(&self, place: &str, value: Option<&str>, seen: Option<Look>) -> Result<bool> {
        let ttl = match (value, self.config.negative_ttl) {
            (None, Some(ttl)) => ttl,
            _ => self.config.ttl,
        };
        let ttl = ttl.mul_f64(1.0 - self.config.jitter * fastrand::f64()).max(Duration::from_millis(1));
        let dead = ttl.saturating_add(self.config.stale).min(super::MAX_TIME);
        let version = version();
        let mut condition = Self::changed(&version)
            .valued(":u", number(millis_after(ttl)))
            .valued(":s", number(millis_after(dead)))
            .valued(":x", seconds(expiry(dead)));
        condition = match seen.map(|seen| seen.version) {
            Some(Some(version)) => condition.with("#n = :seen").valued(":seen", text(version)),
            Some(None) => condition.with("attribute_not_exists(#n)"),
            None => condition,
        };
        let set = match value {
            Some(value) => {
                let size = value.len() + place.len() + OVERHEAD;
                store_core::kit::check::within("cached value", place, size, MAX_ITEM_BYTES)?;
                condition = condition.valued(":v", text(value));
                "SET #v = :v, #u = :u, #s = :s, #n = :n, #x = :x"
            }
            None => "SET #u = :u, #s = :s, #n = :n, #x = :x REMOVE #v",
        };
        Ok(match change(&self.space, place, SORT, set, condition).await? {
            Ok(_) => true,
            // A request whose answer was lost had kept it.
            Err(met) => met.is_some_and(|met| text_of(&met, VERSION) == Some(version.as_str())),
        })
    }

    async fn forget(&self, place: &str) -> Result<()> {
        // What is loaded now saw another version, or none.
        let condition = Self::changed(&version()).valued(":x", seconds(expiry(INVALIDATED)));
        change(&self.space, place, SORT, "SET #n = :n, #x = :x REMOVE #v, #u, #s", condition).await.map(drop)
    }
}

/// What tells one state of an item from all others.
fn version() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// A load under way, known to all of the process until it ends, by a panic of the loader too.
struct Flight {
    inner: Arc<Inner>,
    seen: Seen,
}

impl Flight {
    async fn fly<T: Serialize>(
        self,
        loading: impl Future<Output = Result<Option<T>>>,
    ) -> Result<Option<Arc<str>>, Arc<Error>> {
        let (counters, place) = (&self.inner.counters, self.seen.0.as_str());
        // Another may have loaded it since it was seen; and what is written from now on is newer than what is loaded.
        let look = match self.inner.look(place).await {
            Ok(Look { known: Known::Fresh(value), .. }) => return Ok(value.map(Into::into)),
            Ok(look) => Some(look),
            Err(error) if self.inner.config.bypass && unreachable(&error) => None,
            Err(error) => return Err(Arc::new(error)),
        };
        counters.loads.count();
        let loaded = loading.await.and_then(|value| value.as_ref().map(to_json).transpose());
        let value = loaded.map_err(|error| {
            counters.failures.count();
            warn!(error = %error, "a cache's loader failed");
            Arc::new(error)
        })?;
        let keep = value.is_some() || self.inner.config.negative_ttl.is_some();
        if let Some(look) = look.filter(|_| keep) {
            match self.inner.store(place, value.as_deref(), Some(look)).await {
                Ok(true) => {}
                Ok(false) => counters.discarded.count(),
                // The value is good all the same.
                Err(error) => warn!(error = %error, "a loaded value could not be cached"),
            }
        }
        Ok(value.map(Into::into))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.inner.flights().remove(&self.seen);
    }
}

fn decode<T: DeserializeOwned>(value: Option<&str>) -> Result<Option<T>> {
    value.map(|json| from_json(json.as_bytes())).transpose()
}

/// Whether an error says that the cache can not be asked at all.
fn unreachable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Throttled)
}
