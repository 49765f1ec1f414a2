//! What LlamaIndex's form of a node in a vector store does not bring back, for stores that keep it beside that form.

use serde_json::Value;

use super::Node;
use crate::{Error, JsonObject, Result};

/// The entry that holds a node's `__type__`.
const TYPE: &str = "type";
/// The entry that holds a text resource without its text.
const TEXT_RESOURCE: &str = "text_resource";
/// The member of a node's JSON that holds its text.
const TEXT: &str = "text";

impl Node {
    /// What [`to_vector_metadata`](Self::to_vector_metadata) loses: a `Document`, an `ImageDocument` or a `Node`
    /// comes back from it as another class, and its text resource without all but the text. Empty for every other
    /// class.
    ///
    /// # Errors
    /// `InvalidInput` when the text resource can not be written as JSON.
    pub fn to_vector_extra(&self) -> Result<JsonObject> {
        let mut extra = JsonObject::new();
        if let Some(media) = self.content.as_media() {
            let mut resource = serde_json::to_value(&media.text).map_err(|error| {
                Error::invalid_input("the text resource can not be written as JSON").with_source(error)
            })?;
            if let Value::Object(resource) = &mut resource
                && resource.get(TEXT).is_some_and(Value::is_string)
            {
                resource.shift_remove(TEXT);
            }
            extra.insert(TYPE.to_owned(), self.content.object_type().into());
            extra.insert(TEXT_RESOURCE.to_owned(), resource);
        }
        Ok(extra)
    }

    /// [`from_vector_metadata`](Self::from_vector_metadata), with what [`to_vector_extra`](Self::to_vector_extra)
    /// kept; an empty `extra` says nothing.
    ///
    /// # Errors
    /// `InvalidInput` as there, or when the parts make no node.
    pub fn from_vector_parts(
        metadata: JsonObject,
        mut extra: JsonObject,
        text: Option<String>,
    ) -> Result<Self> {
        let content = metadata.get("_node_content").and_then(Value::as_str);
        let (Some(object_type), Some(content)) = (extra.shift_remove(TYPE), content) else {
            return Self::from_vector_metadata(metadata, text);
        };
        let Value::Object(mut data) = crate::python::parse_json(content)? else {
            return Err(Error::invalid_input("_node_content is no JSON object"));
        };
        let mut resource = extra.shift_remove(TEXT_RESOURCE).unwrap_or_default();
        if let Value::Object(resource) = &mut resource
            && !resource.contains_key(TEXT)
        {
            resource.insert(TEXT.to_owned(), text.unwrap_or_default().into());
        }
        data.shift_remove(TEXT);
        data.insert(TEXT_RESOURCE.to_owned(), resource);
        let outer = [("__data__".to_owned(), data.into()), ("__type__".to_owned(), object_type)];
        Self::from_json(outer.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_come_back() {
        for node in [Node::document("a text"), Node::document(""), Node::text("a"), Node::index("a", "b")] {
            let metadata = node.to_vector_metadata(false).unwrap();
            let extra = node.to_vector_extra().unwrap();
            let back = Node::from_vector_parts(metadata, extra, Some(node.text_content().to_owned()));
            assert_eq!(back.unwrap(), node);
        }
    }
}
