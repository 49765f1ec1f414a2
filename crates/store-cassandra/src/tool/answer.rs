//! What the functions answer, as JSON and as text.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value as Json;
use store_core::{JsonObject, python};

/// The answer of one of the functions of a [`CassandraTool`](super::CassandraTool).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ToolAnswer {
    /// For programs.
    pub json: Json,
    /// For models and people, see [`ToolRows::to_text`] and [`ToolSchema::to_text`].
    pub text: String,
}

impl ToolAnswer {
    pub(super) fn new<T: Serialize>(answer: &T, text: String) -> store_core::Result<Self> {
        let json = serde_json::to_value(answer).map_err(|error| {
            store_core::Error::corrupt("the answer can not be written as JSON").with_source(error)
        })?;
        Ok(Self { json, text })
    }
}

/// Rows of a table.
///
/// JSON has no type for most of what Cassandra keeps: `blob` is a text `0x…`, `decimal` and `varint` are texts of their
/// digits, `timestamp` is a text in ISO 8601 (UTC); `date`, `time`, `uuid`, `inet` and `duration` are texts as CQL has
/// them. A float that is no number is the text `NaN`, `Infinity` or `-Infinity`. Maps and user-defined types are objects,
/// sets, tuples and vectors are arrays.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToolRows {
    /// What was selected.
    pub columns: Vec<ToolColumn>,
    /// The rows, by the columns' names.
    pub rows: Vec<JsonObject>,
    /// Whether there are more rows than the limit, or than fit into the bytes of an answer.
    pub more: bool,
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ToolColumn {
    /// Its name, or what was selected, such as `count`.
    pub name: String,
    /// Its type in CQL.
    pub r#type: String,
}

impl ToolRows {
    /// A line for each row: `Row(id=1, name='Zażółć', vals=[1, 2])`, as LlamaIndex's Cassandra tool writes them. Values
    /// that JSON has as text are such texts here too. A last line says if there are more rows.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines: Vec<String> = Vec::with_capacity(self.rows.len() + 1);
        for row in &self.rows {
            let fields = row.iter().map(|(name, value)| format!("{name}={}", python::repr(value)));
            lines.push(format!("Row({})", fields.collect::<Vec<_>>().join(", ")));
        }
        if self.more {
            lines.push(
                "(There are more rows: ask for a narrower part of them, or with a greater limit.)".to_owned(),
            );
        }
        lines.join("\n")
    }
}

/// The tables that may be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToolSchema {
    /// In order of their names.
    pub tables: Vec<ToolTable>,
    /// Those that did not fit into the answer, as `keyspace.table`: to be asked for by name.
    pub omitted: Vec<String>,
}

/// A table or a materialized view.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToolTable {
    /// Its keyspace.
    pub keyspace: String,
    /// Its name.
    pub name: String,
    /// Its comment, if it has one.
    pub comment: Option<String>,
    /// Of which table it is a view.
    pub view_of: Option<String>,
    /// All columns, in order of their names.
    pub columns: Vec<ToolColumn>,
    /// The columns that say in which partition a row lies.
    pub partition_key: Vec<String>,
    /// The columns by which rows are ordered in a partition, each with `asc` or `desc`.
    pub clustering: Vec<(String, String)>,
    /// By what else rows are found.
    pub indexes: Vec<ToolIndex>,
}

/// An index of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToolIndex {
    /// Its name.
    pub name: String,
    /// `CUSTOM`, `COMPOSITES` or `KEYS`.
    pub kind: String,
    /// What it was made with: `target` is what is indexed, `class_name` how.
    pub options: JsonObject,
}

impl ToolSchema {
    /// Each table in Markdown, as LlamaIndex's Cassandra tool describes it, with an empty line after it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text: String = self.tables.iter().map(|table| table.to_text() + "\n\n").collect();
        if !self.omitted.is_empty() {
            // Writing to a String can not fail.
            let _ = writeln!(text, "(Left out, ask for them by name: {})", self.omitted.join(", "));
        }
        text
    }
}

impl ToolTable {
    fn to_text(&self) -> String {
        let mut text = format!("Table Name: {}\n- Keyspace: {}\n", self.name, self.keyspace);
        let mut line = |line: String| text.push_str(&(line + "\n"));
        if let Some(comment) = &self.comment {
            line(format!("- Comment: {comment}"));
        }
        if let Some(base) = &self.view_of {
            line(format!("- View of: {base}"));
        }
        line("- Columns".to_owned());
        for column in &self.columns {
            line(format!("  - {} ({})", column.name, column.r#type));
        }
        line(format!("- Partition Keys: ({})", self.partition_key.join(", ")));
        let clustering: Vec<String> =
            self.clustering.iter().map(|(name, order)| format!("{name} {order}")).collect();
        if clustering.is_empty() {
            line("- Clustering Keys: ".to_owned());
        } else {
            line(format!("- Clustering Keys: ({})", clustering.join(", ")));
        }
        if !self.indexes.is_empty() {
            line("- Indexes".to_owned());
        }
        for index in &self.indexes {
            let options = python::repr(&Json::Object(index.options.clone()));
            line(format!("  - {} : kind={}, options={options}", index.name, index.kind));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn column(name: &str, of: &str) -> ToolColumn {
        ToolColumn { name: name.to_owned(), r#type: of.to_owned() }
    }

    #[test]
    fn rows_are_as_python_writes_them() {
        let Json::Object(row) = json!({"id": 1, "name": "Zażółć", "vals": [1, 2], "none": null}) else {
            unreachable!()
        };
        let mut rows =
            ToolRows { columns: vec![column("id", "int")], rows: vec![row.clone(), row], more: false };
        let line = "Row(id=1, name='Zażółć', vals=[1, 2], none=None)";
        assert_eq!(rows.to_text(), format!("{line}\n{line}"));
        rows.rows.clear();
        rows.more = true;
        assert_eq!(rows.to_text().lines().count(), 1);
    }

    #[test]
    fn tables_are_as_python_describes_them() {
        let Json::Object(options) = json!({"target": "name", "class_name": "sai"}) else { unreachable!() };
        let table = ToolTable {
            keyspace: "ks".to_owned(),
            name: "users".to_owned(),
            comment: Some("the users".to_owned()),
            columns: vec![column("id", "uuid"), column("ts", "timestamp")],
            partition_key: vec!["id".to_owned(), "b".to_owned()],
            clustering: vec![("ts".to_owned(), "desc".to_owned())],
            indexes: vec![ToolIndex { name: "by_name".to_owned(), kind: "CUSTOM".to_owned(), options }],
            ..ToolTable::default()
        };
        let schema = ToolSchema { tables: vec![table], omitted: vec!["ks.t".to_owned()] };
        assert_eq!(
            schema.to_text(),
            "Table Name: users\n- Keyspace: ks\n- Comment: the users\n- Columns\n  - id (uuid)\n  - ts (timestamp)\n\
             - Partition Keys: (id, b)\n- Clustering Keys: (ts desc)\n- Indexes\n  - by_name : kind=CUSTOM, \
             options={'target': 'name', 'class_name': 'sai'}\n\n\n(Left out, ask for them by name: ks.t)\n"
        );
    }
}
