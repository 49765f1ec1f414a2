//! Writing nodes, and getting them back as they were.

use serde_json::json;
use store_core::{
    AddMode, AddReport, ErrorKind, GetOptions, Metric, Node, NodeId, QueryKindName, Selector, VectorConfig,
    VectorQuery, VectorStore,
};

use super::{configure, put, query_ids, vector};
use crate::case::{Need, cases};
use crate::check::{CaseResult, failed_exactly, invalid, refused, same, same_items};
use crate::data::{Random, filter, odd_keys, odd_object};
use crate::nodes::{every_class, node};

cases! { "vectors", Vectors:
    upsert_then_get,
    every_class_comes_back_equal,
    embeddings_keep_their_f32,
    embeddings_come_only_when_asked_for,
    odd_metadata_comes_back,
    reserved_names_are_plain_metadata,
    odd_ids_are_kept_apart,
    upsert_replaces_whole_nodes,
    overwrite_takes_the_last_of_equal_ids,
    skip_leaves_existing_and_takes_the_first,
    fail_writes_absent_and_names_existing,
    fail_refuses_equal_ids,
    wrong_dimensions_refuse_the_whole_batch,
    embeddings_that_are_not_finite_refuse_the_whole_batch,
    zero_embeddings_are_refused_under_cosine [Need::Metric(Metric::Cosine)],
    zero_embeddings_are_fine_under_dot [Need::Metric(Metric::Dot)],
    zero_embeddings_are_fine_under_euclidean [Need::Metric(Metric::Euclidean)],
    nodes_without_embedding_are_stored [Need::Query(QueryKindName::Dense)],
    empty_upsert_does_nothing,
    empty_ids_are_refused,
}

async fn get(store: &dyn VectorStore, id: &str, with_embeddings: bool) -> CaseResult<Option<Node>> {
    let options = GetOptions::default().with_embeddings(with_embeddings);
    Ok(store.get(&Selector::ids([id]), options).await?.items.into_iter().next())
}

async fn all_ids(store: &dyn VectorStore) -> CaseResult<Vec<String>> {
    let page = store.get(&Selector::all(), GetOptions::default()).await?;
    Ok(crate::nodes::ids_of(&page.items))
}

async fn is_empty(store: &dyn VectorStore) -> CaseResult {
    same("nodes stored", &all_ids(store).await?, &[(); 0])?;
    same("count", &store.count(&Selector::all()).await?, &0_usize)
}

/// What was written comes back, and is counted.
async fn upsert_then_get(store: &dyn VectorStore) -> CaseResult {
    configure(store, 3).await?;
    let nodes = vec![vector("a", &[1.0, 2.0, 3.0]).with_metadata("m", 1), vector("b", &[0.5, 0.0, -1.0])];
    let report = store.upsert(nodes.clone(), AddMode::Overwrite).await?;
    same("report", &report, &AddReport::new(2, 0))?;
    same("a", &get(store, "a", true).await?, &nodes.first())?;
    same("b", &get(store, "b", true).await?, &nodes.get(1))?;
    same("c", &get(store, "c", true).await?, &None::<Node>)?;
    same("count", &store.count(&Selector::all()).await?, &2_usize)
}

/// Every class of node, with everything set, comes back to the letter, as the class it was.
async fn every_class_comes_back_equal(store: &dyn VectorStore) -> CaseResult {
    configure(store, 3).await?;
    for form in every_class() {
        let mut put_node = node(form)?;
        put_node.set_embedding(&[0.25, -1.0, 3.0]);
        put(store, vec![put_node.clone()]).await?;
        same(put_node.class_name(), &get(store, put_node.id.as_str(), true).await?, &Some(&put_node))?;
    }
    same("nodes", &store.count(&Selector::all()).await?, &every_class().len())
}

/// Vectors are kept at least as `f32`: what an `f32` holds comes back bit for bit.
async fn embeddings_keep_their_f32(store: &dyn VectorStore) -> CaseResult {
    configure(store, 8).await?;
    let awkward = [0.1, 1.0 / 3.0, -0.0, 16_777_217.0, 1e-3, 1e30, -7.25, f32::EPSILON];
    let mut nodes = vec![vector("awkward", &awkward)];
    let mut random = Random(7);
    nodes.extend((0..40).map(|n| vector(&format!("n{n}"), &random.embedding(8))));
    put(store, nodes.clone()).await?;
    for node in &nodes {
        let found = get(store, node.id.as_str(), true).await?.and_then(|node| node.embedding);
        // −0 and 0 are the same number.
        let plain = |values: &[f64]| values.iter().map(|value| value + 0.0).collect::<Vec<f64>>();
        let expected = node.embedding.as_deref().map(plain);
        same(format!("{}", node.id), &found.as_deref().map(plain), &expected)?;
    }
    Ok(())
}

/// `get` and every kind of query leave embeddings out unless they are asked for.
async fn embeddings_come_only_when_asked_for(store: &dyn VectorStore) -> CaseResult {
    use QueryKindName as Kind;
    configure(store, 2).await?;
    put(store, vec![vector("quartz", &[1.0, 0.5])]).await?;
    same("get", &get(store, "quartz", false).await?.and_then(|node| node.embedding).is_none(), &true)?;
    let at = || vec![1.0, 0.0];
    let range = store_core::QueryKind::Range { embedding: at(), radius: -10.0 };
    let queries = [
        (Kind::Dense, VectorQuery::dense(at(), 1)),
        (Kind::Text, VectorQuery::text("quartz", 1)),
        (Kind::Hybrid, VectorQuery::hybrid(at(), "quartz", 1)),
        (Kind::Mmr, VectorQuery::mmr(at(), 1)),
        (Kind::Range, VectorQuery::new(range, 1)),
    ];
    for (kind, query) in queries {
        if !store.capabilities().query_kinds.contains(&kind) {
            continue;
        }
        let answers = store.query_many(&[query.clone(), query.with_embeddings(true)]).await?;
        let embeddings: Vec<_> = answers.into_iter().flatten().map(|found| found.node.embedding).collect();
        same(format!("{kind:?}, without and with"), &embeddings, &[None, Some(vec![1.0, 0.5])])?;
    }
    Ok(())
}

/// Metadata of every shape, names included.
async fn odd_metadata_comes_back(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let mut odd = vector("a", &[1.0, 0.0]);
    odd.metadata = odd_object();
    for key in odd_keys() {
        let value = json!({key.as_str(): [key.as_str()]});
        odd = odd.with_metadata(key, value);
    }
    put(store, vec![odd.clone()]).await?;
    same("metadata", &get(store, "a", false).await?.map(|node| node.metadata), &Some(odd.metadata))
}

/// Names that LlamaIndex's layouts use themselves are plain metadata: they come back, and can be filtered by.
async fn reserved_names_are_plain_metadata(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let names = [
        "_node_content",
        "_node_type",
        "document_id",
        "doc_id",
        "ref_doc_id",
        "id",
        "id_",
        "_id",
        "text",
        "vector",
        "embedding",
        "metadata",
        "score",
        "vector_score",
        "relationships",
        "node_info",
        "class_name",
    ];
    let mut nodes = vec![vector("plain", &[1.0, 0.0]).with_source("doc"), vector("orphan", &[1.0, 0.0])];
    for (n, name) in names.iter().enumerate() {
        nodes.push(vector(&format!("n{n}"), &[0.0, 1.0]).with_source("doc").with_metadata(*name, "mine"));
    }
    put(store, nodes.clone()).await?;
    for (n, name) in names.iter().enumerate() {
        let id = format!("n{n}");
        same(*name, &get(store, &id, true).await?, &nodes.iter().find(|node| node.id.as_str() == id))?;
        let selected =
            store.get(&filter(&json!({"key": name, "value": "mine"}))?.into(), GetOptions::default()).await;
        match selected {
            Ok(page) => same(format!("filter by {name}"), &crate::nodes::ids_of(&page.items), &[id])?,
            Err(error) if store.capabilities().may_refuse_filters => {
                let kinds = [ErrorKind::Unsupported, ErrorKind::InvalidInput];
                refused(format!("filter by {name}"), Err::<(), _>(error), &kinds)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Ids are free text, of nodes and of source documents.
async fn odd_ids_are_kept_apart(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let keys = odd_keys();
    let nodes: Vec<Node> =
        keys.iter().map(|key| vector(key, &[1.0, 0.5]).with_source(key.as_str())).collect();
    put(store, nodes.clone()).await?;
    same_items("all ids", &all_ids(store).await?, &keys)?;
    for key in &keys {
        let expected = [key];
        let page = store.get(&Selector::ids([key.as_str()]), GetOptions::default()).await?;
        same(format!("id {key:?}"), &crate::nodes::ids_of(&page.items), &expected)?;
        let page = store.get(&Selector::ref_docs([key.as_str()]), GetOptions::default()).await?;
        same(format!("ref doc {key:?}"), &crate::nodes::ids_of(&page.items), &expected)?;
    }
    for key in keys.iter().step_by(2) {
        same(format!("delete {key:?}"), &store.delete(&Selector::ids([key.as_str()])).await?, &1_usize)?;
    }
    let left: Vec<&String> = keys.iter().skip(1).step_by(2).collect();
    same_items("ids left", &all_ids(store).await?, &left)
}

/// A node written again keeps nothing of the old one: metadata, text, embedding, source document.
async fn upsert_replaces_whole_nodes(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let old = vector("a", &[1.0, 0.0]).with_source("doc-1").with_metadata("old", 1).with_metadata("both", 1);
    put(store, vec![old]).await?;
    let new = Node::document("another").with_id("a").with_embedding([0.0, 1.0]).with_metadata("both", 2);
    let report = store.upsert(vec![new.clone()], AddMode::Overwrite).await?;
    same("report", &report, &AddReport::new(1, 0))?;
    same("a", &get(store, "a", true).await?, &Some(&new))?;
    for stale in [json!({"key": "old", "value": 1}), json!({"key": "both", "value": 1})] {
        same(stale.to_string(), &store.count(&filter(&stale)?.into()).await?, &0_usize)?;
    }
    same("of doc-1", &store.count(&Selector::ref_docs(["doc-1"])).await?, &0_usize)?;
    same("count", &store.count(&Selector::all()).await?, &1_usize)?;
    // Without an embedding, the old one is gone too.
    if store.capabilities().needs_embeddings {
        return Ok(());
    }
    put(store, vec![Node::text("bare").with_id("a")]).await?;
    same("found by vector", &query_ids(store, &VectorQuery::dense(vec![0.0, 1.0], 5)).await?, &[(); 0])
}

/// Of equal ids in one call the last wins, and counts once.
async fn overwrite_takes_the_last_of_equal_ids(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let numbered = |id: &str, n: usize| vector(id, &[1.0, 0.0]).with_metadata("n", n);
    let nodes = vec![numbered("a", 1), numbered("b", 2), numbered("a", 3)];
    same("report", &store.upsert(nodes, AddMode::Overwrite).await?, &AddReport::new(2, 0))?;
    same("a", &get(store, "a", true).await?, &Some(numbered("a", 3)))?;
    same("count", &store.count(&Selector::all()).await?, &2_usize)
}

/// `Skip` leaves existing nodes; of equal ids the first wins.
async fn skip_leaves_existing_and_takes_the_first(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let numbered = |id: &str, n: usize| vector(id, &[1.0, 0.0]).with_metadata("n", n);
    put(store, vec![numbered("a", 1)]).await?;
    let nodes = vec![numbered("a", 2), numbered("b", 3), numbered("b", 4)];
    same("report", &store.upsert(nodes, AddMode::Skip).await?, &AddReport::new(1, 1))?;
    same("a", &get(store, "a", true).await?, &Some(numbered("a", 1)))?;
    same("b", &get(store, "b", true).await?, &Some(numbered("b", 3)))
}

/// `Fail` writes the absent nodes, then fails naming exactly the existing ids, which stay.
async fn fail_writes_absent_and_names_existing(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let numbered = |id: &str, n: usize| vector(id, &[1.0, 0.0]).with_metadata("n", n);
    put(store, vec![numbered("b", 1), numbered("d", 1)]).await?;
    let nodes = ["a", "b", "c", "d"].map(|id| numbered(id, 2)).to_vec();
    let error = refused("a to d", store.upsert(nodes, AddMode::Fail).await, &[ErrorKind::AlreadyExists])?;
    failed_exactly(&error, &["b", "d"])?;
    for (id, n) in [("a", 2), ("b", 1), ("c", 2), ("d", 1)] {
        same(id, &get(store, id, true).await?, &Some(numbered(id, n)))?;
    }
    Ok(())
}

/// `Fail` with equal ids in one call is `InvalidInput`, names them, and writes nothing.
async fn fail_refuses_equal_ids(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let nodes = ["x", "a", "a"].map(|id| vector(id, &[1.0, 0.0])).to_vec();
    let error = invalid("a twice", store.upsert(nodes, AddMode::Fail).await)?;
    failed_exactly(&error, &["a"])?;
    is_empty(store).await
}

async fn refuses_batch(store: &dyn VectorStore, bad: Vec<Node>) -> CaseResult {
    for mode in [AddMode::Overwrite, AddMode::Skip, AddMode::Fail] {
        let mut nodes = vec![vector("good 1", &[1.0, 2.0])];
        nodes.extend(bad.clone());
        nodes.push(vector("good 2", &[2.0, 1.0]));
        let error = invalid(format!("{mode:?}"), store.upsert(nodes, mode).await)?;
        failed_exactly(&error, &bad.iter().map(|node| node.id.as_str()).collect::<Vec<_>>())?;
        is_empty(store).await?;
    }
    Ok(())
}

/// An embedding of another length: `failed` names the nodes, all of them, and nothing is written.
async fn wrong_dimensions_refuse_the_whole_batch(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    refuses_batch(store, vec![vector("one", &[1.0]), vector("three", &[1.0, 2.0, 3.0]), vector("none", &[])])
        .await
}

/// NaN, infinities, and numbers that an `f32` can not hold.
async fn embeddings_that_are_not_finite_refuse_the_whole_batch(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let mut huge = vector("huge", &[1.0, 2.0]);
    huge.embedding = Some(vec![1.0, 1e300]);
    let bad = vec![
        vector("nan", &[1.0, f32::NAN]),
        vector("inf", &[f32::INFINITY, 0.0]),
        vector("-inf", &[1.0, f32::NEG_INFINITY]),
        huge,
    ];
    refuses_batch(store, bad).await
}

/// A vector of zeros has no direction.
async fn zero_embeddings_are_refused_under_cosine(store: &dyn VectorStore) -> CaseResult {
    store.configure(VectorConfig::new(2, Metric::Cosine)).await?;
    refuses_batch(store, vec![vector("zero", &[0.0, 0.0]), vector("minus zero", &[-0.0, 0.0])]).await
}

async fn zero_is_fine(store: &dyn VectorStore, metric: Metric, expected: f64) -> CaseResult {
    store.configure(VectorConfig::new(2, metric)).await?;
    put(store, vec![vector("zero", &[0.0, 0.0]), vector("far", &[-30.0, -40.0])]).await?;
    let found = store.query_many(&[VectorQuery::dense(vec![0.0, 3.0], 1)]).await?;
    let found: Vec<(String, f64)> =
        found.into_iter().flatten().map(|found| (found.node.id.into_string(), found.score)).collect();
    same("the nearest", &found, &[("zero".to_owned(), expected)])
}

/// The dot product of zeros is 0.
async fn zero_embeddings_are_fine_under_dot(store: &dyn VectorStore) -> CaseResult {
    zero_is_fine(store, Metric::Dot, 0.0).await
}

/// Zeros are a place like any other.
async fn zero_embeddings_are_fine_under_euclidean(store: &dyn VectorStore) -> CaseResult {
    zero_is_fine(store, Metric::Euclidean, 0.25).await
}

/// A node without embedding is stored and found by everything but a search by vector; or refused, by a store that says
/// that it needs embeddings.
async fn nodes_without_embedding_are_stored(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let bare = Node::text("quartz").with_id("bare").with_source("doc").with_metadata("m", 1);
    if store.capabilities().needs_embeddings {
        return refuses_batch(store, vec![bare]).await;
    }
    put(store, vec![bare.clone(), vector("a", &[1.0, 0.0])]).await?;
    same("get", &get(store, "bare", true).await?, &Some(&bare))?;
    same("count", &store.count(&Selector::all()).await?, &2_usize)?;
    same("by source", &store.count(&Selector::ref_docs(["doc"])).await?, &1_usize)?;
    same("by filter", &store.count(&filter(&json!({"key": "m", "value": 1}))?.into()).await?, &1_usize)?;
    same("by vector", &query_ids(store, &VectorQuery::dense(vec![1.0, 1.0], 5)).await?, &["a"])?;
    if store.capabilities().query_kinds.contains(&QueryKindName::Text) {
        same("by word", &query_ids(store, &VectorQuery::text("quartz", 5)).await?, &["bare"])?;
    }
    Ok(())
}

/// An empty batch is a no-op.
async fn empty_upsert_does_nothing(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    for mode in [AddMode::Overwrite, AddMode::Skip, AddMode::Fail] {
        same("report", &store.upsert(vec![], mode).await?, &AddReport::default())?;
    }
    let none: Vec<Vec<store_core::ScoredNode>> = store.query_many(&[]).await?;
    same("answers to no query", &none.len(), &0_usize)?;
    is_empty(store).await
}

/// An empty id is `InvalidInput`, and refuses the whole batch.
async fn empty_ids_are_refused(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    refuses_batch(store, vec![vector("", &[1.0, 0.0])]).await?;
    let empty: Vec<NodeId> = vec!["".into()];
    invalid("get", store.get(&Selector::ids(empty.clone()), GetOptions::default()).await)?;
    invalid("delete", store.delete(&Selector::ids(empty)).await)?;
    Ok(())
}
