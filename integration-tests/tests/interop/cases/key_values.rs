//! Key-values.

use serde_json::{Value, json};

use super::{Case, Role, odd_values};
use crate::CaseResult;
use crate::side::Pair;

const COLLECTION: &str = "interop/values";

pub(super) fn cases() -> Vec<Case> {
    let odd = odd_values()
        .into_iter()
        .chain([("an empty object", json!({})), ("a long text", json!({"text": "Tokaj ".repeat(20_000)}))]);
    let mut cases: Vec<Case> = odd
        .map(|(name, value)| Case::new(Role::KeyValues, name, move |pair| there_and_back(pair, &value)))
        .collect();
    cases.push(Case::new(Role::KeyValues, "several members", several));
    cases.push(Case::new(Role::KeyValues, "odd keys and collections", odd_keys));
    cases.push(Case::new(Role::KeyValues, "a value is replaced whole", replaced));
    cases.push(Case::new(Role::KeyValues, "listing", listing));
    cases
}

fn key(pair: &Pair<'_>, key: &str) -> Value {
    json!({"collection": COLLECTION, "key": pair.named(key)})
}

fn put(pair: &Pair<'_>, key: &str, value: &Value) -> Value {
    json!({"collection": COLLECTION, "key": pair.named(key), "value": value})
}

fn there_and_back(pair: &Pair<'_>, value: &Value) -> CaseResult {
    let key = key(pair, "k");
    pair.both("kv.get", &key, &Value::Null)?;
    pair.writer.call("kv.put", put(pair, "k", value))?;
    pair.both("kv.get", &key, value)?;
    let changed = json!({"text": "changed"});
    pair.reader.call("kv.put", put(pair, "other", &changed))?;
    pair.reader.call("kv.put", put(pair, "k", value))?;
    pair.both("kv.get", &key, value)?;
    pair.both("kv.get", &self::key(pair, "other"), &changed)?;
    pair.reader.is("kv.delete", key.clone(), &json!(true))?;
    pair.reader.is("kv.delete", self::key(pair, "other"), &json!(true))?;
    pair.both("kv.get", &key, &Value::Null)?;
    pair.reader.is("kv.delete", key, &json!(false))
}

/// Each side finds the members that were put and no others, in whatever order.
fn several(pair: &Pair<'_>) -> CaseResult {
    let value = json!({"a": "t", "b": [0.5, {"c": null, "d": [1, true]}], "c": {"e": 7, "f": {}}});
    for side in [pair.writer, pair.reader] {
        side.call("kv.put", put(pair, "k", &value))?;
        for side in [pair.reader, pair.writer] {
            let found = side.call("kv.get", key(pair, "k"))?;
            if found != value {
                return Err(format!("{}: found {found}, expected {value}", side.name()));
            }
        }
    }
    pair.reader.is("kv.delete", key(pair, "k"), &json!(true))
}

/// Whatever could be a pattern, a path or a command.
fn odd_keys(pair: &Pair<'_>) -> CaseResult {
    for (place, name) in ["*", "a b", "ż🚀", "a/b", "a.b", "$k", "{a}", "'\"\\", "\n"].into_iter().enumerate()
    {
        let collection = format!("interop/{place} ż-{{x}}");
        let entry = json!({"collection": collection, "key": name});
        let value = json!({"n": place});
        pair.writer.call("kv.put", json!({"collection": collection, "key": name, "value": value}))?;
        pair.both("kv.get", &entry, &value)?;
        pair.reader.is("kv.delete", entry.clone(), &json!(true))?;
        pair.writer.is("kv.get", entry, &Value::Null)?;
    }
    Ok(())
}

fn replaced(pair: &Pair<'_>) -> CaseResult {
    pair.writer.call("kv.put", put(pair, "k", &json!({"old": 1, "both": 1})))?;
    pair.reader.call("kv.put", put(pair, "k", &json!({"both": 2})))?;
    pair.both("kv.get", &key(pair, "k"), &json!({"both": 2}))
}

fn listing(pair: &Pair<'_>) -> CaseResult {
    let all = json!({"collection": "interop/listing"});
    pair.both("kv.all", &all, &json!({}))?;
    let mut expected = serde_json::Map::new();
    for number in 100..160 {
        let (key, value) = (format!("k{number}"), json!({"n": number}));
        pair.writer.call("kv.put", json!({"collection": "interop/listing", "key": key, "value": value}))?;
        expected.insert(key, value);
    }
    pair.both("kv.all", &all, &Value::Object(expected.clone()))?;
    pair.reader.call("kv.delete", json!({"collection": "interop/listing", "key": "k130"}))?;
    expected.remove("k130");
    let expected: serde_json::Map<_, _> =
        (100..160).filter_map(|n| expected.remove_entry(&format!("k{n}"))).collect();
    pair.both("kv.all", &all, &Value::Object(expected))
}
