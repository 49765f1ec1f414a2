//! The memory store through the role traits: a first look; the conformance suite says the rest.

use futures::TryStreamExt;
use store_core::{
    AddMode, AddOptions, Backend, ChatMessage, DocQuery, MemoryBackend, Metric, Node, Order, Selector,
    VectorConfig, VectorQuery, VectorStoreExt,
};

#[tokio::test]
async fn documents_move_between_ref_docs() {
    let docs = MemoryBackend::new().docs().unwrap();
    let node =
        |id: &str, source: &str| Node::text(id).with_id(id).with_source(source).with_metadata("from", source);
    docs.add(vec![node("n1", "a"), node("n2", "a")], AddOptions::default()).await.unwrap();
    docs.add(vec![node("n1", "b")], AddOptions::default()).await.unwrap();
    let ids = |info: Option<store_core::RefDocInfo>| {
        info.unwrap().node_ids.into_iter().map(store_core::NodeId::into_string)
    };
    assert!(ids(docs.ref_doc(&"a".into()).await.unwrap()).eq(["n2"]));
    assert!(ids(docs.ref_doc(&"b".into()).await.unwrap()).eq(["n1"]));
    assert_eq!(docs.delete_ref_doc(&"b".into()).await.unwrap().unwrap().nodes, 1);
    assert!(docs.ref_doc(&"b".into()).await.unwrap().is_none());
    let left: Vec<Node> = docs.scan(None).try_collect().await.unwrap();
    assert_eq!(left, [node("n2", "a")]);
    let query =
        DocQuery::new().with_sort("from", Order::Descending).with_limit(1).with_projection(["metadata.from"]);
    let page = docs.find(&query).await.unwrap();
    assert_eq!(
        page.items[0]["__data__"],
        serde_json::json!({"id_": "n2", "metadata": {"from": "a"}, "class_name": "TextNode"})
    );
}

#[tokio::test]
async fn a_chat_of_many_segments_keeps_its_order() {
    let chat = MemoryBackend::new().chat().unwrap();
    let mut model: Vec<ChatMessage> = Vec::new();
    for round in 0..40 {
        let batch: Vec<_> = (0..round % 17).map(|n| ChatMessage::user(format!("{round}-{n}"))).collect();
        model.extend(batch.clone());
        chat.append("s", batch).await.unwrap();
    }
    for (step, index) in [0, 5, -1, 63, 64, 65, 100, -70, 1000, -1000].into_iter().enumerate() {
        let message = ChatMessage::user(format!("new {step}"));
        chat.insert_at("s", index, message.clone()).await.unwrap();
        let len = i64::try_from(model.len()).unwrap();
        let at = if index < 0 { (len + index).max(0) } else { index.min(len) };
        model.insert(usize::try_from(at).unwrap(), message);
        let removed = chat.remove_at("s", index).await.unwrap();
        let len = i64::try_from(model.len()).unwrap();
        let at = if index < 0 { len + index } else { index };
        let expected = (0..len).contains(&at).then(|| model.remove(usize::try_from(at).unwrap()));
        assert_eq!(removed, expected, "{index}");
        assert_eq!(chat.messages("s", None).await.unwrap(), model);
    }
    assert_eq!(chat.messages("s", Some(150)).await.unwrap(), model[model.len() - 150..]);
    assert_eq!(chat.pop("s").await.unwrap(), model.pop());
    chat.replace("s", model[..200].to_vec()).await.unwrap();
    assert_eq!(chat.messages("s", None).await.unwrap(), model[..200]);
    assert!(chat.delete("s").await.unwrap());
    assert!(chat.messages("s", None).await.unwrap().is_empty());
}

#[tokio::test]
async fn vectors_are_found_by_meaning_words_and_both() {
    let vectors = MemoryBackend::new().vectors().unwrap();
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    let node = |id: &str, text: &str, vector: [f32; 2]| Node::text(text).with_id(id).with_embedding(vector);
    let nodes = vec![
        node("a", "red fox", [1.0, 0.0]),
        node("b", "blue fox", [0.0, 1.0]),
        node("c", "whale", [1.0, 1.0]),
    ];
    vectors.upsert(nodes, AddMode::Overwrite).await.unwrap();
    let ids = |found: Vec<store_core::ScoredNode>| {
        found.into_iter().map(|found| found.node.id.into_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(vectors.query(&VectorQuery::dense(vec![1.0, 0.1], 2)).await.unwrap()), ["a", "c"]);
    assert_eq!(ids(vectors.query(&VectorQuery::text("Fox", 9)).await.unwrap()), ["a", "b"]);
    assert_eq!(ids(vectors.query(&VectorQuery::hybrid(vec![0.0, 1.0], "blue", 1)).await.unwrap()), ["b"]);
    assert_eq!(vectors.delete(&Selector::ids(["a", "zzz"])).await.unwrap(), 1);
    assert_eq!(vectors.count(&Selector::all()).await.unwrap(), 2);
    assert!(vectors.delete(&Selector::all()).await.is_err());
}
