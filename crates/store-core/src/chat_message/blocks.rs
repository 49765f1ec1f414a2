//! The parts of a message.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::JsonObject;
use crate::json::shorten;

/// A part of a message. Members that are absent or unknown when it is read take their defaults or are dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "block_type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContentBlock {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image.
    Image(ImageBlock),
    /// Sound.
    Audio(AudioBlock),
    /// A film.
    Video(VideoBlock),
    /// A file.
    Document(DocumentBlock),
    /// The point up to which a model provider shall cache the prompt.
    Cache {
        /// How.
        cache_control: CacheControl,
    },
    /// Content a model may cite.
    Citable(CitableBlock),
    /// A citation.
    Citation(CitationBlock),
    /// What the model thought before its answer.
    Thinking(ThinkingBlock),
    /// A call of a tool that the model asks for.
    ToolCall(ToolCallBlock),
}

impl ContentBlock {
    /// A text block.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

/// An image: its bytes, a path or a URL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageBlock {
    /// The bytes as base64 text. A text that is no base64 is taken for the bytes themselves when it is read.
    #[serde(deserialize_with = "base64_text")]
    pub image: Option<String>,
    /// A path. Python can only read the message where the file exists.
    pub path: Option<String>,
    /// A URL.
    pub url: Option<String>,
    /// The media type.
    pub image_mimetype: Option<String>,
    /// How closely the model shall look.
    pub detail: Option<String>,
}

/// Sound: its bytes, a path or a URL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AudioBlock {
    /// The bytes as base64 text, as in [`ImageBlock::image`].
    #[serde(deserialize_with = "base64_text")]
    pub audio: Option<String>,
    /// A path. Python can only read the message where the file exists.
    pub path: Option<String>,
    /// A URL.
    pub url: Option<String>,
    /// The format: `mp3`, `wav`, …
    pub format: Option<String>,
}

/// A film: its bytes, a path or a URL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VideoBlock {
    /// The bytes as base64 text, as in [`ImageBlock::image`].
    #[serde(deserialize_with = "base64_text")]
    pub video: Option<String>,
    /// A path. Python can only read the message where the file exists.
    pub path: Option<String>,
    /// A URL.
    pub url: Option<String>,
    /// The media type.
    pub video_mimetype: Option<String>,
    /// How closely the model shall look.
    pub detail: Option<String>,
    /// Frames per second.
    #[serde(deserialize_with = "integer")]
    pub fps: Option<i64>,
}

/// A file: its bytes, a path or a URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DocumentBlock {
    /// The bytes as base64 text, as in [`ImageBlock::image`].
    #[serde(deserialize_with = "base64_text")]
    pub data: Option<String>,
    /// A path; it need not exist.
    pub path: Option<String>,
    /// A URL.
    pub url: Option<String>,
    /// A title; default `input_document`.
    #[serde(deserialize_with = "title")]
    pub title: String,
    /// The media type.
    pub document_mimetype: Option<String>,
}

/// An untitled document: `input_document`.
impl Default for DocumentBlock {
    fn default() -> Self {
        Self { data: None, path: None, url: None, title: UNTITLED.to_owned(), document_mimetype: None }
    }
}

const UNTITLED: &str = "input_document";

/// How a provider caches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheControl {
    /// The kind of cache, for example `ephemeral`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How long; default `5m`.
    #[serde(default = "five_minutes")]
    pub ttl: String,
}

/// Content a model may cite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CitableBlock {
    /// Its title.
    pub title: String,
    /// Where it is from.
    pub source: String,
    /// The content: texts, images and documents.
    #[serde(deserialize_with = "citable_content")]
    pub content: Vec<ContentBlock>,
}

/// A citation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CitationBlock {
    /// What is cited: a text or an image.
    #[serde(deserialize_with = "cited_content")]
    pub cited_content: Box<ContentBlock>,
    /// Where it is from.
    pub source: String,
    /// The title of what it is from.
    pub title: String,
    /// Where it stands there: names to integers.
    #[serde(deserialize_with = "locations")]
    pub additional_location_info: JsonObject,
}

/// What the model thought before its answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThinkingBlock {
    /// The thoughts, if shown.
    pub content: Option<String>,
    /// How many tokens they took.
    #[serde(deserialize_with = "integer")]
    pub num_tokens: Option<i64>,
    /// What the provider adds, for example a signature.
    pub additional_information: JsonObject,
}

/// A call of a tool that the model asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCallBlock {
    /// The id that the tool's answer names.
    #[serde(default)]
    pub tool_call_id: Option<String>,
    /// The tool.
    pub tool_name: String,
    /// Its arguments.
    #[serde(default)]
    pub tool_kwargs: ToolKwargs,
}

/// The arguments of a tool call: as an object, or as the text a model wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "tool_kwargs must be an object or text")]
pub enum ToolKwargs {
    /// Arguments by name; order and number kinds are kept.
    Object(JsonObject),
    /// Text, mostly JSON that may not be complete.
    Text(String),
}

/// No arguments.
impl Default for ToolKwargs {
    fn default() -> Self {
        Self::Object(JsonObject::new())
    }
}

fn five_minutes() -> String {
    "5m".to_owned()
}

/// As Python decodes: padded, and whatever the last bits are.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Python's rule for bytes: a text that is base64 holds them, any other is the bytes itself.
fn base64_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| STANDARD.encode(LENIENT.decode(&text).unwrap_or_else(|_| text.into_bytes()))))
}

fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(value) = Option::<Value>::deserialize(deserializer)? else { return Ok(None) };
    let refused = || serde::de::Error::custom("an integer or null is expected");
    crate::json::integer(&value).map(Some).ok_or_else(refused)
}

fn title<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let title = Option::<String>::deserialize(deserializer)?;
    Ok(title.filter(|title| !title.is_empty()).unwrap_or_else(|| UNTITLED.to_owned()))
}

fn citable_content<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ContentBlock>, D::Error> {
    let items = match Value::deserialize(deserializer)? {
        Value::Array(items) => items,
        text @ Value::String(_) => return Ok(vec![block(text)?]),
        _ => {
            return Err(serde::de::Error::custom(
                "the content of a citable block must be a list of blocks or text",
            ));
        }
    };
    let blocks = items.into_iter().map(block_only);
    blocks.map(|block| block.and_then(|block| allowed(block, true))).collect()
}

fn cited_content<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<ContentBlock>, D::Error> {
    let value = match Value::deserialize(deserializer)? {
        Value::Array(items) => {
            let [item] = <[Value; 1]>::try_from(items).map_err(|items| {
                serde::de::Error::custom(format!(
                    "cited_content must be one block, not a list of {}",
                    items.len()
                ))
            })?;
            item
        }
        value => value,
    };
    allowed(block(value)?, false).map(Box::new)
}

/// A block, or a text as a text block.
fn block<E: serde::de::Error>(value: Value) -> Result<ContentBlock, E> {
    match value {
        Value::String(text) => Ok(ContentBlock::Text { text }),
        value => block_only(value),
    }
}

pub(super) fn block_only<E: serde::de::Error>(value: Value) -> Result<ContentBlock, E> {
    // The derived reader would take a list, too: `["text", "…"]`.
    let Value::Object(mut block) = value else {
        return Err(E::custom("a content block must be an object"));
    };
    // Most are texts. The derived reader would put everything aside until it has seen the kind.
    if block.get("block_type").is_some_and(|kind| kind == "text")
        && let Some(Value::String(text)) = block.get_mut("text")
    {
        return Ok(ContentBlock::Text { text: std::mem::take(text) });
    }
    serde_json::from_value(Value::Object(block)).map_err(E::custom)
}

fn allowed<E: serde::de::Error>(block: ContentBlock, documents: bool) -> Result<ContentBlock, E> {
    match block {
        ContentBlock::Text { .. } | ContentBlock::Image(_) => Ok(block),
        ContentBlock::Document(_) if documents => Ok(block),
        _ if documents => Err(E::custom("a citable block holds only text, image and document blocks")),
        _ => Err(E::custom("a citation cites only a text or an image block")),
    }
}

fn locations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<JsonObject, D::Error> {
    let mut locations = JsonObject::deserialize(deserializer)?;
    for (name, place) in &mut locations {
        match crate::json::integer(place) {
            Some(integer) => *place = integer.into(),
            None if place.is_u64() => {}
            None => {
                let name = shorten(name);
                let reason = format!("additional_location_info.{name} must be an integer");
                return Err(serde::de::Error::custom(reason));
            }
        }
    }
    Ok(locations)
}
