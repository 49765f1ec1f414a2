//! Random filters and metadata for tests. Keys and values come from small pools, so that conditions often match,
//! with anything at all mixed in.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{Condition, Filter, Scalar, Timestamp};
use crate::JsonObject;

/// Keys that [`metadata`] often has, and odd ones.
pub(super) fn key() -> BoxedStrategy<String> {
    prop_oneof![
        8 => select(vec!["a", "b", "c", "o.a", "o.b", "o.o.a"]).prop_map(str::to_owned),
        1 => select(vec!["not", "AND", "is.in", "odd name", "q`\"'\\", "1st", "-", "$where", "é", "日本", "\n", "all"])
            .prop_map(str::to_owned),
        1 => "[^.]{1,6}(\\.[^.]{1,6}){0,2}",
    ]
    .boxed()
}

/// Texts, among them timestamps and parts of one another.
fn text() -> BoxedStrategy<String> {
    prop_oneof![
        4 => select(vec![
            "", "a", "A", "ab", "AB", "Straße", "STRASSE", "straße", "Σ", "ς", "İ", "e\u{301}", "é", "1", "true", "null",
            "2024-05-01", "2024-05-01T00:00Z", "2024-05-01 02:00:00.0+02:00", "2024-05-02T12:00:00.5Z", "2024-05-1",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[\"'`\\\\\\n\\t\u{0}-\u{1f}a\u{1f680}]{0,6}",
    ]
    .boxed()
}

fn integer() -> BoxedStrategy<i128> {
    prop_oneof![
        4 => -2..3_i128,
        2 => select(vec![
            1 << 53, (1 << 53) + 1, i128::from(i64::MIN), i128::from(i64::MAX), i128::from(i64::MAX) + 1,
            i128::from(u64::MAX),
        ]),
        1 => any::<i64>().prop_map(i128::from),
    ]
    .boxed()
}

fn float() -> BoxedStrategy<f64> {
    prop_oneof![
        4 => select(vec![
            -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 9_007_199_254_740_992.0, 9_223_372_036_854_775_808.0,
            18_446_744_073_709_551_616.0, 1e300, -1e300, 5e-324,
        ]),
        1 => proptest::num::f64::NORMAL,
    ]
    .boxed()
}

/// Any timestamp.
pub(super) fn timestamp() -> BoxedStrategy<Timestamp> {
    prop_oneof![
        4 => select(vec!["2024-05-01", "2024-05-01T12:00:00.5Z", "2024-05-02", "0000-01-01", "9999-12-31"])
            .prop_map(|text| text.parse().unwrap()),
        1 => (Timestamp::MIN.as_nanoseconds()..=Timestamp::MAX.as_nanoseconds())
            .prop_map(|nanoseconds| Timestamp::from_nanoseconds(nanoseconds).unwrap()),
    ]
    .boxed()
}

/// Scalars with an order, and null.
fn ordered_scalar() -> BoxedStrategy<Scalar> {
    prop_oneof![
        1 => Just(Scalar::Null),
        4 => integer().prop_map(Scalar::Integer),
        3 => float().prop_map(Scalar::Float),
        4 => text().prop_map(Scalar::Text),
        2 => timestamp().prop_map(Scalar::Timestamp),
    ]
    .boxed()
}

/// Any valid scalar.
pub(super) fn scalar() -> BoxedStrategy<Scalar> {
    prop_oneof![6 => ordered_scalar(), 1 => any::<bool>().prop_map(Scalar::Bool)].boxed()
}

fn scalars() -> BoxedStrategy<Vec<Scalar>> {
    vec(scalar(), 0..4).boxed()
}

/// Any valid condition.
pub(super) fn condition() -> BoxedStrategy<Condition> {
    prop_oneof![
        scalar().prop_map(Condition::Eq),
        scalar().prop_map(Condition::Ne),
        ordered_scalar().prop_map(Condition::Gt),
        ordered_scalar().prop_map(Condition::Gte),
        ordered_scalar().prop_map(Condition::Lt),
        ordered_scalar().prop_map(Condition::Lte),
        (ordered_scalar(), ordered_scalar()).prop_map(|(low, high)| Condition::Between(low, high)),
        scalars().prop_map(Condition::In),
        scalars().prop_map(Condition::NotIn),
        scalar().prop_map(Condition::Contains),
        scalars().prop_map(Condition::AnyOf),
        scalars().prop_map(Condition::AllOf),
        text().prop_map(Condition::TextMatch),
        text().prop_map(Condition::TextMatchInsensitive),
        Just(Condition::IsEmpty),
        any::<bool>().prop_map(Condition::Exists),
    ]
    .boxed()
}

/// Any valid filter, a few levels deep.
pub(super) fn filter() -> BoxedStrategy<Filter> {
    let leaf = (key(), condition()).prop_map(|(key, condition)| Filter::Field { key, condition });
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Filter::All),
            vec(inner.clone(), 0..4).prop_map(Filter::Any),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
    .boxed()
}

/// A scalar as a field would hold it.
fn field_scalar() -> BoxedStrategy<Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        3 => integer().prop_map(|integer| Scalar::Integer(integer).to_json()),
        3 => float().prop_map(Value::from),
        4 => text().prop_map(Value::from),
    ]
    .boxed()
}

/// Any value of a field: a scalar, a list or an object.
pub(super) fn field_value() -> BoxedStrategy<Value> {
    prop_oneof![
        6 => field_scalar(),
        2 => vec(field_scalar(), 0..4).prop_map(Value::from),
        1 => field_scalar().prop_map(|value| json!({"a": value})),
        1 => field_scalar().prop_map(|value| json!([[value]])),
    ]
    .boxed()
}

/// Metadata with some of the fields that [`key`] names.
pub(super) fn metadata() -> BoxedStrategy<JsonObject> {
    let field = || weighted(0.7, field_value());
    let object = |members: Vec<(&str, Option<Value>)>| -> JsonObject {
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    };
    (field(), field(), field(), field(), field(), field(), any::<bool>())
        .prop_map(move |(a, b, c, oa, ob, ooa, nested)| {
            let inner = object(vec![("a", ooa)]);
            let middle = object(vec![("a", oa), ("b", ob), ("o", Some(Value::from(inner)))]);
            let outer = if nested { Value::from(middle) } else { json!("flat") };
            object(vec![
                ("a", a),
                ("b", b),
                ("c", c),
                ("o", Some(outer)),
                ("o.a", Some(json!("unreachable"))),
            ])
        })
        .boxed()
}
