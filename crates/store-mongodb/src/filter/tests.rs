use store_core::filter::field;

use super::*;

fn matches(filter: &Filter) -> Document {
    let translated = translate(filter, Place::Vectors);
    assert_eq!(translated.rest, None);
    assert_eq!(translated.pushed_down.as_ref(), Some(filter));
    translated.matches
}

#[test]
fn conditions_stand_plainly_beside_their_guards() {
    let no_array = doc! {"$type": "array"};
    assert_eq!(matches(&field("a").eq(1)), doc! {"metadata.a": {"$eq": 1_i64, "$not": no_array.clone()}});
    assert_eq!(
        matches(&field("o.a").between(1, 2.5)),
        doc! {
            "metadata.o": {"$not": no_array.clone()},
            "metadata.o.a": {"$gte": 1_i64, "$lte": 2.5, "$not": no_array},
        }
    );
}

#[test]
fn documents_and_reserved_names_have_their_places() {
    assert_eq!(Place::Docs.path("a.b"), "__data__.metadata.a.b");
    assert_eq!(Place::Vectors.path("doc_id.b"), "_nodestore.metadata.doc_id.b");
    assert_eq!(Place::Vectors.path("a.doc_id"), "metadata.a.doc_id");
    assert_eq!(Place::Vectors.path("a\0.\u{FDD0}0"), "metadata.a\u{FDD0}0.\u{FDD0}10");
}

#[test]
fn empty_groups_and_impossible_fields() {
    assert_eq!(matches(&Filter::All(vec![])), Document::new());
    assert_eq!(matches(&Filter::Any(vec![])), nothing());
    assert_eq!(matches(&!Filter::Any(vec![])), Document::new());
    let nul = |filter: Filter| translate(&filter, Place::Docs).matches;
    assert_eq!(nul(field("a\0").exists()), nothing());
    assert_eq!(nul(field("a\0").is_missing()), Document::new());
}

#[test]
fn a_sigma_is_finished_by_us() {
    let (sigma, other) = (field("a").text_match_insensitive("ΟΔΟΣ"), field("b").eq(true));
    let translated = translate(&other.clone().and(sigma.clone()), Place::Docs);
    assert_eq!(translated.pushed_down, Some(other.clone()));
    assert_eq!(translated.rest, Some(sigma.clone()));
    let either = translate(&other.or(!sigma.clone()), Place::Docs);
    assert_eq!(either.pushed_down, None);
    assert_eq!(either.rest, Some(field("b").eq(true).or(!sigma)));
}

#[test]
fn an_odd_step_is_no_variable() {
    assert_eq!(expression("metadata.a"), Bson::from("$metadata.a"));
    let odd = expression("metadata.$where").to_string();
    assert!(odd.contains("$literal") && !odd.contains("$metadata"), "{odd}");
}
