//! Rows as documents.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;
use store_core::filter::lookup;
use store_core::{Document, Error, Result};

use super::CassandraReader;
use crate::cells::Column;
use crate::session::Row;

/// How a row becomes a document.
#[derive(Debug)]
pub(super) struct Record {
    columns: Vec<Column>,
    /// Where the parts of the id stand.
    id: Vec<usize>,
    /// Where fields stand, and the way on from there.
    fields: HashMap<String, (usize, Option<String>)>,
}

impl Record {
    /// `id` are the columns of the id.
    pub(super) fn new(reader: &CassandraReader, columns: Vec<Column>, id: &[impl AsRef<str>]) -> Self {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let place = |part: &str| names.iter().position(|name| *name == part);
        let id = id.iter().filter_map(|part| place(part.as_ref())).collect();
        let field = |field: &str| {
            let (place, rest) = find_column(&names, field)?;
            Some((field.to_owned(), (place, rest.map(str::to_owned))))
        };
        let fields = reader.shape.fields().filter_map(field).collect();
        Self { columns, id, fields }
    }

    /// A row as a document; `None` when it is to be left out.
    pub(super) fn document(&self, reader: &CassandraReader, row: Row<'_>) -> Result<Option<Document>> {
        let cells: Vec<Option<&[u8]>> = row.cells().collect();
        let id = self.id(&cells)?;
        let find = |field: &str| {
            let Some((place, rest)) = self.fields.get(field) else { return Ok(None) };
            let value = self.value(&cells, *place)?;
            let found = match rest {
                None => value,
                Some(rest) => {
                    value.as_object().and_then(|value| lookup(value, rest)).cloned().unwrap_or_default()
                }
            };
            // A null is what is not there.
            Ok((!found.is_null()).then_some(Cow::Owned(found)))
        };
        reader.shape.document(&id, reader.source.name(), find)
    }

    fn value(&self, cells: &[Option<&[u8]>], place: usize) -> Result<Value> {
        let cell = cells.get(place).copied().flatten();
        self.columns.get(place).map_or(Ok(Value::Null), |column| column.json(cell))
    }

    /// The parts of the id, joined by slashes. All but the last have `%2F` for a slash and `%25` for a percent sign, so
    /// that no two keys are one id.
    fn id(&self, cells: &[Option<&[u8]>]) -> Result<String> {
        let mut id = String::new();
        for (place, column) in self.id.iter().enumerate() {
            let part = match self.value(cells, *column)? {
                Value::String(text) => text,
                // Of a partition that has static columns only.
                Value::Null if place > 0 => String::new(),
                Value::Null => {
                    return Err(Error::invalid_input(
                        "a row has nothing in the column of the id; say with_id_field which other one to take",
                    ));
                }
                other => other.to_string(),
            };
            if place > 0 {
                id.push('/');
            }
            if place + 1 < self.id.len() {
                id.push_str(&part.replace('%', "%25").replace('/', "%2F"));
            } else {
                id.push_str(&part);
            }
        }
        Ok(id)
    }
}

/// Where a field stands among columns: the column of that name, or the one that its path begins with, and the rest of
/// the path.
pub(super) fn find_column<'a>(columns: &[&str], field: &'a str) -> Option<(usize, Option<&'a str>)> {
    let find = |name: &str| columns.iter().position(|column| *column == name);
    if let Some(place) = find(field) {
        return Some((place, None));
    }
    let mut dots = field.match_indices('.');
    dots.find_map(|(dot, _)| Some((find(field.get(..dot)?)?, field.get(dot + 1..))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_column_or_a_path_from_one() {
        let columns = ["a", "a.b", "c"];
        let find = |field| find_column(&columns, field);
        assert_eq!(find("c"), Some((2, None)));
        assert_eq!(find("a.b"), Some((1, None)));
        assert_eq!(find("a.x.y"), Some((0, Some("x.y"))));
        assert_eq!(find("a.b.c"), Some((0, Some("b.c"))));
        assert_eq!(find("C"), None);
        assert_eq!(find("d.a"), None);
    }
}
