//! Nodes as JSON: samples written by llama-index-core 0.14.25, and random ones.

use proptest::prelude::*;
use serde_json::{Value, json};
use store_core::{
    Document, ImageContent, IndexContent, MediaContent, MediaResource, MetadataMode, Node, NodeContent,
    Related, RelatedNode, Relationship, TextContent, python,
};

use super::{assert_refused, common, damaged, object, text_of};

const TEXT: &str = r#"{"__data__": {"id_": "n-1", "embedding": [1.0, 0.5], "metadata": {"a": 1, "b": 2.0}, "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": ["a"], "relationships": {"1": {"node_id": "doc-1", "node_type": "4", "metadata": {}, "hash": "h", "class_name": "RelatedNodeInfo"}, "5": [{"node_id": "c", "node_type": null, "metadata": {"x": 1.0}, "hash": null, "class_name": "RelatedNodeInfo"}]}, "metadata_template": "{key}: {value}", "metadata_separator": "\n", "text": "Caf\u00e9", "mimetype": "text/plain", "start_char_idx": 0, "end_char_idx": 4, "text_template": "{metadata_str}\n\n{content}", "class_name": "TextNode"}, "__type__": "1"}"#;
const IMAGE: &str = r#"{"__data__": {"id_": "i", "embedding": null, "metadata": {}, "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {}, "metadata_template": "{key}: {value}", "metadata_separator": "\n", "text": "t", "mimetype": "text/plain", "start_char_idx": null, "end_char_idx": null, "text_template": "{metadata_str}\n\n{content}", "image": "aGVsbG8=", "image_path": "a/b.png", "image_url": "https://h", "image_mimetype": "image/png", "text_embedding": [1.0], "class_name": "ImageNode"}, "__type__": "2"}"#;
const INDEX: &str = r#"{"__data__": {"id_": "x", "embedding": null, "metadata": {}, "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {}, "metadata_template": "{key}: {value}", "metadata_separator": "\n", "text": "t", "mimetype": "text/plain", "start_char_idx": null, "end_char_idx": null, "text_template": "{metadata_str}\n\n{content}", "index_id": "ix", "obj": {"__data__": {"id_": "in", "embedding": null, "metadata": {}, "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {}, "metadata_template": "{key}: {value}", "metadata_separator": "\n", "text": "inner", "mimetype": "text/plain", "start_char_idx": null, "end_char_idx": null, "text_template": "{metadata_str}\n\n{content}", "class_name": "TextNode"}, "__type__": "1"}, "class_name": "IndexNode"}, "__type__": "3"}"#;
const MULTIMODAL: &str = r#"{"__data__": {"id_": "m", "embedding": null, "metadata": {}, "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {}, "metadata_template": "{key}: {value}", "metadata_separator": "\n", "text_resource": {"embeddings": {"sparse": [1.0], "dense": [2.0]}, "text": "hi", "path": null, "url": null, "mimetype": null}, "image_resource": {"embeddings": null, "text": null, "path": "a/b.png", "url": null, "mimetype": "image/png"}, "audio_resource": null, "video_resource": {"embeddings": null, "text": null, "path": null, "url": "https://h/", "mimetype": null}, "text_template": "{metadata_str}\n\n{content}", "class_name": "Node"}, "__type__": "5"}"#;
const DOCUMENT: &str = r#"{"__data__": {"id_": "d", "embedding": null, "metadata": {}, "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {}, "metadata_template": "{key}: {value}", "metadata_separator": "\n", "text_resource": {"embeddings": null, "text": "hello", "path": null, "url": null, "mimetype": null}, "image_resource": null, "audio_resource": null, "video_resource": null, "text_template": "{metadata_str}\n\n{content}", "class_name": "Document", "text": "hello"}, "__type__": "4"}"#;
const EMPTY_DOCUMENT: &str = r#"{"__data__": {"id_": "d0", "embedding": null, "metadata": {}, "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {}, "metadata_template": "{key}: {value}", "metadata_separator": "\n", "text_resource": null, "image_resource": null, "audio_resource": null, "video_resource": null, "text_template": "{metadata_str}\n\n{content}", "class_name": "Document", "text": ""}, "__type__": "4"}"#;
const IMAGE_DOCUMENT: &str = r#"{"__data__": {"id_": "id", "embedding": null, "metadata": {}, "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {}, "metadata_template": "{key}: {value}", "metadata_separator": "\n", "text_resource": {"embeddings": null, "text": "t", "path": null, "url": null, "mimetype": null}, "image_resource": {"embeddings": null, "text": null, "path": null, "url": null, "mimetype": "image/png"}, "audio_resource": null, "video_resource": null, "text_template": "{metadata_str}\n\n{content}", "class_name": "ImageDocument", "text": "t"}, "__type__": "4"}"#;

/// Each class as Python writes it, built here, with the hash Python gives it.
fn samples() -> [(&'static str, Node, &'static str); 7] {
    let source = RelatedNode {
        node_type: Some("4".to_owned()),
        hash: Some("h".to_owned()),
        ..RelatedNode::new("doc-1")
    };
    let mut child = RelatedNode::new("c");
    child.metadata.insert("x".to_owned(), json!(1.0));
    let mut text = Node::text("Café")
        .with_id("n-1")
        .with_metadata("a", 1)
        .with_metadata("b", 2.0)
        .with_embedding([1.0, 0.5])
        .with_relationship(Relationship::Source, Related::One(source))
        .with_relationship(Relationship::Child, Related::Many(vec![child]));
    text.excluded_llm_metadata_keys.push("a".to_owned());
    if let NodeContent::Text(content) = &mut text.content {
        (content.start_char_idx, content.end_char_idx) = (Some(0), Some(4));
    }
    let image = Node::image(ImageContent {
        text: TextContent::new("t"),
        image: Some("aGVsbG8=".to_owned()),
        image_path: Some("a/b.png".to_owned()),
        image_url: Some("https://h".to_owned()),
        image_mimetype: Some("image/png".to_owned()),
        text_embedding: Some(vec![1.0]),
    })
    .with_id("i");
    let index = Node::new(NodeContent::Index(Box::new(IndexContent {
        text: TextContent::new("t"),
        index_id: "ix".to_owned(),
        obj: Value::Object(Node::text("inner").with_id("in").to_json()),
    })))
    .with_id("x");
    let mut hi = MediaResource::from_text("hi");
    hi.embeddings = Some(vec![("sparse".to_owned(), vec![1.0]), ("dense".to_owned(), vec![2.0])]);
    let multimodal = Node::multimodal(MediaContent {
        text: Some(hi),
        image: Some(MediaResource::from_path("a/b.png")),
        audio: None,
        video: Some(MediaResource::from_url("https://h/")),
    })
    .with_id("m");
    let image_document = Node::image_document(MediaContent {
        text: Some(MediaResource::from_text("t")),
        image: Some(MediaResource::default().with_mimetype("image/png")),
        ..MediaContent::default()
    })
    .with_id("id");
    [
        (TEXT, text, "8ceb9ce1971682c119eb3f414bffe30f07989c87fa16c64d2714f0f072a20b68"),
        (IMAGE, image, "6f1f41ad65c5b2b61713965208dcc6142393ef41b7f3b30ddea5c79f4b5d23ae"),
        (INDEX, index, "8f46cd1db90626695891ae2728a674465f47372a0927689d0de393deb75e6982"),
        (MULTIMODAL, multimodal, "6b0fa63b5ce907591fd40376ab1c5e71fd45c98e2a7e8515ec112b82660ebb84"),
        (
            DOCUMENT,
            Node::document("hello").with_id("d"),
            "d7914fe546b684688bb95f4f888a92dfc680603a75f23eb823658031fff766d9",
        ),
        (
            EMPTY_DOCUMENT,
            Node::document("").with_id("d0"),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (IMAGE_DOCUMENT, image_document, "43984bbc42c66d5870fda5e7cbce9b9361d30f7dd3360b9eeb2bd6d0c5b641e8"),
    ]
}

#[test]
fn each_class_reads_and_writes_as_in_python() {
    for (text, node, hash) in samples() {
        let json = object(text);
        assert_eq!(python::python_json(&Value::Object(node.to_json())), text);
        assert_eq!(serde_json::to_string(&node).unwrap(), Value::Object(json.clone()).to_string());
        assert_eq!(Node::from_json(json).unwrap(), node);
        assert_eq!(serde_json::from_str::<Node>(text).unwrap(), node);
        assert_eq!(node.hash(), hash, "{text}");
    }
}

#[test]
fn documents_are_told_from_other_nodes() {
    for (text, node, _) in samples() {
        let is_document = text.contains(r#""__type__": "4""#);
        assert_eq!(Document::from_json(object(text)).is_ok(), is_document, "{text}");
        assert_eq!(serde_json::from_str::<Document>(text).is_ok(), is_document, "{text}");
        if let Ok(document) = Document::try_from(node.clone()) {
            assert_eq!(serde_json::to_string(&document).unwrap(), serde_json::to_string(&node).unwrap());
            assert_eq!(Node::from(document), node);
        }
    }
}

/// Members that are read in another way than they stand there, and what Python makes of them.
#[test]
fn reading_normalises() {
    let base = |class: &str, more: &str| {
        format!(r#"{{"__data__":{{"id_":"a"{more}}},"__type__":"{class}","other":1}}"#)
    };
    for (class, more, member, expected) in [
        ("1", "", "text", r#""""#),
        ("1", r#","unknown":{"x":1}"#, "unknown", "null"),
        ("1", r#","embedding":[1,-0,2.5]"#, "embedding", "[1.0,-0.0,2.5]"),
        ("1", r#","start_char_idx":4.0"#, "start_char_idx", "4"),
        ("1", r#","text":"a","text_resource":{"text":"b"}"#, "text", r#""b""#),
        ("2", r#","image_path":"x/y.gif""#, "image_mimetype", r#""image/gif""#),
        ("2", r#","image_path":"x/y.gif","image_mimetype":"""#, "image_mimetype", r#""image/gif""#),
        ("2", r#","image_path":"x/y","image_mimetype":"""#, "image_mimetype", r#""""#),
        (
            "2",
            r#","image_path":"x","image_resource":{"path":"y.bmp","url":"u"}"#,
            "image_mimetype",
            r#""image/bmp""#,
        ),
        ("2", r#","image_resource":{"path":"y.bmp","url":"u"}"#, "image_url", r#""u""#),
        ("3", r#","index_id":"i","obj":[1,"é"]"#, "obj", r#""[1, \"\\u00e9\"]""#),
        ("3", r#","index_id":"i","obj":"s""#, "obj", r#""s""#),
        ("3", r#","index_id":"i","obj":{"a":1}"#, "obj", r#"{"a":1}"#),
        (
            "5",
            r#","image_resource":{"path":"a.png"}"#,
            "image_resource",
            r#"{"embeddings":null,"text":null,"path":"a.png","url":null,"mimetype":"image/png"}"#,
        ),
        ("5", r#","text":"ignored""#, "text_resource", "null"),
        ("4", r#","class_name":"Document","text":null"#, "text", r#""""#),
        ("4", r#","text":"a","text_resource":{"text":"b"}"#, "text", r#""b""#),
        ("4", r#","text":"a","text_resource":{"text":null}"#, "text", r#""""#),
        ("4", r#","doc_id":"z""#, "id_", r#""a""#),
        (
            "1",
            r#","relationships":{"2":{"node_id":"b","more":1},"1":[]}"#,
            "relationships",
            r#"{"2":{"node_id":"b","node_type":null,"metadata":{},"hash":null,"class_name":"RelatedNodeInfo"},"1":[]}"#,
        ),
    ] {
        let text = base(class, more);
        let node = Node::from_json(object(&text)).unwrap();
        let found = node.to_json()["__data__"].get(member).cloned().unwrap_or_default();
        assert_eq!(found.to_string(), expected, "{member} of {text}");
    }
}

#[test]
fn an_absent_id_is_random_and_doc_id_names_a_document() {
    let read = |text: &str| Node::from_json(object(text)).unwrap();
    let (a, b) = (read(r#"{"__data__":{},"__type__":"1"}"#), read(r#"{"__data__":{},"__type__":"1"}"#));
    assert_eq!(a.id.as_str().len(), 36);
    assert_ne!(a.id, b.id);
    assert_eq!(read(r#"{"__data__":{"doc_id":"d"},"__type__":"4"}"#).id.as_str(), "d");
}

#[test]
fn what_python_refuses_is_refused_with_its_name() {
    for (text, part) in [
        (r"{}", r#""__type__" is missing"#),
        (r#"{"__type__":"1"}"#, r#""__data__" is missing"#),
        (r#"{"__type__":1,"__data__":{}}"#, r#""__type__" must be text, not a number"#),
        (r#"{"__type__":"6","__data__":{}}"#, r#"unknown node type "6""#),
        (r#"{"__type__":"TEXT","__data__":{}}"#, r#"unknown node type "TEXT""#),
        (r#"{"__type__":"1","__data__":[]}"#, r#""__data__" must be an object, not a list"#),
        (r#"{"__type__":"1","__data__":{"id_":5}}"#, r#""id_" must be text, not a number"#),
        (r#"{"__type__":"1","__data__":{"id_":null}}"#, r#""id_" must be text, not null"#),
        (r#"{"__type__":"1","__data__":{"id_":"a","text":null}}"#, r#""a": the member "text" must be text"#),
        (r#"{"__type__":"1","__data__":{"metadata":null}}"#, r#""metadata" must be an object"#),
        (
            r#"{"__type__":"1","__data__":{"embedding":[1,null]}}"#,
            r#""embedding[1]" must be a number, not null"#,
        ),
        (
            r#"{"__type__":"1","__data__":{"embedding":"x"}}"#,
            r#""embedding" must be a list of numbers or null"#,
        ),
        (r#"{"__type__":"1","__data__":{"start_char_idx":1.5}}"#, r#""start_char_idx" must be an integer"#),
        (r#"{"__type__":"1","__data__":{"start_char_idx":1e30}}"#, r#""start_char_idx" must be an integer"#),
        (
            r#"{"__type__":"1","__data__":{"excluded_llm_metadata_keys":[1]}}"#,
            r#""excluded_llm_metadata_keys" must be text"#,
        ),
        (
            r#"{"__type__":"1","__data__":{"relationships":{"SOURCE":{}}}}"#,
            r#"unknown relationship "SOURCE""#,
        ),
        (r#"{"__type__":"1","__data__":{"relationships":{"6":[]}}}"#, r#"unknown relationship "6""#),
        (
            r#"{"__type__":"1","__data__":{"relationships":{"1":{}}}}"#,
            r#"in "relationships.1": the member "node_id" is missing"#,
        ),
        (
            r#"{"__type__":"1","__data__":{"relationships":{"5":["x"]}}}"#,
            r#""relationships.5" must be an object, not text"#,
        ),
        (r#"{"__type__":"3","__data__":{}}"#, r#""index_id" is missing"#),
        (r#"{"__type__":"4","__data__":{"text_resource":"x"}}"#, r#""text_resource" must be an object"#),
        (
            r#"{"__type__":"5","__data__":{"text_resource":{"embeddings":{"dense":[true]}}}}"#,
            r#""dense[0]" must be a number"#,
        ),
    ] {
        assert_refused(Node::from_json(object(text)), part, text);
        assert!(serde_json::from_str::<Node>(text).unwrap_err().to_string().contains(part), "{text}");
    }
}

#[test]
fn relationships_keep_their_order_and_shape() {
    let one = || Related::One(RelatedNode::new("x"));
    let mut node = Node::text("").with_relationship(Relationship::Next, one()).with_source("d");
    node.relationships.set(Relationship::Next, Related::Many(vec![RelatedNode::new("y")]));
    let keys: Vec<_> = node.relationships.iter().map(|(kind, _)| kind.as_key()).collect();
    assert_eq!(keys, ["3", "1"]);
    assert!(node.relationships.next().is_none());
    assert_eq!(node.ref_doc_id().unwrap().as_str(), "d");
    assert_eq!(node.relationships.source().unwrap().node_type.as_deref(), Some("4"));
    assert_eq!(node.relationships.remove(Relationship::Next).unwrap().as_slice().len(), 1);
    assert!(node.relationships.children().is_empty());
    node.relationships.set(Relationship::Source, Related::Many(Vec::new()));
    assert_eq!(node.ref_doc_id(), None);
    let link = RelatedNode::from(&Node::document("hello").with_id("d").with_metadata("a", 1));
    assert_eq!((link.node_id.as_str(), link.node_type.as_deref()), ("d", Some("4")));
    assert_eq!(link.hash.as_deref(), Some(&*Node::document("hello").with_metadata("a", 1).hash()));
}

#[test]
fn embeddings_pass_through_f64_exactly() {
    let values = [0.1_f32, -0.0, f32::MIN_POSITIVE, f32::MAX, 1.0 / 3.0];
    let node = Node::text("").with_embedding(values);
    let read = Node::from_json(node.to_json()).unwrap();
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(read.embedding_f32().unwrap()), bits(values.to_vec()));
    assert_eq!(Node::text("").embedding_f32(), None);
}

#[test]
fn whole_floats_stay_floats_in_text() {
    let node = Node::text("").with_embedding([1.0]).with_metadata("f", 2.0).with_metadata("i", 2);
    let text = serde_json::to_string(&node).unwrap();
    assert!(text.contains(r#""embedding":[1.0],"metadata":{"f":2.0,"i":2}"#), "{text}");
}

proptest! {
    #[test]
    fn random_nodes_come_back_equal(node in common::node()) {
        let json = node.to_json();
        let text = serde_json::to_string(&node).unwrap();
        prop_assert_eq!(&text_of(json.clone()), &text);
        prop_assert_eq!(&Node::from_json(json).unwrap(), &node);
        prop_assert_eq!(&serde_json::from_str::<Node>(&text).unwrap(), &node);
        let Value::Object(json) = python::parse_json(&python::dumps(&node).unwrap()).unwrap() else { panic!() };
        prop_assert_eq!(&Node::from_json(json).unwrap(), &node);
    }

    #[test]
    fn damaged_nodes_never_panic(json in damaged(common::node().prop_map(|node| Value::Object(node.to_json())))) {
        let Value::Object(json) = json else { return Ok(()) };
        if let Ok(node) = Node::from_json(json) {
            let _ = (node.hash(), node.content_with(MetadataMode::All), node.to_vector_metadata(true));
            prop_assert_eq!(&Node::from_json(node.to_json()).unwrap(), &node);
        }
    }

    #[test]
    fn any_data_never_panics(data in common::object(), class in "[0-6]") {
        let json = [("__data__", Value::Object(data)), ("__type__", class.into())];
        let _ = Node::from_json(json.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    }
}
