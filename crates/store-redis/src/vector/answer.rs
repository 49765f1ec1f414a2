//! Answers of the search module: RESP2 has them as lists, RESP3 as maps.

use bytes::Bytes;
use fred::types::Value;
use store_core::{Error, Result};

use crate::driver::{bytes, integer, items, text, unexpected};

/// One row that a query found.
#[derive(Debug)]
pub(super) struct Hit {
    /// Its key; empty where the module does not tell.
    pub(super) key: Bytes,
    /// Its score by words.
    pub(super) score: Option<f64>,
    /// Its fields, a few: by name, each once.
    pub(super) fields: Vec<(Bytes, Value)>,
}

impl Hit {
    /// Takes the value of a field.
    pub(super) fn take(&mut self, field: &str) -> Value {
        member(&mut self.fields, field)
    }

    /// The value of a field.
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value)
    }

    /// The number in a field.
    pub(super) fn number(&self, field: &str) -> Option<f64> {
        self.get(field).and_then(number)
    }
}

/// A number, as text or as itself.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Double(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        other => text(other)?.parse().ok(),
    }
}

/// The text of a name.
pub(super) fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The members of a map, or of a list that stands for one.
pub(super) fn members(value: Value) -> Vec<(Bytes, Value)> {
    match value {
        Value::Map(map) => map.inner().into_iter().map(|(key, value)| (key.into_bytes(), value)).collect(),
        Value::Array(list) => {
            let mut members = Vec::with_capacity(list.len() / 2);
            let mut list = list.into_iter();
            while let (Some(key), Some(value)) = (list.next(), list.next()) {
                members.push((bytes(key).unwrap_or_default(), value));
            }
            members
        }
        _ => Vec::new(),
    }
}

/// The value of one member.
pub(super) fn member(members: &mut Vec<(Bytes, Value)>, name: &str) -> Value {
    let place = members.iter().position(|(key, _)| key == name);
    place.map_or(Value::Null, |place| members.swap_remove(place).1)
}

/// What an FT.SEARCH answers: how many there are, and those that were asked for. `scored`: it was asked for scores.
pub(super) fn searched(answer: Value, scored: bool) -> Result<(usize, Vec<Hit>)> {
    match answer {
        Value::Map(_) => {
            let mut answer = members(answer);
            let total = count(&member(&mut answer, "total_results"))?;
            let hits = items(member(&mut answer, "results")).into_iter().map(|hit| {
                let mut hit = members(hit);
                Hit {
                    key: bytes(member(&mut hit, "id")).unwrap_or_default(),
                    score: number(&member(&mut hit, "score")),
                    fields: members(member(&mut hit, "extra_attributes")),
                }
            });
            Ok((total, hits.collect()))
        }
        Value::Array(list) => {
            let mut list = list.into_iter().peekable();
            let total = count(&list.next().unwrap_or(Value::Null))?;
            let mut hits = Vec::new();
            while let Some(key) = list.next() {
                let score = if scored { list.next().as_ref().and_then(number) } else { None };
                // Without content there is no list behind the key; a row that went meanwhile has null.
                let fields =
                    list.next_if(|next| matches!(next, Value::Array(_) | Value::Map(_) | Value::Null));
                let fields = fields.map(members).unwrap_or_default();
                hits.push(Hit { key: bytes(key).unwrap_or_default(), score, fields });
            }
            Ok((total, hits))
        }
        other => Err(unexpected("FT.SEARCH", &other)),
    }
}

/// What an FT.AGGREGATE or an FT.CURSOR READ answers: rows, and the cursor to go on with, if there are more.
pub(super) fn aggregated(answer: Value) -> Result<(Vec<Hit>, Option<i64>)> {
    let mut answer = items(answer).into_iter();
    let (Some(rows), Some(cursor)) = (answer.next(), answer.next()) else {
        return Err(Error::corrupt("the server answers FT.AGGREGATE without a cursor"));
    };
    let cursor = integer(&cursor).filter(|cursor| *cursor != 0);
    let row = |fields: Value| {
        let mut hit = Hit { key: Bytes::new(), score: None, fields: members(fields) };
        hit.key = bytes(hit.take("__key")).unwrap_or_default();
        hit.score = hit.number("__score");
        hit
    };
    let rows = match rows {
        Value::Map(_) => {
            let results = items(member(&mut members(rows), "results"));
            results.into_iter().map(|result| row(member(&mut members(result), "extra_attributes"))).collect()
        }
        // The first is a count that means nothing here.
        rows => items(rows).into_iter().skip(1).map(row).collect(),
    };
    Ok((rows, cursor))
}

fn count(value: &Value) -> Result<usize> {
    let count = integer(value).and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| unexpected("FT.SEARCH", value))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn list(items: Vec<Value>) -> Value {
        Value::Array(items)
    }

    fn map(items: Vec<(&str, Value)>) -> Value {
        let members: HashMap<&str, Value> = items.into_iter().collect();
        Value::Map(members.try_into().unwrap())
    }

    #[test]
    fn both_protocols_are_read() {
        let old = list(vec![
            2.into(),
            "k1".into(),
            "0.5".into(),
            list(vec!["d".into(), "1e-3".into()]),
            "k2".into(),
        ]);
        let hit = map(vec![
            ("id", "k1".into()),
            ("score", "0.5".into()),
            ("extra_attributes", map(vec![("d", "1e-3".into())])),
        ]);
        let new = map(vec![
            ("total_results", 2.into()),
            ("results", list(vec![hit, map(vec![("id", "k2".into())])])),
        ]);
        for answer in [old, new] {
            let (total, hits) = searched(answer, true).unwrap();
            assert_eq!(total, 2);
            let read: Vec<_> = hits.iter().map(|hit| (&hit.key[..], hit.score, hit.number("d"))).collect();
            assert_eq!(read, [(&b"k1"[..], Some(0.5), Some(0.001)), (b"k2", None, None)]);
        }
    }

    #[test]
    fn cursors_end_at_zero() {
        let row = || list(vec!["__key".into(), "k".into(), "d".into(), "2".into()]);
        let (rows, cursor) = aggregated(list(vec![list(vec![1.into(), row()]), 77.into()])).unwrap();
        assert_eq!((rows.len(), cursor), (1, Some(77)));
        let result = map(vec![("extra_attributes", map(vec![("__key", "k".into()), ("d", "2".into())]))]);
        let rows = map(vec![("results", list(vec![result]))]);
        let (rows, cursor) = aggregated(list(vec![rows, 0.into()])).unwrap();
        assert_eq!((rows.first().and_then(|row| row.number("d")), cursor), (Some(2.0), None));
        assert!(aggregated(Value::Null).is_err());
    }
}
