//! The text of a node, alone and with its metadata.

use super::{MediaResource, Node, NodeContent};
use crate::python::{fill_template, push_str, strip};
use crate::{Error, Result};

/// Which metadata goes with a node's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetadataMode {
    /// All of it.
    All,
    /// What an embedding model shall see: without `excluded_embed_metadata_keys`.
    Embed,
    /// What a language model shall see: without `excluded_llm_metadata_keys`.
    Llm,
    /// None: the raw text.
    None,
}

impl Node {
    /// The raw text, `""` if there is none.
    #[must_use]
    pub fn text_content(&self) -> &str {
        match (self.content.as_text(), self.content.as_media()) {
            (Some(content), _) => &content.text,
            (_, Some(media)) => {
                media.text.as_ref().and_then(|resource| resource.text.as_deref()).unwrap_or_default()
            }
            (None, None) => "",
        }
    }

    /// Replaces the raw text (Python's `set_content`): the rest of a text resource goes with it.
    pub fn set_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        match &mut self.content {
            NodeContent::Text(content) => content.text = text,
            NodeContent::Image(image) => image.text.text = text,
            NodeContent::Index(index) => index.text.text = text,
            NodeContent::Multimodal(media)
            | NodeContent::Document(media)
            | NodeContent::ImageDocument(media) => media.text = Some(MediaResource::from_text(text)),
        }
    }

    /// The metadata as text: each entry through `metadata_template`, joined with `metadata_separator`.
    ///
    /// Templates follow Python's `str.format` with plain placeholders: `{key}`, `{value}`, and `{{` for a brace.
    ///
    /// # Errors
    /// `InvalidInput` when the template has another placeholder or a lone brace.
    pub fn metadata_str(&self, mode: MetadataMode) -> Result<String> {
        self.fill_metadata(mode, &self.metadata_template)
    }

    pub(super) fn fill_metadata(&self, mode: MetadataMode, template: &str) -> Result<String> {
        let excluded: &[String] = match mode {
            MetadataMode::All => &[],
            MetadataMode::Embed => &self.excluded_embed_metadata_keys,
            MetadataMode::Llm => &self.excluded_llm_metadata_keys,
            MetadataMode::None => return Ok(String::new()),
        };
        let mut out = String::new();
        let mut value_text = String::new();
        let shown = self.metadata.iter().filter(|(key, _)| !excluded.contains(key));
        for (i, (key, value)) in shown.enumerate() {
            if i > 0 {
                out.push_str(&self.metadata_separator);
            }
            value_text.clear();
            push_str(&mut value_text, value);
            let entry = fill_template(template, &[("key", key), ("value", &value_text)]);
            out.push_str(&entry.map_err(|error| self.in_template(error))?);
        }
        Ok(out)
    }

    /// The text as a model shall see it: the metadata of `mode` and the text through `text_template`, stripped.
    /// Without metadata it is the raw text.
    ///
    /// # Errors
    /// `InvalidInput` when a template has an unknown placeholder or a lone brace.
    pub fn content_with(&self, mode: MetadataMode) -> Result<String> {
        let metadata = self.metadata_str(mode)?;
        // Python strips the metadata of text nodes before it looks whether there is any, and that of others not.
        let metadata = match self.content.as_media() {
            None => strip(&metadata),
            Some(media) if media.text.is_none() => return Ok(String::new()),
            Some(_) => &metadata,
        };
        let text = self.text_content();
        if mode == MetadataMode::None || metadata.is_empty() {
            return Ok(text.to_owned());
        }
        let filled = fill_template(&self.text_template, &[("metadata_str", metadata), ("content", text)]);
        Ok(strip(&filled.map_err(|error| self.in_template(error))?).to_owned())
    }

    fn in_template(&self, error: Error) -> Error {
        error.with_key(self.id.as_str())
    }
}
