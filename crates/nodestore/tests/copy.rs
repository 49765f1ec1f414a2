//! Copies of stores: whole, equal, refused, interrupted.

#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use nodestore::copy::{CopyEvent, CopyRole, CopyStep, StoreCopy};
use nodestore::{
    AddMode, AddOptions, Backend, ChatMessage, DocStoreExt, ErrorKind, GetOptions, IndexStruct, JsonObject,
    KvStoreExt, MemoryBackend, Metric, Node, NodeId, ScanOptions, Selector, VectorConfig,
};
use serde_json::{Value, json};

const DIMENSIONS: usize = 6;
const COLLECTIONS: [&str; 2] = ["prices", "nodestore"];

fn memory() -> Arc<dyn Backend> {
    Arc::new(MemoryBackend::new())
}

async fn on_disk(folder: &Path) -> Arc<dyn Backend> {
    nodestore::open(&nodestore::embedded_url(folder)).await.unwrap()
}

/// An object in which the order of members counts.
fn object(value: Value) -> JsonObject {
    let Value::Object(object) = value else { unreachable!("{value} is an object") };
    object
}

fn embedding(number: usize) -> Vec<f32> {
    (0..DIMENSIONS).map(|place| 1.0 / (1.0 + (number * DIMENSIONS + place) as f32)).collect()
}

/// Node `number` of a document; ids fall where the order of a document rises.
fn chunk(number: usize) -> Node {
    let mut node = Node::text(format!("żółw {number} \u{1F422}")).with_id(format!("n-{:04}", 9999 - number));
    node.metadata = object(
        json!({"z": number, "a": {"y": 1.0, "x": [1, 1.5, -0.0, null]}, "big": u64::MAX, "small": i64::MIN}),
    );
    node.with_source(format!("d-{}", number / 300))
}

/// A store in which every kind of thing has its odd ones.
async fn fill(store: &dyn Backend) {
    let docs = store.docs().unwrap();
    // The first document has more nodes than one page; its metadata are not those of its nodes.
    let without_text = AddOptions::default().with_store_text(false);
    let mut first = chunk(0);
    first.metadata = object(json!({"of": "the document", "b": 1, "a": 2}));
    docs.add(vec![first], without_text).await.unwrap();
    docs.add((0..700).map(chunk).collect(), AddOptions::default()).await.unwrap();
    let textless = Node::text("gone").with_id("textless").with_source("d-9");
    docs.add(vec![textless], without_text).await.unwrap();
    let beside = Node::text("beside").with_id("a beside").with_source("d-9");
    docs.add(vec![beside], AddOptions::default()).await.unwrap();
    docs.add(vec![Node::document("whole").with_id("d-0")], AddOptions::default()).await.unwrap();
    let hashes = vec![("n-9990".into(), "old".to_owned()), ("lonely".into(), "h".to_owned())];
    docs.set_hashes(hashes).await.unwrap();

    let index = store.index().unwrap();
    index.put(IndexStruct::list(["b", "a"]).with_id("i 1").with_summary("ż")).await.unwrap();
    index.put(IndexStruct::vector_store([("v", "n")]).with_id("i-2")).await.unwrap();

    let chat = store.chat().unwrap();
    for key in ["anna", "a b/c", "ż"] {
        let messages = (0..40).map(|number| ChatMessage::user(format!("{key} {number}")));
        chat.append(key, messages.collect()).await.unwrap();
    }

    let vectors = store.vectors().unwrap();
    vectors.configure(VectorConfig::new(DIMENSIONS, Metric::Cosine)).await.unwrap();
    let nodes = (0..600).map(|number| chunk(number).with_embedding(embedding(number)));
    vectors.upsert(nodes.collect(), AddMode::Overwrite).await.unwrap();
    vectors.upsert(vec![Node::text("none").with_id("none")], AddMode::Overwrite).await.unwrap();
    let other = store.vector_set("other").unwrap();
    other.configure(VectorConfig::new(2, Metric::Dot)).await.unwrap();
    let odd = Node::text("odd").with_id("odd").with_embedding([f32::MIN_POSITIVE, -0.0]);
    other.upsert(vec![odd], AddMode::Overwrite).await.unwrap();

    let kv = store.kv().unwrap();
    for collection in COLLECTIONS {
        let value = object(json!({"b": 1.0, "a": [1, {"d": null, "c": ""}]}));
        kv.put(collection, "a key", value).await.unwrap();
    }
}

/// All that a store holds, as texts in which the order of members and every bit counts.
async fn dump(store: &dyn Backend) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let text = |value: Value| value.to_string();
    let docs = store.docs().unwrap();
    let nodes: Vec<Node> = docs.scan(None).try_collect().await.unwrap();
    all.extend(nodes.iter().map(|node| (format!("node {}", node.id), text(json!(node)))));
    let ref_docs: Vec<_> = docs.scan_ref_docs(None).try_collect().await.unwrap();
    all.extend(
        ref_docs
            .into_iter()
            .map(|(id, info)| (format!("ref doc {id}"), text(json!([info.node_ids, info.metadata])))),
    );
    let hashes: Vec<_> = docs.scan_hashes(None).try_collect().await.unwrap();
    all.extend(hashes.into_iter().map(|(id, hash)| (format!("hash {id}"), hash)));
    let structs: Vec<IndexStruct> = store.index().unwrap().scan(None).try_collect().await.unwrap();
    all.extend(
        structs
            .iter()
            .map(|index| (format!("index {}", index.index_id()), text(json!(index.to_stored_json())))),
    );
    let chat = store.chat().unwrap();
    let keys: Vec<String> = chat.keys(None).try_collect().await.unwrap();
    for key in keys {
        let messages = chat.messages(&key, None).await.unwrap();
        all.insert(
            format!("chat {key}"),
            text(json!(messages.iter().map(ChatMessage::to_json).collect::<Vec<_>>())),
        );
    }
    let sets = store.vector_sets().await.unwrap();
    for set in std::iter::once(None).chain(sets.iter().map(Some)) {
        let vectors = set.map_or_else(|| store.vectors(), |set| store.vector_set(set)).unwrap();
        let Some(config) = vectors.config().await.unwrap() else { continue };
        all.insert(format!("set {set:?}"), text(json!(config)));
        let nodes = vectors.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await.unwrap();
        for mut node in nodes.items {
            let bits =
                node.embedding_f32().map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>());
            node.embedding = None;
            all.insert(format!("vector {set:?} {}", node.id), text(json!([node, bits])));
        }
    }
    for collection in COLLECTIONS {
        let entries: Vec<_> =
            store.kv().unwrap().scan(collection, ScanOptions::default()).try_collect().await.unwrap();
        all.extend(
            entries.into_iter().map(|(key, value)| (format!("{collection} {key}"), text(value.into()))),
        );
    }
    all
}

fn copy() -> StoreCopy {
    StoreCopy::new().with_collections(["prices"])
}

#[tokio::test]
async fn everything_comes_over_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (from, disk, to) = (memory(), on_disk(&folder.path().join("kb")).await, memory());
    fill(&*from).await;
    let there = copy().run(&*from, &*disk).await.unwrap();
    assert!(there.is_equal(), "{there:#?}");
    let back = copy().run(&*disk, &*to).await.unwrap();
    assert!(back.is_equal(), "{back:#?}");
    // Ids come in another order from each store, and the checksums are the same.
    assert_eq!(there, back);
    assert_eq!(dump(&*from).await, dump(&*disk).await);
    assert_eq!(dump(&*from).await, dump(&*to).await);
    let names: Vec<&str> = there.parts.iter().map(|part| part.name.as_str()).collect();
    let expected = [
        "source documents",
        "nodes",
        "content hashes",
        "index structs",
        "chats",
        "vectors",
        "vectors of other",
        "key-values of prices",
        "key-values of nodestore",
    ];
    assert_eq!(names, expected);
    let records: Vec<usize> = there.parts.iter().map(|part| part.records).collect();
    assert_eq!(records, [4, 702, 704, 2, 3, 601, 1, 1, 1]);
    assert!(there.notes.is_empty(), "{:?}", there.notes);
}

#[tokio::test]
async fn a_plan_counts_and_writes_nothing() {
    let (from, to) = (memory(), memory());
    fill(&*from).await;
    to.chat().unwrap().append("me", vec![ChatMessage::user("hello")]).await.unwrap();
    let before = dump(&*to).await;
    let plan = copy().plan(&*from, Some(&*to)).await.unwrap();
    assert_eq!(plan.parts.iter().map(|part| part.records).sum::<usize>(), 2019);
    for part in &plan.parts {
        assert_eq!(part.target_is_empty, Some(part.name != "chats"), "{part:?}");
    }
    assert_eq!(dump(&*to).await, before);
    let alone = StoreCopy::new().plan(&*from, None).await.unwrap();
    assert!(alone.parts.iter().all(|part| part.target_is_empty.is_none()));
    assert!(!alone.parts.iter().any(|part| part.name.contains("prices")), "it was not named");
    assert!(alone.notes.concat().contains("can not list its collections"), "{:?}", alone.notes);
}

#[tokio::test]
async fn roles_are_chosen() {
    let (from, to) = (memory(), memory());
    fill(&*from).await;
    let roles = [CopyRole::Chats, CopyRole::Indexes];
    let report = StoreCopy::new().with_roles(roles).run(&*from, &*to).await.unwrap();
    assert!(report.is_equal());
    let kept = |key: &String| key.starts_with("chat ") || key.starts_with("index ");
    let expected: BTreeMap<_, _> = dump(&*from).await.into_iter().filter(|(key, _)| kept(key)).collect();
    assert_eq!(dump(&*to).await, expected);
    let alone = StoreCopy::new().with_roles([CopyRole::KeyValues]).run(&*from, &*to).await.unwrap_err();
    assert_eq!(alone.kind(), ErrorKind::InvalidInput);
    assert!(alone.message().contains("can not list its collections"), "{alone}");
    let nothing = copy().run(&*memory(), &*to).await.unwrap();
    assert!(nothing.parts.is_empty());
    assert!(nothing.notes.concat().contains("no key-values of prices to copy"), "{:?}", nothing.notes);
}

#[tokio::test]
async fn a_store_that_holds_something_is_refused_or_kept() {
    let (from, to) = (memory(), memory());
    fill(&*from).await;
    let docs = to.docs().unwrap();
    let own = Node::text("own").with_id("own").with_source("d-1");
    let old = Node::text("old").with_id("n-9999").with_source("d-0");
    docs.add(vec![own, old], AddOptions::default()).await.unwrap();
    to.chat().unwrap().append("anna", vec![ChatMessage::user("old")]).await.unwrap();
    to.chat().unwrap().append("me", vec![ChatMessage::user("own")]).await.unwrap();
    let before = dump(&*to).await;
    let refused = copy().run(&*from, &*to).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert!(refused.message().contains("holds source documents already"), "{refused}");
    assert_eq!(dump(&*to).await, before, "nothing was written");

    let report = copy().with_overwrite(true).run(&*from, &*to).await.unwrap();
    assert!(report.is_equal(), "{report:#?}");
    let (ours, theirs) = (dump(&*from).await, dump(&*to).await);
    // Its list now has both stores' nodes, and its metadata are those it had.
    let joined = |key: &&String| *key != "ref doc d-1" && *key != "ref doc d-0";
    for key in ours.keys().filter(joined) {
        assert_eq!(theirs.get(key), ours.get(key), "{key}");
    }
    assert_eq!(theirs.get("node own"), before.get("node own"));
    assert_eq!(theirs.get("chat me"), before.get("chat me"));
    let listed = docs.ref_doc(&"d-1".into()).await.unwrap().unwrap().node_ids;
    assert_eq!((listed.len(), listed.first().unwrap().as_str()), (301, "own"));
}

#[tokio::test]
async fn a_store_that_can_not_take_it_is_refused_before_the_first_write() {
    let (from, to) = (memory(), memory());
    fill(&*from).await;
    to.vectors().unwrap().configure(VectorConfig::new(4, Metric::Cosine)).await.unwrap();
    let refused = copy().run(&*from, &*to).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(refused.message().contains("vectors: they have 6 dimensions"), "{refused}");
    assert!(to.docs().unwrap().scan(None).next().await.is_none());
}

/// Kept files in pieces that the other store does not take.
#[tokio::test]
async fn pieces_of_files_that_are_too_large_are_refused_before_the_first_write() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (memory(), on_disk(folder.path()).await);
    fill(&*from).await;
    let most = to.kv().unwrap().capabilities().max_value_bytes.unwrap();
    let piece = object(json!({"base64": "A".repeat(most)}));
    from.kv().unwrap().put("nodestore_folder", "file/big/00000000", piece).await.unwrap();
    let plan = copy().plan(&*from, Some(&*to)).await.unwrap_err();
    let run = copy().run(&*from, &*to).await.unwrap_err();
    for refused in [plan, run] {
        assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
        let names = format!("\"file/big/00000000\" has {} bytes", most + r#"{"base64":""}"#.len());
        assert!(refused.message().contains(&names), "{refused}");
    }
    assert!(to.docs().unwrap().scan(None).next().await.is_none());
}

/// Somebody else writes while the copy is compared.
#[tokio::test]
async fn what_differs_is_found_and_named() {
    let (from, to) = (memory(), memory());
    fill(&*from).await;
    let other = Arc::clone(&to);
    let report = copy()
        .with_observer(move |event| {
            if let CopyEvent::Part { name: "source documents", step: CopyStep::Comparing, .. } = event {
                let write = async {
                    // The order of members alone.
                    let value = object(json!({"a": [1, {"d": null, "c": ""}], "b": 1.0}));
                    other.kv().unwrap().put("prices", "a key", value).await.unwrap();
                    other.chat().unwrap().pop("anna").await.unwrap();
                    other.docs().unwrap().delete(&"a beside".into()).await.unwrap();
                    let surplus = IndexStruct::list(["x"]).with_id("surplus");
                    other.index().unwrap().put(surplus).await.unwrap();
                    // One bit of one value.
                    let mut values = embedding(7);
                    values[3] = f32::from_bits(values[3].to_bits() + 1);
                    let changed = vec![chunk(7).with_embedding(values)];
                    other.vectors().unwrap().upsert(changed, AddMode::Overwrite).await.unwrap();
                };
                // The store in memory never waits.
                write.now_or_never().unwrap();
            }
        })
        .run(&*from, &*to)
        .await
        .unwrap();
    assert!(!report.is_equal());
    let found: Vec<_> = report
        .parts
        .iter()
        .filter(|part| !part.is_equal())
        .map(|part| (part.name.as_str(), part.different, part.surplus, part.examples.join(" ")))
        .collect();
    let expected = [
        ("source documents", 1, 0, "d-9".to_owned()),
        ("nodes", 1, 0, "a beside".to_owned()),
        ("content hashes", 1, 0, "a beside".to_owned()),
        ("index structs", 0, 1, String::new()),
        ("chats", 1, 0, "anna".to_owned()),
        ("vectors", 1, 0, "n-9992".to_owned()),
        ("key-values of prices", 1, 0, "a key".to_owned()),
    ];
    assert_eq!(found, expected);
}

/// What Python leaves in a list is no difference.
#[tokio::test]
async fn links_that_mean_nothing_are_left_out() {
    let (from, to) = (memory(), memory());
    let docs = from.docs().unwrap();
    docs.add(vec![chunk(1), chunk(2)], AddOptions::default()).await.unwrap();
    let entry = |ids: Value| object(json!({"node_ids": ids, "metadata": {"a": 1}}));
    let kv = from.kv().unwrap();
    kv.put("docstore/ref_doc_info", "d-left", entry(json!(["n-9998", "gone"]))).await.unwrap();
    kv.put("docstore/ref_doc_info", "d-0", entry(json!(["n-9998", "gone", "n-9997", "n-9998"])))
        .await
        .unwrap();
    let report = StoreCopy::new().run(&*from, &*to).await.unwrap();
    assert!(report.is_equal(), "{report:#?}");
    assert_eq!((report.parts[0].records, report.parts[0].left_out), (1, 1));
    let info = to.docs().unwrap().ref_doc(&"d-0".into()).await.unwrap().unwrap();
    assert_eq!(info.node_ids, ["n-9998", "n-9997"].map(NodeId::from));
    assert_eq!(info.metadata.keys().collect::<Vec<_>>(), ["a"]);
}

/// The copy is dropped after so many polls, as a killed program would, and goes on from its job.
#[tokio::test]
async fn a_copy_given_up_anywhere_is_completed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (from, job) = (memory(), folder.path().join("job.json"));
    fill(&*from).await;
    let expected = dump(&*from).await;
    let mut given_up = 0;
    for polls in (1..).map(|round| round * 3) {
        let name = format!("kb {polls}");
        let to = on_disk(&folder.path().join(&name)).await;
        let copying = copy().with_job(&job);
        let mut first = Box::pin(copying.run(&*from, &*to));
        let mut left = polls;
        let ended = futures::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            first.as_mut().poll(context).map(Some)
        })
        .await;
        drop(first);
        if let Some(report) = ended {
            assert!(report.unwrap().is_equal());
            break;
        }
        given_up += 1;
        let report = copying.run(&*from, &*to).await.unwrap();
        assert!(report.is_equal(), "after {polls} polls: {report:#?}");
        assert!(!job.exists(), "a complete copy leaves no job");
        assert_eq!(dump(&*to).await, expected, "after {polls} polls");
        to.close().await.unwrap();
    }
    assert!(given_up > 3, "given up {given_up} times");
}

#[tokio::test]
async fn a_copy_that_is_asked_to_stop_goes_on_behind_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to, job) = (memory(), memory(), folder.path().join("job.json"));
    fill(&*from).await;
    let written = Arc::new(AtomicUsize::new(0));
    let count = |written: &Arc<AtomicUsize>| {
        let written = Arc::clone(written);
        move |event: &CopyEvent<'_>| {
            if let CopyEvent::Records(records) = event {
                written.fetch_add(*records, Ordering::Relaxed);
            }
        }
    };
    let asked = Arc::clone(&written);
    let stopped = copy()
        .with_roles([CopyRole::Vectors])
        .with_job(&job)
        .with_observer(count(&written))
        .with_stop(move || asked.load(Ordering::Relaxed) > 600)
        .run(&*from, &*to)
        .await
        .unwrap_err();
    assert_eq!(stopped.message(), "stopped before the end");
    assert!(job.exists());
    let rest = Arc::new(AtomicUsize::new(0));
    let again = copy().with_roles([CopyRole::Vectors]).with_job(&job).with_observer(count(&rest));
    assert!(again.run(&*from, &*to).await.unwrap().is_equal());
    // 601 were written; what is left is the other set, and the comparison of both.
    assert_eq!(written.load(Ordering::Relaxed), 601);
    assert_eq!(rest.load(Ordering::Relaxed), 1 + 602);
}
