//! What a server answers, without a type of the driver's.

use bytes::Bytes;
use fred::types::Value;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use store_core::{Error, Result};

/// An answer of a server, in RESP2 or RESP3.
///
/// [`to`](Self::to) makes a type of yours of it: numbers and truth values also from text and from each other's forms,
/// lists as vectors and tuples, maps (in RESP2 lists of names and values) as structs, null as `None`.
///
/// ```
/// use store_redis::RedisValue;
///
/// let answer = RedisValue::List(vec![RedisValue::Integer(1), RedisValue::Bytes("7.5".into())]);
/// assert_eq!(answer.to::<(bool, f64)>()?, (true, 7.5));
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RedisValue {
    /// Nothing: an absent key, `false` of a script.
    Null,
    /// A truth value (RESP3).
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number (RESP3; RESP2 has text for it).
    Double(f64),
    /// Bytes, or text.
    Bytes(Bytes),
    /// A list, or a set.
    List(Vec<RedisValue>),
    /// Names and values (RESP3; RESP2 has a list for it). Their order is not kept.
    Map(Vec<(RedisValue, RedisValue)>),
}

impl RedisValue {
    /// The answer as a type of yours.
    ///
    /// # Errors
    /// `InvalidInput` when it is not of such a type.
    pub fn to<T: DeserializeOwned>(self) -> Result<T> {
        T::deserialize(self).map_err(|mismatch| {
            Error::invalid_input(format!("the answer is not of the type asked for: {mismatch}"))
                .with_source(mismatch)
        })
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// The bytes, if it has some.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&Bytes> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The bytes as text, if it has some and they are UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The whole number, also where it came as text.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Bool(truth) => Some(i64::from(*truth)),
            other => other.as_str()?.parse().ok(),
        }
    }

    /// The number, also where it came as text.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Double(number) => Some(*number),
            Self::Integer(number) => Some(*number as f64),
            other => other.as_str()?.parse().ok(),
        }
    }
}

impl From<Value> for RedisValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(truth) => Self::Bool(truth),
            Value::Integer(number) => Self::Integer(number),
            Value::Double(number) => Self::Double(number),
            Value::String(text) => Self::Bytes(text.into_inner()),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Queued => Self::Bytes(Bytes::from_static(b"QUEUED")),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Map(map) => Self::Map(
                map.inner()
                    .into_iter()
                    .map(|(name, value)| (Self::Bytes(name.into_bytes()), Self::from(value)))
                    .collect(),
            ),
        }
    }
}

type Mismatch = serde::de::value::Error;

impl IntoDeserializer<'_, Mismatch> for RedisValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl RedisValue {
    fn whole(&self) -> Result<i64, Mismatch> {
        self.as_i64().ok_or_else(|| Mismatch::custom(format!("{} is no whole number", self.kind())))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Integer(_) | Self::Double(_) => "a number",
            Self::Bytes(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl<'de> Deserializer<'de> for RedisValue {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(truth) => visitor.visit_bool(truth),
            Self::Integer(number) => visitor.visit_i64(number),
            Self::Double(number) => visitor.visit_f64(number),
            Self::Bytes(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => visitor.visit_str(text),
                Err(_) => visitor.visit_bytes(&bytes),
            },
            Self::List(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter())),
            Self::Map(pairs) => visitor.visit_map(MapDeserializer::new(pairs.into_iter())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        // A script's `false` is null.
        let truth = if self.is_null() { false } else { self.whole()? != 0 };
        visitor.visit_bool(truth)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_i64(self.whole()?)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_i64(self.whole()?)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_i64(self.whole()?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_i64(self.whole()?)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_i64(self.whole()?)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_i64(self.whole()?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_i64(self.whole()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_i64(self.whole()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let number = self.as_f64();
        visitor.visit_f64(number.ok_or_else(|| Mismatch::custom(format!("{} is no number", self.kind())))?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self {
            Self::Integer(number) => visitor.visit_string(number.to_string()),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self {
            Self::Bytes(bytes) => visitor.visit_bytes(&bytes),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self {
            Self::List(items) if items.len() % 2 == 0 => {
                let mut items = items.into_iter();
                let pairs = std::iter::from_fn(|| Some((items.next()?, items.next()?)));
                visitor.visit_map(MapDeserializer::new(pairs))
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i128 u128 char str bytes unit unit_struct seq tuple tuple_struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    fn text(text: &'static str) -> RedisValue {
        RedisValue::Bytes(Bytes::from_static(text.as_bytes()))
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Group {
        name: String,
        pending: u64,
        lag: Option<i64>,
    }

    #[test]
    fn both_protocols_give_the_same() {
        let expected = Group { name: "g".to_owned(), pending: 3, lag: None };
        let pairs = vec![
            (text("name"), text("g")),
            (text("pending"), RedisValue::Integer(3)),
            (text("lag"), RedisValue::Null),
        ];
        let flat = pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect();
        assert_eq!(RedisValue::List(flat).to::<Group>().unwrap(), expected);
        assert_eq!(RedisValue::Map(pairs).to::<Group>().unwrap(), expected);
        let flat = RedisValue::List(vec![text("a"), text("1"), text("b"), RedisValue::Double(2.5)]);
        let map: BTreeMap<String, f64> = flat.to().unwrap();
        assert_eq!(map, BTreeMap::from([("a".to_owned(), 1.0), ("b".to_owned(), 2.5)]));
    }

    #[test]
    fn forms_of_numbers_and_null() {
        assert_eq!(text("-7").to::<i32>().unwrap(), -7);
        assert!(text("-7").to::<u32>().is_err());
        assert!(text("x").to::<i64>().is_err());
        assert!(RedisValue::Integer(300).to::<u8>().is_err());
        assert!(!RedisValue::Null.to::<bool>().unwrap());
        assert_eq!(RedisValue::Null.to::<Option<String>>().unwrap(), None);
        assert!(RedisValue::Null.to::<String>().is_err());
        assert_eq!(RedisValue::Integer(7).to::<String>().unwrap(), "7");
        assert_eq!(RedisValue::List(Vec::new()).to::<Vec<String>>().unwrap(), Vec::<String>::new());
    }
}
