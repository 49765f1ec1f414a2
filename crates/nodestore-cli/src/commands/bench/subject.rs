//! What is measured: the store, and the bare driver of its database where there is one.

use std::sync::Arc;

use async_trait::async_trait;
use nodestore::{
    AddMode, AddOptions, Backend, ChatMessage, JsonObject, Metric, Node, NodeId, PutOptions, RefDocId,
    VectorConfig, VectorQuery, VectorStoreExt,
};

use super::consume;
use super::corpus::DIMENSIONS;
use crate::failure::Failure;

/// The collection and the session that the workloads use.
pub(super) const COLLECTION: &str = "values";
pub(super) const SESSION: &str = "session";

/// The operations that the bare driver of a database can do too, with the same guarantees. Those that not every driver
/// does have an error here; a driver says which workloads it does.
#[async_trait]
pub(crate) trait Subject: std::fmt::Debug + Send + Sync {
    /// Makes the tables that the first call would make, where the database has any, before the time is taken.
    async fn make_ready(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Adds nodes with their hashes and their places in their source documents, in one durable step.
    async fn add_nodes(&self, nodes: Vec<Node>) -> Result<(), Failure>;

    /// Reads nodes; answers how many there are.
    async fn get_nodes(&self, ids: &[NodeId]) -> Result<usize, Failure>;

    /// Appends a message to the session, durably.
    async fn append(&self, message: ChatMessage) -> Result<(), Failure>;

    /// Reads the session; answers how many messages there are.
    async fn messages(&self) -> Result<usize, Failure>;

    /// Puts key-values, in one durable step.
    async fn put(&self, entries: Vec<(String, JsonObject)>) -> Result<(), Failure>;

    /// Gets key-values; answers how many there are.
    async fn get(&self, keys: &[&str]) -> Result<usize, Failure>;

    /// Deletes a source document with its nodes; answers how many nodes.
    async fn delete_source(&self, _id: &RefDocId) -> Result<usize, Failure> {
        Err(not_offered())
    }

    /// Makes the place for nodes with embeddings.
    async fn configure_vectors(&self) -> Result<(), Failure> {
        Err(not_offered())
    }

    /// Adds nodes with their embeddings, in place of those with the same ids.
    async fn add_embedded(&self, _nodes: Vec<Node>) -> Result<(), Failure> {
        Err(not_offered())
    }

    /// Searches by vector; answers the ids of the nodes it read, best first.
    async fn search(&self, _query: &VectorQuery) -> Result<Vec<String>, Failure> {
        Err(not_offered())
    }

    /// Reads all key-values as documents; answers how many there are.
    async fn load(&self) -> Result<usize, Failure> {
        Err(not_offered())
    }

    /// Removes everything.
    async fn clear(&self) -> Result<(), Failure>;
}

pub(super) fn not_offered() -> Failure {
    Failure::new("this driver is not compared in that")
}

/// A side of the comparison.
#[derive(Clone, Debug)]
pub(super) struct Side {
    /// What the operations go to.
    pub(super) subject: Arc<dyn Subject>,
    /// The store itself, for the workloads that only a store has.
    pub(super) store: Option<Arc<dyn Backend>>,
}

/// The store.
#[derive(Debug)]
pub(super) struct Ours(pub(super) Arc<dyn Backend>);

#[async_trait]
impl Subject for Ours {
    async fn add_nodes(&self, nodes: Vec<Node>) -> Result<(), Failure> {
        self.0.docs()?.add(nodes, AddOptions::default()).await?;
        Ok(())
    }

    async fn get_nodes(&self, ids: &[NodeId]) -> Result<usize, Failure> {
        Ok(self.0.docs()?.get_many(ids).await?.iter().flatten().count())
    }

    async fn append(&self, message: ChatMessage) -> Result<(), Failure> {
        Ok(self.0.chat()?.append(SESSION, vec![message]).await?)
    }

    async fn messages(&self) -> Result<usize, Failure> {
        Ok(self.0.chat()?.messages(SESSION, None).await?.len())
    }

    async fn put(&self, entries: Vec<(String, JsonObject)>) -> Result<(), Failure> {
        Ok(self.0.kv()?.put_many(COLLECTION, entries, PutOptions::default()).await?)
    }

    async fn get(&self, keys: &[&str]) -> Result<usize, Failure> {
        Ok(self.0.kv()?.get_many(COLLECTION, keys).await?.iter().flatten().count())
    }

    async fn delete_source(&self, id: &RefDocId) -> Result<usize, Failure> {
        let deleted = self.0.docs()?.delete_ref_doc(id).await?;
        Ok(deleted.map_or(0, |deleted| deleted.nodes))
    }

    async fn configure_vectors(&self) -> Result<(), Failure> {
        Ok(self.0.vectors()?.configure(VectorConfig::new(DIMENSIONS, Metric::Cosine)).await?)
    }

    async fn add_embedded(&self, nodes: Vec<Node>) -> Result<(), Failure> {
        self.0.vectors()?.upsert(nodes, AddMode::Overwrite).await?;
        Ok(())
    }

    async fn search(&self, query: &VectorQuery) -> Result<Vec<String>, Failure> {
        let hits = self.0.vectors()?.query(query).await?;
        Ok(hits.into_iter().map(|hit| hit.node.id.into_string()).collect())
    }

    async fn load(&self) -> Result<usize, Failure> {
        Ok(consume(self.0.collection_reader(COLLECTION)?.read()).await?)
    }

    async fn clear(&self) -> Result<(), Failure> {
        Ok(self.0.drop_namespace().await?)
    }
}
