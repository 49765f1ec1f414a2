//! Vectors on a real node beyond what every store keeps: tables of others, what must be refused, long answers, exclusive
//! sets. The node is that of `STORE_TEST_CASSANDRA_URL`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may end at once")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use store_cassandra::{CassandraBackend, CassandraConfig, CassandraSession, CassandraVectorOptions};
use store_conformance::server;
use store_core::filter::field;
use store_core::{
    AddMode, Backend as _, Error, ErrorKind, FieldType, Filter, FilterableField, GetOptions, Metric, Node,
    QueryKind, Selector, Timestamp, VectorConfig, VectorQuery, VectorStore, VectorStoreExt as _,
};

const SERVER: &str = "STORE_TEST_CASSANDRA_URL";

fn main() -> ExitCode {
    store_conformance::tests_on! {
        SERVER;
        the_live_schema_decides,
        a_table_of_another_shape_is_refused,
        embeddings_that_can_not_be_are_refused_before_any_write,
        one_dimension_by_cosine_is_compared_here,
        long_answers_and_equal_scores,
        alternatives_are_read_in_one_order,
        a_node_is_in_one_place_only,
        exclusive_sets_leave_filters_to_the_server,
        diverse_nodes_may_be_prefetched,
    }
}

/// A store of the test's own.
async fn open(test: &str, options: CassandraVectorOptions) -> CassandraBackend {
    let config: CassandraConfig = server::url(SERVER).unwrap().parse().unwrap();
    let config = config.with_namespace(format!("v{test}{}", std::process::id())).with_create(true);
    let config = config.with_vectors(options).with_operation_timeout(Duration::from_mins(1));
    CassandraBackend::connect(config).await.unwrap()
}

async fn plain(test: &str) -> CassandraBackend {
    open(test, CassandraVectorOptions::default()).await
}

async fn configured(backend: &CassandraBackend, dimensions: usize, metric: Metric) -> Arc<dyn VectorStore> {
    let store = backend.vectors().unwrap();
    store.configure(VectorConfig::new(dimensions, metric)).await.unwrap();
    store
}

/// Runs a statement past the store; `{table}` is the table of its default set.
async fn cql(backend: &CassandraBackend, statement: &str) {
    let config = backend.config();
    let keyspace = config.keyspace.as_deref().unwrap_or("nodestore");
    let table = format!("{keyspace}.{}_vectors", config.namespace.as_deref().unwrap());
    let statement = statement.replace("{table}", &table).replace("{keyspace}", keyspace);
    match backend.session().unwrap() {
        CassandraSession::Tcp(session) => session.query(statement).await.unwrap(),
        CassandraSession::Tls(session) => session.query(statement).await.unwrap(),
    };
}

fn node(id: &str, embedding: &[f32], metadata: &Value) -> Node {
    let mut node = Node::text(format!("text of {id}")).with_id(id).with_embedding(embedding);
    node.metadata.clone_from(metadata.as_object().unwrap());
    node
}

async fn put(store: &dyn VectorStore, nodes: Vec<Node>) {
    store.upsert(nodes, AddMode::Overwrite).await.unwrap();
}

async fn selected(store: &dyn VectorStore, filter: &Filter) -> Vec<String> {
    let page = store.get(&filter.clone().into(), GetOptions::default()).await.unwrap();
    let mut ids: Vec<String> = page.items.into_iter().map(|node| node.id.into_string()).collect();
    ids.sort_unstable();
    ids
}

async fn found(store: &dyn VectorStore, query: &VectorQuery) -> Vec<String> {
    let found = store.query(query).await.unwrap();
    found.into_iter().map(|found| found.node.id.into_string()).collect()
}

fn is_config(error: &Error, says: &str) {
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

async fn the_live_schema_decides() {
    let backend = plain("schema").await;
    cql(
        &backend,
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {'class': 'SimpleStrategy', \
                   'replication_factor': 1}",
    )
    .await;
    cql(
        &backend,
        "CREATE TABLE {table} (partition_id text, row_id text, attributes_blob text, body_blob text, metadata_s \
         map<text, text>, vector vector<float, 4>, PRIMARY KEY (partition_id, row_id))",
    )
    .await;
    cql(
        &backend,
        "CREATE CUSTOM INDEX ON {table} (vector) USING 'StorageAttachedIndex' WITH OPTIONS = \
         {'similarity_function': 'euclidean'}",
    )
    .await;
    let store = backend.vectors().unwrap();
    let other = |dimensions, metric| store.configure(VectorConfig::new(dimensions, metric));
    is_config(&other(3, Metric::Euclidean).await.unwrap_err(), "4 dimensions");
    is_config(&other(4, Metric::Cosine).await.unwrap_err(), "euclidean");
    other(4, Metric::Euclidean).await.unwrap();
    // It has neither the index of ids nor that of entries.
    put(&*store, vec![node("a", &[1.0, 0.0, 0.0, 0.0], &json!({"x": 1}))]).await;
    assert_eq!(selected(&*store, &field("x").eq(1)).await, ["a"]);
    assert_eq!(store.delete(&Selector::ids(["a"])).await.unwrap(), 1);
    backend.drop_namespace().await.unwrap();
}

async fn a_table_of_another_shape_is_refused() {
    let backend = plain("shape").await;
    cql(
        &backend,
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {'class': 'SimpleStrategy', \
                   'replication_factor': 1}",
    )
    .await;
    cql(&backend, "CREATE TABLE {table} (id text PRIMARY KEY, vector vector<float, 4>)").await;
    let store = backend.vectors().unwrap();
    let refused = store.configure(VectorConfig::new(4, Metric::Cosine)).await.unwrap_err();
    is_config(&refused, "store.vector_table");
    backend.drop_namespace().await.unwrap();
}

async fn embeddings_that_can_not_be_are_refused_before_any_write() {
    let backend = plain("bad").await;
    let store = configured(&backend, 2, Metric::Cosine).await;
    for bad in [&[1.0][..], &[1.0, 2.0, 3.0], &[0.0, 0.0], &[f32::NAN, 1.0], &[1.0, f32::INFINITY], &[]] {
        let nodes = vec![node("good", &[1.0, 0.0], &json!({})), node("bad", bad, &json!({}))];
        let refused = store.upsert(nodes, AddMode::Overwrite).await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.failed()),
            (ErrorKind::InvalidInput, &["bad".to_owned()][..]),
            "{bad:?}"
        );
        let query = VectorQuery::dense(bad.to_vec(), 1);
        assert_eq!(store.query(&query).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{bad:?}");
    }
    assert_eq!(store.count(&Selector::all()).await.unwrap(), 0);
    backend.drop_namespace().await.unwrap();
}

/// Cassandra has no index for it.
async fn one_dimension_by_cosine_is_compared_here() {
    let backend = plain("one").await;
    let store = configured(&backend, 1, Metric::Cosine).await;
    put(&*store, vec![node("a", &[-2.0], &json!({})), node("b", &[3.0], &json!({}))]).await;
    assert_eq!(found(&*store, &VectorQuery::dense(vec![1.0], 2)).await, ["b", "a"]);
    configured(&backend, 1, Metric::Cosine).await;
    backend.drop_namespace().await.unwrap();
}

async fn long_answers_and_equal_scores() {
    let backend = plain("long").await;
    let store = configured(&backend, 2, Metric::Dot).await;
    // Twelve of each score.
    let nodes =
        (0..1_200_u16).map(|n| node(&format!("n{n:04}"), &[f32::from(n / 12), 1.0], &json!({"n": n})));
    put(&*store, nodes.collect()).await;
    let near = |top_k| VectorQuery::dense(vec![1.0, 0.0], top_k);
    let expected = |top_k| {
        let ids = (0..100).rev().flat_map(|score| (0..12).map(move |n| format!("n{:04}", score * 12 + n)));
        ids.take(top_k).collect::<Vec<_>>()
    };
    for top_k in [1, 5, 12, 30] {
        assert_eq!(found(&*store, &near(top_k)).await, expected(top_k), "the {top_k} nearest");
    }
    // More than the index answers.
    assert_eq!(found(&*store, &near(1_100)).await, expected(1_100));
    let few = near(3).with_selector(field("n").lt(2));
    assert_eq!(found(&*store, &few).await, ["n0000", "n0001"]);
    backend.drop_namespace().await.unwrap();
}

/// Each is a statement of its own; together they are read as one.
async fn alternatives_are_read_in_one_order() {
    let backend = plain("any").await;
    let store = configured(&backend, 2, Metric::Cosine).await;
    let nodes = (0..300_u16).map(|n| {
        let metadata = json!({"a": format!("a{}", n % 3), "b": format!("b{}", n % 5)});
        node(&format!("n{n:03}"), &[f32::from(n), 1.0], &metadata).with_source(format!("s{}", n % 7))
    });
    put(&*store, nodes.collect()).await;
    let all = store.get(&Selector::all(), GetOptions::default()).await.unwrap().items;
    let filter = field("a").eq("a1").or(field("b").one_of(["b0", "b4"]));
    let expected: Vec<&Node> = all.iter().filter(|node| filter.matches(&node.metadata)).collect();
    assert_eq!(expected.len(), 180);
    let mut read = Vec::new();
    let mut options = GetOptions::default().with_limit(7);
    loop {
        let page = store.get(&filter.clone().into(), options.clone()).await.unwrap();
        read.extend(page.items);
        let Some(next) = page.next else { break };
        options = options.with_after(next);
    }
    assert!(read.iter().map(|node| &node.id).eq(expected.iter().map(|node| &node.id)));
    assert_eq!(store.count(&filter.clone().into()).await.unwrap(), 180);
    assert_eq!(store.delete(&filter.into()).await.unwrap(), 180);
    assert_eq!(store.count(&Selector::all()).await.unwrap(), 120);
    backend.drop_namespace().await.unwrap();
}

async fn a_node_is_in_one_place_only() {
    let backend = plain("place").await;
    let store = configured(&backend, 2, Metric::Cosine).await;
    let alone = |id: &str, value: f32| node(id, &[value, 1.0], &json!({}));
    put(&*store, vec![alone("a", 1.0), alone("b", 2.0)]).await;
    for source in ["one", "two", "one"] {
        put(&*store, vec![alone("a", 3.0).with_source(source)]).await;
        assert_eq!(store.count(&Selector::all()).await.unwrap(), 2, "{source}");
        assert_eq!(store.count(&Selector::ref_docs([source])).await.unwrap(), 1, "{source}");
    }
    put(&*store, vec![alone("a", 4.0)]).await;
    assert_eq!(store.count(&Selector::ref_docs(["one"])).await.unwrap(), 0);
    // Nodes without source do not share a partition.
    assert_eq!(store.count(&Selector::ref_docs(["None"])).await.unwrap(), 0);
    assert_eq!(found(&*store, &VectorQuery::dense(vec![1.0, 0.3], 2)).await, ["a", "b"]);
    backend.drop_namespace().await.unwrap();
}

async fn exclusive_sets_leave_filters_to_the_server() {
    let options = CassandraVectorOptions::default().with_exclusive(true);
    let backend = open("own", options.clone()).await;
    let store = backend.vectors().unwrap();
    let declared = |key: &str, field_type| FilterableField { key: key.to_owned(), field_type };
    let fields = [declared("year", FieldType::Integer), declared("when", FieldType::Timestamp)];
    store.configure(VectorConfig::new(2, Metric::Cosine).with_filterable(fields)).await.unwrap();
    let big = 9_007_199_254_740_993_i64;
    put(
        &*store,
        vec![
            node(
                "a",
                &[1.0, 0.0],
                &json!({"year": 1999, "when": "2024-05-01", "list": [1, "x"], "o": {"p": true}}),
            ),
            node("b", &[1.0, 0.1], &json!({"year": big, "when": "2024-05-01T12:00:00.5+01:00"})),
            node("c", &[1.0, 0.2], &json!({"year": 9_007_199_254_740_992.0, "tag": "1"})),
            node("d", &[1.0, 0.3], &json!({"year": "1999", "tag": 1})),
            node("e", &[1.0, 0.4], &json!({"year": -0.5, "tag": "x"})),
        ],
    )
    .await;
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let whole = [
        (field("year").gt(1998.5), vec!["a", "b", "c"]),
        (field("year").gt(9_007_199_254_740_992_i64), vec!["b"]),
        (field("year").gte(9_007_199_254_740_992_i64), vec!["b", "c"]),
        (field("year").lt(big), vec!["a", "c", "e"]),
        (field("year").between(-1, 2000), vec!["a", "e"]),
        (field("when").gte(at("2024-05-01T11:00:00.5Z")), vec!["b"]),
        (field("when").eq(at("2024-05-01T00:00:00Z")), vec!["a"]),
        (field("when").is_missing(), vec!["c", "d", "e"]),
        (field("tag").eq("1"), vec!["c"]),
        (field("tag").eq(1), vec!["d"]),
        (field("tag").one_of([store_core::Scalar::from("x"), 1.into()]), vec!["d", "e"]),
        (field("list").contains_all([store_core::Scalar::from(1)]), vec!["a"]),
        (field("o.p").eq(true), vec!["a"]),
        (field("o").exists(), vec!["a"]),
        (field("year").lt(0).or(field("tag").eq("1")), vec!["c", "e"]),
    ];
    for another in [false, true] {
        // What is known of the set stands in the table, not in the options of whoever opens it.
        let store = if another { plain("own").await.vectors().unwrap() } else { Arc::clone(&store) };
        for (filter, expected) in &whole {
            let query = VectorQuery::dense(vec![1.0, 0.0], 9).with_selector(filter.clone());
            assert_eq!(store.explain(&query).await.unwrap().applied_after, None, "{filter}");
            assert_eq!(found(&*store, &query).await, *expected, "{filter}");
            assert_eq!(selected(&*store, filter).await, *expected, "{filter}");
        }
    }
    let patch = store_core::MetadataPatch::new().with_set("year", 7).with_unset("when");
    assert_eq!(store.update(&field("year").gt(2000).into(), &patch).await.unwrap(), 2);
    assert_eq!(selected(&*store, &field("year").between(1, 10)).await, ["b", "c"]);
    assert_eq!(selected(&*store, &field("when").is_missing()).await, ["b", "c", "d", "e"]);
    backend.drop_namespace().await.unwrap();
}

/// All that the index answers are weighed, or as many as are asked for.
async fn diverse_nodes_may_be_prefetched() {
    let backend = open("mmr", CassandraVectorOptions::default().with_mmr_prefetch(2.0)).await;
    let store = configured(&backend, 2, Metric::Cosine).await;
    let nodes =
        [("a", [1.0, 0.0]), ("b", [1.0, 0.01]), ("c", [1.0, 0.02]), ("d", [1.0, 0.03]), ("e", [0.0, 1.0])];
    put(&*store, nodes.iter().map(|(id, embedding)| node(id, embedding, &json!({}))).collect()).await;
    let kind = QueryKind::Mmr { embedding: vec![1.0, 0.0], threshold: 0.1 };
    // Of all five it would be `e`.
    assert_eq!(found(&*store, &VectorQuery::new(kind.clone(), 2)).await, ["a", "d"]);
    let all = plain("mmr").await.vectors().unwrap();
    assert_eq!(found(&*all, &VectorQuery::new(kind, 2)).await, ["a", "e"]);
    backend.drop_namespace().await.unwrap();
}
