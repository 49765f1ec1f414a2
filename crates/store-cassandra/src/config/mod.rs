//! What a Cassandra store is opened with.

mod connection;
mod session;
mod url;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use store_core::kit::check;
use store_core::kit::settings::{self, Setting};
use store_core::{Error, Result};

use crate::error::NAME;
use crate::schema::string;
use crate::vector::CassandraVectorOptions;

pub use connection::{CassandraBalancingPolicy, CassandraCompression, CassandraConnection};

/// The variable that [`CassandraConfig::from_env`] reads.
const URL_VARIABLE: &str = "CASSANDRA_URL";
/// Settings of ours in a URL, in order.
const OWN: [&str; 14] = [
    "store.buckets",
    "store.chat_ttl_secs",
    "store.create",
    "store.local_serial",
    "store.max_value_bytes",
    "store.namespace",
    "store.operation_timeout_ms",
    "store.read_consistency",
    "store.replication",
    "store.vector_engine",
    "store.vector_exclusive",
    "store.vector_mmr_prefetch",
    "store.vector_table",
    "store.write_consistency",
];
/// The longest name of a keyspace or table.
const MAX_NAME: usize = 48;
/// The longest time to live of chats. A history's list may live twice as long, and Cassandra's limit is 20 years.
const MAX_CHAT_TTL: Duration = Duration::from_hours(10 * 365 * 24);
/// How long a call may take when nothing else is said.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
/// How many partitions a collection is spread over when nothing else is said.
const BUCKETS: u16 = 32;
/// More make every scan slow: it reads each of them.
const MOST_BUCKETS: u16 = 4_096;
/// The largest value when nothing else is said: far below what a node takes at once, which is half of its commit log's
/// segment, 16 MB by default.
const MAX_VALUE_BYTES: usize = 3 << 20;

/// How many replicas must answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CassandraConsistency {
    /// One, of any datacentre.
    One,
    /// One of the local datacentre.
    LocalOne,
    /// More than half of all.
    Quorum,
    /// More than half of those in the local datacentre.
    #[default]
    LocalQuorum,
    /// More than half in each datacentre; for writes only.
    EachQuorum,
    /// All.
    All,
}

impl CassandraConsistency {
    /// The level of this name in a URL.
    fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "one" => Self::One,
            "local_one" => Self::LocalOne,
            "quorum" => Self::Quorum,
            "local_quorum" => Self::LocalQuorum,
            "each_quorum" => Self::EachQuorum,
            "all" => Self::All,
            _ => return None,
        })
    }
}

/// How often a keyspace that the store makes is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CassandraReplication {
    /// So many copies, wherever; for one datacentre. In a URL a number: `3`.
    Simple(u32),
    /// So many copies in each of these datacentres. In a URL `dc1:3,dc2:2`.
    ByDatacenter(BTreeMap<String, u32>),
}

impl Default for CassandraReplication {
    fn default() -> Self {
        Self::Simple(1)
    }
}

impl CassandraReplication {
    /// As `CREATE KEYSPACE` has it.
    pub(crate) fn to_cql(&self) -> String {
        match self {
            Self::Simple(copies) => {
                format!("{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}")
            }
            Self::ByDatacenter(copies) => {
                let mut cql = "{'class': 'NetworkTopologyStrategy'".to_owned();
                for (datacenter, copies) in copies {
                    // Writing to a String can not fail.
                    let _ = write!(cql, ", {}: {copies}", string(datacenter));
                }
                cql + "}"
            }
        }
    }
}

impl CassandraReplication {
    /// Reads what a URL says: `3` or `dc1:3,dc2:2`.
    fn read(text: &str) -> Option<Self> {
        if let Ok(copies) = text.parse() {
            return Some(Self::Simple(copies));
        }
        let mut all = BTreeMap::new();
        for part in text.split(',') {
            let (datacenter, copies) = part.rsplit_once(':')?;
            let copies = copies.parse().ok()?;
            if datacenter.is_empty() || all.insert(datacenter.to_owned(), copies).is_some() {
                return None;
            }
        }
        Some(Self::ByDatacenter(all))
    }
}

/// What a Cassandra store is opened with: where the cluster is, which keyspace it uses and how.
///
/// ```
/// use store_cassandra::CassandraConfig;
///
/// let config: CassandraConfig = "cassandra://node1,node2:9042/app?store.namespace=news".parse()?;
/// assert_eq!(config.keyspace.as_deref(), Some("app"));
/// assert_eq!(config.connection.hosts, ["node1", "node2:9042"]);
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CassandraConfig {
    /// The cluster and how to reach it.
    pub connection: CassandraConnection,
    /// The keyspace of the tables. In a URL the path. Default `None`: `nodestore`.
    pub keyspace: Option<String>,
    /// Keeps stores of one keyspace apart: the names of their tables begin with it and a `_`, and
    /// [`drop_namespace`](store_core::Backend::drop_namespace) may drop them. `a-z` and `0-9`, a letter first, at most
    /// 32. Default `None`: the tables have no such beginning.
    pub namespace: Option<String>,
    /// Whether the keyspace and the tables that a role needs are made at their first use; default `false`: a call that
    /// can not do without is `NotFound`. What exists is never changed.
    pub create: bool,
    /// How often a keyspace that the store makes is kept; default once, which is for one node.
    pub replication: CassandraReplication,
    /// How many partitions a collection of key-values or documents is spread over, in tables that the store makes; one
    /// that exists keeps its own. Default 32, at most 4,096: as many as keep each below some 100 MB.
    pub buckets: u16,
    /// The largest value of a key and the largest chat message, in bytes of JSON, and the largest node of a vector set,
    /// with its embedding; default 3 MiB. A server takes half of its `commitlog_segment_size` in one write, 16 MB by
    /// default.
    pub max_value_bytes: usize,
    /// How many replicas must answer a read; default [`LocalQuorum`](CassandraConsistency::LocalQuorum). With the same
    /// for writes, a read sees every write that was answered before.
    pub read_consistency: CassandraConsistency,
    /// How many replicas must have made a write before it is answered; default
    /// [`LocalQuorum`](CassandraConsistency::LocalQuorum).
    pub write_consistency: CassandraConsistency,
    /// Whether the replicas of the local datacentre alone agree on lightweight transactions; default `true`. `false`
    /// for clusters that write to one key in several datacentres.
    pub local_serial: bool,
    /// How long a chat message lives, in whole seconds, at most ten years; default `None`: for ever. The store's other
    /// data is not concerned.
    #[serde(rename = "chat_ttl_secs", deserialize_with = "settings::from_optional_seconds")]
    pub chat_ttl: Option<Duration>,
    /// How long a request may take with its repetitions, and a whole call that changes something by lightweight
    /// transactions, for each 256 keys of it; default 10 s. A change of the schema may take six times as long.
    #[serde(rename = "operation_timeout_ms", deserialize_with = "settings::from_millis")]
    pub operation_timeout: Duration,
    /// How vectors are kept and found.
    pub vectors: CassandraVectorOptions,
}

impl Default for CassandraConfig {
    fn default() -> Self {
        Self {
            connection: CassandraConnection::default(),
            keyspace: None,
            namespace: None,
            create: false,
            replication: CassandraReplication::default(),
            buckets: BUCKETS,
            max_value_bytes: MAX_VALUE_BYTES,
            read_consistency: CassandraConsistency::default(),
            write_consistency: CassandraConsistency::default(),
            local_serial: true,
            chat_ttl: None,
            operation_timeout: OPERATION_TIMEOUT,
            vectors: CassandraVectorOptions::default(),
        }
    }
}

impl CassandraConfig {
    /// The store in this keyspace, with every default.
    #[must_use]
    pub fn new(keyspace: impl Into<String>) -> Self {
        Self { keyspace: Some(keyspace.into()), ..Self::default() }
    }

    /// Reads the URL in the variable `CASSANDRA_URL`; settings of ours may stand in it. `Config` when it is not set.
    pub fn from_env() -> Result<Self> {
        settings::from_env(URL_VARIABLE, "the store's URL, cassandra://host/keyspace")
            .map_err(|error| error.with_backend(NAME))
    }

    /// Sets the cluster and how to reach it.
    #[must_use]
    pub fn with_connection(mut self, connection: CassandraConnection) -> Self {
        self.connection = connection;
        self
    }

    /// Sets the keyspace.
    #[must_use]
    pub fn with_keyspace(mut self, keyspace: impl Into<String>) -> Self {
        self.keyspace = Some(keyspace.into());
        self
    }

    /// Sets the namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Says whether keyspace and tables are made at first use.
    #[must_use]
    pub fn with_create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Says how often a keyspace that the store makes is kept.
    #[must_use]
    pub fn with_replication(mut self, replication: CassandraReplication) -> Self {
        self.replication = replication;
        self
    }

    /// Sets how many partitions a collection is spread over, in tables that the store makes.
    #[must_use]
    pub fn with_buckets(mut self, buckets: u16) -> Self {
        self.buckets = buckets;
        self
    }

    /// Sets the largest value of a key and the largest chat message, in bytes of JSON.
    #[must_use]
    pub fn with_max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes;
        self
    }

    /// Sets how many replicas must answer a read.
    #[must_use]
    pub fn with_read_consistency(mut self, consistency: CassandraConsistency) -> Self {
        self.read_consistency = consistency;
        self
    }

    /// Sets how many replicas must have made a write.
    #[must_use]
    pub fn with_write_consistency(mut self, consistency: CassandraConsistency) -> Self {
        self.write_consistency = consistency;
        self
    }

    /// Says whether the local datacentre alone agrees on lightweight transactions.
    #[must_use]
    pub fn with_local_serial(mut self, local: bool) -> Self {
        self.local_serial = local;
        self
    }

    /// Sets how long chat messages live.
    #[must_use]
    pub fn with_chat_ttl(mut self, ttl: Duration) -> Self {
        self.chat_ttl = Some(ttl);
        self
    }

    /// Sets how long a request may take, see [`operation_timeout`](Self::operation_timeout).
    #[must_use]
    pub fn with_operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// Sets how vectors are kept and found.
    #[must_use]
    pub fn with_vectors(mut self, vectors: CassandraVectorOptions) -> Self {
        self.vectors = vectors;
        self
    }

    /// Refuses settings that can not be, or contradict each other.
    pub(crate) fn validate(&self) -> Result<()> {
        if let Some(namespace) = &self.namespace {
            check::plain_name("namespace", namespace).map_err(|error| error.with_backend(NAME))?;
        }
        if let Some(keyspace) = &self.keyspace {
            check_name("keyspace", keyspace)?;
        }
        if self.read_consistency == CassandraConsistency::EachQuorum {
            return Err(refused("reads can not be made at each_quorum; take quorum or local_quorum"));
        }
        if self.chat_ttl.is_some_and(|ttl| !(Duration::from_secs(1)..=MAX_CHAT_TTL).contains(&ttl)) {
            return Err(refused("the chats' time to live must be between a second and ten years"));
        }
        settings::check_operation_timeout(self.operation_timeout)?;
        if !(1..=MOST_BUCKETS).contains(&self.buckets) {
            return Err(refused(format!("a collection is spread over 1 to {MOST_BUCKETS} buckets")));
        }
        if self.max_value_bytes == 0 {
            return Err(refused("the largest value is of 0 bytes, so none could be kept"));
        }
        if let CassandraReplication::Simple(0) = self.replication {
            return Err(refused("a replication of 0 keeps nothing; it must be at least 1"));
        }
        self.vectors.validate()?;
        self.connection.check()
    }

    /// Sets one of our own settings of a URL.
    fn set(&mut self, key: &str, value: String) -> Result<()> {
        let setting = Setting { key, value: &value };
        let levels = "one, local_one, quorum, local_quorum, each_quorum or all";
        match key {
            "store.namespace" => self.namespace = Some(value),
            "store.buckets" => self.buckets = setting.number()?,
            "store.max_value_bytes" => self.max_value_bytes = setting.parsed("a number of bytes")?,
            "store.create" => self.create = setting.switch()?,
            "store.local_serial" => self.local_serial = setting.switch()?,
            "store.read_consistency" => {
                self.read_consistency =
                    CassandraConsistency::from_name(&value).ok_or_else(|| setting.must_be(levels))?;
            }
            "store.write_consistency" => {
                self.write_consistency =
                    CassandraConsistency::from_name(&value).ok_or_else(|| setting.must_be(levels))?;
            }
            "store.replication" => {
                self.replication = CassandraReplication::read(&value)
                    .ok_or_else(|| setting.must_be("a number, or datacentres with theirs: dc1:3,dc2:2"))?;
            }
            "store.chat_ttl_secs" => self.chat_ttl = Some(setting.seconds()?),
            "store.operation_timeout_ms" => self.operation_timeout = setting.millis()?,
            _ => return self.vectors.set(setting).unwrap_or_else(|| Err(url::unknown(key))),
        }
        Ok(())
    }
}

/// Reads `cassandra://host,host/keyspace?…`, with our own settings in its query.
impl FromStr for CassandraConfig {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            let (mut config, own) = url::read(text.trim())?;
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

/// Refuses the name of a keyspace that Cassandra would refuse.
fn check_name(what: &str, name: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(legal) {
        return Ok(());
    }
    Err(refused(format!("the {what} {name:?} is not allowed: it has 1 to {MAX_NAME} of a-z, A-Z, 0-9 and _")))
}

#[cfg(test)]
mod tests;
