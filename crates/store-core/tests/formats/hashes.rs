//! Content hashes: the worked examples of the format, and their edges.

use serde_json::json;
use store_core::{ImageContent, MediaContent, MediaResource, Node};

fn sha256_of(text: &str) -> String {
    // A text node without metadata hashes its text and `{}`: enough to check the digits of a known input.
    Node::text(text).hash()
}

#[test]
fn a_text_node_hashes_text_and_metadata() {
    assert_eq!(sha256_of("hello"), "7debe8d278fe6c55c45f979269ab268102d75f8d48644d244cd0050dae0846ac");
    let node = with_metadata(Node::text("Zażółć 🚀"));
    assert_eq!(node.hash(), "383dbda9ca848d4c01881f87d9aa619f4dd62c614ec20da7de3232149cdbede5");
    let mut index = Node::index("Zażółć 🚀", "elsewhere");
    index.metadata = node.metadata;
    assert_eq!(index.hash(), "383dbda9ca848d4c01881f87d9aa619f4dd62c614ec20da7de3232149cdbede5");
}

#[test]
fn a_document_hashes_metadata_text_and_resources() {
    let resource = MediaResource::from_text("Zażółć 🚀");
    assert_eq!(resource.hash(), "f9857a5b37071ab33fbcbb680e7e839b7b6710f79d70abe04f37464628803c49");
    let document = with_metadata(Node::document("Zażółć 🚀"));
    assert_eq!(document.hash(), "94e0272269adf187273ebbd783c0c85ca8f47e9f509f9281a4ec557aaad35d14");
    let plain = Node::document("hello");
    assert_eq!(plain.hash(), "d7914fe546b684688bb95f4f888a92dfc680603a75f23eb823658031fff766d9");
}

#[test]
fn a_template_python_can_not_fill_hashes_as_the_default_one() {
    let mut document = with_metadata(Node::document("Zażółć 🚀"));
    document.metadata_template = "{nope}".to_owned();
    assert_eq!(document.hash(), with_metadata(Node::document("Zażółć 🚀")).hash());
}

/// Computed by llama-index-core 0.14.25.
#[test]
fn paths_and_urls_are_hashed_in_pythons_form() {
    for (resource, hash) in [
        (
            MediaResource::from_path("a//b/./c.png"),
            "27f0df7c2db69ad5444ff69e7044202ac621096cbe573a86546f856d157f604d",
        ),
        (
            MediaResource::from_path("//net/x"),
            "3ca6d35c2f3a5f657856610a22b6ee7ae1b40b370296d046d68187a5848baa2c",
        ),
        (
            MediaResource::from_path("///x"),
            "a59e9d42c16a476c3983a54fd75ee11f6865cce3676aa5f42c3b786e9a125917",
        ),
        (MediaResource::from_path(""), "ddfaa51abd60bf520a7ca67d528b2276d342e19ea50b83b339b40d7c1e6cf6d4"),
        (MediaResource::from_path("./"), "ddfaa51abd60bf520a7ca67d528b2276d342e19ea50b83b339b40d7c1e6cf6d4"),
        (MediaResource::from_path("/"), "bc6ef51304f9fc83a251e73863e389dd6a0eb2f948fc0dcdf34cf0c9c4fffd4d"),
        (
            MediaResource::from_path("a/../b"),
            "56b71e1289cff8ad0c02f73cc7c7d4a8c060b999656908232e1fdbca3a8ea928",
        ),
        (
            MediaResource::from_path("dir/"),
            "5b6d699bbc9c5cf07b4d5cf9baf006235bb9706e8c3426726dafbbc8ffd116d3",
        ),
        (
            MediaResource::from_url("https://h"),
            "676d9455c02730a2a8a3dc705097144b2c0e6919a921d3652fa26088a08524b9",
        ),
        (
            MediaResource::from_url("HTTP://Ex.org:80/a b?q=ü"),
            "55b82f870b618d547e44779a40960dd4d7fdc08119c17ec35bcc7d01d2b2a3e7",
        ),
        (
            MediaResource::from_url("s3://Bucket/k"),
            "e09dc3cee6ab75fb7042682b9f78a7e890ac74b3799c43f85fee229afc2a9f4a",
        ),
        (MediaResource::from_text(""), "df5daf004849fc6dcf3f73d1c08be67195125976fa003512bab06ea2c8959d26"),
        (MediaResource::default(), ""),
        (
            MediaResource {
                path: Some("p".to_owned()),
                url: Some("https://h/x".to_owned()),
                ..MediaResource::from_text("t")
            },
            "aa555da8088ecdbfa62bb0f7464cd1aba3f7faa0dc8628bea78299056fea5651",
        ),
    ] {
        assert_eq!(resource.hash(), hash, "{resource:?}");
    }
}

/// Computed by llama-index-core 0.14.25.
#[test]
fn resources_are_hashed_in_pythons_order_and_empty_parts_of_images_as_none() {
    let text = |text: &str| Some(MediaResource::from_text(text));
    let media = MediaContent {
        text: Some(MediaResource::default()),
        image: text("i"),
        audio: text("a"),
        video: text("v"),
    };
    let hash = "2edf3555994655d01a31d9aa9f545d0e8a32893ca401deb38e042d2b82e1ffee";
    assert_eq!(Node::multimodal(media).hash(), hash);
    let image = ImageContent {
        image: Some(String::new()),
        image_path: Some("p".to_owned()),
        ..ImageContent::default()
    };
    let hash = "de7115a4e11d856057963e7ef713e0d156273f34f6c65fa5dbaa685224e8acbd";
    assert_eq!(Node::image(image).hash(), hash);
}

fn with_metadata(node: Node) -> Node {
    node.with_metadata("s", "it's")
        .with_metadata("n", 2.0)
        .with_metadata("ok", true)
        .with_metadata("z", json!(null))
}
