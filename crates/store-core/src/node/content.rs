//! What sets the classes of nodes apart.

use serde_json::Value;

use super::MediaResource;

/// What sets a node's class apart.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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

impl NodeContent {
    /// LlamaIndex's name of the class: `TextNode`, `Document`, …
    #[must_use]
    pub fn class_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "TextNode",
            Self::Image(_) => "ImageNode",
            Self::Index(_) => "IndexNode",
            Self::Multimodal(_) => "Node",
            Self::Document(_) => "Document",
            Self::ImageDocument(_) => "ImageDocument",
        }
    }

    /// LlamaIndex's `ObjectType` as it is written in `__type__`: `"1"` to `"5"`.
    #[must_use]
    pub fn object_type(&self) -> &'static str {
        match self {
            Self::Text(_) => "1",
            Self::Image(_) => "2",
            Self::Index(_) => "3",
            Self::Document(_) | Self::ImageDocument(_) => "4",
            Self::Multimodal(_) => "5",
        }
    }

    /// The text content of a `TextNode`, `ImageNode` or `IndexNode`.
    #[must_use]
    pub fn as_text(&self) -> Option<&TextContent> {
        match self {
            Self::Text(text) => Some(text),
            Self::Image(image) => Some(&image.text),
            Self::Index(index) => Some(&index.text),
            Self::Multimodal(_) | Self::Document(_) | Self::ImageDocument(_) => None,
        }
    }

    /// The resources of a `Node`, `Document` or `ImageDocument`.
    #[must_use]
    pub fn as_media(&self) -> Option<&MediaContent> {
        match self {
            Self::Multimodal(media) | Self::Document(media) | Self::ImageDocument(media) => Some(media),
            Self::Text(_) | Self::Image(_) | Self::Index(_) => None,
        }
    }
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

impl TextContent {
    /// Plain text without a place in a source.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            mimetype: "text/plain".to_owned(),
            start_char_idx: None,
            end_char_idx: None,
        }
    }
}

/// The empty text.
impl Default for TextContent {
    fn default() -> Self {
        Self::new("")
    }
}

/// The content of an `ImageNode`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageContent {
    /// The text beside the image.
    pub text: TextContent,
    /// The image's bytes as base64 text.
    pub image: Option<String>,
    /// A path to the image.
    pub image_path: Option<String>,
    /// A URL of the image.
    pub image_url: Option<String>,
    /// Media type of the image. Where it is absent or empty, reading JSON guesses it from the path's extension,
    /// as Python does.
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
    /// The object pointed to: null, a node's `{__data__, __type__}`, another JSON object, or a text.
    ///
    /// Any other JSON (a number, a bool, a list) is written as Python does, as a text that holds its JSON, and is
    /// read back as that text. Python reads a text as a new `TextNode` with that text.
    pub obj: Value,
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

impl MediaContent {
    /// A text resource alone, and none for the empty text, as a Python `Document` has it.
    pub(super) fn of_text(text: String) -> Self {
        let resource = (!text.is_empty()).then(|| MediaResource::from_text(text));
        Self { text: resource, ..Self::default() }
    }
}
