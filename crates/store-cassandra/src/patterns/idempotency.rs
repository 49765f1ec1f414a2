//! Records of what was done, so that it is not done again.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Error, ErrorKind, Result, check};

use crate::CassandraBackend;
use crate::codec::{int, text};
use crate::deadline;
use crate::error::at;
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

/// How a [`CassandraIdempotency`] keeps its records. The nodes count whole seconds, and give up to two more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdempotencyConfig {
    /// How long one who began is believed to be at work; default a minute. Take more than the work needs.
    pub lease: Duration,
    /// How long answers are kept; default a day.
    pub keep: Duration,
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self { lease: Duration::from_mins(1), keep: Duration::from_hours(24) }
    }
}

impl IdempotencyConfig {
    /// Sets how long one who began is believed to be at work.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how long answers are kept.
    #[must_use]
    pub fn with_keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }
}

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
/// # use store_cassandra::{CassandraBackend, CassandraBegun, CassandraConfig, CassandraIdempotency, IdempotencyConfig};
/// # async fn charge() -> store_core::Result<String> { Ok(String::new()) }
/// # async fn example(request_id: &str) -> store_core::Result<Option<String>> {
/// let store = CassandraBackend::connect(CassandraConfig::new("app").with_create(true)).await?;
/// let charges: CassandraIdempotency<String> =
///     CassandraIdempotency::new(&store, "charges", IdempotencyConfig::default())?;
/// match charges.begin(request_id).await? {
///     CassandraBegun::New(claim) => {
///         let receipt = charge().await?;
///         claim.complete(&receipt).await?;
///         Ok(Some(receipt))
///     }
///     CassandraBegun::Done(receipt) => Ok(Some(receipt)),
///     CassandraBegun::Running(_) => Ok(None),
/// }
/// # }
/// ```
pub struct CassandraIdempotency<T> {
    records: Arc<Records>,
    answer: PhantomData<fn() -> T>,
}

#[derive(Debug)]
struct Records {
    space: Arc<Space>,
    name: String,
    config: IdempotencyConfig,
}

impl<T> Clone for CassandraIdempotency<T> {
    fn clone(&self) -> Self {
        Self { records: Arc::clone(&self.records), answer: PhantomData }
    }
}

impl<T> fmt::Debug for CassandraIdempotency<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraIdempotency").field("name", &self.records.name).finish_non_exhaustive()
    }
}

/// What [`CassandraIdempotency::begin`] found.
#[derive(Debug)]
#[must_use = "work that was begun is to be completed"]
pub enum CassandraBegun<T> {
    /// The caller is the first, or the one before did not come to an end: do the work.
    New(CassandraIdempotencyClaim<T>),
    /// It was done, with this answer.
    Done(T),
    /// Another is at work, and is believed to be for so long.
    Running(Duration),
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
        let records = Records { space: Arc::clone(&backend.space), name: name.to_owned(), config };
        Ok(Self { records: Arc::new(records), answer: PhantomData })
    }

    /// Begins what the key stands for, or answers what became of it.
    ///
    /// # Errors
    /// `InvalidInput` for an empty key, `LimitExceeded` for one over 1,024 bytes (hash longer ones), `Corrupt` for an
    /// answer of another type, and what the nodes say: nothing is known then, call it again.
    pub async fn begin(&self, key: &str) -> Result<CassandraBegun<T>> {
        let begin = async {
            check::non_empty("idempotency key", key)?;
            check::within("idempotency key", key, key.len(), MAX_KEY)?;
            let claim = CassandraIdempotencyClaim {
                records: Arc::clone(&self.records),
                key: key.to_owned(),
                token: super::token(),
                answer: PhantomData,
            };
            claim.begin().await
        };
        begin.await.map_err(|error| at("idempotency.begin")(error).with_key(key))
    }
}

/// The right to leave the answer of what was begun. Dropped, the work counts as begun until the lease ends.
#[must_use = "work that was begun is to be completed"]
pub struct CassandraIdempotencyClaim<T> {
    records: Arc<Records>,
    key: String,
    token: String,
    answer: PhantomData<fn(&T)>,
}

impl<T> fmt::Debug for CassandraIdempotencyClaim<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraIdempotencyClaim").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What a row holds.
#[derive(Debug, Default)]
struct State {
    holder: Option<String>,
    answer: Option<String>,
    /// How many seconds the holder has left.
    left: u64,
}

impl<T: Serialize + DeserializeOwned> CassandraIdempotencyClaim<T> {
    async fn state(&self, class: Class) -> Result<State> {
        let read = |table: &str| {
            let read =
                format!("SELECT holder, answer, TTL(holder) AS left FROM {table} WHERE name = ? AND key = ?");
            Call::new(class, read, self.row().to_vec())
        };
        let rows = self.records.space.on(&RECORDS, read).await?;
        let Some(row) = rows.first() else { return Ok(State::default()) };
        let left = row.integer("left")?.and_then(|left| u64::try_from(left).ok()).unwrap_or_default();
        let owned = |column| Ok::<_, Error>(row.text(column)?.map(str::to_owned));
        Ok(State { holder: owned("holder")?, answer: owned("answer")?, left })
    }

    /// The values of the row's key.
    fn row(&self) -> [Value; 2] {
        [text(self.records.name.as_str()), text(self.key.as_str())]
    }

    /// Changes the row once if it is as it must be. `set` has the values before the row's key, `condition` those behind
    /// it; `fate` says what a row tells of the change.
    async fn change(
        &self,
        set: (&str, Vec<Value>),
        condition: (&str, Vec<Value>),
        fate: impl Fn(&State) -> Fate,
    ) -> Result<bool> {
        let all: Vec<Value> = set.1.into_iter().chain(self.row()).chain(condition.1).collect();
        let change = |table: &str| {
            let change = format!("UPDATE {table} {} WHERE name = ? AND key = ? IF {}", set.0, condition.0);
            Call::new(Class::Conditional, change, all.clone())
        };
        let space = &self.records.space;
        let attempt = || async { space.on(&RECORDS, change).await?.applied() };
        let look = || async { self.state(Class::SerialRead).await.map(|state| fate(&state)) };
        once(space.config.operation_timeout, attempt, look).await
    }

    fn is_ours(&self, state: &State) -> bool {
        state.holder.as_deref() == Some(self.token.as_str())
    }

    async fn begin(self) -> Result<CassandraBegun<T>> {
        deadline::within(self.records.space.config.operation_timeout, self.begin_or_wait()).await
    }

    async fn begin_or_wait(self) -> Result<CassandraBegun<T>> {
        let mut class = Class::Read;
        loop {
            let state = self.state(class).await?;
            if let Some(answer) = state.answer {
                return from_json(&answer).map(CassandraBegun::Done);
            }
            if self.is_ours(&state) {
                return Ok(CassandraBegun::New(self));
            }
            if state.holder.is_some() {
                return Ok(CassandraBegun::Running(Duration::from_secs(state.left)));
            }
            let ttl = int(super::ttl(self.records.config.lease));
            let set = ("USING TTL ? SET holder = ?", vec![ttl, text(self.token.as_str())]);
            let fate = |now: &State| match now.holder {
                Some(_) if self.is_ours(now) => Fate::Made,
                None if now.answer.is_none() => Fate::Open,
                _ => Fate::Missed,
            };
            if self.change(set, (FREE, Vec::new()), fate).await? {
                return Ok(CassandraBegun::New(self));
            }
            // Another was faster, which the next look tells.
            class = Class::SerialRead;
        }
    }

    /// Leaves the answer, for all who come with the key while it is kept.
    ///
    /// It may be left again, as after an error.
    ///
    /// # Errors
    /// `Conflict` when the lease had ended and another began: that one's answer counts. `LimitExceeded` for an answer of
    /// more than `store.max_value_bytes`.
    pub async fn complete(&self, answer: &T) -> Result<()> {
        self.leave(answer)
            .await
            .map_err(|error| at("idempotency.complete")(error).with_key(self.key.as_str()))
    }

    async fn leave(&self, answer: &T) -> Result<()> {
        let Records { space, config, .. } = &*self.records;
        let answer = serde_json::to_string(answer).map_err(|error| {
            Error::invalid_input(format!("the answer can not be written as JSON: {error}")).with_source(error)
        })?;
        check::within("answer", &self.key, answer.len(), space.config.max_value_bytes)?;
        let token = || text(self.token.as_str());
        let ttl = super::ttl(config.keep);
        // Where the lease has ended and nobody began since, the answer is welcome all the same.
        for condition in [("holder = ?", vec![token()]), (FREE, Vec::new())] {
            let set =
                ("USING TTL ? SET holder = ?, answer = ?", vec![int(ttl), token(), text(answer.as_str())]);
            let held = condition.0 != FREE;
            let fate = |now: &State| match now.holder {
                Some(_) if self.is_ours(now) && now.answer.as_ref() == Some(&answer) => Fate::Made,
                Some(_) if self.is_ours(now) && held => Fate::Open,
                None if now.answer.is_none() && !held => Fate::Open,
                _ => Fate::Missed,
            };
            if self.change(set, condition, fate).await? {
                return Ok(());
            }
        }
        let message =
            "the lease ended and another began the same, so that its answer counts; take a longer lease";
        Err(Error::new(ErrorKind::Conflict, message).with_retryable(false))
    }

    /// Lets others begin at once, since the work failed and left nothing; `false` when another began already.
    pub async fn give_up(self) -> Result<bool> {
        let give = async {
            let set = ("SET holder = null", Vec::new());
            let condition = ("holder = ? AND answer = null", vec![text(self.token.as_str())]);
            let fate = |now: &State| match (&now.holder, &now.answer) {
                (Some(_), None) if self.is_ours(now) => Fate::Open,
                _ => Fate::Missed,
            };
            // Where nobody is at work it was given up, or the lease has ended.
            Ok(self.change(set, condition, fate).await?
                || self.state(Class::SerialRead).await?.holder.is_none())
        };
        give.await.map_err(|error| at("idempotency.give_up")(error).with_key(self.key.as_str()))
    }
}

/// An answer from its JSON.
fn from_json<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| {
        Error::corrupt(format!("what is stored is no answer of the type asked for: {error}"))
            .with_source(error)
    })
}
