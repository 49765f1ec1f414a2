//! Writing nodes: today's JSON of LlamaIndex (0.14), in its order, straight into any serializer.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{
    ImageContent, IndexContent, MediaContent, MediaResource, Node, NodeContent, Related, RelatedNode,
    Relationships, TextContent,
};
use crate::python::python_json;
use crate::{JsonObject, Result};

/// Writes `{"__data__": {…}, "__type__": "1"…"5"}`, as LlamaIndex stores a node.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("__data__", &NodeData { node: self, form: Form::Full })?;
        map.serialize_entry("__type__", self.content.object_type())?;
        map.end()
    }
}

/// Reads what [`Node::from_json`] reads.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(JsonObject::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Node {
    /// The node as LlamaIndex stores it: `{"__data__": {…}, "__type__": "1"…"5"}`, in LlamaIndex's order.
    ///
    /// A float of an embedding that is not finite becomes `null`. To write JSON text, serialize the node itself:
    /// that needs no tree in between.
    #[must_use]
    pub fn to_json(&self) -> JsonObject {
        crate::json::object_of(self)
    }
}

/// What is written of a node.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// Everything.
    Full,
    /// For `_node_content` in vector stores: without text resource and embedding, with an empty `text`.
    WithoutText,
}

/// A node's `__data__`.
pub(super) struct NodeData<'a> {
    pub(super) node: &'a Node,
    pub(super) form: Form,
}

impl Serialize for NodeData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { node, form } = *self;
        let embedding = if form == Form::Full { node.embedding.as_deref() } else { None };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id_", &node.id)?;
        map.serialize_entry("embedding", &embedding)?;
        map.serialize_entry("metadata", &node.metadata)?;
        map.serialize_entry("excluded_embed_metadata_keys", &node.excluded_embed_metadata_keys)?;
        map.serialize_entry("excluded_llm_metadata_keys", &node.excluded_llm_metadata_keys)?;
        map.serialize_entry("relationships", &node.relationships)?;
        map.serialize_entry("metadata_template", &node.metadata_template)?;
        map.serialize_entry("metadata_separator", &node.metadata_separator)?;
        match &node.content {
            NodeContent::Text(text) => self.text(&mut map, text)?,
            NodeContent::Image(image) => self.image(&mut map, image)?,
            NodeContent::Index(index) => self.index(&mut map, index)?,
            NodeContent::Multimodal(media)
            | NodeContent::Document(media)
            | NodeContent::ImageDocument(media) => self.media(&mut map, media)?,
        }
        map.serialize_entry("class_name", node.class_name())?;
        if matches!(node.content, NodeContent::Document(_) | NodeContent::ImageDocument(_)) {
            map.serialize_entry("text", self.shown(node.text_content()))?;
        }
        map.end()
    }
}

impl NodeData<'_> {
    fn shown<'t>(&self, text: &'t str) -> &'t str {
        if self.form == Form::Full { text } else { "" }
    }

    fn text<M: SerializeMap>(&self, map: &mut M, text: &TextContent) -> Result<(), M::Error> {
        map.serialize_entry("text", self.shown(&text.text))?;
        map.serialize_entry("mimetype", &text.mimetype)?;
        map.serialize_entry("start_char_idx", &text.start_char_idx)?;
        map.serialize_entry("end_char_idx", &text.end_char_idx)?;
        map.serialize_entry("text_template", &self.node.text_template)
    }

    fn image<M: SerializeMap>(&self, map: &mut M, image: &ImageContent) -> Result<(), M::Error> {
        self.text(map, &image.text)?;
        map.serialize_entry("image", &image.image)?;
        map.serialize_entry("image_path", &image.image_path)?;
        map.serialize_entry("image_url", &image.image_url)?;
        map.serialize_entry("image_mimetype", &image.image_mimetype)?;
        map.serialize_entry("text_embedding", &image.text_embedding)
    }

    fn index<M: SerializeMap>(&self, map: &mut M, index: &IndexContent) -> Result<(), M::Error> {
        self.text(map, &index.text)?;
        map.serialize_entry("index_id", &index.index_id)?;
        match &index.obj {
            obj @ (Value::Null | Value::Object(_) | Value::String(_)) => map.serialize_entry("obj", obj),
            obj => map.serialize_entry("obj", &python_json(obj)),
        }
    }

    fn media<M: SerializeMap>(&self, map: &mut M, media: &MediaContent) -> Result<(), M::Error> {
        if self.form == Form::Full {
            map.serialize_entry("text_resource", &media.text)?;
        }
        map.serialize_entry("image_resource", &media.image)?;
        map.serialize_entry("audio_resource", &media.audio)?;
        map.serialize_entry("video_resource", &media.video)?;
        map.serialize_entry("text_template", &self.node.text_template)
    }
}

impl Serialize for MediaResource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let embeddings = self.embeddings.as_deref().map(Embeddings);
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("embeddings", &embeddings)?;
        map.serialize_entry("text", &self.text)?;
        map.serialize_entry("path", &self.path)?;
        map.serialize_entry("url", &self.url)?;
        map.serialize_entry("mimetype", &self.mimetype)?;
        map.end()
    }
}

struct Embeddings<'a>(&'a [(String, Vec<f64>)]);

impl Serialize for Embeddings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(kind, values)| (kind, values)))
    }
}

impl Serialize for Relationships {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(relationship, related)| (relationship.as_key(), related)))
    }
}

impl Serialize for Related {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(node) => node.serialize(serializer),
            Self::Many(nodes) => {
                let mut list = serializer.serialize_seq(Some(nodes.len()))?;
                for node in nodes {
                    list.serialize_element(node)?;
                }
                list.end()
            }
        }
    }
}

impl Serialize for RelatedNode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("node_id", &self.node_id)?;
        map.serialize_entry("node_type", &self.node_type)?;
        map.serialize_entry("metadata", &self.metadata)?;
        map.serialize_entry("hash", &self.hash)?;
        map.serialize_entry("class_name", "RelatedNodeInfo")?;
        map.end()
    }
}
