//! Names of keyspaces and tables, as CQL has them.

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
    fn names_can_not_break_out() {
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
        assert_eq!(string("it's"), "'it''s'");
        assert_eq!(qualified("K", "t"), "\"K\".\"t\"");
    }
}
