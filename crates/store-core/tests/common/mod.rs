//! Random nodes and messages for the tests.

#[path = "../../src/test_support.rs"]
mod values;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use store_core::{
    AudioBlock, CacheControl, ChatMessage, CitableBlock, CitationBlock, ContentBlock, DocumentBlock,
    ImageBlock, ImageContent, IndexContent, JsonObject, MediaContent, MediaResource, MessageRole, Node,
    NodeContent, Related, RelatedNode, Relationship, TextContent, ThinkingBlock, ToolCallBlock, ToolKwargs,
    VideoBlock,
};
pub(crate) use values::{any_text, json_value};

pub(crate) fn object() -> BoxedStrategy<JsonObject> {
    vec((any_text(), json_value()), 0..5).prop_map(|members| members.into_iter().collect()).boxed()
}

fn floats() -> BoxedStrategy<Vec<f64>> {
    let float = prop_oneof![
        any::<f64>().prop_filter("JSON holds finite floats only", |float| float.is_finite()),
        select(vec![0.0, -0.0, 1.0, 1e16, 0.1]),
    ];
    vec(float, 0..5).boxed()
}

fn related() -> BoxedStrategy<RelatedNode> {
    let kind = select(vec![None, Some("1"), Some("4"), Some("other")]);
    (any_text(), kind, object(), option::of(any_text()))
        .prop_map(|(id, kind, metadata, hash)| RelatedNode {
            node_type: kind.map(str::to_owned),
            metadata,
            hash,
            ..RelatedNode::new(id)
        })
        .boxed()
}

fn relationships() -> BoxedStrategy<Vec<(Relationship, Related)>> {
    let kind = select(vec![
        Relationship::Source,
        Relationship::Previous,
        Relationship::Next,
        Relationship::Parent,
        Relationship::Child,
    ]);
    let links =
        prop_oneof![4 => related().prop_map(Related::One), 1 => vec(related(), 0..3).prop_map(Related::Many)];
    vec((kind, links), 0..4).boxed()
}

fn text_content() -> BoxedStrategy<TextContent> {
    (any_text(), any_text(), option::of(any::<i64>()), option::of(0..100_i64))
        .prop_map(|(text, mimetype, start_char_idx, end_char_idx)| TextContent {
            text,
            mimetype,
            start_char_idx,
            end_char_idx,
        })
        .boxed()
}

/// A resource that Python keeps as it is: path and URL in Python's own form, and a media type with each path.
fn resource() -> BoxedStrategy<MediaResource> {
    let embeddings = prop_oneof![
        Just(None),
        Just(Some(Vec::new())),
        (floats(), floats()).prop_map(|(a, b)| Some(vec![("sparse".to_owned(), a), ("dense".to_owned(), b)])),
    ];
    let path = select(vec![None, Some("a/b.png"), Some("/x"), Some("."), Some("é.mp3")]);
    let url = select(vec![None, Some("https://example.org/a"), Some("s3://Bucket/k")]);
    (embeddings, option::of(any_text()), path, url)
        .prop_map(|(embeddings, text, path, url)| MediaResource {
            embeddings,
            text,
            mimetype: path.map(|_| "x/y".to_owned()),
            path: path.map(str::to_owned),
            url: url.map(str::to_owned),
        })
        .boxed()
}

fn media() -> BoxedStrategy<Box<MediaContent>> {
    let resource = || option::of(resource());
    (resource(), resource(), resource(), resource())
        .prop_map(|(text, image, audio, video)| Box::new(MediaContent { text, image, audio, video }))
        .boxed()
}

fn content() -> BoxedStrategy<NodeContent> {
    let image = (
        text_content(),
        option::of(any_text()),
        select(vec![None, Some("a.png")]),
        option::of(any_text()),
        option::of(floats()),
    )
        .prop_map(|(text, image, path, image_url, text_embedding)| {
            let image_mimetype = path.map(|_| "image/x".to_owned());
            let image_path = path.map(str::to_owned);
            Box::new(ImageContent { text, image, image_path, image_url, image_mimetype, text_embedding })
        });
    let obj = select(vec![Value::Null, Value::Object(Node::text("inner").with_id("inner").to_json())]);
    let index = (text_content(), any_text(), obj)
        .prop_map(|(text, index_id, obj)| Box::new(IndexContent { text, index_id, obj }));
    prop_oneof![
        text_content().prop_map(NodeContent::Text),
        image.prop_map(NodeContent::Image),
        index.prop_map(NodeContent::Index),
        media().prop_map(NodeContent::Multimodal),
        media().prop_map(NodeContent::Document),
        media().prop_map(NodeContent::ImageDocument),
    ]
    .boxed()
}

/// Any node that neither Python nor a second reading changes.
pub(crate) fn node() -> impl Strategy<Value = Node> {
    let template = select(vec!["{key}: {value}", "{{{value}}}", "\u{1f}", "{key}{key}"]);
    let text_template = select(vec!["{metadata_str}\n\n{content}", " {content} ", "{{}}{metadata_str}"]);
    let head = (any_text(), option::of(floats()), object(), relationships());
    let keys = (vec(any_text(), 0..3), vec(any_text(), 0..3));
    (head, keys, (template, any_text(), text_template), content()).prop_map(
        |(head, keys, templates, content)| {
            let mut node = Node::new(content).with_id(head.0);
            (node.embedding, node.metadata) = (head.1, head.2);
            for (relationship, related) in head.3 {
                node.relationships.set(relationship, related);
            }
            (node.excluded_embed_metadata_keys, node.excluded_llm_metadata_keys) = keys;
            node.excluded_llm_metadata_keys.extend(node.metadata.keys().take(1).cloned());
            node.metadata_template = templates.0.to_owned();
            node.metadata_separator = templates.1;
            node.text_template = templates.2.to_owned();
            node
        },
    )
}

/// Any message that Python does not change: media with its type, documents with a title.
pub(crate) fn message() -> impl Strategy<Value = ChatMessage> {
    let role = select(vec![
        MessageRole::System,
        MessageRole::Developer,
        MessageRole::User,
        MessageRole::Assistant,
        MessageRole::Function,
        MessageRole::Tool,
        MessageRole::Chatbot,
        MessageRole::Model,
    ]);
    (role, object(), vec(block(), 0..4)).prop_map(|(role, mut additional_kwargs, blocks)| {
        // Python opens what stands under this name.
        additional_kwargs.shift_remove("images");
        ChatMessage { role, additional_kwargs, blocks }
    })
}

fn block() -> BoxedStrategy<ContentBlock> {
    let text = || any_text().prop_map(ContentBlock::text);
    let data = select(vec![None, Some("aGVsbG8=".to_owned())]);
    let url = select(vec![None, Some("https://example.org/a".to_owned())]);
    let detail = option::of(any_text());
    let media = (data, url, detail, option::of(0..90_i64)).prop_flat_map(|(data, url, detail, fps)| {
        let path = Some("no/such/file".to_owned());
        let (title, mimetype) = ("t".to_owned(), Some("x/y".to_owned()));
        select(vec![
            ContentBlock::Image(ImageBlock {
                image: data.clone(),
                path: None,
                url: url.clone(),
                image_mimetype: mimetype.clone(),
                detail: detail.clone(),
            }),
            ContentBlock::Audio(AudioBlock {
                audio: data.clone(),
                path: None,
                url: url.clone(),
                format: mimetype.clone(),
            }),
            ContentBlock::Video(VideoBlock {
                video: data.clone(),
                path: None,
                url: url.clone(),
                video_mimetype: mimetype.clone(),
                detail,
                fps,
            }),
            ContentBlock::Document(DocumentBlock { data, path, url, title, document_mimetype: mimetype }),
        ])
    });
    let citable = (any_text(), any_text(), vec(text(), 0..3))
        .prop_map(|(title, source, content)| ContentBlock::Citable(CitableBlock { title, source, content }));
    let citation = (text(), any_text(), any_text(), any::<i64>()).prop_map(|(text, source, title, place)| {
        let additional_location_info = [(source.clone(), place.into())].into_iter().collect();
        let cited_content = Box::new(text);
        ContentBlock::Citation(CitationBlock { cited_content, source, title, additional_location_info })
    });
    let thinking = (option::of(any_text()), option::of(any::<i64>()), object()).prop_map(
        |(content, num_tokens, additional_information)| {
            ContentBlock::Thinking(ThinkingBlock { content, num_tokens, additional_information })
        },
    );
    let arguments = prop_oneof![object().prop_map(ToolKwargs::Object), any_text().prop_map(ToolKwargs::Text)];
    let call =
        (option::of(any_text()), any_text(), arguments).prop_map(|(tool_call_id, tool_name, tool_kwargs)| {
            ContentBlock::ToolCall(ToolCallBlock { tool_call_id, tool_name, tool_kwargs })
        });
    let cache = (any_text(), any_text())
        .prop_map(|(kind, ttl)| ContentBlock::Cache { cache_control: CacheControl { kind, ttl } });
    prop_oneof![text(), media, citable, citation, thinking, call, cache].boxed()
}
