//! Filters as expressions.

use serde_json::json;

use super::*;

fn text(filter: &str) -> (Option<String>, Option<String>) {
    let parted = part(&filter.parse().unwrap(), "m");
    let mut expression = Expression::default();
    let text = expression.text(&parted.native).map(|mut text| {
        let mut names: Vec<_> = expression.names.iter().collect();
        names.sort_by_key(|(token, _)| std::cmp::Reverse(token.len()));
        for (token, name) in names {
            text = text.replace(token.as_str(), name);
        }
        text
    });
    (text, parted.rest.map(|rest| rest.to_string()))
}

#[test]
fn a_filter_is_an_expression() {
    for (filter, expected) in [
        ("a == 1", "m.a = :v0"),
        ("a != 1", "NOT (m.a = :v0)"),
        ("a == null", "NOT (attribute_exists(m.a))"),
        ("a in [1, null, \"x\"]", "(NOT (attribute_exists(m.a)) OR m.a IN (:v0,:v1))"),
        ("a.b > 1 and c contains \"x\"", "(m.a.b > :v0 AND contains(m.c,:v1))"),
        ("not (a == 1 or b == 2)", "NOT (m.a = :v0 OR m.b = :v1)"),
        ("a between 1 and 2", "(m.a >= :v0 AND m.a <= :v1)"),
        ("a contains all []", "(attribute_type(m.a,:v0) OR attribute_type(m.a,:v1))"),
        ("a exists", "attribute_exists(m.a)"),
        ("a == 1 and b == 2 and c == 3", "(m.a = :v0 AND m.b = :v1 AND m.c = :v2)"),
        ("a == 1 or (b == 2 or c == 3)", "(m.a = :v0 OR m.b = :v1 OR m.c = :v2)"),
    ] {
        assert_eq!(text(filter), (Some(expected.to_owned()), None), "{filter}");
    }
}

#[test]
fn what_has_no_counterpart_is_ours() {
    let ours = |rest: &str| Some(rest.to_owned());
    assert_eq!(text("a == 1 and b imatches \"x\""), (Some("m.a = :v0".to_owned()), ours("b imatches \"x\"")));
    assert_eq!(text("a == 1 or b imatches \"x\""), (None, ours("a == 1 or b imatches \"x\"")));
    assert_eq!(text("a > @2024-05-01"), (None, ours("a > @2024-05-01T00:00:00Z")));
    assert_eq!(text("a == 1e300"), (None, ours("a == 1e300")));
}

#[test]
fn nothing_and_everything_are_folded() {
    let native = |filter: &str| part(&filter.parse().unwrap(), "m").native;
    assert_eq!(native("any()"), Native::Nothing);
    assert_eq!(native("all()"), Native::Everything);
    assert_eq!(native("not all(a > null)"), Native::Everything);
    assert_eq!(native("a in []"), Native::Nothing);
}

#[test]
fn a_filter_that_is_too_long_is_ours_in_part() {
    let parts: Vec<String> = (0..400).map(|n| format!("a{n} == {n}")).collect();
    let parted = part(&parts.join(" and ").parse().unwrap(), "m");
    assert!(parted.native.fits());
    assert!(parted.pushed_down.is_some() && parted.rest.is_some());
    let mut expression = Expression::default();
    assert!(expression.text(&parted.native).unwrap().len() <= 4096);
}

#[test]
fn numbers_keep_their_order() {
    let held = |value: serde_json::Value| number(value.as_number().unwrap());
    for (value, expected) in [
        (json!(1), Some("1")),
        (json!(-0.0), Some("0")),
        (json!(1.0), Some("1e0")),
        (json!(0.1), Some("1e-1")),
        (json!(1e15), Some("1e15")),
        (json!(1_152_921_504_606_846_976.0), Some("1152921504606846976")),
        (json!(u64::MAX), Some("18446744073709551615")),
        (json!(1e125), Some("1e125")),
        (json!(1e126), None),
        (json!(5e-324), None),
        (json!(-1e-131), None),
    ] {
        assert_eq!(held(value.clone()).as_deref(), expected, "{value}");
    }
}
