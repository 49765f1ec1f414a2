//! Queries, answered by the plain server: exact search by vector in a pipeline of its own, words by `$text`.

use std::cmp::Ordering;
use std::collections::HashMap;

use bson::raw::{RawBsonRef, RawDocument};
use bson::{Document, doc};
use futures::TryStreamExt as _;
use store_core::kit::fusion::reciprocal_rank_fusion;
use store_core::kit::{mmr, tokens};
use store_core::{
    Error, ErrorKind, Node, QueryKind, QueryPlan, Result, ScoredNode, VectorConfig, VectorQuery,
};

use super::rows::{self, METADATA};
use super::score;
use super::select::{Selected, both, one_of};
use super::{EMBEDDING, MongoVectorStore, TEXT};
use crate::codec::damaged;
use crate::error::server_code;
use crate::schema::EXTRA;

/// The member that holds a document's score in an answer.
const SCORE: &str = "score";
/// The index of words that we make, and the member that would name a document's language for it: one that no
/// document has, in place of `language`, which a document might.
const TEXT_INDEX: &str = "nodestore_text";
const LANGUAGE: &str = "nodestore_language";
/// Bytes of embeddings that are weighed for MMR here.
const MAX_MMR_BYTES: usize = 512 << 20;
/// The codes by which a server says that `$text` needs an index, and that there is another one already.
const NO_TEXT_INDEX: i32 = 27;
const OTHER_INDEX: [i32; 2] = [85, 86];

/// What an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Ids,
    Nodes { embeddings: bool },
}

impl Keep {
    /// The members that are kept, with the score.
    fn fields(self, score: Document) -> Document {
        let mut fields = doc! {SCORE: score};
        if let Self::Nodes { embeddings } = self {
            fields.extend(doc! {TEXT: 1, METADATA: 1, EXTRA: 1});
            if embeddings {
                fields.insert(EMBEDDING, 1);
            }
        }
        fields
    }
}

/// A ranking to be made by the server.
struct Ranking<'a> {
    matches: Document,
    keep: Keep,
    min_score: Option<f64>,
    /// `None`: all of it.
    limit: Option<usize>,
    by: By<'a>,
}

enum By<'a> {
    Vector { config: &'a VectorConfig, query: &'a [f32] },
    Words { search: String },
}

impl Ranking<'_> {
    fn stages(self) -> Vec<Document> {
        let (matches, score) = match self.by {
            By::Vector { config, query } => (
                both([self.matches, has_embedding(config)]),
                score::expression(config.metric, query, EMBEDDING),
            ),
            By::Words { search } => {
                // Must stand first and outside of any other condition.
                let mut first = doc! {"$text": {"$search": search, "$diacriticSensitive": true}};
                if !self.matches.is_empty() {
                    first.insert("$and", vec![self.matches]);
                }
                (first, doc! {"$meta": "textScore"})
            }
        };
        let mut stages = vec![doc! {"$match": matches}, doc! {"$project": self.keep.fields(score)}];
        if let Some(least) = self.min_score {
            stages.push(doc! {"$match": {SCORE: {"$gte": least}}});
        }
        stages.push(doc! {"$sort": {SCORE: -1, "_id": 1}});
        if let Some(limit) = self.limit {
            stages.push(doc! {"$limit": i64::try_from(limit).unwrap_or(i64::MAX)});
        }
        stages
    }
}

/// Nodes with an embedding of the configured length.
fn has_embedding(config: &VectorConfig) -> Document {
    doc! {EMBEDDING: {"$size": i64::try_from(config.dimensions).unwrap_or(i64::MAX)}}
}

/// The words of a text for `$search`, which finds documents with any of them; `None` when there are none.
///
/// There, a quote begins a phrase and a hyphen before a word forbids it.
pub(crate) fn words(text: &str) -> Option<String> {
    tokens::tokens(text).next()?;
    Some(text.replace(['"', '-', '\0'], " "))
}

impl MongoVectorStore {
    /// Answers a query that was found right.
    pub(super) async fn search(&self, query: &VectorQuery, config: &VectorConfig) -> Result<Vec<ScoredNode>> {
        let matches = self.matches(Selected::of(&query.selector)?).await?;
        let keep = Keep::Nodes { embeddings: query.with_embeddings };
        let top = |by, min_score| Ranking {
            matches: matches.clone(),
            keep,
            min_score,
            limit: Some(query.top_k),
            by,
        };
        match &query.kind {
            QueryKind::Dense { embedding } => {
                let by = By::Vector { config, query: embedding };
                self.nodes(top(by, query.min_score).stages()).await
            }
            QueryKind::Range { embedding, radius } => {
                let least = query.min_score.map_or(*radius, |least| least.max(*radius));
                let by = By::Vector { config, query: embedding };
                self.nodes(top(by, Some(least)).stages()).await
            }
            QueryKind::Text { text } => {
                let Some(search) = words(text) else { return Ok(Vec::new()) };
                let stages = top(By::Words { search }, query.min_score).stages();
                match self.nodes(stages.clone()).await {
                    Err(error) if server_code(&error) == Some(NO_TEXT_INDEX) => {
                        self.ensure_text_index().await?;
                        self.nodes(stages).await
                    }
                    answer => answer,
                }
            }
            QueryKind::Hybrid { embedding, text, alpha } => {
                let ranked = self.fused(matches, config, embedding, text, *alpha, query.top_k).await?;
                self.fetch(ranked, query).await
            }
            QueryKind::Mmr { embedding, threshold } => {
                let chosen = self.diverse(matches, config, embedding, *threshold, query).await?;
                self.fetch(chosen, query).await
            }
            other => Err(not_offered(other)),
        }
    }

    /// Runs a pipeline of nodes with scores.
    async fn nodes(&self, stages: Vec<Document>) -> Result<Vec<ScoredNode>> {
        let mut cursor = self.aggregate(stages).await?;
        let mut found = Vec::new();
        while let Some(document) = self.space.call(cursor.try_next()).await? {
            if let (Some(node), Some(score)) = (rows::to_node(&document)?, score_of(&document)?) {
                found.push(ScoredNode::new(node, score));
            }
        }
        Ok(found)
    }

    /// Runs a pipeline of ids, best first.
    async fn ids(&self, stages: Vec<Document>) -> Result<Vec<String>> {
        let mut cursor = self.aggregate(stages).await?;
        let mut ids = Vec::new();
        while let Some(document) = self.space.call(cursor.try_next()).await? {
            ids.extend(rows::id(&document).map(str::to_owned));
        }
        Ok(ids)
    }

    /// Both rankings of ids, whole, so that the fused order is exact.
    async fn fused(
        &self,
        matches: Document,
        config: &VectorConfig,
        embedding: &[f32],
        text: &str,
        alpha: f64,
        top_k: usize,
    ) -> Result<Vec<(String, f64)>> {
        let whole = |by| {
            let matches = matches.clone();
            Ranking { matches, keep: Keep::Ids, min_score: None, limit: None, by }.stages()
        };
        let by_vector = async {
            // A side without weight says nothing.
            if alpha <= 0.0 {
                return Ok(Vec::new());
            }
            self.ids(whole(By::Vector { config, query: embedding })).await
        };
        let by_text = async {
            let Some(search) = words(text).filter(|_| alpha < 1.0) else { return Ok(Vec::new()) };
            let stages = whole(By::Words { search });
            match self.ids(stages.clone()).await {
                Err(error) if server_code(&error) == Some(NO_TEXT_INDEX) => {
                    self.ensure_text_index().await?;
                    self.ids(stages).await
                }
                answer => answer,
            }
        };
        let (by_vector, by_text) = futures::future::try_join(by_vector, by_text).await?;
        Ok(reciprocal_rank_fusion(by_vector, by_text, alpha, top_k))
    }

    /// Chooses by maximal marginal relevance; every candidate is weighed here.
    async fn diverse(
        &self,
        matches: Document,
        config: &VectorConfig,
        embedding: &[f32],
        threshold: f64,
        query: &VectorQuery,
    ) -> Result<Vec<(String, f64)>> {
        let matches = both([matches, has_embedding(config)]);
        let mut cursor = self.find(matches, Some(doc! {EMBEDDING: 1})).await?;
        let most = MAX_MMR_BYTES / (config.dimensions * 4);
        let mut candidates: Vec<(String, Vec<f32>)> = Vec::new();
        while let Some(document) = self.space.call(cursor.try_next()).await? {
            let Some(id) = rows::id(&document) else { continue };
            let Some(vector) = rows::embedding(&document)? else { continue };
            if candidates.len() >= most {
                let message = format!(
                    "maximal marginal relevance weighs every embedding that is selected, here more than {most} of \
                     {} dimensions; restrict the query by a filter",
                    config.dimensions
                );
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
            candidates.push((id.to_owned(), vector));
        }
        let relevance = |vector: &[f32]| config.metric.score(embedding, vector);
        let enough = |vector: &[f32]| query.min_score.is_none_or(|least| relevance(vector) >= least);
        let candidates = candidates.iter().filter(|(_, vector)| enough(vector));
        let candidates = candidates.map(|(id, vector)| (id.as_str(), vector.as_slice()));
        let by_id = |left: &&str, right: &&str| -> Ordering { left.cmp(right) };
        let chosen = mmr::select(config.metric, embedding, candidates, threshold, query.top_k, by_id)?;
        Ok(chosen.into_iter().map(|(id, score)| (id.to_owned(), score)).collect())
    }

    /// The nodes of a ranking. One that was deleted a moment ago is left out.
    async fn fetch(&self, ranked: Vec<(String, f64)>, query: &VectorQuery) -> Result<Vec<ScoredNode>> {
        let fused = matches!(query.kind, QueryKind::Hybrid { .. });
        let enough = |score: f64| !fused || query.min_score.is_none_or(|least| score >= least);
        let ranked: Vec<(String, f64)> = ranked.into_iter().filter(|(_, score)| enough(*score)).collect();
        if ranked.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = ranked.iter().map(|(id, _)| id.as_str()).collect();
        let without = (!query.with_embeddings).then(|| doc! {EMBEDDING: 0});
        let mut cursor = self.find(one_of("_id", &ids)?, without).await?;
        let mut nodes: HashMap<String, Node> = HashMap::with_capacity(ids.len());
        while let Some(document) = self.space.call(cursor.try_next()).await? {
            if let Some(node) = rows::to_node(&document)? {
                nodes.insert(node.id.as_str().to_owned(), node);
            }
        }
        let scored =
            ranked.into_iter().filter_map(|(id, score)| Some(ScoredNode::new(nodes.remove(&id)?, score)));
        Ok(scored.collect())
    }

    /// The index that `$text` needs, of no language: no stemming, no stop words. Made at the first search.
    async fn ensure_text_index(&self) -> Result<()> {
        let options = mongodb::options::IndexOptions::builder()
            .name(TEXT_INDEX.to_owned())
            .default_language("none".to_owned())
            .language_override(LANGUAGE.to_owned())
            .build();
        let index = mongodb::IndexModel::builder().keys(doc! {TEXT: "text"}).options(options).build();
        match self.space.call(self.collection()?.create_index(index)).await {
            // Another text index is there: somebody wants words to be found in another way.
            Err(error) if server_code(&error).is_some_and(|code| OTHER_INDEX.contains(&code)) => Ok(()),
            answer => answer.map(|_| ()),
        }
    }
}

/// How [`search`](MongoVectorStore::search) would answer; `why` says why not Atlas search.
pub(super) fn plan(query: &VectorQuery, config: &VectorConfig, why: &str) -> Result<QueryPlan> {
    let selected = Selected::of(&query.selector)?;
    let ranking = |by| Ranking {
        matches: selected.matches.clone(),
        keep: Keep::Nodes { embeddings: query.with_embeddings },
        min_score: query.min_score,
        limit: Some(query.top_k),
        by,
    };
    let search = |text: &str| words(text).unwrap_or_default();
    let by_vector = |embedding| ranking(By::Vector { config, query: embedding }).stages();
    let by_text = |text: &str| ranking(By::Words { search: search(text) }).stages();
    let (how, native) = match &query.kind {
        QueryKind::Dense { embedding } | QueryKind::Range { embedding, .. } => {
            ("exact search by the server, which compares every selected embedding", by_vector(embedding))
        }
        QueryKind::Text { text } => ("the server's text index ($text)", by_text(text)),
        QueryKind::Hybrid { embedding, text, .. } => {
            let mut both = by_vector(embedding);
            both.extend(by_text(text));
            ("exact search by the server and its text index ($text), fused here by rank", both)
        }
        QueryKind::Mmr { .. } => (
            "every selected embedding is read and weighed here",
            vec![doc! {"$match": both([selected.matches.clone(), has_embedding(config)])}],
        ),
        other => return Err(not_offered(other)),
    };
    let mut plan = QueryPlan::new(format!("{how}; {why}"));
    plan.native = Some(score::shown(native));
    plan.pushed_down = selected.pushed_down;
    plan.applied_after = selected.rest;
    Ok(plan)
}

fn not_offered(kind: &QueryKind) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this backend does not offer {:?} queries", kind.name()))
}

/// The score of an answer; `None` where a stored embedding allows none.
fn score_of(document: &RawDocument) -> Result<Option<f64>> {
    Ok(match document.get(SCORE).map_err(damaged)? {
        Some(RawBsonRef::Double(score)) if score.is_finite() => Some(score),
        Some(RawBsonRef::Int32(score)) => Some(score.into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_no_query_language() {
        assert_eq!(words("-a \"b c\" d-e\0").as_deref(), Some(" a  b c  d e "));
        assert_eq!(words("… — !"), None);
        assert_eq!(words("_"), None);
    }
}
