use proptest::prelude::*;
use serde_json::{Value, json};
use store_core::JsonObject;
use store_core::filter::{field, lookup};

use super::*;

fn declared() -> BTreeSet<String> {
    ["metadata.a", "metadata.b", "metadata.o.a", REF_DOC_PATH].map(str::to_owned).into()
}

fn split_filter(filter: impl Into<Filter>) -> Prefilter {
    split(&Selector::from(filter.into()), &declared()).unwrap()
}

#[test]
fn simple_conditions_take_llamaindexs_form() {
    assert_eq!(split_filter(field("a").eq(1999)).native, doc! {"metadata.a": {"$eq": 1999}});
    let both = split_filter(field("a").eq("x").and(field("b").gte(1.5)));
    let expected = doc! {"$and": [{"metadata.a": {"$eq": "x"}}, {"metadata.b": {"$gte": 1.5}}]};
    assert_eq!(both.native, expected);
    assert_eq!((both.pushed.len(), both.rest.len()), (2, 0));
    let either = split_filter(field("a").eq(true).or(field("b").one_of([1, 2])));
    let expected = doc! {"$or": [{"metadata.a": {"$eq": true}}, {"metadata.b": {"$in": [1, 2]}}]};
    assert_eq!(either.native, expected);
    let nested = split_filter(field("o.a").between(1, 1_i64 << 40));
    assert_eq!(nested.native, doc! {"metadata.o.a": {"$gte": 1, "$lte": 1_i64 << 40}});
}

#[test]
fn negations_are_pushed_down_where_they_become_positive() {
    let neither = split_filter(Filter::none([field("a").ne(1), field("b").none_of(["x"])]));
    let expected = doc! {"$and": [{"metadata.a": {"$eq": 1}}, {"metadata.b": {"$in": ["x"]}}]};
    assert_eq!(neither.native, expected);
    assert!(neither.rest.is_empty());
    for filter in [field("a").ne(1), !field("a").eq(1), !field("a").gt(1), field("a").is_missing()] {
        let split = split_filter(filter.clone());
        assert_eq!((split.native, split.rest), (Document::new(), vec![filter]));
    }
}

#[test]
fn what_is_not_declared_never_reaches_the_server() {
    for key in ["c", "$where", "a.$gt", "o", "doc_id", "ref_doc_id", "_node_content"] {
        let split = split_filter(field(key).eq(1));
        assert_eq!((split.native, split.pushed.len()), (Document::new(), 0), "{key}");
    }
    // A part that is known narrows, the whole is checked afterwards.
    let mixed = split_filter(field("a").eq(1).and(field("c").eq(2)));
    assert_eq!(mixed.native, doc! {"metadata.a": {"$eq": 1}});
    assert_eq!(mixed.rest, [field("c").eq(2)]);
    let either = split_filter(field("a").eq(1).or(field("c").eq(2)));
    assert_eq!(either.native, Document::new());
}

#[test]
fn values_stay_values() {
    let hostile = r#"{"$gt": ""}"#;
    assert_eq!(split_filter(field("a").eq(hostile)).native, doc! {"metadata.a": {"$eq": hostile}});
    let long = "x".repeat(MAX_TEXT + 1);
    for filter in [
        field("a").eq(long.as_str()),
        field("a").gt("text"),
        field("a").eq(Scalar::Null),
        field("a").one_of([Scalar::from(1), Scalar::from("x")]),
        field("a").eq(u64::MAX),
        field("a").eq(1_i64 << 53),
        field("a").contains("part"),
        field("a").text_match("part"),
        Filter::all([field("a").is_empty()]),
    ] {
        assert_eq!(split_filter(filter.clone()).native, Document::new(), "{filter}");
    }
}

#[test]
fn selectors_are_split_too() {
    let fields = declared();
    assert!(split(&Selector::ids(["n"]), &fields).is_none());
    assert!(split(&Selector::ref_docs(["d"]), &BTreeSet::new()).is_none());
    let selector = Selector::ref_docs(["d", "e"]).with_filter(field("a").eq(1));
    let expected = doc! {"$and": [{"metadata.ref_doc_id": {"$in": ["d", "e"]}}, {"metadata.a": {"$eq": 1}}]};
    assert_eq!(split(&selector, &fields).unwrap().native, expected);
    assert!(split(&Selector::ref_docs(["d", "None"]), &fields).is_none());
    assert!(split(&Selector::ref_docs([""; 0]), &fields).unwrap().nothing);
    assert!(split_filter(Filter::any([])).nothing);
    assert!(split_filter(field("a").one_of([0; 0])).nothing);
    assert!(!split_filter(Filter::all([])).nothing);
}

/// What the search server does with a filter: numbers by value, texts and bools as they are, lists by element.
fn native_matches(native: &Document, metadata: &JsonObject) -> bool {
    native.iter().all(|(name, value)| match (name.as_str(), value) {
        ("$and", Bson::Array(parts)) => {
            parts.iter().all(|part| native_matches(part.as_document().unwrap(), metadata))
        }
        ("$or", Bson::Array(parts)) => {
            parts.iter().any(|part| native_matches(part.as_document().unwrap(), metadata))
        }
        (path, Bson::Document(tests)) => {
            let values = match lookup(metadata, path.strip_prefix("metadata.").unwrap()) {
                Some(Value::Array(items)) => items.clone(),
                Some(value) => vec![value.clone()],
                None => vec![],
            };
            tests.iter().all(|(operator, bound)| values.iter().any(|value| test(operator, bound, value)))
        }
        _ => panic!("{native}"),
    })
}

fn test(operator: &str, bound: &Bson, value: &Value) -> bool {
    if operator == "$in" {
        return bound.as_array().unwrap().iter().any(|bound| test("$eq", bound, value));
    }
    let number = match bound {
        Bson::Int32(number) => Some(f64::from(*number)),
        Bson::Int64(number) => Some(*number as f64),
        Bson::Double(number) => Some(*number),
        _ => None,
    };
    let order = match (number, bound, value) {
        (Some(number), _, Value::Number(value)) => value.as_f64().unwrap().partial_cmp(&number),
        (_, Bson::String(text), Value::String(value)) => Some(value.cmp(text)),
        (_, Bson::Boolean(flag), Value::Bool(value)) => Some(value.cmp(flag)),
        _ => None,
    };
    order.is_some_and(|order| match operator {
        "$eq" => order.is_eq(),
        "$gt" => order.is_gt(),
        "$gte" => order.is_ge(),
        "$lt" => order.is_lt(),
        "$lte" => order.is_le(),
        other => panic!("{other}"),
    })
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        Just(Scalar::Null),
        any::<bool>().prop_map(Scalar::Bool),
        (-2..3_i64).prop_map(Scalar::from),
        prop_oneof![Just(i64::MAX), Just(1_i64 << 53), Just((1_i64 << 53) - 1)].prop_map(Scalar::from),
        prop_oneof![Just(-0.5), Just(1.0), Just(1e300)].prop_map(Scalar::Float),
        "[ab]{0,2}".prop_map(Scalar::Text),
    ]
}

fn ordered() -> impl Strategy<Value = Scalar> {
    scalar().prop_filter("bools have no order", |value| !matches!(value, Scalar::Bool(_)))
}

fn filter() -> impl Strategy<Value = Filter> {
    let some = || prop::collection::vec(scalar(), 0..3);
    let condition = prop_oneof![
        scalar().prop_map(Condition::Eq),
        scalar().prop_map(Condition::Ne),
        ordered().prop_map(Condition::Gt),
        ordered().prop_map(Condition::Gte),
        ordered().prop_map(Condition::Lt),
        ordered().prop_map(Condition::Lte),
        (ordered(), ordered()).prop_map(|(low, high)| Condition::Between(low, high)),
        some().prop_map(Condition::In),
        some().prop_map(Condition::NotIn),
        scalar().prop_map(Condition::Contains),
        some().prop_map(Condition::AnyOf),
        some().prop_map(Condition::AllOf),
        Just(Condition::IsEmpty),
        any::<bool>().prop_map(Condition::Exists),
    ];
    let key = prop::sample::select(vec!["a", "b", "o.a", "c"]);
    let leaf = (key, condition).prop_map(|(key, condition)| field(key).is(condition));
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::Any),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let one = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..3_i64).prop_map(Value::from),
        prop_oneof![Just(i64::MAX), Just((1_i64 << 53) + 1)].prop_map(Value::from),
        prop_oneof![Just(-0.5), Just(1.0), Just(1e300)].prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    prop_oneof![3 => one.clone(), 1 => prop::collection::vec(one, 0..3).prop_map(Value::from)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn nothing_that_matches_is_excluded(filter in filter(), a in value(), b in value(), inner in value()) {
        let Value::Object(metadata) = json!({"a": a, "b": b, "o": {"a": inner}}) else { unreachable!() };
        let split = split_filter(filter.clone());
        if filter.matches(&metadata) {
            prop_assert!(!split.nothing, "{}", filter);
            prop_assert!(native_matches(&split.native, &metadata), "{} {}", filter, split.native);
        }
        let again = Filter::All(split.pushed.iter().chain(&split.rest).cloned().collect());
        prop_assert_eq!(again.matches(&metadata), filter.matches(&metadata));
    }
}
