//! Random values for the property tests of this crate.

use proptest::prelude::*;
use serde_json::Value;

/// Any JSON value a few levels deep, with awkward texts and numbers.
pub(crate) fn json_value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |f| serde_json::Number::from_f64(f).map(Value::Number)),
        prop::sample::select(vec![0.0, -0.0, 1.0, 1e16, 1e-7, 0.1, 5e-324, f64::MAX]).prop_map(Value::from),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any_text(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Any text, quotes, controls and astral characters included.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c_0-9]{0,4}", any::<String>(), r#"['"\\\n\u{0}\u{7f}\u{a0}\u{2028}{}é🚀]{0,6}"#]
}
