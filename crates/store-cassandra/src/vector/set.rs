//! One vector set: its table, its configuration, and what is known of both.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use store_core::kit::vector_check;
use store_core::{Error, ErrorKind, FilterableField, NodeId, Result, VectorConfig};

use super::options::CassandraVectorEngine;
use super::rows::OWN;
use super::table::{self, Live, Settings, Stamp};
use crate::filter::Offers;
use crate::schema::qualified;
use crate::space::Space;

/// How long a table that lacks an index is not looked at again.
const LOOK: Duration = Duration::from_secs(5);
/// How long searches take a table for what it was. Many at once would else ask for it as often as for nodes.
const FRESH: Duration = Duration::from_millis(100);

/// A configured set, ready for use.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) config: VectorConfig,
    /// Keyspace and table, quoted.
    pub(super) table: String,
    pub(super) live: Live,
    /// What its comment says.
    settings: Option<Settings>,
    stamp: Stamp,
    seen: Instant,
}

impl Ready {
    /// Where all rows are ours: the fields whose numbers stand in columns.
    pub(super) fn own(&self) -> Option<&[FilterableField]> {
        self.settings.as_ref()?.own.as_deref()
    }

    /// The columns of ours that a write sets.
    pub(super) fn own_columns(&self) -> Vec<String> {
        let own = self.live.own.then(|| OWN.to_owned());
        own.into_iter().chain(self.settings.iter().flat_map(Settings::columns)).collect()
    }

    /// What the rows can be asked.
    pub(super) fn offers(&self) -> Offers<'_> {
        let indexed =
            |settings: &Settings| settings.columns().iter().all(|column| self.live.indexed.contains(column));
        let own = self.own().filter(|_| self.settings.as_ref().is_some_and(indexed));
        Offers { entries: self.live.entries, own }
    }

    /// Whether the vector index is to be asked.
    pub(super) fn has_index(&self, space: &Space) -> bool {
        self.live.metric.is_some() && space.config.vectors.engine == CassandraVectorEngine::Auto
    }
}

/// What is known of each vector set, by its name: shared by all handles, so that a new one need not ask again.
#[derive(Debug, Default)]
pub(crate) struct Memories(Mutex<HashMap<Option<String>, Arc<Memory>>>);

impl Memories {
    fn of(&self, name: Option<&str>) -> Arc<Memory> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.map(str::to_owned)).or_default())
    }
}

/// The set as it was last seen.
#[derive(Debug, Default)]
struct Memory(Mutex<Option<(Arc<Ready>, Instant)>>);

/// One vector set.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) space: Arc<Space>,
    name: Option<String>,
    /// Its table.
    pub(super) table: String,
    memory: Arc<Memory>,
}

impl Set {
    pub(super) fn new(space: Arc<Space>, name: Option<&str>) -> Self {
        let memory = space.vectors.of(name);
        let table = table::name(&space.config, name);
        Self { space, name: name.map(str::to_owned), table, memory }
    }

    /// The set as it was last seen.
    pub(super) fn known(&self) -> Option<Arc<Ready>> {
        self.remembered().map(|(ready, _)| ready)
    }

    /// The set as it was seen a moment ago.
    pub(super) fn fresh(&self) -> Option<Arc<Ready>> {
        self.remembered().filter(|(_, seen)| seen.elapsed() < FRESH).map(|(ready, _)| ready)
    }

    fn remembered(&self) -> Option<(Arc<Ready>, Instant)> {
        self.memory.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, seen: Option<(Arc<Ready>, Instant)>) {
        *self.memory.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// The configured set, if it is; the table is looked at each time, as another may have changed it.
    pub(super) async fn stored(&self) -> Result<Option<Arc<Ready>>> {
        let (space, now) = (&self.space, Instant::now());
        let Some(stamp) = table::stamp(space, &self.table).await? else {
            self.remember(None);
            return Ok(None);
        };
        let current = |ready: &Arc<Ready>| {
            ready.stamp == stamp
                && (ready.live.is_whole(ready.settings.as_ref()) || ready.seen.elapsed() < LOOK)
        };
        if let Some(ready) = self.known().filter(current) {
            self.remember(Some((Arc::clone(&ready), now)));
            return Ok(Some(ready));
        }
        let live = table::live(space, &self.table).await?;
        let settings = stamp.settings();
        let config = match &settings {
            Some(settings) => settings.config.clone(),
            // LlamaIndex makes its index by Cassandra's default.
            None => VectorConfig::new(live.dimensions, live.metric.unwrap_or_default()),
        };
        table::agree(space, &self.table, &live, &config)?;
        if let Some(settings) = &settings {
            table::has_columns(space, &self.table, &live, settings)?;
        }
        let table = qualified(&space.keyspace, &self.table);
        let ready = Arc::new(Ready { config, table, live, settings, stamp, seen: now });
        self.remember(Some((Arc::clone(&ready), now)));
        Ok(Some(ready))
    }

    /// The configured set; `Config` when it is not.
    pub(super) async fn configured(&self) -> Result<Arc<Ready>> {
        self.stored().await?.ok_or_else(vector_check::not_configured)
    }

    /// Makes what the set needs, if it is not there, and keeps the configuration, if it agrees with what is there.
    pub(super) async fn configure(&self, config: &VectorConfig) -> Result<()> {
        let space = &self.space;
        let mut settings = Settings::new(space, self.name.as_deref(), config);
        let stored = match self.stored().await? {
            Some(stored) => stored,
            None if !space.config.create => return Err(self.missing()),
            None => {
                table::make(space, &self.table, &settings).await?;
                self.configured().await?
            }
        };
        vector_check::same_config(&stored.config, config)?;
        let kept = stored.settings.clone();
        // What the table was made with stays.
        settings.own = kept.as_ref().and_then(|kept| kept.own.clone());
        // Another may be making it, or was cut off while it did.
        if let Some(kept) = kept.as_ref().filter(|_| space.config.create) {
            if !stored.live.is_whole(Some(kept)) {
                table::make(space, &self.table, &settings).await?;
                self.remember(None);
            }
            table::await_indexes(space, &stored.table, kept).await?;
        }
        if kept.as_ref() == Some(&settings) || stored.config == *config {
            return Ok(());
        }
        if kept.is_none() && !space.config.create {
            let message = "the table was made by another and may not be changed, so that declared fields can not be \
                           kept with it; leave them out, or open the store with store.create=true";
            return Err(Error::config(message));
        }
        table::describe(space, &self.table, &settings).await
    }

    fn missing(&self) -> Error {
        let message = format!(
            "there is no table {}.{}; open the store with store.create=true to have it made, or check keyspace, \
             namespace and store.vector_table",
            self.space.keyspace, self.table
        );
        Error::new(ErrorKind::NotFound, message)
    }

    /// Drops the set; answers whether it was configured.
    pub(super) async fn drop(&self) -> Result<bool> {
        self.remember(None);
        let there = table::stamp(&self.space, &self.table).await?.is_some();
        if there {
            table::drop(&self.space, &self.table).await?;
        }
        Ok(there)
    }
}

/// The names of the configured sets but the default one, in order.
pub(crate) async fn set_names(space: &Space) -> Result<Vec<String>> {
    let mut names = table::sets(space).await?;
    names.sort_unstable();
    Ok(names)
}

/// The texts of ids, each once, in order.
pub(super) fn each_once(ids: &[NodeId]) -> Vec<String> {
    let mut ids: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
