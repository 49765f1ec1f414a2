//! The word index: BM25 by tantivy, in a folder beside the file, kept in step with it across crashes.
//!
//! The store logs which rows each write touched, in the same transaction. The index takes the log in when a
//! text is searched (or the log has grown long), and notes the version it stands at in the very commit that
//! brings it there. So it is never ahead of the store, and after a crash it goes on from its last commit. Only
//! an index that is lost, or of another life of the store, is built anew from all nodes.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;
use std::path::Path;

use serde::Deserialize;
use store_core::kit::tokens::tokens;
use store_core::kit::top_k::TopK;
use store_core::kit::vector_search::ScoredRow;
use store_core::{Error, ErrorKind, Node, Result};
use tantivy::directory::{Directory, MmapDirectory, RamDirectory};
use tantivy::indexer::IndexWriterOptions;
use tantivy::query::{BooleanQuery, EnableScoring, Occur, Query, TermQuery};
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term};
use uuid::Uuid;

use super::filter::row_number;
use super::rows::{Version, log_start};
use crate::codec::{Span, take_u64};
use crate::engine::{ReadTx, Table};
use crate::error::{NAME, from_io};
use crate::packed::from_packed;
use crate::schema::Tables;

/// Memory in which the index gathers words before it writes a segment.
///
/// Close to the least it takes: twice as much gathered no faster, and each merging thread held as much again.
const GATHER_BYTES: usize = 16 << 20;
const TOKENIZER: &str = "words";

/// An open word index.
pub(super) struct Words {
    index: Index,
    reader: IndexReader,
    /// Made at the first write: it locks the folder.
    writer: Option<IndexWriter>,
    row: Field,
    text: Field,
    /// What the last commit holds.
    version: Option<Version>,
    in_memory: bool,
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("version", &self.version).finish_non_exhaustive()
    }
}

/// What a commit notes about itself.
#[derive(serde::Serialize, Deserialize)]
struct Payload {
    incarnation: Uuid,
    version: u64,
}

impl Words {
    /// Opens the index in `folder`, or makes an empty one; one that can not be read is thrown away.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        match Self::open_as_is(folder) {
            Ok(words) => Ok(words),
            Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
            // Everything in it is also in the store.
            Err(_) => {
                std::fs::remove_dir_all(folder).map_err(|error| io(&error))?;
                Self::open_as_is(folder)
            }
        }
    }

    /// An empty index in memory, for a disk that takes no writes. It is built from all nodes.
    pub(super) fn in_memory() -> Result<Self> {
        Self::of(RamDirectory::create(), true)
    }

    fn open_as_is(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| io(&error))?;
        Self::of(MmapDirectory::open(folder).map_err(|error| from_tantivy(error.into()))?, false)
    }

    fn of(directory: impl Directory, in_memory: bool) -> Result<Self> {
        let mut schema = Schema::builder();
        let row = schema.add_u64_field("row", FAST | INDEXED);
        let words = TextFieldIndexing::default()
            .set_tokenizer(TOKENIZER)
            .set_index_option(IndexRecordOption::WithFreqs);
        let text = schema.add_text_field("text", TextOptions::default().set_indexing_options(words));
        let index = Index::open_or_create(Box::new(directory) as Box<dyn Directory>, schema.build())
            .map_err(from_tantivy)?;
        index.tokenizers().register(TOKENIZER, TextAnalyzer::builder(Splitter).build());
        let reader =
            index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(from_tantivy)?;
        let payload = index.load_metas().map_err(from_tantivy)?.payload;
        let version = payload.and_then(|payload| serde_json::from_str::<Payload>(&payload).ok());
        let version = version.map(|note| Version { incarnation: note.incarnation, number: note.version });
        Ok(Self { index, reader, writer: None, row, text, version, in_memory })
    }

    /// Whether the index goes with the process.
    pub(super) fn is_in_memory(&self) -> bool {
        self.in_memory
    }

    /// What the index holds.
    pub(super) fn version(&self) -> Option<Version> {
        self.version
    }

    /// Brings the index to `version`, which is that of `tx`.
    pub(super) fn catch_up(&mut self, tx: &ReadTx, tables: &Tables, version: Version) -> Result<()> {
        if self.version == Some(version) {
            return Ok(());
        }
        let start = log_start(&tx.table(&tables.vector_meta)?)?;
        let from = self.version.filter(|own| own.incarnation == version.incarnation && own.number >= start);
        let rows: BTreeSet<u32> = match from {
            Some(from) => logged(&tx.table(&tables.word_log)?, from.number, version.number)?,
            None => all_rows(&tx.table(&tables.vector_rows)?)?,
        };
        let nodes = tx.table(&tables.vector_nodes)?;
        let (row_field, text_field) = (self.row, self.text);
        let writer = self.writer()?;
        if from.is_none() {
            writer.delete_all_documents().map_err(from_tantivy)?;
        }
        for row in rows {
            writer.delete_term(Term::from_field_u64(row_field, row.into()));
            if let Some(node) = nodes.get(&row.to_be_bytes())? {
                let node: Node = from_packed(node.value())?;
                let mut document = TantivyDocument::new();
                document.add_u64(row_field, row.into());
                document.add_text(text_field, node.text_content());
                writer.add_document(document).map_err(from_tantivy)?;
            }
        }
        let note = Payload { incarnation: version.incarnation, version: version.number };
        let note =
            serde_json::to_string(&note).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
        let mut prepared = writer.prepare_commit().map_err(from_tantivy)?;
        prepared.set_payload(&note);
        prepared.commit().map_err(from_tantivy)?;
        self.reader.reload().map_err(from_tantivy)?;
        self.version = Some(version);
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut IndexWriter> {
        if self.writer.is_none() {
            let options = IndexWriterOptions::builder()
                .num_worker_threads(1)
                .num_merge_threads(1)
                .memory_budget_per_thread(GATHER_BYTES)
                .build();
            let writer = self.index.writer_with_options(options).map_err(from_tantivy)?;
            // tantivy stamps a new writer's first change like the last commit, and a merge of segments of which
            // some were changed by that commit then passes over it: the first change is one that does nothing.
            writer.delete_term(Term::from_field_u64(self.row, u64::MAX));
            self.writer = Some(writer);
        }
        self.writer.as_mut().ok_or_else(|| Error::new(ErrorKind::Other, "the word index has no writer"))
    }

    /// What searches the index as it is now, without holding it.
    pub(super) fn searcher(&self) -> WordSearcher {
        WordSearcher { searcher: self.reader.searcher(), text: self.text }
    }
}

/// A state of the index to search in.
pub(super) struct WordSearcher {
    searcher: tantivy::Searcher,
    text: Field,
}

impl WordSearcher {
    /// The best `k` rows that hold a word of `query`, best first; `ties` orders rows of equal score.
    pub(super) fn search(
        &self,
        query: &str,
        k: usize,
        admits: impl Fn(u32) -> bool,
        mut ties: impl FnMut(u32, u32) -> Ordering,
    ) -> Result<Vec<ScoredRow>> {
        let words: BTreeSet<_> = tokens(query).map(|token| token.text).collect();
        let term = |word: &str| -> Box<dyn Query> {
            Box::new(TermQuery::new(Term::from_field_text(self.text, word), IndexRecordOption::WithFreqs))
        };
        let query = BooleanQuery::new(words.iter().map(|word| (Occur::Should, term(word))).collect());
        let weight =
            query.weight(EnableScoring::enabled_from_searcher(&self.searcher)).map_err(from_tantivy)?;
        let mut best = TopK::new(k, |a: &u32, b: &u32| ties(*a, *b));
        for segment in self.searcher.segment_readers() {
            let rows = segment.fast_fields().u64("row").map_err(from_tantivy)?;
            let alive = segment.alive_bitset();
            let mut offer = |document: u32, score: f32| {
                let score = rounded(score);
                if score <= 0.0
                    || !best.accepts(score)
                    || alive.is_some_and(|alive| !alive.is_alive(document))
                {
                    return;
                }
                let row = rows.first(document).and_then(|row| u32::try_from(row).ok());
                if let Some(row) = row.filter(|row| admits(*row)) {
                    best.push(score, row);
                }
            };
            weight.for_each(segment, &mut offer).map_err(from_tantivy)?;
        }
        Ok(best.into_sorted().into_iter().map(|(score, row)| ScoredRow { row, score }).collect())
    }
}

/// The score without its last bits: the order in which tantivy adds up the words' parts may differ between two
/// equal texts, and equal texts must tie.
fn rounded(score: f32) -> f64 {
    f64::from(f32::from_bits(score.to_bits().saturating_add(8) & !0xF))
}

fn logged(log: &dyn Table, after: u64, until: u64) -> Result<BTreeSet<u32>> {
    let low = Bound::Included((after + 1).to_be_bytes().to_vec());
    let high = Bound::Excluded((until + 1).to_be_bytes().to_vec());
    let mut rows = BTreeSet::new();
    for row in log.range(&Span { low, high })? {
        let (key, _) = row?;
        rows.insert(row_number(take_u64(key.value())?.1)?);
    }
    Ok(rows)
}

fn all_rows(rows: &dyn Table) -> Result<BTreeSet<u32>> {
    rows.range(&Span::all())?.map(|row| row_number(row?.0.value())).collect()
}

/// The words of a text, by core's own rule.
#[derive(Clone)]
struct Splitter;

struct Stream<'a> {
    tokens: store_core::kit::tokens::Tokens<'a>,
    token: Token,
}

impl Tokenizer for Splitter {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        Stream { tokens: tokens(text), token: Token::default() }
    }
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        let Some(next) = self.tokens.next() else { return false };
        self.token.text.clear();
        self.token.text.push_str(&next.text);
        self.token.offset_from = next.range.start;
        self.token.offset_to = next.range.end;
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

fn io(error: &std::io::Error) -> Error {
    from_io(error.kind(), &error.to_string()).with_backend(NAME)
}

fn from_tantivy(error: tantivy::TantivyError) -> Error {
    use tantivy::TantivyError as E;
    use tantivy::directory::error::{OpenDirectoryError, OpenReadError, OpenWriteError};
    let inner = match &error {
        E::IoError(error) => Some(error),
        E::OpenReadError(OpenReadError::IoError { io_error, .. })
        | E::OpenWriteError(OpenWriteError::IoError { io_error, .. })
        | E::OpenDirectoryError(OpenDirectoryError::IoError { io_error, .. }) => Some(io_error),
        _ => None,
    };
    let ours = match (inner, &error) {
        (Some(error), _) => from_io(error.kind(), &error.to_string()),
        (None, E::LockFailure(..)) => Error::new(
            ErrorKind::Unavailable,
            "the word index is locked by another program; close it there and repeat the call",
        ),
        (None, E::DataCorruption(_)) => Error::corrupt(format!("the word index is damaged: {error}")),
        (None, _) => Error::new(ErrorKind::Other, format!("the word index failed: {error}")),
    };
    ours.with_backend(NAME).with_source(error)
}
