//! Messages to whoever listens now.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{BoxStream, Error, ErrorKind, Result};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

use crate::RedisBackend;
use crate::driver::{Cmd, Heard, Listener, integer};
use crate::error::{at, closed};
use crate::schema::begins_with;
use crate::space::Space;

const SUBSCRIBE: &str = "pub_sub.subscribe";
/// How many messages wait for a slow reader when nothing else is said.
const BUFFER: usize = 1_024;
/// How often a subscription asks whether the server has it already, and looks whether the store was closed.
const TICK: Duration = Duration::from_millis(250);

/// What comes out of a subscription.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PubSubEvent<T> {
    /// A message.
    Message {
        /// The channel that it was published to.
        channel: String,
        /// What was published.
        value: T,
    },
    /// So many messages were thrown away, as they came faster than they were read.
    Missed(u64),
    /// The connection was lost and is back; what was published meanwhile is not known.
    Interrupted,
}

/// Messages to whoever listens at the moment, with values of a type of yours, as JSON.
///
/// **At most once**: a message that nobody listens to, that comes while the connection is away, or faster than it is
/// read, is lost. What must not be lost belongs in a [`RedisEventLog`](crate::RedisEventLog). A subscription goes on
/// after the connection was lost, and says what it missed: [`PubSubEvent::Missed`] and [`PubSubEvent::Interrupted`].
/// The messages of one publisher come in their order.
///
/// Names of channels begin with the store's namespace or prefix, as keys do, which is not seen here. Each subscription
/// has a connection of its own.
///
/// ```no_run
/// # use futures::TryStreamExt;
/// # use serde::{Deserialize, Serialize};
/// # use store_redis::{PubSubEvent, RedisBackend, RedisConfig, RedisPubSub};
/// #[derive(Serialize, Deserialize)]
/// struct Changed {
///     id: String,
/// }
///
/// # async fn example() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let changes: RedisPubSub<Changed> = RedisPubSub::new(&store);
/// let mut events = changes.subscribe(["documents"]).await?;
/// changes.publish("documents", &Changed { id: "7".into() }).await?;
/// while let Some(event) = events.try_next().await? {
///     match event {
///         PubSubEvent::Message { value, .. } => println!("changed: {}", value.id),
///         _ => println!("some were missed: look at everything"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct RedisPubSub<T> {
    space: Arc<Space>,
    buffer: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for RedisPubSub<T> {
    fn clone(&self) -> Self {
        Self { space: Arc::clone(&self.space), buffer: self.buffer, value: PhantomData }
    }
}

impl<T> fmt::Debug for RedisPubSub<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPubSub").field("buffer", &self.buffer).finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> RedisPubSub<T> {
    /// Messages over this store. Nothing is sent yet.
    #[must_use]
    pub fn new(backend: &RedisBackend) -> Self {
        Self { space: Arc::clone(backend.space()), buffer: BUFFER, value: PhantomData }
    }

    /// Sets how many messages wait for a slow reader before some are thrown away; default 1,024, at least 1.
    #[must_use]
    pub fn with_buffer(mut self, buffer: usize) -> Self {
        self.buffer = buffer.clamp(1, 1 << 20);
        self
    }

    /// Publishes a message; answers how many got it, in a cluster of those at the node that was asked.
    pub async fn publish(&self, channel: &str, value: &T) -> Result<u64> {
        let publish = async {
            let channel = self.channel(channel)?;
            let payload = Bytes::from(super::to_json(&channel, value)?);
            let answer = self.space.call(Cmd::write("PUBLISH", channel).arg(payload)).await?;
            Ok(integer(&answer).and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
        };
        publish.await.map_err(|error| at("pub_sub.publish")(error).with_key(channel))
    }

    /// Listens to channels. When this returns the server has the subscription: what is published later comes; in a
    /// cluster perhaps also what was published just before.
    ///
    /// A message that is no such value is a `Corrupt` error in the stream, which goes on. The stream ends with an error
    /// when the store is closed.
    ///
    /// # Errors
    /// `InvalidInput` for no channel, an empty or too long one (1,024 bytes); `Unauthorized` or `Timeout` when the
    /// server does not grant it in time.
    pub async fn subscribe(
        &self,
        channels: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<BoxStream<PubSubEvent<T>>> {
        let channels: Result<Vec<String>> =
            channels.into_iter().map(|channel| self.channel(channel.as_ref())).collect();
        match channels {
            Ok(channels) => self.listen(channels, Vec::new()).await,
            Err(error) => Err(error),
        }
        .map_err(at(SUBSCRIBE))
    }

    /// Listens to all channels that match one of these patterns: `*` any text, `?` a character, `[ab]` one of them,
    /// `\` takes the next character as it is. A channel that two patterns match comes twice.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_patterns(
        &self,
        patterns: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<BoxStream<PubSubEvent<T>>> {
        let before = begins_with(&self.space.prefix);
        let before = before.strip_suffix('*').unwrap_or_default();
        let patterns: Result<Vec<String>> = patterns
            .into_iter()
            .map(|pattern| {
                super::name("pattern", pattern.as_ref())?;
                Ok(format!("{before}{}", pattern.as_ref()))
            })
            .collect();
        match patterns {
            Ok(patterns) => self.listen(Vec::new(), patterns).await,
            Err(error) => Err(error),
        }
        .map_err(at(SUBSCRIBE))
    }

    fn channel(&self, channel: &str) -> Result<String> {
        super::name("channel", channel)?;
        Ok(format!("{}{channel}", self.space.prefix))
    }

    async fn listen(
        &self,
        channels: Vec<String>,
        patterns: Vec<String>,
    ) -> Result<BoxStream<PubSubEvent<T>>> {
        if channels.is_empty() && patterns.is_empty() {
            return Err(Error::invalid_input("no channel is given to listen to"));
        }
        let connect_limit = self.space.config.connect_timeout();
        let listener = self.space.driver()?.listener(connect_limit, self.buffer).await?;
        let (sender, receiver) = mpsc::channel(self.buffer);
        let lost = Arc::new(Lost::default());
        let marker = format!("{}nodestore:ready:{}", self.space.prefix, uuid::Uuid::new_v4().simple());
        let mut task = Task {
            space: Arc::clone(&self.space),
            listener,
            channels,
            patterns,
            marker,
            sender,
            lost: Arc::clone(&lost),
        };
        task.subscribe().await?;
        // Ends when the stream is dropped, and with the store.
        tokio::spawn(task.run());
        let prefix = self.space.prefix.clone();
        let events = stream::unfold((receiver, lost, prefix), async |(mut receiver, lost, prefix)| {
            let event = next(&mut receiver, &lost, &prefix).await?;
            Some((event, (receiver, lost, prefix)))
        });
        Ok(Box::pin(events))
    }
}

/// What did not come through, until the reader is told.
#[derive(Debug, Default)]
struct Lost {
    missed: AtomicU64,
    interrupted: AtomicBool,
}

enum Item {
    Message {
        channel: String,
        payload: Bytes,
    },
    /// Something was lost: look.
    Look,
    End(Error),
}

async fn next<T: DeserializeOwned>(
    receiver: &mut mpsc::Receiver<Item>,
    lost: &Lost,
    prefix: &str,
) -> Option<Result<PubSubEvent<T>>> {
    loop {
        if lost.interrupted.swap(false, Ordering::AcqRel) {
            return Some(Ok(PubSubEvent::Interrupted));
        }
        let missed = lost.missed.swap(0, Ordering::AcqRel);
        if missed > 0 {
            return Some(Ok(PubSubEvent::Missed(missed)));
        }
        match receiver.recv().await? {
            Item::Look => {}
            Item::End(error) => return Some(Err(error)),
            Item::Message { channel, payload } => {
                let channel = channel.strip_prefix(prefix).unwrap_or(&channel).to_owned();
                return Some(
                    super::from_json(&channel, &payload)
                        .map(|value| PubSubEvent::Message { channel, value })
                        .map_err(at(SUBSCRIBE)),
                );
            }
        }
    }
}

/// What stands behind a subscription.
struct Task {
    space: Arc<Space>,
    listener: Listener,
    channels: Vec<String>,
    patterns: Vec<String>,
    /// A channel of our own, which says that all subscriptions before it are there.
    marker: String,
    sender: mpsc::Sender<Item>,
    lost: Arc<Lost>,
}

impl Task {
    async fn run(mut self) {
        loop {
            let heard = tokio::select! {
                () = self.sender.closed() => return,
                heard = self.listener.next() => Some(heard),
                () = tokio::time::sleep(TICK) => None,
            };
            match heard {
                None => {
                    if self.space.driver().is_err() {
                        let _ = self.sender.send(Item::End(at(SUBSCRIBE)(closed()))).await;
                        return;
                    }
                }
                Some(Heard::Closed) => {
                    let error = Error::new(ErrorKind::Unavailable, "the connection ended; subscribe again");
                    let _ = self.sender.send(Item::End(at(SUBSCRIBE)(error))).await;
                    return;
                }
                Some(Heard::Reconnected) => self.subscribe_again().await,
                Some(heard) => self.pass_on(heard),
            }
        }
    }

    async fn subscribe_again(&mut self) {
        self.lost.interrupted.store(true, Ordering::Release);
        let _ = self.sender.try_send(Item::Look);
        while let Err(error) = self.subscribe().await {
            warn!(error = %error, "a subscription is not back yet");
            if self.sender.is_closed() || self.space.driver().is_err() {
                return;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Subscribes, and waits until the server has it.
    async fn subscribe(&mut self) -> Result<()> {
        let limit = self.space.config.operation_timeout;
        let end = Instant::now() + limit;
        self.listener.subscribe(&self.channels, &self.patterns).await?;
        self.listener.subscribe(std::slice::from_ref(&self.marker), &[]).await?;
        let mut early = VecDeque::new();
        loop {
            self.space.call(Cmd::write("PUBLISH", self.marker.as_str()).arg("")).await?;
            let tick = Instant::now() + TICK;
            while let Ok(heard) = tokio::time::timeout_at(tick, self.listener.next()).await {
                match heard {
                    Heard::Message { channel, .. } if channel == self.marker => {
                        for heard in early {
                            self.pass_on(heard);
                        }
                        return Ok(());
                    }
                    Heard::Reconnected => {
                        self.listener.subscribe(&self.channels, &self.patterns).await?;
                        self.listener.subscribe(std::slice::from_ref(&self.marker), &[]).await?;
                    }
                    Heard::Closed => break,
                    heard => early.push_back(heard),
                }
            }
            if Instant::now() >= end {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "the server did not grant the subscription within {} ms; may the user listen to these \
                         channels (ACL SETUSER … &CHANNEL)?",
                        limit.as_millis()
                    ),
                ));
            }
        }
    }

    /// To the reader, or onto the count of what it missed.
    fn pass_on(&self, heard: Heard) {
        match heard {
            Heard::Message { channel, .. } if channel == self.marker => {}
            Heard::Message { channel, payload } => {
                if self.sender.try_send(Item::Message { channel, payload }).is_err() {
                    self.lost.missed.fetch_add(1, Ordering::AcqRel);
                }
            }
            Heard::Missed(count) => {
                self.lost.missed.fetch_add(count, Ordering::AcqRel);
                // A full line is read soon.
                let _ = self.sender.try_send(Item::Look);
            }
            Heard::Reconnected | Heard::Closed => {}
        }
    }
}
