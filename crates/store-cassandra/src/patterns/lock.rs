//! Locks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::Result;
use store_core::kit::lease::{Lease, LeasePlace, LeaseTaken, LeaseTerms, LockConfig, LockGuard};

use crate::CassandraBackend;
use crate::clock::micros;
use crate::codec::{bigint, int, text};
use crate::deadline;
use crate::error::{NAME, at};
use crate::schema::Table;
use crate::session::{Call, Class, Row, Value};
use crate::space::Space;
use crate::transaction::{Fate, once};

/// `holder` has a time to live, and `fence` has none: so the last number is there when the holder is gone.
static LOCKS: Table = Table {
    name: "locks",
    definition: "(name text PRIMARY KEY, holder text, fence bigint) \
                 WITH comment = 'locks of nodestore'",
    then: &[],
};
/// The first and the longest wait before something that is taken is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// A lock across processes, by its name.
///
/// **What it guarantees.** While a holder's lease runs nobody else gets the lock, as long as the clocks of the nodes
/// differ by no more than [`LockConfig::clock_skew`]; the clocks of the holders do not matter. Only its holder renews or
/// releases it (each has a random token), and whether a request whose answer was lost had it is found out before it is
/// tried again. A holder that dies frees it with the end of its lease. Each holder has a *fencing number* greater than
/// that of all before it, whatever the clocks do; should the row be deleted, the number goes on from the clock.
///
/// **What it does not.** A holder that is stopped for longer than its lease does not know that it lost the lock. So on
/// its own it saves work that need not be done twice, and does not make that impossible: what must not be, give the
/// [fencing number](LockGuard::fence) to the store that is written to, and let that refuse a smaller one than it
/// has seen; in Cassandra by `IF fence < ?`. With `store.local_serial` (the default) it is a lock of one datacentre.
/// There is no queue: whoever asks first after a release gets it, those who wait ask again after 10 to 500 ms, in part by
/// chance.
///
/// Taking is a read and a lightweight transaction, renewing and releasing are a transaction each; those who wait only
/// read. The lock is a row of the table `locks`: its holder with a time to live, the fencing number without one.
///
/// ```no_run
/// # use std::time::Duration;
/// # use store_cassandra::{CassandraBackend, CassandraConfig, CassandraLock, LockConfig};
/// # async fn write(fence: u64) {}
/// # async fn example() -> store_core::Result<()> {
/// let store = CassandraBackend::connect(CassandraConfig::new("app").with_create(true)).await?;
/// let lock = CassandraLock::new(&store, "reindex", LockConfig::default())?;
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
pub struct CassandraLock {
    lease: Lease,
}

impl CassandraLock {
    /// The lock of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (1,024 bytes), or a lease under a millisecond.
    pub fn new(backend: &CassandraBackend, name: impl Into<String>, config: LockConfig) -> Result<Self> {
        let name = name.into();
        let kept = config.lease.saturating_add(config.clock_skew);
        let checked = super::name("lock", &name)
            .and_then(|()| super::time("lease", config.lease))
            .and_then(|()| super::time("lease with the clocks' difference", kept));
        checked.map_err(at("lock"))?;
        let place = Place { space: Arc::clone(&backend.space), name: name.clone(), ttl: super::ttl(kept) };
        let LockConfig { lease, renew, .. } = config;
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

    /// Takes the lock, and waits so long while others hold it or the nodes can not be reached. Dropped, it is as with
    /// [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    /// `Timeout` when others held it all the time; else the last error of the nodes or the connection.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn acquire(&self, patience: Duration) -> Result<LockGuard> {
        self.lease.acquire(patience).await.map(LockGuard::from)
    }
}

/// The row of a lock.
#[derive(Debug)]
struct Place {
    space: Arc<Space>,
    name: String,
    /// What the nodes are given, in seconds.
    ttl: i32,
}

/// What a row holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    holder: Option<String>,
    fence: Option<i64>,
    /// How many seconds the holder has left.
    left: u64,
}

impl State {
    fn of(row: &Row<'_>) -> Result<Self> {
        let holder = row.text("holder")?.map(str::to_owned);
        let left = row.integer("left")?.and_then(|left| u64::try_from(left).ok()).unwrap_or_default();
        Ok(Self { holder, fence: row.integer("fence")?, left })
    }

    fn is_of(&self, token: &str) -> bool {
        self.holder.as_deref() == Some(token)
    }

    fn number(&self) -> u64 {
        self.fence.and_then(|fence| u64::try_from(fence).ok()).unwrap_or_default()
    }
}

impl Place {
    async fn state(&self, class: Class) -> Result<State> {
        let read = |table: &str| {
            let read = format!("SELECT holder, fence, TTL(holder) AS left FROM {table} WHERE name = ?");
            Call::new(class, read, vec![text(self.name.as_str())])
        };
        let rows = self.space.on(&LOCKS, read).await?;
        rows.first().as_ref().map_or_else(|| Ok(State::default()), State::of)
    }

    /// Takes what is free, if the last number is still this one: the holder for its time, the number for ever.
    async fn set(&self, token: &str, before: Option<i64>, fence: i64) -> Result<bool> {
        let calls = |table: &str| {
            let holder = format!(
                "UPDATE {table} USING TTL ? SET holder = ? WHERE name = ? IF holder = null AND fence = ?"
            );
            let number = format!("UPDATE {table} SET fence = ? WHERE name = ?");
            let before = before.map_or(Value::Null, bigint);
            let name = || text(self.name.as_str());
            vec![
                Call::new(Class::Conditional, holder, vec![int(self.ttl), text(token), name(), before]),
                Call::new(Class::Conditional, number, vec![bigint(fence), name()]),
            ]
        };
        self.space.batch_on(&LOCKS, Class::Conditional, calls).await?.applied()
    }

    /// A transaction of one statement.
    async fn change(&self, statement: &str, values: &[Value]) -> Result<bool> {
        let change =
            |table: &str| Call::new(Class::Conditional, statement.replace("{table}", table), values.to_vec());
        self.space.on(&LOCKS, change).await?.applied()
    }

    /// Makes a transaction once; `fate` says what a row tells of it.
    async fn once<A: Future<Output = Result<bool>>>(
        &self,
        attempt: impl Fn() -> A,
        fate: impl Fn(&State) -> Fate,
    ) -> Result<bool> {
        let look = || async { self.state(Class::SerialRead).await.map(|state| fate(&state)) };
        once(self.space.config.operation_timeout, attempt, look).await
    }
}

#[async_trait]
impl LeasePlace for Place {
    async fn take(&self, token: &str) -> Result<LeaseTaken> {
        deadline::within(self.space.config.operation_timeout, self.take_in_turn(token)).await
    }

    async fn prolong(&self, token: &str) -> Result<bool> {
        let prolong = "UPDATE {table} USING TTL ? SET holder = ? WHERE name = ? IF holder = ?";
        let values = [int(self.ttl), text(token), text(self.name.as_str()), text(token)];
        // To do it twice does no harm.
        let fate = |now: &State| if now.is_of(token) { Fate::Open } else { Fate::Missed };
        self.once(|| self.change(prolong, &values), fate).await
    }

    async fn give_back(&self, token: &str, number: Option<u64>) -> Result<bool> {
        let release = "UPDATE {table} SET holder = null WHERE name = ? IF holder = ?";
        let values = [text(self.name.as_str()), text(token)];
        let fate = |now: &State| match now.holder {
            Some(_) if now.is_of(token) => Fate::Open,
            // Nobody has it, and nobody had it since: it was given back.
            None if number.is_some_and(|number| number == now.number()) => Fate::Made,
            _ => Fate::Missed,
        };
        self.once(|| self.change(release, &values), fate).await
    }
}

impl Place {
    async fn take_in_turn(&self, token: &str) -> Result<LeaseTaken> {
        // Two transactions at once hinder each other; those of one store come one after the other.
        let _turn = self.space.turns.take(&self.name, vec![0], self.space.config.operation_timeout).await?;
        let mut class = Class::Read;
        loop {
            let state = self.state(class).await?;
            class = Class::SerialRead;
            match state.holder.as_deref() {
                // An attempt whose answer was lost had it; its lease may be an old one.
                Some(holder) if holder == token => {
                    if self.prolong(token).await? {
                        return Ok(LeaseTaken::Held(state.number()));
                    }
                    continue;
                }
                // The nodes tell whole seconds.
                Some(_) => return Ok(LeaseTaken::ByAnother(Duration::from_secs(state.left + 1))),
                None => {}
            }
            // The time is a number of nobody yet.
            let fence = state.fence.map_or(0, |fence| fence.saturating_add(1)).max(micros());
            let fate = |now: &State| match now.holder {
                Some(_) if now.is_of(token) && now.fence == Some(fence) => Fate::Made,
                None if now.fence == state.fence => Fate::Open,
                _ => Fate::Missed,
            };
            if self.once(|| self.set(token, state.fence, fence), fate).await? {
                return Ok(LeaseTaken::Held(u64::try_from(fence).unwrap_or_default()));
            }
            // Another was faster, which the next look tells.
        }
    }
}
