//! The configuration: set once, kept with the data.

use serde_json::json;
use store_core::{
    AddMode, DistinctOptions, ErrorKind, FieldType, FilterableField, GetOptions, MetadataPatch, Metric,
    Selector, VectorConfig, VectorQuery, VectorStore, VectorStoreExt,
};

use super::{configure, put, vector};
use crate::case::{Need, cases};
use crate::check::{CaseResult, holds, refused, same};
use crate::data::{filter, object};

cases! { "vectors", Vectors:
    calls_before_configure_are_config_errors,
    field_calls_before_configure_are_config_errors [Need::Fields],
    configure_again_equal_is_fine,
    configure_otherwise_is_refused,
    configure_without_dimensions_is_refused,
    config_tells_what_was_configured,
    one_dimension_works [Need::Metric(Metric::Euclidean)],
}

fn is_config<T>(what: &str, result: store_core::Result<T>) -> CaseResult {
    refused(what, result, &[ErrorKind::Config]).map(drop)
}

/// Until `configure`, every call but `config` and `capabilities` is `Config`.
async fn calls_before_configure_are_config_errors(store: &dyn VectorStore) -> CaseResult {
    same("config", &store.config().await?.is_none(), &true)?;
    is_config("upsert", store.upsert(vec![vector("a", &[1.0, 0.0])], AddMode::Overwrite).await)?;
    is_config("query", store.query(&VectorQuery::dense(vec![1.0, 0.0], 1)).await)?;
    is_config("explain", store.explain(&VectorQuery::dense(vec![1.0, 0.0], 1)).await)?;
    is_config("get", store.get(&Selector::all(), GetOptions::default()).await)?;
    let patch = MetadataPatch::new().with_set("a", 1);
    is_config("update", store.update(&Selector::ids(["a"]), &patch).await)?;
    is_config("delete", store.delete(&Selector::ids(["a"])).await)?;
    is_config("count", store.count(&Selector::all()).await)?;
    is_config("clear", store.clear().await)?;
    same("config still", &store.config().await?.is_none(), &true)
}

/// The field operations too.
async fn field_calls_before_configure_are_config_errors(store: &dyn VectorStore) -> CaseResult {
    let Some(fields) = store.fields() else { return holds(false, "fields() answers None") };
    is_config("distinct", fields.distinct("a", &Selector::all(), DistinctOptions::default()).await)?;
    is_config("count_distinct", fields.count_distinct(&["a"], &Selector::all()).await)?;
    is_config("min_max", fields.min_max("a", &Selector::all()).await)?;
    is_config("field_info", fields.field_info().await)
}

/// The same configuration again changes nothing.
async fn configure_again_equal_is_fine(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, vec![vector("a", &[1.0, 0.0])]).await?;
    configure(store, 2).await?;
    same("nodes", &store.count(&Selector::all()).await?, &1_usize)
}

/// Other dimensions or another metric are `Config`; data and configuration stay.
async fn configure_otherwise_is_refused(store: &dyn VectorStore) -> CaseResult {
    let metric = configure(store, 2).await?;
    put(store, vec![vector("a", &[1.0, 0.0])]).await?;
    is_config("3 dimensions", store.configure(VectorConfig::new(3, metric)).await)?;
    for other in store.capabilities().metrics.into_iter().filter(|other| *other != metric) {
        is_config(other.as_str(), store.configure(VectorConfig::new(2, other)).await)?;
    }
    let config = store.config().await?.map(|config| (config.dimensions, config.metric.as_str()));
    same("config", &config, &Some((2_usize, metric.as_str())))?;
    same("nodes", &store.count(&Selector::all()).await?, &1_usize)?;
    put(store, vec![vector("b", &[0.0, 1.0])]).await
}

/// An embedding has at least one value.
async fn configure_without_dimensions_is_refused(store: &dyn VectorStore) -> CaseResult {
    let result = store.configure(VectorConfig::new(0, Metric::Cosine)).await;
    refused("0 dimensions", result, &[ErrorKind::InvalidInput, ErrorKind::Config])?;
    same("config", &store.config().await?.is_none(), &true)
}

/// The declared fields are kept with the rest, and hold no node or filter back that does not follow them.
async fn config_tells_what_was_configured(store: &dyn VectorStore) -> CaseResult {
    let metric = store.capabilities().metrics.first().copied().unwrap_or_default();
    let field = |key: &str, field_type| FilterableField { key: key.to_owned(), field_type };
    let config = VectorConfig::new(2, metric).with_filterable([
        field("year", FieldType::Integer),
        field("in.tag", FieldType::Text),
        field("when", FieldType::Timestamp),
        field("rate", FieldType::Float),
        field("draft", FieldType::Bool),
    ]);
    store.configure(config.clone()).await?;
    let stored = store.config().await?;
    holds(stored.as_ref() == Some(&config), format!("{config:?} came back as {stored:?}"))?;
    let odd =
        [json!(2024), json!(2024.5), json!("2024"), json!(true), json!([2024]), json!(null), json!({"y": 1})];
    let nodes = odd.iter().enumerate().map(|(n, year)| {
        let node = vector(&format!("n{n}"), &[1.0, 0.5]).with_metadata("year", year.clone());
        node.with_metadata("in", json!({"tag": year}))
    });
    put(store, nodes.collect()).await?;
    same("nodes", &store.count(&Selector::all()).await?, &odd.len())?;
    for (json, expected) in [
        (json!({"key": "year", "value": 2024}), "n0"),
        (json!({"key": "year", "operator": ">", "value": 2024}), "n1"),
        (json!({"key": "year", "value": "2024"}), "n2"),
        (json!({"key": "in.tag", "value": true}), "n3"),
        (json!({"key": "in.tag", "operator": "contains", "value": 2024}), "n4"),
    ] {
        let page = match store.get(&filter(&json)?.into(), GetOptions::default()).await {
            Err(error)
                if store.capabilities().may_refuse_filters && error.kind() == ErrorKind::Unsupported =>
            {
                continue;
            }
            page => page?,
        };
        let found: Vec<&str> = page.items.iter().map(|node| node.id.as_str()).collect();
        same(json.to_string(), &found, &[expected])?;
    }
    let back = store.get(&Selector::ids(["n6"]), GetOptions::default()).await?;
    let metadata: Vec<_> = back.items.into_iter().map(|node| node.metadata).collect();
    same("n6", &metadata, &[object(json!({"year": {"y": 1}, "in": {"tag": {"y": 1}}}))])
}

/// One dimension is enough, and nearness is still told.
async fn one_dimension_works(store: &dyn VectorStore) -> CaseResult {
    store.configure(VectorConfig::new(1, Metric::Euclidean)).await?;
    put(store, [("a", 0.0), ("b", 5.0), ("c", -1.0)].map(|(id, value)| vector(id, &[value])).to_vec())
        .await?;
    let found = super::query_ids(store, &VectorQuery::dense(vec![0.25], 3)).await?;
    same("nearest to 0.25", &found, &["a", "c", "b"])
}
