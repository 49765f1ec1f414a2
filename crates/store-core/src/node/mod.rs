//! Nodes and documents: the records that every store keeps, in LlamaIndex's own shape.
//!
//! One [`Node`] type holds what all LlamaIndex node classes share; [`NodeContent`] holds what sets them apart.
//! [`Document`] is a node that is known to be a document, as readers give it.

mod content;
mod document;
mod hash;
mod ids;
mod media;
mod read;
mod relationships;
mod text;
mod url;
mod vector_extra;
mod vector_metadata;
mod wire;

pub use content::{ImageContent, IndexContent, MediaContent, NodeContent, TextContent};
pub use document::Document;
pub use ids::{NodeId, RefDocId};
pub use media::MediaResource;
pub use relationships::{Related, RelatedNode, Relationship, Relationships};
use serde_json::Value;
pub use text::MetadataMode;

use crate::JsonObject;

/// A node or document: what all classes share, and the [`content`](Node::content) that sets them apart.
///
/// ```
/// use store_core::{MetadataMode, Node};
/// let node = Node::text("Wine grows in Tokaj.").with_id("n1").with_metadata("page", 3).with_source("d1");
/// assert_eq!(node.content_with(MetadataMode::All)?, "page: 3\n\nWine grows in Tokaj.");
/// assert_eq!(node.to_json()["__type__"], "1");
/// assert_eq!(Node::from_json(node.to_json())?, node);
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique id within a store (`id_` in JSON); a random UUID unless given.
    pub id: NodeId,
    /// The embedding, one value per dimension. Stores keep vectors at least as `f32`.
    pub embedding: Option<Vec<f64>>,
    /// Free metadata; order and number kinds are kept.
    pub metadata: JsonObject,
    /// Metadata keys left out of the text for embedding models.
    pub excluded_embed_metadata_keys: Vec<String>,
    /// Metadata keys left out of the text for language models.
    pub excluded_llm_metadata_keys: Vec<String>,
    /// Links to the source document, neighbours, parent and children.
    pub relationships: Relationships,
    /// How one metadata entry becomes text; default `{key}: {value}`.
    pub metadata_template: String,
    /// What stands between two metadata entries; default a new line.
    pub metadata_separator: String,
    /// How metadata and content become one text; default `{metadata_str}\n\n{content}`.
    pub text_template: String,
    /// What sets the node's class apart.
    pub content: NodeContent,
}

const METADATA_TEMPLATE: &str = "{key}: {value}";
const METADATA_SEPARATOR: &str = "\n";
const TEXT_TEMPLATE: &str = "{metadata_str}\n\n{content}";

impl Node {
    /// A node of that content with a random id and LlamaIndex's defaults.
    #[must_use]
    pub fn new(content: NodeContent) -> Self {
        Self {
            id: NodeId::random(),
            embedding: None,
            metadata: JsonObject::new(),
            excluded_embed_metadata_keys: Vec::new(),
            excluded_llm_metadata_keys: Vec::new(),
            relationships: Relationships::new(),
            metadata_template: METADATA_TEMPLATE.to_owned(),
            metadata_separator: METADATA_SEPARATOR.to_owned(),
            text_template: TEXT_TEMPLATE.to_owned(),
            content,
        }
    }

    /// A `TextNode`: a chunk of text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(NodeContent::Text(TextContent::new(text)))
    }

    /// A `Document` of that text (an empty one has no text resource, as in Python).
    #[must_use]
    pub fn document(text: impl Into<String>) -> Self {
        Self::new(NodeContent::Document(Box::new(MediaContent::of_text(text.into()))))
    }

    /// An `ImageNode`.
    #[must_use]
    pub fn image(image: ImageContent) -> Self {
        Self::new(NodeContent::Image(Box::new(image)))
    }

    /// An `IndexNode`: a text that points to the index or object of that id.
    #[must_use]
    pub fn index(text: impl Into<String>, index_id: impl Into<String>) -> Self {
        Self::new(NodeContent::Index(Box::new(IndexContent {
            text: TextContent::new(text),
            index_id: index_id.into(),
            obj: Value::Null,
        })))
    }

    /// A `Node` of media resources.
    #[must_use]
    pub fn multimodal(media: MediaContent) -> Self {
        Self::new(NodeContent::Multimodal(Box::new(media)))
    }

    /// An `ImageDocument`: a document around an image.
    #[must_use]
    pub fn image_document(media: MediaContent) -> Self {
        Self::new(NodeContent::ImageDocument(Box::new(media)))
    }

    /// Sets the id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<NodeId>) -> Self {
        self.id = id.into();
        self
    }

    /// Sets one metadata entry; one that is there keeps its place.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Sets the embedding.
    #[must_use]
    pub fn with_embedding(mut self, embedding: impl AsRef<[f32]>) -> Self {
        self.set_embedding(embedding.as_ref());
        self
    }

    /// Sets the source document the node was cut from.
    #[must_use]
    pub fn with_source(self, id: impl Into<NodeId>) -> Self {
        let source = RelatedNode { node_type: Some("4".to_owned()), ..RelatedNode::new(id) };
        self.with_relationship(Relationship::Source, Related::One(source))
    }

    /// Sets where a relationship leads.
    #[must_use]
    pub fn with_relationship(mut self, relationship: Relationship, related: Related) -> Self {
        self.relationships.set(relationship, related);
        self
    }

    /// Sets the embedding; every `f32` is exact in the `f64` that JSON holds.
    pub fn set_embedding(&mut self, embedding: &[f32]) {
        self.embedding = Some(embedding.iter().map(|&value| f64::from(value)).collect());
    }

    /// The embedding as `f32`, each value rounded to the nearest; one beyond the range of `f32` becomes infinite.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
    pub fn embedding_f32(&self) -> Option<Vec<f32>> {
        self.embedding.as_ref().map(|values| values.iter().map(|&value| value as f32).collect())
    }

    /// LlamaIndex's name of the class: `TextNode`, `Document`, …
    #[must_use]
    pub fn class_name(&self) -> &'static str {
        self.content.class_name()
    }

    /// The id of the source document, from the source relationship; `None` also when a list of nodes stands there.
    #[must_use]
    pub fn ref_doc_id(&self) -> Option<RefDocId> {
        self.relationships.source().map(|source| RefDocId::new(source.node_id.as_str()))
    }
}
