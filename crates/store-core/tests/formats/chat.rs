//! Chat messages as JSON: a sample written by llama-index-core 0.14.25, older forms, and random messages.

use proptest::prelude::*;
use serde_json::{Value, json};
use store_core::{
    AudioBlock, CacheControl, ChatMessage, CitableBlock, CitationBlock, ContentBlock, DocumentBlock,
    ImageBlock, MessageRole, ThinkingBlock, ToolCallBlock, ToolKwargs, VideoBlock,
};

use super::{assert_refused, common, damaged, object};

const EVERY_BLOCK: &str = r#"{"role":"assistant","additional_kwargs":{"b":2.0,"a":[1,null]},"blocks":[{"block_type":"text","text":"Zażółć 🚀"},{"block_type":"image","image":"iVBORw==","path":null,"url":"https://example.org/a.png","image_mimetype":"image/png","detail":"low"},{"block_type":"audio","audio":"aGVsbG8=","path":null,"url":null,"format":"mp3"},{"block_type":"video","video":null,"path":null,"url":"https://example.org/v","video_mimetype":"video/mp4","detail":null,"fps":25},{"block_type":"document","data":"cGRm","path":"no/such.pdf","url":null,"title":"input_document","document_mimetype":null},{"block_type":"cache","cache_control":{"type":"ephemeral","ttl":"5m"}},{"block_type":"citable","title":"t","source":"s","content":[{"block_type":"text","text":"text"}]},{"block_type":"citation","cited_content":{"block_type":"text","text":"cited"},"source":"s","title":"t","additional_location_info":{"page":3}},{"block_type":"thinking","content":"hm","num_tokens":2,"additional_information":{"sig":"x"}},{"block_type":"tool_call","tool_call_id":"c1","tool_name":"add","tool_kwargs":{"a":1}},{"block_type":"tool_call","tool_call_id":null,"tool_name":"add","tool_kwargs":"{\"a\""}]}"#;

fn every_block() -> ChatMessage {
    let map = |value| serde_json::from_value(value).unwrap();
    ChatMessage::assistant("Zażółć 🚀")
        .with_kwarg("b", 2.0)
        .with_kwarg("a", json!([1, null]))
        .with_block(ContentBlock::Image(ImageBlock {
            image: Some("iVBORw==".to_owned()),
            url: Some("https://example.org/a.png".to_owned()),
            image_mimetype: Some("image/png".to_owned()),
            detail: Some("low".to_owned()),
            ..ImageBlock::default()
        }))
        .with_block(ContentBlock::Audio(AudioBlock {
            audio: Some("aGVsbG8=".to_owned()),
            format: Some("mp3".to_owned()),
            ..AudioBlock::default()
        }))
        .with_block(ContentBlock::Video(VideoBlock {
            url: Some("https://example.org/v".to_owned()),
            video_mimetype: Some("video/mp4".to_owned()),
            fps: Some(25),
            ..VideoBlock::default()
        }))
        .with_block(ContentBlock::Document(DocumentBlock {
            data: Some("cGRm".to_owned()),
            path: Some("no/such.pdf".to_owned()),
            ..DocumentBlock::default()
        }))
        .with_block(ContentBlock::Cache {
            cache_control: CacheControl { kind: "ephemeral".to_owned(), ttl: "5m".to_owned() },
        })
        .with_block(ContentBlock::Citable(CitableBlock {
            title: "t".to_owned(),
            source: "s".to_owned(),
            content: vec![ContentBlock::text("text")],
        }))
        .with_block(ContentBlock::Citation(CitationBlock {
            cited_content: Box::new(ContentBlock::text("cited")),
            source: "s".to_owned(),
            title: "t".to_owned(),
            additional_location_info: map(json!({"page": 3})),
        }))
        .with_block(ContentBlock::Thinking(ThinkingBlock {
            content: Some("hm".to_owned()),
            num_tokens: Some(2),
            additional_information: map(json!({"sig": "x"})),
        }))
        .with_block(ContentBlock::ToolCall(ToolCallBlock {
            tool_call_id: Some("c1".to_owned()),
            tool_name: "add".to_owned(),
            tool_kwargs: ToolKwargs::Object(map(json!({"a": 1}))),
        }))
        .with_block(ContentBlock::ToolCall(ToolCallBlock {
            tool_call_id: None,
            tool_name: "add".to_owned(),
            tool_kwargs: ToolKwargs::Text("{\"a\"".to_owned()),
        }))
}

#[test]
fn every_block_reads_and_writes_as_in_python() {
    let message = every_block();
    assert_eq!(serde_json::to_string(&message).unwrap(), EVERY_BLOCK);
    assert_eq!(Value::Object(message.to_json()).to_string(), EVERY_BLOCK);
    assert_eq!(ChatMessage::from_json(object(EVERY_BLOCK)).unwrap(), message);
    assert_eq!(serde_json::from_str::<ChatMessage>(EVERY_BLOCK).unwrap(), message);
}

#[test]
fn roles_have_their_names() {
    for name in ["system", "developer", "user", "assistant", "function", "tool", "chatbot", "model"] {
        let message = ChatMessage::from_json(object(&format!(r#"{{"role":"{name}"}}"#))).unwrap();
        assert_eq!((message.role.as_str(), message.role.to_string().as_str()), (name, name));
        assert_eq!(message.to_json()["role"], name);
    }
    assert_eq!(ChatMessage::system("").role, MessageRole::System);
}

/// What Python makes of messages in another form.
#[test]
fn reading_normalises() {
    let text = |text: &str| format!(r#"{{"block_type":"text","text":"{text}"}}"#);
    let image = |data: &str| {
        format!(
            r#"{{"block_type":"image","image":"{data}","path":null,"url":null,"image_mimetype":null,"detail":null}}"#
        )
    };
    let given = |block: &str| format!(r#"{{"blocks":[{block}]}}"#);
    for (message, expected) in [
        (r#"{"content":"a"}"#.to_owned(), text("a")),
        (r#"{"content":""}"#.to_owned(), text("")),
        (r#"{"content":null,"other":1}"#.to_owned(), String::new()),
        (format!(r#"{{"content":null,"blocks":[{}]}}"#, text("b")), text("b")),
        (format!(r#"{{"content":"a","blocks":[{}]}}"#, text("b")), text("a")),
        (format!(r#"{{"content":[{}],"blocks":[]}}"#, text("b")), text("b")),
        (given(r#"{"text":"a","block_type":"text","more":[1]}"#), text("a")),
        (given(r#"{"block_type":"image","image":"not base64!"}"#), image("bm90IGJhc2U2NCE=")),
        (given(r#"{"block_type":"image","image":"aGVsbG8"}"#), image("YUdWc2JHOA==")),
        (given(r#"{"block_type":"image","image":""}"#), image("")),
        (given(r#"{"block_type":"image","image":"aGVs\nbG8="}"#), image("YUdWcwpiRzg9")),
        (given(r#"{"block_type":"image","image":"aGVsbG9="}"#), image("aGVsbG8=")),
        (
            given(r#"{"block_type":"document","data":"!","title":""}"#),
            r#"{"block_type":"document","data":"IQ==","path":null,"url":null,"title":"input_document","document_mimetype":null}"#.to_owned(),
        ),
        (
            given(r#"{"block_type":"citable","title":"t","source":"s","content":"x"}"#),
            format!(r#"{{"block_type":"citable","title":"t","source":"s","content":[{}]}}"#, text("x")),
        ),
        (
            given(r#"{"block_type":"citation","title":"t","source":"s","cited_content":["x"],"additional_location_info":{"a":1.0}}"#),
            format!(r#"{{"block_type":"citation","cited_content":{},"source":"s","title":"t","additional_location_info":{{"a":1}}}}"#, text("x")),
        ),
        (
            given(r#"{"block_type":"thinking","num_tokens":4.0}"#),
            r#"{"block_type":"thinking","content":null,"num_tokens":4,"additional_information":{}}"#.to_owned(),
        ),
        (
            given(r#"{"block_type":"tool_call","tool_name":"x"}"#),
            r#"{"block_type":"tool_call","tool_call_id":null,"tool_name":"x","tool_kwargs":{}}"#.to_owned(),
        ),
        (
            given(r#"{"block_type":"cache","cache_control":{"type":"e","x":1}}"#),
            r#"{"block_type":"cache","cache_control":{"type":"e","ttl":"5m"}}"#.to_owned(),
        ),
    ] {
        let read = ChatMessage::from_json(object(&message)).unwrap();
        let expected = format!(r#"{{"role":"user","additional_kwargs":{{}},"blocks":[{expected}]}}"#);
        assert_eq!(serde_json::to_string(&read).unwrap(), expected, "{message}");
    }
}

#[test]
fn what_python_refuses_is_refused_with_its_place() {
    let citation = r#""block_type":"citation","title":"t","source":"s""#;
    for (text, part) in [
        (r#"{"role":"boss"}"#.to_owned(), "role of the chat message: unknown variant `boss`"),
        (r#"{"role":null}"#.to_owned(), "role of the chat message"),
        (r#"{"role":"USER"}"#.to_owned(), "unknown variant `USER`"),
        (r#"{"blocks":null}"#.to_owned(), r#""blocks" must be a list of blocks, not null"#),
        (r#"{"additional_kwargs":null}"#.to_owned(), r#""additional_kwargs" must be an object"#),
        (r#"{"content":5}"#.to_owned(), r#""content" must be text, a list of blocks or null"#),
        (r#"{"content":["x"]}"#.to_owned(), "blocks[0]"),
        (r#"{"blocks":[{"block_type":"text","text":"a"},{"text":"b"}]}"#.to_owned(), "blocks[1] of the chat message: missing field `block_type`"),
        (r#"{"blocks":[{"block_type":"nope"}]}"#.to_owned(), "unknown variant `nope`"),
        (r#"{"blocks":["x"]}"#.to_owned(), "blocks[0]"),
        (r#"{"blocks":[["text","x"]]}"#.to_owned(), "blocks[0]"),
        (r#"{"blocks":[{"block_type":"text"}]}"#.to_owned(), "missing field `text`"),
        (r#"{"blocks":[{"block_type":"text","text":null}]}"#.to_owned(), "a string is expected"),
        (r#"{"blocks":[{"block_type":"tool_call"}]}"#.to_owned(), "missing field `tool_name`"),
        (r#"{"blocks":[{"block_type":"tool_call","tool_name":"x","tool_kwargs":null}]}"#.to_owned(), "tool_kwargs must be an object or text"),
        (r#"{"blocks":[{"block_type":"thinking","num_tokens":1.5}]}"#.to_owned(), "an integer or null is expected"),
        (r#"{"blocks":[{"block_type":"citable","title":"t","source":"s","content":["x"]}]}"#.to_owned(), "blocks[0]"),
        (r#"{"blocks":[{"block_type":"citable","title":"t","source":"s","content":[{"block_type":"thinking"}]}]}"#.to_owned(), "a citable block holds only"),
        (format!(r#"{{"blocks":[{{{citation},"cited_content":"x"}}]}}"#), "missing field `additional_location_info`"),
        (format!(r#"{{"blocks":[{{{citation},"cited_content":["a","b"],"additional_location_info":{{}}}}]}}"#), "must be one block, not a list of 2"),
        (format!(r#"{{"blocks":[{{{citation},"cited_content":{{"block_type":"document"}},"additional_location_info":{{}}}}]}}"#), "a citation cites only"),
        (format!(r#"{{"blocks":[{{{citation},"cited_content":"x","additional_location_info":{{"a":1.5}}}}]}}"#), "additional_location_info.a must be an integer"),
    ] {
        assert_refused(ChatMessage::from_json(object(&text)), part, &text);
        assert!(serde_json::from_str::<ChatMessage>(&text).is_err(), "{text}");
    }
}

#[test]
fn text_joins_the_text_blocks() {
    let image = || ContentBlock::Image(ImageBlock::default());
    for (message, expected) in [
        (ChatMessage::user("a").with_block(image()).with_block(ContentBlock::text("b")), Some("a\nb")),
        (ChatMessage::user(""), Some("")),
        (ChatMessage::default().with_block(image()), None),
        (ChatMessage::default(), None),
    ] {
        assert_eq!(message.text().as_deref(), expected);
    }
}

#[test]
fn tool_calls_are_found_in_blocks_and_extras() {
    let call = |id: Option<&str>| {
        ContentBlock::ToolCall(ToolCallBlock {
            tool_call_id: id.map(str::to_owned),
            tool_name: "f".to_owned(),
            tool_kwargs: ToolKwargs::default(),
        })
    };
    let extras = json!([{"id": "a"}, {"id": "b"}, {"toolUseId": "c"}, {"name": "no id"}, 5]);
    let message = ChatMessage::assistant("").with_block(call(Some("a"))).with_block(call(None));
    assert_eq!(message.tool_call_ids(), ["a"]);
    assert!(message.is_tool_call());
    let message = message.with_kwarg("tool_calls", extras);
    assert_eq!(message.tool_call_ids(), ["a", "b", "c"]);

    for (kwarg, value, expected) in [
        ("tool_calls", json!([]), false),
        ("tool_calls", json!(null), false),
        ("tool_calls", json!([{}]), true),
        ("function_call", json!({"name": "f"}), true),
        ("function_call", json!(null), false),
        ("other", json!([1]), false),
    ] {
        assert_eq!(ChatMessage::assistant("").with_kwarg(kwarg, value).is_tool_call(), expected, "{kwarg}");
    }
    let answer = ChatMessage::tool("4").with_tool_call_id("a");
    assert_eq!(
        (answer.tool_call_id(), answer.is_tool_result(), answer.is_tool_call()),
        (Some("a"), true, false)
    );
    assert!(!ChatMessage::user("").is_tool_result());
}

proptest! {
    #[test]
    fn random_messages_come_back_equal(message in common::message()) {
        let text = serde_json::to_string(&message).unwrap();
        prop_assert_eq!(&Value::Object(message.to_json()).to_string(), &text);
        prop_assert_eq!(&ChatMessage::from_json(message.to_json()).unwrap(), &message);
        prop_assert_eq!(&serde_json::from_str::<ChatMessage>(&text).unwrap(), &message);
    }

    #[test]
    fn damaged_messages_never_panic(
        json in damaged(common::message().prop_map(|message| Value::Object(message.to_json()))),
        other in common::object(),
    ) {
        if let Value::Object(json) = json
            && let Ok(message) = ChatMessage::from_json(json)
        {
            let _ = (message.text(), message.is_tool_call(), message.tool_call_ids());
            prop_assert_eq!(&ChatMessage::from_json(message.to_json()).unwrap(), &message);
        }
        let _ = ChatMessage::from_json(other);
    }
}
