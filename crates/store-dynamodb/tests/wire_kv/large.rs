//! Values of more than an item takes.

use std::sync::Arc;

use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::filter::field;
use store_core::{
    AddOptions, Backend as _, ErrorKind, JsonObject, KvStoreExt as _, Node, RefDocDeleted, ScanOptions,
    Update,
};
use store_dynamodb::DynamoDbLargeValues;

use crate::common::{Db, seconds, test};
use crate::{insert, object, stored, text_of};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("large_values_go_to_chunks", large_values_go_to_chunks),
        test("a_large_value_is_never_half", a_large_value_is_never_half),
        test("left_over_chunks_are_collected", left_over_chunks_are_collected),
    ]
}

/// Two thirds of a megabyte, which tells one from another.
fn large(mark: &str) -> JsonObject {
    object(json!({"z": mark, "text": mark.repeat(700_000 / mark.len()), "a": 1.0}))
}

async fn chunks(db: &Db) -> Vec<Value> {
    let mut items = db.items(&db.main()).await;
    items.retain(|item| item["pk"]["S"].as_str().unwrap().starts_with("nodestore:large/"));
    items
}

async fn large_values_go_to_chunks(db: Db) {
    let store = db.with(|config| config.with_large_values(DynamoDbLargeValues::Chunks)).await;
    let kv = store.kv().unwrap();
    kv.put("c", "k", large("ab")).await.unwrap();
    assert_eq!(chunks(&db).await.len(), 2);
    let head = stored(&db, "c", "k").await.unwrap();
    assert_eq!(head.as_object().unwrap().keys().collect::<Vec<_>>(), ["_nodestore_large"]);
    assert_eq!(text_of(&*kv, "c", "k").await, Value::Object(large("ab")).to_string());
    // Also one that would write none reads it.
    assert_eq!(db.store.kv().unwrap().get("c", "k").await.unwrap(), Some(large("ab")));
    let entries: Vec<_> = kv.scan("c", ScanOptions::default()).try_collect().await.unwrap();
    assert_eq!(entries, [("k".to_owned(), large("ab"))]);
    assert_eq!(
        kv.put_many("c", vec![("k".to_owned(), large("x"))], insert()).await.unwrap_err().failed(),
        ["k"]
    );
    assert_eq!(chunks(&db).await.len(), 2);
    // Replaced by a large one, by a small one, and large again; the old chunks go.
    kv.put("c", "k", large("cd")).await.unwrap();
    assert_eq!((kv.get("c", "k").await.unwrap(), chunks(&db).await.len()), (Some(large("cd")), 2));
    let shrink = |old: Option<&JsonObject>| {
        assert_eq!(old, Some(&large("cd")));
        Ok(Update::Put(object(json!({"n": 1}))))
    };
    kv.update("c", "k", shrink).await.unwrap();
    assert_eq!((stored(&db, "c", "k").await, chunks(&db).await.len()), (Some(json!({"n": {"N": "1"}})), 0));
    kv.update("c", "k", |_| Ok(Update::Put(large("ef")))).await.unwrap();
    kv.put_many("c", vec![("new".to_owned(), large("gh"))], insert()).await.unwrap();
    assert_eq!(kv.get_many("c", &["k", "new"]).await.unwrap(), [Some(large("ef")), Some(large("gh"))]);
    kv.put("c", "k", object(json!({"n": 2}))).await.unwrap();
    assert_eq!(chunks(&db).await.len(), 2);
    assert_eq!(kv.delete_many("c", &["k", "new"]).await.unwrap(), 2);
    assert_eq!(db.items(&db.main()).await.len(), 0);
    let docs = store.docs().unwrap();
    let text = Node::text("long ".repeat(200_000)).with_id("n").with_source("d").with_metadata("m", 1);
    docs.add(vec![text.clone()], AddOptions::default()).await.unwrap();
    assert_eq!(docs.get_many(&["n".into()]).await.unwrap(), [Some(text)]);
    assert_eq!(docs.count(Some(&field("m").exists())).await.unwrap(), 1);
    assert_eq!(docs.delete_ref_doc(&"d".into()).await.unwrap(), Some(RefDocDeleted::new(1)));
    assert_eq!(db.items(&db.main()).await.len(), 0);
    let error = kv.put("c", "k", object(json!({"v": "x".repeat(16 << 20)}))).await.unwrap_err();
    assert_eq!((error.kind(), db.items(&db.main()).await.len()), (ErrorKind::LimitExceeded, 0));
}

/// Readers see one value or the other while writers replace a large one, and nothing is left over at the end.
async fn a_large_value_is_never_half(db: Db) {
    let store = db.with(|config| config.with_large_values(DynamoDbLargeValues::Chunks)).await;
    let kv = store.kv().unwrap();
    let marks = ["ab", "cd", "ef"];
    kv.put("c", "k", large(marks[0])).await.unwrap();
    let writers = marks.map(|mark| {
        let kv = Arc::clone(&kv);
        tokio::spawn(async move {
            for round in 0..6 {
                match round % 3 {
                    0 => kv.put("c", "k", large(mark)).await.unwrap(),
                    1 => drop(kv.update("c", "k", |_| Ok(Update::Put(large(mark)))).await.unwrap()),
                    _ => kv.put("c", "k", object(json!({"small": mark}))).await.unwrap(),
                }
            }
        })
    });
    let reader = {
        let kv = Arc::clone(&kv);
        tokio::spawn(async move {
            for _ in 0..40 {
                let value = kv.get("c", "k").await.unwrap().unwrap();
                let whole = marks.iter().any(|mark| value == large(mark)) || value.contains_key("small");
                assert!(whole, "half a value of {} members", value.len());
            }
        })
    };
    for task in writers {
        task.await.unwrap();
    }
    reader.await.unwrap();
}

async fn left_over_chunks_are_collected(db: Db) {
    let store = db.with(|config| config.with_large_values(DynamoDbLargeValues::Chunks)).await;
    let kv = store.kv().unwrap();
    kv.put("c", "k", large("ab")).await.unwrap();
    // A writer died two hours ago, and another is at work.
    let own = chunks(&db).await[0].clone();
    let hours = |hours: u64| format!("{:013}-0123456789abcdef/00000", (seconds() - hours * 3_600) * 1_000);
    let (dead, at_work) = (hours(2), hours(0));
    for sort in [&dead, &at_work] {
        let mut item = own.clone();
        item["sk"] = json!({"S": sort});
        db.put(&db.main(), item).await;
    }
    let sorts = async |what: &str| {
        let sorts: Vec<Value> = chunks(&db).await.iter().map(|chunk| chunk["sk"]["S"].clone()).collect();
        (sorts.len(), sorts.contains(&json!(what)))
    };
    assert_eq!((sorts(&dead).await, sorts(&at_work).await), ((4, true), (4, true)));
    // Who writes nothing collects nothing: what is old may be in use.
    kv.put_many("c", vec![("k".to_owned(), large("x"))], insert()).await.unwrap_err();
    assert_eq!((sorts(&dead).await, sorts(&at_work).await), ((4, true), (4, true)));
    kv.put("c", "k", large("cd")).await.unwrap();
    assert_eq!((sorts(&dead).await, sorts(&at_work).await), ((3, false), (3, true)));
    assert_eq!(kv.get("c", "k").await.unwrap(), Some(large("cd")));
}
