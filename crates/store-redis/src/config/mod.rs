//! What a Redis store is opened with.

mod client;
mod connection;
mod url;

use std::str::FromStr;
use std::time::Duration;

use fred::clients::Pool;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use store_core::kit::check;
use store_core::kit::settings::{self, Setting};
use store_core::{Error, Result};

use crate::error::NAME;
use crate::vector::RedisVectorOptions;

pub use connection::{Protocol, RedisConnection, Topology};

/// The variable that [`RedisConfig::from_env`] reads.
const URL_VARIABLE: &str = "REDIS_URL";
/// How long a call may take when nothing else is said.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// What a Redis store is opened with: where the server is, and how the store uses it.
///
/// The server is named by [`url`](Self::url), or by the fields of [`connection`](Self::connection), or by both as
/// long as they do not contradict each other.
///
/// ```
/// use store_redis::RedisConfig;
///
/// let config: RedisConfig = "redis://app:s3cret@localhost:6379/?store.namespace=news".parse()?;
/// assert_eq!(config.namespace.as_deref(), Some("news"));
/// assert!(!format!("{config:?}").contains("s3cret"));
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The server's URL without settings of ours (`store.…`): parse a URL that has some. `redis://`, `rediss://`
    /// (TLS), `redis-cluster://`, `redis-sentinel://`, the same with TLS (`rediss-cluster://`, `rediss-sentinel://`),
    /// and all of them with `valkey` and `valkeys`. Default empty: the server is named in
    /// [`connection`](Self::connection), and without hosts there it is `127.0.0.1:6379`, as in LlamaIndex.
    #[serde(deserialize_with = "settings::secret")]
    pub url: SecretString,
    /// The server and how to reach it, in place of the URL or beside it.
    pub connection: RedisConnection,
    /// Keeps stores on one server apart: every key begins with it and a colon, and
    /// [`drop_namespace`](store_core::Backend::drop_namespace) may remove them all. `a-z` and `0-9`, a letter first,
    /// at most 32. Default `None`: LlamaIndex's names.
    pub namespace: Option<String>,
    /// What every key begins with, as it stands, in place of a namespace; other things may begin so too, and nothing
    /// is dropped. Default `None`.
    pub prefix: Option<String>,
    /// Whether what a role needs (search indexes) is made at its first use; default `true`.
    pub create: bool,
    /// How long a chat is kept after the last write to it; default `None`, for ever.
    #[serde(rename = "chat_ttl_secs", deserialize_with = "settings::from_optional_seconds")]
    pub chat_ttl: Option<Duration>,
    /// How vectors are kept and found.
    pub vectors: RedisVectorOptions,
    /// How long one call may take, with all the driver's reconnects; default 10 s.
    #[serde(rename = "operation_timeout_ms", deserialize_with = "settings::from_millis")]
    pub operation_timeout: Duration,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: SecretString::from(String::new()),
            connection: RedisConnection::default(),
            namespace: None,
            prefix: None,
            create: true,
            chat_ttl: None,
            vectors: RedisVectorOptions::default(),
            operation_timeout: OPERATION_TIMEOUT,
        }
    }
}

impl RedisConfig {
    /// The store at this URL, with every default. Settings of ours in it are refused when connecting: parse such a
    /// URL.
    #[must_use]
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// Reads the URL in the variable `REDIS_URL`; settings of ours may stand in it. `Config` when it is not set.
    pub fn from_env() -> Result<Self> {
        settings::from_env(URL_VARIABLE, "the server's URL, redis://…")
            .map_err(|error| error.with_backend(NAME))
    }

    /// Sets the server and how to reach it.
    #[must_use]
    pub fn with_connection(mut self, connection: RedisConnection) -> Self {
        self.connection = connection;
        self
    }

    /// Sets the namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Sets what every key begins with.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Says whether what a role needs is made at its first use.
    #[must_use]
    pub fn with_create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Sets how long a chat is kept after the last write to it.
    #[must_use]
    pub fn with_chat_ttl(mut self, ttl: Duration) -> Self {
        self.chat_ttl = Some(ttl);
        self
    }

    /// Sets how vectors are kept and found.
    #[must_use]
    pub fn with_vectors(mut self, vectors: RedisVectorOptions) -> Self {
        self.vectors = vectors;
        self
    }

    /// Sets how long one call may take.
    #[must_use]
    pub fn with_operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// What every key of this store begins with.
    pub(crate) fn key_prefix(&self) -> String {
        match (&self.namespace, &self.prefix) {
            (Some(namespace), _) => format!("{namespace}:"),
            (None, Some(prefix)) => prefix.clone(),
            (None, None) => String::new(),
        }
    }

    /// A pool of the driver's clients, not yet connected. The fields of the connection say all after it, also what
    /// the URL does.
    pub(crate) fn pool(&mut self) -> Result<Pool> {
        self.validate()?;
        self.settle()?;
        self.build()
    }

    /// Puts what the URL says into the fields, where nothing contradicts it.
    fn settle(&mut self) -> Result<()> {
        let url = self.url.expose_secret();
        if !url.is_empty() {
            self.connection = url::read(url)?.joined(&self.connection)?;
            // It is said, and could only contradict itself from now on.
            self.url = SecretString::from(String::new());
        }
        self.connection.check()
    }

    /// Refuses settings that can not be, or contradict each other.
    pub(crate) fn validate(&self) -> Result<()> {
        if let Some(namespace) = &self.namespace {
            check::plain_name("namespace", namespace).map_err(|error| error.with_backend(NAME))?;
            if self.prefix.is_some() {
                return Err(refused(
                    "both a namespace and a prefix are given, and each says what keys begin with; keep one of them",
                ));
            }
        }
        settings::check_operation_timeout(self.operation_timeout)?;
        settings::check_chat_ttl(self.chat_ttl)
    }

    /// Sets one of our own settings of a URL.
    fn set(&mut self, key: &str, value: String) -> Result<()> {
        let setting = Setting { key, value: &value };
        match key {
            "store.namespace" => self.namespace = Some(value),
            "store.prefix" => self.prefix = Some(value),
            "store.create" => self.create = setting.switch()?,
            "store.chat_ttl_secs" => self.chat_ttl = Some(setting.seconds()?),
            "store.operation_timeout_ms" => self.operation_timeout = setting.millis()?,
            _ => return self.vectors.set(setting).unwrap_or_else(|| Err(url::unknown(key))),
        }
        Ok(())
    }
}

/// Reads a URL with our own settings in its query; the rest stays in [`RedisConfig::url`], untouched.
impl FromStr for RedisConfig {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            let (url, own) = settings::take_own(text.trim())?;
            url::read(&url)?;
            let mut config = Self::new(url);
            own.into_iter().try_for_each(|(key, value)| config.set(&key, value))?;
            config.validate()?;
            Ok(config)
        };
        read().map_err(|error: Error| error.with_backend(NAME))
    }
}

/// The error of settings that can not be.
fn refused(message: impl Into<String>) -> Error {
    Error::config(message).with_backend(NAME)
}

#[cfg(test)]
mod tests;
