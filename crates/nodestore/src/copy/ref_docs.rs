//! Source documents, each with its nodes in its own order.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use super::part::{Both, PAGE, Page, Part, Side, json, pages};
use crate::{AddOptions, BoxStream, DocStore, JsonObject, Node, NodeId, RefDocId, RefDocInfo, Result};

/// Source documents in a page: each brings its nodes along.
const DOCUMENTS: usize = 32;
/// Source documents asked for at the same time.
const AT_ONCE: usize = 16;

type RefDoc = (RefDocId, RefDocInfo);

/// Source documents. A store orders the nodes of one as they are added, so they are added in that order.
#[derive(Debug)]
pub(super) struct RefDocs(pub(super) Both<dyn DocStore>);

/// Some nodes of one source document, in its order.
struct Piece<'a> {
    document: &'a RefDocId,
    metadata: &'a JsonObject,
    ids: &'a [NodeId],
    /// Its first nodes, by which the store takes the document's metadata.
    is_first: bool,
    /// All its nodes.
    is_whole: bool,
}

/// What is known of the nodes that source documents list.
struct Known {
    nodes: HashMap<NodeId, Node>,
    /// Ids without a node that have a hash.
    hashed: HashSet<NodeId>,
}

impl Known {
    /// Whether a document holds a node, and does not only list it: Python leaves a node in the list of the document
    /// that it left, and the ids of nodes that are gone.
    fn holds(&self, document: &RefDocId, id: &NodeId) -> bool {
        match self.nodes.get(id) {
            Some(node) => node.ref_doc_id().as_ref() == Some(document),
            None => self.hashed.contains(id),
        }
    }
}

impl RefDocs {
    async fn known(&self, ids: Vec<NodeId>) -> Result<Known> {
        let stored = self.0.from.get_many(&ids).await?;
        let (mut nodes, mut absent) = (HashMap::with_capacity(ids.len()), Vec::new());
        for (id, node) in ids.into_iter().zip(stored) {
            match node {
                Some(node) => drop(nodes.insert(id, node)),
                None => absent.push(id),
            }
        }
        let mut hashed = HashSet::new();
        if !absent.is_empty() {
            let found = self.0.from.hashes(&absent).await?;
            hashed.extend(absent.into_iter().zip(found).filter_map(|(id, hash)| hash.map(|_| id)));
        }
        Ok(Known { nodes, hashed })
    }

    /// Adds the nodes of some pieces: at most [`PAGE`].
    async fn add(&self, pieces: Vec<Piece<'_>>) -> Result<()> {
        let mut known = self.known(pieces.iter().flat_map(|piece| piece.ids).cloned().collect()).await?;
        let (mut outline, mut nodes) = (Vec::new(), Vec::new());
        for piece in pieces {
            let ids = piece.ids.iter().filter(|id| known.holds(piece.document, id));
            let ids: Vec<&NodeId> = ids.collect();
            outline.extend(piece.outline(&ids, &known));
            // A node that is listed twice goes by its first place.
            nodes.extend(ids.into_iter().filter_map(|id| known.nodes.remove(id)));
        }
        if !outline.is_empty() {
            self.0.to.add(outline, AddOptions::default().with_store_text(false)).await?;
        }
        if !nodes.is_empty() {
            self.0.to.add(nodes, AddOptions::default()).await?;
        }
        Ok(())
    }
}

impl Piece<'_> {
    /// What must be added first, without text, so that the document becomes what it was: the places of nodes that are
    /// not stored, and metadata which its nodes by themselves would not give it.
    fn outline(&self, ids: &[&NodeId], known: &Known) -> Vec<Node> {
        let mut given = JsonObject::new();
        for node in ids.iter().filter_map(|id| known.nodes.get(*id)) {
            given.extend(node.metadata.clone());
        }
        // The first call that brings any metadata decides, so one that brings none leaves it to the next.
        let decided = self.is_whole || !given.is_empty();
        let is_given = decided && given == *self.metadata && given.keys().eq(self.metadata.keys());
        let all_stored = ids.iter().all(|id| known.nodes.contains_key(*id));
        let first = usize::from(self.is_first && !is_given);
        let places = if all_stored { first.min(ids.len()) } else { ids.len() };
        let stub = |id: &&NodeId| Node::text("").with_id((*id).clone()).with_source(self.document.as_str());
        let mut stubs: Vec<Node> = ids.iter().take(places).map(stub).collect();
        if let Some(stub) = stubs.first_mut().filter(|_| self.is_first) {
            stub.metadata.clone_from(self.metadata);
        }
        stubs
    }
}

#[async_trait]
impl Part for RefDocs {
    type Record = RefDoc;

    fn name(&self) -> &'static str {
        "source documents"
    }

    fn pages(&self, side: Side, after: Option<String>) -> BoxStream<Page<RefDoc>> {
        pages::<Self>(self.0.of(side).scan_ref_docs(after.map(RefDocId::from)), DOCUMENTS)
    }

    async fn write(&self, documents: Vec<RefDoc>) -> Result<()> {
        let (mut pieces, mut room) = (Vec::new(), PAGE);
        for (document, info) in &documents {
            let mut rest = info.node_ids.as_slice();
            let mut is_first = true;
            while !rest.is_empty() {
                // A document that fits into one call is not cut.
                if room < rest.len().min(PAGE) {
                    self.add(std::mem::take(&mut pieces)).await?;
                    room = PAGE;
                }
                let (ids, left) = rest.split_at(rest.len().min(room));
                let is_whole = is_first && left.is_empty();
                pieces.push(Piece { document, metadata: &info.metadata, ids, is_first, is_whole });
                room -= ids.len();
                (rest, is_first) = (left, false);
            }
        }
        if pieces.is_empty() { Ok(()) } else { self.add(pieces).await }
    }

    async fn find(&self, documents: &[RefDoc]) -> Result<Vec<Option<RefDoc>>> {
        let ids: Vec<RefDocId> = documents.iter().map(|(id, _)| id.clone()).collect();
        let ask = |id: RefDocId| {
            let to = std::sync::Arc::clone(&self.0.to);
            async move { Ok(to.ref_doc(&id).await?.map(|info| (id, info))) }
        };
        let asked: Vec<_> = ids.into_iter().map(ask).collect();
        stream::iter(asked).buffered(AT_ONCE).try_collect().await
    }

    async fn expected(&self, (document, mut info): RefDoc) -> Result<Option<RefDoc>> {
        let mut held = Vec::with_capacity(info.node_ids.len());
        for ids in info.node_ids.chunks(PAGE) {
            let known = self.known(ids.to_vec()).await?;
            held.extend(ids.iter().filter(|id| known.holds(&document, id)).cloned());
        }
        let mut seen = HashSet::new();
        held.retain(|id: &NodeId| seen.insert(id.clone()));
        info.node_ids = held;
        Ok((!info.node_ids.is_empty()).then_some((document, info)))
    }

    fn is_within((_, info): &RefDoc, (_, found): &RefDoc) -> bool {
        let found: HashSet<&NodeId> = found.node_ids.iter().collect();
        info.node_ids.iter().all(|id| found.contains(id))
    }

    fn key((id, _): &RefDoc) -> &str {
        id.as_str()
    }

    fn content((_, info): &RefDoc) -> Result<Vec<u8>> {
        json(&json!({"node_ids": info.node_ids, "metadata": info.metadata}))
    }

    fn bytes((_, info): &RefDoc) -> usize {
        info.node_ids.iter().map(|id| id.as_str().len() + size_of::<NodeId>()).sum()
    }

    fn weight((_, info): &RefDoc) -> usize {
        info.node_ids.len()
    }
}
