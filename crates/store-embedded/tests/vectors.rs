//! The vector role held against the memory store: same operations, same answers, also after opening again.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end at once")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use store_core::{
    AddMode, Backend, DistinctOptions, ErrorKind, Filter, GetOptions, MemoryBackend, MetadataPatch, Metric,
    Node, QueryKind, Selector, VectorConfig, VectorQuery, VectorStore, VectorStoreExt,
};
use store_embedded::{EmbeddedBackend, EmbeddedConfig};

/// A small generator, so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.next(of.len() as u64)).unwrap()].clone()
    }

    fn value(&mut self) -> Value {
        let long = "x".repeat(300);
        let longer = format!("{long}y");
        self.one(&[
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(1),
            json!(1.0),
            json!(-1.5),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(9_007_199_254_740_993_u64),
            json!(9_007_199_254_740_992.0),
            json!(-0.0),
            json!(""),
            json!("a"),
            json!("ab"),
            json!("A"),
            json!("a\u{0}b"),
            json!("é"),
            json!("1"),
            json!("true"),
            json!("2024-05-01"),
            json!("2024-05-01T02:00:00+02:00"),
            json!(long),
            json!(longer),
            json!([]),
            json!(["a", 1, null]),
            json!([1.0, true, "ab", "2024-05-01"]),
            json!({"b": 1}),
            json!({"b": {"c": "a"}}),
            json!({}),
            json!({"b": null}),
            json!([[1]]),
        ])
    }

    fn key(&mut self) -> &'static str {
        self.one(&["a", "b", "a.b", "a.b.c", "c\u{0}d", "missing"])
    }

    fn filter(&mut self, depth: u64) -> Value {
        if depth > 0 && self.next(2) == 0 {
            let parts: Vec<Value> = (0..self.next(4)).map(|_| self.filter(depth - 1)).collect();
            return match self.next(4) {
                0 => json!({"not": self.filter(depth - 1)}),
                1 => json!({"filters": parts, "condition": "or"}),
                2 => json!({"filters": parts, "condition": "not"}),
                _ => json!({"filters": parts, "condition": "and"}),
            };
        }
        let operator = self.one(&[
            "==",
            "!=",
            ">",
            ">=",
            "<",
            "<=",
            "in",
            "nin",
            "contains",
            "any",
            "all",
            "text_match",
            "text_match_insensitive",
            "is_empty",
            "exists",
            "between",
        ]);
        let scalar = |random: &mut Self| loop {
            let value = random.value();
            if random.next(8) == 0 {
                return json!({"timestamp": "2024-05-01T00:00:00Z"});
            }
            if !value.is_array() && !value.is_object() {
                return value;
            }
        };
        let ordered = |random: &mut Self| loop {
            let value = scalar(random);
            if !value.is_boolean() {
                return value;
            }
        };
        let value = match operator {
            "in" | "nin" | "any" | "all" => (0..self.next(4)).map(|_| scalar(self)).collect(),
            "between" => json!([ordered(self), ordered(self)]),
            ">" | ">=" | "<" | "<=" => ordered(self),
            "text_match" | "text_match_insensitive" => json!(self.one(&["", "a", "B", "É", "x", "0"])),
            "exists" => json!(self.next(2) == 0),
            "is_empty" => json!(null),
            _ => scalar(self),
        };
        json!({"key": self.key(), "operator": operator, "value": value})
    }

    fn node(&mut self) -> Node {
        let id = format!("n{}", self.next(60));
        let words = ["fox", "whale", "Red", "blue", "über", "and"];
        let text: Vec<&str> = (0..self.next(6)).map(|_| self.one(&words)).collect();
        let mut node = Node::text(text.join(" ")).with_id(id);
        for key in ["a", "b", "c\u{0}d", "dot.ted"] {
            if self.next(3) > 0 {
                node = node.with_metadata(key, self.value());
            }
        }
        if self.next(3) > 0 {
            node = node.with_source(self.one(&["doc-1", "doc-2", "doc"]));
        }
        if self.next(5) > 0 {
            // Few different values, so that there are ties.
            let vector = [1.0, self.one(&[0.0_f32, 0.5, 1.0]), self.one(&[-1.0_f32, 0.0])];
            node = node.with_embedding(vector);
        }
        node
    }

    fn selector(&mut self) -> Selector {
        let mut selector = Selector::all();
        if self.next(3) == 0 {
            selector = selector.with_ids((0..self.next(30)).map(|n| format!("n{n}")).collect::<Vec<_>>());
        }
        if self.next(3) == 0 {
            selector =
                selector.with_ref_docs((0..self.next(3)).map(|n| format!("doc-{n}")).collect::<Vec<_>>());
        }
        if self.next(2) == 0 {
            selector = selector.with_filter(Filter::from_json(&self.filter(2)).unwrap());
        }
        selector
    }

    fn query(&mut self) -> VectorQuery {
        let embedding = vec![1.0, self.one(&[0.0_f32, 0.7]), self.one(&[-0.3_f32, 0.2])];
        let text = self.one(&["fox", "red WHALE", "nothing", "and blue über", ""]).to_owned();
        let kind = match self.next(5) {
            0 => QueryKind::Dense { embedding },
            1 => QueryKind::Text { text },
            2 => QueryKind::Hybrid { embedding, text, alpha: self.one(&[0.0, 0.3, 0.5, 1.0]) },
            3 => QueryKind::Mmr { embedding, threshold: self.one(&[0.0, 0.5, 1.0]) },
            _ => QueryKind::Range { embedding, radius: self.one(&[-1.0, 0.5, 0.9]) },
        };
        let query = VectorQuery::new(kind, usize::try_from(self.next(70)).unwrap() + 1);
        query.with_selector(self.selector()).with_embeddings(self.next(2) == 0)
    }
}

async fn same_answers(random: &mut Random, model: &dyn VectorStore, store: &dyn VectorStore) {
    let mut query = random.query();
    // BM25 counts replaced texts until tantivy merges them away, so its scores differ; the nodes found do not.
    if matches!(query.kind, QueryKind::Text { .. } | QueryKind::Hybrid { .. }) {
        query.top_k = 1000;
        let nodes = |found: Vec<store_core::ScoredNode>| {
            let mut nodes: Vec<_> = found.into_iter().map(|found| found.node).collect();
            nodes.sort_by(|a, b| a.id.cmp(&b.id));
            nodes
        };
        let (expected, found) = (model.query(&query).await.unwrap(), store.query(&query).await.unwrap());
        assert_eq!(nodes(found), nodes(expected), "{query:?}");
    } else {
        assert_eq!(store.query(&query).await.unwrap(), model.query(&query).await.unwrap(), "{query:?}");
    }
    let selector = random.selector();
    assert_eq!(store.count(&selector).await.unwrap(), model.count(&selector).await.unwrap(), "{selector:?}");
    let options = GetOptions::default().with_limit(7).with_embeddings(true);
    let expected = model.get(&selector, options.clone()).await.unwrap();
    let found = store.get(&selector, options.clone()).await.unwrap();
    assert_eq!(found, expected, "{selector:?}");
    if let Some(next) = found.next {
        let options = options.with_after(next);
        let expected = model.get(&selector, options.clone()).await.unwrap();
        assert_eq!(store.get(&selector, options).await.unwrap(), expected);
    }
    let (ours, theirs) = (store.fields().unwrap(), model.fields().unwrap());
    let key = random.key();
    let options = DistinctOptions::default().with_search("A").with_limit(3);
    let distinct = ours.distinct(key, &selector, options.clone()).await.unwrap();
    assert_eq!(distinct, theirs.distinct(key, &selector, options).await.unwrap());
    assert_eq!(
        ours.min_max(key, &selector).await.unwrap(),
        theirs.min_max(key, &selector).await.unwrap(),
        "{key}"
    );
    let keys = ["a", "b"];
    let expected = theirs.count_distinct(&keys, &selector).await.unwrap();
    assert_eq!(ours.count_distinct(&keys, &selector).await.unwrap(), expected);
    assert_eq!(ours.field_info().await.unwrap(), theirs.field_info().await.unwrap());
}

#[tokio::test]
async fn answers_as_the_memory_store_does() {
    let folder = tempfile::tempdir().unwrap();
    let open = || async { EmbeddedBackend::open(EmbeddedConfig::new(folder.path())).await.unwrap() };
    let mut backend = open().await;
    let mut store: Arc<dyn VectorStore> = backend.vectors().unwrap();
    let model = MemoryBackend::new().vectors().unwrap();
    for vectors in [&store, &model] {
        vectors.configure(VectorConfig::new(3, Metric::Cosine)).await.unwrap();
    }
    let seed = std::env::var("STORE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("STORE_TEST_SEED={seed}");
    let mut random = Random(seed);
    for round in 0..120 {
        match random.next(8) {
            0..4 => {
                let nodes: Vec<Node> = (0..random.next(20)).map(|_| random.node()).collect();
                let mode = random.one(&[AddMode::Overwrite, AddMode::Skip]);
                let expected = model.upsert(nodes.clone(), mode).await.unwrap();
                assert_eq!(store.upsert(nodes, mode).await.unwrap(), expected);
            }
            4 => {
                let selector = random.selector();
                let expected = model.delete(&selector).await;
                let found = store.delete(&selector).await;
                assert_eq!(found.as_ref().ok(), expected.as_ref().ok(), "{found:?} {expected:?}");
            }
            5 => {
                let selector = random.selector();
                let patch = MetadataPatch::new().with_set("a", random.value()).with_unset("b");
                let expected = model.update(&selector, &patch).await.ok();
                assert_eq!(store.update(&selector, &patch).await.ok(), expected);
            }
            6 if round % 3 == 0 => {
                store.clear().await.unwrap();
                model.clear().await.unwrap();
            }
            _ => {
                drop(store);
                backend.close().await.unwrap();
                backend = open().await;
                store = backend.vectors().unwrap();
            }
        }
        for _ in 0..5 {
            same_answers(&mut random, &*model, &*store).await;
        }
    }
}

#[tokio::test]
async fn a_dropped_namespace_forgets_its_vectors_and_words() {
    let folder = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(EmbeddedConfig::new(folder.path())).await.unwrap();
    let vectors = backend.vectors().unwrap();
    for text in ["fox", "whale"] {
        vectors.configure(VectorConfig::new(2, Metric::Dot)).await.unwrap();
        vectors.upsert(vec![Node::text(text).with_embedding([1.0, 2.0])], AddMode::Overwrite).await.unwrap();
        for query in [VectorQuery::text("fox whale", 9), VectorQuery::dense(vec![1.0, 1.0], 9)] {
            let found = vectors.query(&query).await.unwrap();
            assert_eq!(found.iter().map(|found| found.node.text_content()).collect::<Vec<_>>(), [text]);
        }
        backend.drop_namespace().await.unwrap();
        assert!(vectors.query(&VectorQuery::text("fox", 1)).await.is_err());
    }
}

#[tokio::test]
async fn a_lost_word_index_is_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig::new(folder.path());
    for round in 0..3 {
        let backend = EmbeddedBackend::open(config.clone()).await.unwrap();
        let vectors = backend.vectors().unwrap();
        vectors.configure(VectorConfig::new(2, Metric::Dot)).await.unwrap();
        vectors
            .upsert(vec![Node::text("fox").with_id(format!("{round}"))], AddMode::Overwrite)
            .await
            .unwrap();
        assert_eq!(vectors.query(&VectorQuery::text("fox", 9)).await.unwrap().len(), round + 1);
        drop(vectors);
        backend.close().await.unwrap();
        std::fs::remove_dir_all(folder.path().join("words")).unwrap();
        if round == 1 {
            std::fs::create_dir_all(folder.path().join("words/default")).unwrap();
            std::fs::write(folder.path().join("words/default/meta.json"), "{rubbish").unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_and_writes_at_once_agree() {
    let folder = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(EmbeddedConfig::new(folder.path())).await.unwrap();
    let vectors = backend.vectors().unwrap();
    vectors.configure(VectorConfig::new(2, Metric::Dot)).await.unwrap();
    let writer = Arc::clone(&vectors);
    let writing = tokio::spawn(async move {
        for round in 0..150_u16 {
            // Rows are freed and taken by other nodes all the time.
            let id = format!("n{}", round % 10);
            writer.delete(&Selector::ids([format!("n{}", (round + 5) % 10)])).await.unwrap();
            let weight = f32::from(round);
            let node = Node::text(format!("fox {round}")).with_id(id).with_embedding([weight, 1.0]);
            writer.upsert(vec![node.with_metadata("weight", round)], AddMode::Overwrite).await.unwrap();
        }
    });
    while !writing.is_finished() {
        for query in [VectorQuery::dense(vec![1.0, 0.0], 5), VectorQuery::hybrid(vec![1.0, 0.0], "fox", 5)] {
            for found in vectors.query(&query).await.unwrap() {
                if matches!(query.kind, QueryKind::Dense { .. }) {
                    assert_eq!(json!(found.score), json!(found.node.metadata["weight"].as_f64().unwrap()));
                }
            }
        }
    }
    writing.await.unwrap();
}

/// A merge that the closing broke off begins anew with the first change after the opening, which it must not
/// pass over.
#[tokio::test]
async fn a_merge_after_opening_again_brings_no_replaced_words_back() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        let store = EmbeddedBackend::open(EmbeddedConfig::new(folder.path())).await.unwrap();
        let vectors = store.vectors().unwrap();
        vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
        (store, vectors)
    };
    // One write and one search: one segment of the index.
    let write = async |vectors: &Arc<dyn VectorStore>, word: &str, ids: &[String]| {
        let nodes = ids.iter().map(|id| Node::text(word).with_id(id.as_str()));
        vectors.upsert(nodes.collect(), AddMode::Overwrite).await.unwrap();
        let found = vectors.query(&VectorQuery::text("pair", 9)).await.unwrap();
        let mut found: Vec<String> = found.into_iter().map(|found| found.node.id.into_string()).collect();
        found.sort();
        found
    };
    let (x, y) = (["x".to_string()], ["y".to_string()]);
    let (store, vectors) = open().await;
    let many: Vec<String> = (0..5000).map(|number| format!("many {number}")).collect();
    write(&vectors, "some words of the largest segment", &many).await;
    write(&vectors, "pair", &[x.clone(), y.clone(), ["z".into()]].concat()).await;
    for number in 0..5 {
        write(&vectors, "other", &[format!("other {number}")]).await;
    }
    // The eighth segment begins a merge, which is broken off; the second one now misses its first node.
    assert_eq!(write(&vectors, "pair", &x).await, ["x", "y", "z"]);
    drop(vectors);
    store.close().await.unwrap();

    let (store, vectors) = open().await;
    write(&vectors, "pair", &y).await;
    for _ in 0..50 {
        // Time for the merge to end.
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(write(&vectors, "other", &["other".into()]).await, ["x", "y", "z"]);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_change_that_makes_a_node_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedBackend::open(EmbeddedConfig::new(folder.path())).await.unwrap().vectors().unwrap();
    store.configure(VectorConfig::new(1, Metric::Dot)).await.unwrap();
    let half = "x".repeat(9 << 20);
    let node = Node::text("").with_id("a").with_metadata("half", half.clone()).with_embedding([1.0]);
    store.upsert(vec![node], AddMode::Overwrite).await.unwrap();
    let patch = MetadataPatch::new().with_set("other", half);
    let error = store.update(&Selector::ids(["a"]), &patch).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::LimitExceeded, Some("a")));
    let page = store.get(&Selector::all(), GetOptions::default()).await.unwrap();
    assert_eq!(page.items.len(), 1);
}

/// Memory is taken up to the highest row: a damaged number of one must not take it all.
#[tokio::test]
async fn a_stored_vector_that_no_node_has_is_damage() {
    const VECTORS: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("default/vectors");
    let embedding = 1.0_f32.to_le_bytes();
    for (row, bytes) in [(u32::MAX, &embedding[..]), (1, &embedding[..]), (0, &embedding[..3])] {
        let folder = tempfile::tempdir().unwrap();
        let open = || EmbeddedBackend::open(EmbeddedConfig::new(folder.path()));
        let backend = open().await.unwrap();
        let store = backend.vectors().unwrap();
        store.configure(VectorConfig::new(1, Metric::Dot)).await.unwrap();
        store.upsert(vec![Node::text("").with_embedding([1.0])], AddMode::Overwrite).await.unwrap();
        drop(store);
        backend.close().await.unwrap();

        let database = redb::Database::open(folder.path().join("store.redb")).unwrap();
        let tx = database.begin_write().unwrap();
        tx.open_table(VECTORS).unwrap().insert(&row.to_be_bytes()[..], bytes).unwrap();
        tx.commit().unwrap();
        drop(database);

        let store = open().await.unwrap().vectors().unwrap();
        let error = store.query(&VectorQuery::dense(vec![1.0], 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}
