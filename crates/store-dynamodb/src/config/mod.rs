//! What a DynamoDB store is opened with.

mod chat_layout;
mod connection;
mod table_options;
mod url;

use std::str::FromStr;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use serde::Deserialize;
use store_core::kit::check;
use store_core::kit::settings::{self, Setting};
use store_core::{Error, Result};

use crate::error::NAME;
use crate::schema;
use crate::vector::DynamoDbVectorOptions;

pub use chat_layout::DynamoDbChatLayout;
pub use connection::{DynamoDbConnection, DynamoDbRetryMode};
pub use table_options::{DynamoDbBilling, DynamoDbTableOptions};

/// The variable that [`DynamoDbConfig::from_env`] reads.
const URL_VARIABLE: &str = "DYNAMODB_STORE_URL";
/// Settings of ours in a URL, in order.
const OWN: [&str; 16] = [
    "store.billing",
    "store.chat_layout",
    "store.chat_table",
    "store.chat_ttl_secs",
    "store.consistent_reads",
    "store.create",
    "store.deletion_protection",
    "store.large_values",
    "store.namespace",
    "store.operation_timeout_ms",
    "store.read_units",
    "store.vector_engine",
    "store.vector_layout",
    "store.vector_partitions",
    "store.vector_tenant",
    "store.write_units",
];
/// The longest name of a table, 255 characters, less what ours add: a namespace, a vector set, and the words between.
const MAX_BASE: usize = 255 - 1 - 32 - "-vectors-".len() - 32;
/// How long a call may take when nothing else is said.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// What becomes of a value that is too large for an item, which the service holds up to 400 KB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DynamoDbLargeValues {
    /// It is refused with `LimitExceeded`, before anything is written.
    #[default]
    Refuse,
    /// It is cut into items of its own, up to 16 MB. LlamaIndex's Python packages can not read it then. Writes have to
    /// look first what they replace: one request more for each 100 keys.
    Chunks,
}

/// What a DynamoDB store is opened with: where the service is, which tables it uses and how.
///
/// ```
/// use store_dynamodb::DynamoDbConfig;
///
/// let config: DynamoDbConfig = "dynamodb://eu-central-1/app?store.namespace=news".parse()?;
/// assert_eq!(config.table.as_deref(), Some("app"));
/// assert_eq!(config.namespace.as_deref(), Some("news"));
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DynamoDbConfig {
    /// The service and how to reach it.
    pub connection: DynamoDbConnection,
    /// The table of all roles but vectors, which stand in tables beside it (`<table>-vectors`, a named set in
    /// `<table>-vectors-<set>`). With a namespace the tables' names begin with it. In a URL the path. Default `None`:
    /// `nodestore` with a namespace; without one it must be given.
    pub table: Option<String>,
    /// Keeps stores of one account and region apart: the table is `<table>.<namespace>`, and
    /// [`drop_namespace`](store_core::Backend::drop_namespace) may delete it and those beside it. `a-z` and `0-9`, a
    /// letter first, at most 32. Default `None`: the table itself.
    pub namespace: Option<String>,
    /// Whether a table that a role needs is made at its first use; default `false`, since tables cost money: a call
    /// that can not do without is `NotFound`. What exists is never changed.
    pub create: bool,
    /// How tables are made.
    pub tables: DynamoDbTableOptions,
    /// How vectors are kept and found.
    pub vectors: DynamoDbVectorOptions,
    /// Whether reads see every write that was answered before them, at twice the price; default `false` as in
    /// LlamaIndex: a read may lag by a moment.
    pub consistent_reads: bool,
    /// How chats are kept; default [`Nodestore`](DynamoDbChatLayout::Nodestore). A store reads the one that it is opened
    /// with. In a URL `store.chat_layout`.
    pub chat_layout: DynamoDbChatLayout,
    /// The table of LlamaIndex's chats, in no namespace, with a partition key of type S and no sort key; default `None`:
    /// `<table>-chats` beside the main one. In a URL `store.chat_table`.
    pub chat_table: Option<String>,
    /// How long a chat message is kept after it was written; in LlamaIndex's layout how long a chat is kept after the
    /// last write to it. Reads hide what is past its time; the service removes it within a few days if the table says
    /// so, for the attribute `_nodestore_expires`, in LlamaIndex's layout `TTL`. Default `None`: for ever.
    #[serde(rename = "chat_ttl_secs", deserialize_with = "settings::from_optional_seconds")]
    pub chat_ttl: Option<Duration>,
    /// What becomes of a key-value, a node or an index struct that is too large for an item (400 KB); default refused.
    pub large_values: DynamoDbLargeValues,
    /// How long one call may take, with all retries; default 30 s.
    #[serde(rename = "operation_timeout_ms", deserialize_with = "settings::from_millis")]
    pub operation_timeout: Duration,
}

impl Default for DynamoDbConfig {
    fn default() -> Self {
        Self {
            connection: DynamoDbConnection::default(),
            table: None,
            namespace: None,
            create: false,
            tables: DynamoDbTableOptions::default(),
            vectors: DynamoDbVectorOptions::default(),
            consistent_reads: false,
            chat_layout: DynamoDbChatLayout::default(),
            chat_table: None,
            chat_ttl: None,
            large_values: DynamoDbLargeValues::default(),
            operation_timeout: OPERATION_TIMEOUT,
        }
    }
}

impl DynamoDbConfig {
    /// The store in this table, with every default.
    #[must_use]
    pub fn new(table: impl Into<String>) -> Self {
        Self { table: Some(table.into()), ..Self::default() }
    }

    /// Reads the URL in the variable `DYNAMODB_STORE_URL`; settings of ours may stand in it. `Config` when it is not
    /// set. (`DYNAMODB_URL` is the endpoint in LlamaIndex, and no URL of a store.)
    pub fn from_env() -> Result<Self> {
        settings::from_env(URL_VARIABLE, "the store's URL, dynamodb://region/table")
            .map_err(|error| error.with_backend(NAME))
    }

    /// Sets the service and how to reach it.
    #[must_use]
    pub fn with_connection(mut self, connection: DynamoDbConnection) -> Self {
        self.connection = connection;
        self
    }

    /// Sets the table.
    #[must_use]
    pub fn with_table(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }

    /// Sets the namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Says whether tables are made at first use.
    #[must_use]
    pub fn with_create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Says how tables are made.
    #[must_use]
    pub fn with_tables(mut self, tables: DynamoDbTableOptions) -> Self {
        self.tables = tables;
        self
    }

    /// Sets how vectors are kept and found.
    #[must_use]
    pub fn with_vectors(mut self, vectors: DynamoDbVectorOptions) -> Self {
        self.vectors = vectors;
        self
    }

    /// Says whether reads see every write that was answered before them.
    #[must_use]
    pub fn with_consistent_reads(mut self, consistent: bool) -> Self {
        self.consistent_reads = consistent;
        self
    }

    /// Sets how chats are kept.
    #[must_use]
    pub fn with_chat_layout(mut self, layout: DynamoDbChatLayout) -> Self {
        self.chat_layout = layout;
        self
    }

    /// Sets the table of LlamaIndex's chats.
    #[must_use]
    pub fn with_chat_table(mut self, table: impl Into<String>) -> Self {
        self.chat_table = Some(table.into());
        self
    }

    /// Sets how long chat messages are kept.
    #[must_use]
    pub fn with_chat_ttl(mut self, ttl: Duration) -> Self {
        self.chat_ttl = Some(ttl);
        self
    }

    /// Says what becomes of values that are too large for an item.
    #[must_use]
    pub fn with_large_values(mut self, large_values: DynamoDbLargeValues) -> Self {
        self.large_values = large_values;
        self
    }

    /// Sets how long one call may take.
    #[must_use]
    pub fn with_operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// A client of the driver's; nothing is sent yet but what finding credentials takes.
    pub(crate) async fn client(&self) -> Result<Client> {
        self.validate()?;
        self.connection.client().await
    }

    /// Refuses settings that can not be, or contradict each other.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.table.is_none() && self.namespace.is_none() {
            return Err(refused(
                "no table is named; write dynamodb://region/table, or give a namespace (store.namespace)",
            ));
        }
        self.check()
    }

    /// As [`validate`](Self::validate), where a table or a namespace may yet be set.
    fn check(&self) -> Result<()> {
        if let Some(namespace) = &self.namespace {
            check::plain_name("namespace", namespace).map_err(|error| error.with_backend(NAME))?;
        }
        if let Some(table) = &self.table {
            check_table("table", table, MAX_BASE)?;
        }
        if let Some(table) = &self.chat_table {
            check_table("chat table", table, 255)?;
            if self.chat_layout == DynamoDbChatLayout::Nodestore {
                return Err(refused(
                    "a chat table is given, but chats are kept in the main table; set store.chat_layout=llamaindex",
                ));
            }
            if schema::main_table(self).is_some_and(|main| schema::is_of(&main, table)) {
                return Err(refused(format!(
                    "the chat table {table:?} is a table of another role; name another"
                )));
            }
        }
        settings::check_chat_ttl(self.chat_ttl)?;
        settings::check_operation_timeout(self.operation_timeout)?;
        self.tables.check()?;
        self.vectors.validate()?;
        self.connection.check()
    }

    /// Sets one of our own settings of a URL.
    fn set(&mut self, key: &str, value: String) -> Result<()> {
        let setting = Setting { key, value: &value };
        match key {
            "store.namespace" => self.namespace = Some(value),
            "store.create" => self.create = setting.switch()?,
            "store.consistent_reads" => self.consistent_reads = setting.switch()?,
            "store.large_values" => {
                self.large_values = match value.as_str() {
                    "refuse" => DynamoDbLargeValues::Refuse,
                    "chunks" => DynamoDbLargeValues::Chunks,
                    _ => return Err(setting.must_be("refuse or chunks")),
                }
            }
            "store.billing" => {
                self.tables.billing = match value.as_str() {
                    "on_demand" => DynamoDbBilling::OnDemand,
                    "provisioned" => DynamoDbBilling::Provisioned,
                    _ => return Err(setting.must_be("on_demand or provisioned")),
                };
            }
            "store.read_units" => self.tables.read_units = Some(setting.number()?),
            "store.write_units" => self.tables.write_units = Some(setting.number()?),
            "store.deletion_protection" => self.tables.deletion_protection = setting.switch()?,
            "store.chat_layout" => {
                self.chat_layout = DynamoDbChatLayout::from_name(&value)
                    .ok_or_else(|| setting.must_be("nodestore or llamaindex"))?;
            }
            "store.chat_table" => self.chat_table = Some(value),
            "store.chat_ttl_secs" => self.chat_ttl = Some(setting.seconds()?),
            "store.operation_timeout_ms" => self.operation_timeout = setting.millis()?,
            _ => return self.vectors.set(setting).unwrap_or_else(|| Err(url::unknown(key))),
        }
        Ok(())
    }
}

/// Reads `dynamodb://region/table?endpoint_url=…`, with our own settings in its query.
impl FromStr for DynamoDbConfig {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            let (mut config, own) = url::read(text.trim())?;
            own.into_iter().try_for_each(|(key, value)| config.set(&key, value))?;
            config.check()?;
            Ok(config)
        };
        read().map_err(|error: Error| error.with_backend(NAME))
    }
}

/// The error of settings that can not be.
fn refused(message: impl Into<String>) -> Error {
    Error::config(message).with_backend(NAME)
}

/// Refuses the name of a table that the service would refuse.
fn check_table(what: &str, name: &str, most: usize) -> Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (3..=most).contains(&name.len()) && name.chars().all(legal) {
        return Ok(());
    }
    Err(refused(format!(
        "the {what} {name:?} is not allowed: it has 3 to {most} of a-z, A-Z, 0-9, _, - and ."
    )))
}

#[cfg(test)]
mod tests;
