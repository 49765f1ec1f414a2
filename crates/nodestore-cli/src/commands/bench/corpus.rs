//! The corpus: made from a seed, one piece at a time, the same on every machine.
//!
//! Numbers come from splitmix64 and from operations that IEEE 754 rounds in one way only, so that a piece depends on
//! the seed and its place alone.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use nodestore::{
    ChatMessage, Filter, JsonObject, Node, NodeId, RefDocId, Related, RelatedNode, Relationship,
    filter::field,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::progress::{Progress, Unit};

/// Values in an embedding.
pub(super) const DIMENSIONS: usize = 384;
/// Nodes of one source document.
pub(super) const NODES_IN_DOCUMENT: usize = 20;
/// Queries of each kind.
pub(super) const QUERIES: usize = 100;
/// Messages that `--write-corpus` writes.
const MESSAGES: usize = 20_100;
/// Bytes of text, at least.
const TEXT_BYTES: usize = 1000;
/// Different words; the first of them are used most.
const WORDS: u64 = 4096;
/// Values of the metadata field `group`.
const GROUPS: usize = 100;

/// What a number is drawn for, so that no two pieces share their numbers.
#[derive(Clone, Copy, Debug)]
enum Use {
    Text = 1,
    Metadata,
    Embedding,
    NodeId,
    DocumentId,
    Query,
    TextQuery,
    Message,
    Value,
}

/// The corpus of one seed and size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Corpus {
    /// Where all numbers come from.
    pub(super) seed: u64,
    /// How many nodes.
    pub(super) nodes: usize,
}

impl Corpus {
    fn random(self, what: Use, place: usize) -> Random {
        let mut random = Random(self.seed);
        let seed = random.next() ^ (what as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mut random = Random(seed.wrapping_add(place as u64));
        Random(random.next())
    }

    /// The id of a node: a UUID, in no order, as LlamaIndex makes them.
    pub(super) fn id(self, place: usize) -> NodeId {
        NodeId::new(self.random(Use::NodeId, place).uuid())
    }

    /// How many source documents there are.
    pub(super) fn documents(self) -> usize {
        self.nodes.div_ceil(NODES_IN_DOCUMENT)
    }

    /// The id of a source document.
    pub(super) fn document(self, place: usize) -> RefDocId {
        RefDocId::new(self.random(Use::DocumentId, place).uuid())
    }

    /// A node without its embedding.
    pub(super) fn node(self, place: usize) -> Node {
        let mut random = self.random(Use::Metadata, place);
        let document = place / NODES_IN_DOCUMENT;
        let mut node = Node::text(text(&mut self.random(Use::Text, place), TEXT_BYTES))
            .with_id(self.id(place))
            .with_metadata("group", group(place))
            .with_metadata("title", title(&mut random))
            .with_metadata("author", title(&mut random))
            .with_metadata("page", place % NODES_IN_DOCUMENT)
            .with_metadata("year", 1990 + random.below(35))
            .with_metadata("quality", random.unit())
            .with_metadata("weight", random.unit())
            .with_metadata("reviewed", random.below(2) == 1)
            .with_source(self.document(document).as_str());
        let first = document * NODES_IN_DOCUMENT;
        let last = (first + NODES_IN_DOCUMENT).min(self.nodes) - 1;
        let mut link = |relationship, neighbour| {
            let related =
                RelatedNode { node_type: Some("1".to_owned()), ..RelatedNode::new(self.id(neighbour)) };
            node.relationships.set(relationship, Related::One(related));
        };
        if place > first {
            link(Relationship::Previous, place - 1);
        }
        if place < last {
            link(Relationship::Next, place + 1);
        }
        node
    }

    /// Nodes without their embeddings.
    pub(super) fn nodes(self, places: Range<usize>) -> Vec<Node> {
        places.map(|place| self.node(place)).collect()
    }

    /// Nodes with their embeddings.
    pub(super) fn embedded_nodes(self, places: Range<usize>) -> Vec<Node> {
        let embedded =
            |place| self.node(place).with_embedding(self.random(Use::Embedding, place).direction());
        places.map(embedded).collect()
    }

    /// The embedding of a query.
    pub(super) fn query(self, place: usize) -> Vec<f32> {
        self.random(Use::Query, place).direction()
    }

    /// A filter that keeps one node of a hundred.
    pub(super) fn filter(place: usize) -> Filter {
        field("group").eq(group(place))
    }

    /// A query by words: two that are often used and one that is rare.
    pub(super) fn text_query(self, place: usize) -> String {
        let mut random = self.random(Use::TextQuery, place);
        [random.below(200), random.below(200), random.below(WORDS)].map(word).join(" ")
    }

    /// A chat message of about 200 bytes; user and assistant take turns.
    pub(super) fn message(self, place: usize) -> ChatMessage {
        let text = text(&mut self.random(Use::Message, place), 200);
        if place.is_multiple_of(2) { ChatMessage::user(text) } else { ChatMessage::assistant(text) }
    }

    /// A key and a value of about 1 KB.
    pub(super) fn entry(self, place: usize) -> (String, JsonObject) {
        let mut random = self.random(Use::Value, place);
        let mut value = JsonObject::new();
        value.insert("text".to_owned(), Value::String(text(&mut random, TEXT_BYTES)));
        (self.key(place), value)
    }

    /// The key of [`Corpus::entry`].
    pub(super) fn key(self, place: usize) -> String {
        self.id(place).into_string()
    }
}

fn group(place: usize) -> String {
    format!("group-{:02}", place % GROUPS)
}

/// A word of two to four syllables; each number has its own.
fn word(number: u64) -> String {
    const SYLLABLES: [&str; 16] =
        ["ba", "ce", "di", "fo", "gu", "ha", "ke", "li", "mo", "nu", "pa", "re", "si", "to", "vu", "za"]; // typos: ignore
    let mut word = String::new();
    let mut rest = number;
    loop {
        word.push_str(
            SYLLABLES.get(usize::try_from(rest % 16).unwrap_or_default()).copied().unwrap_or_default(),
        );
        rest /= 16;
        if rest == 0 {
            break;
        }
    }
    // Below 16 a word would be one syllable, which is hardly a word.
    if number < 16 { word + "n" } else { word }
}

/// Sentences of so many bytes, at least.
fn text(random: &mut Random, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    let mut words = 0;
    while text.len() < bytes {
        if words > 0 {
            text.push_str(if words % 12 == 0 { ". " } else { " " });
        }
        text.push_str(&random.word());
        words += 1;
    }
    text.push('.');
    text
}

fn title(random: &mut Random) -> String {
    [random.word(), random.word(), random.word()].join(" ")
}

/// splitmix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Below `end`, which is small against 2^64, so that all are as likely.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A word; the lower its number, the more often, as in a language.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 4096")]
    fn word(&mut self) -> String {
        let unit = self.unit();
        word((unit * unit * unit * WORDS as f64) as u64)
    }

    fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | ((low >> 48) & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }

    /// A unit vector of no preferred direction: sums of four uniform numbers are near enough to normal ones.
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
    fn direction(&mut self) -> Vec<f32> {
        let values: Vec<f64> =
            (0..DIMENSIONS).map(|_| self.unit() + self.unit() + self.unit() + self.unit() - 2.0).collect();
        let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        values.into_iter().map(|value| (value / norm) as f32).collect()
    }
}

/// Writes the corpus as JSON lines into a folder: `nodes.jsonl`, `queries.jsonl` and `messages.jsonl`.
pub(super) fn write(corpus: Corpus, folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
    let progress = Progress::new(Some(corpus.nodes as u64), Unit::Items("nodes"));
    let nodes = (0..corpus.nodes).flat_map(|place| corpus.embedded_nodes(place..place + 1)).map(|node| {
        progress.add(1);
        Value::Object(node.to_json())
    });
    write_lines(&folder.join("nodes.jsonl"), nodes)?;
    progress.finish();
    let queries = (0..QUERIES).map(|place| {
        json!({
            "embedding": corpus.query(place),
            "group": group(place),
            "text": corpus.text_query(place),
        })
    });
    write_lines(&folder.join("queries.jsonl"), queries)?;
    let messages = (0..MESSAGES).map(|place| Value::Object(corpus.message(place).to_json()));
    write_lines(&folder.join("messages.jsonl"), messages)
}

fn write_lines(path: &Path, lines: impl Iterator<Item = Value>) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()
    };
    write().map_err(|error| unwritable(path, error))
}

fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::new(format!("{} can not be written: {error}", path.display())).with_cause(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: Corpus = Corpus { seed: 1, nodes: 1000 };

    #[test]
    fn a_piece_depends_on_seed_and_place_alone() {
        let nodes = CORPUS.embedded_nodes(0..45);
        assert_eq!(nodes.get(20..40).unwrap(), CORPUS.embedded_nodes(20..40));
        let other = Corpus { seed: 2, ..CORPUS };
        assert_ne!(nodes.first().unwrap().id, other.node(0).id);
        // Written down so that a change, or another machine, shows: figures of two corpora can not be compared.
        assert_eq!(CORPUS.id(7).as_str(), "52e51742-b6b8-42e8-b77e-ba4f4ba7385e");
        assert_eq!(CORPUS.text_query(0), "guke vuce nufodi");
        assert_eq!(CORPUS.query(0).get(..2).unwrap(), [-0.008_691_621, -0.002_743_005]);
    }

    #[test]
    fn nodes_are_as_the_workloads_say() {
        let nodes = CORPUS.embedded_nodes(0..200);
        let node = nodes.get(21).unwrap();
        assert_eq!(node.metadata.len(), 8);
        assert!((TEXT_BYTES..TEXT_BYTES + 20).contains(&node.text_content().len()));
        assert_eq!(node.ref_doc_id().unwrap(), CORPUS.document(1));
        assert_eq!(node.relationships.previous().unwrap().node_id, CORPUS.id(20));
        assert_eq!(node.relationships.next().unwrap().node_id, CORPUS.id(22));
        assert!(nodes.get(20).unwrap().relationships.previous().is_none());
        assert!(nodes.get(19).unwrap().relationships.next().is_none());
        let embedding = node.embedding_f32().unwrap();
        assert_eq!(embedding.len(), DIMENSIONS);
        assert!((embedding.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
        let kept = nodes.iter().filter(|node| node.metadata.get("group") == Some(&json!("group-07")));
        assert_eq!(kept.count(), 2);
        let ids: std::collections::HashSet<_> = nodes.iter().map(|node| &node.id).collect();
        assert_eq!(ids.len(), nodes.len());
    }
}
