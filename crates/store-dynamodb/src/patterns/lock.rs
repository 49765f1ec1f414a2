//! Locks.

use std::sync::Arc;
use std::time::Duration;

use store_core::Result;

use super::lease::{Held, Place};
use crate::DynamoDbBackend;
use crate::error::at;

/// How a [`DynamoDbLock`] is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockConfig {
    /// After what time the lock of a holder that is gone is free again; default 30 s.
    pub lease: Duration,
    /// By how much the clocks of those who compete may differ: so much longer they wait for a holder that is gone;
    /// default 1 s.
    pub clock_skew: Duration,
    /// Whether the lease is renewed, three times in each lease, while the lock is held; default `true`.
    pub renew: bool,
}

impl Default for LockConfig {
    fn default() -> Self {
        Self { lease: Duration::from_secs(30), clock_skew: Duration::from_secs(1), renew: true }
    }
}

impl LockConfig {
    /// Sets the lease.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets by how much the clocks of those who compete may differ.
    #[must_use]
    pub fn with_clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew;
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
/// **What it guarantees.** While a holder's lease runs nobody else gets the lock, as long as the clocks of those who
/// compete differ by no more than [`LockConfig::clock_skew`]; and only its holder renews or releases it (each has a
/// random token). A holder that dies frees it with the end of its lease. Each holder has a *fencing number* greater than
/// that of all before it, whatever the clocks do; should the item be deleted, the number goes on from the clock.
///
/// **What it does not.** A holder that is stopped for longer than its lease does not know that it lost the lock. So on
/// its own it saves work that need not be done twice, and does not make that impossible: what must not be, give the
/// [fencing number](DynamoDbLockGuard::fence) to the store that is written to, and let that refuse a smaller one than it
/// has seen; for an item of DynamoDB, by a condition. There is no queue: whoever asks first after a release gets it,
/// those who wait ask again after 10 to 500 ms, in part by chance.
///
/// Taking, renewing and releasing are a conditional write each. The lock is the item `lock` of the partition
/// `nodestore:lock/NAME` of the main table; its time to live is a week after its last lease.
///
/// ```no_run
/// # use std::time::Duration;
/// # use store_dynamodb::{DynamoDbBackend, DynamoDbConfig, DynamoDbLock, LockConfig};
/// # async fn write(fence: u64) {}
/// # async fn example() -> store_core::Result<()> {
/// let store = DynamoDbBackend::connect(DynamoDbConfig::new("app")).await?;
/// let lock = DynamoDbLock::new(&store, "reindex", LockConfig::default())?;
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
pub struct DynamoDbLock {
    place: Arc<Place>,
}

impl DynamoDbLock {
    /// The lock of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (512 bytes), or a lease under a millisecond.
    pub fn new(backend: &DynamoDbBackend, name: impl Into<String>, config: LockConfig) -> Result<Self> {
        let name = name.into();
        let checked = super::time("lease", config.lease).and_then(|()| super::partition("lock", &name));
        let place = Place {
            space: Arc::clone(&backend.space),
            what: "lock",
            partition: checked.map_err(at("lock"))?,
            name,
            lease: config.lease,
            skew: config.clock_skew,
            renew: config.renew,
        };
        Ok(Self { place: Arc::new(place) })
    }

    /// Takes the lock if it is free; `None` when another holds it.
    ///
    /// Dropped before its end it leaves no lock behind: what was taken is released in the background, and if that is
    /// not possible, ends with its lease. The same holds after an error.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn try_acquire(&self) -> Result<Option<DynamoDbLockGuard>> {
        Ok(self.place.try_acquire().await?.map(DynamoDbLockGuard))
    }

    /// Takes the lock, and waits so long while others hold it or the service can not be reached. Dropped, it is as with
    /// [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    /// `Timeout` when others held it all the time; else the last error of the service or the connection.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn acquire(&self, patience: Duration) -> Result<DynamoDbLockGuard> {
        self.place.acquire(patience).await.map(DynamoDbLockGuard)
    }
}

/// A lock that is held. Dropped, it is released in the background; [`release`](Self::release) waits for it.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct DynamoDbLockGuard(Held);

impl DynamoDbLockGuard {
    /// The fencing number: greater than that of every holder before.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.0.number
    }

    /// Whether the lock was lost, as far as is known here: its lease ended, or someone removed it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.0.is_lost()
    }

    /// Waits until the lock is lost, if ever.
    pub async fn lost(&self) {
        self.0.lost().await;
    }

    /// Ends the renewal, then releases the lock; `false` if it had been lost, and another may have it since.
    ///
    /// # Errors
    /// When the service can not be reached: it is tried again in the background, and the lease ends.
    pub async fn release(self) -> Result<bool> {
        self.0.release().await
    }
}
