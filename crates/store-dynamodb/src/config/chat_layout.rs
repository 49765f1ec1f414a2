//! How chats are kept.

use serde::Deserialize;

/// How chats are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DynamoDbChatLayout {
    /// An item for each message, in the main table: histories of any length, every change of a history in one
    /// transaction, windows read from the end. In a URL `nodestore`.
    #[default]
    Nodestore,
    /// As LlamaIndex's Python package keeps them: a table of their own, an item for each history. A history takes
    /// 400 KB at most, and every change reads and writes the whole of it. In a URL `llamaindex`.
    LlamaIndex,
}

impl DynamoDbChatLayout {
    /// The layout of this name in a URL.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "nodestore" => Some(Self::Nodestore),
            "llamaindex" => Some(Self::LlamaIndex),
            _ => None,
        }
    }
}
