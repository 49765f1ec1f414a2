//! Nodes and content hashes.

use async_trait::async_trait;

use super::part::{Both, PAGE, Page, Part, Side, json, pages};
use crate::{AddOptions, BoxStream, DocStore, Node, NodeId, Result};

/// About what a node takes beside its texts.
const NODE_BYTES: usize = 512;

/// About how much memory a node takes.
pub(super) fn node_bytes(node: &Node) -> usize {
    let values = node.embedding.as_ref().map_or(0, Vec::len);
    let metadata: usize = node.metadata.values().filter_map(|value| value.as_str().map(str::len)).sum();
    NODE_BYTES + node.text_content().len() + metadata + values * size_of::<f64>()
}

/// Nodes and documents. Those that a source document lists came with it, in its order.
#[derive(Debug)]
pub(super) struct Nodes(pub(super) Both<dyn DocStore>);

#[async_trait]
impl Part for Nodes {
    type Record = Node;

    fn name(&self) -> &'static str {
        "nodes"
    }

    fn pages(&self, side: Side, after: Option<String>) -> BoxStream<Page<Node>> {
        pages::<Self>(self.0.of(side).scan(after.map(NodeId::from)), PAGE)
    }

    async fn write(&self, nodes: Vec<Node>) -> Result<()> {
        let with_source = nodes.iter().filter(|node| node.ref_doc_id().is_some());
        let ids: Vec<NodeId> = with_source.map(|node| node.id.clone()).collect();
        let mut exist = self.0.to.exist_many(&ids).await?.into_iter();
        let mut new = nodes;
        new.retain(|node| node.ref_doc_id().is_none() || exist.next() != Some(true));
        if !new.is_empty() {
            self.0.to.add(new, AddOptions::default()).await?;
        }
        Ok(())
    }

    async fn find(&self, nodes: &[Node]) -> Result<Vec<Option<Node>>> {
        let ids: Vec<NodeId> = nodes.iter().map(|node| node.id.clone()).collect();
        self.0.to.get_many(&ids).await
    }

    async fn count(&self, side: Side) -> Result<usize> {
        self.0.of(side).count(None).await
    }

    async fn total(&self) -> Result<Option<usize>> {
        self.count(Side::From).await.map(Some)
    }

    fn key(node: &Node) -> &str {
        node.id.as_str()
    }

    fn content(node: &Node) -> Result<Vec<u8>> {
        json(node)
    }

    fn bytes(node: &Node) -> usize {
        node_bytes(node)
    }
}

/// Content hashes, also of nodes that are not there. Adding a node sets its own; here come those that are others.
#[derive(Debug)]
pub(super) struct Hashes(pub(super) Both<dyn DocStore>);

#[async_trait]
impl Part for Hashes {
    type Record = (NodeId, String);

    fn name(&self) -> &'static str {
        "content hashes"
    }

    fn pages(&self, side: Side, after: Option<String>) -> BoxStream<Page<(NodeId, String)>> {
        pages::<Self>(self.0.of(side).scan_hashes(after.map(NodeId::from)), PAGE)
    }

    async fn write(&self, hashes: Vec<(NodeId, String)>) -> Result<()> {
        let found = self.find(&hashes).await?;
        let other = hashes.into_iter().zip(found).filter(|(hash, found)| found.as_ref() != Some(hash));
        let other: Vec<(NodeId, String)> = other.map(|(hash, _)| hash).collect();
        if !other.is_empty() {
            self.0.to.set_hashes(other).await?;
        }
        Ok(())
    }

    async fn find(&self, hashes: &[(NodeId, String)]) -> Result<Vec<Option<(NodeId, String)>>> {
        let ids: Vec<NodeId> = hashes.iter().map(|(id, _)| id.clone()).collect();
        let found = self.0.to.hashes(&ids).await?;
        Ok(ids.into_iter().zip(found).map(|(id, hash)| Some((id, hash?))).collect())
    }

    fn key((id, _): &(NodeId, String)) -> &str {
        id.as_str()
    }

    fn content((_, hash): &(NodeId, String)) -> Result<Vec<u8>> {
        Ok(hash.clone().into_bytes())
    }

    fn bytes((id, hash): &(NodeId, String)) -> usize {
        id.as_str().len() + hash.len()
    }
}
