//! What the functions are asked, and how they are described to a model.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use store_core::{Error, Result};

use crate::schema::{qualified, quoted};

/// A SELECT to be run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CqlQuery {
    /// One SELECT of CQL 3. A table without a keyspace is one of the store's.
    pub query: String,
    /// The values: an array for markers `?`, an object for `:name`; default none.
    #[serde(default)]
    pub values: Option<Json>,
    /// The most rows that are answered; default that of the tool.
    #[serde(default)]
    pub limit: Option<usize>,
    /// The most bytes of JSON that are answered; default that of the tool.
    #[serde(default)]
    pub max_bytes: Option<usize>,
}

impl CqlQuery {
    /// This statement, without values.
    #[must_use]
    pub fn new(query: impl Into<String>) -> Self {
        Self { query: query.into(), values: None, limit: None, max_bytes: None }
    }

    /// Sets the values, see [`values`](Self::values).
    #[must_use]
    pub fn with_values(mut self, values: Json) -> Self {
        self.values = Some(values);
        self
    }

    /// Sets the most rows.
    #[must_use]
    pub fn with_limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Sets the most bytes of JSON.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = Some(bytes);
        self
    }
}

/// Rows of a table to be read: conditions and order as data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TableSelect {
    /// The table.
    pub table: String,
    /// Its keyspace; default the store's.
    #[serde(default)]
    pub keyspace: Option<String>,
    /// The columns; default all.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Conditions, all of which must hold; `where` in JSON. Default none: the first rows as they come.
    #[serde(default, rename = "where")]
    pub conditions: Vec<SelectCondition>,
    /// Clustering columns by which rows of a partition are ordered; default the table's own order.
    #[serde(default)]
    pub order_by: Vec<SelectOrder>,
    /// The most rows that are answered; default that of the tool.
    #[serde(default)]
    pub limit: Option<usize>,
    /// The most bytes of JSON that are answered; default that of the tool.
    #[serde(default)]
    pub max_bytes: Option<usize>,
}

/// A condition on a column.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SelectCondition {
    /// The column.
    pub column: String,
    /// The key of an entry of the column, which is a map then.
    #[serde(default)]
    pub key: Option<Json>,
    /// How it is compared; default `=`.
    #[serde(default)]
    pub op: SelectOp,
    /// With what; an array for `in`.
    pub value: Json,
}

/// How a column is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum SelectOp {
    /// `=`
    #[default]
    #[serde(rename = "=")]
    Equal,
    /// `<`
    #[serde(rename = "<")]
    Less,
    /// `<=`
    #[serde(rename = "<=")]
    LessOrEqual,
    /// `>`
    #[serde(rename = ">")]
    Greater,
    /// `>=`
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// One of several values.
    #[serde(rename = "in")]
    In,
    /// A collection has the item.
    #[serde(rename = "contains")]
    Contains,
    /// A map has the key.
    #[serde(rename = "contains_key")]
    ContainsKey,
}

impl SelectOp {
    fn cql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "IN",
            Self::Contains => "CONTAINS",
            Self::ContainsKey => "CONTAINS KEY",
        }
    }
}

/// A column by which rows are ordered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SelectOrder {
    /// A clustering column.
    pub column: String,
    /// Greatest first; default smallest first.
    #[serde(default)]
    pub descending: bool,
}

impl TableSelect {
    /// The first rows of a table.
    #[must_use]
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            keyspace: None,
            columns: Vec::new(),
            conditions: Vec::new(),
            order_by: Vec::new(),
            limit: None,
            max_bytes: None,
        }
    }

    /// Sets the keyspace.
    #[must_use]
    pub fn with_keyspace(mut self, keyspace: impl Into<String>) -> Self {
        self.keyspace = Some(keyspace.into());
        self
    }

    /// Sets the columns.
    #[must_use]
    pub fn with_columns(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.columns = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a condition.
    #[must_use]
    pub fn with_condition(mut self, column: impl Into<String>, op: SelectOp, value: impl Into<Json>) -> Self {
        self.conditions.push(SelectCondition { column: column.into(), key: None, op, value: value.into() });
        self
    }

    /// Adds a condition on an entry of a map.
    #[must_use]
    pub fn with_entry(
        mut self,
        column: impl Into<String>,
        key: impl Into<Json>,
        value: impl Into<Json>,
    ) -> Self {
        let (key, value) = (Some(key.into()), value.into());
        self.conditions.push(SelectCondition { column: column.into(), key, op: SelectOp::Equal, value });
        self
    }

    /// Adds a column to the order.
    #[must_use]
    pub fn with_order(mut self, column: impl Into<String>, descending: bool) -> Self {
        self.order_by.push(SelectOrder { column: column.into(), descending });
        self
    }

    /// Sets the most rows.
    #[must_use]
    pub fn with_limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Sets the most bytes of JSON.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// As a statement and its values.
    pub(super) fn to_query(&self, keyspace: &str) -> CqlQuery {
        let joined = |parts: Vec<String>, between: &str| parts.join(between);
        let columns = match self.columns.as_slice() {
            [] => "*".to_owned(),
            columns => joined(columns.iter().map(|column| quoted(column)).collect(), ", "),
        };
        let keyspace = self.keyspace.as_deref().unwrap_or(keyspace);
        let mut query = format!("SELECT {columns} FROM {}", qualified(keyspace, &self.table));
        let mut values = Vec::new();
        let mut conditions = Vec::new();
        for condition in &self.conditions {
            let column = quoted(&condition.column);
            let entry = if condition.key.is_some() { "[?]" } else { "" };
            conditions.push(format!("{column}{entry} {} ?", condition.op.cql()));
            values.extend(condition.key.clone());
            values.push(condition.value.clone());
        }
        if !conditions.is_empty() {
            query = format!("{query} WHERE {}", joined(conditions, " AND "));
        }
        if !self.order_by.is_empty() {
            let order = self
                .order_by
                .iter()
                .map(|by| format!("{} {}", quoted(&by.column), if by.descending { "DESC" } else { "ASC" }));
            query = format!("{query} ORDER BY {}", joined(order.collect(), ", "));
        }
        CqlQuery { query, values: Some(Json::Array(values)), limit: self.limit, max_bytes: self.max_bytes }
    }
}

/// Which part of the schema is wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaRequest {
    #[serde(default)]
    pub(super) keyspace: Option<String>,
    #[serde(default)]
    pub(super) table: Option<String>,
}

/// A function as models are told of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToolFunction {
    /// The name to call it by.
    pub name: &'static str,
    /// What it does.
    pub description: String,
    /// The JSON schema of its arguments.
    pub parameters: Json,
}

/// The names of the functions, as LlamaIndex's Cassandra tool has them; each may be called without `cassandra_db_` too.
pub(super) const QUERY: &str = "cassandra_db_query";
pub(super) const SCHEMA: &str = "cassandra_db_schema";
pub(super) const SELECT: &str = "cassandra_db_select_table_data";

/// Reads the arguments of a function: an object, or the text of one.
pub(super) fn arguments<T: for<'de> Deserialize<'de>>(function: &str, arguments: Json) -> Result<T> {
    let read = match arguments {
        Json::String(text) => serde_json::from_str(&text),
        Json::Null => serde_json::from_value(json!({})),
        other => serde_json::from_value(other),
    };
    read.map_err(|error| {
        Error::invalid_input(format!("these are no arguments of {function}: {error}")).with_source(error)
    })
}

/// The three functions; `scope` says which tables they read.
pub(super) fn functions(
    scope: &str,
    keyspace: &str,
    rows: usize,
    most: usize,
    scans: bool,
) -> Vec<ToolFunction> {
    let limit = json!({
        "type": "integer", "minimum": 1, "maximum": most,
        "description": format!("The most rows to answer; {rows} unless given.")
    });
    let bytes = json!({"type": "integer", "minimum": 1, "description": "The most bytes of JSON to answer."});
    let of_keyspace =
        json!({"type": "string", "description": format!("The keyspace; {keyspace} unless given.")});
    let partition = if scans {
        "Name the partition key where you can: all else reads the whole table."
    } else {
        "Conditions must name the partition key, or an indexed column; nothing may read a whole table to find its rows."
    };
    let object = |properties: Json, required: &[&str]| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let names = |what: &str| json!({"type": "array", "items": {"type": "string"}, "description": what});
    vec![
        ToolFunction {
            name: QUERY,
            description: format!(
                "Runs one SELECT of CQL (Apache Cassandra) and answers its rows. It reads {scope}. {partition} CQL has no \
                 JOIN, no OR and no nested statements. Names with capitals stand in double quotes, texts in single quotes."
            ),
            parameters: object(
                json!({
                    "query": {"type": "string", "description": "One SELECT, with ? in the place of each value."},
                    "values": {
                        "type": "array", "items": {},
                        "description": "The values in the order of their ?. Dates, UUIDs and other types are texts."
                    },
                    "limit": limit.clone(),
                    "max_bytes": bytes.clone(),
                }),
                &["query"],
            ),
        },
        ToolFunction {
            name: SCHEMA,
            description: format!(
                "Describes tables of Apache Cassandra: columns with their types, partition and clustering keys, indexes. \
                 It knows {scope}. Call it before the first query of a table."
            ),
            parameters: object(
                json!({
                    "keyspace": {"type": "string", "description": "Only tables of this keyspace; all unless given."},
                    "table": {"type": "string", "description": "Only the table of this name."},
                }),
                &[],
            ),
        },
        ToolFunction {
            name: SELECT,
            description: format!(
                "Reads rows of one table of Apache Cassandra by conditions on its columns. It reads {scope}. {partition}"
            ),
            parameters: object(
                json!({
                    "keyspace": of_keyspace,
                    "table": {"type": "string", "description": "The table."},
                    "columns": names("The columns to answer; all unless given."),
                    "where": {
                        "type": "array",
                        "description": "Conditions, all of which must hold; the first rows of the table without any.",
                        "items": object(
                            json!({
                                "column": {"type": "string"},
                                "key": {"description": "The key of an entry, if the column is a map."},
                                "op": {
                                    "type": "string",
                                    "enum": ["=", "<", "<=", ">", ">=", "in", "contains", "contains_key"],
                                    "description": "= unless given."
                                },
                                "value": {"description": "An array for in. Dates, UUIDs and other types are texts."},
                            }),
                            &["column", "value"],
                        ),
                    },
                    "order_by": {
                        "type": "array",
                        "description": "Clustering columns to order the rows of a partition by.",
                        "items": object(
                            json!({"column": {"type": "string"}, "descending": {"type": "boolean"}}),
                            &["column"],
                        ),
                    },
                    "limit": limit,
                    "max_bytes": bytes,
                }),
                &["table"],
            ),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_a_statement_with_its_values_apart() {
        let json = json!({
            "table": "e\"; DROP TABLE x; --", "columns": ["a", "B"],
            "where": [
                {"column": "a", "value": "x' OR 1=1"}, {"column": "n", "op": "in", "value": [1, 2]},
                {"column": "m", "key": "k", "op": ">=", "value": 5},
            ],
            "order_by": [{"column": "t", "descending": true}, {"column": "u"}], "limit": 3
        });
        let select: TableSelect = arguments("f", json).unwrap();
        let query = select.to_query("ks");
        assert_eq!(
            query.query,
            "SELECT \"a\", \"B\" FROM \"ks\".\"e\"\"; DROP TABLE x; --\" WHERE \"a\" = ? AND \"n\" IN ? AND \"m\"[?] >= \
             ? ORDER BY \"t\" DESC, \"u\" ASC"
        );
        assert_eq!(query.values, Some(json!(["x' OR 1=1", [1, 2], "k", 5])));
        assert_eq!(query.limit, Some(3));
        let built = TableSelect::new("t").with_keyspace("other").with_condition("a", SelectOp::Contains, 5);
        let built = built.with_entry("m", "k", true).with_order("c", false).to_query("ks");
        assert_eq!(
            built.query,
            "SELECT * FROM \"other\".\"t\" WHERE \"a\" CONTAINS ? AND \"m\"[?] = ? ORDER BY \"c\" ASC"
        );
    }

    #[test]
    fn arguments_come_as_objects_and_as_texts() {
        let query: CqlQuery = arguments("f", json!(r#"{"query": "SELECT", "values": {"a": 1}}"#)).unwrap();
        assert_eq!(query.values, Some(json!({"a": 1})));
        assert!(arguments::<SchemaRequest>("f", Json::Null).is_ok());
        for wrong in
            [json!({}), json!({"query": 5}), json!({"query": "", "limit": -1}), json!([1]), json!("{")]
        {
            assert!(arguments::<CqlQuery>("f", wrong.clone()).is_err(), "{wrong}");
        }
        let error = arguments::<TableSelect>("f", json!({"table": "t", "predicate": "a = 1"})).err().unwrap();
        assert!(error.message().contains("unknown field `predicate`, expected one of"), "{error}");
    }

    /// Every argument that is read is described, and the other way round.
    #[test]
    fn functions_describe_what_they_take() {
        let functions = functions("all tables of ks", "ks", 50, 1_000, false);
        let unknown = [
            arguments::<CqlQuery>("f", json!({"query": "", "nothing": 1})).err().unwrap(),
            arguments::<SchemaRequest>("f", json!({"nothing": 1})).err().unwrap(),
            arguments::<TableSelect>("f", json!({"table": "", "nothing": 1})).err().unwrap(),
        ];
        for (function, error) in functions.iter().zip(unknown) {
            let properties = function.parameters["properties"].as_object().unwrap();
            let (_, known) = error.message().split_once("expected").unwrap();
            for name in properties.keys() {
                assert!(known.contains(&format!("`{name}`")), "{known}: {name}");
            }
            assert_eq!(known.matches('`').count(), properties.len() * 2, "{known}");
            assert!(!function.description.is_empty());
        }
        let names: Vec<&str> = functions.iter().map(|function| function.name).collect();
        assert_eq!(names, [QUERY, SCHEMA, SELECT]);
    }
}
