//! Messages for people.

use nodestore::{ChatMessage, ContentBlock, ToolKwargs};

use crate::failure::Failure;
use crate::output::{STRONG, one_line, print, printable, thousands};

/// Characters of a name, a URL or a tool's arguments that are shown.
const SHOWN: usize = 200;

/// Prints messages, each under the name of its role, with an empty line between them.
pub(super) fn show(messages: &[ChatMessage]) -> Result<(), Failure> {
    for (place, message) in messages.iter().enumerate() {
        if place > 0 {
            print("")?;
        }
        print(format_args!("{STRONG}{}{STRONG:#}", message.role))?;
        print(printable(text(message).trim_end()))?;
    }
    Ok(())
}

/// What a message says, and in brackets what it holds besides text. A terminal should get it by [`printable`].
pub(super) fn text(message: &ChatMessage) -> String {
    let blocks: Vec<String> = message.blocks.iter().map(block).collect();
    let mut text = blocks.join("\n");
    // Older programs keep tool calls beside the blocks.
    let in_blocks = message.blocks.iter().any(|block| matches!(block, ContentBlock::ToolCall(_)));
    if let (false, Some(calls)) = (in_blocks, message.additional_kwargs.get("tool_calls")) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&bracketed("tool calls", &calls.to_string()));
    }
    if text.is_empty() { "[nothing]".to_owned() } else { text }
}

fn block(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text { text } => text.clone(),
        ContentBlock::Image(image) => {
            media("image", [&image.path, &image.url], image.image.as_deref(), image.image_mimetype.as_deref())
        }
        ContentBlock::Audio(audio) => {
            media("audio", [&audio.path, &audio.url], audio.audio.as_deref(), audio.format.as_deref())
        }
        ContentBlock::Video(video) => {
            media("video", [&video.path, &video.url], video.video.as_deref(), video.video_mimetype.as_deref())
        }
        ContentBlock::Document(document) => {
            let title = Some(document.title.clone());
            let places = [&document.path, &document.url, &title];
            media("document", places, document.data.as_deref(), document.document_mimetype.as_deref())
        }
        ContentBlock::Thinking(thinking) => match &thinking.content {
            Some(content) => format!("[thinking]\n{content}\n[end of thinking]"),
            None => "[thinking, not shown]".to_owned(),
        },
        ContentBlock::ToolCall(call) => {
            let arguments = match &call.tool_kwargs {
                ToolKwargs::Object(arguments) => serde_json::Value::Object(arguments.clone()).to_string(),
                ToolKwargs::Text(text) => text.clone(),
            };
            bracketed("tool call", &format!("{} {arguments}", call.tool_name))
        }
        ContentBlock::Citable(citable) => {
            bracketed("citable", &format!("{}, {}", citable.title, citable.source))
        }
        ContentBlock::Citation(citation) => {
            bracketed("citation", &format!("{}, {}", citation.title, citation.source))
        }
        ContentBlock::Cache { .. } => "[cache point]".to_owned(),
        _ => "[a block of another kind]".to_owned(),
    }
}

/// `[image picture.png]`, or `[image of 1,234 bytes, image/png]` where it has no name.
fn media<const N: usize>(
    what: &str,
    places: [&Option<String>; N],
    base64: Option<&str>,
    kind: Option<&str>,
) -> String {
    if let Some(place) = places.into_iter().flatten().next() {
        // What stands in a URL of data is no name.
        if !place.starts_with("data:") {
            return bracketed(what, place);
        }
    }
    let bytes = base64
        .map(|data| data.trim_end_matches('=').len() / 4 * 3 + data.trim_end_matches('=').len() % 4 * 3 / 4);
    let size = bytes.map(|bytes| format!(" of {} bytes", thousands(bytes))).unwrap_or_default();
    let kind = kind.map(|kind| format!(", {}", one_line(kind, SHOWN))).unwrap_or_default();
    format!("[{what}{size}{kind}]")
}

fn bracketed(what: &str, name: &str) -> String {
    format!("[{what} {}]", one_line(name, SHOWN))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(message: serde_json::Value) -> String {
        text(&serde_json::from_value(message).unwrap())
    }

    #[test]
    fn what_is_no_text_is_named() {
        let blocks = json!({"role": "user", "blocks": [
            {"block_type": "text", "text": "Look:"},
            {"block_type": "image", "path": "/tmp/cat.png"},
            {"block_type": "image", "image": "aGVsbG8=", "image_mimetype": "image/png"},
            {"block_type": "audio", "url": "https://h/a.mp3"},
            {"block_type": "document", "data": "aGVsbG8=", "title": "Plan"},
            {"block_type": "tool_call", "tool_name": "search", "tool_kwargs": {"for": "trains"}},
            {"block_type": "thinking", "content": "Hm."},
        ]});
        assert_eq!(
            read(blocks),
            "Look:\n[image /tmp/cat.png]\n[image of 5 bytes, image/png]\n[audio https://h/a.mp3]\n[document Plan]\n\
             [tool call search {\"for\":\"trains\"}]\n[thinking]\nHm.\n[end of thinking]"
        );
        let older =
            json!({"role": "assistant", "content": null, "additional_kwargs": {"tool_calls": [{"id": "1"}]}});
        assert_eq!(read(older), "[tool calls [{\"id\":\"1\"}]]");
        assert_eq!(read(json!({"role": "user", "blocks": []})), "[nothing]");
    }
}
