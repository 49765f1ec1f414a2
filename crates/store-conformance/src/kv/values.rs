//! Values come back as they were: kinds, order, depth.

use serde_json::{Value, json};
use store_core::{JsonObject, KvStore, KvStoreExt, PutOptions, ScanOptions, Update};

use super::C;
use crate::case::cases;
use crate::check::{CaseResult, same};
use crate::data::{all, deep_object, object, odd_numbers, odd_object};

cases! { "kv", Kv:
    numbers_keep_their_kind,
    member_order_is_kept,
    odd_values_come_back,
    odd_values_come_back_from_update_and_scan,
    deep_values_come_back,
    wide_values_come_back,
    long_texts_come_back,
    member_names_are_data,
    typed_values_round_trip,
}

/// `1` is not `1.0`, `-0.0` keeps its sign, and the whole range of `i64`, `u64` and `f64` comes back exactly.
async fn numbers_keep_their_kind(store: &dyn KvStore) -> CaseResult {
    for (place, number) in odd_numbers().into_iter().enumerate() {
        let key = format!("n{place}");
        let value = object(json!({"top": number, "in": {"list": [number]}}));
        store.put(C, &key, value.clone()).await?;
        same(number.to_string(), &store.get(C, &key).await?, &Some(value))?;
    }
    Ok(())
}

/// Members keep their order, at every depth, in lists too, and when a value is replaced.
async fn member_order_is_kept(store: &dyn KvStore) -> CaseResult {
    for order in [["z", "a", "m"], ["m", "z", "a"], ["a", "m", "z"]] {
        let members = |inner: Value| {
            let members = order.iter().map(|name| ((*name).to_owned(), inner.clone()));
            Value::Object(members.collect())
        };
        let value = object(members(members(json!([members(members(json!(1)))]))));
        store.put(C, "a", value.clone()).await?;
        same(format!("{order:?}"), &store.get(C, "a").await?, &Some(value))?;
    }
    Ok(())
}

/// One value with everything in it.
async fn odd_values_come_back(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", odd_object()).await?;
    same("read back", &store.get(C, "a").await?, &Some(odd_object()))
}

/// The other ways to read and write change nothing either.
async fn odd_values_come_back_from_update_and_scan(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, vec![("a".into(), odd_object())], PutOptions::default()).await?;
    let mut seen = None;
    let after = store.update(C, "a", |old| {
        seen = old.cloned();
        Ok(Update::Put(object(json!({"copy": old.cloned(), "n": 1.0}))))
    });
    let copy = object(json!({"copy": odd_object(), "n": 1.0}));
    same("the answer of update", &after.await?, &Some(copy.clone()))?;
    same("what update saw", &seen, &Some(odd_object()))?;
    same("a scan", &all(store.scan(C, ScanOptions::default())).await?, &[("a".to_owned(), copy)])
}

/// Sixty levels of nesting.
async fn deep_values_come_back(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", deep_object(60)).await?;
    same("60 levels", &store.get(C, "a").await?, &Some(deep_object(60)))
}

/// A thousand members, and a list of five thousand.
async fn wide_values_come_back(store: &dyn KvStore) -> CaseResult {
    let mut value: JsonObject = (0..1_000).map(|n| (format!("member {n}"), json!(n))).collect();
    value.insert("list".to_owned(), (0..5_000).collect());
    store.put(C, "a", value.clone()).await?;
    same("read back", &store.get(C, "a").await?, &Some(value))
}

/// A text of 200 KB, of one, two, three and four bytes a character.
async fn long_texts_come_back(store: &dyn KvStore) -> CaseResult {
    let value = object(json!({"text": "aß語😀".repeat(20_000)}));
    store.put(C, "a", value.clone()).await?;
    same("read back", &store.get(C, "a").await?, &Some(value))
}

/// Names that a server may take for its own are plain members, alone and together.
async fn member_names_are_data(store: &dyn KvStore) -> CaseResult {
    let names = [
        "_id",
        "id",
        "key",
        "value",
        "pk",
        "sk",
        "ttl",
        "expires_at",
        "collection",
        "data",
        "version",
        "_v",
        "_ts",
        "$set",
        "$where",
        "a.b",
        ".",
        "",
        "#n",
        ":v",
        "__data__",
        "__type__",
        "SessionId",
        "expireAt",
    ];
    for name in names {
        let value = JsonObject::from_iter([(name.to_owned(), json!({name: [name, 1.0]}))]);
        store.put(C, "one", value.clone()).await?;
        same(format!("{name:?}"), &store.get(C, "one").await?, &Some(value))?;
    }
    let together: JsonObject = names.iter().rev().map(|name| ((*name).to_owned(), json!(1))).collect();
    store.put(C, "all", together.clone()).await?;
    same("all of them", &store.get(C, "all").await?, &Some(together))
}

/// The typed calls go through the same values.
async fn typed_values_round_trip(store: &dyn KvStore) -> CaseResult {
    let value: std::collections::BTreeMap<String, (i64, f64)> =
        [("a".to_owned(), (i64::MIN, 0.1)), ("b".to_owned(), (i64::MAX, 1.0))].into();
    store.put_as(C, "typed", &value).await?;
    let back: Option<std::collections::BTreeMap<String, (i64, f64)>> = store.get_as(C, "typed").await?;
    crate::check::holds(back.as_ref() == Some(&value), format!("{value:?} came back as {back:?}"))
}
