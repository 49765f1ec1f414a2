//! The stores that the tables are made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nodestore::{Backend, Capabilities, OpenOptions, VectorStore};
use tempfile::TempDir;

use crate::Outcome;

/// A backend, and a server that shows it.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// As [`Backend::name`] has it.
    pub(crate) name: &'static str,
    /// What people look for.
    pub(crate) title: &'static str,
    /// A URL that shows its form.
    pub(crate) form: &'static str,
    /// The cargo feature of `nodestore`; `None`: it is always there, and has no crate of its own.
    pub(crate) feature: Option<&'static str>,
    /// Names the server; `None`: it needs none.
    pub(crate) variable: Option<&'static str>,
}

impl Kind {
    /// The front page of its crate.
    pub(crate) fn front_page(&self) -> String {
        format!("crates/store-{}/README.md", self.name)
    }
}

const EMBEDDED: Kind = Kind {
    name: "embedded",
    title: "[a folder](docs/embedded.md), no server",
    form: "embedded:///path",
    feature: Some("embedded"),
    variable: None,
};
const MONGODB: Kind = Kind {
    name: "mongodb",
    title: "[MongoDB](docs/mongodb.md), Atlas",
    form: "mongodb://host",
    feature: Some("mongodb"),
    variable: Some("STORE_TEST_MONGODB_URL"),
};
const REDIS: Kind = Kind {
    name: "redis",
    title: "[Redis](docs/redis.md), Valkey",
    form: "redis://host",
    feature: Some("redis"),
    variable: Some("STORE_TEST_REDIS_STACK_URL"),
};
const DYNAMODB: Kind = Kind {
    name: "dynamodb",
    title: "[DynamoDB](docs/dynamodb.md)",
    form: "dynamodb://region/table",
    feature: Some("dynamodb"),
    variable: Some("STORE_TEST_DYNAMODB_URL"),
};
const CASSANDRA: Kind = Kind {
    name: "cassandra",
    title: "[Cassandra](docs/cassandra.md) 5",
    form: "cassandra://host/keyspace",
    feature: Some("cassandra"),
    variable: Some("STORE_TEST_CASSANDRA_URL"),
};
const MEMORY: Kind =
    Kind { name: "memory", title: "the process's memory", form: "memory:", feature: None, variable: None };

pub(crate) static BACKENDS: [Kind; 6] = [EMBEDDED, MONGODB, REDIS, DYNAMODB, CASSANDRA, MEMORY];

/// A setting by which a store can do something else.
pub(crate) struct Other {
    pub(crate) kind: Kind,
    pub(crate) option: &'static str,
    /// Whether it answers filters otherwise.
    pub(crate) filters: bool,
}

/// Vector sets are in Redis 8 only.
const REDIS8: Kind = Kind { variable: Some("STORE_TEST_REDIS8_URL"), ..REDIS };

pub(crate) static OTHERS: [Other; 6] = [
    Other { kind: MONGODB, option: "store.large_values=gridfs", filters: false },
    Other { kind: REDIS8, option: "store.vector_engine=vector_set", filters: true },
    Other { kind: DYNAMODB, option: "store.large_values=chunks", filters: false },
    Other { kind: DYNAMODB, option: "store.vector_engine=native", filters: false },
    Other { kind: DYNAMODB, option: "store.vector_layout=llamaindex", filters: false },
    Other { kind: CASSANDRA, option: "store.vector_exclusive=true", filters: true },
];

/// The URL in a variable, or why there is none.
pub(crate) fn server(variable: &str) -> Result<String, String> {
    let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
    url.ok_or_else(|| format!("{variable} is not set; scripts/servers/with starts a server and sets it"))
}

/// An open store in a namespace of its own.
pub(crate) struct Store {
    backend: Arc<dyn Backend>,
    _folder: Option<TempDir>,
}

impl Store {
    /// Opens one with a setting of its URL, or without (an empty one).
    pub(crate) async fn open(kind: &Kind, option: &str) -> Outcome<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let namespace = format!("c{now:x}n{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (mut url, folder) = match kind.variable {
            Some(variable) => (server(variable)?, None),
            None if kind.name == MEMORY.name => (kind.form.to_owned(), None),
            None => {
                let folder = tempfile::tempdir()?;
                (nodestore::embedded_url(&folder.path().join("store")), Some(folder))
            }
        };
        if !option.is_empty() {
            url = format!("{url}{}{option}", if url.contains('?') { '&' } else { '?' });
        }
        let options = OpenOptions::default().with_namespace(namespace).with_create(true);
        let backend = nodestore::open_with(&url, &options).await?;
        if backend.name() != kind.name {
            return Err(format!("{} opens {}, not {}", kind.form, backend.name(), kind.name).into());
        }
        Ok(Self { backend, _folder: folder })
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    pub(crate) fn vectors(&self) -> Outcome<Arc<dyn VectorStore>> {
        Ok(self.backend.vectors()?)
    }

    /// Removes what was made for the tables.
    pub(crate) async fn remove(self) -> Outcome {
        Ok(self.backend.drop_namespace().await?)
    }
}
