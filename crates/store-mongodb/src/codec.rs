//! JSON to BSON bytes and back, in one pass each: no tree of BSON values is built in between.
//!
//! Integers become int32 where they fit and int64 else, as Python writes them; one above the greatest int64
//! becomes a Decimal128, which compares and reads back exactly. Floats stay doubles, member order stays.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use serde::Serialize;
use serde_json::{Map, Number, Value};
use store_core::{Error, ErrorKind, JsonObject, Result};

use crate::plain_text::{plain_text, uuid_text};
use crate::serializer::{self, Serializer};

/// The server's own limit is 100 levels; a value stands a few levels deep in its document.
pub(crate) const MAX_DEPTH: usize = 90;
/// No server holds more levels, however it is set. What says it has more must not exhaust the stack.
const MAX_STORED_DEPTH: usize = 256;
/// The server refuses larger documents (`maxBsonObjectSize`).
pub(crate) const MAX_DOCUMENT_BYTES: usize = 16 << 20;

const DOUBLE: u8 = 0x01;
const STRING: u8 = 0x02;
const DOCUMENT: u8 = 0x03;
const ARRAY: u8 = 0x04;
const BINARY: u8 = 0x05;
const BOOL: u8 = 0x08;
const DATE: u8 = 0x09;
const NULL: u8 = 0x0A;
const INT32: u8 = 0x10;
const INT64: u8 = 0x12;
const DECIMAL128: u8 = 0x13;
/// The biased exponent 0 of a Decimal128, in its high half; the low half is the integer.
const DECIMAL128_INTEGER: u64 = 6176 << 49;

/// Writes one document, member by member.
#[derive(Debug)]
pub(crate) struct DocumentWriter {
    bytes: Vec<u8>,
    /// Where the lengths of the documents stand that are not yet closed.
    open: Vec<usize>,
}

impl DocumentWriter {
    pub(crate) fn new() -> Self {
        Self::with_capacity(0)
    }

    /// For a document of about so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut writer = Self { bytes: Vec::with_capacity(bytes), open: Vec::new() };
        writer.begin();
        writer
    }

    /// Appends a member. `InvalidInput` for a name with a NUL in it, `LimitExceeded` beyond [`MAX_DEPTH`] levels.
    pub(crate) fn value(&mut self, name: &str, value: &Value) -> Result<()> {
        match value {
            Value::Null => self.head(NULL, name),
            Value::Bool(value) => self.flag(name, *value),
            Value::Number(number) => self.number(name, number),
            Value::String(text) => self.text(name, text),
            Value::Array(items) => {
                self.open(ARRAY, name)?;
                let mut index = Index::new();
                for item in items {
                    self.value(index.text(), item)?;
                    index.advance();
                }
                self.close();
                Ok(())
            }
            Value::Object(object) => self.object(name, object),
        }
    }

    /// Appends every member of an object.
    pub(crate) fn members(&mut self, object: &JsonObject) -> Result<()> {
        object.iter().try_for_each(|(name, value)| self.value(name, value))
    }

    /// Appends every member of what serializes as an object.
    pub(crate) fn members_of(&mut self, object: &impl Serialize) -> Result<()> {
        let serializer = Serializer { writer: self, place: serializer::Place::Members };
        object.serialize(serializer).map_err(|fault| fault.0)
    }

    /// Appends an object.
    pub(crate) fn object(&mut self, name: &str, object: &JsonObject) -> Result<()> {
        self.open(DOCUMENT, name)?;
        self.members(object)?;
        self.close();
        Ok(())
    }

    /// Appends a text.
    pub(crate) fn text(&mut self, name: &str, text: &str) -> Result<()> {
        self.head(STRING, name)?;
        let length = text.len() + 1;
        self.bytes.extend_from_slice(&length32(length)?.to_le_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        Ok(())
    }

    /// Appends an integer.
    pub(crate) fn integer(&mut self, name: &str, value: i64) -> Result<()> {
        if let Ok(small) = i32::try_from(value) {
            self.head(INT32, name)?;
            self.bytes.extend_from_slice(&small.to_le_bytes());
        } else {
            self.head(INT64, name)?;
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
        Ok(())
    }

    /// Appends bytes, as binary of the generic kind.
    pub(crate) fn binary(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.head(BINARY, name)?;
        self.bytes.extend_from_slice(&length32(bytes.len())?.to_le_bytes());
        self.bytes.push(0);
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a truth value.
    pub(crate) fn flag(&mut self, name: &str, value: bool) -> Result<()> {
        self.head(BOOL, name)?;
        self.bytes.push(u8::from(value));
        Ok(())
    }

    /// Appends a document that is encoded already.
    pub(crate) fn document(&mut self, name: &str, document: &RawDocument) -> Result<()> {
        self.head(DOCUMENT, name)?;
        self.bytes.extend_from_slice(document.as_bytes());
        Ok(())
    }

    /// Appends a date.
    pub(crate) fn date(&mut self, name: &str, date: bson::DateTime) -> Result<()> {
        self.head(DATE, name)?;
        self.bytes.extend_from_slice(&date.timestamp_millis().to_le_bytes());
        Ok(())
    }

    /// Appends an array of doubles.
    pub(crate) fn vector(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.open(ARRAY, name)?;
        // Type, index of three digits, NUL and eight bytes for each.
        self.bytes.reserve(values.len() * 13);
        let mut index = Index::new();
        for value in values {
            // Digits need none of the checks of a name.
            self.bytes.push(DOUBLE);
            self.bytes.extend_from_slice(&index.digits);
            self.bytes.push(0);
            self.bytes.extend_from_slice(&f64::from(*value).to_le_bytes());
            index.advance();
        }
        self.close();
        Ok(())
    }

    /// Begins an object, which [`close`](Self::close) ends.
    pub(crate) fn open_object(&mut self, name: &str) -> Result<()> {
        self.open(DOCUMENT, name)
    }

    /// Begins an array, which [`close`](Self::close) ends; its members are named "0", "1", ….
    pub(crate) fn open_array(&mut self, name: &str) -> Result<()> {
        self.open(ARRAY, name)
    }

    /// Ends what was begun last.
    pub(crate) fn close(&mut self) {
        self.bytes.push(0);
        let Some(start) = self.open.pop() else { return };
        // What is too long for 32 bits is refused as too large before it is sent.
        let length = i32::try_from(self.bytes.len() - start).unwrap_or(i32::MAX);
        if let Some(place) = self.bytes.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// The document.
    pub(crate) fn finish(mut self) -> Result<RawDocumentBuf> {
        self.close();
        RawDocumentBuf::from_bytes(self.bytes).map_err(|error| {
            Error::new(ErrorKind::Other, "the document could not be encoded").with_source(error)
        })
    }

    fn number(&mut self, name: &str, number: &Number) -> Result<()> {
        if let Some(integer) = number.as_i64() {
            return self.integer(name, integer);
        }
        if let Some(integer) = number.as_u64() {
            self.head(DECIMAL128, name)?;
            self.bytes.extend_from_slice(&integer.to_le_bytes());
            self.bytes.extend_from_slice(&DECIMAL128_INTEGER.to_le_bytes());
            return Ok(());
        }
        self.double(name, number.as_f64().unwrap_or(f64::NAN))
    }

    fn double(&mut self, name: &str, value: f64) -> Result<()> {
        self.head(DOUBLE, name)?;
        self.bytes.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn open(&mut self, kind: u8, name: &str) -> Result<()> {
        if self.open.len() > MAX_DEPTH {
            let message =
                format!("the value is nested more than {MAX_DEPTH} levels deep, which MongoDB can not hold");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        self.head(kind, name)?;
        self.begin();
        Ok(())
    }

    fn begin(&mut self) {
        self.open.push(self.bytes.len());
        self.bytes.extend_from_slice(&[0; 4]);
    }

    fn head(&mut self, kind: u8, name: &str) -> Result<()> {
        if name.as_bytes().contains(&0) {
            let message =
                format!("the member name {name:?} has a NUL character in it, which MongoDB can not hold");
            return Err(Error::invalid_input(message));
        }
        self.bytes.push(kind);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        Ok(())
    }
}

fn length32(length: usize) -> Result<i32> {
    i32::try_from(length).map_err(|_| {
        let message =
            format!("a text of {length} bytes is more than a document can hold ({MAX_DOCUMENT_BYTES} bytes)");
        Error::new(ErrorKind::LimitExceeded, message)
    })
}

/// The names of an array's members: "0", "1", …, counted up in place.
pub(crate) struct Index {
    digits: Vec<u8>,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { digits: vec![b'0'] }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.digits).unwrap_or_default()
    }

    pub(crate) fn advance(&mut self) {
        for digit in self.digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        self.digits.insert(0, b'1');
    }
}

/// The members of a stored document as JSON. What JSON has no type for becomes text or a number: an `ObjectId` its
/// 24 hex digits, a date RFC 3339 in UTC, bytes base64, a Decimal128 an integer where it is one and a float else.
pub(crate) fn to_json(document: &RawDocument) -> Result<JsonObject> {
    object_within(document, MAX_STORED_DEPTH)
}

/// A stored value as JSON, as [`to_json`] does it.
pub(crate) fn to_value(value: RawBsonRef<'_>) -> Result<Value> {
    value_within(value, MAX_STORED_DEPTH)
}

/// Refuses a stored value with more levels than any server holds.
pub(crate) fn check_depth(value: RawBsonRef<'_>) -> Result<()> {
    fn check(value: RawBsonRef<'_>, levels: usize) -> Result<()> {
        match value {
            RawBsonRef::Array(items) => {
                let below = one_less(levels)?;
                items.into_iter().try_for_each(|item| check(item.map_err(damaged)?, below))
            }
            RawBsonRef::Document(document) => {
                let below = one_less(levels)?;
                document.into_iter().try_for_each(|member| check(member.map_err(damaged)?.1, below))
            }
            _ => Ok(()),
        }
    }
    check(value, MAX_STORED_DEPTH)
}

fn one_less(levels: usize) -> Result<usize> {
    levels.checked_sub(1).ok_or_else(|| {
        Error::corrupt(format!("a stored value is nested more than {MAX_STORED_DEPTH} levels deep"))
    })
}

fn object_within(document: &RawDocument, levels: usize) -> Result<JsonObject> {
    let below = one_less(levels)?;
    // Stepping over the members costs less than a map that grows.
    let mut object = Map::with_capacity(document.iter().count());
    for member in document {
        let (name, value) = member.map_err(damaged)?;
        object.insert(name.to_string(), value_within(value, below)?);
    }
    Ok(object)
}

fn value_within(value: RawBsonRef<'_>, levels: usize) -> Result<Value> {
    Ok(match value {
        RawBsonRef::Double(value) => Number::from_f64(value).map_or(Value::Null, Value::Number),
        RawBsonRef::String(text) | RawBsonRef::JavaScriptCode(text) | RawBsonRef::Symbol(text) => text.into(),
        RawBsonRef::Array(items) => {
            let below = one_less(levels)?;
            items
                .into_iter()
                .map(|item| value_within(item.map_err(damaged)?, below))
                .collect::<Result<_>>()?
        }
        RawBsonRef::Document(document) => Value::Object(object_within(document, levels)?),
        RawBsonRef::Boolean(value) => value.into(),
        RawBsonRef::Null | RawBsonRef::Undefined => Value::Null,
        RawBsonRef::Int32(value) => value.into(),
        RawBsonRef::Int64(value) => value.into(),
        RawBsonRef::ObjectId(id) => id.to_hex().into(),
        RawBsonRef::DateTime(date) => {
            date.try_to_rfc3339_string().unwrap_or_else(|_| date.to_string()).into()
        }
        RawBsonRef::Binary(binary) => {
            uuid_text(binary).unwrap_or_else(|| STANDARD.encode(binary.bytes)).into()
        }
        RawBsonRef::Decimal128(decimal) => {
            let text = decimal.to_string();
            let float = || text.parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number);
            text.parse::<u64>()
                .map(Value::from)
                .or_else(|_| text.parse::<i64>().map(Value::from))
                .unwrap_or_else(|_| float())
        }
        other => plain_text(other).into(),
    })
}

/// The error of a document that is no valid BSON.
pub(crate) fn damaged(error: bson::error::Error) -> Error {
    Error::corrupt(format!("a stored document is no valid BSON: {error}")).with_source(error)
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
