//! Embeddings as text: base64 of their values as little-endian `f32`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use store_core::Embedding;

pub(super) fn encode(embedding: &[f32]) -> String {
    let bytes: Vec<u8> = embedding.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// `None` when the text is none of these.
pub(super) fn decode(text: &str) -> Option<Embedding> {
    let bytes = STANDARD.decode(text).ok()?;
    let (values, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}
