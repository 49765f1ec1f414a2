//! Vectors on a server with the search module, beyond what every store keeps: LlamaIndex's rows and index as they lie
//! there, rows of Python's among ours, indexes that differ, long answers, and texts that try to be queries.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use common::{Db, on_search};
use serde_json::{Value, json};
use store_core::filter::field;
use store_core::{
    AddMode, Backend as _, ErrorKind, FieldType, Filter, FilterableField, GetOptions, MetadataPatch, Metric,
    Node, QueryKind, Selector, Timestamp, VectorConfig, VectorQuery, VectorStore, VectorStoreExt as _,
};
use store_redis::{
    RedisBackend, RedisCommand, RedisConfig, RedisValue, RedisVectorIndex, RedisVectorOptions,
};

fn main() -> ExitCode {
    common::run([
        on_search("rows_are_llamaindex_own", rows_are_llamaindex_own),
        on_search("python_finds_our_rows", python_finds_our_rows),
        on_search("reads_what_python_wrote", reads_what_python_wrote),
        on_search("filters_see_rows_of_python", filters_see_rows_of_python),
        on_search("an_update_mends_what_python_overwrote", an_update_mends_what_python_overwrote),
        on_search("an_index_that_differs_is_refused", an_index_that_differs_is_refused),
        on_search("without_leave_no_index_is_made", without_leave_no_index_is_made),
        on_search("a_lost_index_is_made_again", a_lost_index_is_made_again),
        on_search("declared_fields_are_compared_by_the_server", declared_fields_are_compared_by_the_server),
        on_search("fields_may_be_declared_later", fields_may_be_declared_later),
        on_search("python_filters_by_declared_fields", python_filters_by_declared_fields),
        on_search("no_row_is_lost_to_a_field_of_numbers", no_row_is_lost_to_a_field_of_numbers),
        on_search("more_than_ten_thousand", more_than_ten_thousand),
        on_search("many_equals_are_ordered_by_id", many_equals_are_ordered_by_id),
        on_search("a_graph_of_every_metric", a_graph_of_every_metric),
        on_search("values_are_never_queries", values_are_never_queries),
        on_search("a_row_of_another_type_is_left_alone", a_row_of_another_type_is_left_alone),
        on_search("too_many_values_are_filtered_all_the_same", too_many_values_are_filtered_all_the_same),
    ])
}

const INDEX: &str = "llama_index";

fn vector(id: &str, embedding: &[f32]) -> Node {
    Node::text(format!("text of {id}")).with_id(id).with_embedding(embedding)
}

async fn store(db: &Db) -> Arc<dyn VectorStore> {
    let store = db.store.vectors().unwrap();
    store.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    store
}

async fn put(store: &dyn VectorStore, nodes: Vec<Node>) {
    store.upsert(nodes, AddMode::Overwrite).await.unwrap();
}

async fn ids(store: &dyn VectorStore, selector: impl Into<Selector>) -> Vec<String> {
    let page = store.get(&selector.into(), GetOptions::default()).await.unwrap();
    page.items.into_iter().map(|node| node.id.into_string()).collect()
}

async fn found(store: &dyn VectorStore, query: VectorQuery) -> Vec<String> {
    let found = store.query(&query).await.unwrap();
    found.into_iter().map(|found| found.node.id.into_string()).collect()
}

fn bytes(embedding: &[f32]) -> Vec<u8> {
    embedding.iter().flat_map(|value| value.to_le_bytes()).collect()
}

async fn row(db: &Db, id: &str) -> BTreeMap<String, RedisValue> {
    let all = RedisCommand::read("HGETALL").key(format!("{INDEX}/vector_{id}"));
    match db.store.command(all).await.unwrap() {
        RedisValue::List(list) => {
            list.chunks(2).map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone())).collect()
        }
        RedisValue::Map(members) => {
            members.into_iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), value)).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The index as `RedisVectorStore` of llama-index-vector-stores-redis makes it (formats 6.6).
async fn index_of_python(db: &Db, dimensions: &str, metric: &str) {
    let create = RedisCommand::write("FT.CREATE").key(INDEX);
    let prefix = format!("{}:{INDEX}/vector", db.name);
    let words = format!(
        "ON HASH PREFIX 1 {prefix} SCORE 1.0 SCHEMA id TAG SEPARATOR , doc_id TAG SEPARATOR , text TEXT WEIGHT 1.0 \
         vector VECTOR FLAT 6 TYPE FLOAT32 DIM {dimensions} DISTANCE_METRIC {metric}"
    );
    let create = words.split_whitespace().fold(create, RedisCommand::arg);
    db.store.command(create).await.unwrap();
}

/// A row as Python writes it: metadata `tag` and `year` beside, numbers as text.
async fn row_of_python(db: &Db, id: &str, source: Option<&str>, tag: &str, year: i64, embedding: &[f32]) {
    let links = source.map_or_else(String::new, |source| {
        format!(
            r#""1": {{"node_id": "{source}", "node_type": "4", "metadata": {{}}, "hash": "h", "class_name": "RelatedNodeInfo"}}"#
        )
    });
    let content = format!(
        r#"{{"id_": "{id}", "embedding": null, "metadata": {{"tag": "{tag}", "year": {year}}}, "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {{{links}}}, "metadata_template": "{{key}}: {{value}}", "metadata_separator": "\n", "text": "", "mimetype": "text/plain", "start_char_idx": null, "end_char_idx": null, "metadata_seperator": "\n", "text_template": "{{metadata_str}}\n\n{{content}}", "class_name": "TextNode"}}"#
    );
    let source = source.unwrap_or("None");
    let text = format!("python {id}");
    let year = year.to_string();
    let fields = [
        ("id", id),
        ("doc_id", source),
        ("text", text.as_str()),
        ("tag", tag),
        ("year", year.as_str()),
        ("_node_content", content.as_str()),
        ("_node_type", "TextNode"),
        ("document_id", source),
        ("ref_doc_id", source),
    ];
    let set = RedisCommand::write("HSET").key(format!("{INDEX}/vector_{id}"));
    let set = fields.into_iter().fold(set, |set, (name, value)| set.arg(name).arg(value));
    db.store.command(set.arg("vector").arg(bytes(embedding))).await.unwrap();
}

async fn rows_are_llamaindex_own(db: Db) {
    let store = store(&db).await;
    let node = vector("n1", &[1.0, -0.5])
        .with_source("doc")
        .with_metadata("tag", "a|b")
        .with_metadata("year", 2024)
        .with_metadata("rate", 1e16)
        .with_metadata("draft", true)
        .with_metadata("list", json!([1]))
        .with_metadata("text", "mine");
    put(&*store, vec![node.clone()]).await;
    let row = row(&db, "n1").await;
    let texts: BTreeMap<&str, &str> = row
        .iter()
        .filter(|(name, _)| !name.starts_with("_no") && *name != "vector")
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let expected = [
        ("doc_id", "doc"),
        ("document_id", "doc"),
        ("id", "n1"),
        ("rate", "1e+16"),
        ("ref_doc_id", "doc"),
        ("tag", "a|b"),
        ("text", "text of n1"),
        ("year", "2024"),
    ];
    assert_eq!(texts, BTreeMap::from(expected));
    assert_eq!(row["vector"].as_bytes().unwrap().as_ref(), bytes(&[1.0, -0.5]));
    assert_eq!(row["_node_type"].as_str(), Some("TextNode"));
    let content: Value = serde_json::from_str(row["_node_content"].as_str().unwrap()).unwrap();
    assert_eq!(content["metadata"]["list"], json!([1]));
    assert_eq!((&content["text"], &content["embedding"]), (&json!(""), &Value::Null));
    let page = store.get(&Selector::ids(["n1"]), GetOptions::default().with_embeddings(true)).await.unwrap();
    assert_eq!(page.items, [node]);
}

async fn python_finds_our_rows(db: Db) {
    let store = store(&db).await;
    put(&*store, vec![vector("near", &[1.0, 0.0]).with_source("doc"), vector("far", &[-1.0, 0.0])]).await;
    let query = "FT.SEARCH";
    let search = |text: &str| RedisCommand::read(query).key(INDEX).arg(text);
    // As `RedisVectorStore.query` sends it.
    let knn = search("*=>[KNN 1 @vector $vector AS vector_distance]");
    let words = "RETURN 5 id doc_id text _node_content vector_distance SORTBY vector_distance ASC DIALECT 2 LIMIT 0 1";
    let knn = words.split(' ').fold(knn, RedisCommand::arg);
    let knn = knn.arg("PARAMS").arg("2").arg("vector").arg(bytes(&[1.0, 0.1]));
    let answer = format!("{:?}", db.store.command(knn).await.unwrap());
    assert!(
        answer.contains("near") && answer.contains("_node_content") && !answer.contains("far"),
        "{answer}"
    );
    // As `RedisVectorStore.delete` does.
    let of_doc = search("@doc_id:{doc}").arg("LIMIT").arg("0").arg("0");
    let answer = format!("{:?}", db.store.command(of_doc).await.unwrap());
    assert!(answer.contains('1'), "{answer}");
}

async fn reads_what_python_wrote(db: Db) {
    index_of_python(&db, "2", "COSINE").await;
    row_of_python(&db, "p1", Some("doc"), "red", 1999, &[1.0, 0.0]).await;
    row_of_python(&db, "p2", None, "blue", 2024, &[0.0, 1.0]).await;
    let store = store(&db).await;
    assert_eq!(store.count(&Selector::all()).await.unwrap(), 2);
    let page = store.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await.unwrap();
    let [first, second] = page.items.try_into().unwrap();
    let expected = vector("p1", &[1.0, 0.0]).with_metadata("tag", "red").with_metadata("year", 1999);
    assert_eq!(
        (&first.id, &first.metadata, &first.embedding),
        (&expected.id, &expected.metadata, &expected.embedding)
    );
    assert_eq!((first.text_content(), second.text_content()), ("python p1", "python p2"));
    assert_eq!(first.ref_doc_id().unwrap().as_str(), "doc");
    assert_eq!(second.ref_doc_id(), None);
    assert_eq!(found(&*store, VectorQuery::dense(vec![0.1, 1.0], 1)).await, ["p2"]);
    assert_eq!(found(&*store, VectorQuery::text("p1", 5)).await, ["p1"]);
    assert_eq!(ids(&*store, Selector::ref_docs(["doc"])).await, ["p1"]);
    // Python's word for no source is no source.
    assert!(ids(&*store, Selector::ref_docs(["None"])).await.is_empty());
    assert_eq!(store.delete(&Selector::ref_docs(["DOC", "doc"])).await.unwrap(), 1);
    assert_eq!(ids(&*store, Selector::all()).await, ["p2"]);
}

async fn filters_see_rows_of_python(db: Db) {
    index_of_python(&db, "2", "COSINE").await;
    let store = store(&db).await;
    // Ours and Python's, one after the other, the nearest first.
    for n in 0..40_i16 {
        let (id, year) = (format!("n{n:02}"), 2000 + i64::from(n));
        let (tag, at) = (if n % 4 < 2 { "red" } else { "blue" }, [10.0, f32::from(n)]);
        if n % 2 == 0 {
            row_of_python(&db, &id, Some("doc"), tag, year, &at).await;
        } else {
            put(&*store, vec![vector(&id, &at).with_metadata("tag", tag).with_metadata("year", year)]).await;
        }
    }
    let all: Vec<Node> = store.get(&Selector::all(), GetOptions::default()).await.unwrap().items;
    assert_eq!(all.len(), 40);
    let filters: [Filter; 8] = [
        field("tag").eq("red"),
        !field("tag").eq("red"),
        field("tag").ne("blue").and(field("year").gt(2010)),
        field("year").eq(2007).or(field("year").eq(2008)),
        !field("year").lte(2020),
        field("tag").text_match("lu"),
        field("tag").is_missing(),
        field("nobody").is_missing(),
    ];
    for filter in filters {
        let expected: Vec<&str> =
            all.iter().filter(|node| filter.matches(&node.metadata)).map(|node| node.id.as_str()).collect();
        assert_eq!(ids(&*store, filter.clone()).await, expected, "{filter}");
        assert_eq!(store.count(&filter.clone().into()).await.unwrap(), expected.len(), "{filter}");
        for top_k in [1, 3, 40] {
            let wanted = &expected[..top_k.min(expected.len())];
            for kind in [
                QueryKind::Dense { embedding: vec![1.0, 0.0] },
                QueryKind::Range { embedding: vec![1.0, 0.0], radius: 0.0 },
            ] {
                let query = VectorQuery::new(kind, top_k).with_selector(filter.clone());
                assert_eq!(found(&*store, query).await, wanted, "{filter}, {top_k}");
            }
        }
        let words = found(&*store, VectorQuery::text("text python", 40).with_selector(filter.clone())).await;
        assert_eq!(words.len(), expected.len(), "{filter}");
        let hybrid = VectorQuery::hybrid(vec![1.0, 0.0], "python", 40).with_selector(filter.clone());
        assert_eq!(found(&*store, hybrid).await.len(), expected.len(), "{filter}");
        let mmr = VectorQuery::mmr(vec![1.0, 0.0], 40).with_selector(filter.clone());
        assert_eq!(found(&*store, mmr).await.len(), expected.len(), "{filter}");
    }
    assert_eq!(store.delete(&field("tag").eq("red").into()).await.unwrap(), 20);
    assert_eq!(store.count(&Selector::all()).await.unwrap(), 20);
}

async fn an_update_mends_what_python_overwrote(db: Db) {
    let store = store(&db).await;
    put(&*store, vec![vector("a", &[1.0, 0.0]).with_metadata("tag", "old")]).await;
    // Python sets its own fields and leaves ours: what they say is no longer so.
    row_of_python(&db, "a", None, "new", 1, &[1.0, 0.0]).await;
    assert_eq!(ids(&*store, field("tag").eq("old")).await, [""; 0]);
    assert_eq!(store.update(&Selector::ids(["a"]), &MetadataPatch::new()).await.unwrap(), 1);
    assert_eq!(ids(&*store, field("tag").eq("new")).await, ["a"]);
}

async fn an_index_that_differs_is_refused(db: Db) {
    index_of_python(&db, "3", "L2").await;
    let store = db.store.vectors().unwrap();
    let error = store.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("dim is \"3\", not \"2\""), "{error}");
    assert!(error.message().contains("distance_metric is \"L2\", not \"COSINE\""), "{error}");
    assert_eq!(store.config().await.unwrap(), None);
    store.configure(VectorConfig::new(3, Metric::Euclidean)).await.unwrap();
    // Another sort of index.
    let mut options = RedisVectorOptions::default();
    options.index = RedisVectorIndex::Hnsw;
    let other = open(&db, |config| config.with_vectors(options)).await;
    let error = other.vectors().unwrap().count(&Selector::all()).await.unwrap_err();
    assert!(error.message().contains("algorithm is \"FLAT\", not \"HNSW\""), "{error}");
}

async fn open(db: &Db, change: impl FnOnce(RedisConfig) -> RedisConfig) -> RedisBackend {
    let config: RedisConfig = db.url.parse().unwrap();
    RedisBackend::connect(change(config.with_namespace(db.name.clone()))).await.unwrap()
}

async fn without_leave_no_index_is_made(db: Db) {
    let other = open(&db, |config| config.with_create(false)).await;
    let theirs = other.vectors().unwrap();
    let error = theirs.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    index_of_python(&db, "2", "COSINE").await;
    let error = theirs.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("FT.ALTER"), "{error}");
    store(&db).await;
    theirs.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
}

async fn a_lost_index_is_made_again(db: Db) {
    let store = store(&db).await;
    let nodes = (0..2_000_u16).map(|n| vector(&format!("n{n}"), &[100.0, 2_000.0 - f32::from(n)]));
    put(&*store, nodes.collect()).await;
    assert_eq!(found(&*store, VectorQuery::dense(vec![1.0, 0.0], 1)).await, ["n1999"]);
    db.store.command(RedisCommand::write("FT.DROPINDEX").key(INDEX)).await.unwrap();
    assert_eq!(found(&*store, VectorQuery::dense(vec![1.0, 0.0], 1)).await, ["n1999"]);
    assert_eq!(store.count(&Selector::all()).await.unwrap(), 2_000);
}

fn declared() -> VectorConfig {
    let field = |key: &str, field_type| FilterableField { key: key.to_owned(), field_type };
    VectorConfig::new(2, Metric::Cosine).with_filterable([
        field("in.year", FieldType::Integer),
        field("when", FieldType::Timestamp),
        field("tag", FieldType::Text),
    ])
}

fn dated(n: u16) -> Node {
    let when = format!("2024-05-01T00:00:{:02}.{:09}Z", n / 3, n % 3);
    vector(&format!("n{n:02}"), &[f32::from(n), 1.0])
        .with_metadata("in", json!({"year": 2000 + n}))
        .with_metadata("when", when)
}

async fn compare(store: &dyn VectorStore, whole: bool) {
    let instant = |text: &str| Timestamp::from_iso(text).unwrap();
    let edge = instant("2024-05-01T00:00:05.000000001Z");
    let filters: [(Filter, usize); 8] = [
        (field("in.year").gt(2009), 20),
        (field("in.year").lte(2009), 10),
        (!field("in.year").between(2010, 2019.5), 20),
        (field("when").gt(edge), 13),
        (field("when").gte(edge), 14),
        (field("when").lt(edge), 16),
        (!field("when").lte(edge), 13),
        (field("when").between(edge, instant("2024-05-01T00:00:06Z")), 3),
    ];
    for (filter, count) in filters {
        let selector = Selector::from(filter.clone());
        assert_eq!(store.count(&selector).await.unwrap(), count, "{filter}");
        assert_eq!(ids(store, filter.clone()).await.len(), count, "{filter}");
        let query = VectorQuery::dense(vec![1.0, 0.0], 30).with_selector(selector);
        let plan = store.explain(&query).await.unwrap();
        assert_eq!(plan.applied_after.is_none(), whole, "{filter}: {plan:?}");
        assert_eq!(found(store, query).await.len(), count, "{filter}");
    }
}

async fn declared_fields_are_compared_by_the_server(db: Db) {
    let store = db.store.vectors().unwrap();
    store.configure(declared()).await.unwrap();
    put(&*store, (0..30).map(dated).collect()).await;
    compare(&*store, true).await;
    // Above 2^53 the server's numbers no longer tell integers apart.
    let great = 9_007_199_254_740_993_i64;
    put(&*store, vec![vector("great", &[1.0, 1.0]).with_metadata("in", json!({"year": great}))]).await;
    assert_eq!(ids(&*store, field("in.year").gt(great)).await, [""; 0]);
    assert_eq!(ids(&*store, field("in.year").gte(great)).await, ["great"]);
    assert_eq!(ids(&*store, field("in.year").gt(great - 1)).await, ["great"]);
    assert_eq!(store.count(&field("in.year").gt(great).into()).await.unwrap(), 0);
}

async fn fields_may_be_declared_later(db: Db) {
    let store = store(&db).await;
    put(&*store, (0..10).map(dated).collect()).await;
    store.configure(declared()).await.unwrap();
    put(&*store, (10..30).map(dated).collect()).await;
    // The first ten do not stand where the server compares; they are found all the same.
    compare(&*store, true).await;
    // Another handle, which saw the set before.
    let plain = VectorConfig::new(2, Metric::Cosine);
    store.configure(plain).await.unwrap();
    compare(&*store, false).await;
}

fn by_tag_and_year() -> VectorConfig {
    let field = |key: &str, field_type| FilterableField { key: key.to_owned(), field_type };
    VectorConfig::new(2, Metric::Cosine)
        .with_filterable([field("tag", FieldType::Text), field("year", FieldType::Integer)])
}

/// How many rows a query finds, as Python's package sends it.
async fn counted(db: &Db, query: &str) -> String {
    let search = RedisCommand::read("FT.SEARCH").key(INDEX).arg(query).arg("NOCONTENT");
    match db.store.command(search.arg("DIALECT").arg("2")).await.unwrap() {
        RedisValue::List(list) => format!("{:?}", list[0]),
        RedisValue::Map(members) => {
            let total = members.into_iter().find(|(name, _)| name.as_str() == Some("total_results"));
            format!("{:?}", total.unwrap().1)
        }
        other => panic!("{other:?}"),
    }
}

async fn python_filters_by_declared_fields(db: Db) {
    let store = db.store.vectors().unwrap();
    store.configure(by_tag_and_year()).await.unwrap();
    // What the field of numbers can not hold is found by everything else.
    let odd = [json!("unknown"), json!(5e-324), json!(true), json!([1999])];
    let mut nodes: Vec<Node> = odd
        .into_iter()
        .enumerate()
        .map(|(n, year)| vector(&format!("n{n}"), &[1.0, 0.0]).with_metadata("year", year))
        .collect();
    nodes.push(vector("n4", &[1.0, 0.0]).with_metadata("year", 1999).with_metadata("tag", "it's"));
    put(&*store, nodes).await;
    assert_eq!(found(&*store, VectorQuery::dense(vec![1.0, 0.0], 9)).await.len(), 5);
    assert_eq!(ids(&*store, field("year").eq("unknown")).await, ["n0"]);
    let one = counted(&db, "@tag:{it\\'s}").await;
    assert!(one.contains('1'), "{one}");
    assert_eq!(counted(&db, "@year:[1999 1999]").await, one);
    // A change of the metadata keeps to it.
    let patch = MetadataPatch::new().with_set("year", "n/a").with_set("tag", "new");
    assert_eq!(store.update(&Selector::ids(["n4"]), &patch).await.unwrap(), 1);
    assert_eq!(counted(&db, "@tag:{new}").await, one);
    assert_eq!(found(&*store, VectorQuery::dense(vec![1.0, 0.0], 9)).await.len(), 5);
}

async fn no_row_is_lost_to_a_field_of_numbers(db: Db) {
    let plain = store(&db).await;
    put(&*plain, vec![vector("old", &[1.0, 0.0]).with_metadata("year", "unknown").with_metadata("tag", "t")])
        .await;
    plain.configure(by_tag_and_year()).await.unwrap();
    assert_eq!(found(&*plain, VectorQuery::dense(vec![1.0, 0.0], 9)).await, ["old"]);
    let info = db.store.command(RedisCommand::read("FT.INFO").key(INDEX)).await.unwrap();
    let info = format!("{info:?}");
    assert!(info.contains("\"tag\"") && !info.contains("\"year\""), "{info}");
}

async fn more_than_ten_thousand(db: Db) {
    let store = store(&db).await;
    let nodes: Vec<Node> = (0..10_500_u16)
        .map(|n| vector(&format!("n{n:05}"), &[100.0, f32::from(n)]).with_metadata("half", n % 2 == 0))
        .collect();
    for part in nodes.chunks(2_000) {
        put(&*store, part.to_vec()).await;
    }
    let all = ids(&*store, Selector::all()).await;
    assert_eq!((all.len(), all.first().unwrap().as_str()), (10_500, "n00000"));
    assert!(all.is_sorted());
    let nearest = found(&*store, VectorQuery::dense(vec![1.0, 0.0], 10_200)).await;
    assert_eq!(nearest.len(), 10_200);
    assert_eq!(nearest[0], "n00000");
    let words = found(&*store, VectorQuery::text("text", 10_200)).await;
    assert_eq!(words.len(), 10_200);
    let half = field("half").eq(true);
    assert_eq!(store.count(&half.clone().into()).await.unwrap(), 5_250);
    assert_eq!(store.delete(&half.into()).await.unwrap(), 5_250);
    assert_eq!(store.count(&Selector::all()).await.unwrap(), 5_250);
    store.clear().await.unwrap();
    assert_eq!(store.count(&Selector::all()).await.unwrap(), 0);
}

async fn many_equals_are_ordered_by_id(db: Db) {
    let store = store(&db).await;
    let mut nodes: Vec<Node> = (0..1_500).map(|n| vector(&format!("n{n:04}"), &[3.0, 4.0])).collect();
    nodes.reverse();
    nodes.push(vector("nearer", &[0.0, 1.0]));
    put(&*store, nodes).await;
    assert_eq!(found(&*store, VectorQuery::dense(vec![0.0, 1.0], 3)).await, ["nearer", "n0000", "n0001"]);
    assert_eq!(found(&*store, VectorQuery::text("text", 2)).await, ["n0000", "n0001"]);
}

async fn a_graph_of_every_metric(db: Db) {
    for (metric, expected) in
        [(Metric::Cosine, "up"), (Metric::Dot, "right, far"), (Metric::Euclidean, "right, near")]
    {
        let url = format!(
            "{}{}store.vector_index=hnsw&store.hnsw_m=8&store.hnsw_ef_runtime=50",
            db.url,
            if db.url.contains('?') { "&" } else { "?" }
        );
        let config: RedisConfig = url.parse().unwrap();
        let backend = RedisBackend::connect(config.with_namespace(db.name.clone())).await.unwrap();
        let store = backend.vector_set(metric.as_str()).unwrap();
        store.configure(VectorConfig::new(2, metric)).await.unwrap();
        let nodes = [("up", [0.4_f32, 0.4]), ("right, near", [1.0, 0.5]), ("right, far", [10.0, 0.0])];
        put(&*store, nodes.map(|(id, embedding)| vector(id, &embedding)).to_vec()).await;
        assert_eq!(found(&*store, VectorQuery::dense(vec![1.0, 1.0], 1)).await, [expected]);
        let range = QueryKind::Range { embedding: vec![1.0, 1.0], radius: -5.0 };
        assert_eq!(found(&*store, VectorQuery::new(range, 10)).await.len(), 3);
        let plan = store.explain(&VectorQuery::dense(vec![1.0, 1.0], 1)).await.unwrap();
        assert!(plan.summary.contains("HNSW"), "{plan:?}");
    }
}

async fn values_are_never_queries(db: Db) {
    let store = store(&db).await;
    let hostile = [
        "",
        "*",
        "x} | *",
        "x}) | (*",
        "x|y",
        "-x",
        "@id:{a}",
        "$w0",
        "=>[KNN 9 @vector $v]",
        "'\"\\",
        "{}",
        "a,b",
        "\n",
        "\0",
        "%%x%%",
        "w'*'",
    ];
    let mut nodes: Vec<Node> =
        vec![vector("plain", &[1.0, 0.0]).with_metadata("v", "plain").with_source("doc")];
    for (n, text) in hostile.iter().enumerate().skip(1) {
        let node = vector(&format!("n{n:02}"), &[1.0, 0.0]);
        nodes.push(node.with_metadata("v", *text).with_metadata(*text, 1).with_source(*text));
    }
    put(&*store, nodes).await;
    for (n, text) in hostile.iter().enumerate().skip(1) {
        let id = format!("n{n:02}");
        assert_eq!(ids(&*store, field("v").eq(*text)).await, [id.as_str()], "{text:?}");
        assert_eq!(ids(&*store, field(*text).eq(1)).await, [id.as_str()], "{text:?}");
        assert_eq!(ids(&*store, Selector::ref_docs([*text])).await, [id.as_str()], "{text:?}");
        let query = VectorQuery::dense(vec![1.0, 0.0], 99).with_selector(Selector::ref_docs([*text]));
        assert_eq!(found(&*store, query).await, [id.as_str()], "{text:?}");
    }
    for text in hostile {
        let query = VectorQuery::text(text, 99).with_selector(field("v").eq("plain"));
        assert!(found(&*store, query).await.len() <= 1, "{text:?}");
    }
    // In Python this deletes everything.
    let error = store.delete(&Selector::ref_docs([""])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(store.delete(&Selector::ref_docs(["*"])).await.unwrap(), 1);
    assert_eq!(store.delete(&field("v").eq("").into()).await.unwrap(), 0);
    assert_eq!(store.count(&Selector::all()).await.unwrap(), hostile.len() - 1);
}

async fn a_row_of_another_type_is_left_alone(db: Db) {
    let store = store(&db).await;
    let key = || format!("{INDEX}/vector_taken");
    db.store.command(RedisCommand::write("SET").key(key()).arg("theirs")).await.unwrap();
    let nodes = vec![vector("fine", &[1.0, 0.0]), vector("taken", &[1.0, 0.0])];
    let error = store.upsert(nodes, AddMode::Overwrite).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.failed()),
        (ErrorKind::InvalidInput, &["taken".to_owned()][..]),
        "{error}"
    );
    assert_eq!(ids(&*store, Selector::all()).await, ["fine"]);
    let theirs = db.store.command(RedisCommand::read("GET").key(key())).await.unwrap();
    assert_eq!(theirs.as_str(), Some("theirs"));
}

async fn too_many_values_are_filtered_all_the_same(db: Db) {
    let store = store(&db).await;
    let list: Vec<u32> = (0..5_000).collect();
    put(
        &*store,
        vec![
            vector("long", &[1.0, 0.0]).with_metadata("list", list).with_metadata("tag", "a"),
            vector("short", &[1.0, 0.0]).with_metadata("list", vec![7_u32]).with_metadata("tag", "a"),
        ],
    )
    .await;
    assert_eq!(ids(&*store, field("list").contains(4_999)).await, ["long"]);
    assert_eq!(ids(&*store, field("list").contains(7)).await, ["long", "short"]);
    assert_eq!(store.count(&(!field("list").contains(8)).into()).await.unwrap(), 1);
    assert_eq!(store.count(&field("tag").eq("a").into()).await.unwrap(), 2);
}
