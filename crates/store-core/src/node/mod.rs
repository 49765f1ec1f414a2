//! Nodes and documents: the records that every store keeps, in LlamaIndex's own shape.
//!
//! One [`Node`] type holds what all LlamaIndex node classes share; [`NodeContent`] holds what sets them apart.
//! [`Document`] is a node that is known to be a document, as readers give it.

use std::collections::BTreeMap;
use std::fmt;

use crate::JsonObject;

/// The id of a node (or of a document) in a store: non-empty text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(String);

/// The id of a source document, as nodes name it in their source relationship: non-empty text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefDocId(String);

macro_rules! id_type {
    ($name:ident) => {
        impl $name {
            /// Wraps the text; stores refuse an empty id with `InvalidInput`.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The id's text, by value.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}
id_type!(NodeId);
id_type!(RefDocId);

/// A node or document: what all classes share, and the [`content`](Node::content) that sets them apart.
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

/// What sets a node's class apart.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeContent {
    /// `TextNode`: a chunk of text.
    Text(TextContent),
    /// `ImageNode`: an image beside its text.
    Image(Box<ImageContent>),
    /// `IndexNode`: a text that points to another index or object.
    Index(Box<IndexContent>),
    /// `Node`: up to four media resources.
    Multimodal(Box<MediaContent>),
    /// `Document`: a whole source, as read.
    Document(Box<MediaContent>),
    /// `ImageDocument`: a document around an image.
    ImageDocument(Box<MediaContent>),
}

/// The text of a `TextNode`, `ImageNode` or `IndexNode`.
#[derive(Clone, Debug, PartialEq)]
pub struct TextContent {
    /// The text; may be empty.
    pub text: String,
    /// Media type of the text; default `text/plain`.
    pub mimetype: String,
    /// Start of the text in its source, in characters.
    pub start_char_idx: Option<i64>,
    /// End of the text in its source, in characters.
    pub end_char_idx: Option<i64>,
}

/// The content of an `ImageNode`.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageContent {
    /// The text beside the image.
    pub text: TextContent,
    /// The image's bytes as base64 text.
    pub image: Option<String>,
    /// A path to the image.
    pub image_path: Option<String>,
    /// A URL of the image.
    pub image_url: Option<String>,
    /// Media type of the image, guessed from the path's extension when absent.
    pub image_mimetype: Option<String>,
    /// The embedding of the text beside the image.
    pub text_embedding: Option<Vec<f64>>,
}

/// The content of an `IndexNode`.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexContent {
    /// The text.
    pub text: TextContent,
    /// The id of what the node points to.
    pub index_id: String,
    /// The object pointed to, as JSON: null, a node's `{__data__, __type__}`, or any other JSON.
    pub obj: serde_json::Value,
}

/// The resources of a `Node`, `Document` or `ImageDocument`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaContent {
    /// The text.
    pub text: Option<MediaResource>,
    /// The image.
    pub image: Option<MediaResource>,
    /// The audio.
    pub audio: Option<MediaResource>,
    /// The video.
    pub video: Option<MediaResource>,
}

/// One media resource. Its bytes are never stored, as in LlamaIndex: keep a path or URL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaResource {
    /// Embeddings by kind (`dense`, `sparse`).
    pub embeddings: Option<BTreeMap<String, Vec<f64>>>,
    /// Text, for a text resource.
    pub text: Option<String>,
    /// A path.
    pub path: Option<String>,
    /// A URL.
    pub url: Option<String>,
    /// The media type.
    pub mimetype: Option<String>,
}

/// The links of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Relationships {
    /// The document the node was cut from.
    pub source: Option<RelatedNode>,
    /// The node before it in the source.
    pub previous: Option<RelatedNode>,
    /// The node after it in the source.
    pub next: Option<RelatedNode>,
    /// The node above it in a hierarchy.
    pub parent: Option<RelatedNode>,
    /// The nodes below it in a hierarchy; `None` when the relationship is absent.
    pub children: Option<Vec<RelatedNode>>,
}

/// LlamaIndex's `RelatedNodeInfo`: a link to a node.
#[derive(Clone, Debug, PartialEq)]
pub struct RelatedNode {
    /// The id of the node linked to.
    pub node_id: NodeId,
    /// Its type as Python writes it (`"1"` … `"5"`); an unknown one is kept.
    pub node_type: Option<String>,
    /// Metadata of the link.
    pub metadata: JsonObject,
    /// The linked node's content hash, when known.
    pub hash: Option<String>,
}

impl Node {
    /// The id of the source document, from the source relationship.
    #[must_use]
    pub fn ref_doc_id(&self) -> Option<RefDocId> {
        self.relationships.source.as_ref().map(|source| RefDocId::new(source.node_id.as_str()))
    }
}

/// A node that is known to be a document, as readers give it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document(Node);

impl Document {
    /// The document as a node.
    #[must_use]
    pub fn into_node(self) -> Node {
        self.0
    }
}

impl std::ops::Deref for Document {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}
