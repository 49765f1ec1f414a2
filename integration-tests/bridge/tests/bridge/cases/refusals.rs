//! What every operation refuses, as a table.

use serde_json::{Value, json};

use super::Case;
use crate::CaseResult;
use crate::store::Store;

pub(super) const CASES: &[Case] =
    &[Case { name: "bad_arguments_are_refused", run: bad_arguments_are_refused }];

/// An operation, its arguments, and the keys that `failed` has. All are `invalid_input`; those of a store which does
/// not offer the operation are left out.
const REFUSED: &[(&str, &str, &[&str])] = &[
    ("capabilities", r#"{"a":1}"#, &[]),
    ("kv.get_many", r#"{"keys":["a"]}"#, &[]),
    ("kv.get_many", r#"{"collection":"c"}"#, &[]),
    ("kv.get_many", r#"{"collection":"c","keys":"a"}"#, &[]),
    ("kv.get_many", r#"{"collection":"c","keys":["a",1]}"#, &[]),
    ("kv.get_many", r#"{"collection":"","keys":["a"]}"#, &[]),
    ("kv.get_many", r#"{"collection":"c","keys":[""]}"#, &[""]),
    ("kv.get_many", r#"{"collection":"c","keys":["a"],"more":1}"#, &[]),
    ("kv.put_many", r#"{"collection":"c","entries":[["a",1]]}"#, &["a"]),
    ("kv.put_many", r#"{"collection":"c","entries":[["a"]]}"#, &[]),
    ("kv.put_many", r#"{"collection":"c","entries":[["a",{},{}]]}"#, &[]),
    ("kv.put_many", r#"{"collection":"c","entries":{"a":{}}}"#, &[]),
    ("kv.put_many", r#"{"collection":"c","entries":[["",{}]]}"#, &[""]),
    ("kv.put_many", r#"{"collection":"c","entries":[],"mode":"replace"}"#, &[]),
    ("kv.put_many", r#"{"collection":"c","entries":[],"mode":{"upsert":null}}"#, &[]),
    ("kv.put_many", r#"{"collection":"c","entries":[],"ttl_ms":-1}"#, &[]),
    ("kv.put_many", r#"{"collection":"c","entries":[],"ttl_ms":1.5}"#, &[]),
    ("kv.delete_many", r#"{"collection":"c"}"#, &[]),
    ("kv.update", r#"{"collection":"c","key":"k","value":1}"#, &[]),
    ("kv.update", r#"{"collection":"c","value":{}}"#, &[]),
    ("kv.add", r#"{"collection":"c","key":"k","by":1}"#, &[]),
    ("kv.scan", r#"{"collection":"c","limit":0}"#, &[]),
    ("kv.scan", r#"{"collection":"c","limit":-1}"#, &[]),
    ("kv.scan", r#"{"collection":"c","limit":1.0}"#, &[]),
    ("kv.scan", r#"{"collection":"c","after":1}"#, &[]),
    ("docs.add", "{}", &[]),
    ("docs.add", r#"{"nodes":[7]}"#, &[]),
    ("docs.add", r#"{"nodes":[{}]}"#, &[]),
    ("docs.add", r#"{"nodes":[{"__type__":"9","__data__":{"id_":"a"}}]}"#, &[]),
    ("docs.add", r#"{"nodes":[{"__type__":"1","__data__":{"id_":"a","metadata":1}}]}"#, &["a"]),
    ("docs.add", r#"{"nodes":[],"mode":"upsert"}"#, &[]),
    ("docs.add", r#"{"nodes":[],"store_text":"no"}"#, &[]),
    ("docs.get_many", r#"{"ids":[1]}"#, &[]),
    ("docs.delete_many", "{}", &[]),
    ("docs.ref_doc", r#"{"ref_doc_id":1}"#, &[]),
    ("docs.ref_docs", r#"{"limit":0}"#, &[]),
    ("docs.delete_ref_doc", "{}", &[]),
    ("docs.hashes", r#"{"ids":"a"}"#, &[]),
    ("docs.set_hashes", r#"{"hashes":{"a":1}}"#, &["a"]),
    ("docs.set_hashes", r#"{"hashes":[["a","1"]]}"#, &[]),
    ("docs.all_hashes", r#"{"limit":0}"#, &[]),
    ("docs.scan", r#"{"limit":"1"}"#, &[]),
    ("docs.find", r#"{"limit":0}"#, &[]),
    ("docs.find", r#"{"filter":{"key":"a"}}"#, &[]),
    ("docs.find", r#"{"projection":"metadata"}"#, &[]),
    ("index.put", r#"{"struct":{"__type__":"list","__data__":{}}}"#, &[]),
    ("index.put", r#"{"struct":"list"}"#, &[]),
    ("index.get", "{}", &[]),
    ("index.delete", r#"{"index_id":null}"#, &[]),
    ("index.scan", r#"{"limit":0}"#, &[]),
    ("chat.append", r#"{"key":"k"}"#, &[]),
    ("chat.append", r#"{"key":"","messages":[{"role":"user","content":"a"}]}"#, &[]),
    ("chat.append", r#"{"key":"k","messages":[{"role":"user","blocks":[{}]}]}"#, &[]),
    ("chat.messages", r#"{"key":"k","last":-1}"#, &[]),
    ("chat.messages", r#"{"key":"k","last":1.0}"#, &[]),
    ("chat.replace", r#"{"key":"k","messages":{}}"#, &[]),
    ("chat.remove_at", r#"{"key":"k"}"#, &[]),
    ("chat.insert_at", r#"{"key":"k","index":0}"#, &[]),
    ("chat.insert_at", r#"{"key":"k","index":"0","message":{"role":"user"}}"#, &[]),
    ("chat.pop", "{}", &[]),
    ("chat.delete", r#"{"key":1}"#, &[]),
    ("chat.keys", r#"{"limit":0}"#, &[]),
    ("vectors.upsert", r#"{"nodes":{}}"#, &[]),
    ("vectors.get", r#"{"limit":0}"#, &[]),
    ("vectors.get", r#"{"embeddings":1}"#, &[]),
    ("vectors.update", r#"{"selector":{"ids":["a"]}}"#, &[]),
    ("vectors.delete", r#"{"selector":{"ids":"a"}}"#, &[]),
    ("vectors.count", r#"{"selector":{"filter":[]}}"#, &[]),
    ("vectors.clear", r#"{"selector":{}}"#, &[]),
    ("vectors.distinct", r#"{"key":"a","offset":-1}"#, &[]),
    ("vectors.count_distinct", r#"{"keys":"a"}"#, &[]),
    ("vectors.min_max", "{}", &[]),
    ("vectors.field_info", r#"{"key":"a"}"#, &[]),
];

fn bad_arguments_are_refused(store: &Store) -> CaseResult {
    for (op, args, failed) in REFUSED {
        if store.offered().any(|offered| offered == *op) {
            let args: Value = serde_json::from_str(args).map_err(|error| error.to_string())?;
            store.refused(op, args, "invalid_input", failed)?;
        }
    }
    store.refused("vectors", json!({}), "unsupported", &[])?;
    store.refused("kv.get", json!({}), "unsupported", &[]).map(drop)
}
