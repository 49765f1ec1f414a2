//! Reading messages: today's form and the older one with `content`.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::blocks::block_only;
use super::{ChatMessage, ContentBlock};
use crate::json::{Members, mismatch, wrong};
use crate::{Error, JsonObject, Result};

impl ChatMessage {
    /// Reads `{"role", "additional_kwargs", "blocks"}` or the older form with `content` (a text, a list of blocks or
    /// null), which wins over `blocks` as in Python. Unknown members are dropped, an absent role is `user`.
    ///
    /// # Errors
    /// `InvalidInput` for an unknown role, a block without `block_type` or with an unknown one, and members of
    /// the wrong type.
    pub fn from_json(json: JsonObject) -> Result<Self> {
        let mut data = Members::new(json);
        let role = match data.take("role") {
            None => super::MessageRole::default(),
            Some(role) => serde_json::from_value(role).map_err(|error| refused("role", &error))?,
        };
        let additional_kwargs = data.object("additional_kwargs")?.unwrap_or_default();
        let blocks = data.take("blocks");
        let blocks = match data.take_some("content") {
            Some(Value::String(text)) => vec![ContentBlock::Text { text }],
            Some(items @ Value::Array(_)) => read_blocks(items)?,
            Some(other) => return Err(wrong("content", "text, a list of blocks or null", &other)),
            None => blocks.map(read_blocks).transpose()?.unwrap_or_default(),
        };
        Ok(Self { role, additional_kwargs, blocks })
    }
}

/// Reads what [`ChatMessage::from_json`] reads.
impl<'de> Deserialize<'de> for ChatMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(JsonObject::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn read_blocks(value: Value) -> Result<Vec<ContentBlock>> {
    let Value::Array(items) = value else { return Err(wrong("blocks", "a list of blocks", &value)) };
    let read = |(i, item)| block_only(item).map_err(|error| refused(&format!("blocks[{i}]"), &error));
    items.into_iter().enumerate().map(read).collect()
}

/// The error itself is no source: it may show the value.
fn refused(name: &str, error: &serde_json::Error) -> Error {
    Error::invalid_input(format!("{name} of the chat message: {}", mismatch(error)))
}
