//! One vector set: where it stands, its configuration, and its rows by id.
//!
//! The configuration is an item beside the rows: in a set's own table under the key `config` / `config`, in LlamaIndex's
//! layout in the main table's partition `nodestore:vectors`. It also says what can not be changed later: how many
//! partitions there are, and what the vector index parts and filters by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use store_core::kit::stored_json::stored_json;
use store_core::kit::vector_check;
use store_core::{Error, ErrorKind, FilterableField, NodeId, Result, VectorConfig};

use super::options::{DynamoDbVectorEngine, DynamoDbVectorLayout};
use super::rows::{self, Encoding, Keep, Names, Row};
use super::{sources, table};
use crate::batch;
use crate::codec::Item;
use crate::error::NAME;
use crate::schema::{self, PARTITION_KEY, SORT_KEY};
use crate::space::Space;
use crate::tables::{self, Keys};

/// The partition and the sort key of the configuration in a set's own table.
const CONFIG: &str = "config";
/// The partition of the configurations in the main table.
const CONFIGS: &str = "nodestore:vectors";
/// LlamaIndex's namespace of the default set.
const NAMESPACE: &str = "vector_store";
/// The attribute that holds the configuration, as JSON.
const SETTINGS: &str = "settings";
/// How long an index that is being built is not looked at again.
const LOOK: Duration = Duration::from_secs(5);

/// What a set was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) config: VectorConfig,
    /// Partitions of the rows.
    pub(super) partitions: usize,
    /// The vector index, if it was made with one.
    pub(super) index: Option<Index>,
    /// Another each time that a set is made, to tell it from one of that name before.
    pub(super) made: String,
}

/// What a vector index parts and filters by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    /// The metadata field that parts it.
    pub(super) tenant: Option<String>,
    /// The metadata fields that it filters by.
    pub(super) fields: Vec<FilterableField>,
}

/// What the service says of a set's vector index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It was made without one.
    None,
    /// It can be searched.
    Active,
    /// It is there, and does not hold all rows yet; seen at that moment.
    Building(Instant),
    /// Somebody deleted it.
    Gone,
}

/// A configured set, ready for use.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) config: VectorConfig,
    pub(super) table: String,
    pub(super) keys: Keys,
    pub(super) names: &'static Names,
    pub(super) encoding: Encoding,
    /// The partitions of the rows.
    pub(super) partitions: Vec<String>,
    /// LlamaIndex's partition that says which source document a node is of.
    pub(super) sources: Option<String>,
    /// Whether the local index of source documents is there.
    pub(super) by_doc: bool,
    pub(super) index: Option<Index>,
    pub(super) state: State,
    settings: Settings,
}

impl Ready {
    /// The key of a row.
    pub(super) fn key(&self, id: &str) -> Item {
        let place = match self.partitions.len() {
            0 | 1 => 0,
            count => usize::try_from(hash(id) % count as u64).unwrap_or(0),
        };
        let partition = self.partitions.get(place).map_or("", String::as_str);
        item_key(&self.keys, partition, id)
    }

    /// The key of what LlamaIndex's layout says of the source document of a node.
    pub(super) fn source_key(&self, id: &str) -> Option<Item> {
        self.sources.as_ref().map(|partition| item_key(&self.keys, partition, id))
    }
}

/// A key of a table.
pub(super) fn item_key(keys: &Keys, partition: &str, sort: &str) -> Item {
    [(&keys.partition, partition), (&keys.sort, sort)]
        .map(|(name, value)| (name.clone(), AttributeValue::S(value.to_owned())))
        .into()
}

/// FNV-1a, 64 bits: the partition of an id must be the same forever and everywhere.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
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

/// What is known of one vector set.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The set as it was last seen.
    seen: Mutex<Option<Arc<Ready>>>,
    /// The set as it was last searched.
    pub(super) used: Mutex<Option<Arc<Ready>>>,
}

/// One vector set.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) space: Arc<Space>,
    name: Option<String>,
    pub(super) memory: Arc<Memory>,
}

impl Set {
    pub(super) fn new(space: Arc<Space>, name: Option<&str>) -> Self {
        let memory = space.vectors.of(name);
        Self { space, name: name.map(str::to_owned), memory }
    }

    fn layout(&self) -> DynamoDbVectorLayout {
        self.space.config.vectors.layout
    }

    /// The table of the set, in our own layout.
    pub(super) fn own_table(&self) -> String {
        schema::vector_table(&self.space.main, self.name.as_deref())
    }

    /// The table, its keys, and the key of the configuration.
    async fn home(&self) -> Result<(String, Keys, Item)> {
        match self.layout() {
            DynamoDbVectorLayout::Nodestore => {
                let keys = Keys { partition: PARTITION_KEY.to_owned(), sort: SORT_KEY.to_owned() };
                let key = item_key(&keys, CONFIG, CONFIG);
                Ok((self.own_table(), keys, key))
            }
            DynamoDbVectorLayout::LlamaIndex => {
                let keys = tables::main(&self.space).await?;
                let key = item_key(&keys, CONFIGS, self.name.as_deref().unwrap_or(NAMESPACE));
                Ok((self.space.main.clone(), keys, key))
            }
        }
    }

    fn ready(&self, settings: Settings, table: String, keys: Keys, state: State) -> Ready {
        let own = self.layout() == DynamoDbVectorLayout::Nodestore;
        let namespace = self.name.as_deref().unwrap_or(NAMESPACE);
        let numbers = !own || settings.index.is_some();
        Ready {
            config: settings.config.clone(),
            table,
            keys,
            names: if own { &rows::OWN } else { &rows::LLAMAINDEX },
            encoding: if numbers { Encoding::Numbers } else { Encoding::Bytes },
            partitions: if own {
                (0..settings.partitions.max(1)).map(|number| format!("node/{number}")).collect()
            } else {
                vec![format!("{namespace}/embedding")]
            },
            sources: (!own).then(|| format!("{namespace}/text_id_to_doc_id")),
            by_doc: own,
            index: settings.index.clone(),
            state,
            settings,
        }
    }

    /// The configured set, if it is; the configuration is read each time, as another may have changed it.
    pub(super) async fn stored(&self) -> Result<Option<Arc<Ready>>> {
        let home = match self.home().await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            home => home?,
        };
        let (table, keys, key) = home;
        let Some(settings) = self.settings(&table, key).await? else {
            self.look_again();
            return Ok(None);
        };
        let seen = self.memory.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let current = |seen: &Arc<Ready>| {
            let fresh = match seen.state {
                State::Building(at) => at.elapsed() < LOOK,
                State::None | State::Active | State::Gone => true,
            };
            fresh && seen.settings == settings
        };
        if let Some(seen) = seen.filter(current) {
            return Ok(Some(seen));
        }
        let state = match &settings.index {
            None => State::None,
            Some(index) => table::state(&self.space, &table, &settings.config, index).await?,
        };
        let ready = Arc::new(self.ready(settings, table, keys, state));
        *self.memory.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ready));
        Ok(Some(ready))
    }

    /// Has the next call look at the table again.
    pub(super) fn look_again(&self) {
        *self.memory.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The configured set; `Config` when it is not.
    pub(super) async fn configured(&self) -> Result<Arc<Ready>> {
        self.stored().await?.ok_or_else(vector_check::not_configured)
    }

    async fn settings(&self, table: &str, key: Item) -> Result<Option<Settings>> {
        let get = self.space.client()?.get_item().table_name(table).set_key(Some(key)).consistent_read(true);
        let item = match self.space.call(get.send()).await {
            // A table that is not there, or is going.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            answer => answer?.item,
        };
        let Some(item) = item else { return Ok(None) };
        let text = item.get(SETTINGS).and_then(|value| value.as_s().ok()).map_or("", String::as_str);
        stored_json("the configuration of the vector set", text.as_bytes())
            .map(Some)
            .map_err(|error| error.with_collection(table))
    }

    /// Makes what the set needs, if it is not there, and keeps the configuration, if it agrees with what is there.
    pub(super) async fn configure(&self, config: &VectorConfig) -> Result<()> {
        let (table, _, key) = self.home().await?;
        let mut settings = match self.settings(&table, key.clone()).await? {
            Some(stored) => {
                vector_check::same_config(&stored.config, config)?;
                Settings { config: config.clone(), ..stored }
            }
            None => self.new_settings(config).await?,
        };
        if self.layout() == DynamoDbVectorLayout::Nodestore {
            let made = table::ensure(&self.space, &table, &settings).await?;
            // Another may have made it otherwise.
            if let Some(stored) = self.settings(&table, key.clone()).await? {
                vector_check::same_config(&stored.config, config)?;
                settings = Settings { config: config.clone(), ..stored };
            } else {
                self.agree(&table, &mut settings, made).await?;
            }
        } else {
            // Made again, if it was found to be gone just now.
            self.home().await?;
        }
        self.keep(&table, key, settings).await
    }

    /// Holds the settings of a new set against a table that may have been made by hand.
    async fn agree(&self, table: &str, settings: &mut Settings, indexed: bool) -> Result<()> {
        let wrong = |what: &str| Err(Error::config(format!("the table {table:?} {what}")).with_backend(NAME));
        match &settings.index {
            Some(index) if indexed => {
                table::state(&self.space, table, &settings.config, index).await?;
            }
            Some(_) if self.space.config.vectors.engine == DynamoDbVectorEngine::Native => {
                return wrong(&format!(
                    "has no vector index {:?}; add one, or open the store with store.vector_engine=auto or exact",
                    table::INDEX
                ));
            }
            Some(_) => settings.index = None,
            None if indexed => {
                return wrong(
                    "has a vector index, which takes embeddings in another form than store.vector_engine=exact \
                     writes them; delete the index, or open the store with store.vector_engine=auto",
                );
            }
            None => {}
        }
        Ok(())
    }

    async fn new_settings(&self, config: &VectorConfig) -> Result<Settings> {
        let options = &self.space.config.vectors;
        let own = options.layout == DynamoDbVectorLayout::Nodestore;
        let native = match options.engine {
            _ if !own => false,
            DynamoDbVectorEngine::Exact => false,
            // The service may have them, and yet none of so many dimensions.
            DynamoDbVectorEngine::Auto => {
                config.dimensions <= table::MAX_DIMENSIONS && table::offers_indexes(&self.space).await?
            }
            DynamoDbVectorEngine::Native => {
                if config.dimensions > table::MAX_DIMENSIONS {
                    let message = format!(
                        "a vector index takes at most {} dimensions, not {}; open the store with \
                         store.vector_engine=exact",
                        table::MAX_DIMENSIONS,
                        config.dimensions
                    );
                    return Err(Error::invalid_input(message));
                }
                if !table::offers_indexes(&self.space).await? {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        "the service has no vector indexes (DynamoDB Local has none); open the store with \
                         store.vector_engine=auto or exact",
                    ));
                }
                true
            }
        };
        let index = native.then(|| Index {
            tenant: options.tenant.clone(),
            fields: config.filterable.clone().unwrap_or_default(),
        });
        Ok(Settings {
            config: config.clone(),
            partitions: if own { options.partitions } else { 1 },
            index,
            made: rows::revision(),
        })
    }

    /// Writes the configuration, unless another wrote one that disagrees a moment earlier.
    async fn keep(&self, table: &str, key: Item, settings: Settings) -> Result<()> {
        let text = serde_json::to_string(&settings)
            .map_err(|error| Error::config("the configuration can not be encoded").with_source(error))?;
        let mut item = key.clone();
        item.insert(SETTINGS.to_owned(), AttributeValue::S(text.clone()));
        let put = |item: Item| -> Result<_> {
            Ok(self.space.client()?.put_item().table_name(table).set_item(Some(item)))
        };
        let new = put(item.clone())?
            .condition_expression("attribute_not_exists(#s)")
            .expression_attribute_names("#s", SETTINGS);
        match self.space.call(new.send()).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            answer => return answer.map(|_| ()),
        }
        let stored = self.settings(table, key).await?.ok_or_else(vector_check::not_configured)?;
        vector_check::same_config(&stored.config, &settings.config)?;
        if stored.config == settings.config {
            return Ok(());
        }
        let settings = Settings { config: settings.config, ..stored };
        let text = serde_json::to_string(&settings)
            .map_err(|error| Error::config("the configuration can not be encoded").with_source(error))?;
        item.insert(SETTINGS.to_owned(), AttributeValue::S(text));
        self.space.call(put(item)?.send()).await.map(|_| ())
    }

    /// Forgets the configuration in the main table.
    pub(super) async fn forget(&self) -> Result<()> {
        let (table, _, key) = self.home().await?;
        let delete = self.space.client()?.delete_item().table_name(table).set_key(Some(key));
        self.space.call(delete.send()).await.map(|_| ())
    }

    /// Reads rows, in the order of the ids; `None` where there is none.
    pub(super) async fn read(
        &self,
        ready: &Ready,
        ids: &[String],
        keep: Keep,
        consistent: bool,
    ) -> Result<Vec<Option<Row>>> {
        let attributes = keep.attributes(ready);
        let read = batch::Read {
            table: &ready.table,
            key: &[&ready.keys.partition, &ready.keys.sort],
            fields: Some(&attributes),
            consistent,
        };
        let keys = ids.iter().map(|id| ready.key(id)).collect();
        let items = batch::get(&self.space, &read, keys).await?;
        let row = |item: Option<Item>| item.map(|item| rows::from_item(ready, item, keep)).transpose();
        let mut rows = items.into_iter().map(row).collect::<Result<Vec<_>>>()?;
        sources::complete(self, ready, rows.iter_mut().flatten().collect(), keep, consistent).await?;
        Ok(rows)
    }
}

/// The names of the configured sets but the default one, in order.
pub(crate) async fn set_names(space: &Arc<Space>) -> Result<Vec<String>> {
    let mut names: Vec<String> = match space.config.vectors.layout {
        DynamoDbVectorLayout::Nodestore => {
            let begin = format!("{}-", schema::vector_table(&space.main, None));
            let tables = tables::of_store(space).await?;
            let names = tables.iter().filter_map(|table| table.strip_prefix(&begin).map(str::to_owned));
            let looks: Vec<_> = names
                .map(|name| async move {
                    let set = Set::new(Arc::clone(space), Some(&name));
                    let (table, _, key) = set.home().await?;
                    Ok::<_, Error>(set.settings(&table, key).await?.map(|_| name))
                })
                .collect();
            let found: Vec<Option<String>> = stream::iter(looks).buffered(8).try_collect().await?;
            found.into_iter().flatten().collect()
        }
        DynamoDbVectorLayout::LlamaIndex => configured_in_main(space).await?,
    };
    names.sort_unstable();
    Ok(names)
}

async fn configured_in_main(space: &Space) -> Result<Vec<String>> {
    let keys = match tables::main(space).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        keys => keys?,
    };
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let query = space
            .client()?
            .query()
            .table_name(&space.main)
            .key_condition_expression("#p = :p")
            .expression_attribute_names("#p", &keys.partition)
            .expression_attribute_values(":p", AttributeValue::S(CONFIGS.to_owned()))
            .consistent_read(true)
            .set_exclusive_start_key(after);
        let answer = match space.call(query.send()).await {
            // Another has dropped the namespace since.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            answer => answer?,
        };
        for mut item in answer.items.unwrap_or_default() {
            if let Some(AttributeValue::S(name)) = item.remove(&keys.sort)
                && name != NAMESPACE
            {
                names.push(name);
            }
        }
        after = answer.last_evaluated_key;
        if after.is_none() {
            return Ok(names);
        }
    }
}

/// The texts of ids, each once, in order.
pub(super) fn each_once(ids: &[NodeId]) -> Vec<String> {
    let mut ids: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
