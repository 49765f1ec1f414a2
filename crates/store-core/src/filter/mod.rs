//! Metadata filters: one typed tree for every backend.
//!
//! A [`Filter`] is built in Rust, written by people, or read from LlamaIndex's JSON; the three are equal:
//!
//! ```
//! use serde_json::json;
//! use store_core::filter::{Filter, field};
//!
//! let tagged = field("tag").one_of(["a", "b"]).or(!field("draft").eq(true));
//! let built = field("year").gte(2024).and(tagged);
//! let written: Filter = r#"year >= 2024 and (tag in ["a", "b"] or not draft)"#.parse()?;
//! let read = Filter::from_json(&json!({"condition": "and", "filters": [
//!     {"key": "year", "operator": ">=", "value": 2024},
//!     {"condition": "or", "filters": [
//!         {"key": "tag", "operator": "in", "value": ["a", "b"]},
//!         {"not": {"key": "draft", "operator": "==", "value": true}},
//!     ]},
//! ]}))?;
//! assert_eq!(built, written);
//! assert_eq!(built, read);
//! assert_eq!(built.to_string(), r#"year >= 2024 and (tag in ["a", "b"] or not draft)"#);
//!
//! let metadata = json!({"year": 2025, "tag": "c"});
//! assert!(built.matches(metadata.as_object().unwrap()));
//! # Ok::<(), store_core::Error>(())
//! ```
//!
//! [`Filter::matches`] is the oracle: the memory and embedded stores use it, and every other backend's
//! translation is tested against it.
//!
//! # Laws
//!
//! - Missing equals null.
//! - Equality is typed: integers and floats compare by exact value (`1` equals `1.0`, nothing is rounded), other
//!   types never mix (`1`, `"1"` and `true` are three values). Text is compared by code point.
//! - A timestamp compares with texts that are ISO 8601 (see [`Timestamp::from_iso`]), by instant, and with nothing
//!   else.
//! - `!=` and `not in` are the exact negations of `==` and `in`: a missing field matches both.
//! - An order comparison with null, or of mixed types, matches nothing.
//! - A list or object equals no scalar; lists are looked into only by `contains`.
//! - `and` of nothing matches everything, `or` of nothing matches nothing; `not` is everything its filter does not
//!   match.
//!
//! # The syntax for people
//!
//! [`Filter::parse`] (or [`FromStr`](std::str::FromStr)) reads it, [`Display`](std::fmt::Display) prints it, and
//! what is printed is read back as the same filter. An error shows the place:
//!
//! ```
//! # use store_core::Filter;
//! let error = Filter::parse("year >= and tag").unwrap_err();
//! assert_eq!(error.message(), "filter: expected a value after `>=`
//!   year >= and tag
//!           ^");
//! ```
//!
//! | rule | form | meaning |
//! |---|---|---|
//! | *filter* | *filter* `or` *filter* | at least one; binds weakest |
//! | | *filter* `and` *filter* | both |
//! | | `not` *filter* | what the filter does not match; binds strongest |
//! | | `(` *filter* `)` | grouping |
//! | | `all(` *filter*`,` … `)`, `any(` … `)` | groups of any length: `all()` matches everything, `any()` nothing |
//! | | *condition* | |
//! | *condition* | *key* | the field is `true` |
//! | | *key* `==` *value* (also `=`), *key* `!=` *value* | equal, not equal; `== null`: missing or null |
//! | | *key* `<` *value*, `<=`, `>`, `>=` | same type and in that order |
//! | | *key* `between` *value* `and` *value* | `>=` the first and `<=` the second |
//! | | *key* `in` *list*, *key* `not in` *list* | equals one of them, none of them |
//! | | *key* `contains` *value* | a list with an equal element, or a text that holds the text |
//! | | *key* `contains any` *list*, *key* `contains all` *list* | `contains` for at least one, for each |
//! | | *key* `matches` *text* | a text that holds the text, case kept |
//! | | *key* `imatches` *text* | the same, after lower-casing both |
//! | | *key* `is empty` | missing, null, an empty text or an empty list |
//! | | *key* `exists`, *key* `not exists` | present and not null; missing or null |
//! | | *key* `is null`, *key* `is not null` | other words for `== null`, `!= null` |
//! | | *key* `not` *operator* … | the negation, also of `contains`, `matches`, `imatches`, `between`; `is not empty` |
//! | *key* | `page`, `author.name`, `` `odd name`.x `` | object members, split at dots; in backticks any characters |
//! | *value* | `"text"`, `'text'` | with JSON's escapes, and `\'` |
//! | | `12`, `-3`, `1.5`, `1e6` | integers (64 bits), floats (with a point or exponent) |
//! | | `true`, `false`, `null` | |
//! | | `@2024-05-01`, `@2024-05-01T12:00:00Z`, `@"2024-05-01 12:00"` | timestamps |
//! | *list* | `[` *value*`,` … `]` | may be empty |
//!
//! Names start with a letter or `_` and go on with letters, digits, `_` and `-`. Keywords may be written in any
//! case; a field that is called like one (`and or not in between contains matches imatches is exists true false
//! null`) stands in backticks. [`SYNTAX_HELP`] is a short form of this table for a terminal.
//!
//! # LlamaIndex's JSON
//!
//! [`Filter::from_json`], [`Filter::to_json`] and serde read and write LlamaIndex's `MetadataFilters`, with these
//! additions: `{"not": filter}`, the operators `exists` and `between`, null and bool values, mixed lists, and
//! timestamps as `{"timestamp": "2024-05-01T12:00:00Z"}`. Unknown members, operators and conditions are refused.
//!
//! | operator | value | in Rust | for people |
//! |---|---|---|---|
//! | `==` (the default), `!=` | scalar | [`Condition::Eq`], [`Condition::Ne`] | `==`, `!=` |
//! | `>`, `>=`, `<`, `<=` | text, number, timestamp, null | [`Condition::Gt`], … | the same |
//! | `between` | `[low, high]` | [`Condition::Between`] | `between 1 and 2` |
//! | `in`, `nin` | list | [`Condition::In`], [`Condition::NotIn`] | `in`, `not in` |
//! | `contains` | scalar | [`Condition::Contains`] | `contains` |
//! | `any`, `all` | list | [`Condition::AnyOf`], [`Condition::AllOf`] | `contains any`, `contains all` |
//! | `text_match` | text | [`Condition::TextMatch`] | `matches` |
//! | `text_match_insensitive` | text | [`Condition::TextMatchInsensitive`] | `imatches` |
//! | `is_empty` | ignored | [`Condition::IsEmpty`] | `is empty` |
//! | `exists` | bool, default `true` | [`Condition::Exists`] | `exists`, `not exists` |

#[cfg(test)]
mod arbitrary;
mod build;
mod canonical;
mod compare;
mod json;
#[cfg(test)]
mod json_tests;
mod matcher;
mod oracle;
mod place;
mod syntax;
#[cfg(test)]
mod tests;
mod timestamp;
mod validate;

pub use build::{Field, field};
pub use canonical::{canonical, scalars_of};
pub use compare::compare_numbers;
pub use json::OPERATORS;
pub use matcher::Matcher;
pub use oracle::lookup;
pub use syntax::SYNTAX_HELP;
pub use timestamp::Timestamp;

/// How deep groups and negations may nest (a single condition is one deep). Deeper filters are refused wherever
/// they come from, so that no filter can exhaust the stack.
pub const MAX_DEPTH: usize = 64;

/// A condition on a node's metadata; the [module](self) states its laws, its syntax and its JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every one matches; empty: everything.
    All(Vec<Filter>),
    /// At least one matches; empty: nothing.
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
    /// An integer, from −2⁶³ to 2⁶⁴ − 1 (the integers of JSON here).
    Integer(i128),
    /// A finite float.
    Float(f64),
    /// A text, compared by code point.
    Text(String),
    /// An instant; compares with texts that are ISO 8601.
    Timestamp(Timestamp),
}

impl Filter {
    /// The keys of all conditions, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::All(filters) | Self::Any(filters) => filters.iter().flat_map(Self::keys).collect(),
            Self::Not(filter) => filter.keys(),
            Self::Field { key, .. } => vec![key],
        }
    }
}

/// Matches everything.
impl Default for Filter {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}
