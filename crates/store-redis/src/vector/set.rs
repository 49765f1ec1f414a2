//! One vector set: its names, its configuration, and its rows by id. What every engine stands on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fred::types::Value;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::vector_check;
use store_core::{Error, Node, Result, VectorConfig};
use tokio::sync::Mutex as AsyncMutex;

use super::linked::Linked;
use super::options::RedisVectorEngine;
use super::rows::{self, Keep};
use crate::driver::{Cmd, items, text};
use crate::space::Space;

/// LlamaIndex's name of the index.
const INDEX: &str = "llama_index";
/// What parts that name from the name of a set.
const NAMED: char = '@';
/// Rows that one round trip reads.
pub(super) const READ: usize = 100;
/// Round trips of one read that are under way at once.
const READS: usize = 2;

/// What is known of each vector set, by its name: shared by all handles, so that a new one need not ask again.
#[derive(Debug, Default)]
pub(crate) struct Memories(Mutex<HashMap<String, Arc<Memory>>>);

impl Memories {
    fn of(&self, name: &str) -> Arc<Memory> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }
}

/// What is known of one vector set.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The configuration as it was last read, with its text.
    seen: Mutex<Option<(String, Arc<VectorConfig>)>>,
    /// The configuration that the engine was prepared for.
    pub(super) ready: AsyncMutex<Option<Arc<VectorConfig>>>,
}

/// One vector set.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) space: Arc<Space>,
    /// The name in the registry: `llama_index`, `llama_index@name`.
    pub(super) name: String,
    /// The name of the index.
    pub(super) index: String,
    /// What the keys of the rows begin with, up to the id.
    pub(super) rows: String,
    /// The vector set that is kept up with the rows, if the store was opened for one.
    pub(super) linked: Option<Linked>,
    pub(super) memory: Arc<Memory>,
}

impl Set {
    pub(super) fn new(space: Arc<Space>, name: Option<&str>) -> Self {
        let name = name.map_or_else(|| INDEX.to_owned(), |name| format!("{INDEX}{NAMED}{name}"));
        let index = format!("{}{name}", space.prefix);
        let rows = format!("{index}/vector_");
        let engine = space.config.vectors.engine;
        let linked = (engine == RedisVectorEngine::VectorSet).then(|| Linked::new(&space, &name));
        let memory = space.vectors.of(&name);
        Self { space, name, index, rows, linked, memory }
    }

    /// The key of a row.
    pub(super) fn key(&self, id: &str) -> String {
        format!("{}{}", self.rows, rows::spelled(id))
    }

    /// The keys that change with a row: its own, and the vector set's if one is kept up.
    pub(super) fn keys(&self, id: &str) -> Vec<Value> {
        let linked = self.linked.as_ref().map(|linked| linked.key.as_str());
        std::iter::once(self.key(id).into()).chain(linked.map(Value::from)).collect()
    }

    /// The id in the key of a row; `None` for a key that is none.
    pub(super) fn id(&self, key: &[u8]) -> Option<String> {
        let key = std::str::from_utf8(key).ok()?;
        key.strip_prefix(&self.rows).map(rows::spelled_back).filter(|id| !id.is_empty())
    }

    /// The command that reads the configuration.
    pub(super) fn config_command(&self) -> Cmd {
        Cmd::read("HGET", registry(&self.space)).arg(self.name.as_str()).at_primary()
    }

    /// The configuration in the answer to [`config_command`](Self::config_command).
    pub(super) fn config_of(&self, answer: &Value) -> Result<Option<Arc<VectorConfig>>> {
        let mut seen = self.memory.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = text(answer) else {
            *seen = None;
            return Ok(None);
        };
        if let Some((_, config)) = seen.as_ref().filter(|(known, _)| known == found) {
            return Ok(Some(Arc::clone(config)));
        }
        let config: VectorConfig = serde_json::from_str(found).map_err(|error| {
            Error::corrupt("the configuration of the vector set can not be read")
                .with_collection(&self.name)
                .with_source(error)
        })?;
        let config = Arc::new(config);
        *seen = Some((found.to_owned(), Arc::clone(&config)));
        Ok(Some(config))
    }

    pub(super) async fn stored_config(&self) -> Result<Option<Arc<VectorConfig>>> {
        self.config_of(&self.space.call(self.config_command()).await?)
    }

    /// The configuration; `Config` when there is none.
    pub(super) async fn configured(&self) -> Result<Arc<VectorConfig>> {
        self.stored_config().await?.ok_or_else(vector_check::not_configured)
    }

    /// Keeps a configuration that agrees with what is there.
    pub(super) async fn store_config(&self, config: &VectorConfig) -> Result<()> {
        let value = serde_json::to_string(config)
            .map_err(|error| Error::config("the configuration can not be encoded").with_source(error))?;
        let registry = || registry(&self.space);
        let new = Cmd::write("HSETNX", registry()).arg(self.name.as_str()).arg(value.as_str());
        if self.space.call(new).await?.as_i64() == Some(1) {
            return Ok(());
        }
        // Another was there, or came a moment earlier.
        let there = self.configured().await?;
        vector_check::same_config(&there, config)?;
        if *there != *config {
            let set = Cmd::write("HSET", registry()).arg(self.name.as_str()).arg(value);
            self.space.call(set).await?;
        }
        Ok(())
    }

    /// Forgets the configuration; answers whether there was one.
    pub(super) async fn remove_config(&self) -> Result<bool> {
        let remove = Cmd::write("HDEL", registry(&self.space)).arg(self.name.as_str());
        Ok(self.space.call(remove).await?.as_i64() == Some(1))
    }

    /// The commands that read one row each.
    pub(super) fn read_command(&self, id: &str, keep: Keep) -> Cmd {
        Cmd::read("HMGET", self.key(id)).args(keep.fields().iter().copied())
    }

    /// Reads rows, in the order of the ids; `None` where there is none. Bounded round trips, several at once.
    pub(super) async fn read(&self, ids: &[String], keep: Keep) -> Result<Vec<Option<Node>>> {
        let chunks: Vec<_> = ids.chunks(READ).map(|ids| self.read_chunk(ids, keep)).collect();
        let rows: Vec<Vec<Option<Node>>> = stream::iter(chunks).buffered(READS).try_collect().await?;
        Ok(rows.into_iter().flatten().collect())
    }

    async fn read_chunk(&self, ids: &[String], keep: Keep) -> Result<Vec<Option<Node>>> {
        let commands = ids.iter().map(|id| self.read_command(id, keep)).collect();
        let answers = self.space.pipeline(commands).await?;
        ids.iter().zip(answers).map(|(id, answer)| rows::to_node(id, items(answer?))).collect()
    }
}

/// The hash that holds the configuration of every set, by name.
pub(super) fn registry(space: &Space) -> String {
    format!("{}nodestore:vectors", space.prefix)
}

/// The names of the configured sets but the default one, in order.
pub(crate) async fn set_names(space: &Space) -> Result<Vec<String>> {
    let answer = space.call(Cmd::read("HKEYS", registry(space))).await?;
    let name = |value: &Value| text(value)?.strip_prefix(INDEX)?.strip_prefix(NAMED).map(str::to_owned);
    let mut names: Vec<String> = items(answer).iter().filter_map(name).collect();
    names.sort_unstable();
    Ok(names)
}
