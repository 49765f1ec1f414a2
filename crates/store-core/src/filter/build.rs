//! Filters built in Rust.

use std::ops::{BitAnd, BitOr, Not};

use super::{Condition, Filter, Scalar, Timestamp};

/// A field of the metadata, to build a filter from; see [`field`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    key: String,
}

/// Starts a condition on a field; `key` is a path of object members, split at dots.
///
/// ```
/// use store_core::{Timestamp, filter::field};
/// let since: Timestamp = "2024-05-01".parse()?;
/// let filter = field("page").between(1, 9).and(!field("author.name").exists()).or(field("at").gte(since));
/// assert_eq!(
///     filter.to_string(),
///     "(page between 1 and 9 and not (author.name exists)) or at >= @2024-05-01T00:00:00Z"
/// );
/// # Ok::<(), store_core::Error>(())
/// ```
#[must_use]
pub fn field(key: impl Into<String>) -> Field {
    Field { key: key.into() }
}

impl Field {
    /// Any condition on the field.
    #[must_use]
    pub fn is(self, condition: Condition) -> Filter {
        Filter::Field { key: self.key, condition }
    }

    /// Equal; `eq(Scalar::Null)`: missing or null.
    #[must_use]
    pub fn eq(self, value: impl Into<Scalar>) -> Filter {
        self.is(Condition::Eq(value.into()))
    }

    /// Not equal, or missing (unless the value is null).
    #[must_use]
    pub fn ne(self, value: impl Into<Scalar>) -> Filter {
        self.is(Condition::Ne(value.into()))
    }

    /// Greater than, same type.
    #[must_use]
    pub fn gt(self, value: impl Into<Scalar>) -> Filter {
        self.is(Condition::Gt(value.into()))
    }

    /// Greater than or equal, same type.
    #[must_use]
    pub fn gte(self, value: impl Into<Scalar>) -> Filter {
        self.is(Condition::Gte(value.into()))
    }

    /// Less than, same type.
    #[must_use]
    pub fn lt(self, value: impl Into<Scalar>) -> Filter {
        self.is(Condition::Lt(value.into()))
    }

    /// Less than or equal, same type.
    #[must_use]
    pub fn lte(self, value: impl Into<Scalar>) -> Filter {
        self.is(Condition::Lte(value.into()))
    }

    /// From `low` to `high`, both included.
    #[must_use]
    pub fn between(self, low: impl Into<Scalar>, high: impl Into<Scalar>) -> Filter {
        self.is(Condition::Between(low.into(), high.into()))
    }

    /// Equal to one of them.
    #[must_use]
    pub fn one_of(self, values: impl IntoIterator<Item = impl Into<Scalar>>) -> Filter {
        self.is(Condition::In(scalars(values)))
    }

    /// Equal to none of them; a missing field too, unless null is among them.
    #[must_use]
    pub fn none_of(self, values: impl IntoIterator<Item = impl Into<Scalar>>) -> Filter {
        self.is(Condition::NotIn(scalars(values)))
    }

    /// A list with an equal element, or a text that holds the text.
    #[must_use]
    pub fn contains(self, value: impl Into<Scalar>) -> Filter {
        self.is(Condition::Contains(value.into()))
    }

    /// [`contains`](Field::contains) for at least one of them.
    #[must_use]
    pub fn contains_any(self, values: impl IntoIterator<Item = impl Into<Scalar>>) -> Filter {
        self.is(Condition::AnyOf(scalars(values)))
    }

    /// [`contains`](Field::contains) for each of them.
    #[must_use]
    pub fn contains_all(self, values: impl IntoIterator<Item = impl Into<Scalar>>) -> Filter {
        self.is(Condition::AllOf(scalars(values)))
    }

    /// A text with this substring, case kept.
    #[must_use]
    pub fn text_match(self, part: impl Into<String>) -> Filter {
        self.is(Condition::TextMatch(part.into()))
    }

    /// A text with this substring, after Unicode lower-casing of both.
    #[must_use]
    pub fn text_match_insensitive(self, part: impl Into<String>) -> Filter {
        self.is(Condition::TextMatchInsensitive(part.into()))
    }

    /// Missing, null, an empty text or an empty list.
    #[must_use]
    pub fn is_empty(self) -> Filter {
        self.is(Condition::IsEmpty)
    }

    /// Present and not null.
    #[must_use]
    pub fn exists(self) -> Filter {
        self.is(Condition::Exists(true))
    }

    /// Missing or null.
    #[must_use]
    pub fn is_missing(self) -> Filter {
        self.is(Condition::Exists(false))
    }
}

fn scalars(values: impl IntoIterator<Item = impl Into<Scalar>>) -> Vec<Scalar> {
    values.into_iter().map(Into::into).collect()
}

impl Filter {
    /// Every one matches; of none: everything.
    #[must_use]
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::All(filters.into_iter().collect())
    }

    /// At least one matches; of none: nothing.
    #[must_use]
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::Any(filters.into_iter().collect())
    }

    /// None of them matches (LlamaIndex's condition `not`); of none: everything.
    #[must_use]
    pub fn none(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::Not(Box::new(Self::any(filters)))
    }

    /// Both match. `All` on either side is joined, not nested, so a long chain stays flat.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let parts = |filter| match filter {
            Self::All(filters) => filters,
            other => vec![other],
        };
        let mut filters = parts(self);
        filters.extend(parts(other));
        grouped(filters, Self::All)
    }

    /// At least one matches. `Any` on either side is joined, not nested, so a long chain stays flat.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let parts = |filter| match filter {
            Self::Any(filters) => filters,
            other => vec![other],
        };
        let mut filters = parts(self);
        filters.extend(parts(other));
        grouped(filters, Self::Any)
    }
}

/// A group of these; of one, the filter itself.
pub(super) fn grouped(mut filters: Vec<Filter>, group: fn(Vec<Filter>) -> Filter) -> Filter {
    match filters.pop() {
        Some(only) if filters.is_empty() => only,
        last => {
            filters.extend(last);
            group(filters)
        }
    }
}

/// What the filter does not match; the negation of a negation is the filter itself.
impl Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }
}

/// The same as [`Filter::and`].
impl BitAnd for Filter {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        self.and(other)
    }
}

/// The same as [`Filter::or`].
impl BitOr for Filter {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

macro_rules! from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Scalar {
            fn from(integer: $integer) -> Self {
                Self::Integer(integer.into())
            }
        }
    )*};
}
from_integer!(i8, i16, i32, i64, u8, u16, u32, u64);

impl From<usize> for Scalar {
    fn from(integer: usize) -> Self {
        Self::Integer(integer as i128)
    }
}

impl From<bool> for Scalar {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

/// Not from `f32`: `0.1` as `f32` is not the `0.1` of JSON.
impl From<f64> for Scalar {
    fn from(float: f64) -> Self {
        Self::Float(float)
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Scalar {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Timestamp> for Scalar {
    fn from(timestamp: Timestamp) -> Self {
        Self::Timestamp(timestamp)
    }
}
