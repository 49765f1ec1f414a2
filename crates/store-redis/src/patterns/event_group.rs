//! Readers of a log of events.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use futures::stream;
use serde::de::DeserializeOwned;
use store_core::{BoxStream, Error, Result};
use tokio::time::Instant;
use tracing::warn;

use super::event_log::{LogEvent, dead_key, entries, event, field};
use crate::RedisValue;
use crate::driver::{Cmd, Driver, integer, items, text};
use crate::error::{at, closed, server_says};
use crate::script::Script;
use crate::space::Space;

const READ: &str = "event_group.read";
/// How long a read waits for an event before it looks at other things.
const BLOCK: Duration = Duration::from_secs(1);
/// How long a reader waits after an error that may pass.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes over what others were given and did not acknowledge in time, and puts aside what was given out too often.
/// Answers where to go on, and ids, deliveries and data in turn.
static CLAIM: Script = Script::new(
    "local claimed = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], 'COUNT', ARGV[5])
local found = {}
for _, entry in ipairs(claimed[2]) do
  if entry and entry[2] then
    local id = entry[1]
    local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
    local deliveries = pending and pending[4] or 1
    local data = false
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'd' then data = entry[2][i + 1] end
    end
    if deliveries > tonumber(ARGV[6]) then
      redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[7], '*',
        'd', data or '', 'id', id, 'group', ARGV[1], 'deliveries', deliveries - 1)
      redis.call('XACK', KEYS[1], ARGV[1], id)
    else
      found[#found + 1] = {id, deliveries, data}
    end
  end
end
return {claimed[1], found}",
);

/// Where a new group begins to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupStart {
    /// With the oldest event. The default.
    #[default]
    Oldest,
    /// With what is appended from now on.
    New,
}

/// How a group reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupConfig {
    /// Where the group begins when it is made; default with the oldest event.
    pub start: GroupStart,
    /// How many events a reader is given at a time, 1 to 10,000; default 100. It should do them all within
    /// `claim_after`.
    pub batch: u32,
    /// After what time an event that was given out and not acknowledged is given to another; default a minute.
    pub claim_after: Duration,
    /// How often an event is given out before it is put among the dead letters; default 5, at least 1.
    pub max_deliveries: u32,
    /// How many dead letters are kept about; default 10,000.
    pub max_dead: u64,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            start: GroupStart::Oldest,
            batch: 100,
            claim_after: Duration::from_mins(1),
            max_deliveries: 5,
            max_dead: 10_000,
        }
    }
}

impl GroupConfig {
    /// Sets where a new group begins.
    #[must_use]
    pub fn with_start(mut self, start: GroupStart) -> Self {
        self.start = start;
        self
    }

    /// Sets how many events a reader is given at a time.
    #[must_use]
    pub fn with_batch(mut self, batch: u32) -> Self {
        self.batch = batch;
        self
    }

    /// Sets after what time an event is given to another.
    #[must_use]
    pub fn with_claim_after(mut self, claim_after: Duration) -> Self {
        self.claim_after = claim_after;
        self
    }

    /// Sets how often an event is given out before it is put aside.
    #[must_use]
    pub fn with_max_deliveries(mut self, max_deliveries: u32) -> Self {
        self.max_deliveries = max_deliveries;
        self
    }

    /// Sets how many dead letters are kept about.
    #[must_use]
    pub fn with_max_dead(mut self, max_dead: u64) -> Self {
        self.max_dead = max_dead;
        self
    }

    fn check(&self) -> Result<()> {
        super::millis("time after which an event is claimed", self.claim_after)?;
        if !(1..=10_000).contains(&self.batch) || self.max_deliveries == 0 || self.max_dead == 0 {
            return Err(Error::invalid_input(
                "a batch is 1 to 10,000 events, and there is at least one delivery and one dead letter",
            ));
        }
        Ok(())
    }
}

/// How far a group is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupLag {
    /// Events that were given out and not acknowledged.
    pub pending: u64,
    /// Events that were not given out yet; `None` where the server does not know: before Redis 7.0, and after events
    /// were removed from within.
    pub unread: Option<u64>,
}

/// A reader of a [`RedisEventLog`](crate::RedisEventLog) in a group, whose readers share the events.
pub struct RedisEventGroup<T> {
    inner: Arc<Inner>,
    value: PhantomData<fn() -> T>,
}

#[derive(Debug)]
struct Inner {
    space: Arc<Space>,
    key: String,
    group: String,
    consumer: String,
    config: GroupConfig,
}

impl<T> Clone for RedisEventGroup<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), value: PhantomData }
    }
}

impl<T> fmt::Debug for RedisEventGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { key, group, consumer, .. } = &*self.inner;
        let mut debug = f.debug_struct("RedisEventGroup");
        debug.field("key", key).field("group", group).field("consumer", consumer).finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned + Send + 'static> RedisEventGroup<T> {
    pub(super) fn new(
        space: Arc<Space>,
        key: String,
        group: &str,
        consumer: &str,
        config: GroupConfig,
    ) -> Result<Self> {
        super::name("group", group)?;
        super::name("consumer", consumer)?;
        config.check()?;
        let (group, consumer) = (group.to_owned(), consumer.to_owned());
        Ok(Self { inner: Arc::new(Inner { space, key, group, consumer, config }), value: PhantomData })
    }

    /// Makes the group if it is not there; whether it was made.
    pub async fn ensure(&self) -> Result<bool> {
        let inner = &self.inner;
        let start = if inner.config.start == GroupStart::New { "$" } else { "0" };
        let create = Cmd::keyless("XGROUP").once().arg("CREATE").arg(inner.key.as_str()).keyed_at(1);
        match inner.space.call(create.arg(inner.group.as_str()).arg(start).arg("MKSTREAM")).await {
            Ok(_) => Ok(true),
            Err(error) if server_says(&error, "BUSYGROUP") => Ok(false),
            Err(error) => Err(at("event_group.ensure")(error).with_key(inner.group.as_str())),
        }
    }

    /// The events of the group, for ever: new ones as they come, and those that others were given and did not
    /// acknowledge in time. It waits on a connection of its own, and goes on when that was lost.
    ///
    /// An event that is no such value is a `Corrupt` error with its id as the key, and the stream goes on; it is given
    /// out again and becomes a dead letter. Any other error ends the stream. What was read ahead and not taken when the
    /// stream is dropped comes again after [`GroupConfig::claim_after`].
    ///
    /// # Errors
    /// When the connection can not be made; in the stream, `NotFound` without the group and `Unavailable` when the
    /// store is closed.
    pub async fn read(&self) -> Result<BoxStream<LogEvent<T>>> {
        let space = &self.inner.space;
        let connect = async { space.driver()?.own_connection(space.config.connect_timeout()).await };
        let reader = Reader {
            connection: connect.await.map_err(at(READ))?,
            inner: Arc::clone(&self.inner),
            ready: VecDeque::new(),
            next_claim: Instant::now(),
            cursor: FIRST.to_owned(),
            ended: false,
        };
        Ok(Box::pin(stream::unfold(reader, async |mut reader| {
            let (id, deliveries, json) = match reader.next().await? {
                Ok(ready) => ready,
                Err(error) => return Some((Err(at(READ)(error)), reader)),
            };
            Some((event(&id, json, deliveries).map_err(at(READ)), reader))
        })))
    }

    /// Says that events were done; answers how many of them were waited for.
    pub async fn ack(&self, ids: impl IntoIterator<Item = impl AsRef<str>>) -> Result<u64> {
        let inner = &self.inner;
        let ids: Vec<String> = ids.into_iter().map(|id| id.as_ref().to_owned()).collect();
        let mut done = 0;
        for run in ids.chunks(1_000) {
            let ack = Cmd::write("XACK", inner.key.as_str()).arg(inner.group.as_str());
            let answer = inner.space.call(ack.args(run.iter().map(String::as_str))).await;
            let answer = answer.map_err(|error| at("event_group.ack")(error).with_failed(run))?;
            done += integer(&answer).and_then(|count| u64::try_from(count).ok()).unwrap_or_default();
        }
        Ok(done)
    }

    /// How far the group is behind.
    ///
    /// # Errors
    /// `NotFound` when there is no such group.
    pub async fn lag(&self) -> Result<GroupLag> {
        let inner = &self.inner;
        let missing = || {
            let error =
                Error::new(store_core::ErrorKind::NotFound, "there is no such group; make it with ensure");
            error.with_key(inner.group.as_str())
        };
        let ask = async {
            let info = Cmd::keyless("XINFO").arg("GROUPS").arg(inner.key.as_str()).keyed_at(1);
            let groups = match inner.space.call(info).await {
                Err(error) if error.to_string().contains("no such key") => return Err(missing()),
                answer => answer?,
            };
            let groups: Vec<Group> = RedisValue::from(groups).to()?;
            let group = groups.into_iter().find(|group| group.name == inner.group).ok_or_else(missing)?;
            Ok(GroupLag { pending: group.pending, unread: group.lag })
        };
        ask.await.map_err(at("event_group.lag"))
    }
}

/// What the server tells of a group.
#[derive(serde::Deserialize)]
struct Group {
    name: String,
    pending: u64,
    #[serde(default)]
    lag: Option<u64>,
}

/// The cursor at which a round of claims begins and ends.
const FIRST: &str = "0-0";

/// An event's id, its deliveries, and its JSON.
type Ready = (String, u64, Option<Bytes>);

struct Reader {
    inner: Arc<Inner>,
    connection: Driver,
    ready: VecDeque<Ready>,
    next_claim: Instant,
    cursor: String,
    ended: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Ready>> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(Ok(ready));
            }
            if self.ended {
                return None;
            }
            let more = if Instant::now() >= self.next_claim { self.claim().await } else { self.wait().await };
            match more {
                Ok(()) => {}
                Err(error) if error.is_retryable() && self.inner.space.driver().is_ok() => {
                    warn!(error = %error, "the events of a group can not be read at the moment");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }

    async fn claim(&mut self) -> Result<()> {
        let Inner { space, key, group, consumer, config } = &*self.inner;
        let args: [Value; 7] = [
            group.as_str().into(),
            consumer.as_str().into(),
            super::millis("claim", config.claim_after)?.into(),
            self.cursor.as_str().into(),
            i64::from(config.batch).into(),
            i64::from(config.max_deliveries).into(),
            config.max_dead.to_string().into(),
        ];
        let answer = space.script(&CLAIM, [key.clone(), dead_key(key)], args).await?;
        let mut parts = items(answer).into_iter();
        let cursor = parts.next().and_then(|cursor| text(&cursor).map(str::to_owned));
        self.cursor = cursor.unwrap_or_else(|| FIRST.to_owned());
        if self.cursor == FIRST {
            self.next_claim = Instant::now() + config.claim_after / 2;
        }
        for found in parts.next().map(items).unwrap_or_default() {
            let mut found = items(found).into_iter();
            let (Some(id), Some(deliveries)) = (found.next(), found.next()) else { continue };
            let Some(id) = text(&id).map(str::to_owned) else { continue };
            let deliveries = integer(&deliveries).and_then(|count| u64::try_from(count).ok()).unwrap_or(1);
            self.ready.push_back((id, deliveries, found.next().and_then(crate::driver::bytes)));
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<()> {
        let Inner { space, key, group, consumer, config } = &*self.inner;
        // The store's own driver says whether it was closed.
        space.driver().map_err(|_| closed())?;
        let block = BLOCK.min(self.next_claim - Instant::now()).max(Duration::from_millis(1));
        let read = Cmd::keyless("XREADGROUP").once().waiting(block);
        let read = read.arg("GROUP").arg(group.as_str()).arg(consumer.as_str());
        let read = read.arg("COUNT").arg(i64::from(config.batch));
        let read = read.arg("BLOCK").arg(super::millis("wait", block)?);
        let read = read.arg("STREAMS").arg(key.as_str()).keyed_at(8).arg(">");
        let found = match self.connection.call(read).await? {
            // RESP2: a list of streams with their entries; RESP3: a map.
            Value::Array(streams) => {
                streams.into_iter().filter_map(|stream| items(stream).into_iter().nth(1)).collect::<Vec<_>>()
            }
            Value::Map(streams) => streams.inner().into_values().collect(),
            _ => Vec::new(),
        };
        for entry in found.into_iter().flat_map(entries) {
            self.ready.push_back((entry.id, 1, field(entry.fields, "d")));
        }
        Ok(())
    }
}
