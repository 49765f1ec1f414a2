//! Chat messages, in LlamaIndex's own shape.

mod blocks;
mod read;
mod tools;

pub use blocks::{
    AudioBlock, CacheControl, CitableBlock, CitationBlock, ContentBlock, DocumentBlock, ImageBlock,
    ThinkingBlock, ToolCallBlock, ToolKwargs, VideoBlock,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::JsonObject;

/// One message of a chat.
///
/// Written as `{"role", "additional_kwargs", "blocks"}`; the older form with `content` is read, too.
///
/// ```
/// use store_core::ChatMessage;
/// let message = ChatMessage::user("Where does wine grow?");
/// assert_eq!(message.text().as_deref(), Some("Where does wine grow?"));
/// assert_eq!(
///     serde_json::to_string(&message).unwrap(),
///     r#"{"role":"user","additional_kwargs":{},"blocks":[{"block_type":"text","text":"Where does wine grow?"}]}"#
/// );
/// let older: ChatMessage = serde_json::from_str(r#"{"role":"tool","content":"In Tokaj."}"#).unwrap();
/// assert_eq!(older, ChatMessage::tool("In Tokaj."));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: MessageRole,
    /// Free extras; order and number kinds are kept.
    pub additional_kwargs: JsonObject,
    /// What is said.
    pub blocks: Vec<ContentBlock>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MessageRole {
    /// The instructions.
    System,
    /// The developer's instructions.
    Developer,
    /// The person.
    #[default]
    User,
    /// The model.
    Assistant,
    /// A function's answer (older form of `Tool`).
    Function,
    /// A tool's answer.
    Tool,
    /// A chat bot.
    Chatbot,
    /// The model (Google's name).
    Model,
}

impl MessageRole {
    /// The name LlamaIndex writes: `user`, `assistant`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Function => "function",
            Self::Tool => "tool",
            Self::Chatbot => "chatbot",
            Self::Model => "model",
        }
    }
}

impl std::fmt::Display for MessageRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ChatMessage {
    /// A message of these blocks.
    #[must_use]
    pub fn new(role: MessageRole, blocks: Vec<ContentBlock>) -> Self {
        Self { role, additional_kwargs: JsonObject::new(), blocks }
    }

    /// A text the person says.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(MessageRole::User, vec![ContentBlock::text(text)])
    }

    /// A text the model says.
    #[must_use]
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(MessageRole::Assistant, vec![ContentBlock::text(text)])
    }

    /// The instructions.
    #[must_use]
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(MessageRole::System, vec![ContentBlock::text(text)])
    }

    /// A tool's answer; the call it answers goes into `additional_kwargs`, see
    /// [`with_tool_call_id`](Self::with_tool_call_id).
    #[must_use]
    pub fn tool(text: impl Into<String>) -> Self {
        Self::new(MessageRole::Tool, vec![ContentBlock::text(text)])
    }

    /// Adds a block at the end.
    #[must_use]
    pub fn with_block(mut self, block: ContentBlock) -> Self {
        self.blocks.push(block);
        self
    }

    /// Sets one of the extras; one that is there keeps its place.
    #[must_use]
    pub fn with_kwarg(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.additional_kwargs.insert(key.into(), value.into());
        self
    }

    /// The text blocks, joined with new lines; `None` when there are none (Python's `content`).
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let texts: Vec<&str> = self
            .blocks
            .iter()
            .filter_map(|block| match block {
                ContentBlock::Text { text } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// The message as LlamaIndex stores it: `{"role", "additional_kwargs", "blocks"}`.
    #[must_use]
    pub fn to_json(&self) -> JsonObject {
        crate::json::object_of(self)
    }
}
