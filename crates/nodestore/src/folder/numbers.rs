//! Embeddings in the file: 64-bit floats as Python writes them, kept as 32-bit floats.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scan::{Extent, Scanner};
use crate::Result;

/// Vectors that are looked at to tell the [`Form`].
const LOOKED_AT: usize = 1000;

/// How the numbers of a file relate to 32-bit floats, so that they are written back as they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// The shortest digits that are the 32-bit float, as services send them: `0.1`.
    #[default]
    Digits,
    /// The 32-bit float itself, as numpy gives it: `0.10000000149011612`.
    Exact,
    /// Numbers between 32-bit floats; they were rounded.
    Rounded,
}

/// Finds the [`Form`] of a file.
#[derive(Debug)]
pub(super) struct FormGuess {
    seen: usize,
    exact: bool,
    digits: bool,
}

impl Default for FormGuess {
    fn default() -> Self {
        Self { seen: 0, exact: true, digits: true }
    }
}

impl FormGuess {
    pub(super) fn see(&mut self, values: &[f64]) {
        self.exact = self.exact && values.iter().all(|value| same(f64::from(rounded(*value)), *value));
        if self.seen < LOOKED_AT {
            self.digits = self.digits && values.iter().all(|value| same(shortest(rounded(*value)), *value));
        }
        self.seen += 1;
    }

    pub(super) fn form(&self) -> Form {
        match (self.digits, self.exact) {
            (true, _) => Form::Digits,
            (false, true) => Form::Exact,
            (false, false) => Form::Rounded,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to 32 bits is what is asked for")]
fn rounded(value: f64) -> f32 {
    value as f32
}

/// Whether two floats are the same to the bit.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}

/// The 64-bit float with the shortest digits of a 32-bit one.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// A number of a stored embedding as it goes into a file.
pub(super) fn written(value: f64, form: Form) -> f64 {
    let narrow = rounded(value);
    // A store may keep more than 32 bits.
    if form == Form::Exact || !same(f64::from(narrow), value) { value } else { shortest(narrow) }
}

/// Whether nothing is left of the vector in 32 bits.
pub(super) fn is_zero(values: &[f64]) -> bool {
    values.iter().all(|value| rounded(*value) == 0.0)
}

/// The numbers of an embedding, each finite also in 32 bits.
pub(super) fn embedding(scanner: &Scanner, extent: Extent, bytes: &[u8], id: &str) -> Result<Vec<f64>> {
    let refuse = |why: String| scanner.broken(extent.place, format!("the vector {id:?} {why}"));
    let values = match serde_json::from_slice::<Vec<f64>>(bytes) {
        Ok(values) => values,
        // What is no plain list of numbers is told item by item.
        Err(_) => match scanner.parse(extent, bytes)? {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(place, item)| match item.as_f64() {
                    Some(value) => Ok(value),
                    None if item.is_null() => Err(refuse(format!("holds no finite number at place {place}"))),
                    None => Err(refuse(format!("holds something else than a number at place {place}"))),
                })
                .collect::<Result<Vec<f64>>>()?,
            _ => return Err(refuse("is no list of numbers".to_owned())),
        },
    };
    if values.is_empty() {
        return Err(refuse("has no values".to_owned()));
    }
    match values.iter().position(|value| !rounded(*value).is_finite()) {
        Some(place) => Err(refuse(format!("holds at place {place} a number beyond 32-bit floats"))),
        None => Ok(values),
    }
}
