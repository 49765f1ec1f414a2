//! Key-values, documents and index structs as LlamaIndex's Python packages keep them: what they write is read, and
//! what we write is their form; and what may become of them on the way.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod changes;
#[path = "../common/mod.rs"]
mod common;
#[path = "../faults/mod.rs"]
mod faults;
mod large;
mod layout;
mod limits;
mod requests;

use std::process::ExitCode;

use common::Db;
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::{JsonObject, KvStore, KvStoreExt as _, Node, PutMode, PutOptions, ScanOptions};

fn main() -> ExitCode {
    let tests = [layout::tests(), limits::tests(), changes::tests(), large::tests(), requests::tests()];
    common::run(tests.into_iter().flatten())
}

pub(crate) fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

/// What is stored of a key, without the key itself.
pub(crate) async fn stored(db: &Db, collection: &str, key: &str) -> Option<Value> {
    let items = db.items(&db.main()).await;
    let is_it = |item: &&Value| item["pk"] == json!({"S": collection}) && item["sk"] == json!({"S": key});
    let mut item = items.iter().find(is_it)?.clone();
    item.as_object_mut().unwrap().retain(|name, _| name != "pk" && name != "sk");
    Some(item)
}

/// Stores an item as Python would.
pub(crate) async fn set(db: &Db, collection: &str, key: &str, value: Value) {
    let mut item = json!({"pk": {"S": collection}, "sk": {"S": key}});
    item.as_object_mut().unwrap().extend(object(value));
    db.put(&db.main(), item).await;
}

pub(crate) async fn scanned(kv: &dyn KvStore, collection: &str, options: ScanOptions) -> Vec<String> {
    let entries: Vec<_> = kv.scan(collection, options).try_collect().await.unwrap();
    entries.into_iter().map(|(key, _)| key).collect()
}

pub(crate) async fn text_of(kv: &dyn KvStore, collection: &str, key: &str) -> String {
    Value::Object(kv.get(collection, key).await.unwrap().unwrap()).to_string()
}

pub(crate) fn insert() -> PutOptions {
    PutOptions::default().with_mode(PutMode::Insert)
}

pub(crate) fn node(id: &str, source: Option<&str>) -> Node {
    let node = Node::text("Café").with_id(id).with_metadata("a", 1);
    source.map_or(node.clone(), |source| node.with_source(source))
}
