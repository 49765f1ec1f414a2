//! Following the changes of a collection: the reader's documents as they come, change and go.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Document as BsonDocument, doc};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ResumeToken;
use mongodb::options::{ChangeStreamOptions, FullDocumentType};
use serde::{Deserialize, Serialize};
use store_core::{BoxStream, Document, Error, ErrorKind, Filter, NodeId, Result, Timestamp};

use crate::codec::{damaged, to_json};
use crate::error::server_code;
use crate::python_text::python_str;
use crate::reader::{MongoReader, projection};
use crate::space::Space;
use crate::target::{backoff, criteria};

const OPEN: &str = "watch.open";
const NEXT: &str = "watch.next";
/// How long a lost server is waited for, unless said otherwise.
const PATIENCE: Duration = Duration::from_mins(1);
/// Codes of a cursor that is gone while the changes are still there: not found, killed, interrupted, its place
/// overwritten, no member that may be read from.
const LOST_CURSOR: [i32; 5] = [43, 237, 11601, 136, 133];
const HISTORY_LOST: i32 = 286;
const BAD_TOKEN: [i32; 2] = [260, 50_811];
const NO_REPLICA_SET: i32 = 40573;

/// What happened to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It is new.
    Inserted,
    /// Some of it changed.
    Updated,
    /// All of it but its id may have changed.
    Replaced,
    /// It is gone.
    Deleted,
    /// It was written, and does not match the reader's filter: if you have it from before, it is to go.
    Left,
    /// The whole collection was dropped or renamed; no more changes follow.
    Dropped,
}

/// One change of a collection.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The document's id as the reader gives it; `None` only for [`ChangeKind::Dropped`].
    pub id: Option<NodeId>,
    /// The document as it is now. `None` where there is none (deleted, left, dropped), where the reader leaves
    /// it out for a missing field, and for an update of a document that was deleted since: that follows.
    pub document: Option<Document>,
    /// When the server made the change, to the second.
    pub at: Option<Timestamp>,
    /// The place after this change, to go on from with [`MongoWatch::after`].
    pub token: WatchToken,
}

/// A place in the changes of a server, to be stored as text and given back.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WatchToken(String);

/// The driver's token as a member of a document.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    t: ResumeToken,
}

impl WatchToken {
    fn new(token: ResumeToken) -> Result<Self> {
        let bytes = bson::serialize_to_vec(&Wrapped { t: token }).map_err(damaged)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    fn resume_token(&self) -> Result<ResumeToken> {
        let refuse = || Error::invalid_input("the token is none that a watch gave, or is damaged");
        let bytes = URL_SAFE_NO_PAD.decode(&self.0).map_err(|error| refuse().with_source(error))?;
        let wrapped: Wrapped =
            bson::deserialize_from_slice(&bytes).map_err(|error| refuse().with_source(error))?;
        Ok(wrapped.t)
    }

    /// The text, to store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WatchToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WatchToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchToken({})", self.0)
    }
}

/// A stored token; `InvalidInput` for a text that is none.
impl FromStr for WatchToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let token = Self(text.to_owned());
        token.resume_token()?;
        Ok(token)
    }
}

/// Where and how to follow the changes of a collection.
///
/// To keep something else in step with a collection, open the watch first, then read the collection, then apply
/// the changes; store the token of the last change applied, and begin there next time:
///
/// ```no_run
/// # use store_mongodb::{MongoBackend, MongoConfig, ChangeKind};
/// use futures::TryStreamExt;
/// use store_core::{Reader, filter::field};
///
/// # async fn follow(stored: Option<String>) -> store_core::Result<()> {
/// let store = MongoBackend::connect(MongoConfig::new("mongodb://localhost/?replicaSet=rs0")).await?;
/// let reader = store.reader("articles").in_database("news").with_filter(field("published").eq(true));
/// let mut watch = reader.watch();
/// if let Some(token) = &stored {
///     watch = watch.after(token.parse()?);
/// }
/// let mut changes = watch.open().await?;
/// if stored.is_none() {
///     let documents = reader.read().try_collect::<Vec<_>>().await?;
///     println!("{} documents to begin with", documents.len());
/// }
/// while let Some(change) = changes.next().await? {
///     match (change.kind, &change.id, &change.document) {
///         (_, Some(id), Some(document)) => println!("put {id}: {}", document.text_content()),
///         (ChangeKind::Deleted | ChangeKind::Left, Some(id), None) => println!("remove {id}"),
///         _ => {}
///     }
///     println!("store {}", change.token);
/// }
/// # Ok(())
/// # }
/// ```
///
/// The server must be a replica set (one of a single member will do) or a sharded cluster. It keeps changes for as
/// long as its oplog reaches back; a watch that begins before that is `NotFound`: read the collection again.
#[derive(Clone, Debug)]
pub struct MongoWatch {
    reader: MongoReader,
    token: Option<WatchToken>,
    start: Option<Timestamp>,
    patience: Duration,
}

impl MongoReader {
    /// The changes of the collection as documents of this reader; see [`MongoWatch`]. Fields, metadata, filter and
    /// what is done about missing fields hold for the changes too; limit, place and order do not apply; a
    /// query of MongoDB's own can not be watched, use a filter.
    #[must_use]
    pub fn watch(&self) -> MongoWatch {
        MongoWatch { reader: self.clone(), token: None, start: None, patience: PATIENCE }
    }
}

impl MongoWatch {
    /// Begins after the change of this token, or after the place where a watch was that gave it.
    #[must_use]
    pub fn after(mut self, token: WatchToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Begins with the first change at or after this time, to the second. A token goes before a time. Default: with
    /// the first change after [`open`](Self::open).
    #[must_use]
    pub fn start_at(mut self, time: Timestamp) -> Self {
        self.start = Some(time);
        self
    }

    /// How long a lost server is waited for before [`next`](MongoChanges::next) gives the error; default 60 s. The
    /// next call tries again; no change is lost in between.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Begins to watch: every change after this call will be given.
    ///
    /// # Errors
    /// `Unsupported` for a server without a replica set, `NotFound` for a place that the server does not reach back
    /// to, `InvalidInput` for a damaged token or a reader with a query.
    pub async fn open(&self) -> Result<MongoChanges> {
        let at = self.reader.target.at(OPEN);
        let events = self.connect(self.token.as_ref()).await.map_err(&at)?;
        let token = events.resume_token().map(WatchToken::new).transpose().map_err(&at)?;
        let token = token.or_else(|| self.token.clone());
        Ok(MongoChanges { watch: self.clone(), state: State::Open(events), token, lost: None })
    }

    async fn connect(&self, token: Option<&WatchToken>) -> Result<Events> {
        self.reader.check()?;
        if self.reader.has_query() {
            return Err(Error::invalid_input(
                "changes can not be matched against a query of MongoDB's own; give the reader a filter instead",
            ));
        }
        let collection = self.reader.target.collection::<RawDocumentBuf>()?;
        let watch = collection.watch().pipeline(self.pipeline()).with_options(self.options(token)?);
        let events = self.reader.target.space.call(watch).await.map_err(explained)?;
        Ok(Box::new(events.with_type()))
    }

    fn options(&self, token: Option<&WatchToken>) -> Result<ChangeStreamOptions> {
        let mut options = ChangeStreamOptions::default();
        options.full_document = Some(FullDocumentType::UpdateLookup);
        options.selection_criteria = self.reader.read_preference.map(criteria);
        options.batch_size = self.reader.batch_size;
        if let Some(token) = token {
            // Unlike resumeAfter it also goes on after the collection was dropped and made anew.
            options.start_after = Some(token.resume_token()?);
        } else if let Some(start) = self.start {
            let seconds = start.as_nanoseconds().div_euclid(1_000_000_000);
            let time = u32::try_from(seconds).map_err(|_| {
                Error::invalid_input(format!("changes can begin from 1970 to 2106, not at {start}"))
            })?;
            options.start_at_operation_time = Some(bson::Timestamp { time, increment: 0 });
        }
        Ok(options)
    }

    /// Only what is needed: an update of a large document would not fit into an event with all that changed.
    fn pipeline(&self) -> [BsonDocument; 2] {
        let kinds = ["insert", "update", "replace", "delete", "drop", "rename", "dropDatabase", "invalidate"];
        let filtered = self.reader.filter.as_ref().map(Filter::keys).unwrap_or_default();
        let mut fields = doc! {"operationType": 1, "documentKey": 1, "clusterTime": 1};
        for (path, shown) in projection(self.reader.paths().chain(filtered)) {
            fields.insert(format!("fullDocument.{path}"), shown);
        }
        [doc! {"$match": {"operationType": {"$in": kinds.as_slice()}}}, doc! {"$project": fields}]
    }
}

type Events = Box<ChangeStream<RawDocumentBuf>>;

enum State {
    Closed,
    Open(Events),
    /// A call under way. It stands here and not in the caller's future, so that a dropped `next` loses nothing.
    Waiting(BoxFuture<'static, (Events, Result<Option<RawDocumentBuf>>)>),
    Ended,
}

/// The changes of a collection, from where a [`MongoWatch`] began.
///
/// A lost connection, a failover or a cursor that the server closed is healed by going on after the last change, so
/// that none is missed and none comes twice.
pub struct MongoChanges {
    watch: MongoWatch,
    state: State,
    token: Option<WatchToken>,
    /// Since when, and how often in vain, the server is looked for.
    lost: Option<(Instant, u32)>,
}

impl fmt::Debug for MongoChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoChanges")
            .field("watch", &self.watch)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

impl MongoChanges {
    /// The place reached so far. It moves on also while nothing changes in this collection: store it from time to
    /// time, or a quiet collection's token grows older than what the server keeps.
    #[must_use]
    pub fn token(&self) -> Option<&WatchToken> {
        self.token.as_ref()
    }

    /// Waits for the next change; `None` after the collection was dropped or renamed. A call may be dropped at any
    /// time (in a `select!`, by a timeout) and loses no change.
    ///
    /// # Errors
    /// `NotFound` when the watch was away for longer than the server keeps changes, `Unavailable` or `Timeout` when
    /// the server stays lost for longer than [`with_patience`](MongoWatch::with_patience). An error of one document
    /// (a missing field) names it, and the next call goes on with the next change.
    pub async fn next(&mut self) -> Result<Option<Change>> {
        self.step().await.map_err(self.watch.reader.target.at(NEXT))
    }

    /// The changes as a stream, which ends after an error that is not of one document.
    #[must_use]
    pub fn into_stream(self) -> BoxStream<Change> {
        stream::unfold(Some(self), |changes| async move {
            let mut changes = changes?;
            match changes.next().await.transpose()? {
                Err(error) if matches!(changes.state, State::Closed) => Some((Err(error), None)),
                row => Some((row, Some(changes))),
            }
        })
        .boxed()
    }

    async fn step(&mut self) -> Result<Option<Change>> {
        loop {
            match &mut self.state {
                State::Ended => return Ok(None),
                State::Closed => match self.watch.connect(self.token.as_ref()).await {
                    Ok(events) => self.state = State::Open(events),
                    Err(error) => self.pause(error).await?,
                },
                State::Open(_) => {
                    let State::Open(events) = std::mem::replace(&mut self.state, State::Closed) else {
                        continue;
                    };
                    let space = Arc::clone(&self.watch.reader.target.space);
                    self.state = State::Waiting(advance(events, space).boxed());
                }
                State::Waiting(call) => {
                    let (events, answer) = call.await;
                    self.state = State::Closed;
                    match answer {
                        Err(error) => self.pause(error).await?,
                        Ok(event) => {
                            self.lost = None;
                            if let Some(change) = self.take(events, event.as_deref())? {
                                return Ok(Some(change));
                            }
                        }
                    }
                }
            }
        }
    }

    /// Takes in what the server answered.
    fn take(&mut self, events: Events, event: Option<&RawDocument>) -> Result<Option<Change>> {
        let alive = events.is_alive();
        let Some(event) = event else {
            if let Some(token) = events.resume_token() {
                self.token = Some(WatchToken::new(token)?);
            }
            self.state = if alive { State::Open(events) } else { State::Ended };
            return Ok(None);
        };
        self.state = State::Open(events);
        let id = event.get("_id").map_err(damaged)?;
        let id = id.ok_or_else(|| Error::corrupt("the server sent a change without a token"))?;
        let wrapped = bson::serialize_to_vec(&doc! {"t": bson::Bson::try_from(id).map_err(damaged)?});
        let token = WatchToken(URL_SAFE_NO_PAD.encode(wrapped.map_err(damaged)?));
        self.token = Some(token.clone());
        let kind = match event.get_str("operationType").unwrap_or_default() {
            "insert" => ChangeKind::Inserted,
            "update" => ChangeKind::Updated,
            "replace" => ChangeKind::Replaced,
            "delete" => ChangeKind::Deleted,
            "invalidate" => {
                self.state = State::Ended;
                return Ok(None);
            }
            _ => ChangeKind::Dropped,
        };
        self.change(kind, event, token).map(Some)
    }

    fn change(&self, mut kind: ChangeKind, event: &RawDocument, token: WatchToken) -> Result<Change> {
        let reader = &self.watch.reader;
        let id = event.get_document("documentKey").ok().and_then(|key| key.get("_id").ok().flatten());
        let id = id.map(python_str).transpose()?.map(NodeId::new);
        let seconds = event.get_timestamp("clusterTime").map(|stamp| i128::from(stamp.time));
        let at = seconds.ok().and_then(|at| Timestamp::from_nanoseconds(at * 1_000_000_000).ok());
        let mut document = None;
        if let Ok(stored) = event.get_document("fullDocument") {
            if reader
                .filter
                .as_ref()
                .is_none_or(|filter| to_json(stored).is_ok_and(|json| filter.matches(&json)))
            {
                document = reader.document(stored)?.map(|(document, _)| document);
            } else {
                kind = ChangeKind::Left;
            }
        }
        Ok(Change { kind, id, document, at, token })
    }

    /// Waits before the next attempt, or gives the error back when another would not help.
    async fn pause(&mut self, error: Error) -> Result<()> {
        let lost_cursor = server_code(&error).is_some_and(|code| LOST_CURSOR.contains(&code));
        let (since, attempt) = self.lost.unwrap_or((Instant::now(), 0));
        if !(lost_cursor || error.is_retryable()) || since.elapsed() > self.watch.patience {
            self.lost = None;
            return Err(explained(error));
        }
        tracing::debug!(attempt, "the watch lost its cursor and goes on with a new one");
        self.lost = Some((since, attempt + 1));
        tokio::time::sleep(backoff(attempt)).await;
        Ok(())
    }
}

async fn advance(mut events: Events, space: Arc<Space>) -> (Events, Result<Option<RawDocumentBuf>>) {
    let answer = space.call(events.next_if_any()).await;
    (events, answer)
}

/// Says what to do about an error of the server's that a watch meets.
fn explained(error: Error) -> Error {
    let (kind, message) = match server_code(&error) {
        Some(NO_REPLICA_SET) => (
            ErrorKind::Unsupported,
            "changes are only kept by a replica set; a single server becomes one when it is started with \
             --replSet and initiated with rs.initiate()",
        ),
        Some(HISTORY_LOST) => (
            ErrorKind::NotFound,
            "the server no longer has the changes since that place: its oplog does not reach back so far; read the \
             collection again and watch from now on",
        ),
        Some(code) if BAD_TOKEN.contains(&code) => {
            (ErrorKind::InvalidInput, "the server can not use the token; it is damaged or of another server")
        }
        _ => return error,
    };
    Error::new(kind, message).with_retryable(false).with_source(error)
}
