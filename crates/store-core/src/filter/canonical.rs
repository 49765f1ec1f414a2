//! One form for equal scalars, for backends that find values by a hash of them.

use serde_json::Value;

use super::{Scalar, Timestamp};

/// A mark of the type and a text: the same for scalars that are equal, and for no others.
///
/// ```
/// use store_core::filter::{Scalar, canonical};
/// assert_eq!(canonical(&Scalar::Integer(1)), canonical(&Scalar::Float(1.0)));
/// assert_ne!(canonical(&Scalar::Integer(1)), canonical(&Scalar::Text("1".to_owned())));
/// ```
#[must_use]
pub fn canonical(scalar: &Scalar) -> (&'static str, String) {
    match scalar {
        Scalar::Null => ("0", String::new()),
        Scalar::Bool(value) => ("b", value.to_string()),
        Scalar::Integer(value) => ("i", value.to_string()),
        Scalar::Float(value) => match whole(*value) {
            Some(integer) => ("i", integer.to_string()),
            None => ("f", format!("{:x}", value.to_bits())),
        },
        Scalar::Text(text) => ("s", text.clone()),
        Scalar::Timestamp(at) => ("t", at.as_nanoseconds().to_string()),
    }
}

/// The integer that a float is, if one of JSON's integers can be.
#[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^100 are exact")]
fn whole(value: f64) -> Option<i128> {
    (value.fract() == 0.0 && value.abs() < 1e30).then_some(value as i128)
}

/// The scalars that a value equals: itself, and for a text in ISO 8601 its instant. None of a list or an object.
#[must_use]
pub fn scalars_of(value: &Value) -> Vec<Scalar> {
    match value {
        Value::Null => vec![Scalar::Null],
        Value::Bool(value) => vec![Scalar::Bool(*value)],
        Value::Number(number) => {
            let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            let float = || number.as_f64().map(Scalar::Float);
            integer.map(Scalar::Integer).or_else(float).into_iter().collect()
        }
        Value::String(text) => {
            let instant = Timestamp::from_iso(text).map(Scalar::Timestamp);
            std::iter::once(Scalar::Text(text.clone())).chain(instant).collect()
        }
        Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_scalars_have_one_form_and_others_have_another() {
        let values = [
            json!(null),
            json!(true),
            json!(1),
            json!(1.0),
            json!(0),
            json!(-0.0),
            json!(0.5),
            json!(1e300),
            json!("1"),
            json!(""),
            json!(9_007_199_254_740_992_i64),
            json!(9_007_199_254_740_993_i64),
            json!(u64::MAX),
            json!("2024-05-01"),
            json!("2024-05-01T00:00:00Z"),
        ];
        for left in &values {
            for right in &values {
                for scalar in scalars_of(left) {
                    let same = scalars_of(right).iter().any(|other| canonical(other) == canonical(&scalar));
                    assert_eq!(same, scalar.equals(Some(right)), "{left} {right}");
                }
            }
        }
        assert!(scalars_of(&json!([1])).is_empty());
    }
}
