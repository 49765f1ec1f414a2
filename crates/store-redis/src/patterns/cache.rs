//! Caches.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::cache::{CacheCounters, CacheStats};
use store_core::{Error, ErrorKind, Result};
use tokio::sync::watch;
use tracing::warn;

use crate::RedisBackend;
use crate::driver::{Cmd, bytes, integer, items, unexpected};
use crate::error::at;
use crate::script::Script;
use crate::space::Space;

const LOAD: &str = "cache.get_or_load";
/// The first and the longest wait before a value that another process loads is looked for again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// What a stored value begins with: JSON follows, or nothing is known to be there.
const PRESENT: u8 = b'+';
const ABSENT: u8 = b'-';

// A cached value is a hash: `v` the value, `f` until when it is fresh, `d` until when it may be used; `l` the token of
// who loads it, `e` until when that is believed. Times are the server's, in milliseconds. Removing the key takes the
// token away, and with it the right to write what was loaded before.

/// Answers whether there is a value (0 no, 1 fresh, 2 stale), the value, whether the caller is to load it, who else
/// does, and how long that is believed.
static LOOK: Script = Script::new(
    "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local is = redis.call('HMGET', KEYS[1], 'v', 'f', 'd', 'l', 'e')
local state = 0
if is[1] and tonumber(is[3]) > now then
  state = 2
  if tonumber(is[2]) > now then return {1, is[1], 0, '', 0} end
end
local value = ''
if state == 2 then value = is[1] end
if is[4] and tonumber(is[5]) > now then return {state, value, 0, is[4], is[5] - now} end
if ARGV[1] == '' then return {state, value, 0, '', 0} end
redis.call('HSET', KEYS[1], 'l', ARGV[1], 'e', string.format('%.0f', now + ARGV[2]))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return {state, value, 1, ARGV[1], 0}",
);

/// Writes a value: with a token, only if that still may.
static STORE: Script = Script::new(
    "if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'l') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'f', string.format('%.0f', now + ARGV[3]),
  'd', string.format('%.0f', now + ARGV[4]))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1",
);

/// Lets others load.
static GIVE_UP: Script = Script::new(
    "if redis.call('HGET', KEYS[1], 'l') ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], 'l', 'e')",
);

/// How a [`RedisCache`] keeps values.
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
    /// How long others wait for a process that loads before one of them loads itself; default 10 s. Take more than a
    /// load needs.
    pub lease: Duration,
    /// Whether the loader is asked directly when the server is not reached or does not answer, by each caller for
    /// itself; default `false`: the error is answered.
    pub bypass: bool,
}

impl CacheConfig {
    /// Values that are fresh for so long.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            jitter: 0.1,
            stale: Duration::ZERO,
            negative_ttl: None,
            lease: Duration::from_secs(10),
            bypass: false,
        }
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

    /// Sets how long others wait for a process that loads.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Says whether the loader is asked directly when the server can not be.
    #[must_use]
    pub fn with_bypass(mut self, bypass: bool) -> Self {
        self.bypass = bypass;
        self
    }

    fn check(&self) -> Result<()> {
        super::millis("time to live", self.ttl)?;
        super::millis("lease", self.lease)?;
        if let Some(ttl) = self.negative_ttl {
            super::millis("time to live of what is absent", ttl)?;
        }
        if !self.stale.is_zero() {
            super::millis("time in which a value may be stale", self.stale)?;
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(Error::invalid_input(format!("the jitter is {}; it is 0 to 1", self.jitter)));
        }
        Ok(())
    }
}

/// What came of a load: a value as it is stored, or why there is none.
type Landed = Option<Result<Bytes, Arc<Error>>>;
/// The loads under way in this process, by their tokens.
type Flights = Mutex<HashMap<Bytes, watch::Receiver<Landed>>>;

/// A cache in front of what is slow or dear: values of a type of yours, as JSON.
///
/// **What it guarantees.** Of callers that miss the same value at the same time, in this process and in others, one
/// loads it and the others wait for that; if the process that loads dies, another takes over after the lease. What was
/// loaded before an [`invalidate`](Self::invalidate) is not kept after it, however slow the loader was, and no call
/// that begins after it is answered with it. Every key expires.
///
/// **What it does not.** A loader that takes longer than the lease may run twice. A loader that reads something that is
/// itself behind (a replica) may cache that. A failover that loses the last writes may bring an invalidated value back,
/// until its time ends.
///
/// **When the loader fails**, its callers get the error, all that waited for it in this process too, and nothing is
/// kept; callers that wait in other processes load for themselves, one after the other. While a stale value is there,
/// that is answered instead, and the failure is logged.
///
/// ```no_run
/// # use std::time::Duration;
/// # use serde::{Deserialize, Serialize};
/// # use store_redis::{CacheConfig, RedisBackend, RedisCache, RedisConfig};
/// #[derive(Serialize, Deserialize)]
/// struct Profile {
///     name: String,
/// }
/// # async fn from_the_database(id: &str) -> store_core::Result<Option<Profile>> { Ok(None) }
///
/// # async fn example() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let config = CacheConfig::new(Duration::from_mins(5)).with_stale(Duration::from_mins(1));
/// let profiles: RedisCache<Profile> = RedisCache::new(&store, "profiles", config)?;
/// let profile = profiles.get_or_load("7", || async { from_the_database("7").await }).await?;
/// // After the database was changed:
/// profiles.invalidate("7").await?;
/// # Ok(())
/// # }
/// ```
pub struct RedisCache<T> {
    inner: Arc<Inner>,
    value: PhantomData<fn() -> T>,
}

struct Inner {
    space: Arc<Space>,
    base: String,
    config: CacheConfig,
    /// What this cache's tokens begin with, and the number of the next.
    tokens: (String, AtomicU64),
    flights: Flights,
    counters: CacheCounters,
}

impl<T> Clone for RedisCache<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), value: PhantomData }
    }
}

impl<T> fmt::Debug for RedisCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache").field("keys", &self.inner.base).finish_non_exhaustive()
    }
}

/// What the server has.
struct Look {
    fresh: bool,
    value: Option<Bytes>,
    /// Whether we are to load.
    ours: bool,
    /// Who loads, and for how long that is believed.
    loader: Bytes,
    wait: Duration,
}

impl<T: Serialize + DeserializeOwned> RedisCache<T> {
    /// The cache of this name. Nothing is sent yet. Clones share loads and counters; so keep one.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (1,024 bytes), and for times that can not be.
    pub fn new(backend: &RedisBackend, name: &str, config: CacheConfig) -> Result<Self> {
        let space = Arc::clone(backend.space());
        config.check().and_then(|()| super::name("cache", name)).map_err(at("cache"))?;
        let inner = Inner {
            base: format!("{}cache:{}", space.prefix, super::escaped(name)),
            config,
            tokens: (uuid::Uuid::new_v4().simple().to_string(), AtomicU64::new(0)),
            flights: Flights::default(),
            counters: CacheCounters::default(),
            space,
        };
        Ok(Self { inner: Arc::new(inner), value: PhantomData })
    }

    /// The cached value, or what the loader finds; `None` if that finds nothing.
    ///
    /// The loader runs in a task of its own: when the caller goes away it goes on, for those who wait for it.
    ///
    /// # Errors
    /// The loader's, of its kind. `InvalidInput` for an empty key or one over 1,024 bytes (hash longer ones), `Corrupt`
    /// for a cached value of another type, and what the server says, unless [`CacheConfig::bypass`] is set.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn get_or_load<F, L>(&self, key: &str, loader: F) -> Result<Option<T>>
    where
        F: FnOnce() -> L + Send,
        L: Future<Output = Result<Option<T>>> + Send + 'static,
    {
        let found = self.find(key, loader).await;
        found.map_err(|error| error.with_backend(crate::error::NAME).with_operation(LOAD).with_key(key))
    }

    async fn find<F, L>(&self, key: &str, loader: F) -> Result<Option<T>>
    where
        F: FnOnce() -> L + Send,
        L: Future<Output = Result<Option<T>>> + Send + 'static,
    {
        let place = self.inner.key(key)?;
        let counters = &self.inner.counters;
        let token = self.inner.token();
        let (mut backoff, mut waited) = (BACKOFF.0, false);
        loop {
            // Dropped before the answer, the token is given back.
            let mut flight = Flight::new(&self.inner, &place, &token);
            let looked = self.inner.look(&place, &token).await;
            flight.open = looked.as_ref().map_or(true, |look| look.ours);
            let look = match looked {
                Ok(look) => look,
                Err(error) if self.inner.config.bypass && unreachable(&error) => {
                    warn!(error = %error, "a cache can not be reached; its loader is asked");
                    counters.bypassed.count();
                    return loader().await;
                }
                Err(error) => return Err(error),
            };
            if let Some(value) = look.value {
                match (look.fresh, waited) {
                    (true, true) => counters.coalesced.count(),
                    (true, false) => counters.hits.count(),
                    (false, _) => counters.stale.count(),
                }
                if look.ours {
                    drop(self.take_off(flight, loader()));
                }
                return decode(&value);
            }
            if look.ours {
                counters.misses.count();
                return land(self.take_off(flight, loader())).await;
            }
            let other = self.inner.flights().get(&look.loader).cloned();
            if let Some(other) = other {
                counters.coalesced.count();
                return land(other).await;
            }
            waited = true;
            let pause = backoff.mul_f64(0.5 + 0.5 * fastrand::f64());
            tokio::time::sleep(pause.min(look.wait.saturating_add(Duration::from_millis(1)))).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    /// Begins to load, under a token that the server knows.
    fn take_off<L>(&self, mut flight: Flight, loading: L) -> watch::Receiver<Landed>
    where
        L: Future<Output = Result<Option<T>>> + Send + 'static,
    {
        self.inner.counters.loads.count();
        let (sender, receiver) = watch::channel(None);
        self.inner.flights().insert(flight.token.clone(), receiver.clone());
        // Ends with the loader; whoever waits has the receiver.
        tokio::spawn(async move {
            let landed = flight.fly(loading).await;
            sender.send_replace(Some(landed));
        });
        receiver
    }

    /// What is cached, fresh or stale, without loading; `None` too for what is known to be absent.
    pub async fn get(&self, key: &str) -> Result<Option<T>> {
        let get = async {
            let look = self.inner.look(&self.inner.key(key)?, &Bytes::new()).await?;
            look.value.map_or(Ok(None), |value| decode(&value))
        };
        get.await.map_err(|error| at("cache.get")(error).with_key(key))
    }

    /// Keeps a value, in place of what is there and of what is being loaded.
    pub async fn put(&self, key: &str, value: &T) -> Result<()> {
        let put = async {
            let place = self.inner.key(key)?;
            self.inner.store(&place, &Bytes::new(), &encode(key, Some(value))?).await.map(|_| ())
        };
        put.await.map_err(|error| at("cache.put")(error).with_key(key))
    }

    /// Forgets a value, and sees to it that what is being loaded now is not kept. Call it after the change.
    pub async fn invalidate(&self, key: &str) -> Result<()> {
        let remove = async {
            let place = self.inner.key(key)?;
            self.inner.space.call(Cmd::write("UNLINK", place)).await.map(|_| ())
        };
        remove.await.map_err(|error| at("cache.invalidate")(error).with_key(key))
    }

    /// What the cache did so far, in this process.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.inner.counters.stats()
    }
}

impl Inner {
    fn key(&self, key: &str) -> Result<String> {
        super::name("cache key", key)?;
        Ok(format!("{}:{key}", self.base))
    }

    fn token(&self) -> Bytes {
        let (process, next) = &self.tokens;
        Bytes::from(format!("{process}-{}", next.fetch_add(1, Ordering::Relaxed)))
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Bytes, watch::Receiver<Landed>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(&self, place: &str, token: &Bytes) -> Result<Look> {
        let args: [Value; 2] = [token.clone().into(), super::millis("lease", self.config.lease)?.into()];
        let answer = self.space.script(&LOOK, [place], args).await?;
        let mut parts = items(answer).into_iter();
        let mut next = || parts.next().unwrap_or(Value::Null);
        let (state, value, ours, loader, wait) = (next(), next(), next(), next(), next());
        let (Some(state), Some(ours), Some(loader), Some(wait)) =
            (integer(&state), integer(&ours), bytes(loader), integer(&wait))
        else {
            return Err(unexpected("EVALSHA", &Value::Null));
        };
        let value = if state == 0 { None } else { bytes(value) };
        let wait = Duration::from_millis(u64::try_from(wait).unwrap_or_default());
        Ok(Look { fresh: state == 1, value, ours: ours == 1, loader, wait })
    }

    /// Whether it was kept.
    async fn store(&self, place: &str, token: &Bytes, value: &Bytes) -> Result<bool> {
        let config = &self.config;
        let ttl = match config.negative_ttl {
            Some(ttl) if value.first() == Some(&ABSENT) => ttl,
            _ => config.ttl,
        };
        let fresh = ttl.mul_f64(1.0 - config.jitter * fastrand::f64()).max(Duration::from_millis(1));
        let fresh_ms = super::millis("time to live", fresh)?;
        let dead_ms = super::millis("time to live", fresh.saturating_add(config.stale).min(super::MAX_TIME))?;
        let args: [Value; 4] = [token.clone().into(), value.clone().into(), fresh_ms.into(), dead_ms.into()];
        Ok(integer(&self.space.script(&STORE, [place], args).await?) == Some(1))
    }
}

/// A load under way, or asked for. Ended early, by a panic of the loader or a caller that goes away, it gives its token
/// back.
struct Flight {
    inner: Arc<Inner>,
    place: String,
    token: Bytes,
    open: bool,
}

impl Flight {
    fn new(inner: &Arc<Inner>, place: &str, token: &Bytes) -> Self {
        Self { inner: Arc::clone(inner), place: place.to_owned(), token: token.clone(), open: true }
    }

    async fn fly<T: Serialize>(
        &mut self,
        loading: impl Future<Output = Result<Option<T>>>,
    ) -> Result<Bytes, Arc<Error>> {
        let counters = &self.inner.counters;
        let loaded = loading.await.and_then(|value| encode(&self.place, value.as_ref()));
        let value = match loaded {
            Ok(value) => value,
            Err(error) => {
                counters.failures.count();
                warn!(error = %error, "a cache's loader failed");
                self.give_up().await;
                return Err(Arc::new(error));
            }
        };
        if value.first() == Some(&ABSENT) && self.inner.config.negative_ttl.is_none() {
            self.give_up().await;
            return Ok(value);
        }
        match self.inner.store(&self.place, &self.token, &value).await {
            Ok(true) => {}
            Ok(false) => counters.discarded.count(),
            // The value is good all the same; the lease ends by itself.
            Err(error) => warn!(error = %error, "a loaded value could not be cached"),
        }
        self.open = false;
        Ok(value)
    }

    async fn give_up(&mut self) {
        self.open = false;
        let place = self.place.as_str();
        if let Err(error) = self.inner.space.script(&GIVE_UP, [place], [self.token.clone()]).await {
            warn!(error = %error, "others wait until the lease of a failed load ends");
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.inner.flights().remove(&self.token);
        if !self.open {
            return;
        }
        let (inner, place, token) = (Arc::clone(&self.inner), self.place.clone(), self.token.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Ends after a few calls: what was asked for may still be on its way, on another connection.
            runtime.spawn(async move {
                let mut pause = BACKOFF.0;
                while pause < inner.config.lease {
                    let given = inner.space.script(&GIVE_UP, [place.as_str()], [token.clone()]).await;
                    if given.is_ok_and(|given| integer(&given).is_some_and(|removed| removed > 0)) {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    pause *= 4;
                }
            });
        }
    }
}

async fn land<T: DeserializeOwned>(mut flight: watch::Receiver<Landed>) -> Result<Option<T>> {
    let landed = flight.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone());
    match landed {
        Some(Ok(value)) => decode(&value),
        Some(Err(error)) => {
            Err(Error::new(error.kind(), format!("the loader failed: {}", error.message()))
                .with_source(error))
        }
        None => Err(Error::new(ErrorKind::Other, "the loader panicked, or its runtime was shut down")),
    }
}

/// Whether an error says that the cache can not be asked at all.
fn unreachable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Throttled)
}

fn encode<T: Serialize>(key: &str, value: Option<&T>) -> Result<Bytes> {
    let Some(value) = value else { return Ok(Bytes::from_static(&[ABSENT])) };
    let mut json = vec![PRESENT];
    json.append(&mut super::to_json(key, value)?);
    Ok(Bytes::from(json))
}

fn decode<T: DeserializeOwned>(value: &Bytes) -> Result<Option<T>> {
    match value.split_first() {
        Some((&PRESENT, json)) => super::from_json("", json).map(Some),
        Some((&ABSENT, [])) => Ok(None),
        _ => Err(Error::corrupt("what is cached was not written by this cache; invalidate the key")),
    }
}
