//! Equality, order and lists, each with its answers written out.

use serde_json::{Value, json};
use store_core::{Condition, Filter, Scalar};

use super::{Filtered, op};
use crate::case::{Need, cases};
use crate::check::{CaseResult, holds};
use crate::data::filter;
use crate::harness::Env;

cases! { "filters", Env:
    equality_is_typed [Need::Filters],
    equality_of_numbers_is_exact [Need::Filters],
    missing_equals_null [Need::Filters],
    not_equal_is_the_exact_negation [Need::Filters],
    lists_and_objects_equal_no_scalar [Need::Filters],
    order_of_numbers_is_exact [Need::Filters],
    order_of_texts_is_by_code_point [Need::Filters],
    order_of_mixed_types_matches_nothing [Need::Filters],
    order_with_bools_and_lists_is_refused [Need::Filters],
    between_takes_both_ends [Need::Filters],
    in_and_nin_are_exact_opposites [Need::Filters],
    contains_looks_into_lists_and_texts [Need::Filters],
    any_and_all_of_a_list [Need::Filters],
    is_empty_and_exists [Need::Filters],
    timestamps_compare_by_instant [Need::Filters],
}

fn is(value: Value) -> Value {
    op("==", value)
}

fn typed() -> Vec<(&'static str, Value)> {
    vec![
        ("int", json!({"v": 1})),
        ("float", json!({"v": 1.0})),
        ("text", json!({"v": "1"})),
        ("true", json!({"v": true})),
        ("false", json!({"v": false})),
        ("zero", json!({"v": 0})),
        ("minus zero", json!({"v": -0.0})),
        ("empty", json!({"v": ""})),
        ("word true", json!({"v": "true"})),
        ("word null", json!({"v": "null"})),
        ("null", json!({"v": null})),
        ("missing", json!({"w": 1})),
    ]
}

/// `1` equals `1.0`; `1`, `"1"` and `true` are three values.
async fn equality_is_typed(env: &Env) -> CaseResult {
    let stores = Filtered::with(env, &typed()).await?;
    stores
        .expect_all(&[
            (is(json!(1)), &["int", "float"]),
            (is(json!(1.0)), &["int", "float"]),
            (is(json!("1")), &["text"]),
            (is(json!(true)), &["true"]),
            (is(json!(false)), &["false"]),
            (is(json!(0)), &["zero", "minus zero"]),
            (is(json!(-0.0)), &["zero", "minus zero"]),
            (is(json!("")), &["empty"]),
            (is(json!("true")), &["word true"]),
            (is(json!("null")), &["word null"]),
            (is(json!("1.0")), &[]),
            (is(json!(2)), &[]),
        ])
        .await
}

/// Integers and floats compare by exact value: nothing is rounded to a float first.
async fn equality_of_numbers_is_exact(env: &Env) -> CaseResult {
    let stores = Filtered::with(
        env,
        &[
            ("2^53", json!({"v": 9_007_199_254_740_992_i64})),
            ("2^53 float", json!({"v": 9_007_199_254_740_992.0})),
            ("2^53+1", json!({"v": 9_007_199_254_740_993_i64})),
            ("max", json!({"v": i64::MAX})),
            ("max-1", json!({"v": i64::MAX - 1})),
            ("2^63 float", json!({"v": 9_223_372_036_854_775_808.0})),
            ("u64", json!({"v": u64::MAX})),
            ("min", json!({"v": i64::MIN})),
            ("tenth", json!({"v": 0.1})),
            ("sum", json!({"v": 0.300_000_000_000_000_04})),
            ("huge", json!({"v": 1e300})),
            ("tiny", json!({"v": 5e-324})),
        ],
    )
    .await?;
    stores
        .expect_all(&[
            (is(json!(9_007_199_254_740_992_i64)), &["2^53", "2^53 float"]),
            (is(json!(9_007_199_254_740_993_i64)), &["2^53+1"]),
            (is(json!(9_007_199_254_740_992.0)), &["2^53", "2^53 float"]),
            (is(json!(i64::MAX)), &["max"]),
            (is(json!(9_223_372_036_854_775_808_u64)), &["2^63 float"]),
            (is(json!(9_223_372_036_854_775_808.0)), &["2^63 float"]),
            (is(json!(u64::MAX)), &["u64"]),
            (is(json!(18_446_744_073_709_551_615.0)), &[]),
            (is(json!(i64::MIN)), &["min"]),
            (is(json!(-9_223_372_036_854_775_808.0)), &["min"]),
            (is(json!(0.1)), &["tenth"]),
            (is(json!(0.3)), &[]),
            (is(json!(0.300_000_000_000_000_04)), &["sum"]),
            (is(json!(1e300)), &["huge"]),
            (is(json!(5e-324)), &["tiny"]),
            (is(json!(0)), &[]),
        ])
        .await
}

/// Missing and null are the same, in every operator.
async fn missing_equals_null(env: &Env) -> CaseResult {
    let rows = [
        ("null", json!({"v": null})),
        ("missing", json!({"w": 1})),
        ("nothing", json!({})),
        ("text", json!({"v": "x"})),
        ("list", json!({"v": [null]})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    stores
        .expect_all(&[
            (is(json!(null)), &["null", "missing", "nothing"]),
            (op("!=", json!(null)), &["text", "list"]),
            (op("in", json!([null])), &["null", "missing", "nothing"]),
            (op("in", json!(["x", null])), &["null", "missing", "nothing", "text"]),
            (op("nin", json!([null])), &["text", "list"]),
            (op("!=", json!("x")), &["null", "missing", "nothing", "list"]),
            (op("nin", json!(["x"])), &["null", "missing", "nothing", "list"]),
            (op("contains", json!(null)), &["list"]),
            (op(">=", json!(null)), &[]),
            (op("<=", json!(null)), &[]),
            (op("between", json!([null, null])), &[]),
        ])
        .await
}

/// `!=` matches exactly what `==` does not.
async fn not_equal_is_the_exact_negation(env: &Env) -> CaseResult {
    let rows = typed();
    let stores = Filtered::with(env, &rows).await?;
    for value in [json!(1), json!("1"), json!(true), json!(""), json!(null), json!(0.0), json!("x")] {
        let equal = filter(&is(value.clone()))?;
        let matches = |metadata: &Value| metadata.as_object().is_some_and(|metadata| equal.matches(metadata));
        let others: Vec<&str> =
            rows.iter().filter(|(_, metadata)| !matches(metadata)).map(|(id, _)| *id).collect();
        stores.expect(&op("!=", value), &others).await?;
    }
    stores
        .expect(
            &op("!=", json!(1)),
            &[
                "text",
                "true",
                "false",
                "zero",
                "minus zero",
                "empty",
                "word true",
                "word null",
                "null",
                "missing",
            ],
        )
        .await
}

/// A list or object equals no scalar, and none of its elements is looked into.
async fn lists_and_objects_equal_no_scalar(env: &Env) -> CaseResult {
    let rows = [
        ("list", json!({"v": [1, "a"]})),
        ("one", json!({"v": [1]})),
        ("empty", json!({"v": []})),
        ("object", json!({"v": {"x": 1}})),
        ("scalar", json!({"v": 1})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    stores
        .expect_all(&[
            (is(json!(1)), &["scalar"]),
            (is(json!("a")), &[]),
            (is(json!("[1]")), &[]),
            (op("!=", json!(1)), &["list", "one", "empty", "object"]),
            (op("in", json!([1, "a"])), &["scalar"]),
            (op("nin", json!([1, "a"])), &["list", "one", "empty", "object"]),
            (op(">", json!(0)), &["scalar"]),
            (op("<=", json!("z")), &[]),
            (op("text_match", json!("1")), &[]),
            (is(json!(null)), &[]),
        ])
        .await
}

/// Numbers are ordered by exact value, whatever their kind.
async fn order_of_numbers_is_exact(env: &Env) -> CaseResult {
    let rows = [
        ("a", json!({"v": -1e300})),
        ("b", json!({"v": i64::MIN})),
        ("c", json!({"v": -1})),
        ("d", json!({"v": 0.5})),
        ("e", json!({"v": 1})),
        ("f", json!({"v": 9_007_199_254_740_992.0})),
        ("g", json!({"v": 9_007_199_254_740_993_i64})),
        ("h", json!({"v": u64::MAX})),
        ("i", json!({"v": 1e300})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    stores
        .expect_all(&[
            (op(">", json!(0)), &["d", "e", "f", "g", "h", "i"]),
            (op(">", json!(1)), &["f", "g", "h", "i"]),
            (op(">=", json!(1.0)), &["e", "f", "g", "h", "i"]),
            (op("<", json!(0.5)), &["a", "b", "c"]),
            (op("<=", json!(0.5)), &["a", "b", "c", "d"]),
            (op(">", json!(9_007_199_254_740_992_i64)), &["g", "h", "i"]),
            (op(">=", json!(9_007_199_254_740_993_i64)), &["g", "h", "i"]),
            (op("<", json!(9_007_199_254_740_993_i64)), &["a", "b", "c", "d", "e", "f"]),
            (op(">", json!(i64::MAX)), &["h", "i"]),
            (op("<", json!(i64::MIN)), &["a"]),
            (op(">", json!(u64::MAX)), &["i"]),
        ])
        .await
}

/// Texts are ordered by code point: no language, no case folding, no normalising.
async fn order_of_texts_is_by_code_point(env: &Env) -> CaseResult {
    let rows = [
        ("empty", json!({"v": ""})),
        ("10", json!({"v": "10"})),
        ("9", json!({"v": "9"})),
        ("B", json!({"v": "B"})),
        ("a", json!({"v": "a"})),
        ("e with mark", json!({"v": "e\u{301}"})),
        ("z", json!({"v": "z"})),
        ("é", json!({"v": "é"})),
        ("private", json!({"v": "\u{ffff}"})),
        ("astral", json!({"v": "😀"})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    stores
        .expect_all(&[
            (op("<", json!("9")), &["empty", "10"]),
            (op(">=", json!("B")), &["B", "a", "e with mark", "z", "é", "private", "astral"]),
            (op(">", json!("B")), &["a", "e with mark", "z", "é", "private", "astral"]),
            (op("<=", json!("e\u{301}")), &["empty", "10", "9", "B", "a", "e with mark"]),
            (op(">", json!("z")), &["é", "private", "astral"]),
            (op(">", json!("\u{ffff}")), &["astral"]),
            (op("<", json!("")), &[]),
            (
                op(">=", json!("")),
                &["empty", "10", "9", "B", "a", "e with mark", "z", "é", "private", "astral"],
            ),
            (op("between", json!(["10", "B"])), &["10", "9", "B"]),
        ])
        .await
}

/// A comparison across types, or with null, matches nothing on either side.
async fn order_of_mixed_types_matches_nothing(env: &Env) -> CaseResult {
    let stores = Filtered::with(env, &typed()).await?;
    stores
        .expect_all(&[
            (op("<", json!(5)), &["int", "float", "zero", "minus zero"]),
            (op(">=", json!(-5)), &["int", "float", "zero", "minus zero"]),
            (op("<", json!("zzz")), &["text", "empty", "word true", "word null"]),
            (op(">=", json!("")), &["text", "empty", "word true", "word null"]),
            (op(">", json!(null)), &[]),
            (op("between", json!([0, "9"])), &[]),
            (op("between", json!([null, 9])), &[]),
        ])
        .await
}

/// An order comparison with a bool or a list asks for nothing that exists: `InvalidInput`.
async fn order_with_bools_and_lists_is_refused(env: &Env) -> CaseResult {
    let stores = Filtered::with(env, &typed()).await?;
    let field = |condition| Filter::Field { key: "v".to_owned(), condition };
    for condition in [
        Condition::Gt(Scalar::Bool(true)),
        Condition::Gte(Scalar::Bool(false)),
        Condition::Lt(Scalar::Bool(true)),
        Condition::Lte(Scalar::Bool(true)),
        Condition::Between(Scalar::Bool(false), Scalar::Integer(1)),
        Condition::Eq(Scalar::Float(f64::NAN)),
        Condition::In(vec![Scalar::Float(f64::INFINITY)]),
    ] {
        stores.refuse(field(condition)).await?;
    }
    // What the AST can not even say is refused when it is read.
    for bad in [
        op(">", json!([1])),
        op("<", json!({"x": 1})),
        op("between", json!([1])),
        op("in", json!(1)),
        op("~", json!(1)),
    ] {
        let read = Filter::from_json(&bad);
        holds(read.is_err(), format!("{bad} was read as {read:?}"))?;
    }
    Ok(())
}

/// Both ends belong to it; an end that is below the other holds nothing.
async fn between_takes_both_ends(env: &Env) -> CaseResult {
    let rows: Vec<(&str, Value)> =
        ["a", "b", "c", "d", "e"].into_iter().zip(1..).map(|(id, n)| (id, json!({"v": n}))).collect();
    let stores = Filtered::with(env, &rows).await?;
    stores
        .expect_all(&[
            (op("between", json!([2, 4])), &["b", "c", "d"]),
            (op("between", json!([2.0, 2])), &["b"]),
            (op("between", json!([1.5, 3.5])), &["b", "c"]),
            (op("between", json!([4, 2])), &[]),
            (op("between", json!(["1", "5"])), &[]),
        ])
        .await
}

/// `in` is equality with one of the list, `nin` its exact negation; of an empty list nothing and everything.
async fn in_and_nin_are_exact_opposites(env: &Env) -> CaseResult {
    let rows = typed();
    let stores = Filtered::with(env, &rows).await?;
    let all: Vec<&str> = rows.iter().map(|(id, _)| *id).collect();
    let lists: [(Value, &[&str]); 5] = [
        (json!([1, "true"]), &["int", "float", "word true"]),
        (json!([true, "", null]), &["true", "empty", "null", "missing"]),
        (json!([0.0, "1", false]), &["zero", "minus zero", "text", "false"]),
        (json!(["x", 7]), &[]),
        (json!([]), &[]),
    ];
    for (list, inside) in lists {
        stores.expect(&op("in", list.clone()), inside).await?;
        let outside: Vec<&str> = all.iter().filter(|id| !inside.contains(id)).copied().collect();
        stores.expect(&op("nin", list), &outside).await?;
    }
    Ok(())
}

/// `contains` finds an equal element in a list, or the text in a text; nothing else holds anything.
async fn contains_looks_into_lists_and_texts(env: &Env) -> CaseResult {
    let rows = [
        ("numbers", json!({"v": [1, 2.5, 3]})),
        ("floats", json!({"v": [1.0]})),
        ("texts", json!({"v": ["a", "abc", "1"]})),
        ("mixed", json!({"v": [true, null, "", [1], {"x": 1}]})),
        ("empty", json!({"v": []})),
        ("text", json!({"v": "xabcx 1"})),
        ("number", json!({"v": 1})),
        ("object", json!({"v": {"a": "a"}})),
        ("missing", json!({})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    stores
        .expect_all(&[
            (op("contains", json!(1)), &["numbers", "floats"]),
            (op("contains", json!(2.5)), &["numbers"]),
            (op("contains", json!("1")), &["texts", "text"]),
            (op("contains", json!("abc")), &["texts", "text"]),
            (op("contains", json!("ab")), &["text"]),
            (op("contains", json!("ABC")), &[]),
            (op("contains", json!("")), &["mixed", "text"]),
            (op("contains", json!(true)), &["mixed"]),
            (op("contains", json!(null)), &["mixed"]),
            (op("contains", json!("x")), &["text"]),
        ])
        .await
}

/// `any` is `contains` for one of the list, `all` for each; `all` of nothing is any list or text.
async fn any_and_all_of_a_list(env: &Env) -> CaseResult {
    let rows = [
        ("ab", json!({"v": ["a", "b"]})),
        ("abc", json!({"v": ["a", "b", "c"]})),
        ("numbers", json!({"v": [1, 2]})),
        ("none", json!({"v": []})),
        ("text", json!({"v": "a, b"})),
        ("empty text", json!({"v": ""})),
        ("scalar", json!({"v": 1})),
        ("null", json!({"v": null})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    stores
        .expect_all(&[
            (op("any", json!(["a", "x"])), &["ab", "abc", "text"]),
            (op("any", json!(["c", 2.0])), &["abc", "numbers"]),
            (op("any", json!([])), &[]),
            (op("all", json!(["a", "b"])), &["ab", "abc", "text"]),
            (op("all", json!(["a", "b", "c"])), &["abc"]),
            (op("all", json!(["a", 1])), &[]),
            (op("all", json!([1.0, 2, 1])), &["numbers"]),
            (op("all", json!([])), &["ab", "abc", "numbers", "none", "text", "empty text"]),
        ])
        .await
}

/// `is_empty`: missing, null, an empty text or list. `exists`: present and not null, or the opposite.
async fn is_empty_and_exists(env: &Env) -> CaseResult {
    let rows = [
        ("missing", json!({})),
        ("null", json!({"v": null})),
        ("empty text", json!({"v": ""})),
        ("empty list", json!({"v": []})),
        ("empty object", json!({"v": {}})),
        ("space", json!({"v": " "})),
        ("zero", json!({"v": 0})),
        ("false", json!({"v": false})),
        ("list of null", json!({"v": [null]})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    let there = ["empty text", "empty list", "empty object", "space", "zero", "false", "list of null"];
    stores
        .expect_all(&[
            (json!({"key": "v", "operator": "is_empty"}), &["missing", "null", "empty text", "empty list"]),
            (
                json!({"key": "v", "operator": "is_empty", "value": false}),
                &["missing", "null", "empty text", "empty list"],
            ),
            (
                json!({"not": {"key": "v", "operator": "is_empty"}}),
                &["empty object", "space", "zero", "false", "list of null"],
            ),
            (json!({"key": "v", "operator": "exists"}), &there),
            (op("exists", json!(true)), &there),
            (op("exists", json!(false)), &["missing", "null"]),
        ])
        .await
}

/// A timestamp compares with texts that are ISO 8601, by instant; with anything else it is another type.
async fn timestamps_compare_by_instant(env: &Env) -> CaseResult {
    let rows = [
        ("day", json!({"v": "2024-05-01"})),
        ("noon", json!({"v": "2024-05-01T12:00:00Z"})),
        ("noon in Rome", json!({"v": "2024-05-01 14:00:00+02:00"})),
        ("noon, no offset", json!({"v": "2024-05-01T12:00"})),
        ("noon and a bit", json!({"v": "2024-05-01T12:00:00.000001Z"})),
        ("evening", json!({"v": "2024-05-01T23:59:59.999-01:00"})),
        ("next day", json!({"v": "2024-05-02"})),
        ("a word", json!({"v": "2024-05-01 or so"})),
        ("not ISO", json!({"v": "1 May 2024"})),
        ("no such day", json!({"v": "2024-02-30"})),
        ("seconds", json!({"v": 1_714_564_800})),
        ("list", json!({"v": ["2024-05-01T12:00:00Z"]})),
        ("null", json!({"v": null})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    let at = |text: &str| json!({"timestamp": text});
    let noon = ["noon", "noon in Rome", "noon, no offset"];
    stores
        .expect_all(&[
            (is(at("2024-05-01T12:00:00Z")), &noon),
            (is(at("2024-05-01 12:00")), &noon),
            (is(at("2024-05-01T07:00:00-05:00")), &noon),
            (is(at("2024-05-01")), &["day"]),
            (op(">", at("2024-05-01T12:00:00Z")), &["noon and a bit", "evening", "next day"]),
            (op("<", at("2024-05-01T12:00:00Z")), &["day"]),
            (op(">=", at("2024-05-02T00:00:00Z")), &["evening", "next day"]),
            (
                op("between", json!([at("2024-05-01"), at("2024-05-01T12:00:00Z")])),
                &["day", "noon", "noon in Rome", "noon, no offset"],
            ),
            (op("in", json!([at("2024-05-01"), at("2024-05-02")])), &["day", "next day"]),
            (op("contains", at("2024-05-01T14:00:00+02:00")), &["list"]),
            (
                op("!=", at("2024-05-01T12:00:00Z")),
                &[
                    "day",
                    "noon and a bit",
                    "evening",
                    "next day",
                    "a word",
                    "not ISO",
                    "no such day",
                    "seconds",
                    "list",
                    "null",
                ],
            ),
            // A text is compared as text.
            (is(json!("2024-05-01T12:00:00Z")), &["noon"]),
        ])
        .await
}
