//! Logs of events.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{BoxStream, Error, Result};

use super::event_group::{GroupConfig, RedisEventGroup};
use crate::RedisBackend;
use crate::driver::{Cmd, bytes, integer, items, text, unexpected};
use crate::error::at;
use crate::script::Script;
use crate::space::Space;

/// How much is sent or read at a time.
const RUN: (usize, usize) = (1_000, 1 << 20);
/// How many events one step of a stream reads.
const PAGE: i64 = 500;

// An event is an entry of a stream with its JSON in the field `d`; beside the stream stand, in its slot, `:id:` and an
// idempotency id (the entry's id), and `:dead` with what nobody could do, in the same form with `id`, `group` and
// `deliveries` beside `d`.

/// Appends an event, unless its idempotency id is known; answers its id, and whether it is new.
static APPEND: Script = Script::new(
    "if KEYS[2] then
  local known = redis.call('GET', KEYS[2])
  if known then return {known, 0} end
end
local id
if ARGV[2] ~= '0' then
  id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'd', ARGV[1])
else
  id = redis.call('XADD', KEYS[1], '*', 'd', ARGV[1])
end
if ARGV[3] ~= '0' then
  local time = redis.call('TIME')
  local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[3]
  redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', oldest))
end
if KEYS[2] then redis.call('SET', KEYS[2], id, 'PX', ARGV[4]) end
return {id, 1}",
);

/// Puts a dead letter back at the end.
static REVIVE: Script = Script::new(
    "local found = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1])
if not found[1] then return false end
local fields = found[1][2]
for i = 1, #fields, 2 do
  if fields[i] == 'd' then
    redis.call('XDEL', KEYS[2], ARGV[1])
    return redis.call('XADD', KEYS[1], '*', 'd', fields[i + 1])
  end
end
return false",
);

/// How a [`RedisEventLog`] keeps events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventLogConfig {
    /// How many events are kept about; the server keeps a few more (a hundred or so). Default `None`: all.
    pub max_events: Option<u64>,
    /// How long an event is kept about, judged when others are appended; default `None`: for ever.
    pub max_age: Option<Duration>,
    /// How long an idempotency id is known; default a day.
    pub idempotency: Duration,
}

impl Default for EventLogConfig {
    fn default() -> Self {
        Self { max_events: None, max_age: None, idempotency: Duration::from_hours(24) }
    }
}

impl EventLogConfig {
    /// Sets how many events are kept about.
    #[must_use]
    pub fn with_max_events(mut self, max_events: u64) -> Self {
        self.max_events = Some(max_events);
        self
    }

    /// Sets how long an event is kept about.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// Sets how long an idempotency id is known.
    #[must_use]
    pub fn with_idempotency(mut self, idempotency: Duration) -> Self {
        self.idempotency = idempotency;
        self
    }
}

/// An event of a log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogEvent<T> {
    /// Its id: `MILLISECONDS-NUMBER`, by the server's clock, greater than those before.
    pub id: String,
    /// The event.
    pub value: T,
    /// How often it was given out to its group; 0 where it was not read by a group.
    pub deliveries: u64,
}

/// What [`RedisEventLog::append_once`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The event's id: of the earlier one, if it was there already.
    pub id: String,
    /// Whether it was appended now.
    pub new: bool,
}

/// An event that nobody could do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its id among the dead letters, for [`RedisEventLog::revive`].
    pub id: String,
    /// Its id in the log.
    pub event: String,
    /// The group that gave it up.
    pub group: String,
    /// How often it was given out.
    pub deliveries: u64,
    /// The event's JSON, as it stands there.
    pub json: Bytes,
}

/// A log of events with values of a type of yours, as JSON, on a Redis stream.
///
/// Events are kept in the order of their appending, until they are trimmed. Groups read them **at least once**: an event
/// that was given out and not acknowledged, as the reader died or failed, is given out again after a time, and becomes a
/// dead letter after some tries; so make what you do idempotent, by the event's id. What is trimmed before a group read
/// it, that group never sees. An acknowledged write is as safe as the server keeps it (append-only file, replicas): a
/// failover may lose the last events.
///
/// All keys, `log:{NAME}` and those that begin so, are in one slot of a cluster.
///
/// ```no_run
/// # use std::time::Duration;
/// # use futures::TryStreamExt;
/// # use serde::{Deserialize, Serialize};
/// # use store_redis::{EventLogConfig, GroupConfig, RedisBackend, RedisConfig, RedisEventLog};
/// #[derive(Serialize, Deserialize)]
/// struct Upload {
///     path: String,
/// }
/// # async fn index(upload: &Upload) -> store_core::Result<()> { Ok(()) }
///
/// # async fn example() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let config = EventLogConfig::default().with_max_events(100_000);
/// let uploads: RedisEventLog<Upload> = RedisEventLog::new(&store, "uploads", config)?;
/// uploads.append_once("request-17", &Upload { path: "a.md".into() }).await?;
///
/// let group = uploads.group("indexers", "worker-1", GroupConfig::default())?;
/// group.ensure().await?;
/// let mut events = group.read().await?;
/// while let Some(event) = events.try_next().await? {
///     if index(&event.value).await.is_ok() {
///         group.ack([&event.id]).await?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct RedisEventLog<T> {
    space: Arc<Space>,
    key: String,
    name: String,
    max_events: u64,
    max_age_ms: i64,
    idempotency_ms: i64,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for RedisEventLog<T> {
    fn clone(&self) -> Self {
        Self {
            space: Arc::clone(&self.space),
            key: self.key.clone(),
            name: self.name.clone(),
            value: PhantomData,
            ..*self
        }
    }
}

impl<T> fmt::Debug for RedisEventLog<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEventLog").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> RedisEventLog<T> {
    /// The log of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (1,024 bytes), no events at all, or times that can not be.
    pub fn new(backend: &RedisBackend, name: &str, config: EventLogConfig) -> Result<Self> {
        let space = Arc::clone(backend.space());
        let prepare = || {
            if config.max_events == Some(0) {
                return Err(Error::invalid_input("a log that keeps no events is of no use"));
            }
            let max_age = config.max_age.map_or(Ok(0), |age| super::millis("greatest age", age))?;
            let idempotency = super::millis("time of idempotency ids", config.idempotency)?;
            Ok((super::key(&space, "log", name)?, max_age, idempotency))
        };
        let (key, max_age_ms, idempotency_ms) = prepare().map_err(at("event_log"))?;
        let (name, max_events) = (name.to_owned(), config.max_events.unwrap_or(0));
        Ok(Self { space, key, name, max_events, max_age_ms, idempotency_ms, value: PhantomData })
    }

    /// Appends an event; answers its id.
    pub async fn append(&self, value: &T) -> Result<String> {
        self.append_now(None, value).await.map(|appended| appended.id).map_err(self.at("event_log.append"))
    }

    /// Appends an event, unless one with this idempotency id was appended lately: after a timeout, say it again.
    pub async fn append_once(&self, idempotency_id: &str, value: &T) -> Result<Appended> {
        self.append_now(Some(idempotency_id), value).await.map_err(self.at("event_log.append_once"))
    }

    async fn append_now(&self, idempotency_id: Option<&str>, value: &T) -> Result<Appended> {
        let json = Bytes::from(super::to_json(&self.name, value)?);
        let mut keys = vec![self.key.clone()];
        if let Some(id) = idempotency_id {
            super::name("idempotency id", id)?;
            keys.push(format!("{}:id:{id}", self.key));
        }
        let args: [Value; 4] = [
            json.into(),
            self.max_events.to_string().into(),
            self.max_age_ms.into(),
            self.idempotency_ms.into(),
        ];
        let answer = self.space.script(&APPEND, keys, args).await?;
        let parts = items(answer);
        match parts.as_slice() {
            [id, new] => {
                let id = text(id).ok_or_else(|| unexpected("XADD", id))?.to_owned();
                Ok(Appended { id, new: integer(new) == Some(1) })
            }
            _ => Err(unexpected("XADD", &Value::Null)),
        }
    }

    /// Appends events in their order, 1,000 or 1 MB at a time; answers their ids. Age is not judged.
    ///
    /// # Errors
    /// Before anything is written: `InvalidInput` for one that can not be written as JSON, its place being the key. What
    /// failed later is in `failed` by its place; nothing was sent after that.
    pub async fn append_many(&self, values: &[T]) -> Result<Vec<String>> {
        let append = async {
            let commands: Vec<Cmd> = values
                .iter()
                .enumerate()
                .map(|(place, value)| {
                    let json = Bytes::from(super::to_json(&place.to_string(), value)?);
                    let mut command = Cmd::write("XADD", self.key.as_str());
                    if self.max_events > 0 {
                        command = command.arg("MAXLEN").arg("~").arg(self.max_events.to_string());
                    }
                    Ok(command.arg("*").arg("d").arg(json))
                })
                .collect::<Result<_>>()?;
            let mut ids = Vec::with_capacity(values.len());
            let mut commands = commands.into_iter().peekable();
            while commands.peek().is_some() {
                let (mut run, mut size) = (Vec::new(), 0);
                while run.len() < RUN.0 {
                    let fits = |command: &Cmd| run.is_empty() || size + command.size() <= RUN.1;
                    let Some(command) = commands.next_if(fits) else { break };
                    size += command.size();
                    run.push(command);
                }
                let begin = ids.len();
                let failed = |from: usize, error: Error| {
                    error.with_failed((from..values.len()).map(|place| place.to_string()))
                };
                let answers = self.space.pipeline(run).await.map_err(|error| failed(begin, error))?;
                for answer in answers {
                    let place = ids.len();
                    let answer = answer.map_err(|error| failed(place, error))?;
                    ids.push(text(&answer).ok_or_else(|| unexpected("XADD", &answer))?.to_owned());
                }
            }
            Ok(ids)
        };
        append.await.map_err(self.at("event_log.append_many"))
    }

    /// All events after this one, or from the first, as they are now; no group knows of it.
    #[must_use]
    pub fn events(&self, after: Option<&str>) -> BoxStream<LogEvent<T>> {
        let named = self.at("event_log.events");
        let events = self.entries(self.key.clone(), after.map(str::to_owned)).map(move |entry| {
            let Entry { id, fields } = entry?;
            event(&id, field(fields, "d"), 0)
        });
        Box::pin(events.map_err(named))
    }

    /// The events that groups gave up, oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> BoxStream<DeadLetter> {
        let letters = self.entries(dead_key(&self.key), None).map(|entry| {
            let Entry { id, fields } = entry?;
            let text =
                |name| field(fields.clone(), name).map(|value| String::from_utf8_lossy(&value).into_owned());
            Ok(DeadLetter {
                event: text("id").unwrap_or_default(),
                group: text("group").unwrap_or_default(),
                deliveries: text("deliveries").and_then(|count| count.parse().ok()).unwrap_or_default(),
                json: field(fields, "d").unwrap_or_default(),
                id,
            })
        });
        Box::pin(letters.map_err(self.at("event_log.dead_letters")))
    }

    /// Appends a dead letter to the log again, for all groups, and takes it off the dead ones; answers the new id, or
    /// `None` if there is no such letter.
    pub async fn revive(&self, dead_letter: &str) -> Result<Option<String>> {
        let keys = [self.key.clone(), dead_key(&self.key)];
        let answer =
            self.space.script(&REVIVE, keys, [dead_letter]).await.map_err(self.at("event_log.revive"))?;
        Ok(text(&answer).map(str::to_owned))
    }

    /// How many events there are.
    pub async fn len(&self) -> Result<u64> {
        let answer = self.space.call(Cmd::read("XLEN", self.key.as_str())).await;
        let counted = answer.and_then(|answer| {
            integer(&answer)
                .and_then(|count| u64::try_from(count).ok())
                .ok_or_else(|| unexpected("XLEN", &answer))
        });
        counted.map_err(self.at("event_log.len"))
    }

    /// Whether there are no events.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// A reader of a group, by the group's name and its own, which no other reader has at the time.
    ///
    /// # Errors
    /// `InvalidInput` for empty or too long names (1,024 bytes), and for a configuration that can not be.
    pub fn group(&self, group: &str, consumer: &str, config: GroupConfig) -> Result<RedisEventGroup<T>> {
        RedisEventGroup::new(Arc::clone(&self.space), self.key.clone(), group, consumer, config)
            .map_err(self.at("event_log.group"))
    }

    fn at(&self, operation: &'static str) -> impl Fn(Error) -> Error + use<T> {
        let name = self.name.clone();
        move |error| at(operation)(error).with_collection(name.clone())
    }

    /// The entries of a stream.
    fn entries(&self, key: String, after: Option<String>) -> BoxStream<Entry> {
        let space = Arc::clone(&self.space);
        let pages = stream::try_unfold(Some(after), move |after| {
            let (space, key) = (Arc::clone(&space), key.clone());
            async move {
                let Some(after) = after else { return Ok(None) };
                let from = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
                let range = Cmd::read("XRANGE", key).arg(from).arg("+").arg("COUNT").arg(PAGE);
                let page = entries(space.call(range).await?);
                let last = page.last().map(|entry| Some(entry.id.clone()));
                Ok(Some((stream::iter(page.into_iter().map(Ok)), last)))
            }
        });
        Box::pin(pages.try_flatten())
    }
}

/// Where a log's dead letters are.
pub(super) fn dead_key(key: &str) -> String {
    format!("{key}:dead")
}

/// An entry of a stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) fields: Vec<Value>,
}

/// The entries of an answer; none for those that were removed.
pub(super) fn entries(answer: Value) -> Vec<Entry> {
    let entry = |entry: Value| {
        let [id, fields] = items(entry).try_into().ok()?;
        Some(Entry { id: text(&id)?.to_owned(), fields: items(fields) })
    };
    items(answer).into_iter().filter_map(entry).collect()
}

/// The value of a field.
pub(super) fn field(fields: Vec<Value>, name: &str) -> Option<Bytes> {
    let mut fields = fields.into_iter();
    while let (Some(field), Some(value)) = (fields.next(), fields.next()) {
        if text(&field) == Some(name) {
            return bytes(value);
        }
    }
    None
}

/// An event of its JSON.
pub(super) fn event<T: DeserializeOwned>(
    id: &str,
    json: Option<Bytes>,
    deliveries: u64,
) -> Result<LogEvent<T>> {
    let json =
        json.ok_or_else(|| Error::corrupt("the entry of the stream is no event of this log").with_key(id))?;
    Ok(LogEvent { id: id.to_owned(), value: super::from_json(id, &json)?, deliveries })
}
