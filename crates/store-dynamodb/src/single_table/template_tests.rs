use proptest::prelude::*;
use serde_json::json;

use super::*;

fn sort(text: &str) -> Template {
    Template::parse(text, '#', true).unwrap()
}

fn partition(text: &str) -> Template {
    Template::parse(text, '#', false).unwrap()
}

fn fields(value: Value) -> JsonObject {
    let Value::Object(fields) = value else { panic!("no object: {value}") };
    fields
}

fn key(template: &Template, value: Value) -> String {
    template.render(&fields(value)).unwrap().unwrap()
}

fn refused(template: &Template, value: Value) -> String {
    template.render(&fields(value)).unwrap_err().to_string()
}

#[test]
fn keys_are_written_and_told() {
    let event = sort("EVENT#{time:16}#{id}");
    assert_eq!(key(&event, json!({"time": 7, "id": "a#b%"})), "EVENT#0000000000000007#a%23b%25");
    assert_eq!(event.render(&fields(json!({"time": 7, "id": null}))).unwrap(), None);
    assert!(event.matches("EVENT#0000000000000007#a%23b%25"));
    for other in ["EVENT#1", "EVENT#1#", "EVENT##a", "EVENT#1#a#b", "OTHER#1#a", "EVENTS#1#a", ""] {
        assert!(!event.matches(other), "{other}");
    }
    assert_eq!(key(&partition("V{n}#x"), json!({"n": 3})), "V3#x");
    assert_eq!(key(&partition("ALL"), json!({})), "ALL");
    assert_eq!(key(&Template::parse("A|{x}", '|', false).unwrap(), json!({"x": "#|"})), "A|#%7C");
}

#[test]
fn templates_that_can_not_be_are_told() {
    for (text, why) in [
        ("", "empty"),
        ("{a}{b}", "can not be read back"),
        ("{a}-{b}", "can not be read back"),
        ("{a", "without a }"),
        ("a}", "without a {"),
        ("{}", "without a name"),
        ("{:16}", "without a name"),
        ("{a:}", "no known form"),
        ("{a:0}", "no known form"),
        ("{a:21}", "no known form"),
        ("{a:..0}", "no known form"),
        ("{a:text}", "no known form"),
        ("{a}#{a}", "twice"),
        ("A\u{10ffff}", "U+10FFFF"),
    ] {
        let error = Template::parse(text, '#', true).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn values_that_can_not_be_are_told() {
    let number = sort("{n:3}");
    assert!(refused(&number, json!({"n": 1000})).contains("more than 3 digits"));
    for value in [json!(-1), json!(1.5)] {
        assert!(refused(&number, json!({"n": value})).contains("whole number from 0 on"));
    }
    assert!(refused(&number, json!({"n": "1"})).contains("no number"));
    let text = sort("{a}");
    assert!(refused(&text, json!({"a": ""})).contains("empty"));
    assert!(refused(&text, json!({"a": 1})).contains("{a:16}"));
    assert!(refused(&text, json!({"a": [1]})).contains("list or an object"));
    assert!(refused(&text, json!({"a": {}})).contains("list or an object"));
    assert!(refused(&text, json!({"a": "x\u{10ffff}"})).contains("U+10FFFF"));
    assert!(refused(&partition("{a}"), json!({"a": 1.0})).contains("fraction"));
    let short = sort("{a:..4}");
    assert_eq!(key(&short, json!({"a": "äb"})), "äb");
    assert!(refused(&short, json!({"a": "##"})).contains("takes 6 bytes"));
    for day in ["2026-1-31", "2026-01-31 ", "31.01.2026"] {
        assert!(refused(&sort("{d:date}"), json!({"d": day})).contains("no date"));
    }
    for time in ["2026-01-31T09:30:00", "2026-01-31T09:30:00+01:00", "2026-01-31T09:30:00.Z", "2026-01-31"] {
        assert!(refused(&sort("{t:time}"), json!({"t": time})).contains("no time"), "{time}");
    }
}

#[test]
fn times_sort_as_they_follow() {
    let template = sort("{t:time}");
    let times =
        ["2025-12-31T23:59:59Z", "2026-01-31T09:30:00Z", "2026-01-31T09:30:00.05Z", "2026-01-31T09:30:00.5Z"];
    let keys = times.map(|time| key(&template, json!({"t": time})));
    assert!(keys.is_sorted(), "{keys:?}");
    assert_eq!(keys[3], "2026-01-31T09:30:00.500000000Z");
}

#[test]
fn beginnings() {
    let event = sort("EVENT#{kind}#{time:4}#{id}");
    let begins = |value| event.prefix(&fields(value), false).unwrap();
    assert_eq!(begins(json!({})), ("EVENT#".to_owned(), false));
    assert_eq!(begins(json!({"kind": "a"})), ("EVENT#a#".to_owned(), false));
    assert_eq!(begins(json!({"kind": "a", "time": 1})), ("EVENT#a#0001#".to_owned(), false));
    assert_eq!(begins(json!({"kind": "a", "time": 1, "id": "x"})), ("EVENT#a#0001#x".to_owned(), true));
    let error = event.prefix(&fields(json!({"time": 1})), false).unwrap_err().to_string();
    assert!(error.contains("\"kind\" is missing"), "{error}");
    let open = |value| event.prefix(&fields(value), true);
    assert_eq!(open(json!({"kind": "a#"})).unwrap(), ("EVENT#a%23".to_owned(), false));
    assert!(open(json!({"kind": "a", "time": 1})).unwrap_err().to_string().contains("no text"));
    let time = sort("{t:time}");
    assert_eq!(time.prefix(&fields(json!({"t": "2026-01"})), true).unwrap(), ("2026-01".to_owned(), false));
}

#[test]
fn overlaps_are_found() {
    for (one, other, overlap) in [
        ("EVENT#{a}", "EVENT#{b}", true),
        ("EVENT#{a}", "USER#{b}", false),
        ("EVENT#{a}", "{a}#{b}", true),
        ("EVENT#{a}", "EVENT#x", true),
        ("EVENT#x{a}", "EVENT#x", false),
        ("EVENT#{a}", "EVENT#{a}#COMMENT", false),
        ("v{a}", "vx{b}", true),
        ("A", "A", true),
    ] {
        assert_eq!(sort(one).overlaps(&sort(other)), overlap, "{one} {other}");
        assert_eq!(sort(other).overlaps(&sort(one)), overlap, "{other} {one}");
    }
}

#[test]
fn the_longest_key() {
    assert_eq!(sort("EVENT#{a:16}#{b:..10}").longest(), Some(6 + 16 + 1 + 10));
    assert_eq!(sort("{a:date}#{b:time}").longest(), Some(10 + 1 + 30));
    assert_eq!(sort("{a}").longest(), None);
}

proptest! {
    #[test]
    fn different_values_have_different_keys(one in "[a%#|2-3]{1,6}", two in "[a%#|2-3]{1,6}", three in "[a%#|2-3]{1,6}", four in "[a%#|2-3]{1,6}") {
        let template = sort("X#{a}#{b}");
        let left = key(&template, json!({"a": one, "b": two}));
        let right = key(&template, json!({"a": three, "b": four}));
        prop_assert_eq!(left == right, one == three && two == four);
        prop_assert!(template.matches(&left));
    }

    #[test]
    fn numbers_sort_as_they_count(one in 0u64..=u64::MAX, other in 0u64..=u64::MAX) {
        let template = sort("{n:20}");
        prop_assert_eq!(key(&template, json!({"n": one})).cmp(&key(&template, json!({"n": other}))), one.cmp(&other));
    }
}
