//! The bodies of the fuzz targets of this crate: see `fuzz/` and `scripts/fuzz`.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "tests, in the shape that a fuzzer wants")]

#[path = "../../../fuzz/common.rs"]
#[allow(dead_code, reason = "each crate needs a part of it")]
mod common;
use common::{check_place, parts, text};
use serde_json::Value as Json;
use store_core::Error;

use crate::cells::{CellType, Column, encode};
use crate::codec::{read_integer, read_map, read_text, read_vector};
use crate::session::Value;
use crate::tool::Select;

/// What is stored in Cassandra: `class of a type NUL cell`.
pub fn cassandra(data: &[u8]) {
    let [class, cell] = parts(data);
    let read = [
        read_text("c", cell).err(),
        read_integer("c", cell).err(),
        read_vector("c", cell).err(),
        read_map("c", cell).err(),
    ];
    read.iter().flatten().for_each(check_place);
    let Some(class) = text(class) else { return };
    let kind = CellType::of_class(class);
    let _ = kind.to_string();
    let column = Column { name: "c".to_owned(), kind };
    match column.json(Some(cell)) {
        // What another program wrote may be no value that CQL could say; what can be said comes back.
        Ok(value) => {
            if let Ok(Value::Some(bytes)) = encode("c", &column.kind, &value) {
                assert_eq!(column.json(Some(&bytes)).unwrap(), value, "{}", column.kind);
            }
        }
        Err(error) => check_place(&error),
    }
    if let Ok(value) = serde_json::from_slice::<Json>(cell)
        && let Ok(Value::Some(bytes)) = encode("c", &column.kind, &value)
    {
        column.json(Some(&bytes)).unwrap();
    }
}

/// Statements for the tool that lets others ask: what the server gets says what was understood, and nothing more.
pub fn cql(data: &[u8]) {
    let Some(statement) = text(data) else { return };
    let select = match Select::parse(statement) {
        Ok(select) => select,
        Err(error) => return assert!(!error.message().is_empty()),
    };
    let sent = select.text("ks", 10);
    let again = Select::parse(&sent).unwrap();
    assert_eq!(again.text("ks", 10), sent);
    let mut quote = None;
    for c in sent.chars() {
        match quote {
            None if c == '"' || c == '\'' => quote = Some(c),
            None => assert!(c != ';' && c != '#', "{sent}"),
            Some(open) if open == c => quote = None,
            Some(_) => {}
        }
    }
    assert_eq!(quote, None, "{sent}");
}

#[cfg(test)]
mod tests {
    use super::common::replay;

    #[test]
    fn corpus() {
        replay("cassandra", super::cassandra);
        replay("cql", super::cql);
    }
}
