use serde_json::json;
use store_core::{FilterableField, Metric};

use super::*;

fn plain() -> VectorConfig {
    VectorConfig::new(2, Metric::Cosine)
}

fn declared() -> VectorConfig {
    let field = |key: &str, field_type| FilterableField { key: key.to_owned(), field_type };
    plain().with_filterable([field("year", FieldType::Integer), field("when", FieldType::Timestamp)])
}

fn of(json: &serde_json::Value, config: &VectorConfig) -> Translated {
    translate(&Filter::from_json(json).unwrap(), config)
}

#[test]
fn equality_is_a_term() {
    let filter = of(&json!({"key": "a", "value": "x} | *"}), &plain());
    let term = terms::of_value("a", &Scalar::Text("x} | *".to_owned()));
    assert_eq!(filter.native.text(), format!("@_nodestore_terms:{{{term}}}"));
    assert_eq!(filter.rest, None);
    let not = of(&json!({"key": "a", "operator": "!=", "value": 1}), &plain());
    let term = terms::of_value("a", &Scalar::Integer(1));
    assert_eq!(not.native.text(), format!("(-@_nodestore_terms:{{{term}}})"));
}

#[test]
fn groups_of_nothing_and_everything_are_simple() {
    let text = |json| of(&json, &plain()).native;
    assert_eq!(text(json!({"filters": []})), Native::Everything);
    assert_eq!(text(json!({"filters": [], "condition": "or"})), Native::Nothing);
    assert_eq!(text(json!({"not": {"filters": []}})), Native::Nothing);
    assert_eq!(text(json!({"key": "a", "operator": "in", "value": []})), Native::Nothing);
    assert_eq!(text(json!({"key": "a", "operator": "nin", "value": []})), Native::Everything);
    assert_eq!(text(json!({"key": "a", "operator": ">", "value": null})), Native::Nothing);
}

#[test]
fn order_is_pushed_down_where_it_is_declared() {
    let year = |value: serde_json::Value| json!({"key": "year", "operator": ">", "value": value});
    let loose = of(&year(json!(2024)), &plain());
    assert!(loose.pushed_down.is_none() && loose.rest.is_some());
    let exact = of(&year(json!(2024)), &declared());
    assert!(exact.rest.is_none() && exact.leftover.len() == 1);
    assert!(exact.native.text().contains(":[(2024 +inf]"));
    // Where floats no longer tell integers apart, the end is ours to decide.
    let great = of(&year(json!(9_007_199_254_740_993_i64)), &declared());
    assert!(great.rest.is_some());
    assert!(great.native.text().contains(":[9007199254740992 +inf]"));
    let when = json!({"key": "when", "operator": "<=", "value": {"timestamp": "1970-01-01T00:00:01.5Z"}});
    let when = of(&when, &declared());
    assert!(when.rest.is_none());
    let text = when.native.text();
    assert!(text.contains(":[-inf (1]") && text.contains(":[1 1]") && text.contains(":[-inf 500000000]"));
}

#[test]
fn the_negation_of_what_is_loose_admits_everything() {
    let part = json!({"not": {"key": "a", "operator": "text_match", "value": "x"}});
    let filter = of(&part, &plain());
    assert_eq!(filter.native, Native::Everything);
    assert!(filter.rest.is_some());
}

#[test]
fn the_parts_are_split() {
    let filters = json!({"filters": [
        {"key": "a", "value": 1},
        {"key": "b", "operator": "text_match", "value": "x"},
        {"key": "c", "operator": "exists"},
    ]});
    let filter = of(&filters, &plain());
    assert!(matches!(filter.pushed_down, Some(Filter::All(parts)) if parts.len() == 2));
    assert!(matches!(filter.rest, Some(Filter::Field { key, .. }) if key == "b"));
}

#[test]
fn tags_are_escaped() {
    assert_eq!(tag("a-b|c"), Some("a\\-b\\|c".to_owned()));
    assert_eq!(tag("x} *"), Some("x\\}\\ \\*".to_owned()));
    for odd in ["", "a,b", " a", "a\0", "é"] {
        assert_eq!(tag(odd), None, "{odd:?}");
    }
}

#[test]
fn only_leaves_are_negated() {
    let not = |filter| json!({"not": filter});
    let both = json!({"filters": [{"key": "a", "value": null}, not(json!({"key": "b", "value": 1}))]});
    let text = of(&not(not(not(both))), &plain()).native.text();
    assert!(!text.contains("-("), "{text}");
    let exists = of(&json!({"key": "a", "operator": "!=", "value": null}), &plain()).native;
    assert!(matches!(exists, Native::Leaf { negated: false, .. }));
}
