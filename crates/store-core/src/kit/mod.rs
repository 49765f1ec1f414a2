//! What backends are built of. Who only uses a store needs nothing of it.
//!
//! docs/adding-a-backend.md says which of these to take when.

pub mod batches;
pub mod bm25;
mod bounds;
pub mod chat_place;
pub mod check;
pub mod doc_query;
pub mod epoch;
pub mod exact_search;
pub mod field_values;
pub mod fusion;
pub mod idempotency;
#[cfg(feature = "tokio")]
pub mod lease;
mod matrix;
pub mod mmr;
pub mod own_types;
pub mod records;
#[cfg(feature = "tokio")]
pub mod rounds;
pub mod settings;
pub mod similarity;
pub mod stored_json;
#[cfg(feature = "tls")]
pub mod tls;
pub mod tokens;
pub mod top_k;
#[cfg(feature = "tokio")]
pub mod turns;
pub mod url_text;
pub mod vector_check;
pub mod vector_search;
pub mod vector_table;
