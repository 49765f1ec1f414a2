//! What a selector selects, page by page, as a count, or to be removed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use store_core::kit::vector_check::PageStart;
use store_core::{BoxStream, GetOptions, Node, NodeId, Page, Result, Selector};

use super::DynamoDbVectorStore;
use super::exact::parted;
use super::rows::{Keep, Row};
use super::scan::{self, Want};
use super::set::{Ready, Set, each_once};
use crate::batch::{self, Write};
use crate::filter::Native;

/// Rows that are read by name at once.
const READ: usize = 100;
/// Rows that are removed by one round of requests.
const REMOVED: usize = 1_000;

/// The selector, where the layout tells the source documents of nodes apart from the nodes with ids in their place.
pub(super) async fn resolved<'a>(
    set: &Set,
    ready: &Ready,
    selector: &'a Selector,
    consistent: bool,
) -> Result<Cow<'a, Selector>> {
    let (Some(_), Some(sources)) = (&ready.sources, &selector.ref_docs) else {
        return Ok(Cow::Borrowed(selector));
    };
    let mut ids = scan::of_sources(set, ready, sources, consistent).await?;
    if let Some(named) = &selector.ids {
        let named: HashSet<&str> = named.iter().map(NodeId::as_str).collect();
        ids.retain(|id| named.contains(id.as_str()));
    }
    let mut resolved = selector.clone();
    resolved.ids = Some(ids.into_iter().map(NodeId::from).collect());
    resolved.ref_docs = None;
    Ok(Cow::Owned(resolved))
}

/// Where a page ended.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    partition: usize,
    after: Option<String>,
}

impl DynamoDbVectorStore {
    /// The rows that are selected, as far as `keep` says, as a stream of bounded parts.
    pub(super) async fn selected(
        &self,
        ready: &Arc<Ready>,
        selector: &Selector,
        keep: Keep,
        consistent: bool,
    ) -> Result<BoxStream<Vec<Row>>> {
        let set = &self.set;
        let selector = resolved(set, ready, selector, consistent).await?.into_owned();
        let keep = Keep { node: true, ..keep };
        if let Some(ids) = self.named(ready, &selector, consistent).await? {
            let (set, ready, selector) = (Arc::clone(set), Arc::clone(ready), Arc::new(selector));
            let parts: Vec<_> = ids.chunks(READ).map(|ids| Ok(ids.to_vec())).collect();
            let read = move |ids: Vec<String>| {
                let (set, ready, selector) = (Arc::clone(&set), Arc::clone(&ready), Arc::clone(&selector));
                async move {
                    let rows = set.read(&ready, &ids, keep, consistent).await?;
                    Ok(only(rows.into_iter().flatten(), &selector))
                }
            };
            return Ok(stream::iter(parts).and_then(read).boxed());
        }
        let want = Want { keep, filter: parted(ready, &selector).native, consistent };
        Ok(scan::rows(set, ready, want).map_ok(move |rows| only(rows, &selector)).boxed())
    }

    /// The ids that may be selected, in order, where the selector names nodes or documents.
    async fn named(
        &self,
        ready: &Ready,
        selector: &Selector,
        consistent: bool,
    ) -> Result<Option<Vec<String>>> {
        match (&selector.ids, &selector.ref_docs) {
            (Some(ids), _) => Ok(Some(each_once(ids))),
            (None, Some(sources)) => scan::of_sources(&self.set, ready, sources, consistent).await.map(Some),
            (None, None) => Ok(None),
        }
    }

    pub(super) async fn page(
        &self,
        ready: &Arc<Ready>,
        selector: &Selector,
        options: &GetOptions,
    ) -> Result<Page<Node>> {
        let mut start = PageStart::of(selector, options)?;
        let place = start.after.take().unwrap_or(Place { partition: 0, after: None });
        let limit = start.limit;
        let keep = Keep::node(options.with_embeddings);
        let consistent = self.set.space.config.consistent_reads;
        let selector = resolved(&self.set, ready, selector, consistent).await?;
        let mut items = Vec::new();
        let whole = match self.named(ready, &selector, consistent).await? {
            Some(ids) => {
                let after = place.after.as_deref().unwrap_or_default();
                let from = ids.partition_point(|id| id.as_str() <= after);
                let ids = ids.get(from..).unwrap_or_default();
                self.page_of(ready, ids, &selector, keep, limit, &mut items).await?
            }
            None => self.page_of_all(ready, &selector, keep, place, limit, &mut items).await?,
        };
        Ok(match whole {
            None => Page::whole(items),
            Some(place) => Page { items, next: Some(start.next(&place)) },
        })
    }

    /// Reads of these ids, in order, until there are enough; where to go on, if there may be more.
    async fn page_of(
        &self,
        ready: &Ready,
        ids: &[String],
        selector: &Selector,
        keep: Keep,
        limit: usize,
        items: &mut Vec<Node>,
    ) -> Result<Option<Place>> {
        let consistent = self.set.space.config.consistent_reads;
        for ids in ids.chunks(READ) {
            let rows = self.set.read(ready, ids, keep, consistent).await?;
            for row in only(rows.into_iter().flatten(), selector) {
                items.extend(row.node);
                if items.len() == limit {
                    return Ok(Some(Place { partition: 0, after: Some(row.id) }));
                }
            }
        }
        Ok(None)
    }

    /// Reads one partition after the other until there are enough; where to go on, if there may be more.
    async fn page_of_all(
        &self,
        ready: &Ready,
        selector: &Selector,
        keep: Keep,
        mut place: Place,
        limit: usize,
        items: &mut Vec<Node>,
    ) -> Result<Option<Place>> {
        let consistent = self.set.space.config.consistent_reads;
        let want = Want { keep, filter: parted(ready, selector).native, consistent };
        if want.filter == Native::Nothing {
            return Ok(None);
        }
        while let Some(partition) = ready.partitions.get(place.partition) {
            let (rows, next) = scan::page(&self.set, ready, &want, partition, place.after.as_deref()).await?;
            for row in only(rows, selector) {
                items.extend(row.node);
                if items.len() == limit {
                    return Ok(Some(Place { partition: place.partition, after: Some(row.id) }));
                }
            }
            place = match next {
                Some(after) => Place { after: Some(after), ..place },
                None => Place { partition: place.partition + 1, after: None },
            };
        }
        Ok(None)
    }

    pub(super) async fn count_selected(&self, ready: &Arc<Ready>, selector: &Selector) -> Result<usize> {
        let consistent = self.set.space.config.consistent_reads;
        if selector.is_unrestricted() {
            return scan::count(&self.set, ready, consistent).await;
        }
        let rows = self.selected(ready, selector, Keep::METADATA, consistent).await?;
        rows.try_fold(0, |sum, rows| async move { Ok(sum + rows.len()) }).await
    }

    /// Removes what is selected; answers how many nodes.
    pub(super) async fn remove(&self, ready: &Arc<Ready>, selector: &Selector) -> Result<usize> {
        let mut rows = self.selected(ready, selector, Keep::METADATA, true).await?;
        let (mut removed, mut ids) = (0, Vec::new());
        loop {
            let part = rows.try_next().await?;
            let last = part.is_none();
            ids.extend(part.into_iter().flatten().map(|row| row.id));
            if last || ids.len() >= REMOVED {
                removed += ids.len();
                self.unlink(ready, std::mem::take(&mut ids)).await?;
            }
            if last {
                return Ok(removed);
            }
        }
    }

    /// Removes every row of the set.
    pub(super) async fn remove_all(&self, ready: &Arc<Ready>) -> Result<()> {
        let everything = Want { keep: Keep::ID, filter: Native::Everything, consistent: true };
        let mut rows = scan::rows(&self.set, ready, everything);
        while let Some(part) = rows.try_next().await? {
            self.unlink(ready, part.into_iter().map(|row| row.id).collect()).await?;
        }
        Ok(())
    }

    async fn unlink(&self, ready: &Ready, ids: Vec<String>) -> Result<()> {
        let writes = ids.iter().map(|id| Write::delete(ready.key(id))).collect();
        batch::write(&self.set.space, &ready.table, writes, &ready.keys.sort).await?;
        if ready.sources.is_some() {
            let writes = ids.iter().filter_map(|id| ready.source_key(id)).map(Write::delete).collect();
            batch::write(&self.set.space, &ready.table, writes, &ready.keys.sort).await?;
        }
        Ok(())
    }
}

fn only(rows: impl IntoIterator<Item = Row>, selector: &Selector) -> Vec<Row> {
    let selected = |row: &Row| row.node.as_ref().is_some_and(|node| selector.selects(node));
    rows.into_iter().filter(selected).collect()
}
