//! Chat messages, in LlamaIndex's own shape.

use crate::JsonObject;

/// One message of a chat.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: MessageRole,
    /// Free extras; order and number kinds are kept.
    pub additional_kwargs: JsonObject,
    /// What is said.
    pub blocks: Vec<ContentBlock>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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

/// A part of a message.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ContentBlock {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
}
