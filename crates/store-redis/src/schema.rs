//! The names of keys.

use store_core::{DocCollections, Error, Result};

use crate::config::RedisConfig;

/// What the keys of our own begin with, after the prefix, where Python has no counterpart.
pub(crate) const OWN: &str = "nodestore:";

/// What the keys of Python's vectors begin with.
const VECTORS: &str = "llama_index/vector_";

/// The collection of index structs, as Python names it on Redis.
pub(crate) const INDEX_STRUCTS: &str = "index_store/index";

/// The collections of documents, as Python names them on Redis.
pub(crate) fn doc_collections() -> DocCollections {
    DocCollections { nodes: "docstore/doc".to_owned(), ..DocCollections::default() }
}

/// The key of a key-value collection: a hash, named as in Python.
pub(crate) fn collection(prefix: &str, name: &str) -> String {
    format!("{prefix}{name}")
}

/// What the keys of chats begin with.
pub(crate) fn chat_prefix(config: &RedisConfig) -> String {
    let kind = if config.namespace.is_some() { "chat:" } else { "" };
    format!("{}{kind}", config.key_prefix())
}

/// The key of a chat: a list at the session's own name, as in Python; apart from all other keys in a namespace. What
/// another role has, or would have, is refused.
pub(crate) fn chat(config: &RedisConfig, session: &str) -> Result<String> {
    if config.namespace.is_none() {
        not_ours("session", session)?;
        let docs = doc_collections();
        let hashes = [docs.nodes.as_str(), &docs.metadata, &docs.ref_docs, INDEX_STRUCTS];
        if hashes.contains(&session) || session.starts_with(VECTORS) {
            return Err(Error::invalid_input(format!(
                "the session {session:?} has the name of a key of documents, indexes or vectors; choose another name, \
                 or open the store with store.namespace"
            )));
        }
    }
    Ok(format!("{}{session}", chat_prefix(config)))
}

/// Refuses a name that could be the key of something of our own; `what` says what it names.
pub(crate) fn not_ours(what: &str, name: &str) -> Result<()> {
    if name.starts_with(OWN) {
        return Err(Error::invalid_input(format!(
            "the {what} {name:?} begins with {OWN:?}, as the store's own keys do; choose another name"
        )));
    }
    Ok(())
}

/// A pattern for SCAN that matches what begins with this text, and nothing else.
pub(crate) fn begins_with(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_only_the_text() {
        assert_eq!(begins_with("a*[b]?\\"), "a\\*\\[b\\]\\?\\\\*");
        assert_eq!(begins_with(""), "*");
    }
}
