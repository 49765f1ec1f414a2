//! What the caches of the backends count.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a cache did since it was made, in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Answered by a fresh value.
    pub hits: u64,
    /// Answered by a stale value.
    pub stale: u64,
    /// Nothing was there, and the caller loaded it.
    pub misses: u64,
    /// Nothing was there, and the caller waited for another that loaded it.
    pub coalesced: u64,
    /// How often the loader was asked, in the background too.
    pub loads: u64,
    /// How often it failed.
    pub failures: u64,
    /// What was loaded and not kept, as it was invalidated meanwhile.
    pub discarded: u64,
    /// How often the loader was asked without the cache, as the server could not be.
    pub bypassed: u64,
}

/// The counters behind [`CacheStats`], for those who write a backend.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CacheCounters {
    /// Answered by a fresh value.
    pub hits: CacheCounter,
    /// Answered by a stale value.
    pub stale: CacheCounter,
    /// Nothing was there, and the caller loaded it.
    pub misses: CacheCounter,
    /// Nothing was there, and the caller waited for another that loaded it.
    pub coalesced: CacheCounter,
    /// The loader was asked.
    pub loads: CacheCounter,
    /// It failed.
    pub failures: CacheCounter,
    /// What it loaded was not kept.
    pub discarded: CacheCounter,
    /// It was asked without the cache.
    pub bypassed: CacheCounter,
}

impl CacheCounters {
    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let read = |counter: &CacheCounter| counter.0.load(Ordering::Relaxed);
        CacheStats {
            hits: read(&self.hits),
            stale: read(&self.stale),
            misses: read(&self.misses),
            coalesced: read(&self.coalesced),
            loads: read(&self.loads),
            failures: read(&self.failures),
            discarded: read(&self.discarded),
            bypassed: read(&self.bypassed),
        }
    }
}

/// One of the [`CacheCounters`].
#[derive(Debug, Default)]
pub struct CacheCounter(AtomicU64);

impl CacheCounter {
    /// Counts one more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
