use serde_json::json;
use store_core::filter::field;

use super::*;

const SHARED: Offers<'static> = Offers { entries: true, own: None };

fn shared(filter: &Filter) -> Parted {
    part(Some(filter), SHARED)
}

fn entry_of(key: &str, text: &str) -> Test {
    Test::Entry(key.to_owned(), text.to_owned())
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
    let one = |filter: &Filter| shared(filter).alternatives;
    assert_eq!(one(&field("a").eq("x")), [[entry_of("a", "x")]]);
    assert_eq!(one(&field("a").eq(7)), [[entry_of("a", "7.0")]]);
    assert_eq!(one(&field("a").eq(9_007_199_254_740_993_i64)), [[entry_of("a", "9007199254740992.0")]]);
    assert_eq!(one(&field("a").eq(true)), [[entry_of("a", "true")]]);
    assert_eq!(one(&field("a").one_of(["x"])), [[entry_of("a", "x")]]);
    assert_eq!(one(&field("a").eq(0)), [[entry_of("a", "0.0")], [entry_of("a", "-0.0")]]);
    assert_eq!(one(&!field("a").ne("x")), [[entry_of("a", "x")]]);
    let both = field("a").eq("x").and(field("b").gt(1)).and(field("c").eq(0.5));
    let parted = shared(&both);
    assert_eq!(parted.alternatives, [[entry_of("a", "x"), entry_of("c", "0.5")]]);
    assert_eq!(parted.pushed_down, Some(field("a").eq("x")));
    assert_eq!(parted.rest, Some(Filter::all([field("b").gt(1), field("c").eq(0.5)])));
}

#[test]
fn alternatives_are_asked_one_by_one() {
    let either = field("a").eq("x").or(field("b").one_of(["y", "z"]));
    let parted = shared(&either);
    assert_eq!(parted.alternatives, [[entry_of("a", "x")], [entry_of("b", "y")], [entry_of("b", "z")]]);
    assert_eq!((parted.pushed_down, parted.rest), (Some(either.clone()), None));
    let with = shared(&either.clone().and(field("c").eq("w")));
    assert_eq!(with.alternatives.len(), 3);
    assert!(with.alternatives.iter().all(|tests| tests.len() == 2 && tests.contains(&entry_of("c", "w"))));
    assert!(with.rest.is_none());
    // One of which nothing is known admits everything.
    let open = shared(&either.clone().or(field("d").gt(1)));
    assert_eq!(open.alternatives, [Vec::new()]);
    assert!(open.pushed_down.is_none());
    let many = field("a").one_of((0..9).map(|n| format!("x{n}")));
    assert_eq!(shared(&many).alternatives, [Vec::new()]);
    let beside = shared(&many.clone().and(field("c").eq("w")));
    assert_eq!(beside.alternatives, [[entry_of("c", "w")]]);
    assert_eq!(beside.rest, Some(many));
}

#[test]
fn what_can_match_nothing_is_not_asked_for() {
    for filter in [Filter::any([]), field("a").one_of(Vec::<Scalar>::new()), field("a").gt(Scalar::Null)] {
        let parted = shared(&filter);
        assert_eq!((parted.alternatives.len(), parted.rest), (0, None), "{filter:?}");
        assert!(shared(&field("b").eq("x").and(filter)).alternatives.is_empty());
    }
    assert_eq!(shared(&Filter::all([])).alternatives, [Vec::new()]);
}

#[test]
fn what_has_no_entry_does_not_narrow() {
    let long = "x".repeat(MAX_ENTRY);
    for filter in [
        field("a").eq(""),
        field("a").eq(long.as_str()),
        field("a").ne("x"),
        field("a.b").eq("x"),
        field("doc_id").eq("x"),
        field("a").is_missing(),
        field("a").exists(),
        field("a").contains("x"),
        !field("a").eq("x"),
    ] {
        let parted = shared(&filter);
        assert_eq!((parted.alternatives, parted.pushed_down), (vec![Vec::new()], None), "{filter:?}");
        assert_eq!(parted.rest, Some(filter));
    }
    let none = part(Some(&field("a").eq("x")), Offers { entries: false, own: None });
    assert_eq!(none.alternatives, [Vec::new()]);
}

#[test]
fn a_text_that_could_be_another_type_is_finished_here() {
    for text in ["1.0", "-0.5", "true", "false", "null", "1e+16", "2024-01-01"] {
        let parted = shared(&field("a").eq(text));
        assert_eq!(parted.alternatives, [[entry_of("a", text)]]);
        assert!(parted.pushed_down.is_none() && parted.rest.is_some(), "{text}");
    }
}

#[test]
fn one_key_is_asked_for_once() {
    let twice = field("a").eq("x").and(field("a").eq("y"));
    let parted = shared(&twice);
    assert_eq!(parted.alternatives, [[entry_of("a", "x")]]);
    assert_eq!(parted.rest, Some(field("a").eq("y")));
}

#[test]
fn exclusive_sets_answer_more() {
    let declared = |key: &str, field_type| FilterableField { key: key.to_owned(), field_type };
    let fields = [declared("year", FieldType::Integer), declared("when", FieldType::Timestamp)];
    let own = Offers { entries: true, own: Some(&fields) };
    let at: store_core::Timestamp = "2024-05-01".parse().unwrap();
    for filter in [
        field("year").gt(2000),
        field("year").between(1999.5, 9_007_199_254_740_993_i64),
        field("when").lt(at),
        field("year").is_missing(),
        field("a.b").eq(1),
        field("a").eq("1"),
        field("a").exists(),
        field("a").contains(1),
        field("a").gt(Scalar::Null),
        field("a").eq(at).or(field("year").lt(3)),
    ] {
        let parted = part(Some(&filter), own);
        assert_eq!(parted.rest, None, "{filter:?}");
        assert_eq!(shared(&filter).pushed_down.is_some(), filter == field("a").gt(Scalar::Null));
    }
    // Narrowed, and finished here.
    for filter in
        [field("a").gt(1), field("a").text_match("x"), field("a").contains("x"), field("year").gt("x")]
    {
        let parted = part(Some(&filter), own);
        assert!(parted.rest.is_some() && parted.alternatives != [Vec::new()], "{filter:?}");
    }
    let twice = field("year").gt(1).and(field("year").gt(2));
    assert_eq!(part(Some(&twice), own).rest, Some(field("year").gt(2)));
}
