//! Vectors as other programs see them, and the vector index of a service that has such: `STORE_TEST_DYNOXIDE_URL`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;

use common::{ITEM, names, told};
use futures::future::BoxFuture;
use libtest_mimic::Trial;
use serde_json::json;
use store_conformance::server;
use store_core::{
    AddMode, Backend as _, ErrorKind, FieldType, FilterableField, GetOptions, MetadataPatch, Metric, Node,
    Selector, VectorConfig, VectorQuery, VectorStore, VectorStoreExt as _,
};
use store_dynamodb::aws_sdk_dynamodb::types::{AttributeValue, DeleteVectorIndexAction, VectorIndexUpdate};
use store_dynamodb::{
    DynamoDbBackend, DynamoDbConfig, DynamoDbVectorEngine, DynamoDbVectorLayout, DynamoDbVectorOptions,
};

type Change = fn(DynamoDbVectorOptions) -> DynamoDbVectorOptions;

/// A store in a namespace of its own, of vectors kept as the test wants.
#[derive(Clone)]
struct Db {
    store: DynamoDbBackend,
    config: DynamoDbConfig,
}

impl Db {
    fn vectors(&self) -> Arc<dyn VectorStore> {
        self.store.vectors().unwrap()
    }

    /// The main table.
    fn main(&self) -> String {
        format!("nodestore.{}", self.config.namespace.as_deref().unwrap())
    }

    async fn item(
        &self,
        table: &str,
        partition: &str,
        sort: &str,
    ) -> Option<HashMap<String, AttributeValue>> {
        let get = self.store.client().unwrap().get_item().table_name(table).consistent_read(true);
        let get = get.key("pk", text(partition)).key("sk", text(sort));
        get.send().await.unwrap().item
    }

    async fn put(&self, table: &str, item: [(&str, AttributeValue); 3]) {
        let item = item.map(|(name, value)| (name.to_owned(), value)).into();
        let put = self.store.client().unwrap().put_item().table_name(table).set_item(Some(item));
        put.send().await.unwrap();
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn numbers(values: &[&str]) -> AttributeValue {
    AttributeValue::L(values.iter().map(|value| AttributeValue::N((*value).to_owned())).collect())
}

fn node(id: &str, embedding: [f32; 2]) -> Node {
    Node::text(format!("text of {id}")).with_id(id).with_embedding(embedding)
}

fn ids(found: &[store_core::ScoredNode]) -> Vec<&str> {
    found.iter().map(|found| found.node.id.as_str()).collect()
}

fn trial(
    name: &'static str,
    variable: &str,
    change: Change,
    test: impl Fn(Db) -> BoxFuture<'static, ()> + Send + 'static,
) -> Trial {
    server::test(name, variable, move |url| async move {
        let mut config: DynamoDbConfig = url.parse().unwrap();
        config.table = None;
        let config = config.with_namespace(server::fresh_namespace());
        let config = config.with_create(true).with_consistent_reads(true);
        let config = config.with_vectors(change(DynamoDbVectorOptions::default()));
        let db = Db { store: DynamoDbBackend::connect(config.clone()).await.unwrap(), config };
        test(db.clone()).await;
        db.store.drop_namespace().await.unwrap();
    })
}

fn main() -> ExitCode {
    const LOCAL: &str = "STORE_TEST_DYNAMODB_URL";
    const INDEXED: &str = "STORE_TEST_DYNOXIDE_URL";
    let llamaindex: Change = |options| options.with_layout(DynamoDbVectorLayout::LlamaIndex);
    let native: Change = |options| options.with_engine(DynamoDbVectorEngine::Native);
    let tenant: Change = |options| options.with_engine(DynamoDbVectorEngine::Native).with_tenant("tenant");
    let trials = vec![
        trial("rows_are_as_llamaindex_writes_them", LOCAL, llamaindex, |db| Box::pin(as_llamaindex(db))),
        trial("rows_of_llamaindex_are_found", LOCAL, llamaindex, |db| Box::pin(of_llamaindex(db))),
        trial("rows_at_the_limit", LOCAL, |options| options, |db| Box::pin(at_the_limit(db))),
        trial("rows_of_llamaindex_at_the_limit", LOCAL, llamaindex, |db| Box::pin(at_the_limit(db))),
        trial("indexed_rows_at_the_limit", INDEXED, native, |db| Box::pin(at_the_limit(db))),
        trial("odd_rows_come_back", LOCAL, |options| options, |db| Box::pin(odd_rows(db))),
        trial("odd_rows_of_llamaindex_come_back", LOCAL, llamaindex, |db| Box::pin(odd_rows(db))),
        trial("odd_indexed_rows_come_back", INDEXED, native, |db| Box::pin(odd_rows(db))),
        trial("a_missing_table_is_told", LOCAL, |options| options, |db| Box::pin(missing(db))),
        trial("a_service_without_indexes_is_told", LOCAL, native, |db| Box::pin(no_indexes(db))),
        trial("an_index_answers", INDEXED, native, |db| Box::pin(index_answers(db))),
        trial("an_index_never_answers_less", INDEXED, native, |db| Box::pin(never_less(db))),
        trial("an_index_is_parted", INDEXED, tenant, |db| Box::pin(parted(db))),
        trial("a_lost_index_is_done_without", INDEXED, native, |db| Box::pin(lost_index(db))),
        trial("another_index_is_refused", INDEXED, native, |db| Box::pin(another_index(db))),
    ];
    server::run(trials)
}

/// `vector_store/embedding` holds the numbers, `vector_store/text_id_to_doc_id` the source document or null.
async fn as_llamaindex(db: Db) {
    let vectors = db.vectors();
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    let nodes = vec![
        node("a", [1.0, 0.5]).with_source("doc").with_metadata("k", json!({"x": [1]})),
        node("b", [0.0, 1.0]),
    ];
    vectors.upsert(nodes.clone(), AddMode::Overwrite).await.unwrap();
    let row = db.item(&db.main(), "vector_store/embedding", "a").await.unwrap();
    assert_eq!(row.get("value"), Some(&numbers(&["1", "0.5"])));
    assert!(
        row.keys()
            .all(|name| ["pk", "sk", "value"].contains(&name.as_str()) || name.starts_with("_nodestore"))
    );
    let source = |id: &'static str| {
        let db = db.clone();
        async move {
            Some(db.item(&db.main(), "vector_store/text_id_to_doc_id", id).await?.remove("value").unwrap())
        }
    };
    assert_eq!(source("a").await, Some(text("doc")));
    assert_eq!(source("b").await, Some(AttributeValue::Null(true)));

    let back = vectors.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await.unwrap();
    assert_eq!(back.items, nodes);
    let filter: store_core::Filter = "k exists".parse().unwrap();
    let query = VectorQuery::dense(vec![0.0, 1.0], 5).with_selector(filter);
    assert_eq!(ids(&vectors.query(&query).await.unwrap()), ["a"]);
    let without = Node::text("no embedding").with_id("c");
    let error = vectors.upsert(vec![without], AddMode::Overwrite).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);

    assert_eq!(vectors.delete(&Selector::ref_docs(["doc"])).await.unwrap(), 1);
    assert_eq!(source("a").await, None);
    assert!(db.store.drop_vector_set(None).await.unwrap());
    assert_eq!(source("b").await, None);
}

/// What Python wrote has an embedding and a source document, and nothing else.
async fn of_llamaindex(db: Db) {
    let vectors = db.vectors();
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    for (id, values, source) in
        [("p1", ["0.25", "1"], text("doc")), ("p2", ["1", "0"], AttributeValue::Null(true))]
    {
        let main = db.main();
        db.put(
            &main,
            [("pk", text("vector_store/embedding")), ("sk", text(id)), ("value", numbers(&values))],
        )
        .await;
        db.put(&main, [("pk", text("vector_store/text_id_to_doc_id")), ("sk", text(id)), ("value", source)])
            .await;
    }
    let query = VectorQuery::dense(vec![0.0, 1.0], 5);
    assert_eq!(ids(&vectors.query(&query).await.unwrap()), ["p1", "p2"]);
    let of_doc = Selector::ref_docs(["doc"]);
    assert_eq!(ids(&vectors.query(&query.with_selector(of_doc.clone())).await.unwrap()), ["p1"]);
    assert_eq!(vectors.count(&of_doc).await.unwrap(), 1);
    assert_eq!(sources(&*vectors).await, [Some("doc".to_owned()), None]);
    // An update gives them a content, which knows the source as well.
    let patch = MetadataPatch::new().with_set("seen", true);
    assert_eq!(vectors.update(&Selector::ids(["p1", "p2"]), &patch).await.unwrap(), 2);
    let filter: store_core::Filter = "seen".parse().unwrap();
    assert_eq!(vectors.count(&filter.into()).await.unwrap(), 2);
    assert_eq!(sources(&*vectors).await, [Some("doc".to_owned()), None]);
    assert_eq!(vectors.delete(&of_doc).await.unwrap(), 1);
    assert_eq!(vectors.count(&Selector::all()).await.unwrap(), 1);
    assert!(db.item(&db.main(), "vector_store/text_id_to_doc_id", "p1").await.is_none());
}

/// The source documents of `p1` and `p2`, which every way of reading must give alike.
async fn sources(vectors: &dyn VectorStore) -> [Option<String>; 2] {
    let all = vectors.get(&Selector::all(), GetOptions::default()).await.unwrap().items;
    let named = vectors.get(&Selector::ids(["p1", "p2"]), GetOptions::default()).await.unwrap().items;
    let query = VectorQuery::dense(vec![0.0, 1.0], 5);
    let found = vectors.query(&query).await.unwrap().into_iter().map(|found| found.node).collect();
    let [all, named, found] = [all, named, found].map(|nodes: Vec<Node>| {
        ["p1", "p2"].map(|id| {
            let node = nodes.iter().find(|node| node.id.as_str() == id).unwrap();
            node.ref_doc_id().map(store_core::RefDocId::into_string)
        })
    });
    assert_eq!((&all, &named), (&found, &found));
    all
}

/// A node takes an item, an id 1,024 bytes, and not a byte more.
async fn at_the_limit(db: Db) {
    let vectors = db.vectors();
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    let great = 10 << 20;
    let long =
        |id: &str, length: usize| Node::text("x".repeat(length)).with_id(id).with_embedding([1.0, 0.5]);
    let error = vectors.upsert(vec![long("a", great)], AddMode::Overwrite).await.unwrap_err();
    let fits = ITEM - (told(&error) - great);
    vectors.upsert(vec![long("b", fits)], AddMode::Overwrite).await.unwrap();
    let found = vectors.query(&VectorQuery::dense(vec![1.0, 0.5], 5)).await.unwrap();
    assert_eq!(found.iter().map(|found| found.node.text_content().len()).collect::<Vec<_>>(), [fits]);
    for mode in [AddMode::Overwrite, AddMode::Skip, AddMode::Fail] {
        let batch = vec![node("small", [1.0, 0.5]), long("c", fits + 1)];
        let error = vectors.upsert(batch, mode).await.unwrap_err();
        assert_eq!((told(&error), error.failed()), (ITEM + 1, ["c".to_owned()].as_slice()));
    }
    let longest = "é".repeat(512);
    vectors.upsert(vec![node(&longest, [1.0, 0.5])], AddMode::Overwrite).await.unwrap();
    for (id, kind) in
        [(format!("{longest}x"), ErrorKind::LimitExceeded), (String::new(), ErrorKind::InvalidInput)]
    {
        let batch = vec![node("small", [1.0, 0.5]), node(&id, [1.0, 0.5])];
        let error = vectors.upsert(batch, AddMode::Overwrite).await.unwrap_err();
        assert_eq!((error.kind(), error.failed()), (kind, [id].as_slice()), "{error}");
    }
    assert_eq!(vectors.count(&Selector::all()).await.unwrap(), 2);
}

/// Numbers that the service can not hold, and names that mean something in an expression.
async fn odd_rows(db: Db) {
    let vectors = db.vectors();
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    let named =
        names().into_iter().map(|name| node(&format!("of {name}"), [1.0, 0.5]).with_metadata(name, 7));
    let mut nodes: Vec<Node> = named.collect();
    nodes.push(node("numbers", [1.0, 0.5]).with_metadata("numbers", common::numbers()));
    vectors.upsert(nodes.clone(), AddMode::Overwrite).await.unwrap();
    let back =
        vectors.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await.unwrap().items;
    let mut back: Vec<_> =
        back.iter().map(|node| (node.id.clone(), node.hash(), node.embedding.clone())).collect();
    let mut put: Vec<_> =
        nodes.iter().map(|node| (node.id.clone(), node.hash(), node.embedding.clone())).collect();
    back.sort_by(|one, other| one.0.cmp(&other.0));
    put.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(back, put);
    for name in names() {
        let filter = store_core::filter::field(name).eq(7);
        let query = VectorQuery::dense(vec![1.0, 0.5], 5).with_selector(filter);
        assert_eq!(ids(&vectors.query(&query).await.unwrap()), [format!("of {name}")]);
    }
    for (least, count) in [(5e-324, 1), (1e-323, 0)] {
        let filter = store_core::filter::field("numbers.least").gte(least);
        assert_eq!(vectors.count(&filter.into()).await.unwrap(), count, "{least}");
    }
}

/// Without `create` nothing is made, and the error says what to do.
async fn missing(db: Db) {
    let store = DynamoDbBackend::connect(db.config.clone().with_create(false)).await.unwrap();
    let vectors = store.vectors().unwrap();
    assert!(vectors.config().await.unwrap().is_none());
    let error = vectors.configure(VectorConfig::new(2, Metric::Dot)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("store.create=true"), "{error}");
    let tables = db.store.client().unwrap().list_tables().send().await.unwrap();
    assert!(!tables.table_names().iter().any(|name| name.starts_with(&db.main())));
}

async fn no_indexes(db: Db) {
    let error = db.vectors().configure(VectorConfig::new(2, Metric::Dot)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("store.vector_engine"), "{error}");
}

/// A field of whole numbers, which the index filters by.
fn declared() -> [FilterableField; 1] {
    [FilterableField { key: "n".to_owned(), field_type: FieldType::Integer }]
}

/// So many nodes around the circle, `n` from 0 to 3 and `odd`.
async fn circle(vectors: &dyn VectorStore, count: u16) {
    let nodes = (0..count).map(|number| {
        let angle = std::f32::consts::PI * f32::from(number) / f32::from(count);
        let node = node(&format!("n{number:03}"), [angle.cos(), angle.sin()]);
        node.with_metadata("n", number % 4).with_metadata("odd", number % 2 == 1).with_metadata("tenant", "t")
    });
    vectors.upsert(nodes.collect(), AddMode::Overwrite).await.unwrap();
}

/// By every metric with the scores of the store's definition, and what the index filters by is asked of it.
async fn index_answers(db: Db) {
    for (name, metric) in [("c", Metric::Cosine), ("d", Metric::Dot), ("e", Metric::Euclidean)] {
        let vectors = db.store.vector_set(name).unwrap();
        vectors.configure(VectorConfig::new(2, metric).with_filterable(declared())).await.unwrap();
        circle(&*vectors, 40).await;
        let filter: store_core::Filter = "n == 1".parse().unwrap();
        let query =
            VectorQuery::dense(vec![1.0, 0.25], 3).with_embeddings(true).with_selector(filter.clone());
        let plan = vectors.explain(&query).await.unwrap();
        assert!(plan.native.unwrap().starts_with("SearchVectors"), "{}", plan.summary);
        assert_eq!((plan.pushed_down, plan.applied_after), (Some(filter), None));
        let found = vectors.query(&query).await.unwrap();
        assert_eq!(found.len(), 3);
        for found in &found {
            let embedding = found.node.embedding_f32().unwrap();
            let expected = metric.score(&[1.0, 0.25], &embedding);
            assert!((found.score - expected).abs() < 1e-6, "{metric}: {} is {expected}", found.score);
        }
    }
}

/// Where the index knows too little, every node is read: more than 100 answers, or a filter that few of the nearest pass.
async fn never_less(db: Db) {
    let vectors = db.vectors();
    vectors.configure(VectorConfig::new(2, Metric::Cosine).with_filterable(declared())).await.unwrap();
    circle(&*vectors, 300).await;
    let all = VectorQuery::dense(vec![1.0, 0.0], 250);
    assert_eq!(vectors.query(&all).await.unwrap().len(), 250);
    assert!(vectors.explain(&all).await.unwrap().summary.contains("at most 100"));
    let last: Vec<String> = (290..300).map(|number| format!("n{number}")).collect();
    vectors.update(&Selector::ids(last), &MetadataPatch::new().with_set("last", true)).await.unwrap();
    let filter: store_core::Filter = "last and odd".parse().unwrap();
    let query = VectorQuery::dense(vec![1.0, 0.0], 4).with_selector(filter.clone());
    assert_eq!(ids(&vectors.query(&query).await.unwrap()), ["n291", "n293", "n295", "n297"]);
    assert_eq!(vectors.explain(&query).await.unwrap().applied_after, Some(filter));
}

/// The tenant is asked of the index, and a node without one is refused: the index would not know it.
async fn parted(db: Db) {
    let vectors = db.vectors();
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    circle(&*vectors, 10).await;
    vectors
        .upsert(vec![node("other", [1.0, 0.0]).with_metadata("tenant", "u")], AddMode::Overwrite)
        .await
        .unwrap();
    let error = vectors.upsert(vec![node("x", [1.0, 0.0])], AddMode::Overwrite).await.unwrap_err();
    assert_eq!((error.kind(), error.failed()), (ErrorKind::InvalidInput, ["x".to_owned()].as_slice()));
    let unset = MetadataPatch::new().with_unset("tenant");
    let error = vectors.update(&Selector::ids(["other"]), &unset).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let filter: store_core::Filter = "tenant == \"u\"".parse().unwrap();
    let query = VectorQuery::dense(vec![1.0, 0.0], 5);
    let of_tenant = query.clone().with_selector(filter);
    assert_eq!(ids(&vectors.query(&of_tenant).await.unwrap()), ["other"]);
    assert!(vectors.explain(&of_tenant).await.unwrap().native.unwrap().starts_with("SearchVectors"));
    assert_eq!(vectors.query(&query).await.unwrap().len(), 5);
    assert!(!vectors.explain(&query).await.unwrap().native.unwrap().starts_with("SearchVectors"));
}

/// Without the index every node is read, and what is written and found is the same.
async fn lost_index(db: Db) {
    let vectors = db.vectors();
    vectors.configure(VectorConfig::new(2, Metric::Euclidean)).await.unwrap();
    circle(&*vectors, 20).await;
    let query = VectorQuery::dense(vec![1.0, 0.0], 3);
    let before = vectors.query(&query).await.unwrap();
    let delete = DeleteVectorIndexAction::builder().index_name("by_vector").build().unwrap();
    let update = db.store.client().unwrap().update_table().table_name(format!("{}-vectors", db.main()));
    update.vector_index_updates(VectorIndexUpdate::builder().delete(delete).build()).send().await.unwrap();
    let after = vectors.query(&query).await.unwrap();
    assert_eq!(ids(&after), ids(&before));
    assert!(vectors.explain(&query).await.unwrap().summary.contains("no index"));
    vectors.upsert(vec![node("new", [1.0, 0.0])], AddMode::Overwrite).await.unwrap();
    assert_eq!(vectors.count(&Selector::all()).await.unwrap(), 21);
}

/// A table with another index than the set's is refused, with what to do.
async fn another_index(db: Db) {
    let vectors = db.vectors();
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    // The settings of a set with the same dimensions and another metric.
    let table = format!("{}-vectors", db.main());
    let mut item = db.item(&table, "config", "config").await.unwrap();
    let settings = item.get("settings").unwrap().as_s().unwrap().replace("cosine", "dot");
    item.insert("settings".to_owned(), AttributeValue::S(settings));
    let client = db.store.client().unwrap();
    client.put_item().table_name(&table).set_item(Some(item)).send().await.unwrap();
    let error = vectors.count(&Selector::all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("distance function"), "{error}");
}
