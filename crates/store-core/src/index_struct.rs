//! Index structs, in LlamaIndex's own shape.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::json::{Members, shorten};
use crate::python::{parse_json, python_json};
use crate::{Error, JsonObject, Result};

/// How an index of LlamaIndex is put together: a type name and its data.
///
/// Types and members that are not known here are kept. Python's known types and their members are:
///
/// | type | members beside `index_id` and `summary` |
/// |---|---|
/// | `vector_store`, `multimodal` | `nodes_dict` (vector id to node id), `doc_id_dict`, `embeddings_dict` |
/// | `list` | `nodes` (ids) |
/// | `tree` | `all_nodes`, `root_nodes` (number as text to id), `node_id_to_children_ids` |
/// | `keyword_table` | `table` (keyword to ids) |
/// | `kg` | `table`, `rel_map` (subject to `[[relation, object]]`), `embedding_dict` |
/// | `document_summary` | `summary_id_to_node_ids`, `node_id_to_summary_id`, `doc_id_to_summary_id` |
/// | `sql` | `context_dict` |
/// | `simple_lpg`, `empty`, `pandas` | none |
///
/// ```
/// use store_core::IndexStruct;
/// let index = IndexStruct::list(["n1", "n2"]).with_id("chapters");
/// assert_eq!(index.index_id(), "chapters");
/// assert_eq!(index.node_ids(), ["n1", "n2"]);
/// assert_eq!(IndexStruct::from_json(index.to_stored_json())?, index);
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct IndexStruct {
    type_name: String,
    data: JsonObject,
}

impl IndexStruct {
    /// A struct of any type. `data` is kept as it is; it must hold its `index_id`.
    ///
    /// # Errors
    /// `InvalidInput` when the type name is empty or `index_id` is no text or empty.
    pub fn new(type_name: impl Into<String>, data: JsonObject) -> Result<Self> {
        let type_name = type_name.into();
        if type_name.is_empty() {
            return Err(Error::invalid_input("the \"__type__\" of the index struct is empty"));
        }
        match data.get("index_id") {
            Some(Value::String(id)) if !id.is_empty() => Ok(Self { type_name, data }),
            _ => Err(Error::invalid_input(format!(
                "the index struct of type {:?} needs an \"index_id\" that is text and not empty",
                shorten(&type_name)
            ))),
        }
    }

    /// A `vector_store` index: vector ids and the ids of their nodes, with a random index id.
    #[must_use]
    pub fn vector_store<V: Into<String>, N: Into<String>>(nodes: impl IntoIterator<Item = (V, N)>) -> Self {
        let nodes: JsonObject =
            nodes.into_iter().map(|(vector, node)| (vector.into(), Value::String(node.into()))).collect();
        Self::of_type(
            "vector_store",
            [("nodes_dict", nodes.into()), ("doc_id_dict", object()), ("embeddings_dict", object())],
        )
    }

    /// A `list` index of nodes, with a random index id.
    #[must_use]
    pub fn list<N: Into<String>>(nodes: impl IntoIterator<Item = N>) -> Self {
        let nodes: Vec<Value> = nodes.into_iter().map(|node| Value::String(node.into())).collect();
        Self::of_type("list", [("nodes", nodes.into())])
    }

    /// A `tree` index without nodes, with a random index id.
    #[must_use]
    pub fn tree() -> Self {
        Self::of_type(
            "tree",
            [("all_nodes", object()), ("root_nodes", object()), ("node_id_to_children_ids", object())],
        )
    }

    /// A `keyword_table` index: keywords and the ids of the nodes that hold them, with a random index id.
    #[must_use]
    pub fn keyword_table<K: Into<String>, N: Into<String>>(
        table: impl IntoIterator<Item = (K, Vec<N>)>,
    ) -> Self {
        let ids = |nodes: Vec<N>| nodes.into_iter().map(|node| Value::String(node.into())).collect();
        let table: JsonObject =
            table.into_iter().map(|(keyword, nodes)| (keyword.into(), ids(nodes))).collect();
        Self::of_type("keyword_table", [("table", table.into())])
    }

    /// A `kg` index (a knowledge graph) without nodes, with a random index id.
    #[must_use]
    pub fn knowledge_graph() -> Self {
        Self::of_type("kg", [("table", object()), ("rel_map", object()), ("embedding_dict", object())])
    }

    /// A `document_summary` index without nodes, with a random index id.
    #[must_use]
    pub fn document_summary() -> Self {
        Self::of_type(
            "document_summary",
            [
                ("summary_id_to_node_ids", object()),
                ("node_id_to_summary_id", object()),
                ("doc_id_to_summary_id", object()),
            ],
        )
    }

    /// An `empty` index, with a random index id.
    #[must_use]
    pub fn empty() -> Self {
        Self::of_type("empty", [])
    }

    fn of_type<const N: usize>(type_name: &str, members: [(&str, Value); N]) -> Self {
        let head = [("index_id", uuid::Uuid::new_v4().to_string().into()), ("summary", Value::Null)];
        let data = head.into_iter().chain(members).map(|(name, value)| (name.to_owned(), value)).collect();
        Self { type_name: type_name.to_owned(), data }
    }

    /// Sets the index id; stores refuse an empty one.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.data.insert("index_id".to_owned(), Value::String(id.into()));
        self
    }

    /// Sets the summary.
    #[must_use]
    pub fn with_summary(mut self, summary: impl Into<String>) -> Self {
        self.data.insert("summary".to_owned(), Value::String(summary.into()));
        self
    }

    /// The index's id.
    #[must_use]
    pub fn index_id(&self) -> &str {
        self.data.get("index_id").and_then(|id| id.as_str()).unwrap_or_default()
    }

    /// The type as Python writes it: `vector_store`, `list`, …
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The summary, if there is one.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        self.data.get("summary").and_then(Value::as_str)
    }

    /// All members, in order.
    #[must_use]
    pub fn data(&self) -> &JsonObject {
        &self.data
    }

    /// A member that maps names to something: `nodes_dict`, `table`, `all_nodes`, … `None` when it is absent.
    #[must_use]
    pub fn map(&self, member: &str) -> Option<&JsonObject> {
        self.data.get(member).and_then(Value::as_object)
    }

    /// The ids of the nodes in the index, each once, in order: of `vector_store` and `multimodal` (`nodes_dict`),
    /// `list` (`nodes`), `tree` (`all_nodes`), `keyword_table` and `kg` (`table`) and `document_summary`
    /// (`node_id_to_summary_id`). Empty for other types.
    #[must_use]
    pub fn node_ids(&self) -> Vec<&str> {
        let ids: Vec<&str> = match self.type_name.as_str() {
            "vector_store" | "multimodal" => self.texts("nodes_dict"),
            "list" => self.texts("nodes"),
            "tree" => self.texts("all_nodes"),
            "keyword_table" | "kg" => self.texts("table"),
            "document_summary" => self
                .map("node_id_to_summary_id")
                .into_iter()
                .flat_map(|map| map.keys().map(String::as_str))
                .collect(),
            _ => Vec::new(),
        };
        let mut seen = std::collections::HashSet::new();
        ids.into_iter().filter(|id| seen.insert(*id)).collect()
    }

    /// The texts in a member: in its list or its map's values, one list deeper where these are lists.
    fn texts(&self, member: &str) -> Vec<&str> {
        let values: Vec<&Value> = match self.data.get(member) {
            Some(Value::Array(items)) => items.iter().collect(),
            Some(Value::Object(members)) => members.values().collect(),
            _ => Vec::new(),
        };
        let inner = values
            .into_iter()
            .flat_map(|value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice));
        inner.filter_map(Value::as_str).collect()
    }

    /// `{"__type__": …, "__data__": {…}}`, the data as an object.
    #[must_use]
    pub fn to_json(&self) -> JsonObject {
        self.with_data(self.data.clone().into())
    }

    /// `{"__type__": …, "__data__": "{…}"}`, the data as JSON text: the form Python stores.
    #[must_use]
    pub fn to_stored_json(&self) -> JsonObject {
        self.with_data(python_json(&Value::Object(self.data.clone())).into())
    }

    fn with_data(&self, data: Value) -> JsonObject {
        let members = [("__type__", Value::from(self.type_name.as_str())), ("__data__", data)];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Reads both forms.
    ///
    /// # Errors
    /// `InvalidInput` when `__type__` or `__data__` is missing or of the wrong type, the text is no JSON object, or
    /// it has no `index_id`.
    pub fn from_json(json: JsonObject) -> Result<Self> {
        let mut outer = Members::new(json);
        let type_name = outer.required_text("__type__")?;
        let data = match outer.take("__data__") {
            Some(Value::String(text)) => Some(parse_json(&text)?),
            data => data,
        };
        match data {
            Some(Value::Object(data)) => Self::new(type_name, data),
            _ => Err(Error::invalid_input(
                "the \"__data__\" of an index struct must be an object, or its JSON as text",
            )),
        }
    }
}

fn object() -> Value {
    Value::Object(JsonObject::new())
}

/// Writes what [`IndexStruct::to_json`] gives.
impl Serialize for IndexStruct {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("__type__", &self.type_name)?;
        map.serialize_entry("__data__", &self.data)?;
        map.end()
    }
}

/// Reads what [`IndexStruct::from_json`] reads.
impl<'de> Deserialize<'de> for IndexStruct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(JsonObject::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
