//! Records of what was done, so that it is not done again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::kit::check;
use store_core::kit::idempotency::{
    Begun, Idempotency, IdempotencyBegun, IdempotencyConfig, IdempotencyPlace,
};
use store_core::{Error, Result};

use crate::CassandraBackend;
use crate::codec::{int, text};
use crate::deadline;
use crate::error::{NAME, at};
use crate::schema::Table;
use crate::session::{Call, Class, Value};
use crate::space::Space;
use crate::transaction::{Fate, once};

/// `holder` is who began last, for as long as it is believed to be at work, or as the answer is kept.
static RECORDS: Table = Table {
    name: "idempotency",
    definition: "(name text, key text, holder text, answer text, PRIMARY KEY ((name, key))) \
                 WITH comment = 'what nodestore did already'",
    then: &[],
};
/// Nobody has begun it, or no longer.
const FREE: &str = "holder = null AND answer = null";
/// The longest key, in bytes.
const MAX_KEY: usize = 1_024;

/// Records of requests by their idempotency keys: who comes first does the work and leaves the answer, who comes later
/// is given that answer. Also for inserting an event once, whatever it is: the event is the answer.
///
/// **What it guarantees.** While the lease of one who began runs, nobody else begins; once an answer was left, everybody
/// is given it, for as long as it is kept. One whose lease ended, so that another began, is refused. What became of a
/// request whose answer was lost is found out; nothing is written twice.
///
/// **What it does not.** Work that was done by one who died before the answer was left is done again, after the lease,
/// and work that takes longer than the lease may be done twice at the same time: give the lease time, or make the work
/// itself refuse what is old. The lease runs by the clocks of the nodes, and with `store.local_serial` (the default) in
/// one datacentre.
///
/// Each record is a row of the table `idempotency`, in a partition of its own, with a time to live. To begin is a read
/// and a lightweight transaction, to complete another; who comes later only reads.
///
/// ```no_run
/// # use store_cassandra::{Begun, CassandraBackend, CassandraConfig, CassandraIdempotency, IdempotencyConfig};
/// # async fn charge() -> store_core::Result<String> { Ok(String::new()) }
/// # async fn example(request_id: &str) -> store_core::Result<Option<String>> {
/// let store = CassandraBackend::connect(CassandraConfig::new("app").with_create(true)).await?;
/// let charges: CassandraIdempotency<String> =
///     CassandraIdempotency::new(&store, "charges", IdempotencyConfig::default())?;
/// match charges.begin(request_id).await? {
///     Begun::New(claim) => {
///         let receipt = charge().await?;
///         claim.complete(&receipt).await?;
///         Ok(Some(receipt))
///     }
///     Begun::Done(receipt) => Ok(Some(receipt)),
///     Begun::Running(_) => Ok(None),
/// }
/// # }
/// ```
pub struct CassandraIdempotency<T>(Idempotency<T>);

impl<T> Clone for CassandraIdempotency<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for CassandraIdempotency<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CassandraIdempotency").field(&self.0).finish()
    }
}

impl<T: Serialize + DeserializeOwned> CassandraIdempotency<T> {
    /// The records of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (1,024 bytes), and for times that can not be.
    pub fn new(backend: &CassandraBackend, name: &str, config: IdempotencyConfig) -> Result<Self> {
        super::name("records", name)
            .and_then(|()| super::time("lease", config.lease))
            .and_then(|()| super::time("time that answers are kept", config.keep))
            .map_err(at("idempotency"))?;
        let place = Place { space: Arc::clone(&backend.space), name: name.to_owned(), config };
        Ok(Self(Idempotency::new(place, NAME)))
    }

    /// Begins what the key stands for, or answers what became of it. An answer may be of `store.max_value_bytes`.
    ///
    /// # Errors
    /// `InvalidInput` for an empty key, `LimitExceeded` for one over 1,024 bytes (hash longer ones), `Corrupt` for an
    /// answer of another type, and what the nodes say: nothing is known then, call it again.
    pub async fn begin(&self, key: &str) -> Result<Begun<T>> {
        self.0.begin(key).await
    }
}

/// The rows of some records.
#[derive(Debug)]
struct Place {
    space: Arc<Space>,
    name: String,
    config: IdempotencyConfig,
}

/// What a row holds.
#[derive(Debug, Default)]
struct State {
    holder: Option<String>,
    answer: Option<String>,
    /// How many seconds the holder has left.
    left: u64,
}

impl State {
    fn is_of(&self, token: &str) -> bool {
        self.holder.as_deref() == Some(token)
    }
}

impl Place {
    async fn state(&self, class: Class, key: &str) -> Result<State> {
        let read = |table: &str| {
            let read =
                format!("SELECT holder, answer, TTL(holder) AS left FROM {table} WHERE name = ? AND key = ?");
            Call::new(class, read, self.row(key).to_vec())
        };
        let rows = self.space.on(&RECORDS, read).await?;
        let Some(row) = rows.first() else { return Ok(State::default()) };
        let left = row.integer("left")?.and_then(|left| u64::try_from(left).ok()).unwrap_or_default();
        let owned = |column| Ok::<_, Error>(row.text(column)?.map(str::to_owned));
        Ok(State { holder: owned("holder")?, answer: owned("answer")?, left })
    }

    /// The values of the row's key.
    fn row(&self, key: &str) -> [Value; 2] {
        [text(self.name.as_str()), text(key)]
    }

    /// Changes the row once if it is as it must be. `set` has the values before the row's key, `condition` those behind
    /// it; `fate` says what a row tells of the change.
    async fn change(
        &self,
        key: &str,
        set: (&str, Vec<Value>),
        condition: (&str, Vec<Value>),
        fate: impl Fn(&State) -> Fate,
    ) -> Result<bool> {
        let all: Vec<Value> = set.1.into_iter().chain(self.row(key)).chain(condition.1).collect();
        let change = |table: &str| {
            let change = format!("UPDATE {table} {} WHERE name = ? AND key = ? IF {}", set.0, condition.0);
            Call::new(Class::Conditional, change, all.clone())
        };
        let attempt = || async { self.space.on(&RECORDS, change).await?.applied() };
        let look = || async { self.state(Class::SerialRead, key).await.map(|state| fate(&state)) };
        once(self.space.config.operation_timeout, attempt, look).await
    }

    async fn begin_or_wait(&self, key: &str, token: &str) -> Result<IdempotencyBegun> {
        let mut class = Class::Read;
        loop {
            let state = self.state(class, key).await?;
            if let Some(answer) = state.answer {
                return Ok(IdempotencyBegun::Done(answer));
            }
            if state.is_of(token) {
                return Ok(IdempotencyBegun::New);
            }
            if state.holder.is_some() {
                return Ok(IdempotencyBegun::Running(Duration::from_secs(state.left)));
            }
            let ttl = int(super::ttl(self.config.lease));
            let set = ("USING TTL ? SET holder = ?", vec![ttl, text(token)]);
            let fate = |now: &State| match now.holder {
                Some(_) if now.is_of(token) => Fate::Made,
                None if now.answer.is_none() => Fate::Open,
                _ => Fate::Missed,
            };
            if self.change(key, set, (FREE, Vec::new()), fate).await? {
                return Ok(IdempotencyBegun::New);
            }
            // Another was faster, which the next look tells.
            class = Class::SerialRead;
        }
    }
}

#[async_trait]
impl IdempotencyPlace for Place {
    async fn begin(&self, key: &str, token: &str) -> Result<IdempotencyBegun> {
        check::non_empty("idempotency key", key)?;
        check::within("idempotency key", key, key.len(), MAX_KEY)?;
        deadline::within(self.space.config.operation_timeout, self.begin_or_wait(key, token)).await
    }

    async fn complete(&self, key: &str, token: &str, answer: &str) -> Result<bool> {
        check::within("answer", key, answer.len(), self.space.config.max_value_bytes)?;
        let ttl = super::ttl(self.config.keep);
        // Where the lease has ended and nobody began since, the answer is welcome all the same.
        for condition in [("holder = ?", vec![text(token)]), (FREE, Vec::new())] {
            let set = ("USING TTL ? SET holder = ?, answer = ?", vec![int(ttl), text(token), text(answer)]);
            let held = condition.0 != FREE;
            let fate = |now: &State| match now.holder {
                Some(_) if now.is_of(token) && now.answer.as_deref() == Some(answer) => Fate::Made,
                Some(_) if now.is_of(token) && held => Fate::Open,
                None if now.answer.is_none() && !held => Fate::Open,
                _ => Fate::Missed,
            };
            if self.change(key, set, condition, fate).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn give_up(&self, key: &str, token: &str) -> Result<bool> {
        let set = ("SET holder = null", Vec::new());
        let condition = ("holder = ? AND answer = null", vec![text(token)]);
        let fate = |now: &State| match (&now.holder, &now.answer) {
            (Some(_), None) if now.is_of(token) => Fate::Open,
            _ => Fate::Missed,
        };
        // Where nobody is at work it was given up, or the lease has ended.
        Ok(self.change(key, set, condition, fate).await?
            || self.state(Class::SerialRead, key).await?.holder.is_none())
    }
}
