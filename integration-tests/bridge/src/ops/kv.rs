//! Key-values.

use std::time::Duration;

use nodestore::{Error, JsonObject, KvStoreExt as _, PutMode, PutOptions, Result, ScanOptions, Update};
use serde_json::{Number, Value};

use super::{Call, Op};
use crate::answer::object;
use crate::args::{AFTER, Arg, LIMIT, TEXT, TEXTS, may, must};
use crate::page;

const COLLECTION: Arg = must("collection", TEXT);
const KEY: Arg = must("key", TEXT);
const KEYS: Arg = must("keys", TEXTS);

pub(crate) const OPS: &[Op] = &[
    Op {
        name: "kv.get_many",
        args: &[COLLECTION, KEYS],
        answer: "[object|null...]",
        about: "The values of keys, in their order.",
        run: |call| Box::pin(get_many(call)),
    },
    Op {
        name: "kv.put_many",
        args: &[
            COLLECTION,
            must("entries", "a list of [key, object]"),
            may("mode", "\"upsert\" (default) or \"insert\""),
            may("ttl_ms", "an integer, at least 1: milliseconds to live"),
        ],
        answer: "null",
        about: "Writes whole values.",
        run: |call| Box::pin(put_many(call)),
    },
    Op {
        name: "kv.delete_many",
        args: &[COLLECTION, KEYS],
        answer: "int",
        about: "Removes keys; answers how many existed.",
        run: |call| Box::pin(delete_many(call)),
    },
    Op {
        name: "kv.update",
        args: &[
            COLLECTION,
            KEY,
            may("expect", "an object, or null: that there is none"),
            may("value", "an object, or null: remove it"),
        ],
        answer: r#"{"applied":bool,"current":object|null}"#,
        about: "Replaces a value if it is the expected one, atomically.",
        run: |call| Box::pin(update(call)),
    },
    Op {
        name: "kv.add",
        args: &[COLLECTION, KEY, must("field", TEXT), must("by", "an integer")],
        answer: "int",
        about: "Adds to an integer member, atomically; an absent one is 0.",
        run: |call| Box::pin(add(call)),
    },
    Op {
        name: "kv.scan",
        args: &[COLLECTION, may("prefix", TEXT), AFTER, LIMIT],
        answer: r#"{"items":[[key,object]...],"next":text|null}"#,
        about: "A page of the entries whose keys begin with the prefix.",
        run: |call| Box::pin(scan(call)),
    },
];

async fn get_many(mut call: Call) -> Result<Value> {
    let collection: String = call.args.must("collection")?;
    let keys: Vec<String> = call.args.must("keys")?;
    let values = call.store()?.kv()?.get_many(&collection, &texts(&keys)).await?;
    Ok(Value::Array(values.into_iter().map(or_null).collect()))
}

async fn put_many(mut call: Call) -> Result<Value> {
    let collection: String = call.args.must("collection")?;
    let entries: Vec<Value> = call.args.must("entries")?;
    let entries = entries.into_iter().enumerate().map(entry).collect::<Result<_>>()?;
    let mut options = PutOptions::default();
    options.mode = call
        .args
        .choice("mode", &[("upsert", PutMode::Upsert), ("insert", PutMode::Insert)])?
        .unwrap_or_default();
    options.ttl = call.args.may("ttl_ms")?.map(Duration::from_millis);
    call.store()?.kv()?.put_many(&collection, entries, options).await?;
    Ok(Value::Null)
}

/// A key and its value.
fn entry((place, entry): (usize, Value)) -> Result<(String, JsonObject)> {
    let parts = match entry {
        Value::Array(parts) => <[Value; 2]>::try_from(parts).ok(),
        _ => None,
    };
    match parts {
        Some([Value::String(key), Value::Object(value)]) => Ok((key, value)),
        Some([Value::String(key), _]) => {
            let error = Error::invalid_input(format!("the value of \"entries[{place}]\" must be an object"));
            Err(error.with_key(key.as_str()).with_failed([key]))
        }
        _ => Err(Error::invalid_input(format!("\"entries[{place}]\" must be [key, object]"))),
    }
}

async fn delete_many(mut call: Call) -> Result<Value> {
    let collection: String = call.args.must("collection")?;
    let keys: Vec<String> = call.args.must("keys")?;
    Ok(call.store()?.kv()?.delete_many(&collection, &texts(&keys)).await?.into())
}

async fn update(mut call: Call) -> Result<Value> {
    let collection: String = call.args.must("collection")?;
    let key: String = call.args.must("key")?;
    let expect: Option<JsonObject> = call.args.may("expect")?;
    let value: Option<JsonObject> = call.args.may("value")?;
    let mut applied = false;
    let store = call.store()?.kv()?;
    let current = store
        .update(&collection, &key, |stored| {
            // It may run again, on another value.
            applied = stored == expect.as_ref();
            Ok(match (&value, applied) {
                (Some(value), true) => Update::Put(value.clone()),
                (None, true) if stored.is_some() => Update::Delete,
                _ => Update::Keep,
            })
        })
        .await?;
    Ok(object([("applied", applied.into()), ("current", or_null(current))]))
}

async fn add(mut call: Call) -> Result<Value> {
    let collection: String = call.args.must("collection")?;
    let key: String = call.args.must("key")?;
    let field: String = call.args.must("field")?;
    let by: Number = call.args.must("by")?;
    let by = integer(&by).ok_or_else(|| call.args.wrong("by", "it has a fraction"))?;
    let mut sum = Number::from(0);
    let store = call.store()?.kv()?;
    let adding = store.update(&collection, &key, |stored| {
        let refuse = |why: &str| {
            let error = Error::invalid_input(format!("the member {field:?} {why}"));
            error.with_collection(&collection).with_key(&key).with_failed([&key])
        };
        let mut value = stored.cloned().unwrap_or_default();
        let old = match value.get(&field) {
            None => 0,
            Some(Value::Number(number)) => integer(number).ok_or_else(|| refuse("is no integer"))?,
            Some(_) => return Err(refuse("is no integer")),
        };
        sum = Number::from_i128(old + by).ok_or_else(|| refuse("would be beyond 64 bits"))?;
        value.insert(field.clone(), Value::Number(sum.clone()));
        Ok(Update::Put(value))
    });
    adding.await?;
    Ok(Value::Number(sum))
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

async fn scan(mut call: Call) -> Result<Value> {
    let collection: String = call.args.must("collection")?;
    let mut options = ScanOptions::default();
    options.prefix = call.args.may("prefix")?.unwrap_or_default();
    options.after = call.args.may("after")?;
    let limit = call.args.limit()?;
    let entries = call.store()?.kv()?.scan(&collection, options);
    let shape =
        |(key, value): (String, JsonObject)| (key.clone(), Value::Array(vec![key.into(), value.into()]));
    page::of_stream(entries, limit, shape).await
}

fn texts(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

fn or_null(value: Option<JsonObject>) -> Value {
    value.map_or(Value::Null, Value::Object)
}
