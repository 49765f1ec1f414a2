//! What is held of a lock.

use std::time::Duration;

use super::LeaseHeld;
use crate::Result;

/// How a lock is held whose lease runs by more than one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockConfig {
    /// After what time the lock of a holder that is gone is free again; default 30 s.
    pub lease: Duration,
    /// By how much these clocks may differ: so much longer the lock of a holder that is gone is kept; default 1 s.
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

    /// Sets by how much the clocks may differ.
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

/// A lock that is held. Dropped, it is released in the background; [`release`](Self::release) waits for it.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard(LeaseHeld);

impl From<LeaseHeld> for LockGuard {
    fn from(held: LeaseHeld) -> Self {
        Self(held)
    }
}

impl LockGuard {
    /// The fencing number: greater than that of every holder before.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.0.number()
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
    /// When the store can not be reached: it is tried again in the background, and the lease ends.
    pub async fn release(self) -> Result<bool> {
        self.0.release().await
    }
}
