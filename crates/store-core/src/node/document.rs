//! Documents: nodes that readers give.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{Node, NodeContent, NodeId};
use crate::{Error, JsonObject, Result};

/// A node that is known to be a document, as readers give it.
///
/// ```
/// use store_core::{Document, Node};
/// let document = Document::new("Wine grows in Tokaj.").with_id("tokaj").with_metadata("year", 2024);
/// assert_eq!(document.text_content(), "Wine grows in Tokaj.");
/// assert!(Document::try_from(Node::text("a chunk")).is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Document(Node);

impl Document {
    /// A document of that text, with a random id.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Node::document(text))
    }

    /// Sets the id.
    #[must_use]
    pub fn with_id(self, id: impl Into<NodeId>) -> Self {
        Self(self.0.with_id(id))
    }

    /// Sets one metadata entry; one that is there keeps its place.
    #[must_use]
    pub fn with_metadata(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self(self.0.with_metadata(key, value))
    }

    /// Sets the embedding.
    #[must_use]
    pub fn with_embedding(self, embedding: impl AsRef<[f32]>) -> Self {
        Self(self.0.with_embedding(embedding))
    }

    /// The document as a node.
    #[must_use]
    pub fn into_node(self) -> Node {
        self.0
    }

    /// Reads `{"__data__", "__type__"}` as [`Node::from_json`].
    ///
    /// # Errors
    /// `InvalidInput` also for a node that is no document.
    pub fn from_json(json: JsonObject) -> Result<Self> {
        Self::try_from(Node::from_json(json)?)
    }
}

impl std::ops::Deref for Document {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}

impl From<&str> for Document {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Document {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<Document> for Node {
    fn from(document: Document) -> Self {
        document.0
    }
}

impl TryFrom<Node> for Document {
    type Error = Error;

    fn try_from(node: Node) -> Result<Self> {
        match node.content {
            NodeContent::Document(_) | NodeContent::ImageDocument(_) => Ok(Self(node)),
            _ => Err(Error::invalid_input(format!(
                "a {} is no document; only a Document or an ImageDocument is",
                node.class_name()
            ))
            .with_key(node.id.as_str())),
        }
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Node::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
