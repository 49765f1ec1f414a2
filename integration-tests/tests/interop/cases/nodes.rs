//! Nodes of every class, with whatever can stand in one.

use serde_json::{Value, json};
use store_core::Node;

use super::odd_values;
use crate::CaseResult;

/// A node to be written: `__type__`, and what stands in `__data__` beside the id.
pub(super) struct Sample {
    pub(super) name: &'static str,
    object_type: &'static str,
    data: Value,
}

/// A node, and what both sides must answer for it.
pub(super) struct Expected {
    pub(super) json: Value,
    pub(super) hash: String,
}

impl Expected {
    pub(super) fn of(node: &Node) -> Self {
        Self { json: Value::Object(node.to_json()), hash: node.hash() }
    }

    /// The answer of `docs.get` for it.
    pub(super) fn answer(&self) -> Value {
        json!([{"node": self.json, "hash": self.hash}])
    }
}

impl Sample {
    fn new(name: &'static str, object_type: &'static str, data: Value) -> Self {
        Self { name, object_type, data }
    }

    /// The node, under an id.
    pub(super) fn node(&self, id: &str) -> CaseResult<Node> {
        let mut data = self.data.clone();
        let members = data.as_object_mut().ok_or("the sample is no object")?;
        members.insert("id_".to_owned(), id.into());
        let json = json!({"__data__": data, "__type__": self.object_type});
        let Value::Object(json) = json else { return Err("no object".to_owned()) };
        Node::from_json(json).map_err(|error| error.to_string())
    }
}

fn related(id: &str, node_type: &str) -> Value {
    json!({"node_id": id, "node_type": node_type, "metadata": {"k": 1}, "hash": "h", "class_name": "RelatedNodeInfo"})
}

fn resource(member: &str, value: &str, mimetype: &str) -> Value {
    json!({member: value, "mimetype": mimetype})
}

/// Every class of nodes.
pub(super) fn classes() -> Vec<Sample> {
    let sample = Sample::new;
    vec![
        sample("text node", "1", json!({"text": "Cats purr.", "metadata": {"page": 1}})),
        sample(
            "image node",
            "2",
            json!({"text": "a cat", "image": "aGVsbG8=", "image_mimetype": "image/png",
            "text_embedding": [0.5, -1.25]}),
        ),
        sample("image node of a path", "2", json!({"image_path": "pictures/cat.png"})),
        sample("image node of a URL", "2", json!({"image_url": "https://example.org/cat.png"})),
        sample("index node", "3", json!({"text": "see there", "index_id": "other index"})),
        sample(
            "index node with a node",
            "3",
            json!({"text": "see there", "index_id": "i", "obj":
            {"__type__": "1", "__data__": {"id_": "inner", "text": "inside", "class_name": "TextNode"}}}),
        ),
        sample(
            "node of media",
            "5",
            json!({"text_resource": {"text": "Cats purr."},
            "image_resource": resource("path", "cat.png", "image/png"),
            "audio_resource": resource("path", "purr.mp3", "audio/mpeg"),
            "video_resource": resource("path", "cat.mp4", "video/mp4"), "class_name": "Node"}),
        ),
        sample(
            "node of media at a URL",
            "5",
            json!({"class_name": "Node",
            "image_resource": resource("url", "https://example.org/cat.png", "image/png")}),
        ),
        sample(
            "node of media with embeddings",
            "5",
            json!({"class_name": "Node", "text_resource":
            {"text": "t", "embeddings": {"dense": [0.5, 0.25]}}}),
        ),
        sample(
            "document",
            "4",
            json!({"text_resource": resource("text", "Cats purr.", "text/plain"),
            "metadata": {"file": "cats.md"}, "class_name": "Document"}),
        ),
        sample(
            "image document",
            "4",
            json!({"text_resource": resource("text", "a cat", "text/plain"),
            "image_resource": resource("path", "cat.png", "image/png"), "class_name": "ImageDocument"}),
        ),
    ]
}

/// What stands in nodes, whatever their class.
pub(super) fn contents() -> Vec<Sample> {
    let mut samples: Vec<Sample> = odd_values()
        .into_iter()
        .map(|(name, metadata)| Sample::new(name, "1", json!({"text": "Cats purr.", "metadata": metadata})))
        .collect();
    let text = "Zażółć 🚀\u{2028} {braces} \\ \"quotes\" it's";
    let parts = ["unicode in texts", "no text", "long text", "embedding", "relationships", "templates"];
    let data = [
        json!({"text": text, "metadata": {"ż": text}, "class_name": "TextNode"}),
        json!({"text": "", "metadata": {}}),
        json!({"text": "Tokaj ".repeat(20_000)}),
        json!({"text": "t", "embedding": [1.0, -0.5, 0.1, 1e-7]}),
        json!({"text": "t", "relationships": {"1": related("source", "4"), "2": related("before", "1"),
            "3": related("behind", "1"), "4": related("above", "1"),
            "5": [related("below 1", "1"), related("below 2", "3")]}}),
        json!({"text": "t", "metadata": {"k": "v"}, "excluded_embed_metadata_keys": ["k"],
            "excluded_llm_metadata_keys": ["k", "x"], "metadata_template": "{key}={value}", "metadata_separator": " | ",
            "text_template": "{content}\n{metadata_str}", "mimetype": "text/markdown", "start_char_idx": 7,
            "end_char_idx": 4_294_967_296_i64}),
    ];
    samples.extend(parts.into_iter().zip(data).map(|(name, data)| Sample::new(name, "1", data)));
    samples
}
