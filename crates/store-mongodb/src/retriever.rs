//! Retrieving by words from any collection: Atlas Search (BM25) or a text index of the server.

use std::sync::Arc;

use async_trait::async_trait;
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{Document, doc};
use futures::TryStreamExt as _;
use serde_json::Value;
use store_core::kit::check;
use store_core::{DEFAULT_TOP_K, Error, ErrorKind, JsonObject, Node, Result, Retriever, ScoredNode};
use tokio::sync::OnceCell;

use crate::MongoBackend;
use crate::codec::damaged;
use crate::error::server_code;
use crate::field_path::{self, lookup};
use crate::python_text::python_str;
use crate::target::Target;
use crate::vector::{EMBEDDING, FoundIndex, SCORE, TEXT, no_search, number, to_node, words};

const RETRIEVE: &str = "retriever.retrieve";
/// The field of metadata in LlamaIndex's layout.
const METADATA: &str = "metadata";
/// The server's code for a `$text` without a text index.
const INDEX_NOT_FOUND: i32 = 27;

/// Finds the documents of any collection that hold the words of a question, best first, as nodes.
///
/// With [`with_search_index`](Self::with_search_index) it asks Atlas Search, as LlamaIndex's
/// `MongoDBAtlasBM25Retriever` does (whose index is called `default`), but in one query instead of one more for each
/// answer. With [`with_text_index`](Self::with_text_index) it asks by `$text`, which every server has; the
/// collection needs a text index. Without either, the first question finds out: a search index of the text field
/// that is ready, otherwise `$text`.
///
/// A document of LlamaIndex's layout comes back as the node that was stored. Of any other, the node has the text
/// field as its text, Python's `str(_id)` as its id, and the metadata field, if it is an object, as its metadata.
/// Scores are BM25 or the server's text score, above 0; equal scores are ordered by id. Embeddings are not read.
///
/// Over the store's own vectors, with filters, by vector or by both, use core's retrievers
/// ([`TextRetriever`](store_core::TextRetriever), [`HybridRetriever`](store_core::HybridRetriever)) on
/// [`vectors`](store_core::Backend::vectors).
///
/// ```no_run
/// # use store_mongodb::{MongoBackend, MongoConfig};
/// use store_core::Retriever;
///
/// # async fn retrieve() -> store_core::Result<()> {
/// let store = MongoBackend::connect(MongoConfig::new("mongodb://localhost/shop")).await?;
/// let retriever = store.text_retriever("articles").with_text_field("body.text").with_top_k(3);
/// for answer in retriever.retrieve("which cats sleep by day?").await? {
///     println!("{} {}", answer.score, answer.node.text_content());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MongoTextRetriever {
    target: Target,
    engine: Option<Engine>,
    /// What the first question found out.
    found: Arc<OnceCell<Engine>>,
    text_field: String,
    metadata_field: String,
    embedding_field: String,
    matching: Document,
    top_k: usize,
    min_score: Option<f64>,
}

#[derive(Clone, Debug)]
enum Engine {
    /// Atlas Search by the index of this name.
    Search(String),
    /// `$text`.
    Text,
}

impl MongoBackend {
    /// A retriever by words over a collection of the vectors' database; see [`MongoTextRetriever`].
    #[must_use]
    pub fn text_retriever(&self, collection: impl Into<String>) -> MongoTextRetriever {
        MongoTextRetriever {
            target: Target::new(&self.space, collection),
            engine: None,
            found: Arc::default(),
            text_field: TEXT.to_owned(),
            metadata_field: METADATA.to_owned(),
            embedding_field: EMBEDDING.to_owned(),
            matching: Document::new(),
            top_k: DEFAULT_TOP_K,
            min_score: None,
        }
    }
}

impl MongoTextRetriever {
    /// Searches in another database of the same server. Default: the store's own, which for a store without a
    /// namespace is that of vectors.
    #[must_use]
    pub fn in_database(mut self, database: impl Into<String>) -> Self {
        self.target.database = Some(database.into());
        self
    }

    /// Asks Atlas Search, by the index of this name.
    #[must_use]
    pub fn with_search_index(mut self, index: impl Into<String>) -> Self {
        self.engine = Some(Engine::Search(index.into()));
        self
    }

    /// Asks by `$text`.
    #[must_use]
    pub fn with_text_index(mut self) -> Self {
        self.engine = Some(Engine::Text);
        self
    }

    /// The field that holds the text, a path of names joined by dots; default `text`. A text index is of fields of
    /// its own.
    #[must_use]
    pub fn with_text_field(mut self, path: impl Into<String>) -> Self {
        self.text_field = path.into();
        self
    }

    /// The field that holds the metadata, a path of names joined by dots; default `metadata`.
    #[must_use]
    pub fn with_metadata_field(mut self, path: impl Into<String>) -> Self {
        self.metadata_field = path.into();
        self
    }

    /// The field that holds the embedding, which is left out of the answers; default `embedding`.
    #[must_use]
    pub fn with_embedding_field(mut self, path: impl Into<String>) -> Self {
        self.embedding_field = path.into();
        self
    }

    /// Searches only documents that match, before the best are chosen; a query of the server's own. Default: all.
    #[must_use]
    pub fn with_match(mut self, matching: Document) -> Self {
        self.matching = matching;
        self
    }

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

    fn check(&self, question: &str) -> Result<()> {
        check::question(question, self.top_k, self.min_score)?;
        field_path::check("text field", &self.text_field)?;
        field_path::check("metadata field", &self.metadata_field)?;
        field_path::check("embedding field", &self.embedding_field)
    }

    fn collection(&self) -> Result<mongodb::Collection<RawDocumentBuf>> {
        let mut target = self.target.clone();
        if target.database.is_none() {
            target.database = Some(target.space.vector_database()?.name().to_owned());
        }
        target.collection()
    }

    async fn engine(&self) -> Result<Engine> {
        match &self.engine {
            Some(engine) => Ok(engine.clone()),
            None => self.found.get_or_try_init(|| self.find_out()).await.cloned(),
        }
    }

    async fn find_out(&self) -> Result<Engine> {
        let collection = self.collection()?;
        let listing = async { collection.list_search_indexes().await?.try_collect::<Vec<Document>>().await };
        match self.target.space.call(listing).await {
            Ok(entries) => {
                let ready = |index: &FoundIndex| index.queryable && index.has_words_of(&self.text_field);
                let index = entries.iter().filter_map(FoundIndex::read).find(ready);
                Ok(index.map_or(Engine::Text, |index| Engine::Search(index.name)))
            }
            Err(error) if no_search(&error) || error.kind() == ErrorKind::NotFound => Ok(Engine::Text),
            Err(error) => Err(error),
        }
    }

    /// `None` for a question without a word.
    fn pipeline(&self, engine: &Engine, question: &str) -> Option<Vec<Document>> {
        let limit = doc! {"$limit": number(self.top_k)};
        let mut stages = match engine {
            Engine::Search(index) => {
                let text = doc! {"query": question, "path": &self.text_field};
                let mut stages = vec![doc! {"$search": {"index": index, "text": text}}];
                if !self.matching.is_empty() {
                    stages.push(doc! {"$match": self.matching.clone()});
                }
                stages.push(doc! {"$addFields": {SCORE: {"$meta": "searchScore"}}});
                stages.extend([doc! {"$sort": {SCORE: -1}}, limit]);
                stages
            }
            Engine::Text => {
                let words = doc! {"$text": {"$search": words(question)?}};
                let matching = if self.matching.is_empty() {
                    words
                } else {
                    doc! {"$and": [words, self.matching.clone()]}
                };
                vec![
                    doc! {"$match": matching},
                    doc! {"$addFields": {SCORE: {"$meta": "textScore"}}},
                    doc! {"$sort": {SCORE: -1, "_id": 1}},
                    limit,
                ]
            }
        };
        stages.push(doc! {"$project": {&self.embedding_field: 0}});
        Some(stages)
    }

    async fn answer(&self, question: &str) -> Result<Vec<ScoredNode>> {
        self.check(question)?;
        let engine = self.engine().await?;
        let collection = self.collection()?;
        let Some(pipeline) = self.pipeline(&engine, question) else { return Ok(Vec::new()) };
        let run = async {
            let cursor = collection.aggregate(pipeline).with_type::<RawDocumentBuf>().await?;
            cursor.try_collect::<Vec<RawDocumentBuf>>().await
        };
        let rows = self.target.space.call(run).await.map_err(|error| self.advise(&engine, error))?;
        let mut answers = rows.iter().map(|row| self.read(row)).collect::<Result<Vec<ScoredNode>>>()?;
        answers.retain(|answer| self.min_score.is_none_or(|least| answer.score >= least));
        answers.sort_by(|left, right| {
            right.score.total_cmp(&left.score).then_with(|| left.node.id.cmp(&right.node.id))
        });
        Ok(answers)
    }

    /// Says what to do about what is missing.
    fn advise(&self, engine: &Engine, error: Error) -> Error {
        let message = match engine {
            Engine::Search(_) if no_search(&error) => {
                "this server has no Atlas Search; ask by a text index instead (with_text_index)".to_owned()
            }
            Engine::Text if server_code(&error) == Some(INDEX_NOT_FOUND) => {
                let field = &self.text_field;
                format!("the collection has no text index; make one of the field {field:?}, of type \"text\"")
            }
            _ => return error,
        };
        Error::new(error.kind(), message).with_source(error)
    }

    fn read(&self, row: &RawDocument) -> Result<ScoredNode> {
        let Some(RawBsonRef::Double(score)) = row.get(SCORE).map_err(damaged)? else {
            return Err(Error::new(ErrorKind::Other, "the server answered a document without a score"));
        };
        let id = row.get("_id").map_err(damaged)?.unwrap_or(RawBsonRef::Null);
        let id = python_str(id)?;
        let at = |error: Error| error.with_key(id.as_str());
        let node = self.node(row).map_err(at)?;
        Ok(ScoredNode::new(node.with_id(id.as_str()), score))
    }

    fn node(&self, row: &RawDocument) -> Result<Node> {
        if self.text_field == TEXT
            && self.metadata_field == METADATA
            && row
                .get_document(METADATA)
                .is_ok_and(|metadata| metadata.get("_node_content").is_ok_and(|it| it.is_some()))
            && let Some(node) = to_node(row)?
        {
            return Ok(node);
        }
        let text = lookup(row, &self.text_field)?.map(|found| found.to_text()).transpose()?;
        let metadata = lookup(row, &self.metadata_field)?.map(|found| found.to_json()).transpose()?;
        let metadata = match metadata {
            Some(Value::Object(metadata)) => metadata,
            _ => JsonObject::new(),
        };
        if metadata.contains_key("_node_content") {
            return Node::from_vector_metadata(metadata, text);
        }
        let mut node = Node::text(text.unwrap_or_default());
        node.metadata = metadata;
        Ok(node)
    }
}

#[async_trait]
impl Retriever for MongoTextRetriever {
    async fn retrieve(&self, question: &str) -> Result<Vec<ScoredNode>> {
        self.answer(question).await.map_err(self.target.at(RETRIEVE))
    }
}
