//! Retrieving by words from what a reader reads.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use store_core::kit::bm25::Bm25Scan;
use store_core::kit::check;
use store_core::{DEFAULT_TOP_K, Document, Error, ErrorKind, Reader as _, Result, Retriever, ScoredNode};

use crate::CassandraReader;
use crate::error::at;

const RETRIEVE: &str = "retriever.retrieve";
/// Rows that a question reads, unless the caller says otherwise.
const MOST: usize = 10_000;

/// Finds what holds the words of a question among the rows of a [`CassandraReader`], best first, as nodes.
///
/// **Every question reads all of it.** Cassandra 5.0 has no index of words: its analyzers make a text lower case or plain
/// ASCII and leave it whole, so that it can be compared, not searched, and there is no ranking. So the rows are read and
/// ranked here, by BM25 over exactly these rows, and more than [`with_max_rows`](Self::with_max_rows) are refused. Give
/// it a reader of one partition (a `SELECT` with the partition key) where a table is large.
///
/// What is held in memory is what has a word of the question, within that bound. Scores are BM25, above 0; equal scores
/// are ordered by id. The nodes are the reader's documents.
///
/// Over the store's own vectors, with filters, by vector or by both, use core's retrievers
/// ([`TextRetriever`](store_core::TextRetriever), [`HybridRetriever`](store_core::HybridRetriever)) on
/// [`vectors`](store_core::Backend::vectors).
///
/// ```no_run
/// # use store_cassandra::{CassandraBackend, CassandraConfig};
/// use store_core::Retriever;
///
/// # async fn retrieve(config: CassandraConfig) -> store_core::Result<()> {
/// let store = CassandraBackend::connect(config).await?;
/// let reader = store.cql_reader("SELECT topic, id, body FROM shop.news WHERE topic = ?").with_parameters(["cats"]);
/// let retriever = reader.with_fields(["body"]).text_retriever().with_top_k(3);
/// for answer in retriever.retrieve("which cats sleep by day?").await? {
///     println!("{} {}", answer.score, answer.node.text_content());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CassandraTextRetriever {
    reader: CassandraReader,
    top_k: usize,
    min_score: Option<f64>,
    max_rows: usize,
}

impl CassandraReader {
    /// A retriever by words over what this reader reads; see [`CassandraTextRetriever`].
    #[must_use]
    pub fn text_retriever(self) -> CassandraTextRetriever {
        CassandraTextRetriever { reader: self, top_k: DEFAULT_TOP_K, min_score: None, max_rows: MOST }
    }
}

impl CassandraTextRetriever {
    /// Sets the most answers; default [`DEFAULT_TOP_K`], at least 1.
    #[must_use]
    pub fn with_top_k(mut self, top_k: usize) -> Self {
        self.top_k = top_k;
        self
    }

    /// Answers only scores of at least this; default any.
    #[must_use]
    pub fn with_min_score(mut self, min_score: f64) -> Self {
        self.min_score = Some(min_score);
        self
    }

    /// How many rows a question may read; default 10,000. Where there are more, it is `LimitExceeded`.
    #[must_use]
    pub fn with_max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows;
        self
    }

    async fn answer(&self, question: &str) -> Result<Vec<ScoredNode>> {
        check::question(question, self.top_k, self.min_score)?;
        let mut scan: Bm25Scan<Document> = Bm25Scan::new(question);
        if scan.is_empty() {
            return Ok(Vec::new());
        }
        let mut documents = self.reader.read();
        let mut rows = 0;
        while let Some(document) = documents.try_next().await? {
            rows += 1;
            if rows > self.max_rows {
                let message = format!(
                    "there are more than {} rows to look at; read fewer, by a SELECT of a partition, or say with_max_rows",
                    self.max_rows
                );
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
            let text = document.text_content().to_owned();
            scan.add(&text, || Some(document));
        }
        let found = scan.finish(self.top_k, |left, right| left.id.cmp(&right.id));
        let found = found.into_iter().filter(|(score, _)| self.min_score.is_none_or(|least| *score >= least));
        Ok(found.map(|(score, document)| ScoredNode::new(document.into_node(), score)).collect())
    }
}

#[async_trait]
impl Retriever for CassandraTextRetriever {
    async fn retrieve(&self, question: &str) -> Result<Vec<ScoredNode>> {
        self.answer(question).await.map_err(at(RETRIEVE))
    }
}
