//! Transactions: several writes that happen together or not at all.

use std::sync::Arc;
use std::time::Duration;

use bson::doc;
use futures::future::BoxFuture;
use mongodb::error::{Error as DriverError, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{ClientSession, Database};
use store_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use crate::MongoBackend;
use crate::error::{at, code};
use crate::space::Space;

/// The longest pause before a transaction is tried again, in milliseconds.
const LONGEST_PAUSE: u64 = 64;
/// The server's code for "took longer than maxTimeMS", which no repetition helps.
const MAX_TIME_EXPIRED: i32 = 50;

/// In [`Space::known`]: the server is a replica set or a sharded cluster.
const TRANSACTIONS: &str = "transactions";
/// In [`Space::known`]: it is neither.
const STANDALONE: &str = "standalone";

/// Runs several reads and writes as one: all of them happen, or none.
///
/// * It reads one snapshot of the data, and its writes are acknowledged by a majority and survive a failover.
/// * When another writer is in the way, or the primary fails, the whole body runs again, after a short random pause;
///   a commit whose answer was lost is asked for again and happens once. Both until the [deadline](Self::within).
/// * The body must therefore do nothing but calls with the session it is given, and hand on each error of the driver
///   unchanged.
/// * Once begun it runs to its end, even if the caller stops waiting.
///
/// A standalone server has no transactions: `Unsupported`.
///
/// ```no_run
/// # async fn example(backend: store_mongodb::MongoBackend) -> store_core::Result<()> {
/// use futures::FutureExt as _;
/// use store_mongodb::mongodb::bson::{Document, doc};
///
/// let stock = backend.client()?.database("shop").collection::<Document>("stock");
/// let moved = backend
///     .transaction()
///     .run(move |session| {
///         let stock = stock.clone();
///         async move {
///             let filter = doc! {"_id": "cellar", "bottles": {"$gte": 6}};
///             let taken = stock.update_one(filter, doc! {"$inc": {"bottles": -6}}).session(&mut *session).await?;
///             if taken.matched_count == 0 {
///                 return Ok(false);
///             }
///             stock.update_one(doc! {"_id": "shop"}, doc! {"$inc": {"bottles": 6}}).session(session).await?;
///             Ok(true)
///         }
///         .boxed()
///     })
///     .await?;
/// assert!(moved);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MongoTransaction {
    space: Arc<Space>,
    limit: Duration,
}

impl MongoBackend {
    /// A transaction on this store's server; any of its databases and collections may take part.
    #[must_use]
    pub fn transaction(&self) -> MongoTransaction {
        MongoTransaction { space: Arc::clone(self.space()), limit: self.space().config.operation_timeout }
    }
}

impl MongoTransaction {
    /// How long it may take, with every repetition; default the store's `operation_timeout`. The server ends a single
    /// attempt after 60 s (`transactionLifetimeLimitSeconds`).
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the body and commits; what the body answers is the answer. An error of the body undoes everything.
    ///
    /// # Errors
    /// The body's or the commit's. After the deadline `Conflict` or `Unavailable`, as the last attempt ended;
    /// `Timeout` when it is not known whether the commit was made.
    pub async fn run<T, F>(self, mut body: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'s> FnMut(&'s mut ClientSession) -> BoxFuture<'s, mongodb::error::Result<T>> + Send + 'static,
    {
        let whole = async move {
            if !supported(&self.space).await? {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "a standalone server has no transactions; make it a replica set, of one member if need be",
                ));
            }
            let mut attempts = Attempts::new(&self.space, self.limit);
            loop {
                let mut session = attempts.begin().await?;
                let outcome = self.space.call(body(&mut session)).await;
                if let Some(answer) = attempts.end(session, outcome).await? {
                    return Ok(answer);
                }
            }
        };
        to_its_end(whole).await.map_err(at("transaction"))
    }
}

/// Runs a change to its end, even if the caller stops waiting: a transaction whose first command or whose commit is
/// dropped half-way would stay open on the server and stand in everyone's way for a minute.
pub(crate) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(change).await.unwrap_or_else(|error| {
        let message = format!("the call was cut off as its runtime ended; {}", Error::UNKNOWN_WRITE);
        Err(Error::new(ErrorKind::Unavailable, message).with_retryable(false).with_source(error))
    })
}

/// What kind of server this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deployment {
    Standalone,
    ReplicaSet,
    Sharded,
}

/// Asks the server what it is.
pub(crate) async fn deployment(space: &Space) -> Result<Deployment> {
    let admin: Database = space.client()?.database("admin");
    let hello = space.call(admin.run_command(doc! {"hello": 1})).await?;
    Ok(if hello.get_str("msg").is_ok_and(|kind| kind == "isdbgrid") {
        Deployment::Sharded
    } else if hello.contains_key("setName") {
        Deployment::ReplicaSet
    } else {
        Deployment::Standalone
    })
}

/// Whether the server has transactions: all but standalone ones do. Asked once.
pub(crate) async fn supported(space: &Space) -> Result<bool> {
    let known = &space.known;
    if !known.has(TRANSACTIONS) && !known.has(STANDALONE) {
        let standalone = deployment(space).await? == Deployment::Standalone;
        known.set(if standalone { STANDALONE } else { TRANSACTIONS }, true);
    }
    Ok(known.has(TRANSACTIONS))
}

/// The attempts at one transaction, until it is committed or its time is over.
pub(crate) struct Attempts<'a> {
    space: &'a Space,
    deadline: Instant,
    count: u32,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(space: &'a Space, limit: Duration) -> Self {
        Self { space, deadline: Instant::now() + limit, count: 0 }
    }

    /// Whether an earlier attempt may have left something.
    pub(crate) fn is_repetition(&self) -> bool {
        self.count > 1
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&mut self) -> Result<ClientSession> {
        self.count = self.count.saturating_add(1);
        let mut session = self.space.call(self.space.client()?.start_session()).await?;
        let start = session
            .start_transaction()
            .read_concern(ReadConcern::snapshot())
            .write_concern(WriteConcern::majority())
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        self.space.call(start).await?;
        Ok(session)
    }

    /// Commits it, or undoes it; `None` asks for another attempt.
    pub(crate) async fn end<T>(
        &mut self,
        mut session: ClientSession,
        outcome: Result<T>,
    ) -> Result<Option<T>> {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => {
                // Whatever comes of it: the server undoes by itself what is never committed.
                let _ = self.space.call(session.abort_transaction()).await;
                return self.again(error).await;
            }
        };
        loop {
            let Err(error) = self.space.call(session.commit_transaction()).await else {
                return Ok(Some(answer));
            };
            if !may_have_committed(&error) || !self.pause().await {
                return self.again(error).await;
            }
        }
    }

    /// After a failure that undid everything: pauses and asks for another attempt, if one may help.
    async fn again<T>(&self, error: Error) -> Result<Option<T>> {
        if has_label(&error, TRANSIENT_TRANSACTION_ERROR) && self.pause().await {
            return Ok(None);
        }
        Err(error)
    }

    /// Waits a short random time, longer the more attempts failed; `false` when the time is over.
    async fn pause(&self) -> bool {
        let most = (1_u64 << self.count.min(6)).min(LONGEST_PAUSE);
        let pause = Duration::from_millis(fastrand::u64(..most));
        if Instant::now() + pause >= self.deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

fn may_have_committed(error: &Error) -> bool {
    has_label(error, UNKNOWN_TRANSACTION_COMMIT_RESULT) && code(error) != Some(MAX_TIME_EXPIRED)
}

fn has_label(error: &Error, label: &str) -> bool {
    error.downcast_ref::<DriverError>().is_some_and(|error| error.contains_label(label))
}
