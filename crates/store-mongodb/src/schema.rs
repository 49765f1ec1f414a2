//! What the store's databases hold, and under which names.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::config::MongoConfig;

/// The member of a document that holds what Python's layout has no place for.
pub(crate) const EXTRA: &str = "_nodestore";
/// In [`EXTRA`]: when the document expires; an index of the server removes it then.
pub(crate) const EXPIRES_AT: &str = "expires_at";
/// In [`EXTRA`]: a value that can not stand beside `_id`.
pub(crate) const VALUE: &str = "value";
/// In [`EXTRA`]: the file of GridFS that holds a value too large for a document.
pub(crate) const FILE: &str = "file";
/// The path of [`FILE`] in a document.
pub(crate) const FILE_PATH: &str = "_nodestore.file";
/// The path of [`EXPIRES_AT`] in a document.
pub(crate) const EXPIRES_AT_PATH: &str = "_nodestore.expires_at";

/// What every collection of our own begins with: one of each name is enough for all roles.
const OWN: &str = "nodestore";
/// The collection of the store itself, in the database of vectors: the configurations of vector sets.
pub(crate) const META: &str = OWN;
/// What the collection of an escaped key-value collection begins with.
const ESCAPED: &str = "nodestore.kv/";
/// The same where the name is too long and stands as its SHA-256.
const HASHED: &str = "nodestore.kv#";
/// A server takes 255 bytes for database, dot and collection; databases have at most 63.
const MAX_NAME_BYTES: usize = 190;

/// The MongoDB collection of a key-value collection: the same name, as in Python, wherever MongoDB can hold it and
/// no other role uses it. Any other name is escaped: its bytes but letters, digits, `-` and `_` as `%XX`, behind
/// `nodestore.kv/`; one too long for that is `nodestore.kv#` and its SHA-256. No two names ever meet.
pub(crate) fn kv_collection(name: &str, config: &MongoConfig) -> String {
    if is_plain(name, config) {
        return name.to_owned();
    }
    let escaped = name.bytes().fold(ESCAPED.to_owned(), |escaped, byte| match byte {
        byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') => {
            escaped + char::from(byte).encode_utf8(&mut [0; 4])
        }
        byte => escaped + &format!("%{byte:02X}"),
    });
    if escaped.len() <= MAX_NAME_BYTES {
        return escaped;
    }
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().fold(HASHED.to_owned(), |hashed, byte| hashed + &format!("{byte:02x}"))
}

/// Whether MongoDB can hold a collection of this name and no other role has one.
fn is_plain(name: &str, config: &MongoConfig) -> bool {
    let vectors = config.vector_collection.as_str();
    let of_vectors = name.strip_prefix(vectors).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    name.len() <= MAX_NAME_BYTES
        && !name.contains(['$', '\0'])
        && !name.split('.').any(str::is_empty)
        && !["system.", "fs.", OWN].iter().any(|taken| name.starts_with(taken))
        && name != config.chat_collection
        && !of_vectors
}

/// What was found or made sure of on the server and need not be asked for again.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashSet<String>>);

impl Known {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// Remembers a name, or forgets it.
    pub(crate) fn set(&self, name: &str, known: bool) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known {
            names.remove(name);
        } else if !names.contains(name) {
            names.insert(name.to_owned());
        }
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> String {
        kv_collection(name, &MongoConfig::new("mongodb://localhost"))
    }

    #[test]
    fn plain_names_stay_and_others_never_meet() {
        for plain in ["docstore/data", "data", "a.b", "ключ", "😀 and spaces", "default_collections", "%41"]
        {
            assert_eq!(name(plain), plain);
        }
        let long = "é".repeat(200);
        let taken = [
            "a$b",
            "$a",
            "a\0b",
            "system.users",
            "fs.files",
            "sessions",
            "default_collection",
            "default_collection/x",
            "nodestore",
            "nodestore.kv/a",
            "nodestore.kv#a",
            ".a",
            "a.",
            "a..b",
            "..",
            "%2Ea",
            &long,
            &long[2..],
        ];
        let mut seen = HashSet::new();
        for taken in taken {
            let escaped = name(taken);
            assert!(escaped.len() <= MAX_NAME_BYTES && !escaped.contains(['$', '\0']), "{taken:?}");
            assert!(seen.insert(escaped), "{taken:?} meets another name");
        }
        assert_eq!(name("$a"), "nodestore.kv/%24a");
    }
}
