//! The JSON of an answer: read, put in order, and checked whole.
//!
//! `{"data": [{"index": 0, "embedding": [0.1, …]}, …], "usage": {"total_tokens": 7}}`, as in
//! <https://platform.openai.com/docs/api-reference/embeddings>. An embedding may also be a text: base64 of its values as
//! little-endian `f32`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use store_core::Embedding;

use crate::embedder::base64::decode;

/// What is wrong with an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Nonsense {
    /// It ends in the middle, as when a connection breaks.
    CutOff,
    /// It is no answer to a request for embeddings: probably a wrong URL.
    Foreign(String),
    /// The embeddings have other dimensions than they ought to.
    OtherDimensions(usize),
    /// It is one, but wrong.
    Wrong(String),
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// One for each text, in their order.
    pub(super) embeddings: Vec<Embedding>,
    /// What the endpoint counted, where it says so.
    pub(super) tokens: u64,
}

#[derive(Deserialize)]
struct Wire {
    data: Option<Vec<Item>>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    embedding: Values,
}

#[derive(Deserialize)]
struct Usage {
    total_tokens: Option<u64>,
}

/// The values as they came; a `null` is kept as not-a-number, to be named later.
struct Values(Result<Embedding, &'static str>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValuesVisitor;

        impl<'de> Visitor<'de> for ValuesVisitor {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of numbers or base64 text")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Values, A::Error> {
                let mut values = Embedding::new();
                while let Some(value) = list.next_element::<Option<f32>>()? {
                    values.push(value.unwrap_or(f32::NAN));
                }
                Ok(Values(Ok(values)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Values, E> {
                Ok(Values(decode(text).ok_or("is text, but no base64 of 32-bit floats")))
            }
        }

        deserializer.deserialize_any(ValuesVisitor)
    }
}

/// Reads the answer to a request of so many texts. `dimensions` is `None` where they are to be learned.
pub(super) fn read(body: &[u8], texts: usize, dimensions: Option<usize>) -> Result<Answer, Nonsense> {
    let wire: Wire = serde_json::from_slice(body).map_err(|error| {
        if error.is_eof() && !body.is_empty() {
            return Nonsense::CutOff;
        }
        let why = match error.classify() {
            serde_json::error::Category::Data => "JSON, but no embeddings",
            _ => "no JSON",
        };
        Nonsense::Foreign(format!("the answer is {why} ({error}); it begins with {}", beginning(body)))
    })?;
    let Some(data) = wire.data else {
        let why =
            wire.error.map_or_else(|| format!("it begins with {}", beginning(body)), |error| said(&error));
        return Err(Nonsense::Foreign(format!("the answer holds no embeddings: {why}")));
    };
    if data.len() != texts {
        return Err(Nonsense::Wrong(format!("{texts} embeddings were expected, {} came", data.len())));
    }
    let mut embeddings: Vec<Option<Embedding>> = vec![None; texts];
    let mut expected = dimensions;
    for (place, item) in data.into_iter().enumerate() {
        let index = item.index.unwrap_or(place);
        let values = item
            .embedding
            .0
            .map_err(|why| Nonsense::Wrong(format!("the embedding of index {index} {why}")))?;
        check(&values, index, dimensions, &mut expected)?;
        match embeddings.get_mut(index) {
            Some(slot @ None) => *slot = Some(values),
            Some(_) => return Err(Nonsense::Wrong(format!("the index {index} came twice"))),
            None => {
                return Err(Nonsense::Wrong(format!(
                    "the index {index} came, in an answer for {texts} texts"
                )));
            }
        }
    }
    // Each index came once, so all are there.
    let embeddings = embeddings.into_iter().flatten().collect();
    Ok(Answer { embeddings, tokens: wire.usage.and_then(|usage| usage.total_tokens).unwrap_or(0) })
}

fn check(
    values: &Embedding,
    index: usize,
    dimensions: Option<usize>,
    expected: &mut Option<usize>,
) -> Result<(), Nonsense> {
    if let Some(place) = values.iter().position(|value| !value.is_finite()) {
        return Err(Nonsense::Wrong(format!(
            "value {} of the embedding of index {index} is no finite number",
            place + 1
        )));
    }
    let length = *expected.get_or_insert(values.len());
    match dimensions {
        _ if values.is_empty() => Err(Nonsense::Wrong(format!("the embedding of index {index} is empty"))),
        Some(_) if values.len() != length => Err(Nonsense::OtherDimensions(values.len())),
        None if values.len() != length => Err(Nonsense::Wrong(format!(
            "embeddings of {length} and of {} values came in one answer",
            values.len()
        ))),
        _ => Ok(()),
    }
}

/// What an endpoint says in its `error`: a text, or an object with a `message`.
pub(super) fn said(error: &serde_json::Value) -> String {
    let text = error.as_str().or_else(|| error.get("message")?.as_str());
    text.map_or_else(|| shorten(&error.to_string()), shorten)
}

/// The first characters of a body.
pub(super) fn beginning(body: &[u8]) -> String {
    let start = String::from_utf8_lossy(body.get(..400).unwrap_or(body)).into_owned();
    if start.trim().is_empty() { "nothing".to_owned() } else { format!("{:?}", shorten(&start)) }
}

/// At most 300 characters on one line, without control characters.
pub(super) fn shorten(text: &str) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = line.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
