//! Values of key attributes, and which sort keys are read.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::filter::Expression;

/// A value of a key attribute: a text, a number or bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DynamoDbKey {
    /// Type S.
    Text(String),
    /// Type N, in decimal digits: a key can be a number that no float is.
    Number(String),
    /// Type B.
    Bytes(Vec<u8>),
}

impl From<&str> for DynamoDbKey {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for DynamoDbKey {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for DynamoDbKey {
    fn from(number: i64) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<&[u8]> for DynamoDbKey {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<DynamoDbKey> for AttributeValue {
    fn from(key: DynamoDbKey) -> Self {
        match key {
            DynamoDbKey::Text(text) => Self::S(text),
            DynamoDbKey::Number(number) => Self::N(number),
            DynamoDbKey::Bytes(bytes) => Self::B(Blob::new(bytes)),
        }
    }
}

/// Which sort keys of a partition are read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DynamoDbSortKey {
    /// This one.
    Equals(DynamoDbKey),
    /// Those before it.
    Below(DynamoDbKey),
    /// Those before it, and it.
    UpTo(DynamoDbKey),
    /// Those after it.
    Above(DynamoDbKey),
    /// It, and those after it.
    From(DynamoDbKey),
    /// Those from the first to the second, both included; the first must not be the greater.
    Between(DynamoDbKey, DynamoDbKey),
    /// Texts, or bytes, that begin so.
    BeginsWith(DynamoDbKey),
}

impl DynamoDbSortKey {
    /// The condition on the sort key of this name.
    pub(super) fn condition(&self, name: &str, expression: &mut Expression) -> String {
        let name = expression.name(name);
        let mut compares = |operator: &str, key: &DynamoDbKey| {
            format!("{name} {operator} {}", expression.value(key.clone().into()))
        };
        match self {
            Self::Equals(key) => compares("=", key),
            Self::Below(key) => compares("<", key),
            Self::UpTo(key) => compares("<=", key),
            Self::Above(key) => compares(">", key),
            Self::From(key) => compares(">=", key),
            Self::Between(low, high) => {
                let low = compares("BETWEEN", low);
                format!("{low} AND {}", expression.value(high.clone().into()))
            }
            Self::BeginsWith(key) => format!("begins_with({name}, {})", expression.value(key.clone().into())),
        }
    }
}
