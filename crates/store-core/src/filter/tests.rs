//! Every row of the operators' table, every law, and the round trips.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::arbitrary;
use super::*;
use crate::{ErrorKind, JsonObject};

/// Metadata `{"f": value}`; null in the table's second column would be a present null, so missing is spelt out.
const MISSING: &str = "\u{0}missing";

fn metadata(value: &Value) -> JsonObject {
    if value == MISSING { JsonObject::new() } else { [("f".to_owned(), value.clone())].into_iter().collect() }
}

/// Checks operator and value against fields that must match and fields that must not, in all three forms.
#[track_caller]
fn row(operator: &str, value: &Value, matching: &Value, others: &Value) {
    let filter = Filter::from_json(&json!({"key": "f", "operator": operator, "value": value})).unwrap();
    let printed = filter.to_string();
    assert_eq!(Filter::parse(&printed).unwrap(), filter, "{printed}");
    assert_eq!(Filter::from_json(&filter.to_json()).unwrap(), filter);
    for (fields, wanted) in [(matching, true), (others, false)] {
        for field in fields.as_array().unwrap() {
            assert_eq!(filter.matches(&metadata(field)), wanted, "{field} with {printed}");
        }
    }
}

/// Fields of every type; none equals 7, "x" or a timestamp.
fn others() -> Value {
    json!([MISSING, null, true, false, 0, 1, -1, 1.5, "", "7", "X", [], [7], ["x"], {}, {"f": 7}])
}

#[test]
fn equal_is_typed_and_its_negation_exact() {
    let everything = |value: Value, equal: Value, different: Value| {
        row("==", &value, &equal, &different);
        row("!=", &value, &different, &equal);
        row("in", &json!([value]), &equal, &different);
        row("nin", &json!([value]), &different, &equal);
    };
    everything(json!(7), json!([7, 7.0]), others());
    everything(json!(7.0), json!([7, 7.0]), others());
    everything(json!("x"), json!(["x"]), others());
    everything(json!(1), json!([1, 1.0]), json!([true, "1", 1.000_000_1, [1], MISSING, null]));
    everything(json!("1"), json!(["1"]), json!([1, true, " 1", "1 ", "１"]));
    everything(json!(true), json!([true]), json!([false, 1, "true", null, MISSING, [true]]));
    everything(json!(false), json!([false]), json!([true, 0, "", null, MISSING]));
    everything(json!(null), json!([MISSING, null]), json!([false, 0, "", "null", [], {}, [null]]));
    everything(json!(0), json!([0, 0.0, -0.0]), json!([5e-324, -5e-324, null, false]));
    everything(json!(-0.0), json!([0, 0.0, -0.0]), json!([5e-324, "0"]));
}

#[test]
fn numbers_are_not_rounded() {
    let big = 9_007_199_254_740_993_i64; // 2^53 + 1, which no float holds
    row("==", &json!(big), &json!([big]), &json!([big - 1, 9_007_199_254_740_992.0]));
    row(">", &json!(9_007_199_254_740_992.0), &json!([big]), &json!([big - 1, 9_007_199_254_740_992.0]));
    row("<", &json!(big), &json!([9_007_199_254_740_992.0, big - 1]), &json!([big, big + 1]));
    row("==", &json!(u64::MAX), &json!([u64::MAX]), &json!([18_446_744_073_709_551_615.0, i64::MAX, -1]));
    row("<", &json!(18_446_744_073_709_551_616.0), &json!([u64::MAX, i64::MIN]), &json!([1e300]));
    row(">=", &json!(i64::MIN), &json!([i64::MIN, -9_223_372_036_854_775_808.0, u64::MAX]), &json!([-1e19]));
}

#[test]
fn text_is_compared_by_code_point() {
    row("==", &json!("é"), &json!(["é"]), &json!(["e\u{301}", "É", " é", "é "]));
    row("==", &json!("a*b?%_\\"), &json!(["a*b?%_\\"]), &json!(["aXbc", "a*b"]));
    // UTF-16 would order these two the other way round.
    row(">", &json!("\u{ffff}"), &json!(["\u{10000}", "\u{1f680}"]), &json!(["\u{ffff}", "\u{fffe}", "z"]));
    row("<", &json!("b"), &json!(["a", "B", "", "aé"]), &json!(["b", "ba", "c", "é"]));
}

#[test]
fn order_needs_one_type() {
    let unordered = json!([MISSING, null, true, false, "5", "", [5], [], {}]);
    row(">", &json!(5), &json!([6, 5.1, u64::MAX]), &json!([5, 5.0, 4, -1e300]));
    row(">=", &json!(5), &json!([5, 5.0, 6]), &json!([4, 4.9]));
    row("<", &json!(5), &json!([4, 4.9, i64::MIN]), &json!([5, 5.0, 6]));
    row("<=", &json!(5), &json!([5, 5.0, 4]), &json!([5.1, 6]));
    for operator in [">", ">=", "<", "<="] {
        row(operator, &json!(5), &json!([]), &unordered);
        row(operator, &json!("5"), &json!([]), &json!([MISSING, null, true, 4, 5, 6, 5.0, ["5"], {}]));
        row(operator, &json!(null), &json!([]), &json!([MISSING, null, true, 0, "", "null", [], {}]));
        row(
            operator,
            &json!({"timestamp": "2024-05-01"}),
            &json!([]),
            &json!([MISSING, null, 0, "x", "", ["2024-05-01"]]),
        );
    }
}

#[test]
fn between_holds_both_ends() {
    row(
        "between",
        &json!([1, 3]),
        &json!([1, 1.0, 2, 3, 3.0]),
        &json!([0.9, 3.1, MISSING, null, "2", true, [2]]),
    );
    row("between", &json!(["b", "d"]), &json!(["b", "c", "d"]), &json!(["a", "da", 2, null]));
    row("between", &json!([3, 1]), &json!([]), &json!([1, 2, 3]));
    row("between", &json!([null, 3]), &json!([]), &json!([1, null, MISSING]));
    row("between", &json!([1, "d"]), &json!([]), &json!([1, "a", "d", 2]));
}

#[test]
fn lists_of_values() {
    row(
        "in",
        &json!([1, "a", null]),
        &json!([1, 1.0, "a", null, MISSING]),
        &json!([true, "1", 2, [1], ["a"]]),
    );
    row(
        "nin",
        &json!([1, "a", null]),
        &json!([true, "1", 2, [1], ["a"]]),
        &json!([1, 1.0, "a", null, MISSING]),
    );
    row("nin", &json!([1, "a"]), &json!([MISSING, null, 2]), &json!([1, "a"]));
    row("in", &json!([]), &json!([]), &json!([MISSING, null, 1, "", []]));
    row("nin", &json!([]), &json!([MISSING, null, 1, "", []]), &json!([]));
}

#[test]
fn contains_looks_into_lists_and_texts() {
    row(
        "contains",
        &json!("a"),
        &json!([["a"], ["b", "a"], "a", "bab"]),
        &json!([MISSING, null, "A", "", ["ab"], [["a"]], [], {"a": 1}]),
    );
    row("contains", &json!(1), &json!([[1], [2, 1.0]]), &json!([1, "1", ["1"], [true], MISSING]));
    row("contains", &json!(null), &json!([[null], [1, null]]), &json!([MISSING, null, [], "null", ""]));
    row("contains", &json!(true), &json!([[true]]), &json!([true, [1], "true"]));
    row("contains", &json!(""), &json!(["", "a", [""]]), &json!([MISSING, null, [], ["a"], 0]));
    row(
        "contains",
        &json!({"timestamp": "2024-05-01"}),
        &json!([["2024-05-01T00:00Z"], ["x", "2024-05-01"]]),
        &json!(["2024-05-01", ["x"], [0]]),
    );
    row(
        "any",
        &json!(["a", 1]),
        &json!([["a"], [1.0], "a", "cat"]),
        &json!([["b"], "b", "1", 1, [], MISSING, null]),
    );
    row("any", &json!([]), &json!([]), &json!([["a"], "a", [], "", MISSING]));
    row(
        "all",
        &json!(["a", "b"]),
        &json!([["b", "a"], ["a", "b", "c"], "ab", "back"]),
        &json!([["a"], "a", [], MISSING]),
    );
    row("all", &json!(["a", 1]), &json!([["a", 1]]), &json!(["a1", ["a", "1"]]));
    row("all", &json!([]), &json!([[], ["a"], "", "a"]), &json!([MISSING, null, 1, true, {}]));
}

#[test]
fn text_match_is_a_substring() {
    row("text_match", &json!("bc"), &json!(["bc", "abcd"]), &json!(["BC", "b c", ["bc"], MISSING, null, 1]));
    row("text_match", &json!(""), &json!(["", "a"]), &json!([MISSING, null, [""], 0]));
    row("text_match", &json!("a.c"), &json!(["a.c"]), &json!(["abc"]));
    row(
        "text_match_insensitive",
        &json!("BÉ"),
        &json!(["bé", "aBÉc", "Bé"]),
        &json!(["be", "b", ["bé"], MISSING, null]),
    );
    // Lower-casing is not case folding, and İ becomes two characters.
    row("text_match_insensitive", &json!("STRASSE"), &json!(["strasse"]), &json!(["straße", "STRAßE"]));
    row("text_match_insensitive", &json!("i\u{307}"), &json!(["İstanbul", "i\u{307}"]), &json!(["istanbul"]));
    row("text_match_insensitive", &json!(""), &json!(["", "a"]), &json!([MISSING, 1]));
}

#[test]
fn empty_and_existing() {
    let empty = json!([MISSING, null, "", []]);
    let full = json!([" ", "a", 0, false, true, 0.0, [null], [""], {}, {"a": 1}]);
    row("is_empty", &json!(null), &empty, &full);
    row("exists", &json!(true), &json!(["", [], 0, false, {}, "a"]), &json!([MISSING, null]));
    row("exists", &json!(false), &json!([MISSING, null]), &json!(["", [], 0, false, {}, "a"]));
    for ignored in [json!(1), json!([true]), json!({"a": "b"})] {
        let filter =
            Filter::from_json(&json!({"key": "f", "operator": "is_empty", "value": ignored})).unwrap();
        assert_eq!(filter, field("f").is_empty());
    }
}

#[test]
fn timestamps_compare_by_instant() {
    let noon = json!({"timestamp": "2024-05-01T12:00:00Z"});
    let same = json!([
        "2024-05-01T12:00",
        "2024-05-01 12:00:00.000",
        "2024-05-01T14:00+02:00",
        "2024-05-01T00:30-11:30"
    ]);
    let later = json!(["2024-05-01T12:00:00.000000001Z", "2024-05-02", "2024-05-01T12:00-00:01"]);
    let earlier = json!(["2024-05-01", "2024-05-01T13:00+02:00", "1969-12-31"]);
    let none = json!([
        MISSING,
        null,
        1_714_564_800,
        0,
        "noon",
        "",
        "2024-05",
        "2024-05-01t12:00",
        true,
        ["2024-05-01T12:00"]
    ]);
    let all = |lists: &[&Value]| {
        Value::from(lists.iter().flat_map(|list| list.as_array().unwrap().clone()).collect::<Vec<_>>())
    };
    row("==", &noon, &same, &all(&[&later, &earlier, &none]));
    row("!=", &noon, &all(&[&later, &earlier, &none]), &same);
    row(">", &noon, &later, &all(&[&same, &earlier, &none]));
    row(">=", &noon, &all(&[&same, &later]), &all(&[&earlier, &none]));
    row("<", &noon, &earlier, &all(&[&same, &later, &none]));
    row("<=", &noon, &all(&[&same, &earlier]), &all(&[&later, &none]));
    row("in", &json!([noon, 1]), &all(&[&same, &json!([1])]), &all(&[&later, &earlier]));
    row(
        "between",
        &json!([noon, {"timestamp": "2024-05-02"}]),
        &all(&[&same, &later]),
        &all(&[&earlier, &none]),
    );
    // A text is never an instant of its own accord.
    row("==", &json!("2024-05-01"), &json!(["2024-05-01"]), &json!(["2024-05-01T00:00"]));
    row(
        "<",
        &json!("2024-05-01T12:00Z"),
        &json!(["2024-05-01T12:00+09:00"]),
        &json!(["2024-05-01T13:00+09:00"]),
    );
}

#[test]
fn groups() {
    let yes = || field("a").eq(1);
    let no = || field("a").eq(2);
    let metadata = json!({"a": 1});
    let matches = |filter: Filter| filter.matches(metadata.as_object().unwrap());
    for (filters, all, any) in [
        (vec![], true, false),
        (vec![yes()], true, true),
        (vec![no()], false, false),
        (vec![yes(), no()], false, true),
        (vec![yes(), yes()], true, true),
        (vec![no(), no()], false, false),
    ] {
        assert_eq!(matches(Filter::all(filters.clone())), all, "{filters:?}");
        assert_eq!(matches(Filter::any(filters.clone())), any, "{filters:?}");
        assert_eq!(matches(Filter::none(filters.clone())), !any, "{filters:?}");
        assert_eq!(matches(!Filter::all(filters)), !all);
    }
    assert!(matches(Filter::default()));
}

#[test]
fn keys_are_paths_of_objects() {
    let metadata = json!({
        "a": {"b": {"c": 1}, "": 3}, "a.b": 2, "l": [{"x": 1}, {"x": 2}], "t": "text", "$where": 1, "é ü": {"'\"`": 1},
        "0": "zero"
    });
    let metadata = metadata.as_object().unwrap();
    for (key, value) in [
        ("a.b.c", Some(json!(1))),
        ("a.b", Some(json!({"c": 1}))),
        ("a.b.c.d", None),
        ("a.x", None),
        ("x.y", None),
        ("l.x", None),
        ("l.0", None),
        ("l.0.x", None),
        ("t.length", None),
        ("$where", Some(json!(1))),
        ("é ü.'\"`", Some(json!(1))),
        ("0", Some(json!("zero"))),
        ("A.b.c", None),
    ] {
        assert_eq!(lookup(metadata, key), value.as_ref(), "{key}");
        assert_eq!(field(key).exists().matches(metadata), value.is_some(), "{key}");
    }
}

#[test]
fn invalid_filters_are_refused_with_their_place() {
    let deep = |levels| (1..levels).fold(field("a").eq(1), |filter, _| Filter::Not(Box::new(filter)));
    for (filter, message) in [
        (field("").eq(1), r#"key: the field name "" is empty"#),
        (field("a..b").eq(1), r#"key: the field name "a..b" has an empty part"#),
        (field(".").exists(), r#"key: the field name "." has an empty part"#),
        (field("a.").exists(), r#"key: the field name "a." has an empty part"#),
        (field("a").gt(true), "value: bools have no order"),
        (field("a").lte(false), "value: bools have no order"),
        (field("a").between(1, true), "value[1]: bools have no order"),
        (field("a").eq(f64::NAN), "value: NaN is not a finite number"),
        (field("a").lt(f64::NEG_INFINITY), "value: -inf is not a finite number"),
        (field("a").one_of([1.0, f64::INFINITY]), "value[1]: inf is not a finite number"),
        (
            field("a").eq(Scalar::Integer(1 << 64)),
            "value: the integer 18446744073709551616 is outside 64 bits",
        ),
        (field("a").eq(1).and(!field("b").gt(true)), "filters[1].not.value: bools have no order"),
        (Filter::none([field("a").eq(1), field("b").gt(true)]), "filters[1].value: bools have no order"),
        (deep(MAX_DEPTH + 1), "the filter nests more than 64 deep"),
        (deep(10_000), "the filter nests more than 64 deep"),
    ] {
        let error = filter.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().starts_with(message), "{error}");
        assert!(serde_json::to_string(&filter).is_err());
    }
    assert!(deep(MAX_DEPTH).validate().is_ok());
    // A thread has 2 MiB for this.
    assert!(!deep(10_000).matches(json!({"a": 1}).as_object().unwrap()));
}

#[test]
fn numbers_that_json_has_not_are_not_written_as_others() {
    for scalar in [Scalar::Float(f64::NAN), Scalar::Float(f64::INFINITY), Scalar::Integer(1 << 64)] {
        assert!(Scalar::from_json(&scalar.to_json()).is_err());
    }
}

#[test]
fn builders_join_and_keep_chains_flat() {
    let [a, b, c] = ["a", "b", "c"].map(|key| field(key).eq(1));
    let chain = Filter::All(vec![a.clone(), b.clone(), c.clone()]);
    assert_eq!(a.clone().and(b.clone()).and(c.clone()), chain);
    assert_eq!(a.clone().and(b.clone().and(c.clone())), chain);
    assert_eq!(a.clone() & b.clone() & c.clone(), chain);
    assert_eq!(a.clone() | b.clone() | c.clone(), Filter::Any(vec![a.clone(), b.clone(), c.clone()]));
    assert_eq!(
        a.clone().or(b.clone()).and(c.clone()),
        Filter::All(vec![Filter::Any(vec![a.clone(), b.clone()]), c.clone()])
    );
    assert_eq!(Filter::default().and(a.clone()), a);
    assert_eq!(Filter::any([]).or(a.clone()), a);
    assert_eq!(Filter::default().and(Filter::default()), Filter::default());
    assert_eq!(!!a.clone(), a);
    let long = (0..100_000).fold(Filter::default(), |filter, page| filter.or(field("page").eq(page)));
    assert!(long.validate().is_ok());
}

#[test]
fn scalars_convert_from_rust_values() {
    assert_eq!(Scalar::from(1_u8), Scalar::Integer(1));
    assert_eq!(Scalar::from(u64::MAX), Scalar::Integer(u64::MAX.into()));
    assert_eq!(Scalar::from(3_usize), Scalar::Integer(3));
    assert_eq!(Scalar::from(1.0), Scalar::Float(1.0));
    assert_eq!(Scalar::from(&String::from("a")), Scalar::from("a"));
    assert_eq!(field("a").one_of(vec!["x".to_owned()]), field("a").one_of(["x"]));
}

fn without_nulls(metadata: &JsonObject) -> JsonObject {
    let nested =
        |value: &Value| value.as_object().map_or_else(|| value.clone(), |inner| without_nulls(inner).into());
    metadata
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.clone(), nested(value)))
        .collect()
}

fn single(key: &str, condition: Condition) -> Filter {
    Filter::Field { key: key.to_owned(), condition }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn json_and_syntax_give_the_filter_back(filter in arbitrary::filter()) {
        prop_assert!(filter.validate().is_ok());
        let json = filter.to_json();
        let read = Filter::from_json(&json).unwrap();
        prop_assert_eq!(&read, &filter);
        prop_assert_eq!(read.to_json().to_string(), json.to_string());
        let text = serde_json::to_string(&filter).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Filter>(&text).unwrap(), &filter);
        let printed = filter.to_string();
        prop_assert_eq!(&Filter::parse(&printed).unwrap(), &filter, "{}", printed);
    }

    #[test]
    fn a_matcher_answers_as_the_filter(
        filter in arbitrary::filter(),
        key in arbitrary::key(),
        long in proptest::collection::vec(arbitrary::scalar(), 16..40),
        metadata in arbitrary::metadata(),
    ) {
        let sets = [Condition::In(long.clone()), Condition::NotIn(long)].map(|condition| single(&key, condition));
        for filter in sets.into_iter().chain([filter]) {
            prop_assert_eq!(filter.matcher().matches(&metadata), filter.matches(&metadata), "{}", filter);
        }
    }

    #[test]
    fn missing_is_null(filter in arbitrary::filter(), metadata in arbitrary::metadata()) {
        prop_assert_eq!(filter.matches(&metadata), filter.matches(&without_nulls(&metadata)));
    }

    #[test]
    fn not_is_the_exact_negation(filter in arbitrary::filter(), metadata in arbitrary::metadata()) {
        prop_assert_ne!(filter.matches(&metadata), Filter::Not(Box::new(filter.clone())).matches(&metadata));
    }

    #[test]
    fn negated_operators_are_exact(
        key in arbitrary::key(),
        scalars in proptest::collection::vec(arbitrary::scalar(), 1..4),
        metadata in arbitrary::metadata(),
    ) {
        let first = scalars[0].clone();
        let matches = |condition| single(&key, condition).matches(&metadata);
        prop_assert_ne!(matches(Condition::Eq(first.clone())), matches(Condition::Ne(first)));
        prop_assert_ne!(matches(Condition::In(scalars.clone())), matches(Condition::NotIn(scalars.clone())));
        let one = scalars.iter().any(|scalar| matches(Condition::Eq(scalar.clone())));
        prop_assert_eq!(matches(Condition::In(scalars.clone())), one);
        let contained = |scalar: &Scalar| matches(Condition::Contains(scalar.clone()));
        prop_assert_eq!(matches(Condition::AnyOf(scalars.clone())), scalars.iter().any(contained));
        prop_assert_eq!(matches(Condition::AllOf(scalars.clone())), scalars.iter().all(contained));
    }

    #[test]
    fn order_is_total_within_a_type(scalar in arbitrary::scalar(), value in arbitrary::field_value()) {
        let matches = |condition: fn(Scalar) -> Condition| condition(scalar.clone()).matches_value(Some(&value));
        let outcome = [matches(Condition::Lt), matches(Condition::Gt), matches(Condition::Lte), matches(Condition::Gte)];
        let equal = matches(Condition::Eq);
        let wanted = match outcome {
            [true, false, true, false] | [false, true, false, true] => Some(false),
            [false, false, true, true] => Some(true),
            // No order: equal only as null or bool.
            [false, false, false, false] => Some(equal && matches!(scalar, Scalar::Null | Scalar::Bool(_))),
            _ => None,
        };
        prop_assert_eq!(wanted, Some(equal));
        let own = Condition::Between(scalar.clone(), scalar.clone()).matches_value(Some(&value));
        prop_assert_eq!(own, outcome == [false, false, true, true]);
    }

    #[test]
    fn timestamps_compare_as_the_calendar_does(a in arbitrary::timestamp(), b in arbitrary::timestamp()) {
        let field = Value::from(b.to_string());
        prop_assert_eq!(Scalar::Timestamp(a).order_of(&field), Some(b.cmp(&a)));
    }
}
