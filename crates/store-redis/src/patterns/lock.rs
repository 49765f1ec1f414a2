//! Locks.

use std::sync::Arc;
use std::time::Duration;

use store_core::Result;
use store_core::kit::lease::{Lease, LeaseTerms, LockGuard};

use super::lease::{PAUSES, Place, Scripts};
use crate::RedisBackend;
use crate::error::{NAME, at};
use crate::script::Script;

/// How long the last fencing number is kept, in milliseconds, beyond the last lease: a clock that is set back by less
/// does not bring an old number again.
const FENCE_KEPT_MS: i64 = 7 * 86_400_000;

static SCRIPTS: Scripts = Scripts {
    // The counter is the server's microseconds at least: lost, it still does not begin anew.
    acquire: Script::new(
        "local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[1])} end
local time = redis.call('TIME')
local fence = tonumber(redis.call('GET', KEYS[2]) or 0)
fence = math.max(fence + 1, time[1] * 1000000 + time[2])
redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', ARGV[3])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, fence}",
    ),
    renew: Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])",
    ),
    release: Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])",
    ),
};

/// How a [`RedisLock`] is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockConfig {
    /// After what time the lock of a holder that is gone is free again; default 30 s.
    pub lease: Duration,
    /// Whether the lease is renewed, three times in each lease, while the lock is held; default `true`.
    pub renew: bool,
}

impl Default for LockConfig {
    fn default() -> Self {
        Self { lease: Duration::from_secs(30), renew: true }
    }
}

impl LockConfig {
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

/// A lock across processes, by its name.
///
/// **What it guarantees.** While a holder's lease runs nobody else gets the lock, and only its holder renews or releases
/// it (each has a random token). A holder that dies frees it with the end of its lease. Each holder has a *fencing
/// number* greater than that of all before it, also when a failover lost the counter: it is at least the server's clock
/// in microseconds, so the clocks of a server and its replicas may not differ by more than the failover takes.
///
/// **What it does not.** A holder that is stopped for longer than its lease does not know that it lost the lock, and
/// after a failover that lost the lock's key two may think they have it. So on its own it saves work that need not be
/// done twice, and does not make that impossible: what must not be, give the [fencing number](LockGuard::fence) to
/// the store that is written to, and let that refuse a smaller one than it has seen. There is no queue: whoever asks
/// first after a release gets it, those who wait ask again after 5 to 250 ms, in part by chance.
///
/// Taking and releasing are one round trip each. The keys `lock:{NAME}` and, with the last fencing number for a week,
/// `lock:{NAME}:fence` expire.
///
/// ```no_run
/// # use std::time::Duration;
/// # use store_redis::{LockConfig, RedisBackend, RedisConfig, RedisLock};
/// # async fn write(fence: u64) {}
/// # async fn example() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let lock = RedisLock::new(&store, "reindex", LockConfig::default())?;
/// let guard = lock.acquire(Duration::from_secs(60)).await?;
/// tokio::select! {
///     () = write(guard.fence()) => {}
///     () = guard.lost() => { /* another may have it: stop */ }
/// }
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisLock {
    lease: Lease,
}

impl RedisLock {
    /// The lock of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (1,024 bytes), or a lease under a millisecond.
    pub fn new(backend: &RedisBackend, name: impl Into<String>, config: LockConfig) -> Result<Self> {
        let (name, space) = (name.into(), Arc::clone(backend.space()));
        let prepare = || {
            let lease_ms = super::millis("lease", config.lease)?;
            let key = super::key(&space, "lock", &name)?;
            Ok((lease_ms, key))
        };
        let (lease_ms, key) = prepare().map_err(at("lock"))?;
        let place = Place {
            keys: vec![key.clone(), format!("{key}:fence")],
            scripts: &SCRIPTS,
            lease_ms,
            limit: lease_ms.saturating_add(FENCE_KEPT_MS),
            space,
        };
        let LockConfig { lease, renew } = config;
        let terms = LeaseTerms { backend: NAME, what: "lock", name, lease, renew, pauses: PAUSES };
        Ok(Self { lease: Lease::new(place, terms) })
    }

    /// Takes the lock if it is free; `None` when another holds it.
    ///
    /// Dropped before its end it leaves no lock behind: what was taken is released in the background, and if that is
    /// not possible, ends with its lease. The same holds after an error.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn try_acquire(&self) -> Result<Option<LockGuard>> {
        Ok(self.lease.try_acquire().await?.map(LockGuard::from))
    }

    /// Takes the lock, and waits so long while others hold it or the server can not be reached. Dropped, it is as with
    /// [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    /// `Timeout` when others held it all the time; else the last error of the server or the connection.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn acquire(&self, patience: Duration) -> Result<LockGuard> {
        self.lease.acquire(patience).await.map(LockGuard::from)
    }
}
