//! The names of tables, attributes and partitions.

use store_core::{Error, Result};

use crate::config::DynamoDbConfig;

/// The partition key's attribute in tables that we make.
pub(crate) const PARTITION_KEY: &str = "pk";
/// The sort key's attribute in tables that we make.
pub(crate) const SORT_KEY: &str = "sk";
/// What the partitions of our own begin with, where Python has no counterpart.
pub(crate) const OWN: &str = "nodestore:";
/// The attribute of ours beside a value's: what DynamoDB does not keep of it.
pub(crate) const BESIDE: &str = "_nodestore";
/// The attribute with the second at which an item expires, the table's TTL attribute.
pub(crate) const EXPIRES: &str = "_nodestore_expires";

/// The attribute that says where the chunks of a large value are: their id, how many they are, and their bytes.
pub(crate) const LARGE: &str = "_nodestore_large";
/// The attribute with the bytes of a chunk.
pub(crate) const DATA: &str = "_nodestore_data";

/// The collection of index structs, as Python names it.
pub(crate) const INDEX_STRUCTS: &str = "index_store/data";

/// The attributes of chats in LlamaIndex's layout: session (the table's partition key, of whatever name; ours have
/// Python's), messages, and the second at which the chat expires.
pub(crate) const CHAT_SESSION: &str = "SessionId";
pub(crate) const CHAT_HISTORY: &str = "History";
pub(crate) const CHAT_EXPIRES: &str = "TTL";

/// The table of all roles but vectors: the caller's own, or the namespace's.
pub(crate) fn main_table(config: &DynamoDbConfig) -> Option<String> {
    match (&config.table, &config.namespace) {
        (table, Some(namespace)) => Some(format!("{}.{namespace}", table.as_deref().unwrap_or("nodestore"))),
        (table, None) => table.clone(),
    }
}

/// The table of chats in LlamaIndex's layout, beside the main one if no other is named.
pub(crate) fn chat_table(config: &DynamoDbConfig, main: &str) -> String {
    config.chat_table.clone().unwrap_or_else(|| format!("{main}-chats"))
}

/// The table of a vector set, beside the main one.
pub(crate) fn vector_table(main: &str, set: Option<&str>) -> String {
    match set {
        Some(set) => format!("{main}-vectors-{set}"),
        None => format!("{main}-vectors"),
    }
}

/// Whether a table is of the store whose main table is `main`.
pub(crate) fn is_of(main: &str, table: &str) -> bool {
    let Some(rest) = table.strip_prefix(main) else { return false };
    if rest.is_empty() || rest == "-chats" {
        return true;
    }
    let Some(set) = rest.strip_prefix("-vectors") else { return false };
    set.is_empty()
        || set
            .strip_prefix('-')
            .is_some_and(|set| store_core::kit::check::plain_name("vector set", set).is_ok())
}

/// Refuses a name that could be the partition of something of our own; `what` says what it names.
pub(crate) fn not_ours(what: &str, name: &str) -> Result<()> {
    if name.starts_with(OWN) {
        return Err(Error::invalid_input(format!(
            "the {what} {name:?} begins with {OWN:?}, as the store's own partitions do; choose another name"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_of_one_store() {
        let tables = ["app.a", "app.a-chats", "app.a-vectors", "app.a-vectors-b"];
        assert!(tables.iter().all(|table| is_of("app.a", table)));
        let others = ["app.ab", "app.a.b", "app.a-vectors-", "app.a-vectors-B", "app.a-vectors-b.c", "app"];
        assert!(!others.iter().any(|table| is_of("app.a", table)));
    }

    #[test]
    fn a_vector_set_has_a_table() {
        assert!(is_of("app.a", &vector_table("app.a", Some("small"))));
        assert!(is_of("app.a", &vector_table("app.a", None)));
    }
}
