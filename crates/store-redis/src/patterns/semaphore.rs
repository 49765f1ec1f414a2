//! Semaphores.

use std::sync::Arc;
use std::time::Duration;

use store_core::kit::lease::{Lease, LeaseHeld, LeaseTerms};
use store_core::{Error, Result};

use super::lease::{PAUSES, Place, Scripts};
use crate::RedisBackend;
use crate::error::{NAME, at};
use crate::script::Script;

/// The most permits of a semaphore.
const MOST_PERMITS: u32 = 1_000_000;

// A sorted set of tokens, each with the time at which its lease ends. The set lives as long as its longest lease.
static SCRIPTS: Scripts = Scripts {
    acquire: Script::new(
        "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then
  return {0, redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] - now}
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return {1, redis.call('ZCARD', KEYS[1])}",
    ),
    renew: Script::new(
        "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) <= now then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1",
    ),
    release: Script::new(
        "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
if ends and tonumber(ends) > now then return 1 end
return 0",
    ),
};

/// How a [`RedisSemaphore`] is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemaphoreConfig {
    /// How many may hold a permit at a time, 1 to 1,000,000. All users of a semaphore should say the same.
    pub permits: u32,
    /// After what time the permit of a holder that is gone is free again; default 30 s.
    pub lease: Duration,
    /// Whether the lease is renewed, three times in each lease, while the permit is held; default `true`.
    pub renew: bool,
}

impl SemaphoreConfig {
    /// So many permits.
    #[must_use]
    pub fn new(permits: u32) -> Self {
        Self { permits, lease: Duration::from_secs(30), renew: true }
    }

    /// Sets the lease.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Says whether the lease is renewed.
    #[must_use]
    pub fn with_renewal(mut self, renew: bool) -> Self {
        self.renew = renew;
        self
    }
}

/// So many permits across processes, by the semaphore's name.
///
/// No more than the permits are out at a time, by the server's clock; a holder that dies frees its permit with the end
/// of its lease. As with a [`RedisLock`](crate::RedisLock), a holder that is stopped for longer than its lease may go on
/// without a permit, and a failover may lose some: it bounds load, and is no proof. There is no queue. Taking and
/// giving back are one round trip each. The key `semaphore:{NAME}` ends with its longest lease.
///
/// ```no_run
/// # use std::time::Duration;
/// # use store_redis::{RedisBackend, RedisConfig, RedisSemaphore, SemaphoreConfig};
/// # async fn example() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let embedders = RedisSemaphore::new(&store, "embedders", SemaphoreConfig::new(4))?;
/// let permit = embedders.acquire(Duration::from_secs(10)).await?;
/// // At most four do this at a time.
/// permit.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisSemaphore {
    lease: Lease,
}

impl RedisSemaphore {
    /// The semaphore of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (1,024 bytes), no permits or too many, a lease under a millisecond.
    pub fn new(backend: &RedisBackend, name: impl Into<String>, config: SemaphoreConfig) -> Result<Self> {
        let (name, space) = (name.into(), Arc::clone(backend.space()));
        let prepare = || {
            if !(1..=MOST_PERMITS).contains(&config.permits) {
                return Err(Error::invalid_input(format!(
                    "{} permits are asked for; a semaphore has 1 to {MOST_PERMITS}",
                    config.permits
                )));
            }
            let lease_ms = super::millis("lease", config.lease)?;
            Ok((lease_ms, super::key(&space, "semaphore", &name)?))
        };
        let (lease_ms, key) = prepare().map_err(at("semaphore"))?;
        let place =
            Place { keys: vec![key], scripts: &SCRIPTS, lease_ms, limit: i64::from(config.permits), space };
        let SemaphoreConfig { lease, renew, .. } = config;
        let terms = LeaseTerms { backend: NAME, what: "permit", name, lease, renew, pauses: PAUSES };
        Ok(Self { lease: Lease::new(place, terms) })
    }

    /// Takes a permit if one is free. Dropped before its end it leaves none behind, as with
    /// [`RedisLock::try_acquire`](crate::RedisLock::try_acquire).
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn try_acquire(&self) -> Result<Option<RedisPermit>> {
        Ok(self.lease.try_acquire().await?.map(RedisPermit))
    }

    /// Takes a permit, and waits so long while none is free or the server can not be reached.
    ///
    /// # Errors
    /// `Timeout` when none was free all the time; else the last error of the server or the connection.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn acquire(&self, patience: Duration) -> Result<RedisPermit> {
        self.lease.acquire(patience).await.map(RedisPermit)
    }
}

/// A permit that is held. Dropped, it is given back in the background; [`release`](Self::release) waits for it.
#[derive(Debug)]
#[must_use = "the permit is given back when it is dropped"]
pub struct RedisPermit(LeaseHeld);

impl RedisPermit {
    /// Whether the permit was lost, as far as is known here.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.0.is_lost()
    }

    /// Waits until the permit is lost, if ever.
    pub async fn lost(&self) {
        self.0.lost().await;
    }

    /// Ends the renewal, then gives the permit back; `false` if it had been lost.
    ///
    /// # Errors
    /// When the server can not be reached: it is tried again in the background, and the lease ends.
    pub async fn release(self) -> Result<bool> {
        self.0.release().await
    }
}
