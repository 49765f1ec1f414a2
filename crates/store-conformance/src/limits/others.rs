//! The other roles with much to do.

use serde_json::{Value, json};
use store_core::{
    AddOptions, AddReport, ChatMessage, DocStoreExt, ErrorKind, GetOptions, IndexStruct, Node, NodeId,
    Selector, VectorConfig, VectorQuery,
};

use crate::case::{Need, cases};
use crate::check::{CaseResult, Failure, refused, same, same_items};
use crate::data::{Random, all, object};
use crate::harness::Env;
use crate::nodes::{child, ids_of};
use crate::vectors::{configure, put, vector};

cases! { "limits", Env:
    docs_great_batch [Need::Docs],
    docs_long_texts [Need::Docs],
    docs_long_ids [Need::Docs],
    index_great_struct [Need::Index],
    chat_great_history [Need::Chat, Need::GreatChats],
    chat_great_batches [Need::Chat],
    vectors_great_batch [Need::Vectors],
    vectors_great_nodes [Need::Vectors],
    vectors_many_queries [Need::Vectors],
    vectors_many_dimensions [Need::Vectors],
    vectors_dimensions_at_the_limit_and_one_more [Need::MaxDimensions],
}

/// Two thousand nodes of one source document in one call, read, and deleted with it.
async fn docs_great_batch(env: &Env) -> CaseResult {
    let store = env.docs()?;
    let id = |n: usize| format!("node {n:04}");
    let nodes: Vec<Node> = (0..2_000).map(|n| child(&id(n), "doc").with_metadata("n", n)).collect();
    same("report", &store.add(nodes.clone(), AddOptions::default()).await?, &AddReport::new(2_000, 0))?;
    let ids: Vec<NodeId> = (0..2_000).map(|n| id(n).into()).collect();
    let expected: Vec<Option<&Node>> = nodes.iter().map(Some).collect();
    same("read back", &store.get_many(&ids).await?, &expected)?;
    let hashes: Vec<_> = nodes.iter().map(|node| Some(node.hash())).collect();
    same("hashes", &store.hashes(&ids).await?, &hashes)?;
    let listed = store.ref_doc(&"doc".into()).await?.unwrap_or_default().node_ids;
    same("the source document's nodes", &listed, &ids)?;
    same("deleted singly", &store.delete_many(ids.get(..500).unwrap_or_default()).await?, &500_usize)?;
    let deleted = store.delete_ref_doc(&"doc".into()).await?.map(|deleted| deleted.nodes);
    same("deleted with it", &deleted, &Some(1_500_usize))?;
    same("left", &all(store.scan(None)).await?, &[(); 0])
}

/// Texts of 200 KB, twenty in one call.
async fn docs_long_texts(env: &Env) -> CaseResult {
    let store = env.docs()?;
    let nodes: Vec<Node> = (0..20)
        .map(|n| Node::text(format!("{n} {}", "aß語😀".repeat(20_000))).with_id(format!("n{n}")))
        .collect();
    store.add(nodes.clone(), AddOptions::default()).await?;
    for node in &nodes {
        same(format!("{}", node.id), &store.get(&node.id).await?, &Some(node))?;
    }
    Ok(())
}

/// Ids of 250 bytes that differ at their end, in every role that has ids.
async fn docs_long_ids(env: &Env) -> CaseResult {
    let store = env.docs()?;
    let id = |n: usize| format!("{}{n:02}", "é".repeat(124));
    let nodes: Vec<Node> = (0..30).map(|n| child(&id(n), &id(n / 10))).collect();
    store.add(nodes.clone(), AddOptions::default()).await?;
    same_items("nodes", &all(store.scan(None)).await?, &nodes)?;
    let listed = store.ref_doc(&id(1).into()).await?.unwrap_or_default().node_ids;
    same("nodes of the second source", &listed, &(10..20).map(id).collect::<Vec<_>>())
}

/// A struct with three thousand entries.
async fn index_great_struct(env: &Env) -> CaseResult {
    let store = env.backend().index()?;
    let nodes: serde_json::Map<String, Value> =
        (0..3_000).map(|n| (format!("vector {n}"), json!(format!("node {}", n * 7)))).collect();
    let data = object(
        json!({"index_id": "i", "summary": null, "nodes_dict": nodes, "doc_id_dict": {}, "embeddings_dict": {}}),
    );
    let index = IndexStruct::new("vector_store", data)?;
    store.put(index.clone()).await?;
    same("get", &store.get("i").await?, &Some(&index))?;
    same("scan", &all(store.scan(None)).await?, &[index])
}

fn long_message(n: usize) -> ChatMessage {
    ChatMessage::assistant(format!("{n} {}", "word ".repeat(4_000)))
}

/// A history of 1.6 MB, more than an item of any server, appended message by message.
async fn chat_great_history(env: &Env) -> CaseResult {
    let store = env.chat()?;
    for n in 0..80 {
        store.append("k", vec![long_message(n)]).await?;
    }
    let expected: Vec<ChatMessage> = (0..80).map(long_message).collect();
    same("messages", &store.messages("k", None).await?, &expected)?;
    same("the last", &store.messages("k", Some(1)).await?, &[long_message(79)])?;
    same("in the middle", &store.remove_at("k", 40).await?, &Some(long_message(40)))?;
    same("delete", &store.delete("k").await?, &true)?;
    same("messages afterwards", &store.messages("k", None).await?, &[(); 0])
}

/// Three hundred messages in one call, and a message of 200 KB.
async fn chat_great_batches(env: &Env) -> CaseResult {
    let store = env.chat()?;
    let messages = |from: usize, count: usize| {
        (from..from + count).map(|n| ChatMessage::user(format!("{n}"))).collect::<Vec<_>>()
    };
    store.append("k", messages(0, 300)).await?;
    same("appended", &store.messages("k", None).await?, &messages(0, 300))?;
    store.replace("k", messages(300, 350)).await?;
    same("replaced", &store.messages("k", None).await?, &messages(300, 350))?;
    let long = ChatMessage::user("aß語😀".repeat(20_000));
    store.append("k", vec![long.clone()]).await?;
    same("popped", &store.pop("k").await?, &Some(long))
}

/// Fifteen hundred nodes in one call; read and deleted by as many ids.
async fn vectors_great_batch(env: &Env) -> CaseResult {
    let store = env.vectors()?;
    configure(&*store, 32).await?;
    let mut random = Random(201);
    let nodes: Vec<Node> = (0..1_500).map(|n| vector(&format!("n{n:04}"), &random.embedding(32))).collect();
    let report = store.upsert(nodes.clone(), store_core::AddMode::Overwrite).await?;
    same("report", &report, &AddReport::new(1_500, 0))?;
    let ids = ids_of(&nodes);
    let page = store.get(&Selector::ids(ids.clone()), GetOptions::default().with_embeddings(true)).await?;
    same_items("read by ids", &page.items, &nodes)?;
    let most = ids.iter().take(1_400).map(String::as_str);
    same("deleted by ids", &store.delete(&Selector::ids(most)).await?, &1_400_usize)?;
    same("left", &store.count(&Selector::all()).await?, &100_usize)
}

/// Texts of 200 KB and metadata of two hundred entries.
async fn vectors_great_nodes(env: &Env) -> CaseResult {
    let store = env.vectors()?;
    configure(&*store, 2).await?;
    let nodes: Vec<Node> = (0..10)
        .map(|n| {
            let mut node = Node::text(format!("{n} {}", "word ".repeat(40_000)));
            node.metadata =
                (0..200).map(|entry| (format!("key {entry}"), json!({"n": n, "entry": [entry]}))).collect();
            node.with_id(format!("n{n}")).with_embedding([1.0, 0.5])
        })
        .collect();
    put(&*store, nodes.clone()).await?;
    let page = store.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await?;
    same_items("all", &page.items, &nodes)
}

/// Three hundred queries in one call.
async fn vectors_many_queries(env: &Env) -> CaseResult {
    let store = env.vectors()?;
    let metric = configure(&*store, 6).await?;
    let nodes = crate::vectors::cloud(202, 200, 6);
    put(&*store, nodes.clone()).await?;
    let mut random = Random(203);
    let queries: Vec<VectorQuery> =
        (0..300).map(|n| VectorQuery::dense(random.embedding(6), n % 12 + 1)).collect();
    let answers = store.query_many(&queries).await?;
    same("answers", &answers.len(), &300_usize)?;
    for (query, answer) in queries.iter().zip(&answers) {
        if let store_core::QueryKind::Dense { embedding } = &query.kind {
            crate::vectors::is_ranking("one of 300", metric, embedding, &nodes, query.top_k, answer)?;
        }
    }
    Ok(())
}

/// Embeddings of 3,072 values, as the greatest common models give them (as many as the backend takes, if fewer).
async fn vectors_many_dimensions(env: &Env) -> CaseResult {
    let store = env.vectors()?;
    let dimensions = store.capabilities().max_dimensions.unwrap_or(3_072).min(3_072);
    let metric = configure(&*store, dimensions).await?;
    let nodes = crate::vectors::cloud(204, 50, dimensions);
    put(&*store, nodes.clone()).await?;
    let query = Random(205).embedding(dimensions);
    let found = store.query_many(&[VectorQuery::dense(query.clone(), 10)]).await?.concat();
    crate::vectors::is_ranking("the nearest", metric, &query, &nodes, 10, &found)?;
    let page = store.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await?;
    same_items("all", &page.items, &nodes)
}

/// The stated greatest number of dimensions works, one more is refused before anything is created.
async fn vectors_dimensions_at_the_limit_and_one_more(env: &Env) -> CaseResult {
    let store = env.vectors()?;
    let offers = store.capabilities();
    let limit = offers.max_dimensions.ok_or_else(|| Failure::new("no limit is stated"))?;
    let metric = offers.metrics.first().copied().unwrap_or_default();
    let kinds = [ErrorKind::InvalidInput, ErrorKind::LimitExceeded, ErrorKind::Config];
    refused("one more", store.configure(VectorConfig::new(limit + 1, metric)).await, &kinds)?;
    same("configured", &store.config().await?.is_some(), &false)?;
    store.configure(VectorConfig::new(limit, metric)).await?;
    put(&*store, vec![vector("a", &vec![0.5; limit])]).await?;
    same("count", &store.count(&Selector::all()).await?, &1_usize)
}
