//! From the byte ranges of a splitter to linked nodes.

use std::collections::HashMap;
use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::{
    Document, Error, JsonObject, Node, NodeContent, NodeId, Related, RelatedNode, Relationship, Result,
};

/// Cuts a document's text into linked text nodes, at the byte ranges a splitter found. Ranges may overlap; one that
/// holds only white space gives no node.
///
/// A node has the document's metadata, excluded keys and templates, its place in the text in characters (as Python
/// counts), the document as its source and its neighbours as previous and next, each with type and hash.
///
/// Its id depends on the document's id, the chunk's text, and how often that text came before in the document: the
/// first 128 bits of SHA-256 over the length of the document's id in bytes (eight bytes, little-endian), the id,
/// that count (likewise) and the text, written as a UUID of version 8. So the same document gives the same ids, and
/// a chunk keeps its id when something is inserted before it.
///
/// `InvalidInput` for a range that is not in the text or cuts a character in two.
///
/// ```
/// use store_core::{Document, nodes_from_chunks};
///
/// let document = Document::new("Żółw. Kot.").with_id("animals");
/// let nodes = nodes_from_chunks(&document, [0..8, 9..13])?;
/// assert_eq!(nodes[1].text_content(), "Kot.");
/// assert_eq!(nodes[1].ref_doc_id().unwrap().as_str(), "animals");
/// assert_eq!(nodes[0].relationships.next().unwrap().node_id, nodes[1].id);
/// # Ok::<(), store_core::Error>(())
/// ```
pub fn nodes_from_chunks(
    document: &Document,
    chunks: impl IntoIterator<Item = Range<usize>>,
) -> Result<Vec<Node>> {
    let text = document.text_content();
    let source = link(document);
    let mut counts: HashMap<&str, u64> = HashMap::new();
    let mut characters = Characters { text, byte: 0, character: 0 };
    let mut nodes: Vec<Node> = Vec::new();
    for range in chunks {
        let Some(chunk) = text.get(range.clone()) else {
            return Err(Error::invalid_input(format!(
                "the chunk at bytes {} to {} is not in the text of {} bytes, or cuts a character in two",
                range.start,
                range.end,
                text.len()
            ))
            .with_key(document.id.as_str())
            .with_failed([document.id.as_str()]));
        };
        if chunk.trim().is_empty() {
            continue;
        }
        let count = counts.entry(chunk).or_default();
        let mut node = Node::text(chunk).with_id(chunk_id(&document.id, *count, chunk));
        *count += 1;
        node.metadata.clone_from(&document.metadata);
        node.excluded_embed_metadata_keys.clone_from(&document.excluded_embed_metadata_keys);
        node.excluded_llm_metadata_keys.clone_from(&document.excluded_llm_metadata_keys);
        node.metadata_template.clone_from(&document.metadata_template);
        node.metadata_separator.clone_from(&document.metadata_separator);
        node.text_template.clone_from(&document.text_template);
        node.relationships.set(Relationship::Source, source.clone());
        if let NodeContent::Text(content) = &mut node.content {
            let start = characters.until(range.start);
            let end = start + chunk.chars().count();
            content.start_char_idx = i64::try_from(start).ok();
            content.end_char_idx = i64::try_from(end).ok();
        }
        if let Some(previous) = nodes.last_mut() {
            previous.relationships.set(Relationship::Next, link(&node));
            node.relationships.set(Relationship::Previous, link(previous));
        }
        nodes.push(node);
    }
    Ok(nodes)
}

/// Counts characters from the last place on, since chunks mostly follow each other.
struct Characters<'a> {
    text: &'a str,
    byte: usize,
    character: usize,
}

impl Characters<'_> {
    fn until(&mut self, byte: usize) -> usize {
        if byte < self.byte {
            (self.byte, self.character) = (0, 0);
        }
        self.character += self.text.get(self.byte..byte).unwrap_or_default().chars().count();
        self.byte = byte;
        self.character
    }
}

/// A link to a node, with its type and hash; without its metadata, which the node itself has.
pub(super) fn link(node: &Node) -> Related {
    Related::One(RelatedNode {
        node_id: node.id.clone(),
        node_type: Some(node.content.object_type().to_owned()),
        metadata: JsonObject::new(),
        hash: Some(node.hash()),
    })
}

fn chunk_id(document: &NodeId, count: u64, text: &str) -> NodeId {
    let document = document.as_str();
    let digest = Sha256::new()
        .chain_update((document.len() as u64).to_le_bytes())
        .chain_update(document)
        .chain_update(count.to_le_bytes())
        .chain_update(text)
        .finalize();
    let mut bytes = [0; 16];
    for (byte, from) in bytes.iter_mut().zip(digest) {
        *byte = from;
    }
    NodeId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
}
