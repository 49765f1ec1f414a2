use serde_json::json;
use store_core::filter::field;

use super::*;

fn entries(filter: &Filter) -> Vec<(String, String)> {
    part(Some(filter)).entries
}

fn pair(key: &str, text: &str) -> (String, String) {
    (key.to_owned(), text.to_owned())
}

#[test]
fn values_are_written_as_cassio_writes_them() {
    for (value, text) in [
        (json!("a"), "a"),
        (json!(true), "true"),
        (json!(null), "null"),
        (json!(1999), "1999.0"),
        (json!(9_007_199_254_740_993_i64), "9007199254740992.0"),
        (json!(0.1), "0.1"),
        (json!(1e16), "1e+16"),
        (json!(-0.0), "-0.0"),
    ] {
        assert_eq!(entry(&value).as_deref(), Some(text), "{value}");
    }
    assert_eq!(entry(&json!([1])), None);
    assert_eq!(entry(&json!({"a": 1})), None);
}

#[test]
fn equalities_narrow() {
    assert_eq!(entries(&field("a").eq("x")), [pair("a", "x")]);
    assert_eq!(entries(&field("a").eq(7)), [pair("a", "7.0")]);
    assert_eq!(entries(&field("a").eq(9_007_199_254_740_993_i64)), [pair("a", "9007199254740992.0")]);
    assert_eq!(entries(&field("a").eq(true)), [pair("a", "true")]);
    assert_eq!(entries(&field("a").one_of(["x"])), [pair("a", "x")]);
    let both = field("a").eq("x").and(field("b").gt(1)).and(field("c").eq(0.5));
    let parted = part(Some(&both));
    assert_eq!(parted.entries, [pair("a", "x"), pair("c", "0.5")]);
    assert_eq!(parted.pushed_down, Some(field("a").eq("x")));
    assert_eq!(parted.rest, Some(Filter::all([field("b").gt(1), field("c").eq(0.5)])));
}

#[test]
fn what_has_more_than_one_text_does_not_narrow() {
    let long = "x".repeat(MAX_ENTRY);
    for filter in [
        field("a").eq(0),
        field("a").eq(-0.0),
        field("a").eq(""),
        field("a").eq(long.as_str()),
        field("a").ne("x"),
        field("a").one_of(["x", "y"]),
        field("a.b").eq("x"),
        field("doc_id").eq("x"),
        field("a").is_missing(),
        field("a").eq("x").or(field("b").eq("x")),
    ] {
        let parted = part(Some(&filter));
        assert_eq!((parted.entries.len(), parted.pushed_down), (0, None), "{filter:?}");
        assert_eq!(parted.rest, Some(filter));
    }
}

#[test]
fn a_text_that_could_be_another_type_is_finished_here() {
    for text in ["1.0", "-0.5", "true", "false", "null", "1e+16", "2024-01-01"] {
        let parted = part(Some(&field("a").eq(text)));
        assert_eq!(parted.entries, [pair("a", text)]);
        assert!(parted.pushed_down.is_none() && parted.rest.is_some(), "{text}");
    }
}

#[test]
fn one_key_is_asked_for_once() {
    let twice = field("a").eq("x").and(field("a").eq("y"));
    let parted = part(Some(&twice));
    assert_eq!(parted.entries, [pair("a", "x")]);
    assert_eq!(parted.rest, Some(field("a").eq("y")));
}
