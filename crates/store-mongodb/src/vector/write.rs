//! Writing nodes, and changing their metadata.

use bson::raw::{RawBsonRef, RawDocumentBuf};
use bson::{Bson, Document, doc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::rounds::{self, Round, SHORT_PAUSE};
use store_core::kit::{check, vector_check};
use store_core::{AddMode, AddReport, Embedding, Error, MetadataPatch, Node, Result, Selector};

use super::rows::{self, METADATA};
use super::select::{Selected, both, one_of};
use super::{EMBEDDING, MongoVectorStore};
use crate::bulk::{self, Refused, failed};
use crate::codec::damaged;

/// Nodes that one round of an update reads, changes and writes.
const UPDATED: usize = 500;
/// Writes of one update that are under way at once.
const WRITES: usize = 16;

impl MongoVectorStore {
    pub(super) async fn write(&self, nodes: Vec<Node>, mode: AddMode) -> Result<AddReport> {
        let config = self.configured().await?;
        let embeddings = vector_check::upsert(&nodes, mode, &config)?;
        let pairs: Vec<(Node, Option<Embedding>)> = nodes.into_iter().zip(embeddings).collect();
        let pairs = check::unique_by(pairs, mode == AddMode::Overwrite, |(node, _)| node.id.clone());
        // Each node is given up for its document: both at once would double what a call holds.
        let encode =
            |(node, embedding): (Node, Option<Embedding>)| rows::to_document(&node, embedding.as_deref());
        let documents = pairs.into_iter().map(encode).collect::<Result<Vec<_>>>()?;
        if documents.is_empty() {
            return Ok(AddReport::default());
        }
        let collection = self.collection()?;
        if mode == AddMode::Overwrite {
            bulk::upsert(&self.space, &collection, &documents).await?;
            return Ok(AddReport::new(documents.len(), 0));
        }
        let mut existing = self.insert(&documents).await?;
        if mode == AddMode::Fail && !existing.is_empty() {
            existing.sort_unstable();
            return Err(check::already_exist("node", existing));
        }
        Ok(AddReport::new(documents.len() - existing.len(), existing.len()))
    }

    /// Inserts the new ones; answers the ids of the others.
    async fn insert(&self, documents: &[RawDocumentBuf]) -> Result<Vec<String>> {
        let collection = self.collection()?;
        let (mut existing, mut done) = (Vec::new(), 0);
        for request in bulk::requests(documents) {
            let rest = documents.get(done..).unwrap_or_default();
            let refused = bulk::insert(&self.space, &collection, request).await;
            let refused = refused.map_err(|error| failed(error, rest))?;
            done += request.len();
            let (there, other): (Vec<_>, Vec<_>) = refused.into_iter().partition(Refused::is_duplicate);
            for one in there.iter().filter_map(|one| request.get(one.index)) {
                existing.push(bulk::id(one)?.to_owned());
            }
            if let Some(first) = other.first() {
                let lost = other.iter().filter_map(|refused| request.get(refused.index));
                let unsent = documents.get(done..).unwrap_or_default();
                return Err(failed(first.error(), lost.chain(unsent)));
            }
        }
        Ok(existing)
    }

    /// Changes the metadata of what is selected; answers how many nodes.
    ///
    /// `_node_content` is a text that the server can not change in part, so each node is read, changed here, and
    /// written if its metadata is still what was read; otherwise it is looked at again.
    pub(super) async fn patch(&self, selector: &Selector, patch: &MetadataPatch) -> Result<usize> {
        let selected = Selected::of(selector)?;
        // Ids first: a cursor could meet a node again where the change moved it to.
        let matches = self.matches(selected.clone()).await?;
        let mut cursor = self.find(matches, Some(doc! {"_id": 1})).await?;
        let mut ids = Vec::new();
        while let Some(document) = self.space.call(cursor.try_next()).await? {
            ids.extend(rows::id(&document).map(str::to_owned));
        }
        let round = |open| self.patch_round(&selected, open, patch);
        rounds::settle(&ids, UPDATED, SHORT_PAUSE, round).await
    }

    async fn patch_round(
        &self,
        selected: &Selected,
        ids: Vec<String>,
        patch: &MetadataPatch,
    ) -> Result<Round> {
        let collection = self.collection()?;
        let of_these = one_of("_id", &ids.iter().map(String::as_str).collect::<Vec<_>>())?;
        let matches = both([of_these, selected.matches.clone()]);
        let mut cursor = self.find(matches, Some(doc! {EMBEDDING: 0})).await?;
        let mut changes = Vec::new();
        while let Some(document) = self.space.call(cursor.try_next()).await? {
            let Some(node) = rows::to_node(&document)? else { continue };
            if selected.rest.as_ref().is_none_or(|rest| rest.matches(&node.metadata)) {
                changes.push(change(&document, node, patch)?);
            }
        }
        let writes: Vec<_> = changes
            .into_iter()
            .map(|Change { id, still, update }| {
                let write = self.space.call(collection.update_one(still, update));
                async move {
                    let written = write.await.map_err(|error| error.with_key(&id).with_failed([&id]))?;
                    Ok::<_, Error>((id, written.matched_count > 0))
                }
            })
            .collect();
        stream::iter(writes).buffer_unordered(WRITES).try_collect().await
    }
}

/// A change of one node.
struct Change {
    id: String,
    /// Matches the node as it was read.
    still: Document,
    update: Document,
}

fn change(stored: &RawDocumentBuf, mut node: Node, patch: &MetadataPatch) -> Result<Change> {
    let id = node.id.as_str().to_owned();
    patch.apply(&mut node.metadata);
    let document = |raw: &bson::RawDocument| Document::try_from(raw).map_err(damaged);
    // Below compared by `$eq`: a bare document with `$where` as its first name would be taken for an operator.
    let before = match stored.get(METADATA).map_err(damaged)? {
        Some(RawBsonRef::Document(before)) => Bson::Document(document(before)?),
        _ => Bson::Null,
    };
    let (metadata, hidden) = rows::changed(&node).map_err(|error| error.with_key(&id).with_failed([&id]))?;
    let mut set = doc! {METADATA: document(&metadata)?};
    let mut update = Document::new();
    match hidden {
        Some(hidden) => {
            set.insert(crate::filter::HIDDEN, document(&hidden)?);
        }
        None => {
            update.insert("$unset", doc! {crate::filter::HIDDEN: ""});
        }
    }
    update.insert("$set", set);
    Ok(Change { still: doc! {"_id": &id, METADATA: {"$eq": before}}, id, update })
}
