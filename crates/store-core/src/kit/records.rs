//! Documents out of records: the text from some fields, metadata from others. What the readers of databases share.

use std::borrow::Cow;

use serde_json::Value;

use crate::{Cursor, Document, Error, MissingField, Node, Result, python};

/// A place that an error shows has no more characters.
const SHOWN: usize = 4_000;

/// How a record becomes a document.
///
/// A value that is no text has Python's `str` as its text.
///
/// ```
/// use std::borrow::Cow;
/// use serde_json::json;
/// use store_core::kit::records::RecordShape;
///
/// # fn main() -> store_core::Result<()> {
/// let record = json!({"title": "Cranes", "seen": 3, "year": 2024});
/// let mut shape = RecordShape::default();
/// shape.set_fields(["title", "seen"]);
/// shape.set_separator(", ");
/// shape.add_metadata([("year", "from")]);
/// let document = shape.document("1", "birds", |field| Ok(record.get(field).map(Cow::Borrowed)))?.unwrap();
/// assert_eq!(document.text_content(), "Cranes, 3");
/// assert_eq!(document.metadata["from"], 2024);
/// assert_eq!(document.metadata["collection"], "birds");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RecordShape {
    fields: Vec<String>,
    separator: String,
    /// Fields and the names they get.
    metadata: Option<Vec<(String, String)>>,
    missing: MissingField,
    /// What every document is made from: a new one would ask the system for a random id.
    blank: Node,
}

impl Default for RecordShape {
    /// The field `text`, which must be there, and no metadata.
    fn default() -> Self {
        Self {
            fields: vec!["text".to_owned()],
            separator: String::new(),
            metadata: None,
            missing: MissingField::default(),
            blank: Node::document(""),
        }
    }
}

impl RecordShape {
    /// The fields that the text is made of, in order.
    pub fn set_fields(&mut self, fields: impl IntoIterator<Item = impl Into<String>>) {
        self.fields = fields.into_iter().map(Into::into).collect();
    }

    /// Adds a field to those that the text is made of, unless it is among them.
    pub fn add_field(&mut self, field: &str) {
        if !self.fields.iter().any(|known| known == field) {
            self.fields.push(field.to_owned());
        }
    }

    /// What stands between the texts of the fields.
    pub fn set_separator(&mut self, separator: impl Into<String>) {
        self.separator = separator.into();
    }

    /// Fields that become metadata, and the names that they get there, besides those that were added before.
    pub fn add_metadata(&mut self, fields: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) {
        let fields = fields.into_iter().map(|(field, name)| (field.into(), name.into()));
        self.metadata.get_or_insert_default().extend(fields);
    }

    /// What happens to a record without one of the text's fields.
    pub fn set_missing(&mut self, missing: MissingField) {
        self.missing = missing;
    }

    /// The fields that are looked at, those of the text first.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let metadata = self.metadata.iter().flatten().map(|(field, _)| field);
        self.fields.iter().chain(metadata).map(String::as_str)
    }

    /// Whether each record is a document, or an error.
    #[must_use]
    pub fn takes_every_record(&self) -> bool {
        self.missing != MissingField::SkipDocument
    }

    /// A record as a document; `None` when it is to be left out. `find` gives the value of a field; `collection` is the
    /// name of what is read, for the metadata.
    ///
    /// # Errors
    /// Those of `find`, and `InvalidInput` for a record without a field that must be there; they name the record.
    pub fn document<'a>(
        &self,
        id: &str,
        collection: &str,
        find: impl Fn(&str) -> Result<Option<Cow<'a, Value>>>,
    ) -> Result<Option<Document>> {
        self.document_of(id, collection, &Json(find))
    }

    /// As [`document`](Self::document), of a record that is no JSON.
    ///
    /// # Errors
    /// Those of the record, and `InvalidInput` for one without a field that must be there; they name the record.
    pub fn document_of(&self, id: &str, collection: &str, record: &impl Record) -> Result<Option<Document>> {
        let make = || {
            let Some(text) = self.text(id, record)? else { return Ok(None) };
            let mut document = self.blank.clone();
            if !text.is_empty() {
                document.set_text(text);
            }
            if let Some(metadata) = &self.metadata {
                for (field, name) in metadata {
                    let value = record.value(field)?.unwrap_or_default();
                    document.metadata.insert(name.clone(), value);
                }
                document.metadata.insert("collection".to_owned(), collection.into());
            }
            Document::try_from(document).map(|document| Some(document.with_id(id)))
        };
        make().map_err(|error: Error| error.with_key(id))
    }

    fn text(&self, id: &str, record: &impl Record) -> Result<Option<String>> {
        let (mut text, mut first) = (String::new(), true);
        for field in &self.fields {
            let before = text.len();
            if !first {
                text.push_str(&self.separator);
            }
            if record.push_text(field, &mut text)? {
                first = false;
                continue;
            }
            text.truncate(before);
            match self.missing {
                MissingField::LeaveOut => {}
                MissingField::SkipDocument => return Ok(None),
                MissingField::Fail => {
                    return Err(Error::invalid_input(format!(
                        "the record {id:?} has no field {field:?}; say with_missing how to treat such records"
                    )));
                }
            }
        }
        Ok(Some(text))
    }
}

/// A record that says itself what text and value its fields have.
pub trait Record {
    /// Appends the text of a field; `false` when there is no such field.
    fn push_text(&self, field: &str, text: &mut String) -> Result<bool>;

    /// The value of a field, for the metadata; `None` when there is no such field.
    fn value(&self, field: &str) -> Result<Option<Value>>;
}

/// What finds values of JSON.
struct Json<F>(F);

impl<'a, F: Fn(&str) -> Result<Option<Cow<'a, Value>>>> Record for Json<F> {
    fn push_text(&self, field: &str, text: &mut String) -> Result<bool> {
        let found = self.0(field)?;
        match found.as_deref() {
            Some(Value::String(found)) => text.push_str(found),
            Some(other) => text.push_str(&python::str(other)),
            None => return Ok(false),
        }
        Ok(true)
    }

    fn value(&self, field: &str) -> Result<Option<Value>> {
        Ok(self.0(field)?.map(Cow::into_owned))
    }
}

/// The error that ends a reading in its middle: it says after which place to go on.
#[must_use]
pub fn ended_after(error: Error, place: &Cursor) -> Error {
    let place = match place.as_str() {
        place if place.len() < SHOWN => format!("the place {place:?}"),
        _ => "the place of the last document that read_resumable gave".to_owned(),
    };
    let message = format!("{}; to read the rest, go on after {place}", error.message());
    Error::new(error.kind(), message).with_retryable(error.is_retryable()).with_source(error)
}

/// The settings that every reader of records has, over its `shape`, a [`RecordShape`](records::RecordShape).
#[doc(hidden)]
#[macro_export]
macro_rules! record_options {
    () => {
        /// The fields that the text is made of, in order; default `text`.
        #[must_use]
        pub fn with_fields(mut self, fields: impl IntoIterator<Item = impl Into<String>>) -> Self {
            self.shape.set_fields(fields);
            self
        }

        /// What stands between the texts of the fields; default nothing.
        #[must_use]
        pub fn with_separator(mut self, separator: impl Into<String>) -> Self {
            self.shape.set_separator(separator);
            self
        }

        /// The fields that become metadata, under their own names, null where one is missing; and `collection`, the
        /// name of what is read. Without this call there is no metadata at all.
        #[must_use]
        pub fn with_metadata(mut self, fields: impl IntoIterator<Item = impl Into<String>>) -> Self {
            let fields = fields.into_iter().map(Into::<String>::into);
            self.shape.add_metadata(fields.map(|field| (field.clone(), field)));
            self
        }

        /// As [`with_metadata`](Self::with_metadata), with a name for each field. A filter on metadata reaches no name with a
        /// dot in it, so give the field `author.name` the name `author` where you want to filter by it.
        #[must_use]
        pub fn with_metadata_as(
            mut self,
            fields: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
        ) -> Self {
            self.shape.add_metadata(fields);
            self
        }

        /// What happens to a record without one of the text's fields; default
        /// [`MissingField::Fail`](store_core::MissingField::Fail).
        #[must_use]
        pub fn with_missing(mut self, missing: $crate::MissingField) -> Self {
            self.shape.set_missing(missing);
            self
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(shape: &RecordShape, record: &Value) -> Result<Option<Document>> {
        shape.document("7", "c", |field| Ok(record.get(field).map(Cow::Borrowed)))
    }

    #[test]
    fn a_missing_field_fails_skips_or_is_left_out() {
        let mut shape = RecordShape::default();
        shape.set_fields(["a", "b"]);
        shape.set_separator("-");
        let whole = json!({"a": [1, null], "b": "x"});
        assert_eq!(made(&shape, &whole).unwrap().unwrap().text_content(), "[1, None]-x");
        let part = json!({"b": "x"});
        let error = made(&shape, &part).unwrap_err();
        assert!(error.to_string().contains("\"a\"") && error.to_string().contains('7'), "{error}");
        shape.set_missing(MissingField::SkipDocument);
        assert_eq!(made(&shape, &part).unwrap(), None);
        shape.set_missing(MissingField::LeaveOut);
        assert_eq!(made(&shape, &part).unwrap().unwrap().text_content(), "x");
        assert_eq!(made(&shape, &json!({})).unwrap().unwrap().text_content(), "");
    }

    #[test]
    fn metadata_is_there_when_it_is_asked_for() {
        let mut shape = RecordShape::default();
        shape.set_fields(Vec::<String>::new());
        assert!(made(&shape, &json!({"a": 1})).unwrap().unwrap().metadata.is_empty());
        shape.add_metadata([("a", "x"), ("none", "y")]);
        let document = made(&shape, &json!({"a": 1})).unwrap().unwrap();
        assert_eq!(Value::Object(document.metadata.clone()), json!({"x": 1, "y": null, "collection": "c"}));
        assert_eq!((document.id.as_str(), document.text_content()), ("7", ""));
        assert_eq!(shape.fields().collect::<Vec<_>>(), ["a", "none"]);
    }
}
