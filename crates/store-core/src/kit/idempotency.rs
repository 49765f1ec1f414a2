//! Records of what was done, so that it is not done again, for those who write a backend: all but how a store keeps them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::kit::own_types::{from_json, to_json};
use crate::{Error, ErrorKind, Result};

/// How records are kept.
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

/// Where records are, as a store keeps them. Tokens are random, one for each that begins.
#[async_trait]
pub trait IdempotencyPlace: fmt::Debug + Send + Sync + 'static {
    /// Begins a key for a token with a new lease, if nobody has begun it or the lease is over. A token that began it
    /// already, since an answer was lost, has it still.
    async fn begin(&self, key: &str, token: &str) -> Result<IdempotencyBegun>;

    /// Leaves the answer, as JSON, if nobody but the token began the key; `false` if another did. Leaving it again does
    /// no harm.
    async fn complete(&self, key: &str, token: &str, answer: &str) -> Result<bool>;

    /// Lets others begin at once; `false` if another began already.
    async fn give_up(&self, key: &str, token: &str) -> Result<bool>;
}

/// What became of [`IdempotencyPlace::begin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdempotencyBegun {
    /// The token has begun it.
    New,
    /// It was done, with this answer.
    Done(String),
    /// Another is at work, and is believed to be for so long.
    Running(Duration),
}

/// What [`Idempotency::begin`] found.
#[derive(Debug)]
#[must_use = "work that was begun is to be completed"]
pub enum Begun<T> {
    /// The caller is the first, or the one before did not come to an end: do the work.
    New(IdempotencyClaim<T>),
    /// It was done, with this answer.
    Done(T),
    /// Another is at work, and is believed to be for so long.
    Running(Duration),
}

#[derive(Debug)]
struct Records {
    place: Box<dyn IdempotencyPlace>,
    backend: &'static str,
}

impl Records {
    fn named(&self, operation: &'static str, key: &str) -> impl Fn(Error) -> Error {
        move |error| error.with_backend(self.backend).with_operation(operation).with_key(key)
    }
}

/// Records whose answers are of type `T`. Clones are the same.
pub struct Idempotency<T> {
    records: Arc<Records>,
    answer: PhantomData<fn() -> T>,
}

impl<T> Clone for Idempotency<T> {
    fn clone(&self) -> Self {
        Self { records: Arc::clone(&self.records), answer: PhantomData }
    }
}

impl<T> fmt::Debug for Idempotency<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Idempotency").field(&self.records.place).finish()
    }
}

impl<T: Serialize + DeserializeOwned> Idempotency<T> {
    /// The records that are kept there; `backend` is the name in errors. Nothing is sent yet.
    #[must_use]
    pub fn new(place: impl IdempotencyPlace, backend: &'static str) -> Self {
        Self { records: Arc::new(Records { place: Box::new(place), backend }), answer: PhantomData }
    }

    /// Begins what the key stands for, or answers what became of it.
    ///
    /// # Errors
    /// `Corrupt` for an answer of another type, and those of the store: nothing is known then, call it again.
    pub async fn begin(&self, key: &str) -> Result<Begun<T>> {
        let begin = async {
            let token = Uuid::new_v4().simple().to_string();
            Ok(match self.records.place.begin(key, &token).await? {
                IdempotencyBegun::New => {
                    let (records, key) = (Arc::clone(&self.records), key.to_owned());
                    Begun::New(IdempotencyClaim { records, key, token, answer: PhantomData })
                }
                IdempotencyBegun::Done(answer) => Begun::Done(from_json(answer.as_bytes())?),
                IdempotencyBegun::Running(left) => Begun::Running(left),
            })
        };
        begin.await.map_err(self.records.named("idempotency.begin", key))
    }
}

/// The right to leave the answer of what was begun. Dropped, the work counts as begun until the lease ends.
#[must_use = "work that was begun is to be completed"]
pub struct IdempotencyClaim<T> {
    records: Arc<Records>,
    key: String,
    token: String,
    answer: PhantomData<fn(&T)>,
}

impl<T> fmt::Debug for IdempotencyClaim<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyClaim").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<T: Serialize> IdempotencyClaim<T> {
    /// Leaves the answer, for all who come with the key while it is kept. It may be left again, as after an error.
    ///
    /// # Errors
    /// `Conflict` when the lease had ended and another began: that one's answer counts. `LimitExceeded` for an answer
    /// that the store can not hold.
    pub async fn complete(&self, answer: &T) -> Result<()> {
        let leave = async {
            if self.records.place.complete(&self.key, &self.token, &to_json(answer)?).await? {
                return Ok(());
            }
            let message =
                "the lease ended and another began the same, so that its answer counts; take a longer lease";
            Err(Error::new(ErrorKind::Conflict, message).with_retryable(false))
        };
        leave.await.map_err(self.records.named("idempotency.complete", &self.key))
    }

    /// Lets others begin at once, since the work failed and left nothing; `false` when another began already.
    pub async fn give_up(self) -> Result<bool> {
        let given = self.records.place.give_up(&self.key, &self.token).await;
        given.map_err(self.records.named("idempotency.give_up", &self.key))
    }
}
