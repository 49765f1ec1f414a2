//! JSON that a [`Value`] holds as it is written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use crate::JsonObject;

/// From here on, up and down, a float may have been written as an integer beyond 64 bits.
const LARGE: f64 = 9_223_372_036_854_775_808.0;

/// A value in which no number may have been written otherwise than it is now. What may is refused, as is all that
/// `serde_json` refuses: an integer beyond 64 bits has become a float, and `-0` is `-0.0`. A float that is as large,
/// or is `-0.0`, looks the same and is refused too.
#[derive(Debug)]
pub(super) struct Exact(pub(super) Value);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor).map(Self)
    }
}

struct ExactVisitor;

impl<'de> Visitor<'de> for ExactVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON whose numbers are kept as they are written")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        let is_exact = number.abs() < LARGE && (number != 0.0 || number.is_sign_positive());
        let number = if is_exact { Number::from_f64(number) } else { None };
        number.map(Value::Number).ok_or_else(|| E::custom("the number may have been written otherwise"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Exact(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = JsonObject::new();
        while let Some((name, Exact(value))) = members.next_entry()? {
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}
