//! Vector sets.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{TryStreamExt as _, stream};

use super::docs::node_bytes;
use super::part::{Both, Page, Part, Side, json};
use crate::{
    AddMode, BoxStream, Error, ErrorKind, GetOptions, Node, NodeId, Result, Selector, VectorConfig,
    VectorStore,
};

/// Values of embeddings in a page.
const VALUES: usize = 1 << 18;
/// Most nodes in a page.
const NODES: usize = 1024;

/// The nodes of one vector set, with their embeddings.
#[derive(Debug)]
pub(super) struct Vectors {
    stores: Both<dyn VectorStore>,
    /// What the set that is copied is set up for.
    config: VectorConfig,
    name: String,
}

impl Vectors {
    pub(super) fn new(stores: Both<dyn VectorStore>, config: VectorConfig, set: Option<&str>) -> Self {
        let name = set.map_or_else(|| "vectors".to_owned(), |set| format!("vectors of {set}"));
        Self { stores, config, name }
    }
}

/// One page behind a mark, which is a cursor; none in a set that is not set up.
async fn page(store: Arc<dyn VectorStore>, after: Option<String>) -> Result<Option<(Page<Node>, bool)>> {
    let Some(config) = store.config().await? else { return Ok(None) };
    let most = (VALUES / config.dimensions.max(1)).clamp(1, NODES);
    let mut options = GetOptions::default().with_embeddings(true).with_limit(most);
    options.after = after.map(crate::Cursor::new);
    let page = store.get(&Selector::all(), options).await?;
    let has_more = page.next.is_some();
    let mark = page.next.map(|next| next.as_str().to_owned()).unwrap_or_default();
    Ok((!page.items.is_empty() || has_more).then_some((Page { records: page.items, mark }, has_more)))
}

#[async_trait]
impl Part for Vectors {
    type Record = Node;

    fn name(&self) -> &str {
        &self.name
    }

    fn pages(&self, side: Side, after: Option<String>) -> BoxStream<Page<Node>> {
        // The last page has no cursor behind it, so its mark is empty.
        let begin = after.as_deref() != Some("");
        let pages = stream::try_unfold(
            (Arc::clone(self.stores.of(side)), after, begin),
            |(store, after, has_more)| async move {
                if !has_more {
                    return Ok(None);
                }
                let Some((page, has_more)) = page(Arc::clone(&store), after).await? else { return Ok(None) };
                let next = Some(page.mark.clone());
                Ok(Some((page, (store, next, has_more))))
            },
        );
        // A page may be empty where a filter of the store's own passed over its rows.
        Box::pin(pages.try_filter(|page| std::future::ready(!page.records.is_empty())))
    }

    async fn check(&self) -> Result<()> {
        let (VectorConfig { dimensions, metric, .. }, to) = (&self.config, &self.stores.to);
        let refuse = |kind, why: String| Err(Error::new(kind, format!("{}: {why}", self.name)));
        let can = to.capabilities();
        if !can.metrics.contains(metric) {
            let why = format!("the store to copy into does not compare by {metric:?}");
            return refuse(ErrorKind::Unsupported, why);
        }
        if let Some(most) = can.max_dimensions.filter(|most| most < dimensions) {
            let why = format!("they have {dimensions} dimensions, and the store to copy into takes {most}");
            return refuse(ErrorKind::LimitExceeded, why);
        }
        match to.config().await? {
            Some(other) if (other.dimensions, other.metric) != (*dimensions, *metric) => {
                let why = format!(
                    "they have {dimensions} dimensions, compared by {metric:?}, and those of the store to copy into \
                     {}, by {:?}",
                    other.dimensions, other.metric
                );
                refuse(ErrorKind::Config, why)
            }
            _ => Ok(()),
        }
    }

    async fn prepare(&self) -> Result<()> {
        if self.stores.to.config().await?.is_none() {
            self.stores.to.configure(self.config.clone()).await?;
        }
        Ok(())
    }

    async fn write(&self, nodes: Vec<Node>) -> Result<()> {
        self.stores.to.upsert(nodes, AddMode::Overwrite).await?;
        Ok(())
    }

    async fn find(&self, nodes: &[Node]) -> Result<Vec<Option<Node>>> {
        let ids: Vec<NodeId> = nodes.iter().map(|node| node.id.clone()).collect();
        let options = GetOptions::default().with_embeddings(true);
        let found = self.stores.to.get(&Selector::ids(ids.iter().cloned()), options).await?.items;
        let mut found: HashMap<NodeId, Node> =
            found.into_iter().map(|node| (node.id.clone(), node)).collect();
        Ok(ids.iter().map(|id| found.remove(id)).collect())
    }

    async fn count(&self, side: Side) -> Result<usize> {
        let store = self.stores.of(side);
        if store.config().await?.is_none() { Ok(0) } else { store.count(&Selector::all()).await }
    }

    async fn total(&self) -> Result<Option<usize>> {
        self.count(Side::From).await.map(Some)
    }

    fn key(node: &Node) -> &str {
        node.id.as_str()
    }

    /// The node, and the bits of its embedding: every store keeps at least an `f32` of each value.
    fn content(node: &Node) -> Result<Vec<u8>> {
        let values = node.embedding_f32();
        let mut bare = node.clone();
        bare.embedding = None;
        let mut content = json(&bare)?;
        // A node without an embedding is not one of no values.
        content.push(u8::from(values.is_some()));
        content.extend(values.into_iter().flatten().flat_map(f32::to_le_bytes));
        Ok(content)
    }

    fn bytes(node: &Node) -> usize {
        node_bytes(node)
    }
}
