//! What a MongoDB store is opened with.

mod connection;
mod url;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use store_core::kit::check;
use store_core::kit::settings::{self, Setting};
use store_core::{Error, Result};

use crate::error::NAME;
use crate::vector::SearchConfig;

pub use connection::{AuthMechanism, Compressor, MongoConnection, ReadConcern, ReadPreference, WriteConcern};

/// The database of key-values, documents and indexes when none is named, as in LlamaIndex.
pub(crate) const KV_DATABASE: &str = "db_docstore";
/// The database of chats when none is named, as in LlamaIndex.
pub(crate) const CHAT_DATABASE: &str = "default";
/// The database of vectors when none is named, as in LlamaIndex.
pub(crate) const VECTOR_DATABASE: &str = "default_db";
/// The collection of what LlamaIndex has no place for.
pub(crate) const META_COLLECTION: &str = "nodestore";
/// The variable that [`MongoConfig::from_env`] reads, as LlamaIndex's vector store does.
const URL_VARIABLE: &str = "MONGODB_URI";
/// How long a call may take when nothing else is said.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Databases of the server itself.
const SERVERS_OWN: [&str; 3] = ["admin", "config", "local"];

/// What a MongoDB store is opened with: where the server is, and how the store uses it.
///
/// The server is named by [`url`](Self::url), or by the fields of [`connection`](Self::connection), or by both as
/// long as they do not contradict each other.
///
/// ```
/// use store_mongodb::MongoConfig;
///
/// let config: MongoConfig = "mongodb://app:s3cret@a:27017,b:27017/?replicaSet=rs0&store.namespace=news".parse()?;
/// assert_eq!(config.namespace.as_deref(), Some("news"));
/// assert!(!format!("{config:?}").contains("s3cret"));
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct MongoConfig {
    /// The server's URL, `mongodb://` or `mongodb+srv://`, without settings of ours (`store.…`): parse a URL that
    /// has some. Default empty: the server is named in [`connection`](Self::connection).
    #[serde(deserialize_with = "settings::secret")]
    pub url: SecretString,
    /// The server and how to reach it, in place of the URL or beside it.
    pub connection: MongoConnection,
    /// Keeps stores on one server apart: all roles live in the database of this name, which
    /// [`drop_namespace`](store_core::Backend::drop_namespace) may drop. `a-z` and `0-9`, a letter first, at most
    /// 32. Default `None`: see [`database`](Self::database).
    pub namespace: Option<String>,
    /// All roles live in this database, which may hold other things too and is therefore never dropped. Default
    /// `None`: the database in the URL's path, and without one LlamaIndex's databases (`db_docstore`, `default` and
    /// `default_db`).
    pub database: Option<String>,
    /// Whether what a role needs (indexes, search indexes) is made at its first use; default `true`. Otherwise
    /// someone makes it beforehand, and a call that can not do without is `NotFound`. Collections come to be with
    /// their first document in any case.
    pub create: bool,
    /// The collection of chats; default `sessions`.
    pub chat_collection: String,
    /// How long chat messages are kept after they were written; default `None`, for ever.
    #[serde(rename = "chat_ttl_secs", deserialize_with = "settings::from_optional_seconds")]
    pub chat_ttl: Option<Duration>,
    /// The collection of the default vector set; default `default_collection`. A named set is in the collection
    /// `default_collection/<name>`.
    pub vector_collection: String,
    /// The vector search index on Atlas; default `vector_index`.
    pub vector_index: String,
    /// The text search index on Atlas; default `fulltext_index`.
    pub text_index: String,
    /// How search is used on Atlas.
    pub search: SearchConfig,
    /// What happens to a value that is more than one document can hold (16 MB); default: it is refused.
    pub large_values: MongoLargeValues,
    /// How long one call may take, with choosing a server and all the driver's retries; default 30 s. In a URL also
    /// `socketTimeoutMS` or `timeoutMS`.
    #[serde(rename = "operation_timeout_ms", deserialize_with = "settings::from_millis")]
    pub operation_timeout: Duration,
}

/// What happens to a value of more than 16 MB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MongoLargeValues {
    /// It is refused with `LimitExceeded` before anything is written.
    #[default]
    Refuse,
    /// It is kept in `GridFS`, and its document points there. LlamaIndex's Python packages can not read such a value.
    GridFs,
}

impl Default for MongoConfig {
    fn default() -> Self {
        Self {
            url: SecretString::from(String::new()),
            connection: MongoConnection::default(),
            namespace: None,
            database: None,
            create: true,
            chat_collection: "sessions".to_owned(),
            chat_ttl: None,
            vector_collection: "default_collection".to_owned(),
            vector_index: "vector_index".to_owned(),
            text_index: "fulltext_index".to_owned(),
            search: SearchConfig::default(),
            large_values: MongoLargeValues::default(),
            operation_timeout: OPERATION_TIMEOUT,
        }
    }
}

impl MongoConfig {
    /// The store at this URL, with every default. Settings of ours in it are refused when connecting: parse such a
    /// URL.
    #[must_use]
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// Reads the URL in the variable `MONGODB_URI`, as LlamaIndex's vector store does; settings of ours may stand
    /// in it. `Config` when it is not set.
    pub fn from_env() -> Result<Self> {
        settings::from_env(URL_VARIABLE, "the server's URL, mongodb://…")
            .map_err(|error| error.with_backend(NAME))
    }

    /// Sets the server and how to reach it.
    #[must_use]
    pub fn with_connection(mut self, connection: MongoConnection) -> Self {
        self.connection = connection;
        self
    }

    /// Sets the namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Sets the database of all roles.
    #[must_use]
    pub fn with_database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Says whether what a role needs is made at its first use.
    #[must_use]
    pub fn with_create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Sets the collection of chats.
    #[must_use]
    pub fn with_chat_collection(mut self, collection: impl Into<String>) -> Self {
        self.chat_collection = collection.into();
        self
    }

    /// Sets how long chat messages are kept.
    #[must_use]
    pub fn with_chat_ttl(mut self, ttl: Duration) -> Self {
        self.chat_ttl = Some(ttl);
        self
    }

    /// Sets the collection of the default vector set.
    #[must_use]
    pub fn with_vector_collection(mut self, collection: impl Into<String>) -> Self {
        self.vector_collection = collection.into();
        self
    }

    /// Sets the name of the vector search index on Atlas.
    #[must_use]
    pub fn with_vector_index(mut self, index: impl Into<String>) -> Self {
        self.vector_index = index.into();
        self
    }

    /// Sets the name of the text search index on Atlas.
    #[must_use]
    pub fn with_text_index(mut self, index: impl Into<String>) -> Self {
        self.text_index = index.into();
        self
    }

    /// Says how search is used on Atlas.
    #[must_use]
    pub fn with_search(mut self, search: SearchConfig) -> Self {
        self.search = search;
        self
    }

    /// Says what happens to a value of more than 16 MB.
    #[must_use]
    pub fn with_large_values(mut self, large_values: MongoLargeValues) -> Self {
        self.large_values = large_values;
        self
    }

    /// Sets how long one call may take.
    #[must_use]
    pub fn with_operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// The options of a driver's client. Looks up the servers of an SRV URL; sends nothing else.
    pub(crate) async fn client_options(&mut self) -> Result<mongodb::options::ClientOptions> {
        self.validate()?;
        let options = url::options(self).await?;
        self.settle_database(options.default_database.as_deref())?;
        Ok(options)
    }

    /// The database in the URL's path is the one of all roles, unless the configuration says where the data is: then
    /// the path says only where the user was made. So it does when it names a database of the server itself.
    pub(crate) fn settle_database(&mut self, in_path: Option<&str>) -> Result<()> {
        let Some(name) = in_path.filter(|name| !SERVERS_OWN.contains(name)) else { return Ok(()) };
        if self.namespace.is_none() && self.database.is_none() {
            database_name("database in the URL's path", name)?;
            self.database = Some(name.to_owned());
        }
        Ok(())
    }

    /// Refuses names that the server would not take, and settings that contradict each other.
    pub(crate) fn validate(&self) -> Result<()> {
        if let Some(namespace) = &self.namespace {
            check::plain_name("namespace", namespace).map_err(|error| error.with_backend(NAME))?;
            database_name("namespace", namespace)?;
            if self.database.is_some() {
                return Err(refused(
                    "both a namespace and a database are given, and each says where the data is; keep one of them",
                ));
            }
        }
        if let Some(database) = &self.database {
            database_name("database", database)?;
        }
        for (what, name) in
            [("chat collection", &self.chat_collection), ("vector collection", &self.vector_collection)]
        {
            collection_name(what, name)?;
        }
        if self.chat_collection == self.vector_collection {
            let name = &self.chat_collection;
            return Err(refused(format!("chats and vectors are given the same collection {name:?}")));
        }
        for (what, name) in [("vector index", &self.vector_index), ("text index", &self.text_index)] {
            if name.is_empty() {
                return Err(refused(format!("the name of the {what} is empty")));
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
            "store.create" => self.create = setting.switch()?,
            "store.chat_collection" => self.chat_collection = value,
            "store.vector_collection" => self.vector_collection = value,
            "store.vector_index" => self.vector_index = value,
            "store.text_index" => self.text_index = value,
            "store.search" => self.search.enabled = setting.switch()?,
            "store.search_exact" => self.search.exact = setting.switch()?,
            "store.search_oversampling" => self.search.oversampling = setting.number()?,
            "store.search_index_wait_secs" => {
                self.search.index_wait = setting.seconds()?;
            }
            "store.chat_ttl_secs" => self.chat_ttl = Some(setting.seconds()?),
            "store.operation_timeout_ms" => self.operation_timeout = setting.millis()?,
            "store.large_values" => {
                self.large_values = match value.as_str() {
                    "refuse" => MongoLargeValues::Refuse,
                    "gridfs" => MongoLargeValues::GridFs,
                    _ => return Err(setting.must_be("refuse or gridfs")),
                };
            }
            _ => return Err(url::unknown(key)),
        }
        Ok(())
    }
}

/// Reads a URL with our own settings in its query; what is the driver's stays in [`MongoConfig::url`], untouched.
/// The scheme may be left out when what follows begins with `//`.
impl FromStr for MongoConfig {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let full = if text.starts_with("//") { format!("mongodb:{text}") } else { text.to_owned() };
        let read = || {
            let (url, own) = settings::take_own(&full)?;
            url::check(&url)?;
            let mut config = Self::new(url);
            own.into_iter().try_for_each(|(key, value)| config.set(&key, value))?;
            config.validate()?;
            Ok(config)
        };
        read().map_err(|error: Error| error.with_backend(NAME))
    }
}

/// A database's name, as the server has it on every system: 1 to 63 bytes, none of `/\. "$*<>:|?` and no NUL.
fn database_name(what: &str, name: &str) -> Result<()> {
    let illegal = |c: char| c == '\0' || r#"/\. "$*<>:|?"#.contains(c);
    if name.is_empty() || name.len() > 63 || name.contains(illegal) {
        return Err(refused(format!(
            r#"the {what} {name:?} is no name for a database: 1 to 63 bytes without / \ . " $ * < > : | ? and spaces"#
        )));
    }
    if SERVERS_OWN.contains(&name) {
        return Err(refused(format!("the {what} {name:?} is a database of the server itself; name another")));
    }
    Ok(())
}

/// A collection's name: not empty, without `$` and NUL, not the server's, and not the one where this store keeps
/// what else it must know.
fn collection_name(what: &str, name: &str) -> Result<()> {
    let odd_dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    if name.is_empty() || name.len() > 200 || name.contains(['$', '\0']) || odd_dots {
        return Err(refused(format!(
            "the {what} {name:?} is no name for a collection: 1 to 200 bytes without $, and no dots at its ends or \
             side by side"
        )));
    }
    if ["system.", "fs.", META_COLLECTION].iter().any(|taken| name.starts_with(taken)) {
        return Err(refused(format!(
            "the {what} {name:?} is taken by the server or by the store itself; name another"
        )));
    }
    Ok(())
}

/// The error of settings that can not be.
fn refused(message: impl fmt::Display) -> Error {
    Error::config(message.to_string()).with_backend(NAME)
}

#[cfg(test)]
mod tests;
