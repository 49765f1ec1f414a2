//! Readers of collections: bridge section 2, and what `Backend::collection_reader` says.

use futures::StreamExt as _;
use serde_json::{Value, json};
use store_core::{Document, ErrorKind, JsonObject, PutOptions};

use crate::case::{Case, Need, cases};
use crate::check::{CaseResult, holds, refused, same, same_items};
use crate::data::{all, object};
use crate::harness::Env;

pub(crate) const SUITES: &[&[Case]] = &[CASES];

cases! { "reader", Env:
    offered_as_declared,
    gives_a_document_for_each_record [Need::Reader, Need::Kv],
    gives_many_records_once [Need::Reader, Need::Kv],
    looks_when_it_is_read [Need::Reader, Need::Kv],
    names_a_record_without_text [Need::Reader, Need::Kv],
}

async fn put(env: &Env, records: Vec<(String, JsonObject)>) -> CaseResult {
    Ok(env.backend().kv()?.put_many("pages", records, PutOptions::default()).await?)
}

fn record(key: &str, value: Value) -> (String, JsonObject) {
    (key.to_owned(), object(value))
}

/// What is shown of a document: id, text and metadata.
fn shown(document: &Document) -> Value {
    json!([document.id.as_str(), document.text_content(), document.metadata])
}

/// A reader is there, or `Unsupported`, as the capabilities say.
async fn offered_as_declared(env: &Env) -> CaseResult {
    let reader = env.backend().collection_reader("pages");
    if env.backend().capabilities().reader {
        let found = all(reader?.read()).await?;
        return same("of nothing", &found.len(), &0_usize);
    }
    refused("a reader", reader.map(drop), &[ErrorKind::Unsupported]).map(drop)
}

/// Each record is a document with the record's id, and the field `text` as its text; nothing else is taken.
async fn gives_a_document_for_each_record(env: &Env) -> CaseResult {
    let records = [
        ("a", json!({"text": "one", "more": {"x": 1}})),
        ("B", json!({"more": [2.0], "text": ""})),
        ("é 😀", json!({"text": "line\nline \u{1f680}", "id": "other", "metadata": {"y": 2}})),
    ];
    put(env, records.iter().map(|(key, value)| record(key, value.clone())).collect()).await?;
    let found = all(env.backend().collection_reader("pages")?.read()).await?;
    let found: Vec<Value> = found.iter().map(shown).collect();
    let expected = records.map(|(key, value)| json!([key, value.get("text"), {}]));
    same_items("the documents", &found, &expected)?;
    let other = all(env.backend().collection_reader("others")?.read()).await?;
    same("of another collection", &other.len(), &0_usize)
}

/// A collection that fills more than a page comes whole, each record once, as often as it is read.
async fn gives_many_records_once(env: &Env) -> CaseResult {
    let text = "x".repeat(1_000);
    let keys: Vec<String> = (0..2_500).map(|n| format!("k{n}")).collect();
    for keys in keys.chunks(500) {
        let records = keys.iter().map(|key| record(key, json!({"text": format!("{key} {text}")})));
        put(env, records.collect()).await?;
    }
    let reader = env.backend().collection_reader("pages")?;
    for _ in 0..2 {
        let found = all(reader.read()).await?;
        let right = found.iter().all(|found| found.text_content() == format!("{} {text}", found.id.as_str()));
        holds(right, "a document has the text of another record")?;
        let ids: Vec<String> = found.iter().map(|found| found.id.as_str().to_owned()).collect();
        same_items("2,500 records", &ids, &keys)?;
    }
    Ok(())
}

/// A reader looks when it is read, not when it is made.
async fn looks_when_it_is_read(env: &Env) -> CaseResult {
    let reader = env.backend().collection_reader("pages")?;
    same("before", &all(reader.read()).await?.len(), &0_usize)?;
    put(env, vec![record("a", json!({"text": "later"}))]).await?;
    let found: Vec<Value> = all(reader.read()).await?.iter().map(shown).collect();
    same("after", &found, &[json!(["a", "later", {}])])
}

/// A record without the field `text` is an error that names both, and the others still come.
async fn names_a_record_without_text(env: &Env) -> CaseResult {
    let records =
        [("a", json!({"text": "1"})), ("wrong one", json!({"txt": "2"})), ("z", json!({"text": "3"}))];
    put(env, records.iter().map(|(key, value)| record(key, value.clone())).collect()).await?;
    let mut documents = env.backend().collection_reader("pages")?.read();
    let (mut found, mut errors) = (Vec::new(), 0_usize);
    while let Some(document) = documents.next().await {
        match document {
            Ok(document) => found.push(document.id.as_str().to_owned()),
            Err(error) => {
                let text = error.to_string();
                holds(error.kind() == ErrorKind::InvalidInput, &text)?;
                holds(text.contains("wrong one") && text.contains("text"), format!("what is wrong? {text}"))?;
                errors += 1;
            }
        }
    }
    same("errors", &errors, &1_usize)?;
    same_items("the others", &found, &["a", "z"])
}
