//! Which tables may be read.

use std::collections::{BTreeMap, BTreeSet};

use store_core::{Error, ErrorKind, Result};

/// Keyspaces of others' own machinery, besides those whose name begins with `system`.
const HIDDEN: [&str; 2] = ["data_endpoint_auth", "datastax_sla"];

/// Keyspaces, and of each its tables; `None` for all.
#[derive(Clone, Debug)]
pub(super) struct Scope(pub(super) BTreeMap<String, Option<BTreeSet<String>>>);

impl Scope {
    pub(super) fn keyspaces(&self) -> impl Iterator<Item = &String> {
        self.0.keys().filter(|keyspace| !is_system(keyspace))
    }

    /// Refuses a keyspace that may not be read.
    pub(super) fn check_keyspace(&self, keyspace: &str) -> Result<()> {
        if !is_system(keyspace) && self.0.contains_key(keyspace) {
            return Ok(());
        }
        let names: Vec<&str> = self.keyspaces().map(String::as_str).collect();
        let why = if is_system(keyspace) { "is the server's own, and may" } else { "may" };
        Err(not_allowed(format!(
            "the keyspace {keyspace} {why} not be read here; these may: {}",
            names.join(", ")
        )))
    }

    /// Refuses a table that may not be read.
    pub(super) fn check(&self, keyspace: &str, table: &str) -> Result<()> {
        self.check_keyspace(keyspace)?;
        match self.0.get(keyspace) {
            Some(Some(tables)) if !tables.contains(table) => {
                let names: Vec<&str> = tables.iter().map(String::as_str).collect();
                let message = format!(
                    "the table {keyspace}.{table} may not be read here; these may: {}",
                    names.join(", ")
                );
                Err(not_allowed(message))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn allows(&self, keyspace: &str, table: &str) -> bool {
        self.check(keyspace, table).is_ok()
    }
}

fn not_allowed(message: String) -> Error {
    Error::new(ErrorKind::Unauthorized, message)
}

fn is_system(keyspace: &str) -> bool {
    let keyspace = keyspace.to_ascii_lowercase();
    keyspace == "system" || keyspace.starts_with("system_") || HIDDEN.contains(&keyspace.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_may_be_read() {
        let some = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        let scope = Scope(BTreeMap::from([
            ("app".to_owned(), None),
            ("other".to_owned(), some(&["a", "b"])),
            ("system_auth".to_owned(), None),
        ]));
        assert!(scope.allows("app", "anything") && scope.allows("other", "a"));
        for (keyspace, table) in
            [("other", "c"), ("App", "x"), ("system_auth", "roles"), ("system", "local"), ("SYSTEM", "local")]
        {
            assert!(!scope.allows(keyspace, table), "{keyspace}.{table}");
        }
        assert!(scope.keyspaces().eq(["app", "other"]));
        let message = scope.check("other", "c").unwrap_err();
        assert_eq!(message.message(), "the table other.c may not be read here; these may: a, b");
        let message = scope.check("system_auth", "roles").unwrap_err();
        assert!(message.message().ends_with("these may: app, other"), "{message}");
    }
}
