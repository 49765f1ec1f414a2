//! What a selector selects, page by page, as a count, or to be removed.

use std::collections::{BTreeSet, HashSet};

use fred::types::Value;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::vector_check::PageStart;
use store_core::{BoxStream, GetOptions, Node, Page, Result, Selector, VectorConfig};

use super::RedisVectorStore;
use super::engine::Candidates;
use super::linked;
use super::rows::Keep;
use super::set::READ;
use crate::driver::Cmd;
use std::sync::Arc;

/// Keys that one round trip removes.
const REMOVED: usize = 500;

impl RedisVectorStore {
    /// At least all that is selected.
    pub(super) fn candidates(
        &self,
        config: &Arc<VectorConfig>,
        selector: &Selector,
    ) -> BoxStream<Candidates> {
        match &selector.ids {
            None => self.engine.candidates(&self.set, config, selector),
            Some(ids) => {
                let mut seen = HashSet::with_capacity(ids.len());
                let ids: Vec<String> = ids
                    .iter()
                    .filter(|id| seen.insert(id.as_str()))
                    .map(|id| id.as_str().to_owned())
                    .collect();
                let parts: Vec<_> = ids.chunks(READ).map(<[String]>::to_vec).collect();
                stream::iter(parts.into_iter().map(|ids| Ok(Candidates { ids, sure: false }))).boxed()
            }
        }
    }

    /// The ids of exactly what is selected, as a stream of bounded parts.
    pub(super) fn selected(&self, config: &Arc<VectorConfig>, selector: &Selector) -> BoxStream<Vec<String>> {
        let (set, wanted) = (Arc::clone(&self.set), selector.clone());
        let check = move |candidates: Candidates| {
            let (set, wanted) = (Arc::clone(&set), wanted.clone());
            async move {
                if candidates.sure {
                    return Ok(candidates.ids);
                }
                let nodes = set.read(&candidates.ids, Keep::NODE).await?;
                let selected = nodes.into_iter().flatten().filter(|node| wanted.selects(node));
                Ok(selected.map(|node| node.id.into_string()).collect())
            }
        };
        self.candidates(config, selector).and_then(check).boxed()
    }

    pub(super) async fn page(
        &self,
        config: &Arc<VectorConfig>,
        selector: &Selector,
        options: &GetOptions,
    ) -> Result<Page<Node>> {
        let mut start = PageStart::<String>::of(selector, options)?;
        let (mut after, limit) = (start.after.take(), start.limit);
        let keep = Keep { embedding: options.with_embeddings };
        let mut items: Vec<Node> = Vec::new();
        loop {
            // Pages are by id, which no index of the server orders: the ids of all are read, the least are kept.
            let (ids, whole) = self.least(config, selector, after.as_deref(), limit - items.len()).await?;
            for ids in ids.chunks(READ * 2) {
                for node in self.set.read(ids, keep).await?.into_iter().flatten() {
                    if !selector.selects(&node) {
                        continue;
                    }
                    let next = start.next(&node.id.as_str());
                    items.push(node);
                    if items.len() == limit {
                        return Ok(Page { items, next: Some(next) });
                    }
                }
            }
            after = ids.into_iter().next_back().or(after);
            if whole {
                return Ok(Page::whole(items));
            }
        }
    }

    /// The least ids after this one, in order, at least as many as wanted if there are; and whether there are no
    /// more.
    async fn least(
        &self,
        config: &Arc<VectorConfig>,
        selector: &Selector,
        after: Option<&str>,
        wanted: usize,
    ) -> Result<(Vec<String>, bool)> {
        // More than wanted, where some will be left out when they are read.
        let most = if selector.is_unrestricted() { wanted } else { wanted.max(READ * 5) };
        let mut least = BTreeSet::new();
        let mut whole = true;
        let mut candidates = self.candidates(config, selector);
        while let Some(part) = candidates.try_next().await? {
            for id in part.ids {
                if after.is_some_and(|after| id.as_str() <= after) {
                    continue;
                }
                if least.len() < most {
                    least.insert(id);
                } else {
                    whole = false;
                    if least.last().is_some_and(|last| id < *last) && least.insert(id) {
                        least.pop_last();
                    }
                }
            }
        }
        Ok((least.into_iter().collect(), whole))
    }

    pub(super) async fn count_selected(
        &self,
        config: &Arc<VectorConfig>,
        selector: &Selector,
    ) -> Result<usize> {
        if selector.ids.is_none()
            && let Some((sure, others)) = self.engine.sure_count(&self.set, config, selector).await?
        {
            let mut count = sure;
            let mut others = others;
            while let Some(part) = others.try_next().await? {
                let nodes = self.set.read(&part.ids, Keep::NODE).await?;
                count += nodes.iter().flatten().filter(|node| selector.selects(node)).count();
            }
            return Ok(count);
        }
        self.selected(config, selector).try_fold(0, |sum, ids| async move { Ok(sum + ids.len()) }).await
    }

    /// Removes what is selected; answers how many nodes.
    pub(super) async fn remove(&self, config: &Arc<VectorConfig>, selector: &Selector) -> Result<usize> {
        let only_ids = selector.filter.is_none() && selector.ref_docs.is_none();
        let mut selected = if only_ids {
            // What is not there is not removed, and not counted.
            self.candidates(config, selector).map_ok(|part| part.ids).boxed()
        } else {
            self.selected(config, selector)
        };
        let mut removed = 0;
        while let Some(ids) = selected.try_next().await? {
            removed += self.unlink(&ids).await?;
        }
        Ok(removed)
    }

    /// Removes every row of the set.
    pub(super) async fn remove_all(&self, config: &Arc<VectorConfig>) -> Result<()> {
        let mut all = self.candidates(config, &Selector::all());
        while let Some(part) = all.try_next().await? {
            self.unlink(&part.ids).await?;
        }
        Ok(())
    }

    async fn unlink(&self, ids: &[String]) -> Result<usize> {
        let mut removed = 0;
        for ids in ids.chunks(REMOVED) {
            let answers = if self.set.linked.is_some() {
                let runs = ids.iter().map(|id| (self.set.keys(id), vec![Value::from(id.as_str())]));
                self.set.space.scripts(&linked::REMOVE, runs.collect()).await?
            } else {
                let commands = ids.iter().map(|id| Cmd::write("UNLINK", self.set.key(id))).collect();
                self.set.space.pipeline(commands).await?
            };
            for answer in answers {
                removed += usize::from(matches!(answer?, Value::Integer(1)));
            }
        }
        Ok(removed)
    }
}
