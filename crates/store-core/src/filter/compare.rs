//! How a filter's scalar compares with a JSON value: exactly, and only with its own type.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::{Scalar, Timestamp};

/// A JSON number without loss.
#[derive(Clone, Copy)]
enum Exact {
    Integer(i128),
    Float(f64),
}

impl Exact {
    fn of(number: &Number) -> Self {
        if let Some(integer) = number.as_i64() {
            Self::Integer(integer.into())
        } else if let Some(integer) = number.as_u64() {
            Self::Integer(integer.into())
        } else {
            Self::Float(number.as_f64().unwrap_or(f64::NAN))
        }
    }

    /// `None` when a float is not a number.
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Integer(a), Self::Float(b)) => integer_with_float(a, b),
            (Self::Float(a), Self::Integer(b)) => integer_with_float(b, a).map(Ordering::reverse),
        }
    }
}

/// Neither side is rounded: the float's whole part is compared as an integer, then its fraction decides.
fn integer_with_float(integer: i128, float: f64) -> Option<Ordering> {
    const LIMIT: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0; // 2^127
    if float.is_nan() {
        return None;
    }
    if float >= LIMIT {
        return Some(Ordering::Less);
    }
    if float < -LIMIT {
        return Some(Ordering::Greater);
    }
    Some(integer.cmp(&whole_part(float)).then_with(|| float.trunc().total_cmp(&float)))
}

/// A number to look up: equal for equal numbers, of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ExactKey {
    /// Any number that is whole and in the range.
    Whole(i128),
    /// The bits of any other float.
    Bits(u64),
}

impl ExactKey {
    pub(super) fn of(number: &Number) -> Self {
        match Exact::of(number) {
            Exact::Integer(integer) => Self::of_integer(integer),
            Exact::Float(float) => Self::of_float(float),
        }
    }

    pub(super) fn of_integer(integer: i128) -> Self {
        Self::Whole(integer)
    }

    pub(super) fn of_float(float: f64) -> Self {
        let whole = whole_part(float);
        if integer_with_float(whole, float) == Some(Ordering::Equal) {
            Self::Whole(whole)
        } else {
            Self::Bits(float.to_bits())
        }
    }
}

/// The whole part, or the nearest end of the range.
#[expect(clippy::cast_possible_truncation, reason = "a cast saturates, which is what is said")]
fn whole_part(float: f64) -> i128 {
    float as i128
}

/// The order of two JSON numbers by exact value: `1` equals `1.0`, and 2⁵³ + 1 is greater than 2⁵³ as a float.
///
/// ```
/// use store_core::filter::compare_numbers;
/// let order = compare_numbers(&9_007_199_254_740_993_i64.into(), &9_007_199_254_740_992_i64.into());
/// assert!(order.is_gt());
/// ```
#[must_use]
pub fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    Exact::of(a).compare(Exact::of(b)).unwrap_or(Ordering::Equal)
}

impl Scalar {
    /// Whether a field's value (`None` = missing) equals this, by the laws of [`Filter`](super::Filter).
    #[must_use]
    pub fn equals(&self, value: Option<&Value>) -> bool {
        match (self, value.unwrap_or(&Value::Null)) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(scalar), Value::Bool(value)) => scalar == value,
            (_, value) => self.order_of(value) == Some(Ordering::Equal),
        }
    }

    /// Where a field's value stands to this: `Greater` when the value is the greater one. `None` when they have
    /// no order: different types, null, bools, lists and objects.
    #[must_use]
    pub fn order_of(&self, value: &Value) -> Option<Ordering> {
        match (self, value) {
            (Self::Integer(scalar), Value::Number(value)) => {
                Exact::of(value).compare(Exact::Integer(*scalar))
            }
            (Self::Float(scalar), Value::Number(value)) => Exact::of(value).compare(Exact::Float(*scalar)),
            // UTF-8 orders bytes as it orders code points.
            (Self::Text(scalar), Value::String(value)) => Some(value.as_str().cmp(scalar)),
            (Self::Timestamp(scalar), Value::String(value)) => {
                Timestamp::from_iso(value).map(|value| value.cmp(scalar))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO_53: i128 = 1 << 53;

    #[test]
    fn integers_and_floats_compare_without_rounding() {
        for (integer, float, order) in [
            (1, 1.0, Ordering::Equal),
            (0, -0.0, Ordering::Equal),
            (1, 1.5, Ordering::Less),
            (-1, -1.5, Ordering::Greater),
            (0, -0.5, Ordering::Greater),
            (0, 5e-324, Ordering::Less),
            (TWO_53, 9_007_199_254_740_992.0, Ordering::Equal),
            (TWO_53 + 1, 9_007_199_254_740_992.0, Ordering::Greater),
            (i128::from(i64::MAX), 9_223_372_036_854_775_808.0, Ordering::Less),
            (i128::from(u64::MAX), 18_446_744_073_709_551_616.0, Ordering::Less),
            (i128::MAX, 1e300, Ordering::Less),
            (i128::MAX, 170_141_183_460_469_231_731_687_303_715_884_105_728.0, Ordering::Less),
            (i128::MIN, -170_141_183_460_469_231_731_687_303_715_884_105_728.0, Ordering::Equal),
            (i128::MIN, -1e300, Ordering::Greater),
            (0, f64::INFINITY, Ordering::Less),
            (0, f64::NEG_INFINITY, Ordering::Greater),
        ] {
            assert_eq!(integer_with_float(integer, float), Some(order), "{integer} with {float}");
        }
        assert_eq!(integer_with_float(0, f64::NAN), None);
    }

    proptest! {
        #[test]
        fn a_float_near_an_integer_is_ordered_by_its_fraction(integer in -(1_i128 << 50)..(1 << 50), eighths in -7..8) {
            let float = integer as f64 + f64::from(eighths) / 8.0;
            prop_assert_eq!(integer_with_float(integer, float), Some(0.cmp(&eighths)));
        }

        #[test]
        fn texts_compare_by_code_point(a in "\\PC{0,6}", b in "\\PC{0,6}") {
            prop_assert_eq!(
                Scalar::Text(a.clone()).order_of(&Value::from(b.clone())),
                Some(b.chars().cmp(a.chars()))
            );
        }
    }
}
