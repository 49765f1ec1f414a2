//! The table of a backend's front page.

use serde_json::Value;
use store_core::{Capabilities, KvCapabilities, VectorCapabilities};

/// The rows that a backend's front page shows of its capabilities, in order and in Markdown, for a test that holds
/// the page against them: `| documents | yes |`. A limit that the backend does not have has no row.
#[must_use]
pub fn capability_rows(capabilities: &Capabilities) -> Vec<String> {
    let kv = capabilities.kv.as_ref();
    let mut rows = vec![
        ("seen by other programs", Some(yes(capabilities.shared))),
        ("key-values", Some(yes(kv.is_some()))),
        ("time to live", Some(yes(kv.is_some_and(|kv| kv.ttl)))),
        ("longest key", kv.and_then(|kv| kv.max_key_bytes).map(bytes)),
        ("largest value", kv.and_then(largest_value)),
        ("documents", Some(yes(capabilities.docs))),
        ("index structs", Some(yes(capabilities.index))),
        ("chats", Some(yes(capabilities.chat))),
        ("collections read as documents", Some(yes(capabilities.reader))),
        ("vectors", Some(yes(capabilities.vectors.is_some()))),
    ];
    rows.extend(capabilities.vectors.iter().flat_map(vector_rows));
    rows.into_iter().filter_map(|(what, says)| Some(format!("| {what} | {} |", says?))).collect()
}

fn vector_rows(vectors: &VectorCapabilities) -> [(&'static str, Option<String>); 6] {
    [
        ("kinds of query", Some(names(vectors.query_kinds.iter().map(serde_json::to_value)))),
        ("metrics", Some(names(vectors.metrics.iter().map(serde_json::to_value)))),
        ("every filter", Some(yes(!vectors.may_refuse_filters))),
        ("nodes without an embedding", Some(yes(!vectors.needs_embeddings))),
        ("most dimensions", vectors.max_dimensions.map(number)),
        ("field operations", Some(yes(vectors.fields))),
    ]
}

fn yes(offered: bool) -> String {
    if offered { "yes" } else { "no" }.to_owned()
}

/// The names that they have in JSON.
fn names(all: impl Iterator<Item = serde_json::Result<Value>>) -> String {
    let names = all.filter_map(Result::ok);
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect::<Vec<_>>().join(", ")
}

fn largest_value(kv: &KvCapabilities) -> Option<String> {
    let most = bytes(kv.max_value_bytes?);
    Some(kv.larger_values.map_or(most.clone(), |option| format!("{most}; more with `{option}`")))
}

/// In the greatest unit of which there is a whole number.
fn bytes(count: usize) -> String {
    let units = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units.into_iter().find(|(size, _)| count > 0 && count.is_multiple_of(*size));
    whole
        .map_or(format!("{} bytes", number(count)), |(size, unit)| format!("{} {unit}", number(count / size)))
}

/// With a comma for every three digits.
fn number(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_whole_units() {
        assert_eq!(bytes(16 << 20), "16 MiB");
        assert_eq!(bytes(400 << 10), "400 KiB");
        assert_eq!(bytes(1_024), "1 KiB");
        assert_eq!(bytes(65_535), "65,535 bytes");
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(number(999), "999");
    }

    #[test]
    fn a_row_tells_of_each_role_and_of_limits_that_are_there() {
        let mut can = Capabilities::new(true);
        assert_eq!(capability_rows(&can).len(), 8);
        can.kv = Some(KvCapabilities::new().with_max_value_bytes(1 << 20).with_larger_values("store.large"));
        can.vectors = Some(VectorCapabilities::new());
        let rows = capability_rows(&can);
        assert!(rows.contains(&"| largest value | 1 MiB; more with `store.large` |".to_owned()), "{rows:?}");
        assert!(rows.contains(&"| metrics | cosine, dot, euclidean |".to_owned()), "{rows:?}");
        assert_eq!(rows.len(), 14, "{rows:?}");
    }
}
