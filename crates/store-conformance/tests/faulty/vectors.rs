//! Vectors with a fault.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::kit::vector_check;
use store_core::{
    AddMode, AddReport, Condition, Filter, GetOptions, MetadataPatch, Node, Page, QueryKind, QueryPlan,
    Result, Scalar, ScoredNode, Selector, VectorCapabilities, VectorConfig, VectorFields, VectorQuery,
    VectorStore, VectorStoreExt,
};

use super::{Fault, pause};

#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn VectorStore>,
    pub(crate) fault: Fault,
    pub(crate) capabilities: VectorCapabilities,
}

fn as_float(scalar: Scalar) -> Scalar {
    match scalar {
        Scalar::Integer(value) => Scalar::Float(value as f64),
        other => other,
    }
}

fn floats(condition: Condition) -> Condition {
    match condition {
        Condition::Eq(value) => Condition::Eq(as_float(value)),
        Condition::Ne(value) => Condition::Ne(as_float(value)),
        Condition::Gt(value) => Condition::Gt(as_float(value)),
        Condition::Lt(value) => Condition::Lt(as_float(value)),
        other => other,
    }
}

impl Faulty {
    fn filter(&self, filter: Filter) -> Filter {
        match (self.fault, filter) {
            (Fault::NegationMatchesEverything, Filter::Not(_)) => Filter::All(vec![]),
            (Fault::NumbersCompareAsFloats, Filter::Field { key, condition }) => {
                Filter::Field { key, condition: floats(condition) }
            }
            (_, Filter::All(parts)) => Filter::All(parts.into_iter().map(|part| self.filter(part)).collect()),
            (_, Filter::Any(parts)) => Filter::Any(parts.into_iter().map(|part| self.filter(part)).collect()),
            (_, Filter::Not(part)) => Filter::Not(Box::new(self.filter(*part))),
            (_, filter) => filter,
        }
    }

    fn selector(&self, selector: &Selector) -> Selector {
        let mut selector = selector.clone();
        selector.filter = selector.filter.map(|filter| self.filter(filter));
        if self.fault == Fault::EmptyListSelectsEverything {
            selector.ids = selector.ids.filter(|ids| !ids.is_empty());
            selector.ref_docs = selector.ref_docs.filter(|ids| !ids.is_empty());
        }
        selector
    }

    async fn answer(&self, query: &VectorQuery) -> Result<Vec<ScoredNode>> {
        let mut query = query.clone();
        query.selector = self.selector(&query.selector);
        match (self.fault, query.kind.clone()) {
            (Fault::FilterAfterTopK, _) => {
                let filter = query.selector.filter.take();
                let mut found = self.inner.query(&query).await?;
                found.retain(|found| {
                    filter.as_ref().is_none_or(|filter| filter.matches(&found.node.metadata))
                });
                return Ok(found);
            }
            (Fault::TopKIsOneTooMany, _) if query.top_k > 0 => query.top_k += 1,
            (Fault::EmbeddingsAlwaysCome, _) => query.with_embeddings = true,
            (Fault::MmrIsPlainSearch, QueryKind::Mmr { embedding, .. }) => {
                query.kind = QueryKind::Dense { embedding }
            }
            _ => {}
        }
        let mut found = self.inner.query(&query).await?;
        match (self.fault, query.kind) {
            (Fault::TiesAreReversed, _) => {
                found.sort_by(|left, right| {
                    right.score.total_cmp(&left.score).then(right.node.id.cmp(&left.node.id))
                });
            }
            (Fault::CosineIsHalved, QueryKind::Dense { .. }) => {
                for found in &mut found {
                    found.score = f64::midpoint(1.0, found.score);
                }
            }
            (Fault::HybridRanksFromZero, QueryKind::Hybrid { .. }) => {
                for found in &mut found {
                    found.score *= 61.0 / 60.0;
                }
            }
            _ => {}
        }
        Ok(found)
    }
}

#[async_trait]
impl VectorStore for Faulty {
    async fn configure(&self, config: VectorConfig) -> Result<()> {
        vector_check::config(&config, self.capabilities.max_dimensions)?;
        self.inner.configure(config).await
    }

    async fn config(&self) -> Result<Option<VectorConfig>> {
        self.inner.config().await
    }

    fn capabilities(&self) -> VectorCapabilities {
        self.capabilities.clone()
    }

    async fn upsert(&self, nodes: Vec<Node>, mode: AddMode) -> Result<AddReport> {
        if self.fault == Fault::UpsertWritesMetadataLater && mode == AddMode::Overwrite {
            let bare =
                nodes.iter().map(|node| Node { metadata: store_core::JsonObject::new(), ..node.clone() });
            self.inner.upsert(bare.collect(), mode).await?;
            pause().await;
        }
        match self.inner.upsert(nodes.clone(), mode).await {
            Err(error) if self.fault == Fault::BadNodesAreLeftOut => {
                let failed = error.failed().to_vec();
                let good = nodes
                    .into_iter()
                    .filter(|node| !failed.iter().any(|id| id == node.id.as_str()))
                    .collect();
                self.inner.upsert(good, mode).await?;
                Err(error)
            }
            answer => answer,
        }
    }

    async fn query_many(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        let mut answers = Vec::new();
        for query in queries {
            answers.push(self.answer(query).await?);
        }
        Ok(answers)
    }

    async fn explain(&self, query: &VectorQuery) -> Result<QueryPlan> {
        self.inner.explain(query).await
    }

    async fn get(&self, selector: &Selector, options: GetOptions) -> Result<Page<Node>> {
        let (after, embeddings) = (options.after.clone(), options.with_embeddings);
        let mut page = self.inner.get(&self.selector(selector), options).await?;
        if let (Fault::CursorRepeatsAnItem, Some(_), Some(first)) = (self.fault, after, page.items.first()) {
            page.items.insert(0, first.clone());
        }
        if self.fault == Fault::EmbeddingsAlwaysCome && !embeddings {
            page.items.iter_mut().for_each(|node| node.embedding = Some(vec![0.0]));
        }
        Ok(page)
    }

    async fn update(&self, selector: &Selector, patch: &MetadataPatch) -> Result<usize> {
        let selector = self.selector(selector);
        if self.fault != Fault::VectorUpdateReadsThenWrites || selector.is_unrestricted() {
            return self.inner.update(&selector, patch).await;
        }
        let nodes = self.inner.get(&selector, GetOptions::default().with_embeddings(true)).await?.items;
        pause().await;
        let count = nodes.len();
        let changed = nodes.into_iter().map(|mut node| {
            node.metadata.extend(patch.set.clone());
            node.metadata.retain(|key, _| !patch.unset.contains(key));
            node
        });
        self.inner.upsert(changed.collect(), AddMode::Overwrite).await?;
        Ok(count)
    }

    async fn delete(&self, selector: &Selector) -> Result<usize> {
        let selector = self.selector(selector);
        if self.fault == Fault::UnrestrictedDeleteClears && selector.is_unrestricted() {
            let count = self.inner.count(&selector).await?;
            self.inner.clear().await?;
            return Ok(count);
        }
        self.inner.delete(&selector).await
    }

    async fn count(&self, selector: &Selector) -> Result<usize> {
        self.inner.count(&self.selector(selector)).await
    }

    async fn clear(&self) -> Result<()> {
        if self.fault == Fault::ClearForgetsNothing { Ok(()) } else { self.inner.clear().await }
    }

    fn fields(&self) -> Option<&dyn VectorFields> {
        self.inner.fields().filter(|_| self.fault != Fault::FieldsAreNotThere)
    }
}
