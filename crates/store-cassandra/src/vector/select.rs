//! What a selector selects, page by page, as a count, or to be removed.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use store_core::kit::vector_check::PageStart;
use store_core::{BoxStream, GetOptions, Node, Page, Result, Selector};

use super::CassandraVectorStore;
use super::exact::by_name;
use super::rows::{Keep, Row, latest};
use super::scan::{self, Want};
use super::set::{Ready, each_once};
use crate::codec::text;
use crate::filter::part;
use crate::session::{Call, Class};

/// Writes that are under way at once.
pub(super) const WRITES: usize = 64;
/// Rows that are read by name at once.
const READ: usize = 400;

/// Where a page ended.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    partition: String,
    id: String,
}

impl CassandraVectorStore {
    /// The rows that are selected, as far as `keep` says, after a place, in a steady order.
    fn selected(
        &self,
        ready: &Arc<Ready>,
        selector: &Selector,
        keep: Keep,
        after: Option<(String, String)>,
    ) -> BoxStream<Vec<Row>> {
        let set = &self.set;
        let keep = Keep { node: true, ..keep };
        let rows = match (&selector.ids, &selector.ref_docs) {
            (Some(ids), _) => {
                let mut ids = each_once(ids);
                if let Some((_, after)) = after {
                    ids.retain(|id| *id > after);
                }
                by_name(set, ready, &ids, keep)
            }
            (None, Some(sources)) => scan::of_sources(set, ready, sources, keep, after),
            (None, None) => {
                let alternatives = part(selector.filter.as_ref(), ready.offers()).alternatives;
                scan::rows(set, ready, &Want { keep, alternatives, after })
            }
        };
        let selector = selector.clone();
        rows.map_ok(move |rows| only(rows, &selector)).boxed()
    }

    /// The ids of what is selected.
    pub(super) async fn selected_ids(&self, ready: &Arc<Ready>, selector: &Selector) -> Result<Vec<String>> {
        let rows = self.selected(ready, selector, Keep::METADATA, None);
        let ids = rows.map_ok(|rows| rows.into_iter().map(|row| row.id).collect::<Vec<_>>());
        ids.try_concat().await
    }

    /// Shows every node that is selected, without text and embedding.
    pub(super) async fn each_selected(
        &self,
        ready: &Arc<Ready>,
        selector: &Selector,
        mut show: impl FnMut(&Node) + Send,
    ) -> Result<()> {
        let mut rows = self.selected(ready, selector, Keep::METADATA, None);
        while let Some(part) = rows.try_next().await? {
            part.iter().filter_map(|row| row.node.as_ref()).for_each(&mut show);
        }
        Ok(())
    }

    pub(super) async fn page(
        &self,
        ready: &Arc<Ready>,
        selector: &Selector,
        options: &GetOptions,
    ) -> Result<Page<Node>> {
        let mut start = PageStart::<Place>::of(selector, options)?;
        let after = start.after.take().map(|place| (place.partition, place.id));
        let mut rows = self.selected(ready, selector, Keep::node(options.with_embeddings), after);
        let mut items = Vec::new();
        while let Some(part) = rows.try_next().await? {
            for row in part {
                items.extend(row.node);
                if items.len() == start.limit {
                    let place = Place { partition: row.partition, id: row.id };
                    return Ok(Page { items, next: Some(start.next(&place)) });
                }
            }
        }
        Ok(Page::whole(items))
    }

    pub(super) async fn count_selected(&self, ready: &Arc<Ready>, selector: &Selector) -> Result<usize> {
        let rows = if selector.is_unrestricted() {
            scan::rows(&self.set, ready, &Want::all(Keep::ID))
        } else {
            self.selected(ready, selector, Keep::METADATA, None)
        };
        rows.try_fold(0, |sum, rows| async move { Ok(sum + rows.len()) }).await
    }

    /// Removes what is selected; answers how many nodes.
    pub(super) async fn remove(&self, ready: &Arc<Ready>, selector: &Selector) -> Result<usize> {
        let mut removed = 0;
        if let Some(ids) = &selector.ids {
            for ids in each_once(ids).chunks(READ) {
                let rows = scan::by_ids(&self.set, ready, ids, Keep::METADATA).await?;
                let ids: HashSet<String> =
                    only(latest(rows.clone()), selector).into_iter().map(|row| row.id).collect();
                removed += ids.len();
                // Also what a change of the source document has left.
                let rows = rows.into_iter().filter(|row| ids.contains(&row.id)).collect();
                self.unlink(ready, rows).await?;
            }
            return Ok(removed);
        }
        let mut rows = self.selected(ready, selector, Keep::METADATA, None);
        while let Some(part) = rows.try_next().await? {
            removed += part.len();
            self.unlink(ready, part).await?;
        }
        Ok(removed)
    }

    /// Removes every row of the set.
    pub(super) async fn remove_all(&self, ready: &Ready) -> Result<()> {
        let truncate = Call::new(Class::Write, format!("TRUNCATE {}", ready.table), Vec::new());
        self.set.space.run(truncate).await.map(|_| ())
    }

    async fn unlink(&self, ready: &Ready, rows: Vec<Row>) -> Result<()> {
        let statement = format!("DELETE FROM {} WHERE partition_id = ? AND row_id = ?", ready.table);
        let deletes: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let values = vec![text(row.partition), text(row.id.as_str())];
                let call = Call::new(Class::Write, statement.clone(), values);
                async move {
                    let answer = self.set.space.run(call).await;
                    answer.map(|_| ()).map_err(|error| error.with_key(&row.id).with_failed([&row.id]))
                }
            })
            .collect();
        stream::iter(deletes).buffer_unordered(WRITES).try_collect().await
    }
}

fn only(rows: impl IntoIterator<Item = Row>, selector: &Selector) -> Vec<Row> {
    let selected = |row: &Row| row.node.as_ref().is_some_and(|node| selector.selects(node));
    rows.into_iter().filter(selected).collect()
}
