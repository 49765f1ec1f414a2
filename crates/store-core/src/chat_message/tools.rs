//! Tool calls in messages: chat windows keep a call and its answers together.

use serde_json::Value;

use super::{ChatMessage, ContentBlock, MessageRole};

impl ChatMessage {
    /// Whether the model asks for tools here: by `tool_call` blocks, or by `additional_kwargs.tool_calls` (a list
    /// that is not empty) or `function_call`, where providers put them.
    #[must_use]
    pub fn is_tool_call(&self) -> bool {
        let calls = self.additional_kwargs.get("tool_calls").and_then(Value::as_array);
        self.blocks.iter().any(|block| matches!(block, ContentBlock::ToolCall(_)))
            || calls.is_some_and(|calls| !calls.is_empty())
            || self.additional_kwargs.get("function_call").is_some_and(Value::is_object)
    }

    /// Whether this is a tool's answer: its role is `tool` or `function`.
    #[must_use]
    pub fn is_tool_result(&self) -> bool {
        matches!(self.role, MessageRole::Tool | MessageRole::Function)
    }

    /// The ids of the tool calls asked for here, each once, in order. A call may have none.
    ///
    /// In `additional_kwargs.tool_calls` an id is the `id` (`OpenAI`, `Anthropic`) or `toolUseId` (Bedrock) of an entry.
    #[must_use]
    pub fn tool_call_ids(&self) -> Vec<&str> {
        let in_blocks = self.blocks.iter().filter_map(|block| match block {
            ContentBlock::ToolCall(call) => call.tool_call_id.as_deref(),
            _ => None,
        });
        let calls = self.additional_kwargs.get("tool_calls").and_then(Value::as_array);
        let in_kwargs = calls.into_iter().flatten().filter_map(|call| {
            ["id", "toolUseId"].into_iter().find_map(|name| call.get(name)).and_then(Value::as_str)
        });
        let mut ids = Vec::new();
        for id in in_blocks.chain(in_kwargs) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    /// The id of the call this message answers: `additional_kwargs.tool_call_id`.
    #[must_use]
    pub fn tool_call_id(&self) -> Option<&str> {
        self.additional_kwargs.get("tool_call_id").and_then(Value::as_str)
    }

    /// Says which call this message answers.
    #[must_use]
    pub fn with_tool_call_id(self, id: impl Into<String>) -> Self {
        self.with_kwarg("tool_call_id", id.into())
    }
}
