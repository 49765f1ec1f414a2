//! Names of keyspaces and tables, as CQL has them.

use store_core::{Error, ErrorKind};

use crate::config::CassandraConfig;

/// The keyspace when none is named.
const KEYSPACE: &str = "nodestore";

/// A table of ours.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name, with the namespace's before it and a `_` between.
    pub(crate) name: &'static str,
    /// What stands behind the name in `CREATE TABLE`: columns, primary key, options; `{buckets}`
    /// is replaced by the configured number.
    pub(crate) definition: &'static str,
    /// What is run after the table was made, with `{table}` for its full name and `{name}` for its bare one: indexes.
    pub(crate) then: &'static [&'static str],
}

impl Table {
    /// Says of an error that a column is missing what to do: the table with this full name is another version's.
    pub(crate) fn lacks_a_column(&self, error: Error, full: &str) -> Error {
        let missing = error.message().split_once("Undefined column name ").map(|(_, name)| name);
        let Some(name) = missing.and_then(|name| name.split_whitespace().next()) else { return error };
        let mut columns = self.definition.split(['(', ')', ',']).map(str::trim);
        let is_it =
            |column: &&str| column.split_once(' ').is_some_and(|(its, _)| its == name.trim_matches('"'));
        let Some(column) = columns.find(is_it) else { return error };
        let message = format!(
            "the table {full} is not as this version makes it ({}); add what it lacks by ALTER TABLE {full} ADD {column}",
            error.message()
        );
        Error::new(ErrorKind::InvalidInput, message).with_source(error)
    }
}

/// The keyspace of a store.
pub(crate) fn keyspace(config: &CassandraConfig) -> &str {
    config.keyspace.as_deref().unwrap_or(KEYSPACE)
}

/// The name of a table in its keyspace.
pub(crate) fn table_name(config: &CassandraConfig, name: &str) -> String {
    match &config.namespace {
        Some(namespace) => format!("{namespace}_{name}"),
        None => name.to_owned(),
    }
}

/// An identifier as it is, whatever stands in it (CQL, "identifiers and keywords").
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as CQL's string.
pub(crate) fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Keyspace and table.
pub(crate) fn qualified(keyspace: &str, table: &str) -> String {
    format!("{}.{}", quoted(keyspace), quoted(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_another_version_is_told_as_such() {
        let table = Table {
            name: "t",
            definition: "(key text PRIMARY KEY, mark blob static) WITH comment = ''",
            then: &[],
        };
        let refused = |says: &str| table.lacks_a_column(Error::invalid_input(says), "\"k\".\"t\"");
        let told = refused("the node refuses the statement: Undefined column name mark in table k.t");
        assert!(told.message().ends_with("ALTER TABLE \"k\".\"t\" ADD mark blob static"), "{told}");
        for other in ["Undefined column name comment in table k.t", "line 1:7 no viable alternative"] {
            assert_eq!(refused(other).message(), other);
        }
    }

    #[test]
    fn names_can_not_break_out() {
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
        assert_eq!(string("it's"), "'it''s'");
        assert_eq!(qualified("K", "t"), "\"K\".\"t\"");
    }
}
