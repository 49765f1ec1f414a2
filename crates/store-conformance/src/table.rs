//! The table of a backend's front page.

use store_core::Capabilities;

/// The rows that a backend's front page shows of its capabilities, in order and in Markdown, for a test that holds
/// the page against them: `| documents | yes |`. A limit that the backend does not have has no row.
#[must_use]
pub fn capability_rows(capabilities: &Capabilities) -> Vec<String> {
    let yes = |offered: bool| Some(if offered { "yes" } else { "no" }.to_owned());
    let kv = capabilities.kv.as_ref();
    let bytes = |limit: Option<usize>| limit.map(|limit| format!("{limit} bytes"));
    let vectors = capabilities.vectors.as_ref();
    let kinds = vectors.map(|vectors| {
        let kinds = vectors.query_kinds.iter().filter_map(|kind| serde_json::to_value(kind).ok());
        kinds.filter_map(|kind| kind.as_str().map(str::to_owned)).collect::<Vec<_>>().join(", ")
    });
    [
        ("seen by other processes", yes(capabilities.shared)),
        ("key-values", yes(kv.is_some())),
        ("time to live", yes(kv.is_some_and(|kv| kv.ttl))),
        ("longest key", bytes(kv.and_then(|kv| kv.max_key_bytes))),
        ("largest value", bytes(kv.and_then(|kv| kv.max_value_bytes))),
        ("documents", yes(capabilities.docs)),
        ("index structs", yes(capabilities.index)),
        ("chats", yes(capabilities.chat)),
        ("vectors", yes(vectors.is_some())),
        ("kinds of query", kinds),
        ("field operations", yes(vectors.is_some_and(|vectors| vectors.fields))),
    ]
    .into_iter()
    .filter_map(|(what, says)| Some(format!("| {what} | {} |", says?)))
    .collect()
}
