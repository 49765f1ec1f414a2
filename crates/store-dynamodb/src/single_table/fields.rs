//! The names of a struct's fields, as serde tells them to whoever reads one.

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor, value};
use serde::forward_to_deserialize_any;

/// The names of the fields of a struct; `None` for what is no plain struct (one with a flattened part, an enum, a map).
pub(super) fn of<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let mut names = None;
    // It ends in an error always: there is nothing to read.
    let _ = T::deserialize(Asked { names: &mut names });
    names
}

struct Asked<'a> {
    names: &'a mut Option<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(value::Error::custom("nothing to read"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.names = Some(fields);
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only its names count")]
    struct Event {
        user_id: String,
        #[serde(rename = "type")]
        kind: String,
    }

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only its names count")]
    struct Flat {
        a: u8,
        #[serde(flatten)]
        rest: HashMap<String, u8>,
    }

    #[test]
    fn names_are_told() {
        assert_eq!(of::<Event>(), Some(["user_id", "type"].as_slice()));
        assert_eq!(of::<Flat>(), None);
        assert_eq!(of::<HashMap<String, String>>(), None);
        assert_eq!(of::<serde_json::Value>(), None);
    }
}
