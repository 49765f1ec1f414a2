//! Anything that serde can serialize to JSON, as BSON bytes, without a JSON tree in between; the bytes are those that
//! [`DocumentWriter`] makes of that tree.

use std::fmt::{self, Display, Write as _};

use serde::Serialize;
use serde::ser::{self, Impossible, SerializeMap, SerializeSeq};
use serde_json::{Number, Value};
use store_core::Error;

use crate::codec::{DocumentWriter, Index};

type Result<T> = std::result::Result<T, Fault>;

/// Our error, in the form that serde wants.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) Error);

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl ser::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Self(Error::invalid_input(format!("the value can not be encoded: {message}")))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// Where a value goes.
pub(crate) enum Place<'a> {
    /// It is an object, and its members belong to the document that is being written.
    Members,
    /// It is a member of this name.
    Named(&'a str),
}

/// Writes one value.
pub(crate) struct Serializer<'a> {
    pub(crate) writer: &'a mut DocumentWriter,
    pub(crate) place: Place<'a>,
}

impl<'a> Serializer<'a> {
    /// The writer and the name for what is no object.
    fn named(self) -> Result<(&'a mut DocumentWriter, &'a str)> {
        match self.place {
            Place::Named(name) => Ok((self.writer, name)),
            Place::Members => Err(ser::Error::custom("a document is an object")),
        }
    }

    fn value(self, value: &Value) -> Result<()> {
        let (writer, name) = self.named()?;
        Ok(writer.value(name, value)?)
    }
}

/// What is of no use in JSON either, or not in ours.
fn unknown<T>() -> Result<T> {
    Err(ser::Error::custom("it is of a kind that is not stored"))
}

impl<'a> serde::Serializer for Serializer<'a> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Impossible<(), Fault>;
    type SerializeTupleStruct = Impossible<(), Fault>;
    type SerializeTupleVariant = Impossible<(), Fault>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Impossible<(), Fault>;
    type SerializeStructVariant = Impossible<(), Fault>;

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.value(&Value::Bool(value))
    }

    fn serialize_i8(self, value: i8) -> Result<()> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<()> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<()> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<()> {
        self.value(&Value::Number(value.into()))
    }

    fn serialize_u8(self, value: u8) -> Result<()> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<()> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<()> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<()> {
        self.value(&Value::Number(value.into()))
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        self.value(&Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        let (writer, name) = self.named()?;
        Ok(writer.text(name, value)?)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<()> {
        unknown()
    }

    fn serialize_none(self) -> Result<()> {
        self.value(&Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.value(&Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        unknown()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<()> {
        unknown()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>> {
        let (writer, name) = self.named()?;
        writer.open_array(name)?;
        Ok(Items { writer, index: Index::new() })
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple> {
        unknown()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct> {
        unknown()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant> {
        unknown()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a>> {
        let opened = match self.place {
            Place::Members => false,
            Place::Named(name) => {
                self.writer.open_object(name)?;
                true
            }
        };
        Ok(Entries { writer: self.writer, opened, name: String::new() })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct> {
        unknown()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant> {
        unknown()
    }
}

/// The items of a list.
pub(crate) struct Items<'a> {
    writer: &'a mut DocumentWriter,
    index: Index,
}

impl SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(Serializer { writer: self.writer, place: Place::Named(self.index.text()) })?;
        self.index.advance();
        Ok(())
    }

    fn end(self) -> Result<()> {
        self.writer.close();
        Ok(())
    }
}

/// The members of an object.
pub(crate) struct Entries<'a> {
    writer: &'a mut DocumentWriter,
    /// Whether the object is one of its own, which ends with its members.
    opened: bool,
    /// The name of the next one.
    name: String,
}

impl SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.name.clear();
        write!(self.name, "{}", Key(key)).map_err(|_| ser::Error::custom("the name of a member is no text"))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(Serializer { writer: self.writer, place: Place::Named(&self.name) })
    }

    fn end(self) -> Result<()> {
        if self.opened {
            self.writer.close();
        }
        Ok(())
    }
}

/// A key's text, which serde writes by itself.
struct Key<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Display for Key<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}
