//! What is measured: the store, and the bare driver of its database where there is one.

use std::sync::Arc;

use async_trait::async_trait;
use nodestore::{AddOptions, Backend, ChatMessage, JsonObject, Node, NodeId, PutOptions};

use crate::failure::Failure;

/// The collection and the session that the workloads use.
pub(super) const COLLECTION: &str = "values";
pub(super) const SESSION: &str = "session";

/// The operations that the bare driver of a database can do too, with the same guarantees.
#[async_trait]
pub(crate) trait Subject: std::fmt::Debug + Send + Sync {
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

    /// Removes everything.
    async fn clear(&self) -> Result<(), Failure>;
}

/// A side of the comparison.
#[derive(Clone, Debug)]
pub(super) struct Side {
    /// What the six operations go to.
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

    async fn clear(&self) -> Result<(), Failure> {
        Ok(self.0.drop_namespace().await?)
    }
}
