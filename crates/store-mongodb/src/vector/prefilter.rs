//! What of a filter `$vectorSearch` applies itself.
//!
//! Its `filter` knows only fields that the index declares, looks into lists, and has neither text search nor a
//! sure way to say that a field is missing. So what is pushed down here never excludes a node which the filter
//! admits, and may admit more: every answer is held against the filter itself afterwards. A condition that can not
//! be pushed down so (`!=` and `not in`, which would exclude lists; texts by order or by part; timestamps; `is
//! empty`, `exists`) is left to that check; it mostly admits many.
//!
//! One bound: an integer above 2⁶³ − 1, kept as a Decimal128, is not indexed by Atlas, so `>` and `>=` do not find
//! it through a declared field.

use std::collections::BTreeSet;

use bson::{Bson, Document, doc};
use store_core::{Condition, Filter, RefDocId, Scalar, Selector};

use super::rows::{NO_REF_DOC, REF_DOC_PATH};
use crate::filter::Place;

/// Texts longer than this are not pushed down: Atlas indexes no text of more than 8,181 characters as a whole.
const MAX_TEXT: usize = 8_000;

/// Integers up to here are the same number as a float.
const EXACT: i128 = 1 << 53;

/// A filter, split.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Prefilter {
    /// The `filter` of the stage; empty: none.
    pub(crate) native: Document,
    /// The parts that are pushed down whole.
    pub(crate) pushed: Vec<Filter>,
    /// The parts that are not; what can be said of them in `native` is said there.
    pub(crate) rest: Vec<Filter>,
    /// Whether the selector admits nothing.
    pub(crate) nothing: bool,
}

/// Splits a selector for an index that declares `fields` as paths in the document. `None`: its ids, or its source
/// documents, can not be pushed down.
pub(crate) fn split(selector: &Selector, fields: &BTreeSet<String>) -> Option<Prefilter> {
    if selector.ids.is_some() {
        return None;
    }
    let mut natives = Vec::new();
    let mut nothing = false;
    if let Some(ref_docs) = &selector.ref_docs {
        // The name that also stands where there is no source document would find those too.
        let ambiguous = |id: &RefDocId| id.as_str().len() > MAX_TEXT || id.as_str() == NO_REF_DOC;
        if !fields.contains(REF_DOC_PATH) || ref_docs.iter().any(ambiguous) {
            return None;
        }
        nothing |= ref_docs.is_empty();
        let ids: Vec<Bson> = ref_docs.iter().map(|id| Bson::from(id.as_str())).collect();
        natives.push(doc! {REF_DOC_PATH: {"$in": ids}});
    }
    let parts: &[Filter] = match &selector.filter {
        None => &[],
        Some(Filter::All(parts)) => parts,
        Some(one) => std::slice::from_ref(one),
    };
    let (mut pushed, mut rest) = (Vec::new(), Vec::new());
    for part in parts {
        let bound = widened(part, false, fields);
        if bound.whole {
            pushed.push(part.clone());
        } else {
            rest.push(part.clone());
        }
        match bound.native {
            Native::Everything => {}
            Native::Nothing => nothing = true,
            Native::Matching(native) => natives.push(native),
        }
    }
    Some(Prefilter { native: joined("$and", natives), pushed, rest, nothing })
}

/// One document for several: LlamaIndex's form of a group, and a single one as it is.
fn joined(operator: &str, mut natives: Vec<Document>) -> Document {
    match natives.len() {
        0 => Document::new(),
        1 => natives.pop().unwrap_or_default(),
        _ => doc! {operator: natives},
    }
}

enum Native {
    Everything,
    Nothing,
    Matching(Document),
}

/// What admits at least all that a filter admits.
struct Bound {
    native: Native,
    /// Whether every condition of the filter is in it.
    whole: bool,
}

impl Bound {
    const UNKNOWN: Self = Self { native: Native::Everything, whole: false };

    fn whole(native: Native) -> Self {
        Self { native, whole: true }
    }
}

fn widened(filter: &Filter, negated: bool, fields: &BTreeSet<String>) -> Bound {
    match filter {
        Filter::Not(inner) => widened(inner, !negated, fields),
        Filter::All(parts) if negated => one(parts, true, fields),
        Filter::Any(parts) if negated => every(parts, true, fields),
        Filter::All(parts) => every(parts, false, fields),
        Filter::Any(parts) => one(parts, false, fields),
        Filter::Field { key, condition } => field(key, condition, negated, fields),
    }
}

fn every(parts: &[Filter], negated: bool, fields: &BTreeSet<String>) -> Bound {
    let mut natives = Vec::new();
    let mut whole = true;
    for part in parts {
        let bound = widened(part, negated, fields);
        whole &= bound.whole;
        match bound.native {
            Native::Everything => {}
            Native::Nothing => return Bound::whole(Native::Nothing),
            Native::Matching(native) => natives.push(native),
        }
    }
    let native =
        if natives.is_empty() { Native::Everything } else { Native::Matching(joined("$and", natives)) };
    Bound { native, whole }
}

fn one(parts: &[Filter], negated: bool, fields: &BTreeSet<String>) -> Bound {
    let mut natives = Vec::new();
    let mut whole = true;
    for part in parts {
        let bound = widened(part, negated, fields);
        whole &= bound.whole;
        match bound.native {
            Native::Everything => return Bound { native: Native::Everything, whole: bound.whole },
            Native::Nothing => {}
            Native::Matching(native) => natives.push(native),
        }
    }
    let native = if natives.is_empty() { Native::Nothing } else { Native::Matching(joined("$or", natives)) };
    Bound { native, whole }
}

fn field(key: &str, condition: &Condition, negated: bool, fields: &BTreeSet<String>) -> Bound {
    let path = Place::Vectors.path(key);
    if !fields.contains(&path) {
        return Bound::UNKNOWN;
    }
    let is = |operator: &str, value: Option<Bson>| match value {
        Some(value) => Bound::whole(Native::Matching(doc! {&path: {operator: value}})),
        None => Bound::UNKNOWN,
    };
    let one_of = |values: &[Scalar]| match values.iter().map(equal).collect::<Option<Vec<Bson>>>() {
        _ if values.is_empty() => Bound::whole(Native::Nothing),
        // The server takes a list of one type only.
        Some(values) if values.iter().all(|value| same_type(value, values.first())) => {
            Bound::whole(Native::Matching(doc! {&path: {"$in": values}}))
        }
        _ => Bound::UNKNOWN,
    };
    // In a list or, for a number or bool, only there: a text may also be part of another.
    let held = |value: &Scalar| if matches!(value, Scalar::Text(_)) { None } else { equal(value) };
    match (condition, negated) {
        (Condition::Eq(value), false) | (Condition::Ne(value), true) => is("$eq", equal(value)),
        (Condition::In(values), false) | (Condition::NotIn(values), true) => one_of(values),
        (Condition::Gt(value), false) => is("$gt", bounding(value)),
        (Condition::Gte(value), false) => is("$gte", bounding(value)),
        (Condition::Lt(value), false) => is("$lt", bounding(value)),
        (Condition::Lte(value), false) => is("$lte", bounding(value)),
        (Condition::Between(low, high), false) => match (bounding(low), bounding(high)) {
            (Some(low), Some(high)) => {
                Bound::whole(Native::Matching(doc! {&path: {"$gte": low, "$lte": high}}))
            }
            _ => Bound::UNKNOWN,
        },
        (Condition::Contains(value), false) => is("$eq", held(value)),
        (Condition::AnyOf(values), false) if values.iter().all(|value| held(value).is_some()) => {
            one_of(values)
        }
        _ => Bound::UNKNOWN,
    }
}

/// A value to compare for equality, where the index holds every equal one.
fn equal(value: &Scalar) -> Option<Bson> {
    match value {
        Scalar::Bool(value) => Some(Bson::Boolean(*value)),
        Scalar::Text(text) if text.len() <= MAX_TEXT => Some(Bson::from(text.as_str())),
        Scalar::Integer(_) | Scalar::Float(_) => bounding(value),
        Scalar::Text(_) | Scalar::Null | Scalar::Timestamp(_) => None,
    }
}

/// A number that is the same as an integer and as a float, so that the index compares it as the filter does.
fn bounding(value: &Scalar) -> Option<Bson> {
    match value {
        Scalar::Integer(value) if value.abs() < EXACT => i64::try_from(*value)
            .ok()
            .map(|value| i32::try_from(value).map_or(Bson::Int64(value), Bson::Int32)),
        Scalar::Float(value) if value.abs() < EXACT as f64 => Some(Bson::Double(*value)),
        _ => None,
    }
}

fn same_type(value: &Bson, first: Option<&Bson>) -> bool {
    let kind = |value: &Bson| match value {
        Bson::Boolean(_) => 0,
        Bson::String(_) => 1,
        _ => 2,
    };
    first.is_none_or(|first| kind(first) == kind(value))
}

#[cfg(test)]
#[path = "prefilter_tests.rs"]
mod tests;
