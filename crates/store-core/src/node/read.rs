//! Reading nodes: today's JSON of LlamaIndex and every older form.

use serde_json::Value;

use super::media::guess_mimetype;
use super::{
    ImageContent, IndexContent, METADATA_SEPARATOR, METADATA_TEMPLATE, MediaContent, MediaResource, Node,
    NodeContent, NodeId, Related, RelatedNode, Relationship, Relationships, TEXT_TEMPLATE, TextContent,
};
use crate::json::{Members, floats, shorten, wrong};
use crate::python::python_json;
use crate::{Error, JsonObject, Result};

/// The classes of nodes, as `__type__` and `class_name` or `_node_type` name them.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Class {
    Text,
    Image,
    Index,
    Multimodal,
    Document,
    ImageDocument,
}

impl Node {
    /// Reads `{"__data__": {…}, "__type__": "1"…"5"}` in today's form or any older one.
    ///
    /// What is read is normalised as Python does it: unknown members are dropped, defaults filled in (a random id, too),
    /// embeddings become floats, the media type of an image is guessed from its path. Read besides today's form:
    /// - LlamaIndex before 0.6.38 (`extra_info`, plain ids as relationships), where embeddings are dropped as in Python;
    /// - 0.8 without `class_name` (where Python fails for documents) and the misspelt `metadata_seperator`, which
    ///   wins over the right spelling;
    /// - 0.9 to 0.11, where a document has its text in `text` and an image document its image in `image`,
    ///   `image_path` or `image_url`. Bytes in `image` are dropped with a warning, as media resources never keep them.
    ///
    /// # Errors
    /// `InvalidInput`, with the node's id as key where there is one, when a member is missing or of the wrong type,
    /// when `__type__` is unknown, or a relationship has another key than `"1"` to `"5"`.
    pub fn from_json(json: JsonObject) -> Result<Self> {
        let mut outer = Members::new(json);
        let object_type = outer.required_text("__type__")?;
        let missing = || Error::invalid_input("the member \"__data__\" is missing");
        let data = outer.object("__data__")?.ok_or_else(missing)?;
        let is_oldest = data.contains_key("extra_info");
        let is_image = || data.get("class_name").is_some_and(|name| name == "ImageDocument");
        let class = match object_type.as_str() {
            "1" => Class::Text,
            "2" => Class::Image,
            "3" => Class::Index,
            "4" if !is_oldest && is_image() => Class::ImageDocument,
            "4" => Class::Document,
            "5" if !is_oldest => Class::Multimodal,
            other => {
                return Err(Error::invalid_input(format!(
                    "unknown node type {:?} in \"__type__\"; known are \"1\" to \"5\"",
                    shorten(other)
                )));
            }
        };
        Self::read(class, Members::new(if is_oldest { modernise(data) } else { data }))
    }

    /// Reads the members of `__data__` as a node of that class.
    pub(super) fn read(class: Class, mut data: Members) -> Result<Self> {
        let is_document = matches!(class, Class::Document | Class::ImageDocument);
        let mut id = data.text("id_")?;
        if id.is_none() && is_document {
            id = data.text("doc_id")?;
        }
        let id = id.map_or_else(NodeId::random, NodeId::new);
        Self::read_as(class, id.clone(), data).map_err(|error| error.with_key(id.as_str()))
    }

    fn read_as(class: Class, id: NodeId, mut data: Members) -> Result<Self> {
        let metadata = if data.has("extra_info") { "extra_info" } else { "metadata" };
        let separator =
            if data.has("metadata_seperator") { "metadata_seperator" } else { "metadata_separator" };
        Ok(Self {
            id,
            embedding: data.nullable_floats("embedding")?,
            metadata: data.object(metadata)?.unwrap_or_default(),
            excluded_embed_metadata_keys: data.texts("excluded_embed_metadata_keys")?,
            excluded_llm_metadata_keys: data.texts("excluded_llm_metadata_keys")?,
            relationships: relationships(data.object("relationships")?.unwrap_or_default())?,
            metadata_template: data.text_or("metadata_template", METADATA_TEMPLATE)?,
            metadata_separator: data.text_or(separator, METADATA_SEPARATOR)?,
            text_template: data.text_or("text_template", TEXT_TEMPLATE)?,
            content: content(class, data)?,
        })
    }
}

fn content(class: Class, mut data: Members) -> Result<NodeContent> {
    Ok(match class {
        Class::Text => NodeContent::Text(text_content(&mut data)?),
        Class::Image => NodeContent::Image(Box::new(image_content(data)?)),
        Class::Index => NodeContent::Index(Box::new(IndexContent {
            text: text_content(&mut data)?,
            index_id: data.required_text("index_id")?,
            obj: index_obj(data.take("obj").unwrap_or_default()),
        })),
        Class::Multimodal => NodeContent::Multimodal(Box::new(media_content(&mut data)?)),
        Class::Document => NodeContent::Document(Box::new(document_content(&mut data)?)),
        Class::ImageDocument => NodeContent::ImageDocument(Box::new(image_document_content(data)?)),
    })
}

/// A node inside takes today's form, too.
fn index_obj(obj: Value) -> Value {
    match obj {
        Value::Object(obj) if obj.contains_key("__data__") => index_node(obj),
        Value::Null | Value::Object(_) | Value::String(_) => obj,
        obj => Value::String(python_json(&obj)),
    }
}

/// A node inside a node; what is none stays as it is.
fn index_node(mut obj: JsonObject) -> Value {
    // What stands inside in turn is taken out before the copy, or as many copies would be held as there are levels.
    let data = obj.get_mut("__data__").filter(|data| data.get("extra_info").is_none());
    let slot = data.and_then(|data| data.get_mut("obj"));
    let inner = slot.map(|slot| index_obj(std::mem::take(slot)));
    let Ok(mut node) = Node::from_json(obj.clone()) else {
        if let (Some(slot), Some(inner)) =
            (obj.get_mut("__data__").and_then(|data| data.get_mut("obj")), inner)
        {
            *slot = inner;
        }
        return Value::Object(obj);
    };
    if let (NodeContent::Index(index), Some(inner)) = (&mut node.content, inner) {
        index.obj = inner;
    }
    Value::Object(node.to_json())
}

fn text_content(data: &mut Members) -> Result<TextContent> {
    // The text of a newer class under an older name.
    let resource =
        data.take_some("text_resource").map(|value| Members::of(value, "text_resource")).transpose()?;
    let text = match resource {
        Some(mut resource) => resource.required_text("text")?,
        None => data.text_or("text", "")?,
    };
    Ok(TextContent {
        text,
        mimetype: data.text_or("mimetype", "text/plain")?,
        start_char_idx: data.nullable_integer("start_char_idx")?,
        end_char_idx: data.nullable_integer("end_char_idx")?,
    })
}

fn image_content(mut data: Members) -> Result<ImageContent> {
    let text = text_content(&mut data)?;
    let image = data.nullable_text("image")?;
    let text_embedding = data.nullable_floats("text_embedding")?;
    let [image_path, image_url, image_mimetype] = match data.take_some("image_resource") {
        Some(resource) => {
            let mut resource = Members::of(resource, "image_resource")?;
            [
                resource.nullable_text("path")?,
                resource.nullable_text("url")?,
                resource.nullable_text("mimetype")?,
            ]
        }
        None => [
            data.nullable_text("image_path")?,
            data.nullable_text("image_url")?,
            data.nullable_text("image_mimetype")?,
        ],
    };
    let mut content = ImageContent { text, image, image_path, image_url, image_mimetype, text_embedding };
    if content.image_mimetype.as_deref().is_none_or(str::is_empty)
        && let Some(guess) = content.image_path.as_deref().and_then(guess_mimetype)
    {
        content.image_mimetype = Some(guess.to_owned());
    }
    Ok(content)
}

fn media_content(data: &mut Members) -> Result<MediaContent> {
    Ok(MediaContent {
        text: media_resource(data, "text_resource")?,
        image: media_resource(data, "image_resource")?,
        audio: media_resource(data, "audio_resource")?,
        video: media_resource(data, "video_resource")?,
    })
}

fn document_content(data: &mut Members) -> Result<MediaContent> {
    let mut media = media_content(data)?;
    // `text` repeats the resource's text today, and was the only place of it up to 0.11.
    let text = data.nullable_text("text")?.unwrap_or_default();
    if media.text.is_none() {
        media.text = MediaContent::of_text(text).text;
    }
    Ok(media)
}

fn image_document_content(mut data: Members) -> Result<MediaContent> {
    let mut media = document_content(&mut data)?;
    let mimetype = data.nullable_text("image_mimetype")?;
    let mut given = |name| Ok::<_, Error>(data.nullable_text(name)?.filter(|text| !text.is_empty()));
    let (image, path, url) = (given("image")?, given("image_path")?, given("image_url")?);
    if image.is_some() {
        tracing::warn!(
            "the bytes of an image document are dropped: media resources keep a path or a URL only"
        );
        media.image = Some(MediaResource { mimetype, ..MediaResource::default() });
    } else if let Some(path) = path {
        let guess = MediaResource::from_path(path);
        media.image = Some(MediaResource { mimetype: mimetype.or(guess.mimetype), ..guess });
    } else if let Some(url) = url {
        media.image = Some(MediaResource { mimetype, ..MediaResource::from_url(url) });
    }
    Ok(media)
}

fn media_resource(data: &mut Members, name: &str) -> Result<Option<MediaResource>> {
    let Some(value) = data.take_some(name) else { return Ok(None) };
    let mut data = Members::of(value, name)?;
    let embeddings = match data.take_some("embeddings") {
        None => None,
        Some(Value::Object(kinds)) => {
            let kinds = kinds.into_iter().map(|(kind, values)| Ok((floats(values, &kind)?, kind)));
            Some(kinds.map(|pair| pair.map(|(values, kind)| (kind, values))).collect::<Result<_>>()?)
        }
        Some(other) => return Err(wrong("embeddings", "an object or null", &other)),
    };
    let mut resource = MediaResource {
        embeddings,
        text: data.nullable_text("text")?,
        path: data.nullable_text("path")?,
        url: data.nullable_text("url")?,
        mimetype: data.nullable_text("mimetype")?,
    };
    if resource.mimetype.is_none()
        && let Some(guess) = resource.path.as_deref().and_then(guess_mimetype)
    {
        resource.mimetype = Some(guess.to_owned());
    }
    Ok(Some(resource))
}

fn relationships(object: JsonObject) -> Result<Relationships> {
    let mut relationships = Relationships::new();
    for (key, value) in object {
        let Some(relationship) = Relationship::from_key(&key) else {
            return Err(Error::invalid_input(format!(
                "unknown relationship {:?}; known are \"1\" to \"5\"",
                shorten(&key)
            )));
        };
        let related = match value {
            Value::Array(items) => {
                Related::Many(items.into_iter().map(|item| related_node(item, &key)).collect::<Result<_>>()?)
            }
            item => Related::One(related_node(item, &key)?),
        };
        relationships.set(relationship, related);
    }
    Ok(relationships)
}

/// A link; `key` is for the error.
fn related_node(value: Value, key: &str) -> Result<RelatedNode> {
    let Value::Object(object) = value else {
        return Err(wrong(&format!("relationships.{key}"), "an object", &value));
    };
    let mut data = Members::new(object);
    let mut read = || {
        Ok(RelatedNode {
            node_id: NodeId::new(data.required_text("node_id")?),
            node_type: data.nullable_text("node_type")?,
            metadata: data.object("metadata")?.unwrap_or_default(),
            hash: data.nullable_text("hash")?,
        })
    };
    let named = |error: Error| {
        Error::invalid_input(format!("in {:?}: {}", format!("relationships.{key}"), error.message()))
    };
    read().map_err(named)
}

/// The oldest form (before 0.6.38) under today's names. As in Python, only these members are read.
fn modernise(old: JsonObject) -> JsonObject {
    let mut new = JsonObject::new();
    for (name, value) in old {
        let (name, value) = match (name.as_str(), value) {
            ("doc_id" | "relationships", Value::Null) => continue,
            ("doc_id", id) => ("id_", id),
            ("extra_info", metadata) => {
                ("metadata", if metadata.is_null() { JsonObject::new().into() } else { metadata })
            }
            ("relationships", Value::Object(links)) => ("relationships", plain_links(links).into()),
            ("text" | "image" | "index_id" | "relationships", value) => {
                new.insert(name, value);
                continue;
            }
            _ => continue,
        };
        new.insert(name.to_owned(), value);
    }
    new
}

/// `{"1": "id"}` as `{"1": {"node_id": "id"}}`; also used by the oldest vector stores.
pub(super) fn plain_links(links: JsonObject) -> JsonObject {
    let link = |value: Value| match value {
        Value::String(id) => serde_json::json!({ "node_id": id }),
        other => other,
    };
    let links = links.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| match value {
        Value::Array(items) => (key, items.into_iter().map(link).collect()),
        value => (key, link(value)),
    });
    links.collect()
}
