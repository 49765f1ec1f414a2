//! Terms: what filters look for.
//!
//! The search module knows no field that was not declared, has no types in tags, and folds and parts them. So each
//! node carries a field of its own, a tag with one *term* for everything that a filter may ask for by equality: that
//! the metadata at a path is of some kind, that it equals a value, that it is a list with this element. A term is a
//! hash of path, kind and value: 100 bits of SHA-1 in base 32, so that it holds no character that means something
//! to the module, and that no text of a user ever stands in a query.
//!
//! Numbers and instants of declared fields stand in numeric fields besides, to be compared by order. What is written
//! there is said by the kind, so that a node written before the field was declared is known as such.
//!
//! A node without the field (Python wrote it, or it has too many values) is found by `ismissing`, and held against
//! the filter here.

use serde_json::Value;
use sha1::{Digest as _, Sha1};
use store_core::filter::{canonical, scalars_of};
use store_core::{FieldType, JsonObject, Scalar, Timestamp, VectorConfig};

/// The field that holds the terms.
pub(crate) const FIELD: &str = "_nodestore_terms";
/// What parts them.
pub(crate) const SEPARATOR: char = ',';
/// Most terms of a node.
const MAX_TERMS: usize = 2_000;
/// A number whose size is outside of this is not written beside: the module refuses some of them.
const SIZES: std::ops::Range<f64> = 1e-300..1e300;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    /// A number.
    Number,
    /// A number that also stands in the numeric field of its path.
    DeclaredNumber,
    Text,
    /// A text that, if it is an instant, also stands in the numeric fields of its path.
    DeclaredText,
    List,
    EmptyList,
    Object,
}

impl Kind {
    /// The kinds of everything that is there and not null.
    pub(crate) const ALL: [Self; 8] = [
        Self::Bool,
        Self::Number,
        Self::DeclaredNumber,
        Self::Text,
        Self::DeclaredText,
        Self::List,
        Self::EmptyList,
        Self::Object,
    ];

    fn mark(self) -> &'static str {
        match self {
            Self::Bool => "b",
            Self::Number => "n",
            Self::DeclaredNumber => "N",
            Self::Text => "s",
            Self::DeclaredText => "S",
            Self::List => "l",
            Self::EmptyList => "e",
            Self::Object => "o",
        }
    }
}

/// The term of a path that holds this kind of value.
pub(crate) fn of_kind(path: &str, kind: Kind) -> String {
    term(&["k", path, kind.mark()])
}

/// The term of a path that holds this value.
pub(crate) fn of_value(path: &str, value: &Scalar) -> String {
    let (mark, value) = canonical(value);
    term(&["=", path, mark, &value])
}

/// The term of a path that holds a list with this element.
pub(crate) fn of_element(path: &str, value: &Scalar) -> String {
    let (mark, value) = canonical(value);
    term(&["[", path, mark, &value])
}

/// The term of a node of this source document.
pub(crate) fn of_source(id: &str) -> String {
    term(&["r", id])
}

/// The numeric field of a declared path.
pub(crate) fn number_field(path: &str) -> String {
    format!("_nodestore_n_{}", term(&["n", path]))
}

/// The numeric fields of a declared path of instants: the second, and the nanoseconds in it.
pub(crate) fn instant_fields(path: &str) -> (String, String) {
    let hash = term(&["t", path]);
    (format!("_nodestore_s_{hash}"), format!("_nodestore_f_{hash}"))
}

/// An instant in two numbers that a float holds exactly: the second, and the nanoseconds in it.
pub(crate) fn seconds_and_nanoseconds(at: Timestamp) -> (i128, i128) {
    const SECOND: i128 = 1_000_000_000;
    let nanoseconds = at.as_nanoseconds();
    (nanoseconds.div_euclid(SECOND), nanoseconds.rem_euclid(SECOND))
}

/// A hash of the parts, each with its length before it, so that no two lists of parts look the same.
fn term(parts: &[&str]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut hash = Sha1::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let hash = hash.finalize();
    let mut term = String::with_capacity(20);
    // Five bytes make eight characters; the first character is a letter, or a query would take it for a number.
    let (groups, _) = hash.as_slice().as_chunks::<5>();
    for group in groups.iter().take(3) {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for at in (0..8).rev() {
            let five = usize::try_from(bits >> (at * 5) & 31).unwrap_or_default();
            let five = if term.is_empty() { five % 26 } else { five };
            term.extend(ALPHABET.get(five).map(|byte| char::from(*byte)));
        }
    }
    term.truncate(20);
    term
}

/// What stands beside a node's metadata.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Shadows {
    /// The value of [`FIELD`].
    pub(crate) terms: String,
    /// Numeric fields and their values.
    pub(crate) numbers: Vec<(String, String)>,
}

/// The shadows of a node; `None` when it has too many values.
pub(crate) fn shadows(metadata: &JsonObject, source: Option<&str>, config: &VectorConfig) -> Option<Shadows> {
    let mut writer = Writer { config, terms: Vec::with_capacity(32), numbers: Vec::new() };
    writer.object("", metadata);
    // At least one, or a node without metadata and source would look as if Python had written it.
    writer.terms.push(term(&["v", "1"]));
    writer.terms.extend(source.map(of_source));
    writer.terms.sort_unstable();
    writer.terms.dedup();
    (writer.terms.len() <= MAX_TERMS).then(|| {
        let separator = SEPARATOR.to_string();
        Shadows { terms: writer.terms.join(&separator), numbers: writer.numbers }
    })
}

/// Whether a path is declared to hold numbers.
pub(super) fn holds_numbers(config: &VectorConfig, path: &str) -> bool {
    let is_number = |field_type| matches!(field_type, FieldType::Integer | FieldType::Float);
    config.filterable.iter().flatten().any(|field| field.key == path && is_number(field.field_type))
}

/// Whether the search module takes a number; for another one it would refuse the whole node.
pub(super) fn is_taken(value: &Value) -> bool {
    let size = value.as_f64().map_or(f64::NAN, f64::abs);
    size == 0.0 || SIZES.contains(&size)
}

struct Writer<'a> {
    config: &'a VectorConfig,
    terms: Vec<String>,
    numbers: Vec<(String, String)>,
}

impl Writer<'_> {
    fn object(&mut self, path: &str, object: &JsonObject) {
        for (name, value) in object {
            // No key reaches a name that is empty or holds a dot.
            if name.is_empty() || name.contains('.') || self.terms.len() > MAX_TERMS {
                continue;
            }
            if path.is_empty() {
                self.value(name, value);
            } else {
                self.value(&format!("{path}.{name}"), value);
            }
        }
    }

    fn value(&mut self, path: &str, value: &Value) {
        let kind = match value {
            Value::Null => return,
            Value::Bool(_) => Kind::Bool,
            Value::Number(_) => self.number(path, value),
            Value::String(text) => self.text(path, text),
            Value::Array(items) if items.is_empty() => Kind::EmptyList,
            Value::Array(_) => Kind::List,
            Value::Object(_) => Kind::Object,
        };
        self.terms.push(of_kind(path, kind));
        match value {
            Value::Object(object) => self.object(path, object),
            Value::Array(items) => {
                for item in items {
                    if self.terms.len() > MAX_TERMS {
                        break;
                    }
                    self.terms.extend(scalars_of(item).into_iter().map(|value| of_element(path, &value)));
                }
            }
            scalar => self.terms.extend(scalars_of(scalar).into_iter().map(|value| of_value(path, &value))),
        }
    }

    fn number(&mut self, path: &str, value: &Value) -> Kind {
        if !holds_numbers(self.config, path) || !is_taken(value) {
            return Kind::Number;
        }
        self.numbers.push((number_field(path), value.to_string()));
        Kind::DeclaredNumber
    }

    fn text(&mut self, path: &str, text: &str) -> Kind {
        let mut declared = self.config.filterable.iter().flatten();
        if !declared.any(|field| field.key == path && field.field_type == FieldType::Timestamp) {
            return Kind::Text;
        }
        if let Some(at) = Timestamp::from_iso(text) {
            let (seconds, nanoseconds) = seconds_and_nanoseconds(at);
            let (first, second) = instant_fields(path);
            self.numbers.push((first, seconds.to_string()));
            self.numbers.push((second, nanoseconds.to_string()));
        }
        Kind::DeclaredText
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store_core::{FilterableField, Metric};

    use super::*;

    fn shadows_of(metadata: &Value, config: &VectorConfig) -> Shadows {
        shadows(metadata.as_object().unwrap(), None, config).unwrap()
    }

    #[test]
    fn equal_values_have_one_term() {
        let of = |value| of_value("a", &value);
        assert_eq!(of(Scalar::Integer(1)), of(Scalar::Float(1.0)));
        assert_eq!(of(Scalar::Float(0.0)), of(Scalar::Float(-0.0)));
        assert_ne!(of(Scalar::Integer(1)), of(Scalar::Text("1".to_owned())));
        assert_ne!(of(Scalar::Integer(9_007_199_254_740_993)), of(Scalar::Float(9_007_199_254_740_992.0)));
        assert_ne!(of_value("a", &Scalar::Null), of_element("a", &Scalar::Null));
        assert_ne!(term(&["ab", "c"]), term(&["a", "bc"]));
    }

    #[test]
    fn terms_are_plain_words() {
        for n in 0..2_000 {
            let term = of_value("it's {a}|b", &Scalar::Integer(n));
            assert_eq!(term.len(), 20);
            assert!(term.starts_with(|c: char| c.is_ascii_lowercase()), "{term}");
            assert!(term.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{term}");
        }
    }

    #[test]
    fn declared_numbers_stand_beside() {
        let plain = VectorConfig::new(2, Metric::Cosine);
        let field = |key: &str, field_type| FilterableField { key: key.to_owned(), field_type };
        let declared = plain
            .clone()
            .with_filterable([field("in.year", FieldType::Integer), field("when", FieldType::Timestamp)]);
        let metadata = json!({"in": {"year": 2024}, "when": "1970-01-01T00:00:01.5Z"});
        assert_eq!(shadows_of(&metadata, &plain).numbers, []);
        let numbers = shadows_of(&metadata, &declared).numbers;
        let values: Vec<&str> = numbers.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["2024", "1", "500000000"]);
        // The module would refuse the whole node.
        assert_eq!(shadows_of(&json!({"in": {"year": 5e-324}}), &declared).numbers, []);
    }

    #[test]
    fn too_many_values_have_no_shadows() {
        let config = VectorConfig::new(2, Metric::Cosine);
        let list: Vec<usize> = (0..3_000).collect();
        let metadata = json!({"list": list});
        assert_eq!(shadows(metadata.as_object().unwrap(), None, &config), None);
    }
}
