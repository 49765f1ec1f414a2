//! Updating metadata, deleting, clearing.

use serde_json::json;
use store_core::{
    ErrorKind, Filter, GetOptions, MetadataPatch, Node, Selector, VectorConfig, VectorQuery, VectorStore,
};

use super::{cloud, configure, put, query_ids, vector};
use crate::case::cases;
use crate::check::{CaseResult, holds, invalid, refused, same, same_items};
use crate::data::{filter, object};
use crate::nodes::{every_class, ids_of, node};

cases! { "vectors", Vectors:
    update_sets_and_unsets_in_place,
    update_leaves_everything_else,
    update_counts_what_it_selects,
    update_keys_are_literal_names,
    update_replaces_whole_values,
    update_is_seen_by_filters,
    update_of_a_key_set_and_unset_is_refused,
    update_and_delete_refuse_everything,
    update_and_delete_refuse_bad_filters,
    delete_counts_what_it_removes,
    deleted_is_gone_everywhere,
    clear_keeps_the_configuration,
}

async fn metadata(store: &dyn VectorStore, id: &str) -> CaseResult<Option<store_core::JsonObject>> {
    let page = store.get(&Selector::ids([id]), GetOptions::default()).await?;
    Ok(page.items.into_iter().next().map(|node| node.metadata))
}

async fn all(store: &dyn VectorStore) -> CaseResult<Vec<Node>> {
    Ok(store.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await?.items)
}

/// An entry that is set keeps its place, a new one goes last in the patch's order, one that is unset is gone.
async fn update_sets_and_unsets_in_place(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let mut stored = vector("a", &[1.0, 0.0]);
    stored.metadata = object(json!({"z": 1, "m": {"y": 1, "x": 2}, "a": 3, "k": 4}));
    put(store, vec![stored]).await?;
    let patch = MetadataPatch::new()
        .with_set("new 2", json!({"q": 1, "p": 1.0}))
        .with_set("a", 3.0)
        .with_set("new 1", json!(null))
        .with_set("z", "one")
        .with_unset("m")
        .with_unset("nobody has it");
    same("selected", &store.update(&Selector::ids(["a"]), &patch).await?, &1_usize)?;
    let expected = json!({"z": "one", "a": 3.0, "k": 4, "new 2": {"q": 1, "p": 1.0}, "new 1": null});
    same("metadata", &metadata(store, "a").await?, &Some(object(expected)))
}

/// Other metadata, text, embedding, links and class stay.
async fn update_leaves_everything_else(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let mut expected = Vec::new();
    for form in every_class() {
        let node = node(form)?.with_embedding([0.1, 1.0]);
        put(store, vec![node.clone()]).await?;
        expected.push(node.with_metadata("patched", 1.0));
    }
    let patch = MetadataPatch::new().with_set("patched", 1.0);
    let selector = Selector::ids(ids_of(&expected));
    same("selected", &store.update(&selector, &patch).await?, &expected.len())?;
    same_items("all nodes", &all(store).await?, &expected)
}

/// The count is of the nodes selected, whether they change or not; nothing selected is 0.
async fn update_counts_what_it_selects(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let nodes: Vec<Node> = cloud(91, 20, 2)
        .into_iter()
        .enumerate()
        .map(|(n, node)| if n < 5 { node.with_source("doc") } else { node })
        .collect();
    put(store, nodes).await?;
    let patch = MetadataPatch::new().with_set("x", 1);
    let low = || filter(&json!({"key": "n", "operator": "<", "value": 12}));
    same("by filter", &store.update(&low()?.into(), &patch).await?, &12_usize)?;
    same("by filter again", &store.update(&low()?.into(), &patch).await?, &12_usize)?;
    same("by source", &store.update(&Selector::ref_docs(["doc"]), &patch).await?, &5_usize)?;
    same("by ids", &store.update(&Selector::ids(["n001", "n019", "x"]), &patch).await?, &2_usize)?;
    let both = Selector::ids(["n001", "n019"]).with_filter(low()?);
    same("by ids and filter", &store.update(&both, &patch).await?, &1_usize)?;
    same("of nobody", &store.update(&Selector::ids(["x"]), &patch).await?, &0_usize)?;
    same("an empty patch", &store.update(&low()?.into(), &MetadataPatch::new()).await?, &12_usize)?;
    let having = store.count(&filter(&json!({"key": "x", "operator": "exists"}))?.into()).await?;
    same("nodes with x", &having, &13_usize)
}

/// A key of a patch is a top-level name, dots and all.
async fn update_keys_are_literal_names(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let stored = vector("a", &[1.0, 0.0])
        .with_metadata("a", json!({"b": 1}))
        .with_metadata("c.d", 1)
        .with_metadata("c", json!({"d": 2}));
    put(store, vec![stored]).await?;
    let patch =
        MetadataPatch::new().with_set("a.b", 2).with_set("$x", 3).with_set("it's", 4).with_unset("c.d");
    store.update(&Selector::ids(["a"]), &patch).await?;
    let expected = json!({"a": {"b": 1}, "c": {"d": 2}, "a.b": 2, "$x": 3, "it's": 4});
    same("metadata", &metadata(store, "a").await?, &Some(object(expected)))
}

/// A value that is set takes the place of the whole old one: objects are not merged, lists not joined.
async fn update_replaces_whole_values(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(
        store,
        vec![
            vector("a", &[1.0, 0.0])
                .with_metadata("o", json!({"x": 1, "y": 2}))
                .with_metadata("l", json!([1, 2])),
        ],
    )
    .await?;
    let patch = MetadataPatch::new().with_set("o", json!({"y": 3})).with_set("l", json!([3]));
    store.update(&Selector::ids(["a"]), &patch).await?;
    let expected = object(json!({"o": {"y": 3}, "l": [3]}));
    same("metadata", &metadata(store, "a").await?, &Some(expected))
}

/// Filters see what was set and no longer what was unset.
async fn update_is_seen_by_filters(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, cloud(92, 10, 2)).await?;
    let patch = MetadataPatch::new().with_set("state", "done").with_unset("n");
    store.update(&Selector::ids(["n003", "n007"]), &patch).await?;
    for (json, expected) in [
        (json!({"key": "state", "value": "done"}), 2_usize),
        (json!({"key": "n", "value": 3}), 0),
        (json!({"key": "n", "value": null}), 2),
        (json!({"key": "state", "operator": "!=", "value": "done"}), 8),
    ] {
        same(json.to_string(), &store.count(&filter(&json)?.into()).await?, &expected)?;
    }
    let query = VectorQuery::dense(vec![1.0, 0.0], 10)
        .with_selector(filter(&json!({"key": "state", "value": "done"}))?);
    same_items("a query", &query_ids(store, &query).await?, &["n003", "n007"])
}

/// A key both set and unset is `InvalidInput`, and nothing changes.
async fn update_of_a_key_set_and_unset_is_refused(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, vec![vector("a", &[1.0, 0.0]).with_metadata("x", 1)]).await?;
    let patch = MetadataPatch::new().with_set("x", 2).with_set("y", 2).with_unset("x");
    invalid("x", store.update(&Selector::ids(["a"]), &patch).await)?;
    same("metadata", &metadata(store, "a").await?, &Some(object(json!({"x": 1}))))
}

/// A selector that restricts nothing, and one whose only part is an empty `and`, are `InvalidInput`: no call
/// erases a store by accident.
async fn update_and_delete_refuse_everything(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let nodes = cloud(93, 5, 2);
    put(store, nodes.clone()).await?;
    let patch = MetadataPatch::new().with_set("x", 1);
    for selector in [Selector::all(), Filter::All(vec![]).into()] {
        invalid(format!("delete of {selector:?}"), store.delete(&selector).await)?;
        invalid(format!("update of {selector:?}"), store.update(&selector, &patch).await)?;
    }
    same_items("all nodes", &all(store).await?, &nodes)
}

/// A filter that can not be answered changes nothing.
async fn update_and_delete_refuse_bad_filters(store: &dyn VectorStore) -> CaseResult {
    use store_core::{Condition, Scalar};
    configure(store, 2).await?;
    let nodes = cloud(94, 5, 2);
    put(store, nodes.clone()).await?;
    let field = |key: &str, condition| Filter::Field { key: key.to_owned(), condition };
    let bad = [
        field("a..b", Condition::Eq(Scalar::Null)),
        field("", Condition::Exists(true)),
        field("n", Condition::Gt(Scalar::Bool(true))),
        field("n", Condition::Eq(Scalar::Float(f64::NAN))),
        Filter::Not(Box::new(field("n.", Condition::IsEmpty))),
    ];
    for filter in bad {
        let selector = Selector::from(filter);
        invalid(format!("delete of {selector:?}"), store.delete(&selector).await)?;
        let patch = MetadataPatch::new().with_set("x", 1);
        invalid(format!("update of {selector:?}"), store.update(&selector, &patch).await)?;
        invalid(format!("count of {selector:?}"), store.count(&selector).await)?;
        invalid(format!("get of {selector:?}"), store.get(&selector, GetOptions::default()).await)?;
        let query = VectorQuery::dense(vec![1.0, 0.0], 1).with_selector(selector);
        invalid("a query", store.query_many(&[query]).await)?;
    }
    same_items("all nodes", &all(store).await?, &nodes)
}

/// A delete counts the nodes it removes, by whatever part.
async fn delete_counts_what_it_removes(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let nodes: Vec<Node> = cloud(95, 40, 2)
        .into_iter()
        .enumerate()
        .map(|(n, node)| node.with_source(format!("doc {}", n % 4)))
        .collect();
    put(store, nodes).await?;
    same("by ids", &store.delete(&Selector::ids(["n000", "n001", "x", "n000"])).await?, &2_usize)?;
    same("again", &store.delete(&Selector::ids(["n000", "n001"])).await?, &0_usize)?;
    same("by source", &store.delete(&Selector::ref_docs(["doc 0", "nobody"])).await?, &9_usize)?;
    let high = filter(&json!({"key": "n", "operator": ">=", "value": 30}))?;
    same("by filter", &store.delete(&high.into()).await?, &8_usize)?;
    let both = Selector::ref_docs(["doc 1"])
        .with_filter(filter(&json!({"key": "n", "operator": "<", "value": 10}))?);
    same("by source and filter", &store.delete(&both).await?, &2_usize)?;
    let left: Vec<usize> = (2..30).filter(|n| n % 4 != 0 && !(n % 4 == 1 && *n < 10)).collect();
    let left: Vec<String> = left.into_iter().map(|n| format!("n{n:03}")).collect();
    same_items("left", &ids_of(&all(store).await?), &left)
}

/// What is deleted is found by nothing, and its id is free.
async fn deleted_is_gone_everywhere(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let gone = vector("gone", &[1.0, 0.0]).with_source("doc").with_metadata("m", 1);
    put(store, vec![gone, vector("stays", &[0.9, 0.1])]).await?;
    store.delete(&Selector::ids(["gone"])).await?;
    same("get", &ids_of(&all(store).await?), &["stays"])?;
    same("count", &store.count(&Selector::all()).await?, &1_usize)?;
    same("by source", &store.count(&Selector::ref_docs(["doc"])).await?, &0_usize)?;
    same("by filter", &store.count(&filter(&json!({"key": "m", "value": 1}))?.into()).await?, &0_usize)?;
    let at = || vec![1.0, 0.0];
    for query in [
        VectorQuery::dense(at(), 5),
        VectorQuery::text("gone stays", 5),
        VectorQuery::hybrid(at(), "gone stays", 5),
        VectorQuery::mmr(at(), 5),
    ] {
        if store.capabilities().query_kinds.contains(&query.kind.name()) {
            same(format!("{:?}", query.kind.name()), &query_ids(store, &query).await?, &["stays"])?;
        }
    }
    let again = store.upsert(vec![vector("gone", &[0.0, 1.0])], store_core::AddMode::Fail).await?;
    same("written again", &again, &store_core::AddReport::new(1, 0))?;
    same("its metadata", &metadata(store, "gone").await?, &Some(object(json!({}))))
}

/// Clear removes every node and keeps dimensions and metric.
async fn clear_keeps_the_configuration(store: &dyn VectorStore) -> CaseResult {
    let metric = configure(store, 2).await?;
    put(store, cloud(96, 30, 2)).await?;
    store.clear().await?;
    same("count", &store.count(&Selector::all()).await?, &0_usize)?;
    same("query", &query_ids(store, &VectorQuery::dense(vec![1.0, 0.0], 5)).await?, &[(); 0])?;
    let config = store.config().await?;
    holds(config == Some(VectorConfig::new(2, metric)), format!("the configuration became {config:?}"))?;
    let other = store.configure(VectorConfig::new(3, metric)).await;
    refused("other dimensions", other, &[ErrorKind::Config])?;
    store.clear().await?;
    put(store, vec![vector("n001", &[0.0, 1.0])]).await?;
    same("written again", &query_ids(store, &VectorQuery::dense(vec![1.0, 0.0], 5)).await?, &["n001"])
}
