//! A filter made ready for many evaluations.

use std::collections::HashSet;

use serde_json::Value;

use super::compare::ExactKey;
use super::oracle::contains_lower;
use super::{Condition, Filter, Scalar, lookup};
use crate::JsonObject;

/// Lists shorter than this are compared one by one, which is as fast.
const LEAST_SET: usize = 16;

/// A filter made ready for many evaluations; see [`Filter::matcher`].
#[derive(Debug)]
pub struct Matcher<'a>(Step<'a>);

#[derive(Debug)]
enum Step<'a> {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Field(&'a str, Test<'a>),
}

#[derive(Debug)]
enum Test<'a> {
    Condition(&'a Condition),
    OneOf(Members<'a>),
    NoneOf(Members<'a>),
    /// The part in lower case.
    HoldsLower(String),
}

/// A long list of scalars, to look a value up in.
#[derive(Debug, Default)]
struct Members<'a> {
    texts: HashSet<&'a str>,
    numbers: HashSet<ExactKey>,
    others: Vec<&'a Scalar>,
}

impl Filter {
    /// Makes the filter ready to be evaluated many times: long lists of `in` and `not in` become sets, and
    /// [`Condition::TextMatchInsensitive`] lower-cases its text once. The answers are those of
    /// [`matches`](Filter::matches).
    ///
    /// ```
    /// # use serde_json::json;
    /// use store_core::filter::field;
    /// let filter = field("page").one_of(0..1_000);
    /// let matcher = filter.matcher();
    /// assert!(matcher.matches(json!({"page": 7}).as_object().unwrap()));
    /// ```
    #[must_use]
    pub fn matcher(&self) -> Matcher<'_> {
        Matcher(Step::of(self))
    }
}

impl Matcher<'_> {
    /// Whether the metadata satisfies the filter.
    #[must_use]
    pub fn matches(&self, metadata: &JsonObject) -> bool {
        self.0.matches(metadata)
    }
}

impl<'a> Step<'a> {
    fn of(filter: &'a Filter) -> Self {
        let steps = |filters: &'a [Filter]| filters.iter().map(Self::of).collect();
        match filter {
            Filter::All(filters) => Self::All(steps(filters)),
            Filter::Any(filters) => Self::Any(steps(filters)),
            Filter::Not(filter) => Self::Not(Box::new(Self::of(filter))),
            Filter::Field { key, condition } => Self::Field(key, Test::of(condition)),
        }
    }

    fn matches(&self, metadata: &JsonObject) -> bool {
        match self {
            Self::All(steps) => steps.iter().all(|step| step.matches(metadata)),
            Self::Any(steps) => steps.iter().any(|step| step.matches(metadata)),
            Self::Not(step) => !step.matches(metadata),
            Self::Field(key, test) => test.matches(lookup(metadata, key)),
        }
    }
}

impl<'a> Test<'a> {
    fn of(condition: &'a Condition) -> Self {
        match condition {
            Condition::In(scalars) if scalars.len() >= LEAST_SET => Self::OneOf(Members::of(scalars)),
            Condition::NotIn(scalars) if scalars.len() >= LEAST_SET => Self::NoneOf(Members::of(scalars)),
            Condition::TextMatchInsensitive(part) => Self::HoldsLower(part.to_lowercase()),
            condition => Self::Condition(condition),
        }
    }

    fn matches(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Condition(condition) => condition.matches_value(value),
            Self::OneOf(members) => members.contain(value),
            Self::NoneOf(members) => !members.contain(value),
            Self::HoldsLower(part) => {
                value.and_then(Value::as_str).is_some_and(|text| contains_lower(text, part))
            }
        }
    }
}

impl<'a> Members<'a> {
    fn of(scalars: &'a [Scalar]) -> Self {
        let mut members = Self::default();
        for scalar in scalars {
            match scalar {
                Scalar::Text(text) => {
                    members.texts.insert(text);
                }
                Scalar::Integer(integer) => {
                    members.numbers.insert(ExactKey::of_integer(*integer));
                }
                // Not a number equals nothing.
                Scalar::Float(float) if float.is_nan() => {}
                Scalar::Float(float) => {
                    members.numbers.insert(ExactKey::of_float(*float));
                }
                Scalar::Null | Scalar::Bool(_) | Scalar::Timestamp(_) => members.others.push(scalar),
            }
        }
        members
    }

    fn contain(&self, value: Option<&Value>) -> bool {
        let found = match value {
            Some(Value::String(text)) => self.texts.contains(text.as_str()),
            Some(Value::Number(number)) => self.numbers.contains(&ExactKey::of(number)),
            _ => false,
        };
        found || self.others.iter().any(|scalar| scalar.equals(value))
    }
}
