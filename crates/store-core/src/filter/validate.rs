//! What a filter may not say. Errors name the place as a path into the filter's JSON, and the field.

use super::place::Place;
use super::{Condition, Filter, MAX_DEPTH, Scalar};
use crate::{Error, Result};

impl Filter {
    /// Refuses, with `InvalidInput`, a filter that can not be answered: an empty key or part of a key, an order
    /// comparison with a bool, a float that is not finite, an integer outside JSON's 64 bits, and nesting deeper
    /// than [`MAX_DEPTH`]. Stores call it before anything else.
    pub fn validate(&self) -> Result<()> {
        check(self, &Place::Root, 1)
    }
}

fn check(filter: &Filter, place: &Place<'_>, depth: usize) -> Result<()> {
    check_depth(depth)?;
    match filter {
        Filter::All(filters) | Filter::Any(filters) => check_group(filters, place, depth),
        Filter::Not(inner) => match inner.as_ref() {
            // One group in the JSON: `"condition": "not"`.
            Filter::Any(filters) => {
                check_depth(depth + 1)?;
                check_group(filters, place, depth + 1)
            }
            inner => check(inner, &place.member("not"), depth + 1),
        },
        Filter::Field { key, condition } => {
            check_key(key, place)?;
            condition.check(key, &place.member("value"))
        }
    }
}

fn check_group(filters: &[Filter], place: &Place<'_>, depth: usize) -> Result<()> {
    let list = place.member("filters");
    filters.iter().enumerate().try_for_each(|(index, filter)| check(filter, &list.item(index), depth + 1))
}

pub(super) fn check_depth(depth: usize) -> Result<()> {
    if depth <= MAX_DEPTH {
        return Ok(());
    }
    Err(Error::invalid_input(format!(
        "the filter nests more than {MAX_DEPTH} deep; put conditions of one kind into one group"
    )))
}

pub(super) fn check_key(key: &str, place: &Place<'_>) -> Result<()> {
    if !key.split('.').any(str::is_empty) {
        return Ok(());
    }
    let problem = if key.is_empty() { "is empty" } else { "has an empty part" };
    Err(Error::invalid_input(format!(
        "{}: the field name {key:?} {problem}; parts of a path are joined by single dots",
        place.member("key")
    )))
}

impl Condition {
    /// Checks the values; `place` is the condition's value.
    pub(super) fn check(&self, key: &str, place: &Place<'_>) -> Result<()> {
        match self {
            Self::Eq(scalar) | Self::Ne(scalar) | Self::Contains(scalar) => scalar.check(key, place),
            Self::Gt(scalar) | Self::Gte(scalar) | Self::Lt(scalar) | Self::Lte(scalar) => {
                scalar.check_ordered(key, place)
            }
            Self::Between(low, high) => {
                low.check_ordered(key, &place.item(0))?;
                high.check_ordered(key, &place.item(1))
            }
            Self::In(scalars) | Self::NotIn(scalars) | Self::AnyOf(scalars) | Self::AllOf(scalars) => scalars
                .iter()
                .enumerate()
                .try_for_each(|(index, scalar)| scalar.check(key, &place.item(index))),
            Self::TextMatch(_) | Self::TextMatchInsensitive(_) | Self::IsEmpty | Self::Exists(_) => Ok(()),
        }
    }
}

impl Scalar {
    fn check(&self, key: &str, place: &Place<'_>) -> Result<()> {
        let problem = match self {
            Self::Float(float) if !float.is_finite() => format!("{float} is not a finite number"),
            Self::Integer(integer) if !is_json_integer(*integer) => {
                format!("the integer {integer} is outside 64 bits; write it as a float")
            }
            _ => return Ok(()),
        };
        Err(Error::invalid_input(format!("{place}: {problem} (field {key:?})")))
    }

    fn check_ordered(&self, key: &str, place: &Place<'_>) -> Result<()> {
        if matches!(self, Self::Bool(_)) {
            return Err(Error::invalid_input(format!(
                "{place}: bools have no order; compare with a text, number or timestamp, or use `==` (field {key:?})"
            )));
        }
        self.check(key, place)
    }
}

/// Whether an integer fits `i64` or `u64`, as JSON numbers do here.
pub(super) fn is_json_integer(integer: i128) -> bool {
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&integer)
}
