//! LlamaIndex's JSON: what is read, what is written, what is refused and where.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ErrorKind;

#[test]
fn llamaindex_metadata_filters_round_trip() {
    // As MetadataFilters(...).model_dump_json() writes them.
    for text in [
        r#"{"filters":[{"key":"a","value":1,"operator":"=="}],"condition":"and"}"#,
        r#"{"filters":[],"condition":"and"}"#,
        r#"{"filters":[],"condition":"or"}"#,
        r#"{"filters":[],"condition":"not"}"#,
        r#"{"filters":[{"key":"a","value":"x","operator":"!="},{"key":"b","value":1.5,"operator":">"}],"condition":"or"}"#,
        r#"{"filters":[{"key":"a","value":1,"operator":"=="},{"filters":[{"key":"b","value":["x","y"],"operator":"in"},{"key":"c","value":[1,2],"operator":"nin"}],"condition":"or"}],"condition":"not"}"#,
        r#"{"filters":[{"filters":[{"filters":[{"key":"a","value":null,"operator":"is_empty"}],"condition":"not"}],"condition":"not"}],"condition":"and"}"#,
        r#"{"filters":[{"key":"t","value":"x","operator":"text_match"},{"key":"t","value":"x","operator":"text_match_insensitive"},{"key":"t","value":"x","operator":"contains"},{"key":"t","value":[1.0,2.5],"operator":"any"},{"key":"t","value":["x"],"operator":"all"},{"key":"t","value":1,"operator":">="},{"key":"t","value":1,"operator":"<="},{"key":"t","value":1,"operator":"<"}],"condition":"and"}"#,
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Filter::from_json(&value).unwrap().to_json().to_string(), text);
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Filter>(text).unwrap()).unwrap(), text);
    }
}

#[test]
fn our_additions_round_trip() {
    for text in [
        r#"{"not":{"key":"a","value":1,"operator":"=="}}"#,
        r#"{"not":{"not":{"filters":[],"condition":"and"}}}"#,
        r#"{"key":"a","value":true,"operator":"exists"}"#,
        r#"{"key":"a","value":false,"operator":"exists"}"#,
        r#"{"key":"a","value":[1,2.0],"operator":"between"}"#,
        r#"{"key":"a","value":null,"operator":"=="}"#,
        r#"{"key":"a","value":true,"operator":"!="}"#,
        r#"{"key":"a","value":["a",1,1.0,null,true,{"timestamp":"2024-05-01T12:00:00.25Z"}],"operator":"in"}"#,
        r#"{"key":"a","value":18446744073709551615,"operator":"=="}"#,
        r#"{"key":"a","value":-9223372036854775808,"operator":"=="}"#,
    ] {
        assert_eq!(
            Filter::from_json(&serde_json::from_str(text).unwrap()).unwrap().to_json().to_string(),
            text
        );
    }
}

#[test]
fn defaults_are_filled_in() {
    let one = field("a").eq(1);
    for (json, filter) in [
        (json!({"key": "a", "value": 1}), one.clone()),
        (json!({"filters": [{"key": "a", "value": 1}]}), Filter::all([one.clone()])),
        (json!({"filters": [{"key": "a", "value": 1}], "condition": null}), Filter::all([one.clone()])),
        (json!({"filters": [{"key": "a", "value": 1}], "condition": "not"}), Filter::none([one])),
        (json!({"key": "a", "operator": "exists"}), field("a").exists()),
        (json!({"key": "a", "operator": "exists", "value": null}), field("a").exists()),
        (json!({"key": "a", "operator": "is_empty"}), field("a").is_empty()),
        (
            json!({"key": "a", "operator": ">", "value": {"timestamp": "2024-05-01 14:00+02:00"}}),
            field("a").gt("2024-05-01T12:00:00Z".parse::<Timestamp>().unwrap()),
        ),
    ] {
        assert_eq!(Filter::from_json(&json).unwrap(), filter, "{json}");
    }
}

#[test]
fn refusals_name_the_place() {
    let known =
        "== != > >= < <= between in nin contains any all text_match text_match_insensitive is_empty exists";
    let leaf = |operator: &str, value: Value| json!({"key": "a", "operator": operator, "value": value});
    let long = "x".repeat(1000);
    for (json, message) in [
        (json!(null), "filter: expected an object, found null".to_owned()),
        (json!([]), "filter: expected an object, found a list of 0".to_owned()),
        (json!("a == 1"), r#"filter: expected an object, found "a == 1""#.to_owned()),
        (
            json!({}),
            r#"filter: expected {"key", "operator", "value"}, {"filters", "condition"} or {"not"}, found an empty object"#
                .to_owned(),
        ),
        (json!({"filters": null}), "filters: expected a list of filters, found null".to_owned()),
        (json!({"filters": {}}), "filters: expected a list of filters, found an empty object".to_owned()),
        (
            json!({"filters": [], "condition": "xor"}),
            r#"condition: expected "and", "or" or "not", found "xor""#.to_owned(),
        ),
        (json!({"filters": [], "condition": "AND"}), r#"condition: expected "and", "or" or "not", found "AND""#.to_owned()),
        (json!({"filters": [], "condition": 1}), r#"condition: expected "and", "or" or "not", found 1"#.to_owned()),
        (
            json!({"filters": [], "operator": "and"}),
            r#"filter: unknown member "operator"; known here: filters, condition"#.to_owned(),
        ),
        (
            json!({"filters": [leaf("==", json!(1)), {"not": leaf("=~", json!(1))}]}),
            format!(r#"filters[1].not.operator: unknown operator "=~"; known: {known}"#),
        ),
        (leaf("IN", json!([])), format!(r#"operator: unknown operator "IN"; known: {known}"#)),
        (
            json!({"key": "a", "operator": null, "value": 1}),
            format!("operator: unknown operator null; known: {known}"),
        ),
        (
            json!({"filters": [{"filters": [{"key": "a"}]}]}),
            "filters[0].filters[0].value: missing; write null to compare with a missing field".to_owned(),
        ),
        (json!({"value": 1}), String::from(r#"filter: expected {"key""#)),
        (json!({"key": 1, "value": 1}), "key: expected a text, found 1".to_owned()),
        (json!({"key": "", "value": 1}), r#"key: the field name "" is empty"#.to_owned()),
        (
            json!({"filters": [{"key": "a..b", "value": 1}]}),
            r#"filters[0].key: the field name "a..b" has an empty part"#.to_owned(),
        ),
        (
            json!({"key": "a", "value": 1, "values": 1}),
            r#"filter: unknown member "values"; known here: key, operator, value"#.to_owned(),
        ),
        (
            json!({"not": leaf("==", json!(1)), "condition": "and"}),
            r#"filter: unknown member "condition"; known here: not"#.to_owned(),
        ),
        (json!({"not": [leaf("==", json!(1))]}), "not: expected an object, found a list of 1".to_owned()),
        (leaf("==", json!([1])), "value: expected a single value, found a list of 1".to_owned()),
        (leaf("contains", json!([1])), "value: expected a single value".to_owned()),
        (leaf("==", json!({"a": 1})), r#"value: expected a scalar or {"timestamp": "…"}, found an object with a"#.to_owned()),
        (leaf(">", json!(true)), "value: bools have no order".to_owned()),
        (leaf("<=", json!([1])), "value: expected a single value".to_owned()),
        (leaf("between", json!([1])), "value: expected a list of two values, found a list of 1".to_owned()),
        (leaf("between", json!([1, 2, 3])), "value: expected a list of two values".to_owned()),
        (leaf("between", json!(1)), "value: expected a list of two values, found 1".to_owned()),
        (leaf("between", json!([1, false])), "value[1]: bools have no order".to_owned()),
        (leaf("between", json!([[1], 2])), "value[0]: expected a single value".to_owned()),
        (leaf("in", json!("a")), r#"value: expected a list of values, found "a""#.to_owned()),
        (leaf("nin", json!(null)), "value: expected a list of values, found null".to_owned()),
        (leaf("any", json!("a")), "value: expected a list of values".to_owned()),
        (leaf("all", json!([1, [2]])), "value[1]: expected a single value, found a list of 1".to_owned()),
        (leaf("text_match", json!(1)), "value: expected a text, found 1".to_owned()),
        (leaf("text_match_insensitive", json!(null)), "value: expected a text, found null".to_owned()),
        (leaf("exists", json!("yes")), r#"value: expected true or false, found "yes""#.to_owned()),
        (
            leaf("==", json!({"timestamp": "yesterday"})),
            r#"value.timestamp: "yesterday" is not a timestamp; write 2024-05-01"#.to_owned(),
        ),
        (leaf("==", json!({"timestamp": 1})), "value: expected a scalar".to_owned()),
        (leaf("==", json!({"timestamp": "2024-05-01", "x": 1})), "value: expected a scalar".to_owned()),
        (leaf("in", json!([{"timestamp": "2024-13-01"}])), "value[0].timestamp: ".to_owned()),
        (json!(long), format!("filter: expected an object, found \"{}\"…", "x".repeat(60))),
    ] {
        let error = Filter::from_json(&json).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{json}");
        assert!(error.message().starts_with(&message), "{json}\n{}\n{message}", error.message());
    }
}

#[test]
fn deep_nesting_is_refused() {
    // Not by `json!`, which copies what it is given.
    let object = |name: &str, value| Value::Object([(name.to_owned(), value)].into_iter().collect());
    let wraps: [&dyn Fn(Value) -> Value; 2] =
        [&|inner| object("not", inner), &|inner| object("filters", Value::Array(vec![inner]))];
    for wrap in wraps {
        for (levels, valid) in [(MAX_DEPTH, true), (MAX_DEPTH + 1, false), (1_000, false)] {
            let nested = (1..levels).fold(json!({"key": "a", "value": 1}), |inner, _| wrap(inner));
            match Filter::from_json(&nested) {
                Ok(filter) => assert!(valid && filter.validate().is_ok()),
                Err(error) => {
                    assert!(!valid && error.message().contains("nests more than 64 deep"), "{error}");
                }
            }
            // Dropping a JSON value needs stack per level; a thread has 2 MiB.
            std::thread::Builder::new()
                .stack_size(64 << 20)
                .spawn(move || drop(nested))
                .unwrap()
                .join()
                .unwrap();
        }
    }
    // What is read can be written and read again, so a `not` group counts as its two levels.
    let mut group = json!({"key": "a", "value": 1});
    while let Ok(filter) = Filter::from_json(&group) {
        filter.validate().unwrap();
        group = json!({"filters": [group], "condition": "not"});
    }
    let text = format!("{}{{}}{}", r#"{"not":"#.repeat(100_000), "}".repeat(100_000));
    assert!(serde_json::from_str::<Filter>(&text).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let member = proptest::sample::select(vec![
        "key",
        "operator",
        "value",
        "filters",
        "condition",
        "not",
        "timestamp",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        proptest::sample::select(OPERATORS.to_vec()).prop_map(Value::from),
        proptest::sample::select(vec!["and", "or", "not", "2024-05-01"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((member.clone(), inner), 0..4).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_a_valid_filter_or_refused(value in any_json()) {
        match Filter::from_json(&value) {
            Ok(filter) => prop_assert!(filter.validate().is_ok()),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::InvalidInput),
        }
    }
}
