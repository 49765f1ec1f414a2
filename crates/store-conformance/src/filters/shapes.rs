//! Paths, groups and negation.

use serde_json::{Value, json};
use store_core::{Condition, Filter, Scalar};

use super::{Filtered, field};
use crate::case::{Need, cases};
use crate::check::CaseResult;
use crate::harness::Env;

cases! { "filters", Env:
    paths_reach_into_objects [Need::Filters],
    empty_path_parts_are_refused [Need::Filters],
    groups_combine [Need::Filters],
    not_of_a_list_is_none_of_them [Need::Filters],
    negation_is_exact [Need::Filters],
    empty_groups [Need::Filters],
    deep_groups [Need::Filters],
    long_lists_and_groups [Need::Filters],
    filters_see_only_metadata [Need::Filters],
}

fn is(key: &str, value: Value) -> Value {
    field(key, "==", value)
}

fn group(condition: &str, filters: Value) -> Value {
    let members = [("filters", filters), ("condition", condition.into())];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Dots part a path through objects; lists are not entered, and a member whose own name holds a dot can not be
/// reached.
async fn paths_reach_into_objects(env: &Env) -> CaseResult {
    let rows = [
        ("nested", json!({"a": {"b": {"c": 1}}})),
        ("dotted", json!({"a.b.c": 1})),
        ("half dotted", json!({"a": {"b.c": 1}})),
        ("in a list", json!({"a": [{"b": {"c": 1}}]})),
        ("shallow", json!({"a": {"b": 1}})),
        ("text", json!({"a": {"b": "c"}})),
        ("null", json!({"a": null})),
        ("other", json!({"A": {"b": {"c": 1}}})),
        ("numbers as names", json!({"a": {"0": 1, "1": {"b": 2}}})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    let but_nested =
        ["dotted", "half dotted", "in a list", "shallow", "text", "null", "other", "numbers as names"];
    stores
        .expect_all(&[
            (is("a.b.c", json!(1)), &["nested"]),
            (is("a.b", json!(1)), &["shallow"]),
            (is("a.b", json!("c")), &["text"]),
            (is("a.0", json!(1)), &["numbers as names"]),
            (is("a.1.b", json!(2)), &["numbers as names"]),
            (is("A.b.c", json!(1)), &["other"]),
            (is("a.b.c", json!(null)), &but_nested),
            (json!({"key": "a.b", "operator": "exists"}), &["nested", "shallow", "text"]),
            (json!({"key": "a.b.c", "operator": "!=", "value": 1}), &but_nested),
        ])
        .await
}

/// An empty part names nothing: `InvalidInput`.
async fn empty_path_parts_are_refused(env: &Env) -> CaseResult {
    let stores = Filtered::with(env, &[("a", json!({"a": 1}))]).await?;
    for key in ["", ".", "a.", ".a", "a..b"] {
        let filter = Filter::Field { key: key.to_owned(), condition: Condition::Eq(Scalar::Integer(1)) };
        stores.refuse(filter.clone()).await?;
        stores.refuse(Filter::Any(vec![Filter::All(vec![]), Filter::Not(Box::new(filter))])).await?;
    }
    Ok(())
}

fn colours() -> [(&'static str, Value); 5] {
    [
        ("a", json!({"colour": "red", "size": 1})),
        ("b", json!({"colour": "red", "size": 2})),
        ("c", json!({"colour": "blue", "size": 1})),
        ("d", json!({"colour": "blue", "size": 3})),
        ("e", json!({"size": 2})),
    ]
}

/// `and`, `or` and groups within groups; two conditions on one key both count.
async fn groups_combine(env: &Env) -> CaseResult {
    let stores = Filtered::with(env, &colours()).await?;
    let red = || is("colour", json!("red"));
    let small = || json!({"key": "size", "operator": "<", "value": 2});
    let large = || json!({"key": "size", "operator": ">", "value": 1});
    stores
        .expect_all(&[
            (json!({"filters": [red(), small()]}), &["a"]),
            (json!({"filters": [red(), small()], "condition": null}), &["a"]),
            (group("and", json!([red(), small()])), &["a"]),
            (group("or", json!([red(), small()])), &["a", "b", "c"]),
            (
                group(
                    "or",
                    json!([
                        group("and", json!([red(), large()])),
                        group("and", json!([small(), is("colour", json!("blue"))]))
                    ]),
                ),
                &["b", "c"],
            ),
            (
                group("and", json!([group("or", json!([red(), is("colour", json!(null))])), large()])),
                &["b", "e"],
            ),
            (group("and", json!([large(), {"key": "size", "operator": "<", "value": 3}])), &["b", "e"]),
            (group("and", json!([is("size", json!(1)), is("size", json!(2))])), &[]),
            (group("or", json!([is("size", json!(1)), is("size", json!(2))])), &["a", "b", "c", "e"]),
            (group("and", json!([red()])), &["a", "b"]),
            (group("or", json!([red()])), &["a", "b"]),
        ])
        .await
}

/// LlamaIndex's `not` is none of the list, also of a list of one.
async fn not_of_a_list_is_none_of_them(env: &Env) -> CaseResult {
    let stores = Filtered::with(env, &colours()).await?;
    let red = || is("colour", json!("red"));
    let one = || is("size", json!(1));
    stores
        .expect_all(&[
            (group("not", json!([red()])), &["c", "d", "e"]),
            (group("not", json!([red(), one()])), &["d", "e"]),
            (group("not", json!([group("and", json!([red(), one()]))])), &["b", "c", "d", "e"]),
            (group("and", json!([group("not", json!([red()])), one()])), &["c"]),
            (group("not", json!([group("not", json!([red()]))])), &["a", "b"]),
        ])
        .await
}

/// `not` is everything that its filter does not match, nodes without the field included.
async fn negation_is_exact(env: &Env) -> CaseResult {
    let stores = Filtered::with(env, &colours()).await?;
    let not = |filter: Value| json!({"not": filter});
    stores
        .expect_all(&[
            (not(is("colour", json!("red"))), &["c", "d", "e"]),
            (not(json!({"key": "colour", "operator": "!=", "value": "red"})), &["a", "b"]),
            (not(json!({"key": "size", "operator": ">", "value": 1})), &["a", "c"]),
            (not(json!({"key": "colour", "operator": ">", "value": "c"})), &["c", "d", "e"]),
            (not(json!({"key": "colour", "operator": "contains", "value": "e"})), &["e"]),
            (not(json!({"key": "colour", "operator": "exists"})), &["e"]),
            (not(not(is("colour", json!("red")))), &["a", "b"]),
            (not(group("or", json!([is("size", json!(1)), is("size", json!(2))]))), &["d"]),
            (
                not(group("and", json!([is("size", json!(1)), is("colour", json!("red"))]))),
                &["b", "c", "d", "e"],
            ),
            (not(json!({"key": "nobody", "operator": "<", "value": 1})), &["a", "b", "c", "d", "e"]),
        ])
        .await
}

/// Of an empty list `and` and `not` match everything, `or` nothing.
async fn empty_groups(env: &Env) -> CaseResult {
    let stores = Filtered::with(env, &colours()).await?;
    let all: &[&str] = &["a", "b", "c", "d", "e"];
    stores
        .expect_all(&[
            (json!({"filters": []}), all),
            (group("and", json!([])), all),
            (group("not", json!([])), all),
            (group("or", json!([])), &[]),
            (json!({"not": {"filters": []}}), &[]),
            (group("and", json!([group("or", json!([]))])), &[]),
            (group("or", json!([group("or", json!([])), is("size", json!(3))])), &["d"]),
            (group("and", json!([group("and", json!([])), is("size", json!(3))])), &["d"]),
        ])
        .await
}

/// Thirty levels of groups and negations.
async fn deep_groups(env: &Env) -> CaseResult {
    let stores = Filtered::with(env, &colours()).await?;
    let mut filter = is("colour", json!("red"));
    for level in 0..30 {
        filter = match level % 3 {
            0 => json!({"not": filter}),
            1 => group("and", json!([filter, {"key": "size", "operator": "exists"}])),
            _ => group("or", json!([is("size", json!(100)), filter])),
        };
    }
    stores.expect(&filter, &["a", "b"]).await
}

/// Five hundred values in a list, a hundred conditions in a group.
async fn long_lists_and_groups(env: &Env) -> CaseResult {
    let stores = Filtered::with(env, &colours()).await?;
    let values: Vec<Value> = (2..500).map(Value::from).chain([json!("red")]).collect();
    let key = |operator: &str| json!({"key": "size", "operator": operator, "value": values.clone()});
    stores.expect(&key("in"), &["b", "d", "e"]).await?;
    stores.expect(&key("nin"), &["a", "c"]).await?;
    let any: Vec<Value> = (3..103).map(|n| is("size", json!(n))).collect();
    stores.expect(&group("or", json!(any)), &["d"]).await?;
    let none: Vec<Value> = (2..102).map(|n| json!({"key": "size", "operator": "!=", "value": n})).collect();
    stores.expect(&group("and", json!(none)), &["a", "c"]).await
}

/// A node's own members are no metadata.
async fn filters_see_only_metadata(env: &Env) -> CaseResult {
    let stores = Filtered::with(env, &[("a", json!({"m": 1}))]).await?;
    for key in [
        "id_",
        "id",
        "_id",
        "text",
        "class_name",
        "embedding",
        "doc_id",
        "ref_doc_id",
        "metadata.m",
        "__data__.id_",
    ] {
        stores.expect(&json!({"key": key, "operator": "exists"}), &[]).await?;
        stores.expect(&is(key, json!(null)), &["a"]).await?;
    }
    Ok(())
}
