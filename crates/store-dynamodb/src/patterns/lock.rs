//! Locks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::Result;
use store_core::kit::epoch::{micros, millis};
use store_core::kit::lease::{Lease, LeasePlace, LeaseTaken, LeaseTerms, LockConfig, LockGuard};

use super::{change, millis_after, number, number_of, text, text_of};
use crate::DynamoDbBackend;

use crate::error::{NAME, at};
use crate::kv_layout::{expiry, seconds};
use crate::schema::EXPIRES;
use crate::space::Space;
use crate::transaction::Condition;

/// The first and the longest wait before something that is taken is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// How long the last number is kept after the last lease: it is at least the clock, so that one that was forgotten does
/// not come again.
const FENCE_KEPT: Duration = Duration::from_hours(7 * 24);

/// What a lock is called: in errors, and as the sort key of its item.
const LOCK: &str = "lock";
const HOLDER: &str = "_holder";
const FENCE: &str = "_fence";
const UNTIL: &str = "_until";

/// A lock across processes, by its name.
///
/// **What it guarantees.** While a holder's lease runs nobody else gets the lock, as long as the clocks of those who
/// compete differ by no more than [`LockConfig::clock_skew`]; and only its holder renews or releases it (each has a
/// random token). A holder that dies frees it with the end of its lease. Each holder has a *fencing number* greater than
/// that of all before it, whatever the clocks do; should the item be deleted, the number goes on from the clock.
///
/// **What it does not.** A holder that is stopped for longer than its lease does not know that it lost the lock. So on
/// its own it saves work that need not be done twice, and does not make that impossible: what must not be, give the
/// [fencing number](LockGuard::fence) to the store that is written to, and let that refuse a smaller one than it
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
    lease: Lease,
}

impl DynamoDbLock {
    /// The lock of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (512 bytes), or a lease under a millisecond.
    pub fn new(backend: &DynamoDbBackend, name: impl Into<String>, config: LockConfig) -> Result<Self> {
        let name = name.into();
        let checked = super::time("lease", config.lease).and_then(|()| super::partition(LOCK, &name));
        let LockConfig { lease, clock_skew: skew, renew, .. } = config;
        let place =
            Place { space: Arc::clone(&backend.space), partition: checked.map_err(at(LOCK))?, lease, skew };
        let terms = LeaseTerms { backend: NAME, what: LOCK, name, lease, renew, pauses: PAUSES };
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

    /// Takes the lock, and waits so long while others hold it or the service can not be reached. Dropped, it is as with
    /// [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    /// `Timeout` when others held it all the time; else the last error of the service or the connection.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn acquire(&self, patience: Duration) -> Result<LockGuard> {
        self.lease.acquire(patience).await.map(LockGuard::from)
    }
}

/// The item of a lock.
#[derive(Debug)]
struct Place {
    space: Arc<Space>,
    partition: String,
    lease: Duration,
    /// By how much the clocks of those who compete may differ.
    skew: Duration,
}

impl Place {
    /// The names of the attributes and the values that every lease has.
    fn condition(&self, expression: &str, token: &str) -> Condition {
        Condition::default()
            .with(expression)
            .named("#h", HOLDER)
            .named("#u", UNTIL)
            .named("#x", EXPIRES)
            .valued(":t", text(token))
            .valued(":u", number(millis_after(self.lease)))
            .valued(":x", seconds(expiry(self.lease.saturating_add(FENCE_KEPT))))
    }
}

#[async_trait]
impl LeasePlace for Place {
    async fn take(&self, token: &str) -> Result<LeaseTaken> {
        let mut least = micros();
        loop {
            let free = millis().saturating_sub(u64::try_from(self.skew.as_millis()).unwrap_or(u64::MAX));
            let condition = self
                .condition(
                    "(attribute_not_exists(#h) OR #u < :free) AND (attribute_not_exists(#f) OR #f < :f)",
                    token,
                )
                .named("#f", FENCE)
                .valued(":f", number(least))
                .valued(":free", number(free));
            let set = "SET #h = :t, #u = :u, #f = :f, #x = :x";
            let met = match change(&self.space, &self.partition, LOCK, set, condition).await? {
                Ok(_) => return Ok(LeaseTaken::Held(least)),
                Err(met) => met.unwrap_or_default(),
            };
            let fence = number_of(&met, FENCE).unwrap_or_default();
            let ends = number_of::<u64>(&met, UNTIL).unwrap_or_default();
            match text_of(&met, HOLDER) {
                // An attempt whose answer was lost had it; its lease may be an old one.
                Some(holder) if holder == token => {
                    if self.prolong(token).await? {
                        return Ok(LeaseTaken::Held(fence));
                    }
                }
                Some(_) if ends >= free => {
                    return Ok(LeaseTaken::ByAnother(Duration::from_millis(ends - free)));
                }
                // It is free, and the last number is ahead of our clock, or came in between.
                _ => least = fence.saturating_add(1).max(least),
            }
        }
    }

    async fn prolong(&self, token: &str) -> Result<bool> {
        let condition = self.condition("#h = :t", token);
        Ok(change(&self.space, &self.partition, LOCK, "SET #u = :u, #x = :x", condition).await?.is_ok())
    }

    async fn give_back(&self, token: &str, fence: Option<u64>) -> Result<bool> {
        let condition = Condition::default()
            .with("#h = :t")
            .named("#h", HOLDER)
            .named("#u", UNTIL)
            .valued(":t", text(token));
        match change(&self.space, &self.partition, LOCK, "REMOVE #h, #u", condition).await? {
            Ok(_) => Ok(true),
            // Nobody has it, and nobody had it since: a request whose answer was lost gave it back.
            Err(Some(met)) => {
                Ok(fence.is_some() && !met.contains_key(HOLDER) && number_of(&met, FENCE) == fence)
            }
            Err(None) => Ok(false),
        }
    }
}
