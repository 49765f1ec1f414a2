//! Nodes with embeddings: stored in one transaction with what their metadata says, searched exactly in memory.

mod diagnose;
mod fields;
mod filter;
mod memory;
mod metadata_keys;
mod rows;
mod search;
mod words;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::kit::vector_check::PageStart;
use store_core::kit::{check, vector_check};
use store_core::{
    AddMode, AddReport, Error, ErrorKind, GetOptions, MetadataPatch, Node, Page, QueryPlan, Result,
    ScoredNode, Selector, VectorCapabilities, VectorConfig, VectorFields, VectorQuery, VectorStore,
};

pub(crate) use self::diagnose::{WordState, bytes_in_memory, is_configured, word_state};
use self::filter::{Index, row_number};
pub(crate) use self::memory::SharedVectors;
#[cfg(any(test, nodestore_fuzz))]
pub(crate) use self::metadata_keys::read_key;
use self::rows::{Change, Prepared, Writer};
use crate::codec::{Span, text};
use crate::engine::{ReadTx, Table as _, WriteTx, blocking};
use crate::error::at;
use crate::schema::{Tables, VECTOR_META};
use crate::space::{Handle, Space};

/// From this many logged rows a write brings the word index up to date itself: the next text search stays quick.
const LONG_LOG: u64 = 20_000;

/// How often a search looks for a moment at which memory and file agree, and after how many of them it reads
/// memory anew.
const ATTEMPTS: u32 = 200;
const PATIENCE: u32 = 100;

/// The vector role of an embedded store.
///
/// Vectors lie in memory in contiguous blocks (4 bytes for each dimension and 8 for the norm), read from disk at
/// the first search; all else stays on disk. Every filter is answered from an index of the metadata, whole and
/// exactly, before the best are chosen. Words are ranked by BM25 over an index kept in step with the nodes.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedVectorStore {
    handle: Arc<Handle>,
}

/// Calls `work` with the metadata index as `tx` sees it.
fn with_index<T>(tx: &ReadTx, tables: &Tables, work: impl FnOnce(&Index<'_>) -> Result<T>) -> Result<T> {
    let (index, ids) = (tx.table(&tables.vector_index)?, tx.table(&tables.vector_ids)?);
    let (rows, nodes) = (tx.table(&tables.vector_rows)?, tx.table(&tables.vector_nodes)?);
    work(&Index::new(&index, &ids, &rows, &nodes))
}

pub(crate) fn capabilities() -> VectorCapabilities {
    VectorCapabilities::new().with_fields(true)
}

/// The names of the configured sets whose spaces' names begin with `prefix`, in order.
pub(crate) fn set_names(tx: &ReadTx, prefix: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for table in tx.table_names()? {
        let name = table.strip_prefix(prefix).and_then(|table| table.strip_suffix(VECTOR_META));
        if let Some(name) = name
            && rows::config(&tx.table(&table)?)?.is_some()
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes all vector tables of a space, and its word index; answers whether it was configured.
pub(crate) async fn drop_set(space: Arc<Space>) -> Result<bool> {
    let (inner, after) = (Arc::clone(&space), Arc::clone(&space));
    let drop = move |tx: &WriteTx| {
        let configured = rows::config(&tx.table(&inner.tables.vector_meta)?)?.is_some();
        inner.tables.vector_tables().into_iter().try_for_each(|table| tx.drop_tables(table))?;
        Ok(configured)
    };
    let forget = move |_: &mut bool| after.vectors.dropped(&after.words_folder());
    space.engine.write_then(drop, forget).await
}

impl EmbeddedVectorStore {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    async fn configured(&self) -> Result<VectorConfig> {
        self.handle.read(|tx, tables| rows::configured(&tx.table(&tables.vector_meta)?)).await
    }

    /// Runs a write of the vector tables, and tells memory after its commit.
    async fn change<T, F>(&self, mut work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Writer<'_>, &VectorConfig) -> Result<T> + Send + 'static,
    {
        let space = self.handle.space()?;
        let (inner, after) = (Arc::clone(&space), Arc::clone(&space));
        let generation = space.engine.generation();
        let run = move |tx: &WriteTx| {
            let (mut writer, config) = Writer::open(tx, &inner.tables)?;
            let answer = work(&mut writer, &config)?;
            let log = writer.log_len()?;
            Ok((writer.finish(inner.vectors.words_taken())?, answer, log))
        };
        let tell = move |(change, _, _): &mut (Change, T, u64)| after.vectors.apply(change, generation);
        let (_, answer, log) = space.engine.write_then(run, tell).await?;
        if log >= LONG_LOG {
            self.catch_words_up(space).await;
        }
        Ok(answer)
    }

    /// Brings the word index up to date. What fails here fails again, and is told, when words are searched.
    async fn catch_words_up(&self, space: Arc<Space>) {
        let engine = Arc::clone(&space.engine);
        let caught_up = engine
            .read(move |tx| space.vectors.words_at(tx, &space.tables, &space.words_folder()).map(|_| ()))
            .await;
        if let Err(error) = caught_up {
            tracing::warn!(%error, "the word index lags behind");
        }
    }
}

#[async_trait]
impl VectorStore for EmbeddedVectorStore {
    async fn configure(&self, config: VectorConfig) -> Result<()> {
        vector_check::config(&config, self.capabilities().max_dimensions).map_err(at("vectors.configure"))?;
        let write = self.handle.write(move |tx, tables| rows::configure(tx, tables, &config));
        write.await.map_err(at("vectors.configure"))
    }

    async fn config(&self) -> Result<Option<VectorConfig>> {
        let read = self.handle.read(|tx, tables| rows::config(&tx.table(&tables.vector_meta)?));
        read.await.map_err(at("vectors.config"))
    }

    fn capabilities(&self) -> VectorCapabilities {
        capabilities()
    }

    async fn upsert(&self, nodes: Vec<Node>, mode: AddMode) -> Result<AddReport> {
        let upsert = async {
            let config = self.configured().await?;
            let checked = config.clone();
            let prepare = move || {
                let embeddings = vector_check::upsert(&nodes, mode, &checked)?;
                let pairs: Vec<_> = nodes.into_iter().zip(embeddings).collect();
                let pairs = check::unique_by(pairs, mode == AddMode::Overwrite, |(node, _)| node.id.clone());
                pairs
                    .into_iter()
                    .map(|(node, embedding)| Prepared::new(node, embedding))
                    .collect::<Result<Vec<_>>>()
            };
            let prepared = blocking(prepare).await?;
            if prepared.is_empty() {
                return Ok(AddReport::default());
            }
            let total = prepared.len();
            let write = move |writer: &mut Writer<'_>, now: &VectorConfig| {
                // Dropped and configured anew since the nodes were checked.
                vector_check::same_config(now, &config)?;
                let ids = prepared.iter().map(|node| node.id.as_str());
                let existing =
                    if mode == AddMode::Overwrite { HashSet::new() } else { writer.existing(ids)? };
                for node in prepared.iter().filter(|node| !existing.contains(node.id.as_str())) {
                    writer.put(node)?;
                }
                Ok(existing.into_iter().map(str::to_owned).collect::<Vec<_>>())
            };
            let mut existing = self.change(write).await?;
            if mode == AddMode::Fail && !existing.is_empty() {
                existing.sort_unstable();
                return Err(check::already_exist("node", existing));
            }
            Ok(AddReport::new(total - existing.len(), existing.len()))
        };
        upsert.await.map_err(at("vectors.upsert"))
    }

    async fn query_many(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        let queries: Arc<[VectorQuery]> = queries.into();
        for attempt in 0..ATTEMPTS {
            let space = self.handle.space().map_err(at("vectors.query"))?;
            if attempt == PATIENCE {
                space.vectors.reset();
            }
            let queries = Arc::clone(&queries);
            let search = move |tx: &ReadTx, tables: &Tables| {
                let answers = search::run(tx, tables, &space, &queries)?;
                if answers.is_none() {
                    // A writer is between its commit and memory.
                    std::thread::sleep(Duration::from_micros(100));
                }
                Ok(answers)
            };
            if let Some(answers) = self.handle.read(search).await.map_err(at("vectors.query"))? {
                return Ok(answers);
            }
        }
        let busy = Error::new(ErrorKind::Conflict, "writers left the search no quiet moment; repeat it");
        Err(at("vectors.query")(busy))
    }

    async fn explain(&self, query: &VectorQuery) -> Result<QueryPlan> {
        let query = query.clone();
        let explain = self.handle.read(move |tx, tables| {
            vector_check::query(&query, &rows::configured(&tx.table(&tables.vector_meta)?)?)?;
            search::explain(tx, tables, &query)
        });
        explain.await.map_err(at("vectors.explain"))
    }

    async fn get(&self, selector: &Selector, options: GetOptions) -> Result<Page<Node>> {
        let selector = selector.clone();
        let get = self.handle.read(move |tx, tables| {
            rows::configured(&tx.table(&tables.vector_meta)?)?;
            get(tx, tables, &selector, &options)
        });
        get.await.map_err(at("vectors.get"))
    }

    async fn update(&self, selector: &Selector, patch: &MetadataPatch) -> Result<usize> {
        let (selector, patch) = (selector.clone(), patch.clone());
        let update = move |writer: &mut Writer<'_>, _: &VectorConfig| {
            check::restricted(&selector)?;
            vector_check::patch(&patch)?;
            let rows = writer.index().select(&selector)?.unwrap_or_default();
            rows.iter().try_for_each(|row| writer.patch(row, &patch))?;
            Ok(count(rows.len()))
        };
        self.change(update).await.map_err(at("vectors.update"))
    }

    async fn delete(&self, selector: &Selector) -> Result<usize> {
        let selector = selector.clone();
        let delete = move |writer: &mut Writer<'_>, _: &VectorConfig| {
            check::restricted(&selector)?;
            let rows = writer.index().select(&selector)?.unwrap_or_default();
            rows.iter().try_for_each(|row| writer.remove(row))?;
            Ok(count(rows.len()))
        };
        self.change(delete).await.map_err(at("vectors.delete"))
    }

    async fn count(&self, selector: &Selector) -> Result<usize> {
        let selector = selector.clone();
        let read = self.handle.read(move |tx, tables| {
            rows::configured(&tx.table(&tables.vector_meta)?)?;
            check::valid_selector(&selector)?;
            match with_index(tx, tables, |index| index.select(&selector))? {
                Some(rows) => Ok(count(rows.len())),
                None => tx.table(&tables.vector_ids)?.len().map(count),
            }
        });
        read.await.map_err(at("vectors.count"))
    }

    async fn clear(&self) -> Result<()> {
        self.change(|writer, _| writer.clear()).await.map_err(at("vectors.clear"))
    }

    fn fields(&self) -> Option<&dyn VectorFields> {
        Some(self)
    }
}

fn count(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

/// A page of nodes by id, in the order of ids.
fn get(tx: &ReadTx, tables: &Tables, selector: &Selector, options: &GetOptions) -> Result<Page<Node>> {
    let start = PageStart::<String>::of(selector, options)?;
    let selected = with_index(tx, tables, |index| index.select(selector))?;
    let ids = tx.table(&tables.vector_ids)?;
    let answers = search::Answers::open(tx, tables, options.with_embeddings)?;
    let mut items = Vec::new();
    let mut last = None;
    let span = start.after.as_ref().map_or_else(Span::all, |after| Span::all().after(after.as_bytes()));
    for row in ids.range(&span)? {
        let (id, row) = row?;
        let row = row_number(row.value())?;
        if selected.as_ref().is_some_and(|rows| !rows.contains(row)) {
            continue;
        }
        items.extend(answers.node(row)?);
        if items.len() >= start.limit {
            last = Some(start.next(&text(id.value())?));
            break;
        }
    }
    Ok(Page { items, next: last })
}
