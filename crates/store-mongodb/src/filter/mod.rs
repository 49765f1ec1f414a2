//! Metadata filters as match documents of the server.
//!
//! A condition on `o.a` becomes a match on the path below the place where metadata lies. What the server would do
//! otherwise than the laws of [`store_core::filter`] is guarded: it looks into arrays wherever a path leads through
//! one, so each step of the path and the value itself must be none (`contains` asks for one by `$elemMatch`).
//! Everything else agrees: the server's comparisons stay within a type and are exact for numbers, and texts compare
//! by their bytes. Only values of the filter's own scalar types are put into a match, and never as a name, so that
//! no text of a user becomes an operator.
//!
//! All conditions are answered by the server, but one: lower-casing a `Σ` depends on the letters around it, so that
//! an `imatches` with a small sigma is widened for the server and finished by us.

mod instant;
mod lower;

use std::borrow::Cow;

use bson::{Bson, Decimal128, Document, doc};
use store_core::filter::{Condition, Filter, Scalar};

use self::instant::Span;

/// Longest text in a regular expression, in bytes of the pattern: servers allow 16 KiB; longer ones are looked for
/// by an expression.
const MAX_PATTERN: usize = 8 << 10;
/// More steps than a stored document can have levels lead to nothing.
const MAX_STEPS: usize = 100;

/// Where the metadata lies that a filter is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A document store's documents: `__data__.metadata`.
    Docs,
    /// A vector store's documents: `metadata`; entries with a name of LlamaIndex's own in `_nodestore.metadata`.
    Vectors,
    /// Anyone's documents, as readers read them: the top level. The caller sees to it that no step of a key begins
    /// with `$`.
    Root,
}

/// The entries of a vector's metadata that LlamaIndex writes itself, over those of the user.
pub(crate) const RESERVED: [&str; 5] = ["_node_content", "_node_type", "document_id", "doc_id", "ref_doc_id"];
/// Where the user's entries of such names lie.
pub(crate) const HIDDEN: &str = "_nodestore.metadata";

/// Begins what stands for a character that no member name can hold: a code point that is no character.
const ESCAPE: char = '\u{FDD0}';

/// The name of a metadata member in a vector's document, where the member itself is only filtered by: NUL, which
/// the server can not hold in a name, is spelled.
pub(crate) fn member_name(name: &str) -> Cow<'_, str> {
    if !name.contains(['\0', ESCAPE]) {
        return name.into();
    }
    name.replace(ESCAPE, "\u{FDD0}1").replace('\0', "\u{FDD0}0").into()
}

/// The name that [`member_name`] spelled.
pub(crate) fn spelled_back(name: &str) -> String {
    name.replace("\u{FDD0}0", "\0").replace("\u{FDD0}1", "\u{FDD0}")
}

impl Place {
    /// The value of a metadata key, as an expression.
    pub(crate) fn expression(self, key: &str) -> Bson {
        expression(&self.path(key))
    }

    /// The path in a document of a metadata key.
    pub(crate) fn path(self, key: &str) -> String {
        let first = key.split('.').next().unwrap_or(key);
        let key = if self == Self::Vectors { member_name(key) } else { key.into() };
        let root = match self {
            Self::Docs => "__data__.metadata",
            Self::Vectors if RESERVED.contains(&first) => HIDDEN,
            Self::Vectors => "metadata",
            Self::Root => return key.into_owned(),
        };
        format!("{root}.{key}")
    }
}

/// A filter as the server takes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Translated {
    /// The match document: everything the filter matches, and no more unless there is a rest.
    pub(crate) matches: Document,
    /// The part of the filter that `matches` answers wholly.
    pub(crate) pushed_down: Option<Filter>,
    /// The part of the filter that the caller must still hold what was found against.
    pub(crate) rest: Option<Filter>,
}

/// Translates a filter that [`Filter::validate`] found right.
pub(crate) fn translate(filter: &Filter, place: Place) -> Translated {
    if is_exact(filter) {
        let matches = whole(filter, place);
        return Translated { matches, pushed_down: Some(filter.clone()), rest: None };
    }
    let parts = match filter {
        Filter::All(parts) => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    let (exact, loose): (Vec<_>, Vec<_>) = parts.iter().cloned().partition(is_exact);
    let matches = exact.iter().chain(&loose).map(|part| whole(part, place)).collect();
    let joined = |mut parts: Vec<Filter>| match parts.pop() {
        Some(only) if parts.is_empty() => Some(only),
        last => {
            parts.extend(last);
            (!parts.is_empty()).then_some(Filter::All(parts))
        }
    };
    Translated { matches: all(matches), pushed_down: joined(exact), rest: joined(loose) }
}

/// Whether the server can answer the filter as it is.
fn is_exact(filter: &Filter) -> bool {
    match filter {
        Filter::All(filters) | Filter::Any(filters) => filters.iter().all(is_exact),
        Filter::Not(inner) => is_exact(inner),
        Filter::Field { condition: Condition::TextMatchInsensitive(part), .. } => lower::is_exact(part),
        Filter::Field { .. } => true,
    }
}

/// The match of a filter; of one that is not exact, a match of at least as much.
fn whole(filter: &Filter, place: Place) -> Document {
    match filter {
        Filter::All(filters) => all(filters.iter().map(|filter| whole(filter, place)).collect()),
        Filter::Any(filters) => any(filters.iter().map(|filter| whole(filter, place)).collect()),
        // The opposite of too much would be too little.
        Filter::Not(inner) if !is_exact(inner) => everything(),
        Filter::Not(inner) => match inner.as_ref() {
            Filter::Any(filters) => none(filters.iter().map(|filter| whole(filter, place)).collect()),
            inner => none(vec![whole(inner, place)]),
        },
        Filter::Field { key, condition } => match Field::new(place, key) {
            Some(field) => field.matches(condition),
            None if condition.matches_value(None) => everything(),
            None => nothing(),
        },
    }
}

fn everything() -> Document {
    Document::new()
}

fn nothing() -> Document {
    doc! {"_id": {"$in": []}}
}

fn all(mut matches: Vec<Document>) -> Document {
    matches.retain(|part| !part.is_empty());
    match matches.pop() {
        None => everything(),
        Some(only) if matches.is_empty() => only,
        Some(last) => {
            matches.push(last);
            doc! {"$and": matches}
        }
    }
}

fn any(mut matches: Vec<Document>) -> Document {
    match matches.pop() {
        None => nothing(),
        Some(only) if matches.is_empty() => only,
        Some(last) => {
            matches.push(last);
            doc! {"$or": matches}
        }
    }
}

fn none(matches: Vec<Document>) -> Document {
    if matches.is_empty() {
        everything()
    } else {
        doc! {"$nor": matches}
    }
}

/// `operators` on a value that must be no array, whose elements they would look at.
fn scalar(mut operators: Document) -> Document {
    operators.insert("$not", doc! {"$type": "array"});
    operators
}

/// One field of the metadata.
struct Field {
    path: String,
    /// The paths of the objects it lies in, which must be no arrays.
    outer: Vec<String>,
    /// The field in an expression, where arrays are not looked into by index and never seen as a text.
    expression: Bson,
}

impl Field {
    /// `None` when no document can have such a field.
    fn new(place: Place, key: &str) -> Option<Self> {
        let steps = key.split('.').count();
        if place != Place::Vectors && key.contains('\0') || steps > MAX_STEPS {
            return None;
        }
        let path = place.path(key);
        // All dots but the first ones, before the key itself.
        let dots: Vec<usize> = path.match_indices('.').map(|(dot, _)| dot).collect();
        let inner = dots.len() + 1 - steps;
        let outer = dots.iter().skip(inner).filter_map(|dot| path.get(..*dot)).map(str::to_owned).collect();
        let expression = expression(&path);
        Some(Self { path, outer, expression })
    }

    /// A match by operators on the field itself.
    fn is(&self, operators: Document) -> Document {
        let mut document: Document =
            self.outer.iter().map(|path| (path.clone(), doc! {"$not": {"$type": "array"}}.into())).collect();
        document.insert(self.path.clone(), operators);
        document
    }

    fn matches(&self, condition: &Condition) -> Document {
        match condition {
            Condition::Eq(scalar) => self.equals(scalar),
            Condition::Ne(scalar) => none(vec![self.equals(scalar)]),
            Condition::In(scalars) => any(self.one_of(scalars)),
            Condition::NotIn(scalars) => none(self.one_of(scalars)),
            Condition::Gt(scalar) => self.ordered("$gt", scalar),
            Condition::Gte(scalar) => self.ordered("$gte", scalar),
            Condition::Lt(scalar) => self.ordered("$lt", scalar),
            Condition::Lte(scalar) => self.ordered("$lte", scalar),
            Condition::Between(low, high) => self.between(low, high),
            Condition::Contains(scalar) => self.contains(scalar),
            Condition::AnyOf(scalars) => any(scalars.iter().map(|scalar| self.contains(scalar)).collect()),
            Condition::AllOf(scalars) if scalars.is_empty() => {
                any(vec![self.is(doc! {"$type": "array"}), self.is(doc! {"$type": "string"})])
            }
            Condition::AllOf(scalars) => all(scalars.iter().map(|scalar| self.contains(scalar)).collect()),
            Condition::TextMatch(part) => self.holds(part),
            Condition::TextMatchInsensitive(part) => self.holds_lower(part),
            Condition::IsEmpty => any(vec![
                none(vec![self.exists()]),
                self.is(scalar(doc! {"$eq": ""})),
                self.is(doc! {"$size": 0}),
            ]),
            Condition::Exists(true) => self.exists(),
            Condition::Exists(false) => none(vec![self.exists()]),
        }
    }

    /// Present and not null. An array with a null in it would not be `$ne` null.
    fn exists(&self) -> Document {
        any(vec![self.is(doc! {"$ne": null}), self.is(doc! {"$type": "array"})])
    }

    fn equals(&self, value: &Scalar) -> Document {
        match value {
            Scalar::Null => none(vec![self.exists()]),
            Scalar::Timestamp(at) => self.within(Span::new(at.as_nanoseconds(), at.as_nanoseconds())),
            value => self.is(scalar(doc! {"$eq": to_bson(value)})),
        }
    }

    /// Matches of which at least one holds when the field equals one of the scalars.
    fn one_of(&self, scalars: &[Scalar]) -> Vec<Document> {
        let (odd, plain): (Vec<_>, Vec<_>) =
            scalars.iter().partition(|value| matches!(value, Scalar::Null | Scalar::Timestamp(_)));
        let mut matches: Vec<Document> = odd.into_iter().map(|value| self.equals(value)).collect();
        if !plain.is_empty() {
            let values: Vec<Bson> = plain.into_iter().map(to_bson).collect();
            matches.push(self.is(scalar(doc! {"$in": values})));
        }
        matches
    }

    fn ordered(&self, operator: &str, value: &Scalar) -> Document {
        match value {
            // No order: the server would find null itself by `$gte`.
            Scalar::Null | Scalar::Bool(_) => nothing(),
            Scalar::Timestamp(at) => self.within(Span::of(operator, *at)),
            value => self.is(scalar(doc! {operator: to_bson(value)})),
        }
    }

    fn between(&self, low: &Scalar, high: &Scalar) -> Document {
        let plain = |value| matches!(value, &Scalar::Integer(_) | &Scalar::Float(_) | &Scalar::Text(_));
        match (low, high) {
            (Scalar::Timestamp(low), Scalar::Timestamp(high)) => {
                self.within(Span::new(low.as_nanoseconds(), high.as_nanoseconds()))
            }
            (low, high) if plain(low) && plain(high) => {
                self.is(scalar(doc! {"$gte": to_bson(low), "$lte": to_bson(high)}))
            }
            (low, high) => all(vec![self.ordered("$gte", low), self.ordered("$lte", high)]),
        }
    }

    fn contains(&self, value: &Scalar) -> Document {
        let element = match value {
            Scalar::Timestamp(at) => {
                let span = Span::new(at.as_nanoseconds(), at.as_nanoseconds());
                let list =
                    doc! {"$cond": [{"$isArray": [self.expression.clone()]}, self.expression.clone(), []]};
                let map =
                    doc! {"$map": {"input": list, "as": "item", "in": span.expression(&"$$item".into())}};
                let by_text = all(vec![
                    self.is(doc! {"$elemMatch": span.texts()}),
                    doc! {"$expr": {"$anyElementTrue": [map]}},
                ]);
                return any(vec![by_text, self.is(doc! {"$elemMatch": span.dates()})]);
            }
            value => self.is(doc! {"$elemMatch": {"$eq": to_bson(value)}}),
        };
        match value {
            Scalar::Text(part) => any(vec![element, self.holds(part)]),
            _ => element,
        }
    }

    /// A text with this in it.
    fn holds(&self, part: &str) -> Document {
        let pattern = lower::escaped(part);
        if pattern.len() <= MAX_PATTERN {
            return self.is(scalar(doc! {"$regex": pattern}));
        }
        // A literal, or a text that begins with `$` would be read as a path.
        let place = doc! {"$indexOfBytes": [self.expression.clone(), {"$literal": part}]};
        let is_text = doc! {"$eq": [{"$type": self.expression.clone()}, "string"]};
        doc! {"$expr": {"$cond": [is_text, {"$gte": [place, 0]}, false]}}
    }

    fn holds_lower(&self, part: &str) -> Document {
        let part = part.to_lowercase();
        self.is(scalar(doc! {"$regex": lower::pattern(&part)}))
    }

    /// A text that is an instant in the span, or a date of the server's own in it.
    fn within(&self, span: Span) -> Document {
        if span.is_empty() {
            return nothing();
        }
        let by_text =
            all(vec![self.is(scalar(span.texts())), doc! {"$expr": span.expression(&self.expression)}]);
        any(vec![by_text, self.is(scalar(span.dates()))])
    }
}

/// The path as an expression. Steps that begin with `$` can not stand in a path of this form.
fn expression(path: &str) -> Bson {
    if !path.contains(".$") {
        return format!("${path}").into();
    }
    path.split('.').fold("$$ROOT".into(), |input: Bson, step| {
        doc! {"$getField": {"field": {"$literal": step}, "input": input}}.into()
    })
}

/// The value as the codec writes it; null for a timestamp, which no stored value is.
fn to_bson(value: &Scalar) -> Bson {
    match value {
        Scalar::Null | Scalar::Timestamp(_) => Bson::Null,
        Scalar::Bool(value) => (*value).into(),
        Scalar::Integer(integer) => match i64::try_from(*integer) {
            Ok(integer) => integer.into(),
            Err(_) => decimal(*integer),
        },
        Scalar::Float(float) => (*float).into(),
        Scalar::Text(text) => text.as_str().into(),
    }
}

/// An integer of up to 34 digits.
fn decimal(integer: i128) -> Bson {
    let digits = integer.to_string();
    digits.parse::<Decimal128>().map_or(Bson::Null, Bson::Decimal128)
}

#[cfg(test)]
mod tests;
