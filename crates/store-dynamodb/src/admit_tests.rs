//! What the service is asked for.

use super::*;
use crate::filter::Expression;

fn text(filter: &str) -> Option<String> {
    let native = admitting(&filter.parse().unwrap(), &[], &|name| name == "pk");
    let mut expression = Expression::default();
    let mut text = expression.text(&native)?;
    let mut tokens: Vec<(String, String)> = expression.names().unwrap_or_default().into_iter().collect();
    let shown = |value: AttributeValue| match value {
        AttributeValue::S(text) => format!("'{text}'"),
        AttributeValue::N(number) => number,
        other => format!("{other:?}"),
    };
    tokens.extend(expression.values().into_iter().flatten().map(|(token, value)| (token, shown(value))));
    tokens.sort_by_key(|(token, _)| std::cmp::Reverse(token.len()));
    for (token, meaning) in tokens {
        text = text.replace(token.as_str(), &meaning);
    }
    Some(text)
}

#[test]
fn a_filter_is_widened_never_narrowed() {
    for (filter, expected) in [
        ("a == \"x\"", "a = 'x'"),
        ("a != \"x\"", "NOT (a = 'x')"),
        ("a.b in [\"x\", \"y\"]", "a.b IN ('x','y')"),
        ("a == 1", "(a > 9.999999999999999e-1 AND a < 1.0000000000000002e0)"),
        ("a != 1", "NOT (a = 1e0)"),
        ("a > 0", "a > 0"),
        ("a >= 1", "a > 9.999999999999999e-1"),
        ("not a >= 1", "NOT (a >= 1e0)"),
        ("a == null", "(NOT (attribute_exists(a)) OR attribute_type(a,'NULL'))"),
        ("a exists", "(attribute_exists(a) AND NOT (attribute_type(a,'NULL')))"),
        ("a == 1e300", "attribute_type(a,'N')"),
        ("a > 9007199254740993", "attribute_type(a,'N')"),
        ("a imatches \"x\" and b == \"y\"", "(attribute_type(a,'S') AND b = 'y')"),
        ("a contains 1", "(attribute_type(a,'L') OR attribute_type(a,'NS'))"),
    ] {
        assert_eq!(text(filter).as_deref(), Some(expected), "{filter}");
    }
}

#[test]
fn what_can_not_be_told_is_admitted() {
    for filter in [
        "not a imatches \"x\"",
        "a != 1e300",
        "a imatches \"x\" or not a > @2024-05-01",
        // A member that is none of the value's.
        "pk == \"x\"",
        "pk.a == \"x\"",
        "not pk == \"x\"",
    ] {
        assert_eq!(text(filter), None, "{filter}");
    }
    assert_eq!(text("pk == \"x\" and a == \"y\"").as_deref(), Some("a = 'y'"));
    let deep = vec!["a"; 40].join(".");
    assert_eq!(text(&format!("{deep} == \"x\"")), None);
}

#[test]
fn a_filter_that_is_too_long_is_asked_for_in_part() {
    let parts: Vec<String> = (0..400).map(|n| format!("a{n} == \"x\"")).collect();
    let text = text(&parts.join(" and ")).unwrap();
    assert!(text.contains("a99 = 'x'") && !text.contains("a399"), "{text}");
}
