//! Filters as queries of the search module: pure functions.
//!
//! A filter becomes two queries over [terms](crate::vector::terms), one that admits at least all it matches and one
//! that admits at most that, so that a negation is as right as what it negates. Where the two are the same, the
//! module answers the filter whole; what of it does not follow from terms (parts of texts, order of texts, order of
//! numbers whose field is not declared) is narrowed as far as terms can, and whoever asks holds what was found
//! against the filter.
//!
//! No text of a user stands in a query: terms are hashes in base 32, field names are made of hashes, numbers are
//! printed by us.

use std::fmt::Write as _;

use store_core::filter::{Condition, Filter, Scalar};
use store_core::{FieldType, Timestamp, VectorConfig};

use crate::vector::terms::{self, Kind};

/// Integers up to here are the same number as a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A query. Only its leaves are negated: of a negated group that holds a negation the module forgets nodes
/// (`RediSearch` 2.10.5 leaves the newest one out of `-(-x)`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Native {
    Everything,
    Nothing,
    /// What this finds, or all else.
    Leaf {
        find: Find,
        negated: bool,
    },
    /// What satisfies all of them; two or more.
    All(Vec<Native>),
    /// What satisfies at least one of them; two or more.
    Any(Vec<Native>),
}

/// What a leaf looks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Find {
    /// At least one of these terms.
    Terms(Vec<String>),
    /// This text, in the module's words.
    Text(String),
}

impl Native {
    pub(crate) fn leaf(text: String) -> Self {
        Self::Leaf { find: Find::Text(text), negated: false }
    }

    pub(crate) fn not(self) -> Self {
        match self {
            Self::Everything => Self::Nothing,
            Self::Nothing => Self::Everything,
            Self::Leaf { find, negated } => Self::Leaf { find, negated: !negated },
            Self::All(parts) => Self::Any(parts.into_iter().map(Self::not).collect()),
            Self::Any(parts) => Self::All(parts.into_iter().map(Self::not).collect()),
        }
    }

    /// What satisfies all of them.
    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Self::Everything => {}
                Self::Nothing => return Self::Nothing,
                other => all.push(other),
            }
        }
        match all.pop() {
            None => Self::Everything,
            Some(only) if all.is_empty() => only,
            Some(last) => {
                all.push(last);
                Self::All(all)
            }
        }
    }

    /// What satisfies at least one of them.
    pub(crate) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        Self::all(parts.into_iter().map(Self::not)).not()
    }

    /// The query's text; of nothing, one that finds nothing.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Everything => "*".to_owned(),
            // No node has a term of this form.
            Self::Nothing => format!("@{}:{{nothing}}", terms::FIELD),
            Self::Leaf { find, negated } => {
                let text = match find {
                    Find::Terms(terms) => format!("@{}:{{{}}}", terms::FIELD, terms.join("|")),
                    Find::Text(text) => text.clone(),
                };
                if *negated { format!("(-{text})") } else { text }
            }
            Self::All(parts) => group(parts, " ", Self::text),
            Self::Any(parts) => group(parts, " | ", Self::text),
        }
    }

    /// The same as a filter of a vector set, whose elements have their terms in the attribute of this name; what is no
    /// matter of terms admits all, so that nothing is missed.
    pub(crate) fn expression(&self, attribute: &str) -> String {
        match self {
            Self::Everything | Self::Leaf { find: Find::Text(_), .. } => "1".to_owned(),
            Self::Nothing => "0".to_owned(),
            Self::Leaf { find: Find::Terms(terms), negated } => {
                let text = group(terms, " or ", |term| format!("\"{term}\" in .{attribute}"));
                if *negated { format!("(not {text})") } else { text }
            }
            Self::All(parts) => group(parts, " and ", |part| part.expression(attribute)),
            Self::Any(parts) => group(parts, " or ", |part| part.expression(attribute)),
        }
    }
}

fn group<T>(parts: &[T], joint: &str, text: impl Fn(&T) -> String) -> String {
    let texts: Vec<String> = parts.iter().map(text).collect();
    format!("({})", texts.join(joint))
}

/// Nodes with at least one of these terms.
pub(crate) fn tagged(terms: &[String]) -> Native {
    if terms.is_empty() {
        return Native::Nothing;
    }
    Native::Leaf { find: Find::Terms(terms.to_vec()), negated: false }
}

/// A filter between two queries.
#[derive(Clone, Debug, PartialEq)]
struct Bound {
    /// Admits all that the filter matches.
    upper: Native,
    /// Admits nothing else.
    lower: Native,
    /// Whether both are the same but for `leftover`.
    exact: bool,
    /// The terms of nodes that were written before their field was declared: `upper` admits them, `lower` does not.
    leftover: Vec<String>,
}

impl Bound {
    fn exact(native: Native) -> Self {
        Self { upper: native.clone(), lower: native, exact: true, leftover: Vec::new() }
    }

    fn within(upper: Native, lower: Native) -> Self {
        Self { upper, lower, exact: false, leftover: Vec::new() }
    }

    fn not(self) -> Self {
        Self { upper: self.lower.not(), lower: self.upper.not(), ..self }
    }

    fn joined(bounds: Vec<Self>, join: fn(Vec<Native>) -> Native) -> Self {
        let exact = bounds.iter().all(|bound| bound.exact);
        let (mut uppers, mut lowers, mut leftover) = (Vec::new(), Vec::new(), Vec::new());
        for bound in bounds {
            uppers.push(bound.upper);
            lowers.push(bound.lower);
            leftover.extend(bound.leftover);
        }
        Self { upper: join(uppers), lower: join(lowers), exact, leftover }
    }

    fn all(bounds: Vec<Self>) -> Self {
        Self::joined(bounds, Native::all)
    }

    fn any(bounds: Vec<Self>) -> Self {
        Self::joined(bounds, Native::any)
    }
}

/// A filter as the module takes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Translated {
    /// Admits all nodes with terms that the filter matches, and no others if `rest` is absent and no node has a
    /// term of `leftover`.
    pub(crate) native: Native,
    /// Terms of nodes that `native` admits and the filter may not match.
    pub(crate) leftover: Vec<String>,
    /// The part of the filter that `native` answers wholly.
    pub(crate) pushed_down: Option<Filter>,
    /// The part of the filter that the caller must still hold what was found against.
    pub(crate) rest: Option<Filter>,
}

/// Translates a filter that [`Filter::validate`] found right, over a set of this configuration.
pub(crate) fn translate(filter: &Filter, config: &VectorConfig) -> Translated {
    let parts = match filter {
        Filter::All(parts) if !parts.is_empty() => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut bounds = Vec::with_capacity(parts.len());
    let (mut exact, mut loose) = (Vec::new(), Vec::new());
    for part in parts {
        let bound = whole(part, config);
        if bound.exact { &mut exact } else { &mut loose }.push(part.clone());
        bounds.push(bound);
    }
    let bound = Bound::all(bounds);
    let joined = |mut parts: Vec<Filter>| match parts.pop() {
        Some(only) if parts.is_empty() => Some(only),
        last => {
            parts.extend(last);
            (!parts.is_empty()).then_some(Filter::All(parts))
        }
    };
    Translated {
        native: bound.upper,
        leftover: bound.leftover,
        pushed_down: joined(exact),
        rest: joined(loose),
    }
}

fn whole(filter: &Filter, config: &VectorConfig) -> Bound {
    match filter {
        Filter::All(parts) => Bound::all(parts.iter().map(|part| whole(part, config)).collect()),
        Filter::Any(parts) => Bound::any(parts.iter().map(|part| whole(part, config)).collect()),
        Filter::Not(inner) => whole(inner, config).not(),
        Filter::Field { key, condition } => Field { key, config }.matches(condition),
    }
}

/// One field of the metadata.
struct Field<'a> {
    key: &'a str,
    config: &'a VectorConfig,
}

impl Field<'_> {
    fn matches(&self, condition: &Condition) -> Bound {
        match condition {
            Condition::Eq(value) => self.one_of(std::slice::from_ref(value)),
            Condition::Ne(value) => self.one_of(std::slice::from_ref(value)).not(),
            Condition::In(values) => self.one_of(values),
            Condition::NotIn(values) => self.one_of(values).not(),
            Condition::Gt(value) => self.ordered(Order::Gt, value),
            Condition::Gte(value) => self.ordered(Order::Gte, value),
            Condition::Lt(value) => self.ordered(Order::Lt, value),
            Condition::Lte(value) => self.ordered(Order::Lte, value),
            Condition::Between(low, high) => {
                Bound::all(vec![self.ordered(Order::Gte, low), self.ordered(Order::Lte, high)])
            }
            Condition::Contains(value) => self.contains(value),
            Condition::AnyOf(values) => Bound::any(values.iter().map(|value| self.contains(value)).collect()),
            Condition::AllOf(values) if values.is_empty() => {
                Bound::exact(self.is(&[Kind::Text, Kind::DeclaredText, Kind::List, Kind::EmptyList]))
            }
            Condition::AllOf(values) => Bound::all(values.iter().map(|value| self.contains(value)).collect()),
            Condition::TextMatch(part) | Condition::TextMatchInsensitive(part) => self.holds(part),
            Condition::IsEmpty => {
                let empty = [
                    terms::of_value(self.key, &Scalar::Text(String::new())),
                    terms::of_kind(self.key, Kind::EmptyList),
                ];
                Bound::exact(Native::any([self.exists().not(), tagged(&empty)]))
            }
            Condition::Exists(true) => Bound::exact(self.exists()),
            Condition::Exists(false) => Bound::exact(self.exists().not()),
        }
    }

    /// Nodes where the field is of one of these kinds.
    fn is(&self, kinds: &[Kind]) -> Native {
        let terms: Vec<String> = kinds.iter().map(|kind| terms::of_kind(self.key, *kind)).collect();
        tagged(&terms)
    }

    fn exists(&self) -> Native {
        self.is(&Kind::ALL)
    }

    fn texts(&self) -> Native {
        self.is(&[Kind::Text, Kind::DeclaredText])
    }

    fn one_of(&self, values: &[Scalar]) -> Bound {
        let there = values.iter().filter(|value| !matches!(value, Scalar::Null));
        let mut terms: Vec<String> = there.map(|value| terms::of_value(self.key, value)).collect();
        terms.sort_unstable();
        terms.dedup();
        let null = values.iter().any(|value| matches!(value, Scalar::Null));
        let missing = if null { self.exists().not() } else { Native::Nothing };
        Bound::exact(Native::any([tagged(&terms), missing]))
    }

    fn contains(&self, value: &Scalar) -> Bound {
        let element = tagged(&[terms::of_element(self.key, value)]);
        match value {
            // In a list, or a part of a text.
            Scalar::Text(part) => Bound::any(vec![Bound::exact(element), self.holds(part)]),
            _ => Bound::exact(element),
        }
    }

    /// A text with this in it.
    fn holds(&self, part: &str) -> Bound {
        if part.is_empty() {
            return Bound::exact(self.texts());
        }
        Bound::within(self.texts(), Native::Nothing)
    }

    fn declared(&self, is: impl Fn(FieldType) -> bool) -> bool {
        let mut declared = self.config.filterable.iter().flatten();
        declared.any(|field| field.key == self.key && is(field.field_type))
    }

    fn ordered(&self, order: Order, value: &Scalar) -> Bound {
        match value {
            Scalar::Null | Scalar::Bool(_) => Bound::exact(Native::Nothing),
            Scalar::Text(_) => Bound::within(self.texts(), Native::Nothing),
            Scalar::Integer(integer) => self.by_number(order, *integer as f64),
            Scalar::Float(float) => self.by_number(order, *float),
            Scalar::Timestamp(at) => self.by_instant(order, *at),
        }
    }

    fn by_number(&self, order: Order, value: f64) -> Bound {
        if !self.declared(|field_type| matches!(field_type, FieldType::Integer | FieldType::Float)) {
            let numbers = self.is(&[Kind::Number, Kind::DeclaredNumber]);
            return Bound::within(numbers, Native::Nothing);
        }
        let field = terms::number_field(self.key);
        let leftover = vec![terms::of_kind(self.key, Kind::Number)];
        // Beyond, several integers are one float: the end itself may belong to it or not.
        let exact = value.abs() < EXACT;
        let order = if exact { order } else { order.inclusive() };
        let range = order.range(&field, &value.to_string());
        Bound {
            upper: Native::any([range.clone(), tagged(&leftover)]),
            lower: if exact { range } else { Native::Nothing },
            exact,
            leftover,
        }
    }

    fn by_instant(&self, order: Order, at: Timestamp) -> Bound {
        if !self.declared(|field_type| field_type == FieldType::Timestamp) {
            return Bound::within(self.texts(), Native::Nothing);
        }
        let (first, second) = terms::instant_fields(self.key);
        let (seconds, nanoseconds) = terms::seconds_and_nanoseconds(at);
        let (seconds, nanoseconds) = (seconds.to_string(), nanoseconds.to_string());
        let same = Native::leaf(format!("@{first}:[{seconds} {seconds}]"));
        let range = Native::any([
            order.strict().range(&first, &seconds),
            Native::all([same, order.range(&second, &nanoseconds)]),
        ]);
        let leftover = vec![terms::of_kind(self.key, Kind::Text)];
        Bound { upper: Native::any([range.clone(), tagged(&leftover)]), lower: range, exact: true, leftover }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Gt,
    Gte,
    Lt,
    Lte,
}

impl Order {
    fn inclusive(self) -> Self {
        match self {
            Self::Gt | Self::Gte => Self::Gte,
            Self::Lt | Self::Lte => Self::Lte,
        }
    }

    fn strict(self) -> Self {
        match self {
            Self::Gt | Self::Gte => Self::Gt,
            Self::Lt | Self::Lte => Self::Lt,
        }
    }

    /// Nodes whose numeric field stands so to a number.
    fn range(self, field: &str, number: &str) -> Native {
        let mut text = format!("@{field}:");
        // Writing to a String can not fail.
        let _ = match self {
            Self::Gt => write!(text, "[({number} +inf]"),
            Self::Gte => write!(text, "[{number} +inf]"),
            Self::Lt => write!(text, "[-inf ({number}]"),
            Self::Lte => write!(text, "[-inf {number}]"),
        };
        Native::leaf(text)
    }
}

/// A text as a tag of a field that is not ours, every character itself: what is no letter or digit is escaped.
/// `None` for a text that the module parts, trims or folds when it indexes it, so that it is not found whole.
pub(crate) fn tag(text: &str) -> Option<String> {
    let odd = |c: char| c == ',' || c.is_control();
    if text.is_empty() || text.chars().any(odd) || text.trim() != text || !text.is_ascii() {
        return None;
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    Some(escaped)
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
