//! Nodes with embeddings in memory: exact search, BM25, every filter.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::RwLock;

use async_trait::async_trait;

use super::{NAME, read, write};
use crate::kit::bm25::Bm25Index;
use crate::kit::fusion::reciprocal_rank_fusion_by;
use crate::kit::vector_check::PageStart;
use crate::kit::vector_search::{Rows, ScoredRow, Search};
use crate::kit::vector_table::VectorTable;
use crate::kit::{check, vector_check};
use crate::{
    AddMode, AddReport, Error, GetOptions, JsonObject, MetadataPass, MetadataPatch, Node, Page, QueryKind,
    QueryPlan, Result, ScoredNode, Selector, VectorCapabilities, VectorConfig, VectorFields, VectorQuery,
    VectorStore,
};

/// Nodes with embeddings in memory.
#[derive(Debug, Default)]
pub struct MemoryVectorStore {
    state: RwLock<Option<State>>,
}

/// Nodes by row; ids, vectors and words point to rows.
#[derive(Debug)]
struct State {
    config: VectorConfig,
    /// Without embeddings: the table holds them.
    nodes: Vec<Option<Node>>,
    free: Vec<u32>,
    rows: BTreeMap<String, u32>,
    /// Rows by the source document of their nodes.
    ref_docs: HashMap<String, BTreeSet<u32>>,
    vectors: VectorTable,
    words: Bm25Index,
}

impl State {
    fn new(config: VectorConfig) -> Self {
        let vectors = VectorTable::new(config.dimensions);
        Self {
            config,
            nodes: Vec::new(),
            free: Vec::new(),
            rows: BTreeMap::new(),
            ref_docs: HashMap::new(),
            vectors,
            words: Bm25Index::default(),
        }
    }

    fn node(&self, row: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(row).ok()?)?.as_ref()
    }

    fn id(&self, row: u32) -> &str {
        self.node(row).map_or("", |node| node.id.as_str())
    }

    fn by_id(&self, left: u32, right: u32) -> Ordering {
        self.id(left).cmp(self.id(right))
    }

    fn put(&mut self, mut node: Node, embedding: Option<&[f32]>) -> Result<()> {
        let row = match self.rows.get(node.id.as_str()) {
            Some(row) => *row,
            None => self.take_row()?,
        };
        match embedding {
            Some(vector) => self.vectors.set(row, vector)?,
            None => {
                self.vectors.remove(row);
            }
        }
        self.words.add(row, node.text_content());
        self.leave_ref_doc(row);
        if let Some(ref_doc) = node.ref_doc_id() {
            self.ref_docs.entry(ref_doc.into_string()).or_default().insert(row);
        }
        self.rows.insert(node.id.as_str().to_owned(), row);
        node.embedding = None;
        if let Some(slot) = usize::try_from(row).ok().and_then(|row| self.nodes.get_mut(row)) {
            *slot = Some(node);
        }
        Ok(())
    }

    fn take_row(&mut self) -> Result<u32> {
        if let Some(row) = self.free.pop() {
            return Ok(row);
        }
        let row = u32::try_from(self.nodes.len())
            .map_err(|_| Error::invalid_input("the memory store holds at most 4,294,967,295 nodes"))?;
        self.nodes.push(None);
        Ok(row)
    }

    fn leave_ref_doc(&mut self, row: u32) {
        let Some(ref_doc) = self.node(row).and_then(Node::ref_doc_id) else { return };
        if let Some(rows) = self.ref_docs.get_mut(ref_doc.as_str()) {
            rows.remove(&row);
            if rows.is_empty() {
                self.ref_docs.remove(ref_doc.as_str());
            }
        }
    }

    fn remove(&mut self, row: u32) {
        self.leave_ref_doc(row);
        let Some(node) = usize::try_from(row).ok().and_then(|row| self.nodes.get_mut(row)?.take()) else {
            return;
        };
        self.rows.remove(node.id.as_str());
        self.vectors.remove(row);
        self.words.remove(row);
        self.free.push(row);
    }

    /// The selected rows, by id.
    fn select<'a>(&'a self, selector: &'a Selector) -> Box<dyn Iterator<Item = u32> + Send + 'a> {
        let ref_docs: Option<HashSet<&str>> =
            selector.ref_docs.as_ref().map(|ids| ids.iter().map(AsRef::as_ref).collect());
        let admits = move |row: &u32| {
            let Some(node) = self.node(*row) else { return false };
            let of_ref_doc = |ids: &HashSet<&str>| {
                node.relationships.source().is_some_and(|id| ids.contains(id.node_id.as_str()))
            };
            ref_docs.as_ref().is_none_or(of_ref_doc)
                && selector.filter.as_ref().is_none_or(|filter| filter.matches(&node.metadata))
        };
        let named: Option<BTreeMap<&str, u32>> = match (&selector.ids, &selector.ref_docs) {
            (Some(ids), _) => {
                Some(ids.iter().filter_map(|id| Some((id.as_str(), *self.rows.get(id.as_str())?))).collect())
            }
            (None, Some(ref_docs)) => {
                let rows = ref_docs.iter().filter_map(|id| self.ref_docs.get(id.as_str())).flatten();
                Some(rows.map(|row| (self.id(*row), *row)).collect())
            }
            (None, None) => None,
        };
        match named {
            Some(rows) => Box::new(rows.into_values().filter(admits)),
            None => Box::new(self.rows.values().copied().filter(admits)),
        }
    }

    fn answer(&self, row: u32, with_embeddings: bool) -> Option<Node> {
        let mut node = self.node(row)?.clone();
        if with_embeddings && let Some(vector) = self.vectors.get(row) {
            node.set_embedding(vector);
        }
        Some(node)
    }

    fn query(&self, query: &VectorQuery) -> Result<Vec<ScoredNode>> {
        vector_check::query(query, &self.config)?;
        let listed: Option<Vec<u32>> =
            (!query.selector.is_unrestricted()).then(|| self.select(&query.selector).collect());
        let rows = listed.as_deref().map_or(Rows::All, Rows::Listed);
        let found = self.search(query, rows)?;
        let scored = found.into_iter().filter_map(|ScoredRow { row, score }| {
            Some(ScoredNode::new(self.answer(row, query.with_embeddings)?, score))
        });
        Ok(scored.collect())
    }

    fn search(&self, query: &VectorQuery, rows: Rows<'_>) -> Result<Vec<ScoredRow>> {
        let ties = |left, right| self.by_id(left, right);
        let snapshot = self.vectors.snapshot();
        let all = self.nodes.len();
        let dense =
            |k, min_score| Search::new(self.config.metric, k).with_rows(rows).with_min_score(min_score);
        let enough = |found: &ScoredRow| query.min_score.is_none_or(|least| found.score >= least);
        match &query.kind {
            QueryKind::Dense { embedding } => {
                snapshot.search(embedding, &dense(query.top_k, query.min_score), ties)
            }
            QueryKind::Range { embedding, radius } => {
                let least = query.min_score.map_or(*radius, |least| least.max(*radius));
                snapshot.search(embedding, &dense(query.top_k, Some(least)), ties)
            }
            QueryKind::Text { text } => {
                let found = self.words.search(text, query.top_k, rows, ties);
                Ok(found.into_iter().filter(enough).collect())
            }
            QueryKind::Hybrid { embedding, text, alpha } => {
                let by_vector = snapshot.search(embedding, &dense(all, None), ties)?;
                let by_text = self.words.search(text, all, rows, ties);
                let row = |found: ScoredRow| found.row;
                let fused = reciprocal_rank_fusion_by(
                    by_vector.into_iter().map(row),
                    by_text.into_iter().map(row),
                    *alpha,
                    query.top_k,
                    |left, right| self.by_id(*left, *right),
                );
                Ok(fused.into_iter().map(|(row, score)| ScoredRow { row, score }).filter(enough).collect())
            }
            QueryKind::Mmr { embedding, threshold } => {
                snapshot.search_mmr(embedding, &dense(query.top_k, query.min_score), *threshold, ties)
            }
        }
    }
}

impl MemoryVectorStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything; answers whether it was configured.
    pub(super) fn reset(&self) -> bool {
        write(&self.state).take().is_some()
    }

    pub(super) fn is_configured(&self) -> bool {
        read(&self.state).is_some()
    }

    fn with<T>(&self, operation: &'static str, work: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        let state = read(&self.state);
        let state = state.as_ref().ok_or_else(vector_check::not_configured);
        state.and_then(work).map_err(|error| error.with_backend(NAME).with_operation(operation))
    }

    fn with_mut<T>(&self, operation: &'static str, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = write(&self.state);
        let state = state.as_mut().ok_or_else(vector_check::not_configured);
        state.and_then(work).map_err(|error| error.with_backend(NAME).with_operation(operation))
    }
}

#[async_trait]
impl VectorStore for MemoryVectorStore {
    async fn configure(&self, config: VectorConfig) -> Result<()> {
        let configure = || {
            vector_check::config(&config, self.capabilities().max_dimensions)?;
            let mut state = write(&self.state);
            match state.as_mut() {
                Some(stored) => {
                    vector_check::same_config(&stored.config, &config)?;
                    stored.config = config.clone();
                }
                None => *state = Some(State::new(config.clone())),
            }
            Ok(())
        };
        configure().map_err(|error: Error| error.with_backend(NAME).with_operation("vectors.configure"))
    }

    async fn config(&self) -> Result<Option<VectorConfig>> {
        Ok(read(&self.state).as_ref().map(|state| state.config.clone()))
    }

    fn capabilities(&self) -> VectorCapabilities {
        VectorCapabilities::new().with_fields(true)
    }

    async fn upsert(&self, nodes: Vec<Node>, mode: AddMode) -> Result<AddReport> {
        self.with_mut("vectors.upsert", |state| {
            let embeddings = vector_check::upsert(&nodes, mode, &state.config)?;
            let pairs: Vec<_> = nodes.into_iter().zip(embeddings).collect();
            let pairs = check::unique_by(pairs, mode == AddMode::Overwrite, |(node, _)| node.id.clone());
            let total = pairs.len();
            let mut existing = Vec::new();
            for (node, embedding) in pairs {
                if mode != AddMode::Overwrite && state.rows.contains_key(node.id.as_str()) {
                    existing.push(node.id.into_string());
                } else {
                    state.put(node, embedding.as_deref())?;
                }
            }
            if mode == AddMode::Fail && !existing.is_empty() {
                return Err(check::already_exist("node", existing));
            }
            Ok(AddReport::new(total - existing.len(), existing.len()))
        })
    }

    async fn query_many(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        self.with("vectors.query", |state| queries.iter().map(|query| state.query(query)).collect())
    }

    async fn explain(&self, query: &VectorQuery) -> Result<QueryPlan> {
        self.with("vectors.explain", |state| {
            vector_check::query(query, &state.config)?;
            let selected = state.select(&query.selector).count();
            let all = state.rows.len();
            let mut plan = QueryPlan::new(format!("exact search of {selected} of {all} nodes in memory"));
            plan.pushed_down.clone_from(&query.selector.filter);
            plan.candidates = u64::try_from(selected).ok();
            Ok(plan)
        })
    }

    async fn get(&self, selector: &Selector, options: GetOptions) -> Result<Page<Node>> {
        self.with("vectors.get", |state| {
            let start = PageStart::<String>::of(selector, &options)?;
            let past = |row: &u32| start.after.as_ref().is_none_or(|after| state.id(*row) > after.as_str());
            let rows = state.select(selector).filter(past).take(start.limit);
            let items: Vec<Node> =
                rows.filter_map(|row| state.answer(row, options.with_embeddings)).collect();
            let last = items.last().filter(|_| items.len() == start.limit);
            let next = last.map(|node| start.next(&node.id.as_str()));
            Ok(Page { items, next })
        })
    }

    async fn update(&self, selector: &Selector, patch: &MetadataPatch) -> Result<usize> {
        self.with_mut("vectors.update", |state| {
            check::restricted(selector)?;
            vector_check::patch(patch)?;
            let rows: Vec<u32> = state.select(selector).collect();
            for row in &rows {
                let node = usize::try_from(*row).ok().and_then(|row| state.nodes.get_mut(row)?.as_mut());
                if let Some(node) = node {
                    patch.apply(&mut node.metadata);
                }
            }
            Ok(rows.len())
        })
    }

    async fn delete(&self, selector: &Selector) -> Result<usize> {
        self.with_mut("vectors.delete", |state| {
            check::restricted(selector)?;
            let rows: Vec<u32> = state.select(selector).collect();
            for row in &rows {
                state.remove(*row);
            }
            Ok(rows.len())
        })
    }

    async fn count(&self, selector: &Selector) -> Result<usize> {
        self.with("vectors.count", |state| {
            check::valid_selector(selector)?;
            Ok(state.select(selector).count())
        })
    }

    async fn clear(&self) -> Result<()> {
        self.with_mut("vectors.clear", |state| {
            *state = State::new(state.config.clone());
            Ok(())
        })
    }

    fn fields(&self) -> Option<&dyn VectorFields> {
        Some(self)
    }
}

#[async_trait]
impl MetadataPass for MemoryVectorStore {
    const BACKEND: &'static str = NAME;

    async fn each_metadata(
        &self,
        selector: &Selector,
        show: impl for<'a> FnMut(&'a JsonObject) + Send,
    ) -> Result<()> {
        self.with("vectors.fields", |state| {
            check::valid_selector(selector)?;
            let nodes = state.select(selector).filter_map(|row| state.node(row));
            nodes.map(|node| &node.metadata).for_each(show);
            Ok(())
        })
    }
}
