//! Key-values.

use serde_json::{Value, json};

use super::{Case, sorted};
use crate::CaseResult;
use crate::store::{Store, same};

pub(super) const CASES: &[Case] = &[
    Case { name: "kv::values_come_and_go", run: values_come_and_go },
    Case { name: "kv::an_insert_leaves_what_exists", run: an_insert_leaves_what_exists },
    Case { name: "kv::an_update_compares", run: an_update_compares },
    Case { name: "kv::adds_at_the_same_time_are_all_counted", run: adds_at_the_same_time_are_all_counted },
    Case { name: "kv::an_add_keeps_the_rest", run: an_add_keeps_the_rest },
    Case { name: "kv::a_scan_has_pages", run: a_scan_has_pages },
    Case { name: "kv::a_time_to_live_is_taken_as_declared", run: a_time_to_live_is_taken_as_declared },
];

fn values_come_and_go(store: &Store) -> CaseResult {
    let (a, b) = (json!({"z": 1, "a": 1.0, "t": "é\n", "l": [null, true]}), json!({}));
    let entries = json!([["a", {"old": 1}], ["b", b], ["a", a]]);
    store.is("kv.put_many", json!({"collection": "go", "entries": entries}), Value::Null)?;
    let keys = json!({"collection": "go", "keys": ["b", "x", "a", "b"]});
    store.is("kv.get_many", keys, json!([b, null, a, b]))?;
    store.is("kv.get_many", json!({"collection": "go", "keys": []}), json!([]))?;
    store.is("kv.get_many", json!({"collection": "go2", "keys": ["a"]}), json!([null]))?;
    store.is("kv.delete_many", json!({"collection": "go", "keys": ["a", "x", "a"]}), json!(1))?;
    store.is("kv.get_many", json!({"collection": "go", "keys": ["a", "b"]}), json!([null, b]))
}

fn an_insert_leaves_what_exists(store: &Store) -> CaseResult {
    let put = |entries: Value| json!({"collection": "in", "mode": "insert", "entries": entries});
    store.is("kv.put_many", put(json!([["a", {"n": 1}]])), Value::Null)?;
    store.refused("kv.put_many", put(json!([["b", {"n": 2}], ["a", {"n": 2}]])), "already_exists", &["a"])?;
    let found = json!([{"n": 1}, {"n": 2}]);
    store.is("kv.get_many", json!({"collection": "in", "keys": ["a", "b"]}), found)?;
    store.refused("kv.put_many", put(json!([["c", {}], ["c", {}]])), "invalid_input", &["c"])?;
    store.is("kv.get_many", json!({"collection": "in", "keys": ["c"]}), json!([null]))
}

fn an_update_compares(store: &Store) -> CaseResult {
    let update = |expect: Value, value: Value| json!({"collection": "up", "key": "k", "expect": expect, "value": value});
    let one = json!({"n": 1, "t": "x"});
    let not = |current: &Value| json!({"applied": false, "current": current});
    let done = |current: &Value| json!({"applied": true, "current": current});
    store.is("kv.update", update(one.clone(), json!({})), not(&Value::Null))?;
    store.is("kv.update", update(Value::Null, one.clone()), done(&one))?;
    store.is("kv.update", update(Value::Null, json!({})), not(&one))?;
    store.is("kv.update", update(json!({"n": 1}), json!({})), not(&one))?;
    store.is("kv.update", update(json!({"t": "x", "n": 1}), json!({"n": 2})), done(&json!({"n": 2})))?;
    store.is("kv.update", update(json!({"n": 2}), Value::Null), done(&Value::Null))?;
    store.is("kv.update", json!({"collection": "up", "key": "k"}), done(&Value::Null))?;
    store.is("kv.get_many", json!({"collection": "up", "keys": ["k"]}), json!([null]))
}

fn adds_at_the_same_time_are_all_counted(store: &Store) -> CaseResult {
    let add = json!({"collection": "sum", "key": "k", "field": "n", "by": 3});
    let pending: Vec<_> = (0..12).map(|_| store.send("kv.add", &add)).collect::<CaseResult<_>>()?;
    let mut sums = Vec::new();
    for one in pending {
        sums.push(one.wait()?.map_err(|error| error.to_string())?.as_i64().unwrap_or_default());
    }
    sums.sort_unstable();
    same("the sums", &json!(sums), &json!((1..=12).map(|n| 3 * n).collect::<Vec<_>>()))
}

fn an_add_keeps_the_rest(store: &Store) -> CaseResult {
    let value = json!({"t": "x", "n": 9_007_199_254_740_993_i64, "f": 1.5, "max": u64::MAX});
    store.ok("kv.put_many", json!({"collection": "rest", "entries": [["k", value]]}))?;
    let add = |field: &str, by: Value| json!({"collection": "rest", "key": "k", "field": field, "by": by});
    store.is("kv.add", add("n", json!(-2)), json!(9_007_199_254_740_991_i64))?;
    store.is("kv.add", add("new", json!(-7)), json!(-7))?;
    for (field, by) in [("t", json!(1)), ("f", json!(1)), ("max", json!(1))] {
        store.refused("kv.add", add(field, by), "invalid_input", &["k"])?;
    }
    for by in [json!(1.0), json!("1"), Value::Null] {
        store.refused("kv.add", add("n", by), "invalid_input", &[])?;
    }
    let left = json!({"t": "x", "n": 9_007_199_254_740_991_i64, "f": 1.5, "max": u64::MAX, "new": -7});
    store.is("kv.get_many", json!({"collection": "rest", "keys": ["k"]}), json!([left]))
}

fn a_scan_has_pages(store: &Store) -> CaseResult {
    let keys = ["a%", "a*1", "a*2", "a*3", "a*4", "b"];
    let entries: Vec<_> = keys.iter().map(|key| json!([key, {"k": key}])).collect();
    store.ok("kv.put_many", json!({"collection": "pages", "entries": entries}))?;
    let all = store.pages("kv.scan", json!({"collection": "pages"}))?;
    same("all pages", &sorted(all), &sorted(entries.clone()))?;
    let literal = store.pages("kv.scan", json!({"collection": "pages", "prefix": "a*"}))?;
    let expected = entries.into_iter().skip(1).take(4).collect();
    same("the prefix", &sorted(literal), &sorted(expected))?;
    store.is("kv.scan", json!({"collection": "none"}), json!({"items": [], "next": null}))
}

fn a_time_to_live_is_taken_as_declared(store: &Store) -> CaseResult {
    let put = |ttl: Value| json!({"collection": "ttl", "entries": [["k", {"n": 1}]], "ttl_ms": ttl});
    if store.can("ttl") == &json!(true) {
        store.refused("kv.put_many", put(json!(0)), "invalid_input", &[])?;
        store.is("kv.put_many", put(json!(3_600_000)), Value::Null)?;
        store.is("kv.get_many", json!({"collection": "ttl", "keys": ["k"]}), json!([{"n": 1}]))
    } else {
        store.refused("kv.put_many", put(json!(3_600_000)), "unsupported", &[]).map(drop)
    }
}
