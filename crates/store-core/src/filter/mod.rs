//! Metadata filters: one typed tree for every backend.

use crate::{Error, JsonObject, Result};

/// A condition on a node's metadata.
///
/// Laws: missing equals null; `Ne` and `NotIn` are the exact negations of `Eq` and `In`; an order comparison
/// with null or of mixed types matches nothing; integers and floats compare by exact value, other types never
/// mix; an empty `All` matches everything, an empty `Any` nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every one matches.
    All(Vec<Filter>),
    /// At least one matches.
    Any(Vec<Filter>),
    /// What the inner filter does not match.
    Not(Box<Filter>),
    /// A condition on one field.
    Field {
        /// Path of object members, split at dots.
        key: String,
        /// What the field must satisfy.
        condition: Condition,
    },
}

/// What one field must satisfy.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Equal; `Eq(Null)` matches a missing field.
    Eq(Scalar),
    /// The exact negation of `Eq`.
    Ne(Scalar),
    /// Greater than, same type.
    Gt(Scalar),
    /// Greater than or equal, same type.
    Gte(Scalar),
    /// Less than, same type.
    Lt(Scalar),
    /// Less than or equal, same type.
    Lte(Scalar),
    /// `Gte` the first and `Lte` the second.
    Between(Scalar, Scalar),
    /// Equal to one of them.
    In(Vec<Scalar>),
    /// The exact negation of `In`.
    NotIn(Vec<Scalar>),
    /// The field is a list with an equal element, or a text that holds the text.
    Contains(Scalar),
    /// `Contains` for at least one of them.
    AnyOf(Vec<Scalar>),
    /// `Contains` for each of them (of an empty list: any list or text).
    AllOf(Vec<Scalar>),
    /// The field is a text with this substring.
    TextMatch(String),
    /// The same after Unicode lower-casing of both.
    TextMatchInsensitive(String),
    /// Missing, null, an empty text or an empty list.
    IsEmpty,
    /// `true`: present and not null; `false`: missing or null.
    Exists(bool),
}

/// A typed value in a filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Null, which equals missing.
    Null,
    /// A bool.
    Bool(bool),
    /// An integer (JSON's range is that of `i64` and `u64` together).
    Integer(i128),
    /// A finite float.
    Float(f64),
    /// A text, compared by code point.
    Text(String),
    /// An instant; compares with texts that are ISO 8601.
    Timestamp(Timestamp),
}

/// An instant in nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub(crate) i128);

impl Filter {
    /// Whether the metadata satisfies the filter: the oracle that every backend is held against.
    #[must_use]
    pub fn matches(&self, _metadata: &JsonObject) -> bool {
        false
    }

    /// Refuses a filter that can not be answered: an empty part in a key, an order comparison with a bool, a
    /// float that is not finite. Stores call it before anything else.
    pub fn validate(&self) -> Result<()> {
        Err(Error::invalid_input("not written yet"))
    }
}
