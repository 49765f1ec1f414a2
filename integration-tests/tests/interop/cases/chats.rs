//! Chats: every role, every block, every operation.

use serde_json::{Value, json};
use store_core::{ChatMessage, MessageRole};

use super::{Case, Role, odd_values};
use crate::CaseResult;
use crate::side::Pair;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![Case::new(Role::Chats, "every role", roles)];
    cases.extend(blocks().into_iter().map(|(name, block)| {
        let message = message("assistant", &json!({}), &json!([block]));
        Case::new(Role::Chats, name, move |pair| there_and_back(pair, std::slice::from_ref(&message)))
    }));
    cases.extend(odd_values().into_iter().map(|(name, value)| {
        let message = message("tool", &json!({"k": value}), &json!([text("t")]));
        Case::new(Role::Chats, name, move |pair| there_and_back(pair, std::slice::from_ref(&message)))
    }));
    let chats = |name, run: fn(&Pair<'_>) -> CaseResult| Case::new(Role::Chats, name, run);
    cases.extend([
        chats("no blocks, and many", many_blocks),
        chats("messages of old releases", old_messages),
        chats("appends in turn", appends),
        chats("a history is replaced", replaced),
        chats("a message is inserted", inserted),
        chats("a message is removed", removed),
        chats("the last one is removed", popped),
        chats("the only one is removed", only_one),
        chats("a chat is deleted", deleted),
        chats("names of chats", keys),
    ]);
    cases
}

fn message(role: &str, kwargs: &Value, blocks: &Value) -> Value {
    json!({"role": role, "additional_kwargs": kwargs, "blocks": blocks})
}

fn text(text: &str) -> Value {
    json!({"block_type": "text", "text": text})
}

fn user(said: &str) -> Value {
    message("user", &json!({}), &json!([text(said)]))
}

fn blocks() -> Vec<(&'static str, Value)> {
    let image = |image: Value, url: Value| {
        json!({"block_type": "image", "image": image, "path": null, "url": url, "image_mimetype": "image/png",
            "detail": "low"})
    };
    let bytes = || image(json!("aGVsbG8="), Value::Null);
    let document = |data: Value, path: Value| {
        json!({"block_type": "document", "data": data, "path": path, "url": null, "title": "a file",
            "document_mimetype": "application/pdf"})
    };
    vec![
        ("text block", text("Zażółć 🚀\n\u{0}")),
        ("image block", bytes()),
        ("image block at a URL", image(Value::Null, json!("https://example.org/cat.png"))),
        (
            "audio block",
            json!({"block_type": "audio", "audio": "AAEC", "path": null, "url": null, "format": "mp3"}),
        ),
        (
            "video block",
            json!({"block_type": "video", "video": "AAEC", "path": null, "url": null,
            "video_mimetype": "video/mp4", "detail": null, "fps": 25}),
        ),
        ("document block", document(json!("AAEC"), Value::Null)),
        ("document block of a path", document(Value::Null, json!("no/such/file.pdf"))),
        ("cache point", json!({"block_type": "cache", "cache_control": {"type": "ephemeral", "ttl": "1h"}})),
        (
            "citable block",
            json!({"block_type": "citable", "title": "t", "source": "s", "content": [text("x")]}),
        ),
        (
            "citable block with a file",
            json!({"block_type": "citable", "title": "t", "source": "s",
            "content": [text("x"), document(json!("AAEC"), Value::Null)]}),
        ),
        (
            "citation block",
            json!({"block_type": "citation", "cited_content": text("x"), "source": "s", "title": "t",
            "additional_location_info": {"page": 3}}),
        ),
        (
            "citation block of an image",
            json!({"block_type": "citation", "cited_content": bytes(), "source": "s",
            "title": "t", "additional_location_info": {}}),
        ),
        (
            "thinking block",
            json!({"block_type": "thinking", "content": "hm", "num_tokens": 7,
            "additional_information": {"signature": "x"}}),
        ),
        (
            "tool call",
            json!({"block_type": "tool_call", "tool_call_id": "c1", "tool_name": "search",
            "tool_kwargs": {"query": "wine"}}),
        ),
        (
            "tool call with a text",
            json!({"block_type": "tool_call", "tool_call_id": null, "tool_name": "search",
            "tool_kwargs": "{\"query\": "}),
        ),
    ]
}

fn key(pair: &Pair<'_>) -> Value {
    json!({"key": pair.named("chat")})
}

/// A request about the case's own chat.
fn about(pair: &Pair<'_>, member: &str, value: impl Into<Value>) -> Value {
    json!({"key": pair.named("chat"), member: value.into()})
}

fn add(pair: &Pair<'_>, message: &Value) -> Value {
    about(pair, "message", message.clone())
}

fn there_and_back(pair: &Pair<'_>, messages: &[Value]) -> CaseResult {
    for message in messages {
        pair.writer.call("chat.add", add(pair, message))?;
    }
    pair.both("chat.get", &key(pair), &json!(messages))?;
    for message in messages {
        pair.reader.call("chat.add", add(pair, message))?;
    }
    pair.both("chat.get", &key(pair), &json!([messages, messages].concat()))?;
    pair.reader.call("chat.delete", key(pair))?;
    pair.both("chat.get", &key(pair), &json!([]))
}

fn roles(pair: &Pair<'_>) -> CaseResult {
    use MessageRole::{Assistant, Chatbot, Developer, Function, Model, System, Tool, User};
    let roles = [System, Developer, User, Assistant, Function, Tool, Chatbot, Model];
    let messages = roles.map(|role| message(role.as_str(), &json!({}), &json!([text(role.as_str())])));
    there_and_back(pair, &messages)
}

fn many_blocks(pair: &Pair<'_>) -> CaseResult {
    let many: Vec<Value> = (0..50).map(|n| text(&n.to_string())).collect();
    there_and_back(
        pair,
        &[message("user", &json!({}), &json!([])), message("user", &json!({}), &json!(many))],
    )
}

/// Messages with `content`. Our side writes none; what it writes instead is today's form.
fn old_messages(pair: &Pair<'_>) -> CaseResult {
    let old = [
        json!({"role": "user", "content": "Zażółć", "additional_kwargs": {}}),
        json!({"role": "assistant", "content": "", "additional_kwargs": {"k": "v"}}),
        json!({"role": "assistant", "content": null, "additional_kwargs": {}}),
        json!({"role": "user", "content": [text("x")], "additional_kwargs": {}}),
    ];
    let mut today = Vec::new();
    for message in &old {
        let read: ChatMessage = serde_json::from_value(message.clone()).map_err(|error| error.to_string())?;
        today.push(json!(read));
        let op = if pair.writer.name() == "Python" { "chat.add_old" } else { "chat.add" };
        pair.writer.call(op, add(pair, message))?;
    }
    pair.both("chat.get", &key(pair), &json!(today))?;
    pair.reader.call("chat.add", add(pair, &user("new")))?;
    today.push(user("new"));
    pair.both("chat.get", &key(pair), &json!(today))
}

fn said(pair: &Pair<'_>, texts: &[&str]) -> CaseResult {
    pair.both("chat.get", &key(pair), &texts.iter().map(|text| user(text)).collect())
}

fn begun(pair: &Pair<'_>, texts: &[&str]) -> CaseResult {
    texts.iter().try_for_each(|text| pair.writer.call("chat.add", add(pair, &user(text))).map(drop))?;
    said(pair, texts)
}

fn appends(pair: &Pair<'_>) -> CaseResult {
    let texts: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (place, text) in texts.iter().enumerate() {
        let side = if place % 2 == 0 { pair.writer } else { pair.reader };
        side.call("chat.add", add(pair, &user(text)))?;
    }
    said(pair, &texts)
}

fn replaced(pair: &Pair<'_>) -> CaseResult {
    begun(pair, &["a", "b", "c"])?;
    pair.reader.call("chat.set", about(pair, "messages", json!([user("x"), user("y")])))?;
    said(pair, &["x", "y"])?;
    pair.writer.call("chat.add", add(pair, &user("z")))?;
    said(pair, &["x", "y", "z"])?;
    pair.reader.call("chat.set", about(pair, "messages", json!([])))?;
    said(pair, &[])
}

fn inserted(pair: &Pair<'_>) -> CaseResult {
    begun(pair, &["a", "b", "c"])?;
    let insert =
        |index: i64, text: &str| json!({"key": pair.named("chat"), "index": index, "message": user(text)});
    pair.reader.call("chat.insert", insert(1, "x"))?;
    said(pair, &["a", "x", "b", "c"])?;
    pair.reader.call("chat.insert", insert(0, "y"))?;
    said(pair, &["y", "a", "x", "b", "c"])?;
    pair.writer.call("chat.add", add(pair, &user("z")))?;
    said(pair, &["y", "a", "x", "b", "c", "z"])
}

fn removed(pair: &Pair<'_>) -> CaseResult {
    begun(pair, &["a", "b", "c", "d"])?;
    pair.reader.is("chat.remove", about(pair, "index", 1), &user("b"))?;
    said(pair, &["a", "c", "d"])?;
    pair.writer.call("chat.add", add(pair, &user("e")))?;
    pair.reader.is("chat.remove", about(pair, "index", 0), &user("a"))?;
    said(pair, &["c", "d", "e"])?;
    pair.reader.is("chat.remove", about(pair, "index", 9), &Value::Null)?;
    said(pair, &["c", "d", "e"])
}

fn popped(pair: &Pair<'_>) -> CaseResult {
    begun(pair, &["a", "b"])?;
    pair.reader.is("chat.pop", key(pair), &user("b"))?;
    said(pair, &["a"])?;
    pair.writer.call("chat.add", add(pair, &user("c")))?;
    said(pair, &["a", "c"])
}

fn only_one(pair: &Pair<'_>) -> CaseResult {
    begun(pair, &["a"])?;
    pair.reader.is("chat.remove", about(pair, "index", 0), &user("a"))?;
    said(pair, &[])
}

fn deleted(pair: &Pair<'_>) -> CaseResult {
    begun(pair, &["a", "b"])?;
    pair.reader.call("chat.delete", key(pair))?;
    said(pair, &[])?;
    pair.writer.call("chat.add", add(pair, &user("c")))?;
    said(pair, &["c"])
}

fn keys(pair: &Pair<'_>) -> CaseResult {
    let names = ["*", "a b", "{x}:y", "ż🚀"].map(|name| pair.named(name));
    for name in &names {
        pair.writer.call("chat.add", json!({"key": name, "message": user("t")}))?;
    }
    let prefix = json!({"prefix": pair.prefix});
    pair.both("chat.keys", &prefix, &json!(names))?;
    pair.reader.call("chat.delete", json!({"key": names.first()}))?;
    pair.both("chat.keys", &prefix, &json!(names.get(1..)))
}
