//! Vectors: the default vector set.

use nodestore::{
    Cursor, FieldType, FilterableField, GetOptions, MetadataPatch, Metric, NodeId, QueryKind, RefDocId,
    Result, Selector, VectorConfig, VectorQuery, VectorStoreExt as _,
};
use serde_json::Value;

use super::filter::FILTER;
use super::nodes::{MODE, NODES, mode, nodes, or_null, report};
use super::{Call, Op};
use crate::answer::object;
use crate::args::{AFTER, Arg, Args, LIMIT, OBJECT, TEXT, TEXTS, may, must};
use crate::page;

/// LlamaIndex's default weights of a hybrid query's vectors and of relevance.
const DEFAULT_ALPHA: f64 = 0.5;
const DEFAULT_THRESHOLD: f64 = 0.5;

const WITH_EMBEDDINGS: Arg = may("embeddings", "a bool: whether nodes carry their embeddings (false)");
pub(super) const SELECTOR: Arg =
    may("selector", r#"an object {"ids":[text...],"ref_docs":[text...],"filter":filter}"#);
const SELECTOR_MEMBERS: &[Arg] = &[may("ids", TEXTS), may("ref_docs", TEXTS), may("filter", FILTER)];
const PATCH_MEMBERS: &[Arg] = &[may("set", OBJECT), may("unset", TEXTS)];
const FIELD_MEMBERS: &[Arg] =
    &[must("key", TEXT), must("type", "\"text\", \"integer\", \"float\", \"bool\" or \"timestamp\"")];

pub(crate) const OPS: &[Op] = &[
    Op {
        name: "vectors.configure",
        args: &[
            must("dimensions", "an integer, at least 1"),
            must("metric", "\"cosine\", \"dot\" or \"euclidean\""),
            may("filterable", r#"a list of {"key","type"}; null: any key may be filtered"#),
        ],
        answer: "null",
        about: "Sets up the vectors; comes first.",
        run: |call| Box::pin(configure(call)),
    },
    Op {
        name: "vectors.upsert",
        args: &[NODES, MODE],
        answer: r#"{"written":int,"skipped":int}"#,
        about: "Writes nodes with their embeddings.",
        run: |call| Box::pin(upsert(call)),
    },
    Op {
        name: "vectors.query",
        args: &[
            must("kind", "\"dense\", \"text\", \"hybrid\" or \"mmr\""),
            may("embedding", "a list of numbers; for every kind but text"),
            may("text", "text; for text and hybrid"),
            may("alpha", "a number, 0 to 1; for hybrid: 1 = vectors only (0.5)"),
            may("threshold", "a number, 0 to 1; for mmr: 1 = relevance only (0.5)"),
            must("top_k", "an integer, at least 1"),
            SELECTOR,
            WITH_EMBEDDINGS,
        ],
        answer: r#"[{"node":node,"score":number}...]"#,
        about: "The best nodes, best first.",
        run: |call| Box::pin(query(call)),
    },
    Op {
        name: "vectors.get",
        args: &[SELECTOR, WITH_EMBEDDINGS, AFTER, LIMIT],
        answer: r#"{"items":[node...],"next":text|null}"#,
        about: "A page of the selected nodes.",
        run: |call| Box::pin(get(call)),
    },
    Op {
        name: "vectors.update",
        args: &[SELECTOR, must("patch", r#"an object {"set":{key:value...},"unset":[key...]}"#)],
        answer: "int",
        about: "Changes metadata of the selected nodes; answers how many they are.",
        run: |call| Box::pin(update(call)),
    },
    Op {
        name: "vectors.delete",
        args: &[SELECTOR],
        answer: "int",
        about: "Removes the selected nodes; answers how many they were.",
        run: |call| Box::pin(delete(call)),
    },
    Op {
        name: "vectors.count",
        args: &[SELECTOR],
        answer: "int",
        about: "How many nodes are selected.",
        run: |call| Box::pin(count(call)),
    },
    Op {
        name: "vectors.clear",
        args: &[],
        answer: "null",
        about: "Removes all nodes and keeps the configuration.",
        run: |call| Box::pin(clear(call)),
    },
];

async fn configure(mut call: Call) -> Result<Value> {
    let metrics = [Metric::Cosine, Metric::Dot, Metric::Euclidean].map(|metric| (metric.as_str(), metric));
    let dimensions = call.args.must("dimensions")?;
    let metric = call.args.choice("metric", &metrics)?.ok_or_else(|| call.args.missing("metric"))?;
    let mut config = VectorConfig::new(dimensions, metric);
    if let Some(fields) = call.args.list_of_members("filterable", FIELD_MEMBERS)? {
        config.filterable = Some(fields.into_iter().map(filterable).collect::<Result<_>>()?);
    }
    call.store()?.vectors()?.configure(config).await?;
    Ok(Value::Null)
}

fn filterable(mut field: Args) -> Result<FilterableField> {
    let types = [
        ("text", FieldType::Text),
        ("integer", FieldType::Integer),
        ("float", FieldType::Float),
        ("bool", FieldType::Bool),
        ("timestamp", FieldType::Timestamp),
    ];
    let field_type = field.choice("type", &types)?.ok_or_else(|| field.missing("type"))?;
    Ok(FilterableField { key: field.must("key")?, field_type })
}

async fn upsert(mut call: Call) -> Result<Value> {
    let nodes = nodes(&mut call.args)?;
    let mode = mode(&mut call.args)?;
    Ok(report(call.store()?.vectors()?.upsert(nodes, mode).await?))
}

async fn query(mut call: Call) -> Result<Value> {
    let query = read_query(&mut call.args)?;
    let found = call.store()?.vectors()?.query(&query).await?;
    let shape = |one: nodestore::ScoredNode| {
        object([("node", Value::Object(one.node.to_json())), ("score", one.score.into())])
    };
    Ok(Value::Array(found.into_iter().map(shape).collect()))
}

/// Of what a kind does not need, only the type is looked at.
fn read_query(args: &mut Args) -> Result<VectorQuery> {
    let kind: String = args.must("kind")?;
    let embedding: Option<Vec<f32>> = args.may("embedding")?;
    let text: Option<String> = args.may("text")?;
    let alpha = args.may("alpha")?.unwrap_or(DEFAULT_ALPHA);
    let threshold = args.may("threshold")?.unwrap_or(DEFAULT_THRESHOLD);
    let embedding = embedding.ok_or_else(|| args.missing("embedding"));
    let text = text.ok_or_else(|| args.missing("text"));
    let kind = match kind.as_str() {
        "dense" => QueryKind::Dense { embedding: embedding? },
        "text" => QueryKind::Text { text: text? },
        "hybrid" => QueryKind::Hybrid { embedding: embedding?, text: text?, alpha },
        "mmr" => QueryKind::Mmr { embedding: embedding?, threshold },
        _ => return Err(args.wrong("kind", &format!("{kind:?} is not known"))),
    };
    let mut query = VectorQuery::new(kind, args.must("top_k")?);
    query.selector = selector(args)?;
    query.with_embeddings = args.may("embeddings")?.unwrap_or_default();
    Ok(query)
}

async fn get(mut call: Call) -> Result<Value> {
    let selector = selector(&mut call.args)?;
    let mut options = GetOptions::default();
    options.with_embeddings = call.args.may("embeddings")?.unwrap_or_default();
    options.limit = call.args.limit()?;
    options.after = call.args.may::<String>("after")?.map(Cursor::new);
    let page = call.store()?.vectors()?.get(&selector, options).await?;
    Ok(page::of_store(page, |node| or_null(Some(node))))
}

async fn update(mut call: Call) -> Result<Value> {
    let selector = selector(&mut call.args)?;
    let mut given = call.args.members("patch", PATCH_MEMBERS)?.ok_or_else(|| call.args.missing("patch"))?;
    let mut patch = MetadataPatch::new();
    patch.set = given.may("set")?.unwrap_or_default();
    patch.unset = given.may("unset")?.unwrap_or_default();
    Ok(call.store()?.vectors()?.update(&selector, &patch).await?.into())
}

async fn delete(mut call: Call) -> Result<Value> {
    let selector = selector(&mut call.args)?;
    Ok(call.store()?.vectors()?.delete(&selector).await?.into())
}

async fn count(mut call: Call) -> Result<Value> {
    let selector = selector(&mut call.args)?;
    Ok(call.store()?.vectors()?.count(&selector).await?.into())
}

async fn clear(call: Call) -> Result<Value> {
    call.store()?.vectors()?.clear().await?;
    Ok(Value::Null)
}

/// The argument `selector`; absent, it restricts nothing.
pub(super) fn selector(args: &mut Args) -> Result<Selector> {
    let mut selector = Selector::all();
    if let Some(mut given) = args.members("selector", SELECTOR_MEMBERS)? {
        selector.ids = given.may::<Vec<NodeId>>("ids")?;
        selector.ref_docs = given.may::<Vec<RefDocId>>("ref_docs")?;
        selector.filter = given.filter("filter")?;
    }
    Ok(selector)
}
