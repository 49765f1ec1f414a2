//! Metadata filters as conditions that the indexes of a vector table answer: pure functions.
//!
//! Cassandra's index (SAI) answers whether an entry of a map equals a text, whether a set holds a text, and how a number
//! stands to others; conditions are joined by AND alone, nothing can be negated. So a filter becomes a few
//! *alternatives*, each some conditions that must all hold, each a statement of its own. Whatever the filter matches
//! satisfies at least one of them, so that nothing is left out; where they say no more than the filter, it is pushed
//! down whole. What they can not say is held against what was read.
//!
//! What there is to ask for depends on who writes to the table:
//! - `metadata_s`, the map of texts of LlamaIndex's layout, is there always. It keeps no types (`1`, `1.0` and the text
//!   `1.0` are one text), lists and objects are not in it, and null is missing as well.
//! - Where all rows are ours there are also [terms](crate::vector::terms), and numbers of declared fields.

use serde_json::Value;
use store_core::{Condition, FieldType, Filter, FilterableField, Scalar, python};

use crate::vector::terms::{self, Kind};

/// The entries that a layout of LlamaIndex's writes by itself, over metadata of the same name.
pub(crate) const RESERVED: [&str; 5] = ["_node_content", "_node_type", "document_id", "doc_id", "ref_doc_id"];
/// Bytes of an entry that the index takes (`sai_string_term_size_fail_threshold`, 8 KB by default), with some to spare.
pub(crate) const MAX_ENTRY: usize = 8_000;
/// Conditions of one statement.
const MAX_CONDITIONS: usize = 8;
/// Statements of one filter.
const MAX_ALTERNATIVES: usize = 8;

/// What an index answers of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// The entry of this key is this text.
    Entry(String, String),
    /// The row has this term.
    Term(String),
    /// The number in this column stands so to another.
    Number(String, Order, i128),
}

/// How a number stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Gt,
    Gte,
    Lt,
    Lte,
}

impl Order {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Gt => ">",
            Self::Gte => ">=",
            Self::Lt => "<",
            Self::Lte => "<=",
        }
    }
}

/// Tests that must all hold.
pub(crate) type Tests = Vec<Test>;

/// A filter, parted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parted {
    /// All that the filter matches satisfies one of these; there is none where it can match nothing, and the only one
    /// is empty where nothing is known.
    pub(crate) alternatives: Vec<Tests>,
    /// The part of the filter that `alternatives` answer wholly.
    pub(crate) pushed_down: Option<Filter>,
    /// The part that is ours to finish.
    pub(crate) rest: Option<Filter>,
}

/// What the rows of a table can be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offers<'a> {
    /// Whether the entries of `metadata_s` have an index.
    pub(crate) entries: bool,
    /// Where all rows are ours and have terms: the fields whose numbers stand in columns.
    pub(crate) own: Option<&'a [FilterableField]>,
}

/// A metadata value as the map keeps it (cassio); `None` for what it can not keep.
pub(crate) fn entry(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => python::str(&Value::from(number.as_f64()?)),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

/// Whether an entry is one that the map keeps.
pub(crate) fn fits(key: &str, text: &str) -> bool {
    key.len() + text.len() <= MAX_ENTRY
}

/// Whether the map tells by itself that a field is this text: no number, bool or null is written so.
pub(crate) fn told_by_entry(key: &str, text: &str) -> bool {
    is_entry(key) && !text.is_empty() && fits(key, text) && is_plain(text)
}

/// Whether the map has an entry for a field: a dot leads into an object.
fn is_entry(key: &str) -> bool {
    !key.contains('.') && !RESERVED.contains(&key)
}

/// Whether no number, bool or null has this text.
fn is_plain(text: &str) -> bool {
    !matches!(text, "true" | "false" | "null" | "inf" | "nan")
        && !text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

/// Parts a filter that was found right.
pub(crate) fn part(filter: Option<&Filter>, offers: Offers<'_>) -> Parted {
    let parts = match filter {
        None => &[],
        Some(Filter::All(parts)) => parts.as_slice(),
        Some(other) => std::slice::from_ref(other),
    };
    let mut bounds: Vec<(Bound, bool)> = parts.iter().map(|part| (bound(part, offers), true)).collect();
    let alternatives = product(bounds.iter_mut().map(|(bound, kept)| (&*bound, kept)));
    let (mut pushed, mut rest) = (Vec::new(), Vec::new());
    for (part, (bound, kept)) in parts.iter().zip(bounds) {
        if bound.exact && kept { &mut pushed } else { &mut rest }.push(part.clone());
    }
    Parted { alternatives, pushed_down: joined(pushed), rest: joined(rest) }
}

fn joined(mut parts: Vec<Filter>) -> Option<Filter> {
    match parts.pop() {
        Some(only) if parts.is_empty() => Some(only),
        last => {
            parts.extend(last);
            (!parts.is_empty()).then_some(Filter::All(parts))
        }
    }
}

/// Alternatives that admit all that a filter matches.
#[derive(Clone, Debug, PartialEq)]
struct Bound {
    alternatives: Vec<Tests>,
    /// Whether they admit nothing else.
    exact: bool,
}

impl Bound {
    fn everything(exact: bool) -> Self {
        Self { alternatives: vec![Vec::new()], exact }
    }

    fn nothing() -> Self {
        Self { alternatives: Vec::new(), exact: true }
    }

    fn one(test: Test, exact: bool) -> Self {
        Self { alternatives: vec![vec![test]], exact }
    }

    fn is_everything(&self) -> bool {
        self.alternatives.iter().any(Vec::is_empty)
    }

    /// What satisfies at least one of them.
    fn any(bounds: impl IntoIterator<Item = Self>) -> Self {
        let mut any = Self::nothing();
        for bound in bounds {
            any.exact &= bound.exact;
            for tests in bound.alternatives {
                if !any.alternatives.contains(&tests) {
                    any.alternatives.push(tests);
                }
            }
        }
        if any.is_everything() {
            // Others say nothing more, be they exact or not.
            any.alternatives = vec![Vec::new()];
        } else if any.alternatives.len() > MAX_ALTERNATIVES {
            return Self::everything(false);
        }
        any
    }

    /// What satisfies all of them.
    fn all(bounds: &[Self]) -> Self {
        let mut kept = vec![true; bounds.len()];
        let alternatives = product(bounds.iter().zip(&mut kept));
        let exact = bounds.iter().zip(kept).all(|(bound, kept)| bound.exact && kept);
        Self { alternatives, exact }
    }
}

/// The alternatives that satisfy all bounds. A bound that would make too many of them, or of their tests, is passed over,
/// and `kept` then is false; those with few alternatives go first.
fn product<'a>(bounds: impl Iterator<Item = (&'a Bound, &'a mut bool)>) -> Vec<Tests> {
    let mut bounds: Vec<_> = bounds.collect();
    bounds.sort_by_key(|(bound, _)| bound.alternatives.len());
    let mut all = vec![Tests::new()];
    for (bound, kept) in bounds {
        if bound.is_everything() {
            continue;
        }
        let mut next: Vec<Tests> = Vec::new();
        for (left, right) in
            all.iter().flat_map(|left| bound.alternatives.iter().map(move |right| (left, right)))
        {
            let mut tests = left.clone();
            tests.extend(right.iter().filter(|test| !left.contains(test)).cloned());
            if !next.contains(&tests) {
                next.push(tests);
            }
        }
        let fits = next.len() <= MAX_ALTERNATIVES && next.iter().all(|tests| can_be_asked(tests));
        *kept = fits;
        if fits {
            all = next;
        }
    }
    all
}

/// Whether a statement can hold these tests: so many, one text for each entry, one end of each sort for each number.
fn can_be_asked(tests: &[Test]) -> bool {
    let place = |test: &Test| match test {
        Test::Entry(key, _) => Some((key.clone(), "=")),
        Test::Number(column, Order::Gt | Order::Gte, _) => Some((column.clone(), ">")),
        Test::Number(column, Order::Lt | Order::Lte, _) => Some((column.clone(), "<")),
        Test::Term(_) => None,
    };
    let mut places: Vec<_> = tests.iter().filter_map(place).collect();
    let count = places.len();
    places.sort_unstable();
    places.dedup();
    tests.len() <= MAX_CONDITIONS && places.len() == count
}

fn bound(filter: &Filter, offers: Offers<'_>) -> Bound {
    match filter {
        Filter::All(parts) => Bound::all(&parts.iter().map(|part| bound(part, offers)).collect::<Vec<_>>()),
        Filter::Any(parts) => Bound::any(parts.iter().map(|part| bound(part, offers))),
        Filter::Not(inner) => negated(inner, offers),
        Filter::Field { key, condition } => Field { key, offers }.matches(condition),
    }
}

/// What a filter does not match.
fn negated(filter: &Filter, offers: Offers<'_>) -> Bound {
    match filter {
        Filter::All(parts) => Bound::any(parts.iter().map(|part| negated(part, offers))),
        Filter::Any(parts) => Bound::all(&parts.iter().map(|part| negated(part, offers)).collect::<Vec<_>>()),
        Filter::Not(inner) => bound(inner, offers),
        Filter::Field { key, condition } => {
            let field = Field { key, offers };
            match condition {
                Condition::Ne(value) => field.matches(&Condition::Eq(value.clone())),
                Condition::NotIn(values) => field.one_of(values),
                Condition::Eq(value) => field.matches(&Condition::Ne(value.clone())),
                Condition::In(values) => field.matches(&Condition::NotIn(values.clone())),
                Condition::Exists(there) => field.matches(&Condition::Exists(!there)),
                Condition::AnyOf(values) if values.is_empty() => Bound::everything(true),
                _ => Bound::everything(false),
            }
        }
    }
}

/// One field of the metadata.
#[derive(Clone, Copy)]
struct Field<'a> {
    key: &'a str,
    offers: Offers<'a>,
}

impl Field<'_> {
    fn matches(&self, condition: &Condition) -> Bound {
        match condition {
            Condition::Eq(value) => self.one_of(std::slice::from_ref(value)),
            Condition::In(values) => self.one_of(values),
            Condition::Ne(Scalar::Null) | Condition::Exists(true) => self.there(),
            Condition::NotIn(values) if values.contains(&Scalar::Null) => {
                let there = self.there();
                Bound { exact: there.exact && values.len() == 1, ..there }
            }
            Condition::NotIn(values) if values.is_empty() => Bound::everything(true),
            Condition::Ne(_) | Condition::NotIn(_) => Bound::everything(false),
            Condition::Exists(false) => self.missing(),
            Condition::Gt(value) => self.ordered(Order::Gt, value),
            Condition::Gte(value) => self.ordered(Order::Gte, value),
            Condition::Lt(value) => self.ordered(Order::Lt, value),
            Condition::Lte(value) => self.ordered(Order::Lte, value),
            Condition::Between(low, high) => {
                Bound::all(&[self.ordered(Order::Gte, low), self.ordered(Order::Lte, high)])
            }
            Condition::Contains(value) => self.contains(value),
            Condition::AnyOf(values) => Bound::any(values.iter().map(|value| self.contains(value))),
            Condition::AllOf(values) if values.is_empty() => {
                self.is([Kind::Text, Kind::List, Kind::EmptyList], true)
            }
            Condition::AllOf(values) => {
                Bound::all(&values.iter().map(|value| self.contains(value)).collect::<Vec<_>>())
            }
            Condition::TextMatch(part) | Condition::TextMatchInsensitive(part) => {
                self.is([Kind::Text], part.is_empty())
            }
            Condition::IsEmpty => {
                let empty = [self.equals(&Scalar::Text(String::new())), self.is([Kind::EmptyList], true)];
                Bound::any(empty.into_iter().chain([self.missing()]))
            }
        }
    }

    /// Rows where the field is of one of these kinds.
    fn is<const N: usize>(&self, kinds: [Kind; N], exact: bool) -> Bound {
        if self.offers.own.is_none() {
            return Bound::everything(false);
        }
        let term = |kind| Bound::one(Test::Term(terms::of_kind(self.key, kind)), exact);
        Bound::any(kinds.map(term))
    }

    fn there(&self) -> Bound {
        match self.offers.own {
            Some(_) => Bound::one(Test::Term(terms::of_presence(self.key, true)), true),
            None => Bound::everything(false),
        }
    }

    fn missing(&self) -> Bound {
        // Only of declared fields is it written that they are not there.
        match self.offers.own {
            Some(fields) if fields.iter().any(|field| field.key == self.key) => {
                Bound::one(Test::Term(terms::of_presence(self.key, false)), true)
            }
            _ => Bound::everything(false),
        }
    }

    fn one_of(&self, values: &[Scalar]) -> Bound {
        Bound::any(values.iter().map(|value| self.equals(value)))
    }

    fn equals(&self, value: &Scalar) -> Bound {
        if let Scalar::Null = value {
            return self.missing();
        }
        if let Scalar::Text(text) = value
            && self.offers.entries
            && told_by_entry(self.key, text)
        {
            return Bound::one(Test::Entry(self.key.to_owned(), text.clone()), true);
        }
        if self.offers.own.is_some() {
            return Bound::one(Test::Term(terms::of_value(self.key, value)), true);
        }
        if !self.offers.entries || !is_entry(self.key) {
            return Bound::everything(false);
        }
        let texts = match value {
            Scalar::Text(text) if !text.is_empty() => vec![text.clone()],
            Scalar::Bool(value) => vec![value.to_string()],
            // The text of an integer is that of the float nearest to it.
            Scalar::Integer(value) => floats(value.to_string().parse().unwrap_or(f64::NAN)),
            Scalar::Float(value) => floats(*value),
            // An instant may be written in many ways, and of an empty text there is no entry in the index.
            Scalar::Text(_) | Scalar::Null | Scalar::Timestamp(_) => Vec::new(),
        };
        if texts.is_empty() || texts.iter().any(|text| !fits(self.key, text)) {
            return Bound::everything(false);
        }
        Bound::any(texts.into_iter().map(|text| Bound::one(Test::Entry(self.key.to_owned(), text), false)))
    }

    fn contains(&self, value: &Scalar) -> Bound {
        if self.offers.own.is_none() {
            return Bound::everything(false);
        }
        let element = Bound::one(Test::Term(terms::of_element(self.key, value)), true);
        match value {
            // In a list, or a part of a text.
            Scalar::Text(part) => Bound::any([element, self.is([Kind::Text], part.is_empty())]),
            _ => element,
        }
    }

    fn ordered(&self, order: Order, value: &Scalar) -> Bound {
        let (kind, number) = match value {
            Scalar::Null | Scalar::Bool(_) => return Bound::nothing(),
            Scalar::Text(_) => (Kind::Text, None),
            Scalar::Integer(_) | Scalar::Float(_) => (Kind::Number, terms::number(value)),
            Scalar::Timestamp(at) => (Kind::Text, Some(at.as_nanoseconds())),
        };
        let declared = |fields: &[FilterableField]| {
            let field = fields.iter().find(|field| field.key == self.key)?;
            let instants = field.field_type == FieldType::Timestamp;
            (instants == matches!(value, Scalar::Timestamp(_))).then(|| terms::column(field)).flatten()
        };
        match (self.offers.own.and_then(declared), number) {
            (Some(column), Some(number)) => Bound::one(Test::Number(column, order, number), true),
            _ => self.is([kind], false),
        }
    }
}

/// The texts of a number: zero has two.
fn floats(value: f64) -> Vec<String> {
    let text = |value: f64| python::str(&Value::from(value));
    match value {
        0.0 => vec![text(0.0), text(-0.0)],
        value if value.is_finite() => vec![text(value)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
