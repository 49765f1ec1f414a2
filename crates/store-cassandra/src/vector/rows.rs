//! Nodes as rows of cassio's table, as LlamaIndex's `CassandraVectorStore` uses it.
//!
//! | column | type | what |
//! |---|---|---|
//! | `partition_id` | text, partition key | the id of the source document; of a node without one `None:` and its id, where Python writes `None` and so has all of them in one partition |
//! | `row_id` | text, clustering key | the node's id |
//! | `body_blob` | text | the text |
//! | `vector` | vector<float, n> | the embedding; null without one |
//! | `attributes_blob` | text | `{"_node_content": …}`: the whole node as JSON, without text and embedding |
//! | `metadata_s` | map<text, text> | the metadata and LlamaIndex's own entries as texts, for filters; lists, objects and entries over 8,000 bytes are left out |
//! | `nodestore_terms`, `nodestore_n_…`, `nodestore_t_…` | `set<text>`, `varint` | in exclusive sets, for filters: see [`terms`](super::terms) |
//! | `nodestore` | text | ours: what these lose of a node, if anything (see also [`fit`](super::fit)), and a mark of the write |
//!
//! Metadata comes back from `attributes_blob`, with its types. What `nodestore` says holds only for the
//! `attributes_blob` that it was written with: Python replaces that one and leaves ours.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use store_core::kit::check;
use store_core::kit::stored_json::stored_json;
use store_core::{Error, FilterableField, JsonObject, Metric, Node, RefDocId, Result, python};

use super::fit::fit;
use super::terms::{Shadows, shadows};
use crate::codec;
use crate::filter::{entry, fits};
use crate::session::{Row as Cells, Value};

/// Our own column.
pub(super) const OWN: &str = "nodestore";
/// Bytes of an id: the index of ids takes 8 KB by default (`sai_string_term_size_fail_threshold`).
const MAX_ID: usize = 8_000;
/// Bytes of a partition key.
pub(super) const MAX_PARTITION: usize = 65_535;

/// What is read of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column that is read or not")]
pub(super) struct Keep {
    /// The node, without text and embedding.
    pub(super) node: bool,
    pub(super) text: bool,
    pub(super) embedding: bool,
    /// The token of the partition.
    pub(super) token: bool,
}

impl Keep {
    pub(super) const ID: Self = Self { node: false, text: false, embedding: false, token: false };
    /// The node as far as selectors and updates look at it.
    pub(super) const METADATA: Self = Self { node: true, ..Self::ID };

    /// Whole nodes.
    pub(super) fn node(embedding: bool) -> Self {
        Self { node: true, text: true, embedding, ..Self::ID }
    }

    /// With the token of the partition.
    pub(super) fn with_token(self) -> Self {
        Self { token: true, ..self }
    }

    /// What stands behind `SELECT`.
    pub(super) fn columns(self, own: bool) -> String {
        let mut columns = "partition_id, row_id, WRITETIME(attributes_blob) AS written".to_owned();
        if self.node {
            columns += ", attributes_blob, metadata_s";
            if own {
                columns = columns + ", " + OWN;
            }
        }
        if self.text {
            columns += ", body_blob";
        }
        if self.embedding {
            columns += ", vector";
        }
        if self.token {
            columns += ", token(partition_id) AS place";
        }
        columns
    }
}

/// A row, as far as it was read.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) partition: String,
    pub(super) id: String,
    /// Of the partition, if it was read.
    pub(super) token: i64,
    /// When it was written, in microseconds since 1970.
    pub(super) written: i64,
    /// With its text and embedding, if these were read.
    pub(super) node: Option<Node>,
    pub(super) text: Option<String>,
    pub(super) embedding: Option<Vec<f32>>,
    /// What the node was read from, for updates.
    pub(super) attributes: Option<String>,
    /// What our column says of the embedding.
    pub(super) embedded: Option<Vec<f32>>,
}

/// The columns of a row that the metadata decides.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) attributes: String,
    pub(super) entries: Vec<(String, String)>,
    pub(super) own: String,
    /// Of sets whose rows are all ours.
    shadows: Option<Shadows>,
}

/// What our column says.
#[derive(Debug, Deserialize, Serialize)]
struct Own {
    /// The hash of the `attributes_blob` that it belongs to.
    of: String,
    /// Another with each write.
    mark: String,
    #[serde(default, skip_serializing_if = "JsonObject::is_empty")]
    extra: JsonObject,
    /// The embedding, where `vector` holds it shortened or lengthened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedding: Option<Vec<f32>>,
}

/// FNV-1a, 64 bits: it must be the same forever and everywhere.
pub(super) fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The partition of a node.
pub(super) fn partition(node: &Node) -> String {
    let source = node.ref_doc_id().map(RefDocId::into_string).filter(|source| !source.is_empty());
    source.unwrap_or_else(|| format!("None:{}", node.id.as_str()))
}

/// Refuses what the table can not hold.
pub(super) fn check(node: &Node) -> Result<()> {
    let id = node.id.as_str();
    if let Some(source) = node.ref_doc_id() {
        check::non_empty("id of the source document", source.as_str())?;
        let size = source.as_str().len();
        check::within("id of the source document", source.as_str(), size, MAX_PARTITION)?;
    }
    check::within("id of the node", id, id.len(), MAX_ID)
}

/// The columns that the metadata decides; `embedded` is the embedding if `vector` does not hold it as it is, `fields` are
/// those of a set whose rows are all ours.
pub(super) fn metadata(
    node: &Node,
    embedded: Option<Vec<f32>>,
    fields: Option<&[FilterableField]>,
) -> Result<Metadata> {
    let mut own = node.to_vector_metadata(false)?;
    let content = own.shift_remove("_node_content").unwrap_or_default();
    let attributes = format!("{{\"_node_content\":{}}}", python::python_json(&content));
    let entries = own
        .into_iter()
        .filter_map(|(key, value)| entry(&value).map(|text| (key, text)))
        .filter(|(key, text)| fits(key, text))
        .collect();
    let extra = node.to_vector_extra()?;
    let own = Own {
        of: hash(&attributes),
        mark: format!("{:016x}", fastrand::u64(..)),
        extra,
        embedding: embedded,
    };
    let own = serde_json::to_string(&own)
        .map_err(|error| Error::invalid_input("the node can not be written as JSON").with_source(error))?;
    let shadows = fields.map(|fields| shadows(&node.metadata, fields)).transpose()?;
    Ok(Metadata { attributes, entries, own, shadows })
}

impl Metadata {
    /// Bytes that the columns take, about.
    pub(super) fn size(&self) -> usize {
        let entries: usize = self.entries.iter().map(|(key, text)| key.len() + text.len()).sum();
        let terms: usize = self.shadows.iter().flat_map(|shadows| &shadows.terms).map(String::len).sum();
        self.attributes.len() + self.own.len() + entries + terms
    }

    /// The values of `attributes_blob` and `metadata_s`.
    pub(super) fn values(&self) -> [Value; 2] {
        let entries = self.entries.iter().map(|(key, text)| (key.as_str(), text.as_str()));
        [codec::text(self.attributes.as_str()), codec::map(entries)]
    }

    /// The values of [`columns`].
    pub(super) fn own_values(&self) -> Vec<Value> {
        let Some(shadows) = &self.shadows else { return Vec::new() };
        let terms = codec::texts(shadows.terms.iter().map(String::as_str));
        let numbers = shadows.numbers.iter().map(|number| number.map_or(Value::Null, codec::varint));
        std::iter::once(terms).chain(numbers).collect()
    }
}

/// Reads a row, as far as it was asked for.
pub(super) fn read(cells: &Cells<'_>, keep: Keep, own: bool) -> Result<Row> {
    let id = cells.needed_text("row_id")?;
    read_row(cells, id, keep, own).map_err(|error: Error| {
        let message = format!("a stored node can not be read: {}", error.message());
        Error::corrupt(message).with_source(error).with_key(id)
    })
}

fn read_row(cells: &Cells<'_>, id: &str, keep: Keep, own: bool) -> Result<Row> {
    let text = if keep.text { cells.text("body_blob")?.map(str::to_owned) } else { None };
    let embedding = if keep.embedding {
        cells.bytes("vector")?.map(|bytes| codec::read_vector("vector", bytes)).transpose()?
    } else {
        None
    };
    let (mut node, mut attributes, mut embedded) = (None, None, None);
    if keep.node {
        let blob = cells.text("attributes_blob")?;
        let mut parts = parts(blob.unwrap_or_default())?;
        if let Some(map) = cells.bytes("metadata_s")? {
            for (key, text) in codec::read_map("metadata_s", map)? {
                parts.entry(key).or_insert_with(|| text.into());
            }
        }
        let own = if own { cells.text(OWN)? } else { None };
        let own = own.map(|own| still(own, blob.unwrap_or_default())).transpose()?.flatten();
        let (extra, whole) = own.map_or_else(Default::default, |own| (own.extra, own.embedding));
        let body = text.clone().or(Some(String::new()));
        let mut read = Node::from_vector_parts(parts, extra, body)?;
        read.id = id.into();
        if let Some(kept) = &embedding {
            let whole = whole.as_ref().filter(|whole| is_kept_as(whole, kept)).unwrap_or(kept);
            read.embedding = Some(whole.iter().copied().map(f64::from).collect());
        }
        node = Some(read);
        attributes = blob.map(str::to_owned);
        embedded = whole;
    }
    Ok(Row {
        partition: cells.needed_text("partition_id")?.to_owned(),
        id: id.to_owned(),
        token: if keep.token { cells.integer("place")?.unwrap_or_default() } else { 0 },
        written: cells.integer("written")?.unwrap_or_default(),
        node,
        text,
        embedding,
        attributes,
        embedded,
    })
}

/// The entries of `attributes_blob`.
fn parts(blob: &str) -> Result<JsonObject> {
    if blob.is_empty() {
        return Ok(JsonObject::new());
    }
    match python::parse_json(blob)? {
        Json::Object(parts) => Ok(parts),
        Json::Null => Ok(JsonObject::new()),
        _ => Err(Error::corrupt("its attributes_blob is no JSON object")),
    }
}

/// What our column says, if it still belongs to the rest.
fn still(own: &str, blob: &str) -> Result<Option<Own>> {
    let own: Own = stored_json(&format!("its column {OWN}"), own.as_bytes())?;
    Ok((own.of == hash(blob)).then_some(own))
}

/// Whether this is what an embedding was made into.
fn is_kept_as(embedding: &[f32], kept: &[f32]) -> bool {
    fit(Metric::Cosine, embedding).is_ok_and(|fitted| *fitted == *kept)
}

/// Of rows with the same id the last written one: a node that changed its source document stands in two partitions for
/// a moment.
pub(super) fn latest(rows: Vec<Row>) -> Vec<Row> {
    let mut places = std::collections::HashMap::with_capacity(rows.len());
    let mut latest: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        match places.get(&row.id).and_then(|place: &usize| latest.get_mut(*place)) {
            Some(other) if (other.written, &other.partition) < (row.written, &row.partition) => *other = row,
            Some(_) => {}
            None => {
                places.insert(row.id.clone(), latest.len());
                latest.push(row);
            }
        }
    }
    latest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_cassio_writes_them() {
        let mut node = Node::text("a text").with_metadata("year", 1999).with_source("doc");
        node.id = "n".into();
        let metadata = metadata(&node, None, None).unwrap();
        assert!(metadata.attributes.starts_with(r#"{"_node_content":"{\"id_\": \"n\","#));
        let own = [
            ("year", "1999.0"),
            ("_node_type", "TextNode"),
            ("document_id", "doc"),
            ("doc_id", "doc"),
            ("ref_doc_id", "doc"),
        ];
        assert_eq!(metadata.entries, own.map(|(key, text)| (key.to_owned(), text.to_owned())));
        assert_eq!(partition(&node), "doc");
    }

    #[test]
    fn our_column_holds_for_what_it_was_written_with() {
        let metadata = metadata(&Node::document("a text"), None, None).unwrap();
        assert!(!still(&metadata.own, &metadata.attributes).unwrap().unwrap().extra.is_empty());
        assert!(still(&metadata.own, "{}").unwrap().is_none());
    }
}
